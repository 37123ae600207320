"""Files by what they are rather than by their names: which are the same, who writes to one; opened without waiting.

Conventions
-----------
* ``identity`` tells a regular file from all others: by device and inode where it is there, else by the path that it will
  have. A device, a pipe or a folder has none, since nothing of it can be overwritten.
* Nothing here waits longer than FIFO_WAIT_S.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TextIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from rt_melody.realtime.errors import OutputError

FIFO_WAIT_S = 1.0  # for the reader of a named pipe that is just being started


# ---- which file is which ---------------------------------------------------------------------------


def identity(path: str | Path) -> str | None:
    """What tells a regular file, there already or yet to be made, from all others; None for what is no such file."""
    name = os.path.realpath(path)
    if os.path.isfile(name):
        return _of_status(os.stat(name))
    return None if os.path.exists(name) else name


def stream_identity(stream: TextIO | None) -> str | None:
    """The same of the file that a stream such as ``sys.stdout`` was sent to; None for a terminal, a pipe or no stream."""
    try:
        status = os.fstat(stream.fileno())  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError):  # ValueError: closed, or, as io.UnsupportedOperation, in memory
        return None
    return _of_status(status) if stat.S_ISREG(status.st_mode) else None


def _of_status(status: os.stat_result) -> str:
    return f"{status.st_dev}:{status.st_ino}"  # one file may have several names


def clash(written: Mapping[str, str | Path], read: Mapping[str, str | Path], stdout: TextIO | None = None) -> str | None:
    """One sentence where an output would overwrite what is read, or another output; else None.

    Both map what the user called a file, such as ``--csv out.csv`` or ``the model m.pt``, to its path. ``stdout``: the
    standard output, where lines are written to it as well.
    """
    taken = {name: what for what, path in read.items() if (name := identity(path))}
    if name := stream_identity(stdout):
        taken[name] = "standard output"
    for what, path in written.items():
        name = identity(path)
        if name in taken:
            return f"{what} is also {taken[name]}, and would overwrite it; give the output another name"
        if name is not None:
            taken[name] = what
    return None


# ---- opening what is written -----------------------------------------------------------------------


def open_to_write(path: str | Path, empty: bool = False) -> int:
    """A file descriptor for writing; what is there is kept unless ``empty``.

    A regular file is locked until it is closed, so that a second program is refused (where the system has such locks:
    not on Windows, not on every network disk). A named pipe must have a reader within FIFO_WAIT_S. Raises OutputError.
    """
    flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    try:
        number = _open_at_once(path, flags)
    except (OSError, ValueError) as error:
        raise OutputError(_why_not(path, error)) from error
    if not _lock(number):
        os.close(number)
        raise OutputError(f"{path} is being written by another program; end that one, or give another name")
    if empty:
        with suppress(OSError):  # a pipe or a device has nothing to truncate
            os.ftruncate(number, 0)
    return number


def _open_at_once(path: str | Path, flags: int) -> int:
    if sys.platform == "win32":
        return os.open(path, flags, 0o666)
    until_s = time.monotonic() + FIFO_WAIT_S
    while True:
        try:
            number = os.open(path, flags | os.O_NONBLOCK, 0o666)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > until_s or not _is_fifo(path):
                raise
            time.sleep(0.02)
    os.set_blocking(number, True)
    return number


def _is_fifo(path: str | Path) -> bool:
    return stat.S_ISFIFO(os.stat(path).st_mode)


def _lock(number: int) -> bool:
    """Lock a regular file for this program alone; False where another one has it."""
    if fcntl is None or not stat.S_ISREG(os.fstat(number).st_mode):
        return True
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def _why_not(path: str | Path, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError) and not os.path.isdir(Path(path).parent):
        return f"{path} cannot be written: there is no folder {Path(path).parent}; create it first"
    if os.path.isdir(path):
        return f"{path} cannot be written: it is a folder; give the name of a file"
    if getattr(error, "errno", None) == errno.ENXIO:
        return f"{path} is a named pipe that nobody reads; start its reader first"
    return f"{path} cannot be written ({getattr(error, 'strerror', None) or error}); choose another place"
