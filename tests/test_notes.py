"""The note tracker on pitch lines whose notes are known."""

from __future__ import annotations

from dataclasses import replace
from math import pi, sin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_melody.realtime.notes import NoteSettings, NoteTracker
from rt_melody.realtime.types import (
    InputError,
    Loudness,
    NoteOff,
    NoteOn,
    PitchBend,
    PitchFrame,
    midi_to_hz,
)

LAG_S = 0.03  # of the frames, as an engine's would be


def frames_of(pitches, hop_s=0.01, level_db=-28.0):
    """A frame a pitch (MIDI); None is unvoiced, with an f0 that must not be read."""
    return [
        PitchFrame(
            index=i,
            time_s=i * hop_s,
            available_s=i * hop_s + LAG_S,
            f0_hz=777.0 if pitch is None else midi_to_hz(pitch),
            voiced=pitch is not None,
            confidence=0.9,
            voicing=0.9,
            level_db=level_db,
        )
        for i, pitch in enumerate(pitches)
    ]


def events_of(pitches, hop_s=0.01, tracker=None):
    tracker = tracker or NoteTracker(hop_s=hop_s)
    frames = frames_of(pitches, hop_s)
    return [e for f in frames for e in tracker.feed(f)] + tracker.finish(len(frames) * hop_s + LAG_S)


def notes_of(pitches, **kw):
    """(note, on time, off time) of each note, times in ms."""
    ons, offs = ([e for e in events_of(pitches, **kw) if type(e) is kind] for kind in (NoteOn, NoteOff))
    return [(a.note, round(a.time_s * 1000), round(b.time_s * 1000)) for a, b in zip(ons, offs, strict=True)]


def vibrato(centre, semitones, rate_hz, n_frames=200, phase=0.0):
    return [centre + semitones * sin(2 * pi * rate_hz * i * 0.01 + phase) for i in range(n_frames)]


def test_a_steady_tone_is_one_note_and_starts_at_the_second_frame():
    tracker = NoteTracker()
    given_at = [len(tracker.feed(f)) for f in frames_of([60.2] * 5)]
    assert given_at == [0, 2, 0, 0, 0]
    assert tracker.lag_ms == pytest.approx(10)
    on = events_of([None] * 7 + [60.2] * 50)[0]
    assert (on.note, on.velocity) == (60, 64)  # halfway between -50 and -6 dBFS
    assert on.pitch == pytest.approx(60.2)
    assert (on.time_s, on.available_s) == pytest.approx((0.07, 0.08 + LAG_S))


def test_a_tone_ends_where_the_voice_ended():
    assert notes_of([60.0] * 50 + [None] * 50) == [(60, 0, 500)]


def test_a_step_is_left_40_ms_later_and_dated_back():
    off, on = [e for e in events_of([60.0] * 40 + [62.0] * 40) if type(e) in (NoteOff, NoteOn)][1:3]
    assert (off.note, on.note) == (60, 62)
    assert off.time_s == on.time_s == pytest.approx(0.4)
    assert off.available_s == on.available_s == pytest.approx(0.43 + LAG_S)


def test_a_semitone_step_is_two_notes():
    assert notes_of([60.0] * 40 + [61.0] * 40) == [(60, 0, 400), (61, 400, 800)]


@pytest.mark.parametrize("n_frames", [1, 2, 3])
def test_a_short_excursion_leaves_nothing(n_frames):
    assert notes_of([60.0] * 40 + [63.0] * n_frames + [60.0] * 40) == [(60, 0, 800 + 10 * n_frames)]


def test_a_portamento_gives_its_ends_and_nothing_between():
    glide = [60 + 0.4 * i for i in range(10)]
    assert [note for note, _, _ in notes_of([60.0] * 40 + glide + [64.0] * 40)] == [60, 64]


def test_a_slow_glissando_is_followed_upwards_without_sprinkling():
    """Four semitones in a second: from end to end, each note once, at most one a semitone."""
    glide = [60 + 0.04 * i for i in range(100)]
    found = [note for note, _, _ in notes_of([60.0] * 40 + glide + [64.0] * 40)]
    assert found[0] == 60 and found[-1] == 64 and found == sorted(set(found))


@pytest.mark.parametrize("rate_hz", [4, 5, 6, 7, 8])
@pytest.mark.parametrize("semitones", [0.5, 0.7, 1.0])
@pytest.mark.parametrize("phase", [0.0, pi])
def test_vibrato_stays_in_one_note(rate_hz, semitones, phase):
    line = [60.0] * 30 + vibrato(60.0, semitones, rate_hz, phase=phase)
    assert [note for note, _, _ in notes_of(line)] == [60]


