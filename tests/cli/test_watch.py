"""The watch command, as a user runs it: real processes, files and signals."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import coded
import numpy as np
import pytest
import tifffile
from coded import BLURRED, EMPTY, FOCUSED, MIXED
from command_line import command, environment, measure, run, table
from PIL import Image

pytestmark = pytest.mark.long

INTERVAL = "0.1"
# So that lines come as they are said.
UNBUFFERED = environment(PYTHONUNBUFFERED="1")


@pytest.fixture
def plate(tmp_path):
    folder = tmp_path / "plate"
    folder.mkdir()
    return folder


def once(*arguments, code=0, **variables):
    """Watch until nothing changes; gives what was said."""
    done = subprocess.run(
        command("watch", *arguments, "--once", "--interval", INTERVAL),
        capture_output=True,
        text=True,
        env={**UNBUFFERED, **variables},
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


class Watch:
    """A watch at work; ended when the test is over."""

    def __init__(self, *arguments, **options):
        if sys.platform == "win32":
            pytest.skip("Ctrl-C cannot be sent to another process there")
        self.process = subprocess.Popen(
            command("watch", *arguments, "--interval", INTERVAL),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=UNBUFFERED,
            **options,
        )
        self.said = [self.process.stdout.readline()]
        if "Watching" not in self.said[0]:
            self.end(signal.SIGKILL)
        assert "Watching" in self.said[0], self.said

    def end(self, how=signal.SIGINT):
        self.process.send_signal(how)
        rest, _ = self.process.communicate(timeout=60)
        self.said.append(rest)
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def rows(out, name="results.csv"):
    try:
        return table(out / name)
    except FileNotFoundError:
        return []


def until(condition, seconds=60):
    """Wait for something to be so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to be so"
        time.sleep(0.02)


def status(out, name):
    return [row["status"] or "error" for row in rows(out) if row["file"] == name]


def record(out):
    return json.loads((out / "run.json").read_text(encoding="utf-8"))


def alerts(out):
    """Alerts that were raised, as they are kept, by their files."""
    lines = (out / "alerts.jsonl").read_text(encoding="utf-8").splitlines()
    raised = [alert for alert in map(json.loads, lines) if "reason" in alert]
    return {alert["file"]: alert for alert in raised}


def measured(plate, model, out, *options, code=0):
    """Rows as `measure` gives them, without what tells of the way."""
    measure(plate, "--model", model, "--out", out, "--overlay", "none", *options, code=code)
    return by_plane(rows(out))


def by_plane(found):
    named = {(row["file"], row["z"]): row for row in found}
    assert len(named) == len(found), "a plane has two rows"
    return named


