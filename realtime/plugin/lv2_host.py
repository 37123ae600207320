"""A small LV2 host for our own plugin, in Python: what ``rt-melody plugin check`` and the tests play it with.

Conventions
-----------
* Ports stand as DPF numbers them: voice and band in, sound out, events in and out, latency, then the parameters of memory.h.
* Parameters are as the plugin means them; LV2's own ``enabled`` is the opposite of bypass.
* The transport says nothing of itself until ``rolls`` is set, as in hosts that have none.
* Source of the structures: LV2 1.18, lv2.h, atom.h, urid.h, options.h, time.h.
"""

from __future__ import annotations

import ctypes as c
import struct
from pathlib import Path
from typing import Any

import numpy as np

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.plugin.memory import LAYOUT

EVENTS_BYTES = 65536
INPUTS, OUTPUTS = 4, 2  # the voice and the band, left and right each; the voice again
EVENT_PORTS, LATENCY_PORT, FIRST_PARAMETER = (6, 7), 8, 9
LV2 = "http://lv2plug.in/ns/"
MIDI_EVENT, CHUNK, SEQUENCE, INT = f"{LV2}ext/midi#MidiEvent", f"{LV2}ext/atom#Chunk", f"{LV2}ext/atom#Sequence", f"{LV2}ext/atom#Int"
OBJECT, FLOAT, POSITION, SPEED = f"{LV2}ext/atom#Object", f"{LV2}ext/atom#Float", f"{LV2}ext/time#Position", f"{LV2}ext/time#speed"
MOST_FRAMES = f"{LV2}ext/buf-size#maxBlockLength"
USUAL = {"SNAP": 100.0, "GATE_DB": -45.0, "BOUND": 50.0, "HIGHEST": 127.0}  # where it is not 0

_MAP = c.CFUNCTYPE(c.c_uint32, c.c_void_p, c.c_char_p)


class _Feature(c.Structure):
    _fields_ = (("uri", c.c_char_p), ("data", c.c_void_p))


class _UridMap(c.Structure):
    _fields_ = (("handle", c.c_void_p), ("map", _MAP))


class _Option(c.Structure):
    _fields_ = (
        ("context", c.c_int),
        ("subject", c.c_uint32),
        ("key", c.c_uint32),
        ("size", c.c_uint32),
        ("type", c.c_uint32),
        ("value", c.c_void_p),
    )


class _Descriptor(c.Structure):
    _fields_ = (
        ("uri", c.c_char_p),
        ("instantiate", c.CFUNCTYPE(c.c_void_p, c.c_void_p, c.c_double, c.c_char_p, c.POINTER(c.POINTER(_Feature)))),
        ("connect_port", c.CFUNCTYPE(None, c.c_void_p, c.c_uint32, c.c_void_p)),
        ("activate", c.CFUNCTYPE(None, c.c_void_p)),
        ("run", c.CFUNCTYPE(None, c.c_void_p, c.c_uint32)),
        ("deactivate", c.CFUNCTYPE(None, c.c_void_p)),
        ("cleanup", c.CFUNCTYPE(None, c.c_void_p)),
        ("extension_data", c.c_void_p),
    )


