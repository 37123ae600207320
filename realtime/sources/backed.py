"""A microphone beside which the program itself plays a song: sound out and in by one clock where the devices allow it.

Conventions
-----------
* The song is mono, the same on every channel of the output: so one path leads to the microphone, which can be learnt.
* Sample 0 of the stream is the first that can hold the song's sample 0: what came before, the count-in among it, is not
  given. So the stream's time is the song's, and what is written lies beside the song as it was sung.
* How long sound takes out and in again is PortAudio's account, where that makes sense, else 0. ``lead_s`` is how far the song
  is ahead of the stream when it is handed to the output: what was played is in the microphone no earlier than that allows.
* One stream for both counts the same samples. Where the devices do not open together the output has a stream of its own,
  begun a little earlier or later (ASTRAY_S) and on a clock of its own: ``one_clock`` says which.
* The song's position is the callback's alone once it runs; ``start_clock`` asks it to begin.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.ring import RingBuffer
from rt_melody.realtime.sources.devices import AudioInput, close_stream, find_output
from rt_melody.realtime.sources.microphone import SILENT_DEVICE_S, DeviceLost
from rt_melody.realtime.sources.player import Player
from rt_melody.realtime.sources.sounding import MOST_CHANNELS, DuplexMicrophone

TAIL_S = 0.5  # listened to after the song's end
PLAUSIBLE_S = 1.0  # PortAudio 19.6 reports 0 or weeks under JACK
ASTRAY_S = 0.1  # by which two streams may begin apart


@dataclass(frozen=True)
class Backing:
    """``samples`` float32 [shape=(n,)] at ``sample_rate`` Hz, as they are to be played on ``device``."""

    samples: np.ndarray
    sample_rate: int
    device: str | int | None = None  # None: the output that belongs to the input
    loops: bool = False
    delay_s: float = 0.0  # of silence before it begins

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate


def played(samples: np.ndarray, gain_db: float) -> np.ndarray:
    """What an output makes of samples that are so much louder: nothing beyond full scale."""
    return np.clip(samples * np.float32(10.0 ** (gain_db / 20.0)), -1.0, 1.0)


class BackedMicrophone(DuplexMicrophone[Backing]):
    """An audio input of this machine, live, while a ``Backing`` is played, and ``instrument`` where that goes out by the same stream: then
    what was played of both is known beside what is heard. See DuplexMicrophone.

    It ends TAIL_S after the song, unless that loops. ``open`` raises DeviceError for an output that cannot be had,
    ``read`` DeviceLost for one that goes.
    """

    one_clock, lead_s = True, 0.0
    _speaker: Any = None  # the output's own stream, where it has one

    @property
    def backing(self) -> Backing:
        """What is played."""
        return self.known_by

    # ------------------------------------------------------------------ birth and death

    def open(self) -> None:
        """As MicrophoneSource, and the output. Raises DeviceError."""
        try:
            super().open()
        except DeviceError:
            if self._ring is not None:  # the input was there, the output was not
                self._stop_stream()
                self._wakeup.close()
            raise

    def _prepare(self, rate: int) -> None:
        super()._prepare(rate)
        self._begun, self._underflows, self._starts_at = False, 0, 0

    def _start(self, backend: Any, info: AudioInput, rate: int) -> None:
        self._close_speaker()  # of a device that is opened anew
        self.output = output = find_output(self.backing.device, backend, info)
        self._out_channels, self._gate_open, self._speaker_finished = min(MOST_CHANNELS, output.channels), False, False
        shared, self._shares = self._shares, output.host_api == info.host_api and self._share_by(output, backend)
        self.one_clock = output.host_api == info.host_api and self._start_together(backend, info, output, rate)
        if self.one_clock:
            return
        self._shares = False
        if shared:  # what is taken out is what was played together
            raise DeviceLost(
                f"the audio input {info.full_name!r} lost sound, and no longer opens together with the audio output {output.full_name!r}; "
                "the song is over: end other programs, then run rt-melody again"
            )
        self._start_apart(backend, info, output, rate)

    def _ready_together(self, rate: int) -> None:
        self._ready_to_play(rate)
        self._take_latency(*self._stream.latency)

    def _start_apart(self, backend: Any, info: AudioInput, output: AudioInput, rate: int) -> None:
        try:
            self._speaker = backend.OutputStream(
                device=output.index,
                samplerate=output.default_rate_hz,
                channels=self._out_channels,
                dtype="float32",
                latency=self._latency,
                callback=self._speaker_callback,
                finished_callback=self._on_speaker_finished,
            )
            self._ready_to_play(output.default_rate_hz)
            self._last_played_s = time.perf_counter()
            self._speaker.start()
        except (backend.PortAudioError, ValueError) as error:
            raise DeviceError(output_failure(error, output)) from error
        super()._start(backend, info, rate)
        self._take_latency(self._stream.latency, self._speaker.latency)

    def _take_latency(self, *latencies_s: float) -> None:
        """How long sound takes out and in; once something was heard, the stream keeps the time that it has."""
        if self._opened_ring().write_index == self._starts_at:
            self.lead_s = sum(latency_s for latency_s in latencies_s if 0.0 < latency_s < PLAUSIBLE_S)
            self._gate = round(self.lead_s * self.sample_rate)

    def _ready_to_play(self, rate: int) -> None:
        """All that the callbacks need. A device that is opened anew goes on where the stream stands."""
        at = self._opened_ring().write_index - self._starts_at
        backing, self._player_rate = self.backing, rate
        from rt_melody.kernels.resample import converted  # numba, which is not loaded before it is needed

        samples = backing.samples if backing.sample_rate == rate else converted(backing.samples, backing.sample_rate, rate)
        self._player, self._gate = Player(samples, backing.loops), at + round(self.lead_s * self.sample_rate)
        self._first_position = round(self._gate * rate / self.sample_rate) if at else -round(backing.delay_s * rate)

    def _stop_stream(self) -> None:
        super()._stop_stream()
        self._close_speaker()

    def _close_speaker(self) -> None:
        speaker, self._speaker = self._speaker, None
        if speaker is not None:
            close_stream(speaker, self._backend)

    # ------------------------------------------------------------------ PortAudio's threads

    def _duplex_callback(self, frames: np.ndarray, out: np.ndarray, n_frames: int, time_info: Any, status: Any) -> None:
        position = self._play(out, status)
        self._add_instrument(out, status)
        self._hear(frames, n_frames, time_info, status, position)

    def _speaker_callback(self, out: np.ndarray, n_frames: int, time_info: Any, status: Any) -> None:
        self._play(out, status)
        self._last_played_s = time.perf_counter()

    def _callback(self, frames: np.ndarray, n_frames: int, time_info: Any, status: Any) -> None:
        """The input alone, where the output has a stream of its own."""
        position = self._player.position
        if position is not None:
            position = round(position * self.sample_rate / self._player_rate) - n_frames
        self._hear(frames, n_frames, time_info, status, position)

    def _play(self, out: np.ndarray, status: Any) -> int | None:
        """The next block of the song; the position with which it begins."""
        player = self._player
        if self._begun and player.position is None:
            player.position = self._first_position
        position = player.position
        player.fill(out)
        if status and status.output_underflow:
            self._underflows += 1
        return position

    def _hear(self, frames: np.ndarray, n_frames: int, time_info: Any, status: Any, position: int | None) -> None:
        """Into the ring, once the song has come to the gate. ``position``: of the song at the block's first frame."""
        skipped = 0
        if not self._gate_open:
            skipped = n_frames if position is None else min(n_frames, max(0, self._gate - position))
            self._gate_open = skipped < n_frames
        if skipped < n_frames:
            super()._callback(frames[skipped:], n_frames - skipped, time_info, status)
        else:
            self._last_callback_s = time.perf_counter()

    def _on_speaker_finished(self) -> None:
        self._speaker_finished = True
        self._wakeup.notify()

    # ------------------------------------------------------------------ our thread

    def start_clock(self) -> None:
        """The song begins, or its count-in; from the beginning, where it was begun before."""
        super().start_clock()
        if self._begun:
            self._starts_at = self._opened_ring().write_index
            self._gate_open = False
            self._ready_to_play(self._player_rate)
        self._begun = True

    def read(self, timeout_s: float = 0.1) -> np.ndarray | None:
        """As MicrophoneSource; None too where the song has ended."""
        heard_s = (self.position_samples - self._starts_at) / self.sample_rate
        if not self.backing.loops and heard_s >= self.backing.seconds + TAIL_S:
            return None
        return super().read(timeout_s)

    def _raise_if_lost(self, ring: RingBuffer) -> None:
        super()._raise_if_lost(ring)
        if self._speaker is None or self.output is None:
            return
        silent = time.perf_counter() - max(self._last_played_s, self._looking_since_s) > SILENT_DEVICE_S
        if self._speaker_finished or silent:
            raise DeviceLost(
                f"the audio output {self.output.full_name!r} was lost, and the song with it; plug it in or start its sound service "
                "again, then run rt-melody again"
            )

    @property
    def _output_together(self) -> AudioInput | None:
        return self.output if self.one_clock else None

    @property
    def reference_lead_s(self) -> float:
        """How far ahead of the stream the song is handed to the canceller, so that it never comes too late."""
        return self.lead_s + (0.0 if self.one_clock else ASTRAY_S)

    @property
    def notice(self) -> str | None:
        """Gaps in the song, which the microphone heard as well."""
        if not self._ring or not self._underflows:
            return None
        return f"the output ran dry {self._underflows} time{'s' * (self._underflows > 1)}, so that the song had gaps; end other programs"


def output_failure(error: Exception, output: AudioInput) -> str:
    """Why an output does not open, in one sentence."""
    said = " ".join(str(error).split())
    return (
        f"the audio output {output.full_name!r} cannot be opened ({said}); close the program that uses it, or choose another "
        "--output-device"
    )
