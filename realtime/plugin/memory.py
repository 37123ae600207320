"""The memory that the plugin and this program share, seen from here. ``memory.h`` says what is in it, and is read for it.

Conventions
-----------
* ``Shared`` belongs to the engine: it writes the engine's words and trusts nothing that it reads.
* Counts are stored with release and loaded with acquire by compiled code: other processors see what they count before them.
"""

from __future__ import annotations

import mmap
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rt_melody.kernels.compiled import compiled
from rt_melody.realtime.atomic import address, load, load_in_order, store, store_in_order
from rt_melody.realtime.errors import DeviceError

HEADER = Path(__file__).with_name("memory.h")
_ENTRY = np.dtype([("position", np.int64), ("bytes", np.uint8, (8,))])
_STREAM_SHIFT = 8  # a command's code is its lowest byte, and what it counts the rest


def read_header(path: Path = HEADER) -> dict[str, int]:
    """The constants of a header such as ``memory.h``: its lines ``RTM_NAME = number,``."""
    lines = re.findall(r"^\s*RTM_(\w+) = (0x[0-9A-Fa-f]+|\d+),", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: int(number, 0) for name, number in lines}


LAYOUT = read_header()


@dataclass(frozen=True, slots=True)
class Command:
    """What holds from a position on: ``code`` as in ``RtmCommand``; ``number``: of the stream that begins."""

    position: int
    code: int
    number: int
    value: float


