"""CellProfiler with the drop-in folder as its plugins directory, and images to measure.

The library comes from the checkout, to say what is right; CellProfiler itself is started from
elsewhere, and finds what lies in the drop-in folder.
"""

import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile

from microscope_quality.degrade import Camera, defocus
from microscope_quality.optics import TRAINING_OPTICS
from microscope_quality.plugins import cellprofiler as plugin
from microscope_quality.psf import psf
from microscope_quality.simulate import filaments, nuclei

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cellprofiler_core.preferences as preferences

    preferences.set_headless()
    from cellprofiler_core.image import Image, ImageSetList
    from cellprofiler_core.measurement import Measurements
    from cellprofiler_core.object import ObjectSet
    from cellprofiler_core.pipeline import Pipeline
    from cellprofiler_core.utilities.core import modules as registry
    from cellprofiler_core.workspace import Workspace

# CellProfiler's own warnings are not ours to mend; the modules' and the library's are errors.
OURS = ("_patch_module", "measureimagefocus", "measureimagequalityscore", "microscope_quality")
FILTERS = ("ignore", *(f"error:::{name}" for name in OURS))


def pytest_collection_modifyitems(items):
    for item in items:
        for line in FILTERS:
            item.add_marker(pytest.mark.filterwarnings(line))


def exposed(light, level, seed, photons=3000, bit_depth=12):
    """Blur a specimen to a level and take it with a camera."""
    blurred = defocus(light, psf(TRAINING_OPTICS, float(TRAINING_OPTICS.defocus_of_level(level))))
    camera = Camera(photons_per_level=1.0, offset=100, read_noise=2.5, bit_depth=bit_depth)
    return camera.expose(photons * (np.maximum(blurred, 0) + 0.03), seed)


# Level of the nuclei of each site.
SITES = {1: 0, 2: 1, 3: 5, 4: 9}
SHAPE = (260, 350)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Files of four sites: nuclei in 16 bits, actin in 8, light as floats, and a mask."""
    folder = tmp_path_factory.mktemp("pictures")
    for site, level in SITES.items():
        dna = exposed(nuclei(SHAPE, 40, site), level, site)
        # Site 3 has an actin image that is too small for a patch.
        shape = (60, 350) if site == 3 else SHAPE
        actin = exposed(filaments(shape, 90, site), 2 * site, 10 + site) // 16
        light = np.maximum(nuclei(SHAPE, 30, 20 + site), 0).astype(np.float32)
        mask = np.zeros(SHAPE, np.uint8)
        mask[:, : 90 * site] = 255
        tifffile.imwrite(folder / f"s{site}_dna.tif", dna.astype(np.uint16))
        tifffile.imwrite(folder / f"s{site}_actin.tif", actin.astype(np.uint8))
        tifffile.imwrite(folder / f"s{site}_light.tif", light)
        tifffile.imwrite(folder / f"s{site}_mask.tif", mask)
    return folder


@pytest.fixture(scope="session")
def dropin(tmp_path_factory):
    """The drop-in folder, as ``microscope-quality plugin cellprofiler`` writes it."""
    folder = tmp_path_factory.mktemp("dropin")
    plugin.install(folder)
    return folder


@pytest.fixture(scope="session")
def modules(dropin, tmp_path_factory):
    """Load CellProfiler's modules and the plugin; gives what makes one by its name."""
    preferences.set_temporary_directory(str(tmp_path_factory.mktemp("temporary")), globally=False)
    preferences.set_plugin_directory(str(dropin), globally=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # It tells of every module that it knows already.
        logging.disable(logging.WARNING)
        registry.fill_modules()
        logging.disable(logging.NOTSET)
    return registry.instantiate_module


@pytest.fixture
def focus(modules):
    """The module, measuring an image named DNA."""
    module = modules("MeasureImageFocus")
    module.set_module_num(1)
    module.images.value = "DNA"
    return module


@pytest.fixture
def quality(modules):
    """The module that rates, rating an image named EM."""
    module = modules("MeasureImageQualityScore")
    module.set_module_num(1)
    module.images.value = "EM"
    return module


@pytest.fixture(scope="session")
def empty_pipeline(modules):
    """Give what makes a pipeline without modules."""
    return lambda: Modules(modules)


@pytest.fixture
def pipeline(empty_pipeline):
    return empty_pipeline()


class Modules:
    """A pipeline that grows module by module."""

    def __init__(self, make):
        self.make = make
        self.pipeline = Pipeline()

    def add(self, name, **settings):
        module = self.make(name)
        module.set_module_num(len(self.pipeline.modules()) + 1)
        for setting, value in settings.items():
            getattr(module, setting).value = value
        self.pipeline.add_module(module)
        return module

    def add_inputs(self, names):
        """Add the input modules: files with ``_key`` in their name are the images of that name."""
        self.add("Images")
        self.add("Metadata")
        named = self.add("NamesAndTypes", assignment_method="Images matching rules")
        for _ in range(len(names) - 1):
            named.add_assignment()
        for group, (key, name) in zip(named.assignments, names.items()):
            group.rule_filter.value = f'and (file does contain "_{key}")'
            group.image_name.value = name
            group.load_as_choice.value = "Binary mask" if key == "mask" else "Grayscale image"
        self.add("Groups")

    def save(self, path):
        with path.open("w", encoding="utf-8") as file:
            self.pipeline.dump(file)
        return path


@pytest.fixture
def workspace(pipeline, focus):
    """Give what makes a workspace for a module: images and objects by name."""
    made = []

    def make(images, objects=(), volumetric=False, module=focus):
        pipeline.pipeline.add_module(module)
        pipeline.pipeline.set_volumetric(volumetric)
        image_sets = ImageSetList()
        image_set = image_sets.get_image_set(0)
        for name, image in images.items():
            if not isinstance(image, Image):
                image = Image(image, dimensions=3 if volumetric else 2)
            image_set.add(name, image)
        object_set = ObjectSet()
        for name, labels in dict(objects).items():
            object_set.add_objects(labels, name)
        measurements = Measurements()
        made.append(measurements)
        return Workspace(pipeline.pipeline, module, image_set, object_set, measurements, image_sets)

    yield make
    for measurements in made:
        measurements.close()


@pytest.fixture(scope="session")
def cellprofiler(dropin, tmp_path_factory):
    """Give what runs a pipeline in CellProfiler, as a program of its own."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run(cppipe, pictures, out, *arguments, plugins=dropin, expected=0):
        Path(out).mkdir(exist_ok=True)
        command = [sys.executable, "-m", "cellprofiler", "-c", "-r", "-p", cppipe]
        command += ["-i", pictures, "-o", out, "--plugins-directory", plugins, *arguments]
        return started(command, elsewhere, expected)

    return run


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """Give what runs a script in CellProfiler's Python, outside the checkout."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run(script, *arguments, expected=0):
        return started([sys.executable, "-c", script, *arguments], elsewhere, expected)

    return run


def started(command, folder, expected):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # CellProfiler leaves its measurements there when it is ended.
    environment["TMPDIR"] = str(folder)
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        timeout=300,
    )
    assert done.returncode == expected, done.stdout[-6000:]
    return done.stdout
