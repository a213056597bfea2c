"""What a job does to a page of a file: measure its planes, draw them."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import logging
import re
import threading
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional, Union

from microscope_quality.batch.budget import Budget, hand_out, need
from microscope_quality.errors import FileError, MicroscopeQualityError, reason_of
from microscope_quality.files.digest import digest_of
from microscope_quality.files.images import open_image
from microscope_quality.files.metadata import optics_of
from microscope_quality.files.ome_zarr import identity as zarr_identity
from microscope_quality.files.ome_zarr import is_zarr
from microscope_quality.files.plane import ImageFile, Page, Pages, Plane
from microscope_quality.files.tables import PATCHES, RESULTS, patch_columns, run_columns
from microscope_quality.focus import FocusResult, measure_focus
from microscope_quality.measuring.memory import PROCESS_BYTES, USUAL_BYTES, memory_of
from microscope_quality.model import FocusModel, ModelDescription
from microscope_quality.optics import Optics
from microscope_quality.sampling import sample_focus
from microscope_quality.version import __version__

if TYPE_CHECKING:
    import numpy as np

# What is read and measured at the least in a second, on a slow drive and a busy machine.
_BYTES_PER_S = 2e6
_PIXELS_PER_S = 1e6
# What a list of pages may take at the most.
_LIST_BYTES = 2**30
# Of a file of which a sample of places is measured, in bytes: of a larger one there is no digest.
_SAMPLED_BYTES = 256_000_000


@dataclass(frozen=True)
class Settings:
    """How to measure, the same for all planes of a run."""

    model: Optional[str] = None
    #: What the user says of the optics, by the fields of `Optics`; files may tell the rest.
    optics: Mapping[str, float] = field(default_factory=dict)
    rescale: bool = False
    luminance: bool = False
    in_focus_limit: int = 1
    #: Number of random places to measure in each plane, by which seed; None measures all patches.
    sample: Optional[int] = None
    seed: int = 0
    keep_patches: bool = False
    #: Regular expression for `GROUPS`, searched in a file's name and then in its path.
    pattern: Optional[str] = None
    #: Folder for a picture of each plane, drawn as it is measured.
    pictures: Optional[Path] = None
    #: Whether rows have a digest of their file, by which `verify` knows it again.
    digest: bool = True
    #: What the process at work on a file may take.
    budget: Budget = field(default_factory=Budget)

    def tables(self, levels: int) -> dict[str, tuple[str, ...]]:
        """Columns of the tables that a page has rows for, by the names of their files."""
        tables = {RESULTS: run_columns(levels), PATCHES: patch_columns(levels)}
        return tables if self.keep_patches else {RESULTS: tables[RESULTS]}

    def to_dict(self) -> dict[str, object]:
        """Give what decides about the rows, for a run's record."""
        return {
            "model": self.model,
            "optics": optics_text(self.optics) or None,
            "rescale": self.rescale,
            "luminance": self.luminance,
            "in_focus_limit": self.in_focus_limit,
            "sample": self.sample,
            "seed": None if self.sample is None else self.seed,
            "per_patch": self.keep_patches,
            "pattern": self.pattern,
            "digest": self.digest,
            "budget": self.budget.to_dict(),
        }


@dataclass(frozen=True)
class Item:
    """A page to measure, `last` of its file, or a file that has none because of an error.

    One that is not `listed` is a file of which nothing is known but its name and, of an earlier
    run, how many of its pages are `done`.
    """

    file: int
    name: str
    path: Path
    page: Page
    last: bool = True
    size_bytes: int = 0
    modified: str = ""
    error: str = ""
    #: The path as it was given, where `path` is made for another machine.
    given: Optional[Path] = None
    listed: bool = True
    done: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class Place:
    """Where a plane lies in its file; None for an axis that the file does not have."""

    series: Optional[int] = None
    z: Optional[int] = None
    c: Optional[int] = None
    t: Optional[int] = None

    def __str__(self) -> str:
        axes = {"series ": self.series, "z": self.z, "c": self.c, "t": self.t}
        return " ".join(f"{axis}{index}" for axis, index in axes.items() if index is not None)


