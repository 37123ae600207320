"""The self-test: its arithmetic by hand, the round trip through a fake cable, the command on this machine."""

from __future__ import annotations

import numpy as np
import pytest
from fake_audio import FakeAudio

from rt_melody.realtime import cli, selftest
from rt_melody.realtime.selftest import MicrophoneCheck, Pace, SelfTest, recommend_block, recommend_bound_ms
from rt_melody.realtime.settings import Settings, make_settings
from rt_melody.realtime.sources.roundtrip import CHIRPS, EVERY_S, agreed, find_delays, loss_db, measure, probe_signal
from rt_melody.realtime.timing.pace import true_pace
from rt_melody.realtime.timing.scheduling import SchedulingStatus

RATE = 48_000


def pace(work_ms: float, late_ms: float, hop_ms: float = 10.0, share: float = 0.2) -> Pace:
    return Pace((work_ms / 2, work_ms, work_ms, work_ms), (late_ms / 2, late_ms, late_ms, late_ms), hop_ms, share, SchedulingStatus())


# --- recommendations, by hand


@pytest.mark.parametrize(
    "work_ms, late_ms, least_ms, bound_ms",
    [
        (2.0, 0.3, 11.0, 15),
        (2.0, 8.0, 11.0, 20),
        (2.0, 38.0, 11.0, 50),
        (2.0, 38.1, 11.0, 75),
        (0.1, 0.1, 61.0, 75),
        (5.0, 500.0, 11.0, None),
    ],
)
def test_the_bound_rides_out_a_stall_and_the_hop_that_was_being_filled(work_ms, late_ms, least_ms, bound_ms):
    assert recommend_bound_ms(pace(work_ms, late_ms), least_ms) == bound_ms


@pytest.mark.parametrize(
    "late_ms, rate_hz, block", [(0.2, 48_000, 64), (1.5, 48_000, 128), (5.3, 48_000, 256), (5.4, 48_000, 512), (400.0, 96_000, 2048)]
)
def test_the_block_is_longer_than_the_late_awakenings(late_ms, rate_hz, block):
    assert recommend_block(pace(2.0, late_ms), rate_hz) == block


@pytest.mark.parametrize("work_ms, share, fits", [(9.9, 0.5, True), (10.1, 0.5, False), (2.0, 0.95, False)])
def test_a_machine_is_quick_enough_when_hops_fit_their_time(work_ms, share, fits):
    assert pace(work_ms, 0.1, share=share).fits == fits


# --- the round trip


@pytest.mark.parametrize("rate", [44_100, RATE, 96_000])
@pytest.mark.parametrize("delay", [0, 1, 777, 9000])
def test_a_delay_is_found_to_the_sample(rate, delay):
    returned = np.concatenate([np.zeros(delay), 0.05 * probe_signal(rate), np.zeros(rate)])
    noisy = returned + np.random.default_rng(0).normal(0.0, 0.003, len(returned))
    for heard in (returned, noisy, -noisy):
        assert find_delays(heard, rate) == [delay] * CHIRPS
    assert agreed(find_delays(noisy, rate), rate).ms == pytest.approx(1000.0 * delay / rate)


def test_the_first_of_two_ways_is_not_hidden_by_a_softer_echo():
    direct = np.concatenate([np.zeros(500), probe_signal(RATE), np.zeros(RATE)])
    echo = 0.5 * np.roll(direct, 900)
    assert find_delays(direct + echo, RATE) == [500] * CHIRPS


@pytest.mark.parametrize(
    "heard", [np.zeros(4 * RATE), np.random.default_rng(1).normal(0.0, 0.1, 4 * RATE), np.sin(np.arange(4 * RATE) * 0.05)]
)
def test_what_is_no_chirp_is_no_round_trip(heard):
    assert agreed(find_delays(heard, RATE), RATE) is None


def test_chirps_that_disagree_are_no_round_trip_and_one_stray_is_left_out():
    assert agreed([100, 5000, 9000, 200, 14000], RATE) is None
    assert agreed([], RATE) is None
    assert agreed([480, 481, 480, 9000, 479], RATE) == agreed([480, 481, 480, 479], RATE)


