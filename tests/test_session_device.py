"""A session whose device breaks off, changes its rate, or is in trouble: told, followed, and nothing hangs."""

from __future__ import annotations

import numpy as np
import pytest
from fake_session import HOP, RATE, FakeEngine, FakeSource, Recorder, assert_no_note_left_on, blocks, played, tracker

from rt_melody.realtime.session import run
from rt_melody.realtime.sources.base import RateChanged
from rt_melody.realtime.types import NoteOff, NoteOn, PitchFrame


class Device(FakeSource):
    """Between blocks stand words: "break", a new rate in Hz, or ("trouble", text)."""

    live, breaks, trouble, lost_samples, origin_s = True, 0, None, 0, 5000.0

    def read(self, timeout_s: float = 0.1):
        while self.left and not isinstance(self.left[0], np.ndarray):
            word = self.left.pop(0)
            if word == "break":
                self.breaks += 1
                self.lost_samples += RATE
                self.origin_s += 1.0
            elif isinstance(word, int):
                self.new_rate = word
                raise RateChanged("the device", self.sample_rate, word)
            else:
                self.trouble = word[1]
        return super().read(timeout_s)

    def follow_rate(self) -> None:
        self.position_samples = round(self.position_samples * self.new_rate / self.sample_rate)
        self.sample_rate = self.new_rate


def test_a_break_ends_the_note_keeps_what_was_held_back_and_time_goes_on():
    sink, engine = Recorder(), FakeEngine()
    played(Device([*blocks(30), "break", *blocks(30)]), sink, engine=engine)
    _, off, again = sink.of((NoteOn, NoteOff))[:3]
    assert isinstance(off, NoteOff) and isinstance(again, NoteOn)
    assert off.available_s < again.available_s and off.time_s <= 0.3 <= again.time_s
    assert_no_note_left_on(sink)
    assert len(sink.of(PitchFrame)) == 60 and engine.resets[-2] == pytest.approx(0.3)
    starts = [what for kind, what in sink.told if kind == "start"]
    assert starts == [5000.0, 5001.0]  # the second that was lost


def test_another_rate_gets_another_tracker_and_is_told():
    sink, told, made = Recorder(), [], []

    def make(rate):
        made.append(rate)
        engine = FakeEngine()
        engine.sample_rate = rate
        return tracker(engine)

    source = Device([*blocks(30), 2 * RATE, *blocks(30, 2 * HOP)])
    run(source, [sink], make, tell=told.append)
    assert made == [RATE, 2 * RATE]
    assert told == ["the device now runs at 2000 Hz instead of 1000; it is heard at that rate from now on"]
    assert_no_note_left_on(sink)
    times = [frame.available_s for frame in sink.of(PitchFrame)]
    assert times == sorted(times) and source.position_samples == 2 * 600


def test_trouble_is_told_once_and_its_end_too():
    told, clock = [], iter(np.arange(0.0, 1000.0, 0.3))
    words = [*blocks(3), ("trouble", "no sound 1"), *blocks(2), ("trouble", "no sound 2"), *blocks(3), ("trouble", None), *blocks(3)]
    played(Device(words), Recorder(), tell=told.append, timer=lambda: next(clock))
    assert told == ["no sound 1", "the source gives sound again"]
