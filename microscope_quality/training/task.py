"""What a network learns: from which patches, by which loss, and how well it does."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Protocol

from microscope_quality.training.blocks import Block, FloatArray
from microscope_quality.training.entries import Listed


class Task(Protocol):
    """What :func:`microscope_quality.training.fitting.fit` is told of the thing to be learned."""

    @property
    def training(self) -> Sequence[Listed]:
        """The images to learn from."""

    @property
    def validation(self) -> Sequence[Listed]:
        """The images that are held out, if any."""

    @property
    def score(self) -> str:
        """The one of the figures by which epochs compare: the lower, the better."""

    def settings(self) -> dict[str, Any]:
        """Give what the blocks depend on, beside images and seed, as JSON takes it."""

    def blocks(
        self,
        images: Sequence[Any],
        *,
        seed: int,
        block_size: int,
        first: int = 0,
        workers: int = 0,
        stream: int = 0,
    ) -> Generator[Block, None, None]:
        """Make blocks of patches and targets without end; see :meth:`.blocks.BlockMaker.blocks`.

        Parameters
        ----------
        images : sequence
            Those to learn from, or those that are held out.
        """

    def loss(self, targets: Any, predicted: Any) -> Any:
        """Give the loss of each patch, of tensors with a row a patch, in terms of ``keras.ops``."""

    def figures(self, targets: FloatArray, predicted: FloatArray) -> dict[str, float]:
        """Measure the predictions of patches that were held out: ``score`` and others by name."""
