"""The compiled callback, run cycle by cycle: what goes in comes out, each event at its frame, each loss counted."""

from __future__ import annotations

import numpy as np
import pytest
from fake_jack import FakeServer, attach, exchange
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_melody.realtime.instrument import Instrument
from rt_melody.realtime.jack.process import LATE_EVENTS, MOST_LATE, packed

ON, OFF = bytes([0x90, 60, 100]), bytes([0x80, 60, 0])


def silence(n: int) -> np.ndarray:
    return np.zeros(n, np.float32)


def drain(made) -> np.ndarray:
    out = np.zeros(100_000, np.float32)
    return out[: made.read(out)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([16, 64, 128, 256]), st.integers(0, 300)), min_size=1, max_size=60), st.integers(1, 3))
def test_samples_come_out_as_they_went_in_whatever_is_read_when(cycles, ports):
    """Periods that change, reads of any size between them, several ports averaged, a ring that wraps."""
    server = FakeServer()
    made = exchange(server, ports, ring=512)
    rng = np.random.default_rng(0)
    played, heard, lost = [], [], 0
    for frames, wanted in cycles:
        sound = rng.standard_normal((frames, ports)).astype(np.float32)
        room = 512 - made.available
        server.cycle(made, sound)
        played.append(sound[: min(frames, room)].mean(axis=1))
        lost += max(0, frames - room)
        out = np.zeros(wanted, np.float32)
        heard.append(out[: made.read(out)].copy())
    heard.append(drain(made).copy())
    np.testing.assert_allclose(np.concatenate(heard), np.concatenate(played), atol=1e-6)
    assert made.arrived().lost == lost and made.arrived().written == sum(map(len, played))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([16, 64, 256]), st.integers(0, 300)), min_size=1, max_size=60))
def test_what_comes_by_the_port_for_the_band_lies_beside_the_voice(cycles):
    """Whatever is read when, and whatever is lost of a ring that is full."""
    server = FakeServer()
    made = exchange(server, ring=512, reference=True)
    rng = np.random.default_rng(1)
    for frames, wanted in cycles:
        sound = rng.standard_normal(frames).astype(np.float32)
        server.cycle(made, sound, 2.0 * sound)
        out, beside = np.zeros(wanted, np.float32), np.zeros(wanted, np.float32)
        given = made.read(out, beside)
        np.testing.assert_array_equal(beside[:given], 2.0 * out[:given])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([16, 64, 100]), min_size=1, max_size=40), st.integers(-300, 900), st.booleans())
def test_a_song_is_played_from_its_sample_on_and_lies_beside_what_was_heard_meanwhile(periods, at, loops):
    server, song = FakeServer(), np.arange(1, 301, dtype=np.float32)
    made = exchange(server, backing=True)
    made.have_song(song, loops)
    made.play_song(at)
    for period in periods:
        server.cycle(made, silence(period))
    played, n = np.concatenate(server.played), np.arange(sum(periods)) - at
    inside = (n >= 0) & (loops | (n < len(song)))
    np.testing.assert_array_equal(played, np.where(inside, song[n % len(song)], 0.0))
    out, beside = np.zeros(len(played), np.float32), np.zeros(len(played), np.float32)
    assert made.read(out, beside) == len(played)
    np.testing.assert_array_equal(beside, played)


def test_a_song_that_does_not_play_is_silence_also_while_the_graph_has_another_rate():
    server, song = FakeServer(), np.ones(10_000, np.float32)
    made = exchange(server, backing=True)
    made.have_song(song, True)
    server.cycle(made, silence(64))
    made.play_song(0)
    server.cycle(made, silence(64))
    made.play_song(None)
    server.cycle(made, silence(64))
    made.play_song(0)
    server.rate_hz = 44100
    server.cycle(made, silence(64))
    assert [float(block.mean()) for block in server.played] == [0.0, 1.0, 0.0, 0.0]


def test_a_song_goes_on_where_it_was_after_cycles_that_were_missed_and_at_another_rate():
    server, song = FakeServer(), np.arange(1000, dtype=np.float32)
    made = exchange(server, backing=True)
    made.have_song(song, False)
    made.play_song(60)
    server.cycle(made, silence(120))
    server.pass_by(480)
    server.cycle(made, silence(120))
    assert server.played[1][0] == 60.0
    server.rate_hz = 24000
    server.cycle(made, silence(60))
    made.have_song(song[::2], False)
    made.skip()
    made.follow_rate(24000)
    server.cycle(made, silence(60))
    assert server.played[3][0] == 180.0, "half as many samples of a song of half as many"


