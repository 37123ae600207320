"""The program as functions: the same answers as the command, and errors that say what to give instead."""

from __future__ import annotations

import ast
import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import rt_melody.realtime as api
from rt_melody.realtime import CsvSink, FileSource, NoteOff, NoteOn, run, track
from rt_melody.realtime.cli import main
from rt_melody.realtime.errors import RtMelodyError
from rt_melody.realtime.sources.demo import demo_phrase

RATE = 16000
ARRAYS = ("time_s", "f0_hz", "voiced", "confidence", "available_s")


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """The first notes of the demo song at 16 kHz."""
    return demo_phrase(RATE).samples[: 2 * RATE]


@pytest.fixture(scope="module")
def melody(voice):
    return track(voice, RATE)


def same(one, other) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ARRAYS) and one.events == other.events


def test_the_arrays_speak_of_each_hop(melody):
    assert {len(getattr(melody, name)) for name in ARRAYS} == {200}
    assert melody.time_s == pytest.approx(0.001 + np.arange(200) * 0.01)  # 10 ms of hop less 39 of look-ahead: 1 ms in
    assert melody.voiced.dtype == bool and 0 <= melody.confidence.min() <= melody.confidence.max() <= 1
    assert (melody.available_s - melody.time_s).max() <= melody.latency.bound_ms / 1000 + 1e-9
    assert melody.voiced.sum() > 30


def test_each_note_on_has_its_note_off(melody):
    ons, offs = ([e for e in melody.events if isinstance(e, kind)] for kind in (NoteOn, NoteOff))
    assert len(ons) == len(offs) > 0 and [e.note for e in ons] == [e.note for e in offs]
    assert all(on.time_s < off.time_s for on, off in zip(ons, offs))


def test_a_second_call_equals_the_first(voice, melody):
    assert same(track(voice, RATE), melody)


def test_the_command_writes_what_track_returns(tmp_path):
    """A stereo file of another rate: mixing down and resampling are the same too."""
    stereo = np.stack([demo_phrase(22050).samples[:30000]] * 2, axis=1) * np.array([1.0, 0.5], np.float32)
    path, out = tmp_path / "in.wav", tmp_path / "out.csv"
    soundfile.write(path, stereo, 22050, subtype="FLOAT")
    assert main(["--input", str(path), "--csv", str(out), "--quiet"]) == 0
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    melody = track(stereo, 22050)
    assert [row["f0_hz"] for row in rows] == [f"{f0:.3f}" for f0 in melody.f0_hz]
    assert [row["available_s"] for row in rows] == [f"{s:.6f}" for s in melody.available_s]


def test_run_is_the_same_loop_over_any_source_and_sink(tmp_path, voice, melody):
    soundfile.write(tmp_path / "in.wav", voice, RATE, subtype="FLOAT")
    stats = run(FileSource(tmp_path / "in.wav"), [CsvSink(tmp_path / "out.csv")])
    assert (stats.frames, stats.voiced_frames) == (200, melody.voiced.sum())
    assert stats.notes == sum(isinstance(event, NoteOn) for event in melody.events)
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 201


@pytest.mark.slow
def test_settings_reach_the_engine_and_the_tracker(voice, melody):
    assert track(voice, RATE, latency_ms=25).latency.total_ms <= 25 < melody.latency.total_ms
    sung_hz = melody.f0_hz[melody.voiced]
    above_hz = 210.0  # between the first note and the second
    assert sung_hz.min() < above_hz < sung_hz.max()
    narrow = track(voice, RATE, f0_min_hz=above_hz, f0_max_hz=600)
    assert narrow.voiced.sum() > 30 and narrow.f0_hz.min() > above_hz - 3
    slow = track(voice, RATE, notes={"on_ms": 5000})
    assert slow.events == [] and np.array_equal(slow.f0_hz, melody.f0_hz)


