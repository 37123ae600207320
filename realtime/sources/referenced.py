"""A microphone and, on another channel of the same input, the band as it is played: one clock, sample beside sample.

An audio interface's loopback, a bus of a mixer, a port of a graph. Channels are counted from 1.
"""

from __future__ import annotations

import numpy as np

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.ring import RingBuffer
from rt_melody.realtime.sources.beside import WithReference
from rt_melody.realtime.sources.devices import AudioInput
from rt_melody.realtime.sources.microphone import ALL_CHANNELS_UP_TO, MIX_SAMPLES, READ_S, RING_S
from rt_melody.realtime.sources.mixing import Mix


class PairedRing(RingBuffer):
    """A ring of pairs: what ``write_pair`` puts beside the samples lies in ``beside`` once ``read`` has given them.

    ``beside`` [shape=(most,)]: ``read`` must not be asked for more at once.
    """

    def __init__(self, capacity_samples: int, most: int) -> None:
        super().__init__(capacity_samples)
        self._others = np.empty(self.capacity_samples, np.float32)
        self._others.fill(0.0)
        self._incoming, self.beside = self._others[:0], np.zeros(most, np.float32)

    def write_pair(self, samples: np.ndarray, others: np.ndarray) -> int:
        """As ``write``, both [shape=(n,)]."""
        self._incoming = others
        return self.write(samples)

    def _copy_in(self, place: int, samples: np.ndarray) -> None:
        first, others = min(len(samples), self.capacity_samples - place), self._incoming
        self._others[place : place + first] = others[:first]
        self._others[: len(samples) - first] = others[first : len(samples)]
        super()._copy_in(place, samples)

    def _copy_out(self, place: int, out: np.ndarray) -> None:
        first = min(len(out), self.capacity_samples - place)
        self.beside[:first] = self._others[place : place + first]
        self.beside[first : len(out)] = self._others[: len(out) - first]
        super()._copy_out(place, out)


class ReferencedMicrophone(WithReference[int]):
    """An audio input of this machine, live, of which the channel ``known_by`` is the band; see BesideBand. ``channel`` None:
    the mean of all others."""

    def _channels_to_open(self, info: AudioInput) -> int:
        opened, wanted = super()._channels_to_open(info), self.known_by
        if wanted > info.channels:
            raise DeviceError(f"reference channel {wanted} does not exist: {info.full_name!r} has channels 1 to {info.channels}")
        opened = max(opened, wanted)
        others = [n for n in range(min(opened, max(ALL_CHANNELS_UP_TO, wanted))) if n != wanted - 1]
        if self.channel is None and not others:
            raise DeviceError(f"{info.full_name!r} has one channel, which cannot be voice and reference; choose another --device")
        self._mix = Mix((self.channel - 1,) if self.channel is not None else tuple(others))
        return opened

    def _make_ring(self, rate: int) -> RingBuffer:
        self._pairs = PairedRing(int(RING_S * rate), int(READ_S * rate))
        return self._pairs

    def _write(self, frames: np.ndarray, ring: RingBuffer) -> None:
        for start in range(0, len(frames), MIX_SAMPLES):
            piece = frames[start : start + MIX_SAMPLES]
            self._pairs.write_pair(self._mix.down(piece, self._mono), piece[:, self.known_by - 1])

    def follow_rate(self) -> None:
        super().follow_rate()
        self._pairs.beside = np.zeros_like(self._block)

    def _heard_beside(self) -> np.ndarray:
        return self._pairs.beside
