"""The microphone with a stand-in for PortAudio: what the callback leaves is what the reader gets."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from fake_audio import FakeAudio, FakeStream, PortAudioError

from rt_melody.realtime.errors import DeviceError, InputError
from rt_melody.realtime.sources import ReferencedMicrophone, devices, microphone, referenced
from rt_melody.realtime.sources.base import RateChanged
from rt_melody.realtime.sources.input_levels import OtherLevels, levels_sentence, measure_levels
from rt_melody.realtime.sources.microphone import DeviceLost, MicrophoneSource


def opened(channels: int = 1, rate: float = 48000.0, **settings) -> tuple[MicrophoneSource, FakeAudio]:
    audio = FakeAudio([("mic", 0, channels, rate)])
    source = MicrophoneSource(backend=audio, **settings)
    source.open()
    return source, audio


def drain(source: MicrophoneSource) -> np.ndarray:
    blocks = []
    while len(block := source.read(0.0)):
        blocks.append(block.copy())
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def test_it_opens_the_device_at_its_own_rate_with_low_latency():
    source, audio = opened(channels=2, rate=44100.0)
    asked = audio.stream.settings
    assert (asked["samplerate"], asked["channels"], asked["dtype"], asked["latency"]) == (44100, 2, "float32", "low")
    assert source.sample_rate == 44100 and source.live
    source.close()


@pytest.mark.parametrize("chunk", [1, 7, 480, 1024, 3000, 20000])
def test_samples_come_out_as_they_went_in_whatever_the_callback_brings(chunk):
    source, audio = opened()
    sound = np.random.default_rng(0).normal(size=20000).astype(np.float32)
    for start in range(0, len(sound), chunk):
        audio.stream.play(sound[start : start + chunk, None])
    assert source.backlog_samples == len(sound)
    np.testing.assert_array_equal(drain(source), sound)
    assert (source.position_samples, source.backlog_samples, source.lost_samples) == (len(sound), 0, 0)
    source.close()


def test_channels_are_averaged_or_one_is_taken():
    frames = np.random.default_rng(1).normal(size=(5000, 8)).astype(np.float32)
    source, audio = opened(channels=8)
    audio.stream.play(frames)
    np.testing.assert_allclose(drain(source), frames.mean(axis=1), atol=1e-6)
    source, audio = opened(channels=8, channel=3)
    assert audio.stream.settings["channels"] == 3
    audio.stream.play(frames[:, :3])
    np.testing.assert_array_equal(drain(source), frames[:, 2])


def test_of_a_device_with_very_many_channels_two_are_opened():
    _, audio = opened(channels=128)
    assert audio.stream.settings["channels"] == 2


def test_a_read_in_vain_gives_an_empty_block_and_a_block_ends_the_wait():
    source, audio = opened()
    assert len(source.read(0.0)) == 0
    callback = threading.Timer(0.05, audio.stream.play, [np.ones((3, 1))])
    callback.start()
    np.testing.assert_array_equal(source.read(60.0), [1, 1, 1])  # long before the minute is over
    callback.join()
    source.close()


def test_a_wakeup_that_nobody_waits_for_does_not_stop_the_callback():
    source, audio = opened()
    for _ in range(20_000):  # more than the bell's pipe holds
        audio.stream.play(np.ones((1, 1)))
    assert source.backlog_samples == 20_000
    source.close()


def test_what_finds_the_ring_full_is_counted(monkeypatch):
    monkeypatch.setattr(microphone, "RING_S", 0.01)
    source, audio = opened()
    audio.stream.play(np.zeros((500, 1)))
    assert source.lost_samples == 20
    assert len(drain(source)) == 480


def test_an_overflow_of_the_device_is_counted_and_does_not_stop_the_stream():
    source, audio = opened()
    audio.stream.play(np.ones((10, 1)))
    audio.stream.play(np.ones((10, 1)), overflow=True)
    assert source.overflows == 1
    assert len(drain(source)) == 20


def test_skipping_to_the_newest_drops_the_backlog_and_moves_the_position():
    source, audio = opened()
    audio.stream.play(np.zeros((1000, 1)))
    assert source.skip_to_newest() == 1000
    audio.stream.play(np.ones((5, 1)))
    np.testing.assert_array_equal(drain(source), np.ones(5))
    assert source.position_samples == 1005


def callbacks(monkeypatch, audio, late_s, overflow_at=None, from_s=1000.0):
    """Blocks of 10 ms, each as late by the clock as ``late_s`` tells; the seconds at which the next is due."""
    for i, late in enumerate(late_s):
        monkeypatch.setattr(time, "perf_counter", lambda: from_s + 0.01 * i + late)
        audio.stream.play(np.zeros((480, 1)), overflow=i == overflow_at)
    return from_s + 0.01 * len(late_s)


@pytest.mark.parametrize("dropped_s", [0.0, 0.3])
def test_the_moment_of_sample_0_moves_by_what_a_device_dropped_and_not_by_how_late_it_was(monkeypatch, dropped_s):
    """A stall of the device makes the next blocks late; what it dropped makes all later ones late."""
    source, audio = opened(rate=48000.0)
    assert source.origin_s is None
    due_s = callbacks(monkeypatch, audio, [0.0, 0.004, 0.7])
    assert source.origin_s == pytest.approx(1000.0 - 0.01)
    stalled = [0.2 + dropped_s, 0.15 + dropped_s, 0.1 + dropped_s] + [dropped_s + 0.001 * (i % 3) for i in range(50)]
    callbacks(monkeypatch, audio, stalled, overflow_at=0, from_s=due_s)
    assert source.origin_s == pytest.approx(1000.0 - 0.01 + dropped_s)


def test_what_was_lost_before_the_clock_started_is_of_no_account(monkeypatch):
    """While a program gets ready, its device drops samples: times told from the first block on would jump at the next loss."""
    source, audio = opened(rate=48000.0)
    due_s = callbacks(monkeypatch, audio, [0.0] + [0.8] * 10, overflow_at=1)
    source.start_clock()
    source.skip_to_newest()
    callbacks(monkeypatch, audio, [0.8] * 100, overflow_at=20, from_s=due_s)
    assert source.origin_s == pytest.approx(1000.8 - 0.01)


def test_what_the_ring_had_no_room_for_moves_the_moment_of_sample_0_at_once(monkeypatch):
    source, audio = opened(rate=48000.0)
    callbacks(monkeypatch, audio, [0.0])
    audio.stream.play(np.zeros((480 * 1100, 1)))
    lost_s = source.lost_samples / 48000.0
    assert lost_s > 0.9 and source.origin_s == pytest.approx(1000.0 - 0.01 + lost_s)


@pytest.mark.parametrize("latency_s, shown_ms", [(0.004, 4.0), (89478.482, None), (0.0, None)])
def test_a_latency_that_cannot_be_is_not_shown(latency_s, shown_ms):
    source = MicrophoneSource(backend=FakeAudio([("mic", 0, 1, 48000.0)], latency_s=latency_s))
    source.open()
    assert source.input_latency_ms == shown_ms
    source.close()
    assert source.input_latency_ms is None


# --- the device goes


def test_a_device_that_stops_is_lost_after_its_last_sample_was_read():
    source, audio = opened()
    audio.stream.play(np.ones((10_000, 1)))
    audio.stream.unplug()
    assert len(source.read(0.0)) + len(source.read(0.0)) + len(source.read(0.0)) == 10_000
    with pytest.raises(DeviceLost, match="'mic, ALSA' was lost: the system stopped it; plug it in"):
        source.read(0.0)
    source.close()
    assert audio.stream.closed


def test_a_stream_that_is_no_longer_active_is_lost():
    source, audio = opened()
    audio.stream.active = False
    with pytest.raises(DeviceLost, match="no longer active"):
        source.read(0.0)


def test_a_device_that_falls_silent_is_lost(monkeypatch):
    source, audio = opened()
    audio.stream.play(np.ones((1, 1)))
    now_s = time.perf_counter()
    monkeypatch.setattr(time, "perf_counter", lambda: now_s)
    assert len(source.read(0.0)) == 1
    with pytest.raises(DeviceLost, match="nothing came from it for 2.[0-4] s"):
        for _ in range(20):
            now_s += microphone.LOOK_EVERY_S / 2
            source.read(0.0)


def test_a_process_that_stood_still_has_not_lost_its_device(monkeypatch):
    """Stopped and continued, we may look before the device's thread has called back."""
    source, audio = opened()
    now_s = time.perf_counter()
    monkeypatch.setattr(time, "perf_counter", lambda: now_s)
    assert len(source.read(0.0)) == 0
    now_s += 10 * microphone.SILENT_DEVICE_S
    assert len(source.read(0.0)) == 0
    audio.stream.play(np.ones((1, 1)))
    assert len(source.read(0.0)) == 1


