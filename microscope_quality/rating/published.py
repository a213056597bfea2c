"""Raters of the published networks: model folders that Keras or ONNX Runtime runs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microscope_quality.arguments import as_count, as_numbers, as_path, shown
from microscope_quality.components import OUTPUTS
from microscope_quality.concordance import LOWEST_SCORE
from microscope_quality.errors import (
    ImageError,
    MissingLibraryError,
    ModelError,
    SettingsError,
    reason_of,
)
from microscope_quality.model import KERAS_FILE, ModelDescription, find_model, read_description
from microscope_quality.normalisation import zscore
from microscope_quality.rater import DEFAULT_RATER, RATING, Rated, RatingModel
from microscope_quality.rating.networks import NETWORKS, get_network
from microscope_quality.rating.quiet_keras import import_keras
from microscope_quality.tiles import cut, positions

#: A network as ``models export`` writes it, beside the one of Keras.
ONNX_FILE = "model.onnx"
#: Under which an ONNX file tells of which weights it was made.
WEIGHTS_KEY = "weights_sha256"
KERAS, ONNX = "keras", "onnx"

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]

# Patches given to a network at a time, by their pixels.
_PIXELS_AT_A_TIME = 2**21
_MOST_BYTES = 2**31


class PublishedRater:
    """A published network with its weights, ready to rate; make one with `from_folder`.

    Parameters
    ----------
    description : ModelDescription
        What the model is.
    run : callable
        From (n, P, P) float32 patches, of mean 0 and deviation 1 each, to (n, 1) scores.
    engine : {"keras", "onnx"}
        What runs it.
    """

    def __init__(self, description: ModelDescription, run: Run, engine: str) -> None:
        self.description = description
        self.engine = engine
        self._run = run

    def __repr__(self) -> str:
        """Tell name, network and what runs it."""
        one = self.description
        return (
            f"<{type(self).__name__} {one.name!r}: {one.architecture}, {one.patch_size} x "
            f"{one.patch_size} patches, run by {self.engine}>"
        )

    @classmethod
    def from_folder(
        cls, folder: str | os.PathLike[str], *, engine: str | None = None, threads: int = 0
    ) -> PublishedRater:
        """Load a model folder.

        Parameters
        ----------
        folder : str or path
            As training on labels writes it.
        engine : {"keras", "onnx"}, optional
            What runs it; by default ONNX Runtime where the folder has ``model.onnx`` and it is
            installed, which starts sooner, else Keras.
        threads : int
            For ONNX Runtime: threads of a network; 0 is all cores.

        Raises
        ------
        ModelNotFoundError
            There is no such folder.
        ModelError
            It is damaged, of another kind, or its ONNX file was made of other weights.
        MissingLibraryError
            What would run it is not installed; the message says which.
        SettingsError
            For another engine.
        """
        path = as_path("folder", folder).resolve()
        description = read_published(path)
        if engine is None:
            engine = ONNX if (path / ONNX_FILE).is_file() and _has_onnx_runtime() else KERAS
        if engine == ONNX:
            run = _in_onnx_runtime(path, description, as_count("threads", threads, 0, 1024))
        elif engine == KERAS:
            network = load_keras(path, description)
            run = _in_keras(network)
        else:
            raise SettingsError(f"engine must be {KERAS!r} or {ONNX!r}, not {shown(engine)}.")
        return cls(description, run, engine)

    def predict(self, patches: NDArray[Any]) -> NDArray[np.float64]:
        """Give the score of each patch.

        Parameters
        ----------
        patches : (n, P, P) array of any integer or float type
            P is the model's patch size; finite.

        Returns
        -------
        (n,) array of float64
            0 to 1; NaN for a patch that is constant.

        Raises
        ------
        ImageError
            For patches of another shape or type, or that are not finite.
        """
        size = self.description.patch_size
        patches = as_numbers("patches", patches, shape=(None, size, size), error=ImageError)
        scores = np.full(len(patches), np.nan)
        at_a_time = max(1, _PIXELS_AT_A_TIME // size**2)
        for start in range(0, len(patches), at_a_time):
            normalised, counts = zscore(patches[start : start + at_a_time])
            chosen = start + np.flatnonzero(counts)
            if len(chosen):
                scores[chosen] = np.clip(self._run(normalised[counts])[:, 0], 0, 1)
        return scores


class PublishedModel(RatingModel):
    """A published network as a rater that `rater.rate_image` takes.

    The score is the network's; it says nothing of why, so that the components are those that
    another rater sees in the same patches, and NaN where these are too small for it.

    Parameters
    ----------
    published : PublishedRater
    seen_by : RatingModel
    """

    def __init__(self, published: PublishedRater, seen_by: RatingModel) -> None:
        self.description = published.description
        self.details = seen_by.details
        self.own_score = None
        self._published, self._seen_by = published, seen_by
        told = published.description.training.get("validation")
        error = told.get("rmse") if isinstance(told, dict) else None
        # Of labelled patches held out.
        self._spread = float(error) if isinstance(error, (int, float)) else np.nan

    @property
    def smallest_side(self) -> int:
        """The least side in pixels that an image must have: that of the network's patches."""
        return self.description.patch_size

    def side_for(self, height: int, width: int) -> int:
        """Give the side of the patches of an image; 0 where it is smaller than the network's."""
        side = self.description.patch_size
        return side if min(height, width) >= side else 0

    def rate(self, patches: NDArray[Any]) -> Rated:
        """Rate patches: see `rater.RatingModel.rate`."""
        n, side = len(patches), self.description.patch_size
        finite = np.isfinite(patches).all(axis=(1, 2))
        scores = np.full(n, np.nan)
        scores[finite] = self._published.predict(patches[finite])
        scores = np.maximum(scores, LOWEST_SCORE)
        outputs, spreads = np.full((2, n, len(OUTPUTS)), np.nan)
        own = self._seen_by.side_for(side, side)
        for number in range(n if own else 0):
            seen = self._seen_by.rate(cut(patches[number], positions(side, side, own), own))
            there = ~np.isnan(seen.scores)
            if there.any():
                outputs[number] = seen.outputs[there].mean(axis=0)
                shared = np.array(self.details.shared_errors)
                alone = (1 - shared) / np.count_nonzero(there)
                variance = (seen.spreads[there] ** 2).mean(axis=0) * (shared + alone)
                spreads[number] = np.sqrt(variance)
        return Rated(outputs, spreads, scores, np.where(np.isnan(scores), np.nan, self._spread))


