"""Pipelines over real files, in CellProfiler as a program: its tables say what the library says."""

import csv
import json
import shutil
import sqlite3
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from microscope_quality import FocusModel, Optics, measure_at, measure_focus
from microscope_quality.simulate import nuclei

INSTALLED = "import importlib.util as u; print(u.find_spec('microscope_quality') is not None)"
ROOT = Path(__file__).parents[3]
NAMES = {"dna": "DNA", "actin": "Actin", "light": "Light", "mask": "Inside"}
OPTICS = Optics(na=0.5, refractive_index=1.0, wavelength_um=0.5, pixel_size_um=0.65)
SITES = (1, 2, 3, 4)
SURE = FocusModel.from_pretrained().description.focus.sure_certainty
# What a result's attribute is called in CellProfiler.
FEATURES = {
    "Level": "level",
    "Score": "level",
    "ExpectedLevel": "expected_level",
    "Certainty": "certainty",
    "MeanCertainty": "mean_certainty",
    "MaxCertainty": "max_certainty",
    "BlurDiameter": "blur_diameter_px",
    "Defocus": "defocus_um",
    "SaturatedFraction": "saturated_fraction",
}
TEXTS = ("Status", "Message")
STATUSES = {"InFocus": "in_focus", "NoContent": "no_content", "Mixed": "mixed"}


def build(pipeline, path):
    """Write the pipeline: measure, flag and leave out what is not in focus, export."""
    pipeline.add_inputs(NAMES)
    pipeline.add("IdentifyPrimaryObjects", x_name="DNA", y_name="Nuclei")
    pipeline.add(
        "MaskImage",
        image_name="DNA",
        masked_image_name="PartOfDNA",
        source_choice="Image",
        masking_image_name="Inside",
    )
    focus = pipeline.add(
        "MeasureImageFocus",
        images="DNA, Actin, Light, PartOfDNA",
        wants_probabilities=True,
        wants_objects=True,
        objects="Nuclei",
        wants_optics=True,
    )
    focus.add_overlay()
    focus.overlays[0].image.value = "DNA"
    sharp = pipeline.add("FilterObjects", x_name="Nuclei", y_name="SharpNuclei")
    sharp.filter_choice.value = "Limits"
    sharp.measurements[0].measurement.value = "ImageFocus_InFocus_DNA"
    sharp.measurements[0].min_limit.value = 1
    sharp.measurements[0].wants_maximum.value = False
    math = pipeline.add("CalculateMath", operation="Multiply")
    math.output_feature_name.value = "Twice"
    for operand, feature in zip(math.operands, ("ImageFocus_Level_DNA", "ImageFocus_Level_DNA")):
        operand.operand_choice.value = "Image"
        operand.operand_measurement.value = feature
    pipeline.add("SaveImages", image_name="FocusPatches")
    save = pipeline.pipeline.modules()[-1]
    save.file_name_method.value = "From image filename"
    save.file_image_name.value = "DNA"
    save.wants_file_name_suffix.value = True
    save.file_name_suffix.value = "_patches"
    save.file_format.value = "png"
    flag = pipeline.add("FlagImage")
    flag.flags[0].wants_skip.value = True
    condition = flag.flags[0].measurement_settings[0]
    condition.measurement.value = "ImageFocus_InFocus_DNA"
    condition.wants_minimum.value = True
    condition.minimum_value.value = 1
    condition.wants_maximum.value = False
    good = pipeline.add("SaveImages", image_name="DNA")
    good.file_name_method.value = "From image filename"
    good.file_image_name.value = "DNA"
    good.wants_file_name_suffix.value = True
    good.file_name_suffix.value = "_good"
    good.file_format.value = "png"
    pipeline.add(
        "ExportToSpreadsheet", wants_overwrite_without_warning=True, wants_aggregate_means=True
    )
    database = pipeline.add("ExportToDatabase", db_type="SQLite")
    database.sqlite_file.value = "focus.db"
    return pipeline.save(path)


