"""Copies of the tables that the measure command writes, and its report."""

from __future__ import annotations

import pytest
from command_line import measure, run, table
from openpyxl import load_workbook


@pytest.mark.long
def test_copies_say_what_the_tables_say(mixed_folder, model, tmp_path):
    from pyarrow import parquet

    out = tmp_path / "out"
    options = ("--model", model, "--out", out, "--overlay", "none")
    measure(mixed_folder, *options, "--parquet", "--xlsx", "--report", code=1)
    rows = table(out / "results.csv")
    copied = parquet.read_table(out / "results.parquet").to_pylist()
    sheet = list(load_workbook(out / "results.xlsx").active.values)
    level, file = sheet[0].index("expected_level"), sheet[0].index("file")
    for row, copy, cells in zip(rows, copied, sheet[1:], strict=True):
        assert row["file"] == copy["file"] == cells[file]
        expected = float(row["expected_level"]) if row["expected_level"] else None
        assert copy["expected_level"] == cells[level] == expected
    assert table(out / "stacks.csv")[0]["best_z"] == "1"
    assert parquet.read_table(out / "stacks.parquet").to_pylist()[0]["best_z"] == 1
    assert "A02.tif" in (out / "report.html").read_text(encoding="utf-8")
    # Copies of tables that are there no more would tell of another run.
    screen = measure(mixed_folder / "A01.tif", *options, "--again")
    assert "report.html is of an earlier run" in screen
    assert not (out / "results.parquet").exists()
    assert not (out / "stacks.parquet").exists()


@pytest.mark.parametrize("wish", ["--parquet", "--xlsx", "--report"])
def test_what_is_written_needs_a_folder(plate, model, wish):
    assert f"{wish} needs --out" in run("measure", plate, "--model", model, wish, code=2).stderr


def test_someone_elses_page_is_not_replaced(plate, model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.html").write_text("<p>mine</p>")
    measure(plate, "--model", model, "--out", out, "--report", code=2)
    assert (out / "report.html").read_text() == "<p>mine</p>"
    assert not (out / "results.csv").exists()
