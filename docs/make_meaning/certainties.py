"""What a certainty says, of patches and of images."""

from __future__ import annotations

import re

import numpy as np
from PIL import Image

from docs.make_meaning.drawing import BAR, INK, SERIES, figure, finished, grey, line, rgb
from docs.make_meaning.specimens import (
    FIELDS,
    KINDS,
    SHAPE,
    SOFTNESS_PX,
    Part,
    blurred,
    certainty_text,
    level_text,
    measured,
    model,
    share_text,
    specimen,
    taken,
)
from microscope_quality.certainty import certainty
from microscope_quality.optics import N_LEVELS
from microscope_quality.overlay import overlay


def distributions() -> Part:
    """Show what the model says of single patches."""
    side = 84
    cells = specimen("nuclei", 2)
    top = (40, 40)
    box = (slice(top[0], top[0] + side), slice(top[1], top[1] + side))
    fields = {
        "in focus": taken(blurred(cells, 0), 3),
        "level 5": taken(blurred(cells, 5), 3),
        "level 10": taken(blurred(cells, 10), 3),
        "level 5, dim": taken(blurred(cells, 5), 3, 8.0),
        "two depths": taken(np.maximum(blurred(cells, 0), 1.2 * blurred(cells[::-1], 8)), 3),
        "empty": taken(np.zeros(SHAPE), 3),
    }
    patches = {name: plane[box] for name, plane in fields.items()}
    results = {name: measured(patch) for name, patch in patches.items()}
    coin = np.zeros(N_LEVELS)
    coin[:2] = 0.5
    numbers = {
        f"patch_{re.sub('[^a-z0-9]+', '_', name)}": certainty_text(result.certainty)
        for name, result in results.items()
    }
    numbers["coin"] = certainty_text(certainty(coin))
    numbers["sure"] = certainty_text(model().description.sure_certainty)
    sharp = results["in focus"].probabilities
    numbers["patch_in_focus_p0"] = share_text(sharp[0])
    numbers["patch_in_focus_p1"] = share_text(sharp[1])

    def draw() -> Image.Image:
        made, axes = figure(400, 2, 6, height_ratios=(1.15, 1), sharey="row")
        for (name, result), upper, lower in zip(results.items(), axes[0], axes[1]):
            patch = patches[name]
            low, high = np.percentile(patch, [1, 99.7])
            upper.imshow(grey(patch, low, high), cmap="gray", interpolation="nearest")
            upper.set_axis_off()
            upper.set_title(name, fontweight="normal", loc="center")
            lower.bar(
                range(N_LEVELS),
                result.probabilities,
                color=[rgb(k) for k in range(N_LEVELS)],
                edgecolor=INK,
                lw=0.6,
                width=0.9,
            )
            lower.set_xticks((0, 5, 10))
            lower.set_ylim(0, 1)
            lower.set_yticks((0, 0.5, 1))
            lower.set_title(f"{result.certainty:.2f}", loc="center", pad=5)
        axes[1, 0].set_ylabel("probability")
        made.supxlabel("level; above each chart the certainty", fontsize=11.6)
        return finished(made)

    return numbers, draw


BINS = np.linspace(0, 1, 11)


