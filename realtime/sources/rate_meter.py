"""How many samples a second a live input truly delivers, against the rate that it states.

A graph or a device that changes its rate under a program goes on calling it, with samples of another length: 48 kHz
that became 44.1 kHz are heard 1.47 semitones too high, and nothing reports it.

Conventions
-----------
* The clock is monotonic, in seconds. ``total_samples`` counts what came since the beginning, what was lost by our own
  fault included, when the last of them was handed over.
* A block may come late and never early. So of each segment of SEGMENT_S only the block that was least late counts:
  jitter, a stall whose blocks come in a burst, and one stall among segments leave the line through these points where
  it was.
* The rate has changed when the points of SPAN_S lie on one line (STEADY_S) whose slope is another rate of those below
  (MATCH) and FOLLOW_FROM away from the stated one. Sound that is lost now and then bends the line instead; a device that
  loses some all the time (SHORT in most seconds of BINS, or MUCH in each of three) is told as such, since no rate fits
  what is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

SEGMENT_S = 0.1
SPAN_S = 1.5
LEAST_POINTS = 6  # a device may hand over a quarter of a second at once
STEADY_S = 0.004  # how far a point may lie from the line
MATCH = 0.005  # of one of those rates
FOLLOW_FROM = 0.02  # of the stated rate; crystals differ by 0.0001
# The rates between which graphs and devices change. Lower ones are not among them: half of 48 kHz is what is left where
# every other block is lost, and no rate.
FOLLOWED_HZ = (44100, 48000, 88200, 96000, 176400, 192000)

BIN_S = 1.0
BINS = 10
MOST_BINS = 8
SHORT = 0.02  # of the samples of a second missing
MUCH, MUCH_BINS = 0.1, 3

Point = tuple[float, int]  # seconds, samples


@dataclass(frozen=True, slots=True)
class RateFault:
    """``rate_hz``: the rate that the input has now, None where it loses samples; ``measured_hz``: as it was measured."""

    rate_hz: int | None
    measured_hz: float


class RateMeter:
    """One thread calls ``add``, any thread the rest: what they share is replaced whole."""

    def __init__(self, stated_hz: int) -> None:
        self.reset(stated_hz)

    def reset(self, stated_hz: int | None = None) -> None:
        """Begin anew: what was before is of no account, since sound was lost and this was reported, or the rate followed."""
        self.stated_hz = stated_hz or self.stated_hz
        self._judged: tuple[Point, ...] | None = None
        self._fault: RateFault | None = None
        self._short, self._long = _LeastLate(SEGMENT_S, round(SPAN_S / SEGMENT_S) + 3), _LeastLate(BIN_S, BINS + 1)

    def add(self, total_samples: int, now_s: float) -> None:
        """A block ended with the sample ``total_samples``, at ``now_s``."""
        late_s = now_s - total_samples / self.stated_hz
        self._short.add(late_s, now_s, total_samples)
        self._long.add(late_s, now_s, total_samples)

    @property
    def measured_hz(self) -> float | None:
        """Over the last ten seconds at most; None before there are two."""
        points = self._long.points
        if len(points) < 3:
            return None
        return _slope(points[0], points[-1])

    def fault(self) -> RateFault | None:
        """What is wrong with the rate now; None where all is well, or too little is known."""
        if self._judged is not (points := self._short.points):
            self._judged, self._fault = points, self._other_rate() or self._loss()
        return self._fault

    def _other_rate(self) -> RateFault | None:
        points = self._short.points
        while len(points) > LEAST_POINTS and points[-1][0] - points[1][0] >= SPAN_S:
            points = points[1:]
        if len(points) < LEAST_POINTS or points[-1][0] - points[0][0] < SPAN_S:
            return None
        measured_hz, off_s = line_through(points)
        if off_s > STEADY_S or abs(measured_hz / self.stated_hz - 1.0) < FOLLOW_FROM:
            return None
        fits = [rate for rate in FOLLOWED_HZ if abs(measured_hz / rate - 1.0) <= MATCH]
        return RateFault(fits[0], measured_hz) if fits else None

    def _loss(self) -> RateFault | None:
        points = self._long.points
        shares = [(b[1] - a[1]) / ((b[0] - a[0]) * self.stated_hz) for a, b in pairwise(points)]
        newest = shares[-MUCH_BINS:]
        if len(newest) == MUCH_BINS and max(newest) < 1.0 - MUCH:
            return RateFault(None, _slope(points[-MUCH_BINS - 1], points[-1]))
        if len(shares) == BINS and sum(share < 1.0 - SHORT for share in shares) >= MOST_BINS:
            return RateFault(None, _slope(points[0], points[-1]))
        return None


def _slope(a: Point, b: Point) -> float:
    return (b[1] - a[1]) / (b[0] - a[0])


class _LeastLate:
    """The least late block of each of the newest ``most`` segments that are over."""

    def __init__(self, segment_s: float, most: int) -> None:
        self._segment_s, self._most = segment_s, most
        self.points: tuple[Point, ...] = ()
        self._ends_s: float | None = None
        self._least_s = float("inf")
        self._least: Point = (0.0, 0)

    def add(self, late_s: float, now_s: float, total_samples: int) -> None:
        if self._ends_s is None:
            self._ends_s = now_s + self._segment_s
        elif now_s >= self._ends_s:
            self._close(now_s)
        if late_s < self._least_s:
            self._least_s, self._least = late_s, (now_s, total_samples)

    def _close(self, now_s: float) -> None:
        self.points = (*self.points[1 - self._most :], self._least)
        self._least_s = float("inf")
        self._ends_s = now_s + self._segment_s


def line_through(points: tuple[Point, ...]) -> tuple[float, float]:
    """The slope of the line that fits best, in samples a second, and how far in seconds the farthest point lies off it."""
    t0, c0 = points[0]
    n = len(points)
    times, counts = [t - t0 for t, _ in points], [float(c - c0) for _, c in points]
    t_mean, c_mean = sum(times) / n, sum(counts) / n
    spread = sum((t - t_mean) ** 2 for t in times)
    slope = sum((t - t_mean) * (c - c_mean) for t, c in zip(times, counts)) / spread
    if slope <= 0.0:
        return 0.0, float("inf")
    return slope, max(abs((c - c_mean) / slope - (t - t_mean)) for t, c in zip(times, counts))