def rater_of(name_or_path: str | os.PathLike[str] | None = None) -> RatingModel:
    """Load a rater, whatever runs it.

    Parameters
    ----------
    name_or_path : str or path, optional
        Name of a rater, or its folder: one of this library's own, or of a published network, whose
        components are then those that the default rater sees. Without it, the default one.

    Raises
    ------
    ModelNotFoundError, ModelError, MissingLibraryError
        As `rater.RatingModel.from_pretrained` and `PublishedRater.from_folder`.
    """
    folder = find_model(DEFAULT_RATER if name_or_path is None else name_or_path)
    if not is_published(read_description(folder)):
        return RatingModel.from_pretrained(name_or_path)
    published = PublishedRater.from_folder(folder)
    return PublishedModel(published, RatingModel.from_pretrained(DEFAULT_RATER))


def is_published(description: ModelDescription) -> bool:
    """Tell whether a model is one of the published networks that rate."""
    return description.task == RATING and description.architecture in NETWORKS


def read_published(folder: Path) -> ModelDescription:
    """Read what ``model.json`` says of a published network.

    Raises
    ------
    ModelNotFoundError, ModelError
        As `model.read_description`; also for a model of another kind.
    """
    description = read_description(folder)
    if not is_published(description):
        raise ModelError(
            f"{folder} holds a model of the task {shown(description.task)} and the architecture "
            f"{shown(description.architecture)}; it must be {RATING}, and one of "
            f"{', '.join(sorted(NETWORKS))}."
        )
    network = get_network(description.architecture)
    if description.patch_size < network.least_patch_size:
        raise ModelError(
            f"{folder}: patch_size must be {network.least_patch_size} or more for {network.name}; "
            f"it is {description.patch_size}."
        )
    if description.normalisation != "zscore":
        raise ModelError(
            f"{folder}: normalisation must be 'zscore', not {shown(description.normalisation)}."
        )
    return description


