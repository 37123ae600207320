"""Notes, and frames where asked for, as JSON lines."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import suppress
from typing import TextIO

from rt_melody.realtime.errors import OutputError
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.note_sink import NoteSink
from rt_melody.realtime.sinks.output_file import FileClock
from rt_melody.realtime.sinks.table import SinkRequest
from rt_melody.realtime.timing.background import BackgroundWriter
from rt_melody.realtime.types import Brightness, KeyHeard, Loudness, NoteEvent, NoteOff, NoteOn, PitchBend, PitchFrame

LINES_WAITING = 5000  # a minute or so of singing without frames
BAND_EVERY_S = 1.0  # of stream time


def from_settings(request: SinkRequest) -> list[EventSink]:
    """Standard output, with ``--jsonl`` or ``--jsonl-frames``."""
    output = request.settings.output
    label = request.input_name if request.several else None
    return [JsonlSink(sys.stdout, output.jsonl_frames, label, output.offset_s, request.live)] if output.writes_lines else []


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
    "key"         time_s, available_s, tonic (0 is C), name; with --scale auto, when it changes
    "band"        time_s, available_s, over_voice_db, removed_db; once a second, where a known band is taken out
    "frame"       time_s, available_s, f0_hz, voiced, confidence, voicing, level_db, brightness_hz
    ============  ==========================================================================

    A note_on that is slurred from the note before it says ``"legato": true`` besides, and comes before that
    one's note_off. ``over_voice_db`` is how far the band is thought to stand above the voice in the microphone, ``removed_db`` above
    what is left of it, over the last second; ``removed_db`` under 1 means that nothing of the band was found, and nothing taken out.

    ``offset_s`` is added to ``time_s``. Frames come only with ``frames=True``. With ``label`` each object begins with "input": the label,
    to tell several inputs apart. The stream is not closed. A reader that has gone is an ``OutputError``.

    With ``live`` the lines are written by a thread of their own, so that a reader that does not read holds nobody up;
    those that find LINES_WAITING before them are dropped and counted in ``dropped``.
    """

    name = "JSON lines"

    def __init__(
        self, stream: TextIO, frames: bool = False, label: str | None = None, offset_s: float = 0.0, live: bool = False
    ) -> None:
        super().__init__()
        self._stream = stream
        self._background = BackgroundWriter(self._say, LINES_WAITING) if live else None
        self._failure: Exception | None = None  # of the thread that writes
        self.dropped = 0
        self._with_frames = frames
        self._label = {} if label is None else {"input": label}
        self._clock = FileClock(offset_s)
        self._band_due_s = BAND_EVERY_S

    def _begin(self, origin_s: float) -> None:
        self._clock.start(origin_s)
        self._band_due_s = BAND_EVERY_S

    def _retime(self, origin_s: float) -> None:
        self._clock.start(origin_s)

    def _frame(self, frame: PitchFrame) -> None:
        super()._frame(frame)
        if self.band is not None and frame.time_s >= self._band_due_s:
            self._band_due_s = BAND_EVERY_S * (frame.time_s // BAND_EVERY_S + 1.0)
            self._write("band", frame, over_voice_db=round(self.band.over_voice_db, 1), removed_db=round(self.band.removed_db, 1))
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

    def _key(self, event: KeyHeard) -> None:
        self._write("key", event, tonic=event.tonic, name=event.name)

    def _write(self, kind: str, about: NoteEvent | PitchFrame, **fields: object) -> None:
        times = {
            "time_s": round(self._clock.sounded(about.time_s), 6),
            "available_s": round(self._clock.existed(about.available_s), 6),
        }
        line = json.dumps({**self._label, "type": kind, **times, **fields}) + "\n"
        if self._background is None:
            self._say(line)
        elif self._failure is None:
            self.dropped += not self._background.take(line)
        if self._failure is not None:
            raise OutputError(
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
        with suppress(OutputError):  # said when it happened, or nobody reads any more
            super()._close()
        if self._background is not None:
            self._background.close()
