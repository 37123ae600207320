"""MIDI bytes against the specification's tables, by hand and by mido's parser."""

from __future__ import annotations

import mido
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt_melody.realtime import midi_bytes as midi


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (midi.note_on(1, 60, 100), "90 3c 64"),
        (midi.note_on(16, 127, 1), "9f 7f 01"),
        (midi.note_off(3, 61), "82 3d 40"),
        (midi.control_change(2, "expression", 5), "b1 0b 05"),
        (midi.channel_pressure(10, 77), "d9 4d"),
        (midi.pitch_bend(1, 8192), "e0 00 40"),
        (midi.pitch_bend(1, 16383), "e0 7f 7f"),
        (midi.pitch_bend(5, 0x1234), "e4 34 24"),  # 0x1234 = 36 * 128 + 52
    ],
)
def test_hand_worked(message, expected):
    assert message == bytes.fromhex(expected)


def test_mido_reads_every_message_back():
    stream = b"".join(
        [
            midi.note_on(2, 60, 101),
            midi.note_off(3, 61),
            midi.control_change(4, "breath", 102),
            midi.channel_pressure(5, 103),
            midi.pitch_bend(6, 8192 + 1234),
            *midi.silence(7),
        ]
    )
    assert mido.parse_all(stream) == [
        mido.Message("note_on", channel=1, note=60, velocity=101),
        mido.Message("note_off", channel=2, note=61, velocity=64),
        mido.Message("control_change", channel=3, control=2, value=102),
        mido.Message("aftertouch", channel=4, value=103),
        mido.Message("pitchwheel", channel=5, pitch=1234),
        mido.Message("control_change", channel=6, control=120),
        mido.Message("control_change", channel=6, control=123),
        mido.Message("control_change", channel=6, control=121),
    ]


def test_bend_range_is_rpn_0_then_rpn_null():
    read = mido.parse_all(b"".join(midi.bend_range(9, 12)))
    assert [(m.control, m.value) for m in read] == [
        (101, 0), (100, 0), (6, 12), (38, 0), (101, 127), (100, 127),
    ]  # fmt: skip
    assert {m.channel for m in read} == {8}


@pytest.mark.parametrize(
    ("semitones", "bend_range", "value"),
    [(0, 2, 8192), (1, 2, 12288), (-2, 2, 0), (2, 2, 16383), (5, 2, 16383), (-5, 2, 0), (12, 48, 10240)],
)
def test_bend_steps(semitones, bend_range, value):
    assert midi.bend_to_14bit(semitones, bend_range) == value


@given(st.integers(1, 48), st.floats(-1, 8191 / 8192, allow_subnormal=False))
def test_bend_comes_back_within_half_a_step(bend_range, part):
    semitones = part * bend_range
    back = (midi.bend_to_14bit(semitones, bend_range) - midi.BEND_CENTRE) / midi.BEND_CENTRE * bend_range
    assert abs(back - semitones) <= bend_range / 8192 / 2 * 1.0001


@pytest.mark.parametrize(
    "make",
    [
        lambda: midi.note_on(0, 60, 1),
        lambda: midi.note_on(17, 60, 1),
        lambda: midi.note_on(1, 128, 1),
        lambda: midi.note_on(1, -1, 1),
        lambda: midi.note_on(1, 60, 128),
        lambda: midi.note_on(1, 60, 0),
        lambda: midi.pitch_bend(1, 16384),
    ],
)
def test_what_does_not_fit_is_refused(make):
    with pytest.raises(ValueError):
        make()


def test_every_loudness_way_gives_a_message_of_its_own():
    read = {name: mido.parse_all(make(1, 9)) for name, make in midi.LOUDNESS.items() if make}
    assert read.pop("pressure") == [mido.Message("aftertouch", value=9)]
    assert read == {
        f"cc{number}": [mido.Message("control_change", control=number, value=9)] for number in (2, 7, 11)
    }
