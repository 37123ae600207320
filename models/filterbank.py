"""Stage 1: banks of 1-D kernels over the waveform, ordered along the kernel axis.

A kernel acts as the impulse response of a filter; its length sets the bandwidth of the analysis
(Chen, Li, Chi, ICASSP 2019). 960 taps at 16 kHz resolve harmonics, 64 taps resolve glottal pulses.

The published model trains its kernels from noise and sorts them. Here a bank may also start as windowed
sinusoids in quadrature at log-spaced frequencies, which orders the axis from the first step and makes
pitch a shift along it; training then moves every tap.

Time: windows end at the newest sample. Index 0 of a kernel meets the oldest sample.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

CYCLES = 24.0  # length of an initial kernel in periods of its frequency, until the taps run out
SKEW = 0.6  # of the window: below 1 its peak lies nearer the newest sample, so the bank answers sooner


def skewed_window(length: int) -> np.ndarray:
    """sin^2 window whose peak is at 0.5 ** (1 / SKEW) of its length before its end [shape=(length,)]."""
    age = (np.arange(length)[::-1] + 0.5) / length
    return np.sin(np.pi * age**SKEW) ** 2


def sinusoid_kernels(taps: int, centre_hz: np.ndarray, sample_rate: int, cycles: float = CYCLES) -> np.ndarray:
    """Quadrature pairs, cosines first [shape=(2 * n_filters, taps)].

    Scaled so that a sinusoid of amplitude 1 at the centre has modulus 1.
    """
    kernels = np.zeros((2, len(centre_hz), taps))
    for i, hz in enumerate(centre_hz):
        length = int(min(taps, max(cycles * sample_rate / hz, 32)))
        window = skewed_window(length)
        phase = 2.0 * np.pi * hz / sample_rate * np.arange(-length, 0)
        kernels[0, i, -length:] = window * np.cos(phase) * 2.0 / window.sum()
        kernels[1, i, -length:] = window * np.sin(phase) * 2.0 / window.sum()
    return kernels.reshape(2 * len(centre_hz), taps).astype(np.float32)


class FilterBank(nn.Module):
    """Waveform windows in, non-negative responses out.

    ``response="modulus"`` pairs kernel i with kernel n + i as a quadrature pair; ``"rectified"`` keeps
    the positive half of each kernel's output.
    """

    def __init__(self, taps: int, centre_hz: np.ndarray, sample_rate: int, init: str, response: str):
        super().__init__()
        if init not in ("sinusoid", "random") or response not in ("modulus", "rectified"):
            raise ValueError(f"bank init {init!r} or response {response!r} is unknown")
        self.taps = taps
        self.filters = len(centre_hz)
        self.modulus = response == "modulus"
        pairs = torch.from_numpy(sinusoid_kernels(taps, centre_hz, sample_rate))
        kernels = pairs if self.modulus else pairs[: self.filters].clone()
        if init == "random":
            kernels = torch.randn_like(kernels) / math.sqrt(taps)
        self.weight = nn.Parameter(kernels)

    def forward(self, windows: Tensor) -> Tensor:
        """``[..., taps] -> [..., filters]``."""
        y = torch.matmul(windows, self.weight.t())
        if self.modulus:
            re, im = y[..., : self.filters], y[..., self.filters :]
            return torch.sqrt(re * re + im * im + 1e-12)
        return torch.relu(y)
