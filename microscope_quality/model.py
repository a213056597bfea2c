"""Model folders: what is in them, how they are found, read, checked and written."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import stat
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality.arguments import (
    as_a,
    as_array,
    as_count,
    as_mapping,
    as_number,
    as_numbers,
    as_path,
    as_text,
    shown,
    shown_path,
)
from microscope_quality.errors import (
    FileError,
    ImageError,
    ModelError,
    ModelNotFoundError,
    OpticsError,
    SettingsError,
    reason_of,
)
from microscope_quality.network import MOST_PATCH_SIZE, Network, planned
from microscope_quality.optics import Optics

SCHEMA_VERSION = 1
DEFAULT_MODEL = "compact"
NORMALISATIONS = ("zscore", "type_range")
# A patch whose deviation is below this fraction of its mean's size is constant.
CONSTANT_DEVIATION = 1e-6

_DESCRIPTION_FILE = "model.json"
_WEIGHTS_FILE = "weights.npz"
# Far above any model's; nothing beyond is read, whatever a file or an archive's header says.
_MOST_DESCRIPTION_BYTES = 2**24
_MOST_WEIGHTS_BYTES = 2**30
_MOST_LEVELS = 1000
_LONGEST_NAME = 1000
# Patches normalised at a time, and their pixels: their float64 copies then stay in the cache.
_CHUNK = 8
_CHUNK_PIXELS = 2**20

_loaded: Dict[Path, FocusModel] = {}
_loading = threading.Lock()


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """What ``model.json`` says of a model.

    Attributes
    ----------
    name : str
        The name under which it is found.
    architecture : str
        Its kind, such as ``"compact"`` or ``"yang2018"``.
    patch_size : int
        Side of the patches in pixels, 1 to 1024.
    levels : int
        Number of defocus levels, from 0 (in focus); 2 to 1000.
    normalisation : str
        ``"zscore"`` or ``"type_range"``: see `normalise`.
    optics : Optics
        The microscope of the training images; its pixel size * NA / wavelength is the sampling
        that the model knows.
    sure_certainty : float
        The certainty, 0 to 1, from which a patch is sure.
    layers : tuple of dicts
        As `network.Network` takes them.
    training : dict
        The record of the training.
    licences : tuple
        Licences of the images that it was trained on.
    sha256 : str
        Checksum of ``weights.npz``, in hexadecimal; empty until written.
    schema_version : int
        Of the folder's format.

    Raises
    ------
    ModelError
        For a value that is out of its range.
    """

    name: str
    architecture: str
    patch_size: int
    levels: int
    normalisation: str
    optics: Optics
    sure_certainty: float
    layers: Tuple[Dict[str, Any], ...]
    training: Dict[str, Any] = dataclasses.field(default_factory=dict)
    licences: Tuple[Any, ...] = ()
    sha256: str = ""
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if not _is_known(self.schema_version):
            raise ModelError(
                f"Schema version {shown(self.schema_version)} is unknown; "
                f"this version of the library reads {SCHEMA_VERSION}."
            )
        for field, low, high in (("patch_size", 1, MOST_PATCH_SIZE), ("levels", 2, _MOST_LEVELS)):
            number = as_count(field, getattr(self, field), low, high, error=ModelError)
            object.__setattr__(self, field, number)
        for field in ("name", "architecture", "sha256"):
            if len(as_text(field, getattr(self, field), error=ModelError)) > _LONGEST_NAME:
                raise ModelError(f"{field} must have at most {_LONGEST_NAME} characters.")
        if not isinstance(self.normalisation, str) or self.normalisation not in NORMALISATIONS:
            raise ModelError(
                f"Normalisation {shown(self.normalisation)} is unknown; "
                f"known are {', '.join(NORMALISATIONS)}."
            )
        if not isinstance(self.optics, Optics):
            raise ModelError(f"optics must be an Optics, not {shown(self.optics)}.")
        as_number("sure_certainty", self.sure_certainty, 0, 1, error=ModelError)
        if not isinstance(self.layers, (list, tuple)) or not all(
            isinstance(layer, Mapping) for layer in self.layers
        ):
            raise ModelError("layers must be a list of objects.")
        if not isinstance(self.training, Mapping):
            raise ModelError("training must be an object.")
        if not isinstance(self.licences, (list, tuple)):
            raise ModelError("licences must be a list.")
        object.__setattr__(self, "layers", tuple(dict(layer) for layer in self.layers))
        object.__setattr__(self, "licences", tuple(self.licences))

    def to_dict(self) -> Dict[str, Any]:
        """Give the content of ``model.json``."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["optics"] = self.optics.to_dict()
        fields["layers"] = [dict(layer) for layer in self.layers]
        fields["licences"] = list(self.licences)
        return {"schema_version": fields.pop("schema_version"), **fields}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelDescription:
        """Read the content of ``model.json``.

        Raises
        ------
        ModelError
            For an unknown schema version, missing or unknown entries, or wrong values.
        """
        if not isinstance(values, Mapping):
            raise ModelError("The description must be an object.")
        version = values.get("schema_version")
        # Asked before anything else: another version may have other entries.
        if not _is_known(version):
            raise ModelError(
                f"Schema version {shown(version)} is unknown; "
                f"this version of the library reads {SCHEMA_VERSION}."
            )
        known = {field.name for field in dataclasses.fields(cls)}
        if set(values) != known:
            missing, unknown = sorted(known - set(values)), sorted(map(str, set(values) - known))
            found = [f"lacks {', '.join(missing)}"] if missing else []
            found += [f"has the unknown entries {', '.join(unknown)}"] if unknown else []
            raise ModelError(f"The description {' and '.join(found)}.")
        try:
            optics = Optics.from_dict(values["optics"])
        except OpticsError as error:
            raise ModelError(f"The optics of the description: {error}") from error
        return cls(**{**values, "optics": optics})


