"""What training cannot read as it lies: f0 of solo takes whose notes alone are labelled, and music without a voice.

``python -m rt_melody.models.training.prepare --data FOLDER --music FOLDER ... --out PREPARED`` writes

* ``PREPARED/ssvd/NAME.f0`` for the takes of ``ssvd/more``: Praat's f0 where it is within NOTE_CENTS of the note that was
  labelled by hand, 0 where no note is near and nothing sounds, -1 (unknown) elsewhere. The labels' bias is taken out
  of each file first; a take whose bias is larger than LARGEST_BIAS_CENTS, or where too little agrees, is left out.
* ``PREPARED/music/NAME-PIECE.npy``: pieces of PIECE_S of all recordings under the music folders, int16 at 16 kHz, for a
  training to map into memory. Pieces in which somebody may sing are left out: those of which a trained network
  calls more than MOST_VOICED sung, and those where Praat hears the same pitch as it in more than MOST_AGREED, which
  a lone instrument does, too.

It says how much it kept of each. What is there already is not made again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rt_melody.models.training.augment import level_db
from rt_melody.models.training.data import data_folder, refuse
from rt_melody.models.training.datasets import (
    AUDIO_ENDINGS,
    F0_STEP_S,
    SAMPLE_RATE,
    UNKNOWN,
    DataError,
    LabelledNote,
    Recording,
    note_bias_cents,
    read_audio,
    read_ssvd,
    without_bias,
)
from rt_melody.models.training.evaluate import Tracker, load_tracker

F0_RANGE_HZ = (55.0, 1100.0)
NOTE_CENTS = 100.0  # a voice that is on a note is within these
CLEAR_S = 0.1  # from any note, where nobody is said to sing
QUIET_DB = 25.0  # below the loudest frames: nothing sounds
LARGEST_BIAS_CENTS = 45.0
LEAST_AGREED = 0.6  # of the time within notes
PIECE_S = 15.0
MOST_VOICED = 0.5
MOST_AGREED = 0.1
AGREED_CENTS = 50.0
FAINT = 1e-3  # RMS of a piece that is silence


def praat_f0(sound: np.ndarray, step_s: float = F0_STEP_S) -> np.ndarray:
    """Fractional MIDI every ``step_s`` from time 0, 0 where unvoiced, by Praat's autocorrelation method."""
    try:
        import parselmouth
    except ImportError as error:
        raise DataError("preparing needs Praat: pip install praat-parselmouth") from error
    low, high = F0_RANGE_HZ
    track = parselmouth.Sound(sound.astype(np.float64), SAMPLE_RATE).to_pitch_ac(
        time_step=step_s / 2, pitch_floor=low, pitch_ceiling=high
    )
    times, f0_hz = track.xs(), track.selected_array["frequency"]
    grid = np.arange(int(np.ceil(len(sound) / SAMPLE_RATE / step_s))) * step_s
    nearest = np.clip(np.round((grid - times[0]) / (step_s / 2)).astype(int), 0, len(times) - 1)
    heard = f0_hz[nearest]
    return np.where(heard > 0, 69.0 + 12.0 * np.log2(np.maximum(heard, low) / 440.0), 0.0)


# ---- solo takes --------------------------------------------------------------------------------


def note_at(notes: Sequence[LabelledNote], times_s: np.ndarray) -> np.ndarray:
    """The labelled pitch at each time, 0 where there is no note [shape=(n_times,)]."""
    pitch = np.zeros(len(times_s))
    for note in notes:
        pitch[(times_s >= note.onset_s) & (times_s < note.offset_s)] = note.pitch
    return pitch


