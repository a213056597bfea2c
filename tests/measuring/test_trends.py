"""Trends of runs: their lines against SciPy's, their intervals against known trends."""

import math
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import theilslopes

from microscope_quality.errors import SettingsError
from microscope_quality.measuring.items import modified_text
from microscope_quality.measuring.trends import (
    Trend,
    axis_trend,
    sentences,
    trend,
    trends_of,
    why_untold,
)

quick = settings(max_examples=30, deadline=None)


def alternating(n):
    """Errors that are less alike from one to the next than by chance."""
    rng = np.random.default_rng(n)
    return np.abs(rng.normal(size=n)) * (-1.0) ** np.arange(n)


@pytest.mark.parametrize("n", [5, 6, 17, 60, 400])
def test_the_line_and_its_interval_against_scipy(n):
    hours = np.sort(np.random.default_rng(0).uniform(0, 9, n))
    values = 3 - 0.2 * hours + alternating(n)
    slope, at_0, low, high = theilslopes(values, hours, 0.95, method="joint")
    found = trend(hours, values)
    assert found.per_hour == pytest.approx(slope, rel=1e-12)
    assert found.start == pytest.approx(at_0 + slope * hours[0], rel=1e-12)
    assert found.end == pytest.approx(at_0 + slope * hours[-1], rel=1e-12)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)
    assert (found.images, found.hours) == (n, hours[-1] - hours[0])


def test_ties_against_scipy():
    hours = np.repeat(np.arange(12.0), 3)
    values = np.round(hours / 4 + 0.6 * alternating(36))
    found = trend(hours, values)
    assert (found.per_hour, found.low, found.high) == pytest.approx(
        (theilslopes(values, hours, 0.95)[0], *theilslopes(values, hours, 0.95)[2:])
    )


def wandering(rng, n, alike):
    """Errors of deviation 1 that are alike from one to the next."""
    fresh = rng.normal(size=n) * math.sqrt(1 - alike**2)
    found = np.empty(n)
    found[0] = rng.normal()
    for k in range(1, n):
        found[k] = alike * found[k - 1] + fresh[k]
    return found


@pytest.mark.parametrize(("n", "alike"), [(20, 0.0), (60, 0.0), (60, 0.6), (150, 0.8)])
def test_the_interval_holds_the_true_trend_as_often_as_it_says(n, alike):
    rng = np.random.default_rng(1)
    within, repeats = 0, 300
    for _ in range(repeats):
        hours = np.sort(rng.uniform(0, 8, n))
        found = trend(hours, 2 + 0.1 * hours + 0.3 * wandering(rng, n, alike))
        within += found.low <= 0.1 <= found.high
    # Four deviations of the count below 95 %, and nothing is so wide that it says nothing.
    assert within / repeats >= 0.90
    assert within < repeats


