"""From pitch frames to notes: who starts, who is held, who ends. Causal, one note at a time.

Conventions
-----------
* Pitch is in fractional MIDI note numbers, differences in semitones.
* ``available_s`` never decreases from event to event. ``time_s`` is the musical moment: a note starts
  at the first frame that spoke for it, and ends where the voice left it, both known only some frames
  later. Note-ons and note-offs are in the order of their ``time_s``; a bend may have been sent before
  the note-off whose ``time_s`` is earlier, since nobody knew yet.
* An unvoiced frame's f0 is never read. A voiced frame whose f0 is not finite, or lies outside MIDI's
  notes, counts as unvoiced.

How a held note ends
--------------------
The voice must be away from the note, on one side, for `change_ms`, and its pitch must have settled.
It then has left the note for another when one of these holds, r being the newest pitch, m and c means
over `window_ms`, c drawn to the pitch at the onset while the window is not full:

* r is further from m than a vibrato reaches: a step. An octave or more must last `leap_ms`, since
  trackers err by octaves; bends are withheld meanwhile.
* r was flat for `flat_ms`: a small step. (A 4 Hz vibrato that crosses a note boundary is never so flat.)
* c itself is away from the note after `flat_ms`: the note was named after the crest of a vibrato, or
  the voice drifted. For a vibrato of +-100 cents at 4 Hz, c strays 50 cents at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from statistics import fmean, median

from rt_melody.realtime.midi_bytes import level_to_unit
from rt_melody.realtime.types import (
    InputError,
    Loudness,
    NoteEvent,
    NoteOff,
    NoteOn,
    PitchBend,
    PitchFrame,
    hz_to_midi,
)


@dataclass(frozen=True, slots=True)
class NoteSettings:
    """Thresholds of the tracker. Times in ms are rounded to whole hops, one at least."""

    on_ms: float = 30.0  # voiced and agreeing for this long before a note starts
    agree_semitones: float = 1.0  # spread within which frames agree when a note starts
    settle_semitones: float = 0.5  # spread within which a pitch that left a note has arrived
    bridge_ms: float = 45.0  # unvoiced gaps up to this long do not end a note
    min_note_ms: float = 60.0  # a note is not replaced by another before this age
    leave_semitones: float = 0.6  # distance from the held note that counts as away from it
    anchor_semitones: float = 0.35  # and distance from the pitch at its onset (singers out of tune)
    change_ms: float = 40.0  # least time away after which a note is left
    reach_semitones: float = 1.3  # distance from the mean pitch that no vibrato explains
    window_ms: float = 160.0  # stretch of the mean pitch, most of a cycle of vibrato
    flat_ms: float = 70.0  # stretch over which a small step must be flat
    flat_semitones: float = 0.2  # spread within which it is flat
    glide_ms: float = 150.0  # a glide that has not settled by then is followed note by note
    leap_semitones: float = 10.5  # leaps from here on may be octave errors
    leap_ms: float = 100.0  # time such a leap must last to be believed
    velocity_curve: float = 1.0  # exponent on the level's 0..1: above 1 softer, below 1 louder
    bend_step_semitones: float = 0.01  # smallest change of pitch worth an event
    loudness_step_db: float = 1.0  # smallest change of level worth an event

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise InputError(f"notes.{name} is {value}; it must be a number above 0")
        if self.leave_semitones < 0.5:
            raise InputError(
                f"notes.leave_semitones is {self.leave_semitones}; below 0.5 a pitch would leave the "
                "note that it is nearest to: use 0.5 or more"
            )


_Heard = tuple[float, float, float]  # time_s, pitch, level_db of a voiced frame


@dataclass(slots=True)
class _Sounding:
    """The note that sounds, from its note-on to its note-off."""

    note: int
    anchor: float  # centre of the pitch when it began
    on_s: float
    last_voiced_s: float
    bend: float  # semitones, as last sent
    level_db: float  # as last sent
    gap_frames: int = 0  # unvoiced frames since the last voiced one


class NoteTracker:
    """Makes notes of pitch frames that come every ``hop_s`` seconds.

    ``feed`` gives the events that a frame caused, each note-on with exactly one note-off; ``finish``
    closes what sounds; ``reset`` forgets all without a word (call ``finish`` first).
    """

    def __init__(self, settings: NoteSettings | None = None, hop_s: float = 0.01) -> None:
        self.settings = s = settings or NoteSettings()
        self.hop_s = hop_s
        self._on_frames = self._frames(s.on_ms)
        self._bridge_frames = int(s.bridge_ms / 1000 / hop_s + 1e-6)
        self._change_frames = self._frames(s.change_ms)
        self._flat_frames = self._frames(s.flat_ms)
        self._leap_frames = self._frames(s.leap_ms)
        self._glide_frames = self._frames(s.glide_ms)
        self.reset()

    def _frames(self, ms: float) -> int:
        return max(1, round(ms / 1000 / self.hop_s))

    @property
    def lag_ms(self) -> float:
        """What the tracker adds to the latency of a note-on after silence: frames waited for."""
        return (self._on_frames - 1) * self.hop_s * 1000

    def reset(self) -> None:
        self._sounding: _Sounding | None = None
        self._onset: deque[_Heard] = deque(maxlen=self._on_frames)
        self._away: list[_Heard] = []  # the run of frames away from the note
        self._window: deque[float] = deque(maxlen=self._frames(self.settings.window_ms))  # pitches

    def feed(self, frame: PitchFrame) -> list[NoteEvent]:
        """Take the next frame; the events it caused, in the order to be sent."""
        pitch = _pitch_of(frame)
        if self._sounding is None:
            return self._seek(frame, pitch)
        if pitch is None:
            return self._wait(frame)
        return self._hold(frame, pitch)

    def finish(self, available_s: float) -> list[NoteEvent]:
        """Close the note that sounds, at stream time ``available_s``, and start afresh."""
        events: list[NoteEvent] = []
        if (held := self._sounding) is not None:
            end_s = min(held.last_voiced_s + self.hop_s, available_s)
            events.append(NoteOff(max(end_s, held.on_s), available_s, held.note))
        self.reset()
        return events

    def _seek(self, frame: PitchFrame, pitch: float | None) -> list[NoteEvent]:
        """No note sounds: start one when enough frames agree."""
        if pitch is None:
            self._onset.clear()
            return []
        self._onset.append((frame.time_s, pitch, frame.level_db))
        if len(self._onset) < self._on_frames or _spread(self._onset) > self.settings.agree_semitones:
            return []
        heard = list(self._onset)
        self._onset.clear()
        self._restart_window(heard)
        return self._start(frame, heard[0][0], heard, median(self._window))

    def _start(
        self, frame: PitchFrame, on_s: float, heard: list[_Heard], centre: float
    ) -> list[NoteEvent]:
        """A note around ``centre`` that began at ``on_s``; ``heard`` gives its pitch now and velocity."""
        note = round(centre)
        pitch = median(p for _, p, _ in heard)
        loud = level_to_unit(max(db for _, _, db in heard)) ** self.settings.velocity_curve
        self._sounding = _Sounding(note, centre, on_s, frame.time_s, pitch - note, frame.level_db)
        self._away = []
        return [
            NoteOn(on_s, frame.available_s, note, 1 + round(126 * loud), pitch),
            Loudness(frame.time_s, frame.available_s, note, frame.level_db),
        ]

    def _wait(self, frame: PitchFrame) -> list[NoteEvent]:
        """The voice pauses: bridge the gap or end the note where the voice ended."""
        self._away = []
        self._sounding.gap_frames += 1
        if self._sounding.gap_frames <= self._bridge_frames:
            return []
        return self.finish(frame.available_s)

    def _hold(self, frame: PitchFrame, pitch: float) -> list[NoteEvent]:
        """A voiced frame while a note sounds: stay on it, or leave it for another."""
        held = self._sounding
        held.gap_frames = 0
        held.last_voiced_s = frame.time_s
        self._follow_away(frame, pitch)
        if abs(pitch - held.note) < self.settings.leap_semitones:
            self._window.append(pitch)
        centre = self._new_centre(frame)
        return self._express(frame, pitch) if centre is None else self._change(frame, centre)

    def _follow_away(self, frame: PitchFrame, pitch: float) -> None:
        """Lengthen or end the run of frames that are away from the note on one side."""
        held = self._sounding
        away = self._is_away(pitch)
        crossed = self._away and (self._away[-1][1] > held.note) != (pitch > held.note)
        if crossed or not away:
            self._away = []
        if away:
            self._away.append((frame.time_s, pitch, frame.level_db))

    def _is_away(self, pitch: float) -> bool:
        """Away from the note, and from where the singer placed it."""
        s, held = self.settings, self._sounding
        return (
            abs(pitch - held.note) > s.leave_semitones
            and abs(pitch - held.anchor) > s.anchor_semitones
        )

    def _new_centre(self, frame: PitchFrame) -> float | None:
        """The pitch that the voice has left the note for, or None while it has not."""
        s, run, held = self.settings, self._away, self._sounding
        old_enough = frame.time_s + self.hop_s - held.on_s >= s.min_note_ms / 1000
        if len(run) < self._change_frames or not old_enough or not self._arrived():
            return None
        newest = median(p for _, p, _ in run[-self._on_frames :])
        if abs(newest - held.note) >= s.leap_semitones:
            return newest if len(run) >= self._leap_frames else None
        mean = fmean(self._window)
        if abs(newest - mean) > s.reach_semitones:
            return newest
        if len(run) < self._flat_frames:
            return None
        if _spread(run[-self._flat_frames :]) <= s.flat_semitones:
            return newest
        drawn = held.anchor + (mean - held.anchor) * len(self._window) / self._window.maxlen
        return mean if self._is_away(drawn) else None

    def _arrived(self) -> bool:
        """Whether the run has settled, or has glided for so long that it is followed note by note."""
        settled = _spread(self._away[-self._on_frames :]) <= self.settings.settle_semitones
        return settled or len(self._away) >= self._glide_frames

    def _change(self, frame: PitchFrame, centre: float) -> list[NoteEvent]:
        """Leave the note for the one around ``centre``, as from the start of the run."""
        run, held = self._away, self._sounding
        off = NoteOff(max(run[0][0], held.on_s), frame.available_s, held.note)
        self._restart_window(run)
        return [off, *self._start(frame, off.time_s, run[-self._on_frames :], centre)]

    def _restart_window(self, heard: Iterable[_Heard]) -> None:
        """What was sung before these frames says nothing of the new note's mean."""
        self._window.clear()
        self._window.extend(pitch for _, pitch, _ in heard)

    def _express(self, frame: PitchFrame, pitch: float) -> list[NoteEvent]:
        """Bend and loudness where they changed enough to be heard."""
        s, held = self.settings, self._sounding
        events: list[NoteEvent] = []
        bend = pitch - held.note
        if abs(bend) < s.leap_semitones and abs(bend - held.bend) >= s.bend_step_semitones:
            held.bend = bend
            events.append(PitchBend(frame.time_s, frame.available_s, held.note, bend))
        if abs(frame.level_db - held.level_db) >= s.loudness_step_db:
            held.level_db = frame.level_db
            events.append(Loudness(frame.time_s, frame.available_s, held.note, frame.level_db))
        return events


def _pitch_of(frame: PitchFrame) -> float | None:
    """The frame's pitch, or None where nobody sings one that MIDI can name."""
    if not (frame.voiced and isfinite(frame.f0_hz) and frame.f0_hz > 0):
        return None
    pitch = hz_to_midi(frame.f0_hz)
    return pitch if -0.5 < pitch < 127.5 else None


def _spread(heard: Iterable[_Heard]) -> float:
    """Largest minus smallest pitch, in semitones."""
    pitches = [pitch for _, pitch, _ in heard]
    return max(pitches) - min(pitches)
