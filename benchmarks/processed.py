"""What is called in focus after images were processed as pipelines process them.

``python -m benchmarks.processed --data DIR --model NAME`` filters, shifts, enlarges and compresses
images that are far from focus, empty, and sharp, none of which trained the model, and counts what
is called in focus. ``--model`` can be given again, for others beside the first.

Far from focus are ``focus/eval/bbbc006_miq/00_mcf-*``, the planes of real stacks that
``real_stacks.csv`` lists as far by eye, and sharp images that were held out from training, blurred
to levels 4, 6 and 8 and exposed anew. Empty are corners of real images where the eye finds nothing,
and fields that ``empty_image`` makes. Sharp are the held-out images as they are, and exposed anew
by as many photons as the blurred ones. Counts are told of each of these sources, in this order. It
takes about a minute a model, on one core.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import numpy.typing as npt
import scipy.ndimage
from PIL import Image
from threadpoolctl import threadpool_limits

from benchmarks.figure import Figure, print_rows
from benchmarks.models import argument_parser, beside, loaded, read, unlearned_files
from microscope_quality import FocusModel, measure_focus
from microscope_quality.degrade import Camera, defocus
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.psf import psf
from microscope_quality.training.defocus.empties import empty_image
from microscope_quality.training.defocus.exposure import signal

Plane = npt.NDArray[Any]
Images = List[Tuple[str, Plane]]

LEVELS = (4.0, 6.0, 8.0)
PHOTONS = (100.0, 300.0, 1000.0, 2000.0)
BACKGROUND = 0.03
# Of a large image the middle is judged.
LONGEST_PX = 520
EMPTY_FIELDS = 60
EMPTY_SHAPE = (252, 252)
CORNER_PX = 168


def _as_floats(change: Callable[[Plane], Plane]) -> Callable[[Plane], Plane]:
    """Filter in floats, and give the image's own type back, as a pipeline saves it."""

    def changed(plane: Plane) -> Plane:
        values = change(plane.astype(np.float32))
        if plane.dtype.kind == "f":
            return values
        limits = np.iinfo(plane.dtype)
        return np.clip(np.rint(values), limits.min, limits.max).astype(plane.dtype)

    return changed


def gaussian(sigma_px: float) -> Callable[[Plane], Plane]:
    """Give a Gaussian filter."""
    return _as_floats(lambda plane: scipy.ndimage.gaussian_filter(plane, sigma_px, mode="mirror"))


