"""Model folders: what is in them, how they are found, read, checked and written."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
import re
import stat
import tempfile
import threading
import zipfile
from pathlib import Path
from typing import Any, ClassVar, Dict, Mapping, Optional, Tuple, Type, TypeVar, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from microscope_quality.arguments import (
    as_a,
    as_array,
    as_count,
    as_entries,
    as_mapping,
    as_number,
    as_numbers,
    as_path,
    as_text,
    shown,
    shown_path,
)
from microscope_quality.errors import (
    ArgumentError,
    FileError,
    ImageError,
    ModelError,
    ModelNotFoundError,
    OpticsError,
    SettingsError,
    reason_of,
)
from microscope_quality.network import MOST_PATCH_SIZE, Network, Step, planned
from microscope_quality.normalisation import check_normalisation, normalise
from microscope_quality.optics import Optics

#: Of what is written; all up to it are read.
SCHEMA_VERSION = 2
FOCUS = "focus"
DEFAULT_MODEL = "compact"

_DESCRIPTION_FILE = "model.json"
_WEIGHTS_FILE = "weights.npz"
#: The file of a network that Keras or ONNX Runtime runs, instead of the weights for NumPy.
KERAS_FILE = "model.keras"
# Far above any model's; nothing beyond is read, whatever a file or an archive's header says.
_MOST_DESCRIPTION_BYTES = 2**24
_MOST_WEIGHTS_BYTES = 2**30
_MOST_LEVELS = 1000
_LONGEST_NAME = 1000

_Kind = TypeVar("_Kind", bound="Model")

_loaded: Dict[Path, Model] = {}
_loading = threading.Lock()


@dataclasses.dataclass(frozen=True)
class FocusTask:
    """What a model of focus knows beside its network.

    Attributes
    ----------
    levels : int
        Number of defocus levels, from 0 (in focus); 2 to 1000.
    optics : Optics
        The microscope of the training images; its pixel size * NA / wavelength is the sampling
        that the model knows.
    sure_certainty : float
        The certainty, 0 to 1, from which a patch is sure.

    Raises
    ------
    ModelError
        For a value that is out of its range.
    """

    levels: int
    optics: Optics
    sure_certainty: float

    def __post_init__(self) -> None:
        levels = as_count("levels", self.levels, 2, _MOST_LEVELS, error=ModelError)
        object.__setattr__(self, "levels", levels)
        if not isinstance(self.optics, Optics):
            raise ModelError(f"optics must be an Optics, not {shown(self.optics)}.")
        as_number("sure_certainty", self.sure_certainty, 0, 1, error=ModelError)

    def to_dict(self) -> Dict[str, Any]:
        """Give the object that ``model.json`` has for it."""
        return {**vars(self), "optics": self.optics.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FocusTask:
        """Read what `to_dict` gives.

        Raises
        ------
        ModelError
            For missing or unknown entries, or wrong values.
        """
        entries = as_entries(FOCUS, values, cls.__annotations__, error=ModelError)
        try:
            entries["optics"] = Optics.from_dict(entries["optics"])
        except OpticsError as error:
            raise ModelError(f"The optics of the description: {error}") from error
        return cls(**entries)


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """What ``model.json`` says of a model.

    Attributes
    ----------
    name : str
        The name under which it is found.
    task : str
        What it was trained for, such as ``"focus"``.
    architecture : str
        Its kind, such as ``"compact"`` or ``"yang2018"``.
    patch_size : int
        Side of the patches in pixels, 1 to 1024.
    normalisation : str
        ``"zscore"`` or ``"type_range"``: see `normalisation.normalise`.
    details : FocusTask or dict
        What belongs to the task: a `FocusTask` for focus, an object as it stands in the file for
        tasks that this version of the library does not know.
    layers : tuple of dicts
        As `network.Network` takes them.
    training : dict
        The record of the training.
    licences : tuple
        Licences of the images that it was trained on.
    sha256 : str
        Checksum of its file of weights, in hexadecimal; empty until written.

    Raises
    ------
    ModelError
        For a value that is out of its range.
    """

    name: str
    task: str
    architecture: str
    patch_size: int
    normalisation: str
    details: Union[FocusTask, Mapping[str, Any]]
    layers: Tuple[Dict[str, Any], ...]
    training: Dict[str, Any] = dataclasses.field(default_factory=dict)
    licences: Tuple[Any, ...] = ()
    sha256: str = ""

    def __post_init__(self) -> None:
        size = as_count("patch_size", self.patch_size, 1, MOST_PATCH_SIZE, error=ModelError)
        object.__setattr__(self, "patch_size", size)
        for field in ("name", "architecture", "sha256"):
            if len(as_text(field, getattr(self, field), error=ModelError)) > _LONGEST_NAME:
                raise ModelError(f"{field} must have at most {_LONGEST_NAME} characters.")
        check_normalisation(self.normalisation, error=ModelError)
        kind = FocusTask if _checked_task(self.task) == FOCUS else Mapping
        if not isinstance(self.details, kind):
            raise ModelError(f"{self.task} must be an object, not {shown(self.details)}.")
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

    @property
    def focus(self) -> FocusTask:
        """What it knows of focus; a model of another task raises `ModelError`."""
        if not isinstance(self.details, FocusTask):
            raise ModelError(
                f"{shown(self.name)} is a model of the task {shown(self.task)}, not of {FOCUS}."
            )
        return self.details

    @property
    def levels(self) -> int:
        """See `FocusTask`; so are the next two."""
        return self.focus.levels

    @property
    def optics(self) -> Optics:
        return self.focus.optics

    @property
    def sure_certainty(self) -> float:
        return self.focus.sure_certainty

    def to_dict(self) -> Dict[str, Any]:
        """Give the content of ``model.json``."""
        details = self.details
        return {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "task": self.task,
            "architecture": self.architecture,
            "patch_size": self.patch_size,
            "normalisation": self.normalisation,
            self.task: details.to_dict() if isinstance(details, FocusTask) else dict(details),
            "layers": [dict(layer) for layer in self.layers],
            "training": self.training,
            "licences": list(self.licences),
            "sha256": self.sha256,
        }

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
        if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
            raise ModelError(
                f"Schema version {shown(version)} is unknown; "
                f"this version of the library reads those up to {SCHEMA_VERSION}."
            )
        own = [field for field in cls.__annotations__ if field not in ("task", "details")]
        names = ["schema_version", *own]
        # At first all models were of focus, whose entries stood among the others.
        task = FOCUS if version == 1 else _checked_task(values.get("task", FOCUS))
        names += FocusTask.__annotations__ if version == 1 else ["task", task]
        entries = as_entries("The description", values, names, error=ModelError)
        if version == 1:
            entries[FOCUS] = {key: entries[key] for key in FocusTask.__annotations__}
        details = FocusTask.from_dict(entries[task]) if task == FOCUS else entries[task]
        return cls(task=task, details=details, **{key: entries[key] for key in own})


class Model:
    """A trained model of whatever task; each task has a class of its own.

    Nothing is written to the object after construction: it may be used from several threads.

    Parameters
    ----------
    description : ModelDescription
        What the model is.
    weights : mapping of str to ndarray
        As `network.Network` takes them; and what the task has beside them, under its name and a
        slash.

    Raises
    ------
    ModelError
        When it is of another task than the class, layers, weights, patch size and what the task
        states do not fit together, or the network would take more memory or time than any model
        needs; see `network.planned` and `network.Network`.
    """

    task: ClassVar[Optional[str]] = None
    default: ClassVar[str] = ""

    def __init__(self, description: ModelDescription, weights: Mapping[str, NDArray[Any]]) -> None:
        self.check(description)
        self.description = description
        # Arrays under the task's own name are no layer's.
        own = f"{description.task}/"
        arrays = as_mapping("weights", weights)
        self._weights = {k: value for k, value in arrays.items() if not str(k).startswith(own)}
        self._network = Network(description.layers, self._weights, description.patch_size)

    def __repr__(self) -> str:
        """Tell its name, task and patches."""
        one, details = self.description, self.description.details
        levels = f", {details.levels} levels" if isinstance(details, FocusTask) else ""
        size = one.patch_size
        return f"<{type(self).__name__} {one.name!r}: {one.task}{levels}, {size} x {size} patches>"

    @classmethod
    def check(cls, description: ModelDescription) -> None:
        """Refuse a description of another task, or of layers that would not serve it.

        No memory is taken before.
        """
        as_a(ModelDescription, "description", description)
        if cls.task not in (None, description.task):
            raise ModelError(
                f"{shown(description.name)} is a model of the task {shown(description.task)}, "
                f"not of {cls.task}."
            )
        if not description.layers:
            raise ModelError(
                f"{shown(description.name)} has no layers for NumPy; a network of Keras or ONNX "
                "Runtime that rates is loaded by `rating.published.rater_of`."
            )
        last = planned(description.layers, description.patch_size)[-1]
        if isinstance(description.details, FocusTask):
            _check_last(last, description.levels)

    @classmethod
    def from_pretrained(
        cls: Type[_Kind], name_or_path: Union[str, os.PathLike[str], None] = None
    ) -> _Kind:
        """Load a model, once in a process.

        Parameters
        ----------
        name_or_path : str or path, optional
            A name out of `available_models`, or a model folder; without it, the default model of
            the task.

        Raises
        ------
        ModelNotFoundError
            When there is none; the message lists the names that there are.
        ModelError
            When the folder is damaged, or the model of another task.
        ArgumentError
            For what is neither a text nor a path.
        """
        folder = find_model(cls.default if name_or_path is None else name_or_path)
        with _loading:
            description = _read_description(folder)
            loaded = _loaded.get(folder)
            if not isinstance(loaded, cls) or loaded.description != description:
                loaded, _ = _load(cls, folder, description)
                _loaded[folder] = loaded
            return loaded


class FocusModel(Model):
    """A trained model of focus, ready to use; make one with `from_pretrained`.

    Parameters and errors are those of `Model`.
    """

    task = FOCUS
    default = DEFAULT_MODEL

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


ModelLike = Union[FocusModel, str, "os.PathLike[str]", None]


def as_model(model: ModelLike) -> FocusModel:
    """Give the model that an argument of `focus.measure_focus` names."""
    if isinstance(model, FocusModel):
        return model
    if model is not None and not isinstance(model, (str, os.PathLike)):
        raise ArgumentError(
            f"model must be a FocusModel, or the name or folder of one, not {shown(model)}."
        )
    return FocusModel.from_pretrained(model)


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


def find_model(name_or_path: Union[str, os.PathLike[str]]) -> Path:
    """Give the folder of a model, by a name out of `available_models` or its path.

    Raises
    ------
    ModelNotFoundError
        When there is none; the message lists the names that there are.
    ArgumentError
        For what is neither a text nor a path.
    """
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


def verify(folder: Union[str, os.PathLike[str]]) -> ModelDescription:
    """Read a model folder from disk and check all that loading checks.

    Raises
    ------
    ModelNotFoundError, ModelError
        As `FocusModel.from_pretrained`.
    """
    return read_model(folder)[0]


def read_model(
    folder: Union[str, os.PathLike[str]],
) -> Tuple[ModelDescription, Dict[str, NDArray[Any]]]:
    """Read a model folder from disk, checked as loading checks it.

    Parameters
    ----------
    folder : str or path
        Of a model; see `find_model` for the folder of a name.

    Returns
    -------
    ModelDescription
        Out of ``model.json``.
    dict of str to ndarray
        The weights, as `network.Network` takes them; read-only.

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
    description = _read_description(path)
    _, weights = _load(Model, path, description)
    return description, weights


