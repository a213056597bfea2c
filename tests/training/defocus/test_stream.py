"""The training stream: reproducible, physically right, and with the labels that it claims."""

import dataclasses
import multiprocessing
import os
import signal
import sys

import numpy as np
import pytest
import tifffile

from microscope_quality.degrade import defocus_varying, tilted_levels, vignette
from microscope_quality.errors import SettingsError
from microscope_quality.normalisation import normalise
from microscope_quality.simulate import nuclei
from microscope_quality.training.blocks import AHEAD
from microscope_quality.training.defocus.empties import empty_patch
from microscope_quality.training.defocus.exposure import NormalNoise
from microscope_quality.training.defocus.microscope import Microscope
from microscope_quality.training.defocus.stream import (
    BROAD,
    SharpBlocks,
    SharpImage,
    StreamSettings,
    stream_for,
    target_of,
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
    maker = SharpBlocks(images, StreamSettings(), seed=5, block_size=64)
    maker.block(0)
    patches, targets = maker.block(7)
    fresh = SharpBlocks(images, StreamSettings(), seed=5, block_size=64)
    again, same = fresh.block(7)
    np.testing.assert_array_equal(patches, again)
    np.testing.assert_array_equal(targets, same)
    other, _ = SharpBlocks(images, StreamSettings(), seed=6, block_size=64).block(7)
    assert np.abs(patches - other).max() > 1


def test_streams_of_a_seed_have_nothing_in_common(images):
    drawn = [
        SharpBlocks(images, QUIET, 5, 48, stream=stream).block(index)[0]
        for stream in (0, 1, 2)
        for index in (0, 1)
    ]
    for number, one in enumerate(drawn):
        for other in drawn[:number]:
            assert np.abs(one - other).max(axis=(1, 2)).min() > 0.1


def test_stream_0_draws_by_seed_and_number_alone(images):
    settings = dataclasses.replace(QUIET, empty_fraction=1)
    rng = np.random.default_rng((5, 3))
    normal = NormalNoise(rng)
    rng.random(10)
    expected, _ = normalise(
        np.stack([empty_patch(rng, normal, settings) for _ in range(10)]), "zscore", type_max=65535
    )
    for maker in (
        SharpBlocks(images, settings, 5, 10),
        SharpBlocks(images, settings, 5, 10, stream=0),
    ):
        np.testing.assert_array_equal(maker.block(3)[0], expected)


def test_aberrations_are_drawn_for_each_stream(images):
    settings = dataclasses.replace(QUIET, microscope=Microscope(astigmatism_waves=(0, 0.1)))
    drawn = [set(SharpBlocks(images, settings, 5, 1, stream=n)._views) for n in (0, 1)]
    assert drawn[0].isdisjoint(drawn[1])


@pytest.mark.long
def test_workers_make_the_same_blocks_in_order(images):
    arguments = dict(seed=1, block_size=48, first=3, stream=2)
    here = SharpBlocks.blocks(images, StreamSettings(), workers=0, **arguments)
    there = SharpBlocks.blocks(images, StreamSettings(), workers=2, **arguments)
    try:
        for _ in range(3):
            for one, other in zip(next(here), next(there)):
                np.testing.assert_array_equal(one, other)
    finally:
        there.close()


@pytest.mark.skipif(sys.platform == "win32", reason="another signal there")
def test_workers_leave_an_interrupt_to_their_parent(images):
    before = set(multiprocessing.active_children())
    made = SharpBlocks.blocks(images, QUIET, seed=1, block_size=8, workers=1)
    try:
        next(made)
        (worker,) = set(multiprocessing.active_children()) - before
        os.kill(worker.pid, signal.SIGINT)
        # More than were under way.
        for _ in range(AHEAD + 2):
            next(made)
        assert worker.is_alive()
    finally:
        made.close()


def test_patches_are_normalised_and_targets_are_distributions(images):
    settings = StreamSettings(empty_fraction=0.5)
    patches, targets = SharpBlocks(images, settings, 0, 200).block(0)
    assert patches.shape == (200, 84, 84)
    assert patches.dtype == targets.dtype == np.float32
    np.testing.assert_allclose(patches.mean(axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(patches.std(axis=(1, 2)), 1, atol=1e-3)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    empty = targets.max(axis=1) < 1
    assert 70 < empty.sum() < 130
    np.testing.assert_allclose(targets[empty], 1 / 11)


def test_a_higher_level_has_less_fine_detail(images):
    patches, targets = SharpBlocks(images, QUIET, 0, 600).block(0)
    levels = targets.argmax(axis=1)
    detail = np.abs(np.diff(patches, axis=2)).mean(axis=(1, 2))
    medians = [np.median(detail[levels == level]) for level in range(11)]
    # Beyond level 3 what is left of the detail is noise.
    assert np.all(np.diff(medians[:4]) < 0)
    assert set(levels) == set(range(11))


def test_type_range_keeps_gain_and_offset_and_stays_in_range(images):
    settings = StreamSettings(normalisation="type_range", gain=(0.2, 5), offset=(1, 1000))
    patches, _ = SharpBlocks(images, settings, 0, 100).block(0)
    assert patches.min() >= 0
    assert patches.max() <= 1
    means = patches.mean(axis=(1, 2))
    assert means.max() > 5 * means.min()


@pytest.mark.long
@pytest.mark.parametrize(
    "microscope",
    [
        Microscope(tilt_levels=(0, 6)),
        Microscope(vignetting=(0.2, 0.9), saturation=(0, 0.1)),
        Microscope(spherical_waves=(0.1, 0.1), tilt_levels=(2, 4)),
    ],
    ids=["tilt", "vignetting and saturation", "spherical aberration and tilt"],
)
def test_a_microscope_with_faults_has_its_stream_too(images, microscope):
    settings = dataclasses.replace(QUIET, microscope=microscope)
    maker = SharpBlocks(images, settings, 3, 300)
    patches, targets = maker.block(1)
    maker.block(0)
    np.testing.assert_array_equal(patches, maker.block(1)[0])
    ideal, _ = SharpBlocks(images, QUIET, 3, 300).block(1)
    assert np.abs(patches - ideal).max() > 1
    np.testing.assert_array_equal(np.sort(targets, axis=1)[:, -1], 1)
    levels = targets.argmax(axis=1)
    detail = np.abs(np.diff(patches, axis=2)).mean(axis=(1, 2))
    assert np.median(detail[levels < 2]) > 1.1 * np.median(detail[levels > 4])
    assert set(levels) == set(range(11))


def test_the_patches_of_a_region_are_saturated_alike(images):
    settings = dataclasses.replace(QUIET, microscope=Microscope(saturation=(0.05, 0.3)))
    shares = []
    for index in range(3):
        # As many as one region gives.
        patches, _ = SharpBlocks(images, settings, 2, 20).block(index)
        saturated = patches == patches.max(axis=(1, 2), keepdims=True)
        shares.append(saturated.mean(axis=(1, 2)))
    assert np.ptp(shares, axis=1).max() < 0.01
    assert np.ptp(np.median(shares, axis=1)) > 0.02
    assert np.median(shares, axis=1).min() >= 0.05
    assert np.median(shares, axis=1).max() <= 0.31


def test_empty_patches_are_not_saturated_by_the_microscope(images):
    settings = dataclasses.replace(QUIET, empty_fraction=1)
    saturating = dataclasses.replace(settings, microscope=Microscope(saturation=(0.3, 0.4)))
    patches, _ = SharpBlocks(images, settings, 2, 20).block(0)
    np.testing.assert_array_equal(SharpBlocks(images, saturating, 2, 20).block(0)[0], patches)


def one_region(settings, images, seed):
    maker = SharpBlocks(images, settings, seed, 1)
    return maker, maker._region(np.random.default_rng(seed))


@pytest.mark.parametrize("shrink", [(1.0, 1.0), (0.7, 0.7)])
def test_a_patch_lies_in_its_field_as_in_a_whole_image(images, shrink):
    microscope = Microscope(tilt_levels=(7, 7), vignetting=(0.6, 0.6))
    settings = dataclasses.replace(QUIET, microscope=microscope, shrink_fraction=1, shrink=shrink)
    _, region = one_region(settings, images, 5)
    height, width = region.field
    assert region.field == (300, 320)
    step = region.step
    tilt = tilted_levels(region.field, 0, 7, region.faults.tilt_deg)
    per_px = [axis[0, 0] * step for axis in np.gradient(tilt)]
    rise = region.rise(84)
    np.testing.assert_allclose(np.diff(rise, axis=0), per_px[0], rtol=0.01)
    np.testing.assert_allclose(np.diff(rise, axis=1), per_px[1], rtol=0.01)
    assert rise.mean() == pytest.approx(0, abs=1e-5)
    y, x = 40, 30
    passed = region.transmission(y, x, 84)
    whole = vignette(region.field, 0.6)
    for i, j in ((0, 0), (83, 83), (20, 70)):
        row, column = region.top + step * (y + i), region.left + step * (x + j)
        if 0 <= row < height and 0 <= column < width:
            assert passed[i, j] == pytest.approx(whole[int(row), int(column)], abs=0.01)


def test_a_tilted_patch_is_blurred_as_by_degrade(images):
    settings = dataclasses.replace(QUIET, microscope=Microscope(tilt_levels=(7, 7)))
    maker, region = one_region(settings, images, 6)
    y, x = 70, 60
    patch = maker._defocused(np.random.default_rng(2), region, 3, (y, x), 84)
    centre = 3 + np.random.default_rng(2).uniform(-0.5, 0.5)
    rows, columns = np.indices(region.light.shape)
    levels = region.rise(84)
    down, right = levels[1, 0] - levels[0, 0], levels[0, 1] - levels[0, 0]
    level_map = centre + down * (rows - y - 41.5) + right * (columns - x - 41.5)
    level_map = np.clip(np.abs(level_map), 0, 10)
    kernels = [settings.microscope.kernel(level) for level in range(11)]
    expected = defocus_varying(region.light, level_map, kernels)[y : y + 84, x : x + 84]
    np.testing.assert_allclose(patch, expected, atol=2e-5)


@pytest.mark.long
def test_the_broad_stream_is_made_of_distributions_over_neighbouring_levels(images):
    patches, targets = SharpBlocks(images, BROAD, 1, 300).block(0)
    assert np.isfinite(patches).all()
    np.testing.assert_allclose(patches.mean(axis=(1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    uniform = targets.max(axis=1) < 0.1
    assert 0.1 < uniform.mean() < 0.4
    for target in targets[~uniform]:
        (levels,) = np.nonzero(target)
        assert len(levels) <= 2
        assert np.ptp(levels) <= 1
    assert set(targets[~uniform].argmax(axis=1)) == set(range(11))
    # Kernels of other widths than whole levels.
    assert 0.2 < np.mean(targets[~uniform].max(axis=1) < 0.99) < 0.95


def test_the_broad_stream_is_the_same_whoever_makes_it(images):
    one, other = (SharpBlocks(images, BROAD, 3, 40).block(2) for _ in range(2))
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize(
    "kind",
    [
        "points_fraction",
        "cells_fraction",
        "propagated_fraction",
        "haze_fraction",
        "processed_fraction",
    ],
)
def test_each_part_of_the_broad_stream_can_be_had_alone(images, kind):
    plain = SharpBlocks(images, QUIET, 4, 60).block(0)
    settings = dataclasses.replace(QUIET, **{kind: 1.0})
    patches, targets = SharpBlocks(images, settings, 4, 60).block(0)
    assert np.isfinite(patches).all()
    assert not np.array_equal(patches, plain[0])
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    # Of few regions, each at several levels.
    levels = targets @ np.arange(11)
    assert np.ptp(levels) > 2
    assert np.unique(levels).size > 3


@pytest.mark.parametrize("level", [0.0, 3.0, 3.25, 9.99, 10.0, 15.0])
def test_a_target_has_the_level_as_its_mean(level):
    target = target_of(level)
    assert target.sum() == pytest.approx(1)
    assert target @ np.arange(11) == pytest.approx(min(level, 10), abs=1e-5)
    assert np.count_nonzero(target) <= 2


def test_a_described_microscope_has_the_broad_stream_alone():
    assert stream_for(Microscope()) == BROAD
    described = Microscope(spherical_waves=(0.0, 0.1))
    stream = stream_for(described, 0.3)
    assert (stream.microscope, stream.many_objectives) == (described, False)
    assert (stream.empty_fraction, stream.points_fraction) == (0.3, BROAD.points_fraction)


def test_no_images_is_refused():
    with pytest.raises(SettingsError, match="at least one image"):
        SharpBlocks([], StreamSettings(), 0, 10)
