"""What a file's rows come to: one verdict, and whether it is bad enough to tell somebody."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional

from microscope_quality.files.tables import as_number

#: From the best to the worst; of several planes the worst one speaks for the file.
KINDS = ("in_focus", "no_content", "mixed", "out_of_focus", "error")
_AXES = ("series", "z", "c", "t")


@dataclass(frozen=True)
class Verdict:
    """What is said of a file: of its only plane, or of the worst of its planes and z-stacks.

    A z-stack is as good as its best plane: that the others are out of focus is no fault.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    level, expected_level, certainty, defocus_um : float
        Of the plane that speaks for the file; NaN where there is none.
    place : mapping
        Its series, z, c and t, as far as the file has them.
    planes : int
        Of the file.
    stack : bool
        Whether the plane is the best of a z-stack.
    message : str
        What is said of that plane beside its numbers.
    error : str
        The first one.
    groups : mapping
        Its plate, well, site and channel, as far as they are known.
    """

    kind: str
    level: float = math.nan
    expected_level: float = math.nan
    certainty: float = math.nan
    defocus_um: float = math.nan
    place: Mapping[str, int] = field(default_factory=dict)
    planes: int = 1
    stack: bool = False
    message: str = ""
    error: str = ""
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def judged_level(self) -> Optional[int]:
        """Level by which the file is judged; None where there is none.

        Half of a mixed image may be in focus, and its level is then the best one: it is judged by
        its expected level, rounded, if that is worse.
        """
        if self.kind in ("error", "no_content") or math.isnan(self.level):
            return None
        level = int(self.level)
        if self.kind == "mixed" and not math.isnan(self.expected_level):
            return max(level, math.floor(self.expected_level + 0.5))
        return level

    def level_text(self) -> str:
        """Write the level that it is judged by; empty where none can stand for the image."""
        level = self.judged_level
        if self.kind == "mixed":
            return f"~{level}" if level else ""
        return "" if level is None else str(level)

    def in_words(self) -> str:
        """Say which plane it is and of how many, if there are more than one."""
        if self.planes < 2 or self.kind == "error":
            return f"{self.planes} planes" if self.planes > 1 else ""
        where = " ".join(f"{axis}{n}" for axis, n in self.place.items())
        if self.stack:
            return f"{where}, the best of a stack of {self.planes}" if where else ""
        return f"{where}, the worst of {self.planes}"


def verdict_of(
    rows: Sequence[Mapping[str, str]], stacks: Iterable[Mapping[str, str]] = ()
) -> Verdict:
    """Give the verdict on a file.

    Parameters
    ----------
    rows
        Of its planes, as ``results.csv`` has them, as text.
    stacks
        Of its z-stacks, as ``stacks.csv`` has them.
    """
    judged = []
    errors = [row["error"] for row in rows if row["error"]]
    if errors:
        return Verdict("error", planes=len(rows), error=errors[0], groups=_groups(rows[0]))
    of_stack: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for row in rows:
        if row["z"]:
            of_stack.setdefault(_stack_of(row), []).append(row)
        else:
            judged.append(_of_plane(row, len(rows), False))
    judgements = {_stack_of(stack): stack for stack in stacks}
    for place, planes in of_stack.items():
        judgement = judgements.get(place, {})
        named = [row for row in planes if row["z"] == judgement.get("best_z")]
        best = min(named or planes, key=lambda row: (row["status"] == "no_content", _level(row)))
        one = _of_plane(best, len(planes), len(planes) > 1)
        kind = judgement.get("status", one.kind)
        judged.append(Verdict(**{**vars(one), "kind": kind if kind in KINDS else one.kind}))
    return max(judged, key=lambda one: (KINDS.index(one.kind), _or_zero(one.expected_level)))


def _stack_of(row: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(row[axis] for axis in ("series", "c", "t"))


def _of_plane(row: Mapping[str, str], planes: int, stack: bool) -> Verdict:
    return Verdict(
        kind=row["status"],
        level=as_number(row["level"]),
        expected_level=as_number(row["expected_level"]),
        certainty=as_number(row["certainty"]),
        defocus_um=as_number(row["defocus_um"]),
        place={axis: int(row[axis]) for axis in _AXES if row[axis]},
        planes=planes,
        stack=stack,
        message=row["message"],
        groups=_groups(row),
    )


def _groups(row: Mapping[str, str]) -> dict[str, str]:
    return {name: row[name] for name in ("plate", "well", "site", "channel") if row.get(name)}


def _level(row: Mapping[str, str]) -> float:
    level = as_number(row["expected_level"])
    return math.inf if math.isnan(level) else level


def _or_zero(number: float) -> float:
    return 0.0 if math.isnan(number) else number


@dataclass(frozen=True)
class Threshold:
    """What makes a verdict a bad one: an error does, always.

    Attributes
    ----------
    level : int, optional
        Levels above it; of a mixed image its `Verdict.judged_level`.
    statuses : set of str
        Verdicts.
    """

    level: Optional[int] = None
    statuses: frozenset[str] = frozenset()

    def reason(self, name: str, verdict: Verdict) -> str:
        """Say why a verdict is bad, in a sentence; empty for one that is not."""
        if verdict.kind == "error":
            return f"{name} cannot be measured: {verdict.error}"
        if verdict.kind == "no_content":
            # Its numbers mean nothing.
            return f"{name} has no content" if "no_content" in self.statuses else ""
        level, said = verdict.judged_level, f"at level {verdict.level:.0f}"
        if verdict.kind == "mixed" and not math.isnan(verdict.expected_level):
            # The higher of the two is what is judged.
            higher = round(verdict.expected_level) >= verdict.level
            expected = f"at an expected level of {verdict.expected_level:.1f}"
            said = f"mixed, {expected if higher else said}"
        if self.level is not None and level is not None and level > self.level:
            return f"{name} is {said}, above {self.level}"
        if verdict.kind in self.statuses:
            kind = verdict.kind.replace("_", " ")
            return f"{name} is {said if said.startswith(kind) else f'{kind}, {said}'}"
        return ""
