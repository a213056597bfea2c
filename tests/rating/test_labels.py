"""The table of labels: what it takes, what it refuses, and what is left of it after any end."""

from __future__ import annotations

import csv
import math
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import environment
from hypothesis import given
from hypothesis import strategies as st
from systems import posix

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.rating.labels import (
    COLUMNS,
    Label,
    LabelsFile,
    check_usable,
    read_labels,
    read_rows,
)

HEADER = "image,y,x,size,score,rater,time,seconds,repeat,comment\r\n"


def csv_rows(path):
    """Rows of a table by the csv module alone."""
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "labels.csv"


def test_columns_are_those_of_the_issue_in_their_order(path):
    with LabelsFile(path):
        pass
    assert path.read_bytes().decode() == HEADER
    assert ",".join(COLUMNS) == HEADER.strip()


def test_a_label_stands_in_the_table_as_it_was_given(path):
    label = Label(
        "a/b.tif#z=3", 0, 12, 512, 0.7, "Zoë", "2026-03-01T12:00:00Z", 3.4, 1, 'dark, "thin"'
    )
    with LabelsFile(path) as file:
        assert file.add(label)
        assert file.add(Label("c.tif", rater="Zoë"))
    assert csv_rows(path) == [
        dict(
            zip(
                COLUMNS,
                (
                    *("a/b.tif#z=3", "0", "12", "512", "0.7", "Zoë", "2026-03-01T12:00:00Z"),
                    *("3.4", "1", 'dark, "thin"'),
                ),
            )
        ),
        dict(zip(COLUMNS, ("c.tif", "", "", "", "", "Zoë", "", "", "0", ""))),
    ]
    assert read_rows(path)[0] == label
    # What was skipped is no label.
    assert read_labels(path) == [label]


def test_a_table_of_another_program_needs_two_columns(path):
    path.write_text("\ufeffscore,image,animal\n0.25,a.tif,m1\n1,b.tif,m2", encoding="utf-8")
    first, second = read_labels(path)
    assert (first.image, first.score, first.more) == ("a.tif", 0.25, {"animal": "m1"})
    # An editor may end no last line.
    assert (second.image, second.score, second.size) == ("b.tif", 1, None)


def test_the_table_that_the_page_shows_is_read(path):
    page = (Path(__file__).parents[2] / "docs" / "labels.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```csv\n(.*?)```", page, re.DOTALL)
    path.write_text(shown, encoding="utf-8")
    assert shown.splitlines()[0].split(",") == list(COLUMNS)
    assert [(one.image, f"{one.score:g}", one.repeat) for one in read_rows(path)] == [
        ("section1_r0_c0.tif", "1", 0),
        ("section1_r0_c1.tif", "0.4", 0),
        ("section1_r1_c3.tif", "nan", 0),
        ("section1_r0_c1.tif", "0.3", 1),
    ]


def test_of_several_answers_to_a_question_the_last_one_holds(path):
    path.write_text(
        HEADER
        + "a.tif,,,,0.2,A,,,0,\n"
        + "b.tif,,,,0.5,A,,,0,\n"
        + "a.tif,,,,0.9,B,,,0,\n"
        + "a.tif,,,,0.4,A,,,1,\n"
        + "a.tif,0,0,64,0.6,A,,,0,\n"
        + "a.tif,,,,0.3,A,,,0,better\n"
        + "b.tif,,,,,A,,,0,\n",
        encoding="utf-8",
    )
    found = [(one.image, one.size, one.rater, one.repeat, one.score) for one in read_labels(path)]
    assert found == [
        ("a.tif", None, "A", 0, 0.3),
        ("a.tif", None, "B", 0, 0.9),
        ("a.tif", None, "A", 1, 0.4),
        ("a.tif", 64, "A", 0, 0.6),
    ]
    assert len(read_rows(path)) == 7


