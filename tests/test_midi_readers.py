"""MIDI files of every mode, read by the libraries that musicians and researchers use: notes, bends and tempo as sung, no drums."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import mido
import numpy as np
import pytest

from rt_melody.realtime.notes import NoteTracker
from rt_melody.realtime.playing.performance import Performer
from rt_melody.realtime.program import Program
from rt_melody.realtime.settings import MidiSettings, PerformanceSettings, make_settings
from rt_melody.realtime.signals import StopSignals
from rt_melody.realtime.sinks.midi_file import MidiFileSink
from rt_melody.realtime.sinks.table import SinkRequest
from rt_melody.realtime.types import NoteOff, NoteOn, PitchBend, PitchFrame, midi_to_hz

MODES = ("mono", "legato", "bend", "mpe")
TEMPO_BPM = 97.5
HOP_S = 0.01
TICK_S = 0.002  # a tick, and what readers that count in quarters and seconds round by
BEND_RANGE = {"mono": 2, "legato": 2, "bend": 12, "mpe": 48}
DRUMS = 9  # counted from 0
# Held, vibrato, a step, a rest, a leap, a slow glide; each segment (start and end pitch, or None, and hops).
LINE = [(None, None, 30), (60.2, 60.2, 50), (62.9, 62.9, 50), (None, None, 40), (69.1, 69.1, 60), (64.0, 65.6, 80), (65.6, 65.6, 40),
        *[(None, None, 20), (57.4, 57.4, 40)] * 12, (None, None, 60)]  # fmt: skip


@dataclass(frozen=True)
class Note:
    start_s: float
    end_s: float
    number: int


def sung_line() -> list[float | None]:
    return [
        None if start is None else start + (end - start) * i / hops + 0.2 * np.sin(2 * np.pi * 5.5 * i * HOP_S)
        for start, end, hops in LINE for i in range(hops)
    ]  # fmt: skip


def written(mode: str, path):
    """The line in a MIDI file of this mode; the notes and bends that went into it, as mido reads them: the plain reader."""
    performer = Performer(NoteTracker(hop_s=HOP_S), PerformanceSettings(mode=mode, bend_range=BEND_RANGE[mode]))
    said = MidiSettings(mpe=mode == "mpe", bend_range_semitones=BEND_RANGE[mode], loudness="cc11")
    with MidiFileSink(path, said, TEMPO_BPM) as sink:
        sink.start(0.0)
        for i, pitch in enumerate(sung_line()):
            f0_hz = 100.0 if pitch is None else midi_to_hz(pitch)
            frame = PitchFrame(i, i * HOP_S, i * HOP_S + 0.04, f0_hz, pitch is not None, 0.99, 0.9, -20.0 if pitch else -70.0)
            sink.frame(frame)
            for event in performer.feed(frame):
                sink.event(event)
        for event in performer.finish(len(sung_line()) * HOP_S):
            sink.event(event)
    return path


def by_mido(path) -> tuple[list[Note], list[tuple[float, int]]]:
    now_s, open_notes, notes, bends = 0.0, {}, [], []
    for m in mido.MidiFile(path):
        now_s += m.time
        if m.type == "note_on" and m.velocity:
            open_notes[m.channel, m.note] = now_s
        elif m.type in ("note_on", "note_off"):
            notes.append(Note(open_notes.pop((m.channel, m.note)), now_s, m.note))
        elif m.type == "pitchwheel":
            bends.append((now_s, m.pitch))
    assert not open_notes
    return sorted(notes, key=lambda n: n.start_s), sorted(bends)


@pytest.fixture(params=MODES)
def mode(request) -> str:
    return request.param


@pytest.fixture
def path(mode, tmp_path):
    return written(mode, tmp_path / f"{mode}.mid")


def assert_same_notes(found: list[Note], path, within_s: float = TICK_S) -> None:
    expected, _ = by_mido(path)
    found = sorted(found, key=lambda n: n.start_s)
    assert [n.number for n in found] == [n.number for n in expected]
    np.testing.assert_allclose([n.start_s for n in found], [n.start_s for n in expected], atol=within_s)
    np.testing.assert_allclose([n.end_s for n in found], [n.end_s for n in expected], atol=within_s)


def assert_same_bends(found: list[tuple[float, int]], path) -> None:
    _, expected = by_mido(path)
    np.testing.assert_array_equal([value for _, value in sorted(found)], [value for _, value in expected])
    np.testing.assert_allclose([at_s for at_s, _ in sorted(found)], [at_s for at_s, _ in expected], atol=TICK_S)


def test_mido_hears_what_was_sung(path, mode):
    """Every hop well inside a note sounds as it was sung: number, bend and announced range by channel."""
    ranges, bends, rpn, sounding, now_s, heard = {}, {}, {}, {}, 0.0, []
    for m in mido.MidiFile(path):
        begun_s, now_s = now_s, now_s + m.time
        hops = range(ceil((begun_s - TICK_S) / HOP_S), ceil((now_s - TICK_S) / HOP_S))  # each a little after its bend
        heard += [(hop, dict(sounding), dict(bends)) for hop in hops if sounding]
        if m.type == "control_change":
            if m.control in (100, 101):
                rpn[m.channel, m.control] = m.value
            elif m.control == 6 and (rpn.get((m.channel, 101)), rpn.get((m.channel, 100))) == (0, 0):
                ranges[m.channel] = m.value
        elif m.type == "pitchwheel":
            bends[m.channel] = m.pitch
        elif m.type == "note_on":
            sounding[m.channel, m.note] = True
        elif m.type == "note_off":
            del sounding[m.channel, m.note]
    line, errors = sung_line(), []
    for hop, notes, bent in heard:
        near = line[max(0, hop - 8) : hop + 9]
        if len(notes) == 1 and None not in near and np.ptp(np.diff(np.array(near, float))) < 0.3:
            ((channel, number),) = notes
            errors.append(abs(number + bent.get(channel, 0) / 8192 * ranges[channel] - line[hop]))
    assert len(errors) > 400
    assert np.percentile(errors, 90) < 0.05
    assert set(ranges.values()) <= {BEND_RANGE[mode], 2}


def test_no_note_is_a_drum_and_the_range_stands_in_a_text(path, mode):
    track = mido.MidiFile(path).tracks[0]
    assert all(m.channel != DRUMS for m in track if not m.is_meta)
    texts = [m.text for m in track if m.type == "text"]
    assert len(texts) == 1 and texts[0].startswith("rt-melody ") and f"bend range {BEND_RANGE[mode]} semitones" in texts[0]


def test_pretty_midi(path):
    pretty_midi = pytest.importorskip("pretty_midi")
    read = pretty_midi.PrettyMIDI(str(path))
    assert not any(instrument.is_drum for instrument in read.instruments)
    assert read.get_tempo_changes()[1] == pytest.approx([TEMPO_BPM], abs=0.001)
    assert_same_notes([Note(n.start, n.end, n.pitch) for i in read.instruments for n in i.notes], path)
    assert_same_bends([(b.time, b.pitch) for i in read.instruments for b in i.pitch_bends], path)


def test_symusic(path):
    symusic = pytest.importorskip("symusic")
    read = symusic.Score(str(path)).to("second")
    assert not any(track.is_drum for track in read.tracks)
    assert [tempo.qpm for tempo in read.tempos] == pytest.approx([TEMPO_BPM], abs=0.001)
    assert_same_notes([Note(n.start, n.end, n.pitch) for t in read.tracks for n in t.notes], path)
    assert_same_bends([(b.time, b.value) for t in read.tracks for b in t.pitch_bends], path)


def test_miditoolkit(path):
    miditoolkit = pytest.importorskip("miditoolkit")
    read = miditoolkit.MidiFile(str(path))
    at_s = read.get_tick_to_time_mapping()
    assert not any(instrument.is_drum for instrument in read.instruments)
    assert [tempo.tempo for tempo in read.tempo_changes] == pytest.approx([TEMPO_BPM], abs=0.001)
    assert_same_notes([Note(at_s[n.start], at_s[n.end], n.pitch) for i in read.instruments for n in i.notes], path)
    assert_same_bends([(at_s[b.time], b.pitch) for i in read.instruments for b in i.pitch_bends], path)


def test_music21(path):
    """It counts in quarters, which it rounds to the notation's, so that what it reads is the notes; it knows no bends."""
    music21 = pytest.importorskip("music21")
    read = music21.converter.parse(str(path), quantizePost=False)
    assert not any(isinstance(i, music21.instrument.UnpitchedPercussion) for i in read.recurse().getElementsByClass("Instrument"))
    (tempo, *_) = read.recurse().getElementsByClass("MetronomeMark")
    assert tempo.number == pytest.approx(TEMPO_BPM, abs=0.01)
    quarter_s = 60 / TEMPO_BPM
    flat = read.stripTies().flatten()
    spans = [(float(n.offset), float(n.offset + n.quarterLength), p.midi) for n in flat.notes for p in n.pitches]
    notes = [Note(start * quarter_s, end * quarter_s, number) for start, end, number in spans]
    assert_same_notes(notes, path, within_s=0.02)


