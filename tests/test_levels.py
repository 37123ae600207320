"""Which velocity range fits the levels of a run."""

from __future__ import annotations

import numpy as np
import pytest

from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.levels import FEW_NOTES, LEAST_SPAN_DB, NOTES_KEPT, LearnedRange, fitting_velocity_range, velocity_advice
from rt_melody.realtime.playing.expression import velocity_curve
from rt_melody.realtime.settings import make_settings

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
    assert quiet.startswith("21 of 21 notes had the least velocity") and "--velocity-range -79 -51 fits it" in quiet, quiet
    loud = velocity_advice(SUNG + 20, USUAL)
    assert loud.startswith("13 of 21 notes had the greatest velocity") and "--velocity-range -19 9 fits it" in loud, loud
    low, high = fitting_velocity_range(SUNG - 40)
    assert velocity_advice(SUNG - 40, (low, high)) is None, "who follows the advice hears no more of it"


# --- learned while it is sung


def learned(levels) -> list[tuple[float, float]]:
    """The range after each note."""
    voice, ranges = LearnedRange(), []
    for level in levels:
        voice.feed(level)
        ranges.append(voice.range_db)
    return ranges


def velocities(levels) -> list[int]:
    return [velocity_curve("linear", range_db).velocity(level) for level, range_db in zip(levels, learned(levels), strict=True)]


def test_the_learned_range_becomes_that_which_is_advised():
    levels = np.random.default_rng(4).permutation(np.linspace(-70.0, -30.0, 400))
    np.testing.assert_allclose(learned(levels)[-1], fitting_velocity_range(levels[-NOTES_KEPT:].tolist()) or (), atol=1.0)


@pytest.mark.parametrize("shift_db", [-50, -40, 0, 12])
def test_the_gain_of_the_microphone_changes_no_velocity(shift_db):
    sung = np.random.default_rng(5).permutation(SUNG)
    assert velocities(sung + shift_db) == velocities(sung) and 55 <= velocities(sung)[0] <= 80
    assert len(set(velocities(sung)[8:])) > 10 and min(velocities(sung)) > 1


def test_later_notes_and_such_without_a_level_change_no_earlier_range():
    assert learned(SUNG)[:9] == learned(SUNG[:9])
    assert learned([*SUNG[:5], -np.inf, np.nan])[4:] == [learned(SUNG[:5])[4]] * 3 and learned([-np.inf]) == [None]


@pytest.mark.parametrize("given", [["-45"], ["loud"], [-45, -6, 3], ["auto", -3]])
def test_what_is_neither_auto_nor_two_levels_is_refused(given):
    with pytest.raises(SettingsError, match="--velocity-range .* it must be auto alone, or two levels such as -45 -6"):
        make_settings({"velocity_range": given})
    assert make_settings({"velocity_range": ["auto"]}).performance.learns_velocity
