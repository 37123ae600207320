"""A port that goes and comes back under a song: nobody waits, nothing is raised, the receiver learns all anew."""

from __future__ import annotations

import threading

import mido
import pytest

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.settings import MidiSettings
from rt_melody.realtime.sinks.midi import MidiSink
from rt_melody.realtime.sinks.midi_reconnect import ReconnectingPort
from rt_melody.realtime.types import Loudness, NoteOff, NoteOn, PitchBend, PitchFrame


class Socket:
    """A place to plug a cable into; ``open`` is what opens a port there."""

    def __init__(self):
        self.plugged, self.ports, self.looked = True, [], threading.Event()

    def open(self):
        self.looked.set()
        if not self.plugged:
            raise DeviceError("no such port")
        self.ports.append(Cable(self))
        return self.ports[-1]


class Cable:
    name = "synth"

    def __init__(self, socket):
        self.socket, self.sent, self.freed, self.left = socket, [], [], False

    def send_message(self, message):
        if not self.socket.plugged or self is not self.socket.ports[-1]:
            raise OSError("unplugged")
        self.sent.append(bytes(message))

    def is_there(self):
        if isinstance(self.left, Exception):
            raise self.left
        return not self.left

    def close_port(self):
        self.freed.append("close_port")

    def delete(self):
        self.freed.append("delete")


@pytest.fixture
def socket():
    return Socket()


def frame(i, voiced=True):
    return PitchFrame(i, i * 0.01, i * 0.01 + 0.02, 261.6, voiced, 0.9, 0.9, -20.0)


def texts(messages):
    return [str(m.copy(time=0)).removesuffix(" time=0") for m in mido.parse_all(b"".join(messages))]


def wait_for_return(port, returns):
    for _ in range(500):
        if port.returns == returns:
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"the port came back {port.returns} times, not {returns}")


def test_the_first_opening_tells_why_it_failed(socket):
    socket.plugged = False
    with pytest.raises(DeviceError, match="no such port"):
        ReconnectingPort(socket.open, print)


def test_what_is_sent_while_the_port_is_away_is_dropped_and_told_once(socket):
    said = []
    port = ReconnectingPort(socket.open, said.append, watch_every_s=0.01, look_every_s=0.01)
    socket.plugged = False
    for _ in range(100):
        port.send_message(b"\x90\x3c\x40")
    assert len(said) == 1 and "unplugged" in said[0] and "synth" in said[0]
    socket.plugged = True
    wait_for_return(port, 1)
    port.send_message(b"\x80\x3c\x40")
    assert socket.ports[-1].sent == [b"\x80\x3c\x40"]
    port.close_port()
    port.delete()
    assert said[1:] == ["the MIDI output synth is back"]
    assert [p.freed for p in socket.ports] == [["close_port", "delete"]] * 2


def test_it_comes_back_each_time(socket):
    port = ReconnectingPort(socket.open, lambda text: None, watch_every_s=0.01, look_every_s=0.01)
    for times in (1, 2, 3):
        socket.plugged = False
        port.send_message(b"\xf8")
        socket.plugged = True
        wait_for_return(port, times)
    port.close_port()


@pytest.mark.parametrize("left", [True, OSError("no ports can be listed")])
def test_a_port_that_leaves_without_a_word_is_found_again_although_nobody_sends(socket, left):
    """A synthesiser closed and opened again while the singer rests: under the old connection nothing would sound."""
    said = []
    port = ReconnectingPort(socket.open, said.append, watch_every_s=0.01, look_every_s=0.01)
    socket.ports[-1].left = left
    wait_for_return(port, 1)
    assert socket.ports[0].freed == ["close_port", "delete"] and len(socket.ports) == 2
    port.send_message(b"\xf8")
    assert socket.ports[-1].sent == [b"\xf8"] and socket.ports[0].sent == []
    port.close_port()
    assert [s.split(" (")[0] for s in said] == ["the MIDI output is lost", "the MIDI output synth is back"]


def test_closing_ends_the_search(socket):
    port = ReconnectingPort(socket.open, lambda text: None, watch_every_s=0.01, look_every_s=0.01)
    socket.plugged = False
    port.send_message(b"\xf8")
    port.close_port()
    socket.looked.clear()
    socket.plugged = True
    assert not socket.looked.wait(0.1) and len(socket.ports) == 1


def test_the_note_comes_back_at_its_present_pitch_and_level(socket):
    """In ``bend`` mode it may have gone far from where it began, and no further bend need follow."""
    port = ReconnectingPort(socket.open, lambda text: None, watch_every_s=0.01, look_every_s=0.01)
    sink = MidiSink(port, MidiSettings(bend_range_semitones=12, loudness="cc11"))
    sink.start(0.0)
    for event in (NoteOn(0.0, 0.0, 60, 90, 60.0, -30.0), PitchBend(0.01, 0.01, 60, 4.0), Loudness(0.01, 0.01, 60, -6.0)):
        sink.event(event)
    known = texts(socket.ports[-1].sent)[-2:]
    socket.plugged = False
    sink.frame(frame(2))
    port.send_message(b"\xf8")
    socket.plugged = True
    wait_for_return(port, 1)
    sink.frame(frame(3))
    heard = texts(socket.ports[-1].sent)
    assert heard[-3:] == [*known, "note_on channel=0 note=60 velocity=90"]
    assert "pitchwheel channel=0 pitch=2731" in known  # 4 of 12 semitones
    sink.close()


def test_a_synthesiser_that_came_back_learns_the_bend_range_and_the_note_that_sounds(socket):
    port = ReconnectingPort(socket.open, lambda text: None, watch_every_s=0.01, look_every_s=0.01)
    sink = MidiSink(port, MidiSettings(bend_range_semitones=12))
    sink.start(0.0)
    sink.event(NoteOn(0.0, 0.0, 60, 90, 60.5))
    socket.plugged = False
    sink.frame(frame(1))
    sink.event(NoteOff(0.02, 0.02, 60))
    sink.event(NoteOn(0.02, 0.02, 64, 80, 64.0))  # while nobody listens
    socket.plugged = True
    wait_for_return(port, 1)
    sink.frame(frame(3))
    heard = texts(socket.ports[-1].sent)
    assert "control_change channel=0 control=6 value=12" in heard
    assert [text for text in heard if "note_o" in text] == ["note_on channel=0 note=64 velocity=80"]
    assert heard.index("control_change channel=0 control=6 value=12") < heard.index("note_on channel=0 note=64 velocity=80")
    sink.event(NoteOff(0.05, 0.05, 64))
    assert texts(socket.ports[-1].sent)[-1] == "note_off channel=0 note=64 velocity=64"  # the bend is at its centre
    sink.close()
