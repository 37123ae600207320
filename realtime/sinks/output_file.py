"""A file that grows while the music plays: bytes, times, and a writer that nobody waits for.

Conventions
-----------
* A path is opened when its sink is made, so that what cannot be written is an ``OutputError`` before any
  sound is taken in; an existing file keeps its content until the first byte of the new one is there. It is locked
  meanwhile: a second program that would write to it is refused.
* What came in is on the disk after about ``FLUSH_EVERY_S`` of stream time, as a complete file: whatever
  ends the program, at most that much is lost. A write that fails (full disk) raises an ``OutputError``
  that names the path, and the file keeps what it held.
* When the stream begins anew (``start`` again) or has lost something (``retime``), its times are shifted by the
  time between the two origins, so that a file's times go on.
* A disk, a pipe or a network may make its writer wait: live, a thread of its own writes.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from weakref import WeakSet

from rt_melody.realtime.errors import OutputError
from rt_melody.realtime.paths import open_to_write
from rt_melody.realtime.timing.background import BackgroundWriter

FLUSH_EVERY_S = 0.4  # so that half a second is lost at most, what waits for the disk included
CLOSE_S = 10.0  # how long the end may wait for a file that takes nothing
STDOUT = 1


_untouched: WeakSet[OutputFile] = WeakSet()  # that were made here, and not written to yet


def take_away_untouched() -> None:
    """The files that were made and never written to, for a program that leaves without closing them."""
    for file in list(_untouched):
        with suppress(OSError):
            file.path.unlink()


class OutputFile:
    """A file that grows, and whose bytes can be replaced. Errors are ``OutputError``.

    One that was made here and never written to is taken away again by ``close``.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.size = 0
        self._begun = False
        self._is_new = not os.path.exists(self.path)  # which, unlike pathlib, never raises
        self._raw = io.FileIO(open_to_write(self.path), "wb")
        if self._is_new:
            _untouched.add(self)

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(os.fstat(self._raw.fileno()).st_mode)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append; the number of bytes written, which may be fewer than were given."""
        if not self._begun:
            with suppress(OSError):  # a pipe or a device has nothing to truncate
                self._raw.truncate(0)
            self._begin()
        with self._reporting():
            written = self._raw.write(data)
        self.size += written
        return written

    def write_all(self, data: bytes | bytearray) -> None:
        """Append all of it, however little the system takes at a time."""
        rest = memoryview(data)[self.write(data) :]
        while rest:
            rest = rest[self.write(rest) :]

    def write_at(self, offset: int, data: bytes) -> None:
        """Replace bytes that are there, and go back to the end."""
        with self._reporting():
            self._raw.seek(offset)
            self._raw.write(data)
            self._raw.seek(self.size)

    def cut(self, size: int) -> None:
        """Drop what lies after ``size`` bytes."""
        with self._reporting():
            self._raw.truncate(size)
            self._raw.seek(size)
        self.size = size

    def close(self) -> None:
        self._raw.close()
        if self._is_new and not self._begun:
            self._begin()
            with suppress(OSError):
                self.path.unlink()

    def _begin(self) -> None:
        self._begun = True
        _untouched.discard(self)

    @contextmanager
    def _reporting(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            gone = isinstance(error, BrokenPipeError)
            cure = "keep its reader open" if gone else "what it held is kept: free some space or choose another place"
            cause = None if gone and not self._is_stdout() else error  # the standard output's reader alone may go without a word
            raise OutputError(f"{self.path} cannot be written further ({error.strerror}); {cure}") from cause

    def _is_stdout(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._raw.fileno()), os.fstat(STDOUT))
        except OSError:  # there is none
            return False


class Writer:
    """Calls what writes to ``file``, one after the other: at once, or with ``live`` by a thread of its own.

    An ``OutputError`` of the thread is raised by the next ``do``, or at the end. What could not be written is for the
    job to keep, and for the next one to try again.
    """

    def __init__(self, file: OutputFile, live: bool = False) -> None:
        self._file = file
        self._thread = BackgroundWriter(self._try, most=inf) if live else None
        self._failure: OutputError | None = None  # of the thread, not told yet
        self._told = False

    def do(self, job: Callable[[], object]) -> None:
        """Have ``job`` done. Raises the ``OutputError`` of this one or, live, of an earlier one."""
        if self._thread is None:
            self._try(job)
        else:
            self._thread.take(job)
        self._tell()

    def _try(self, job: Callable[[], object]) -> None:
        try:
            job()
        except OutputError as error:
            self._failure = error

    def _tell(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            self._told = True
            raise failure

    def finish(self, job: Callable[[], object] | None) -> None:
        """Do the last job and close the file, whatever happens. A failure is not told where one was told before."""
        told = self._told
        try:
            try:
                if job is not None:
                    self.do(job)
            finally:
                self._end()
            self._tell()
        except OutputError:
            if not told:
                raise

    def _end(self) -> None:
        """Wait for the thread and close; a file that takes nothing is the thread's until the process ends."""
        if self._thread is not None and not self._thread.close(CLOSE_S):
            raise OutputError(f"{self._file.path} took nothing for {CLOSE_S:g} s; what it holds is kept, the rest is lost")
        self._file.close()


class FileClock:
    """Times of a file: those of the stream, ``offset_s``, and how far a stream is behind the first, in seconds."""

    def __init__(self, offset_s: float = 0.0) -> None:
        self.started = False  # whether anything has come in
        self._offset_s = offset_s
        self._begun_s = 0.0
        self._first_origin_s: float | None = None
        self._flushed_s = 0.0

    def start(self, origin_s: float) -> None:
        self.started = True
        if self._first_origin_s is None:
            self._first_origin_s = origin_s
        self._begun_s = origin_s - self._first_origin_s

    def sounded(self, time_s: float) -> float:
        """The moment of a sound, in the file."""
        return time_s + self._offset_s + self._begun_s

    def existed(self, available_s: float) -> float:
        """The moment at which something existed, in the file."""
        return available_s + self._begun_s

    def take_flush(self, available_s: float) -> bool:
        """Note that a frame came in; whether it is ``FLUSH_EVERY_S`` later than the last of which this was true, so
        that the caller has to flush now."""
        self.started = True
        now_s = self.existed(available_s)
        if now_s - self._flushed_s < FLUSH_EVERY_S:
            return False
        self._flushed_s = now_s
        return True
