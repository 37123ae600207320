"""Words and work for somebody slow, done by a thread that does not wait for it.

A terminal that was stopped, a full pipe, a window in which the user marks text, a disk: writing to any of these can wait
for ever. The thread that computes hands over what it has and goes on. Where that one runs at real-time priority, the
speaker does too: held up by other programs while it holds Python's interpreter, it would hold up the music.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from rt_melody.realtime.timing.scheduling import run_first, runs_first
from rt_melody.realtime.types import InputError

T = TypeVar("T")
END = object()  # of what a thread has to say


class Speaker(Generic[T]):
    """``say`` is called with each item, in order, by a thread that begins with the first one.

    ``most`` items wait at most; one that finds no room is dropped, which ``take`` tells. Any thread may hand over.
    """

    def __init__(self, say: Callable[[T], object], most: float = 100) -> None:
        self._say, self._most = say, most
        self._items: queue.SimpleQueue = queue.SimpleQueue()  # whose put takes no lock that a reader could hold
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def take(self, item: T) -> bool:
        """Have ``item`` said; never waits. False where too many wait already."""
        if self._items.qsize() >= self._most:
            return False
        self._items.put((item, runs_first()))
        if self._thread is None:
            self._start()
        return True

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="speaker", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        first = False
        while True:
            item, urgent = self._items.get()
            if item is END:
                return
            if urgent and not first:
                first = run_first() or True
            self._say(item)

    def close(self, timeout_s: float = 1.0) -> bool:
        """Let what was taken be said, for ``timeout_s`` at most; whether it was. What is taken afterwards begins anew."""
        thread, self._thread = self._thread, None
        if thread is None:
            return True
        self._items.put((END, False))
        thread.join(timeout_s)
        return not thread.is_alive()  # else nobody listens: the thread ends with the process


class LineLog:
    """A text file whose lines a thread of its own writes. Raises InputError where it cannot be opened."""

    def __init__(self, path: str | Path) -> None:
        try:
            self._file = open(path, "w", encoding="utf-8", buffering=1)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); give another path") from error
        self._speaker: Speaker[str] = Speaker(self._write)

    def take(self, line: str) -> None:
        self._speaker.take(line)

    def _write(self, line: str) -> None:
        try:
            self._file.write(line + "\n")
        except OSError:  # the disk is full: figures about the work must not end the work
            pass

    def close(self) -> None:
        self._speaker.close()
        try:
            self._file.close()
        except OSError:
            pass
