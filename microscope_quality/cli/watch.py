"""``microscope-quality watch``: measure the images of a folder as they come."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from microscope_quality.batch.budget import SECONDS
from microscope_quality.cli import options

if TYPE_CHECKING:
    from microscope_quality.measuring.watch import Watch

#: Heading of options in the command's help.
ALERTS = "Alerts"

# Where the webhook's address can stand, which gives access to others' servers.
_WEBHOOK_VARIABLE = "MICROSCOPE_QUALITY_WEBHOOK"


def watch(
    context: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Where the microscope writes its images; sub-folders are watched too.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            rich_help_panel=options.WRITTEN,
            help="Folder for results.csv, which grows row by row. It may lie in FOLDER: what is in "
            "it is never measured.",
        ),
    ],
    interval: Annotated[
        float,
        typer.Option(
            min=0.05,
            max=3600,
            metavar="SECONDS",
            help="How long a file has to keep still to count as completely written. Give more for "
            "a network drive that tells of changes late, or a microscope that pauses in a file.",
        ),
    ] = 1.0,
    stack_quiet: Annotated[
        float,
        typer.Option(
            min=0,
            max=86400,
            metavar="SECONDS",
            help="How long no plane of a z-stack has to come, where each has its own file, for it "
            "to be judged before it is known how many planes there are. Give more than the "
            "microscope takes until it comes back to a place.",
        ),
    ] = 10.0,
    once: Annotated[
        bool,
        typer.Option("--once", help="Measure what is there, and end when nothing changes."),
    ] = False,
    alert_level: Annotated[
        Optional[float],
        typer.Option(
            "--alert-level",
            "--alert-score",
            metavar="LEVEL",
            rich_help_panel=ALERTS,
            help="Raise an alert for an image whose expected level is above this, such as 2.5. "
            "With --rate, for one whose score is below, such as 0.5.",
        ),
    ] = None,
    alert_status: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="VERDICT",
            rich_help_panel=ALERTS,
            help="Raise an alert for images with this verdict: out_of_focus, mixed, no_content or "
            "too_small; with --rate, poor, failed_grab, no_content or too_small. Can be given "
            "several times. Where alerts are asked for at all, a file that cannot be measured "
            "raises one too.",
            show_default="out_of_focus, or poor and failed_grab, where alerts have somewhere to go",
        ),
    ] = None,
    alert_after: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            rich_help_panel=ALERTS,
            help="Raise an alert only when so many images in a row are bad, then no more until "
            "one is good.",
        ),
    ] = 1,
    on_alert: Annotated[
        Optional[str],
        typer.Option(
            metavar="COMMAND",
            rich_help_panel=ALERTS,
            help="Program to run for each alert, without a shell. It is told by environment "
            "variables such as MICROSCOPE_QUALITY_FILE, and by JSON on its standard input.",
        ),
    ] = None,
    webhook: Annotated[
        Optional[str],
        typer.Option(
            metavar="URL",
            rich_help_panel=ALERTS,
            envvar=_WEBHOOK_VARIABLE,
            help="Web address to send each alert to, as JSON by POST; it is sent again until the "
            "other side has it.",
        ),
    ] = None,
    bell: Annotated[
        bool, typer.Option("--bell", rich_help_panel=ALERTS, help="Ring the terminal's bell too.")
    ] = False,
    serve: Annotated[
        Optional[str],
        typer.Option(
            metavar="[HOST:]PORT",
            rich_help_panel=options.WRITTEN,
            help="Show the newest images with their verdicts on a page for browsers of this "
            "computer, such as http://127.0.0.1:8765/; with 0.0.0.0:PORT, to anybody in the "
            "network.",
        ),
    ] = None,
    xlsx: Annotated[
        bool,
        typer.Option(
            "--xlsx",
            rich_help_panel=options.WRITTEN,
            help="Also keep a copy of the table as results.xlsx.",
        ),
    ] = False,
    rate: Annotated[
        bool,
        options.how(
            "--rate",
            help="Rate images of an electron microscope, as `microscope-quality rate` does, and "
            "tell of bad ones what to do: refocus, restigmate, retake, or look.",
        ),
    ] = False,
    score_limit: options.ScoreLimitOption = None,
    check_grabs: options.CheckGrabsOption = True,
    measures: options.MeasuresOption = "focus",
    optics: options.OpticsOption = None,
    rescale: options.RescaleOption = options.Rescale.auto,
    model: options.ModelOption = None,
    pattern: options.PatternOption = None,
    exclude: options.ExcludeOption = None,
    layout: options.LayoutOption = "auto",
    per_patch: options.PerPatchOption = False,
    in_focus_limit: options.InFocusLimitOption = None,
    luminance: options.LuminanceOption = False,
    sample: options.SampleOption = None,
    patches: options.PatchesOption = None,
    seed: options.SeedOption = 0,
    digest: options.DigestOption = True,
    jobs: options.JobsOption = None,
    file_time: options.FileTimeOption = SECONDS,
    file_memory: options.FileMemoryOption = None,
) -> None:
    """Measure new images as a microscope writes them, and tell at once of bad ones.

    An image is measured when it is completely written, again when it is rewritten, and never
    twice. Stop with Ctrl-C; the same command goes on from there. What is in FOLDER already is
    measured too, and kept if it was measured before.

    **Examples**

    * Watch a microscope: `microscope-quality watch plate1/ --out results --serve 8765`

    * Say which fields to take again: `microscope-quality watch plate1/ --out results
    --alert-level 3 --bell`

    * Run a program when the focus is lost: `microscope-quality watch plate1/ --out results
    --alert-after 3 --on-alert 'python pause_microscope.py'`

    * Rate the tiles of an electron microscope: `microscope-quality watch section12/ --out rated
    --rate --alert-score 0.5 --serve 8765`

    Exit codes: 0 ended by --once or SIGTERM, 1 some files failed (with --once), 2 wrong use,
    130 stopped by Ctrl-C.
    """
    from microscope_quality.batch.alerts import AlertChannel, Command, Webhook
    from microscope_quality.batch.local_server import address_of, is_loopback
    from microscope_quality.batch.run import n_cores
    from microscope_quality.cli.copies import Copies
    from microscope_quality.cli.refusal import refused
    from microscope_quality.cli.screen import Screen
    from microscope_quality.cli.wording import OTHER_COLUMNS, edited
    from microscope_quality.errors import MicroscopeQualityError, SettingsError
    from microscope_quality.files.tables import RESULTS
    from microscope_quality.measuring.file_verdicts import Threshold
    from microscope_quality.measuring.watch import Watch, WatchSettings
    from microscope_quality.measuring.watch_alerts import WatchAlerts
    from microscope_quality.measuring.watch_page import WatchPage
    from microscope_quality.measuring.watch_spreadsheet import WatchSpreadsheet

    # No process that is started from here needs it.
    os.environ.pop(_WEBHOOK_VARIABLE, None)
    page = alerts = None
    with contextlib.ExitStack() as stack:
        try:
            given = dict(context.params)
            if rate and measures != "focus":
                raise SettingsError("rate is for `measures` rating; do not give both.")
            if rate:
                given["measures"] = "rating"
            settings = options.settings_of(**given)
            measure = settings.measure
            channels: list[AlertChannel] = []
            if on_alert is not None:
                channels.append(Command(on_alert))
            if webhook is not None:
                channels.append(Webhook(webhook))
            named = alert_level is not None or bool(alert_status)
            threshold = Threshold(alert_level, frozenset(alert_status or ()))
            # One may want to hear of what is bad, and not have said what that is.
            threshold = threshold if named else Threshold.usual(measure)
            threshold.check(measure)
            Copies(xlsx=xlsx).check(None)
            address = None if serve is None else address_of(serve)
            where = WatchSettings(
                folder,
                out,
                still_seconds=interval,
                # One process is left to others while a large file is measured.
                jobs=jobs or max(2, n_cores()),
                once=once,
                pictures=address is not None,
                command=_without_secrets(sys.argv[1:], webhook),
                stack_quiet_seconds=stack_quiet,
                exclude=exclude or (),
            )
            watching = Watch(where, settings)
            screen = Screen(measure, bell=bell)
            watching.attach(screen.hear)
            if address is not None:
                page = stack.enter_context(WatchPage(watching, address))
            stack.enter_context(watching)
            if named or channels or bell or alert_after > 1:
                alerts = WatchAlerts(watching, threshold, channels, alert_after)
                stack.enter_context(alerts)
            if xlsx:
                stack.enter_context(WatchSpreadsheet(watching))
        except MicroscopeQualityError as error:
            raise refused("watch", error) from error

        try:
            with _stopped_by_signals(watching) as code:
                events = watching.events()
                # By now the page is whole.
                next(events)
                screen.say(f"Watching {folder}; the table is {out / RESULTS}. Ctrl-C stops.")
                if page is not None:
                    screen.say(f"The newest images: {page.url}")
                if address is not None and not is_loopback(address[0]):
                    screen.say(
                        "Anybody who can reach this computer sees the names and pictures of "
                        "images on that page; it has no password."
                    )
                if watching.other_columns:
                    screen.say(OTHER_COLUMNS)
                if watching.edited:
                    screen.say(edited(watching.edited))
                if alerts is not None and threshold == Threshold():
                    screen.say(
                        "Alerts are for files that cannot be measured alone, since no "
                        f"{measure.noun} is bad by itself; --alert-level N says which ones are."
                    )
                with screen:
                    for _ in events:
                        pass
                screen.say(_summary(watching, 0 if alerts is None else alerts.waiting))
        except KeyboardInterrupt:
            typer.echo("\nEnded at once; what was measured is kept.", err=True)
            raise typer.Exit(130) from None
        except MicroscopeQualityError as error:
            typer.echo(f"microscope-quality watch: {error}", err=True)
            raise typer.Exit(1) from error
        ended = watching.status
        raise typer.Exit(code() if ended.stopped else int(ended.failed + ended.lacking > 0))


@contextlib.contextmanager
def _stopped_by_signals(watch: Watch) -> Iterator[Callable[[], int]]:
    """Let signals ask for the end, which comes when no table is half written.

    Yields
    ------
    callable
        Gives the exit code that follows from the signal.
    """
    from microscope_quality.cli.interruption import INTERRUPTED, handled

    first = 0

    def ask(number: int, _: FrameType | None) -> None:
        nonlocal first
        first = first or number
        watch.stop()
        # A second one ends the process as it does others.
        signal.signal(number, signal.default_int_handler)

    with handled(ask, "SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK"):
        yield lambda: INTERRUPTED if first == signal.SIGINT else 0


def _summary(watch: Watch, waiting: int) -> str:
    """Say in a sentence what is there at the end, and how many alerts are still on their way."""
    from microscope_quality.cli.wording import counted, first_of, kept_in
    from microscope_quality.files.left_out import in_words
    from microscope_quality.files.tables import RESULTS

    status, table = watch.status, watch.where.out / RESULTS
    said = [f"{counted(status.images, 'image')} in {table}"]
    if status.unwritten:
        said = [f"{table} could not be written; its rows are in {table}.part"]
    if watch.unmatched:
        option = "layout" if watch.settings.pattern is None else "pattern"
        unmatched = counted(len(watch.unmatched), "name")
        said.append(f"--{option} does not match {unmatched}, {first_of(watch.unmatched)}")
    if watch.left_out:
        said.append(f"left out: {in_words(watch.left_out)}")
    if status.failed:
        said.append(f"{status.failed:,} not measured")
    if status.lacking:
        said.append(f"{counted(status.lacking, 'stack')} with planes that were not measured")
    if status.waiting_stacks:
        said.append(status.stacks_text())
    if status.unreadable:
        said.append(f"not readable yet: {status.unreadable_text()}")
    if waiting:
        said.append(f"{waiting:,} alerts are delivered by the next start")
    if status.stopped:
        said.append("the same command goes on from there")
    older = f" {kept_in(status.older)}" if status.older is not None else ""
    return f"{'Stopped' if status.stopped else 'Done'}: {'; '.join(said)}.{older}"


def _without_secrets(words: list[str], webhook: Optional[str]) -> list[str]:
    """Leave out of a command what gives access to others' servers."""
    if not webhook:
        return words
    return [word.replace(webhook, "…") for word in words]
