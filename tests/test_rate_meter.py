"""The rate that a device truly has, on simulated clocks: a change is noticed, and what is no change never is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_melody.realtime.sources.rate_meter import RateFault, RateMeter, line_through

RATES_HZ = (16000, 44100, 48000, 96000)
BLOCKS = (32, 64, 128, 480, 512, 1024, 2048)


def arrivals(rng, rate_hz: float, block: int, seconds: float, jitter_s: float, stalls_s=(), from_s: float = 0.0) -> list[float]:
    """When each block arrives: late by chance, in order, and not while the process stands still for ``(at, long)``."""
    due = from_s + (1 + np.arange(int(seconds * rate_hz / block))) * block / rate_hz
    late = due + rng.exponential(jitter_s / 3, len(due)).clip(max=jitter_s)
    for at_s, long_s in stalls_s:
        held = (late >= at_s) & (late < at_s + long_s)
        late[held] = at_s + long_s
    return list(np.maximum.accumulate(late))


def told(meter: RateMeter, times_s: list[float], block: int, total: int = 0, kept=lambda i: True) -> tuple[float, RateFault] | None:
    """The first fault and when."""
    for i, now_s in enumerate(times_s):
        if kept(i):
            total += block
            meter.add(total, now_s)
            if fault := meter.fault():
                return now_s, fault
    return None


stalls = st.lists(st.tuples(st.floats(0.0, 12.0), st.floats(0.0, 1.5)), max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(RATES_HZ), st.sampled_from(BLOCKS), st.floats(-1000, 1000), st.floats(0.0, 0.02), stalls, st.integers(0, 2**32 - 1)
)
def test_jitter_stalls_and_drift_are_no_fault(rate_hz, block, drift_ppm, jitter_s, stalled, seed):
    """A stall of any length, its blocks in a burst after it, several in a row."""
    times = arrivals(np.random.default_rng(seed), rate_hz * (1 + drift_ppm / 1e6), block, 12.0, jitter_s, stalled)
    assert told(RateMeter(rate_hz), times, block) is None


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(RATES_HZ), st.sampled_from(BLOCKS), st.floats(0.0, 0.02),
    st.lists(st.tuples(st.floats(0.0, 12.0), st.floats(0.005, 1.5)), max_size=12), st.integers(0, 2**32 - 1),
)
def test_sound_that_is_lost_now_and_then_is_no_other_rate(rate_hz, block, jitter_s, losses, seed):
    """Nothing came for a while and never will: a dozen holes of any length in twelve seconds."""
    times = arrivals(np.random.default_rng(seed), rate_hz, block, 12.0, jitter_s)
    lost = np.zeros(len(times), bool)
    for at_s, long_s in losses:
        lost |= (np.array(times) >= at_s) & (np.array(times) < at_s + long_s)
    found = told(RateMeter(rate_hz), times, block, kept=lambda i: not lost[i])
    assert found is None or found[1].rate_hz is None


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([(a, b) for a in (44100, 48000, 96000) for b in (44100, 48000, 88200, 96000, 192000) if a != b]),
    st.sampled_from(BLOCKS), st.floats(-500, 500), st.floats(0.0, 0.005), st.floats(0.0, 5.0), st.integers(0, 2**32 - 1),
)
def test_another_rate_is_noticed_within_two_seconds(rates, block, drift_ppm, jitter_s, before_s, seed):
    stated, true = rates
    rng = np.random.default_rng(seed)
    good = arrivals(rng, stated, block, before_s, jitter_s)
    meter, began = RateMeter(stated), good[-1] if good else 0.0
    assert told(meter, good, block) is None
    found = told(meter, arrivals(rng, true * (1 + drift_ppm / 1e6), block, 4.0, jitter_s, from_s=began), block, len(good) * block)
    assert found is not None and found[1].rate_hz == true
    assert found[0] - began <= 2.0
    assert found[1].measured_hz == pytest.approx(true, rel=0.005)


@pytest.mark.parametrize("lost_of_100", [5, 10, 30])
def test_a_device_that_loses_sound_all_the_time_is_told_as_such(lost_of_100):
    """Such as one that gives 90 blocks of 10 ms a second: no rate, but a fault."""
    rng = np.random.default_rng(lost_of_100)
    times = arrivals(rng, 48000, 480, 20.0, 0.004)
    kept = rng.random(len(times)) >= lost_of_100 / 100
    at_s, fault = told(RateMeter(48000), times, 480, kept=lambda i: kept[i])
    assert fault.rate_hz is None and at_s < 13.0
    assert fault.measured_hz == pytest.approx(480 * (100 - lost_of_100), rel=0.1)


def test_a_device_that_loses_half_is_told_within_five_seconds():
    times = arrivals(np.random.default_rng(0), 48000, 512, 10.0, 0.004)
    at_s, fault = told(RateMeter(48000), times, 512, kept=lambda i: i % 2 == 0)
    assert at_s < 5.0 and fault.rate_hz is None and fault.measured_hz == pytest.approx(24000, rel=0.01)


def test_the_rate_is_measured_to_a_part_in_a_thousand_and_not_before_there_are_two_seconds():
    meter = RateMeter(48000)
    times = arrivals(np.random.default_rng(0), 47990, 128, 10.0, 0.003)
    told(meter, times[:500], 128)
    assert meter.measured_hz is None
    told(meter, times[500:], 128, total=500 * 128)
    assert meter.measured_hz == pytest.approx(47990, rel=0.001)


def test_a_reset_forgets_what_was_lost():
    """A loss that the device reported is no sign of its rate."""
    meter, total = RateMeter(48000), 0
    for i in range(1000):  # 20 s, an eighth lost in regular pieces
        total += 882
        meter.add(total, 0.02 * i)
        meter.reset()
        assert meter.fault() is None


def test_the_line_through_points_by_hand():
    slope, off_s = line_through(((10.0, 0), (11.0, 1000), (12.0, 2000)))
    assert slope == pytest.approx(1000.0) and off_s == pytest.approx(0.0, abs=1e-12)
    assert line_through(((0.0, 5), (1.0, 5), (2.0, 5))) == (0.0, float("inf"))