@dataclass(frozen=True)
class Measured:
    """What a page gave: rows of each table, pictures, and why there are none of some planes."""

    rows: dict[str, list[dict[str, object]]]
    drawn: tuple[Path, ...] = ()
    not_drawn: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listed:
    """Pages of a file that are to be measured, and the digest of the file."""

    pages: Pages
    sha256: str


#: Plane of a file that is to be drawn: its name and path, its place, the picture, a remark.
Wanted = tuple[str, Path, Place, Path, str]
Seen = Callable[[Place, "np.ndarray[Any, Any]", FocusResult], None]


def settings_id(settings: Settings, description: ModelDescription) -> str:
    """Name what decides about a row beside its file: settings, model and version."""
    facts = {
        **settings.to_dict(),
        # They decide about no number.
        "pattern": None,
        "digest": None,
        "budget": None,
        "model": description.sha256,
        "levels": description.levels,
        "patch_size": description.patch_size,
        "normalisation": description.normalisation,
        "sure_certainty": description.sure_certainty,
        "sampling": description.optics.to_dict(),
        "version": __version__,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def model_facts(description: ModelDescription) -> dict[str, object]:
    """Give what a run's record says of the model."""
    return {
        "name": description.name,
        "sha256": description.sha256,
        "levels": description.levels,
        "sure_certainty": description.sure_certainty,
        "patch_size": description.patch_size,
    }


def identity(path: Path) -> tuple[int, str]:
    """Size in bytes and time of the last change of a file: by these it is known again.

    Of a folder of OME-Zarr, those of all files in it.

    The time is UTC with nanoseconds, in ISO 8601; a file that is not there has size 0 and no time.
    """
    try:
        if is_zarr(path):
            size_bytes, mtime_ns = zarr_identity(path)
            return size_bytes, modified_text(mtime_ns)
        status = path.stat()
    except (OSError, ValueError):
        return 0, ""
    return status.st_size, modified_text(status.st_mtime_ns)


def modified_text(mtime_ns: int) -> str:
    """Write a file's time of change as `identity` gives it."""
    seconds, nanoseconds = divmod(mtime_ns, 10**9)
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09}Z"
    except (OverflowError, ValueError, OSError):  # a year that no calendar has
        return f"{mtime_ns} ns"


def items(files: Iterable[tuple[str, Path]]) -> Iterator[Item]:
    """Pages of files, each file opened by this process when its turn comes."""
    for file in unlisted(files):
        try:
            listed = _listed(Settings(digest=False), file)
        except FileError as error:
            yield replace(file, error=str(error), listed=True)
            continue
        first, more = follow(file, listed)
        yield first
        yield from more


def unlisted(
    files: Iterable[tuple[str, Path]],
    done: Callable[[str, int, str], Optional[int]] = lambda name, size_bytes, modified: 0,
) -> Iterator[Item]:
    """Files that are still to be measured, of which nothing is read.

    Parameters
    ----------
    files
        Names and paths.
    done
        Tells of a file's name, size and time how many of its pages are measured; None for all.
    """
    for number, (name, path) in enumerate(files):
        size_bytes, modified = identity(path)
        pages_done = done(name, size_bytes, modified)
        if pages_done is not None:
            yield Item(
                number,
                name,
                path,
                Page(0),
                size_bytes=size_bytes,
                modified=modified,
                listed=False,
                done=pages_done,
            )


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
        large = settings.sample is not None and item.size_bytes > _SAMPLED_BYTES
        if settings.digest and not large:
            sha256 = digest_of(item.path)
    except FileError as error:
        raise FileError(reason_of(error, item.path)) from error
    return Listed(Pages(pages, item.done if item.done < len(pages) else 0), sha256)


