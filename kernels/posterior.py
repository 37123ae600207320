"""Reading a pitch posterior: probabilities, the peak, the pitch between bins, how sure.

Bins are evenly spaced in pitch; a reading is in bins (fractional), for the caller to map.
"""

from __future__ import annotations

import numpy as np

from rt_melody.kernels.compiled import compiled, part


@part()
def softmax(logits: np.ndarray, out: np.ndarray) -> None:
    """Probabilities of a row of logits."""
    top = logits[0]
    for i in range(1, logits.shape[0]):
        top = max(top, logits[i])
    total = np.float32(0.0)
    for i in range(logits.shape[0]):
        out[i] = np.exp(logits[i] - top)
        total += out[i]
    for i in range(logits.shape[0]):
        out[i] /= total


@part()
def peak(probabilities: np.ndarray, low: int, high: int) -> int:
    """Index of the highest of the bins ``low .. high - 1``."""
    best = low
    for i in range(low, high):
        if probabilities[i] > probabilities[best]:
            best = i
    return best


@part()
def local_mean(probabilities: np.ndarray, centre: int, reach: int) -> float:
    """Probability-weighted mean bin within ``reach`` bins of ``centre`` (fractional bins)."""
    total, moment = 1e-12, 1e-12 * centre
    for i in range(max(0, centre - reach), min(probabilities.shape[0], centre + reach + 1)):
        total += probabilities[i]
        moment += probabilities[i] * i
    return moment / total


@part()
def mass_near(probabilities: np.ndarray, centre: float, reach: float) -> float:
    """Probability within ``reach`` bins of the fractional bin ``centre``, end bins counted in part."""
    total = 0.0
    first, last = int(max(0.0, centre - reach - 0.5)), int(min(probabilities.shape[0] - 1.0, centre + reach + 0.5))
    for i in range(first, last + 1):
        inside = min(1.0, max(0.0, reach + 0.5 - abs(i - centre)))
        total += inside * probabilities[i]
    return total


@compiled("void(float32[:, ::1], float64[::1], float64, int64, int64, float32[:, ::1], float32[:, ::1])")
def observe(
    logits: np.ndarray, odds: np.ndarray, floor: float, low: int, high: int, probabilities: np.ndarray, observed: np.ndarray
) -> None:
    """Rows of logits as what a decoder works on, only bins ``low .. high - 1`` taken for possible.

    ``odds`` [rows]. ``probabilities`` [rows, n]: softmax, 0 elsewhere. ``observed`` [rows, n + 1]: log-likelihoods of the bins
    relative to the best of them, and the row's ``odds`` more, ``floor`` at least; 0 for the state beside them.
    """
    n, least = logits.shape[1], np.float32(floor)
    for row in range(logits.shape[0]):
        given, soft, seen, more = logits[row], probabilities[row], observed[row], np.float32(odds[row])
        softmax(given, soft)
        soft[:low] = 0.0
        soft[high:] = 0.0
        best = given[peak(soft, low, high)]
        for i in range(n):
            seen[i] = max((given[i] - best if low <= i < high else least) + more, least)
        seen[n] = 0.0


@compiled("void(float32[:, ::1], int64[::1], int64, int64, int64, float64, float64[::1], float64[::1])")
def read(
    probabilities: np.ndarray, states: np.ndarray, low: int, high: int, mean_reach: int, reach: float, bins: np.ndarray, near: np.ndarray
) -> None:
    """The pitch in ``bins`` [rows] at each row's state, at the peak where there is no such bin; the probability within ``reach``
    of it, ``near`` [rows]."""
    for row in range(probabilities.shape[0]):
        soft = probabilities[row]
        centre = states[row] if states[row] < soft.shape[0] else peak(soft, low, high)
        bins[row] = local_mean(soft, centre, mean_reach)
        near[row] = mass_near(soft, bins[row], reach)
