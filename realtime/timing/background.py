"""Slow writing, done by a thread of its own, so that the thread that computes never waits for it.

A stopped terminal, a full pipe, a window in which the user marks text, a disk: a write to any of these can block for
ever. The computing thread hands an item over and goes on. Where that thread runs at real-time priority, the writing
thread does too: held up by other programs while it holds Python's interpreter lock, it would hold up the music.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from rt_melody.realtime.paths import open_to_write
from rt_melody.realtime.timing.scheduling import run_first, runs_first

T = TypeVar("T")
END = object()  # ends the thread


class BackgroundWriter(Generic[T]):
    """Calls ``write`` with each item, in order, on a thread that starts with the first item.

    ``most``: items that may wait; an item that finds the queue full is dropped, and ``take`` returns False. Any thread
    may call ``take``.
    """

    def __init__(self, write: Callable[[T], object], most: float = 100) -> None:
        self._write, self._most = write, most
        self._items: queue.SimpleQueue[tuple[Any, bool]] = queue.SimpleQueue()  # whose put takes no lock that a reader could hold
        self._thread: threading.Thread | None = None
        self._is_first = False  # whether the thread has been given what the system grants
        self._starting = threading.Lock()

    def take(self, item: T) -> bool:
        """Queue ``item`` to be written; never waits. False where too many wait already."""
        if self._items.qsize() >= self._most:
            return False
        self._items.put((item, not self._is_first and runs_first()))  # the system is asked no more often than it must be
        if self._thread is None:
            self._start()
        return True

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._is_first = False
                self._thread = threading.Thread(target=self._run, name="background-writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            item, urgent = self._items.get()
            if item is END:
                return
            if urgent and not self._is_first:
                self._is_first = run_first() or True
            self._write(item)

    def close(self, timeout_s: float = 1.0) -> bool:
        """Write what was taken, for ``timeout_s`` at most; whether all of it was. A later ``take`` starts a new thread."""
        thread, self._thread = self._thread, None
        if thread is None:
            return True
        self._items.put((END, False))
        thread.join(timeout_s)
        return not thread.is_alive()  # else nobody listens: the thread ends with the process


class LineLog:
    """A text file whose lines a thread of its own writes. Raises OutputError where it cannot be opened.

    What cannot be written is left out, since figures about the work must not end the work; ``failure`` then says so.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        self.failure: str | None = None  # one sentence
        self._file = open(open_to_write(path, empty=True), "w", encoding="utf-8", buffering=1)  # noqa: SIM115 (closed by ``close``)
        self._writer: BackgroundWriter[str] = BackgroundWriter(self._write)

    def take(self, line: str) -> None:
        self._writer.take(line)

    def _write(self, line: str) -> None:
        try:
            self._file.write(line + "\n")
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.failure = self.failure or f"{self.path} cannot be written further ({error.strerror}); free some space or choose another place"

    def close(self) -> None:
        if not self._writer.close():
            self.failure = self.failure or f"{self.path} takes nothing; its last lines are lost"
        try:
            self._file.close()
        except OSError as error:
            self._fail(error)
