"""Labels on the training grid, clips, and the data folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from rt_melody.models.training import tiny
from rt_melody.models.training.data import (
    DataError,
    Recording,
    audio_files,
    clip_of,
    data_folder,
    load_mir1k,
    load_mono,
    load_music,
    load_voices,
    noise_files,
    to_label_grid,
)


def at(pitch, *times_ms):
    return [round(float(pitch[round(ms / 5)]), 4) for ms in times_ms]


# --- to the grid


def test_between_voiced_labels_lies_a_line():
    pitch = to_label_grid(np.array([60.0, 62.0]), np.array([0.02, 0.04]), 0.06)
    assert at(pitch, 20, 25, 30, 35, 40) == [60.0, 60.5, 61.0, 61.5, 62.0]


def test_beside_an_unvoiced_label_the_nearer_one_counts():
    pitch = to_label_grid(np.array([62.0, 0.0, 64.0]), np.array([0.02, 0.04, 0.06]), 0.08)
    assert at(pitch, 20, 25, 35, 40, 45, 55, 60) == [62.0, 62.0, 0.0, 0.0, 0.0, 64.0, 64.0]


def test_half_a_step_beyond_the_ends_it_is_unvoiced():
    pitch = to_label_grid(np.array([60.0, 60.0]), np.array([0.02, 0.04]), 0.08)
    assert at(pitch, 0, 5, 15, 45, 55, 60, 80) == [0.0, 0.0, 60.0, 60.0, 0.0, 0.0, 0.0]


def test_the_grid_spans_the_recording():
    pitch = to_label_grid(np.array([60.0]), np.array([0.02]), 0.1)
    assert len(pitch) == 21 and pitch.dtype == np.float32


@pytest.mark.parametrize("step_s, first_s", [(0.032, 0.016), (256 / 44100, 0.0), (0.01, 0.0), (0.02, 0.02)])
def test_every_step_keeps_its_times(step_s, first_s):
    """A glide of 10 semitones a second, unvoiced from 0.5 s on, whatever the labels' own grid."""
    times = first_s + np.arange(round(1 / step_s)) * step_s
    glide = np.where(times < 0.5, 60 + 10 * times, 0.0)
    sound = np.zeros(16000, np.float32)
    clip = clip_of(Recording("d", "n", "s", "l", sound, None, times, glide))
    grid = np.arange(len(clip.pitch)) * 0.005
    inside = (grid >= max(0.02, first_s)) & (grid < 0.46)
    np.testing.assert_allclose(clip.pitch[inside], 60 + 10 * grid[inside], atol=1e-4)
    assert not clip.pitch[grid > 0.5 + step_s].any()


def test_the_unknown_stays_unknown_on_the_grid():
    pitch = to_label_grid(np.array([60.0, -1.0, 0.0, 62.0]), np.arange(4) * 0.01, 0.03, 0.01)
    assert at(pitch, 0, 5, 10, 15, 20, 25, 30) == [60.0, -1.0, -1.0, 0.0, 0.0, 62.0, 62.0]


def test_notes_alone_make_no_clip():
    nothing = np.zeros(0)
    with pytest.raises(DataError, match="SSVD's 1011 has no f0"):
        clip_of(Recording("SSVD", "1011", "", "l", np.zeros(10), None, nothing, nothing))


# --- the folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("data")
    tiny.make_data(made, clips=1, seconds=1.0)
    return made


def test_a_made_folder_reads_back(folder):
    """What the made set says of pitch is what was sung: the labels of the file, on the grid."""
    clips = load_mir1k(folder, "train")
    assert [c.name for c in clips] == ["ann_1_01", "ben_1_01"] and [c.singer for c in clips] == ["ann", "ben"]
    labels = np.loadtxt(folder / "mir-1k/train/ann_1_01.pv")
    np.testing.assert_allclose(clips[0].pitch[4::4][: len(labels)], labels, atol=1e-3)
    assert len(clips[0].voice) == len(clips[0].accompaniment) == 16000
    np.testing.assert_array_equal(clips[0].mixture, clips[0].voice + clips[0].accompaniment)


def test_clips_of_disputed_octave_can_be_left_out(folder):
    for ending in ("opus", "pv"):
        source = folder / f"mir-1k/valid/cas_1_01.{ending}"
        (folder / f"mir-1k/valid/bug_5_01.{ending}").write_bytes(source.read_bytes())
    assert [c.name for c in load_mir1k(folder, "valid")] == ["bug_5_01", "cas_1_01"]
    assert [c.name for c in load_mir1k(folder, "valid", keep_disputed=False)] == ["cas_1_01"]


def test_noises_to_measure_by_are_not_trained_on(tmp_path):
    (tmp_path / "noise").mkdir()
    for name in "abcdefg":
        (tmp_path / f"noise/{name}.wav").touch()
    held_out, trained = ([path.stem for path in noise_files(tmp_path, split)] for split in ("test", "train"))
    assert held_out == ["a", "f"] and trained == ["b", "c", "d", "e", "g"]


def test_noises_may_be_absent(folder):
    assert [len(noise) for noise in load_mono(audio_files(folder / "noise"))] == [16000]
    assert load_mono(audio_files(folder / "nowhere")) == []


def test_the_folder_comes_from_the_option_then_the_environment(folder, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("RT_MELODY_DATA", str(folder))
    assert data_folder(None) == folder
    for path in (str(tmp_path), None):
        monkeypatch.delenv("RT_MELODY_DATA", raising=False)
        with pytest.raises(SystemExit) as left:
            data_folder(path)
        assert left.value.code == 2
    told = capsys.readouterr().err
    assert f"{tmp_path} holds no mir-1k/" in told and "RT_MELODY_DATA" in told


# --- all that a training reads


def test_what_is_there_is_read_and_what_is_not_is_named(folder, tmp_path):
    everything = tmp_path / "all"
    shutil.copytree(folder, everything)
    plain, absent = load_voices(everything)
    assert {c.singer for c in plain} == {"ann", "ben"}
    assert absent == ["voices/train", "speech", "ssvd/more, prepared"]

    take = load_mono([everything / "mir-1k/train/ann_1_01.opus"])[0]
    for place in ("voices/train/solo/eve", "speech/rl001", "ssvd/more/100144"):
        (everything / place).parent.mkdir(parents=True, exist_ok=True)
        tiny.write_opus(everything / place, take)
    for labels in (everything / "voices/train/solo/eve.f0", everything / "speech/rl001.f0", tmp_path / "made/ssvd/100144.f0"):
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.write_text("60\n-1\n" * 50)
    clips, absent = load_voices(everything, tmp_path / "made")
    assert absent == [] and [c.singer for c in clips[2:]] == ["solo", "rl", "ssvd-100"]
    assert all({60.0, -1.0} <= set(c.pitch.tolist()) for c in clips[2:])


def test_music_is_mapped_and_may_be_absent(tmp_path):
    (tmp_path / "music").mkdir()
    np.save(tmp_path / "music/b.npy", np.arange(9, dtype=np.int16))
    np.save(tmp_path / "music/a.npy", np.arange(5, dtype=np.int16))
    assert [len(m) for m in load_music(tmp_path)] == [5, 9] and load_music(tmp_path)[0].dtype == np.int16
    assert load_music(None) == []
