"""The Python of the page *In Fiji*, run as it stands there."""

import os
import re
import warnings

import jpype


def test_the_examples_work(pytestconfig, sample, tmp_path, monkeypatch, capsys):
    page = (pytestconfig.rootpath / "docs" / "fiji.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 4
    monkeypatch.chdir(tmp_path)
    jpype.JClass("ij.measure.ResultsTable").getResultsTable().reset()
    (tmp_path / "sample").symlink_to(sample)
    (tmp_path / "micrographs").symlink_to(sample.parent / "micrographs")
    # The only stand-in: ImageJ without the rest of Fiji, and a stack with its pixel size.
    (jar,) = re.findall(r"[^:]*/ij-1\.54p\.jar", os.environ["FIJI_BRIDGE_CLASS_PATH"])
    (tmp_path / "ij.jar").symlink_to(jar)
    text = "\n".join(examples).replace('"Fiji.app"', '"ij.jar"')
    calibrated = (
        "image.getCalibration().setUnit('micron')\n"
        "image.getCalibration().pixelWidth = image.getCalibration().pixelHeight = 0.65\n"
    )
    text = text.replace("optics = fiji", calibrated + "optics = fiji")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This is ImageJ 1.54p alone")
        exec(compile(text, "fiji.md", "exec"), {})
    first, second, third, fourth = capsys.readouterr().out.strip().splitlines()
    assert first.endswith("in_focus")
    assert second == "sharpest: slice 4 in_focus"
    (told,) = re.findall(r"result\.defocus_um\)  # ([\d.]+):", page)
    assert f"{float(third):.1f}" == told
    assert fourth.endswith(" astigmatism restigmate")
    assert (tmp_path / "measured.tif").is_file()
    assert (tmp_path / "measured.csv").read_text().startswith(" ,file,z,c,t,width,")
