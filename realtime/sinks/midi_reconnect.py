"""A MIDI port that comes back: a cable pulled out in the middle of a song does not end the song.

Conventions
-----------
* The thread that sends never waits: what is sent while the port is away is dropped, since a note that comes late is
  worse than none. A thread of its own watches the port, which its system may close without a word to who sends, and
  looks for it while it is away. A synthesiser that is closed and opened again between two looks is not noticed.
* Only the watching thread frees a lost port, and only ``look_every_s`` later: by then whoever was sending has left it.
* ``returns`` counts how often the port came back; whoever sends tells the receiver then what it must know again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from rt_melody.realtime.errors import RtMelodyError
from rt_melody.realtime.sinks.midi_port import WatchedPort, free

WATCH_EVERY_S = 0.25  # for the port's leaving; a synthesiser takes longer to start; a list of 30 ports costs 0.7 ms
LOOK_EVERY_S = 0.5  # for the port, while it is away


class ReconnectingPort:
    """The port that ``open_port`` opens, opened again after each time it was lost. Raises as the first opening does.

    ``tell`` takes a sentence at each loss and at each return, from the thread that sends or the one that watches; it
    must not wait.
    """

    def __init__(
        self, open_port: Callable[[], WatchedPort], tell: Callable[[str], object],
        watch_every_s: float = WATCH_EVERY_S, look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._open_port, self._tell = open_port, tell
        self._watch_every_s, self._look_every_s = watch_every_s, look_every_s
        self._port: WatchedPort | None = open_port()
        self._lost: WatchedPort | None = None  # to be freed
        self.name = self._port.name
        self.returns = 0
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="midi-watch", daemon=True)
        self._watcher.start()

    def send_message(self, message: bytes) -> None:
        if (port := self._port) is None:
            return
        try:
            port.send_message(message)
        except Exception as error:  # whatever the driver raises, the port is gone
            self._lose(port, str(error))

    def _lose(self, port: WatchedPort, why: str) -> None:
        if self._port is port:
            self._lost, self._port = port, None
            self._tell(f"the MIDI output is lost ({why}); singing goes on, and notes too once {self.name} is back")

    def _watch(self) -> None:
        while not self._closing.wait(self._watch_every_s):
            if (port := self._port) is not None:
                self._check(port)
            if self._port is None:
                self._look()

    def _check(self, port: WatchedPort) -> None:
        try:
            if not port.is_there():
                self._lose(port, getattr(port, "lost", None) or "it has left the list of ports")
        except Exception as error:  # as in send_message
            self._lose(port, str(error))

    def _look(self) -> None:
        self._closing.wait(self._look_every_s)  # the loss is on the screen by then: freeing and opening silence stderr
        if self._lost is not None:
            free(self._lost)
        while not self._closing.is_set():
            try:
                port = self._open_port()
            except RtMelodyError:
                self._closing.wait(self._look_every_s)
                continue
            self._port = port
            self.returns += 1  # after the port, so that what it causes to be sent finds it
            self._tell(f"the MIDI output {port.name} is back")
            return

    def close_port(self) -> None:
        """Close for good."""
        self._closing.set()
        self._watcher.join()
        if self._port is not None:
            self._port.close_port()

    def delete(self) -> None:
        if self._port is not None:
            self._port.delete()
