"""Starting ImageJ from Python, each time in a process of its own."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hosts import central_jar, java, missing

pytestmark = pytest.mark.host

IJ = "net.imagej:ij:1.54p"
SAMPLE = Path(__file__).parents[2] / "docs" / "sample" / "A01_s1_dna.tif"


@pytest.fixture(autouse=True)
def host():
    java()
    try:
        import imagej  # noqa: F401
    except ImportError:
        missing("PyImageJ: pip install 'microscope-quality[fiji]'")


def python(script, *arguments, **environment):
    # Nothing may be fetched: a proxy that nobody listens at would be noticed.
    closed = dict.fromkeys(
        ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"
    )
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys, warnings, fiji_bridge\n{script}",
            *map(str, arguments),
        ],
        env={**os.environ, **closed, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


MEASURE = """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    host = fiji_bridge.start({argument})
print(host.version)
print(host.gateway)
print(host.missing)
print([str(w.message) == host.missing for w in caught if "ImageJ" in str(w.message)])
import jpype
image = jpype.JClass("ij.IJ").openImage(sys.argv[-1])
result = fiji_bridge.measure(image)
fiji_bridge.show(image, result)
print(result.status, image.getOverlay().size() > 0)
print(jpype.JClass("java.awt.GraphicsEnvironment").isHeadless())
"""


def check_alone(done, reason=""):
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line]
    version, gateway, said, warned, status, headless = lines[-6:]
    assert (version, gateway, warned, headless) == ("1.54p", "None", "[True]", "True")
    assert reason in said
    assert "This is ImageJ 1.54p alone: ij.ImagePlus, its overlays, tables and macros are" in said
    assert "start(download=True) fetches them" in said
    assert status == "in_focus True"


def test_a_jar():
    done = python(MEASURE.format(argument="sys.argv[1]"), central_jar(IJ), SAMPLE)
    check_alone(done)


def test_the_folder_of_an_imagej(tmp_path):
    (tmp_path / "ij.jar").symlink_to(central_jar(IJ))
    (tmp_path / "plugins").mkdir()
    check_alone(python(MEASURE.format(argument="sys.argv[1]"), tmp_path, SAMPLE))


@pytest.fixture
def app(tmp_path):
    """A folder like Fiji's, without ImageJ2."""
    folder = tmp_path / "Fiji.app"
    (folder / "plugins").mkdir(parents=True)
    (folder / "jars").mkdir()
    shutil.copy(central_jar(IJ), folder / "jars")
    return folder


def test_a_fiji_without_what_pyimagej_needs(app):
    done = python(MEASURE.format(argument="sys.argv[1]"), app, SAMPLE)
    check_alone(done, "PyImageJ needs imglib2-imglyb, which this Fiji lacks: start(fiji, download")


def test_a_fiji_that_pyimagej_cannot_start(app):
    with zipfile.ZipFile(app / "jars" / "imglib2-imglyb-1.1.0.jar", "w") as jar:
        jar.writestr("empty", "")
    done = python(MEASURE.format(argument="sys.argv[1]"), app, SAMPLE)
    check_alone(done, "PyImageJ could not start: ")


def test_pyimagej_that_was_imported_before():
    prepare = "import imagej\n"
    done = python(prepare + MEASURE.format(argument="sys.argv[1]"), central_jar(IJ), SAMPLE)
    check_alone(done)


def test_the_class_path():
    prepare = "import scyjava\nscyjava.config.add_classpath(sys.argv[1])\n"
    done = python(prepare + MEASURE.format(argument=""), central_jar(IJ), SAMPLE)
    check_alone(done)


def test_a_java_that_runs_already():
    prepare = (
        "import scyjava\nscyjava.config.set_java_constraints(fetch='never')\n"
        "scyjava.config.add_option('-Djava.awt.headless=true')\n"
        "scyjava.config.add_classpath(sys.argv[1])\nscyjava.start_jvm()\n"
    )
    done = python(prepare + MEASURE.format(argument=""), central_jar(IJ), SAMPLE)
    check_alone(done)


REFUSED = """
try:
    fiji_bridge.start({argument})
except {error} as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("argument", "error", "said"),
    [
        ("", "ValueError", "There is no ImageJ to start: give the folder of a Fiji"),
        ("'/nowhere/Fiji.app'", "OSError", "/nowhere/Fiji.app does not exist"),
        ("sys.argv[1]", "OSError", "is no Fiji and no ImageJ"),
        ("sys.argv[1], download=True", "OSError", "is no Fiji and no ImageJ"),
    ],
)
def test_what_is_missing_is_said(argument, error, said, tmp_path):
    done = python(REFUSED.format(argument=argument, error=error), tmp_path, CLASSPATH="")
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


def test_a_java_without_imagej():
    prepare = (
        "import scyjava\nscyjava.config.set_java_constraints(fetch='never')\nscyjava.start_jvm()\n"
    )
    done = python(prepare + REFUSED.format(argument="", error="ValueError"))
    assert "Java runs in this process without ImageJ" in done.stdout, done.stderr


def test_no_java_is_fetched(tmp_path):
    script = REFUSED.format(argument="sys.argv[1]", error="Exception")
    done = python(script, central_jar(IJ), JAVA_HOME=str(tmp_path), PATH="", HOME=str(tmp_path))
    # Where a Java lies in a place of the system's, it is found all the same.
    assert done.returncode == 0, done.stderr
    assert "Java could not be started" in done.stdout or not done.stdout
    assert not (tmp_path / ".cache").exists()
    assert not (tmp_path / ".jgo").exists()
