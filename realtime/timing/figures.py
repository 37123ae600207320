"""How a session keeps time: what its work costs, how late its output is, and whether two clocks drift apart.

Conventions
-----------
* A *turn* is one block read and worked through to the sinks. Its *work* is the time from the read to the last
  sink; it *misses its deadline* when that is longer than the sound that it brought, or than a hop where it
  brought less.
* *Lateness* is how much later than the quickest turn of the newest seconds a turn ended, measured from the
  sound itself: what waiting, work and scheduling add to the arithmetic of the latency budget.
* *Drift* is how much faster than the computer's clock the stream goes, in parts per million. A sound card's
  crystal is commonly off by up to 100; more means lost samples.
* Nothing here allocates with the length of a session: spreads are histograms of a fixed size, whose quantiles
  are exact to ``RESOLUTION``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from math import ceil, exp, log
from pathlib import Path
from typing import Any

Figures = dict[str, Any]  # by name: numbers, or numbers by name; as JSON has them

RESOLUTION = 0.02  # relative width of a histogram's bin
SHORTEST_S, LONGEST_S = 1e-6, 100.0
WINDOW_S = 5.0  # of the quickest turn, to which lateness is relative
DRIFT_AFTER_S = 30.0  # no figure of drift from less
QUANTILES = {"median": 0.5, "p99": 0.99, "p99.9": 0.999}


class Spread:
    """Many times in seconds, remembered as a histogram of logarithmic bins; the maximum exactly."""

    def __init__(self) -> None:
        self._per_bin = 1.0 / log(1.0 + RESOLUTION)
        self._bins = ceil(log(LONGEST_S / SHORTEST_S) * self._per_bin) + 1
        self.reset()

    def reset(self) -> None:
        self._counts = [0] * self._bins
        self.count, self.max_s = 0, 0.0

    def add(self, time_s: float) -> None:
        """Negative times count as 0."""
        place = int(log(max(time_s, SHORTEST_S) / SHORTEST_S) * self._per_bin)
        self._counts[min(place, self._bins - 1)] += 1
        self.count += 1
        if time_s > self.max_s:
            self.max_s = time_s

    def bins(self) -> list[tuple[float, int]]:
        """(seconds, how many) of each bin that holds any."""
        return [(SHORTEST_S * exp((place + 0.5) / self._per_bin), count) for place, count in enumerate(self._counts) if count]

    def quantile_s(self, part: float) -> float:
        """The least time that ``part`` of all do not exceed, to RESOLUTION; 0 where there is none."""
        left = max(1, ceil(part * self.count - 1e-9))
        for place, count in enumerate(self._counts):
            left -= count
            if left <= 0:
                return min(self.max_s, SHORTEST_S * exp((place + 0.5) / self._per_bin))
        return 0.0

    def figures_ms(self) -> dict[str, float]:
        """Median, p99, p99.9 and maximum, ms."""
        marks = {name: self.quantile_s(part) for name, part in QUANTILES.items()}
        return {name: round(1000.0 * s, 3) for name, s in {**marks, "max": self.max_s}.items()}


class Quickest:
    """The least of the values of the newest one to two windows of WINDOW_S: a floor that follows a drift."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._ends_s = float("-inf")
        self._before = self._now = float("inf")
        self.windows = 0  # complete ones
        self.closed = 0.0  # the least value of the newest of them

    def add(self, now_s: float, value: float) -> float:
        if now_s >= self._ends_s:
            if self._ends_s > float("-inf"):
                self.windows, self.closed = self.windows + 1, self._now
            self._before, self._now = self._now, float("inf")
            self._ends_s = now_s + WINDOW_S
        if value < self._now:
            self._now = value
        return min(self._before, self._now)


class Timing:
    """What ``Session`` measures of one run. ``clock`` in seconds, monotonic."""

    def __init__(self, hop_s: float, live: bool, clock: Callable[[], float] = time.perf_counter) -> None:
        self.hop_s, self.live, self._clock = hop_s, live, clock
        self.work, self.lateness = Spread(), Spread()
        self._floor = Quickest()
        self.turns = self.missed = 0
        self.began_s = clock()
        self._cpu_before_s = time.process_time()
        self._first: tuple[float, float] | None = None  # (clock, offset) from which drift is counted
        self._last: tuple[float, float] | None = None

    def read(self) -> None:
        """A block has just been read."""
        self._read_s = self._clock()

    def worked(self, block_s: float, stream_s: float) -> None:
        """That block, of ``block_s``, is through; ``stream_s`` of sound have come in so far, lost ones included."""
        now_s = self._clock()
        work_s = now_s - self._read_s
        self.turns += 1
        self.work.add(work_s)
        self.missed += work_s > max(block_s, self.hop_s)
        if self.live:
            self._measure_lateness(now_s, stream_s)

    def _measure_lateness(self, now_s: float, stream_s: float) -> None:
        offset_s = now_s - stream_s
        before = self._floor.windows
        self.lateness.add(offset_s - self._floor.add(now_s, offset_s))
        if self._floor.windows > before:
            self._last = now_s, self._floor.closed
            self._first = self._first or self._last

    def begin_anew(self) -> None:
        """Sound was lost, an unknown amount of it: what came before says nothing of the clocks now."""
        self._floor.reset()
        self._first = self._last = None

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self.began_s

    @property
    def drift_ppm(self) -> float | None:
        """How much faster than the clock the stream goes; None while too little was heard."""
        if self._first is None or self._last is None or self._last[0] - self._first[0] < DRIFT_AFTER_S:
            return None
        return -1e6 * (self._last[1] - self._first[1]) / (self._last[0] - self._first[0])

    def figures(self) -> Figures:
        """All of it, for a machine to read."""
        elapsed_s = max(self.elapsed_s, 1e-9)
        drift = self.drift_ppm
        return {
            "elapsed_s": round(elapsed_s, 3),
            "turns": self.turns,
            "work_ms": self.work.figures_ms(),
            "deadlines_missed": self.missed,
            "lateness_ms": self.lateness.figures_ms() if self.live else None,
            "drift_ppm": None if drift is None else round(drift, 1),
            "cpu_share": round((time.process_time() - self._cpu_before_s) / elapsed_s, 4),
            "memory_mb": memory_mb(),
        }


def memory_mb() -> float | None:
    """What this process holds in memory now (where the system tells: Linux), or at most so far (macOS); MB."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 2)
    except (OSError, ValueError):
        pass
    if sys.platform != "darwin":
        return None
    import resource

    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)


def sentence(figures: Figures) -> str:
    """The figures as one line for people."""
    work, late = figures["work_ms"], figures["lateness_ms"]
    parts = [f"work a block {_spread(work)}"]
    if late:
        parts.append(f"output later than the quickest by {_spread(late)}")
    parts.append(f"{figures['deadlines_missed']} of {figures['turns']} deadlines missed")
    if figures["drift_ppm"] is not None:
        parts.append(f"drift {figures['drift_ppm']:+.0f} ppm")
    parts.append(f"{100 * figures['cpu_share']:.0f} % of a core")
    if figures["memory_mb"] is not None:
        parts.append(f"{figures['memory_mb']:.0f} MB")
    if band := figures.get("band"):
        parts.append(f"band {band['over_voice_db']:+.0f} dB over the voice, {band['removed_db']:.0f} dB of it taken out")
    return f"after {figures['elapsed_s']:.0f} s: " + "; ".join(parts)


def _spread(ms: dict[str, float]) -> str:
    return f"{ms['median']:.1f} ms (p99 {ms['p99']:.1f}, p99.9 {ms['p99.9']:.1f}, max {ms['max']:.1f})"
