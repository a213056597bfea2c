"""Numbers of the library that the ImageJ plugin must give too; its own tests read them.

``python tests/fiji_vectors.py`` writes them anew into the plugin's test resources: a file for each
model in ``pretrained``, one for a small model with every kind of layer and one for a small rater
with a lab's own score, which are written beside them, and two for what no model has a part in.
Images are those of ``docs/sample``, changed by recipes that both sides follow, and for ratings some
that both sides draw. It also writes what the plugin has from the library as resources: the table
of blur diameters that it turns into distances, what faults cost of a score, and what a blank patch
does not exceed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import tempfile
from pathlib import Path

import numpy as np
import tifffile

from microscope_quality import acquisition, certainty, components, overlay, rater, tiles
from microscope_quality.acquisition import blank_patches
from microscope_quality.components import OUTPUTS, cause_of, components_of
from microscope_quality.descriptors import descriptors
from microscope_quality.focus import measure_at, measure_focus
from microscope_quality.light import blur_of_defocus
from microscope_quality.model import (
    FOCUS,
    FocusModel,
    FocusTask,
    ModelDescription,
    available_models,
    read_description,
    write_model,
)
from microscope_quality.normalisation import normalise, zscore
from microscope_quality.optics import TRAINING_OPTICS, Optics
from microscope_quality.own_score import OwnScore
from microscope_quality.planes import TopValues
from microscope_quality.rater import RATING, RatingModel, RatingTask, rate_image
from microscope_quality.stacks import best_plane, measure_stack
from microscope_quality.verdicts import judged_level, sure_by_chance

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "docs" / "sample"
PLUGIN = ROOT / "fiji_bridge" / "plugin"
VECTORS = PLUGIN / "src" / "test" / "resources" / "vectors"
RESOURCES = PLUGIN / "src/main/resources/quality/microscope/focus"
HALF_LIGHT = RESOURCES / "half_light.json"
COMPONENTS = RESOURCES / "components.json"
BLANK_LIMITS = RESOURCES / "blank_limits.json"

STACK = "B03_s1_dna_stack.tif"
FINE = {"na": 0.75, "refractive_index": 1.0, "wavelength_um": 0.5, "pixel_size_um": 0.2}
COARSE = {"na": 0.3, "refractive_index": 1.0, "wavelength_um": 0.6, "pixel_size_um": 1.7}
OIL = {"na": 1.4, "refractive_index": 1.515, "wavelength_um": 0.52, "pixel_size_um": 0.108}
STEEP = {"na": 1.49, "refractive_index": 1.515, "wavelength_um": 0.6, "pixel_size_um": 0.16}
FLAT = {"na": 0.04, "refractive_index": 1.0, "wavelength_um": 0.5, "pixel_size_um": 4.0}
FOUR = [84, 84, 168, 168]

# An image is a file, a plane of it, a crop (y, x, height, width), a type, a spoiling and a mask.
# uint8 and float32 come from 16 bits by >> 2 and / 4096; colour is red by >> 2, green by >> 3 and
# blue by >> 4, taken by its luminance. "nan" makes each pixel with (31 y + 17 x) % 101 = 0 NaN,
# "clip" ends at 1023, "shift" at 600 and is shifted left by 4 bits, "constant" is 7 throughout. A
# disc, of which a mask is one, is y, x of its middle and its radius; outside of "inside" all is 0.
# "above" and "below" are masks too, by the image's values.
CASES = [
    {"file": "A01_s1_dna.tif"},
    {"file": "A01_s2_dna.tif"},
    {"file": "A02_s1_dna.tif", "optics": TRAINING_OPTICS.to_dict()},
    {"file": "A02_s2_dna.tif"},
    # Its expected level is 3.05, its most probable one 3.
    {"file": "A02_s1_dna.tif", "in_focus_limit": 3.02},
    {"file": "A02_s1_dna.tif", "in_focus_limit": 3.07},
    {"file": "B01_s1_actin.tif"},
    {"file": "B01_s2_actin.tif", "optics": OIL},
    {"file": "B02_s1_dna.tif"},
    {"file": "A01_s1_dna.tif", "type": "uint8"},
    {"file": "A01_s1_dna.tif", "type": "float32"},
    {"file": "A02_s1_dna.tif", "type": "float32", "spoil": "nan"},
    {"file": "A02_s2_dna.tif", "type": "luminance"},
    {"file": "B01_s1_actin.tif", "spoil": "clip"},
    {"file": "A01_s1_dna.tif", "spoil": "constant"},
    {"file": "A01_s1_dna.tif", "crop": [10, 20, 83, 300]},
    {"file": "A01_s1_dna.tif", "crop": [10, 20, 84, 84]},
    {"file": "A01_s1_dna.tif", "crop": [100, 50, 85, 170]},
    {"file": "A01_s1_dna.tif", "crop": [5, 5, 1, 1]},
    {"file": "A01_s1_dna.tif", "mask": [168, 210, 110]},
    {"file": "B01_s1_actin.tif", "crop": FOUR, "spoil": "shift"},
    {"file": "B01_s1_actin.tif", "crop": FOUR, "above": 300},
    {"file": "A02_s1_dna.tif", "crop": FOUR, "below": 400},
    {"file": "B01_s1_actin.tif", "crop": FOUR, "below": 500},
    {"file": "A01_s1_dna.tif", "crop": FOUR, "inside": [84, 84, 75]},
    {"file": "A02_s1_dna.tif", "crop": FOUR, "inside": [84, 84, 75], "mask": [84, 84, 75]},
    {
        "file": "B01_s1_actin.tif",
        "crop": FOUR,
        "inside": [90, 84, 75],
        "optics": COARSE,
        "rescale": True,
    },
    {"file": "A02_s2_dna.tif", "mask": [0, 0, 60]},
    {"file": "B01_s2_actin.tif", "mask": [100, 100, 0]},
    {"file": "A02_s1_dna.tif", "type": "float32", "spoil": "nan", "mask": [150, 150, 120]},
    {"file": "A02_s1_dna.tif", "optics": FINE, "rescale": True},
    {"file": "A02_s1_dna.tif", "optics": FINE},
    {"file": "A02_s1_dna.tif", "optics": FINE, "rescale": False},
    {"file": "A02_s1_dna.tif", "optics": FINE, "crop": [10, 20, 100, 200]},
    {"file": "B02_s1_dna.tif", "optics": FINE, "inside": [168, 210, 150]},
    {"file": "B01_s1_actin.tif", "type": "float32", "spoil": "nan", "optics": OIL},
    {"file": "B01_s1_actin.tif", "optics": FINE, "rescale": True, "mask": [170, 200, 120]},
    {"file": "A01_s2_dna.tif", "crop": [100, 100, 90, 110], "optics": COARSE, "rescale": True},
    {
        "file": "A01_s2_dna.tif",
        "crop": [100, 100, 90, 110],
        "type": "float32",
        "spoil": "nan",
        "optics": COARSE,
        "rescale": True,
        "mask": [45, 50, 40],
    },
    {"file": "A01_s1_dna.tif", "optics": OIL, "rescale": True},
    {"file": STACK, "plane": 2},
]
POINTS = [
    {
        "file": "A02_s2_dna.tif",
        "points": [[0, 0], [335, 419], [168, 210], [-0.5, 419.5], [100.5, 60.4], [20.49, 300]],
    },
    {"file": "A01_s1_dna.tif", "crop": [100, 100, 30, 40], "points": [[0, 0], [15, 20], [29, 39]]},
    {"file": "A01_s1_dna.tif", "crop": [7, 9, 1, 1], "points": [[0, 0]]},
    {"file": "A01_s1_dna.tif", "mask": [168, 210, 60], "points": [[168, 210], [168, 260], [0, 0]]},
    {"file": "A02_s1_dna.tif", "optics": FINE, "rescale": True, "points": [[0, 0], [200, 215.7]]},
]
# Stacks by the expected levels of their planes, None without content, and by their contrasts, None
# without any. Plane k has the certainty (k % 4) / 4.
CURVES = [
    ([3.2, 1.6, 0.4, 0.2, 0.9, 2.8], [None] * 6),
    ([None, None], [3.0, 4.0]),
    ([None, 5.0, 4.2, 6.1], [None] * 4),
    ([0.4], [7.0]),
    ([0.4], [0.0]),
    ([0.4, 0.3], [5.0, 6.0]),
    ([0.2, 0.2, 0.2, 0.2], [0.0] * 4),
    ([5.0, 0.2, 0.2, 0.2, 0.2, 0.2, 4.0], [None] * 7),
    ([5.1, 4.0, 3.1, 2.9, 3.6, 5.2, 6.0], [2.0, 4.1, 9.3, 11.7, 8.0, 3.5, 1.2]),
    # Rings, whose levels are low and whose contrast is too.
    ([8.0, 4.1, 0.9, 3.5, 7.0, 9.0, 0.6, 0.8], [3.0, 9.0, 31.0, 12.0, 5.0, 2.0, 1.5, 1.4]),
    # A plane of debris: its contrast is high, and its level too.
    ([6.0, 2.0, 0.4, 1.9, 5.0, 9.5, 9.0], [3.0, 8.0, 20.0, 9.0, 4.0, 30.0, 3.0]),
    # A bead in focus fills one patch of many, its rings fill more.
    ([6.0, 5.0, None, None, None, 5.5, 6.5], [1.0, 2.0, 30.0, 50.0, 35.0, 2.5, 1.0]),
    ([2.0, 0.1, None, 0.0, 2.5], [4.0, 10.0, None, 11.0, 3.0]),
    ([0.3, 0.2, 0.25, 0.3, 4.0], [10.0, 10.2, 10.1, 9.9, 3.0]),
    ([4.0, 0.2, 0.25, 0.2, 4.0, 5.0], [2.0, 10.0, 9.9, 9.8, 2.0, 1.0]),
    # A plane without numbers in the middle, and at the end.
    ([4.0, 1.0, 0.3, None, 0.4, 1.2, 4.1, None], [2.0, 7.0, 10.0, None, 9.8, 6.5, 2.2, None]),
    # A dim stack, of which one plane has content.
    ([None, None, None, 7.0, None], [0.488, 0.502, 0.499, 0.493, 0.495]),
    # The focus is at an end of the stack, or beside it.
    ([3.4, 2.4, 1.4, 0.42, 0.36], [110.0, 170.0, 280.0, 389.0, 420.0]),
    ([0.44, 0.40, 1.7, 3.2], [377.0, 395.0, 180.0, 90.0]),
    ([3.0, 0.9, None, 0.4, 1.3], [5.0, 8.0, None, 10.0, 7.0]),
    # Two layers.
    ([3.0, 0.4, 3.1, 4.0, 2.8, 0.3, 3.2], [4.0, 12.0, 4.0, 3.0, 4.5, 12.5, 4.0]),
]
# How many pixels of an image have which values, with the largest one of its type.
SATURATED = [
    (65535, {100: 50, 65535: 1}),
    (65535, {100: 50}),
    (65535, {0: 5000, 4095: 20}),
    (255, {value: 40 - value for value in range(32)}),
    (255, {**{value: 300 - 9 * value for value in range(30)}, 30: 170}),
    (65535, {**{16 * value: 3 for value in range(200)}, 3200: 14}),
    (65535, {**{16 * value: 3 for value in range(200)}, 3200: 16}),
    (65535, {**dict.fromkeys(range(200), 3), 210: 7}),
    (65535, {**dict.fromkeys(range(200), 1), 201: 8}),
]
# Statuses and expected levels of planes.
JUDGED = [
    ("in_focus", 0.9),
    ("out_of_focus", 4.9),
    ("mixed", 3.9),
    ("no_content", 4.0),
    ("no_content", math.nan),
    ("too_small", math.nan),
]
# Images that are rated. A drawn one has grains of four sizes, each the sums of random numbers over
# boxes (height, width) of pixels; "shear" moves each line by so many pixels against the one before,
# "jitter" by up to twice as many at random; "lines" and "noise" are offsets of lines and pixels,
# and "mean" is the mean. uint8 comes from 12 bits by >> 4. "blank" is y, x, height and width of
# what is empty, "limit" the lowest good score.
RATED = [
    {"drawn": [1, 1], "size": [256, 256]},
    {"drawn": [2, 2], "size": [600, 520], "type": "uint8"},
    {"drawn": [2, 2], "size": [600, 520], "seed": 2, "noise": 30, "limit": 0.9},
    {"drawn": [4, 4], "size": [300, 260], "type": "float32"},
    {"drawn": [6, 2], "size": [256, 512], "type": "float32"},
    {"drawn": [2, 6], "size": [512, 256]},
    {"drawn": [6, 2], "size": [256, 256], "shear": 1},
    {"drawn": [6, 2], "size": [256, 256], "shear": -1},
    {"drawn": [2, 2], "size": [256, 256], "lines": 120},
    {"drawn": [2, 2], "size": [256, 256], "jitter": 3},
    {"drawn": [1, 1], "size": [256, 256], "noise": 150, "limit": 0.3},
    {"drawn": [2, 2], "size": [128, 200], "noise": 10},
    # Without structure by its spectrum; whether it is blank, its noise tells.
    {"drawn": [1, 1], "size": [160, 200], "noise": 250},
    {"drawn": [2, 2], "size": [330, 223], "noise": 20, "type": "uint8"},
    {"drawn": [3, 3], "size": [161, 161], "mean": 700, "spoil": "clip"},
    {"drawn": [2, 2], "size": [127, 300]},
    {"drawn": [2, 2], "size": [300, 300], "spoil": "constant"},
    {"drawn": [2, 2], "size": [512, 512], "noise": 5, "blank": [0, 200, 300, 312]},
    {"drawn": [2, 2], "size": [512, 512], "noise": 5, "type": "uint8", "blank": [0, 0, 512, 512]},
    {"drawn": [2, 2], "size": [300, 300], "type": "float32", "spoil": "nan"},
    {"drawn": [2, 2], "size": [512, 512], "mask": [0, 0, 600]},
    {"drawn": [2, 2], "size": [512, 512], "type": "float32", "mask": [0, 0, 400]},
    {"file": "A01_s1_dna.tif"},
    {"file": "B01_s1_actin.tif", "type": "uint8"},
    {"file": "B03_s1_dna_stack.tif", "plane": 0},
]
# Of the same, with patches that are looked at, each in a stratum of its own.
SAMPLED = [
    (
        {"drawn": [2, 2], "size": [600, 1100], "noise": 10},
        [[17, 401], [300, 3], [9, 800], [344, 620], [150, 100], [200, 844]],
    ),
    (
        {"drawn": [2, 2], "size": [1100, 600], "noise": 10, "type": "uint8"},
        [[300, 3], [800, 344], [5, 340], [560, 100], [30, 8], [844, 0]],
    ),
    (
        {"drawn": [3, 3], "size": [1100, 1100], "mean": 700, "seed": 4, "spoil": "clip"},
        [
            *([5, 11], [70, 588], [560, 333], [30, 300], [800, 20], [840, 844]),
            *([411, 12], [410, 800], [260, 500], [700, 610], [120, 700], [640, 240]),
        ],
    ),
]
# Patches with ever less structure in their noise, on either side of the limit.
FAINT = [
    {"drawn": [2, 2], "size": [side, side], "noise": noise, "mean": 1500}
    for side in (128, 160, 256)
    for noise in range(225, 500, 50)
]
# Outputs of raters, of which components and causes come.
SEEN = [
    [1, 0, 0, 0, -4, 0, 0],
    [0.6, 2.1, 0.0, 0.01, -1.2, 0.1, 0.05],
    [0.4, 2.1, -0.6, 0.3, -1.2, 0.1, 0.05],
    [0.4, 2.1, 0.2, -0.9, -1.2, 0.1, 0.05],
    [0.5, 0.4, 0.01, 0.02, 0.1, 0.1, 0.05],
    [0.5, 0.4, -0.01, 0.0, -1.0, 3.0, 0.3],
    [0.5, 0.4, 0.0, -0.01, -1.0, 0.4, 2.5],
    [-0.2, 9.0, 0.3, 0.3, 5.0, 40.0, -1.0],
    [1.3, -0.3, 0.3, 0.0, -5.0, -1.0, 0.0],
    [math.nan] * 7,
]


def image(recipe):
    """The image of a recipe, and its mask or None."""
    pixels = drawn(recipe) if "drawn" in recipe else tifffile.imread(SAMPLE / recipe["file"])
    if pixels.ndim == 3:
        pixels = pixels[recipe["plane"]]
    top, left, height, width = recipe.get("crop", [0, 0, *pixels.shape])
    pixels = pixels[top : top + height, left : left + width]
    y, x = np.mgrid[:height, :width]
    if recipe.get("spoil") == "clip":
        pixels = np.minimum(pixels, 1023).astype(np.uint16)
    elif recipe.get("spoil") == "shift":
        pixels = (np.minimum(pixels, 600) << 4).astype(np.uint16)
    elif recipe.get("spoil") == "constant":
        pixels = np.full(pixels.shape, 7, np.uint16)
    if "inside" in recipe:
        pixels = np.where(_disc(recipe["inside"], y, x), pixels, 0).astype(np.uint16)
    kind = recipe.get("type", "uint16")
    if kind == "uint8":
        pixels = np.minimum(pixels >> (4 if "drawn" in recipe else 2), 255).astype(np.uint8)
    elif kind == "float32":
        pixels = (pixels / np.float32(4096)).astype(np.float32)
    elif kind == "luminance":
        red, green, blue = (np.minimum(pixels >> n, 255).astype(np.float32) for n in (2, 3, 4))
        grey = np.float32(0.2126) * red + np.float32(0.7152) * green + np.float32(0.0722) * blue
        pixels = np.rint(grey).astype(np.uint8)
    if recipe.get("spoil") == "nan":
        pixels = np.where((31 * y + 17 * x) % 101 == 0, np.float32("nan"), pixels)
    mask = None
    if "mask" in recipe:
        mask = _disc(recipe["mask"], y, x)
    elif "above" in recipe:
        mask = pixels > recipe["above"]
    elif "below" in recipe:
        mask = pixels < recipe["below"]
    return pixels, mask


def drawn(recipe):
    """An image of 12 bits that is drawn by whole numbers alone."""
    (height, width), (tall, wide) = recipe["size"], recipe["drawn"]
    seed, shear, jitter = (recipe.get(name, 0) for name in ("seed", "shear", "jitter"))
    y, x = np.mgrid[:height, :width]
    texture = np.zeros((height, width + abs(shear) * height + 2 * jitter), np.int64)
    for size in (1, 2, 4, 8):
        down, across = tall * size, wide * size
        rows, columns = texture.shape[0] + down - 1, texture.shape[1] + across - 1
        grains = _grains(np.arange(rows)[:, np.newaxis], np.arange(columns), 16 * seed + size)
        sums = np.pad(grains.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        boxes = sums[down:, across:] - sums[:-down, across:] - sums[down:, :-across]
        boxes += sums[:-down, :-across] - 128 * down * across
        texture += boxes // math.isqrt(down * across)
    moved = _grains(y, 7, 16 * seed + 3) % (2 * jitter + 1)
    moved = x + shear * y + moved + (height * -shear if shear < 0 else 0)
    values = recipe.get("mean", 2048) + 4 * texture[y, moved]
    values += (_grains(y, 9, 16 * seed + 5) - 128) * recipe.get("lines", 0) // 16
    values += (_grains(y, x, 16 * seed + 6) - 128) * recipe.get("noise", 0) // 16
    top, left, tall, wide = recipe.get("blank", (0, 0, 0, 0))
    empty = (y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)
    values = np.where(empty, 3000 + _grains(y, x, 16 * seed + 7) // 16, values)
    return np.clip(values, 0, 4095).astype(np.uint16)


def _grains(y, x, seed):
    """Numbers from 0 to 255 without order, the same each time."""
    y, x, seed = (np.asarray(value).astype(np.uint32) for value in (y, x, seed))
    mixed = y * np.uint32(73856093) ^ x * np.uint32(19349663) ^ seed * np.uint32(83492791)
    mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    mixed = (mixed ^ (mixed >> np.uint32(12))) * np.uint32(0x297A2D39)
    return ((mixed ^ (mixed >> np.uint32(15))) & np.uint32(255)).astype(np.int64)


def _disc(disc, y, x):
    middle_y, middle_x, radius = disc
    return (y - middle_y) ** 2 + (x - middle_x) ** 2 < radius**2


def settings(recipe):
    optics = Optics.from_dict(recipe["optics"]) if "optics" in recipe else None
    return {"optics": optics, "rescale": recipe.get("rescale", "auto")}


def plain(value):
    """As JSON has it: to 7 decimals, which float32 has no more of; NaN and infinity are null."""
    if isinstance(value, np.ndarray):
        return [plain(entry) for entry in value]
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, (float, np.floating)):
        return round(float(value), 7) + 0.0 if math.isfinite(value) else None
    if isinstance(value, np.integer):
        return int(value)
    return value


def of_model(model):
    """All that a model gives."""
    cases = []
    for recipe in CASES:
        pixels, mask = image(recipe)
        limit = recipe.get("in_focus_limit", 1.5)
        result = measure_focus(pixels, model, mask=mask, in_focus_limit=limit, **settings(recipe))
        row = result.to_row()
        row.update(
            message=result.message,
            product_probabilities=result.product_probabilities,
            patch_size_px=result.patch_size_px,
            patch_positions=result.patch_positions,
            patch_levels=result.patch_levels,
            patch_certainties=result.patch_certainties,
            patch_probabilities=result.patch_probabilities,
        )
        cases.append({"image": recipe, "result": plain(row)})
    points = []
    for recipe in POINTS:
        pixels, mask = image(recipe)
        found = measure_at(pixels, recipe["points"], model, mask=mask, **settings(recipe))
        points.append({"image": recipe, "result": plain(dataclasses.asdict(found))})
    stack = measure_stack(tifffile.imread(SAMPLE / STACK), model)
    return {
        "cases": cases,
        "points": points,
        "stack": plain(
            {
                "best_plane": stack.best_plane,
                "best_position": stack.best_position,
                "expected_level": stack.expected_level,
                "status": stack.status,
                "expected_levels": [result.expected_level for result in stack.results],
            }
        ),
    }


def without_model():
    """All that no model has a part in."""
    recipe = {"file": "A01_s1_dna.tif", "crop": [100, 100, 84, 84], "mask": [40, 40, 40]}
    pixels, mask = image(recipe)
    zscores = []
    for kind in ("zscore", "type_range"):
        for masks in (None, mask[np.newaxis]):
            values, counts = normalise(pixels[np.newaxis], kind, masks=masks)
            zscores.append(
                {
                    "normalisation": kind,
                    "masked": masks is not None,
                    "counts": bool(counts[0]),
                    "every_97th": plain(values.ravel()[::97]),
                }
            )
    saturated = []
    for maximum, counts in SATURATED:
        tops = TopValues()
        tops.add(np.repeat(list(counts), list(counts.values())))
        found = tops.saturated(np.dtype(np.uint8 if maximum == 255 else np.uint16))
        saturated.append({"maximum": maximum, "counts": counts, "saturated": found})
    empty = measure_focus(np.zeros((84, 84)))
    stacks = []
    for levels, contrasts in CURVES:
        certainties = [(k % 4) / 4 for k in range(len(levels))]
        planes = [
            dataclasses.replace(
                empty,
                status="no_content" if level is None else "out_of_focus",
                expected_level=math.nan if level is None else level,
                certainty=certainty_of_plane,
                contrast=math.nan if contrast is None else contrast,
            )
            for level, certainty_of_plane, contrast in zip(levels, certainties, contrasts)
        ]
        found = best_plane(planes)
        stacks.append(
            {
                "expected_levels": levels,
                "certainties": certainties,
                "contrasts": contrasts,
                "best_plane": found.best_plane,
                "position": plain(found.best_position),
            }
        )
    distributions = [
        [1.0, 0.0, 0.0],
        [1 / 3, 1 / 3, 1 / 3],
        [0.2, 0.4, 0.4],
        [1e-30, 0.5, 0.5],
        [0.25, 0.25, 0.25, 0.25],
    ]
    numbers = [0.0, 1.0, -2.5, 0.00001234, 123456.5, 1234567.0, 0.1, 1e-300, 99999.95, 2.5e20]
    ramp = [(level, sure) for level in range(11) for sure in (0.0, 0.3, 1.0)]
    return {
        "positions": [
            {"height": h, "width": w, "positions": plain(tiles.positions(h, w, 84))}
            for h, w in ([83, 84], [84, 84], [85, 168], [169, 300], [1, 1], [252, 90])
        ],
        "normalised": {"image": recipe, "patches": zscores},
        "saturated": saturated,
        "sure_by_chance": {str(n): sure_by_chance(n) for n in (0, 1, 10, 20, 148, 149, 625, 40000)},
        "stacks": stacks,
        "distributions": [
            {
                "p": plain(p),
                "certainty": plain(certainty.certainty(np.array(plain(p)))),
                "level": plain(certainty.level(np.array(plain(p)))),
                "expected_level": plain(certainty.expected_level(np.array(plain(p)))),
            }
            for p in distributions
        ],
        "judged_levels": [
            {
                "status": status,
                "expected_level": plain(expected),
                "judged_level": judged_level(status, expected),
            }
            for status, expected in JUDGED
        ],
        "numbers": [{"value": n, "6": f"{n:.6g}", "3": f"{n:.3g}"} for n in numbers],
        "colours": [
            {"level": level, "certainty": sure, "rgb": plain(colour)}
            for level, sure in ramp
            for colour in [_colour(level, sure)]
        ],
        "defocus": [
            {"optics": values, "blur_diameter_px": blur, "defocus_um": plain(defocus)}
            for values in (FINE, COARSE, OIL, STEEP, FLAT)
            for blur in (0.0, 0.3, 4.0, 7.0, 15.4, 30.8, 61.6, 1000.0)
            for defocus in [Optics.from_dict(values).defocus_um(blur)]
        ],
    }


def of_rater(model):
    """All that a rater gives."""
    cases = [{"image": recipe, "result": _rating(recipe, model)} for recipe in RATED]
    sampled = [
        {"image": recipe, "result": _rating(recipe, model, positions)}
        for recipe, positions in SAMPLED
    ]
    return {"cases": cases, "sampled": sampled}


def _rating(recipe, model, positions=None):
    pixels, mask = image(recipe)
    limit = recipe.get("limit", components.LOWEST_GOOD_SCORE)
    if mask is not None:
        pixels = np.ma.MaskedArray(pixels, ~mask)
    if positions is None:
        result = rate_image(pixels, model, score_limit=limit)
    else:
        result = _rated_at(positions, pixels, model, limit)
    return plain(
        {
            **result.to_row(),
            "message": result.message,
            "outputs": result.outputs,
            "spreads": result.spreads,
            "patch_size_px": result.patch_size_px,
            "patch_positions": result.patch_positions,
            "patch_outputs": result.patch_outputs,
            "patch_spreads": result.patch_spreads,
            "patch_scores": result.patch_scores,
            "patch_score_spreads": result.patch_score_spreads,
        }
    )


def _rated_at(positions, pixels, model, limit):
    """What `rate_image` gives when these are the patches that it draws."""
    source = rater._Source(pixels)
    side = model.side_for(*pixels.shape)
    parts = [source.read(slice(y, y + side), slice(x, x + side)) for y, x in positions]
    for part in parts:
        source.count(part)
    rated = rater._rate(model, np.stack(parts))
    looked = rater._Looked(np.array(positions), np.arange(len(positions)), rated)
    number = len(positions) // rater.PLACE_PATCHES
    return rater._result(looked, model, source, side, number, limit)


def without_rater():
    """What no rater has a part in."""
    described, blank = [], []
    for recipe in [*RATED, *FAINT]:
        pixels = image(recipe)[0]
        side = min(256, *(length // 32 * 32 for length in pixels.shape))
        patch = pixels[np.newaxis, :side, :side]
        if side < 128 or not np.isfinite(patch).all():
            continue
        blank.append({"image": recipe, "side": side, "is_blank": bool(blank_patches(patch)[0])})
        normalised, counts = zscore(patch)
        if counts[0] and recipe in RATED:
            found = plain(descriptors(normalised)[0])
            described.append({"image": recipe, "side": side, "descriptors": found})
    seen = []
    for outputs in SEEN:
        found = components_of(np.array(outputs))
        cause, action = cause_of(found)
        score = float(components.scores_of(np.array(outputs)))
        entry = {**dataclasses.asdict(found), "score": score, "cause": cause, "action": action}
        seen.append({"outputs": plain(outputs), **plain(entry)})
    values = [0.4, 0.5, math.nan, 0.45, 0.8, 0.7, math.nan, 0.1, 0.3, 0.6, 0.2, 0.9]
    strata = [0, 0, 1, 3, 3, 4, 5, 6, 7, 8, 9, 10]
    means = rater._means_of(np.array(values), np.array(strata))
    sizes = [(100, 200, 7), (5000, 300, 9), (1, 1, 1), (3000, 3000, 27), (3, 900, 20), (90, 4, 11)]
    return {
        "descriptors": described,
        "blank": blank,
        "components": seen,
        "strata": [
            {"height": h, "width": w, "number": n, "strata": rater._strata(h, w, n)}
            for h, w, n in sizes
        ],
        "means": {
            "scores": plain(values),
            "strata": strata,
            "means": plain(means),
            "variance_of_mean": plain(rater._variance_of_mean(means)),
        },
        "colours": [
            {"score": score, "rgb": plain(overlay.score_colours(np.array([score]))[0].astype(int))}
            for score in (0.1, 0.14, 0.235, 0.5, 0.62, 0.99, 1.0)
        ],
    }


def faults():
    """What the plugin knows of components."""
    return {
        "lowest_good_score": components.LOWEST_GOOD_SCORE,
        "least_blur_px": components.LEAST_BLUR_PX,
        "least_elongation": components.LEAST_ELONGATION,
        "least_loss": components._LEAST_LOSS,
        "line_noise_unit": components._LINE_NOISE_UNIT,
        "jitter_unit_px": components._JITTER_UNIT_PX,
        "actions": components.ACTIONS,
        "lost": components._LOST,
    }


def blank_limits():
    """The limits by which the plugin tells blank patches, by their side."""
    return {str(side): plain(acquisition._look(side, side).limits) for side in range(64, 1025, 32)}


def half_light():
    """Blur diameters, in λ/NA, by the cosine of the pupil's angle and by those of rays alone."""
    geometric = [*np.arange(0, 3, 0.1), *np.arange(3, 20, 0.5), *np.arange(20, 41, 2.0), 80.0]
    cosines = np.linspace(0, 1, 11)
    # Neither a right angle nor none can be computed, and both are nearly reached.
    sines = np.clip(np.sqrt(1 - cosines**2), 1e-3, 1 - 1e-9)
    slopes = 2 * math.sqrt(2) * np.tan(np.arcsin(sines / math.sqrt(2)))
    return {
        "geometric": np.round(geometric, 1).tolist(),
        "cosines": np.round(cosines, 1).tolist(),
        "blurs": [
            np.round(blur_of_defocus(sine, np.array(geometric) / slope), 4).tolist()
            for sine, slope in zip(sines, slopes)
        ],
    }


