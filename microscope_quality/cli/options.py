"""Options by which commands measure, and the settings that they make."""

from __future__ import annotations

import functools
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Mapping, Optional

import typer

from microscope_quality.batch.budget import SECONDS
from microscope_quality.cli.rows import Format
from microscope_quality.measuring.layouts import LAYOUTS

if TYPE_CHECKING:
    from pathlib import Path

    from microscope_quality.measuring.measure import Measure
    from microscope_quality.measuring.settings import Settings

# Settings of measures that are what was typed.
_AS_THEY_ARE = ("model", "in_focus_limit", "sample", "patches", "score_limit")

#: Headings of options in the commands' help.
WRITTEN = "What is written"
HOW = "How it is measured"
MANY = "Many and large images"

#: Options under these.
how = functools.partial(typer.Option, rich_help_panel=HOW)
many = functools.partial(typer.Option, rich_help_panel=MANY)
written = functools.partial(typer.Option, rich_help_panel=WRITTEN)


class Pictures(str, Enum):
    """Which planes get a picture."""

    doubtful = "doubtful"
    all = "all"
    none = "none"


ImagesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATHS",
        help="Images (TIFF, PNG, JPEG, BMP, OME-Zarr, CZI, LIF, ND2), folders of them, or "
        "patterns such as 'plate/**/*_w1.tif'.",
        show_default=False,
    ),
]
OutOption = Annotated[
    Optional[Path],
    written(
        "--out",
        "-o",
        metavar="DIR",
        help="Folder for results.csv, stacks.csv (of z-stacks), overlays/ and run.json. What "
        "an earlier run with the same settings measured there is kept, if it did not change.",
        show_default=False,
    ),
]
FormatOption = Annotated[
    Optional[Format],
    written(
        "--format",
        help="Write the rows of results.csv to standard output, for other programs, and "
        "nothing else there.",
        show_default="a summary to read",
    ),
]
ParquetOption = Annotated[bool, written("--parquet", help="Write each table as Parquet too.")]
XlsxOption = Annotated[
    bool, written("--xlsx", help="Write results.csv as a workbook too, results.xlsx.")
]
ReportOption = Annotated[
    bool, written("--report", help="Write report.html too, a page to look at and to sort by.")
]
AgainOption = Annotated[
    bool,
    written("--again", help="Measure also what was measured before and did not change."),
]
LimitMemoryOption = Annotated[
    Optional[str],
    many(
        metavar="AMOUNT",
        help="Memory for all jobs together, such as 4GB: large images wait for each other.",
        show_default="no limit",
    ),
]
ClusterOption = Annotated[
    Optional[str],
    many(
        metavar="ADDRESS",
        help="Measure on a Dask cluster: its scheduler's address, such as tcp://host:8786, or "
        "scheduler file. The workers need this library, and the images under the same paths.",
        show_default=False,
    ),
]
MeasuresOption = Annotated[
    str,
    how(
        metavar="NAME,…",
        help="What is measured: focus, classical, rating. The first one named gives the verdict, "
        "the others add columns.",
    ),
]
OpticsOption = Annotated[
    Optional[str],
    how(
        metavar="KEY=…,…",
        help="The microscope: numerical aperture na, refractive index n of what is before the "
        "sample, wavelength_um of the light, pixel_size_um in the sample. immersion=air, "
        "water, glycerol or oil can stand for n, and magnification=… with camera_pixel_um=… "
        "for pixel_size_um. What a file's own metadata tell can be left away. Gives defocus_um.",
        show_default=False,
    ),
]


class Rescale(str, Enum):
    """Whether images are brought to the sampling that the model knows."""

    auto = "auto"
    on = "on"
    off = "off"


RescaleOption = Annotated[
    Rescale,
    how(
        help="Bin images that are sampled more finely than the model knows, as of a 60×/1.4 "
        "objective, which else look blurred: auto where the file and --optics tell the optics, on "
        "everywhere, so that unknown optics are an error, off nowhere. --rescale alone is on.",
    ),
]


class BareRescaleCommand(typer.core.TyperCommand):
    """A command whose ``--rescale`` may stand without a value, as an option of typer's cannot."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the value in that the bare option stands for."""
        end = args.index("--") if "--" in args else len(args)
        values = {one.value for one in Rescale}
        given = []
        for number, word in enumerate(args):
            given.append(word)
            if word == "--rescale" and number < end:
                following = "".join(args[number + 1 : number + 2])
                # A mistyped value is refused; a path or another option is none.
                is_none = not following or following[0] == "-" or Path(following).exists()
                given += [Rescale.on.value] if is_none and following not in values else []
        return super().parse_args(ctx, given)


