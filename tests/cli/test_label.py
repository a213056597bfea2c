"""``microscope-quality label`` and ``agreement``: what is refused, what is said, how they end."""

from __future__ import annotations

import signal
import socket

import numpy as np
import pytest
import tifffile
from command_line import run
from label_program import Program
from systems import posix

from microscope_quality.cli.pages import listening
from microscope_quality.errors import FileError
from microscope_quality.rating.labels import Label, LabelsFile
from microscope_quality.rating.page_server import PageServer


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for k in range(3):
        plane = np.random.default_rng(k).integers(0, 200, (64, 64)).astype(np.uint8)
        tifffile.imwrite(tmp_path / f"images/{k}.tif", plane)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--per-image", 2), "--per-image counts patches of an image: give --patch too"),
        (("--patch", 8), "--patch must be a whole number from 32"),
        (("--repeats", 2), "--repeats must be from 0 to 1, not 2"),
        (("--rater", " "), "--rater must be a name of 1 to 60 letters, not ' '"),
        (("--seed", -1), "--seed must be"),
        (("--channel", -1), "--channel must be"),
        (("--host", "no such host.example", "--port", 0), "address no such host.example:0:"),
    ],
)
def test_what_is_wrong_is_told_by_the_options_name(folder, options, said):
    result = run("label", folder / "images", "--out", folder / "l.csv", *options, code=2)
    assert f"microscope-quality label: {said}" in result.stderr


def test_images_that_are_not_there(folder):
    result = run("label", folder / "nothing", "--out", folder / "l.csv", code=2)
    assert "There is no file or folder" in result.stderr
    # Nothing was begun for that.
    assert not (folder / "l.csv").exists()


def test_a_table_of_another_kind_is_left_alone(folder):
    (folder / "results.csv").write_text("file,level\na.tif,3\n", encoding="utf-8")
    result = run("label", folder / "images", "--out", folder / "results.csv", code=2)
    assert "lacks the column image" in result.stderr
    assert (folder / "results.csv").read_text(encoding="utf-8") == "file,level\na.tif,3\n"


def test_a_port_that_is_asked_for_is_taken_or_refused(folder):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        options = ("--out", folder / "l.csv", "--port", port, "--no-browser")
        result = run("label", folder / "images", *options, code=2)
        assert f"address 127.0.0.1:{port}: " in result.stderr

        def make(host, port):
            return PageServer("label_page", {}, host, port)

        # The usual one gives way to a free one.
        with listening(make, "127.0.0.1", None, port) as server:
            assert server.port != port
        with pytest.raises(FileError):
            listening(make, "127.0.0.1", port, 1)


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_it_says_where_the_page_is_and_ends_when_it_is_asked_to(folder, number, code):
    with LabelsFile(folder / "labels.csv") as file:
        file.add(Label("images/0.tif", score=0.5, rater="Anna"))
    with Program(folder) as program:
        with pytest.raises(FileError, match="another process adds labels to it"):
            LabelsFile(folder / "labels.csv")
        program.process.send_signal(number)
        said, _ = program.process.communicate(timeout=60)
        assert program.process.returncode == code
    assert said == f"Stopped: 0 rows more in {folder / 'labels.csv'}; the same command goes on.\n"
    # Nothing is left beside the table.
    assert sorted(path.name for path in folder.iterdir()) == ["images", "labels.csv"]


def test_agreement_of_several_tables(folder):
    for rater, scores in (("Anna", (0.2, 0.5, 0.9)), ("Ben", (0.3, 0.6, 1.0))):
        with LabelsFile(folder / f"{rater}.csv") as file:
            for k, score in enumerate(scores):
                file.add(Label(f"images/{k}.tif", score=score, rater=rater))
    printed = run("agreement", folder / "Anna.csv", folder / "Ben.csv").stdout.splitlines()
    # BMS = 2 · 2 · 0.35² ... by hand: rows' means 0.25, 0.55, 0.95, each residual 0, JMS 0.015.
    between = 2 * np.var([0.25, 0.55, 0.95], ddof=1)
    single = between / (between + 2 * 0.015 / 3)
    mean = between / (between + 0.015 / 3)
    assert printed[0].startswith(f"ICC(2,1) {single:.2f} (")
    assert f"ICC(2,k) {mean:.2f} (" in printed[0]
    assert printed[0].endswith("2 raters, 3 images that all scored.")
    assert printed[1:] == [
        "Anna: 3 scores, offset -0.100.",
        "Ben: 3 scores, offset +0.100.",
        f"Written to {folder / 'agreement.html'}. Open it in a browser.",
    ]


def test_agreement_of_what_is_none(folder):
    result = run("agreement", folder / "gone.csv", code=2)
    assert "microscope-quality agreement: " in result.stderr
    with LabelsFile(folder / "l.csv"):
        pass
    result = run("agreement", folder / "l.csv", code=2)
    assert "labels must have scores, and none of them has one" in result.stderr
