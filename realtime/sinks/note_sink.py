"""What the outputs that carry notes have in common: one note at a time, and none left on.

Conventions
-----------
* Whatever comes in, a subclass sees notes that alternate: on, off, on, off. A note-on while another
  note sounds ends that one first; a note-off, bend or the like of a note that does not sound is dropped.
* The one exception is a note-on that says ``legato``: the note that sounds ends after it, at its note-off
  or with the next note-on. Never do two notes of one number sound.
* ``start`` and ``close`` end what sounds at the newest stream time that was seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.types import Brightness, KeyHeard, Loudness, NoteEvent, NoteOff, NoteOn, PitchBend, PitchFrame


class NoteSink(EventSink):
    """An ``EventSink`` that ends what it began. Subclasses override the handlers, each given an event."""

    def __init__(self) -> None:
        super().__init__()
        self._sounding: NoteOn | None = None
        self._leaving: NoteOn | None = None  # slurred into the sounding one, its note-off to come
        self._now_s = 0.0  # newest available_s seen; a new start may set it back with the next frame
        self._handlers: dict[type, Callable[[Any], None]] = {PitchBend: self._bend, Loudness: self._loudness, Brightness: self._brightness}

    def _begin(self, origin_s: float) -> None:
        """The stream begins or begins anew; no note sounds."""

    def _note_on(self, event: NoteOn) -> None: ...

    def _note_off(self, event: NoteOff) -> None: ...

    def _bend(self, event: PitchBend) -> None: ...

    def _loudness(self, event: Loudness) -> None: ...

    def _brightness(self, event: Brightness) -> None: ...

    def _key(self, event: KeyHeard) -> None: ...

    def _end(self) -> None:
        """The output ends; no note sounds."""

    def _start(self, origin_s: float) -> None:
        self._silence()
        self._begin(origin_s)

    def _frame(self, frame: PitchFrame) -> None:
        self._now_s = frame.available_s

    def _event(self, event: NoteEvent) -> None:
        self._now_s = event.available_s
        if isinstance(event, NoteOn):
            self._take_on(event)
        elif isinstance(event, NoteOff):
            self._take_off(event)
        elif isinstance(event, KeyHeard):
            self._key(event)
        elif self._sounding is not None and self._sounding.note == event.note:
            self._handlers[type(event)](event)

    def _take_on(self, event: NoteOn) -> None:
        held = self._sounding
        if event.legato and held is not None and held.note != event.note:
            self._leave()
            self._leaving = held
        else:
            self._silence()
        self._sounding = event
        self._note_on(event)

    def _take_off(self, event: NoteOff) -> None:
        if self._leaving is not None and self._leaving.note == event.note:
            self._leaving = None
            self._note_off(event)
        elif self._sounding is not None and self._sounding.note == event.note:
            self._leave()
            self._sounding = None
            self._note_off(event)

    def _leave(self) -> None:
        """End the note that was slurred from, if any, now."""
        if (left := self._leaving) is not None:
            self._leaving = None
            self._note_off(NoteOff(self._now_s, self._now_s, left.note))

    def _silence(self) -> None:
        """End what sounds, if anything, now."""
        self._leave()
        if (held := self._sounding) is not None:
            self._sounding = None
            self._note_off(NoteOff(self._now_s, self._now_s, held.note))

    def _panic(self) -> None:
        self._silence()

    def _close(self) -> None:
        try:
            self._silence()
        finally:
            self._end()
