"""The microscope's optics: blur diameters, distances from focus and defocus levels."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Dict, Mapping, TypeVar, cast

import numpy as np
import numpy.typing as npt

from microscope_quality.arguments import (
    as_entries,
    as_flag,
    as_floats,
    as_mapping,
    as_number,
    as_positive,
    as_text,
    shown,
)
from microscope_quality.errors import OpticsError
from microscope_quality.light import blur_of_defocus, defocus_of_blur

BLUR_PX_PER_LEVEL = 3.08
"""Pixels of blur diameter from one defocus level to the next."""

N_LEVELS = 11
"""Number of defocus levels, 0 (in focus) to 10."""

WIDEST_FOCUS_LEVELS = 0.6
"""What is wider in focus than this, in levels, looks like defocus: with pixels 1.6 times finer than
those of `TRAINING_OPTICS` a point is so wide."""

FloatArray = npt.NDArray[np.float64]
_FloatOrArray = TypeVar("_FloatOrArray", float, FloatArray)

# A wavelength above this is a number of nanometres: no light that forms an image is that long.
_LONGEST_WAVELENGTH_UM = 20.0
# From electrons to a telescope's view: beyond, a number is a mistake, and products overflow.
_RANGES = {
    "na": (1e-6, 4.0),
    "refractive_index": (0.1, 10.0),
    "wavelength_um": (1e-7, math.inf),
    "pixel_size_um": (1e-7, 1e6),
}


@dataclass(frozen=True)
class Optics:
    """An objective, the light and the sampling.

    Parameters
    ----------
    na : float
        Numerical aperture, below the refractive index.
    refractive_index : float
        Refractive index of the immersion medium: 1 for air, 1.33 for water, 1.515 for oil.
    wavelength_um : float
        Vacuum wavelength of the light that is imaged (the emission in fluorescence), in µm.
    pixel_size_um : float
        Side of a pixel in the plane of the specimen, in µm.

    Raises
    ------
    OpticsError
        If a value is not a positive, finite number, of a size that no microscope has, or the
        optics cannot exist.
    """

    na: float
    refractive_index: float
    wavelength_um: float
    pixel_size_um: float

    def __post_init__(self) -> None:
        for field in fields(self):
            number = checked_value(field.name, getattr(self, field.name))
            object.__setattr__(self, field.name, number)
        if self.na >= self.refractive_index:
            raise OpticsError(
                f"na must be below the refractive index: na = {self.na:g} is not possible "
                f"in a medium of refractive index {self.refractive_index:g}."
            )
        if self.wavelength_um > _LONGEST_WAVELENGTH_UM:
            raise OpticsError(
                f"wavelength_um must be in micrometres: {self.wavelength_um:g} µm is no light; "
                f"{self.wavelength_um:g} nm would be {self.wavelength_um / 1000:g}."
            )

    def blur_diameter_px(self, defocus_um: _FloatOrArray) -> _FloatOrArray:
        """Blur diameter of the point spread function, in pixels.

        It is √2 times the diameter of the circle around the optical axis that holds half of the
        light, before the pixel adds its own blur: that of `psf` with the exact phase.

        Parameters
        ----------
        defocus_um : float or ndarray
            Distance from focus in µm; its sign does not matter.

        Returns
        -------
        float or ndarray of float64
            As `defocus_um`; NaN where that is NaN. In focus it is 0.756·λ/NA, and it rises
            steadily from there.
        """
        distance_um = _magnitude("defocus_um", defocus_um, signed=True)
        with np.errstate(over="ignore"):
            blur = blur_of_defocus(self.sine, distance_um / self._unit_um)
            return _as_given(defocus_um, blur * (self._unit_um / self.pixel_size_um))

    def defocus_um(self, blur_diameter_px: _FloatOrArray) -> _FloatOrArray:
        """Distance from focus, in µm and without a sign, that blurs a point to this diameter.

        Parameters
        ----------
        blur_diameter_px : float or ndarray
            Blur diameter in pixels as `blur_diameter_px` gives it, 0 or more.

        Returns
        -------
        float or ndarray of float64
            As `blur_diameter_px`; 0 up to the blur in focus, NaN where that is NaN.

        Raises
        ------
        OpticsError
            If a diameter is negative.
        """
        diameter_px = _magnitude("blur_diameter_px", blur_diameter_px)
        with np.errstate(over="ignore"):
            blur = diameter_px * (self.pixel_size_um / self._unit_um)
            distance_um = defocus_of_blur(self.sine, blur) * self._unit_um
            return _as_given(blur_diameter_px, distance_um)

    def added_blur_px(
        self, defocus_um: _FloatOrArray, *, widest_px: float = math.inf
    ) -> _FloatOrArray:
        """Blur diameter that defocus adds to that of a point in focus: see `added_blur`.

        Parameters
        ----------
        defocus_um : float or ndarray
            Distance from focus in µm; its sign does not matter.
        widest_px : float
            What the blur in focus exceeds counts as added.

        Returns
        -------
        float or ndarray of float64
            As `defocus_um`; NaN where that is NaN.
        """
        widest_px = as_number("widest_px", widest_px, 0, infinite=True, error=OpticsError)
        return added_blur(self.blur_diameter_px(defocus_um), self.blur_diameter_px(0.0), widest_px)

    def defocus_of_added_blur(
        self, added_px: _FloatOrArray, *, widest_px: float = math.inf
    ) -> _FloatOrArray:
        """Distance from focus, in µm and without a sign, that adds this blur to that in focus.

        Parameters
        ----------
        added_px : float or ndarray
            Blur diameter that defocus adds, in pixels, 0 or more.
        widest_px : float
            As for `added_blur_px`, whose inverse it is.

        Returns
        -------
        float or ndarray of float64
            As `added_px`; NaN where that is NaN.

        Raises
        ------
        OpticsError
            If a diameter is negative.
        """
        added = _magnitude("added_px", added_px)
        widest_px = as_number("widest_px", widest_px, 0, infinite=True, error=OpticsError)
        with np.errstate(over="ignore"):
            blur = np.hypot(added, min(self.blur_diameter_px(0.0), widest_px))
        # Without the rounding of what was squared.
        return _as_given(added_px, np.where(added == 0, 0.0, self.defocus_um(blur)))

    def level(self, defocus_um: _FloatOrArray) -> _FloatOrArray:
        """Defocus level at a distance from focus: the blur diameter over 3.08 px.

        Parameters
        ----------
        defocus_um : float or ndarray
            Distance from focus in µm; its sign does not matter.

        Returns
        -------
        float or ndarray of float64
            As `defocus_um`, neither rounded nor clipped to the largest level. In focus it is above
            0, as a point is blurred there too.
        """
        levels = np.asarray(self.blur_diameter_px(defocus_um)) / BLUR_PX_PER_LEVEL
        return _as_given(defocus_um, levels)

    def defocus_of_level(self, level: _FloatOrArray) -> _FloatOrArray:
        """Distance from focus, in µm and without a sign, of a defocus level.

        Parameters
        ----------
        level : float or ndarray
            Defocus level, 0 or more; need not be whole.

        Returns
        -------
        float or ndarray of float64
            As `level`; 0 up to the level of the focus.

        Raises
        ------
        OpticsError
            If a level is negative.
        """
        with np.errstate(over="ignore"):
            diameter_px = _magnitude("level", level) * BLUR_PX_PER_LEVEL
        return _as_given(level, np.asarray(self.defocus_um(diameter_px)))

    def cone_diameter_px(
        self, defocus_um: _FloatOrArray, *, paraxial: bool = False
    ) -> _FloatOrArray:
        """Diameter of the geometric cone of light, in pixels.

        It is ``2·|z|·tan(asin(NA/n))`` over the pixel size: where the rays through the pupil's rim
        cut the plane in focus. At a high aperture little light is out there.

        Parameters
        ----------
        defocus_um : float or ndarray
            Distance from focus in µm; its sign does not matter.
        paraxial : bool
            Use the paraxial cone, ``2·|z|·NA/n``, which is evenly filled.

        Returns
        -------
        float or ndarray of float64
            As `defocus_um`; NaN where that is NaN.
        """
        distance_um = _magnitude("defocus_um", defocus_um, signed=True)
        with np.errstate(over="ignore"):
            return _as_given(defocus_um, distance_um * self._cone_px_per_um(paraxial))

    def defocus_of_cone(
        self, diameter_px: _FloatOrArray, *, paraxial: bool = False
    ) -> _FloatOrArray:
        """Distance from focus, in µm and without a sign, of a diameter of the geometric cone.

        The published defocus levels k, 2 µm each, are
        ``TRAINING_OPTICS.defocus_of_cone(BLUR_PX_PER_LEVEL * k, paraxial=True)``.

        Parameters
        ----------
        diameter_px : float or ndarray
            Diameter of the cone in pixels as `cone_diameter_px` gives it, 0 or more.
        paraxial : bool
            Use the paraxial cone of light.

        Returns
        -------
        float or ndarray of float64
            As `diameter_px`; NaN where that is NaN.

        Raises
        ------
        OpticsError
            If a diameter is negative.
        """
        cone_px = _magnitude("diameter_px", diameter_px)
        with np.errstate(over="ignore"):
            return _as_given(diameter_px, cone_px / self._cone_px_per_um(paraxial))

    def to_dict(self) -> Dict[str, float]:
        """Give the four values by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Optics:
        """Make optics from the mapping that `to_dict` gives.

        Raises
        ------
        OpticsError
            If a value is missing, unknown or wrong.
        """
        names = [field.name for field in fields(cls)]
        return cls(**as_entries("Optics", values, names, error=OpticsError))

    @classmethod
    def parse(cls, text: str) -> Optics:
        """Read optics from text such as ``na=1.4,n=1.515,wavelength_um=0.52,pixel_size_um=0.108``.

        Parameters
        ----------
        text : str
            ``key=value`` pairs between commas, in any order. For ``n`` can stand
            ``refractive_index``, or ``immersion`` with a name in `IMMERSIONS`; for
            ``pixel_size_um`` the total ``magnification`` and ``camera_pixel_um``, the side of the
            camera's own pixel: the first is the second's quotient by the magnification.

        Raises
        ------
        OpticsError
            If the text is not of that form, or a value is missing, given twice, unknown or wrong.
        """
        values = parse_values(text)
        missing = [field.name for field in fields(cls) if field.name not in values]
        if missing:
            raise OpticsError(f"{_FORM}; {', '.join(missing)} missing.")
        return cls(**values)

    @property
    def sine(self) -> float:
        """Sine of half the angle of the cone of light that the objective accepts."""
        return self.na / self.refractive_index

    def tangent(self, *, paraxial: bool = False) -> float:
        """Tangent of that angle; in the paraxial cone it is the sine."""
        return self.sine if as_flag("paraxial", paraxial) else math.tan(math.asin(self.sine))

    @property
    def _unit_um(self) -> float:
        return self.wavelength_um / self.na

    def _cone_px_per_um(self, paraxial: bool) -> float:
        return 2 * self.tangent(paraxial=paraxial) / self.pixel_size_um


