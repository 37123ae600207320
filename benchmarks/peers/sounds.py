"""What all tools hear: sets of sounds with their truth, the same for each.

A set's sounds are a function of the recordings, of ``every`` and of the numbers below; nothing is drawn elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rt_melody.benchmarks import conditions, note_parts, signals
from rt_melody.benchmarks.accuracy import general_midi, labels_hz
from rt_melody.benchmarks.onsets import BAND_DB
from rt_melody.benchmarks.peers.base import F0_MAX_HZ, F0_MIN_HZ, SAMPLE_RATE
from rt_melody.benchmarks.peers.scores import Truth
from rt_melody.kernels.phrase import CONSONANTS, SungNote, render_phrase
from rt_melody.models.training.data import load_mir1k
from rt_melody.realtime.types import hz_to_midi

# Names of benchmarks.conditions. The last needs FluidSynth and a sound font, and is left out without them.
HEARD = (
    "voice", "mixture", "band +10 dB", "band +5 dB", "band +0 dB", "white 20 dB", "white 10 dB", "white 0 dB", "gm +0 dB",
)
SUNG = "synthetic 60-1400 Hz"
FEW = ("voice", "mixture")  # for tools slower than real time
QUICK = ("voice", "mixture", "white 10 dB", SUNG)
TRUTH_STEP_S = 0.01
SUNG_SECONDS = 8.0
REACH = 5  # semitones of a synthetic melody to each side of its centre


@dataclass(frozen=True)
class SoundSet:
    """``samples``: float32 sounds at SAMPLE_RATE, and what is known of them, one each: ``truth`` of accuracy,
    ``sounds`` of the onset protocol, ``clips`` of the note protocol."""

    name: str
    samples: list[np.ndarray]
    truth: list[Truth] = field(default_factory=list)
    sounds: list[signals.Sound] = field(default_factory=list)
    clips: list[note_parts.Clip] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return sum(map(len, self.samples)) / SAMPLE_RATE


def recorded(folder: Path, names: Sequence[str], every: int) -> list[SoundSet]:
    """Every ``every``-th clip of MIR-1K's held-out singers in each condition that can be made here."""
    clips = load_mir1k(folder, "test")[::every]
    truth = [Truth(*labels_hz(folder, "test", clip)) for clip in clips]
    with_gm = [name for name in names if conditions.CONDITIONS[name].beside == "gm"]
    pieces = general_midi(None) if with_gm else []
    made = [name for name in names if pieces or name not in with_gm]
    return [SoundSet(name, [conditions.heard(clip, name, pieces) for clip in clips], truth) for name in made]


def sung(count: int) -> SoundSet:
    """Synthetic melodies whose registers fill F0_MIN_HZ to F0_MAX_HZ."""
    sounds = [sung_melody(i, count) for i in range(count)]
    return SoundSet(SUNG, [s.samples for s in sounds], [truth_of(s) for s in sounds], sounds)


def truth_of(sound: signals.Sound) -> Truth:
    """Its f0 on a grid of TRUTH_STEP_S."""
    times = np.arange(int(sound.duration_s / TRUTH_STEP_S)) * TRUTH_STEP_S
    return Truth(times, sound.f0_hz[np.round(times * SAMPLE_RATE).astype(int)])


def sung_melody(index: int, count: int) -> signals.Sound:
    """The ``index``-th of ``count`` registers from low to high: notes of 0.2-0.8 s, consonants, ties, vibrato."""
    rng = np.random.default_rng((5, index, count))
    low, high = hz_to_midi(F0_MIN_HZ) + 1.0, hz_to_midi(F0_MAX_HZ) - 1.0
    centre = low + REACH + (high - low - 2 * REACH) * (index + 0.5) / count
    notes, at = [], 0.4
    while (duration := float(rng.uniform(0.2, 0.8))) + at < SUNG_SECONDS - 0.3:
        pitch = float(np.clip(centre + rng.uniform(-REACH, REACH), low, high))
        onset = ("", "", "t", "k", "s", "h", "'")[rng.integers(7)]
        at += CONSONANTS[onset].duration_s + (float(rng.uniform(0.1, 0.5)) if rng.random() < 0.2 else 0.0)
        notes.append(SungNote(at, duration, pitch, signals.VOWELS[rng.integers(len(signals.VOWELS))], onset))
        at += duration
    phrase = render_phrase(notes, SAMPLE_RATE, 1000 + index, signals.plain_singer(rng, centre), SUNG_SECONDS)
    return signals.Sound(f"sung {index}", "singing", phrase.samples, phrase.f0_hz, signals.true_notes(phrase))


def steps(pitches: int) -> list[SoundSet]:
    """Onsets and steps of the pitch, alone and over a band (benchmarks.onsets)."""
    alone = signals.step_sounds(pitches)
    mixed = [signals.over_band(sound, BAND_DB, i) for i, sound in enumerate(alone)]
    named = (("steps, alone", alone), ("steps, band", mixed))
    return [SoundSet(name, [s.samples for s in sounds], sounds=sounds) for name, sounds in named]


def noted(folder: Path | None, parts: dict[str, int]) -> list[SoundSet]:
    """Clips whose notes are known: of each part of note_parts every n-th."""
    sets = []
    for part, every in parts.items():
        clips = [make() for make in note_parts.PARTS[part].clips(folder)[::every]]
        sets.append(SoundSet(f"notes, {part}", [clip.samples for clip in clips], clips=clips))
    return sets
