"""The demo song: known notes, known f0, and the same samples at any pace."""

from __future__ import annotations

import numpy as np
import pytest

from rt_melody.realtime.errors import InputError
from rt_melody.realtime.sources.demo import DEMO_RATE_HZ, DemoSource, demo_phrase
from rt_melody.realtime.types import hz_to_midi


def read_all(source: DemoSource) -> np.ndarray:
    blocks = []
    while (block := source.read(10.0)) is not None:
        blocks.append(block.copy())
    return np.concatenate(blocks)


@pytest.fixture(scope="module")
def phrase():
    return demo_phrase()


def test_it_is_frere_jacques_in_g(phrase):
    assert [note.pitch for note in phrase.notes] == [55, 57, 59, 55, 55, 57, 59, 55, 59, 60, 62]
    assert 6.0 <= len(phrase.samples) / DEMO_RATE_HZ <= 8.0


def test_the_f0_in_the_middle_of_each_note_is_the_note(phrase):
    for note in phrase.notes:
        middle = slice(*(round((note.start_s + part * note.duration_s) * DEMO_RATE_HZ) for part in (0.35, 0.75)))
        assert np.all(phrase.voiced[middle])
        assert np.mean([hz_to_midi(f0) for f0 in phrase.f0_hz[middle][::100]]) == pytest.approx(note.pitch, abs=0.2)


def test_every_pace_and_every_run_gives_the_same_samples(phrase):
    clock = iter(range(10**6))  # every look at the clock is a second later: always due
    slow = DemoSource(realtime=True, clock=lambda: float(next(clock)), sleep=lambda seconds: None)
    fast = DemoSource(realtime=False)
    for source in (slow, fast, fast):
        with source:
            np.testing.assert_array_equal(read_all(source), phrase.samples)
            assert source.position_samples == len(phrase.samples)
    assert fast.read() is None


def test_opened_anew_it_begins_anew_and_else_goes_on(phrase):
    source = DemoSource(realtime=False)
    source.open()
    first = source.read().copy()
    source.read()
    assert source.position_samples == 2 * len(first)
    source.open()
    np.testing.assert_array_equal(source.read(), first)


def test_a_reader_that_scribbles_on_a_block_spoils_no_later_run(phrase):
    source = DemoSource(realtime=False)
    with source:
        source.read()[:] = 9.0
    with source:
        np.testing.assert_array_equal(read_all(source), phrase.samples)


def test_a_rate_that_no_audio_has_is_refused():
    with pytest.raises(InputError, match="48000 serves"):
        DemoSource(sample_rate=3)


def test_the_demo_has_one_channel():
    DemoSource(channel=1)
    with pytest.raises(InputError, match="the demo has one channel, and --channel 2 is none of them"):
        DemoSource(channel=2)
