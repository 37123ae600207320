"""What training minimises.

Pitch: cross-entropy against a Gaussian of ``SIGMA_CENTS`` around the true pitch, over voiced frames.
(Balhar's study on MedleyDB finds 18 cents best of 0-35.) Voicing: binary cross-entropy over all frames.
A head with look-ahead d at the hop that ends at t is compared with the label at t - d; before time 0 nothing
is compared.
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
    per_hop = round(config.hop_ms / LABEL_STEP_MS)
    ends = per_hop * (torch.arange(hops, device=pitch.device) + 1)
    delays = torch.tensor([round(d / LABEL_STEP_MS) for d in config.look_ahead_ms], device=pitch.device)
    at = ends[None, :] - delays[:, None]
    known = at >= 0
    return pitch[:, at.clamp(0, pitch.size(1) - 1)], known


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
