"""One line on a terminal that shows what is heard.

Conventions
-----------
* The line is drawn ``DRAWS_A_SECOND`` times at most, by a carriage return over the last one; between
  two drawings a frame costs one look at the clock.
* A stream that is no terminal gets nothing. A terminal that takes nothing at the moment (stopped by
  Ctrl-S, a slow line) misses a drawing; one that has gone is not written to again.
* Nothing here waits: the terminal is opened anew, so that writing to it may fail instead; where that cannot be
  (Windows, whose console stands still while text is marked in it), a thread of its own writes.
* The level meter spans -60..0 dBFS. Plain ASCII, so that every terminal can show it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

from rt_melody.realtime.settings import Settings
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.table import SinkRequest
from rt_melody.realtime.timing.background import BackgroundWriter
from rt_melody.realtime.types import KeyHeard, NoteEvent, NoteOff, NoteOn, PitchFrame, hz_to_midi, note_name

DRAWS_A_SECOND = 15.0
METER_CELLS = 16
METER_FLOOR_DB = -60.0
DEFAULT_COLUMNS = 80


def from_settings(request: SinkRequest) -> list[EventSink]:
    """The live line, unless it is to be quiet or standard output carries lines."""
    s = request.settings
    if s.report.quiet or s.output.writes_lines or sys.stderr is None:
        return []
    return [TerminalSink(sys.stderr, s.performance.shift_semitones)]


class TerminalSink(EventSink):
    """Level, note, cents from that note, f0, latency and skips on one line of ``stream``."""

    name = "terminal"
    is_output = False

    def __init__(self, stream: TextIO, shift_semitones: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        """``shift_semitones``: from what is sung to what is played, tuning included; cents are told of the latter."""
        super().__init__()
        self._shift = shift_semitones
        self._key = ""
        self._stream = stream
        self._clock = clock
        self._alive = stream.isatty()
        self._pen = _pen(stream) if self._alive else None
        self._next_draw_s = float("-inf")
        self._note: int | None = None
        self._drawn = 0  # characters of the last line
        self._latency_ms = 0.0
        self._skips = 0

    def status(self, latency_ms: float, skips: int) -> None:
        """What the next drawing says of the session: latency in ms, skips so far."""
        self._latency_ms = latency_ms
        self._skips = skips

    def _change(self, settings: Settings) -> None:
        self._shift = settings.performance.shift_semitones

    def _event(self, event: NoteEvent) -> None:
        if isinstance(event, NoteOn):
            self._note = event.note
        elif isinstance(event, NoteOff):
            self._note = None
        elif isinstance(event, KeyHeard):
            self._key = event.name

    def _frame(self, frame: PitchFrame) -> None:
        if not self._alive:
            return
        now_s = self._clock()
        if now_s < self._next_draw_s:
            return
        self._next_draw_s = now_s + 1 / DRAWS_A_SECOND
        self._draw(self.line(frame))

    def line(self, frame: PitchFrame) -> str:
        """The line for a frame, without carriage return."""
        return (
            f"{_meter(frame.level_db)} {frame.level_db:6.1f} dB  {self._pitch(frame)}"
            f"  latency {self._latency_ms:.0f} ms  skips {self._skips}{'  in ' + self._key if self._key else ''}"
            f"{'  ' + self.band.brief() if self.band else ''}"
        )

    def _pitch(self, frame: PitchFrame) -> str:
        """Note and cents as played, relative to the note that sounds if one does; f0 as sung. Blank where unvoiced."""
        if not frame.voiced or not frame.f0_hz > 0:
            return " " * 23
        pitch = hz_to_midi(frame.f0_hz) + self._shift
        note = round(pitch) if self._note is None else self._note
        return f"{note_name(note):4}{100 * (pitch - note):+5.0f} c {frame.f0_hz:8.1f} Hz"

    def clear(self) -> None:
        """Take the line away, so that something else can be printed; the next frames draw it again."""
        if self._alive and self._drawn:
            self._draw("", "\r")

    def _draw(self, line: str, end: str = "") -> None:
        if self._pen is None:
            return
        line = line[: _columns(self._stream) - 1]
        try:
            self._pen.write("\r" + line.ljust(self._drawn) + end)
            self._drawn = len(line)
        except BlockingIOError:  # it takes nothing at the moment
            pass
        except (OSError, ValueError):  # the terminal has gone, or its stream is closed
            self._alive = False

    def _close(self) -> None:
        self.clear()
        if self._pen is not None:
            self._pen.close()


def _meter(level_db: float) -> str:
    part = (level_db - METER_FLOOR_DB) / -METER_FLOOR_DB
    cells = min(METER_CELLS, max(0, round(METER_CELLS * part)))
    return "[" + "#" * cells + "-" * (METER_CELLS - cells) + "]"


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or DEFAULT_COLUMNS
    except (OSError, ValueError):
        return DEFAULT_COLUMNS


class _OwnPen:
    """The terminal behind a file descriptor of our own, whose writes never wait: they raise BlockingIOError."""

    def __init__(self, terminal: str) -> None:
        self._file = os.open(terminal, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)

    def write(self, text: str) -> None:
        os.write(self._file, text.encode())

    def close(self) -> None:
        os.close(self._file)


class _LentPen:
    """The stream itself, written by another thread; raises BlockingIOError while that one waits for it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._writer = BackgroundWriter(self._write, most=1)

    def write(self, text: str) -> None:
        if not self._writer.take(text):
            raise BlockingIOError

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # it has gone
            pass

    def close(self) -> None:
        self._writer.close()


class _Pen:
    """A stream in memory, which never makes anybody wait."""

    def __init__(self, stream: TextIO) -> None:
        self.write = stream.write

    def close(self) -> None: ...


def _pen(stream: TextIO) -> _OwnPen | _LentPen | _Pen:
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return _Pen(stream)
    try:
        return _OwnPen(os.ttyname(number))
    except (OSError, AttributeError):  # AttributeError: Windows names no terminals
        return _LentPen(stream)
