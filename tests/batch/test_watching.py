"""Files are given once they are complete, whatever their writers and clocks do."""

from __future__ import annotations

import inspect
import os
import sys

import pytest

from microscope_quality.batch.watching import (
    ATTEMPTS,
    LONGEST_STILL,
    Before,
    ReadOutcome,
    Watcher,
    identity_of,
)

STEP = 0.25


class Bench:
    """A folder, a clock that goes on only when told to, and what the watcher gives."""

    def __init__(self, folder, **options):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.now = 1000.0
        options.setdefault("wanted", lambda name: name.endswith(".tif"))
        options.setdefault("ignored", lambda name, _: name.startswith("."))
        self.watcher = Watcher(folder, clock=lambda: self.now, **options)
        self.watcher.look()

    def write(self, name, content="content"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def wait(self, seconds, most=100):
        """Let time pass; gives what was given to be read meanwhile."""
        given = []
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            self.watcher.look()
            given += self.watcher.take(most)
        return given

    def names(self, seconds):
        """Let time pass, read all that is given without fault; gives the names."""
        found = self.wait(seconds)
        for one in found:
            self.read(one)
        return [one.name for one in found]

    def read(self, found, failed=False):
        try:
            after = identity_of(found.path)
        except OSError:
            after = None
        return self.watcher.finish(found, after, failed)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path / "watched")


def test_a_new_file_is_given_once_when_it_has_kept_still(bench):
    bench.write("a.tif")
    bench.now += STEP
    bench.watcher.look()
    assert bench.wait(0.75) == []
    (found,) = bench.wait(0.25)
    assert (found.name, found.attempt, found.early) == ("a.tif", 1, False)
    assert found.identity == identity_of(found.path)
    assert bench.read(found) is ReadOutcome.DONE
    assert bench.names(60) == []


def test_a_file_that_grows_waits_until_it_stops(bench):
    bench.write("a.tif", "")
    for size in range(1, 20):
        assert bench.wait(0.75) == []
        bench.write("a.tif", "x" * size)
    assert bench.names(2) == ["a.tif"]


def test_the_clock_of_files_is_a_mere_mark(bench):
    path = bench.write("a.tif")
    # Years ahead, then back: each is a change, and none is compared with now.
    for mtime in (4e9, 1e9, 0):
        assert bench.wait(0.75) == []
        os.utime(path, (mtime, mtime))
    (found,) = bench.wait(2)
    assert found.identity.mtime_ns == 0
    bench.read(found)
    os.utime(path, (1e9, 1e9))
    assert bench.names(3) == ["a.tif"]


def test_existing_files_come_in_order_and_after_new_ones(tmp_path):
    folder = tmp_path / "watched"
    folder.mkdir()
    for name in ("b.tif", "a.tif", "c.tif"):
        (folder / name).write_text("old")
    bench = Bench(folder)
    bench.write("new.tif")
    bench.now += STEP
    bench.watcher.look()
    assert bench.wait(0.75, most=0) == []
    bench.wait(1, most=0)
    found = bench.watcher.take(10)
    assert [one.name for one in found] == ["new.tif", "a.tif", "b.tif", "c.tif"]
    assert [one.early for one in found] == [False, True, True, True]


def test_an_existing_file_that_is_being_written_is_not_given(tmp_path):
    folder = tmp_path / "watched"
    folder.mkdir()
    (folder / "a.tif").write_text("")
    bench = Bench(folder)
    for size in range(1, 9):
        assert bench.wait(0.5) == []
        bench.write("a.tif", "x" * size)
    assert bench.names(2) == ["a.tif"]


def test_what_an_earlier_run_measured_is_not_given_again(tmp_path):
    known = {("a.tif", 3, 10**18): Before.DONE, ("b.tif", 3, 10**18): Before.FAILED}
    folder = tmp_path / "watched"
    folder.mkdir()
    for name in ("a.tif", "b.tif", "c.tif"):
        (folder / name).write_text("old")
        os.utime(folder / name, ns=(10**18, 10**18))
    bench = Bench(folder, before=lambda *file: known.get(file, Before.NOTHING))
    found = bench.wait(2)
    assert [one.name for one in found] == ["b.tif", "c.tif"]
    # One that failed then gets one reading.
    assert bench.read(found[0], failed=True) is ReadOutcome.FAILED
    assert bench.read(found[1], failed=True) is ReadOutcome.AGAIN
    os.utime(folder / "a.tif", ns=(10**18, 10**18 + 1))
    assert "a.tif" in [one.name for one in bench.wait(2)]


