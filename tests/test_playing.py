"""From the command's options to what is played: the stage, the MIDI file, panic and the examples."""

from __future__ import annotations

import io
import json
import os
import signal

import mido
import pytest
import soundfile
from mpe_reader import MpeReader

from rt_melody.realtime import program
from rt_melody.realtime.cli import main
from rt_melody.realtime.errors import RtMelodyError
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.settings import MidiSettings, make_settings
from rt_melody.realtime.sinks import midi_ports
from rt_melody.realtime.sinks.csv_file import CsvSink
from rt_melody.realtime.sinks.json_lines import JsonlSink
from rt_melody.realtime.sinks.midi_file import MidiFileSink
from rt_melody.realtime.sources.demo import demo_phrase
from rt_melody.realtime.types import Loudness, NoteOff, NoteOn, PitchBend, PitchFrame

RATE = 16000
pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.fixture
def song() -> str:
    soundfile.write("song.wav", demo_phrase(RATE).samples[: 4 * RATE], RATE)
    return "song.wav"


def events_of(capsys, *arguments: str) -> list[dict]:
    assert main([*arguments, "--jsonl", "--quiet"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def notes_of(events) -> list[int]:
    return [e["note"] for e in events if e["type"] == "note_on"]


# --- options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scale", "H", "dur"], "scale 'H dur' is not known"),
        (["--key", "Q"], "scale 'Q' is not known"),
        (["--snap", "soft"], "snap 'soft' is not known"),
        (["--gate", "loud"], "gate 'loud' is not known; use off, auto, or a threshold"),
        (["--note-range", "C6", "C3"], "note range 84 .. 48 must ascend"),
        (["--note-range", "C3", "X"], "note 'X' is not known"),
        (["--velocity-curve", "fixed", "200"], "fixed velocity '200'"),
        (["--velocity-range", "-6", "-45"], "velocity range -6 .. -45 dBFS must ascend"),
        (["--brightness-range", "0", "1000"], "must lie above 0"),
        (["--a4", "44"], "--a4-hz 44 cannot be used: it must be at least 220"),
        (["--mode", "poly"], "--mode poly cannot be used: it must be one of 'mono'"),
        (["--midi-rate", "9999"], "must be at most 3125"),
        (["--offset-ms", "later"], "must be a number"),
        (["--velocity-range", "-6"], "must be auto alone, or two levels"),
    ],
)
@pytest.mark.parametrize("ask", [["--print-config"], ["--input", "no-such-file.wav"]])
def test_what_cannot_be_played_is_one_sentence_before_anything_begins(capsys, options, said, ask):
    assert main([*options, *ask]) == 2
    out, err = capsys.readouterr()
    assert said in err and "Traceback" not in err and out == ""


def test_options_become_the_performance():
    s = make_settings({
        "mode": "mpe", "transpose": "2", "octave": "-1", "a4_hz": "442", "scale": "f# minor", "snap": "30",
        "note_range": ["C3", "72"], "gate": "-45", "velocity_curve": ["fixed", "90"], "offset_ms": "-20",
    })  # fmt: skip
    p = s.performance
    assert (p.mode, p.transpose_semitones, p.a4_hz, p.fixed_scale.name, p.pull_semitones) == ("mpe", -10, 442.0, "F# minor", 0.3)
    assert (p.lowest, p.highest, p.velocity.velocity(-90.0), s.output.offset_s) == (48, 72, 90, -0.02)
    assert MelodyTracker.from_settings(s, RATE).gate.opens_at_db == -45.0


def test_without_options_notes_are_as_the_tracker_made_them():
    tracker = MelodyTracker.from_settings(sample_rate=RATE)
    p = tracker.performer.settings
    assert (p.mode, p.transpose_semitones, p.fixed_scale, p.finds_key, tracker.gate) == ("mono", 0, None, False, None)


# --- one path for all outputs


