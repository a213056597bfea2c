"""``microscope-quality synthesize``: a defocus training set from sharp images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from microscope_quality.cli import microscope


def synthesize(
    context: typer.Context,
    paths: Annotated[
        list[str],
        typer.Argument(metavar="IN...", help="Sharp images: files, folders or patterns."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="New or empty folder for the set.")
    ],
    photons: Annotated[
        tuple[float, float],
        typer.Option(
            metavar="LOW HIGH", help="Photoelectrons at an image's brightest percent, log-uniform."
        ),
    ] = (300.0, 20_000.0),
    background: Annotated[
        tuple[float, float],
        typer.Option(metavar="LOW HIGH", help="Background, as a fraction of these photons."),
    ] = (0.0, 0.1),
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same set.")] = 0,
    optics: microscope.OpticsOption = None,
    exact: microscope.ExactOption = True,
    psf: microscope.PsfOption = "bessel",
    depth: microscope.DepthOption = microscope.NONE,
    sample_index: microscope.SampleIndexOption = 1.33,
    spherical: microscope.SphericalOption = microscope.NONE,
    astigmatism: microscope.AstigmatismOption = microscope.NONE,
    coma: microscope.ComaOption = microscope.NONE,
    tilt: microscope.TiltOption = microscope.NONE,
    vignetting: microscope.VignettingOption = microscope.NONE,
    saturation: microscope.SaturationOption = microscope.NONE,
) -> None:
    """Make a defocus training set: each sharp image at levels 0 to 10.

    Eleven folders of 16-bit TIFFs, level_00 to level_10, and manifest.csv, which tells how each
    was made: source, level, defocus, optics, faults, camera, seed. What is given as LOW HIGH is
    drawn for each image, evenly between the two.

    Examples: microscope-quality synthesize sharp/ --out defocused

    microscope-quality synthesize sharp/ --out tilted --tilt 0 4 --vignetting 0 0.3
    --optics na=0.75,immersion=air,wavelength_um=0.52,magnification=20,camera_pixel_um=6.5
    """
    from rich.console import Console
    from rich.progress import track

    from microscope_quality.cli.refusal import refusing
    from microscope_quality.errors import MicroscopeQualityError, reason_of
    from microscope_quality.files.images import find_some
    from microscope_quality.training.defocus.sets import SetSettings, SetWriter

    screen = Console(stderr=True, highlight=False)
    with refusing("synthesize"):
        settings = SetSettings(
            microscope.microscope_of(**context.params),
            photons=photons,
            background=background,
            seed=seed,
        )
        files = find_some(paths)
        writer = SetWriter(out, settings)
    failed = 0
    try:
        with writer:
            for name, path in track(files, "Synthesizing", console=screen, transient=True):
                try:
                    writer.add(name, path)
                except MicroscopeQualityError as error:
                    failed += 1
                    said = f"left out: {name}: {reason_of(error, path)}"
                    screen.print(said, style="yellow", markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        typer.echo(
            f"\nInterrupted: {out} is no whole set, but holds {writer.n_images} images at 11 "
            "levels, with rows in manifest.csv.part; another run needs a new or empty folder.",
            err=True,
        )
        raise typer.Exit(130) from None
    if not writer.n_images:
        typer.echo("No image could be used; there is no set.", err=True)
        raise typer.Exit(1)
    typer.echo(f"{writer.n_images} images of {len(files) - failed} files, 11 levels each: {out}")
    if failed:
        raise typer.Exit(1)
