"""How a thread that must not wait, such as an audio callback, wakes one that does."""

from __future__ import annotations

import selectors
import socket
from contextlib import suppress


class WakeupPipe:
    """One thread notifies, another waits. ``notify`` never waits, and one that comes before ``wait`` is not missed."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        with suppress(OSError):  # where the pair is TCP, as on Windows, a byte must not wait for the last to be acknowledged
            self._writer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._reader, selectors.EVENT_READ)

    def notify(self) -> None:
        """Wake the waiting thread; from any thread."""
        try:
            self._writer.send(b"\0")
        except OSError:  # full: it is being woken already; closed: nobody waits
            pass

    @property
    def notifier_fd(self) -> int:
        """The socket to which compiled code sends a byte instead of calling ``notify``."""
        return self._writer.fileno()

    def wait(self, timeout_s: float) -> None:
        """Return when notified, or after ``timeout_s``."""
        if self._selector.select(max(timeout_s, 0.0)):
            self._reader.recv(4096)

    def close(self) -> None:
        """Free both ends."""
        self._selector.close()
        self._reader.close()
        self._writer.close()
