"""What would make the music better, found out while it plays: a hum that is taken for a voice, a velocity range that does not fit."""

from __future__ import annotations

from collections.abc import Callable

from rt_melody.realtime.levels import velocity_advice
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.table import SinkRequest
from rt_melody.realtime.sterile import SterileWatch
from rt_melody.realtime.types import NoteEvent, NoteOn, PitchFrame


def from_settings(request: SinkRequest) -> list[EventSink]:
    """For every input."""
    return [AdviceSink(request.tell, request.say, _velocity_range(request.settings))]


def _velocity_range(settings: Settings) -> tuple[float, float] | None:
    performance, output = settings.performance, settings.output
    follows_level = bool(output.midi_out or output.midi_file) and not performance.velocity_curve.startswith("fixed")
    if performance.learns_velocity or not follows_level:
        return None
    low_db, high_db = performance.velocity_range
    return low_db, high_db


class AdviceSink(EventSink):
    """``tell`` takes a sentence while the music plays and never waits, ``say`` one at the end. ``velocity_range``: in dBFS;
    None where velocities follow no level."""

    name = "advice"
    is_output = False

    def __init__(
        self, tell: Callable[[str], object], say: Callable[[str], object], velocity_range: tuple[float, float] | None = None
    ) -> None:
        super().__init__()
        self._tell, self._say, self._range = tell, say, velocity_range
        self._sterile = SterileWatch()
        self._levels_db: list[float | None] = []

    def _frame(self, frame: PitchFrame) -> None:
        if said := self._sterile.feed(frame):
            self._tell(said)

    def _event(self, event: NoteEvent) -> None:
        if isinstance(event, NoteOn):
            self._levels_db.append(event.level_db)

    def _change(self, settings: Settings) -> None:
        if self._range != (changed := _velocity_range(settings)):
            self._range, self._levels_db = changed, []

    def _close(self) -> None:
        if self._range is not None and (said := velocity_advice(self._levels_db, self._range)):
            self._say(said)
