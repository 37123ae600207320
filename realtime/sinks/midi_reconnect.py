"""A MIDI port that comes back: a cable pulled out in the middle of a song does not end the song.

Conventions
-----------
* The thread that sends never waits: what is sent while the port is away is dropped, since a note that comes late is
  worse than none. A thread of its own looks for the port, and ends when it has found it.
* ``returns`` counts how often the port came back; whoever sends tells the receiver then what it must know again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from rt_melody.realtime.sinks.midi import MidiPort, free
from rt_melody.realtime.types import InputError

LOOK_EVERY_S = 1.0


class NamedPort(MidiPort, Protocol):
    name: str


class ReconnectingPort:
    """The port that ``open_port`` opens, opened again after each time it was lost. Raises as the first opening does.

    ``tell`` takes a sentence at each loss, from the thread that sends, and at each return; it must not wait.
    """

    def __init__(
        self, open_port: Callable[[], NamedPort], tell: Callable[[str], object], look_every_s: float = LOOK_EVERY_S
    ) -> None:
        self._open_port, self._tell, self._look_every_s = open_port, tell, look_every_s
        self._port: NamedPort | None = open_port()
        self.name = self._port.name
        self.returns = 0
        self._closing = threading.Event()
        self._looker: threading.Thread | None = None

    def send_message(self, message: bytes) -> None:
        if (port := self._port) is None:
            return
        try:
            port.send_message(message)
        except Exception as error:  # whatever the driver raises, the port is gone
            self._port = None
            self._tell(f"the MIDI output is lost ({error}); singing goes on, and notes too once {self.name} is back")
            self._looker = threading.Thread(target=self._look, args=(port,), name="midi-reconnect", daemon=True)
            self._looker.start()

    def _look(self, lost: NamedPort) -> None:
        self._closing.wait(self._look_every_s)  # the loss is on the screen by then: freeing and opening silence stderr
        free(lost)
        while not self._closing.is_set():
            try:
                port = self._open_port()
            except InputError:
                self._closing.wait(self._look_every_s)
                continue
            self._port = port
            self.returns += 1  # after the port, so that what it causes to be sent finds it
            self._tell(f"the MIDI output {port.name} is back")
            return

    def close_port(self) -> None:
        """Close for good."""
        self._closing.set()
        if self._looker is not None:
            self._looker.join()
        if self._port is not None:
            self._port.close_port()

    def delete(self) -> None:
        if self._port is not None:
            self._port.delete()
