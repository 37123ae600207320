"""Recordings: every format, the pace of the clock, and files that are none or not whole."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from rt_melody.realtime.errors import InputError
from rt_melody.realtime.sources.blocks import FAST_BLOCK_SAMPLES, mix_down
from rt_melody.realtime.sources.file import FileSource

RATE = 8000
NOISE = np.random.default_rng(0).normal(0.0, 0.1, (10_001, 2)).astype(np.float32)


class FakeClock:
    """A clock that only sleeping moves, and no more exactly than a real one."""

    def __init__(self) -> None:
        self.now_s, self.oversleep_s = 100.0, 0.0007

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds + self.oversleep_s


def read_all(source: FileSource, timeout_s: float = 0.1) -> np.ndarray:
    blocks = [np.zeros(0, np.float32)]
    while (block := source.read(timeout_s)) is not None:
        assert block.dtype == np.float32 and block.flags.c_contiguous and block.flags.writeable
        blocks.append(block.copy())
    return np.concatenate(blocks)


@pytest.fixture
def recording(tmp_path):
    """``recording(samples, name="x.wav", rate=RATE, **format)``: the path of a file with these samples."""

    def write(samples, name="x.wav", rate=RATE, **kind):
        soundfile.write(tmp_path / name, samples, rate, **kind)
        return tmp_path / name

    return write


# --- what is in the file


@pytest.mark.parametrize("n", [1, 5, FAST_BLOCK_SAMPLES - 1, FAST_BLOCK_SAMPLES, FAST_BLOCK_SAMPLES + 1, 10_001])
def test_float_samples_come_out_exactly_with_their_channels_averaged(recording, n):
    with FileSource(recording(NOISE[:n], subtype="FLOAT")) as source:
        sound = read_all(source)
        assert (source.sample_rate, source.channels, source.position_samples) == (RATE, 2, n)
    np.testing.assert_allclose(sound, NOISE[:n].mean(axis=1), atol=1e-8)
    assert source.notice is None and not source.live


def test_the_pace_does_not_change_the_samples(recording):
    path, clock = recording(NOISE, subtype="FLOAT"), FakeClock()
    with FileSource(path) as fast, FileSource(path, True, clock, clock.sleep) as slow:
        np.testing.assert_array_equal(read_all(slow), read_all(fast))


def test_a_second_run_equals_the_first_and_open_begins_anew(recording):
    source = FileSource(recording(NOISE))
    with source:
        first = read_all(source)
        assert source.read() is None
    assert source.read() is None
    with source:
        np.testing.assert_array_equal(read_all(source), first)
    with source:
        source.read()
    with source:
        assert source.position_samples == 0
        np.testing.assert_array_equal(read_all(source), first)


def test_without_opening_anew_it_goes_on_where_it_was(recording):
    with FileSource(recording(NOISE)) as source:
        head = source.read().copy()
        assert len(read_all(source)) == len(NOISE) - len(head)


@pytest.mark.parametrize(
    "name, kind, step",
    [
        ("x.wav", dict(subtype="PCM_16"), 2**-15),
        ("x.wav", dict(subtype="PCM_U8"), 2**-7),
        ("x.flac", dict(subtype="PCM_24"), 2**-23),
        ("x.ogg", dict(subtype="VORBIS"), 0.02),
        ("x.opus", dict(format="OGG", subtype="OPUS"), 0.02),
        ("x.mp3", dict(subtype="MPEG_LAYER_III"), 0.02),
    ],
)
def test_every_promised_format_is_read(recording, name, kind, step):
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(96_000) / 48_000).astype(np.float32)
    with FileSource(recording(tone, name, 48_000, **kind)) as source:
        sound = read_all(source)
    assert len(sound) == len(tone)
    np.testing.assert_allclose(sound[2000:-2000], tone[2000:-2000], atol=step)


def test_what_is_no_number_is_passed_on_and_nothing_is_said(recording, recwarn):
    strange = np.array([[1.0, np.nan], [np.inf, -np.inf], [5.0, 7.0]], np.float32)
    with FileSource(recording(strange, subtype="FLOAT")) as source:
        np.testing.assert_array_equal(read_all(source), [np.nan, np.nan, 6.0])
    assert not recwarn.list


def test_the_mean_of_channels_by_hand_and_independent_of_the_block():
    frames = np.array([[1, 2, 6], [0, 0, -3]], np.float32)
    np.testing.assert_array_equal(mix_down(frames, np.zeros(5, np.float32)), [3, -1])
    wide = np.random.default_rng(2).normal(size=(999, 7)).astype(np.float32)
    whole = mix_down(wide, np.zeros(999, np.float32))
    np.testing.assert_array_equal(whole[500:513], mix_down(wide[500:513], np.zeros(13, np.float32)))


# --- the pace


def test_in_real_time_no_sample_comes_before_its_moment_and_nothing_drifts(recording):
    clock = FakeClock()
    with FileSource(recording(NOISE), True, clock, clock.sleep) as source:
        while (block := source.read(1.0)) is not None:
            elapsed_s = clock.now_s - 100.0
            assert len(block) <= RATE // 100
            assert elapsed_s >= source.position_samples / RATE - 1e-9
            assert elapsed_s <= source.position_samples / RATE + 0.010 + 2 * clock.oversleep_s
    assert source.position_samples == len(NOISE)


def test_a_block_whose_time_has_not_come_is_an_empty_one(recording):
    clock = FakeClock()
    with FileSource(recording(NOISE), True, clock, clock.sleep) as source:
        assert len(source.read(0.004)) == 0
        assert len(source.read(0.004)) == 0
        assert len(source.read(0.004)) == RATE // 100
        assert source.position_samples == RATE // 100


def test_a_reader_that_was_late_gets_everything_at_once(recording):
    clock = FakeClock()
    with FileSource(recording(NOISE), True, clock, clock.sleep) as source:
        source.read(1.0)
        clock.now_s += 60.0
        before_s = clock.now_s
        assert len(read_all(source)) == len(NOISE) - RATE // 100
        assert clock.now_s <= before_s + 0.010 + clock.oversleep_s
        assert source.lost_samples == 0


# --- bad input


def test_files_that_are_no_recording_are_refused_in_a_sentence(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("la la la " * 100)
    (tmp_path / "bytes.raw").write_bytes(bytes(400))
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    for name, sentence in {
        "absent.wav": "does not exist; check the path",
        "empty.wav": r"is empty \(0 bytes\)",
        "text.wav": r"is not audio that can be read \(.*\); give wav, flac, ogg, opus and mp3, or convert it: ffmpeg",
        "bytes.raw": "is not audio that can be read",
        "none.wav": "holds no samples",
        "": "is a folder; give the audio files in it",
        "with\0null.wav": "cannot be read",
    }.items():
        with pytest.raises(InputError, match=sentence):
            FileSource(f"{tmp_path}/{name}").open()


def test_a_wav_cut_off_gives_what_is_there(recording):
    path = recording(NOISE, subtype="FLOAT")
    path.write_bytes(path.read_bytes()[:-8 * 4001])
    with FileSource(path) as source:
        np.testing.assert_allclose(read_all(source), NOISE[:6000].mean(axis=1), atol=1e-8)


@pytest.mark.parametrize("name", ["x.flac", "x.mp3"])
def test_a_compressed_file_cut_off_gives_what_is_there_and_says_so(recording, name):
    path = recording(np.tile(NOISE, (20, 1)), name, 48_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    with FileSource(path) as source:
        n = len(read_all(source))
        assert 0.5 < n / (20 * len(NOISE)) < 0.62
        assert f"{name} is damaged after 2." in source.notice
        assert source.read() is None


def test_an_mp3_that_does_not_say_its_length_is_read_to_its_end(tmp_path):
    """Without its first frame, which holds the length and no sound, libsndfile would guess from the next ones: loud
    ones promise a short file. Constant or not, what is there is read, and nothing is called damaged."""
    rng = np.random.default_rng(0)
    sound = np.concatenate([0.5 * rng.standard_normal(RATE), 0.2 * np.sin(0.05 * np.arange(6 * RATE))])
    soundfile.write(tmp_path / "whole.mp3", sound.clip(-1, 1), RATE, subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE")
    data = (tmp_path / "whole.mp3").read_bytes()
    assert b"Xing" in data[:2048] or b"Info" in data[:2048]
    second = next(i for i in range(200, 4000) if data[i : i + 2] == data[:2] and abs(data[i + 2] - data[2]) < 0x100)
    (tmp_path / "cut.mp3").write_bytes(data[second:])
    with FileSource(tmp_path / "cut.mp3") as source:
        count = 0
        while (block := source.read()) is not None:
            count += len(block)
        assert source.notice is None
    assert count == pytest.approx(len(sound), abs=3000)
