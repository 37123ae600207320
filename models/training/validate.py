"""Quick figures during training: whole clips through the network, no decoder, every head at once.

The figures that are published come from the streaming engine (``benchmarks.accuracy``); these choose checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from rt_melody.models.config import ModelConfig
from rt_melody.models.network import Network
from rt_melody.models.training.data import Clip
from rt_melody.models.training.losses import head_targets

READ_BINS = 4  # either side of the peak, for the local mean
RIGHT_CENTS = 50.0


@dataclass(frozen=True)
class Figures:
    """Fractions, pooled over frames; conventions of mir_eval.melody (Poliner et al. 2007)."""

    overall: float
    pitch: float
    recall: float
    false_alarm: float

    def __str__(self) -> str:
        return f"OA {self.overall:.3f} RPA {self.pitch:.3f} VR {self.recall:.3f} VFA {self.false_alarm:.3f}"


def read_pitch(logits: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Weighted mean of the grid around the highest bin ``[..., bins] -> [...]`` (fractional MIDI)."""
    peak = logits.argmax(-1, keepdim=True)
    around = (peak + torch.arange(-READ_BINS, READ_BINS + 1)).clamp(0, logits.size(-1) - 1)
    weights = torch.softmax(logits.gather(-1, around), -1)
    return (weights * grid[around]).sum(-1)


def figures(estimate: np.ndarray, voiced: np.ndarray, truth: np.ndarray) -> Figures:
    """``estimate`` and ``truth`` in fractional MIDI, truth 0 where unvoiced; ``voiced`` is the estimate's."""
    sung = truth > 0
    right = sung & (np.abs(estimate - truth) * 100.0 < RIGHT_CENTS)
    return Figures(
        overall=float(((right & voiced) | (~sung & ~voiced)).mean()),
        pitch=float(right.sum() / max(1, sung.sum())),
        recall=float((sung & voiced).sum() / max(1, sung.sum())),
        false_alarm=float((~sung & voiced).sum() / max(1, (~sung).sum())),
    )


@torch.no_grad()
def estimates(
    net: Network, clips: list[Clip], config: ModelConfig, kind: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every head on ``kind``, "mixture" (both channels summed) or "voice": pitch in fractional MIDI, voicing
    logit, and true pitch (0 unvoiced, -1 where it is unknown or before the clip) ``[heads, frames]``."""
    net.eval()
    grid = torch.from_numpy(config.pitch_midi()).float()
    rows: list[list[np.ndarray]] = [[] for _ in range(3)]
    for clip in clips:
        sound = clip.voice if kind == "voice" else clip.mixture
        hops = len(sound) // config.hop_samples
        wave = torch.from_numpy(sound[None, : hops * config.hop_samples]).to(next(net.parameters()).device)
        out = net.whole(wave)
        target, known = head_targets(torch.from_numpy(clip.pitch)[None], config, hops)
        pitch = read_pitch(out.pitch_logits[0].float().cpu(), grid)
        for row, value in zip(rows, (pitch, out.voicing_logits[0].t().float().cpu(), torch.where(known[0], target[0], -1.0))):
            row.append(value.numpy())
    pitch, logit, true = (np.concatenate(row, 1) for row in rows)
    return pitch, logit, true


def validate(net: Network, clips: list[Clip], config: ModelConfig, kind: str, threshold: float = 0.5) -> list[Figures]:
    """Figures of each head, voiced above ``threshold`` (a probability)."""
    pitch, logit, truth = estimates(net, clips, config, kind)
    voiced, keep = logit > np.log(threshold / (1.0 - threshold)), truth >= 0
    return [figures(p[k], v[k], t[k]) for p, v, t, k in zip(pitch, voiced, truth, keep)]
