"""A song that is played beside the microphone: the stream's time is the song's, whatever the devices do."""

from __future__ import annotations

import numpy as np
import pytest
from fake_audio import FakeAudio, PortAudioError

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.sources import microphone
from rt_melody.realtime.sources.backed import TAIL_S, BackedMicrophone, Backing, played
from rt_melody.realtime.sources.microphone import DeviceLost
from rt_melody.realtime.sources.player import Player

RATE = 8000
MIC, SPEAKER = ("mic", 0, 1, float(RATE)), ("speaker", 0, 0, float(RATE), 2)
SONG = np.arange(1, 801, dtype=np.float32) / 1000  # 0.1 s, every sample another
LATENCY = 32  # samples, of the fake stream's input, and of its output


def opened(backing=None, **audio) -> tuple[BackedMicrophone, FakeAudio]:
    fake = FakeAudio([MIC, SPEAKER], **audio)
    source = BackedMicrophone(backing or Backing(SONG, RATE), backend=fake)
    source.open()
    return source, fake


def drain(source) -> np.ndarray:
    blocks = []
    while (block := source.read(0.0)) is not None and len(block):
        blocks.append(block.copy())
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def ahead(frame: int, n: int) -> np.ndarray:
    """Input frames that say which they are [shape=(n, 1)]."""
    return np.arange(frame, frame + n, dtype=np.float32)[:, None]


# ---- the player --------------------------------------------------------------------------------


def blocks_of(player: Player, sizes, channels: int = 2) -> np.ndarray:
    outs = [np.full((size, channels), 9.0, np.float32) for size in sizes]
    for out in outs:
        player.fill(out)
    return np.concatenate(outs)


@pytest.mark.parametrize("sizes", [[1000], [7] * 143, [1, 999], [800, 200]])
def test_a_song_is_played_once_whatever_the_blocks(sizes):
    player = Player(SONG, loops=False)
    player.position = -100
    heard = blocks_of(player, sizes)
    whole = np.concatenate([np.zeros(100), SONG, np.zeros(heard.shape[0] - 900)])
    np.testing.assert_array_equal(heard, np.stack([whole, whole], 1).astype(np.float32))


def test_a_song_shorter_than_a_block_loops():
    player = Player(SONG[:3], loops=True)
    player.position = -2
    np.testing.assert_array_equal(blocks_of(player, [5, 7], 1)[:, 0], np.concatenate([[0, 0], np.resize(SONG[:3], 10)]))


def test_before_it_is_asked_to_begin_there_is_silence():
    assert not blocks_of(Player(SONG, loops=False), [64]).any()


def test_a_gain_is_in_decibels_and_ends_at_full_scale():
    assert played(np.array([0.1, -0.9], np.float32), 20.0) == pytest.approx([1.0, -1.0])
    assert played(np.array([0.1], np.float32), -20.0) == pytest.approx([0.01])


# ---- one stream for both -----------------------------------------------------------------------


@pytest.mark.parametrize("block", [1, 13, 64, 500])
@pytest.mark.parametrize("delay_s", [0.0, 0.05])
def test_sample_0_of_the_stream_is_the_first_that_can_hold_the_songs_first(block, delay_s):
    source, audio = opened(Backing(SONG, RATE, delay_s=delay_s))
    audio.stream.turn(ahead(-block, block))  # the program is getting ready
    assert len(drain(source)) == 0
    source.start_clock()
    source.skip_to_newest()
    played_out = np.concatenate([audio.stream.turn(ahead(at, block)) for at in range(0, 1500, block)])
    begins = round(delay_s * RATE)
    np.testing.assert_array_equal(played_out[begins : begins + 800], np.stack([SONG, SONG], 1))
    heard = drain(source)
    assert heard[0] == begins + 2 * LATENCY and np.all(np.diff(heard) == 1)
    assert source.one_clock and source.lead_s == pytest.approx(2 * LATENCY / RATE) == source.reference_lead_s
    source.close()


def test_it_ends_with_the_song_and_a_loop_does_not():
    for loops in (False, True):
        source, audio = opened(Backing(SONG, RATE, loops=loops))
        source.start_clock()
        for at in range(0, RATE, 100):
            audio.stream.turn(ahead(at, 100))
        count = len(drain(source))
        assert (source.read(0.0) is None) == (not loops)
        assert count == RATE - 2 * LATENCY if loops else count >= round((0.1 + TAIL_S) * RATE)
        source.close()


def test_a_song_of_another_rate_is_played_at_its_pitch():
    tone = np.sin(2 * np.pi * 500 * np.arange(44100) / 44100).astype(np.float32)
    source, audio = opened(Backing(tone, 44100))
    source.start_clock()
    out = audio.stream.turn(ahead(0, RATE))[:, 0]
    assert out[1000:7000] == pytest.approx(np.sin(2 * np.pi * 500 * np.arange(1000, 7000) / RATE), abs=2e-3)
    source.close()


@pytest.mark.parametrize("latency_s", [0.0, -1.0, 89478.0])
def test_a_latency_that_cannot_be_counts_as_none(latency_s):
    source, _ = opened(latency_s=latency_s)
    assert source.lead_s == 0.0 and source.input_latency_ms is None
    source.close()


