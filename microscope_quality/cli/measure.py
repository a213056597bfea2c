"""``microscope-quality measure``: a table and pictures of image files."""

from __future__ import annotations

import contextlib
import functools
import itertools
import sys
import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Callable, Iterator, Optional

import typer

if TYPE_CHECKING:
    from microscope_quality.cli.page import Item
    from microscope_quality.cli.record import Record


class Pictures(str, Enum):
    """Which planes get a picture."""

    doubtful = "doubtful"
    all = "all"
    none = "none"


def measure(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATHS",
            help="Images (TIFF, PNG, JPEG, BMP), folders of them, or patterns such as "
            "'plate/**/*_w1.tif'.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Optional[Path],
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder for results.csv, stacks.csv (of z-stacks), overlays/ and run.json. What "
            "an earlier run with the same settings measured there is kept, if it did not change.",
            show_default=False,
        ),
    ] = None,
    optics: Annotated[
        Optional[str],
        typer.Option(
            metavar="KEY=NUMBER,…",
            help="The microscope: numerical aperture na, refractive index n of what is before the "
            "sample, wavelength_um of the light, pixel_size_um in the sample. immersion=air, "
            "water, glycerol or oil can stand for n, and magnification=… with camera_pixel_um=… "
            "for pixel_size_um. Gives defocus_um.",
            show_default=False,
        ),
    ] = None,
    rescale: Annotated[
        bool,
        typer.Option(
            "--rescale",
            help="Bring the images to the sampling that the model knows; needs --optics. For "
            "finely sampled images, as of a 60×/1.4 objective, which else look blurred.",
        ),
    ] = False,
    model: Annotated[
        Optional[str],
        typer.Option(
            metavar="NAME|DIR",
            help="A model that `microscope-quality models list` names, or a model's folder.",
            show_default="compact",
        ),
    ] = None,
    pattern: Annotated[
        Optional[str],
        typer.Option(
            metavar="REGEX",
            help="Where plate, well, site and channel stand in a file's name, or else in its "
            "path: a regular expression with named groups, as in the examples.",
            show_default=False,
        ),
    ] = None,
    per_patch: Annotated[
        bool, typer.Option("--per-patch", help="Also write patches.csv, a row a patch.")
    ] = False,
    overlay: Annotated[
        Optional[Pictures],
        typer.Option(
            help="Planes to draw with coloured patches: the 24 most doubtful, all, or none. "
            "Doubtful are those that are mixed, close to the in-focus limit or of low certainty.",
            show_default="doubtful",
        ),
    ] = None,
    in_focus_limit: Annotated[
        int, typer.Option(min=0, help="The highest level that counts as in focus.")
    ] = 1,
    luminance: Annotated[
        bool,
        typer.Option(
            "--luminance",
            help="Measure colour images by their luminance instead of red, green and blue each.",
        ),
    ] = False,
    again: Annotated[
        bool,
        typer.Option("--again", help="Measure also what was measured before and did not change."),
    ] = False,
    jobs: Annotated[
        Optional[int],
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Processes at work; each needs about 200 MB.",
            show_default="all cores",
        ),
    ] = None,
) -> None:
    r"""Measure the focus of images: level 0 (in focus) to 10, certainty and verdict of each.

    The verdict is in_focus, out_of_focus, mixed (parts at different levels) or no_content (too
    little to judge by). It needs no threshold and no sharp image to compare with.

    **Examples**

    * One image: `microscope-quality measure cells.tif`

    * A plate, as a table with pictures of what is doubtful:
    `microscope-quality measure plate1/ --out results --pattern '(?P<well>[A-P]\d\d)_s(?P<site>\d)'`

    * The distance from focus in µm: `microscope-quality measure cells.tif
    --optics na=0.75,n=1,wavelength_um=0.52,pixel_size_um=0.325`

    A file that cannot be read is a row with an error, and the rest goes on. Exit codes: 0 all
    measured, 1 some files failed, 2 wrong use.
    """
    from microscope_quality.batch.run import n_cores, run
    from microscope_quality.cli.page import Settings, measure_page
    from microscope_quality.cli.record import Record, check_pattern
    from microscope_quality.cli.refusal import refused
    from microscope_quality.errors import MicroscopeQualityError, SettingsError
    from microscope_quality.files.images import find_some
    from microscope_quality.model import FocusModel
    from microscope_quality.optics import Optics

    began = time.monotonic()
    try:
        if rescale and optics is None:
            raise SettingsError("--rescale needs --optics, to know how finely images are sampled.")
        if out is None and (per_patch or overlay is not None):
            wish = "--per-patch" if per_patch else "--overlay"
            raise SettingsError(f"{wish} needs --out, a folder to write to.")
        pictures = overlay or Pictures.doubtful
        settings = Settings(
            model=model,
            optics=None if optics is None else Optics.parse(optics),
            rescale=rescale,
            luminance=luminance,
            in_focus_limit=in_focus_limit,
            keep_patches=per_patch,
            pattern=pattern,
            pictures=out / "overlays" if out and pictures is Pictures.all else None,
        )
        check_pattern(pattern)
        description = FocusModel.from_pretrained(model).description
        if in_focus_limit >= description.levels:
            raise SettingsError(
                f"--in-focus-limit is {in_focus_limit}, but the model's levels end at "
                f"{description.levels - 1}."
            )
        files = find_some(paths, exclude=out)
        jobs = jobs or n_cores()
        record = Record(
            description, settings, files, out, command=sys.argv[1:], jobs=jobs, again=again
        )
    except MicroscopeQualityError as error:
        raise refused("measure", error) from error

    try:
        with record:
            with _progress(len(files)) as advance:
                pages = _announced(record, advance)
                first = list(itertools.islice(pages, 2))
                # A single page needs no process besides this one.
                jobs = min(jobs, max(len(first), 1))
                outcomes = run(
                    functools.partial(measure_page, settings),
                    itertools.chain(first, pages),
                    jobs=jobs,
                )
                with contextlib.closing(outcomes):
                    for outcome in outcomes:
                        record.add(outcome)
                        advance(1, 0)
            record.finish()
            if pictures is Pictures.doubtful:
                record.draw_doubtful(jobs)
            record.remove_old_pictures()
    except KeyboardInterrupt:
        typer.echo(f"\nInterrupted. {record.so_far()}", err=True)
        raise typer.Exit(130) from None
    except MicroscopeQualityError as error:
        typer.echo(f"microscope-quality measure: {error}", err=True)
        raise typer.Exit(1) from error
    record.show(jobs, time.monotonic() - began)
    raise typer.Exit(1 if record.failed else 0)


def _announced(record: Record, advance: Callable[[int, int], None]) -> Iterator[Item]:
    """Pages to measure, of which the bar learns as files turn out to be kept, or to hold more."""
    last = -1
    n_kept = 0
    for item in record.pages():
        if item.file == last:
            advance(0, 1)
        advance(record.n_kept - n_kept, 0)
        last, n_kept = item.file, record.n_kept
        yield item


@contextlib.contextmanager
def _progress(n_files: int) -> Iterator[Callable[[int, int], None]]:
    """Bar on a terminal; the function given moves it on, by pages done and by pages more."""
    if n_files < 2 or not sys.stderr.isatty():
        yield lambda done, more: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    total = n_files
    bar = Progress(
        "Measuring",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=total)

        def advance(done: int, more: int) -> None:
            nonlocal total
            total += more
            bar.update(task, advance=done, total=total)

        yield advance
