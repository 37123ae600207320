"""--jack on the command line: what it refuses, each in one sentence."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from rt_melody.realtime.cli import main
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.jack import client, module
from rt_melody.realtime.latency import LatencyPart
from rt_melody.realtime.program import Program
from rt_melody.realtime.settings import make_settings
from rt_melody.realtime.signals import stop_signals


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--jack", "--input", "demo"], "--jack has nothing to do; listen with --input mic, or play with --midi-out"),
        (["--jack", "--device", "3"], "--device 3 is a number of PortAudio's; with --jack give a part of a name in the graph"),
        (
            ["--jack", "--listen", "keys", "--listen-device", "3"],
            "--listen-device 3 is a number of PortAudio's; with --jack give a part of a name in the graph",
        ),
        (
            ["--jack", "--listen", "keys", "--listen-device", "usb", "--backing", "song.wav"],
            "--listen-device usb: with --jack the instrument goes out with the song; leave it out, or give --output-device",
        ),
        (["--jack", "--rate", "44100"], "--rate is not asked of JACK, whose graph has a rate of its own; leave it out, or --jack"),
        (
            ["--jack", "--midi-out", "--midi-back-end", "python-rtmidi"],
            "--midi-back-end is not used with --jack, whose MIDI port is in the graph; leave it out, or --jack",
        ),
    ],
)
def test_what_does_not_go_with_jack_is_refused(arguments, sentence, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"rt-melody: {sentence}\n"


def test_a_graph_that_cannot_be_joined_is_told(capsys, monkeypatch):
    def missing():
        raise DeviceError("--jack needs the JACK library; install it")

    monkeypatch.setattr(client, "load", missing)
    assert main(["--jack"]) == 2
    assert capsys.readouterr().err == "rt-melody: --jack needs the JACK library; install it\n"


def test_the_period_is_in_the_latency_that_is_told(capsys):
    with stop_signals() as signals:
        program = Program(make_settings({"jack": True, "midi_out": "virtual"}), signals)
        program.jack = SimpleNamespace(midi=SimpleNamespace(latency=LatencyPart("JACK", 21.5, "a period")))
        program._prepare_tracker(16000)
    program.background.close()
    said = capsys.readouterr().err
    assert "21.50 ms  JACK: a period" in said and "until a note begins" in said


def test_without_its_module_pip_is_told_what_it_can_find(monkeypatch):
    monkeypatch.setitem(sys.modules, "jack", None)
    with pytest.raises(DeviceError, match=r"--jack needs .*-m pip install JACK-Client`"):
        module._import_module(None)
