"""Starts Java in this process, and makes its images."""

import os
from dataclasses import fields
from pathlib import Path

import fiji_vectors
import jpype
import numpy as np
import pytest
import scyjava
import tifffile

scyjava.config.set_java_constraints(fetch="never")
scyjava.config.add_classpath(*os.environ["FIJI_BRIDGE_CLASS_PATH"].split(os.pathsep))
scyjava.config.add_option("-Djava.awt.headless=true")
scyjava.start_jvm()

SAMPLE = Path(__file__).parents[3] / "docs" / "sample"
TYPES = {"uint8": jpype.JByte, "uint16": jpype.JShort, "float32": jpype.JFloat}
SIGNED = {"uint8": np.int8, "uint16": np.int16, "float32": np.float32}


def to_java(array):
    array = np.ascontiguousarray(array)
    name = array.dtype.name
    return jpype.JArray(TYPES[name])(array.view(SIGNED[name]).ravel())


@pytest.fixture(scope="session")
def java_array():
    return to_java


@pytest.fixture(scope="session")
def stack():
    """Eight planes through focus, of 168 x 168 pixels and 16 bits."""
    return tifffile.imread(SAMPLE / "B03_s1_dna_stack.tif")


@pytest.fixture(scope="session")
def micrograph():
    """A textured plane with some noise, of 600 x 520 pixels and 16 bits."""
    recipe = {"drawn": [2, 2], "size": [600, 520], "noise": 40}
    return fiji_vectors.image(recipe)[0]


@pytest.fixture(scope="session")
def sample():
    return SAMPLE


@pytest.fixture(scope="session")
def image_plus():
    """Make an ImagePlus of planes in the order of ImageJ's stacks: (n, height, width[, 3])."""

    def make(planes, channels=1, slices=None, frames=1, title="picture"):
        planes = np.asarray(planes)
        if planes.ndim == 2 or (planes.ndim == 3 and planes.shape[2] == 3):
            planes = planes[np.newaxis]
        height, width = planes.shape[1:3]
        stack = jpype.JClass("ij.ImageStack")(width, height)
        for plane in planes:
            if plane.ndim == 3:
                red, green, blue = (plane[..., i].astype(np.int32) for i in range(3))
                packed = (-(2**24)) | red << 16 | green << 8 | blue
                pixels = jpype.JArray(jpype.JInt)(packed.ravel())
            else:
                pixels = to_java(plane)
            stack.addSlice("", pixels)
        image = jpype.JClass("ij.ImagePlus")(title, stack)
        if len(planes) > 1:
            image.setDimensions(channels, slices or len(planes) // channels // frames, frames)
            image.setOpenAsHyperStack(True)
        return image

    return make


@pytest.fixture(scope="session")
def assert_same():
    """Two results are the same, to 1e-6."""

    def check(found, expected):
        for field in fields(expected):
            one, other = getattr(found, field.name), getattr(expected, field.name)
            if field.name == "results":
                assert len(one) == len(other)
                for pair in zip(one, other):
                    check(*pair)
            elif isinstance(other, (str, type(None))):
                assert one == other, field.name
            else:
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-6, err_msg=field.name)

    return check
