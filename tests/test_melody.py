"""The whole of the product between sound and outputs: one path, the same in pieces, the same by every door."""

from __future__ import annotations

from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rt_melody.kernels.phrase import Singer, SungNote, render_phrase
from rt_melody.models.shipped import SHIPPED, SHIPPED_MODELS
from rt_melody.models.torchscript import sealed
from rt_melody.realtime.api import track
from rt_melody.realtime.cli import main
from rt_melody.realtime.errors import InputError, SettingsError
from rt_melody.realtime.latency import LatencyPart
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.settings import make_settings
from rt_melody.realtime.sinks.midi_file import MidiFileSink
from rt_melody.realtime.sources.demo import demo_phrase
from rt_melody.realtime.types import NoteOff, NoteOn, PitchBend, PitchFrame

RATE = 16000


@pytest.fixture(scope="module")
def song() -> np.ndarray:
    return demo_phrase(RATE).samples[: 4 * RATE]


@pytest.fixture(scope="module")
def tracker() -> MelodyTracker:
    """One that every test resets: a model is loaded once."""
    return MelodyTracker.from_settings(make_settings({"mode": "legato", "scale": "auto", "gate": "auto"}), RATE)


def heard_by(tracker, song, cuts=()):
    tracker.reset()
    pieces = np.split(song, sorted(cuts))
    return [item for piece in pieces for item in tracker.feed(piece)] + tracker.flush()


@pytest.fixture(scope="module")
def whole(tracker, song):
    return heard_by(tracker, song)


def midi_bytes(heard, path) -> bytes:
    with MidiFileSink(path) as sink:
        sink.start(0.0)
        for item in heard:
            sink.frame(item) if isinstance(item, PitchFrame) else sink.event(item)
    return path.read_bytes()


@given(st.lists(st.integers(0, 4 * RATE), max_size=12))
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_in_pieces_it_hears_plays_and_writes_the_same(tracker, song, whole, tmp_path_factory, cuts):
    pieces = heard_by(tracker, song, cuts)
    assert pieces == whole and [item for item in whole if isinstance(item, NoteOn)]
    folder = tmp_path_factory.mktemp("pieces")
    assert midi_bytes(pieces, folder / "pieces.mid") == midi_bytes(whole, folder / "whole.mid")


def test_what_comes_later_changes_nothing_that_was_given(tracker, song):
    tracker.reset()
    given_early = tracker.feed(song[: 2 * RATE])
    assert heard_by(tracker, np.concatenate([song[: 2 * RATE], song[::-1]]))[: len(given_early)] == given_early


def test_each_frame_comes_before_the_events_that_it_caused(tracker, song):
    available_s = 0.0
    for item in heard_by(tracker, song):
        assert item.available_s >= available_s - 1e-9
        if isinstance(item, PitchFrame):
            available_s = item.available_s
        else:
            assert item.available_s == pytest.approx(available_s)


def test_a_skip_ends_the_note_and_goes_on_at_its_time(tracker, song):
    tracker.reset()
    first = tracker.feed(song[: round(1.2 * RATE)])  # amid a note
    ons, offs = (sum(isinstance(item, kind) for item in first) for kind in (NoteOn, NoteOff))
    assert ons == offs + 1
    assert [type(item) for item in tracker.skip_to(3.0)] == [NoteOff]
    later = [item for item in tracker.feed(song[2 * RATE :]) if isinstance(item, PitchFrame)]
    assert later[0].time_s == pytest.approx(3.0, abs=0.02) and later[0].index > 0
    assert tracker.finish()[-1].available_s >= 3.0 and tracker.finish() == []


def test_the_budget_holds_a_notes_own_wait(tracker):
    latency = tracker.latency
    assert latency.note_ms == latency.total_ms + latency.confirmation_ms
    assert latency.confirmation_ms == 10.0, "of frames that must agree for 15 ms, the second is waited for"
    slow = MelodyTracker.from_settings(make_settings({"notes": {"on_ms": 42}}), RATE, tracker.engine.model)
    assert slow.latency.confirmation_ms == 40.0 and "40.00 ms" in slow.latency.table()


def test_what_the_output_adds_is_in_the_sum_of_a_note_and_not_in_that_of_a_pitch(tracker):
    latency = tracker.latency.with_output(LatencyPart("JACK", 21.5, "a period"))
    assert latency.note_ms == tracker.latency.note_ms + 21.5 and latency.total_ms == tracker.latency.total_ms
    assert "21.50 ms  JACK: a period" in latency.table() and f"{latency.note_ms:.2f} ms  until a note begins" in latency.table()


