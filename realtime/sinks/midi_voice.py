"""Note events of one voice as MIDI messages, for a port and for a file alike.

Conventions
-----------
* Bend, level and brightness that are known are sent before the note-on, so that the attack is in tune, and
  are saved where they would repeat the last ones. Bends beyond the bend range are clipped to it.
* Times are seconds of stream time, as ``ControlStream`` takes them; each method gives ``(time, message)``
  in the order to be sent, what had waited for the rate included.
* One channel: the bend goes back to the centre after the last note-off.
* MPE, lower zone: channel 1 manages, each note takes the next member channel, so that the tail of the note before
  keeps its own bend; the bend of a channel is set when its next note begins. Eight members are enough for tails, and
  leave channel 10 alone, which readers of files and General MIDI players take for drums.
* ``change`` takes other settings while it plays: bend range, level and brightness at once, the sounding note's bend put anew in
  the new range behind its announcement. Another channel, or MPE, waits until nothing sounds, so that every note-off goes where
  its note-on went. What was said of a controller that is no longer used is put back to rest.
* What is announced is said in steps (see midi_announce), live ``STEP_S`` apart, by ``due``; no note waits for it.

Source: MIDI Polyphonic Expression 1.0 (RP-053).
"""

from __future__ import annotations

from collections.abc import Iterable

from rt_melody.realtime import midi_bytes as midi
from rt_melody.realtime.settings.midi import MidiSettings
from rt_melody.realtime.settings.performance import PLAIN_BEND_RANGE
from rt_melody.realtime.sinks.controls import ControlStream, Timed
from rt_melody.realtime.sinks.midi_announce import Announcement
from rt_melody.realtime.types import Brightness, Loudness, NoteOff, NoteOn, PitchBend

STEP_S = 0.025  # between the steps of an announcement: longer than JACK's periods up to 1024 frames, within which RtMidi dates all alike
FILE_STEP_S = 0.001  # in a file


