"""The JACK client's source and MIDI port without a server: cycles run by hand, a client that only holds the memory."""

from __future__ import annotations

import time

import numpy as np
import pytest
from fake_jack import FakeServer, attach

from rt_melody.realtime.errors import OutputError
from rt_melody.realtime.instrument import Instrument
from rt_melody.realtime.jack import process
from rt_melody.realtime.jack.client import STANDING_US, fitting
from rt_melody.realtime.jack.port import JackPort
from rt_melody.realtime.jack.process import Exchange
from rt_melody.realtime.jack.source import START_S, JackSource
from rt_melody.realtime.sinks.midi import MidiSink
from rt_melody.realtime.sources.backed import TAIL_S, Backing
from rt_melody.realtime.sources.base import DeviceLost, RateChanged
from rt_melody.realtime.sources.player import BREATH_S
from rt_melody.realtime.sources.wakeup import WakeupPipe
from rt_melody.realtime.types import PitchFrame

ON, OFF = bytes([0x90, 60, 100]), bytes([0x80, 60, 0])


class Client:
    """What ``JackClient`` is to its source and its port."""

    name, heard, joined = "melody", "singer", True

    reference, speaker, trip = "player", "speakers", 0

    def __init__(self, server: FakeServer, events: int = 64, reference: bool = False, backing: bool = False) -> None:
        self.server, self.wakeup = server, WakeupPipe()
        self.knows_band, self.plays = reference or backing, "backing" if backing else None
        self.exchange = Exchange(server.rate_hz, 10 * server.rate_hz, events, self.wakeup.notifier_fd, self.knows_band)
        attach(self.exchange, server, reference=reference, backing=backing)
        self.links, self.away, self.lost, self.returns, self.break_at, self.connected, self.released = 0, False, "", 0, None, True, []
        self.sound, self.midi = JackSource(self), JackPort(self)

    @property
    def rate_hz(self):
        return self.exchange[process.RATE]

    def is_heard(self):
        return self.connected

    def time_us(self):
        return self.server.time_us

    @property
    def stands_still(self):
        return self.time_us() - self.exchange[process.CYCLE_US] > STANDING_US

    def release(self, holder):
        self.released.append(holder)

    def round_trip_samples(self):
        return self.trip

    def play(self, cycles: int = 1, value: float = 0.5, period: int = 128):
        for _ in range(cycles):
            self.server.cycle(self.exchange, np.full(period, value, np.float32), np.full(period, -value, np.float32))

    def restart(self, server: FakeServer):
        """As the watching thread does when another server answers."""
        self.break_at, self.server, self.away = self.exchange[process.WRITTEN], server, False
        attach(self.exchange, server)
        self.returns += 1


@pytest.fixture
def client():
    client = Client(FakeServer(frame=4000))
    client.sound.open()
    return client


def drain(source) -> np.ndarray:
    blocks = []
    while len(block := source.read(0.0)):
        blocks.append(block.copy())
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def test_a_message_goes_out_one_period_after_its_time_in_the_stream(client):
    """Stream time 0 is the first sample that was read after the clock was started, not the first that came."""
    client.play(5)
    client.sound.start_clock()
    client.sound.skip_to_newest()
    client.play()
    assert len(client.sound.read(0.0)) == 128
    client.midi.send_at(ON, 100 / 48000)
    client.midi.send_at(OFF, 127 / 48000)
    client.play(2)
    first = 4000 + 5 * 128
    assert client.server.events == [(first + 100 + 128, ON), (first + 127 + 128, OFF)]
    assert client.midi.late == (0, 0.0)


def test_the_period_is_told_in_milliseconds(client):
    client.play(1)
    assert client.midi.latency.ms == pytest.approx(128 / 48.0)


def test_before_anything_was_read_and_without_a_time_a_message_goes_out_at_once(client):
    client.play()
    client.midi.send_at(ON, 5.0)
    client.midi.send_message(OFF)
    client.play()
    assert client.server.events == [(4128, ON), (4128, OFF)]


def test_what_came_too_late_for_its_frame_goes_out_and_is_counted(client):
    client.play(3)
    drain(client.sound)
    client.midi.send_at(ON, 10 / 48000)
    client.play()
    assert client.server.events == [(4000 + 384, ON)]
    assert client.midi.late == (1, pytest.approx((384 - 138) / 48000))