def added_blur(blur: _FloatOrArray, in_focus: float, widest: float = math.inf) -> _FloatOrArray:
    """Give the blur that is added to that in focus: of diameters, the squares add.

    Parameters
    ----------
    blur : float or ndarray
        Blur diameter, or level.
    in_focus : float
        That of the same optics in focus.
    widest : float
        What `in_focus` exceeds counts as added.

    Returns
    -------
    float or ndarray of float64
        As `blur`.

    Raises
    ------
    OpticsError
        If one of them is negative.
    """
    in_focus = as_number("in_focus", in_focus, 0, infinite=True, error=OpticsError)
    widest = as_number("widest", widest, 0, infinite=True, error=OpticsError)
    with np.errstate(over="ignore"):
        beyond = np.square(_magnitude("blur", blur)) - min(in_focus, widest) ** 2
    return _as_given(blur, np.sqrt(np.maximum(beyond, 0)))


def checked_value(name: str, value: Any) -> float:
    """Give one of the values of `Optics`, or raise `OpticsError` when it is out of its range."""
    number = as_positive(name, value, error=OpticsError)
    return as_number(name, number, *_RANGES[name], error=OpticsError)


def parse_values(text: str) -> Dict[str, float]:
    """Read some of the optics from text, such as ``wavelength_um=0.52`` beside a file's metadata.

    Parameters
    ----------
    text : str
        As for `Optics.parse`, in which nothing has to be there.

    Returns
    -------
    dict of str to float
        By the names of the fields of `Optics`.

    Raises
    ------
    OpticsError
        As `Optics.parse`, but for what is missing; also when the values that are there cannot be
        those of any optics.
    """
    values: Dict[str, float] = {}
    as_text("text", text, error=OpticsError)
    for pair in text.split(","):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            raise OpticsError(f"{_FORM}; {shown(pair.strip())} is no key=value.")
        name = "refractive_index" if key in ("n", "immersion") else key
        if name not in _PARSED:
            raise OpticsError(f"{_FORM}; there is no {shown(key)}.")
        if name in values:
            raise OpticsError(f"{_FORM}; {name} is given twice.")
        values[name] = _immersion_index(value) if key == "immersion" else _number(name, value)
    camera = [name for name in ("magnification", "camera_pixel_um") if name in values]
    if camera and "pixel_size_um" in values:
        raise OpticsError(
            f"{_FORM}; pixel_size_um is given twice, by itself and by {' and '.join(camera)}."
        )
    if len(camera) == 2:
        for name in camera:
            as_positive(name, values[name], error=OpticsError)
        values["pixel_size_um"] = values.pop("camera_pixel_um") / values.pop("magnification")
    elif camera:
        raise OpticsError(f"{_FORM}; magnification and camera_pixel_um belong together.")
    return checked_values(values)