def jpeg(plane: Plane, quality: int = 85) -> Plane:
    """Compress, from the darkest pixel to the brightest but one in a thousand."""
    low, high = float(plane.min()), float(np.percentile(plane, 99.9))
    shades = np.clip((plane - low) / max(high - low, 1e-9), 0, 1) * 255
    buffer = io.BytesIO()
    Image.fromarray(np.rint(shades).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


PROCESSINGS: Dict[str, Callable[[Plane], Plane]] = {
    "as it is": lambda plane: plane,
    "Gaussian 0.5 px": gaussian(0.5),
    "Gaussian 0.7 px": gaussian(0.7),
    "Gaussian 1 px": gaussian(1.0),
    "median 3 × 3": lambda plane: scipy.ndimage.median_filter(plane, 3, mode="mirror"),
    "half a pixel's shift": _as_floats(
        lambda plane: scipy.ndimage.shift(plane, 0.5, order=1, mode="mirror")
    ),
    "enlarged 1.5 ×": _as_floats(
        lambda plane: scipy.ndimage.zoom(plane, 1.5, order=1, mode="mirror", grid_mode=False)
    ),
    "JPEG 85": jpeg,
}


def middle(plane: Plane, longest_px: int = LONGEST_PX) -> Plane:
    """Cut out the middle of an image."""
    box = tuple(
        slice(start, start + min(length, longest_px))
        for length in plane.shape
        for start in (max(0, (length - longest_px) // 2),)
    )
    return plane[box]


def numbers(text: str) -> List[int]:
    """Read whole numbers and ranges of them, such as ``0-2 9-10``."""
    found: List[int] = []
    for part in text.split():
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def far_planes(stacks: Path) -> Images:
    """Read the planes of real stacks that are clearly out of focus by eye."""
    with (Path(__file__).with_name("real_stacks.csv")).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    files = {
        (row["set"], int(row["index"])): stacks / row["file"]
        for row in csv.DictReader((stacks / "manifest.csv").read_text("utf-8").splitlines())
    }
    return [
        (row["set"], read(files[row["set"], index]))
        for row in rows
        for index in numbers(row["far_indices"])
    ]


def empty_corners(stacks: Path) -> Images:
    """Cut out where real images show nothing, by eye."""
    corners = []
    for index in range(12):
        plane = read(stacks / "cellfinder_bg" / f"cellfinder_bg_p{index:03}.tif")
        corners.append(("above a section of brain", plane[:CORNER_PX, -CORNER_PX:]))
    for index in (0, 8, 16, 24, 33):
        plane = read(stacks / "dfnn_mitochondria" / f"dfnn_mitochondria_p{index:03}.tif")
        for top in (0, 168, 336, 504):
            corners.append(("beside cells", plane[top : top + CORNER_PX, :CORNER_PX]))
        for top in (0, 168):
            corners.append(("beside cells", plane[top : top + CORNER_PX, -CORNER_PX:]))
    return corners


def groups(models: Sequence[FocusModel], data: Path) -> Dict[str, Dict[str, Images]]:
    """Gather the images: far, empty and sharp ones, each of several sources."""
    eval_ = data / "focus" / "eval"
    patch = max(model.description.patch_size for model in models)
    kernels = [psf(TRAINING_OPTICS, TRAINING_OPTICS.defocus_of_level(level)) for level in LEVELS]
    sharp, exposed, blurred = [], [], []
    for number, path in enumerate(unlearned_files(models, data)):
        plane = read(path)
        sharp.append((path.name, middle(plane)))
        light = middle(signal(plane))
        # The held-out image is as sharp as its microscope made it: not blurred once more.
        for place, image in enumerate([light, *(defocus(light, kernel) for kernel in kernels)]):
            photons = PHOTONS[(number + place) % len(PHOTONS)]
            expected = photons * (np.maximum(image, 0) + BACKGROUND)
            taken = Camera().expose(expected, 10 * number + place)
            (blurred if place else exposed).append((path.name, taken))
    return {
        "far from focus": {
            "BBBC006": [
                (path.name, read(path)) for path in sorted((eval_ / "bbbc006_miq").glob("00_mcf-*"))
            ],
            "planes of real stacks": [
                (name, plane)
                for name, plane in far_planes(eval_ / "stacks")
                # Of a bead's 64 pixels nothing can be said.
                if min(plane.shape) >= patch
            ],
            "held-out images, blurred": blurred,
        },
        "empty": {
            "corners of real images": empty_corners(eval_ / "stacks"),
            "made": [
                ("", empty_image(EMPTY_SHAPE, np.random.default_rng((7, seed))))
                for seed in range(EMPTY_FIELDS)
            ],
        },
        "sharp": {"held-out images": sharp, "the same, exposed anew": exposed},
    }


def in_focus(model: FocusModel, images: Images, change: Callable[[Plane], Plane]) -> List[bool]:
    """Tell which images are called in focus after a change."""
    return [measure_focus(change(plane), model).status == "in_focus" for _, plane in images]


def count_text(found: Sequence[bool]) -> str:
    return f"{sum(found) / max(1, len(found)):.1%} ({sum(found)} of {len(found)})"


def measure(models: Sequence[Tuple[str, FocusModel]], data: Path) -> Iterator[Figure]:
    """Count, for each kind of image and each processing."""
    for kind, sources in groups([model for _, model in models], data).items():
        before: Dict[str, Dict[str, List[bool]]] = {}
        for processing, change in PROCESSINGS.items():
            of_models = []
            met = True
            for name, model in models:
                parts = {
                    source: in_focus(model, images, change) for source, images in sources.items()
                }
                found = [one for part in parts.values() for one in part]
                told = count_text(found)
                told += " = " + " + ".join(f"{sum(part)}/{len(part)}" for part in parts.values())
                if processing == "as it is":
                    before[name] = parts
                if kind == "sharp":
                    were = [one for part in before[name].values() for one in part]
                    stayed = [one for one, was in zip(found, were) if was]
                    told = f"{count_text(stayed)} of those in focus as they are; all: {told}"
                    reached = sum(stayed) >= 0.95 * len(stayed)
                else:
                    reached = sum(found) <= 0.02 * len(found)
                met = reached if name == models[0][0] else met
                of_models.append((name, told))
            yield beside(
                f"{kind}, {processing}: in focus",
                of_models,
                "≥ 95 %" if kind == "sharp" else "≤ 2 %",
                met,
            )


def main() -> int:
    parser = argument_parser("processed", __doc__)
    options = parser.parse_args()
    if options.data is None:
        parser.error("--data is needed")
    models = loaded(options.model)
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    with threadpool_limits(1):
        return 0 if print_rows(measure(models, options.data)) else 1


if __name__ == "__main__":
    sys.exit(main())
