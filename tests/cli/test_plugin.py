"""``microscope-quality plugin``: what it says, and its exit codes."""

import subprocess
import sys


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "microscope_quality", "plugin", *map(str, arguments)],
        capture_output=True,
        text=True,
    )


def test_the_module_is_installed_and_removed(tmp_path):
    folder = tmp_path / "plugins"
    done = command("cellprofiler", "--to", folder)
    assert done.returncode == 0, done.stderr
    for name in ("_patch_module", "measureimagefocus", "measureimagequalityscore"):
        assert (folder / f"{name}.py").is_file()
    assert "MeasureImageFocus and MeasureImageQualityScore are in" in done.stdout
    assert str(folder) in done.stdout
    assert "Restart CellProfiler" in done.stdout
    again = command("cellprofiler", "--to", folder)
    assert again.returncode == 0, again.stderr
    removed = command("cellprofiler", "--to", folder, "--remove")
    assert removed.returncode == 0, removed.stderr
    assert "files removed" in removed.stdout
    assert list(folder.iterdir()) == []


def test_refusals_say_why_and_exit_with_2(tmp_path):
    (tmp_path / "measureimagefocus.py").write_text("mine")
    done = command("cellprofiler", "--to", tmp_path)
    assert done.returncode == 2
    assert "was not written by this command" in done.stderr
    assert "Traceback" not in done.stderr
    done = command("cellprofiler", "--to", tmp_path, "--remove")
    assert done.returncode == 2
    assert "nothing that this command installed" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["measureimagefocus.py"]


def test_fiji_gets_its_menu_and_loses_it_again(tmp_path):
    app = tmp_path / "Fiji.app"
    (app / "plugins").mkdir(parents=True)
    (app / "jars").mkdir()
    done = command("fiji", "--to", app)
    assert (app / "scripts/Plugins/Microscope_Quality/Python/Measure_Focus.py").is_file()
    # Whether the jar was built is not this test's business, but it must be told.
    jars = list((app / "plugins").glob("Microscope_Quality-*.jar"))
    assert done.returncode == (0 if jars else 1), done.stderr
    assert bool(jars) == ("Restart Fiji: Plugins > Microscope Quality." in done.stdout)
    assert bool(jars) != ("is not installed, for it was not built" in done.stderr)
    removed = command("fiji", "--to", app, "--remove")
    assert removed.returncode == 0, removed.stderr
    assert sorted(path.name for path in app.iterdir()) == ["jars", "plugins"]
    refused = command("fiji", "--to", tmp_path)
    assert refused.returncode == 2
    assert "is no Fiji and no ImageJ" in refused.stderr
    assert "Traceback" not in refused.stderr
