"""What to do about a program that a test needs and the machine lacks."""

import os

import pytest

REQUIRED = "MICROSCOPE_QUALITY_REQUIRE_HOSTS"


def missing(what):
    """Skip a test with how to get what it needs; fail it where all is required."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, but this is missing: {what}", pytrace=False)
    pytest.skip(what)
