"""The Hybrid, a compared system, rebuilt: Chou, Chen and Chi, "A hybrid neural network based on the duplex model of
pitch perception for singing melody extraction", ICASSP 2018.

Known, from the paper's abstract and title and its rows in the later paper's tables: two networks after the two
models of pitch perception, a spectral one for resolved harmonics and a temporal one for unresolved harmonics; each
is tried alone, then they are merged into a composite network, in which the temporal model complements the spectral.

Inferred: all else. The spectral network takes levels on a log-frequency axis, 48 bands an octave, with two frames to
either side; the temporal one the autocorrelations of five bands, half-wave rectified and smoothed so that above the
first band only the envelope is left, over 64 ms, at lags of the pitch grid (the summary autocorrelation of Meddis
and O'Mard 1997 with few bands, as Tolonen and Karjalainen 2000 thin it out). Each is three dense layers; the
composite takes the last layer of both and adds two. All is trained together by the loss of every row of our table.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from rt_melody.models.config import ModelConfig
from rt_melody.models.mcdnn import LastNorm, dense, with_neighbours
from rt_melody.models.network import Network, Output
from rt_melody.models.spectrum import centred_frames, log_frequency_bands, magnitudes, relative_level

WINDOW_SAMPLES = 2048
SPECTRUM_BANDS, BANDS_PER_OCTAVE, LOWEST_HZ = 312, 48, 65.0  # up to 5.8 kHz
CONTEXT_FRAMES = 5
SIZES = (512, 384, 256)  # of either network
MERGED_SIZE = 384
TEMPORAL_BANDS_HZ = (60, 1000, 1700, 2700, 4200, 6500)  # edges
ENVELOPE_HZ = 1000.0  # above it phase locking fades, and so does our envelope
LAG_FRAME_SAMPLES = 1024  # whose autocorrelation is taken


class HybridNet(Network):
    """See the module text. Offline only; ``config`` gives rate, hop and pitch grid."""

    bands: Tensor
    lags: Tensor

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config, self.hop, self.rate = config, config.hop_samples, config.sample_rate
        centres = LOWEST_HZ * 2.0 ** (np.arange(SPECTRUM_BANDS) / BANDS_PER_OCTAVE)
        self.register_buffer("bands", torch.from_numpy(log_frequency_bands(WINDOW_SAMPLES, config.sample_rate, centres)).t())
        hz = 440.0 * 2.0 ** ((config.pitch_midi() - 69.0) / 12.0)
        self.register_buffer("lags", torch.from_numpy(config.sample_rate / hz).float())
        channels = len(TEMPORAL_BANDS_HZ) - 1
        self.spectral_norm, self.temporal_norm = LastNorm(SPECTRUM_BANDS), LastNorm(channels * config.pitch_bins)
        self.spectral = dense((CONTEXT_FRAMES * SPECTRUM_BANDS, *SIZES[:-1]), SIZES[-1])
        self.temporal = dense((channels * config.pitch_bins, *SIZES[:-1]), SIZES[-1])
        self.merged = dense((2 * SIZES[-1], MERGED_SIZE), config.pitch_bins + 1)

    def whole(self, waveform: Tensor) -> Output:
        """``[B, T * hop] -> Output`` with one head, which speaks of each hop's end."""
        with torch.autocast(waveform.device.type, enabled=False), torch.no_grad():
            magnitude = magnitudes(waveform, WINDOW_SAMPLES, self.hop, WINDOW_SAMPLES // 2 + 1)
            level = relative_level(magnitude @ self.bands)
            periodicity = self.periodicity(waveform)
        with torch.autocast(waveform.device.type, enabled=False):
            level, periodicity = self.spectral_norm(level), self.temporal_norm(periodicity)
        both = [self.spectral(with_neighbours(level, CONTEXT_FRAMES)), self.temporal(periodicity)]
        told = self.merged(torch.relu(torch.cat(both, 2)))
        return Output(told[..., :-1].unsqueeze(1), told[..., -1:])

    def periodicity(self, waveform: Tensor) -> Tensor:
        """Autocorrelation of each band at the period of each pitch bin, 1 at lag 0 ``[B, T, bands * pitch_bins]``."""
        several = []
        for low, high in pairwise(TEMPORAL_BANDS_HZ):
            rectified = torch.relu(band_passed(waveform, low, high, self.rate))
            envelope = band_passed(rectified, 0.0, ENVELOPE_HZ, self.rate)
            several.append(autocorrelation(centred_frames(envelope, LAG_FRAME_SAMPLES, self.hop), self.lags))
        return torch.cat(several, 2)


def band_passed(waveform: Tensor, low_hz: float, high_hz: float, rate: int) -> Tensor:
    """Without phase shift, slopes a tenth of each edge wide ``[B, n]``; ``low_hz`` 0 keeps all that is under ``high_hz``."""
    hz = torch.fft.rfftfreq(waveform.size(1), 1.0 / rate, device=waveform.device)
    gain = ((high_hz - hz) / (0.1 * high_hz) + 0.5).clamp(0.0, 1.0)
    if low_hz > 0:
        gain = gain * ((hz - low_hz) / (0.1 * low_hz) + 0.5).clamp(0.0, 1.0)
    return torch.fft.irfft(torch.fft.rfft(waveform) * gain, waveform.size(1))


def autocorrelation(frames: Tensor, lags: Tensor) -> Tensor:
    """Of each frame without its mean, at fractional ``lags`` in samples, 1 at lag 0; corrected for the shrinking
    overlap; 0 in silence ``[..., n] -> [..., lags]``."""
    size = frames.size(-1)
    power = torch.fft.rfft(frames - frames.mean(-1, keepdim=True), 2 * size).abs().square()
    whole = torch.fft.irfft(power, 2 * size)[..., :size]
    low = lags.floor().long()
    part = lags - low
    met = torch.lerp(whole[..., low], whole[..., low + 1], part) * (size / (size - lags))
    return met / (whole[..., :1] + 1e-6)
