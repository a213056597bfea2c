"""Pictures: what is drawn, where, and what they do not overwrite."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from microscope_quality.errors import FileError
from microscope_quality.files.pictures import Legend, is_picture, subject_of_picture, write_picture


def picture(height, width):
    return np.random.default_rng(5).integers(0, 256, (height, width, 3)).astype(np.uint8)


def holds(canvas, part):
    """Whether a picture lies somewhere in a larger one, pixel for pixel."""
    height, width = part.shape[:2]
    for y, x in np.argwhere((canvas == part[0, 0]).all(axis=2)):
        area = canvas[y : y + height, x : x + width]
        if area.shape == part.shape and (area == part).all():
            return True
    return False


@pytest.mark.parametrize("shape", [(700, 500), (600, 900)])
def test_the_plane_is_in_the_picture_unchanged(tmp_path, shape):
    drawn = picture(*shape)
    path = tmp_path / "new" / "a.png"
    write_picture(path, drawn, title="a.tif", verdict="Level 3")
    with Image.open(path) as image:
        canvas = np.asarray(image)
    assert holds(canvas, drawn)
    assert is_picture(path)
    assert list(path.parent.iterdir()) == [path]


def test_a_small_plane_is_magnified_by_a_whole_number(tmp_path):
    drawn = picture(84, 120)
    write_picture(tmp_path / "a.png", drawn, title="a", verdict="b")
    with Image.open(tmp_path / "a.png") as image:
        assert holds(np.asarray(image), drawn.repeat(4, axis=0).repeat(4, axis=1))


def test_a_long_name_does_not_widen_the_picture(tmp_path):
    sizes = set()
    for title in ("a.tif", "x" * 1000 + ".tif", "two\nlines.tif", "名前.tif", ""):
        write_picture(tmp_path / "a.png", picture(500, 600), title=title, verdict="Level 3")
        with Image.open(tmp_path / "a.png") as image:
            sizes.add(image.size)
    assert len(sizes) == 1


def test_only_own_pictures_are_replaced(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(picture(10, 10)).save(path)
    before = path.read_bytes()
    assert not is_picture(path)
    with pytest.raises(FileError, match=r"a\.png: is there already"):
        write_picture(path, picture(100, 100), title="a", verdict="b")
    assert path.read_bytes() == before
    path.unlink()
    write_picture(path, picture(100, 100), title="a", verdict="b")
    first = path.read_bytes()
    write_picture(path, picture(100, 100), title="other", verdict="b")
    assert path.read_bytes() != first


def test_what_cannot_be_written(tmp_path):
    (tmp_path / "overlays").write_text("a file where the folder should be")
    with pytest.raises(FileError, match="cannot be written"):
        write_picture(tmp_path / "overlays" / "a.png", picture(9, 9), title="a", verdict="b")


def test_a_picture_tells_its_subject(tmp_path):
    path = tmp_path / "a.png"
    write_picture(path, picture(9, 9), title="a", verdict="b", subject="名前 of plane 3")
    assert subject_of_picture(path) == "名前 of plane 3"
    Image.fromarray(picture(9, 9)).save(path)
    assert subject_of_picture(path) == ""


def test_a_legend_stands_below_the_plane(tmp_path):
    drawn = picture(500, 600)
    legend = Legend(lambda height: np.full((height, 200, 3), 77, np.uint8), "a", "b", "c", "d", 3)
    write_picture(tmp_path / "with.png", drawn, title="a", verdict="b", legend=legend)
    write_picture(tmp_path / "without.png", drawn, title="a", verdict="b")
    with Image.open(tmp_path / "with.png") as one, Image.open(tmp_path / "without.png") as other:
        assert holds(np.asarray(one), drawn)
        assert holds(np.asarray(one), np.full((44, 200, 3), 77, np.uint8))
        assert one.height > other.height
        assert one.width == other.width


def test_what_is_no_picture_is_not_one(tmp_path):
    (tmp_path / "a.png").write_bytes(b"text")
    assert not is_picture(tmp_path / "a.png")
    assert not is_picture(tmp_path / "missing.png")
