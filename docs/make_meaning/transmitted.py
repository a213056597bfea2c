"""Phase contrast and DIC, where defocus makes fringes."""

from __future__ import annotations

import numpy as np
from PIL import Image

from docs.make_meaning.drawing import INK, figure, finished, grey, level_axis, line
from docs.make_meaning.specimens import Part, level_text, measured
from microscope_quality import FocusResult, Optics
from microscope_quality.stacks import best_plane

STACKS = 20
#: Planes of the first stack that are shown, by their distance from the one in focus.
_SHOWN = (-2, 0, 2)


def transmitted() -> Part:
    """Measure simulated stacks of living cells."""
    from benchmarks.transmitted_light import (
        MODALITIES,
        NA,
        PIXEL_UM,
        STEP_UM,
        WAVELENGTH_UM,
        stacks,
    )

    optics = Optics(NA, 1.0, WAVELENGTH_UM, PIXEL_UM)
    apart: dict[str, np.ndarray] = {}
    shown: dict[str, list[np.ndarray]] = {}
    numbers = {"transmitted_stacks": str(STACKS)}
    for modality in MODALITIES:
        # A row for each stack, with its plane in focus at the middle.
        rows, near, sharp = [], 0, 0
        far: list[FocusResult] = []
        for stack in stacks(modality, STACKS):
            results = [measured(plane, optics=optics) for plane in stack.planes]
            found = best_plane(results)
            near += found.best_plane is not None and abs(found.best_plane - stack.in_focus) <= 1
            sharp += found.status == "in_focus"
            row = np.full(2 * len(results) - 1, np.nan)
            start = len(results) - 1 - stack.in_focus
            row[start : start + len(results)] = [r.expected_level for r in results]
            rows.append(row)
            far += [r for n, r in enumerate(results) if abs(n - stack.in_focus) >= 4]
            if modality not in shown:
                shown[modality] = [stack.planes[stack.in_focus + n] for n in _SHOWN]
        apart[modality] = np.array(rows)
        short = modality.split()[0].lower()
        middle = apart[modality].shape[1] // 2
        numbers[f"{short}_best"] = str(near)
        numbers[f"{short}_in_focus"] = str(sharp)
        numbers[f"{short}_sharp"] = level_text(np.nanmean(apart[modality][:, middle]))
        numbers[f"{short}_far_planes"] = str(len(far))
        numbers[f"{short}_far_in_focus"] = str(sum(r.status == "in_focus" for r in far))
    numbers["transmitted_far_um"] = f"{4 * STEP_UM:.0f}"

    def draw() -> Image.Image:
        made, axes = figure(400, 2, 4, width_ratios=(1, 1, 1, 3))
        for row, (modality, planes) in enumerate(shown.items()):
            low, high = np.percentile(planes[1], [0.3, 99.7])
            for ax, plane, n in zip(axes[row], planes, _SHOWN):
                # Few greys: noise is what makes the file large.
                shades = grey(plane, low, high) // 32 * 32
                ax.imshow(shades, cmap="gray", vmin=0, vmax=224, interpolation="nearest")
                ax.set_axis_off()
                place = f"{STEP_UM * n:+.0f} µm".replace("-", "−") if n else "in focus"
                above = modality if n == _SHOWN[0] else ""
                ax.set_title(f"{above}\n{place}", fontweight="normal")
        # Of a title's two lines, the upper one may be out of the figure.
        made.get_layout_engine().set(rect=(0, 0, 1, 0.97))
        for ax in axes[:, -1]:
            ax.remove()
        wide = made.add_subplot(axes[0, 0].get_gridspec()[:, -1])
        for number, (modality, values) in enumerate(apart.items()):
            count = values.shape[1]
            um = STEP_UM * (np.arange(count) - count // 2)
            inside = np.abs(um) <= 14
            line(wide, number, um[inside], values[:, inside], modality)
        wide.axvline(0, color=INK, lw=1, ls=":")
        wide.set_xlabel("true distance from focus, µm")
        level_axis(wide)
        wide.legend(loc="upper center")
        return finished(made)

    return numbers, draw
