"""A stand-in for a JACK server's side of the process callback: C functions that answer from Python, cycle by cycle."""

from __future__ import annotations

import ctypes as c
import socket

import numpy as np

from rt_melody.realtime.jack import process as p

VOICE, MIDI, REFERENCE, BACKING = 1000, 2000, 3000, 4000  # stand for ports; audio port k is VOICE + k
CALLBACK = c.CFUNCTYPE(c.c_int32, c.c_uint32, c.c_void_p)


class FakeServer:
    """Runs cycles of a client: ``cycle(sound, beside)`` with ``sound [shape=(n,) or (n, ports)]`` and what comes in by the port
    for the band; ``events`` is what was sent, as (frame, message), ``played`` what was played of a song, a block a cycle."""

    def __init__(self, rate_hz: int = 48000, frame: int = 0, room: int = 10_000) -> None:
        self.rate_hz, self.frame, self.time_us, self.room = rate_hz, frame, 1_000_000, room
        self.events: list[tuple[int, bytes]] = []
        self.played: list[np.ndarray] = []
        self._midi = np.zeros(1, np.int64)
        self._kept = [
            c.CFUNCTYPE(c.c_void_p, c.c_void_p, c.c_uint32)(self._buffer),
            c.CFUNCTYPE(c.c_uint32, c.c_void_p)(lambda client: self.frame & 0xFFFFFFFF),
            c.CFUNCTYPE(c.c_uint64)(lambda: self.time_us),
            c.CFUNCTYPE(c.c_uint32, c.c_void_p)(lambda client: self.rate_hz),
            c.CFUNCTYPE(None, c.c_void_p)(lambda buffer: self._cycle_events.clear()),
            c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_uint32, c.c_void_p, c.c_size_t)(self._write),
        ]
        self._process = CALLBACK(p.process.address)  # pyright: ignore[reportCallIssue]

    @property
    def functions(self) -> dict[int, int]:
        places = (p.GET_BUFFER, p.LAST_FRAME_TIME, p.GET_TIME, p.GET_RATE, p.MIDI_CLEAR, p.MIDI_WRITE)
        return {place: c.cast(function, c.c_void_p).value for place, function in zip(places, self._kept)}

    def _buffer(self, port: int, frames: int) -> int:
        assert frames == len(self._sound)
        others = {MIDI: self._midi, REFERENCE: self._beside, BACKING: self._out}
        return (others[port] if port in others else self._channels[port - VOICE]).ctypes.data

    def _write(self, buffer: int, offset: int, message: int, length: int) -> int:
        if (
            buffer != self._midi.ctypes.data
            or not 0 <= offset < len(self._sound)
            or offset < self._newest
            or len(self._cycle_events) >= self.room
        ):
            return -1
        self._newest = offset
        self._cycle_events.append((self.frame + offset, c.string_at(message, length)))
        return 0

    def cycle(self, exchange: p.Exchange, sound: np.ndarray, beside: np.ndarray | None = None) -> None:
        self._beside = np.zeros(len(sound), np.float32) if beside is None else np.ascontiguousarray(beside, np.float32)
        self._out = np.full(len(sound), np.nan, np.float32)
        self._sound, self._newest, self._cycle_events = sound, 0, [(0, b"left from the cycle before")]
        self._channels = [np.ascontiguousarray(row, np.float32) for row in sound.reshape(len(sound), -1).T]
        assert self._process(len(sound), exchange.address) == 0
        self.events += self._cycle_events
        self.played.append(self._out)
        self.pass_by(len(sound))

    def pass_by(self, frames: int) -> None:
        """So much time, without us."""
        self.frame += frames
        self.time_us += round(1e6 * frames / self.rate_hz)


def exchange(
    server: FakeServer, ports: int = 1, ring: int = 4096, events: int = 64, midi: bool = True,
    reference: bool = False, backing: bool = False,
) -> p.Exchange:  # fmt: skip
    """The memory, attached to a client of that server; its bell rings in ``bell``."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    made = p.Exchange(server.rate_hz, ring, events, theirs.fileno(), reference or backing)
    made.bell, made._their_end = ours, theirs
    attach(made, server, ports, midi, reference, backing)
    return made


def attach(
    made: p.Exchange, server: FakeServer, ports: int = 1, midi: bool = True, reference: bool = False, backing: bool = False
) -> None:
    voices = [VOICE + k for k in range(ports)]
    made.attach(server.functions, 1, voices, MIDI if midi else 0, REFERENCE if reference else 0, BACKING if backing else 0)
