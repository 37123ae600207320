"""How bright the newest sound is: the root mean square frequency of its spectrum, from two sums over the samples."""

from __future__ import annotations

from math import asin, pi, sqrt

import numpy as np

from rt_melody.kernels.compiled import compiled, part


@part()
def mobility(window: np.ndarray, count: int) -> float:
    """Power of the first difference over power of the newest ``count`` samples, 0..4; 0 where there is silence.

    Needs ``count < len(window)``. Of a sine of w radians a sample it is ``4 * sin(w / 2) ** 2``, whatever its
    level and phase, once the window holds some periods. Source: Hjorth's mobility (1970), squared.
    """
    power, change = 0.0, 0.0
    for i in range(window.shape[0] - count, window.shape[0]):
        x = np.float64(window[i])
        step = x - np.float64(window[i - 1])
        power += x * x
        change += step * step
    if power <= 1e-12 * count:
        return 0.0
    return min(4.0, change / power)


@compiled("void(float32[:, ::1], int64, float64[::1])")
def mobilities(windows: np.ndarray, count: int, out: np.ndarray) -> None:
    """``mobility`` of each window."""
    for i in range(windows.shape[0]):
        out[i] = mobility(windows[i], count)


def brightness_hz(mobility: float, sample_rate: int) -> float:
    """RMS frequency in Hz of a sound of that mobility; 0: silence."""
    return asin(sqrt(mobility) / 2.0) * sample_rate / pi
