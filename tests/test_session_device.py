"""A session whose device breaks off, changes its rate, or is in trouble: told, followed, and nothing hangs."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from fake_audio import FakeAudio
from fake_session import HOP, RATE, FakeEngine, FakeSource, Recorder, assert_no_note_left_on, blocks, played, tracker

from rt_melody.realtime import session
from rt_melody.realtime.session import Session, run
from rt_melody.realtime.sources import MicrophoneSource, microphone
from rt_melody.realtime.sources.base import RateChanged
from rt_melody.realtime.types import NoteOff, NoteOn, PitchFrame


class Device(FakeSource):
    """Between blocks stand words: "break", a new rate in Hz, or ("trouble", text)."""

    live, breaks, trouble, lost_samples, origin_s = True, 0, None, 0, 5000.0
    breathes = False

    def learn_anew(self) -> bool:
        return self.breathes

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


@pytest.mark.parametrize("word", ["break", 2 * RATE])
def test_the_way_of_what_a_source_plays_is_learnt_anew_after_a_break_and_another_rate(word):
    engines = []

    def make(rate):
        engines.append(FakeEngine())
        engines[-1].sample_rate = rate
        return tracker(engines[-1])

    told, source = [], Device([*blocks(30), word, *blocks(30)])
    source.breathes = True
    run(source, [Recorder()], make, tell=told.append)
    assert engines[-1].learnt_anew == 1
    assert told[-1].startswith("a breath of noise is played") and len(told) == (1 if word == "break" else 2)
    told.clear()
    run(Device([*blocks(30), word, *blocks(30)]), [Recorder()], make, tell=told.append)
    assert engines[-1].learnt_anew == 0
    assert len(told) == (0 if word == "break" else 1)


def test_trouble_is_told_once_and_its_end_too():
    told, clock = [], iter(np.arange(0.0, 1000.0, 0.3))
    words = [*blocks(3), ("trouble", "no sound 1"), *blocks(2), ("trouble", "no sound 2"), *blocks(3), ("trouble", None), *blocks(3)]
    played(Device(words), Recorder(), tell=told.append, timer=lambda: next(clock))
    assert told == ["no sound 1", "the source gives sound again"]


def test_trouble_that_turns_into_another_is_told_again():
    """A microphone that sends zeros, then calls no more, then is lost; its end is told once."""
    told, clock = [], iter(np.arange(0.0, 1000.0, 0.3))
    stages = ["nothing but zeros comes from mic 2", "nothing comes from mic 2 any more", "mic 2 was lost: nothing came for 2.1 s"]
    words = [word for stage in stages for word in (("trouble", stage), *blocks(3))]
    played(Device([*blocks(3), *words, ("trouble", None), *blocks(3)]), Recorder(), tell=told.append, timer=lambda: next(clock))
    assert told == [*stages, "the source gives sound again"]


def test_a_microphone_that_falls_still_and_is_lost_has_both_told(monkeypatch):
    clock = SimpleNamespace(now_s=1000.0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.now_s)
    monkeypatch.setattr(session, "READ_TIMEOUT_S", 0.0)  # by a clock that stands meanwhile
    monkeypatch.setattr(microphone, "ReturningInput", lambda *_: SimpleNamespace(active=True, close=lambda: None))
    audio, told = FakeAudio([("mic", 0, 1, float(RATE))]), []
    source = MicrophoneSource(sample_rate=RATE, backend=audio, reconnect=True)
    monkeypatch.setattr(microphone, "check_sample_rate", lambda rate, *_: rate)

    def stop() -> bool:
        """Asked once a turn, which stands for 50 ms; sound for a second, then nothing."""
        clock.now_s += 0.05
        if clock.now_s < 1001.0:
            audio.stream.play(np.full((50, 1), 0.1))
        return clock.now_s > 1006.0

    with source:
        Session(source, tracker(FakeEngine()), [Recorder()], stop, told.append, timer=lambda: clock.now_s, priority=False).run()
    assert len(told) == 2 and told[0] == "nothing comes from the audio input 'mic, ALSA' any more" and "was lost" in told[1]
