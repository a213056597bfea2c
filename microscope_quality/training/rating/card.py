"""The card of a rater: what it is, how right it is, and what it learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from microscope_quality.files.whole import whole
from microscope_quality.model import ModelDescription
from microscope_quality.training.defocus.stream import SharpImage

CARD = "MODEL.md"

_NAMES = {
    "blur_r": "blur",
    "along_r": "elongation along the axes",
    "diagonal_r": "elongation along the diagonals",
    "noise_r": "noise",
    "line_noise_r": "line noise and charging",
    "jitter_r": "jitter",
}


def kinds_of(images: Iterable[SharpImage]) -> list[dict[str, object]]:
    """Count images by kind, source and licence, for a model's record."""
    counted = Counter((image.kind, image.source, image.licence) for image in images)
    return [
        {"images": number, "kind": kind, "source": source, "licence": licence}
        for (kind, source, licence), number in sorted(counted.items())
    ]


def rater_card(description: ModelDescription, parameters: int) -> str:
    """Write the card of a rater that `train_rater` has made."""
    training = description.training
    told, images = training["validation"], training["images"]
    lines = [
        f"# {description.name}",
        "",
        "A rater of electron micrographs: score, blur with its direction, noise, line noise and "
        f"jitter of patches of {description.patch_size} × {description.patch_size} pixels, and of "
        f"smaller ones down to 128. It sees their spectra and scan lines; {parameters:,} "
        "parameters, in NumPy.",
        "",
        "    microscope-quality rate IMAGES --model PATH/TO/" + description.name,
        "",
        "## How right it is",
        "",
        f"On {told['patches']:,.0f} patches of {len(images['validation'])} images that were held "
        "out, by field: each was degraded at random, as the training images were. Such figures are "
        "of simulated faults.",
        "",
        "| | |",
        "| --- | --- |",
        f"| score, 0.1 to 1: correlation | {told['score_plcc']:.3f} |",
        f"| mean absolute error | {told['score_mae']:.3f} |",
        f"| root mean square error | {told['score_rmse']:.3f} |",
        *(f"| correlation of the {words} | {told[key]:.3f} |" for key, words in _NAMES.items()),
        "",
        "## What it learned from",
        "",
        f"{training['patches']:,} patches, {training['drawn_share']:.0%} of them of drawn tissue, "
        "the others of these images; faults of the instrument were simulated on all "
        "(`microscope_quality/training/rating/instrument.py`). Which files were held out stands in "
        "`model.json`.",
        "",
        "| images | kind | source | licence |",
        "| --- | --- | --- | --- |",
        *(
            f"| {one['images']} | {one['kind']} | {one['source']} | {one['licence']} |"
            for one in images["kinds"]
        ),
        "",
    ]
    return "\n".join(lines)


def write_card(folder: Path, description: ModelDescription, parameters: int) -> None:
    """Write the card into a model's folder.

    Raises
    ------
    FileError
        It cannot be written.
    """
    with whole(folder / CARD) as beside:
        beside.write_text(rater_card(description, parameters), encoding="utf-8")
