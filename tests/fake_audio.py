"""A stand-in for the sounddevice module: devices from a list, a stream that the test plays into."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np


class PortAudioError(Exception):
    pass


class FakeStream:
    def __init__(self, audio: FakeAudio, **settings) -> None:
        self.audio, self.settings, self.active, self.closed = audio, settings, False, False
        self.latency = audio.latency_s if isinstance(settings["channels"], int) else (audio.latency_s, audio.latency_s)

    def start(self) -> None:
        self.active = True

    def play(self, frames: np.ndarray, overflow: bool = False) -> None:
        """One callback with ``frames`` [shape=(n, n_channels)]."""
        self.settings["callback"](frames.astype(np.float32), len(frames), None, SimpleNamespace(input_overflow=True) if overflow else None)

    def turn(self, frames: np.ndarray, underflow: bool = False) -> np.ndarray:
        """One callback of a stream for both: what it plays [shape=(n, n_channels)]."""
        out = np.full((len(frames), self.settings["channels"][1]), 9.0, np.float32)
        status = SimpleNamespace(input_overflow=False, output_underflow=underflow) if underflow else None
        self.settings["callback"](frames.astype(np.float32), out, len(frames), None, status)
        return out

    def ask(self, n: int) -> np.ndarray:
        """One callback of an output: what it plays."""
        out = np.full((n, self.settings["channels"]), 9.0, np.float32)
        self.settings["callback"](out, n, None, None)
        return out

    def unplug(self) -> None:
        self.active = False
        self.settings["finished_callback"]()

    def close(self) -> None:
        self.active, self.closed = False, True


class FakeAudio:
    """``devices``: (name, host API number, input channels, rate, and output channels if any). ``failure``: what opening an
    input raises; ``output_failure``: an output; ``together``: whether one stream can be had for both."""

    PortAudioError = PortAudioError

    def __init__(
        self, devices, default=0, host_apis=("ALSA",), host_defaults=None, failure=None, latency_s=0.004, output_failure=None, together=True
    ) -> None:
        self.devices, self.host_apis, self.failure, self.latency_s = devices, host_apis, failure, latency_s
        self.host_defaults = host_defaults or [-1] * len(host_apis)
        self.output_failure, self.together = output_failure, together
        outputs = [i for i, device in enumerate(devices) if device[4:] and device[4]]
        self.default = SimpleNamespace(device=(default, outputs[0] if outputs else -1))
        self.stream: FakeStream | None = None
        self.inputs: list[FakeStream] = []  # all that were opened, the newest last
        self.speaker: FakeStream | None = None

    def query_devices(self):
        keys = ("name", "hostapi", "max_input_channels", "default_samplerate", "max_output_channels")
        return [dict(zip(keys, (*device, 0)[:5])) for device in self.devices]

    def query_hostapis(self):
        return [{"name": n, "default_input_device": d} for n, d in zip(self.host_apis, self.host_defaults)]

    def InputStream(self, **settings):
        if self.failure:
            raise self.failure
        self.stream = FakeStream(self, **settings)
        self.inputs.append(self.stream)
        return self.stream

    def Stream(self, **settings):
        if not self.together:
            raise PortAudioError("Illegal combination of I/O devices", -9993)
        if self.failure or self.output_failure:
            raise self.failure or self.output_failure
        self.stream = FakeStream(self, **settings)
        return self.stream

    def OutputStream(self, **settings):
        if self.output_failure:
            raise self.output_failure
        self.speaker = FakeStream(self, **settings)
        return self.speaker
