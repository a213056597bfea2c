"""Files measured from Python: rows of values, what is kept, and how a run ends."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import coded
import numpy as np
import pytest
import tifffile
from command_line import counts, environment, heed_ctrl_c, run, table, texts, unchecked

import microscope_quality
from microscope_quality import (
    Focus,
    FocusModel,
    MeasuredFiles,
    MicroscopeQualityError,
    Optics,
    Settings,
    measure_files,
    measure_focus,
    measure_stack,
)
from microscope_quality.errors import (
    ArgumentError,
    FileError,
    MissingLibraryError,
    OpticsError,
    SettingsError,
)
from microscope_quality.files.columns import names
from microscope_quality.measuring.classical import Classical


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "coded"
    coded.write(folder)
    return str(folder)


STACK = np.stack([coded.plane([[k] * 2] * 2) for k in (3, 0, 4)])


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Four files in their order: an image, one that is none, a z-stack, an image."""
    folder = tmp_path_factory.mktemp("original")
    tifffile.imwrite(folder / "a1.tif", coded.plane(coded.FOCUSED))
    (folder / "a2.tif").write_bytes(b"nothing")
    tifffile.imwrite(folder / "a3.tif", STACK, imagej=True, metadata={"axes": "ZYX"})
    tifffile.imwrite(folder / "a10.tif", coded.plane(coded.MIXED))
    return folder


@pytest.fixture
def plate(original, tmp_path):
    return shutil.copytree(original, tmp_path / "plate")


@pytest.fixture(scope="module")
def whole(original, model):
    """The rows of all of it."""
    return list(measure_files(original, model=model))


def status(out):
    return json.loads((out / "run.json").read_text(encoding="utf-8"))["status"]


def nobody_at_work():
    return not multiprocessing.active_children()


def test_rows_are_those_of_the_table_in_the_order_of_the_files(plate, model, tmp_path):
    out = tmp_path / "out"
    rows = list(measure_files([plate], model=model, out=out, jobs=2))
    assert texts(rows) == unchecked(table(out / "results.csv"))
    assert [row["file"] for row in rows] == ["a1.tif", "a2.tif", *["a3.tif"] * 3, "a10.tif"]
    assert [bool(row["error"]) for row in rows] == [False, True, False, False, False, False]
    # What is measured anew comes between what is kept.
    tifffile.imwrite(plate / "a2.tif", coded.plane(coded.BLURRED))
    again = list(measure_files([plate], model=model, out=out))
    assert texts(again) == unchecked(table(out / "results.csv"))
    assert [row for row in again if row["file"] != "a2.tif"] == [*rows[:1], *rows[2:]]
    assert counts(out)["measured"] == 1
    # Without a folder they are the same to six digits, and nothing is written.
    before = sorted(tmp_path.rglob("*"))
    assert texts(measure_files(plate, model=model)) == texts(again)
    assert sorted(tmp_path.rglob("*")) == before


def test_values_are_those_of_the_array(plate, model, whole):
    rows = {(row["file"], row["z"]): row for row in whole}
    result = measure_focus(coded.plane(coded.FOCUSED), model)
    row = rows["a1.tif", None]
    for name, value in result.to_row().items():
        if isinstance(value, float) and math.isnan(value):
            assert row[name] is None
        else:
            assert row[name] == value
    assert {name: type(row[name]) for name in ("level", "width", "size_bytes", "certainty")} == {
        "level": int,
        "width": int,
        "size_bytes": int,
        "certainty": float,
    }
    assert row["size_bytes"] == (plate / "a1.tif").stat().st_size
    assert row["error"] is row["well"] is row["defocus_um"] is None
    failed = rows["a2.tif", None]
    assert failed["error"].startswith("is not a TIFF")
    assert failed["level"] is failed["status"] is None
    assert [z for name, z in rows if name == "a3.tif"] == [0, 1, 2]


@pytest.mark.long
def test_the_command_goes_on_where_it_stopped_and_the_other_way_round(plate, model, tmp_path):
    out = tmp_path / "out"
    with measure_files(plate, model=model, out=out) as measured:
        next(iter(measured))
    assert status(out) == "interrupted"
    run("measure", plate, "--model", model, "--out", out, "--jobs", 1, code=1)
    assert counts(out)["kept"] == 1
    rows = list(measure_files(plate, model=model, out=out))
    assert texts(rows) == unchecked(table(out / "results.csv"))
    assert counts(out) == {**counts(out), "kept": 3, "measured": 1}
    run("verify", out)