@pytest.mark.parametrize(
    "make",
    [lambda v: v.astype(np.float64), lambda v: v[:, None], lambda v: np.stack([v, v], 1), list],
    ids=["float64", "(n, 1)", "stereo", "list"],
)
def test_other_forms_of_the_same_sound(make, voice, melody):
    assert same(track(make(voice), RATE), melody)


def test_no_samples_are_no_frames():
    empty = track(np.zeros(0, np.float32), RATE)
    assert all(len(getattr(empty, name)) == 0 for name in ARRAYS) and empty.events == [] and len(empty.notes) == 0


def test_melodies_are_compared_and_cut_as_sequences_are():
    sound = demo_phrase(RATE).samples[:RATE]
    one, same, other = track(sound, RATE), track(sound, RATE), track(sound[: RATE // 2], RATE)
    assert one == same and one != other and one != 1 and other in [one, other]
    assert one[2:4] == [one[2], one[3]] and one[-1] == list(one)[-1] and one[:0] == []
    with pytest.raises(TypeError, match="integer"):
        one["f0_hz"]  # pyright: ignore[reportCallIssue, reportArgumentType]
    assert len(track(np.zeros((0, 2)), RATE)) == 0, "nothing, in stereo"


@pytest.mark.parametrize(
    "samples, said",
    [
        (np.zeros(800, np.int16), "int16.*samples / 32768"),
        (np.zeros(800, bool), "bool"),
        (np.zeros(800, complex), "complex"),
        (np.zeros((2, 800)), r"\(2, 800\).*transposed"),
        (np.zeros((800, 2, 2)), r"\(800, 2, 2\)"),
        (np.zeros((800, 0)), r"\(800, 0\)"),
        (np.float64(0.5), r"\(\)"),
        (np.full(800, 9000.0), "samples / 32768"),
    ],
)
def test_samples_of_another_type_or_shape(samples, said):
    with pytest.raises(ValueError, match=said):
        track(samples, RATE)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"sample_rate": 500}, "500 Hz.*1000 to 768000"),
        ({"sample_rate": 44100.5}, "44100.5 Hz"),
        ({"sample_rate": "16000"}, "'16000' Hz"),
        ({"sample_rate": RATE, "latency_ms": 4}, "4 ms cannot be met"),
        ({"sample_rate": RATE, "model": "gone.pt"}, "gone.pt"),
        ({"sample_rate": RATE, "f0_min_hz": 500, "f0_max_hz": 400}, "500 Hz is not below the highest, 400 Hz"),
        ({"sample_rate": RATE, "voicing_threshold": 1.0}, "threshold 1.0 cannot be used: it must be below 1"),
        ({"sample_rate": RATE, "f0_max_hz": 3000}, "55 .. 3000 Hz"),
        ({"sample_rate": RATE, "latency": 20}, "latency is no setting; did you mean latency_ms"),
    ],
)
def test_settings_that_cannot_be_used(options, said):
    with pytest.raises(RtMelodyError, match=said):
        track(np.zeros(800), **options)


def test_a_rate_that_is_whole_may_be_a_float(voice, melody):
    assert same(track(voice, float(RATE)), melody)


# --- the package


def test_every_name_of_the_package_is_there():
    for name in api.__all__:
        assert getattr(api, name).__name__ == name
    assert set(api.__all__) <= set(dir(api))
    with pytest.raises(AttributeError, match="no attribute 'Melodi'"):
        api.Melodi  # noqa: B018


def test_type_checkers_see_the_names_that_are_loaded_when_used():
    tree = ast.parse(Path(api.__file__).read_text(encoding="utf-8"))
    seen = {alias.name: node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    homes = {name: f"rt_melody.realtime.{home}" for name, home in api._HOMES.items()}
    assert {name: module for name, module in seen.items() if module.startswith("rt_melody")} == homes
    assert sorted(homes) == sorted(api.__all__)


def test_importing_the_package_costs_neither_torch_nor_devices():
    libraries = ("torch", "numba", "sounddevice", "rtmidi", "soundfile")
    heavy = f"import sys, rt_melody.realtime as r, rt_melody.realtime.cli; print([m for m in {libraries} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout == "[]\n"
