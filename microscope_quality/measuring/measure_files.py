"""Measure and rate image files from Python, as ``microscope-quality measure`` and ``rate`` do."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from microscope_quality.arguments import (
    as_a,
    as_count,
    as_flag,
    as_list,
    as_number,
    as_path,
    as_seed,
    as_text,
    shown,
)
from microscope_quality.batch.run import n_cores
from microscope_quality.errors import ArgumentError, MissingLibraryError, SettingsError
from microscope_quality.files.columns import Value, without_checksum
from microscope_quality.files.images import find_some
from microscope_quality.files.tables import RESULTS, STACKS
from microscope_quality.measuring.measure import Row
from microscope_quality.measuring.measures import measures_with
from microscope_quality.measuring.memory import limit_of
from microscope_quality.measuring.rows import PlaneRow
from microscope_quality.measuring.run import Progress, Run, check_folder
from microscope_quality.measuring.settings import Settings
from microscope_quality.optics import Optics, checked_values
from microscope_quality.resampling import Rescaling, as_rescaling

if TYPE_CHECKING:
    import pandas

_Path = str | os.PathLike[str]


def measure_files(
    paths: _Path | Iterable[_Path],
    settings: Settings | None = None,
    *,
    out: _Path | None = None,
    jobs: int | None = None,
    again: bool = False,
    measures: str | Iterable[str] = "focus",
    model: _Path | None = None,
    optics: Optics | Mapping[str, float] | None = None,
    rescale: Rescaling = "auto",
    in_focus_limit: float | None = None,
    sample: int | None = None,
    seed: int = 0,
    luminance: bool = False,
    pattern: str | None = None,
    layout: str = "auto",
    exclude: str | Iterable[str] = (),
    per_patch: bool = False,
    limit_memory: str | None = None,
    progress: Progress | None = None,
) -> MeasuredFiles:
    """Measure image files, by several processes; gives the rows of their planes as they come.

    ::

        for row in measure_files("plate1", out="results"):
            print(row["file"], row["status"])

        table = measure_files("plate1").to_dataframe()

    Parameters
    ----------
    paths
        Files, folders of them, or patterns such as ``"plate/**/*_w1.tif"``; or one of these.
    settings
        How to measure, in place of all that the arguments from `measures` to `per_patch` say but
        `exclude`: for a measure of one's own.
    out
        Folder for ``results.csv`` and the other tables, as the command writes them. What an earlier
        run measured there by the same settings is given as it was kept, and an interrupted run
        goes on. Without it, nothing is written.
    jobs
        Processes at work; by default as many as there are cores.
    again
        Measure also what an earlier run measured.
    measures
        Of ``"focus"``, ``"classical"`` and ``"rating"``; the first one gives the status.
    model
        Name or folder of a model; by default the one that comes with the library.
    optics
        Of the images; of a mapping with some of its values, the files may tell the rest.
    rescale, in_focus_limit
        As for `focus.measure_focus`.
    sample, seed
        Measure so many random places of each plane; as `places` and `seed` of
        `sampling.sample_focus`.
    luminance
        Measure colour images by their luminance instead of red, green and blue each.
    pattern, layout
        What files' names tell: a regular expression with the groups plate, well, site, channel, z
        or t, and the name of an instrument's layout, ``"auto"`` or ``"none"``.
    exclude
        Patterns of files and folders to leave out, as for `files.images.find`.
    per_patch
        Write ``patches.csv`` too, which needs `out`.
    limit_memory
        Of all processes together, such as ``"4GB"``.
    progress
        Called with the numbers of pages done, and of those known of so far.

    Returns
    -------
    MeasuredFiles
        Nothing is measured before its first row is asked for.

    Raises
    ------
    MicroscopeQualityError
        There is no file, or an argument is wrong; with the first row, as for `run.Run`. A file that
        cannot be measured is a row whose ``error`` says why.
    """
    said = {
        "measures": None if measures == "focus" else measures,
        "model": model,
        "optics": optics,
        "rescale": None if as_rescaling(rescale) == "auto" else as_rescaling(rescale),
        "in_focus_limit": in_focus_limit,
        "sample": sample,
        "seed": as_seed(seed) or None,
        **_said_of_files(luminance, pattern, layout, per_patch),
    }
    return _begun(
        paths,
        _settings_of(settings, said),
        "measure_focus",
        out=out,
        jobs=jobs,
        again=again,
        exclude=exclude,
        per_patch=per_patch,
        limit_memory=limit_memory,
        progress=progress,
    )


def rate_files(
    paths: _Path | Iterable[_Path],
    settings: Settings | None = None,
    *,
    out: _Path | None = None,
    jobs: int | None = None,
    again: bool = False,
    model: _Path | None = None,
    patches: int | None = None,
    seed: int = 0,
    score_limit: float | None = None,
    check_grabs: bool = True,
    luminance: bool = False,
    pattern: str | None = None,
    layout: str = "auto",
    exclude: str | Iterable[str] = (),
    per_patch: bool = False,
    limit_memory: str | None = None,
    progress: Progress | None = None,
) -> MeasuredFiles:
    """Rate image files, by several processes; gives the rows of their planes as they come.

    ::

        for row in rate_files("section12", out="rated"):
            print(row["file"], row["score"], row["action"])

    Parameters
    ----------
    paths, settings, out, jobs, again, luminance, pattern, layout, exclude, per_patch, limit_memory
        As for `measure_files`. Rows that an earlier run rated with another `score_limit` are judged
        again, and not rated again.
    model, patches, seed
        As for `rater.rate_image`; the model by its name or folder.
    score_limit, check_grabs
        The lowest score that is good, 0.1 to 1, 0.7 by default; and whether failed grabs are told
        apart. See `measuring.rating.Rating`.
    progress
        As for `measure_files`.

    Returns
    -------
    MeasuredFiles
        Nothing is rated before its first row is asked for.

    Raises
    ------
    MicroscopeQualityError
        As for `measure_files`.
    """
    said = {
        "model": model,
        "patches": patches,
        "seed": as_seed(seed) or None,
        "score_limit": score_limit,
        "check_grabs": None if as_flag("check_grabs", check_grabs) else False,
        **_said_of_files(luminance, pattern, layout, per_patch),
    }
    return _begun(
        paths,
        _settings_of(settings, said, measures="rating"),
        "rate_image",
        out=out,
        jobs=jobs,
        again=again,
        exclude=exclude,
        per_patch=per_patch,
        limit_memory=limit_memory,
        progress=progress,
    )


def _said_of_files(
    luminance: bool, pattern: str | None, layout: str, per_patch: bool
) -> dict[str, Any]:
    return {
        "luminance": as_flag("luminance", luminance) or None,
        "pattern": pattern,
        "layout": None if layout == "auto" else layout,
        "per_patch": as_flag("per_patch", per_patch) or None,
    }


def _settings_of(settings: Settings | None, said: Mapping[str, Any], **usual: Any) -> Settings:
    """Give the settings, or make them of what was said."""
    given = {name: value for name, value in said.items() if value is not None}
    if settings is None:
        settings = _settings(**usual, **given)
    elif given:
        raise SettingsError(f"{next(iter(given))} must be said in `settings`, which are given.")
    as_a(Settings, "settings", settings).check()
    return settings


def _begun(
    paths: _Path | Iterable[_Path],
    settings: Settings,
    of_arrays: str,
    *,
    out: _Path | None,
    jobs: int | None,
    again: bool,
    exclude: str | Iterable[str],
    per_patch: bool,
    limit_memory: str | None,
    progress: Progress | None,
) -> MeasuredFiles:
    """Check what is asked for, and give the files; `of_arrays` names what does this to an array."""
    if per_patch and out is None:
        raise SettingsError("per_patch needs `out`, a folder to write to.")
    folder = None if out is None else as_path("out", out)
    if folder is not None:
        check_folder(folder)
    if progress is not None and not callable(progress):
        raise ArgumentError(f"progress must be callable, not {shown(progress)}.")
    without = [exclude] if isinstance(exclude, str) else as_list("exclude", exclude, "patterns")
    files = find_some(
        [os.fspath(path) for path in _paths(paths, of_arrays)],
        exclude=folder,
        without=[as_text("exclude", one) for one in without],
    )
    at_work = n_cores() if jobs is None else as_count("jobs", jobs, 1)
    limit_bytes = None
    if limit_memory is not None:
        limit_bytes = limit_of(as_text("limit_memory", limit_memory))
    all_again = as_flag("again", again)

    def start() -> Run:
        return Run(settings, files, folder, jobs=at_work, limit_bytes=limit_bytes, again=all_again)

    return MeasuredFiles(start, settings, [path for _, path in files], progress)


def _paths(paths: Any, of_arrays: str) -> list[Path]:
    if isinstance(paths, (str, os.PathLike)):
        return [as_path("paths", paths)]
    asked = "paths must be those of files or folders, or patterns of them"
    if hasattr(paths, "__array__") or not isinstance(paths, Iterable):
        raise ArgumentError(f"{asked}, not {shown(paths)}; {of_arrays} takes arrays.")
    listed = [as_path("Each of the paths", one) for one in paths]
    if not listed:
        raise SettingsError(f"{asked}; there is none among them.")
    return listed


def _settings(
    *,
    measures: str | Iterable[str] = "focus",
    luminance: bool = False,
    pattern: str | None = None,
    layout: str = "auto",
    per_patch: bool = False,
    **given: Any,
) -> Settings:
    """Make settings of what was given, by the names of the arguments."""
    if "model" in given:
        given["model"] = str(_model_path(given["model"]))
    if "optics" in given:
        given["optics"] = _known_optics(given["optics"])
    if "in_focus_limit" in given:
        given["in_focus_limit"] = as_number("in_focus_limit", given["in_focus_limit"])
    listed = measures.split(",") if isinstance(measures, str) else measures
    return Settings(
        measures=measures_with(
            [as_text("measures", one) for one in as_list("measures", listed, "names")], given
        ),
        luminance=luminance,
        keep_patches=per_patch,
        pattern=None if pattern is None else as_text("pattern", pattern),
        layout=as_text("layout", layout),
    )


def _model_path(model: Any) -> Path:
    if not isinstance(model, (str, os.PathLike)):
        raise ArgumentError(
            f"model must be the name or folder of a model, from which each process loads it, not "
            f"{shown(model)}."
        )
    return as_path("model", model)


def _known_optics(optics: Any) -> dict[str, float]:
    if isinstance(optics, Optics):
        return optics.to_dict()
    if not isinstance(optics, Mapping):
        raise ArgumentError(
            f"optics must be an Optics, or a dict of some of its values, not {shown(optics)}. "
            "Optics.parse reads them from a text."
        )
    return checked_values(optics)


class _Stacks:
    """Hears of a run's z-stacks (see `run.RunListener`)."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def plane(self, plane: PlaneRow) -> None:
        pass

    def image(self, planes: Sequence[PlaneRow], speaker: PlaneRow, stack: Row | None) -> None:
        if stack is not None:
            self.rows.append(stack)