@pytest.mark.long
@pytest.mark.parametrize("n_rows", [1, 3, 4])
def test_whoever_stops_asking_keeps_what_is_done(plate, model, whole, tmp_path, n_rows):
    """In the middle of a z-stack, too."""
    whole = texts(whole)
    out = tmp_path / "out"
    measured = measure_files(plate, model=model, out=out)
    rows = iter(measured)
    first = [next(rows) for _ in range(n_rows)]
    assert not (out / "results.csv").exists()
    measured.close()
    assert nobody_at_work()
    assert status(out) == "interrupted"
    assert unchecked(table(out / "results.csv.part")) == texts(first) == whole[:n_rows]
    # What was given stays; what was not is not there.
    assert next(iter(measured)) == first[0]
    for ask in (measured.to_dataframe, measured.stacks, lambda: list(measured)):
        with pytest.raises(SettingsError, match=f"{n_rows} rows? had been given.*goes on from"):
            ask()
    assert texts(measure_files(plate, model=model, out=out)) == whole
    assert status(out) == "finished"
    # A row with an error is no measurement that is kept.
    assert counts(out)["measured"] == len(whole) - n_rows + (n_rows > 1)
    assert table(out / "stacks.csv")[0]["best_z"] == "1"


def test_a_loop_that_is_left_ends_the_processes(plate, model, tmp_path):
    for _ in measure_files(plate, model=model, out=tmp_path / "out", jobs=2):
        assert not nobody_at_work()
        break
    assert nobody_at_work()
    assert status(tmp_path / "out") == "interrupted"


def test_it_is_gone_through_more_than_once(plate, model):
    measured = measure_files(plate, model=model)
    assert nobody_at_work()
    assert repr(measured) == "<MeasuredFiles: 4 files, 0 rows so far>"
    first = next(iter(measured))
    assert repr(measured) == "<MeasuredFiles: 4 files, 1 row so far>"
    # Two that go through it at a time have the same rows.
    pairs = list(zip(measured, measured))
    assert len(pairs) == 6
    assert all(one == other for one, other in pairs)
    assert pairs[0][0] == first
    assert [path.name for path in measured.files] == ["a1.tif", "a2.tif", "a3.tif", "a10.tif"]
    list(measured)
    assert repr(measured) == "<MeasuredFiles: 4 files, 6 rows>"
    measured.close()
    assert len(list(measured)) == 6


def test_a_table_for_pandas(plate, model, tmp_path):
    pandas = pytest.importorskip("pandas")
    from microscope_quality.files.tables import RESULTS

    measured = measure_files(plate, model=model, out=tmp_path / "out")
    found = measured.to_dataframe()
    assert [*found.columns] == [*names(measured.settings.columns()[RESULTS])][:-1]
    assert found["file"].tolist() == [row["file"] for row in measured]
    kinds = found.dtypes.astype(str)
    wanted = {"z": "Int64", "level": "Int64", "certainty": "float64", "status": "string"}
    assert {name: kinds[name] for name in wanted} == wanted
    assert found["level"].isna().tolist() == [False, True, False, False, False, False]
    assert found["error"].notna().sum() == 1
    # What pandas reads from the table is the same.
    read = pandas.read_csv(tmp_path / "out" / "results.csv")
    for name in ("expected_level", "p3", "contrast"):
        assert found[name].tolist() == pytest.approx(read[name].tolist(), nan_ok=True)
    modified = found["modified"].iloc[0]
    written = (plate / "a1.tif").stat().st_mtime_ns
    assert pandas.Timestamp(modified) == pandas.Timestamp(written, tz="UTC")
    # Asked for once more, it is there.
    pandas.testing.assert_frame_equal(measured.to_dataframe(), found)