@pytest.fixture(scope="module")
def done(cellprofiler, empty_pipeline, pictures, tmp_path_factory):
    """Run the pipeline once; gives its output folder."""
    folder = tmp_path_factory.mktemp("run")
    cppipe = build(empty_pipeline(), folder / "focus.cppipe")
    cellprofiler(cppipe, pictures, folder / "out")
    return folder / "out"


def expected(pictures, site):
    """Measure a site's images as the pipeline does, by the library."""
    planes = {name: tifffile.imread(pictures / f"s{site}_{key}.tif") for key, name in NAMES.items()}
    mask = planes.pop("Inside") > 0
    results = {name: measure_focus(plane, optics=OPTICS) for name, plane in planes.items()}
    # MaskImage blackens what it masks.
    part = planes["DNA"] * mask
    results["PartOfDNA"] = measure_focus(part, optics=OPTICS, mask=mask)
    columns = {}
    for name, result in results.items():
        for feature, attribute in FEATURES.items():
            columns[f"ImageFocus_{feature}_{name}"] = getattr(result, attribute)
        for feature, status in STATUSES.items():
            columns[f"ImageFocus_{feature}_{name}"] = float(result.status == status)
        for level, probability in enumerate(result.probabilities):
            columns[f"ImageFocus_Probability_{name}_{level}"] = probability
    return columns, results


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def number(value):
    return float("nan") if value in (None, "", "nan", "NaN") else float(value)


def test_the_spreadsheet_says_what_the_library_says(done, pictures):
    rows = {int(row["FileName_DNA"][1]): row for row in rows_of(done / "MyExpt_Image.csv")}
    assert sorted(rows) == list(SITES)
    for site, row in rows.items():
        wanted, results = expected(pictures, site)
        found = {name: number(row[name]) for name in wanted}
        assert found == pytest.approx(wanted, abs=1e-6, nan_ok=True)
        texts = {f"ImageFocus_{feature}_{name}" for feature in TEXTS for name in results}
        measured = {name for name in row if name.startswith("ImageFocus_")}
        assert measured == {*wanted, *texts}
        for name, result in results.items():
            assert row[f"ImageFocus_Status_{name}"] == result.status
            assert row[f"ImageFocus_Message_{name}"].startswith(result.message)
    assert [number(rows[site]["ImageFocus_InFocus_DNA"]) for site in SITES] == [1, 1, 0, 0]


def test_the_measurements_file_says_what_the_library_says(
    dropin, python, pipeline, pictures, tmp_path
):
    pipeline.add_inputs({"dna": "DNA", "light": "Light"})
    pipeline.add("MeasureImageFocus", images="DNA, Light", wants_optics=True)
    cppipe = pipeline.save(tmp_path / "p.cppipe")
    said = python(SCRIPT, dropin, cppipe, pictures, tmp_path, 0)
    assert f"LIBRARY {dropin}" in said
    with h5py.File(tmp_path / "measurements.h5", "r") as file:
        image = file["Measurements"][next(iter(file["Measurements"]))]["Image"]
        names = [value.decode() for value in image["FileName_DNA"]["data"][()]]
        assert len(names) == len(SITES)
        texts = [f"ImageFocus_{feature}_{name}" for feature in TEXTS for name in ("DNA", "Light")]
        measured = [name for name in image if name.startswith("ImageFocus_")]
        assert set(texts) < set(measured)
        measured = [name for name in measured if name not in texts]
        assert len(measured) == 2 * 12
        for index, name in enumerate(names):
            wanted, results = expected(pictures, int(name[1]))
            status = image["ImageFocus_Status_DNA"]["data"][index]
            assert status.decode() == results["DNA"].status
            found = {key: float(image[key]["data"][index]) for key in measured}
            assert found == pytest.approx(
                {key: wanted[key] for key in measured}, abs=1e-6, nan_ok=True
            )


