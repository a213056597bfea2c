import re
import time
from pathlib import Path

import pytest

from microscope_quality.errors import SettingsError
from microscope_quality.measuring.layouts import LAYOUTS
from microscope_quality.measuring.naming import (
    Naming,
    axes_of_name,
    check_naming,
    renamed,
)
from microscope_quality.measuring.wells import well_name


def named(names, **how):
    """What is told of files in a folder that is not there: nothing is read."""
    naming = Naming(**how)
    naming.add((name, Path("/plates/run") / name) for name in names)
    return naming


def told(naming, name):
    it = naming[name]
    return (*(it.groups.get(group) for group in ("plate", "well", "site", "channel")), it.z, it.t)


def both(pattern):
    """Names with two planes and two times, where a pattern has places for them."""
    return [pattern.format(z=z, t=t) for z in (3, 4) for t in (1, 2)]


@pytest.mark.parametrize(
    ("layout", "pattern", "expected"),
    [
        (
            "harmony",
            "P1__2024-05-06T10-Measurement 1/Images/r01c02f03p{z:02}-ch4sk{t}fk1fl1.tiff",
            ("P1", "A02", "03", "4"),
        ),
        ("harmony", "r16c24f03p{z:02}-ch04t{t:02}.tiff", (None, "P24", "03", "04")),
        (
            "imagexpress",
            "P1/TimePoint_{t}/ZStep_{z}/my_P1_B02_s1_w2.TIF",
            ("my_P1", "B02", "1", "2"),
        ),
        (
            "imagexpress",
            "TimePoint_{t}/ZStep_{z}/P_b02_s9_w1A2B4C6D8-0246-4ACE-9BDF-13579BDF024{z}.tif",
            ("P", "b02", "9", "1"),
        ),
        (
            "imagexpress",
            "set_images_z_{z:02}/mcf_03_a01_s1_w2_t{t}.tif",
            ("mcf_03", "a01", "1", "2"),
        ),
        (
            "yokogawa",
            "Plate_#1_B02_T{t:04}F001L01A03Z{z:02}C02.tif",
            ("Plate_#1", "B02", "001", "02"),
        ),
        ("cellvoyager", "Image/W5F002T{t:04}Z{z:02}C1.tif", (None, "well 5", "002", "1")),
        (
            "incell",
            "A - 1(fld 2 wv DAPI - DAPI z {z} time {t}).tif",
            (None, "A01", "2", "DAPI - DAPI"),
        ),
        (
            "incell",
            "H - 12(fld 02 wv UV - DAPI time {t} - {t}800 ms z {z}).tif",
            (None, "H12", "02", "UV - DAPI"),
        ),
        (
            "micro-manager",
            "img_channel001_position002_time{t:09}_z{z:03}.tif",
            (None, None, "002", "001"),
        ),
        ("micro-manager", "Pos7/img_{t:09}_Cy5-wide_{z:03}.tif", (None, None, "Pos7", "Cy5-wide")),
        ("micro-manager", "Pos7/img_{t:09}__{z:03}.tif", (None, None, "Pos7", None)),
        ("micro-manager", "3-C4-Site_1/img_{t:09}_DAPI_{z:03}.tif", (None, "C4", "1", "DAPI")),
        (
            "cell-painting-gallery",
            "source/images/b1/images/BR7__2020-Measurement1/Images/r02c01f01p{z:02}-ch2sk{t}fk1fl1.tiff",
            ("BR7", "B01", "01", "2"),
        ),
        (
            "cell-painting-gallery",
            "images/b1/images/APT_1/APT_1_P24_T{t:04}F001L01A01Z{z:02}C01.tif",
            ("APT_1", "P24", "001", "01"),
        ),
        ("numbered", "embryo_t{t:02}_z{z:03}_ch01.tif", (None, None, None, "01")),
        ("numbered", "a_t{t}-zstep_{z}.ome.tif", (None, None, None, None)),
    ],
)
def test_names_of_instruments_are_recognised(layout, pattern, expected):
    names = both(pattern)
    naming = named(names)
    assert [told(naming, name) for name in names] == [
        (*expected, z, t) for z in (0, 1) for t in (0, 1)
    ]
    # Planes of a time are one stack, and no others.
    assert naming[names[0]].stack == naming[names[2]].stack != naming[names[1]].stack
    (recognised,) = naming.recognised
    assert (recognised.layout.name, recognised.files, recognised.name) == (layout, 4, names[0])
    assert "z0 (3 in the name)" in str(recognised)
    assert told(named(names, layout=layout), names[3]) == (*expected, 1, 1)
    assert told(named(names, layout="none"), names[3]) == (None,) * 6


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (["VID1_B3_2_2024y12m31d_23h30m.tif", "VID1_B3_2_2025y01m01d_00h30m.tif"], ("VID1", None)),
        (["x_Phase_B3_2_00d09h00m.tif", "x_Phase_B3_2_00d10h00m.tif"], ("x", "Phase")),
        (
            ["ScanData/2412/9/2300/7/B3-2-Ph.tif", "ScanData/2412/10/0100/7/B3-2-Ph.tif"],
            ("7", "Ph"),
        ),
    ],
)
def test_times_of_an_incucyte_are_in_the_order_of_their_numbers(times, expected):
    naming = named(reversed(times))
    plate, channel = expected
    assert [told(naming, name) for name in times] == [
        (plate, "B3", "2", channel, None, t) for t in (0, 1)
    ]


