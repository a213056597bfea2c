"""Arguments of functions: what they have to be, and the sentence about one that is not.

Each function gives the argument as the one type that the library goes on with, or raises: an
`ArgumentError` for another kind of thing, a `SettingsError` for a value out of its range, or for
both the error that is asked for.
"""

from __future__ import annotations

import math
import numbers
import os
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, Type, TypeVar

import numpy as np
from numpy.typing import NDArray

from microscope_quality.errors import (
    ArgumentError,
    MicroscopeQualityError,
    SettingsError,
)

Float64Array = NDArray[np.float64]
Error = Optional[Type[MicroscopeQualityError]]
_Kind = TypeVar("_Kind")

MOST_PIXELS = 10**9
"""Pixels of a plane that is made in memory."""

# Beyond these, a value is described rather than repeated.
_LONGEST_TEXT = 60
_LONGEST_PATH = 1000
_LARGEST_WHOLE = 10**30
# Of what is counted, unless a function says less.
_LARGEST_COUNT = 2**63 - 1
# What another library says of an array that it cannot make.
_LONGEST_REASON = 200


def shown(value: Any) -> str:
    """Give a value as a message tells it, however long it is."""
    if isinstance(value, (str, bytes)):
        return repr(value) if len(value) <= _LONGEST_TEXT else f"{value[:_LONGEST_TEXT]!r} …"
    if isinstance(value, os.PathLike):
        return shown_path(value)
    if isinstance(value, int) and abs(value) > _LARGEST_WHOLE:
        return "a whole number of over 30 digits"
    if value is None or isinstance(value, (bool, int, float, complex)):
        return repr(value) if type(value).__module__ == "builtins" else str(value)
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {brief(str(value.dtype))}"
    if isinstance(value, np.generic):
        return f"{brief(str(value))} of type {value.dtype.name}"
    if isinstance(value, (list, tuple, dict, set)):
        return f"a {type(value).__name__} of length {len(value)}" if value else repr(value)
    return f"an object of type {type(value).__name__}"


def shown_path(path: Any) -> str:
    """Give the path of a file as a message tells it: more of it than of other texts."""
    name = os.fspath(path)
    return repr(name) if len(name) <= _LONGEST_PATH else f"{name[:_LONGEST_PATH]!r} …"


def told(value: Any, array: NDArray[Any]) -> str:
    """Give a value, of which an array was made, as a message tells it."""
    return shown(array) if isinstance(value, (list, tuple, np.ndarray)) else shown(value)


def brief(text: str, most: int = _LONGEST_TEXT) -> str:
    """Cut a text that is long."""
    return text if len(text) <= most else f"{text[:most]} …"


def plain(value: Any) -> Any:
    """Give a number or an array of NumPy's as Python's own, and None for what is no number."""
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_number(
    name: str,
    value: Any,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    infinite: bool = False,
    error: Error = None,
) -> float:
    """Give a real number.

    Parameters
    ----------
    name : str
        The argument's.
    value : number
        Of Python or NumPy, or an array of no dimensions.
    low, high : float
        The range, with its ends.
    infinite : bool
        Whether infinity is a value.
    error : type, optional
        Raised in place of `ArgumentError` and `SettingsError`.
    """
    found = _float(name, value, error)
    if math.isnan(found) or not low <= found <= high or (math.isinf(found) and not infinite):
        raise (error or SettingsError)(
            f"{name} must be {_range(low, high, 'finite')}, not {shown(value)}."
        )
    return found


def as_positive(name: str, value: Any, *, error: Error = None) -> float:
    """Give a finite number above 0; see `as_number`."""
    number = _float(name, value, error)
    if not 0 < number < math.inf:
        raise (error or SettingsError)(f"{name} must be positive and finite, not {number:g}.")
    return number


def as_count(
    name: str,
    value: Any,
    low: int = 0,
    high: int = _LARGEST_COUNT,
    *,
    error: Error = None,
) -> int:
    """Give a whole number; see `as_number`."""
    number = _scalar(value)
    if isinstance(number, _NO_NUMBERS) or not isinstance(number, numbers.Integral):
        raise (error or ArgumentError)(f"{name} must be a whole number, not {shown(value)}.")
    if not low <= int(number) <= high:
        raise (error or SettingsError)(
            f"{name} must be a whole number {_range(low, high)}, not {shown(value)}."
        )
    return int(number)


def as_seed(value: Any) -> int:
    """Give the start of random numbers."""
    return as_count("seed", value, 0, 2**256)


def as_flag(name: str, value: Any) -> bool:
    """Give True or False; a text such as "no" counts as neither."""
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentError(f"{name} must be True or False, not {shown(value)}.")
    return bool(value)


def as_text(name: str, value: Any, *, error: Error = None) -> str:
    """Give a text."""
    if not isinstance(value, str):
        raise (error or ArgumentError)(f"{name} must be a text, not {shown(value)}.")
    return value


