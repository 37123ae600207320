"""Where tracker and label place a note octaves apart: what a third one hears.

Labels made by hand err by octaves as trackers do: takes of SSVD have notes that stand an octave from their
neighbours in the label and beside them in the sound. So an octave leap on a recording is put to Praat
(Boersma 1993), which has seen neither: it sides with whichever of the two is nearer to the median of its f0 over
the note, and with neither where it hears no pitch or one further than SIDES_SEMITONES from both.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import numpy as np

from rt_melody.benchmarks.note_scores import PlayedNote
from rt_melody.benchmarks.peers.base import SAMPLE_RATE
from rt_melody.benchmarks.peers.offline import Praat
from rt_melody.realtime.types import hz_to_midi

AROUND_S = 0.3  # heard before and after the note, so that a short one has its surroundings; silence beyond the ends
SIDES_SEMITONES = 3.0


def can_judge() -> bool:
    """Whether Praat is at hand (praat-parselmouth, of the extra ``[bench]``)."""
    return find_spec(Praat.modules[0]) is not None


def judged(samples: np.ndarray, note: PlayedNote, label_pitch: float) -> dict:
    """The leap and the verdict: ``with`` is "tracker", "label" or "neither". Pitches in fractional MIDI; samples
    ``[shape=(n,)]`` at SAMPLE_RATE."""
    heard = _praat_pitch(samples, note.on_s, note.off_s)
    away = {"tracker": abs(heard - note.pitch), "label": abs(heard - label_pitch)}
    side = min(away, key=lambda name: away[name])
    return {
        "on_s": round(note.on_s, 3), "ms": round(1000.0 * (note.off_s - note.on_s)), "tracker": round(note.pitch, 1),
        "label": round(label_pitch, 1), "praat": round(heard, 1) if np.isfinite(heard) else None,
        "with": side if away[side] <= SIDES_SEMITONES else "neither",
    }


def _praat_pitch(samples: np.ndarray, on_s: float, off_s: float) -> float:
    """Median over the voiced frames of a stretch, infinity where there are none."""
    around = round(AROUND_S * SAMPLE_RATE)
    on, off = round(on_s * SAMPLE_RATE), round(off_s * SAMPLE_RATE)
    times, f0_hz, voiced = _praat().track(np.pad(samples, around)[on : off + 2 * around])
    inside = voiced & (times >= AROUND_S) & (times < AROUND_S + off_s - on_s)
    return hz_to_midi(float(np.median(f0_hz[inside]))) if inside.any() else float("inf")


@cache
def _praat() -> Praat:
    praat = Praat()
    praat.open()
    return praat