class Shared:
    """The block of memory behind a file descriptor. Raises DeviceError, in a sentence, for one that is none of ours."""

    def __init__(self, descriptor: int) -> None:
        self._map = _mapped(descriptor)
        c = LAYOUT
        words = c["WORDS"] * 8
        band = words + 4 * c["SOUND_SAMPLES"]
        sound, commands = band + 4 * c["SOUND_SAMPLES"], c["COMMANDS_SIZE"] * c["ENTRY_BYTES"]
        self.words = np.frombuffer(self._map, np.int64, c["WORDS"])
        self._voice = np.frombuffer(self._map, np.float32, c["SOUND_SAMPLES"], words)
        self._band = np.frombuffer(self._map, np.float32, c["SOUND_SAMPLES"], band)
        self._commands = np.frombuffer(self._map, _ENTRY, c["COMMANDS_SIZE"], sound)
        self._events = np.frombuffer(self._map, np.int64, 2 * c["EVENTS_SIZE"], sound + commands)
        self._check()

    def _check(self) -> None:
        if self["MAGIC"] != LAYOUT["MAGIC_VALUE"]:
            raise DeviceError("this memory was not made by the rt-melody plugin; the plugin alone starts this command")
        if self["VERSION"] != LAYOUT["VERSION_VALUE"] or self["BYTES"] > len(self._map):
            raise DeviceError("the plugin is of another version than this program; run rt-melody plugin install again")

    def __getitem__(self, name: str) -> int:
        return int(_loaded(self.words, LAYOUT[name]))

    def __setitem__(self, name: str, value: int) -> None:
        _stored(self.words, LAYOUT[name], value)

    def parameter(self, number: int) -> float:
        """The value that a parameter has now."""
        return _as_float(int(self.words[LAYOUT["PARAMETERS"] + number]))

    # ---- sound ---------------------------------------------------------------------------------

    def read(self, position: int, voice: np.ndarray, band: np.ndarray) -> bool:
        """Fill both [shape=(n,), float32] with the samples from ``position`` on, which are written; False where they were
        overwritten meanwhile."""
        _copy(self._band, position, band)
        return bool(_read(self.words, self._voice, position, voice))

    def is_idle_until(self, due: int) -> bool:
        """Tell the plugin that nothing can be done before the samples up to ``due`` are written; False where they are already, or a
        command waits."""
        return bool(_is_idle_until(self.words, due))

    # ---- commands ------------------------------------------------------------------------------

    def next_command(self) -> Command | None:
        """The next that was written, which stays the next until ``take_command``."""
        done, written = self["COMMANDS_READ"], self["COMMANDS_WRITTEN"]
        if done >= written:
            return None
        entry = self._commands[done % len(self._commands)]
        what = int(entry["bytes"][:4].view(np.int32)[0])
        value = float(entry["bytes"][4:].view(np.float32)[0])
        return Command(int(entry["position"]), what & 0xFF, what >> _STREAM_SHIFT, value)

    def take_command(self) -> None:
        """It was done."""
        self["COMMANDS_READ"] += 1

    def skip_commands(self) -> None:
        """Before all is read anew: what was written so far is in it."""
        self["COMMANDS_READ"] = self["COMMANDS_WRITTEN"]

    # ---- events --------------------------------------------------------------------------------

    def put(self, position: int, stream: int, message: bytes) -> bool:
        """A MIDI message of at most 3 bytes at a position; False where the ring is full."""
        word = len(message) | (stream & 0xFF) << 8 | int.from_bytes(message, "little") << 16
        return bool(_put(self.words, self._events, position, word))

    def fail(self, text: str) -> None:
        """Say why there are no notes."""
        room = LAYOUT["TEXT_BYTES"] - 1
        data = text.encode("utf-8")[:room].ljust(room + 1, b"\0")
        first = LAYOUT["TEXT"]
        self.words[first : first + len(data) // 8] = np.frombuffer(data, np.int64)
        self["ENGINE_STATE"] = LAYOUT["FAILED"]


def _mapped(descriptor: int) -> mmap.mmap:
    try:
        size = os.fstat(descriptor).st_size
        if size < _least_bytes():
            raise DeviceError(f"the memory behind descriptor {descriptor} holds {size} bytes, and the plugin's {_least_bytes()}")
        return mmap.mmap(descriptor, 0)
    except (OSError, ValueError, OverflowError) as error:
        raise DeviceError(
            f"descriptor {descriptor} is no memory that can be shared ({error}); the plugin alone starts this command"
        ) from error


def _least_bytes() -> int:
    c = LAYOUT
    return c["WORDS"] * 8 + 8 * c["SOUND_SAMPLES"] + (c["COMMANDS_SIZE"] + c["EVENTS_SIZE"]) * c["ENTRY_BYTES"]


def _as_float(bits: int) -> float:
    return float(np.array([bits & 0xFFFFFFFF], np.uint32).view(np.float32)[0])


_WRITTEN, _EVENTS_READ, _EVENTS_WRITTEN = LAYOUT["WRITTEN"], LAYOUT["EVENTS_READ"], LAYOUT["EVENTS_WRITTEN"]
_MOST_SAMPLES, _DUE = LAYOUT["MOST_SAMPLES"], LAYOUT["DUE"]
_COMMANDS_READ, _COMMANDS_WRITTEN = LAYOUT["COMMANDS_READ"], LAYOUT["COMMANDS_WRITTEN"]


@compiled("int64(int64[::1], int64)")
def _loaded(words: np.ndarray, place: int) -> int:
    return load(address(words), place)


@compiled("void(int64[::1], int64, int64)")
def _stored(words: np.ndarray, place: int, value: int) -> None:
    store(address(words), place, value)


@compiled("boolean(int64[::1], int64)")
def _is_idle_until(words: np.ndarray, due: int) -> bool:
    here = address(words)
    store_in_order(here, _DUE, due)
    return load_in_order(here, _WRITTEN) < due and load(here, _COMMANDS_WRITTEN) == words[_COMMANDS_READ]


@compiled("void(float32[::1], int64, float32[::1])")
def _copy(ring: np.ndarray, position: int, out: np.ndarray) -> None:
    size = ring.shape[0]
    at = position % size
    for i in range(out.shape[0]):
        out[i] = ring[at]
        at += 1
        if at == size:
            at = 0


@compiled("boolean(int64[::1], float32[::1], int64, float32[::1])")
def _read(words: np.ndarray, ring: np.ndarray, position: int, out: np.ndarray) -> bool:
    size = ring.shape[0]
    _copy(ring, position, out)
    return load(address(words), _WRITTEN) + _MOST_SAMPLES - position <= size


@compiled("boolean(int64[::1], int64[::1], int64, int64)")
def _put(words: np.ndarray, events: np.ndarray, position: int, word: int) -> bool:
    here, size = address(words), events.shape[0] // 2
    count = words[_EVENTS_WRITTEN]
    if count - load(here, _EVENTS_READ) >= size:
        return False
    events[2 * (count % size)] = position
    events[2 * (count % size) + 1] = word
    store(here, _EVENTS_WRITTEN, count + 1)
    return True
