"""The ablation on lines whose notes are known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mir_eval")
from rt_melody.benchmarks.note_ablation import ALL_RULES, EXERCISES, NOBODY, SUNG, Recorded, figures, recorded, rules, table
from rt_melody.benchmarks.note_parts import Clip
from rt_melody.benchmarks.signals import TrueNote
from rt_melody.realtime.notes import NoteSettings
from rt_melody.realtime.types import PitchFrame, midi_to_hz

SECOND = np.zeros(16000, np.float32)


def line(*parts, confidence=0.97, group=""):
    """A clip of (pitch or None, hops) and its frames; each pitch is a note."""
    frames, notes = [], []
    for pitch, hops in parts:
        begin_s = len(frames) / 100
        for i in range(len(frames), len(frames) + hops):
            frames.append(PitchFrame(i, i / 100, i / 100 + 0.03, midi_to_hz(pitch or 60.0), pitch is not None, confidence, 0.9, -20.0))
        if pitch is not None:
            notes.append(TrueNote(begin_s, len(frames) / 100, pitch))
    return Recorded(Clip("", SECOND, tuple(notes), group), frames, 0.0)


def test_a_rule_that_is_off_shows_where_it_was_worth_something():
    """Two sure notes, and an instrument that is taken for an unsure one."""
    sung, idle = [line((60.0, 40), (64.0, 40))], [line((60.0, 40), confidence=0.85, group="band")]
    parts = {**dict.fromkeys((*SUNG.values(), *EXERCISES), sung), NOBODY: idle}
    whole, off = (figures(settings, parts, 0.01) for settings in (NoteSettings(), NoteSettings(first_confidence=None)))
    assert whole["takes note"] == off["takes note"] == 1.0
    assert (whole["band alone/min"], off["band alone/min"]) == (0.0, 60.0)
    text = table([{"bound_ms": 50.0, "off": ALL_RULES, **whole}, {"bound_ms": 50.0, "off": "first_confidence", **off}])
    assert text.splitlines()[-1].endswith("|  |  | +60.000 |") and "| 1.000 |" in text.splitlines()[-2]


def test_rules_are_the_thresholds_that_can_be_off():
    assert "dip_db" in rules() and "on_ms" not in rules()
    for name in rules():
        assert getattr(NoteSettings(**{name: None}), name) is None


def test_clips_keep_their_notes_and_frames():
    heard = line((60.0, 200)).frames
    clips = recorded("vibrato", lambda samples: heard, None, every=5)
    assert len(clips) == 3 and all(clip.frames is heard and len(clip.clip.notes) == 1 for clip in clips)
