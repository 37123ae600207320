"""Frames as a CSV file: one row a hop."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

from rt_melody.realtime.errors import OutputError
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.output_file import FileClock, OutputFile, Writer
from rt_melody.realtime.sinks.table import SinkRequest
from rt_melody.realtime.types import PitchFrame

CSV_HEADER = "time_s,f0_hz,voiced,confidence,available_s\n"
CSV_ROW = b"%.6f,%.3f,%d,%.4f,%.6f\n"


def from_settings(request: SinkRequest) -> list[EventSink]:
    """The file of ``--csv``."""
    output = request.settings.output
    return [CsvSink(request.path(output.csv, ".csv"), output.offset_s, request.live)] if output.csv else []


class CsvSink(EventSink):
    """One row a frame: ``time_s,f0_hz,voiced,confidence,available_s``. Note events are not written.

    ``offset_s`` is added to ``time_s``. With ``live`` a thread of its own writes (see output_file).
    """

    name = "CSV file"

    def __init__(self, path: str | Path, offset_s: float = 0.0, live: bool = False) -> None:
        super().__init__()
        self._file = OutputFile(path)
        self._writer = Writer(self._file, live)
        self._rows = bytearray(CSV_HEADER.encode())
        self._unwritten = bytearray()  # the writer's own
        self._half = bytearray()  # of a row, as far as it is in the file
        self._clock = FileClock(offset_s)

    def _start(self, origin_s: float) -> None:
        self._clock.start(origin_s)

    _retime = _start

    def _frame(self, frame: PitchFrame) -> None:
        clock, available_s = self._clock, frame.available_s
        self._rows += CSV_ROW % (clock.sounded(frame.time_s), frame.f0_hz, frame.voiced, frame.confidence, clock.existed(available_s))
        if clock.take_flush(available_s):
            rows, self._rows = self._rows, bytearray()
            self._writer.do(partial(self._write, rows))

    def _write(self, rows: bytearray) -> None:
        """What could not be written waits for the next time; the file ends with a whole row."""
        self._unwritten += rows
        try:
            while self._unwritten:
                self._account(self._file.write(self._unwritten))
        except OutputError:
            with suppress(OutputError):  # of a pipe nothing can be taken back
                self._file.cut(self._file.size - len(self._half))
                self._unwritten[:0], self._half = self._half, bytearray()
            raise

    def _account(self, written: int) -> None:
        self._half += self._unwritten[:written]
        del self._half[: self._half.rfind(b"\n") + 1]
        del self._unwritten[:written]

    def _close(self) -> None:
        self._writer.finish(partial(self._write, self._rows) if self._clock.started else None)
