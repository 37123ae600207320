"""The MIDI sink on a port that remembers, heard through a receiver that knows running state only."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import mido
import pytest

from rt_melody.realtime.errors import OutputError, SettingsError
from rt_melody.realtime.notes import NoteTracker
from rt_melody.realtime.settings import MidiSettings
from rt_melody.realtime.sinks.midi import ANNOUNCE_EVERY_S, PAUSE_S, MidiSink
from rt_melody.realtime.sinks.midi_voice import make_voice
from rt_melody.realtime.types import (
    Brightness,
    Loudness,
    NoteOff,
    NoteOn,
    PitchBend,
    PitchFrame,
    midi_to_hz,
)


class FakePort:
    def __init__(self, fails_after=None):
        self.sent, self.ended, self.fails_after = [], [], fails_after

    def send_message(self, message):
        if self.fails_after is not None and len(self.sent) >= self.fails_after:
            raise OSError("unplugged")
        self.sent.append(bytes(message))

    def close_port(self):
        self.ended.append("close_port")

    def delete(self):
        self.ended.append("delete")

    def take(self):
        messages, self.sent = mido.parse_all(b"".join(self.sent)), []
        return [str(m.copy(time=0)).removesuffix(" time=0") for m in messages]


class Receiver:
    """What a synthesiser makes of the bytes: bend range by RPN 0, one pitch that sounds, or None."""

    def __init__(self):
        self.range, self.bend, self.rpn, self.notes = 2, 0.0, {}, []

    def take(self, messages):
        for m in mido.parse_all(b"".join(messages)):
            if m.type == "control_change":
                self.rpn[m.control] = m.value
                if m.control == 6 and (self.rpn[101], self.rpn[100]) == (0, 0):
                    self.range = m.value
            elif m.type == "pitchwheel":
                self.bend = m.pitch / 8192 * self.range
            elif m.type == "note_on":
                self.notes.append(m.note)
                assert len(self.notes) == 1
            elif m.type == "note_off":
                self.notes.remove(m.note)

    @property
    def pitch(self):
        return self.notes[0] + self.bend if self.notes else None


def on(note=60, velocity=90, pitch=None, at=1.0):
    return NoteOn(at, at, note, velocity, note if pitch is None else pitch)


def off(note=60, at=2.0):
    return NoteOff(at, at, note)


def bend(semitones, note=60, at=1.5):
    return PitchBend(at, at, note, semitones)


def frame(pitch, i, level_db=-20.0):
    f0_hz = 100.0 if pitch is None else midi_to_hz(pitch)
    return PitchFrame(i, i * 0.01, i * 0.01 + 0.02, f0_hz, pitch is not None, 0.99, 0.9, level_db)


@pytest.fixture
def port():
    return FakePort()


def started(port, **settings):
    """A sink that has announced what there is to announce."""
    sink = MidiSink(port, MidiSettings(**settings))
    sink.start(0.0)
    rest(sink)
    port.sent.clear()
    return sink


def rest(sink, first=0, count=15):
    """Frames without a voice, long enough for an announcement."""
    for i in range(first, first + count):
        sink.frame(frame(None, i))


RANGE_2_IN_STEPS = [  # by hand: number, another data entry, the data entry, null
    ["control=101 value=0", "control=100 value=0"], ["control=6 value=1"], ["control=6 value=2", "control=38 value=0"],
    ["control=101 value=127", "control=100 value=127"],
]  # fmt: skip


def controls(lines):
    return [line.removeprefix("control_change channel=0 ") for line in lines if "control_change" in line]


def test_start_announces_the_range_in_steps_and_centres_the_bend(port):
    sink = MidiSink(port)
    sink.start(0.0)
    steps = [port.take()]
    for i in range(20):
        sink.frame(frame(None, i))
        steps.append(port.take())
    assert steps[0][-1] == "pitchwheel channel=0 pitch=0"
    assert [controls(step) for step in steps if step] == RANGE_2_IN_STEPS
    said_at = [i for i, step in enumerate(steps) if step]
    assert min(b - a for a, b in pairwise(said_at)) >= 2, "a JACK period of 1024 frames at least lies between two"


def test_no_controller_of_a_channel_has_two_values_in_one_moment_nor_two_equal_in_a_row(port):
    """What a recorder that keeps one value a moment, and thins equal ones, must be given."""
    for settings in (MidiSettings(), MidiSettings(bend_range_semitones=1, channel=4), MidiSettings(mpe=True)):
        sink, last, moments = MidiSink(port, settings), {}, 0
        sink.start(0.0)
        for i in range(2500):
            said = {}
            for m in mido.parse_all(b"".join(port.sent)):
                if m.type == "control_change":
                    key = m.channel, m.control
                    assert key not in said, "two values in one moment"
                    assert m.control == 38 or last.get(key) != m.value, "two equal in a row"
                    said[key] = last[key] = m.value
            moments += bool(said)
            port.sent.clear()
            sink.frame(frame(None, i))
        assert moments >= 3 * 4


def test_a_note_in_the_middle_of_an_announcement_gets_what_it_needs_and_the_rest_follows(port):
    sink = MidiSink(port, MidiSettings(bend_range_semitones=12))
    sink.start(0.0)
    port.sent.clear()
    sink.event(on(pitch=63.0, at=0.01))
    assert controls(port.take()[:2]) == ["control=6 value=12", "control=38 value=0"]
    sink.frame(frame(60.0, 5))
    assert controls(port.take()) == ["control=101 value=127", "control=100 value=127"]
    rest(sink, 6)
    assert port.take() == []


@pytest.mark.parametrize("end", ["silence", "leave"])
def test_a_parameter_of_which_the_number_was_said_is_ended_by_rpn_null_whatever_comes(end):
    """A data entry of somebody else's would else be taken for our bend range."""
    null = [b"\xb0\x65\x7f", b"\xb0\x64\x7f"]
    voice = make_voice(MidiSettings())
    assert [message for _, message in voice.announce(0.0)][:2] == [b"\xb0\x65\x00", b"\xb0\x64\x00"]
    assert [message for _, message in getattr(voice, end)(0.01)][:2] == null
    assert [message for _, message in getattr(voice, end)(0.02)][:2] != null, "once"
    voice.announce(1.0)
    while announced := voice.due(voice._step_due_s):
        last = [message for _, message in announced]
    assert last == null and [message for _, message in getattr(voice, end)(9.0)][:2] != null, "it was said already"


