"""What makes an image bad, as numbers: blur, its direction, noise, line noise, jitter.

A rater gives them as *outputs*, numbers of about the size of 1 that can be averaged; people get
them in units. Here is what leads from the one to the other, and what each is worth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, Tuple

import numpy as np
from numpy.typing import NDArray

from microscope_quality.arguments import as_a, as_floats, as_number
from microscope_quality.concordance import LOWEST_SCORE
from microscope_quality.errors import SettingsError

Float64Array = NDArray[np.float64]

#: What a rater gives, in this order.
OUTPUTS = ("score", "blur", "along", "diagonal", "noise", "line_noise", "jitter")
SCORE, BLUR, ALONG, DIAGONAL, NOISE, LINE_NOISE, JITTER = range(7)

#: RMS width in pixels of the probe of an ideal image.
LEAST_BLUR_PX = 0.7
#: The ratio of two widths from which an image is called astigmatic.
LEAST_ELONGATION = 1.3

#: The lowest score that is good, unless another one is asked for.
LOWEST_GOOD_SCORE = 0.7
#: What costs a score, and what to do about it.
ACTIONS = {
    "blur": "refocus",
    "astigmatism": "restigmate",
    "noise": "retake",
    "line noise": "look",
    "jitter": "look",
}

# Mean score of tissue of two kinds, real and drawn, that is lost to a fault alone: measured by
# `python -m benchmarks.rating --only losses`. Values between are those of straight lines over the
# logarithm.
_LOST = {
    "blur": ((0.7, 0.86, 1.22, 2.12, 4.06, 8.03), (0.0, 0.02, 0.15, 0.41, 0.66, 0.86)),
    "noise": ((0.03, 0.1, 0.2, 0.4, 0.8, 1.6), (0.0, 0.02, 0.05, 0.11, 0.23, 0.35)),
    "line noise": ((0.03, 0.1, 0.3, 1.0), (0.0, 0.02, 0.11, 0.38)),
    "jitter": ((0.1, 0.3, 1.0, 3.0), (0.0, 0.02, 0.15, 0.41)),
}
# Below it, nothing is said to be the cause.
_LEAST_LOSS = 0.02

_LEAST_NOISE = 1e-4
_LINE_NOISE_UNIT, _JITTER_UNIT_PX = 0.1, 0.5
_MOST = 1e6


@dataclass(frozen=True)
class Components:
    """What is wrong with an image, or a patch.

    Attributes
    ----------
    blur_px : float
        RMS width of the probe in pixels, the root of the mean square of its long and short width;
        0.7 at the least, which an ideal image has.
    elongation : float
        Long width over short width, 1 at the least.
    angle_deg : float
        Direction of the long width in degrees, counter-clockwise from the lines' direction, 0 to
        180.
    noise : float
        Standard deviation of the noise, over that of the specimen's detail.
    line_noise : float
        RMS of offsets of lines and of charging streaks, over the same.
    jitter_px : float
        RMS displacement of lines along themselves, in pixels.
    """

    blur_px: float
    elongation: float
    angle_deg: float
    noise: float
    line_noise: float
    jitter_px: float

    @property
    def widths_px(self) -> Tuple[float, float]:
        """Long and short RMS width of the probe in pixels."""
        short = self.blur_px * math.sqrt(2 / (1 + self.elongation**2))
        return self.elongation * short, short


def as_outputs(
    *,
    score: float,
    long_px: float,
    short_px: float,
    axis: float,
    noise: float,
    line_noise: float,
    jitter_px: float,
) -> NDArray[np.float32]:
    """Give the outputs of a patch whose faults are known.

    Parameters
    ----------
    score : float
        0.1 to 1; see `concordance.score_of`.
    long_px, short_px : float
        RMS widths of its probe in pixels.
    axis : float
        Direction of the long one in radians, from the lines' direction towards the next lines.
    noise, line_noise, jitter_px : float
        As in `Components`.

    Returns
    -------
    (7,) array of float32
        By the names of `OUTPUTS`: the score from 0 to 1; octaves of the blur above the least one;
        the elongation's half octaves, as a vector at twice its angle, whose components are those
        along the axes and along the diagonals; the decimal logarithm of the noise;
        ``log2(1 + line_noise / 0.1)``; and ``log2(1 + jitter_px / 0.5)``.

    Raises
    ------
    SettingsError
        For numbers that are out of their range.
    """
    score = as_number("score", score, LOWEST_SCORE, 1)
    short_px = as_number("short_px", short_px, 1e-3, _MOST)
    long_px = as_number("long_px", long_px, short_px, _MOST)
    axis = as_number("axis", axis, -_MOST, _MOST)
    noise, line_noise, jitter_px = (
        as_number(name, value, 0, _MOST)
        for name, value in (("noise", noise), ("line_noise", line_noise), ("jitter_px", jitter_px))
    )
    blur = 0.5 * math.log2((long_px**2 + short_px**2) / 2 / LEAST_BLUR_PX**2)
    half_octaves = 0.5 * math.log2(long_px / short_px)
    return np.array(
        [
            (score - LOWEST_SCORE) / (1 - LOWEST_SCORE),
            blur,
            half_octaves * math.cos(2 * axis),
            half_octaves * math.sin(2 * axis),
            math.log10(max(noise, _LEAST_NOISE)),
            math.log2(1 + line_noise / _LINE_NOISE_UNIT),
            math.log2(1 + jitter_px / _JITTER_UNIT_PX),
        ],
        np.float32,
    )


def components_of(outputs: NDArray[Any]) -> Components:
    """Give the components that the outputs of a patch, or means of them, stand for.

    Parameters
    ----------
    outputs : (7,) array
        As `as_outputs` gives them; NaN where there are none.
    """
    values = as_floats("outputs", outputs, shape=(len(OUTPUTS),), low=-_MOST, high=_MOST).tolist()
    blur, along, diagonal = (np.clip(values[k], -32, 32) for k in (BLUR, ALONG, DIAGONAL))
    # Seen on the screen, where lines follow each other downwards, the angle runs the other way.
    # Twice, as the remainder of what is below 0 by a rounding is 180 itself.
    angle = math.degrees(-0.5 * math.atan2(diagonal, along)) % 180 % 180
    return Components(
        blur_px=float(LEAST_BLUR_PX * 2.0 ** max(blur, 0) if blur == blur else math.nan),
        elongation=float(2.0 ** (2 * np.hypot(along, diagonal))),
        angle_deg=angle,
        noise=float(10.0 ** np.clip(values[NOISE], -4, 4)),
        line_noise=float(_LINE_NOISE_UNIT * (2.0 ** np.clip(values[LINE_NOISE], 0, 32) - 1)),
        jitter_px=float(_JITTER_UNIT_PX * (2.0 ** np.clip(values[JITTER], 0, 32) - 1)),
    )


def losses_of(components: Components) -> Dict[str, float]:
    """Give what each cause costs of the score if it were alone, by the names of `ACTIONS`.

    What the blur costs is divided between defocus, which blurs both ways alike, and astigmatism,
    which makes the long width longer than the short one.
    """
    long, short = as_a(Components, "components", components).widths_px
    lost = {
        name: _lost(name, value)
        for name, value in (
            ("blur", components.blur_px),
            ("noise", components.noise),
            ("line noise", components.line_noise),
            ("jitter", components.jitter_px),
        )
    }
    astigmatism = 0.0
    if components.elongation >= LEAST_ELONGATION and long > LEAST_BLUR_PX:
        astigmatism = lost["blur"] - _lost("blur", short)
    return {"blur": lost["blur"] - astigmatism, "astigmatism": astigmatism, **_without_blur(lost)}


def cause_of(components: Components) -> Tuple[str, str]:
    """Give what costs most of the score, and what to do about it, by `ACTIONS`.

    Astigmatism is named when it costs at least half of what the blur does together with it.

    Parameters
    ----------
    components : Components
        Of an image; of one without any, and one without fault, both texts are empty.
    """
    losses = losses_of(components)
    together = losses["blur"] + losses["astigmatism"]
    is_astigmatic = losses["astigmatism"] >= losses["blur"]
    ranked = {"astigmatism" if is_astigmatic else "blur": together, **_without_blur(losses)}
    cause = max(ranked, key=lambda name: ranked[name])
    # Comparisons with NaN are false.
    return (cause, ACTIONS[cause]) if ranked[cause] >= _LEAST_LOSS else ("", "")


def _without_blur(losses: Dict[str, float]) -> Dict[str, float]:
    return {name: losses[name] for name in ("noise", "line noise", "jitter")}


def _lost(name: str, value: float) -> float:
    values, lost = _LOST[name]
    if math.isnan(value):
        return math.nan
    at = math.log(max(value, values[0]))
    known = np.log(values)
    if at > known[-1]:
        # On along the last line, up to all of the score.
        slope = (lost[-1] - lost[-2]) / (known[-1] - known[-2])
        return float(min(lost[-1] + slope * (at - known[-1]), 1 - LOWEST_SCORE))
    return float(np.interp(at, known, lost))


def scores_of(outputs: NDArray[Any]) -> Float64Array:
    """Give scores from 0.1 to 1 of outputs, whose last axis is that of `OUTPUTS`."""
    values = as_floats("outputs", outputs)
    if not values.ndim or values.shape[-1] != len(OUTPUTS):
        raise SettingsError(f"outputs must be (…, {len(OUTPUTS)}), not {values.shape}.")
    clipped = np.clip(values[..., SCORE], 0, 1)
    return np.asarray(LOWEST_SCORE + (1 - LOWEST_SCORE) * clipped)