@pytest.mark.parametrize("dead", [True, False])
def test_closing_a_device_that_hangs_does_not_wait_for_it(monkeypatch, dead):
    """One that has died, and PortAudio over JACK where the program was stopped for a while: then nobody knows of a loss."""
    monkeypatch.setattr(devices, "CLOSE_S", 0.01)
    source, audio = opened()
    release = threading.Event()
    audio.stream.close = lambda: release.wait(60.0)
    if dead:
        audio.stream.unplug()
        with pytest.raises(DeviceLost):
            source.read(0.0)
    source.close()
    assert not release.is_set()
    release.set()
    devices.await_closing()


def test_no_device_is_opened_while_another_closes(monkeypatch):
    monkeypatch.setattr(devices, "CLOSE_S", 0.01)
    source, audio = opened()
    release, opened_at, closed_at = threading.Event(), [], []
    audio.stream.close = lambda: closed_at.append(release.wait(60.0) and time.monotonic())
    source.close()
    opener = threading.Thread(target=lambda: (source.open(), opened_at.append(time.monotonic())))
    opener.start()
    release.set()
    opener.join()
    assert opened_at[0] >= closed_at[0] > 0
    source.close()


def test_a_device_that_never_closes_keeps_nobody_from_opening_one(monkeypatch):
    monkeypatch.setattr(devices, "CLOSE_S", 0.01)
    monkeypatch.setattr(devices, "REOPEN_S", 0.01)
    source, audio = opened()
    release = threading.Event()
    audio.stream.close = lambda: release.wait(60.0)
    source.close()
    source.open()
    assert not release.is_set()
    release.set()
    source.close()


