"""What a stream plays of sound that is there beforehand: a song, or the breath by which the way to the microphone is learnt."""

from __future__ import annotations

import numpy as np

BREATH_S, BREATH_DB = 0.8, -22.0  # dBFS, over its length
LEARNT_S = 1.2  # from its beginning on, in which it and its echo in the room are heard
BREATH_HZ = (80.0, 7800.0)


class Player:
    """A song that is played block by block. ``position``: of the next sample, negative in the count-in, None before."""

    def __init__(self, samples: np.ndarray, loops: bool, position: int | None = None) -> None:
        self.samples, self.loops, self.position = samples, loops, position

    def fill(self, out: np.ndarray) -> None:
        """The next block into ``out`` [shape=(n, n_channels)]; silence before and after."""
        out[:] = 0.0
        if self.position is None:
            return
        filled = min(len(out), max(0, -self.position))
        while filled < len(out) and (self.loops or self.position + filled < len(self.samples)):
            at = (self.position + filled) % len(self.samples)
            count = min(len(out) - filled, len(self.samples) - at)
            out[filled : filled + count] = self.samples[at : at + count, None]
            filled += count
        self.position += len(out)


def breath(rate_hz: int) -> np.ndarray:
    """Noise that swells and fades, each octave as strong as the next [shape=(n,)], float32: it holds every pitch, and is no voice."""
    count = round(BREATH_S * rate_hz)
    spectrum, hz = np.fft.rfft(np.random.default_rng(1).standard_normal(count)), np.fft.rfftfreq(count, 1.0 / rate_hz)
    heard = (hz > BREATH_HZ[0]) & (hz < BREATH_HZ[1])
    sound = np.fft.irfft(np.where(heard, spectrum / np.sqrt(np.maximum(hz, BREATH_HZ[0])), 0.0), count) * np.hanning(count)
    return (10.0 ** (BREATH_DB / 20.0) / np.std(sound) * sound).astype(np.float32)
