"""Files of other programs, read back by the libraries that they are for."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from rt_melody.realtime import OutputError, SettingsError, track
from rt_melody.realtime.cli import main
from rt_melody.realtime.formats.musicxml import on_grid
from rt_melody.realtime.formats.table import FORMATS, Style, check_formats
from rt_melody.realtime.formats.tracked import NOTE_DTYPE, TrackedSound
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.sources.demo import demo_phrase
from rt_melody.realtime.types import PitchFrame, midi_to_hz

RATE = 16000


@pytest.fixture(scope="module")
def song(tmp_path_factory) -> Path:
    """Four seconds of the demo as a file."""
    path = tmp_path_factory.mktemp("song") / "song.wav"
    soundfile.write(path, demo_phrase(RATE).samples[: 4 * RATE], RATE)
    return path


@pytest.fixture(scope="module")
def melody(song):
    return track(song)


def written(melody, folder: Path, name: str, **style) -> list[Path]:
    for library in filter(None, [FORMATS[name].library]):
        pytest.importorskip(library)
    return FORMATS[name].write(melody, folder / "a.song", Style(**style))


@pytest.fixture
def write(melody, tmp_path):
    return lambda name, **style: written(melody, tmp_path, name, **style)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_writes_what_it_says_and_the_same_twice(name, melody, tmp_path):
    first = written(melody, tmp_path, name)
    assert [path.name for path in first] == [f"a.song{ending}" for ending in FORMATS[name].endings]
    once = [path.read_bytes() for path in first]
    assert all(once) and [path.read_bytes() for path in written(melody, tmp_path, name)] == once


def test_no_two_formats_share_an_ending():
    endings = [ending for form in FORMATS.values() for ending in form.endings]
    assert len(set(endings)) == len(endings)


@pytest.fixture(scope="module")
def nothing():
    """A second of silence, one frame of it, and no sample at all."""
    return [track(np.zeros(n_samples, np.float32), RATE) for n_samples in (RATE, RATE // 100, 0)]


ROWS = {  # of each file: of a second of silence, whose hundred frames are not sung, of one frame, and of no sample
    "csv": ([101], [2], [1]), "mir_eval": ([100, 0], [1, 0], [0, 0]), "tony": ([100, 0], [1, 0], [0, 0]),
    "sv_csv": ([1], [1], [1]), "audacity": ([0], [0], [0]),
}  # fmt: skip
POINTS = {"svl": b"<point ", "praat_pitch_tier": b"number =", "midi": b"\x90", "musicxml": b"<pitch>", "ustx": b"lyric"}


@pytest.mark.parametrize("name", FORMATS)
def test_silence_can_be_written_too(name, nothing, tmp_path):
    files = [[path.read_bytes() for path in written(sound, tmp_path, name)] for sound in nothing]
    if name in ROWS:
        assert tuple([text.count(b"\n") for text in of_one] for of_one in files) == ROWS[name]
    assert not any(POINTS.get(name, b"nothing") in text for of_one in files for text in of_one), "no note, and no pitch that is sung"


@pytest.mark.parametrize("name", POINTS)
def test_what_silence_has_not_a_song_has(name, write):
    assert all(POINTS[name] in path.read_bytes() for path in write(name))


def test_frames_and_notes_are_given_to_sinks_in_the_order_in_which_they_came():
    tracker = MelodyTracker.from_settings(sample_rate=RATE)
    came = [*tracker.feed(demo_phrase(RATE).samples[: 4 * RATE]), *tracker.flush()]
    given = TrackedSound.of(came, tracker.latency, 4.0).heard()
    events = [[None if isinstance(item, PitchFrame) else item for item in items] for items in (came, given)]
    assert events[0] == events[1] and any(events[0][:-1])


@pytest.mark.parametrize("name, option", [("csv", "--csv"), ("midi", "--midi-file")])
def test_our_own_are_what_the_command_writes(name, option, song, melody, write, tmp_path):
    assert main(["--input", str(song), option, str(tmp_path / "by-command"), "--quiet"]) == 0
    assert write(name)[0].read_bytes() == (tmp_path / "by-command").read_bytes()


def test_mir_eval_reads_melody_and_notes(melody, write):
    mir_eval = pytest.importorskip("mir_eval")
    f0_path, notes_path = write("mir_eval")
    times_s, f0_hz = mir_eval.io.load_time_series(str(f0_path))
    assert times_s == pytest.approx(melody.time_s, abs=1e-6)
    assert np.array_equal(f0_hz > 0, melody.voiced) and np.abs(f0_hz) == pytest.approx(melody.f0_hz, abs=1e-3)
    assert (f0_hz < 0).any(), "the guess is kept where nobody sings"
    scores = mir_eval.melody.evaluate(times_s, np.where(melody.voiced, melody.f0_hz, 0), *melody.to_mir_eval())
    assert scores["Overall Accuracy"] > 0.99
    intervals, pitches = mir_eval.io.load_valued_intervals(str(notes_path))
    assert mir_eval.transcription.evaluate(intervals, pitches, *melody.notes_to_mir_eval())["F-measure"] == 1.0
    assert len(pitches) == len(melody.notes) > 3


def test_jams_reads_and_validates(melody, write):
    jams = pytest.importorskip("jams")
    made = jams.load(str(write("jams")[0]), validate=True, strict=True)
    assert made.file_metadata.duration == pytest.approx(4.0)
    (contour,) = made.search(namespace="pitch_contour")
    assert [o.value["voiced"] for o in contour.data] == melody.voiced.tolist()
    assert [o.value["frequency"] for o in contour.data] == pytest.approx(melody.f0_hz.tolist())
    (notes,) = made.search(namespace="note_hz")
    intervals, hz = notes.to_interval_values()
    assert intervals == pytest.approx(melody.notes_to_mir_eval()[0]) and hz == pytest.approx(melody.note_hz.tolist())


def test_praat_reads_pitch_and_pitch_tier(melody, write):
    parselmouth = pytest.importorskip("parselmouth")
    pitch = parselmouth.read(str(write("praat_pitch")[0]))
    assert isinstance(pitch, parselmouth.Pitch) and pitch.xs() == pytest.approx(melody.time_s)
    assert pitch.selected_array["frequency"] == pytest.approx(np.where(melody.voiced, melody.f0_hz, 0), abs=1e-3)
    assert pitch.selected_array["strength"] == pytest.approx(np.round(melody.confidence, 4), abs=1e-4)
    assert pitch.xmax == pytest.approx(4.0)
    tier = parselmouth.read(str(write("praat_pitch_tier")[0]))
    asked_s = float(melody.time_s[melody.voiced][20])
    read_hz = parselmouth.praat.call(tier, "Get value at time", asked_s)
    assert parselmouth.praat.call(tier, "Get number of points") == melody.voiced.sum()
    assert read_hz == pytest.approx(melody.f0_hz[melody.voiced][20], abs=1e-2)


def test_music21_reads_the_score(melody, write):
    music21 = pytest.importorskip("music21")
    score = music21.converter.parse(write("musicxml", tempo_bpm=90)[0])
    assert next(iter(score.recurse().getElementsByClass("MetronomeMark"))).number == 90
    sounding = [n for n in score.recurse().notes if n.tie is None or n.tie.type == "start"]
    assert [n.pitch.midi for n in sounding] == melody.notes["note"].tolist()
    beats = [float(n.getOffsetInHierarchy(score)) for n in sounding]
    assert beats == pytest.approx(melody.notes["onset_s"] * 90 / 60, abs=0.126)


def test_notes_on_a_grid_neither_overlap_nor_vanish():
    table = np.array([(0.0, 0.2, 60, 60, 9), (0.01, 0.5, 62, 62, 9), (0.5, 0.51, 64, 64, 9), (0.7, 1.6, 65, 65, 9)], NOTE_DTYPE)
    sound = type("Sound", (), {"notes": table})
    assert on_grid(sound, 120) == [(0, 4, 62), (4, 5, 64), (6, 13, 65)], "of two on one step the longer stays; a step is .125 s"


def test_midi_has_the_tempo_and_the_notes(melody, write):
    mido = pytest.importorskip("mido")
    midi = mido.MidiFile(write("midi", tempo_bpm=90)[0])
    assert next(m.tempo for m in midi.tracks[0] if m.type == "set_tempo") == round(60e6 / 90)
    assert [m.note for m in midi if m.type == "note_on" and m.velocity] == melody.notes["note"].tolist()


def test_sonic_visualiser_layers_hold_the_points(melody, write):
    pitch, notes = (ET.parse(path).getroot() for path in write("svl"))
    model = pitch.find("data/model").attrib
    assert (model["type"], model["dimensions"], model["units"], model["end"]) == ("sparse", "2", "Hz", str(4 * 48000))
    points = [(int(p.get("frame")) / int(model["sampleRate"]), float(p.get("value"))) for p in pitch.iter("point")]
    assert [s for s, _ in points] == pytest.approx(melody.time_s[melody.voiced].tolist(), abs=1e-4)
    assert [hz for _, hz in points] == pytest.approx(melody.f0_hz[melody.voiced].tolist(), abs=1e-3)
    assert pitch.find("display/layer").get("model") == model["id"] and pitch.find("data/dataset").get("id") == model["dataset"]
    ends_s = [(int(p.get("frame")) + int(p.get("duration"))) / 48000 for p in notes.iter("point")]
    assert ends_s == pytest.approx(melody.notes["offset_s"].tolist(), abs=1e-4)
    assert notes.find("data/model").get("subtype") == "note" and notes.find("display/layer").get("type") == "notes"


def test_sonic_visualiser_csv(melody, write):
    lines = write("sv_csv")[0].read_text().splitlines()
    assert lines[0] == "TIME,VALUE,LABEL" and len(lines) == 1 + melody.voiced.sum()


def test_tony_is_what_readers_of_tony_read(melody, write):
    vocadito = pytest.importorskip("mirdata.datasets.vocadito", reason="mirdata reads what Tony writes", exc_type=ImportError)
    f0_path, notes_path = write("tony")
    f0 = vocadito.load_f0(str(f0_path))
    assert f0.times == pytest.approx(melody.time_s, abs=1e-6)
    assert f0.frequencies == pytest.approx(np.where(melody.voiced, melody.f0_hz, 0), abs=1e-3)
    notes = vocadito.load_notes(str(notes_path))
    assert notes.intervals == pytest.approx(melody.notes_to_mir_eval()[0], abs=1e-5)
    assert notes.pitches == pytest.approx(melody.note_hz, abs=1e-3)


def test_audacity_labels(melody, write):
    mir_eval = pytest.importorskip("mir_eval")
    intervals, labels = mir_eval.io.load_labeled_intervals(str(write("audacity")[0]), delimiter="\t")
    assert intervals == pytest.approx(melody.notes_to_mir_eval()[0], abs=1e-6)
    assert labels[0].split()[0] in ("G3", "F#3") and abs(int(labels[0].split()[1])) <= 50


def test_open_utau_hears_what_was_sung(melody, write):
    """Note and curve together are the pitch, by OpenUtau's rule: tone * 100 + pitd cents at 480 ticks a quarter."""
    project = yaml.safe_load(write("ustx", tempo_bpm=100)[0].read_text(encoding="utf-8"))
    assert (project["ustx_version"], project["resolution"], project["tempos"]) == ("0.6", 480, [{"position": 0, "bpm": 100.0}])
    (part,) = project["voice_parts"]
    notes, (curve,) = part["notes"], part["curves"]
    assert [n["tone"] for n in notes] == melody.notes["note"].tolist() and curve["abbr"] == "pitd"
    assert all(a["position"] + a["duration"] <= b["position"] for a, b in pairwise(notes))
    cents = dict(zip(curve["xs"], curve["ys"]))
    note = max(notes, key=lambda n: n["duration"])
    tick = round((note["position"] + note["duration"] / 2) / 5) * 5
    tick = min(cents, key=lambda x: abs(x - tick))
    heard_hz = float(np.interp(tick / 480 * 60 / 100, melody.time_s[melody.voiced], melody.f0_hz[melody.voiced]))
    assert midi_to_hz(note["tone"] + cents[tick] / 100) == pytest.approx(heard_hz, rel=3e-4)