def _measured(
    start: Callable[[], Run], progress: Progress | None, stacks: _Stacks
) -> Generator[list[dict[str, Value]], None, None]:
    """Measure; gives the rows of a page."""
    with start() as run:
        for name, rows in run.measure(progress):
            yield run.values(name, rows)
        run.finish(stacks)


def _rows(number: int) -> str:
    return "1 row" if number == 1 else f"{number} rows"


class MeasuredFiles:
    """Image files that are measured as their rows are asked for.

    `measure_files` and `rate_files` make it.

    It can be gone through more than once: rows that were given are kept. A row is a dict with the
    columns of ``results.csv`` but its checksum, in their order: whole numbers, floats and texts,
    and None for an empty field. The rows are in the order of the files, those of a z-stack one
    behind the other; of what cannot be measured, ``error`` says why. With a folder they are those
    of its table, of six digits; without one, numbers are as they were measured.

    Whoever stops before the last row closes it, or uses it as a context: that ends the processes
    at work. What was measured is kept in the folder, for a run that goes on.

    Attributes
    ----------
    settings : Settings
        How it is measured.
    files : list of Path
        What is measured.
    """

    def __init__(
        self,
        start: Callable[[], Run],
        settings: Settings,
        files: Sequence[Path],
        progress: Progress | None = None,
    ) -> None:
        self.settings, self.files = settings, list(files)
        self._columns = {
            table: without_checksum(columns) for table, columns in settings.columns().items()
        }
        self._rows: list[tuple[Value, ...]] = []
        self._stacks = _Stacks()
        # It knows nothing of this object: when nobody does any more, the processes end at once.
        self._pages = _measured(start, progress, self._stacks)
        self._is_finished = self._is_closed = False

    def _advance(self) -> bool:
        """Take in the next rows, if there are any."""
        if self._is_finished:
            return False
        if self._is_closed:
            raise SettingsError(
                f"Measuring was ended before the last row; {_rows(len(self._rows))} had been "
                "given. Ask for them again; with `out`, it goes on from there."
            )
        try:
            rows = next(self._pages, None)
        except BaseException:
            self._is_closed = True
            raise
        self._is_finished = rows is None
        self._rows += (tuple(row.values()) for row in rows or ())
        return not self._is_finished

    def __iter__(self) -> Iterator[dict[str, Value]]:
        """Give the rows from the first one on; those that are missing are measured."""
        at = 0
        while at < len(self._rows) or self._advance():
            for row in self._rows[at:]:
                at += 1
                yield self._named(row)

    def _named(self, row: Sequence[Value]) -> dict[str, Value]:
        return {column.name: value for column, value in zip(self._columns[RESULTS], row)}

    def __repr__(self) -> str:
        """Tell how much is measured."""
        files = "1 file" if len(self.files) == 1 else f"{len(self.files)} files"
        so_far = "" if self._is_finished else " so far"
        return f"<MeasuredFiles: {files}, {_rows(len(self._rows))}{so_far}>"

    def __enter__(self) -> MeasuredFiles:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes at work; rows that were given stay."""
        self._is_closed = True
        self._pages.close()

    def to_dataframe(self) -> pandas.DataFrame:
        """Measure what is still to be measured; gives all rows.

        Returns
        -------
        pandas.DataFrame
            Columns of whole numbers are of pandas' type Int64, other numbers float64, texts
            string, and the time of the file is a time in UTC.

        Raises
        ------
        MissingLibraryError
            pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingLibraryError(
                "to_dataframe needs pandas, which is not installed: pip install pandas"
            ) from error
        self._finish()
        series = {}
        for number, column in enumerate(self._columns[RESULTS]):
            values = [row[number] for row in self._rows]
            if column.kind == "time":
                # A year that no calendar has is no time.
                series[column.name] = pandas.to_datetime(
                    pandas.Series(values, dtype="string"), utc=True, errors="coerce"
                )
                continue
            kind = {"integer": "Int64", "text": "string"}.get(column.kind, "float64")
            series[column.name] = pandas.Series(values, dtype=kind)
        return pandas.DataFrame(series)

    def stacks(self) -> list[dict[str, Value]]:
        """Measure what is still to be measured; gives a row for each z-stack, with its best plane.

        They have the columns of ``stacks.csv``.
        """
        self._finish()
        columns = self._columns[STACKS]
        return [
            {one.name: one.value(row[one.name]) for one in columns} for row in self._stacks.rows
        ]

    def _finish(self) -> None:
        while self._advance():
            pass
