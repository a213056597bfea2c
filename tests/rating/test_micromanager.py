"""Settings of a real Micro-Manager core with its demonstration devices are searched."""

import numpy as np
import pytest

pytest.importorskip("pymmcore_plus", reason="needs pymmcore-plus")
pytest.importorskip("mm_test_adapters", reason="needs mm-test-adapters")
pytest.importorskip("optuna", reason="needs pip install 'microscope-quality[tune]'")

import mm_test_adapters
from pymmcore_plus import CMMCorePlus

from microscope_quality.errors import AcquisitionError, ArgumentError, SettingsError
from microscope_quality.rating.micromanager import camera
from microscope_quality.rating.tune import Choice, Range, tune

pytestmark = pytest.mark.host


@pytest.fixture
def core():
    started = CMMCorePlus()
    started.setDeviceAdapterSearchPaths([str(mm_test_adapters.device_adapter_path())])
    started.loadSystemConfiguration()
    yield started
    started.unloadAllDevices()


@pytest.fixture
def beads(core):
    """Of which the camera's image is sharp at z 0."""
    core.setProperty("Camera", "Mode", "Fluorescent Beads")
    return core


def sharpness(image):
    """High in the frequencies, over the light."""
    wide = image.astype(float)
    return float(np.abs(np.diff(wide, 2, axis=0)).sum() / wide.sum())


def exposed(image):
    """Signal over noise, and nothing of it where pixels are clipped."""
    wide = image.astype(float)
    clipped = (image >= 65535).mean()
    return float((1 - clipped) * wide.mean() / max(wide.std(), 1))


def test_the_focus_is_found_by_z(beads):
    beads.setZPosition(-17)
    result = tune(camera(beads), sharpness, {"z_um": Range(-20, 20, unit="µm")}, images=25)
    assert not any(trial.error for trial in result.trials)
    assert abs(result.best.parameters["z_um"]) < 1
    assert result.trials[0].picture


def test_the_longest_exposure_that_clips_nothing_is_found(core):
    """The camera counts 500 photons a millisecond, on 100, in 16 bits."""
    core.setProperty("Camera", "Mode", "Noise")
    core.setProperty("Camera", "Photon Flux", 500)
    space = {"exposure_ms": Range(0.1, 1000, log=True, unit="ms")}
    result = tune(camera(core), exposed, space, images=25)
    assert 40 < result.best.parameters["exposure_ms"] < 131
    # It is what was there: twice the exposure, twice the light.
    one, two = (camera(core)({"exposure_ms": ms}).mean() for ms in (10.0, 20.0))
    assert (two - 100) / (one - 100) == pytest.approx(2, rel=0.03)


def test_a_property_is_a_parameter_and_so_is_a_channel(beads):
    acquire = camera(beads, {"light": ("Camera", "BeadBrightness")})
    dim, bright = (acquire({"light": light}).mean() for light in (1.0, 4.0))
    assert bright / dim == pytest.approx(4, rel=0.1)
    acquire({"channel": "FITC"})
    assert beads.getCurrentConfig("Channel") == "FITC"
    result = tune(
        camera(beads, {"light": ("Camera", "BeadBrightness"), "bits": ("Camera", "BitDepth")}),
        sharpness,
        {
            "light": Range(0.2, 8, log=True),
            "z_um": Range(-5, 5),
            "bits": Choice((8, 16)),
            "channel": Choice(("DAPI", "Cy5")),
        },
        images=9,
    )
    assert not any(trial.error for trial in result.trials)
    last = result.trials[-1].parameters
    assert beads.getZPosition() == pytest.approx(last["z_um"], abs=0.1)
    assert float(beads.getProperty("Camera", "BeadBrightness")) == pytest.approx(
        last["light"], rel=0.01
    )
    assert beads.getCurrentConfig("Channel") == last["channel"]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"exposure_ms": 20_000.0}, "exposure_ms is 10.0, not 20000"),
        ({"light": 50.0}, "light is 1.0000, not 50"),
    ],
)
def test_an_image_with_other_settings_than_asked_for_is_refused(beads, parameters, said):
    """The devices refuse these; the engine only says so in its log."""
    acquire = camera(beads, {"light": ("Camera", "BeadBrightness")})
    with pytest.raises(AcquisitionError, match=said):
        acquire(parameters)


def test_what_the_microscope_refuses_is_a_failed_trial(beads):
    result = tune(
        camera(beads, {"light": ("Camera", "BeadBrightness")}),
        sharpness,
        {"light": Range(4, 16)},
        sampler="quasi-random",
        images=12,
    )
    for trial in result.trials:
        assert bool(trial.error) == (trial.parameters["light"] > 8), trial
        assert not trial.error or trial.error.startswith("AcquisitionError: ")
    assert any(trial.error for trial in result.trials)


def test_measurements_come_with_an_image(beads):
    def dose(image, parameters):
        return {"dose": parameters["exposure_ms"] * float(image.max())}

    result = tune(
        camera(beads, measure=dose), sharpness, {"exposure_ms": Range(1, 5)}, images=3, dose=1e9
    )
    first = result.trials[0]
    assert first.measurements["dose"] == pytest.approx(
        first.parameters["exposure_ms"] * 303, rel=0.3
    )


def test_what_sets_nothing_is_refused(core):
    with pytest.raises(ArgumentError, match="core must be a CMMCorePlus"):
        camera("demo")
    with pytest.raises(SettingsError, match="device of DHub, Camera"):
        camera(core, {"light": ("Laser", "Power")})
    with pytest.raises(SettingsError, match="has no property 'Power'"):
        camera(core, {"light": ("Camera", "Power")})
    with pytest.raises(SettingsError, match="z_um, which is set without"):
        camera(core, {"z_um": ("Z", "Position")})
    with pytest.raises(SettingsError, match="The parameter z sets nothing"):
        camera(core)({"z": 1})


def test_a_camera_that_gives_nothing_fails_the_trial(core):
    core.setCameraDevice("")
    result = tune(camera(core), sharpness, {"z_um": Range(-5, 5)}, images=2)
    assert {trial.error for trial in result.trials} == {
        "AcquisitionError: The camera gave no image."
    }
    assert result.best is None