def test_without_a_column_for_repeats_each_row_counts(path):
    path.write_text("image,score\na.tif,0.2\na.tif,0.4\n", encoding="utf-8")
    assert [one.score for one in read_labels(path)] == [0.2, 0.4]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; it must have the columns image, y"),
        ("image\na.tif\n", "lacks the column score; its first line must name the columns image"),
        ("image;score\na.tif;0.5\n", "lacks the column image.*image;score; save it with commas"),
        ("image,score,score\na.tif,0.5,0.5\n", "has the column score twice"),
        ("image,score,y,x\na.tif,0.5,0,0\n", "lacks the column size; it must have y, x and size"),
        (HEADER, "has no row below its header, so there is nothing to learn"),
        (HEADER + "a.tif,,,,,A,,,0,\n", "has no row with a score"),
        (HEADER + "a.tif,,,,7,A,,,0,\n", "line 2, column score: found '7', and it must be a number "
         "from 0 to 1, such as 0.7"),
        (HEADER + "a.tif,,,,-0.1,A,,,0,\n", "line 2, column score: found '-0.1'"),
        (HEADER + "a.tif,,,,nan,A,,,0,\n", "line 2, column score: found 'nan'"),
        (HEADER + "a.tif,,,,good,A,,,0,\n", "line 2, column score: found 'good'"),
        (HEADER + '"a\nb.tif",,,,1,A,,,0,\na.tif,,,,"0,5",A,,,0,\n',
         "line 4, column score: found '0,5'"),
        (HEADER + "a.tif,one,2,3,0.5,A,,,0,\n", "line 2, column y: found 'one', and it must be a "
         "whole number from 0, or empty"),
        (HEADER + "a.tif,1.5,2,3,0.5,A,,,0,\n", "line 2, column y: found '1.5'"),
        (HEADER + "a.tif,1,2,0,0.5,A,,,0,\n", "line 2, column size: found '0'"),
        (HEADER + "a.tif,1,,3,0.5,A,,,0,\n", "line 2, column x: is empty; y, x and size must be"),
        (HEADER + "a.tif,,,,0.5,A,,-1,0,\n", "line 2, column seconds: found '-1'"),
        (HEADER + "a.tif,,,,0.5,A,,,2,\n", "line 2, column repeat: found '2', and it must be 0 or"),
        (HEADER + ",,,,0.5,A,,,0,\n", "line 2, column image: found '', and it must be the path"),
        (HEADER + "a.tif,0.5\nb.tif,,,,1,A,,,0,\n", "line 2 has 2 fields, and must have 10"),
        (HEADER + 'a.tif,,,,0.5,A,,,0,"x\nb.tif,,,,1,A,,,0,\n', "line 2 is damaged"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_by_line_and_column(path, text, said):
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(FileError, match=said) as raised:
        read_labels(path)
    assert str(raised.value).startswith(f"{path}: ")


def test_what_is_no_file_is_told(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        read_labels(tmp_path / "missing.csv")
    with pytest.raises(FileError, match="not a regular file"):
        read_labels(tmp_path)
    latin = tmp_path / "latin.csv"
    latin.write_bytes(HEADER.encode() + b"\xe9.tif,,,,0.5,A,,,0,\n")
    with pytest.raises(FileError, match="line 2 is damaged"):
        read_labels(latin)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (dict(score=1.01), "score must be from 0 to 1, not 1.01."),
        (dict(score="0.5"), "score must be a number"),
        (dict(y=1), "y, x and size must be given together"),
        (dict(y=-1, x=0, size=5), "y must be a whole number from 0"),
        (dict(y=0, x=0, size=0), "size must be a whole number from 1"),
        (dict(repeat=2), "repeat must be a whole number from 0 to 1"),
        (dict(seconds=-1.0), "seconds must be from 0"),
        (dict(rater=None), "rater must be a text"),
        (dict(image=""), "image must name a file"),
    ],
)
def test_a_label_that_cannot_be_is_refused(values, said):
    with pytest.raises(SettingsError, match=said):
        Label(**{"image": "a.tif", **values})


def test_labels_that_teach_nothing_are_refused():
    label = Label("a.tif", score=0.7)
    check_usable([label, replace(label, score=0.6)])
    with pytest.raises(SettingsError, match=r"all 2 have 0\.7: give scores"):
        check_usable([label, replace(label, image="b.tif"), Label("c.tif")])
    with pytest.raises(SettingsError, match="none of them has one"):
        check_usable([Label("a.tif")])
    with pytest.raises(SettingsError, match="none of them has one"):
        check_usable([])


# What is added.

