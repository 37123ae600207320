"""The note tracker on pitch lines whose notes are known."""

from __future__ import annotations

from dataclasses import replace
from math import pi, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_melody.kernels.viterbi import OnlineViterbi
from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.notes import NoteSettings, NoteTracker
from rt_melody.realtime.types import Loudness, NoteOff, NoteOn, PitchBend, PitchFrame, midi_to_hz

BINS = 90  # half semitones, of random posteriors
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
            confidence=0.97,
            voicing=0.9,
            level_db=level_db,
        )
        for i, pitch in enumerate(pitches)
    ]


def sure_until(first, confidence, frames):
    """Sure frames, from index ``first`` on those of this confidence."""
    return [replace(f, confidence=confidence if f.index >= first else 0.97) for f in frames]


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
    assert (on.note, on.level_db) == (60, -28.0)
    assert on.pitch == pytest.approx(60.2)
    assert (on.time_s, on.available_s) == pytest.approx((0.07, 0.08 + LAG_S))


def test_a_tone_ends_where_the_voice_ended():
    assert notes_of([60.0] * 50 + [None] * 50) == [(60, 0, 500)]


@pytest.mark.parametrize("confidence, waited_s", [(0.85, 0.03), (0.75, 0.09)])
def test_a_step_is_left_once_the_fourth_sure_or_the_tenth_frame_says_so_and_dated_back(confidence, waited_s):
    frames = sure_until(40, confidence, frames_of([60.0] * 40 + [62.0] * 40))
    tracker = NoteTracker()
    off, on = [e for f in frames for e in tracker.feed(f) if type(e) in (NoteOff, NoteOn)][1:3]
    assert (off.note, on.note) == (60, 62)
    assert off.time_s == on.time_s == pytest.approx(0.4)
    assert off.available_s == on.available_s == pytest.approx(0.4 + waited_s + LAG_S)


def test_a_semitone_step_is_two_notes():
    assert notes_of([60.0] * 40 + [61.0] * 40) == [(60, 0, 400), (61, 400, 800)]


@pytest.mark.parametrize("step", [0.8, -0.8])
@pytest.mark.parametrize("before", [45, 100])
def test_a_narrow_semitone_that_the_voice_glides_to_is_left_however_long_the_note(step, before):
    glide = [60 + step * i / 7 for i in range(1, 7)]
    (_, _, off_ms), (note, on_ms, _) = notes_of([60.0] * before + glide + [60 + step] * 40)
    assert note == 60 + round(step)
    assert off_ms == on_ms == 10 * before + 40  # the first frame within .3 of the new pitch


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
def test_a_note_that_begins_within_a_vibrato_stays_one_note_and_is_bent(rate_hz, phase):
    """It may be named after a crest: bends put it right, or for what cannot bend, one other note."""
    line = vibrato(60.0, 1.0, rate_hz, phase=phase)
    assert len(notes_of(line)) == 1
    unbending = NoteTracker(NoteSettings(drift_semitones=0.9))
    found = [note for note, _, _ in notes_of(line, tracker=unbending)]
    assert found[-1] == 60 and len(found) <= 2


def test_a_singer_may_drift_until_no_synthesiser_bends_so_far():
    drift = [60.2 + 0.5 * i / 200 for i in range(640)]  # to 61.8 over six seconds
    assert [note for note, _, _ in notes_of([60.2] * 30 + drift)] == [60]
    further = [61.8 + 0.5 * i / 200 for i in range(200)] + [62.3] * 50
    assert [note for note, _, _ in notes_of([60.2] * 30 + drift + further)] == [60, 62]


@pytest.mark.parametrize("step", [0.15, 0.3, -0.15, -0.3])
def test_a_scoop_is_one_note_that_begins_where_it_arrives(step):
    scoop = [60 - step * i for i in range(7, 0, -1)]
    line = [None] * 10 + scoop + [60.0] * 40
    ((_, on_ms, off_ms),) = notes_of(line)
    assert 110 <= on_ms <= 170 and off_ms == 570
    if abs(step) == 0.3:  # too steep to be named before it has arrived
        assert notes_of(line)[0][0] == 60


def test_a_joined_note_begins_where_the_glide_arrives():
    glide = [60 + 0.5 * i for i in range(1, 8)]  # 40 to 47 hops, at 64 from hop 47 on
    notes = notes_of([60.0] * 40 + glide + [64.0] * 40)
    assert [note for note, _, _ in notes] == [60, 64]
    assert notes[1][1] in (460, 470)


