"""Other people's programs understand what we send: FluidSynth the MIDI file, Pure Data and liblo the OSC."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from rig_fluidsynth import messages_of, render
from rig_pitch import agreement, autocorrelation_pitch, perform

STEADY_S = 0.08  # a note has sounded so long on both sides of a moment that is listened to
BEND_STEP_S = 0.06  # the window of the autocorrelation


def read_csv(path) -> dict[str, np.ndarray]:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def inside_notes(messages, times_s: np.ndarray) -> np.ndarray:
    """Those of ``times_s`` that no note begins or ends near."""
    edges = np.array([t for t, m in messages if m[0] & 0xF0 in (0x80, 0x90)])
    return np.array([t for t in times_s if np.abs(edges - t).min() > STEADY_S])


def heard_at(sound: np.ndarray, rate: int, times_s: np.ndarray) -> np.ndarray:
    return np.array([autocorrelation_pitch(sound, rate, t, BEND_STEP_S) for t in times_s])


def test_the_notes_sung_are_the_notes_that_fluidsynth_sounds(run_melody, sound_font, tmp_path):
    """Sound of the MIDI file against its own notes and bends, and both against the f0 that the tracker wrote."""
    program = run_melody("--input", "demo", "--midi-file", "demo.mid", "--csv", "demo.csv")
    assert program.wait(60) == 0, program.stderr
    messages = messages_of(tmp_path / "demo.mid")
    played = perform(messages)
    assert played.notes_left_on == 0 and played.note_ons >= 4

    sound, rate = render(messages, sound_font, tmp_path)
    moments = inside_notes(messages, np.arange(0.1, messages[-1][0], 0.02))
    moments = moments[np.isfinite(played.pitch_at(moments))]
    heard, meant = heard_at(sound, rate, moments), played.pitch_at(moments)
    assert len(moments) > 50
    assert np.mean(np.abs(heard - meant) <= 0.5) >= 0.95

    tracked = read_csv(tmp_path / "demo.csv")
    sung = np.where(tracked["voiced"] == 1, 69 + 12 * np.log2(tracked["f0_hz"] / 440), np.nan)
    assert agreement(played, tracked["time_s"], sung).share >= 0.9


def test_what_fluidsynth_sounds_is_tracked_back_to_the_same_notes(run_melody, sound_font, tmp_path):
    """A score that FluidSynth plays goes in as a file, and the notes of the score come out."""
    notes = [57, 60, 64, 69, 65, 62]
    score = [(0.2 + 0.6 * i + at, bytes([kind, note, 100])) for i, note in enumerate(notes) for at, kind in ((0.0, 0x90), (0.5, 0x80))]
    sound, rate = render(score, sound_font, tmp_path)
    import soundfile

    soundfile.write(tmp_path / "played.wav", sound, rate)
    program = run_melody("--input", "played.wav", "--midi-file", "back.mid")
    assert program.wait(60) == 0, program.stderr
    back = perform(messages_of(tmp_path / "back.mid"))
    middles = np.array([0.2 + 0.6 * i + 0.3 for i in range(len(notes))])
    assert back.pitch_at(middles + 0.05) == pytest.approx(notes, abs=0.5)
