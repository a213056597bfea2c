"""MeasureImageQualityScore over real files, in CellProfiler as a program."""

import csv
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import tifffile
from micrographs import micrograph

from microscope_quality import measure_focus
from microscope_quality.acquisition import acquisition_fault
from microscope_quality.overlay import score_overlay
from microscope_quality.rater import rate_image

ROOT = Path(__file__).parents[3]
# What a result's row calls a measurement.
NUMBERS = {
    "Score": "score",
    "ScoreLow": "score_low",
    "ScoreHigh": "score_high",
    "Blur": "blur_px",
    "Elongation": "elongation",
    "Angle": "angle_deg",
    "Noise": "noise",
    "LineNoise": "line_noise",
    "Jitter": "jitter_px",
    "SaturatedFraction": "saturated_fraction",
    "BlankFraction": "blank_fraction",
    "Patches": "patches",
}
TEXTS = {"Status": "status", "Cause": "cause", "Action": "action"}
FLAGS = {"Good": "good", "NoContent": "no_content"}
FILES = ("blurred", "holes", "sharp", "small", "wide")
LIMIT = 0.6


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory):
    """Files of 8 and 16 bits and of decimal numbers, good and bad."""
    holes = (micrograph(seed=4) / 255).astype(np.float32)
    holes[:20, :20] = np.nan
    folder = tmp_path_factory.mktemp("micrographs")
    planes = {
        "sharp": micrograph(),
        "blurred": micrograph(blur=(6, 6)),
        # As a detector of 12 bits gives it.
        "wide": micrograph((300, 900), blur=(0.2, 2), noise=0.3, kind=np.uint16) // 16,
        "small": micrograph((100, 100)),
        "holes": holes,
    }
    for name, plane in planes.items():
        tifffile.imwrite(folder / f"{name}_em.tif", plane)
    return folder


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return {Path(row["FileName_EM"]).stem[:-3]: row for row in csv.DictReader(file)}


def number(value):
    return float("nan") if value in (None, "", "nan", "NaN") else float(value)


@pytest.fixture(scope="module")
def done(cellprofiler, empty_pipeline, micrographs, tmp_path_factory):
    """Run a pipeline with both modules; gives its output folder."""
    folder = tmp_path_factory.mktemp("run")
    pipeline = empty_pipeline()
    pipeline.add_inputs({"em": "EM"})
    pipeline.add("MeasureImageFocus", images="EM")
    quality = pipeline.add("MeasureImageQualityScore", images="EM", score_limit=LIMIT)
    quality.add_overlay()
    quality.overlays[0].image.value = "EM"
    pipeline.add(
        "MeasureImageQualityScore", images="EM", rated="Random places", places=1, word="Quick"
    )
    save = pipeline.add("SaveImages", image_name="ScorePatches")
    save.file_name_method.value = "From image filename"
    save.file_image_name.value = "EM"
    save.file_format.value = "png"
    flag = pipeline.add("FlagImage")
    flag.flags[0].feature_name.value = "LowScore"
    flag.add_flag()
    flag.flags[1].feature_name.value = "NotGood"
    flag.flags[1].wants_skip.value = True
    for one, feature, least in zip(flag.flags, ("Score", "Good"), (LIMIT, 1)):
        condition = one.measurement_settings[0]
        condition.measurement.value = f"ImageQualityScore_{feature}_EM"
        condition.wants_minimum.value, condition.minimum_value.value = True, least
        condition.wants_maximum.value = False
    pipeline.add("ExportToSpreadsheet", wants_overwrite_without_warning=True)
    database = pipeline.add("ExportToDatabase", db_type="SQLite")
    database.sqlite_file.value = "quality.db"
    cellprofiler(pipeline.save(folder / "quality.cppipe"), micrographs, folder / "out")
    return folder / "out"


def rated(micrographs, name):
    return rate_image(tifffile.imread(micrographs / f"{name}_em.tif"), score_limit=LIMIT)


