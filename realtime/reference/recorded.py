"""A band that is known beforehand, as a recording beside that of the singer: taken out hop by hop at its place in time.

Conventions
-----------
* The recording's first sample stands at stream time 0. Where it has ended there is silence, which takes nothing out.
* All at the model's rate; both recordings count one clock.
"""

from __future__ import annotations

from math import exp, pi

import numpy as np

from rt_melody.kernels import framing
from rt_melody.kernels.resample import BLOCK, StreamResampler
from rt_melody.realtime.errors import InputError
from rt_melody.realtime.reference.cancelling import BandCanceller

DC_CORNER_HZ = 15.0  # as the microphone is conditioned


class RecordedBand:
    """``samples`` float32 [shape=(n,)] at ``sample_rate`` Hz, for a model at ``model_rate`` Hz with hops of ``hop_samples``.

    Raises InputError for a rate that cannot be resampled.
    """

    def __init__(self, samples: np.ndarray, sample_rate: int, model_rate: int, hop_samples: int) -> None:
        self._band = resampled(samples, sample_rate, model_rate)
        self._rate, self._hop = model_rate, np.zeros(hop_samples, np.float32)
        self._out = np.zeros(hop_samples, np.float32)
        self.canceller = BandCanceller(model_rate, hop_samples, one_clock=True)
        self._at = 0

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self._band) / self._rate

    def reset(self, start_s: float = 0.0) -> None:
        """Forget the room. The next hop stands at ``start_s`` of stream time."""
        self.canceller.reset()
        self._at = round(start_s * self._rate)

    def taken_out_of(self, hop: np.ndarray) -> np.ndarray:
        """A hop of the microphone [shape=(hop_samples,)] without the band; overwritten by the next call."""
        there = self._band[self._at : self._at + len(hop)]
        self._hop[: len(there)] = there
        self._hop[len(there) :] = 0.0
        self._at += len(hop)
        self.canceller.process(hop, self._hop, self._out)
        return self._out


def resampled(samples: np.ndarray, sample_rate: int, model_rate: int) -> np.ndarray:
    """Float32 [shape=(n,)] at the model's rate, as the microphone's samples are: sample n at n / model_rate seconds."""
    try:
        resampler = StreamResampler(sample_rate, model_rate)
    except ValueError as error:
        raise InputError(str(error)) from error
    tail = np.zeros(int(sample_rate * resampler.delay_ms / 1000.0) + 1, np.float32)
    clean, out = np.zeros(BLOCK, np.float32), np.zeros(resampler.most_outputs(BLOCK), np.float32)
    keep, state = exp(-2.0 * pi * DC_CORNER_HZ / sample_rate), np.array([np.nan, 0.0])
    parts: list[np.ndarray] = []
    whole = np.concatenate([samples.astype(np.float32, copy=False), tail])
    for start in range(0, len(whole), BLOCK):
        block = np.ascontiguousarray(whole[start : start + BLOCK])
        framing.condition(block, keep, state, clean)
        count = resampler.process(clean[: len(block)], out)
        parts.append(out[:count].copy())
    return np.concatenate(parts)
