"""Settings of the test run."""

import os

import pytest

# Read by Keras and TensorFlow at import, in whichever test comes first.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    # With a worker a core (-n auto), more threads in each would only get in each other's way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # GNU Readline, which pytest loads, leaves them to the processes that it starts.
    for size in ("COLUMNS", "LINES"):
        os.environ.pop(size, None)

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser():
    """A real one, for pages. It is closed after a module: while it is open, no loop can begin."""
    import hosts

    path = hosts.chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()
