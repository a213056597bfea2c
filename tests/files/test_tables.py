"""Tables: their columns, numbers and quoting, and that they are whole or not there."""

from __future__ import annotations

import csv
import math
import os
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import sparse_files

from microscope_quality.errors import FileError
from microscope_quality.files.columns import Column
from microscope_quality.files.tables import (
    Table,
    as_number,
    as_stored,
    as_text,
    check_replaceable,
    encoded,
    encoded_header,
    is_as_written,
    names_stored_as,
    read_table,
)


def rows(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def written(path, *given, names=("name", "b", "c")):
    table = Table(path, names)
    table.append(*given)
    table.finish()
    return rows(path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (np.float32(0.25), "0.25"),
        (1.23456789, "1.23457"),
        (123456789.0, "1.23457e+08"),
        (123456789, "123456789"),
        (np.int64(12), "12"),
        (1e-12, "1e-12"),
        (-0.0, "0"),
        (math.nan, ""),
        (None, ""),
        ("", ""),
        (0, "0"),
    ],
)
def test_numbers_as_text(tmp_path, value, text):
    assert written(tmp_path / "t.csv", {"name": "x", "b": value})[0]["b"] == text


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_name_comes_back(tmp_path_factory, name):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    # The csv module's reader takes no NUL before Python 3.11.
    name = name.replace("\0", "0")
    assert written(path, {"name": name, "c": 1}) == [{"name": name, "b": "", "c": "1"}]


def test_a_name_that_is_no_text_does_not_spoil_the_table(tmp_path):
    name = os.fsdecode(b"n\xff.tif")
    assert written(tmp_path / "t.csv", {"name": name})[0]["name"] == r"n\udcff.tif"


def test_rows_are_there_at_once_and_the_table_only_in_the_end(tmp_path):
    path = tmp_path / "t.csv"
    table = Table(path, ("name", "b", "c"))
    table.append({"name": "x"})
    part = tmp_path / "t.csv.part"
    assert part.read_bytes() == b"name,b,c\r\nx,,\r\n"
    assert not path.exists()
    table.append({"name": "y"}, {"name": "z"})
    table.finish()
    assert [row["name"] for row in rows(path)] == ["x", "y", "z"]
    assert not part.exists()


def test_an_older_table_stays_until_the_new_one_is_finished(tmp_path):
    path = tmp_path / "t.csv"
    written(path, {"name": "old"})
    table = Table(path, ("name", "b", "c", "added"))
    table.append({"name": "new"})
    assert rows(path)[0]["name"] == "old"
    table.close()
    assert rows(path)[0]["name"] == "old"
    assert [row["name"] for row in rows(tmp_path / "t.csv.part")] == ["new"]


def test_a_table_of_other_measures_is_replaced(tmp_path):
    path = tmp_path / "t.csv"
    written(path, {"file": "a"}, names=("file", "plate", "well", "site", "level", "checksum"))
    other = ("file", "plate", "well", "site", "mean", "checksum")
    written(path, {"file": "b", "mean": 3}, names=other)
    assert [row["mean"] for row in rows(path)] == ["3"]
    # One with a checksum of another program's is none of these.
    path.write_text("name,of,some,thing,checksum\n1,2,3,4,5\n")
    with pytest.raises(FileError, match="is there already"):
        Table(path, other)


@pytest.mark.parametrize(
    "content", [b"", b"my notes", b"name;b;c\n", b"\xff\xfe\0", b"name,b\n", b"a,b,c\n1,2,3\n"]
)
def test_what_is_no_such_table_is_not_replaced(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(FileError, match="t.csv: is there already"):
        Table(path, ("name", "b", "c"))
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_place_is_not_replaced(tmp_path):
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(FileError, match=r"t\.csv"):
        Table(tmp_path / "t.csv", ("name", "b", "c"))


def test_a_place_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match=r"t\.csv\.part: cannot be written"):
        Table(tmp_path / "missing" / "t.csv", ("name", "b", "c"))


