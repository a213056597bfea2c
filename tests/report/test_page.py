import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from rated_results import failed_grab, rated_row, write
from written_results import failed_row, plane_row, write_results

from microscope_quality.errors import FileError
from microscope_quality.report import page
from microscope_quality.report.rows import read_rows
from microscope_quality.statuses import ERROR, FOCUS_STATUSES

HOSTILE = "</script></noscript><script>alert(1)</script><!-- \u2028 ' \" & \\ \u202e ]]>"


def rows_of(folder, rows, **more):
    return read_rows(write_results(folder, rows, **more) / "results.csv", more.get("record"))


def rendered(rows, **more):
    columns, _ = page.encoded_table(rows)
    settings = {
        "title": "Plate 1",
        "columns": columns,
        "pictures": {},
        "worst": [],
        "notes": [],
        "record": {},
        "changes": {},
    }
    return page.render(rows, **(settings | more))


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, "The table has no rows: there is nothing to tell."),
        ({"in_focus": 1}, "The image is in focus."),
        ({"in_focus": 3}, "All 3 images are in focus."),
        ({"error": 1}, "The image could not be measured."),
        ({"error": 1200}, "None of the 1,200 images could be measured."),
        ({"out_of_focus": 1, "mixed": 0}, "The image is out of focus."),
        ({"out_of_focus": 2}, "All 2 images are out of focus."),
        (
            {"no_content": 5, "mixed": 0},
            "All 5 images are without enough content to judge by.",
        ),
        (
            {"out_of_focus": 2, "mixed": 1},
            "None of the 3 images is in focus; 2 are out of focus and 1 is mixed (parts at "
            "different levels).",
        ),
        (
            {"in_focus": 30, "out_of_focus": 8, "mixed": 1, "no_content": 2, "error": 1},
            "30 of 42 images are in focus (71.4\u00a0%); 8 are out of focus, 1 is mixed (parts at "
            "different levels), 2 are without enough content to judge by and 1 could not be "
            "measured.",
        ),
        ({"in_focus": 1, "error": 2}, "1 of 3 images is in focus; 2 could not be measured."),
    ],
)
def test_the_verdict_is_a_sentence(counts, said):
    statuses = (*FOCUS_STATUSES, ERROR)
    of_statuses = {one: counts[one.key] for one in statuses if one.key in counts}
    assert page.sentence(of_statuses, statuses) == said


@pytest.mark.parametrize("text", [HOSTILE, "\x00\x1f\x7f", "😀 é", "\ud800"])
def test_json_in_the_page_neither_ends_its_element_nor_changes(text):
    safe = page.safe_json({"a": [text]})
    assert json.loads(safe) == {"a": [text]}
    assert not set("<>&\u2028\u2029") & set(safe)


def unpacked(one, n):
    if "all" in one:
        return [one["all"]] * n
    texts = one["texts"] if isinstance(one["texts"], list) else one["texts"].split("\n")
    return [texts[number] for number in one["index"]] if "index" in one else texts


def test_packed_columns_are_the_table(tmp_path):
    rows = [plane_row(f"image {n}\n{HOSTILE}.tif", n % 11, well=f"A{n % 3}") for n in range(30)]
    rows += [failed_row("", error="line\nbreak"), failed_row("x", error="=1+1")]
    read = rows_of(tmp_path, rows)
    columns, notes = page.encoded_table(read)
    again = json.loads(page.safe_json(columns))
    assert {one["name"]: unpacked(one, len(read)) for one in again} == read.columns
    assert notes == []


def test_a_large_table_loses_probabilities_and_a_larger_one_is_refused(tmp_path, monkeypatch):
    read = rows_of(tmp_path, [plane_row(f"{n:05}.tif", (n % 100) / 10) for n in range(500)])
    whole, _ = page.encoded_table(read)
    size = len(json.dumps(whole))
    monkeypatch.setattr(page, "MOST_DATA_BYTES", size - 200)
    columns, notes = page.encoded_table(read)
    assert {one["name"] for one in whole} - {one["name"] for one in columns} == {
        f"p{k}" for k in range(11)
    }
    assert "p0 to p10 are left out" in notes[0]
    monkeypatch.setattr(page, "MOST_DATA_BYTES", 1000)
    with pytest.raises(FileError, match="500 rows, which are too many for one page"):
        page.encoded_table(read)


