"""The system's libjack, loaded for all before a wheel's own, and asked whether its server is still there.

Conventions
-----------
* A wheel of RtMidi brings a libjack of its own, of one version, which newer JACK servers and PipeWire refuse. The one of the
  server that runs (see realtime/libjack.py), loaded first and for all (RTLD_GLOBAL), is what the wheel's calls reach instead.
* RtMidi's ``send_message`` waits for ever once the server is gone, or stands still, and its buffer of some 2300 messages
  is full; its lists of ports go on showing what was there. So a second client listens for the end of the server. No server
  is started by that. Where there is no libjack but a wheel's, nobody listens.
"""

from __future__ import annotations

import ctypes
import re
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from rt_melody.realtime.libjack import library_path

NAME = "libjack.so.0"
NO_START_SERVER = 0x01  # JackOptions, of jack/types.h
IS_OUTPUT = 0x02  # JackPortFlags
MIDI_TYPE = b"8 bit raw midi"
WATCH_NAME = b"rt-melody-watch"
AGAIN_S = 0.2  # between two tries to be let in
LOOK_EVERY_S, CYCLES = 0.002, 3  # for another cycle; how many are waited for
UNMOVED_MOST = 1024  # messages sent since the server's clock last moved: fewer than RtMidi's buffer holds

Shutdown = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

_loaded: ctypes.CDLL | None = None


def load_libjack() -> ctypes.CDLL | None:
    """The libjack that is loaded for all from now on; None where there is none, and on systems that have other names."""
    global _loaded
    if _loaded is None and sys.platform not in ("win32", "darwin"):
        with suppress(OSError):
            _loaded = _declared(ctypes.CDLL(library_path() or NAME, mode=ctypes.RTLD_GLOBAL))
    return _loaded


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer = ctypes.c_void_p
    for name, result, arguments in (
        ("jack_client_open", pointer, (ctypes.c_char_p, ctypes.c_int, pointer)),
        ("jack_client_close", ctypes.c_int, (pointer,)),
        ("jack_on_shutdown", None, (pointer, Shutdown, pointer)),
        ("jack_last_frame_time", ctypes.c_uint32, (pointer,)),
        ("jack_get_ports", ctypes.POINTER(ctypes.c_char_p), (pointer, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong)),
        ("jack_port_by_name", pointer, (pointer, ctypes.c_char_p)),
        ("jack_port_get_all_connections", ctypes.POINTER(ctypes.c_char_p), (pointer, pointer)),
        ("jack_free", None, (pointer,)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class JackWatch:
    """A JACK client without ports. ``gone`` tells that the server has ended, from that moment on, whoever was silent."""

    def __init__(self, library: ctypes.CDLL, client: int) -> None:
        self._library, self._client = library, client
        self.gone = False
        self._told = Shutdown(self._shut_down)  # kept, or the library would call what is no more
        library.jack_on_shutdown(client, self._told, None)
        # Reads shared memory. Called without letting go of the interpreter, which a live thread might wait to get back.
        self._clock = ctypes.PyDLL(None, handle=library._handle).jack_last_frame_time
        self._clock.restype, self._clock.argtypes = ctypes.c_uint32, (ctypes.c_void_p,)
        self._frame, self._unmoved = 0, 0

    def _shut_down(self, _argument: int | None) -> None:
        """Called by a thread of libjack."""
        self.gone = True

    def stands_still(self) -> bool:
        """Whether the server has taken nothing for so long that what is sent would soon wait. Asked before each message."""
        if self.gone:
            return True
        frame = self._clock(self._client)
        self._unmoved = self._unmoved + 1 if frame == self._frame else 0
        self._frame = frame
        return self._unmoved > UNMOVED_MOST

    def await_cycle(self, within_s: float) -> None:
        """Wait until the server has begun some more cycles, of which the first may have left a client out, or is gone."""
        frame, left, until_s = self._clock(self._client), CYCLES, time.monotonic() + within_s
        while left and not self.gone and time.monotonic() < until_s:
            threading.Event().wait(LOOK_EVERY_S)
            before, frame = frame, self._clock(self._client)
            left -= frame != before

    def listeners(self, port_pattern: bytes) -> list[str]:
        """The ports that are connected to the MIDI outputs whose names match."""
        names: list[str] = []
        for port in self._names(self._library.jack_get_ports(self._client, port_pattern, MIDI_TYPE, IS_OUTPUT)):
            number = self._library.jack_port_by_name(self._client, port.encode())
            names += self._names(self._library.jack_port_get_all_connections(self._client, number))
        return names

    def has_client(self, name: str) -> bool:
        """Whether a client of this name has outputs."""
        pattern = b"^" + re.escape(name).encode() + b":"
        return bool(self._names(self._library.jack_get_ports(self._client, pattern, None, IS_OUTPUT)))

    def _names(self, array: Any) -> list[str]:
        if not array:
            return []
        names: list[str] = []
        while array[len(names)]:
            names.append(array[len(names)].decode(errors="replace"))
        self._library.jack_free(ctypes.cast(array, ctypes.c_void_p))
        return names

    def close(self) -> None:
        client, self._client, self.gone = self._client, 0, True
        if client:
            self._library.jack_client_close(client)


def watch_jack(tries: int = 1) -> JackWatch | None:
    """A new watch on the server that runs; None where libjack or a server is missing, as under a wheel's own libjack.

    ``tries``: a server that is known to run, but busy, now and then lets a client in at the second time only.
    """
    if (library := load_libjack()) is None:
        return None
    for left in reversed(range(tries)):
        if client := library.jack_client_open(WATCH_NAME, NO_START_SERVER, None):
            return JackWatch(library, client)
        if left:
            time.sleep(AGAIN_S)
    return None
