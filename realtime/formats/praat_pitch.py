"""A Praat Pitch object, in Praat's text format ("ooTextFile"); Praat itself reads it back in our tests.

No library writes one but Praat's own binding, which can make a Pitch only out of a sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rt_melody.realtime.formats.mir_eval_text import write_lines
from rt_melody.realtime.formats.table import Style
from rt_melody.realtime.formats.tracked import TrackedSound

CEILING_HZ = 2000.0


def write(sound: TrackedSound, paths: Sequence[Path], style: Style) -> None:
    """One candidate a frame: its frequency and the confidence as its strength; 0 Hz is unvoiced."""
    first_s = float(sound.time_s[0]) if len(sound.time_s) else 0.0
    end_s = max([sound.duration_s, *sound.time_s[-1:].tolist()])
    head = ['File type = "ooTextFile"', 'Object class = "Pitch 1"', "", "xmin = 0", f"xmax = {end_s:.9g}", f"nx = {len(sound.time_s)}"]
    head += [f"dx = {sound.hop_s:.9g}", f"x1 = {first_s:.9g}", f"ceiling = {CEILING_HZ:g}", "maxnCandidates = 1", "frame []:"]
    rows = zip(sound.voiced.tolist(), sound.f0_hz.tolist(), sound.confidence.tolist())
    frames = (line for number, row in enumerate(rows, 1) for line in _frame(number, *row))
    write_lines(paths[0], [*head, *frames])


def _frame(number: int, voiced: bool, f0_hz: float, confidence: float) -> list[str]:
    frequency = f"{f0_hz:.3f}" if voiced else "0"
    return [
        f"    frame [{number}]:", f"        intensity = {confidence:.4f}", "        nCandidates = 1", "        candidate []:",
        "            candidate [1]:", f"                frequency = {frequency}", f"                strength = {confidence:.4f}",
    ]  # fmt: skip
