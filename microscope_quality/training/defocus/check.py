"""Whether sharp images are what they should be: in focus, not cut off, not empty.

A training on blurred images would teach that blurred is sharp. The eye that calls them sharp is
helped by a model; but a model knows its own material best, so its opinion is never the only one:
where it would leave out most of a kind, the kind stays, and that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from microscope_quality.errors import FileError, MicroscopeQualityError, reason_of
from microscope_quality.focus import measure_focus
from microscope_quality.model import FocusModel
from microscope_quality.optics import Optics
from microscope_quality.training.defocus.stream import SharpImage

# Half way from the last level that counts as in focus, 1, to the next. Of 339 images that were
# taken for sharp by eye, 7 lie above: three are visibly soft, four show large objects at fine
# sampling. Of the 94 among them that the model had not learned from, one.
BLURRED_LEVEL = 1.5
# The brightest percent of an image sets its exposure in the simulation.
SATURATED_FRACTION = 0.01
# A model that calls most of a kind bad is more likely wrong about the kind.
MOST = 0.5


@dataclass(frozen=True)
class SharpCheck:
    """What came of a check.

    Attributes
    ----------
    model : str
        The model that was asked.
    kept : tuple of SharpImage
        Images to train on, in their order.
    left_out : dict
        Why an image is not, by its path.
    doubted : dict
        Why an image would not be, but for most of its kind being called the same.
    seen : int
        Images that the model itself was trained on as sharp, which makes it kind to them.
    """

    model: str
    kept: tuple[SharpImage, ...]
    left_out: dict[str, str]
    doubted: dict[str, str]
    seen: int

    def to_dict(self) -> dict[str, Any]:
        """Give what the model's record says of it."""
        return {
            "model": self.model,
            "blurred_above_level": BLURRED_LEVEL,
            "saturated_above_fraction": SATURATED_FRACTION,
            "left_out": len(self.left_out),
            "doubted_but_kept": len(self.doubted),
            "seen_by_the_model": self.seen,
        }


def check_sharp(
    images: Sequence[SharpImage],
    model: FocusModel,
    *,
    optics: Optics | None = None,
    strict: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> SharpCheck:
    """Find the images that are blurred, saturated or empty.

    Blurred is an expected level above 1.5; saturated, over a hundredth of the pixels at the
    type's largest value; empty, the status ``no_content``. An image that can no longer be read is
    left out in any case.

    Parameters
    ----------
    images : sequence of SharpImage
    model : FocusModel
    optics : Optics, optional
        Of the images: they are judged at the sampling that the model knows. Without it, pixel by
        pixel.
    strict : bool
        Leave them out also where they are more than half of their kind.
    report : callable
        Called with the number of images that are judged, and of all: at the beginning, and after
        each.

    Returns
    -------
    SharpCheck
    """
    left_out: dict[str, str] = {}
    doubted: dict[str, str] = {}
    kept: list[SharpImage] = []
    judged: list[tuple[SharpImage, str | None]] = []
    report(0, len(images))
    for done, image in enumerate(images, 1):
        try:
            judged.append((image, _reason(image, model, optics)))
        except FileError as error:
            left_out[_name(image)] = reason_of(error, image.path)
        report(done, len(images))
    for image, reason in judged:
        if reason is None:
            kept.append(image)
            continue
        kind = [r for other, r in judged if other.kind == image.kind]
        bad = sum(r is not None for r in kind)
        if bad > MOST * len(kind) and not strict:
            kept.append(image)
            doubted[_name(image)] = reason
        else:
            left_out[_name(image)] = reason
    known = set(model.description.training.get("training_files", ()))
    seen = sum(image.entry in known for image in images)
    return SharpCheck(model.description.name, tuple(kept), left_out, doubted, seen)


def _reason(image: SharpImage, model: FocusModel, optics: Optics | None) -> str | None:
    """Tell what is wrong with an image; None where nothing is.

    Raises
    ------
    FileError
        If the file cannot be read, or has no such plane.
    """
    array = image.read()
    try:
        result = measure_focus(array, model, optics=optics, rescale=bool(optics))
    except MicroscopeQualityError:
        # Nothing can be said, as of a sampling far from the model's.
        return None
    if result.status == "no_content":
        return f"shows nothing, as {model.description.name} sees it"
    if result.saturated_fraction > SATURATED_FRACTION:
        return f"{result.saturated_fraction:.1%} of the pixels are saturated"
    if result.expected_level > BLURRED_LEVEL:
        return f"blurred: {model.description.name} puts it at level {result.expected_level:.1f}"
    return None


def _name(image: SharpImage) -> str:
    return image.path if image.plane == 0 else f"{image.path}#{image.plane}"