@pytest.mark.parametrize("song_level", [0.0, 0.25, 0.99])
def test_an_instrument_sounds_over_the_song_as_it_would_by_itself_and_lies_beside_what_was_heard(song_level):
    server, periods = FakeServer(), [64, 3000, 1, 256]  # one is more than is made at a time
    made, ours, twin = exchange(server, backing=True), Instrument("keys"), Instrument("keys")
    made.have_song(np.full(10_000, song_level, np.float32), False)
    made.play_song(0)
    made.have_instrument(ours)
    wanted = []
    for turn, period in enumerate(periods):
        for one in (ours, twin):
            one.now[:] = turn, 1.0, 220.0 * (turn + 1), 0.9, 0.5
            one.publish()
        server.cycle(made, silence(period))
        alone = np.zeros(period, np.float32)
        twin.fill(alone, server.rate_hz)
        wanted.append(np.clip(alone + np.float32(song_level), -1.0, 1.0))
    played = np.concatenate(server.played)
    np.testing.assert_allclose(played, np.concatenate(wanted), atol=1e-6)
    assert np.std(played) > 0.01 and (played.max() == 1.0) == (song_level > 0.9)
    out, beside = np.zeros(len(played), np.float32), np.zeros(len(played), np.float32)
    assert made.read(out, beside) == len(played)
    np.testing.assert_array_equal(beside, played)
    made.have_instrument(None)
    server.cycle(made, silence(64))
    assert np.all(server.played[-1] == np.float32(song_level))


