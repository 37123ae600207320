"""The live network as it runs: one hop of one stream, nothing computed twice.

``LiveStep(net)`` takes a trained ``TwoStageNet`` apart: normalisation is folded into the weights, every
convolution is one matrix product, and each kernel over time keeps its past columns in a ring, so that a hop
writes one column and reads those that its kernel meets. The numbers are those of ``net.whole``; tests hold
the two together.

Shapes have no batch: ``[position, channel]``, in which the neighbours of a position lie side by side and a
kernel's field is a row of a matrix. The state is explicit and the caller's, who hands in what is written into.
"""

import math
from typing import TYPE_CHECKING, List, Tuple, cast

import torch
from torch import Tensor, nn

from rt_melody.models.inception import InceptionBlock, StackedBlock
from rt_melody.models.network import COMPRESSION, GRAPH_SCALE, LEVEL_FALL, LEVEL_FLOOR, LEVEL_SAMPLES, LEVEL_SCALE, TwoStageNet

# What a hop of a stream writes into: the recurrent context, beside what it is renewed by, and its gates (see
# ``Recurrence``); the past of each kernel over time, for each block, the onset path's first (see ``Columns``); and room to
# work in, so that no hop has to allocate it: views for the onset path's two steps, for the long graph, for the blocks, which
# share theirs, and for the summary. Every view that a hop may need is made with the stream.
Memory = Tuple[List[Tensor], List[List[List[Tensor]]], List[List[Tensor]]]


def zeros(like: Tensor, size: List[int]) -> Tensor:
    """Memory of its own, as ``like``. TorchScript takes two calls of ``new_zeros`` alike for one and the same tensor, if it sees
    nobody write into it."""
    return like.new_empty(size).zero_()


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



class Frequency(Constants):
    """A folded kernel over positions alone."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.channels, self.width = weight.size(1), weight.size(3)
        self.keep(weight=as_rows(weight))

    def room(self, positions: int, like: Tensor) -> List[Tensor]:
        """A column that lies between margins of zeros; the fields that the kernel meets in both, a row each; room for
        a copy of them, side by side."""
        within, field = zeros(like, [positions + self.width - 1, self.channels]), self.width * self.channels
        column = within.narrow(0, self.width // 2, positions)
        return [column, within.as_strided((positions, field), (self.channels, 1)), zeros(like, [positions, field])]

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

    def past(self, positions: int, like: Tensor) -> List[List[Tensor]]:
        """Views of a past of silence, one for each hop of a round of ``dilation * taps``: where the hop's column goes, the
        fields ``[positions, width * taps * in]`` that the kernel meets then, the weight that they are multiplied by."""
        c, row = self.channels, self.taps * self.channels
        past = zeros(like, [self.dilation, positions + self.width - 1, row])
        columns: List[Tensor] = []
        fields: List[Tensor] = []
        weights: List[Tensor] = []
        for hop in range(self.dilation * self.taps):
            ring, newest = past[hop % self.dilation], hop // self.dilation
            columns.append(ring[self.width // 2 : self.width // 2 + positions, newest * c : newest * c + c])
            fields.append(ring.as_strided((positions, self.width * row), (row, 1)))
            weights.append(self.weight[newest])
        return [columns, fields, weights]

    def room(self, positions: int, like: Tensor) -> List[Tensor]:
        """For a copy of the fields that the kernel meets, a row each."""
        return [zeros(like, [positions, self.width * self.taps * self.channels])]

    def forward(self, x: Tensor, past: List[List[Tensor]], hops: int, fields: Tensor) -> Tuple[Tensor, Tensor]:
        """``x [positions, in]``, rectified, is the column of hop ``hops`` -> its fields
        ``[positions, width * taps * in]`` and the weight that they are multiplied by."""
        columns, met, weights = past
        hop = hops % len(columns)
        torch.clamp_min(x, 0.0, out=columns[hop])
        return fields.copy_(met[hop]) if self.width > 1 else met[hop], weights[hop]


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
        project_weight, project_bias = folded_pair(block.project)
        # Of the four branches, side by side, and a one beside them, which the projection's bias is multiplied by.
        self.keep(bias=torch.cat([bias, torch.ones(1)]), project=torch.cat([project_weight[:, :, 0, 0].t(), project_bias[None]]))

    def past(self, positions: int, like: Tensor) -> List[List[Tensor]]:
        return self.motion.past(positions, like) + self.hold.past(positions, like)

    def room(self, positions: int, like: Tensor) -> List[Tensor]:
        """Alike for all blocks of a network: what the branches take, together and each, what they give, likewise, and
        each branch's own."""
        taken, given = zeros(like, [positions, sum(self.parts)]), zeros(like, [positions, sum(self.parts) + 1])
        return (
            [taken] + list(taken.split_with_sizes(self.parts, 1))
            + [given] + list(given[:, : sum(self.parts)].split_with_sizes(self.parts, 1))
            + self.wide.room(positions, like) + self.narrow.room(positions, like)
            + self.motion.room(positions, like) + self.hold.room(positions, like)
        )

    def forward(self, x: Tensor, past: List[List[Tensor]], hops: int, room: List[Tensor]) -> Tensor:
        """``x [positions, channels]`` is overwritten."""
        taken, wide, narrow, motion, hold, given, o1, o2, o3, o4, c1, m1, f1, c2, m2, f2, f3, f4 = room
        self.reduce.into(x, taken)
        given.copy_(self.bias)
        o1.addmm_(self.wide(wide, c1, m1, f1), self.wide.weight)
        o2.addmm_(self.narrow(narrow, c2, m2, f2), self.narrow.weight)
        motion_met, motion_weight = self.motion(motion, past[:3], hops, f3)
        o3.addmm_(motion_met, motion_weight)
        hold_met, hold_weight = self.hold(hold, past[3:], hops, f4)
        o4.addmm_(hold_met, hold_weight)
        return x.addmm_(given.relu_(), self.project).relu_()


