"""The one-line display on a stream that claims to be a terminal, and on a real pseudo-terminal."""

from __future__ import annotations

import io
import os
import threading
from types import SimpleNamespace

import pytest

from rt_melody.realtime.sinks.terminal import DRAWS_A_SECOND, TerminalSink
from rt_melody.realtime.types import KeyHeard, NoteOff, NoteOn, PitchFrame, midi_to_hz, note_name


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    s = 0.0

    def __call__(self):
        return self.s


def frame(pitch=69.0, level_db=-30.0):
    f0_hz = 100.0 if pitch is None else midi_to_hz(pitch)
    return PitchFrame(0, 0.0, 0.05, f0_hz, pitch is not None, 0.9, 0.9, level_db)


def drawn(pitch, level_db=-30.0, event=None):
    terminal = Terminal()
    sink = TerminalSink(terminal, clock=Clock())
    sink.status(46.2, 3)
    if event:
        sink.event(event)
    sink.frame(frame(pitch, level_db))
    return terminal.getvalue()


def test_the_line_shows_level_note_cents_f0_latency_and_skips():
    assert drawn(69.12) == (
        "\r[########--------]  -30.0 dB  A4    +12 c    443.1 Hz  latency 46 ms  skips 3"
    )


def test_how_the_band_is_taken_out_stands_at_the_end():
    sink = TerminalSink(Terminal(), clock=Clock())
    assert "band" not in sink.line(frame(69.0))
    sink.band = SimpleNamespace(brief=lambda: "band +4 dB, 16 dB out")
    assert sink.line(frame(69.0)).endswith("skips 0  band +4 dB, 16 dB out")


def test_cents_are_those_from_the_note_that_sounds():
    assert "A4    -80 c" in drawn(68.2, event=NoteOn(0, 0, 69, 90, 69.0))
    assert "Ab4   +20 c" in drawn(68.2, event=NoteOff(0, 0, 69))


def test_cents_are_those_of_the_note_that_is_played():
    """An octave down, and A4 meant at 432 Hz, where 440 are 32 cents sharp."""
    for shift, event, shown in ((-12.0, NoteOn(0, 0, 57, 90, 57.0), "A3     +0 c    440.0 Hz"), (0.3177, None, "A4    +32 c    440.0 Hz")):
        sink = TerminalSink(Terminal(), shift, Clock())
        if event:
            sink.event(event)
        assert shown in sink.line(frame(69.0))


def test_the_key_is_shown_once_it_is_heard():
    sink = TerminalSink(Terminal(), clock=Clock())
    assert sink.line(frame()).endswith("skips 0")
    sink.event(KeyHeard(0.0, 0.0, 2, "D minor"))
    assert sink.line(frame()).endswith("skips 0  in D minor")


@pytest.mark.parametrize(("level_db", "cells"), [(-120.0, 0), (-60.0, 0), (-3.0, 15), (0.0, 16), (6.0, 16)])
def test_the_meter_spans_60_db(level_db, cells):
    assert drawn(None, level_db).count("#") == cells


def test_unvoiced_shows_no_pitch():
    line = drawn(None)
    assert "Hz" not in line and "latency" in line


def test_a_second_of_frames_is_drawn_as_often_as_the_table_says():
    terminal, clock = Terminal(), Clock()
    sink = TerminalSink(terminal, clock=clock)
    for i in range(1000):
        clock.s = i / 1000
        sink.frame(frame())
    assert DRAWS_A_SECOND - 1 <= terminal.getvalue().count("\r") <= DRAWS_A_SECOND


def test_a_shorter_line_covers_the_longer_one_and_clear_takes_it_away():
    terminal, clock = Terminal(), Clock()
    sink = TerminalSink(terminal, clock=clock)
    sink.status(1234.0, 0)
    sink.frame(frame())
    sink.status(1.0, 0)
    clock.s = 1.0
    sink.frame(frame())
    first, second = terminal.getvalue().split("\r")[1:]
    assert len(second) == len(first) and second.endswith("skips 0   ")
    sink.clear()
    blank, rest = terminal.getvalue().split("\r")[3:]
    assert blank == " " * len(second.rstrip()) and rest == ""
    sink.clear()
    sink.close()
    assert terminal.getvalue().count("\r") == 4


def test_a_stream_that_is_no_terminal_gets_nothing():
    stream = io.StringIO()
    with TerminalSink(stream) as sink:
        sink.frame(frame())
    assert stream.getvalue() == ""


def test_a_terminal_that_goes_is_given_up():
    class Gone(Terminal):
        tried = 0

        def write(self, text):
            self.tried += 1
            raise OSError("it has gone")

    terminal, clock = Gone(), Clock()
    sink = TerminalSink(terminal, clock=clock)
    for second in range(3):
        clock.s = float(second)
        sink.frame(frame())
    sink.close()
    assert terminal.tried == 1


def test_a_stopped_terminal_is_not_waited_for():
    pty = pytest.importorskip("pty")
    controller, terminal = pty.openpty()
    clock = Clock()
    with os.fdopen(terminal, "w") as stream:
        sink = TerminalSink(stream, clock=clock)
        sink.frame(frame())
        assert b"A4" in os.read(controller, 1000)
        os.set_blocking(terminal, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(terminal, b"x" * 1000)
        os.set_blocking(terminal, True)
        clock.s = 1.0
        sink.frame(frame())  # would never come back
        sink.close()
    os.close(controller)


def test_a_terminal_that_cannot_be_opened_anew_is_written_by_another_thread(monkeypatch):
    """As on Windows. While that thread waits for the terminal, drawings are missed and nobody else waits."""
    pty = pytest.importorskip("pty")
    monkeypatch.delattr(os, "ttyname")
    controller, terminal = pty.openpty()
    clock, go_on = Clock(), threading.Event()
    with os.fdopen(terminal, "w") as stream:
        write, written = stream.write, []
        stream.write = lambda text: (go_on.wait(10), written.append(text), write(text))
        sink = TerminalSink(stream, clock=clock)
        for second in range(5):
            clock.s = float(second)
            sink.status(0.0, second)
            sink.frame(frame())
        assert written == []
        go_on.set()
        sink.close()
        assert b"skips 0" in os.read(controller, 1000)
    assert written[0].endswith("skips 0") and "skips 4" not in "".join(written)
    os.close(controller)


@pytest.mark.parametrize(("note", "name"), [(60, "C4"), (69, "A4"), (61, "C#4"), (0, "C-1"), (127, "G9")])
def test_note_names(note, name):
    assert note_name(note) == name