def levelled(levels, brights=None, pitches=None):
    """Frames of one long note with these levels (dBFS) and brightnesses (Hz)."""
    brights = brights or [0.0] * len(levels)
    return [
        replace(f, level_db=db, brightness_hz=hz)
        for f, db, hz in zip(frames_of(pitches or [60.0] * len(levels)), levels, brights, strict=True)
    ]


def strikes(frames):
    tracker = NoteTracker()
    return [e.time_s for f in frames for e in tracker.feed(f) if isinstance(e, NoteOn)]


DIPPED = [0] * 40 + [1] * 6 + [0] * 40


@pytest.mark.parametrize(("level_db", "bright_hz", "count"), [(-23, 600, 1), (-35, 600, 2), (-20, 200, 2), (-20, 450, 1)])
def test_a_dip_of_level_or_brightness_strikes_a_held_note_again(level_db, bright_hz, count):
    """A sung consonant may be as loud as the vowels beside it, but it is darker."""
    frames = levelled([level_db if d else -20.0 for d in DIPPED], [bright_hz if d else 600.0 for d in DIPPED])
    struck = strikes(frames)
    assert len(struck) == count
    if count == 2:
        assert struck[1] == pytest.approx(0.46, abs=0.031)


def test_a_hiss_at_the_end_is_no_second_strike():
    """Down and bright again: a fricative is no vowel."""
    levels = [-20.0] * 40 + [-40.0] * 6 + [-32.0] * 20
    assert len(strikes(levelled(levels, [600.0] * 46 + [4000.0] * 20))) == 1


def test_without_brightness_the_level_alone_tells():
    for depth_db, count in ((3, 1), (15, 2)):
        assert len(strikes(levelled([-20.0 - depth_db * d for d in DIPPED]))) == count


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


def unsure_for(n_frames, voicing, f0_hz=None, level_db=-28.0):
    """A note, frames that are not voiced, the note again."""
    frames = frames_of([60.0] * (60 + n_frames))
    for i in range(30, 30 + n_frames):
        frames[i] = replace(frames[i], voiced=False, voicing=voicing, f0_hz=f0_hz or frames[i].f0_hz)
    return [replace(f, level_db=level_db) if 27 <= f.index < 27 + n_frames else f for f in frames]  # levels are ahead


@pytest.mark.parametrize(
    ("doubt", "count"),
    [
        ({"voicing": 0.4}, 1),  # what would not start a note holds it
        ({"voicing": 0.1}, 2),
        ({"voicing": 0.4, "f0_hz": 300.0}, 2),  # away from the note
        ({"voicing": 0.4, "level_db": -60.0}, 2),  # the sound stopped
    ],
)
def test_doubtful_frames_hold_a_note_that_goes_on(doubt, count):
    assert len(strikes(unsure_for(15, **doubt))) == count


def test_doubtful_frames_start_no_note():
    tracker = NoteTracker()
    frames = [replace(f, voiced=False, voicing=0.59) for f in frames_of([60.0] * 30)]
    assert [e for f in frames for e in tracker.feed(f)] == []


def test_unsure_frames_start_no_note():
    assert strikes([replace(f, confidence=0.4) for f in frames_of([60.0] * 30)]) == []


@pytest.mark.parametrize(("rest", "confidence", "waited"), [(99, 0.85, 0.01), (101, 0.85, 0.79), (101, 0.97, 0.01)])
def test_the_first_note_after_a_pause_of_a_second_must_be_surer_or_last(rest, confidence, waited):
    assert first_after(rest, confidence) == pytest.approx(waited)


@pytest.mark.parametrize(
    ("before", "confidence", "rise_db", "waited"),
    [(0.65, 0.8, 0.0, 0.79), (0.65, 0.93, 0.0, 0.01), (0.65, 0.8, 8.5, 0.01), (0.85, 0.8, 0.0, 0.01)],
)
def test_a_note_that_follows_on_doubtful_ones_must_be_surer_or_raise_the_level_or_last(before, confidence, rise_db, waited):
    """A second of singing, sure at first or nobody would believe it, then a gap of a fifth of a second."""
    frames = frames_of([60.0] * 100 + [None] * 20 + [62.0] * 90, level_db=-40.0)
    frames = [replace(f, confidence=0.97 if f.index < 3 else before if f.index < 100 else confidence) for f in frames]
    frames = [replace(f, level_db=f.level_db + rise_db * (f.index >= 117)) for f in frames]
    tracker = NoteTracker()
    on = [e for f in frames for e in tracker.feed(f) if isinstance(e, NoteOn)][1]
    assert (on.note, on.time_s) == (62, pytest.approx(1.2)) and on.available_s == pytest.approx(1.2 + waited + LAG_S)


