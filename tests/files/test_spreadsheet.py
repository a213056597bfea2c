"""Tables as spreadsheets, read back by openpyxl."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coded
import pytest
import tifffile
from written_results import SETTINGS

import microscope_quality
from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files import spreadsheet
from microscope_quality.files.columns import names
from microscope_quality.files.tables import Table, read_table
from microscope_quality.statuses import FOCUS_STATUSES

pytest.importorskip("xlsxwriter")
openpyxl = pytest.importorskip("openpyxl")

RESULTS = SETTINGS.columns()["results.csv"]
COLUMNS = names(RESULTS)


def table(folder: Path, *rows: dict[str, object]) -> Path:
    made = Table(folder / "results.csv", COLUMNS)
    made.append(*rows)
    made.finish()
    return made.path


def write_spreadsheet(csv_path: Path, path: Path) -> Path:
    return spreadsheet.write_spreadsheet(csv_path, path, RESULTS, FOCUS_STATUSES)


def sheet(path: Path) -> Any:
    return openpyxl.load_workbook(path).active


def cell(found: Any, row: int, column: str) -> Any:
    return found.cell(row, COLUMNS.index(column) + 1)


def test_numbers_are_numbers_and_all_else_is_text(tmp_path: Path) -> None:
    row = {
        "file": "a.tif",
        "well": "A01",
        "site": "007",
        "z": 0,
        "level": 3,
        "expected_level": 2.71828,
        "p0": 1.25e-9,
        "status": "mixed",
        "size_bytes": 4_000_000_001,
        "modified": "2026-11-21T16:52:24.123456789Z",
    }
    path = write_spreadsheet(table(tmp_path, row), tmp_path / "results.xlsx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.csv", "results.xlsx"]
    found = sheet(path)
    assert [c.value for c in found[1]] == list(COLUMNS)
    for name, value in row.items():
        assert cell(found, 2, name).value == value
        assert cell(found, 2, name).data_type == ("s" if isinstance(value, str) else "n")
    assert cell(found, 2, "defocus_um").value is None
    assert found.freeze_panes == "B2"
    assert found.auto_filter.ref == f"A1:{found.cell(2, len(COLUMNS)).coordinate}"
    assert all(c.font.bold for c in found[1])


@pytest.mark.parametrize(
    "name",
    [
        "=cmd|'/c calc'!A1",
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "{=1+1}",
        "\t=1",
        "1e3",
        "TRUE",
        "#N/A",
        "https://evil.example/",
        "internal:Sheet2!A1",
        "mailto:a@b.example",
        "<script>alert(1)</script>",
        "</t></is></c>&amp;",
    ],
)
def test_no_name_is_a_formula_a_link_or_a_number(tmp_path: Path, name: str) -> None:
    path = write_spreadsheet(table(tmp_path, {"file": name, "error": name}), tmp_path / "x.xlsx")
    found = sheet(path)
    for column in ("file", "error"):
        assert cell(found, 2, column).value == name
        assert cell(found, 2, column).data_type == "s"
        assert cell(found, 2, column).hyperlink is None
        # So that it stays a text when somebody edits it.
        assert cell(found, 2, column).quotePrefix == (name[0] in "=+-@\t")
    with zipfile.ZipFile(path) as parts:
        assert b"<f>" not in parts.read("xl/worksheets/sheet1.xml")


def test_control_characters_are_shown_and_long_texts_cut(tmp_path: Path) -> None:
    rows = [
        {"file": "a\x07\x1b\r\nb\t\x7f\uffff.tif", "message": "x" * 32_767},
        {"file": "😀" * 16_384, "message": "x" * 32_768},
    ]
    found = sheet(write_spreadsheet(table(tmp_path, *rows), tmp_path / "x.xlsx"))
    assert cell(found, 2, "file").value == "a␇␛␍\nb\t␡\ufffd.tif"
    assert cell(found, 2, "message").value == "x" * 32_767
    assert cell(found, 3, "message").value == "x" * 32_766 + "…"
    # Excel counts UTF-16 units, of which these have two each.
    assert cell(found, 3, "file").value == "😀" * 16_383 + "…"


def test_status_and_errors_are_coloured_and_told_apart_in_grey(tmp_path: Path) -> None:
    statuses = ("in_focus", "out_of_focus", "mixed", "no_content")
    rows = [{"file": f"{status}.tif", "status": status} for status in statuses]
    path = write_spreadsheet(
        table(tmp_path, *rows, {"file": "b", "error": "is empty"}), tmp_path / "x.xlsx"
    )
    found = sheet(path)
    cells = [cell(found, k, "status") for k in range(2, 6)] + [cell(found, 6, "error")]
    assert [c.value for c in cells] == [*statuses, "is empty"]
    colours = [c.fill.fgColor.rgb[2:] for c in cells]
    assert len(set(colours)) == 5
    for colour in colours:
        red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (0, 2, 4))
        luminance = sum(
            weight * ((x + 0.055) / 1.055) ** 2.4
            for weight, x in zip((0.2126, 0.7152, 0.0722), (red, green, blue))
        )
        # WCAG 2.2: 7 to 1 is the contrast of black text that is easily read.
        assert (luminance + 0.05) / 0.05 > 7


def test_what_a_sheet_does_not_hold_goes_on_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spreadsheet, "_MOST_ROWS", 4)
    rows = [{"file": f"{k}.tif", "z": k} for k in range(8)]
    book = openpyxl.load_workbook(
        write_spreadsheet(table(tmp_path, *rows), tmp_path / "results.xlsx")
    )
    assert book.sheetnames == ["results", "results 2"]
    assert [[row[0] for row in found.values] for found in book] == [
        ["file", "0.tif", "1.tif", "2.tif", "3.tif"],
        ["file", "4.tif", "5.tif", "6.tif", "7.tif"],
    ]


def test_a_table_without_rows(tmp_path: Path) -> None:
    found = sheet(write_spreadsheet(table(tmp_path), tmp_path / "x.xlsx"))
    assert [list(row) for row in found.values] == [list(COLUMNS)]


def test_a_row_still_being_written_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_bytes(b"file,level\na.tif,1\nb.ti")
    found = sheet(write_spreadsheet(tmp_path / "results.csv", tmp_path / "x.xlsx"))
    assert [list(row) for row in found.values] == [["file", "level"], ["a.tif", 1]]


def test_while_it_is_open_elsewhere_the_older_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_spreadsheet(table(tmp_path, {"file": "a.tif"}), tmp_path / "results.xlsx")
    older = path.read_bytes()
    table(tmp_path, {"file": "b.tif"})
    replace = Path.replace

    def locked(self: Path, target: Path) -> Path:
        # What Windows says of a file that Excel has open.
        if target == path:
            raise PermissionError(13, "Permission denied", str(target))
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", locked)
        with pytest.raises(FileError, match="another program has it open; the older one stays"):
            write_spreadsheet(tmp_path / "results.csv", path)
    assert path.read_bytes() == older
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.csv", "results.xlsx"]
    write_spreadsheet(tmp_path / "results.csv", path)
    assert sheet(path)["A2"].value == "b.tif"


def test_what_a_killed_run_left_is_in_nobodys_way(tmp_path: Path) -> None:
    scratch = tmp_path / ".results.xlsx.tmp"
    scratch.mkdir()
    (scratch / "tmpabc").write_text("left")
    write_spreadsheet(table(tmp_path, {"file": "a.tif"}), tmp_path / "results.xlsx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.csv", "results.xlsx"]


def test_damage_and_missing_places_are_file_errors(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist|No such file"):
        write_spreadsheet(tmp_path / "none.csv", tmp_path / "x.xlsx")
    (tmp_path / "damaged.csv").write_bytes(b"file,level\na.tif,1\nb.tif\nc.tif,1\n")
    with pytest.raises(FileError, match=r"^\S*damaged\.csv: row 2 is damaged"):
        write_spreadsheet(tmp_path / "damaged.csv", tmp_path / "x.xlsx")
    assert [p.name for p in tmp_path.iterdir()] == ["damaged.csv"]
    with pytest.raises(FileError, match=r"x\.xlsx: cannot be written"):
        write_spreadsheet(table(tmp_path), tmp_path / "none" / "x.xlsx")


def test_without_xlsxwriter_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    with pytest.raises(SettingsError, match=r"pip install 'microscope-quality\[tables\]'"):
        write_spreadsheet(table(tmp_path), tmp_path / "x.xlsx")


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with 40 images, and beside it the model for them."""
    folder = tmp_path_factory.mktemp("full") / "plate"
    folder.mkdir()
    coded.write(folder.parent / "model")
    for k in range(40):
        tifffile.imwrite(folder / f"{k:02}.tif", coded.plane([[1, 2], [3, 4]]))
    return folder


