"""A Praat PitchTier, in Praat's text format: the points of what is voiced, between which Praat draws straight lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rt_melody.realtime.formats.mir_eval_text import write_lines
from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound


def write(sound: TrackedSound, paths: Sequence[Path], style: Style) -> None:
    """A point for each voiced frame."""
    times_s, f0_hz = sound.time_s[sound.voiced].tolist(), sound.f0_hz[sound.voiced].tolist()
    end_s = max([sound.duration_s, *times_s[-1:]])
    head = ['File type = "ooTextFile"', 'Object class = "PitchTier"', "", "xmin = 0", f"xmax = {end_s:.9g}"]
    head.append(f"points: size = {len(times_s)}")
    points = (
        line
        for number, (time_s, hz) in enumerate(zip(times_s, f0_hz), 1)
        for line in (f"points [{number}]:", f"    number = {time_s:.6f}", f"    value = {hz:.3f}")
    )
    write_lines(paths[0], [*head, *points])
