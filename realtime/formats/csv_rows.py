"""Our own CSV, by the sink that ``--csv`` uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.csv_file import CsvSink
from rt_melody.realtime.types import PitchFrame


def write(sound: TrackedSound, paths: Sequence[Path], style: Style) -> None:
    """One row a hop."""
    feed(CsvSink(paths[0], style.offset_s), sound)


def feed(sink: EventSink, sound: TrackedSound) -> None:
    """All of a sound into a sink, which is closed then."""
    with sink:
        sink.start(0.0)
        for item in sound.heard():
            if isinstance(item, PitchFrame):
                sink.frame(item)
            else:
                sink.event(item)
