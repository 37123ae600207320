"""One's own recordings as a data folder that training reads: ``python -m rt_melody.models.training.own --recordings FOLDER --out DATA``.

In the folder, in any depth, lie sounds with one voice (wav, flac, ogg, opus) and beside each its labels, NAME.f0.txt: lines of a
time in s and an f0 in Hz, 0 or negative where nobody sings, as Tony, Sonic Visualiser, Praat scripts and ``rt-melody extract
--format mir_eval`` write them. NAME.band.wav, where there is one, is the accompaniment from the same moment on. Singers are the
folders: each is in one split alone. Every TENTH singer is for ``valid`` and the next one for ``test``; with fewer than three
singers recordings are divided instead, which makes the figures too good, and is said.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from rt_melody.models.training.data import refuse
from rt_melody.models.training.datasets import AUDIO_ENDINGS, LOWEST_F0_HZ, MIR1K_STEP_S, SAMPLE_RATE, DataError, read_audio

LABELS = ".f0.txt"
BAND = ".band"
NEAREST_S = 0.025  # a label speaks for moments no farther
TENTH = 10


def read_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times in s and f0 in Hz, 0 where unvoiced. Raises DataError."""
    try:
        rows = np.loadtxt(path.read_text(encoding="utf-8").replace(",", " ").splitlines(), ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no list of times and f0 ({error}); write lines such as 0.01 220.5") from error
    if rows.shape[1] != 2 or not len(rows):
        raise DataError(f"{path} must hold lines of a time in s and an f0 in Hz; it has {rows.shape[1]} columns")
    times_s, f0_hz = rows.T
    if (np.diff(times_s) <= 0).any():
        raise DataError(f"{path}: times must ascend; line {int(np.argmax(np.diff(times_s) <= 0)) + 2} does not")
    wrong = (f0_hz > 0) & (f0_hz < LOWEST_F0_HZ)
    if wrong.any():
        raise DataError(f"{path}: {f0_hz[wrong][0]:g} in line {int(np.argmax(wrong)) + 1} is no f0 in Hz; are these MIDI note numbers?")
    return times_s, np.maximum(f0_hz, 0.0)


def on_grid(times_s: np.ndarray, f0_hz: np.ndarray, duration_s: float) -> np.ndarray:
    """Fractional MIDI note numbers every MIR1K_STEP_S from the first step on, 0 where unvoiced: of the nearest label."""
    steps_s = (np.arange(int(duration_s / MIR1K_STEP_S)) + 1) * MIR1K_STEP_S
    after = np.clip(np.searchsorted(times_s, steps_s), 1, max(1, len(times_s) - 1))
    before = after - 1
    nearest = np.where(np.abs(times_s[before] - steps_s) <= np.abs(times_s[np.minimum(after, len(times_s) - 1)] - steps_s), before, after)
    nearest = np.minimum(nearest, len(times_s) - 1)
    sung = (f0_hz[nearest] > 0) & (np.abs(times_s[nearest] - steps_s) <= NEAREST_S)
    return np.where(sung, 69.0 + 12.0 * np.log2(np.maximum(f0_hz[nearest], LOWEST_F0_HZ) / 440.0), 0.0)


def labelled(folder: Path) -> dict[Path, Path]:
    """Sounds and their labels. Raises DataError where there is none, or one without the other."""
    labels = sorted(folder.rglob(f"*{LABELS}"))
    if not labels:
        raise DataError(f"{folder} holds no labels *{LABELS}; put NAME{LABELS} beside NAME.wav")
    return {_sound(path.parent, path.name.removesuffix(LABELS)): path for path in labels}


def _sound(folder: Path, name: str) -> Path:
    found = next((folder / f"{name}{ending}" for ending in AUDIO_ENDINGS if (folder / f"{name}{ending}").is_file()), None)
    if found is None:
        raise DataError(f"{folder / name}{LABELS} has no recording beside it; put {name}.wav there")
    return found


def splits(sounds: Sequence[Path]) -> dict[Path, str]:
    """Which are for training, which choose among checkpoints, which tell how good it is."""
    singers = sorted({sound.parent for sound in sounds})
    groups: list[Path] = singers if len(singers) >= 3 else sorted(sounds)
    if len(groups) < 3:
        raise DataError(f"{len(groups)} recordings are too few; give three at least, to train, to choose and to judge")
    turns = {group: ("valid", "test")[turn] for i, group in enumerate(groups) if (turn := i % TENTH) < 2}
    return {sound: turns.get(sound.parent if len(singers) >= 3 else sound, "train") for sound in sounds}


def write(sound: Path, labels: Path, folder: Path, name: str) -> float:
    """A clip as MIR-1K has them, left accompaniment, right voice; its seconds."""
    voice = read_audio(sound).mean(axis=1)
    bands = (sound.with_name(f"{sound.stem}{BAND}{ending}") for ending in AUDIO_ENDINGS)
    band = next((read_audio(path).mean(axis=1) for path in bands if path.is_file()), voice[:0])
    left = np.zeros_like(voice)
    left[: min(len(band), len(voice))] = band[: len(voice)]
    pitch = on_grid(*read_labels(labels), len(voice) / SAMPLE_RATE)
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{name}.wav", np.stack([left, voice], axis=1), SAMPLE_RATE, subtype="PCM_16")
    (folder / f"{name}.pv").write_text("".join(f"{value:.4f}\n" for value in pitch))
    return len(voice) / SAMPLE_RATE


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, required=True, help="sounds, and labels beside them")
    parser.add_argument("--out", type=Path, required=True, help="the data folder that is made; give it to the training as --data")
    args = parser.parse_args(arguments)
    try:
        pairs = labelled(args.recordings)
        placed = splits(list(pairs))
        lengths_s: dict[str, float] = dict.fromkeys(("train", "valid", "test"), 0.0)
        for i, (sound, labels) in enumerate(pairs.items()):
            name = f"{sound.parent.name.replace('_', '-')}_{i:05}"
            lengths_s[placed[sound]] += write(sound, labels, args.out / "mir-1k" / placed[sound], name)
    except DataError as error:
        refuse(str(error))
    if len({sound.parent for sound in pairs}) < 3:
        print("there are fewer than three folders of singers: recordings are divided, and the figures will be too good")
    print(", ".join(f"{split} {seconds / 60:.1f} min" for split, seconds in lengths_s.items()) + f" in {args.out}")


if __name__ == "__main__":
    main()
