"""What becomes of a run when names, folders, disks, screens and signals are not as they should be.

`docs/robustness.md` states each outcome.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import coded
import command_line
import numpy as np
import pytest
import tifffile
from command_line import counts, environment, run, table

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.images import find, open_image
from microscope_quality.files.tables import read_table
from microscope_quality.files.whole import whole
from microscope_quality.measuring.naming import check_naming

resource = pytest.importorskip("resource", reason="Windows has no such limits")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="makes files and limits as Linux has them"
    ),
]

PLANE = coded.plane([[0]])
#: Names that some program or other would take for something else than a name.
HOSTILE = (
    "plain.tif",
    "line\nbreak.tif",
    "\r.tif",
    "comma,quote\"'.tif",
    "=cmd|' C calc'!A0.tif",
    "+1.tif",
    "@sum(1).tif",
    "-1.tif",
    "--out.tif",
    "日本語 é.tif",
    "e\u0301.tif",
    "<script>alert(1)<.tif",
    "<img src=x onerror=alert(1)>.tif",
    "{{7*7}}{% x %}.tif",
    "%s%n.tif",
    "$(touch pwned)`touch pwned`.tif",
    "\x1b[31mred.tif",
    "tab\tand  spaces .tif",
    " .tif",
    "dots...tif",
    "x..\\..\\up.tif",
    "a" * 251 + ".tif",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "coded"
    coded.write(folder)
    return folder


@pytest.fixture
def plate(tmp_path):
    folder = tmp_path / "plate"
    folder.mkdir()
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(folder / name, PLANE)
    return folder


def measure(*arguments, code=0):
    return run("measure", "--jobs", 1, *arguments, code=code).output


def command(*arguments):
    return command_line.command("measure", *arguments)


def everything_in(folder):
    return sorted(path for path in folder.rglob("*") if path.name != "out")


# Names


def test_any_name_is_measured_and_comes_back_as_it_is(model, tmp_path):
    folder = tmp_path / "plate"
    folder.mkdir()
    tifffile.imwrite(folder / "plain.tif", PLANE)
    for name in HOSTILE:
        (folder / name).write_bytes((folder / "plain.tif").read_bytes())
    (tmp_path / "model").symlink_to(model)
    before = everything_in(tmp_path)
    out = tmp_path / "out"
    said = measure(folder, "--model", model, "--out", out, "--overlay", "all")
    rows = table(out / "results.csv")
    assert {row["file"] for row in rows} == set(HOSTILE)
    assert {row["status"] for row in rows} == {"in_focus"}
    assert [row["file"] for row in read_table(out / "results.csv")] == [r["file"] for r in rows]
    # Nothing appears elsewhere, nothing moves a cursor, and pictures have tame names.
    inside = set(out.rglob("*"))
    assert set(everything_in(tmp_path)) == {*before, *inside}
    assert "\x1b" not in said and "\r" not in said
    pictures = [path.name for path in (out / "overlays").iterdir()]
    assert len(pictures) == len(HOSTILE)
    for name in pictures:
        assert not set(name) & set("<>|\"'\n\r\\/:*?$`%=\x1b")
    # All of them are known again.
    measure(folder, "--model", model, "--out", out, "--overlay", "all")
    assert counts(out)["kept"] == len(HOSTILE)


def test_a_name_that_is_no_text(model, tmp_path):
    folder = tmp_path / "plate"
    folder.mkdir()
    tifffile.imwrite(folder / "a.tif", PLANE)
    (folder / "a.tif").rename(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.tif"))
    out = tmp_path / "out"
    for _ in range(2):
        measure(folder, "--model", model, "--out", out, "--overlay", "all")
        (row,) = table(out / "results.csv")
        assert row["file"] == "\\udcff\\udcfe.tif"
        assert row["status"] == "in_focus"
    assert counts(out)["kept"] == 1


def test_names_that_a_table_could_not_tell_apart_are_refused(model, tmp_path):
    folder = tmp_path / "plate"
    folder.mkdir()
    tifffile.imwrite(folder / "\\udcff.tif", PLANE)
    other = os.fsdecode(os.fsencode(folder) + b"/\xff.tif")
    shutil.copy(folder / "\\udcff.tif", other)
    said = measure(folder, "--model", model, "--out", tmp_path / "out", code=2)
    assert "the same name in a table; rename one" in said
    assert not (tmp_path / "out").exists()
    Path(other).unlink()
    measure(folder, "--model", model, "--out", tmp_path / "out")


def test_results_beside_the_images(plate, model):
    for k in range(3):
        if k == 1:  # as a killed run leaves it
            (plate / "results.csv").rename(plate / "results.csv.part")
        measure(plate, "--model", model, "--out", plate, "--overlay", "all")
        assert [row["file"] for row in table(plate / "results.csv")] == ["a.tif", "b.tif"]


@pytest.mark.parametrize("name", ["a" * 5000, "nul\0.tif", "\ud800.tif", ""])
def test_a_name_that_no_file_can_have(name):
    with pytest.raises(FileError):
        open_image(name)


def test_a_name_that_looks_like_an_option(model, tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "--out", PLANE)
    monkeypatch.chdir(tmp_path)
    assert "in focus" in measure("--model", model, "--", "--out")
    assert [path.name for path in tmp_path.iterdir()] == ["--out"]


# Folders


def test_what_is_no_image_file_is_a_row(model, tmp_path):
    folder = tmp_path / "plate"
    (folder / "folder.tif").mkdir(parents=True)
    (folder / "empty.tif").touch()
    (folder / "self.tif").symlink_to("self.tif")
    (folder / "gone.tif").symlink_to("nowhere.tif")
    (folder / "zero.tif").symlink_to("/dev/zero")
    (folder / "mem.tif").symlink_to("/proc/self/mem")
    (folder / "status.tif").symlink_to("/proc/self/status")
    os.mkfifo(folder / "fifo.tif")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(folder / "socket.tif"))
        measure(folder, "--model", model, "--out", tmp_path / "out", code=1)
    said = {row["file"]: row["error"] for row in table(tmp_path / "out" / "results.csv")}
    words = {
        "folder": "is a folder",
        "empty": "is empty",
        "self": "symbolic links",
        "gone": "a file that is missing",
        "zero": "regular",
        "mem": "cannot be read",
        "status": "is not a TIFF",
        "fifo": "regular",
        "socket": "regular",
    }
    assert set(said) == {f"{name}.tif" for name in words}
    for name, word in words.items():
        assert word in said[f"{name}.tif"]


def test_links_out_of_the_folder_are_read_and_never_written(model, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    tifffile.imwrite(outside / "a.tif", PLANE)
    folder = tmp_path / "plate"
    folder.mkdir()
    (folder / "b.tif").symlink_to(outside / "a.tif")
    (folder / "all").symlink_to(outside)
    (folder / "again").symlink_to(outside)
    (folder / "up").symlink_to("..")
    before = everything_in(outside)
    measure(folder, "--model", model, "--out", folder / "out")
    names = [row["file"] for row in table(folder / "out" / "results.csv")]
    # A folder is searched once, whatever leads to it.
    assert names == ["again/a.tif", "b.tif"]
    assert everything_in(outside) == before


def test_a_link_beside_a_file_is_not_written_through(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("old")
    (tmp_path / ".run.json.part").symlink_to(precious)
    with whole(tmp_path / "run.json") as part:
        part.write_text("new")
    assert precious.read_text() == "old"
    assert (tmp_path / "run.json").read_text() == "new"


def test_folders_deeper_than_calls_and_longer_than_paths(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PLANE)
    content = (tmp_path / "a.tif").read_bytes()
    here = os.getcwd()  # noqa: PTH109 - it is gone back to
    os.chdir(tmp_path)
    try:
        for depth in range(2200):
            Path("d").mkdir()
            os.chdir("d")
            if depth in (199, 1499):
                Path("a.tif").write_bytes(content)
        os.chdir(tmp_path)
        found = [name for name, _ in find([tmp_path])]
    finally:
        os.chdir(here)
        # Python's own way of removing folders is by calls.
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)
    assert [name.count("/") for name in found if name.endswith("a.tif")] == [0, 200, 1500]
    # Where paths become too long for the system, there is one that says so.
    (too_long,) = [name for name in found if not name.endswith("a.tif")]
    assert len(too_long) > 3500


def test_ten_thousand_files(tmp_path):
    for number in range(10_000):
        (tmp_path / f"{number}.tif").touch()
    assert [name for name, _ in find([tmp_path])] == [f"{number}.tif" for number in range(10_000)]


def test_a_file_that_shrinks_or_goes_while_it_is_read(tmp_path):
    path = tmp_path / "a.tif"
    stack = np.random.default_rng(0).integers(0, 4000, (5, 300, 300)).astype(np.uint16)
    for options in ({}, {"compression": "zlib"}, {"tile": (64, 64)}):
        tifffile.imwrite(path, stack, photometric="minisblack", **options)
        image = open_image(path)
        image.read(image.pages[0])
        os.truncate(path, path.stat().st_size // 3)
        with pytest.raises(FileError, match=r"a\.tif"):
            for page in image.pages:
                image.read(page)
        path.unlink()
        with pytest.raises(FileError, match="No such file"):
            image.read(image.pages[0])


def test_times_of_files_may_be_any(plate, model, tmp_path):
    """A clock that was wrong, or goes back: only a change matters, in whichever direction."""
    out = tmp_path / "out"
    for seconds in (-(10**9), 0, 10**11, 2**33):
        os.utime(plate / "a.tif", (seconds, seconds))
        measure(plate, "--model", model, "--out", out)
        assert counts(out)["kept"] == (seconds != -(10**9))
        assert [row["file"] for row in table(out / "results.csv")] == ["a.tif", "b.tif"]
    measure(plate, "--model", model, "--out", out)
    assert counts(out)["kept"] == 2


# Disks


def powerless(*arguments):
    """A command for which permissions hold, also where the tests run as root."""
    if os.geteuid() != 0:
        return list(arguments)
    if shutil.which("setpriv") is None:
        pytest.skip("root may do all, and there is no setpriv")
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *arguments]


def test_what_is_forbidden_is_a_row_and_a_sentence(plate, model, tmp_path):
    (plate / "a.tif").chmod(0)
    (plate / "hidden").mkdir(mode=0)
    out = tmp_path / "out"
    done = subprocess.run(
        powerless(*command(plate, "--model", model, "--out", out, "--jobs", 1)),
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, "")
    said = {row["file"]: row["error"] for row in table(out / "results.csv")}
    assert set(said) == {"a.tif", "b.tif", "hidden"}
    assert "Permission denied" in said["a.tif"] and "Permission denied" in said["hidden"]
    assert not said["b.tif"]

    out.chmod(0o555)
    for place in (out, out / "new"):
        done = subprocess.run(
            powerless(*command(plate, "--model", model, "--out", place, "--jobs", 1)),
            env=environment(),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert str(place) in done.stderr and "Permission denied" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    out.chmod(0o755)


def test_a_full_disk_ends_a_run_that_goes_on_later(plate, model, tmp_path):
    for number in range(20):
        shutil.copy(plate / "a.tif", plate / f"{number}.tif")
    out = tmp_path / "out"
    limit = (3000, 3000)
    done = subprocess.run(
        command(plate, "--model", model, "--out", out, "--jobs", 1),
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "results.csv.part: cannot be written: File too large" in done.stderr
    assert json.loads((out / "run.json").read_text())["status"] == "failed"
    measure(plate, "--model", model, "--out", out)
    rows = table(out / "results.csv")
    assert len(rows) == len({row["file"] for row in rows}) == 22


@pytest.mark.parametrize("name", ["results.csv", "stacks.csv", "results.csv.part"])
def test_a_pipe_or_device_in_the_place_of_a_table_is_not_waited_for(plate, model, tmp_path, name):
    for kind in ("pipe", "device"):
        out = tmp_path / kind
        out.mkdir()
        if kind == "pipe":
            os.mkfifo(out / name)
        else:
            (out / name).symlink_to("/dev/zero")
        said = measure(plate, "--model", model, "--out", out, code=2)
        assert name in said


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (",,,,,,,,84", ",,,,,x,,,84"),
        (",,,,,,,,84", ",,,,,9999999999,,,84"),
        (",in_focus,", ",BAD,"),
        (",in_focus,", ",out_of_focus,"),
        (",84,84,0,", ",84,84,nan,"),
        (",84,84,0,", ",84,84,3,"),
    ],
)
def test_a_table_that_another_program_changed(plate, model, tmp_path, old, new):
    out = tmp_path / "out"
    measure(plate, "--model", model, "--out", out)
    path = out / "results.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert "rows in the tables were edited: 2 files, a.tif first" in measure(
        plate, "--model", model, "--out", out
    )
    assert path.read_text() == text
    measure(plate, "--model", model, "--out", out)
    assert counts(out)["kept"] == 2


# Screens and signals


@pytest.mark.parametrize("jobs", [1, 2])
def test_without_any_stream_a_run_is_the_same(plate, model, tmp_path, jobs):
    """As of a service, or of a program without a console."""
    measure(plate, "--model", model, "--out", tmp_path / "shown")
    arguments = command(plate, "--model", model, "--out", tmp_path / "out", "--jobs", jobs)
    done = subprocess.run(["sh", "-c", '"$@" 0<&- 1>&- 2>&-', "sh", *arguments], env=environment())
    assert done.returncode == 0
    assert (tmp_path / "out" / "results.csv").read_bytes() == (
        tmp_path / "shown" / "results.csv"
    ).read_bytes()


@pytest.mark.parametrize("where", ["full", "closed pipe"])
def test_a_screen_that_takes_nothing_costs_no_table(plate, model, tmp_path, where):
    arguments = command(plate, "--model", model, "--out", tmp_path / "out", "--jobs", 1)
    if where == "full":
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                arguments, env=environment(), stdout=full, stderr=subprocess.PIPE, text=True
            )
        assert "No space left on device" in done.stderr
    else:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            arguments, env=environment(), stdout=writing, stderr=subprocess.PIPE, text=True
        )
        os.close(writing)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) <= 1
    assert len(table(tmp_path / "out" / "results.csv")) == 2


def test_without_a_home_a_place_for_temporary_files_or_a_language(plate, model, tmp_path):
    tifffile.imwrite(plate / "é.tif", PLANE)
    bare = {"HOME": None, "TMPDIR": "/nonexistent", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        command(plate, "--model", model, "--out", tmp_path / "out", "--jobs", 2),
        env=environment(**bare),
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert [row["file"] for row in table(tmp_path / "out" / "results.csv")] == [
        "a.tif",
        "b.tif",
        "é.tif",
    ]


def begun(plate, model, out, before):
    """Start a run, and wait until it has some rows."""
    process = subprocess.Popen(
        command(plate, "--model", model, "--out", out, "--jobs", 2, "--overlay", "none"),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )
    part = out / "results.csv.part"
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if part.exists() and part.read_bytes().count(b".tif") > 2:
            break
        time.sleep(0.005)
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_that_goes_on_later(plate, model, tmp_path, number):
    for k in range(40):
        shutil.copy(plate / "a.tif", plate / f"{k}.tif")
    out = tmp_path / "out"
    process = begun(plate, model, out, lambda: signal.signal(number, signal.SIG_DFL))
    process.send_signal(number)
    # Its workers end with it: they hold the pipe that is read here.
    said = process.communicate(timeout=60)[1]
    assert said.count("\n") == 2 and "the same command goes on from there" in said
    assert process.returncode == 128 + number
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    measure(plate, "--model", model, "--out", out, "--overlay", "none")
    names = [row["file"] for row in table(out / "results.csv")]
    assert sorted(names) == sorted(path.name for path in plate.iterdir())


def test_a_closed_terminal_does_not_end_a_run_under_nohup(plate, model, tmp_path):
    for k in range(20):
        shutil.copy(plate / "a.tif", plate / f"{k}.tif")
    out = tmp_path / "out"
    process = begun(plate, model, out, lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0
    assert len(table(out / "results.csv")) == 22


# Settings


@pytest.mark.parametrize(
    "pattern", ["(", "(?P<well>", "(?P<other>x)", "x", "(?P<well>a{99999999999})"]
)
def test_a_pattern_that_is_none(pattern):
    with pytest.raises(SettingsError, match="^pattern "):
        check_naming(pattern)


def test_a_link_in_the_place_of_the_pictures_is_refused(plate, model, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / ".a.png.part").touch()
    out = tmp_path / "out"
    out.mkdir()
    (out / "overlays").symlink_to(other)
    for pictures in ("all", "doubtful", "none"):
        said = measure(plate, "--model", model, "--out", out, "--overlay", pictures, code=2)
        assert "overlays: is a link" in said
    assert [path.name for path in other.iterdir()] == [".a.png.part"]


def test_a_table_that_is_almost_all_holes_is_refused(plate, model, tmp_path):
    out = tmp_path / "out"
    measure(plate, "--model", model, "--out", out, "--per-patch")
    with (out / "patches.csv").open("r+b") as stream:
        stream.truncate(2**40)
    for more in ([], ["--per-patch"]):
        said = measure(plate, "--model", model, "--out", out, *more, code=2)
        assert "patches.csv: is almost all holes" in said


def test_an_image_that_is_almost_all_holes_is_a_row(plate, model, tmp_path):
    with (plate / "a.tif").open("r+b") as stream:
        stream.truncate(2**40)
    out = tmp_path / "out"
    measure(plate, "--model", model, "--out", out, code=1)
    errors = {row["file"]: row["error"] for row in read_table(out / "results.csv")}
    assert "of which almost none are there" in errors["a.tif"]
    assert not errors["b.tif"]
