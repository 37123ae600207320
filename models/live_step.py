"""The live network as it runs: one hop of one stream, nothing computed twice.

``LiveStep(net)`` takes a trained ``TwoStageNet`` apart: normalisation is folded into the weights, 1x1
convolutions become matrix products, and each block keeps its past columns in a circular buffer, so that a
hop writes one column and reads those that its kernels meet. The numbers are those of ``net.whole``; tests
hold the two together.

Shapes have no batch: ``[channel, position]``. The state is explicit: the caller owns it, hands it in, and
goes on with what comes back; a state that was handed in is used up.
"""

from typing import List, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rt_melody.models.inception import InceptionBlock, StackedBlock
from rt_melody.models.network import COMPRESSION, GRAPH_SCALE, LEVEL_FALL, LEVEL_FLOOR, LEVEL_SAMPLES, TwoStageNet


# What a stream carries from hop to hop: hops taken so far; the peak-hold of the level, nepers [1]; each block's
# circular pasts [slots, channels, positions], the onset path's first; the hidden state of the recurrent context
# [1, context_size]. A plain tuple, because TorchScript makes a named one anew for Python at every call.
StreamState = Tuple[int, Tensor, List[List[Tensor]], Tensor]


def folded(weight: Tensor, norm: nn.BatchNorm2d) -> Tuple[Tensor, Tensor]:
    """Weight and bias of a convolution without bias followed by ``norm`` in evaluation."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    bias = norm.bias - norm.running_mean * scale
    return weight * scale.view(-1, 1, 1, 1), bias


def folded_pair(pair: nn.Sequential) -> Tuple[Tensor, Tensor]:
    return folded(pair[0].weight, pair[1])


class Constants(nn.Module):
    """A module whose tensors are constants: detached, contiguous copies."""

    def keep(self, **tensors: Tensor) -> None:
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.detach().clone().contiguous())


class Columns(Constants):
    """A kernel over time and positions, over a circular past: its weight as one 1-D kernel, and the slots it meets."""

    def __init__(self, weight: Tensor, bias: Tensor, dilation: int):
        super().__init__()
        taps = weight.size(2)
        self.slots = (taps - 1) * dilation + 1
        ages = torch.arange(taps - 1, -1, -1) * dilation  # oldest first, as in the kernel
        self.keep(
            met=(torch.arange(self.slots)[:, None] - ages) % self.slots,  # [newest slot, taps]
            weight=weight.permute(0, 2, 1, 3).flatten(1, 2),  # [out, taps * in, width]
            bias=bias,
        )
        self.channels = weight.size(1)
        self.half_width = weight.size(3) // 2

    def forward(self, x: Tensor, past: Tensor, hops: int) -> Tensor:
        """Store ``x [in, positions]``, the column of hop ``hops``, in ``past [slots, in, positions]``; the
        output's new column ``[out, positions]``."""
        slot = hops % self.slots
        past[slot].copy_(x)
        met = past.index_select(0, self.met[slot]).view(1, -1, x.size(1))
        return F.conv1d(met, self.weight, self.bias, padding=self.half_width)[0]