def test_the_page_lists_each_layout_and_its_pattern_reads_what_it_says():
    page = (Path(__file__).parents[2] / "docs" / "layouts.md").read_text(encoding="utf-8")
    for layout in LAYOUTS:
        assert f"| `{layout.name}` | {layout.title} | `{layout.example}` |" in page
    (pattern,) = re.findall(r"--pattern '(.*)'", page)
    names = [f"B02_s1_w2_{z}.tif" for z in ("z003", "z010")]
    assert told(named(names, pattern=pattern), names[1]) == (None, "B02", "s1", "w2", 1, None)


def test_each_layout_has_its_example_and_is_the_first_that_has():
    for layout in LAYOUTS:
        assert next(one for one in LAYOUTS if one.match(layout.example)) is layout


@pytest.mark.parametrize(
    "name",
    [
        "zebra12.tif",
        "fitz3.png",
        "A01f00d0.tif",
        "DSC_0012.JPG",
        "img_1.tif",
        "buzz-3.tif",
        "scan.svs",
    ],
)
def test_other_names_tell_nothing(name):
    naming = named([name, name.replace("1", "2").replace("3", "4")])
    assert told(naming, name) == (None,) * 6
    assert naming[name].stack == ""
    assert naming.recognised == []


def test_numbers_of_single_planes_and_times_are_no_axes():
    names = [f"r01c01f0{site}p01-ch1sk1fk1fl1.tiff" for site in (1, 2)]
    assert told(named(names), names[1]) == (None, "A01", "02", "1", None, None)


@pytest.mark.parametrize(
    ("written", "order"),
    [("ZStep_{}", (2, 9, 10)), ("p{:02}", (1, 2, 3)), ("Z{:03}", (0, 5, 99)), ("{}", (-1, 0, 1.5))],
)
def test_a_pattern_finds_z_and_counts_in_the_order_of_its_numbers(written, order):
    names = [f"a_{written.format(number)}_b.tif" for number in order]
    naming = named(reversed(names), pattern=r"^a_(?P<z>.*)_b")
    assert [naming[name].z for name in names] == [0, 1, 2]
    assert {naming[name].stack for name in names} == {"a_*_b.tif"}


def test_channels_of_a_place_share_its_planes():
    """What was taken in the middle plane alone is the middle plane."""
    names = [f"s1_w1_z{z}.tif" for z in (1, 2, 3)] + ["s1_w2_z2.tif"]
    naming = named(names, pattern=r"(?P<site>s\d)_w(?P<channel>\d)_z(?P<z>\d)")
    assert naming["s1_w2_z2.tif"].z == 1
    assert naming["s1_w2_z2.tif"].stack == "s1_w2_z*.tif"