def read_description(folder: Union[str, os.PathLike[str]]) -> ModelDescription:
    """Read what ``model.json`` says of a model, and none of its weights.

    Parameters
    ----------
    folder : str or path
        Of a model; see `find_model` for the folder of a name.

    Raises
    ------
    ModelNotFoundError, ModelError
        As `FocusModel.from_pretrained`, but for what the weights have.
    """
    path = as_path("folder", folder)
    why_not = _why_no_folder(path)
    if why_not is not None:
        raise ModelNotFoundError(f"There is no folder {shown_path(path)}{why_not}.")
    return _read_description(path.resolve())


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
    arrays = {
        as_text("The name of a weight", key): as_array(f"weights[{shown(key)}]", value)
        for key, value in as_mapping("weights", weights).items()
    }
    target = _resolved(as_path("folder", folder))
    Model(description, arrays)
    arrays = {key: array.astype(np.float32) for key, array in arrays.items()}
    archive = io.BytesIO()
    np.savez(archive, **arrays)  # type: ignore[arg-type]
    return write_folder(target, description, _WEIGHTS_FILE, archive.getvalue())


def write_folder(
    folder: Union[str, os.PathLike[str]],
    description: ModelDescription,
    name: str,
    content: bytes,
) -> ModelDescription:
    """Write a model folder of a description and one file of weights, whole or not at all.

    Parameters
    ----------
    folder : str or path
        New, empty, or a model folder, which is replaced.
    description : ModelDescription
        Its `sha256` is filled in: that of the content.
    name : {"weights.npz", "model.keras"}
        Of the file of weights.
    content : bytes
        Of that file; not looked into.

    Returns
    -------
    ModelDescription
        With the checksum.

    Raises
    ------
    FileError
        When the folder holds something else, or cannot be written.
    SettingsError
        For another name.
    """
    target = _resolved(as_path("folder", folder))
    as_a(ModelDescription, "description", description)
    as_a(bytes, "content", content)
    if as_text("name", name) not in (_WEIGHTS_FILE, KERAS_FILE):
        raise SettingsError(f"name must be {_WEIGHTS_FILE} or {KERAS_FILE}, not {shown(name)}.")
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
            (fresh / name).write_bytes(content)
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


