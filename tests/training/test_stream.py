"""The training stream: reproducible, physically right, and with the labels that it claims."""

import numpy as np
import pytest
import tifffile

from microscope_quality.errors import SettingsError
from microscope_quality.simulate import nuclei
from microscope_quality.training.stream import (
    BlockMaker,
    NormalNoise,
    SharpImage,
    StreamSettings,
    blocks,
    digitise,
    empty_patch,
    photoelectrons,
)

QUIET = StreamSettings(
    photons=(20_000, 20_000),
    background=(0.02, 0.02),
    read_noise=(1, 1),
    empty_fraction=0,
    transmitted_fraction=0,
    shrink_fraction=0,
    eight_bit_fraction=0,
    saturated_fraction=0,
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharp")
    made = []
    for seed in range(3):
        path = folder / f"{seed}.tif"
        light = nuclei((300, 320), 60, seed)
        tifffile.imwrite(path, (light * 3000 + 100).astype(np.uint16))
        made.append(SharpImage(str(path), kind="nuclei", field=str(seed)))
    return made


def test_a_block_depends_on_its_number_and_seed_alone(images):
    maker = BlockMaker(images, StreamSettings(), seed=5, block_size=64)
    maker.block(0)
    patches, targets = maker.block(7)
    fresh = BlockMaker(images, StreamSettings(), seed=5, block_size=64)
    again, same = fresh.block(7)
    np.testing.assert_array_equal(patches, again)
    np.testing.assert_array_equal(targets, same)
    other, _ = BlockMaker(images, StreamSettings(), seed=6, block_size=64).block(7)
    assert np.abs(patches - other).max() > 1


def test_workers_make_the_same_blocks_in_order(images):
    here = blocks(images, StreamSettings(), seed=1, block_size=48, first=3, workers=0)
    there = blocks(images, StreamSettings(), seed=1, block_size=48, first=3, workers=2)
    try:
        for _ in range(3):
            for one, other in zip(next(here), next(there)):
                np.testing.assert_array_equal(one, other)
    finally:
        there.close()


def test_patches_are_normalised_and_targets_are_distributions(images):
    settings = StreamSettings(empty_fraction=0.5)
    patches, targets = BlockMaker(images, settings, 0, 200).block(0)
    assert patches.shape == (200, 84, 84)
    assert patches.dtype == targets.dtype == np.float32
    np.testing.assert_allclose(patches.mean(axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(patches.std(axis=(1, 2)), 1, atol=1e-3)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    empty = targets.max(axis=1) < 1
    assert 70 < empty.sum() < 130
    np.testing.assert_allclose(targets[empty], 1 / 11)


def test_a_higher_level_has_less_fine_detail(images):
    patches, targets = BlockMaker(images, QUIET, 0, 600).block(0)
    levels = targets.argmax(axis=1)
    detail = np.abs(np.diff(patches, axis=2)).mean(axis=(1, 2))
    medians = [np.median(detail[levels == level]) for level in range(11)]
    # Beyond level 4 what is left of the detail is noise.
    assert np.all(np.diff(medians[:5]) < 0)
    assert set(levels) == set(range(11))


def test_type_range_keeps_gain_and_offset_and_stays_in_range(images):
    settings = StreamSettings(normalisation="type_range", gain=(0.2, 5), offset=(1, 1000))
    patches, _ = BlockMaker(images, settings, 0, 100).block(0)
    assert patches.min() >= 0
    assert patches.max() <= 1
    means = patches.mean(axis=(1, 2))
    assert means.max() > 5 * means.min()


@pytest.mark.parametrize("expected", [0.3, 3.9, 4.1, 12.0, 150.0])
def test_photoelectrons_have_the_moments_of_poisson(expected):
    rng = np.random.default_rng(0)
    counts = np.concatenate(
        [
            photoelectrons(rng, NormalNoise(rng), np.full((500, 500), expected)).ravel()
            for _ in range(4)
        ]
    ).astype(np.float64)
    n = counts.size
    assert np.all(counts == np.rint(counts))
    assert abs(counts.mean() - expected) < 5 * np.sqrt(expected / n) + 0.003
    assert counts.var() == pytest.approx(expected, rel=0.03)
    skewness = ((counts - counts.mean()) ** 3).mean() / counts.std() ** 3
    assert skewness == pytest.approx(1 / np.sqrt(expected), abs=0.04)


def test_grey_levels_are_whole_and_in_range():
    rng = np.random.default_rng(1)
    normal = NormalNoise(rng)
    electrons = rng.uniform(0, 5000, (84, 84)).astype(np.float32)
    few = digitise(rng, normal, electrons, StreamSettings(eight_bit_fraction=1))
    many = digitise(rng, normal, electrons, StreamSettings(eight_bit_fraction=0))
    assert len(np.unique(few)) <= 256
    assert few.max() <= 255
    assert len(np.unique(many)) > 1000
    for grey in (few, many):
        np.testing.assert_array_equal(grey, np.rint(grey))
        assert grey.min() >= 0


def test_empty_patches_have_no_structure():
    rng = np.random.default_rng(2)
    settings = StreamSettings()
    correlations = []
    for _ in range(200):
        patch = empty_patch(rng, NormalNoise(rng), settings)
        assert patch.shape == (84, 84)
        rows, columns = np.mgrid[-1:1:84j, -1:1:84j]
        terms = [np.ones_like(rows), rows, columns, rows**2, columns**2, rows * columns]
        design = np.stack([term.ravel() for term in terms], axis=1)
        flat = patch.ravel().astype(np.float64)
        rest = (flat - design @ np.linalg.lstsq(design, flat, rcond=None)[0]).reshape(84, 84)
        if rest.std() > 0:
            correlations.append((rest[:-8, :-8] * rest[8:, 8:]).mean() / rest.var())
    # What is left after a smooth background is uncorrelated over the distance of a level's blur.
    assert np.abs(np.median(correlations)) < 0.02
    assert np.mean(np.abs(correlations) < 0.15) > 0.9


def test_no_images_is_refused():
    with pytest.raises(SettingsError, match="at least one sharp image"):
        BlockMaker([], StreamSettings(), 0, 10)
