"""Ten thousand random performances, and whatever else may come: what a MIDI receiver must be able to rely on.

Every note-on has its note-off; one note at a time, but for the overlap of slurred ones; only whole messages of the
kinds that we use; bends and controllers within the rate, and their last values there.
"""

from __future__ import annotations

import numpy as np
import pytest

from rt_melody.realtime import midi_bytes as midi
from rt_melody.realtime.playing.performance import Performer
from rt_melody.realtime.settings import MidiSettings, PerformanceSettings
from rt_melody.realtime.sinks.controls import BURST_BYTES
from rt_melody.realtime.sinks.midi import MidiSink
from rt_melody.realtime.types import Brightness, Loudness, NoteOff, NoteOn, PitchBend, PitchFrame

HOP_S = 0.01
LENGTHS = {0x80: 3, 0x90: 3, 0xB0: 3, 0xD0: 2, 0xE0: 3}
CONTROLLERS = set(midi.CONTROLLER.values())
PARAMETERS = {6, 38, 100, 101}


class Receiver:
    """A port that checks each message as it comes, and knows what sounds and how each channel is bent."""

    def __init__(self, overlap: bool) -> None:
        self.most = 2 if overlap else 1
        self.sounding: list[tuple[int, int]] = []
        self.values: dict[tuple, bytes] = {}
        self.ons = self.offs = 0
        self.at(0.0)
        self.controls: list[tuple[float, int]] = []  # when, bytes

    def at(self, now_s: float, with_note: bool = False) -> None:
        """What comes now, and whether it belongs to a note, a start, an end or a panic."""
        self.now_s, self.apart = now_s, with_note

    def send_message(self, message: bytes) -> None:
        kind, channel = message[0] & 0xF0, message[0] & 0x0F
        assert len(message) == LENGTHS[kind] and max(message[1:]) < 128, message.hex()
        if kind == 0x90:
            assert message[2] > 0 and (channel, message[1]) not in self.sounding
            self.sounding.append((channel, message[1]))
            self.ons += 1
            assert len(self.sounding) <= self.most
        elif kind == 0x80:
            self.sounding.remove((channel, message[1]))
            self.offs += 1
        else:
            self._control(kind, channel, message)

    def _control(self, kind: int, channel: int, message: bytes) -> None:
        assert kind != 0xB0 or message[1] in CONTROLLERS
        key = (kind, channel, message[1] if kind == 0xB0 else None)
        self.apart = self.apart or (kind == 0xB0 and message[1] in PARAMETERS)  # an announcement
        if not self.apart:
            assert self.values.get(key) != message, "said twice"
            self.controls.append((self.now_s, len(message)))
        self.values[key] = message

    def close_port(self) -> None: ...

    def delete(self) -> None: ...


class Improviser:
    """A tracker that plays at random by the rules of trackers: on, off, on, off; expression only in between."""

    hop_s, lag_ms = HOP_S, 10.0

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng, self.note = rng, None

    def feed(self, frame: PitchFrame) -> list:
        draw, events = self.rng.random(), []
        if self.note is not None and draw < 0.35:
            events.append(NoteOff(frame.time_s, frame.available_s, self.note))
            self.note = None
        if self.note is None and draw < 0.3:
            self.note = int(self.rng.integers(40, 60)) if draw < 0.25 else int(self.rng.integers(128))
            events.append(NoteOn(frame.time_s, frame.available_s, self.note, int(self.rng.integers(1, 128)), self.note + self.bend()))
        if self.note is not None:
            events += [PitchBend(frame.time_s, frame.available_s, self.note, self.bend()) for _ in range(self.rng.integers(4))]
            events.append(Loudness(frame.time_s, frame.available_s, self.note, frame.level_db))
        return events

    def bend(self) -> float:
        return float(self.rng.normal(0.0, 2.0 if self.rng.random() < 0.9 else 60.0))

    def finish(self, available_s: float) -> list:
        note, self.note = self.note, None
        return [] if note is None else [NoteOff(available_s, available_s, note)]

    def reset(self) -> None:
        self.note = None


MODES = ("mono", "legato", "bend", "mpe")


def random_settings(rng: np.random.Generator) -> tuple[PerformanceSettings, MidiSettings]:
    mode = MODES[rng.integers(len(MODES))]
    bend_range = int(rng.integers(1, 49))
    performance = PerformanceSettings(
        mode=mode, bend_range=bend_range, transpose=int(rng.integers(-60, 61)),
        scale=str(rng.choice(["C major", "auto", "off"], p=[0.3, 0.1, 0.6])),
        snap=str(rng.choice(["30", "hard"])), note_range=[str(rng.integers(0, 50)), str(rng.integers(50, 128))],
    )  # fmt: skip
    said = MidiSettings(
        mpe=mode == "mpe", channel=int(rng.integers(1, 17)), bend_range_semitones=bend_range,
        loudness=str(rng.choice(["off", "pressure", "cc2", "cc7", "cc11"])), brightness=str(rng.choice(["off", "cc74"])),
        bytes_per_s=int(rng.choice([60, 300, 1500])),
    )  # fmt: skip
    return performance, said


