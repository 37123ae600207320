"""A band that is known beforehand, as a recording beside that of the singer: taken out hop by hop at its place in time.

Conventions
-----------
* The recording's first sample stands at stream time 0, or ``lead_s`` before it. Where it has ended there is silence, which
  takes nothing out, or it begins again.
* All at the model's rate.
"""

from __future__ import annotations

from math import exp, pi

import numpy as np

from rt_melody.kernels import framing
from rt_melody.kernels.resample import converted
from rt_melody.realtime.errors import InputError
from rt_melody.realtime.reference.cancelling import BandCanceller

DC_CORNER_HZ = 15.0  # as the microphone is conditioned


class RecordedBand:
    """``samples`` float32 [shape=(n,)] at ``sample_rate`` Hz, for a model at ``model_rate`` Hz with hops of ``hop_samples``.

    ``loops``: it begins again at its end. ``lead_s``: by so much it is handed over earlier than it is due, as where a
    singer is recorded late. ``one_clock``: the microphone counts the clock by which it is played.
    Raises InputError for a rate that cannot be resampled.
    """

    def __init__(
        self,
        samples: np.ndarray,
        sample_rate: int,
        model_rate: int,
        hop_samples: int,
        loops: bool = False,
        lead_s: float = 0.0,
        one_clock: bool = True,
    ) -> None:
        tail = np.zeros(0, np.float32) if loops else np.zeros(hop_samples, np.float32)
        self._band = np.concatenate([resampled(samples, sample_rate, model_rate, loops), tail])
        self._seconds, self._loops, self._lead = len(samples) / sample_rate, loops, round(lead_s * model_rate)
        self._rate, self._hop = model_rate, np.zeros(hop_samples, np.float32)
        self._out = np.zeros(hop_samples, np.float32)
        self.canceller = BandCanceller(model_rate, hop_samples, one_clock=one_clock)
        self._at = self._lead

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self._seconds

    def reset(self, start_s: float = 0.0) -> None:
        """The next hop stands at ``start_s`` of stream time. Where that is 0, the room is forgotten."""
        if start_s == 0.0:
            self.canceller.reset()
        else:
            self.canceller.jump()
        self._at = self._lead + round(start_s * self._rate)

    def taken_out_of(self, hop: np.ndarray) -> np.ndarray:
        """A hop of the microphone [shape=(hop_samples,)] without the band; overwritten by the next call."""
        self._fill(self._hop)
        self._at += len(hop)
        self.canceller.process(hop, self._hop, self._out)
        return self._out

    def _fill(self, hop: np.ndarray) -> None:
        filled = 0
        while filled < len(hop):
            at = (self._at + filled) % len(self._band) if self._loops else min(self._at + filled, len(self._band) - len(hop))
            there = self._band[at : at + len(hop) - filled]
            hop[filled : filled + len(there)] = there
            filled += len(there)


def resampled(samples: np.ndarray, sample_rate: int, model_rate: int, loops: bool = False) -> np.ndarray:
    """Float32 [shape=(n,)] at the model's rate, as the microphone's samples are: sample n at n / model_rate seconds.

    ``loops``: what is before the beginning is the end, and the length is that of the samples to half a sample.
    """
    if not loops:
        return _converted(_conditioned(samples, sample_rate), sample_rate, model_rate)
    around = samples[np.arange(-sample_rate, len(samples) + sample_rate) % len(samples)]
    out = _converted(_conditioned(around, sample_rate), sample_rate, model_rate)
    return out[model_rate : model_rate + max(1, round(len(samples) * model_rate / sample_rate))]


def _conditioned(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    keep, state = exp(-2.0 * pi * DC_CORNER_HZ / sample_rate), np.array([np.nan, 0.0])
    clean = np.zeros(len(samples), np.float32)
    framing.condition(samples.astype(np.float32), keep, state, clean)
    return clean


def _converted(samples: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    try:
        return converted(samples, rate_in, rate_out)
    except ValueError as error:
        raise InputError(str(error)) from error
