"""What a file's rows come to: one verdict, and whether it is bad enough to tell somebody."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from microscope_quality.errors import SettingsError
from microscope_quality.files.tables import GROUPS
from microscope_quality.measuring.measure import Measure, Row
from microscope_quality.measuring.rows import PlaneRow, images_of, representative_of
from microscope_quality.statuses import ERROR, NO_CONTENT, Status

# With which errors begin, of what is named before them.
_VERBS = ("is", "has", "was", "lacks", "holds", "cannot", "does", "needs", "took", "takes")


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is said of a file: of its only plane, or of the worst of its planes and z-stacks.

    The same is said of several files that are one z-stack.

    A z-stack is as good as its best plane: that the others are out of focus is no fault. Nor is a
    channel without content, where another one has some. Planes of a z-stack that could not be
    measured are told beside it.

    Attributes
    ----------
    plane : PlaneRow
        The one that speaks for the file.
    status : Status
        Of the file.
    planes : int
        Of the file.
    stack : bool
        Whether the plane is the best of a z-stack.
    files : int
        In which the planes lie.
    failed : PlaneRow, optional
        The first one that could not be measured.
    """

    plane: PlaneRow
    status: Status
    planes: int = 1
    stack: bool = False
    files: int = 1
    failed: PlaneRow | None = None

    @property
    def measure(self) -> Measure:
        """The one that judges."""
        return self.plane.measure

    @property
    def row(self) -> Row:
        """Of the plane."""
        return self.plane.row

    @property
    def error(self) -> str:
        """Why it, or a plane of its stack, could not be measured; of several files, which one."""
        if self.failed is None:
            return ""
        if self.files > 1:
            return _said_of(self.failed.name, self.failed.error)
        if self.status is ERROR:
            return self.failed.error
        return _said_of(str(self.failed.place), self.failed.error)

    @property
    def fault(self) -> str:
        """The same, beside what is said of it in words."""
        if self.status is ERROR or not self.error:
            return self.error
        return f"without a plane: {self.error}"

    @property
    def groups(self) -> dict[str, str]:
        """Its plate, well, site and channel, as far as they are known."""
        return {name: self.row[name] for name in GROUPS if self.row.get(name)}

    @property
    def place(self) -> dict[str, int]:
        """Series, z, c and t of the plane, as far as the file has them."""
        return {axis: at for axis, at in vars(self.plane.place).items() if at is not None}

    def in_words(self) -> str:
        """Say which plane it is and of how many, if there are more than one."""
        # Where nothing has content, no plane is the worst or the best.
        nothing = self.status.is_blank and not self.stack
        if self.planes < 2 or self.status is ERROR or nothing:
            return f"{self.planes} planes" if self.planes > 1 else ""
        where = " ".join(f"{axis}{at}" for axis, at in self.place.items())
        if self.stack:
            return f"{where}, the best of a stack of {self.planes}" if where else ""
        return f"{where}, the worst of {self.planes}"


def verdict_of(planes: Sequence[PlaneRow], stacks: Iterable[Row] = ()) -> Verdict:
    """Give the verdict on a file, or on the files of a z-stack.

    Parameters
    ----------
    planes
        One at least.
    stacks
        The z-stacks, as ``stacks.csv`` has them.
    """
    files = len({plane.name for plane in planes})
    failed = next((plane for plane in planes if plane.error), None)
    measure = planes[0].measure
    measured = [plane for plane in planes if not plane.error]
    judgements = {_stack_of(stack): stack for stack in stacks}
    verdicts = []
    for image in images_of(planes):
        if all(plane.error for plane in image):
            if not any(_may_be_of(image[0], plane) for plane in measured):
                verdicts.append(Verdict(image[0], ERROR, len(planes), files=files))
            continue
        if not image[0].is_of_stack:
            verdicts.append(Verdict(image[0], image[0].kind, len(planes), files=files))
            continue
        stack = judgements.get(_stack_of(image[0].row), {})
        one = representative_of(image, stack)
        status = measure.status_named(stack.get("status", ""))
        status = one.kind if status is ERROR else status
        has_best = len(image) > 1 and not (status.is_blank and stack.get("best_z") == "")
        verdicts.append(Verdict(one, status, len(image), has_best, files))
    telling = [one for one in verdicts if one.status.is_judged or one.status is ERROR]
    verdict = max(telling or verdicts, key=_rank)
    return replace(verdict, failed=verdict.plane if verdict.status is ERROR else failed)


