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
A note has a centre: the mean of its pitch while it is young, then one that follows with `centre_ms`, so that
a singer may drift without a new note. The voice must be away from the centre, on one side, for `change_ms`,
and its pitch must have settled. It then has left the note for another when one of these holds, r being the
newest pitch, m and c means over `window_ms`, c drawn to the centre while the window is not full:

* r is further from m than a vibrato reaches: a step. An octave or more must last `leap_ms`, since
  trackers err by octaves; bends are withheld meanwhile.
* r was flat for `flat_ms`: a small step. (A 4 Hz vibrato that crosses a note boundary is never so flat.)
* c itself is away from the centre after `flat_ms`: the voice moved on for good.

And a centre that has drifted `drift_semitones` from the note's number takes the number that it has reached.

The new note is dated to the first frame that had arrived at its pitch, not to the glide before it.

How a repeated note is heard
----------------------------
By an unvoiced gap longer than `bridge_ms`, or by a dip of the level: `dip_db` down and up again within
`dip_ms`, while the pitch stays. Consonants that are sung (m, n, l) leave no gap, only the dip.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, log10
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

    on_ms: float = 20.0  # voiced and agreeing for this long before a note starts
    agree_semitones: float = 0.3  # spread within which frames agree when a note starts
    settle_semitones: float = 0.3  # spread within which a pitch that left a note has arrived
    bridge_ms: float = 25.0  # unvoiced gaps up to this long do not end a note
    min_note_ms: float = 60.0  # a note is not replaced by another before this age
    away_semitones: float = 0.5  # distance from the centre of the held note that counts as away from it
    centre_ms: float = 400.0  # time constant with which the centre follows the voice
    drift_semitones: float = 0.9  # a centre this far from the note's number is another note
    arrive_semitones: float = 0.3  # distance from its pitch within which a new note has begun
    change_ms: float = 40.0  # least time away after which a note is left
    reach_semitones: float = 1.3  # distance from the mean pitch that no vibrato explains
    window_ms: float = 240.0  # stretch of the mean pitch, a cycle of slow vibrato
    flat_ms: float = 100.0  # stretch over which a small step must be flat
    flat_semitones: float = 0.2  # spread within which it is flat
    glide_ms: float = 150.0  # a glide that has not settled by then is followed note by note
    leap_semitones: float = 10.5  # leaps from here on may be octave errors
    leap_ms: float = 100.0  # time such a leap must last to be believed
    dip_db: float = 8.0  # fall and rise of the level that strike a held note again ...
    dip_ms: float = 120.0  # ... within this time
    rest_ms: float = 100.0  # and not again, nor on a younger note, before this is over
    velocity_curve: float = 1.0  # exponent on the level's 0..1: above 1 softer, below 1 louder
    bend_step_semitones: float = 0.01  # smallest change of pitch worth an event
    loudness_step_db: float = 1.0  # smallest change of level worth an event

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise InputError(f"notes.{name} is {value}; it must be a number above 0")


_Heard = tuple[float, float, float]  # time_s, pitch, level_db of a voiced frame


@dataclass(slots=True)
class _Sounding:
    """The note that sounds, from its note-on to its note-off."""

    note: int
    centre: float  # of its pitch; follows
    on_s: float
    last_voiced_s: float
    bend: float  # semitones, as last sent
    level_db: float  # as last sent
    frames: int  # that the centre is a mean of, until it follows
    gap_frames: int = 0  # unvoiced frames since the last voiced one