def test_doubt_is_forgotten_with_the_next_sure_note_after_a_pause():
    """Of what was sung before a pause nothing counts: .75 is enough for the third note."""
    confidences = [0.97] * 3 + [0.6] * 97 + [0.97] * 145 + [0.75] * 40
    pitches = [60.0] * 100 + [None] * 110 + [62.0] * 15 + [None] * 20 + [64.0] * 40
    frames = [replace(f, confidence=c) for f, c in zip(frames_of(pitches, level_db=-40.0), confidences, strict=True)]
    assert strikes(frames) == pytest.approx([0.0, 2.1, 2.45])


@pytest.mark.parametrize(("confidence", "notes"), [(0.6, [60]), (0.7, [60, 62])])
def test_a_note_is_left_for_none_where_the_other_is_in_doubt(confidence, notes):
    frames = sure_until(40, confidence, frames_of([60.0] * 40 + [62.0] * 40))
    tracker = NoteTracker()
    events = [e for f in frames for e in tracker.feed(f)] + tracker.finish(0.9)
    off = next(e for e in events if isinstance(e, NoteOff))
    assert [e.note for e in events if isinstance(e, NoteOn)] == notes
    assert off.time_s == pytest.approx(0.4) and off.available_s == pytest.approx(0.49 + LAG_S)


@pytest.mark.parametrize(("rise_db", "before", "waited"), [(8.5, 3, 0.01), (7.5, 3, 0.79), (8.5, 16, 0.79)])
def test_or_it_must_raise_the_level_within_120_ms(rise_db, before, waited):
    """The level is told ``before`` frames ahead of the pitch: too long ago, and it speaks of something else."""
    assert first_after(120, 0.8, rise_db, before) == pytest.approx(waited)


@pytest.mark.parametrize(
    ("room_db", "confidence", "count"),
    [(-60.0, 0.95, 3), (-25.0, 0.95, 2), (-25.0, 0.8, 2), (-25.0, 0.7, 3)],  # a clear voice; a drum in a band; a consonant over it
)
def test_a_dip_over_a_band_strikes_again_only_where_the_pitch_was_in_doubt(room_db, confidence, count):
    pitches = [60.0] * 20 + [None] * 60 + [60.0] * 86
    levels = [-20.0] * 18 + [room_db] * 60 + [-20.0] * 40 + [-35.0] * 6 + [-20.0] * 42
    frames = levelled(levels, pitches=pitches)
    frames = [replace(f, confidence=confidence) if 116 <= f.index < 128 else f for f in frames]
    assert len(strikes(frames)) == count


def first_after(rest, confidence, rise_db=0.0, before=0):
    """How long after its first frame the note begins that follows a rest of so many frames."""
    begins = 20 + rest
    frames = sure_until(begins, confidence, frames_of([60.0] * 20 + [None] * rest + [62.0] * 90, level_db=-40.0))
    frames = [replace(f, level_db=f.level_db + rise_db * (f.index >= begins - before)) for f in frames]
    tracker = NoteTracker()
    on = [e for f in frames for e in tracker.feed(f) if isinstance(e, NoteOn)][1]
    assert (on.note, on.time_s) == (62, pytest.approx(begins / 100))
    return on.available_s - LAG_S - begins / 100


@pytest.mark.parametrize(("confidence", "waited"), [(0.75, 0.09), (0.95, 0.01)])
def test_an_octave_after_a_pause_must_be_sure_or_last(confidence, waited):
    frames = sure_until(30, confidence, frames_of([60.0] * 20 + [None] * 10 + [72.0] * 30))
    frames = [replace(f, level_db=-70.0) if 15 <= f.index < 25 else f for f in frames]
    tracker = NoteTracker()
    on = [e for f in frames for e in tracker.feed(f) if isinstance(e, NoteOn)][1]
    assert (on.note, on.time_s) == (72, pytest.approx(0.3)) and on.available_s == pytest.approx(0.3 + waited + LAG_S)