def _check_last(last: Step, levels: int) -> None:
    """Refuse a last layer that would not give probabilities of the levels."""
    if last.result[0] != levels:
        raise ModelError(
            f"The layers give {last.result[0]} values, but the description states {levels} levels."
        )
    if last.layer.get("activation") != "softmax":
        raise ModelError(
            "The last layer must be a dense one with softmax, whose values are probabilities; "
            f"it is {last.layer['kind']} with {last.layer.get('activation', 'no activation')}."
        )


def _checked_task(task: Any) -> str:
    name = as_text("task", task, error=ModelError)
    # Its object stands among the other entries, under its name.
    taken = {"schema_version", *ModelDescription.__annotations__}
    if name in taken or not re.fullmatch("[a-z][a-z0-9_]{0,99}", name):
        raise ModelError(f"task must be one word in small letters, not {shown(task)}.")
    return name


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


def _load(
    kind: Type[_Kind], folder: Path, description: ModelDescription
) -> Tuple[_Kind, Dict[str, NDArray[Any]]]:
    """Make a model of a folder that holds this description, and give its weights."""
    try:
        kind.check(description)
    except ModelError as error:
        raise ModelError(f"{folder / _DESCRIPTION_FILE}: {_brief(error)}") from error
    weights = _read_weights(folder, description)
    try:
        return kind(description, weights), weights
    except ModelError as error:
        raise ModelError(f"{folder}: {_brief(error)}") from error


def _read_weights(folder: Path, description: ModelDescription) -> Dict[str, NDArray[Any]]:
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
        return _unpacked(content)
    except ModelError as error:
        raise ModelError(f"{path} {_brief(error)}") from error
    except Exception as error:  # the decoders of an archive raise what they like
        raise ModelError(f"{path} cannot be read: {_brief(error)}") from error


def _unpacked(content: bytes) -> Dict[str, NDArray[Any]]:
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
