"""Settings: the columns that follow of them, and what names them."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
from toy_measure import Toy
from written_results import COLUMNS, PATCH_COLUMNS, SETTINGS, STACK_COLUMNS

from microscope_quality.errors import SettingsError
from microscope_quality.files.columns import names
from microscope_quality.measuring.classical import Classical
from microscope_quality.measuring.focus import Focus
from microscope_quality.measuring.measures import recorded_measures
from microscope_quality.measuring.settings import Settings


def test_columns_of_focus_are_the_documented_ones():
    assert ",".join(COLUMNS) == (
        "file,plate,well,site,channel,z,c,t,width,height,level,expected_level,certainty,"
        "mean_certainty,max_certainty,weighted_certainty,status,blur_diameter_px,defocus_um,"
        "saturated_fraction,p0,p1,p2,p3,p4,p5,p6,p7,p8,p9,p10,error,series,message,"
        "size_bytes,modified,settings_id,optics,places,expected_level_low,expected_level_high,"
        "contrast,sha256,stack,binning,checksum"
    )
    assert ",".join(STACK_COLUMNS) == (
        "file,c,t,best_z,expected_level,status,best_position,series,plate,well,site,channel,"
        "planes,stack,best_file,checksum"
    )
    assert ",".join(PATCH_COLUMNS) == (
        "file,z,c,t,y,x,level,expected_level,certainty,p0,p1,p2,p3,p4,p5,p6,p7,p8,p9,p10,series,"
        "checksum"
    )
    few = names(Settings(measures=(Focus(known=(3, 0.3)),)).columns()["results.csv"])
    assert few[few.index("p0") : few.index("error")] == ("p0", "p1", "p2")


def test_every_column_has_the_kind_of_what_is_written_in_it():
    columns = {one.name: one for table in SETTINGS.columns().values() for one in table}
    assert {name for name, one in columns.items() if one.kind == "text"} == {
        *("file", "plate", "well", "site", "channel", "status", "error", "message"),
        *("settings_id", "optics", "sha256", "stack", "best_file", "checksum"),
    }
    assert {name for name, one in columns.items() if one.kind == "time"} == {"modified"}
    kinds = [columns[name].kind for name in ("level", "best_z", "p10", "best_position")]
    assert kinds == ["integer", "integer", "share", "number"]


def test_further_measures_add_columns_and_no_second_status():
    own = names(Classical().columns)
    columns = names(
        replace(SETTINGS, measures=(*SETTINGS.measures, Classical())).columns()["results.csv"]
    )
    assert len(set(columns)) == len(columns)
    assert set(columns) == {*COLUMNS, *own}
    # Those of focus are where they were.
    assert [name for name in columns if name not in own or name == "status"] == list(COLUMNS)


@pytest.mark.parametrize(
    "changes",
    [
        {"measures": (Focus(in_focus_limit=2),)},
        {"measures": (Focus(), Classical())},
        {"measures": (Classical(), Focus())},
        {"measures": (Classical(),)},
        {"luminance": True},
        {"keep_patches": True},
    ],
)
def test_what_decides_about_rows_changes_their_name(changes):
    assert Settings(**changes).id != Settings().id


def test_what_decides_about_no_number_does_not():
    assert Settings(pattern="(?P<well>A)", digest=False).id == Settings().id


def test_settings_reach_other_processes():
    settings = Settings(measures=(Focus(in_focus_limit=2, sample=9), Classical()), luminance=True)
    assert pickle.loads(pickle.dumps(settings)) == settings


class Other(Toy):
    """A measure whose setting has the name of another's."""

    name = "other"


def test_settings_of_two_measures_with_one_name_are_kept_apart():
    bright, dark = (Settings(measures=(Toy(at), Other(7.0))) for at in (100.0, 10_000.0))
    assert bright.id != dark.id
    assert bright.to_dict()["threshold"] == 100.0
    assert bright.to_dict()["other"] == {"threshold": 7.0}


def test_two_measures_of_one_column_are_refused():
    with pytest.raises(SettingsError, match="two have mean"):
        Settings(measures=(Toy(), Other())).check()


@pytest.mark.parametrize(
    "measures",
    [(Focus(in_focus_limit=3),), (Focus(in_focus_limit=3), Classical()), (Classical(), Focus())],
)
def test_a_record_tells_the_measures_that_wrote_its_table(measures):
    settings = Settings(measures=measures)
    record = {"settings": settings.to_dict(), "model": settings.facts()}
    found = recorded_measures(record, settings.tables()["results.csv"])
    assert [one.name for one in found] == [one.name for one in measures]
    limits = [one.in_focus_limit for one in (*found, *measures) if isinstance(one, Focus)]
    assert limits[::2] == limits[1::2]


def test_a_table_of_a_measure_that_is_not_known_is_refused_by_its_name():
    with pytest.raises(SettingsError, match="'confluence', which this version does not know"):
        recorded_measures({"settings": {"measures": ["confluence"]}}, ["file", "status"])