@pytest.mark.parametrize("semitones, tried", [(1, 2), (2, 1), (48, 47)])
def test_another_value_comes_first_so_that_no_two_in_a_row_are_equal_however_often_the_range_is_said(semitones, tried):
    voice = make_voice(MidiSettings(bend_range_semitones=semitones))
    voice.announce(0.0)
    entries = []
    while announced := voice.due(voice._step_due_s):
        entries += [message[2] for _, message in announced if message[:2] == b"\xb0\x06"]
    assert entries == [tried, semitones]


def test_the_port_that_is_gone_is_told_in_silence_too(port):
    sink = started(port)
    sink.frame(frame(None, 20))
    port.lost = "the JACK server is gone"
    with pytest.raises(OutputError, match="MIDI output stopped .*JACK server is gone"):
        sink.frame(frame(None, 21))
    assert port.sent == []


def test_a_second_stream_whose_times_begin_anew_bends_at_once(port):
    sink = started(port)
    rest(sink, 100_000)
    sink.start(0.0)
    rest(sink)
    port.sent.clear()
    sink.event(on(at=0.2))
    sink.event(bend(1.0, at=0.3))
    assert port.take()[-1] == "pitchwheel channel=0 pitch=4096"


def test_the_bend_comes_before_the_note_and_goes_home_after_it(port):
    sink = started(port)
    for event in (on(pitch=60.5), bend(0.5), bend(1.0), bend(1.00001), off()):
        sink.event(event)
    assert port.take() == [
        "pitchwheel channel=0 pitch=2048",
        "note_on channel=0 note=60 velocity=90",
        "pitchwheel channel=0 pitch=4096",
        "note_off channel=0 note=60 velocity=64",
        "pitchwheel channel=0 pitch=0",
    ]


