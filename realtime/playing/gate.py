"""A level gate over the voicing: what is not louder than the room is not sung.

Conventions
-----------
* Levels are those of ``PitchFrame.level_db``: dBFS RMS of the newest hop, which lies later than the sound that the
  frame's pitch and voicing speak of. The gate waits with its verdict on a hop until a frame speaks of it.
* The noise floor falls quickly to a quieter hop and rises slowly, and only while nobody is heard to sing, so that a
  long note is never taken for the room.
* What is taken for a voice but stands still in pitch and level, as the hum of a machine does and no singer, is the room, and the floor
  is there at once. On real voices (MIR-1K's, and those of four other corpora) nothing stood so still for longer than a second.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from math import log2

from rt_melody.realtime.settings.performance import PerformanceSettings, parse_gate
from rt_melody.realtime.types import PitchFrame

OPEN_DB = 12.0  # above the floor: opens
CLOSE_DB = 6.0  # above the floor: closes. A fixed gate closes OPEN_DB - CLOSE_DB below its threshold
HOLD_S = 0.05  # stays open so long below the lower threshold
FIRST_FLOOR_DB = -75.0  # until the room has been heard
FALL_PART = 0.2  # of the way down to a quieter hop, each hop
RISE_DB_PER_S = 12.0
STILL_S = 1.5  # what moves by less than ...
STILL_CENTS = 10.0
STILL_DB = 3.0  # ... for so long is no singer
MOST_STEP_S = 0.05  # of a rise: through a gap in the stream nobody heard the room


class Gate:
    """``feed`` gives the frame, unvoiced where the gate is shut.

    ``threshold_db``: None finds the noise floor of the room itself.
    """

    def __init__(self, threshold_db: float | None = None) -> None:
        self._fixed_db = threshold_db
        self.reset()

    def reset(self) -> None:
        """Forget the room."""
        self.floor_db = FIRST_FLOOR_DB
        self._open = False
        self._above_s = float("-inf")  # when the level last was above the lower threshold
        self._last_s: float | None = None
        self._verdicts: deque[tuple[float, bool]] = deque()  # (time of the end of the hop, open)
        self._pitch, self._level = Span(STILL_CENTS), Span(STILL_DB)
        self._still_s: float | None = None  # for how long what is taken for a voice has not moved

    def change(self, threshold_db: float | None) -> None:
        """Another threshold from the next frame on; what was heard of the room is kept."""
        self._fixed_db = threshold_db

    @property
    def opens_at_db(self) -> float:
        """The level in dBFS from which the gate opens now."""
        return self.floor_db + OPEN_DB if self._fixed_db is None else self._fixed_db

    def feed(self, frame: PitchFrame) -> PitchFrame:
        """The frame as it passes: itself, or unvoiced."""
        step_s = 0.0 if self._last_s is None else min(MOST_STEP_S, max(0.0, frame.available_s - self._last_s))
        self._last_s = frame.available_s
        self._follow_floor(frame, step_s)
        self._verdicts.append((frame.available_s, self._judge(frame)))
        opened = self._verdict_at(frame.time_s)
        return frame if opened or not frame.voiced else replace(frame, voiced=False)

    def _follow_floor(self, frame: PitchFrame, step_s: float) -> None:
        if frame.level_db < self.floor_db:
            self.floor_db += FALL_PART * (frame.level_db - self.floor_db)
        elif not frame.voiced:
            self.floor_db = min(frame.level_db, self.floor_db + RISE_DB_PER_S * step_s)
        if self._stands_still(frame, step_s):
            self.floor_db = max(self.floor_db, frame.level_db)

    def _stands_still(self, frame: PitchFrame, step_s: float) -> bool:
        """Whether what is taken for a voice has not moved for longer than a voice can."""
        if not frame.voiced:
            self._still_s = None
            return False
        cents = 1200.0 * log2(frame.f0_hz)
        if self._still_s is not None and self._pitch.holds(cents) and self._level.holds(frame.level_db):
            self._still_s += step_s
        else:
            self._still_s = 0.0
            self._pitch.begin(cents)
            self._level.begin(frame.level_db)
        return self._still_s >= STILL_S - 1e-9

    def _judge(self, frame: PitchFrame) -> bool:
        upper = self.opens_at_db
        if frame.level_db >= upper - (OPEN_DB - CLOSE_DB):
            self._above_s = frame.available_s
        held = self._open and frame.available_s - self._above_s <= HOLD_S + 1e-9
        self._open = frame.level_db >= upper or held
        return self._open

    def _verdict_at(self, time_s: float) -> bool:
        """The verdict on the hop that ends next after ``time_s``; the newest where that is still to come."""
        while len(self._verdicts) > 1 and self._verdicts[0][0] <= time_s + 1e-9:
            self._verdicts.popleft()
        return self._verdicts[0][1]


class Span:
    """Values that lie at most ``most`` apart."""

    def __init__(self, most: float) -> None:
        self._most, self._low, self._high = most, 0.0, 0.0

    def begin(self, value: float) -> None:
        self._low = self._high = value

    def holds(self, value: float) -> bool:
        """Takes another in; whether all do still."""
        self._low, self._high = min(self._low, value), max(self._high, value)
        return self._high - self._low <= self._most


def make_gate(settings: PerformanceSettings, before: Gate | None = None) -> Gate | None:
    """The gate that is asked for; None where it is off. ``before``, where there is one, becomes it, and keeps what it heard."""
    is_on, threshold_db = parse_gate(settings.gate)
    if not is_on:
        return None
    if before is None:
        return Gate(threshold_db)
    before.change(threshold_db)
    return before
