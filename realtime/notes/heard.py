"""What the last frames told, for rules that look back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from math import ceil, inf, isfinite, log10
from typing import NamedTuple

from rt_melody.realtime.types import PitchFrame, hz_to_midi


class Heard(NamedTuple):
    """What one frame told."""

    time_s: float  # of the pitch
    pitch: float | None  # None where nobody sings
    level_s: float  # of the level: the newest hop's, ahead of the pitch
    level_db: float
    clear_db: float  # of the first difference: level times brightness, smoothed
    confidence: float
    guess: float | None  # the best guess of the pitch, sung or not
    voicing: float


class History:
    """What the last ``frames`` told, oldest first."""

    SMOOTH_MS = 30.0  # against the beating of level and period
    BRIGHT_HZ = 1000.0  # brightness that leaves a level as it is

    def __init__(self, hop_s: float, frames: int) -> None:
        self.hop_s = hop_s
        self._memory = frames
        self.heard: list[Heard] = []
        self._powers: deque[float] = deque(maxlen=max(1, round(self.SMOOTH_MS / 1000 / hop_s)))

    def add(self, frame: PitchFrame, pitch: float | None) -> None:
        bright = frame.brightness_hz / self.BRIGHT_HZ if frame.brightness_hz > 0 else 1.0
        self._powers.append(power(frame.level_db) * bright * bright)
        clear_db = decibels(sum(self._powers) / len(self._powers))
        level_s = frame.available_s - self.hop_s
        self.heard.append(Heard(frame.time_s, pitch, level_s, frame.level_db, clear_db, frame.confidence, pitch_of(frame), frame.voicing))
        if len(self.heard) > self._memory:
            del self.heard[0]

    def last(self, count: int) -> list[Heard]:
        """The newest ``count`` frames; fewer where there are not so many."""
        return self.heard[-count:] if count else []

    def sung_since(self, time_s: float) -> list[Heard]:
        """The voiced frames whose pitch is of ``time_s`` or later."""
        return [h for h in self.heard if h.pitch is not None and h.time_s >= time_s - 1e-6]

    def levels(self, from_s: float, until_s: float = inf) -> list[Heard]:
        """The frames whose level is of one time to another."""
        return [h for h in self.heard if from_s - 1e-6 <= h.level_s <= until_s + 1e-6]

    def leading_to(self, run: list[Heard], belongs: Callable[[Heard], bool]) -> list[Heard]:
        """The frames right before ``run``, the newest ones, that belong to it, without a gap."""
        first = begin = len(self.heard) - len(run)
        while begin and belongs(self.heard[begin - 1]):
            begin -= 1
        return self.heard[begin:first]


def whole_hops(ms: float, hop_s: float) -> int:
    """Hops that are not shorter than a time; at least one."""
    return max(1, ceil(ms / 1000 / hop_s - 1e-6))


def pitch_of(frame: PitchFrame) -> float | None:
    """The frame's pitch, sung or not, or None where MIDI cannot name it."""
    if not (isfinite(frame.f0_hz) and frame.f0_hz > 0):
        return None
    pitch = hz_to_midi(frame.f0_hz)
    return pitch if -0.5 < pitch < 127.5 else None


def power(level_db: float) -> float:
    return 10 ** (level_db / 10)


def decibels(mean_power: float) -> float:
    """At least -120."""
    return 10 * log10(mean_power + 1e-12)


def spread(heard: Iterable[Heard]) -> float:
    """Largest minus smallest pitch, in semitones."""
    pitches = [h.pitch for h in heard]
    return max(pitches) - min(pitches)