GIVEN = [
    Label("a.tif", score=0.2, rater="A", seconds=1.5),
    Label("b.tif", 0, 64, 512, 0.5, "A", comment='a "quoted, one'),
    Label("c.tif", rater="A"),
    Label("a.tif", score=0.9, rater="B", repeat=1),
]


def test_the_same_answer_is_never_written_twice(path):
    with LabelsFile(path) as file:
        assert [file.add(one) for one in (*GIVEN, *GIVEN)] == [True] * 4 + [False] * 4
    with LabelsFile(path) as file:
        assert not any(map(file.add, GIVEN))
        assert file.answer(GIVEN[0].question) == GIVEN[0]
        # Another score, or another comment, is another answer.
        assert file.add(replace(GIVEN[0], score=0.3))
        assert file.add(replace(GIVEN[0], score=0.3, comment="dark"))
        assert file.add(replace(GIVEN[2], score=0.1))
        # The first one again is a correction of the correction.
        assert file.add(GIVEN[0])
    assert len(csv_rows(path)) == 8
    assert {one.image: one.score for one in read_labels(path) if one.rater == "A"} == {
        "a.tif": 0.2,
        "b.tif": 0.5,
        "c.tif": 0.1,
    }


def assert_same(found, expected, length):
    """Compare labels; a NaN is not equal to itself."""
    np.testing.assert_equal(
        *([vars(one) for one in some] for some in (found, expected)), str(length)
    )


def test_cut_at_any_byte_it_keeps_all_whole_rows_and_goes_on(path):
    with LabelsFile(path) as file:
        ends = [len(path.read_bytes())]
        for one in GIVEN:
            file.add(one)
            ends.append(len(path.read_bytes()))
    content = path.read_bytes()
    added = Label("new.tif", score=1.0, rater="C")
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        whole = sum(end <= length for end in ends) - 1
        with LabelsFile(path) as file:
            found = file.rows
            assert_same(found[: max(whole, 0)], GIVEN[: max(whole, 0)], length)
            # A row of which all but the comment's end or the line's was there may stay.
            assert len(found) in (max(whole, 0), max(whole, 0) + 1)
            for one in found:
                assert one.place in [given.place for given in GIVEN]
            file.add(added)
            # Whoever had no answer sends the same again.
            for one in GIVEN:
                file.add(one)
        rows = read_rows(path)
        assert repr(added) in map(repr, rows)
        held = {one.question: one for one in rows}
        assert_same([held[one.question] for one in GIVEN], GIVEN, length)
        assert path.read_bytes().endswith(b"\r\n")


@pytest.mark.parametrize("start", [b"", b"image,y", HEADER.encode()[:-2], HEADER.encode()])
def test_a_table_that_was_only_begun_is_gone_on_with(path, start):
    path.write_bytes(start)
    with LabelsFile(path) as file:
        file.add(GIVEN[0])
    assert path.read_bytes() == HEADER.encode() + b"a.tif,,,,0.2,A,,1.5,0,\r\n"


def test_a_quote_that_is_left_open_costs_no_row(path):
    """Only what this library left of a row is cut off, and that is one line at most."""
    path.write_bytes(HEADER.encode() + b'a.tif,,,,0.5,A,,,0,"x\r\nb.tif,,,,1,A,,,0,\r\n')
    content = path.read_bytes()
    with pytest.raises(FileError, match="line 2 is damaged"):
        LabelsFile(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("text", ["file,level\na.tif,3\n", "score,image\n0.5,a.tif\n", "hello"])
def test_another_table_is_not_added_to(path, text):
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileError, match="lacks the column"):
        LabelsFile(path)
    assert text in path.read_text(encoding="utf-8")


def test_columns_that_a_lab_adds_stay(path):
    path.write_text("animal," + HEADER + "m1,a.tif,,,,0.5,A,,,0,\r\n", newline="", encoding="utf-8")
    with LabelsFile(path) as file:
        file.add(Label("b.tif", score=1, rater="A"))
    assert [(row["animal"], row["image"], row["score"]) for row in csv_rows(path)] == [
        ("m1", "a.tif", "0.5"),
        ("", "b.tif", "1"),
    ]


def test_one_process_at_a_time_adds(path):
    with LabelsFile(path) as first:
        with pytest.raises(FileError, match="another process adds labels to it"):
            LabelsFile(path)
        first.add(GIVEN[0])
    with LabelsFile(path) as second:
        assert second.rows == GIVEN[:1]
    assert [one.name for one in path.parent.iterdir()] == ["labels.csv"]