def checked_values(values: Mapping[str, Any]) -> Dict[str, float]:
    """Give some of the values of `Optics` by their names, where the rest is known elsewhere.

    Raises
    ------
    OpticsError
        One is unknown or wrong, or there are no optics that have all of them.
    """
    own = [field.name for field in fields(Optics)]
    for name in as_mapping("optics", values):
        if name not in own:
            raise OpticsError(f"Optics have {', '.join(own)}; there is no {shown(name)}.")
    # What is missing is taken so that it goes with all that is possible.
    known = {name: checked_value(name, value) for name, value in values.items()}
    index = known.get("refractive_index", 2 * abs(known.get("na", 1.0)) + 1)
    others = {"na": index / 2, "refractive_index": index, "wavelength_um": 0.5, "pixel_size_um": 1}
    Optics(**{**others, **known})
    return known


IMMERSIONS = {"air": 1.0, "water": 1.33, "glycerol": 1.47, "oil": 1.515}
"""Refractive index of an immersion medium by its name, as `Optics.parse` takes it."""

_FORM = "Optics are given as na=…,n=…,wavelength_um=…,pixel_size_um=…"
_PARSED = (*(field.name for field in fields(Optics)), "magnification", "camera_pixel_um")

TRAINING_OPTICS = Optics(na=0.5, refractive_index=1.0, wavelength_um=0.5, pixel_size_um=0.65)
"""The optics whose sampling the pretrained models know best: a 20×/0.5 dry objective."""


def _magnitude(name: str, value: Any, *, signed: bool = False) -> FloatArray:
    array = as_floats(name, value, error=OpticsError)
    if not signed and np.any(array < 0):
        raise OpticsError(f"{name} must not be negative, but is {np.nanmin(array):g}.")
    return np.abs(array)


def _as_given(given: _FloatOrArray, array: FloatArray) -> _FloatOrArray:
    """Give a float where a number was given, and else an array."""
    return cast(_FloatOrArray, float(array) if np.ndim(given) == 0 else array)


def _immersion_index(name: str) -> float:
    if name not in IMMERSIONS:
        raise OpticsError(
            f"immersion must be {', '.join(IMMERSIONS)}, not {shown(name)}; for another medium "
            "give its refractive index as n."
        )
    return IMMERSIONS[name]


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise OpticsError(f"{name} must be a number, not {shown(text)}.") from None