def test_a_bend_beyond_the_range_is_clipped(port):
    sink = started(port)
    for event in (on(), bend(-3.0), bend(-7.0), bend(40.0)):
        sink.event(event)
    assert port.take()[1:] == ["pitchwheel channel=0 pitch=-8192", "pitchwheel channel=0 pitch=8191"]


@pytest.mark.parametrize("bend_range", [2, 12, 48])
def test_a_receiver_hears_the_pitch_that_was_sung(port, bend_range):
    line = [None] * 5 + [60.3] * 20 + [60.3 + 0.05 * i for i in range(30)] + [None] * 20 + [72.4] * 30
    sink, tracker, receiver = MidiSink(port, MidiSettings(bend_range_semitones=bend_range)), NoteTracker(), Receiver()
    sink.start(0.0)
    for i, pitch in enumerate(line):
        sink.frame(frame(pitch, i))
        events = tracker.feed(frame(pitch, i))
        for event in events:
            sink.event(event)
        receiver.take(port.sent)
        port.sent.clear()
        if pitch is not None and line[i - 2] is not None:
            tolerance = 0.26 if any(isinstance(e, NoteOn) for e in events) else 0.011 + bend_range / 8192
            assert receiver.pitch == pytest.approx(pitch, abs=tolerance)
    sink.close()
    receiver.take(port.sent)
    assert receiver.pitch is None and receiver.bend == 0


@pytest.mark.parametrize(
    ("way", "sent"),
    [
        ("off", []),
        ("pressure", ["aftertouch channel=0 value=64"]),
        ("cc2", ["control_change channel=0 control=2 value=64"]),
        ("cc7", ["control_change channel=0 control=7 value=64"]),
        ("cc11", ["control_change channel=0 control=11 value=64"]),
    ],
)
def test_loudness_goes_the_way_that_was_asked_for_and_once(port, way, sent):
    sink = started(port, loudness=way)
    sink.event(on())
    port.sent.clear()
    for _ in range(2):
        sink.event(Loudness(1.1, 1.1, 60, -25.5))
    assert port.take() == sent


def test_close_ends_the_note_centres_the_bend_and_silences(port):
    sink = started(port)
    sink.event(on(pitch=60.5))
    port.sent.clear()
    sink.close()
    sink.close()
    sent = port.take()
    assert sent[:2] == ["note_off channel=0 note=60 velocity=64", "pitchwheel channel=0 pitch=0"]
    assert "control_change channel=0 control=123 value=0" in sent
    assert "control_change channel=0 control=120 value=0" in sent
    assert sent[-1] == "pitchwheel channel=0 pitch=0"
    assert port.ended == ["close_port", "delete"]


@pytest.mark.parametrize(
    "settings, rest", [({"loudness": "cc7"}, (7, 100)), ({"brightness": "cc74"}, (74, 64)), ({"loudness": "cc11"}, None)]
)
def test_close_and_panic_put_back_what_a_reset_of_controllers_does_not(port, settings, rest):
    """RP-015: volume and the sound controllers stay where they were."""
    for ending in ("panic", "close"):
        sink = started(port, **settings)
        sink.event(replace(on(), level_db=-30.0, brightness_hz=500.0))
        port.sent.clear()
        getattr(sink, ending)()
        put_back = [line for line in port.take() if "control=7 " in line or "control=74 " in line]
        assert put_back == ([f"control_change channel=0 control={rest[0]} value={rest[1]}"] if rest else [])


def test_panic_silences_and_the_sink_plays_on(port):
    sink = started(port)
    sink.event(on())
    port.sent.clear()
    sink.panic()
    sent = port.take()
    assert sent[0] == "note_off channel=0 note=60 velocity=64"
    assert "control_change channel=0 control=120 value=0" in sent
    rest(sink, 100)
    port.sent.clear()
    sink.event(bend(0.5))
    sink.event(off())
    assert port.take() == []
    sink.event(on(62))
    assert port.take() == ["note_on channel=0 note=62 velocity=90"]


