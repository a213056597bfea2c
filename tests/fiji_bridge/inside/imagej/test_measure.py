"""What the bridge measures in ImageJ's images is what the library measures in their pixels."""

import gc
import resource

import jpype
import numpy as np
import pytest
import tifffile

import fiji_bridge
from fiji_bridge.images import Position, opened
from microscope_quality import Optics, measure_focus, measure_stack
from microscope_quality.errors import ImageError, OpticsError, SettingsError
from microscope_quality.files.images import planes
from microscope_quality.rater import rate_image

DRY = Optics(na=0.5, refractive_index=1.0, wavelength_um=0.5, pixel_size_um=0.5)
SIZES = [(1, 1), (83, 84), (84, 83), (84, 84), (85, 84), (100, 168), (168, 97), (168, 168)]


def scaled(plane, dtype):
    """Give a plane another type, with values over its whole range."""
    unit = (plane - plane.min()) / np.ptp(plane).astype(float)
    if dtype == "float32":
        return (unit * 3 - 1).astype(dtype)
    return np.rint(unit * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("size", SIZES)
def test_every_type_and_size(stack, image_plus, assert_same, dtype, size):
    plane = scaled(stack[0], dtype)[: size[0], : size[1]]
    found = fiji_bridge.measure(image_plus(plane))
    expected = measure_focus(plane)
    assert_same(found, expected)
    assert (found.status == "too_small") == (min(size) < 84)


def test_values_above_the_signed_types_are_not_negative(image_plus):
    for dtype in ("uint8", "uint16"):
        plane = scaled(np.arange(84 * 84).reshape(84, 84), dtype)
        found = opened(image_plus(plane)).plane(Position(1, 1, 1))
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, plane)


def test_nan_and_infinity_are_left_out(stack, image_plus, assert_same):
    plane = scaled(stack[2], "float32")
    plane[:50, :60] = np.nan
    plane[100, 100] = np.inf
    expected = measure_focus(plane)
    assert "left out: 3001" in expected.message
    assert_same(fiji_bridge.measure(image_plus(plane)), expected)


def test_whole_numbers_of_32_bits(stack, assert_same):
    plane = stack[1].astype(np.int32) * 1000 - 70_000
    pixels = jpype.JArray(jpype.JInt)(plane.ravel())
    processor = jpype.JClass("ij.process.IntProcessor")(168, 168, pixels)
    image = jpype.JClass("ij.ImagePlus")("int", processor)
    assert_same(fiji_bridge.measure(image), measure_focus(plane))


def test_a_lookup_table_changes_nothing(stack, image_plus, assert_same):
    plane = scaled(stack[1], "uint8")
    image = image_plus(plane)
    image.setLut(
        jpype.JClass("ij.process.LUT").createLutFromColor(jpype.JClass("java.awt.Color").RED)
    )
    image.getProcessor().invertLut()
    assert_same(fiji_bridge.measure(image), measure_focus(plane))


def test_signed_16_bits_as_imagej_opens_them(stack, tmp_path):
    plane = stack[1].astype(np.int16) - 500
    tifffile.imwrite(tmp_path / "signed.tif", plane, imagej=False)
    image = jpype.JClass("ij.IJ").openImage(str(tmp_path / "signed.tif"))
    assert image.getBitDepth() == 16
    found, expected = fiji_bridge.measure(image), measure_focus(plane)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)


# Colours


@pytest.fixture
def coloured(stack):
    return np.stack([scaled(stack[k], "uint8") for k in (0, 3, 7)], axis=-1)


def indexed(image_plus, numbers, palette):
    image = image_plus(numbers)
    table = jpype.JClass("java.awt.image.IndexColorModel")
    bands = [jpype.JArray(jpype.JByte)(palette[:, i].copy().view(np.int8)) for i in range(3)]
    image.getProcessor().setColorModel(table(8, len(palette), *bands))
    return image


