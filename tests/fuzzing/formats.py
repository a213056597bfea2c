"""Files of microscopes' makers and OME-Zarr folders for fuzzing: small ones of each kind, changes
that keep their structure, and the outcome that any of them must have.

An input is a byte that tells the kind, and a file or the files of a folder.
"""

from __future__ import annotations

import functools
import json
import random
import re
import shutil
import struct
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np

from microscope_quality.files import formats, images, ome_zarr, zarr_arrays, zarr_codecs

from ..lif_files import lif
from ..nd2_files import nd2
from .images import LIMITS, MAX_PAGE_BYTES, PAGES_IN_MEMORY, read_all
from .models import changed
from .outcome import SPARE_BYTES, bounded, limited, scratch

#: Endings by the number of a kind, and what reads them.
KINDS = (".czi", ".lif", ".nd2", ".zarr")
_READERS = ("bioio_czi", "liffile", "bioio_nd2", "imagecodecs")
_LIMITS = {
    **LIMITS,
    (formats, "MAX_PLANES"): 1000,
    (formats, "_LONGEST_SIDE"): 2**20,
    (zarr_arrays, "MAX_WHOLE_BYTES"): MAX_PAGE_BYTES,
    (zarr_codecs, "MAX_WHOLE_BYTES"): MAX_PAGE_BYTES,
    (ome_zarr, "_MOST_IMAGES"): 100,
    (ome_zarr, "MAX_PLANES"): 1000,
}
_FOLDER = scratch()


def check(content: bytes) -> None:
    """Read all that a file or folder gives; raise what is not the stated outcome."""
    path = _FOLDER / f"fuzzed{KINDS[content[0] % len(KINDS) if content else 0]}"
    _write(path, content)
    load()
    with limited(_LIMITS), bounded(PAGES_IN_MEMORY * MAX_PAGE_BYTES + SPARE_BYTES, 10):
        read_all(path)


@functools.lru_cache(maxsize=None)
def load() -> None:
    """Load what is loaded at first use, which is no part of what a file takes."""
    for content in seeds().values():
        if find_spec(_READERS[content[0]]):
            path = _FOLDER / f"first{KINDS[content[0]]}"
            _write(path, content)
            for plane in images.planes(path):
                assert plane.array.any()


def _write(path: Path, content: bytes) -> None:
    if path.suffix == ".zarr":
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        for name, part in _parted(content[1:]).items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(part)
    else:
        path.write_bytes(content[1:])


# Seeds


