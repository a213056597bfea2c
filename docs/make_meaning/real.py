"""Real images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from docs.make_meaning.drawing import INK, SERIES, SOFT, figure, finished, level_axis, line
from docs.make_meaning.specimens import (
    Part,
    blurred,
    judged,
    level_text,
    measured,
    model,
    share_text,
    taken,
)
from microscope_quality.stacks import best_plane


def real(data: Path) -> Part:
    """Measure real images: held-out ones, BBBC006, planes far from focus, a brightfield stack."""
    from benchmarks.processed import empty_corners, far_planes
    from microscope_quality.evaluation.run import held_out
    from microscope_quality.files.images import planes
    from microscope_quality.training.defocus.exposure import signal

    def read(path: Path) -> np.ndarray:
        (plane,) = planes(path)
        return plane.array

    steps = np.array([0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14])
    lights = [signal(read(data / "focus" / "train" / name)) for name in held_out(model())]
    exact = np.array(
        [judged([measured(taken(blurred(x, float(k)), 1)) for k in steps]) for x in lights]
    )
    as_taken = [measured(read(data / "focus" / "train" / name)) for name in held_out(model())]
    threshold = model().description.sure_certainty
    sure = np.concatenate(
        [r.patch_expected_levels[r.patch_certainties >= threshold] for r in as_taken]
    )
    folder = data / "focus" / "eval" / "bbbc006_miq"
    near = [measured(read(path)) for path in sorted(folder.glob("BBBC006*_10.*"))]
    away = [measured(read(path)) for path in sorted(folder.glob("00_mcf*"))]
    stack_files = sorted((data / "focus" / "eval" / "urjc_brightfield_zstack").iterdir())
    stack = [measured(read(path)) for path in stack_files]
    heights = np.array([r.expected_level for r in stack])
    best = best_plane(stack).best_plane
    stacks = data / "focus" / "eval" / "stacks"
    # Of a bead's 64 pixels nothing can be said.
    far_of = [
        (name, measured(plane).status)
        for name, plane in far_planes(stacks)
        if min(plane.shape) >= model().description.patch_size
    ]
    far = [status for _, status in far_of]
    corners = [measured(plane).status for _, plane in empty_corners(stacks)]
    at = {int(k): n for n, k in enumerate(steps)}
    numbers = {
        "real_images": str(len(lights)),
        "real_in_focus": str(sum(r.status == "in_focus" for r in as_taken)),
        "real_far_share": share_text((sure > 3).mean()),
        "real_sharp": level_text(np.nanmean(exact[:, 0])),
        "real_two": level_text(np.nanmean(exact[:, at[2]])),
        "real_five": level_text(np.nanmean(exact[:, at[5]])),
        "real_eight": level_text(np.nanmean(exact[:, at[8]])),
        "real_beyond_lowest": level_text(np.nanmin(exact[:, at[12] :])),
        "bbbc_near": str(len(near)),
        "bbbc_near_highest": level_text(max(r.expected_level for r in near)),
        "bbbc_away": str(len(away)),
        "bbbc_away_lowest": level_text(min(r.expected_level for r in away)),
        "far_planes": str(len(far)),
        "far_in_focus": str(far.count("in_focus")),
        "far_in_focus_nucleus": str(far_of.count(("neubias_dna_c0", "in_focus"))),
        "far_no_content": str(far.count("no_content")),
        "corners": str(len(corners)),
        "corners_no_content": str(corners.count("no_content")),
        "stack_planes": str(len(stack)),
        "stack_best": "none" if best is None else str(best + 1),
        "stack_first": level_text(heights[0]),
        "stack_last": level_text(heights[-1]),
        "stack_in_focus": str(sum(r.status == "in_focus" for r in stack)),
    }

    def draw() -> Image.Image:
        made, (first, second, third) = figure(
            420, 1, 3, sharey=True, width_ratios=(1.25, 0.7, 1.25)
        )
        first.plot(steps, np.minimum(steps, 10), color=INK, lw=1, ls=":")
        line(first, 0, steps, exact, "")
        first.set_xlabel("simulated level")
        first.set_title("sharp images, blurred")
        rng = np.random.default_rng(0)
        for x, results in ((0, near), (1, away)):
            second.plot(
                x + rng.uniform(-0.22, 0.22, len(results)),
                [r.expected_level for r in results],
                color=SERIES[2][0],
                marker="^",
                ls="",
                alpha=0.7,
            )
        second.set_xticks((0, 1), ("in focus", "far out"))
        second.set_xlim(-0.6, 1.6)
        second.set_title("BBBC006")
        third.plot(np.arange(1, len(stack) + 1), heights, color=SERIES[3][0], marker="D")
        third.axvline(11, color=SOFT, lw=1)
        third.text(11.2, 9.7, "sharpest\nby eye", color=SOFT, va="top")
        third.set_xlabel("plane")
        third.set_title("brightfield stack")
        for ax in (first, second, third):
            level_axis(ax)
            ax.label_outer()
        return finished(made)

    return numbers, draw
