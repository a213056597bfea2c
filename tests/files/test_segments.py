"""Headers of compressed strips and tiles, against the encoders that write them."""

import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from microscope_quality.files.segments import claimed_samples

ENCODERS = {
    "jpeg": imagecodecs.jpeg_encode,
    "jpeg2000": lambda image: imagecodecs.jpeg2k_encode(image, codecformat="j2k"),
    "jp2": lambda image: imagecodecs.jpeg2k_encode(image, codecformat="jp2"),
    "jpegxl": imagecodecs.jpegxl_encode,
    "jpegxl boxes": lambda image: imagecodecs.jpegxl_encode(image, usecontainer=True),
    "jpegxr": imagecodecs.jpegxr_encode,
    "png": imagecodecs.png_encode,
    "lerc": imagecodecs.lerc_encode,
}


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("shape", [(17, 40), (300, 200), (40, 17, 3), (128, 256), (9, 16)])
def test_what_encoders_write_is_read(kind, shape):
    image = np.random.default_rng(3).integers(0, 255, shape).astype(np.uint8)
    samples = claimed_samples(bytes(ENCODERS[kind](image)))
    # Of these two the channels are not read, and four are assumed.
    four = shape[0] * shape[1] * 4
    assert samples == (four if kind.startswith("jpegx") else image.size)


@pytest.mark.parametrize("encode", [imagecodecs.zlib_encode, imagecodecs.lzw_encode, bytes])
def test_other_codecs_have_no_header(encode):
    assert claimed_samples(bytes(encode(bytes(100)))) == 0


@given(st.sampled_from(list(ENCODERS)), st.data())
def test_no_header_is_too_damaged(kind, data):
    content = bytearray(ENCODERS[kind](np.zeros((8, 8), np.uint8)))
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    assert claimed_samples(bytes(content[:cut])) >= 0
