"""CSV as Tony exports and imports it: a pitch track, 0 where unvoiced, and notes as onset, Hz and duration; no headers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rt_melody.realtime.formats.mir_eval_text import write_lines
from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound


def write(sound: TrackedSound, paths: Sequence[Path], style: Style) -> None:
    """Every frame's pitch, and notes."""
    rows = zip(sound.time_s.tolist(), np.where(sound.voiced, sound.f0_hz, 0.0).tolist())
    write_lines(paths[0], (f"{time_s:.6f},{f0_hz:.3f}" for time_s, f0_hz in rows))
    notes = sound.notes
    lengths_s = (notes["offset_s"] - notes["onset_s"]).tolist()
    rows = zip(notes["onset_s"].tolist(), sound.note_hz.tolist(), lengths_s)
    write_lines(paths[1], (f"{on_s:.6f},{hz:.3f},{length_s:.6f}" for on_s, hz, length_s in rows))
