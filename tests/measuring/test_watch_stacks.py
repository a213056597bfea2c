"""A watch of planes that come as files of their own: a stack is judged once, when it is whole."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from toy_measure import Toy

from microscope_quality.errors import SettingsError
from microscope_quality.files.tables import read_table
from microscope_quality.measuring.file_verdicts import Threshold
from microscope_quality.measuring.measure_files import measure_files
from microscope_quality.measuring.settings import Settings
from microscope_quality.measuring.watch import Watch, WatchSettings
from microscope_quality.measuring.watch_alerts import WatchAlerts
from microscope_quality.measuring.watch_events import (
    AlertRaised,
    FileMeasured,
    LayoutRecognised,
    Notice,
    PictureDrawn,
    WatchStatus,
)
from microscope_quality.measuring.watch_units import Units

pytestmark = pytest.mark.long

SETTINGS = Settings(measures=(Toy(100.0),))
# Of a plane in focus, and of others.
GOOD, BAD = 180, 40


def name(site, z, channel=1):
    return f"r01c02f{site:02}p{z:02}-ch{channel}sk1fk1fl1.tiff"


def stack(site, channel=1):
    return f"r01c02f{site:02}p*-ch{channel}sk1fk1fl1.tiff"


@pytest.fixture
def plate(tmp_path):
    folder = tmp_path / "plate"
    folder.mkdir()
    return folder


def write(plate, name, level=BAD):
    tifffile.imwrite(plate / name, np.full((30, 40), level, np.uint8))


def write_stack(plate, site, planes=4, best=2, channel=1):
    for z in range(1, planes + 1):
        write(plate, name(site, z, channel), GOOD if z == best else BAD)


def watch_of(plate, settings=SETTINGS, **more):
    more = {"once": True, "stack_quiet_seconds": 1.0, "jobs": 1, **more}
    return Watch(WatchSettings(plate, plate.parent / "out", 0.1, **more), settings)


def watched(watch, script=None):
    """Run a watch, with a script that goes on a step at each event; gives events and alerts."""
    events = []
    with watch, WatchAlerts(watch, Threshold.usual(Toy())) as alerts:
        raised = alerts.raised
        steps = script and script(events)
        for event in watch.events():
            events.append(event)
            if steps and events[-1] == watch.status and next(steps, "ended") == "ended":
                watch.stop()
                steps = None
        return events, alerts.raised - raised


def judged(events):
    return [event for event in events if isinstance(event, FileMeasured)]


def waited(events, number):
    """Wait for so many verdicts."""
    end = time.monotonic() + 30
    while len(judged(events)) < number:
        assert time.monotonic() < end, [one.name for one in judged(events)]
        yield


def tables(out, name):
    return sorted(read_table(out / name), key=lambda row: row["file"])


def assert_as_measured(plate, settings=SETTINGS):
    """The tables of the watch are those of a run over the same folder."""
    out = plate.parent / "measured"
    list(measure_files(plate, settings, out=out))
    for table in ("results.csv", "stacks.csv"):
        assert tables(plate.parent / "out", table) == tables(out, table)
    # Planes of a stack stand one behind the other.
    rows = read_table(plate.parent / "out" / "results.csv")
    stacks = [row["stack"] or row["file"] for row in rows]
    assert sum(a != b for a, b in zip(stacks, stacks[1:])) == len(set(stacks)) - 1


PLACES = [(site, channel) for site in (1, 2, 3) for channel in (1, 2)]


@pytest.mark.parametrize("order", ["z first", "sites first"])
def test_planes_of_a_plate_as_they_come(plate, order):
    wanted = [(site, channel, z) for site, channel in PLACES for z in (1, 2, 3, 4)]
    if order == "sites first":
        wanted.sort(key=lambda one: one[2])

    def script(events):
        for site, channel, z in wanted:
            level = GOOD if z == 3 and (site, channel) != (2, 1) else BAD
            write(plate, name(site, z, channel), level)
            yield
        yield from waited(events, len(PLACES))

    events, alerts = watched(watch_of(plate, once=False), script)
    found = {one.name: one for one in judged(events)}
    assert len(judged(events)) == len(found) == len(PLACES)
    assert {*found} == {stack(site, channel) for site, channel in PLACES}
    assert {one.verdict.planes for one in found.values()} == {4}
    bad = [key for key, one in found.items() if one.verdict.status.key == "dark"]
    assert (bad, alerts) == ([stack(2)], 1)
    assert found[stack(1)].path == plate / name(1, 3)
    assert found[stack(1)].verdict.in_words() == "z2, the best of a stack of 4"
    # Planes are counted as such until their stack is judged.
    statuses = [one for one in events if isinstance(one, WatchStatus)]
    assert max(one.waiting_planes for one in statuses) > 1
    assert (statuses[-1].images, statuses[-1].files, statuses[-1].waiting_planes) == (6, 24, 0)
    told = [one.recognised.texts for one in events if isinstance(one, LayoutRecognised)]
    assert told[-1] == {"well": "A02", "site": "01", "channel": "1", "z": "z0 (1 in the name)"}
    counts = json.loads((plate.parent / "out" / "run.json").read_text())["counts"]
    assert (counts["images"], counts["files"], counts["bright"], counts["dark"]) == (6, 24, 5, 1)
    assert_as_measured(plate)


def test_what_is_there_is_judged_at_the_end_of_once(plate):
    write_stack(plate, 1)
    write_stack(plate, 2, planes=3)
    (plate / "more").mkdir()
    write(plate, "more/other.tif")
    events, alerts = watched(watch_of(plate, stack_quiet_seconds=3600.0))
    assert sorted((one.name, one.verdict.planes) for one in judged(events)) == [
        ("more/other.tif", 1),
        (stack(1), 4),
        (stack(2), 3),
    ]
    assert alerts == 1
    assert_as_measured(plate)


def test_a_restart_in_the_middle_a_late_plane_and_one_that_is_written_anew(plate):
    write_stack(plate, 1)

    def begun(events):
        yield from waited(events, 1)
        write(plate, name(2, 1))
        write(plate, name(2, 2))
        while watch.status.files < 6:
            yield

    watch = watch_of(plate, once=False, stack_quiet_seconds=3.0)
    events, alerts = watched(watch, begun)
    assert (events[-1].images, events[-1].waiting_planes, alerts) == (1, 2, 0)
    assert events[-1].stacks_text() == f"2 planes of {stack(2)} wait for their stack"
    with watch_of(plate) as watch:
        assert [one.name for one in watch.earlier(9)] == [stack(1)]

    def late(events):
        # Not whole, and nothing comes: bad.
        yield from waited(events, 1)
        assert len(judged(events)[0].files) == 2
        # As many as the other one: judged at once, and still bad.
        write(plate, name(2, 3))
        yield from waited(events, 2)
        write(plate, name(2, 4), GOOD)
        yield from waited(events, 3)
        # It was good, and the best plane becomes a bad one.
        write(plate, name(2, 4), BAD)
        yield from waited(events, 4)

    events, alerts = watched(watch_of(plate, once=False), late)
    assert [(one.name, one.verdict.planes) for one in judged(events)] == [
        (stack(2), planes) for planes in (2, 3, 4, 4)
    ]
    keys = [one.verdict.status.key for one in judged(events)]
    assert keys == ["dark", "dark", "bright", "dark"]
    assert [one.before and one.before.status.key for one in judged(events)] == [None, *keys[:3]]
    assert [one.was for one in judged(events)] == ["", "", "dark", "bright"]
    assert alerts == 2
    assert (events[-1].images, events[-1].kept) == (2, 6)
    assert not (plate.parent / "out" / "older").exists()
    assert_as_measured(plate)
    # Nothing is judged again without need.
    events, alerts = watched(watch_of(plate))
    assert (judged(events), alerts, events[-1].images) == ([], 0, 2)


def test_a_watch_that_is_left_in_the_middle(plate):
    """Rows of planes stand in any order then."""
    for z in (1, 2, 3):
        for site in (1, 2):
            write(plate, name(site, z), GOOD if z == 2 else BAD)
    with watch_of(plate) as watch:
        for event in watch.events():
            if isinstance(event, WatchStatus) and event.files > 2:
                break
    (plate / name(2, 3)).rename(plate / name(1, 4))
    events, alerts = watched(watch_of(plate))
    assert sorted((one.name, one.verdict.planes) for one in judged(events)) == [
        (stack(1), 4),
        (stack(2), 2),
    ]
    assert (alerts, events[-1].images) == (0, 2)
    assert_as_measured(plate)


def test_numbers_of_planes_where_there_is_one_alone(plate):
    """Only the first images wait for others; planes that come all the same make stacks."""

    def script(events):
        write(plate, name(1, 1))
        yield from waited(events, 1)
        began = time.monotonic()
        write(plate, name(2, 1))
        yield from waited(events, 2)
        assert time.monotonic() - began < 2.5
        write(plate, name(1, 2), GOOD)
        yield from waited(events, 3)

    events, alerts = watched(watch_of(plate, once=False, stack_quiet_seconds=3.0), script)
    assert [one.name for one in judged(events)] == [name(1, 1), name(2, 1), stack(1)]
    last = judged(events)[-1]
    assert (last.files, last.before.status.key) == ((name(1, 1), name(1, 2)), "dark")
    assert (alerts, events[-1].counts["bright"], events[-1].counts["dark"]) == (2, 1, 1)
    assert_as_measured(plate)


def test_a_plane_that_cannot_be_read_is_told_beside_the_verdict_on_its_stack(plate):
    write_stack(plate, 1)
    (plate / name(1, 3)).write_bytes(b"II*\0")
    events, alerts = watched(watch_of(plate))
    (one,) = judged(events)
    assert (one.name, one.verdict.status.key, one.verdict.planes) == (stack(1), "bright", 4)
    assert one.verdict.place == {"z": 1}
    assert one.verdict.fault.startswith(f"without a plane: {name(1, 3)} ")
    assert (alerts, events[-1].failed, events[-1].lacking) == (1, 0, 1)
    assert_as_measured(plate)
    # It is known again, and gone when the plane is whole.
    events, alerts = watched(watch_of(plate))
    assert (judged(events), alerts, events[-1].lacking) == ([], 0, 1)
    write(plate, name(1, 3))
    events, alerts = watched(watch_of(plate))
    assert (alerts, events[-1].counts["bright"], events[-1].lacking) == (0, 1, 0)
    assert_as_measured(plate)


def test_of_a_colour_stack_a_plane_that_cannot_be_read_costs_nothing_but_itself(plate):
    for z in (1, 2, 3):
        colours = np.array([BAD, GOOD if z == 2 else BAD, GOOD], np.uint8)
        picture = np.broadcast_to(colours, (30, 40, 3))
        tifffile.imwrite(plate / name(1, z), picture, photometric="rgb")
    (plate / name(1, 3)).write_bytes(b"")
    events, alerts = watched(watch_of(plate))
    (one,) = judged(events)
    assert (one.verdict.status.key, one.verdict.files) == ("dark", 3)
    assert one.verdict.fault.startswith(f"without a plane: {name(1, 3)} is empty")
    assert (alerts, events[-1].failed, events[-1].lacking) == (1, 0, 1)
    events, alerts = watched(watch_of(plate))
    assert (judged(events), alerts, events[-1].lacking) == ([], 0, 1)


def test_a_plane_that_is_whole_again_hides_no_other_fault(plate):
    limit = Threshold(limit=170.0)
    settings = Settings(measures=(Toy(30.0),))
    reasons = []
    for planes in ({2: GOOD, 3: None}, {2: 150, 3: BAD}):
        write_stack(plate, 1, planes=3)
        for z, level in planes.items():
            write(plate, name(1, z), level or BAD)
            if level is None:
                (plate / name(1, z)).write_bytes(b"")
        watch = watch_of(plate, settings)
        with watch, WatchAlerts(watch, limit):
            reasons += [
                event.alert.reason for event in watch.events() if isinstance(event, AlertRaised)
            ]
    assert len(reasons) == 2
    assert "has a plane that cannot be measured: " in reasons[0]
    assert reasons[1].endswith("is at mean 150.0, below 170")


def test_a_stack_of_which_no_plane_can_be_read_is_not_measured(plate):
    for z in (1, 2):
        (plate / name(1, z)).write_bytes(b"II*\0")
    events, alerts = watched(watch_of(plate, replace(SETTINGS, layout="harmony")))
    (one,) = judged(events)
    assert (one.name, one.verdict.status.key, one.verdict.planes) == (stack(1), "error", 2)
    assert one.verdict.error.startswith(f"{name(1, 1)} is cut short")
    assert (alerts, events[-1].failed, events[-1].lacking) == (1, 1, 0)
    events, alerts = watched(watch_of(plate, replace(SETTINGS, layout="harmony")))
    assert (judged(events), alerts, events[-1].failed) == ([], 0, 1)


def test_planes_that_were_images_of_their_own_raise_no_alert_again(plate):
    """With a pattern they become stacks, and images again without it."""
    settings = {"": SETTINGS, "z": replace(SETTINGS, pattern=r"_(?P<z>\d+)")}
    files = {f"{site}_{z}.tif" for site in "ab" for z in "123"}
    for file in files:
        write(plate, file, GOOD if file == "a_2.tif" else BAD)
    events, alerts = watched(watch_of(plate, settings[""]))
    assert ({one.name for one in judged(events)}, alerts) == (files, 5)

    events, alerts = watched(watch_of(plate, settings["z"]))
    told = {one.name: (one.verdict.status.key, one.was) for one in judged(events)}
    assert told == {"a_*.tif": ("bright", "dark"), "b_*.tif": ("dark", "")}
    assert (alerts, len(judged(events)), events[-1].images) == (0, 2, 2)
    assert_as_measured(plate, settings["z"])

    # All are told; of those that are as they were there has been an alert.
    events, alerts = watched(watch_of(plate, settings[""]))
    assert sorted(one.name for one in judged(events)) == sorted(files)
    assert {one.before for one in judged(events)} == {None}
    assert (alerts, events[-1].images, events[-1].counts["dark"]) == (0, 6, 5)


def test_stacks_that_fall_apart_are_told_plane_by_plane(plate):
    files = {f"{site}_{z}.tif" for site in "abcd" for z in "123"}
    for file in files:
        write(plate, file, GOOD if file == "a_2.tif" else BAD)
    by_z = replace(SETTINGS, pattern=r"_(?P<z>\d+)")
    events, alerts = watched(watch_of(plate, by_z))
    assert (len(judged(events)), alerts) == (4, 3)
    events, alerts = watched(watch_of(plate))
    assert sorted(one.name for one in judged(events)) == sorted(files)
    assert (alerts, events[-1].images, events[-1].counts["dark"]) == (11, 12, 11)
    assert {row["stack"] for row in tables(plate.parent / "out", "results.csv")} == {""}


def test_a_stack_that_gets_another_name_raises_no_alert_again(plate):
    """Names that differ in more than z: the stack has that of its first plane."""
    settings = replace(SETTINGS, pattern=r"s(?P<site>\d+)_z(?P<z>\d+)")
    for z in (2, 3):
        write(plate, f"img{z}0_s1_z{z}.tif")
    events, alerts = watched(watch_of(plate, settings))
    assert ([one.name for one in judged(events)], alerts) == (["img20_s1_z*.tif"], 1)
    write(plate, "img10_s1_z1.tif")
    events, alerts = watched(watch_of(plate, settings))
    (one,) = judged(events)
    assert (one.name, one.verdict.planes) == ("img10_s1_z*.tif", 3)
    assert (one.before.status.key, alerts) == ("dark", 0)
    assert_as_measured(plate, settings)


def test_lower_planes_that_come_later_move_the_others(plate):
    """z counts from the lowest number, of all channels of a place."""
    write_stack(plate, 1)
    (plate / name(1, 1)).unlink()
    watched(watch_of(plate))
    write(plate, name(1, 1, channel=2))
    events, _ = watched(watch_of(plate))
    assert [one.name for one in judged(events)] == [stack(1, 2)]
    assert_as_measured(plate)


def test_sets_that_tell_of_themselves(plate):
    data = np.full((3, 1, 30, 40), BAD, np.uint8)
    data[1] = GOOD
    uuids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{z}" for z in range(3)]
    tiff = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="s{z}.ome.tif">{uuids[z]}</UUID></TiffData>'
        for z in range(3)
    )
    for z in range(3):
        xml = (
            '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuids[z]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            'Type="uint8" SizeX="40" SizeY="30" SizeZ="3" SizeC="1" SizeT="1">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{tiff}</Pixels></Image></OME>'
        )
        tifffile.imwrite(plate / f"s{z}.ome.tif", data[z], description=xml, metadata=None)
    events, alerts = watched(watch_of(plate))
    (one,) = judged(events)
    assert (one.verdict.status.key, one.verdict.planes, alerts) == ("bright", 3, 0)
    assert one.path == plate / "s1.ome.tif"
    assert_as_measured(plate)


def test_a_pattern_that_matches_no_name_or_a_part_of_a_number_is_told_once(plate):
    write_stack(plate, 1)
    for pattern, said in (
        (r"(?P<well>[A-H]\d\d)_z(?P<z>\d)", ["The pattern matches no name; the first is "]),
        (r"p(?P<z>\d\d)", []),
        (r"p(?P<z>\d)", ["The pattern takes a part of a number: z is 0 of 01 in "]),
    ):
        settings = replace(SETTINGS, pattern=pattern)
        with watch_of(plate, settings) as watch:
            texts = [event.text for event in watch.events() if isinstance(event, Notice)]
        assert [text[: len(start)] for text, start in zip(texts, said)] == said
        assert len(texts) == len(said)


def test_pictures_of_the_best_planes(plate):
    write_stack(plate, 1)
    (one,) = judged(watched(watch_of(plate, pictures=True))[0])
    assert one.picture.startswith(b"\xff\xd8")

    def script(events):
        watch.draw(watch.earlier(9))
        while not any(isinstance(event, PictureDrawn) for event in events):
            yield

    watch = watch_of(plate, pictures=True, once=False)
    (drawn,) = [one for one in watched(watch, script)[0] if isinstance(one, PictureDrawn)]
    assert (drawn.name, drawn.picture) == (stack(1), one.picture)


def test_a_time_that_cannot_be_waited_for_is_refused(plate):
    with pytest.raises(SettingsError, match="stack_quiet_seconds is -1; it must be 0 or more"):
        watch_of(plate, stack_quiet_seconds=-1).__enter__()


class Bench:
    """Units on a clock of their own."""

    def __init__(self, quiet=10.0):
        self.now = 0.0
        self.units = Units(quiet, lambda: self.now)

    def add(self, key, *planes, seconds=1.0):
        for z in planes:
            self.now += seconds
            self.units.add(f"{key}{z}", key, 1, waits=True)

    def due(self, expected=()):
        due = self.units.due(lambda key: key in expected)
        for key in due:
            self.units.judge(key, "good")
        return due


def test_when_a_stack_is_whole():
    bench = Bench()
    bench.add("a", 1, 2, 3)
    bench.now += 9.9
    assert bench.due() == []
    bench.now += 0.1
    assert bench.due(["a"]) == []
    assert bench.due() == ["a"]
    # By now it is known how many they are.
    bench.add("b", 1, 2)
    assert bench.due() == []
    bench.add("b", 3)
    assert bench.due(["b"]) == []
    assert bench.due() == ["b"]
    # One that was written anew says nothing of the others.
    bench.add("b", 2)
    assert bench.due() == []
    bench.add("b", 1, 3)
    assert bench.due() == ["b"]
    # A fourth one: the number was wrong.
    bench.add("b", 4)
    bench.add("c", 1, 2, 3)
    assert bench.due() == []
    bench.now += 10
    assert bench.due() == ["b", "c"]
    bench.add("c", 4)
    assert bench.due() == ["c"]
    assert bench.units.counts == {"good": 3}


def test_a_stack_that_loses_a_plane_is_judged_again():
    bench = Bench()
    bench.add("a", 1, 2, 3)
    bench.now += 10
    assert bench.due() == ["a"]
    bench.units.move("a3", "b", waits=True)
    assert {key: unit.planes for key, unit in bench.units.waiting.items()} == {"a": 2, "b": 1}
    bench.now += 10
    assert sorted(bench.due()) == ["a", "b"]
    # The last one is not judged twice, whatever it is called.
    bench.units.move("a3", "c", waits=True)
    assert (bench.due(), bench.units.counts) == ([], {"good": 2})


def test_the_quiet_is_learned_from_a_microscope_that_comes_back_late():
    bench = Bench()
    for key in "abc":
        bench.add(key, 1, seconds=20)
        bench.due()
    assert bench.units.counts == {"good": 3}
    # After a minute it is at the first place again.
    for z in (2, 3, 4):
        for key in "abc":
            bench.add(key, z, seconds=20)
            assert bench.due() == []
    bench.now += 120
    assert sorted(bench.due()) == ["a", "b", "c"]
