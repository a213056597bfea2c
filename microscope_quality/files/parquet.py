"""A table as Parquet, with a type for each column, beside its CSV file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from microscope_quality.errors import FileError, SettingsError
from microscope_quality.files.columns import Column
from microscope_quality.files.tables import read_table
from microscope_quality.files.whole import whole

# Read and written at a time: some 20,000 rows, which are a row group of the file.
_BLOCK_BYTES = 2**23
# All times of these years can be held in nanoseconds since 1970.
_FIRST_YEAR, _LAST_YEAR = "1678", "2261"


def write_parquet(csv_path: Path, columns: Sequence[Column]) -> Path:
    """Write a table that is there as CSV as Parquet too.

    Whole numbers are int64, other numbers float64, and both are null where the field is empty;
    `modified` is a timestamp[ns, UTC], null where it is before 1678 or after 2261; all else is
    text. The memory it takes does not grow with the table.

    Parameters
    ----------
    csv_path : Path
        A finished table of this library.
    columns : sequence of Column
        To write, in their order. One that an older table lacks is null.

    Returns
    -------
    Path
        ``NAME.parquet`` beside ``NAME.csv``. An older one stays as it is until the new one is
        complete.

    Raises
    ------
    SettingsError
        pyarrow is not installed.
    FileError
        The table is missing or damaged, or nothing can be written beside it.
    """
    try:
        import pyarrow
        from pyarrow import csv, parquet
    except ImportError:
        raise SettingsError(
            "Parquet needs pyarrow: pip install 'microscope-quality[tables]'"
        ) from None

    path = csv_path.with_suffix(".parquet")
    types: dict[str, Any] = {
        "integer": pyarrow.int64(),
        "time": pyarrow.timestamp("ns", tz="UTC"),
        "text": pyarrow.string(),
    }
    schema = pyarrow.schema([(one.name, types.get(one.kind, pyarrow.float64())) for one in columns])
    # Times come as text first: one that the type cannot hold is to cost itself alone.
    times = [n for n, column in enumerate(columns) if column.kind == "time"]
    read = schema
    for n in times:
        read = read.set(n, pyarrow.field(columns[n].name, pyarrow.string()))
    options = {
        "read_options": csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
        "parse_options": csv.ParseOptions(newlines_in_values=True),
        "convert_options": csv.ConvertOptions(
            column_types=read,
            include_columns=schema.names,
            include_missing_columns=True,
            null_values=[""],
            strings_can_be_null=False,
        ),
    }
    # Whether it is a table at all, which pyarrow does not ask.
    next(read_table(csv_path, ("file",)), None)
    try:
        with whole(path) as beside, _plainly(), csv.open_csv(csv_path, **options) as batches:
            writer = parquet.ParquetWriter(beside, schema, compression="zstd")
            with contextlib.closing(writer):
                for batch in batches:
                    for n in times:
                        moments = _moments(batch.column(n), schema.field(n).type)
                        batch = batch.set_column(n, schema.field(n), moments)
                    writer.write_batch(batch)
    except pyarrow.ArrowInvalid as error:
        raise FileError(f"{csv_path}: is damaged ({error})") from error
    return path


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """Let an error of the system say what the system says, without what pyarrow adds."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno)) from error


def _moments(texts: Any, kind: Any) -> Any:
    """Give times of text; null is what is empty, or none that the type can hold."""
    import pyarrow
    from pyarrow import compute

    # Older versions of pyarrow take another time for one that cannot be held.
    years = compute.utf8_slice_codeunits(texts, 0, 4)
    held = compute.and_(
        compute.greater_equal(years, _FIRST_YEAR), compute.less_equal(years, _LAST_YEAR)
    )
    texts = compute.if_else(held, texts, None)
    try:
        return texts.cast(kind)
    except pyarrow.ArrowInvalid:
        if len(texts) == 1:
            return pyarrow.nulls(1, kind)
        half = len(texts) // 2
        parts = [_moments(part, kind) for part in (texts[:half], texts[half:])]
        return pyarrow.concat_arrays(parts)
