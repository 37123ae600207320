"""The live network as it runs: one hop of one stream, nothing computed twice.

``LiveStep(net)`` takes a trained ``TwoStageNet`` apart: normalisation is folded into the weights, every
convolution is one matrix product, and each kernel over time keeps its past columns in a ring, so that a hop
writes one column and reads those that its kernel meets. The numbers are those of ``net.whole``; tests hold
the two together.

Shapes have no batch: ``[position, channel]``, in which the neighbours of a position lie side by side and a
kernel's field is a row of a matrix. The state is explicit and the caller's: what a hop replaces comes back, what it
writes into is handed in again.
"""

import math
from typing import TYPE_CHECKING, List, Tuple, cast

import torch
from torch import Tensor, nn

from rt_melody.models.inception import InceptionBlock, StackedBlock
from rt_melody.models.network import COMPRESSION, GRAPH_SCALE, LEVEL_FALL, LEVEL_FLOOR, LEVEL_SAMPLES, LEVEL_SCALE, TwoStageNet

# What a stream carries from hop to hop. Plain tuples and few tensors, because TorchScript turns each of them into its
# own kind at every call.
# Replaced: hops taken so far; the peak-hold of the level, nepers [1]; the hidden state of the recurrent context
# [1, context_size].
Carried = Tuple[int, Tensor, Tensor]
# Written into: the past of each kernel over time, a list for each block, the onset path's first; room to work in, so
# that no hop has to allocate it, with the views of it that a hop needs, in four lists: for the onset path's two steps,
# for the long graph, and for the blocks, which share it.
Memory = Tuple[List[List[Tensor]], List[List[Tensor]]]


def folded(weight: Tensor, norm: nn.BatchNorm2d) -> Tuple[Tensor, Tensor]:
    """Weight and bias of a convolution without bias followed by ``norm`` in evaluation."""
    scale, shift = scale_and_shift(norm)
    return weight * scale.view(-1, 1, 1, 1), shift


