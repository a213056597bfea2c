"""Optics in the index that Harmony writes beside the images of a plate."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from microscope_quality.files import harmony
from microscope_quality.files.images import planes

NAME = "r01c02f03p04-ch{}sk1fk1fl1.tiff"
NAMESPACE = 'xmlns="http://www.perkinelmer.com/PEHH/HarmonyV5"'
IMAGE = np.arange(40 * 56, dtype=np.uint16).reshape(40, 56)
OPTICS = {
    "ImageResolutionX": ("m", "1.8983367649421E-07"),
    "ImageResolutionY": ("m", "1.8983367649421E-07"),
    "ObjectiveMagnification": ("", "63"),
    "ObjectiveNA": ("", "1.15"),
}


def element(name, unit, value):
    return f'<{name} Unit="{unit}">{value}</{name}>'


def index(channels, more=OPTICS, maps=False):
    """As by version 5; with maps, as by version 7, where images tell of places alone."""
    wells = "".join(f"<Well><Row>1</Row><Image id='010{k}K1F1P1R1'/></Well>" for k in range(9))
    optics = {
        c: "".join(element(name, *value) for name, value in more.items())
        + (element("MainEmissionWavelength", "nm", nm) if nm is not None else "")
        for c, nm in channels.items()
    }
    images = "".join(
        f"<Image Version='1'><id>x</id><URL>{NAME.format(c)}</URL><ChannelID>{c}</ChannelID>"
        f"{'' if maps else optics[c]}<OrientationMatrix>[[1,0]]</OrientationMatrix></Image>"
        for c in channels
    )
    entries = "".join(
        f"<Entry ChannelID='{c}'>{optics[c] if maps else '<FlatfieldProfile>x</FlatfieldProfile>'}"
        "</Entry>"
        for c in channels
    )
    return (
        f'\ufeff<?xml version="1.0" encoding="utf-8"?><EvaluationInputData {NAMESPACE}><Wells>'
        f"{wells}</Wells><Maps><Map>{entries}</Map></Maps><Images>{images}</Images>"
        "</EvaluationInputData>"
    )


def optics(folder, channel=1, name=NAME):
    path = folder / name.format(channel)
    if not path.exists():
        tifffile.imwrite(path, IMAGE)
    (plane,) = planes(path)
    return plane.known_optics


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("name", ["Index.xml", "Index.idx.xml", "../Index.xml"])
def test_each_channel_has_its_optics(tmp_path, name, maps):
    folder = tmp_path / "Images"
    folder.mkdir()
    # The fourth one is transmitted light.
    (folder / name).write_text(index({1: 456, 2: 522.5, 12: 706, 4: 0}, maps=maps), "utf-8")
    common = {"na": 1.15, "pixel_size_um": pytest.approx(0.18983367649421)}
    for channel, um in ((12, 0.706), (1, 0.456), (2, 0.5225)):
        known = optics(folder, channel)
        assert known.values == {**common, "wavelength_um": pytest.approx(um)}
        assert known.message == ""
    assert optics(folder, 4).values == common
    assert optics(folder, 3).values == {}


def test_a_refractive_index_that_is_told_makes_optics(tmp_path):
    text = index({1: 456}, {**OPTICS, "RefractiveIndex": ("", "1.33")})
    (tmp_path / "Index.xml").write_text(text, "utf-8")
    tifffile.imwrite(tmp_path / NAME.format(1), IMAGE)
    (plane,) = planes(tmp_path / NAME.format(1))
    assert plane.optics.refractive_index == 1.33


def test_an_index_tells_nothing_of_other_images(tmp_path):
    (tmp_path / "Index.xml").write_text(index({1: 456}), "utf-8")
    assert optics(tmp_path, name="a.tif").values == {}


def test_what_cannot_be_is_left_out_with_a_message(tmp_path):
    more = {**OPTICS, "ObjectiveNA": ("", "115"), "ImageResolutionX": ("m", "x")}
    (tmp_path / "Index.xml").write_text(index({1: 456}, more), "utf-8")
    known = optics(tmp_path)
    assert set(known.values) == {"wavelength_um"}
    assert "na 115" in known.message


def test_an_index_is_read_no_further_than_is_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(harmony, "_STEP_BYTES", 100)
    # An index that is still being written, or damaged behind.
    text = index({1: 456, 2: 500}).partition("<URL>r01c02f03p04-ch2")[0]
    (tmp_path / "Index.xml").write_text(text, "utf-8")
    assert set(optics(tmp_path).values) == {"na", "pixel_size_um", "wavelength_um"}
    assert optics(tmp_path, 2).values == {}
    monkeypatch.setattr(harmony, "_MOST_BYTES", 500)
    (tmp_path / "Index.xml").write_text(index({1: 456, 2: 500}) + " ", "utf-8")
    assert optics(tmp_path).values == {}


def test_an_index_that_is_none_is_told(tmp_path):
    (tmp_path / "Index.xml").write_text("<!DOCTYPE a>" + index({1: 456})[1:], "utf-8")
    assert "document type" in optics(tmp_path).message
    if sys.platform != "win32":
        for make in (os.mkfifo, Path.mkdir, lambda path: path.symlink_to(path.parents[2])):
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            make(folder / "Index.xml")
            known = optics(folder)
            assert known.values == {}
            assert "Index.xml" in known.message
