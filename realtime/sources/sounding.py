"""A microphone whose stream plays as well, where input and output open together: one clock, and what was played lies beside what was heard.

What is played is ``--listen``'s instrument, alone or with a song. Where the two do not open together, or no longer do, the instrument
plays on by an output of its own, and nothing of it is known here.

An instrument that plays what is sung is so like the voice that no filter could learn by it alone what is heard of it. So without a song a
breath is played at the beginning, by which it is learnt while the instrument rests (see sources/player.py), and again where the way has
become another: after a break, and where a device that dropped samples let what is played and what is heard slip against each other.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.ring import RingBuffer
from rt_melody.realtime.sources.beside import Known, WithReference
from rt_melody.realtime.sources.devices import AudioInput, find_output
from rt_melody.realtime.sources.microphone import LEFT_GRAPH, MIX_SAMPLES, READ_S, RING_S, plausible_ms
from rt_melody.realtime.sources.player import LEARNT_S, Player, breath
from rt_melody.realtime.sources.referenced import PairedRing

if TYPE_CHECKING:  # and with it a kernel
    from rt_melody.realtime.instrument import Instrument

MOST_CHANNELS = 2  # of an output
LONGEST_BLOCK_S = 1.0
MOVED_SAMPLES = 64  # by which the way from output to input has become another: what was learnt of it no longer holds
SETTLED_S = 0.5  # of blocks without a report of dropped samples, over which the way is measured


def _play_nothing(frames: np.ndarray, out: np.ndarray, *_: Any) -> None:
    out.fill(0.0)


class Aloud(Protocol):
    """An instrument that a stream may play, as ``sinks.aloud.ListenSink`` is."""

    device: str | int | None  # the output that is asked for
    instrument: Instrument

    def fill(self, out: np.ndarray, rate_hz: float, dry: bool = False, rests: bool = False) -> None:
        """The next samples [shape=(n,)]; ``dry``: the device had to wait for those before; ``rests``: no note sounds now."""

    def ring_out(self) -> None:
        """Wait a moment for the last note to end."""

    def left_alone(self) -> None:
        """Nobody plays it any more; never waits."""


class DuplexMicrophone(WithReference[Known]):
    """An audio input of this machine, live, that can open together with an output.

    ``instrument``: what the stream is to play, besides what it plays anyway; to be set before ``open``. ``sounds`` tells whether it does.
    """

    instrument: Aloud | None = None
    output: AudioInput | None = None
    _shares = False  # the instrument goes out by our stream
    _block_played = 0  # samples of the newest block that are in ``_played``

    @property
    def sounds(self) -> bool:
        return self._shares

    @property
    def brings_reference(self) -> bool:
        return self._shares

    def close(self) -> None:
        """As MicrophoneSource, once the last note has rung out."""
        if self._stream is not None and self._shares and self.instrument is not None:
            self.instrument.ring_out()
        super().close()

    # ------------------------------------------------------------------ birth

    def _make_ring(self, rate: int) -> RingBuffer:
        if self.instrument is None:
            return super()._make_ring(rate)
        self._pairs = PairedRing(int(RING_S * rate), int(READ_S * rate))
        self._played, self._sung = (np.zeros(count, np.float32) for count in (int(LONGEST_BLOCK_S * rate), MIX_SAMPLES))
        return self._pairs

    def _share_by(self, output: AudioInput, backend: Any) -> bool:
        """Whether the instrument is to go out by ``output``."""
        if self.instrument is None:
            return False
        if self.instrument.device is None:
            return True
        try:
            return find_output(self.instrument.device, backend).index == output.index
        except DeviceError:  # which is told by whoever opens it
            return False

    def _start_together(self, backend: Any, info: AudioInput, output: AudioInput, rate: int) -> bool:
        """Whether one stream could be had for both; it runs then. Else ``_stream`` is what it was."""
        stream, before = None, self._stream
        try:
            self._stream = stream = backend.Stream(
                device=(info.index, output.index),
                samplerate=rate,
                channels=(self._channels, min(MOST_CHANNELS, output.channels)),
                dtype="float32",
                latency=self._latency,
                blocksize=self._block_samples,
                **self._callbacks(self._duplex_callback, _play_nothing),
            )
            self._ready_together(rate)
            self._stream.start()
        except (backend.PortAudioError, ValueError):  # not together: each by itself, which says what is wrong
            if stream is not None:
                stream.close()
            self._stream, self._finished = before, False
            return False
        self._last_callback_s = self._looked_s = self._looking_since_s = time.perf_counter()
        return True

    def _ready_together(self, rate: int) -> None:
        """The stream for both is there, and about to run."""

    # ------------------------------------------------------------------ PortAudio's thread

    def _duplex_callback(self, frames: np.ndarray, out: np.ndarray, n_frames: int, time_info: Any, status: Any) -> None:
        raise NotImplementedError

    def _add_instrument(self, out: np.ndarray, status: Any, rests: bool = False) -> None:
        """To what ``out`` [shape=(n, n_channels)] holds, the same on each channel; what is played then is kept for ``_write``."""
        if not self._shares or self.instrument is None:
            return
        dry, self._block_played = bool(status) and status.output_underflow, len(out)
        for start in range(0, len(out), MIX_SAMPLES):
            piece = out[start : start + MIX_SAMPLES]
            played = self._played[start : start + len(piece)]
            self.instrument.fill(played, self.sample_rate, dry and start == 0, rests)
            played += piece[:, 0]
            np.clip(played, -1.0, 1.0, out=played)
            for channel in range(out.shape[1]):
                piece[:, channel] = played

    def _write(self, frames: np.ndarray, ring: RingBuffer) -> None:
        """``frames`` are the last of the newest block."""
        if self.instrument is None:
            super()._write(frames, ring)
            return
        begin = self._block_played - len(frames)
        for start in range(0, len(frames), MIX_SAMPLES):
            piece = frames[start : start + MIX_SAMPLES]
            beside = self._sung[: len(piece)]
            if self._shares:
                beside[:] = self._played[begin + start : begin + start + len(piece)]
            else:
                beside[:] = 0.0
            self._pairs.write_pair(self._as_heard(piece), beside)

    # ------------------------------------------------------------------ our thread

    def follow_rate(self) -> None:
        super().follow_rate()
        if self.instrument is not None:
            self._pairs.beside = np.zeros_like(self._block)

    @property
    def _output_together(self) -> AudioInput | None:
        """That of our stream."""
        return self.output

    @property
    def _lost_name(self) -> str:
        """Of a stream for both nobody says which of them it was, but that a client of JACK's graph left it."""
        name, output = super()._lost_name, self._output_together
        return name if output is None or self._loss == LEFT_GRAPH else f"{name}, or the audio output {output.full_name!r} with it,"

    @property
    def input_latency_ms(self) -> float | None:
        """As MicrophoneSource."""
        latency: Any = self._stream.latency if self._stream is not None else 0.0
        return plausible_ms(latency if isinstance(latency, float) else latency[0])

    def _heard_beside(self) -> np.ndarray | None:
        return self._pairs.beside if self._shares else None