def test_planes_whose_names_differ_in_more_are_told_by_their_groups():
    names = ["B02_z1_10h31.tif", "B02_z2_10h32.tif", "B03_z1_10h33.tif"]
    naming = named(names, pattern=r"(?P<well>[A-H]\d\d)_z(?P<z>\d)")
    assert [naming[name].z for name in names] == [0, 1, 0]
    assert naming[names[0]].stack == naming[names[1]].stack != naming[names[2]].stack
    # Where they then would be there twice, each is by itself.
    naming = named([*names, "B02_z2_10h39.tif"], pattern=r"(?P<well>[A-H]\d\d)_z(?P<z>\d)")
    assert [naming[name].stack for name in names] == [""] * 3


@pytest.mark.parametrize(
    ("pattern", "name", "said"),
    [
        (r"_z(?P<z>\d)", "B02_z10.tif", "z is 1 of 10 in B02_z10.tif; "),
        (r"(?P<z>\d)\.tif", "B02_z10.tif", "z is 0 of 10 in B02_z10.tif; "),
        (r"_z(?P<z>\d).*tif", "B02_z10.tif", "z is 1 of 10 in B02_z10.tif; "),
        (r"(?P<well>[A-H]\d)", "B03_z1.tif", "well is B0 of 02 in B02_z1.tif; "),
        (r"_z(?P<z>\d+)", "B02_z10.tif", ""),
        (r"_z(?P<z>\d)", "B02_z1_10h31.tif", ""),
        (
            r"_w(?P<channel>\d)",
            "B02_z1_w12.tif",
            "channel is 1 of 12 in B02_z1_w12.tif; if that is ",
        ),
        # Before an identifier of hexadecimal digits.
        (r"_w(?P<channel>\d)", "B02_z1_w12703A47b.tif", ""),
        (r"_w(?P<channel>\d)", "B02_z1_w112345678-5a6b-4c7d-8e9f-0a1b2c3d4e5f.tif", ""),
        (r"_w(?P<channel>\d)", "B02_z1_w123456789.tif", "channel is 1 of 123456789 in "),
        (r"_w(?P<channel>\d)", "B02_z1_w12c3.tif", "channel is 1 of 12 in "),
        (r"_w(?P<channel>\d)", "B02_z1_w12703a47bx.tif", "channel is 1 of 12703 in "),
        # Beside each other, numbers of fixed lengths.
        (r"(?P<well>[A-H]\d\d)(?P<site>\d\d)(?P<channel>\d)", "B02031.tif", ""),
        (r"(?P<well>[A-H]\d\d)(?P<site>\d\d)", "B02031.tif", "site is 03 of 02031 in B02031"),
    ],
)
def test_a_pattern_that_takes_a_part_of_a_number_is_told(pattern, name, said):
    naming = named(["B02_z1.tif", name], pattern=pattern)
    start = "pattern takes a part of a number: " if said else ""
    assert naming.cut_number.startswith(start + said)
    assert bool(naming.cut_number) == bool(said)


def test_a_pattern_comes_before_a_layout_and_alone_unless_one_is_named():
    names = [f"r01c02f03p0{z}-ch1sk1fk1fl1.tiff" for z in (1, 2)]
    pattern = r"f(?P<plate>\d\d)p"
    assert told(named(names, pattern=pattern), names[1]) == ("03", None, None, None, None, None)
    both = named(names, pattern=pattern, layout="harmony")
    assert told(both, names[1]) == ("03", "A02", "03", "1", 1, None)
    assert named(["x.tif", *names], pattern=pattern).unmatched == ["x.tif"]


def test_most_names_of_a_folder_make_its_layout():
    names = [f"p_A{well:02}_s1_w1.tif" for well in range(1, 20)]
    others = [f"overview{k}.tif" for k in range(20)]
    assert named([*others[:19], *names])["p_A07_s1_w1.tif"].groups["well"] == "A07"
    assert named([*names, *others])["p_A07_s1_w1.tif"].groups == {}
    # Of names that may mean something else, nearly all.
    planes = [f"embryo_z{z}.tif" for z in range(9)]
    assert named([*planes, "overview.tif"])["embryo_z3.tif"].z == 3
    assert named([*planes, *others[:2]])["embryo_z3.tif"].z is None
    # One by one, and another file before them.
    growing = Naming()
    for name in ("overview.tif", "p_A01_s1_w1.tif"):
        growing.add([(name, Path("/plates/run") / name)])
    assert growing["p_A01_s1_w1.tif"].groups["well"] == "A01"
    # Each folder by itself.
    mixed = [*(f"a/{name}" for name in names), *(f"b/W{k}F001T0001Z01C1.tif" for k in (1, 2))]
    assert [one.layout.name for one in named(mixed).recognised] == ["imagexpress", "cellvoyager"]


