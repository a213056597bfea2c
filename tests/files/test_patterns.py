"""Patterns name what glob names, and end where links lead in circles."""

import glob
import inspect
import os
import sys

import pytest

from microscope_quality.files import patterns
from microscope_quality.files.images import find

TREE = (
    *(
        "a.tif",
        "b2.TIF",
        "B.tif",
        "b[1].tif",
        "note.txt",
        ".hidden.tif",
        "p/a_w1.tif",
        "p/a_w2.tif",
    ),
    *("p/q/b_w1.tif", "p/q/r/s/deep.tif", "p/.cache/c.tif", ".x/d.tif", "p10/a.tif", "p2/a.tif"),
    *("empty/", "p/q/.r/e.tif"),
)
PATTERNS = (
    *(
        "*",
        "*.tif",
        "?.tif",
        "[ab]*.tif",
        "[!a]*",
        "**",
        "**/*",
        "**/*.tif",
        "p*/*.tif",
        "*/*",
        "*/",
    ),
    *(
        "p/**",
        "p/**/*_w1.tif",
        "**/q/**/*.tif",
        "**/r/*",
        ".*",
        "*/.*/*",
        "p/.*/*",
        ".x/*",
        "p/../*.tif",
    ),
    *("./*.tif", "p/q/../*", "b[[]1].tif", "**/**/*.tif", "nothing*", "no/*.tif", "a.tif/*", "**/"),
    *("p//*.tif", "p[0-9]*/a.tif", "*.tif/", "gone*", "**/gone.tif", "a**.tif", "**.tif"),
)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    for name in TREE:
        path = tmp_path / name
        if name.endswith("/"):
            path.mkdir()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "gone.tif").symlink_to("nowhere")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def normal(names):
    return sorted({os.path.normpath(name) for name in names if name})


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_same_names_as_glob(tree, pattern):
    for start in ("", f"{tree}/"):
        found = patterns.matching(start + pattern)
        assert len(found) == len(set(found))
        expected = glob.glob(start + pattern, recursive=True)  # noqa: PTH207 - also of absolute patterns
        assert normal(found) == normal(expected)


def test_each_real_folder_is_entered_once(tree):
    for name in ("l1", "l2", "l3", "p/up"):
        (tree / name).symlink_to(tree)
    found = patterns.matching("**/*.tif")
    own = {name for name in TREE if name.endswith(".tif") and "/." not in f"/{name}"}
    assert sorted(found) == sorted(own | {"gone.tif"})


def test_links_out_of_the_folder_are_followed(tree, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "x.tif").touch()
    (other / "back").symlink_to(tree)
    (tree / "link").symlink_to(other)
    assert "link/x.tif" in patterns.matching("**/*.tif")


def test_natural_order_through_find(tree):
    names = [name for name, _ in find(["p*/a*.tif"])]
    assert names == ["p2/a.tif", "p10/a.tif", "p/a_w1.tif", "p/a_w2.tif"]


def test_folders_deeper_than_calls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "/".join("d" * 200)).mkdir(parents=True)
    (tmp_path / "/".join("d" * 200) / "x.tif").touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 50)
    try:
        found = patterns.matching("**/*.tif")
    finally:
        sys.setrecursionlimit(limit)
    assert found == ["d/" * 200 + "x.tif"]


def test_links_in_circles_match_each_folder_once_for_each_part_of_a_pattern(tmp_path):
    (tmp_path / "a.tif").touch()
    for k in range(200):
        (tmp_path / f"l{k}").symlink_to(".")
    assert len(patterns.matching(f"{tmp_path}/*/*/*/*.tif")) == 1
    assert len(patterns.matching(f"{tmp_path}/**/*/*/*.tif")) == 1