def test_an_output_that_runs_dry_is_told():
    source, audio = opened()
    source.start_clock()
    assert source.notice is None
    audio.stream.turn(ahead(0, 10), underflow=True)
    assert "ran dry 1 time, so that the song had gaps" in source.notice
    source.close()


def test_a_device_opened_anew_goes_on_with_the_song_where_the_stream_stands():
    source, audio = opened()
    source.start_clock()
    for at in range(0, 400, 100):
        audio.stream.turn(ahead(at, 100))
    stands = source._ring.write_index
    source._stream.close()
    source._start(audio, source.info, RATE)
    out = audio.stream.turn(ahead(0, 50))[:, 0]
    np.testing.assert_array_equal(out, SONG[stands + 2 * LATENCY : stands + 2 * LATENCY + 50])
    assert source._ring.write_index == stands + 50
    source.close()


def test_asked_to_begin_again_the_song_begins_again():
    source, audio = opened()
    for _ in range(2):
        source.start_clock()
        source.skip_to_newest()
        first = source.position_samples
        out = np.concatenate([audio.stream.turn(ahead(at, 100))[:, 0] for at in range(0, 6000, 100)])
        np.testing.assert_array_equal(out[:800], SONG)
        assert drain(source)[0] == 2 * LATENCY and source.position_samples - first >= 0.6 * RATE
        assert source.read(0.0) is None
    source.close()


# ---- a stream for each -------------------------------------------------------------------------


def test_devices_that_do_not_open_together_have_a_stream_each():
    source, audio = opened(together=False)
    assert not source.one_clock and audio.speaker.active and audio.stream.active
    source.start_clock()
    audio.stream.play(ahead(0, 50))  # the output has not begun
    assert len(drain(source)) == 0
    np.testing.assert_array_equal(audio.speaker.ask(100)[:, 1], SONG[:100])
    audio.stream.play(ahead(50, 50))
    audio.speaker.ask(50)
    audio.stream.play(ahead(100, 50))
    heard = drain(source)
    assert heard[0] == 2 * LATENCY and len(heard) == 150 - 2 * LATENCY and np.all(np.diff(heard) == 1)
    assert source.reference_lead_s > source.lead_s > 0.0
    source.close()
    assert audio.speaker.closed and audio.stream.closed


def test_devices_of_two_sound_systems_are_not_tried_together():
    fake = FakeAudio([MIC, ("speaker", 1, 0, 44100.0, 2)], host_apis=("ALSA", "JACK"))
    source = BackedMicrophone(Backing(SONG, RATE, "speaker"), backend=fake)
    source.open()
    assert fake.speaker.settings["samplerate"] == 44100 and not source.one_clock
    source.close()


def test_an_output_that_is_lost_ends_the_stream_after_what_was_heard():
    source, audio = opened(together=False)
    source.start_clock()
    audio.speaker.ask(100)
    audio.stream.play(ahead(0, 100))
    audio.speaker.unplug()
    assert len(source.read(0.0)) == 100 - 2 * LATENCY
    with pytest.raises(DeviceLost, match="the audio output 'speaker, ALSA' was lost, and the song with it; plug it in"):
        source.read(0.0)
    source.close()


def test_an_output_that_falls_silent_is_lost_too(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(microphone.time, "perf_counter", lambda: now[0])
    source, audio = opened(together=False)
    source.start_clock()
    with pytest.raises(DeviceLost, match="the audio output"):
        for _ in range(10):
            now[0] += 0.4
            audio.stream.play(ahead(0, 10))
            drain(source)
    source.close()


# ---- what cannot be had ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backing", "audio", "said"),
    [
        (Backing(SONG, RATE, "gone"), {}, "no audio output has 'gone' in its name; choose one of"),
        (Backing(SONG, RATE, 7), {}, "device 7 is not an audio output"),
        (
            None,
            {"output_failure": PortAudioError("Device unavailable", -9985)},
            "the audio output 'speaker, ALSA' cannot be opened .*choose another --output-device",
        ),
        (None, {"failure": PortAudioError("Device unavailable", -9985)}, "'mic, ALSA' is busy or was unplugged"),
    ],
)
def test_what_cannot_be_opened_is_told(backing, audio, said):
    with pytest.raises(DeviceError, match=said):
        opened(backing, **audio)


def test_of_an_input_whose_output_does_not_open_nothing_stays_open():
    fake = FakeAudio([MIC, SPEAKER], together=False, output_failure=PortAudioError("Device unavailable", -9985))
    source = BackedMicrophone(Backing(SONG, RATE), backend=fake)
    with pytest.raises(DeviceError):
        source.open()
    assert source._stream is None and source._wakeup.notifier_fd == -1
    fake.output_failure, fake.together, fake.failure = None, False, PortAudioError("Device unavailable", -9985)
    with pytest.raises(DeviceError, match="'mic, ALSA' is busy"):
        source.open()
    assert fake.speaker.closed


def test_without_an_output_there_is_no_song():
    source = BackedMicrophone(Backing(SONG, RATE), backend=FakeAudio([MIC]))
    with pytest.raises(DeviceError, match="no audio output was found"):
        source.open()
