"""Tables in Parquet, by pyarrow: frames and notes, with the name of the recording in each row, so that the files of many
recordings are one table (``pyarrow.dataset.dataset(FOLDER)``, ``pandas.read_parquet``, DuckDB, polars)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound

GROUP_ROWS = 1 << 17  # of the table of a whole corpus


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


def join(pieces: Sequence[Path], whole: Path) -> bool:
    """One file of many, of a whole corpus, in an order that is given; whether there is one. Row groups hold many pieces: with one
    for each, readers would spend their time on these."""
    import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

    arrow, parquet = cast(Any, pa), cast(Any, pq)
    if not pieces:
        return False
    with parquet.ParquetWriter(whole, parquet.read_schema(pieces[0]), compression="zstd") as writer:
        group, rows = list[Any](), 0
        for number, piece in enumerate(pieces, 1):
            group.append(parquet.read_table(piece))
            rows += len(group[-1])
            if rows >= GROUP_ROWS or number == len(pieces):
                writer.write_table(arrow.concat_tables(group).combine_chunks())
                group, rows = [], 0
    return True