def test_the_database_says_what_the_library_says(done, pictures):
    with sqlite3.connect(str(done / "focus.db")) as database:
        database.row_factory = sqlite3.Row
        rows = database.execute("select * from MyExpt_Per_Image").fetchall()
        objects = database.execute("select * from MyExpt_Per_Object").fetchall()
    database.close()
    # Sites 3 and 4 are flagged before, and left out.
    assert sorted(row["Image_FileName_DNA"] for row in rows) == ["s1_dna.tif", "s2_dna.tif"]
    for row in rows:
        wanted, results = expected(pictures, int(row["Image_FileName_DNA"][1]))
        found = {name: number(row[f"Image_{name}"]) for name in wanted}
        assert found == pytest.approx(wanted, abs=1e-6, nan_ok=True)
        assert row["Image_ImageFocus_Status_DNA"] == results["DNA"].status
        assert row["Image_ImageFocus_Message_DNA"] == results["DNA"].message == ""
        assert "no whole numbers" in row["Image_ImageFocus_Message_Light"]
        # What has no value is NULL.
        assert row["Image_ImageFocus_SaturatedFraction_Light"] is None
    assert {"Nuclei_ImageFocus_Level_DNA", "Nuclei_ImageFocus_Certainty_Actin"} <= set(
        objects[0].keys()
    )
    assert {row["Nuclei_ImageFocus_InFocus_DNA"] for row in objects} <= {0, 1}


def test_each_object_has_the_focus_of_its_surroundings(done, pictures):
    sites = {
        row["ImageNumber"]: int(row["FileName_DNA"][1])
        for row in rows_of(done / "MyExpt_Image.csv")
    }
    rows = rows_of(done / "MyExpt_Nuclei.csv")
    assert len(rows) > 60
    for image, site in sites.items():
        here = [row for row in rows if row["ImageNumber"] == image]
        centres = [
            (float(row["Location_Center_Y"]), float(row["Location_Center_X"])) for row in here
        ]
        wanted = measure_at(tifffile.imread(pictures / f"s{site}_dna.tif"), centres)
        for feature, values in (
            ("Level", wanted.levels),
            ("ExpectedLevel", wanted.expected_levels),
            ("Certainty", wanted.certainties),
        ):
            found = [number(row[f"ImageFocus_{feature}_DNA"]) for row in here]
            np.testing.assert_allclose(found, values, atol=1e-6)
        in_focus = (wanted.certainties >= SURE) & (wanted.expected_levels <= 1.5)
        assert [row["ImageFocus_InFocus_DNA"] for row in here] == [str(int(x)) for x in in_focus]
    assert {row["ImageFocus_InFocus_DNA"] for row in rows} == {"0", "1"}


def test_the_objects_in_focus_can_be_filtered_and_counted(done):
    kept = []
    for row in rows_of(done / "MyExpt_Image.csv"):
        here = [
            int(one["ImageFocus_InFocus_DNA"])
            for one in rows_of(done / "MyExpt_Nuclei.csv")
            if one["ImageNumber"] == row["ImageNumber"]
        ]
        share = float(row["Mean_Nuclei_ImageFocus_InFocus_DNA"])
        assert share == pytest.approx(sum(here) / len(here))
        # What is flagged runs no further than the flag, which is behind the filter.
        assert float(row["Count_SharpNuclei"]) == sum(here)
        kept.append(sum(here))
    assert max(kept) > 10
    assert min(kept) == 0


def test_images_that_are_not_in_focus_are_left_out(done):
    rows = {row["FileName_DNA"]: row for row in rows_of(done / "MyExpt_Image.csv")}
    flags = {name: float(row["Metadata_QCFlag"]) for name, row in rows.items()}
    assert flags == {"s1_dna.tif": 0, "s2_dna.tif": 0, "s3_dna.tif": 1, "s4_dna.tif": 1}
    saved = sorted(path.name for path in done.glob("*_good*"))
    assert saved == ["s1_dna_good.png", "s2_dna_good.png"]
    # The patches are saved before the flag is asked.
    assert len(list(done.glob("*_patches.png"))) == len(SITES)


def test_other_modules_reckon_with_the_measurements(done):
    for row in rows_of(done / "MyExpt_Image.csv"):
        assert float(row["Math_Twice"]) == float(row["ImageFocus_Level_DNA"]) ** 2


