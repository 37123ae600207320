"""The published offline model, reconstructed from its description, out of the same parts as the live one.

Known (Chen, Li, Chi, ICASSP 2019): raw waveform in; two parallel 1-D convolutions with kernels of 64 and 960
samples, whose responses are two spectrogram-like graphs; 2-D Inception kernels over them, or (Multi-CNN, the
ablation) plain ones; a pitch posterior out; pre-training of the 1-D part alone. Inferred: one layer a branch,
128 kernels each, recordings brought to one level, rectification and log compression, strides, widths, and a
separate voicing output in place of an unvoiced class. Call it reconstructed, not the authors' model.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rt_melody.models.config import ModelConfig
from rt_melody.models.filterbank import FilterBank
from rt_melody.models.inception import BLOCKS, conv_bn
from rt_melody.models.network import Network, Output

LEVEL_RMS = 0.1  # to which a recording is brought
DENSE_CHANNELS = 8
DENSE_SIZE = 256


class Stage1(nn.Module):
    """Both banks over centred windows at a fine stride, rectified, pooled to hops and compressed: two graphs.

    A rectified response that is read once a hop depends on the sound's phase and flickers; hence the stride.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        if config.long_filters != config.short_filters:
            raise ValueError("the two graphs lie over each other: long_filters must equal short_filters")
        centres = config.position_hz(config.long_filters)
        make = lambda taps: FilterBank(taps, centres, config.sample_rate, config.bank_init, config.response)  # noqa: E731
        self.long_bank, self.short_bank = make(config.long_taps), make(config.short_taps)
        self.hop, self.stride = config.hop_samples, config.short_stride_samples
        self.norm = nn.BatchNorm2d(2)

    def forward(self, waveform: Tensor) -> Tensor:
        """``[B, T * hop] -> [B, 2, T, filters]``; frame k is centred on sample ``(k + 1) * hop``."""
        rms = waveform.square().mean(1, keepdim=True).sqrt()
        levelled = waveform * (LEVEL_RMS / (rms + 1e-6))
        graphs = [self._pooled(levelled, bank) for bank in (self.long_bank, self.short_bank)]
        return self.norm(torch.log1p(100.0 * torch.stack(graphs, 1)))

    def _pooled(self, waveform: Tensor, bank: FilterBank) -> Tensor:
        """The mean of a bank's rectified responses over each hop, weighed with its neighbours' by 1, 2, 1: a hop
        alone holds too few periods of a low voice to be steady ``[B, T, filters]``."""
        inner, half = self.hop // self.stride, bank.taps // 2
        first = self.hop - (inner - 1) * self.stride // 2  # centre of the first window
        count = waveform.size(1) // self.hop * inner
        padded = F.pad(waveform, (max(0, half - first), half + self.hop))[:, max(0, first - half) :]
        windows = padded.unfold(1, bank.taps, self.stride)[:, :count]
        hops = bank(windows).unflatten(1, (-1, inner)).mean(2)
        before, after = torch.cat([hops[:, :1], hops[:, :-1]], 1), torch.cat([hops[:, 1:], hops[:, -1:]], 1)
        return 0.25 * before + 0.5 * hops + 0.25 * after


class Stage1Alone(Network):
    """What is pre-trained: the banks with a dense layer to the pitch posterior on top."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        self.stage1 = Stage1(config)
        self.pitch = nn.Linear(2 * config.long_filters, config.pitch_bins)
        self.voicing = nn.Linear(2 * config.long_filters, 1)

    def whole(self, waveform: Tensor) -> Output:
        x = self.stage1(waveform).transpose(1, 2).flatten(2)
        return Output(self.pitch(x).unsqueeze(1), self.voicing(x))


class PaperNet(Network):
    """Stage 1, stage 2 (``config.stage2``: "inception" or "stacked"), dense head. Offline only."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        c = config.channels
        self.stage1 = Stage1(config)
        self.stem = conv_bn(2, c, 5)
        block = BLOCKS[config.stage2]
        self.blocks = nn.ModuleList([block(c, config.branch_channels, d, False) for d in config.dilations])
        self.squeeze = conv_bn(c, DENSE_CHANNELS)
        self.dense = nn.Linear(DENSE_CHANNELS * config.long_filters, DENSE_SIZE)
        self.pitch = nn.Linear(DENSE_SIZE, config.pitch_bins)
        self.voicing = nn.Linear(DENSE_SIZE, 1)

    def whole(self, waveform: Tensor) -> Output:
        """``[B, T * hop] -> Output`` with one head, which speaks of each hop's end."""
        with torch.autocast(waveform.device.type, enabled=False):
            graphs = self.stage1(waveform)
        x = torch.relu(self.stem(graphs))
        for block in self.blocks:
            x = block(x)
        x = torch.relu(self.squeeze(x)).transpose(1, 2).flatten(2)
        x = torch.relu(self.dense(x))
        return Output(self.pitch(x).unsqueeze(1), self.voicing(x))

    def take_stage1(self, pretrained: Stage1Alone) -> None:
        """Pre-trained banks, each sorted by the peak frequency of its kernels."""
        self.stage1.load_state_dict(pretrained.stage1.state_dict())
        for bank in (self.stage1.long_bank, self.stage1.short_bank):
            order = torch.from_numpy(peak_order(bank.weight.detach().cpu().numpy()))
            with torch.no_grad():
                bank.weight.copy_(bank.weight[order])


def peak_order(kernels: np.ndarray) -> np.ndarray:
    """Indices that sort kernels ``[shape=(n, taps)]`` by the frequency of their largest magnitude response."""
    response = np.abs(np.fft.rfft(kernels, 4096, axis=1))
    return np.argsort(response.argmax(1), kind="stable")
