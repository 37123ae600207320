"""A microphone whose stream plays the instrument: what was played lies beside what was heard, and what happens where that cannot be."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from fake_audio import FakeAudio, PortAudioError

from rt_melody.realtime.sources import devices, microphone
from rt_melody.realtime.sources.backed import BackedMicrophone, Backing
from rt_melody.realtime.sources.base import DeviceLost
from rt_melody.realtime.sources.player import BREATH_S
from rt_melody.realtime.sources.sounding import MOVED_SAMPLES, SETTLED_S, SoundingMicrophone

RATE = 8000
MIC, SPEAKER = ("mic", 0, 1, float(RATE)), ("speaker", 0, 0, float(RATE), 2)
OTHER = ("usb speaker", 1, 0, float(RATE), 2)


class Counter:
    """An instrument that plays which sample it is, in ten thousandths."""

    def __init__(self, device=None) -> None:
        self.device, self.count, self.alone, self.rung, self.dry = device, 0, 0, 0, 0

    def fill(self, out, rate_hz, dry=False, rests=False):
        assert rate_hz == RATE
        out[:] = np.arange(self.count, self.count + len(out)) / 10000
        self.count += len(out)
        self.dry += dry

    def ring_out(self):
        self.rung += 1

    def left_alone(self):
        self.alone += 1


def opened(device=None, channel=None, mic=MIC, **audio) -> tuple[SoundingMicrophone, FakeAudio, Counter]:
    fake, counter = FakeAudio([mic, SPEAKER], **audio), Counter(device)
    source = SoundingMicrophone(counter, channel=channel, backend=fake, reconnect=True)
    source.open()
    return source, fake, counter


def drain(source) -> tuple[np.ndarray, np.ndarray]:
    """All that was heard, and what was played beside it."""
    heard, beside = [], []
    while len(block := source.read(0.0)):
        heard.append(block.copy())
        beside.append(source.reference.copy() if source.reference is not None else np.full(len(block), np.nan))
    return np.concatenate(heard or [np.zeros(0)]), np.concatenate(beside or [np.zeros(0)])


@pytest.mark.parametrize("block", [1, 100, 1500])  # the last is more than is mixed at a time
def test_what_is_played_lies_beside_what_is_heard_then(block):
    source, audio, counter = opened()
    assert source.sounds and source.brings_reference and source.output.name == "speaker"
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((3000, 1)).astype(np.float32)
    out = np.concatenate([audio.stream.turn(frames[at : at + block]) for at in range(0, 3000, block)])
    np.testing.assert_array_equal(out[:, 0], np.arange(3000, dtype=np.float32) / np.float32(10000))
    np.testing.assert_array_equal(out[:, 0], out[:, 1])
    heard, beside = drain(source)
    np.testing.assert_array_equal(heard, frames[:, 0])
    np.testing.assert_array_equal(beside, out[:, 0])
    source.close()
    assert counter.rung == 1


@pytest.mark.parametrize(("channel", "weights"), [(None, (0.5, 0.5)), (2, (0.0, 1.0))])
def test_channels_are_mixed_as_without_it(channel, weights):
    source, audio, _ = opened(channel=channel, mic=("mic", 0, 2, float(RATE)))
    frames = np.random.default_rng(0).standard_normal((1500, 2)).astype(np.float32)
    audio.stream.turn(frames)
    heard, beside = drain(source)
    assert heard == pytest.approx(frames @ np.float32(weights), abs=1e-6) and len(beside) == 1500
    source.close()


def test_samples_that_are_skipped_take_what_was_played_along():
    source, audio, _ = opened()
    audio.stream.turn(np.zeros((500, 1), np.float32))
    assert source.skip_to_newest() == 500
    audio.stream.turn(np.zeros((10, 1), np.float32))
    np.testing.assert_allclose(drain(source)[1], np.arange(500, 510) / 10000)
    source.close()


@pytest.mark.parametrize(
    ("device", "audio"),
    [(None, {"together": False}), ("usb", {}), ("tuba", {}), (None, {"output_failure": PortAudioError("busy", -9985)})],
)
def test_where_they_do_not_open_together_the_microphone_is_heard_alone(device, audio):
    fake = FakeAudio([MIC, SPEAKER, OTHER], host_apis=("ALSA", "OSS"), host_defaults=[-1, -1], **audio)
    source = SoundingMicrophone(Counter(device), backend=fake)
    source.open()
    assert not source.sounds and not source.brings_reference and source.reference is None
    fake.stream.play(np.ones((64, 1)))
    heard, beside = drain(source)
    assert heard.tolist() == [1.0] * 64 and np.isnan(beside).all()
    assert source.known_by.alone == 0 == source.known_by.count, "whoever opened it sees to that"
    source.close()


def test_a_microphone_that_is_lost_leaves_the_instrument_alone_and_is_waited_for(monkeypatch):
    class Return:
        active = True

        def __init__(self, wanted, callback, *rest):
            self.callback = callback

        def close(self):
            pass

    monkeypatch.setattr(microphone, "ReturningInput", Return)
    source, audio, counter = opened()
    audio.stream.turn(np.ones((100, 1), np.float32))
    drain(source)
    audio.stream.unplug()
    assert len(source.read(0.0)) == 0 and counter.alone == 1 and not source.sounds
    assert not audio.stream.turn(np.ones((100, 1), np.float32)).any() and len(source.read(0.0)) == 0, "should it go on after all"
    assert source.trouble.startswith("the audio input 'mic, ALSA', or the audio output 'speaker, ALSA' with it, was lost: the system")
    assert not source.learn_anew(), "nothing is taken out any more"
    source._note_return()
    source._stream.callback(np.ones((50, 1), np.float32), 50, None, None)
    heard, beside = drain(source)
    assert heard.tolist() == [1.0] * 50 and np.isnan(beside).all()
    source.close()
    devices.await_closing()


def loses_sound(source, monkeypatch) -> None:
    """From now on, without a word."""
    monkeypatch.setattr(source._meter, "fault", lambda: SimpleNamespace(rate_hz=None, measured_hz=6000.0))


@pytest.mark.parametrize("together", [True, False])
def test_a_stream_that_loses_sound_is_opened_anew_apart(together, monkeypatch):
    source, audio, counter = opened(together=together)
    loses_sound(source, monkeypatch)
    audio.together = True
    source.read(0.0)
    opened_anew = audio.stream.settings
    assert not source.sounds and counter.alone == together and opened_anew["channels"] == 1 and opened_anew["latency"] == "high"
    audio.stream.play(np.ones((64, 1)))
    assert drain(source)[0].tolist() == [1.0] * 64
    source.close()


def test_an_input_that_cannot_be_opened_anew_is_lost_and_its_instrument_plays_on(monkeypatch):
    fake, counter = FakeAudio([MIC, SPEAKER]), Counter()
    source = SoundingMicrophone(counter, backend=fake)
    source.open()
    loses_sound(source, monkeypatch)
    fake.failure = PortAudioError("busy", -9985)
    with pytest.raises(DeviceLost, match=r"the audio input 'mic, ALSA' was lost: it lost sound and could not be opened anew \(.*busy"):
        for _ in range(2):
            source.read(0.0)
    assert counter.alone == 1
    source.close()


def breathes(audio, seconds: float = BREATH_S) -> bool:
    """Whether noise is played from now on."""
    played = audio.stream.turn(np.zeros((round(seconds * RATE), 1), np.float32))[:, 0]
    return float(np.std(np.diff(played))) > 0.01


def test_the_breath_is_played_at_the_start_and_whenever_the_way_is_to_be_learnt_anew():
    source, audio, counter = opened()
    rested: list[bool] = []

    def fill(out, rate_hz, dry=False, rests=False):
        out[:] = 0.0
        rested.append(rests)

    counter.fill = fill
    assert not breathes(audio)
    for begin in (source.start_clock, source.learn_anew):
        begin()
        assert breathes(audio) and rested[-1], "what is sung meanwhile would be learnt for its echo"
        assert not breathes(audio) and not rested[-1]
    source.close()


def test_after_another_rate_the_breath_is_as_long_as_before(monkeypatch):
    source, audio, counter = opened()
    counter.fill = lambda out, rate_hz, dry=False, rests=False: out.fill(0.0)
    monkeypatch.setattr(source._meter, "fault", lambda: SimpleNamespace(rate_hz=2 * RATE, measured_hz=2.0 * RATE))
    source.follow_rate()
    assert source.learn_anew() and breathes(audio) and breathes(audio) and not breathes(audio)
    source.close()


@pytest.mark.parametrize(
    ("moved", "dropped", "breaks"),
    [(0, True, 0), (MOVED_SAMPLES - 2, True, 0), (MOVED_SAMPLES + 2, True, 1), (-MOVED_SAMPLES - 2, True, 1), (500, False, 0)],
)
def test_a_way_that_dropped_samples_moved_is_a_break(moved, dropped, breaks):
    source, audio, _ = opened()
    callback, out = audio.stream.settings["callback"], np.zeros((64, 2), np.float32)

    def hear(seconds: float, way_samples: int, dropped: bool = False) -> None:
        for at in range(0, round(seconds * RATE), 64):
            held_up = at % 320  # of which the least counts
            times = SimpleNamespace(inputBufferAdcTime=7.0, outputBufferDacTime=7.0 + (way_samples + held_up) / RATE)
            status = SimpleNamespace(input_overflow=True, output_underflow=False) if dropped and at < 256 else None
            callback(np.zeros((64, 1), np.float32), out, 64, times, status)

    hear(3.0, 800)
    assert source.breaks == 0
    hear(SETTLED_S / 2, 800 + moved, dropped)
    assert source.breaks == 0
    hear(3.0, 800 + moved)
    assert source.breaks == breaks
    source.close()


def test_how_long_the_input_holds_a_sample_is_told_of_a_stream_for_both_too():
    source, _, _ = opened()
    assert source.input_latency_ms == pytest.approx(4.0)
    source.close()


def test_what_the_output_lacked_is_told_to_the_instrument_once_a_block():
    source, audio, counter = opened()
    audio.stream.turn(np.ones((3000, 1), np.float32), underflow=True)
    audio.stream.turn(np.ones((30, 1), np.float32))
    assert counter.dry == 1
    source.close()


def test_the_callback_makes_no_array():
    import tracemalloc

    source, audio, _ = opened()
    frames, out, callback = np.zeros((256, 1), np.float32), np.zeros((256, 2), np.float32), audio.stream.settings["callback"]
    counter = source.known_by
    counter.fill = lambda mono, rate, dry=False, rests=False: mono.fill(0.1)
    for _ in range(3):
        callback(frames, out, 256, None, None)
    tracemalloc.start()
    try:
        for _ in range(50):
            callback(frames, out, 256, None, None)
            source.skip_to_newest()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(300):
            callback(frames, out, 256, None, None)
            source.skip_to_newest()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 500 and peak - before < 256 * 4 + 2000, "views alone, which are gone again"
    source.close()


# ---- with a song


def test_a_song_whose_stream_no_longer_opens_for_both_ends_with_a_sentence(monkeypatch):
    fake = FakeAudio([MIC, SPEAKER])
    source = BackedMicrophone(Backing(SONG, RATE), backend=fake)
    source.instrument = Counter()
    source.open()
    loses_sound(source, monkeypatch)
    fake.together = False
    with pytest.raises(DeviceLost, match="no longer opens together with the audio output 'speaker, ALSA'; the song is over: end"):
        source.read(0.0)
    source.close()


def test_a_song_with_an_output_of_its_own_is_played_once_after_that_is_opened_anew(monkeypatch):
    fake = FakeAudio([MIC, SPEAKER], together=False)
    source = BackedMicrophone(Backing(SONG, RATE), backend=fake)
    source.open()
    first = fake.speaker
    loses_sound(source, monkeypatch)
    source.read(0.0)
    assert first.closed and not fake.speaker.closed and fake.speaker is not first
    source.close()


SONG = np.arange(1, 801, dtype=np.float32) / 1000  # what exceeds full scale is clipped


@pytest.mark.parametrize("block", [1, 64, 500])
def test_of_a_song_and_the_instrument_the_mix_is_known(block):
    fake = FakeAudio([MIC, SPEAKER])
    source = BackedMicrophone(Backing(SONG, RATE), backend=fake)
    source.instrument = Counter()
    source.open()
    assert source.sounds and source.brings_reference
    fake.stream.turn(np.zeros((block, 1), np.float32))
    source.start_clock()
    source.skip_to_newest()
    out = np.concatenate([fake.stream.turn(np.full((block, 1), at, np.float32)) for at in range(0, 3000, block)])[:, 0]
    song = np.concatenate([SONG, np.zeros(len(out) - 800, np.float32)])
    np.testing.assert_allclose(out, np.minimum(1.0, song + np.arange(block, block + len(out)) / 10000), atol=1e-6)
    heard, beside = drain(source)
    late = len(out) - len(heard)
    assert late == round(source.lead_s * RATE) > 0, "the stream's time is the song's"
    np.testing.assert_array_equal(beside, out[late:])
    source.close()


def test_a_song_whose_output_is_another_than_the_instruments_is_known_by_itself():
    fake = FakeAudio([MIC, SPEAKER, ("usb", 0, 0, float(RATE), 2)])
    source = BackedMicrophone(Backing(SONG, RATE), backend=fake)
    source.instrument = Counter("usb")
    source.open()
    assert not source.sounds and not source.brings_reference and source.one_clock
    fake.stream.turn(np.zeros((10, 1), np.float32))
    assert source.instrument.count == 0
    source.close()


def test_a_chosen_channel_is_heard_again_of_an_input_that_came_back_with_it_alone():
    source, _, _ = opened(channel=2, mic=("mic", 0, 2, float(RATE)))
    came_back = np.ones((50, 1), np.float32)
    np.testing.assert_array_equal(source._as_heard(came_back), came_back[:, 0])
    np.testing.assert_array_equal(source._as_heard(np.stack([came_back[:, 0], 2 * came_back[:, 0]], axis=1)), 2 * came_back[:, 0])