def test_after_a_loss_messages_follow_the_frames_and_the_wall_clock_the_samples(client, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", lambda: 100.0 + client.server.time_us / 1e6)
    client.play()
    client.sound.read(0.0)
    origin = client.sound.origin_s
    client.server.pass_by(4800)
    client.play()
    client.sound.read(0.0)
    assert client.sound.origin_s == pytest.approx(origin + 0.1, abs=1e-6)
    assert (client.sound.lost_samples, client.sound.overflows) == (4800, 1)
    client.midi.send_at(ON, 130 / 48000)
    client.play()
    assert client.server.events == [(4000 + 4800 + 130 + 128, ON)]


def test_while_the_server_is_away_nothing_is_kept_and_the_return_is_counted(client):
    client.play()
    returns = client.midi.returns
    client.away = True
    client.midi.send_message(ON)
    client.restart(FakeServer(frame=9))
    client.play()
    assert client.server.events == [] and client.midi.returns == returns + 1


def test_a_server_that_went_and_came_breaks_the_sound_twice_and_keeps_what_was_heard(client):
    """Before and after are never in one block; the time in between is lost, and the wall clock knows it."""
    old = client.server
    client.play(2, value=0.25)
    client.away = True
    assert (drain(client.sound) == 0.25).all() and client.sound.breaks == 1
    assert client.sound.trouble is None
    new = FakeServer(frame=9)
    new.time_us = old.time_us + 3_000_000
    client.restart(new)
    client.play(2, value=0.75)
    np.testing.assert_array_equal(drain(client.sound), np.full(256, 0.75))
    assert client.sound.breaks == 2
    assert client.sound.lost_samples == 144000 and client.sound.overflows == 0
    assert client.sound.position_samples == 512


def test_what_was_unread_when_the_server_went_comes_first_and_alone(client):
    client.play(2, value=0.25)
    client.away = True
    client.restart(FakeServer())
    client.play(2, value=0.75)
    np.testing.assert_array_equal(client.sound.read(0.0), np.full(256, 0.25))
    assert client.sound.breaks == 0
    np.testing.assert_array_equal(client.sound.read(0.0), np.full(256, 0.75))
    assert client.sound.breaks == 1


def test_a_graph_of_another_rate_is_told_after_the_last_sample_of_the_old_one(client, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", lambda: 100.0 + client.server.time_us / 1e6)
    client.play(375)
    client.server.rate_hz = 96000
    client.play(20)
    assert len(drain_until_rate_changes(client.sound)) == 48000
    client.sound.follow_rate()
    assert client.sound.sample_rate == 96000 and client.sound.position_samples == 96000
    first = client.server.frame
    client.play(2)
    assert len(client.sound.read(0.0)) == 256 and client.sound.read(0.0) is not None
    assert client.sound.origin_s + client.sound.position_samples / 96000 == pytest.approx(
        100.0 + client.server.time_us / 1e6, abs=0.006
    )
    client.midi.send_at(ON, 1.0 + 200 / 96000)
    client.play(2)
    assert client.server.events == [(first + 200 + 128, ON)]


def drain_until_rate_changes(source) -> np.ndarray:
    blocks = []
    with pytest.raises(RateChanged, match="the JACK input singer now runs at 96000 Hz instead of 48000"):
        while True:
            blocks.append(source.read(0.0).copy())
    return np.concatenate(blocks)


def test_a_crowd_of_messages_is_dropped_and_told_as_a_return():
    """Nobody takes them: whoever sends is told to say all again once somebody does."""
    client = Client(FakeServer(), events=4)
    for _ in range(6):
        client.midi.send_message(ON)
    assert client.midi.returns == 0
    client.play()
    client.midi.send_message(ON)
    assert client.midi.returns == 1


def test_the_close_ends_what_sounds_and_waits_for_no_graph_that_stands_still(client, monkeypatch):
    client.play()
    client.midi.send_message(ON)
    client.play()
    monkeypatch.setattr(time, "sleep", lambda s: client.play())
    client.midi.close_port()
    client.midi.close_port()
    assert client.server.events[-1][1] == OFF
    client.midi.send_message(ON)
    client.play()
    assert client.server.events[-1][1] == OFF
    client.midi.delete()
    client.sound.close()
    assert client.released == ["midi", "sound"] and client.sound.read(0.0) is None


def test_a_graph_that_stands_still_does_not_hold_up_the_close(client):
    client.play()
    client.midi.send_message(ON)
    began_s = time.monotonic()
    client.midi.close_port()
    assert time.monotonic() - began_s < 5.0


def test_digital_silence_is_told_with_what_is_connected(client):
    client.play()
    drain(client.sound)
    for _ in range(1200):
        client.play(value=0.0)
        drain(client.sound)
    assert client.sound.trouble == "nothing but digital silence comes from singer; is it muted, or its cable out?"
    client.connected = False
    assert client.sound.trouble == "nothing is connected to melody:in, so nothing can be heard; connect a microphone to it"
    client.play(value=1e-6)
    drain(client.sound)
    assert client.sound.trouble is None


def test_a_server_that_stands_still_is_told(client, monkeypatch):
    client.play()
    assert client.sound.trouble is None
    now_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now_s + 1.5)
    assert client.sound.trouble == "the JACK server stands still: no sound comes from it"
    client.play()
    assert client.sound.trouble is None


@pytest.mark.parametrize(
    "wanted, found",
    [
        ("system:capture_1", ["system:capture_1"]), ("SYSTEM", ["system:capture_1", "system:capture_10"]), ("my", ["my system:a"]),
        ("capture_1", ["system:capture_1", "system:capture_10"]), ("none", []),
    ],
)
def test_what_is_equal_beats_what_contains(wanted, found):
    assert fitting(wanted, ["system:capture_1", "my system:a", "system:capture_10"]) == found


def test_what_is_not_waited_for_is_lost_once_all_was_read(client):
    client.play(2)
    client.lost = "singer:out left the JACK graph"
    assert len(client.sound.read(0.0)) == 256
    with pytest.raises(DeviceLost, match="singer:out left the JACK graph; start it again, then run"):
        client.sound.read(0.0)
    assert client.midi.lost == "", "the server is there: the note that sounds is ended"
    client.away, client.lost = True, "the JACK server is gone"
    sink = MidiSink(client.midi)
    with pytest.raises(OutputError, match="the JACK server is gone"):
        sink.frame(PitchFrame(0, 0.0, 0.0, 0.0, False, 0.0, 0.0, -60.0, 0.0))


# ---- the band ----------------------------------------------------------------------------------


def test_what_comes_by_the_port_for_the_band_is_given_beside_each_block():
    client = Client(FakeServer(), reference=True)
    with client.sound as source:
        assert source.brings_reference and source.heard == "singer and, for the band, to player"
        client.play(3)
        block = source.read(0.0)
        np.testing.assert_array_equal(source.reference, -block)
        assert len(block) == 384 and len(source.read(0.0)) == len(source.reference) == 0


def test_without_a_band_nothing_is_told_of_one(client):
    client.play()
    assert len(client.sound.read(0.0)) and client.sound.reference is None and not client.sound.brings_reference


@pytest.mark.parametrize(("rate_hz", "delay_s"), [(48000, 0.0), (48000, 0.25), (24000, 0.0)])
def test_the_stream_begins_with_the_first_sample_that_can_hold_the_song_and_ends_after_it(rate_hz, delay_s):
    client = Client(FakeServer(), backing=True)
    client.trip = 700
    song = (0.1 + 0.5 * np.arange(rate_hz // 2) / rate_hz).astype(np.float32)
    with client.sound as source:
        pass
    client.sound.backing = Backing(song, rate_hz, delay_s=delay_s)
    with client.sound as source:
        client.play(2)
        source.start_clock()
        source.skip_to_newest()
        first, heard, beside = source.position_samples, [], []
        while (block := source.read(0.0)) is not None:
            heard.append(len(block))
            beside.append(source.reference.copy())
            client.play()
        assert first == 256 + round((START_S + delay_s) * 48000) + 700
        assert source.position_samples - first == sum(heard) == pytest.approx(48000 * (0.5 + TAIL_S), abs=128)
    before = np.concatenate(client.server.played[2:])[: first - 256 - 700]
    assert not before.any(), "nothing is played before its time"
    known = np.concatenate(beside)
    late = (np.arange(700, 20000) / 48000).astype(np.float32)
    np.testing.assert_allclose(known[: len(late)], 0.1 + 0.5 * late, atol=2e-3)


class Aloud:
    """What plays aloud, as the source sees it."""

    device, rung = None, 0

    def __init__(self):
        self.instrument = Instrument("flute")

    def ring_out(self):
        self.rung += 1


def test_an_instrument_without_a_song_begins_with_a_breath_and_nothing_is_dropped_for_it():
    client = Client(FakeServer(), backing=True)
    client.sound.instrument = aloud = Aloud()
    with client.sound as source:
        assert source.sounds and source.brings_reference
        source.start_clock()
        source.skip_to_newest()
        client.play(450)
        heard = [len(source.read(0.0)) for _ in range(13)]
        assert source.position_samples == sum(heard) == 450 * 128
        played = np.concatenate(client.server.played)
        begins, ends = round(START_S * 48000), round((START_S + BREATH_S) * 48000)
        assert not played[:begins].any() and played[begins:ends].std() > 0.05 and not played[ends:].any()
        aloud.instrument.now[:] = 1, 1.0, 220.0, 0.9, 0.5
        aloud.instrument.publish()
        client.play(10)
        assert not client.server.played[-1].any(), "it rests until the way is learnt"
        drain(source)
        client.play(100)
        assert np.abs(client.server.played[-1]).max() > 0.01
        block = source.read(0.0)
        np.testing.assert_array_equal(source.reference, np.concatenate(client.server.played[-100:])[: len(block)])
        source.start_clock()
        client.play(75)
        assert np.abs(client.server.played[-1]).max() < 1e-3, "what sounded rings out"
        client.play(375)
        assert np.concatenate(client.server.played[-375:])[:20000].std() > 0.05, "once more, for another run"
        assert not client.server.played[-1].any()
        client.play(200)
        assert np.abs(client.server.played[-1]).max() > 0.01, "what is held sounds once the breath is over"
    assert aloud.rung == 1
    client.play()
    assert not client.server.played[-1].any(), "closed, it is silent"


def test_the_breath_is_played_again_once_a_server_is_back_and_after_another_rate():
    client = Client(FakeServer(), backing=True)
    client.sound.instrument = Aloud()
    with client.sound as source:
        source.start_clock()
        client.play(450)
        drain(source)
        client.away = True
        assert not source.learn_anew(), "nobody would hear it"
        client.restart(FakeServer())
        attach(client.exchange, client.server, backing=True)
        client.play(2)
        assert source.learn_anew()
        breath = heard_of_breath(client, 48000)
        drain(source)
        client.server.rate_hz = 96000
        client.play(2)
        with pytest.raises(RateChanged):
            source.read(0.0)
        source.follow_rate()
        client.play(2)
        assert source.learn_anew()
        after = heard_of_breath(client, 96000)
        assert len(after) == pytest.approx(2 * len(breath), rel=0.02) and breath.std() == pytest.approx(after.std(), rel=0.02)
    client.sound.backing = Backing(np.ones(480, np.float32), 48000)
    with client.sound as source:
        assert not source.learn_anew(), "it is learnt by the song"


def test_what_is_heard_or_played_on_and_comes_back_is_a_break_where_an_instrument_is_taken_out():
    for sounds in (True, False):
        client = Client(FakeServer(), backing=True)
        client.sound.instrument = Aloud() if sounds else None
        with client.sound as source:
            client.play()
            client.links += 1
            assert source.breaks == sounds


def heard_of_breath(client: Client, rate_hz: int) -> np.ndarray:
    """What is played within the second and a half that follows, from its first sound to its last."""
    client.server.played.clear()
    client.play(round(1.5 * rate_hz) // 128)
    played = np.concatenate(client.server.played)
    sounds = np.flatnonzero(np.abs(played) > 1e-3)
    assert sounds[0] == pytest.approx(START_S * rate_hz, abs=0.05 * rate_hz)
    return played[sounds[0] : sounds[-1]]


def test_a_port_by_which_nothing_is_played_tells_of_no_band():
    client = Client(FakeServer(), backing=True)
    with client.sound as source:
        client.play()
        assert len(source.read(0.0)) and source.reference is None and not source.brings_reference


def test_a_client_without_a_port_for_it_leaves_the_instrument_to_others():
    client = Client(FakeServer(), reference=True)
    client.sound.instrument = Aloud()
    with client.sound as source:
        assert not source.sounds and source.brings_reference


def test_a_song_that_loops_never_ends_and_one_that_is_begun_again_begins_at_its_beginning():
    client = Client(FakeServer(), backing=True)
    client.sound.backing = Backing(np.arange(1, 4801, dtype=np.float32), 48000, loops=True)
    with client.sound as source:
        for _ in range(2):
            source.start_clock()
            source.skip_to_newest()
            client.play(150)
            block = source.read(0.0)
            assert source.reference[0] == 1.0 and len(block) == len(source.reference)
            client.play(200)
            assert source.read(0.0) is not None
    client.play()
    assert not client.server.played[-1].any(), "closed, it is silent"


def test_what_comes_while_the_stream_waits_for_its_beginning_is_no_part_of_it(monkeypatch):
    client = Client(FakeServer(), backing=True)
    client.sound.backing = Backing(np.arange(1, 4801, dtype=np.float32), 48000)
    skip = client.exchange.skip

    def skip_and_hear(*most):
        skipped = skip(*most)
        client.play()
        return skipped

    monkeypatch.setattr(client.exchange, "skip", skip_and_hear)
    with client.sound as source:
        source.start_clock()
        while not len(source.read(0.0)):
            pass
        assert source.reference[0] == 1.0
