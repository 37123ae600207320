"""CSV, JSON lines and MIDI files: what is in them, when, and what is left when the disk is full."""

from __future__ import annotations

import io
import json
import os
import time
from contextlib import contextmanager
from types import SimpleNamespace

import mido
import numpy as np
import pytest

from rt_melody.realtime.errors import OutputError, SettingsError
from rt_melody.realtime.notes import NoteTracker
from rt_melody.realtime.settings import MidiSettings, make_settings
from rt_melody.realtime.sinks import midi_file, output_file
from rt_melody.realtime.sinks.csv_file import CsvSink
from rt_melody.realtime.sinks.json_lines import LINES_WAITING, JsonlSink
from rt_melody.realtime.sinks.midi_file import MidiFileSink, variable_length
from rt_melody.realtime.sinks.table import SinkRequest
from rt_melody.realtime.types import Loudness, NoteOff, NoteOn, PitchBend, PitchFrame, midi_to_hz

HEADER = "time_s,f0_hz,voiced,confidence,available_s"


def frame(i, pitch=69.0, level_db=-20.0):
    f0_hz = 100.0 if pitch is None else midi_to_hz(pitch)
    return PitchFrame(i, i * 0.01, i * 0.01 + 0.05, f0_hz, pitch is not None, 0.99, 0.5, level_db)


def play(sink, line, tracker=None):
    """Frames and the notes of a tracker, as a session gives them; the sink is left open."""
    tracker = tracker or NoteTracker()
    for i, pitch in enumerate(line):
        sink.frame(frame(i, pitch))
        for event in tracker.feed(frame(i, pitch)):
            sink.event(event)


def play_one(sink, tracker, i, pitch, begun: list) -> None:
    """A frame and its notes; ``begun`` gets when each note was sent."""
    sink.frame(frame(i, pitch))
    for event in tracker.feed(frame(i, pitch)):
        sink.event(event)
        if isinstance(event, NoteOn):
            begun.append(frame(i, pitch).available_s)