def test_parquet_is_one_table_of_many_recordings(melody, write):
    pq = pytest.importorskip("pyarrow.parquet")
    frames, notes = (pq.read_table(path) for path in write("parquet"))
    assert frames.column_names == ["recording", "time_s", "f0_hz", "voiced", "confidence", "available_s"]
    assert frames["f0_hz"].to_pylist() == melody.f0_hz.tolist() and frames["voiced"].to_pylist() == melody.voiced.tolist()
    assert set(frames["recording"].to_pylist()) == {melody.name}
    assert notes["note"].to_pylist() == melody.notes["note"].tolist()


def test_names_that_are_no_formats_and_libraries_that_are_not_there(monkeypatch):
    with pytest.raises(SettingsError, match="--format jam is no format; did you mean jams"):
        check_formats(["csv", "jam"])
    monkeypatch.setattr("rt_melody.realtime.formats.table.find_spec", lambda name: None)
    check_formats(["csv", "midi", "svl", "praat_pitch"])
    with pytest.raises(SettingsError, match=r"--format parquet needs .* pyarrow, .*-m pip install pyarrow`"):
        check_formats(["parquet"])


def test_a_place_that_cannot_be_written(melody, tmp_path):
    for name in ("csv", "midi", "mir_eval", "svl"):
        with pytest.raises(OutputError, match="cannot be written"):
            FORMATS[name].write(melody, tmp_path / "none" / "song")


