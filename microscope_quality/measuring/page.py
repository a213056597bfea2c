"""What a job does to a page of a file: measure its planes, draw them."""

from __future__ import annotations

import functools
import itertools
import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from microscope_quality.batch.budget import hand_out, need
from microscope_quality.errors import FileError, MicroscopeQualityError, reason_of
from microscope_quality.files.digest import digest_of
from microscope_quality.files.images import open_image
from microscope_quality.files.ome_zarr import is_zarr
from microscope_quality.files.plane import ImageFile, Page, Pages, Plane
from microscope_quality.files.tables import PATCHES, RESULTS
from microscope_quality.measuring.drawing import Wanted, draw, picture_name, subject_of
from microscope_quality.measuring.items import (
    Item,
    Listed,
    Place,
    follow,
    identity,
    place_of,
    unlisted,
)
from microscope_quality.measuring.measure import Measure, Result
from microscope_quality.measuring.memory import PROCESS_BYTES, USUAL_BYTES, memory_of
from microscope_quality.measuring.settings import Settings
from microscope_quality.overlay import grey_picture

# What is read and measured at the least in a second, on a slow drive and a busy machine.
_BYTES_PER_S = 2e6
_PIXELS_PER_S = 1e6
# What a list of pages may take at the most.
_LIST_BYTES = 2**30
# Of a file of which a sample of places is measured, in bytes: of a larger one there is no digest.
_SAMPLED_BYTES = 256_000_000


@dataclass(frozen=True)
class Measured:
    """What a page gave: rows of each table, pictures, and why there are none of some planes."""

    rows: dict[str, list[dict[str, object]]]
    drawn: tuple[Path, ...] = ()
    not_drawn: tuple[str, ...] = ()


Seen = Callable[[Place, Result], None]


def _listed(settings: Settings, item: Item) -> Listed:
    """List the pages of a file that are to be measured.

    Raises
    ------
    FileError
        It cannot be read.
    """
    # A list of very many pages takes memory, and their file at least as much on the disk.
    need(
        PROCESS_BYTES,
        item.size_bytes / _BYTES_PER_S,
        beside_bytes=min(4 * item.size_bytes, _LIST_BYTES),
    )
    try:
        pages = _opened(item.path).pages
        sha256 = ""
        # A sample of a large image is there to save the time of reading it.
        large = settings.measure.is_sample and item.size_bytes > _SAMPLED_BYTES
        if settings.digest and not large:
            sha256 = digest_of(item.path)
    except FileError as error:
        raise FileError(reason_of(error, item.path)) from error
    return Listed(Pages(pages, item.done if item.done < len(pages) else 0), sha256)


def measure_item(settings: Settings, item: Item) -> Measured:
    """Measure a page, or the first one of a file after listing all: `hand_out` gives the others.

    Raises
    ------
    FileError
        The file or the page cannot be read, or changed meanwhile.
    """
    if item.listed:
        return measure_page(settings, item)
    listed = _listed(settings, item)
    if len(listed.pages) > 1:
        hand_out(listed)
    return measure_page(settings, follow(item, listed)[0])


def _framework_bytes(settings: Settings) -> int:
    return sum(measure.framework_bytes for measure in settings.measures)


