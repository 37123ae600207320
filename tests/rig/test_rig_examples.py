"""The examples as their users run them: the patch for Pure Data, the file for SuperCollider; and they sound."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
import soundfile
from rig_osc import EXAMPLES, PureDataExample, SuperColliderExample

from rt_melody.benchmarks.rig.midi_reader import autocorrelation_pitch
from rt_melody.benchmarks.rig.studio import need_program, wait_until
from rt_melody.realtime.types import hz_to_midi

PORT = 9000  # the one that the examples listen to
DEMO = ("--input", "demo", "--realtime", "--osc", f"127.0.0.1:{PORT}", "--jsonl")


def events_of(program) -> list[dict]:
    assert program.wait(300) == 0, program.stderr
    return [json.loads(line) for line in program.stdout.splitlines()]


@pytest.fixture
def pure_data_example(tmp_path, children, rig):
    with rig():
        children.append(PureDataExample(tmp_path, ("rt-melody-hz", "rt-melody-note", "rt-melody-gate", "rt-melody-level", "rt-melody-key")))
    return children[-1]


@pytest.fixture
def supercollider_example(tmp_path, children, rig, jack_server):
    with rig():
        children.append(SuperColliderExample(tmp_path, jack_server.env))
    return children[-1]


def test_the_pure_data_patch_makes_of_it_what_it_says(run_melody, pure_data_example):
    """Frequencies, notes, gates and levels that its senders give, against the events of the same run."""
    events = events_of(run_melody(*DEMO))
    pure_data_example.wait_for_quiet()
    pitches = [e["pitch"] if e["type"] == "note_on" else e["note"] + e["semitones"] for e in events if e["type"] in ("note_on", "bend")]
    made = [hz_to_midi(hz) for hz in pure_data_example.values("rt-melody-hz")]
    assert len(pitches) > 20 and made == pytest.approx(pitches, abs=0.005)
    begun = [e for e in events if e["type"] == "note_on"]
    assert pure_data_example.values("rt-melody-note") == [e["note"] for e in begun]
    gates = pure_data_example.values("rt-melody-gate")
    assert gates[0::2] == pytest.approx([e["velocity"] / 127 for e in begun], abs=1e-4) and set(gates[1::2]) == {0.0}
    levels = [e["level_db"] for e in events if e["type"] == "loudness"]
    assert pure_data_example.values("rt-melody-level") == pytest.approx(levels, abs=0.01)


def test_the_pure_data_patch_is_told_the_key(run_melody, pure_data_example):
    keys = [(e["tonic"], e["name"]) for e in events_of(run_melody(*DEMO, "--scale", "auto")) if e["type"] == "key"]
    pure_data_example.wait_for_quiet()
    printed = (line.replace("\\ ", " ") for line in pure_data_example.lines)  # as Pure Data shows a space in a symbol
    told = [line.split(maxsplit=2)[1:] for line in printed if line.startswith("rt-melody-key:")]
    assert keys and [(int(tonic), name) for tonic, name in told] == keys


def test_the_pure_data_patch_sounds(tmp_path, rig):
    """Its sender rt-melody-sound, faster than real time, told a pitch as the network would: 220 Hz."""
    sound = tmp_path / "pd.wav"
    lines = [
        "#N canvas 0 0 450 300 12;", "#X obj 0 0 r~ rt-melody-sound;", "#X obj 0 30 tabwrite~ tap;", "#X obj 200 0 loadbang;",
        "#X msg 200 30 \\; pd dsp 1 \\; rt-melody-hz 220 \\; rt-melody-gate 1 \\; rt-melody-level -20;",
        "#X obj 300 30 table tap 48000;", "#X obj 100 30 delay 20;", "#X obj 200 60 delay 1100;",
        f"#X msg 200 90 write -wave {sound} tap;", "#X obj 200 120 soundfiler;",  # which writes at once; writesf~ has a thread
        "#X obj 300 60 delay 1200;", "#X msg 300 90 \\; pd quit;",
        "#X connect 0 0 1 0;", "#X connect 2 0 3 0;", "#X connect 2 0 5 0;", "#X connect 5 0 1 0;", "#X connect 2 0 6 0;",
        "#X connect 6 0 7 0;", "#X connect 7 0 8 0;", "#X connect 2 0 9 0;", "#X connect 9 0 10 0;",
    ]  # fmt: skip
    (tmp_path / "tap.pd").write_text("\n".join(lines) + "\n")
    with rig():
        command = [need_program("pd"), "-nogui", "-batch", "-r", "48000", "-open", str(EXAMPLES / "rt-melody.pd"), "-open", "tap.pd"]
    subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, timeout=60, check=True)
    samples, rate = soundfile.read(sound)
    assert autocorrelation_pitch(samples, rate, 0.5) == pytest.approx(hz_to_midi(220.0), abs=0.05)


def test_supercollider_sings_after_the_singer(run_melody, supercollider_example):
    """What it tells are the notes that were sent; what it sounds has their pitches in their order."""
    supercollider_example.wait_for("take begun")
    events = events_of(run_melody(*DEMO))
    begun = [e for e in events if e["type"] == "note_on"]
    wait_until(lambda: len(supercollider_example.notes) == len(begun), 10, "its last note")
    assert supercollider_example.notes == [(e["note"], e["velocity"]) for e in begun] and len(begun) >= 4
    (supercollider_example.sound.parent / (supercollider_example.sound.name + ".stop")).touch()
    supercollider_example.wait_for("take ended")
    samples, rate = soundfile.read(supercollider_example.sound, always_2d=True)
    heard = np.array([autocorrelation_pitch(samples[:, 0], rate, at_s) for at_s in np.arange(0.1, len(samples) / rate - 0.1, 0.01)])
    heard = heard[np.isfinite(heard)]
    for event in begun:
        assert np.sum(np.abs(heard - event["pitch"]) < 0.6) >= 5, f"note {event['note']} is not to be heard"
    assert np.mean([np.min(np.abs(h - np.array([e["pitch"] for e in begun]))) < 1.0 for h in heard]) > 0.8


def test_the_max_patch_is_whole():
    """No Max here: its connections go from outlets to inlets that there are, and it routes our addresses."""
    patch = json.loads((EXAMPLES / "rt-melody.maxpat").read_text())["patcher"]
    boxes = {box["box"]["id"]: box["box"] for box in patch["boxes"]}
    assert len(boxes) == len(patch["boxes"])
    for line in patch["lines"]:
        (source, outlet), (target, inlet) = line["patchline"]["source"], line["patchline"]["destination"]
        assert outlet < boxes[source]["numoutlets"] and inlet < boxes[target]["numinlets"]
    routed = next(box["text"].split()[1:] for box in boxes.values() if box.get("text", "").startswith("route /"))
    from rt_melody.realtime.sinks.osc import ADDRESSES

    assert set(routed) == {address for address, _ in ADDRESSES.values()}
    assert any(box.get("text") == f"udpreceive {PORT}" for box in boxes.values())