class MidiVoice:
    """One channel. Each method gives the messages of one event; its state is what it sent and what waits."""

    MEMBERS = 0  # of an MPE zone

    def __init__(self, settings: MidiSettings | None = None) -> None:
        s = settings or MidiSettings()
        self._controls = ControlStream(s.bytes_per_s)
        self._take(s)
        self._channel_of: dict[int, int] = {}  # of each note that sounds
        self._bent: dict[int, float] = {}  # semitones, as last asked for, of each channel
        self._announcement = Announcement()
        self._step_due_s = 0.0

    def _take(self, s: MidiSettings) -> None:
        self.settings = s
        self._controls.bytes_per_s = s.bytes_per_s
        self._level_message, self._level_curve = midi.LOUDNESS[s.loudness_message], s.level_curve
        self._bright_message, self._bright_curve = midi.BRIGHTNESS[s.brightness_message], s.bright_curve

    @property
    def sounding(self) -> bool:
        """Whether a note has begun and not ended."""
        return bool(self._channel_of)

    def change(self, settings: MidiSettings, now_s: float) -> list[Timed]:
        """Go on by other settings of the same channels."""
        before = self.settings
        self._take(settings)
        ways = (before.loudness_message, settings.loudness_message), (before.brightness_message, settings.brightness_message)
        said = [message for old, new in ways if old != new for message in self._put_back(old)]
        if settings.bend_range != before.bend_range:
            said += self._announce_range(now_s)
        return [(now_s, message) for message in said]

    def leave(self, now_s: float) -> list[Timed]:
        """The end of this voice, nothing sounding: what was announced is ended, controllers and bends at rest."""
        ways = (self.settings.loudness_message, self.settings.brightness_message)
        said = [*self._announcement.leave(), *(message for way in ways for message in self._put_back(way))]
        return [*((now_s, message) for message in said), *self._centre(now_s, self.channels)]

    @property
    def channels(self) -> range:
        return range(self.settings.channel, self.settings.channel + 1)

    def reset(self) -> None:
        """Forget what was sent, so that the next of each is sent whatever it is; time begins anew."""
        self._channel_of.clear()
        self._announcement = Announcement()
        self._controls.reset()

    def announce(self, now_s: float, voice_heard: bool = False) -> list[Timed]:
        """Begin to say what a receiver must know before the first note, while none sounds; ``due`` goes on with it.

        ``voice_heard``: a note is about to come, whose channel goes first."""
        coming = self._coming_channel() if voice_heard else None
        self._announcement.begin(self._ranges(), self.MEMBERS, coming)
        self._step_due_s = now_s
        return [*self._announced(now_s), *self._centre(now_s, self.channels if coming is None else [coming])]

    def opening(self, step_s: float = FILE_STEP_S) -> list[Timed]:
        """The same for the beginning of a file, from time 0 on, all of it."""
        self._announcement.begin(self._ranges(), self.MEMBERS, varied=False)
        said = self._centre(0.0, self.channels)
        step = 0
        while self._announcement:
            said += [(step * step_s, message) for message in self._announcement.step()]
            step += 1
        return said

    def note_on(self, event: NoteOn, now_s: float) -> list[Timed]:
        channel = self._take_channel(event.note)
        before = self._announcement.hurry(channel)
        self._controls.spend(sum(map(len, before)), now_s)
        before += self._bend_at_once(channel, event.pitch - event.note, now_s)
        if self._level_message and event.level_db is not None:
            level = self._level_message(channel, self._level_curve.byte(event.level_db))
            before += self._controls.at_once(("level", channel), level, now_s)
        if self._bright_message and event.brightness_hz is not None:
            bright = self._bright_message(channel, self._bright_curve.byte(event.brightness_hz))
            before += self._controls.at_once(("bright", channel), bright, now_s)
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
            self._controls.offer(("level", channel), self._level_message(channel, self._level_curve.byte(event.level_db)), now_s)
        return self.due(now_s)

    def brightness(self, event: Brightness, now_s: float) -> list[Timed]:
        if self._bright_message and (channel := self._channel_of.get(event.note)) is not None:
            self._controls.offer(("bright", channel), self._bright_message(channel, self._bright_curve.byte(event.brightness_hz)), now_s)
        return self.due(now_s)

    def due(self, now_s: float) -> list[Timed]:
        """What waited for the rate, and what is still to be announced, as far as it may be sent by now."""
        return [*self._announced(now_s), *self._controls.due(now_s)]

    def rest(self) -> list[Timed]:
        """All that still waits, at the end."""
        return self._controls.due(float("inf"))

    def end(self, now_s: float) -> list[Timed]:
        """The notes that sound, ended; for a copy of this voice, which knows of it."""
        ended = [(now_s, midi.note_off(channel, note)) for note, channel in self._channel_of.items()]
        self._channel_of.clear()
        return ended

    def silence(self, now_s: float) -> list[Timed]:
        """Everything on our channels off, controllers and bends at rest."""
        self._channel_of.clear()
        self._controls.forget()
        messages: list[bytes] = self._announcement.leave()
        for channel in self.channels:
            messages += [*midi.silence(channel), *self._controllers_at_rest(channel), *self._bend_at_once(channel, 0.0, now_s)]
        return [(now_s, message) for message in messages]

    # ---- changes -------------------------------------------------------------------------------

    def _put_back(self, way: str) -> list[bytes]:
        """A controller that is used no more, where a patch that listens to it is as without us."""
        used = midi.LOUDNESS.get(way) or midi.BRIGHTNESS.get(way)
        self._controls.forget()
        return [used(channel, midi.UNUSED[way]) for channel in self.channels] if used else []

    def _announce_range(self, now_s: float) -> list[bytes]:
        """The bend range has changed: of the channels that sound at once, and the bend by it; of the others in steps."""
        sounding = set(self._channel_of.values())
        self._announcement.begin(dict.fromkeys(self.channels, self.settings.bend_range), varied=not sounding)
        self._step_due_s = now_s
        said = [message for channel in sounding for message in self._announcement.hurry(channel)]
        self._controls.spend(sum(map(len, said)), now_s)
        self._controls.forget()
        return said + [message for channel in sounding for message in self._bend_at_once(channel, self._bent.get(channel, 0.0), now_s)]

    # ---- one channel ---------------------------------------------------------------------------

    def _controllers_at_rest(self, channel: int) -> list[bytes]:
        used = ((self.settings.loudness_message, self._level_message), (self.settings.brightness_message, self._bright_message))
        return [message(channel, midi.AT_REST[way]) for way, message in used if message and way in midi.AT_REST]

    def _ranges(self) -> dict[int, float]:
        """The bend range to be announced of each channel, in semitones."""
        return dict.fromkeys(self.channels, self.settings.bend_range)

    def _announced(self, now_s: float) -> list[Timed]:
        """The next step, where it is due."""
        if not self._announcement or now_s < self._step_due_s - 1e-9:
            return []
        self._step_due_s = now_s + STEP_S
        sounding = set(self._channel_of.values())
        step = self._announcement.step_beside(sounding) if sounding else self._announcement.step()
        self._controls.spend(sum(map(len, step)), now_s)
        return [(now_s, message) for message in step]

    def _centre(self, now_s: float, channels: Iterable[int]) -> list[Timed]:
        """The bend of these channels put at its centre, whatever is known of it."""
        self._controls.forget()
        return [(now_s, message) for channel in channels for message in self._bend_at_once(channel, 0.0, now_s)]

    def _coming_channel(self) -> int:
        """That the next note will have."""
        return self.settings.channel

    def _take_channel(self, note: int) -> int:
        return self._channel_of.setdefault(note, self.settings.channel)

    def _at_rest(self, channel: int, now_s: float) -> list[bytes]:
        """After the last note-off."""
        return self._bend_at_once(channel, 0.0, now_s)

    # ---- messages ------------------------------------------------------------------------------

    def _bend(self, channel: int, semitones: float) -> bytes:
        self._bent[channel] = semitones
        return midi.pitch_bend(channel, midi.bend_to_14bit(semitones, self.settings.bend_range))

    def _bend_at_once(self, channel: int, semitones: float, now_s: float) -> list[bytes]:
        return self._controls.at_once(("bend", channel), self._bend(channel, semitones), now_s)

    def _with_note(self, messages: list[bytes], now_s: float) -> list[Timed]:
        """A note's messages, which never wait; they too fill the cable."""
        self._controls.spend(3, now_s)
        return [(now_s, message) for message in messages]


