"""An Audacity label track: each note from its onset to its offset, labelled with its name and how far it lies from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rt_melody.realtime.formats.mir_eval_text import write_lines
from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound
from rt_melody.realtime.types import note_name


def write(sound: TrackedSound, paths: Sequence[Path], style: Style) -> None:
    """Start, end and label, separated by tabs."""
    write_lines(paths[0], (f"{on_s:.6f}\t{off_s:.6f}\t{_label(pitch)}" for on_s, off_s, _, pitch, _ in sound.notes.tolist()))


def _label(pitch: float) -> str:
    nearest = round(pitch)
    return f"{note_name(nearest)} {100 * (pitch - nearest):+.0f}"
