"""``microscope-quality select``, and what it prints."""

import shutil
import subprocess
import sys

import command_line
import pytest
from written_results import COLUMNS, failed_row, plane_row, write_image, write_results


def run(*arguments, code=0):
    return command_line.run("select", *arguments, code=code)


@pytest.fixture
def results(tmp_path):
    rows = [
        plane_row("A01.tif", 0.4, well="A01"),
        plane_row("A02.tif", 6, well="A02"),
        plane_row("sub/B01.tif", 1, 0.1, "mixed", well="B01"),
        plane_row("C01.tif", 0, 0, "no_content", well="C01"),
        plane_row("two.tif", 0.5, c=0, well="D01"),
        plane_row("two.tif", 0.5, 0.2, c=1, well="D01"),
        failed_row("bad.tif", well="D02"),
    ]
    for number, row in enumerate(rows):
        write_image(tmp_path / "images" / row["file"], number)
    return write_results(tmp_path / "results", rows, record={"folder": str(tmp_path / "images")})


def files(path):
    return [row["file"] for row in command_line.table(path)]


def test_it_writes_both_lists_and_says_what_to_do(results):
    done = run(results)
    lines = done.stdout.splitlines()
    assert lines[:3] == [
        "3 images kept, 4 rejected (level up to 1.5 is kept).",
        "Rejected: 1 by their expected level, 1 mixed, 1 without content, 1 not measured.",
        "Wells with a rejected image: A02 B01 C01 D02",
    ]
    assert lines[3].startswith(f"Written to {results}: rejected.csv")
    assert "--keep-no-content" in lines[4]
    assert lines[5].startswith("Next: retake")
    assert done.stderr == "1 image could not be measured: bad.tif is empty (0 bytes).\n"
    assert files(results / "kept.csv") == ["A01.tif", "two.tif", "two.tif"]
    assert files(results / "rejected.csv") == ["A02.tif", "sub/B01.tif", "C01.tif", "bad.tif"]
    assert not {path.suffix for path in results.iterdir()} - {".csv", ".json"}


def test_its_limits(results, tmp_path):
    out = tmp_path / "lists"
    done = run(
        results / "results.csv", "-o", out, "--limit", 6, "--keep-mixed", "--keep-no-content"
    )
    assert done.stdout.splitlines()[:2] == [
        "6 images kept, 1 rejected (level up to 6 is kept).",
        "Rejected: 1 not measured.",
    ]
    assert files(out / "rejected.csv") == ["bad.tif"]
    run(results, "--min-certainty", 0.15, "--keep-mixed")
    rejected = command_line.table(results / "rejected.csv")
    assert {row["file"]: row["reason"] for row in rejected} == {
        "A02.tif": "expected_level",
        "sub/B01.tif": "certainty",
        "C01.tif": "no_content",
        "bad.tif": "error",
    }


def test_wells_come_from_names_and_tables_too(results, tmp_path):
    rows = [plane_row(f"x{k}_s1.tif", 9) for k in range(3)]
    write_results(results, rows)
    assert "Wells" not in run(results).stdout
    table = tmp_path / "plates.csv"
    table.write_text("file,plate,well\nx0_s1.tif,P2,B03\nx1_s1.tif,P1,A1\nx2_s1.tif,P1,A10\n")
    assert (
        "Wells with a rejected image: P1: A1 A10; P2: B03\n"
        in run(results, "--plates", table).stdout
    )
    rows = [plane_row(f"A{k:02}_s1.tif", 9) for k in range(1, 25)]
    write_results(results, rows)
    said = run(results, "--pattern", r"(?P<well>[A-H]\d\d)_s(?P<site>\d)").stdout
    assert "A19 A20 and 4 more (rejected.csv has all)\n" in said
    assert "A21" not in said