def measure_page(settings: Settings, item: Item, seen: Seen | None = None) -> Measured:
    """Measure the planes of a page; `seen` is called with each and its result.

    Raises
    ------
    FileError
        The page cannot be read, or changed meanwhile.
    """
    if item.error:
        raise FileError(item.error)
    need(
        bytes_of(settings, item),
        seconds_of(item.page),
        beside_bytes=_framework_bytes(settings),
    )
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in settings.tables()}
    drawn, not_drawn = [], []
    for plane in _read(settings, item.path, item.page):
        place = place_of(plane)
        row = blank_row(settings, item, place)
        row.update((name, getattr(plane, name)) for name in ("plate", "well", "site"))
        row["channel"] = plane.known_optics.channel if plane.known_optics else None
        row["stack"] = _set_of(item.name, plane.stack)
        rows[RESULTS].append(row)
        try:
            result = measure_plane(settings.measures, plane)
        except MicroscopeQualityError as error:
            row.update(sha256="", error=reason_of(error, item.path))
            continue
        row.update(result.row)
        if seen is not None:
            seen(place, result)
        if settings.keep_patches:
            rows[PATCHES] += ({"file": item.name, **vars(place), **one} for one in result.patches())
        if settings.pictures is not None:
            picture = settings.pictures / picture_name(item.name, place)
            wanted = Wanted(item.name, item.path, place, picture)
            try:
                draw(settings.measure, result, wanted, subject_of(settings, wanted))
                drawn.append(picture)
            except MicroscopeQualityError as error:
                not_drawn.append(str(error))
    # To look at all files of an OME-Zarr once for each of its pages would take longer than these.
    look = item.last or not is_zarr(item.path)
    if item.modified and look and identity(item.path) != (item.size_bytes, item.modified):
        raise FileError("was changed while it was measured")
    return Measured(rows, tuple(drawn), tuple(not_drawn))


def _set_of(name: str, stack: str | None) -> str | None:
    """Name the set that a file tells of with its folder: another one may have such a set too."""
    folder = name.rpartition("/")[0]
    if stack is None or not folder:
        return stack
    kind, _, of_files = stack.partition(":")
    return f"{kind}:{folder}/{of_files}"


def measure_plane(measures: Sequence[Measure], plane: Plane) -> Result:
    """Measure a plane by measures; what only a further one cannot measure is said.

    Raises
    ------
    MicroscopeQualityError
        The measure that judges cannot measure it.
    """
    first, *others = measures
    result = first.run(plane)
    row = dict(result.row)
    for measure in others:
        try:
            own = measure.run(plane).row
        except (MicroscopeQualityError, MemoryError) as error:
            own = {"message": f"{measure.name}: {error or 'the memory is too small'}"}
        said = " ".join(str(one["message"]) for one in (row, own) if one.get("message"))
        row = {**own, **row, "message": said}
    picture = result.picture or functools.partial(grey_picture, plane.array)
    return replace(result, row=row, picture=picture)


def measure_file(
    settings: Settings, file: tuple[str, Path], seen: Seen | None = None
) -> dict[str, list[dict[str, object]]]:
    """Measure a whole file; rows of each table. `seen` is called with each plane and its result.

    A page that cannot be read is a row with an error.

    Raises
    ------
    FileError
        The file cannot be opened, or changed meanwhile.
    """
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in settings.tables()}
    (whole,) = unlisted([file])
    first, others = follow(whole, _listed(settings, whole))
    for item in itertools.chain([first], others):
        try:
            measured = measure_page(settings, item, seen)
        except FileError as error:
            if identity(item.path) != (item.size_bytes, item.modified):
                raise FileError("was changed while it was measured") from error
            rows[RESULTS].append(failed_row(settings, item, str(error)))
            continue
        for name, more in measured.rows.items():
            rows[name] += more
    return rows


def blank_row(settings: Settings, item: Item, place: Place) -> dict[str, object]:
    """Give the columns of a plane that are known before it is measured."""
    return {
        "file": item.name,
        **vars(place),
        "size_bytes": item.size_bytes if item.modified else None,
        "modified": item.modified,
        "settings_id": settings.id,
        "sha256": item.sha256,
    }


def failed_row(settings: Settings, item: Item, error: str) -> dict[str, object]:
    """Give the row of a page that could not be measured."""
    row = blank_row(settings, item, place_of(item.page))
    return {**row, "sha256": "", "error": error}


def bytes_of(settings: Settings, item: Item) -> int:
    """Tell how much memory a process takes with an item, as far as its header tells."""
    page = item.page
    if item.error:
        return PROCESS_BYTES
    if not item.listed:
        return USUAL_BYTES
    if not page.pixel_bytes:
        return PROCESS_BYTES
    return bytes_of_page(settings, page, drawn=settings.pictures is not None)


