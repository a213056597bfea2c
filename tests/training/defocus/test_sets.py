"""Synthetic sets and the split, checked by physics and by the manifest itself."""

import csv

import numpy as np
import pytest
import tifffile

from microscope_quality.degrade import defocus, defocus_varying, tilted_levels, vignette
from microscope_quality.errors import FileError, SettingsError
from microscope_quality.optics import BLUR_PX_PER_LEVEL, Optics
from microscope_quality.psf import psf
from microscope_quality.simulate import nuclei
from microscope_quality.training.defocus.exposure import draw_exposure, signal
from microscope_quality.training.defocus.microscope import Aberrations, Microscope
from microscope_quality.training.defocus.sets import SetSettings, SetWriter, degraded
from microscope_quality.training.defocus.sources import find_sharp_images


@pytest.fixture
def sharp(tmp_path):
    folder = tmp_path / "sharp"
    folder.mkdir()
    for seed in range(2):
        light = nuclei((100, 120), 8, seed)
        tifffile.imwrite(folder / f"{seed}.tif", (light * 2000 + 50).astype(np.uint16))
    return folder


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_image_of_a_set_is_what_its_row_says(sharp, tmp_path):
    out = tmp_path / "set"
    with SetWriter(out, SetSettings(seed=3)) as writer:
        for name in ("0.tif", "1.tif"):
            writer.add(name, sharp / name)
    rows = read_rows(out / "manifest.csv")
    assert len(rows) == 22
    assert sorted(path.name for path in out.iterdir()) == [
        *(f"level_{level:02d}" for level in range(11)),
        "manifest.csv",
    ]
    row = next(row for row in rows if row["source"] == "1.tif" and row["level"] == "6")
    optics = Optics(
        *(float(row[k]) for k in ("na", "refractive_index", "wavelength_um", "pixel_size_um"))
    )
    assert float(row["defocus_um"]) == pytest.approx(
        optics.defocus_of_added_blur(6.0 * BLUR_PX_PER_LEVEL)
    )
    kernel = psf(optics, float(row["defocus_um"]), paraxial=row["paraxial"] == "1")
    light = defocus(signal(tifffile.imread(sharp / "1.tif")), kernel)
    rng = np.random.default_rng(int(row["seed"]))
    exposure = draw_exposure(rng)
    assert exposure.photons == pytest.approx(float(row["photons"]))
    assert exposure.camera.offset == pytest.approx(float(row["offset"]))
    stored = tifffile.imread(out / row["file"])
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored, exposure.take(light, rng))


def one_row(sharp, out, level, microscope):
    with SetWriter(out, SetSettings(microscope, seed=3)) as writer:
        writer.add("1.tif", sharp / "1.tif")
    row = next(row for row in read_rows(out / "manifest.csv") if row["level"] == str(level))
    rng = np.random.default_rng(int(row["seed"]))
    exposure = draw_exposure(rng)
    # The faults were drawn after the exposure, and before the noise.
    microscope.draw_aberrations(rng)
    microscope.draw_faults(rng)
    return row, exposure, rng, signal(tifffile.imread(sharp / "1.tif"))


def test_a_tilted_field_is_what_its_row_says(sharp, tmp_path):
    microscope = Microscope(tilt_levels=(3, 6))
    row, exposure, rng, light = one_row(sharp, tmp_path / "set", 1, microscope)
    assert 3 <= float(row["tilt_levels"]) <= 6
    levels = tilted_levels(light.shape, 1, float(row["tilt_levels"]), float(row["tilt_deg"]))
    assert levels.min() < 0
    kernels = [microscope.kernel(level) for level in range(6)]
    blurred = defocus_varying(light, np.abs(levels), kernels)
    stored = tifffile.imread(tmp_path / "set" / row["file"])
    np.testing.assert_array_equal(stored, exposure.take(blurred, rng))


def test_a_vignetted_saturated_field_is_what_its_row_says(sharp, tmp_path):
    microscope = Microscope(vignetting=(0.3, 0.8), saturation=(0.02, 0.05))
    row, exposure, _, light = one_row(sharp, tmp_path / "set", 4, microscope)
    stored = tifffile.imread(tmp_path / "set" / row["file"])
    assert (stored == 65535).mean() == pytest.approx(float(row["saturation"]), abs=0.01)
    blurred = defocus(light, microscope.kernel(4)) + exposure.background
    expected = exposure.photons * blurred * vignette(light.shape, float(row["vignetting"]))
    expected = expected / float(row["photons_per_level"]) + float(row["offset"])
    below = expected < 60000
    assert below.mean() > 0.9
    deviation = np.sqrt(exposure.photons) / float(row["photons_per_level"])
    assert np.abs(stored - expected)[below].mean() < deviation


def test_an_aberrated_field_is_what_its_row_says(sharp, tmp_path):
    microscope = Microscope(spherical_waves=(0.05, 0.1), astigmatism_waves=(0, 0.1))
    row, exposure, rng, light = one_row(sharp, tmp_path / "set", 5, microscope)
    names = ("spherical_waves", "astigmatism_waves", "astigmatism_deg", "depth_um")
    aberrations = Aberrations(*(float(row[name]) for name in names), side=int(row["side"]))
    kernel = microscope.kernel(5 * int(row["side"]), aberrations)
    stored = tifffile.imread(tmp_path / "set" / row["file"])
    np.testing.assert_array_equal(stored, exposure.take(defocus(light, kernel), rng))