def test_the_worst_come_first_and_mixed_ones_have_their_places(tmp_path):
    rows = [plane_row(f"out{n}.tif", 2 + n / 10) for n in range(20)]
    rows += [plane_row(f"mixed{n}.tif", 3 + n, status="mixed") for n in range(5)]
    rows += [plane_row("empty.tif", 9, status="no_content"), failed_row("bad.tif")]
    read = rows_of(tmp_path, rows)
    # Of levels 3.9 to 3.8 and 3.7 to 3.4, which look alike, one comes before the next.
    assert page.worst_rows(read, 8) == [19, 24, 17, 23, 18, 16, 15, 14]
    assert len(page.worst_rows(read, 100)) == 25


def test_the_worst_of_a_rating_go_by_their_scores_after_failed_grabs(tmp_path):
    scores = [0.45, 0.31, 0.44, 0.3, 0.9, 0.41]
    rows = [rated_row(f"{number}.tif", score) for number, score in enumerate(scores)]
    rows.append(failed_grab("cut.tif", "cut"))
    found = read_rows(write(tmp_path, rows) / "results.csv", {"settings": {"measures": ["rating"]}})
    assert page.worst_rows(found, 24) == [6, 3, 1, 5, 2, 0]


def test_a_rare_status_is_named_where_an_image_has_it(tmp_path):
    rows = [plane_row("a.tif"), plane_row("b.tif", 7, status="no_content")]
    for number, small in enumerate(([], [plane_row("c.tif", status="too_small")])):
        html = rendered(rows_of(tmp_path / str(number), [*rows, *small]))
        for text in ('data-status="too_small"', '"key":"too_small"', "those that are smaller"):
            assert (text in html.replace('": "', '":"')) == bool(small)
        # Nobody wants to keep them.
        assert 'id="drop-no_content"' in html
        assert 'id="drop-too_small"' not in html
    assert "1 is smaller than a patch" in html


def test_what_is_counted_is_said_beside_planes_and_files(tmp_path):
    rows = [plane_row("s.tif", 1, z=z, c=c) for c in range(2) for z in range(3)]
    html = rendered(rows_of(tmp_path, [*rows, plane_row("a.tif")]))
    assert (
        '<p class="soft">3 images: 7 planes in 2 files; a z-stack counts once, by its best plane, '
        "each channel counts by itself.</p>"
    ) in html


def test_plain_images_are_counted_without_more_ado_and_dated(tmp_path):
    read = rows_of(tmp_path, [plane_row(f"{n}.tif") for n in range(3)])
    assert '<p class="soft">3 images.</p>' in rendered(read)
    record = {"ended": "2026-03-04T05:06:07Z", "model": {"name": "<compact>"}}
    said = "3 images. Measured on 2026-03-04 with the model &lt;compact&gt;."
    assert f'<p class="soft">{said}</p>' in rendered(read, record=record)
    for odd in ({"ended": 5, "model": []}, {"started": "<b>", "model": {"name": 1}}):
        assert '<p class="soft">3 images.</p>' in rendered(read, record=odd)


def test_what_could_not_be_read_is_said_by_its_reason(tmp_path):
    rows = [failed_row(f"{n}.tif", f"is cut short: it has {n} bytes.") for n in range(7, 12)]
    rows += [failed_row("x", "is no image: its first bytes are b'a'"), plane_row("good.tif")]
    rows += [failed_row("y", "is no image: its first bytes are b'q'"), failed_row("z", "is gone")]
    rows += [failed_row("u", "is far too large"), failed_row("v", "may not be read")]
    assert page.unread(rows_of(tmp_path, rows)) == [
        "5 images could not be measured; the first: 7.tif is cut short: it has 7 bytes.",
        "2 images could not be measured; the first: x is no image: its first bytes are b'a'.",
        "1 image could not be measured: z is gone.",
        "2 more images could not be measured; the table says why.",
    ]


def test_stacks_without_all_their_planes_are_told(tmp_path):
    rows = [plane_row("a.tif", 0, z=0), failed_row("a.tif", "is cut short.", z=1)]
    rows += [failed_row("b.tif", "is gone", z=z) for z in range(2)]
    read = rows_of(tmp_path, rows)
    assert page.incomplete(read) == [
        "1 z-stack has planes that could not be measured; the first: a.tif is cut short."
    ]
    assert len(page.unread(read)) == 1
    rows = []
    for stack, planes in (("s1_*.tif", 3), ("s2_*.tif", 2), ("s3_*.tif", 1)):
        for z in range(planes):
            more = {"channel": "1", "stack": stack, "plate": "P"}
            rows.append(plane_row(stack.replace("*", str(z)), z, z=z, **more))
    read = rows_of(tmp_path, rows)
    assert page.incomplete(read) == [
        "2 z-stacks have fewer planes than others of their channel: s2_*.tif has 2 of 3."
    ]
    assert "s2_*.tif has 2 of 3." in rendered(read, notes=page.incomplete(read))
    read = rows_of(tmp_path, rows[:-1])
    assert page.incomplete(read) == [
        "A z-stack has fewer planes than others of its channel: s2_*.tif has 2 of 3."
    ]
    assert page.incomplete(rows_of(tmp_path, rows[:3])) == []


