"""A receiver of MPE, written from the specification and not from our sender: zone, ranges, notes and their dimensions.

Source: MIDI Polyphonic Expression 1.0 (RP-053). mido parses the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import mido

MANAGER = 0  # mido counts channels from 0
PRESSURE, TIMBRE = "pressure", "timbre"


@dataclass
class Note:
    channel: int
    number: int
    velocity: int
    start: dict  # pitch, pressure and timbre at the note-on
    end_pitch: float | None = None  # at the note-off; None while it sounds

    @property
    def ended(self) -> bool:
        return self.end_pitch is not None


@dataclass
class MpeReader:
    """``notes`` in the order of their note-ons; what is against the rules raises AssertionError."""

    members: range | None = None  # of the lower zone
    ranges: dict[int, int] = field(default_factory=dict)  # semitones, per channel
    values: dict[int, dict] = field(default_factory=dict)  # bend 0 = centre, pressure, timbre, per channel
    notes: list[Note] = field(default_factory=list)
    rpn: dict[int, tuple[int, int]] = field(default_factory=dict)

    def take(self, data: bytes) -> None:
        for message in mido.parse_all(data):
            getattr(self, f"_{message.type}")(message)

    @property
    def sounding(self) -> list[Note]:
        return [note for note in self.notes if not note.ended]

    def pitch(self, note: Note) -> float:
        """Fractional MIDI note number; the manager's bend counts on top."""
        bend = sum(self._value(c)["bend"] / 8192 * self.ranges[c] for c in (note.channel, MANAGER))
        return note.number + bend

    def value(self, note: Note, name: str) -> int:
        return self._value(note.channel)[name]

    def _value(self, channel: int) -> dict:
        return self.values.setdefault(channel, {"bend": 0, PRESSURE: 0, TIMBRE: 64})

    def _control_change(self, m) -> None:
        if m.control in (100, 101):
            high, low = self.rpn.get(m.channel, (127, 127))
            self.rpn[m.channel] = (m.value, low) if m.control == 101 else (high, m.value)
        elif m.control == 6:
            self._set_parameter(m.channel, self.rpn[m.channel], m.value)
        elif m.control == 74:
            self._value(m.channel)[TIMBRE] = m.value
        elif m.control in (120, 123):
            for note in self.sounding:
                if m.channel in (note.channel, MANAGER):
                    note.end_pitch = self.pitch(note)
        elif m.control == 121:
            self.values.pop(m.channel, None)

    def _set_parameter(self, channel: int, rpn: tuple[int, int], value: int) -> None:
        if rpn == (0, 6):
            assert channel == MANAGER, "a lower zone is configured on channel 1"
            assert not self.sounding, "a configuration ends notes, so it must not come while some sound"
            self.members = range(1, 1 + value)
            self.ranges = {MANAGER: 2, **dict.fromkeys(self.members, 48)}
        elif rpn == (0, 0):
            assert self.members is not None, "the zone is set before its bend range"
            assert not [n for n in self.sounding if n.channel == channel], "the range changed under a note"
            for member in self.members if channel in self.members else (channel,):
                self.ranges[member] = value

    def _pitchwheel(self, m) -> None:
        self._value(m.channel)["bend"] = m.pitch

    def _aftertouch(self, m) -> None:
        self._value(m.channel)[PRESSURE] = m.value

    def _note_on(self, m) -> None:
        assert self.members is not None and m.channel in self.members, "a note outside the zone's member channels"
        assert not [n for n in self.sounding if n.channel == m.channel], "two notes on one member channel"
        note = Note(m.channel, m.note, m.velocity, {})
        note.start = {"pitch": self.pitch(note), **{k: self.value(note, k) for k in (PRESSURE, TIMBRE)}}
        self.notes.append(note)

    def _note_off(self, m) -> None:
        note = next(n for n in self.sounding if (n.channel, n.number) == (m.channel, m.note))
        note.end_pitch = self.pitch(note)
