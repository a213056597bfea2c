"""What a TIFF's directories claim: bounded, and listed in a time that grows with the file alone."""

import struct
import time

import numpy as np
import pytest
import tifffile
from tiff_files import PIXELS, described, page, tiff

from microscope_quality.errors import FileError
from microscope_quality.files.directories import read_directories
from microscope_quality.files.images import open_image, planes

#: Listing a file of 300 kB; a slow machine's tenfold.
_SECONDS = 30


def listed(path, content):
    """Pages of a file, or the error, and that it was soon."""
    path.write_bytes(content)
    began = time.process_time()
    try:
        return open_image(path).pages
    except FileError as error:
        assert str(error).startswith(f"{path}: ")
        return str(error)
    finally:
        assert time.process_time() - began < _SECONDS


def lsm(colour_bytes):
    info = bytearray(500)
    struct.pack_into("<II", info, 0, 0x00400494C, 500)
    struct.pack_into("<I", info, 108, 8)  # where the colours are, of which the length comes first
    return tiff(page(t34412=(1, bytes(info))), data=struct.pack("<I", colour_bytes) + PIXELS[4:])


def overlapping():
    """Each directory begins within the one before."""
    return struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<HI", 4000, 10) * 50_000


def with_sub_directories(n_pages, within=()):
    """Each page names 64 directories, which are all the same one."""
    sub = 8 + len(PIXELS) + 4 * 64
    data = PIXELS + struct.pack("<64I", *[sub] * 64)
    directory = sorted(page(**dict(within)).items())
    entries = b"".join(
        struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in directory
    )
    data += struct.pack("<H", len(directory)) + entries + bytes(4)
    content = bytearray(tiff(*[page(t330=(4, 8))] * n_pages, data=data))
    old = struct.pack("<HHII", 330, 4, 1, 8)
    return bytes(content).replace(old, struct.pack("<HHII", 330, 4, 64, 8 + len(PIXELS)))