def measure(plate: Path, out: Path, *options: str, limit_bytes: int = 0) -> Any:
    """Run the command where no file may grow beyond a limit."""
    # In this mode all files that cannot be closed are told; what others find outdated is not asked.
    command = [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning"]
    command += ["-m", "microscope_quality", "measure", str(plate), "--out", str(out)]
    command += ["--model", str(plate.parent / "model"), "--overlay", "none", "--jobs", "1"]

    def limit() -> None:
        import resource

        if limit_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    return subprocess.run(
        [*command, *options],
        env={**os.environ, "PYTHONPATH": str(Path(microscope_quality.__file__).parents[1])},
        capture_output=True,
        text=True,
        preexec_fn=limit,
        timeout=120,
    )


def check_refusal(done: Any, out: Path, name: str, reason: str, n_rows: int) -> None:
    """Check that there is one sentence, the table, and nothing of its copy."""
    assert done.returncode == 1, done.stderr
    said = f"microscope-quality measure: {out / name}: cannot be written: {reason}"
    assert done.stderr.splitlines() == [said]
    assert sorted(path.name for path in out.iterdir()) == ["results.csv", "run.json"]
    assert len(list(read_table(out / "results.csv"))) == n_rows


posix = pytest.mark.skipif(os.name == "nt", reason="limits of POSIX")


@pytest.mark.long
@posix
@pytest.mark.parametrize("limit_bytes", [3500, 5000, 6000])
@pytest.mark.parametrize("option", ["--xlsx", "--parquet"])
def test_a_copy_of_a_few_rows_that_does_not_fit_is_one_sentence(
    plate: Path, tmp_path: Path, option: str, limit_bytes: int
) -> None:
    some = tmp_path / "plate"
    some.mkdir()
    (some / "00.tif").symlink_to(plate / "00.tif")
    (tmp_path / "model").symlink_to(plate.parent / "model")
    done = measure(some, tmp_path / "out", option, limit_bytes=limit_bytes)
    name = {"--xlsx": "results.xlsx", "--parquet": "results.parquet"}[option]
    check_refusal(done, tmp_path / "out", name, "File too large", 1)


@pytest.mark.long
@posix
@pytest.mark.parametrize("limit_bytes", [25_000, 40_000])
def test_a_workbook_of_many_rows_that_does_not_fit_is_one_sentence(
    plate: Path, tmp_path: Path, limit_bytes: int
) -> None:
    done = measure(plate, tmp_path / "out", "--xlsx", limit_bytes=limit_bytes)
    check_refusal(done, tmp_path / "out", "results.xlsx", "File too large", 40)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    with contextlib.suppress(FileNotFoundError):
        if subprocess.run(mount, capture_output=True).returncode == 0:
            yield place
            subprocess.run(["umount", str(place)], check=True)
            return
    pytest.skip("nothing can be mounted")


@posix
@pytest.mark.long
@pytest.mark.parametrize("left_bytes", [48 * 1024, 64 * 1024, 96 * 1024])
def test_a_full_disk_is_one_sentence(plate: Path, disk: Path, left_bytes: int) -> None:
    out = disk / "out"
    assert measure(plate, out).returncode == 0
    there = os.statvfs(disk)
    filler = disk / "filler"
    filler.write_bytes(bytes(there.f_bavail * there.f_frsize - left_bytes))
    done = measure(plate, out, "--xlsx")
    check_refusal(done, out, "results.xlsx", "No space left on device", 40)
    # With room again, the same command ends it.
    filler.unlink()
    assert measure(plate, out, "--xlsx").returncode == 0
    assert len(list(sheet(out / "results.xlsx").values)) == 41
