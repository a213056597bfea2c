"""The page of an evaluation: one HTML file with all figures in it, and the figures beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microscope_quality.evaluation.comparison import beside_classical, compared, tiles
from microscope_quality.evaluation.results import Evaluation
from microscope_quality.evaluation.sections import FIGURES, Drawings, many, sections_of
from microscope_quality.evaluation.style import measure_name
from microscope_quality.evaluation.tables import SLOPE, summary_rows
from microscope_quality.files.regular import refusals
from microscope_quality.files.whole import whole
from microscope_quality.version import __version__

if TYPE_CHECKING:
    from microscope_quality.model import FocusModel

PAGE = "evaluation.html"
_TEMPLATE = "evaluation.html.jinja"
# What a page calls its figures: others in the folder are not its own.
_NAMES = re.compile(
    r"(distance|risk_coverage)_(images|patches)|confusion_(images|patches)_\d+_(shares|counts)"
    r"|reliability_(images|patches)_\d+|(certainty|empties|stack)_\d+|binary"
    r"|gain_offset_(within_one|exact)|groups_(within_one_level|exact)|montage|mistakes|judged_by"
)


def check_libraries() -> None:
    """Import the libraries that a page is made with: one that is missing is told before the work.

    Raises
    ------
    ImportError
        If one is missing.
    """
    import jinja2  # noqa: F401
    import matplotlib.figure  # noqa: F401


def write_page(
    evaluation: Evaluation,
    folder: Path,
    *,
    model: FocusModel,
    unseen: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write ``evaluation.html``, and its figures as PNG into the folder ``figures`` beside it.

    The page holds all that it shows: it opens from a disk, without a network, and runs no script.

    Parameters
    ----------
    evaluation : Evaluation
    folder : Path
        Made when it is missing; an earlier page in it is replaced, and its figures removed.
    model : FocusModel
        The first one evaluated, for the pictures of what a patch is judged by.
    unseen : sequence of dicts
        On kinds of images that were left out of training, as `unseen.read_unseen` gives them.

    Returns
    -------
    Path
        Of the page.

    Raises
    ------
    FileError
        When something cannot be written.
    """
    drawn = Drawings()
    html = _render(evaluation, drawn, model, unseen)
    page, figures = folder / PAGE, folder / FIGURES
    with refusals(figures, "written"):
        figures.mkdir(parents=True, exist_ok=True)
        for name, content in drawn.files.items():
            with whole(figures / f"{name}.png") as beside:
                beside.write_bytes(content)
        # After its figures, and before those of an earlier page go: no page lacks one.
        with whole(page) as beside:
            beside.write_bytes(html.encode("utf-8"))
        for path in figures.glob("*.png"):
            if path.stem not in drawn.files and _NAMES.fullmatch(path.stem):
                path.unlink()
    return page


def _render(
    evaluation: Evaluation, drawn: Drawings, model: FocusModel, unseen: Sequence[Mapping[str, Any]]
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    rows = summary_rows(evaluation)
    environment = Environment(
        loader=PackageLoader("microscope_quality.evaluation", package_path="."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE).render(
        name=evaluation.models[0].name if evaluation.models else "no model",
        subject=_subject(evaluation),
        tiles=tiles(rows),
        columns=[
            (measure_name(str(row["measure"])), _role(number, row))
            for number, row in enumerate(rows)
        ],
        verdict=compared(rows),
        findings=beside_classical(evaluation),
        sections=sections_of(evaluation, drawn, model, unseen),
        notes=evaluation.notes,
        command=evaluation.command,
        version=__version__,
    )


def _subject(evaluation: Evaluation) -> str:
    """Say in one line what was judged."""
    parts = []
    if evaluation.models and len(evaluation.models[0].images):
        sharp = sum(int(row["images"]) for row in evaluation.data)
        n = len(evaluation.models[0].images)
        parts.append(
            f"{n:,} images at known defocus levels, made from {many(sharp, 'sharp image')} of "
            f"{many(len(evaluation.data), 'kind')}"
        )
        parts.append(f"{len(evaluation.models[0].patches):,} patches with content")
    stacks = len({stack.stack for stack in evaluation.stacks})
    if stacks:
        parts.append(many(stacks, "z-stack"))
    return "; ".join(parts)


def _role(number: int, row: Mapping[str, Any]) -> str:
    if row["kind"] == "model":
        return "model" if number else "the model asked about"
    slope = row["measure"] == SLOPE
    return "classical measure" if slope else "best other classical measure"
