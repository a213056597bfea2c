"""The plugin as it is built: its own tests pass, and the jar is what ImageJ expects."""

import json
import shutil
import struct
import subprocess
import zipfile

import fiji_vectors
import pytest
from hosts import missing
from typer.testing import CliRunner

from microscope_quality.cli.app import app
from microscope_quality.model import available_models

pytestmark = pytest.mark.host

PLUGIN = fiji_vectors.ROOT / "fiji_bridge" / "plugin"
JAVA_8 = 52


def require(*programs):
    lacking = [program for program in programs if shutil.which(program) is None]
    if lacking:
        names = " and ".join(lacking)
        missing(f"{names}, of Debian's packages default-jdk, maven and xvfb")


def run(*command):
    done = subprocess.run(
        command, cwd=PLUGIN, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "compact.zip"
    done = CliRunner().invoke(app, ["models", "export-fiji", "compact", "--to", str(path)])
    assert done.exit_code == 0, done.output
    return path


@pytest.fixture(scope="module")
def jar(exported):
    require("java", "mvn")
    run("mvn", "-q", "-B", "clean", "package", f"-Dexported.model={exported}")
    jars = list((PLUGIN / "target").glob("*.jar"))
    assert len(jars) == 1
    return jars[0]


def test_the_jar_is_small_and_for_java_8(jar):
    folders = [available_models()[name] for name in ("compact", "em")]
    files = [folder / name for folder in folders for name in ("model.json", "weights.npz")]
    assert jar.stat().st_size < sum(file.stat().st_size for file in files) + 300_000
    # ImageJ takes a jar for a plugin by the underscore in its name.
    assert "_" in jar.name
    with zipfile.ZipFile(jar) as packed:
        names = packed.namelist()
        classes = [name for name in names if name.endswith(".class")]
        assert classes
        for name in classes:
            assert name.startswith("quality/microscope/focus/")
            assert struct.unpack(">H", packed.read(name)[6:8])[0] == JAVA_8, name
        assert "META-INF/LICENSE" in names


@pytest.mark.parametrize(("model", "place"), [("compact", "model"), ("em", "rater")])
def test_the_jar_holds_the_default_models_as_they_are(jar, model, place):
    with zipfile.ZipFile(jar) as packed:
        for name in ("model.json", "weights.npz"):
            stored = packed.read(f"quality/microscope/focus/{place}/{name}")
            assert stored == (available_models()[model] / name).read_bytes()
        description = packed.read(f"quality/microscope/focus/{place}/model.json")
    assert json.loads(description)["name"] == model


def test_each_menu_entry_has_its_class(jar):
    with zipfile.ZipFile(jar) as packed:
        lines = packed.read("plugins.config").decode().splitlines()
        entries = [line.split(", ") for line in lines if line and not line.startswith("#")]
        assert [entry[1] for entry in entries] == [
            '"Measure Focus..."',
            '"Find Best Focus Plane..."',
            '"Focus of ROIs..."',
            '"Measure Folder..."',
            '"Rate Image..."',
            '"Rate Folder..."',
        ]
        for menu, _, name in entries:
            assert menu == "Plugins>Microscope Quality"
            assert name.replace(".", "/") + ".class" in packed.namelist()


def test_a_real_window(jar, tmp_path):
    """All commands by menu and dialog, in ImageJ on a screen in memory."""
    require("Xvfb")
    said = run("./screenshots.sh", str(tmp_path))
    assert "All as it should be." in said
    pictures = {path.stem for path in tmp_path.glob("*.png")}
    dialogs = {"menu", "dialog", "help", "folder-dialog", "rate-dialog"}
    assert pictures == {*dialogs, "measure", "maps", "stack", "rois", "folder", "rate"}
