"""Each threshold of the note tracker at its edge: a line on either side of it, a thousand frames a second.

Every check passes with the defaults and must fail with its threshold 30 % lower or higher; a test below shows that it
does. So no default can move that far unnoticed.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp
from typing import NamedTuple, get_args

import pytest

from rt_melody.realtime.notes import NoteSettings, NoteTracker
from rt_melody.realtime.types import Loudness, NoteOff, NoteOn, PitchBend, PitchFrame, midi_to_hz

HOP_S = 0.001
QUIET_DB = -90.0


class Part(NamedTuple):
    """A stretch of a line: ``pitch`` (MIDI) is constant or a function of the ms since the stretch began."""

    ms: int
    pitch: float | Callable[[int], float] = 60.0
    voiced: bool = True
    confidence: float = 0.97
    voicing: float = 0.9
    level_db: float = -20.0


def rest(ms: int, level_db: float = QUIET_DB) -> Part:
    return Part(ms, voiced=False, voicing=0.1, level_db=level_db)


def frames_of(*parts: Part) -> list[PitchFrame]:
    """One frame a ms; pitch and level of a frame are of the same moment."""
    frames: list[PitchFrame] = []
    for part in parts:
        for ms in range(part.ms):
            i, pitch = len(frames), part.pitch(ms) if callable(part.pitch) else part.pitch
            frames.append(PitchFrame(
                i, i * HOP_S, (i + 1) * HOP_S, midi_to_hz(pitch), part.voiced, part.confidence, part.voicing, part.level_db,
            ))  # fmt: skip
    return frames


def events_of(settings: NoteSettings, *parts: Part):
    tracker = NoteTracker(settings, HOP_S)
    return [event for frame in frames_of(*parts) for event in tracker.feed(frame)]


def ons(settings: NoteSettings, *parts: Part) -> list[NoteOn]:
    return [event for event in events_of(settings, *parts) if isinstance(event, NoteOn)]


def known_ms(event, since_ms: int) -> int:
    """How many ms of the line from ``since_ms`` on it took to know of the event."""
    return round(event.available_s * 1000) - since_ms


def ramp(semitones_a_ms: float, start: float = 60.0) -> Callable[[int], float]:
    return lambda ms: start + semitones_a_ms * ms


# ---- onset


def on_ms(s):
    assert not ons(s, Part(14)) and len(ons(s, Part(15))) == 1


def on_confidence(s):
    assert [len(ons(s, Part(300), rest(100), Part(50, 62, confidence=c))) for c in (0.64, 0.66)] == [1, 2]


def on_confidence_of_another_pitch(s):
    """Where it is missing the note ends and none follows."""
    for confidence, notes in ((0.64, [60]), (0.66, [60, 62])):
        events = events_of(s, Part(300), Part(150, 62, confidence=confidence))
        assert [e.note for e in events if isinstance(e, NoteOn)] == notes
        assert [e.note for e in events if isinstance(e, NoteOff)] == [60]


def agree_semitones(s):
    assert [len(ons(s, Part(50, ramp(spread / 14)))) for spread in (0.115, 0.125)] == [1, 0]


def scoop_ms(s):
    (on,) = ons(s, Part(90, ramp(0.135 / 14)))
    assert known_ms(on, 0) == 60


def settle_semitones(s):
    assert [len(ons(s, Part(100, ramp(spread / 14)))) for spread in (0.145, 0.155)] == [1, 0]


def arrive_semitones(s):
    (on,) = ons(s, rest(50, -20.0), Part(50, ramp(0.02, 59.0)), Part(50))
    assert on.time_s == pytest.approx(0.085, abs=0.0015)  # .7 of the way up


def attack_db(s):
    def began(murmur_db):
        murmur, loud = Part(100, confidence=0.5, level_db=-20.0 - murmur_db), Part(50, confidence=0.5)
        (on,) = ons(s, rest(100), murmur, loud, Part(30))
        return round(on.time_s * 1000) - 100

    assert began(3.5) < 50 and 100 <= began(4.5) < 110


def back_ms(s):
    (on,) = ons(s, Part(300, voiced=False, voicing=0.5), Part(50))
    assert on.time_s == pytest.approx(0.170, abs=0.0015)


def hold_voicing(s):
    """A gap of 50 ms that is guessed at the note's pitch; and the beginning of a note that is."""
    assert [len(ons(s, Part(300), Part(50, voiced=False, voicing=v), Part(50))) for v in (0.39, 0.41)] == [2, 1]
    began = [ons(s, rest(50), Part(50, voiced=False, voicing=v), Part(50))[0].time_s for v in (0.39, 0.41)]
    assert began == pytest.approx([0.1, 0.05])


# ---- first note


def pause_ms(s):
    assert [len(ons(s, Part(300), rest(ms), Part(50, 62, confidence=0.85, level_db=QUIET_DB))) for ms in (990, 1010)] == [2, 1]


def first_confidence(s):
    assert [len(ons(s, Part(50, confidence=c))) for c in (0.91, 0.93)] == [0, 1]