def test_a_full_disk(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5, before[1]))
    try:
        with pytest.raises(FileError, match="File too large"):
            Table(tmp_path / "t.csv", ("name", "b", "c"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_what_is_beside_the_place_is_not_written_through(tmp_path, kind):
    other = tmp_path / "other"
    other.write_text("precious")
    if kind == "pipe":
        os.mkfifo(tmp_path / "t.csv.part")
    else:
        (tmp_path / "t.csv.part").symlink_to(other)
    table = Table(tmp_path / "t.csv", ("name", "b", "c"))
    table.append({"name": "x"})
    table.finish()
    assert (tmp_path / "t.csv").read_bytes() == b"name,b,c\r\nx,,\r\n"
    assert not (tmp_path / "t.csv").is_symlink()
    assert other.read_text() == "precious"


def test_a_column_that_the_table_has_not(tmp_path):
    table = Table(tmp_path / "t.csv", ("name", "b", "c"))
    with pytest.raises(ValueError, match="d"):
        table.append({"d": 1})
    table.close()


def test_a_quote_that_is_never_closed_ends_in_an_error(tmp_path):
    """A million lines that are one record take no time that grows with their square."""
    path = tmp_path / "results.csv"
    path.write_bytes(b"file,z\r\n" + b'"' + b"a.tif,1\n" * 1_000_000)
    with pytest.raises(FileError, match="row 1 is damaged"):
        list(read_table(path))


@sparse_files
def test_a_line_without_end_is_not_read_as_one(tmp_path):
    path = tmp_path / "results.csv"
    path.touch()
    os.truncate(path, 2**36)  # takes no room on the disk
    with pytest.raises(FileError, match="is almost all holes, as no table is"):
        check_replaceable(path, ("file", "z", "c"))
    with pytest.raises(FileError, match="not a table of results"):
        list(read_table(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / "results.csv"
    os.mkfifo(path)
    with pytest.raises(FileError, match="not a regular file"):
        list(read_table(path))
    with pytest.raises(FileError, match="not a regular file"):
        check_replaceable(path, ("file", "z", "c"))


def test_a_nul_in_a_message_is_written_as_text(tmp_path):
    table = Table(tmp_path / "results.csv", ("file", "level", "error"))
    table.append({"file": "a.tif", "error": "bad \0 tag"})
    table.finish()
    (row,) = read_table(tmp_path / "results.csv")
    assert row["error"] == r"bad \x00 tag"


CHECKED = ("file", "level", "message", "checksum")


def test_a_row_ends_in_the_checksum_of_its_fields(tmp_path):
    table = Table(tmp_path / "t.csv", CHECKED)
    row = {"file": 'a,"b"\r\né\udcff.tif', "level": 0.1 + 0.2, "checksum": "of another row"}
    table.append(row)
    table.finish()
    content = (tmp_path / "t.csv").read_bytes()
    assert content == encoded_header(CHECKED) + encoded(CHECKED, [row])
    (stored,) = rows(tmp_path / "t.csv")
    # As documented: names of columns and then fields, each with a NUL between.
    text = "file\0level\0message" + 'a,"b"\r\né\\udcff.tif\x000.3\0'
    assert stored["checksum"] == f"{zlib.crc32(text.encode()):08x}"
    assert as_text(row, CHECKED) == stored
    assert is_as_written(CHECKED, list(stored.values()))


fields = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=3, max_size=3)


@settings(deadline=None)
@given(fields, fields)
def test_no_other_fields_have_the_place_of_a_row_s(one, other):
    written = as_text(dict(zip(CHECKED, one)), CHECKED)
    assert is_as_written(CHECKED, list(written.values()))
    changed = [*map(as_stored, other), written["checksum"]]
    assert is_as_written(CHECKED, changed) == (changed == list(written.values()))
    # A border that was moved is no way around it.
    first, second, third, checksum = written.values()
    if first or second:
        assert not is_as_written(CHECKED, [first + second + "x", "", third, checksum])
    assert not is_as_written(CHECKED, ["\0".join([first, second]), third, "", checksum])


def test_columns_that_others_added_do_not_count_and_other_names_do():
    row = list(as_text({"file": "a", "level": 3}, CHECKED).values())
    assert is_as_written((*CHECKED, "mine"), [*row, "note"])
    assert not is_as_written(("file", "z", "message", "checksum"), row)
    assert is_as_written(("file", "level"), ["a", "3"])


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e999", "1_0", "٣", "3 4", "0x1"])
def test_what_python_takes_for_a_number_and_a_table_has_not(text):
    with pytest.raises(ValueError):
        as_number(text)
    assert Column("a", "number").fault(text) == f"a is {text!r}, no number"


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        ("integer", "3", ""),
        ("integer", "", ""),
        ("integer", "3.0", "whole number from 0"),
        ("integer", "-1", "whole number from 0"),
        ("integer", "9" * 20, "whole number from 0"),
        ("share", "1", ""),
        ("share", "1.00001", ""),
        ("share", "1.1", "number from 0 to 1"),
        ("share", "-0.1", "number from 0 to 1"),
        ("number", "-3", "number from 0"),
        ("number", "1E+2", ""),
        ("signed", "-3", ""),
        ("signed", "x", "number"),
        ("text", "nan", ""),
        ("time", "yesterday", ""),
    ],
)
def test_what_a_field_may_hold(kind, text, wanted):
    assert Column("a", kind).fault(text) == (wanted and f"a is {text!r}, no {wanted}")


def test_a_name_that_is_no_text_is_found_again():
    name = os.fsdecode(b"n\xff.tif")
    assert name in names_stored_as(as_stored(name))
    assert names_stored_as("plain.tif") == ["plain.tif"]
