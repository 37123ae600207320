"""Words for a slow listener, from a thread that does not wait for it.

A terminal that was stopped, a full pipe, a window in which the user marks text: writing to any of these can wait
for ever. The thread that computes hands its sentences over and goes on. Where that one runs at real-time priority, the
speaker does too: held up by other programs while it holds Python's interpreter, it would hold up the music.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path

from rt_melody.realtime.timing.scheduling import run_first, runs_first
from rt_melody.realtime.types import InputError


class Speaker:
    """``say`` is called with each text, in order, by a thread that begins with the first one.

    ``most`` texts wait at most; one that finds no room is dropped, which ``take`` tells.
    """

    def __init__(self, say: Callable[[str], object], most: int = 100) -> None:
        self._say = say
        self._texts: queue.Queue[str | None] = queue.Queue(most)
        self._thread: threading.Thread | None = None

    def take(self, text: str) -> bool:
        """Have ``text`` said; never waits. False where too many wait already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(runs_first(),), name="speaker", daemon=True)
            self._thread.start()
        try:
            self._texts.put_nowait(text)
        except queue.Full:
            return False
        return True

    def _run(self, urgent: bool) -> None:
        if urgent:
            run_first()
        while (text := self._texts.get()) is not None:
            self._say(text)

    def close(self, timeout_s: float = 1.0) -> None:
        """Let what was taken be said, for ``timeout_s`` at most. A text taken afterwards begins anew."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            self._texts.put(None, timeout=timeout_s)
        except queue.Full:  # nobody listens: the thread ends with the process
            return
        thread.join(timeout_s)


class LineLog:
    """A text file whose lines a thread of its own writes. Raises InputError where it cannot be opened."""

    def __init__(self, path: str | Path) -> None:
        try:
            self._file = open(path, "w", encoding="utf-8", buffering=1)
        except OSError as error:
            raise InputError(f"{path} cannot be written ({error.strerror}); give another path") from error
        self._speaker = Speaker(self._write)

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