@pytest.mark.parametrize("weaker_db", [-6.0, 12.0, 30.0])
def test_how_much_weaker_a_chirp_comes_back_is_measured_under_noise(weaker_db):
    sound = probe_signal(48000)
    came = np.concatenate([np.zeros(700), sound])[: len(sound)] * 10 ** (-weaker_db / 20)
    came = came + 0.002 * np.random.default_rng(0).standard_normal(len(came))
    assert loss_db(came, 48000, 700) == pytest.approx(weaker_db, abs=0.5)


class Cable(FakeAudio):
    """Output 1 looped to input 0, ``delay`` samples later."""

    delay = 960

    def query_devices(self):
        names = {"Line in": (1, 0), "Line out": (0, 2)}
        keys = ("name", "hostapi", "max_input_channels", "max_output_channels", "default_samplerate")
        return [dict(zip(keys, (name, 0, *channels, RATE))) for name, channels in names.items()]

    def playrec(self, signal, samplerate, device, **settings):
        if self.failure:
            raise self.failure
        assert device == (0, 1) and samplerate == RATE and len(signal) == (CHIRPS + 1) * EVERY_S * RATE
        return np.roll(signal, self.delay, axis=0)


def test_the_round_trip_is_that_of_the_cable():
    found = measure("line out", "line in", backend=Cable([]))
    assert (found.ms, found.spread_ms, found.heard) == (20.0, 0.0, CHIRPS)


# --- the whole


@pytest.fixture
def quick(monkeypatch):
    """``quick(pace, heard)``: a self-test whose machine and microphone are as told; its status and lines."""

    def run(machine: Pace, heard: MicrophoneCheck | Exception | None = None, loopback=None, backend=None, **options):
        def listen(*arguments):
            if isinstance(heard, Exception):
                raise heard
            return heard

        monkeypatch.setattr(selftest, "listen", listen)
        monkeypatch.setattr(selftest, "measure_pace", lambda *a: (machine, 11.0))
        lines = []
        test = SelfTest(make_settings(options), 10.0, loopback, lines.append, lambda: False, backend or FakeAudio([]))
        return test.run(), "\n".join(lines)

    return run


SINGING = MicrophoneCheck("Studio, ALSA", 48_000, 256, -40.0, 0)


class Sounding(FakeAudio):
    """A microphone that has half a second of sound when it is started, in blocks of 480 samples."""

    def InputStream(self, **settings):
        stream = super().InputStream(**settings)
        begin = stream.start
        sine = 0.1 * np.sin(np.arange(480) * 2 * np.pi / 48)[:, None]
        stream.start = lambda: (begin(), [stream.play(sine, overflow=i == 3) for i in range(50)])
        return stream


def test_what_the_microphone_gives_is_heard():
    heard = selftest.listen(Settings(), Sounding([("Studio", 0, 1, RATE)]), seconds=0.05)
    assert (heard.name, heard.rate_hz, heard.overflows, heard.latency_ms) == ("Studio, ALSA", RATE, 1, 4.0)
    assert heard.level_db == pytest.approx(20 * np.log10(0.1) - 3.01, abs=0.01)
    assert heard.block_samples >= 480


def test_a_microphone_that_opens_and_gives_nothing_is_told():
    with pytest.raises(selftest.DeviceError, match="'Studio, ALSA' opened and gave no sound in 0.05 s"):
        selftest.listen(Settings(), FakeAudio([("Studio", 0, 1, RATE)]), seconds=0.05)


def test_a_latency_that_makes_sense_is_told(quick):
    assert "holds a sound for 4.0 ms" in quick(pace(2.0, 0.3), MicrophoneCheck("Studio, ALSA", RATE, 256, -40.0, 0, 4.0))[1]
    assert "PortAudio" not in quick(pace(2.0, 0.3), SINGING)[1]


def test_a_quick_machine_with_a_microphone_is_ready(quick):
    status, said = quick(pace(2.0, 0.3), SINGING)
    assert status == 0 and said.endswith("Result: ready.")
    assert "blocks of 256 samples (5.3 ms) at -40 dBFS" in said
    assert "Recommended: --latency-ms 15 or more" in said and "a device block (period) of 64 samples" in said
    assert "Its present 256 samples cost up to 4.0 ms more." in said and "some sound will be skipped" not in said


def test_a_bound_that_will_not_hold_is_told_and_no_failure(quick):
    status, said = quick(pace(2.0, 60.0), SINGING)
    assert status == 0 and "With --latency-ms 50 some sound will be skipped now and then." in said


