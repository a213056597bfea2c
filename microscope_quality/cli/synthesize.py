"""``microscope-quality synthesize``: a defocus training set from sharp images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer


def synthesize(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="IN...", help="Sharp images: files, folders or patterns."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="New or empty folder for the set.")
    ],
    optics: Annotated[
        Optional[str],
        typer.Option(
            metavar="na=…,n=…,wavelength_um=…,pixel_size_um=…",
            help="The microscope to simulate; unless given, the one the pretrained model learned "
            "with: na=0.5,n=1,wavelength_um=0.5,pixel_size_um=0.65.",
        ),
    ] = None,
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
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Use the true cone of light and the exact phase instead of the paraxial ones.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same set.")] = 0,
) -> None:
    """Make a defocus training set: each sharp image at levels 0 to 10.

    Eleven folders of 16-bit TIFFs, level_00 to level_10, and manifest.csv, which tells how each
    was made: source, level, defocus, optics, camera, seed.

    Example: microscope-quality synthesize sharp/ --out defocused
    """
    from rich.console import Console
    from rich.progress import track

    from microscope_quality.errors import MicroscopeQualityError, SettingsError
    from microscope_quality.files.images import find
    from microscope_quality.optics import TRAINING_OPTICS, Optics
    from microscope_quality.training.sets import SetSettings, SetWriter

    screen = Console(stderr=True)
    try:
        settings = SetSettings(
            optics=Optics.parse(optics) if optics else TRAINING_OPTICS,
            paraxial=not exact,
            photons=photons,
            background=background,
            seed=seed,
        )
        files = find(paths)
        if not files:
            raise SettingsError("No image file was found.")
        writer = SetWriter(out, settings)
    except MicroscopeQualityError as error:
        typer.echo(f"microscope-quality synthesize: {error}", err=True)
        raise typer.Exit(2) from error
    failed = 0
    with writer:
        for name, path in track(files, "Synthesizing", console=screen, transient=True):
            try:
                writer.add(name, path)
            except MicroscopeQualityError as error:
                failed += 1
                screen.print(
                    f"left out: {name}: {error}", style="yellow", markup=False, highlight=False
                )
    typer.echo(f"{writer.n_images} images of {len(files) - failed} files, 11 levels each: {out}")
    if failed:
        raise typer.Exit(1)
