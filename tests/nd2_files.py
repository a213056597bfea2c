"""Write ND2 files of Nikon's version 3.0, as small as they can be."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any, Dict, Mapping, Sequence, Tuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAGIC = 0x0ABECEDA
_FIRST = b"ND2 FILE SIGNATURE CHUNK NAME01!"
_MAP = b"ND2 FILEMAP SIGNATURE NAME 0001!"
_LAST = b"ND2 CHUNK MAP SIGNATURE 0000001!"
# The name of an image's chunk takes so much that its pixels, after a time of 8 bytes, begin 4096
# bytes after the chunk.
_IMAGE_NAME = 4072


def nd2(
    frames: NDArray[Any],
    *,
    loops: Sequence[Tuple[str, int]] = (),
    rgb: bool = False,
    optics: Mapping[str, Any] = {},
    wavelengths_nm: Sequence[float] = (),
    left_out: Sequence[int] = (),
    packed: bool = False,
    attributes: Mapping[str, int] = {},
) -> bytes:
    """A file.

    Parameters
    ----------
    frames
        (number, height, width, channels) of 8 or 16 bits: of each frame, all channels. With
        `rgb`, the channels are those of one colour camera.
    loops
        "t", "z" or "p" (positions of the stage) and how many there are; the outermost first.
    optics
        Entries of the metadata, such as dCalibration (µm), dObjectiveNA, dRefractIndex1.
    wavelengths_nm
        Of the channels' emission.
    left_out
        Frames that are not in the file, as after an acquisition that was ended early.
    packed
        Compress the pixels without loss.
    attributes
        In place of the true ones, such as uiWidth.
    """
    n, height, width, channels = frames.shape
    bits = 8 * frames.dtype.itemsize
    about: Dict[str, Any] = {
        "uiWidth": width,
        "uiWidthBytes": width * channels * frames.dtype.itemsize,
        "uiHeight": height,
        "uiComp": channels,
        "uiBpcInMemory": bits,
        "uiBpcSignificant": bits,
        "uiSequenceCount": n,
        "eCompression": 0 if packed else 2,
        **attributes,
    }
    planes = {
        f"a{c}": {
            "sDescription": f"channel {c}",
            "uiCompCount": channels if rgb else 1,
            "pFluorescentProbe": {
                "m_EmissionSpectrum": {"pPoint": {"Point0": {"dTValue": 1.0, "dWavelength": nm}}}
            },
        }
        for c, nm in zip(range(1 if rgb else channels), (*wavelengths_nm, *[0.0] * channels))
    }
    picture = {
        "bCalibrated": True,
        "dCalibration": 0.0,
        **optics,
        "sPicturePlanes": {"uiCount": len(planes), "sPlaneNew": planes},
    }
    chunks = [
        (_FIRST, b"Ver3.0".ljust(64, b"\0"), len(_FIRST)),
        (b"ImageAttributesLV!", _level("SLxImageAttributes", about), 64),
        (b"ImageMetadataSeqLV|0!", _level("SLxPictureMetadata", picture), 64),
        (b"CustomData|AcqTimesCache!", np.arange(float(n)).tobytes(), 64),
    ]
    if loops:
        chunks.append((b"ImageMetadataLV!", _level("SLxExperiment", _experiment(loops)), 64))
    for i, frame in enumerate(frames):
        if i not in left_out:
            name = b"ImageDataSeq|%d!" % i
            pixels = zlib.compress(frame.tobytes()) if packed else frame.tobytes()
            chunks.append((name, bytes(8) + pixels, _IMAGE_NAME))
    content, entries = b"", b""
    for name, data, room in chunks:
        entries += name + struct.pack("<QQ", len(content), len(data))
        content += _chunk(name, data, room)
    end = _LAST + struct.pack("<Q", len(content))
    return content + _chunk(_MAP, entries + end, len(_MAP))


def _chunk(name: bytes, data: bytes, room: int) -> bytes:
    return struct.pack("<IIQ", _MAGIC, room, len(data)) + name.ljust(room, b"\0") + data


def _experiment(loops: Sequence[Tuple[str, int]]) -> Dict[str, Any]:
    (kind, count), *inner = loops
    if kind == "t":
        values = {"uiCount": count, "dStart": 0.0, "dPeriod": 1.0, "dDuration": float(count)}
        found: Dict[str, Any] = {"eType": 1, "uLoopPars": values}
    elif kind == "z":
        values = {"uiCount": count, "dZLow": 0.0, "dZHigh": count - 1.0, "dZStep": 1.0}
        found = {"eType": 4, "uLoopPars": values}
    else:
        points = {f"i{i:010}": {"dPosX": 10.0 * i, "dPosY": 0.0} for i in range(count)}
        found = {"eType": 2, "uLoopPars": {"uiCount": count, "Points": points}}
    if inner:
        found["ppNextLevelEx"] = {"i0000000000": _experiment(inner)}
    return found


def _level(name: str, values: Mapping[str, Any]) -> bytes:
    """A record of records, in the binary form of Nikon's "lite variants"."""
    head = _head(11, name)
    items = b"".join(_item(key, value) for key, value in values.items())
    length = len(head) + 12 + len(items)
    # The places of the items follow; nobody reads them.
    return head + struct.pack("<IQ", len(values), length) + items + bytes(8 * len(values))


def _item(name: str, value: Any) -> bytes:
    if isinstance(value, Mapping):
        return _level(name, value)
    if isinstance(value, bool):
        return _head(1, name) + struct.pack("<B", value)
    if isinstance(value, int):
        return _head(3, name) + struct.pack("<I", value)
    if isinstance(value, float):
        return _head(6, name) + struct.pack("<d", value)
    return _head(8, name) + f"{value}\0".encode("utf-16-le")


def _head(kind: int, name: str) -> bytes:
    return struct.pack("<BB", kind, len(name) + 1) + f"{name}\0".encode("utf-16-le")
