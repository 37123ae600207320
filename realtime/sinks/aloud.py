"""The melody aloud: a small instrument of our own (``--listen``), played by the microphone's stream or by an output of its own.

Conventions
-----------
* Notes are as they are played, bends unclipped, at the tuning that is asked for; the gain follows the level of the voice.
* The thread that computes says what is to sound and goes on; the device's takes the newest, fills its block and leaves (see
  ``realtime.instrument``).
* A note sounds with the next block that the device asks for: at the bound, one block and what the device holds.
* Where the microphone's stream can play it (``sources.sounding``, JACK), that does, and what it played is taken out of what the
  microphone hears. Else it goes out by an output of its own, ``play_alone``, and the singer is asked to wear headphones.
* A thread that ``left_alone`` starts opens that output for the turn that it was started in: ``play_alone``, ``let_go`` and ``close`` begin
  another, and of what comes of it afterwards nothing stays open and nothing is told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from rt_melody.kernels.instrument import BRIGHTNESS, GAIN, HELD, HZ, STRIKES
from rt_melody.realtime.console import without_stderr
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.instrument import Instrument
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.sinks.note_sink import NoteSink
from rt_melody.realtime.sinks.said_aloud import said_of_own
from rt_melody.realtime.sources.devices import REOPEN_S, AudioInput, await_closing, close_stream, find_output, load_backend
from rt_melody.realtime.types import Brightness, Loudness, NoteOff, NoteOn, PitchBend, midi_to_hz

LOUDEST_DB = -8.0  # a level that sounds at full gain, and ...
DB_PER_DB = 0.6  # ... by how much a softer one is softer
QUIETEST_DB = -30.0  # gain of the softest voice
DARK_HZ, BRIGHT_HZ = 225.0, 1000.0
MOST_FRAMES = 8192  # of one callback; PortAudio asks for far less


class ListenSink(NoteSink):
    """Notes through an audio output. ``name``: a timbre; ``device``: the output's number or a part of its name, None for the
    default; ``a4_hz``: the tuning; ``alone``: by an output of its own from the start. ``backend``: a stand-in for the ``sounddevice``
    module. Raises DeviceError."""

    name = "listen"
    plays_aloud = True

    def __init__(
        self, name: str, device: str | int | None = None, a4_hz: float = 440.0, tell: Callable[[str], object] = lambda text: None,
        backend: Any = None, alone: bool = True,
    ) -> None:
        super().__init__()
        self._tuning, self._tell, self._backend = a4_hz / 440.0, tell, backend
        self.device, self.instrument = device, Instrument(name)
        self._mono = np.zeros(MOST_FRAMES, np.float32)
        self.underflows = 0
        self.output: AudioInput | None = None  # its own
        self._stream: Any = None
        self._turn, self._opening = 0, threading.Lock()  # which is held while an output is opened
        if alone:
            self.play_alone()

    # ---- an output of its own -------------------------------------------------------------------

    def play_alone(self) -> AudioInput:
        """Sound by an output of its own from now on: which. Raises DeviceError."""
        self._turn += 1
        with self._opening:
            return self._own(self._turn)

    def _own(self, turn: int) -> AudioInput:
        """Its own output, which is opened unless it is there; left again where another turn has begun meanwhile."""
        if self.output is not None:
            return self.output
        with without_stderr():  # to which ALSA and JACK write what they tried
            backend = self._backend = self._backend or load_backend()
            await_closing()
            output = find_output(self.device, backend)
            self._rate_hz = float(output.default_rate_hz)
            stream = self._open(backend, output)
        if turn == self._turn:
            self._stream, self.output = stream, output
        else:
            close_stream(stream, backend)
        return output

    def _open(self, backend: Any, output: AudioInput) -> Any:
        try:
            stream = backend.OutputStream(
                device=output.index, samplerate=output.default_rate_hz, channels=min(2, output.channels), dtype="float32",
                latency="low", callback=self._callback, finished_callback=partial(self._on_finished, output),
            )
            stream.start()
        except (backend.PortAudioError, ValueError) as error:
            said = " ".join(str(error).split())
            raise DeviceError(f"the audio output {output.full_name!r} cannot be opened ({said}); choose another --listen-device") from error
        return stream

    def let_go(self) -> None:
        """Leave its own output, if it has one, to whoever plays it from now on; one that is being opened is waited for, not for ever."""
        self._turn += 1
        if self._opening.acquire(timeout=REOPEN_S):
            self._opening.release()
        stream, self._stream, self.output = self._stream, None, None
        if stream is not None:
            self.ring_out()
            close_stream(stream, self._backend)

    def left_alone(self) -> None:
        """The microphone's stream, which played it, does so no more: an output of its own is opened meanwhile. Never waits."""
        threading.Thread(target=self._find_own_way, args=(self._turn,), name="listen", daemon=True).start()

    def _find_own_way(self, turn: int) -> None:
        with self._opening:
            if turn != self._turn or self.closed:
                return
            try:
                said = said_of_own(self._own(turn).full_name)
            except DeviceError as error:
                said = f"nothing more is heard of the melody, since {error}; what else goes out goes on"
        if turn == self._turn:
            self._tell(said)

    # ---- the device's thread --------------------------------------------------------------------

    def fill(self, out: np.ndarray, rate_hz: float, dry: bool = False, rests: bool = False) -> None:
        """The next samples into ``out`` [shape=(n,)]. ``dry``: the device had to wait for those before; ``rests``: no note sounds now."""
        if dry and self.instrument.sounds:  # else nobody can hear it, such as while the program loads
            self.underflows += 1
        self.instrument.fill(out, rate_hz, rests)

    def _callback(self, out: np.ndarray, n_frames: int, time_info: Any, status: Any) -> None:
        """Fill ``out`` [shape=(n_frames, n_channels)], which belongs to PortAudio, and leave."""
        mono = self._mono[:n_frames]
        self.fill(mono, self._rate_hz, bool(status))
        for channel in range(out.shape[1]):
            out[:, channel] = mono

    def _on_finished(self, output: AudioInput) -> None:
        if output is self.output and not self.closed:
            self._tell(f"the audio output {output.full_name!r} was lost, and nothing more is heard of it; what else goes out goes on")

    # ---- the thread that computes ---------------------------------------------------------------

    def _note_on(self, event: NoteOn) -> None:
        now = self.instrument.now
        if not event.legato:
            now[STRIKES] += 1
        now[HELD], now[HZ] = 1.0, midi_to_hz(event.pitch) * self._tuning
        now[GAIN] = _gain(event.level_db) if event.level_db is not None else event.velocity / 127.0
        if event.brightness_hz:
            now[BRIGHTNESS] = _brightness(event.brightness_hz)
        self.instrument.publish()

    def _note_off(self, event: NoteOff) -> None:
        if self._sounding is None:  # else another note was slurred from this one, and sounds on
            self.instrument.hush()

    def _bend(self, event: PitchBend) -> None:
        self.instrument.now[HZ] = midi_to_hz(event.note + event.semitones) * self._tuning
        self.instrument.publish()

    def _loudness(self, event: Loudness) -> None:
        self.instrument.now[GAIN] = _gain(event.level_db)
        self.instrument.publish()

    def _brightness(self, event: Brightness) -> None:
        self.instrument.now[BRIGHTNESS] = _brightness(event.brightness_hz)
        self.instrument.publish()

    def ask_panic(self) -> None:
        """``panic``, from a signal handler."""
        self._panic()

    def _panic(self) -> None:
        self.instrument.hush()

    def _change(self, settings: Settings) -> None:
        self._tuning = settings.performance.a4_hz / 440.0

    def ring_out(self) -> None:
        """Wait a moment for the last note to end."""
        self.instrument.ring_out()

    def _end(self) -> None:
        """Close its own output, which a device that has died may hold up for ever."""
        self.let_go()
        if self.underflows:
            self._tell(f"the audio output had to wait for sound {self.underflows} times, which is heard as clicks; end other programs")


def _gain(level_db: float) -> float:
    """Linear gain of a level of the voice in dBFS."""
    return 10.0 ** (min(0.0, max(QUIETEST_DB, DB_PER_DB * (level_db - LOUDEST_DB))) / 20.0)


def _brightness(hz: float) -> float:
    """0..1 by octaves."""
    return float(min(1.0, max(0.0, np.log2(hz / DARK_HZ) / np.log2(BRIGHT_HZ / DARK_HZ))))
