"""Loaded by a worker process at its start: on some files it does what a faulty decoder might."""

import os
import signal
import sys
import time


def misbehave(event: str, arguments: tuple) -> None:
    if event != "open" or not isinstance(arguments[0], (str, bytes, os.PathLike)):
        return
    name = os.path.basename(os.fsdecode(arguments[0]))  # noqa: PTH119 - of any kind
    if name == "1.tif":
        time.sleep(1000)
    elif name == "2.tif":
        bytes(2 * 10**9)
    elif name == "3.tif":
        os.kill(os.getpid(), signal.SIGSEGV)


if any("spawn_main" in argument for argument in sys.orig_argv):
    sys.addaudithook(misbehave)
