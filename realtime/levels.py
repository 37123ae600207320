"""How loud the notes of a run were, and which velocity range fits them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import isfinite

import numpy as np

FEW_NOTES = 8  # of which nothing is said
LEAST_SPAN_DB = 24  # a narrower range makes noise of small differences
QUIET_PLACE, LOUD_PLACE = 0.2, 0.85  # where in the range the quiet and the loud notes lie
STUCK = 0.5  # so many of the notes at one end of the range, and it does not fit
USUAL_SPREAD_DB = 18.0  # from quiet to loud notes, as sight-singers have it (see playing/expression.py)
SUPPOSED_NOTES = 8  # spread so about the first one, who are forgotten as others are
NOTES_KEPT = 64


def fitting_velocity_range(levels_db: Sequence[float | None]) -> tuple[int, int] | None:
    """The range in dBFS, for ``--velocity-range``, in which notes with these onset levels spread; None of too few.

    The quiet notes (5th percentile) come to a velocity of about 25, the loud ones (95th) to 108 at most.
    """
    levels = np.asarray([level for level in levels_db if level is not None], float)
    if len(levels) < FEW_NOTES:
        return None
    low, high = range_around(*np.percentile(levels, (5, 95)))
    return round(low), round(low) + round(high - low)


def range_around(quiet_db: float, loud_db: float) -> tuple[float, float]:
    """The range in dBFS in which quiet and loud notes have their places."""
    span_db = max(LEAST_SPAN_DB, (loud_db - quiet_db) / (LOUD_PLACE - QUIET_PLACE))
    low_db = quiet_db - QUIET_PLACE * span_db
    return low_db, low_db + span_db


class LearnedRange:
    """The velocity range of the newest NOTES_KEPT notes; of the first ones as if the voice spread about the first as voices do.

    Each note's range is that of the notes up to it, itself among them: what is sung later never changes it.
    """

    def __init__(self) -> None:
        self._levels_db: deque[float] = deque(maxlen=NOTES_KEPT)

    def reset(self) -> None:
        """Another voice."""
        self._levels_db.clear()

    def feed(self, level_db: float) -> None:
        """The level of an onset in dBFS; one that is no finite number is passed over."""
        if not isfinite(level_db):
            return
        if not self._levels_db:
            step_db = USUAL_SPREAD_DB / (SUPPOSED_NOTES - 1)
            self._levels_db.extend(level_db - USUAL_SPREAD_DB / 2 + i * step_db for i in range(SUPPOSED_NOTES))
        self._levels_db.append(level_db)

    @property
    def range_db(self) -> tuple[float, float] | None:
        """None where nothing was heard."""
        if not self._levels_db:
            return None
        ordered = sorted(self._levels_db)
        return range_around(_quantile(ordered, 0.05), _quantile(ordered, 0.95))


def _quantile(ordered: list[float], part: float) -> float:
    """As NumPy's, which takes many times as long for so few."""
    place = part * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def velocity_advice(levels_db: Sequence[float | None], range_db: tuple[float, float]) -> str | None:
    """One sentence with the range that fits, where most notes lie at or beyond one end of ``range_db``; else None."""
    levels = [level for level in levels_db if level is not None]
    fitting = fitting_velocity_range(levels)
    if fitting is None:
        return None
    step = (range_db[1] - range_db[0]) / 126.0  # velocities 1..127
    quiet = sum(level < range_db[0] + step for level in levels)
    loud = sum(level > range_db[1] - step for level in levels)
    if max(quiet, loud) < STUCK * len(levels):
        return None
    how, count = ("the least", quiet) if quiet >= loud else ("the greatest", loud)
    return (
        f"{count} of {len(levels)} notes had {how} velocity, since the range of {range_db[0]:g} to {range_db[1]:g} dBFS is not that of "
        f"this voice; --velocity-range {fitting[0]} {fitting[1]} fits it, --velocity-range auto learns it"
    )