def test_settings_need_a_microscope():
    with pytest.raises(SettingsError, match="must be a Microscope"):
        SetSettings(Optics(0.5, 1, 0.5, 0.65))


def test_a_set_is_reproducible_and_does_not_depend_on_its_other_images(sharp, tmp_path):
    plane = tifffile.imread(sharp / "0.tif")
    alone = list(degraded(plane, "0.tif#0", SetSettings(seed=1)))
    with SetWriter(tmp_path / "set", SetSettings(seed=1)) as writer:
        writer.add("1.tif", sharp / "1.tif")
        writer.add("0.tif", sharp / "0.tif")
    rows = read_rows(tmp_path / "set" / "manifest.csv")
    files = [row["file"] for row in rows if row["source"] == "0.tif"]
    for made, file in zip(alone, files, strict=True):
        np.testing.assert_array_equal(made.plane, tifffile.imread(tmp_path / "set" / file))
    other = next(degraded(plane, "0.tif#0", SetSettings(seed=2)))
    assert np.any(other.plane != alone[0].plane)


def test_a_bad_source_leaves_the_others_and_no_half_file(sharp, tmp_path):
    (sharp / "bad.tif").write_text("no image")
    out = tmp_path / "set"
    with SetWriter(out, SetSettings()) as writer:
        with pytest.raises(FileError, match="bad.tif"):
            writer.add("bad.tif", sharp / "bad.tif")
        writer.add("0.tif", sharp / "0.tif")
    assert len(list(out.glob("level_*/*.tif"))) == 11
    assert not list(out.rglob("*.part"))


@pytest.mark.parametrize("there", [False, True])
def test_a_set_without_an_image_is_none(tmp_path, there):
    out = tmp_path / "set"
    if there:
        out.mkdir()
    writer = SetWriter(out, SetSettings())
    with writer, pytest.raises(FileError, match="does not exist"):
        writer.add("none.tif", tmp_path / "none.tif")
    assert out.exists() == there
    assert not there or not list(out.iterdir())


def test_a_plane_that_fails_part_way_is_not_in_the_set(sharp, tmp_path):
    out = tmp_path / "set"
    with SetWriter(out, SetSettings()) as writer:
        (out / "level_05").rmdir()
        with pytest.raises(FileError, match="level_05.*cannot be written"):
            writer.add("0.tif", sharp / "0.tif")
        assert not list(out.glob("level_*/*"))
        (out / "level_05").mkdir()
        writer.add("1.tif", sharp / "1.tif")
        assert writer.n_images == 1
    rows = read_rows(out / "manifest.csv")
    assert {row["source"] for row in rows} == {"1.tif"}
    assert [int(row["level"]) for row in rows] == list(range(11))
    assert len(list(out.glob("level_*/*"))) == 11


def test_a_plane_whose_rows_cannot_be_written_is_not_in_the_set(sharp, tmp_path):
    resource = pytest.importorskip("resource", reason="another system's limits")
    out = tmp_path / "set"
    with SetWriter(out, SetSettings()) as writer:
        writer.add("0.tif", sharp / "0.tif")
        partial = out / "manifest.csv.part"
        before = partial.read_bytes()
        # As on a full disk: the images are smaller than the manifest, and can be written.
        with partial.open("ab") as file:
            file.write(b"#" * 200_000)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000 + len(before) + 500, limits[1]))
        try:
            with pytest.raises(FileError, match=r"manifest\.csv\.part: cannot be written"):
                writer.add("1.tif", sharp / "1.tif")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert partial.read_bytes() == before + b"#" * 200_000
        assert len(list(out.glob("level_*/*"))) == 11


def test_an_interrupted_set_has_no_manifest_but_keeps_its_rows(sharp, tmp_path):
    out = tmp_path / "set"
    with pytest.raises(KeyboardInterrupt), SetWriter(out, SetSettings()) as writer:
        writer.add("0.tif", sharp / "0.tif")
        raise KeyboardInterrupt
    assert not (out / "manifest.csv").exists()
    assert len((out / "manifest.csv.part").read_text().splitlines()) == 12


def test_a_folder_with_content_is_refused(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(FileError, match="not empty"):
        SetWriter(tmp_path, SetSettings())


def test_sharp_images_are_found_described_and_checked(sharp, tmp_path):
    (sharp / "bad.tif").write_text("no image")
    tifffile.imwrite(sharp / "small.tif", np.arange(6400, dtype=np.uint16).reshape(80, 80))
    tifffile.imwrite(sharp / "flat.tif", np.zeros((100, 100), np.uint8))
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("file,field,licence,source\nsharp/0.tif,f0,CC0,lab/set x.tif\n")
    images, left_out = find_sharp_images([sharp], manifest=manifest)
    assert [(i.field, i.licence, i.source, i.kind) for i in images] == [
        ("f0", "CC0", "lab/set", "sharp"),
        (str(sharp / "1.tif"), "", "", "sharp"),
    ]
    reasons = {path.rpartition("/")[2]: reason for path, reason in left_out.items()}
    assert "smaller than a patch" in reasons["small.tif"]
    assert "no contrast" in reasons["flat.tif"]
    assert set(reasons) == {"bad.tif", "small.tif", "flat.tif"}


def test_a_manifest_without_files_is_refused(tmp_path):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("name,licence\na.tif,CC0\n")
    with pytest.raises(FileError, match="no column 'file'"):
        find_sharp_images([tmp_path], manifest=manifest)
