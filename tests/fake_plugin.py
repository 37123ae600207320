"""What stands in for the plugin's shell, and what the plugin must play, by the tracker fed once."""

from __future__ import annotations

import os
import struct
import time

import numpy as np

from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.plugin.memory import LAYOUT, Shared
from rt_melody.realtime.plugin.parameters import COUNT
from rt_melody.realtime.settings import make_settings
from rt_melody.realtime.sinks.midi import MidiSink
from rt_melody.realtime.types import PitchFrame

RINGS = LAYOUT["WORDS"] * 8
BLOCK_BYTES = RINGS + 8 * LAYOUT["SOUND_SAMPLES"] + 16 * (LAYOUT["COMMANDS_SIZE"] + LAYOUT["EVENTS_SIZE"])
USUAL = {"SNAP": 100.0, "GATE_DB": -45.0, "BOUND": 50.0, "HIGHEST": 127.0}


def parameters(**changed: float) -> list[float]:
    """The parameters of a plugin just inserted, but for some."""
    values = [0.0] * COUNT
    for name, value in {**USUAL, **changed}.items():
        values[LAYOUT[f"PARAMETER_{name}"]] = value
    return values


class FakeShell:
    """The shell's side of the memory, in plain Python: slow, and without a plugin."""

    def __init__(self, version: int = LAYOUT["VERSION_VALUE"], **changed: float) -> None:
        self.descriptor = os.memfd_create("fake")
        os.ftruncate(self.descriptor, BLOCK_BYTES)
        self._set("BYTES", BLOCK_BYTES)
        self._set("VERSION", version)
        self._set("MAGIC", LAYOUT["MAGIC_VALUE"])
        self._set("HOST_BEAT", time.monotonic_ns())
        self.values = parameters(**changed)
        for number, value in enumerate(self.values):
            self._word(LAYOUT["PARAMETERS"] + number, struct.unpack("<I", struct.pack("<f", value))[0])

    def _word(self, place: int, value: int) -> None:
        os.pwrite(self.descriptor, struct.pack("<q", value), 8 * place)

    def _set(self, name: str, value: int) -> None:
        self._word(LAYOUT[name], value)

    def get(self, name: str) -> int:
        return struct.unpack("<q", os.pread(self.descriptor, 8, 8 * LAYOUT[name]))[0]

    def offline(self, on: bool = True) -> None:
        self._set("OFFLINE", int(on))

    def begin_stream(self, rate: int) -> None:
        number = self.get("STREAM") + 1
        self._set("RATE", rate)
        self._set("START", self.get("WRITTEN"))
        self._set("STREAM", number)
        self.command(LAYOUT["COMMAND_STREAM"] | number << 8, rate)

    def command(self, what: int, value: float = 0.0) -> None:
        count = self.get("COMMANDS_WRITTEN")
        place = RINGS + 8 * LAYOUT["SOUND_SAMPLES"] + 16 * (count % LAYOUT["COMMANDS_SIZE"])
        os.pwrite(self.descriptor, struct.pack("<qif", self.get("WRITTEN"), what, value), place)
        self._set("COMMANDS_WRITTEN", count + 1)

    def set(self, name: str, value: float) -> None:
        self.command(LAYOUT[f"PARAMETER_{name}"], value)

    def write(self, sound: np.ndarray, band: np.ndarray | None = None) -> None:
        written, size = self.get("WRITTEN"), LAYOUT["SOUND_SAMPLES"]
        assert written % size + len(sound) <= size, "the fake wraps nothing"
        for ring, samples in enumerate((sound, band)):
            if samples is not None:
                os.pwrite(self.descriptor, samples.astype(np.float32).tobytes(), RINGS + 4 * (ring * size + written % size))
        self._set("WRITTEN", written + len(sound))

    def events(self) -> list[tuple[int, int, bytes]]:
        """(position, stream, message) of each event since the last call."""
        read, written = self.get("EVENTS_READ"), self.get("EVENTS_WRITTEN")
        begin = RINGS + 8 * LAYOUT["SOUND_SAMPLES"] + 16 * LAYOUT["COMMANDS_SIZE"]
        entries = [os.pread(self.descriptor, 16, begin + 16 * (n % LAYOUT["EVENTS_SIZE"])) for n in range(read, written)]
        self._set("EVENTS_READ", written)
        return [(struct.unpack("<q", e[:8])[0], e[9], e[10 : 10 + e[8]]) for e in entries]

    def shared(self) -> Shared:
        return Shared(self.descriptor)

    def close(self) -> None:
        os.close(self.descriptor)


def chord(samples: int, rate: int) -> np.ndarray:
    """A band: three strings, louder than a singer, from half a second on [float32, shape=(samples,)]."""
    t = np.arange(samples) / rate
    strings = sum(np.sin(2 * np.pi * f * h * t) / h for f in (98.0, 146.8, 233.1) for h in range(1, 8))
    return (0.15 * strings * (t > 0.5)).astype(np.float32)


class _Notebook:
    """A MIDI port that keeps what it gets, with its sample."""

    def __init__(self, rate: int) -> None:
        self._rate, self.messages = rate, list[tuple[int, bytes]]()

    def send_at(self, message: bytes, stream_s: float) -> None:
        self.messages.append((round(stream_s * self._rate), bytes(message)))

    def send_message(self, message: bytes) -> None:
        self.send_at(message, 0.0)

    def close_port(self) -> None: ...

    def delete(self) -> None: ...


def tracked(sound: np.ndarray, rate: int, band: np.ndarray | None = None, **options) -> list[tuple[int, bytes]]:
    """What MIDI says of a recording, with a band in it or none, each message with the sample by which it is known."""
    settings = make_settings(options)
    tracker, port = MelodyTracker.from_settings(settings, rate), _Notebook(rate)
    sink = MidiSink(port, settings.midi)
    sink.start(0.0)
    for item in tracker.feed(sound, band):
        if isinstance(item, PitchFrame):
            sink.frame(item)
        else:
            sink.event(item)
    return port.messages
