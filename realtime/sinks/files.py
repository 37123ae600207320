"""Frames and notes to files and streams: CSV, JSON lines, standard MIDI files.

Conventions
-----------
* A path is opened when its sink is made, so that what cannot be written is an ``InputError`` before any
  sound is taken in; an existing file keeps its content until the first byte of the new one is there.
* What came in is on the disk after about ``FLUSH_EVERY_S`` of stream time, as a complete file: whatever
  ends the program, at most that much is lost. A write that fails (full disk) raises an ``InputError``
  that names the path, and the file keeps what it held.
* When the stream begins anew (``start`` again) or has lost something (``retime``), its times are shifted by the
  wall-clock time between the two origins, so that a file's times go on.
"""

from __future__ import annotations

import io
import json
import os
import stat
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.controls import Timed
from rt_melody.realtime.sinks.midi_voice import MidiSettings, make_voice
from rt_melody.realtime.sinks.mono import NoteSink
from rt_melody.realtime.timing.speaker import Speaker
from rt_melody.realtime.types import Brightness, InputError, Loudness, NoteEvent, NoteOff, NoteOn, PitchBend, PitchFrame

FLUSH_EVERY_S = 1.0
LINES_WAITING = 5000  # JSON lines; a minute or so of singing without frames
CSV_HEADER = "time_s,f0_hz,voiced,confidence,available_s\n"

TICKS_PER_BEAT = 960
DEFAULT_TEMPO_BPM = 120.0
END_OF_TRACK = b"\x00\xff\x2f\x00"
TRACK_LENGTH_AT = 18  # byte offset of MTrk's length: MThd is 14 bytes long, "MTrk" 4
REORDER_S = 1.0  # a note's time may lie this far before the newest event's; NoteTracker needs 0.2


