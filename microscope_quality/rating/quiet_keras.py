"""Keras without the announcements of TensorFlow."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
from typing import Iterator


def import_keras() -> None:
    """Import Keras on TensorFlow, and keep from the screen what these say of their set-up.

    With TF_CPP_MIN_LOG_LEVEL=0 in the environment it is shown.

    Raises
    ------
    ImportError
        If one of them is missing or broken.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    wanted = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0"
    # While it is imported, TensorFlow heeds no level, and writes past Python's own streams.
    with contextlib.nullcontext() if wanted else _silent():
        importlib.import_module("keras")


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Keep what is written to the standard error of the process, and show it after a failure."""
    sys.stderr.flush()
    try:
        screen = os.dup(2)
    except OSError:
        # A process without a standard error is silent.
        yield
        return
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        except Exception as error:
            if not isinstance(error, ModuleNotFoundError):
                said.seek(0)
                os.write(screen, said.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            os.close(screen)
