"""The table of labels: the scores that raters gave to images, or to patches of them.

A CSV file with the columns of `COLUMNS`; each row is what one rater said at one time:

``image``
    Path of the file, from the table's folder on, with forward slashes; of a file of several planes
    with the plane behind it, as in ``stack.tif#z=3`` (see `plane_names`).
``y``, ``x``, ``size``
    Upper left pixel and side of a square patch; all three are empty for a whole image.
``score``
    From 0.1 (worst) to 1 (best); empty where the rater skipped the image. From other programs,
    any number from 0 to 1.
``rater``
    A name.
``time``, ``seconds``
    When the score was given, in UTC, and how long the image was looked at.
``repeat``
    1 where it was shown to this rater a second time, to measure how well scores repeat; else 0.
``comment``
    What the rater wrote.

Rows are only ever added. Who corrects a score adds a row: of several with the same image, patch,
rater and ``repeat`` the last one holds, and if that has no score, the image was skipped after all.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from microscope_quality.arguments import (
    as_a,
    as_count,
    as_list,
    as_number,
    as_path,
    as_text,
    shown,
)
from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files import tables
from microscope_quality.files.regular import open_regular, refusals
from microscope_quality.files.whole import whole

#: Columns of the table, in their order.
COLUMNS = (*("image", "y", "x", "size", "score", "rater", "time", "seconds", "repeat", "comment"),)
#: Those that a table of other programs needs.
NEEDED = ("image", "score")
#: Letters of a rater's name and of a comment.
LONGEST_NAME, LONGEST_COMMENT = 60, 1000

_PLACE = ("y", "x", "size")
_TEXTS = ("image", "rater", "time", "comment")
_LARGEST_PIXEL = 2**31
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Label:
    """What a rater said of an image: a row of the table.

    Attributes
    ----------
    image : str
        Path of the file as the table has it, with the plane behind it in a file of several.
    y, x, size : int, optional
        Upper left pixel and side of the patch that was shown; None for the whole image.
    score : float
        From 0 (worst) to 1 (best); NaN where the image was skipped.
    rater : str
        Name of who gave it; empty if it is not known.
    time : str
        When, as ``2026-03-01T12:00:00Z``; empty if it is not known.
    seconds : float
        How long the image was looked at; NaN if it is not known.
    repeat : int
        1 where the image was shown to the rater for the second time, else 0.
    comment : str
        What the rater wrote.
    more : mapping of str to str
        What other columns of the table say, such as the animal or the session.

    Raises
    ------
    SettingsError
        A value is out of its range.
    """

    image: str
    y: int | None = None
    x: int | None = None
    size: int | None = None
    score: float = math.nan
    rater: str = ""
    time: str = ""
    seconds: float = math.nan
    repeat: int = 0
    comment: str = ""
    more: Mapping[str, str] = field(default_factory=lambda: _NOTHING, compare=False)

    def __post_init__(self) -> None:
        for name in _TEXTS:
            as_text(name, getattr(self, name))
        if not self.image:
            raise SettingsError("image must name a file, and is empty.")
        place = [getattr(self, name) for name in _PLACE]
        if any(value is None for value in place) and any(value is not None for value in place):
            raise SettingsError("y, x and size must be given together, or none of them.")
        if self.size is not None:
            for name, low in (("y", 0), ("x", 0), ("size", 1)):
                as_count(name, getattr(self, name), low, _LARGEST_PIXEL)
        if not _is_nan(self.score):
            as_number("score", self.score, 0, 1)
        if not _is_nan(self.seconds):
            as_number("seconds", self.seconds, 0)
        as_count("repeat", self.repeat, 0, 1)

    @property
    def is_skipped(self) -> bool:
        """Whether there is no score."""
        return math.isnan(self.score)

    @property
    def place(self) -> tuple[str, int | None, int | None, int | None]:
        """What was shown: image, y, x and size."""
        return self.image, self.y, self.x, self.size

    @property
    def question(self) -> tuple[str, int | None, int | None, int | None, str, int]:
        """What was asked, and of whom: `place`, rater and repeat."""
        return *self.place, self.rater, self.repeat


def read_labels(path: str | os.PathLike[str]) -> list[Label]:
    """Read the scores that hold: of each question the last answer, without those skipped.

    Parameters
    ----------
    path
        A table of this library, or one with the columns ``image`` and ``score`` at least, in any
        order, as UTF-8 CSV with commas. Without a column ``repeat``, each row counts.

    Returns
    -------
    list of Label
        In the order in which the questions were first answered.

    Raises
    ------
    FileError
        The file is missing, not readable, lacks a column, holds what is no label, or no label at
        all. The message names the line, the column, what was found and what would be right.
    """
    path = as_path("path", path)
    columns, rows = _read(path)
    found = rows if "repeat" not in columns else list(holding(rows).values())
    labels = [label for label in found if not label.is_skipped]
    if not labels:
        what = "has no row below its header" if not rows else "has no row with a score"
        raise FileError(f"{path}: {what}, so there is nothing to learn from it")
    return labels


def read_rows(path: str | os.PathLike[str]) -> list[Label]:
    """Read all rows of a table of labels, also those that were corrected later or are skipped.

    Raises
    ------
    FileError
        As for `read_labels`, but for a table without rows.
    """
    return _read(as_path("path", path))[1]


def holding(rows: Sequence[Label]) -> dict[tuple[Any, ...], Label]:
    """Give the answer that holds for each question (`Label.question`): the last one."""
    return {label.question: label for label in rows}


def check_usable(labels: Sequence[Label]) -> None:
    """Refuse labels from which no score can be learnt.

    Parameters
    ----------
    labels : sequence of Label
        As `read_labels` gives them.

    Raises
    ------
    SettingsError
        There is none, or all have one score.
    """
    labels = [as_a(Label, "labels", label) for label in as_list("labels", labels, "labels")]
    number = sum(not label.is_skipped for label in labels)
    scores = {label.score for label in labels if not label.is_skipped}
    if not scores:
        raise SettingsError("labels must have a score, and none of them has one.")
    if len(scores) == 1:
        raise SettingsError(
            f"labels must have different scores, and all {number} have {scores.pop():g}: "
            "give scores to images from the worst to the best."
        )


class LabelsFile:
    """A table of labels that is added to; used as a context, from any thread.

    A label is on the disk when `add` returns. What a killed process left of a row that was not
    written to its end is cut off when the file is opened again. When another program saved the
    table in between, it is read again before a row is added; when one took it away, it is written
    anew.

    Parameters
    ----------
    path
        Of the table; made if it is missing, with its folder. One that is there must have all
        `COLUMNS`, and may have others.

    Attributes
    ----------
    path : Path
        Of the table.

    Raises
    ------
    FileError
        There is another file at that place, it cannot be written, or another process adds to it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from filelock import FileLock, Timeout

        self.path = as_path("path", path)
        self._columns: list[str] = list(COLUMNS)
        self._rows: list[Label] = []
        self._holding: dict[tuple[Any, ...], Label] = {}
        self._seen: tuple[int, ...] = ()
        self._adding = threading.Lock()
        with refusals(self.path, "written"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(
                self.path.with_name(f".{self.path.name}.lock"), thread_local=False
            )
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise FileError(
                    f"{self.path}: another process adds labels to it; end that one, or choose "
                    "another file"
                ) from None
            except NotImplementedError:
                pass  # a file system without locks
        try:
            self._read_again()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> LabelsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def rows(self) -> list[Label]:
        """All rows, in their order."""
        with self._adding:
            return list(self._rows)

    def answer(self, question: tuple[Any, ...]) -> Label | None:
        """Give the row that holds for a question (`Label.question`), if it was answered."""
        with self._adding:
            return self._holding.get(question)

    def add(self, label: Label) -> bool:
        """Write a label, unless the table holds the same answer to the same question already.

        Parameters
        ----------
        label : Label
            Its ``more`` is not written.

        Returns
        -------
        bool
            Whether a row was written.

        Raises
        ------
        FileError
            The disk refuses, as when it is full; then nothing of the row stays.
        SettingsError
            The image's name has a line break.
        """
        label = _as_stored(as_a(Label, "label", label))
        with self._adding:
            if self._seen != _state(self.path):
                self._read_again()
            if _same_answer(self._holding.get(label.question), label):
                return False
            with refusals(self.path, "written"):
                _append(self.path, self._encoded([label]))
                self._seen = _state(self.path)
            self._rows.append(label)
            self._holding[label.question] = label
        return True

    def close(self) -> None:
        """Let others add to the table."""
        if self._lock.is_locked:
            # Before the lock is given up: after it, the file could be another process's.
            with contextlib.suppress(OSError):
                Path(self._lock.lock_file).unlink(missing_ok=True)
            self._lock.release(force=True)

    def _read_again(self) -> None:
        """Take in what the file holds; mend its end, or write it if it is missing."""
        if not os.path.lexists(self.path) or _is_blank(self.path):
            with whole(self.path) as part:
                part.write_bytes(tables.encoded_header(self._columns) + self._encoded(self._rows))
        _mend(self.path)
        # Before it is read: what another program saves meanwhile is seen the next time.
        seen = _state(self.path)
        columns, rows = _read(self.path)
        missing = [name for name in COLUMNS if name not in columns]
        if missing:
            raise FileError(
                f"{self.path}: lacks the column {missing[0]}, so no label can be added to it; "
                "choose another file"
            )
        self._columns, self._rows, self._holding = columns, rows, holding(rows)
        self._seen = seen

    def _encoded(self, labels: Iterable[Label]) -> bytes:
        return tables.encoded(self._columns, ({**_values(one), **one.more} for one in labels))


def _values(label: Label) -> dict[str, Any]:
    return {name: getattr(label, name) for name in COLUMNS}


def _as_stored(label: Label) -> Label:
    """Give a label as it is read again: texts in one line, and all of it valid."""
    values = _values(label)
    if "\n" in label.image or "\r" in label.image:
        raise SettingsError(f"image must have no line break in its name, as {shown(label.image)}.")
    for name in _TEXTS:
        values[name] = tables.as_stored(values[name])
    for name in ("rater", "time", "comment"):
        values[name] = " ".join(values[name].split())
    return Label(**values)


def _is_blank(path: Path) -> bool:
    """Whether a file holds nothing, or the beginning of a header alone."""
    header = tables.encoded_header(COLUMNS)
    with refusals(path), open_regular(path) as stream:
        start = stream.read(len(header))
    return len(start) < len(header) and header.startswith(start)


def _state(path: Path) -> tuple[int, ...]:
    """Tell by what a file is known not to have been changed; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _append(path: Path, content: bytes) -> None:
    """Add to a file's end all of the content, on the disk, or nothing."""
    flags = os.O_WRONLY | os.O_APPEND
    for name in ("O_BINARY", "O_CLOEXEC"):
        flags |= getattr(os, name, 0)
    stream = os.open(path, flags)
    try:
        end = os.fstat(stream).st_size
        try:
            if os.write(stream, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(stream)
        except BaseException:
            os.ftruncate(stream, end)
            raise
    finally:
        os.close(stream)


def _mend(path: Path) -> None:
    """Cut off a last row that was not written to its end, or end the last line."""
    with refusals(path), open_regular(path) as stream:
        found = list(tables.records(stream))
    if not found or tables.is_whole(found[-1][1]):
        return
    start, last = found[-1]
    if b"\n" in last:
        # No row of this library has a line break: a quote is left open, perhaps far above.
        return
    with refusals(path, "written"), path.open("r+b") as file:
        if len(found) == 1 or _is_complete(last, found[0][1]):
            # As an editor may leave it.
            file.seek(0, os.SEEK_END)
            file.write(b"\n" if last.endswith(b"\r") else b"\r\n")
        else:
            file.truncate(start)
        file.flush()
        os.fsync(file.fileno())


def _is_complete(record: bytes, header: bytes) -> bool:
    """Whether a record has all fields, though perhaps not its line end.

    Of a row of this library that was cut, all but the comment is whole then.
    """
    try:
        return len(tables.fields(record)) == len(tables.fields(header))
    except ValueError:
        return False


def _same_answer(one: Label | None, other: Label) -> bool:
    if one is None or one.comment != other.comment:
        return False
    return one.score == other.score or (one.is_skipped and other.is_skipped)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _read(path: Path) -> tuple[list[str], list[Label]]:
    with refusals(path), open_regular(path) as stream:
        rows = list(_lines(tables.records(stream)))
    if len(rows) > 1 and b"\n" not in rows[-1][1] and not _is_complete(rows[-1][1], rows[0][1]):
        # It is still being written, or was never finished.
        del rows[-1]
    if not rows:
        raise FileError(f"{path}: is empty; it must have the columns {', '.join(COLUMNS)}")
    try:
        columns = tables.fields(rows[0][1].removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise FileError(f"{path}: is not a table as UTF-8 CSV ({error})") from None
    columns = [name.strip() for name in columns]
    _check_columns(path, columns)
    return columns, [_label(path, columns, line, record) for line, record in rows[1:]]


def _lines(records: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Give records that are not empty, each with the number of its first line."""
    line = 1
    for _, record in records:
        if record.strip():
            yield line, record
        line += record.count(b"\n")


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        separators = [sign for sign in (";", "\t") if len(columns) == 1 and sign in columns[0]]
        hint = "; save it with commas between its fields" if separators else ""
        found = ", ".join(columns)[:200]
        raise FileError(
            f"{path}: lacks the column {missing[0]}; its first line must name the columns image "
            f"and score at least, and has {found}{hint}"
        )
    twice = [name for name in COLUMNS if columns.count(name) > 1]
    if twice:
        raise FileError(f"{path}: has the column {twice[0]} twice, and must have it once")
    places = [name for name in _PLACE if name in columns]
    if places and len(places) < len(_PLACE):
        lacking = next(name for name in _PLACE if name not in columns)
        raise FileError(
            f"{path}: lacks the column {lacking}; it must have y, x and size, or none of them"
        )


def _label(path: Path, columns: Sequence[str], line: int, record: bytes) -> Label:
    try:
        texts = tables.fields(record)
    except ValueError as error:
        raise FileError(f"{path}: line {line} is damaged ({error})") from None
    if len(texts) != len(columns):
        raise FileError(
            f"{path}: line {line} has {len(texts)} fields, and must have {len(columns)}, one for "
            "each column"
        )
    row = dict(zip(columns, texts))
    values: dict[str, Any] = {}
    for name, convert, wanted in _KINDS:
        text = row.get(name, "")
        try:
            values[name] = convert(text)
        except ValueError:
            raise FileError(
                f"{path}: line {line}, column {name}: found {shown(text)}, and it must be {wanted}"
            ) from None
    given = [name for name in _PLACE if values[name] is not None]
    if given and len(given) < len(_PLACE):
        raise FileError(
            f"{path}: line {line}, column {next(n for n in _PLACE if n not in given)}: is empty; "
            "y, x and size must be given together, or be empty for a whole image"
        )
    more = {name: text for name, text in row.items() if name not in COLUMNS}
    return Label(**values, more=MappingProxyType(more) if more else _NOTHING)


def _text_of(text: str) -> str:
    return text.strip()


def _image_of(text: str) -> str:
    if not text:
        raise ValueError
    return text


def _number_of(low: float, high: float) -> Any:
    def convert(text: str) -> float:
        number = tables.as_number(text.strip())
        if not (math.isnan(number) or low <= number <= high):
            raise ValueError
        return number

    return convert


def _whole_of(low: int, high: int, empty: int | None) -> Any:
    def convert(text: str) -> int | None:
        text = text.strip()
        if not text:
            return empty
        if not re.fullmatch(r"[0-9]{1,12}(\.0*)?", text) or not low <= int(float(text)) <= high:
            raise ValueError
        return int(float(text))

    return convert


# Of each column, how it is read and what it must be.
_KINDS: tuple[tuple[str, Any, str], ...] = (
    ("image", _image_of, "the path of a file"),
    ("y", _whole_of(0, _LARGEST_PIXEL, None), "a whole number from 0, or empty"),
    ("x", _whole_of(0, _LARGEST_PIXEL, None), "a whole number from 0, or empty"),
    ("size", _whole_of(1, _LARGEST_PIXEL, None), "a whole number from 1, or empty"),
    ("score", _number_of(0, 1), "a number from 0 to 1, such as 0.7, or empty for none"),
    ("rater", _text_of, "a name"),
    ("time", _text_of, "a time"),
    ("seconds", _number_of(0, math.inf), "a number of seconds from 0, or empty"),
    ("repeat", _whole_of(0, 1, 0), "0 or 1"),
    ("comment", _text_of, "a text"),
)
