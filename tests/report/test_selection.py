"""Lists of what to keep. That a report saves the same ones is tested in `test_browser`."""

import pytest
from toy_measure import Toy
from written_results import failed_row, plane_row, read_csv, write_results

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.columns import names
from microscope_quality.files.tables import RESULTS
from microscope_quality.measuring.classical import Classical
from microscope_quality.measuring.settings import Settings
from microscope_quality.report.results import read_results
from microscope_quality.report.selection import Limits, check_lists, select, write_lists
from microscope_quality.statuses import FOCUS_STATUSES

HEADER = "file,series,z,c,t,plate,well,site,channel,expected_level,certainty,status,reason,message"
ROWS = [
    plane_row("sharp.tif", 0.4, well="A01", site=1),
    plane_row("limit.tif", 1.5, 0.3, well="A10"),
    plane_row("blurred.tif", 1.51, well="A02"),
    plane_row("mixed.tif", 1.2, 0.1, "mixed", well="B01"),
    plane_row("far mixed.tif", 6, 0.1, "mixed", well="B01"),
    plane_row("empty.tif", 5, 0, "no_content", well="C01"),
    failed_row("bad.tif", well="D01"),
    *(plane_row("stack.tif", level, z=z, well="A03") for z, level in enumerate((5, 0.2, 4))),
    *(plane_row("far.tif", level, z=z, well="AA01") for z, level in enumerate((9, 7, 8))),
]
BOTH = {"mixed.tif": "mixed", "far mixed.tif": "mixed", "empty.tif": "no_content"}
ALWAYS = {
    "blurred.tif": "expected_level",
    "bad.tif": "error",
    "far.tif": "expected_level",
}


def rows_of(folder, rows, columns=None, **more):
    return read_results(write_results(folder, rows, columns, **more)).rows


@pytest.fixture
def rows(tmp_path):
    return rows_of(tmp_path, ROWS)


def reasons(selection):
    files, shown = selection.rows.columns["file"], selection.rows.shown
    return {files[shown[image]]: selection.reasons[image] for image in selection.rejected}


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        (Limits(), ALWAYS | BOTH),
        (
            Limits(keeps_partly_bad=True),
            ALWAYS | {"far mixed.tif": "expected_level", "empty.tif": "no_content"},
        ),
        (Limits(keeps_empty=True), ALWAYS | {"mixed.tif": "mixed", "far mixed.tif": "mixed"}),
        (Limits(1.51), {**ALWAYS, **BOTH, "blurred.tif": ""}),
        (Limits(min_trust=0.3), ALWAYS | BOTH),
        (Limits(min_trust=0.31), ALWAYS | BOTH | {"limit.tif": "certainty"}),
        (
            Limits(10, 0.2, keeps_partly_bad=True),
            {
                **{"mixed.tif": "certainty", "far mixed.tif": "certainty"},
                **{"empty.tif": "no_content", "bad.tif": "error"},
            },
        ),
    ],
)
def test_an_image_is_rejected_for_its_first_reason(rows, limits, wanted):
    selection = select(rows, limits)
    assert reasons(selection) == {name: why for name, why in wanted.items() if why}
    assert sorted(selection.kept + selection.rejected) == list(range(len(ROWS) - 4))


def test_the_limit_is_the_one_that_the_run_was_judged_by(tmp_path):
    record = {"settings": {"in_focus_limit": 2.5}}
    rows = rows_of(tmp_path, [plane_row("a.tif", 2.4), plane_row("b.tif", 2.6)], record=record)
    assert reasons(select(rows)) == {"b.tif": "expected_level"}


def test_a_list_has_a_row_for_each_image_and_guards_formulas(tmp_path):
    odd = ["=1+1.tif", "-2", "+3e5", "'quoted.tif", 'a, "b"\nc.tif', "＝full.tif"]
    rows = rows_of(tmp_path, [plane_row(name, 0.5, well="-x") for name in odd])
    selection = select(rows)
    lines = selection.table(selection.kept).decode().split("\r\n")
    tail = ",,,,,,'-x,,,0.5,0.8,in_focus,,"
    stored = ["'=1+1.tif", "-2", "+3e5", "''quoted.tif", '"a, ""b""\nc.tif"', "'＝full.tif"]
    assert lines == [HEADER, *(f"{name}{tail}" for name in stored), ""]
    back = [row["file"].removeprefix("'") for row in read_csv("\r\n".join(lines))]
    assert back == odd
    assert selection.table([]).decode() == f"{HEADER}\r\n"