# --- what the device says of itself, and what it does


def at_pace(monkeypatch, source, audio, seconds: float, true_hz: float, value: float = 0.1, from_s: float | None = None) -> float:
    """Blocks of 480 as a device of ``true_hz`` gives them, read at once; when the clock stands at their end."""
    now_s = time.perf_counter() if from_s is None else from_s
    for _ in range(round(seconds * true_hz / 480)):
        now_s += 480 / true_hz
        monkeypatch.setattr(time, "perf_counter", lambda now_s=now_s: now_s)
        audio.stream.play(np.full((480, 1), value))
        source.read(0.0)
        source.read(0.0)
    return now_s


def test_a_device_that_changes_its_rate_is_told_within_two_seconds_and_followed(monkeypatch):
    source, audio = opened(rate=48000.0)
    changed_s = at_pace(monkeypatch, source, audio, 3.0, 48000.0)
    position_s = source.position_samples / 48000
    with pytest.raises(RateChanged, match="'mic, ALSA' now runs at 44100 Hz instead of 48000; run rt-melody again") as told:
        at_pace(monkeypatch, source, audio, 4.0, 44100.0, from_s=changed_s)
    assert (told.value.before_hz, told.value.rate_hz) == (48000, 44100)
    noticed_s = time.perf_counter()
    assert noticed_s - changed_s <= 2.0
    before_s = source.position_samples / 48000
    source.follow_rate()
    assert source.sample_rate == 44100
    assert source.position_samples / 44100 == pytest.approx(before_s, abs=1e-4) and before_s > position_s
    assert source.lost_samples == source.backlog_samples == 0
    end_s = at_pace(monkeypatch, source, audio, 10.0, 44100.0, from_s=noticed_s)
    assert source.measured_rate_hz == pytest.approx(44100, rel=0.001) and source.trouble is None
    assert source.origin_s + source.position_samples / 44100 == pytest.approx(end_s, abs=0.011)
    source.close()


def test_what_the_ring_lost_at_the_old_rate_is_counted_in_samples_of_the_new_one(monkeypatch):
    source, audio = opened(rate=48000.0)
    audio.stream.play(np.ones((480 * 1100, 1)))
    lost_s = source.lost_samples / 48000
    drain(source)
    with pytest.raises(RateChanged):
        at_pace(monkeypatch, source, audio, 4.0, 96000.0)
    source.follow_rate()
    assert lost_s > 0.9 and source.lost_samples / 96000 == pytest.approx(lost_s)


def test_a_loss_that_the_device_reports_is_no_other_rate(monkeypatch):
    """44100 of 48000 samples a second arrive, and each hole is said."""
    source, audio = opened(rate=48000.0)
    now_s = time.perf_counter()
    for _ in range(1000):
        now_s += 441 / 44100
        monkeypatch.setattr(time, "perf_counter", lambda: now_s)
        audio.stream.play(np.ones((441, 1)), overflow=True)
        source.read(0.0)
    assert source.overflows == 1000


