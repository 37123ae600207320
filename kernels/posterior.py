"""Reading a pitch posterior: probabilities, the peak, the pitch between bins, how sure.

Bins are evenly spaced in pitch; a reading is in bins (fractional), for the caller to map.
"""

from __future__ import annotations

import numpy as np

from rt_melody.kernels.compiled import compiled


@compiled("void(float32[::1], float32[::1])")
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


@compiled("int64(float32[::1], int64, int64)")
def peak(probabilities: np.ndarray, low: int, high: int) -> int:
    """Index of the highest of the bins ``low .. high - 1``."""
    best = low
    for i in range(low, high):
        if probabilities[i] > probabilities[best]:
            best = i
    return best


@compiled("float64(float32[::1], int64, int64)")
def local_mean(probabilities: np.ndarray, centre: int, reach: int) -> float:
    """Probability-weighted mean bin within ``reach`` bins of ``centre`` (fractional bins)."""
    total, moment = 1e-12, 1e-12 * centre
    for i in range(max(0, centre - reach), min(probabilities.shape[0], centre + reach + 1)):
        total += probabilities[i]
        moment += probabilities[i] * i
    return moment / total


@compiled("float64(float32[::1], float64, float64)")
def mass_near(probabilities: np.ndarray, centre: float, reach: float) -> float:
    """Probability within ``reach`` bins of the fractional bin ``centre``, end bins counted in part."""
    total = 0.0
    for i in range(probabilities.shape[0]):
        inside = min(1.0, max(0.0, reach + 0.5 - abs(i - centre)))
        total += inside * probabilities[i]
    return total
