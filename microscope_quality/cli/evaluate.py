"""``microscope-quality evaluate``: how good a model is, by the published protocols."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from microscope_quality.evaluation.gather import Data
    from microscope_quality.evaluation.results import Evaluation

# Options under headings of the command's help.
_image_option = partial(typer.Option, rich_help_panel="Sharp images")
_stack_option = partial(typer.Option, rich_help_panel="z-stacks")
_microscope_option = partial(typer.Option, rich_help_panel="The microscope to simulate")
_test_option = partial(typer.Option, rich_help_panel="What else is tested")


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A model that `microscope-quality models list` names, or a model's folder.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder for the tables, the figures and evaluation.html; those of an earlier "
            "evaluation in it are replaced.",
            show_default=False,
        ),
    ],
    data: Annotated[
        list[str] | None,
        _image_option(
            metavar="IN",
            help="Sharp images (files, folders or patterns), which are made out of focus at all "
            "levels; or a folder that `synthesize` wrote, used as it is. Can be given again.",
            show_default=False,
        ),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="Another model, for the same figures on the same images. Can be given again.",
            show_default=False,
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        _image_option(
            metavar="CSV",
            help="Table of the sharp images with the column file, as for `train`.",
            show_default=False,
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        _image_option(
            metavar="COLUMN|REGEX",
            help="Groups to give figures of, such as stains: column=NAME of the manifest, or a "
            r"regular expression with named groups for the file's name, such as `_(?P<stain>w\d)`. "
            "Images without a group are left out.",
            show_default="the images' folders",
        ),
    ] = None,
    held_out: Annotated[
        bool,
        _image_option(
            "--held-out",
            help="Of --data, use only what the training of MODEL held out for validation.",
        ),
    ] = False,
    include_training: Annotated[
        bool,
        _image_option(
            "--include-training",
            help="Also use images that one of the models was trained on; else they are left out.",
        ),
    ] = False,
    stacks: Annotated[
        list[str] | None,
        _stack_option(
            metavar="IN",
            help="z-stacks: files, folders or patterns; or a table of planes, or a folder with one "
            "as manifest.csv: its columns are file, set and index, and of the microscope z_um, na, "
            "n, wavelength_um and pixel_um. Can be given again.",
            show_default=False,
        ),
    ] = None,
    stack_pattern: Annotated[
        str | None,
        _stack_option(
            metavar="REGEX",
            help="For planes in files of their own: where the stack's name and z stand in the "
            r"file's name or path, such as `(?P<stack>.+)_z(?P<z>\d+)`.",
            show_default=False,
        ),
    ] = None,
    best: Annotated[
        Path | None,
        _stack_option(
            metavar="CSV",
            help="Table of the stacks' planes in focus, with the columns set and sharpest_index, "
            "and where they are known from_index, to_index and far_indices.",
            show_default=False,
        ),
    ] = None,
    focus_plane: Annotated[
        float | None,
        _stack_option(
            metavar="Z",
            help="z of the plane in focus, as in the names, or counted from 0; unless given, where "
            "the model finds it. A stack without such a plane is left out.",
            show_default=False,
        ),
    ] = None,
    step_um: Annotated[
        float | None,
        _stack_option(
            metavar="UM",
            help="From one z to the next, in µm; with --optics the level follows from geometry. "
            "A table of planes tells both itself.",
            show_default=False,
        ),
    ] = None,
    optics: Annotated[
        str | None,
        _microscope_option(
            metavar="KEY=…,…",
            help="The microscope of the stacks, and the one to simulate for sharp images: na, n, "
            "wavelength_um and pixel_size_um. immersion=air, water, glycerol or oil can stand for "
            "n, and magnification=… with camera_pixel_um=… for pixel_size_um. A stored set brings "
            "its own.",
            show_default="simulated: na=0.5, n=1, wavelength_um=0.5, pixel_size_um=0.65",
        ),
    ] = None,
    photons: Annotated[
        tuple[float, float],
        _microscope_option(
            metavar="LOW HIGH",
            help="Photoelectrons at an image's brightest percent, log-uniform.",
        ),
    ] = (300.0, 20_000.0),
    background: Annotated[
        tuple[float, float],
        _microscope_option(
            metavar="LOW HIGH",
            help="Background, as a fraction of these photons.",
        ),
    ] = (0.0, 0.1),
    gain_offset_images: Annotated[
        int,
        _test_option(
            min=0,
            metavar="N",
            help="Sharp images that go through the gain/offset test, all levels.",
        ),
    ] = 10,
    empty_patches: Annotated[
        int,
        _test_option(
            min=0,
            metavar="N",
            help="Patches with nothing in them, made to see what it says.",
        ),
    ] = 10_000,
    classical: Annotated[
        bool,
        _test_option(
            "--classical/--no-classical",
            help="Compare with classical focus measures, or not.",
        ),
    ] = True,
    unseen: Annotated[
        Path | None,
        _test_option(
            metavar="CSV",
            help="Table that `microscope-quality unseen` wrote, to be shown on the page.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Of the exposures and of all that is drawn at random."
        ),
    ] = 1,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            metavar="N",
            help="Processes at work; each needs about 300 MB.",
            show_default="all cores",
        ),
    ] = None,
) -> None:
    r"""Tell how good a model is: accuracy, calibration, and beside other models and measures.

    Sharp images are made out of focus at levels 0 to 10, so that the right answer is known. A
    page, evaluation.html, shows the figures; every number is in a CSV table beside it.

    **Examples**

    * The default model on images of your own: `microscope-quality evaluate compact --data sharp/
    --out evaluation`

    * Your model beside it, on what its training held out: `microscope-quality evaluate
    training/model --beside compact --data sharp/ --held-out --out evaluation`

    * z-stacks that a table lists, with their microscopes: `microscope-quality evaluate compact
    --stacks stacks/manifest.csv --best focus.csv --out evaluation`

    * z-stacks, a file for each plane: `microscope-quality evaluate compact --stacks plate/
    --stack-pattern '(?P<stack>[A-P]\d\d)_z(?P<z>\d+)' --step-um 2 --out evaluation`

    A file that cannot be read is a row of left_out.csv, and the rest goes on. Exit codes: 0 all
    evaluated, 1 some files left out for an error, 2 wrong use.
    """
    from rich.console import Console

    from microscope_quality.batch.run import n_cores
    from microscope_quality.cli.refusal import refusing
    from microscope_quality.errors import SettingsError
    from microscope_quality.evaluation import run
    from microscope_quality.evaluation.gather import gather
    from microscope_quality.evaluation.gather_stacks import gather_stacks
    from microscope_quality.evaluation.judging import load
    from microscope_quality.evaluation.page import check_libraries, write_page
    from microscope_quality.evaluation.results import EvaluationSettings
    from microscope_quality.evaluation.tables import check_folder, write_tables
    from microscope_quality.evaluation.unseen import read_unseen
    from microscope_quality.optics import Optics
    from microscope_quality.training.defocus.microscope import Microscope
    from microscope_quality.training.defocus.sets import SetSettings
    from microscope_quality.training.defocus.stored import is_set

    screen = Console(stderr=True, highlight=False, soft_wrap=True)
    remedy = "pip install 'microscope-quality[evaluate]' brings what figures need"
    with refusing("evaluate", remedy=remedy, interrupted="\nInterrupted."):
        check_libraries()
        if not data and not stacks:
            raise SettingsError("Give --data, sharp images, or --stacks, z-stacks, or both.")
        if stack_pattern is not None and not stacks:
            raise SettingsError("--stack-pattern is for --stacks.")
        if focus_plane is not None and not stacks:
            raise SettingsError("--focus-plane is for --stacks.")
        if best is not None and not stacks:
            raise SettingsError("--best is for --stacks.")
        if best is not None and focus_plane is not None:
            raise SettingsError("Give --focus-plane, one for all, or --best, one for each stack.")
        if held_out and not data:
            raise SettingsError("--held-out is for --data.")
        if optics is not None and not stacks and all(is_set(Path(path)) for path in data or []):
            raise SettingsError(
                "--optics is for sharp images and z-stacks; a set that synthesize wrote has the "
                "optics that it was made with."
            )
        given = None if optics is None else Optics.parse(optics)
        names = [model, *(beside or [])]
        models = [load(name) for name in names]
        settings = EvaluationSettings(
            sets=SetSettings(
                microscope=Microscope() if given is None else Microscope(optics=given),
                photons=photons,
                background=background,
                seed=seed,
            ),
            seed=seed,
            gain_offset_images=gain_offset_images,
            empty_patches=empty_patches,
            classical=classical,
            optics=given,
            step_um=step_um,
            focus_plane=focus_plane,
            jobs=jobs or n_cores(),
        )
        found = gather(
            data or [],
            manifest=manifest,
            group_by=group_by,
            only=run.held_out(models[0]) if held_out else None,
            without=None if include_training else run.trained_on(models),
        )
        if stacks:
            found = found.with_(gather_stacks(stacks, stack_pattern, best))
        groups = [] if unseen is None else read_unseen(unseen)
        check_folder(out)
        with _progress(screen, _announced(len(models), found, empty_patches)) as report:
            evaluation = run.evaluate(
                names,
                found,
                settings,
                report,
                command=shlex.join(["microscope-quality", *sys.argv[1:]]),
            )
        tables = write_tables(evaluation, out)
        page = write_page(evaluation, out, model=models[0], unseen=groups)
    _show(Console(highlight=False), evaluation)
    _show_stacks(evaluation)
    _tell(screen, evaluation)
    typer.echo(f"{page}, and {len(tables)} tables beside it")
    raise typer.Exit(1 if evaluation.failed else 0)


def _announced(models: int, data: Data, empty_patches: int) -> str:
    """Say what is about to be evaluated, and on what."""
    from microscope_quality.evaluation.gather import SharpFile

    files = sum(isinstance(source, SharpFile) for source in data.sources)
    counts = (
        (files, "file of sharp images", "files of sharp images"),
        (len(data.sources) - files, "image of a set", "images of sets"),
        (len(data.stacks), "z-stack", "z-stacks"),
        (empty_patches, "empty patch", "empty patches"),
    )
    told = [f"{count:,} {one if count == 1 else many}" for count, one, many in counts if count]
    on = " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)
    return f"Evaluating {models} model{'s' * (models != 1)} on {on}"


@contextlib.contextmanager
def _progress(screen: Console, announced: str) -> Iterator[Callable[[int, int], None]]:
    """Bar on a terminal; elsewhere a line for each tenth. The announcement comes before it."""
    if not screen.is_terminal:
        told = 0

        def line(done: int, total: int) -> None:
            nonlocal told
            if done == 0:
                screen.print(announced)
            if 10 * done // total > told:
                told = 10 * done // total
                screen.print(f"{100 * done // total}% evaluated")

        yield line
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    with Progress(
        "Evaluating",
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=None)

        def move(done: int, total: int) -> None:
            if done == 0:
                screen.print(announced)
            bar.update(task, completed=done, total=total)

        yield move


def _show(screen: Console, evaluation: Evaluation) -> None:
    """Put models and measures side by side."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from microscope_quality.evaluation.tables import summary_rows

    rows = summary_rows(evaluation)
    table = Table(title=_title(evaluation), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    for row in rows:
        name = str(row["measure"])
        heading = name if row["kind"] == "model" else name.replace("_", " ")
        table.add_column(heading, justify="right", overflow="fold", min_width=11)
    for name, key, form in (
        ("images within one level", "image_within_one", ".1%"),
        ("images exact", "image_exact", ".1%"),
        ("images: calibration error", "image_calibration_error", ".3f"),
        ("patches within one level", "patch_within_one", ".1%"),
        ("patches exact", "patch_exact", ".1%"),
        ("surer half of the patches within one", "patch_within_one_certain_half", ".1%"),
        ("patches: ranked probability score", "patch_mean_rps", ".3f"),
        ("patches: calibration error", "patch_calibration_error", ".3f"),
        ("in/out of focus, images: F", "binary_image_f", ".3f"),
        ("in/out of focus, patches: F", "binary_patch_f", ".3f"),
        ("empty patches below sure", "empty_below_sure", ".2%"),
        ("worst gain and offset: within one", "gain_offset_worst_within_one", ".1%"),
        ("z-stacks: rank correlation", "stack_spearman", ".3f"),
        ("z-stacks: error of the best plane", "stack_best_plane_error", ".2f"),
        ("z-stacks: best plane within the depth of field", "stack_within_depth", ".1%"),
        ("z-stacks: slope of the blur", "stack_slope", ".2f"),
        ("z-stacks: planes within one level", "stack_within_one", ".1%"),
    ):
        cells = [_cell(row, key, form) for row in rows]
        if any(cells):
            table.add_row(name, *cells)
    screen.print(table)


def _show_stacks(evaluation: Evaluation) -> None:
    """Put models and classical measures side by side, a line for each z-stack."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from microscope_quality.evaluation.tables import stack_comparison

    if not evaluation.stacks:
        return
    head, rows = stack_comparison(evaluation)
    screen = Console(highlight=False)
    # Numbers that are broken over lines cannot be read.
    screen.width = max(screen.width, 20 + 13 * len(head))
    table = Table(
        title="z-stacks: best plane (✓ within the depth of field), and rank correlation",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for number, name in enumerate(head):
        table.add_column(
            name,
            justify="left" if number == 0 else "right",
            overflow="fold",
            min_width=11 if number > 2 else None,
        )
    shown = 40
    for row in [*rows[:-1][:shown], rows[-1]]:
        table.add_row(*row)
    screen.print(table)
    more = len(rows) - 1 - shown
    if more > 0:
        screen.print(f"{more} more stacks are in z_stack_measures.csv.")


def _title(evaluation: Evaluation) -> str:
    images = sum(row["images"] for row in evaluation.data)
    groups = len(evaluation.data)
    parts = []
    if images:
        parts.append(
            f"{images} sharp image{'s' * (images != 1)} of {groups} group{'s' * (groups != 1)}"
        )
    stacks = len({stack.stack for stack in evaluation.stacks})
    if stacks:
        parts.append(f"{stacks} z-stack{'s' * (stacks != 1)}")
    return ", ".join(parts)


def _cell(row: dict[str, Any], key: str, form: str) -> str:
    value = row.get(key)
    if not isinstance(value, float) or value != value:
        return ""
    text = format(value, form)
    if key.endswith("_f"):
        low, high = (row.get(key.removesuffix("_f") + end) for end in ("_low", "_high"))
        text += f"\n{low:.3f}–{high:.3f}"
    return text


def _tell(screen: Console, evaluation: Evaluation) -> None:
    """Say what has to be known to read the figures, and what was left out."""
    from microscope_quality.evaluation.tables import LEFT_OUT

    for note in evaluation.notes:
        screen.print(note, markup=False)
    shown = 10
    missing = {**evaluation.failed, **evaluation.left_out}
    for path, reason in list(missing.items())[:shown]:
        screen.print(f"left out: {path}: {reason}", style="yellow", markup=False)
    more = len(missing) - shown
    if more > 0:
        screen.print(f"{more} more files were left out: see {LEFT_OUT}", style="yellow")
