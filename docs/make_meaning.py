"""Make the pictures of docs/meaning.md, and the numbers in its sentences.

Run it as ``python docs/make_meaning.py [--data DIR] [NAMES]``; it needs the extra ``evaluate``.
``--data`` names the folder of real images that ``benchmarks/accuracy.py`` describes; without it,
what was measured on them before stays. ``NAMES`` are parts, such as ``sampling``; all unless given.

A part measures and gives its numbers as text, and a function that draws what was measured. The
numbers are kept in docs/meaning/numbers.json and written into docs/meaning.md wherever the page has
``<!--name-->`` before a number; a sentence cannot say another number than was measured.
"""

from __future__ import annotations

import argparse
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.ndimage
from PIL import Image, ImageDraw, ImageFont

from microscope_quality import FocusModel, FocusResult, Optics, measure_focus
from microscope_quality.certainty import certainty
from microscope_quality.degrade import Camera, defocus, defocus_varying, tilted_levels
from microscope_quality.focus import MIXED_SHARE, sure_by_chance
from microscope_quality.optics import BLUR_PX_PER_LEVEL, N_LEVELS, TRAINING_OPTICS, psf
from microscope_quality.overlay import level_colours, overlay
from microscope_quality.simulate import filaments, nuclei

DOCS = Path(__file__).parent
PAGE, FOLDER = DOCS / "meaning.md", DOCS / "meaning"
# A number as the page writes it, or a status, after the name that it is known by.
CARRIED = re.compile(r"<!--([a-z_0-9]+)-->(`[a-z_]+`|−?\d+(?:,\d{3})*(?:\.\d+)?(?: %)?)")

Numbers = dict[str, str]
Part = tuple[Numbers, Callable[[], Image.Image]]

SHAPE = (336, 336)
PHOTONS = 2000.0
# Own softness of the simulated specimens, the deviation of a Gaussian: with it they read as the
# real images in focus do that the model held out (part `real`).
SOFTNESS_PX = 1.3
FIELDS = 4
WIDTH_PX = 830
KINDS = ("nuclei", "filaments", "puncta")
WORDS = {
    "in_focus": "in focus",
    "out_of_focus": "out of focus",
    "mixed": "mixed",
    "no_content": "no content",
}
# Okabe and Ito's darker colours; each line has a marker and a dash of its own.
SERIES = (
    ("#0072b2", "o", "-"),
    ("#d55e00", "s", (0, (5, 2))),
    ("#009e73", "^", (0, (1, 1.2))),
    ("#7b3294", "D", (0, (6, 2, 1, 2))),
    ("#5b6675", "v", (0, (3, 1, 1, 1, 1, 1))),
)
INK, SOFT, FAINT, BAR = "#1c2430", "#5b6675", "#dfe4ea", "#8fb8dc"


# Specimens, the microscope, and what is measured


@cache
def model() -> FocusModel:
    """Load the pretrained model once."""
    return FocusModel.from_pretrained()


def puncta(shape: tuple[int, int], n: int, seed: int) -> np.ndarray:
    """Simulate vesicles: points of differing brightness, at whole pixels."""
    rng = np.random.default_rng(seed)
    light = np.zeros(shape)
    places = tuple(rng.integers(length, size=n) for length in shape)
    np.add.at(light, places, rng.uniform(0.3, 1.0, n))
    return light


@cache
def specimen(
    kind: str,
    seed: int,
    softness_px: float = SOFTNESS_PX,
    scale: float = 1.0,
    fill: float = 1.0,
    shape: tuple[int, int] = SHAPE,
) -> np.ndarray:
    """Simulate a field: `scale` times finer pixels, `fill` times as many objects as usual."""
    share = fill * shape[0] * shape[1] / (336 * 336 * scale**2)
    if kind == "nuclei":
        light = nuclei(shape, round(36 * share), seed, diameter_px=(18 * scale, 32 * scale))
    elif kind == "filaments":
        light = filaments(shape, round(110 * share * scale), seed, width_px=1.2 * scale)
    else:
        light = puncta(shape, round(400 * share), seed)
    if softness_px:
        light = scipy.ndimage.gaussian_filter(light, softness_px * scale, mode="mirror")
    if kind == "puncta":
        light = light / np.percentile(light, 99.8)
    light.setflags(write=False)
    return light