def test_what_is_there_is_measured_once(plate, model, tmp_path):
    (plate / "day 2").mkdir()
    tifffile.imwrite(plate / "A01.tif", coded.plane(FOCUSED))
    tifffile.imwrite(plate / "A02.tif", coded.plane(BLURRED))
    Image.fromarray(coded.plane(EMPTY)).save(plate / "day 2" / "A03.png")
    (plate / "broken.tif").write_bytes((plate / "A01.tif").read_bytes()[:5000])
    (plate / "notes.txt").write_text("no image")
    hostile = '=cmd,"<script>\n\udcff.tif' if os.name != "nt" else "=cmd.tif"
    shutil.copy(plate / "A02.tif", os.fsencode(plate / hostile))
    # Own outputs are no inputs, wherever they lie.
    out = plate / "results"
    (out / "overlays").mkdir(parents=True)
    for folder in (out, out / "overlays", plate / ".hidden"):
        folder.mkdir(exist_ok=True)
        tifffile.imwrite(folder / "picture.tif", coded.plane(FOCUSED))
    said = once(plate, "--model", model, "--out", out, code=1)
    assert said.count("waiting: broken.tif (") == 1
    expected = measured(plate, model, tmp_path / "measured", code=1)
    expected = {key: row for key, row in expected.items() if "results" not in key[0]}
    assert by_plane(rows(out)) == expected
    assert len(expected) == 5
    assert record(out)["status"] == "finished"
    counts = {"files": 5, "images": 5, "waiting": 0, "measured": 5, "kept": 0, "failed": 1}
    statuses = {"in_focus": 1, "out_of_focus": 2, "mixed": 0, "no_content": 1}
    assert record(out)["counts"] == {**counts, **statuses}
    assert {path.name for path in out.iterdir()} == {
        *("results.csv", "run.json", "overlays", "picture.tif"),
    }
    # A second time only what failed is tried, and the table stays.
    before = (out / "results.csv").read_bytes()
    once(plate, "--model", model, "--out", out, code=1)
    assert (record(out)["counts"]["measured"], record(out)["counts"]["kept"]) == (1, 4)
    assert (out / "results.csv").read_bytes() == before
    # Mended, rewritten, new and deleted ones.
    shutil.copy(plate / "A02.tif", plate / "broken.tif")
    tifffile.imwrite(plate / "A01.tif", coded.plane(MIXED))
    tifffile.imwrite(plate / "A04.tif", coded.plane(FOCUSED))
    (plate / "A02.tif").unlink()
    once(plate, "--model", model, "--out", out)
    expected.update(measured(plate, model, tmp_path / "measured"))
    expected = {key: row for key, row in expected.items() if "results" not in key[0]}
    assert by_plane(rows(out)) == expected
    assert status(out, "A01.tif") == ["mixed"]
    assert status(out, "A02.tif") == ["out_of_focus"]


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_a_link_to_nothing_is_told_as_measure_tells_it(plate, model, tmp_path):
    tifffile.imwrite(plate / "A01.tif", coded.plane(FOCUSED))
    (plate / "gone.tif").symlink_to(tmp_path / "later.tif")
    out = tmp_path / "out"
    said = once(plate, "--model", model, "--out", out, code=1)
    assert re.search(r"gone\.tif .* × not measured +is a link to a file that is missing", said)
    assert by_plane(rows(out)) == measured(plate, model, tmp_path / "measured", code=1)
    tifffile.imwrite(tmp_path / "later.tif", coded.plane(BLURRED))
    once(plate, "--model", model, "--out", out)
    assert status(out, "gone.tif") == ["out_of_focus"]


def test_lines_stand_below_each_other_whatever_names_are_long(plate, model, tmp_path):
    names = ["a.tif", f"{'long_' * 12}name.tif", "b.tif"]
    for name in names:
        tifffile.imwrite(plate / name, coded.plane(FOCUSED))
    said = once(plate, "--model", model, "--out", tmp_path / "out")
    lines = [line for line in said.splitlines() if "● in focus" in line]
    assert len(lines) == 3
    long = next(k for k, line in enumerate(lines) if "long_" in line)
    assert len({line.index("●") for line in lines[long:]}) == 1


def test_a_pattern_that_matches_only_some_names_is_told(plate, model, tmp_path):
    for name in ("A01_s1.tif", "B02_s1.tif", "other.tif", "strange.tif"):
        tifffile.imwrite(plate / name, coded.plane(FOCUSED))
    pattern = ("--pattern", r"(?P<well>[A-H]\d+)_")
    said = once(plate, "--model", model, "--out", tmp_path / "out", *pattern)
    assert said.count("The pattern does not match other.tif") == 1
    assert "; --pattern does not match 2 names, other.tif first" in said


def test_a_measure_without_bad_images_says_what_alerts_are_for(plate, tmp_path):
    tifffile.imwrite(plate / "A01.tif", coded.plane(FOCUSED))
    arguments = (plate, "--measures", "classical", "--out", tmp_path / "out", "--bell")
    assert "Alerts are for files that cannot be measured alone" in once(*arguments)
    assert "Alerts are for" not in once(*arguments, "--alert-level", 0.5)


def test_thumbnails_and_what_is_excluded_are_not_measured(plate, model, tmp_path):
    for name in ("A01.tif", "A01_thumb.tif", "A02.tif", "x/A03.tif", "Downsampled_x2/A01.tif"):
        (plate / name).parent.mkdir(exist_ok=True)
        tifffile.imwrite(plate / name, coded.plane(FOCUSED))
    arguments = ("--out", tmp_path / "out", "--model", model, "--exclude", "x/*")
    said = once(plate, *arguments, "--exclude", "A02*")
    assert [row["file"] for row in table(tmp_path / "out" / "results.csv")] == ["A01.tif"]
    for part in ("1 thumbnail (", "1 folder of reduced copies", "2 excluded images"):
        assert part in said


