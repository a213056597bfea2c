"""Files in another program's folder: what is written, what is left alone, what goes away."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from microscope_quality.errors import FileError
from microscope_quality.plugins import cellprofiler, dropin

ROOT = Path(__file__).parents[2]
RECORD = "package/record.json"
FILES = {"module.py": b"1\n", "package/one.py": b"one\n", "package/data/two.txt": b"two\n"}


def listed(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def test_what_is_installed_can_be_removed(tmp_path):
    target = tmp_path / "new" / "plugins"
    written = dropin.install(FILES, target, RECORD)
    assert sorted(path.relative_to(target).as_posix() for path in written) == sorted(FILES)
    assert listed(target) == sorted([*FILES, RECORD])
    for name, data in FILES.items():
        assert (target / name).read_bytes() == data
    dropin.remove(target, RECORD)
    assert list(target.iterdir()) == []


def test_files_of_others_stay(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "theirs.py").write_text("theirs")
    (tmp_path / "package" / "theirs.txt").write_text("theirs")
    dropin.install(FILES, tmp_path, RECORD)
    dropin.remove(tmp_path, RECORD)
    assert listed(tmp_path) == ["package/theirs.txt", "theirs.py"]


def test_what_python_compiled_goes_too(tmp_path):
    dropin.install(FILES, tmp_path, RECORD)
    for place in (tmp_path, tmp_path / "package"):
        (place / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "module.cpython-38.pyc").write_bytes(b"")
    (tmp_path / "__pycache__" / "theirs.cpython-38.pyc").write_bytes(b"")
    (tmp_path / "package" / "__pycache__" / "one.cpython-38.pyc").write_bytes(b"")
    dropin.remove(tmp_path, RECORD)
    assert listed(tmp_path) == ["__pycache__/theirs.cpython-38.pyc"]
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("name", ["module.py", "package/data/two.txt"])
def test_a_file_that_is_not_its_own_is_not_overwritten(tmp_path, name):
    place = tmp_path / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("mine")
    with pytest.raises(FileError, match=f"{place} was not written by this command"):
        dropin.install(FILES, tmp_path, RECORD)
    assert listed(tmp_path) == [name]
    assert place.read_text() == "mine"


def test_a_file_that_was_changed_is_neither_replaced_nor_removed(tmp_path):
    dropin.install(FILES, tmp_path, RECORD)
    changed = tmp_path / "package" / "one.py"
    changed.write_text("better")
    before = listed(tmp_path)
    for act in (
        lambda: dropin.install({**FILES, "package/one.py": b"new\n"}, tmp_path, RECORD),
        lambda: dropin.remove(tmp_path, RECORD),
    ):
        with pytest.raises(FileError, match=f"{changed} was"):
            act()
        assert listed(tmp_path) == before
        assert changed.read_text() == "better"


def test_a_newer_version_replaces_an_older_one(tmp_path):
    dropin.install(FILES, tmp_path, RECORD)
    newer = {"module.py": b"2\n", "package/three.py": b"three\n"}
    dropin.install(newer, tmp_path, RECORD)
    assert listed(tmp_path) == sorted([*newer, RECORD])
    assert (tmp_path / "module.py").read_bytes() == b"2\n"
    dropin.remove(tmp_path, RECORD)
    assert listed(tmp_path) == []


def test_files_that_are_equal_by_chance_are_not_its_own(tmp_path):
    (tmp_path / "module.py").write_bytes(FILES["module.py"])
    with pytest.raises(FileError, match=r"module\.py was not written"):
        dropin.install(FILES, tmp_path, RECORD)
    assert listed(tmp_path) == ["module.py"]


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
@pytest.mark.parametrize("then", ["install", "remove", "install the older one"])
def test_an_interruption_can_be_mended(tmp_path, monkeypatch, stop, then):
    older = {**FILES, "package/old.py": b"old\n"}
    newer = {**FILES, "module.py": b"2\n", "package/new.py": b"new\n"}
    dropin.install(older, tmp_path, RECORD)
    replace, calls = dropin._replace, []

    def interrupted(place, data, beside):
        calls.append(place)
        if len(calls) > stop:
            raise KeyboardInterrupt
        replace(place, data, beside)

    with monkeypatch.context() as patched:
        patched.setattr(dropin, "_replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            dropin.install(newer, tmp_path, RECORD)
    if then == "remove":
        dropin.remove(tmp_path, RECORD)
        assert listed(tmp_path) == []
    else:
        files = newer if then == "install" else older
        dropin.install(files, tmp_path, RECORD)
        assert listed(tmp_path) == sorted([*files, RECORD])


def test_nothing_is_removed_where_nothing_was_installed(tmp_path):
    (tmp_path / "module.py").write_text("mine")
    with pytest.raises(FileError, match=r"record\.json is missing"):
        dropin.remove(tmp_path, RECORD)
    assert listed(tmp_path) == ["module.py"]


@pytest.mark.parametrize(
    "name",
    ["../outside.txt", "/etc/passwd", "a/../../outside.txt", "C:/outside.txt", "..\\outside.txt"],
)
def test_a_record_that_points_elsewhere_is_refused(tmp_path, name):
    target = tmp_path / "plugins"
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    dropin.install(FILES, target, RECORD)
    (target / RECORD).write_text(json.dumps({"files": {name: ["0"]}}))
    for act in (
        lambda: dropin.remove(target, RECORD),
        lambda: dropin.install(FILES, target, RECORD),
    ):
        with pytest.raises(FileError, match="outside its folder"):
            act()
    assert outside.read_text() == "mine"


@pytest.mark.parametrize("text", ["{", "[]", '{"files": 3}', "{}"])
def test_a_damaged_record_is_named(tmp_path, text):
    dropin.install(FILES, tmp_path, RECORD)
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(FileError, match=r"record\.json is no record"):
        dropin.remove(tmp_path, RECORD)
    assert (tmp_path / "module.py").exists()


def test_a_linked_file_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_bytes(FILES["module.py"])
    target = tmp_path / "plugins"
    target.mkdir()
    (target / "module.py").symlink_to(elsewhere)
    with pytest.raises(FileError, match=r"module\.py is a link"):
        dropin.install(FILES, target, RECORD)
    assert elsewhere.read_bytes() == FILES["module.py"]


def test_a_linked_folder_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    dropin.install(FILES, elsewhere, RECORD)
    target = tmp_path / "plugins"
    target.mkdir()
    (target / "package").symlink_to(elsewhere / "package")
    (target / "module.py").write_bytes(FILES["module.py"])
    before = listed(elsewhere)
    for act in (dropin.remove, lambda *given: dropin.install(FILES, *given)):
        with pytest.raises(FileError, match="package is a link"):
            act(target, RECORD)
    assert listed(elsewhere) == before


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    place = tmp_path / "plugins"
    place.write_text("mine")
    with pytest.raises(FileError, match="plugins"):
        dropin.install(FILES, place, RECORD)
    assert place.read_text() == "mine"


# CellProfiler's folder


def test_the_folder_holds_modules_library_models_and_licence(tmp_path):
    cellprofiler.install(tmp_path)
    found = listed(tmp_path)
    # CellProfiler takes every file beside the modules for one, but for a leading underscore.
    assert [name for name in found if "/" not in name] == [
        "_patch_module.py",
        "measureimagefocus.py",
        "measureimagequalityscore.py",
    ]
    assert set(cellprofiler.MODULES) == {
        path.name for path in cellprofiler.plugin_folder().glob("*.py")
    }
    assert {
        "microscope_quality/__init__.py",
        "microscope_quality/focus.py",
        "microscope_quality/pretrained/compact/model.json",
        "microscope_quality/pretrained/compact/weights.npz",
        "microscope_quality/rater.py",
        "microscope_quality/pretrained/em/model.json",
        "microscope_quality/pretrained/em/weights.npz",
        "microscope_quality/LICENSE.txt",
    } <= set(found)
    assert "Apache License" in (tmp_path / "microscope_quality/LICENSE.txt").read_text()
    from microscope_quality.version import __version__

    told = (tmp_path / "microscope_quality/README.txt").read_text()
    assert f"MeasureImageFocus and MeasureImageQualityScore {__version__}" in told
    assert all(name in told for name in cellprofiler.MODULES)
    assert sum((tmp_path / name).stat().st_size for name in found) < 2_500_000
    cellprofiler.remove(tmp_path)
    assert listed(tmp_path) == []


def test_the_library_in_the_folder_measures_by_itself(tmp_path):
    folder = tmp_path / "plugins"
    cellprofiler.install(folder)
    script = (
        "import numpy, microscope_quality\n"
        "plane = numpy.random.default_rng(0).integers(0, 99, (100, 100))\n"
        "print(microscope_quality.__file__)\n"
        "print(microscope_quality.measure_focus(plane).status)\n"
        "from microscope_quality.rater import rate_image\n"
        "print(rate_image(plane).status)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    where, *statuses = done.stdout.split()
    assert Path(where).is_relative_to(folder)
    assert statuses == ["no_content", "too_small"]


@pytest.mark.parametrize("place", ["", "cellprofiler_plugins"])
def test_the_library_does_not_install_over_itself(tmp_path, place):
    checkout = tmp_path / "checkout"
    for name in ("microscope_quality", "cellprofiler_plugins", "pretrained"):
        shutil.copytree(ROOT / name, checkout / name)
    for name in ("LICENSE", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout)
    before = listed(checkout)
    command = [sys.executable, "-B", "-m", "microscope_quality", "plugin", "cellprofiler"]
    done = subprocess.run(
        [*command, "--to", str(checkout / place)],
        cwd=checkout,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "is where this library itself lies" in done.stderr
    assert listed(checkout) == before


def test_the_older_module_is_not_overwritten(tmp_path):
    (tmp_path / "measureimagefocus.py").write_text("# the older module")
    with pytest.raises(FileError, match=r"measureimagefocus\.py was not written"):
        cellprofiler.install(tmp_path)
    assert listed(tmp_path) == ["measureimagefocus.py"]


@pytest.mark.parametrize("name", cellprofiler.MODULES)
def test_the_modules_are_python_3_8(name):
    import ast

    source = (cellprofiler.plugin_folder() / name).read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 8))


@pytest.mark.parametrize("lacking", ["measureimagequalityscore.py", "em"])
def test_an_installation_that_lacks_a_part_writes_nothing(lacking, tmp_path, monkeypatch):
    parts = tmp_path / "parts"
    shutil.copytree(ROOT / "cellprofiler_plugins", parts)
    (parts / lacking).unlink(missing_ok=True)
    models = {
        name: folder for name, folder in cellprofiler.available_models().items() if name != lacking
    }
    monkeypatch.setattr(cellprofiler, "plugin_folder", lambda: parts)
    monkeypatch.setattr(cellprofiler, "available_models", lambda: models)
    with pytest.raises(FileError, match=f"This installation lacks .*{lacking}; install it anew"):
        cellprofiler.install(tmp_path / "plugins")
    assert not (tmp_path / "plugins").exists()
