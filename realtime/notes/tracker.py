"""The note tracker: pitch frames in, events of notes out."""

from __future__ import annotations

from dataclasses import replace

from rt_melody.realtime.notes.context import Context
from rt_melody.realtime.notes.history import pitch_of
from rt_melody.realtime.notes.states import Silent, State
from rt_melody.realtime.settings.notes import NoteSettings
from rt_melody.realtime.types import NoteEvent, PitchFrame

LEVEL_LIMIT_DB = 200.0  # levels beyond it either way are taken for it
LOOK_AHEAD_MS = 100.0  # where none is given


class NoteTracker:
    """Makes notes of pitch frames that come every ``hop_s`` seconds.

    ``look_ahead_ms``: the most by which ``available_s`` of a frame may exceed its ``time_s``, apart from the hop itself.
    Notes do not depend on it as long as it is large enough; memory does. Raises ValueError where a frame exceeds it.
    """

    def __init__(self, settings: NoteSettings | None = None, hop_s: float = 0.01, look_ahead_ms: float = LOOK_AHEAD_MS) -> None:
        self.settings = settings or NoteSettings()
        self.hop_s = hop_s
        self.look_ahead_ms = look_ahead_ms
        self._context = Context(self.settings, hop_s, look_ahead_ms)
        self._state: State = Silent(self._context)

    @property
    def lag_ms(self) -> float:
        """What the tracker adds to the latency of a note-on after silence: the frames waited for."""
        return (self._context.hops.on - 1) * self.hop_s * 1000

    @property
    def reach_back_s(self) -> float:
        """The farthest that an event's ``time_s`` lies before its ``available_s``, whatever is sung.

        Whoever puts events in the order of their ``time_s`` has to wait for so long.
        """
        return (self._context.hops.reach + 1) * self.hop_s + self.look_ahead_ms / 1000

    def change(self, settings: NoteSettings) -> None:
        """Another ``drift_semitones`` from the next frame on, which follows the bend range; the other thresholds stay."""
        self.settings = self._context.settings = self.settings.changed(drift_semitones=settings.drift_semitones)

    def reset(self) -> None:
        """Forget everything, as at the beginning of a stream. A note that sounds is not ended: call ``finish`` first."""
        self._context.reset()
        self._state = Silent(self._context)

    def feed(self, frame: PitchFrame) -> list[NoteEvent]:
        """Take the next frame; returns the events that it caused, in the order to be sent.

        Each note-on is followed by exactly one note-off before the next note-on.
        """
        if not self._context.history.frames and frame.time_s < self._context.previous.end_s:  # of another stream
            self.reset()
        if frame.available_s - frame.time_s > self.look_ahead_ms / 1000 + self.hop_s + 1e-6:
            late_ms = (frame.available_s - frame.time_s - self.hop_s) * 1000
            raise ValueError(f"a frame's pitch is {late_ms:.1f} ms behind its level; give NoteTracker a look_ahead_ms of that or more")
        if not -LEVEL_LIMIT_DB <= frame.level_db <= LEVEL_LIMIT_DB:  # NaN among them
            frame = replace(frame, level_db=LEVEL_LIMIT_DB if frame.level_db > 0 else -LEVEL_LIMIT_DB)
        events, self._state = self._state.feed(frame, pitch_of(frame))
        return events

    def finish(self, available_s: float) -> list[NoteEvent]:
        """End the note that sounds, where the stream ends or breaks off at stream time ``available_s``.

        If the stream goes on, the noise floor and the note before are those that they were.
        """
        events = self._state.finish(available_s)
        self._context.forget_frames()
        self._state = Silent(self._context)
        return events