def take_labels(take: Recording, heard: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Pitch every F0_STEP_S (0 unvoiced, UNKNOWN), the labels' bias in cents, and the share of the notes' time that agrees.

    ``heard`` is a measurement of the take's f0 on the same grid.
    """
    times = np.arange(len(heard)) * F0_STEP_S
    bias_cents = note_bias_cents(take.notes, times, heard)
    notes = without_bias(take.notes, bias_cents)
    meant = note_at(notes, times)
    agreed = (meant > 0) & (heard > 0) & (np.abs(heard - meant) * 100.0 < NOTE_CENTS)
    near = note_at([LabelledNote(n.onset_s - CLEAR_S, n.offset_s + CLEAR_S, n.pitch) for n in notes], times) > 0
    level = level_db(take.waveform, times)
    silent = ~near & (heard == 0) & (level < np.percentile(level, 99) - QUIET_DB)
    pitch = np.where(agreed, heard, np.where(silent, 0.0, UNKNOWN))
    return pitch, bias_cents, float(agreed.sum() / max(1, (meant > 0).sum()))


def prepare_takes(folder: Path, out: Path) -> str:
    """Writes the takes' f0; what it made, in a line. Raises DataError."""
    out.mkdir(parents=True, exist_ok=True)
    kept, left_out = 0, []
    for take in tqdm(read_ssvd(folder), "takes"):
        path = out / f"{take.name}.f0"
        if not path.exists():
            pitch, bias_cents, share = take_labels(take, praat_f0(take.waveform))
            if abs(bias_cents) > LARGEST_BIAS_CENTS or share < LEAST_AGREED:
                left_out.append(f"{take.name} (bias {bias_cents:.0f} cents, {100 * share:.0f} % agrees)")
                continue
            write_beside(path, partial(np.savetxt, X=pitch, fmt="%.3f"))
        kept += 1
    return f"takes: {kept} kept" + (f"; left out {', '.join(left_out)}" if left_out else "")


# ---- music -------------------------------------------------------------------------------------


def music_files(folder: Path) -> list[Path]:
    """Every recording under ``folder``, in name order. Raises DataError where there is none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_ENDINGS and path.is_file() and not path.is_symlink())
    if not found:
        raise DataError(f"--music {folder} holds no recordings ({', '.join(AUDIO_ENDINGS)}); give a folder that does, or leave it out")
    return found


def pieces_of(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Number and samples of each whole piece of a recording, peak 0.9 of the recording's; silence is left out."""
    sound = read_audio(path).mean(1)
    sound *= np.float32(0.9 / max(1e-6, np.abs(sound).max()))
    size = round(PIECE_S * SAMPLE_RATE)
    for number in range(len(sound) // size):
        piece = sound[number * size : (number + 1) * size]
        if np.sqrt(np.mean(np.square(piece))) > FAINT:
            yield number, piece


def sung_shares(tracker: Tracker, piece: np.ndarray) -> tuple[float, float]:
    """Of a piece, the share that the network's last head calls voiced, and that where Praat agrees with its pitch."""
    pitch, logit = (rows[-1] for rows in tracker.hear(piece))
    heard = praat_f0(piece)[: len(pitch)]
    late = round(tracker.config.look_ahead_ms[-1] / tracker.config.hop_ms) - 1  # hops between a moment and what is told of it
    pitch, logit = pitch[late:], logit[late:]
    heard = heard[: len(pitch)]
    voiced = logit[: len(heard)] > 0
    agreed = voiced & (heard > 0) & (np.abs(heard - pitch[: len(heard)]) * 100.0 < AGREED_CENTS)
    return float(voiced.mean()), float(agreed.mean())


def prepare_music(folder: Path, out: Path, tracker: Tracker, minutes: float) -> str:
    """Writes what nobody sings in, at most about ``minutes`` of it, spread over the recordings; what it kept, in a line."""
    out.mkdir(parents=True, exist_ok=True)
    files, size = music_files(folder), PIECE_S / 60.0
    share = max(1, round(minutes / size / len(files)))  # pieces of each recording
    kept = sung = 0
    for path in tqdm(files, folder.name):
        several = list(pieces_of(path))
        for number, piece in several[:: max(1, -(-len(several) // share))]:
            target = out / f"{folder.name}-{path.parent.name}-{path.stem}-{number:03d}.npy".replace(" ", "_")
            if not target.exists():
                voiced, agreed = sung_shares(tracker, piece)
                if voiced > MOST_VOICED or agreed > MOST_AGREED:
                    sung += 1
                    continue
                write_beside(target, partial(np.save, arr=np.round(piece * 32767.0).astype(np.int16)))
            kept += 1
    return f"{folder.name}: {kept * size:.0f} minutes kept, {sung * size:.0f} left out where somebody may sing"


def write_beside(path: Path, write: Callable[[Path], None]) -> None:
    """Written into a file of its own and moved into place: a stop at any moment leaves no half file. Raises DataError."""
    beside = path.with_name(f"part-{path.name}")
    try:
        write(beside)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written ({error.strerror}); make room, then the same command goes on") from error


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make f0 of solo takes, and music without a voice, for training.")
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--out", required=True, type=Path, help="what is made; give it to the training as --prepared")
    parser.add_argument("--music", nargs="*", default=[], type=Path, metavar="FOLDER", help="instrumental music, in any depth")
    parser.add_argument("--minutes", type=float, default=40.0, help="of music from each folder, about")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=Path(__file__).parents[1] / "weights" / "live-trainable.pt",
        help="the network that tells whether somebody sings",
    )
    args = parser.parse_args(arguments)
    try:
        takes = data_folder(args.data) / "ssvd" / "more"
        print(prepare_takes(takes, args.out / "ssvd") if takes.is_dir() else f"there are no takes at {takes}")
        if args.music:
            tracker = load_tracker(args.checkpoint, [])
            for folder in args.music:
                print(prepare_music(folder, args.out / "music", tracker, args.minutes), flush=True)
    except DataError as error:
        refuse(str(error))


if __name__ == "__main__":
    main()
