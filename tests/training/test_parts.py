"""Work in parts: whoever does them, each is done once."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from microscope_quality.errors import FileError
from microscope_quality.training.parts import in_parts


@dataclass(frozen=True)
class Square:
    """Squares numbers, and writes down which."""

    notes: Path

    def __call__(self, number):
        with self.notes.open("a") as file:
            file.write(f"{number}\n")
        return {"square": np.array(number**2), "all": np.arange(number)}


ITEMS = {f"of-{number}": number for number in range(7)}


def squares(found):
    return {name: int(arrays["square"]) for name, arrays in found.items()}


def noted(notes):
    return sorted(map(int, notes.read_text().split())) if notes.exists() else []


@pytest.mark.parametrize("workers", [0, 2])
def test_each_part_is_done_once_and_told(tmp_path, workers):
    notes, told = tmp_path / "notes", []
    for again in range(2):
        found = in_parts(
            Square(notes),
            ITEMS,
            tmp_path / "parts",
            workers=workers,
            report=lambda *counts: told.append(counts),
        )
        assert list(found) == list(ITEMS)
        assert squares(found) == {name: number**2 for name, number in ITEMS.items()}
        np.testing.assert_array_equal(found["of-3"]["all"], [0, 1, 2])
        assert noted(notes) == list(range(7)), again
    assert told == [(done, 7) for done in range(8)] + [(7, 7)]


class StoppedError(Exception):
    """As an interrupt would come, at any moment."""


@pytest.mark.parametrize("workers", [0, 2])
def test_an_interruption_loses_no_part_that_was_told(tmp_path, workers):
    notes, folder = tmp_path / "notes", tmp_path / "parts"

    def stop(done, total):
        if done == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        # Processes may still write theirs down when this one was interrupted.
        in_parts(Square(tmp_path / "before"), ITEMS, folder, workers=workers, report=stop)
    kept = {path.stem for path in folder.iterdir()}
    assert len(kept) == 3
    told = []
    found = in_parts(Square(notes), ITEMS, folder, report=lambda *counts: told.append(counts))
    assert told[0] == (3, 7)
    assert noted(notes) == sorted(ITEMS[name] for name in ITEMS.keys() - kept)
    assert squares(found) == {name: number**2 for name, number in ITEMS.items()}


def test_a_part_that_cannot_be_read_is_done_again(tmp_path):
    notes, folder = tmp_path / "notes", tmp_path / "parts"
    in_parts(Square(notes), ITEMS, folder)
    (folder / "of-4.npz").write_bytes(b"PK")
    notes.unlink()
    assert squares(in_parts(Square(notes), ITEMS, folder))["of-4"] == 16
    assert noted(notes) == [4]


def refuse(number):
    raise FileError(f"image {number}: is gone")


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_part_raises_is_raised(tmp_path, workers):
    with pytest.raises(FileError, match="image 0: is gone"):
        in_parts(refuse, {"one": 0}, tmp_path / "parts", workers=workers)


def test_no_folder_for_the_parts_is_said(tmp_path):
    (tmp_path / "parts").write_text("")
    with pytest.raises(FileError, match="parts"):
        in_parts(refuse, {}, tmp_path / "parts")
