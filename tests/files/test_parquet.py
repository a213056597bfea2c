"""Tables as Parquet, read back by pyarrow and pandas."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from written_results import SETTINGS

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.columns import Column, names
from microscope_quality.files.parquet import write_parquet
from microscope_quality.files.tables import Table, read_table

RESULTS, PATCHES, STACKS = SETTINGS.columns().values()

ROWS = [
    {
        "file": 'a,"b"\n=cmd\r\n<script>x\x07 µ.tif',
        "well": "A01",
        "site": "007",
        "z": 0,
        "level": 3.0,
        "expected_level": 2.71828,
        "p0": 1.25e-9,
        "status": "out_of_focus",
        "size_bytes": 2**53 + 1,
        "modified": "2026-11-21T16:52:24.123456789Z",
        "settings_id": "0123456789ab",
    },
    {"file": "b.tif", "error": "is empty (0 bytes)"},
]


def table(path: Path, columns: tuple[Column, ...], *rows: dict[str, object]) -> Path:
    made = Table(path, names(columns))
    made.append(*rows)
    made.finish()
    return path


def test_every_field_comes_back_with_its_type(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = table(tmp_path / "results.csv", RESULTS, *ROWS)
    assert write_parquet(path, RESULTS) == tmp_path / "results.parquet"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["results.csv", "results.parquet"]
    found = pq.read_table(tmp_path / "results.parquet")
    assert found.column_names == list(names(RESULTS))
    assert found.schema.field("z").type == pa.int64()
    assert found.schema.field("p10").type == pa.float64()
    assert found.schema.field("modified").type == pa.timestamp("ns", tz="UTC")
    assert found.schema.field("site").type == pa.string()
    first, second = found.to_pylist()
    assert first["modified"].value == 1795279944123456789
    for name in set(ROWS[0]) - {"modified"}:
        assert first[name] == ROWS[0][name]
    assert (second["file"], second["error"]) == ("b.tif", "is empty (0 bytes)")
    assert {second[n] for n in ("z", "level", "p0", "modified", "defocus_um")} == {None}
    assert (second["status"], second["well"]) == ("", "")


def test_pandas_reads_the_same_numbers_from_both(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    pd = pytest.importorskip("pandas")
    rows = [
        {"file": f"{k}.tif", "y": 84 * k, "x": k, "level": k % 11, "p3": k / 7} for k in range(999)
    ]
    path = table(tmp_path / "patches.csv", PATCHES, *rows)
    columnar = pd.read_parquet(write_parquet(path, PATCHES))
    text = pd.read_csv(path)
    for name in ("file", "y", "x", "level", "p3"):
        assert columnar[name].tolist() == text[name].tolist()


def test_what_does_not_fit_in_memory_at_once_is_written_in_pieces(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    rows = [{"file": f"{k} {'x' * 20000}\n", "c": k} for k in range(900)]
    path = write_parquet(table(tmp_path / "stacks.csv", STACKS, *rows), STACKS)
    assert pq.ParquetFile(path).num_row_groups > 1
    assert pq.read_table(path, columns=["c"])["c"].to_pylist() == list(range(900))


def test_a_table_without_rows_and_one_without_newer_columns(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    path = write_parquet(table(tmp_path / "stacks.csv", STACKS), STACKS)
    assert pq.read_schema(path).names == list(names(STACKS))
    assert pq.read_table(path).num_rows == 0
    some = [Column("file"), Column("z", "integer"), Column("p0", "share"), Column("optics")]
    (tmp_path / "older.csv").write_text("file,z\na.tif,1\n")
    older = pq.read_table(write_parquet(tmp_path / "older.csv", some))
    assert older.to_pylist() == [{"file": "a.tif", "z": 1, "p0": None, "optics": None}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a table"),
        (b"file;z\na.tif;1\n", "is not a table"),
        (b"file,z\na.tif,1\nb.tif\n", "is damaged"),
        (b"file,z\na.tif,1\nb.tif,two\n", "is damaged .*two"),
        (b"file,z\na.tif,1\n\xff.tif,2\n", "is damaged .*UTF8"),
    ],
)
def test_a_damaged_table_is_refused_and_the_older_file_stays(
    tmp_path: Path, content: bytes, said: str
) -> None:
    pytest.importorskip("pyarrow")
    older = tmp_path / "results.parquet"
    older.write_bytes(b"older")
    (tmp_path / "results.csv").write_bytes(content)
    with pytest.raises(FileError, match=rf"results\.csv: {said}"):
        write_parquet(tmp_path / "results.csv", [Column("file"), Column("z", "integer")])
    assert older.read_bytes() == b"older"
    assert len(list(tmp_path.iterdir())) == 2


def test_without_pyarrow_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SettingsError, match=r"pip install 'microscope-quality\[tables\]'"):
        write_parquet(tmp_path / "results.csv", [Column("file")])


def test_reading_a_table_gives_what_parquet_holds(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    path = table(tmp_path / "results.csv", RESULTS, *ROWS)
    texts = [column.name for column in RESULTS if column.kind == "text"]
    found = pq.read_table(write_parquet(path, RESULTS), columns=texts).to_pylist()
    assert found == list(read_table(path, texts))


def test_a_time_that_the_type_cannot_hold_costs_itself_alone(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    times = ["2300-01-01T00:00:00.000000000Z", "", "2026-11-21T16:52:24.123456789Z", "9 ns"]
    rows: list[dict[str, object]] = [{"file": str(n), "modified": t} for n, t in enumerate(times)]
    path = table(tmp_path / "results.csv", RESULTS, *rows)
    found = pq.read_table(write_parquet(path, RESULTS)).to_pylist()
    assert [row["file"] for row in found] == ["0", "1", "2", "3"]
    assert [row["modified"] is None for row in found] == [True, True, False, True]
    assert found[2]["modified"].value == 1795279944123456789