@cache
def kernel(level: float, optics: Optics = TRAINING_OPTICS) -> np.ndarray:
    """Give the point spread function at a level, with the objective's true cone of light."""
    return psf(optics, float(optics.defocus_of_level(level)))


def blurred(light: np.ndarray, level: float, optics: Optics = TRAINING_OPTICS) -> np.ndarray:
    """Defocus to a level, which need not be whole."""
    return defocus(light, kernel(float(level), optics))


def taken(light: np.ndarray, seed: int, photons: float = PHOTONS) -> np.ndarray:
    """Expose with a background of 3 %; ``photons`` are those of a bright pixel of the object."""
    return Camera().expose(photons * (np.maximum(light, 0) + 0.03), seed)


def measured(plane: np.ndarray, **settings: Any) -> FocusResult:
    """Measure with the pretrained model."""
    return measure_focus(plane, model(), **settings)


def expected(planes: Iterable[np.ndarray], **settings: Any) -> np.ndarray:
    """Give the expected levels of planes."""
    return np.array([measured(plane, **settings).expected_level for plane in planes])


def level_text(value: float) -> str:
    return f"{value + 0.0:.1f}".replace("-", "−")


def share_text(value: float) -> str:
    return f"{100 * value:.0f} %"


def certainty_text(value: float) -> str:
    return f"{value:.2f}"


def commonest(results: Sequence[FocusResult]) -> str:
    """Give the status that most results have."""
    statuses = [result.status for result in results]
    return max(sorted(set(statuses)), key=statuses.count)


# Drawing


def figure(height_px: int, rows: int = 1, columns: int = 1, **settings: Any) -> tuple[Any, Any]:
    """Make an empty figure of the page's width whose text has the size of the page's."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.close("all")
    pyplot.rcdefaults()
    pyplot.rcParams.update(
        {
            "font.family": "DejaVu Sans",
            # 16 pixels at 100 to the inch.
            "font.size": 11.6,
            "axes.titlesize": 11.6,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.titlepad": 9,
            "axes.labelcolor": INK,
            "axes.edgecolor": SOFT,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.axisbelow": True,
            "axes.grid": True,
            "grid.color": FAINT,
            "text.color": INK,
            "xtick.color": SOFT,
            "ytick.color": SOFT,
            "xtick.labelcolor": INK,
            "ytick.labelcolor": INK,
            "legend.frameon": False,
            "legend.handlelength": 2.2,
            "lines.linewidth": 2,
            "lines.markersize": 6,
        }
    )
    made, axes = pyplot.subplots(
        rows,
        columns,
        figsize=(WIDTH_PX / 100, height_px / 100),
        layout="constrained",
        **settings,
    )
    return made, axes


def finished(made: Any) -> Image.Image:
    """Render at twice the shown size, for fine screens."""
    buffer = io.BytesIO()
    made.savefig(buffer, dpi=200, facecolor="white", format="png")
    return with_few_colours(Image.open(buffer).convert("RGB"))


def with_few_colours(picture: Image.Image) -> Image.Image:
    """Keep a picture small: greys, and the colours in use with their blends into white and black.

    A palette made from the picture would merge neighbouring levels, whose areas are small.
    """
    from matplotlib.colors import to_rgb

    used = [rgb(k) for k in range(N_LEVELS)]
    used += [to_rgb(colour) for colour in (*(colour for colour, *_ in SERIES), BAR)]
    blends = [
        tuple(round(255 * (share * c + (1 - share) * end)) for c in colour)
        for colour in used
        for end, shares in ((1.0, (1.0, 0.75, 0.5, 0.25, 0.12)), (0.0, (0.7, 0.5, 0.35, 0.2)))
        for share in shares
    ]
    # As overlays tint bright and dark pixels.
    blends += [
        tuple(
            round(255 * (x * (0.72 - 0.12 * x) + c * (0.28 + 0.12 * x) * (1 + x) / 2)) for c in of
        )
        for of in used[:N_LEVELS]
        for x in (0.25, 0.5, 0.75, 1.0)
    ]
    greys = [(g, g, g) for g in np.linspace(0, 255, 24).round().astype(int).tolist()]
    inks = [to_rgb(colour) for colour in (INK, SOFT, FAINT)]
    palette = Image.new("P", (1, 1))
    colours = greys + [tuple(round(255 * c) for c in ink) for ink in inks] + blends
    palette.putpalette([channel for colour in colours for channel in colour])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def rgb(level: int) -> tuple[float, float, float]:
    """Give a level's colour, as matplotlib takes it."""
    red, green, blue = (level_colours(N_LEVELS)[level] / 255).tolist()
    return red, green, blue