ModelOption = Annotated[
    Optional[str],
    how(
        metavar="NAME|DIR",
        help="A model that `microscope-quality models list` names, or a model's folder.",
        show_default="compact",
    ),
]
PatternOption = Annotated[
    Optional[str],
    how(
        metavar="REGEX",
        help="Where plate, well, site, channel, z and t stand in a file's name, or else in its "
        "path: a regular expression with named groups, as in the examples. Planes of one place "
        "that differ in z are a z-stack.",
        show_default=False,
    ),
]
LayoutOption = Annotated[
    str,
    how(
        metavar="NAME|none",
        help=f"How an instrument named the files: {', '.join(one.name for one in LAYOUTS)}. "
        "Without it, the one that most names of a folder have; none takes none.",
        show_default="auto",
    ),
]
ExcludeOption = Annotated[
    Optional[list[str]],
    how(
        metavar="PATTERN",
        help="Leave out images whose names from the searched folder on match, such as '*_w2.tif' "
        "or 'TimePoint_2/**'; may be given several times. A pattern without a slash is for the "
        "name of any file or folder. Thumbnails (_thumb) and reduced copies (Downsampled_x4) are "
        "left out anyway, unless they are named.",
        show_default=False,
    ),
]
PerPatchOption = Annotated[
    bool, written("--per-patch", help="Also write patches.csv, a row a patch.")
]
InFocusLimitOption = Annotated[
    Optional[float],
    how(
        min=0,
        metavar="LEVEL",
        help="The highest expected level that counts as in focus.",
        show_default="1.5",
    ),
]
LuminanceOption = Annotated[
    bool,
    how(
        "--luminance",
        help="Measure colour images by their luminance instead of red, green and blue each.",
    ),
]
SampleOption = Annotated[
    Optional[int],
    many(
        min=4,
        metavar="N",
        help="Measure N random places of each plane, not all of it, and give the 95 % interval "
        "of its level: for very large images.",
        show_default=False,
    ),
]
SeedOption = Annotated[int, many(min=0, metavar="N", help="Of the random places of --sample.")]
PatchesOption = Annotated[
    Optional[int],
    many(
        min=1,
        metavar="N",
        help="Rate N random places of each plane, of six patches each, not all of it: for very "
        "large images.",
        show_default="all",
    ),
]
ScoreLimitOption = Annotated[
    Optional[float],
    how(
        metavar="SCORE",
        help="The lowest score that counts as good, 0.1 to 1. Images that were rated with another "
        "one are judged again, and not rated again.",
        show_default="0.7",
    ),
]
CheckGrabsOption = Annotated[
    bool,
    how(
        help="Tell failed grabs apart: empty images, lines at an end that are empty or copies, and "
        "a frame that came twice. Not for mosaics with a border, nor for images with a bar of "
        "text.",
    ),
]
JobsOption = Annotated[
    Optional[int],
    many(
        "--jobs",
        "-j",
        min=1,
        metavar="N",
        help="Processes at work; each needs some 100 MB, more for large images.",
        show_default="all cores",
    ),
]
ReadersOption = Annotated[
    Optional[int],
    typer.Option(
        "--jobs", "-j", min=1, help="Processes that read images.", show_default="all cores"
    ),
]
FileTimeOption = Annotated[
    float,
    many(
        min=0.001,
        metavar="SECONDS",
        help="Time that a file may take to be listed, and each of its pages; large ones get more "
        "(a second for each megapixel). One that takes longer is a row with an error.",
        show_default=f"{SECONDS:g}",
    ),
]
FileMemoryOption = Annotated[
    Optional[str],
    many(
        metavar="AMOUNT",
        help="Memory that a file may take, such as 4GB, of the process at work on it (Linux "
        "alone). One that takes more is a row with an error.",
        show_default="by its size",
    ),
]
DigestOption = Annotated[
    bool,
    written(
        help="Keep a digest of each file, by which `microscope-quality verify` knows it again."
    ),
]


def settings_of(
    *,
    measures: str,
    luminance: bool,
    per_patch: bool,
    pattern: Optional[str],
    layout: str,
    digest: bool,
    file_time: float,
    file_memory: Optional[str],
    pictures: Optional[Path] = None,
    **options: Any,
) -> Settings:
    """Make settings of a command's options, by their names; those of no measure do not count.

    Raises
    ------
    MicroscopeQualityError
        An option is wrong, or goes not with another one.
    """
    from microscope_quality.measuring.memory import budget_of
    from microscope_quality.measuring.settings import Settings

    settings = Settings(
        measures=_measures(measures, **options),
        luminance=luminance,
        keep_patches=per_patch,
        pattern=pattern,
        layout=layout,
        pictures=pictures,
        digest=digest,
        budget=budget_of(file_time, file_memory),
    )
    settings.check()
    return settings


def _measures(
    listed: str,
    *,
    optics: Optional[str] = None,
    rescale: str = Rescale.auto,
    seed: int = 0,
    check_grabs: bool = True,
    **options: Any,
) -> tuple[Measure, ...]:
    """Make measures with those of their settings that were given."""
    from microscope_quality.measuring.measures import measures_with
    from microscope_quality.optics import parse_values

    given = {
        **{name: options.get(name) for name in _AS_THEY_ARE},
        "optics": None if optics is None else parse_values(optics),
        # Some versions of typer give an option's word here, others its member.
        "rescale": None if rescale == Rescale.auto else Rescale(rescale).value,
        "seed": seed or None,
        "check_grabs": None if check_grabs else False,
    }
    given = {name: value for name, value in given.items() if value is not None}
    return measures_with(listed.split(","), given)


def settings_among(given: Mapping[str, Any], kind: type[Any]) -> dict[str, Any]:
    """Pick the fields of a kind of settings out of a command's options, by their names."""
    return {one.name: given[one.name] for one in fields(kind) if one.name in given}