def test_the_picture_of_patches_is_the_librarys(done, pictures):
    from PIL import Image

    from microscope_quality.overlay import overlay

    plane = tifffile.imread(pictures / "s3_dna.tif")
    with Image.open(done / "s3_dna_patches.png") as picture:
        found = np.asarray(picture.convert("RGB")).astype(int)
    wanted = overlay(plane, measure_focus(plane)).astype(int)
    assert np.abs(found - wanted).max() <= 1


def test_an_image_that_is_too_small_is_named_and_the_run_goes_on(
    cellprofiler, pipeline, pictures, tmp_path
):
    pipeline.add_inputs({"actin": "Actin"})
    pipeline.add("MeasureImageFocus", images="Actin")
    pipeline.add("ExportToSpreadsheet")
    said = cellprofiler(pipeline.save(tmp_path / "p.cppipe"), pictures, tmp_path / "out")
    assert "Focus of Actin: The image has 60 x 350 pixels; a patch needs 84 x 84." in said
    # As CellProfiler says of texts of settings that are not ASCII.
    assert "Unable to decode" not in said
    rows = {row["FileName_Actin"]: row for row in rows_of(tmp_path / "out" / "MyExpt_Image.csv")}
    assert len(rows) == 4
    small = rows["s3_actin.tif"]
    assert np.isnan(number(small["ImageFocus_Level_Actin"]))
    assert small["ImageFocus_Status_Actin"] == "too_small"
    told = "The image has 60 x 350 pixels; a patch needs 84 x 84."
    assert small["ImageFocus_Message_Actin"] == told
    assert rows["s1_actin.tif"]["ImageFocus_Message_Actin"] == ""
    assert number(rows["s3_actin.tif"]["ImageFocus_NoContent_Actin"]) == 0
    assert number(rows["s1_actin.tif"]["ImageFocus_NoContent_Actin"]) == 0


# Runs a pipeline as CellProfiler's window does, which its command line does not offer: with a file
# of measurements, or by worker processes.
SCRIPT = """
import faulthandler, json, os, pathlib, sys, threading, traceback
faulthandler.dump_traceback_later(250, exit=True)
plugins, cppipe, pictures, out, workers = sys.argv[1:]
import cellprofiler_core.preferences as preferences
preferences.set_headless()
preferences.set_plugin_directory(plugins, globally=False)
preferences.set_default_image_directory(pictures)
preferences.set_default_output_directory(out)
from cellprofiler_core.analysis._analysis import Analysis
from cellprofiler_core.analysis.event import Finished
from cellprofiler_core.image import ImageSetList
from cellprofiler_core.measurement import Measurements
from cellprofiler_core.pipeline import Pipeline
from cellprofiler_core.utilities.core.modules import fill_modules
from cellprofiler_core.utilities.java import start_java
from cellprofiler_core.workspace import Workspace

def in_process(pipeline):
    pipeline.run(measurements_filename=os.path.join(out, "measurements.h5")).close()
    import microscope_quality
    print("LIBRARY", microscope_quality.__file__)

def by_workers(pipeline, number):
    measurements = Measurements()
    workspace = Workspace(pipeline, None, None, None, measurements, ImageSetList())
    assert pipeline.prepare_run(workspace)
    finished, tables = threading.Event(), []
    def on_event(event):
        if isinstance(event, Finished):
            found = event.measurements
            names = [n for n in found.get_feature_names("Image") if n.startswith("ImageFocus")]
            tables.append({
                str(found.get_measurement("Image", "FileName_DNA", image)): {
                    name: found.get_measurement("Image", name, image) for name in names
                }
                for image in found.get_image_numbers()
            })
            finished.set()
    analysis = Analysis(pipeline, measurements)
    analysis.start(on_event, num_workers=number)
    assert finished.wait(200)
    pathlib.Path(out, "workers.json").write_text(json.dumps(tables[0], default=float))
    print("WORKERS", len(analysis.runner.workers))
    analysis.runner.stop_workers()

status = 1
try:
    start_java()
    fill_modules()
    pipeline = Pipeline()
    pipeline.load(cppipe)
    pipeline.add_urls([path.as_uri() for path in sorted(pathlib.Path(pictures).glob("*.tif"))])
    by_workers(pipeline, int(workers)) if int(workers) else in_process(pipeline)
    status = 0
except BaseException:
    traceback.print_exc()
finally:
    # Threads of the Java machine would keep the process waiting.
    sys.stdout.flush()
    os._exit(status)
"""


