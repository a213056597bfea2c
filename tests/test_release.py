"""What a release hands out, installed as its pages say, where nothing else is.

MICROSCOPE_QUALITY_DIST names a folder that ``.ci/release`` filled before; else it is run here.
"""

import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hosts import central_jar, java, missing

from microscope_quality.plugins.cellprofiler import MODULES
from microscope_quality.version import __version__

pytestmark = pytest.mark.release

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "docs" / "sample"
GIVEN = "MICROSCOPE_QUALITY_DIST"
WHEEL = f"microscope_quality-{__version__}-py3-none-any.whl"
SDIST = f"microscope_quality-{__version__}.tar.gz"
JAR = f"Microscope_Quality-{__version__}.jar"
DROPIN = f"microscope-quality-cellprofiler-{__version__}"
BLOCKS = dict(
    re.findall(
        r"<!-- (\w+) -->\n```sh\n(.*?)```",
        (ROOT / "docs" / "install.md").read_text(encoding="utf-8"),
        re.DOTALL,
    )
)


def run(*command, cwd):
    """Run a program as a user does, without what the tests have in their surroundings."""
    own = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    environment = {key: value for key, value in os.environ.items() if key not in own}
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-8000:]}"
    return done.stdout


def rows_of(table):
    with Path(table).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    if os.environ.get(GIVEN):
        return Path(os.environ[GIVEN]).resolve()
    java()
    if shutil.which("mvn") is None:
        missing("Maven and a JDK: apt-get install maven default-jdk")
    folder = tmp_path_factory.mktemp("release") / "dist"
    run(sys.executable, ROOT / ".ci" / "release", "--to", folder, cwd=folder.parent)
    return folder


