"""Other objectives, other pixels, and samples that are thick."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from docs.make_meaning.drawing import INK, SERIES, SOFT, figure, finished, level_axis, line
from docs.make_meaning.specimens import (
    FIELDS,
    KINDS,
    SOFTNESS_PX,
    Numbers,
    Part,
    blurred,
    expected,
    level_text,
    measured,
    share_text,
    specimen,
    taken,
)
from microscope_quality import Optics
from microscope_quality.optics import TRAINING_OPTICS

OBJECTIVES = {
    "10×/0.3": Optics(0.3, 1.0, 0.52, 0.65),
    "20×/0.5": Optics(0.5, 1.0, 0.52, 0.325),
    "20×/0.75": Optics(0.75, 1.0, 0.52, 0.325),
    "40×/0.95": Optics(0.95, 1.0, 0.52, 0.1625),
    "63×/1.4 oil": Optics(1.4, 1.515, 0.52, 0.103),
}


def _finer(optics: Optics) -> float:
    own, learned = (o.pixel_size_um * o.na / o.wavelength_um for o in (optics, TRAINING_OPTICS))
    return learned / own


def _seen(kind: str, levels: np.ndarray, of: Optics) -> Iterator[np.ndarray]:
    """Take two fields through an objective, each at levels of its own pixels."""
    finer = _finer(of)
    shape = (round(252 * finer),) * 2
    for s in range(2):
        light = specimen(kind, s, SOFTNESS_PX, finer, 1, shape)
        for level in levels.tolist():
            yield taken(blurred(light, level, of), s)


def optics() -> Part:
    """Measure µm through other objectives, of each kind of object."""
    blurs = np.array([0, 1, 2, 3, 4.5, 6, 8])
    found: dict[str, np.ndarray] = {}
    sharp: dict[str, float] = {}
    true: dict[str, np.ndarray] = {}
    for name, of in OBJECTIVES.items():
        # The same blur in pixels that are sampled as the model's.
        levels = blurs * _finer(of)
        true[name] = np.asarray(of.defocus_of_level(levels))
        um = [measured(p, optics=of).defocus_um for kind in KINDS for p in _seen(kind, levels, of)]
        found[name] = np.array(um).reshape(len(KINDS), 2, len(blurs))
        raw = expected(_seen("nuclei", np.zeros(1), of), optics=of, rescale=False)
        sharp[name] = float(raw.mean())
    number_of = {"10×/0.3": "10", "20×/0.5": "20", "20×/0.75": "20h", "40×/0.95": "40"}
    numbers: Numbers = {}
    for name, of in OBJECTIVES.items():
        short = number_of.get(name, "63")
        ratio = (found[name] / np.maximum(true[name], 1e-9))[..., 3:]
        # Of one level, from 5 to 10: near focus the blur hardly grows.
        per_level = float(np.diff(of.defocus_of_level(np.array([5.0, 10.0])))[0]) / 5
        numbers[f"um_level_{short}"] = f"{per_level:.2f}"
        numbers[f"um_focus_{short}"] = f"{of.level(0.0):.1f}"
        numbers[f"um_furthest_{short}"] = f"{of.defocus_of_level(10.0):.3g}"
        numbers[f"um_finer_{short}"] = f"{_finer(of):.1f}"
        numbers[f"um_found_{short}"] = share_text(np.nanmean(ratio))
        numbers[f"um_raw_sharp_{short}"] = level_text(sharp[name])
    of_kinds = {
        kind: np.nanmean([found[n][k, :, 3:] / true[n][3:] for n in OBJECTIVES])
        for k, kind in enumerate(KINDS)
    }
    for kind, ratio in of_kinds.items():
        numbers[f"um_found_{kind}"] = share_text(float(ratio))
    offsets = np.arange(-16, 17, 2.0)
    both = np.array(
        [
            expected(
                taken(blurred(specimen("nuclei", s), abs(TRAINING_OPTICS.level(z))), 50 + n)
                for n, z in enumerate(offsets)
            )
            for s in range(FIELDS)
        ]
    )

    numbers["optics_sign_images"] = str(both.size)

    def draw() -> Image.Image:
        made, (left, right) = figure(440, 1, 2)
        for number, name in enumerate(OBJECTIVES):
            colour, marker, dash = SERIES[number]
            right.plot(
                blurs[2:],
                np.nanmean(found[name], axis=(0, 1))[2:] / true[name][2:],
                color=colour,
                marker=marker,
                linestyle=dash,
                label=name,
            )
        right.axhline(1, color=INK, lw=1, ls=":")
        right.set_ylim(0, 1.25)
        right.set_xticks(range(0, 9, 2))
        right.set_title("measured µm over true µm")
        right.set_xlabel("true level, in pixels as the model's")
        handles, labels = right.get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower center", ncols=5, columnspacing=1)
        line(left, 0, offsets, both, "")
        left.set_title("below and above focus")
        left.set_xlabel("true distance from focus, µm")
        left.set_xticks(range(-16, 17, 8))
        level_axis(left)
        return finished(made)

    return numbers, draw


FINER = np.array([0.5, 0.75, 1, 1.5, 2, 3, 4])


def sampling() -> Part:
    """Measure sharp images that are sampled more coarsely and more finely than the model's."""
    found = {}
    for kind in ("nuclei", "filaments"):
        for rescale in (False, True):
            found[kind, rescale] = np.zeros((2, len(FINER)))
            for n, finer in enumerate(FINER.tolist()):
                side = max(168, round(168 * finer))
                of = Optics(0.5, 1.0, 0.5, 0.65 / finer)
                for s in range(2):
                    light = specimen(kind, s, SOFTNESS_PX, finer, 1.0, (side, side))
                    plane = taken(blurred(light, 0, of), s)
                    found[kind, rescale][s, n] = measured(
                        plane, optics=of, rescale=rescale
                    ).expected_level
    raw = np.concatenate([found[kind, False] for kind in ("nuclei", "filaments")])
    numbers = {
        **{
            f"sampling_{word}": level_text(raw[:, FINER.tolist().index(factor)].mean())
            for word, factor in (("one_half", 1.5), ("two", 2), ("three", 3), ("four", 4))
        },
        "sampling_back_nuclei": level_text(found["nuclei", True][:, 3:].mean()),
        "sampling_back_nuclei_worst": level_text(found["nuclei", True][:, 3:].max()),
        "sampling_back_filaments_worst": level_text(found["filaments", True][:, 3:].max()),
        "sampling_images": str(2 * raw.size),
    }

    def draw() -> Image.Image:
        made, ax = figure(400)
        for number, ((kind, rescale), values) in enumerate(found.items()):
            name = f"{kind}, {'binned' if rescale else 'as they are'}"
            line(ax, number, FINER, values, name)
        ax.axvline(1, color=SOFT, lw=1)
        ax.text(1.03, 9.7, "the model's sampling", color=SOFT)
        ax.set_xscale("log")
        ax.set_xticks(FINER, [f"{f:g}" for f in FINER])
        ax.minorticks_off()
        ax.set_xlabel("times more pixels across than the model knows")
        level_axis(ax, 0.015)
        made.legend(loc="outside right upper")
        return finished(made)

    return numbers, draw


