"""The features of the newest frames, for rules that look back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import ceil, inf, isfinite, log10, nan
from typing import NamedTuple

from rt_melody.realtime.types import PitchFrame, hz_to_midi

LOWEST_PITCH, HIGHEST_PITCH = -0.5, 127.5  # what rounds to a MIDI note lies between


class FrameFeatures(NamedTuple):
    """What the rules read from one frame."""

    time_s: float  # the moment of the pitch
    pitch: float  # the best guess, fractional MIDI; NaN where no MIDI note is near
    sung: bool  # the frame is voiced, or holds the sounding note although it is not
    confidence: float
    voicing: float
    level_s: float  # the moment of the level: the newest hop's, later than the pitch's
    level_db: float
    difference_db: float  # level of the sound's first difference (level times brightness), smoothed


class FrameHistory:
    """The features of the newest ``capacity`` frames, oldest first."""

    SMOOTHING_MS = 30.0  # evens out the beating between the measuring window and the period
    REFERENCE_HZ = 1000.0  # a sound of this brightness has a first difference as loud as itself

    def __init__(self, hop_s: float, capacity: int) -> None:
        self.hop_s = hop_s
        self.frames: list[FrameFeatures] = []
        self.differences_db: list[float] = []  # of the same frames
        self._capacity = capacity
        self._powers: deque[float] = deque(maxlen=max(1, round(self.SMOOTHING_MS / 1000 / hop_s)))

    def add(self, frame: PitchFrame, pitch: float, sung: bool) -> None:
        """Take the next frame; ``pitch`` is its best guess (see ``pitch_of``)."""
        level_db, powers = frame.level_db, self._powers
        brightness = frame.brightness_hz / self.REFERENCE_HZ if frame.brightness_hz > 0 else 1.0
        powers.append(power_of(level_db) * brightness * brightness)
        difference_db = decibels(sum(powers) / len(powers))
        level_s = frame.available_s - self.hop_s
        self.frames.append(FrameFeatures(frame.time_s, pitch, sung, frame.confidence, frame.voicing, level_s, level_db, difference_db))
        self.differences_db.append(difference_db)
        if len(self.frames) > self._capacity:
            del self.frames[0], self.differences_db[0]

    def last(self, count: int) -> list[FrameFeatures]:
        """The newest ``count`` frames, or all where there are fewer."""
        return self.frames[-count:] if count else []

    def sung_since(self, time_s: float) -> list[FrameFeatures]:
        """The sung frames whose pitch is of ``time_s`` or later."""
        return [f for f in self.frames if f.sung and f.time_s >= time_s - 1e-6]

    def levels(self, from_s: float, until_s: float = inf) -> list[FrameFeatures]:
        """The frames whose level is of a time between the two."""
        return [f for f in self.frames if from_s - 1e-6 <= f.level_s <= until_s + 1e-6]

    def leading_to(self, run: Sequence[FrameFeatures], belongs: Callable[[FrameFeatures], bool], most: int) -> list[FrameFeatures]:
        """The unbroken stretch of frames right before ``run``, which is the newest frames, that belong to it; ``most`` at most."""
        first = begin = len(self.frames) - len(run)
        while begin > max(0, first - most) and belongs(self.frames[begin - 1]):
            begin -= 1
        return self.frames[begin:first]


def whole_hops(ms: float, hop_s: float) -> int:
    """The fewest hops that last as long as ``ms``; at least one."""
    return max(1, ceil(ms / 1000 / hop_s - 1e-6))


def pitch_of(frame: PitchFrame) -> float:
    """Fractional MIDI note number of the frame's f0, voiced or not; NaN where no MIDI note is near."""
    if not (isfinite(frame.f0_hz) and frame.f0_hz > 0):
        return nan
    pitch = hz_to_midi(frame.f0_hz)
    return pitch if LOWEST_PITCH < pitch < HIGHEST_PITCH else nan


def power_of(level_db: float) -> float:
    """Mean square of a level."""
    return 10 ** (level_db / 10)


def decibels(mean_power: float) -> float:
    """Level of a mean square; at least -120."""
    return 10 * log10(mean_power + 1e-12)


def spread(frames: Iterable[FrameFeatures]) -> float:
    """Largest minus smallest pitch of sung frames, in semitones."""
    pitches = [f.pitch for f in frames]
    return max(pitches) - min(pitches)
