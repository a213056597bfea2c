"""The measure command: what its options do to the tables, and how it refuses."""

from __future__ import annotations

import re
import subprocess

import coded
import numpy as np
import pytest
import tifffile
from command_line import command, counts, environment, measure, run, table
from PIL import Image

from microscope_quality.files.columns import names
from microscope_quality.focus import measure_focus
from microscope_quality.measuring.settings import Settings
from microscope_quality.optics import Optics
from microscope_quality.spectrum import HINT


def test_a_folder_becomes_a_table(plate, model, tmp_path):
    out = tmp_path / "out"
    subprocess.run(
        command("measure", plate, "--model", model, "--out", out, "--per-patch"),
        check=True,
        env=environment(),
        capture_output=True,
    )
    results = table(out / "results.csv")
    assert tuple(results[0]) == names(Settings().columns()["results.csv"])
    assert [row["file"] for row in results] == [
        "A01_s1.tif",
        "A02_s1.tif",
        "day 2/B10_s2.tif",
        "day 2/B11_s2.png",
    ]
    assert [row["status"] for row in results] == ["in_focus", "out_of_focus", "mixed", "no_content"]
    # The numbers are the library's own, to six digits.
    for row in results:
        plane = tifffile.imread if row["file"].endswith("tif") else Image.open
        result = measure_focus(np.asarray(plane(plate / row["file"])), model)
        for name, value in result.to_row().items():
            if name == "status":
                assert row[name] == value
            elif np.isnan(value):
                assert row[name] == ""
            else:
                assert float(row[name]) == pytest.approx(value, rel=1e-5, abs=1e-300)
        assert row["error"] == row["z"] == row["c"] == row["t"] == row["series"] == ""
    assert results[1]["level"] == "8"

    patches = table(out / "patches.csv")
    assert tuple(patches[0]) == names(Settings().columns()["patches.csv"])
    assert len(patches) == 4 + 4 + 12 + 4
    second = [row for row in patches if row["file"] == "A02_s1.tif"]
    assert [(row["y"], row["x"], row["level"]) for row in second] == [
        ("0", "0", "8"),
        ("0", "84", "8"),
        ("84", "0", "8"),
        ("84", "84", "8"),
    ]
    assert not (out / "stacks.csv").exists()
    assert not list(out.glob("*.part"))


def test_results_do_not_depend_on_jobs(plate, model, tmp_path):
    for i in range(6):
        tifffile.imwrite(plate / f"C{i}.tif", coded.plane([[i, i + 1], [i, i]]))
    tables = []
    for jobs in (1, 3):
        out = tmp_path / f"out{jobs}"
        measure(plate, "--model", model, "--out", out, "--per-patch", "--jobs", jobs)
        tables.append([(out / name).read_bytes() for name in ("results.csv", "patches.csv")])
    assert tables[0] == tables[1]