def test_without_pandas_nothing_is_measured_before_that_is_said(plate, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    measured = measure_files(plate, model=model)
    with pytest.raises(MissingLibraryError, match="pip install pandas"):
        measured.to_dataframe()
    assert repr(measured).endswith("0 rows so far>")


@pytest.mark.parametrize("folder", ["out", None])
def test_stacks_have_their_best_plane(plate, model, tmp_path, folder):
    out = folder and tmp_path / folder
    (stack,) = measure_files(plate, model=model, out=out).stacks()
    found = measure_stack(STACK, model)
    assert (stack["file"], stack["best_z"], stack["planes"]) == ("a3.tif", found.best_plane, 3)
    assert stack["best_position"] == pytest.approx(found.best_position, rel=1e-5)
    assert stack["well"] is None
    if out is not None:
        assert texts([stack]) == unchecked(table(out / "stacks.csv"))


@pytest.mark.long
def test_arguments_are_those_of_the_command(plate, model, tmp_path):
    """As told by what both write into the record of a run."""

    def settings(out):
        return json.loads((out / "run.json").read_text(encoding="utf-8"))["settings"]

    text = "na=0.5,n=1,wavelength_um=0.5,pixel_size_um=0.5"
    options = ("--measures", "focus,classical", "--optics", text, "--in-focus-limit", 2)
    options += ("--pattern", r"a(?P<site>\d+)", "--layout", "none", "--luminance", "--per-patch")
    options += ("--rescale", "--exclude", "a2.tif", "--model", model, "--jobs", 1)
    run("measure", plate, "--out", tmp_path / "command", *options)
    measured = measure_files(
        str(plate),
        out=str(tmp_path / "python"),
        measures=["focus", "classical"],
        optics=Optics.parse(text),
        in_focus_limit=2,
        pattern=r"a(?P<site>\d+)",
        layout="none",
        luminance=True,
        per_patch=True,
        rescale=True,
        exclude="a2.tif",
        model=pathlib.Path(model),
        jobs=1,
        limit_memory="4GB",
    )
    rows = list(measured)
    assert settings(tmp_path / "python") == settings(tmp_path / "command")
    for name in ("results.csv", "stacks.csv", "patches.csv"):
        assert table(tmp_path / "python" / name) == table(tmp_path / "command" / name)
    assert [row["site"] for row in rows] == ["1", "3", "3", "3", "10"]
    assert rows[0]["defocus_um"] > 0
    assert rows[0]["tenengrad"] > 0
    (sampled,) = measure_files(plate / "a1.tif", model=model, sample=4, seed=3)
    assert sampled["places"] == 4
    # Of optics, files may tell the rest.
    (row,) = measure_files(plate / "a1.tif", model=model, optics={"na": 0.5})
    assert row["defocus_um"] is None


def test_a_measure_of_ones_own_is_said_in_settings(plate, model):
    settings = Settings(measures=(Focus(model=model),), luminance=True)
    measured = measure_files(plate / "a1.tif", settings)
    assert measured.settings is settings
    assert [row["status"] for row in measured] == ["in_focus"]
    with pytest.raises(SettingsError, match="in_focus_limit must be said in `settings`"):
        measure_files(plate, settings, in_focus_limit=2)


@pytest.mark.long
def test_progress_ends_where_all_pages_are_done(plate, model, tmp_path):
    for seen in ([], []):

        def progress(done, of, seen=seen):
            seen.append((done, of))

        list(measure_files(plate, model=model, out=tmp_path / "out", progress=progress))
        assert seen[0] == (0, 4)
        assert seen[-1][0] == seen[-1][1]
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pattern": "(?P<well>"}, "pattern is no regular expression"),
        ({"pattern": r"\d"}, "pattern needs named groups"),
        ({"measures": ()}, "measures must be"),
        ({"measures": (Focus(), Focus(rescale=True))}, "measures must be different ones"),
        ({"measures": (Focus(rescale="yes"),)}, "rescale must be auto, on, off"),
        ({"measures": (Focus(in_focus_limit=11),)}, "in_focus_limit is 11"),
        ({"measures": (Focus(sample=3),)}, "sample must be a whole number"),
    ],
)
def test_wrong_settings_are_refused_at_once(plate, tmp_path, changes, said):
    with pytest.raises(SettingsError, match=f"^{said}"):
        measure_files(plate, Settings(**changes), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pattern_that_matches_nothing_is_refused_before_anything_is_made(plate, tmp_path):
    measured = measure_files(plate, pattern="(?P<well>Z99)", out=tmp_path / "out")
    with pytest.raises(SettingsError, match="^pattern matches no name"):
        list(measured)
    assert not (tmp_path / "out").exists()


CODED = FocusModel(coded.description(), coded.weights())
PLANE = coded.plane(coded.FOCUSED)


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"paths": PLANE}, ArgumentError, "not an array of shape.*measure_focus takes arrays"),
        ({"paths": None}, ArgumentError, "paths must be those of files or folders.*not None"),
        ({"paths": [PLANE]}, ArgumentError, "Each of the paths must be a path.*not an array"),
        ({"paths": []}, SettingsError, "there is none among them"),
        ({"paths": "nowhere.tif"}, FileError, "There is no file or folder nowhere.tif"),
        ({"out": "x.csv"}, SettingsError, "out must be a folder.*'x.csv' is named as a file"),
        ({"out": 5}, ArgumentError, "out must be a path"),
        ({"jobs": 0}, SettingsError, "jobs must be a whole number from 1, not 0"),
        ({"jobs": "2"}, ArgumentError, "jobs must be a whole number"),
        ({"again": "no"}, ArgumentError, "again must be True or False"),
        ({"measures": "sharpness"}, SettingsError, "known are focus, classical"),
        ({"measures": [Classical()]}, ArgumentError, "measures must be a text"),
        ({"measures": "classical", "model": "compact"}, SettingsError, "model is a setting of"),
        ({"model": CODED}, ArgumentError, "model must be the name or folder of a model.*FocusMod"),
        ({"model": "nope"}, MicroscopeQualityError, "There is no model named 'nope'"),
        ({"optics": "na=0.5"}, ArgumentError, "optics must be an Optics, or a dict.*parse"),
        ({"optics": {"NA": 0.5}}, OpticsError, "Optics have na, .*there is no 'NA'"),
        ({"optics": {"na": "x"}}, OpticsError, "na must be a number, not 'x'"),
        ({"rescale": 1}, ArgumentError, "rescale must be auto, on, off, True or False, not 1"),
        ({"rescale": "yes"}, SettingsError, "rescale must be auto, on, off"),
        ({"in_focus_limit": "2"}, ArgumentError, "in_focus_limit must be a number"),
        ({"sample": 2.5}, ArgumentError, "sample must be a whole number"),
        ({"seed": -1}, SettingsError, "seed must be a whole number"),
        ({"luminance": 0}, ArgumentError, "luminance must be True or False"),
        ({"pattern": 5}, ArgumentError, "pattern must be a text"),
        ({"layout": "foo"}, SettingsError, "layout 'foo' is unknown"),
        ({"layout": 5}, ArgumentError, "layout must be a text"),
        ({"exclude": 5}, ArgumentError, "exclude must be a sequence of patterns"),
        ({"exclude": [5]}, ArgumentError, "exclude must be a text"),
        ({"per_patch": True}, SettingsError, "per_patch needs `out`"),
        ({"limit_memory": 4}, ArgumentError, "limit_memory must be a text"),
        ({"limit_memory": "1kB"}, SettingsError, "limit_memory is 1kB"),
        ({"progress": 5}, ArgumentError, "progress must be callable"),
        ({"settings": {"luminance": True}}, ArgumentError, "settings must be a Settings"),
    ],
)
def test_misuse_is_a_sentence_at_once(plate, arguments, kind, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=said):
        measure_files(**{"paths": plate, **arguments})
    assert [path.name for path in tmp_path.iterdir()] == ["plate"]