def first_confidence_after_doubtful_notes(s):
    """Sung at .75 since a pause, after a sure beginning: less than sure in the mean."""
    before = (Part(20), Part(600, confidence=0.75), rest(100, -20.0))
    assert [len(ons(s, *before, Part(50, 62, confidence=c))) for c in (0.91, 0.93)] == [1, 2]


def first_ms(s):
    (on,) = ons(s, Part(1100, confidence=0.85))
    assert known_ms(on, 0) == 800


def rise_db(s):
    assert [len(ons(s, rest(200, -20.0 - db), Part(50, confidence=0.85))) for db in (7.9, 8.1)] == [0, 1]


def rise_ms(s):
    """The level rises so long before the frame that could start a note."""

    def started(before_ms):
        return len(ons(s, rest(200, -40.0), rest(before_ms - 15, -20.0), Part(15, confidence=0.85)))

    assert [started(ms) for ms in (118, 122)] == [1, 0]


def rise_ms_of_a_dip(s):
    """The level rises slowly out of a dip: by 8 dB in 100 or in 140 ms, and more."""

    def struck(ms):
        down_db = 30
        back = [Part(1, level_db=-20.0 - down_db + 8.0 * i / ms) for i in range(round(down_db * ms / 8.0))]
        return len(ons(s, Part(500), Part(40, level_db=-20.0 - down_db), *back, Part(300)))

    assert [struck(ms) for ms in (95, 145)] == [2, 1]


# ---- hold


def fade_db(s):
    """The level falls, and the pitch is in doubt."""

    def ended(db):
        events = events_of(s, Part(300), Part(100, voiced=False, voicing=0.6, level_db=-20.0 - db))
        return any(isinstance(event, NoteOff) for event in events)

    assert [ended(db) for db in (5.5, 6.5)] == [False, True]


def fade_db_after_a_dip(s):
    dip = Part(40, level_db=-50.0)
    assert [len(ons(s, Part(300), dip, Part(100, level_db=-20.0 - db))) for db in (5.8, 6.2)] == [2, 1]


def bridge_ms(s):
    assert [len(ons(s, Part(300), rest(gap, -20.0), Part(50))) for gap in (25, 26)] == [1, 2]


# ---- change of pitch


def away_semitones(s):
    assert [[on.note for on in ons(s, Part(500), Part(300, 60 + step))] for step in (0.55, 0.65)] == [[60], [60, 61]]


def centre_ms(s):
    """400 ms at half a semitone above draw the centre up by .316, so that .6 beyond it lies at .916."""
    assert 0.5 * (1 - exp(-1)) == pytest.approx(0.316, abs=1e-3)
    before = (Part(2000), Part(400, 60.5))
    assert [len(ons(s, *before, Part(150, 60 + step))) for step in (0.9, 0.93)] == [1, 2]


def left_after_ms(s, step: float, confidence: float = 0.97, before: tuple[Part, ...] = (Part(600),)) -> int:
    """How long a step must last until its note is known."""
    _, on, *_ = ons(s, *before, Part(300, 60 + step, confidence=confidence))
    return known_ms(on, sum(part.ms for part in before))


def change_ms(s):
    assert left_after_ms(s, 2.0, confidence=0.7) == 100


def change_ms_of_a_leap(s):
    assert left_after_ms(s, 12.0) == 100


def change_ms_of_a_small_step(s):
    assert left_after_ms(s, 1.0) == 100


def change_ms_before_a_repeated_note(s):
    """A dip whose end is so long after the note began."""
    dip = Part(60, confidence=0.7, level_db=-50.0)
    assert [len(ons(s, rest(50, -20.0), Part(ms - 60), dip, Part(100))) for ms in (99, 101)] == [1, 2]


def change_ms_of_a_glide(s):
    """What has not settled after twice that time is followed."""
    _, on, *_ = ons(s, Part(600), Part(400, lambda ms: 60.7 + 0.011 * ms, confidence=0.7))
    assert known_ms(on, 600) == 200


def step_ms(s):
    assert left_after_ms(s, 2.0) == 40


def sure_confidence(s):
    assert [left_after_ms(s, 2.0, confidence=c) for c in (0.79, 0.81)] == [100, 40]


def sure_confidence_of_a_leap_from_silence(s):
    assert [len(ons(s, Part(300), rest(100), Part(50, 72, confidence=c))) for c in (0.79, 0.81)] == [1, 2]


def sure_confidence_of_a_dip(s):
    """Over a noise as loud as the voice a dip counts only where the pitch was in doubt."""
    before, after = (rest(500, -20.0), Part(300)), Part(100)
    assert [len(ons(s, *before, Part(40, level_db=-50.0, confidence=c), after)) for c in (0.79, 0.81)] == [2, 1]


def sure_confidence_of_what_was_sung(s):
    """The next note needs to be as sure as a first one only after notes that were less than sure."""

    def follows(confidence):
        return len(ons(s, Part(20), Part(5000, confidence=confidence), rest(100, -20.0), Part(50, 62, confidence=0.85)))

    assert [follows(c) for c in (0.79, 0.81)] == [1, 2]


