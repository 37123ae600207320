"""Real singing with labels, where this machine has it.

The recordings may not be redistributed, so they are no part of the repository. They are looked for in the
folder that the environment variable ``RT_MELODY_DATA`` names, else in ``shared/data`` beside the checkout,
which holds MIR-1K as ``mir-1k/{train,valid,test}/NAME.opus`` (left accompaniment, right voice) and ``NAME.pv``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from rt_melody.benchmarks.rig.midi_reader import LABEL_STEP_S

CHECKOUT = Path(__file__).resolve().parents[2]


class DataMissing(Exception):
    """The recordings are not on this machine. The message names the folder and the variable."""


@dataclass(frozen=True)
class Singing:
    samples: np.ndarray  # [shape=(n,)], float32
    sample_rate: int
    times_s: np.ndarray  # [shape=(n_frames,)]
    sung: np.ndarray  # [shape=(n_frames,)], MIDI pitch, NaN where unvoiced


def data_folder() -> Path:
    """The folder of recordings; DataMissing where there is none."""
    folder = Path(os.environ.get("RT_MELODY_DATA") or CHECKOUT.parent / "shared" / "data")
    if not (folder / "mir-1k" / "test").is_dir():
        raise DataMissing(
            f"no mir-1k/test in {folder}: set RT_MELODY_DATA to the folder of recordings, or put it at shared/data beside the checkout"
        )
    return folder


def read_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds and MIDI pitches, NaN for the zeros that mean unvoiced."""
    pitches = np.array([float(line) for line in path.read_text().split()])
    return (np.arange(len(pitches)) + 1) * LABEL_STEP_S, np.where(pitches > 0, pitches, np.nan)


def read_clip(path: Path, channel: str) -> Singing:
    """One clip: ``channel`` is 'voice' (right) or 'mixture' (both summed)."""
    stereo, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = stereo[:, 1] if channel == "voice" else stereo.sum(axis=1)
    return Singing(np.ascontiguousarray(samples), rate, *read_labels(path.with_suffix(".pv")))


def join(clips: list[Singing]) -> Singing:
    """Clips one after the other, labels moved along."""
    rate = clips[0].sample_rate
    starts = np.cumsum([0] + [len(clip.samples) for clip in clips[:-1]]) / rate
    return Singing(
        np.concatenate([clip.samples for clip in clips]), rate,
        np.concatenate([clip.times_s + start for clip, start in zip(clips, starts)]),
        np.concatenate([clip.sung for clip in clips]),
    )


def test_singing(at_least_s: float, channel: str = "voice") -> Singing:
    """Clips of the test singers in turn (one each, then the next of each) until ``at_least_s`` is reached."""
    by_singer: dict[str, list[Path]] = {}
    for path in sorted((data_folder() / "mir-1k" / "test").glob("*.opus")):
        by_singer.setdefault(path.stem.split("_")[0], []).append(path)
    turns = (path for turn in zip(*by_singer.values()) for path in turn)
    clips: list[Singing] = []
    while sum(len(clip.samples) / clip.sample_rate for clip in clips) < at_least_s:
        clips.append(read_clip(next(turns), channel))
    return join(clips)


test_singing.__test__ = False  # the name says whose singing; pytest must not collect it
