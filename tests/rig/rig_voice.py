"""A synthetic singer with exactly known pitch: harmonics under the formants of an open vowel.

The harmonics are those of a glottal source that falls by 12 dB an octave and a lip radiation that rises by 6;
formants and bandwidths are those of a tenor's [a] (Csound manual, appendix "Formant Values").
"""

from __future__ import annotations

import numpy as np
from rig_recordings import Singing

from rt_melody.kernels.phrase import Singer, SungNote, render_phrase

FORMANTS_HZ = ((650, 1.0, 80), (1080, 0.5, 90), (2650, 0.45, 120), (2900, 0.4, 130))  # centre, gain, bandwidth
FADE_S = 0.03


def formant_gain(frequency_hz: np.ndarray) -> np.ndarray:
    """Sum of resonances above a floor, linear gain."""
    return 0.05 + sum(gain / np.sqrt(1 + ((frequency_hz - centre) / width) ** 2) for centre, gain, width in FORMANTS_HZ)


def vowel(pitch: np.ndarray, sample_rate: int) -> np.ndarray:
    """A vowel that follows ``pitch [shape=(n_samples,)]`` (MIDI, no NaN), faded in and out, peak 0.5."""
    f0_hz = 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)
    phase = 2 * np.pi * np.cumsum(f0_hz) / sample_rate
    sound = np.zeros(len(pitch))
    for k in range(1, int(0.45 * sample_rate / f0_hz.max()) + 1):
        sound += formant_gain(k * f0_hz) / k * np.sin(k * phase)
    fade = np.minimum(1.0, np.minimum(np.arange(len(pitch)), np.arange(len(pitch))[::-1]) / (FADE_S * sample_rate))
    return (0.5 * sound * fade / np.abs(sound).max()).astype(np.float32)


def held_note(pitch: float, duration_s: float, sample_rate: int) -> np.ndarray:
    """One note of a human kind: breath, jitter, drift and a little vibrato, without which it might be an instrument's."""
    singer = Singer(vibrato_cents=20.0, drift_cents=12.0, jitter=0.01, shimmer=0.06, breath_db=-25.0)
    return render_phrase([SungNote(0.1, duration_s - 0.2, pitch)], sample_rate, seed=1, singer=singer, duration_s=duration_s).samples


def sung_phrase(notes=(57, 60, 64, 62, 60, 67, 65, 57), note_s: float = 0.8, rest_s: float = 0.25, sample_rate: int = 16_000) -> Singing:
    """Notes with a scoop from a semitone below and, after 0.3 s, a vibrato of 30 cents at 5.5 Hz; rests between."""
    t = np.arange(int(note_s * sample_rate)) / sample_rate
    shape = -np.exp(-t / 0.04) + 0.3 * np.clip((t - 0.3) / 0.2, 0, 1) * np.sin(2 * np.pi * 5.5 * t)
    rest = np.zeros(int(rest_s * sample_rate), np.float32)
    samples = np.concatenate([part for note in notes for part in (rest, vowel(note + shape, sample_rate))] + [rest])
    pitch = np.concatenate([part for note in notes for part in (rest + np.nan, note + shape)] + [rest + np.nan])
    frames = np.arange(1, int(len(samples) / sample_rate / 0.02))
    return Singing(samples, sample_rate, frames * 0.02, pitch[(frames * 0.02 * sample_rate).astype(int)])
