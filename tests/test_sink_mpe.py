"""MPE as a receiver hears it that was written from the specification."""

from __future__ import annotations

import pytest
from mpe_reader import PRESSURE, TIMBRE, MpeReader
from test_sink_midi import FakePort, frame, rest

from rt_melody.realtime.notes import NoteTracker
from rt_melody.realtime.playing.performance import Performer
from rt_melody.realtime.settings import MidiSettings, PerformanceSettings
from rt_melody.realtime.sinks.midi import MidiSink
from rt_melody.realtime.sinks.midi_voice import MpeVoice
from rt_melody.realtime.types import Brightness, Loudness, NoteOff, NoteOn, PitchBend


class Wire(FakePort):
    """A port with a reader at its other end."""

    def __init__(self):
        super().__init__()
        self.reader = MpeReader()

    def send_message(self, message):
        super().send_message(message)
        self.reader.take(bytes(message))


def on(at, note, pitch, level_db=-25.5, brightness_hz=1000.0):
    return NoteOn(at, at, note, 90, pitch, level_db, brightness_hz)


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def sink(wire):
    sink = MidiSink(wire, MidiSettings(mpe=True))
    sink.start(0.0)
    rest(sink, count=25)
    return sink


def test_the_zone_is_told_first_and_the_range_on_every_member(wire, sink):
    assert list(wire.reader.members) == list(range(1, 9))
    said = [m for m in wire.sent if m[0] & 0xF0 == 0xB0]
    assert said[:2] == [bytes([0xB0, 101, 0]), bytes([0xB0, 100, 6])]
    assert next(m for m in said if m[1] == 6) == bytes([0xB0, 6, 8]), "no range is told before the zone"
    told = {m[0] & 0x0F for m in wire.sent if m[0] & 0xF0 == 0xB0 and m[1:] == bytes([6, 48])}
    assert told == set(range(1, 9)), "channel 10 is left alone"


def test_in_silence_the_range_is_told_again_on_every_member(wire, sink):
    wire.sent.clear()
    rest(sink, 30, 1100)
    told = [m[0] & 0x0F for m in wire.sent if m[0] & 0xF0 == 0xB0 and m[1:] == bytes([6, 48])]
    assert told == list(range(1, 9))


def test_a_note_amid_the_announcement_has_its_zone_and_its_channels_range_before_it(wire):
    """The other members' follow beside it, none of which a receiver of this kind may take for a change under the note."""
    for hops in range(20):
        wire.reader, wire.sent[:] = MpeReader(), []
        sink = MidiSink(wire, MidiSettings(mpe=True))
        sink.start(0.0)
        rest(sink, count=hops)
        at = hops * 0.01 + 0.03
        sink.event(on(at, 60, 67.5))
        assert wire.reader.notes[0].start["pitch"] == pytest.approx(67.5, abs=0.004)
        for i in range(hops + 3, hops + 120):
            sink.frame(frame(60.0, i))
            assert wire.reader.pitch(wire.reader.notes[0]) == pytest.approx(67.5, abs=0.004)
        last = {m[0] & 0x0F: m[2] for m in wire.sent if m[0] & 0xF0 == 0xB0 and m[1] == 6}
        assert last == {0: 2, **dict.fromkeys(range(1, 9), 48)}
        assert all(wire.reader.rpn[channel] == (127, 127) for channel in range(9))


def test_a_note_begins_with_its_own_pitch_pressure_and_timbre(wire, sink):
    sink.event(on(1.0, 60, 60.4))
    (note,) = wire.reader.notes
    assert note.start["pitch"] == pytest.approx(60.4, abs=0.004)
    assert (note.start[PRESSURE], note.start[TIMBRE], note.velocity) == (64, 127, 90)


def test_each_dimension_follows_the_voice_on_the_channel_of_the_note(wire, sink):
    sink.event(on(1.0, 60, 60.0))
    sink.event(PitchBend(1.1, 1.1, 60, -7.25))
    sink.event(Loudness(1.1, 1.1, 60, -6.0))
    sink.event(Brightness(1.1, 1.1, 60, 225.0))
    (note,) = wire.reader.sounding
    assert wire.reader.pitch(note) == pytest.approx(52.75, abs=0.004)
    assert (wire.reader.value(note, PRESSURE), wire.reader.value(note, TIMBRE)) == (127, 0)


def test_channels_take_turns_and_the_tail_of_a_note_keeps_its_bend(wire, sink):
    for i in range(17):
        at = 1.0 + i / 10
        sink.event(on(at, 60, 60.3))
        sink.event(NoteOff(at + 0.05, at + 0.05, 60))
        assert wire.reader.pitch(wire.reader.notes[-1]) == pytest.approx(60.3, abs=0.004)
    assert [note.channel for note in wire.reader.notes] == [*range(1, 9), *range(1, 9), 1]
    assert wire.reader.sounding == []


def test_another_bend_range_is_understood(wire):
    sink = MidiSink(wire, MidiSettings(mpe=True, bend_range_semitones=12))
    sink.start(0.0)
    sink.event(on(1.0, 60, 63.5))
    assert wire.reader.notes[0].start["pitch"] == pytest.approx(63.5, abs=0.001)


@pytest.mark.parametrize("late_frame", [300, 1200])
def test_a_receiver_that_connects_late_understands_the_next_note(late_frame):
    """It comes in a silence and hears the voice at once, announced on one member channel for all."""
    wire = Wire()
    sink, performer = MidiSink(wire, MidiSettings(mpe=True)), Performer(NoteTracker(), PerformanceSettings(mode="mpe"))
    sink.start(0.0)
    line = [60.2] * 50 + [None] * (late_frame - 50) + [64.4] * 50 + [None] * 20 + [67.3] * 50
    for i, pitch in enumerate(line):
        if i == late_frame:
            wire.reader = MpeReader()
        sink.frame(frame(pitch, i))
        for event in performer.feed(frame(pitch, i)):
            sink.event(event)
        if wire.reader.sounding and pitch is not None and line[i - 4] is not None:
            assert wire.reader.pitch(wire.reader.sounding[0]) == pytest.approx(pitch, abs=0.02)
    sink.close()
    assert [note.number for note in wire.reader.notes] == [64, 67] and wire.reader.sounding == []


def test_close_and_panic_end_every_channel(wire, sink):
    sink.event(on(1.0, 60, 60.4))
    sink.panic()
    assert wire.reader.sounding == []
    sink.event(on(2.0, 62, 62.4))
    sink.close()
    assert wire.reader.sounding == []
    assert {m[0] & 0x0F for m in wire.sent if m[1:] == bytes([123, 0])} == set(range(16))


def test_after_reset_a_voice_says_what_it_said_first():
    def say(voice):
        said = voice.announce(0.0)
        for i in range(3):
            said += voice.note_on(on(1.0 + i, 60, 60.4), 1.0 + i)
            said += voice.note_off(NoteOff(1.5 + i, 1.5 + i, 60), 1.5 + i)
        return said

    voice = MpeVoice()
    first = say(voice)
    assert say(MpeVoice()) == first
    assert say(voice) != first  # the channels go on
    voice.reset()
    assert say(voice) == first