def thick() -> Part:
    """Measure samples that are thicker than the depth of focus, focused at their middle."""
    half = np.arange(0, 11)
    found, statuses = {}, {}
    for kind in ("nuclei", "filaments"):
        found[kind] = np.zeros((FIELDS, len(half)))
        statuses[kind] = []
        for s in range(FIELDS):
            # Turned and mirrored, a few fields make as many layers as are needed.
            layers = [
                np.rot90(plane, turn)
                for base in range(3)
                for of in (specimen(kind, 200 + s + base, SOFTNESS_PX, 1.0, 0.3),)
                for plane in (of, of.T)
                for turn in range(4)
            ]
            light = blurred(layers[0], 0)
            for n in half:
                if n:
                    for side in (0, 1):
                        light = light + blurred(layers[2 * int(n) + side], float(n))
                result = measured(taken(light, s))
                found[kind][s, n] = result.expected_level
                statuses[kind].append(result.status)
    um = 2 * TRAINING_OPTICS.defocus_of_level(half.astype(float))
    numbers = {
        "thick_step": f"{TRAINING_OPTICS.defocus_of_level(10.0) / 10:.1f}",
        "thick_images": str(sum(v.size for v in found.values())),
    }
    for kind, values in found.items():
        numbers[f"thick_{kind}_ten"] = level_text(values[:, 3].mean())
        numbers[f"thick_{kind}_end"] = level_text(values[:, 10].mean())
        mixed = statuses[kind].count("mixed")
        numbers[f"thick_{kind}_mixed"] = str(mixed)
    numbers["thick_ten_um"] = f"{um[3]:.0f}"
    numbers["thick_end_um"] = f"{um[10]:.0f}"

    def draw() -> Image.Image:
        made, ax = figure(380)
        for number, (kind, values) in enumerate(found.items()):
            line(ax, number, um, values, kind)
        ax.set_xlabel("thickness of the sample, µm (20×/0.5), focused at its middle")
        level_axis(ax, 0.015)
        ax.legend(loc="upper center")
        return finished(made)

    return numbers, draw
