"""Who is right about an octave: tracker or label, by Praat's ear."""

import numpy as np
import pytest

pytest.importorskip("mir_eval")
pytest.importorskip("parselmouth")
from rt_melody.benchmarks import note_parts, octaves, signals
from rt_melody.benchmarks.note_parts import Clip, Heard
from rt_melody.benchmarks.note_scores import PlayedNote
from rt_melody.benchmarks.signals import SAMPLE_RATE, TrueNote

SOUND = signals.melody(3, 6.0)
SUNG = max(SOUND.notes, key=lambda n: n.off_s - n.on_s)


def played(true, octave=0):
    pitch = true.pitch + 12.0 * octave
    return PlayedNote(true.on_s, true.off_s, true.on_s, true.off_s, round(pitch), pitch, pitch)


@pytest.mark.parametrize(
    "octave_told, octave_labelled, side", ((0, 1, "tracker"), (0, -1, "tracker"), (1, 0, "label"), (-1, 0, "label"), (1, 2, "neither"))
)
def test_praat_sides_with_what_is_sung(octave_told, octave_labelled, side):
    verdict = octaves.judged(SOUND.samples, played(SUNG, octave_told), SUNG.pitch + 12.0 * octave_labelled)
    assert verdict["with"] == side
    assert verdict["praat"] == pytest.approx(SUNG.pitch, abs=0.3)
    assert verdict["tracker"] == pytest.approx(SUNG.pitch + 12 * octave_told, abs=0.05)


@pytest.mark.parametrize("samples", (np.zeros(2 * SAMPLE_RATE, np.float32), np.zeros(0, np.float32)))
def test_where_nothing_sounds_it_sides_with_neither(samples):
    verdict = octaves.judged(samples, played(TrueNote(0.5, 1.0, 60.0)), 72.0)
    assert verdict["with"] == "neither" and verdict["praat"] is None


def test_only_leaps_that_praat_does_not_hear_are_left():
    """Two takes of one tune: in one the label is an octave up on one note, in the other the tracker is on two."""
    wrong = [TrueNote(n.on_s, n.off_s, n.pitch + 12.0 * (n is SUNG)) for n in SOUND.notes]
    heard_right = Heard(Clip("label errs", SOUND.samples, tuple(wrong)), [played(n) for n in SOUND.notes])
    long = sorted(SOUND.notes, key=lambda n: n.on_s - n.off_s)[:2]
    heard_wrong = Heard(Clip("tracker errs", SOUND.samples, SOUND.notes), [played(n, n in long) for n in SOUND.notes])
    figures = note_parts.score_takes([heard_right, heard_wrong])
    assert [(leap["take"], leap["with"]) for leap in figures["octave_leaps"]] == [
        ("label errs", "tracker"), ("tracker errs", "label"), ("tracker errs", "label")]
    minutes = 2 * sum(n.off_s - n.on_s for n in SOUND.notes) / 60.0
    assert figures["octave_leaps_a_minute"] == pytest.approx(3 / minutes, abs=0.01)
    assert figures["octave_leaps_alone_a_minute"] == pytest.approx(2 / minutes, abs=0.01)


def test_a_label_with_a_bias_is_moved_by_it():
    wrong = [TrueNote(n.on_s, n.off_s, n.pitch + 12.0 * (n is SUNG) + 0.4) for n in SOUND.notes]
    (leap,) = note_parts.score_takes([Heard(Clip("", SOUND.samples, tuple(wrong)), [played(n) for n in SOUND.notes], -0.4)])["octave_leaps"]
    assert leap["label"] == pytest.approx(SUNG.pitch + 12.0, abs=0.051)


def test_without_praat_nothing_is_said(monkeypatch):
    monkeypatch.setattr(octaves, "can_judge", lambda: False)
    figures = note_parts.score_takes([Heard(Clip("", SOUND.samples, SOUND.notes), [played(n, 1) for n in SOUND.notes])])
    assert figures["octave_leaps_alone_a_minute"] is None and figures["octave_leaps"] is None
    assert figures["octave_leaps_a_minute"] > 0