def level_axis(axes: Any, strip_width: float = 0.025) -> None:
    """Make the vertical axis one of levels, with their colours along it."""
    from matplotlib.patches import Rectangle

    strip = axes.get_yaxis_transform()
    for k in range(N_LEVELS):
        axes.add_patch(
            Rectangle((0, k - 0.5), strip_width, 1, transform=strip, color=rgb(k), lw=0, zorder=3)
        )
    axes.set_ylim(-0.5, 10.5)
    axes.set_yticks(range(0, 11, 2))
    axes.set_ylabel("measured level")


def line(axes: Any, number: int, x: Any, y: np.ndarray, label: str, **settings: Any) -> None:
    """Draw means over the fields, with the spread from the lowest to the highest."""
    colour, marker, dash = SERIES[number]
    y = np.atleast_2d(y)
    axes.plot(
        x, y.mean(axis=0), color=colour, marker=marker, linestyle=dash, label=label, **settings
    )
    if len(y) > 1:
        axes.fill_between(x, y.min(axis=0), y.max(axis=0), color=colour, alpha=0.18, lw=0)


def grey(light: np.ndarray, low: float, high: float) -> np.ndarray:
    """Give bytes, black and white at the two values."""
    scaled = 255 * np.clip((light - low) / (high - low), 0, 1)
    return np.round(scaled).astype(np.uint8)


def enlarged(pixels: np.ndarray, times: int) -> Image.Image:
    """Draw each pixel as a square."""
    return Image.fromarray(np.ascontiguousarray(pixels.repeat(times, 0).repeat(times, 1)))


class Canvas:
    """A white picture to paste images on and write beside, twice as fine as it is shown."""

    def __init__(self, height_px: int) -> None:
        self.image = Image.new("RGB", (2 * WIDTH_PX, 2 * height_px), "white")
        self._draw = ImageDraw.Draw(self.image)

    def paste(self, picture: Image.Image, x: float, y: float) -> None:
        """Paste a picture that is already twice as fine."""
        self.image.paste(picture, (round(2 * x), round(2 * y)))

    def text(
        self, x: float, y: float, words: str, colour: str = INK, *, anchor: str = "ls"
    ) -> None:
        """Write in the page's size of text."""
        self._draw.text((2 * x, 2 * y), words, colour, _font(), anchor=anchor)

    def box(self, x: float, y: float, width: float, height: float, colour: Any) -> None:
        """Fill a rectangle."""
        self._draw.rectangle((2 * x, 2 * y, 2 * (x + width) - 1, 2 * (y + height) - 1), colour)

    def disc(self, x: float, y: float, diameter: float, colour: Any) -> None:
        """Fill a disc around a place."""
        r = diameter / 2
        self._draw.ellipse((2 * (x - r), 2 * (y - r), 2 * (x + r), 2 * (y + r)), colour)

    def finished(self) -> Image.Image:
        """Give the picture with few colours."""
        return with_few_colours(self.image)


@cache
def _font() -> Any:
    from matplotlib import font_manager

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 32)


# The parts


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
        "um_per_level": f"{TRAINING_OPTICS.defocus_of_level(1.0):.2f}",
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


