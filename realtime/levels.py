"""How loud the notes of a run were, and whether the velocity range fits them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FEW_NOTES = 8  # of which nothing is said
LEAST_SPAN_DB = 24  # a narrower range makes noise of small differences
QUIET_PLACE, LOUD_PLACE = 0.2, 0.85  # where in the range the quiet and the loud notes lie
STUCK = 0.5  # so many of the notes at one end of the range, and it does not fit


def fitting_velocity_range(levels_db: Sequence[float | None]) -> tuple[int, int] | None:
    """The range in dBFS, for ``--velocity-range``, in which notes with these onset levels spread; None of too few.

    The quiet notes (5th percentile) come to a velocity of about 25, the loud ones (95th) to 108 at most.
    """
    levels = np.asarray([level for level in levels_db if level is not None], float)
    if len(levels) < FEW_NOTES:
        return None
    quiet, loud = np.percentile(levels, (5, 95))
    span = max(LEAST_SPAN_DB, (loud - quiet) / (LOUD_PLACE - QUIET_PLACE))
    low = round(quiet - QUIET_PLACE * span)
    return low, low + round(span)


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
        f"this voice; --velocity-range {fitting[0]} {fitting[1]} fits it"
    )
