"""Keys and scales: reading their names, the nearest note of a scale, hearing which key is sung.

Conventions
-----------
* A pitch class is 0..11, C being 0. A scale is the set of its pitch classes, whatever the octave.
* Pitch is in fractional MIDI note numbers; a pull is in semitones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import exp

import numpy as np

from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.types import PITCH_CLASSES

NATURALS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ACCIDENTALS = {"": 0, "#": 1, "b": -1, "\u266f": 1, "\u266d": -1}

DEGREES: dict[str, tuple[int, ...]] = {  # semitones above the tonic
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "melodic minor": (0, 2, 3, 5, 7, 9, 11),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "locrian": (0, 1, 3, 5, 6, 8, 10),
    "major pentatonic": (0, 2, 4, 7, 9),
    "minor pentatonic": (0, 3, 5, 7, 10),
    "blues": (0, 3, 5, 6, 7, 10),
    "whole tone": (0, 2, 4, 6, 8, 10),
    "chromatic": tuple(range(12)),
}
OTHER_NAMES = {"": "major", "maj": "major", "min": "minor", "m": "minor", "natural minor": "minor", "pentatonic": "major pentatonic"}

# Krumhansl and Kessler (1982): how well each degree fits a major and a minor key, by listeners.
FIT = {
    "major": (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    "minor": (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
}


@dataclass(frozen=True, slots=True)
class Scale:
    name: str
    classes: frozenset[int]
    tonic: int | None = None  # pitch class, 0 is C; None of a scale without one

    def nearest(self, pitch: float) -> int:
        """The note of the scale nearest to a pitch; of two equally near the lower."""
        around = range(int(pitch) - 12, int(pitch) + 14)
        return min((note for note in around if note % 12 in self.classes), key=lambda note: abs(note - pitch))


CHROMATIC = Scale("chromatic", frozenset(range(12)))


def make_scale(tonic: int, kind: str) -> Scale:
    """The scale of a kind in ``DEGREES`` on a pitch class."""
    return Scale(f"{PITCH_CLASSES[tonic]} {kind}", frozenset((tonic + degree) % 12 for degree in DEGREES[kind]), tonic)


def parse_scale(text: str) -> Scale:
    """Of a tonic and a kind, such as ``D minor``, ``Bb major``, ``f# blues``, ``Am``, or ``chromatic`` alone.

    Raises ``SettingsError`` for anything else.
    """
    words = " ".join(text.split())
    if words.lower() == "chromatic":
        return CHROMATIC
    match = re.fullmatch(r"([A-Ga-g])([#b\u266f\u266d]?)\s*(.*)", words)
    kind = _kind(match[3]) if match else None
    if match is None or kind is None:
        raise SettingsError(
            f"scale {text!r} is not known; give a tonic and one of {', '.join(DEGREES)}, for instance 'D minor' or 'Bb major'"
        )
    return make_scale((NATURALS[match[1].upper()] + ACCIDENTALS[match[2]]) % 12, kind)


def _kind(text: str) -> str | None:
    plain = text if text in ("m", "M") else text.lower()
    if plain == "M":
        return "major"
    plain = OTHER_NAMES.get(plain, plain)
    return plain if plain in DEGREES else None


def parse_note(text: str) -> int:
    """MIDI note number of ``60`` or a name such as ``C4`` (60), ``Bb2``, ``F#3``. Raises ``SettingsError``."""
    match = re.fullmatch(r"\s*(?:(\d{1,3})|([A-Ga-g])([#b\u266f\u266d]?)(-?\d))\s*", text)
    if match:
        note = int(match[1]) if match[1] else 12 * (int(match[4]) + 1) + NATURALS[match[2].upper()] + ACCIDENTALS[match[3]]
        if 0 <= note <= 127:
            return note
    raise SettingsError(f"note {text!r} is not known; give a MIDI number 0 to 127 or a name such as C4 (which is 60) or Bb2")


def pulled(pitch: float, target: float, pull_semitones: float) -> float:
    """The pitch, nearer to ``target`` by the pull, and on it where it was as near as that."""
    away = pitch - target
    return target + max(0.0, away - pull_semitones) + min(0.0, away + pull_semitones)


def _profiles() -> tuple[list[Scale], np.ndarray]:
    """The 24 keys and their fits, each of mean 0 and norm 1, so that a product is a correlation."""
    keys = [(tonic, kind) for kind in FIT for tonic in range(12)]
    rows = np.array([np.roll(FIT[kind], tonic) for tonic, kind in keys])
    rows -= rows.mean(axis=1, keepdims=True)
    return [make_scale(*key) for key in keys], rows / np.linalg.norm(rows, axis=1, keepdims=True)


class KeyFinder:
    """Hears the key from how long each pitch class was sung, the past forgotten with ``MEMORY_S``.

    ``key`` is None until ``ENOUGH_S`` of at least ``ENOUGH_CLASSES`` pitch classes were heard, and changes
    only to one that fits better by ``MARGIN`` (of correlation). Causal: ``feed`` reads nothing ahead.
    Source: Krumhansl, Cognitive Foundations of Musical Pitch (1990), chapter 4.
    """

    MEMORY_S = 30.0
    ENOUGH_S = 3.0
    ENOUGH_CLASSES = 4
    MARGIN = 0.05
    LEAST = 0.5  # correlation below which nothing is said
    LOOK_EVERY_S = 0.25

    KEYS, PROFILES = _profiles()

    def __init__(self) -> None:
        self._sung_s = np.zeros(12)
        self.reset()

    def reset(self) -> None:
        self._sung_s[:] = 0.0
        self._heard_s = 0.0
        self._next_look_s = self.ENOUGH_S
        self._best: int | None = None

    @property
    def key(self) -> Scale | None:
        return None if self._best is None else self.KEYS[self._best]

    def feed(self, note: int, seconds: float) -> None:
        """A note (a MIDI number) sounded for so long."""
        self._sung_s *= exp(-seconds / self.MEMORY_S)
        self._sung_s[note % 12] += seconds
        self._heard_s += seconds
        if self._heard_s >= self._next_look_s:
            self._next_look_s = self._heard_s + self.LOOK_EVERY_S
            self._look()

    def _look(self) -> None:
        if np.count_nonzero(self._sung_s > 0.1) < self.ENOUGH_CLASSES:
            return
        fits = self.fits()
        best = int(np.argmax(fits))
        if fits[best] < self.LEAST:
            return
        if self._best is None or fits[best] > fits[self._best] + self.MARGIN:
            self._best = best

    def fits(self) -> np.ndarray:
        """Correlation of what was sung with each of ``KEYS`` [shape=(24,)]; zeros where nothing was."""
        sung = self._sung_s - self._sung_s.mean()
        norm = np.linalg.norm(sung)
        return self.PROFILES @ sung / norm if norm > 0 else np.zeros(len(self.KEYS))
