"""The two-stage multi-resolution network: waveform in, pitch posterior and voicing out.

Reconstructed from the published description (Chen, Li, Chi, ICASSP 2019), and made causal. Data flow::

    window of 960 samples -> long bank  -> harmonic stack -> Inception blocks -> pitch logits
                          -> short bank -> onset path ----\\-> recurrent context -> voicing logits

Responses are taken relative to a causal peak-hold of the level, so that a whisper and a shout look alike;
no statistic looks ahead.

This is the network as it is trained, over whole recordings. Live it runs hop by hop in the form that
``live_step.LiveStep`` makes of it, with the same numbers.
"""

import math
from typing import NamedTuple, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rt_melody.models.config import ModelConfig
from rt_melody.models.filterbank import FilterBank
from rt_melody.models.inception import BLOCKS, conv_bn

LEVEL_SAMPLES = 480  # newest samples whose RMS is the level
LEVEL_FLOOR = math.log(3e-4)  # nepers re full scale: the peak-hold rests here in silence (-70 dBFS)
LEVEL_FALL = 3.0 / 8.686 * 0.01  # nepers a hop: the peak-hold falls 3 dB a second
LEVEL_SCALE = 0.2  # brings the peak-hold to about -1.6..0
COMPRESSION = 300.0  # log1p(COMPRESSION * response / level): about 50 dB of range
GRAPH_SCALE = 0.2  # brings compressed responses to about 0..1
SHORT_RANGE_HZ = (120.0, 7200.0)  # centres of the short bank's first and last filter


class Output(NamedTuple):
    """One row a hop and head; head i speaks of ``look_ahead_ms[i]`` before the hop's end."""

    pitch_logits: Tensor  # [B, heads, T, pitch_bins]
    voicing_logits: Tensor  # [B, T, heads]


class HarmonicStack(nn.Module):
    """Channel h holds the log-frequency graph shifted by log(h): harmonics of one f0 line up.

    Positions beyond the bank read 0, which is silence.
    """

    def __init__(self, harmonics: Tuple[float, ...], bins_per_octave: int, positions: int):
        super().__init__()
        self.shifts = [round(bins_per_octave * math.log2(h)) for h in harmonics]
        self.positions = positions

    def forward(self, graph: Tensor) -> Tensor:
        """``[B, T, filters] -> [B, harmonics, T, positions]``."""
        before = max(0, -min(self.shifts))
        after = max(0, max(self.shifts) + self.positions - graph.size(2))
        padded = F.pad(graph, (before, after))
        rows = [padded[:, :, before + s : before + s + self.positions] for s in self.shifts]
        return torch.stack(rows, 1)


class OnsetPath(nn.Module):
    """The short bank's graph condensed to one vector a frame: consonants, breath, attacks, drums."""

    def __init__(self, slots: int, filters: int, size: int, causal: bool):
        super().__init__()
        self.stem = conv_bn(slots, 12, 5)
        self.block = BLOCKS["stacked"](12, 0, 1, causal)
        self.out = nn.Linear(12 * filters, size)

    def forward(self, graph: Tensor) -> Tensor:
        """``[B, slots, T, filters] -> [B, T, size]``."""
        x = self.block(torch.relu(self.stem(graph)))
        return torch.relu(self.out(x.transpose(1, 2).flatten(2)))


class Network(nn.Module):
    """What all networks have in common: they are trained and evaluated on whole recordings."""

    def whole(self, waveform: Tensor) -> Output:
        """``[B, T * hop] -> Output`` over T hops."""
        raise NotImplementedError


class WholeRecording(nn.Module):
    """The training face as a module of its own, for DistributedDataParallel."""

    def __init__(self, net: Network):
        super().__init__()
        self.net = net

    def forward(self, waveform: Tensor) -> Output:
        return self.net.whole(waveform)


