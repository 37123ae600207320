"""What a voice is heard in, and what is heard without one: the sounds on which accuracy is measured.

Conventions
-----------
* A ratio in dB is of RMS: the voice's over the frames that are labelled voiced, against the other sound's over
  the whole clip. 0 dB is equal loudness.
* "mixture" is the recording as it was made, both channels summed.
* A level in dBFS is the RMS of the voice where voiced; otherwise what is fed has the peak PEAK.
* Everything is a function of the clip's name and of the pieces that are handed in: no state, no chance.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rt_melody.models.training.augment import level_db, rms, voiced_rms
from rt_melody.models.training.data import SAMPLE_RATE, Clip, load_mono

PEAK = 0.5  # of what is fed: no condition clips
VOICELESS_S = 120.0  # of each kind of sound without a voice
MADE_NOISES = {"white": 0.0, "pink": 0.5, "brown": 1.0}  # spectrum falls as f ** -exponent (amplitude)
HUM_HZ = 50.0
NOISES = {  # numbers of G. Hu's 100 nonspeech sounds (n1 to n100) in which there is a voice, or a tone; else there is none
    "voices": ((1, 17), (83, 85), (89, 93)),  # crowds, coughs, laughter, yawns, crying
    "tones": ((30, 43), (47, 55), (79, 82), (99, 100)),  # alarms and sirens, animals, bells, dialling
}
NOISE_KINDS = {"noise": "noise recorded", "voices": "noise recorded, voices in it", "tones": "noise recorded, tones in it"}


@dataclass(frozen=True)
class Condition:
    """``beside``: what sounds with the voice; "" for nothing, "recorded" for the clip's own balance."""

    beside: str = ""  # "", "recorded", "band" (the clip's own), "gm", or a key of MADE_NOISES
    ratio_db: float | None = None
    level_dbfs: float | None = None


CONDITIONS: dict[str, Condition] = {
    "voice": Condition(),
    "mixture": Condition("recorded"),
    **{f"band {db:+d} dB": Condition("band", db) for db in (10, 5, 0, -5)},
    **{f"gm {db:+d} dB": Condition("gm", db) for db in (10, 5, 0, -5)},
    **{f"{colour} {db} dB": Condition(colour, db) for colour in ("white", "pink") for db in (20, 10, 0)},
    **{f"voice at {db} dBFS": Condition(level_dbfs=db) for db in (-20, -40, -60)},
    **{f"mixture at {db} dBFS": Condition("recorded", level_dbfs=db) for db in (-20, -40, -60)},
}


