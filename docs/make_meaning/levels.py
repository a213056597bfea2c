"""What a level is, and what is mistaken for another."""

from __future__ import annotations

import numpy as np
from PIL import Image

from docs.make_meaning.drawing import (
    INK,
    SOFT,
    Canvas,
    enlarged,
    figure,
    finished,
    grey,
    level_axis,
    line,
)
from docs.make_meaning.specimens import (
    FIELDS,
    KINDS,
    SOFTNESS_PX,
    Numbers,
    Part,
    blurred,
    commonest,
    expected,
    judged,
    level_text,
    measured,
    model,
    share_text,
    specimen,
    taken,
)
from microscope_quality.optics import BLUR_PX_PER_LEVEL, N_LEVELS, TRAINING_OPTICS
from microscope_quality.overlay import level_colours


def levels() -> Part:
    """Show the same cells at all levels."""
    side, tall = 72, 72
    rows = []
    for kind, (top, left) in zip(KINDS, ((132, 60), (60, 120), (100, 100))):
        whole = [taken(blurred(specimen(kind, 1), k), 1) for k in range(N_LEVELS)]
        rows.append([plane[top : top + tall, left : left + side] for plane in whole])
    numbers = {
        "blur_px_per_level": f"{BLUR_PX_PER_LEVEL:.2f}",
        "blur_px_at_ten": f"{10 * BLUR_PX_PER_LEVEL:.0f}",
        "um_at_one": f"{TRAINING_OPTICS.defocus_of_level(1.0):.2f}",
        "um_at_limit": f"{TRAINING_OPTICS.defocus_of_level(1.5):.1f}",
    }

    def draw() -> Image.Image:
        step, first = 75, 4
        canvas = Canvas(28 + 3 * (tall + 3) + 44)
        for k in range(N_LEVELS):
            canvas.text(first + k * step + side / 2, 20, str(k), anchor="ms")
            for number, row in enumerate(rows):
                low, high = 150.0, np.percentile(row[0], 99.5)
                # The light of a blurred object is spread out: each picture has its own white.
                high = 0.2 * high + 0.8 * np.percentile(row[k], 99.5)
                # Few greys: noise is what makes the file large.
                shades = grey(row[k], low, high) // 17 * 17
                picture = enlarged(shades, 2).convert("RGB")
                canvas.paste(picture, first + k * step, 28 + number * (tall + 3))
            centre = 28 + 3 * (tall + 3) + 22
            disc = max(k * BLUR_PX_PER_LEVEL, 1.5)
            colour = tuple(level_colours(N_LEVELS)[k].tolist())
            canvas.disc(first + k * step + side / 2, centre, disc, colour)
        return canvas.finished()

    return numbers, draw


DEFOCUS_LEVELS = np.arange(0, 16.5, 0.5)
DEFOCUS_PHOTONS = (100.0, 1000.0, 10_000.0)