def reliability() -> Part:
    """Relate certainty to being right, to light and to emptiness."""
    rng = np.random.default_rng(0)
    sure, off, fields = [], [], 0
    for kind in KINDS:
        for seed in range(10):
            light = specimen(kind, 20 + seed, SOFTNESS_PX, 1.0, float(rng.uniform(0.05, 1)))
            for level in range(N_LEVELS):
                photons = float(np.exp(rng.uniform(np.log(10), np.log(20_000))))
                result = measured(taken(blurred(light, level), 1000 + fields, photons))
                sure.append(result.patch_certainties)
                off.append(np.abs(result.patch_levels - level))
                fields += 1
    c, right = np.concatenate(sure), np.concatenate(off) <= 1
    place = np.clip(np.digitize(c, BINS) - 1, 0, 9)
    counts = np.bincount(place, minlength=10)
    shares = np.bincount(place, right, minlength=10) / np.maximum(counts, 1)

    photons = np.array([3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000], float)
    by_light = {
        level: np.array(
            [
                [
                    measured(taken(blurred(specimen("nuclei", s), level), s, p)).mean_certainty
                    for p in photons
                ]
                for s in range(FIELDS)
            ]
        )
        for level in (0, 5, 10)
    }
    covered, certain = [], []
    for seed in range(6):
        light = specimen("nuclei", 40 + seed, SOFTNESS_PX, 1.0, 0.35)
        result = measured(taken(blurred(light, 4), seed))
        for (y, x), value in zip(result.patch_positions, result.patch_certainties):
            covered.append(float((light[y : y + 84, x : x + 84] > 0.1).mean()))
            certain.append(float(value))
    cover, value = np.array(covered), np.array(certain)
    threshold = model().description.sure_certainty
    numbers = {
        "reliability_patches": f"{len(c):,}",
        "reliability_images": str(fields),
        "reliability_sure": share_text(right[c >= threshold].mean()),
        "reliability_unsure": share_text(right[c < threshold].mean()),
        "reliability_high": share_text(right[c >= 0.8].mean()),
        "certainty_sharp": certainty_text(by_light[0][:, -3:].mean()),
        "certainty_ten_photons": certainty_text(by_light[5][:, 1].mean()),
        "certainty_hundred_photons": certainty_text(by_light[5][:, 3].mean()),
        "certainty_many_photons": certainty_text(by_light[5][:, 6].mean()),
        "cover_empty": certainty_text(value[cover < 0.002].mean()),
        "cover_patches": str(len(cover)),
    }

    def draw() -> Image.Image:
        made, (first, second, third) = figure(400, 1, 3)
        middle = (BINS[1:] + BINS[:-1]) / 2
        used = counts >= 20
        first.bar(middle[used], shares[used], 0.092, color=BAR, edgecolor="white")
        first.axvline(threshold, color=INK, lw=1, ls=":")
        first.text(threshold + 0.02, 1.02, "sure", va="bottom")
        first.set_xlim(0, 1)
        first.set_ylim(0, 1.12)
        first.set_yticks((0, 0.5, 1), ("0", "50 %", "100 %"))
        first.set_xticks((0, 0.5, 1), ("0", "0.5", "1"))
        first.set_title("within one level")
        first.set_xlabel("certainty of a patch")
        for number, (level, values) in enumerate(by_light.items()):
            line(second, number, photons, values, f"level {level}")
        second.set_xscale("log")
        second.set_xticks((10, 1000), ("10", "1,000"))
        second.minorticks_off()
        second.set_ylim(0, 1)
        second.set_title("certainty by light")
        second.set_xlabel("photons")
        second.legend(loc="lower right", handlelength=1.6)
        third.plot(100 * cover, value, ls="", marker="o", ms=4.5, color=SERIES[0][0], alpha=0.6)
        third.axhline(threshold, color=INK, lw=1, ls=":")
        third.set_ylim(0, 1)
        third.set_title("certainty by content")
        third.set_xlabel("% of the patch covered")
        return finished(made)

    return numbers, draw


def patches() -> Part:
    """Show how patches make the image's numbers."""
    shape = (420, 420)
    light = np.zeros(shape)
    light[:250, :250] = specimen("nuclei", 60)[:250, :250]
    # Objects that the cut would have halved end softly.
    edge = np.clip((250 - np.arange(420)) / 12, 0, 1)
    light *= np.outer(edge, edge)
    plane = taken(blurred(light, 0), 5)
    result = measured(plane)
    plain = np.nanmean(result.patch_probabilities, axis=0)
    sure = result.patch_certainties >= model().description.sure_certainty
    weight = result.patch_certainties[sure].sum() / result.patch_certainties.sum()
    numbers = {
        "weights_patches": str(len(sure)),
        "weights_sure": str(int(sure.sum())),
        "weights_share": share_text(weight),
        "weights_level": level_text(result.expected_level),
        "weights_plain_level": level_text(float(plain @ np.arange(N_LEVELS))),
        "weights_mean_certainty": certainty_text(result.mean_certainty),
        "weights_certainty": certainty_text(result.certainty),
    }

    def draw() -> Image.Image:
        made, axes = figure(330, 1, 3, width_ratios=(1, 1, 1.25))
        low, high = np.percentile(plane, [0.5, 99.8])
        axes[0].imshow(grey(plane, low, high), cmap="gray")
        axes[0].set_title("the image, in focus")
        axes[1].imshow(overlay(plane, result))
        axes[1].set_title("its patches")
        for ax in axes[:2]:
            ax.set_axis_off()
        x = np.arange(N_LEVELS)
        axes[2].bar(
            x,
            result.probabilities,
            color=[rgb(k) for k in x],
            edgecolor=INK,
            lw=0.6,
            label="weighted by certainty",
        )
        axes[2].plot(x, plain, color=INK, marker="o", ms=5, ls=":", label="plain mean")
        axes[2].set_title("their mean")
        axes[2].set_xticks((0, 2, 4, 6, 8, 10))
        axes[2].set_ylim(0, 1.05)
        axes[2].set_xlabel("level")
        axes[2].set_ylabel("probability")
        axes[2].legend(loc="upper right", handlelength=1.4)
        return finished(made)

    return numbers, draw