def test_the_spreadsheet_says_what_the_library_says(done, micrographs):
    rows = rows_of(done / "MyExpt_Image.csv")
    assert sorted(rows) == sorted(FILES)
    for name, row in rows.items():
        result = rated(micrographs, name)
        wanted = result.to_row()
        for feature, column in NUMBERS.items():
            found = number(row[f"ImageQualityScore_{feature}_EM"])
            np.testing.assert_allclose(found, wanted[column], rtol=1e-9, err_msg=feature)
        for feature, column in TEXTS.items():
            assert row[f"ImageQualityScore_{feature}_EM"] == wanted[column]
        for feature, status in FLAGS.items():
            assert row[f"ImageQualityScore_{feature}_EM"] == str(int(result.status == status))
        assert row["ImageQualityScore_FailedGrab_EM"] == "0"
        own = {column for column in row if column.startswith("ImageQualityScore_")}
        features = (*NUMBERS, *TEXTS, *FLAGS, "FailedGrab", "Message")
        assert own == {f"ImageQualityScore_{feature}_EM" for feature in features}
        assert len([column for column in row if "ScoreQuick_" in column]) == len(own)
    scores = {name: number(row["ImageQualityScore_Score_EM"]) for name, row in rows.items()}
    assert scores["sharp"] > LIMIT > scores["blurred"]
    assert rows["small"]["ImageQualityScore_Status_EM"] == "too_small"
    assert "128 x 128" in rows["small"]["ImageQualityScore_Message_EM"]
    assert "no whole numbers" in rows["holes"]["ImageQualityScore_Message_EM"]


def test_the_module_for_focus_says_beside_it_what_it_says_alone(done, micrographs):
    for name, row in rows_of(done / "MyExpt_Image.csv").items():
        level = measure_focus(tifffile.imread(micrographs / f"{name}_em.tif")).expected_level
        assert number(row["ImageFocus_ExpectedLevel_EM"]) == pytest.approx(level, abs=1e-6)


def test_images_are_flagged_by_score_and_left_out(done):
    rows = rows_of(done / "MyExpt_Image.csv")
    assert {name for name, row in rows.items() if float(row["Metadata_NotGood"])} >= {
        "blurred",
        "small",
    }
    for name, row in rows.items():
        assert float(row["Metadata_NotGood"]) == 1 - int(row["ImageQualityScore_Good_EM"])
        # An image without a score is not below it.
        low = number(row["ImageQualityScore_Score_EM"]) < LIMIT
        assert float(row["Metadata_LowScore"]) == low, name
    with sqlite3.connect(str(done / "quality.db")) as database:
        database.row_factory = sqlite3.Row
        kept = database.execute("select * from MyExpt_Per_Image").fetchall()
    database.close()
    # What is flagged is not in the database, which comes after.
    assert {Path(row["Image_FileName_EM"]).stem[:-3] for row in kept} == {
        name for name, row in rows.items() if row["ImageQualityScore_Good_EM"] == "1"
    }
    for row in kept:
        name = Path(row["Image_FileName_EM"]).stem[:-3]
        score = number(rows[name]["ImageQualityScore_Score_EM"])
        assert row["Image_ImageQualityScore_Score_EM"] == pytest.approx(score)
        assert row["Image_ImageQualityScore_Status_EM"] == "good"
        assert row["Image_ImageQualityScore_Cause_EM"] == ""


def test_the_picture_of_patches_is_the_librarys(done, micrographs):
    from PIL import Image

    plane = tifffile.imread(micrographs / "wide_em.tif")
    with Image.open(done / "wide_em.png") as picture:
        found = np.asarray(picture.convert("RGB")).astype(int)
    wanted = score_overlay(plane, rated(micrographs, "wide")).astype(int)
    assert np.abs(found - wanted).max() <= 1


def test_the_example_rates_the_sample(cellprofiler, tmp_path):
    cppipe = ROOT / "cellprofiler_plugins" / "example" / "quality.cppipe"
    sample = sorted((ROOT / "docs" / "micrographs").glob("*.tif"))
    cellprofiler(cppipe, sample[0].parent, tmp_path)
    with (tmp_path / "Quality_Image.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["FileName_EM"]: row for row in csv.DictReader(file)}
    assert sorted(rows) == [path.name for path in sample]
    for path in sample:
        row, plane = rows[path.name], tifffile.imread(path)
        result = rate_image(plane)
        found = number(row["ImageQualityScore_Score_EM"])
        np.testing.assert_allclose(found, result.score, rtol=1e-9)
        status = row["ImageQualityScore_Status_EM"]
        assert float(row["Metadata_Retake"]) == (status != "good")
        failed = acquisition_fault(plane).action == "retake"
        assert status == ("failed_grab" if failed else result.status)
    # Each was drawn with a fault, or without one.
    causes = {"blur", "astigmatism", "noise", "line noise", "jitter", "cut", ""}
    assert {row["ImageQualityScore_Cause_EM"] for row in rows.values()} == causes
    assert len(list(tmp_path.glob("*_patches.png"))) == len(sample)
