"""The words that the rooms of the live path speak to each other.

Conventions
-----------
* Times are seconds of stream time: 0 is the first sample taken in after a start or a reset.
* ``time_s`` is the moment of the sound that an object speaks of; ``available_s`` is the stream time at
  which the object existed. ``available_s - time_s`` is the wait for it; the algorithmic latency is up to one hop more, since
  a sound waits for the end of the hop that it falls in.
* f0 is in hertz, relative pitch in cents, absolute pitch in fractional MIDI note numbers (69 = A4).
* Levels are dBFS of the RMS: a full-scale square wave is 0 dBFS, a full-scale sine -3.01 dBFS.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from typing import Union


@dataclass(frozen=True, slots=True)
class PitchFrame:
    """What is known of one moment of the sound. One frame a hop."""

    index: int  # counts hops from 0 since the start of the stream
    time_s: float
    available_s: float
    f0_hz: float  # the best guess, also where unvoiced
    voiced: bool
    confidence: float  # 0..1, the probability that what this frame says (f0 and voicing) is right
    voicing: float  # 0..1, the probability that somebody sings
    level_db: float  # dBFS RMS of the newest 10 ms, -120 at least
    brightness_hz: float = 0.0  # RMS frequency of the newest sound, see kernels.brightness; 0: not known


@dataclass(frozen=True, slots=True)
class NoteOn:
    """A note begins."""

    time_s: float
    available_s: float
    note: int  # MIDI note number
    velocity: int  # 1..127
    pitch: float  # fractional MIDI note number at the onset
    level_db: float | None = None  # of the voice by then, dBFS RMS; None: not known
    brightness_hz: float | None = None  # of the voice by then; None: not known
    legato: bool = False  # slurred: the note before, still sounding, ends after this one has begun


@dataclass(frozen=True, slots=True)
class NoteOff:
    """It ends."""

    time_s: float
    available_s: float
    note: int


@dataclass(frozen=True, slots=True)
class PitchBend:
    """How far the voice is from the sounding note. Sent only while a note sounds."""

    time_s: float
    available_s: float
    note: int
    semitones: float  # relative to ``note``; not yet clipped to a bend range


@dataclass(frozen=True, slots=True)
class Loudness:
    """The level of the voice while a note sounds."""

    time_s: float
    available_s: float
    note: int
    level_db: float


@dataclass(frozen=True, slots=True)
class Brightness:
    """How bright the voice is while a note sounds: the RMS frequency of its spectrum, in Hz."""

    time_s: float
    available_s: float
    note: int
    brightness_hz: float


@dataclass(frozen=True, slots=True)
class KeyHeard:
    """The key that is sung in, once it is known and whenever it changes."""

    time_s: float
    available_s: float
    tonic: int  # pitch class, 0 is C
    name: str  # such as "A minor"


NoteEvent = Union[NoteOn, NoteOff, PitchBend, Loudness, Brightness, KeyHeard]


PITCH_CLASSES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")


def note_name(note: int) -> str:
    """Name of a MIDI note number, 60 being C4."""
    return f"{PITCH_CLASSES[note % 12]}{note // 12 - 1}"


def hz_to_midi(f0_hz: float) -> float:
    """Fractional MIDI note number of a frequency above 0 (A4 = 440 Hz = 69)."""
    return 69.0 + 12.0 * log2(f0_hz / 440.0)


def midi_to_hz(pitch: float) -> float:
    """Frequency in Hz of a fractional MIDI note number."""
    return 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)