def scale_and_shift(norm: nn.BatchNorm2d) -> Tuple[Tensor, Tensor]:
    """What ``norm`` does to each channel in evaluation: ``x * scale + shift``."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None  # it is one that tracks them
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    return scale, norm.bias - mean * scale


def folded_pair(pair: nn.Sequential) -> Tuple[Tensor, Tensor]:
    conv, norm = cast("tuple[nn.Conv2d, nn.BatchNorm2d]", tuple(pair))
    return folded(conv.weight, norm)


def branch_weights(block: InceptionBlock) -> Tuple[List[Tensor], Tensor]:
    """Weights of the four branches, wide, narrow, motion, hold, and the bias of all of them side by side."""
    scale, bias = scale_and_shift(block.mix_norm)
    branches = (block.wide, block.narrow, block.motion, block.hold)
    return [branch.conv.weight * part.view(-1, 1, 1, 1) for branch, part in zip(branches, scale.split(block.b))], bias


def as_rows(weight: Tensor) -> Tensor:
    """A kernel over positions alone as a matrix ``[width * in, out]`` for fields that are rows."""
    return weight[:, :, 0].permute(2, 1, 0).flatten(0, 1)


class Constants(nn.Module):
    """A module whose tensors are constants: detached, contiguous copies."""

    if TYPE_CHECKING:  # what ``keep`` registers

        def __getattr__(self, name: str) -> Tensor: ...

    def keep(self, **tensors: Tensor) -> None:
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.detach().clone().contiguous())


class Pointwise(Constants):
    """A folded 1x1 convolution."""

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.keep(weight=weight[:, :, 0, 0].t(), bias=bias)

    def into(self, x: Tensor, out: Tensor) -> Tensor:
        """``x [positions, in]`` -> ``out [positions, out]``."""
        return torch.addmm(self.bias, x, self.weight, out=out)

    def onto(self, x: Tensor, total: Tensor) -> Tensor:
        """The same, added to what ``total`` holds."""
        return total.add_(self.bias).addmm_(x, self.weight)


class Frequency(Constants):
    """A folded kernel over positions alone."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.channels, self.width = weight.size(1), weight.size(3)
        self.keep(weight=as_rows(weight))

    def room(self, positions: int, like: Tensor) -> List[Tensor]:
        """A column that lies between margins of zeros; the fields that the kernel meets in both, a row each; room for
        a copy of them, side by side."""
        within, field = like.new_zeros([positions + self.width - 1, self.channels]), self.width * self.channels
        column = within.narrow(0, self.width // 2, positions)
        return [column, within.as_strided((positions, field), (self.channels, 1)), like.new_zeros([positions, field])]

    def forward(self, x: Tensor, column: Tensor, met: Tensor, fields: Tensor) -> Tensor:
        """``x [positions, in]``, rectified -> its fields ``[positions, width * in]``, to be multiplied by ``weight``."""
        torch.clamp_min(x, 0.0, out=column)
        return fields.copy_(met)


class Columns(Constants):
    """A folded kernel over time and positions.

    Its past ``[dilation, positions + margins, taps * in]`` holds the columns that it will meet: a hop belongs to the
    ring of its remainder by the dilation, where it takes the place of the oldest column. The weight is kept once for
    each place that the newest column may have, so that a ring need not be turned.
    """

    def __init__(self, weight: Tensor, dilation: int):
        super().__init__()
        self.channels = weight.size(1)
        self.taps, self.width, self.dilation = weight.size(2), weight.size(3), dilation
        oldest_first = weight.permute(3, 2, 1, 0)  # [width, taps, in, out]
        turned = [oldest_first.roll(newest + 1, 1).flatten(0, 2) for newest in range(self.taps)]
        self.keep(weight=torch.stack(turned))  # [newest, width * taps * in, out]
        self.out = weight.size(0)

    def past(self, positions: int, like: Tensor) -> Tensor:
        return like.new_zeros([self.dilation, positions + self.width - 1, self.taps * self.channels])

    def room(self, positions: int, like: Tensor) -> List[Tensor]:
        """For a copy of the fields that the kernel meets, a row each."""
        return [like.new_zeros([positions, self.width * self.taps * self.channels])]

    def forward(self, x: Tensor, past: Tensor, hops: int, fields: Tensor) -> Tuple[Tensor, Tensor]:
        """``x [positions, in]``, rectified, is the column of hop ``hops`` -> its fields
        ``[positions, width * taps * in]`` and the weight that they are multiplied by."""
        n, c, row = x.size(0), self.channels, self.taps * self.channels
        field = self.width * row
        turn = hops // self.dilation
        first = (hops - turn * self.dilation) * (n + self.width - 1) * row  # of the hop's ring
        newest = turn % self.taps
        torch.clamp_min(x, 0.0, out=past.as_strided((n, c), (row, 1), first + (self.width // 2) * row + newest * c))
        met = past.as_strided((n, field), (row, 1), first)
        weight = self.weight.as_strided((field, self.out), (self.out, 1), newest * field * self.out)
        return fields.copy_(met) if self.width > 1 else met, weight


class InceptionStep(Constants):
    """One hop of an ``InceptionBlock``."""

    def __init__(self, block: InceptionBlock):
        super().__init__()
        b = block.b
        self.parts = [b, b, b, b]
        self.reduce = Pointwise(*folded_pair(block.reduce))
        (wide, narrow, motion, hold), bias = branch_weights(block)
        self.wide, self.narrow = Frequency(wide), Frequency(narrow)
        self.motion, self.hold = Columns(motion, block.motion.dilation), Columns(hold, block.hold.dilation)
        self.keep(bias=bias)  # of the four branches, side by side
        self.project = Pointwise(*folded_pair(block.project))

    def past(self, positions: int, like: Tensor) -> List[Tensor]:
        return [self.motion.past(positions, like), self.hold.past(positions, like)]

    def room(self, positions: int, like: Tensor) -> List[Tensor]:
        """Alike for all blocks of a network: what the branches take, together and each, what they give, likewise, and
        each branch's own."""
        taken, given = [like.new_zeros([positions, sum(self.parts)]) for _ in range(2)]
        return (
            [taken] + list(taken.split_with_sizes(self.parts, 1)) + [given] + list(given.split_with_sizes(self.parts, 1))
            + self.wide.room(positions, like) + self.narrow.room(positions, like)
            + self.motion.room(positions, like) + self.hold.room(positions, like)
        )

    def forward(self, x: Tensor, past: List[Tensor], hops: int, room: List[Tensor]) -> Tensor:
        """``x [positions, channels]`` is overwritten."""
        taken, wide, narrow, motion, hold, given, o1, o2, o3, o4, c1, m1, f1, c2, m2, f2, f3, f4 = room
        self.reduce.into(x, taken)
        given.copy_(self.bias)
        o1.addmm_(self.wide(wide, c1, m1, f1), self.wide.weight)
        o2.addmm_(self.narrow(narrow, c2, m2, f2), self.narrow.weight)
        motion_met, motion_weight = self.motion(motion, past[0], hops, f3)
        o3.addmm_(motion_met, motion_weight)
        hold_met, hold_weight = self.hold(hold, past[1], hops, f4)
        o4.addmm_(hold_met, hold_weight)
        return torch.relu_(self.project.onto(given.relu_(), x))


class StackedStep(Constants):
    """One hop of a ``StackedBlock``. Takes what was not yet rectified, as the onset path's stem leaves it."""

    def __init__(self, block: StackedBlock):
        super().__init__()
        weight, bias = folded(block.conv.conv.weight, block.norm)
        self.conv = Columns(weight, block.conv.dilation)
        self.keep(bias=bias)

    def past(self, positions: int, like: Tensor) -> List[Tensor]:
        return [self.conv.past(positions, like)]

    def room(self, positions: int, like: Tensor) -> List[Tensor]:
        return self.conv.room(positions, like) + [like.new_zeros([positions, self.bias.size(0)])]

    def forward(self, x: Tensor, past: List[Tensor], hops: int, room: List[Tensor]) -> Tensor:
        fields, out = room
        met, weight = self.conv(x, past[0], hops, fields)  # before ``out`` is written to: it may be ``x``
        return torch.addmm(self.bias, met, weight, out=out).relu_()


STEPS = {InceptionBlock: InceptionStep, StackedBlock: StackedStep}


class LiveStep(Constants):
    """See the module text. Built from a trained network, which is put into evaluation mode."""

    def __init__(self, net: TwoStageNet):
        super().__init__()
        net = net.eval()
        c = net.config
        self.context_size, self.positions = c.context_size, c.positions
        self.long_filters, self.short_filters, self.slots = c.long_filters, c.short_filters, c.short_slots
        self.short_taps, self.short_stride = c.short_taps, c.short_stride_samples
        self.tail = c.hop_samples + c.short_taps - c.short_stride_samples
        self.level_floor = LEVEL_FLOOR

        shifts = torch.tensor(net.stack.shifts)
        self.before = max(0, -int(shifts.min())) + 1  # at least one zero, the first, stands for what lies outside
        self.after = max(0, int(shifts.max()) + c.positions - c.long_filters)
        stem_weight, stem_bias = folded_pair(net.stem)
        width = stem_weight.size(3)
        at = torch.arange(c.positions)[:, None] + torch.arange(width) - width // 2
        met = at[:, :, None] + shifts + self.before  # [positions, width, harmonics]
        met[(at < 0) | (at >= c.positions)] = 0
        by_position = net.onset.out.weight.unflatten(1, (-1, c.short_filters)).transpose(1, 2)
        refine_weight, refine_bias = folded_pair(net.refine)
        prior_in, prior_out = cast("tuple[nn.Linear, nn.Linear]", tuple(net.pitch_prior))
        recurrent = dict(net.recurrent.named_parameters())
        assert net.pitch.bias is not None
        prior_bias = prior_out.bias + prior_out.weight @ prior_in.bias
        summary_weight = net.summary.weight.clone()
        summary_weight[:, -1] *= LEVEL_SCALE
        pooled = c.hop_samples // c.short_stride_samples // c.short_slots
        level_parts = torch.zeros(2, c.long_taps)
        for part, count in zip(level_parts, (c.hop_samples, LEVEL_SAMPLES)):
            part[-count:] = 1.0 / count
        self.keep(
            level_parts=level_parts, evenly=torch.full((c.positions,), 1.0 / c.positions),
            # Tensors rather than numbers, which every operation would turn into one.
            least_power=torch.tensor(1e-12), per_log_power=torch.tensor(0.5), level_fall=torch.tensor(LEVEL_FALL),
            compression=torch.tensor(math.log(COMPRESSION)),
            long_bank=net.long_bank.weight,
            # A mean over what falls into a slot is a sum of what is so much smaller.
            short_bank=net.short_bank.weight.t() / pooled, short_least_power=torch.tensor(1e-12 / pooled**2),
            stem_met=met.flatten(),
            stem_weight=GRAPH_SCALE * as_rows(stem_weight), stem_bias=stem_bias,
            onset_weight=by_position.flatten(1), onset_bias=net.onset.out.bias,
            attention_weight=net.attention.weight[:, :, 0, 0].t(),  # no bias: softmax over positions would undo it
            summary_weight=summary_weight, summary_bias=net.summary.bias,
            voicing_weight=net.voicing.weight, voicing_bias=net.voicing.bias,
            condition_weight=net.condition.weight, condition_bias=net.condition.bias + refine_bias,
            refine_weight=refine_weight[:, :, 0, 0].t(),
            pitch_weight=net.pitch.weight[:, :, 0, 0].unflatten(0, (-1, c.bins_per_position)).transpose(1, 2),
            pitch_bias=net.pitch.bias.view(-1, c.bins_per_position).repeat(1, c.positions) + prior_bias,  # [heads, bins]
            prior_weight=prior_out.weight @ prior_in.weight,
            input_weight=recurrent["weight_ih_l0"], input_bias=recurrent["bias_ih_l0"],
            hidden_weight=recurrent["weight_hh_l0"], hidden_bias=recurrent["bias_hh_l0"],
        )
        self.blocks = nn.ModuleList([STEPS[type(block)](block) for block in net.blocks])
        onset_weight, onset_bias = folded_pair(net.onset.stem)
        self.onset_stem = Frequency(GRAPH_SCALE * onset_weight)
        self.keep(onset_stem_bias=onset_bias)
        self.onset = StackedStep(net.onset.block)

    def initial_state(self, like: Tensor) -> Tuple[Carried, Memory]:
        """The state of a stream that has heard nothing but silence, its own: tensors as ``like``, which keeps freezing
        from making them constants that all streams share."""
        past = [self.onset.past(self.short_filters, like)]
        stem_out = like.new_zeros([self.short_filters, self.onset_stem_bias.size(0)])
        room = [self.onset_stem.room(self.short_filters, like) + [stem_out], self.onset.room(self.short_filters, like)]
        room.append([like.new_zeros([self.before + self.long_filters + self.after])])
        # To pyright an item of a ModuleList is any module, and TorchScript reads no cast.
        for i, block in enumerate(self.blocks):
            past.append(block.past(self.positions, like))  # pyright: ignore[reportCallIssue]
            if i == 0:
                room.append(block.room(self.positions, like))  # pyright: ignore[reportCallIssue]
        return (0, like.new_full([1], self.level_floor), like.new_zeros([1, self.context_size])), (past, room)

    def forward(self, window: Tensor, carried: Carried, memory: Memory, head: int) -> Tuple[Tensor, Tensor, Carried]:
        """``window [long_taps]``, its newest ``hop_samples`` new -> what ``head`` says of it: pitch logits
        ``[pitch_bins]``, voicing logit ``[]``; and what to carry to the next hop. ``memory`` is written into."""
        hops, held, context = carried
        past, room = memory
        newest, level = self._levels(window)
        held = torch.maximum(held - self.level_fall, level).clamp_(min=self.level_floor)
        gain = torch.exp(self.compression - held)

        x = torch.addmm(self.stem_bias, self._long_fields(window, gain, room[2][0]), self.stem_weight).relu_()
        for i, block in enumerate(self.blocks):
            x = block(x, past[i + 1], hops, room[3])
        onset = self._onset(window, gain, past[0], hops, room)

        attended = torch.mm(torch.softmax(torch.mm(x, self.attention_weight), 0).t(), x).flatten()
        summary = torch.cat([attended, x.amax(0), torch.mv(x.t(), self.evenly), onset, newest - held, held])
        joined = torch.relu_(torch.addmv(self.summary_bias, self.summary_weight, summary))
        hidden = torch.gru_cell(
            joined.unsqueeze(0), context, self.input_weight, self.hidden_weight, self.input_bias, self.hidden_bias
        )
        pitch, voicing = self._read(x, joined, hidden[0], head)
        return pitch, voicing, (hops + 1, held, hidden)

    def _levels(self, window: Tensor) -> Tuple[Tensor, Tensor]:
        """RMS of the newest hop and of the newest 30 ms, nepers ``[1]`` each."""
        powers = torch.mv(self.level_parts, window * window)
        newest, level = torch.split(torch.log_(powers.add_(self.least_power)).mul_(self.per_log_power), 1)
        return newest, level

    def _long_fields(self, window: Tensor, gain: Tensor, graph: Tensor) -> Tensor:
        """Stage 1, long bank, harmonics lined up, what the stem meets at each position
        ``[positions, width * harmonics]``. ``graph`` lies between margins of zeros."""
        y = torch.mv(self.long_bank, window).view(2, self.long_filters)
        modulus = torch.sqrt_(y.square_().sum(0).add_(self.least_power))
        torch.log1p(modulus.mul_(gain), out=graph[self.before : self.before + self.long_filters])
        return graph.index_select(0, self.stem_met).view(self.positions, -1)

    def _onset(
        self, window: Tensor, gain: Tensor, past: List[Tensor], hops: int, room: List[List[Tensor]]
    ) -> Tensor:
        """The short bank's graph, condensed ``[onset_size]``."""
        column, met, fields, out = room[0]
        fields = self.onset_stem(self._short_graph(window, gain).t(), column, met, fields)
        x = torch.addmm(self.onset_stem_bias, fields, self.onset_stem.weight, out=out)
        x = self.onset(x, past, hops, room[1])
        return torch.relu_(torch.addmv(self.onset_bias, self.onset_weight, x.flatten()))

    def _short_graph(self, window: Tensor, gain: Tensor) -> Tensor:
        """Stage 1, short bank, pooled ``[slots, short_filters]``."""
        newest = window[window.size(0) - self.tail :].unfold(0, self.short_taps, self.short_stride)
        y = torch.mm(newest, self.short_bank).view(self.slots, -1, 2, self.short_filters)
        pooled = torch.sqrt_(y.square_().sum(2).add_(self.short_least_power)).sum(1)
        return torch.log1p_(gain * pooled)

    def _read(self, x: Tensor, joined: Tensor, context: Tensor, head: int) -> Tuple[Tensor, Tensor]:
        voicing = torch.dot(self.voicing_weight[head], torch.cat([joined, context])) + self.voicing_bias[head]
        shift = torch.addmv(self.condition_bias, self.condition_weight, context)
        refined = torch.mm(x, self.refine_weight).add_(shift).relu_()
        bins = torch.mm(refined, self.pitch_weight[head]).view(-1)
        return torch.addmv(self.pitch_bias[head], self.prior_weight, context).add_(bins), voicing
