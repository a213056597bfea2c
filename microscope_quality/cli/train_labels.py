"""``microscope-quality train --labels``: a model that rates images, from scores of people."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import typer

from microscope_quality.cli.train import Display, duration

# Options of `train` that both kinds of training have.
_OF_BOTH = frozenset(
    {
        *("paths", "out", "name", "architecture", "start", "group_by", "validation_fraction"),
        *("batch_size", "learning_rate", "patience", "seed"),
    }
)
_OF_LABELS = frozenset({"labels", "patch_size", "epochs", "imagenet"})
# Groups whose errors are shown.
_SHOWN = 12


def check_options(context: typer.Context, *, on_labels: bool) -> None:
    """Refuse what was given for the other kind of training.

    Raises
    ------
    SettingsError
        With the first of such options; or there is nothing to train on.
    """
    from microscope_quality.errors import SettingsError

    for name in context.params:
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        if on_labels and name not in _OF_BOTH | _OF_LABELS:
            raise SettingsError(f"`{name}` is for training on sharp images, not on `labels`.")
        if not on_labels and name in _OF_LABELS:
            raise SettingsError(f"`{name}` is for training on `labels`, which are not given.")
    paths = context.params["paths"]
    if not on_labels and not paths:
        raise SettingsError("There must be sharp images to train on, or `labels`; none is named.")
    if on_labels and (len(paths or []) > 1 or not all(path.is_dir() for path in paths or [])):
        raise SettingsError(
            "Beside `labels` one folder may be named, from which on the table names its images; "
            f"there is {', '.join(map(str, paths))}."
        )


def train_labels(context: typer.Context) -> None:
    """Train on labels, as the options of ``train`` say."""
    from rich.console import Console

    from microscope_quality.cli.interruption import INTERRUPTED
    from microscope_quality.cli.options import settings_among
    from microscope_quality.cli.quiet import import_keras
    from microscope_quality.cli.refusal import refusing
    from microscope_quality.errors import SettingsError
    from microscope_quality.rating.networks import NETWORKS
    from microscope_quality.training.rating.train_labels import LabelSettings, train_on_labels

    given = context.params
    out: Path = given["out"]
    screen = Console(stderr=True, highlight=False, soft_wrap=True)
    display = LabelDisplay(screen)
    remedy = "pip install 'microscope-quality[train]' brings what training needs"
    try:
        with refusing("train", remedy=remedy):
            check_options(context, on_labels=True)
            if given["start"] is not None or given["architecture"] not in NETWORKS:
                names = ", ".join(sorted(NETWORKS))
                raise SettingsError(f"architecture must be one of {names} to train on `labels`.")
            settings = LabelSettings(**settings_among(given, LabelSettings))
            if screen.is_terminal:
                screen.print("starting TensorFlow …")
            import_keras()
            with display:
                train_on_labels(
                    given["labels"],
                    out,
                    given["name"],
                    settings,
                    images=next(iter(given["paths"] or []), None),
                    command=shlex.join(["microscope-quality", *sys.argv[1:]]),
                    report=display.show,
                )
    except KeyboardInterrupt:
        typer.echo(f"Stopped. {display.kept(out)}; the same command goes on from there.", err=True)
        raise typer.Exit(INTERRUPTED) from None
    model = shlex.quote(str(out / given["name"]))
    typer.echo(f"the model:     {out / given['name']}")
    typer.echo(f"about it:      microscope-quality models show {model}")
    typer.echo(f"without Keras: microscope-quality models export {model} --onnx")


class LabelDisplay(Display):
    """What a training on labels shows: a line that moves, and a line an epoch."""

    def kept(self, out: Path) -> str:
        """Say what would not have to be done again."""
        return f"{out} holds epoch {self._step:,}" if self._step else f"{out} holds what was done"

    def show(self, record: dict[str, Any]) -> None:
        """Show a record of the training, of whatever kind."""
        if "goes_on_from" in record:
            self._step = record["goes_on_from"]
            done = self._step >= record["epochs"]
            told = "all epochs are done already" if done else "going on"
            self._screen.print(f"epoch {self._step:>4,}   {told}")
        elif "of_the_mean" in record:
            self._told_of_groups(record)
        elif "patch_size" in record:
            self._begun(record)
        elif "epoch" in record:
            self._step = record["epoch"]
            self._screen.print(
                f"epoch {self._step:>4,}   loss {record['loss']:.4f}   held out: RMSE "
                f"{record['validation_rmse']:.3f}, MAE {record['validation_mae']:.3f}, "
                f"correlation {record['validation_plcc']:.3f}   "
                f"{duration(record['seconds_left'])} left"
            )
        else:
            super().show(record)

    def _begun(self, record: dict[str, Any]) -> None:
        training, validation = record["training"], record["validation"]
        size = record["patch_size"]
        self._screen.print(
            f"{training['patches']:,} labelled patches of {training['groups']:,} groups to train "
            f"on, {validation['patches']:,} of {validation['groups']:,} held out; patches of "
            f"{size} × {size} pixels; {record['epochs']:,} epochs"
        )

    def _told_of_groups(self, record: dict[str, Any]) -> None:
        told, mean = record["validation"], record["of_the_mean"]
        self._screen.print(
            f"held out, on which the epoch was chosen: RMSE {told['rmse']:.3f}, MAE "
            f"{told['mae']:.3f}, correlation {told['plcc']:.3f}"
        )
        groups = record["validation_by_group"]
        for name, one in list(groups.items())[:_SHOWN]:
            self._screen.print(
                f"  {name}: {one['patches']:,} patches, RMSE {one['rmse']:.3f}", markup=False
            )
        if len(groups) > _SHOWN:
            self._screen.print(f"  and {len(groups) - _SHOWN} more groups")
        if told["rmse"] >= mean["rmse"]:
            self._screen.print(
                "That is no better than giving every patch the mean score of the labels, an RMSE "
                f"of {mean['rmse']:.3f}. More labels make it better, and so do more epochs.",
                style="bold yellow",
            )