def follow(item: Item, listed: Listed) -> tuple[Item, Iterator[Item]]:
    """Give the first page of a file that is listed by now, and the others that follow it."""

    def page(number: int) -> Item:
        return replace(
            item,
            page=listed.pages[number],
            last=number == len(listed.pages) - 1,
            listed=True,
            sha256=listed.sha256,
        )

    return page(0), map(page, range(1, len(listed.pages)))


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


def measure_page(settings: Settings, item: Item, seen: Optional[Seen] = None) -> Measured:
    """Measure the planes of a page; `seen` is called with each and its result.

    Raises
    ------
    FileError
        The page cannot be read, or changed meanwhile.
    """
    if item.error:
        raise FileError(item.error)
    need(bytes_of(settings, item), seconds_of(item.page))
    model = _model(settings.model)
    rows: dict[str, list[dict[str, object]]] = {
        name: [] for name in settings.tables(model.description.levels)
    }
    drawn, not_drawn = [], []
    for plane in _read(settings, item):
        place = Place(plane.series, plane.z, plane.c, plane.t)
        row = blank_row(settings, model.description, item, place)
        for name in ("plate", "well", "site"):
            row[name] = row.get(name) or getattr(plane, name)
        rows[RESULTS].append(row)
        optics, message = optics_of(plane.known_optics, settings.optics)
        try:
            result = _measure(settings, model, plane, optics)
        except MicroscopeQualityError as error:
            row.update(sha256="", error=reason_of(error, item.path))
            continue
        message = " ".join(filter(None, (result.message, message)))
        row.update(result.to_row(), message=message)
        if optics is not None:
            row["optics"] = optics_text(optics.to_dict())
        if seen is not None:
            seen(place, plane.array, result)
        if settings.keep_patches:
            rows[PATCHES] += _patch_rows(item, place, result)
        if settings.pictures is not None:
            picture = settings.pictures / picture_name(item.name, place)
            try:
                subject = _subject(settings, item.path, place, "")
                _draw(plane, result, item.name, place, picture, subject=subject)
                drawn.append(picture)
            except MicroscopeQualityError as error:
                not_drawn.append(str(error))
    # To look at all files of an OME-Zarr once for each of its pages would take longer than these.
    look = item.last or not is_zarr(item.path)
    if item.modified and look and identity(item.path) != (item.size_bytes, item.modified):
        raise FileError("was changed while it was measured")
    return Measured(rows, tuple(drawn), tuple(not_drawn))


@functools.lru_cache(maxsize=1)
def _model(name: Optional[str]) -> FocusModel:
    """The model of a run: that it had at its start, read once."""
    return FocusModel.from_pretrained(name)


def measure_file(
    settings: Settings, file: tuple[str, Path], seen: Optional[Seen] = None
) -> dict[str, list[dict[str, object]]]:
    """Measure a whole file; rows of each table. `seen` is called with each plane and its result.

    A page that cannot be read is a row with an error.

    Raises
    ------
    FileError
        The file cannot be opened, or changed meanwhile.
    """
    description = _model(settings.model).description
    rows: dict[str, list[dict[str, object]]] = {
        name: [] for name in settings.tables(description.levels)
    }
    (whole,) = unlisted([file])
    first, others = follow(whole, _listed(settings, whole))
    for item in itertools.chain([first], others):
        try:
            measured = measure_page(settings, item, seen)
        except FileError as error:
            if identity(item.path) != (item.size_bytes, item.modified):
                raise FileError("was changed while it was measured") from error
            rows[RESULTS].append(failed_row(settings, description, item, str(error)))
            continue
        for name, more in measured.rows.items():
            rows[name] += more
    return rows


