"""Which velocity range fits the levels of a run."""

from __future__ import annotations

import numpy as np
import pytest

from rt_melody.realtime.levels import FEW_NOTES, LEAST_SPAN_DB, fitting_velocity_range, velocity_advice
from rt_melody.realtime.playing.expression import velocity_curve

USUAL = (-45.0, -6.0)
SUNG = np.linspace(-34.0, -14.0, 21)  # dBFS, as close singing has it


@pytest.mark.parametrize("shift_db", [-60, -40, 0, 12])
def test_the_range_that_is_named_spreads_the_notes(shift_db):
    low, high = fitting_velocity_range(SUNG + shift_db)
    velocities = [velocity_curve("linear", (low, high)).velocity(level) for level in SUNG + shift_db]
    assert velocities == sorted(velocities) and len(set(velocities)) > 15
    assert 20 <= velocities[1] <= 32 and 100 <= velocities[-2] <= 112


def test_notes_of_one_level_get_a_range_around_them_and_few_get_none():
    low, high = fitting_velocity_range([-60.0] * FEW_NOTES)
    assert high - low == LEAST_SPAN_DB and low < -60 < high
    assert fitting_velocity_range([-60.0] * (FEW_NOTES - 1)) is None and fitting_velocity_range([None] * 50) is None


def test_it_is_said_only_where_most_notes_are_stuck_at_one_end():
    assert velocity_advice(SUNG, USUAL) is None and velocity_advice([], USUAL) is None
    quiet = velocity_advice(SUNG - 40, USUAL)
    assert quiet.startswith("21 of 21 notes had the least velocity") and quiet.endswith("--velocity-range -79 -51 fits it"), quiet
    assert "the greatest velocity" in velocity_advice(SUNG + 20, USUAL)
    low, high = fitting_velocity_range(SUNG - 40)
    assert velocity_advice(SUNG - 40, (low, high)) is None, "who follows the advice hears no more of it"
