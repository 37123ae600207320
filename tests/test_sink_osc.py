"""OSC messages as a receiver on the loopback gets them, read back by python-osc's parser."""

from __future__ import annotations

import socket
import sys

import numpy as np
import pytest
from pythonosc.osc_bundle import OscBundle
from pythonosc.osc_message import OscMessage

from rt_melody.realtime.errors import OutputError, SettingsError
from rt_melody.realtime.sinks.osc import WELL_AFTER_S, OscSink, WallClock, parse_osc_address
from rt_melody.realtime.types import KeyHeard, Loudness, NoteOff, NoteOn, PitchBend, PitchFrame

EPOCH = 1_700_000_000.25  # the wall clock where ours shows 0
ORIGIN = 20.0  # of the stream, by our clock
FRAME = PitchFrame(3, 0.5, 0.55, 440.0, True, 0.75, 0.9, -20.5)
EVENTS = (
    NoteOn(0.5, 0.55, 69, 90, 69.25),
    PitchBend(0.6, 0.65, 69, -0.5),
    Loudness(0.7, 0.75, 69, -12.5),
    NoteOff(0.8, 0.85, 69),
)


class Receiver:
    def __init__(self, family=socket.AF_INET, host="127.0.0.1"):
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.settimeout(5.0)
        self.host, self.port = self.socket.getsockname()[:2]

    def take(self, count):
        """(address, arguments, seconds after the origin) of each message."""
        bundles = [OscBundle(self.socket.recv(2048)) for _ in range(count)]
        return [(b.content(0).address, b.content(0).params, b.timestamp - EPOCH - ORIGIN) for b in bundles]

    def is_empty(self):
        self.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            self.socket.recv(2048)
        return True


def osc_sink(receiver, clock=lambda: ORIGIN + 1.0, wall_clock=lambda: EPOCH + ORIGIN + 1.0, **options):
    return OscSink(receiver.host, receiver.port, clock=WallClock(clock, wall_clock), **options)


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.socket.close()


def test_every_message_comes_as_the_table_says(receiver):
    with osc_sink(receiver) as sink:
        sink.start(ORIGIN)
        sink.frame(FRAME)
        for event in EVENTS:
            sink.event(event)
    got = receiver.take(5)
    assert [(address, params) for address, params, _ in got] == [
        ("/rt-melody/f0", [440.0, 1, 0.75, -20.5]),
        ("/rt-melody/note/on", [69, 90, 69.25]),
        ("/rt-melody/bend", [-0.5]),
        ("/rt-melody/loudness", [-12.5]),
        ("/rt-melody/note/off", [69]),
    ]
    assert [after_s for *_, after_s in got] == pytest.approx([0.55, 0.55, 0.65, 0.75, 0.85], abs=1e-5)
    assert receiver.is_empty()


def test_a_key_is_told_whether_a_note_sounds_or_not(receiver):
    with osc_sink(receiver) as sink:
        sink.event(KeyHeard(3.0, 3.1, 9, "A minor"))
        sink.event(EVENTS[0])
        sink.event(KeyHeard(4.0, 4.1, 0, "C major"))
    assert [t[:2] for t in receiver.take(4)] == [
        ("/rt-melody/key", [9, "A minor"]),
        ("/rt-melody/note/on", [69, 90, 69.25]),
        ("/rt-melody/key", [0, "C major"]),
        ("/rt-melody/note/off", [69]),
    ]


def test_close_ends_the_note_that_sounds(receiver):
    sink = osc_sink(receiver)
    sink.start(ORIGIN)
    sink.event(EVENTS[0])
    sink.close()
    assert receiver.take(2)[1][:2] == ("/rt-melody/note/off", [69])
    assert sink.send_errors == 0


def test_a_new_start_moves_the_time_tags(receiver):
    with osc_sink(receiver) as sink:
        sink.start(ORIGIN)
        sink.start(ORIGIN + 10)
        sink.frame(FRAME)
    assert receiver.take(1)[0][2] == pytest.approx(10.55, abs=1e-5)


def test_a_loss_moves_the_time_tags_and_ends_nothing(receiver):
    with osc_sink(receiver) as sink:
        sink.start(ORIGIN)
        sink.event(EVENTS[0])
        sink.retime(ORIGIN + 2.0)
        sink.event(EVENTS[1])
        got = receiver.take(2)
    assert [(address, round(after_s, 4)) for address, _, after_s in got] == [("/rt-melody/note/on", 0.55), ("/rt-melody/bend", 2.65)]


def test_what_the_socket_refuses_is_counted_and_not_raised():
    told = []
    with OscSink("127.0.0.1", 0, tell=told.append) as sink:  # no port that can be sent to
        sink.frame(FRAME)
        sink.frame(FRAME)
    assert sink.send_errors == 2
    assert len(told) == 1 and told[0].startswith("OSC cannot be sent to 127.0.0.1, port 0 (") and "Errno" not in told[0]


@pytest.mark.skipif(sys.platform != "linux", reason="the loopback network of other systems has no broadcast address")
def test_a_broadcast_reaches_whoever_listens():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("", 0))
        listener.settimeout(10.0)
        with OscSink("127.255.255.255", listener.getsockname()[1]) as sink:
            sink.frame(FRAME)
        assert b"/rt-melody/f0" in listener.recv(1000)