@pytest.mark.slow
def test_what_the_command_plays_is_shaped_in_every_output(capsys, song):
    plain = events_of(capsys, "--input", song, "--midi-file", "plain.mid", "--csv", "plain.csv")
    moved = events_of(
        capsys, "--input", song, "--transpose", "3", "--octave", "1", "--mode", "legato", "--offset-ms", "250",
        "--velocity-curve", "fixed", "90", "--midi-file", "moved.mid", "--csv", "moved.csv",
    )  # fmt: skip
    assert notes_of(moved) == [note + 15 for note in notes_of(plain)] and len(notes_of(plain)) >= 3
    assert {e["velocity"] for e in moved if e["type"] == "note_on"} == {90}
    starts = [[e["time_s"] for e in events if e["type"] == "note_on"] for events in (plain, moved)]
    assert starts[1] == pytest.approx([at_s + 0.25 for at_s in starts[0]])
    written = [[m for m in mido.MidiFile(name) if m.type == "note_on"] for name in ("plain.mid", "moved.mid")]
    assert [m.note for m in written[0]] == notes_of(plain) and [m.note for m in written[1]] == notes_of(moved)
    rows = [open(name).read().splitlines()[50].split(",") for name in ("plain.csv", "moved.csv")]
    assert float(rows[1][0]) - float(rows[0][0]) == pytest.approx(0.25)
    assert rows[0][1:] == rows[1][1:]  # f0 and available_s are of the sound, which is what it was


@pytest.mark.slow
def test_hard_snap_puts_every_pitch_on_the_scale(capsys, song):
    events = events_of(capsys, "--input", song, "--scale", "A", "minor")
    assert {note % 12 for note in notes_of(events)} <= {9, 11, 0, 2, 4, 5, 7}
    assert [e for e in events if e["type"] == "bend"] == []
    assert all(e["pitch"] == e["note"] for e in events if e["type"] == "note_on")


def test_a_shut_gate_hears_nothing(capsys, song):
    assert notes_of(events_of(capsys, "--input", song, "--gate", "0", "--csv", "gated.csv")) == []
    voiced = {row.split(",")[2] for row in open("gated.csv").read().splitlines()[1:]}
    assert voiced == {"0"}


@pytest.mark.slow
def test_an_mpe_file_is_understood(capsys, song):
    events = events_of(capsys, "--input", song, "--mode", "mpe", "--midi-file", "mpe.mid")
    reader = MpeReader()
    for message in mido.MidiFile("mpe.mid"):
        if not message.is_meta:
            reader.take(bytes(message.bytes()))
    assert [note.number for note in reader.notes] == notes_of(events) and reader.sounding == []
    assert [note.start["pitch"] for note in reader.notes] == pytest.approx(
        [e["pitch"] for e in events if e["type"] == "note_on"], abs=0.004
    )


# --- files


SLUR = (
    NoteOn(0.1, 0.15, 60, 90, 60.0),
    NoteOn(0.5, 0.55, 62, 90, 62.0, legato=True),
    NoteOff(0.51, 0.55, 60),
    PitchBend(0.6, 0.65, 62, 0.5),
    NoteOff(0.9, 0.95, 62),
)


def test_slurred_notes_overlap_in_a_midi_file():
    with MidiFileSink("slur.mid") as sink:
        sink.start(0.0)
        for event in SLUR:
            sink.event(event)
    now_s, found = 0.0, []
    for message in mido.MidiFile("slur.mid"):
        now_s += message.time
        if message.type in ("note_on", "note_off"):
            found.append((round(now_s, 3), message.type, message.note))
    assert found == [(0.1, "note_on", 60), (0.5, "note_on", 62), (0.51, "note_off", 60), (0.9, "note_off", 62)]


def test_json_lines_tell_of_a_slur():
    stream = io.StringIO()
    with JsonlSink(stream) as sink:
        for event in SLUR[:3]:
            sink.event(event)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["type"] for line in lines] == ["note_on", "note_on", "note_off", "note_off"]
    assert [line.get("legato") for line in lines] == [None, True, None, None]


@pytest.mark.parametrize("offset_s", [-0.3, 0.2])
def test_an_offset_moves_times_but_not_when_they_were_known(offset_s):
    with CsvSink("a.csv", offset_s) as sink:
        sink.start(100.0)
        sink.frame(PitchFrame(0, 1.0, 1.05, 440.0, True, 1.0, 1.0, -20.0))
    time_s, *_, available_s = open("a.csv").read().splitlines()[1].split(",")
    assert (float(time_s), float(available_s)) == (pytest.approx(1.0 + offset_s), 1.05)


def test_a_midi_file_cannot_begin_before_its_beginning():
    with MidiFileSink("early.mid", offset_s=-5.0) as sink:
        sink.start(0.0)
        for event in SLUR:
            sink.event(event)
    assert mido.MidiFile("early.mid").length < 0.01, "the announcements alone"
    assert not [m for m in mido.MidiFile("early.mid") if m.type.startswith("note")], "they had ended by then"


