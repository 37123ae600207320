"""The gate: what it lets pass, when it opens and closes, and that it learns the room and not the singer."""

from __future__ import annotations

from dataclasses import replace
from math import sin

import pytest

from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.playing.gate import CLOSE_DB, HOLD_S, OPEN_DB, STILL_CENTS, STILL_DB, STILL_S, Gate, make_gate
from rt_melody.realtime.settings import PerformanceSettings
from rt_melody.realtime.types import PitchFrame

HOP_S = 0.01
LOOK_AHEAD = 4  # hops by which the level is ahead of the voicing


def frames(levels_db, voiced):
    """Frame i speaks of hop i and carries the level of hop i + LOOK_AHEAD, as the engine's do. Their pitch has some vibrato."""
    n = len(levels_db)
    late = [levels_db[min(i + LOOK_AHEAD, n - 1)] for i in range(n)]
    return [
        PitchFrame(i, i * HOP_S, (i + LOOK_AHEAD + 1) * HOP_S, 220.0 + 3.0 * sin(0.38 * i), bool(voiced[i]), 0.9, 0.9, late[i])
        for i in range(n)
    ]


def opened(gate, levels_db, voiced=None):
    """Indices of the frames that came out voiced."""
    voiced = [True] * len(levels_db) if voiced is None else voiced
    return [f.index for f in map(gate.feed, frames(levels_db, voiced)) if f.voiced]


def test_a_fixed_gate_opens_at_its_level_and_closes_below_after_a_hold():
    hold = round(HOLD_S / HOP_S)
    levels = [-60.0] * 20 + [-40.0] * 20 + [-44.0] * 20 + [-60.0] * 40
    assert opened(Gate(-40.0), levels) == list(range(20, 60 + hold))  # -44 lies within the hysteresis
    assert opened(Gate(-39.9), levels) == []


def test_a_gap_in_the_stream_teaches_nothing_of_the_room():
    """The first hops after it are the singer's: unvoiced yet, and no louder room."""
    gate = Gate()
    for frame in frames([-60.0] * 500, [False] * 500):
        gate.feed(frame)
    later = [
        replace(f, time_s=f.time_s + 10.0, available_s=f.available_s + 10.0) for f in frames([-20.0] * 200, [False] * 5 + [True] * 195)
    ]
    assert sum(gate.feed(f).voiced for f in later) == 195


def test_levels_between_the_thresholds_do_not_flicker():
    levels = [-38.0] * 10 + [-40.1, -45.9] * 50
    assert opened(Gate(-40.0), levels) == list(range(110))


def test_a_frame_that_passes_is_the_frame_that_came():
    gate, source = Gate(-50.0), frames([-20.0] * 5, [True] * 5)
    assert [gate.feed(f) for f in source] == source


def test_unvoiced_frames_stay_as_they_are():
    gate, source = Gate(), frames([-20.0, -90.0] * 5, [False] * 10)
    assert [gate.feed(f) for f in source] == source


@pytest.mark.parametrize("noise_db", [-85.0, -60.0, -42.0])
def test_the_room_is_learnt_and_the_voice_above_it_heard(noise_db):
    """Ten seconds of noise, half of whose frames a bad tracker voices; then a voice 20 dB above it."""
    noise, voice = 1000, 300
    levels = [noise_db] * noise + [noise_db + OPEN_DB + 8.0] * voice
    voiced = [i % 2 == 0 for i in range(noise)] + [True] * voice
    heard = opened(Gate(), levels, voiced)
    late = [i for i in heard if i >= 600]
    assert late == list(range(noise, noise + voice))


def test_a_long_note_is_not_taken_for_the_room():
    levels = [-70.0] * 100 + ([-38.0] * 20 + [-42.0] * 20) * 150 + [-70.0 + CLOSE_DB - 1.0] * 100
    voiced = [False] * 100 + [True] * 6100
    heard = opened(Gate(), levels, voiced)
    assert heard[0] == 100 and heard[-1] == 6100 + round(HOLD_S / HOP_S) - 1 and len(heard) == heard[-1] - 99


@pytest.mark.parametrize(("moves_cents", "moves_db"), [(9.0, 0.0), (0.0, 2.9), (11.0, 0.0), (0.0, 3.1)])
def test_what_stands_still_is_the_room_and_what_is_louder_a_voice(moves_cents, moves_db):
    """Ten seconds of a hum that a tracker takes for a voice, then a voice above it."""
    hum, voice = 1000, 300
    moved = [i // 30 % 2 for i in range(hum)]
    levels = [-50.0 + moves_db * m for m in moved] + [-30.0, -34.0] * (voice // 2)
    hz = [100.0 * 2.0 ** (moves_cents * m / 1200.0) for m in moved] + [220.0] * voice
    gate = Gate()
    heard = [f.index for f in map(gate.feed, (replace(f, f0_hz=hz[f.index]) for f in frames(levels, [True] * len(levels)))) if f.voiced]
    if moves_cents > STILL_CENTS or moves_db > STILL_DB:
        assert heard == list(range(hum + voice)), "a singer, whose note is long"
    else:
        silenced = round((STILL_S + HOLD_S) / HOP_S) + LOOK_AHEAD
        assert heard == [*range(silenced), *range(hum, hum + voice)]


def test_a_gap_in_the_stream_is_no_time_in_which_a_note_stood_still():
    held = [replace(f, f0_hz=220.0) for f in frames([-30.0] * 100, [True] * 100)]
    later = [replace(f, time_s=f.time_s + 10.0, available_s=f.available_s + 10.0) for f in held[:40]]
    gate = Gate()
    assert all(gate.feed(f).voiced for f in held + later)


def test_singing_from_the_first_sample_is_heard():
    assert opened(Gate(), [-45.0] * 100) == list(range(100))


def test_a_quieter_room_is_learnt_at_once():
    gate = Gate()
    opened(gate, [-50.0] * 1000 + [-80.0] * 30, [False] * 1030)
    assert gate.floor_db == pytest.approx(-80.0, abs=0.1)


def test_a_second_run_equals_the_first_only_after_reset():
    levels = [-90.0 + (i // 20 * 17) % 61 for i in range(300)]
    gate = Gate()
    first = opened(gate, levels)
    assert opened(Gate(), levels) == first != list(range(300))
    gate.reset()
    assert opened(gate, levels) == first
    loud = Gate()
    opened(loud, [-20.0] * 200, [False] * 200)
    assert opened(loud, levels) != first  # without reset the loud room is remembered


def test_words_of_the_setting():
    off, auto, fixed = (make_gate(PerformanceSettings(gate=text)) for text in ("off", "auto", "-45"))
    assert off is None and auto.opens_at_db == auto.floor_db + OPEN_DB and fixed.opens_at_db == -45.0
    for bad in ("on", "3", "-121", "nan"):
        with pytest.raises(SettingsError, match="use off, auto, or a threshold"):
            PerformanceSettings(gate=bad)