def test_numbers_of_other_things_make_no_stack():
    names = ["heart_z10.tif", "liver_z12.tif", "kidney_z3.tif"]
    naming = named(names)
    assert [naming[name].stack for name in names] == [""] * 3


def test_a_channel_may_differ_in_more_than_its_number():
    names = [f"P_B02_T0001F001L01A01Z0{z}C01.tif" for z in (1, 2, 3)]
    naming = named([*names, "P_B02_T0001F001L01A02Z02C02.tif"])
    assert naming["P_B02_T0001F001L01A02Z02C02.tif"].z == 1


def test_a_long_time_series_is_told_fast():
    names = [f"img_{t:09}_DAPI_000.tif" for t in range(20_000)]
    naming = named(names)
    began = time.monotonic()
    assert [naming[name].t for name in names] == [*range(20_000)]
    assert time.monotonic() - began < 20  # a minute where each sorts all


def test_files_that_come_one_by_one_are_told_as_all_at_once():
    names = [
        f"TimePoint_{t}/ZStep_{z}/p_B0{well}_s1_w{c}.tif"
        for z in (1, 2, 3)
        for well in (1, 2)
        for c in (1, 2)
        for t in (1, 2)
    ]
    whole, growing = named(names), Naming()
    seen = {}
    for name in names:
        changed = growing.add([(name, Path("/plates/run") / name)])
        seen.update((one, growing[one]) for one in changed)
    assert seen == {name: growing[name] for name in names} == {name: whole[name] for name in names}


PLATES = [
    (
        [
            f"Plate{p}/TimePoint_1/ZStep_{z}/exp_B0{w}_s1_w1.TIF"
            for p in "12"
            for z in "12"
            for w in "23"
        ],
        ["Plate1 exp"] * 4 + ["Plate2 exp"] * 4,
    ),
    (
        [f"2014-01-01/{p}/IXMtest_A0{w}_s1_w1.tif" for p in (20585, 20586) for w in "12"],
        ["20585 IXMtest"] * 2 + ["20586 IXMtest"] * 2,
    ),
    (
        [
            f"P1__2024-05-06T1{m}-Measurement {m}/Images/r01c02f01p01-ch1sk1fk1fl1.tiff"
            for m in "12"
        ],
        ["P1__2024-05-06T11-Measurement 1", "P1__2024-05-06T12-Measurement 2"],
    ),
    # Plates whose channels, wells, positions or projections have folders of their own.
    (
        [f"Plate{p}/w{c}/exp_A01_s1_w{c}.tif" for p in "12" for c in "12"],
        ["Plate1 exp"] * 2 + ["Plate2 exp"] * 2,
    ),
    (
        [f"Plate{p}/TimePoint_1/{z}exp_A01_s1_w1.tif" for p in "12" for z in ("", "ZStep_1/")],
        ["Plate1 exp"] * 2 + ["Plate2 exp"] * 2,
    ),
    (
        [f"d/{a}/1-A01-Site_{s}/img_000000000_G_000.tif" for a in ("x", "1") for s in "01"],
        ["x"] * 2 + ["1"] * 2,
    ),
    (["d10/1_A01_s1_w1.tif", "d2/1_A01_s1_w1.tif"], ["d10 1", "d2 1"]),
    # One plate whose channels, or sites, have folders of their own.
    ([f"{c}/P_A01_s{s}_w{c}.tif" for c in "12" for s in "12"], ["P"] * 4),
    (["P_A01_s1_w1.tif", "again/P_A01_s1_w1.tif"], ["P", "again P"]),
]