def test_a_device_that_loses_sound_without_a_word_is_opened_anew_with_larger_buffers_once(monkeypatch):
    """As PipeWire's plug-in for ALSA does where the graph's period is longer than the buffer."""
    source, audio = opened(rate=48000.0)
    first = audio.stream
    now_s = at_pace(monkeypatch, source, audio, 4.2, 24000.0)
    assert first.closed and not audio.stream.closed and audio.stream is not first
    assert (first.settings["latency"], audio.stream.settings["latency"]) == ("low", "high")
    assert source.breaks == 1
    mended = (
        "the audio input 'mic, ALSA' gives 24000 samples a second where it says 48000, so that sound is lost on the way; "
        "it is opened anew with larger buffers"
    )
    assert source.trouble == mended
    now_s = at_pace(monkeypatch, source, audio, 10.0, 48000.0, from_s=now_s)
    assert source.trouble is None and source.sample_rate == 48000
    at_pace(monkeypatch, source, audio, 14.0, 43200.0, from_s=now_s)
    assert source.breaks == 1 and source.trouble.endswith(
        "gives 43200 samples a second where it says 48000, so that sound is lost on the way; choose another --device, or end other programs"
    )


def test_a_device_that_cannot_be_opened_anew_is_lost(monkeypatch):
    source, audio = opened(rate=48000.0)
    audio.failure = PortAudioError("busy", -9985)
    with pytest.raises(DeviceLost, match="it lost sound and could not be opened anew"):
        at_pace(monkeypatch, source, audio, 6.0, 24000.0)
    source.close()


def test_digital_silence_is_told_after_three_seconds_and_forgotten_with_the_first_sound(monkeypatch):
    source, audio = opened(rate=48000.0)
    now_s = at_pace(monkeypatch, source, audio, 2.9, 48000.0, value=0.0)
    assert source.trouble is None
    now_s = at_pace(monkeypatch, source, audio, 0.2, 48000.0, value=0.0, from_s=now_s)
    assert "nothing but digital silence comes from the audio input 'mic, ALSA'" in source.trouble
    at_pace(monkeypatch, source, audio, 0.01, 48000.0, value=1e-3, from_s=now_s)
    assert source.trouble is None
    source.close()
    assert source.trouble is None


def test_an_input_that_is_hardly_heard_at_its_beginning_is_told_of_with_what_the_others_give(monkeypatch):
    source, audio = opened(rate=48000.0)
    source._others = SimpleNamespace(ask=lambda: asked.append(1), sentence=None)
    asked = []
    now_s = at_pace(monkeypatch, source, audio, 2.9, 48000.0, value=3e-4)
    assert source.trouble is None and not asked
    now_s = at_pace(monkeypatch, source, audio, 0.2, 48000.0, value=-3e-4, from_s=now_s)
    assert source.trouble is None and asked, "what the others give is awaited"
    source._others.sentence = "--device NUMBER chooses another"
    assert source.trouble.startswith("hardly anything comes from the audio input 'mic, ALSA': see whether its cable is in")
    assert source.trouble.endswith("phantom power; --device NUMBER chooses another")
    now_s = at_pace(monkeypatch, source, audio, 0.01, 48000.0, value=-4e-4, from_s=now_s)
    assert source.trouble is None
    at_pace(monkeypatch, source, audio, 3.2, 48000.0, value=1e-6, from_s=now_s)
    assert source.trouble is None, "a pause is no fault of the microphone's"
    source.close()


def test_the_levels_of_the_other_inputs_are_those_that_they_give(monkeypatch):
    audio = FakeAudio([("mic", 0, 1, 48000.0), ("loud", 0, 2, 44100.0), ("taken", 0, 1, 8000.0), ("out", 0, 0, 8000.0)])
    monkeypatch.setattr(FakeStream, "start", lambda stream: stream.play(np.full((100, stream.settings["channels"]), 0.1)))
    busy = audio.InputStream

    def open_stream(**settings):
        if settings["device"] == 2:
            raise PortAudioError("busy", -9985)
        return busy(**settings)

    audio.InputStream = open_stream
    levels = measure_levels(0, audio, 0.0)
    assert levels == [("1 loud, ALSA", -20.0)] and audio.stream.closed
    assert levels_sentence(levels) == "--device NUMBER chooses another, which give now: 1 loud, ALSA (-20 dBFS)"
    assert levels_sentence([]) == "no other input is to be had"