@pytest.mark.parametrize("rate_hz", [4, 5, 6, 7])
@pytest.mark.parametrize("phase", [0.0, pi / 2, pi, 1.5 * pi])
def test_a_note_that_begins_within_a_vibrato_is_put_right_once_at_most(rate_hz, phase):
    """It may be named after a crest; the centre finds the note, and then it stays."""
    found = [note for note, _, _ in notes_of(vibrato(60.0, 1.0, rate_hz, phase=phase))]
    assert found[-1] == 60 and len(found) <= 2


def test_a_singer_may_drift_across_the_border_between_two_notes():
    """From 60.2 to 60.7 over two seconds: still the note that was begun; a semitone further it is the next."""
    drift = [60.2 + 0.5 * i / 200 for i in range(200)]
    assert [note for note, _, _ in notes_of([60.2] * 30 + drift)] == [60]
    further = [60.7 + 0.5 * i / 200 for i in range(200)] + [61.2] * 50
    assert [note for note, _, _ in notes_of([60.2] * 30 + drift + further)] == [60, 61]


def test_a_joined_note_begins_where_the_glide_arrives():
    glide = [60 + 0.5 * i for i in range(1, 8)]  # 40 to 47 hops, at 64 from hop 47 on
    notes = notes_of([60.0] * 40 + glide + [64.0] * 40)
    assert [note for note, _, _ in notes] == [60, 64]
    assert notes[1][1] in (460, 470)


def dipped(depth_db, gap_hops=4, rest_hops=40):
    """Two notes on one pitch with only a dip of the level between them."""
    levels = [-20.0] * rest_hops + [-20.0 - depth_db] * gap_hops + [-20.0] * rest_hops
    return [replace(f, level_db=db) for f, db in zip(frames_of([60.0] * len(levels)), levels)]


@pytest.mark.parametrize(("depth_db", "strikes"), [(3, 1), (15, 2)])
def test_a_dip_of_the_level_strikes_a_held_note_again(depth_db, strikes):
    tracker = NoteTracker()
    events = [e for f in dipped(depth_db) for e in tracker.feed(f)]
    struck = [e.time_s for e in events if isinstance(e, NoteOn)]
    assert len(struck) == strikes
    if strikes == 2:
        assert struck[1] == pytest.approx(0.44, abs=0.031)


def test_a_fade_out_and_in_is_no_second_strike():
    levels = [-20 - 0.2 * min(i, 120 - i) for i in range(121)]  # 24 dB down and up again within 1.2 s
    tracker = NoteTracker()
    frames = [replace(f, level_db=db) for f, db in zip(frames_of([60.0] * 121), levels)]
    assert sum(isinstance(e, NoteOn) for f in frames for e in tracker.feed(f)) == 1


def test_a_singer_out_of_tune_is_not_torn_between_two_notes():
    assert len(notes_of(vibrato(60.5, 0.3, 5))) == 1


def test_an_octave_slip_is_not_believed_and_not_bent_to():
    line = [60.0] * 40 + [72.0] * 9 + [60.0] * 30
    assert notes_of(line) == [(60, 0, 790)]
    assert [e for e in events_of(line) if type(e) is PitchBend] == []


def test_an_octave_that_stays_is_believed():
    assert notes_of([60.0] * 40 + [48.0] * 40) == [(60, 0, 400), (48, 400, 800)]


def test_a_gap_of_20_ms_is_bridged_and_one_of_30_strikes_again():
    assert notes_of([60.0] * 20 + [None] * 2 + [60.0] * 20) == [(60, 0, 420)]
    assert notes_of([60.0] * 20 + [None] * 3 + [60.0] * 20) == [(60, 0, 200), (60, 230, 430)]


@pytest.mark.parametrize("line", [[60.0, None] * 20, [50.0, 60.0, 70.0] * 20, [None] * 50])
def test_what_never_agrees_is_no_note(line):
    assert events_of(line) == []


@pytest.mark.parametrize("f0_hz", [0.0, -1.0, float("nan"), float("inf"), 1e-3, 1e6])
def test_a_voiced_frame_without_a_usable_f0_counts_as_unvoiced(f0_hz):
    bad = [replace(f, f0_hz=f0_hz) for f in frames_of([60.0] * 20)]
    tracker = NoteTracker()
    assert [e for f in bad for e in tracker.feed(f)] == []


