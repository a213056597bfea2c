"""Make the pictures of docs/stream.md: what the patches that a model learns from go through.

Run it as ``python -m docs.make_stream`` in a copy of the repository.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from docs.make_meaning.drawing import WIDTH_PX, Canvas
from microscope_quality.degrade import Camera, defocus
from microscope_quality.optics import BLUR_PX_PER_LEVEL, TRAINING_OPTICS, Optics
from microscope_quality.psf import psf
from microscope_quality.simulate import filaments, nuclei
from microscope_quality.training.defocus.empties import dust
from microscope_quality.training.defocus.processing import KINDS
from microscope_quality.training.defocus.psfs import aberrated_psf
from microscope_quality.training.defocus.specimens import points
from microscope_quality.training.defocus.structures import STRUCTURES
from microscope_quality.training.defocus.transmitted import (
    BRIGHTFIELD,
    DIC,
    PHASE_CONTRAST,
    TransmittedLight,
)

FOLDER = Path(__file__).parent / "stream"
SIDE, GAP = 126, 6
Panel = tuple[str, np.ndarray]


def grey(image: np.ndarray) -> np.ndarray:
    """Stretch an image over 8 bits, all but its extreme 0.2 %."""
    low, high = np.percentile(image, (0.2, 99.8))
    return np.clip(np.round((image - low) * (255 / max(high - low, 1e-12))), 0, 255).astype(
        np.uint8
    )


def sheet(rows: Sequence[Sequence[Panel]], name: str) -> None:
    """Write panels, each with its words above, in rows as wide as the page."""
    columns = max(len(row) for row in rows)
    side = (WIDTH_PX - (columns - 1) * GAP) // columns
    height = side + 28
    canvas = Canvas(height * len(rows) - GAP)
    for i, row in enumerate(rows):
        for j, (words, image) in enumerate(row):
            x, y = j * (side + GAP), i * height
            canvas.text(x, y + 16, words)
            picture = Image.fromarray(grey(image)).resize((2 * side,) * 2, Image.Resampling.NEAREST)
            canvas.paste(picture, x, y + 21)
    FOLDER.mkdir(exist_ok=True)
    canvas.finished().save(FOLDER / f"{name}.png", optimize=True)


def specimen(side: int = SIDE) -> np.ndarray:
    """Give nuclei among filaments."""
    light = nuclei((side, side), 8, 3, diameter_px=(26, 38))
    return np.asarray(light + 0.5 * filaments((side, side), 40, 5))


def taken(light: np.ndarray, photons: float, seed: int = 0) -> np.ndarray:
    """Take a picture."""
    camera = Camera(photons_per_level=1.0, read_noise=1.5)
    return camera.expose(photons * (np.maximum(light, 0) + 0.05), seed).astype(np.float32)


def blurred(light: np.ndarray, level: float) -> np.ndarray:
    """Defocus to a level, by light."""
    return defocus(light, psf(TRAINING_OPTICS, TRAINING_OPTICS.defocus_of_level(level)))


def kernels() -> None:
    """Draw kernels that spread light alike: level 6 of several objectives."""
    level, px = 6.0, BLUR_PX_PER_LEVEL
    made: list[Panel] = []
    for words, na, index in (
        ("10×/0.3", 0.3, 1.0),
        ("20×/0.75", 0.75, 1.0),
        ("63×/1.4 oil", 1.4, 1.515),
    ):
        optics = Optics(na, index, 0.52, 0.65 * 0.52 / na)
        made.append((words, psf(optics, optics.defocus_of_level(level), size=41)))
    optics = Optics(1.3, 1.515, 0.52, 0.65 * 0.52 / 1.3)
    z = optics.defocus_of_level(level)
    made.append(
        ("deep in water", aberrated_psf(optics, z, depth_um=12, sample_index=1.33, size=41))
    )
    optics = Optics(0.75, 1.0, 0.52, 0.65 * 0.52 / 0.75)
    z = optics.defocus_of_level(level)
    bad = {"spherical_waves": 0.08, "astigmatism_waves": 0.06, "coma_waves": 0.06}
    made.append(
        ("aberrated", aberrated_psf(optics, z, astigmatism_deg=30, coma_deg=70, size=41, **bad))
    )
    confocal = made[1][1] ** 2
    made.append(("confocal", confocal / confocal.sum()))
    axis = np.arange(41) - 20
    circle = np.abs(np.hypot.outer(axis, axis) - 0.5 * level * px) < 0.5
    for _, kernel in made:
        kernel **= 0.5
        # Bright where the kernel is dark, dark where it is bright.
        is_dark = kernel[circle] < 0.45 * kernel.max()
        kernel[circle] = np.where(is_dark, 0.8 * kernel.max(), 0.0)
    sheet([made], "kernels")


def points_and_haze() -> None:
    """Draw points by their number, in and out of focus; and haze over a sharp image."""
    rows = []
    for level in (0.0, 6.0):
        row = []
        for seed in (36, 8, 16, 21, 10):
            light = points(np.random.default_rng(seed), SIDE + 80, 84)
            image = taken(blurred(light, level)[40:-40, 40:-40], 3000)
            row.append(("in focus" if level == 0 else f"level {level:g}", image))
        rows.append(row)
    sheet(rows, "points")
    light = specimen(SIDE + 100)
    row = []
    for share in (0.0, 0.5, 1.0, 2.0):
        hazy = blurred(light, 1.0) + share * blurred(light, 9.0)
        row.append((f"haze {share:g} to 1", taken(hazy[50:-50, 50:-50], 1000)))
    sheet([row], "haze")


def transmitted() -> None:
    """Draw brightfield, phase contrast and DIC from one specimen, by level."""
    light = nuclei((220, 220), 14, 2, diameter_px=(34, 60))
    optics = Optics(0.5, 1.0, 0.55, 0.36)
    ways = (
        ("stained", TransmittedLight(BRIGHTFIELD, optics, 0.6, 0.6, 0.4)),
        ("brightfield", TransmittedLight(BRIGHTFIELD, optics, 0.3, 0.0, 0.8)),
        ("phase contrast", TransmittedLight(PHASE_CONTRAST, optics, 0.55, 0.0, 0.8)),
        ("DIC", TransmittedLight(DIC, optics, 0.6, 0.0, 0.8, bias=0.8)),
    )
    rows = []
    for words, way in ways:
        row = []
        for level in (0, 2, 5, 10):
            image = way.image(way.spectrum(light), optics.defocus_of_level(float(level)))
            row.append((f"{words}, level {level}", taken(image[47:-47, 47:-47], 3000)))
        rows.append(row)
    sheet(rows, "transmitted")


def processing() -> None:
    """Draw a blurred, noisy image after each kind of processing."""
    light = blurred(nuclei((320, 320), 60, 3, diameter_px=(20, 30)), 4.0)[150:, 100:]
    panels: list[Panel] = []
    for kind, (_, draw) in KINDS.items():
        rng = np.random.default_rng(4)
        way = draw(rng)
        side = way.source_side(84)
        image = taken(light[:side, :side], 120)
        panels.append(
            (
                kind.replace("_", " ").replace(" corrected", "").replace("wavelet ", ""),
                way.processed(image, 84),
            )
        )
    sheet([panels[:7], panels[7:]], "processing")


def empties() -> None:
    """Draw fields without a specimen: each structure, and dust."""
    panels: list[Panel] = []
    shape = (168, 168)
    makers = {**STRUCTURES, "dust": lambda rng, shape: dust(rng, shape, 84)}
    for kind, make in makers.items():
        light = make(np.random.default_rng(5), shape)
        panels.append((kind.replace("_", " "), taken(light / light.mean(), 1500)))
    sheet([panels[:4], panels[4:]], "empties")


if __name__ == "__main__":
    kernels()
    points_and_haze()
    transmitted()
    processing()
    empties()
