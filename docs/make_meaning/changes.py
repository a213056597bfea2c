"""What else happens to images: exposure, other blur, faults, filters."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.ndimage
from PIL import Image

from docs.make_meaning.drawing import INK, SERIES, SOFT, figure, finished, grey, level_axis, line
from docs.make_meaning.specimens import (
    FIELDS,
    PHOTONS,
    SHAPE,
    Numbers,
    Part,
    blurred,
    commonest,
    expected,
    judged,
    kernel,
    level_text,
    measured,
    specimen,
    taken,
)
from microscope_quality import FocusResult
from microscope_quality.degrade import defocus
from microscope_quality.optics import BLUR_PX_PER_LEVEL


def exposure() -> Part:
    """Change gain, offset and bits, then saturate and clip."""
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "as it is": lambda p: p,
        "gain × 0.2": lambda p: np.rint(p * 0.2).astype(np.uint16),
        "gain × 5": lambda p: np.minimum(p * 5.0, 65535).astype(np.uint16),
        "offset + 1,000": lambda p: (p + 1000).astype(np.uint16),
        "8 bit": lambda p: grey(p, float(p.min()), float(p.max())),
        "5 bit": lambda p: grey(p, float(p.min()), float(p.max())) >> 3,
        "3 bit": lambda p: grey(p, float(p.min()), float(p.max())) >> 5,
        "floats, 0 to 1": lambda p: p / 65535.0,
        "inverted": lambda p: p.max() - p,
    }
    true = (0, 3, 6, 9)
    table = np.zeros((len(changes), len(true), FIELDS))
    for s in range(FIELDS):
        for n, level in enumerate(true):
            plane = taken(blurred(specimen("nuclei", s), level), s)
            for m, change in enumerate(changes.values()):
                table[m, n, s] = measured(change(plane)).expected_level
    shift = np.abs(table - table[0])
    saturated = np.array([0, 1, 2, 5, 10, 15, 20]) / 100
    clipped = {}
    for level in (0, 3, 6):
        clipped[level] = np.zeros((FIELDS, len(saturated)))
        for s in range(FIELDS):
            plane = taken(blurred(specimen("nuclei", s), level), s).astype(float)
            for n, share in enumerate(saturated):
                white = np.quantile(plane, 1 - share)
                full = np.minimum(plane, white) if share else plane
                clipped[level][s, n] = measured(full).expected_level
    black = np.zeros((FIELDS, 2))
    for s in range(FIELDS):
        plane = taken(blurred(specimen("nuclei", s), 6), s).astype(float)
        black[s] = expected([plane, np.maximum(plane, np.quantile(plane, 0.8))])
    numbers = {
        "gain_worst": level_text(shift[1:4].max()),
        "bits_worst": level_text(shift[4:6].max()),
        "three_bits_worst": level_text(shift[6].max()),
        "inverted_worst": level_text(shift[8].max()),
        "exposure_images": str(table.size),
        "saturated_two": level_text(
            max(abs(values[:, 2].mean() - values[:, 0].mean()) for values in clipped.values())
        ),
        **{
            f"saturated_{word}_{level}": level_text(values[:, place].mean())
            for level, values in clipped.items()
            for word, place in (("none", 0), ("ten", 4), ("twenty", 6))
        },
        "black_from": level_text(black[:, 0].mean()),
        "black_to": level_text(black[:, 1].mean()),
    }

    def draw() -> Image.Image:
        made, (left, right) = figure(430, 1, 2, width_ratios=(1.25, 1))
        for n in range(len(true)):
            colour, marker, _ = SERIES[n]
            left.plot(
                table[:, n].mean(axis=1),
                np.arange(len(changes)),
                color=colour,
                marker=marker,
                ls="",
                ms=8,
            )
        left.set_yticks(range(len(changes)), list(changes))
        left.invert_yaxis()
        left.set_xlim(-0.5, 10.5)
        left.set_xticks(range(0, 11, 2))
        left.set_xlabel("measured level")
        left.set_title("levels 0, 3, 6, 9, changed")
        for n, (level, values) in enumerate(clipped.items()):
            line(right, n, 100 * saturated, values, f"level {level}")
        right.set_xlabel("saturated pixels, %")
        right.set_title("clipped")
        right.legend(loc="upper right")
        level_axis(right)
        return finished(made)

    return numbers, draw


def motion(light: np.ndarray, length_px: float) -> np.ndarray:
    """Smear along the rows, as a stage that still moves does."""
    whole = 2 * int(np.ceil(length_px / 2)) + 1
    places = np.arange(whole) - whole // 2
    weights = np.clip(length_px / 2 + 0.5 - np.abs(places), 0, 1)
    return defocus(light, (weights / weights.sum())[np.newaxis, :])


def other_blur() -> Part:
    """Blur by other things than defocus, by equal root mean square widths."""
    true = np.arange(0, 11)
    # Deviation along an axis of a disc of diameter d is d / 4, of a line of length l, l / √12.
    sigmas = true * BLUR_PX_PER_LEVEL / 4
    ways: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
        "defocus": lambda light, k: blurred(light, float(k)),
        "Gaussian": lambda light, k: scipy.ndimage.gaussian_filter(
            blurred(light, 0), sigmas[k], mode="mirror"
        ),
        "motion": lambda light, k: motion(blurred(light, 0), sigmas[k] * np.sqrt(12)),
        "haze": lambda light, k: 0.5 * blurred(light, 0) + 0.5 * blurred(light, float(k)),
    }
    found = {
        name: np.array(
            [
                [measured(taken(way(specimen("nuclei", s), k), s)).expected_level for k in true]
                for s in range(FIELDS)
            ]
        )
        for name, way in ways.items()
    }
    numbers = {
        "blur_gaussian_four": level_text(found["Gaussian"][:, 4].mean()),
        "blur_gaussian_four_px": f"{sigmas[4]:.1f}",
        "blur_motion_four": level_text(found["motion"][:, 4].mean()),
        "blur_motion_eight": level_text(found["motion"][:, 8].mean()),
        "blur_motion_four_px": f"{sigmas[4] * np.sqrt(12):.0f}",
        "blur_motion_eight_px": f"{sigmas[8] * np.sqrt(12):.0f}",
        "blur_haze_worst": level_text(found["haze"].mean(axis=0).max()),
        "blur_images": str(sum(v.size for v in found.values())),
    }

    def draw() -> Image.Image:
        made, ax = figure(400)
        ax.plot(true, true, color=INK, lw=1, ls=":")
        names = {
            "defocus": "defocus",
            "Gaussian": "a Gaussian filter",
            "motion": "a moving stage",
            "haze": "half the light in focus,\nhalf out of focus",
        }
        for number, (name, values) in enumerate(found.items()):
            line(ax, number, true, values, names[name])
        ax.set_xlabel("level of the defocus that is as wide (root mean square)")
        level_axis(ax, 0.015)
        made.legend(loc="outside right upper")
        return finished(made)

    return numbers, draw


def _hot(plane: np.ndarray, share: float) -> np.ndarray:
    rng = np.random.default_rng(9)
    changed = plane.astype(float)
    at = tuple(rng.integers(n, size=round(share * plane.size)) for n in plane.shape)
    changed[at] += rng.uniform(0.2, 2, len(at[0])) * PHOTONS
    return changed


def _stripes(plane: np.ndarray, depth: float) -> np.ndarray:
    y, x = np.indices(plane.shape)
    return plane + depth * PHOTONS * (1 + np.sin((0.8 * x + 0.6 * y) * 2 * np.pi / 9)) / 2


def _lines(plane: np.ndarray) -> np.ndarray:
    return plane + np.random.default_rng(3).normal(0, 0.05 * PHOTONS, (plane.shape[0], 1))


def _scale_bar(plane: np.ndarray) -> np.ndarray:
    changed = plane.copy()
    changed[-24:-18, -120:-20] = 100 + PHOTONS
    return changed


def _dust(plane: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(5)
    share = np.ones(plane.shape)
    y, x = np.indices(plane.shape)
    for _ in range(12):
        cy, cx, radius = rng.uniform(0, 336), rng.uniform(0, 336), rng.uniform(3, 9)
        share *= 1 - 0.6 * np.clip(radius - np.hypot(y - cy, x - cx) + 0.5, 0, 1)
    return plane * share


def _jpeg(plane: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    picture = grey(plane, float(plane.min()), float(np.percentile(plane, 99.9)))
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _non_local_means(plane: np.ndarray) -> np.ndarray:
    from skimage.restoration import denoise_nl_means

    values = plane / PHOTONS
    # From the differences of neighbours, most of which are of the background.
    noise = float(np.median(np.abs(np.diff(values))) / (0.6745 * np.sqrt(2)))
    return denoise_nl_means(values, patch_size=5, patch_distance=6, h=0.8 * noise, sigma=noise)


def _deconvolved(plane: np.ndarray) -> np.ndarray:
    """Richardson–Lucy, 20 steps, for the in-focus point spread function of σ 1.5 px."""
    light = np.maximum(plane - 100.0, 0) + 1
    estimate = light.copy()
    for _ in range(20):
        seen = scipy.ndimage.gaussian_filter(estimate, 1.5, mode="mirror")
        estimate *= scipy.ndimage.gaussian_filter(light / seen, 1.5, mode="mirror")
    return estimate


def _refocused(plane: np.ndarray) -> np.ndarray:
    """Richardson–Lucy, 40 steps, for the disc of level 4."""
    light = np.maximum(plane - 100.0, 0) + 1
    disc = kernel(4.0)
    estimate = light.copy()
    for _ in range(40):
        estimate *= defocus(light / np.maximum(defocus(estimate, disc), 1e-9), disc[::-1, ::-1])
    return estimate


def _unsharp(plane: np.ndarray) -> np.ndarray:
    values = plane.astype(float)
    return values + 1.5 * (values - scipy.ndimage.gaussian_filter(values, 2))


def _subtracted(plane: np.ndarray) -> np.ndarray:
    values = plane.astype(float)
    background = scipy.ndimage.gaussian_filter(scipy.ndimage.minimum_filter(values, 41), 20)
    return np.maximum(values - background - 0.1 * PHOTONS, 0)


def _binary(plane: np.ndarray) -> np.ndarray:
    values = scipy.ndimage.gaussian_filter(plane.astype(float), 1)
    return np.where(values > np.percentile(values, (10, 99)).mean(), 255, 0).astype(np.uint8)


FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as taken": lambda p: p,
    "hot pixels, 1 in 1,000": lambda p: _hot(p, 1e-3),
    "hot pixels, 1 in 100": lambda p: _hot(p, 1e-2),
    "stripes, 10 % of the light": lambda p: _stripes(p, 0.1),
    "stripes, 30 % of the light": lambda p: _stripes(p, 0.3),
    "lines of the camera, 5 %": _lines,
    "12 dark grains of dust": _dust,
    "a scale bar": _scale_bar,
    "JPEG, quality 90": lambda p: _jpeg(p, 90),
    "JPEG, quality 50": lambda p: _jpeg(p, 50),
    "JPEG, quality 20": lambda p: _jpeg(p, 20),
}
PROCESSED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as taken": lambda p: p,
    "Gaussian filter, σ 0.5 px": lambda p: scipy.ndimage.gaussian_filter(p.astype(float), 0.5),
    "Gaussian filter, σ 1 px": lambda p: scipy.ndimage.gaussian_filter(p.astype(float), 1),
    "Gaussian filter, σ 2 px": lambda p: scipy.ndimage.gaussian_filter(p.astype(float), 2),
    "shifted by half a pixel": lambda p: scipy.ndimage.shift(
        p.astype(float), 0.5, order=1, mode="mirror"
    ),
    "enlarged 1.5 times": lambda p: scipy.ndimage.zoom(
        p.astype(float), 1.5, order=1, mode="mirror"
    ),
    "median, 3 × 3": lambda p: scipy.ndimage.median_filter(p, 3),
    "median, 7 × 7": lambda p: scipy.ndimage.median_filter(p, 7),
    "non-local means": _non_local_means,
    "background subtracted": _subtracted,
    "unsharp mask": _unsharp,
    "deconvolved, in-focus kernel": _deconvolved,
    "deconvolved, level 4 kernel": _refocused,
    "thresholded": _binary,
}
# What makes the noise of neighbouring pixels alike, and blurs little.
NOISE_SHAPING = (
    "Gaussian filter, σ 0.5 px",
    "Gaussian filter, σ 1 px",
    "shifted by half a pixel",
    "enlarged 1.5 times",
    "median, 3 × 3",
)
CHANGED_LEVELS = (0, 4, 8)


Found = dict[tuple[str, int], list[FocusResult]]


def _changed(
    changes: Mapping[str, Callable[[np.ndarray], np.ndarray]], photons: float = PHOTONS
) -> Found:
    """Measure images at three levels after each change."""
    planes = {
        level: [taken(blurred(specimen("nuclei", s), level), s, photons) for s in range(FIELDS)]
        for level in CHANGED_LEVELS
    }
    return {
        (name, level): [measured(change(plane)) for plane in planes[level]]
        for name, change in changes.items()
        for level in CHANGED_LEVELS
    }


def _numbers(found: Found, prefix: str) -> Numbers:
    """Give the mean level of each, and how many images there are."""
    numbers: Numbers = {f"{prefix}_images": str(FIELDS * len(found))}
    for (name, level), results in found.items():
        short = re.sub("[^a-z0-9]+", "_", name.lower().replace(",000", "000")).strip("_")
        values = judged(results)
        known = np.isfinite(values)
        text = level_text(values[known].mean()) if known.any() else "`no_content`"
        numbers[f"{prefix}_{short}_{level}"] = text
    return numbers


def _draw_changed(ax: Any, found: Found) -> None:
    """Draw the levels of each change in a row; hollow where most images are mixed."""
    names = list(dict.fromkeys(name for name, _ in found))
    for n, level in enumerate(CHANGED_LEVELS):
        colour, marker, _ = SERIES[n]
        ax.axvline(level, color=colour, lw=1, ls=":")
        for row, name in enumerate(names):
            results = found[name, level]
            values = judged(results)
            if not np.isfinite(values).any():
                continue
            y = row + 0.2 * (n - 1)
            ax.plot((np.nanmin(values), np.nanmax(values)), (y, y), color=colour, lw=2)
            ax.plot(
                np.nanmean(values),
                y,
                color=colour,
                marker=marker,
                ms=9,
                mfc="white" if commonest(results) == "mixed" else colour,
                mew=2,
                ls="",
                label=f"level {level}" if row == 0 else None,
            )
    ax.plot([], [], color=SOFT, marker="o", ms=9, mfc="white", mew=2, ls="", label="mixed")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlim(-0.5, 10.5)
    ax.set_xlabel("measured level")


def faults() -> Part:
    """Add what cameras, dust and programs put into images, and into empty fields."""
    found = _changed(FAULTS)
    numbers = _numbers(found, "fault")
    for name, short in (
        ("hot pixels, 1 in 1,000", "hot"),
        ("stripes, 10 % of the light", "stripes"),
        ("12 dark grains of dust", "dust"),
        ("a scale bar", "bar"),
    ):
        fields = [
            measured(FAULTS[name](taken(np.full(SHAPE, 0.1), s, PHOTONS))) for s in range(FIELDS)
        ]
        numbers[f"empty_{short}"] = f"`{commonest(fields)}`"
        numbers[f"empty_{short}_level"] = level_text(
            float(np.mean([r.expected_level for r in fields]))
        )

    def draw() -> Image.Image:
        made, ax = figure(60 + 36 * len(FAULTS) + 30)
        _draw_changed(ax, found)
        ax.set_xticks(range(11))
        made.legend(loc="outside right upper", handlelength=1)
        return finished(made)

    return numbers, draw


DIM_PHOTONS = 50.0


def processed() -> Part:
    """Filter and restore, bright images and dim ones, whose noise is seen."""
    bright, dim = _changed(PROCESSED), _changed(PROCESSED, DIM_PHOTONS)
    numbers = {**_numbers(bright, "processed"), **_numbers(dim, "dim")}
    far = [
        result.status
        for found in (bright, dim)
        for (name, level), results in found.items()
        for result in results
        if level and name in NOISE_SHAPING
    ]
    numbers["noise_shaped_far"] = str(len(far))
    numbers["noise_shaped_far_in_focus"] = str(far.count("in_focus"))
    empty = [
        measured(PROCESSED[name](taken(np.full(SHAPE, 0.1), s, photons))).status
        for name in NOISE_SHAPING
        for photons in (DIM_PHOTONS, PHOTONS)
        for s in range(FIELDS)
    ]
    numbers["noise_shaped_empty"] = str(len(empty))
    numbers["noise_shaped_empty_no_content"] = str(empty.count("no_content"))

    def draw() -> Image.Image:
        made, (left, right) = figure(90 + 34 * len(PROCESSED) + 30, 1, 2, sharey=True)
        _draw_changed(left, bright)
        left.set_title(f"{PHOTONS:,.0f} photons")
        _draw_changed(right, dim)
        right.set_title(f"{DIM_PHOTONS:.0f} photons")
        left.invert_yaxis()
        for ax in (left, right):
            ax.set_xticks(range(0, 11, 2))
        handles, labels = left.get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower center", ncols=4, handlelength=1)
        return finished(made)

    return numbers, draw