def test_nobody_listening_is_no_error(receiver):
    receiver.socket.close()
    with osc_sink(receiver) as sink:
        for _ in range(5):
            sink.frame(FRAME)
    assert sink.send_errors == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems hand on no refusal")
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_receiver_that_leaves_and_returns_is_told_each_time_and_misses_nothing(family, host):
    try:
        receiver = Receiver(family, host)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    told, now = [], [ORIGIN]
    with osc_sink(receiver, clock=lambda: now[0], tell=told.append) as sink:
        for _ in range(2):
            receiver.socket.close()
            for _ in range(50):
                sink.frame(FRAME)
            receiver.socket = socket.socket(family, socket.SOCK_DGRAM)
            receiver.socket.bind((host, receiver.port))
            receiver.socket.settimeout(5.0)
            sink.event(EVENTS[0])
            assert receiver.take(1)[0][0] == "/rt-melody/note/on", "the first message after the return"
            now[0] += WELL_AFTER_S + 0.1
            sink.event(EVENTS[3])
            receiver.take(1)
    assert len(told) == 4 and sink.send_errors == 0, told
    assert all(f"nobody takes OSC at {host}, port" in loss and "sending goes on" in loss for loss in told[::2])
    assert all(said.endswith("is refused no longer") for said in told[1::2])
    receiver.socket.close()


def test_ipv6_reaches_its_receiver():
    try:
        receiver = Receiver(socket.AF_INET6, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with OscSink(*parse_osc_address(f"[::1]:{receiver.port}")) as sink:
        sink.frame(FRAME)
    assert receiver.take(1)[0][0] == "/rt-melody/f0"
    receiver.socket.close()


def test_of_a_name_with_both_kinds_of_address_the_ipv4_one_is_taken(receiver, monkeypatch):
    """As ``localhost`` on most systems, where SuperCollider and Pure Data listen at 127.0.0.1 alone."""
    port = receiver.port
    both = [(family, socket.SOCK_DGRAM, 17, "", (host, port)) for family, host in ((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: both)
    with OscSink("localhost", port) as sink:
        sink.event(EVENTS[0])
    assert receiver.take(1)[0][0] == "/rt-melody/note/on"


def test_a_host_that_cannot_be_resolved_is_named():
    with pytest.raises(OutputError, match="'no-such-host.invalid' cannot be resolved"):
        OscSink("no-such-host.invalid", 9000)
    with pytest.raises(OutputError, match="cannot be resolved"):
        OscSink("a" * 70 + ".example", 9000)  # a label longer than names may be


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("localhost:9000", ("localhost", 9000)),
        ("192.168.1.7:57120", ("192.168.1.7", 57120)),
        ("[::1]:1", ("::1", 1)),
        ("[fe80::1%eth0]:65535", ("fe80::1%eth0", 65535)),
    ],
)
def test_addresses_are_parsed(text, parsed):
    assert parse_osc_address(text) == parsed


@pytest.mark.parametrize(
    "text",
    ["", "localhost", ":9000", "[]:9000", "::1:9000", "host:", "host:0", "host:65536", "host:9e3", "host:-1", "host:²"],
)
def test_what_is_no_address_is_refused_by_name(text):
    with pytest.raises(SettingsError, match="OSC (address|port)"):
        parse_osc_address(text)


# ---- time tags


def tags(receiver, count):
    return [OscBundle(receiver.socket.recv(2048)).timestamp - EPOCH for _ in range(count)]


def test_a_tag_may_be_the_moment_of_sending_or_none(receiver):
    with osc_sink(receiver, timetag="now", offset_s=0.5) as sink:
        sink.frame(FRAME)
        sink.start(ORIGIN)
        sink.frame(FRAME)
    assert tags(receiver, 2) == pytest.approx([ORIGIN + 1.5] * 2, abs=1e-5)
    with osc_sink(receiver, timetag="immediately") as sink:
        sink.start(ORIGIN)
        sink.frame(FRAME)
    assert receiver.socket.recv(2048)[8:16] == bytes(7) + b"\x01", "OSC 1.0: 63 zero bits and a one"


def test_messages_may_be_plain(receiver):
    with osc_sink(receiver, bundles=False) as sink:
        sink.start(ORIGIN)
        sink.frame(FRAME)
    message = OscMessage(receiver.socket.recv(2048))
    assert (message.address, message.params) == ("/rt-melody/f0", [440.0, 1, 0.75, -20.5])


@pytest.mark.parametrize("step_s", [3600.0, -8.0])
def test_tags_follow_a_step_of_the_wall_clock_within_two_seconds_either_way(receiver, step_s):
    now, stepped = [ORIGIN], [0.0]
    with osc_sink(receiver, clock=lambda: now[0], wall_clock=lambda: EPOCH + now[0] + stepped[0]) as sink:
        sink.start(ORIGIN)
        for i in range(40):
            now[0] = ORIGIN + i / 10
            if i == 20:
                stepped[0] = step_s
            sink.frame(PitchFrame(i, i / 10, i / 10, 440.0, True, 0.75, 0.9, -20.5))
    off = [tag - ORIGIN - i / 10 for i, tag in enumerate(tags(receiver, 40))]
    assert off[:20] == pytest.approx([0.0] * 20, abs=1e-5)
    assert off[31:] == pytest.approx([step_s] * 9, abs=1e-4), "a second later at most"
    assert set(np.round(off, 3)) == {0.0, step_s}
