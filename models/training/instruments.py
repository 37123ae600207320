"""A random band that nobody sings in: lead lines, chords, bass and drums of simple timbres.

Its leads carry melodies as a voice would, so that a network trained beside them learns what a voice is and
not what the loudest harmonic is. Additive synthesis; no labels, since none of it is the melody: but for
``lone_melody``, a steady instrument with nothing beside it, which a listener follows as he would a voice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import cast

import numpy as np
from scipy.signal import butter, lfilter

from rt_melody.models.training.data import LABEL_STEP_MS, SAMPLE_RATE

MAJOR = (0, 2, 4, 5, 7, 9, 11)
TOP_HZ = 7500.0


@dataclass(frozen=True)
class Timbre:
    """How an instrument sounds: levels of its partials, how they decay, how the pitch moves."""

    slope: float  # partial k has the amplitude k ** -slope ...
    odd_only: bool
    stretch: float  # inharmonicity: partial k at k * sqrt(1 + stretch * k^2)
    attack_s: float
    decay_s: float  # of the whole; higher partials decay faster; inf sustains
    vibrato_cents: float
    colour: np.ndarray  # random factor for each of 40 partials


def random_timbre(rng: np.random.Generator) -> Timbre:
    """Plucked or struck, bowed or blown, or a steady organ or synthesiser."""
    kind = rng.choice(["plucked", "blown", "organ"])
    return Timbre(
        slope=float(rng.uniform(0.6, 2.2)),
        odd_only=bool(rng.random() < 0.2),
        stretch=float(rng.uniform(0.0, 4e-4)) if kind == "plucked" else 0.0,
        attack_s=float(rng.uniform(0.002, 0.008) if kind == "plucked" else rng.uniform(0.01, 0.1)),
        decay_s=float(rng.uniform(0.15, 1.2)) if kind == "plucked" else np.inf,
        vibrato_cents=float(rng.choice([0.0, 15.0, 40.0])) if kind == "blown" else 0.0,
        colour=rng.lognormal(0.0, 0.7, 40),
    )


def tone(rng: np.random.Generator, timbre: Timbre, pitch: float, seconds: float) -> np.ndarray:
    """One note at a fractional MIDI pitch [shape=(n_samples,)], peak about 1."""
    n = max(64, int(seconds * SAMPLE_RATE))
    t = np.arange(n) / SAMPLE_RATE
    f0 = 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)
    bend = timbre.vibrato_cents / 1200.0 * np.sin(2 * np.pi * (5.5 * t + rng.random()))
    phase = 2 * np.pi * f0 * np.cumsum(2.0**bend) / SAMPLE_RATE
    sound = np.zeros(n)
    for k in range(1, 41, 2 if timbre.odd_only else 1):
        ratio = k * np.sqrt(1.0 + timbre.stretch * k * k)
        if f0 * ratio > TOP_HZ:
            break
        amplitude = timbre.colour[k - 1] * k**-timbre.slope
        fade = 1.0 if np.isinf(timbre.decay_s) else np.exp(-t / (timbre.decay_s / (1.0 + 0.15 * k)))
        sound += amplitude * fade * np.sin(ratio * phase + 2 * np.pi * rng.random())
    sound *= np.minimum(1.0, t / timbre.attack_s) * np.minimum(1.0, (n - np.arange(n)) / (0.02 * SAMPLE_RATE))
    return (sound / (np.abs(sound).max() + 1e-9)).astype(np.float32)


def _line(rng, samples: int, lowest: int, highest: int, key: int, pace_s: float, voices: int) -> np.ndarray:
    """Notes (or chords of ``voices`` thirds) one after the other on one timbre."""
    scale = [p for p in range(lowest, highest + 1) if (p - key) % 12 in MAJOR]
    timbre, out = random_timbre(rng), np.zeros(samples, np.float32)
    degree, at = int(rng.integers(len(scale))), int(rng.uniform(0, pace_s) * SAMPLE_RATE)
    while at < samples - 800:
        seconds = pace_s * rng.choice([0.5, 1.0, 1.0, 1.5, 2.0])
        if rng.random() < 0.85:
            for v in range(voices):
                pitch = scale[min(len(scale) - 1, degree + 2 * v)] + rng.normal(0, 0.02)
                note = tone(rng, timbre, pitch, seconds * rng.uniform(0.7, 1.05))[: samples - at]
                out[at : at + len(note)] += note * np.float32(rng.uniform(0.5, 1.0))
        at += int(seconds * SAMPLE_RATE)
        degree = int(np.clip(degree + rng.integers(-3, 4), 0, len(scale) - 1))
    return out


def lead(rng: np.random.Generator, samples: int) -> np.ndarray:
    """A melody in a singer's range, on an instrument [shape=(samples,)]."""
    lowest = int(rng.integers(45, 68))
    return _line(rng, samples, lowest, lowest + 17, int(rng.integers(12)), rng.uniform(0.12, 0.7), 1)


