"""A band that comes in beside the microphone, sample by sample: another channel, a side-chain, another device.

Conventions
-----------
* Both come at one rate and in pieces of one length, so that both complete a hop by the same sample.
* Whole or piece by piece, what is left is the same to the bit.
"""

from __future__ import annotations

from math import exp, inf, nan, pi

import numpy as np

from rt_melody.kernels import framing
from rt_melody.kernels.resample import BLOCK, StreamResampler
from rt_melody.realtime.reference.cancelling import BandCanceller
from rt_melody.realtime.reference.recorded import DC_CORNER_HZ


class FedBand:
    """For streams at ``sample_rate`` Hz, which a ``StreamResampler`` must take, and a model at ``model_rate`` Hz.

    ``one_clock``: microphone and reference count the same clock. ``careful_after_s``: of a reference that follows the singer (see
    ``kernels.canceller.Canceller``).
    """

    def __init__(self, sample_rate: int, model_rate: int, hop_samples: int, one_clock: bool = True, careful_after_s: float = inf) -> None:
        self._resampler = StreamResampler(sample_rate, model_rate)
        self._keep, self._dc = exp(-2.0 * pi * DC_CORNER_HZ / sample_rate), np.zeros(2)
        most = self._resampler.most_outputs(BLOCK)
        self._conditioned, self._resampled = np.zeros(BLOCK, np.float32), np.zeros(most, np.float32)
        self._nothing = np.zeros(BLOCK, np.float32)
        self._waiting = np.zeros(hop_samples + most, np.float32)
        self._hop, self._out = np.zeros(hop_samples, np.float32), np.zeros(hop_samples, np.float32)
        self.canceller = BandCanceller(model_rate, hop_samples, one_clock=one_clock, careful_after_s=careful_after_s)
        self._began = False  # something but silence came
        self.reset()

    def reset(self, start_s: float = 0.0) -> None:
        """Another stream begins at 0; at a later ``start_s`` the same one goes on, and the room is still known."""
        if start_s == 0.0:
            self.canceller.reset()
        else:
            self.canceller.jump()
        self._began = self._began and start_s != 0.0
        self._resampler.reset()
        self._dc[:] = nan, 0.0
        self._count = 0

    def feed(self, block: np.ndarray | None, samples: int) -> None:
        """Take in what was heard of the band while ``samples``, BLOCK at most, came of the microphone; None: silence."""
        block = self._nothing[:samples] if block is None else block
        framing.condition(block, self._keep, self._dc, self._conditioned)
        count = self._resampler.process(self._conditioned[:samples], self._resampled)
        self._waiting[self._count : self._count + count] = self._resampled[:count]
        self._count += count

    def taken_out_of(self, hop: np.ndarray) -> np.ndarray:
        """A hop of the microphone [shape=(hop_samples,)] without the band; itself before the band begins, else overwritten by the
        next call."""
        size, left = len(hop), self._count - len(hop)
        self._hop[:] = self._waiting[:size]
        self._waiting[:left] = self._waiting[size : size + left]
        self._count = left
        self._began = self._began or bool(self._hop.any())
        if not self._began:  # a band that never comes costs next to nothing
            return hop
        self.canceller.process(hop, self._hop, self._out)
        return self._out
