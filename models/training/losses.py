"""What training minimises.

Pitch: cross-entropy against a Gaussian of ``SIGMA_CENTS`` around the true pitch, over voiced frames.
(Balhar's study on MedleyDB finds 18 cents best of 0-35.) Voicing: binary cross-entropy over all frames.
A head with look-ahead d at the hop that ends at t is compared with the label at t - d, between two points of
the grid with the mean of both where both are voiced, else with the nearer; before time 0 nothing is compared.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from rt_melody.models.config import ModelConfig
from rt_melody.models.network import Output
from rt_melody.models.training.data import LABEL_STEP_MS

SIGMA_CENTS = 20.0


def head_targets(pitch: Tensor, config: ModelConfig, hops: int) -> tuple[Tensor, Tensor]:
    """Labels on the 5 ms grid ``[B, n] -> pitch [B, heads, hops]``, ``known [heads, hops]`` (bool)."""
    ends_ms = config.hop_ms * (torch.arange(hops, device=pitch.device, dtype=torch.float64) + 1)
    delays_ms = torch.tensor(config.look_ahead_ms, device=pitch.device, dtype=torch.float64)
    at = (ends_ms[None, :] - delays_ms[:, None]) / LABEL_STEP_MS
    known, last = at >= 0, pitch.size(1) - 1
    low = at.floor()
    part = (at - low).to(pitch.dtype)
    before, after = (pitch[:, i.long().clamp(0, last)] for i in (low, low + 1))
    both = (before > 0) & (after > 0)
    return torch.where(both, torch.lerp(before, after, part), torch.where(part < 0.5, before, after)), known


def melody_loss(output: Output, pitch: Tensor, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Pitch loss and voicing loss, each a mean over heads and compared frames (nats)."""
    target, known = head_targets(pitch, config, output.pitch_logits.size(2))
    voiced = (target > 0) & known
    grid = torch.from_numpy(config.pitch_midi()).to(pitch)
    in_range = voiced & (target > grid[0] - 0.5) & (target < grid[-1] + 0.5)
    logits = output.pitch_logits.float()[in_range]
    distance = (target[in_range][:, None] - grid[None, :]) * (100.0 / SIGMA_CENTS)
    soft = torch.softmax(-0.5 * distance.square(), 1)
    pitch_loss = F.cross_entropy(logits, soft) if len(logits) else output.pitch_logits.sum() * 0.0
    voicing_logits = output.voicing_logits.float().transpose(1, 2)
    each = F.binary_cross_entropy_with_logits(voicing_logits, voiced.float(), reduction="none")
    return pitch_loss, (each * known).sum() / (known.sum() * pitch.size(0))