DEFOCUS_LEVELS = np.arange(0, 14.5, 0.5)
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
            found[kind, photons] = np.array([[r.expected_level for r in row] for row in of])
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
    one = np.concatenate([most[kind, p][:, 2] for kind in KINDS for p in DEFOCUS_PHOTONS])
    numbers["defocus_one_as_zero"] = share_text((one == 0).mean())
    for k in (5, 8, 10):
        numbers[f"defocus_{k}_reads"] = level_text(steady[:, 2 * k].mean())
    beyond = DEFOCUS_LEVELS >= 12
    for kind in KINDS:
        low = np.concatenate([found[kind, p][:, beyond].ravel() for p in DEFOCUS_PHOTONS])
        numbers[f"beyond_{kind}_lowest"] = level_text(low.min())
    numbers["beyond_puncta_mean"] = level_text(
        np.concatenate([found["puncta", p][:, beyond].ravel() for p in DEFOCUS_PHOTONS]).mean()
    )

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
            ax.set_xticks(range(0, 25, 8))
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


def optics() -> Part:
    """Measure µm through other objectives."""
    blurs = np.array([0, 1, 2, 3, 4.5, 6, 8])
    found: dict[str, dict[bool, tuple[np.ndarray, np.ndarray]]] = {}
    for name, of in OBJECTIVES.items():
        finer = _finer(of)
        scale = TRAINING_OPTICS.pixel_size_um / of.pixel_size_um * TRAINING_OPTICS.na / of.na
        scale *= of.wavelength_um / TRAINING_OPTICS.wavelength_um
        side = round(252 * finer)
        found[name] = {}
        for rescale in (False, True):
            # The same blur in the pixels that are judged.
            own = blurs * (finer if rescale else 1)
            um = of.defocus_of_level(own)
            results = np.array(
                [
                    [
                        measured(
                            taken(
                                blurred(specimen("nuclei", s, 1.3, finer, 1, (side, side)), k, of),
                                s,
                            ),
                            optics=of,
                            rescale=rescale,
                        ).defocus_um
                        for k in own
                    ]
                    for s in range(2)
                ]
            )
            found[name][rescale] = um, results
    number_of = {"10×/0.3": "10", "20×/0.5": "20", "20×/0.75": "20h", "40×/0.95": "40"}
    numbers: Numbers = {}
    for name, of in OBJECTIVES.items():
        short = number_of.get(name, "63")
        um, values = found[name][True]
        ratio = values[:, 3:].mean(axis=0) / um[3:]
        numbers[f"um_level_{short}"] = f"{of.defocus_of_level(1.0):.2f}"
        numbers[f"um_furthest_{short}"] = f"{of.defocus_of_level(10.0):.3g}"
        numbers[f"um_finer_{short}"] = f"{_finer(of):.1f}"
        numbers[f"um_found_{short}"] = share_text(ratio.mean())
        numbers[f"um_raw_sharp_{short}"] = level_text(of.level(found[name][False][1][:, 0].mean()))
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
        for number, (name, of) in enumerate(OBJECTIVES.items()):
            colour, marker, dash = SERIES[number]
            um, values = found[name][True]
            right.plot(
                um[1:] / of.defocus_of_level(1.0) / _finer(of),
                values.mean(axis=0)[1:] / um[1:],
                color=colour,
                marker=marker,
                linestyle=dash,
                label=name,
            )
        right.axhline(1, color=INK, lw=1, ls=":")
        right.set_ylim(0, 1.15)
        right.set_xticks(range(0, 9, 2))
        right.set_title("measured µm over true µm")
        right.set_xlabel("true level, rescaled")
        handles, labels = right.get_legend_handles_labels()
        made.legend(handles, labels, loc="outside lower center", ncols=5, columnspacing=1)
        line(left, 0, offsets, both, "")
        left.set_title("below and above focus")
        left.set_xlabel("true distance from focus, µm")
        left.set_xticks(range(-16, 17, 8))
        level_axis(left)
        return finished(made)

    return numbers, draw


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


def tilted(light: np.ndarray, last: float) -> np.ndarray:
    """Defocus from level 0 at the left border to ``last`` at the right one."""
    known = np.arange(0, last + 0.5, 0.5)
    across = tilted_levels(light.shape, last / 2, last)
    kernels = [kernel(float(level)) for level in known]
    return np.maximum(defocus_varying(light, np.clip(across, 0, known[-1]), kernels, known), 0)