def test_partitura(path):
    partitura = pytest.importorskip("partitura")
    read = partitura.load_performance_midi(str(path))
    array = read.note_array()
    assert set(array["channel"]) == ({*range(1, 9)} & {*array["channel"]} if "mpe" in path.name else {0})
    assert DRUMS not in array["channel"]
    assert_same_notes([Note(n["onset_sec"], n["onset_sec"] + n["duration_sec"], n["pitch"]) for n in array], path)


# --- what no reader may stumble over


def test_two_days_of_silence_have_no_delta_of_five_bytes(tmp_path):
    """The format allows four, which are 38.8 hours at our resolution and 120 beats a minute."""
    at_s = 48 * 3600.0
    with MidiFileSink(tmp_path / "a.mid") as sink:
        sink.start(0.0)
        for begun_s, note in ((1.0, 60), (at_s, 62)):
            sink.event(NoteOn(begun_s, begun_s, note, 90, float(note)))
            sink.event(NoteOff(begun_s + 1, begun_s + 1, note))
    track = mido.MidiFile(tmp_path / "a.mid").tracks[0]
    assert max(m.time for m in track) == 0x0FFFFFFF
    notes, _ = by_mido(tmp_path / "a.mid")
    assert [(round(n.start_s, 3), n.number) for n in notes] == [(1.0, 60), (at_s, 62)]


