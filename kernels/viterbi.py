"""Viterbi decoding over pitch bins and one unvoiced state, read at the newest frame.

State j < n is pitch bin j, state n is unvoiced. From frame to frame a pitch moves at most ``band`` bins at a
cost that grows with the distance, leaps anywhere at one cost, or starts and ends at one cost each. All costs
are added log-probabilities (<= 0). The decision for a frame is the end of the best path to it: what comes later is
the network's to look ahead for, and changes no decision. Scores are kept relative to their maximum, so a stream may
last for ever.
"""

from __future__ import annotations

import numpy as np

from rt_melody.kernels.compiled import compiled


@compiled("int64(float32[::1], float32[::1], float32[::1], float32[::1], float32, float32, float32)")
def advance(
    score: np.ndarray, observed: np.ndarray, moves: np.ndarray, scratch: np.ndarray, leap: np.float32, begin: np.float32, end: np.float32
) -> int:
    """One frame: update ``score`` [n + 1] in place; the best state.

    ``observed`` [n + 1]: log-likelihoods; ``moves`` [2 * band + 1]: log-weights of a pitch's movement.
    """
    n = score.shape[0] - 1
    band = moves.shape[0] // 2
    highest = score[0]
    for j in range(1, n):
        highest = max(highest, score[j])
    anywhere = max(highest + leap, score[n] + begin)
    for j in range(n):
        scratch[j] = anywhere
    for up in range(-band, band + 1):  # all bins by one step of the pitch at a time, which is done many bins at once
        move = moves[up + band]
        left, reached = score[max(0, -up) : n - max(0, up)], scratch[max(0, up) : n + min(0, up)]
        for i in range(reached.shape[0]):
            value = left[i] + move
            reached[i] = value if value > reached[i] else reached[i]
    best = 0
    for j in range(n):
        scratch[j] += observed[j]
        if scratch[j] > scratch[best]:
            best = j
    scratch[n] = max(score[n], highest + end) + observed[n]
    if scratch[n] > scratch[best]:
        best = n
    top = scratch[best]
    for j in range(n + 1):
        score[j] = scratch[j] - top
    return best


class OnlineViterbi:
    """One stream's decoder.

    Parameters: ``bins`` pitch bins; ``move_bins`` the standard deviation of a pitch's movement a frame and ``band`` its
    limit; ``leap``, ``begin``, ``end`` probabilities a frame. Raises ValueError for what makes no sense.
    """

    def __init__(self, bins: int, move_bins: float, band: int, leap: float, begin: float, end: float):
        if band < 0 or not all(0.0 < p < 1.0 for p in (leap, begin, end)):
            raise ValueError(f"band {band} must be at least 0, and the probabilities {leap}, {begin}, {end} between 0 and 1")
        self.bins = bins
        distance = np.arange(-band, band + 1) / max(move_bins, 1e-6)
        self._moves = np.ascontiguousarray(-0.5 * distance**2, dtype=np.float32)
        self._costs = np.float32(np.log(leap)), np.float32(np.log(begin)), np.float32(np.log(end))
        self._score = np.zeros(bins + 1, np.float32)
        self._scratch = np.zeros(bins + 1, np.float32)
        self.reset()

    def reset(self) -> None:
        """A stream begins unvoiced."""
        self._score[:] = -30.0
        self._score[self.bins] = 0.0

    def feed(self, observed: np.ndarray) -> int:
        """The state of a frame, of its log-likelihoods ``[bins + 1]`` (float32)."""
        return advance(self._score, observed, self._moves, self._scratch, *self._costs)
