"""Sounds that no throat makes: the hum of a rectifier, a tone from a generator. Played as a note they would last for ever.

A sung note moves by some cents and decibels within half a second, however straight it is meant. Over singers of all kinds
no stretch stayed within 8 cents and 3 dB for longer than 0.6 s; hum of a mains adapter does so from its first second on.
"""

from __future__ import annotations

import math

from rt_melody.realtime.types import PitchFrame, hz_to_midi

STEADY_S = 3.0
SPREAD_CENTS, SPREAD_DB = 8.0, 3.0  # between the highest and the lowest
ABOVE_DB = 10.0  # of a gate that leaves the sound out for sure


class SterileWatch:
    """Listens to the frames for a sound that stays the same for STEADY_S."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Another stream begins, of which nothing has been said."""
        self._told = False
        self._begin(None)

    def _begin(self, frame: PitchFrame | None) -> None:
        """What is steady begins with this frame, or not yet."""
        self._since_s = math.inf if frame is None else frame.time_s
        self._low, self._high = math.inf, -math.inf  # semitones
        self._quiet_db, self._loud_db = math.inf, -math.inf

    def feed(self, frame: PitchFrame) -> str | None:
        """One sentence when a sound has been found that is no voice, once a stream; else None."""
        if self._told:
            return None
        if not frame.voiced:
            self._begin(None)
            return None
        if self._since_s == math.inf:
            self._begin(frame)
        if not self._fits(frame):
            self._begin(frame)
            self._fits(frame)
        if frame.time_s - self._since_s < STEADY_S:
            return None
        self._told = True
        return self._sentence(frame)

    def _fits(self, frame: PitchFrame) -> bool:
        """Widen the span by this frame; whether it is still that of one steady sound."""
        pitch = hz_to_midi(frame.f0_hz)
        self._low, self._high = min(self._low, pitch), max(self._high, pitch)
        self._quiet_db, self._loud_db = min(self._quiet_db, frame.level_db), max(self._loud_db, frame.level_db)
        return 100.0 * (self._high - self._low) <= SPREAD_CENTS and self._loud_db - self._quiet_db <= SPREAD_DB

    def _sentence(self, frame: PitchFrame) -> str:
        gate_db = min(0, math.ceil(self._loud_db + ABOVE_DB))
        return (
            f"a sound of {frame.f0_hz:.0f} Hz has kept its pitch and its level of {self._loud_db:.0f} dBFS for {STEADY_S:g} s as no voice "
            f"does: a hum or a tone is played as a note; --gate auto leaves the sound of the room out, --gate {gate_db} this one for sure"
        )
