"""Note events of one voice as MIDI messages of one channel, for a port and for a file alike.

Conventions
-----------
* The bend is sent before the note-on, so that the attack is in tune, and goes back to the centre after
  the note-off. A bend or level that would repeat the last one is not sent.
* Bends beyond the bend range are clipped to it.
"""

from __future__ import annotations

from rt_melody.realtime import midi_bytes as midi
from rt_melody.realtime.types import InputError, Loudness, NoteOff, NoteOn, PitchBend


class MidiVoice:
    """Each method gives the messages of one event, in the order to be sent; its state is what it sent."""

    def __init__(self, channel: int = 1, bend_range_semitones: int = 2, loudness: str = "off") -> None:
        """Raises ``InputError`` for a channel outside 1..16, a range outside 1..48, an unknown loudness."""
        _check_whole("MIDI channel", channel, 16)
        _check_whole("bend range", bend_range_semitones, midi.BEND_RANGE_MAX_SEMITONES)
        if loudness not in midi.LOUDNESS:
            raise InputError(f"loudness {loudness!r} is unknown; use one of {', '.join(midi.LOUDNESS)}")
        self.channel = channel
        self.bend_range_semitones = bend_range_semitones
        self._level_message = midi.LOUDNESS[loudness]
        self.reset()

    def reset(self) -> None:
        """Forget what was sent, so that the next bend and level are sent whatever they are."""
        self._bend_sent: int | None = None
        self._level_sent: int | None = None

    def announce(self) -> list[bytes]:
        """The bend range by RPN 0, and the bend at its centre."""
        self._bend_sent = None
        return [*midi.bend_range(self.channel, self.bend_range_semitones), *self._bend_to(0.0)]

    def note_on(self, event: NoteOn) -> list[bytes]:
        bend = self._bend_to(event.pitch - event.note)
        return [*bend, midi.note_on(self.channel, event.note, event.velocity)]

    def note_off(self, event: NoteOff) -> list[bytes]:
        return [midi.note_off(self.channel, event.note), *self._bend_to(0.0)]

    def bend(self, event: PitchBend) -> list[bytes]:
        return self._bend_to(event.semitones)

    def loudness(self, event: Loudness) -> list[bytes]:
        value = round(127 * midi.level_to_unit(event.level_db))
        if self._level_message is None or value == self._level_sent:
            return []
        self._level_sent = value
        return [self._level_message(self.channel, value)]

    def silence(self) -> list[bytes]:
        """Everything on the channel off, controllers and bend at rest."""
        self.reset()
        return [*midi.silence(self.channel), *self._bend_to(0.0)]

    def _bend_to(self, semitones: float) -> list[bytes]:
        value = midi.bend_to_14bit(semitones, self.bend_range_semitones)
        if value == self._bend_sent:
            return []
        self._bend_sent = value
        return [midi.pitch_bend(self.channel, value)]


def _check_whole(what: str, value: int, most: int) -> None:
    if not (isinstance(value, int) and 1 <= value <= most):
        raise InputError(f"{what} {value!r} is not usable; give a whole number from 1 to {most}")
