"""What the comparison says of a track: accuracy at a latency, stability.

Conventions as in ``benchmarks.melody_scores``: times in s, f0 in Hz, 0 where the truth is unvoiced.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

import numpy as np

from rt_melody.benchmarks.melody_scores import RIGHT_CENTS, MelodyScores, read_at

REST = -1  # in place of a note number


@dataclass(frozen=True)
class Track:
    """Estimates of one sound in order of time, all [shape=(n,)]; ``available_s`` is inf where a tool is offline."""

    time_s: np.ndarray
    available_s: np.ndarray
    f0_hz: np.ndarray
    voiced: np.ndarray


@dataclass(frozen=True)
class Truth:
    """f0 of one sound [shape=(n,)], 0 where nobody sings."""

    time_s: np.ndarray
    f0_hz: np.ndarray


def known_at(track: Track, times_s: np.ndarray, latency_s: float) -> tuple[np.ndarray, np.ndarray]:
    """f0 in Hz and voicing at ``times_s`` [shape=(n,)] as they were known ``latency_s`` later, by ``read_at``."""
    existing = np.searchsorted(np.maximum.accumulate(track.available_s), times_s + latency_s + 1e-9, "right")
    return read_at(times_s, track.time_s, track.f0_hz, track.voiced, existing)


def accuracy(tracks: Iterable[Track], truths: Iterable[Truth], latency_s: float = inf) -> MelodyScores:
    """mir_eval's figures of what was known ``latency_s`` later, of all tools and with and without a limit alike."""
    scores = MelodyScores()
    for track, truth in zip(tracks, truths, strict=True):
        f0_hz, voiced = known_at(track, truth.time_s, latency_s)
        scores.add(truth.time_s, truth.f0_hz, truth.time_s, f0_hz, voiced)
    return scores


def rounded(f0_hz: np.ndarray, voiced: np.ndarray) -> np.ndarray:
    """MIDI note numbers, REST where unvoiced [shape=(n,)]."""
    sung = voiced & (f0_hz > 0)
    pitch = 69.0 + 12.0 * np.log2(np.where(sung, f0_hz, 440.0) / 440.0)
    return np.where(sung, np.round(pitch), REST).astype(int)


def octave_leaps(f0_hz: np.ndarray, voiced: np.ndarray, true_hz: np.ndarray) -> int:
    """Runs of times at which both are voiced and the estimate is right but for octaves."""
    both = voiced & (f0_hz > 0) & (true_hz > 0)
    cents = 1200.0 * np.log2(np.where(both, f0_hz, 1.0) / np.where(both, true_hz, 1.0))
    octaves = np.round(cents / 1200.0)
    away = both & (octaves != 0) & (np.abs(cents - 1200.0 * octaves) <= RIGHT_CENTS)
    return int(np.sum(away & ~np.concatenate([[False], away[:-1]])))


def stability(tracks: Iterable[Track], truths: Iterable[Truth]) -> dict[str, float]:
    """Changes of the rounded note a second, the truth's beside them, and octave leaps a minute of singing."""
    changes = true_changes = leaps = 0
    seconds = sung_s = 0.0
    for track, truth in zip(tracks, truths, strict=True):
        step_s = float(np.median(np.diff(truth.time_s)))
        f0_hz, voiced = known_at(track, truth.time_s, inf)
        changes += int(np.count_nonzero(np.diff(rounded(f0_hz, voiced))))
        true_changes += int(np.count_nonzero(np.diff(rounded(truth.f0_hz, truth.f0_hz > 0))))
        leaps += octave_leaps(f0_hz, voiced, truth.f0_hz)
        seconds += step_s * len(truth.time_s)
        sung_s += step_s * np.count_nonzero(truth.f0_hz)
    return {
        "changes_a_second": round(changes / seconds, 2),
        "true_changes_a_second": round(true_changes / seconds, 2),
        "octave_leaps_a_minute": round(60.0 * leaps / max(sung_s, step_s), 2),
    }