def test_the_bell_rings_once_a_cycle_and_never_stops_it():
    server = FakeServer()
    made = exchange(server)
    for _ in range(3):
        server.cycle(made, silence(64))
    assert len(made.bell.recv(100)) == 3
    for _ in range(20_000):  # more than the bell holds
        server.cycle(made, silence(1))
    assert made.arrived().written == 3 * 64 + 3904 and made.arrived().lost == 20_000 - 3904


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 4000), min_size=1, max_size=40).map(sorted), st.sampled_from([32, 128, 1000]),
    st.sampled_from([0, 2**32 - 2000, 2**31 - 1500]), st.integers(1, 10),
)
def test_each_event_is_sent_at_its_frame(frames, period, from_frame, room):
    """Also where JACK's count of 32 bits wraps. Where a buffer is full the rest follows later, in order."""
    server = FakeServer(frame=from_frame, room=room)
    made = exchange(server)
    server.cycle(made, silence(period))
    first = made.frame_of(0)
    for i, frame in enumerate(frames):
        assert made.put(first + period + frame, bytes([0xB0, i, 1]))
    for _ in range(4000 // period + 45):
        server.cycle(made, silence(period))
    assert [message[1] for _, message in server.events] == list(range(len(frames)))
    sent = [frame - from_frame - period for frame, _ in server.events]
    full = any(sum(a <= f < a + period for f in frames) > room for a in range(0, 4001, period))
    if not full:
        assert sent == frames and made[LATE_EVENTS] == 0
    assert all(s >= f for s, f in zip(sent, frames)) and sent == sorted(sent)


def test_an_event_that_is_late_goes_at_once_and_is_counted():
    server = FakeServer()
    made = exchange(server)
    server.cycle(made, silence(128))
    server.cycle(made, silence(128))
    made.put(100, ON)
    made.put(300, OFF)
    server.cycle(made, silence(128))
    assert server.events == [(256, ON), (300, OFF)]
    assert (made[LATE_EVENTS], made[MOST_LATE]) == (1, 156)


def test_an_event_of_another_clock_does_not_wait_for_ever():
    server = FakeServer(frame=5)
    made = exchange(server)
    server.cycle(made, silence(128))
    made.put(10**9, ON)
    server.cycle(made, silence(128))
    assert server.events == [(133, ON)]


def test_a_full_ring_of_events_says_so():
    made = exchange(FakeServer(), events=4)
    assert [made.put(0, ON) for _ in range(5)] == [True] * 4 + [False]


@pytest.mark.parametrize("message", [b"", bytes(8)])
def test_a_message_that_does_not_fit_is_refused(message):
    with pytest.raises(ValueError, match="1 to 7 fit"):
        packed(message)


def test_cycles_that_were_missed_are_counted_to_the_sample_and_move_later_frames():
    server = FakeServer(frame=1000)
    made = exchange(server)
    server.cycle(made, silence(128))
    server.pass_by(3 * 128)
    server.cycle(made, silence(128))
    arrived = made.arrived()
    assert (arrived.written, arrived.lost, arrived.gaps) == (256, 384, 1)
    assert [made.frame_of(n) for n in (0, 127, 128, 255)] == [1000, 1127, 1512, 1639]


def test_a_new_client_goes_on_where_the_old_one_ended_in_time():
    """The server was away for a second; its frames begin anew. What waited to be sent is dropped, what was sung is kept."""
    old, new = FakeServer(frame=5_000_000), FakeServer(frame=77)
    made = exchange(old)
    old.cycle(made, np.full(128, 0.5, np.float32))
    made.put(made.frame_of(0) + 5, ON)
    new.time_us = old.time_us + 1_000_000  # the next block ends a period and a second after the last one
    attach(made, new)
    new.cycle(made, silence(128))
    assert made.arrived().lost == 48000 and made.arrived().gaps == 1
    assert made.frame_of(128) == 77 and new.events == []
    np.testing.assert_array_equal(drain(made), np.r_[np.full(128, 0.5), np.zeros(128)])


@pytest.mark.parametrize("periods", [(256, 1024, 64, 512), (64, 64, 32)])
@pytest.mark.parametrize("by", ["the old", "the new"])
def test_a_period_that_changes_is_no_loss(periods, by):
    """PipeWire's clock goes on by the period that ended, jackd's by the one that begins."""
    server = FakeServer(frame=700)
    made = exchange(server)
    for before, period in zip((0, *periods), periods):
        server.frame += 0 if by == "the old" else period - before
        server.cycle(made, silence(period))
    server.cycle(made, silence(periods[-1]))
    assert (made.arrived().lost, made.arrived().gaps, made.arrived().written) == (0, 0, sum(periods) + periods[-1])
    assert made.frame_of(made.arrived().written) == server.frame


def test_a_clock_that_leaps_is_another_clock_and_no_loss_of_its_size():
    """As where PipeWire takes another driver."""
    for leap in (-(10**6), 10**8):
        server = FakeServer(frame=10**9)
        made = exchange(server)
        server.cycle(made, silence(128))
        server.frame += leap
        server.cycle(made, silence(128))
        assert made.arrived().lost == 0 and made.frame_of(128) == 10**9 + 128 + leap


def test_another_rate_stops_the_ring_until_it_is_followed_and_seconds_go_on():
    server = FakeServer(48000)
    made = exchange(server, ring=96000)
    for _ in range(375):  # a second
        server.cycle(made, np.full(128, 1.0, np.float32))
    server.rate_hz = 44100
    for _ in range(10):
        server.cycle(made, np.full(128, 2.0, np.float32))
    assert made.arrived().written == 48000 and made.changed_rate == 44100
    assert (drain(made) == 1.0).all()
    made.follow_rate(44100)
    server.cycle(made, np.full(128, 3.0, np.float32))
    assert made.changed_rate == 0
    arrived = made.arrived()
    assert arrived.written == 44100 + 128
    assert arrived.lost == pytest.approx(1280, abs=12)  # ten periods by the clock, and the last good one was shorter
    np.testing.assert_array_equal(drain(made), np.full(128, 3.0))
    assert made.frame_of(44100) == 48000 + 1280


def test_a_rate_that_changes_back_before_anybody_looked_is_a_hole_and_no_more():
    server = FakeServer(48000)
    made = exchange(server)
    server.cycle(made, silence(128))
    server.rate_hz = 44100
    server.cycle(made, silence(128))
    server.rate_hz = 48000
    server.cycle(made, silence(128))
    assert made.changed_rate == 0 and made.arrived().written == 256
    assert made.arrived().lost == pytest.approx(128 * 48000 / 44100, abs=2)


def test_at_the_close_what_sounds_is_ended_once_all_is_sent():
    server = FakeServer()
    made = exchange(server)
    server.cycle(made, silence(128))
    for message in (ON, bytes([0x95, 7, 1]), bytes([0x95, 8, 1]), bytes([0x95, 8, 0]), bytes([0xE0, 60, 100])):
        made.put(0, message)
    made.put(300, bytes([0x90, 61, 1]))
    made.end_notes()
    server.cycle(made, silence(128))
    assert not made.notes_ended and len(server.events) == 5
    server.cycle(made, silence(128))
    assert made.notes_ended
    offs = {message for _, message in server.events[6:]}
    assert offs == {OFF, bytes([0x80, 61, 0]), bytes([0x85, 7, 0])}


def test_the_last_sound_that_is_no_digital_silence_is_known():
    server = FakeServer()
    made = exchange(server)
    server.cycle(made, silence(128))
    assert made.last_sound == 0
    sound = silence(128)
    sound[77] = -1e-9
    server.cycle(made, sound)
    server.cycle(made, silence(128))
    assert made.last_sound == 128 + 78


def test_without_a_midi_port_nothing_is_sent():
    server = FakeServer()
    made = exchange(server, midi=False)
    made.put(0, ON)
    server.cycle(made, silence(64))
    assert server.events == [(0, b"left from the cycle before")] and made.arrived().written == 64
