"""What training minimises.

Pitch: cross-entropy against a Gaussian of ``SIGMA_CENTS`` around the true pitch, over voiced frames.
(Balhar's study on MedleyDB finds 18 cents best of 0-35.) Voicing: binary cross-entropy over all frames.
A head with look-ahead d at the hop that ends at t is compared with the label at t - d, between two points of
the grid with the mean of both where both are voiced, else with the nearer; before time 0, and where the label is
UNKNOWN, nothing is compared.

A sung step of pitch lasts a few hops among hundreds, and being late there costs little on the mean, though it is
what a player hears. Moments up to FRESH_MS after f0 jumped count ``fresh_weight`` times in both losses. A jump is
JUMP_SEMITONES within one step of the label grid, which only spliced and synthetic voices have: published labels,
20 ms apart, are drawn out between their points and do not tell the moment of a step so exactly.

At a short look-ahead most frames with a wrong pitch are those where a note has just begun or f0 is on its way to
another note: a tenth of the sung frames. These are unsettled, and count ``unsettled_weight`` times in the pitch
loss. In the voicing loss only the first UNSETTLED_MS of singing count more, ``beginning_weight`` times, and not the
silence before them: doubt at the beginning is what delays a note (experiments 21 and 24).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rt_melody.models.config import ModelConfig
from rt_melody.models.network import Output
from rt_melody.models.training.data import LABEL_STEP_MS

SIGMA_CENTS = 20.0
JUMP_SEMITONES = 0.8
FRESH_MS = 50
UNSETTLED_MS = 50  # of singing, after it begins
MOVING_CENTS = 15.0  # within a step of the label grid; vibrato of 70 cents at 6 Hz moves 13


def head_times(config: ModelConfig, hops: int, device: torch.device | None = None) -> Tensor:
    """Of which moment each head speaks at each hop, in steps of the label grid ``[heads, hops]``; may be negative."""
    ends_ms = config.hop_ms * (torch.arange(hops, device=device, dtype=torch.float64) + 1)
    delays_ms = torch.tensor(config.look_ahead_ms, device=device, dtype=torch.float64)
    return (ends_ms[None, :] - delays_ms[:, None]) / LABEL_STEP_MS


def head_targets(pitch: Tensor, config: ModelConfig, hops: int) -> tuple[Tensor, Tensor]:
    """Labels on the 5 ms grid ``[B, n] -> pitch [B, heads, hops]``, ``known [B, heads, hops]`` (bool)."""
    at = head_times(config, hops, pitch.device)
    last = pitch.size(1) - 1
    low = at.floor()
    part = (at - low).to(pitch.dtype)
    before, after = (pitch[:, i.long().clamp(0, last)] for i in (low, low + 1))
    both = (before > 0) & (after > 0)
    target = torch.where(both, torch.lerp(before, after, part), torch.where(part < 0.5, before, after))
    return target, (at >= 0) & (target >= 0)


def fresh(pitch: Tensor, config: ModelConfig, hops: int) -> Tensor:
    """Whether a head speaks of a moment at most FRESH_MS after a jump: labels ``[B, n] -> [B, heads, hops]`` (bool)."""
    before, now = pitch[:, :-1], pitch[:, 1:]
    jumps = F.pad((before > 0) & (now > 0) & ((now - before).abs() > JUMP_SEMITONES), (1, 0))
    return _spoken_of(_lately(jumps, FRESH_MS), config, hops)


def unsettled(pitch: Tensor, config: ModelConfig, hops: int) -> Tensor:
    """Whether a head speaks of the first UNSETTLED_MS of singing, or of f0 that moves by MOVING_CENTS or more:
    labels ``[B, n] -> [B, heads, hops]`` (bool). What sounds at a recording's first label did not begin there."""
    before, now = pitch[:, :-1], pitch[:, 1:]
    moves = (before > 0) & (now > 0) & ((now - before).abs() * 100.0 >= MOVING_CENTS)
    either_side = F.pad(moves, (1, 0)) | F.pad(moves, (0, 1))
    return _spoken_of(_just_begun(pitch) | either_side, config, hops)


def beginnings(pitch: Tensor, config: ModelConfig, hops: int) -> Tensor:
    """Whether a head speaks of the first UNSETTLED_MS after singing began: labels ``[B, n] -> [B, heads, hops]``
    (bool), of which some may be unvoiced again."""
    return _spoken_of(_just_begun(pitch), config, hops)


def _just_begun(pitch: Tensor) -> Tensor:
    return _lately(F.pad((pitch[:, :-1] == 0) & (pitch[:, 1:] > 0), (1, 0)), UNSETTLED_MS)


def _lately(moments: Tensor, reach_ms: int) -> Tensor:
    """Whether one of ``moments`` ``[B, n]`` (bool) lies at most so far back."""
    reach = reach_ms // LABEL_STEP_MS
    return F.max_pool1d(F.pad(moments.float(), (reach, 0)).unsqueeze(1), reach + 1, stride=1)[:, 0] > 0


def _spoken_of(moments: Tensor, config: ModelConfig, hops: int) -> Tensor:
    """``[B, n]`` on the label grid as each head comes to speak of it, the nearest label: ``[B, heads, hops]``."""
    return moments[:, head_times(config, hops, moments.device).round().long().clamp(0, moments.size(1) - 1)]


def melody_loss(
    output: Output,
    pitch: Tensor,
    config: ModelConfig,
    fresh_weight: float = 1.0,
    unsettled_weight: float = 1.0,
    beginning_weight: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Pitch loss and voicing loss, each a weighted mean over heads and compared frames (nats). A frame that has two
    of the weights has the larger."""
    hops = output.pitch_logits.size(2)
    target, known = head_targets(pitch, config, hops)
    weight = 1.0 + (fresh_weight - 1.0) * fresh(pitch, config, hops)
    voiced = (target > 0) & known
    pitch_weight = torch.maximum(weight, 1.0 + (unsettled_weight - 1.0) * unsettled(pitch, config, hops))
    grid = torch.from_numpy(config.pitch_midi()).to(pitch)
    in_range = voiced & (target > grid[0] - 0.5) & (target < grid[-1] + 0.5)
    logits = output.pitch_logits.float()[in_range]
    distance = (target[in_range][:, None] - grid[None, :]) * (100.0 / SIGMA_CENTS)
    soft = torch.softmax(-0.5 * distance.square(), 1)
    if len(logits):
        pitch_loss = _mean(F.cross_entropy(logits, soft, reduction="none"), pitch_weight[in_range])
    else:  # a zero that has a gradient
        pitch_loss = output.pitch_logits.sum() * 0.0
    voicing_logits = output.voicing_logits.float().transpose(1, 2)
    each = F.binary_cross_entropy_with_logits(voicing_logits, voiced.float(), reduction="none")
    begun = voiced & beginnings(pitch, config, hops)
    return pitch_loss, _mean(each, torch.maximum(weight, 1.0 + (beginning_weight - 1.0) * begun) * known)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum()
