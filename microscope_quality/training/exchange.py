"""Networks as ONNX files, which other programs run: by Keras' own export."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from microscope_quality.errors import FileError, MissingLibraryError, ModelError, reason_of
from microscope_quality.files.regular import refusals
from microscope_quality.files.whole import whole
from microscope_quality.model import (
    FOCUS,
    ModelDescription,
    read_description,
    read_model,
)
from microscope_quality.rating.published import (
    WEIGHTS_KEY,
    is_published,
    load_keras,
    onnx_session,
    read_published,
)

#: What an exported network may differ from Keras by.
MOST_DIFFERENCE = 1e-5


def export_onnx(folder: Path, path: Path) -> float:
    """Write the network of a model folder as an ONNX file, whole or not at all.

    Its input, ``patches`` of shape (n, P, P), takes patches of the model's normalisation; the
    output is (n, 1) scores, or (n, K) probabilities of focus levels. Its metadata tell name, task,
    architecture, normalisation, patch size and the checksum of the weights. It is tried in ONNX
    Runtime before it is in its place.

    Parameters
    ----------
    folder : Path
        Of a model of focus, or of a published network that rates.
    path : Path
        Of the file; an older one is replaced.

    Returns
    -------
    float
        The largest difference between Keras and ONNX Runtime on random patches.

    Raises
    ------
    ModelNotFoundError, ModelError
        As for reading the model; or it is of another kind, or gives other numbers in ONNX Runtime.
    MissingLibraryError
        Keras, what its export takes, or ONNX Runtime is not installed.
    FileError
        The file cannot be written.
    """
    description = read_description(folder)
    if not is_published(description) and description.task != FOCUS:
        raise ModelError(
            f"{description.name} runs on NumPy alone, without an export; models of {FOCUS} and the "
            "published networks of ratings can be exported."
        )
    network = _network_of(folder, description)
    try:
        import onnx
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise MissingLibraryError(
            f"An ONNX file takes what Keras exports with (pip install 'microscope-quality[onnx]'): "
            f"{error}."
        ) from error
    import keras

    size = description.patch_size
    signature = [keras.InputSpec(shape=(None, size, size), dtype="float32", name="patches")]
    with refusals(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as beside:
        try:
            with _quiet():
                network.export(beside, format="onnx", verbose=False, input_signature=signature)
            model = onnx.load(beside)
            told = {
                "name": description.name,
                "task": description.task,
                "architecture": description.architecture,
                "normalisation": description.normalisation,
                "patch_size": str(size),
                WEIGHTS_KEY: description.sha256,
            }
            onnx.helper.set_model_props(model, told)
            onnx.save(model, beside)
        except OSError as error:
            raise FileError(f"{path}: cannot be written: {reason_of(error, path)}") from error
        difference = _difference(network, beside, size)
        if not difference <= MOST_DIFFERENCE:
            raise ModelError(
                f"{description.name} gives other numbers in ONNX Runtime than in Keras, by "
                f"{difference:.2g}; nothing was written. Please report this."
            )
    return difference


def _network_of(folder: Path, description: ModelDescription) -> Any:
    if is_published(description):
        return load_keras(folder, read_published(folder))
    try:
        from microscope_quality.training import fitting
    except ImportError as error:
        raise MissingLibraryError(
            "An export takes Keras and TensorFlow (pip install 'microscope-quality[train]'): "
            f"{error}."
        ) from error
    from microscope_quality.training.architectures import COMPACT, Architecture

    _, weights = read_model(folder)
    architecture = Architecture(
        name=description.architecture,
        normalisation=description.normalisation,
        layers=tuple(dict(layer) for layer in description.layers),
        recipe=COMPACT.recipe,
        patch_size=description.patch_size,
    )
    network = fitting.build(architecture)
    fitting.start_from(network, architecture, weights)
    return network


def _difference(network: Any, path: Path, size: int) -> float:
    """Give by how much ONNX Runtime differs from Keras on random patches."""
    session = onnx_session(path)
    rng = np.random.default_rng(0)
    largest = 0.0
    # Other numbers of patches too: it must be free.
    for number in (1, 3):
        patches = rng.standard_normal((number, size, size), dtype=np.float32)
        found = session.run(None, {session.get_inputs()[0].name: patches})[0]
        largest = max(
            largest, float(np.abs(found - np.asarray(network(patches, training=False))).max())
        )
    return largest


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep from the screen what converters say of their own insides."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow", "absl")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before):
                logger.setLevel(level)
