"""Text that ``mir_eval.io`` loads: ``load_time_series`` for melodies, ``load_valued_intervals`` for notes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound


def write(sound: TrackedSound, paths: Sequence[Path], style: Style) -> None:
    """Time and f0 in Hz, negative where unvoiced; onset, offset and pitch in Hz."""
    rows = zip(sound.time_s.tolist(), sound.signed_f0_hz.tolist())
    write_lines(paths[0], (f"{time_s:.6f}\t{f0_hz:.3f}" for time_s, f0_hz in rows))
    notes = zip(sound.notes["onset_s"].tolist(), sound.notes["offset_s"].tolist(), sound.note_hz.tolist())
    write_lines(paths[1], (f"{on_s:.6f}\t{off_s:.6f}\t{hz:.3f}" for on_s, off_s, hz in notes))


def write_lines(path: Path, lines: object) -> None:
    """Text of these lines, in UTF-8 and with the same ends of lines everywhere."""
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())  # type: ignore[attr-defined]
