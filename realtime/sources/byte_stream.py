"""Bytes that come once and when they come: a pipe, a named pipe, a socket, a stream in memory.

Conventions
-----------
* Nothing waits longer than it is asked to, nor for the writer of a named pipe to open it. What is waited for at a
  start ends when ``stop`` says so.
* What was looked at (``peek``) is still read.
"""

from __future__ import annotations

import io
import os
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from rt_melody.realtime.errors import InputError

POLL_S = 0.1  # how soon ``stop`` is noticed
AT_ONCE = 65_536  # as much as a Linux pipe holds


class ByteStream:
    """The bytes of ``stream``, a binary stream or the number of an open file. ``name``: what to call it."""

    def __init__(self, stream: BinaryIO | int, name: str) -> None:
        self.name = name
        self._stream = None if isinstance(stream, int) else stream
        self._number = stream if isinstance(stream, int) else _file_number(stream)
        self._can_ask = sys.platform != "win32"  # which cannot wait for a pipe with a limit: the read itself waits
        self._ahead = b""  # looked at and not read
        self.ended = False

    @classmethod
    def of_path(cls, path: str | Path) -> ByteStream:
        """A named pipe, whether somebody writes to it yet or not. Raises OSError."""
        return cls(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)), str(path))

    def close(self) -> None:
        """Close what ``of_path`` opened; a stream that was given is the caller's."""
        if self._stream is None and self._number is not None:
            os.close(self._number)
            self._number = None

    def read(self, most: int, timeout_s: float) -> bytes | None:
        """Up to ``most`` bytes that have come; b"" where none came in time, None at the end."""
        if not self._ahead:
            return self._take(most, timeout_s)
        given, self._ahead = self._ahead[:most], self._ahead[most:]
        if len(given) < most and self._can_ask:
            given += self._take(most - len(given), 0.0) or b""
        return given

    def peek(self, count: int, timeout_s: float = 0.0) -> bytes:
        """The next ``count`` bytes, or as many as are there within ``timeout_s``."""
        until_s = time.monotonic() + timeout_s
        while len(self._ahead) < count and not self.ended:
            data = self._take(AT_ONCE if self._ahead_is_ours() else count - len(self._ahead), max(0.0, until_s - time.monotonic()))
            if not data:
                break
            self._ahead += data
        return self._ahead[:count]

    def await_bytes(self, count: int, stop: Callable[[], bool]) -> bytes:
        """The next ``count`` bytes, fewer at the end only, however long it takes. Raises InputError at ``stop``."""
        while len(found := self.peek(count, POLL_S)) < count and not self.ended:
            if stop():
                raise InputError(f"stopped before {self.name} gave its first bytes")
        return found

    def _ahead_is_ours(self) -> bool:
        """Whether reading more than was asked for takes it from nobody."""
        return self._stream is None

    def _take(self, most: int, timeout_s: float) -> bytes | None:
        if self.ended:
            return None
        if not self._ready(timeout_s):
            return b""
        try:
            data = self._stream.read(most) if self._number is None and self._stream else os.read(self._number or 0, most)
        except BlockingIOError:  # another reader was quicker
            return b""
        self.ended = not data
        return data or None

    def _ready(self, timeout_s: float) -> bool:
        """Whether something came, or the end. A named pipe that nobody has opened yet is not at its end (Linux)."""
        if self._number is None or not self._can_ask:
            return True
        if not hasattr(select, "poll"):
            return bool(select.select([self._number], [], [], timeout_s)[0])
        poll = select.poll()  # select has no place for file numbers beyond 1023
        poll.register(self._number, select.POLLIN)
        return bool(poll.poll(1000.0 * timeout_s))


def _file_number(stream: BinaryIO) -> int | None:
    try:
        return stream.fileno()
    except (io.UnsupportedOperation, AttributeError):
        return None  # a stream in memory: always ready
