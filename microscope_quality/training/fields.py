"""Fields of view: which images belong together, and a split that keeps them together."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from microscope_quality.errors import SettingsError
from microscope_quality.training.entries import Listed

Image = TypeVar("Image", bound=Listed)
# Named groups of a pattern that tell images of one field apart.
_WITHIN_A_FIELD = frozenset({"z", "channel", "c"})


@dataclass(frozen=True)
class GroupBy:
    """What tells which images belong together.

    Attributes
    ----------
    pattern : re.Pattern, optional
        Its named groups name the field of view; ``z``, the plane of a stack, and ``channel`` or
        ``c`` tell images of one field apart. It is searched for in the file's name, then in its
        path.
    column : str
        Instead of the pattern: a column of the manifest.
    """

    pattern: re.Pattern[str] | None = None
    column: str = "field"

    @classmethod
    def parse(cls, text: str) -> GroupBy:
        """Read ``column=NAME`` or a regular expression with named groups.

        Raises
        ------
        SettingsError
            If it is neither.
        """
        if text.startswith("column="):
            return cls(column=text.removeprefix("column="))
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise SettingsError(f"group_by is no regular expression: {error}.") from error
        if not set(pattern.groupindex) - _WITHIN_A_FIELD:
            raise SettingsError(
                "group_by needs column=NAME or a regular expression with a named group, such as "
                f"(?P<well>[A-P]\\d+), that names the field; it is {text!r}."
            )
        return cls(pattern=pattern)

    def match(self, path: Path) -> dict[str, str]:
        """Give the named groups found in a path; none where the pattern is not."""
        if self.pattern is None:
            return {}
        found = self.pattern.search(path.name) or self.pattern.search(path.as_posix())
        if found is None:
            return {}
        return {name: text for name, text in found.groupdict().items() if text is not None}

    def field(self, path: Path, row: Mapping[str, str]) -> str:
        """Name the field of view of an image; empty where neither name nor table tells it.

        Parameters
        ----------
        path : Path
            Of the image.
        row : mapping of str to str
            Of the image in its manifest; empty when there is none.
        """
        groups = self.match(path)
        named = "/".join(text for name, text in groups.items() if name not in _WITHIN_A_FIELD)
        return named or row.get(self.column) or ""


def split_by_field(
    images: Sequence[Image], validation_fraction: float, seed: int, *, seen: Collection[str] = ()
) -> tuple[list[Image], list[Image]]:
    """Split into training and validation images, no field on both sides.

    From every kind with at least three fields, ``validation_fraction`` of its fields (at least
    one) go to validation; smaller kinds are for training.

    Parameters
    ----------
    images : sequence of SharpImage or StoredImage
    validation_fraction : float
    seed : int
        Of the choice.
    seen : collection of str
        Images that the model has learned from before, by their `entry`: a field with one of them is
        never held out.

    Raises
    ------
    SettingsError
        If ``validation_fraction`` is not in [0, 0.5], or nothing would be left on one side.
    """
    if not 0 <= validation_fraction <= 0.5:
        raise SettingsError(
            f"validation_fraction must lie between 0 and 0.5; it is {validation_fraction}."
        )
    rng = np.random.default_rng(seed)
    held_out: set[str] = set()
    known = {image.field for image in images if image.entry in seen}
    for kind in sorted({image.kind for image in images}):
        fields = sorted({image.field for image in images if image.kind == kind})
        if len(fields) >= 3 and validation_fraction > 0:
            drawn = [fields[number] for number in rng.permutation(len(fields))]
            unknown = [field for field in drawn if field not in known]
            held_out.update(unknown[: max(1, round(validation_fraction * len(fields)))])
    training = [image for image in images if image.field not in held_out]
    validation = [image for image in images if image.field in held_out]
    if validation_fraction > 0 and not validation and known:
        raise SettingsError(
            "The model that training goes on from has learned from images of "
            f"{len(known)} of the {len({image.field for image in images})} fields, so that none "
            "can be held out: add images that it has not seen, at least 3 fields of one kind with "
            "those, or give validation_fraction=0."
        )
    if not training or (validation_fraction > 0 and not validation):
        raise SettingsError(
            f"{len(images)} images of {len({image.field for image in images})} fields are too few "
            "to split: give at least 3 fields of one kind, or validation_fraction=0."
        )
    return training, validation
