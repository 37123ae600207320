"""A standard MIDI file, by the sink that ``--midi-file`` uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rt_melody.realtime.formats.csv_rows import feed
from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound
from rt_melody.realtime.sinks.midi_file import MidiFileSink


def write(sound: TrackedSound, paths: Sequence[Path], style: Style) -> None:
    """Notes, bends and loudness, at the tempo of the style."""
    feed(MidiFileSink(paths[0], style.midi, style.tempo_bpm, style.offset_s), sound)