@pytest.mark.slow
def test_another_process_is_asked_for_the_levels_and_nobody_waits():
    others = OtherLevels(0)
    others.ask()
    others.ask()
    assert others.sentence is None
    deadline_s = time.monotonic() + 30
    while others.sentence is None and time.monotonic() < deadline_s:
        time.sleep(0.02)
    assert others.sentence is not None and "other" in others.sentence, "whatever there is here"


def test_a_device_that_calls_no_more_is_told_a_second_before_it_is_lost(monkeypatch):
    source, audio = opened()
    audio.stream.play(np.ones((1, 1)))
    now_s = time.perf_counter()
    monkeypatch.setattr(time, "perf_counter", lambda: now_s)
    assert len(source.read(0.0)) == 1 and source.trouble is None
    for _ in range(5):
        now_s += microphone.LOOK_EVERY_S / 2
        assert len(source.read(0.0)) == 0
    assert source.trouble == "nothing comes from the audio input 'mic, ALSA' any more"


# --- birth and death


def test_close_is_final_and_open_begins_anew():
    source, audio = opened()
    audio.stream.play(np.ones((10, 1)))
    source.close()
    source.close()
    assert audio.stream.closed and source.read(0.0) is None
    source.open()
    assert (source.position_samples, source.backlog_samples, source.origin_s) == (0, 0, None)
    audio.stream.play(np.full((3, 1), 2.0))
    np.testing.assert_array_equal(drain(source), [2, 2, 2])
    source.close()


@pytest.mark.parametrize(
    "code, sentence",
    [
        (-9997, "'mic, ALSA' does not record at 8000 Hz; leave the rate out to use its own, 44100 Hz"),
        (-9985, "'mic, ALSA' is busy or was unplugged"),
        (-9998, "'mic, ALSA' does not open with 2 channels"),
        (-9999, "'mic, ALSA' cannot be opened"),
    ],
)
def test_a_device_that_does_not_open_is_told_with_the_cause_and_the_way_out(code, sentence):
    audio = FakeAudio([("mic", 0, 2, 44100.0)], failure=PortAudioError("their words", code))
    source = MicrophoneSource(sample_rate=8000, backend=audio)
    with pytest.raises(DeviceError) as error:
        source.open()
    assert str(error.value).startswith(sentence) and "their words" in str(error.value)
    assert source.read(0.0) is None
    source.close()


@pytest.mark.parametrize("rate", [0, -1, 10**12, 44100.5, float("nan")])
def test_a_rate_that_no_audio_has_is_refused_before_the_device_is_asked(rate):
    with pytest.raises(InputError, match="must be a whole number from 1000 to 768000"):
        opened(sample_rate=rate)


@pytest.mark.parametrize("channel", [0, 3, -1])
def test_a_channel_that_does_not_exist_is_refused(channel):
    with pytest.raises(DeviceError, match="has channels 1 to 2"):
        opened(channels=2, channel=channel)


# ---- a reference on another channel ------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 480, 3000, 20000])
@pytest.mark.parametrize("channel", [1, None])
def test_the_reference_stays_beside_the_voice(chunk, channel, monkeypatch):
    monkeypatch.setattr(referenced, "RING_S", 0.6)  # the ring ends in the middle
    audio = FakeAudio([("mic", 0, 3, 48000.0)])
    source = ReferencedMicrophone(3, channel=channel, backend=audio)
    source.open()
    assert audio.stream.settings["channels"] == 3
    frames = np.random.default_rng(2).normal(size=(60000, 3)).astype(np.float32)
    voices, references = [], []
    for start in range(0, len(frames), 20000):
        for at in range(start, start + 20000, chunk):
            audio.stream.play(frames[at : min(at + chunk, start + 20000)])
        while len(block := source.read(0.0)):
            voices.append(block.copy())
            references.append(source.reference.copy())
            assert len(source.reference) == len(block)
    np.testing.assert_array_equal(np.concatenate(references), frames[:, 2])
    np.testing.assert_allclose(np.concatenate(voices), frames[:, 0] if channel else frames[:, :2].mean(1), atol=1e-6)
    source.close()


def test_what_the_ring_has_no_room_for_is_lost_of_both(monkeypatch):
    monkeypatch.setattr(referenced, "RING_S", 0.05)
    audio = FakeAudio([("mic", 0, 2, 1000.0)])
    source = ReferencedMicrophone(2, backend=audio)
    source.open()
    audio.stream.play(np.stack([np.arange(80), 1000 + np.arange(80)], 1))
    block = source.read(0.0)
    np.testing.assert_array_equal(source.reference - block, np.full(50, 1000))
    assert source.lost_samples == 30
    source.close()
