import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microscope_quality.components import (
    ACTIONS,
    LEAST_BLUR_PX,
    Components,
    as_outputs,
    cause_of,
    components_of,
    losses_of,
    scores_of,
)
from microscope_quality.errors import SettingsError

SHARP = {
    "blur_px": 0.7,
    "elongation": 1.0,
    "angle_deg": 0.0,
    "noise": 0.05,
    "line_noise": 0.0,
    "jitter_px": 0.0,
}


def _outputs(**given):
    usual = {"score": 1, "long_px": 0.7, "short_px": 0.7, "axis": 0.0, "noise": 0.1}
    return as_outputs(**{**usual, "line_noise": 0, "jitter_px": 0, **given})


@given(
    short=st.floats(0.7, 8),
    ratio=st.floats(1.05, 4),
    axis=st.floats(0, math.pi, exclude_max=True),
    noise=st.floats(0.01, 3),
    lines=st.floats(0, 2),
    jitter=st.floats(0, 5),
)
def test_components_come_back_from_outputs(short, ratio, axis, noise, lines, jitter):
    found = components_of(
        _outputs(
            long_px=ratio * short,
            short_px=short,
            axis=axis,
            noise=noise,
            line_noise=lines,
            jitter_px=jitter,
        )
    )
    assert found.widths_px == pytest.approx((ratio * short, short), rel=1e-4)
    assert found.blur_px == pytest.approx(short * math.sqrt((ratio**2 + 1) / 2), rel=1e-4)
    assert found.elongation == pytest.approx(ratio, rel=1e-4)
    apart = (found.angle_deg + math.degrees(axis) + 90) % 180 - 90
    assert abs(apart) < 0.1
    assert 0 <= found.angle_deg < 180
    assert found.noise == pytest.approx(noise, rel=1e-4)
    assert found.line_noise == pytest.approx(lines, abs=1e-5, rel=1e-4)
    assert found.jitter_px == pytest.approx(jitter, abs=1e-5, rel=1e-4)


def test_outputs_are_what_they_are_said_to_be():
    found = _outputs(score=0.55, long_px=4, short_px=1, axis=math.pi / 4, line_noise=0.3)
    half_octaves, blur = 1.0, 0.5 * math.log2(8.5 / LEAST_BLUR_PX**2)
    assert found == pytest.approx([0.5, blur, 0, half_octaves, -1, 2, 0], abs=1e-6)


def test_angles_run_counter_clockwise_as_seen():
    """Lines follow each other downwards: an axis down to the right is at 135 degrees."""
    down_right = components_of(_outputs(long_px=3, short_px=1, axis=math.pi / 4))
    assert down_right.angle_deg == pytest.approx(135)


def test_axes_are_averaged_as_axes():
    """Of 175 and 5 degrees the mean is 0, not 90."""
    both = [_outputs(long_px=3, short_px=1, axis=math.radians(one)) for one in (175, 5)]
    angle = components_of(np.mean(both, axis=0)).angle_deg
    assert min(angle, 180 - angle) < 1e-3


def test_nothing_is_undefined_but_where_there_is_nothing():
    found = components_of(np.full(7, np.nan))
    assert all(math.isnan(value) for value in vars(found).values())
    assert cause_of(found) == ("", "")
    beyond = components_of(np.array([2, -3, 0, 0, -9, -1, -1]))
    assert (beyond.blur_px, beyond.noise, beyond.line_noise, beyond.jitter_px) == (0.7, 1e-4, 0, 0)


def test_scores_are_cut_at_their_ends():
    outputs = np.zeros((4, 7))
    outputs[:, 0] = [-0.2, 0, 0.5, 1.3]
    assert scores_of(outputs).tolist() == pytest.approx([0.1, 0.1, 0.55, 1.0])


@pytest.mark.parametrize(
    "given, cause",
    [
        ({"blur_px": 3.0}, "blur"),
        ({"blur_px": 3.0, "elongation": 1.2}, "blur"),
        ({"blur_px": 3.0, "elongation": 5.0}, "astigmatism"),
        ({"noise": 1.2}, "noise"),
        ({"line_noise": 1.0}, "line noise"),
        ({"jitter_px": 2.0}, "jitter"),
        ({"blur_px": 4.0, "noise": 0.4}, "blur"),
    ],
)
def test_the_cause_is_what_costs_most(given, cause):
    found, action = cause_of(Components(**{**SHARP, **given}))
    assert (found, action) == (cause, ACTIONS[cause])


def test_without_a_fault_there_is_no_cause():
    assert cause_of(Components(**SHARP)) == ("", "")


@pytest.mark.parametrize("name", ["blur_px", "noise", "line_noise", "jitter_px"])
def test_more_costs_more_and_never_all(name):
    lost = [
        sum(losses_of(Components(**{**SHARP, name: value})).values())
        for value in (0.7, 0.9, 1.5, 3, 9, 40, 1e5)
    ]
    assert lost == sorted(lost) and lost[0] < lost[-2] <= lost[-1] <= 0.9 + 0.1


@pytest.mark.parametrize(
    "wrong", [{"score": 0}, {"short_px": 2.0}, {"noise": -1}, {"axis": math.nan}]
)
def test_what_is_out_of_its_range_is_refused(wrong):
    with pytest.raises(SettingsError):
        _outputs(**wrong)
