"""Tables in Parquet, by pyarrow: frames and notes, with the name of the recording in each row, so that the files of many
recordings are one table (``pyarrow.dataset.dataset(FOLDER)``, ``pandas.read_parquet``, DuckDB, polars)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound


def write(sound: TrackedSound, paths: Sequence[Path], style: Style) -> None:
    """One row a frame; one row a note."""
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

    parquet: Any = pq
    for path, table in zip(paths, (sound.frames, sound.notes), strict=True):
        parquet.write_table(as_table(sound.name, table), path, compression="zstd")


def as_table(name: str, rows: Any) -> Any:
    """A ``pyarrow.Table`` of a structured array, with ``recording`` as its first column."""
    import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]

    arrow: Any = pa
    names = arrow.array([name] * len(rows), arrow.string()).dictionary_encode()
    return arrow.table({"recording": names, **{column: arrow.array(rows[column]) for column in rows.dtype.names}})


def join(pieces: Sequence[Path], whole: Path) -> None:
    """One file of many, a row group for each: of a whole corpus, in an order that is given. It is there whole or not at all."""
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

    parquet: Any = pq
    new = whole.with_name(f".{whole.name}")
    if not pieces:
        return
    with parquet.ParquetWriter(new, parquet.read_schema(pieces[0]), compression="zstd") as writer:
        for piece in pieces:
            writer.write_table(parquet.read_table(piece))
    new.replace(whole)