def blank_row(
    settings: Settings, description: ModelDescription, item: Item, place: Place
) -> dict[str, object]:
    """Give the columns of a plane that are known before it is measured."""
    return {
        "file": item.name,
        **vars(place),
        **groups(settings.pattern, item.given or item.path),
        "size_bytes": item.size_bytes if item.modified else None,
        "modified": item.modified,
        "settings_id": settings_id(settings, description),
        "sha256": item.sha256,
    }


def failed_row(
    settings: Settings, description: ModelDescription, item: Item, error: str
) -> dict[str, object]:
    """Give the row of a page that could not be measured."""
    page = item.page
    place = Place(page.series, page.z, page.c, page.t)
    return {**blank_row(settings, description, item, place), "sha256": "", "error": error}


def groups(pattern: Optional[str], path: Path) -> dict[str, str]:
    """Find what a pattern's groups match in a file's name, or else in its path."""
    if pattern is None:
        return {}
    compiled = re.compile(pattern)
    match = compiled.search(path.name) or compiled.search(path.as_posix())
    return {name: text or "" for name, text in match.groupdict().items()} if match else {}


def optics_text(values: Mapping[str, float]) -> str:
    """Give values of optics as `Optics.parse` and `optics.parse_values` read them."""
    names = {"refractive_index": "n"}
    return ",".join(f"{names.get(name, name)}={value:g}" for name, value in values.items())


def on_any_machine(thing: Union[Settings, Item]) -> Any:
    """Give settings or an item with absolute paths, as another machine's processes need them."""
    if isinstance(thing, Item):
        return replace(thing, path=thing.path.absolute(), given=thing.path)
    model, pictures = thing.model, thing.pictures
    if model is not None and Path(model).is_dir():
        model = str(Path(model).absolute())
    return replace(thing, model=model, pictures=pictures and pictures.absolute())


def bytes_of(settings: Settings, item: Item) -> int:
    """Tell how much memory a process takes with an item, as far as its header tells."""
    page = item.page
    if item.error:
        return PROCESS_BYTES
    if not item.listed:
        return USUAL_BYTES
    if not page.pixel_bytes:
        return PROCESS_BYTES
    return memory_of(
        page.width,
        page.height,
        page.pixel_bytes,
        band_rows=0 if settings.rescale else page.band_rows,
        rescaled=settings.rescale,
        drawn=settings.pictures is not None,
    )


def seconds_of(page: Page) -> float:
    """Tell what time a page may take beside that of any page; it rarely takes a tenth of that."""
    return page.width * page.height / _PIXELS_PER_S


def measure_again(
    settings: Settings, name: str, path: Path, place: Place
) -> tuple[Plane, FocusResult]:
    """Read and measure one plane of a file, to draw it.

    Raises
    ------
    FileError
        It cannot be read any more.
    MicroscopeQualityError
        It cannot be measured.
    """
    model = _model(settings.model)
    for item in items([(name, path)]):
        if item.error:
            raise FileError(f"{path}: {item.error}")
        if not _may_hold(item.page, place):
            continue
        need(bytes_of(replace(settings, pictures=path.parent), item), seconds_of(item.page))
        for plane in _read(settings, item):
            if Place(plane.series, plane.z, plane.c, plane.t) == place:
                optics, _ = optics_of(plane.known_optics, settings.optics)
                return plane, _measure(settings, model, plane, optics)
    raise FileError(f"{path}: has no plane {place} any more")


def draw_plane(settings: Settings, wanted: Wanted) -> None:
    """Measure a plane of a file again and draw it into another one, with a remark.

    Raises
    ------
    FileError
        The plane cannot be read any more, or the picture not be written.
    """
    name, source, place, target, remark = wanted
    subject = _subject(settings, source, place, remark)
    plane, result = measure_again(settings, name, source, place)
    _draw(plane, result, name, place, target, remark, subject=subject)