def test_a_folder_that_is_named_as_a_file_may_be_one(plate, model, tmp_path):
    (tmp_path / "x.csv").mkdir()
    list(measure_files(plate, model=model, out=tmp_path / "x.csv"))
    assert (tmp_path / "x.csv" / "results.csv").exists()


def test_a_folder_in_use_is_refused_with_the_first_row(plate, model, tmp_path):
    out = tmp_path / "out"
    with measure_files(plate, model=model, out=out) as first:
        next(iter(first))
        second = measure_files(plate, model=model, out=out)
        with pytest.raises(FileError, match="another run"):
            list(second)
    assert len(list(measure_files(plate, model=model, out=out))) == 6


SCRIPT = """\
import sys
from microscope_quality import measure_files
folder, out, model = sys.argv[1:]
for row in measure_files(folder, model=model, out=out, jobs=2):
    print(row["file"], row["z"], row["status"] or row["error"])
"""


@pytest.mark.long
@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_plain_script_measures_and_goes_on(plate, model, tmp_path, way):
    """Without a guard against being run by the processes that it starts."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    words = [sys.executable, script if way == "file" else "-", plate, tmp_path / "out", model]
    said = [
        subprocess.run(
            [*map(str, words)],
            env=environment(),
            input=SCRIPT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for _ in range(2)
    ]
    assert said[0] == said[1]
    assert said[0][0] == "a1.tif None in_focus"
    assert said[0][2:5] == ["a3.tif 0 out_of_focus", "a3.tif 1 in_focus", "a3.tif 2 out_of_focus"]
    assert counts(tmp_path / "out")["kept"] == 3


def test_a_script_measures_by_a_measure_of_its_own(plate, tmp_path):
    """Which processes find in the script, that says by itself where it begins."""
    script = tmp_path / "script.py"
    script.write_text(
        "import dataclasses, sys\n"
        "from microscope_quality import Settings, measure_files\n"
        "from microscope_quality.files.columns import Column\n"
        "from microscope_quality.measuring.measure import Measure, Result\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class Largest(Measure):\n"
        "    name, title, value = 'largest', 'Largest', 'largest'\n"
        "    columns = (Column('largest', 'number', 'Largest'), Column('status'))\n"
        "    def run(self, plane):\n"
        "        return Result({'largest': plane.array.max(), 'status': 'measured'})\n"
        "if __name__ == '__main__':\n"
        "    for row in measure_files(sys.argv[1], Settings((Largest(),)), jobs=2):\n"
        "        print(row['file'], row['largest'])\n",
        encoding="utf-8",
    )
    words = [sys.executable, str(script), str(plate)]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["a1.tif 200.0", "a2.tif None"]


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_the_processes_and_keeps_what_is_done(plate, model, tmp_path):
    for number in range(40):
        shutil.copy(plate / "a1.tif", plate / f"b{number}.tif")
    script = (
        "import sys, multiprocessing\n"
        "from microscope_quality import measure_files\n"
        "folder, out, model = sys.argv[1:]\n"
        "measured = measure_files(folder, model=model, out=out, jobs=2)\n"
        "try:\n"
        "    for row in measured:\n"
        "        print(row['file'], flush=True)\n"
        "        sys.stdin.readline()\n"
        "except KeyboardInterrupt:\n"
        "    del row, measured\n"
        "    print('left', len(multiprocessing.active_children()))\n"
    )
    out = tmp_path / "out"
    words = [sys.executable, "-c", script, str(plate), str(out), model]
    with subprocess.Popen(
        words,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    ) as process:
        assert process.stdout.readline() == "a1.tif\n"
        time.sleep(0.2)
        os.kill(process.pid, signal.SIGINT)
        assert process.communicate()[0] == "left 0\n"
    assert status(out) == "interrupted"
    assert [row["file"] for row in table(out / "results.csv.part")] == ["a1.tif"]


def test_all_that_a_user_needs_is_imported_from_the_package():
    for name in microscope_quality.__all__:
        assert getattr(microscope_quality, name) is not None, name
    assert set(microscope_quality.__all__) <= set(dir(microscope_quality))
    assert microscope_quality.measure_files is measure_files
    assert isinstance(measure_files(__file__), MeasuredFiles)
    with pytest.raises(AttributeError, match="has no attribute 'measure_file'"):
        microscope_quality.measure_file  # noqa: B018


def test_modules_alone_say_that_files_take_the_whole_library(tmp_path):
    """As in the folder for CellProfiler: the modules, and none of what is beside them."""
    package = pathlib.Path(microscope_quality.__file__).parent
    (tmp_path / "microscope_quality").mkdir()
    for module in package.glob("*.py"):
        shutil.copy(module, tmp_path / "microscope_quality")
    code = (
        "import sys\n"
        # An installation for developers finds the rest wherever it is asked for.
        "sys.meta_path = [one for one in sys.meta_path if 'editable' not in repr(one).lower()]\n"
        "import microscope_quality\n"
        "assert microscope_quality.__file__.startswith(sys.argv[1])\n"
        "assert microscope_quality.Camera and microscope_quality.measure_classical\n"
        "try:\n"
        "    from microscope_quality import measure_files\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environment(PYTHONPATH=str(tmp_path)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("measure_files takes the whole library: pip install")
    assert "microscope_quality.measuring is missing" in done.stdout


def test_to_import_the_package_takes_numpy_and_scipy_alone():
    code = (
        "import sys; before = set(sys.modules)\n"
        "import microscope_quality\n"
        "known = {*sys.stdlib_module_names, 'numpy', 'scipy', 'microscope_quality'}\n"
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before} - known))\n"
        "print([name for name in sys.modules if name.count('.') == 2 and 'quality.' in name])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    foreign, folders = done.stdout.splitlines()
    assert folders == "[]"
    # SciPy brings these in some versions, and Cython's modules.
    assert {name for name in eval(foreign) if not name.startswith(("_", "cython"))} == set()