def test_without_out_nothing_is_written(plate, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    screen = measure(plate, "--model", model)
    assert sorted(tmp_path.rglob("*")) == before
    for words in ("A02_s1.tif", "out of focus", "mixed", "no content"):
        assert words in screen


@pytest.mark.long
def test_names_give_plate_and_well(plate, model, tmp_path):
    pattern = r"(?P<well>[A-P]\d\d)_s(?P<site>\d)"
    measure(plate, "--model", model, "--out", tmp_path / "out", "--pattern", pattern)
    found = [(r["plate"], r["well"], r["site"]) for r in table(tmp_path / "out" / "results.csv")]
    assert found == [("", "A01", "1"), ("", "A02", "1"), ("", "B10", "2"), ("", "B11", "2")]
    # What is not in the name is looked for in the path.
    pattern = r"(?P<plate>[^/]+)/(?P<well>[A-P]\d\d)_"
    measure(plate, "--model", model, "--out", tmp_path / "out", "--pattern", pattern)
    found = [(r["plate"], r["well"]) for r in table(tmp_path / "out" / "results.csv")]
    assert found == [("plate", "A01"), ("plate", "A02"), ("day 2", "B10"), ("day 2", "B11")]
    # Nothing had to be measured again for that.
    assert counts(tmp_path / "out")["kept"] == 4
    screen = measure(plate, "--model", model, "--pattern", r"(?P<well>A\d\d)")
    assert "--pattern does not match 2 of 4 names" in screen
    assert "part of a number" not in screen
    pattern = r"(?P<well>[A-P]\d)"
    screen = measure(plate, "--model", model, "--pattern", pattern, "--overlay", "none")
    assert "--pattern takes a part of a number: well is A0 of 01 in A01_s1.tif" in screen


def test_optics_give_the_defocus(plate, model, tmp_path):
    text = "na=0.75,n=1,wavelength_um=0.52,pixel_size_um=0.325"
    measure(plate / "A02_s1.tif", "--model", model, "--out", tmp_path / "out", "--optics", text)
    (row,) = table(tmp_path / "out" / "results.csv")
    expected = Optics.parse(text).defocus_of_added_blur(float(row["blur_diameter_px"]))
    assert float(row["defocus_um"]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.long
def test_rescaling_is_the_librarys(plate, model, tmp_path):
    text = "na=0.5,n=1,wavelength_um=0.5,pixel_size_um=0.5"
    path = plate / "day 2" / "B10_s2.tif"
    measure(path, "--model", model, "--out", tmp_path / "out", "--optics", text, "--rescale")
    (row,) = table(tmp_path / "out" / "results.csv")
    result = measure_focus(tifffile.imread(path), model, optics=Optics.parse(text), rescale=True)
    assert float(row["expected_level"]) == pytest.approx(result.expected_level, rel=1e-5)
    assert row["width"] == str(84 * 4)


FINE = "na=1.4,n=1.515,wavelength_um=0.52,pixel_size_um=0.103"


@pytest.mark.long
def test_images_are_rescaled_by_themselves_when_their_optics_are_known(model, tmp_path):
    """Told by the file or the user; the option alone asks for it, wherever it stands."""
    plane = coded.plane([[1, 1], [1, 1]]).repeat(2, axis=0).repeat(2, axis=1)
    tifffile.imwrite(tmp_path / "a.tif", plane)
    text = OME.format(w=plane.shape[1], h=plane.shape[0], unit="", wave=' EmissionWavelength="520"')
    # 20x/0.75 with pixels of 0.2 µm.
    text = text.replace("0.325", "0.2")
    tifffile.imwrite(tmp_path / "b.ome.tif", plane, description=text, metadata=None)
    common = ("--model", model, "--out", tmp_path / "out", "--overlay", "none")

    def rows(*options):
        measure(tmp_path / "a.tif", tmp_path / "b.ome.tif", *common, *options)
        read = table(tmp_path / "out" / "results.csv")
        assert [*read[0]][-2:] == ["binning", "checksum"]
        return [(row["binning"], row["status"]) for row in read]

    assert rows()[1] == ("2", "in_focus")
    assert rows()[0][0] == "1"
    assert rows("--optics", FINE)[0] == ("2", "in_focus")
    assert rows("--optics", FINE, "--rescale", "off")[0][0] == "1"
    assert rows("--optics", FINE, "--rescale")[0] == ("2", "in_focus")
    assert rows("--rescale", "--optics", FINE)[0] == ("2", "in_focus")
    run("measure", "--rescale", tmp_path / "b.ome.tif", "--model", model)
    # On refuses what it cannot rescale.
    run("measure", tmp_path / "a.tif", tmp_path / "b.ome.tif", *common, "--rescale", code=1)
    one, other = table(tmp_path / "out" / "results.csv")
    assert "Rescaling is on, but the optics are not known" in one["error"]
    assert "tells na, n, wavelength_um, pixel_size_um." in one["error"]
    assert (one["binning"], one["level"], other["binning"]) == ("", "", "2")


@pytest.mark.long
def test_what_is_missing_to_rescale_is_named_where_it_would_matter(model, tmp_path):
    plane = coded.plane([[1, 1], [1, 1]])
    without_wave = OME.format(w=plane.shape[1], h=plane.shape[0], unit="", wave="")
    for name, pixel_um in (("coarse", "0.5"), ("fine", "0.2")):
        text = without_wave.replace("0.325", pixel_um)
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", plane, description=text, metadata=None)
    common = ("--model", model, "--overlay", "none")
    measure(tmp_path, *common, "--out", tmp_path / "out")
    coarse, fine = table(tmp_path / "out" / "results.csv")
    assert (coarse["message"], fine["binning"]) == ("", "1")
    assert "the file does not tell wavelength_um, which --optics can." in fine["message"]
    measure(tmp_path, *common, "--out", tmp_path / "out", "--optics", "wavelength_um=0.52")
    coarse, fine = table(tmp_path / "out" / "results.csv")
    assert (coarse["binning"], fine["binning"], fine["message"]) == ("1", "2", "")


def test_what_binning_leaves_too_small_says_so(model, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", coded.plane([[1]]))
    screen = measure(
        tmp_path / "a.tif", "--model", model, "--out", tmp_path / "out", "--optics", FINE
    )
    assert "too small" in screen
    (row,) = table(tmp_path / "out" / "results.csv")
    assert (row["status"], row["level"], row["error"], row["binning"]) == ("too_small", "", "", "2")
    assert "42 x 42 at the model's sampling" in row["message"]


@pytest.mark.parametrize(
    ("limit", "first", "second"),
    [
        (8.1, "in_focus", "in_focus"),
        (7.9, "in_focus", "out_of_focus"),
        # A level of 0.5, in between.
        (0.4, "out_of_focus", "out_of_focus"),
    ],
)
def test_the_limit_of_in_focus(plate, model, tmp_path, limit, first, second):
    measure(plate, "--model", model, "--out", tmp_path / "out", "--in-focus-limit", limit)
    statuses = [row["status"] for row in table(tmp_path / "out" / "results.csv")]
    assert statuses == [first, second, "mixed", "no_content"]


def test_colour_by_channel_or_by_luminance(model, tmp_path):
    planes = [coded.plane([[level] * 2] * 2).astype(np.uint8) for level in (0, 3, 9)]
    Image.fromarray(np.dstack(planes)).save(tmp_path / "a.png")
    measure(tmp_path / "a.png", "--model", model, "--out", tmp_path / "out")
    rows = table(tmp_path / "out" / "results.csv")
    assert [(row["c"], row["level"]) for row in rows] == [("0", "0"), ("1", "3"), ("2", "9")]
    measure(tmp_path / "a.png", "--model", model, "--out", tmp_path / "out", "--luminance")
    (row,) = table(tmp_path / "out" / "results.csv")
    assert row["c"] == ""


def test_stacks(model, tmp_path):
    levels = np.abs(np.arange(9)[:, np.newaxis] - [3, 20]).clip(0, 10)
    stack = np.stack([[coded.plane([[k] * 2] * 2) for k in row] for row in levels])
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "ZCYX"})
    tifffile.imwrite(tmp_path / "b.tif", coded.plane(coded.FOCUSED))
    measure(tmp_path, "--model", model, "--out", tmp_path / "out", "--jobs", 2)
    rows = table(tmp_path / "out" / "results.csv")
    assert [(r["z"], r["c"]) for r in rows] == [
        *((str(z), str(c)) for z in range(9) for c in range(2)),
        ("", ""),
    ]
    first, second = table(tmp_path / "out" / "stacks.csv")
    assert (first["file"], first["c"], first["t"]) == ("a.ome.tif", "0", "")
    assert first["best_z"] == "3"
    assert float(first["best_position"]) == pytest.approx(3, abs=0.2)
    assert first["status"] == "in_focus"
    # All planes are equally far out of focus: the middle one.
    assert (second["best_z"], second["best_position"]) == ("4", "4")
    assert second["status"] == "out_of_focus"
    # A run without stacks leaves no table of older ones.
    (tmp_path / "a.ome.tif").unlink()
    screen = measure(tmp_path, "--model", model, "--out", tmp_path / "out")
    assert "1 file that was measured before is not named now" in screen
    assert [row["file"] for row in table(tmp_path / "out" / "results.csv")] == ["b.tif"]
    assert not (tmp_path / "out" / "stacks.csv").exists()


def test_what_is_left_out_is_counted(plate, model, tmp_path):
    for name in ("a.txt", "b.TXT", "c.gif", "day 2/no ending", ".hidden.txt"):
        (plate / name).touch()
    screen = measure(plate, "--model", model, "--out", plate / "out", "--overlay", "none")
    assert "2 .txt, 1 .gif, 1 without one\n" in screen
    assert "Left out: 1" not in screen
    # The results' own folder is not searched.
    screen = measure(plate, "--model", model, "--out", plate / "out", "--overlay", "none")
    assert "2 .txt, 1 .gif, 1 without one\n" in screen


@pytest.mark.long
def test_best_planes_and_stacks_that_lack_planes_are_told(model, tmp_path):
    folder = tmp_path / "plate"
    folder.mkdir()
    arguments = ("--model", model, "--overlay", "none", "--best-plane", tmp_path / "best")
    for z, level in enumerate((coded.BLURRED, coded.FOCUSED, coded.BLURRED)):
        tifffile.imwrite(folder / f"r01c01f01p0{z}-ch1sk1fk1fl1.tiff", coded.plane(level))
        if z < 2:
            tifffile.imwrite(folder / f"r01c01f02p0{z}-ch1sk1fk1fl1.tiff", coded.plane(level))
    screen = measure(folder, *arguments, "--out", tmp_path / "out")
    assert "A z-stack has fewer planes than others of its channel: " in screen
    assert "r01c01f02p*-ch1sk1fk1fl1.tiff has 2 of 3.\n" in screen
    assert screen.endswith(": 2 best planes\n")
    screen = measure(folder, *arguments, "--out", tmp_path / "none", "--layout", "none")
    assert "There is no z-stack, and so no best plane: " in screen


@pytest.mark.long
def test_thumbnails_and_what_is_excluded_are_told(plate, model, tmp_path):
    (plate / "A01_s1_thumb.tif").touch()
    (plate / "Downsampled_x2").mkdir()
    (plate / "Downsampled_x2" / "A01_s1.tif").touch()
    arguments = ("--model", model, "--out", tmp_path / "out", "--overlay", "none")
    screen = measure(plate, *arguments, "--exclude", "*.png", "--exclude", "A01_*.tif")
    taken = [row["file"] for row in table(tmp_path / "out" / "results.csv")]
    assert taken == ["A02_s1.tif", "day 2/B10_s2.tif"]
    assert "Left out: 3 excluded images, " in screen
    assert "; 1 reduced copy (Downsampled_x…), Downsampled_x2/A01_s1.tif\n" in screen
    screen = measure(plate, *arguments, "--exclude", "[xy]*.tif")
    assert "--exclude leaves nothing out: [xy]*.tif\n" in screen
    screen = measure(plate, *arguments, "--exclude", "day 2/**")
    assert "leaves nothing out" not in screen
    for part in (
        "1 thumbnail (…_thumb)",
        "1 reduced copy (Downsampled_x…)",
        "2 excluded images",
    ):
        assert part in screen


def test_a_plane_that_is_damaged_costs_itself_only(model, tmp_path):
    """In the middle of a stack, whose other planes have their rows and their best one."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for k in (3, 2, 1, 0, 1):
            writer.write(coded.plane([[k] * 2] * 2), compression="deflate", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[2].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[offset : offset + 8] = b"\xff" * 8
    path.write_bytes(content)
    measure(path, "--model", model, "--out", tmp_path / "out", code=1)
    rows = table(tmp_path / "out" / "results.csv")
    assert [row["z"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [row["level"] for row in rows] == ["3", "2", "", "0", "1"]
    assert [bool(row["error"]) for row in rows] == [False, False, True, False, False]
    (stack,) = table(tmp_path / "out" / "stacks.csv")
    assert stack["best_z"] == "3"


def test_bad_files_are_rows_and_the_rest_goes_on(plate, model, tmp_path):
    good = (plate / "A01_s1.tif").read_bytes()
    (plate / "cut.tif").write_bytes(good[: len(good) // 2])
    (plate / "empty.png").touch()
    (plate / "folder.tif").mkdir()
    (plate / "link.tif").symlink_to("nowhere")
    (plate / "text.tif").write_text("hello")
    tifffile.imwrite(plate / "mask.tif", coded.plane(coded.FOCUSED) > 150)
    odd = 'we,ird "näme"\nof [red]a[bold] file.tif'
    (plate / odd).write_bytes(good)
    measure(plate, "--model", model, "--out", tmp_path / "out", "--jobs", 2, code=1)
    rows = {row["file"]: row for row in table(tmp_path / "out" / "results.csv")}
    assert len(rows) == 4 + 7
    bad = {name for name, row in rows.items() if row["error"]}
    assert bad == {"cut.tif", "empty.png", "folder.tif", "link.tif", "text.tif", "mask.tif"}
    for name in bad:
        filled = {column for column, value in rows[name].items() if value}
        filled -= {"size_bytes", "modified"}
        assert filled == {"file", "error", "settings_id", "checksum"}
        assert str(plate) not in rows[name]["error"]
    assert rows[odd]["level"] == rows["A01_s1.tif"]["level"]


def test_a_missing_file_beside_a_good_one_is_a_row(plate, model, tmp_path):
    measure(
        plate / "A01_s1.tif", plate / "gone.tif", "-o", tmp_path / "out", "--model", model, code=1
    )
    first, second = table(tmp_path / "out" / "results.csv")
    assert (first["error"], second["error"]) == ("", "does not exist")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.tif"], "There is no file or folder"),
        (["nothing*.tif"], "There is no image"),
        (["A01_s1.tif", "--rescale=yes"], "--rescale"),
        (["A01_s1.tif", "--rescale", "yes"], "--rescale"),
        (["A01_s1.tif", "--optics", "na=2,n=1"], "na must be below"),
        (["A01_s1.tif", "--optics", "na=0.5;n=1"], "na"),
        (
            ["A01_s1.tif", "--optics", "na=2,n=1,wavelength_um=1,pixel_size_um=1"],
            "na must be below",
        ),
        (["A01_s1.tif", "--per-patch"], "--per-patch needs --out"),
        (["A01_s1.tif", "--overlay", "all"], "--out"),
        (["A01_s1.tif", "--overlay", "some", "--out", "out"], "doubtful"),
        (["A01_s1.tif", "--pattern", "(?P<well>"], "--pattern is no regular expression"),
        (["A01_s1.tif", "--pattern", "(?P<well>Z99)"], "--pattern matches no name"),
        (["A01_s1.tif", "--pattern", r"\d"], "named groups"),
        (["A01_s1.tif", "--pattern", r"(?P<rows>\d)"], "plate, well, site, channel"),
        (["A01_s1.tif", "--jobs", "0"], "jobs"),
        (
            ["A01_s1.tif", "--in-focus-limit", "11"],
            "--in-focus-limit is 11, but the model's levels go from 0 to 10.",
        ),
        (["A01_s1.tif", "--measures", "focus,sharpness"], "--measures has 'sharpness'; known are"),
        (["A01_s1.tif", "--measures", "focus,focus"], "--measures must be different ones"),
        (["A01_s1.tif", "--file-memory", "10MB"], "--file-memory is 10MB; it has to be 100 MB"),
        (["A01_s1.tif", "--limit-memory", "10MB"], "--limit-memory is 10MB; it has to be 200 MB"),
        (["A01_s1.tif", "--limit-memory", "much"], "no amount of memory"),
        (
            ["A01_s1.tif", "--cluster", "tcp://127.0.0.1:9", "--jobs", "2"],
            "--cluster measures on its workers",
        ),
        (["A01_s1.tif", "--out", "A02_s1.tif"], "A02_s1.tif"),
        ([], "PATHS"),
    ],
)
def test_wrong_use_is_a_sentence_and_exit_code_2(
    plate, model, monkeypatch, arguments, words, capfd
):
    monkeypatch.chdir(plate)
    before = sorted(plate.rglob("*"))
    refused = run("measure", *arguments, "--model", model, code=2)
    assert words in re.sub(r"[│\s]+", " ", refused.stderr)
    assert sorted(plate.rglob("*")) == before


def test_a_wrong_model_is_wrong_use(plate):
    assert "no-such" in run("measure", plate, "--model", "no-such", code=2).stderr


OME = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Instrument ID="Instrument:0"><Objective ID="Objective:0" LensNA="0.75" Immersion="Air"/>
</Instrument><Image ID="Image:0"><ObjectiveSettings ID="Objective:0" RefractiveIndex="1.0"/>
<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" SizeX="{w}" SizeY="{h}" SizeC="1"
 SizeZ="1" SizeT="1" PhysicalSizeX="0.325" PhysicalSizeY="0.325"{unit}>
<Channel ID="Channel:0:0" SamplesPerPixel="1"{wave}/><TiffData/></Pixels></Image></OME>"""


@pytest.mark.long
def test_the_files_own_optics_and_the_users(model, tmp_path):
    plane = coded.plane([[5, 5], [5, 5]])
    height, width = plane.shape
    for name, wave in (("all", ' EmissionWavelength="520"'), ("some", "")):
        text = OME.format(w=width, h=height, unit="", wave=wave)
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", plane, description=text, metadata=None)
    out = tmp_path / "out"

    def rows(*options):
        measure(tmp_path / "all.ome.tif", tmp_path / "some.ome.tif", *options)
        return table(out / "results.csv")

    common = ("--model", model, "--out", out, "--overlay", "none")
    everything, some = rows(*common)
    optics = Optics(na=0.75, refractive_index=1.0, wavelength_um=0.52, pixel_size_um=0.325)
    wanted = measure_focus(plane, model, optics=optics).defocus_um
    assert float(everything["defocus_um"]) == pytest.approx(wanted, rel=1e-5)
    assert everything["optics"] == "na=0.75,n=1,wavelength_um=0.52,pixel_size_um=0.325"
    assert (some["defocus_um"], some["optics"], some["message"]) == ("", "", HINT)
    everything, some = rows(*common, "--optics", "wavelength_um=0.6")
    assert everything["optics"] == some["optics"]
    assert "wavelength_um=0.6" in some["optics"]
    assert some["defocus_um"]
    # What the user says of the objective is right, whatever the file says.
    everything, _ = rows(*common, "--optics", "na=0.5")
    assert everything["optics"].startswith("na=0.5,n=1,")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--model", "compact"],
            "--model is a setting of focus and rating; --measures names others alone",
        ),
        (["--optics", "na=0.5"], "--optics is a setting of focus"),
        (["--in-focus-limit", "1"], "--in-focus-limit is a setting of focus"),
        (["--sample", "9"], "--sample is a setting of focus"),
        (["--per-patch", "--out", "out"], "--per-patch needs a measure of patches"),
    ],
)
def test_what_no_measure_can_do_is_refused(plate, monkeypatch, options, words):
    monkeypatch.chdir(plate)
    refused = run("measure", plate, "--measures", "classical", *options, code=2)
    assert words in refused.stderr
    assert not (plate / "out").exists()


@pytest.mark.long
def test_further_measures_add_columns(plate, model, tmp_path):
    out = tmp_path / "out"
    measure(plate, "--model", model, "--out", out)
    alone = table(out / "results.csv")
    (picture,) = (out / "overlays").iterdir()
    measure(plate, "--model", model, "--out", out, "--measures", "focus, classical")
    both = table(out / "results.csv")
    unlike = {"settings_id", "checksum"}
    for row, other in zip(alone, both):
        assert {name: other[name] for name in row.keys() - unlike} == {
            name: row[name] for name in row.keys() - unlike
        }
    # By what it says of itself: sharp is above blurred.
    focused, blurred = (float(row["mid_band_power"]) for row in both[:2])
    assert focused > blurred
    screen = measure(plate, "--out", out, "--measures", "classical")
    assert "in focus" not in screen
    rows = table(out / "results.csv")
    assert [row["mid_band_power"] for row in rows] == [row["mid_band_power"] for row in both]
    assert {row["status"] for row in rows} == {"measured"}
    # Each time the tables of other measures were kept.
    assert len(list((out / "older").iterdir())) == 2
    assert not picture.exists()
