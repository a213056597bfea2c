"""How the published networks that rate images are trained; `rating.networks` has their layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from microscope_quality.errors import FileError, SettingsError, reason_of
from microscope_quality.rating.networks import PublishedNetwork, dcnn_iqa_14, miqa, qen, sted

TRUNK = "resnet50"


@dataclass(frozen=True)
class Stage:
    """A part of a training.

    Attributes
    ----------
    epochs : int
        Each uses every labelled patch once.
    learning_rate : float
    frozen : tuple of str
        Layers whose weights stay as they are.
    """

    epochs: int
    learning_rate: float
    frozen: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelRecipe:
    """How a network learns from labels; the loss is the mean squared error in all.

    Attributes
    ----------
    optimiser : {"adam", "sgd"}
        ``sgd`` with a momentum of 0.9.
    batch_size : int
    stages : tuple of Stage
    patience : int
        Epochs without a lower validation error after which a stage ends; 0: none ends early.
    """

    optimiser: str
    batch_size: int
    stages: tuple[Stage, ...]
    patience: int = 0

    @property
    def epochs(self) -> int:
        """Those of all stages."""
        return sum(stage.epochs for stage in self.stages)

    def with_epochs(self, epochs: int) -> LabelRecipe:
        """Give the same with so many epochs, shared by the stages as they share their own."""
        left, own, stages = epochs, self.epochs, []
        for stage in self.stages:
            number = round(left * stage.epochs / own) if own else 0
            stages.append(replace(stage, epochs=number))
            left, own = left - number, own - stage.epochs
        return replace(self, stages=tuple(stage for stage in stages if stage.epochs))

    def with_learning_rate(self, rate: float) -> LabelRecipe:
        """Give the same with this rate in the last stage, and in the others in proportion."""
        times = rate / self.stages[-1].learning_rate
        stages = tuple(replace(s, learning_rate=s.learning_rate * times) for s in self.stages)
        return replace(self, stages=stages)


# As published. The first stage is of use when the trunk has learned from ImageNet.
_OF_QEN = LabelRecipe("adam", 20, (Stage(10, 1e-4, (TRUNK,)), Stage(40, 1e-3)))
# Not told of the two that QEN was compared with; taken to be QEN's, without the stage of the trunk.
_COMPARED = LabelRecipe("adam", 20, (Stage(50, 1e-3),))
# Optimiser, rate and batches are its near relative's, as they are not told. The relative stops
# after 10 epochs without a lower error; with few labels that is before anything is learned.
_OF_STED = LabelRecipe("sgd", 16, (Stage(100, 1e-3),))

#: How each is trained unless told otherwise, by its name.
RECIPES = {"qen": _OF_QEN, "dcnn_iqa_14": _COMPARED, "miqa": _COMPARED, "sted": _OF_STED}


def recipe_of(
    network: PublishedNetwork,
    *,
    imagenet: Path | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    patience: int | None = None,
) -> LabelRecipe:
    """Give the recipe of a network with what is to be otherwise.

    Without weights of ImageNet, QEN has no stage in which its trunk is frozen: at random weights
    there is nothing to keep.

    Raises
    ------
    SettingsError
        A value is out of its range, or weights are given for a network without such a trunk.
    """
    recipe = RECIPES[network.name]
    if imagenet is not None and network.name != "qen":
        raise SettingsError(
            f"imagenet must be left out for {network.name}: only qen begins with such weights."
        )
    if imagenet is None:
        own = tuple(stage for stage in recipe.stages if not stage.frozen)
        recipe = replace(recipe, stages=own)
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise SettingsError(f"{name} must be 1 or more; it is {value}.")
    if learning_rate is not None and not 0 < learning_rate < 1e3:
        raise SettingsError(f"learning_rate must be above 0; it is {learning_rate:g}.")
    if patience is not None and patience < 0:
        raise SettingsError(f"patience must be 0 or more; it is {patience}.")
    if epochs is not None:
        recipe = recipe.with_epochs(epochs)
    if learning_rate is not None:
        recipe = recipe.with_learning_rate(learning_rate)
    return replace(
        recipe,
        batch_size=batch_size or recipe.batch_size,
        patience=recipe.patience if patience is None else patience,
    )


def load_imagenet(network: Any, path: Path) -> None:
    """Give QEN's trunk the weights of a file.

    Parameters
    ----------
    network : keras.Model
        As `qen` builds it.
    path : Path
        Weights of Keras' ResNet50 with or without its top, as Keras hands them out
        (``resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5``) or saves them.

    Raises
    ------
    FileError
        The file cannot be read, or is not of such a network.
    """
    import keras

    trunk = network.get_layer(TRUNK)
    if not path.is_file():
        raise FileError(f"{path}: is no file; it must hold weights of Keras' ResNet50")
    reasons = []
    for top in (False, True):
        whole = trunk if not top else keras.applications.ResNet50(weights=None)
        try:
            whole.load_weights(path)
        except Exception as error:  # its readers raise what they like
            reasons.append(" ".join(reason_of(error, path).split())[:200])
            continue
        if top:
            for ours, theirs in zip(trunk.layers, whole.layers):
                ours.set_weights(theirs.get_weights())
        return
    raise FileError(f"{path}: holds no weights of Keras' ResNet50: {reasons[0]}")


#: The published networks by their names; each takes the side of a patch.
ARCHITECTURES: dict[str, Callable[[int], Any]] = {
    one.__name__: one for one in (qen, dcnn_iqa_14, miqa, sted)
}