def heard(clip: Clip, condition: str, pieces: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Samples of ``clip`` in ``condition`` [shape=(n_samples,)]; ``pieces`` are the General MIDI ones.

    Raises ValueError where a condition needs pieces and there are none.
    """
    wanted = CONDITIONS[condition]
    voice = clip.voice * np.float32(1.0 / (np.abs(clip.voice).max() + 1e-9))
    if wanted.beside == "recorded":
        sound = clip.mixture * np.float32(1.0 / (np.abs(clip.voice).max() + 1e-9))
    elif wanted.beside and wanted.ratio_db is not None:
        other = _beside(clip, wanted.beside, pieces)
        gain = voiced_rms(voice, clip.pitch) / (rms(other) + 1e-9) * 10.0 ** (-wanted.ratio_db / 20.0)
        sound = voice + other * np.float32(gain)
    else:
        sound = voice
    if wanted.level_dbfs is not None:
        gain = 10.0 ** (wanted.level_dbfs / 20.0) / voiced_rms(voice, clip.pitch)
        return np.clip(sound * gain, -1.0, 1.0).astype(np.float32)
    return peaked(sound)


def over_band_db(clip: Clip, times_s: np.ndarray) -> np.ndarray:
    """By how much the voice is louder than its accompaniment, as recorded, in the 40 ms around each moment [shape=(n_times,)];
    infinite for a voice alone."""
    if clip.accompaniment is None:
        return np.full(len(times_s), np.inf)
    return level_db(clip.voice, times_s) - level_db(clip.accompaniment, times_s)


def peaked(sound: np.ndarray) -> np.ndarray:
    return (sound * (PEAK / (np.abs(sound).max() + 1e-9))).astype(np.float32)


def _beside(clip: Clip, what: str, pieces: Sequence[np.ndarray]) -> np.ndarray:
    number, samples = zlib.crc32(clip.name.encode()), len(clip.voice)
    if what == "band" and clip.accompaniment is not None:
        return clip.accompaniment
    if what != "gm":
        return coloured_noise(number, samples, MADE_NOISES[what])
    if not pieces:
        raise ValueError("the gm conditions need General MIDI pieces; see models/training/gm.py")
    piece = np.resize(pieces[number % len(pieces)], max(samples, len(pieces[number % len(pieces)])))
    return piece[(number >> 8) % (len(piece) - samples + 1) :][:samples]


def coloured_noise(seed: int, samples: int, exponent: float) -> np.ndarray:
    """Gaussian noise whose amplitude spectrum falls as f ** -exponent, level from 20 Hz down [shape=(samples,)]."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    hz = np.fft.rfftfreq(samples, 1.0 / SAMPLE_RATE)
    return np.fft.irfft(spectrum / np.maximum(20.0, hz) ** exponent, samples).astype(np.float32)


# ---- without a voice ---------------------------------------------------------------------------


def hum(seed: int, samples: int) -> np.ndarray:
    """Mains hum with its harmonics in a little hiss [shape=(samples,)]."""
    rng, t = np.random.default_rng(seed), np.arange(samples) / SAMPLE_RATE
    lines = sum(np.sin(2 * np.pi * (HUM_HZ * k * t + rng.random())) / k for k in range(1, 13))
    return (lines + 0.05 * rng.standard_normal(samples)).astype(np.float32)


def clicks(seed: int, samples: int) -> np.ndarray:
    """Some ten short knocks a second, of random strength and colour, as of keys and handling [shape=(samples,)]."""
    rng, out = np.random.default_rng(seed), np.zeros(samples, np.float32)
    age = np.arange(800) / SAMPLE_RATE
    for at in rng.integers(0, samples - 800, samples * 10 // SAMPLE_RATE):
        knock = rng.standard_normal(800) + 2.0 * np.sin(2 * np.pi * rng.uniform(80, 3000) * age)
        out[at : at + 800] += rng.uniform(0.1, 1.0) * knock * np.exp(-age * rng.uniform(80, 600))
    return out + 1e-3 * rng.standard_normal(samples).astype(np.float32)


def noise_group(name: str) -> str:
    """What sounds in a noise of this name: "noise", unless its number is one of NOISES."""
    number = int(name[1:]) if name[1:].isdigit() else 0
    return next((group for group, spans in NOISES.items() if any(a <= number <= b for a, b in spans)), "noise")


def load_noises(paths: Iterable[Path]) -> dict[str, list[np.ndarray]]:
    """Recorded noises by what sounds in them, at SAMPLE_RATE."""
    groups: dict[str, list[np.ndarray]] = {}
    for path in paths:
        groups.setdefault(noise_group(path.stem), []).append(load_mono([path])[0])
    return groups


def voiceless(clips: Sequence[Clip], noises: dict[str, list[np.ndarray]], pieces: Sequence[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """About VOICELESS_S of each kind of sound in which nobody sings, as separate sounds of one stream each.

    ``noise made`` is new to any model. ``noise recorded`` are those of the data folder that training leaves out;
    those in which there are voices or tones, which a tracker may well follow, are kinds of their own.
    ``General MIDI`` are ``pieces``, ``karaoke band`` the accompaniments of ``clips``.
    """
    samples = round(VOICELESS_S * SAMPLE_RATE) // (len(MADE_NOISES) + 2)
    made = [coloured_noise(i, samples, e) for i, e in enumerate(MADE_NOISES.values())]
    made += [hum(1, samples), clicks(2, samples)]
    recorded = {NOISE_KINDS[group]: _about(sounds) for group, sounds in noises.items()}
    bands = [clip.accompaniment for clip in clips if clip.accompaniment is not None]
    kinds = {"noise made": made, **recorded, "General MIDI": _about(pieces), "karaoke band": _about(bands)}
    return {name: [peaked(sound) for sound in sounds] for name, sounds in kinds.items() if sounds}


def _about(sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Evenly spaced ones of ``sounds`` that together last about VOICELESS_S; all where they are fewer."""
    total = sum(map(len, sounds)) / SAMPLE_RATE
    return list(sounds[:: max(1, int(total / VOICELESS_S))])
