"""A singer without headphones in a simulated room in which the instrument of ``--listen`` is heard: what is tracked is the singer, as long
as what was played is known; the twin that does not know it hears itself sing on."""

from __future__ import annotations

import numpy as np
import pytest
from fake_audio import FakeAudio

from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.settings import make_settings
from rt_melody.realtime.sinks.aloud import ListenSink
from rt_melody.realtime.sources.demo import demo_phrase
from rt_melody.realtime.sources.player import LEARNT_S, breath
from rt_melody.realtime.sources.sounding import SoundingMicrophone
from rt_melody.realtime.types import NoteOff, PitchFrame

pytestmark = pytest.mark.slow
RATE, BLOCK = 48000, 256
BEGINS_S, SUNG_S, AFTER_S = 1.3, 2.7, 1.2


def room(gain_db: float) -> np.ndarray:
    """25 ms through the devices, then a loudspeaker, walls, and so much louder or softer."""
    rng, count = np.random.default_rng(3), round(0.2 * RATE)
    walls = rng.standard_normal(count) * 10.0 ** (-3.0 * np.linspace(0, 1, count))
    walls[0] = 3.0 * np.abs(walls).max()
    return np.concatenate([np.zeros(round(0.025 * RATE)), walls * 10.0 ** (gain_db / 20.0) / np.sqrt(np.sum(walls**2))])


class Echo:
    """What is played as it is heard, block by block."""

    def __init__(self, response: np.ndarray) -> None:
        self.spectrum, self.tail = np.fft.rfft(response, 1 << 15), np.zeros(1 << 15)
        assert len(response) + BLOCK <= 1 << 15

    def heard(self, played: np.ndarray) -> np.ndarray:
        self.tail += np.fft.irfft(self.spectrum * np.fft.rfft(played, 1 << 15))
        out = self.tail[:BLOCK].copy()
        self.tail = np.concatenate([self.tail[BLOCK:], np.zeros(BLOCK)])
        return out


def sung(gain_db: float, known: bool, timbre: str = "strings", breaks: bool = False, anew: bool = False):
    """Frames and events of three notes that are sung in the room, and the f0 of each sample. ``breaks``: then sound breaks off, and they
    are sung once more; ``anew``: the breath is played before them."""
    phrase = demo_phrase(RATE)
    still, after = np.zeros(round(BEGINS_S * RATE)), np.zeros(round(AFTER_S * RATE))
    parts = (part[: round(SUNG_S * RATE)] for part in (phrase.samples, phrase.f0_hz))
    voice, f0_hz = (np.concatenate([still, part] * (1 + breaks) + [after]) for part in parts)
    audio = FakeAudio([("mic", 0, 1, float(RATE)), ("speaker", 0, 0, float(RATE), 2)])
    sink = ListenSink(timbre, backend=audio, alone=False)
    source = SoundingMicrophone(sink, backend=audio)
    source.open()
    tracker = MelodyTracker.from_settings(make_settings({"light": True}), RATE)
    if known:
        tracker.expect_reference(careful_after_s=LEARNT_S)
    source.start_clock()
    sink.start(0.0)
    echo, frames, events, heard = Echo(room(gain_db)), [], [], np.zeros((BLOCK, 1), np.float32)
    noise = 1e-4 * np.random.default_rng(0).standard_normal(len(voice))
    broken = round((BEGINS_S + SUNG_S) * RATE) // BLOCK * BLOCK

    def give(items) -> None:
        for item in items:
            (frames if isinstance(item, PitchFrame) else events).append(item)
            sink.frame(item) if isinstance(item, PitchFrame) else sink.event(item)

    for at in range(0, len(voice) - BLOCK, BLOCK):
        if breaks and at == broken:  # as the session does
            give([*tracker.flush(), *tracker.skip_to(at / RATE)])
            if anew and source.learn_anew():
                tracker.learn_reference_anew()
        played = audio.stream.turn(heard)[:, 0]  # what is heard in this block comes in with the next
        heard = (voice[at : at + BLOCK] + noise[at : at + BLOCK] + echo.heard(played))[:, None]
        block = source.read(0.0)
        give(tracker.feed(block, source.reference) if known else tracker.feed(block))
    return frames, events, f0_hz


def judged(frames, f0_hz, sung_until_s: float = BEGINS_S + SUNG_S) -> tuple[float, float]:
    """(of the sung frames those at the right pitch, of those after the last the share that is taken for song)."""
    at_s, hz, voiced = (np.array([getattr(frame, name) for frame in frames]) for name in ("time_s", "f0_hz", "voiced"))
    truth = f0_hz[np.minimum((at_s * RATE).astype(int), len(f0_hz) - 1)]
    right = voiced & (np.abs(1200 * np.log2(np.maximum(hz, 1.0) / np.maximum(truth, 1.0))) < 50)
    return float(np.mean(right[truth > 0])), float(np.mean(voiced[at_s > sung_until_s + 0.2]))


def test_a_singer_without_headphones_is_heard_and_her_instrument_is_not():
    frames, events, f0_hz = sung(8.0, known=False)
    _, false_share = judged(frames, f0_hz)
    assert false_share > 0.5 and not isinstance(events[-1], NoteOff), "without the reference the note sustains itself"
    frames, events, f0_hz = sung(8.0, known=True)
    right, false_share = judged(frames, f0_hz)
    assert false_share < 0.05 and isinstance(events[-1], NoteOff) and events[-1].time_s < BEGINS_S + SUNG_S + 0.25
    assert right > 0.85


def test_after_a_break_the_way_is_learnt_anew_by_another_breath():
    until_s = 2 * (BEGINS_S + SUNG_S)
    frames, _, f0_hz = sung(12.0, known=True, breaks=True)
    assert judged(frames, f0_hz, until_s)[1] > 0.1, "without it the note sustains itself"
    frames, events, f0_hz = sung(12.0, known=True, breaks=True, anew=True)
    right, false_share = judged(frames, f0_hz, until_s)
    assert right > 0.85 and false_share < 0.05 and isinstance(events[-1], NoteOff) and events[-1].time_s < until_s + 0.25


def test_a_singer_with_headphones_loses_nothing_by_it():
    frames, _, f0_hz = sung(-200.0, known=False)
    without = judged(frames, f0_hz)
    frames, _, f0_hz = sung(-200.0, known=True)
    assert judged(frames, f0_hz) == pytest.approx(without, abs=0.02)


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
def test_the_breath_holds_every_pitch_and_neither_clicks_nor_clips(rate_hz):
    sound = breath(rate_hz)
    assert np.abs(sound).max() < 0.6 and np.abs(sound[[0, -1]]).max() < 1e-3
    power, hz = np.abs(np.fft.rfft(sound)) ** 2, np.fft.rfftfreq(len(sound), 1 / rate_hz)
    octaves = [power[(hz > low) & (hz < 2 * low)].sum() for low in (100, 200, 400, 800, 1600, 3200)]
    assert max(octaves) < 2 * min(octaves)
