"""A second client of the graph that stands by, so that no note hangs whatever ends the program: SIGKILL, a crash in a library.

Conventions
-----------
* The child (``python -m rt_melody.realtime.jack.guardian``) joins the graph as a client without ports that is not active:
  it is seen by nobody and costs no cycle anything. It looks now and then whom our output is connected to.
* Which notes sound stands in memory that JACK's callback writes and both processes share (``Exchange.notes_fd``).
* Its standard input is a pipe of ours: a byte is an end in good order. At any other end, such as ours in a graph that stands
  still, or once the kernel says that we are being ended, it makes a port, connects that to whoever was played on last, and ends
  what sounds: more than once, since a connection carries nothing at first, and again when the pipe has ended, since jackd plays
  what a dead client wrote last over and over until it has left.
* It is in a session of its own and heeds no signal but SIGKILL, since what ends us may be sent to a whole group of processes.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rt_melody.realtime import midi_bytes
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.jack.module import import_jack
from rt_melody.realtime.signals import heed_no_signal
from rt_melody.realtime.sinks.midi_guardian import Parent, Sounding

NOTES = 16 * 128  # a byte for each note of each channel: whether it sounds
LOOK_EVERY_S = 0.1  # at the connections
WAKE_EVERY_S = 0.02  # to see whether the program is being ended
END_S = 1.0  # how long an end in good order may take
SEND_AT_S = (0.0, 0.01, 0.05, 0.2)  # after the connections were asked for, and after the end of the pipe
GONE_S = 5.0  # how long it is waited for
REFUSED = 3  # the exit status of one that could not join


class JackGuardian:
    """Stands by for the port called ``port``. Raises OSError where no process can be started."""

    def __init__(self, port: str, notes_fd: int, server: str | None) -> None:
        command = [sys.executable, "-m", __name__, json.dumps([port, notes_fd, server])]
        self._child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=[notes_fd], start_new_session=True,
        )

    @property
    def has_failed(self) -> bool:
        """Whether nobody stands by, for another reason than that the server has gone."""
        return bool(self._child.poll())

    def take_over(self) -> None:
        """We leave with notes that sound: theirs is to end them, however long that takes."""
        assert self._child.stdin is not None  # a pipe was asked for
        with suppress(OSError):
            self._child.stdin.close()

    def dismiss(self) -> None:
        """All is well: it leaves without a note."""
        assert self._child.stdin is not None  # a pipe was asked for
        with suppress(OSError):
            self._child.stdin.write(b"\0")
            self._child.stdin.close()
        try:
            self._child.wait(END_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


# ---- the child ---------------------------------------------------------------------------------


class StandBy:
    """The client that the child has in the graph; ``jack`` is its module."""

    def __init__(self, jack: Any, port: str, server: str | None) -> None:
        self._jack, self._port = jack, port
        self._client = jack.Client(port.partition(":")[0] + "-guard", no_start_server=True, servername=server)
        self.server_gone = threading.Event()
        self._client.set_shutdown_callback(self._shut_down)
        self._client.set_process_callback(self._cycle)
        self._output: Any = None
        self._waiting: deque[bytes] = deque()

    def _shut_down(self, status: object, reason: str) -> None:
        self.server_gone.set()

    def _cycle(self, frames: int) -> None:
        self._output.clear_buffer()
        with suppress(IndexError, self._jack.JackError):  # none left; no room in this cycle
            while True:
                self._output.write_midi_event(0, self._waiting[0])
                self._waiting.popleft()

    def listeners(self) -> list[str]:
        """Whom the port that is guarded is connected to; nobody once it is gone."""
        with suppress(self._jack.JackError):
            return [port.name for port in self._client.get_all_connections(self._client.get_port_by_name(self._port))]
        return []

    def end(self, messages: list[bytes], listeners: list[str], pipe: int) -> None:
        """Send them to those, now and once ``pipe`` has ended."""
        self._output = self._client.midi_outports.register("out")
        self._client.activate()
        for name in listeners:
            with suppress(self._jack.JackError):  # it left too
                self._client.connect(self._output, name)
        self._send_again_and_again(messages)
        select.select([pipe], [], [], GONE_S)
        self._send_again_and_again(messages)

    def _send_again_and_again(self, messages: list[bytes]) -> None:
        began_s = time.monotonic()
        for at_s in SEND_AT_S:
            time.sleep(max(0.0, began_s + at_s - time.monotonic()))
            self._waiting.extend(messages)

    def close(self) -> None:
        self._client.close()


def await_end(stand_by: StandBy, pipe: int, is_ending: Callable[[], bool] = lambda: False) -> list[str]:
    """Whom to tell that the program died without a word; nobody where it ended well, or with the server."""
    before: list[str] = []
    now: list[str] = []
    look_s = 0.0
    while not stand_by.server_gone.is_set():
        if is_ending() and not select.select([pipe], [], [], 0.0)[0]:
            return sorted({*before, *now})
        if select.select([pipe], [], [], WAKE_EVERY_S)[0]:
            return [] if os.read(pipe, 1) else sorted({*before, *now})
        if time.monotonic() - look_s > LOOK_EVERY_S:
            before, now, look_s = now, stand_by.listeners(), time.monotonic()
    return []


def ending(notes: bytes) -> list[bytes]:
    """The messages after which none of the notes sounds that are marked in ``notes``."""
    sounding = Sounding()
    for place, sounds in enumerate(notes):
        if sounds:
            sounding.see(midi_bytes.note_on(place // 128 + 1, place % 128, 1))
    return sounding.ending()


def main(arguments: list[str]) -> int:
    """Stand by for the port, with the notes' file and the server, of the one argument, a JSON list; the exit status."""
    from rt_melody.realtime.timing.scheduling import run_first

    heed_no_signal()
    port, notes_fd, server = json.loads(arguments[0])
    try:
        jack = import_jack()
        stand_by = StandBy(jack, port, server)
    except DeviceError:
        return REFUSED
    except Exception as error:  # JackOpenError, of a module that is loaded only now
        return REFUSED if type(error).__name__.startswith("Jack") else 1
    run_first()
    if listeners := await_end(stand_by, 0, Parent().is_ending):
        with mmap.mmap(notes_fd, NOTES, access=mmap.ACCESS_READ) as notes:
            messages = ending(notes[:])
        if messages:
            stand_by.end(messages, listeners, 0)
    if not stand_by.server_gone.is_set():
        stand_by.close()
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    os._exit(status)  # JACK's threads are not waited for
