"""Spectra as the compared systems take them in: fixed transforms, nothing trained.

Conventions: frame k of a waveform is centred on sample ``(k + 1) * hop``, the end of hop k, as in the published
model's own stage 1; beyond either end there is silence. ``[B, T * hop]`` in, T frames out.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

RANGE_NEPERS = 4.0 * float(np.log(10.0))  # 80 dB: what lies further under the loudest is taken for that


def centred_frames(waveform: Tensor, size: int, hop: int) -> Tensor:
    """``[B, T * hop] -> [B, T, size]``, a view."""
    half = size // 2
    padded = F.pad(waveform, (max(0, half - hop), half))
    return padded[:, max(0, hop - half) :].unfold(1, size, hop)[:, : waveform.size(1) // hop]


def magnitudes(waveform: Tensor, size: int, hop: int, bins: int) -> Tensor:
    """Magnitudes of the first ``bins`` bins of a Hann-windowed transform ``[B, T, bins]``."""
    window = torch.hann_window(size, device=waveform.device)
    return torch.fft.rfft(centred_frames(waveform, size, hop) * window)[..., :bins].abs()


def relative_level(magnitude: Tensor) -> Tensor:
    """Nepers re the recording's loudest, between -RANGE_NEPERS and 0 ``[B, ...]``.

    A statistic of the whole recording, as published: these systems hear files, not streams.
    """
    loudest = magnitude.flatten(1).amax(1).clamp(min=1e-9).view(-1, *[1] * (magnitude.dim() - 1))
    return torch.log((magnitude / loudest).clamp(min=float(np.exp(-RANGE_NEPERS))))


def log_frequency_bands(size: int, sample_rate: int, centre_hz: np.ndarray) -> np.ndarray:
    """Triangles over the bins of a transform, from centre to neighbouring centre, no narrower than a bin to
    either side, each summing to 1 [shape=(n_bands, size // 2 + 1)]."""
    hz = np.arange(size // 2 + 1) * sample_rate / size
    ratio = centre_hz[1] / centre_hz[0]
    width = np.maximum(centre_hz * (ratio - 1.0), sample_rate / size)
    bands = np.maximum(0.0, 1.0 - np.abs(hz[None] - centre_hz[:, None]) / width[:, None])
    return (bands / bands.sum(1, keepdims=True)).astype(np.float32)
