"""``rt-melody doctor``: each check at its edges, and that the whole says what it found, with the cure."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from fake_audio import FakeAudio, FakeStream, PortAudioError
from numpy import full

from rt_melody.kernels import compiled
from rt_melody.realtime import cli
from rt_melody.realtime.commands import doctor
from rt_melody.realtime.commands.doctor import FAULT, HINT, OK, Check, all_checks, clock_check, level_check, load_check
from rt_melody.realtime.errors import DeviceError, InputError
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.sinks import midi_ports

PLATFORMS = ("linux", "darwin", "win32")


@pytest.mark.parametrize("version, state", [((3, 9, 18), FAULT), ((3, 10, 0), OK), ((4, 0, 0), OK)])
def test_an_older_python_is_a_fault(version, state, monkeypatch):
    monkeypatch.setattr(sys, "version_info", version)
    check = doctor.check_python()
    assert check.state == state and bool(check.cure) == (state == FAULT)


def test_the_model_is_made_ready_and_what_is_wrong_with_it_is_told(monkeypatch):
    monkeypatch.setattr(compiled, "cache_notice", lambda: None)
    check = doctor.check_torch()
    assert check.state == OK and check.seen.startswith(f"{torch.__version__}, the model is ready in ")
    monkeypatch.setattr(compiled, "cache_notice", lambda: "it is compiled at each start")
    check = doctor.check_torch()
    assert (check.state, check.cure) == (HINT, "it is compiled at each start")

    def damaged(*_, **__):
        raise InputError("live.pt is damaged")

    monkeypatch.setattr(MelodyTracker, "from_settings", damaged)
    assert doctor.check_torch() == Check("PyTorch", FAULT, "live.pt is damaged")
    monkeypatch.setitem(sys.modules, "torch", None)
    check = doctor.check_torch()
    assert check.state == FAULT and "cannot be loaded" in check.seen and "pip install" in check.cure


@pytest.mark.parametrize(
    "level_db, overflows, state, word",
    [
        (None, 0, FAULT, "choose another --device"),
        (-120.0, 0, FAULT, "digital silence"),
        (-85.0, 0, HINT, "phantom power"),
        (-50.0, 3, HINT, "dropped 3 times"),
        (-50.0, 0, OK, "-50 dBFS in blocks of 2.7 ms"),
    ],
)
def test_the_microphones_level_is_judged(level_db, overflows, state, word):
    check = level_check(level_db, 2.67, overflows)
    assert check.state == state and word in check.line()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_silence_is_cured_as_the_platform_wants_it(platform, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    assert level_check(-120.0, 1.0, 0).cure == doctor.PERMISSION[platform]


@pytest.mark.parametrize("hz, state", [(48_010.0, OK), (47_960.0, OK), (48_060.0, FAULT), (44_100.0, FAULT), (None, HINT)])
def test_the_clock_may_drift_and_not_be_another(hz, state):
    assert clock_check(hz, 48_000).state == state


@pytest.mark.parametrize(
    "bound_ms, worst_ms, share, state",
    [(10, 4.9, 0.2, OK), (10, 5.1, 0.2, HINT), (50, 39.9, 0.2, OK), (50, 40.1, 0.2, FAULT), (50, 5.0, 0.95, FAULT)],
)
def test_a_bound_must_hold_the_stall_and_the_hop(bound_ms, worst_ms, share, state):
    assert load_check(bound_ms, 1.0, worst_ms, 5.0 if bound_ms < 30 else 10.0, share).state == state


def test_a_recorder_of_8_khz_is_a_headset():
    check = doctor.check_inputs(None, FakeAudio([("Buds", 0, 1, 16_000.0)]))
    assert check.state == HINT and "16000 Hz" in check.seen and "Bluetooth" in check.cure


@pytest.mark.parametrize("platform", PLATFORMS)
def test_midi_is_told_with_what_makes_a_port_here(platform, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(midi_ports, "list_midi_outputs", lambda back_end=None: ["Synth"])
    assert doctor.check_midi() == Check("MIDI", OK, f"1 outputs (Synth); {doctor.VIRTUAL_PORT[platform]}")
    monkeypatch.setattr(midi_ports, "list_midi_outputs", lambda back_end=None: [])
    assert doctor.check_midi().state == (FAULT if platform == "win32" else OK)
    assert platform != "win32" or "loopMIDI" in doctor.check_midi().cure

    def no_system(back_end=None):
        raise DeviceError(midi_ports.NO_SYSTEM.format(tried="ALSA, JACK"))

    monkeypatch.setattr(midi_ports, "list_midi_outputs", no_system)
    assert doctor.check_midi() == Check("MIDI", FAULT, "no MIDI system answers here (ALSA, JACK)", doctor.NO_MIDI[platform])


def test_the_microphone_is_heard_and_its_clock_measured(monkeypatch):
    audio = FakeAudio([("mic", 0, 1, 48_000.0)])
    monkeypatch.setattr(FakeStream, "start", lambda stream: (setattr(stream, "active", True), stream.play(full((480, 1), 0.01))))
    microphone, clock = doctor.check_microphone(None, audio, 0.05)
    assert microphone.state == OK and "-40 dBFS" in microphone.seen and clock.state == HINT, "too little for a clock"
    audio.failure = PortAudioError("busy", -9985)
    (fault,) = doctor.check_microphone(None, audio, 0.05)
    assert fault.state == FAULT and "is busy or was unplugged" in fault.seen


def test_what_is_missing_stops_no_other_check(monkeypatch):
    def no_midi(back_end=None):
        raise DeviceError("none")

    monkeypatch.setattr(midi_ports, "list_midi_outputs", no_midi)
    monkeypatch.setattr(doctor, "check_torch", lambda: Check("PyTorch", FAULT, "it cannot be loaded"))
    names = [check.name for check in all_checks(quick=True, backend=FakeAudio([]))]
    assert names == ["Python", "PyTorch", "PortAudio", "inputs", "outputs", "MIDI", "priority"]


@pytest.mark.parametrize("state, status", [(OK, 0), (HINT, 0), (FAULT, 1)])
def test_the_status_says_whether_there_is_a_fault_and_json_says_the_same(state, status, monkeypatch, capsys):
    checks = [Check("Python", OK, "3"), Check("inputs", state, "none", "plug one in")]
    monkeypatch.setattr(doctor, "all_checks", lambda *_: iter(checks))
    assert cli.main(["doctor"]) == status
    assert capsys.readouterr().out.splitlines()[1] == f"{state:<5}  inputs        none: plug one in"
    assert cli.main(["doctor", "--json"]) == status
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is (status == 0) and told["checks"][1] == {"name": "inputs", "state": state, "seen": "none", "cure": "plug one in"}


def test_a_slip_is_one_sentence(capsys):
    assert cli.main(["doctor", "--jsn"]) == 2
    said = "rt-melody: there is no option --jsn; did you mean --json?; rt-melody doctor --help lists the options\n"
    assert capsys.readouterr().err == said
