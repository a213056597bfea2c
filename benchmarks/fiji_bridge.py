"""What the bridge adds to the library's own time, on images of ImageJ's with 2048×2048 pixels.

``python -m benchmarks.fiji_bridge IJ_JAR`` starts that ImageJ (``net.imagej:ij:1.54p``) without a
window and measures simulated nuclei, by the bridge from Java and by the library from NumPy, turn by
turn. A third figure is what it takes to draw the patches and write the row.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from pathlib import Path
from typing import Any, Callable, Dict, List

import numpy as np
import numpy.typing as npt

import fiji_bridge
from benchmarks.figure import Figure, print_rows
from benchmarks.inference_speed import SIDE, big_image
from microscope_quality import FocusModel, measure_focus
from microscope_quality.files.plane import luminance

PAIRS = 21


def in_turn(calls: Dict[str, Callable[[], object]]) -> Dict[str, List[float]]:
    """Give the seconds of each call, run one after the other many times."""
    times: Dict[str, List[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(PAIRS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return times


def in_java(plane: npt.NDArray[Any]) -> Any:
    """Make an ImagePlus of a plane, or of three channels."""
    import jpype

    if plane.ndim == 3:
        red, green, blue = (plane[..., i].astype(np.int32) for i in range(3))
        pixels = jpype.JArray(jpype.JInt)((red << 16 | green << 8 | blue).ravel())
        processor = jpype.JClass("ij.process.ColorProcessor")(SIDE, SIDE, pixels)
    elif plane.dtype == np.uint8:
        pixels = jpype.JArray(jpype.JByte)(plane.view(np.int8).ravel())
        processor = jpype.JClass("ij.process.ByteProcessor")(SIDE, SIDE, pixels, None)
    elif plane.dtype == np.uint16:
        pixels = jpype.JArray(jpype.JShort)(plane.view(np.int16).ravel())
        processor = jpype.JClass("ij.process.ShortProcessor")(SIDE, SIDE, pixels, None)
    else:
        pixels = jpype.JArray(jpype.JFloat)(plane.astype(np.float32).ravel())
        processor = jpype.JClass("ij.process.FloatProcessor")(SIDE, SIDE, pixels, None)
    return jpype.JClass("ij.ImagePlus")("nuclei", processor)


def measure(jar: Path) -> List[Figure]:
    """Measure each pixel type's overhead, and the time to show a result."""
    with warnings.catch_warnings():
        # That it is ImageJ alone is what is wanted here.
        warnings.simplefilter("ignore")
        fiji_bridge.start(jar)
    model = FocusModel.from_pretrained()
    nuclei = big_image()
    grey = (nuclei / nuclei.max() * 255).astype(np.uint8)
    colours = np.stack([grey, grey[::-1], grey.T], axis=-1)
    planes: Dict[str, npt.NDArray[Any]] = {
        "8 bit": grey,
        "16 bit": nuclei,
        "32 bit": nuclei.astype(np.float32),
    }
    figures = []
    for name, plane in planes.items():
        image = in_java(plane)
        figures.append(
            _overhead(
                f"{SIDE}×{SIDE}, {name}",
                lambda image=image: fiji_bridge.measure(image, model),
                lambda plane=plane: measure_focus(plane, model),
            )
        )
    image = in_java(colours)
    red, green, blue = (np.ascontiguousarray(colours[..., i]) for i in range(3))
    figures.append(
        _overhead(
            f"{SIDE}×{SIDE}, RGB by luminance",
            lambda: fiji_bridge.measure(image, model, luminance=True),
            lambda: measure_focus(luminance(red, green, blue), model),
        )
    )
    figures.append(
        _overhead(
            f"{SIDE}×{SIDE}, green of RGB",
            lambda: fiji_bridge.measure(image, model, c=2),
            lambda: measure_focus(green, model),
        )
    )
    shown = in_java(nuclei)
    result = fiji_bridge.measure(shown, model)
    drawn = in_turn({"show": lambda: fiji_bridge.show(shown, result)})["show"]
    taken = statistics.median(drawn)
    figures.append(
        Figure(
            f"{SIDE}×{SIDE}, {len(result.patch_levels)} patches: overlay, legend, row, properties",
            f"{taken:.2f} s",
            "≤ 0.5 s",
            taken <= 0.5,
        )
    )
    return figures


def _overhead(name: str, bridge: Callable[[], object], library: Callable[[], object]) -> Figure:
    times = in_turn({"bridge": bridge, "library": library})
    ratios = [ours / own for ours, own in zip(times["bridge"], times["library"])]
    more = statistics.median(ratios) - 1
    own = statistics.median(times["library"])
    ours = statistics.median(times["bridge"])
    return Figure(
        f"{name}: bridge over the library",
        f"{100 * more:+.1f}% ({ours:.3f} s, {own:.3f} s)",
        "≤ 15 %",
        more <= 0.15,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fiji_bridge", description=__doc__)
    parser.add_argument("jar", type=Path, help="ij-1.54p.jar, or the folder of an ImageJ or Fiji")
    print("| figure | measured | bar | |\n| --- | --- | --- | --- |")
    return 0 if print_rows(measure(parser.parse_args().jar)) else 1


if __name__ == "__main__":
    sys.exit(main())