class FocusModel:
    """A trained model, ready to use; make one with `from_pretrained`.

    Nothing is written to the object after construction: it may be used from several threads.

    Parameters
    ----------
    description : ModelDescription
        What the model is.
    weights : mapping of str to ndarray
        As `network.Network` takes them.

    Raises
    ------
    ModelError
        When layers, weights, patch size and levels do not fit together, the last layer gives no
        probabilities, or the network would take more memory or time than any model needs; see
        `network.planned` and `network.Network`.
    """

    def __init__(self, description: ModelDescription, weights: Mapping[str, NDArray[Any]]) -> None:
        self.description = as_a(ModelDescription, "description", description)
        _check_layers(description)
        self._network = Network(description.layers, weights, description.patch_size)

    @classmethod
    def from_pretrained(cls, name_or_path: Union[str, os.PathLike[str], None] = None) -> FocusModel:
        """Load a model, once in a process.

        Parameters
        ----------
        name_or_path : str or path, optional
            A name out of `available_models`, or a model folder; without it, the default model.

        Raises
        ------
        ModelNotFoundError
            When there is none; the message lists the names that there are.
        ModelError
            When the folder is damaged.
        ArgumentError
            For what is neither a text nor a path.
        """
        folder = _find(DEFAULT_MODEL if name_or_path is None else name_or_path)
        with _loading:
            description = _read_description(folder)
            if folder not in _loaded or _loaded[folder].description != description:
                _loaded[folder] = _load(folder, description)
            return _loaded[folder]

    def predict(
        self,
        patches: NDArray[Any],
        *,
        masks: Optional[NDArray[np.bool_]] = None,
        type_max: Optional[float] = None,
    ) -> NDArray[np.float64]:
        """Give each patch's probabilities of the levels.

        Parameters
        ----------
        patches : (n, P, P) array of any integer or float type
            Finite wherever they are unmasked.
        masks : (n, P, P) array of bool, optional
            True where a pixel counts.
        type_max : float, optional
            The largest value of the image's type, for models with ``type_range``; see `normalise`.

        Returns
        -------
        (n, K) array of float64
            NaN in the rows of patches that are constant or mostly masked.

        Raises
        ------
        ImageError
            For patches of another shape or type, or that are not finite.
        SettingsError
            For masks that are not the patches' and a `type_max` that is not positive.
        """
        size = self.description.patch_size
        patches = as_numbers("patches", patches, shape=(None, size, size), error=ImageError)
        probabilities = np.full((len(patches), self.description.levels), np.nan)
        normalised, counts = normalise(
            patches, self.description.normalisation, masks=masks, type_max=type_max
        )
        if counts.all():
            probabilities[:] = self._network(normalised)
        else:
            probabilities[counts] = self._network(normalised[counts])
        return probabilities