def test_what_another_program_saves_meanwhile_is_kept(path):
    with LabelsFile(path) as file:
        file.add(GIVEN[0])
        # A spreadsheet writes another file and puts it in the place of this one.
        edited = path.with_name("edited")
        edited.write_bytes(path.read_bytes() + b"z.tif,,,,0.1,Z,,,0,\r\n")
        edited.replace(path)
        file.add(GIVEN[1])
        assert [one.image for one in file.rows] == ["a.tif", "z.tif", "b.tif"]
        assert [row["image"] for row in csv_rows(path)] == ["a.tif", "z.tif", "b.tif"]
        # Or takes it away.
        path.unlink()
        file.add(GIVEN[2])
    assert [row["image"] for row in csv_rows(path)] == ["a.tif", "z.tif", "b.tif", "c.tif"]


def test_threads_add_whole_rows(path):
    def add(rater):
        for k in range(40):
            file.add(Label(f"{k}.tif", score=0.5, rater=rater, comment="x" * 200))

    with LabelsFile(path) as file:
        threads = [threading.Thread(target=add, args=(f"rater {k}",)) for k in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(csv_rows(path)) == 240
    assert len({one.question for one in read_labels(path)}) == 240


@posix
def test_a_row_that_the_disk_does_not_take_leaves_nothing(path):
    """The system takes a part of the row, up to the largest size that a file may have."""
    with LabelsFile(path) as file:
        file.add(GIVEN[0])
    before = path.read_bytes()
    code = f"""
import resource, signal
from microscope_quality.errors import FileError
from microscope_quality.rating.labels import Label, LabelsFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with LabelsFile({str(path)!r}) as file:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before)} + 30, {len(before)} + 30))
    try:
        file.add(Label("b.tif", score=0.5, rater="A", comment="y" * 500))
    except FileError as error:
        print(error)
    print(file.add(Label("c.tif", score=0.5)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{path}: cannot be written: ")
    assert second == "True"
    assert path.read_bytes() == before + b"c.tif,,,,0.5,,,,0,\r\n"


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=30),
    st.text(st.characters(codec="utf-8"), max_size=60),
    st.text(st.characters(codec="utf-8"), max_size=60),
)
def test_any_text_comes_back(tmp_path_factory, image, rater, comment):
    path = tmp_path_factory.mktemp("texts") / "labels.csv"
    label = Label(image, score=0.5, rater=rater, comment=comment)
    with LabelsFile(path) as file:
        if "\n" in image or "\r" in image:
            with pytest.raises(SettingsError, match="no line break"):
                file.add(label)
            return
        assert file.add(label)
        assert not file.add(label)
        file.add(GIVEN[0])
    with LabelsFile(path) as file:
        assert not file.add(label)
    found = read_labels(path)[0]
    assert found.image == image.replace("\0", "\\x00")
    assert found.comment == " ".join(comment.replace("\0", "\\x00").split())
    assert found.rater == " ".join(rater.replace("\0", "\\x00").split())


@pytest.mark.long
@posix
def test_killed_again_and_again_it_loses_no_row_that_was_acknowledged(path):
    code = f"""
import sys
from microscope_quality.rating.labels import Label, LabelsFile
with LabelsFile({str(path)!r}) as file:
    n = len(file.rows)
    print("ready", flush=True)
    for k in range(n, n + 100_000):
        file.add(Label(f"{{k}}.tif", score=k % 10 / 10, rater="A", comment="word " * 20))
        print(k, flush=True)
"""
    told = []
    for kill in range(20):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment()
        )
        assert process.stdout.readline() == "ready\n"
        for _ in range(5 + 7 * kill):
            told.append(int(process.stdout.readline()))
        os.kill(process.pid, signal.SIGKILL)
        with process:
            told += [int(line) for line in process.stdout if line.endswith("\n")]
        with LabelsFile(path) as file:
            images = [one.image for one in file.rows]
        assert set(images) >= {f"{k}.tif" for k in told}
        assert len(images) == len(set(images))
    assert not math.isnan(sum(one.score for one in read_labels(path)))
