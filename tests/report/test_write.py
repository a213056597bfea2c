import json
import re

import pytest
from written_results import failed_row, plane_row, write_image, write_results

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.report import write
from microscope_quality.report.write import write_report


def screen(folder, n=4):
    rows = [plane_row(f"{k}.tif", k % 11) for k in range(n)]
    for k in range(n):
        write_image(folder / "images" / f"{k}.tif", k)
    record = {"folder": str(folder / "images"), "settings": {"in_focus_limit": 2}}
    return write_results(folder / "results", rows, record=record)


def data_of(page):
    found = re.search(r'id="data">(.*?)</script>', page.read_text("utf-8"), re.S)
    return json.loads(found[1])


def notes_of(page):
    html = re.sub(r"<noscript>.*?</noscript>", "", page.read_text("utf-8"), flags=re.S)
    return re.findall(r'<p class="note">(.*?)</p>', html)


def test_the_page_is_the_only_file_that_is_written(tmp_path):
    results = screen(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    page = write_report(results)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert page == results / "report.html"
    assert set(after) - set(before) == {page}
    assert all(after[path] == content for path, content in before.items())
    data = data_of(page)
    assert [row for row, _ in data["pictures"]] == [0, 1, 2, 3]
    assert data["limit"] == 2
    assert page.read_text("utf-8").count('src="data:image/webp;base64,') == 4


def test_jobs_make_the_same_page(tmp_path):
    results = screen(tmp_path, 20)
    one = write_report(results, out=tmp_path / "one.html").read_bytes()
    assert write_report(results, out=tmp_path / "two.html", jobs=2).read_bytes() == one


def test_an_older_report_is_replaced_and_nothing_else(tmp_path):
    results = screen(tmp_path)
    write_report(results, title="first")
    page = write_report(results, title="second")
    assert "<title>second</title>" in page.read_text("utf-8")
    page.write_text("<html>my notes</html>")
    with pytest.raises(FileError, match="is there already and is no report"):
        write_report(results)
    assert page.read_text() == "<html>my notes</html>"
    for out in (tmp_path / "images", tmp_path / "images" / "0.tif"):
        with pytest.raises(FileError, match="is no report"):
            write_report(results, out=out)
    with pytest.raises(FileError, match="there is no folder"):
        write_report(results, out=tmp_path / "absent" / "page.html")


def test_missing_images_are_counted_and_found_where_they_are_now(tmp_path):
    results = screen(tmp_path)
    (tmp_path / "images").rename(tmp_path / "moved")
    page = write_report(results)
    (note,) = notes_of(page)
    assert note.startswith("4 of 4 pictures are missing, since the images could not be read; 0.tif")
    assert data_of(page)["pictures"] == []
    page = write_report(results, images=tmp_path / "moved")
    assert len(data_of(page)["pictures"]) == 4
    assert not any("missing" in note for note in notes_of(page))
    with pytest.raises(FileError, match="is no folder of images"):
        write_report(results, images=tmp_path / "nowhere")


def test_changed_images_are_told(tmp_path):
    size = {"size_bytes": "1"}
    rows = [plane_row("0.tif", **size), plane_row("1.tif", **size)]
    for name in ("0.tif", "1.tif"):
        write_image(tmp_path / name)
    page = write_report(write_results(tmp_path / "results", rows), images=tmp_path)
    assert "2 files have changed since they were measured, 0.tif first" in notes_of(page)[0]


def test_a_table_alone_without_record_or_with_a_damaged_one(tmp_path):
    results = screen(tmp_path)
    (results / "run.json").write_text("{")
    page = write_report(results / "results.csv", out=tmp_path / "x.html", images=tmp_path)
    assert "run.json, the record of the run, is damaged" in notes_of(page)[0]
    (results / "run.json").unlink()
    assert "There is no record of the run" in write_report(results).read_text("utf-8")


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_an_unfinished_run_is_told(tmp_path, status):
    rows = [failed_row("a.tif")]
    results = write_results(tmp_path, rows, record={"status": status, "settings": 3, "model": []})
    assert "the table may lack images" in notes_of(write_report(results))[0]


def test_only_errors_make_a_page_that_says_so(tmp_path):
    rows = [failed_row(f"{k}.tif") for k in range(3)]
    page = write_report(write_results(tmp_path, rows))
    assert "None of the 3 images could be read." in page.read_text("utf-8")
    assert notes_of(page) == []


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileError, match="is not there"):
        write_report(tmp_path / "absent")
    with pytest.raises(FileError, match=r"has no results\.csv; name a folder that measure wrote"):
        write_report(tmp_path)
    (tmp_path / "results.csv.part").write_text("file")
    with pytest.raises(FileError, match=r"has not finished left results\.csv\.part"):
        write_report(tmp_path)


def test_without_plotly_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "plotly.offline", None)
    with pytest.raises(SettingsError, match=r"pip install 'microscope-quality\[report\]'"):
        write_report(screen(tmp_path))


def test_pictures_share_the_room_of_the_page(tmp_path, monkeypatch):
    results = screen(tmp_path, 6)
    whole = write_report(results, out=tmp_path / "whole.html").stat().st_size
    assert whole < write.page.MOST_PAGE_BYTES
    # Room for two small pictures beside the coloured ones.
    left = 4 * 4 * write.pictures.OVERLAY_BYTES // 3 + 2 * 4 * write.pictures.FEWEST_BYTES // 3 + 99
    size = (
        write._plotly_bytes()
        + write._REST
        + left
        + len(write.page.safe_json(data_of(tmp_path / "whole.html")["columns"]))
    )
    monkeypatch.setattr(write.page, "MOST_PAGE_BYTES", size)
    page = write_report(results)
    assert [row for row, _ in data_of(page)["pictures"]] == [0, 3]
    assert "2 of 6 planes have a picture, spread evenly" in notes_of(page)[-1]
    assert page.stat().st_size < size
