"""Random synthetic singing with exact f0: every register from bass to whistle, every manner of singing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rt_melody.kernels.phrase import CONSONANTS, VOWEL_FORMANTS_HZ, Singer, SungNote, render_phrase
from rt_melody.models.training.data import LABEL_STEP_MS, SAMPLE_RATE

STRAIGHT = 0.3  # of singers without vibrato, glides or scoops: a choir's, a beginner's, a machine's voice
LOWEST, HIGHEST = 35.5, 88.5  # fractional MIDI note numbers, 60 Hz .. 1.35 kHz
STEPS = (0, 1, 2, 2, 3, 4, 5, 7, 12)  # semitones between neighbouring notes, drawn evenly
VOWELS = [v for v in VOWEL_FORMANTS_HZ if v not in ("m", "n")]
ONSETS = list(CONSONANTS)
MURMUR_TOP = 72.0  # no nasal murmurs above this pitch


def random_singer(rng: np.random.Generator, pitch: float) -> Singer:
    """A voice whose size suits a register around ``pitch`` (fractional MIDI)."""
    size = 1.0 + 0.012 * (pitch - 50.0) + rng.normal(0.0, 0.07)
    return Singer(
        formant_scale=float(np.clip(size, 0.85, 1.45)),
        singers_formant=float(rng.random() ** 2),
        open_quotient=float(rng.uniform(0.45, 0.8)),
        tilt_db=float(rng.uniform(0.0, 18.0)),
        breath_db=float(rng.uniform(-45.0, -12.0)),
        inhale_db=float(rng.uniform(-40.0, -15.0)),
        jitter=float(rng.uniform(0.001, 0.012)),
        shimmer=float(rng.uniform(0.01, 0.08)),
        vibrato_hz=float(rng.uniform(4.0, 7.5)),
        vibrato_cents=float(rng.choice([0.0, 20.0, 50.0, 100.0]) * rng.uniform(0.5, 1.0)),
        vibrato_delay_s=float(rng.uniform(0.0, 0.4)),
        drift_cents=float(rng.uniform(2.0, 20.0)),
        portamento_s=float(rng.uniform(0.03, 0.2)),
        scoop_cents=float(rng.uniform(-50.0, 200.0)),
        attack_s=float(rng.uniform(0.01, 0.08)),
        release_s=float(rng.uniform(0.02, 0.12)),
    )


def straight(rng: np.random.Generator, singer: Singer) -> Singer:
    """The same throat, its pitch as steady as a tone's and its steps abrupt."""
    return replace(
        singer,
        jitter=float(rng.uniform(0.0, 0.003)),
        shimmer=float(rng.uniform(0.0, 0.02)),
        vibrato_cents=0.0,
        drift_cents=float(rng.uniform(0.0, 4.0)),
        portamento_s=float(rng.choice([0.0, 0.01, 0.03])),
        scoop_cents=0.0,
        attack_s=float(rng.uniform(0.003, 0.04)),
        breath_db=float(rng.uniform(-70.0, -20.0)),
    )


def random_notes(rng: np.random.Generator, seconds: float) -> list[SungNote]:
    """A melody that walks about a random centre, with rests, consonants, ties and crescendi."""
    centre = rng.uniform(LOWEST + 5.0, HIGHEST - 5.0)
    pitch, at = centre + rng.normal(0.0, 2.0), rng.uniform(0.15, 0.6)
    pace = rng.uniform(0.12, 0.9)
    notes: list[SungNote] = []
    while at < seconds - 0.2:
        duration = float(np.clip(pace * rng.lognormal(0.0, 0.5), 0.08, 3.0))
        duration = min(duration, seconds - 0.1 - at)
        onset = ONSETS[rng.integers(len(ONSETS))] if rng.random() < 0.7 else ""
        if pitch > MURMUR_TOP and onset in ("m", "n"):
            onset = ""
        notes.append(SungNote(at, duration, float(pitch), VOWELS[rng.integers(len(VOWELS))], onset, float(rng.normal(0.0, 3.0))))
        rest = rng.uniform(0.15, 0.9) if rng.random() < 0.2 else 0.0
        gap = CONSONANTS[onset].duration_s + (0.12 if rng.random() < 0.2 else 0.0)
        at += duration + rest + gap
        step = STEPS[rng.integers(len(STEPS))] * (1 if pitch + rng.normal(0, 4) < centre else -1)
        pitch = float(np.clip(pitch + step + rng.normal(0.0, 0.15), LOWEST, HIGHEST))
    return notes


def random_singing(rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Waveform ``[shape=(samples,)]`` and pitch on the 5 ms grid (fractional MIDI, 0 = unvoiced)."""
    seconds = samples / SAMPLE_RATE
    notes = random_notes(rng, seconds)
    middle = float(np.median([n.pitch for n in notes])) if notes else 60.0
    singer = random_singer(rng, middle)
    if rng.random() < STRAIGHT:
        singer = straight(rng, singer)
    phrase = render_phrase(notes, SAMPLE_RATE, int(rng.integers(2**31)), singer, seconds)
    step = SAMPLE_RATE * LABEL_STEP_MS // 1000
    count = samples // step + 1
    at = np.minimum(np.arange(count) * step, samples - 1)
    f0 = phrase.f0_hz[at]
    pitch = np.where(f0 > 0, 69.0 + 12.0 * np.log2(np.maximum(f0, 1.0) / 440.0), 0.0)
    return phrase.samples.astype(np.float32), pitch.astype(np.float32)
