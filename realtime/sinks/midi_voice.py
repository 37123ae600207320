"""Note events of one voice as MIDI messages, for a port and for a file alike.

Conventions
-----------
* Bend, level and brightness that are known are sent before the note-on, so that the attack is in tune, and
  are saved where they would repeat the last ones. Bends beyond the bend range are clipped to it.
* Times are seconds of stream time, as ``ControlStream`` takes them; each method gives ``(time, message)``
  in the order to be sent, what had waited for the rate included.
* One channel: the bend goes back to the centre after the last note-off.
* MPE, lower zone: channel 1 manages, each note takes the next member channel, so that the tail of the note before
  keeps its own bend; the bend of a channel is set when its next note begins.

Source: MIDI Polyphonic Expression 1.0 (RP-053).
"""

from __future__ import annotations

from rt_melody.realtime import midi_bytes as midi
from rt_melody.realtime.settings.midi import MidiSettings
from rt_melody.realtime.sinks.controls import ControlStream, Timed
from rt_melody.realtime.types import Brightness, Loudness, NoteOff, NoteOn, PitchBend

class MidiVoice:
    """One channel. Each method gives the messages of one event; its state is what it sent and what waits."""

    def __init__(self, settings: MidiSettings | None = None) -> None:
        self.settings = s = settings or MidiSettings()
        self._controls = ControlStream(s.bytes_per_s)
        self._level_message, self._level_curve = midi.LOUDNESS[s.loudness_message], s.level_curve
        self._bright_message, self._bright_curve = midi.BRIGHTNESS[s.brightness_message], s.bright_curve
        self._channel_of: dict[int, int] = {}  # of each note that sounds

    @property
    def channels(self) -> range:
        return range(self.settings.channel, self.settings.channel + 1)

    def reset(self) -> None:
        """Forget what was sent, so that the next of each is sent whatever it is; time begins anew."""
        self._channel_of.clear()
        self._controls.reset()

    def announce(self, now_s: float, brief: bool = False) -> list[Timed]:
        """What a receiver must know before the first note, while none sounds; ``brief`` where it likely does."""
        self._controls.forget()
        messages = self._announcement(brief)
        for channel in self.channels:
            messages += self._bend_at_once(channel, 0.0, now_s)
            if brief:
                break
        self._controls.spend(sum(map(len, messages)), now_s)
        return [(now_s, message) for message in messages]

    def note_on(self, event: NoteOn, now_s: float) -> list[Timed]:
        channel = self._take_channel(event.note)
        before = self._bend_at_once(channel, event.pitch - event.note, now_s)
        if self._level_message and event.level_db is not None:
            before += self._controls.at_once(("level", channel), self._level(channel, event.level_db), now_s)
        if self._bright_message and event.brightness_hz is not None:
            before += self._controls.at_once(("bright", channel), self._bright(channel, event.brightness_hz), now_s)
        return self._with_note([*before, midi.note_on(channel, event.note, event.velocity)], now_s)

    def note_off(self, event: NoteOff, now_s: float) -> list[Timed]:
        channel = self._channel_of.pop(event.note, None)
        if channel is None:
            return []
        after = [] if self._channel_of else self._at_rest(channel, now_s)
        return self._with_note([midi.note_off(channel, event.note), *after], now_s)

    def bend(self, event: PitchBend, now_s: float) -> list[Timed]:
        if (channel := self._channel_of.get(event.note)) is not None:
            self._controls.offer(("bend", channel), self._bend(channel, event.semitones), now_s)
        return self.due(now_s)

    def loudness(self, event: Loudness, now_s: float) -> list[Timed]:
        if self._level_message and (channel := self._channel_of.get(event.note)) is not None:
            self._controls.offer(("level", channel), self._level(channel, event.level_db), now_s)
        return self.due(now_s)

    def brightness(self, event: Brightness, now_s: float) -> list[Timed]:
        if self._bright_message and (channel := self._channel_of.get(event.note)) is not None:
            self._controls.offer(("bright", channel), self._bright(channel, event.brightness_hz), now_s)
        return self.due(now_s)

    def due(self, now_s: float) -> list[Timed]:
        """What waited for the rate and may be sent by now."""
        return self._controls.due(now_s)

    def rest(self) -> list[Timed]:
        """All that still waits, at the end."""
        return self._controls.due(float("inf"))

    def silence(self, now_s: float) -> list[Timed]:
        """Everything on our channels off, controllers and bends at rest."""
        self._channel_of.clear()
        self._controls.forget()
        messages: list[bytes] = []
        for channel in self.channels:
            messages += [*midi.silence(channel), *self._controllers_at_rest(channel), *self._bend_at_once(channel, 0.0, now_s)]
        return [(now_s, message) for message in messages]

    # ---- one channel ---------------------------------------------------------------------------

    def _controllers_at_rest(self, channel: int) -> list[bytes]:
        used = ((self.settings.loudness_message, self._level_message), (self.settings.brightness_message, self._bright_message))
        return [message(channel, midi.AT_REST[way]) for way, message in used if way in midi.AT_REST]

    def _announcement(self, brief: bool) -> list[bytes]:
        return list(midi.bend_range(self.settings.channel, self.settings.bend_range))

    def _take_channel(self, note: int) -> int:
        return self._channel_of.setdefault(note, self.settings.channel)

    def _at_rest(self, channel: int, now_s: float) -> list[bytes]:
        """After the last note-off."""
        return self._bend_at_once(channel, 0.0, now_s)

    # ---- messages ------------------------------------------------------------------------------

    def _bend(self, channel: int, semitones: float) -> bytes:
        return midi.pitch_bend(channel, midi.bend_to_14bit(semitones, self.settings.bend_range))

    def _level(self, channel: int, level_db: float) -> bytes:
        return self._level_message(channel, self._level_curve.byte(level_db))

    def _bright(self, channel: int, brightness_hz: float) -> bytes:
        return self._bright_message(channel, self._bright_curve.byte(brightness_hz))

    def _bend_at_once(self, channel: int, semitones: float, now_s: float) -> list[bytes]:
        return self._controls.at_once(("bend", channel), self._bend(channel, semitones), now_s)

    def _with_note(self, messages: list[bytes], now_s: float) -> list[Timed]:
        """A note's messages, which never wait; they too fill the cable."""
        self._controls.spend(3, now_s)
        return [(now_s, message) for message in messages]


