"""Who stands by in the JACK graph: when it acts, and on what. On real servers: tests/rig/test_rig_jack.py."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from fake_jack import FakeServer, attach

from rt_melody.realtime.jack import guardian
from rt_melody.realtime.jack.process import Exchange
from rt_melody.realtime.sources.wakeup import WakeupPipe


class Looking:
    """A ``StandBy`` that sees these listeners, look by look; then ``after`` is called."""

    def __init__(self, looks, after=lambda: None):
        self.looks, self.after, self.server_gone = list(looks), after, threading.Event()

    def listeners(self):
        seen = self.looks.pop(0)
        if not self.looks:
            self.after()
            self.looks.append([])
        return seen


@pytest.fixture
def pipe(monkeypatch):
    monkeypatch.setattr(guardian, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(guardian, "WAKE_EVERY_S", 0.001)
    return os.pipe()


def test_a_death_is_told_to_whoever_listened_last(pipe):
    """What JACK has disconnected already, since the client is gone, is still remembered."""
    reader, writer = pipe
    looking = Looking([["old:in"], ["a:in"], ["a:in", "b:in"], []], after=lambda: os.close(writer))
    assert guardian.await_end(looking, reader) == ["a:in", "b:in"]


def test_a_program_that_is_being_ended_is_not_waited_for(pipe):
    """Its pipe ends long after."""
    ending = threading.Event()
    looking = Looking([["a:in"], ["a:in"]], after=ending.set)
    assert guardian.await_end(looking, pipe[0], ending.is_set) == ["a:in"]


@pytest.mark.parametrize("how", ["a word", "the server"])
def test_an_end_in_good_order_and_one_with_the_server_are_told_nobody(pipe, how):
    reader, writer = pipe
    looking = Looking([["a:in"], ["a:in"]], after=lambda: os.write(writer, b"\0") if how == "a word" else looking.server_gone.set())
    assert guardian.await_end(looking, reader) == []


def test_who_is_left_a_note_is_told_of_no_end_in_good_order():
    standing_by = guardian.JackGuardian.__new__(guardian.JackGuardian)
    standing_by._child = subprocess.Popen([sys.executable, "-c", "import os; print(os.read(0, 1))"], stdin=-1, stdout=-1, text=True)
    standing_by.take_over()
    assert standing_by._child.stdout.read() == "b''\n" and standing_by._child.wait(30) == 0


def test_what_sounds_is_seen_by_another_process_and_ended_by_its_number():
    server, wakeup = FakeServer(), WakeupPipe()
    exchange = Exchange(server.rate_hz, 1000, 16, wakeup.notifier_fd)
    attach(exchange, server)
    assert exchange.notes_fd is not None, "but on Windows"
    server.cycle(exchange, np.zeros(128, np.float32))  # what waits for the first of a client is dropped
    for message in (b"\x90\x3c\x40", b"\x95\x00\x01", b"\x90\x40\x40", b"\x80\x40\x40", b"\x9f\x7f\x01", b"\x9f\x7f\x00"):
        exchange.put(0, message)
    server.cycle(exchange, np.zeros(128, np.float32))
    code = "import mmap, sys; print(mmap.mmap(int(sys.argv[1]), 2048, access=mmap.ACCESS_READ)[:].hex())"
    command = [sys.executable, "-c", code, str(exchange.notes_fd)]
    seen = bytes.fromhex(subprocess.run(command, pass_fds=(exchange.notes_fd,), capture_output=True, text=True, check=True).stdout)
    with mmap.mmap(exchange.notes_fd, guardian.NOTES, access=mmap.ACCESS_READ) as notes:
        assert notes[:] == seen
    assert [m for m in guardian.ending(seen) if m[0] & 0xF0 == 0x80] == [b"\x80\x3c\x40", b"\x85\x00\x40"]
    assert guardian.ending(bytes(guardian.NOTES)) == []


def test_one_that_cannot_join_has_failed():
    """There is no such server."""
    reader, _ = os.pipe()
    alone = guardian.JackGuardian("rt-melody:out", reader, "rig-that-is-not")
    alone._child.wait(30)
    assert alone.has_failed
    alone.dismiss()
