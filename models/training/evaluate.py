"""Figures of a checkpoint of any family on whole clips: ``python -m rt_melody.models.training.evaluate``.

For networks that do not stream (the published offline model), and for a first look at those that do; what is
published of the live model comes from the streaming engine (``rt_melody.benchmarks.accuracy``). The voicing
threshold is chosen on validation singers, per head, for the mean OA of mixture and voice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rt_melody.models.build import build_network
from rt_melody.models.config import ModelConfig
from rt_melody.models.training.data import DataError, data_folder, load_mir1k, refuse
from rt_melody.models.training.train import fill, load_checkpoint, spread
from rt_melody.models.training.validate import estimates, figures

KINDS = ("mixture", "voice")
THRESHOLDS = np.arange(0.3, 0.85, 0.05)


def best_threshold(heard: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> float:
    """The threshold whose OA, averaged over ``heard`` (one head's estimates a kind), is highest."""
    def overall(threshold: float) -> float:
        return np.mean([figures(p, v > np.log(threshold / (1 - threshold)), t).overall for p, v, t in heard])

    return float(max(THRESHOLDS, key=overall))


def one_head(parts: tuple[np.ndarray, np.ndarray, np.ndarray], head: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keep = parts[2][head] >= 0
    return tuple(part[head][keep] for part in parts)


def evaluate(checkpoint: Path, data: str | None, split: str, clips: int) -> str:
    """A table, one row a head and kind. Raises DataError."""
    stored = load_checkpoint(checkpoint)
    config = ModelConfig.from_dict(stored["model"])
    net = build_network(config)
    fill(checkpoint, stored, (net, "average"))
    folder = data_folder(data)
    tuned = {kind: estimates(net, spread(load_mir1k(folder, "valid"), clips), config, kind) for kind in KINDS}
    found = {kind: estimates(net, spread(load_mir1k(folder, split), clips), config, kind) for kind in KINDS}
    lines = [f"{config.name}, step {stored['step']}, {split}"]
    for head, delay_ms in enumerate(config.look_ahead_ms):
        threshold = best_threshold([one_head(tuned[kind], head) for kind in KINDS])
        for kind in KINDS:
            pitch, logit, truth = one_head(found[kind], head)
            row = figures(pitch, logit > np.log(threshold / (1 - threshold)), truth)
            lines.append(f"look-ahead {delay_ms:3g} ms, threshold {threshold:.2f}, {kind:8} {row}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
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