def regimes() -> Part:
    """Set mean certainty against certainty."""
    rng = np.random.default_rng(4)
    groups: dict[str, list[FocusResult]] = {
        "cells everywhere, one depth": [],
        "few cells, one depth": [],
        "tilted by 6 to 10 levels": [],
        "very dim, or empty": [],
    }
    full, few, across, dark = groups.values()
    for seed in range(16):
        level = float(rng.integers(0, 11))
        cells = specimen("nuclei", 80 + seed)
        full.append(measured(taken(blurred(cells, level), seed)))
        sparse = np.zeros((504, 504))
        sparse[:120, :120] = cells[100:220, 100:220]
        edge = np.clip((120 - np.arange(504)) / 12, 0, 1)
        few.append(measured(taken(blurred(sparse * np.outer(edge, edge), level), seed)))
        across.append(measured(taken(tilted(cells, float(rng.integers(12, 21)) / 2), seed)))
        lit = float(rng.choice((0.0, 1.0, 2.0)))
        dark.append(measured(taken(blurred(cells, level), seed, lit or 1e-3)))
    numbers = {}
    for short, results in zip(("full", "few", "tilted", "dark"), groups.values()):
        numbers[f"regime_{short}_mean"] = certainty_text(
            np.mean([r.mean_certainty for r in results])
        )
        numbers[f"regime_{short}_whole"] = certainty_text(np.mean([r.certainty for r in results]))
    numbers["regime_images"] = str(sum(map(len, groups.values())))

    def draw() -> Image.Image:
        made, ax = figure(430)
        threshold = model().description.sure_certainty
        for number, (name, results) in enumerate(groups.items()):
            colour, marker, _ = SERIES[number]
            ax.plot(
                [r.mean_certainty for r in results],
                [r.certainty for r in results],
                color=colour,
                marker=marker,
                ls="",
                ms=8,
                alpha=0.75,
                mec="white",
                label=name,
            )
        ax.plot((0, 1), (0, 1), color=FAINT, lw=1)
        ax.axvline(threshold, color=SOFT, lw=1, ls=":")
        ax.axhline(threshold, color=SOFT, lw=1, ls=":")
        for x, y, words, across_ in (
            (0.01, 0.97, "little to see,\nwhich agrees", "left"),
            (0.99, 0.97, "much to see, which agrees", "right"),
            (0.01, 0.20, "nothing to see", "left"),
            (0.99, 0.07, "much to see, which disagrees", "right"),
        ):
            ax.text(x, y, words, ha=across_, va="top", color=SOFT, fontstyle="italic")
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.set_xlabel("mean certainty of the patches (mean_certainty)")
        ax.set_ylabel("certainty of the image")
        made.legend(loc="outside right upper")
        return finished(made)

    return numbers, draw


