"""Notes as a standard MIDI file that grows while the music plays."""

from __future__ import annotations

import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rt_melody.realtime.errors import OutputError
from rt_melody.realtime.settings import MidiSettings, OutputSettings, Settings
from rt_melody.realtime.sinks import output_file
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.controls import Timed
from rt_melody.realtime.sinks.midi_voice import FILE_STEP_S, ChangingVoice
from rt_melody.realtime.sinks.note_sink import NoteSink
from rt_melody.realtime.sinks.output_file import FileClock, OutputFile, Writer
from rt_melody.realtime.sinks.table import REACH_BACK_S, SinkRequest
from rt_melody.realtime.types import Brightness, KeyHeard, Loudness, NoteEvent, NoteOff, NoteOn, PitchBend, PitchFrame
from rt_melody.realtime.version import version

TICKS_PER_BEAT = 960
DEFAULT_TEMPO_BPM = 120.0
END_OF_TRACK = b"\x00\xff\x2f\x00"
TRACK_LENGTH_AT = 18  # byte offset of MTrk's length: MThd is 14 bytes long, "MTrk" 4
LONGEST_DELTA = 0x0FFFFFFF  # ticks: four bytes of seven bits, the format's most


def from_settings(request: SinkRequest) -> list[EventSink]:
    """The file of ``--midi-file``."""
    s, output = request.settings, request.settings.output
    if not output.midi_file:
        return []
    path = request.path(output.midi_file, ".mid")
    recorded = not request.live and os.path.isfile(request.input_name)  # a pipe may stand still with much that was heard unwritten
    return [MidiFileSink(path, s.midi, output.tempo_bpm, output.offset_s, request.live, request.reach_back_s, recorded)]


@dataclass(frozen=True)
class _Change:
    """Other settings, from their place among the events on."""

    settings: MidiSettings


class MidiFileSink(NoteSink):
    """A standard MIDI file of type 0 in time with the sound: an event stands at its ``time_s``.

    The file is complete and can be played after every flush: what may be taken back stands there as it is known so far, a note
    that sounds is ended, and the next flush writes over both. What later events take back is left out: what was sent
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
        live: bool = False,
        reach_back_s: float = REACH_BACK_S,
        recorded: bool = False,
    ) -> None:
        """``offset_s`` is added to all times. With ``live`` a thread of its own writes (see output_file). ``reach_back_s``
        is how far a note may be dated back: so long an event waits for its place; one from before that stands where the
        file has got to. ``recorded``: what is heard comes faster than it sounded, and of that the file lacks what came in the
        last ``FLUSH_EVERY_S`` by the computer's clock: to write what is not settled yet is most of what it costs. Raises
        ``SettingsError`` for a tempo outside of what ``OutputSettings`` allows."""
        super().__init__()
        OutputSettings(tempo_bpm=tempo_bpm)
        ticks_per_s = tempo_bpm / 60 * TICKS_PER_BEAT
        self._track = _Track(ChangingVoice(settings), ticks_per_s)
        self._reach_back_s = reach_back_s
        self._file = OutputFile(path)
        if not self._file.is_regular:
            self._file.close()
            raise OutputError(f"{path} is no regular file, which a MIDI file must be; choose another path")
        self._writer = Writer(self._file, live)
        self._unwritten = bytearray()  # the writer's own, as is
        self._tail = 0  # the number of bytes at the file's end that the next write replaces
        self._clock = FileClock(offset_s)
        self._recorded, self._next_write_s = recorded, 0.0
        voice = self._track.voice.now
        self._settings = voice.settings
        self._waiting: list[tuple[float, NoteEvent | _Change]] = []  # by time; not yet encoded
        self._newest_s = 0.0  # of the note-ons and note-offs
        self._track.encoded += _opening(tempo_bpm, voice.settings)
        self._track.put(voice.opening(max(FILE_STEP_S, 1 / ticks_per_s)))

    def _begin(self, origin_s: float) -> None:
        self._clock.start(origin_s)

    _retime = _begin

    def _frame(self, frame: PitchFrame) -> None:
        super()._frame(frame)
        if self._clock.take_flush(frame.available_s):
            now_s = self._clock.sounded(frame.available_s)
            self._encode_until(now_s - self._reach_back_s)
            if self._is_due():
                self._writer.do(partial(self._append, self._track.taken(), self._ahead(now_s)))

    def _is_due(self) -> bool:
        """Whether the file must have what came in by now."""
        if not self._recorded:
            return True
        now_s = time.monotonic()
        if now_s < self._next_write_s:
            return False
        self._next_write_s = now_s + output_file.FLUSH_EVERY_S
        return True

    def _change(self, settings: Settings) -> None:
        """No note stands before the newest one: behind it, though it may be dated back."""
        if settings.midi != self._settings:
            self._settings = settings.midi
            self._wait(_Change(settings.midi), max(self._newest_s, self._clock.sounded(self._now_s)))

    def _wait(self, event: NoteEvent | _Change, at_s: float | None = None) -> None:
        """Keep an event in its place by time; of equal times the later comer stands later."""
        self._clock.started = True
        if at_s is None:
            assert not isinstance(event, _Change)  # which says where it stands
            at_s = self._clock.sounded(event.time_s)
        time_s = max(0.0, at_s)
        if self._waiting and time_s < self._waiting[-1][0]:
            self._waiting.insert(bisect_right(self._waiting, time_s, key=_time_of), (time_s, event))
        else:
            self._waiting.append((time_s, event))

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
        """What was sent of the note after it had ended, before that was known, is taken back; all of it, where an offset
        puts its end before the file's beginning."""
        off_s = self._clock.sounded(event.time_s)
        if off_s <= 0.0:
            self._take_back(0.0, lambda old: _is_of(old, event.note))  # all that waits has been put to 0 or later
            return
        end_s = self._newest_s = max(self._newest_s, off_s)
        self._take_back(end_s, lambda old: not isinstance(old, (NoteOn, NoteOff)) and _is_of(old, event.note))
        self._wait(event, end_s)

    def _take_back(self, from_s: float, is_void: Callable[[NoteEvent], bool]) -> None:
        """Leave out what waits from ``from_s`` on and is void."""
        first = bisect_left(self._waiting, from_s, key=_time_of)
        self._waiting[first:] = [(at_s, old) for at_s, old in self._waiting[first:] if isinstance(old, _Change) or not is_void(old)]

    def _encode_until(self, time_s: float) -> None:
        count = bisect_right(self._waiting, time_s, key=_time_of)
        self._track.encode(self._waiting[:count])
        del self._waiting[:count]

    def _ahead(self, now_s: float) -> bytearray:
        """What waits, encoded as if nothing of it were taken back and all ended now."""
        if not self._waiting and not self._track.voice.now.sounding:
            return bytearray()
        track = deepcopy(self._track)
        track.encode(self._waiting)
        track.put(track.voice.now.rest())
        track.put(track.voice.now.end(now_s))
        return track.taken()

    def _append(self, encoded: bytearray, ahead: bytearray) -> None:
        """Write over the tail of the track, and a new one; or leave what is settled as it was, and try again the next time."""
        self._unwritten += encoded
        if not self._unwritten and not ahead and self._tail <= len(END_OF_TRACK):
            return
        settled = self._file.size - self._tail
        if self._tail:
            self._file.cut(settled)
        try:
            self._file.write_all(self._unwritten + ahead + END_OF_TRACK)
        except OutputError:
            with suppress(OutputError):
                self._go_back(settled)
            raise
        self._unwritten.clear()
        self._tail = len(ahead) + len(END_OF_TRACK)
        self._write_length()

    def _go_back(self, settled: int) -> None:
        self._file.cut(settled)
        if settled:
            self._file.write(END_OF_TRACK)
            self._tail = len(END_OF_TRACK)
            self._write_length()

    def _write_length(self) -> None:
        length = self._file.size - TRACK_LENGTH_AT - 4
        self._file.write_at(TRACK_LENGTH_AT, length.to_bytes(4, "big"))

    def _end(self) -> None:
        if not self._clock.started:
            self._writer.finish(None)
            return
        self._encode_until(float("inf"))
        self._track.put(self._track.voice.now.rest())
        self._writer.finish(partial(self._append, self._track.taken(), bytearray()))


