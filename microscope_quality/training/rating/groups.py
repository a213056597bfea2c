"""Which labelled patches belong together, and a split that keeps them together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from microscope_quality.errors import SettingsError
from microscope_quality.rating.labelled import LabelledPatch
from microscope_quality.training.fields import GroupBy

FOLDER, IMAGE = "folder", "image"
# Folders that are groups unless told otherwise; with fewer, one held out is too much.
_ENOUGH_FOLDERS = 3


def groups_of(patches: Sequence[LabelledPatch], group_by: str | None = None) -> list[str]:
    r"""Name the group of each patch: what is never on both sides of a split.

    Parameters
    ----------
    patches : sequence of LabelledPatch
    group_by : str, optional
        ``"folder"`` or ``"image"``, the place of a patch; ``column=NAME``, a column of the table
        of labels; or a regular expression whose named groups name it, such as
        ``(?P<animal>m\d+)_(?P<section>s\d+)``, searched for in the file's name and then in its
        path as the table has it. By default the folder where there are three or more, else the
        image. Never the patch: neighbours in an image look alike.

    Returns
    -------
    list of str

    Raises
    ------
    SettingsError
        `group_by` is no such thing, or tells no group of a patch.
    """
    if group_by is None:
        group_by = _usual(patches)
    if group_by in (FOLDER, IMAGE):
        # A file of several planes is one image.
        places = [patch.path if group_by == IMAGE else patch.path.parent for patch in patches]
        return _shortest(places)
    by = GroupBy.parse(group_by)
    if by.pattern is None and not any(by.column in patch.more for patch in patches):
        columns = ", ".join(sorted({name for patch in patches for name in patch.more})) or "none"
        raise SettingsError(
            f"group_by names the column {by.column!r}, which the table of labels lacks; beside "
            f"those of labels it has: {columns}."
        )
    groups = [by.field(Path(patch.image), patch.more) for patch in patches]
    without = [patch.image for patch, group in zip(patches, groups) if not group.strip()]
    if without:
        raise SettingsError(
            f"group_by tells no group of {len(without)} of {len(groups)} labelled patches, the "
            f"first of them in {without[0]}; it must of all."
        )
    return groups


def _usual(patches: Sequence[LabelledPatch]) -> str:
    """By what patches are grouped when nothing else is asked for."""
    return FOLDER if len(set(groups_of(patches, FOLDER))) >= _ENOUGH_FOLDERS else IMAGE


def called(patches: Sequence[LabelledPatch], group_by: str | None = None) -> str:
    """Say what the groups of `groups_of` are, several of them, such as "folders"."""
    if group_by is None:
        group_by = _usual(patches)
    if group_by in (FOLDER, IMAGE):
        return f"{group_by}s"
    by = GroupBy.parse(group_by)
    if by.pattern is None:
        return f"groups by the column {by.column}"
    return f"groups by {' and '.join(by.pattern.groupindex)}"


def split(groups: Sequence[str], fraction: float, seed: int) -> frozenset[str]:
    """Choose the groups to hold out.

    Parameters
    ----------
    groups : sequence of str
        Of each patch.
    fraction : float
        Share of the groups, above 0 and at most 0.5; at least one is held out.
    seed : int
        Of the choice.

    Raises
    ------
    SettingsError
        There are fewer than two groups, or the share is out of its range.
    """
    if not 0 < fraction <= 0.5:
        raise SettingsError(
            f"validation_fraction must be above 0 and at most 0.5, as the epoch is chosen on what "
            f"is held out; it is {fraction:g}."
        )
    names = sorted(set(groups))
    if len(names) < 2:
        raise SettingsError(
            f"The labels are of one group, {names[0]}, and there must be two at least, one to hold "
            "out: label images of more sections or animals, or tell groups apart by group_by."
        )
    order = np.random.default_rng(seed).permutation(len(names))
    number = max(1, round(fraction * len(names)))
    return frozenset(names[k] for k in order[:number])


def _shortest(places: Sequence[Path]) -> list[str]:
    """Name places by what of their paths tells them apart, and does not tell whose disk it is."""
    resolved = [place.resolve() for place in places]
    for length in range(1, max(len(path.parts) for path in resolved) + 1):
        names = ["/".join(path.parts[-length:]) for path in resolved]
        if len(set(names)) == len(set(resolved)):
            return names
    return [str(path) for path in resolved]