def test_a_file_renamed_into_its_name(bench):
    path = bench.write("a.tif.tmp")
    assert bench.names(3) == []
    path.rename(bench.folder / "a.tif")
    assert bench.names(2) == ["a.tif"]
    (bench.folder / "a.tif").rename(bench.folder / "b.tif")
    assert bench.names(2) == ["b.tif"]
    assert bench.names(20) == []


def test_another_file_put_in_its_place_with_the_same_size_and_time(bench):
    path = bench.write("a.tif", "one")
    os.utime(path, ns=(10**18, 10**18))
    assert bench.names(2) == ["a.tif"]
    other = bench.write("other", "two")
    os.utime(other, ns=(10**18, 10**18))
    other.replace(path)
    assert bench.names(3) == ["a.tif"]


def test_a_drive_that_numbers_its_files_anew_is_not_believed_twice(bench):
    path = bench.write("a.tif", "one")
    os.utime(path, ns=(10**18, 10**18))
    given = []
    for turn in range(6):
        given += bench.names(30)
        # Another inode, all else the same.
        copy = bench.write(f"copy{turn}", "one")
        os.utime(copy, ns=(10**18, 10**18))
        copy.replace(path)
    assert given == ["a.tif", "a.tif"]
    bench.write("a.tif", "longer")
    assert bench.names(2) == ["a.tif"]


def test_a_rewritten_file_is_given_again_even_among_many(bench):
    for i in range(400):
        bench.write(f"{i:03}.tif")
    assert len(bench.names(3)) == 400
    # Neither a new file nor a listing tells of it.
    for i in (0, 200, 399):
        bench.write(f"{i:03}.tif", "longer content")
    assert sorted(bench.names(8)) == ["000.tif", "200.tif", "399.tif"]


def test_a_change_while_it_is_read_costs_the_reading(bench):
    bench.write("a.tif", "x")
    (found,) = bench.wait(2)
    bench.write("a.tif", "xy")
    assert bench.read(found) is ReadOutcome.AGAIN
    # A change that only a look at the folder sees, or the reader alone, counts too.
    (found,) = bench.wait(3)
    bench.write("a.tif", "xyz")
    bench.wait(0.5)
    assert bench.watcher.finish(found, found.identity, False) is ReadOutcome.AGAIN
    (found,) = bench.wait(3)
    assert found.attempt == 1
    assert bench.read(found) is ReadOutcome.DONE


def test_a_broken_file_is_read_some_times_ever_later_and_when_it_changes(bench):
    bench.write("a.tif")
    readings = []
    for _ in range(400):
        for found in bench.wait(STEP):
            readings.append(bench.now)
            became = bench.read(found, failed=True)
            assert became is (
                ReadOutcome.FAILED if len(readings) == ATTEMPTS else ReadOutcome.AGAIN
            )
    gaps = [after - before for before, after in zip(readings, readings[1:])]
    assert gaps == [1, 2, 4, 8, 16]
    bench.write("a.tif", "whole at last")
    (found,) = bench.wait(2)
    assert found.attempt == 1
    assert bench.read(found) is ReadOutcome.DONE


def readings_of(bench, seconds, meanwhile=lambda: None):
    """When a broken file was read, and what became of it; all others are whole."""
    readings, became = [], None
    start = bench.now
    for _ in range(round(seconds / STEP)):
        for found in bench.wait(STEP):
            outcome = bench.read(found, failed=found.name == "broken.tif")
            if found.name == "broken.tif":
                readings.append(bench.now - start)
                became = outcome
        meanwhile()
    return readings, became


def test_where_nothing_changes_any_more_a_broken_file_is_soon_given_up(tmp_path):
    (tmp_path / "watched").mkdir()
    (tmp_path / "watched" / "broken.tif").write_text("half")
    bench = Bench(tmp_path / "watched", once=True)
    readings, became = readings_of(bench, 60)
    assert readings == [1, 2, 4]
    assert became is ReadOutcome.FAILED
    assert bench.watcher.settled
    bench.write("broken.tif", "whole at last")
    (found,) = bench.wait(2)
    assert bench.read(found) is ReadOutcome.DONE


