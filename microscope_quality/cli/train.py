"""``microscope-quality train``: a model from one's own sharp images."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Optional

import typer


def train(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="IN...", help="Sharp images: files, folders or patterns."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Folder for the checkpoint and the model."),
    ],
    name: Annotated[
        str, typer.Option(help="Name of the model, and of its folder in DIR.")
    ] = "model",
    architecture: Annotated[
        str, typer.Option(help="compact, or yang2018: the published network.")
    ] = "compact",
    manifest: Annotated[
        Optional[Path],
        typer.Option(
            metavar="CSV",
            help="Table with the columns file, field and licence: images of one field stay on "
            "the same side of the split, licences go into the model's description.",
        ),
    ] = None,
    optics: Annotated[
        Optional[str],
        typer.Option(
            metavar="na=…,n=…,wavelength_um=…,pixel_size_um=…",
            help="The microscope to simulate; unless given na=0.5,n=1,wavelength_um=0.5,"
            "pixel_size_um=0.65.",
        ),
    ] = None,
    steps: Annotated[
        Optional[int], typer.Option(min=1, help="Optimiser steps; else the architecture's own.")
    ] = None,
    batch_size: Annotated[
        Optional[int], typer.Option(min=1, help="Patches a step; a power of two up to 1024.")
    ] = None,
    learning_rate: Annotated[
        Optional[float], typer.Option(min=0, help="Adam's; else the architecture's own.")
    ] = None,
    validation_fraction: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of each folder's fields to hold out.")
    ] = 0.15,
    empty_fraction: Annotated[
        float,
        typer.Option(min=0, max=0.5, help="Share of empty patches, trained to be unsure of."),
    ] = 0.06,
    seed: Annotated[int, typer.Option(min=0, help="Of the split, the stream and the weights.")] = 0,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that make the stream; 0: none of its own.")
    ] = 1,
) -> None:
    """Train a focus model on sharp images; their defocused versions are made on the way.

    Needs Keras and TensorFlow: pip install 'microscope-quality[train]'. State is kept in DIR after
    every 250 steps, and the same command goes on from there. The model is written to DIR/NAME and
    can be used at once: microscope-quality measure IMAGES --model DIR/NAME

    Example: microscope-quality train sharp/ --out training --name my-stain
    """
    from rich.console import Console

    # Keras and TensorFlow speak of their set-up at length; none of it helps here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")

    from microscope_quality.errors import MicroscopeQualityError
    from microscope_quality.optics import TRAINING_OPTICS, Optics
    from microscope_quality.training.stream import StreamSettings
    from microscope_quality.training.train import TrainingSettings
    from microscope_quality.training.train import train as run

    # Lines of a log are not for folding.
    screen = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        settings = TrainingSettings(
            architecture=architecture,
            stream=StreamSettings(
                optics=Optics.parse(optics) if optics else TRAINING_OPTICS,
                empty_fraction=empty_fraction,
            ),
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            validation_fraction=validation_fraction,
            seed=seed,
            workers=workers,
        )
        description = run(
            paths,
            out,
            name,
            settings,
            manifest=manifest,
            report=lambda record: _show(screen, record),
        )
    except MicroscopeQualityError as error:
        typer.echo(f"microscope-quality train: {error}", err=True)
        raise typer.Exit(2) from error
    except ImportError as error:
        typer.echo(
            f"microscope-quality train: {error}; pip install 'microscope-quality[train]' brings "
            "what training needs",
            err=True,
        )
        raise typer.Exit(2) from error
    typer.echo(f"{out / name}: sure from a certainty of {description.sure_certainty:.4f} on")


def _show(screen: Any, record: dict[str, Any]) -> None:
    if "left_out" in record:
        screen.print(f"{record['training']} images to train on, {record['validation']} held out")
        for path, reason in record["left_out"].items():
            screen.print(f"left out: {path}: {reason}", style="yellow", markup=False)
    elif "validation_images" in record:
        found = record["validation_images"]
        screen.print(
            f"{found['images']} held-out synthetic images: {found['exact']:.1%} exact, "
            f"{found['within_one']:.1%} within one level"
        )
    else:
        line = f"step {record['step']:>7,}   loss {record['loss']:.4f}"
        if "validation_rps" in record:
            line += (
                f"   held-out patches: {record['validation_rps']:.4f}, "
                f"{record['validation_exact']:.1%} exact, "
                f"{record['validation_within_one']:.1%} within one"
            )
        screen.print(f"{line}   {record['patches_per_second']:,} patches/s")
