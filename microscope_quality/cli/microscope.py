"""The options that describe the simulated microscope, for ``synthesize`` and ``train`` alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from microscope_quality.training.defocus.microscope import Microscope

PANEL = "Microscope"
NONE = (0.0, 0.0)


def _option(flag: str, told: str, metavar: str | None = "LOW HIGH") -> Any:
    return typer.Option(flag, metavar=metavar, rich_help_panel=PANEL, help=told)


Range = tuple[float, float]
OpticsOption = Annotated[
    str | None,
    _option(
        "--optics",
        "The microscope to simulate, as na=…,n=…,wavelength_um=…,pixel_size_um=… "
        "immersion=air, water, glycerol or oil can stand for n, and magnification=… with "
        "camera_pixel_um=… for pixel_size_um. Unless given, the one the pretrained model learned "
        "with: NA 0.5 in air, 0.5 µm, pixels of 0.65 µm.",
        "KEY=…,…",
    ),
]
ExactOption = Annotated[
    bool,
    _option(
        "--exact/--paraxial",
        "The exact phase, and levels by the light that a kernel spreads; or the published paraxial "
        "kernel, with levels of 2 µm for the usual objective.",
        None,
    ),
]
PsfOption = Annotated[
    str,
    _option(
        "--psf",
        "Point spread function, bessel or gibson_lanni. gibson_lanni is for a specimen "
        "whose refractive index is not the immersion's; it is exact and needs pip install "
        "'microscope-quality[psf]'.",
        "PSF",
    ),
]
DepthOption = Annotated[
    Range, _option("--depth", "With gibson_lanni: depth in the specimen, in µm.")
]
SampleIndexOption = Annotated[
    float, _option("--sample-index", "With gibson_lanni: refractive index of the specimen.", None)
]
SphericalOption = Annotated[Range, _option("--spherical", "Spherical aberration, in waves RMS.")]
AstigmatismOption = Annotated[
    Range, _option("--astigmatism", "Astigmatism at a random angle, in waves RMS.")
]
ComaOption = Annotated[Range, _option("--coma", "Coma at a random angle, in waves RMS.")]
TiltOption = Annotated[
    Range,
    _option(
        "--tilt",
        "Tilt of the specimen: levels between the field's two ends; an image's level is then that "
        "of its centre.",
    ),
]
VignettingOption = Annotated[
    Range, _option("--vignetting", "Share of the light that is lost in the field's corners.")
]
SaturationOption = Annotated[
    Range, _option("--saturation", "Share of the pixels that are saturated.")
]


def microscope_of(
    *,
    optics: str | None,
    psf: str,
    exact: bool,
    spherical: Range,
    astigmatism: Range,
    coma: Range,
    tilt: Range,
    vignetting: Range,
    saturation: Range,
    depth: Range,
    sample_index: float,
    **_: object,
) -> Microscope:
    """Make the microscope that a command's options describe.

    Parameters
    ----------
    optics, psf, exact, spherical, astigmatism, coma, tilt, vignetting, saturation, depth
    sample_index
        As the options of the same names; others do not count. The Gibson-Lanni PSF is exact,
        asked or not.

    Returns
    -------
    Microscope

    Raises
    ------
    OpticsError
        If the optics cannot be read, or cannot be.
    SettingsError
        If another option is out of its range, two exclude each other, or the library for the
        Gibson-Lanni PSF is missing.
    """
    from microscope_quality.optics import TRAINING_OPTICS, Optics
    from microscope_quality.training.defocus.microscope import GIBSON_LANNI, Microscope

    made = Microscope(
        optics=TRAINING_OPTICS if optics is None else Optics.parse(optics),
        paraxial=not exact and psf != GIBSON_LANNI,
        psf=psf,
        spherical_waves=spherical,
        astigmatism_waves=astigmatism,
        coma_waves=coma,
        depth_um=depth,
        sample_index=sample_index,
        tilt_levels=tilt,
        vignetting=vignetting,
        saturation=saturation,
    )
    if psf == GIBSON_LANNI:
        # A missing library is said here, once, and not of each image.
        made.kernel(0)
    return made


def check_sets(paths: Sequence[Path], simulated: Microscope, *, optics_given: bool) -> None:
    """Refuse to train on a set with another microscope than the one that it was made with.

    Parameters
    ----------
    paths : sequence of Path
        Of which some may be folders that ``synthesize`` wrote.
    simulated : Microscope
        As the options describe it.
    optics_given : bool
        The option ``--optics`` is among them.

    Raises
    ------
    FileError
        If a set is damaged, or was not finished.
    SettingsError
        If it is another one.
    """
    from dataclasses import replace

    from microscope_quality.errors import SettingsError
    from microscope_quality.training.defocus.microscope import Microscope
    from microscope_quality.training.defocus.stored import is_set, optics_of

    for folder in filter(is_set, paths):
        if replace(simulated, optics=Microscope().optics) != Microscope():
            raise SettingsError(
                f"{folder} is a set that synthesize wrote, which has the faults that it was made "
                "with: leave the options of the microscope away, or train on the sharp images."
            )
        if not optics_given:
            continue
        for optics in optics_of(folder) - {simulated.optics}:
            made_for = ",".join(f"{key}={value:g}" for key, value in optics.to_dict().items())
            raise SettingsError(
                f"{folder} is a set that synthesize made for {made_for}: leave --optics away, or "
                "train on the sharp images."
            )