def verify_published(folder: Path) -> ModelDescription:
    """Read a folder's description, and check that its weights are those it states.

    Raises
    ------
    ModelNotFoundError, ModelError
        As `read_published`; also for a file of weights that is missing or another one.
    """
    description = read_published(folder)
    _check_weights(folder / KERAS_FILE, description)
    return description


def load_keras(folder: Path, description: ModelDescription) -> Any:
    """Build a published network in Keras, with the weights of a model folder.

    The network is built from its name: of the file only arrays are read, and none of the code or
    classes that Keras' format could name.

    Raises
    ------
    MissingLibraryError
        Keras or what it runs on is not installed.
    ModelError
        The weights are missing, not those that the description states, or of another network.
    """
    path = folder / KERAS_FILE
    _check_weights(path, description)
    try:
        import_keras()
    except ImportError as error:
        raise MissingLibraryError(
            f"{folder} takes Keras and TensorFlow (pip install 'microscope-quality[train]'); or "
            "ONNX Runtime (pip install 'microscope-quality[onnx]') and the file "
            f"{ONNX_FILE}, which `microscope-quality models export` writes where Keras is: {error}."
        ) from error
    network = get_network(description.architecture).build(description.patch_size)
    try:
        network.load_weights(path)
    except Exception as error:  # its readers raise what they like
        said = " ".join(reason_of(error, path).split())[:400]
        raise ModelError(
            f"{path} holds no weights of {description.architecture}: {said}"
        ) from error
    return network


def _check_weights(path: Path, description: ModelDescription) -> None:
    digest = hashlib.sha256()
    try:
        if not path.is_file():
            raise ModelError(f"{path.parent} is damaged: {path.name} is missing.")
        if path.stat().st_size > _MOST_BYTES:
            raise ModelError(
                f"{path} has {path.stat().st_size} bytes; at most {_MOST_BYTES} are read."
            )
        with path.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {reason_of(error, path)}") from error
    if digest.hexdigest() != description.sha256:
        raise ModelError(
            f"{path} has the wrong checksum: {digest.hexdigest()}, not {description.sha256[:64]} "
            "as model.json states."
        )


def _in_keras(network: Any) -> Run:
    def run(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(network(patches, training=False))

    return run


def _has_onnx_runtime() -> bool:
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return False
    return True


def _in_onnx_runtime(folder: Path, description: ModelDescription, threads: int) -> Run:
    path = folder / ONNX_FILE
    if not path.is_file():
        raise ModelError(
            f"{folder} has no {ONNX_FILE}; `microscope-quality models export` writes it where "
            "Keras is installed."
        )
    session = onnx_session(path, threads)
    made_of = session.get_modelmeta().custom_metadata_map.get(WEIGHTS_KEY, "")
    if made_of != description.sha256:
        raise ModelError(
            f"{path} was made of other weights than those of model.json: export the model again."
        )
    name = session.get_inputs()[0].name

    def run(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {name: patches})[0])

    return run


def onnx_session(path: Path, threads: int = 0) -> Any:
    """Load an ONNX file into ONNX Runtime, on processors.

    Raises
    ------
    MissingLibraryError
        ONNX Runtime is not installed.
    ModelError
        The file cannot be read.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingLibraryError(
            f"{path} takes ONNX Runtime (pip install 'microscope-quality[onnx]'): {error}."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Errors alone.
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has many kinds of its own
        said = " ".join(reason_of(error, path).split())[:400]
        raise ModelError(f"{path} cannot be read: {said}") from error
