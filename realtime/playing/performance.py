"""What the player makes of the notes: transposition, scale, range, velocity, brightness, and how notes follow each other.

One stage between the note tracker and the outputs, the same live and offline. ``Performer`` wraps a tracker and is
fed as one.

Conventions
-----------
* The sung note is the tracker's; the played note is what goes out. Pitch is in fractional MIDI note numbers, with
  A4 at ``a4_hz`` being 69.
* In this order: tuning, transposition, scale, range, mode. The scale is that of the played notes.
* A note follows on another when the tracker ends the one and begins the other at one frame: no silence lies between,
  though a slow glide may.
* What a held note is drawn to is chosen again when the voice has slid to another note of the scale and stayed nearer to
  it for ``SETTLE_S``, longer than a vibrato does: what is played then follows, as on a new note that was sung.

Modes
-----
mono    each note is struck.
legato  a note that follows on another is slurred: it begins before the other ends. A repeated note is struck.
bend    a note that follows on another within the bend range is a bend of it; ``BEND_SPARE`` of the range is kept for
        vibrato. A repeated note is held. Out of the range, and after silence, notes are struck.
mpe     as mono; the outputs give each note a channel of its own.

While it plays
--------------
``change`` takes other settings. Tuning and transposition count from the next frame on, and what sounds follows as if the voice
had slid there; mode, scale, range and velocity count from the next note on.

Loudness and brightness are those of the newest hop: their ``time_s`` is the beginning of it, later than that of the
pitch that is known by then.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from math import exp, log2
from typing import Protocol, runtime_checkable

from rt_melody.realtime.levels import LearnedRange
from rt_melody.realtime.playing.scale import CHROMATIC, KeyFinder, Scale, pulled
from rt_melody.realtime.settings.notes import NoteSettings
from rt_melody.realtime.settings.performance import A4_HZ, PerformanceSettings
from rt_melody.realtime.types import Brightness, KeyHeard, Loudness, NoteEvent, NoteOff, NoteOn, PitchBend, PitchFrame

LEGATO_OVERLAP_S = 0.01  # by which slurred notes overlap in time
BEND_SPARE = 0.5  # semitones of the bend range kept free on either side, a quarter of it at most
ONSET_MEMORY_S = 0.5  # how far back the level of an onset is looked for
BRIGHTNESS_SMOOTH_S = 0.03  # time constant; louder hops count more, so that what is left when the voice ends is the voice's
NEARER_SEMITONES = 0.5  # by which another note of the scale must be nearer than the one that is drawn to ...
SETTLE_S = 0.15  # ... for so long: the slow vibrato of 4 Hz is away for less
BRIGHTNESS_STEP_OCTAVES = 0.04  # smallest change worth an event: a step or two of CC 74
SLID = -1  # in place of a note number: the note before was no other one, but slid
LEAST_POWER = 1e-13  # below it no brightness is known: -130 dBFS


class Tracker(Protocol):
    """What ``notes.NoteTracker`` is."""

    @property
    def hop_s(self) -> float: ...

    @property
    def lag_ms(self) -> float: ...

    def feed(self, frame: PitchFrame) -> list[NoteEvent]: ...

    def finish(self, available_s: float) -> list[NoteEvent]: ...

    def reset(self) -> None: ...


@runtime_checkable
class Adjustable(Protocol):
    """A tracker whose thresholds may be changed while it tracks."""

    def change(self, settings: NoteSettings) -> None: ...


class _Sound:
    """The newest levels, for the loudness of an onset, and the smoothed brightness."""

    def __init__(self, hop_s: float) -> None:
        self._hop_s = hop_s
        self._keep = exp(-hop_s / BRIGHTNESS_SMOOTH_S)
        self.reset()

    def reset(self) -> None:
        self._levels: deque[tuple[float, float]] = deque(maxlen=max(1, round(ONSET_MEMORY_S / self._hop_s)))
        self._power = self._octave_power = 0.0  # smoothed: the power, and log2 of the brightness in Hz times it

    def feed(self, frame: PitchFrame) -> None:
        level_db, brightness_hz, keep = frame.level_db, frame.brightness_hz, self._keep
        self._levels.append((frame.available_s, level_db))
        if brightness_hz > 0:
            power = 10.0 ** (level_db / 10.0)
            self._power = keep * self._power + power
            self._octave_power = keep * self._octave_power + power * log2(brightness_hz)

    @property
    def brightness_hz(self) -> float | None:
        return None if self._power < LEAST_POWER else 2.0 ** (self._octave_power / self._power)

    @property
    def level_db(self) -> float | None:
        return self._levels[-1][1] if self._levels else None

    def loudest_since(self, time_s: float) -> float | None:
        """The loudest hop that ended after ``time_s``; the newest where none did."""
        if not self._levels:
            return None
        since = [level_db for at_s, level_db in self._levels if at_s > time_s + 1e-9]
        return max(since, default=self._levels[-1][1])


@dataclass(slots=True)
class _Played:
    """The note that sounds: as sung by the tracker's number, as played, and how its pitch is drawn."""

    note: int
    on_s: float
    bend: float  # semitones from ``note``, as last given out
    octaves: float | None  # of the brightness, as last given out
    sung: int = 0
    pitch: float = 0.0  # as sung, on the scale of the played notes
    scale: Scale | None = None  # that it is drawn to ...
    target: float | None = None  # ... of which this note
    nearer_s: float = 0.0  # for how long another note of the scale has been nearer


