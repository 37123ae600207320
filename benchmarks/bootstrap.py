"""How sure a mean over clips is: bootstrap intervals (Efron and Tibshirani 1993, chapter 13), the clips being drawn.

A comparison on the same clips is *paired*: its differences, one a clip, are what is drawn, so that what makes a clip hard in
both ways of hearing it does not widen the interval. Intervals are of percentiles: on 30 clips they are some 6 % narrower than
Student's and hold the truth 94 times in a hundred, on more of them sooner 95. They speak of other clips of the same singers, not of
other singers.
"""

from __future__ import annotations

import numpy as np

RESAMPLES = 10_000
FEWEST = 6  # values; of fewer no interval is told


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> float | None:
    """The mean of ``values`` by ``weights``, both [shape=(n,)]; None where all weigh nothing."""
    return float(values @ weights / weights.sum()) if weights.sum() > 0 else None


def interval(
    values: np.ndarray, weights: np.ndarray | None = None, seed: int = 0, level: float = 0.95, resamples: int = RESAMPLES
) -> tuple[float, float] | None:
    """Bounds of the mean of ``values`` [shape=(n,)] by ``weights`` [shape=(n,)], 0 or more, equal if None; for a paired comparison
    give its differences.

    None where fewer than FEWEST values weigh anything. The same arguments give the same bounds. Raises ValueError for
    shapes that differ, values that are not finite and negative weights.
    """
    values = np.asarray(values, float)
    weights = np.ones_like(values) if weights is None else np.asarray(weights, float)
    if values.ndim != 1 or values.shape != weights.shape or not np.isfinite(values).all() or not (weights >= 0).all():
        raise ValueError(f"values {values.shape} and weights {weights.shape} must be one finite number a clip, weights 0 or more")
    values, weights = values[weights > 0], weights[weights > 0]
    if len(values) < FEWEST:
        return None
    drawn = np.random.default_rng(seed).multinomial(len(values), np.full(len(values), 1.0 / len(values)), resamples)
    means = (drawn @ (weights * values)) / (drawn @ weights)
    low, high = np.quantile(means, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