def normalise(
    patches: NDArray[Any],
    normalisation: str,
    *,
    masks: Optional[NDArray[np.bool_]] = None,
    type_max: Optional[float] = None,
) -> Tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Bring patches to the scale that a model was trained with.

    ``zscore`` gives each patch mean 0 and population standard deviation 1. ``type_range`` divides
    by the largest value of the image's type, as published by Yang et al. (BMC Bioinformatics 19,
    77, 2018). Masked pixels take the patch's mean.

    Parameters
    ----------
    patches : (n, P, P) array of any integer or float type
        Finite wherever they are unmasked.
    normalisation : {"zscore", "type_range"}
        See above.
    masks : (n, P, P) array of bool, optional
        True where a pixel counts. Mean and deviation are over these pixels.
    type_max : float, optional
        For ``type_range``: the largest value of the image's type. By default it comes from the
        type of `patches`; floats are taken to lie in 0 to 1. What lies beyond is clipped.

    Returns
    -------
    normalised : (n, P, P) array of float32
        Zeros for patches that do not count.
    counts : (n,) array of bool
        False for a patch that is constant (deviation at most 1e-6 of its mean's size) or less
        than half unmasked.

    Raises
    ------
    SettingsError
        For an unknown normalisation, masks that are not the patches', and a `type_max` that is
        not positive.
    ImageError
        For patches of another shape or type, or that are not finite.
    """
    if as_text("normalisation", normalisation) not in NORMALISATIONS:
        raise SettingsError(
            f"Normalisation {shown(normalisation)} is unknown; "
            f"known are {', '.join(NORMALISATIONS)}."
        )
    patches = as_numbers("patches", patches, shape=(None, None, None), error=ImageError)
    if masks is not None:
        masks = as_numbers("masks", masks, shape=patches.shape, kinds="b")
    if type_max is None:
        type_max = float(np.iinfo(patches.dtype).max) if patches.dtype.kind in "iu" else 1.0
    type_max = as_number("type_max", type_max, float(np.finfo(np.float32).tiny))
    normalised = np.zeros(patches.shape, np.float32)
    counts = np.zeros(len(patches), np.bool_)
    if not patches.size:
        return normalised, counts
    at_a_time = max(1, min(_CHUNK, _CHUNK_PIXELS // (patches.shape[1] * patches.shape[2])))
    for start in range(0, len(patches), at_a_time):
        chunk = slice(start, start + at_a_time)
        with np.errstate(over="ignore"):
            values = patches[chunk].astype(np.float64).reshape(len(patches[chunk]), -1)
        counted = np.ones(len(values), np.bool_)
        pixels: Union[int, NDArray[np.intp]] = values.shape[1]
        if masks is not None:
            outside = ~masks[chunk].reshape(values.shape)
            values[outside] = 0
            counted = half_unmasked(masks[chunk])
            pixels = np.maximum(np.count_nonzero(~outside, axis=1), 1)
        if normalisation == "type_range":
            with np.errstate(over="ignore"):
                values = np.clip(values / type_max, 0, 1)
        elif patches.dtype.kind == "f" and patches.dtype.itemsize >= 8:
            # Powers of two, which do not round, keep sums of squares inside float64.
            exponent = np.frexp(np.abs(values).max(axis=1, keepdims=True))[1]
            values = np.ldexp(values, -exponent)
        with np.errstate(invalid="ignore"):
            mean = (values.sum(axis=1) / pixels)[:, np.newaxis]
        if not np.isfinite(mean).all():
            raise ImageError("patches must be finite wherever they are unmasked.")
        values -= mean
        if masks is not None:
            values[outside] = 0
        deviation = np.sqrt(np.einsum("ij,ij->i", values, values) / pixels)[:, np.newaxis]
        counted &= (deviation > CONSTANT_DEVIATION * np.abs(mean))[:, 0]
        values[~counted] = 0
        to = normalised[chunk].reshape(values.shape)
        if normalisation == "zscore":
            np.multiply(values, 1 / np.where(counted[:, np.newaxis], deviation, 1), out=to)
        else:
            np.add(values, mean * counted[:, np.newaxis], out=to)
        counts[chunk] = counted
    return normalised, counts


def half_unmasked(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which of (n, P, P) masks are True in at least half of their pixels: (n,) bool."""
    masks = as_numbers("masks", masks, shape=(None, None, None), kinds="b")
    pixels = masks.shape[1] * masks.shape[2]
    enough: NDArray[np.bool_] = 2 * np.count_nonzero(masks, axis=(1, 2)) >= pixels
    return enough


def zscore(
    patches: NDArray[Any], masks: Optional[NDArray[np.bool_]] = None
) -> Tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Give each patch mean 0 and population standard deviation 1: `normalise` with ``zscore``."""
    return normalise(patches, "zscore", masks=masks)


def available_models() -> Dict[str, Path]:
    """Give the name and folder of each model that comes with the library.

    They lie in ``pretrained``, either inside the package or, in a checkout, beside it.
    """
    package = Path(__file__).resolve().parent
    models: Dict[str, Path] = {}
    for place in (package / "pretrained", package.parent / "pretrained"):
        for description in sorted(place.glob(f"*/{_DESCRIPTION_FILE}")):
            models.setdefault(description.parent.name, description.parent)
    return models


def verify(folder: Union[str, os.PathLike[str]]) -> ModelDescription:
    """Read a model folder from disk and check all that loading checks.

    Raises
    ------
    ModelNotFoundError, ModelError
        As `FocusModel.from_pretrained`.
    """
    path = as_path("folder", folder)
    why_not = _why_no_folder(path)
    if why_not is not None:
        raise ModelNotFoundError(f"There is no folder {shown_path(path)}{why_not}.")
    path = path.resolve()
    return _load(path, _read_description(path)).description


def write_model(
    folder: Union[str, os.PathLike[str]],
    description: ModelDescription,
    weights: Mapping[str, ArrayLike],
) -> ModelDescription:
    """Write a model folder, whole or not at all.

    Parameters
    ----------
    folder : str or path
        New, empty, or a model folder, which is replaced.
    description : ModelDescription
        Its `sha256` is filled in.
    weights : mapping of str to array
        As `network.Network` takes them; stored as float32.

    Returns
    -------
    ModelDescription
        With the checksum.

    Raises
    ------
    ModelError
        When description and weights do not fit together; then nothing is written.
    FileError
        When the folder holds something else, or cannot be written.
    """
    target = _resolved(as_path("folder", folder))
    arrays = {
        as_text("The name of a weight", key): as_array(f"weights[{shown(key)}]", value)
        for key, value in as_mapping("weights", weights).items()
    }
    FocusModel(description, arrays)
    arrays = {key: array.astype(np.float32) for key, array in arrays.items()}
    archive = io.BytesIO()
    np.savez(archive, **arrays)  # type: ignore[arg-type]
    content = archive.getvalue()
    description = dataclasses.replace(description, sha256=hashlib.sha256(content).hexdigest())
    try:
        if target.exists() and not (
            target.is_dir()
            and ((target / _DESCRIPTION_FILE).is_file() or not any(target.iterdir()))
        ):
            raise FileError(f"{target} exists and is no model folder; choose another place.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as beside:
            fresh, old = Path(beside) / "new", Path(beside) / "old"
            fresh.mkdir()
            (fresh / _WEIGHTS_FILE).write_bytes(content)
            text = json.dumps(description.to_dict(), indent=2, ensure_ascii=False) + "\n"
            (fresh / _DESCRIPTION_FILE).write_text(text, encoding="utf-8")
            if target.exists():
                target.rename(old)
            fresh.rename(target)
    except FileError:
        raise
    except OSError as error:
        raise FileError(
            f"The model cannot be written to {shown_path(target)}: {reason_of(error, target)}."
        ) from error
    return description


def _find(name_or_path: Union[str, os.PathLike[str]]) -> Path:
    models = available_models()
    if isinstance(name_or_path, str) and name_or_path in models:
        return models[name_or_path]
    folder = as_path("name_or_path", name_or_path)
    why_not = _why_no_folder(folder)
    if why_not is None:
        return folder.resolve()
    names = ", ".join(sorted(models)) or "none"
    raise ModelNotFoundError(
        f"There is no model named {shown_path(folder)} and no folder of that path{why_not}; "
        f"models that come with the library: {names}."
    )


def _why_no_folder(path: Path) -> Optional[str]:
    """Give None for a folder, else what is to be said of it beside that it is none."""
    try:
        return None if stat.S_ISDIR(path.stat().st_mode) else ", but something else"
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return f": {error.strerror}"
    except ValueError:  # of a NUL or half a character
        return ": no file can have such a name"


def _resolved(path: Path) -> Path:
    """Give where a path leads, or raise `FileError`."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise FileError(f"{shown_path(path)} leads nowhere: {_brief(error)}.") from error


def _is_known(schema_version: Any) -> bool:
    return type(schema_version) is int and schema_version == SCHEMA_VERSION


def _check_layers(description: ModelDescription) -> None:
    """Refuse layers that would not give probabilities of the levels, before memory is taken."""
    last = planned(description.layers, description.patch_size)[-1]
    if last.result[0] != description.levels:
        raise ModelError(
            f"The layers give {last.result[0]} values, "
            f"but the description states {description.levels} levels."
        )
    if last.layer.get("activation") != "softmax":
        raise ModelError(
            "The last layer must be a dense one with softmax, whose values are probabilities; "
            f"it is {last.layer['kind']} with {last.layer.get('activation', 'no activation')}."
        )


def _read_description(folder: Path) -> ModelDescription:
    path = folder / _DESCRIPTION_FILE
    try:
        values = json.loads(_read_file(path, _MOST_DESCRIPTION_BYTES).decode("utf-8"))
        return ModelDescription.from_dict(values)
    except FileNotFoundError:
        raise ModelNotFoundError(f"{folder} is no model folder: {path.name} is missing.") from None
    except ModelError as error:
        raise ModelError(f"{path}: {_brief(error)}") from error
    except RecursionError as error:
        raise ModelError(f"{path} cannot be read: it is nested too deeply") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {reason_of(error, path)}") from error


def _read_file(path: Path, most_bytes: int) -> bytes:
    status = path.stat()
    # Opening a pipe or a device for reading could wait for ever.
    if not stat.S_ISREG(status.st_mode):
        raise ModelError("It is not a regular file.")
    if status.st_size > most_bytes:
        raise ModelError(f"It has {status.st_size} bytes; at most {most_bytes} are read.")
    with path.open("rb") as stream:
        # As much is taken from memory as is asked for, however little there is in the file.
        return stream.read(status.st_size)


def _load(folder: Path, description: ModelDescription) -> FocusModel:
    try:
        _check_layers(description)
    except ModelError as error:
        raise ModelError(f"{folder / _DESCRIPTION_FILE}: {_brief(error)}") from error
    path = folder / _WEIGHTS_FILE
    try:
        content = _read_file(path, _MOST_WEIGHTS_BYTES)
    except FileNotFoundError:
        raise ModelError(f"{folder} is damaged: {path.name} is missing.") from None
    except (OSError, ModelError) as error:
        raise ModelError(f"{path} cannot be read: {reason_of(error, path)}") from error
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise ModelError(
            f"{path} is truncated or no archive: its {len(content)} bytes have no end record."
        )
    found = hashlib.sha256(content).hexdigest()
    if found != description.sha256:
        raise ModelError(
            f"{path} has the wrong checksum: {found}, not {description.sha256[:64]} "
            f"as {_DESCRIPTION_FILE} states."
        )
    try:
        weights = _read_weights(content)
    except ModelError as error:
        raise ModelError(f"{path} {_brief(error)}") from error
    except Exception as error:  # the decoders of an archive raise what they like
        raise ModelError(f"{path} cannot be read: {_brief(error)}") from error
    try:
        return FocusModel(description, weights)
    except ModelError as error:
        raise ModelError(f"{folder}: {_brief(error)}") from error


def _read_weights(content: bytes) -> Dict[str, NDArray[Any]]:
    """Arrays of an archive; none takes memory beyond what the archive really holds."""
    weights: Dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        claimed = sum(member.file_size for member in members)
        if claimed > _MOST_WEIGHTS_BYTES:
            raise ModelError(
                f"would unpack to {claimed} bytes; at most {_MOST_WEIGHTS_BYTES} are read."
            )
        for member in members:
            key = member.filename[:-4] if member.filename.endswith(".npy") else member.filename
            with archive.open(member) as stream:
                version = np.lib.format.read_magic(stream)
                if version == (1, 0):
                    header = np.lib.format.read_array_header_1_0(stream)
                else:
                    header = np.lib.format.read_array_header_2_0(stream)
                shape, in_columns, dtype = header
                if dtype.hasobject:
                    raise ModelError("holds Python objects, which are never loaded.")
                if dtype.kind != "f":
                    raise ModelError(f"holds {key!r} of the type {dtype}; weights are floats.")
                n_bytes = math.prod(shape) * dtype.itemsize
                # An archive's reader gives no more than `file_size`, and less from a damaged one.
                if min(shape, default=0) < 0 or stream.tell() + n_bytes != member.file_size:
                    raise ModelError(
                        f"holds {key!r} of {member.file_size} bytes, which are not the "
                        f"{n_bytes} bytes that its shape {shape} takes."
                    )
                values = np.frombuffer(stream.read(n_bytes), dtype)
                weights[key] = values.reshape(shape, order="F" if in_columns else "C")
    return weights


def _brief(error: Exception) -> str:
    """Give what an error says of a file's content, which may be of any length."""
    said = " ".join(str(error).split()) or type(error).__name__
    return said if len(said) <= 400 else f"{said[:400]} …"
