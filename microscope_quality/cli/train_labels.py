"""``microscope-quality train --labels``: a model that rates images, from scores of people."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from microscope_quality.cli.training_display import Display, duration
from microscope_quality.errors import printable

# What is trained, and what it is trained on.
_KINDS = {
    "focus": "training on focus",
    "labels": "training on `labels`",
    "own": "a score on what a rater sees",
    "rating": "training with `rating`",
}
_OF_ALL = frozenset({"paths", "out", "name", "group_by", "seed"})
# Options that some kinds of training have, and not others.
_OF_KINDS = {
    "labels": {
        *("labels", "patch_size", "epochs", "imagenet", "architecture", "start"),
        *("validation_fraction", "batch_size", "learning_rate", "patience"),
    },
    "own": {"labels", "start"},
    "rating": {
        *("rating", "patches", "coarse", "drawn_share", "epochs", "manifest", "workers"),
        "validation_fraction",
    },
}
# These focus has not; all others it has.
_NOT_OF_FOCUS = {
    *("labels", "patch_size", "epochs", "imagenet"),
    *("rating", "patches", "coarse", "drawn_share"),
}
# Groups whose errors are shown, and that are named in a line.
_SHOWN = 12
_NAMED = 4
# Shares of the error of the mean score: what is clearly better, and what is alike.
_CLEARLY_BETTER = 0.9
_ALIKE = 0.01


def check_options(context: typer.Context, kind: str) -> None:
    """Refuse what was given for another kind of training.

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
        own = name not in _NOT_OF_FOCUS if kind == "focus" else name in _OF_KINDS[kind] | _OF_ALL
        if not own:
            others = [told for one, told in _KINDS.items() if name in _OF_KINDS.get(one, ())]
            others = others or [_KINDS["focus"]]
            raise SettingsError(f"`{name}` is for {' and '.join(others)}, not for {_KINDS[kind]}.")
    paths = context.params["paths"]
    on_labels = kind in ("labels", "own")
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
            if given["architecture"] is None:
                check_options(context, "own")
                _train_own(given, display)
                return
            check_options(context, "labels")
            if given["start"] is not None or given["architecture"] not in NETWORKS:
                names = ", ".join(sorted(NETWORKS))
                raise SettingsError(
                    f"architecture must be one of {names} to train on `labels` from nothing, "
                    "or left away, for a score on what a rater sees (`start`)."
                )
            settings = LabelSettings(**settings_among(given, LabelSettings))
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
    typer.echo(f"to use it:     microscope-quality rate IMAGES --model {model}")
    typer.echo(f"without Keras: microscope-quality models export {model} --onnx")


def _train_own(given: Mapping[str, Any], display: LabelDisplay) -> None:
    """Fit a lab's own score to labels; that takes no Keras."""
    from microscope_quality.rater import DEFAULT_RATER
    from microscope_quality.training.rating.train_own import OwnSettings, train_own_score

    out: Path = given["out"]
    settings = OwnSettings(given["start"] or DEFAULT_RATER, given["group_by"], given["seed"])
    with display:
        train_own_score(
            given["labels"],
            out,
            given["name"],
            settings,
            images=next(iter(given["paths"] or []), None),
            command=shlex.join(["microscope-quality", *sys.argv[1:]]),
            report=display.show,
        )
    model = shlex.quote(str(out / given["name"]))
    typer.echo(f"the model:  {out / given['name']}")
    typer.echo(f"to use it:  microscope-quality rate IMAGES --model {model}")


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
        elif "cross_validated" in record:
            self._told_of_own(record)
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
            f"{training['patches']:,} labelled patches of {training['groups']:,} "
            f"{record['called']} to train on, {validation['patches']:,} of "
            f"{validation['groups']:,} held out ({_first(record['held_out'])}); patches of "
            f"{size} × {size} pixels; {record['epochs']:,} epochs",
            markup=False,
        )

    def _told_of_own(self, record: dict[str, Any]) -> None:
        told, mean = record["cross_validated"], record["of_the_mean"]
        self._screen.print(
            f"{told['patches']:,} labelled patches of {len(record['groups']):,} "
            f"{record['called']} ({_first(record['groups'])}), held out in {record['folds']} parts "
            f"in turn; each predicted by a score that saw none of its part: RMSE "
            f"{told['rmse']:.3f}, MAE {told['mae']:.3f}, correlation {_number(told['plcc'])} (of "
            f"the score of the model {record['start']}: {_number(record['generic_plcc'])})",
            markup=False,
        )
        if record["without_content"]:
            self._screen.print(f"{record['without_content']:,} more have no content to rate")
        self._compared(told["rmse"], mean["rmse"], "More labels may help, and such that agree.")

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
        self._compared(told["rmse"], mean["rmse"], "More labels may help, and more epochs.")

    def _compared(self, rmse: float, of_the_mean: float, remedy: str) -> None:
        """Say where an error is hardly less than that of giving every patch the mean score."""
        # Errors are told with three decimals.
        ratio = rmse / of_the_mean if of_the_mean else math.inf
        if ratio < _CLEARLY_BETTER:
            return
        how = (
            "little better"
            if ratio < 1 - _ALIKE
            else "worse"
            if ratio > 1 + _ALIKE
            else "no better"
        )
        self._screen.print(
            f"That is {how} than giving every patch the mean score of the labels, an RMSE of "
            f"{of_the_mean:.3f}. {remedy}",
            style="bold yellow",
        )


def _first(names: Sequence[str]) -> str:
    told = ", ".join(map(printable, names[:_NAMED]))
    return f"{told} …" if len(names) > _NAMED else told


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
