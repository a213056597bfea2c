"""The models that a benchmark judges in one run, and sharp images that none of them learned."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, List, Optional, Sequence, Tuple

import numpy.typing as npt

from benchmarks.figure import Figure
from microscope_quality import FocusModel
from microscope_quality.evaluation.gather import SharpFile, gather
from microscope_quality.evaluation.run import held_out, trained_on
from microscope_quality.files.images import planes


def read(path: Path) -> npt.NDArray[Any]:
    """Read the only plane of a file."""
    (plane,) = planes(path)
    return plane.array


def argument_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Make a parser for models and the folder of images."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, help="folder with the images")
    parser.add_argument(
        "--model",
        action="append",
        help="name or folder of a model; repeatable: the first is judged, the others stand beside "
        "it; else the default one",
    )
    return parser


def loaded(names: Sequence[Optional[str]] | None) -> List[Tuple[str, FocusModel]]:
    """Load models, each with a name of its own in what is printed; None is the default one.

    Two models of one name are told apart by their folders.
    """
    wanted = list(names or [None])
    models = [FocusModel.from_pretrained(name) for name in wanted]
    own = [model.description.name for model in models]
    return [
        (name if own.count(name) == 1 or given is None else given, model)
        for name, given, model in zip(own, wanted, models)
    ]


def unlearned_files(models: Sequence[FocusModel], data: Path) -> List[Path]:
    """List the sharp images that the pretrained model held out, less what any was trained on."""
    pretrained = FocusModel.from_pretrained()
    found = gather(
        [str(data / "focus" / "train")],
        manifest=data / "manifest.csv",
        only=held_out(pretrained),
        without=trained_on([pretrained, *models]),
    )
    return [Path(source.path) for source in found.sources if isinstance(source, SharpFile)]


def beside(name: str, values: Sequence[Tuple[str, str]], bar: str, met: bool) -> Figure:
    """Give one figure of several models: the first is held to the bar."""
    (_, own), *others = values
    told = "; ".join([own, *(f"{other} {value}" for other, value in others)])
    return Figure(name, told, bar, met)
