"""Dataset and ImgPlus, with the classes that the jar in prokaryote brings along."""

import jpype
import numpy as np
import pytest

import fiji_bridge
from microscope_quality import measure_focus, measure_stack
from microscope_quality.errors import ImageError, OpticsError, SettingsError

AXES = {"x": "X", "y": "Y", "c": "CHANNEL", "z": "Z", "t": "TIME"}
FACTORIES = {
    "uint8": ("unsignedBytes", jpype.JByte, np.int8),
    "int8": ("bytes", jpype.JByte, np.int8),
    "uint16": ("unsignedShorts", jpype.JShort, np.int16),
    "int16": ("shorts", jpype.JShort, np.int16),
    "uint32": ("unsignedInts", jpype.JInt, np.int32),
    "int32": ("ints", jpype.JInt, np.int32),
    "float32": ("floats", jpype.JFloat, np.float32),
    "float64": ("doubles", jpype.JDouble, np.float64),
}


def array_img(array):
    """Wrap an array of the axes' reversed order: NumPy's last axis is Java's first."""
    name, kind, signed = FACTORIES[array.dtype.name]
    pixels = jpype.JArray(kind)(np.ascontiguousarray(array).view(signed).ravel())
    shape = jpype.JArray(jpype.JLong)(array.shape[::-1])
    factory = getattr(jpype.JClass("net.imglib2.img.array.ArrayImgs"), name)
    return factory(pixels, shape)


def planar_img(array):
    name, kind, signed = FACTORIES[array.dtype.name]
    shape = jpype.JArray(jpype.JLong)(array.shape[::-1])
    img = getattr(jpype.JClass("net.imglib2.img.planar.PlanarImgs"), name)(shape)
    for k, plane in enumerate(array.reshape(-1, *array.shape[-2:])):
        to = img.getPlane(k).getCurrentStorageArray()
        to[:] = jpype.JArray(kind)(np.ascontiguousarray(plane).view(signed).ravel())
    return img


def img_plus(img, axes, title="picture", size=1.0, unit=None):
    """Name the axes of an image, in Java's order."""
    types = jpype.JClass("net.imagej.axis.Axes")
    kinds = jpype.JArray(jpype.JClass("net.imagej.axis.AxisType"))(
        [getattr(types, AXES[axis]) for axis in axes]
    )
    made = jpype.JClass("net.imagej.ImgPlus")(img, title, kinds)
    for d, axis in enumerate(axes):
        if axis in "xy":
            linear = jpype.JClass("net.imagej.axis.DefaultLinearAxis")
            made.setAxis(linear(kinds[d], unit, size), d)
    return made


@pytest.fixture(scope="module")
def dataset():
    context = jpype.JClass("org.scijava.Context")(False)

    def make(imgplus, merged=False):
        made = jpype.JClass("net.imagej.DefaultDataset")(context, imgplus)
        made.setRGBMerged(merged)
        return made

    yield make
    context.dispose()


@pytest.fixture(params=["array", "planar"])
def img(request):
    return {"array": array_img, "planar": planar_img}[request.param]


@pytest.mark.parametrize("dtype", sorted(FACTORIES))
def test_every_type(stack, dataset, img, assert_same, dtype):
    plane = stack[1].astype(float)
    plane = (plane / plane.max() * 120).astype(dtype)
    imgplus = img_plus(img(plane), "xy")
    expected = measure_focus(plane)
    assert_same(fiji_bridge.measure(imgplus), expected)
    assert_same(fiji_bridge.measure(dataset(imgplus)), expected)


@pytest.mark.parametrize("axes", ["xyczt", "xyzct", "xytzc"])
def test_every_plane_of_five_axes(stack, dataset, img, assert_same, axes):
    every = np.concatenate([stack, stack[:4, ::-1]])[:, :100, :130]
    lengths = {"c": 2, "z": 3, "t": 2}
    every = every.reshape(*(lengths[axis] for axis in axes[:1:-1]), 100, 130)
    image = dataset(img_plus(img(every), axes))
    for c in (1, 2):
        for z in (1, 2, 3):
            for t in (1, 2):
                at = {"c": c - 1, "z": z - 1, "t": t - 1}
                plane = every[tuple(at[axis] for axis in axes[:1:-1])]
                assert_same(fiji_bridge.measure(image, c=c, z=z, t=t), measure_focus(plane))


