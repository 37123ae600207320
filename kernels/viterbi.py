"""Viterbi decoding over pitch bins and one unvoiced state, read at the newest frame.

State j < n is pitch bin j, state n is unvoiced. From frame to frame a pitch moves at most ``band`` bins at a
cost that grows with the distance, leaps anywhere at one cost, or starts and ends at one cost each. All costs
are added log-probabilities (<= 0). The decision for a frame is the end of the best path to it: what comes later is
the network's to look ahead for, and changes no decision. Scores are kept relative to their maximum, so a stream may
last for ever.
"""

from __future__ import annotations

import numpy as np

from rt_melody.kernels.compiled import compiled, part

AT_ONCE = 5  # steps of the pitch that are compared in one turn over the bins


@part(fastmath=("nnan", "nsz"))
def highest_of(row: np.ndarray) -> np.float32:
    """The highest of the numbers of a row."""
    top = row[0]
    for j in range(1, row.shape[0]):
        top = max(top, row[j])
    return top


@part()
def reach(reached: np.ndarray, before: np.ndarray, moves: np.ndarray) -> None:
    """Raise ``reached`` [n] to what each of ``moves`` [2 * band + 1] makes of ``before`` [n + 2 * band], the scores between margins.

    All bins by some steps of the pitch at a time, which is done many bins at once.
    """
    n, steps = reached.shape[0], moves.shape[0]
    whole = steps // AT_ONCE * AT_ONCE
    for up in range(0, whole, AT_ONCE):
        first = steps - 1 - up
        a, b, c = before[first : first + n], before[first - 1 : first - 1 + n], before[first - 2 : first - 2 + n]
        d, e = before[first - 3 : first - 3 + n], before[first - 4 : first - 4 + n]
        for j in range(n):
            best = reached[j]
            value = a[j] + moves[up]
            best = value if value > best else best
            value = b[j] + moves[up + 1]
            best = value if value > best else best
            value = c[j] + moves[up + 2]
            best = value if value > best else best
            value = d[j] + moves[up + 3]
            best = value if value > best else best
            value = e[j] + moves[up + 4]
            reached[j] = value if value > best else best
    for up in range(whole, steps):
        left = before[steps - 1 - up : steps - 1 - up + n]
        for j in range(n):
            value = left[j] + moves[up]
            best = reached[j]
            reached[j] = value if value > best else best


@compiled("void(float32[::1], float32[:, ::1], float32[::1], float32[::1], float32, float32, float32, int64[::1])")
def advance(
    score: np.ndarray, observed: np.ndarray, moves: np.ndarray, before: np.ndarray,
    leap: np.float32, begin: np.float32, end: np.float32, states: np.ndarray,
) -> None:
    """Some frames: update ``score`` [n + 1] in place, write the best state after each to ``states`` [frames].

    ``observed`` [frames, n + 1]: log-likelihoods; ``moves`` [2 * band + 1]: log-weights of a pitch's movement; ``before``
    [n + 2 * band]: room, whose margins are of a likelihood of 0.
    """
    n, band = score.shape[0] - 1, moves.shape[0] // 2
    sung, middle = score[:n], before[band : band + n]
    for k in range(observed.shape[0]):
        seen = observed[k]
        highest = highest_of(sung)
        anywhere = max(highest + leap, score[n] + begin)
        for j in range(n):
            middle[j] = sung[j]
            sung[j] = anywhere
        reach(sung, before, moves)
        silent = max(score[n], highest + end) + seen[n]
        for j in range(n):
            sung[j] += seen[j]
        top, best = highest_of(sung), n
        if silent > top:
            top = silent
        else:
            best = 0
            while best < n - 1 and sung[best] < top:
                best += 1
        score[n] = silent
        for j in range(n + 1):
            score[j] -= top
        states[k] = best


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
        self._before = np.full(bins + 2 * band, -np.inf, np.float32)
        self._one = np.zeros(1, np.int64)
        self.reset()

    def reset(self) -> None:
        """A stream begins unvoiced."""
        self._score[:] = -30.0
        self._score[self.bins] = 0.0

    def feed(self, observed: np.ndarray) -> int:
        """The state of a frame, of its log-likelihoods ``[bins + 1]`` (float32)."""
        self.feed_all(observed.reshape(1, -1), self._one)
        return int(self._one[0])

    def feed_all(self, observed: np.ndarray, states: np.ndarray) -> None:
        """Frames in a row [shape=(n_frames, bins + 1), float32]; their ``states`` [shape=(n_frames,), int64] are written."""
        advance(self._score, observed, self._moves, self._before, *self._costs, states)
