"""The published figures: an oracle scores 100, and hand-worked errors are counted as what they are."""

import numpy as np
import pytest

from rt_melody.benchmarks.accuracy import table
from rt_melody.benchmarks.conditions import CONDITIONS, heard
from rt_melody.benchmarks.melody_scores import ERRORS, MelodyScores
from rt_melody.models.training.data import Clip

TIMES = np.arange(100) * 0.02
TRUTH = np.where(np.arange(100) < 70, 220.0, 0.0)


def scored(hz, voiced, confidence=None):
    scores = MelodyScores()
    scores.add(TIMES, TRUTH, TIMES, np.asarray(hz, float), np.asarray(voiced, bool), confidence)
    return scores


def test_an_oracle_scores_a_hundred():
    scores = scored(np.full(100, 220.0), TRUTH > 0)
    assert scores.pooled() == {"OA": 100.0, "RPA": 100.0, "RCA": 100.0, "VR": 100.0, "VFA": 0.0}
    assert set(scores.errors().values()) == {0.0}


def test_errors_are_counted_as_what_they_are():
    """Of 100 frames, 70 sung: 7 missed, 3 false alarms, 10 an octave off, 5 a fifth off."""
    hz, voiced = np.full(100, 220.0), TRUTH > 0
    voiced[:7] = False
    voiced[70:73] = True
    hz[10:20] = 440.0
    hz[30:35] = 330.0
    scores = scored(hz, voiced)
    wanted = dict(zip(ERRORS, (7, 3, 10, 5)))
    assert scores.errors() == pytest.approx(wanted)
    assert scores.pooled()["OA"] + sum(scores.errors().values()) == pytest.approx(100.0)
    assert scores.pooled()["RPA"] == pytest.approx(100 * 55 / 70)
    assert scores.pooled()["RCA"] == pytest.approx(100 * 65 / 70)


def test_figures_by_octave_hold_their_frames():
    scores = scored(np.where(np.arange(100) < 35, 220.0, 300.0), TRUTH > 0)
    assert scores.by_octave() == {"220-440 Hz": {"frames": 70, "RPA": pytest.approx(50.0), "VR": pytest.approx(100.0)}}


def test_reliability_compares_what_was_told_with_what_was_right():
    confidence = np.where(np.arange(100) < 50, 0.95, 0.55)
    voiced = TRUTH > 0
    voiced[:5] = False
    rows = scored(np.full(100, 220.0), voiced, confidence).reliability()
    assert [row["told"] for row in rows] == pytest.approx([0.55, 0.95])
    assert rows[1]["right"] == pytest.approx(1 - 5 / rows[1]["frames"]) and rows[0]["right"] == 1.0


def test_pooled_weighs_frames_and_mean_weighs_clips():
    scores = MelodyScores()
    scores.add(TIMES, TRUTH, TIMES, np.full(100, 220.0), TRUTH > 0)
    scores.add(TIMES[:10], TRUTH[:10], TIMES[:10], np.full(10, 500.0), np.ones(10, bool))
    assert scores.mean()["RPA"] == pytest.approx(50.0)
    assert scores.pooled()["RPA"] == pytest.approx(100 * 70 / 80)


@pytest.fixture
def clip():
    rng = np.random.default_rng(0)
    voice, band = (rng.standard_normal(8000).astype(np.float32) * g for g in (0.1, 0.02))
    return Clip("a_1", "a", voice, band, np.zeros(101, np.float32))


@pytest.mark.parametrize("condition, ratio_db", [("band +10 dB", 10), ("band -5 dB", -5), ("white 20 dB", 20), ("pink 0 dB", 0)])
def test_conditions_have_the_ratio_they_say(clip, condition, ratio_db):
    sound = heard(clip, condition)
    gain = np.dot(sound, clip.voice) / np.dot(clip.voice, clip.voice)
    rest = sound - gain * clip.voice
    measured = 20 * np.log10(gain * clip.voice.std() / rest.std())
    assert measured == pytest.approx(ratio_db, abs=0.3)


def test_conditions_are_the_same_every_time_and_never_clip(clip):
    for condition in CONDITIONS:
        np.testing.assert_array_equal(heard(clip, condition), heard(clip, condition))
        assert np.abs(heard(clip, condition)).max() == pytest.approx(0.5, abs=1e-3)


def test_the_table_has_a_row_a_condition():
    scores = scored(np.full(100, 220.0), TRUTH > 0)
    row = {"condition": "voice", "bound_ms": 50.0, "pooled": scores.pooled(), "errors": scores.errors()}
    assert table([row, row]).count("| voice | 50 | 100.0 | 100.0 |") == 2
