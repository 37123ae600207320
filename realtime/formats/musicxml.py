"""A score in MusicXML, by music21: the notes on a grid of sixteenths at a tempo that is given, in 4/4; rests between.

A voice that sings freely does not keep to a grid: for exact times take the MIDI file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound

STEPS_A_BEAT = 4


def write(sound: TrackedSound, paths: Sequence[Path], style: Style) -> None:
    """One part of single notes; of two that fall on one step the longer one stays."""
    from music21 import metadata, meter, note, stream, tempo  # pyright: ignore[reportMissingTypeStubs]
    from music21.musicxml.m21ToXml import GeneralObjectExporter  # pyright: ignore[reportMissingTypeStubs]

    part: Any = stream.Part(id="voice")
    part.append([tempo.MetronomeMark(number=style.tempo_bpm), meter.TimeSignature("4/4")])
    at = 0
    for first, last, number in on_grid(sound, style.tempo_bpm):
        if first > at:
            part.append(note.Rest(quarterLength=(first - at) / STEPS_A_BEAT))
        part.append(note.Note(number, quarterLength=(last - first) / STEPS_A_BEAT))
        at = last
    score: Any = stream.Score(id="melody")
    score.insert(0, metadata.Metadata(title=sound.name or "melody"))
    score.insert(0, part)
    exporter: Any = GeneralObjectExporter(score)
    paths[0].write_bytes(_undated(exporter.parse()))


def on_grid(sound: TrackedSound, tempo_bpm: float) -> list[tuple[int, int, int]]:
    """Notes as first step, step after the last, and number; none overlaps the next, each lasts a step at least."""
    steps_a_s = tempo_bpm / 60 * STEPS_A_BEAT
    placed: list[tuple[int, int, int]] = []
    for onset_s, offset_s, number, _, _ in sound.notes.tolist():
        first = round(onset_s * steps_a_s)
        new = (first, max(first + 1, round(offset_s * steps_a_s)), number)
        if placed and placed[-1][0] == first:
            placed[-1] = max(placed[-1], new, key=lambda note: note[1])
            continue
        if placed and placed[-1][1] > first:
            placed[-1] = (placed[-1][0], first, placed[-1][2])
        placed.append(new)
    return placed


def _undated(xml: bytes) -> bytes:
    """Without the day on which it was written, and without names that music21 draws by chance."""
    import re

    xml = re.sub(rb"\s*<encoding-date>.*?</encoding-date>", b"", xml)
    return re.sub(rb"\b([PI])[0-9a-f]{32}\b", rb"\g<1>1", xml)