def test_two_workers_give_the_same(done, dropin, modules, pictures, python, pipeline, tmp_path):
    pipeline.add_inputs(NAMES)
    pipeline.add("MeasureImageFocus", images="DNA, Actin, Light", wants_optics=True)
    cppipe = pipeline.save(tmp_path / "p.cppipe")
    said = python(SCRIPT, dropin, cppipe, pictures, tmp_path, 2)
    assert "WORKERS 2" in said
    tables = json.loads((tmp_path / "workers.json").read_text(encoding="utf-8"))
    assert len(tables) == len(SITES)
    for row in rows_of(done / "MyExpt_Image.csv"):
        found = tables[row["FileName_DNA"]]
        assert len(found) > 30
        texts = {name for name in found if name.split("_")[1] in TEXTS}
        assert len(texts) == 6
        # The pipeline of the table measured objects too, and said so.
        assert all(row[name].startswith(found.pop(name)) for name in texts if "Light" not in name)
        found = {name: value for name, value in found.items() if name not in texts}
        wanted = {name: number(row[name]) for name in found}
        assert found == pytest.approx(wanted, abs=1e-12, nan_ok=True)


# How NamesAndTypes gets the numbers of a file into the range that CellProfiler works with.
RANGES = {
    "Metadata": ("Image metadata", None),
    "Depth": ("Image bit-depth", None),
    "Camera": ("Manual", 4095),
    "Byte": ("Manual", 255),
    "Odd": ("Manual", 1000.5),
}
MAX_SAMPLE_VALUE = 281


@pytest.fixture
def clipped(tmp_path):
    """Files of nuclei whose brightest pixels are clipped: by camera, by type, by 8 bits."""
    folder = tmp_path / "clipped"
    folder.mkdir()
    light = np.maximum(nuclei((200, 200), 30, 1), 0)
    light = light / light.max()
    for name, counts, most, kind in (
        ("camera", 6000, 4095, np.uint16),
        ("described", 6000, 4095, np.uint16),
        ("type", 90000, 65535, np.uint16),
        ("byte", 350, 255, np.uint8),
        ("dark", 200, 255, np.uint16),
        ("wide", 6000, 4095, np.uint32),
        ("signed", 6000, 4095, np.int16),
        ("light", 1, 1, np.float32),
    ):
        noisy = np.random.default_rng(0).normal(0.05, 0.005, light.shape) + light
        plane = np.clip(noisy * counts, 0, most).astype(kind)
        described = [(MAX_SAMPLE_VALUE, "H", 1, most, True)] if name == "described" else []
        tifffile.imwrite(folder / f"{name}_sat.tif", plane, extratags=described)
    return folder


