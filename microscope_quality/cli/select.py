"""``microscope-quality select``: lists of the images to keep and to retake, and copies of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from microscope_quality.cli.results import (
    NamesLayoutOption,
    NamesPatternOption,
    PlatesOption,
    ResultsArgument,
)

if TYPE_CHECKING:
    from microscope_quality.report.kept_files import Copies
    from microscope_quality.report.selection import Selection

# Wells that are named on the screen, at most.
_MOST_WELLS = 20


def select(
    results: ResultsArgument,
    out: Annotated[
        Optional[Path],
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder for kept.csv and rejected.csv. Older lists there are replaced, any other "
            "files are not.",
            show_default="beside the table",
        ),
    ] = None,
    limit: Annotated[
        Optional[float],
        typer.Option(
            metavar="LEVEL",
            help="Highest expected level that is kept.",
            show_default="the in-focus limit that was measured with",
        ),
    ] = None,
    min_certainty: Annotated[
        float,
        typer.Option(metavar="C", help="Lowest certainty that is kept, 0 to 1."),
    ] = 0.0,
    keep_mixed: Annotated[
        bool,
        typer.Option("--keep-mixed", help="Judge mixed images by their level, as the others are."),
    ] = False,
    keep_no_content: Annotated[
        bool,
        typer.Option("--keep-no-content", help="Keep images without content, as of empty wells."),
    ] = False,
    copy_kept: Annotated[
        Optional[Path],
        typer.Option(
            metavar="DIR",
            help="Copy the files of which no image is rejected into this folder.",
            show_default=False,
        ),
    ] = None,
    images: Annotated[
        Optional[Path],
        typer.Option(
            metavar="DIR",
            help="Where the images to copy are now, when they were moved since they were measured.",
            show_default=False,
        ),
    ] = None,
    plates: PlatesOption = None,
    pattern: NamesPatternOption = None,
    layout: NamesLayoutOption = "none",
) -> None:
    """List the images to keep and those to retake, as the report's buttons do.

    It writes kept.csv and rejected.csv, with a row for each image and the reason of each that is
    rejected. A z-stack is one image. Nothing is measured, and images are only read.

    **Examples**

    * `microscope-quality select results`

    * With another limit, and the good files copied: `microscope-quality select results --limit 2
    --copy-kept kept`

    Exit codes: 0 written, 1 some files could not be copied, 2 refused.
    """
    from microscope_quality.cli.progress import bar
    from microscope_quality.cli.refusal import refused, refusing
    from microscope_quality.errors import FileError, SettingsError, printable
    from microscope_quality.report import page
    from microscope_quality.report.kept_files import Copies, copy_files, plan_copies
    from microscope_quality.report.results import edited, folders_of, read_results
    from microscope_quality.report.selection import Limits, check_lists, write_lists
    from microscope_quality.report.selection import select as selected

    with refusing("select", interrupted="\nInterrupted; nothing was written."):
        if images is not None and copy_kept is None:
            raise SettingsError("`images` is where files are copied from: give `copy_kept` too.")
        found = read_results(results, plates=plates, pattern=pattern, layout=layout)
        rows, folder = found.rows, found.folder if out is None else out
        selection = selected(rows, Limits(limit, min_certainty, keep_mixed, keep_no_content))
        check_lists(folder, rows.measure)
        copies = Copies()
        if copy_kept is not None:
            places = folders_of(found.record, images, found.folder)
            copies = plan_copies(selection, copy_kept, places, moved=images is not None)
        write_lists(selection, folder)
    for sentence in (*edited(rows), *found.notes, *page.unread(rows), *page.incomplete(rows)):
        typer.echo(printable(sentence), err=True)
    _tell(selection, folder)
    if copy_kept is None:
        return
    interrupted = "\nInterrupted; the same command copies the rest."
    with refusing("select", interrupted=interrupted), bar("Copying") as advance:
        try:
            copy_files(copies, advance)
        except FileError as error:
            refused("select", error)
            raise typer.Exit(1) from error
    lost = _tell_copies(copies, copy_kept)
    raise typer.Exit(1 if lost else 0)


def _tell(selection: Selection, folder: Path) -> None:
    """Print how many are kept and rejected, their wells, where the lists are, what comes next."""
    from microscope_quality.cli.wording import counted, first_of
    from microscope_quality.errors import printable
    from microscope_quality.statuses import NO_CONTENT

    measure = selection.rows.measure
    limit = selection.limits.of(measure)
    side = "from {:g}" if measure.good == "high" else "up to {:g}"
    judged = "" if limit is None else f" ({measure.noun} {side.format(limit)} is kept)"
    n_kept, n_rejected = len(selection.kept), len(selection.rejected)
    typer.echo(f"{counted(n_kept, 'image')} kept, {n_rejected:,} rejected{judged}.")
    if why := [f"{number:,} {words}" for number, words in selection.counted()]:
        typer.echo(f"Rejected: {', '.join(why)}.")
    if wells := _wells(selection.wells()):
        typer.echo(printable(f"Wells with a rejected image: {wells}"))
    typer.echo(
        printable(
            f"Written to {folder}: rejected.csv, with the reason of each image, and kept.csv."
        )
    )
    lost, columns = selection.immeasurable, selection.rows.columns
    if selection.reasons.count(NO_CONTENT.key) > len(lost):
        typer.echo("Wells that are meant to be empty: --keep-no-content takes them off the list.")
    steps = ["retake the rejected"] if n_rejected else []
    if lost:
        rows = [selection.rows.shown[image] for image in lost]
        names = first_of([columns["file"][row] for row in rows])
        # Tables of older versions have no messages.
        messages = columns.get("message", [""] * len(selection.rows))
        message = next(filter(None, (messages[row] for row in rows)), "")
        has = f"{counted(len(lost), 'image')} {'has' if len(lost) == 1 else 'have'}"
        typer.echo(f"{has} no {measure.noun}: {names}. {printable(message)}".rstrip())
        steps = ["mend what the column message says"]
        steps += ["retake the other rejected ones"] if n_rejected > len(lost) else []
    if steps:
        typer.echo(
            f"Next: {', '.join(steps)}, and give the command of measure again; it measures what is "
            "new or changed."
        )


def _wells(by_plate: dict[str, list[str]]) -> str:
    """Name wells, plate by plate; of many, the first ones."""
    said, room = [], _MOST_WELLS
    for plate, wells in by_plate.items():
        if room > 0:
            named = f"{plate}: " if plate else ""
            said.append(f"{named}{' '.join(wells[:room])}")
        room -= len(wells)
    return "; ".join(said) + (f" and {-room:,} more (rejected.csv has all)" if room < 0 else "")


def _tell_copies(copies: Copies, folder: Path) -> int:
    """Print what was copied and what was not; gives the number of files that should have been."""
    from microscope_quality.cli.wording import counted, first_of
    from microscope_quality.errors import printable

    already = f"; {len(copies.present):,} more were there already" if copies.present else ""
    said = f"Copied {counted(len(copies.wanted), 'file')} to {folder}{already}."
    typer.echo(printable(said))
    reasons = [
        (copies.partly, "rejected images beside kept ones"),
        (copies.missing, "not where it was measured; --images tells where it is"),
        (copies.changed, "changed since it was measured; give the command of measure again"),
        (copies.outside, "a name that leads out of the folder of images; copy it by hand"),
    ]
    for names, why in reasons:
        if names:
            typer.echo(f"Not copied: {counted(len(names), 'file')}, {first_of(names)} ({why}).")
    return len(copies.missing) + len(copies.changed) + len(copies.outside)