def bytes_of_page(settings: Settings, page: Page, *, measured: bool = True, drawn: bool) -> int:
    """Tell how much memory a process takes to read a page, measure it and draw it."""
    measures = settings.measures if measured else ()
    whole = any(measure.reads_whole for measure in measures)
    return memory_of(
        page.width,
        page.height,
        page.pixel_bytes,
        band_rows=0 if whole else page.band_rows,
        beside_bytes=max((measure.pixel_bytes for measure in measures), default=0),
        patch_size=max((measure.patch_size for measure in measures), default=0),
        drawn=drawn,
    )


def seconds_of(page: Page) -> float:
    """Tell what time a page may take beside that of any page; it rarely takes a tenth of that."""
    return page.width * page.height / _PIXELS_PER_S


def read_again(
    settings: Settings, path: Path, places: Collection[Place], *, measured: bool = True
) -> Iterator[tuple[Place, Plane]]:
    """Read planes of a file again, each page once, as far as they are there still.

    Parameters
    ----------
    settings
        Of the run.
    path
        Of the file.
    places
        Of the planes.
    measured
        Whether they are to be measured and drawn, which takes memory.

    Raises
    ------
    FileError
        It cannot be read any more.
    """
    (item,) = unlisted([(str(path), path)])
    try:
        pages = _listed(replace(settings, digest=False), item).pages
        left = set(places)
        for page in pages:
            # An axis inside the page has no place of its own.
            if not any(_is_at(page, place) for place in left):
                continue
            need(
                bytes_of_page(settings, page, measured=measured, drawn=measured),
                seconds_of(page),
                beside_bytes=_framework_bytes(settings),
            )
            for plane in _read(settings, path, page):
                place = next((one for one in left if _is_at(plane, one)), None)
                if place is not None:
                    left.remove(place)
                    yield place, plane
    except FileError as error:
        raise FileError(f"{path}: {reason_of(error, path)}") from error


def measure_again(settings: Settings, path: Path, place: Place) -> Result:
    """Read and measure one plane of a file, to draw it.

    Raises
    ------
    FileError
        It cannot be read any more.
    MicroscopeQualityError
        It cannot be measured.
    """
    for _, plane in read_again(settings, path, [place]):
        return measure_plane(settings.measures[:1], plane)
    raise FileError(f"{path}: has no plane {place} any more")


def draw_plane(settings: Settings, wanted: Wanted) -> None:
    """Measure a plane of a file again and draw it.

    Raises
    ------
    FileError
        The plane cannot be read any more, or the picture not be written.
    """
    subject = subject_of(settings, wanted)
    result = measure_again(settings, wanted.path, wanted.place)
    draw(settings.measure, result, wanted, subject)


def _is_at(at: Page | Plane, place: Place) -> bool:
    """Whether a page or a plane is at a place, of which the file's name may have told z and t."""
    return all(own in (None, vars(place)[axis]) for axis, own in vars(place_of(at)).items())


def _read(settings: Settings, path: Path, page: Page) -> list[Plane]:
    try:
        return _opened(path).read(page, luminance=settings.luminance)
    except FileError as error:
        raise FileError(reason_of(error, path)) from error


def _opened(path: Path) -> ImageFile:
    """Header of a file; the last ones are kept, for the next page of a stack.

    Each thread has its own: they would take the file's handle from each other.
    """
    # What a decoder has to say comes as an error, or does not matter.
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        status = path.stat()
    except OSError:
        return open_image(path)
    version = (status.st_mtime_ns, status.st_size, status.st_ino)
    return _opened_as_of(path, version, threading.get_ident())


@functools.lru_cache(maxsize=4)
def _opened_as_of(path: Path, version: tuple[int, int, int], thread: int) -> ImageFile:
    return open_image(path)