class MpeVoice(MidiVoice):
    """Each note on the next member channel of the lower zone."""

    MEMBERS = midi.MPE_MEMBERS

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

    def leave(self, now_s: float) -> list[Timed]:
        """The zone too, for receivers that would go on to take the channels for its members."""
        closed = (message for step in midi.parameter_steps(midi.MPE_MANAGER, "mpe_zone", 0) for message in step)
        return [*super().leave(now_s), *((now_s, message) for message in closed)]

    def _ranges(self) -> dict[int, float]:
        return {midi.MPE_MANAGER: PLAIN_BEND_RANGE, **super()._ranges()}

    def _coming_channel(self) -> int:
        return self.channels[self._next]

    def _take_channel(self, note: int) -> int:
        channel = self._coming_channel()
        self._next = (self._next + 1) % self.MEMBERS
        self._channel_of[note] = channel
        return channel

    def _at_rest(self, channel: int, now_s: float) -> list[bytes]:
        return []


def make_voice(settings: MidiSettings | None) -> MidiVoice:
    return MpeVoice(settings) if settings is not None and settings.mpe else MidiVoice(settings)


class ChangingVoice:
    """A voice that another takes over from, once nothing sounds, where ``change`` asks for other channels."""

    def __init__(self, settings: MidiSettings | None = None) -> None:
        self.now = make_voice(settings)
        self._next: MidiSettings | None = None  # of the voice that waits

    def change(self, settings: MidiSettings, now_s: float) -> list[Timed]:
        """Other settings, as soon as may be."""
        self._next = settings
        if _channels_of(settings) == _channels_of(self.now.settings):
            self._next = None
            return self.now.change(settings, now_s)
        return self.hand_over(now_s)

    def hand_over(self, now_s: float) -> list[Timed]:
        """Where a voice waits and nothing sounds: it takes over, and announces itself."""
        if self._next is None or self.now.sounding:
            return []
        before, self.now, self._next = self.now, make_voice(self._next), None
        return [*before.leave(now_s), *self.now.announce(now_s)]

    def note_on(self, event: NoteOn, now_s: float) -> list[Timed]:
        return [*self.hand_over(now_s), *self.now.note_on(event, now_s)]

    def note_off(self, event: NoteOff, now_s: float) -> list[Timed]:
        return [*self.now.note_off(event, now_s), *self.hand_over(now_s)]

    def bend(self, event: PitchBend, now_s: float) -> list[Timed]:
        return self.now.bend(event, now_s)

    def loudness(self, event: Loudness, now_s: float) -> list[Timed]:
        return self.now.loudness(event, now_s)

    def brightness(self, event: Brightness, now_s: float) -> list[Timed]:
        return self.now.brightness(event, now_s)


def _channels_of(settings: MidiSettings) -> tuple[bool, int]:
    return settings.mpe, 0 if settings.mpe else settings.channel