def status() -> Part:
    """Show the four statuses and where mixed begins."""
    cells = specimen("nuclei", 5)
    five = np.zeros((2048, 2048))
    five += scipy.ndimage.gaussian_filter(nuclei((2048, 2048), 5, 3), SOFTNESS_PX)
    shown = {
        "no cells": taken(np.zeros(SHAPE), 1),
        "5 nuclei in 2048²": taken(blurred(five, 3), 1),
        "tilted": taken(tilted(cells, 9.0), 1),
        "level 1": taken(blurred(cells, 1), 1),
        "level 4": taken(blurred(cells, 4), 1),
    }
    results = {name: measured(plane) for name, plane in shown.items()}
    threshold = model().description.sure_certainty
    tilts = np.arange(0, 10.5, 1.0)
    far = np.zeros((2, len(tilts)))
    mixed = np.zeros((2, len(tilts)), bool)
    for s in range(2):
        for n, last in enumerate(tilts):
            light = specimen("nuclei", s, SOFTNESS_PX, 1.0, 1.0, (504, 504))
            result = measured(taken(tilted(light, float(last)), s))
            sure = result.patch_certainties >= threshold
            far[s, n] = (np.abs(result.patch_levels[sure] - result.level) > 2).mean()
            mixed[s, n] = result.status == "mixed"
    parts = np.arange(0, 0.55, 0.05)
    partly = np.zeros((2, len(parts)))
    for s in range(2):
        light = specimen("nuclei", s, SOFTNESS_PX, 1.0, 1.0, (504, 504))
        near, away = blurred(light, 0), blurred(light, 7)
        for n, share in enumerate(parts):
            columns = round(504 * share)
            plane = near.copy()
            plane[:, :columns] = away[:, :columns]
            result = measured(taken(plane, s))
            sure = result.patch_certainties >= threshold
            partly[s, n] = (np.abs(result.patch_levels[sure] - result.level) > 2).mean()
    all_mixed = [float(t) for t, of in zip(tilts, mixed.T) if of.all()]
    five_found = results["5 nuclei in 2048²"]
    numbers = {
        "chance_25": str(sure_by_chance(25)),
        "chance_625": str(sure_by_chance(625)),
        "five_sure": str(int((five_found.patch_certainties >= threshold).sum())),
        "five_patches": str(len(five_found.patch_certainties)),
        "five_status": f"`{five_found.status}`",
        "five_level": level_text(five_found.expected_level),
        "five_mean_certainty": certainty_text(five_found.mean_certainty),
        "tilt_mixed_from": f"{min(all_mixed):.0f}",
        "tilt_images": str(far.size + partly.size),
        "part_far_at_quarter": share_text(partly[:, 5].mean()),
    }

    def draw() -> Image.Image:
        from matplotlib.gridspec import GridSpec

        made, whole = figure(520)
        whole.remove()
        grid = GridSpec(2, 10, made, height_ratios=(1, 1.25))
        for number, (name, result) in enumerate(results.items()):
            ax = made.add_subplot(grid[0, 2 * number : 2 * number + 2])
            ax.imshow(overlay(shown[name], result, max_side=260))
            ax.set_axis_off()
            ax.set_title(f"{name}:\n{WORDS[result.status]}", loc="center", fontweight="normal")
        left = made.add_subplot(grid[1, :5])
        right = made.add_subplot(grid[1, 5:])
        line(left, 0, tilts, 100 * far, "")
        left.set_xlabel("levels across the field (tilt)")
        left.set_ylabel("far patches, %")
        line(right, 1, 100 * parts, 100 * partly, "")
        right.set_xlabel("% of the field at level 7, the rest at 0")
        for ax in (left, right):
            ax.axhline(100 * MIXED_SHARE, color=INK, lw=1, ls=":")
            ax.set_ylim(0, 75)
            ax.text(0, 100 * MIXED_SHARE + 2, "mixed", va="bottom")
        return finished(made)

    return numbers, draw


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
        "saturated_twenty": level_text(clipped[6][:, 6].mean()),
        "saturated_twenty_three": level_text(clipped[3][:, 6].mean()),
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
    back = np.concatenate([found[kind, True] for kind in ("nuclei", "filaments")])
    numbers = {
        **{
            f"sampling_{word}": level_text(raw[:, FINER.tolist().index(factor)].mean())
            for word, factor in (("one_half", 1.5), ("two", 2), ("three", 3), ("four", 4))
        },
        "sampling_back_worst": level_text(back[:, 2:].max()),
        "sampling_images": str(2 * raw.size),
    }

    def draw() -> Image.Image:
        made, ax = figure(400)
        for number, ((kind, rescale), values) in enumerate(found.items()):
            name = f"{kind}, {'rescaled' if rescale else 'as they are'}"
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
        "thick_step": f"{TRAINING_OPTICS.defocus_of_level(1.0):.1f}",
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
    "Gaussian filter, σ 1 px": lambda p: scipy.ndimage.gaussian_filter(p.astype(float), 1),
    "Gaussian filter, σ 2 px": lambda p: scipy.ndimage.gaussian_filter(p.astype(float), 2),
    "median, 3 × 3": lambda p: scipy.ndimage.median_filter(p, 3),
    "median, 7 × 7": lambda p: scipy.ndimage.median_filter(p, 7),
    "non-local means": _non_local_means,
    "background subtracted": _subtracted,
    "unsharp mask": _unsharp,
    "deconvolved, in-focus kernel": _deconvolved,
    "deconvolved, level 4 kernel": _refocused,
    "thresholded": _binary,
}
CHANGED_LEVELS = (0, 4, 8)


