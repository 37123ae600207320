"""The Python module that speaks to JACK, with the libjack of the server that runs (see realtime/libjack.py)."""

from __future__ import annotations

import ctypes
import ctypes.util
from types import ModuleType

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.jack import process
from rt_melody.realtime.libjack import library_path

NO_MODULE = "--jack needs the Python package JACK-Client, which is not installed; run `pip install 'rt-melody[jack]'`"
NO_LIBRARY = (
    "--jack needs the JACK library, which cannot be loaded ({why}); install it with `apt-get install pipewire-jack` or "
    "`apt-get install libjack-jackd2-0` (Debian, Ubuntu), `dnf install pipewire-jack-audio-connection-kit` (Fedora), "
    "`pacman -S pipewire-jack` (Arch), `brew install jack` (macOS)"
)

FUNCTIONS = {
    process.GET_BUFFER: "jack_port_get_buffer",
    process.LAST_FRAME_TIME: "jack_last_frame_time",
    process.GET_TIME: "jack_get_time",
    process.GET_RATE: "jack_get_sample_rate",
    process.MIDI_CLEAR: "jack_midi_clear_buffer",
    process.MIDI_WRITE: "jack_midi_event_write",
}


class Library:
    """JACK-Client, the module, and beside it the C functions that the compiled callback calls."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module
        self._c = ctypes.CDLL(module._libname)  # the one that the module has loaded
        self.functions = {place: ctypes.cast(getattr(self._c, name), ctypes.c_void_p).value for place, name in FUNCTIONS.items()}
        self._get_time = ctypes.CFUNCTYPE(ctypes.c_uint64)(("jack_get_time", self._c))
        self._set_process = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 3)(("jack_set_process_callback", self._c))

    def pointer(self, thing) -> int:
        """Of a client or a port of the module."""
        return int(self.module._ffi.cast("intptr_t", thing._ptr))

    def set_process(self, client, exchange: process.Exchange) -> None:
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
        _loaded = Library(_import_module(library_path()))
        _loaded.module.set_error_function(lambda text: None)  # what matters is said by the errors that are raised
        _loaded.module.set_info_function(lambda text: None)
    return _loaded


def _import_module(path: str | None) -> ModuleType:
    """The module with the library at ``path``; it would look for one by name."""
    find = ctypes.util.find_library
    if path is not None:
        ctypes.util.find_library = lambda name: path if name == "jack" else find(name)
    try:
        import jack
    except ModuleNotFoundError as error:
        raise DeviceError(NO_MODULE) from error
    except OSError as error:
        raise DeviceError(NO_LIBRARY.format(why=str(error) or "not found")) from error
    finally:
        ctypes.util.find_library = find
    return jack
