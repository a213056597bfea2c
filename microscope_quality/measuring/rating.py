"""A rating as a measure: how far an image agrees with an ideal one, and what is wrong with it."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from microscope_quality.acquisition import (
    ACTIONS,
    BLANK,
    CUT,
    EMPTY,
    FROZEN,
    REPEATED,
    SATURATED,
    Acquisition,
    acquisition_fault,
)
from microscope_quality.arguments import as_count, as_flag, as_number
from microscope_quality.components import (
    LEAST_ELONGATION,
    LOWEST_GOOD_SCORE,
    Components,
    cause_of,
    components_of,
)
from microscope_quality.concordance import LOWEST_SCORE
from microscope_quality.files import columns
from microscope_quality.files.columns import Column
from microscope_quality.files.pictures import Legend
from microscope_quality.files.plane import Plane
from microscope_quality.files.tables import as_number as number_of
from microscope_quality.measuring.measure import (
    Cell,
    Measure,
    Result,
    Row,
    Scale,
    as_mapping,
    filled,
    hex_colours,
)
from microscope_quality.model import ModelDescription
from microscope_quality.overlay import score_legend, score_overlay
from microscope_quality.rater import RATING, RatingModel, RatingResult, rate_image
from microscope_quality.rating.published import is_published, rater_of
from microscope_quality.statuses import FAILED, GOOD, NO_CONTENT, POOR, RATING_STATUSES, Status

_RETAKE = "retake"
#: Said of scores that a lab's labels made, and of a limit that is the default one.
UNCHOSEN_LIMIT = (
    f"No limit was chosen for this lab's own score; {LOWEST_GOOD_SCORE:g} is used: choose one with "
    "--score-limit."
)
# Begins what is said of a frozen plane, last of its remarks.
_SAME_AS = "It is the same as "
# Lines at either end of a plane that is sampled, which are read to tell a failed grab.
_END_LINES = 256
# What a framework may take for a published network: TensorFlow alone takes most of a gigabyte.
_FRAMEWORK_BYTES = 4 * 2**30
# Standard deviations of half an interval of 95 %.
_CONFIDENT = 1.96

_COMPONENTS = (
    Column("blur_px", "number", "Blur, pixels", 2, True),
    Column("elongation", "number", "Elongation", 2, True),
    Column("angle_deg", "number", "Angle of the long axis, degrees", 0, True),
    Column("noise", "number", "Noise", 2, True),
    Column("line_noise", "number", "Line noise", 2, True),
    Column("jitter_px", "number", "Jitter, pixels", 2, True),
)
_SCORE = Column("score", "share", "Score", 2, True)
_OF_IMAGE = (
    _SCORE,
    *_COMPONENTS,
    Column("status"),
    Column("cause", words="Cause"),
    Column("action", words="What to do"),
    columns.SATURATED,
)
_LATER = (
    Column("score_low", "share"),
    Column("score_high", "share"),
    Column("patches", "integer", "Patches rated"),
    Column("blank_fraction", "share", "Blank share", 2),
    Column("fault", words="Fault of the grab"),
    Column("frame_digest"),
)
_NAMES = tuple(column.name for column in _COMPONENTS)
_JUDGED = ("score", "score_low", "score_high", *_NAMES)


@functools.lru_cache(maxsize=1)
def _model(name: str | None) -> RatingModel:
    """The model of a run: that it had at its start, read once."""
    return rater_of(name)


@dataclass(frozen=True)
class Rating(Measure):
    """How far an image of an electron microscope agrees with an ideal one, by a learned model.

    Attributes
    ----------
    model : str, optional
        Name or folder of a model; the default one without it.
    patches : int, optional
        Number of random places to rate in each plane, by the `seed`; all patches without it. See
        `rater.rate_image`.
    seed : int
        The same one draws the same places.
    score_limit : float
        The lowest score that is good. Rows that were rated by another one are judged again.
    check_grabs : bool
        Whether failed grabs are told apart; of a plane of which places are rated, by the lines at
        its ends. Mosaics with a border, and images with a bar of text, have such lines though they
        are as they should be.
    """

    name = RATING
    title = "Rating"
    statuses = RATING_STATUSES
    value = "score"
    good = "high"
    nouns = "scores"
    needed = ("score", *_NAMES, "status", "cause", "action")
    causes = ("cause", "action")
    judging = ("score_limit",)
    judged_columns = ("status", "cause", "action", "fault", "message")
    # Of serial sections, each counts.
    has_stacks = False
    repeats = "frame_digest"
    needs: ClassVar[Mapping[str, tuple[str, float]]] = {
        "angle_deg": ("elongation", LEAST_ELONGATION)
    }
    is_of_tiles = True
    told = ("score", *_NAMES)
    worst = "Lowest scores"
    templates = ("score {score:2}", "blur {blur_px:1} px")
    drift = (
        "a slow fall is a drift of focus or stigmation, or growing charge; a step is a setting "
        "that changed, or a bump"
    )
    reference = "What the score means"
    caveats = (
        "The score tells how much of the detail that such a specimen has at this pixel size is "
        "there, and how much else is. It knows what optics, electrons and scan do to an image; it "
        "knows nothing of folds, dirt, cracks, poor staining or the wrong place.",
        "Specimens that are smooth even when they are sharp, and images sampled much more finely "
        "than the microscope resolves, are given too low a score: compare images of one specimen, "
        "microscope and pixel size with each other.",
    )

    model: str | None = None
    patches: int | None = None
    seed: int = 0
    score_limit: float = LOWEST_GOOD_SCORE
    check_grabs: bool = True

    @property
    def _description(self) -> ModelDescription:
        return _model(self.model).description

    @property
    def columns(self) -> tuple[Column, ...]:
        return _OF_IMAGE

    @property
    def later_columns(self) -> tuple[Column, ...]:
        return _LATER

    @property
    def patch_columns(self) -> tuple[Column, ...]:
        return (_SCORE, *_COMPONENTS)

    @property
    def scale(self) -> Scale:
        # Of 0.05 each.
        return Scale(hex_colours(11)[::-1], LOWEST_SCORE, 1, ("worst", "ideal"), ranges=18)

    @property
    def limit(self) -> float:
        return self.score_limit

    @property
    def explanation(self) -> str:
        return (
            f"1 is an ideal image of the specimen, {LOWEST_SCORE:g} has nothing of it; from "
            f"{self.score_limit:g} on counts as good."
        )

    @property
    def legend(self) -> Legend:
        low, high = self.scale.ends
        return Legend(score_legend, f"{LOWEST_SCORE:g}, {low}", f"1, {high}")

    @property
    def drawn_words(self) -> str:
        return (
            "Each square is a patch: its colour is its score. Blank ones are left grey, and so are "
            "failed grabs."
        )

    @property
    def reads_whole(self) -> bool:
        return False

    @property
    def is_sample(self) -> bool:
        return self.patches is not None

    @property
    def framework_bytes(self) -> int:
        return _FRAMEWORK_BYTES if is_published(self._description) else 0

    @property
    def patch_size(self) -> int:
        return self._description.patch_size

    def check(self) -> None:
        as_number("score_limit", self.score_limit, LOWEST_SCORE, 1)
        if self.patches is not None:
            as_count("patches", self.patches, 1)
        as_flag("check_grabs", self.check_grabs)
        _model(self.model)

    def settings(self) -> dict[str, object]:
        return {
            "model": self.model,
            "patches": self.patches,
            "seed": None if self.patches is None else self.seed,
            "score_limit": float(self.score_limit),
            "check_grabs": self.check_grabs,
        }

    def identity(self) -> dict[str, object]:
        return {"rater": self._description.sha256}

    def facts(self) -> dict[str, object]:
        used = _model(self.model)
        told = {name: getattr(used.description, name) for name in ("name", "sha256", "patch_size")}
        is_own = used.own_score is not None or is_published(used.description)
        return {**told, "own_score": True} if is_own else told

    def on_any_machine(self) -> Rating:
        folder = self.model is not None and Path(self.model).is_dir()
        return replace(self, model=str(Path(str(self.model)).absolute())) if folder else self

    @classmethod
    def recorded(cls, record: Mapping[str, Any], header: Sequence[str]) -> Rating:
        own = as_mapping(record.get("settings"))
        name, patches, seed, limit = map(own.get, ("model", "patches", "seed", "score_limit"))
        is_limit = isinstance(limit, float) and LOWEST_SCORE <= limit <= 1
        return cls(
            model=name if isinstance(name, str) and name else None,
            patches=patches if isinstance(patches, int) and patches > 0 else None,
            seed=seed if isinstance(seed, int) and seed >= 0 else 0,
            score_limit=float(str(limit)) if is_limit else cls.score_limit,
            check_grabs=own.get("check_grabs") is not False,
        )

    def run(self, plane: Plane) -> Result:
        result = rate_image(
            plane.array,
            _model(self.model),
            patches=self.patches,
            seed=self.seed,
            score_limit=self.score_limit,
        )
        row: dict[str, object] = dict(result.to_row())
        said = [result.message]
        if self.check_grabs:
            grab = self._grab(plane, result)
            row.update(fault=grab.fault, frame_digest=grab.digest)
            # Of a blank one the status tells, and of too large a share of clipped pixels a number.
            said.append("" if grab.fault == BLANK else _said_of(grab))
            if grab.fault == BLANK:
                row.update(dict.fromkeys(_JUDGED, math.nan), status=NO_CONTENT.key)
        row["message"] = " ".join(filter(None, said))
        row.update(self.judged_again(row, ""))
        return Result(
            row,
            functools.partial(_patch_rows, result),
            lambda max_side: score_overlay(plane.array, result, max_side=max_side),
        )

    def _grab(self, plane: Plane, result: RatingResult) -> Acquisition:
        """Tell how a plane was taken; of one of which places were rated, by its ends."""
        height = plane.array.shape[0]
        if result.places is None or height <= 2 * _END_LINES:
            return acquisition_fault(plane.array)
        ends = (plane.array[:_END_LINES, :], plane.array[height - _END_LINES :, :])
        grab = acquisition_fault(np.concatenate([np.asarray(end) for end in ends]))
        told = (CUT, REPEATED) if result.score == result.score else (EMPTY, CUT, REPEATED)
        faults = tuple(fault for fault in grab.faults if fault in told)
        return replace(grab, faults=faults, height=height)

    def judged_again(self, row: Mapping[str, object], same: str) -> dict[str, object]:
        fault, score = str(row.get("fault") or ""), _number(row.get(self.value))
        message = str(row.get("message") or "").partition(_SAME_AS)[0].rstrip()
        fault = "" if fault == FROZEN else fault
        if same and not _is_failed(fault) and score == score:
            fault, message = FROZEN, f"{message} {_SAME_AS}{same}.".lstrip()
        known = {"fault": fault, "message": message}
        if _is_failed(fault):
            return {"status": FAILED.key, "cause": fault, "action": _RETAKE, **known}
        if score != score:
            return {"status": row["status"], "cause": "", "action": "", **known}
        status = GOOD if score >= self.score_limit else POOR
        cause, action = _cause_of(row) if status is POOR else ("", "")
        if fault == SATURATED and not cause:
            cause, action = fault, ACTIONS[fault]
        return {"status": status.key, "cause": cause, "action": action, **known}

    def fault(self, row: Row) -> str:
        score, status = row[self.value], self.status(row)
        if status.is_judged and not score:
            return f"{self.value} is empty, but the status is {status.key}"
        for name in (self.value, "score_low", "score_high"):
            # Tables have six digits.
            if row.get(name) and float(row[name]) < LOWEST_SCORE - 1e-6:
                return f"{name} is {row[name]!r}, but scores begin at {LOWEST_SCORE:g}"
        return ""

    def doubt(self, row: Row) -> tuple[float, str]:
        """See `Measure.doubt`: twice the probability that the score is on the limit's other side.

        It is of a normal distribution whose 95 % are the interval of the score.
        """
        status, score = self.status(row), self.judged(row)
        if score is None:
            return 0.0, ""
        half = self._half(row)
        if not half:
            return 0.0, ""
        doubt = math.erfc(_CONFIDENT * abs(score - self.score_limit) / half / math.sqrt(2))
        other = POOR if status is GOOD else GOOD
        return doubt, f"could be {other.words}: {doubt / 2:.0%}"

    def is_near(self, row: Row) -> bool:
        low, high = (number_of(row.get(f"{self.value}_{end}", "")) for end in ("low", "high"))
        # Comparisons with NaN are false.
        return self.status(row).is_judged and low <= self.score_limit <= high

    def _half(self, row: Row) -> float:
        """Half of the interval of the score; 0 where it is not known."""
        ends = (number_of(row.get(f"{self.value}_{end}", "")) for end in ("low", "high"))
        # One end may be cut off, where scores end.
        apart = (abs(self.number(row) - end) for end in ends)
        return max((one for one in apart if not math.isnan(one)), default=0.0)

    def templates_of(self, status: Status) -> tuple[str, ...]:
        if status is FAILED:
            return ("{fault}", "{action}")
        if status is not POOR:
            return super().templates_of(status)
        return (*self.templates, "{action} ({cause})")

    def details(self, row: Row) -> list[str]:
        status = self.status(row)
        if not status.is_judged:
            return self.said(row)
        do = filled("{action} ({cause})", row)
        numbers = [filled(one, row) for one in ("blur {blur_px:1} px", "noise {noise:2}")]
        return [one for one in (do, numbers[0], _axis(row), numbers[1]) if one]

    def remedy(self, row: Row) -> tuple[str, str]:
        # It may be bad by another limit than the one that it was judged by.
        own = super().remedy(row)
        return _cause_of(row) if self.status(row) is GOOD and not any(own) else own

    def advice(self, row: Row) -> str:
        message = row.get("message", "").rstrip(".")
        if self.status(row) is not FAILED or not message:
            return super().advice(row)
        return f"{message[0].lower()}{message[1:]}; {row['action']}"

    def cells(self, row: Row) -> list[Cell]:
        text = self.short(row)
        known = self.status(row).is_judged

        def shown(template: str) -> str:
            return filled(template, row) if known else ""

        # Of a sample, how much the whole image may differ.
        half = f"{self._half(row):.2f}" if known and self.is_sample else ""
        to_do = "; ".join(filter(None, super().remedy(row)))
        return [
            Cell("Score", ((text, self.colour(row)) if text else ("–", "dim"),)),
            Cell("± 95 %", ((half, ""),)),
            Cell("Blur px", ((shown("{blur_px:1}"), ""),)),
            Cell("What to do", ((to_do, ""),), right=False),
        ]

    @property
    def listed(self) -> tuple[str, ...]:
        return (self.value, "score_low", "score_high", *_NAMES, *self.causes, "fault")


def _said_of(grab: Acquisition) -> str:
    """Say what is wrong with a grab, and of one that is saturated what is to be done about it."""
    if SATURATED not in grab.faults:
        return grab.message
    others = replace(grab, faults=tuple(fault for fault in grab.faults if fault != SATURATED))
    low, high = grab.clipped_low, grab.clipped_high
    if low and high:
        where, do = "at both ends of the grey levels", "lower the gain"
    elif high:
        where, do = "at the upper end of the grey levels", "lower the gain or the brightness"
    else:
        where, do = "at the lower end of the grey levels", "raise the brightness"
    clipped = f"{low + high:.1%} of the pixels are saturated, {where}: {do}."
    return " ".join(filter(None, [others.message, clipped]))


def _is_failed(fault: str) -> bool:
    """Whether a plane with a fault is to be taken again, whatever its numbers are."""
    return ACTIONS.get(fault) == _RETAKE


def _cause_of(row: Mapping[str, object]) -> tuple[str, str]:
    """Give what costs most of a score, and what to do about it."""
    return cause_of(Components(**{name: _number(row.get(name)) for name in _NAMES}))


def _axis(row: Row) -> str:
    """Say how much longer one width of the probe is than the other, and in which direction."""
    ratio, angle = (number_of(row.get(name, "")) for name in ("elongation", "angle_deg"))
    # Comparisons with NaN are false.
    return f"{ratio:.1f} × at {angle:.0f}°" if ratio >= LEAST_ELONGATION else ""


def _number(field: object) -> float:
    """Give a number as it was measured, or of a text."""
    return math.nan if field in (None, "") else float(str(field))


def _patch_rows(result: RatingResult) -> Iterator[dict[str, object]]:
    for (y, x), score, outputs in zip(
        result.patch_positions.tolist(), result.patch_scores.tolist(), result.patch_outputs
    ):
        yield {"y": y, "x": x, "score": score, **vars(components_of(outputs))}