def test_files_are_counted_where_they_have_several_images(tmp_path):
    rows = rows_of(tmp_path, [failed_row("a.lif", "is cut short", c=c) for c in range(3)])
    assert page.unread(rows) == [
        "3 images of 1 file could not be measured; the first: a.lif is cut short."
    ]


def test_a_reader_without_scripts_gets_the_worst_as_a_table(tmp_path, monkeypatch):
    rows = [plane_row("sharp.tif", 0), plane_row("far.tif", 9), plane_row("<b>.tif", 3)]
    rows += [plane_row("empty.tif", 7, status="no_content"), failed_row("bad.tif", "is <cut>")]
    rows += [plane_row("mixed.tif", 4, status="mixed"), plane_row("soft.tif", 1)]
    monkeypatch.setattr(page, "_MOST_LISTED", 6)
    html = rendered(rows_of(tmp_path, rows))
    listed = re.search(r"<tbody>(.*?)</tbody>.*?</noscript>", html, re.S)[1]
    names = ["bad", "far", "&lt;b&gt;", "mixed", "empty", "soft"]
    assert re.findall(r"<td><bdi>(.*?)\.tif</bdi>", listed) == names
    assert "is &lt;cut&gt;" in listed
    assert "<td>9.00</td>" in listed
    assert "7.00" not in listed
    assert "1 more image is in results.csv" in html


def test_when_all_are_in_focus_the_highest_levels_are_shown(tmp_path):
    read = rows_of(tmp_path, [plane_row(f"{n}.tif", n / 10) for n in range(9)])
    assert page.worst_rows(read, 24) == [8, 7, 6, 5]


def test_the_policy_lets_only_the_own_scripts_run(tmp_path):
    html = rendered(rows_of(tmp_path, [plane_row("a.tif")]))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == directives["base-uri"] == "'none'"
    assert directives["img-src"] == "data:"
    scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    assert len(scripts) == 2
    assert directives["script-src"].split() == [f"'sha256-{one}'" for one in hashes]
    assert not re.search(r"\son\w+=", re.sub(r"<(script|style).*?</\1>", "", html, flags=re.S))


def test_names_are_text_and_never_markup(tmp_path):
    record = {"command": ["measure", HOSTILE], "versions": {HOSTILE: HOSTILE}, HOSTILE: [HOSTILE]}
    row = plane_row(HOSTILE, 5, well=HOSTILE, plate=HOSTILE, channel=HOSTILE)
    html = rendered(
        rows_of(tmp_path, [row, failed_row(HOSTILE, HOSTILE)]),
        title=HOSTILE,
        record=record,
        notes=[HOSTILE],
        worst=[page.Worst(0, b"", True)],
    )
    assert html.count("<script") == 4
    assert html.count("</noscript") == 2
    assert "alert(1)</script>" not in html
    assert "\u202e" not in html


def test_no_part_of_the_page_knows_a_measure():
    folder = Path(page.__file__).parent
    parts = [path for end in ("py", "js", "css", "jinja") for path in folder.rglob(f"*.{end}")]
    assert len(parts) > 20
    word = r"level|certaint|in_focus|out_of_focus|mixed|blur_|defocus|tenengrad|\bp0\b"
    for path in parts:
        found = re.search(word, path.read_text("utf-8"), re.I)
        assert not found, f"{path.name}: {found}"


def test_a_table_without_rows_makes_a_page_without_a_script(tmp_path):
    html = rendered(rows_of(tmp_path, []))
    assert "The table has no rows" in html
    assert "<script" not in html


def test_the_record_is_told_line_by_line(tmp_path):
    record = {
        "schema": 1,
        "command": ["measure", "a b", "--out", "x"],
        "settings": {"in_focus_limit": 1, "optics": None},
        "seconds": 1.5,
    }
    html = rendered(rows_of(tmp_path, [plane_row("a.tif")]), record=record)
    lines = re.findall(r"<th scope=\"row\"><bdi>(.*?)</bdi></th><td><bdi>(.*?)</bdi>", html)
    assert lines == [
        ("command", "microscope-quality measure &#39;a b&#39; --out x"),
        ("settings, in focus limit", "1"),
        ("seconds", "1.5"),
    ]