def test_a_stray_event_never_leaves_a_note_on(port):
    sink = started(port)
    for event in (off(50), bend(1.0, 50), on(60), on(64), off(60), off(64)):
        sink.event(event)
    assert [line for line in port.take() if "note_o" in line] == [
        "note_on channel=0 note=60 velocity=90",
        "note_off channel=0 note=60 velocity=64",
        "note_on channel=0 note=64 velocity=90",
        "note_off channel=0 note=64 velocity=64",
    ]


def test_starting_anew_ends_the_note(port):
    sink = started(port)
    sink.event(on())
    port.sent.clear()
    sink.start(5.0)
    assert port.take()[0] == "note_off channel=0 note=60 velocity=64"


def test_the_range_is_announced_again_while_silent_but_not_within_a_note(port):
    sink = started(port)
    n = int(ANNOUNCE_EVERY_S * 100) + 5
    for i in range(n):
        sink.frame(frame(None, i))
    rest(sink, n)
    assert len(port.take()) == 8  # the steps and the centre, once
    sink.event(on())
    port.sent.clear()
    for i in range(n + 15, 3 * n):
        sink.frame(frame(60.0, i))
    assert port.sent == []


def test_the_range_is_announced_a_hop_before_the_first_note_after_a_pause(port):
    sink = started(port)
    n = int(PAUSE_S * 100)
    for i in range(n):
        sink.frame(frame(None, i))
    assert port.sent == []
    sink.frame(frame(60.0, n))
    assert controls(port.take()) == RANGE_2_IN_STEPS[0]
    sink.frame(frame(60.0, n + 1))
    sink.event(on(at=n * 0.01 + 0.03))
    read = port.take()
    assert controls(read) == RANGE_2_IN_STEPS[2] and read[-1].startswith("note_on")  # it did not wait
    sink.frame(frame(60.0, n + 5))
    assert controls(port.take()) == RANGE_2_IN_STEPS[3]
    sink.event(off(at=n * 0.01 + 1.0))
    sink.event(on(at=n * 0.01 + 1.1))
    assert len(port.take()) == 2  # no pause, no announcement


def test_a_note_that_no_frame_foretold_is_announced_with_it(port):
    sink = started(port)
    sink.event(on(at=PAUSE_S + 0.1))
    assert len(port.sent) == 6 and port.take()[-1].startswith("note_on")  # number, data entry, centre, note


def test_slurred_notes_overlap_and_the_bend_rests_after_the_last(port):
    sink = started(port)
    slurred = NoteOn(1.5, 1.5, 62, 80, 62.5, legato=True)
    for event in (on(pitch=60.5), slurred, off(60, 1.5), bend(0.25, 62), bend(0.1, 60), off(62)):
        sink.event(event)
    assert port.take() == [
        "pitchwheel channel=0 pitch=2048",
        "note_on channel=0 note=60 velocity=90",
        "note_on channel=0 note=62 velocity=80",  # in the same place of the bend, which need not be said again
        "note_off channel=0 note=60 velocity=64",
        "pitchwheel channel=0 pitch=1024",
        "note_off channel=0 note=62 velocity=64",
        "pitchwheel channel=0 pitch=0",
    ]


def test_slurred_notes_end_whatever_comes(port):
    sink = started(port)
    for number in (62, 64, 64, 65):
        sink.event(NoteOn(1.5, 1.5, number, 80, number, legato=True))
    sink.close()
    notes = [line for line in port.take() if "note_o" in line]
    assert sorted(x.split()[2] for x in notes if "note_on" in x) == sorted(x.split()[2] for x in notes if "note_off" in x)
    assert notes.index("note_on channel=0 note=64 velocity=80") < notes.index("note_off channel=0 note=62 velocity=64")