def _changed(changes: Mapping[str, Callable[[np.ndarray], np.ndarray]], prefix: str) -> Part:
    """Measure images at three levels after each change."""
    found: dict[tuple[str, int], list[FocusResult]] = {}
    for name, change in changes.items():
        for level in CHANGED_LEVELS:
            found[name, level] = [
                measured(change(taken(blurred(specimen("nuclei", s), level), s)))
                for s in range(FIELDS)
            ]
    numbers: Numbers = {f"{prefix}_images": str(FIELDS * len(found))}
    for (name, level), results in found.items():
        short = re.sub("[^a-z0-9]+", "_", name.lower().replace(",000", "000")).strip("_")
        value = float(np.mean([r.expected_level for r in results]))
        numbers[f"{prefix}_{short}_{level}"] = level_text(value)

    def draw() -> Image.Image:
        made, ax = figure(60 + 36 * len(changes) + 30)
        for n, level in enumerate(CHANGED_LEVELS):
            colour, marker, _ = SERIES[n]
            ax.axvline(level, color=colour, lw=1, ls=":")
            for row, name in enumerate(changes):
                results = found[name, level]
                values = [r.expected_level for r in results]
                middle = float(np.mean(values))
                y = row + 0.2 * (n - 1)
                ax.plot((min(values), max(values)), (y, y), color=colour, lw=2)
                bad = commonest(results) == "mixed"
                ax.plot(
                    middle,
                    y,
                    color=colour,
                    marker=marker,
                    ms=9,
                    mfc="white" if bad else colour,
                    mew=2,
                    ls="",
                    label=f"level {level}" if row == 0 else None,
                )
        ax.plot([], [], color=SOFT, marker="o", ms=9, mfc="white", mew=2, ls="", label="mixed")
        ax.set_yticks(range(len(changes)), list(changes))
        ax.invert_yaxis()
        ax.set_xlim(-0.5, 10.5)
        ax.set_xticks(range(11))
        ax.set_xlabel("measured level")
        made.legend(loc="outside right upper", handlelength=1)
        return finished(made)

    return numbers, draw


def faults() -> Part:
    """Add what cameras, dust and programs put into images, and into empty fields."""
    numbers, draw = _changed(FAULTS, "fault")
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
    return numbers, draw


def processed() -> Part:
    """Filter and restore."""
    return _changed(PROCESSED, "processed")


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
        found[name] = np.array([[r.expected_level for r in row] for row in results])
        statuses[name] = np.array([[r.status for r in row] for row in results])
    bright = "6 in a patch, 20,000 photons"
    numbers = {
        "points_many_five": level_text(found["24 in a patch"][:, 5].mean()),
        "points_few_five": level_text(found["6 in a patch"][:, 5].mean()),
        "points_bright_five": level_text(found[bright][:, 5].mean()),
        "points_dim_five": level_text(found["6 in a patch, 200 photons"][:, 5].mean()),
        "points_wrong": share_text(
            np.mean([(statuses[n][:, 3:] == "in_focus").mean() for n in ("6 in a patch", bright)])
        ),
        "points_images": str(sum(v.size for v in found.values())),
    }
    unresolved = [
        measured(taken(blurred(specimen("puncta", 300 + s, 0.0), 0), s)) for s in range(FIELDS)
    ]
    numbers["points_smallest_status"] = f"`{commonest(unresolved)}`"

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