class Lv2Host:
    """One instance of the plugin in ``binary`` at ``rate`` Hz, for blocks of at most ``most_frames``. Raises DeviceError."""

    def __init__(self, binary: Path, rate: float, most_frames: int) -> None:
        self._urids: dict[bytes, int] = {}
        self.descriptor = _descriptor(binary)
        self._kept: list[Any] = []  # what the plugin points to
        self._handle = self.descriptor.instantiate(c.addressof(self.descriptor), rate, b"", self._features(most_frames))
        if not self._handle:
            raise DeviceError(f"{binary} cannot be made to play at {rate:g} Hz; rt-melody plugin install builds it anew")
        self.position = 0
        self.rolls: bool | None = None  # the host's transport, from the next block on
        self.sound = np.zeros((INPUTS, most_frames), np.float32)
        self.out = np.zeros((OUTPUTS, most_frames), np.float32)
        self._events = [c.create_string_buffer(EVENTS_BYTES) for _ in range(2)]
        self._controls = np.zeros(FIRST_PARAMETER + LAYOUT["PARAMETER_COUNT"], np.float32)
        self.set("BYPASS", 0.0)
        for name, value in USUAL.items():
            self.set(name, value)
        self._connect()
        self.descriptor.activate(self._handle)

    def _features(self, most_frames: int) -> Any:
        def urid(_handle: int, uri: bytes) -> int:
            return self._urid(uri)

        mapping = _UridMap(None, _MAP(urid))
        most = c.c_int32(most_frames)
        options = (_Option * 2)(_Option(0, 0, self._urid(MOST_FRAMES.encode()), 4, self._urid(INT.encode()), c.addressof(most)), _Option())
        given = (
            _Feature(f"{LV2}ext/urid#map".encode(), c.addressof(mapping)),
            _Feature(f"{LV2}ext/options#options".encode(), c.addressof(options)),
            _Feature(f"{LV2}ext/buf-size#boundedBlockLength".encode(), None),
        )
        self._kept += [mapping, most, options, given]
        return (c.POINTER(_Feature) * 4)(*(c.pointer(feature) for feature in given), None)

    def _urid(self, uri: bytes) -> int:
        return self._urids.setdefault(uri, len(self._urids) + 1)

    def _connect(self) -> None:
        for port, channel in enumerate((*self.sound, *self.out)):
            self.descriptor.connect_port(self._handle, port, channel.ctypes.data)
        for port, events in zip(EVENT_PORTS, self._events):
            self.descriptor.connect_port(self._handle, port, c.addressof(events))
        for port in range(LATENCY_PORT, len(self._controls)):
            self.descriptor.connect_port(self._handle, port, self._controls[port:].ctypes.data)

    def set(self, name: str, value: float) -> None:
        """A parameter, by its name in memory.h without RTM_PARAMETER_, from the next block on."""
        number = LAYOUT[f"PARAMETER_{name}"]
        self._controls[FIRST_PARAMETER + number] = 1.0 - value if name == "BYPASS" else value

    @property
    def latency_samples(self) -> int:
        """As the plugin reported it with the last block."""
        return int(self._controls[LATENCY_PORT])

    def play(self, sound: np.ndarray, right: np.ndarray | None = None, band: np.ndarray | None = None) -> list[tuple[int, bytes]]:
        """One block of mono sound [shape=(n,)] on both inputs, or another on the right one, and the band on the side-chain; the
        MIDI messages that came out, each with its sample since the beginning. What came out is in ``out[:, :n]``."""
        frames = len(sound)
        self.sound[0, :frames], self.sound[1, :frames] = sound, sound if right is None else right
        self.sound[2:, :frames] = 0.0 if band is None else band
        self._reset(self._events[0], 8, SEQUENCE)
        if self.rolls is not None:
            self._tell_transport(float(self.rolls))
        self._reset(self._events[1], EVENTS_BYTES - 8, CHUNK)
        self.descriptor.run(self._handle, frames)
        begin, self.position = self.position, self.position + frames
        return [(begin + frame, message) for frame, message in self._messages()]

    def _reset(self, buffer: Any, size: int, kind: str) -> None:
        head = np.frombuffer(buffer, np.uint32, 4)
        head[:] = size, self._urid(kind.encode()), 0, 0

    def _tell_transport(self, speed: float) -> None:
        """A time:Position at the beginning of the block."""
        of_object, of_position, of_speed, of_float = (self._urid(uri.encode()) for uri in (OBJECT, POSITION, SPEED, FLOAT))
        body = struct.pack("<IIIIIIf4x", 0, of_position, of_speed, 0, 4, of_float, speed)
        event = struct.pack("<qII", 0, len(body), of_object) + body
        self._reset(self._events[0], 8 + len(event), SEQUENCE)
        c.memmove(c.addressof(self._events[0]) + 16, event, len(event))

    def _messages(self) -> list[tuple[int, bytes]]:
        data = self._events[1].raw
        size, kind = np.frombuffer(data, np.uint32, 2)
        if kind != self._urid(SEQUENCE.encode()):  # DPF leaves alone what it has nothing to write to
            return []
        found: list[tuple[int, bytes]] = []
        at, end, midi = 16, 8 + int(size), self._urid(MIDI_EVENT.encode())
        while at + 16 <= end:
            frame = int(np.frombuffer(data, np.int64, 1, at)[0])
            length, what = (int(word) for word in np.frombuffer(data, np.uint32, 2, at + 8))
            if what == midi:
                found.append((frame, data[at + 16 : at + 16 + length]))
            at += 16 + (length + 7 & ~7)
        return found

    def restart(self) -> None:
        """Stop and begin anew, as hosts do when something changes."""
        self.descriptor.deactivate(self._handle)
        self.descriptor.activate(self._handle)

    def close(self) -> None:
        """Free it. Idempotent."""
        if self._handle:
            self.descriptor.deactivate(self._handle)
            self.descriptor.cleanup(self._handle)
            self._handle = None

    def __enter__(self) -> Lv2Host:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _descriptor(binary: Path) -> _Descriptor:
    try:
        find = c.CDLL(str(binary)).lv2_descriptor
    except (OSError, AttributeError) as error:
        raise DeviceError(f"{binary} is no LV2 plugin that can be loaded ({error}); rt-melody plugin install builds it anew") from error
    find.restype = c.POINTER(_Descriptor)
    return find(0).contents
