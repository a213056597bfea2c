"""The model card: what ``model.json`` says, for people, with pictures beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from microscope_quality.files.whole import whole
from microscope_quality.metrics import Calibration
from microscope_quality.model import ModelDescription, read_model

CARD = "MODEL.md"
# Pictures of about 600 pixels, 30 kB each.
DOTS_PER_INCH = 110
_FEW_IMAGES = 30
# Where the names of many files would bury the rest.
_LISTED = 20


def write_card(folder: Path) -> Path:
    """Write ``MODEL.md`` into a model folder, and its pictures.

    Everything is taken from the folder, so that a card can be written anew at any time. Without
    matplotlib it has no pictures, and says so.

    Parameters
    ----------
    folder : Path
        A model folder.

    Returns
    -------
    Path
        Of the card.

    Raises
    ------
    ModelNotFoundError, ModelError
        If the folder holds no model, or a damaged one.
    FileError
        If the card cannot be written.
    """
    description, weights = read_model(folder)
    parameters = sum(array.size for array in weights.values())
    pictures = _pictures(description)
    text = card_text(description, parameters, None if pictures is None else list(pictures))
    for name, content in {**(pictures or {}), CARD: text.encode()}.items():
        with whole(folder / name) as beside:
            beside.write_bytes(content)
    return folder / CARD


def card_text(
    description: ModelDescription, parameters: int, pictures: Sequence[str] | None = ()
) -> str:
    """Write the card's text, in Markdown.

    Parameters
    ----------
    description : ModelDescription
    parameters : int
        Numbers in the model's weights.
    pictures : sequence of str or None
        File names of the pictures there are; None when matplotlib is missing.
    """
    record = description.training
    paragraphs = [
        *_head(description, parameters),
        *_accuracy(record, pictures or ()),
        *_data(description),
        *_microscope(description),
        *_training(record, pictures or ()),
        *_limits(description),
    ]
    if pictures is None:
        paragraphs.append(
            "This card has no pictures, as matplotlib was not there to draw them: "
            "`pip install 'microscope-quality[evaluate]'`."
        )
    return "\n\n".join(paragraphs) + "\n"


def _head(description: ModelDescription, parameters: int) -> list[str]:
    levels = description.levels - 1
    brought = {
        "zscore": "each brought to mean 0 and deviation 1, so that gain, offset and bit depth "
        "drop out",
        "type_range": "divided by the largest value of their type, as published by Yang et al. "
        "(2018)",
    }[description.normalisation]
    return [
        f"# {description.name}",
        f"A model of the defocus of microscope images: level 0 (in focus) to {levels} for each "
        f"patch of {description.patch_size} × {description.patch_size} pixels. Architecture "
        f"`{description.architecture}`, {parameters:,} parameters; patches are {brought}. A "
        f"patch is sure from a certainty of {description.sure_certainty:.4f} on, which at most "
        "1 in 1,000 empty patches reaches.",
        f"    microscope-quality measure IMAGES --model PATH/TO/{description.name}",
    ]


def _accuracy(record: Mapping[str, Any], pictures: Sequence[str]) -> list[str]:
    heading = "## How right it is"
    rows = [
        (what, key, record[f"validation_{key}"])
        for what, key in (("whole images", "images"), ("patches", "patches"))
        if f"validation_{key}" in record
    ]
    if not rows:
        return [heading, "Not known: no image was held out."]
    files = len(record.get("validation_files", ()))
    cells = [
        (
            *(what, f"{found[key]:,}", f"{found['exact']:.1%}", f"{found['within_one']:.1%}"),
            *(_figure(found.get(name)) for name in ("mean_rps", "calibration_error")),
        )
        for what, key, found in rows
    ]
    paragraphs = [
        heading,
        f"On {files} files that were held out, by field of view: each was defocused to every level "
        "and exposed at random, as the training images were. Such figures are of simulated "
        "defocus; real images of known focus are the better test "
        "(`microscope-quality evaluate`).",
        _table("| | number | exact | within one level | mean RPS | calibration error |", cells),
    ]
    if len(rows) > 1:
        paragraphs.append(
            "Patches count with the level of their image, also where they show nothing. RPS: "
            "ranked probability score, 0 at best."
        )
    confusion = rows[0][2]["confusion"]
    levels = " | ".join(str(level) for level in range(len(confusion)))
    paragraphs += [
        "Held-out images by true level (down) and measured level (across):",
        _table(f"| | {levels} |", [(f"**{k}**", *counts) for k, counts in enumerate(confusion)]),
    ]
    shown = [
        ("confusion.png", "Confusion matrix of the held-out images"),
        ("reliability.png", "Reliability diagram of the held-out patches"),
    ]
    return paragraphs + [f"![{title}]({name})" for name, title in shown if name in pictures]


def _data(description: ModelDescription) -> list[str]:
    record = description.training
    paragraphs = ["## What it learned from"]
    if "training_images" in record:
        held_out = len(record.get("validation_files", ()))
        paragraphs.append(
            f"{record['training_images']} sharp images; {held_out} files were held out (both lists "
            "are in `model.json`). Their defocus was simulated."
        )
    if "from" in record:
        paragraphs.append(
            f"It went on from the model `{record['from']['name']}` "
            f"(SHA-256 {record['from']['sha256'][:12]}…), whose images are listed too."
        )
    cells = [
        (
            *(entry.get("images", ""), _cell(entry.get("kind"))),
            *(_cell(entry.get(name)) or "not stated" for name in ("source", "licence")),
        )
        for entry in description.licences
        if isinstance(entry, Mapping)
    ]
    if cells:
        paragraphs.append(_table("| images | kind | source | licence |", cells))
    if record.get("planes"):
        how = {"std": "by the largest standard deviation", "model": "by the model that checked"}
        paragraphs.append(
            f"Of {len(record['planes'])} z-stacks, the sharpest plane was taken, "
            f"{how[record['sharpest']]}."
        )
    return paragraphs + _cleaning(record)


def _cleaning(record: Mapping[str, Any]) -> list[str]:
    """Tell which images were left out, and by whose opinion."""
    paragraphs: list[str] = []
    check = record.get("check")
    if check is not None:
        seen = check["seen_by_the_model"]
        paragraphs.append(
            f"The images were checked with `{check['model']}`: {check['left_out']} were left out "
            f"as blurred (level above {check['blurred_above_level']}), saturated (over "
            f"{check['saturated_above_fraction']:.0%} of the pixels) or empty."
            + (
                f" {check['doubted_but_kept']} more were called so but kept, as most of their kind "
                "were: of unfamiliar material a model's opinion counts little."
                if check["doubted_but_kept"]
                else ""
            )
            + (
                f" {seen} of the images were among those that `{check['model']}` itself learned "
                "from as sharp, so that it is kind to them."
                if seen
                else ""
            )
        )
    elif "stored_sets" in record:
        paragraphs.append("It learned from stored sets, whose images were not checked.")
    for title, key in (("Left out", "left_out"), ("Doubted, but kept", "doubted")):
        reasons = record.get(key) or {}
        if reasons:
            lines = [f"- {name}: {reason}" for name, reason in list(reasons.items())[:_LISTED]]
            if len(reasons) > _LISTED:
                lines.append(f"- and {len(reasons) - _LISTED} more, in `model.json`")
            paragraphs += [f"{title}:", "\n".join(lines)]
    return paragraphs


def _microscope(description: ModelDescription) -> list[str]:
    optics = description.optics
    paragraphs = [
        "## The microscope that was simulated",
        f"NA {optics.na:g}, refractive index {optics.refractive_index:g}, light of "
        f"{optics.wavelength_um:g} µm, pixels of {optics.pixel_size_um:g} µm. A level is a blur "
        "disc of 3.08 pixels, whatever the microscope.",
    ]
    stages = description.training.get("stages") or [{}]
    stream = dict(stages[-1].get("stream", {}))
    scope = stream.pop("microscope", {})
    faults = {
        name: value
        for name, value in scope.items()
        if name != "optics" and value not in ([0.0, 0.0], None)
    }
    if faults:
        told = ", ".join(f"{name} {_value(value)}" for name, value in faults.items())
        paragraphs.append(f"{told}.")
    stream.pop("optics", None)
    if stream:
        cells = [(name, _value(value)) for name, value in stream.items()]
        paragraphs += ["The stream of patches:", _table("| setting | value |", cells)]
    return paragraphs


def _training(record: Mapping[str, Any], pictures: Sequence[str]) -> list[str]:
    paragraphs = ["## How it was trained"]
    if record.get("command"):
        paragraphs.append(f"    {record['command']}")
    stages = record.get("stages") or []
    if stages:
        ends = [stage["first_step"] for stage in stages[1:]]
        history = record.get("history") or [{}]
        ends.append(history[-1].get("step", stages[-1]["steps"]))
        cells = [
            (
                *(f"{stage['first_step']:,}", f"{end:,}", stage["batch_size"]),
                *(f"{stage['learning_rate']:g}", "yes" if stage["cosine_decay"] else "no"),
                stage["seed"],
            )
            for stage, end in zip(stages, ends)
        ]
        head = "| from step | to step | patches a step | learning rate | cosine decay | seed |"
        paragraphs.append(_table(head, cells))
        if "best_step" in record and record.get("validation_files"):
            early = (
                f"\nTraining stopped early, after {record['patience']} epochs of 250 steps "
                "without a lower one."
            )
            paragraphs.append(
                f"The weights are those of step {record['best_step']:,}, which has the lowest "
                "ranked probability score on patches of the held-out images"
                + (" in the last stage." if len(stages) > 1 else ".")
                + (early if record["patience"] and ends[-1] < stages[-1]["steps"] else "")
            )
    versions = record.get("versions") or {}
    if versions:
        named = ", ".join(f"{name} {version}" for name, version in versions.items())
        paragraphs.append(f"Made with {named}.")
    if "curves.png" in pictures:
        paragraphs.append("![Loss and validation during training](curves.png)")
    return paragraphs


def _limits(description: ModelDescription) -> list[str]:
    record = description.training
    kinds = {entry.get("kind", "") for entry in description.licences if isinstance(entry, Mapping)}
    limits = [
        "A level is a blur in **pixels**. An image that is sampled much finer than "
        f"{description.optics.pixel_size_um:g} µm at NA {description.optics.na:g} looks blurred to "
        "it, unless its optics are known: it is then binned to the model's sampling.",
        "Sharp images are as sharp as whoever chose them thought: levels 0 and 1 are the least "
        "well told apart, and both count as in focus.",
        "Objects that are smooth even in focus look blurred, and thick specimens blur their own "
        f"planes. Level {description.levels - 1} means at least that.",
    ]
    if 0 < record.get("training_images", 0) < _FEW_IMAGES and "from" not in record:
        limits.append(
            f"It learned from {record['training_images']} images only; a hundred are better."
        )
    if 0 < len(kinds) <= 2:
        limits.append(
            f"It knows {' and '.join(sorted(filter(None, kinds))) or 'one kind of image'}; of "
            "other material its levels are a guess until they are tested."
        )
    if "validation_images" not in record:
        limits.append("No image was held out: how right it is, is not known.")
    return ["## Its limits", "\n".join(f"- {limit}" for limit in limits)]


def _pictures(description: ModelDescription) -> dict[str, bytes] | None:
    """Draw what the record has figures of; None without matplotlib."""
    from microscope_quality.evaluation import figures, style

    record = description.training
    drawn: dict[str, Any] = {}
    try:
        if record.get("history"):
            drawn["curves.png"] = figures.curves_figure(record["history"])
        images, patches = (record.get(f"validation_{key}") for key in ("images", "patches"))
        if images:
            drawn["confusion.png"] = figures.confusion_figure(
                images["confusion"], "Held-out images"
            )
        if patches:
            table = patches["calibration"]
            known = Calibration(
                table["error"],
                np.array(table["edges"]),
                np.array(table["confidence"], dtype=float),
                np.array(table["accuracy"], dtype=float),
                np.array(table["count"]),
            )
            drawn["reliability.png"] = figures.reliability_figure(known, "Held-out patches")
        return {name: style.png(figure, DOTS_PER_INCH) for name, figure in drawn.items()}
    except ImportError:
        return None


def _table(head: str, rows: Iterable[Sequence[object]]) -> str:
    """Write a table under its first line."""
    rule = "|" + " --- |" * (head.count("|") - 1)
    return "\n".join([head, rule, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _value(value: Any) -> str:
    """Write a setting; a range as ``low to high``."""
    if isinstance(value, list) and len(value) == 2:
        return f"{value[0]:g} to {value[1]:g}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cell(value: Any) -> str:
    """Write a text for a table's cell."""
    return str(value or "").replace("|", "\\|").replace("\n", " ")
