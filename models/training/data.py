"""What training draws from: recordings with labels on one grid, noises, rooms.

Conventions
-----------
* Waveforms are mono float32 at 16 kHz; ``accompaniment`` is sample-aligned with ``voice``.
* Labels lie on a 5 ms grid from time 0: ``pitch[j]`` is the fractional MIDI note number at ``j * 5`` ms,
  0 where unvoiced, UNKNOWN where the label says nothing. How each dataset labels its recordings is told in
  ``datasets``.

The data folder is ``--data`` of each command or the environment variable ``RT_MELODY_DATA``. It holds
``mir-1k/{train,valid,test}`` (NAME.opus or wav, left accompaniment and right voice, beside NAME.pv). The rest may be
empty or absent: ``voices/{train,valid}`` and ``speech`` (clean voices, NAME.opus beside NAME.f0), ``ssvd/more``
(solo takes, NAME.opus beside their notes, NAME.txt), and ``noise`` and ``rooms`` (recordings of noise, impulse
responses). What ``training.prepare`` made of it is in a folder of its own: f0 of the solo takes, instrumental music.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from rt_melody.models.training.datasets import (
    AUDIO_ENDINGS,
    MIR1K_STEP_S,
    SAMPLE_RATE,
    UNKNOWN,
    DataError,
    Recording,
    read_audio,
    read_mir1k,
    read_mir1k_labels,
    read_speech,
    read_takes,
    read_voices,
)

__all__ = [
    "DISPUTED",
    "LABEL_STEP_MS",
    "MIR1K_STEP_S",
    "SAMPLE_RATE",
    "UNKNOWN",
    "Clip",
    "DataError",
    "audio_files",
    "clip_of",
    "data_folder",
    "load_mir1k",
    "load_mono",
    "load_music",
    "load_voices",
    "noise_files",
    "read_audio",
    "read_mir1k_labels",
    "refuse",
    "to_label_grid",
]

LABEL_STEP_MS = 5
HELD_OUT_NOISES = 5  # one in so many is for measuring
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

    @property
    def mixture(self) -> np.ndarray:
        return self.voice if self.accompaniment is None else self.voice + self.accompaniment


def refuse(sentence: str) -> NoReturn:
    """Print the sentence and leave with status 2, as commands do on bad input."""
    print(sentence, file=sys.stderr)
    raise SystemExit(2)


def data_folder(path: str | None) -> Path:
    """The data folder from an option or the environment; leaves with a sentence without one."""
    chosen = path or os.environ.get("RT_MELODY_DATA")
    if not chosen:
        refuse("no data folder: give --data FOLDER or set RT_MELODY_DATA")
    folder = Path(chosen)
    if not (folder / "mir-1k").is_dir():
        refuse(f"the data folder {folder} holds no mir-1k/; see models/training/data.py for its layout")
    return folder


def to_label_grid(
    values: np.ndarray, times_s: np.ndarray, duration_s: float, step_s: float = MIR1K_STEP_S
) -> np.ndarray:
    """Pitch on the 5 ms grid: linear between voiced neighbours, else the nearest value's.

    A grid point between a voiced and an unvoiced value takes the nearer one. 0 means unvoiced, as is all
    that lies more than half of ``step_s``, the distance between labels, outside of them.
    """
    grid = np.arange(int(duration_s * 1000 / LABEL_STEP_MS) + 1) * LABEL_STEP_MS / 1000.0
    position = np.interp(grid, times_s, np.arange(len(times_s)))
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, len(values) - 1)
    part = position - low
    nearest = np.where(part < 0.5, values[low], values[high])
    both = (values[low] > 0) & (values[high] > 0)
    pitch = np.where(both, (1 - part) * values[low] + part * values[high], nearest)
    pitch[(grid > times_s[-1] + step_s / 2) | (grid < times_s[0] - step_s / 2)] = 0.0
    return pitch.astype(np.float32)


def clip_of(recording: Recording) -> Clip:
    """A recording as training takes it. Raises DataError for one that has no f0 labels."""
    if len(recording.times_s) < 2:
        raise DataError(f"{recording.dataset}'s {recording.name} has no f0 labels over time; it cannot train a pitch")
    step_s = round(float(np.median(np.diff(recording.times_s))), 6)
    pitch = to_label_grid(recording.pitch, recording.times_s, recording.duration_s, step_s)
    return Clip(recording.name, recording.singer, recording.waveform, recording.accompaniment, pitch, recording.licence)


def load_mir1k(folder: Path, split: str, keep_disputed: bool = True) -> list[Clip]:
    """All clips of ``train``, ``valid`` or ``test``, in name order."""
    recordings = read_mir1k(folder / "mir-1k" / split)
    return [clip_of(r) for r in recordings if keep_disputed or not r.name.startswith(DISPUTED)]


def load_voices(folder: Path, prepared: Path | None = None) -> tuple[list[Clip], list[str]]:
    """All voices to train on, and which parts of the data there are none of.

    ``prepared`` is what ``training.prepare`` made, for the f0 of solo takes. Raises DataError.
    """
    parts = {
        "voices/train": (folder / "voices/train", read_voices),
        "speech": (folder / "speech", read_speech),
        "ssvd/more, prepared": (prepared / "ssvd" if prepared else None, lambda labels: read_takes(folder / "ssvd/more", labels)),
    }
    clips, absent = load_mir1k(folder, "train", keep_disputed=False), []
    for name, (place, read) in parts.items():
        if place and place.is_dir():
            clips += [clip_of(recording) for recording in read(place)]
        else:
            absent.append(name)
    return clips, absent


def load_music(prepared: Path | None) -> list[np.ndarray]:
    """Instrumental music that ``training.prepare`` made, int16, mapped into memory; none without it."""
    return [np.load(path, mmap_mode="r") for path in sorted((prepared / "music").glob("*.npy"))] if prepared else []


def audio_files(folder: Path) -> list[Path]:
    """The recordings of a folder, in name order."""
    return sorted(p for p in folder.glob("*") if p.suffix in AUDIO_ENDINGS)


def load_mono(files: Iterable[Path]) -> list[np.ndarray]:
    """The first channel of each recording (noises, room responses)."""
    return [np.ascontiguousarray(read_audio(path)[:, 0]) for path in files]


def noise_files(folder: Path, split: str) -> list[Path]:
    """Recorded noises of the data folder: ``test`` is every fifth in name order, ``train`` the others."""
    files = audio_files(folder / "noise")
    return [path for i, path in enumerate(files) if (i % HELD_OUT_NOISES == 0) == (split == "test")]
