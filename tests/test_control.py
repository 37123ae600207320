"""Settings changed while a session runs: the desk, what notes and MIDI make of it, and the road by OSC."""

from __future__ import annotations

import re
import socket
import time
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
from fake_session import FakeSource, Recorder, blocks, tracker
from pythonosc.osc_message_builder import OscMessageBuilder

from rt_melody.models.shipped import SHIPPED_MODELS
from rt_melody.realtime.control.desk import ACTIONS, LIVE, Desk, needing_restart
from rt_melody.realtime.control.osc_in import LOOPBACK, OscControl, _listen, parse_listening
from rt_melody.realtime.errors import DeviceError, SettingsError
from rt_melody.realtime.playing.performance import Performer
from rt_melody.realtime.program import Program
from rt_melody.realtime.session import Session
from rt_melody.realtime.settings import FLAT, Settings, change_setting, make_settings, profiles
from rt_melody.realtime.settings.base import NEXT_NOTE, NOW, RESTART
from rt_melody.realtime.settings.files import read_settings
from rt_melody.realtime.signals import stop_signals
from rt_melody.realtime.sinks.midi import MidiSink
from rt_melody.realtime.sinks.midi_file import MidiFileSink
from rt_melody.realtime.types import Brightness, Loudness, NoteOff, NoteOn, PitchBend, PitchFrame, midi_to_hz

HOP_S = 0.01
BEND_STEP = 1 / 8192  # of the range


# --- the desk


def test_a_thousand_changes_between_two_hops_are_one_state():
    desk = Desk()
    for semitones in range(1000):
        desk.set("transpose", semitones % 60)
    desk.set("gate", "auto")
    taken = desk.take()
    assert taken is not None and (taken.settings.performance.transpose, taken.settings.performance.gate) == (999 % 60, "auto")
    assert desk.take() is None


def test_whoever_shows_the_orders_is_told_of_each_change_and_of_none_that_is_refused():
    told = []
    desk = Desk(on_change=told.append)
    desk.set("transpose", 3)
    desk.pause()
    with pytest.raises(SettingsError):
        desk.set("transpose", 99)
    desk.panic()
    assert [(now.settings.performance.transpose, now.paused, now.panics) for now in told] == [(3, False, 0), (3, True, 0), (3, True, 1)]


@pytest.mark.parametrize("yes, no", [(None, 0), (1, 0), (1.0, 0.0), ("1", "0"), (True, False), ("on", "off"), ("true", "false")])
def test_a_pause_is_asked_for_and_taken_back_in_whatever_word(yes, no):
    desk = Desk()
    desk.send("pause", yes)
    assert desk.take().paused
    desk.send("pause", no)
    assert not desk.take().paused