def true_and_measured() -> Part:
    """Measure levels against the true distance from focus."""
    found: dict[tuple[str, float], np.ndarray] = {}
    most: dict[tuple[str, float], np.ndarray] = {}
    for kind in KINDS:
        results = {photons: [] for photons in DEFOCUS_PHOTONS}
        for seed in range(FIELDS):
            lights = [blurred(specimen(kind, seed), k) for k in DEFOCUS_LEVELS]
            for photons in DEFOCUS_PHOTONS:
                results[photons].append([measured(taken(b, seed, photons)) for b in lights])
        for photons, of in results.items():
            found[kind, photons] = np.array([judged(row) for row in of])
            most[kind, photons] = np.array([[r.level for r in row] for row in of])
    whole = [k for k, level in enumerate(DEFOCUS_LEVELS) if level % 1 == 0 and level <= 10]
    true = DEFOCUS_LEVELS[whole]
    numbers: Numbers = {
        "defocus_images": f"{sum(v.size for v in found.values()):,}",
        "defocus_fields": str(FIELDS * len(KINDS)),
    }
    for kind in KINDS:
        level = np.concatenate([most[kind, photons][:, whole] for photons in DEFOCUS_PHOTONS])
        numbers[f"defocus_{kind}_within_one"] = share_text((np.abs(level - true) <= 1).mean())
        numbers[f"defocus_{kind}_exact"] = share_text((level == true).mean())
    steady = np.concatenate(
        [found[kind, p] for kind in ("nuclei", "filaments") for p in DEFOCUS_PHOTONS]
    )
    for words, true, other in (("one_as_zero", 1, 0), ("zero_as_one", 0, 1)):
        called = [most[kind, p][:, 2 * true] for kind in KINDS for p in DEFOCUS_PHOTONS]
        numbers[f"defocus_{words}"] = share_text((np.concatenate(called) == other).mean())
    for k in (5, 8, 10):
        numbers[f"defocus_{k}_reads"] = level_text(np.nanmean(steady[:, 2 * k]))
    beyond = DEFOCUS_LEVELS >= 12
    far = {
        kind: np.concatenate([found[kind, p][:, beyond].ravel() for p in DEFOCUS_PHOTONS])
        for kind in KINDS
    }
    for kind, values in far.items():
        numbers[f"beyond_{kind}_lowest"] = level_text(np.nanmin(values))
    lost = [int(np.isnan(values).sum()) for values in far.values()]
    numbers["beyond_no_content"] = str(sum(lost))
    numbers["beyond_images"] = str(sum(values.size for values in far.values()))

    def draw() -> Image.Image:
        made, axes = figure(440, 1, 3, sharey=True)
        um = TRAINING_OPTICS.defocus_of_level(DEFOCUS_LEVELS)
        for ax, kind in zip(axes, KINDS):
            ax.plot(um, np.minimum(DEFOCUS_LEVELS, 10), color=INK, lw=1, ls=":", label="true")
            for number, photons in enumerate(DEFOCUS_PHOTONS):
                values = found[kind, photons]
                line(ax, number, um, values, f"{photons:,.0f} photons", markevery=4)
            level_axis(ax)
            ax.set_title(kind)
            ax.set_xticks(range(0, 33, 8))
            ax.label_outer()
        axes[1].set_xlabel("true distance from focus, µm (20×/0.5, 0.65 µm pixels)")
        handles, labels = axes[0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower center", ncols=4, columnspacing=1.2)
        return finished(made)

    return numbers, draw


SOFTNESSES = (0.0, 1.3, 2.0, 3.0)
OWN_SOFTNESS = np.array([0, 0.5, 1, 1.3, 1.6, 2, 2.5, 3, 4, 5, 6, 8])


def softness() -> Part:
    """Measure specimens that are sharper and softer than what the model learned from."""
    steps = np.arange(0, 11)
    curves = {
        soft: np.array(
            [
                expected(taken(blurred(specimen("nuclei", s, soft), k), s) for k in steps)
                for s in range(FIELDS)
            ]
        )
        for soft in SOFTNESSES
    }
    focused = {
        kind: np.array(
            [
                expected(
                    taken(blurred(specimen(kind, s, soft), 0), s) for soft in OWN_SOFTNESS.tolist()
                )
                for s in range(FIELDS)
            ]
        )
        for kind in KINDS
    }
    at = {soft: place for place, soft in enumerate(OWN_SOFTNESS.tolist())}
    numbers = {
        "soft_sharpest_two": level_text(curves[0.0][:, 2].mean()),
        "soft_usual_two": level_text(curves[1.3][:, 2].mean()),
        "soft_usual_three": level_text(curves[1.3][:, 3].mean()),
        "soft_sharpest_three": level_text(curves[0.0][:, 3].mean()),
        "soft_two_px": level_text(focused["nuclei"][:, at[2.0]].mean()),
        "soft_three_px": level_text(focused["nuclei"][:, at[3.0]].mean()),
        "soft_five_px": level_text(focused["nuclei"][:, at[5.0]].mean()),
        "soft_fields": str(FIELDS),
    }

    def draw() -> Image.Image:
        made, (left, right) = figure(400, 1, 2, sharey=True)
        left.plot(steps, steps, color=INK, lw=1, ls=":")
        for number, (soft, values) in enumerate(curves.items()):
            line(left, number, steps, values, f"{soft:g} px")
        left.set_title("nuclei with details of …")
        left.legend(loc="lower right")
        left.set_xlabel("true level")
        level_axis(left)
        for number, (kind, values) in enumerate(focused.items()):
            line(right, number, OWN_SOFTNESS, values, kind)
        right.axvline(SOFTNESS_PX, color=SOFT, lw=1)
        right.text(SOFTNESS_PX + 0.15, 9.6, "ordinary images", color=SOFT)
        right.set_title("in perfect focus")
        right.set_xlabel("softness of the objects, px")
        right.legend(loc="lower right")
        level_axis(right)
        right.set_ylabel("")
        return finished(made)

    return numbers, draw


def sparse_points() -> Part:
    """Measure isolated bright points, whose rings of diffraction have edges of their own."""
    true = np.arange(0, 15)
    cases = {
        "24 in a patch": (1.0, 2000.0),
        "6 in a patch": (0.25, 2000.0),
        "6 in a patch, 20,000 photons": (0.25, 20_000.0),
        "6 in a patch, 200 photons": (0.25, 200.0),
    }
    found, statuses = {}, {}
    for name, (fill, photons) in cases.items():
        results = [
            [
                measured(
                    taken(
                        blurred(specimen("puncta", 300 + s, SOFTNESS_PX, 1.0, fill), float(k)),
                        s,
                        photons,
                    )
                )
                for k in true
            ]
            for s in range(FIELDS)
        ]
        found[name] = np.array([judged(row) for row in results])
        statuses[name] = np.array([[r.status for r in row] for row in results])
    bright = "6 in a patch, 20,000 photons"
    numbers = {
        "points_many_five": level_text(np.nanmean(found["24 in a patch"][:, 5])),
        "points_few_five": level_text(np.nanmean(found["6 in a patch"][:, 5])),
        "points_bright_five": level_text(np.nanmean(found[bright][:, 5])),
        "points_bright_four": level_text(np.nanmean(found[bright][:, 4])),
        "points_dim_five": level_text(np.nanmean(found["6 in a patch, 200 photons"][:, 5])),
        "points_wrong": share_text(
            np.mean([(statuses[n][:, 3:] == "in_focus").mean() for n in ("6 in a patch", bright)])
        ),
        "points_images": str(sum(v.size for v in found.values())),
    }
    unresolved = [
        measured(taken(blurred(specimen("puncta", 300 + s, 0.0), 0), s)) for s in range(FIELDS)
    ]
    numbers["points_smallest_status"] = f"`{commonest(unresolved)}`"
    # Sharp nuclei are as wide as the discs of points at levels 6 to 10.
    round_ = [measured(taken(blurred(specimen("nuclei", s), 0), s)) for s in range(3 * FIELDS)]
    threshold = model().description.sure_certainty
    sure = np.concatenate(
        [r.patch_expected_levels[r.patch_certainties >= threshold] for r in round_]
    )
    numbers["round_far_share"] = share_text((sure > 3).mean())
    numbers["round_fields"] = str(len(round_))
    numbers["round_in_focus"] = str(sum(r.status == "in_focus" for r in round_))
    numbers["round_mixed"] = str(sum(r.status == "mixed" for r in round_))

    def draw() -> Image.Image:
        made, axes = figure(420, 1, 2, width_ratios=(1, 2.4))
        light = blurred(specimen("puncta", 300, SOFTNESS_PX, 1.0, 0.25), 6.0)
        plane = taken(light, 0, 20_000.0)[90:230, 90:190]
        axes[0].imshow(grey(plane, *np.percentile(plane, [1, 99.7])), cmap="gray")
        axes[0].set_axis_off()
        axes[0].set_title("points at level 6")
        axes[1].plot(true, np.minimum(true, 10), color=INK, lw=1, ls=":")
        for number, (name, values) in enumerate(found.items()):
            line(axes[1], number, true, values, name)
        axes[1].set_xlabel("true level")
        level_axis(axes[1])
        made.legend(loc="outside lower center", ncols=2)
        return finished(made)

    return numbers, draw
