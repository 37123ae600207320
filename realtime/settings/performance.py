"""How the notes are played: modes, tuning, scale, range, gate, velocity."""

from __future__ import annotations

from math import inf, log2
from typing import Literal, Optional, cast

from pydantic import field_validator, model_validator

from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.playing.expression import LOUDNESS_DB, VelocityCurve, velocity_curve
from rt_melody.realtime.playing.scale import CHROMATIC, Scale, parse_note, parse_scale
from rt_melody.realtime.settings.base import NEXT_NOTE, NOW, SettingsModel, option
from rt_melody.realtime.settings.kinds import AUTO, BendRange, RangeOrAuto, Words

OCTAVE_SEMITONES = 12
A4_HZ = 440.0
PLAIN_BEND_RANGE, MPE_BEND_RANGE = 2, 48  # what synthesisers expect that were told nothing, and by MPE's definition
GATE_LEAST_DB, GATE_MOST_DB = -120.0, 0.0

Mode = Literal["mono", "legato", "bend", "mpe"]


class PerformanceSettings(SettingsModel):
    """How the notes are played."""

    mode: Mode = option("mono", "strike each note; or slur those that follow on each other; or bend one note as far as the bend range goes; or strike each on a channel of its own, by MPE", live=NEXT_NOTE)
    bend_range: Optional[BendRange] = option(None, "pitch-bend range in semitones, announced by RPN 0, set the synth alike; default: 2, in MPE 48", metavar="SEMITONES", live=NOW)
    transpose: int = option(0, "semitones up or down", metavar="SEMITONES", ge=-60, le=60, live=NOW)
    octave: int = option(0, "octaves up or down", metavar="OCTAVES", ge=-5, le=5, live=NOW)
    a4_hz: float = option(A4_HZ, "tuning: the frequency of A4 that is meant, in Hz", ge=220, le=880, live=NOW)
    scale: Words = option("off", "draw notes to a scale such as 'D minor'; auto: to the key that is heard; off", metavar="off|auto|SCALE", live=NEXT_NOTE)
    snap: Words = option("hard", "how notes are drawn to the scale: hard, off, or at most by so many cents", metavar="hard|off|CENTS", live=NEXT_NOTE)
    note_range: list[str] = option(["C-1", "G9"], "lowest and highest note that is played, as names (C4 is 60) or MIDI numbers; others are left out", metavar=("LOW", "HIGH"), min_length=2, max_length=2, live=NEXT_NOTE)
    gate: Words = option("off", "hear nothing below a level in dBFS; auto: nothing that is not 12 dB above the noise of the room; off", metavar="off|auto|DBFS", live=NOW)
    velocity_curve: Words = option("linear", "velocity of the loudness of the onset: soft (a soft voice plays loud), linear, hard, or fixed N", metavar="CURVE", live=NEXT_NOTE)
    velocity_range: RangeOrAuto = option(list(LOUDNESS_DB), "levels in dBFS that give velocity 1 and 127; auto: those of the notes that were sung so far", metavar=("auto|DBFS", "DBFS"), live=NEXT_NOTE)

    @field_validator("note_range", mode="before")
    @classmethod
    def _notes_by_number(cls, value: object) -> object:
        return [str(part) if isinstance(part, int) else part for part in cast("list[object]", value)] if isinstance(value, list) else value

    @model_validator(mode="after")
    def _understood(self) -> PerformanceSettings:
        """What is said in words is read once, so that what cannot be read is told at once."""
        parse_gate(self.gate)
        pull_of(self.snap)
        if self.scale not in ("off", "auto"):
            parse_scale(self.scale)
        lowest, highest = self.lowest, self.highest
        if lowest > highest:
            raise SettingsError(f"note range {lowest} .. {highest} must ascend within 0 .. 127; for instance C3 C6")
        _ = self.velocity
        return self

    @property
    def mpe(self) -> bool:
        """Whether each note has a channel of its own."""
        return self.mode == "mpe"

    @property
    def bend_range_semitones(self) -> float:
        """As asked for, or what suits the mode."""
        return self.bend_range or (MPE_BEND_RANGE if self.mpe else PLAIN_BEND_RANGE)

    @property
    def transpose_semitones(self) -> int:
        """Transposition and octaves together."""
        return self.transpose + OCTAVE_SEMITONES * self.octave

    @property
    def shift_semitones(self) -> float:
        """From what is sung, at 440 Hz, to what is played, but for the scale."""
        return self.transpose_semitones + 12.0 * log2(A4_HZ / self.a4_hz)

    @property
    def pull_semitones(self) -> float:
        """How far pitches are drawn towards the scale; infinite puts them on it."""
        return pull_of(self.snap) or 0.0

    @property
    def finds_key(self) -> bool:
        """Whether the scale is that of the key that is heard."""
        return self.scale == "auto" and self.pull_semitones > 0

    @property
    def fixed_scale(self) -> Scale | None:
        """The scale that notes are drawn to; None leaves them alone, or waits for a key. A pull in cents that names no
        scale means every semitone."""
        if self.scale == "auto" or not self.pull_semitones:
            return None
        if self.scale == "off":
            return CHROMATIC if self.pull_semitones < inf else None
        return parse_scale(self.scale)

    @property
    def lowest(self) -> int:
        """MIDI number of the lowest note that is played."""
        return parse_note(self.note_range[0])

    @property
    def highest(self) -> int:
        """MIDI number of the highest note that is played."""
        return parse_note(self.note_range[1])

    @property
    def learns_velocity(self) -> bool:
        """Whether the range of the levels is that of the notes so far."""
        return cast(object, self.velocity_range) == AUTO

    @property
    def velocity(self) -> VelocityCurve:
        """Velocity of a level in dBFS; where the range is learned, before anything was heard."""
        low, high = LOUDNESS_DB if self.learns_velocity else self.velocity_range
        return velocity_curve(self.velocity_curve, (low, high))


def parse_gate(text: str) -> tuple[bool, float | None]:
    """(whether there is a gate, its fixed threshold in dBFS) of ``off``, ``auto`` or a number. Raises SettingsError."""
    if text in ("off", "auto"):
        return text == "auto", None
    try:
        threshold_db = float(text)
    except ValueError:
        threshold_db = float("nan")
    if not GATE_LEAST_DB <= threshold_db <= GATE_MOST_DB:
        raise SettingsError(f"gate {text!r} is not known; use off, auto, or a threshold from -120 to 0 dBFS such as -45")
    return True, threshold_db


def pull_of(text: str) -> float | None:
    """Semitones of ``hard`` (infinite) or a number of cents; None of ``off``. Raises SettingsError."""
    if text in ("off", "hard"):
        return None if text == "off" else inf
    try:
        cents = float(text)
    except ValueError:
        cents = -1.0
    if not 0 < cents <= 1200:
        raise SettingsError(f"snap {text!r} is not known; use off, hard, or cents of pull above 0 such as 30")
    return cents / 100