def test_the_numbers_do_not_depend_on_the_range(clipped, cellprofiler, pipeline, tmp_path):
    pipeline.add_inputs({name: name for name in RANGES})
    for group, (choice, most) in zip(pipeline.pipeline.modules()[2].assignments, RANGES.values()):
        group.rule_filter.value = 'and (file does contain "_sat")'
        group.rescale.value = choice
        if most is not None:
            group.manual_rescale.value = most
    for name in RANGES:
        crop = pipeline.add("Crop", image_name=name, cropped_image_name=f"{name}Part")
        crop.shape.value, crop.crop_method.value = "Rectangle", "Coordinates"
        crop.horizontal_limits.value, crop.vertical_limits.value = (10, 190), (20, 180)
    names = [f"{name}{part}" for name in RANGES for part in ("", "Part")]
    pipeline.add("MeasureImageFocus", images=", ".join(names))
    pipeline.add("ExportToSpreadsheet", nan_representation="Null")
    cellprofiler(pipeline.save(tmp_path / "p.cppipe"), clipped, tmp_path / "out")
    rows = {row["FileName_Odd"]: row for row in rows_of(tmp_path / "out" / "MyExpt_Image.csv")}
    assert len(rows) == 8
    for file, row in rows.items():
        plane = tifffile.imread(clipped / file)
        wanted = measure_focus(plane).saturated_fraction
        in_part = measure_focus(plane[20:180, 10:190]).saturated_fraction
        clips = file not in ("dark_sat.tif", "light_sat.tif")
        assert (wanted > 0.001 and in_part > 0.001) == clips
        level = measure_focus(plane).expected_level
        for name in RANGES:
            assert float(row[f"ImageFocus_ExpectedLevel_{name}"]) == pytest.approx(level, abs=1e-6)
        for name in names:
            found = row[f"ImageFocus_SaturatedFraction_{name}"]
            if file == "light_sat.tif":
                # What has no value is an empty field, and the message says why.
                assert found == ""
                assert "no whole numbers" in row[f"ImageFocus_Message_{name}"]
            else:
                right = in_part if name.endswith("Part") else wanted
                assert float(found) == pytest.approx(right, abs=1e-9), (file, name)


def test_two_modules_on_one_image_are_stopped_or_told_apart(
    cellprofiler, pipeline, pictures, tmp_path
):
    pipeline.add_inputs({"dna": "DNA"})
    pipeline.add("MeasureImageFocus", images="DNA")
    second = pipeline.add("MeasureImageFocus", images="DNA", in_focus_limit=6)
    pipeline.add("ExportToSpreadsheet", wants_overwrite_without_warning=True)
    database = pipeline.add("ExportToDatabase", db_type="SQLite")
    database.sqlite_file.value = "focus.db"
    cppipe = pipeline.save(tmp_path / "p.cppipe")
    printed = cellprofiler(cppipe, pictures, tmp_path / "out", expected=1)
    assert "Module 5 measures DNA too" in printed
    second.word.value = "Lenient"
    cellprofiler(pipeline.save(cppipe), pictures, tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "MyExpt_Image.csv")
    found = [[row[f"ImageFocus{word}_InFocus_DNA"] for row in rows] for word in ("", "Lenient")]
    assert found == [["1", "1", "0", "0"], ["1", "1", "1", "0"]]
    with sqlite3.connect(str(tmp_path / "out" / "focus.db")) as database:
        query = "select sum(Image_ImageFocus_InFocus_DNA), sum(Image_ImageFocusLenient_InFocus_DNA)"
        assert database.execute(f"{query} from MyExpt_Per_Image").fetchone() == (2, 3)
    database.close()


def run_with(plugins, done, cellprofiler, pipeline, pictures, tmp_path):
    """Run with another plugins directory, and compare with what the drop-in folder gave."""
    pipeline.add_inputs({"dna": "DNA"})
    pipeline.add("MeasureImageFocus", images="DNA")
    pipeline.add("ExportToSpreadsheet")
    cppipe = pipeline.save(tmp_path / "p.cppipe")
    cellprofiler(cppipe, pictures, tmp_path / "out", plugins=plugins)
    rows = rows_of(tmp_path / "out" / "MyExpt_Image.csv")
    assert len(rows) == len(SITES)
    for row, before in zip(rows, rows_of(done / "MyExpt_Image.csv")):
        found = {name: row[name] for name in row if name.startswith("ImageFocus")}
        assert len(found) == 13
        # The optics were told there alone.
        del found["ImageFocus_Message_DNA"]
        assert found == {name: before[name] for name in found}