class StackedStep(Constants):
    """One hop of a ``StackedBlock``. Takes what was not yet rectified, as the onset path's stem leaves it."""

    def __init__(self, block: StackedBlock):
        super().__init__()
        weight, bias = folded(block.conv.conv.weight, block.norm)
        self.conv = Columns(weight, block.conv.dilation)
        self.keep(bias=bias)

    def past(self, positions: int, like: Tensor) -> List[List[Tensor]]:
        return self.conv.past(positions, like)

    def room(self, positions: int, like: Tensor) -> List[Tensor]:
        return self.conv.room(positions, like) + [zeros(like, [positions, self.bias.size(0)])]

    def forward(self, x: Tensor, past: List[List[Tensor]], hops: int, room: List[Tensor]) -> Tensor:
        fields, out = room
        met, weight = self.conv(x, past, hops, fields)  # before ``out`` is written to: it may be ``x``
        return torch.addmm(self.bias, met, weight, out=out).relu_()


class Recurrence(Constants):
    """One hop of a GRU of one layer."""

    def __init__(self, recurrent: nn.GRU):
        super().__init__()
        weights = dict(recurrent.named_parameters())
        self.size = recurrent.hidden_size
        self.keep(
            input_weight=weights["weight_ih_l0"], input_bias=weights["bias_ih_l0"],
            hidden_weight=weights["weight_hh_l0"], hidden_bias=weights["bias_hh_l0"],
        )

    def room(self, like: Tensor) -> List[Tensor]:
        """What it is renewed by and the context, together and each ``[size]``; then what either gives to the gates, with its
        parts: of reset and update together and each, and of the new context."""
        both, size = zeros(like, [2 * self.size]), self.size
        views = [both, both[:size], both[size:]]
        for _ in range(2):
            gates = zeros(like, [3 * size])
            views += [gates, gates[: 2 * size], gates[:size], gates[size : 2 * size], gates[2 * size :]]
        return views

    def forward(self, room: List[Tensor]) -> Tensor:
        """The context ``[size]``, which is renewed where it lies."""
        _, joined, context, given, opening, reset, update, fresh, kept, kept_opening, _, _, kept_fresh = room
        torch.addmv(self.input_bias, self.input_weight, joined, out=given)
        torch.addmv(self.hidden_bias, self.hidden_weight, context, out=kept)
        opening.add_(kept_opening).sigmoid_()
        fresh.addcmul_(reset, kept_fresh).tanh_()
        return torch.lerp(fresh, context, update, out=context)


STEPS = {InceptionBlock: InceptionStep, StackedBlock: StackedStep}