@pytest.mark.parametrize(
    "machine, heard, sentence",
    [
        (pace(12.0, 0.3), SINGING, "too slow now: a hop of 10 ms takes 12.0 ms at p99"),
        (pace(2.0, 0.3), MicrophoneCheck("Studio, ALSA", 48_000, 256, -120.0, 0), "digital silence; unmute it"),
        (
            pace(2.0, 0.3),
            selftest.DeviceError("no audio input was found; plug in a microphone"),
            "The microphone cannot be used: no audio input was found",
        ),
        (pace(2.0, 900.0), SINGING, "No bound up to 200 ms would hold"),
    ],
)
def test_what_is_missing_is_told_and_the_status_is_1(quick, machine, heard, sentence):
    status, said = quick(machine, heard)
    assert status == 1 and sentence in said and said.endswith("Result: not ready; 1 of the above must be mended.")


def test_without_a_microphone_among_the_inputs_none_is_needed(quick):
    status, said = quick(pace(2.0, 0.3), selftest.DeviceError("no audio input was found"), input=["demo"])
    assert status == 0 and "microphone" not in said


def test_a_cable_is_measured_and_a_missing_one_told(quick):
    status, said = quick(pace(2.0, 0.3), SINGING, "line out", Cable([]), device="line in")
    assert status == 0 and "takes 20.00 ms (5 of 5 chirps" in said and "heard played within 70 ms" in said
    assert "comes back 0 dB weaker: a song of -18 dBFS is heard at -18 dBFS" in said and "headphones are the better answer" in said
    quiet = Cable([])
    quiet.playrec = lambda signal, **settings: 0.1 * Cable.playrec(quiet, signal, **settings)
    _, said = quick(pace(2.0, 0.3), SINGING, "line out", quiet, device="line in")
    assert "comes back 20 dB weaker" in said and "--backing by that output will do" in said
    silent = Cable([])
    silent.delay = 0
    silent.playrec = lambda signal, **settings: np.zeros_like(signal)
    assert quick(pace(2.0, 0.3), SINGING, "line out", silent, device="line in")[0] == 1
    status, said = quick(pace(2.0, 0.3), SINGING, "headphones", Cable([]), device="line in")
    assert status == 1 and "no audio output has 'headphones' in its name" in said


@pytest.mark.parametrize("arguments, sentence", [
    (["--self-test", "0"], "it must be a number of seconds from 1 to 3600"),
    (["--self-test", "long"], "--self-test long cannot be used"),
    (["--loopback", "1"], "--loopback 1 is for --self-test alone"),
])
def test_bad_words_are_a_sentence(capsys, arguments, sentence):
    assert cli.main(["--input", "demo", *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("rate_hz", [4000, 44_100, 192_000])
def test_the_song_is_there_at_any_rate(rate_hz):
    song = selftest._song(rate_hz)
    assert song.dtype == np.float32 and len(song) / rate_hz == pytest.approx(7.7, abs=0.1) and np.abs(song).max() > 0.1


def test_stopped_at_once_it_says_so():
    said = []
    assert SelfTest(make_settings({"input": ["demo"]}), 2.0, None, said.append, lambda: True).run() == 1
    assert said[-1] == "Stopped before anything was measured."


@pytest.mark.slow
def test_the_command_measures_this_machine(capsys):
    """Whether it is quick enough is not ours to assert; that it says so is."""
    status = cli.main(["--input", "demo", "--self-test", "1", "--no-priority"])
    said = capsys.readouterr().out
    assert status in (0, 1) and ("Result: ready." in said) == (status == 0)
    assert "A hop of 10 ms takes" in said and "normal priority" in said and "MIDI outputs:" in said


def test_at_the_true_pace_every_hop_is_fed_once_and_none_early():
    import time

    fed, began_s = [], time.perf_counter()
    work, late = true_pace(lambda block: fed.append((time.perf_counter() - began_s, block)), np.arange(55.0), 10, 0.01)
    assert len(work) == len(late) == len(fed) == 5 and (late >= 0).all()
    assert all(at_s >= 0.01 * (i + 1) for i, (at_s, _) in enumerate(fed))
    np.testing.assert_array_equal(np.concatenate([block for _, block in fed]), np.arange(50.0))
