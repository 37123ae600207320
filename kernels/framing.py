"""Circular storage of the model-rate signal, and windows cut out of it.

Sample n of the stream lies at ``ring[n % len(ring)]``; samples before the start of the stream are zeros.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit("void(float32[::1], int64, float32[::1], int64)", cache=True, nogil=True)
def put(ring, start, block, count):
    """Store ``block[:count]`` as samples ``start .. start + count - 1``; ``count <= len(ring)``."""
    size = ring.shape[0]
    at = start % size
    for i in range(count):
        ring[at] = block[i]
        at += 1
        if at == size:
            at = 0


@njit("void(float32[::1], int64, float32[::1])", cache=True, nogil=True)
def frame(ring, end, out):
    """The window of ``len(out)`` samples whose newest is sample ``end - 1``; ``len(out) <= len(ring)``."""
    size = ring.shape[0]
    at = (end - out.shape[0]) % size
    for i in range(out.shape[0]):
        out[i] = ring[at]
        at += 1
        if at == size:
            at = 0


@njit("int64(float32[::1], int64, float32[::1])", cache=True, nogil=True)
def copy_finite(block, count, out):
    """Copy ``block[:count]`` with NaN and Inf as 0, limited to +-8; how many were not finite."""
    bad = 0
    for i in range(count):
        x = block[i]
        if not np.isfinite(x):
            bad += 1
            x = np.float32(0.0)
        out[i] = min(max(x, np.float32(-8.0)), np.float32(8.0))
    return bad


@njit("float64(float32[::1], int64)", cache=True, nogil=True)
def level_db(window, count):
    """dBFS RMS of the newest ``count`` samples of a window, -120 at least."""
    total = 0.0
    for i in range(window.shape[0] - count, window.shape[0]):
        total += np.float64(window[i]) * np.float64(window[i])
    return 10.0 * np.log10(max(total / count, 1e-12))