def test_reasons_are_counted_in_the_words_of_the_page(rows):
    assert select(rows, Limits(min_trust=0.31)).counted() == [
        (2, "by their expected level"),
        (1, "by their certainty"),
        (2, "mixed"),
        (1, "without content"),
        (1, "not measured"),
    ]
    assert select(rows, Limits(10, keeps_partly_bad=True, keeps_empty=True)).counted() == [
        (1, "not measured")
    ]


def test_wells_are_in_the_order_of_their_plates(rows, tmp_path):
    assert select(rows).wells() == {"": ["A02", "B01", "C01", "D01", "AA01"]}
    named = [("P2", "B2"), ("P1", "pool"), ("P1", "A10"), ("P1", "A9"), ("P1", "A9"), ("P1", "")]
    found = rows_of(
        tmp_path / "plates",
        [plane_row(f"{k}.tif", 9, plate=plate, well=well) for k, (plate, well) in enumerate(named)],
    )
    assert select(found).wells() == {"P1": ["A9", "A10", "pool"], "P2": ["B2"]}


def test_a_measure_without_a_limit_of_which_high_is_good(tmp_path):
    columns = names(Settings(measures=(Classical(),)).columns()[RESULTS])
    powers = {"a.tif": 0.5, "b.tif": 0.1, "none.tif": ""}
    rows = rows_of(
        tmp_path,
        [{"file": n, "status": "measured", "mid_band_power": p} for n, p in powers.items()],
        columns,
        record={"settings": {"measures": ["classical"]}},
    )
    assert reasons(select(rows)) == {"none.tif": "mid_band_power"}
    wanted = {"b.tif": "mid_band_power", "none.tif": "mid_band_power"}
    assert reasons(select(rows, Limits(0.2))) == wanted
    with pytest.raises(SettingsError, match="classical tells none"):
        select(rows, Limits(min_trust=0.5))


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(10.5), "limit is 10.5, but levels are from 0 to 10"),
        (Limits(float("nan")), "limit is nan"),
        (Limits(min_trust=1.5), "min_trust is 1.5, but has to be from 0 to 1"),
    ],
)
def test_limits_that_no_image_has_are_refused(rows, limits, said):
    with pytest.raises(SettingsError, match=said):
        select(rows, limits)


def test_statuses_that_are_bad_or_good_are_judged_by_their_numbers():
    limits = Limits(keeps_partly_bad=True)
    drops = {status.key: limits.drops(status) for status in FOCUS_STATUSES}
    assert [key for key, dropped in drops.items() if dropped] == ["no_content", "too_small"]
    # An image that is too small is of no empty well.
    kept = Limits(keeps_empty=True)
    assert [one.key for one in FOCUS_STATUSES if kept.drops(one)] == ["mixed", "too_small"]


def test_older_lists_are_replaced_and_other_files_are_not(rows, tmp_path):
    out = tmp_path / "new" / "lists"
    write_lists(select(rows, Limits(10)), out)
    write_lists(select(rows), out)
    selection = select(rows)
    assert (out / "kept.csv").read_bytes() == selection.table(selection.kept)
    assert (out / "rejected.csv").read_bytes() == selection.table(selection.rejected)
    assert len(list(out.iterdir())) == 2
    # Those of older versions have no message.
    (out / "kept.csv").write_text(f"{HEADER.removesuffix(',message')}\r\n", newline="")
    write_lists(selection, out)
    assert (out / "kept.csv").read_bytes() == selection.table(selection.kept)
    (out / "rejected.csv").write_text("file,well\nx.tif,A01\n")
    (out / "kept.csv").unlink()
    with pytest.raises(FileError, match=r"rejected\.csv: is there already"):
        write_lists(selection, out)
    assert [path.name for path in out.iterdir()] == ["rejected.csv"]
    with pytest.raises(SettingsError, match="must be a folder"):
        check_lists(tmp_path / "list.csv", rows.measure)
    with pytest.raises(FileError):
        check_lists(out, Toy())