@pytest.mark.parametrize("axes", ["yx", "cxy", "xcy", "zyx"])
def test_axes_in_any_order_in_one_array(stack, assert_same, axes):
    java = {"c": 3, "z": 3, "x": 168, "y": 120}
    cube = stack[:3, :120]
    order = {"c": 0, "z": 0, "y": 1, "x": 2}
    if len(axes) == 2:
        found = fiji_bridge.measure(img_plus(array_img(cube[0].T), axes))
        assert_same(found, measure_focus(cube[0]))
        return
    array = cube.transpose([order[axis] for axis in axes[::-1]])
    assert array.shape == tuple(java[axis] for axis in axes[::-1])
    image = img_plus(array_img(array), axes)
    for k in range(3):
        chosen = {"c" if "c" in axes else "z": k + 1}
        assert_same(fiji_bridge.measure(image, **chosen), measure_focus(cube[k]))


def test_planes_transposed_in_a_planar_image(stack, assert_same):
    plane = stack[0][:100]
    assert_same(fiji_bridge.measure(img_plus(planar_img(plane.T), "yx")), measure_focus(plane))


def test_a_stack(stack, dataset, img, assert_same):
    image = dataset(img_plus(img(stack), "xyz"))
    assert_same(fiji_bridge.measure_stack(image), measure_stack(stack))


def test_colours(stack, dataset, img, assert_same):
    colours = (stack[[0, 3, 7]] / 20).astype(np.uint8)
    image = dataset(img_plus(img(colours), "xyc"), merged=True)
    for c in (1, 2, 3):
        assert_same(fiji_bridge.measure(image, c=c), measure_focus(colours[c - 1]))
    with pytest.raises(ImageError, match="three colours of 'picture' differ"):
        fiji_bridge.measure(image)
    grey = dataset(img_plus(img(colours[:1].repeat(3, axis=0)), "xyc"), merged=True)
    assert_same(fiji_bridge.measure(grey), measure_focus(colours[0]))


def test_several_planes_need_a_choice(stack, dataset, img):
    image = dataset(img_plus(img(stack), "xyz"))
    with pytest.raises(SettingsError, match="has 8 slices: choose one with z=1 to z=8"):
        fiji_bridge.measure(image)
    image = dataset(img_plus(img(stack[:2]), "xyc"))
    with pytest.raises(SettingsError, match="has 2 channels: choose one with c=1 to c=2"):
        fiji_bridge.measure(image)


def test_pixels_elsewhere_are_refused_with_what_to_do(dataset):
    factory = jpype.JClass("net.imglib2.img.cell.CellImgFactory")
    kind = jpype.JClass("net.imglib2.type.numeric.integer.UnsignedByteType")()
    shape = jpype.JArray(jpype.JLong)([100, 90])
    cells = factory(20).create(shape, kind)
    with pytest.raises(ImageError, match=r"'cells' \(.*\) are not in arrays .* ij.py.to_xarray"):
        fiji_bridge.measure(dataset(img_plus(cells, "xy", title="cells")))


def test_a_planar_image_of_other_planes_is_refused(stack):
    image = img_plus(planar_img(stack[:3].transpose(1, 2, 0)), "cxy")
    with pytest.raises(ImageError, match=r"ij.py.to_xarray\(image\)"):
        fiji_bridge.measure(image, c=1)


def test_bits_are_refused():
    bits = jpype.JClass("net.imglib2.img.array.ArrayImgs").bits(
        jpype.JArray(jpype.JLong)([100, 100])
    )
    with pytest.raises(ImageError, match="are of BitType, which is not measured"):
        fiji_bridge.measure(img_plus(bits, "xy"))


@pytest.mark.parametrize(("size", "unit"), [(0.325, "um"), (0.325, "µm"), (325.0, "nm")])
def test_the_calibration(stack, dataset, size, unit):
    image = dataset(img_plus(array_img(stack[0]), "xy", size=size, unit=unit))
    optics = fiji_bridge.optics_of(image, 0.75, wavelength_um=0.6)
    assert optics.pixel_size_um == pytest.approx(0.325)


def test_no_calibration(stack, dataset):
    image = dataset(img_plus(array_img(stack[0]), "xy"))
    with pytest.raises(OpticsError, match="not calibrated"):
        fiji_bridge.optics_of(image, 0.75)


def test_a_dataset_is_not_shown(stack, dataset):
    image = dataset(img_plus(array_img(stack[0]), "xy"))
    with pytest.raises(ImageError, match=r"not on a net.imagej.DefaultDataset: ij.py.to_imageplus"):
        fiji_bridge.show(image, fiji_bridge.measure(image))
