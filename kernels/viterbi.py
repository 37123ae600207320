"""Fixed-lag Viterbi decoding over pitch bins and one unvoiced state.

State j < n is pitch bin j, state n is unvoiced. From frame to frame a pitch moves at most ``band`` bins at a
cost that grows with the distance, leaps anywhere at one cost, or starts and ends at one cost each. All costs
are added log-probabilities (<= 0). The decision for frame t is read ``lag`` frames later, from the best state
then; lag 0 reads the best state at once. Scores are kept relative to their maximum, so a stream may last
for ever.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit("void(float32[::1], float32[::1], int32[::1], float32[::1], float32[::1], float32, float32, float32)",
      cache=True, nogil=True)
def advance(score, observed, back, moves, scratch, leap, begin, end):
    """One frame: update ``score`` [n + 1] in place and note where each state came from in ``back`` [n + 1].

    ``observed`` [n + 1]: log-likelihoods; ``moves`` [2 * band + 1]: log-weights of a pitch's movement.
    """
    n = score.shape[0] - 1
    band = moves.shape[0] // 2
    best = 0
    for j in range(1, n):
        if score[j] > score[best]:
            best = j
    anywhere = score[best] + leap
    started = score[n] + begin
    for j in range(n):
        value, came = started, n
        if anywhere > value:
            value, came = anywhere, best
        for k in range(max(0, j - band), min(n, j + band + 1)):
            moved = score[k] + moves[j - k + band]
            if moved > value:
                value, came = moved, k
        scratch[j] = value + observed[j]
        back[j] = came
    silent, came = score[n], n
    if score[best] + end > silent:
        silent, came = score[best] + end, best
    scratch[n] = silent + observed[n]
    back[n] = came
    top = scratch[0]
    for j in range(1, n + 1):
        top = max(top, scratch[j])
    for j in range(n + 1):
        score[j] = scratch[j] - top


@njit("int64(float32[::1], int32[:, ::1], int64, int64)", cache=True, nogil=True)
def trace(score, back, newest, lag):
    """The state ``lag`` frames before the newest, on the best path; ``back`` is circular by rows."""
    state = 0
    for j in range(1, score.shape[0]):
        if score[j] > score[state]:
            state = j
    for i in range(lag):
        state = back[(newest - i) % back.shape[0], state]
    return state


class FixedLagViterbi:
    """One stream's decoder: its scores and the back-pointers of the last ``lag`` frames.

    Parameters: ``bins`` pitch bins; ``lag`` frames; ``move_bins`` the standard deviation of a pitch's
    movement a frame and ``band`` its limit; ``leap``, ``begin``, ``end`` probabilities a frame.
    """

    def __init__(self, bins: int, lag: int, move_bins: float, band: int, leap: float, begin: float, end: float):
        if lag < 0 or band < 0 or not all(0.0 < p < 1.0 for p in (leap, begin, end)):
            raise ValueError(f"lag {lag} and band {band} must be at least 0, and probabilities between 0 and 1")
        self.bins, self.lag = bins, lag
        distance = np.arange(-band, band + 1) / max(move_bins, 1e-6)
        self._moves = np.ascontiguousarray(-0.5 * distance**2, dtype=np.float32)
        self._costs = tuple(np.float32(np.log(p)) for p in (leap, begin, end))
        self._score = np.zeros(bins + 1, np.float32)
        self._scratch = np.zeros(bins + 1, np.float32)
        self._back = np.zeros((lag + 1, bins + 1), np.int32)
        self.reset()

    def reset(self) -> None:
        """A stream begins unvoiced."""
        self._score[:] = -30.0
        self._score[self.bins] = 0.0
        self._back[:] = self.bins
        self._frames = 0

    def feed(self, observed: np.ndarray) -> int | None:
        """Log-likelihoods of one frame ``[bins + 1]``; the state of the frame ``lag`` before, None at first."""
        row = self._back[self._frames % (self.lag + 1)]
        advance(self._score, observed, row, self._moves, self._scratch, *self._costs)
        newest = self._frames % (self.lag + 1)
        self._frames += 1
        if self._frames <= self.lag:
            return None
        return trace(self._score, self._back, newest, self.lag)
