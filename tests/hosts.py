"""What to do about a program that a test needs and the machine lacks."""

import os
import shutil
import sys
from pathlib import Path

import pytest

REQUIRED = "MICROSCOPE_QUALITY_REQUIRE_HOSTS"


def missing(what):
    """Skip a test with how to get what it needs; fail it where all is required."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, but this is missing: {what}", pytrace=False)
    pytest.skip(what)


def central_jar(coordinates):
    """Find a jar of Maven Central in Maven's own folder."""
    group, artifact, version = coordinates.split(":")
    folder = Path.home() / ".m2" / "repository" / Path(*group.split(".")) / artifact / version
    jar = folder / f"{artifact}-{version}.jar"
    if not jar.is_file():
        missing(
            f"{jar.name}: mvn dependency:get -Dtransitive=false -Dartifact={coordinates} gets it"
        )
    return jar


def prokaryote_jar():
    """Find the jar of the package prokaryote, which CellProfiler installs."""
    folders = [Path(entry) for entry in sys.path]
    hosts = os.environ.get("CELLPROFILER_HOSTS")
    if hosts:
        folders += Path(hosts).glob("*/lib/python*/site-packages")
    for folder in folders:
        for jar in folder.glob("prokaryote/prokaryote-*.jar"):
            return jar
    return missing(
        "the jar in prokaryote: pip install --no-deps prokaryote==2.4.4, or set CELLPROFILER_HOSTS"
    )


def java():
    """Find a Java to run."""
    found = shutil.which("java")
    return found or missing("Java 11 or newer: apt-get install default-jdk-headless")


def chromium():
    """Find a Chromium to drive, and the library that drives it."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        missing("playwright: pip install playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    return found or missing("Chromium: apt-get install chromium, or set CHROMIUM to its path")
