"""How bright the newest sound is: the root mean square frequency of its spectrum, from two sums over the samples."""

from __future__ import annotations

from math import asin, pi, sqrt

import numpy as np

from rt_melody.kernels.compiled import compiled


@compiled("float64(float32[::1], int64)")
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


def brightness_hz(window: np.ndarray, count: int, sample_rate: int) -> float:
    """RMS frequency in Hz of the newest ``count`` samples of a window [shape=(n,), float32, contiguous]; 0: silence."""
    return asin(sqrt(mobility(window, count)) / 2.0) * sample_rate / pi