def is_drawn(settings: Settings, wanted: Wanted) -> bool:
    """Whether `draw_plane` drew this picture before, of the file as it is now."""
    from microscope_quality.files.pictures import subject_of

    _, source, place, target, remark = wanted
    return subject_of(target) == _subject(settings, source, place, remark)


def _subject(settings: Settings, path: Path, place: Place, remark: str) -> str:
    """Name what a picture shows: the file as it is, the plane, how it is measured."""
    description = _model(settings.model).description
    size_bytes, modified = identity(path)
    facts = [settings_id(settings, description), size_bytes, modified, str(place), remark]
    return json.dumps([*facts, str(path.absolute())])


def _may_hold(page: Page, place: Place) -> bool:
    """Whether a plane can be one of a page: an axis inside the page has no place of its own."""
    axes = ("series", "z", "c", "t")
    return all(getattr(page, axis) in (None, getattr(place, axis)) for axis in axes)


def picture_name(name: str, place: Place, rank: Optional[int] = None) -> str:
    """File name of a plane's picture, of characters that any file system takes.

    It begins with the plane's rank, or else ends in digits that are the plane's own, whatever
    other files there are.
    """
    stem = re.sub(r"[^\w.+-]+", "_", f"{name} {place}".strip())
    # Names are limited to 255 bytes; their ends tell files apart.
    stem = stem.encode(errors="replace")[-180:].decode(errors="ignore").lstrip("_. ")
    if rank is not None:
        return f"{rank:02}_{stem}.png"
    own = hashlib.sha256(f"{name}\n{place}".encode(errors="backslashreplace")).hexdigest()[:8]
    return f"{stem}_{own}.png" if stem else f"{own}.png"


def _read(settings: Settings, item: Item) -> list[Plane]:
    try:
        return _opened(item.path).read(item.page, luminance=settings.luminance)
    except FileError as error:
        raise FileError(reason_of(error, item.path)) from error


def _measure(
    settings: Settings, model: FocusModel, plane: Plane, optics: Optional[Optics]
) -> FocusResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        measure: Callable[..., FocusResult] = measure_focus
        if settings.sample is not None:
            measure = functools.partial(sample_focus, places=settings.sample, seed=settings.seed)
        return measure(
            plane.array,
            model,
            optics=optics,
            rescale=settings.rescale,
            in_focus_limit=settings.in_focus_limit,
        )


def _draw(
    plane: Plane,
    result: FocusResult,
    name: str,
    place: Place,
    path: Path,
    remark: str = "",
    *,
    subject: str = "",
) -> None:
    from microscope_quality.files.pictures import MAX_SIDE, write_overlay
    from microscope_quality.overlay import overlay

    picture = overlay(plane.array, result, max_side=MAX_SIDE)
    words = [result.status.replace("_", " ")]
    if result.status != "no_content":
        words.insert(0, f"level {result.level:.0f} (expected {result.expected_level:.1f})")
        words.append(f"certainty {result.certainty:.2f}")
        words.append(f"blur {result.blur_diameter_px:.1f} px")
    if remark:
        words.append(remark)
    verdict = " · ".join(words)
    write_overlay(
        path,
        picture,
        title=f"{name}  {place}".strip(),
        verdict=verdict[0].upper() + verdict[1:],
        levels=len(result.probabilities),
        subject=subject,
    )


def _patch_rows(item: Item, place: Place, result: FocusResult) -> Iterator[dict[str, object]]:
    names = [f"p{k}" for k in range(result.patch_probabilities.shape[1])]
    for (y, x), level, expected, certainty, probabilities in zip(
        result.patch_positions.tolist(),
        result.patch_levels.tolist(),
        result.patch_expected_levels.tolist(),
        result.patch_certainties.tolist(),
        result.patch_probabilities.tolist(),
    ):
        yield {
            "file": item.name,
            **vars(place),
            "y": y,
            "x": x,
            "level": level,
            "expected_level": expected,
            "certainty": certainty,
            **dict(zip(names, probabilities)),
        }


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
