"""Figures of a checkpoint of any family on whole clips: ``python -m rt_melody.models.training.evaluate``.

For networks that do not stream (the published offline model and those it was compared with), and for a first look
at those that do; what is published of the live model comes from the streaming engine
(``rt_melody.benchmarks.accuracy``). The voicing threshold is chosen on validation singers, per head, for the OA of
the kinds that are asked for. A network with ``smoothed`` set is read through an HMM (``smooth``), as published.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch

from rt_melody.models.build import build_network
from rt_melody.models.config import ModelConfig
from rt_melody.models.network import Network
from rt_melody.models.training.data import LABEL_STEP_MS, Clip, DataError, data_folder, load_mir1k, refuse
from rt_melody.models.training.losses import head_targets
from rt_melody.models.training.train import fill, load_checkpoint, spread
from rt_melody.models.training.validate import figures, read_pitch

KINDS = ("mixture", "voice")
THRESHOLDS = np.arange(0.3, 0.85, 0.05)
RAREST_MOVE = 1e-6  # probability of a move of pitch that no label makes

Estimate = tuple[np.ndarray, np.ndarray, np.ndarray]  # of one head: pitch, voicing logit, true pitch


@dataclass(frozen=True)
class Tracker:
    """A trained network with all that turns a recording into a pitch track."""

    net: Network
    config: ModelConfig
    step: int
    moves: np.ndarray | None = None  # log probability of each move in bins, see ``count_moves``

    @torch.no_grad()
    def hear(self, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pitch in fractional MIDI and voicing logit of every head ``[heads, hops]``."""
        hops = len(sound) // self.config.hop_samples
        out = self.net.eval().whole(torch.from_numpy(sound[None, : hops * self.config.hop_samples]))
        logits = out.pitch_logits[0].float()
        grid = torch.from_numpy(self.config.pitch_midi()).float()
        if self.moves is None:
            pitch = read_pitch(logits, grid).numpy()
        else:
            paths = [smooth(torch.log_softmax(head, 1).numpy(), self.moves) for head in logits]
            pitch = grid.numpy()[np.stack(paths)]
        return pitch, out.voicing_logits[0].t().float().numpy()

    def track(self, sound: np.ndarray, threshold: float, head: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``time_s``, ``f0_hz`` and ``voiced`` of one head ``[shape=(n,)]``."""
        pitch, logit = self.hear(sound)
        hop_ms = self.config.hop_ms
        time_s = ((np.arange(pitch.shape[1]) + 1) * hop_ms - self.config.look_ahead_ms[head]) / 1000.0
        known = time_s >= 0
        f0_hz = 440.0 * 2.0 ** ((pitch[head] - 69.0) / 12.0)
        return time_s[known], f0_hz[known], logit[head][known] > np.log(threshold / (1.0 - threshold))

    def estimates(self, clips: Sequence[Clip], kind: str) -> list[Estimate]:
        """Each head's estimates of ``kind`` ("mixture" or "voice") of all clips, where it speaks of the clip."""
        heads: list[list[Estimate]] = [[] for _ in self.config.look_ahead_ms]
        for clip in clips:
            pitch, logit = self.hear(clip.voice if kind == "voice" else clip.mixture)
            target, known = head_targets(torch.from_numpy(clip.pitch)[None], self.config, pitch.shape[1])
            for parts, p, v, t, k in zip(heads, pitch, logit, target[0].numpy(), known[0].numpy()):
                parts.append((p[k], v[k], t[k]))
        return [cast(Estimate, tuple(np.concatenate(part) for part in zip(*parts))) for parts in heads]

    def thresholds(self, clips: Sequence[Clip], kinds: Sequence[str] = KINDS) -> list[float]:
        """The best threshold of each head on ``clips``."""
        several = [self.estimates(clips, kind) for kind in kinds]
        return [best_threshold(list(each)) for each in zip(*several)]


def load_tracker(checkpoint: Path, labelled: Sequence[Clip]) -> Tracker:
    """The averaged network of a checkpoint; ``labelled`` are the training clips whose pitch moves are counted
    where it is read through an HMM. Raises DataError."""
    stored = load_checkpoint(checkpoint)
    config = ModelConfig.from_dict(stored["model"])
    net = build_network(config)
    fill(checkpoint, stored, (net, "average"))
    moves = count_moves(labelled, config) if getattr(net, "smoothed", False) else None
    return Tracker(net, config, stored["step"], moves)


def count_moves(clips: Sequence[Clip], config: ModelConfig) -> np.ndarray:
    """Log probability of moving by -(n-1) .. n-1 bins from hop to hop, counted from labels [shape=(2 * n - 1,)]."""
    bins, counts = config.pitch_bins, np.zeros(2 * config.pitch_bins - 1)
    for clip in clips:
        pitch = clip.pitch[:: round(config.hop_ms / LABEL_STEP_MS)]
        at = np.round((pitch - config.pitch_midi()[0]) * config.bins_per_semitone).astype(int)
        sung = (pitch[:-1] > 0) & (pitch[1:] > 0)
        np.add.at(counts, np.clip(np.diff(at)[sung], 1 - bins, bins - 1) + bins - 1, 1)
    return np.log(np.maximum(counts / max(1.0, counts.sum()), RAREST_MOVE))


def smooth(log_likelihood: np.ndarray, log_moves: np.ndarray) -> np.ndarray:
    """The likeliest path through ``[shape=(hops, n)]``, every beginning alike (Viterbi) [shape=(hops,)]."""
    hops, n = log_likelihood.shape
    moves = log_moves[np.arange(n)[None, :] - np.arange(n)[:, None] + n - 1]  # [from, to]
    back, score = np.zeros((hops, n), np.int32), log_likelihood[0].astype(float)
    for t in range(1, hops):
        reached = score[:, None] + moves
        back[t] = reached.argmax(0)
        score = reached.max(0) + log_likelihood[t]
    path = np.zeros(hops, np.int64)
    path[-1] = score.argmax()
    for t in range(hops - 1, 0, -1):
        path[t - 1] = back[t, path[t]]
    return path


def best_threshold(heard: list[Estimate]) -> float:
    """The threshold whose OA, averaged over ``heard`` (one head's estimates a kind), is highest."""
    def overall(threshold: float) -> float:
        return float(np.mean([figures(p, v > np.log(threshold / (1 - threshold)), t).overall for p, v, t in heard]))

    return float(max(THRESHOLDS, key=overall))


def evaluate(checkpoint: Path, data: str | None, split: str, clips: int) -> str:
    """A table, one row a head and kind. Raises DataError."""
    folder = data_folder(data)
    tracker = load_tracker(checkpoint, load_mir1k(folder, "train", keep_disputed=False))
    config, chosen = tracker.config, tracker.thresholds(spread(load_mir1k(folder, "valid"), clips))
    tested = spread(load_mir1k(folder, split), clips)
    found = {kind: tracker.estimates(tested, kind) for kind in KINDS}
    lines = [f"{config.name}, step {tracker.step}, {split}"]
    for head, (delay_ms, threshold) in enumerate(zip(config.look_ahead_ms, chosen)):
        for kind in KINDS:
            pitch, logit, truth = found[kind][head]
            row = figures(pitch, logit > np.log(threshold / (1 - threshold)), truth)
            lines.append(f"look-ahead {delay_ms:3g} ms, threshold {threshold:.2f}, {kind:8} {row}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--split", default="test", choices=("train", "valid", "test"))
    parser.add_argument("--clips", type=int, default=10_000, help="about so many clips of each split, evenly spaced")
    args = parser.parse_args()
    try:
        print(evaluate(args.checkpoint, args.data, args.split, args.clips))
    except DataError as error:
        refuse(str(error))


if __name__ == "__main__":
    main()