def test_where_others_still_come_a_broken_file_is_waited_for(tmp_path):
    (tmp_path / "watched").mkdir()
    (tmp_path / "watched" / "broken.tif").write_text("half")
    bench = Bench(tmp_path / "watched", once=True)

    def come():
        if bench.now % 3 == 0:
            bench.write(f"{bench.now:.0f}.tif")

    readings, became = readings_of(bench, 60, come)
    assert readings == [1, 2, 4, 8, 16, 32]
    assert became is ReadOutcome.FAILED


def test_a_broken_file_that_is_written_on_is_not_given_up(tmp_path):
    (tmp_path / "watched").mkdir()
    path = tmp_path / "watched" / "broken.tif"
    path.write_text("half")
    bench = Bench(tmp_path / "watched", once=True)
    # A pause of three intervals, again and again.
    for k in range(5):
        _, became = readings_of(bench, 3)
        assert became is ReadOutcome.AGAIN, k
        path.write_text(path.read_text() + "more")
    (found,) = bench.wait(2)
    assert bench.read(found) is ReadOutcome.DONE


def test_a_truncated_file_starts_anew_when_it_grows(bench):
    bench.write("a.tif", "x")
    for size in range(2, 12):
        (found,) = bench.wait(1.5)
        assert bench.read(found, failed=True) is ReadOutcome.AGAIN
        assert found.attempt == 1
        bench.write("a.tif", "x" * size)
    (found,) = bench.wait(1.5)
    assert bench.read(found) is ReadOutcome.DONE


def test_a_file_that_was_taken_for_complete_too_soon_is_given_more_time(bench):
    """As a stack that is written page by page, each time whole."""
    readings, size = [], 1
    for step in range(4 * 600):
        if step % (4 * 3) == 0:
            size += 1
            bench.write("stack.tif", "x" * size)
        for found in bench.wait(STEP):
            readings.append(bench.now)
            bench.read(found)
    # Every 3 s a page: read after 1 s, after 2 s, and then no more until the writer stops.
    assert len(readings) == 2
    last = bench.now
    (found,) = bench.wait(LONGEST_STILL + 1)
    assert bench.now - last <= LONGEST_STILL + 1
    assert found.identity.size_bytes == size


def test_deleted_files_are_forgotten(bench):
    path = bench.write("a.tif")
    other = bench.write("b.tif")
    found, _ = bench.wait(2)
    path.unlink()
    other.unlink()
    # Its reading counts: the file was whole then.
    assert bench.watcher.finish(found, found.identity, False) is ReadOutcome.DONE
    bench.write("c.tif")
    (found,) = bench.wait(2)
    found.path.unlink()
    bench.wait(1)
    assert bench.read(found, failed=True) is ReadOutcome.GONE
    bench.write("a.tif")
    assert bench.names(2) == ["a.tif"]


def test_sub_folders_old_and_new_and_gone(bench):
    bench.write("day 1/plate/a.tif")
    assert bench.names(2) == ["day 1/plate/a.tif"]
    bench.write("day 2/plate/a.tif")
    bench.write("day 1/plate/b.tif")
    assert sorted(bench.names(2)) == ["day 1/plate/b.tif", "day 2/plate/a.tif"]
    (bench.folder / "day 1").rename(bench.folder / "day 3")
    assert sorted(bench.names(2)) == ["day 3/plate/a.tif", "day 3/plate/b.tif"]
    bench.write("day 1/plate/a.tif")
    assert bench.names(2) == ["day 1/plate/a.tif"]


def test_a_folder_that_is_an_image_is_complete_when_nothing_changes_in_it(bench):
    for k in range(8):
        # The folder itself changes only at first.
        bench.write(f"image.tif/scale 0/{k % 4}/{k}", "chunk")
        assert bench.wait(0.75) == []
    assert bench.names(2) == ["image.tif"]
    for k in range(3):
        bench.write("image.tif/scale 0/0/0", "another chunk" * (k + 1))
        assert bench.names(4 + 8 * k) == ["image.tif"]
    assert bench.names(60) == []