def test_files_that_come_slowly_and_a_stop_and_a_kill(plate, model, tmp_path):
    out = tmp_path / "out"
    whole = plate.parent / "whole.tif"
    tifffile.imwrite(whole, coded.plane(BLURRED))
    content = whole.read_bytes()
    arguments = (plate, "--model", model, "--out", out, "--jobs", 2)
    with Watch(*arguments) as watch:
        with (plate / "slow.tif").open("wb", buffering=0) as stream:
            for start in range(0, len(content), 4096):
                stream.write(content[start : start + 4096])
                time.sleep(0.02)
        (plate / "renamed.tmp").write_bytes(content)
        (plate / "renamed.tmp").rename(plate / "renamed.tif")
        (plate / "cut.tif").write_bytes(content[:9000])
        until(lambda: status(out, "slow.tif") and status(out, "renamed.tif"))
        until(lambda: status(out, "cut.tif") == ["error"])
        assert "cut short" in rows(out)[-1]["error"]
        (plate / "cut.tif").write_bytes(content)
        until(lambda: status(out, "cut.tif") == ["out_of_focus"])
        # Another watch cannot write there too.
        call = command("watch", plate, "--model", model, "--out", out, "--once")
        other = subprocess.run(call, env=UNBUFFERED, capture_output=True, text=True)
        assert other.returncode == 2
        assert "another run" in other.stderr
        watch.process.send_signal(signal.SIGKILL)
        watch.process.wait()
    (plate / "meanwhile.tif").write_bytes(content)
    with Watch(*arguments) as watch:
        until(lambda: status(out, "meanwhile.tif"))
        tifffile.imwrite(plate / "slow.tif", coded.plane(FOCUSED))
        until(lambda: status(out, "slow.tif") == ["in_focus"])
        assert watch.end() == 130
        assert "goes on from there" in watch.said[-1]
    assert record(out)["status"] == "interrupted"
    # `meanwhile.tif`, and `slow.tif` that was rewritten.
    assert record(out)["counts"]["measured"] == 2
    assert by_plane(rows(out)) == measured(plate, model, tmp_path / "measured")


def test_a_sample_of_large_images(plate, model, tmp_path):
    tifffile.imwrite(plate / "a.tif", coded.plane([list(range(10))] * 10))
    options = ("--sample", 20, "--seed", 3)
    once(plate, "--model", model, "--out", tmp_path / "out", *options)
    expected = measured(plate, model, tmp_path / "measured", *options)
    assert by_plane(rows(tmp_path / "out")) == expected
    (row,) = expected.values()
    assert 20 <= int(row["places"]) < 100


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_folder_out_of_reach_comes_back_and_sigterm_is_no_error(plate, model, tmp_path):
    out = tmp_path / "out"
    tifffile.imwrite(plate / "a.tif", coded.plane(FOCUSED))
    with Watch(plate, "--model", model, "--out", out, "--jobs", 1) as watch:
        until(lambda: status(out, "a.tif"))
        plate.rename(tmp_path / "away")
        time.sleep(0.5)
        (tmp_path / "away").rename(plate)
        tifffile.imwrite(plate / "b.tif", coded.plane(BLURRED))
        until(lambda: status(out, "b.tif"))
        assert watch.end(signal.SIGTERM) == 0
        said = "".join(watch.said)
    assert said.count("cannot be reached") == 1
    assert said.count("is there again") == 1
    assert len(re.findall(r"a\.tif .*in focus", said)) == 1


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_closed_terminal_does_not_end_a_watch_under_nohup(plate, model, tmp_path):
    options = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with Watch(plate, "--model", model, "--out", tmp_path / "out", **options) as watch:
        watch.process.send_signal(signal.SIGHUP)
        tifffile.imwrite(plate / "a.tif", coded.plane(FOCUSED))
        until(lambda: status(tmp_path / "out", "a.tif"))
        assert watch.end(signal.SIGTERM) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="sets another process's limits")
