"""Write pictures of planes: under a headline, over a legend in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from microscope_quality.errors import FileError
from microscope_quality.files.whole import whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

#: Folder of a run's pictures, in that of its tables.
OVERLAYS = "overlays"
#: Longer side of the drawn plane, in pixels; `overlay.overlay` brings larger planes to it.
MAX_SIDE = 1280

# Smaller planes are magnified by whole numbers to about this side.
_MIN_SIDE = 480
_MIN_WIDTH = 640
_MARGIN = 20
_GROUND = (24, 24, 27)
_BRIGHT = (240, 240, 242)
_DIM = (161, 161, 170)
# Names the program in the file, which tells its pictures from others.
_SOFTWARE = "microscope-quality"


@dataclass(frozen=True)
class Legend:
    """Legend of a picture.

    Attributes
    ----------
    colours : callable
        Draws it at a height in pixels.
    left, right : str
        What stands above its ends.
    upper, lower : str
        What stands beside its upper and lower end, if they differ.
    marks : int
        It has so many blocks, numbered from 0; 0 for a ramp.
    """

    colours: Callable[[int], NDArray[np.uint8]]
    left: str
    right: str
    upper: str = ""
    lower: str = ""
    marks: int = 0


def write_picture(
    path: Path,
    picture: NDArray[np.uint8],
    *,
    title: str,
    verdict: str,
    legend: Legend | None = None,
    subject: str = "",
) -> None:
    """Write a picture as a PNG, with a headline and a legend.

    Parameters
    ----------
    path
        The file; its folder is made. An older picture at that place is replaced in one step.
    picture
        (H, W, 3) array of uint8.
    title
        First line, such as the file's name; shortened in its middle to fit.
    verdict
        Second line.
    legend
        Of its colours, if they mean something.
    subject
        Text to know by later what is drawn; see `subject_of_picture`.

    Raises
    ------
    FileError
        There is another file at that place, or nothing can be written there.
    """
    from PIL.PngImagePlugin import PngInfo

    canvas = _compose(picture, title, verdict, legend)
    if path.exists() and not is_picture(path):
        raise FileError(f"{path}: is there already and was not drawn by {_SOFTWARE}")
    info = PngInfo()
    info.add_text("Software", _SOFTWARE)
    if subject:
        info.add_itxt("Source", subject)
    with whole(path) as part:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Level 3 takes a third of the time of the usual 6, for a tenth more bytes.
        canvas.save(part, format="PNG", pnginfo=info, compress_level=3)


def is_picture(path: Path) -> bool:
    """Whether a file is a picture that `write_picture` wrote."""
    return _texts(path).get("Software") == _SOFTWARE


def subject_of_picture(path: Path) -> str:
    """Give the `subject` that `write_picture` was told; empty for any other file."""
    texts = _texts(path)
    return texts.get("Source", "") if texts.get("Software") == _SOFTWARE else ""


def _texts(path: Path) -> dict[str, str]:
    from PIL.PngImagePlugin import PngImageFile

    try:
        with path.open("rb") as stream:
            return dict(PngImageFile(stream).text)
    except (OSError, SyntaxError, ValueError):
        return {}


def _compose(
    picture: NDArray[np.uint8], title: str, verdict: str, legend: Legend | None
) -> Image.Image:
    from PIL import Image, ImageDraw, ImageFont

    factor = max(1, round(_MIN_SIDE / max(picture.shape[:2])))
    plane = Image.fromarray(np.kron(picture, np.ones((factor, factor, 1), np.uint8)))
    width = max(_MIN_WIDTH, plane.width + 2 * _MARGIN)
    large, small = ImageFont.load_default(20), ImageFont.load_default(15)
    top, bottom = 76, 116 if legend else _MARGIN
    canvas = Image.new("RGB", (width, top + plane.height + bottom), _GROUND)
    draw = ImageDraw.Draw(canvas)
    room = width - 2 * _MARGIN
    draw.text((_MARGIN, 14), _shortened(title, large, room), _BRIGHT, large)
    draw.text((_MARGIN, 44), _shortened(verdict, small, room), _DIM, small)
    canvas.paste(plane, ((width - plane.width) // 2, top))
    if legend is None:
        return canvas

    bar = Image.fromarray(legend.colours(44))
    left, above = (width - bar.width) // 2, canvas.height - bottom + 36
    canvas.paste(bar, (left, above))
    draw.text((left - 10, above - 2), legend.upper, _DIM, small, anchor="rt")
    draw.text((left - 10, above + bar.height + 2), legend.lower, _DIM, small, anchor="rb")
    draw.text((left - 4, above - 6), legend.left, _BRIGHT, small, anchor="lb")
    draw.text((left + bar.width, above - 6), legend.right, _BRIGHT, small, anchor="rb")
    for mark in range(legend.marks):
        centre = left + (mark + 0.5) * bar.width / legend.marks
        draw.text((centre, above + bar.height + 4), str(mark), _DIM, small, anchor="mt")
    return canvas


def _shortened(text: str, font: Any, room: int) -> str:
    """Text that fits, without its middle if it has to be."""
    text = " ".join(text.split())
    keep = len(text)
    short = text
    while font.getlength(short) > room and keep > 1:
        keep -= 1
        short = f"{text[: keep // 3]}…{text[len(text) - (keep - keep // 3) :]}"
    return short
