import os
import re

import numpy as np
import pytest
from systems import sparse_files
from written_results import COLUMNS, failed_row, plane_row, with_checksum, write_results

from microscope_quality.errors import FileError
from microscope_quality.measuring.naming import Naming
from microscope_quality.report.rows import add_groups, read_rows
from microscope_quality.statuses import ERROR, IN_FOCUS, MIXED, OUT_OF_FOCUS


def test_texts_stay_as_they_are_and_numbers_stand_beside_them(tmp_path):
    rows = [plane_row("a.tif", 2.5, 0.25), failed_row("b.tif"), plane_row("c.tif", status="mixed")]
    read = read_rows(write_results(tmp_path, rows) / "results.csv")
    assert read.columns["expected_level"] == ["2.5", "", "0"]
    np.testing.assert_array_equal(read.numbers("expected_level"), [2.5, np.nan, 0])
    assert read.status == [OUT_OF_FOCUS, ERROR, MIXED]
    assert len(read.measure.distribution) == 11
    assert read.images == [[0], [1], [2]]
    assert read.shown == [0, 1, 2]


def test_a_stack_counts_once_by_its_best_plane(tmp_path):
    rows = [
        plane_row("s.tif", 3, z=10, c=0),
        plane_row("s.tif", 1, z=2, c=0),
        plane_row("s.tif", 0.5, z=9, c=0),
        plane_row("s.tif", 6, z=0, c=1),
        plane_row("s.tif", 4, z=1, c=1),
        plane_row("t.tif", 5),
    ]
    read = read_rows(write_results(tmp_path, rows) / "results.csv")
    # Planes by z as numbers, 9 before 10.
    assert read.images == [[1, 2, 0], [3, 4], [5]]
    assert read.shown == [2, 4, 5]
    assert 2 < float(read.best[0]) < 9
    assert read.best[1:] == ["1", ""]


def test_planes_without_content_or_numbers_speak_for_a_stack_only_alone(tmp_path):
    rows = [
        plane_row("s.tif", 0, z=0, status="no_content"),
        failed_row("s.tif", z=1),
        plane_row("s.tif", 1, z=2),
        plane_row("s.tif", 4, z=3),
        failed_row("u.tif", z=0),
        failed_row("u.tif", z=1),
    ]
    read = read_rows(write_results(tmp_path, rows) / "results.csv")
    assert read.shown == [2, 4]
    assert read.best == ["2", ""]


def test_blank_channels_are_no_images_beside_others_of_their_place(tmp_path):
    blank = {"certainty": 0, "status": "no_content"}
    rows = [
        plane_row("a.png", 0, c=0),
        plane_row("a.png", 0, c=1, **blank),
        # Dim is not blank.
        plane_row("b.tif", 0, 0.1, "no_content", c=0),
        plane_row("b.tif", 3, c=1),
        # An image with nothing in it is one all the same.
        plane_row("c.png", 0, c=0, **blank),
        plane_row("c.png", 0, c=1, **blank),
        plane_row("d.png", 0, **blank),
        # Of another time, it may be that nothing was taken.
        plane_row("e.tif", 0, c=0, t=0),
        plane_row("e.tif", 0, c=0, t=1, **blank),
        plane_row("f.tif", 0, c=0, z=0, **blank),
        plane_row("f.tif", 0, c=0, z=1, **blank),
        plane_row("f.tif", 2, c=1, z=0),
        plane_row("f.tif", 1, c=1, z=1),
    ]
    read = read_rows(write_results(tmp_path, rows) / "results.csv")
    assert len(read) == len(rows)
    images = [[0], [2], [3], [4], [5], [6], [7], [8], [11, 12]]
    assert read.images == images
    assert read.shown == [0, 2, 3, 4, 5, 6, 7, 8, 12]


def test_older_tables_are_taken(tmp_path):
    for number, end in enumerate(("message", "error")):
        columns = COLUMNS[: COLUMNS.index(end) + 1]
        folder = write_results(tmp_path / str(number), [plane_row("a.tif", 3)], columns)
        read = read_rows(folder / "results.csv")
        assert read.status == [OUT_OF_FOCUS]
        assert read.columns["series"] == [""]