def test_a_full_disk_loses_nothing(plate, model, tmp_path):
    import resource

    out = tmp_path / "out"
    with Watch(plate, "--model", model, "--out", out, "--jobs", 1) as watch:
        tifffile.imwrite(plate / "a.tif", coded.plane(FOCUSED))
        until(lambda: status(out, "a.tif"))
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(watch.process.pid, resource.RLIMIT_FSIZE, (900, unlimited[1]))
        for name in "bcd":
            tifffile.imwrite(plate / f"{name}.tif", coded.plane(BLURRED))
        watch.said.append(watch.process.stdout.readline())
        while "tried again" not in watch.said[-1]:
            watch.said.append(watch.process.stdout.readline())
        assert len(rows(out)) < 4
        resource.prlimit(watch.process.pid, resource.RLIMIT_FSIZE, unlimited)
        until(lambda: len(rows(out)) == 4)
        watch.end()
    assert by_plane(rows(out)) == measured(plate, model, tmp_path / "measured")


def test_a_stack_is_as_good_as_its_best_plane(plate, model, tmp_path):
    stack = np.stack([coded.plane([[level, level]] * 2) for level in (9, 5, 0, 6)])
    tifffile.imwrite(plate / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    out = tmp_path / "out"
    said = once(plate, "--model", model, "--out", out, "--alert-level", 3, "--per-patch")
    assert alerts(out) == {}
    assert re.search(r"stack\.tif +0\.0 +● in focus +z2, the best of a stack of 4", said)
    assert len(rows(out)) == 4
    assert len(rows(out, "patches.csv")) == 16
    measure(plate, "--model", model, "--out", tmp_path / "m", "--per-patch")
    for name in ("results.csv", "stacks.csv", "patches.csv"):
        assert rows(out, name) == rows(tmp_path / "m", name)


def test_planes_with_files_of_their_own_are_one_image(plate, model, tmp_path):
    for site, levels in {1: (9, 5, 0, 6), 2: (9, 9, 7, 9)}.items():
        for z, level in enumerate(levels, 1):
            name = f"r01c02f{site:02}p{z:02}-ch1sk1fk1fl1.tiff"
            tifffile.imwrite(plate / name, coded.plane([[level, level]] * 2))
    out = tmp_path / "out"
    said = once(plate, "--model", model, "--out", out, "--alert-level", 3)
    first = r"r01c02f01p01-ch1sk1fk1fl1\.tiff is well A02, site 01, channel 1, "
    first += r"z0 \(1 in the name\); --layout none"
    assert len(re.findall(rf"Names as of Harmony \(.*\): {first} reads none", said)) == 1
    assert re.search(
        r"f01p\*-ch1sk1fk1fl1\.tiff +0\.\d +● in focus +z2, the best of a stack of 4", said
    )
    assert "Done: 2 images in " in said
    (alert,) = alerts(out).values()
    stack, best = (f"r01c02f02p{p}-ch1sk1fk1fl1.tiff" for p in ("*", "03"))
    assert (alert["stack"], alert["file"], alert["planes"]) == (stack, best, 4)
    assert alert["path"] == str(plate / best)
    assert alert["reason"] == f"{stack} is at level 7.0, above 3"
    assert (record(out)["counts"]["files"], record(out)["counts"]["images"]) == (8, 2)
    # What an alert was raised for turns out to be in focus.
    tifffile.imwrite(plate / "r01c02f02p05-ch1sk1fk1fl1.tiff", coded.plane([[0, 0]] * 2))
    said = once(plate, "--model", model, "--out", out, "--alert-level", 3)
    assert re.search(
        r"f02p\*-ch1sk1fk1fl1\.tiff +0\.\d +● in focus +\(was out of focus\)  z4,", said
    )
    assert len(alerts(out)) == 1
    run("verify", out)


def test_alerts_run_a_program_once_each(plate, model, tmp_path):
    tifffile.imwrite(plate / "A01_s1.tif", coded.plane(FOCUSED))
    tifffile.imwrite(plate / "A02_s1.tif", coded.plane(BLURRED))
    tifffile.imwrite(plate / "A03_s1.tif", coded.plane(MIXED))
    (plate / "A04_s1.tif").write_bytes(b"II*\0 no image")
    told = tmp_path / "told"
    told.mkdir()
    program = tmp_path / "program.py"
    program.write_text(
        "import os, pathlib, sys\n"
        f"path = pathlib.Path({str(told)!r}) / (os.environ['MICROSCOPE_QUALITY_ID'] + '.json')\n"
        "path.open('x').write(sys.stdin.read())\n"
    )
    arguments = [plate, "--model", model, "--out", tmp_path / "out", "--alert-level", 7]
    arguments += ["--on-alert", f"{sys.executable} {program}", "--pattern", r"(?P<well>[A-H]\d+)_"]
    said = once(*arguments, code=1)
    assert re.findall("ALERT +(.*)", said) == [
        alert["reason"] for alert in alerts(tmp_path / "out").values()
    ]
    facts = {alert["file"]: alert for alert in map(json.loads, map(Path.read_text, told.iterdir()))}
    assert sorted(facts) == ["A02_s1.tif", "A04_s1.tif"]
    alert = facts["A02_s1.tif"]
    assert alert["reason"] == "A02_s1.tif is at level 8.0, above 7"
    # As in the reason, the number by which it is judged.
    assert alert["level"] == alert["expected_level"] == pytest.approx(8, abs=0.05)
    assert alert["status"] == "out_of_focus"
    assert alert["well"] == "A02"
    assert alert["path"] == str(plate / "A02_s1.tif")
    assert alert["in_a_row"] >= 1
    assert facts["A04_s1.tif"]["level"] is None
    assert facts["A04_s1.tif"]["error"]
    # The next start tells nothing again, whatever order Python gives its sets.
    arguments += ["--alert-status", "mixed", "--alert-status", "out_of_focus"]
    for seed in "123":
        once(*arguments, code=1, PYTHONHASHSEED=seed)
        assert len(list(told.iterdir())) == 3


def test_an_alert_for_several_bad_ones_in_a_row(plate, model, tmp_path):
    for k, levels in enumerate([BLURRED, FOCUSED, BLURRED, BLURRED, BLURRED, FOCUSED, BLURRED]):
        tifffile.imwrite(plate / f"{k}.tif", coded.plane(levels))
    arguments = [plate, "--model", model, "--out", tmp_path / "out", "--jobs", 1]
    once(*arguments, "--alert-after", 2)
    (alert,) = alerts(tmp_path / "out").values()
    assert (alert["file"], alert["in_a_row"]) == ("3.tif", 2)
    assert alert["reason"] == "2 images in a row are bad; 3.tif is out of focus, at level 8.0"


def test_the_page_shows_pictures_and_the_table_has_a_copy_without_secrets(plate, model, tmp_path):
    tifffile.imwrite(plate / "a.tif", coded.plane(BLURRED))
    out = tmp_path / "out"
    arguments = [plate, "--model", model, "--out", out, "--serve", 0]
    secret = "http://127.0.0.1:9/secret"
    with Watch(*arguments, "--webhook", secret) as watch:
        line = watch.process.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+/", line)[0]
        state = {}

        def shown():
            with urllib.request.urlopen(f"{url}state.json", timeout=10) as answer:
                state.update(json.load(answer))
            return state["cards"]

        until(lambda: shown() and state["cards"][0]["alert"])
        (card,) = state["cards"]
        assert (card["name"], card["kind"], card["title"]) == ("a.tif", "out_of_focus", "8.0")
        assert card["alert"] == "a.tif is out of focus, at level 8.0"
        assert state["counts"]["out_of_focus"] == 1
        with urllib.request.urlopen(f"{url}picture/{card['id']}", timeout=10) as answer:
            assert Image.open(answer).size == (168, 168)
        assert watch.end() == 130
    for path in out.iterdir():
        assert b"secret" not in path.read_bytes(), path
    # What was measured before is on the page from the start, with its time and its alert; its
    # picture is drawn again.
    with Watch(*arguments, "--webhook", secret) as watch:
        url = re.search(r"http://\S+", watch.process.stdout.readline())[0]
        before, (card,) = card, shown()
        changed = time.gmtime((plate / "a.tif").stat().st_mtime_ns // 10**9)
        assert card["time"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", changed)
        for key in ("name", "kind", "title", "colour", "detail", "more", "alert"):
            assert card[key] == before[key], key
        assert card["old"]
        assert [alert["reason"] for alert in state["alerts"]] == [before["alert"]]
        assert state["alert_number"] == 1
        until(lambda: shown()[0]["picture"])
        with urllib.request.urlopen(f"{url}picture/{card['id']}", timeout=10) as answer:
            assert Image.open(answer).size == (168, 168)
        assert len(state["cards"]) == 1


def test_a_copy_for_spreadsheets_that_is_open_elsewhere_is_written_later(plate, model, tmp_path):
    import openpyxl

    tifffile.imwrite(plate / "=cmd.tif", coded.plane(BLURRED))
    out = tmp_path / "out"
    # Nothing can be put in the place of a folder, as of a file that another program holds.
    (out / "results.xlsx" / "held").mkdir(parents=True)
    arguments = (plate, "--model", model, "--out", out, "--xlsx", "--jobs", 1)
    with Watch(*arguments) as watch:
        until(lambda: status(out, "=cmd.tif"))
        watch.said.append(watch.process.stdout.readline())
        while "tried again" not in watch.said[-1]:
            watch.said.append(watch.process.stdout.readline())
        shutil.rmtree(out / "results.xlsx")
        assert watch.end() == 130
    sheet = openpyxl.load_workbook(out / "results.xlsx").active
    header, (first, *_) = list(sheet.iter_rows(min_row=1, max_row=2))
    assert [cell.value for cell in header] == list(rows(out)[0])
    assert (first.value, first.data_type) == ("=cmd.tif", "s")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--out"),
        (["--out", "{tmp}/focus.csv"], "--out must be a folder"),
        (["--out", "{tmp}/out", "--rescale=yes"], "--rescale"),
        (["--out", "{tmp}/out", "--alert-level", "10"], "no level is above it"),
        (["--out", "{tmp}/out", "--alert-status", "fine"], "--alert-status"),
        (["--out", "{tmp}/out", "--alert-status", "in_focus"], "--alert-status"),
        (["--out", "{tmp}/out", "--measures", "none"], "--measures"),
        (["--out", "{tmp}/out", "--on-alert", "'"], "--on-alert"),
        (["--out", "{tmp}/out", "--webhook", "ftp://x/"], "--webhook"),
        (["--out", "{tmp}/out", "--serve", "here"], "--serve"),
        (["--out", "{tmp}/out", "--interval", "0"], "--interval"),
        (["--out", "{tmp}/out", "--stack-quiet", "-1"], "--stack-quiet"),
        (["--out", "{tmp}/out", "--stack-quiet", "nan"], "--stack-quiet"),
        (["--out", "{tmp}/out", "--pattern", "("], "--pattern"),
        (["--out", "{tmp}/out", "--model", "nothing"], "nothing"),
    ],
)
def test_wrong_use_is_a_sentence_and_exit_code_2(plate, tmp_path, arguments, words):
    arguments = [text.format(tmp=tmp_path) for text in arguments]
    result = run("watch", plate, *arguments, code=2)
    assert words in re.sub(r"\x1b\[[0-9;]*m", "", result.output)
    assert not (tmp_path / "out" / "results.csv").exists()


def test_results_of_another_folder_are_not_mixed_in(plate, model, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for folder, name in ((plate, "a.tif"), (other, "b.tif")):
        tifffile.imwrite(folder / name, coded.plane(FOCUSED))
    out = tmp_path / "out"
    once(plate, "--model", model, "--out", out)
    said = once(other, "--model", model, "--out", out, code=2)
    assert f"has the results of {plate}; choose another folder" in said
    assert [row["file"] for row in rows(out)] == ["a.tif"]
    # The same one under another name goes on.
    plate.rename(tmp_path / "moved")
    tifffile.imwrite(tmp_path / "moved" / "c.tif", coded.plane(BLURRED))
    once(tmp_path / "moved", "--model", model, "--out", out)
    assert [row["file"] for row in rows(out)] == ["a.tif", "c.tif"]


def test_what_is_too_small_is_said_to_be(plate, model, tmp_path):
    Image.new("L", (50, 50)).save(plate / "small.png")
    said = once(plate, "--model", model, "--out", tmp_path / "out")
    assert status(tmp_path / "out", "small.png") == ["too_small"]
    assert re.search(r"small\.png .*too small +The image has 50 x 50 pixels; a patch needs", said)


def test_a_port_that_is_taken_leaves_nothing_behind(plate, model, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = [plate, "--model", model, "--out", tmp_path / "out", "--serve", port]
        result = run("watch", *arguments, code=2)
    assert f"127.0.0.1:{port}" in re.sub(r"\x1b\[[0-9;]*m", "", result.output)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_there_is_wrong_use(tmp_path):
    assert "There is no folder" in once(tmp_path / "none", "--out", tmp_path / "out", code=2)
    assert not (tmp_path / "out").exists()