def random_frame(rng: np.random.Generator, i: int) -> PitchFrame:
    level_db = float(rng.uniform(-130.0, 10.0))
    return PitchFrame(i, i * HOP_S, i * HOP_S + 0.05, 220.0, bool(rng.random() < 0.7), 0.5, 0.5, level_db, float(rng.uniform(0, 8000)))


def perform(seed: int, frames: int) -> tuple[Receiver, MidiSettings]:
    """One performance through the stage and the sink, a panic and a new start among its chances."""
    rng = np.random.default_rng(seed)
    performance, said = random_settings(rng)
    receiver = Receiver(overlap=performance.mode == "legato")
    sink, performer = MidiSink(receiver, said), Performer(Improviser(rng), performance)
    receiver.at(0.0, with_note=True)
    sink.start(0.0)
    for i in range(frames):
        frame = random_frame(rng, i)
        panics = bool(rng.random() < 0.01)
        if panics:
            sink.ask_panic()
        receiver.at(frame.available_s, with_note=panics)
        sink.frame(frame)
        for event in performer.feed(frame):
            receiver.at(frame.available_s, isinstance(event, (NoteOn, NoteOff)))
            sink.event(event)
    receiver.at(frames * HOP_S + 0.05, with_note=True)
    for event in performer.finish(frames * HOP_S + 0.05):
        sink.event(event)
    sink.close()
    return receiver, said


def assert_bounded(receiver: Receiver, bytes_per_s: int) -> None:
    """Bends and controllers that no note brought, over any stretch of time."""
    times = np.array([at_s for at_s, _ in receiver.controls])
    total = np.cumsum([0] + [count for _, count in receiver.controls])
    for first in range(len(times)):
        allowed = BURST_BYTES + bytes_per_s * (times[first:] - times[first])
        assert np.all(total[first + 1 :] - total[first] <= allowed + 1e-6)


@pytest.mark.slow
def test_ten_thousand_random_performances():
    """Their lengths differ so that close comes at every moment; one in two hundred is long."""
    struck = 0
    for seed in range(10_000):
        receiver, said = perform(seed, 300 if seed % 200 == 0 else seed % 11)
        assert receiver.sounding == [] and receiver.ons == receiver.offs, f"seed {seed}"
        assert_bounded(receiver, said.bytes_per_s)
        struck += receiver.ons
    assert struck > 8000


@pytest.mark.parametrize("legato", [False, True])
@pytest.mark.parametrize("mpe", [False, True])
def test_events_against_all_rules(mpe, legato):
    """No tracker would send these: the sink still ends what it began and keeps to one note at a time."""
    rng, struck = np.random.default_rng(7), 0
    for _ in range(200):
        receiver = Receiver(overlap=legato)
        sink = MidiSink(receiver, MidiSettings(mpe=mpe, loudness="pressure", brightness="cc74"))
        receiver.at(0.0, with_note=True)
        sink.start(0.0)
        for i in range(30):
            note, at_s = int(rng.integers(58, 62)), i * 0.01
            sink.event(
                [
                    NoteOn(at_s, at_s, note, 64, note + 0.3, -20.0, 900.0, bool(legato and rng.random() < 0.5)),
                    NoteOff(at_s, at_s, note),
                    PitchBend(at_s, at_s, note, float(rng.normal(0, 3))),
                    Loudness(at_s, at_s, note, float(rng.uniform(-60, 0))),
                    Brightness(at_s, at_s, note, float(rng.uniform(0, 5000))),
                ][rng.integers(5)]
            )
        sink.close()
        assert receiver.sounding == [] and receiver.ons == receiver.offs
        struck += receiver.ons
    assert struck > 500


@pytest.mark.parametrize("bytes_per_s", [60, 1500])
def test_the_last_values_arrive(bytes_per_s):
    """After a storm of bends, levels and brightness, two quiet seconds bring the receiver to the last of each."""
    rng = np.random.default_rng(3)
    receiver = Receiver(overlap=False)
    said = MidiSettings(bend_range_semitones=12, loudness="pressure", brightness="cc74", bytes_per_s=bytes_per_s)
    sink = MidiSink(receiver, said)
    receiver.at(0.0, with_note=True)
    sink.start(0.0)
    sink.event(NoteOn(0.0, 0.0, 60, 64, 60.0))
    for i in range(300):
        at_s = i * 0.01
        receiver.at(at_s)
        semitones, level_db, hz = float(rng.normal(0, 3)), float(rng.uniform(-60, 0)), float(rng.uniform(200, 3000))
        for event in (PitchBend(at_s, at_s, 60, semitones), Loudness(at_s, at_s, 60, level_db), Brightness(at_s, at_s, 60, hz)):
            sink.event(event)
    for i in range(300, 500):
        receiver.at(i * 0.01)
        sink.frame(PitchFrame(i, i * 0.01, i * 0.01, 220.0, True, 1.0, 1.0, -20.0))
    assert_bounded(receiver, bytes_per_s)
    assert receiver.values[0xE0, 0, None] == midi.pitch_bend(1, midi.bend_to_14bit(semitones, 12))
    assert receiver.values[0xD0, 0, None] == midi.channel_pressure(1, said.level_curve.byte(level_db))
    assert receiver.values[0xB0, 0, 74] == midi.control_change(1, "brightness", said.bright_curve.byte(hz))