def test_another_number_of_levels_and_unknown_columns_are_taken(tmp_path):
    columns = [name for name in COLUMNS if name not in ("p7", "p8", "p9", "p10")]
    rows = [plane_row("a.tif", 3, treatment="x")]
    read = read_rows(write_results(tmp_path, rows, [*columns, "treatment"]) / "results.csv")
    assert read.measure.distribution == tuple(f"p{k}" for k in range(7))
    assert read.columns["treatment"] == ["x"]


def test_a_table_without_rows(tmp_path):
    read = read_rows(write_results(tmp_path, []) / "results.csv")
    assert len(read) == 0
    assert read.shown == []


KEPT = ("file", "error")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"certainty": "high"}, "certainty is 'high', no number"),
        ({"certainty": "1.5"}, "certainty is '1.5', no number from 0 to 1"),
        ({"status": "fine"}, "status is 'fine', none of in_focus"),
        ({"status": ""}, "status is '', none of in_focus"),
        ({"level": "11"}, "level is '11', but the levels end at 10"),
        ({"level": "2.5"}, "level is '2.5', no whole number from 0"),
        ({"z": "-1"}, "z is '-1', no whole number from 0"),
        ({"z": "99999999999"}, "z is '99999999999', no plane's place"),
        ({"expected_level": "nan"}, "expected_level is 'nan', no number"),
        ({"expected_level": "1e999"}, "expected_level is '1e999', no number"),
        ({"expected_level": "10.5"}, "expected_level is '10.5', but the levels end at 10"),
        ({"expected_level": ""}, "expected_level is empty, but the status is in_focus"),
        ({"defocus_um": "-inf"}, "defocus_um is '-inf', no number"),
        ({"p3": "1_0"}, "p3 is '1_0', no number"),
        ({"p3": "0.5"}, "p0 to p10 come to 1.5, not to 1"),
        ({"width": "wide"}, "width is 'wide', no whole number"),
    ],
)
def test_a_damaged_row_is_named(tmp_path, change, said):
    rows = [plane_row("a.tif"), plane_row("b.tif") | change]
    read = read_rows(write_results(tmp_path, rows) / "results.csv")
    assert read.status == [IN_FOCUS, ERROR]
    assert read.columns["file"] == ["a.tif", "b.tif"]
    assert read.columns["error"][1].startswith(f"was edited: {said}")
    # Nothing else of it is believed.
    assert not any(texts[1] for name, texts in read.columns.items() if name not in KEPT)
    assert np.isnan(read.numbers("expected_level")[1])


def test_rows_that_were_edited_are_told_apart(tmp_path):
    rows = [plane_row("a.tif"), plane_row("b.tif", 2.5), failed_row("c.tif"), plane_row("d.tif")]
    table = write_results(tmp_path, rows) / "results.csv"
    assert read_rows(table).edited == []
    text = table.read_text(encoding="utf-8")
    assert text.count("d.tif,") == text.count(",2.5,") == 1
    table.write_text(text.replace(",2.5,", ",2.6,").replace("d.tif,", "e.tif,"), encoding="utf-8")
    read = read_rows(table)
    assert read.edited == [1, 3]
    assert read.numbers("expected_level")[1] == 2.6


def test_a_report_says_that_rows_were_edited_and_is_drawn_all_the_same(tmp_path):
    pytest.importorskip("plotly")
    from microscope_quality.report.write import write_report

    folder = write_results(tmp_path, [plane_row("a.tif", 2.5), plane_row("b.tif", 1.5)])
    table = folder / "results.csv"
    table.write_text(table.read_text("utf-8").replace(",2.5,", ",2.6,"), encoding="utf-8")
    told = []
    page = write_report(folder, tell=told.append).read_text("utf-8")
    sentence = "1 row was changed by hand or by another program since measured, a.tif: "
    assert told[0].startswith(sentence)
    assert sentence in page
    assert "2.6" in page