class SoundingMicrophone(DuplexMicrophone[Aloud]):
    """An audio input of this machine, live, whose stream plays the instrument ``known_by`` where that can be; see BesideBand."""

    _split = False  # the two got on badly

    def open(self) -> None:
        """As MicrophoneSource. Raises DeviceError."""
        self.instrument = self.known_by
        super().open()

    def _prepare(self, rate: int) -> None:
        super()._prepare(rate)
        self._begin_way(rate)

    def start_clock(self) -> None:
        """As MicrophoneSource; the breath is played."""
        super().start_clock()
        self.learn_anew()

    def learn_anew(self) -> bool:
        """As AudioSource."""
        if self._shares:
            self._player = Player(self._player.samples, loops=False, position=0)
        return self._shares

    def follow_rate(self) -> None:
        super().follow_rate()
        self._begin_way(self.sample_rate)

    def _begin_way(self, rate: int) -> None:
        """Nothing is known yet of the way from what is played to what is heard; the breath waits."""
        self._player, self._way = Player(breath(rate), loops=False), WayWatch(rate)

    def _duplex_callback(self, frames: np.ndarray, out: np.ndarray, n_frames: int, time_info: Any, status: Any) -> None:
        if time_info is not None:
            way_s = time_info.outputBufferDacTime - time_info.inputBufferAdcTime
            if self._way.has_moved(way_s, n_frames, bool(status)):
                self._breaks += 1
        player = self._player
        player.fill(out)
        self._add_instrument(out, status, player.position is not None and player.position < LEARNT_S * self.sample_rate)
        self._callback(frames, n_frames, time_info, status)

    def _start(self, backend: Any, info: AudioInput, rate: int) -> None:
        shared, self._shares = self._shares, False
        if not self._split and (output := self._output_beside(backend, info)) is not None:
            self.output = output
            self._shares = True  # before the first block
            self._shares = self._start_together(backend, info, output, rate)
        if self._shares:
            return
        self.output = None
        try:
            super()._start(backend, info, rate)
        finally:
            if shared:
                self.known_by.left_alone()

    def _output_beside(self, backend: Any, info: AudioInput) -> AudioInput | None:
        """The output that is asked for, where it belongs to the sound system of the input."""
        try:
            output = find_output(self.known_by.device, backend, info)
        except DeviceError:  # which is told by whoever opens it
            return None
        return output if output.host_api == info.host_api else None

    def _mend_loss(self) -> None:
        """Where sound is lost on the way what is opened anew is opened apart."""
        self._split = True
        try:
            super()._mend_loss()
        finally:
            self._split = False

    def _await_return(self) -> None:
        """The input is heard by another process once it is back: the instrument plays on without it."""
        shared, self._shares = self._shares, False
        super()._await_return()
        self.output = None
        if shared:
            self.known_by.left_alone()


class WayWatch:
    """Whether a device that dropped samples moved what is played against what is heard, by its own account of the two times.

    One that says nothing of them has moved nothing. ``rate_hz``: of the stream. Of the device's thread.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._usual_s: float | None = None  # from output to input, as it was measured last
        self._least_s, self._left = math.inf, round(SETTLED_S * rate_hz)  # of the measurement under way: so far, and samples to come

    def has_moved(self, way_s: float, n_frames: int, dropped: bool) -> bool:
        """After a block of ``n_frames`` samples that are heard ``way_s`` before what is played with them; ``dropped``: the device says
        that it lacked or lost some."""
        if dropped:
            self._least_s, self._left = math.inf, round(SETTLED_S * self._rate_hz)
        if self._left <= 0:
            return False
        self._least_s, self._left = min(self._least_s, way_s), self._left - n_frames
        if self._left > 0:
            return False
        before_s, self._usual_s = self._usual_s, self._least_s
        return before_s is not None and abs(self._usual_s - before_s) * self._rate_hz >= MOVED_SAMPLES
