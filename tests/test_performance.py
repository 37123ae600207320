"""The stage between the tracker and the outputs, fed by a tracker that says what it is told."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import inf, log2, pi, sin

import pytest

from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.notes import NoteTracker
from rt_melody.realtime.playing.performance import BRIGHTNESS_STEP_OCTAVES, LEGATO_OVERLAP_S, Performer
from rt_melody.realtime.settings import PerformanceSettings
from rt_melody.realtime.types import (
    Brightness,
    KeyHeard,
    Loudness,
    NoteOff,
    NoteOn,
    PitchBend,
    PitchFrame,
    midi_to_hz,
)

HOP_S = 0.01


def frame(i, pitch=None, level_db=-28.0, brightness_hz=0.0):
    f0_hz = 100.0 if pitch is None else midi_to_hz(pitch)
    return PitchFrame(i, i * HOP_S, i * HOP_S + 0.05, f0_hz, pitch is not None, 0.99, 0.9, level_db, brightness_hz)


class Score:
    """A tracker whose events are written down: frame index -> events; keeps the frames it was fed."""

    hop_s = HOP_S
    lag_ms = 10.0

    def __init__(self, events):
        self.events, self.sounding, self.fed = events, None, []

    def feed(self, frame):
        self.fed.append(frame)
        events = self.events.get(frame.index, [])
        for event in events:
            self.sounding = event if isinstance(event, NoteOn) else None if isinstance(event, NoteOff) else self.sounding
        return list(events)

    def finish(self, available_s):
        held, self.sounding = self.sounding, None
        return [NoteOff(available_s, available_s, held.note)] if held else []

    def reset(self):
        self.sounding = None


def on(i, note, pitch=None):
    return NoteOn(i * HOP_S - 0.02, i * HOP_S + 0.05, note, 64, note if pitch is None else pitch)


def off(i, note):
    return NoteOff(i * HOP_S - 0.02, i * HOP_S + 0.05, note)


def bend(i, note, semitones):
    return PitchBend(i * HOP_S, i * HOP_S + 0.05, note, semitones)


def perform(score, frames=None, finish=True, **settings):
    performer = Performer(Score(score), PerformanceSettings(**settings))
    frames = frames or [frame(i) for i in range(max(score) + 5)]
    events = [event for f in frames for event in performer.feed(f)]
    return events + (performer.finish(frames[-1].available_s) if finish else [])


def told(events):
    """Notes as ``+60``, ``-60``, bends as ``60~+0.50``; what else there is, left out."""
    words = []
    for e in events:
        if isinstance(e, NoteOn):
            words.append(f"+{e.note}" + (" legato" if e.legato else ""))
        elif isinstance(e, NoteOff):
            words.append(f"-{e.note}")
        elif isinstance(e, PitchBend):
            words.append(f"{e.note}~{e.semitones:+.2f}")
    return words


STEP = {10: [on(10, 60)], 30: [off(30, 60), on(30, 62, 61.9)], 40: [bend(40, 62, 0.3)], 50: [off(50, 62)]}
AGAIN = {10: [on(10, 60)], 30: [off(30, 60), on(30, 60)], 50: [off(50, 60)]}
LEAP = {10: [on(10, 60)], 30: [off(30, 60), on(30, 67)], 50: [off(50, 67)]}
PAUSE = {10: [on(10, 60)], 20: [off(20, 60)], 40: [on(40, 62)], 50: [off(50, 62)]}


@pytest.mark.parametrize(
    ("mode", "score", "expected"),
    [
        ("mono", STEP, ["+60", "-60", "+62", "62~+0.30", "-62"]),
        ("mpe", STEP, ["+60", "-60", "+62", "62~+0.30", "-62"]),
        ("legato", STEP, ["+60", "+62 legato", "-60", "62~+0.30", "-62"]),
        ("bend", STEP, ["+60", "60~+1.90", "60~+2.30", "-60"]),
        ("mono", AGAIN, ["+60", "-60", "+60", "-60"]),
        ("legato", AGAIN, ["+60", "-60", "+60", "-60"]),
        ("bend", AGAIN, ["+60", "-60"]),
        ("bend", LEAP, ["+60", "-60", "+67", "-67"]),
        ("legato", LEAP, ["+60", "+67 legato", "-60", "-67"]),
        ("legato", PAUSE, ["+60", "-60", "+62", "-62"]),
        ("bend", PAUSE, ["+60", "-60", "+62", "-62"]),
    ],
)
def test_modes(mode, score, expected):
    assert told(perform(score, mode=mode, bend_range=4)) == expected


def test_bend_mode_keeps_room_for_vibrato_at_the_edge_of_the_range():
    assert told(perform(STEP, mode="bend", bend_range=2)) == ["+60", "-60", "+62", "62~+0.30", "-62"]
    near = {10: [on(10, 60)], 30: [off(30, 60), on(30, 61, 61.4)], 50: [off(50, 61)]}
    assert told(perform(near, mode="bend", bend_range=2)) == ["+60", "60~+1.40", "-60"]


def test_bend_mode_goes_from_note_to_note_within_the_range_of_the_first():
    score = {10: [on(10, 60)], 30: [off(30, 60), on(30, 63)], 50: [off(50, 63), on(50, 66)], 70: [off(70, 66), on(70, 61)]}
    assert told(perform(score, mode="bend", bend_range=4)) == [
        "+60", "60~+3.00", "-60", "+66", "-66", "+61", "-61",
    ]  # fmt: skip


def test_a_slurred_note_overlaps_in_time():
    _, second, end, *_ = perform(STEP, mode="legato")
    assert second.time_s < end.time_s == pytest.approx(second.time_s + LEGATO_OVERLAP_S)
    assert end.available_s == second.available_s


@pytest.mark.parametrize("mode", ["mono", "legato", "bend", "mpe"])
def test_finish_ends_what_sounds(mode):
    assert told(perform({10: [on(10, 60)]}, mode=mode)) == ["+60", "-60"]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("mono", ["+60", "-60", "+62", "-62"]), ("legato", ["+60", "+62 legato", "-60", "-62"]), ("bend", ["+60", "60~+2.00", "-60"])],
)
def test_a_slow_glide_is_no_silence(mode, expected):
    """The tracker ends the note where the glide left it and begins the next where it arrived, 200 ms later."""
    glide = {10: [on(10, 60)], 40: [NoteOff(0.2, 0.45, 60), on(40, 62)], 50: [off(50, 62)]}
    assert told(perform(glide, mode=mode, bend_range=12)) == expected


# --- pitch


def test_transposition_moves_numbers_and_pitches_alike():
    first, *_ = events = perform({10: [on(10, 60, 60.3)], 12: [bend(12, 60, -0.2)]}, transpose=-14)
    assert (first.note, first.pitch) == (46, pytest.approx(46.3)) and told(events)[1] == "46~-0.20"


def test_a_note_out_of_range_is_left_out_and_ends_the_one_before():
    score = STEP | {60: [on(60, 80)], 62: [bend(62, 80, 0.5)], 70: [off(70, 80)]}
    assert told(perform(score, note_range=["48", "61"])) == ["+60", "-60"]
    assert told(perform({10: [on(10, 5)], 20: [off(20, 5)]}, transpose=-12)) == []


def test_tuning_is_heard_before_notes_are_made():
    """At A4 = 415 Hz a sung A4 of 440 Hz is a B flat, and sits on it to a cent."""
    performer = Performer(NoteTracker(), PerformanceSettings(a4_hz=415.0))
    events = [e for i in range(30) for e in performer.feed(frame(i, 69.0))]
    assert events[0].note == 70 and events[0].pitch == pytest.approx(69 + 12 * log2(440 / 415), abs=0.01)


SUNG = {10: [on(10, 61, 61.2)], 12: [bend(12, 61, 0.4)], 14: [bend(14, 61, -0.2)], 30: [off(30, 61)]}


@pytest.mark.parametrize(
    ("snap", "expected"),
    [
        ("hard", ["+62", "-62"]),  # on the scale, without bends
        ("30", ["+61", "61~+0.70", "61~+0.10", "-61"]),  # 61.2, 61.4, 60.8, each 0.3 nearer to 62
        ("off", ["+61", "61~+0.40", "61~-0.20", "-61"]),
    ],
)
def test_notes_are_drawn_to_the_scale(snap, expected):
    assert told(perform(SUNG, scale="C major", snap=snap)) == expected


def test_a_pull_takes_small_errors_away_and_leaves_the_rest_of_a_vibrato():
    score = {10: [on(10, 60, 60.2)], 12: [bend(12, 60, 0.7)], 14: [bend(14, 60, -0.1)], 16: [bend(16, 60, 0.1)]}
    first, *rest = perform(score, scale="C major", snap="30")
    assert first.pitch == 60.0 and told(rest) == ["60~+0.40", "60~+0.00", "-60"]


def test_two_notes_drawn_onto_one_are_one_but_a_repeated_note_is_struck():
    drawn = {10: [on(10, 60)], 30: [off(30, 60), on(30, 61, 60.9)], 50: [off(50, 61), on(50, 61, 60.9)], 70: [off(70, 61)]}
    assert told(perform(drawn, scale="C major")) == ["+60", "-60", "+60", "-60"]


def test_the_key_that_is_heard_draws_notes_once_it_is_known():
    notes = [60, 62, 64, 65, 67, 69, 71, 72, 67, 64, 60]  # C major
    score, i = {}, 0
    for note in notes:
        score[i], score[i + 45] = [on(i, note)], [off(i + 45, note)]
        i += 50
    score |= {i: [on(i, 66)], i + 45: [off(i + 45, 66)]}
    early = {0: [on(0, 66)], 45: [off(45, 66)]}
    assert told(perform(early, scale="auto")) == ["+66", "-66"]
    last = told(perform(score, scale="auto"))[-2:]
    assert last == ["+65", "-65"]
    performer = Performer(Score(score), PerformanceSettings(scale="auto"))
    heard = [e for j in range(i) for e in performer.feed(frame(j)) if isinstance(e, KeyHeard)]
    assert performer.key.name == "C major"
    assert [(e.tonic, e.name) for e in heard][-1] == (0, "C major") and len(heard) <= 3, "told once for each change"
    assert heard[0].available_s >= 3.0, "of so much singing at least a key is heard"
    performer.finish(9.0)
    assert performer.key.name == "C major"
    performer.reset()
    assert performer.key is None
    again = [e for j in range(i) for e in performer.feed(frame(j)) if isinstance(e, KeyHeard)]
    assert again == heard


# --- velocity, loudness, brightness


def test_velocity_is_of_the_loudest_hop_of_the_onset():
    frames = [frame(i, level_db={5: -10.0, 9: -28.0, 11: -17.0}.get(i, -50.0)) for i in range(20)]
    score = {12: [NoteOn(0.12, 0.17, 60, 1, 60.0)]}  # the hop of index i ends at i * 10 + 50 ms: 8..12 are within
    first = perform(score, frames)[0]
    assert first.level_db == -50.0 and first.velocity == 1 + round(126 * 28 / 39)
    fixed = perform(score, frames, velocity_curve="fixed 77")[0]
    assert fixed.velocity == 77


def test_a_note_begins_with_the_level_that_is_told_next():
    first, loud, *_ = perform({10: [on(10, 60), Loudness(0.10, 0.15, 60, -21.5)]})
    assert first.level_db == loud.level_db == -21.5


def test_loudness_is_dated_to_its_own_hop():
    events = perform({10: [on(10, 60), Loudness(0.10, 0.15, 60, -20.0)]}, transpose=2)
    loud = next(e for e in events if isinstance(e, Loudness))
    assert (loud.time_s, loud.note, loud.level_db) == (pytest.approx(0.14), 62, -20.0)


def test_brightness_is_told_where_it_changes_while_a_note_sounds():
    hz = [500.0] * 30 + [1000.0] * 60 + [2000.0] * 60
    frames = [frame(i, brightness_hz=hz[i]) for i in range(150)]
    events = perform({10: [on(10, 60)], 85: [off(85, 60)]}, frames)
    assert events[0].brightness_hz == pytest.approx(500.0)
    first, *bright = [e for e in events if isinstance(e, Brightness)]
    assert events[1] is first and first.brightness_hz == events[0].brightness_hz, "for outputs whose note-ons carry none"
    assert all(0.35 <= e.available_s < 0.9 and e.note == 60 for e in bright)
    steps = [log2(b.brightness_hz / a.brightness_hz) for a, b in pairwise(bright)]
    assert min(steps) >= BRIGHTNESS_STEP_OCTAVES and bright[-1].brightness_hz == pytest.approx(1000.0, rel=0.05)


def test_hiss_after_the_voice_is_not_its_brightness():
    """The voice has stopped, which is not known yet; what sounds is the room, far below."""
    frames = [frame(i, level_db=-20.0 if i < 40 else -60.0, brightness_hz=400.0 if i < 40 else 5000.0) for i in range(60)]
    events = perform({10: [on(10, 60)], 46: [off(46, 60)]}, frames)
    assert [round(e.brightness_hz) for e in events if isinstance(e, Brightness)] == [400]


def slid(pitches, **settings):
    """What is played of a note 64 that is bent along ``pitches`` from its tenth frame on, in C major."""
    score = {10: [on(10, 64)]} | {11 + i: [bend(11 + i, 64, p - 64)] for i, p in enumerate(pitches)}
    return told(perform(score, [frame(i) for i in range(20 + len(pitches))], scale="C major", **settings))


F_HELD = [64 + i / 10 for i in range(10)] + [65.0] * 30


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["+64", "-64", "+65", "-65"]),
        ({"mode": "legato"}, ["+64", "+65 legato", "-64", "-65"]),
        ({"mode": "bend"}, ["+64", "64~+1.00", "-64"]),
        ({"snap": "200"}, ["+64", "-64", "+65", "-65"]),
        ({"note_range": ["C-1", "64"]}, ["+64", "-64"]),
    ],
)
def test_a_slide_to_another_note_of_the_scale_is_followed(settings, expected):
    assert slid(F_HELD, **settings) == expected


def test_a_soft_pull_lets_go_where_the_voice_has_slid():
    words = slid(F_HELD, snap="30")
    assert words[0] == "+64" and words[-2:] == ["+65", "-65"], "drawn by 0.3, the F was 30 cents flat"


@pytest.mark.parametrize("rate_hz", [4, 5, 8])
def test_vibrato_on_a_scale_stays_on_its_note(rate_hz):
    assert slid([64 + 0.3 + 0.7 * sin(2 * pi * rate_hz * i * HOP_S) for i in range(150)]) == ["+64", "-64"]


def test_without_brightness_none_is_told():
    events = perform(STEP)
    assert events[0].brightness_hz is None and not [e for e in events if isinstance(e, Brightness)]


# --- state


def melody(i):
    pitch = [None, 60.2, 61.9, None, 64.1, 64.1][i // 25 % 6]
    return frame(i, pitch, -30.0 + i % 7, 400.0 + 10 * (i % 50))


@pytest.mark.parametrize("mode", ["mono", "legato", "bend", "mpe"])
def test_a_second_run_plays_what_the_first_did_and_only_after_a_reset(mode):
    settings = PerformanceSettings(mode=mode, scale="auto")

    def run(performer, n=700):
        return [e for i in range(n) for e in performer.feed(melody(i))]

    first = run(Performer(NoteTracker(), settings))
    assert len(first) > 50 and run(Performer(NoteTracker(), settings)) == first
    performer = Performer(NoteTracker(), settings)
    run(performer)
    performer.reset()
    assert run(performer) == first
    assert run(performer) != first  # without a reset: the note of the run before still sounds


def test_later_frames_never_change_earlier_events():
    whole, part = (Performer(NoteTracker(), PerformanceSettings(mode="legato", scale="auto")) for _ in range(2))
    long = [whole.feed(melody(i)) for i in range(500)]
    assert [part.feed(melody(i)) for i in range(300)] == long[:300]


def test_it_is_a_tracker():
    tracker = NoteTracker(hop_s=0.02)
    performer = Performer(tracker)
    assert (performer.lag_ms, performer.hop_s) == (tracker.lag_ms, 0.02)


# --- bad input


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mode": "poly"}, "mode poly cannot be used: it must be one of 'mono'"),
        ({"a4_hz": 44.0}, "a4_hz 44.0 cannot be used: it must be at least 220"),
        ({"a4_hz": float("nan")}, "a4_hz nan cannot be used: it must be a finite number"),
        ({"note_range": ["60", "59"]}, "note range 60 .. 59 must ascend"),
    ],
)
def test_settings_that_cannot_be_used_are_named(settings, said):
    with pytest.raises(SettingsError, match=said):
        PerformanceSettings(**settings)


def test_words_of_the_settings():
    said = [PerformanceSettings(snap=snap, scale=scale) for snap in ("off", "hard", "30") for scale in ("off", "auto", "C major")]
    assert [(s.pull_semitones, s.finds_key, s.fixed_scale and s.fixed_scale.name) for s in said] == [
        (0.0, False, None), (0.0, False, None), (0.0, False, None),
        (inf, False, None), (inf, True, None), (inf, False, "C major"),
        (0.3, False, "chromatic"), (0.3, True, None), (0.3, False, "C major"),
    ]  # fmt: skip
    ranged = PerformanceSettings(note_range=["C3", "72"], octave=-1, transpose=2)
    assert (ranged.lowest, ranged.highest, ranged.transpose_semitones) == (48, 72, -10)
    assert [PerformanceSettings(mode=mode).bend_range_semitones for mode in ("mono", "mpe")] == [2, 48]
    for bad in ({"snap": "soft"}, {"snap": "0"}, {"snap": "nan"}, {"scale": "H dur"}, {"note_range": ["C3"]}, {"gate": "loud"}):
        with pytest.raises(SettingsError):
            PerformanceSettings(**bad)


def test_a_learned_velocity_range_is_kept_over_other_changes_and_forgotten_by_a_reset():
    """40 dB down, where the usual range would make 1 of every velocity."""
    settings = PerformanceSettings(velocity_range="auto")
    performer = Performer(NoteTracker(), settings)

    def struck(n=600):
        played = (performer.feed(replace(melody(i), level_db=-70.0 + i // 25 % 5)) for i in range(n))
        return [event.velocity for events in played for event in events if isinstance(event, NoteOn)]

    first = struck()
    assert min(first) > 20
    performer.change(settings.changed(octave=1))
    assert struck()[0] != first[0]
    performer.reset()
    assert struck() == first
