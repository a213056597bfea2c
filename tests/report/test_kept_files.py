"""Copies of kept files, beside originals that stay as they are."""

import os

import pytest
from written_results import failed_row, plane_row, write_image, write_results

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.measuring.items import identity
from microscope_quality.report.kept_files import copy_files, plan_copies
from microscope_quality.report.results import read_results
from microscope_quality.report.selection import Limits, select

BAD = {"a/bad.tif": 9, "part.tif": 0.5}


@pytest.fixture
def folder(tmp_path):
    """Images in sub-folders: a stack of three files, and channels of which one is blurred."""
    images = tmp_path / "images"
    planes = [plane_row(f"z{z}.tif", abs(z - 1) * 4, z=z, stack="z.tif") for z in range(3)]
    rows = [
        plane_row("a/good.tif", 0.2),
        plane_row("b/good.tif", 0.3),
        plane_row("a/bad.tif", 9),
        *planes,
        plane_row("part.tif", 0.5, c=0),
        plane_row("part.tif", 8, c=1),
        plane_row("whole.tif", 0.5, c=0),
        plane_row("whole.tif", 0.6, c=1),
        failed_row("broken.tif"),
    ]
    for number, row in enumerate(rows):
        path = images / row["file"]
        if not path.exists():
            write_image(path, number)
        size_bytes, modified = identity(path)
        row.update(size_bytes=size_bytes, modified=modified)
    write_results(tmp_path / "results", rows, record={"folder": str(images)})
    return tmp_path


WHOLE = ["a/good.tif", "b/good.tif", "whole.tif", "z0.tif", "z1.tif", "z2.tif"]


def plan(folder, target="kept", limits=Limits(), images=None, **more):  # noqa: B008 (frozen)
    selection = select(read_results(folder / "results").rows, limits)
    return plan_copies(selection, folder / target, [images or folder / "images"], **more)


def copied(folder, target="kept"):
    where = folder / target
    return sorted(p.relative_to(where).as_posix() for p in where.rglob("*") if p.is_file())


def test_files_without_a_rejected_image_are_copied_with_their_folders(folder):
    before = {path: path.stat().st_mtime_ns for path in (folder / "images").rglob("*.tif")}
    copies = plan(folder)
    assert copies.partly == ["part.tif"]
    assert (copies.missing, copies.changed, copies.outside) == ([], [], [])
    moves = []
    copy_files(copies, lambda *numbers: moves.append(numbers))
    assert moves[-1] == (6, 6)
    assert copied(folder) == WHOLE
    for name in WHOLE:
        source, copy = folder / "images" / name, folder / "kept" / name
        assert copy.read_bytes() == source.read_bytes()
        assert identity(copy) == identity(source)
    assert before == {path: path.stat().st_mtime_ns for path in (folder / "images").rglob("*.tif")}


def test_what_is_copied_already_is_left_and_the_rest_follows(folder):
    copy_files(plan(folder))
    (folder / "kept" / "z1.tif").unlink()
    copies = plan(folder)
    assert [copy.target.name for copy in copies.wanted] == ["z1.tif"]
    assert len(copies.present) == 5
    copy_files(copies)
    assert copied(folder) == WHOLE


def test_no_other_file_is_overwritten_and_none_stays_that_is_not_kept(folder):
    copy_files(plan(folder, limits=Limits(9)))
    assert copied(folder) == sorted([*WHOLE, "a/bad.tif", "part.tif"])
    with pytest.raises(
        FileError, match=r"part\.tif: is there from earlier|bad\.tif: is there from"
    ):
        plan(folder)
    (folder / "other" / "a").mkdir(parents=True)
    (folder / "other" / "a" / "good.tif").write_bytes(b"mine")
    with pytest.raises(FileError, match=r"good\.tif: is there already and is another file"):
        plan(folder, "other")
    (folder / "file").touch()
    with pytest.raises(FileError, match="is no folder"):
        plan(folder, "file")


@pytest.mark.parametrize("target", ["images", "images/kept", "images/a", "images/b/kept"])
def test_copies_are_not_where_the_next_run_would_measure_them(folder, target):
    with pytest.raises(SettingsError, match="copy_kept is "):
        plan(folder, target)


def test_files_that_are_gone_or_other_ones_by_now_are_told(folder):
    (folder / "images" / "whole.tif").unlink()
    write_image(folder / "images" / "a" / "good.tif", 99)
    os.utime(folder / "images" / "b" / "good.tif", (1, 1))
    copies = plan(folder)
    assert copies.missing == ["whole.tif"]
    assert copies.changed == ["a/good.tif", "b/good.tif"]
    # Where the images were copied to, times say nothing.
    assert plan(folder, moved=True).changed == []
    assert [copy.source.name for copy in copies.wanted] == ["z0.tif", "z1.tif", "z2.tif"]


@pytest.mark.parametrize("name", ["../secret.tif", "{}/secret.tif", "a/../../secret.tif", "."])
def test_names_that_lead_out_of_the_folder_are_not_followed(tmp_path, name):
    write_image(tmp_path / "secret.tif")
    write_image(tmp_path / "images" / "a" / "x.tif")
    name = name.format(tmp_path.as_posix())
    write_results(tmp_path / "results", [plane_row(name, 0.1)])
    copies = plan(tmp_path)
    assert copies.wanted == []
    assert [*copies.outside, *copies.missing] == [name]
    copy_files(copies)
    assert not (tmp_path / "kept").exists()


@pytest.mark.skipif(os.name == "nt", reason="links take rights there")
def test_a_link_does_not_lead_a_copy_out_of_its_folder(folder):
    (folder / "kept").mkdir()
    (folder / "elsewhere").mkdir()
    (folder / "kept" / "a").symlink_to(folder / "elsewhere")
    with pytest.raises(FileError, match="is a link that leads out"):
        plan(folder)
    assert list((folder / "elsewhere").iterdir()) == []


def test_a_folder_of_ome_zarr_is_copied_whole(tmp_path):
    image = tmp_path / "images" / "x.zarr"
    (image / "0").mkdir(parents=True)
    (image / ".zattrs").write_text("{}")
    (image / ".zgroup").write_text("{}")
    (image / "0" / "0.0").write_bytes(b"pixels")
    size_bytes, modified = identity(image)
    row = plane_row("x.zarr", 0.1, size_bytes=size_bytes, modified=modified)
    write_results(tmp_path / "results", [row])
    copy_files(plan(tmp_path))
    assert copied(tmp_path) == ["x.zarr/.zattrs", "x.zarr/.zgroup", "x.zarr/0/0.0"]
    assert len(plan(tmp_path).present) == 1


def test_a_copy_that_fails_leaves_nothing_behind(folder):
    copies = plan(folder)
    copies.wanted[1].source.unlink()
    with pytest.raises(FileError, match=r"good\.tif: cannot be written"):
        copy_files(copies)
    assert copied(folder) == ["a/good.tif"]