def test_all_files_are_there_with_their_checksums(dist):
    lines = (dist / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    sums = {name: checksum for checksum, name in map(str.split, lines)}
    assert sums.keys() == {WHEEL, SDIST, JAR, f"{DROPIN}.zip"}
    assert {path.name for path in dist.iterdir()} == {*sums, "SHA256SUMS"}
    for name, checksum in sums.items():
        data = (dist / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == checksum, name
        assert len(data) < 5_000_000, name
    if shutil.which("sha256sum"):
        assert run("sh", "-ec", BLOCKS["checksums"], cwd=dist).count(": OK") == 4


# Python


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(request, dist, tmp_path_factory):
    """A folder with the downloaded file, where the page's first commands were given."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copy(dist / {"wheel": WHEEL, "sdist": SDIST}[request.param], folder)
    # "python3" is the Python of the tests.
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to(sys.executable)
    commands = f'PATH="{folder}/bin:$PATH"\n{BLOCKS[request.param]}'
    printed = run("bash", "-ec", commands, cwd=folder)
    assert printed.splitlines()[-1] == f"microscope-quality {__version__}"
    return folder


def test_python_measures_the_sample(installed):
    shutil.copytree(SAMPLE, installed / "images")
    run("bash", "-ec", BLOCKS["measure"], cwd=installed)
    status = {
        (Path(row["file"]).name, row["z"]): row["status"]
        for row in rows_of(installed / "results" / "results.csv")
    }
    # Seven images and a stack of eight planes.
    assert len(status) == 7 + 8
    assert status["A01_s1_dna.tif", ""] == "in_focus"
    assert status["A02_s1_dna.tif", ""] == "out_of_focus"
    assert status["A02_s2_dna.tif", ""] == "mixed"
    assert status["B02_s1_dna.tif", ""] == "no_content"
    assert "</html>" in (installed / "results" / "report.html").read_text(encoding="utf-8")


def test_python_brings_the_plugins_along(installed, dist):
    app = installed / "Fiji.app"
    for inside in ("plugins", "jars"):
        (app / inside).mkdir(parents=True)
    run("bash", "-ec", BLOCKS["plugins"], cwd=installed)
    assert (app / "plugins" / JAR).read_bytes() == (dist / JAR).read_bytes()
    assert len(list(app.glob("scripts/Plugins/Microscope_Quality/Python/*.py"))) == 5
    with zipfile.ZipFile(dist / f"{DROPIN}.zip") as packed:
        for name in packed.namelist():
            inside = Path(name).relative_to(DROPIN)
            if inside.name != "README.txt" and inside.parts[0] != "example":
                assert (installed / "focus-plugin" / inside).read_bytes() == packed.read(name), name


# CellProfiler


def test_the_zip_is_one_folder_that_says_how_to_install_it(dist):
    with zipfile.ZipFile(dist / f"{DROPIN}.zip") as packed:
        names = packed.namelist()
        assert names == sorted(names)
        assert {name.split("/")[0] for name in names} == {DROPIN}
        assert len({entry.date_time for entry in packed.infolist()}) == 1
        beside = {name.split("/")[1] for name in names}
        readme = packed.read(f"{DROPIN}/README.txt").decode()
    assert beside == {"README.txt", "example", "microscope_quality", *MODULES}
    assert readme.startswith(f"MeasureImageFocus and MeasureImageQualityScore {__version__}")
    assert "CellProfiler plugins directory" in readme


def bare_cellprofiler():
    """Find a CellProfiler whose Python has no library of ours."""
    folder = os.environ.get("CELLPROFILER_HOSTS")
    for version in ("3.8", "3.9", "3.11"):
        python = Path(folder, version, "bin", "python") if folder else Path()
        if python.is_file():
            find = "import importlib.util as u; print(u.find_spec('microscope_quality'))"
            if run(python, "-c", find, cwd=python.parent).strip() == "None":
                return python
    return missing(
        "CellProfiler 4.2.8.1 without this library: run "
        "tests/cellprofiler_plugins/install_host.sh and set CELLPROFILER_HOSTS to its folder"
    )


def test_the_zip_in_a_bare_cellprofiler(dist, tmp_path):
    python = bare_cellprofiler()
    with zipfile.ZipFile(dist / f"{DROPIN}.zip") as packed:
        packed.extractall(tmp_path)
    example = tmp_path / DROPIN / "example"
    out = tmp_path / "out"
    out.mkdir()
    for name, images in (("focus", "images"), ("quality", "micrographs")):
        command = [python, "-m", "cellprofiler", "-c", "-r", "-p", example / f"{name}.cppipe"]
        command += ["-i", example / images, "-o", out]
        run(*command, "--plugins-directory", tmp_path / DROPIN, cwd=tmp_path)
    good = [int(row["ImageQualityScore_Good_EM"]) for row in rows_of(out / "Quality_Image.csv")]
    assert len(good) == len(list((example / "micrographs").glob("*.tif")))
    assert set(good) == {0, 1}
    in_focus = {
        row["FileName_DNA"]: float(row["ImageFocus_InFocus_DNA"])
        for row in rows_of(out / "Focus_Image.csv")
    }
    assert in_focus == {
        "A01_s1_dna.tif": 1,
        "A01_s2_dna.tif": 1,
        "A02_s1_dna.tif": 0,
        "A02_s2_dna.tif": 0,
        "B02_s1_dna.tif": 0,
    }


# ImageJ

MACRO = """
open(getArgument());
run("Measure Focus...", "planes=current overlay");
print("measured: " + getResultString("status", 0) + " " + Overlay.size);
"""


def test_the_jar_in_a_bare_imagej(dist, tmp_path):
    program, imagej = java(), central_jar("net.imagej:ij:1.54p")
    if shutil.which("xvfb-run") is None:
        missing("a screen: apt-get install xvfb")
    (tmp_path / "plugins").mkdir()
    shutil.copy(dist / JAR, tmp_path / "plugins")
    (tmp_path / "measure.ijm").write_text(MACRO)
    command = ["xvfb-run", "-a", program, f"-Duser.home={tmp_path}", f"-Dplugins.dir={tmp_path}"]
    command += ["-cp", imagej, "ij.ImageJ", "-batch", tmp_path / "measure.ijm"]
    for name, status in (("A01_s1_dna.tif", "in_focus"), ("A02_s1_dna.tif", "out_of_focus")):
        printed = run(*command, SAMPLE / name, cwd=tmp_path)
        said = re.search(r"^measured: (\w+) (\d+)$", printed, re.MULTILINE)
        assert said, printed
        assert said.group(1) == status
        assert int(said.group(2)) > 0