@pytest.mark.parametrize(("reach_back_s", "ended_s"), [(1.0, 1.8), (3.0, 1.5)])
def test_a_note_that_is_dated_back_by_a_tracker_that_waits_longer_stands_in_its_place(tmp_path, reach_back_s, ended_s):
    with MidiFileSink(tmp_path / "a.mid", reach_back_s=reach_back_s) as sink:
        sink.start(0.0)
        sink.event(NoteOn(0.1, 0.1, 57, 90, 57.0))
        for i in range(400):
            frame = PitchFrame(i, i * HOP_S, i * HOP_S + 0.04, 220.0, False, 0.9, 0.9, -20.0)
            sink.frame(frame)
            if i == 20:
                sink.event(NoteOff(0.2, 0.24, 57))
                sink.event(NoteOn(0.25, 0.3, 58, 90, 58.0))
            if i == 184:
                sink.event(PitchBend(1.8, 1.84, 58, 0.5))
            if i == 380:
                sink.event(NoteOff(1.5, 3.84, 58))  # known 2.3 s later
        sink.event(NoteOn(4.0, 4.1, 60, 90, 60.0))
    notes, _ = by_mido(tmp_path / "a.mid")
    held = next(n for n in notes if n.number == 58)
    assert held.end_s == pytest.approx(ended_s, abs=0.002)


@pytest.mark.parametrize("first_ms", [800, 3000])
def test_the_reach_back_of_the_program_is_that_of_its_tracker(first_ms):
    """The usual one worked by hand: 800 and 130 ms, a hop of agreement, one of rounding, the latency."""
    settings = make_settings({"notes": {"first_ms": first_ms}, "midi_file": "a.mid"})
    request = Program(settings, StopSignals())._sink_request("a.wav")
    assert request.reach_back_s == pytest.approx(first_ms / 1000 + 0.13 + 0.01 + 0.01 + 0.05)
    assert SinkRequest(settings).reach_back_s == pytest.approx(1.0)
