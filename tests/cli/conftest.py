"""What the tests of several commands need."""

import coded
import numpy as np
import pytest
import tifffile
from PIL import Image


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The model that reads coded patches."""
    folder = tmp_path_factory.mktemp("models") / "coded"
    coded.write(folder)
    return folder


@pytest.fixture
def plate(tmp_path):
    """A folder with an image of each status."""
    folder = tmp_path / "plate"
    (folder / "day 2").mkdir(parents=True)
    tifffile.imwrite(folder / "A01_s1.tif", coded.plane(coded.FOCUSED))
    tifffile.imwrite(folder / "A02_s1.tif", coded.plane(coded.BLURRED))
    tifffile.imwrite(folder / "day 2" / "B10_s2.tif", coded.plane(coded.MIXED))
    Image.fromarray(coded.plane(coded.EMPTY)).save(folder / "day 2" / "B11_s2.png")
    return folder


@pytest.fixture
def mixed_folder(tmp_path):
    """A folder with two images, a z-stack, and a file that is none and looks like a formula."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    tifffile.imwrite(folder / "A01.tif", coded.plane(coded.FOCUSED))
    tifffile.imwrite(folder / "A02.tif", coded.plane(coded.BLURRED))
    stack = np.stack([coded.plane(coded.BLURRED), coded.plane(coded.FOCUSED)])
    tifffile.imwrite(folder / "A03.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    (folder / "=1+1.tif").write_bytes(b"nothing")
    return folder
