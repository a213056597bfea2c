"""``microscope-quality train``: a model from one's own sharp images."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from microscope_quality.cli import microscope
from microscope_quality.cli.training_display import Display

_image_option = partial(typer.Option, rich_help_panel="Images")
_check_option = partial(typer.Option, rich_help_panel="Check of the images")
_labels_option = partial(typer.Option, rich_help_panel="Labels")
_rating_option = partial(typer.Option, rich_help_panel="Rating")
_training_option = partial(typer.Option, rich_help_panel="Training")


def train(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the checkpoint and the model.")
    ],
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IN...",
            help="Sharp images or z-stacks: files, folders or patterns; or folders that "
            "synthesize wrote. With --labels the folder from which on the table names images, if "
            "that is not its own.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str, typer.Option(help="Name of the model, and of its folder in DIR.")
    ] = "model",
    architecture: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="compact, unless told otherwise; small or large; or yang2018, the published "
            "network. With --labels qen, dcnn_iqa_14, miqa or sted, as published; without one, a "
            "score on what a rater sees.",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Go on from this model, name or folder, instead of from nothing: fewer steps, at "
            "a lower rate. With --labels the rater that the score stands on; else em.",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        _image_option(
            metavar="CSV",
            help="Table with the columns file, field and licence: images of one field stay on "
            "the same side of the split, licences go into the model's description.",
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        _image_option(
            metavar="REGEX",
            help="What stays on one side of the split: a regular expression for the file's name "
            "with named groups, such as `(?P<well>[A-P]\\d+)`, or column=NAME of the manifest. "
            "A group z tells the planes of a z-stack apart, a group channel the channels of a "
            "field. With --labels also folder, image, or column=NAME of the labels.",
        ),
    ] = None,
    validation_fraction: Annotated[
        float,
        _image_option(
            min=0, max=0.5, metavar="SHARE", help="Share of each folder's fields to hold out."
        ),
    ] = 0.15,
    sharpest: Annotated[
        str,
        _image_option(
            metavar="std|model",
            help="The plane that is taken of a z-stack: the one of the largest standard deviation "
            "(std), or the sharpest to the model that checks (model).",
        ),
    ] = "std",
    check: Annotated[
        bool,
        _check_option(
            help="Leave out images that are blurred (above level 1.5), saturated or empty; but no "
            "kind of which most would go."
        ),
    ] = True,
    check_with: Annotated[
        str | None,
        _check_option(
            metavar="MODEL", help="The model that checks; else the one that comes with the program."
        ),
    ] = None,
    strict: Annotated[
        bool,
        _check_option(
            "--strict", help="Leave them out even where they are most of a kind (a folder)."
        ),
    ] = False,
    labels: Annotated[
        Path | None,
        _labels_option(
            metavar="CSV",
            help="Learn to rate images from this table of scores, as `label` writes it, instead "
            "of their focus.",
        ),
    ] = None,
    patch_size: Annotated[
        int | None,
        _labels_option(
            min=1,
            metavar="PX",
            help="Side of the network's patches; else the published one, or that of the smallest "
            "labelled patch.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        _labels_option(
            min=1, metavar="N", help="Passes through the labels; else as many as published."
        ),
    ] = None,
    imagenet: Annotated[
        Path | None,
        _labels_option(
            metavar="FILE", help="For qen: weights of Keras' ResNet50, which it begins with."
        ),
    ] = None,
    rating: Annotated[
        bool,
        _rating_option(
            "--rating",
            help="Learn to rate images: from faults of an electron microscope that are simulated "
            "on sharp images, instead of defocus.",
        ),
    ] = False,
    patches: Annotated[
        int | None,
        _rating_option(min=1000, metavar="N", help="Patches to learn from.", show_default="30000"),
    ] = None,
    coarse: Annotated[
        list[Path] | None,
        _rating_option(
            metavar="PATH",
            help="Further images that are a little soft or noisy: they are scaled down by 1.7 or "
            "more. May be given several times.",
            show_default=False,
        ),
    ] = None,
    drawn_share: Annotated[
        float | None,
        _rating_option(
            min=0,
            max=0.9,
            metavar="SHARE",
            help="Share of the patches that are of drawn tissue, of many kinds.",
            show_default="0.35",
        ),
    ] = None,
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
    empty_fraction: Annotated[
        float,
        _training_option(
            min=0, max=0.5, metavar="SHARE", help="Share of empty patches, trained to be unsure of."
        ),
    ] = 0.2,
    augment: Annotated[
        bool,
        _training_option(
            help="For yang2018: random gain and offset, as published. compact takes them out."
        ),
    ] = True,
    steps: Annotated[
        int | None,
        _training_option(
            min=1,
            metavar="N",
            help="Optimiser steps; else the architecture's own, fewer for few images.",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        _training_option(min=1, metavar="N", help="Patches a step; a power of two up to 1024."),
    ] = None,
    learning_rate: Annotated[
        float | None, _training_option(min=0, help="Adam's; else the architecture's own.")
    ] = None,
    patience: Annotated[
        int | None,
        _training_option(
            min=0,
            metavar="EPOCHS",
            help="Stop after so many epochs of 250 steps without a better score on held-out "
            "patches; 0: never, which is compact's own, as its decaying rate gives the best at "
            "the end. In any case the best weights are kept.",
        ),
    ] = None,
    seed: Annotated[
        int, _training_option(min=0, metavar="N", help="Of the split, the stream and the weights.")
    ] = 0,
    workers: Annotated[
        int,
        _training_option(
            min=0, metavar="N", help="Processes that make the stream; 0: none of its own."
        ),
    ] = 1,
    devices: Annotated[
        str | None,
        _training_option(
            metavar="N|all",
            help="GPUs to share each batch; else one. Several machines: the same command on each, "
            "DIR on a shared disk, and TF_CONFIG set as TensorFlow describes it.",
        ),
    ] = None,
    tensorboard: Annotated[
        bool, _training_option("--tensorboard", help="Write the curves into DIR/logs too.")
    ] = False,
) -> None:
    """Train a model: of focus on sharp images, or one that rates images, on these or on labels.

    Of sharp images, the defocused versions are made on the way.

    Needs Keras and TensorFlow: pip install 'microscope-quality[train]'. A hundred images take some
    20 minutes on two cores; with fewer, go on from the model that comes with the program. State is
    kept in DIR after every 250 steps, and while the model is measured at the end; the same command
    goes on from there. The model is written to DIR/NAME, with its card, DIR/NAME/MODEL.md.

    Many objectives are simulated, from 4x to 100x in air, water and oil, unless an option describes
    the microscope.

    Example: microscope-quality train sharp/ --out training --from compact --steps 500

    Own score: microscope-quality train --labels labels.csv --out rating

    A rater: microscope-quality train --rating sharp/ --out rating
    """
    from rich.console import Console

    from microscope_quality.cli.interruption import INTERRUPTED
    from microscope_quality.cli.options import settings_among
    from microscope_quality.cli.refusal import refusing
    from microscope_quality.cli.train_labels import check_options, train_labels
    from microscope_quality.cli.train_rating import train_rating
    from microscope_quality.evaluation.card import CARD, write_card
    from microscope_quality.rating.quiet_keras import import_keras
    from microscope_quality.training.defocus.stream import stream_for
    from microscope_quality.training.defocus.train import TrainingSettings
    from microscope_quality.training.defocus.train import train as run

    if labels is not None:
        train_labels(context)
        return
    if rating:
        train_rating(context)
        return
    # Lines of a log are not for folding.
    screen = Console(stderr=True, highlight=False, soft_wrap=True)
    display = Display(screen)
    remedy = "pip install 'microscope-quality[train]' brings what training needs"
    try:
        with refusing("train", remedy=remedy):
            check_options(context, "focus")
            simulated = microscope.microscope_of(**context.params)
            microscope.check_sets(paths or [], simulated, optics_given=optics is not None)
            given = {**context.params, "architecture": architecture or "compact"}
            settings = TrainingSettings(
                stream=stream_for(simulated, empty_fraction),
                **settings_among(given, TrainingSettings),
            )
            if screen.is_terminal:
                screen.print("starting TensorFlow …")
            import_keras()
            with display:
                description = run(
                    paths or [],
                    out,
                    name,
                    settings,
                    manifest=manifest,
                    command=shlex.join(["microscope-quality", *sys.argv[1:]]),
                    report=display.show,
                )
            if description.sha256:
                display.show({"doing": "writing the card"})
                write_card(out / name)
    except KeyboardInterrupt:
        typer.echo(f"Stopped. {display.kept(out)}; the same command goes on from there.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if not description.sha256:
        typer.echo("done; the first of the machines writes the model")
        return
    model = shlex.quote(str(out / name))
    typer.echo(f"the model:  {out / name}")
    typer.echo(f"about it:   {out / name / CARD}")
    typer.echo(f"to use it:  microscope-quality measure IMAGES --model {model}")
    typer.echo(f"to test it: microscope-quality evaluate {model} --data OTHER_SHARP_IMAGES")
