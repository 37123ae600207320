"""A project of OpenUtau (USTX 0.6, YAML): the notes, to be given words, and the voice's own pitch as their ``pitd`` curve.

Ticks are 480 to a quarter note. ``pitd`` is in cents from the note's own pitch, at every PITCH_TICKS; the notes' portamento
is set to none, so that note and curve together are what was sung. Source: OpenUtau's USTX documentation and source
(``OpenUtau.Core/Ustx``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound

TICKS_A_BEAT = 480
PITCH_TICKS = 5
MOST_CENTS = 1200  # of OpenUtau's curve
LYRIC = "a"


def write(sound: TrackedSound, paths: Sequence[Path], style: Style) -> None:
    """One track, one part."""
    notes = _notes(sound, style.tempo_bpm)
    length = max([TICKS_A_BEAT * 4, *(note["position"] + note["duration"] for note in notes)])
    curve = _curve(sound, notes, style.tempo_bpm)
    place = {"name": sound.name or "melody", "comment": "", "track_no": 0, "position": 0}
    part = {"duration": length, **place, "notes": notes, "curves": [curve]}
    project: dict[str, Any] = {
        "name": sound.name or "melody", "comment": "", "output_dir": "Vocal", "cache_dir": "UCache", "ustx_version": "0.6",
        "resolution": TICKS_A_BEAT, "bpm": style.tempo_bpm, "beat_per_bar": 4, "beat_unit": 4, "expressions": {},
        "time_signatures": [{"bar_position": 0, "beat_per_bar": 4, "beat_unit": 4}],
        "tempos": [{"position": 0, "bpm": style.tempo_bpm}],
        "tracks": [{"phonemizer": "OpenUtau.Core.DefaultPhonemizer", "track_name": "voice", "mute": False, "solo": False, "volume": 0}],
        "voice_parts": [part], "wave_parts": [],
    }  # fmt: skip
    paths[0].write_text(yaml.safe_dump(project, sort_keys=False, allow_unicode=True), encoding="utf-8", newline="\n")


def _notes(sound: TrackedSound, tempo_bpm: float) -> list[dict[str, Any]]:
    """None overlaps the next."""
    starts = [_ticks(onset_s, tempo_bpm) for onset_s in sound.notes["onset_s"].tolist()]
    ends = [_ticks(offset_s, tempo_bpm) for offset_s in sound.notes["offset_s"].tolist()]
    last = [*starts[1:], 1 << 40]
    rows = zip(starts, ends, last, sound.notes["note"].tolist())
    return [_note(start, min(end, after) - start, number) for start, end, after, number in rows if min(end, after) > start]


def _note(position: int, duration: int, number: int) -> dict[str, Any]:
    points = [{"x": 0.0, "y": 0.0, "shape": "l"}, {"x": 1.0, "y": 0.0, "shape": "l"}]
    vibrato = {"length": 0, "period": 175, "depth": 25, "in": 10, "out": 10, "shift": 0, "drift": 0}
    return {
        "position": position, "duration": duration, "tone": number, "lyric": LYRIC,
        "pitch": {"data": points, "snap_first": False}, "vibrato": vibrato, "phoneme_expressions": [], "phoneme_overrides": [],
    }  # fmt: skip


def _curve(sound: TrackedSound, notes: list[dict[str, Any]], tempo_bpm: float) -> dict[str, Any]:
    """Cents from the note's pitch, where there is a note and the voice is heard."""
    xs, ys = list[int](), list[int]()
    times_s, f0_hz = sound.time_s[sound.voiced], sound.f0_hz[sound.voiced]
    if len(times_s):
        for note in notes:
            ticks = list(range(note["position"], note["position"] + note["duration"], PITCH_TICKS))
            heard_hz = np.interp(np.array(ticks) * 60.0 / tempo_bpm / TICKS_A_BEAT, times_s, f0_hz)
            cents: np.ndarray = 100.0 * (69.0 + 12.0 * np.log2(heard_hz / 440.0) - note["tone"])
            xs += ticks
            ys += [max(-MOST_CENTS, min(MOST_CENTS, round(cent))) for cent in cents.tolist()]
    return {"xs": xs, "ys": ys, "abbr": "pitd"}


def _ticks(time_s: float, tempo_bpm: float) -> int:
    return round(time_s * tempo_bpm / 60 * TICKS_A_BEAT)