class LiveStep(Constants):
    """See the module text. Built from a trained network, which is put into evaluation mode."""

    def __init__(self, net: TwoStageNet):
        super().__init__()
        net = net.eval()
        c = net.config
        self.context_size, self.positions = c.context_size, c.coarse_positions
        self.long_filters, self.short_filters, self.slots = c.long_filters, c.short_filters, c.short_slots
        self.short_taps, self.short_stride = c.short_taps, c.short_stride_samples
        self.tail = c.hop_samples + c.short_taps - c.short_stride_samples
        self.level_floor = LEVEL_FLOOR
        self.heads = net.attention.out_channels

        shifts = torch.tensor(net.stack.shifts)
        self.before = max(0, -int(shifts.min())) + 1  # at least one zero, the first, stands for what lies outside
        self.after = max(0, int(shifts.max()) + c.positions - c.long_filters)
        stem_weight, stem_bias = folded_pair(net.stem)
        width = stem_weight.size(3)
        at = c.coarseness * torch.arange(self.positions)[:, None] + torch.arange(width) - width // 2
        met = at[:, :, None] + shifts + self.before  # [positions, width, harmonics]
        met[(at < 0) | (at >= c.positions)] = 0
        by_position = net.onset.out.weight.unflatten(1, (-1, c.short_filters)).transpose(1, 2)
        refine_weight, refine_bias = folded_pair(net.refine)
        prior_in, prior_out = cast("tuple[nn.Linear, nn.Linear]", tuple(net.pitch_prior))
        assert net.pitch.bias is not None
        prior_bias = prior_out.bias + prior_out.weight @ prior_in.bias
        summary_weight = net.summary.weight.clone()
        summary_weight[:, -1] *= LEVEL_SCALE
        pooled = c.hop_samples // c.short_stride_samples // c.short_slots
        level_parts = torch.zeros(2, c.long_taps)
        for part, count in zip(level_parts, (c.hop_samples, LEVEL_SAMPLES)):
            part[-count:] = 1.0 / count
        self.keep(
            level_parts=level_parts, evenly=torch.full((self.positions,), 1.0 / self.positions),
            # Tensors rather than numbers, which every operation would turn into one.
            least_power=torch.tensor(1e-12), per_log_power=torch.tensor(0.5), level_fall=torch.tensor(LEVEL_FALL),
            compression=torch.tensor(math.log(COMPRESSION)),
            long_bank=net.long_bank.weight,
            # A mean over what falls into a slot is a sum of what is so much smaller.
            short_bank=net.short_bank.weight.t() / pooled, short_least_power=torch.tensor(1e-12 / pooled**2),
            stem_met=met.flatten(),
            stem_weight=GRAPH_SCALE * as_rows(stem_weight), stem_bias=stem_bias,
            onset_weight=by_position.flatten(1), onset_bias=net.onset.out.bias,
            summary_weight=summary_weight, summary_bias=net.summary.bias,
            voicing_weight=net.voicing.weight, voicing_bias=net.voicing.bias,
            condition_weight=net.condition.weight, condition_bias=net.condition.bias + refine_bias,
            attention_weight=net.attention.weight[:, :, 0, 0],  # no bias: softmax over positions would undo it
            refine_weight=refine_weight[:, :, 0, 0].t(),
            pitch_weight=net.pitch.weight[:, :, 0, 0].unflatten(0, (len(c.look_ahead_ms), -1)),
            pitch_bias=net.pitch.bias.view(len(c.look_ahead_ms), -1).repeat(1, self.positions) + prior_bias,  # [heads, bins]
            prior_weight=prior_out.weight @ prior_in.weight,
        )
        self.recurrence = Recurrence(net.recurrent)
        self.blocks = nn.ModuleList([STEPS[type(block)](block) for block in net.blocks])
        onset_weight, onset_bias = folded_pair(net.onset.stem)
        self.onset_stem = Frequency(GRAPH_SCALE * onset_weight)
        self.keep(onset_stem_bias=onset_bias)
        self.onset = StackedStep(net.onset.block)

    def beginning(self, like: Tensor) -> Tuple[Tensor, Memory]:
        """The peak-hold of the level, nepers ``[1]``, and the memory of a stream that has heard nothing but silence: tensors as
        ``like``, which keeps freezing from making them constants that all streams share."""
        past = [self.onset.past(self.short_filters, like)]
        stem_out = zeros(like, [self.short_filters, self.onset_stem_bias.size(0)])
        room = [self.onset_stem.room(self.short_filters, like) + [stem_out], self.onset.room(self.short_filters, like)]
        graph = zeros(like, [self.before + self.long_filters + self.after])
        met = zeros(like, [self.stem_met.size(0)])
        room.append([graph, graph[self.before : self.before + self.long_filters], met, met.view(self.positions, -1)])
        # To pyright an item of a ModuleList is any module, and TorchScript reads no cast.
        for i, block in enumerate(self.blocks):
            past.append(block.past(self.positions, like))  # pyright: ignore[reportCallIssue]
            if i == 0:
                room.append(block.room(self.positions, like))  # pyright: ignore[reportCallIssue]
        room.append(self._summary_room(like))
        return like.new_full([1], self.level_floor), (self.recurrence.room(like), past, room)

    def _summary_room(self, like: Tensor) -> List[Tensor]:
        """The summary of a hop, and its parts: attended, highest, mean, onset, levels. What the blocks work on, and what is
        read of it."""
        channels, onset, summary = self.refine_weight.size(0), self.onset_bias.size(0), zeros(like, [self.summary_weight.size(1)])
        x, read = zeros(like, [self.positions, channels]), zeros(like, [self.positions, channels])
        attended, highest, mean, sharp, level, held = summary.split_with_sizes(
            [self.heads * channels, channels, channels, onset, 1, 1]
        )
        return [summary, attended.view(self.heads, channels), highest, mean, sharp, level, held, x, read]

    def forward(
        self, window: Tensor, hops: int, held: Tensor, memory: Memory, head: int
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """``window [long_taps]``, its newest ``hop_samples`` new, the stream's hop ``hops`` -> what ``head`` says of it: pitch
        logits ``[pitch_bins]``, voicing logit ``[]``; and the new peak-hold of the level. ``memory`` is written into."""
        joined, past, room = memory
        newest, level = self._levels(window)
        held = torch.maximum(held - self.level_fall, level).clamp_(min=self.level_floor)
        gain = torch.exp(self.compression - held)

        summary, attended, highest, mean, sharp, relative, absolute, x, read = room[4]
        x = torch.addmm(self.stem_bias, self._long_fields(window, gain, room[2]), self.stem_weight, out=x).relu_()
        for i, block in enumerate(self.blocks):
            x = block(x, past[i + 1], hops, room[3])

        torch.mm(torch.softmax(torch.mm(x, self.attention_weight.t()), 0).t(), x, out=attended)
        torch.amax(x, 0, out=highest)
        torch.mv(x.t(), self.evenly, out=mean)
        self._onset(window, gain, past[0], hops, room, sharp)
        torch.sub(newest, held, out=relative)
        absolute.copy_(held)
        torch.addmv(self.summary_bias, self.summary_weight, summary, out=joined[1]).relu_()
        context = self.recurrence(joined)
        pitch, voicing = self._read(x, joined[0], context, head, read)
        return pitch, voicing, held

    def _levels(self, window: Tensor) -> Tuple[Tensor, Tensor]:
        """RMS of the newest hop and of the newest 30 ms, nepers ``[1]`` each."""
        powers = torch.mv(self.level_parts, window * window)
        newest, level = torch.split(torch.log_(powers.add_(self.least_power)).mul_(self.per_log_power), 1)
        return newest, level

    def _long_fields(self, window: Tensor, gain: Tensor, room: List[Tensor]) -> Tensor:
        """Stage 1, long bank, harmonics lined up, what the stem meets at each position
        ``[positions, width * harmonics]``. The graph lies between margins of zeros."""
        graph, within, met, fields = room
        y = torch.mv(self.long_bank, window).view(2, self.long_filters)
        modulus = torch.sqrt_(y.square_().sum(0).add_(self.least_power))
        torch.log1p(modulus.mul_(gain), out=within)
        torch.index_select(graph, 0, self.stem_met, out=met)
        return fields

    def _onset(
        self, window: Tensor, gain: Tensor, past: List[List[Tensor]], hops: int, room: List[List[Tensor]], into: Tensor
    ) -> Tensor:
        """The short bank's graph, condensed ``[onset_size]``."""
        column, met, fields, out = room[0]
        fields = self.onset_stem(self._short_graph(window, gain).t(), column, met, fields)
        x = torch.addmm(self.onset_stem_bias, fields, self.onset_stem.weight, out=out)
        x = self.onset(x, past, hops, room[1])
        return torch.addmv(self.onset_bias, self.onset_weight, x.flatten(), out=into).relu_()

    def _short_graph(self, window: Tensor, gain: Tensor) -> Tensor:
        """Stage 1, short bank, pooled ``[slots, short_filters]``."""
        newest = window[window.size(0) - self.tail :].unfold(0, self.short_taps, self.short_stride)
        y = torch.mm(newest, self.short_bank).view(self.slots, -1, 2, self.short_filters)
        pooled = torch.sqrt_(y.square_().sum(2).add_(self.short_least_power)).sum(1)
        return torch.log1p_(gain * pooled)

    def _read(self, x: Tensor, both: Tensor, context: Tensor, head: int, out: Tensor) -> Tuple[Tensor, Tensor]:
        """``both``: what renewed the context, beside it. ``out [positions, channels]`` is written to."""
        voicing = torch.dot(self.voicing_weight[head], both) + self.voicing_bias[head]
        shift = torch.addmv(self.condition_bias, self.condition_weight, context)
        refined = torch.addmm(shift, x, self.refine_weight, out=out).relu_()
        bins = torch.mm(refined, self.pitch_weight[head].t()).view(-1)
        return torch.addmv(self.pitch_bias[head], self.prior_weight, context).add_(bins), voicing