@pytest.mark.parametrize(("murmur_db", "on_s"), [(-20.0, 0.1), (-60.0, 0.11)])
def test_a_murmur_does_not_date_the_note_that_follows(murmur_db, on_s):
    """Voiced from 0.10 s, at its level from 0.12 s: as late as the frames that started it allow."""
    levels = [-90.0] * 7 + [murmur_db] * 3 + [-20.0] * 40  # told 20 ms ahead of pitches
    assert strikes(levelled(levels, pitches=[None] * 10 + [60.0] * 40)) == [pytest.approx(on_s)]


@pytest.mark.parametrize("room_db, on_s", [(-60.0, 0.71), (-22.0, 0.7)])
def test_a_level_dates_no_note_within_a_room_as_loud(room_db, on_s):
    """Voiced from 0.70 s; near its level, smoothed over 30 ms, from 0.71 s."""
    levels = [room_db] * 67 + [-35.0 if room_db < -35.0 else room_db] * 3 + [-16.0] * 40
    assert strikes(levelled(levels, pitches=[None] * 70 + [60.0] * 40)) == [pytest.approx(on_s)]


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


@pytest.mark.parametrize("level_db", [-90.0, -28.0, 0.0])
def test_a_note_on_tells_its_level_and_leaves_velocity_to_the_performance(level_db):
    tracker = NoteTracker()
    events = [e for f in frames_of([60.0] * 3, level_db=level_db) for e in tracker.feed(f)]
    assert (events[0].level_db, events[0].velocity) == (level_db, 64)


def test_half_the_hop_gives_the_same_notes():
    line = [None] * 10 + [60.0] * 40 + [62.0] * 40 + [None] * 20 + [62.0] * 30
    twice = [pitch for pitch in line for _ in (0, 1)]
    assert notes_of(twice, hop_s=0.005) == notes_of(line)


@pytest.mark.parametrize(("hop_s", "lag_ms"), [(0.01, 10.0), (0.005, 10.0), (0.02, 0.0)])
def test_lag_is_told(hop_s, lag_ms):
    tracker = NoteTracker(hop_s=hop_s)
    assert tracker.lag_ms == pytest.approx(lag_ms)
    on = next(e for f in frames_of([60.0] * 9, hop_s) for e in tracker.feed(f))
    assert on.available_s - on.time_s == pytest.approx(LAG_S + lag_ms / 1000)


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


@pytest.mark.parametrize(("name", "value"), [("on_ms", 0), ("window_ms", float("nan")), ("away_semitones", -0.4), ("on_ms", "off")])
def test_settings_out_of_range_are_named(name, value):
    with pytest.raises(SettingsError, match=f"{name} {value} cannot be used: it must be"):
        NoteSettings(**{name: value})


@pytest.mark.parametrize("word", [None, False, "off", "Off", "false"])
def test_a_rule_can_be_switched_off(word):
    assert NoteSettings(rise_db=word).rise_db is None


def check_notes(events):
    """Note-on and note-off alternate, one note at a time, in the order of time, whatever comes between."""
    sounding, struck_s, available_s = None, 0.0, 0.0
    for event in events:
        assert event.available_s >= available_s and event.time_s <= event.available_s
        available_s = event.available_s
        if isinstance(event, NoteOn):
            assert sounding is None and 1 <= event.velocity <= 127 and 0 <= event.note <= 127
            sounding = event.note
        assert event.note == sounding
        if isinstance(event, (NoteOn, NoteOff)):
            assert event.time_s >= struck_s
            struck_s = event.time_s
        if isinstance(event, NoteOff):
            sounding = None
    assert sounding is None


PITCHES = st.one_of(st.none(), st.floats(20, 110), st.sampled_from([60.0, 60.7, 61.0, 72.0]))
RUNS = st.lists(st.tuples(PITCHES, st.integers(1, 25)), max_size=30)


@settings(max_examples=150, deadline=None)
@given(RUNS)
def test_whatever_is_sung_notes_alternate_and_time_goes_on(runs):
    events = events_of([pitch for pitch, n in runs for _ in range(n)])
    check_notes(events)


