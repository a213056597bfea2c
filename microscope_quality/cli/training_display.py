"""What a training shows on the screen."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# Reasons shown on the screen; the model's record has them all.
_SHOWN = 10
# Seconds after which a log says how far something is.
_QUIET_S = 30
# Share of held-out images within one level below which a model is no help.
_USEFUL = 0.9


class Display:
    """What a training shows: on a terminal one line that moves, in a log a line an epoch."""

    def __init__(self, screen: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._screen = screen
        self._line = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[told]}"),
            console=screen,
            transient=True,
            disable=not screen.is_terminal,
        )
        self._task = self._line.add_task("", total=1, told="", visible=False)
        self._doing, self._told = "", 0.0
        self._step = 0

    def __enter__(self) -> Display:
        self._line.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._line.stop()

    def kept(self, out: Path) -> str:
        """Say what would not have to be done again."""
        return f"{out} holds step {self._step:,}" if self._step else "No step was kept"

    def show(self, record: dict[str, Any]) -> None:
        """Show a record of the training, of whatever kind."""
        if "at" in record:
            left = duration(record["seconds_left"])
            self._move(
                f"step {record['at']:,} of {record['steps']:,}",
                *(record["at"], record["steps"]),
                f"{record['patches_per_second']:,} patches/s, {left} left",
            )
        elif "doing" in record:
            self._do(record)
        elif "goes_on_from" in record:
            self._step, steps = record["goes_on_from"], record["steps"]
            done = "all steps are done already" if self._step >= steps else "going on"
            self._screen.print(f"step {self._step:>7,}   {done}")
        elif "left_out" in record:
            self._begin(record)
        elif "validation_images" in record:
            self._measured(record)
        else:
            self._epoch(record)

    def _move(self, what: str, done: int, total: int, told: str) -> None:
        """Move the line; at its end it goes."""
        self._line.update(
            self._task,
            description=what,
            completed=done,
            total=total,
            told=told,
            visible=done < total,
        )

    def _do(self, record: dict[str, Any]) -> None:
        done, total = record.get("done", 0), record.get("of", 0)
        if record["doing"] != self._doing:
            self._doing, self._told = record["doing"], time.monotonic()
            before = f" ({done / total:.0%} is done already)" if done else ""
            self._screen.print(f"{self._doing}{before} …", markup=False)
        if "seconds_left" in record:
            share, left = f"{done / total:.0%}", f"{duration(record['seconds_left'])} left"
            self._move(share, done, total, left)
            if not self._screen.is_terminal and time.monotonic() - self._told >= _QUIET_S:
                self._told = time.monotonic()
                self._screen.print(f"{share:>12}   {left}")

    def _begin(self, record: dict[str, Any]) -> None:
        self._screen.print(
            f"{record['training']} image{'s' * (record['training'] != 1)} to train on, "
            f"{record['validation']} held out; {record['steps']:,} steps"
        )
        self._reasons("left out", record["left_out"])
        self._reasons("kept, as most of its kind would go, but", record["doubted"])
        if record["doubted"]:
            self._screen.print(
                f"{len(record['doubted'])} images are called bad by the model that checks, and so "
                "is most of their kind. If they are sharp, all is well: the model does not know "
                "them. If they are not, a model trained on them takes blurred for sharp; --strict "
                "leaves them out.",
                style="bold yellow",
                markup=False,
            )

    def _reasons(self, what: str, reasons: dict[str, str]) -> None:
        for path, reason in list(reasons.items())[:_SHOWN]:
            self._screen.print(f"{what}: {path}: {reason}", style="yellow", markup=False)
        if len(reasons) > _SHOWN:
            more = f"{what}: {len(reasons) - _SHOWN} more"
            self._screen.print(more, style="yellow", markup=False)

    def _epoch(self, record: dict[str, Any]) -> None:
        self._step = record["step"]
        line = f"step {record['step']:>7,}   loss {record['loss']:.4f}"
        if "validation_rps" in record:
            line += (
                f"   held-out patches: RPS {record['validation_rps']:.4f}, "
                f"{record['validation_exact']:.1%} exact, "
                f"{record['validation_within_one']:.1%} within one"
            )
        line += f"   {record['patches_per_second']:,} patches/s"
        self._screen.print(f"{line}   {duration(record['seconds_left'])} left")

    def _measured(self, record: dict[str, Any]) -> None:
        for what, told in (
            ("images", "{:,} held-out synthetic images"),
            ("patches", "all of their {:,} patches, empty ones too"),
        ):
            found = record[f"validation_{what}"]
            self._screen.print(
                f"{told.format(found[what])}: {found['exact']:.1%} exact, "
                f"{found['within_one']:.1%} within one level, calibration error "
                f"{found['calibration_error']:.3f}"
            )
        if record["validation_images"]["within_one"] < _USEFUL:
            self._screen.print(
                "That is not enough to rely on. More steps make it better, and so do more images; "
                "with few of them, --from compact starts from what that model knows.",
                style="bold yellow",
            )


def duration(seconds: float) -> str:
    """Write a time as a person would say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