def _colour(level, sure):
    # The legend has it: certainties from 1 to 0 downwards, levels to the right.
    picture = overlay.legend(101)
    return picture[round(100 * (1 - sure)), int((level + 0.5) * picture.shape[1] / 11)].astype(int)


def write_layers(folder):
    """A small model with all kinds of layers and the other normalisation; it learned nothing."""
    generator = np.random.default_rng(5)

    def conv(name, before, filters, size, stride, activation):
        layer = {"kind": "conv2d", "name": name, "filters": filters, "size": size}
        shape = (size, size, before, filters)
        weights[f"{name}/kernel"] = generator.normal(0, (size * size * before) ** -0.5, shape)
        weights[f"{name}/bias"] = generator.normal(0, 0.1, filters)
        return {**layer, "stride": stride, "activation": activation}

    def dense(name, before, units, activation):
        weights[f"{name}/kernel"] = generator.normal(0, 4 * before**-0.5, (before, units))
        weights[f"{name}/bias"] = generator.normal(0, 0.1, units)
        return {"kind": "dense", "name": name, "units": units, "activation": activation}

    weights = {}
    layers = (
        conv("conv1", 1, 5, 5, 2, "relu"),
        {"kind": "max_pool", "size": 2},
        conv("conv2", 5, 6, 2, 1, "linear"),
        conv("conv3", 6, 4, 3, 3, "softmax"),
        {"kind": "flatten"},
        dense("dense1", 196, 7, "relu"),
        dense("dense2", 7, 5, "softmax"),
    )
    # Images of 12 bits in 16 are dark.
    weights["conv1/kernel"] *= 60
    weights["conv3/kernel"] *= 3
    description = ModelDescription(
        name="layers",
        task=FOCUS,
        architecture="layers",
        patch_size=84,
        normalisation="type_range",
        details=FocusTask(levels=5, optics=TRAINING_OPTICS, sure_certainty=0.2),
        layers=layers,
        licences=("none: made of random numbers",),
    )
    write_model(folder, description, weights)