# --- the object


def test_a_melody_is_a_line_and_tables(melody, song):
    assert repr(melody) == f"<Melody {song}: 4.00 s, 400 frames, {melody.voiced.sum()} voiced, 7 notes from G3 to B3>"
    assert repr(track(np.zeros(800, np.float32), RATE)) == "<Melody 0.05 s, 5 frames, 0 voiced, no notes>"
    assert melody.notes.dtype.names == ("onset_s", "offset_s", "note", "pitch", "velocity")
    assert (melody.notes["offset_s"] > melody.notes["onset_s"]).all() and (np.diff(melody.notes["onset_s"]) > 0).all()
    assert melody.notes["pitch"] == pytest.approx(melody.notes["note"], abs=0.6)


def test_pandas_takes_it_as_it_is(melody):
    pd = pytest.importorskip("pandas")
    for frames in (pd.DataFrame(melody), melody.to_dataframe()):
        assert list(frames.columns) == ["time_s", "f0_hz", "voiced", "confidence", "available_s"] and len(frames) == 400
        assert frames["f0_hz"].tolist() == melody.f0_hz.tolist() and frames["voiced"].dtype == bool
    assert np.asarray(melody).shape == (400, 5) and melody[7].time_s == melody.time_s[7]
    assert pd.DataFrame(melody.notes).equals(melody.to_dataframe("notes"))
    with pytest.raises(ValueError, match="no table 'events'"):
        melody.to_dataframe("events")


def test_it_is_drawn(melody):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = melody.plot()
    assert len(axes.patches) == len(melody.notes) and np.isfinite(axes.lines[0].get_ydata()).sum() == melody.voiced.sum()
    assert melody.plot(axes) is axes


def test_it_writes_itself(melody, tmp_path):
    assert [p.name for p in melody.write(tmp_path / "x", "tony", "midi")] == ["x.pitch.tony.csv", "x.notes.tony.csv", "x.mid"]
    assert json.loads(melody.write(tmp_path / "x", "jams")[0].read_text())["file_metadata"]["duration"] == 4.0
