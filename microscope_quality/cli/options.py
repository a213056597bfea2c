"""Options by which commands measure, and the settings that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Optional

import typer

from microscope_quality.batch.budget import SECONDS, Budget

if TYPE_CHECKING:
    from pathlib import Path

    from microscope_quality.measuring.page import Settings
    from microscope_quality.model import ModelDescription

#: Headings of options in the commands' help.
WRITTEN = "What is written"
HOW = "How it is measured"
MANY = "Many and large images"

OpticsOption = Annotated[
    Optional[str],
    typer.Option(
        "--optics",
        metavar="KEY=…,…",
        rich_help_panel=HOW,
        help="The microscope: numerical aperture na, refractive index n of what is before the "
        "sample, wavelength_um of the light, pixel_size_um in the sample. immersion=air, "
        "water, glycerol or oil can stand for n, and magnification=… with camera_pixel_um=… "
        "for pixel_size_um. What a file's own metadata tell can be left away. Gives defocus_um.",
        show_default=False,
    ),
]
RescaleOption = Annotated[
    bool,
    typer.Option(
        "--rescale",
        rich_help_panel=HOW,
        help="Bring the images to the sampling that the model knows; needs --optics. For "
        "finely sampled images, as of a 60×/1.4 objective, which else look blurred.",
    ),
]
ModelOption = Annotated[
    Optional[str],
    typer.Option(
        "--model",
        rich_help_panel=HOW,
        metavar="NAME|DIR",
        help="A model that `microscope-quality models list` names, or a model's folder.",
        show_default="compact",
    ),
]
PatternOption = Annotated[
    Optional[str],
    typer.Option(
        "--pattern",
        rich_help_panel=HOW,
        metavar="REGEX",
        help="Where plate, well, site and channel stand in a file's name, or else in its "
        "path: a regular expression with named groups, as in the examples.",
        show_default=False,
    ),
]
PerPatchOption = Annotated[
    bool,
    typer.Option(
        "--per-patch", rich_help_panel=WRITTEN, help="Also write patches.csv, a row a patch."
    ),
]
InFocusLimitOption = Annotated[
    int,
    typer.Option(
        "--in-focus-limit",
        min=0,
        metavar="LEVEL",
        rich_help_panel=HOW,
        help="The highest level that counts as in focus.",
    ),
]
LuminanceOption = Annotated[
    bool,
    typer.Option(
        "--luminance",
        rich_help_panel=HOW,
        help="Measure colour images by their luminance instead of red, green and blue each.",
    ),
]
SampleOption = Annotated[
    Optional[int],
    typer.Option(
        "--sample",
        metavar="N",
        rich_help_panel=MANY,
        min=4,
        help="Measure N random places of each plane, not all of it, and give the 95 % interval "
        "of its level: for very large images.",
        show_default=False,
    ),
]
SeedOption = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        metavar="N",
        rich_help_panel=MANY,
        help="Of the random places of --sample.",
    ),
]
JobsOption = Annotated[
    Optional[int],
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        rich_help_panel=MANY,
        min=1,
        help="Processes at work; each needs about 200 MB.",
        show_default="all cores",
    ),
]


FileTimeOption = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        rich_help_panel=MANY,
        min=0.001,
        help="Time that a file may take to be listed, and each of its pages; large ones get more "
        "(a second for each megapixel). One that takes longer is a row with an error.",
        show_default=f"{SECONDS:g}",
    ),
]
FileMemoryOption = Annotated[
    Optional[str],
    typer.Option(
        metavar="AMOUNT",
        rich_help_panel=MANY,
        help="Memory that a file may take, such as 4GB, of the process at work on it (Linux "
        "alone). One that takes more is a row with an error.",
        show_default="by its size",
    ),
]
DigestOption = Annotated[
    bool,
    typer.Option(
        "--digest/--no-digest",
        rich_help_panel=WRITTEN,
        help="Keep a digest of each file, by which `microscope-quality verify` knows it again.",
    ),
]


# Of this process, of one at work, and of an image of 1080 × 1080 pixels of 16 bits.
_LEAST_BYTES = 200_000_000
# Of an image of that size, and of what its reader brings.
_LEAST_FILE_BYTES = 100_000_000


def settings_of(
    *,
    model: Optional[str],
    optics: Optional[str],
    rescale: bool,
    luminance: bool,
    in_focus_limit: int,
    per_patch: bool,
    pattern: Optional[str],
    sample: Optional[int] = None,
    seed: int = 0,
    pictures: Optional[Path] = None,
    digest: bool = True,
    file_time: float = SECONDS,
    file_memory: Optional[str] = None,
) -> tuple[Settings, ModelDescription]:
    """Make settings of the options, and read what the model is.

    Raises
    ------
    MicroscopeQualityError
        An option is wrong, or goes not with another one.
    """
    from microscope_quality.cli.record import check_pattern
    from microscope_quality.errors import SettingsError
    from microscope_quality.measuring.page import Settings
    from microscope_quality.model import FocusModel
    from microscope_quality.optics import parse_values

    if rescale and optics is None:
        raise SettingsError("--rescale needs --optics, to know how finely images are sampled.")
    settings = Settings(
        model=model,
        optics={} if optics is None else parse_values(optics),
        rescale=rescale,
        luminance=luminance,
        in_focus_limit=in_focus_limit,
        keep_patches=per_patch,
        pattern=pattern,
        sample=sample,
        seed=seed,
        pictures=pictures,
        digest=digest,
        budget=budget_of(file_time, file_memory),
    )
    check_pattern(pattern)
    description = FocusModel.from_pretrained(model).description
    if in_focus_limit >= description.levels:
        raise SettingsError(
            f"--in-focus-limit is {in_focus_limit}, but the model's levels end at "
            f"{description.levels - 1}."
        )
    return settings, description


def budget_of(file_time: float, file_memory: Optional[str]) -> Budget:
    """Make of options what the process at work on a file may take.

    Raises
    ------
    SettingsError
        One is no amount, or less than any file takes.
    """
    from microscope_quality.batch.memory import bytes_in_words, parse_bytes
    from microscope_quality.errors import SettingsError

    if file_memory is None:
        return Budget(file_time)
    amount = parse_bytes(file_memory)
    if amount < _LEAST_FILE_BYTES:
        raise SettingsError(
            f"--file-memory is {file_memory}; it has to be {bytes_in_words(_LEAST_FILE_BYTES)} or "
            "more, which is what an ordinary image and its reader take"
        )
    return Budget(file_time, amount)


def limit_of(text: str) -> int:
    """Read how much memory all processes may take together, in bytes.

    Raises
    ------
    SettingsError
        It is no amount, or less than two processes take.
    """
    from microscope_quality.batch.memory import bytes_in_words, parse_bytes
    from microscope_quality.errors import SettingsError

    amount = parse_bytes(text)
    if amount < _LEAST_BYTES:
        raise SettingsError(
            f"--limit-memory is {text}; it has to be {bytes_in_words(_LEAST_BYTES)} or more, which "
            "is what two processes and an ordinary image take"
        )
    return amount
