"""Fuzz a reader, guided by coverage, for as long as is wished.

    python -m tests.fuzzing images -max_total_time=900

Readers are `images`, `formats`, `models` and `tables`. It needs Atheris (``pip install atheris``),
which has wheels for Linux and some versions of Python only, so that no extra asks for it. Options
of libFuzzer follow, such as ``-max_total_time=SECONDS`` and ``-seed=NUMBER``; a folder named last
keeps the inputs that reached something new. An input with another outcome than the stated one is
kept in ``fuzzing-findings``, once for each place in the code, and fuzzing goes on; a crash of the
process ends it, and libFuzzer keeps the input. Exit code 1 tells that there was one or the other.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib
import sys
import tempfile
import traceback
from pathlib import Path

from .outcome import found as regressions

FINDINGS = Path("fuzzing-findings")
READERS = ("images", "formats", "models", "tables")
INSTRUMENTED = [
    *("microscope_quality", "tifffile", "PIL", "zipfile", "csv", "json", "numpy.lib"),
    *("nd2", "bioio_nd2", "liffile", "bioio_lif", "bioio_czi", "aicspylibczi", "zarr"),
]
LONGEST = 65536


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(__doc__)
    import atheris

    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = importlib.import_module(f".{name}", __package__)
        if hasattr(target, "load"):
            target.load()
    found = set()

    def once(content: bytes) -> None:
        try:
            target.check(content)
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            place = f"{type(error).__name__} {frames[-1].filename}:{frames[-1].lineno}"
            if isinstance(error, AssertionError):
                place += str(error)[:24]
            if place in found:
                return
            found.add(place)
            FINDINGS.mkdir(exist_ok=True)
            kept = FINDINGS / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}"
            kept.write_bytes(content)
            report = traceback.format_exc()
            kept.with_suffix(".txt").write_text(report, encoding="utf-8", errors="replace")
            print(f"FINDING {kept} {place}: {str(error)[:200]!r}", flush=True)

    def mutate(content: bytes, longest: int, seed: int) -> bytes:
        return target.mutate(content, longest, seed, atheris.Mutate)

    def end() -> None:
        print(f"{len(found)} findings", flush=True)

    atexit.register(end)
    with tempfile.TemporaryDirectory() as seeds:
        for kind, content in target.seeds().items():
            (Path(seeds) / kind).write_bytes(content)
        for kind, content in regressions(name).items():
            (Path(seeds) / kind).write_bytes(content)
        FINDINGS.mkdir(exist_ok=True)
        arguments = [
            f"-max_len={LONGEST}",
            "-timeout=30",
            "-rss_limit_mb=4096",
            f"-artifact_prefix={FINDINGS}/{name}-",
            *sys.argv[1:],
        ]
        # libFuzzer writes what it finds into the first folder and reads all of them.
        if not any(Path(argument).is_dir() for argument in sys.argv[1:]):
            fresh = Path(seeds) / "fresh"
            fresh.mkdir()
            arguments.append(str(fresh))
        arguments.append(seeds)
        atheris.Setup([sys.argv[0], *arguments], once, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