def _time_of(waiting: tuple[float, NoteEvent | _Change]) -> float:
    return waiting[0]


class _Track:
    """Messages as bytes of a track; ``encoded`` is what was not yet taken."""

    def __init__(self, voice: ChangingVoice, ticks_per_s: float) -> None:
        self.voice, self._ticks_per_s = voice, ticks_per_s
        self._tick = 0  # where the encoded part ends
        self.encoded = bytearray()

    def taken(self) -> bytearray:
        encoded, self.encoded = self.encoded, bytearray()
        return encoded

    def encode(self, events: list[tuple[float, NoteEvent | _Change]]) -> None:
        for at_s, event in events:
            self.put(self.voice.now.due(at_s))
            self.put(_said(self.voice, event, at_s))

    def put(self, messages: list[Timed]) -> None:
        for time_s, message in messages:
            tick = max(self._tick, round(time_s * self._ticks_per_s))
            while tick - self._tick > LONGEST_DELTA:
                self.encoded += variable_length(LONGEST_DELTA) + text_event("silence")
                self._tick += LONGEST_DELTA
            self.encoded += variable_length(tick - self._tick) + message
            self._tick = tick


def _said(voice: ChangingVoice, event: NoteEvent | _Change, at_s: float) -> list[Timed]:
    match event:
        case NoteOn():
            return voice.note_on(event, at_s)
        case NoteOff():
            return voice.note_off(event, at_s)
        case PitchBend():
            return voice.bend(event, at_s)
        case Loudness():
            return voice.loudness(event, at_s)
        case Brightness():
            return voice.brightness(event, at_s)
        case _Change():
            return voice.change(event.settings, at_s)
        case _:
            return []


def _is_of(event: NoteEvent, note: int) -> bool:
    return not isinstance(event, KeyHeard) and event.note == note


def _opening(tempo_bpm: float, said: MidiSettings) -> bytearray:
    """Header, start of the one track (its length to be filled in), tempo, and what a reader must know as text."""
    header = b"MThd" + (6).to_bytes(4, "big") + (0).to_bytes(2, "big") + (1).to_bytes(2, "big")
    beat_us = round(60e6 / tempo_bpm)
    return bytearray(
        header
        + TICKS_PER_BEAT.to_bytes(2, "big")
        + b"MTrk\x00\x00\x00\x00"
        + b"\x00\xff\x51\x03"
        + beat_us.to_bytes(3, "big")
        + b"\x00"
        + text_event(f"rt-melody {version() or ''}, bend range {said.bend_range:g} semitones{', MPE' if said.mpe else ''}")
    )


def text_event(text: str) -> bytes:
    """A meta event that every reader passes over; ASCII."""
    return b"\xff\x01" + variable_length(len(text)) + text.encode("ascii")


def variable_length(value: int) -> bytes:
    """A number as MIDI files write it: seven bits a byte, the most significant first."""
    low = value & 0x7F
    groups = [low]
    while value := value >> 7:
        groups.append(0x80 | (value & 0x7F))
    return bytes(reversed(groups))