class TwoStageNet(Network):
    """See the module text. ``config`` is the whole truth of the shape."""

    ATTENTION_HEADS = 4
    ONSET_SIZE = 48

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        c, heads = config.channels, len(config.look_ahead_ms)
        self.hop, self.taps = config.hop_samples, config.long_taps
        self.filters = config.long_filters
        self.short_taps, self.short_stride = config.short_taps, config.short_stride_samples
        self.slots, self.heads = config.short_slots, heads

        self.long_bank = FilterBank(
            config.long_taps, config.position_hz(config.long_filters), config.sample_rate,
            config.bank_init, config.response,
        )
        low, high = SHORT_RANGE_HZ
        centres = low * (high / low) ** (torch.arange(config.short_filters).numpy() / (config.short_filters - 1))
        self.short_bank = FilterBank(config.short_taps, centres, config.sample_rate, config.bank_init, config.response)

        self.stack = HarmonicStack(config.harmonics, config.bins_per_octave, config.positions)
        if config.positions % config.coarseness:
            raise ValueError(f"{config.positions} positions cannot be told in steps of {config.coarseness}")
        self.stem = conv_bn(len(config.harmonics), c, 5, config.coarseness)
        block = BLOCKS[config.stage2]
        widths = (config.wide_positions, config.narrow_positions)
        self.blocks = nn.ModuleList([block(c, config.branch_channels, d, config.causal, widths) for d in config.dilations])
        self.onset = OnsetPath(config.short_slots, config.short_filters, self.ONSET_SIZE, config.causal)

        self.attention = nn.Conv2d(c, self.ATTENTION_HEADS, 1)
        summary = (self.ATTENTION_HEADS + 2) * c + self.ONSET_SIZE + 2
        self.summary = nn.Linear(summary, config.context_size)
        self.recurrent = nn.GRU(config.context_size, config.context_size, batch_first=True)
        self.voicing = nn.Linear(2 * config.context_size, heads)
        self.condition = nn.Linear(config.context_size, c)
        self.refine = conv_bn(c, c)
        self.pitch = nn.Conv2d(c, heads * config.bins_per_position * config.coarseness, 1)
        self.pitch_prior = nn.Sequential(nn.Linear(config.context_size, 24), nn.Linear(24, config.pitch_bins))

    def whole(self, waveform: Tensor) -> Output:
        """``[B, T * hop] -> Output`` over T hops, from the state of a fresh stream."""
        frames = F.pad(waveform, (self.taps - self.hop, 0)).unfold(1, self.taps, self.hop)
        with torch.autocast(waveform.device.type, enabled=False):
            newest, held = self._level(frames)
            held = self._hold_whole(held)
            long, short = self._graphs(frames, held)
        x = torch.relu(self.stem(self.stack(long)))
        for block in self.blocks:
            x = block(x)
        joined = self._summarise(x, self.onset(short), newest, held)
        with torch.autocast(waveform.device.type, enabled=False):
            context, _ = self.recurrent(joined.float())
        return self._heads(x, joined, context)

    def _hold_whole(self, level: Tensor) -> Tensor:
        fall = LEVEL_FALL * torch.arange(level.size(1), device=level.device, dtype=level.dtype)
        rising, _ = torch.cummax(level + fall, 1)
        return torch.clamp(rising - fall, min=LEVEL_FLOOR)

    def _level(self, frames: Tensor) -> Tuple[Tensor, Tensor]:
        """RMS of the newest hop and of the newest 30 ms, nepers ``[B, T]`` each."""
        newest = frames[:, :, self.taps - self.hop :].square().mean(2)
        level = frames[:, :, self.taps - LEVEL_SAMPLES :].square().mean(2)
        return 0.5 * torch.log(newest + 1e-12), 0.5 * torch.log(level + 1e-12)

    def _graphs(self, frames: Tensor, held: Tensor) -> Tuple[Tensor, Tensor]:
        """Stage 1: the two spectrogram-like graphs ``[B, T, filters]`` and ``[B, slots, T, short_filters]``."""
        gain = (COMPRESSION * torch.exp(-held)).unsqueeze(2)
        long = torch.log1p(gain * self.long_bank(frames))
        tail = frames[:, :, self.taps - self.hop - self.short_taps + self.short_stride :]
        short = self.short_bank(tail.unfold(2, self.short_taps, self.short_stride))
        b, t, n, f = short.shape
        pooled = short.view(b, t, self.slots, n // self.slots, f).mean(3)
        short = torch.log1p(gain.unsqueeze(3) * pooled).transpose(1, 2)
        return long * GRAPH_SCALE, short * GRAPH_SCALE

    def _summarise(self, x: Tensor, onset: Tensor, newest: Tensor, held: Tensor) -> Tensor:
        """One vector a frame: what is at the attended pitches, how loud, how sharp ``[B, T, context]``."""
        weights = torch.softmax(self.attention(x).float(), 3).to(x.dtype)
        attended = torch.einsum("bctf,batf->btac", x, weights).flatten(2)
        pooled = torch.cat([x.amax(3), x.mean(3)], 1).transpose(1, 2)
        level = torch.stack([newest - held, LEVEL_SCALE * held], 2).to(x.dtype)
        return torch.relu(self.summary(torch.cat([attended, pooled, onset, level], 2)))

    def _heads(self, x: Tensor, joined: Tensor, context: Tensor) -> Output:
        voicing = self.voicing(torch.cat([joined, context], 2))
        shift = self.condition(context).transpose(1, 2).unsqueeze(3)
        logits = self.pitch(torch.relu(self.refine(x) + shift))
        b, _, t, f = logits.shape
        bins = logits.view(b, self.heads, -1, t, f).permute(0, 1, 3, 4, 2).flatten(3)
        return Output(bins + self.pitch_prior(context).unsqueeze(1), voicing)
