"""An audio input that was lost, once it is there again: heard by a process of its own.

Conventions
-----------
* PortAudio takes stock of the devices once a process, and aborts the one that shuts it down after its JACK server has died. So
  a child (``python -m rt_melody.realtime.sources.returning_child``) looks for the input, starts PortAudio anew now and then
  until it is there, opens it and passes on what it hears. A child whose PortAudio fails or aborts is followed by another.
* It says a JSON line, ``{"latency_s": ...}``, once the input is open. Blocks follow: HEADER, then mono float32 samples.
* It leaves when its standard input or the input ends. It heeds no signal, since what ends us may be sent to a whole group.
* ``ReturningInput`` has what ``MicrophoneSource`` asks of PortAudio's streams.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import IO, Any, NamedTuple

import numpy as np

CHILD = "rt_melody.realtime.sources.returning_child"
PATIENCE_S, MOST_PATIENCE_S = 2.0, 16.0  # for PortAudio to open the input: twice as long each time
AGAIN_S = 0.2  # after a child that failed
END_S = 1.0  # how long a child may take to leave
HEADER = struct.Struct("<II")  # how many samples; whether some were lost before
OVERFLOW = SimpleNamespace(input_overflow=True)


class Wanted(NamedTuple):
    """Which input, and how it is opened; see MicrophoneSource."""

    full_name: str
    rate: int
    channel: int | None
    block_samples: int


class ReturningInput:
    """``on_return`` is called when the input is there, before its first block goes to ``callback``, which is PortAudio's of an
    input; ``on_finished`` when it has gone again."""

    active = True

    def __init__(
        self,
        wanted: Wanted,
        callback: Callable[[np.ndarray, int, Any, Any], object],
        on_return: Callable[[], object],
        on_finished: Callable[[], object],
    ) -> None:
        self.latency = 0.0
        self._wanted, self._patience_s = wanted, PATIENCE_S
        self._callback, self._on_return, self._on_finished = callback, on_return, on_finished
        self._closing, self._child = threading.Event(), self._start()
        self._thread = threading.Thread(target=self._run, name="microphone", daemon=True)
        self._thread.start()

    def _start(self) -> subprocess.Popen[bytes]:
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        command = [sys.executable, "-m", CHILD, json.dumps([*self._wanted, self._patience_s])]
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, start_new_session=True)

    def _run(self) -> None:
        while not self._hear():
            if self._closing.wait(AGAIN_S):
                return
            self._patience_s = min(2.0 * self._patience_s, MOST_PATIENCE_S)
            self._child = self._start()
        if not self._closing.is_set():
            self._on_finished()

    def _hear(self) -> bool:
        """Pass on what the child hears; whether the input was there at all."""
        pipe = self._child.stdout
        assert pipe is not None  # it was asked for
        with pipe:
            line = b"" if self._closing.is_set() else pipe.readline()
            if not line:
                end(self._child)
                return False
            self.latency = json.loads(line)["latency_s"]
            self._on_return()
            while (block := _read_block(pipe)) is not None and not self._closing.is_set():
                samples, lost = block
                self._callback(samples[:, None], len(samples), None, OVERFLOW if lost else None)
        end(self._child)
        return True

    def close(self) -> None:
        """Look no longer, hear no more."""
        self._closing.set()
        end(self._child)
        self._thread.join(END_S)


def end(child: subprocess.Popen[bytes]) -> None:
    """It leaves by itself; one that does not is killed."""
    assert child.stdin is not None  # it was asked for
    with suppress(OSError):
        child.stdin.close()
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _read_block(pipe: IO[bytes]) -> tuple[np.ndarray, bool] | None:
    """The next block [shape=(n_samples,)], and whether samples were lost before it; None at the end."""
    header = pipe.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    count, lost = HEADER.unpack(header)
    data = pipe.read(4 * count)
    return (np.frombuffer(data, np.float32), bool(lost)) if len(data) == 4 * count else None
