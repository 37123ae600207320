"""The melody aloud: a small instrument of our own through an audio output (``--listen``).

Conventions
-----------
* Notes are as they are played, bends unclipped, at the tuning that is asked for; the gain follows the level of the voice.
* The thread that computes writes what is to sound into a row and goes on; PortAudio's takes the newest row, fills its block
  and leaves. Neither waits for the other, and neither makes anything new.
* A note sounds with the next block that PortAudio asks for: at the bound, one block and what the device holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from rt_melody.kernels.instrument import BRIGHTNESS, ENVELOPE, GAIN, HELD, HZ, STATE, STRIKES, TARGET, play, timbre
from rt_melody.realtime.console import without_stderr
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.sinks.note_sink import NoteSink
from rt_melody.realtime.sources.devices import AudioInput, await_closing, close_stream, find_output, load_backend
from rt_melody.realtime.types import Brightness, Loudness, NoteOff, NoteOn, PitchBend, midi_to_hz

ROWS = 64  # more than are written while a block is computed
LOUDEST_DB = -8.0  # a level that sounds at full gain, and ...
DB_PER_DB = 0.6  # ... by how much a softer one is softer
QUIETEST_DB = -30.0  # gain of the softest voice
DARK_HZ, BRIGHT_HZ = 225.0, 1000.0
FADE_S = 0.4  # the tail of the last note is heard to its end, for so long at most
MOST_FRAMES = 8192  # of one callback; PortAudio asks for far less
SILENT_ENVELOPE = 1e-3


class ListenSink(NoteSink):
    """Notes through an audio output. ``name``: a timbre; ``device``: the output's number or a part of its name, None for the
    default; ``a4_hz``: the tuning. ``backend``: a stand-in for the ``sounddevice`` module. Raises DeviceError."""

    name = "listen"
    plays_aloud = True

    def __init__(
        self, name: str, device: str | int | None = None, a4_hz: float = 440.0, tell: Callable[[str], object] = lambda text: None,
        backend: Any = None,
    ) -> None:
        super().__init__()
        self._tuning, self._tell = a4_hz / 440.0, tell
        self._sound, self._state = timbre(name), np.zeros(STATE)
        self._rows, self._newest = np.zeros((ROWS, TARGET)), 0
        self._now = np.zeros(TARGET)
        self._mono = np.zeros(MOST_FRAMES, np.float32)
        self.underflows = 0
        with without_stderr():  # to which ALSA and JACK write what they tried
            self._backend = backend or load_backend()
            await_closing()
            self.output = find_output(device, self._backend)
            self._rate_hz = float(self.output.default_rate_hz)
            self._stream = self._open(self.output)

    def _open(self, output: AudioInput) -> Any:
        try:
            stream = self._backend.OutputStream(
                device=output.index, samplerate=output.default_rate_hz, channels=min(2, output.channels), dtype="float32",
                latency="low", callback=self._callback, finished_callback=self._on_finished,
            )
            stream.start()
        except (self._backend.PortAudioError, ValueError) as error:
            said = " ".join(str(error).split())
            raise DeviceError(f"the audio output {output.full_name!r} cannot be opened ({said}); choose another --listen-device") from error
        return stream

    # ---- PortAudio's thread ---------------------------------------------------------------------

    def _callback(self, out: np.ndarray, n_frames: int, time_info: Any, status: Any) -> None:
        """Fill ``out`` [shape=(n_frames, n_channels)], which belongs to PortAudio, and leave."""
        if status and self._state[ENVELOPE] > 0.0:  # else nobody can hear it, such as while the program loads
            self.underflows += 1
        mono = self._mono[:n_frames]
        play(self._state, self._rows[self._newest], self._sound, self._rate_hz, mono)
        for channel in range(out.shape[1]):
            out[:, channel] = mono

    def _on_finished(self) -> None:
        if not self.closed:
            self._tell(f"the audio output {self.output.full_name!r} was lost, and nothing more is heard of it; what else goes out goes on")

    # ---- the thread that computes ---------------------------------------------------------------

    def _note_on(self, event: NoteOn) -> None:
        if not event.legato:
            self._now[STRIKES] += 1
        self._now[HELD], self._now[HZ] = 1.0, midi_to_hz(event.pitch) * self._tuning
        self._now[GAIN] = _gain(event.level_db) if event.level_db is not None else event.velocity / 127.0
        if event.brightness_hz:
            self._now[BRIGHTNESS] = _brightness(event.brightness_hz)
        self._publish()

    def _note_off(self, event: NoteOff) -> None:
        if self._sounding is None:  # else another note was slurred from this one, and sounds on
            self._now[HELD] = 0.0
            self._publish()

    def _bend(self, event: PitchBend) -> None:
        self._now[HZ] = midi_to_hz(event.note + event.semitones) * self._tuning
        self._publish()

    def _loudness(self, event: Loudness) -> None:
        self._now[GAIN] = _gain(event.level_db)
        self._publish()

    def _brightness(self, event: Brightness) -> None:
        self._now[BRIGHTNESS] = _brightness(event.brightness_hz)
        self._publish()

    def ask_panic(self) -> None:
        """``panic``, from a signal handler."""
        self._panic()

    def _panic(self) -> None:
        self._now[HELD] = 0.0
        self._publish()

    def _change(self, settings: Settings) -> None:
        self._tuning = settings.performance.a4_hz / 440.0

    def _publish(self) -> None:
        """A row of its own, so that the one that is being played does not change meanwhile."""
        after = (self._newest + 1) % ROWS
        self._rows[after] = self._now
        self._newest = after

    def _end(self) -> None:
        """Let the last note ring out, and close, which a device that has died may hold up for ever."""
        until_s = time.monotonic() + FADE_S
        while self._state[ENVELOPE] > SILENT_ENVELOPE and time.monotonic() < until_s:
            time.sleep(0.01)
        close_stream(self._stream, self._backend)
        if self.underflows:
            self._tell(f"the audio output had to wait for sound {self.underflows} times, which is heard as clicks; end other programs")


def _gain(level_db: float) -> float:
    """Linear gain of a level of the voice in dBFS."""
    return 10.0 ** (min(0.0, max(QUIETEST_DB, DB_PER_DB * (level_db - LOUDEST_DB))) / 20.0)


def _brightness(hz: float) -> float:
    """0..1 by octaves."""
    return float(min(1.0, max(0.0, np.log2(hz / DARK_HZ) / np.log2(BRIGHT_HZ / DARK_HZ))))
