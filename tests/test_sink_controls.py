"""The token bucket: never more than the rate allows, always the newest value, each last value."""

from __future__ import annotations

import numpy as np
import pytest

from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.settings import MidiSettings
from rt_melody.realtime.sinks.controls import BURST_BYTES, ControlStream


def bend(value):
    return bytes([0xE0, value & 0x7F, value >> 7])


def offered(values):
    """A slow stream to which so many bends were offered at once."""
    stream = ControlStream(30)
    for value in range(values):
        stream.offer("bend", bend(value), 0.0)
        stream.due(0.0)
    return stream


def test_what_fits_is_due_at_once_and_a_repetition_never():
    stream = ControlStream()
    stream.offer("bend", bend(1), 0.0)
    assert stream.due(0.0) == [(0.0, bend(1))]
    stream.offer("bend", bend(1), 0.5)
    assert stream.due(0.5) == []


def test_a_newer_value_takes_the_place_of_one_that_waits():
    stream = offered(9)  # 3 bytes need 0.1 s
    assert stream.due(0.099) == [] and stream.due(5.0) == [(pytest.approx(0.1), bend(8))]


def test_a_value_that_came_back_before_it_was_sent_is_not_sent():
    stream = offered(8)
    stream.offer("bend", bend(8), 0.01)
    stream.offer("bend", bend(7), 0.02)  # what was sent last
    assert stream.due(1.0) == []


def test_who_waits_longest_goes_first_so_that_none_starves():
    stream, sent = ControlStream(30), []
    for i in range(400):
        for key in "abc":
            stream.offer(key, bytes([0xB0, ord(key), i % 128]), i * 0.01)
        sent += [message[1] for _, message in stream.due(i * 0.01)]
    assert {chr(key): sent.count(key) // 10 for key in sent} == {"a": 1, "b": 1, "c": 1}


def test_what_goes_with_a_note_never_waits_and_fills_the_cable():
    stream = ControlStream(30)
    sent = [stream.at_once("bend", bend(value), 0.0) for value in range(50)]
    assert sent == [[bend(value)] for value in range(50)]
    stream.offer("level", bytes([0xD0, 1]), 0.0)
    assert stream.due(0.05) == [] and len(stream.due(0.07)) == 1
    assert stream.at_once("bend", bend(49), 1.0) == []  # nothing new


def test_a_value_sent_with_a_note_replaces_the_one_that_waited():
    stream = offered(10)
    stream.at_once("bend", bend(99), 0.0)
    assert stream.due(9.0) == []


@pytest.mark.parametrize("rate", [30, 500, 3125])
def test_over_any_stretch_of_time_the_bound_holds_and_the_last_values_arrive(rate):
    rng = np.random.default_rng(rate)
    stream, sent, last, now_s = ControlStream(rate), [], {}, 0.0
    for _ in range(3000):
        now_s += rng.choice([0.0, 0.001, 0.01, 0.3], p=[0.4, 0.3, 0.28, 0.02])
        key = int(rng.integers(4))
        last[key] = bytes([0xB0, key, int(rng.integers(128))])
        stream.offer(key, last[key], now_s)
        sent += stream.due(now_s)
    sent += stream.due(float("inf"))
    times = np.array([at_s for at_s, _ in sent])
    assert np.all(np.diff(times) >= 0)
    total = np.cumsum([0] + [len(message) for _, message in sent])
    for first in range(len(sent)):  # bytes from message `first` to each later one
        allowed = BURST_BYTES + rate * (times[first:] - times[first])
        assert np.all(total[first + 1 :] - total[first] <= allowed + 1e-6)
    assert {message[1]: message for _, message in sent} == last


def test_a_second_run_equals_the_first_only_after_reset():
    def run(stream):
        sent = []
        for i in range(100):
            stream.offer(i % 3, bytes([0xB0, i % 3, i]), i * 0.01)
            sent += stream.due(i * 0.01)
        return sent

    stream = ControlStream(60)
    first = run(stream)
    assert run(ControlStream(60)) == first
    assert run(stream) != first
    stream.reset()
    assert run(stream) == first


@pytest.mark.parametrize("rate", [0, 29, 3126])
def test_a_rate_that_no_cable_has_is_named(rate):
    with pytest.raises(SettingsError, match=f"bytes_per_s {rate} cannot be used: it must be at (least 30|most 3125)"):
        MidiSettings(bytes_per_s=rate)
