"""A watch from Python: its events, who listens to them, and how it ends and goes on."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections import Counter

import numpy as np
import pytest
import tifffile
from command_line import environment, example
from toy_measure import Toy

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.tables import read_table
from microscope_quality.measuring.file_verdicts import Threshold
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.settings import Settings
from microscope_quality.measuring.watch import Watch, WatchSettings
from microscope_quality.measuring.watch_alerts import WatchAlerts
from microscope_quality.measuring.watch_events import (
    AlertRaised,
    FileMeasured,
    NotReadable,
    TablesWritten,
    WatchStatus,
)
from microscope_quality.measuring.watch_spreadsheet import WatchSpreadsheet

SETTINGS = Settings(measures=(Toy(100.0),))


def write(folder, **levels):
    for name, level in levels.items():
        tifffile.imwrite(folder / f"{name}.tif", np.full((30, 40), level, np.uint8))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    write(folder, a=50, b=150)
    return folder


def where(images, **more):
    out = images.parent / "out"
    return WatchSettings(images, out, still_seconds=0.1, **{"once": True, **more})


def table(images):
    return {row["file"]: row["status"] for row in read_table(images.parent / "out" / "results.csv")}


class Channel:
    """A way by which alerts leave: into a list."""

    name = "list"

    def __init__(self):
        self.got = []

    def deliver(self, content, stop):
        self.got.append(content)


def test_a_loop_over_its_events(images):
    (images / "broken.tif").write_bytes(b"II*\0")
    with Watch(where(images), SETTINGS) as watch:
        events = list(watch.events())
    verdicts = {one.name: one.verdict for one in events if isinstance(one, FileMeasured)}
    assert {name: one.status.key for name, one in verdicts.items()} == {
        "a.tif": "dark",
        "b.tif": "bright",
        "broken.tif": "error",
    }
    assert table(images) == {"a.tif": "dark", "b.tif": "bright", "broken.tif": ""}
    assert [one.name for one in events if isinstance(one, NotReadable)] == ["broken.tif"]
    # A row is in the table before the watch says that the tables are written.
    written = [k for k, one in enumerate(events) if isinstance(one, TablesWritten)]
    assert max(k for k, one in enumerate(events) if isinstance(one, FileMeasured)) < written[-1]
    states = [one.state for one in events if isinstance(one, WatchStatus)]
    assert list(dict.fromkeys(states)) == ["starting", "watching", "ending", "ended"]
    assert Counter(states) == {**Counter(states), "starting": 1, "ending": 1, "ended": 1}
    last = events[-1]
    assert (last.files, last.failed, last.measured, last.kept) == (3, 1, 3, 0)
    assert not (last.stopped or last.unwritten or last.unreadable or last.waiting)


def test_a_listener_stops_it_and_the_next_one_goes_on(images):
    heard = []
    watch = Watch(where(images, once=False, jobs=1), SETTINGS)

    def listener(event):
        heard.append(event)
        if isinstance(event, FileMeasured):
            watch.stop()

    watch.attach(listener)
    with watch:
        status = watch.run()
    assert (status.stopped, status.state, status.measured) == (True, "ended", 1)
    assert heard[-1] == status
    assert [one.name for one in heard if isinstance(one, FileMeasured)] == [*table(images)]
    record = images.parent / "out" / "run.json"
    assert json.loads(record.read_text())["status"] == "interrupted"
    before = table(images)
    with Watch(where(images), SETTINGS) as watch:
        assert {one.name: one.verdict.status.key for one in watch.earlier(9)} == before
        status = watch.run()
    assert (status.measured, status.kept, status.stopped) == (1, 1, False)
    assert table(images) == {"a.tif": "dark", "b.tif": "bright"}
    assert json.loads(record.read_text())["status"] == "finished"


def test_another_thread_stops_it_while_nothing_comes(images):
    with Watch(where(images, once=False), SETTINGS) as watch:
        threading.Timer(1.0, watch.stop).start()
        assert watch.run().stopped


def test_a_loop_that_is_left_loses_nothing(images):
    with Watch(where(images, jobs=1), SETTINGS) as watch:
        for event in watch.events():
            if isinstance(event, FileMeasured):
                break
    with Watch(where(images), SETTINGS) as watch:
        status = watch.run()
    assert (status.measured, status.kept) == (1, 1)
    assert table(images) == {"a.tif": "dark", "b.tif": "bright"}


@pytest.mark.long
def test_in_a_plain_script(images, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from microscope_quality.measuring.classical import Classical\n"
        "from microscope_quality.measuring.settings import Settings\n"
        "from microscope_quality.measuring.watch import Watch, WatchSettings\n"
        "from microscope_quality.measuring.watch_events import FileMeasured\n"
        f"where = WatchSettings(Path({str(images)!r}), Path('out'), 0.1, once=True)\n"
        "with Watch(where, Settings((Classical(),))) as watch:\n"
        "    for event in watch.events():\n"
        "        if isinstance(event, FileMeasured):\n"
        "            print(event.name, event.verdict.status.words)\n"
    )
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["a.tif no content", "b.tif no content"]


@pytest.mark.long
def test_the_example_of_the_documentation(pytestconfig, tmp_path):
    page = (pytestconfig.rootpath / "docs" / "watching.md").read_text(encoding="utf-8")
    _, code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    shutil.copytree(pytestconfig.rootpath / "docs" / "sample", tmp_path / "sample")
    done = subprocess.run(
        example(code),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert "A01_s1_dna.tif in focus" in said
    assert "B01_s2_actin.tif is at level 7.2, above 3" in said
    assert len(list(read_table(tmp_path / "watched" / "results.csv"))) == 15


def test_the_mail_of_the_documentation(pytestconfig, tmp_path):
    page = (pytestconfig.rootpath / "docs" / "watching.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"<!-- mail -->\n\n```python\n(.*?)```", page, re.DOTALL)
    got = []

    def serve(listener):
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb", buffering=0) as stream:
            stream.write(b"220 ready\r\n")
            for line in stream:
                got.append(line.decode())
                if line.upper() == b"DATA\r\n":
                    stream.write(b"354 go on\r\n")
                    for part in iter(stream.readline, b".\r\n"):
                        got.append(part.decode())
                stream.write(b"221 bye\r\n" if line.upper() == b"QUIT\r\n" else b"250 fine\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=[listener])
        server.start()
        place = f'"127.0.0.1", {listener.getsockname()[1]}'
        assert '"mail.example.org", 25' in code
        told = {"FILE": "B03.tif", "REASON": "B03.tif is at level 6.1, above 4"}
        subprocess.run(
            [sys.executable, "-c", code.replace('"mail.example.org", 25', place)],
            env={**environment(), **{f"MICROSCOPE_QUALITY_{key}": told[key] for key in told}},
            timeout=60,
            check=True,
        )
        server.join(30)
    assert "Subject: Out of focus: B03.tif\r\n" in got
    assert "B03.tif is at level 6.1, above 4\r\n" in got


@pytest.mark.long
def test_alerts_tell_the_numbers_of_the_measure(images):
    channel, order = Channel(), []
    watch = Watch(where(images), SETTINGS)
    watch.attach(order.append)
    with watch, WatchAlerts(watch, Threshold.usual(Toy()), [channel]) as alerts:
        watch.run()
        assert alerts.waiting == 0
    (alert,) = channel.got
    assert alert["reason"] == "a.tif is dark, at mean 50.0"
    assert (alert["file"], alert["status"], alert["mean"]) == ("a.tif", "dark", 50)
    assert not {"level", "certainty"} & {*alert}
    # Who has heard of the file hears of its alert next.
    at = next(k for k, one in enumerate(order) if isinstance(one, AlertRaised))
    assert order[at].name == order[at - 1].name == "a.tif"
    # An image that was measured before raises none again; one that is rewritten does.
    for level, number in ((None, 1), (60, 2)):
        if level is not None:
            write(images, a=level)
        watch = Watch(where(images), SETTINGS)
        with watch, WatchAlerts(watch, Threshold.usual(Toy()), [channel]):
            watch.run()
        assert len(channel.got) == number


@pytest.mark.long
def test_the_copy_for_spreadsheets_has_all_rows_at_the_end(images):
    import openpyxl

    with Watch(where(images), SETTINGS) as watch, WatchSpreadsheet(watch):
        watch.run()
    sheet = openpyxl.load_workbook(images.parent / "out" / "results.xlsx").active
    assert {row[0].value for row in sheet.iter_rows(min_row=2)} == {"a.tif", "b.tif"}


@pytest.mark.parametrize(
    ("measure", "threshold", "words"),
    [
        (Toy(), Threshold(statuses=frozenset({"bright"})), "statuses has 'bright'"),
        (Toy(), Threshold(statuses=frozenset({"mixed"})), "statuses has 'mixed'"),
        (Focus(), Threshold(10), "limit is 10, but no level is above it: they end at 10"),
        (Focus(), Threshold(-1), "limit is -1, but every level is above it"),
        (Focus(), Threshold(statuses=frozenset({"in_focus"})), "out_of_focus, mixed, no_content"),
    ],
)
def test_a_threshold_that_nothing_can_reach(measure, threshold, words):
    with pytest.raises(SettingsError, match=words):
        threshold.check(measure)


def test_thresholds_that_something_can_reach():
    Threshold(-1e9).check(Toy())
    Threshold(9, frozenset({"mixed", "no_content"})).check(Focus())
    assert Threshold.usual(Focus()).statuses == {"out_of_focus"}
    assert Threshold.usual(Toy()).statuses == {"dark"}


def test_a_folder_that_is_not_there_leaves_nothing(images):
    with pytest.raises(FileError, match="There is no folder"):
        Watch(WatchSettings(images / "none", images.parent / "out")).__enter__()
    assert not (images.parent / "out").exists()