def test_note_and_bends_tell_the_pitch_that_was_sung():
    line = [60.0] * 10 + vibrato(60.0, 0.8, 5, 50) + [60 + 0.05 * i for i in range(30)] + [61.5] * 30
    tracker, heard = NoteTracker(), None
    for frame, pitch in zip(frames_of(line), line, strict=True):
        struck = False
        for event in tracker.feed(frame):
            if isinstance(event, NoteOn):
                heard, struck = event.pitch, True
            elif isinstance(event, PitchBend):
                heard = event.note + event.semitones
        if frame.index > 2:  # at an onset the pitch is the median of three frames
            assert heard == pytest.approx(pitch, abs=0.25 if struck else 0.0101)


def test_a_bend_is_sent_only_for_a_cent_or_more():
    assert [e for e in events_of([60.0] * 10 + [60.004] * 10) if type(e) is PitchBend] == []
    (bend,) = [e for e in events_of([60.0] * 10 + [60.02] * 10) if type(e) is PitchBend]
    assert bend.semitones == pytest.approx(0.02)


def test_loudness_is_told_at_the_onset_and_at_each_decibel():
    tracker = NoteTracker()
    frames = [replace(f, level_db=-30 + 0.3 * f.index) for f in frames_of([60.0] * 11)]
    told = [e.level_db for f in frames for e in tracker.feed(f) if isinstance(e, Loudness)]
    assert told == pytest.approx([-29.7, -28.5, -27.3])


@pytest.mark.parametrize(("level_db", "velocity"), [(-90, 1), (-50, 1), (-28, 33), (-6, 127), (0, 127)])
def test_velocity_follows_the_curve(level_db, velocity):
    tracker = NoteTracker(NoteSettings(velocity_curve=2.0))
    events = [e for f in frames_of([60.0] * 3, level_db=level_db) for e in tracker.feed(f)]
    assert events[0].velocity == velocity


def test_half_the_hop_gives_the_same_notes():
    line = [None] * 10 + [60.0] * 40 + [62.0] * 40 + [None] * 20 + [62.0] * 30
    twice = [pitch for pitch in line for _ in (0, 1)]
    assert notes_of(twice, hop_s=0.005) == notes_of(line)


MELODY = [None] * 5 + vibrato(60, 0.6, 6, 60) + [64.0] * 30 + [None] * 9 + [64.0] * 20 + [76.0] * 25


def test_later_frames_never_change_earlier_events():
    whole = events_of(MELODY)
    for cut in (1, 20, 67, 70, 96, 120):
        tracker = NoteTracker()
        early = [e for f in frames_of(MELODY[:cut]) for e in tracker.feed(f)]
        assert early == whole[: len(early)]


def test_after_finish_and_after_reset_it_starts_as_new():
    first = events_of(MELODY)
    tracker = NoteTracker()
    assert events_of(MELODY, tracker=tracker) == first
    assert events_of(MELODY, tracker=tracker) == first
    for frame in frames_of(MELODY):
        tracker.feed(frame)
    tracker.reset()
    assert events_of(MELODY, tracker=tracker) == first


def test_without_reset_it_goes_on_from_where_it_was():
    tracker = NoteTracker()
    for frame in frames_of([60.0] * 20):
        tracker.feed(frame)
    assert [e for f in frames_of([60.0] * 20) for e in tracker.feed(f)] == []
    assert len(events_of([60.0] * 20)) == 3


def test_finish_closes_the_note_once():
    tracker = NoteTracker()
    for frame in frames_of([60.0] * 20):
        tracker.feed(frame)
    (off,) = tracker.finish(0.25)
    assert (off.note, off.time_s, off.available_s) == (60, pytest.approx(0.2), 0.25)
    assert tracker.finish(0.26) == []


@pytest.mark.parametrize(
    ("name", "value"), [("on_ms", 0), ("glide_ms", float("nan")), ("away_semitones", -0.4)]
)
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(InputError, match=f"notes.{name} is {value}"):
        NoteSettings(**{name: value})


PITCHES = st.one_of(st.none(), st.floats(20, 110), st.sampled_from([60.0, 60.7, 61.0, 72.0]))
RUNS = st.lists(st.tuples(PITCHES, st.integers(1, 25)), max_size=30)


@settings(max_examples=150, deadline=None)
@given(RUNS)
def test_whatever_is_sung_notes_alternate_and_time_goes_on(runs):
    events = events_of([pitch for pitch, n in runs for _ in range(n)])
    sounding, struck_s, available_s = None, 0.0, 0.0
    for event in events:
        assert event.available_s >= available_s and event.time_s <= event.available_s
        available_s = event.available_s
        if isinstance(event, NoteOn):
            assert sounding is None and 1 <= event.velocity <= 127
            sounding = event.note
        assert event.note == sounding
        if isinstance(event, (NoteOn, NoteOff)):
            assert event.time_s >= struck_s
            struck_s = event.time_s
        if isinstance(event, NoteOff):
            sounding = None
    assert sounding is None