def test_what_is_left_out(tmp_path):
    folder = tmp_path / "watched"
    out = folder / "results"
    bench = Bench(
        folder,
        exclude=out,
        ignored=lambda name, beside: name == "older/overlays" and "results.csv" in beside,
    )
    bench.write("results/picture.tif")
    bench.write("older/overlays/picture.tif")
    bench.write("older/results.csv")
    bench.write("overlays/a.tif")
    bench.write("notes.txt")
    (folder / "link").symlink_to(out)
    assert bench.names(3) == ["overlays/a.tif"]


def test_the_folder_for_results_may_be_the_folder_itself(tmp_path):
    bench = Bench(tmp_path / "watched", exclude=tmp_path / "watched")
    bench.write("a.tif")
    assert bench.names(2) == ["a.tif"]


def test_links_lead_nowhere_twice(bench, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "o.tif").write_text("o")
    bench.write("real/a.tif")
    (bench.folder / "a link to it").symlink_to(bench.folder / "real")
    (bench.folder / "real" / "circle").symlink_to(bench.folder)
    (bench.folder / "first").symlink_to(outside)
    (bench.folder / "second").symlink_to(outside)
    (outside / "back").symlink_to(bench.folder)
    assert sorted(bench.names(3)) == ["first/o.tif", "real/a.tif"]
    assert bench.names(10) == []


def test_a_link_to_nothing_waits_for_its_file(bench, tmp_path):
    (bench.folder / "a.tif").symlink_to(tmp_path / "later")
    assert bench.names(60) == []
    assert bench.watcher.settled
    assert bench.watcher.dangling == ["a.tif"]
    (tmp_path / "later").write_text("there")
    assert bench.names(2) == ["a.tif"]
    assert bench.watcher.dangling == []


def test_a_folder_out_of_reach_is_waited_for(bench, tmp_path):
    bench.write("a.tif")
    (at_work,) = bench.wait(2)
    away = tmp_path / "away"
    bench.folder.rename(away)
    assert bench.wait(30) == []
    assert bench.watcher.lost
    (notice,) = bench.watcher.notices()
    assert "cannot be reached" in notice
    assert bench.watcher.finish(at_work, None, True) is ReadOutcome.AGAIN
    away.rename(bench.folder)
    bench.write("b.tif")
    assert sorted(bench.names(3)) == ["a.tif", "b.tif"]
    assert not bench.watcher.lost
    (notice,) = bench.watcher.notices()
    assert "again" in notice


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_folder_that_must_not_be_read_is_told_once(bench):
    bench.write("closed/a.tif")
    (bench.folder / "closed").chmod(0)
    bench.write("b.tif")
    assert bench.names(30) == ["b.tif"]
    (notice,) = bench.watcher.notices()
    assert "closed" in notice
    (bench.folder / "closed").chmod(0o700)
    assert bench.names(30) == ["closed/a.tif"]


def test_large_files_leave_room_for_others(bench):
    for i in range(3):
        bench.write(f"large{i}.tif", "x" * 100)
    bench.write("small.tif", "x")
    bench.wait(2, most=0)
    assert [one.name for one in bench.watcher.take(2, lambda size: size < 50)] == ["small.tif"]
    assert [one.name for one in bench.watcher.take(2)] == ["large0.tif", "large1.tif"]


def test_settled_when_nothing_is_to_be_expected(bench):
    assert bench.watcher.settled
    bench.write("a.tif")
    bench.wait(0.25)
    assert not bench.watcher.settled
    (found,) = bench.wait(2)
    assert not bench.watcher.settled
    for _ in range(ATTEMPTS - 1):
        bench.read(found, failed=True)
        assert not bench.watcher.settled
        (found,) = bench.wait(20)
    bench.read(found, failed=True)
    assert bench.watcher.settled


def test_a_deep_folder_does_not_end_it(tmp_path):
    bench = Bench(tmp_path / "watched")
    deep = "/".join("d" * 120)
    bench.write(f"{deep}/a.tif")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 60)
    try:
        assert bench.names(2) == [f"{deep}/a.tif"]
        (bench.folder / "d").rename(bench.folder / "e")
        assert bench.names(2) == [f"e{deep[1:]}/a.tif"]
    finally:
        sys.setrecursionlimit(limit)