def test_level_and_brightness_stand_before_the_note_and_follow_it(port):
    sink = started(port, loudness="cc11", brightness="cc74")
    sink.event(NoteOn(1.0, 1.0, 60, 90, 60.0, -25.5, 1000.0))
    sink.event(Brightness(1.1, 1.1, 60, 225.0))
    assert port.take() == [
        "control_change channel=0 control=11 value=64",
        "control_change channel=0 control=74 value=127",
        "note_on channel=0 note=60 velocity=90",
        "control_change channel=0 control=74 value=0",
    ]


def test_panic_that_was_asked_for_comes_at_the_next_frame_on_every_channel(port):
    sink = started(port, channel=3)
    sink.event(on())
    port.sent.clear()
    sink.ask_panic()
    assert port.sent == []
    sink.frame(frame(60.0, 200))
    sent = port.take()
    assert sent[0] == "note_off channel=2 note=60 velocity=64"
    for channel in range(16):
        assert [f"control_change channel={channel} control={number} value=0" in sent for number in (120, 121, 123)] == [True] * 3
        assert f"pitchwheel channel={channel} pitch=0" in sent
    sink.frame(frame(60.0, 201))
    assert port.sent == []
    rest(sink, 202)
    assert {line.split()[1] for line in port.take()} == {"channel=2"}  # whose range is announced


def test_bends_wait_for_a_slow_cable_and_the_last_arrives(port):
    sink = started(port, bytes_per_s=30)
    sink.event(on())
    for i in range(40):
        sink.event(bend(i / 40, at=1.0 + i * 0.001))
    assert len([m for m in port.sent if m[0] == 0xE0]) < 10
    for i in range(98, 110):
        sink.frame(frame(60.0, i))
    assert port.take()[-1] == f"pitchwheel channel=0 pitch={round(39 / 40 * 4096)}"


@pytest.mark.parametrize("fails_after", [0, 3, 7, 8, 9])
def test_a_port_that_goes_is_one_clear_error_and_still_closed(fails_after):
    port = FakePort(fails_after)
    sink = MidiSink(port)
    with pytest.raises(OutputError, match=r"MIDI output stopped .*unplugged"):
        sink.start(0.0)
        for event in (on(pitch=60.5), bend(0.7)):
            sink.event(event)
    port.fails_after = None  # even if it came back: what state it is in is unknown
    with pytest.raises(OutputError, match="MIDI output is gone"):
        sink.event(on(62))
    sink.close()
    assert port.ended == ["close_port", "delete"] and len(port.sent) == fails_after


def test_a_port_that_goes_before_close_is_no_error():
    port = FakePort()
    sink = started(port)
    sink.event(on())
    port.fails_after = 0
    sink.close()
    assert port.ended == ["close_port", "delete"]


def test_nothing_is_taken_after_close(port):
    sink = started(port)
    sink.close()
    with pytest.raises(RuntimeError):
        sink.event(on())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"channel": 0}, "channel 0 cannot be used: it must be at least 1"),
        ({"channel": 17}, "at most 16"),
        ({"bend_range_semitones": 49}, "at most 48"),
        ({"bend_range_semitones": 2.505}, "bend_range_semitones 2.505 cannot be used: it must be semitones, to the cent at most"),
        ({"loudness": "cc3"}, "cc11"),
    ],
)
def test_settings_out_of_range_are_named(port, settings, said):
    with pytest.raises(SettingsError, match=said):
        MidiSink(port, MidiSettings(**settings))


def test_a_second_run_sends_what_the_first_did():
    def run(port, sink=None):
        sink = sink or MidiSink(port, MidiSettings(loudness="pressure"))
        sink.start(0.0)
        for event in (on(pitch=60.4), Loudness(1.1, 1.1, 60, -20.0), bend(0.9), off()):
            sink.event(event)
        return port.sent

    first = run(FakePort())
    assert run(FakePort()) == first
    port = FakePort()
    sink = MidiSink(port, MidiSettings(loudness="pressure"))
    run(port, sink)
    again = len(port.sent)
    sink.event(on(pitch=60.0))  # without a start: the level is remembered and not sent again
    sink.event(Loudness(3.0, 3.0, 60, -20.0))
    assert len(port.sent) == again + 1