REFUSED = {
    "65,535 sub-directories": (tiff(page(t330=(4, [8] * 65535))), "65535 directories within"),
    "the same sub-directories": (with_sub_directories(2000), "its directories overlap"),
    "sub-directories of their own": (
        with_sub_directories(1, {"t330": (4, 8)}),
        "have others within them",
    ),
    "overlapping directories": (overlapping(), "damaged|overlap"),
    "5,000 tags": (tiff(dict.fromkeys(range(60_000, 65_000), (3, 0))), "5000 tags"),
    "sizes without end": (
        tiff(*[page(t256=(4, n), t279=(4, 1)) for n in range(1, 600)]),
        "pages of over 500 sizes",
    ),
    "planes of MetaMorph": (
        tiff(page(t33628=(4, 0), t33629=(4, 0))).replace(
            struct.pack("<HHI", 33629, 4, 1), struct.pack("<HHI", 33629, 5, 2**31)
        ),
        "tells of 2147483648 planes",
    ),
    "colours of an LSM": (lsm(2**20), "names of its colours"),
    "axes without end": (described('{"shape": [' + "1, " * 50_000 + "16, 16]}"), "axes"),
    "axes without end, of 2": (described('{"shape": [' + "2, " * 50_000 + "16, 16]}"), "axes"),
    "old axes without end": (described("shape=(" + "1," * 50_000 + "16,16)"), "axes"),
    "planes of a shape": (described('{"shape": [1000000000, 16, 16]}'), "has 1000000000 planes"),
    "pages that count backwards": (
        described('{"shape": [16, 16]}').replace(
            struct.pack("<HHII", 257, 4, 1, 16), struct.pack("<HHIi", 257, 9, 1, -1)
        ),
        "its tag 257 is a number below 0",
    ),
    "nested lists": (described('{"shape": ' + "[" * 90_000 + "]" * 90_000 + "}"), "damaged"),
    "planes of ImageJ": (described("ImageJ=1\nimages=9999999\nslices=9999999\n"), "cut short"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_claims_without_end_are_refused(tmp_path, what):
    content, said = REFUSED[what]
    found = listed(tmp_path / "a.tif", content)
    assert isinstance(found, str), f"{len(found)} pages"
    assert any(part in found for part in said.split("|")), found


def test_tags_again_and_again(tmp_path):
    entry = struct.pack("<HHII", 270, 2, 4, 0)
    directory = struct.pack("<H", 4000) + entry * 4000 + bytes(4)
    found = listed(tmp_path / "a.tif", struct.pack("<2sHI", b"II", 42, 8) + directory)
    assert "has its tag 270 4000 times" in found


@pytest.mark.parametrize(("tag", "kind", "size"), [(270, 2, 1), (273, 4, 4), (339, 3, 2)])
def test_values_that_all_pages_share(tmp_path, tag, kind, size):
    """Of 200 kB, which each of 2,000 pages would take anew."""
    data = PIXELS + b"\1" * 200_000
    tags = page(**{f"t{tag}": (kind, [0] if kind != 2 else b"a")})
    content = tiff(*[tags] * 2000, data=data)
    value = 0x61 if kind == 2 else 0
    old = struct.pack("<HHII", tag, kind, 1, value)
    assert content.count(old) == 2000
    content = content.replace(old, struct.pack("<HHII", tag, kind, 200_000 // size, 520))
    assert "values of its tags take over" in listed(tmp_path / "a.tif", content)


def test_many_pages_are_listed(tmp_path):
    assert len(listed(tmp_path / "a.tif", tiff(*[page()] * 2500))) == 2500
    # The first differs, so that tifffile looks at all.
    differ = [page(t256=(4, 8), t279=(4, 256)), *[page()] * 2400]
    assert len(listed(tmp_path / "a.tif", tiff(*differ))) == 2401
    # Of so many sizes that some pages are taken for smaller copies of others.
    kinds = [page(t256=(4, 1 + n % 20), t257=(4, 1 + n // 20), t278=(4, 99)) for n in range(400)]
    assert 300 < len(listed(tmp_path / "a.tif", tiff(*kinds))) <= 400
    reduced = [page(), *[{**tags, 254: (4, 1)} for tags in kinds]]
    assert len(listed(tmp_path / "a.tif", tiff(*reduced))) <= 2


def test_pages_that_are_alike_are_grouped_as_tifffile_groups_them(tmp_path):
    path = tmp_path / "a.tif"
    rng = np.random.default_rng(1)
    with tifffile.TiffWriter(path) as writer:
        for side in (64, 64, 32, 16, 50):
            image = rng.integers(0, 99, (side, side)).astype(np.uint8)
            writer.write(image, metadata=None, subifds=1 if side == 64 else 0, contiguous=False)
            if side == 64:
                writer.write(image[::2, ::2], subfiletype=1, metadata=None)
    with tifffile.TiffFile(path) as tiff_file:
        series = tiff_file.series
        expected = [(s.shape, s.axes, [level.shape for level in s.levels]) for s in series]
        assert {s.kind for s in series} == {"generic"}
    tiff_file = open_image(path)._tiff
    assert [
        (s.shape, s.axes, [level.shape for level in s.levels]) for s in tiff_file.series
    ] == expected


def test_strips_that_overlap(tmp_path):
    n = 20_000
    strips = {"t273": (4, [8] * n), "t279": (4, [190_000] * n), "t259": (3, 8), "t258": (3, 8)}
    sides = {"t256": (4, 1), "t257": (4, n), "t278": (4, 1)}
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(page(**strips, **sides), data=bytes(200_000)))
    with pytest.raises(FileError, match="strips or tiles overlap, or are larger"):
        list(planes(path))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (3, 1, 1), (3, 1, 40), (3, 40, 1)])
def test_pictures_of_one_row_or_column(tmp_path, shape):
    data = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for one in data.reshape(-1, *shape[-2:]):
            writer.write(one, metadata=None, contiguous=False, photometric="minisblack")
    found = [plane.array for plane in planes(path)]
    np.testing.assert_array_equal(found, data.reshape(-1, *shape[-2:]))


def test_pages_that_scanimage_would_have_at_even_distances(tmp_path):
    """tifffile makes pages up to the end of the file, where the first ones lie evenly."""
    path = tmp_path / "a.tif"
    content = tiff(*[page(t305=(2, b"SI.\0"))] * 6)
    path.write_bytes(content)
    with path.open("r+b") as stream:
        stream.truncate(2**31 - 1)  # takes no room on the disk
    assert len(open_image(path).pages) == 6


OLYMPUS = "[Dimension]\nBand={bands}\nZ=1\n"


@pytest.mark.parametrize(
    "text",
    [
        OLYMPUS.format(bands=10**9) + "[Band]\n",
        OLYMPUS.format(bands="1_000_000") + "[Band]\n",
        OLYMPUS.format(bands=50_000) + "[Band]\n" * 3,
        "[ASD]\nCount = 1000000000\n",
        "[ASD]\n" + "Count=90000\n" * 20_000,
    ],
)
def test_bands_that_olympus_text_tells_of(tmp_path, text):
    sis = b"SIS0".ljust(60, b"\0")
    content = tiff(page(t33471=(2, text.encode() + b"\0"), t33560=(1, sis)))
    assert "tell of over 100000 bands" in listed(tmp_path / "a.tif", content)


def test_texts_of_scanimage_without_end(tmp_path):
    path = tmp_path / "a.tif"
    stack = np.arange(3 * 64 * 64, dtype=np.uint16).reshape(3, 64, 64)
    options = {"photometric": "minisblack", "software": "SI.a = 1", "metadata": None}
    tifffile.imwrite(path, stack, bigtiff=True, **options)
    with tifffile.TiffFile(path) as file:
        assert file.is_scanimage
        first = file.pages[0].offset
    content = bytearray(path.read_bytes())
    assert len(listed(path, content)) == 3
    moved = content + content[first:]
    struct.pack_into("<Q", moved, 8, len(content))
    struct.pack_into("<4I", moved, 16, 0x07030301, 3, 2**31, 1)
    assert "its metadata take 2147483648 bytes" in listed(path, moved)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_sides_of_pages(tmp_path, order, big):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, byteorder=order, bigtiff=big) as writer:
        for shape in ((40, 56), (70_000, 2)):
            writer.write(np.zeros(shape, np.uint8), metadata=None)
    with path.open("rb") as stream:
        found = read_directories(stream, path.stat().st_size)
    assert found.sides == [(56, 40), (2, 70_000)]


def test_what_lies_behind_a_short_number_does_not_matter(tmp_path):
    content = tiff(page(t256=(3, 16)))
    entry = struct.pack("<HHII", 256, 3, 1, 16)
    (tmp_path / "a.tif").write_bytes(content.replace(entry, entry[:-2] + b"ab"))
    with (tmp_path / "a.tif").open("rb") as stream:
        assert read_directories(stream, len(content)).sides == [(16, 16)]