def reach_semitones(s):
    """Of the last 320 ms, 40 are at the new pitch: from their mean a step of 1.47 is 1.29 away, one of 1.5 is 1.31."""
    assert [left_after_ms(s, step) for step in (1.47, 1.5)] == [100, 40]


def reach_semitones_of_a_scoop(s):
    assert [len(ons(s, Part(60), Part(300, 60 + step))) for step in (1.28, 1.32)] == [1, 2]


def window_ms(s):
    """230 ms half a semitone up count for the mean of 320 ms: of a step of s above the note, .875 s - .36 is left."""
    before = (Part(1000), Part(230, 60.5))
    assert [left_after_ms(s, step, before=before) for step in (1.88, 1.91)] == [100, 40]


def young_ms(s):
    assert [len(ons(s, Part(ms), Part(300, 61.2))) for ms in (149, 151)] == [1, 2]


def drift_semitones(s):
    def numbers(by):
        return [on.note for on in ons(s, Part(500), Part(round(by * 2000), ramp(0.0005)), Part(2000, 60 + by))]

    assert [numbers(by) for by in (1.88, 1.92)] == [[60], [60, 62]]


# ---- octave, re-onset, resolution


def leap_semitones(s):
    assert [left_after_ms(s, step) for step in (10.4, 10.6)] == [40, 100]


def dip_db(s):
    assert [len(ons(s, Part(300), Part(50, level_db=-20.0 - db), Part(100))) for db in (7.9, 8.1)] == [1, 2]


def above_noise_db(s):
    """Dips of a voice so far above the noise; the dip takes a tenth of a decibel off its mean level."""
    dip = Part(40, level_db=-50.0)
    assert [len(ons(s, rest(500, -20.0 - db), Part(2000), dip, Part(100))) for db in (7.0, 7.2)] == [1, 2]


def bend_step_semitones(s):
    def bends(by):
        return sum(isinstance(event, PitchBend) for event in events_of(s, Part(50), Part(50, 60 + by)))

    assert [bends(by) for by in (0.0099, 0.0101)] == [0, 1]


def loudness_step_db(s):
    def told(by):
        return sum(isinstance(event, Loudness) for event in events_of(s, Part(50), Part(50, level_db=-20.0 + by)))

    assert [told(by) for by in (0.99, 1.01)] == [1, 2]


CHECKS = {
    on_ms: "on_ms", on_confidence: "on_confidence",
    on_confidence_of_another_pitch: "on_confidence", agree_semitones: "agree_semitones", scoop_ms: "scoop_ms",
    settle_semitones: "settle_semitones", arrive_semitones: "arrive_semitones", attack_db: "attack_db", back_ms: "back_ms",
    hold_voicing: "hold_voicing", pause_ms: "pause_ms", first_confidence: "first_confidence",
    first_confidence_after_doubtful_notes: "first_confidence", first_ms: "first_ms", rise_db: "rise_db", rise_ms: "rise_ms",
    rise_ms_of_a_dip: "rise_ms", fade_db: "fade_db", fade_db_after_a_dip: "fade_db", bridge_ms: "bridge_ms",
    away_semitones: "away_semitones", centre_ms: "centre_ms", change_ms: "change_ms", change_ms_of_a_leap: "change_ms",
    change_ms_of_a_small_step: "change_ms", change_ms_before_a_repeated_note: "change_ms", change_ms_of_a_glide: "change_ms",
    step_ms: "step_ms", sure_confidence: "sure_confidence", sure_confidence_of_a_leap_from_silence: "sure_confidence",
    sure_confidence_of_a_dip: "sure_confidence", sure_confidence_of_what_was_sung: "sure_confidence",
    reach_semitones: "reach_semitones", reach_semitones_of_a_scoop: "reach_semitones", window_ms: "window_ms", young_ms: "young_ms",
    drift_semitones: "drift_semitones", leap_semitones: "leap_semitones", dip_db: "dip_db", above_noise_db: "above_noise_db",
    bend_step_semitones: "bend_step_semitones", loudness_step_db: "loudness_step_db",
}  # fmt: skip


def test_every_threshold_has_its_edge():
    assert set(CHECKS.values()) == set(NoteSettings.model_fields)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_edge(check):
    check(NoteSettings())


@pytest.mark.parametrize("scale", [0.7, 1.3])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_default_that_moves_by_30_percent_fails_its_edge(check, scale):
    """A ValueError is too few or too many notes to unpack."""
    name = CHECKS[check]
    moved = NoteSettings(**{name: scale * getattr(NoteSettings(), name)})
    with pytest.raises((AssertionError, ValueError)):
        check(moved)


RULES = [name for name, field in NoteSettings.model_fields.items() if type(None) in get_args(field.annotation)]


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_is_switched_off_no_longer_holds(name):
    checks = [check for check, of in CHECKS.items() if of == name]
    for check in checks:
        with pytest.raises((AssertionError, ValueError)):
            check(NoteSettings(**{name: None}))


def test_enough_rules_can_be_switched_off():
    assert {"scoop_ms", "attack_db", "first_confidence", "hold_voicing", "step_ms", "young_ms", "leap_semitones", "dip_db"} <= set(RULES)