def test_a_column_that_was_added_behind_the_checksum_edits_no_row(tmp_path):
    columns = (*COLUMNS, "note")
    row = with_checksum(plane_row("a.tif"), COLUMNS) | {"note": "mine"}
    read = read_rows(write_results(tmp_path, [row], columns) / "results.csv")
    assert (read.edited, read.columns["note"]) == ([], ["mine"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "results.csv")
    with pytest.raises(FileError, match="results.csv: cannot be read: is not a regular file"):
        read_rows(tmp_path / "results.csv")


@sparse_files
def test_a_line_without_end_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "results.csv"
    path.touch()
    os.truncate(path, 2**36)  # takes no room on the disk
    with pytest.raises(FileError, match="results.csv: is not a table of results"):
        read_rows(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"file,level\r\na.tif,1\r\n", "has no column plate"),
        (b"name,age\r\n", "has no column file"),
        (b"\xff\xfe\x00", "is not a table of results; name the folder"),
        (b"file,file\r\n", "'file' more than once"),
    ],
)
def test_what_is_no_table_of_results_is_refused(tmp_path, content, said):
    (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(FileError, match=re.escape(said)):
        read_rows(tmp_path / "results.csv")


def test_groups_come_from_names_where_the_table_has_none(tmp_path):
    rows = [
        plane_row("p1/B03_s2.tif"),
        plane_row("p1/C04_s1.tif", well="A01"),
        plane_row("other.tif"),
    ]
    naming = Naming(r"(?P<well>[A-H]\d\d)_s(?P<site>\d)")
    read = read_rows(write_results(tmp_path, rows) / "results.csv", naming=naming)
    assert read.columns["well"] == ["B03", "A01", ""]
    assert read.columns["site"] == ["2", "1", ""]
    assert naming.unmatched == ["other.tif"]


def test_planes_of_several_files_are_one_image(tmp_path):
    levels = {"s1_z2.tif": 6, "s1_z10.tif": 1, "s1_z20.tif": 5, "s2_z2.tif": 3, "x.tif": 0}
    rows = [plane_row(name, level=level, expected_level=level) for name, level in levels.items()]
    table = write_results(tmp_path, rows) / "results.csv"
    assert len(read_rows(table).images) == 5
    read = read_rows(table, naming=Naming(r"(?P<site>s\d)_(?P<z>z\d+)"))
    assert read.images == [[0, 1, 2], [3], [4]]
    assert read.shown == [1, 3, 4]
    assert read.columns["z"] == ["0", "1", "2", "0", ""]
    assert read.columns["stack"] == [*["s1_*.tif"] * 3, "s2_*.tif", ""]


def test_groups_come_from_another_table_by_file_or_name(tmp_path):
    rows = [plane_row("p1/a.tif", well="H12"), plane_row("p1/b.tif"), plane_row("p2/b.tif")]
    read = read_rows(write_results(tmp_path, rows) / "results.csv")
    plates = tmp_path / "plates.csv"
    plates.write_text("well,file,dose\nA01,a.tif,1\nA02,p1/b.tif,2\n", encoding="utf-8-sig")
    notes = add_groups(read, plates)
    assert read.columns["well"] == ["A01", "A02", "A02"]
    assert notes == []
    # The same name with two meanings tells nothing.
    plates.write_text("well,file\nA01,x/b.tif\nA02,y/b.tif\n", encoding="utf-8")
    read = read_rows(tmp_path / "results.csv")
    assert add_groups(read, plates) == ["plates.csv has the files of 0 of 3 rows."]
    assert read.columns["well"] == ["H12", "", ""]


def test_a_table_of_plates_without_its_columns_is_refused(tmp_path):
    read = read_rows(write_results(tmp_path, [plane_row("a.tif")]) / "results.csv")
    (tmp_path / "plates.csv").write_text("image,well\na.tif,A01\n", encoding="utf-8")
    with pytest.raises(FileError, match="needs a column file and one of plate, well"):
        add_groups(read, tmp_path / "plates.csv")