def seeds() -> Dict[str, bytes]:
    """Small valid files of each kind, as far as what writes them is installed."""
    rng = np.random.default_rng(7)
    stack = rng.integers(0, 4000, (3, 16, 16, 2)).astype(np.uint16)
    rgb = rng.integers(0, 255, (1, 16, 16, 3)).astype(np.uint8)
    optics = {"dCalibration": 0.325, "dObjectiveNA": 0.75, "dRefractIndex1": 1.0}
    channels, colours = (np.moveaxis(data, 3, 0) for data in (stack, rgb))
    found = {
        "nd2_stack": nd2(stack, loops=[("z", 3)], optics=optics, wavelengths_nm=[520.0]),
        "nd2_positions": nd2(stack[..., :1], loops=[("p", 3)]),
        "nd2_packed": nd2(stack[:2], loops=[("t", 2)], packed=True),
        "nd2_colour": nd2(rgb, rgb=True),
    }
    found = {name: b"\2" + content for name, content in found.items()}
    found["lif"] = b"\1" + lif([channels, colours[:1]])
    found["lif_colour"] = b"\1" + lif([colours], "", "BGR")
    if find_spec("bioio_czi") and find_spec("pylibCZIrw"):
        for name, frames, options in (
            ("czi_stack", stack[..., :1], ""),
            ("czi_packed", stack[..., :1] // 500, "zstd1:ExplicitLevel=1"),
            ("czi_colour", rgb, ""),
        ):
            found[name] = b"\0" + _czi(frames, options)
    if find_spec("zarr") and sys.version_info >= (3, 11):
        for name, zarr_format, options in _zarr_kinds():
            found[name] = b"\3" + _joined(_zarr(stack[..., 0], zarr_format, **options))
    return found


def _zarr_kinds() -> Iterator[Tuple[str, int, Dict[str, Any]]]:
    import numcodecs
    from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec

    yield "zarr2", 2, {}
    yield "zarr3", 3, {}
    filters = [numcodecs.Delta("<u2", "<i4"), numcodecs.Shuffle(4), numcodecs.CRC32()]
    yield "zarr2_filters", 2, {"filters": filters, "compressors": numcodecs.Zlib(), "order": "F"}
    yield "zarr2_lz4", 2, {"filters": [numcodecs.LZ4()], "compressors": numcodecs.LZMA()}
    yield "zarr2_blosc", 2, {"compressors": numcodecs.Blosc("zstd", blocksize=128)}
    shards = {"shards": (1, 16, 16), "compressors": [GzipCodec(), Crc32cCodec()]}
    yield "zarr3_shards", 3, shards
    filters = [TransposeCodec(order=(0, 2, 1))]
    yield (
        "zarr3_transposed",
        3,
        {"filters": filters, "serializer": BytesCodec(endian="big"), "compressors": BloscCodec()},
    )


def _czi(frames: Any, options: str) -> bytes:
    from pylibCZIrw import czi

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.czi"
        with czi.create_czi(str(path), compression_options=options or None) as writer:
            for z, frame in enumerate(frames):
                writer.write(data=frame, plane={"C": 0, "Z": z, "T": 0})
            writer.write_metadata("a", scale_x=0.25e-6, scale_y=0.25e-6)
        return path.read_bytes()


def _zarr(stack: Any, zarr_format: int, **options: Any) -> Dict[str, bytes]:
    import zarr

    with tempfile.TemporaryDirectory() as folder:
        group = zarr.open_group(folder, mode="w", zarr_format=zarr_format)
        for name, level in (("0", stack), ("1", stack[:, ::2, ::2])):
            more = {key: value for key, value in options.items() if name == "0" or key != "shards"}
            array = group.create_array(
                name, shape=level.shape, dtype=level.dtype, chunks=(1, 8, 16), **more
            )
            array[...] = level
        axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
        scale = {"type": "scale", "scale": [1.0, 0.3, 0.3]}
        datasets = [{"path": n, "coordinateTransformations": [scale]} for n in "01"]
        multiscales = [{"version": "0.4", "axes": axes, "datasets": datasets}]
        group.attrs.update(
            {"multiscales": multiscales}
            if zarr_format == 2
            else {"ome": {"version": "0.5", "multiscales": multiscales}}
        )
        found = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def _joined(files: Dict[str, bytes]) -> bytes:
    parts = ((name.encode(), content) for name, content in files.items())
    return b"".join(struct.pack("<HI", len(n), len(c)) + n + c for n, c in parts)


def _parted(content: bytes) -> Dict[str, bytes]:
    """Files by their names, none of them outside of the folder."""
    files: Dict[str, bytes] = {}
    at = 0
    while at + 6 <= len(content) and len(files) < 64:
        n_name, length = struct.unpack_from("<HI", content, at)
        name = content[at + 6 : at + 6 + n_name].decode("ascii", "replace")
        at += 6 + n_name
        if re.fullmatch(r"(\.?[a-z0-9]+/){0,4}\.?[A-Za-z0-9][A-Za-z0-9.]{0,40}", name):
            taken = [other for other in files if f"{other}/".startswith(f"{name}/")]
            if not taken and not any(name.startswith(f"{other}/") for other in files):
                files[name] = content[at : at + length]
        at += length
    return files


# Changes

_NUMBERS = (
    *(0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 32, 64, 255, 256, 1000, 4096, 65535, 65536, 10**6, 2**24),
    *(2**28, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 1),
)
_WORDS = ("-1", "0.5", "nan", "1e308", "-0", "x", "", "9" * 30)


def mutate(content: bytes, longest: int, seed: int, anyhow: Callable[[bytes, int], bytes]) -> bytes:
    """Change numbers in a file's records and texts, or anything."""
    rng = random.Random(seed)
    kind, body = bytes([content[0] % len(KINDS) if content else 0]), content[1:]
    if kind == b"\3":
        files = _parted(body)
        for _ in range(rng.randint(1, 2)):
            if files:
                name = rng.choice(sorted(files))
                files[name] = _changed_file(files[name], rng, longest, anyhow)
                if rng.random() < 0.05:
                    other = rng.choice(sorted(files))
                    files[other] = files.pop(name)
        return (kind + _joined(files))[:longest]
    for _ in range(rng.randint(1, 3)):
        what = rng.randrange(8)
        if what == 0:
            body = anyhow(body, longest)
        elif what == 1:
            body = body[: rng.randint(0, len(body))]
        elif what < 4:
            body = _with_other_numbers(body, rng)
        elif body:
            changed = bytearray(body)
            size = rng.choice((1, 2, 4, 4, 8))
            # Most fields lie in the first part of a record.
            at = rng.choice(_records(body)) + rng.choice((*range(64), rng.randrange(4096)))
            at = at if rng.random() < 0.7 else rng.randrange(len(body))
            if at + size <= len(changed):
                number = rng.choice(_NUMBERS) & (256**size - 1)
                changed[at : at + size] = number.to_bytes(size, "little")
            body = bytes(changed)
    return (kind + body)[:longest]


def _records(body: bytes) -> List[int]:
    found = [match.start() for match in re.finditer(rb"ZISRAW|\xda\xce\xbe\x0a|DV|p\0\0\0", body)]
    return found or [0]


def _with_other_numbers(body: bytes, rng: random.Random) -> bytes:
    """Other numbers in a text of 8 or 16 bits for each letter."""
    share = rng.choice((0.005, 0.02, 0.1))
    wide = rng.random() < 0.5

    def other(found: re.Match[bytes]) -> bytes:
        if rng.random() >= share:
            return found.group()
        text = str(rng.choice((*_NUMBERS, *_WORDS)))
        return found[1] + text.encode("utf-16-le" if wide else "ascii") + found[3]

    if wide:
        return re.sub(rb'(["=>]\0)((?:[0-9.e-]\0)+)(["<]\0)', other, body)
    return re.sub(rb'([">])([0-9.e-]+)(["<])', other, body)


def _changed_file(
    content: bytes, rng: random.Random, longest: int, anyhow: Callable[[bytes, int], bytes]
) -> bytes:
    if content[:1] == b"{" and rng.random() < 0.8:
        try:
            value = changed(json.loads(content), rng)
            return json.dumps(value).encode(errors="surrogatepass")
        except (ValueError, RecursionError):
            pass
    return anyhow(content, longest) if content else content
