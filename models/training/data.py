"""Recordings with labels, read into one small record.

Conventions
-----------
* Waveforms are mono float32 at 16 kHz; ``accompaniment`` is sample-aligned with ``voice``.
* Labels lie on a 5 ms grid from time 0: ``pitch[j]`` is the fractional MIDI note number at ``j * 5`` ms,
  0 where unvoiced.
* MIR-1K: value i (from 0) of a ``.pv`` file stands at ``(i + 1) * 20`` ms; left channel accompaniment,
  right channel voice (Hsu and Jang 2010).

The data folder is ``--data`` of each command or the environment variable ``RT_MELODY_DATA``.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

SAMPLE_RATE = 16000
LABEL_STEP_MS = 5
MIR1K_STEP_S = 0.02
# Clips whose labels dispute the octave of the sound: left out of training, kept (and named) in tests.
DISPUTED = ("bug_5_", "amy_15_02", "amy_15_03", "annar_2_")


@dataclass(frozen=True)
class Clip:
    """One labelled recording. ``accompaniment`` is None where there is none."""

    name: str
    singer: str
    voice: np.ndarray  # [shape=(n_samples,)]
    accompaniment: np.ndarray | None
    pitch: np.ndarray  # [shape=(n_labels,)], 5 ms grid
    licence: str = "research, no redistribution"


def data_folder(path: str | None) -> Path:
    """The data folder from an option or the environment. Raises SystemExit with a sentence without one."""
    chosen = path or os.environ.get("RT_MELODY_DATA")
    if not chosen:
        raise SystemExit("no data folder: give --data FOLDER or set RT_MELODY_DATA")
    folder = Path(chosen)
    if not (folder / "mir-1k").is_dir():
        raise SystemExit(f"the data folder {folder} holds no mir-1k/; see models/training/data.py for its layout")
    return folder


def read_audio(path: Path) -> np.ndarray:
    """Samples [shape=(n_samples, n_channels)] of a 16 kHz file. Raises ValueError at another rate."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    if rate != SAMPLE_RATE:
        raise ValueError(f"{path} is at {rate} Hz; training data must be at {SAMPLE_RATE} Hz")
    return samples


def to_label_grid(values: np.ndarray, times_s: np.ndarray, duration_s: float) -> np.ndarray:
    """Pitch on the 5 ms grid: linear between voiced neighbours, else the nearest value's.

    A grid point between a voiced and an unvoiced value takes the nearer one. 0 means unvoiced.
    """
    grid = np.arange(int(duration_s * 1000 / LABEL_STEP_MS) + 1) * LABEL_STEP_MS / 1000.0
    position = np.interp(grid, times_s, np.arange(len(times_s)))
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, len(values) - 1)
    part = position - low
    nearest = np.where(part < 0.5, values[low], values[high])
    both = (values[low] > 0) & (values[high] > 0)
    pitch = np.where(both, (1 - part) * values[low] + part * values[high], nearest)
    pitch[(grid > times_s[-1] + MIR1K_STEP_S / 2) | (grid < times_s[0] - MIR1K_STEP_S / 2)] = 0.0
    return pitch.astype(np.float32)


def read_mir1k_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times in s and fractional MIDI note numbers (0 = unvoiced) of a ``.pv`` file."""
    values = np.loadtxt(path, dtype=np.float64, ndmin=1)
    return (np.arange(len(values)) + 1) * MIR1K_STEP_S, values


def load_mir1k(folder: Path, split: str, keep_disputed: bool = True) -> list[Clip]:
    """All clips of ``train``, ``valid`` or ``test``, in name order."""
    clips = []
    for path in sorted((folder / "mir-1k" / split).glob("*.opus")):
        if not keep_disputed and path.stem.startswith(DISPUTED):
            continue
        stereo = read_audio(path)
        times, values = read_mir1k_labels(path.with_suffix(".pv"))
        pitch = to_label_grid(values, times, len(stereo) / SAMPLE_RATE)
        voice, accompaniment = np.ascontiguousarray(stereo[:, 1]), np.ascontiguousarray(stereo[:, 0])
        clips.append(Clip(path.stem, path.stem.split("_")[0], voice, accompaniment, pitch))
    if not clips:
        raise SystemExit(f"no clips in {folder / 'mir-1k' / split}")
    return clips


def load_mono_folder(folder: Path) -> list[np.ndarray]:
    """Every recording of a folder as one channel (noises, room responses)."""
    return [np.ascontiguousarray(read_audio(p)[:, 0]) for p in sorted(folder.glob("*.opus"))]
