"""Model folders for fuzzing: a small one, changes of its description and weights that keep the
checksum right, and the outcome that any of them must have.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import struct
import tempfile
import zipfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np

from microscope_quality import model, network
from microscope_quality.errors import ModelError, ModelNotFoundError
from microscope_quality.model import write_model
from microscope_quality.normalisation import NORMALISATIONS

from .outcome import SPARE_BYTES, bounded, refused_by_name, scratch

# What a patch takes in the greediest network that is let pass.
_A_PATCH_BYTES = 4 * network.MOST_FLOATS

_PATH = scratch() / "fuzzed"
_PATH.mkdir()

_LAYERS = [
    {"kind": "conv2d", "name": "c", "filters": 2, "size": 3, "stride": 2, "activation": "relu"},
    {"kind": "max_pool", "size": 2},
    {"kind": "mean_max_pool"},
    {"kind": "dense", "name": "d", "units": 3, "activation": "softmax"},
]


def check(content: bytes) -> None:
    """Load the folder that the input is: the length of model.json, it, and weights.npz."""
    description, weights = _parted(content)
    (_PATH / "model.json").write_bytes(description)
    (_PATH / "weights.npz").write_bytes(weights)
    with bounded(SPARE_BYTES + _A_PATCH_BYTES), refused_by_name(
        _PATH, ModelError, ModelNotFoundError
    ):
        loaded = model.FocusModel.from_pretrained(_PATH)
        found = loaded.description
        assert model.verify(_PATH) == found
        # What loads can be described, and used.
        json.dumps(found.to_dict())
        size = found.patch_size
        patches = np.arange(size**2, dtype=np.uint32).reshape(1, size, size)
        p = loaded.predict(patches)
        assert p.shape == (1, found.levels)
        # A single pixel is constant.
        assert np.isfinite(p).all() == (size > 1)
        if size > 1:
            assert abs(p.sum() - 1) < 1e-3


def _parted(content: bytes) -> Tuple[bytes, bytes]:
    """Description and weights, the first with the checksum of the second if it has one."""
    length = struct.unpack("<I", content[:4].ljust(4, b"\0"))[0]
    description, weights = content[4 : 4 + length], content[4 + length :]
    with contextlib.suppress(ValueError, RecursionError):
        values = json.loads(description)
        if isinstance(values, dict) and "sha256" in values:
            values["sha256"] = hashlib.sha256(weights).hexdigest()
            description = json.dumps(values).encode()
    return description, weights


def joined(description: bytes, weights: bytes) -> bytes:
    """The input that is these two files."""
    return struct.pack("<I", len(description)) + description + weights


def seeds() -> Dict[str, bytes]:
    """Two small models."""
    rng = np.random.default_rng(0)
    arrays = {
        "c/kernel": rng.normal(size=(3, 3, 1, 2)),
        "c/bias": np.zeros(2),
        "d/kernel": rng.normal(size=(4, 3)),
        "d/bias": np.zeros(3),
    }
    found = {}
    for normalisation in NORMALISATIONS:
        description = model.ModelDescription(
            name="small",
            task=model.FOCUS,
            architecture="small",
            patch_size=12,
            normalisation=normalisation,
            details=model.FocusTask(3, model.Optics(0.5, 1.0, 0.5, 0.65), sure_certainty=0.3),
            layers=tuple(_LAYERS),
        )
        with tempfile.TemporaryDirectory() as folder:
            write_model(Path(folder) / "m", description, arrays)
            text, weights = (
                (Path(folder) / "m" / name).read_bytes() for name in ("model.json", "weights.npz")
            )
        found[normalisation] = joined(text, weights)
    return found


# Changes

_VALUES = (
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        3,
        7,
        12,
        84,
        1000,
        10**4,
        10**9,
        2**31,
        2**63,
        2**64,
        10**30,
        0.5,
        1.5,
    ),
    *(1e308, -0.0, float("nan"), float("inf"), "", "x", "relu", "softmax", "linear", "c", "d"),
    *("conv2d", "max_pool", "flatten", "mean_max_pool", "dense", "zscore", "a" * 3000, "\ud800"),
    *([], {}, [[]], [{}], {"kind": "flatten"}, [1] * 100),
)
_HEADERS = (
    *("()", "(0,)", "(2,)", "(4, 3)", "(1000000000,)", "(2**62, 4)", "(-1,)", "(99999999999999,)"),
    *("(4294967296, 4294967296)", "(True,)", "(2.0,)", "'x'", "(" * 500, "[2]"),
)
_KINDS = (
    *("<f4", ">f4", "<f8", "<f2", "<f16", "|O", "<i4", "|b1", "<c8", "|V4", "<U3", "|S0", "<M8[s]"),
    *("(1000000,)f4", "f4,f4", "|V2147483647", "nonsense", "<f4'*9"),
)


def mutate(content: bytes, longest: int, seed: int, anyhow: Callable[[bytes, int], bytes]) -> bytes:
    """Change the description, the weights, or anything."""
    rng = random.Random(seed)
    description, weights = _parted(content)
    what = rng.randrange(6)
    if what < 2:
        with contextlib.suppress(ValueError, RecursionError):
            values = changed(json.loads(description), rng)
            description = json.dumps(values).encode(errors="surrogatepass")
    elif what == 2:
        description = anyhow(description, longest)
    elif what < 5:
        with contextlib.suppress(Exception):
            weights = _repacked(weights, rng, anyhow)
    else:
        weights = anyhow(weights, longest)
    return joined(description, weights)[:longest]


def changed(value: Any, rng: random.Random) -> Any:
    """A JSON value with one place in it replaced, taken out or put in twice."""
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.1:
        return rng.choice(_VALUES)
    keys: List[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = rng.choice(keys)
    what = rng.randrange(8)
    if what == 0:
        del value[key]
    elif what == 1 and isinstance(value, list):
        value.insert(key, value[rng.choice(keys)])
    elif what == 1:
        value[rng.choice(("x", "sha256", "kind", "", "name"))] = rng.choice(_VALUES)
    else:
        value[key] = changed(value[key], rng)
    return value


def _repacked(weights: bytes, rng: random.Random, anyhow: Callable[[bytes, int], bytes]) -> bytes:
    """The archive with one array changed, and checksums that are right."""
    with zipfile.ZipFile(io.BytesIO(weights)) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    k = rng.randrange(len(members))
    info, content = members[k]
    what = rng.randrange(8)
    if what == 0:
        content = anyhow(content, 4096)
    elif what == 1:
        content = _with_header(content, "shape", rng.choice(_HEADERS))
    elif what == 2:
        content = _with_header(content, "descr", repr(rng.choice(_KINDS)))
    elif what == 3:
        content += bytes(rng.choice((1, 100, 2**20, 2**24)))
    elif what == 4:
        members.append(members[k])
    elif what == 5:
        del members[k]
    elif what == 6:
        content = content[:-4] + struct.pack("<f", rng.choice((np.nan, np.inf, 1e38, 3e38, -0.0)))
    else:
        info = zipfile.ZipInfo(rng.choice(("x", "../x.npy", "c/bias", "/c/bias.npy", "d/bias.npy")))
    if k < len(members):
        members[k] = (info, content)
    result = io.BytesIO()
    method = rng.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    )
    with zipfile.ZipFile(result, "w", method) as archive:
        for info, content in members:
            archive.writestr(info.filename, content)
    return result.getvalue()


def _with_header(content: bytes, key: str, value: str) -> bytes:
    """An array whose header says something else."""
    (length,) = struct.unpack_from("<H", content, 8)
    header = content[10 : 10 + length].decode("latin-1")
    begin = header.index(f"'{key}': ") + len(key) + 4
    end = header.index(", }", begin) if key == "shape" else header.index(", '", begin)
    header = header[:begin] + value + header[end:]
    encoded = header.encode("latin-1")
    return content[:8] + struct.pack("<H", len(encoded)) + encoded + content[10 + length :]