@quick
@given(st.integers(8, 40), st.integers(0, 999), st.floats(-3, 3), st.floats(-50, 50))
def test_a_fifth_of_the_images_may_be_bad(n, seed, slope, at_0):
    rng = np.random.default_rng(seed)
    hours = np.sort(rng.uniform(0, 10, n))
    values = at_0 + slope * hours
    values[rng.choice(n, n // 5, replace=False)] += 1000 * rng.normal(size=n // 5)
    found = trend(hours, values)
    assert found.per_hour == pytest.approx(slope, abs=1e-6)
    assert found.start == pytest.approx(at_0 + slope * hours[0], abs=1e-4)


@quick
@given(st.integers(0, 99), st.floats(0.01, 100), st.floats(-1000, 1000), st.floats(-1000, 1000))
def test_units_and_order_do_not_matter(seed, gain, offset, later):
    rng = np.random.default_rng(seed)
    hours, values = rng.uniform(0, 5, 30), rng.normal(size=30)
    found, other = trend(hours, values), trend(hours[::-1] + later, (gain * values + offset)[::-1])
    for name in ("per_hour", "low", "high"):
        expected = gain * getattr(found, name)
        assert getattr(other, name) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert other.start == pytest.approx(gain * found.start + offset, rel=1e-5, abs=1e-5)


def test_many_images_are_as_quick_as_400():
    rng = np.random.default_rng(0)
    hours = np.sort(rng.uniform(0, 30, 20_000))
    found = trend(hours, 1 + 0.02 * hours + rng.normal(size=20_000))
    assert found.images == 20_000
    assert found.low < 0.02 < found.high
    assert found.high - found.low < 0.01


def test_where_there_is_no_line():
    known = np.arange(5.0)
    assert trend(known, known).per_hour == 1
    brief = known / 60
    for hours, values, images in (
        (known[:4], known[:4], 4),
        ([], [], 0),
        (brief, known, 5),
        ([1, 1, 1, 1, 1], known, 5),
        (known, [0, 1, 2, 3, math.nan], 4),
        ([0, 1, 2, 3, math.nan], known, 4),
    ):
        found = trend(hours, values)
        assert found.images == images
        assert all(map(math.isnan, (found.start, found.end, found.per_hour)))
        assert (found.low, found.high) == (-math.inf, math.inf)
        assert not found.is_sure
        assert math.isnan(found.hours_until(3))
    assert trend(known / 48, known).per_hour == pytest.approx(48)


def test_what_does_not_change_has_no_trend():
    found = trend(np.arange(30.0), np.full(30, 0.7))
    assert (found.start, found.end, found.per_hour, found.low, found.high) == (0.7, 0.7, 0, 0, 0)
    assert not found.is_sure
    assert found.hours_until(0.8) == math.inf


def test_hours_until_a_limit():
    rising = trend(np.arange(10.0), 2 + 0.5 * np.arange(10.0))
    assert rising.is_sure
    assert rising.hours_until(8.5) == pytest.approx(4)
    assert rising.hours_until(6.5) == pytest.approx(0, abs=1e-12)
    assert rising.hours_until(3.0) == rising.hours_until(-3.0) == math.inf
    falling = trend(np.arange(10.0), 2 - 0.5 * np.arange(10.0))
    assert falling.is_sure
    assert falling.hours_until(-3.5) == pytest.approx(2)
    assert falling.hours_until(0) == math.inf


@pytest.mark.parametrize(
    "lengths", [((4,), (5,)), ((5,), (4,)), ((5, 1), (5,)), ((5,), ())], ids=str
)
def test_other_shapes_are_refused(lengths):
    with pytest.raises(SettingsError):
        trend(*map(np.zeros, lengths))
    with pytest.raises(SettingsError):
        axis_trend(np.zeros(lengths[0]), np.zeros(lengths[1]), np.full(5, 2.0))


# Axes


@quick
@given(
    st.integers(0, 999),
    st.floats(0, 180),
    st.floats(-30, 30),
    st.sampled_from([0.0, 3.0, 10.0]),
)
def test_an_axis_that_turns_over_the_end_of_its_scale(seed, start, per_hour, spread):
    rng = np.random.default_rng(seed)
    hours = np.sort(rng.uniform(0, 10, 60))
    hours[[0, -1]] = 0, 10
    angles = (start + per_hour * hours + spread * rng.normal(size=60)) % 180
    found = axis_trend(hours, angles, np.full(60, 1.6))
    assert found.per_hour == pytest.approx(per_hour, abs=1e-6 + spread / 4)
    assert abs((found.start - start + 90) % 180 - 90) <= 1e-6 + spread
    assert 0 <= found.start < 180
    assert 0 <= found.end <= 180
    assert found.low <= found.per_hour <= found.high
    turned = axis_trend(hours, (angles + 77) % 180, np.full(60, 1.6))
    assert turned.per_hour == pytest.approx(found.per_hour, abs=1e-6)
    assert (turned.start - found.start - 77) % 180 == pytest.approx(0, abs=1e-6) or (
        turned.start - found.start - 77
    ) % 180 == pytest.approx(180, abs=1e-6)


def test_what_is_round_has_no_axis():
    rng = np.random.default_rng(0)
    hours = np.arange(40.0)
    elongations = np.where(hours % 2 == 0, 1.5, 1.29)
    angles = np.where(hours % 2 == 0, 30 + hours, rng.uniform(0, 180, 40))
    found = axis_trend(hours, angles, elongations)
    assert found.images == 20
    assert found.per_hour == pytest.approx(1, abs=1e-9)
    assert axis_trend(hours, angles, np.full(40, 1.1)).images == 0


def test_axes_of_all_directions_have_none_in_common():
    rng = np.random.default_rng(0)
    found = axis_trend(np.arange(60.0), rng.uniform(0, 180, 60), np.full(60, 2.0))
    assert found.images == 60
    assert math.isnan(found.per_hour)
    assert not found.is_sure


def test_long_probes_count_more():
    """A third of the axes is across, of probes that are hardly longer than wide."""
    hours = np.arange(30.0)
    across = hours % 3 == 0
    found = axis_trend(hours, np.where(across, 110, 20), np.where(across, 1.31, 3.0))
    assert found.start == pytest.approx(20, abs=1e-6)


# Rows


def rows_of(hours, **columns):
    start = datetime(2026, 3, 29, 23, 30, tzinfo=timezone.utc)
    for k, hour in enumerate(hours):
        moment = start + timedelta(hours=float(hour))
        ns = int(moment.timestamp()) * 10**9 + 123_456_789
        yield {"modified": modified_text(ns), **{n: str(v[k]) for n, v in columns.items()}}


def test_trends_of_rows_and_what_is_said_of_them():
    hours = np.arange(0, 12, 0.25)
    rng = np.random.default_rng(0)
    noise = 0.01 * rng.normal(size=(3, len(hours)))
    columns = {
        "blur_px": np.round(1.2 + 0.3 * hours + noise[0], 6),
        "elongation": np.round(1.9 - 0.04 * hours + noise[1], 6),
        "angle_deg": np.round((178 + 2 * hours + 50 * noise[2]) % 180, 6),
    }
    rows = list(rows_of(hours, **columns))
    found = trends_of(reversed(rows))
    assert list(found) == ["blur_px", "elongation", "angle_deg"]
    assert found["blur_px"].per_hour == pytest.approx(0.3, abs=0.01)
    assert found["blur_px"].start == pytest.approx(1.2, abs=0.05)
    assert found["elongation"].per_hour == pytest.approx(-0.04, abs=0.01)
    assert found["angle_deg"].per_hour == pytest.approx(2, abs=0.1)
    assert found["angle_deg"].hours == pytest.approx(11.75)
    low, high = (abs(end) for end in (found["elongation"].high, found["elongation"].low))
    assert sentences(found)[1] == (
        f"The elongation falls by 0.04 an hour ({low:.2f} to {high:.2f}, 95 %), over 11.8 hours "
        "and 48 images."
    )
    assert sentences(found)[0].startswith("The blur grows by 0.30 px an hour (0.30 to 0.30, 95 %)")
    assert sentences(found)[2].startswith("The long axis turns by 2.0° an hour (")
    # Typed rows, and those of failures and of blank images.
    typed = [{**row, **{name: float(row[name]) for name in columns}} for row in rows]
    typed += [{"modified": rows[0]["modified"], "error": "is damaged"}, {"modified": None}]
    typed += [{**rows[0], **dict.fromkeys(columns, "")}, {**rows[1], "blur_px": None}]
    typed.append({**typed[3], "modified": "20000000000000000000 ns"})
    others = trends_of(typed)
    for name in columns:
        assert others[name].per_hour == pytest.approx(found[name].per_hour, rel=0.05)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (np.arange(60) * 20, ""),
        (np.arange(4) * 600, "only 4 times of files are known, and it takes 5"),
        ([0], "only 1 time of files is known, and it takes 5"),
        # Ten files of 20 planes each.
        (np.repeat(np.arange(10) * 60, 20), ""),
        (
            np.arange(9) * 1.5,
            "the files were written within 12 seconds, as copies are, and it takes 5 minutes",
        ),
        (np.arange(299), "the files were written within 5 minutes"),
        (np.arange(1000) * 0.9, "within a second of the one before, as copies are"),
        # Copied, an hour later than the others: -709 to +426 an hour came of such.
        (
            [*np.arange(9) * 3.0, *(3600 + np.arange(9) * 3.0)],
            "of the 60 minutes from the first file to the last, 60 minutes are a single gap",
        ),
        ([0, 100, 200, 300, 610], "of the 10 minutes from the first file to the last, 5 minutes"),
        ([0, 100, 200, 310, 610], ""),
    ],
)
def test_times_of_copies_tell_no_drift(seconds, said):
    hours = np.asarray(seconds, float) / 3600
    columns = dict(blur_px=2 + hours, elongation=2 + hours, angle_deg=20 + hours)
    rows = list(rows_of(hours, **columns))
    told = why_untold(rows)
    assert said in told
    assert bool(told) == bool(said)
    for found in trends_of(rows).values():
        assert math.isnan(found.per_hour) == bool(said)
        assert not (said and found.is_sure)


def test_nothing_is_said_of_what_is_not_sure():
    assert sentences(trends_of([])) == []
    rng = np.random.default_rng(0)
    columns = dict(blur_px=rng.normal(5, 1, 30), elongation=np.full(30, 1.0))
    assert sentences(trends_of(rows_of(np.arange(30), **columns, angle_deg=np.zeros(30)))) == []
    turning = Trend(30, 9.0, 10.0, 1.0, -1.0, -1.25, -0.75)
    assert sentences({"angle_deg": turning}) == [
        "The long axis turns by -1.0° an hour (-1.2 to -0.8, 95 %), over 9.0 hours and 30 images."
    ]
