"""Names of scales and notes, the nearest note, and keys heard in melodies whose key is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.playing.scale import CHROMATIC, DEGREES, FIT, KeyFinder, make_scale, parse_note, parse_scale, pulled


@pytest.mark.parametrize(
    ("text", "name", "classes"),
    [
        ("D minor", "D minor", {2, 4, 5, 7, 9, 10, 0}),
        ("bb major", "Bb major", {10, 0, 2, 3, 5, 7, 9}),
        ("F#m", "F# minor", {6, 8, 9, 11, 1, 2, 4}),
        ("Cb", "B major", {11, 1, 3, 4, 6, 8, 10}),
        ("  g   Minor  Pentatonic ", "G minor pentatonic", {7, 10, 0, 2, 5}),
        ("A\u266d dorian", "Ab dorian", {8, 10, 11, 1, 3, 5, 6}),
        ("CM", "C major", {0, 2, 4, 5, 7, 9, 11}),
        ("chromatic", "chromatic", set(range(12))),
    ],
)
def test_scales_by_name(text, name, classes):
    scale = parse_scale(text)
    assert (scale.name, scale.classes) == (name, classes)


def begun_on(kind: str, degree: int) -> tuple[int, ...]:
    """The notes of a scale, counted from one of them, which is the tonic then."""
    notes = DEGREES[kind][degree - 1 :] + DEGREES[kind][: degree - 1]
    return tuple((note - notes[0]) % 12 for note in notes)


def test_every_kind_of_scale_is_what_theory_says_of_it():
    major = (0, 2, 4, 5, 7, 9, 11)
    modes = ("major", "dorian", "phrygian", "lydian", "mixolydian", "minor", "locrian")
    assert {
        **{name: begun_on("major", degree) for degree, name in enumerate(modes, 1)},
        "major": major,
        "harmonic minor": (*DEGREES["minor"][:6], major[6]),
        "melodic minor": (0, 2, DEGREES["minor"][2], *major[3:]),
        "major pentatonic": tuple(note for note in major if note not in (5, 11)),
        "minor pentatonic": begun_on("major pentatonic", 5),
        "blues": tuple(sorted((*begun_on("major pentatonic", 5), 6))),
        "whole tone": tuple(range(0, 12, 2)),
        "chromatic": tuple(range(12)),
    } == DEGREES


@pytest.mark.parametrize("text", ["", "H major", "D moll", "minor", "C##", "7"])
def test_what_is_no_scale_is_refused_with_those_there_are(text):
    with pytest.raises(SettingsError, match="is not known; give a tonic and one of major, minor"):
        parse_scale(text)


@pytest.mark.parametrize(("text", "note"), [("C4", 60), ("c-1", 0), ("G9", 127), ("Bb2", 46), ("F#3", 54), ("60", 60), ("Cb4", 59)])
def test_notes_by_name(text, note):
    assert parse_note(text) == note


@pytest.mark.parametrize("text", ["", "H3", "128", "G#9", "C", "-1", "C44", "60.5"])
def test_what_is_no_note_is_refused(text):
    with pytest.raises(SettingsError, match="for instance|such as C4"):
        parse_note(text)


@given(st.floats(0, 127, allow_subnormal=False), st.sampled_from(sorted(DEGREES)), st.integers(0, 11))
def test_the_nearest_note_is_in_the_scale_and_none_is_nearer(pitch, kind, tonic):
    scale = make_scale(tonic, kind)
    nearest = scale.nearest(pitch)
    assert nearest % 12 in scale.classes
    assert not [n for n in range(-12, 140) if n % 12 in scale.classes and abs(n - pitch) < abs(nearest - pitch)]


def test_of_two_equally_near_the_lower():
    assert parse_scale("C major").nearest(61.0) == 60 and CHROMATIC.nearest(60.5) == 60


@pytest.mark.parametrize(
    ("pitch", "pull", "expected"), [(60.5, 0.3, 60.2), (59.5, 0.3, 59.8), (60.2, 0.3, 60.0), (61.0, float("inf"), 60.0), (60.4, 0.0, 60.4)]
)
def test_a_pull_never_overshoots(pitch, pull, expected):
    assert pulled(pitch, 60.0, pull) == pytest.approx(expected)


MELODIES = {  # note, beats: opening phrases in their published keys
    "C major": [
        (60, 1),
        (60, 1),
        (67, 1),
        (67, 1),
        (69, 1),
        (69, 1),
        (67, 2),
        (65, 1),
        (65, 1),
        (64, 1),
        (64, 1),
        (62, 1),
        (62, 1),
        (60, 2),
    ],  # Ah vous dirai-je
    "D major": [
        (66, 1),
        (66, 1),
        (67, 1),
        (69, 1),
        (69, 1),
        (67, 1),
        (66, 1),
        (64, 1),
        (62, 1),
        (62, 1),
        (64, 1),
        (66, 1),
        (66, 1.5),
        (64, 0.5),
        (64, 2),
    ],  # Ode to Joy
    "A minor": [
        (57, 2),
        (60, 1),
        (62, 2),
        (64, 1),
        (65, 1),
        (64, 1),
        (62, 2),
        (59, 1),
        (55, 2),
        (57, 1),
        (59, 1),
        (60, 2),
        (57, 1),
        (57, 1.5),
        (56, 0.5),
        (57, 2),
    ],  # Greensleeves
}


@pytest.mark.parametrize("transposed", [0, 5, 11])
@pytest.mark.parametrize("key", MELODIES)
def test_the_key_of_known_melodies(key, transposed):
    finder = KeyFinder()
    for note, beats in MELODIES[key] * 2:
        for _ in range(round(beats * 50)):
            finder.feed(note + transposed, 0.01)
    tonic, _, kind = parse_scale(key).name.partition(" ")
    assert finder.key == make_scale((parse_note(tonic + "4") + transposed) % 12, kind)


@pytest.mark.parametrize("index", range(24))
def test_a_profile_fits_itself_best_and_wholly(index):
    finder = KeyFinder()
    kind, tonic = ("major", "minor")[index // 12], index % 12
    for degree, weight in enumerate(FIT[kind]):
        finder._sung_s[(tonic + degree) % 12] = weight
    fits = finder.fits()
    assert int(np.argmax(fits)) == index and fits[index] == pytest.approx(1.0)


def test_nothing_is_said_too_early_nor_of_too_few_notes():
    finder = KeyFinder()
    for note in (60, 64, 67) * 100:
        finder.feed(note, 0.1)
    assert finder.key is None  # a triad is no key
    finder.reset()
    for note in (60, 62, 64, 65, 67):
        finder.feed(note, 0.5)
    assert finder.key is None  # 2.5 s


def test_a_new_key_is_heard_after_a_modulation_and_reset_forgets():
    finder = KeyFinder()
    keys = []
    for key, shift in (("C major", 0), ("C major", 6)):
        for note, beats in MELODIES[key] * 8:
            finder.feed(note + shift, beats * 0.5)
        keys.append(finder.key.name)
    assert keys == ["C major", "F# major"]
    finder.reset()
    assert finder.key is None and not finder.fits().any()
