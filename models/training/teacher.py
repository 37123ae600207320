"""Learning from a trained network beside the labels (Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015).

A teacher tells more than a label: how sure one can be, which octave is the second guess, and what sounds where nobody labelled. It
speaks through the head that looks ahead furthest, whatever head of the pupil is taught: of the same moment it has heard more,
so that the pupil's early heads learn what only later becomes clear, as far as they can.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from rt_melody.models.config import ModelConfig
from rt_melody.models.network import Output
from rt_melody.models.torchscript import ModelFileError, load_model
from rt_melody.models.training.data import DataError


class Taught(NamedTuple):
    """One row a hop: what is said of the moment ``delay_ms`` before the hop's end."""

    pitch: Tensor  # [B, T, pitch_bins] probabilities where somebody sings
    voicing: Tensor  # [B, T] probability that somebody does
    delay_ms: float


class Teacher:
    """An exported model (``training.export``), heard through its last head. Raises DataError for a file that is none, and for
    one of another pitch axis or hop than the pupil's."""

    def __init__(self, path: Path, pupil: ModelConfig):
        try:
            self._program, config, _ = load_model(path, trust_model=True)
        except ModelFileError as error:
            raise DataError(str(error)) from error
        if (config.pitch_midi().tolist(), config.hop_samples) != (pupil.pitch_midi().tolist(), pupil.hop_samples):
            raise DataError(f"the teacher {path} has other pitch bins or hops than the model that is trained; take one that has the same")
        self.taps, self.hop_samples = config.long_taps, config.hop_samples
        self.head, self.delay_ms = len(config.look_ahead_ms) - 1, config.look_ahead_ms[-1]

    @torch.no_grad()
    def __call__(self, waveform: Tensor) -> Taught:
        """``[B, T * hop]`` -> T hops of each, from silence."""
        pitches, voicings = [], []
        for one in F.pad(waveform, (self.taps - self.hop_samples, 0)):
            windows = one.unfold(0, self.taps, self.hop_samples).contiguous()
            pitch, voicing, _ = self._program.block(windows, self._program.block_beginning(torch.zeros(1)), self.head)
            pitches.append(torch.softmax(pitch, 1))
            voicings.append(torch.sigmoid(voicing))
        return Taught(torch.stack(pitches), torch.stack(voicings), self.delay_ms)


def later(rows: Tensor, hops: float) -> Tensor:
    """``rows [B, T, ...]`` from ``hops`` later on, those between two whole hops by the mean of both: ``[B, T - ceil(hops), ...]``."""
    low, part = math.floor(hops), hops - math.floor(hops)
    count = rows.size(1) - math.ceil(hops)
    first = rows[:, low : low + count]
    return first if part == 0.0 else torch.lerp(first, rows[:, low + 1 : low + 1 + count], part)


def teacher_loss(output: Output, taught: Taught, config: ModelConfig) -> tuple[Tensor, Tensor]:
    """Cross-entropy of pitch, weighted by how surely the teacher hears somebody sing, and of voicing; means over heads and hops
    (nats). A moment of which the teacher speaks only after the last hop is left out, and so is one before the first."""
    pitch_losses, voicing_losses = [], []
    for head, delay_ms in enumerate(config.look_ahead_ms):
        hops = (taught.delay_ms - delay_ms) / config.hop_ms
        if hops < 0.0:
            continue
        first = math.ceil(delay_ms / config.hop_ms)
        pitch, voicing = (later(rows, hops)[:, first:] for rows in taught[:2])
        some = slice(first, first + pitch.size(1))
        told = torch.log_softmax(output.pitch_logits[:, head, some].float(), 2)
        pitch_losses.append(-((pitch * told).sum(2) * voicing).sum() / voicing.sum().clamp(min=1.0))
        voicing_losses.append(F.binary_cross_entropy_with_logits(output.voicing_logits[:, some, head].float(), voicing))
    return torch.stack(pitch_losses).mean(), torch.stack(voicing_losses).mean()
