"""The microphone: PortAudio's thread writes the ring and leaves, ours waits to be woken and reads.

Conventions
-----------
* Samples are mono float32 at the device's rate, full scale 1.0; several channels are averaged.
* Channels are counted from 1, as on the front of an audio interface.
* Times are when the samples reached this process, by its own clock; how long the device held them
  before that is ``input_latency_ms``, where it can be known.
* Blocks are timed by ``time.perf_counter``: before Python 3.13 Windows' ``time.monotonic`` goes in steps of 15.6 ms.
* Under JACK an input is another client's output: when that client goes, the input stays open and silent. So the graph is asked
  while it is silent, again and again, whoever waits for a return or not.
* ``lost_samples`` counts what found the ring full. What the device itself dropped has no number; each
  report of it is counted in ``overflows``.
* An input that is not heard at all at its beginning is told of, with what to look at and what the other inputs give.
* A device that loses sound though nobody says so gets larger buffers, once: PipeWire's plug-in for ALSA does, where the
  graph's period is longer than the buffer that low latency asked for (half of the sound at a period of 1024).
* With ``reconnect`` a device that is lost ends nothing: nothing comes until it is back, when a process of its own hears it (see
  sources/returning.py). ``breaks`` counts its going and its return, and positions go on by the time in between.
* What the device says of its rate is measured: one that has changed it raises ``RateChanged``, and goes on at the new
  rate once ``follow_rate`` was called. The ring's indices count samples of whatever rate; positions count in samples of
  the newest, so that seconds go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.jack_watch import watch_jack
from rt_melody.realtime.ring import RingBuffer
from rt_melody.realtime.sources.base import AudioSource, DeviceLost, RateChanged
from rt_melody.realtime.sources.blocks import check_sample_rate, mix_down
from rt_melody.realtime.sources.devices import AudioInput, abandon_stream, await_closing, close_stream, find_input, load_backend
from rt_melody.realtime.sources.input_levels import OtherLevels
from rt_melody.realtime.sources.rate_meter import RateFault, RateMeter
from rt_melody.realtime.sources.returning import ReturningInput, Wanted
from rt_melody.realtime.sources.wakeup import WakeupPipe

RING_S = 10.0  # how far the reader may fall behind before samples are lost
READ_S = 0.1  # the most that one read gives
MIX_SAMPLES = 1024  # samples mixed down at a time in the callback
ALL_CHANNELS_UP_TO = 8  # a device that offers more is a matrix or a converter; its first two are taken
ZEROS_S = 3.0  # exact zeros for so long are no room that is quiet
FAINT_S = 3.0  # nothing above FAINT_PEAK for so long at the beginning: no microphone hears so little
FAINT_PEAK = 10.0 ** (-70.0 / 20.0)
STILL_S = 1.0  # no callback for so long is told
ZEROS_IN_GRAPH_S = 0.4  # under JACK, until it is asked whether the client that was heard is still there ...
ASK_GRAPH_S = 0.5  # ... and so often from then on
LEFT_GRAPH = "it left the JACK graph"
MENDED_S = 3.0  # for so long it is told that the device was opened anew
SILENT_DEVICE_S = 2.0  # no callback for so long: the device is gone ...
LOOK_EVERY_S = 0.5  # ... if we have looked so often meanwhile; else it was our process that stood still
ORIGIN_S = 0.5  # of sound after a loss, from which it is measured how much was lost
PLAUSIBLE_LATENCY_S = 5.0  # PortAudio 19.6 reports 0 or weeks under JACK

# PortAudio error code -> what it means for the user. Placeholders: device, rate, own_rate, channels.
OPEN_ERRORS = {
    -9997: "{device} does not record at {rate} Hz; leave the rate out to use its own, {own_rate} Hz",
    -9998: "{device} does not open with {channels} channels; choose another --device",
    -9996: "{device} is no longer there; see --list-devices",
    -9985: "{device} is busy or was unplugged; close the program that uses it, or choose another --device",
}


class MicrophoneSource(AudioSource):
    """An audio input of this machine, live.

    ``device``: a number, a part of a name, or None for the default. ``sample_rate``: in Hz, None for the
    device's own. ``channel``: one channel, from 1, or None for the mean of all. ``block_samples``: the size
    asked of PortAudio, 0 to let the device choose, which is the quickest. ``backend``: a stand-in for the
    ``sounddevice`` module. ``ask_others``: where this input is not heard at its beginning, listen to the others as well.
    ``reconnect``: wait for a device that is lost.

    ``open`` raises DeviceError, ``read`` raises DeviceLost once everything captured has been read, unless it reconnects, and
    RateChanged as soon as it is measured.
    """

    name = "microphone"
    live = True
    asks_graph = True  # under JACK, whether the client that is heard is still there

    def __init__(
        self,
        device: str | int | None = None,
        sample_rate: int | None = None,
        channel: int | None = None,
        block_samples: int = 0,
        backend: Any = None,
        ask_others: bool = False,
        reconnect: bool = False,
    ) -> None:
        self.device, self._ask_others, self._reconnect = device, ask_others, reconnect
        self.channel = channel
        self.info: AudioInput | None = None
        self._asked_rate = sample_rate
        self._block_samples = block_samples
        self._backend = backend
        self._stream: Any = None
        self._turn = 0  # of the streams: whose calls are heeded
        self._ring: RingBuffer | None = None

    # ------------------------------------------------------------------ birth and death

    def open(self) -> None:
        """Find the device and start it. Raises DeviceError with one clear sentence."""
        if self._stream is not None:
            raise RuntimeError("the microphone is open already")
        backend = self._backend = self._backend or load_backend()
        await_closing()
        self.info = info = find_input(self.device, backend)
        channels = self._channels_to_open(info)
        rate = check_sample_rate(
            info.default_rate_hz if self._asked_rate is None else self._asked_rate,
            f"leave the rate out to use that of {info.full_name!r}",
        )
        self._prepare(rate)
        self._channels, self._latency = channels, "low"
        try:
            self._start(backend, info, rate)
        except (backend.PortAudioError, ValueError, OverflowError) as error:
            self._stop_stream()
            self._wakeup.close()
            raise DeviceError(_open_failure(error, info, rate, channels)) from error

    def _channels_to_open(self, info: AudioInput) -> int:
        if self.channel is None:
            return info.channels if info.channels <= ALL_CHANNELS_UP_TO else 2
        if not 1 <= self.channel <= info.channels:
            raise DeviceError(f"channel {self.channel} does not exist: {info.full_name!r} has channels 1 to {info.channels}")
        return self.channel

    def _make_ring(self, rate: int) -> RingBuffer:
        return RingBuffer(int(RING_S * rate))

    def _prepare(self, rate: int) -> None:
        """Everything that the callback touches, made before it runs."""
        self.sample_rate = self._opened_rate = rate
        self._ring = self._make_ring(rate)
        self._block = np.zeros(int(READ_S * rate), np.float32)
        self._mono = np.zeros(MIX_SAMPLES, np.float32)
        self._meter = RateMeter(rate)
        self._rate_index = self._rate_samples = self._rate_lost = self._rate_lost_samples = 0  # where the newest rate began
        self._breaks, self._mended, self._mended_s = 0, "", -inf
        self._last_sound = 0  # index after the newest sample that is not exactly 0
        self._was_heard = False  # anything above FAINT_PEAK, so far
        self._others = OtherLevels(self._opened_input().index) if self._ask_others else None
        self._wakeup = WakeupPipe()
        self._origin_s: float | None = None
        self._clock_starts = True  # with the next block
        self._origin_due_samples, self._least_origin_s = 0, inf  # where a measurement ends, 0: none is under way
        self._overflows = 0
        self._together_samples = 0
        self._device_block_samples = 0
        self._finished = False
        self._loss = self._away = ""  # why it was lost; what is said while it is waited for
        self._returned = False  # the next block is the first since it was away
        self._graph = GraphWatch(self._opened_input()) if self.asks_graph else None
        self._last_callback_s = self._looked_s = self._looking_since_s = time.perf_counter()

    def _start(self, backend: Any, info: AudioInput, rate: int) -> None:
        self._stream = backend.InputStream(
            device=info.index,
            samplerate=rate,
            channels=self._channels,
            dtype="float32",
            latency=self._latency,
            blocksize=self._block_samples,
            **self._callbacks(self._callback),
        )
        self._stream.start()
        self._last_callback_s = self._looked_s = self._looking_since_s = time.perf_counter()

    def _callbacks(self, heard: Callable[..., object], silenced: Callable[..., object] | None = None) -> dict[str, Any]:
        """What a stream of PortAudio's calls: until it is let go ``heard``, then ``silenced``. One that was abandoned with its server
        goes on calling where that server only stood still, and another hears the input by then."""
        self._turn = turn = self._turn + 1

        def callback(*block: Any) -> None:
            if turn == self._turn:
                heard(*block)
            elif silenced is not None:
                silenced(*block)

        def finished() -> None:
            if turn == self._turn:
                self._on_finished()

        return {"callback": callback, "finished_callback": finished}

    def close(self) -> None:
        """Stop the device. What the ring still holds can no longer be read. Idempotent."""
        if self._stream is not None:
            if self._graph is not None:
                self._graph.close()
            self._stop_stream()
            self._wakeup.close()

    def _stop_stream(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._let_go(stream)

    def _let_go(self, stream: Any) -> None:
        self._turn += 1
        in_jack = "JACK" in self._opened_input().host_api and not isinstance(stream, ReturningInput)
        if in_jack and self._loss != LEFT_GRAPH and (self._loss or self._finished or not stream.active):
            abandon_stream(stream, self._backend)
        else:
            close_stream(stream, self._backend, dead=bool(self._loss))

    def _opened_ring(self) -> RingBuffer:
        assert self._ring is not None, "open has made it"
        return self._ring

    def _opened_input(self) -> AudioInput:
        assert self.info is not None, "open has found it"
        return self.info

    # ------------------------------------------------------------------ PortAudio's thread

    def _callback(self, frames: np.ndarray, n_frames: int, time_info: Any, status: Any) -> None:
        """Copy, wake the reader, leave. ``frames`` [shape=(n_frames, n_channels)] belongs to PortAudio."""
        ring = self._opened_ring()
        if self._clock_starts:  # before anybody can read the block
            self._origin_s = time.perf_counter() - self._counted(ring.write_index + n_frames) / self.sample_rate
            self._clock_starts, self._origin_due_samples = False, 0
        elif self._returned:
            self._pass_over_gap(ring.write_index + n_frames)
        self._returned = False
        self._measure_block(n_frames)
        lost_before = ring.lost_samples
        self._write(frames, ring)
        if frames.any():
            self._last_sound = ring.write_index
            self._was_heard = self._was_heard or max(frames.max(), -frames.min()) > FAINT_PEAK
        overflow = bool(status) and status.input_overflow
        if overflow:
            self._overflows += 1
            self._meter.reset()
        self._meter.add(ring.write_index + ring.lost_samples, self._last_callback_s)
        self._measure_origin(ring, overflow, ring.lost_samples - lost_before)
        self._wakeup.notify()

    def _pass_over_gap(self, end_index: int) -> None:
        """Positions go on by as much as the device was away, whose next block ends now and at this index."""
        assert self._origin_s is not None, "set with the first block"
        now = round((time.perf_counter() - self._origin_s) * self.sample_rate)
        self._rate_samples += max(0, now - self._counted(end_index))

    def _measure_origin(self, ring: RingBuffer, overflow: bool, lost: int) -> None:
        """What the ring had no room for is known to the sample. What the device dropped is not: it shows in how much
        later the blocks come from then on, of which the least counts, since what held the device up held these up too."""
        assert self._origin_s is not None, "set with the first block"
        written, rate = self._counted(ring.write_index), self.sample_rate
        self._origin_s += lost / rate
        if overflow:
            self._origin_due_samples, self._least_origin_s = written + round(ORIGIN_S * rate), inf
        if self._origin_due_samples:
            self._least_origin_s = min(self._least_origin_s, time.perf_counter() - written / rate)
            if written >= self._origin_due_samples:
                self._origin_due_samples, self._origin_s = 0, max(self._origin_s, self._least_origin_s)

    def _measure_block(self, n_frames: int) -> None:
        """What comes within half its own duration came together: PortAudio cuts JACK's large periods in pieces."""
        now_s = time.perf_counter()
        together = now_s - self._last_callback_s < 0.5 * n_frames / self.sample_rate
        self._last_callback_s = now_s
        self._together_samples = n_frames + (self._together_samples if together else 0)
        if self._together_samples > self._device_block_samples:
            self._device_block_samples = self._together_samples

    def _write(self, frames: np.ndarray, ring: RingBuffer) -> None:
        for start in range(0, len(frames), MIX_SAMPLES):
            ring.write(self._as_heard(frames[start : start + MIX_SAMPLES]))

    def _as_heard(self, piece: np.ndarray) -> np.ndarray:
        """One channel [shape=(n,)] of MIX_SAMPLES frames at most."""
        if piece.shape[1] == 1:  # as an input that comes back hands it on, too
            return piece[:, 0]
        if self.channel is not None:
            return piece[:, self.channel - 1]
        return mix_down(piece, self._mono)

    def _on_finished(self) -> None:
        self._finished = True
        self._wakeup.notify()

    # ------------------------------------------------------------------ our thread

    def read(self, timeout_s: float = 0.1) -> np.ndarray | None:
        """What has come since the last read, at most 0.1 s of it, as a view; None after ``close``."""
        if self._stream is None:
            return None
        ring, deadline_s = self._opened_ring(), time.perf_counter() + timeout_s
        while True:
            given = ring.read(self._block)
            if given:
                return self._block[:given]
            self._raise_if_lost(ring)
            self._raise_if_rate_changed()
            self._mend_loss()
            left_s = deadline_s - time.perf_counter()
            if left_s <= 0.0:
                return self._block[:0]
            self._wakeup.wait(min(left_s, LOOK_EVERY_S / 2))

    def _raise_if_lost(self, ring: RingBuffer) -> None:
        if self._away:
            return
        self._loss = self._loss or self._find_loss()
        if self._loss and not ring.available:
            if self._reconnect:
                self._await_return()
                return
            raise DeviceLost(self._said_of_end(f"{self._lost_name} was lost: {self._loss}"))

    @property
    def _lost_name(self) -> str:
        """What was lost, as far as is known."""
        return repr(self._opened_input().full_name)

    def _said_of_end(self, lost: str) -> str:
        """The sentence for an input that was lost for good: which, and why."""
        way_out = "start it" if self._loss == LEFT_GRAPH else "plug it in or start its sound service"
        return f"the audio input {lost}; {way_out} again, then run rt-melody again"

    def _said_of_absence(self, lost: str) -> str:
        """That for one that is waited for."""
        return f"the audio input {lost}; singing is heard again once it is back"

    def _await_return(self) -> None:
        """Let go of the device, and have a process of its own look for it, which will hear it."""
        name, stream = self._opened_input().full_name, self._stream
        self._away = self._said_of_absence(f"{self._lost_name} was lost: {self._loss}")
        self._breaks += 1
        self._let_go(stream)
        self._loss, self._finished, self._latency = "", False, "high"
        wanted = Wanted(name, self.sample_rate, self.channel, self._block_samples)
        self._stream = ReturningInput(wanted, self._callback, self._note_return, self._on_finished)

    def _note_return(self) -> None:
        """On the thread that will call back: it is there again."""
        self._meter.reset()
        self._last_sound = self._opened_ring().write_index
        self._last_callback_s = self._looked_s = self._looking_since_s = time.perf_counter()
        self._returned = True
        self._breaks += 1
        self._away = ""

    def _raise_if_rate_changed(self) -> None:
        fault = self._meter.fault()
        if fault is not None and fault.rate_hz is not None:
            raise RateChanged(f"the audio input {self._opened_input().full_name!r}", self.sample_rate, fault.rate_hz)

    def _mend_loss(self) -> None:
        """Sound is lost on the way: open the device anew, with larger buffers."""
        fault = self._meter.fault()
        if fault is None or fault.rate_hz is not None or self._latency != "low":
            return
        self._latency = "high"
        self._mended, self._mended_s = self._loss_sentence(fault) + "it is opened anew with larger buffers", time.perf_counter()
        self._stream.close()
        self._finished = False
        self._breaks += 1
        self._meter.reset()
        self._clock_starts = True
        try:
            self._start(self._backend, self._opened_input(), self._opened_rate)
        except (self._backend.PortAudioError, ValueError) as error:
            self._loss = f"it lost sound and could not be opened anew ({' '.join(str(error).split())})"

    def _loss_sentence(self, fault: RateFault) -> str:
        return (
            f"the audio input {self._opened_input().full_name!r} gives {fault.measured_hz:.0f} samples a second where it says "
            f"{self.sample_rate}, so that sound is lost on the way; "
        )

    def follow_rate(self) -> None:
        """Go on at the rate that was measured. What was heard since the change was taken for shorter than it was: it moves
        the moment of sample 0."""
        fault = self._meter.fault()
        if fault is None or fault.rate_hz is None:
            return
        ring, ratio = self._opened_ring(), fault.rate_hz / self.sample_rate
        now, lost = ring.read_index, ring.lost_samples
        samples, lost_samples = round(self._counted(now) * ratio), round(self.lost_samples * ratio)
        self.sample_rate = fault.rate_hz
        self._rate_index, self._rate_samples, self._rate_lost, self._rate_lost_samples = now, samples, lost, lost_samples
        self._meter.reset(fault.rate_hz)
        self._block = np.zeros(int(READ_S * fault.rate_hz), np.float32)
        self._clock_starts = True

    def _counted(self, index: int) -> int:
        """An index of the ring as a position in samples of the newest rate."""
        return self._rate_samples + index - self._rate_index

    def _find_loss(self) -> str:
        if self._finished:
            return "the system stopped it"
        silent_s = self._silent_s()
        if silent_s > SILENT_DEVICE_S:
            return f"nothing came from it for {silent_s:.1f} s"
        if self._graph is not None and self._graph.has_left(self._zeros_s()):
            return LEFT_GRAPH
        if not self._stream.active:
            return "it is no longer active"
        return ""

    def _zeros_s(self) -> float:
        """For how long nothing but zeros came."""
        return (self._opened_ring().write_index - self._last_sound) / self.sample_rate

    def _silent_s(self) -> float:
        """For how long we have been looking and nothing came: a process that was stopped or starved stands still whole,
        the device's thread too, and that one may be the later to wake up."""
        now_s = time.perf_counter()
        if now_s - self._looked_s > LOOK_EVERY_S:
            self._looking_since_s = now_s
        self._looked_s = now_s
        return now_s - max(self._last_callback_s, self._looking_since_s)

    def skip_to_newest(self) -> int:
        """Drop everything captured and not yet read; the number of samples.

        The device's block is measured anew: what held the reader up may have held up the device's thread too.
        """
        self._device_block_samples = 0
        return self._ring.skip_to(self._ring.write_index) if self._ring else 0

    def start_clock(self) -> None:
        self._clock_starts = True

    @property
    def backlog_samples(self) -> int:
        return self._ring.available if self._ring else 0

    @property
    def device_block_samples(self) -> int:
        return self._device_block_samples if self._ring else 0

    @property
    def position_samples(self) -> int:
        return self._counted(self._ring.read_index) if self._ring else 0

    @property
    def lost_samples(self) -> int:
        return self._rate_lost_samples + self._ring.lost_samples - self._rate_lost if self._ring else 0

    @property
    def overflows(self) -> int:
        """How often the device reported that it had dropped samples itself, an unknown number each time."""
        return self._overflows if self._ring else 0

    @property
    def origin_s(self) -> float | None:
        """When sample 0 was, by ``time.perf_counter``; later after a loss, so that newer samples keep their time."""
        return self._origin_s if self._ring else None

    @property
    def breaks(self) -> int:
        return self._breaks if self._ring else 0

    @property
    def measured_rate_hz(self) -> float | None:
        return self._meter.measured_hz if self._ring else None

    @property
    def trouble(self) -> str | None:
        """What is wrong with the input now, in one sentence; None where all is well."""
        if self._stream is None:
            return None
        if self._away:
            return self._away
        name = self._opened_input().full_name
        if self._silent_s() > STILL_S:
            return f"nothing comes from the audio input {name!r} any more"
        written = self._opened_ring().write_index
        if self._zeros_s() > ZEROS_S:
            return self._with_others(
                f"nothing but digital silence comes from the audio input {name!r}: see whether it is muted, switched off, or "
                "forbidden to this program by the system's privacy settings"
            )
        if not self._was_heard and written > FAINT_S * self.sample_rate:
            return self._with_others(
                f"hardly anything comes from the audio input {name!r}: see whether its cable is in, its switch is on, its gain is up, "
                "and whether it needs phantom power"
            )
        fault = self._meter.fault()
        if fault is not None and fault.rate_hz is None and self._latency != "low":
            return self._loss_sentence(fault) + "choose another --device, or end other programs"
        if time.perf_counter() - self._mended_s < MENDED_S:
            return self._mended
        return None

    def _with_others(self, sentence: str) -> str | None:
        """The sentence, and at the beginning what the other inputs give, which takes a moment to find out: None until then."""
        if self._was_heard or self._others is None:
            return sentence
        self._others.ask()
        return None if self._others.sentence is None else f"{sentence}; {self._others.sentence}"

    @property
    def input_latency_ms(self) -> float | None:
        """How long the device holds a sample before it arrives, as PortAudio says; None if that is nonsense."""
        return plausible_ms(self._stream.latency if self._stream is not None else 0.0)


