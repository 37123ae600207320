"""Other people's programs understand what we send: FluidSynth the MIDI file, Pure Data and liblo the OSC."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from rig_fluidsynth import messages_of, render

from rt_melody.benchmarks.rig.midi_reader import BEND_CENTRE, agreement, autocorrelation_pitch, perform
from rt_melody.realtime.sources.demo import demo_phrase

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


@pytest.fixture
def demo_midi(run_melody, tmp_path):
    """The channel messages of the MIDI file that the demo gave, its CSV beside it."""
    program = run_melody("--input", "demo", "--midi-file", "demo.mid", "--csv", "demo.csv")
    assert program.wait(60) == 0, program.stderr
    return messages_of(tmp_path / "demo.mid")


def test_the_notes_sung_are_the_notes_that_fluidsynth_sounds(demo_midi, sound_font, tmp_path):
    """Score of the demo -> voice -> tracker -> MIDI file -> FluidSynth -> ear, back at the score."""
    sound, rate = render(demo_midi, sound_font, tmp_path)
    score = demo_phrase().notes
    middles = [note.start_s + note.duration_s * np.array([0.4, 0.5, 0.6]) for note in score]
    heard = [float(np.median(heard_at(sound, rate, moments))) for moments in middles]
    assert heard == pytest.approx([note.pitch for note in score], abs=0.5)


def test_a_synthesiser_bends_as_far_as_was_meant(demo_midi, sound_font, tmp_path):
    """What sounds against notes and bends as written, and those against the f0 that the tracker gave."""
    played = perform(demo_midi)
    assert played.notes_left_on == 0 and played.bend_at_end == BEND_CENTRE
    sound, rate = render(demo_midi, sound_font, tmp_path)
    moments = inside_notes(demo_midi, np.arange(0.1, demo_midi[-1][0], 0.02))
    moments = moments[np.isfinite(played.pitch_at(moments))]
    assert len(moments) > 50
    difference = np.abs(heard_at(sound, rate, moments) - played.pitch_at(moments))
    assert np.mean(difference <= 0.5) >= 0.95

    tracked = read_csv(tmp_path / "demo.csv")
    sung = np.where(tracked["voiced"] == 1, 69 + 12 * np.log2(tracked["f0_hz"] / 440), np.nan)
    assert agreement(played, tracked["time_s"], sung).share >= 0.9


# --- OSC

WRITTEN = ("--csv", "demo.csv", "--midi-file", "demo.mid")  # what went out besides, to compare with
OSC_TYPES = {"/rt-melody/f0": "fiff", "/rt-melody/note/on": "iif", "/rt-melody/note/off": "i", "/rt-melody/bend": "f"}


def midi_notes(path, kind: int) -> list[tuple[int, int]]:
    return [(message[1], message[2]) for _, message in messages_of(path) if message[0] & 0xF0 == kind]


def test_pure_data_receives_every_frame_and_every_note(run_melody, pure_data, tmp_path):
    """Counted and compared against the CSV and the MIDI file of the same run, value by value."""
    program = run_melody("--input", "demo", "--realtime", "--osc", f"127.0.0.1:{pure_data.port}", *WRITTEN)
    assert program.wait(60) == 0, program.stderr
    pure_data.wait_for_quiet()
    received = [message[1:] for message in pure_data.messages if message[0] == "rt-melody"]
    frames = np.array([values[1:] for values in received if values[0] == "f0"], dtype=float)
    tracked = read_csv(tmp_path / "demo.csv")
    assert len(frames) == len(tracked["time_s"])
    np.testing.assert_allclose(frames[:, 0], tracked["f0_hz"], rtol=1e-3)
    np.testing.assert_array_equal(frames[:, 1], tracked["voiced"])

    begun = [(int(values[2]), int(values[3])) for values in received if values[:2] == ["note", "on"]]
    ended = [int(values[2]) for values in received if values[:2] == ["note", "off"]]
    assert begun == midi_notes(tmp_path / "demo.mid", 0x90) and len(begun) >= 4
    assert ended == [note for note, _ in begun]


def test_oscdump_reads_the_documented_addresses_and_types(run_melody, oscdump):
    program = run_melody("--input", "demo", "--osc", f"127.0.0.1:{oscdump.port}")
    assert program.wait(60) == 0, program.stderr
    oscdump.wait_for_quiet()
    seen = set(oscdump.messages)
    assert set(OSC_TYPES.items()) <= seen
    assert {address for address, _ in seen} <= {*OSC_TYPES, "/rt-melody/loudness", "/rt-melody/brightness"}, (
        "and no key without --scale auto"
    )
