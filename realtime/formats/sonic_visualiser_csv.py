"""CSV for Sonic Visualiser's File > Import Annotation Layer: time in seconds, value in Hz; voiced frames alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rt_melody.realtime.formats.mir_eval_text import write_lines
from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound


def write(sound: TrackedSound, paths: Sequence[Path], style: Style) -> None:
    """With the header that the program itself exports."""
    rows = zip(sound.time_s[sound.voiced].tolist(), sound.f0_hz[sound.voiced].tolist())
    write_lines(paths[0], ["TIME,VALUE,LABEL", *(f"{time_s:.6f},{f0_hz:.3f}," for time_s, f0_hz in rows)])
