"""Light where no specimen is: a share of the light, of the kind that its name says."""

import numpy as np
import pytest

from microscope_quality.training.defocus.structures import STRUCTURES, structure

SHAPE = (120, 90)


def made(kind, n=60):
    rng = np.random.default_rng(3)
    return [STRUCTURES[kind](rng, SHAPE) for _ in range(n)]


@pytest.mark.parametrize("kind", sorted(STRUCTURES))
def test_is_a_share_of_the_light(kind):
    for light in made(kind):
        assert light.shape == SHAPE
        assert light.dtype == np.float32
        assert np.isfinite(light).all()
        assert light.min() >= 0


@pytest.mark.parametrize("kind", sorted(STRUCTURES))
def test_differs_from_even_light_and_from_the_next_one(kind):
    lights = made(kind)
    assert np.mean([np.ptp(light) > 0.01 * light.mean() for light in lights]) > 0.6
    assert np.abs(lights[0] - lights[1]).max() > 0


@pytest.mark.parametrize("kind", sorted(set(STRUCTURES) - {"seam", "interference", "well_rim"}))
def test_is_smooth(kind):
    for light in made(kind):
        steps = max(np.abs(np.diff(light, axis=axis)).max() for axis in (0, 1))
        assert steps < 0.35 * np.ptp(light) + 1e-4


def test_a_seam_is_one_step_along_a_line():
    for light in made("seam"):
        assert len(np.unique(light)) == 2
        rows, columns = (np.ptp(light, axis=axis).max() for axis in (1, 0))
        assert min(rows, columns) == 0


def test_interference_has_a_period():
    periodic = 0
    for light in made("interference"):
        power = np.abs(np.fft.rfft2(light - light.mean())) ** 2
        periodic += np.sort(power.ravel())[-12:].sum() > 0.5 * power.sum()
    assert periodic > 40


def test_each_kind_is_drawn_at_times_two_at_once(monkeypatch):
    primes = dict(zip(STRUCTURES, (2, 3, 5, 7, 11, 13, 17)))
    for kind, prime in primes.items():
        monkeypatch.setitem(STRUCTURES, kind, lambda rng, shape, prime=prime: np.full(shape, prime))
    rng = np.random.default_rng(0)
    products = [int(structure(rng, (1, 1))[0, 0]) for _ in range(600)]
    counts = {
        kind: sum(product % prime == 0 for product in products) for kind, prime in primes.items()
    }
    assert min(counts.values()) > 15, counts
    assert max(counts, key=counts.get) == "interference"
    assert 60 < sum(product not in primes.values() for product in products) < 180
