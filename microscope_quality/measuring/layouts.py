"""How instruments name their files: one table.

To add one: an entry in `LAYOUTS`, and a line in the test of this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

_END = r"(?:\.ome)?\.[A-Za-z0-9]+$"


@dataclass(frozen=True)
class Layout:
    """How an instrument names its files.

    Attributes
    ----------
    name : str
        As users name it.
    title : str
        What writes files with such names.
    patterns : tuple of str
        Regular expressions for the end of a path with forward slashes, from the start of a name up
        to its ending; the first one that matches counts. Groups are plate, well, site, channel, z,
        t, ``action`` for what differs between channels, and ``any`` for what differs between the
        planes of a stack and means nothing. What may stand at several places has underscores behind
        its group.
    example : str
        A path that it has.
    is_certain : bool
        Whether no other names are likely to match.
    numbers_wells : bool
        Whether wells are counted, and have no rows and columns.
    """

    name: str
    title: str
    patterns: tuple[str, ...]
    example: str
    is_certain: bool = True
    numbers_wells: bool = False

    @cached_property
    def _compiled(self) -> list[re.Pattern[str]]:
        return [re.compile(f"(?:^|/){one}{_END}") for one in self.patterns]

    def match(self, path: str) -> re.Match[str] | None:
        """Match a path with forward slashes."""
        found = (pattern.search(path) for pattern in self._compiled)
        return next((match for match in found if match), None)


_WELL = r"(?P<well>(?:[A-Za-z]|[Aa][A-Fa-f])\d{1,2})"
_HARMONY = (
    r"(?P<well>r\d{2}c\d{2})f(?P<site>\d{2,})p(?P<z>\d{2,})(?:rc\d+)?"
    r"-ch(?P<channel>\d+)(?:sk(?P<t>\d+)fk\d+fl\d+|t(?P<t_>\d+))"
)
# Of z, a folder as MetaXpress makes it, or as public sets have it.
_IMAGEXPRESS = (
    r"(?:TimePoint_(?P<t>\d+)/)?(?:(?:ZStep_(?P<z>\d+)|[^/]*_z_(?P<z__>\d+))/)?"
    rf"(?:(?P<plate>[^/]+?)_)?{_WELL}(?=_[sw]\d)(?:_s(?P<site>\d+))?(?:_w(?P<channel>\d+?))?"
    r"(?:_t(?P<t_>\d+))?(?:_z(?P<z_>\d+))?(?:_t(?P<t__>\d+))?"
    r"(?P<any>[0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12})?"
)
_YOKOGAWA = (
    rf"(?:(?P<plate>[^/]+?)_)?{_WELL}_T(?P<t>\d{{4}})F(?P<site>\d{{3,4}})L\d{{2}}"
    r"A(?P<action>\d{2})Z(?P<z>\d{2,3})C(?P<channel>\d{2})"
)
_GALLERY = r"images/[^/]+/images/(?P<plate_>[^/]+?)(?:__[^/]*)?/(?:[Ii]mages/)?"
_POSITION = (
    r"(?:(?:(?:\d+-)?(?P<well>[A-Za-z]\d{1,2})-Site_(?P<site>\d+)|(?P<site_>(?:\d+-)?Pos[^/]*))/)?"
)
# Of a channel's name, without numbers of another kind.
_NO_NUMBER = r"(?:(?!_[zst]\d)[^/])"
_COLOUR = r"(?:(?P<channel>[Pp]hase|[Gg]reen|[Rr]ed|[Oo]range|[Nn][Ii][Rr])_)?"

#: Of these, the first one that nearly all names of a folder match is taken.
LAYOUTS = (
    Layout(
        "cell-painting-gallery",
        "Cell Painting Gallery",
        tuple(_GALLERY + names for names in (_HARMONY, _YOKOGAWA, _IMAGEXPRESS)),
        "images/2020_11_04/images/BR0117__2020-11-05T19-Measurement1/Images/"
        "r01c02f03p04-ch1sk1fk1fl1.tiff",
    ),
    Layout(
        "harmony",
        "Harmony (Opera Phenix, Operetta)",
        (r"(?:(?P<plate>[^/]+?)(?:__[^/]*)?/[Ii]mages/)?" + _HARMONY,),
        "plate1__2024-05-06T10_11_12-Measurement 1/Images/r01c02f03p04-ch1sk1fk1fl1.tiff",
    ),
    Layout(
        "yokogawa",
        "Yokogawa CV (CV7000, CV8000, CQ1)",
        (_YOKOGAWA,),
        "plate1_B02_T0001F001L01A01Z01C01.tif",
    ),
    Layout(
        "cellvoyager",
        "CellVoyager (CV1000)",
        (r"(?:[^/]*_)?W(?P<well>\d+)F(?P<site>\d+)T(?P<t>\d+)Z(?P<z>\d+)C(?P<channel>\d+)",),
        "Image/W1F001T0001Z01C1.tif",
        numbers_wells=True,
    ),
    Layout(
        "imagexpress",
        "ImageXpress (MetaXpress)",
        (_IMAGEXPRESS,),
        "TimePoint_1/ZStep_4/plate1_B02_s1_w2.tif",
    ),
    Layout(
        "incell",
        "IN Cell Analyzer",
        (
            r"(?P<well>[A-Za-z]{1,2} - \d{1,2})\(fld (?P<site>\d+)"
            r"(?: (?:wv|wix) (?P<channel>[^()]+?))?(?: z (?P<z>\d+))?"
            r"(?: time (?P<t>\d+)(?: - (?P<any>\d+ ms))?)?(?: z (?P<z_>\d+))?\)",
        ),
        "A - 1(fld 1 wv DAPI - DAPI z 3).tif",
    ),
    Layout(
        "micro-manager",
        "Micro-Manager, a file for each plane",
        (
            r"(?:(?:\d+-)?(?P<well>[A-Za-z]\d{1,2})-Site_\d+/)?"
            r"img_channel(?P<channel>\d+)_position(?P<site>\d+)_time(?P<t>\d+)_z(?P<z>\d+)",
            rf"{_POSITION}img_(?P<t>\d{{9}})_(?P<channel>[^/]*)_(?P<z>\d{{3,}})",
        ),
        "img_channel000_position000_time000000000_z003.tif",
    ),
    Layout(
        "incucyte",
        "Incucyte",
        (
            rf"(?:(?P<plate>[^/]+?)_)??{_COLOUR}{_WELL}_(?P<site>\d+)_"
            r"(?P<t>\d{4}y\d{2}m\d{2}d_\d{2}h\d{2}m|\d+d\d{2}h\d{2}m)",
            rf"ScanData/(?P<t>\d{{4}}/\d{{1,2}}/\d{{4}})/(?P<plate>[^/]+)/{_WELL}-"
            r"(?P<site>\d+)-(?P<channel>C\d|Ph)",
        ),
        "VID12_A1_1_2024y06m01d_12h30m.tif",
    ),
    Layout(
        "metamorph",
        "MetaMorph, a file for each position",
        (
            rf"[^/]+?_w(?P<channel>\d{_NO_NUMBER}*?)_s(?P<site>\d+)(?:_t(?P<t>\d+))?",
            rf"[^/]+?_w(?P<channel>\d{_NO_NUMBER}*?)_t(?P<t>\d+)",
            r"[^/]+?_s(?P<site>\d+)_t(?P<t>\d+)",
        ),
        "cells_w1DAPI_s3_t1.TIF",
        is_certain=False,
    ),
    Layout(
        "numbered",
        "numbered planes",
        (
            r"[^/]*?(?:(?<![A-Za-z0-9])[tT](?:ime)?[-_]?(?P<t>\d{1,5})[-_ ]?)?"
            r"(?:(?<![A-Za-z0-9])|(?<=\d))[zZ](?:[-_ ]?(?:[sS]tep|[sS]lice|[pP]lane))?[-_]?"
            r"(?P<z>\d{1,5}(?:\.\d+)?)(?![0-9])"
            r"(?:[-_ ]?(?:[cC][hH]?|w)(?P<channel>\d{1,3})(?![0-9]))?[^/]*?",
        ),
        "embryo_t00_z003_ch01.tif",
        is_certain=False,
    ),
)


def layout_named(name: str) -> Layout | None:
    """Give a layout by its name; None if there is none of that name."""
    return next((layout for layout in LAYOUTS if layout.name == name), None)