def test_indexed_colours(stack, image_plus, assert_same):
    numbers = scaled(stack[3], "uint8")
    palette = np.random.default_rng(1).integers(0, 256, (256, 3)).astype(np.uint8)
    image = indexed(image_plus, numbers, palette)
    for c in (1, 2, 3):
        expected = measure_focus(palette[numbers][..., c - 1])
        assert_same(fiji_bridge.measure(image, c=c), expected)
    with pytest.raises(ImageError, match="three colours"):
        fiji_bridge.measure(image)
    few = indexed(image_plus, numbers // 16, palette[:16])
    assert_same(fiji_bridge.measure(few, c=2), measure_focus(palette[numbers // 16][..., 1]))
    # A lookup table of the menu is none, however wild it is.
    image.setProp("CurrentLUT", "glasbey")
    assert_same(fiji_bridge.measure(image), measure_focus(numbers))


@pytest.mark.parametrize("c", [1, 2, 3])
def test_a_colour(coloured, image_plus, assert_same, c):
    found = fiji_bridge.measure(image_plus(coloured), c=c)
    assert_same(found, measure_focus(coloured[..., c - 1]))


def test_colours_read_as_from_a_file(coloured, image_plus, assert_same, tmp_path):
    path = tmp_path / "colours.tif"
    tifffile.imwrite(path, coloured, photometric="rgb")
    image = jpype.JClass("ij.IJ").openImage(str(path))
    assert image.getBitDepth() == 24
    for c, plane in enumerate(planes(path), start=1):
        assert_same(fiji_bridge.measure(image, c=c), measure_focus(plane.array))
    (grey,) = planes(path, luminance=True)
    assert_same(fiji_bridge.measure(image, luminance=True), measure_focus(grey.array))
    np.testing.assert_array_equal(opened(image).colours(Position(1, 1, 1)), coloured)


def test_different_colours_need_a_choice(coloured, image_plus):
    with pytest.raises(ImageError, match=r"c=1 \(red\), c=2 \(green\) or c=3 \(blue\), or give"):
        fiji_bridge.measure(image_plus(coloured))


def test_equal_colours_are_one_grey_image(coloured, image_plus, assert_same):
    grey = coloured[..., :1].repeat(3, axis=2)
    expected = measure_focus(coloured[..., 0])
    for options in ({}, {"luminance": True}, {"c": 2}):
        assert_same(fiji_bridge.measure(image_plus(grey), **options), expected)


def test_a_stack_of_colours(coloured, image_plus, assert_same):
    colours = np.stack([coloured, coloured[::-1], coloured[:, ::-1]])
    image = image_plus(colours)
    found = fiji_bridge.measure_stack(image, c=3)
    assert_same(found, measure_stack(colours[..., 2]))
    assert_same(fiji_bridge.measure(image, c=2, z=2), measure_focus(colours[1, ..., 1]))


def test_luminance_of_grey_is_refused(stack, image_plus):
    with pytest.raises(SettingsError, match="no colours"):
        fiji_bridge.measure(image_plus(stack[0]), luminance=True)


# Many planes


@pytest.fixture(scope="module")
def hyperstack(stack, image_plus):
    """2 channels, 3 slices, 2 frames, in ImageJ's order: channels fastest."""
    every = np.concatenate([stack, stack[:4, ::-1]]).reshape(2, 3, 2, 168, 168)
    image = image_plus(every.reshape(-1, 168, 168), channels=2, slices=3, frames=2)
    return image, every


@pytest.mark.parametrize("t", [1, 2])
@pytest.mark.parametrize("z", [1, 2, 3])
@pytest.mark.parametrize("c", [1, 2])
def test_every_plane_of_a_hyperstack(hyperstack, assert_same, c, z, t):
    image, every = hyperstack
    expected = measure_focus(every[t - 1, z - 1, c - 1])
    assert_same(fiji_bridge.measure(image, c=c, z=z, t=t), expected)
    image.setPosition(c, z, t)
    assert_same(fiji_bridge.measure(image), expected)


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_a_composite_image(hyperstack, assert_same, mode):
    image, every = hyperstack
    composite = jpype.JClass("ij.CompositeImage")(image.duplicate(), mode)
    composite.setPosition(2, 3, 1)
    assert_same(fiji_bridge.measure(composite), measure_focus(every[0, 2, 1]))


def test_a_stack_along_z_for_a_channel_and_frame(hyperstack, assert_same):
    image, every = hyperstack
    for c in (1, 2):
        for t in (1, 2):
            found = fiji_bridge.measure_stack(image, c=c, t=t)
            assert_same(found, measure_stack(every[t - 1, :, c - 1]))
    image.setPosition(2, 1, 2)
    assert_same(fiji_bridge.measure_stack(image), measure_stack(every[1, :, 1]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"c": 3}, "c must be a channel, 1 to 2, counted from 1, not 3"),
        ({"z": 0}, "z must be a slice, 1 to 3, counted from 1, not 0"),
        ({"t": 3}, "t must be a frame, 1 to 2"),
        ({"t": 1.5}, "t must be a whole number"),
        ({"c": True}, "c must be a whole number"),
    ],
)
def test_a_plane_that_is_not_there(hyperstack, options, said):
    with pytest.raises(SettingsError, match=said):
        fiji_bridge.measure(hyperstack[0], **options)


def test_one_slice_is_no_stack(stack, image_plus):
    image = image_plus(stack[:3], frames=3)
    with pytest.raises(ImageError, match=r"one slice and 3 frame\(s\)"):
        fiji_bridge.measure_stack(image)


def test_a_virtual_stack_is_read_plane_by_plane(sample, stack, assert_same):
    image = jpype.JClass("ij.IJ").openVirtual(str(sample / "B03_s1_dna_stack.tif"))
    assert image.getStack().isVirtual()
    image.setDimensions(1, 8, 1)
    for z in (1, 4, 8):
        assert_same(fiji_bridge.measure(image, z=z), measure_focus(stack[z - 1]))
    assert_same(fiji_bridge.measure_stack(image), measure_stack(stack))


def test_a_virtual_stack_whose_file_is_gone(sample, tmp_path):
    path = tmp_path / "moved.tif"
    path.write_bytes((sample / "B03_s1_dna_stack.tif").read_bytes())
    image = jpype.JClass("ij.IJ").openVirtual(str(path))
    path.unlink()
    with pytest.raises(ImageError, match=r"Plane 5 .*moved.tif does not exist any more"):
        fiji_bridge.measure(image, z=5)


def test_a_folder_as_a_virtual_stack(stack, tmp_path, assert_same):
    for z, plane in enumerate(stack[:3]):
        tifffile.imwrite(tmp_path / f"{z}.tif", plane)
    image = jpype.JClass("ij.plugin.FolderOpener").open(str(tmp_path), "virtual")
    assert image.getStack().isVirtual()
    for z in (1, 2, 3):
        assert_same(fiji_bridge.measure(image, z=z), measure_focus(stack[z - 1]))
    (tmp_path / "1.tif").unlink()
    with pytest.raises(ImageError, match="Plane 2 .* does not exist any more"):
        fiji_bridge.measure(image, z=2)


# Selections


def rectangle():
    return jpype.JClass("ij.gui.Roi")(10.0, 20.0, 100.0, 130.0)


def beyond():
    return jpype.JClass("ij.gui.Roi")(-30.0, -20.0, 140.0, 120.0)


def rounded():
    roi = rectangle()
    roi.setCornerDiameter(40)
    return roi


def oval():
    return jpype.JClass("ij.gui.OvalRoi")(-20.0, 5.0, 150.0, 140.0)


def polygon(kind="POLYGON"):
    roi = jpype.JClass("ij.gui.Roi")
    x, y = [5.0, 160.0, 120.0, 30.0], [10.0, 30.0, 165.0, 150.0]
    as_java = jpype.JArray(jpype.JFloat)
    return jpype.JClass("ij.gui.PolygonRoi")(as_java(x), as_java(y), getattr(roi, kind))


def freehand():
    return polygon("FREEROI")


def two_parts():
    shape = jpype.JClass("ij.gui.ShapeRoi")
    return shape(oval()).xor(shape(rectangle()))


def rotated():
    return jpype.JClass("ij.plugin.RoiRotator").rotate(rectangle(), 30.0)


AREAS = [rectangle, beyond, rounded, oval, polygon, freehand, two_parts, rotated]


@pytest.mark.parametrize("area", AREAS, ids=lambda area: area.__name__)
def test_an_area_limits_which_pixels_count(stack, image_plus, assert_same, area):
    image = image_plus(stack[3])
    image.setRoi(area())
    drawn = image.createRoiMask()
    inside = np.array(drawn.getPixels()).reshape(168, 168) != 0
    assert 0 < inside.sum() < inside.size
    np.testing.assert_array_equal(opened(image).mask(), inside)
    found = fiji_bridge.measure(image)
    assert_same(found, measure_focus(stack[3], mask=inside))
    assert not np.array_equal(found.probabilities, measure_focus(stack[3]).probabilities)


def test_an_area_of_a_stack(stack, image_plus, assert_same):
    image = image_plus(stack)
    image.setRoi(oval())
    inside = np.array(image.createRoiMask().getPixels()).reshape(168, 168) != 0
    expected = measure_stack(stack, masks=[inside] * 8)
    assert_same(fiji_bridge.measure_stack(image), expected)


def test_an_area_outside_leaves_nothing(stack, image_plus):
    image = image_plus(stack[0])
    image.setRoi(jpype.JClass("ij.gui.Roi")(-50.0, -50.0, 40.0, 40.0))
    assert image.getRoi() is None or not opened(image).mask().any()


@pytest.mark.parametrize("kind", ["line", "points"])
def test_what_encloses_nothing_limits_nothing(stack, image_plus, assert_same, kind):
    image = image_plus(stack[3])
    line = jpype.JClass("ij.gui.Line")(10.0, 10.0, 100.0, 120.0)
    points = jpype.JClass("ij.gui.PointRoi")(30.0, 40.0)
    image.setRoi(line if kind == "line" else points)
    assert_same(fiji_bridge.measure(image), measure_focus(stack[3]))


def test_a_mask_beside_an_area(stack, image_plus, assert_same):
    image = image_plus(stack[3])
    image.setRoi(jpype.JClass("ij.gui.Roi")(0.0, 0.0, 168.0, 130.0))
    mask = np.zeros((168, 168))
    mask[:, 20:] = 7
    inside = mask != 0
    inside[130:] = False
    assert_same(fiji_bridge.measure(image, mask=mask), measure_focus(stack[3], mask=inside))
    with pytest.raises(SettingsError, match=r"\(168, 168\), not \(3, 3\)"):
        fiji_bridge.measure(image, mask=np.ones((3, 3)))


# Optics


def calibrated(image, size, unit, height=None):
    calibration = image.getCalibration()
    calibration.setUnit(unit)
    calibration.pixelWidth = float(size)
    calibration.pixelHeight = float(size if height is None else height)
    return image


@pytest.mark.parametrize(
    ("size", "unit"),
    [
        (0.65, "micron"),
        (0.65, "microns"),
        (0.65, "µm"),
        (0.65, "\u03bcm"),
        (0.65, "um"),
        (650, "nm"),
        (0.00065, "mm"),
        (0.000065, "cm"),
        (0.65e-6, "m"),
    ],
)
def test_the_pixel_size_in_any_unit(stack, image_plus, size, unit):
    image = calibrated(image_plus(stack[0]), size, unit)
    optics = fiji_bridge.optics_of(image, 0.5, wavelength_um=0.52)
    assert optics.pixel_size_um == pytest.approx(0.65, rel=1e-9)
    assert (optics.na, optics.refractive_index, optics.wavelength_um) == (0.5, 1.0, 0.52)


@pytest.mark.parametrize("unit", ["pixel", "pixels", "", " ", "sec", "inch", "in"])
def test_an_image_without_a_length_is_refused(stack, image_plus, unit):
    image = calibrated(image_plus(stack[0]), 0.65, unit)
    with pytest.raises(OpticsError, match=r"not calibrated .* Image > Properties"):
        fiji_bridge.optics_of(image, 0.5)


def test_pixels_that_are_almost_square(stack, image_plus):
    image = image_plus(stack[0])
    for width, height in ((0.65, 0.65), (0.65, 0.71), (0.71, 0.65)):
        optics = fiji_bridge.optics_of(calibrated(image, width, "um", height), 0.5)
        assert optics.pixel_size_um == pytest.approx((width * height) ** 0.5, rel=1e-12)
    for height in (0.72, 0.59, 1.3):
        calibrated(image, 0.65, "um", height)
        with pytest.raises(OpticsError, match=rf"not square \(0.65 .* by {height} .* a tenth"):
            fiji_bridge.optics_of(image, 0.5)


@pytest.mark.parametrize("rescale", [False, True])
def test_optics_and_limit_are_handed_on(stack, image_plus, assert_same, rescale):
    options = dict(optics=DRY, rescale=rescale, in_focus_limit=5)
    image = image_plus(stack)
    assert_same(fiji_bridge.measure(image, z=2, **options), measure_focus(stack[1], **options))
    assert_same(fiji_bridge.measure_stack(image, **options), measure_stack(stack, **options))
    assert fiji_bridge.measure(image, "compact", z=1).status == "out_of_focus"


def test_a_text_limits_nothing(stack, image_plus, assert_same):
    from scyjava import jimport

    image = image_plus(stack[0])
    image.setRoi(jimport("ij.gui.TextRoi")(10, 10, "a remark"))
    assert image.getRoi().isArea()
    assert_same(fiji_bridge.measure(image), measure_focus(stack[0]))


# What is no image


def test_a_closed_image(stack, image_plus):
    image = image_plus(stack[0])
    # What closing its window does.
    image.flush()
    with pytest.raises(ImageError, match="no pixels, or was closed"):
        fiji_bridge.measure(image)


def test_other_objects_of_java():
    for other in (jpype.JString("a.tif"), jpype.JClass("java.util.ArrayList")()):
        with pytest.raises(ImageError, match=r"Java class java\..* give an ij.ImagePlus"):
            fiji_bridge.measure(other)


# Memory


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_pixels_are_copied_once(image_plus, dtype):
    plane = np.full((300, 300), 7, dtype)
    image = image_plus(plane)
    found = opened(image).plane(Position(1, 1, 1))
    # A view of what Java handed over; what is read later is not an old copy.
    assert not found.flags.owndata
    assert not found.flags.writeable
    image.getProcessor().set(0, 9)
    assert found[0, 0] == 7
    del found
    gc.collect()
    assert image.getProcessor().get(0) == 9
    # What was changed in Java meanwhile is seen by the next reading.
    assert opened(image).plane(Position(1, 1, 1))[0, 0] == image.getProcessor().getf(0)


def test_channels_of_a_colour_are_views(coloured, image_plus):
    read = opened(image_plus(coloured)).colours(Position(1, 1, 1))
    channel = opened(image_plus(coloured)).plane(Position(2, 1, 1))
    assert not read.flags.owndata
    assert not channel.flags.owndata
    assert read.strides == (168 * 4, 4, -1)


def test_memory_does_not_grow(image_plus):
    image = image_plus(np.zeros((2048, 2048), np.uint16))

    def read(times):
        for _ in range(times):
            assert opened(image).plane(Position(1, 1, 1)).shape == (2048, 2048)
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = read(5)
    # A single copy that was kept would be 8 MB.
    assert read(50) - before < 40_000


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_planes_of_every_type_are_rated(micrograph, image_plus, dtype):
    plane = (micrograph / (16 if dtype == "uint8" else 1)).astype(dtype)
    image = image_plus(np.stack([plane, plane[::-1]]))
    found = fiji_bridge.rate(image, z=2, score_limit=0.9)
    expected = rate_image(plane[::-1], score_limit=0.9)
    assert found.to_row() == pytest.approx(expected.to_row(), nan_ok=True)
    assert (found.c, found.z, found.t, found.colour) == (1, 2, 1, False)
    assert repr(found).startswith("<PlaneRating: c 1, z 2, t 1, score 0.")


def test_patches_inside_an_area_are_rated(micrograph, image_plus):
    image = image_plus(micrograph)
    image.setRoi(jpype.JClass("ij.gui.Roi")(0.0, 0.0, 300.0, 600.0))
    counts = np.zeros(micrograph.shape, bool)
    counts[:, :300] = True
    expected = rate_image(np.ma.MaskedArray(micrograph, ~counts))
    assert expected.to_row()["patches"] == 3
    assert fiji_bridge.rate(image).to_row() == pytest.approx(expected.to_row())
    image.deleteRoi()
    assert fiji_bridge.rate(image, mask=counts).to_row() == pytest.approx(expected.to_row())
    with pytest.raises(SettingsError, match="must have the image's shape"):
        fiji_bridge.rate(image, mask=counts[1:])


def test_colours_are_rated_as_they_are_measured(micrograph, image_plus):
    grey = (micrograph >> 4).astype(np.uint8)
    image = image_plus(np.stack([grey, grey[::-1], grey], axis=-1))
    with pytest.raises(ImageError, match="choose one with c=1"):
        fiji_bridge.rate(image)
    assert fiji_bridge.rate(image, c=2).score == rate_image(grey[::-1]).score
    assert fiji_bridge.rate(image, c=2).colour