def _said_of(name: str, error: str) -> str:
    """Say an error of what has a name."""
    return f"{name} {error}" if _goes_on(error) else f"{name}: {error}"


def _goes_on(error: str) -> bool:
    """Whether an error is a sentence behind the name of what has it."""
    return error.split(" ", 1)[0] in _VERBS


def _may_be_of(failed: PlaneRow, plane: PlaneRow) -> bool:
    """Whether one that failed is of the other's z-stack: its channel, say, may not be known."""
    own, other = vars(failed.place), vars(plane.place)
    return None not in (own["z"], other["z"]) and all(
        own[axis] in (None, other[axis]) for axis in ("series", "c", "t")
    )


def _stack_of(row: Row) -> tuple[str, ...]:
    return tuple(row[axis] for axis in ("series", "c", "t"))


def _rank(verdict: Verdict) -> tuple[int, float]:
    number = verdict.measure.badness(verdict.measure.number(verdict.row))
    return verdict.status.badness, 0.0 if number != number else number


@dataclass(frozen=True)
class Threshold:
    """What makes a verdict a bad one: an error does, always.

    Attributes
    ----------
    limit : float, optional
        What a plane is judged by (see `Measure.judged`) must not be worse.
    statuses : set of str
        Bad ones.
    """

    limit: float | None = None
    statuses: frozenset[str] = frozenset()

    @classmethod
    def usual(cls, measure: Measure) -> Threshold:
        """Give the threshold of a measure for whoever names none: its bad statuses."""
        return cls(statuses=frozenset(one.key for one in measure.statuses if one.badness == 3))

    def check(self, measure: Measure) -> None:
        """Refuse what no plane can reach.

        Raises
        ------
        SettingsError
            No value is worse than the limit, or every one; or a status is none of the measure's, or
            a good one.
        """
        low, scale = measure.good == "low", measure.scale
        best, worst = (scale.low, scale.high) if low else (scale.high, scale.low)
        limit, side = self.limit, "above" if low else "below"
        if limit is not None:
            said, it = f"limit is {limit:g}, but", f"{measure.noun} is {side} it"
            if worst is not None and not measure.badness(limit) < measure.badness(worst):
                raise SettingsError(f"{said} no {it}: they end at {worst:g}.")
            if best is not None and measure.badness(limit) < measure.badness(best):
                raise SettingsError(f"{said} every {it}.")
        known = [status.key for status in measure.statuses if status.badness]
        wrong = sorted(self.statuses.difference(known))
        if wrong:
            raise SettingsError(f"statuses has {wrong[0]!r}, which is none of {', '.join(known)}.")

    def reason(self, name: str, verdict: Verdict) -> str:
        """Say why a verdict is bad, in a sentence; empty for one that is not."""
        if verdict.status is ERROR:
            # Of several files, the error names one.
            it = "it " if verdict.files == 1 and _goes_on(verdict.error) else ""
            return f"{name} cannot be measured: {it}{verdict.error}"
        return self._reason(name, verdict) or (
            f"{name} has a plane that cannot be measured: {verdict.error}" if verdict.error else ""
        )

    def _reason(self, name: str, verdict: Verdict) -> str:
        """Say why what was measured is bad."""
        status, measure = verdict.status, verdict.measure
        if status.is_blank:
            # Its numbers mean nothing.
            said = "has no content" if status is NO_CONTENT else f"is {status.words}"
            return f"{name} {said}" if status.key in self.statuses else ""
        advice = measure.advice(verdict.row)
        if status.is_void:
            # It is worse than any number.
            is_bad = status.key in self.statuses or self.limit is not None
            return _advised(f"{name} is a {status.words}", advice) if is_bad else ""
        judged, at = measure.judged(verdict.row), measure.at(verdict.row, self.limit)
        worse = self.limit is not None and measure.badness(judged) > measure.badness(self.limit)
        if worse:
            side = "above" if measure.good == "low" else "below"
            said = f"{status.words}, {at}" if status.badness == 2 else at
            return _advised(f"{name} is {said}, {side} {self.limit:g}", advice)
        if status.key in self.statuses:
            return _advised(f"{name} is {status.words}, {at}", advice)
        return ""


def _advised(said: str, advice: str) -> str:
    """Say with what is wrong what to do about it, where that is known."""
    return f"{said}: {advice}" if advice else said
