"""A MIDI port in a small process of its own, so that no note hangs whatever ends the program: SIGKILL, a crash in a library.

Conventions
-----------
* The child (``python -m rt_melody.realtime.sinks.midi_guardian``) opens the port and passes on what comes through its
  standard input: a byte with the length of a message, then the message; a length of 0 is an end in good order. At any other
  end of its input it ends every note that it passed on and has not seen end, silences their channels, and leaves.
* It answers on its standard output, a JSON line each: ``{"name": ...}`` or ``{"error": ...}`` once the port was opened or not,
  later ``{"lost": ...}``, and ``{"done": ...}`` when all was passed on and nothing sounds any more, as far as the port took it.
  From then on nobody has to wait for it: JACK's server may take seconds to let it go, and it leaves by itself after that.
* It is in a session of its own and heeds no signal but SIGKILL, since what ends us may be sent to a whole group of processes.
* The pipe of a killed program ends after its memory was freed, which took half a second on a busy machine; the kernel says
  before that the program is being ended, and is asked every LOOK_EVERY_S (Linux).
* The thread that sends never waits: a pipe that takes nothing is a port that is lost.
* ``Guarded`` has the methods of a port (see sinks/midi.py).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from rt_melody.realtime import midi_bytes
from rt_melody.realtime.errors import DeviceError, RtMelodyError
from rt_melody.realtime.signals import heed_no_signal
from rt_melody.realtime.sinks.midi_port import WatchedPort

OPEN_S = 20.0  # how long a start may take on a busy machine
END_S = 2.0  # how long it may take to pass on what was sent
LEAVE_S = 0.1  # for so long the end waits for the child after that ...
REOPEN_S = 3.0  # ... and for so long whoever opens a port next in this process, since the old one holds the name
LEAVES_S = 10  # after so long the child ends, whatever it waits for
LOOK_EVERY_S = 0.02  # whether the program is being ended
CHECK_EVERY_S = 0.25  # whether the port is still there
GONE = "the process that holds it has ended"

_leaving: list[subprocess.Popen[bytes]] = []  # that were not waited for


class Guarded:
    """The output that ``open_midi_out(port, back_end)`` opens, held by a guardian. Raises DeviceError where that raises."""

    def __init__(self, port: str | None, back_end: str | None = None) -> None:
        await_leaving()
        command = [sys.executable, "-m", __name__, json.dumps([port, back_end])]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        assert self._child.stdin is not None and self._child.stdout is not None  # both were asked for
        self._pipe, self._answers = self._child.stdin.fileno(), self._child.stdout
        self._lost: str | None = None
        self._done = threading.Event()  # nothing has to be waited for any more
        self.name = self._opened()
        os.set_blocking(self._pipe, False)
        self._reader = threading.Thread(target=self._hear, name="midi-guardian", daemon=True)
        self._reader.start()

    def _opened(self) -> str:
        """The full name of the port, once the child has opened it."""
        ready = select.select([self._answers], [], [], OPEN_S)[0] if sys.platform != "win32" else [self._answers]
        line = self._answers.readline() if ready else b""
        answer = json.loads(line) if line else {"error": "the process that was to hold the MIDI port did not start; try again"}
        if "error" in answer:
            self._child.kill()
            self._child.wait()
            self._answers.close()
            raise DeviceError(answer["error"])
        return answer["name"]

    def _hear(self) -> None:
        """On a thread of its own: what the child says of its port."""
        for line in self._answers:
            answer = json.loads(line)
            self._lost = answer.get("lost", self._lost)
            if "done" in answer:
                self._done.set()
        self._lost = self._lost or GONE
        self._done.set()
        self._answers.close()

    @property
    def lost(self) -> str | None:
        """Why nothing more can be sent; None while it can."""
        return self._lost

    def send_message(self, message: bytes) -> None:
        """Pass on. Raises OSError where the port or its guardian is gone."""
        if self._lost is not None:
            raise OSError(self._lost)
        data = bytes((len(message), *message))
        if os.write(self._pipe, data) != len(data):  # of so few bytes a pipe takes all or none
            raise OSError("its guardian takes nothing")

    def is_there(self) -> bool:
        """Whether the port is still there, as far as its guardian has said."""
        return self._lost is None

    def close_port(self) -> None:
        """End in good order: what was sent is passed on; the port closes now, or without us."""
        with suppress(OSError):
            os.write(self._pipe, b"\0")
        if self._done.wait(END_S):
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(LEAVE_S)

    def delete(self) -> None:
        """Free the child: one that has something to pass on still, or has lost its port, is ended."""
        if not self._done.is_set() or self._lost is not None:
            self._child.kill()
            self._child.wait()
        elif self._child.poll() is None:
            _leaving.append(self._child)
        assert self._child.stdin is not None  # as above
        with suppress(OSError):
            self._child.stdin.close()


def await_leaving() -> None:
    """Wait for guardians that were left to leave by themselves, and end those that do not."""
    until_s = time.monotonic() + REOPEN_S
    while _leaving:
        child = _leaving.pop()
        try:
            child.wait(max(0.0, until_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


# ---- the child ---------------------------------------------------------------------------------


class Sounding:
    """The notes that were passed on and have not ended, by channel."""

    def __init__(self) -> None:
        self._notes: dict[tuple[int, int], None] = {}
        self._channels: set[int] = set()

    def see(self, message: bytes) -> None:
        """Take note of a message that goes out."""
        kind, channel = message[0] & 0xF0, (message[0] & 0x0F) + 1
        self._channels.add(channel)
        if kind == midi_bytes.STATUS["note_on"] and message[2] > 0:
            self._notes[channel, message[1]] = None
        elif kind in (midi_bytes.STATUS["note_off"], midi_bytes.STATUS["note_on"]):
            self._notes.pop((channel, message[1]), None)

    def ending(self) -> list[bytes]:
        """The messages after which nothing sounds any more: each note by its number first, as some synthesisers heed
        nothing else. They count as sent."""
        offs = [midi_bytes.note_off(channel, note) for channel, note in self._notes]
        quiet = [message for channel in sorted(self._channels) for message in midi_bytes.silence(channel)]
        self._notes, self._channels = {}, set()
        return [*offs, *quiet]


class Parent:
    """Our parent process, as the kernel sees it."""

    EXITING = 0x4  # PF_EXITING of include/linux/sched.h, in the flags of proc(5)'s stat

    def __init__(self) -> None:
        self._stat: int | None = None
        with suppress(OSError):  # no /proc here: the end of the pipe alone tells
            self._stat = os.open(f"/proc/{os.getppid()}/stat", os.O_RDONLY)

    def is_ending(self) -> bool:
        """Whether it has begun to be ended, by whatever; False where nobody tells."""
        if self._stat is None:
            return False
        try:
            fields = os.pread(self._stat, 1024, 0).rpartition(b")")[2].split()
        except OSError:  # it is gone
            return True
        return bool(int(fields[6]) & self.EXITING) or fields[0] in (b"Z", b"X")


def await_data(pipe: int, is_ending: Callable[[], bool]) -> bool:
    """Wait for what comes through the pipe, or for its end; False where the program is being ended before that."""
    if sys.platform == "win32":
        return True
    while not select.select([pipe], [], [], LOOK_EVERY_S)[0]:
        if is_ending():
            return False
    return True


def pass_on(port: WatchedPort, pipe: int, sounding: Sounding, is_ending: Callable[[], bool] = lambda: False) -> None:
    """From the pipe to the port, until the pipe ends; then nothing sounds, and not from the moment on that ``is_ending``."""
    waiting = b""
    try:
        if not await_data(pipe, is_ending):
            sounding_no_more(port, sounding)
        while data := os.read(pipe, 4096):
            waiting += data
            while waiting and len(waiting) > waiting[0]:
                length = waiting[0]
                if not length:
                    return
                message, waiting = waiting[1 : length + 1], waiting[length + 1 :]
                sounding.see(message)
                port.send_message(message)
            if not await_data(pipe, is_ending):
                sounding_no_more(port, sounding)
    finally:
        sounding_no_more(port, sounding)


def sounding_no_more(port: WatchedPort, sounding: Sounding) -> None:
    for message in sounding.ending():
        port.send_message(message)


def _say(**answer: str) -> None:
    with suppress(OSError):  # nobody listens any more
        os.write(1, json.dumps(answer).encode() + b"\n")


def _watch(port: WatchedPort) -> None:
    """On a thread of its own: tell when the port has left, or its system has gone."""
    try:
        while port.is_there():
            threading.Event().wait(CHECK_EVERY_S)
        _say(lost="it has left the list of ports")
    except OSError as error:
        _say(lost=str(error))


def main(arguments: list[str]) -> None:
    """Hold the port that ``open_midi_out`` opens for the two values in the one argument, a JSON list."""
    from rt_melody.realtime.sinks.midi_ports import open_midi_out
    from rt_melody.realtime.timing.scheduling import run_first

    heed_no_signal()
    try:
        port = open_midi_out(*json.loads(arguments[0]))
    except RtMelodyError as error:
        _say(error=str(error))
        return
    _say(name=port.name)
    threading.Thread(target=_watch, args=(port,), daemon=True).start()
    run_first()
    try:
        pass_on(port, 0, Sounding(), Parent().is_ending)
    except OSError as error:
        _say(lost=str(error))
    finally:
        _say(done="")
        _leave_within(LEAVES_S)
        port.await_taking(LEAVES_S / 2)
        port.close_port()
        port.delete()


def _leave_within(seconds: int) -> None:
    """A server that never lets us go ends with us; not on Windows."""
    if sys.platform != "win32":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
