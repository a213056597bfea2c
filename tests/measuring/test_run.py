"""A run of the library: rows as they come, what is kept of them, and who is told."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import coded
import numpy as np
import pytest
import tifffile
from command_line import counts, pictures, table

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.images import find
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.measure_files import measure_files
from microscope_quality.measuring.run import Run
from microscope_quality.measuring.settings import Settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "coded"
    coded.write(folder)
    return Settings(measures=(Focus(model=str(folder)),))


@pytest.fixture
def plate(tmp_path):
    """Four files in their order: an image, one that is none, a z-stack, an image."""
    folder = tmp_path / "plate"
    folder.mkdir()
    tifffile.imwrite(folder / "a1.tif", coded.plane(coded.FOCUSED))
    (folder / "a2.tif").write_bytes(b"nothing")
    stack = np.stack([coded.plane([[k] * 2] * 2) for k in (3, 0, 4)])
    tifffile.imwrite(folder / "a3.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "a10.tif", coded.plane(coded.MIXED))
    return folder


def record(out):
    return json.loads((out / "run.json").read_text(encoding="utf-8"))


class Heard:
    def __init__(self):
        self.planes, self.images = [], []

    def plane(self, plane):
        self.planes.append((plane.name, plane.place.z, plane.status))

    def image(self, planes, speaker, stack):
        self.images.append((len(planes), speaker.place.z, stack and stack["best_z"]))


@pytest.mark.parametrize("folder", ["out", None])
def test_a_listener_hears_of_planes_and_images(plate, settings, tmp_path, folder):
    heard = Heard()
    files = find([plate])
    with Run(settings, files, folder and tmp_path / folder) as run:
        for _ in run.measure():
            pass
        run.finish(heard)
    assert heard.planes == [
        ("a1.tif", None, "in_focus"),
        ("a2.tif", None, "error"),
        ("a3.tif", 0, "out_of_focus"),
        ("a3.tif", 1, "in_focus"),
        ("a3.tif", 2, "out_of_focus"),
        ("a10.tif", None, "mixed"),
    ]
    assert heard.images == [(1, None, None), (1, None, None), (3, 1, "1"), (1, None, None)]
    assert run.planes == {"in_focus": 2, "out_of_focus": 2, "mixed": 1, "error": 1}
    assert run.images == {"in_focus": 2, "mixed": 1, "error": 1}
    assert run.has_failed
    assert [(one.plane.name, one.why) for one in run.doubtful] == [
        ("a10.tif", "parts at different levels")
    ]


@pytest.mark.long
def test_a_stack_that_was_interrupted_has_all_its_pictures(settings, tmp_path):
    image = tmp_path / "stack.tif"
    stack = np.stack([coded.plane(coded.FOCUSED)] * 5)
    tifffile.imwrite(image, stack, imagej=True, metadata={"axes": "ZYX"})

    def measured(out, pages=None):
        drawing = Settings(settings.measures, pictures=out / "overlays")
        with Run(drawing, find([image]), out) as run:
            for number, _ in enumerate(run.measure(), 1):
                if number == pages:
                    raise KeyboardInterrupt
            run.finish()
            run.draw(doubtful=False)
        return run

    measured(tmp_path / "whole")
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        measured(out, pages=3)
    (out / "overlays" / pictures(out)[1]).unlink()
    assert len(measured(out).drawn) == 5
    for name in pictures(tmp_path / "whole"):
        drawn = (out / "overlays" / name).read_bytes()
        assert drawn == (tmp_path / "whole" / "overlays" / name).read_bytes()


@pytest.mark.long
def test_the_results_of_other_measures_are_replaced_and_kept(plate, settings, tmp_path):
    from microscope_quality.measuring.classical import Classical

    out = tmp_path / "out"
    list(measure_files(plate, settings, out=out))
    focus = table(out / "results.csv")
    classical = Settings(measures=(Classical(),))
    list(measure_files(plate, classical, out=out))
    rows = table(out / "results.csv")
    assert "level" not in rows[0]
    assert float(rows[0]["tenengrad"]) > 0
    (older,) = (out / "older").iterdir()
    assert table(older / "results.csv") == focus
    # Of both, the first one judges.
    list(measure_files(plate, Settings((*settings.measures, Classical())), out=out))
    both = table(out / "results.csv")
    assert [row["status"] for row in both] == [row["status"] for row in focus]
    assert [row["tenengrad"] for row in both] == [row["tenengrad"] for row in rows]
    assert counts(out)["kept"] == 0


def test_two_files_that_a_table_calls_the_same(settings, tmp_path):
    files = [("a\0.tif", tmp_path / "1"), (r"a\x00.tif", tmp_path / "2")]
    with pytest.raises(FileError, match="would have the same name in a table"):
        Run(settings, files)


HARMONY = "Images/r02c03f{site:02}p{z:02}-ch{channel}sk1fk1fl1.tiff"


def write_planes(folder, layout=HARMONY, sites=(1, 2), best=(1, 3)):
    """A file for each plane of two sites and channels, of which one is the sharpest."""
    for site, sharpest in zip(sites, best):
        for channel in (1, 2):
            for z in (1, 2, 3, 4):
                path = folder / layout.format(site=site, z=z, channel=channel)
                path.parent.mkdir(parents=True, exist_ok=True)
                level = min(10, 3 * abs(z - sharpest) + channel - 1)
                tifffile.imwrite(path, coded.plane([[level] * 2] * 2))


def test_planes_in_files_of_their_own_are_stacks(settings, tmp_path):
    folder, out = tmp_path / "plate", tmp_path / "out"
    write_planes(folder)
    list(measure_files(folder, settings, out=out, jobs=2))
    rows = table(out / "results.csv")
    # The planes of a stack stand together, by z.
    assert [row["z"] for row in rows] == [*"0123"] * 4
    assert {(row["well"], row["site"], row["channel"]) for row in rows[:4]} == {("B03", "01", "1")}
    assert Counter(row["stack"] for row in rows) == {
        f"Images/r02c03f0{site}p*-ch{channel}sk1fk1fl1.tiff": 4
        for site in (1, 2)
        for channel in (1, 2)
    }
    stacks = table(out / "stacks.csv")
    assert [(one["best_z"], one["status"]) for one in stacks] == [
        *[("0", "in_focus")] * 2,
        *[("2", "in_focus")] * 2,
    ]
    told = stacks[3]
    assert told["file"] == HARMONY.format(site=2, z=1, channel=2)
    assert told["best_file"] == HARMONY.format(site=2, z=3, channel=2)
    assert (told["planes"], told["well"], told["site"]) == ("4", "B03", "02")

    before = (out / "results.csv").read_bytes()
    with Run(settings, find([folder]), out) as run:
        assert list(run.measure()) == [(row["file"], None) for row in rows]
        run.finish()
    assert run.images == {"in_focus": 4}
    assert (out / "results.csv").read_bytes() == before
    (recognised,) = run.recognised
    assert (recognised.layout.name, recognised.files) == ("harmony", 16)


def test_another_way_to_read_names_measures_nothing_again(settings, tmp_path):
    folder, out = tmp_path / "plate", tmp_path / "out"
    write_planes(folder)
    list(measure_files(folder, settings, out=out))
    first = table(out / "results.csv")
    for changes, stacks in (
        ({"layout": "none"}, 0),
        ({}, 4),
        ({"pattern": r"f\d\d(?P<z>p\d+)"}, 4),
    ):
        with Run(replace(settings, **changes), find([folder]), out) as run:
            assert all(rows is None for _, rows in run.measure())
            run.finish()
        assert run.results.older is None
        assert run.tables.get("stacks.csv", 0) == stacks
        rows = table(out / "results.csv")
        assert {row["z"] for row in rows} == ({*"0123"} if stacks else {""})
        if not changes:
            assert rows == first
    assert {row["well"] for row in rows} == {""}


def test_pictures_of_planes_in_files_of_their_own(settings, tmp_path):
    """They have the names that their files give them, and are found again."""
    folder, out = tmp_path / "plate", tmp_path / "out"
    write_planes(folder, sites=(1,))
    drawing = replace(settings, pictures=out / "overlays")
    for kept in (0, 8):
        with Run(drawing, find([folder]), out) as run:
            for _ in run.measure():
                pass
            run.finish()
            run.draw(doubtful=False)
        assert (run.n_kept, run.n_rows, len(run.drawn)) == (kept, 8 - kept, 8)


def test_the_doubtful_plane_of_a_stack_of_files_is_drawn(settings, tmp_path):
    folder, out = tmp_path / "plate", tmp_path / "out"
    folder.mkdir()
    far = [[9, 9], [9, 9]]
    for z, levels in enumerate((far, coded.MIXED, far)):
        tifffile.imwrite(folder / f"s1_z{z}.tif", coded.plane(levels))
    with Run(settings, find([folder]), out) as run:
        for _ in run.measure():
            pass
        run.finish()
        run.draw()
    assert [one.plane.name for one in run.doubtful] == ["s1_z1.tif"]
    assert [path.name for path in run.drawn] == ["01_s1_z1.tif_z1.png"]
    assert run.not_drawn == []


def test_a_layout_that_no_name_has_is_refused(settings, plate, tmp_path):
    with pytest.raises(SettingsError, match="layout matches no name; the first is .*a1.tif"):
        Run(replace(settings, layout="harmony"), find([plate]), tmp_path / "out")


def test_a_pattern_that_matches_no_name_is_refused(settings, plate, tmp_path):
    with pytest.raises(SettingsError, match="pattern matches no name; the first is .*a1.tif"):
        Run(replace(settings, pattern=r"(?P<z>nothing)"), find([plate]), tmp_path / "out")
