"""``microscope-quality watch``: measure the images of a folder as they come."""

from __future__ import annotations

import os
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from microscope_quality.batch.budget import SECONDS
from microscope_quality.cli.options import (
    WRITTEN,
    DigestOption,
    FileMemoryOption,
    FileTimeOption,
    InFocusLimitOption,
    JobsOption,
    LuminanceOption,
    ModelOption,
    OpticsOption,
    PatternOption,
    PerPatchOption,
    RescaleOption,
    SampleOption,
    SeedOption,
)

#: Heading of options in the command's help.
ALERTS = "Alerts"

# Where the webhook's address can stand, which gives access to others' servers.
_WEBHOOK_VARIABLE = "MICROSCOPE_QUALITY_WEBHOOK"


class BadStatus(str, Enum):
    """Verdicts that may raise an alert."""

    out_of_focus = "out_of_focus"
    mixed = "mixed"
    no_content = "no_content"


def watch(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Where the microscope writes its images; sub-folders are watched too.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            rich_help_panel=WRITTEN,
            help="Folder for results.csv, which grows row by row. It may lie in FOLDER: what is in "
            "it is never measured.",
            show_default=False,
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
    once: Annotated[
        bool,
        typer.Option("--once", help="Measure what is there, and end when nothing changes."),
    ] = False,
    alert_level: Annotated[
        Optional[int],
        typer.Option(
            min=0,
            metavar="LEVEL",
            rich_help_panel=ALERTS,
            help="Raise an alert for an image whose level is above this. Of a mixed image the "
            "expected level is compared, rounded, if it is the higher one; for all mixed ones "
            "there is --alert-status mixed.",
            show_default=False,
        ),
    ] = None,
    alert_status: Annotated[
        Optional[list[BadStatus]],
        typer.Option(
            metavar="VERDICT",
            rich_help_panel=ALERTS,
            help="Raise an alert for images with this verdict: out_of_focus, mixed or no_content. "
            "Can be given several times. Where alerts are asked for at all, a file that cannot be "
            "measured raises one too.",
            show_default="out_of_focus, where alerts have somewhere to go",
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
            show_default=False,
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
            show_default=False,
        ),
    ] = None,
    bell: Annotated[
        bool, typer.Option("--bell", rich_help_panel=ALERTS, help="Ring the terminal's bell too.")
    ] = False,
    serve: Annotated[
        Optional[str],
        typer.Option(
            metavar="[HOST:]PORT",
            rich_help_panel=WRITTEN,
            help="Show the newest images with their verdicts on a page for browsers of this "
            "computer, such as http://127.0.0.1:8765/; with 0.0.0.0:PORT, to anybody in the "
            "network.",
            show_default=False,
        ),
    ] = None,
    xlsx: Annotated[
        bool,
        typer.Option(
            "--xlsx", rich_help_panel=WRITTEN, help="Also keep a copy of the table as results.xlsx."
        ),
    ] = False,
    optics: OpticsOption = None,
    rescale: RescaleOption = False,
    model: ModelOption = None,
    pattern: PatternOption = None,
    per_patch: PerPatchOption = False,
    in_focus_limit: InFocusLimitOption = 1,
    luminance: LuminanceOption = False,
    sample: SampleOption = None,
    seed: SeedOption = 0,
    digest: DigestOption = True,
    jobs: JobsOption = None,
    file_time: FileTimeOption = SECONDS,
    file_memory: FileMemoryOption = None,
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

    Exit codes: 0 ended by --once or SIGTERM, 1 some files failed (with --once), 2 wrong use,
    130 stopped by Ctrl-C.
    """
    from microscope_quality.batch.alerts import Command, Door, Webhook
    from microscope_quality.batch.run import n_cores
    from microscope_quality.batch.status_page import address_of, is_loopback
    from microscope_quality.cli.lookout import Lookout, Wishes
    from microscope_quality.cli.options import settings_of
    from microscope_quality.cli.refusal import refused
    from microscope_quality.cli.screen import Screen
    from microscope_quality.errors import FileError, MicroscopeQualityError, SettingsError
    from microscope_quality.measuring.verdicts import Threshold

    # No process that is started from here needs it.
    os.environ.pop(_WEBHOOK_VARIABLE, None)
    try:
        settings, description = settings_of(
            model=model,
            optics=optics,
            rescale=rescale,
            luminance=luminance,
            in_focus_limit=in_focus_limit,
            per_patch=per_patch,
            pattern=pattern,
            sample=sample,
            seed=seed,
            digest=digest,
            file_time=file_time,
            file_memory=file_memory,
        )
        if not folder.is_dir():
            raise FileError(f"There is no folder {folder}.")
        doors: list[Door] = []
        if on_alert is not None:
            doors.append(Command(on_alert))
        if webhook is not None:
            doors.append(Webhook(webhook))
        asked = alert_level is not None or bool(alert_status)
        if not asked and not doors and (bell or alert_after > 1):
            # One wants to hear of what is bad, and has not said what that is.
            asked = True
        statuses = frozenset(status.value for status in alert_status or ())
        if alert_level is None and not statuses:
            statuses = frozenset({"out_of_focus"})
        threshold = Threshold(alert_level, statuses) if asked or doors else None
        if alert_level is not None and alert_level >= description.levels - 1:
            raise SettingsError(
                f"--alert-level is {alert_level}, but no level is above it: they end at "
                f"{description.levels - 1}."
            )
        if xlsx:
            _check_spreadsheets()
        address = None if serve is None else address_of(serve)
        wishes = Wishes(
            folder=folder,
            out=out,
            command=_without_secrets(sys.argv[1:], webhook),
            still_seconds=interval,
            # One process is left to others while a large file is measured.
            jobs=jobs or max(2, n_cores()),
            once=once,
            spreadsheet=xlsx,
            threshold=threshold,
            after=alert_after,
            doors=doors,
            address=address,
        )
        screen = Screen(description.levels, bell=bell)
        lookout = Lookout(wishes, settings, description, screen)
    except MicroscopeQualityError as error:
        raise refused("watch", error) from error

    try:
        with lookout:
            screen.say(f"Watching {folder}; the table is {out / 'results.csv'}. Ctrl-C stops.")
            if lookout.url:
                screen.say(f"The newest images: {lookout.url}")
            if address is not None and not is_loopback(address[0]):
                screen.say(
                    "Anybody who can reach this computer sees the names and pictures of images "
                    "on that page; it has no password."
                )
            with screen:
                code = lookout.run()
            screen.say(lookout.summary())
    except KeyboardInterrupt:
        typer.echo("\nEnded at once; what was measured is kept.", err=True)
        raise typer.Exit(130) from None
    except MicroscopeQualityError as error:
        typer.echo(f"microscope-quality watch: {error}", err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(code)


def _check_spreadsheets() -> None:
    from importlib.util import find_spec

    from microscope_quality.errors import SettingsError

    if find_spec("xlsxwriter") is None:
        raise SettingsError("--xlsx needs XlsxWriter: pip install 'microscope-quality[tables]'")


def _without_secrets(words: list[str], webhook: Optional[str]) -> list[str]:
    """Leave out of a command what gives access to others' servers."""
    if not webhook:
        return words
    return [word.replace(webhook, "…") for word in words]
