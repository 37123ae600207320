"""From samples at any rate to the model's windows: conditioned, resampled, cut hop by hop. The first third of the engine.

Conventions
-----------
* Hop k is complete when the model-rate sample ``(k + 1) * hop - 1`` can be computed.
* Whole or piece by piece, the windows are the same to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, inf, nan, pi
from typing import TYPE_CHECKING

import numpy as np

from rt_melody.kernels import framing
from rt_melody.kernels.resample import BLOCK, StreamResampler
from rt_melody.realtime.errors import InputError

if TYPE_CHECKING:  # the kernels that take a band out take a tenth of a second to load, which most streams do without
    from rt_melody.realtime.reference.fed import FedBand
    from rt_melody.realtime.reference.recorded import RecordedBand

INCOMING_SAMPLES = 2048  # model-rate samples that one step may bring; beside them the ring keeps what a window needs
DC_CORNER_HZ = 15.0  # below it the input is no voice; an offset must not hide one


class FrontEnd:
    """One stream at ``sample_rate`` Hz on its way to a model that wants ``model_rate`` Hz in hops of ``hop_samples``, and with each
    the newest ``window_samples``, a hop at least.

    Raises InputError for a rate that cannot be resampled.
    """

    def __init__(self, sample_rate: int, model_rate: int, hop_samples: int, window_samples: int) -> None:
        try:
            self.resampler = StreamResampler(sample_rate, model_rate)
        except ValueError as error:
            raise InputError(str(error)) from error
        self.sample_rate, self.hop_samples, self._model_rate = self.resampler.rate_in, hop_samples, model_rate
        self._keep, self._dc = exp(-2.0 * pi * DC_CORNER_HZ / sample_rate), np.zeros(2)
        room = INCOMING_SAMPLES * self.resampler.rate_in // model_rate - 2
        self._at_once = max(1, min(BLOCK, room))
        self._conditioned = np.zeros(self._at_once, np.float32)
        self._resampled = np.zeros(self.resampler.most_outputs(self._at_once), np.float32)
        self._ring = np.zeros(INCOMING_SAMPLES + window_samples, np.float32)
        self._incoming = np.zeros(hop_samples, np.float32)  # a hop on its way, where a band is taken out of it
        self.band: RecordedBand | FedBand | None = None
        self.fed: FedBand | None = None  # the same, where what is taken out is fed beside
        self.replaced_samples = 0  # not finite, taken for 0
        self.reset()

    @property
    def delay_ms(self) -> float:
        """What resampling adds to the latency."""
        return self.resampler.delay_ms

    @property
    def wanted_samples(self) -> int:
        """How many more complete the next hop: at least 1."""
        hop = self._written // self.hop_samples
        return self.resampler.inputs_for((hop + 1) * self.hop_samples) - self.fed_samples

    def know(self, band: np.ndarray, sample_rate: int, loops: bool = False, lead_s: float = 0.0, one_clock: bool = True) -> None:
        """Take a band [shape=(n,)] out of what comes in, from stream time 0 on; see ``RecordedBand``. Resets."""
        from rt_melody.realtime.reference.recorded import RecordedBand

        self.fed, self.band = None, RecordedBand(band, sample_rate, self._model_rate, self.hop_samples, loops, lead_s, one_clock)
        self.reset()

    def expect_reference(self, one_clock: bool = True, careful_after_s: float = inf) -> None:
        """Take out what will be fed beside; see ``FedBand``. Resets."""
        from rt_melody.realtime.reference.fed import FedBand

        self.fed = self.band = FedBand(self.sample_rate, self._model_rate, self.hop_samples, one_clock, careful_after_s)
        self.reset()

    def reset(self, start_s: float = 0.0) -> None:
        """Forget what came in, but for ``replaced_samples``. The next sample stands at ``start_s`` of stream time."""
        if self.band is not None:
            self.band.reset(start_s)
        self.resampler.reset()
        self._ring[:] = 0.0
        self._dc[:] = nan, 0.0
        self._written = self._hops_cut = 0  # model-rate samples since the reset, and hops of them
        self.fed_samples = 0

    def feed(self, samples: np.ndarray, reference: np.ndarray | None = None) -> Iterator[int]:
        """Take in float32 samples [shape=(n,)] and as many of the band; gives control back once hops are complete, how many:
        to be cut before the next."""
        for start in range(0, len(samples), self._at_once):
            block = samples[start : start + self._at_once]
            if self.fed is not None:
                self.fed.feed(None if reference is None else reference[start : start + self._at_once], len(block))
            self.replaced_samples += framing.condition(block, self._keep, self._dc, self._conditioned)
            self.fed_samples += len(block)
            count = self.resampler.process(self._conditioned[: len(block)], self._resampled)
            if self.band is None:
                framing.put(self._ring, self._written, self._resampled, count)
                self._written += count
                if ready := self._written // self.hop_samples - self._hops_cut:
                    yield ready
            else:
                yield from self._without_band(self.band, count)

    def _without_band(self, band: RecordedBand | FedBand, count: int) -> Iterator[int]:
        """Of what was resampled, a whole hop at a time into the ring."""
        done = 0
        while done < count:
            place = self._written % self.hop_samples
            part = min(count - done, self.hop_samples - place)
            self._incoming[place : place + part] = self._resampled[done : done + part]
            if place + part == self.hop_samples:
                framing.put(self._ring, self._written - place, band.taken_out_of(self._incoming), self.hop_samples)
            self._written += part
            done += part
            if self._written % self.hop_samples == 0:
                yield 1

    def cut(self, windows: np.ndarray) -> None:
        """Fill ``windows`` [shape=(n_hops, n)], each with the newest n model-rate samples of the next hop that is complete,
        ``n <= window_samples``."""
        framing.cut(self._ring, (self._hops_cut + 1) * self.hop_samples, self.hop_samples, windows)
        self._hops_cut += len(windows)

    def complete_s(self, hop: int) -> float:
        """Seconds since the reset at which hop ``hop`` was complete."""
        return self.resampler.inputs_for((hop + 1) * self.hop_samples) / self.sample_rate