@contextmanager
def full_disk(at_bytes):
    """No file of this process grows beyond ``at_bytes``."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_csv_rows_are_exact(tmp_path):
    path = tmp_path / "a.csv"
    with CsvSink(path) as sink:
        sink.start(0.0)
        sink.frame(frame(0))
        sink.frame(frame(123, None))
    assert path.read_bytes().decode() == (
        f"{HEADER}\n0.000000,440.000,1,0.9900,0.050000\n1.230000,100.000,0,0.9900,1.280000\n"
    )


def test_csv_is_on_the_disk_after_a_second_without_close(tmp_path):
    sink = CsvSink(tmp_path / "a.csv")
    sink.start(0.0)
    for i in range(151):
        sink.frame(frame(i))
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert rows[0] == HEADER and len(rows) - 1 >= 151 - 100
    sink.close()
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 152


def test_csv_of_no_frames_has_its_header(tmp_path):
    with CsvSink(tmp_path / "a.csv") as sink:
        sink.start(0.0)
    assert (tmp_path / "a.csv").read_text() == HEADER + "\n"


def test_times_go_on_when_the_stream_begins_anew(tmp_path):
    with CsvSink(tmp_path / "a.csv") as sink:
        sink.start(1000.0)
        sink.frame(frame(0))
        sink.start(1007.5)
        sink.frame(frame(0))
    assert [row.split(",")[0] for row in (tmp_path / "a.csv").read_text().split()[1:]] == ["0.000000", "7.500000"]


@pytest.mark.parametrize("make", [CsvSink, MidiFileSink])
def test_a_sink_that_never_starts_leaves_the_folder_as_it_was(make, tmp_path):
    old = tmp_path / "old"
    old.write_text("an earlier take")
    make(old).close()
    make(tmp_path / "new").close()
    assert old.read_text() == "an earlier take" and os.listdir(tmp_path) == ["old"]


@pytest.mark.parametrize("make", [CsvSink, MidiFileSink])
def test_an_earlier_longer_file_leaves_nothing_behind(make, tmp_path):
    fresh, reused = tmp_path / "fresh", tmp_path / "reused"
    reused.write_bytes(b"x" * 100_000)
    for path in (fresh, reused):
        with make(path) as sink:
            sink.start(0.0)
            play(sink, [69.0] * 30)
    assert reused.read_bytes() == fresh.read_bytes()


@pytest.mark.parametrize("make", [CsvSink, MidiFileSink])
def test_a_place_that_cannot_be_written_is_told_when_the_sink_is_made(make, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="no folder .*nowhere; create it"):
        make(tmp_path / "nowhere" / "a")
    with pytest.raises(OutputError, match="is a folder"):
        make(tmp_path)
    with pytest.raises(OutputError, match="a cannot be written .Not a directory"):
        make(tmp_path / "file" / "a")


@pytest.mark.parametrize("make", [CsvSink, MidiFileSink])
def test_a_file_that_a_thread_writes_is_the_same(make, tmp_path):
    line = [60 + (i // 20) % 5 for i in range(500)]
    for name, live in (("at once", False), ("live", True)):
        with make(tmp_path / name, live=live) as sink:
            sink.start(0.0)
            play(sink, line)
    assert (tmp_path / "live").read_bytes() == (tmp_path / "at once").read_bytes() != b""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_nobody_reads_holds_nobody_up_live(tmp_path, monkeypatch):
    """More than a pipe takes; the end waits a moment for its reader, then tells."""
    monkeypatch.setattr(output_file, "CLOSE_S", 0.05)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        sink = CsvSink(path, live=True)
        sink.start(0.0)
        for i in range(5000):
            sink.frame(frame(i))
        with pytest.raises(OutputError, match="pipe took nothing for 0.05 s"):
            sink.close()
        sink.close()
    finally:
        os.close(reader)


@pytest.mark.parametrize("live", [False, True])
def test_what_a_full_disk_refused_is_written_at_the_end_if_there_is_room(live, tmp_path):
    sink = CsvSink(tmp_path / "a.csv", live=live)
    sink.start(0.0)
    with full_disk(10_000), pytest.raises(OutputError, match="cannot be written further"):
        for i in range(500):
            sink.frame(frame(i))
            time.sleep(0.001 if live else 0.0)
    sink.close()
    rows = (tmp_path / "a.csv").read_text().splitlines()[1:]
    assert rows and [row.split(",")[0] for row in rows] == [f"{j / 100:.6f}" for j in range(len(rows))]
    assert len(rows) >= i, "all but the frame at which the failure was told"


def test_a_negative_offset_leaves_out_what_lies_before_the_file(tmp_path):
    """A note that ended by then is no note; one that sounds on begins with the file, bent as it is by then."""
    with MidiFileSink(tmp_path / "a.mid", offset_s=-1.0) as sink:
        sink.start(0.0)
        for event in (
            NoteOn(0.1, 0.15, 60, 64, 60.0), NoteOff(0.5, 0.55, 60),
            NoteOn(0.6, 0.65, 62, 64, 62.4), PitchBend(0.7, 0.75, 62, 0.2), PitchBend(0.8, 0.85, 62, 0.0), NoteOff(2.0, 2.05, 62),
        ):
            sink.event(event)
    told, now_s = [], 0.0
    for message in mido.MidiFile(tmp_path / "a.mid"):
        now_s += message.time
        told.append((round(now_s, 2), message.type, getattr(message, "note", getattr(message, "pitch", None))))
    sounding = told[[kind for _, kind, _ in told].index("note_on") :]
    assert sounding[0] == (0.0, "note_on", 62) and (1.0, "note_off", 62) in sounding and len([w for w in told if w[1] == "note_on"]) == 1
    bends = [bend for at_s, kind, bend in told if kind == "pitchwheel" and at_s < 0.99]
    assert bends[-1] == 0, "in tune from the file's beginning on"


def test_a_full_disk_keeps_the_csv_rows_before_it(tmp_path):
    path = tmp_path / "a.csv"
    sink = CsvSink(path)
    sink.start(0.0)
    with full_disk(10_000):
        with pytest.raises(OutputError, match=f"{path} cannot be written further"):
            for i in range(1000):
                sink.frame(frame(i))
        sink.close()
    rows = path.read_text().split("\n")
    assert rows[-1] == "" and path.stat().st_size > 10_000 - 60, "whole rows, and not one fewer than fit"
    assert [row.split(",")[0] for row in rows[1:-1]] == [f"{i / 100:.6f}" for i in range(len(rows) - 2)]


def test_a_full_disk_leaves_a_midi_file_that_plays(tmp_path):
    path = tmp_path / "a.mid"
    line = [60 + (i // 20) % 5 for i in range(2000)]
    sink = MidiFileSink(path)
    sink.start(0.0)
    with full_disk(400):
        with pytest.raises(OutputError, match=f"{path} cannot be written further"):
            play(sink, line)
        sink.close()
    kept = notes_in(path)
    assert len(kept) > 10
    with MidiFileSink(tmp_path / "whole.mid") as sink:
        sink.start(0.0)
        play(sink, line)
    assert notes_in(tmp_path / "whole.mid")[: len(kept)] == kept


def test_a_disk_that_fills_at_the_end_is_still_told(tmp_path):
    sink = CsvSink(tmp_path / "a.csv")
    sink.start(0.0)
    sink.frame(frame(0))
    with full_disk(20), pytest.raises(OutputError, match="cannot be written further"):
        sink.close()


def timed(path):
    """(seconds, message) of a MIDI file, meta messages left out."""
    now_s, found = 0.0, []
    for message in mido.MidiFile(path):
        now_s += message.time
        if not message.is_meta:
            found.append((round(now_s, 3), message))
    return found


def notes_in(path):
    return [(at, m.type, m.note) for at, m in timed(path) if m.type.startswith("note")]


@pytest.mark.parametrize("value", [0, 0x40, 0x7F, 0x80, 0x2000, 0x3FFF, 0x4000, 0x1FFFFF, 0x200000, 0x0FFFFFFF])
def test_variable_length_is_read_back(value):
    data = io.BytesIO(variable_length(value))
    assert mido.midifiles.midifiles.read_variable_int(data) == value and data.read() == b""


def test_variable_length_of_the_specification():
    assert variable_length(0x4000).hex() == "818000" and variable_length(0x0FFFFFFF).hex() == "ffffff7f"


def test_a_midi_file_is_in_time_with_the_sound(tmp_path):
    path = tmp_path / "a.mid"
    with MidiFileSink(path, MidiSettings(channel=3, bend_range_semitones=12)) as sink:
        sink.start(0.0)
        play(sink, [None] * 50 + [60.0] * 40 + [64.5] * 60 + [None] * 80)
    file = mido.MidiFile(path)
    assert (file.type, len(file.tracks)) == (0, 1) and file.ticks_per_beat >= 480
    assert [m.tempo for m in file.tracks[0] if m.type == "set_tempo"] == [500_000]
    assert notes_in(path) == [
        (0.5, "note_on", 60), (0.9, "note_off", 60), (0.9, "note_on", 64), (1.5, "note_off", 64),
    ]  # fmt: skip
    messages = [m for _, m in timed(path)]
    assert {m.channel for m in messages} == {2}
    assert [(m.control, m.value) for m in messages if m.type == "control_change"] == [
        (101, 0), (100, 0), (6, 12), (38, 0), (101, 127), (100, 127),
    ]  # fmt: skip
    bends = [(at, m.pitch / 8192 * 12) for at, m in timed(path) if m.type == "pitchwheel"]
    assert bends == [(0.0, 0.0), (0.9, pytest.approx(0.5, abs=0.001)), (1.5, 0.0)]


@pytest.mark.parametrize("tempo_bpm", [60.0, 97.3])
def test_the_tempo_changes_the_ruler_and_not_the_time(tmp_path, tempo_bpm):
    with MidiFileSink(tmp_path / "a.mid", tempo_bpm=tempo_bpm) as sink:
        sink.start(0.0)
        play(sink, [None] * 50 + [60.0] * 3000 + [None] * 10)
    on, off = notes_in(tmp_path / "a.mid")
    assert (on[0], off[0]) == pytest.approx((0.5, 30.5), abs=0.002)


def test_bends_that_belong_to_the_next_note_are_left_out(tmp_path):
    with MidiFileSink(tmp_path / "a.mid") as sink:
        sink.start(0.0)
        for event in (
            NoteOn(0.0, 0.0, 60, 90, 60.0),
            PitchBend(0.5, 0.5, 60, 0.4),
            PitchBend(0.61, 0.61, 60, 1.9),  # on the way: the note was over at 0.6
            NoteOff(0.6, 0.64, 60),
            NoteOn(0.6, 0.64, 62, 90, 62.0),
            PitchBend(0.7, 0.75, 62, -0.2),
        ):
            sink.event(event)
    bends = [(at, round(m.pitch / 4096, 2)) for at, m in timed(tmp_path / "a.mid") if m.type == "pitchwheel"]
    assert bends == [(0.0, 0.0), (0.5, 0.4), (0.6, 0.0), (0.7, -0.2), (0.75, 0.0)]


def test_a_slurred_notes_bends_do_not_bend_the_note_after_it(tmp_path):
    """They overlap on one channel, and the old one's last bends are dated into the overlap."""
    with MidiFileSink(tmp_path / "a.mid") as sink:
        sink.start(0.0)
        for event in (
            NoteOn(0.0, 0.0, 60, 90, 60.0),
            PitchBend(0.605, 0.62, 60, 1.8),  # on the way: the next note began at 0.6
            NoteOn(0.6, 0.64, 62, 90, 62.0, legato=True),
            NoteOff(0.61, 0.64, 60),
            PitchBend(0.7, 0.75, 62, -0.2),
        ):
            sink.event(event)
    bends = [(at, round(m.pitch / 4096, 2)) for at, m in timed(tmp_path / "a.mid") if m.type == "pitchwheel"]
    assert bends == [(0.0, 0.0), (0.7, -0.2), (0.75, 0.0)]


