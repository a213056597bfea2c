import numpy as np
import pytest

from microscope_quality.concordance import N_RINGS, RING_EDGES, score_of, spectral_concordance
from microscope_quality.errors import ImageError, SettingsError


def _field(seed=0, side=256):
    """A field whose power falls with frequency, as that of tissue does."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    shape = 1 / np.maximum(frequency, 1 / side) ** 1.2
    return np.fft.irfft2(np.fft.rfft2(rng.normal(size=(side, side))) * shape, (side, side))


def _by_hand(image, ideal):
    """The formula as it stands, coefficient by coefficient of the whole transform."""
    n = len(ideal)
    window = np.outer(np.hanning(n), np.hanning(n))
    d, s = (np.fft.fft2((one - one.mean()) * window) for one in (image, ideal))
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n)))
    coarse = radius < RING_EDGES[0]
    gain = np.vdot(s[coarse], d[coarse]).real / np.vdot(s[coarse], s[coarse]).real
    found = []
    for low, high in zip(RING_EDGES[:-1], RING_EDGES[1:]):
        ring = (radius >= low) & (radius < high)
        a, b = d[ring], gain * s[ring]
        found.append(2 * np.vdot(b, a).real / (np.vdot(a, a).real + np.vdot(b, b).real))
    return np.clip(found, 0, 1)


def test_it_is_the_formula():
    ideal = _field()
    image = 0.7 * ideal + 0.2 * np.random.default_rng(1).normal(size=ideal.shape)
    assert spectral_concordance(image, ideal) == pytest.approx(_by_hand(image, ideal), abs=1e-12)


@pytest.mark.parametrize("gain, offset", [(1, 0), (37.5, -4000), (0.001, 3)])
def test_an_ideal_image_has_all_whatever_its_gain_and_offset(gain, offset):
    ideal = _field()
    found = spectral_concordance(gain * ideal + offset, ideal)
    assert found == pytest.approx(np.ones(N_RINGS), abs=1e-9)
    assert score_of(found) == pytest.approx(1, abs=1e-9)


def test_a_negative_and_another_field_have_nothing():
    ideal = _field()
    assert spectral_concordance(-ideal, ideal).max() == 0
    assert score_of(spectral_concordance(-ideal, ideal)) == pytest.approx(0.1)
    assert spectral_concordance(_field(9), ideal)[2:].max() < 0.35


@pytest.mark.parametrize("fault", ["blur", "noise", "displacement"])
def test_more_of_a_fault_has_less(fault):
    ideal, rng = _field(), np.random.default_rng(2)
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256))
    noise = rng.normal(size=ideal.shape)

    def made(strength):
        if fault == "noise":
            return ideal + strength * ideal.std() * noise
        if fault == "displacement":
            turned = np.exp(-2j * np.pi * strength * np.fft.rfftfreq(256))
            return np.fft.irfft2(np.fft.rfft2(ideal) * turned, ideal.shape)
        transfer = np.exp(-2 * (np.pi * strength * frequency) ** 2)
        return np.fft.irfft2(np.fft.rfft2(ideal) * transfer, ideal.shape)

    scores = [score_of(spectral_concordance(made(s), ideal)) for s in (0, 0.2, 0.5, 1, 2, 4)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.999 and scores[-1] < 0.6


def test_a_ring_alone_falls_with_its_own_noise():
    ideal = _field()
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256))
    within = (frequency > 1.15 * RING_EDGES[4]) & (frequency < 0.87 * RING_EDGES[5])
    noise = np.fft.rfft2(np.random.default_rng(3).normal(size=ideal.shape))
    image = ideal + np.fft.irfft2(noise * within, ideal.shape) * ideal.std()
    found = spectral_concordance(image, ideal)
    assert found[4] < 0.9
    assert np.delete(found, 4).min() > 0.99


@pytest.mark.parametrize("shapes", [((64, 64), (64, 65)), ((31, 31), (31, 31)), ((64,), (64,))])
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ImageError):
        spectral_concordance(np.zeros(shapes[0]), np.zeros(shapes[1]))


def test_constant_images_have_nothing_in_common():
    assert spectral_concordance(np.ones((64, 64)), np.ones((64, 64))).tolist() == [0] * 7


@pytest.mark.parametrize("rings", [[0.5] * 6, [1.1] + [0.5] * 6, [np.nan] * 7])
def test_a_score_of_no_concordance_is_refused(rings):
    with pytest.raises(SettingsError):
        score_of(rings)