@pytest.mark.slow
def test_ten_thousand_random_sequences_of_posteriors():
    """Posteriors that wander, leap and vanish, through the decoder; levels, voicing and confidence at random."""
    rng = np.random.default_rng(7)
    decoder, bins, hops, struck = OnlineViterbi(BINS, 2.0, 6, 0.3, 0.9, 0.9), np.arange(BINS), 24, 0
    for _ in range(10_000):
        decoder.reset()
        tracker, events = NoteTracker(NoteSettings(first_confidence=0.5, sure_confidence=0.5)), []
        pitch = np.cumsum(rng.normal(0.0, rng.choice((0.05, 0.5, 3.0)), hops)) + np.repeat(rng.uniform(0, BINS, 3), hops // 3)
        observed = np.zeros((hops, BINS + 1), np.float32)
        observed[:, :-1] = (
            np.maximum(-40.0, -np.square(bins - pitch[:, None]) / 8.0) + np.repeat(rng.normal(2.0, 6.0, hops // 3), 3)[:, None]
        )
        other = rng.random((4, hops))
        for i in range(hops):
            state = decoder.feed(observed[i])
            f0_hz = midi_to_hz(40.0 + (state if state < BINS else pitch[i]) / 2.0)
            frame = PitchFrame(
                i, i / 100, i / 100 + LAG_S, f0_hz, state < BINS, other[0, i], other[1, i], -80.0 * other[2, i], 4000.0 * other[3, i]
            )
            events += tracker.feed(frame)
        events += tracker.finish(hops / 100 + LAG_S)
        check_notes(events)
        struck += sum(isinstance(e, NoteOn) for e in events)
    assert struck > 5_000


@pytest.mark.parametrize("level_db", [np.nan, np.inf, -np.inf, 4000.0])
def test_a_level_of_no_sound_breaks_nothing(level_db):
    """The engine gives none; frames may be made by hand."""
    tracker, events = NoteTracker(), []
    for i in range(100):
        frame = PitchFrame(i, i / 100, i / 100 + LAG_S, 220.0, True, 0.99, 0.99, level_db if i % 7 == 3 else -20.0, 500.0)
        events += tracker.feed(frame)
    events += tracker.finish(1.1)
    check_notes(events)
    assert sum(isinstance(e, NoteOn) for e in events) >= 1


@pytest.mark.parametrize("semitones_per_s", [1.0, 1.5, 1.6, 1.8, 2.0, 2.3, 3.0, 4.0, 6.0])
@pytest.mark.parametrize("way", [1, -1])
def test_a_slide_of_any_speed_stays_within_reach_of_a_bend(semitones_per_s, way):
    """Seven semitones: the sounding note is left where the usual bend of two semitones ends, or soon after."""
    line = [60.0] * 40 + [60 + way * semitones_per_s * i / 100 for i in range(int(700 / semitones_per_s))]
    line += [60.0 + 7 * way] * 60
    tracker, note, away = NoteTracker(), None, []
    for frame, pitch in zip(frames_of(line), line, strict=True):
        for event in tracker.feed(frame):
            note = event.note if isinstance(event, NoteOn) else note
        away.append(abs(pitch - (pitch if note is None else note)))
    assert max(away) < 2.7 and away[-1] < 2.1


@pytest.mark.parametrize("to", [72.0, 63.0])
def test_a_change_that_must_last_longer_than_the_window_is_still_believed(to):
    tracker = NoteTracker(NoteSettings(change_ms=400.0, sure_confidence=2.0))
    assert [note for note, _, _ in notes_of([60.0] * 60 + [to] * 120, tracker=tracker)] == [60, round(to)]


@pytest.mark.parametrize(("retired", "instead"), [("leap_ms", "set change_ms"), ("min_note_ms", "leave it out")])
def test_a_threshold_of_an_older_file_is_told_what_has_become_of_it(retired, instead):
    with pytest.raises(SettingsError, match=f"{retired} is no setting; .*{instead}"):
        NoteSettings(**{retired: 100.0})


def test_a_first_note_that_had_to_last_is_dated_to_where_it_began():
    doubted = NoteTracker(NoteSettings(first_confidence=2.0, first_ms=2000.0))
    assert notes_of([None] * 10 + [60.0] * 300, tracker=doubted) == [(60, 100, 3100)]


def test_a_stream_that_breaks_off_leaves_the_singer_and_the_room_known():
    """After a skip in mid-phrase the next note is no first one after a pause; in another stream it is."""
    frames = [replace(f, confidence=0.8) for f in frames_of([60.0] * 40 + [None] * 6 + [62.0] * 30)]
    for break_off, heard in ((NoteTracker.finish, [62]), (lambda tracker, at_s: tracker.reset(), [])):
        tracker = NoteTracker()
        for frame in frames_of([60.0] * 40):
            tracker.feed(frame)
        break_off(tracker, 0.5)
        events = [event for frame in frames[46:] for event in tracker.feed(frame)]
        assert [event.note for event in events if isinstance(event, NoteOn)] == heard


def test_frames_that_guessed_a_note_before_it_was_sure_date_it():
    """Half sure that somebody sings, at the pitch that then is sung; what was surely nobody stays silence."""
    line = [(60.0, 0.1, False)] * 5 + [(60.2, 0.5, False)] * 4 + [(60.2, 0.9, True)] * 30
    frames = [
        replace(f, f0_hz=midi_to_hz(pitch), voicing=voicing, voiced=voiced)
        for f, (pitch, voicing, voiced) in zip(frames_of([60.0] * len(line)), line, strict=True)
    ]
    tracker = NoteTracker()
    on = next(event for f in frames for event in tracker.feed(f))
    assert on.time_s == pytest.approx(0.05)


TIMES_MS = {
    "on_ms": 200, "scoop_ms": 300, "first_ms": 600, "rise_ms": 200, "back_ms": 300, "bridge_ms": 600, "change_ms": 300, "step_ms": 300,
    "window_ms": 500,
}  # fmt: skip
SOME_SETTINGS = st.fixed_dictionaries({}, optional={name: st.floats(1.0, most) for name, most in TIMES_MS.items()})
SUNG = st.tuples(PITCHES, st.integers(1, 60), st.booleans(), st.sampled_from([0.3, 0.7, 0.97]), st.floats(-60.0, -10.0))


def doubtful_frames(parts, behind_s):
    """Frames of (pitch, hops, voiced, confidence, level); unvoiced ones guess their pitch, half sure that it is sung."""
    frames = frames_of([pitch for pitch, hops, *_ in parts for _ in range(hops)])
    told = [(part[2], part[3], part[4]) for part in parts for _ in range(part[1])]
    frames = [replace(f, available_s=f.time_s + 0.01 + behind_s) for f in frames]
    return [
        replace(f, voiced=f.voiced and voiced, voicing=0.9 if voiced else 0.5, confidence=sure, level_db=db)
        for f, (voiced, sure, db) in zip(frames, told, strict=True)
    ]


@settings(max_examples=200, deadline=None)
@given(SOME_SETTINGS, st.lists(SUNG, max_size=25), st.sampled_from([0.0, 0.02, 0.039, 0.13]))
def test_no_event_speaks_of_a_time_before_the_reach(changes, parts, behind_s):
    frames = doubtful_frames(parts, behind_s)
    tracker = NoteTracker(NoteSettings(**changes), look_ahead_ms=1000 * behind_s)
    events = [e for f in frames for e in tracker.feed(f)] + tracker.finish(frames[-1].available_s if frames else 0.0)
    assert all(e.available_s - e.time_s <= tracker.reach_back_s + 1e-9 for e in events)


@pytest.mark.parametrize("first_ms", [800.0, 3000.0])
def test_the_reach_is_what_a_doubtful_first_note_needs_and_little_more(first_ms):
    tracker = NoteTracker(NoteSettings(first_confidence=2.0, first_ms=first_ms), look_ahead_ms=20.0)
    frames = frames_of([60.0] * 400)
    frames = [replace(f, voiced=f.index >= 50, voicing=0.5) for f in frames]
    on = next(e for f in frames for e in tracker.feed(f))
    assert tracker.reach_back_s - 0.05 <= on.available_s - on.time_s <= tracker.reach_back_s


def test_a_long_gap_that_is_bridged_is_within_reach():
    tracker = NoteTracker(NoteSettings(bridge_ms=2000.0), look_ahead_ms=20.0)
    off = [e for f in frames_of([60.0] * 30 + [None] * 300) for e in tracker.feed(f)][-1]
    assert 2.0 < off.available_s - off.time_s <= tracker.reach_back_s


@settings(max_examples=100, deadline=None)
@given(st.lists(SUNG, max_size=25))
def test_notes_do_not_depend_on_how_much_look_ahead_is_allowed_for(parts):
    frames = doubtful_frames(parts, 0.02)
    some, more = (NoteTracker(look_ahead_ms=ms) for ms in (20.0, 300.0))
    assert [e for f in frames for e in some.feed(f)] == [e for f in frames for e in more.feed(f)]


def test_a_frame_that_comes_later_than_was_allowed_for_is_refused():
    tracker = NoteTracker(look_ahead_ms=39.0)
    with pytest.raises(ValueError, match="50.0 ms behind its level; give NoteTracker a look_ahead_ms"):
        tracker.feed(replace(frames_of([60.0])[0], available_s=0.06))
