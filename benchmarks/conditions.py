"""What a voice is heard in: the mixtures on which accuracy is measured.

Conventions: a ratio in dB is the voice's RMS over the other's, both over the whole clip; 0 is equal loudness.
"mixture" is the recording as it was made, both channels summed. Everything is a function of the clip's name.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np

from rt_melody.models.training.data import Clip

PEAK = 0.5  # of what is fed: no condition clips


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) + 1e-9


def _beside(voice: np.ndarray, other: np.ndarray, ratio_db: float) -> np.ndarray:
    return voice + other * np.float32(_rms(voice) / _rms(other) * 10.0 ** (-ratio_db / 20.0))


def _noise(clip: Clip, pink: bool) -> np.ndarray:
    """White, or pink by shaping the spectrum by 1 / sqrt(f) [shape=(n_samples,)]."""
    rng = np.random.default_rng(zlib.crc32(clip.name.encode()))
    white = rng.standard_normal(len(clip.voice))
    if not pink:
        return white.astype(np.float32)
    spectrum = np.fft.rfft(white)
    spectrum /= np.sqrt(np.maximum(1.0, np.arange(len(spectrum))))
    return np.fft.irfft(spectrum, len(white)).astype(np.float32)


def _with_band(ratio_db: float) -> Callable[[Clip], np.ndarray]:
    return lambda clip: _beside(clip.voice, clip.accompaniment, ratio_db)


def _with_noise(ratio_db: float, pink: bool) -> Callable[[Clip], np.ndarray]:
    return lambda clip: _beside(clip.voice, _noise(clip, pink), ratio_db)


CONDITIONS: dict[str, Callable[[Clip], np.ndarray]] = {
    "voice": lambda clip: clip.voice,
    "mixture": lambda clip: clip.voice + clip.accompaniment,
    **{f"band {db:+d} dB": _with_band(db) for db in (10, 5, 0, -5)},
    **{f"white {db} dB": _with_noise(db, False) for db in (20, 10, 0)},
    **{f"pink {db} dB": _with_noise(db, True) for db in (20, 10, 0)},
}


def heard(clip: Clip, condition: str) -> np.ndarray:
    """Samples of ``clip`` in ``condition`` at a peak of PEAK [shape=(n_samples,)]."""
    sound = CONDITIONS[condition](clip)
    return (sound * (PEAK / (np.abs(sound).max() + 1e-9))).astype(np.float32)