class _LevelDip:
    """Hears a level that falls and rises again: when the rise began, in the time of ``PitchFrame.time_s``.

    The level of a frame is that of the newest hop, at ``available_s``, while its pitch is of ``time_s``; the
    attack is kept until frames that speak of it have come.
    """

    SMOOTH = 3  # hops, against the beating of level and period
    MEMORY_MS = 400.0

    def __init__(self, settings: NoteSettings, hop_s: float) -> None:
        self._dip_db, self._dip_s, self._rest_s = settings.dip_db, settings.dip_ms / 1000, settings.rest_ms / 1000
        self._hop_s = hop_s
        self._powers: deque[float] = deque(maxlen=self.SMOOTH)
        self._levels: deque[tuple[float, float]] = deque(maxlen=max(4, round(self.MEMORY_MS / 1000 / hop_s)))
        self._last_s = -1.0
        self.attack_s: float | None = None

    def feed(self, frame: PitchFrame) -> None:
        self._powers.append(10 ** (frame.level_db / 10))
        now_s = frame.available_s - self._hop_s
        self._levels.append((now_s, 10 * log10(fmean(self._powers) + 1e-12)))
        if now_s - self._last_s >= self._rest_s:
            self._seek_dip(now_s)

    def _seek_dip(self, now_s: float) -> None:
        recent = [x for x in self._levels if x[0] > now_s - self._dip_s]
        low_s, low_db = min(recent, key=lambda x: x[1])
        before = [db for s, db in self._levels if low_s - self._dip_s <= s < low_s]
        risen = self._levels[-1][1] - low_db >= self._dip_db
        if risen and len(before) > self.SMOOTH and max(before) - low_db >= self._dip_db:
            self.attack_s = next(s for s, db in recent if s > low_s and db - low_db >= self._dip_db / 2)
            self._last_s = now_s

    def take(self, until_s: float) -> float | None:
        """The attack that frames up to ``until_s`` speak of, once; None where there is none."""
        if self.attack_s is None or self.attack_s > until_s + 1e-6:
            return None
        attack_s, self.attack_s = self.attack_s, None
        return attack_s


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
        self._recent: deque[_Heard] = deque(maxlen=self._frames(self.settings.dip_ms))
        self._dip = _LevelDip(self.settings, self.hop_s)

    def feed(self, frame: PitchFrame) -> list[NoteEvent]:
        """Take the next frame; the events it caused, in the order to be sent."""
        pitch = _pitch_of(frame)
        self._dip.feed(frame)
        if pitch is not None:
            self._recent.append((frame.time_s, pitch, frame.level_db))
        attack_s = self._dip.take(frame.time_s - (self._on_frames - 1) * self.hop_s)
        if attack_s is not None and (heard := self._struck_again(attack_s, pitch)):
            return self._restrike(frame, attack_s, heard)
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

    def _struck_again(self, attack_s: float, pitch: float | None) -> list[_Heard]:
        """The frames since the attack, where they strike the held note again; else none."""
        held = self._sounding
        if held is None or pitch is None or attack_s - held.on_s < self.settings.rest_ms / 1000:
            return []
        heard = [h for h in self._recent if h[0] >= attack_s - 1e-6]
        steady = len(heard) >= self._on_frames and _spread(heard) < self.settings.reach_semitones
        return heard if steady else []

    def _restrike(self, frame: PitchFrame, attack_s: float, heard: list[_Heard]) -> list[NoteEvent]:
        held = self._sounding
        off = NoteOff(max(held.on_s, attack_s - self.hop_s), frame.available_s, held.note)
        self._restart_window(heard)
        return [off, *self._start(frame, attack_s, heard, heard[-1][1])]

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
        return self._start(frame, heard[0][0], heard, pitch)

    def _start(
        self, frame: PitchFrame, on_s: float, heard: list[_Heard], centre: float
    ) -> list[NoteEvent]:
        """A note around ``centre`` that began at ``on_s``; ``heard`` gives its pitch now and velocity."""
        note = round(centre)
        pitch = median(p for _, p, _ in heard)
        loud = level_to_unit(max(db for _, _, db in heard)) ** self.settings.velocity_curve
        self._sounding = _Sounding(note, centre, on_s, frame.time_s, pitch - note, frame.level_db, len(heard))
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
        if centre is not None:
            return self._change(frame, centre)
        if self._has_drifted(frame):
            return self._rename(frame)
        return self._express(frame, pitch)

    def _follow_away(self, frame: PitchFrame, pitch: float) -> None:
        """Lengthen or end the run of frames that are away from the note on one side; move its centre."""
        held = self._sounding
        away = self._is_away(pitch)
        crossed = self._away and (self._away[-1][1] > held.centre) != (pitch > held.centre)
        if crossed or not away:
            self._away = []
        if away:
            self._away.append((frame.time_s, pitch, frame.level_db))
        if abs(pitch - held.centre) < self.settings.reach_semitones:
            held.frames += 1
            step = max(self.hop_s / (self.settings.centre_ms / 1000), 1 / held.frames)
            held.centre += min(1.0, step) * (pitch - held.centre)

    def _is_away(self, pitch: float) -> bool:
        return abs(pitch - self._sounding.centre) > self.settings.away_semitones

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
        drawn = held.centre + (mean - held.centre) * len(self._window) / self._window.maxlen
        return mean if self._is_away(drawn) else None

    def _arrived(self) -> bool:
        """Whether the run has settled, or has glided for so long that it is followed note by note."""
        settled = _spread(self._away[-self._on_frames :]) <= self.settings.settle_semitones
        return settled or len(self._away) >= self._glide_frames

    def _change(self, frame: PitchFrame, centre: float) -> list[NoteEvent]:
        """Leave the note for the one around ``centre``: it began where the run first came near that pitch."""
        run, held = self._away, self._sounding
        near = (time_s for time_s, pitch, _ in run if abs(pitch - centre) <= self.settings.arrive_semitones)
        off = NoteOff(max(run[0][0], held.on_s), frame.available_s, held.note)
        self._restart_window(run)
        on_s = max(next(near, run[0][0]), held.on_s)
        return [off, *self._start(frame, on_s, run[-self._on_frames :], centre)]

    def _has_drifted(self, frame: PitchFrame) -> bool:
        s, held = self.settings, self._sounding
        old_enough = frame.time_s - held.on_s >= s.flat_ms / 1000
        return old_enough and not self._away and abs(held.centre - held.note) > s.drift_semitones

    def _rename(self, frame: PitchFrame) -> list[NoteEvent]:
        """The same voice, a note whose number is nearer to where it has got."""
        held = self._sounding
        off = NoteOff(frame.time_s, frame.available_s, held.note)
        heard = list(self._recent)[-self._on_frames :]
        events = [off, *self._start(frame, frame.time_s, heard, held.centre)]
        self._sounding.frames = held.frames
        return events

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