def write_rater(folder):
    """A small rater with a lab's own score; it learned nothing, but gives numbers as one does."""
    generator = np.random.default_rng(7)
    n, units = len(OUTPUTS), 12
    patches = np.concatenate(
        [zscore(image(recipe)[0][np.newaxis, :128, :128])[0] for recipe in RATED[:12]]
    )
    seen = descriptors(patches).astype(np.float64)
    # As training does it, what is seen is brought to mean 0 and deviation 1 by the first layer.
    kernel = generator.normal(0, 1, (seen.shape[1], units)) / math.sqrt(seen.shape[1])
    kernel /= (seen.std(axis=0) + 0.1)[:, np.newaxis]
    bias = -seen.mean(axis=0) @ kernel
    hidden = np.maximum(seen @ kernel + bias, 0)
    readout = generator.normal(0, 1, (units, 2 * n)) / (hidden.std(axis=0) + 0.1)[:, np.newaxis]
    readout *= np.array([0.15, 0.5, 0.3, 0.3, 0.3, 0.3, 0.3] + [0.1] * n) / 3
    wanted = np.array([0.6, 1.2, 0, 0, -0.8, 0.8, 0.6] + [-2.0] * n)
    weights = {
        "hidden/kernel": kernel,
        "hidden/bias": bias,
        "outputs/kernel": readout,
        "outputs/bias": wanted - hidden.mean(axis=0) @ readout,
    }
    bends = 4
    own = OwnScore(
        np.linspace(-0.5, 1, n),
        np.linspace(0.3, 1.2, n),
        generator.normal(0, 1, (n + 1, bends)),
        np.concatenate([[0.55], generator.normal(0, 0.04, n + bends)]),
        spread=0.07,
    )
    details = RatingTask(
        spread_factors=tuple(np.linspace(0.8, 1.4, n)),
        shared_errors=tuple(np.linspace(0.1, 0.7, n)),
        own_score={"spread": own.spread, "labels": {}},
    )
    description = ModelDescription(
        name="rater",
        task=RATING,
        architecture="spectral",
        patch_size=256,
        normalisation="zscore",
        details=details.to_dict(),
        layers=(
            {"kind": "descriptors"},
            {"kind": "dense", "name": "hidden", "units": units, "activation": "relu"},
            {"kind": "dense", "name": "outputs", "units": 2 * n, "activation": "linear"},
        ),
        licences=("none: made of random numbers",),
    )
    write_model(folder, description, {**weights, **own.weights()})


