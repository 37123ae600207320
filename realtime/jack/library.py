"""What is used here of JACK-Client (see module.py): its classes as types, and beside it the C functions of its libjack that the compiled
callback calls."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Protocol

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.jack import process
from rt_melody.realtime.jack.module import import_jack

FUNCTIONS = {
    process.GET_BUFFER: "jack_port_get_buffer",
    process.LAST_FRAME_TIME: "jack_last_frame_time",
    process.GET_TIME: "jack_get_time",
    process.GET_RATE: "jack_get_sample_rate",
    process.MIDI_CLEAR: "jack_midi_clear_buffer",
    process.MIDI_WRITE: "jack_midi_event_write",
}


class Port(Protocol):
    """A port as JACK-Client has it: what of it is used here."""

    @property
    def name(self) -> str: ...
    @property
    def number_of_connections(self) -> int: ...
    def is_connected_to(self, port: str) -> bool: ...
    def get_latency_range(self, mode: Any) -> tuple[int, int]: ...


class Ports(Protocol):
    """Where JACK-Client makes our ports of one kind."""

    def register(self, shortname: str) -> Port: ...


class Client(Protocol):
    """A client as JACK-Client has it, likewise."""

    @property
    def samplerate(self) -> int: ...
    @property
    def inports(self) -> Ports: ...
    @property
    def outports(self) -> Ports: ...
    @property
    def midi_outports(self) -> Ports: ...
    def activate(self) -> None: ...
    def close(self) -> None: ...
    def connect(self, source: str | Port, destination: str | Port) -> None: ...
    def get_ports(
        self, *, is_audio: bool = False, is_midi: bool = False, is_input: bool = False, is_output: bool = False, is_physical: bool = False
    ) -> Sequence[Port]: ...
    def set_shutdown_callback(self, callback: Callable[[object, str], object]) -> None: ...
    def set_port_registration_callback(self, callback: Callable[[object, bool], object], *, only_available: bool) -> None: ...


class Status(Protocol):
    """Why JACK refused a client."""

    version_error: bool
    server_failed: bool
    server_error: bool


class OpenError(Protocol):
    """JACK-Client's ``JackOpenError``."""

    status: Status


class Library:
    """JACK-Client, the module, and beside it the C functions that the compiled callback calls."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self._c = ctypes.CDLL(module._libname)  # the one that the module has loaded
        self.functions = {place: process.address_of(getattr(self._c, name)) for place, name in FUNCTIONS.items()}
        self._get_time = ctypes.CFUNCTYPE(ctypes.c_uint64)(("jack_get_time", self._c))
        self._set_process = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 3)(("jack_set_process_callback", self._c))

    def pointer(self, thing: Any) -> int:
        """Of a client or a port of the module."""
        return int(self.module._ffi.cast("intptr_t", thing._ptr))

    def set_process(self, client: Client, exchange: process.Exchange) -> None:
        """The compiled callback for a client that is not active yet. Raises DeviceError where it is refused."""
        if self._set_process(self.pointer(client), process.process.address, exchange.address):
            raise DeviceError("the JACK server takes no process callback; start it again")

    def time_us(self) -> int:
        """JACK's clock, as the callback reads it."""
        return self._get_time()


_loaded: Library | None = None


def load() -> Library:
    """The library of the server that runs. Raises DeviceError with the way out where a piece is missing."""
    global _loaded
    if _loaded is None:
        _loaded = Library(import_jack())
    return _loaded