class MpeVoice(MidiVoice):
    """Each note on the next member channel of the lower zone."""

    MEMBERS = midi.MPE_MEMBERS_MAX

    def __init__(self, settings: MidiSettings | None = None) -> None:
        super().__init__(settings or MidiSettings(mpe=True))
        self._next = 0

    @property
    def channels(self) -> range:
        first = midi.MPE_MANAGER + 1
        return range(first, first + self.MEMBERS)

    def reset(self) -> None:
        super().reset()
        self._next = 0

    def silence(self, now_s: float) -> list[Timed]:
        """The manager's channel too, which speaks for all where a receiver listens to it alone."""
        manager = [(now_s, message) for message in midi.silence(midi.MPE_MANAGER)]
        return [*manager, *super().silence(now_s)]

    def _announcement(self, brief: bool) -> list[bytes]:
        """The zone, and its bend range: on one member, which a receiver takes for all, or on each to be sure."""
        channels = self.channels[:1] if brief else self.channels
        ranges = (midi.bend_range(channel, self.settings.bend_range) for channel in channels)
        return [*midi.mpe_lower_zone(self.MEMBERS), *(message for parts in ranges for message in parts)]

    def _take_channel(self, note: int) -> int:
        channel = self.channels[self._next]
        self._next = (self._next + 1) % self.MEMBERS
        self._channel_of[note] = channel
        return channel

    def _at_rest(self, channel: int, now_s: float) -> list[bytes]:
        return []


def make_voice(settings: MidiSettings | None) -> MidiVoice:
    return MpeVoice(settings) if settings is not None and settings.mpe else MidiVoice(settings)