def test_what_has_no_level_is_told_with_its_message(results):
    why = "The image has 60 x 300 pixels; a patch needs 84 x 84."
    small = plane_row("small.tif", status="no_content", well="A03", message=why)
    small |= {"level": "", "expected_level": ""}
    write_results(results, [plane_row("A01.tif", 0.4), small])
    lines = run(results).stdout.splitlines()
    assert lines[-2] == f"1 image has no level: small.tif. {why}"
    assert lines[-1].startswith("Next: mend what the column message says, and give the command")
    assert not any("--keep-no-content" in line for line in lines)
    (row,) = command_line.table(results / "rejected.csv")
    assert (row["reason"], row["message"]) == ("no_content", why)
    write_results(results, [plane_row("A01.tif", 6), small, {**small, "file": "x.tif"}])
    lines = run(results).stdout.splitlines()
    assert lines[-2] == f"2 images have no level: small.tif first. {why}"
    assert " says, retake the other rejected ones, and give the command" in lines[-1]
    # Of an older version.
    write_results(results, [small], [name for name in COLUMNS if name != "message"])
    assert "1 image has no level: small.tif.\n" in run(results).stdout


def test_kept_files_are_copied(results, tmp_path):
    kept = tmp_path / "kept"
    done = run(results, "--copy-kept", kept, "--keep-mixed")
    assert done.stdout.endswith(f"Copied 3 files to {kept}.\n")
    copies = sorted(p.relative_to(kept).as_posix() for p in kept.rglob("*.tif"))
    assert copies == ["A01.tif", "sub/B01.tif", "two.tif"]
    again = run(results, "--copy-kept", kept, "--keep-mixed").stdout
    assert again.endswith(f"Copied 0 files to {kept}; 3 more were there already.\n")


def test_what_is_not_copied_is_told(results, tmp_path):
    shutil.move(tmp_path / "images", tmp_path / "moved")
    done = run(results, "--copy-kept", tmp_path / "kept", "--min-certainty", 0.3, code=1)
    lines = done.stdout.splitlines()
    assert lines[-3] == f"Copied 0 files to {tmp_path / 'kept'}."
    assert lines[-2].startswith("Not copied: 1 file, two.tif (rejected images beside kept ones")
    assert lines[-1].startswith("Not copied: 1 file, A01.tif (not where it was")
    moved = ["--images", tmp_path / "moved"]
    run(results, "--copy-kept", tmp_path / "kept", "--min-certainty", 0.3, *moved)
    assert (tmp_path / "kept" / "A01.tif").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent"], "absent: is not there"),
        (["{}", "--limit", "11"], "--limit is 11, but levels are from 0 to 10"),
        (["{}", "--min-certainty", "2"], "--min-certainty is 2, but has to be from 0 to 1"),
        (["{}", "--out", "{}/kept.txt"], "--out must be a folder"),
        (["{}", "--pattern", "("], "--pattern is no regular expression"),
        (["{}", "--images", "{}"], "--images is where files are copied from: give --copy-kept"),
        (["{}", "--images", "no", "--copy-kept", "k"], "no: is no folder of images"),
        (["{}", "--copy-kept", "{}/../images/kept"], "--copy-kept is "),
        (["{}", "--copy-kept", "{}/results.csv"], "results.csv: is no folder"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(results, arguments, said):
    done = run(*(argument.format(results) for argument in arguments), code=2)
    assert done.stderr.startswith("microscope-quality select: ")
    assert said in done.stderr.replace("\n", " ")
    assert done.stdout == ""
    assert not (results / "kept.csv").exists()


def test_another_file_of_that_name_is_not_replaced(results):
    (results / "kept.csv").write_text("mine\n")
    assert "kept.csv: is there already" in run(results, code=2).stderr
    assert (results / "kept.csv").read_text() == "mine\n"
    assert not (results / "rejected.csv").exists()


def test_it_needs_nothing_that_a_report_is_made_with(results):
    code = (
        "import sys\n"
        "for name in ('jinja2', 'markupsafe', 'plotly'):\n"
        "    sys.modules[name] = None\n"
        "from microscope_quality.cli.app import app\n"
        f"app(['select', {str(results)!r}])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert (results / "rejected.csv").exists()
