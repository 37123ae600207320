"""Spreads against numpy, lateness and drift against a clock that the test winds."""

from __future__ import annotations

import numpy as np
import pytest

from rt_melody.realtime.timing.figures import RESOLUTION, Quickest, Spread, Timing, sentence

HOP_S = 0.010


@pytest.mark.parametrize("seed", range(3))
def test_quantiles_are_those_of_numpy_to_the_resolution(seed):
    times = np.random.default_rng(seed).lognormal(-6.0, 1.0, 5000)
    spread = Spread()
    for time_s in times:
        spread.add(float(time_s))
    for part in (0.01, 0.5, 0.99, 0.999, 1.0):
        assert spread.quantile_s(part) == pytest.approx(np.quantile(times, part, method="inverted_cdf"), rel=RESOLUTION)
    assert spread.max_s == times.max() and spread.count == 5000


def test_extremes_are_kept_in_the_outer_bins():
    spread = Spread()
    assert spread.figures_ms() == {"median": 0.0, "p99": 0.0, "p99.9": 0.0, "max": 0.0}
    for time_s in (-1.0, 0.0, 1e9):
        spread.add(time_s)
    assert spread.quantile_s(0.5) < 2e-6 and spread.max_s == 1e9 and spread.quantile_s(1.0) > 90.0
    spread.reset()
    assert (spread.count, spread.max_s, spread.quantile_s(0.5)) == (0, 0.0, 0.0)


def test_the_quickest_follows_a_floor_that_rises_and_one_that_falls():
    quickest = Quickest()
    rising = [quickest.add(t, 0.1 * t) for t in np.arange(0.0, 60.0, 0.5)]
    assert rising[0] == 0.0 and rising[-1] == pytest.approx(5.0, abs=0.6), "of the last window and the one before"
    assert quickest.add(60.0, -1.0) == -1.0
    quickest.reset()
    assert quickest.add(61.0, 7.0) == 7.0 and quickest.windows == 0


class Stream:
    """Turns of one hop: the n-th hop is there at n * HOP_S / speed, read ``wait_s`` later, worked at for ``work_s``."""

    def __init__(self, speed: float = 1.0) -> None:
        self.now_s, self.hops, self.speed = 1000.0, 0, speed
        self.timing = Timing(HOP_S, True, lambda: self.now_s)

    def turn(self, wait_s: float = 0.0, work_s: float = 0.002, lost: int = 0) -> None:
        self.hops += 1 + lost
        self.now_s = 1000.0 + self.hops * HOP_S / self.speed + wait_s
        self.timing.read()
        self.now_s += work_s
        self.timing.worked(HOP_S, self.hops * HOP_S)


def test_work_and_lateness_are_told_apart():
    stream = Stream()
    for i in range(1000):
        stream.turn(wait_s=0.005 if i % 10 == 0 else 0.0)
    figures = stream.timing.figures()
    assert figures["work_ms"]["max"] == pytest.approx(2.0) and figures["work_ms"]["median"] == pytest.approx(2.0, rel=RESOLUTION)
    assert figures["lateness_ms"]["median"] == pytest.approx(0.0, abs=0.01)
    assert figures["lateness_ms"]["p99"] == pytest.approx(5.0, rel=RESOLUTION)
    assert (figures["turns"], figures["deadlines_missed"]) == (1000, 0)
    assert figures["elapsed_s"] == pytest.approx(10.002)


def test_a_turn_longer_than_its_sound_misses_its_deadline():
    stream = Stream()
    for work_s in (0.002, 0.0099, 0.0101, 0.05):
        stream.turn(work_s=work_s)
    assert stream.timing.missed == 2


@pytest.mark.parametrize("ppm", [-80.0, 0.0, 50.0, 3000.0])
def test_drift_is_found_and_is_no_lateness(ppm):
    stream, random = Stream(1.0 + 1e-6 * ppm), np.random.default_rng(0)
    for _ in range(12_000):
        stream.turn(wait_s=float(random.exponential(0.001)))
    assert stream.timing.drift_ppm == pytest.approx(ppm, abs=1.0 + 1e-3 * abs(ppm))
    assert stream.timing.lateness.quantile_s(0.5) < 0.002 + 1e-6 * abs(ppm) * 10.0


def test_drift_is_told_only_after_half_a_minute_and_anew_after_a_loss():
    stream = Stream(1.001)
    for _ in range(3000):
        stream.turn()
    assert stream.timing.drift_ppm is None
    for _ in range(3000):
        stream.turn()
    assert stream.timing.drift_ppm == pytest.approx(1000.0, abs=1.0)
    stream.timing.begin_anew()
    stream.now_s, stream.hops = stream.now_s, stream.hops - 500  # five seconds that nobody counted
    assert stream.timing.drift_ppm is None
    for _ in range(5000):
        stream.turn()
    assert stream.timing.drift_ppm == pytest.approx(1000.0, abs=1.0)


def test_a_file_has_no_lateness():
    timing = Timing(HOP_S, live=False)
    timing.read()
    timing.worked(HOP_S, HOP_S)
    assert timing.figures()["lateness_ms"] is None and "later" not in sentence(timing.figures())


def test_the_sentence_says_the_figures():
    stream = Stream(1.0001)
    for _ in range(6000):
        stream.turn()
    said = sentence(stream.timing.figures())
    assert said.startswith("after 60 s: work a block 2.0 ms (p99 2.0") and "0 of 6000 deadlines missed" in said
    assert "drift +100 ppm" in said and "% of a core" in said