@pytest.mark.parametrize(("names", "plates"), PLATES)
def test_plates_of_one_name_have_their_folders_names_too(names, plates):
    whole = named(names)
    assert [whole[name].groups["plate"] for name in names] == plates
    (recognised,) = whole.recognised
    assert f"plate {plates[0]}," in str(recognised)
    # What is told of names that came before is told anew.
    growing, seen = Naming(), {}
    for name in names:
        changed = growing.add([(name, Path("/plates/run") / name)])
        seen.update((one, growing[one]) for one in changed)
    assert seen == {name: whole[name] for name in names}
    # A pattern that names the plate is believed.
    by_pattern = named(names, pattern=r"(?P<plate>\w)", layout=recognised.layout.name)
    for name in names:
        assert by_pattern[name].groups["plate"] == name.rpartition("/")[2][0]


def test_a_folder_that_loses_its_layout_is_no_plate_any_more():
    naming = Naming()
    for name in ("a/P_A01_s1_w1.tif", "b/P_A01_s1_w1.tif", "c/P_A01_s1_w2.tif"):
        naming.add([(name, Path("/d") / name)])
    assert naming["a/P_A01_s1_w1.tif"].groups["plate"] == "a P"
    naming.add([("b/junk1.tif", Path("/d/b/junk1.tif"))])
    changed = naming.add([("b/junk2.tif", Path("/d/b/junk2.tif"))])
    assert {"a/P_A01_s1_w1.tif", "c/P_A01_s1_w2.tif"} <= changed
    assert naming["a/P_A01_s1_w1.tif"].groups["plate"] == "P"


def test_planes_whose_names_differ_in_more_than_z_have_one_star_each():
    names = [
        f"set_images_z_{z:02}/P_a01_s1_w1A2B4C6D8-0246-4ACE-9BDF-13579BDF024{z}.tif" for z in (1, 2)
    ]
    naming = named(names, pattern=r"images_z_(?P<z>\d\d)/", layout="imagexpress")
    assert {naming[name].stack for name in names} == {"set_images_z_*/P_a01_s1_w1*.tif"}
    assert [naming[name].z for name in names] == [0, 1]


def test_a_counted_well_is_said_once():
    (recognised,) = named(["W12F001T0001Z01C1.tif", "W12F001T0001Z02C1.tif"]).recognised
    assert " is well 12, site 001, " in str(recognised)


def test_files_of_a_stack_follow_each_other():
    names = [f"r01c01f01p0{z}-ch{c}sk1fk1fl1.tiff" for z in (2, 1) for c in (1, 2)] + ["a.tif"]
    naming = named(names[:-1])
    assert naming.by_stacks(names) == [names[2], names[0], names[3], names[1], "a.tif"]


def test_rows_take_what_a_name_tells_and_give_it_back():
    names = ["B02_z1.tif", "B02_z2.tif"]
    naming = named(names, pattern=r"(?P<well>B\d\d)_z(?P<z>\d)")
    fresh = {"results.csv": [{"file": names[1], "z": None, "t": None, "well": None, "stack": None}]}
    naming[names[1]].put(fresh)
    (row,) = fresh["results.csv"]
    assert (row["z"], row["t"], row["well"], row["stack"]) == (1, None, "B02", "B02_z*.tif")

    text = {name: "" if field is None else str(field) for name, field in row.items()}
    text.update(plate="", site="", channel="")
    assert axes_of_name([text]) == ("z",)
    kept = {"results.csv": [text], "patches.csv": [{"file": names[1], "z": "1", "t": ""}]}
    other = renamed(kept, named(names, layout="none")[names[1]])
    assert [(r["z"], r.get("well"), r.get("stack")) for of in other.values() for r in of] == [
        ("", "", ""),
        ("", None, None),
    ]
    assert renamed(other, naming[names[1]]) == kept


