"""What JACK's thread runs each period, compiled: sound into a ring, MIDI events out at their frame, and away.

Conventions
-----------
* The callback is machine code that needs no interpreter: no Python thread, however busy, makes it late; it allocates
  nothing, takes no lock and waits for nobody. It shares ``state``, int64 places named below, with one other thread.
* Both rings have one writer and one reader. Their indices count from the beginning and never wrap; whoever has copied
  stores its index last, with release, and the other loads it with acquire.
* A frame is a count of JACK's clock, here without the wrap at 2**32. Sample n of the stream lies at frame
  n + offset; the offset moves where sound was lost, by as much as was lost.
* A second ring of the same indices holds what is known of the band: what came in by the port ``reference``, or what was played, song and
  instrument. Sample n of the ring lies beside sample n - SONG_AT of the song, whatever was lost meanwhile.
* Sound that JACK ran without us is counted by its frames; over a pause of the server it is counted by its clock.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import tempfile
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir  # pyright: ignore[reportMissingTypeStubs]  # it has none
from numba import carray, njit, types  # pyright: ignore[reportPrivateImportUsage]  # carray's documented name
from numba.core import cgutils

from rt_melody.kernels.compiled import callback, compiled
from rt_melody.kernels.instrument import STATE, TARGET, TIMBRE
from rt_melody.realtime.atomic import address as _address
from rt_melody.realtime.atomic import inlined
from rt_melody.realtime.atomic import load as _load
from rt_melody.realtime.atomic import store as _store
from rt_melody.realtime.instrument import NEWEST, ROWS, ROWS_AT, SOUND_AT, STATE_AT, Instrument, sound

MOST_PORTS = 8
MESSAGE_BYTES = 7  # the most that one event holds; it is packed in a word with its length
PIECE_SAMPLES = 1024  # of the instrument at a time
OFFSETS = 16  # places for the newest offsets
FAR_S = 10  # an event so far ahead, or a clock that leapt so far, is of another clock

# Places in the state. The first are set before the callback runs.
(
    GET_BUFFER, LAST_FRAME_TIME, GET_TIME, GET_RATE, MIDI_CLEAR, MIDI_WRITE, SEND,  # addresses of functions
    CLIENT, AUDIO_PORTS, MIDI_PORT, WAKEUP_FD, SEND_FLAGS,
    RING, RING_SIZE, EVENTS, EVENTS_SIZE, OFFSET_RING, SOUNDING, MESSAGE,  # addresses of memory, and how much
    BESIDE, REFERENCE_PORT, PLAYING_PORT, SONG, SONG_SIZE, SONG_LOOPS, PIECE,  # 0: there is none
    RATE,  # of the samples in the ring
    ANEW,  # the next cycle is the first of a new client
    CLOSING,  # end what sounds
    # written by the callback
    CHANGED_RATE,  # the graph's rate where it is no longer RATE; nothing is written to the ring then
    SEQUENCE,  # odd while the next four are being written
    CYCLE_US, WRITTEN, LOST, GAPS,
    CYCLE_FRAME, PERIOD, CYCLES, LAST_SOUND, OFFSETS_WRITTEN, LATE_EVENTS, MOST_LATE, CLOSED,
    EVENTS_READ,
    # written by the other thread
    READ, EVENTS_WRITTEN, SONG_AT,
    INSTRUMENT, RESTS_UNTIL,  # the address of its words, see realtime.instrument, 0: it is silent; a sample
    PORTS,  # MOST_PORTS addresses
) = range(50)
FIELDS = PORTS + MOST_PORTS
NEVER = 1 << 62  # where a song lies that does not play

Word = int | np.int64  # in the compiled code one and the same


# ---- calls and atomic access -------------------------------------------------------------------


def _foreign(result_bits: int, *argument_bits: int) -> Any:
    """What calls a C function at an address. All values are int64 on our side."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(64)
        kinds = [ir.IntType(bits) for bits in argument_bits]
        kind = ir.FunctionType(ir.IntType(result_bits) if result_bits else ir.VoidType(), kinds)
        function = builder.inttoptr(args[0], kind.as_pointer())
        given = [value if k.width == 64 else builder.trunc(value, k) for value, k in zip(args[1:], kinds)]
        result = builder.call(function, given)
        if not result_bits:
            return ir.Constant(word, 0)
        return result if result_bits == 64 else builder.zext(result, word)

    i = types.int64

    def without(typing: Any, address: Any) -> Any:
        return i(i), codegen

    def with_one(typing: Any, address: Any, a: Any) -> Any:
        return i(i, i), codegen

    def with_two(typing: Any, address: Any, a: Any, b: Any) -> Any:
        return i(i, i, i), codegen

    def with_four(typing: Any, address: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        return i(i, i, i, i, i), codegen

    return inlined({0: without, 1: with_one, 2: with_two, 4: with_four}[len(argument_bits)])


_get_buffer = _foreign(64, 64, 32)  # void *(jack_port_t *, jack_nframes_t)
_client_u32 = _foreign(32, 64)  # jack_nframes_t (jack_client_t *)
_get_time = _foreign(64)  # jack_time_t (void)
_midi_clear = _foreign(0, 64)  # void (void *)
_midi_write = _foreign(32, 64, 32, 64, 64)  # int (void *, jack_nframes_t, const void *, size_t)
_send = _foreign(64, 32, 64, 64, 32)  # ssize_t (int, const void *, size_t, int)


@inlined
def _pointer(typing: Any, address: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


# ---- the callback ------------------------------------------------------------------------------

_part = njit(error_model="numpy")  # compiled into ``process`` and kept with it, so not by itself


@_part
def _count_frames(state: np.ndarray, frames: Word, rate: Word, now_us: Word, anew: bool) -> Word:
    """Move to this cycle's frame; how many samples never came since the last one that was taken.

    Where the period changes, PipeWire's clock goes on by the old one, and jackd's by the new one: neither is a loss."""
    frame = _client_u32(state[LAST_FRAME_TIME], state[CLIENT])
    due = state[CYCLE_FRAME] + state[PERIOD]
    if (frame - state[CYCLE_FRAME]) & 0xFFFFFFFF == frames:
        due = state[CYCLE_FRAME] + frames
    step = (frame - due) & 0xFFFFFFFF
    if step >= 0x80000000:
        step -= 0x100000000
    if not anew and 0 <= step < FAR_S * rate:
        state[CYCLE_FRAME] = due + step
        if rate == state[RATE] and state[CHANGED_RATE] == 0:
            return step
    else:
        state[CYCLE_FRAME] = frame
    if state[CYCLE_US] == 0:
        return np.int64(0)
    return max(np.int64(0), np.int64(round((now_us - state[CYCLE_US]) * 1e-6 * state[RATE])) - frames)


@_part
def _take_sound(state: np.ndarray, here: Word, frames: Any, gap: Word, now_us: Word) -> None:  # Any: carray's shape must be of int
    written = state[WRITTEN]
    _note_offset(state, here, written)
    size = state[RING_SIZE]
    taken = min(frames, size - (written - _load(here, READ)))
    ring = carray(_pointer(state[RING]), (size,), np.float32)
    ports = state[AUDIO_PORTS]
    for port in range(ports):
        sound = carray(_pointer(_get_buffer(state[GET_BUFFER], state[PORTS + port], frames)), (frames,), np.float32)
        at = written % size
        for i in range(taken):
            ring[at] = sound[i] if port == 0 else ring[at] + sound[i]
            at += 1
            if at == size:
                at = 0
    _finish_mix(state, ring, written, taken, ports)
    _take_beside(state, here, frames, written, taken)
    sequence = state[SEQUENCE]
    _store(here, SEQUENCE, sequence + 1)
    _store(here, LOST, state[LOST] + gap + frames - taken)
    _store(here, GAPS, state[GAPS] + (1 if gap > 0 else 0))
    _store(here, CYCLE_US, now_us)
    _store(here, WRITTEN, written + taken)
    _store(here, SEQUENCE, sequence + 2)


@_part
def _finish_mix(state: np.ndarray, ring: np.ndarray, written: Word, taken: Word, ports: Word) -> None:
    """The mean instead of the sum, and where sound was heard last that is no digital silence."""
    share, size = np.float32(1.0 / ports), state[RING_SIZE]
    at, last = written % size, np.int64(-1)
    for i in range(taken):
        if ports > 1:
            ring[at] *= share
        if ring[at] != 0.0:
            last = i
        at += 1
        if at == size:
            at = 0
    if last >= 0:
        state[LAST_SOUND] = written + last + 1


@_part
def _take_beside(state: np.ndarray, here: Word, frames: Any, written: Word, taken: Word) -> None:
    """What is known of the band, played first where it is the song, beside the samples that were taken."""
    port = state[PLAYING_PORT] if state[PLAYING_PORT] != 0 else state[REFERENCE_PORT]
    if port == 0:
        return
    sound, size = carray(_pointer(_get_buffer(state[GET_BUFFER], port, frames)), (frames,), np.float32), state[RING_SIZE]
    if state[PLAYING_PORT] != 0:
        _play_song(state, sound, frames, written - _load(here, SONG_AT))
        _add_instrument(state, sound, frames, _load(here, INSTRUMENT), written < _load(here, RESTS_UNTIL))
    beside, at = carray(_pointer(state[BESIDE]), (size,), np.float32), written % size
    for i in range(taken):
        beside[at] = sound[i]
        at += 1
        if at == size:
            at = 0


@_part
def _play_song(state: np.ndarray, out: np.ndarray, frames: Word, begin: Word) -> None:
    """The song from its sample ``begin`` on; silence before and after."""
    count = state[SONG_SIZE]
    song = carray(_pointer(state[SONG]), (count,), np.float32)
    for i in range(frames):
        n = begin + i
        if state[SONG_LOOPS] != 0 and n >= count > 0:
            n %= count
        out[i] = song[n] if 0 <= n < count else np.float32(0.0)


@_part
def _add_instrument(state: np.ndarray, out: np.ndarray, frames: Word, words: Word, rests: bool) -> None:
    """To what is played, nothing of which exceeds full scale then."""
    if words == 0:
        return
    at = carray(_pointer(words), (NEWEST,), np.int64)
    rows, of = carray(_pointer(at[ROWS_AT]), (ROWS + 1, TARGET), np.float64), carray(_pointer(at[SOUND_AT]), (TIMBRE,), np.float64)
    kept = carray(_pointer(at[STATE_AT]), (STATE,), np.float64)
    piece = carray(_pointer(state[PIECE]), (PIECE_SAMPLES,), np.float32)
    newest = _load(words, NEWEST)
    for start in range(0, frames, PIECE_SAMPLES):
        count = min(PIECE_SAMPLES, frames - start)
        sound(newest, rests, rows, kept, of, float(state[RATE]), piece[:count])
        for i in range(count):
            out[start + i] = min(np.float32(1.0), max(np.float32(-1.0), out[start + i] + piece[i]))


@_part
def _play_nothing(state: np.ndarray, frames: Any) -> None:
    if state[PLAYING_PORT] != 0:
        out = carray(_pointer(_get_buffer(state[GET_BUFFER], state[PLAYING_PORT], frames)), (frames,), np.float32)
        for i in range(frames):
            out[i] = np.float32(0.0)


@_part
def _note_offset(state: np.ndarray, here: Word, written: Word) -> None:
    offsets = carray(_pointer(state[OFFSET_RING]), (OFFSETS, 2), np.int64)
    count, offset = state[OFFSETS_WRITTEN], state[CYCLE_FRAME] - written
    if count == 0 or offsets[(count - 1) % OFFSETS, 1] != offset:
        offsets[count % OFFSETS, 0] = written
        offsets[count % OFFSETS, 1] = offset
        _store(here, OFFSETS_WRITTEN, count + 1)


@_part
def _give_events(state: np.ndarray, here: Word, frames: Word, anew: bool) -> None:
    """Events whose frame lies in this cycle, in the order in which they came; what is late goes at once."""
    buffer = _get_buffer(state[GET_BUFFER], state[MIDI_PORT], frames)
    _midi_clear(state[MIDI_CLEAR], buffer)
    size, done, waiting = state[EVENTS_SIZE], state[EVENTS_READ], _load(here, EVENTS_WRITTEN)
    if anew:  # they were meant for a graph that is gone
        done = waiting
        _forget_notes(state)
    events = carray(_pointer(state[EVENTS]), (size, 2), np.int64)
    place = np.int64(0)
    while done < waiting:
        offset = events[done % size, 0] - state[CYCLE_FRAME]
        if frames <= offset < FAR_S * state[RATE]:
            break
        if not 0 <= offset < frames:
            if -state[RATE] < offset < 0:
                state[LATE_EVENTS] += 1
                state[MOST_LATE] = max(state[MOST_LATE], -offset)
            offset = np.int64(0)
        place = max(place, offset)
        if _write(state, buffer, place, events[done % size, 1]) != 0:
            break  # full: the rest in the next cycle
        done += 1
    _store(here, EVENTS_READ, done)
    if _load(here, CLOSING) != 0 and done == waiting:
        _end_notes(state, here, buffer, place)


@_part
def _write(state: np.ndarray, buffer: Word, place: Word, word: Word) -> Word:
    """One packed message; 0 where it was taken."""
    message, length = carray(_pointer(state[MESSAGE]), (8,), np.uint8), word >> 56
    for i in range(length):
        message[i] = (word >> (8 * i)) & 0xFF
    refused = _midi_write(state[MIDI_WRITE], buffer, place, state[MESSAGE], length)
    if refused == 0:
        _note(state, message, length)
    return refused


@_part
def _note(state: np.ndarray, message: np.ndarray, length: Word) -> None:
    """Keep account of the notes that sound."""
    kind, channel = message[0] & 0xF0, np.int64(message[0] & 0x0F)
    if length == 3 and (kind == 0x90 or kind == 0x80):
        sounding = carray(_pointer(state[SOUNDING]), (16 * 128,), np.uint8)
        sounding[channel * 128 + message[1]] = 1 if kind == 0x90 and message[2] > 0 else 0


@_part
def _forget_notes(state: np.ndarray) -> None:
    sounding = carray(_pointer(state[SOUNDING]), (16 * 128,), np.uint8)
    for i in range(16 * 128):
        sounding[i] = 0


@_part
def _end_notes(state: np.ndarray, here: Word, buffer: Word, place: Word) -> None:
    """A note-off for whatever sounds; ``CLOSED`` when none is left."""
    sounding = carray(_pointer(state[SOUNDING]), (16 * 128,), np.uint8)
    for i in range(16 * 128):
        if sounding[i] != 0:
            word = np.int64(0x80 | i // 128) | np.int64(i % 128) << 8 | np.int64(3) << 56
            if _write(state, buffer, place, word) != 0:
                return
    _store(here, CLOSED, 1)


@_part
def _cycle(state: np.ndarray, frames: Word) -> None:
    here = _address(state)
    now_us = _get_time(state[GET_TIME])
    rate = _client_u32(state[GET_RATE], state[CLIENT])
    anew = state[ANEW] != 0
    gap = _count_frames(state, frames, rate, now_us, anew)
    state[PERIOD] = frames
    if rate == state[RATE]:
        _store(here, CHANGED_RATE, 0)
        _take_sound(state, here, frames, gap, now_us)
    else:
        _store(here, CHANGED_RATE, rate)
        _play_nothing(state, frames)
    if state[MIDI_PORT] != 0:
        _give_events(state, here, frames, anew)
    state[ANEW] = 0
    _store(here, CYCLES, state[CYCLES] + 1)
    _send(state[SEND], state[WAKEUP_FD], state[MESSAGE], 1, state[SEND_FLAGS])


@callback("int32(uint32, voidptr)")
def process(frames: int, argument: Any) -> np.int32:
    """JackProcessCallback; ``argument``: the address of the state."""
    state = carray(argument, (FIELDS,), np.int64)
    _cycle(state, np.int64(frames))
    return np.int32(0)


# ---- the other side ----------------------------------------------------------------------------


@compiled("int64(int64[::1], float32[::1], float32[::1], float32[::1], float32[::1])")
def _read(state: np.ndarray, ring: np.ndarray, out: np.ndarray, others: np.ndarray, beside: np.ndarray) -> int:
    here, size = _address(state), ring.shape[0]
    begin = state[READ]
    given = min(out.shape[0], _load(here, WRITTEN) - begin)
    at = begin % size
    for i in range(given):
        out[i] = ring[at]
        if others.shape[0] > 0:
            beside[i] = others[at]
        at += 1
        if at == size:
            at = 0
    _store(here, READ, begin + given)
    return given


@compiled("boolean(int64[::1], int64[:, ::1], int64, int64)")
def _put(state: np.ndarray, events: np.ndarray, frame: int, word: int) -> bool:
    here, size = _address(state), events.shape[0]
    count = state[EVENTS_WRITTEN]
    if count - _load(here, EVENTS_READ) >= size:
        return False
    events[count % size, 0] = frame
    events[count % size, 1] = word
    _store(here, EVENTS_WRITTEN, count + 1)
    return True


@compiled("int64(int64[::1], int64)")
def _loaded(state: np.ndarray, place: int) -> int:
    return _load(_address(state), place)


@compiled("void(int64[::1], int64, int64)")
def _stored(state: np.ndarray, place: int, value: int) -> None:
    _store(_address(state), place, value)


def packed(message: bytes) -> int:
    """A MIDI message of at most 7 bytes as one word. Raises ValueError for a longer or an empty one."""
    if not 1 <= len(message) <= MESSAGE_BYTES:
        raise ValueError(f"a MIDI message of {len(message)} bytes cannot be sent here; 1 to {MESSAGE_BYTES} fit")
    return int.from_bytes(bytes(message), "little") | len(message) << 56


@dataclass(frozen=True, slots=True)
class Arrived:
    """What had come when a cycle ended: samples written and lost, holes, and JACK's clock in microseconds."""

    written: int
    lost: int
    gaps: int
    at_us: int


def _shared_bytes(count: int) -> tuple[np.ndarray, int | None]:
    """Zeros that another process can read, and the file descriptor by which it does; None where it cannot (Windows)."""
    if sys.platform == "win32":
        return np.full(count, 0, np.uint8), None
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("rt-melody-notes")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, count)
    shared = np.frombuffer(mmap.mmap(fd, count), np.uint8)
    shared[:] = 0  # the page is there before JACK's thread wants it
    return shared, fd


class Exchange:
    """The memory that JACK's thread and ours share, and our side of it. One thread reads, one thread sends. ``notes_fd``: a
    file descriptor of 2048 bytes, one for each note of each channel, not 0 while it sounds; None on Windows. ``knows_band``: there
    is room for what is known of the band."""

    def __init__(self, rate_hz: int, ring_samples: int, events: int, wakeup_fd: int, knows_band: bool = False) -> None:
        self.state = np.zeros(FIELDS, np.int64)
        self._ring, self._others = np.full(ring_samples, 0.0, np.float32), np.full(ring_samples * knows_band, 0.0, np.float32)
        self._nothing, self._song = np.zeros(0, np.float32), np.zeros(1, np.float32)
        self._events = np.full((events, 2), 0, np.int64)
        self._offsets = np.full((OFFSETS, 2), 0, np.int64)
        self._message = np.full(8, 0, np.uint8)
        self._piece = np.zeros(PIECE_SAMPLES, np.float32)
        self._instruments: list[Instrument] = []  # all that there were, as the callback may be at one
        self._sounding, self.notes_fd = _shared_bytes(16 * 128)
        if self.notes_fd is not None:
            weakref.finalize(self, os.close, self.notes_fd)
        memory = {RING: self._ring, EVENTS: self._events, OFFSET_RING: self._offsets, SOUNDING: self._sounding, MESSAGE: self._message}
        memory[PIECE] = self._piece
        for place, array in memory.items():
            self.state[place] = array.ctypes.data
        self.state[BESIDE], self.state[SONG], self.state[SONG_AT] = self._others.ctypes.data, self._song.ctypes.data, NEVER
        self.state[RING_SIZE], self.state[EVENTS_SIZE] = ring_samples, events
        self.state[RATE], self.state[WAKEUP_FD] = rate_hz, wakeup_fd
        self.state[SEND], self.state[SEND_FLAGS] = send_function()

    @property
    def address(self) -> int:
        """The argument of ``process``."""
        return self.state.ctypes.data

    def attach(
        self, functions: dict[int, int], client: int, audio_ports: list[int], midi_port: int, reference_port: int = 0, playing_port: int = 0
    ) -> None:
        """Addresses of a client that does not run yet; ``functions`` by their places; 0: there is no such port. Where there is one for
        the band, ``knows_band`` must have been said."""
        if len(audio_ports) > MOST_PORTS:
            raise ValueError(f"{len(audio_ports)} audio ports; {MOST_PORTS} at most")
        for place, function in functions.items():
            self.state[place] = function
        self.state[CLIENT], self.state[MIDI_PORT], self.state[AUDIO_PORTS] = client, midi_port, len(audio_ports)
        self.state[PORTS : PORTS + len(audio_ports)] = audio_ports
        self.state[REFERENCE_PORT], self.state[PLAYING_PORT] = reference_port, playing_port
        self.state[CLOSED] = self.state[CLOSING] = self.state[CHANGED_RATE] = 0
        self.state[ANEW] = 1

    def __getitem__(self, place: int) -> int:
        return _loaded(self.state, place)

    @property
    def changed_rate(self) -> int:
        """The graph's rate where it is another one than that of the ring, which stands still then; else 0."""
        return self[CHANGED_RATE]

    @property
    def position(self) -> int:
        """Index of the next sample that ``read`` gives."""
        return self[READ]

    @property
    def last_sound(self) -> int:
        """Index after the newest sample that is not exactly 0."""
        return self[LAST_SOUND]

    # ---- sound ---------------------------------------------------------------------------------

    def read(self, out: np.ndarray, beside: np.ndarray | None = None) -> int:
        """Move the oldest samples to the front of ``out``, and what is known of the band by then to that of ``beside``, which is as
        long; float32; how many."""
        if beside is None:
            return _read(self.state, self._ring, out, self._nothing, self._nothing)
        return _read(self.state, self._ring, out, self._others, beside)

    def skip(self, most: int | None = None) -> int:
        """Drop what was not read, ``most`` of it; how many samples."""
        waiting = self[WRITTEN] - self[READ]
        skipped = waiting if most is None else min(waiting, most)
        _stored(self.state, READ, self[READ] + skipped)
        return skipped

    @property
    def available(self) -> int:
        return self[WRITTEN] - self[READ]

    def arrived(self) -> Arrived:
        """Of one and the same cycle."""
        while True:
            sequence = self[SEQUENCE]
            found = Arrived(self[WRITTEN], self[LOST], self[GAPS], self[CYCLE_US])
            if sequence % 2 == 0 and self[SEQUENCE] == sequence:
                return found

    # ---- the song ------------------------------------------------------------------------------

    def have_song(self, samples: np.ndarray, loops: bool) -> None:
        """What is to be played [shape=(n,)], float32 at the rate of the ring; only while none plays or the callback keeps away."""
        self._song = np.ascontiguousarray(samples, np.float32)
        self.state[SONG], self.state[SONG_SIZE], self.state[SONG_LOOPS] = self._song.ctypes.data, len(self._song), loops

    def play_song(self, at: int | None, alone: int = 0) -> None:
        """Its first sample is played beside the sample of the ring of that index; None: it is not played. ``alone``: the instrument rests
        until so many samples later."""
        _stored(self.state, RESTS_UNTIL, at + alone if at is not None and alone else 0)
        _stored(self.state, SONG_AT, NEVER if at is None else at)

    def have_instrument(self, instrument: Instrument | None) -> None:
        """What is played besides, from the next cycle on; None: nothing."""
        if instrument is not None and instrument not in self._instruments:
            self._instruments.append(instrument)
        _stored(self.state, INSTRUMENT, 0 if instrument is None else instrument.words.ctypes.data)

    # ---- another rate --------------------------------------------------------------------------

    def follow_rate(self, rate_hz: int) -> None:
        """The ring takes samples of another rate from the next cycle on, and indices go on as if they always had. Only
        while ``CHANGED_RATE`` is set, so that the callback keeps away, and after all was read."""
        ratio = rate_hz / self[RATE]
        if self[SONG_AT] != NEVER:
            self.state[SONG_AT] = round(self[SONG_AT] * ratio)
        self.state[RESTS_UNTIL] = round(self[RESTS_UNTIL] * ratio)
        now = round(self[WRITTEN] * ratio)
        self.state[WRITTEN] = self.state[READ] = now
        self.state[LAST_SOUND] = round(self[LAST_SOUND] * ratio)
        self.state[LOST] = round(self[LOST] * ratio)
        self.state[OFFSETS_WRITTEN] = 0
        _stored(self.state, RATE, rate_hz)

    # ---- events --------------------------------------------------------------------------------

    def frame_of(self, sample: int) -> int:
        """Where on JACK's clock a sample of the stream lies, of which not much more than the ring may have passed since."""
        count = self[OFFSETS_WRITTEN]
        for back in range(1, min(count, OFFSETS) + 1):
            since, offset = self._offsets[(count - back) % OFFSETS]
            if sample >= since or back == min(count, OFFSETS):
                return sample + int(offset)
        return sample

    def put(self, frame: int, message: bytes) -> bool:
        """Have the message sent at that frame; False where there is no room, since nobody takes any."""
        return _put(self.state, self._events, frame, packed(message))

    def end_notes(self, on: bool = True) -> None:
        """Ask that what sounds be ended once all events are sent; ``CLOSED`` tells that it was."""
        _stored(self.state, CLOSING, int(on))

    @property
    def notes_ended(self) -> bool:
        return self[CLOSED] != 0

    @property
    def notes_sound(self) -> bool:
        """Whether a note-on was sent whose end was not."""
        return bool(self._sounding.any())


def address_of(function: Any) -> int:
    """Where a C function lies."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def send_function() -> tuple[int, int]:
    """The address of send(2), and the flags by which it neither waits nor signals."""
    if sys.platform == "win32":
        library: Any = ctypes.WinDLL("ws2_32")
        return address_of(library.send), 0  # the socket itself does not wait
    import socket

    flags = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)
    return address_of(ctypes.CDLL(None).send), flags