@pytest.mark.parametrize("layout", ["repository", "one folder"])
def test_a_copy_of_the_repository_needs_no_command(
    layout, done, cellprofiler, python, pipeline, pictures, tmp_path
):
    copy = tmp_path / "copy"
    plugins = copy / "cellprofiler_plugins" if layout == "repository" else copy
    plugins.mkdir(parents=True)
    for file in (ROOT / "cellprofiler_plugins").glob("*.py"):
        shutil.copy(str(file), str(plugins))
    for folder in ("microscope_quality", "pretrained"):
        shutil.copytree(str(ROOT / folder), str(copy / folder))
    run_with(plugins, done, cellprofiler, pipeline, pictures, tmp_path)
    # Its own library, also where another one is installed.
    said = python(SCRIPT, plugins, tmp_path / "p.cppipe", pictures, tmp_path, 0)
    assert f"LIBRARY {copy}" in said


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ("microscope_quality", "Copy the folder microscope_quality, which is beside it in the ZIP"),
        ("pretrained", "The model is not with the library"),
    ],
)
def test_half_a_copy_says_what_is_missing(
    lacking, said, python, cellprofiler, pipeline, pictures, tmp_path
):
    if lacking == "microscope_quality" and "True" in python(INSTALLED):
        pytest.skip("the library is installed in this host")
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    for file in (ROOT / "cellprofiler_plugins").glob("*.py"):
        shutil.copy(str(file), str(plugins))
    if lacking == "pretrained":
        shutil.copytree(str(ROOT / "microscope_quality"), str(plugins / "microscope_quality"))
    pipeline.add_inputs({"dna": "DNA"})
    pipeline.add("MeasureImageFocus", images="DNA")
    cppipe = pipeline.save(tmp_path / "p.cppipe")
    printed = cellprofiler(cppipe, pictures, tmp_path / "out", plugins=plugins, expected=1)
    assert said in printed


def test_a_module_without_what_it_shares_is_not_loaded_and_the_log_names_the_file(
    cellprofiler, pictures, tmp_path
):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    shutil.copy(str(ROOT / "cellprofiler_plugins" / "measureimagefocus.py"), str(plugins))
    shutil.copytree(str(ROOT / "microscope_quality"), str(plugins / "microscope_quality"))
    cppipe = ROOT / "cellprofiler_plugins" / "example" / "focus.cppipe"
    printed = cellprofiler(cppipe, pictures, tmp_path / "out", plugins=plugins)
    assert "No module named '_patch_module'" in printed
    assert "Could not find the MeasureImageFocus module" in printed


def test_the_plugin_of_an_installed_library_gives_the_same(
    done, cellprofiler, python, pipeline, pictures, tmp_path
):
    if "True" not in python(INSTALLED):
        pytest.skip("the library is not installed in this host")
    where = python("import microscope_quality as m; print(m.__path__[0])").strip()
    plugins = Path(where) / "cellprofiler_plugins"
    assert plugins.is_dir()
    run_with(plugins, done, cellprofiler, pipeline, pictures, tmp_path)


def test_the_example_measures_the_sample_and_leaves_out_what_is_not_in_focus(
    cellprofiler, tmp_path
):
    cppipe = ROOT / "cellprofiler_plugins" / "example" / "focus.cppipe"
    cellprofiler(cppipe, ROOT / "docs" / "sample", tmp_path)
    rows = {row["FileName_DNA"]: row for row in rows_of(tmp_path / "Focus_Image.csv")}
    status = {
        name: (row["Metadata_Well"], float(row["Metadata_OutOfFocus"]), bool(row["Count_Nuclei"]))
        for name, row in rows.items()
    }
    # In focus twice, out of focus, tilted, empty.
    assert status == {
        "A01_s1_dna.tif": ("A01", 0, True),
        "A01_s2_dna.tif": ("A01", 0, True),
        "A02_s1_dna.tif": ("A02", 1, False),
        "A02_s2_dna.tif": ("A02", 1, False),
        "B02_s1_dna.tif": ("B02", 1, False),
    }
    assert float(rows["A02_s2_dna.tif"]["ImageFocus_Mixed_DNA"]) == 1
    assert float(rows["B02_s1_dna.tif"]["ImageFocus_NoContent_DNA"]) == 1
    assert len(list(tmp_path.glob("*_patches.png"))) == 5
    assert rows_of(tmp_path / "Focus_Nuclei.csv")