def real(data: Path) -> Part:
    """Measure real images: held-out ones, BBBC006 and a brightfield stack."""
    from microscope_quality.evaluation.run import held_out
    from microscope_quality.files.images import planes
    from microscope_quality.training.exposure import signal

    def read(path: Path) -> np.ndarray:
        (plane,) = planes(path)
        return plane.array

    steps = np.array([0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14])
    lights = [signal(read(data / "focus" / "train" / name)) for name in held_out(model())]
    paraxial = [
        psf(
            TRAINING_OPTICS,
            float(TRAINING_OPTICS.defocus_of_level(float(k), paraxial=True)),
            paraxial=True,
        )
        for k in steps
    ]
    exact = np.array(
        [[measured(taken(blurred(x, float(k)), 1)).expected_level for k in steps] for x in lights]
    )
    learned = np.array(
        [[measured(taken(defocus(x, k), 1)).expected_level for k in paraxial] for x in lights]
    )
    folder = data / "focus" / "eval" / "bbbc006_miq"
    near = [measured(read(path)) for path in sorted(folder.glob("BBBC006*_10.*"))]
    away = [measured(read(path)) for path in sorted(folder.glob("00_mcf*"))]
    stack_files = sorted((data / "focus" / "eval" / "urjc_brightfield_zstack").iterdir())
    stack = [measured(read(path)) for path in stack_files]
    heights = np.array([r.expected_level for r in stack])
    lowest = int(np.argmin(heights))
    at = {int(k): n for n, k in enumerate(steps)}
    numbers = {
        "real_images": str(len(lights)),
        "real_sharp": level_text(exact[:, 0].mean()),
        "real_two": level_text(exact[:, at[2]].mean()),
        "real_five": level_text(exact[:, at[5]].mean()),
        "real_five_learned": level_text(learned[:, at[5]].mean()),
        "real_eight": level_text(exact[:, at[8]].mean()),
        "real_eight_learned": level_text(learned[:, at[8]].mean()),
        "real_beyond_lowest": level_text(exact[:, at[12] :].min()),
        "bbbc_near": str(len(near)),
        "bbbc_near_highest": level_text(max(r.expected_level for r in near)),
        "bbbc_away": str(len(away)),
        "bbbc_away_lowest": level_text(min(r.expected_level for r in away)),
        "stack_planes": str(len(stack)),
        "stack_lowest": str(lowest + 1),
        "stack_flat": str(int((heights < 1).sum())),
        "stack_highest": level_text(heights.max()),
        "stack_first": level_text(heights[0]),
        "stack_last": level_text(heights[-1]),
        "stack_in_focus": str(sum(r.status == "in_focus" for r in stack)),
    }

    def draw() -> Image.Image:
        made, (first, second, third) = figure(
            420, 1, 3, sharey=True, width_ratios=(1.25, 0.7, 1.25)
        )
        first.plot(steps, np.minimum(steps, 10), color=INK, lw=1, ls=":")
        line(first, 0, steps, learned, "as learned")
        line(first, 1, steps, exact, "true cone")
        first.legend(loc="lower right")
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


PARTS: dict[str, Callable[[], Part]] = {
    "levels": levels,
    "defocus": true_and_measured,
    "softness": softness,
    "points": sparse_points,
    "optics": optics,
    "distributions": distributions,
    "reliability": reliability,
    "patches": patches,
    "regimes": regimes,
    "status": status,
    "exposure": exposure,
    "sampling": sampling,
    "thick": thick,
    "blur": other_blur,
    "faults": faults,
    "processed": processed,
}


def filled(page: str, numbers: Mapping[str, str]) -> str:
    """Give the page's text with each number that it carries as it was measured."""
    return CARRIED.sub(lambda f: f"<!--{f[1]}-->{numbers.get(f[1], f[2])}", page)


def main() -> None:
    """Measure, draw, and write the numbers into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *PARTS, "real"], metavar="NAME")
    parser.add_argument("--data", type=Path, help="folder of the real images")
    given = parser.parse_args()
    parts = dict(PARTS)
    if given.data is not None:
        parts["real"] = lambda: real(given.data)
    measured_now: dict[str, Numbers] = {}
    for name in given.names or parts:
        numbers, draw = parts[name]()
        draw().save(FOLDER / f"{name}.png", optimize=True)
        measured_now[name] = numbers
        print(name, json.dumps(numbers, indent=1, ensure_ascii=False), flush=True)
    record = FOLDER / "numbers.json"
    kept = json.loads(record.read_text("utf-8")) if record.exists() else {}
    kept.update(measured_now)
    ordered = {name: kept[name] for name in (*PARTS, "real") if name in kept}
    record.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if PAGE.exists():
        every = {key: value for numbers in ordered.values() for key, value in numbers.items()}
        PAGE.write_text(filled(PAGE.read_text("utf-8"), every), "utf-8")


if __name__ == "__main__":
    main()