def as_a(kind: Type[_Kind], name: str, value: Any) -> _Kind:
    """Give what is of a class."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise ArgumentError(f"{name} must be {article} {kind.__name__}, not {shown(value)}.")
    return value


def as_mapping(name: str, value: Any) -> Mapping[Any, Any]:
    """Give what has entries by name."""
    if not isinstance(value, Mapping):
        raise ArgumentError(f"{name} must be a mapping, such as a dict, not {shown(value)}.")
    return value


def as_entries(
    name: str, value: Any, names: Iterable[str], *, error: Error = None
) -> Dict[str, Any]:
    """Give what has exactly these entries."""
    names = list(names)
    asked = f"{name} must have exactly the entries {', '.join(names)}"
    if not isinstance(value, Mapping):
        raise (error or SettingsError)(f"{asked}, not {shown(value)}.")
    missing = [name for name in names if name not in value]
    unknown = sorted(shown(key) for key in value if key not in names)
    if missing or unknown:
        wrong = ((missing, "missing"), (unknown, "unknown"))
        found = [f"{', '.join(keys)} {what}" for keys, what in wrong if keys]
        raise (error or SettingsError)(f"{asked}: {'; '.join(found)}.")
    return dict(value)


def as_iterator(name: str, value: Any, of: str) -> Iterator[Any]:
    """Give an iterator over what can be gone through; a text or a mapping is one thing."""
    try:
        if isinstance(value, (str, bytes, dict)):
            raise TypeError
        return iter(value)
    except TypeError:
        raise ArgumentError(f"{name} must be a sequence of {of}, not {shown(value)}.") from None


def as_list(name: str, value: Any, of: str) -> List[Any]:
    """Give a list; see `as_iterator`."""
    return list(as_iterator(name, value, of))


def as_path(name: str, value: Any) -> Path:
    """Give the path of a file or folder."""
    try:
        path = os.fspath(value)
    except TypeError:
        path = None
    if not isinstance(path, str):
        raise ArgumentError(
            f"{name} must be a path, as a text or a pathlib.Path, not {shown(value)}."
        )
    if not path:
        raise SettingsError(f"{name} must name a file or folder, and is empty.")
    return Path(path)


def as_sides(name: str, value: Any, low: int = 0) -> Tuple[int, int]:
    """Give the height and width of a plane."""
    sides = [as_count(f"A side in {name}", side, low) for side in as_list(name, value, "two sides")]
    if len(sides) != 2:
        raise SettingsError(f"{name} must be a height and a width, not {len(sides)} numbers.")
    return sides[0], sides[1]


def as_shape(name: str, value: Any) -> Tuple[int, int]:
    """Give the height and width of a plane that is to be made."""
    height, width = as_sides(name, value, 1)
    if height * width > MOST_PIXELS:
        raise SettingsError(
            f"{name} must be of at most {MOST_PIXELS} pixels, not {height} x {width}."
        )
    return height, width


def as_array(name: str, value: Any, *, error: Error = None) -> NDArray[Any]:
    """Give an array of whatever type."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError) as reason:
        if isinstance(reason, MicroscopeQualityError):
            raise
        raise (error or ArgumentError)(
            f"{name} must be an array, and cannot be made one: "
            f"{brief(str(reason).rstrip('.'), _LONGEST_REASON)}."
        ) from reason


def as_numbers(
    name: str,
    value: Any,
    *,
    shape: Optional[Tuple[Optional[int], ...]] = None,
    kinds: str = "buif",
    error: Error = None,
) -> NDArray[Any]:
    """Give an array of real numbers.

    Parameters
    ----------
    name : str
        The argument's.
    value : array
        Of any integers, floats or truth values; a list of them is one.
    shape : tuple, optional
        The length of each axis, None for any.
    kinds : str
        Letters of the kinds of types that it may have, as `numpy.dtype.kind` has them.
    error : type, optional
        Raised in place of `ArgumentError` and `SettingsError`.
    """
    array = as_array(name, value, error=error)
    if array.dtype.kind not in kinds:
        # A list without numbers has no type of its own.
        if array.size or not isinstance(value, (list, tuple)):
            what = {"b": "of True and False", "iu": "of whole numbers"}.get(kinds, "of numbers")
            raise (error or ArgumentError)(
                f"{name} must be an array {what}, not {told(value, array)}."
            )
        array = array.astype(np.intp)
    if shape is not None and (
        array.ndim != len(shape)
        or any(want is not None and have != want for have, want in zip(array.shape, shape))
    ):
        wanted = " x ".join("n" if length is None else str(length) for length in shape)
        raise (error or SettingsError)(
            f"{name} must be an array of {wanted} values, not one of shape {array.shape}."
        )
    return array


def as_floats(
    name: str,
    value: Any,
    *,
    shape: Optional[Tuple[Optional[int], ...]] = None,
    low: float = -math.inf,
    high: float = math.inf,
    nan: bool = True,
    error: Error = None,
) -> Float64Array:
    """Give an array of float64, see `as_numbers`, of values in a range or, if allowed, NaN."""
    array = as_numbers(name, value, shape=shape, error=error)
    with np.errstate(over="ignore"):
        floats = array.astype(np.float64)
    wrong = floats[~((floats >= low) & (floats <= high) | (nan & np.isnan(floats)))]
    if wrong.size:
        raise (error or SettingsError)(
            f"{name} must have values {_range(low, high) or 'that are numbers'}, not {wrong[0]:g}."
        )
    return floats


# Of NumPy's numbers, a duration counts as a whole one.
_NO_NUMBERS = (bool, np.bool_, np.timedelta64)


def _float(name: str, value: Any, error: Error) -> float:
    number = _scalar(value)
    if isinstance(number, _NO_NUMBERS) or not isinstance(number, numbers.Real):
        raise (error or ArgumentError)(f"{name} must be a number, not {shown(value)}.")
    try:
        with np.errstate(over="ignore"):
            return float(number)
    except OverflowError:
        return math.inf if number == abs(number) else -math.inf


def _scalar(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf":
        return value[()]
    return value


def _range(low: float, high: float, otherwise: str = "") -> str:
    if math.isinf(low) and math.isinf(high):
        return otherwise
    if high in (math.inf, _LARGEST_COUNT):
        return f"from {low:g}"
    if isinstance(low, int) and isinstance(high, int):
        return f"from {low} to {high}"
    return f"from {low:g} to {high:g}"
