"""Reads a stream behind its newest sample by any delay that changes slowly: a windowed sinc at a fraction of a sample."""

from __future__ import annotations

import numpy as np

from rt_melody.kernels.compiled import compiled

HALF = 8  # taps either side: a fraction of a sample needs so many newer ones
PHASES = 512  # fractions of a sample that are told apart: noise about 60 dB down
KAISER_BETA = 6.0


@compiled("void(float32[::1], int64, float64, float64, float32[:, ::1], float32[::1])")
def read_behind(
    ring: np.ndarray,
    written: int,
    first_delay: float,
    last_delay: float,
    table: np.ndarray,
    out: np.ndarray,
) -> None:
    """Fill ``out`` with what lies behind the newest samples by a delay that goes evenly from the first to the last.

    Sample n of the stream is ``ring[n % len(ring)]``; ``written`` are there, of which ``out`` answers the newest. A whole
    number of samples is read as it is; any other delay must be HALF at least.
    """
    size, count = ring.shape[0], out.shape[0]
    for i in range(count):
        position = written - count + i - (first_delay + (last_delay - first_delay) * (i + 1) / count)
        whole = np.int64(np.floor(position))
        phase = np.int64(np.rint((position - whole) * PHASES))
        if phase == PHASES:
            whole, phase = whole + 1, 0
        if phase == 0:
            out[i] = ring[whole % size]
            continue
        total = np.float32(0.0)
        for tap in range(2 * HALF):
            total += ring[(whole - HALF + 1 + tap) % size] * table[phase, tap]
        out[i] = total


def fraction_table() -> np.ndarray:
    """Taps for each fraction of a sample [shape=(PHASES, 2 * HALF)], each row summing to 1."""
    offsets = np.arange(-HALF + 1, HALF + 1)[None, :] - np.arange(PHASES)[:, None] / PHASES
    taps = np.sinc(offsets) * np.i0(KAISER_BETA * np.sqrt(np.clip(1.0 - (offsets / HALF) ** 2, 0.0, None)))
    return np.ascontiguousarray(taps / taps.sum(1, keepdims=True), dtype=np.float32)