@pytest.mark.parametrize(
    "name, value, word",
    [
        ("transpose", 61, "at most 60"),
        ("transpose", "up", "whole number"),
        ("bend_range", float("nan"), "bend_range"),
        ("scale", "H minor", "not known"),
        ("note_range", ["C6", "C3"], "ascend"),
        ("note_range", "C6", "must be a list"),
        ("transpoes", 1, "did you mean transpose"),
        ("csv", "x.csv", "cannot be changed while it plays"),
        ("pause", "perhaps", "1 or 0"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_in_a_sentence_and_changes_nothing(name, value, word):
    desk = Desk()
    before = desk.orders
    with pytest.raises(SettingsError, match=word) as refused:
        desk.send(name, value)
    assert "\n" not in str(refused.value) and desk.orders is before and desk.take() is None


def test_words_lists_and_numbers_are_understood_as_on_the_command_line():
    desk = Desk()
    for name, value in (("scale", ["D", "minor"]), ("note_range", ["C3", 72]), ("transpose", "-3"), ("latency_ms", 20), ("gate", -40)):
        desk.send(name, value)
    asked = make_settings({"scale": "D minor", "note_range": ["C3", "72"], "transpose": -3, "latency_ms": 20, "gate": "-40"})
    assert desk.settings == asked


def test_every_setting_of_how_notes_are_played_can_be_changed():
    played = {name for name, place in FLAT.items() if place.group == "performance"}
    assert played <= LIVE.keys() and not set(ACTIONS) & FLAT.keys()


def test_the_page_tells_of_each_when_it_takes_effect():
    text = (Path(__file__).parents[1] / "docs" / "control.md").read_text(encoding="utf-8")
    for row, how in (("at once", NOW), ("from the next note on", NEXT_NOTE), ("by a short restart", RESTART)):
        told = next(line for line in text.splitlines() if line.startswith(f"| {row}"))
        assert set(re.findall(r"`(\w+)`", told)) == {name for name, live in LIVE.items() if live == how}


def test_what_follows_from_a_setting_follows_a_change():
    desk = Desk()
    desk.set("mode", "mpe")
    assert desk.settings.midi.mpe and desk.settings.midi.bend_range == 48
    desk.set("bend_range", 1)
    assert desk.settings.midi.bend_range == 1 and desk.settings.notes.drift_semitones == pytest.approx(0.9)
    desk.set("bend_range", None)
    assert desk.settings.notes.drift_semitones == Settings().notes.drift_semitones


def test_only_bound_device_port_and_the_like_need_a_restart():
    plain = Settings()
    assert not needing_restart(plain, make_settings({"mode": "mpe", "gate": "auto", "loudness": "cc7", "scale": "Am", "transpose": 1}))
    for name, value in (("latency_ms", 20), ("light", True), ("device", 3), ("midi_out", "x")):
        assert needing_restart(plain, make_settings({name: value})) == [name]


# --- no note hangs: random changes amid random notes, at a receiver that knows RPN 0 and bends


class Synth:
    """A port that hears as a synthesiser: which notes sound where, and at what pitch."""

    def __init__(self) -> None:
        self.sounding: set[tuple[int, int]] = set()
        self.ranges, self.bends, self.number = {}, {}, {}
        self.begun: list[float] = []  # the pitch of each note-on

    def send_message(self, data: bytes) -> None:
        for m in mido.parse_all(data):
            if m.type == "note_on":
                assert (m.channel, m.note) not in self.sounding, "struck while it sounds"
                self.sounding.add((m.channel, m.note))
                self.begun.append(self.pitch(m.channel, m.note))
            elif m.type == "note_off":
                self.sounding.remove((m.channel, m.note))  # KeyError: another channel or number than its note-on
            elif m.type == "pitchwheel":
                self.bends[m.channel] = m.pitch / 8192
            elif m.type == "control_change":
                self._controller(m.channel, m.control, m.value)

    def _controller(self, channel: int, control: int, value: int) -> None:
        if control in (100, 101):
            high, low = self.number.get(channel, (127, 127))
            self.number[channel] = (value, low) if control == 101 else (high, value)
        elif self.number.get(channel) == (0, 0):
            whole, cents = self.ranges.get(channel, (2, 0))
            self.ranges[channel] = (value, cents) if control == 6 else (whole, value) if control == 38 else (whole, cents)

    def range_of(self, channel: int) -> float:
        whole, cents = self.ranges.get(channel, (2, 0))
        return whole + cents / 100

    def pitch(self, channel: int, note: int) -> float:
        return note + self.bends.get(channel, 0.0) * self.range_of(channel)

    def close_port(self) -> None: ...

    def delete(self) -> None: ...


class Singer:
    """A tracker that sings at random: notes one after another or with rests, bent and swelling."""

    hop_s, lag_ms = HOP_S, 10.0

    def __init__(self, rng) -> None:
        self.rng, self.note = rng, None

    def feed(self, frame):
        draw, at, events = self.rng.random(), (frame.time_s, frame.available_s), []
        if self.note is not None and draw < 0.12:
            events.append(NoteOff(*at, self.note))
            self.note = None
        if self.note is None and (draw < 0.08 or draw > 0.8):
            self.note = int(self.rng.integers(50, 75))
            events.append(NoteOn(*at, self.note, 64, self.note + self.rng.uniform(-0.4, 0.4)))
        elif self.note is not None:
            events += [PitchBend(*at, self.note, self.rng.uniform(-0.9, 0.9)), Loudness(*at, self.note, self.rng.uniform(-50, -5))]
            events.append(Brightness(*at, self.note, self.rng.uniform(200, 1200)))
        return events

    def finish(self, available_s):
        held, self.note = self.note, None
        return [] if held is None else [NoteOff(available_s, available_s, held)]

    def reset(self):
        self.note = None


CHOICES = {
    "mode": ["mono", "legato", "bend", "mpe"],
    "bend_range": [None, 1, 2, 2.5, 12, 24, 48],
    "transpose": [-12, -3, 0, 1, 7],
    "octave": [-1, 0, 1],
    "a4_hz": [440.0, 432.0],
    "scale": ["off", "D minor", "chromatic", "C blues", "auto"],
    "snap": ["hard", "off", "30"],
    "note_range": [["C-1", "G9"], ["C3", "C5"]],
    "gate": ["off", "auto", "-40"],
    "velocity_curve": ["linear", "fixed 90", "soft"],
    "loudness": [None, "off", "pressure", "cc2", "cc7", "cc11"],
    "loudness_curve": ["soft", "hard"],
    "brightness": [None, "off", "cc74"],
    "channel_out": [1, 5, 16],
    "synth": [None, "fluidsynth"],
    "midi_rate": [300, 1500],
}


def sing(seed: int, hops: int, tmp_path, panics: bool = True):
    """A synthesiser and the path of a MIDI file that heard random changes, each hop with one in ten; the pitches that were meant."""
    rng, desk, synth = np.random.default_rng(seed), Desk(), Synth()
    performer = Performer(Singer(rng))
    file = tmp_path / f"{seed}.mid"
    sinks, meant = [MidiSink(synth), MidiFileSink(file)], []
    for sink in sinks:
        sink.start(0.0)
    for i in range(hops):
        if rng.random() < 0.1:
            name = list(CHOICES)[rng.integers(len(CHOICES))]
            desk.set(name, CHOICES[name][rng.integers(len(CHOICES[name]))])
            orders = desk.take()
            performer.change(orders.settings.performance, orders.settings.notes)
            for sink in sinks:
                sink.change(orders.settings)
        if panics and rng.random() < 0.005:
            for sink in sinks:
                sink.panic()
            synth.sounding.clear()  # all sound off, which the synthesiser above does not know
        frame = PitchFrame(i, i * HOP_S, i * HOP_S + 0.05, midi_to_hz(60), True, 0.9, 0.9, -20.0, 400.0)
        for sink in sinks:
            sink.frame(frame)
        for event in performer.feed(frame):
            meant += [event] if isinstance(event, NoteOn) else []
            for sink in sinks:
                sink.event(event)
    for event in performer.finish(hops * HOP_S):
        for sink in sinks:
            sink.event(event)
    for sink in sinks:
        sink.close()
    return synth, file, meant


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_changed_each_note_off_goes_where_its_note_on_went_and_notes_begin_in_tune(seed, tmp_path):
    synth, file, meant = sing(seed, 3000, tmp_path, panics=seed % 2 == 0)
    assert not synth.sounding and len(synth.begun) == len(meant) > 200
    for pitch, event in zip(synth.begun, meant, strict=True):  # a bend that is within the narrowest range is not clipped
        if abs(event.pitch - event.note) <= 1.0:
            assert pitch == pytest.approx(event.pitch, abs=48 * BEND_STEP)
    read = Synth()
    for message in mido.MidiFile(file):
        if not message.is_meta:
            read.send_message(bytes(message.bytes()))
    assert not read.sounding and len(read.begun) > 200


def test_without_changes_the_test_above_hears_the_same_notes_as_it_was_told(tmp_path):
    """The twin: the checker is not satisfied by silence."""
    synth, _, meant = sing(3, 0, tmp_path)
    assert (synth.begun, meant) == ([], [])


# --- at once, or at the next note


class Score:
    """A tracker whose events are written down by the index of their frame."""

    hop_s, lag_ms = HOP_S, 10.0

    def __init__(self, events):
        self.events = events

    def feed(self, frame):
        return list(self.events.get(frame.index, []))

    def finish(self, available_s):
        return []

    def reset(self): ...


def on(i, note):
    return NoteOn(i * HOP_S, i * HOP_S + 0.05, note, 64, float(note))


def off(i, note):
    return NoteOff(i * HOP_S, i * HOP_S + 0.05, note)


def heard(score, changes, hops=20, **settings):
    """Notes as +60 and -60 with the frame at which they came."""
    desk = Desk(make_settings(settings))
    performer, told = Performer(Score(score), desk.settings.performance), []
    for i in range(hops):
        for name, value in changes.get(i, {}).items():
            desk.set(name, value)
            performer.change(desk.settings.performance)
        frame = PitchFrame(i, i * HOP_S, i * HOP_S + 0.05, midi_to_hz(60), True, 0.9, 0.9, -20.0)
        told += [(i, e.note if isinstance(e, NoteOn) else -e.note) for e in performer.feed(frame) if isinstance(e, (NoteOn, NoteOff))]
    return told


def test_a_transposition_moves_the_note_that_sounds_and_its_end():
    assert heard({2: [on(2, 60)], 9: [off(9, 60)]}, {5: {"transpose": 3}}) == [(2, 60), (5, -60), (5, 63), (9, -63)]


def test_transposed_within_the_bend_range_a_bent_note_is_bent():
    assert heard({2: [on(2, 60)], 9: [off(9, 60)]}, {5: {"octave": 1}}, mode="bend", bend_range=24) == [(2, 60), (9, -60)]


def test_transposed_out_of_the_range_it_ends_and_back_in_the_next_note_is_played():
    score = {2: [on(2, 60)], 9: [off(9, 60)], 12: [on(12, 62)], 15: [off(15, 62)]}
    told = heard(score, {5: {"octave": 2}, 11: {"octave": 0}}, note_range=["C3", "C5"])
    assert told == [(2, 60), (5, -60), (12, 62), (15, -62)]


@pytest.mark.parametrize("name, value, then", [("scale", "C major", 60), ("note_range", ["C6", "C7"], None), ("transpose", 2, 63)])
def test_scale_and_range_wait_for_the_next_note_and_transposition_does_not(name, value, then):
    told = heard({2: [on(2, 61)], 9: [off(9, 61)], 12: [on(12, 61)], 15: [off(15, 61)]}, {5: {name: value}})
    held = [(2, 61), (9, -61)] if name != "transpose" else [(2, 61), (5, -61), (5, 63), (9, -63)]
    assert told == held + ([] if then is None else [(12, then), (15, -then)])


def test_a_mode_that_is_changed_amid_a_slur_counts_for_the_next_note():
    score = {2: [on(2, 60)], 6: [off(6, 60), on(6, 64)], 9: [off(9, 64), on(9, 67)], 12: [off(12, 67)]}
    slurred = [(2, 60), (6, 64), (6, -60), (9, 67), (9, -64), (12, -67)]
    assert heard(score, {}, mode="legato") == slurred
    assert heard(score, {7: {"mode": "mono"}}, mode="legato") == [*slurred[:3], (9, -64), (9, 67), (12, -67)]


def test_the_bend_range_is_announced_amid_a_note_and_the_bend_put_anew():
    desk, synth = Desk(make_settings({"bend_range": 12})), Synth()
    sink = MidiSink(synth, desk.settings.midi)
    sink.start(0.0)
    sink.event(NoteOn(0.0, 0.05, 60, 90, 60.0))
    sink.event(PitchBend(0.1, 0.15, 60, 1.5))
    for semitones in (2, 48, 2.5):
        desk.set("bend_range", semitones)
        sink.change(desk.settings)
        assert synth.range_of(0) == semitones and synth.pitch(0, 60) == pytest.approx(61.5, abs=semitones * BEND_STEP)


@pytest.mark.parametrize("way, control, at_rest", [("cc11", 11, 127), ("cc7", 7, 100), ("cc2", 2, 127)])
def test_a_controller_that_is_no_longer_used_is_put_back(way, control, at_rest):
    desk, sent = Desk(make_settings({"loudness": way})), []
    port = Synth()
    port.send_message = lambda data: sent.append(data)
    sink = MidiSink(port, desk.settings.midi)
    sink.start(0.0)
    sink.event(NoteOn(0.0, 0.05, 60, 90, 60.0, level_db=-30.0))
    desk.set("loudness", "off")
    sink.change(desk.settings)
    assert sent[-1] == bytes((0xB0, control, at_rest))


# --- the session


def session_of(desk, n=40, **options):
    recorder, source = Recorder(), FakeSource(blocks(n))
    source.open()
    return Session(source, tracker(), [recorder], desk=desk, **options), recorder


def at_block(n, do):
    """A ``stop`` that does something before block ``n``, and never stops."""
    count = iter(range(1000))

    def stop() -> bool:
        if next(count) == n:
            do()
        return False

    return stop


def test_a_session_takes_changes_between_two_blocks():
    desk = Desk()
    session, recorder = session_of(desk, stop=at_block(20, lambda: desk.set("transpose", 5)))
    session.run()
    assert [e.note for e in recorder.of(NoteOn)] == [69, 74] and [e.note for e in recorder.of(NoteOff)] == [69, 74]


def test_paused_it_plays_nothing_and_frames_go_on_unvoiced():
    desk = Desk()
    session, recorder = session_of(desk, stop=at_block(20, desk.pause))
    session.run()
    assert len(recorder.of(NoteOn)) == len(recorder.of(NoteOff)) == 1
    frames = recorder.of(PitchFrame)
    assert frames[10].voiced and not frames[-2].voiced and len(frames) == 40
    desk.pause(False)
    desk.take()
    again, recorder = session_of(desk)
    again.run()
    assert recorder.of(PitchFrame)[-2].voiced


def test_panic_reaches_every_sink_once():
    desk, panics = Desk(), []
    session, recorder = session_of(desk, stop=at_block(20, desk.panic))
    recorder.panic = lambda: panics.append(len(recorder.of(PitchFrame)))
    session.run()
    assert panics == [19]


def test_another_bound_ends_the_run_which_says_so_and_closes_the_note():
    desk, clock = Desk(), iter(np.arange(0.0, 1000.0, 0.01))
    session, recorder = session_of(desk, stop=at_block(20, lambda: desk.set("latency_ms", 20)), timer=lambda: float(next(clock)))
    session.run()
    assert session.restart and not session.ended and len(recorder.of(NoteOn)) == len(recorder.of(NoteOff)) == 1
    desk.take()
    again, _ = session_of(desk)
    again.run()
    assert again.ended and not again.restart


# --- OSC


def osc(address, *arguments):
    builder = OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(argument)
    return builder.build().dgram


def wait_for(true) -> bool:
    return any(true() or time.sleep(0.01) for _ in range(500))


# --- profiles


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of the singer's own profiles, with one in it."""
    monkeypatch.setattr(profiles, "profile_folder", lambda: tmp_path)
    profiles.write_profile("alto", "performance:\n  gate: '-50'\n  note_range: [G3, C6]\n")
    return tmp_path


def test_profiles_are_played_by_under_what_was_asked_for_by_name_at_the_start_and_since(own):
    desk = Desk(make_settings({"bend_range": 7, "octave": 1, "midi_out": "virtual"}))
    desk.set("transpose", 3)
    desk.set("device", "singer")
    desk.use_profiles(["alto", "lead"])
    played = desk.settings.performance
    assert (played.mode, played.gate, played.note_range) == ("legato", "-50", ["G3", "C6"]) and desk.settings.tracking.latency_ms == 20
    assert (played.bend_range, played.octave, played.transpose, desk.orders.kept) == (7, 1, 3, ())
    assert (desk.settings.source.device, desk.settings.output.midi_out, desk.orders.profiles) == ("singer", "virtual", ("alto", "lead"))
    desk.use_profiles(["bass", "alto"])
    assert (desk.settings.performance.octave, desk.settings.performance.note_range, desk.orders.kept) == (1, ["G3", "C6"], ("octave",))
    assert desk.settings.tracking.latency_ms == 50, "what the profile before said goes with it"
    desk.follow()
    assert (desk.settings.performance.octave, desk.settings.performance.transpose, desk.orders.kept) == (-1, 3, ())
    desk.set("gate", "-50")
    assert desk.orders.kept == (), "what is the same is not otherwise"
    desk.set("gate", "-30")
    desk.set("mode", "legato")
    desk.send("follow", "alto")
    assert (desk.settings.performance.gate, desk.orders.kept) == ("-50", ("mode",))
    desk.send("follow")
    desk.set("gate", "-30")
    assert desk.orders.kept == ("gate",)
    desk.use_profiles([])
    assert desk.settings == make_settings({"bend_range": 7, "midi_out": "virtual", "device": "singer", "transpose": 3, "gate": "-30"})


def test_a_profile_of_the_start_and_one_of_later_come_to_the_same(own, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("performance:\n  snap: 7\n")
    options = {"mode": "mono", "transpose": 2}
    begun, asked = read_settings(options, file, base=profiles.profile_values(["alto", "bass"]))
    at_start = Desk(begun, profiles=["alto", "bass"], asked=asked)
    plain, asked = read_settings(options, file)
    later = Desk(plain, asked=asked)
    later.use_profiles(["alto", "bass"])
    assert at_start.orders == later.orders and at_start.orders.kept == ("snap",)
    for desk in (at_start, later):
        desk.use_profiles([])
        assert desk.settings == plain
    assert plain.performance.snap == "7" and begun.performance.octave == -1


def test_orders_that_are_put_back_are_those_of_before(own):
    desk = Desk(make_settings({"mode": "mono"}))
    desk.use_profiles(["lead"])
    before = desk.orders
    desk.use_profiles(["bass"])
    desk.set("device", "gone")
    desk.pause()
    desk.put(before)
    assert desk.orders == replace(before, paused=True)


@pytest.mark.parametrize(
    "names, word",
    [(["altoo"], "did you mean alto"), (["../alto"], "must be letters"), (["alto", "fixed"], "sets priority, which cannot be changed")],
)
def test_profiles_that_cannot_be_had_change_nothing(own, names, word):
    profiles.write_profile("fixed", "tracking:\n  priority: false\n")
    desk = Desk()
    with pytest.raises(SettingsError, match=word):
        desk.use_profiles(names)
    assert desk.orders == Desk().orders


@pytest.fixture
def wired():
    """(send, desk, what was told)."""
    desk, told = Desk(), []
    with OscControl(desk, LOOPBACK, 0, told.append) as control, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        yield lambda *message: sender.sendto(osc(*message), (LOOPBACK, control.port)), desk, told


def test_osc_changes_settings_pauses_and_panics(wired):
    send, desk, _ = wired
    send("/rt-melody/set/transpose", -5)
    send("/rt-melody/set/scale", "D", "minor")
    send("/rt-melody/set/latency_ms", 20.0)
    send("/rt-melody/pause", 1)
    send("/rt-melody/panic")
    assert wait_for(lambda: desk.orders.panics == 1 and desk.orders.paused)
    played = desk.settings.performance
    assert (played.transpose, played.scale, desk.settings.tracking.latency_ms) == (-5, "D minor", 20.0)


def test_osc_chooses_profiles(wired, own):
    send, desk, _ = wired
    send("/rt-melody/profile", "alto strings")
    assert wait_for(lambda: desk.orders.profiles == ("alto", "strings"))
    send("/rt-melody/profile", "bass", "alto")
    assert wait_for(lambda: desk.orders.profiles == ("bass", "alto"))
    send("/rt-melody/profile")
    assert wait_for(lambda: desk.orders.profiles == () and desk.settings == make_settings())


def test_of_a_flood_the_last_message_counts(wired):
    send, desk, _ = wired
    for semitones in range(3000):
        send("/rt-melody/set/transpose", semitones % 50)
    time.sleep(0.5)  # what the system kept of it is read by then
    send("/rt-melody/set/transpose", -60)
    assert wait_for(lambda: desk.settings.performance.transpose == -60)


def test_what_is_no_osc_of_ours_is_told_once_and_the_next_is_obeyed(wired):
    send, desk, told = wired
    for _ in range(5):
        send("/rt-melody/set/nonsense\x1b[2J", 1)
    send("/elsewhere", 1)
    send("/rt-melody/set/octave", 1)
    assert wait_for(lambda: desk.settings.performance.octave == 1)
    assert len(told) == 1 and "no setting" in told[0] and "\x1b" not in told[0]


@pytest.mark.parametrize("text, meant", [("9001", ("127.0.0.1", 9001)), ("0.0.0.0:9001", ("0.0.0.0", 9001)), ("[::1]:9001", ("::1", 9001))])
def test_a_port_alone_is_this_machine(text, meant):
    assert parse_listening(text) == meant


@pytest.mark.parametrize("text", ["", "x", "0", "65536", "host:", "9001x"])
def test_what_is_no_port_is_refused(text):
    with pytest.raises(SettingsError, match="from 1 to 65535"):
        parse_listening(text)


def test_an_address_of_another_machine_is_told_as_one():
    with pytest.raises(DeviceError, match="give an address of this machine"):
        _listen("192.0.2.1", 9001)  # of the block for documentation, RFC 5737


def test_a_port_that_is_taken_is_told():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((LOOPBACK, 0))
        with pytest.raises(DeviceError, match="choose another port"):
            OscControl(Desk(), LOOPBACK, taken.getsockname()[1])


def test_another_run_of_a_program_loads_a_model_only_where_it_is_another():
    with stop_signals() as signals:
        program = Program(make_settings({"quiet": True}), signals)
    first = program._prepare_tracker(16000)
    program.settings = change_setting(program.settings, "latency_ms", 20)
    second = program._prepare_tracker(16000)
    program.settings = change_setting(program.settings, "light", True)
    third = program._prepare_tracker(16000)
    program.background.close()
    assert second is not first and second.engine.model.path == first.engine.model.path == SHIPPED_MODELS["live"]
    assert second.engine.model._step is first.engine.model._step, "loaded once"
    assert third.engine.model.path == SHIPPED_MODELS["light"] and third.latency.bound_ms == 20
