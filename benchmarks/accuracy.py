"""Accuracy on images that training never saw.

The images are not in the repository. ``--data`` names a folder with

``focus/train``
    the training sets that the model's ``model.json`` names, of which only its validation files are
    read, and a set that was left out of training, ``cp_sbs_u2os``, from CellProfiler's examples;
``focus/eval/bbbc006_miq``
    test images of google/microscopeimagequality: BBBC006 (Ljosa et al., Nature Methods 9:637,
    2012), ``BBBC006_*_10`` in focus and ``00_mcf-*`` at the far end of the stack;
``focus/eval/urjc_brightfield_zstack``
    a brightfield stack of 17 planes, Zenodo record 5008894, sharpest at ``S1_11``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from benchmarks.figure import Figure
from microscope_quality import FocusModel, measure_focus, measure_stack
from microscope_quality.evaluation.levels import accuracy, confusion_of_images
from microscope_quality.files.images import planes
from microscope_quality.training.sets import SetSettings, labelled
from microscope_quality.training.stream import SharpImage

GAINS = (0.2, 0.5, 1.0, 2.0, 5.0)
OFFSETS = (0, 1, 30, 1000)
SHARPEST = 10
REACH = 6
# Left out of training: the terms of the set that its files' names match could not be checked.
UNSEEN_KIND = "cp_sbs_u2os"


def read(path: Path) -> npt.NDArray[Any]:
    """Read the only plane of a file."""
    (plane,) = planes(path)
    return plane.array


def synthetic(model: FocusModel, data: Path, names: List[str], what: str) -> List[Figure]:
    """Sharp images at 11 levels, with noise that training did not see."""
    images = [
        SharpImage(str(data / "focus" / "train" / name), kind=name.partition("/")[0], field=name)
        for name in names
    ]
    confusion, undefined = confusion_of_images(model, labelled(images, SetSettings(seed=1)))
    found = accuracy(confusion, undefined)
    return [
        Figure(
            f"{what} ({len(images)} × 11 synthetic images), within one level",
            f"{found['within_one']:.1%}",
            "≥ 98 %",
            found["within_one"] >= 0.98,
        ),
        Figure(
            f"{what} ({len(images)} × 11 synthetic images), exact level",
            f"{found['exact']:.1%}",
            "≥ 87 %",
            found["exact"] >= 0.87,
        ),
    ]


def real_nuclei(model: FocusModel, data: Path) -> List[Figure]:
    """BBBC006: in focus and extremely defocused."""
    folder = data / "focus" / "eval" / "bbbc006_miq"
    focused = [measure_focus(read(p), model).level for p in sorted(folder.glob("BBBC006*_10.*"))]
    extreme = [measure_focus(read(p), model).level for p in sorted(folder.glob("00_mcf*"))]
    return [
        Figure(
            f"BBBC006 in focus ({len(focused)} images): level at most 1",
            f"{sum(level <= 1 for level in focused)}, highest {max(focused):.0f}",
            "all 9",
            len(focused) == 9 and max(focused) <= 1,
        ),
        Figure(
            f"BBBC006 far out of focus ({len(extreme)} images): level at least 9",
            f"{sum(level >= 9 for level in extreme)}, lowest {min(extreme):.0f}",
            "all 25",
            len(extreme) == 25 and min(extreme) >= 9,
        ),
    ]


def brightfield_stack(model: FocusModel, data: Path) -> List[Figure]:
    """A stack of a modality that training never saw."""
    files = sorted((data / "focus" / "eval" / "urjc_brightfield_zstack").iterdir())
    stack = measure_stack((read(path) for path in files), model)
    levels = np.array([result.expected_level for result in stack.results])
    lowest = int(np.argmin(levels))
    # Where no plane's level is within the in-focus limit, the lowest one is still the best.
    best = stack.best_plane if stack.best_plane is not None else lowest
    figures = [
        Figure(
            "brightfield stack: best plane",
            f"{files[best].stem}, status {stack.status}",
            "S1_11 ± 1",
            abs(best - SHARPEST) <= 1,
        )
    ]
    for side, step in (("below", -1), ("above", 1)):
        places = [best + step * k for k in range(REACH + 1) if 0 <= best + step * k < len(files)]
        rank = spearmanr(range(len(places)), levels[places]).statistic
        figures.append(
            Figure(
                f"brightfield stack: Spearman with distance, {len(places) - 1} planes {side}",
                f"{rank:.3f} ({', '.join(f'{level:.1f}' for level in levels[places])})",
                "≥ 0.97",
                rank >= 0.97,
            )
        )
    return figures


def gain_and_offset(model: FocusModel, data: Path) -> List[Figure]:
    """Brightness and contrast must not change the level."""
    worst, n_compared, n_rounded = 0.0, 0, 0
    for folder in ("bbbc006_miq", "urjc_brightfield_zstack"):
        for path in sorted((data / "focus" / "eval" / folder).iterdir()):
            plane = read(path)
            level = measure_focus(plane, model).level
            limit = np.iinfo(plane.dtype).max
            for gain in GAINS:
                for offset in OFFSETS:
                    changed = plane * gain + offset
                    if changed.max() <= limit:
                        changed = np.rint(changed).astype(plane.dtype)
                        n_rounded += 1
                    worst = max(worst, abs(measure_focus(changed, model).level - level))
                    n_compared += 1
    return [
        Figure(
            f"gain ×0.2 … ×5, offset 0 … +1000 on {n_compared} real images "
            f"({n_rounded} rounded to their own type)",
            f"largest change of level {worst:.0f}",
            "≤ 1",
            worst <= 1,
        )
    ]


def measure(model: FocusModel, data: Path) -> List[Figure]:
    """Measure all figures."""
    held_out = model.description.training["validation_files"]
    unseen = [
        f"{UNSEEN_KIND}/{path.name}"
        for path in sorted((data / "focus" / "train" / UNSEEN_KIND).glob("*"))
    ]
    return [
        *synthetic(model, data, held_out, "held-out fields"),
        *synthetic(model, data, unseen, "a kind of image that was not trained on"),
        *real_nuclei(model, data),
        *brightfield_stack(model, data),
        *gain_and_offset(model, data),
    ]
