"""What is prepared for a training: f0 of solo takes by hand-worked cases and Praat, and music that nobody sings in."""

from types import SimpleNamespace

import numpy as np
import pytest

from rt_melody.models.config import ModelConfig
from rt_melody.models.training import prepare, tiny
from rt_melody.models.training.datasets import SAMPLE_RATE, UNKNOWN, DataError, LabelledNote, Recording, read_takes

NOTHING = np.zeros(0)


def harmonic(midi, seconds):
    f0, t = 440.0 * 2 ** ((midi - 69) / 12), np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return sum(0.2 / k * np.sin(2 * np.pi * f0 * k * t) for k in range(1, 7)).astype(np.float32)


def take(sound, *notes):
    return Recording("SSVD", "1", "", "l", sound, None, NOTHING, NOTHING, tuple(LabelledNote(*n) for n in notes))


def silence(seconds):
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


# --- takes


def test_labels_of_a_take_by_hand():
    """Notes of 60 and 62 labelled 30 cents sharp, the second sung two semitones off at its end, silence, then a hum
    beside every note."""
    sound = np.concatenate([harmonic(60, 1.0), harmonic(62, 0.8), harmonic(64, 0.2), silence(1.0), harmonic(50, 1.0)])
    heard = np.repeat([60.0, 62.0, 64.0, 0.0, 50.0], [100, 80, 20, 100, 100])
    heard[20:25] = 0.0  # a consonant
    pitch, bias_cents, share = prepare.take_labels(take(sound, (0.0, 1.0, 60.3), (1.0, 2.0, 62.3)), heard)
    assert bias_cents == pytest.approx(30.0, abs=1e-6)  # the median over the notes' middles: 60.3 - 60, 62.3 - 62
    np.testing.assert_array_equal(pitch[:20], 60.0)
    np.testing.assert_array_equal(pitch[20:25], UNKNOWN)
    np.testing.assert_array_equal(pitch[25:100], 60.0)
    np.testing.assert_array_equal(pitch[100:180], 62.0)
    np.testing.assert_array_equal(pitch[180:210], UNKNOWN)  # another pitch; then too near the note to be silence
    np.testing.assert_array_equal(pitch[213:298], 0.0)
    np.testing.assert_array_equal(pitch[300:], UNKNOWN)  # sung, and no note says so
    assert share == pytest.approx(175 / 200)


def test_noise_between_notes_is_no_silence():
    rng = np.random.default_rng(1)
    sound = np.concatenate([harmonic(60, 1.0), 0.1 * rng.standard_normal(SAMPLE_RATE).astype(np.float32)])
    pitch, *_ = prepare.take_labels(take(sound, (0.0, 1.0, 60.0)), np.repeat([60.0, 0.0], 100))
    assert (pitch[100:] == UNKNOWN).all()


def test_praat_tells_the_pitch_of_its_moment():
    """A tone that begins at 0.5 s: half a period window early or late at most."""
    pytest.importorskip("parselmouth")
    heard = prepare.praat_f0(np.concatenate([silence(0.5), harmonic(57.2, 0.7), silence(0.3)]))
    assert len(heard) == 150
    np.testing.assert_allclose(heard[55:115], 57.2, atol=0.02)
    assert not heard[:47].any() and not heard[124:].any()


def test_takes_are_written_and_the_doubtful_named(tmp_path):
    pytest.importorskip("parselmouth")
    folder = tmp_path / "more"
    folder.mkdir()
    for name, sung, labelled in (("100144", 57.0, 57.2), ("100270", 57.0, 58.0)):
        tiny.write_opus(folder / name, np.concatenate([silence(0.5), harmonic(sung, 1.0), silence(0.5)]))
        (folder / f"{name}.txt").write_text(f"0.5 1.5 {labelled}\n")
    said = prepare.prepare_takes(folder, tmp_path / "made")
    assert said.startswith("takes: 1 kept; left out 100270 (bias 100 cents")
    (read,) = read_takes(folder, tmp_path / "made")
    assert np.abs(read.pitch[55:145] - 57.0).max() < 0.05 and (read.pitch[:35] == 0).all()


# --- music


def tracker_that_hears(pitch, voiced, hops=1500):
    """One head of no look-ahead but its hop's own."""
    row = np.full((1, hops), pitch), np.where(np.arange(hops) < voiced * hops, 5.0, -5.0)[None]
    return SimpleNamespace(hear=lambda piece: row, config=ModelConfig(look_ahead_ms=(10,)))


def test_shares_of_a_piece_by_hand():
    pytest.importorskip("parselmouth")
    piece = np.concatenate([harmonic(57, 3.75), silence(11.25)])  # Praat hears a quarter of it
    assert prepare.sung_shares(tracker_that_hears(57.0, 0.5), piece) == pytest.approx((0.5, 0.25), abs=0.01)
    assert prepare.sung_shares(tracker_that_hears(58.0, 0.5), piece) == pytest.approx((0.5, 0.0), abs=0.01)
    assert prepare.sung_shares(tracker_that_hears(57.0, 0.1), piece) == pytest.approx((0.1, 0.1), abs=0.01)


@pytest.mark.parametrize("voiced, kept", [(0.0, 2), (0.3, 2), (0.6, 0)])
def test_pieces_that_may_be_sung_are_left_out(tmp_path, voiced, kept):
    pytest.importorskip("parselmouth")
    rng = np.random.default_rng(2)
    (tmp_path / "pkg/deep").mkdir(parents=True)
    tiny.write_opus(tmp_path / "pkg/deep/drums", rng.standard_normal(35 * SAMPLE_RATE))  # two whole pieces
    said = prepare.prepare_music(tmp_path / "pkg", tmp_path / "music", tracker_that_hears(57.0, voiced), 60.0)
    made = sorted((tmp_path / "music").iterdir())
    assert len(made) == kept and f"{kept * 0.25:.0f} minutes kept" in said
    for path in made:
        piece = np.load(path)
        assert piece.dtype == np.int16 and len(piece) == 15 * SAMPLE_RATE and 10000 < np.abs(piece).max() <= 32767


def test_what_cannot_be_prepared_is_said(tmp_path, capsys):
    with pytest.raises(DataError, match="holds no recordings"):
        prepare.music_files(tmp_path)

    def full(path):
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match="a.npy cannot be written .No space left on device.; make room"):
        prepare.write_beside(tmp_path / "a.npy", full)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SystemExit) as left:
        prepare.main(["--data", str(tmp_path), "--out", str(tmp_path / "made")])
    assert left.value.code == 2 and "holds no mir-1k/" in capsys.readouterr().err
