"""A stand-in for the sounddevice module: devices from a list, a stream that the test plays into."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np


class PortAudioError(Exception):
    pass


class FakeStream:
    def __init__(self, audio: FakeAudio, **settings) -> None:
        self.audio, self.settings, self.active, self.closed = audio, settings, False, False
        self.latency = audio.latency_s

    def start(self) -> None:
        self.active = True

    def play(self, frames: np.ndarray, overflow: bool = False) -> None:
        """One callback with ``frames`` [shape=(n, n_channels)]."""
        self.settings["callback"](frames.astype(np.float32), len(frames), None, SimpleNamespace(input_overflow=True) if overflow else None)

    def unplug(self) -> None:
        self.active = False
        self.settings["finished_callback"]()

    def close(self) -> None:
        self.active, self.closed = False, True


class FakeAudio:
    """``devices``: (name, host API number, input channels, rate). ``failure``: what opening raises."""

    PortAudioError = PortAudioError

    def __init__(self, devices, default=0, host_apis=("ALSA",), host_defaults=None, failure=None, latency_s=0.004) -> None:
        self.devices, self.host_apis, self.failure, self.latency_s = devices, host_apis, failure, latency_s
        self.host_defaults = host_defaults or [-1] * len(host_apis)
        self.default = SimpleNamespace(device=(default, -1))
        self.stream: FakeStream | None = None

    def query_devices(self):
        keys = ("name", "hostapi", "max_input_channels", "default_samplerate")
        return [dict(zip(keys, device)) for device in self.devices]

    def query_hostapis(self):
        return [{"name": n, "default_input_device": d} for n, d in zip(self.host_apis, self.host_defaults)]

    def InputStream(self, **settings):
        if self.failure:
            raise self.failure
        self.stream = FakeStream(self, **settings)
        return self.stream
