"""The plugin and the menu scripts in the folder of a Fiji or ImageJ."""

from pathlib import Path

import pytest

from microscope_quality.errors import FileError
from microscope_quality.plugins import fiji

SCRIPTS = [
    f"scripts/Plugins/Microscope_Quality/Python/{name}.py"
    for name in (
        "Find_Best_Plane",
        "Measure_Focus",
        "Measure_Folder",
        "Rate_Image",
        "Synthesize_Defocus_Set",
    )
]


def listed(folder):
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


@pytest.fixture
def app(tmp_path):
    """A folder like Fiji's."""
    folder = tmp_path / "Fiji.app"
    for inside in ("plugins", "jars", "scripts/Plugins"):
        (folder / inside).mkdir(parents=True)
    (folder / "jars" / "ij-1.54p.jar").write_bytes(b"")
    (folder / "scripts" / "Plugins" / "Mine.py").write_text("mine")
    return folder


@pytest.fixture
def bridge(tmp_path, monkeypatch):
    """The repository's folder with a jar in it, as after a build."""
    copy = tmp_path / "fiji_bridge"
    for name in SCRIPTS:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((fiji._BRIDGE / name).read_bytes())
    target = copy / "plugin" / "target"
    target.mkdir(parents=True)
    (target / "Microscope_Quality-0.1.0.jar").write_bytes(b"jar")
    (target / "Microscope_Quality-0.1.0-sources.jar").write_bytes(b"no")
    monkeypatch.setattr(fiji, "_BRIDGE", copy)
    monkeypatch.chdir(tmp_path)
    return copy


def test_scripts_and_jar_come_and_go(app, bridge):
    before = listed(app)
    written = fiji.install(app)
    jar = "plugins/Microscope_Quality-0.1.0.jar"
    assert [path.relative_to(app).as_posix() for path in written] == sorted([jar, *SCRIPTS])
    assert listed(app) == sorted([*before, jar, *SCRIPTS, fiji.RECORD])
    assert (app / jar).read_bytes() == b"jar"
    fiji.remove(app)
    assert listed(app) == before
    assert (app / "plugins").is_dir()


def test_a_newer_jar_takes_the_place_of_the_older(app, bridge):
    fiji.install(app)
    target = bridge / "plugin" / "target"
    (target / "Microscope_Quality-0.1.0.jar").unlink()
    (target / "Microscope_Quality-0.2.0.jar").write_bytes(b"new")
    fiji.install(app)
    assert [path.name for path in (app / "plugins").iterdir()] == ["Microscope_Quality-0.2.0.jar"]


def test_without_a_jar_there_are_the_scripts(app, bridge):
    (bridge / "plugin" / "target" / "Microscope_Quality-0.1.0.jar").unlink()
    assert fiji.jar() is None
    written = fiji.install(app)
    assert [path.relative_to(app).as_posix() for path in written] == SCRIPTS


def test_a_jar_built_in_a_checkout_is_found_there(app, bridge, tmp_path, monkeypatch):
    bridge.rename(tmp_path / "packaged")
    monkeypatch.setattr(fiji, "_BRIDGE", tmp_path / "packaged")
    (tmp_path / "packaged" / "plugin" / "target" / "Microscope_Quality-0.1.0.jar").unlink()
    target = tmp_path / "fiji_bridge" / "plugin" / "target"
    target.mkdir(parents=True)
    (target / "Microscope_Quality-0.1.0.jar").write_bytes(b"built")
    fiji.install(app)
    assert (app / "plugins" / "Microscope_Quality-0.1.0.jar").read_bytes() == b"built"


def test_imagej_alone_gets_the_jar_alone(tmp_path, bridge):
    folder = tmp_path / "ImageJ"
    (folder / "plugins").mkdir(parents=True)
    (folder / "ij.jar").write_bytes(b"")
    fiji.install(folder)
    assert listed(folder) == [
        "ij.jar",
        fiji.RECORD,
        "plugins/Microscope_Quality-0.1.0.jar",
    ]
    fiji.remove(folder)
    assert listed(folder) == ["ij.jar"]
    (bridge / "plugin" / "target" / "Microscope_Quality-0.1.0.jar").unlink()
    with pytest.raises(FileError, match="no jar to install: .*mvn -f"):
        fiji.install(folder)


def test_a_jar_put_there_by_hand_is_left(app, bridge):
    mine = app / "plugins" / "Microscope_Quality-0.1.0.jar"
    mine.write_bytes(b"other")
    with pytest.raises(FileError, match="was not written by this command"):
        fiji.install(app)
    assert mine.read_bytes() == b"other"
    assert not (app / fiji.RECORD).exists()


@pytest.mark.parametrize("inside", [(), ("plugins",), ("jars",), ("plugins", "images")])
def test_other_folders_are_refused(tmp_path, inside):
    for name in inside:
        (tmp_path / name).mkdir()
    with pytest.raises(FileError, match=r"is no Fiji and no ImageJ: .* Nothing was written"):
        fiji.install(tmp_path)
    assert listed(tmp_path) == []


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(FileError, match="is no folder"):
        fiji.install(tmp_path / "Fiji.app")
    assert not (tmp_path / "Fiji.app").exists()


def test_the_app_inside_fijis_folder_is_not_it(tmp_path):
    (tmp_path / "Fiji" / "plugins").mkdir(parents=True)
    (tmp_path / "Fiji" / "Fiji.app" / "Contents").mkdir(parents=True)
    with pytest.raises(FileError, match=r"Did you mean .*Fiji\?"):
        fiji.install(tmp_path / "Fiji" / "Fiji.app")


def test_a_launcher_will_do(tmp_path, bridge):
    (tmp_path / "app" / "plugins").mkdir(parents=True)
    (tmp_path / "app" / "fiji-linux-x64").write_bytes(b"")
    assert fiji.install(tmp_path / "app")


def test_the_real_scripts_are_there():
    assert set(SCRIPTS) <= set(fiji.files())
    assert Path(fiji._BRIDGE).name == "fiji_bridge"