def test_a_bend_that_is_dated_back_is_the_last_word(tmp_path):
    """The held note of ``bend`` mode was on its way; then it was known to have arrived elsewhere, from 0.6 on."""
    with MidiFileSink(tmp_path / "a.mid") as sink:
        sink.start(0.0)
        for event in (
            NoteOn(0.0, 0.0, 60, 90, 60.0),
            PitchBend(0.62, 0.63, 60, 0.4),
            PitchBend(0.63, 0.64, 60, 0.3),
            PitchBend(0.6, 0.65, 60, 2.0),
            NoteOff(1.0, 1.05, 60),
        ):
            sink.event(event)
    bends = [(at, round(m.pitch / 4096, 2)) for at, m in timed(tmp_path / "a.mid") if m.type == "pitchwheel"]
    assert bends == [(0.0, 0.0), (0.6, 2.0), (1.0, 0.0)]


def test_a_midi_file_plays_before_it_is_closed(tmp_path):
    sink = MidiFileSink(tmp_path / "a.mid")
    sink.start(0.0)
    line = [60 + (i // 20) % 5 for i in range(500)]
    play(sink, line)
    early = notes_in(tmp_path / "a.mid")
    assert early[-1][0] > 5.0 - 0.5
    sink.close()
    *settled, (_, kind, note) = early
    assert notes_in(tmp_path / "a.mid")[: len(settled)] == settled
    assert (kind, note) == ("note_off", settled[-1][2]), "the note that sounds, ended for the time being"


@pytest.mark.parametrize("mode", [{}, {"mpe": True}])
def test_a_killed_midi_file_holds_all_but_the_last_half_second_at_any_moment_and_in_the_end_nothing_more(tmp_path, monkeypatch, mode):
    """Its twin writes once, at the end. Notes bend, are slurred, and are dated back, which takes back what stood there."""
    rng = np.random.default_rng(5)
    line: list = []
    while len(line) < 900:
        line += [None] * int(rng.integers(0, 30)) + list(rng.normal(rng.integers(50, 75), 0.2, int(rng.integers(8, 60))))
    sinks = {}
    for name, flush_s in (("a.mid", output_file.FLUSH_EVERY_S), ("twin.mid", 1e9)):
        monkeypatch.setattr(output_file, "FLUSH_EVERY_S", flush_s)
        sink, tracker, begun = MidiFileSink(tmp_path / name, MidiSettings(**mode)), NoteTracker(), []
        sink.start(0.0)
        for i, pitch in enumerate(line):
            play_one(sink, tracker, i, pitch, begun)
            if name == "a.mid" and i % 7 == 0 and i > 50:
                kept = notes_in(tmp_path / name)
                ons = sum(kind == "note_on" for _, kind, _ in kept)
                assert ons == sum(kind == "note_off" for _, kind, _ in kept)
                assert ons >= sum(at_s < frame(i, pitch).available_s - 0.5 for at_s in begun)
        sink.close()
        sinks[name] = (tmp_path / name).read_bytes()
    assert sinks["a.mid"] == sinks["twin.mid"]


def test_of_a_recording_a_midi_file_is_written_by_the_clock_and_in_the_end_the_same(tmp_path, monkeypatch):
    line = [60 + (i // 20) % 5 for i in range(500)]
    for name, recorded in (("a.mid", True), ("twin.mid", False)):
        now_s = [0.0]
        monkeypatch.setattr(midi_file.time, "monotonic", lambda now_s=now_s: now_s[0])
        sink, tracker = MidiFileSink(tmp_path / name, recorded=recorded), NoteTracker()
        sink.start(0.0)
        sizes = set()
        for i, pitch in enumerate(line):
            now_s[0] += output_file.FLUSH_EVERY_S / 120
            play_one(sink, tracker, i, pitch, [])
            sizes.add((tmp_path / name).stat().st_size)
        assert len(sizes - {0}) in (range(3, 6) if recorded else range(10, 14)), "as often as so much time has passed, by either clock"
        sink.close()
    assert (tmp_path / "a.mid").read_bytes() == (tmp_path / "twin.mid").read_bytes()


@pytest.mark.parametrize("piped", [False, True])
def test_a_pipe_that_stands_still_leaves_little_of_what_was_heard_unwritten(piped, tmp_path, monkeypatch):
    """A recording is over in a moment; whoever writes into a pipe may pause for as long as he likes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sung.wav").touch()
    settings = make_settings({"midi_file": "a.mid"})
    [sink] = midi_file.from_settings(SinkRequest(settings, input_name="-" if piped else "sung.wav"))
    monkeypatch.setattr(midi_file.time, "monotonic", lambda: 100.0)
    play(sink, ([60.0] * 20 + [None] * 20) * 25)  # 10 s in no time
    struck = sum(message.type == "note_on" and message.velocity > 0 for message in mido.MidiFile(tmp_path / "a.mid"))
    assert struck >= 23 if piped else struck < 5
    sink.close()


def test_close_ends_the_note_that_sounds(tmp_path):
    with MidiFileSink(tmp_path / "a.mid") as sink:
        sink.start(0.0)
        play(sink, [60.0] * 100)
    assert notes_in(tmp_path / "a.mid") == [(0.002, "note_on", 60), (1.04, "note_off", 60)]  # once the range is said


def test_loudness_is_written_where_asked_for(tmp_path):
    with MidiFileSink(tmp_path / "a.mid", MidiSettings(loudness="cc11")) as sink:
        sink.start(0.0)
        sink.event(NoteOn(0.1, 0.1, 60, 90, 60.0))
        sink.event(Loudness(0.2, 0.25, 60, -25.5))
    assert (0.2, mido.Message("control_change", control=11, value=64)) in [
        (at, m.copy(time=0)) for at, m in timed(tmp_path / "a.mid")
    ]


@pytest.mark.parametrize("tempo_bpm", [0, 3, 1000, float("nan")])
def test_a_tempo_out_of_range_is_named(tmp_path, tempo_bpm):
    with pytest.raises(SettingsError, match=f"tempo_bpm {tempo_bpm} cannot be used"):
        MidiFileSink(tmp_path / "a.mid", tempo_bpm=tempo_bpm)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="needs a device file")
def test_a_midi_file_that_cannot_be_gone_back_in_is_refused():
    reader, writer = os.pipe()
    try:
        with pytest.raises(OutputError, match="no regular file"):
            MidiFileSink(f"/dev/fd/{writer}")
    finally:
        os.close(reader)
        os.close(writer)
    with pytest.raises(OutputError, match="no regular file"):
        MidiFileSink(os.devnull)


@pytest.mark.parametrize("make", [CsvSink, MidiFileSink])
def test_a_second_run_writes_what_the_first_did(make, tmp_path):
    for name in "ab":
        with make(tmp_path / name) as sink:
            sink.start(0.0)
            play(sink, [None] * 5 + [60.0] * 60 + [63.2] * 150)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_jsonl_is_one_object_a_line():
    stream = io.StringIO()
    with JsonlSink(stream, frames=True, label="song") as sink:
        sink.start(0.0)
        sink.frame(frame(100))
        sink.event(NoteOn(1.0, 1.05, 69, 90, 69.00004))
        sink.event(PitchBend(1.1, 1.15, 69, 0.25))
        sink.event(Loudness(1.1, 1.15, 69, -12.0))
    common = {"input": "song", "time_s": 1.1, "available_s": 1.15, "note": 69}
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {
            "input": "song", "type": "frame", "time_s": 1.0, "available_s": 1.05, "f0_hz": 440.0,
            "voiced": True, "confidence": 0.99, "voicing": 0.5, "level_db": -20.0, "brightness_hz": 0.0,
        },
        common | {"type": "note_on", "time_s": 1.0, "available_s": 1.05, "velocity": 90, "pitch": 69.0},
        common | {"type": "bend", "semitones": 0.25},
        common | {"type": "loudness", "level_db": -12.0},
        common | {"type": "note_off", "time_s": 1.15},
    ]  # fmt: skip


def test_jsonl_without_frames_holds_notes_only():
    stream = io.StringIO()
    with JsonlSink(stream) as sink:
        sink.start(0.0)
        play(sink, [60.0] * 30)
    assert [json.loads(line)["type"] for line in stream.getvalue().splitlines()] == [
        "note_on", "loudness", "note_off",
    ]  # fmt: skip


def test_jsonl_tells_once_a_second_how_the_band_is_taken_out():
    stream = io.StringIO()
    with JsonlSink(stream) as sink:
        sink.start(0.0)
        sink.frame(frame(150))  # nobody knows of a band
        sink.band = SimpleNamespace(over_voice_db=4.04, removed_db=16.16)
        for index in (199, 200, 201, 299, 300, 301):
            sink.frame(frame(index))
        sink.start(5.0)  # time begins anew
        for index in (99, 100, 150):
            sink.frame(frame(index))
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line.pop("time_s") for line in said] == pytest.approx([1.99, 2.0, 3.0, 6.0])
    assert all(line.pop("available_s") and line == {"type": "band", "over_voice_db": 4.0, "removed_db": 16.2} for line in said)


def test_a_reader_that_does_not_read_holds_nobody_up():
    """A full pipe: every line is taken at once, and what finds no room is counted."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        sink = JsonlSink(stream, live=True)
        for i in range(LINES_WAITING + 3000):  # a pipe holds 64 KiB
            sink.event(NoteOn(0.1 * i, 0.1 * i, 60, 90, 60.0))
            sink.event(NoteOff(0.1 * i + 0.05, 0.1 * i + 0.05, 60))
        assert sink.dropped > 0
        os.close(reader)  # the thread that writes is let go
        sink.close()


def test_a_live_reader_gets_every_line():
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream, os.fdopen(reader) as lines:
        with JsonlSink(stream, live=True) as sink:
            for i in range(100):
                sink.event(NoteOn(0.1 * i, 0.1 * i, 60 + i % 5, 90, 60.0 + i % 5))
        stream.close()
        said = [json.loads(line) for line in lines]
    assert [line["note"] for line in said if line["type"] == "note_on"] == [60 + i % 5 for i in range(100)]
    assert len(said) == 200 and sink.dropped == 0


@pytest.mark.parametrize("live", [False, True])
def test_a_reader_that_went_is_told_whoever_writes(live):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, pytest.raises(OutputError, match="keep their reader open") as told:
        sink = JsonlSink(stream, live=live)
        for i in range(1000):
            sink.event(NoteOn(0.1 * i, 0.1 * i, 60, 90, 60.0))
            time.sleep(0.001)
    assert isinstance(told.value.__cause__, BrokenPipeError)


def test_jsonl_whose_reader_has_gone_is_one_clear_error():
    reader, writer = os.pipe()
    os.close(reader)
    stream = open(writer, "w")
    sink = JsonlSink(stream)
    sink.start(0.0)
    with pytest.raises(OutputError, match="JSON lines .*keep their reader open"):
        sink.event(NoteOn(1.0, 1.05, 69, 90, 69.0))
    sink.close()
    stream.close()  # nothing is left in its buffer to stumble over