class Pointwise(Constants):
    """A folded 1x1 convolution."""

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.keep(weight=weight[:, :, 0, 0], bias=bias.unsqueeze(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, self.weight, x)


class Frequency(Constants):
    """A folded convolution over positions alone."""

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.keep(weight=weight[:, :, 0], bias=bias)
        self.half_width = weight.size(3) // 2

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(x.unsqueeze(0), self.weight, self.bias, padding=self.half_width)[0]


class InceptionStep(nn.Module):
    """One hop of an ``InceptionBlock``."""

    def __init__(self, block: InceptionBlock):
        super().__init__()
        self.b = b = block.b
        self.reduce = Pointwise(*folded_pair(block.reduce))
        norm = block.mix_norm
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        part = lambda conv, i: (  # noqa: E731
            conv.conv.weight * scale[i * b : i * b + b].view(-1, 1, 1, 1), shift[i * b : i * b + b]
        )
        self.wide, self.narrow = Frequency(*part(block.wide, 0)), Frequency(*part(block.narrow, 1))
        self.motion = Columns(*part(block.motion, 2), block.motion.dilation)
        self.hold = Columns(*part(block.hold, 3), block.hold.dilation)
        self.project = Pointwise(*folded_pair(block.project))

    def past(self, positions: int) -> List[Tensor]:
        """Silence, for each kernel over time."""
        return [
            torch.zeros(self.motion.slots, self.motion.channels, positions),
            torch.zeros(self.hold.slots, self.hold.channels, positions),
        ]

    def forward(self, x: Tensor, past: List[Tensor], hops: int) -> Tensor:
        wide, narrow, motion, hold = torch.split(torch.relu_(self.reduce(x)), self.b)
        branches = [
            self.wide(wide), self.narrow(narrow), self.motion(motion, past[0], hops), self.hold(hold, past[1], hops)
        ]
        return torch.relu_(self.project(torch.relu_(torch.cat(branches))).add_(x))


class StackedStep(nn.Module):
    """One hop of a ``StackedBlock``."""

    def __init__(self, block: StackedBlock):
        super().__init__()
        weight, bias = folded(block.conv.conv.weight, block.norm)
        self.conv = Columns(weight, bias, block.conv.dilation)

    def past(self, positions: int) -> List[Tensor]:
        return [torch.zeros(self.conv.slots, self.conv.channels, positions)]

    def forward(self, x: Tensor, past: List[Tensor], hops: int) -> Tensor:
        return torch.relu_(self.conv(x, past[0], hops))


STEPS = {InceptionBlock: InceptionStep, StackedBlock: StackedStep}


class LiveStep(Constants):
    """See the module text. Built from a trained network, which is put into evaluation mode."""

    def __init__(self, net: TwoStageNet):
        super().__init__()
        net = net.eval()
        c = net.config
        self.bins_per_position, self.context_size, self.positions = c.bins_per_position, c.context_size, c.positions
        self.long_filters, self.short_filters, self.slots = c.long_filters, c.short_filters, c.short_slots
        self.short_taps, self.short_stride = c.short_taps, c.short_stride_samples
        self.hop, self.tail = c.hop_samples, c.hop_samples + c.short_taps - c.short_stride_samples
        self.level_samples, self.level_floor, self.level_fall = LEVEL_SAMPLES, LEVEL_FLOOR, LEVEL_FALL
        self.compression, self.scale = COMPRESSION, GRAPH_SCALE

        self.before = max(0, -min(net.stack.shifts))
        self.after = max(0, max(net.stack.shifts) + c.positions - c.long_filters)
        shifts = torch.tensor(net.stack.shifts) + self.before
        prior_in, prior_out = net.pitch_prior
        self.keep(
            long_bank=net.long_bank.weight,
            short_bank=net.short_bank.weight.t(),
            lined_up=(shifts[:, None] + torch.arange(c.positions)[None]).flatten(),
            onset_weight=net.onset.out.weight, onset_bias=net.onset.out.bias,
            summary_weight=net.summary.weight, summary_bias=net.summary.bias,
            voicing_weight=net.voicing.weight, voicing_bias=net.voicing.bias,
            condition_weight=net.condition.weight, condition_bias=net.condition.bias,
            pitch_weight=net.pitch.weight[:, :, 0, 0], pitch_bias=net.pitch.bias.unsqueeze(1),
            prior_weight=prior_out.weight @ prior_in.weight,
            prior_bias=prior_out.bias + prior_out.weight @ prior_in.bias,
            input_weight=net.recurrent.weight_ih_l0, input_bias=net.recurrent.bias_ih_l0,
            hidden_weight=net.recurrent.weight_hh_l0, hidden_bias=net.recurrent.bias_hh_l0,
        )
        self.stem = Frequency(*folded_pair(net.stem))
        self.blocks = nn.ModuleList([STEPS[type(block)](block) for block in net.blocks])
        self.onset_stem = Frequency(*folded_pair(net.onset.stem))
        self.onset = StackedStep(net.onset.block)
        self.attention = Pointwise(net.attention.weight, net.attention.bias)
        self.refine = Pointwise(*folded_pair(net.refine))

    def initial_state(self) -> StreamState:
        """The state of a stream that has heard nothing but silence."""
        columns = [self.onset.past(self.short_filters)]
        for block in self.blocks:
            columns.append(block.past(self.positions))
        return 0, torch.full((1,), self.level_floor), columns, torch.zeros(1, self.context_size)

    def forward(self, window: Tensor, state: StreamState, head: int) -> Tuple[Tensor, Tensor, StreamState]:
        """``window [long_taps]``, its newest ``hop_samples`` new -> what ``head`` says of it: pitch logits
        ``[pitch_bins]``, voicing logit ``[]``; and the next state."""
        hops, held, columns, context = state
        newest = self._level(window, self.hop)
        held = torch.maximum(held - self.level_fall, self._level(window, self.level_samples))
        held = held.clamp_(min=self.level_floor)
        gain = self.compression * torch.exp(-held)

        x = torch.relu_(self.stem(self._long_graph(window, gain)))
        for i, block in enumerate(self.blocks):
            x = block(x, columns[i + 1], hops)
        onset = self.onset(torch.relu_(self.onset_stem(self._short_graph(window, gain))), columns[0], hops)
        onset = torch.relu_(torch.addmv(self.onset_bias, self.onset_weight, onset.flatten()))

        attended = torch.mm(torch.softmax(self.attention(x), 1), x.t()).flatten()
        summary = torch.cat([attended, x.amax(1), x.mean(1), onset, newest - held, 0.2 * held])
        joined = torch.relu_(torch.addmv(self.summary_bias, self.summary_weight, summary))
        hidden = torch.gru_cell(
            joined.unsqueeze(0), context, self.input_weight, self.hidden_weight, self.input_bias, self.hidden_bias
        )
        pitch, voicing = self._read(x, joined, hidden[0], head)
        return pitch, voicing, (hops + 1, held, columns, hidden)

    def _level(self, window: Tensor, count: int) -> Tensor:
        """RMS of the newest ``count`` samples, nepers ``[1]``."""
        return 0.5 * torch.log(window[window.size(0) - count :].square().mean().view(1) + 1e-12)

    def _long_graph(self, window: Tensor, gain: Tensor) -> Tensor:
        """Stage 1, long bank, harmonics lined up ``[harmonics, positions]``."""
        y = torch.mv(self.long_bank, window).view(2, self.long_filters)
        modulus = torch.sqrt_(y.square_().sum(0).add_(1e-12))
        graph = F.pad(torch.log1p_(gain * modulus).mul_(self.scale), (self.before, self.after))
        return graph.index_select(0, self.lined_up).view(-1, self.positions)

    def _short_graph(self, window: Tensor, gain: Tensor) -> Tensor:
        """Stage 1, short bank, pooled ``[slots, short_filters]``."""
        newest = window[window.size(0) - self.tail :].unfold(0, self.short_taps, self.short_stride)
        y = torch.mm(newest, self.short_bank).view(self.slots, -1, 2, self.short_filters)
        pooled = torch.sqrt_(y.square_().sum(2).add_(1e-12)).mean(1)
        return torch.log1p_(gain * pooled).mul_(self.scale)

    def _read(self, x: Tensor, joined: Tensor, context: Tensor, head: int) -> Tuple[Tensor, Tensor]:
        voicing = torch.dot(self.voicing_weight[head], torch.cat([joined, context])) + self.voicing_bias[head]
        shift = torch.addmv(self.condition_bias, self.condition_weight, context).unsqueeze(1)
        refined = torch.relu_(self.refine(x).add_(shift))
        first, n = head * self.bins_per_position, self.bins_per_position
        bins = torch.addmm(self.pitch_bias[first : first + n], self.pitch_weight[first : first + n], refined)
        logits = torch.addmv(self.prior_bias, self.prior_weight, context)
        return logits + bins.t().reshape(-1), voicing