def lone_melody(rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """One sustained tone after the other, often without a gap: waveform, pitch on the label grid (0 = silence)."""
    timbre = replace(random_timbre(rng), stretch=0.0, decay_s=np.inf, attack_s=float(rng.uniform(0.002, 0.03)))
    step = SAMPLE_RATE * LABEL_STEP_MS // 1000
    out, pitch = np.zeros(samples, np.float32), np.zeros(samples // step + 1, np.float32)
    now, pace_s, at = rng.uniform(38.0, 84.0), rng.uniform(0.12, 1.2), int(rng.uniform(0.05, 0.6) * SAMPLE_RATE)
    while at < samples - 1600:
        note = tone(rng, timbre, now, pace_s * rng.choice([0.5, 1.0, 1.0, 2.0]))[: samples - at]
        note = note * np.float32(10.0 ** (rng.uniform(-9.0, 0.0) / 20.0))
        out[at : at + len(note)] += note
        first, end = -(-at // step), (at + len(note) - SAMPLE_RATE // 100) // step
        pitch[first : end + 1] = now
        at += len(note) - SAMPLE_RATE // 100 + int(rng.choice([0.0, 0.0, 0.05, 0.3]) * SAMPLE_RATE)
        now = float(np.clip(now + rng.choice([-12, -7, -5, -4, -2, -1, 0, 1, 2, 4, 5, 7, 12]), 36.0, 86.0))
    return out, pitch


def drums(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Kick, snare and hat on a grid [shape=(samples,)]."""
    out, beat = np.zeros(samples, np.float32), int(rng.uniform(0.12, 0.3) * SAMPLE_RATE)
    b, a = cast("tuple[np.ndarray, np.ndarray]", butter(2, 3500, "highpass", fs=SAMPLE_RATE))
    for i, at in enumerate(range(int(rng.integers(beat)), samples - 2400, beat)):
        t = np.arange(2400) / SAMPLE_RATE
        noise = rng.standard_normal(2400)
        hit = 0.3 * np.asarray(lfilter(b, a, noise)) * np.exp(-t * 90)
        if i % 4 == 0:
            hit += np.sin(2 * np.pi * (50 * t + 3.0 * (1 - np.exp(-t * 40)))) * np.exp(-t * 18)
        if i % 4 == 2:
            hit += 0.7 * noise * np.exp(-t * 25)
        out[at : at + 2400] += hit.astype(np.float32)
    return out


def random_band(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Some of bass, chords, lead and drums together [shape=(samples,)]."""
    key, pace = int(rng.integers(12)), rng.uniform(0.25, 0.8)
    parts = [_line(rng, samples, 52, 76, key, 2 * pace, 3)]
    if rng.random() < 0.7:
        parts.append(_line(rng, samples, 28, 48, key, pace, 1))
    if rng.random() < 0.6:
        parts.append(drums(rng, samples))
    if rng.random() < 0.5:
        parts.append(lead(rng, samples))
    levelled = [np.float32(rng.uniform(0.3, 1.0)) * p / np.float32(np.sqrt(np.mean(p**2)) + 1e-6) for p in parts]
    return reduce(np.add, levelled)
