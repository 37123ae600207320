"""The whole way from data to a model that streams, on a made data set, in seconds: a check, not a training.

``python -m rt_melody.models.training.tiny --out FOLDER`` sings a few clips, trains a small network on them for
three steps, exports it and lets it hear a hop. It leaves everything in FOLDER.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml

from rt_melody.models.config import ModelConfig
from rt_melody.models.streaming import StreamingModel
from rt_melody.models.training import export, train
from rt_melody.models.training.data import LABEL_STEP_MS, MIR1K_STEP_S, SAMPLE_RATE
from rt_melody.models.training.instruments import random_band
from rt_melody.models.training.singing import random_singing

SMALL = ModelConfig(
    name="tiny", short_filters=12, channels=6, branch_channels=3, dilations=(1, 2), context_size=16,
    look_ahead_ms=(0, 20, 40),
)
TRAINING = {
    "seed": 7, "steps": 3, "decay_steps": 1, "warmup_steps": 1, "batch": 2, "seconds": 1.0, "bf16": False,
    "muon": hasattr(torch.optim, "Muon"), "save_every": 1, "validate_every": 3, "validate_clips": 2,
}
SPLITS = {"train": ("ann", "ben"), "valid": ("cas",), "test": ("dot",)}  # singers
LABEL_EVERY = round(MIR1K_STEP_S * 1000) // LABEL_STEP_MS
PEAK = 0.5


def make_data(folder: Path, clips: int = 2, seconds: float = 1.6, seed: int = 0) -> None:
    """A data folder with ``clips`` sung clips a singer, over a band, in MIR-1K's layout; a noise and a room."""
    rng = np.random.default_rng(seed)
    for split, singers in SPLITS.items():
        (folder / "mir-1k" / split).mkdir(parents=True, exist_ok=True)
        for singer in singers:
            for i in range(1, clips + 1):
                write_clip(folder / "mir-1k" / split / f"{singer}_1_{i:02d}", rng, round(seconds * SAMPLE_RATE))
    room = np.exp(-np.arange(800) / 150.0) * rng.standard_normal(800)
    room[0] = 3.0
    for name, sound in (("noise/hiss", rng.standard_normal(SAMPLE_RATE)), ("rooms/box", room)):
        (folder / name).parent.mkdir(exist_ok=True)
        write_opus(folder / name, sound)


def write_clip(stem: Path, rng: np.random.Generator, samples: int) -> None:
    """``STEM.opus``, left band and right voice at equal peaks, and ``STEM.pv`` with a label each 20 ms."""
    voice, pitch = random_singing(rng, samples)
    write_opus(stem, np.stack([_peaked(random_band(rng, samples)), _peaked(voice)], 1))
    stem.with_suffix(".pv").write_text("".join(f"{p:.4f}\n" for p in pitch[LABEL_EVERY::LABEL_EVERY]))


def write_opus(stem: Path, sound: np.ndarray) -> None:
    soundfile.write(stem.with_suffix(".opus"), PEAK * _peaked(sound), SAMPLE_RATE, format="OGG", subtype="OPUS")


def _peaked(sound: np.ndarray) -> np.ndarray:
    return sound / (np.abs(sound).max() + 1e-9)


def write_configs(folder: Path, **changes: object) -> Path:
    """The small network's configuration and that of its training; the path of the latter."""
    model = folder / "tiny-model.yaml"
    model.write_text(yaml.safe_dump(SMALL.to_dict()), encoding="utf-8")
    training = folder / "tiny-training.yaml"
    training.write_text(yaml.safe_dump({**TRAINING, "model": str(model), **changes}), encoding="utf-8")
    return training


def hear_a_second(path: Path) -> None:
    """Step an exported model over a second of noise. Raises FloatingPointError if it tells no number."""
    model = StreamingModel(path)
    hop, window = model.config.hop_samples, len(model.window)
    noise = 0.1 * np.random.default_rng(1).standard_normal(SAMPLE_RATE + window)
    for start in range(0, SAMPLE_RATE, hop):
        model.window[:] = noise[start : start + window]
        logits, voicing = model.step()
        if not np.isfinite([*logits, voicing]).all():
            raise FloatingPointError(f"{path} tells {voicing} and {logits} of noise; these must be finite")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a small network on a made data set for a moment, and export it.")
    parser.add_argument("--out", required=True, type=Path, help="folder for the data, the run and the model")
    out = parser.parse_args(arguments).out
    out.mkdir(parents=True, exist_ok=True)
    make_data(out / "data")
    config = write_configs(out)
    train.main(["--config", str(config), "--data", str(out / "data"), "--out", str(out / "run")])
    stored = export.mean_checkpoint([out / "run" / "last.pt"])
    export.export(stored, out / "tiny.pt", "a check, of no use", "made by random_singing and random_band")
    hear_a_second(out / "tiny.pt")
    print(f"trained {TRAINING['steps']} steps, exported {out / 'tiny.pt'} and heard a second with it")


if __name__ == "__main__":
    main()