def test_channels_of_a_file_stay_its_own_unless_its_name_tells_one():
    blank = dict.fromkeys(("plate", "well", "site", "z", "t", "stack"), "")
    own = [{"file": "a_w1.tif", "channel": name, **blank} for name in ("DAPI", "GFP")]
    by_pattern = named(["a_w1.tif"], pattern=r"(?P<channel>w\d)")["a_w1.tif"]
    nothing = named(["a_w1.tif"])["a_w1.tif"]
    assert renamed({"results.csv": own}, nothing)["results.csv"] == own
    told = renamed({"results.csv": own}, by_pattern)["results.csv"]
    assert [row["channel"] for row in told] == ["w1", "w1"]
    # What a name told of all of them goes with the pattern.
    told = renamed({"results.csv": told}, nothing)["results.csv"]
    assert [row["channel"] for row in told] == ["", ""]


def test_axes_of_a_file_stay_its_own():
    naming = named(["a_z1_t1.tif", "a_z2_t1.tif"], pattern=r"z(?P<z>\d)")
    fresh = {"results.csv": [{"z": at, "t": None, "stack": "ome:set"} for at in (0, 1)]}
    naming["a_z2_t1.tif"].put(fresh)
    assert [row["z"] for row in fresh["results.csv"]] == [0, 1]
    # A set tells all of itself, also what it has one of.
    times = named(["a_t1.tif", "a_t2.tif"], pattern=r"t(?P<t>\d)")
    times["a_t2.tif"].put(fresh)
    assert [row["t"] for row in fresh["results.csv"]] == [None, None]
    assert {row["stack"] for row in fresh["results.csv"]} == {"ome:set"}
    assert axes_of_name([{"z": "0", "t": "", "stack": "ome:set"}]) == ()


@pytest.mark.parametrize(
    ("text", "well"),
    [
        ("r01c02", "A02"),
        ("R27C01", "AA01"),
        ("A - 1", "A01"),
        ("b-12", "B12"),
        ("a7", "a7"),
        ("W5", "W5"),
    ],
)
def test_wells_by_row_and_column_have_letters(text, well):
    assert well_name(text) == well


def test_naming_that_cannot_be_is_refused():
    with pytest.raises(SettingsError, match="layout 'harmonie' is unknown; known are auto, none"):
        check_naming(layout="harmonie")
    with pytest.raises(SettingsError, match="out of plate, well, site, channel, z, t"):
        check_naming(r"(?P<depth>\d)")


@pytest.mark.parametrize(
    ("names", "name", "pattern"),
    [
        ([f"day 1/em_p{z:03}.tif" for z in range(4)], "day 1/em_p000.tif", r"_p(?P<z>\d+)"),
        ([f"Plane{z}.tif" for z in (1, 2, 3)], "Plane1.tif", r"^Plane(?P<z>\d+)"),
        (["x.tif", *(f"a.slice-{z}_dna.tif" for z in range(3))], "a.slice-0_dna.tif", None),
    ],
)
def test_names_that_look_like_planes_are_told_with_a_pattern_that_reads_them(names, name, pattern):
    found = named(names).unread_planes
    assert found.name == name
    assert found.pattern == (pattern or r"\.slice\-(?P<z>\d+)")
    naming = named(names, pattern=found.pattern)
    planes = [naming[one].z for one in names if one != "x.tif"]
    assert planes == list(range(len(planes)))
    assert len({naming[one].stack for one in names if one != "x.tif"}) == 1
    assert naming.unread_planes is None
    assert named(names, layout="none").unread_planes is None
    assert named(names, pattern=r"(?P<site>\d)").unread_planes == found


@pytest.mark.parametrize(
    "names",
    [
        ["a_p0.tif", "a_p1.tif"],
        ["a_p3.tif", "a_p4.tif", "a_p5.tif"],
        ["a_p0.tif", "a_p1.tif", "a_p3.tif", "b_p2.tif"],
        ["map0.tif", "map1.tif", "map2.tif"],
        ["a_p0x.tif", "a_p1x.tif", "a_p2x.tif"],
        [f"A{well:02}_s{site}.tif" for well in range(1, 4) for site in range(3)],
        [f"r01c02f01p{z:02}-ch1sk1fk1fl1.tiff" for z in range(1, 5)],
        [f"cell_z{z}.tif" for z in range(4)],
    ],
)
def test_other_names_are_not_taken_for_planes(names):
    assert named(names).unread_planes is None
