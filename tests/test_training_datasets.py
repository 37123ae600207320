"""Readers of published datasets, on small files written here in each dataset's own format."""

import numpy as np
import pytest
import soundfile

from rt_melody.models.training import datasets
from rt_melody.models.training.datasets import (
    UNKNOWN,
    DataError,
    LabelledNote,
    Recording,
    note_bias_cents,
    read_audio,
    read_dataset,
    without_bias,
)

A3, A4 = 57.0, 69.0  # 220 and 440 Hz


def tone(hz, seconds, rate, level=0.4):
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def put(path, sound, rate=16000):
    path.parent.mkdir(parents=True, exist_ok=True)
    opus = {"format": "OGG", "subtype": "OPUS"} if path.suffix == ".opus" else {}
    soundfile.write(path, sound, rate, **opus)


def say(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def stereo(rate, seconds=0.5):
    """Left 300 Hz (accompaniment), right 1 kHz (voice)."""
    return np.stack([tone(300, seconds, rate), tone(1000, seconds, rate)], 1)


def strongest_hz(sound, rate=16000):
    return np.abs(np.fft.rfft(sound * np.hanning(len(sound)))).argmax() * rate / len(sound)


# --- one dataset after the other


@pytest.mark.parametrize("sounds, labels, ending", [(".", ".", "opus"), ("Wavfile", "PitchLabel", "wav")])
def test_mir1k_in_one_folder_and_as_published(tmp_path, sounds, labels, ending):
    put(tmp_path / sounds / f"amy_3_07.{ending}", stereo(16000))
    say(tmp_path / labels / "amy_3_07.pv", "0\n57.0 \n57.5\n0\n")
    (clip,) = read_dataset("mir-1k", tmp_path)
    assert (clip.dataset, clip.name, clip.singer) == ("MIR-1K", "amy_3_07", "amy")
    np.testing.assert_allclose(clip.times_s, [0.02, 0.04, 0.06, 0.08])
    np.testing.assert_allclose(clip.f0_hz, [0, 220, 220 * 2 ** (0.5 / 12), 0])
    assert clip.voiced.tolist() == [False, True, True, False]
    assert strongest_hz(clip.waveform) == 1000 and strongest_hz(clip.accompaniment) == 300
    np.testing.assert_array_equal(clip.mixture, clip.waveform + clip.accompaniment)


def test_ikala_is_resampled_and_labelled_mid_frame(tmp_path):
    put(tmp_path / "Wavfile/10161_chorus.wav", stereo(44100, 1.0), 44100)
    say(tmp_path / "PitchLabel/10161_chorus.pv", "0\n69\n57\n")
    say(tmp_path / "id_mapping.txt", "singer\tsong\n3\t10161\n4\t10162\n")
    (clip,) = read_dataset("ikala", tmp_path)
    assert (clip.name, clip.singer, clip.sample_rate) == ("10161_chorus", "3", 16000)
    assert len(clip.waveform) == 16000 and clip.duration_s == 1.0
    assert strongest_hz(clip.waveform) == 1000 and strongest_hz(clip.accompaniment) == 300
    np.testing.assert_allclose(clip.times_s, [0.016, 0.048, 0.080])
    np.testing.assert_allclose(clip.f0_hz, [0, 440, 220])


def test_ikala_without_its_list_of_singers(tmp_path):
    put(tmp_path / "Wavfile/10161_verse.wav", stereo(16000))
    say(tmp_path / "PitchLabel/10161_verse.pv", "0\n")
    assert next(read_dataset("ikala", tmp_path)).singer == ""


def test_adc2004_gives_the_sung_clips(tmp_path):
    for name in ("daisy1", "jazz1"):
        put(tmp_path / f"{name}.wav", tone(440, 0.5, 44100), 44100)
        say(tmp_path / f"{name}REF.txt", "0.0000 \t 0.00\n0.0058\t440.00\n0.0116\t220.0\n")
    (clip,) = read_dataset("adc2004", tmp_path)
    assert clip.name == "daisy1" and clip.accompaniment is None and clip.mixture is clip.waveform
    np.testing.assert_allclose(clip.times_s, [0, 0.0058, 0.0116])
    np.testing.assert_allclose(clip.pitch, [0, A4, A3])
    assert [c.name for c in datasets.read_adc2004(tmp_path, sung_only=False)] == ["daisy1", "jazz1"]


def test_mirex05_pairs_the_clip_made_from_midi(tmp_path):
    for wav, ref in (("train01", "train01"), ("train13MIDI", "train13")):
        put(tmp_path / f"{wav}.wav", tone(440, 0.5, 44100), 44100)
        say(tmp_path / f"{ref}REF.txt", "0.00\t0\n0.01\t440\n")
    assert [c.name for c in read_dataset("mirex05", tmp_path)] == ["train01"]
    both = list(datasets.read_mirex05(tmp_path, sung_only=False))
    assert [c.name for c in both] == ["train01", "train13"]
    np.testing.assert_allclose(both[1].times_s, [0, 0.01])


def test_the_sung_clips_are_as_many_as_papers_count():
    assert len(set(datasets.ADC2004_SUNG)) == 12 and len(set(datasets.MIREX05_SUNG)) == 9


@pytest.mark.parametrize(
    "mix, labels",
    [
        ("Audio/Ann_Song/Ann_Song_MIX.wav", "Annotations/Melody_Annotations/MELODY2/Ann_Song_MELODY2.csv"),
        ("audio/Ann_Song_MIX.wav", "melody2/Ann_Song_MELODY2.csv"),
    ],
)
def test_medleydb_in_either_tree(tmp_path, mix, labels):
    put(tmp_path / mix, stereo(44100), 44100)
    say(tmp_path / labels, "".join(f"{i * 256 / 44100},{f0}\n" for i, f0 in enumerate((0.0, 220.0, 440.0))))
    (clip,) = read_dataset("medleydb", tmp_path)
    assert (clip.name, clip.singer, clip.licence) == ("Ann_Song", "Ann", "CC BY-NC-SA 4.0")
    np.testing.assert_allclose(clip.times_s, np.arange(3) * 256 / 44100)
    np.testing.assert_allclose(clip.pitch, [0, A3, A4])
    level = np.sqrt(np.mean(clip.waveform**2))  # the mean of two tones of amplitude 0.4
    assert level == pytest.approx(0.2, rel=0.02)


def test_ssvd_gives_notes_as_labelled(tmp_path):
    put(tmp_path / "1011.opus", tone(220, 0.5, 16000))
    say(tmp_path / "1011.txt", "0.1300\t0.2500\t51.06\n0.3500\t0.6400\t47.79\n")
    (take,) = read_dataset("ssvd", tmp_path)
    assert take.notes == (LabelledNote(0.13, 0.25, 51.06), LabelledNote(0.35, 0.64, 47.79))
    assert take.times_s.size == take.pitch.size == 0


def test_voices_stand_on_10_ms_and_may_be_unknown(tmp_path):
    put(tmp_path / "voices/train/choir/ann-1.opus", tone(220, 0.05, 16000))
    put(tmp_path / "voices/train/solo/ben.wav", tone(440, 0.03, 16000))
    say(tmp_path / "voices/train/choir/ann-1.f0", "0\n57\n-1\n57\n0\n")
    say(tmp_path / "voices/train/solo/ben.f0", "69.000\n69.000\n69.000\n")
    say(tmp_path / "voices/sources.tsv", "clip\tseconds\tgroup\tsource\ntrain/choir/ann-1\t0.05\tann\tx\nvalid/solo/ben\t1\tzed\tx\n")
    ann, ben = read_dataset("voices", tmp_path / "voices/train")
    assert (ann.dataset, ann.name, ann.singer) == ("choir", "ann-1", "ann") and ben.singer == "solo"  # valid's ben is another
    np.testing.assert_allclose(ann.times_s, [0, 0.01, 0.02, 0.03, 0.04])
    np.testing.assert_array_equal(ann.pitch, [0, A3, UNKNOWN, A3, 0])
    assert ann.voiced.tolist() == [False, True, False, True, False] and ann.f0_hz[2] == 0.0
    assert strongest_hz(ann.waveform) == 220


def test_speech_goes_by_its_speakers(tmp_path):
    for name in ("rl001", "rl002", "sb001"):
        put(tmp_path / f"{name}.opus", tone(110, 0.02, 16000))
        say(tmp_path / f"{name}.f0", "-1\n45\n")
    assert [r.singer for r in read_dataset("speech", tmp_path)] == ["rl", "rl", "sb"]


def test_takes_of_neighbouring_numbers_count_as_one_singer(tmp_path):
    for name in ("100144", "100270_b", "65793", "man3"):
        put(tmp_path / f"takes/{name}.opus", tone(110, 0.02, 16000))
        say(tmp_path / f"made/{name}.f0", "0\n45\n")
    put(tmp_path / "takes/7.opus", tone(110, 0.02, 16000))  # without labels it is left alone
    takes = list(datasets.read_takes(tmp_path / "takes", tmp_path / "made"))
    assert [t.singer for t in takes] == ["ssvd-100", "ssvd-100", "ssvd-65", "ssvd-man"]


@pytest.mark.parametrize("labels, words", [
    ("57\n" * 5, "a.f0 holds 5 labels, one each 10 ms, a.wav lasts 0.10 s"),
    ("57\n" * 20, "a.f0 holds 20 labels"),  # a grid of 5 ms
    ("57\n" * 9 + "-2\n", "line 10: -2 must be a MIDI note number from 0 to 128, or -1 where it is not known"),
    ("57\n" * 9 + "128\n", "line 10: 128"),
    ("57 0.3\n" * 10, "line 1: '57 0.3' must be 1 number"),
])
def test_f0_labels_that_do_not_fit(tmp_path, labels, words):
    put(tmp_path / "train/x/a.wav", tone(220, 0.1, 16000))
    say(tmp_path / "train/x/a.f0", labels)
    with pytest.raises(DataError) as said:
        list(read_dataset("voices", tmp_path / "train"))
    assert words in str(said.value)


def test_unknown_is_refused_where_no_reader_expects_it(tmp_path):
    with pytest.raises(DataError, match="line 2: -1 must be a MIDI note number from 0 to 128"):
        wrong_mir1k(tmp_path, "57\n-1\n", stereo(16000))


def test_recordings_come_in_the_order_of_their_names(tmp_path):
    for name in ("b_1", "a_2", "a_1"):
        put(tmp_path / f"{name}.wav", stereo(16000))
        say(tmp_path / f"{name}.pv", "0\n")
    assert [c.name for c in read_dataset("mir-1k", tmp_path)] == ["a_1", "a_2", "b_1"]


# --- the bias of hand-made notes


def test_the_bias_is_the_median_over_notes_and_can_be_taken_off():
    times = np.arange(0, 3, 0.01)
    sung = np.select([times < 1, times < 2], [60.0, 62.0], 64.0)
    sung[(times % 1 < 0.2) | (times % 1 > 0.8)] += 3.0  # glides at the edges do not count
    sung[(times > 2.4) & (times < 2.5)] = 0.0  # nor do unvoiced moments
    notes = (LabelledNote(0, 1, 60.2), LabelledNote(1, 2, 62.25), LabelledNote(2, 3, 64.3), LabelledNote(3.5, 4, 10.0))
    bias = note_bias_cents(notes, times, sung)
    assert bias == pytest.approx(25.0, abs=1e-6)
    assert [n.pitch for n in without_bias(notes, bias)] == pytest.approx([59.95, 62.0, 64.05, 9.75])
    assert [n.onset_s for n in without_bias(notes, bias)] == [0, 1, 2, 3.5]


def test_no_bias_without_a_voiced_measurement():
    assert note_bias_cents([LabelledNote(0, 1, 60)], np.arange(3) / 3, np.zeros(3)) == 0.0


# --- audio of other rates


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_moves_nothing_in_time(tmp_path, rate):
    """A tone that starts at 0.3 s and stops at 0.7 s does so afterwards."""
    sound = tone(1000, 1.0, rate)
    sound[: round(0.3 * rate)] = sound[round(0.7 * rate) :] = 0.0
    put(tmp_path / "a.wav", sound, rate)
    loud = np.flatnonzero(np.abs(read_audio(tmp_path / "a.wav")[:, 0]) > 0.2)
    assert loud[0] / 16000 == pytest.approx(0.3, abs=0.0006) and loud[-1] / 16000 == pytest.approx(0.7, abs=0.0006)


# --- what is wrong is said, with the file and the line


def wrong_mir1k(tmp_path, labels="0\n", sound=None):
    say(tmp_path / "a_1.pv", labels)
    if sound is not None:
        put(tmp_path / "a_1.wav", sound)
    return list(read_dataset("mir-1k", tmp_path))


@pytest.mark.parametrize(
    "labels, words",
    [
        ("0\nsixty\n", ["a_1.pv, line 2", "'sixty'"]),
        ("0\n\n57\n", ["a_1.pv, line 2", "''"]),
        ("0\n57 58\n", ["a_1.pv, line 2", "'57 58'"]),
        ("0\nnan\n", ["a_1.pv, line 2", "'nan'"]),
        ("0\n57\n-1\n", ["a_1.pv, line 3", "-1"]),
        ("220\n", ["a_1.pv, line 1", "220", "MIDI"]),
        ("", ["a_1.pv", "no labels"]),
    ],
)
def test_bad_pitch_labels(tmp_path, labels, words):
    with pytest.raises(DataError) as told:
        wrong_mir1k(tmp_path, labels, stereo(16000))
    assert all(word in str(told.value) for word in words), told.value


@pytest.mark.parametrize(
    "labels, words",
    [
        ("0 0\n0.01 440\n0.01 440\n", ["line 3", "later"]),
        ("0 0\n0.01 -440\n", ["line 2", "-440"]),
        ("0 0\n0.01 4\n", ["line 2", "20 Hz"]),
        ("0 0\n0.01\n", ["line 2", "2 number"]),
    ],
)
def test_bad_times_and_f0(tmp_path, labels, words):
    put(tmp_path / "pop1.wav", tone(440, 0.1, 44100), 44100)
    say(tmp_path / "pop1REF.txt", labels)
    with pytest.raises(DataError) as told:
        list(read_dataset("adc2004", tmp_path))
    assert all(word in str(told.value) for word in ["pop1REF.txt", *words]), told.value


@pytest.mark.parametrize("labels, word", [("1 2 60\n0 3 60\n", "line 2"), ("1 1 60\n", "offset"), ("1 2 0\n", "MIDI")])
def test_bad_notes(tmp_path, labels, word):
    put(tmp_path / "9.wav", tone(440, 0.1, 16000))
    say(tmp_path / "9.txt", labels)
    with pytest.raises(DataError, match=word):
        list(read_dataset("ssvd", tmp_path))


@pytest.mark.parametrize(
    "sound, word",
    [
        (None, "no recording"),
        (tone(440, 0.1, 16000), "1 channel"),
        (np.zeros((0, 2)), "no samples"),
    ],
)
def test_bad_recordings(tmp_path, sound, word):
    with pytest.raises(DataError, match=word):
        wrong_mir1k(tmp_path, sound=sound)


def test_a_recording_that_is_none(tmp_path):
    say(tmp_path / "a_1.wav", "not a sound")
    with pytest.raises(DataError, match=r"a_1\.wav cannot be read as audio"):
        wrong_mir1k(tmp_path)


def test_samples_that_are_no_numbers(tmp_path):
    sound = stereo(16000)
    sound[100, 0] = np.nan
    soundfile.write(tmp_path / "a_1.wav", sound, 16000, subtype="FLOAT")
    with pytest.raises(DataError, match="NaN"):
        wrong_mir1k(tmp_path)


@pytest.mark.parametrize("name", datasets.READERS)
def test_a_folder_without_labels_is_named(tmp_path, name):
    with pytest.raises(DataError) as told:
        list(read_dataset(name, tmp_path))
    assert str(tmp_path) in str(told.value) and "labels of" in str(told.value)


def test_medleydb_without_its_mix(tmp_path):
    say(tmp_path / "melody2/Ann_Song_MELODY2.csv", "0,0\n")
    with pytest.raises(DataError, match="Ann_Song_MIX.wav"):
        list(read_dataset("medleydb", tmp_path))


def test_a_dataset_nobody_knows(tmp_path):
    with pytest.raises(DataError, match="'mir-2k'.*mir-1k"):
        read_dataset("mir-2k", tmp_path)


def test_a_recording_says_its_own_shape():
    clip = Recording("d", "n", "s", "l", np.zeros(8000, np.float32), None, np.array([0.0]), np.array([A4]))
    assert clip.duration_s == 0.5 and clip.f0_hz.tolist() == [440.0]
