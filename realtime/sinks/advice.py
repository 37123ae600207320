"""What the player should know of the sound while it is heard: advice as a sink, which hears what all outputs hear."""

from __future__ import annotations

from collections.abc import Callable

from rt_melody.realtime.levels import velocity_advice
from rt_melody.realtime.settings import PerformanceSettings
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.table import SinkRequest
from rt_melody.realtime.sterile import SterileWatch
from rt_melody.realtime.types import NoteEvent, NoteOn, PitchFrame

MOST_LEVELS = 10_000  # of notes, of which the velocity range is judged


def from_settings(request: SinkRequest) -> list[EventSink]:
    """For every input, unless all is to be quiet."""
    return [] if request.settings.report.quiet else [AdviceSink(request.settings.performance, request.tell)]


class AdviceSink(EventSink):
    """Tells of a hum that is played as a note, and at the end of a velocity range that does not fit the voice.

    ``tell`` takes a sentence and must not wait.
    """

    name = "advice"
    is_output = False

    def __init__(self, performance: PerformanceSettings, tell: Callable[[str], object]) -> None:
        super().__init__()
        self._tell, self._range_db = tell, (performance.velocity_range[0], performance.velocity_range[1])
        self._watch = SterileWatch() if performance.gate == "off" else None
        self._follows_level = not performance.velocity_curve.startswith("fixed")
        self._levels: list[float | None] = []

    def _frame(self, frame: PitchFrame) -> None:
        if self._watch is not None and (sentence := self._watch.feed(frame)):
            self._tell(sentence)

    def _event(self, event: NoteEvent) -> None:
        if isinstance(event, NoteOn) and self._follows_level and len(self._levels) < MOST_LEVELS:
            self._levels.append(event.level_db)

    def _close(self) -> None:
        if sentence := velocity_advice(self._levels, self._range_db):
            self._tell(sentence)