class Performer:
    """A note tracker whose notes are shaped. ``feed``, ``finish``, ``reset`` and ``lag_ms`` are those of a tracker.

    ``finish`` ends the note and keeps the key and the velocity range that were heard; ``reset`` forgets that too.
    """

    def __init__(self, tracker: Tracker, settings: PerformanceSettings | None = None) -> None:
        self.settings = settings or PerformanceSettings()
        self._tracker = tracker
        self._transpose = self.settings.transpose_semitones
        self._take_now(self.settings)
        self._take_for_notes(self.settings)
        self._finder, self._learned = KeyFinder(), LearnedRange()
        self._sound = _Sound(tracker.hop_s)
        self._played: _Played | None = None
        self._level_db: float | None = None
        self._told_key: Scale | None = None
        self.left_out = 0  # notes outside of the range

    def change(self, settings: PerformanceSettings, notes: NoteSettings | None = None) -> None:
        """Play by other settings: see the module's head. ``notes``: those of the tracker, of which what follows the bend
        range is changed."""
        if notes is not None and isinstance(self._tracker, Adjustable):
            self._tracker.change(notes)
        if settings == self.settings:
            return
        self.settings, self._is_changed = settings, True
        self._take_now(settings)
        if self._played is None:
            self._take_for_notes(settings)

    def _take_now(self, s: PerformanceSettings) -> None:
        """What holds from the next frame on; a sounding note is moved to its transposition by ``_move``."""
        self._retune, self._transpose_to = A4_HZ / s.a4_hz, s.transpose_semitones
        self._reach = s.bend_range_semitones - min(BEND_SPARE, s.bend_range_semitones / 4)

    def _take_for_notes(self, s: PerformanceSettings) -> None:
        """What holds from the next note on."""
        self._is_changed = False
        self._mode, self._transpose = s.mode, s.transpose_semitones
        self._fixed_scale, self._finds_key, self._pull_semitones = s.fixed_scale, s.finds_key, s.pull_semitones
        self._lowest, self._highest, self._velocity, self._learns_velocity = s.lowest, s.highest, s.velocity, s.learns_velocity

    @property
    def lag_ms(self) -> float:
        return self._tracker.lag_ms

    @property
    def hop_s(self) -> float:
        return self._tracker.hop_s

    @property
    def key(self) -> Scale | None:
        """The key that is heard, where it is looked for; else the scale that was given."""
        return self._finder.key if self._finds_key else self._fixed_scale

    def reset(self) -> None:
        """Forget everything, the key and how loud the notes were too."""
        self._tracker.reset()
        self._finder.reset()
        self._learned.reset()
        self._sound.reset()
        self._played, self._told_key, self.left_out = None, None, 0

    def feed(self, frame: PitchFrame) -> list[NoteEvent]:
        """Take the next frame; the events to be played, in the order to be sent."""
        self._sound.feed(frame)
        heard = frame if self._retune == 1.0 else replace(frame, f0_hz=frame.f0_hz * self._retune)
        events = self._shape(self._tracker.feed(heard))
        if self._played is not None:
            self._follow_transposition(self._played, frame, events)
        if self._played is not None:
            self._follow_scale(self._played, frame, events)
        if self._played is not None:  # it may have slid out of the range
            if self._finds_key:
                self._finder.feed(self._played.sung + self._transpose, self.hop_s)
                self._tell_key(frame, events)
            self._follow_brightness(self._played, frame.available_s, events)
        return events

    def _tell_key(self, frame: PitchFrame, events: list[NoteEvent]) -> None:
        key = self._finder.key
        if key is not None and key.tonic is not None and key is not self._told_key:
            self._told_key = key
            events.append(KeyHeard(frame.time_s, frame.available_s, key.tonic, key.name))

    def finish(self, available_s: float) -> list[NoteEvent]:
        events = self._shape(self._tracker.finish(available_s))
        self._sound.reset()
        return events

    # ---- events --------------------------------------------------------------------------------

    def _shape(self, sung: list[NoteEvent]) -> list[NoteEvent]:
        """The played events for those of one frame. A note-off waits for a note-on that follows on it."""
        played: list[NoteEvent] = []
        if not sung and not self._is_changed:  # as of most frames
            self._level_db = self._sound.level_db
            return played
        off: NoteOff | None = None
        told_db = (event.level_db for event in sung if isinstance(event, Loudness))
        self._level_db = next(told_db, self._sound.level_db)  # what a note begins with is what is told next
        for event in sung:
            if isinstance(event, NoteOn):
                self._note_on(event, off, played)
                off = None
            elif isinstance(event, NoteOff):
                off = event
            elif isinstance(event, (PitchBend, Loudness)) and self._played is not None and event.note == self._played.sung:
                self._express(self._played, event, played)
        if off is not None:
            self._end(off, played)
        if self._is_changed and self._played is None:
            self._take_for_notes(self.settings)
        return played

    def _note_on(self, event: NoteOn, off: NoteOff | None, played: list[NoteEvent]) -> None:
        if self._is_changed:
            self._take_for_notes(self.settings)
        shift, scale = self._transpose, self._scale()
        self._aim(event, off, event.note + shift, event.pitch + shift, scale, played)

    def _aim(
        self, event: NoteOn, off: NoteOff | None, sung: int, sung_pitch: float, scale: Scale | None, played: list[NoteEvent]
    ) -> None:
        """Play a note that was sung as ``sung``, its pitch being ``sung_pitch`` (both transposed), on ``scale``."""
        target = None if scale is None else float(scale.nearest(sung + 0.5 * min(0.5, max(-0.5, sung_pitch - sung))))
        note = sung if target is None or target == sung else round(self._drawn(sung, target))
        pitch = self._drawn(sung_pitch, target)
        if not self._lowest <= note <= self._highest:
            self._end(off or NoteOff(event.time_s, event.available_s, event.note), played)
            self.left_out += 1
            return
        now = self._played
        if now is None or off is None:
            self._end(off, played)
            now = self._strike(event, note, pitch, False, played)
        elif self._is_held(now, off, event, note, pitch):
            self._bend_to(now, pitch - now.note, event, played)
        elif self._mode == "legato" and note != now.note:
            before, now = now, self._strike(event, note, pitch, True, played)
            played.append(NoteOff(max(off.time_s, event.time_s + LEGATO_OVERLAP_S), off.available_s, before.note))
        else:
            self._end(off, played)
            now = self._strike(event, note, pitch, False, played)
        now.sung, now.pitch, now.scale, now.target, now.nearer_s = event.note, sung_pitch, scale, target, 0.0

    def _is_held(self, held: _Played, off: NoteOff, on: NoteOn, note: int, pitch: float) -> bool:
        """Whether a note that follows on the held one is no new note to be played."""
        if self._mode == "bend":
            return abs(pitch - held.note) <= self._reach
        return note == held.note and on.note != off.note  # two notes drawn onto one

    def _strike(self, event: NoteOn, note: int, pitch: float, slurred: bool, played: list[NoteEvent]) -> _Played:
        loudest_db, brightness_hz = self._sound.loudest_since(event.time_s), self._sound.brightness_hz
        heard_db = event.level_db if loudest_db is None else loudest_db
        velocity = event.velocity if heard_db is None else self._velocity_of(heard_db)
        octaves = None if brightness_hz is None else log2(brightness_hz)
        self._played = struck = _Played(note, event.time_s, pitch - note, octaves)
        played.append(
            NoteOn(event.time_s, event.available_s, note, velocity, pitch, self._level_db, brightness_hz, slurred)
        )
        if brightness_hz is not None:
            played.append(Brightness(event.time_s, event.available_s, note, brightness_hz))
        return struck

    def _velocity_of(self, level_db: float) -> int:
        self._learned.feed(level_db)
        if self._learns_velocity and (range_db := self._learned.range_db) is not None:
            self._velocity = self._velocity.over(range_db)
        return self._velocity.velocity(level_db)

    def _end(self, off: NoteOff | None, played: list[NoteEvent]) -> None:
        """End the played note, if one sounds, where the sung one ended."""
        if (held := self._played) is not None and off is not None:
            played.append(NoteOff(max(off.time_s, held.on_s), off.available_s, held.note))
            self._played = None

    def _express(self, held: _Played, event: PitchBend | Loudness, played: list[NoteEvent]) -> None:
        if isinstance(event, PitchBend):
            held.pitch = event.note + event.semitones + self._transpose
            self._bend_to(held, self._drawn(held.pitch, held.target) - held.note, event, played)
        else:
            played.append(replace(event, time_s=event.available_s - self.hop_s, note=held.note))

    def _bend_to(self, held: _Played, semitones: float, event: NoteOn | PitchBend, played: list[NoteEvent]) -> None:
        if abs(semitones - held.bend) > 1e-9:
            held.bend = semitones
            played.append(PitchBend(event.time_s, event.available_s, held.note, semitones))

    def _follow_scale(self, held: _Played, frame: PitchFrame, played: list[NoteEvent]) -> None:
        """The voice may have slid from the note that it is drawn to: the tracker bends, and says nothing more."""
        if held.scale is None or held.target is None:
            return
        nearest = held.scale.nearest(held.pitch)
        nearer = abs(held.pitch - held.target) - abs(held.pitch - nearest) >= NEARER_SEMITONES
        held.nearer_s = held.nearer_s + self.hop_s if nearer else 0.0
        if held.nearer_s >= SETTLE_S - 1e-9:
            self._slide(held, round(held.pitch), frame, played)

    def _follow_transposition(self, held: _Played, frame: PitchFrame, played: list[NoteEvent]) -> None:
        """The transposition was changed: what sounds is played there from now on."""
        moved = self._transpose_to - self._transpose
        if moved:
            self._transpose += moved
            held.pitch += moved
            self._slide(held, held.sung + self._transpose, frame, played)

    def _slide(self, held: _Played, sung: int, frame: PitchFrame, played: list[NoteEvent]) -> None:
        """Play the note that sounds anew, as if the voice had slid to ``sung``."""
        at = frame.time_s, frame.available_s
        on = NoteOn(*at, held.sung, 64, held.pitch - self._transpose)
        self._aim(on, NoteOff(*at, SLID), sung, held.pitch, held.scale, played)

    def _follow_brightness(self, held: _Played, available_s: float, played: list[NoteEvent]) -> None:
        brightness_hz = self._sound.brightness_hz
        if brightness_hz is None:
            return
        octaves = log2(brightness_hz)
        if held.octaves is None or abs(octaves - held.octaves) >= BRIGHTNESS_STEP_OCTAVES:
            held.octaves = octaves
            played.append(Brightness(available_s - self.hop_s, available_s, held.note, brightness_hz))

    # ---- pitch ---------------------------------------------------------------------------------

    def _scale(self) -> Scale | None:
        """Until a key is known, every note of the chromatic scale is as good."""
        return self.key or CHROMATIC if self._finds_key else self._fixed_scale

    def _drawn(self, pitch: float, target: float | None) -> float:
        return pitch if target is None else pulled(pitch, target, self._pull_semitones)