def test_frames_made_before_are_played_as_fresh_ones_are(song):
    tracker = MelodyTracker.from_settings(sample_rate=RATE)
    fresh = heard_by(tracker, song)
    frames = [item for item in fresh if isinstance(item, PitchFrame)]
    tracker.reset()
    assert [item for frame in frames for item in tracker.take(frame)] + tracker.finish() == fresh


# --- the same by every door


@pytest.fixture(scope="module")
def slide() -> np.ndarray:
    """A voice that slides up by 1.6 semitones, too slowly for a step."""
    notes = [SungNote(0.3, 4.0, 57.0, "a"), SungNote(4.3, 2.0, 58.6, "a")]
    singer = Singer(portamento_s=4.0, vibrato_cents=0.0, scoop_cents=0.0)
    return render_phrase(notes, RATE, seed=3, singer=singer, duration_s=6.5).samples


@pytest.mark.slow
@pytest.mark.parametrize(("bend_range", "notes"), [(1, [57, 58]), (2, [57]), (12, [57])])
def test_python_and_the_command_play_a_slow_slide_within_the_bend_range(slide, tmp_path, bend_range, notes):
    """What a synthesiser cannot bend to is another note, by whichever door one comes in."""
    melody = track(slide, RATE, bend_range=bend_range)
    soundfile.write(tmp_path / "slide.wav", slide, RATE, subtype="FLOAT")
    assert (
        main(["--input", str(tmp_path / "slide.wav"), "--midi-file", str(tmp_path / "a.mid"), "--bend-range", str(bend_range), "--quiet"])
        == 0
    )
    written = [m.note for m in mido.MidiFile(tmp_path / "a.mid") if m.type == "note_on"]
    assert written == [e.note for e in melody.events if isinstance(e, NoteOn)] == notes
    assert max(e.semitones for e in melody.events if isinstance(e, PitchBend)) < {1: 1.4, 2: 2.0, 12: 2.0}[bend_range]


def test_the_gate_is_heard_in_python_too(song):
    assert len(track(song, RATE).notes) and not len(track(song, RATE, gate="0").notes)


def test_a_model_of_another_origin_is_taken_where_the_settings_trust_it(tmp_path):
    """The shipped network, stored by somebody else."""
    data = SHIPPED.read_bytes()
    at = data.rfind(b"PK\x05\x06") + 20  # length of the archive's comment
    path = tmp_path / "other.pt"
    path.write_bytes(sealed(data[:at] + bytes(2)))
    if path.read_bytes() == data:
        path.write_bytes(data[:at] + bytes(2))  # without a seal it is another file, and as whole
    with pytest.raises(InputError, match="add --trust-model"):
        MelodyTracker.from_settings(model=path)
    trusted = MelodyTracker.from_settings(make_settings({"trust_model": True}), model=path)
    assert trusted.engine.model.provenance == MelodyTracker.from_settings().engine.model.provenance


def test_the_light_model_hears_the_same_song_and_is_another(song):
    """By its name among the settings: the same notes of a clear voice, from other numbers."""
    live, light = (MelodyTracker.from_settings(make_settings({"light": light}), RATE) for light in (False, True))
    assert light.engine.model.path == SHIPPED_MODELS["light"] and live.engine.model.path == SHIPPED
    assert light.latency.total_ms == live.latency.total_ms and light.hop_s == live.hop_s
    frames = [[item for item in tracker.feed(song) if isinstance(item, PitchFrame)] for tracker in (live, light)]
    f0 = np.array([[frame.f0_hz for frame in each] for each in frames])
    both = np.all(f0 > 0, axis=0)
    assert np.all((f0 > 0) == (f0[0] > 0), axis=0).mean() > 0.97 and not np.array_equal(*f0)
    assert np.median(np.abs(1200 * np.log2(f0[0, both] / f0[1, both]))) < 10
    notes = [[item.note for item in heard_by(tracker, song) if isinstance(item, NoteOn)] for tracker in (live, light)]
    assert notes[0] == notes[1]


def test_two_models_at_once_are_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="--light is a model of its own, and --model names my.pt; leave one of the two out"):
        MelodyTracker.from_settings(make_settings({"light": True, "model": "my.pt"}))
    Path("my.pt").write_bytes(b"")
    assert main(["--input", "demo", "--light", "--model", "my.pt", "--csv", "x.csv"]) == 2
    assert "--light is a model of its own" in capsys.readouterr().err and not Path("x.csv").exists()