def models():
    """The folders of the models that the plugin is held to."""
    return {**_of_task(FOCUS), "layers": VECTORS / "layers"}


def raters():
    """Likewise of those that rate."""
    return {**_of_task(RATING), "rater": VECTORS / "rater"}


def _of_task(task):
    return {
        name: folder
        for name, folder in available_models().items()
        if read_description(folder).task == task
    }


def make():
    """The content of each file, by its name."""
    made = {"without_model": without_model(), "without_rater": without_rater()}
    for name, folder in models().items():
        made[name] = of_model(FocusModel.from_pretrained(folder))
    for name, folder in raters().items():
        made[name] = of_rater(RatingModel.from_pretrained(folder))
    return made


def text(content):
    """JSON with a line for each entry."""
    lines = []
    for key, value in content.items():
        if isinstance(value, list):
            entries = ",\n".join(f"  {json.dumps(entry, allow_nan=False)}" for entry in value)
            lines.append(f"{json.dumps(key)}: [\n{entries}\n]")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    VECTORS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as beside:
        for name, write in (("layers", write_layers), ("rater", write_rater)):
            write(Path(beside) / name)
            shutil.copytree(Path(beside) / name, VECTORS / name, dirs_exist_ok=True)
    for name, content in make().items():
        (VECTORS / f"{name}.json").write_text(text(content), encoding="utf-8")
    HALF_LIGHT.parent.mkdir(parents=True, exist_ok=True)
    HALF_LIGHT.write_text(text(half_light()), encoding="utf-8")
    COMPONENTS.write_text(text(faults()), encoding="utf-8")
    BLANK_LIMITS.write_text(text(blank_limits()), encoding="utf-8")