class GraphWatch:
    """Whether the client that is heard is still in JACK's graph, asked by a thread of its own while it is silent."""

    def __init__(self, info: AudioInput) -> None:
        self._name = info.name if "JACK" in info.host_api else ""
        self._silence: Silence | None = None

    def has_left(self, zeros_s: float) -> bool:
        """As far as is known, where nothing but zeros came for so long."""
        if zeros_s < ZEROS_IN_GRAPH_S or not self._name:
            self.close()
            return False
        if self._silence is None:
            self._silence = Silence(self._name)
        return self._silence.has_left

    def close(self) -> None:
        """Ask no longer."""
        silence, self._silence = self._silence, None
        if silence is not None:
            silence.over.set()


class Silence:
    """One silence of the client ``name``: until it is ``over``, or the client ``has_left``, the graph is asked for it."""

    def __init__(self, name: str) -> None:
        self._name, self.over, self.has_left = name, threading.Event(), False
        threading.Thread(target=self._ask, name="jack-graph", daemon=True).start()

    def _ask(self) -> None:
        if (watch := watch_jack()) is None:
            return
        while not (self.over.is_set() or watch.gone):  # without a server the device falls silent, which is noticed elsewhere
            if not watch.has_client(self._name):
                self.has_left = True
                break
            self.over.wait(ASK_GRAPH_S)
        watch.close()


def plausible_ms(latency_s: float) -> float | None:
    """What PortAudio says of a latency, in ms; None where that cannot be."""
    return latency_s * 1000.0 if 0.0 < latency_s < PLAUSIBLE_LATENCY_S else None


def _open_failure(error: Exception, info: AudioInput, rate: int, channels: int) -> str:
    code = error.args[1] if len(error.args) > 1 else 0
    sentence = OPEN_ERRORS.get(code, "{device} cannot be opened; choose another --device or try again")
    said = " ".join(str(error).split())
    return sentence.format(device=repr(info.full_name), rate=rate, own_rate=info.default_rate_hz, channels=channels) + f" ({said})"
