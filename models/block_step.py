"""Many hops of one stream at once, where their samples are at hand: what a hop costs live is mostly that it comes alone.

``BlockStep(net, step)`` computes what ``LiveStep`` computes for ``K`` hops in a row, with the same weights: every product is
``K`` times as tall, what lies before the first of the hops is kept from block to block, and only the recurrent context goes
hop by hop. Its numbers are those of ``LiveStep`` but for rounding; tests hold the two together. For one ``K`` they do not
depend on what follows.

Shapes are ``[hop, position, channel]``, which a convolution over hops and positions takes as it lies in memory ("channels
last"). The state is explicit: what a block leaves to the next comes back, nothing is written into.
"""

from typing import List, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rt_melody.models.inception import InceptionBlock, StackedBlock
from rt_melody.models.live_step import Constants, LiveStep, Memory, branch_weights, folded, folded_pair, zeros
from rt_melody.models.network import GRAPH_SCALE, TwoStageNet

# What one block leaves to the next: the peak-hold of the level, nepers [1]; the hidden state of the recurrent context
# [1, context_size]; the columns that kernels over time will meet again, a list for each block, the onset path's first.
Left = Tuple[Tensor, Tensor, List[List[Tensor]]]


def over_positions(x: Tensor, weight: Tensor, bias: Tensor, stride: int = 1) -> Tensor:
    """``x [hops, positions, in]`` under a kernel ``[out, in, 1, width]``, at every ``stride``-th position ->
    ``[hops, positions / stride, out]``."""
    y = F.conv2d(x.transpose(1, 2).unsqueeze(2), weight, bias, stride=[1, stride], padding=[0, weight.size(3) // 2])
    return y.squeeze(2).transpose(1, 2).contiguous()


def over_time(x: Tensor, weight: Tensor, bias: Tensor, dilation: int) -> Tensor:
    """``x [reach + hops, positions, in]`` under a kernel ``[out, in, taps, width]`` -> ``[hops, positions, out]``."""
    y = F.conv2d(
        x.unsqueeze(0).permute(0, 3, 1, 2), weight, bias, padding=[0, weight.size(3) // 2], dilation=[dilation, 1]
    )
    return y.permute(0, 2, 3, 1).squeeze(0).contiguous()


class TimeKernel(Constants):
    """A folded kernel over time and positions, whose past ``[reach, positions, in]`` is the caller's."""

    def __init__(self, weight: Tensor, bias: Tensor, dilation: int):
        super().__init__()
        self.dilation, self.reach = dilation, (weight.size(2) - 1) * dilation
        self.keep(weight=weight, bias=bias)

    def past(self, positions: int, like: Tensor) -> Tensor:
        return zeros(like, [self.reach, positions, self.weight.size(1)])

    def forward(self, x: Tensor, past: Tensor) -> Tuple[Tensor, Tensor]:
        """``x [hops, positions, in]``, rectified here -> ``[hops, positions, out]``, and the past that it leaves."""
        met = x.new_empty([self.reach + x.size(0), x.size(1), x.size(2)])
        met[: self.reach] = past
        torch.clamp_min(x, 0.0, out=met[self.reach :])
        return over_time(met, self.weight, self.bias, self.dilation), met[x.size(0) :].clone()


class InceptionHops(Constants):
    """Hops in a row of an ``InceptionBlock``."""

    def __init__(self, block: InceptionBlock):
        super().__init__()
        self.b = block.b
        (wide, narrow, motion, hold), bias = branch_weights(block)
        reduce_weight, reduce_bias = folded_pair(block.reduce)
        project_weight, project_bias = folded_pair(block.project)
        self.keep(
            reduce_weight=reduce_weight, reduce_bias=reduce_bias, project_weight=project_weight, project_bias=project_bias,
            wide=wide, narrow=narrow, wide_bias=bias[: self.b], narrow_bias=bias[self.b : 2 * self.b],
        )
        self.motion = TimeKernel(motion, bias[2 * self.b : 3 * self.b], block.motion.dilation)
        self.hold = TimeKernel(hold, bias[3 * self.b :], block.hold.dilation)

    def past(self, positions: int, like: Tensor) -> List[Tensor]:
        return [self.motion.past(positions, like), self.hold.past(positions, like)]

    def forward(self, x: Tensor, past: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        """``x [hops, positions, channels]`` is overwritten."""
        wide, narrow, motion, hold = over_positions(x, self.reduce_weight, self.reduce_bias).chunk(4, 2)
        moved, left_motion = self.motion(motion, past[0])
        held, left_hold = self.hold(hold, past[1])
        given = x.new_empty([x.size(0), x.size(1), 4 * self.b])
        parts = given.chunk(4, 2)
        torch.clamp_min(over_positions(torch.relu(wide).contiguous(), self.wide, self.wide_bias), 0.0, out=parts[0])
        torch.clamp_min(over_positions(torch.relu(narrow).contiguous(), self.narrow, self.narrow_bias), 0.0, out=parts[1])
        torch.clamp_min(moved, 0.0, out=parts[2])
        torch.clamp_min(held, 0.0, out=parts[3])
        x = x.add_(over_positions(given, self.project_weight, self.project_bias)).relu_()
        return x, [left_motion, left_hold]


class StackedHops(Constants):
    """Hops in a row of a ``StackedBlock``. Takes what was not yet rectified, as the onset path's stem leaves it."""

    def __init__(self, block: StackedBlock):
        super().__init__()
        weight, bias = folded(block.conv.conv.weight, block.norm)
        self.conv = TimeKernel(weight, bias, block.conv.dilation)

    def past(self, positions: int, like: Tensor) -> List[Tensor]:
        return [self.conv.past(positions, like)]

    def forward(self, x: Tensor, past: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        out, left = self.conv(x, past[0])
        return out.relu_(), [left]


HOPS = {InceptionBlock: InceptionHops, StackedBlock: StackedHops}


class BlockStep(Constants):
    """See the module text. ``step`` was built from the same ``net``."""

    def __init__(self, net: TwoStageNet, step: LiveStep):
        super().__init__()
        self.step = step
        shifts = torch.tensor(net.stack.shifts)
        self.finer, self.coarseness = net.config.positions, net.config.coarseness
        met = torch.arange(self.finer)[:, None] + shifts + step.before
        stem_weight, stem_bias = folded_pair(net.stem)
        refine_weight, _ = folded_pair(net.refine)
        attention = net.attention.weight
        self.heads = attention.size(0)
        onset_weight, onset_bias = folded_pair(net.onset.stem)
        self.keep(
            stem_met=met.flatten(), stem_weight=GRAPH_SCALE * stem_weight, stem_bias=stem_bias,
            onset_stem_weight=GRAPH_SCALE * onset_weight, onset_stem_bias=onset_bias,
            read_weight=torch.cat([refine_weight, attention]), read_bias=torch.zeros(refine_weight.size(0) + self.heads),
        )
        self.blocks = nn.ModuleList([HOPS[type(block)](block) for block in net.blocks])
        self.onset = StackedHops(net.onset.block)

    def beginning(self, like: Tensor) -> Left:
        """What a stream has that has heard nothing but silence."""
        past = [self.onset.past(self.step.short_filters, like)]
        for block in self.blocks:
            past.append(block.past(self.step.positions, like))  # pyright: ignore[reportCallIssue]
        return like.new_full([1], self.step.level_floor), zeros(like, [1, self.step.context_size]), past

    def forward(self, windows: Tensor, left: Left, head: int) -> Tuple[Tensor, Tensor, Left]:
        """``windows [hops, long_taps]`` -> what ``head`` says of each: pitch logits ``[hops, pitch_bins]``, voicing logits
        ``[hops]``; and what to hand in with the next block."""
        held_before, context, past = left
        newest, held = self._levels(windows, held_before)
        gain = torch.exp(self.step.compression - held).unsqueeze(1)

        x = over_positions(self._stacked(windows, gain), self.stem_weight, self.stem_bias, self.coarseness).relu_()
        onset, left_onset = self._onset(windows, gain, past[0])
        leaves = [left_onset]
        for i, block in enumerate(self.blocks):
            x, left_block = block(x, past[i + 1])
            leaves.append(left_block)

        read = over_positions(x, self.read_weight, self.read_bias)
        refined, attention = read.split_with_sizes([read.size(2) - self.heads, self.heads], 2)
        joined = self._joined(x, attention, onset, newest, held)
        contexts = self._contexts(joined, context)
        pitch, voicing = self._read(refined, joined, contexts, head)
        return pitch, voicing, (held[held.size(0) - 1 :].clone(), contexts[contexts.size(0) - 1 :].clone(), leaves)

    def _levels(self, windows: Tensor, held: Tensor) -> Tuple[Tensor, Tensor]:
        """RMS of each newest hop and the peak-hold of the newest 30 ms, nepers ``[hops]`` each."""
        step = self.step
        powers = torch.mm(windows * windows, step.level_parts.t())
        newest, level = torch.log_(powers.add_(step.least_power)).mul_(step.per_log_power).unbind(1)
        fallen = step.level_fall * torch.arange(1 + level.size(0), dtype=level.dtype)
        rising, _ = torch.cummax(torch.cat([held, level]) + fallen, 0)
        return newest, (rising - fallen)[1:].clamp_(min=step.level_floor)

    def _stacked(self, windows: Tensor, gain: Tensor) -> Tensor:
        """Stage 1, long bank, harmonics lined up ``[hops, finer positions, harmonics]``."""
        step = self.step
        y = torch.mm(windows, step.long_bank.t()).view(windows.size(0), 2, -1)
        modulus = torch.sqrt_(y.square_().sum(1).add_(step.least_power))
        graph = torch.constant_pad_nd(torch.log1p_(modulus.mul_(gain)), [step.before, step.after])
        return graph.index_select(1, self.stem_met).view(windows.size(0), self.finer, -1)

    def _onset(self, windows: Tensor, gain: Tensor, past: List[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        """The short bank's graph, condensed ``[hops, onset_size]``."""
        step = self.step
        hops = windows.size(0)
        newest = windows[:, windows.size(1) - step.tail :].unfold(1, step.short_taps, step.short_stride)
        y = torch.mm(newest.reshape(-1, step.short_taps), step.short_bank).view(hops, step.slots, -1, 2, step.short_filters)
        pooled = torch.sqrt_(y.square_().sum(3).add_(step.short_least_power)).sum(2)
        graph = torch.log1p_(gain.unsqueeze(2) * pooled).transpose(1, 2).contiguous()
        x, left = self.onset(over_positions(graph, self.onset_stem_weight, self.onset_stem_bias), past)
        return torch.relu_(torch.mm(x.view(hops, -1), step.onset_weight.t()).add_(step.onset_bias)), left

    def _joined(self, x: Tensor, attention: Tensor, onset: Tensor, newest: Tensor, held: Tensor) -> Tensor:
        """One vector a hop ``[hops, context_size]``."""
        step = self.step
        attended = torch.bmm(torch.softmax(attention, 1).transpose(1, 2), x).flatten(1)
        summary = torch.cat([attended, x.amax(1), x.mean(1), onset, torch.stack([newest - held, held], 1)], 1)
        return torch.mm(summary, step.summary_weight.t()).add_(step.summary_bias).relu_()

    def _contexts(self, joined: Tensor, context: Tensor) -> Tensor:
        """The recurrent context after each hop ``[hops, context_size]``, from the one before the first ``[1, context_size]``."""
        step, size = self.step, joined.size(1)
        given = torch.mm(joined, step.recurrence.input_weight.t()).add_(step.recurrence.input_bias)
        # Every view of a hop is made beforehand, and what it computes is written where it is wanted.
        opening, fresh = given[:, : 2 * size].unbind(0), given[:, 2 * size :].unbind(0)
        reset, update = given[:, :size].unbind(0), given[:, size : 2 * size].unbind(0)
        kept = given.new_empty([3 * size])
        kept_opening, kept_fresh = kept.split_with_sizes([2 * size, size])
        contexts = torch.empty_like(joined)
        rows = contexts.unbind(0)
        hidden = context[0]
        for i in range(joined.size(0)):
            torch.addmv(step.recurrence.hidden_bias, step.recurrence.hidden_weight, hidden, out=kept)
            opening[i].add_(kept_opening).sigmoid_()
            hidden = torch.lerp(fresh[i].addcmul_(reset[i], kept_fresh).tanh_(), hidden, update[i], out=rows[i])
        return contexts

    def _read(self, refined: Tensor, joined: Tensor, contexts: Tensor, head: int) -> Tuple[Tensor, Tensor]:
        step = self.step
        voicing = torch.mv(torch.cat([joined, contexts], 1), step.voicing_weight[head]) + step.voicing_bias[head]
        shift = torch.mm(contexts, step.condition_weight.t()).add_(step.condition_bias).unsqueeze(1)
        refined = (refined + shift).relu_()
        bins = torch.mm(refined.view(-1, refined.size(2)), step.pitch_weight[head].t()).view(refined.size(0), -1)
        return torch.mm(contexts, step.prior_weight.t()).add_(step.pitch_bias[head]).add_(bins), voicing


class Program(nn.Module):
    """What a model file holds: a trained network, put into evaluation mode, as one hop at a time and as many at once.

    What a stream of one hop at a time remembers is an attribute, since TorchScript would turn what comes from Python into its
    own kind at every call: each stream has a shallow copy of the program, which shares the weights, and begins it.
    """

    hops: int
    held: Tensor
    memory: Memory

    def __init__(self, net: TwoStageNet):
        super().__init__()
        self.one = LiveStep(net)
        self.several = BlockStep(net, self.one)
        self.hops, self.held, self.memory = 0, torch.zeros(1), ([], [], [])  # until it begins

    def begin(self, like: Tensor) -> None:
        """Forget what was heard: the stream of this copy begins in silence. ``like``: see ``LiveStep``."""
        self.hops = 0
        self.held, self.memory = self.one.beginning(like)

    def forward(self, window: Tensor, head: int) -> Tuple[Tensor, Tensor]:
        """The next hop of this copy's stream: see ``LiveStep``."""
        pitch, voicing, self.held = self.one(window, self.hops, self.held, self.memory, head)
        self.hops += 1
        return pitch, voicing

    def block_beginning(self, like: Tensor) -> Left:
        """See ``BlockStep.beginning``."""
        return self.several.beginning(like)

    def block(self, windows: Tensor, left: Left, head: int) -> Tuple[Tensor, Tensor, Left]:
        """See ``BlockStep``."""
        return self.several(windows, left, head)
