"""Circular storage of the model-rate signal, and windows cut out of it.

Sample n of the stream lies at ``ring[n % len(ring)]``; samples before the start of the stream are zeros.
"""

from __future__ import annotations

import numpy as np

from rt_melody.kernels.compiled import compiled, part

LIMIT = 2.0  # full scale is 1; what exceeds it further is a fault that must not deafen the level's peak-hold


@compiled("void(float32[::1], int64, float32[::1], int64)")
def put(ring: np.ndarray, start: int, block: np.ndarray, count: int) -> None:
    """Store ``block[:count]`` as samples ``start .. start + count - 1``; ``count <= len(ring)``."""
    at = start % ring.shape[0]
    fit = min(count, ring.shape[0] - at)
    ring[at : at + fit] = block[:fit]
    ring[: count - fit] = block[fit:count]


@compiled("void(float32[::1], int64, int64, float32[:, ::1])")
def cut(ring: np.ndarray, end: int, hop: int, windows: np.ndarray) -> None:
    """Fill ``windows`` [n, taps] one after the other: the newest sample of the first is ``end - 1``, of each other ``hop`` later;
    all of them must be in the ring."""
    size, taps = ring.shape[0], windows.shape[1]
    for i in range(windows.shape[0]):
        at = (end + i * hop - taps) % size
        fit = min(taps, size - at)
        windows[i, :fit] = ring[at : at + fit]
        windows[i, fit:] = ring[: taps - fit]


@compiled("int64(float32[::1], float64, float64[::1], float32[::1])")
def condition(block: np.ndarray, keep: float, state: np.ndarray, out: np.ndarray) -> int:
    """Copy ``block`` without what no voice is; how many values were not finite.

    NaN and Inf count as 0, values are limited to +-LIMIT, and DC is blocked by
    ``y[n] = x[n] - x[n - 1] + keep * y[n - 1]`` (one zero at 0 Hz, one pole; ``state``: x and y before, x NaN
    where the stream begins, so that an offset that was always there makes no step).
    """
    bad = 0
    before, y = state[0], state[1]
    for i in range(block.shape[0]):
        x = np.float64(block[i])
        if not np.isfinite(x):
            bad += 1
            x = 0.0
        x = min(max(x, -LIMIT), LIMIT)
        if np.isnan(before):
            before = x
        y = x - before + keep * y
        before = x
        out[i] = y
    state[0], state[1] = before, y
    return bad


@part()
def level_db(window: np.ndarray, count: int) -> float:
    """dBFS RMS of the newest ``count`` samples of a window, -120 at least."""
    total = 0.0
    for i in range(window.shape[0] - count, window.shape[0]):
        total += np.float64(window[i]) * np.float64(window[i])
    return 10.0 * np.log10(max(total / count, 1e-12))


@compiled("void(float32[:, ::1], int64, float64[::1])")
def levels_db(windows: np.ndarray, count: int, out: np.ndarray) -> None:
    """``level_db`` of each window."""
    for i in range(windows.shape[0]):
        out[i] = level_db(windows[i], count)
