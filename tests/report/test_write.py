import json
import os
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
    assert data["limit"] == 2.5
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
    assert note.startswith("4 files are not where they were measured, 0.tif first")
    assert data_of(page)["pictures"] == []
    page = write_report(results, images=tmp_path / "moved")
    assert len(data_of(page)["pictures"]) == 4
    assert not any("not where" in note for note in notes_of(page))
    with pytest.raises(FileError, match="is no folder of images"):
        write_report(results, images=tmp_path / "nowhere")


def test_an_image_without_a_picture_is_named_among_the_worst(tmp_path):
    results = screen(tmp_path)
    paths = sorted((tmp_path / "images").iterdir())
    for path in paths[:2]:
        path.write_bytes(b"not an image")
    html = write_report(results).read_text("utf-8")
    worst = re.findall(r'<bdi class="file">(.*?)</bdi>', html)
    assert {one.replace("<wbr>", "") for one in worst} == {path.name for path in paths}
    assert html.count('<span class="none">no picture</span>') == 2
    notes = notes_of(tmp_path / "results" / "report.html")
    (note,) = [note for note in notes if "pictures are missing" in note]
    assert all(path.name in note for path in paths[:2])


@pytest.mark.long
def test_images_that_changed_are_told_of_all_and_not_of_the_worst_alone(tmp_path):
    rows = []
    for k in range(40):
        path = tmp_path / "images" / f"{k:02}.tif"
        write_image(path, k)
        os.utime(path, ns=(10**9, 10**9 + 7))
        known = {"size_bytes": path.stat().st_size, "modified": "1970-01-01T00:00:01.000000007Z"}
        rows.append(plane_row(path.name, 0, **known))
    images = tmp_path / "images"
    results = write_results(tmp_path / "results", rows, record={"folder": str(images)})
    os.utime(images / "20.tif", ns=(10**9, 10**9 + 8))
    (images / "30.tif").write_bytes((images / "30.tif").read_bytes() + b"\0")
    os.utime(images / "30.tif", ns=(10**9, 10**9 + 7))
    (images / "35.tif").unlink()
    said = []
    page = write_report(results, tell=said.append)
    changes = data_of(page)["changes"]
    # Those in focus with the highest levels are measured again, and are noise out of focus.
    assert {20, 30} <= set(changes["changed"]) <= {0, 1, 2, 3, 20, 30}
    assert (changes["dated"], changes["missing"]) == ([], [35])
    assert said == notes_of(page)[:2]
    count = len(changes["changed"])
    first = rows[changes["changed"][0]]["file"]
    assert said[0].startswith(f"{count} files have changed since they were measured, {first} first")
    assert said[1].startswith("1 file is not where it was measured, 35.tif, and without a picture")
    # A copy has a time of its own.
    changes = data_of(write_report(results, images=images))["changes"]
    assert 30 in changes["changed"]
    assert changes["dated"] == [20]


def test_a_table_alone_without_record_or_with_a_damaged_one(tmp_path):
    results = screen(tmp_path)
    (results / "run.json").write_text("{")
    page = write_report(results / "results.csv", out=tmp_path / "x.html", images=tmp_path)
    assert any("run.json, the record of the run, is damaged" in note for note in notes_of(page))
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
    assert "None of the 3 images could be measured." in page.read_text("utf-8")
    assert notes_of(page) == [
        "3 images could not be measured; the first: 0.tif is empty (0 bytes)."
    ]


@pytest.mark.parametrize(
    ("folder", "title"),
    [
        ("/data/plate 7", "plate 7"),
        ("C:\\data\\plate 7\\", "plate 7"),
        ("/", "results"),
        (None, "results"),
    ],
)
def test_the_heading_names_what_was_measured(tmp_path, folder, title):
    results = write_results(tmp_path / "results", [failed_row("a.tif")], record={"folder": folder})
    assert f"<title>Focus of {title}</title>" in write_report(results).read_text("utf-8")


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileError, match="is not there"):
        write_report(tmp_path / "absent")
    with pytest.raises(FileError, match=r"has no results\.csv; name a folder that measure wrote"):
        write_report(tmp_path)
    (tmp_path / "results.csv.part").write_text("file")
    with pytest.raises(FileError, match=r"has not finished left results\.csv\.part"):
        write_report(tmp_path)


def test_an_image_is_no_table(tmp_path):
    write_image(tmp_path / "some.tif")
    with pytest.raises(FileError, match=r"some\.tif: is not a table of results; name the folder"):
        write_report(tmp_path / "some.tif")


def test_without_plotly_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "plotly.offline", None)
    with pytest.raises(SettingsError, match=r"pip install 'microscope-quality\[report\]'"):
        write_report(screen(tmp_path))


def test_pictures_share_the_room_of_the_page(tmp_path, monkeypatch):
    from plotly.offline import get_plotlyjs

    results = screen(tmp_path, 6)
    whole = write_report(results, out=tmp_path / "whole.html").stat().st_size
    assert whole < write.page.MOST_PAGE_BYTES
    # Room for two small pictures beside the coloured ones.
    left = 4 * 4 * write.pictures.LARGE_BYTES // 3 + 2 * 4 * write.pictures.FEWEST_BYTES // 3 + 99
    size = (
        len(get_plotlyjs().encode())
        + write._REST
        + left
        + len(write.page.safe_json(data_of(tmp_path / "whole.html")["columns"]))
    )
    monkeypatch.setattr(write.page, "MOST_PAGE_BYTES", size)
    page = write_report(results)
    assert [row for row, _ in data_of(page)["pictures"]] == [0, 3]
    assert "2 of 6 planes have a picture, spread evenly" in notes_of(page)[-1]
    assert page.stat().st_size < size


def test_names_that_look_like_planes_are_told(tmp_path):
    rows = [plane_row(f"em_p{z:03}.tif", z) for z in range(3)]
    results = write_results(tmp_path / "results", rows)
    said = "Names such as em_p000.tif may be those of planes of z-stacks"
    (note,) = [note for note in notes_of(write_report(results)) if note.startswith(said)]
    assert "the pattern _p(?P&lt;z&gt;\\d+) puts them together" in note
    page = write_report(results, pattern=r"_p(?P<z>\d+)")
    assert not any(note.startswith(said) for note in notes_of(page))
    assert len(data_of(page)["stacks"]) == 1