def test_bends_in_a_file_keep_to_the_rate_and_the_last_is_there():
    with MidiFileSink("slow.mid", MidiSettings(bytes_per_s=30)) as sink:
        sink.start(0.0)
        sink.event(NoteOn(0.0, 0.0, 60, 90, 60.0))
        for i in range(1, 201):
            sink.event(PitchBend(i / 100, i / 100, 60, i / 200))
        sink.event(NoteOff(4.0, 4.0, 60))
    now_s, bends = 0.0, []
    for message in mido.MidiFile("slow.mid"):
        now_s += message.time
        if message.type == "pitchwheel":
            bends.append((now_s, message.pitch))
    assert len(bends) < 40 and (bends[-2][1], bends[-1][1]) == (4096, 0) and 2.0 < bends[-2][0] < 2.2


def test_what_still_waits_for_the_rate_as_a_file_ends_is_written():
    with MidiFileSink("short.mid", MidiSettings(bytes_per_s=30, loudness="cc11", loudness_range=[-60.0, 0.0])) as sink:
        sink.start(0.0)
        sink.event(NoteOn(0.0, 0.0, 60, 90, 60.0, level_db=-60.0))
        for i in range(1, 101):
            sink.event(Loudness(i / 100, i / 100, 60, -60.0 + 0.6 * i))
        sink.event(NoteOff(1.01, 1.01, 60))
    levels = [message.value for message in mido.MidiFile("short.mid") if message.type == "control_change" and message.control == 11]
    assert len(levels) < 20 and levels[-1] == 127


# --- panic and examples


class Port:
    def __init__(self, name):
        self.name, self.sent, self.open = name, [], True

    def send_message(self, message):
        self.sent.append(bytes(message))

    def close_port(self):
        self.open = False

    def delete(self): ...


@pytest.fixture
def outputs(monkeypatch):
    """Two MIDI outputs, by name."""
    ports = {name: Port(name) for name in ("Synth A", "Synth B")}
    monkeypatch.setattr(midi_ports, "list_midi_outputs", lambda back_end=None: list(ports))
    monkeypatch.setattr(midi_ports, "open_midi_out", lambda name, back_end=None: ports[name])
    return ports


@pytest.mark.parametrize(("arguments", "silenced"), [([], ["Synth A", "Synth B"]), (["Synth B"], ["Synth B"])])
def test_panic_silences_every_channel_and_leaves(capsys, outputs, arguments, silenced):
    assert main(["--panic", *arguments]) == 0
    assert capsys.readouterr().out.splitlines() == [f"silenced {name}" for name in silenced]
    for name, port in outputs.items():
        read = mido.parse_all(b"".join(port.sent))
        for number in (120, 121, 123):
            channels = {m.channel for m in read if m.type == "control_change" and m.control == number}
            assert channels == (set(range(16)) if name in silenced else set())
        assert port.open == (name not in silenced)


def test_panic_without_outputs_is_one_sentence(capsys, monkeypatch):
    monkeypatch.setattr(midi_ports, "list_midi_outputs", lambda back_end=None: [])
    assert main(["--panic"]) == 2
    assert "no MIDI output was found" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1")
@pytest.mark.parametrize("playing", [0, 1, 2])
def test_sigusr1_asks_the_sinks_that_play_and_ends_nothing(playing):
    asked = []
    before = signal.getsignal(signal.SIGUSR1)
    try:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        with program.panic_on_signal([type("Sink", (), {"ask_panic": lambda self: asked.append(1)})() for _ in range(playing)]):
            os.kill(os.getpid(), signal.SIGUSR1)
        assert asked == [1] * playing
        assert signal.getsignal(signal.SIGUSR1) == signal.SIG_IGN, "as it was before"
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_examples_are_copied_and_never_over_anything(capsys):
    assert main(["--examples", "patches"]) == 0
    names = sorted(os.listdir("patches"))
    assert names == ["rt-melody.maxpat", "rt-melody.pd", "rt-melody.scd"]
    assert len(capsys.readouterr().out.splitlines()) == 3
    with open("patches/rt-melody.pd", "w") as file:
        file.write("mine")
    assert main(["--examples", "patches"]) == 2
    assert "is there already" in capsys.readouterr().err and open("patches/rt-melody.pd").read() == "mine"


def test_a_port_that_fails_during_panic_is_told(outputs):
    outputs["Synth A"].send_message = lambda message: (_ for _ in ()).throw(OSError("unplugged"))
    with pytest.raises(RtMelodyError, match="Synth A .*unplugged"):
        midi_ports.silence_outputs(["Synth A"])