class OutputFile:
    """A file that grows, and whose bytes can be replaced. Errors are ``InputError``.

    One that was made here and never written to is taken away again by ``close``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.size = 0
        self.failed = False
        self._begun = False
        self._is_new = not self.path.exists()
        try:
            self._raw = io.FileIO(self.path, "wb", opener=_open_kept)
        except OSError as error:
            raise InputError(self._why_not(error)) from error

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(os.fstat(self._raw.fileno()).st_mode)

    def write(self, data: bytes | bytearray) -> int:
        """Append; the number of bytes written, which may be fewer than were given."""
        if not self._begun:
            with suppress(OSError):  # a pipe or a device has nothing to truncate
                self._raw.truncate(0)
            self._begun = True
        with self._reporting():
            written = self._raw.write(data)
        self.size += written
        return written

    def write_at(self, offset: int, data: bytes) -> None:
        """Replace bytes that are there, and go back to the end."""
        with self._reporting():
            self._raw.seek(offset)
            self._raw.write(data)
            self._raw.seek(self.size)

    def cut(self, size: int) -> None:
        """Drop what lies after ``size`` bytes."""
        with self._reporting():
            self._raw.truncate(size)
            self._raw.seek(size)
        self.size = size

    @contextmanager
    def last_words(self) -> Iterator[None]:
        """Closed after what is written here, whatever happens; a failure that was told before is not told again."""
        told = self.failed
        try:
            yield
        except InputError:
            if not told:
                raise
        finally:
            self.close()

    def close(self) -> None:
        self._raw.close()
        if self._is_new and not self._begun:
            with suppress(OSError):
                self.path.unlink()

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failed = True
            raise InputError(
                f"{self.path} cannot be written further ({error.strerror}); what it held is kept: "
                "free some space or choose another place"
            ) from error

    def _why_not(self, error: OSError) -> str:
        if isinstance(error, FileNotFoundError):
            return f"{self.path} cannot be written: there is no folder {self.path.parent}; create it first"
        if self.path.is_dir():
            return f"{self.path} cannot be written: it is a folder; give the name of a file"
        return f"{self.path} cannot be written ({error.strerror}); choose another place"


def _open_kept(path: str, flags: int) -> int:
    """Open for writing without emptying what is there."""
    return os.open(path, flags & ~os.O_TRUNC, 0o666)


class _FileClock:
    """Times of a file: those of the stream, ``offset_s``, and how far a stream is behind the first, in seconds."""

    def __init__(self, offset_s: float = 0.0) -> None:
        self.started = False  # whether anything has come in
        self._offset_s = offset_s
        self._begun_s = 0.0
        self._first_unix_s: float | None = None
        self._flushed_s = 0.0

    def start(self, origin_unix_s: float) -> None:
        self.started = True
        if self._first_unix_s is None:
            self._first_unix_s = origin_unix_s
        self._begun_s = origin_unix_s - self._first_unix_s

    def sounded(self, time_s: float) -> float:
        """The moment of a sound, in the file."""
        return time_s + self._offset_s + self._begun_s

    def existed(self, available_s: float) -> float:
        """The moment at which something existed, in the file."""
        return available_s + self._begun_s

    def take_flush(self, available_s: float) -> bool:
        """Note that a frame came in; whether it is ``FLUSH_EVERY_S`` later than the last of which this was true, so
        that the caller has to flush now."""
        self.started = True
        now_s = self.existed(available_s)
        if now_s - self._flushed_s < FLUSH_EVERY_S:
            return False
        self._flushed_s = now_s
        return True


class CsvSink(EventSink):
    """One row a frame: ``time_s,f0_hz,voiced,confidence,available_s``. Note events are not written.

    ``offset_s`` is added to ``time_s``.
    """

    name = "CSV file"

    def __init__(self, path: str | Path, offset_s: float = 0.0) -> None:
        super().__init__()
        self._file = OutputFile(path)
        self._rows = bytearray(CSV_HEADER.encode())
        self._clock = _FileClock(offset_s)

    def _start(self, origin_unix_s: float) -> None:
        self._clock.start(origin_unix_s)

    _retime = _start

    def _frame(self, frame: PitchFrame) -> None:
        self._rows += (
            f"{self._clock.sounded(frame.time_s):.6f},{frame.f0_hz:.3f},{frame.voiced:d},"
            f"{frame.confidence:.4f},{self._clock.existed(frame.available_s):.6f}\n"
        ).encode()
        if self._clock.take_flush(frame.available_s):
            self._flush()

    def _flush(self) -> None:
        while self._rows:
            del self._rows[: self._file.write(self._rows)]

    def _close(self) -> None:
        with self._file.last_words():
            if self._clock.started:
                self._flush()


class JsonlSink(NoteSink):
    """One JSON object a line, flushed at once.

    ============  ==========================================================================
    type          further fields
    ============  ==========================================================================
    "note_on"     time_s, available_s, note, velocity, pitch (fractional MIDI)
    "note_off"    time_s, available_s, note
    "bend"        time_s, available_s, note, semitones
    "loudness"    time_s, available_s, note, level_db
    "brightness"  time_s, available_s, note, brightness_hz
    "frame"       time_s, available_s, f0_hz, voiced, confidence, voicing, level_db, brightness_hz
    ============  ==========================================================================

    A note_on that is slurred from the note before it says ``"legato": true`` besides, and comes before that
    one's note_off.

    ``offset_s`` is added to ``time_s``. Frames come only with ``frames=True``. With ``label`` each object begins with "input": the label, to
    tell several inputs apart. The stream is not closed. A reader that has gone is an ``InputError``.

    With ``live`` the lines are written by a thread of their own, so that a reader that does not read holds nobody up;
    those that find LINES_WAITING before them are dropped and counted in ``dropped``.
    """

    name = "JSON lines"

    def __init__(
        self, stream: TextIO, frames: bool = False, label: str | None = None, offset_s: float = 0.0, live: bool = False
    ) -> None:
        super().__init__()
        self._stream = stream
        self._speaker = Speaker(self._say, LINES_WAITING) if live else None
        self._failure: Exception | None = None  # of the thread that writes
        self.dropped = 0
        self._with_frames = frames
        self._label = {} if label is None else {"input": label}
        self._clock = _FileClock(offset_s)

    def _begin(self, origin_unix_s: float) -> None:
        self._clock.start(origin_unix_s)

    _retime = _begin

    def _frame(self, frame: PitchFrame) -> None:
        super()._frame(frame)
        if self._with_frames:
            self._write(
                "frame",
                frame,
                f0_hz=round(frame.f0_hz, 3),
                voiced=bool(frame.voiced),
                confidence=round(frame.confidence, 4),
                voicing=round(frame.voicing, 4),
                level_db=round(frame.level_db, 2),
                brightness_hz=round(frame.brightness_hz, 1),
            )

    def _note_on(self, event: NoteOn) -> None:
        slurred = {"legato": True} if event.legato else {}
        self._write(
            "note_on", event, note=event.note, velocity=event.velocity, pitch=round(event.pitch, 4), **slurred
        )

    def _note_off(self, event: NoteOff) -> None:
        self._write("note_off", event, note=event.note)

    def _bend(self, event: PitchBend) -> None:
        self._write("bend", event, note=event.note, semitones=round(event.semitones, 4))

    def _loudness(self, event: Loudness) -> None:
        self._write("loudness", event, note=event.note, level_db=round(event.level_db, 2))

    def _brightness(self, event: Brightness) -> None:
        self._write("brightness", event, note=event.note, brightness_hz=round(event.brightness_hz, 1))

    def _write(self, kind: str, about: NoteEvent | PitchFrame, **fields: object) -> None:
        times = {
            "time_s": round(self._clock.sounded(about.time_s), 6),
            "available_s": round(self._clock.existed(about.available_s), 6),
        }
        line = json.dumps({**self._label, "type": kind, **times, **fields}) + "\n"
        if self._speaker is None:
            self._say(line)
        elif self._failure is None:
            self.dropped += not self._speaker.take(line)
        if self._failure is not None:
            raise InputError(
                f"JSON lines cannot be written further ({self._failure}); keep their reader open"
            ) from self._failure

    def _say(self, line: str) -> None:
        """Past the stream's own buffer where it can be: who waits there holds a lock that the program's end needs."""
        try:
            try:
                number = self._stream.fileno()
            except (AttributeError, io.UnsupportedOperation):
                self._stream.write(line)
                self._stream.flush()
                return
            data = line.encode()
            while data:
                data = data[os.write(number, data) :]
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            self._failure = error

    def _close(self) -> None:
        with suppress(InputError):  # said when it happened, or nobody reads any more
            super()._close()
        if self._speaker is not None:
            self._speaker.close()


class MidiFileSink(NoteSink):
    """A standard MIDI file of type 0 in time with the sound: an event stands at its ``time_s``.

    The file is complete and can be played after every flush. What later events take back is left out: what was sent
    of a note after its end or after the beginning of the next one, and bends later than one that came after them.
    Source of the format: Standard MIDI Files 1.0.
    """

    name = "MIDI file"

    def __init__(
        self,
        path: str | Path,
        settings: MidiSettings | None = None,
        tempo_bpm: float = DEFAULT_TEMPO_BPM,
        offset_s: float = 0.0,
    ) -> None:
        """``offset_s`` is added to all times. Raises ``InputError`` for a tempo outside 4..999 beats a minute."""
        super().__init__()
        if not 4 <= tempo_bpm <= 999:
            raise InputError(f"tempo {tempo_bpm} is not usable; give 4 to 999 beats a minute")
        self._voice = make_voice(settings)
        self._encoders = {
            NoteOn: self._voice.note_on,
            NoteOff: self._voice.note_off,
            PitchBend: self._voice.bend,
            Loudness: self._voice.loudness,
            Brightness: self._voice.brightness,
        }
        self._ticks_per_s = tempo_bpm / 60 * TICKS_PER_BEAT
        self._file = OutputFile(path)
        if not self._file.is_regular:
            self._file.close()
            raise InputError(f"{path} is no regular file, which a MIDI file must be; choose another path")
        self._clock = _FileClock(offset_s)
        self._waiting: list[tuple[float, NoteEvent]] = []  # by time; not yet encoded
        self._newest_s = 0.0  # of the note-ons and note-offs
        self._tick = 0  # where the encoded part ends
        self._encoded = _opening(tempo_bpm)  # not yet written
        self._put(self._voice.announce(0.0))

    def _begin(self, origin_unix_s: float) -> None:
        self._clock.start(origin_unix_s)

    _retime = _begin

    def _frame(self, frame: PitchFrame) -> None:
        super()._frame(frame)
        if self._clock.take_flush(frame.available_s):
            self._encode_until(self._clock.sounded(frame.available_s) - REORDER_S)
            self._flush()

    def _wait(self, event: NoteEvent, at_s: float | None = None) -> None:
        """Keep an event in its place by time; of equal times the later comer stands later."""
        self._clock.started = True
        time_s = self._clock.sounded(event.time_s) if at_s is None else at_s
        place = bisect_right(self._waiting, time_s, key=lambda waiting: waiting[0])
        self._waiting.insert(place, (time_s, event))

    _loudness = _brightness = _wait

    def _bend(self, event: PitchBend) -> None:
        """A bend that is dated back, to where the held note was left for another, speaks of all that follows."""
        self._take_back(self._clock.sounded(event.time_s), lambda old: isinstance(old, PitchBend) and old.note == event.note)
        self._wait(event)

    def _note_on(self, event: NoteOn) -> None:
        """Notes stand in the order in which they came, whatever their times say. A note that is slurred into this one
        says nothing more: on one channel it would bend this one."""
        self._newest_s = max(self._newest_s, self._clock.sounded(event.time_s))
        self._take_back(self._newest_s, lambda old: not isinstance(old, (NoteOn, NoteOff)))
        self._wait(event, self._newest_s)

    def _note_off(self, event: NoteOff) -> None:
        """What was sent of the note after it had ended, before that was known, is taken back."""
        end_s = self._newest_s = max(self._newest_s, self._clock.sounded(event.time_s))
        self._take_back(end_s, lambda old: not isinstance(old, (NoteOn, NoteOff)) and old.note == event.note)
        self._wait(event, end_s)

    def _take_back(self, from_s: float, is_void: Callable[[NoteEvent], bool]) -> None:
        """Leave out what waits from ``from_s`` on and is void."""
        self._waiting = [(at_s, old) for at_s, old in self._waiting if at_s < from_s or not is_void(old)]

    def _encode_until(self, time_s: float) -> None:
        count = bisect_right(self._waiting, time_s, key=lambda waiting: waiting[0])
        for at_s, event in self._waiting[:count]:
            self._put(self._voice.due(at_s))
            self._put(self._encoders[type(event)](event, at_s))
        del self._waiting[:count]

    def _put(self, messages: list[Timed]) -> None:
        for time_s, message in messages:
            tick = max(self._tick, round(time_s * self._ticks_per_s))
            self._encoded += variable_length(tick - self._tick) + message
            self._tick = tick

    def _flush(self) -> None:
        """Write what is encoded over the end of the track, and a new end; or leave the file as it was."""
        if not self._encoded:
            return
        before = self._file.size
        data = self._encoded + END_OF_TRACK
        if before:
            self._file.cut(before - len(END_OF_TRACK))
        try:
            while data:
                del data[: self._file.write(data)]
        except InputError:
            with suppress(InputError):
                self._go_back(before)
            raise
        self._encoded = bytearray()
        length = self._file.size - TRACK_LENGTH_AT - 4
        self._file.write_at(TRACK_LENGTH_AT, length.to_bytes(4, "big"))

    def _go_back(self, size: int) -> None:
        self._file.cut(max(0, size - len(END_OF_TRACK)))
        if size:
            self._file.write(END_OF_TRACK)

    def _end(self) -> None:
        with self._file.last_words():
            if self._clock.started:
                self._encode_until(float("inf"))
                self._put(self._voice.rest())
                self._flush()


def _opening(tempo_bpm: float) -> bytearray:
    """Header, start of the one track (its length to be filled in) and tempo."""
    header = b"MThd" + (6).to_bytes(4, "big") + (0).to_bytes(2, "big") + (1).to_bytes(2, "big")
    beat_us = round(60e6 / tempo_bpm)
    return bytearray(
        header
        + TICKS_PER_BEAT.to_bytes(2, "big")
        + b"MTrk\x00\x00\x00\x00"
        + b"\x00\xff\x51\x03"
        + beat_us.to_bytes(3, "big")
    )


def variable_length(value: int) -> bytes:
    """A number as MIDI files write it: seven bits a byte, the most significant first."""
    low = value & 0x7F
    groups = [low]
    while value := value >> 7:
        groups.append(0x80 | (value & 0x7F))
    return bytes(reversed(groups))
