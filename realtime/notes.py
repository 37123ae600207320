"""From pitch frames to notes: who starts, who is held, who ends. Causal, one note at a time.

Conventions
-----------
* Pitch is in fractional MIDI note numbers, differences in semitones.
* ``available_s`` never decreases from event to event. ``time_s`` is the musical moment: a note starts where
  the voice is at its pitch and nearly at its level, and ends where the voice left it, both known only some
  frames later. Note-ons and note-offs are in the order of their ``time_s``; a bend may have been sent before
  the note-off whose ``time_s`` is earlier, since nobody knew yet.
* A frame's level speaks of its ``available_s``, its pitch of ``time_s``: levels are known ahead of pitches.
* A voiced frame whose f0 is not finite, or lies outside MIDI's notes, counts as unvoiced.

How a note starts
-----------------
From silence when frames are voiced for `on_ms`, agree in pitch and are sure; a scoop or a fall towards the note
does not agree, and is waited out for `scoop_ms`. After a pause they must be surer (`first_confidence`), last
(`first_ms`) or come with a rise of the level (`rise_db`), as a voice does: where nobody sings, an instrument is taken
for one now and then, but seldom surely, and within a sound that goes on. It seldom stays sure, either: where what was
sung since the pause was less sure than `trust_confidence` in the mean, the next note from silence must be surer, too
(`untrusted_confidence`). A leap of an octave from the note before must be surer (`leap_confidence`) or last `leap_ms`.
The note is dated to its first frame within `arrive_semitones` of its pitch and `attack_db` of the loudest yet: later
than the first voiced frame where it begins with a glide or a murmur. Where the voice is not `clear_of_room_db` above
the room, the level is the room's and dates nothing.

How a held note ends
--------------------
By silence longer than `bridge_ms`. What holds a note need not be enough to start one: an unvoiced frame whose best
guess stays at the note's pitch holds it while voicing is above `hold_voicing` and the level stays.

By another pitch. A note has a centre: the mean of its pitch in its first `centre_ms`, then one that follows at that pace
while the voice is not away from it, so that a singer may drift without a new note and a narrow step does not draw it
along. The voice must be away from the centre, on one side, for `change_ms`, or for `step_ms` where frames are sure of
where it is now, and its pitch must have settled. It then has left the note for another when one of these holds, r
being the newest pitch, m and c means over `window_ms`, c drawn to the centre while the window is not full:

* r is further from m than a vibrato reaches: a step. An octave or more must last `leap_ms`, since
  trackers err by octaves; bends are withheld meanwhile.
* r was flat for `flat_ms`: a small step. (A 4 Hz vibrato that crosses a note boundary is never so flat.)
* c itself is away from the centre after `flat_ms`: the voice moved on for good.

Where the newest frames are less sure than `change_confidence` the note ends, and the other must start as from silence.

A slide that is too slow to be a step is followed likewise, by its newest pitch, and where it ends the number is right.

A note left before it was `young_ms` old, for a pitch nearer than `scoop_semitones`, was on its way there: the note
stays and is bent. A centre that has drifted `drift_semitones` from the note's number, which is as far as most
synthesisers bend, takes the number that it has reached. A new note is dated as one from silence is.

How a repeated note is heard
----------------------------
By a gap, or by a dip while the pitch stays: `dip_db` down and up again within `dip_ms`, not in the level but in
the level of the sound's first difference (level times brightness), where consonants that are sung (m, n, l) show
although they may be as loud as a vowel. A breath or a hiss at a note's end is bright too, hence `fade_db`. Where the voice is
not `clear_of_room_db` above the room, a dip may be a drum's: there a frame must have been in doubt of the pitch, too
(`doubt_confidence`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil, exp, inf, isfinite, log10
from statistics import fmean, median
from typing import NamedTuple

from rt_melody.realtime.playing.expression import velocity_curve
from rt_melody.realtime.types import InputError, Loudness, NoteEvent, NoteOff, NoteOn, PitchBend, PitchFrame, hz_to_midi


VELOCITY = velocity_curve()  # of a tracker alone; a Performer has the player's own
LEVEL_REACH_DB = 200.0  # levels beyond it are taken for it
SLIDE_PART = 0.9  # of its spread, at least, is what a slide moved on
LEVEL_LEAD_MS = 100.0  # by which levels may be ahead of pitches: the longest look-ahead


@dataclass(frozen=True, slots=True)
class NoteSettings:
    """Thresholds of the tracker. Times in ms are rounded up to whole hops.

    Defaults are chosen on the takes of SSVD for tuning, on synthetic singing, and on karaoke without its singer
    and with validation singers; see benchmarks/note_parts.py and experiments 14 to 29 of benchmarks/results.
    """

    on_ms: float = 15.0  # voiced and agreeing for this long before a note starts
    on_confidence: float = 0.6  # with at least this confidence on average ...
    first_confidence: float = 0.92  # ... or this, for the first note after `pause_ms` without one ...
    pause_ms: float = 1000.0
    first_ms: float = 800.0  # ... unless it has been voiced for so long ...
    rise_db: float = 8.0  # ... or the level has risen by so much ...
    rise_ms: float = 80.0  # ... over so long
    trust_confidence: float = 0.75  # ... where what was sung since such a pause was less sure than this in the mean, ...
    trust_ms: float = 500.0  # (whose time constant this is, of singing alone)
    untrusted_confidence: float = 0.85  # ... the next note from silence must be as sure as this, but for the same exceptions
    agree_semitones: float = 0.12  # spread within which frames agree when a note starts
    scoop_ms: float = 60.0  # voiced for so long, settling is enough
    settle_semitones: float = 0.15  # spread within which a pitch that left a note, or glides, has arrived
    arrive_semitones: float = 0.3  # distance from its pitch within which a new note has begun
    back_voicing: float = 0.4  # unvoiced frames before the first voiced one that guess its pitch belong to it if surer ...
    back_ms: float = 130.0  # ... up to so long before
    attack_db: float = 4.0  # level below the loudest yet within which a new note has begun
    hold_voicing: float = 0.35  # voicing above which an unvoiced frame at the note's pitch still holds it ...
    hold_db: float = 6.0  # ... while the level has not fallen by so much
    bridge_ms: float = 25.0  # unvoiced gaps up to this long do not end a note
    min_note_ms: float = 60.0  # a note is not replaced by another before this age
    young_ms: float = 150.0  # a note that is left before this age ...
    scoop_semitones: float = 1.4  # ... for one nearer than this was on its way there: no new note
    away_semitones: float = 0.6  # distance from the centre of the held note that counts as away from it
    centre_ms: float = 400.0  # time constant with which the centre follows the voice, once it is no longer the mean
    drift_semitones: float = 1.9  # a centre this far from the note's number is another note
    change_ms: float = 80.0  # least time away after which a note is left
    step_ms: float = 40.0  # ... or after so long, where the newest frames have ...
    step_confidence: float = 0.8  # ... at least this confidence
    change_confidence: float = 0.5  # of the newest frames on average, without which a note is left for none
    reach_semitones: float = 1.3  # distance from the mean pitch that no vibrato explains
    window_ms: float = 320.0  # stretch of the mean pitch, a cycle of slow vibrato
    flat_ms: float = 100.0  # stretch over which a small step must be flat
    flat_semitones: float = 0.15  # spread within which it is flat
    glide_ms: float = 200.0  # a glide that has not settled by then is followed note by note
    leap_semitones: float = 10.5  # leaps from here on may be octave errors
    leap_confidence: float = 0.8  # of the frames that start a note so far from the last, without which ...
    leap_ms: float = 100.0  # ... such a leap must last for so long to be believed
    dip_db: float = 8.0  # fall and rise of level times brightness that strike a held note again ...
    dip_ms: float = 120.0  # ... within this time ...
    fade_db: float = 6.0  # ... unless the level has fallen by so much
    clear_of_room_db: float = 7.0  # level over that of the room, from which on a dip is the voice's; nearer to it ...
    room_ms: float = 1000.0  # (time constant with which the level of the room follows, while nobody sings)
    doubt_confidence: float = 0.75  # ... a frame must have been less sure than this
    rest_ms: float = 130.0  # and not again, nor on a younger note, before this is over
    bend_step_semitones: float = 0.01  # smallest change of pitch worth an event
    loudness_step_db: float = 1.0  # smallest change of level worth an event

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise InputError(f"notes.{name} is {value}; it must be a number above 0")


class _Heard(NamedTuple):
    """What one frame told."""

    time_s: float  # of the pitch
    pitch: float | None  # None where nobody sings
    level_s: float  # of the level: the newest hop's, ahead of the pitch
    level_db: float
    clear_db: float  # of the first difference: level times brightness, smoothed
    confidence: float
    guess: float | None  # the best guess of the pitch, sung or not
    voicing: float


@dataclass(slots=True)
class _Sounding:
    """The note that sounds, from its note-on to its note-off."""

    note: int
    centre: float  # of its pitch; follows
    on_s: float
    since_s: float  # the first frame that speaks of this note alone
    last_voiced_s: float
    bend: float  # semitones, as last sent
    level_db: float  # as last sent
    frames: int  # that the centre is a mean of, until it follows
    gap_frames: int = 0  # unvoiced frames since the last voiced one
    slid: bool = False  # it began amid a slide, and is no scoop to where that ends


class _History:
    """What the last ``frames`` told, oldest first."""

    SMOOTH_MS = 30.0  # against the beating of level and period
    BRIGHT_HZ = 1000.0  # brightness that leaves a level as it is

    def __init__(self, hop_s: float, frames: int) -> None:
        self.hop_s = hop_s
        self._memory = frames
        self.heard: list[_Heard] = []
        self._powers: deque[float] = deque(maxlen=max(1, round(self.SMOOTH_MS / 1000 / hop_s)))

    def add(self, frame: PitchFrame, pitch: float | None) -> None:
        bright = frame.brightness_hz / self.BRIGHT_HZ if frame.brightness_hz > 0 else 1.0
        self._powers.append(_power(frame.level_db) * bright * bright)
        clear_db = _db(sum(self._powers) / len(self._powers))
        level_s = frame.available_s - self.hop_s
        self.heard.append(_Heard(frame.time_s, pitch, level_s, frame.level_db, clear_db, frame.confidence, _pitch_of(frame), frame.voicing))
        if len(self.heard) > self._memory:
            del self.heard[0]

    def last(self, count: int) -> list[_Heard]:
        """The newest ``count`` frames; fewer where there are not so many."""
        return self.heard[-count:] if count else []

    def sung_since(self, time_s: float) -> list[_Heard]:
        """The voiced frames whose pitch is of ``time_s`` or later."""
        return [h for h in self.heard if h.pitch is not None and h.time_s >= time_s - 1e-6]

    def levels(self, from_s: float, until_s: float = inf) -> list[_Heard]:
        """The frames whose level is of one time to another."""
        return [h for h in self.heard if from_s - 1e-6 <= h.level_s <= until_s + 1e-6]


class NoteTracker:
    """Makes notes of pitch frames that come every ``hop_s`` seconds.

    ``feed`` gives the events that a frame caused, each note-on with exactly one note-off; ``finish``
    closes what sounds where the stream breaks off; ``reset`` forgets all without a word (call ``finish`` first).
    """

    def __init__(self, settings: NoteSettings | None = None, hop_s: float = 0.01) -> None:
        self.settings = s = settings or NoteSettings()
        self.hop_s = hop_s
        self._on_frames = self._frames(s.on_ms)
        self._bridge_frames = int(s.bridge_ms / 1000 / hop_s + 1e-6)
        self._change_frames = self._frames(s.change_ms)
        self._step_frames = self._frames(s.step_ms)
        self._flat_frames = self._frames(s.flat_ms)
        self._leap_frames = self._frames(s.leap_ms)
        self._glide_frames = self._frames(s.glide_ms)
        self._rise_frames = self._frames(s.rise_ms)
        self._first_frames = self._frames(s.first_ms)
        self._scoop_frames = self._frames(s.scoop_ms)
        self._window_frames = self._frames(s.window_ms)
        self._centre_frames = self._frames(s.centre_ms)
        self._dip_frames = self._frames(s.dip_ms)
        self._longest_run = max(
            self._on_frames, self._window_frames, self._flat_frames, self._change_frames, self._step_frames,
            self._leap_frames, self._glide_frames,
        )
        reach_ms = max(s.first_ms + s.back_ms, s.rise_ms, 2 * s.dip_ms, 1000 * self._longest_run * hop_s)
        self._trust_step = 1.0 - exp(-1000 * hop_s / s.trust_ms)
        self._memory = self._frames(reach_ms + LEVEL_LEAD_MS)  # as far back as any rule looks
        self.reset()

    def _frames(self, ms: float) -> int:
        return max(1, ceil(ms / 1000 / self.hop_s - 1e-6))

    @property
    def lag_ms(self) -> float:
        """What the tracker adds to the latency of a note-on after silence: frames waited for."""
        return (self._on_frames - 1) * self.hop_s * 1000

    def reset(self) -> None:
        """Forget everything, as at the beginning of a stream."""
        self._last_pitch: float | None = None  # of the note before
        self._last_sung_s = -inf  # when it ended
        self._room, self._room_frames = 0.0, 0  # mean power while nobody sings, of how many frames
        self._trust, self._trust_weight = 0.0, 0.0  # mean confidence of what was sung since a pause, times its weight
        self._forget_frames()

    def _forget_frames(self) -> None:
        self._past = _History(self.hop_s, self._memory)
        self._sounding: _Sounding | None = None
        self._run = 0  # newest frames in a row: voiced while no note sounds, else away from the note on one side
        self._attack_s: float | None = None  # of a dip's end that frames have yet to reach
        self._last_dip_s = -inf

    def feed(self, frame: PitchFrame) -> list[NoteEvent]:
        """Take the next frame; the events it caused, in the order to be sent."""
        if not self._past.heard and frame.time_s < self._last_sung_s:  # another stream
            self.reset()
        if not -LEVEL_REACH_DB <= frame.level_db <= LEVEL_REACH_DB:  # of no sound; NaN among them
            frame = replace(frame, level_db=LEVEL_REACH_DB if frame.level_db > 0 else -LEVEL_REACH_DB)
        pitch = self._sung_pitch(frame)
        self._past.add(frame, pitch)
        self._hear_dip()
        if self._sounding is None:
            self._hear_room(pitch)
            return self._seek(frame, pitch)
        if pitch is None:
            return self._wait(frame)
        if heard := self._struck_again():
            return self._restrike(frame, heard)
        return self._hold(frame, pitch)

    def _sung_pitch(self, frame: PitchFrame) -> float | None:
        """The pitch of a frame that is voiced, or that holds the note although it is not; else None."""
        if not frame.voiced and (self._sounding is None or frame.voicing < self.settings.hold_voicing):
            return None
        pitch = _pitch_of(frame)
        return pitch if frame.voiced or pitch is None or self._holds(pitch, frame.time_s) else None

    def _holds(self, pitch: float, time_s: float) -> bool:
        """Whether an unvoiced frame goes on as the note did: near its last pitch, the level not fallen."""
        s = self.settings
        last = next((h.pitch for h in reversed(self._past.last(self._bridge_frames + 1)) if h.pitch is not None), None)
        if last is None or abs(pitch - last) > s.away_semitones:
            return False
        levels = [h.clear_db for h in self._past.levels(time_s - s.dip_ms / 1000, time_s)]
        return not levels or levels[-1] > max(levels) - s.hold_db

    def finish(self, available_s: float) -> list[NoteEvent]:
        """Close the note that sounds: at stream time ``available_s`` the stream ends or breaks off. If it goes on, the
        room and the note before are those that they were."""
        events = self._end(available_s) if self._sounding else []
        self._forget_frames()
        return events

    def _end(self, available_s: float) -> list[NoteEvent]:
        self._run = 0
        return self._close(self._sounding.last_voiced_s, available_s)

    def _close(self, sung_until_s: float, available_s: float) -> list[NoteEvent]:
        held, self._sounding = self._sounding, None
        self._last_pitch, self._last_sung_s = held.centre, sung_until_s
        end_s = min(sung_until_s + self.hop_s, available_s)
        return [NoteOff(max(end_s, held.on_s), available_s, held.note)]

    # ---- from silence

    def _seek(self, frame: PitchFrame, pitch: float | None) -> list[NoteEvent]:
        """No note sounds: start one when enough frames agree."""
        self._run = 0 if pitch is None else self._run + 1
        if self._run < self._on_frames:
            return []
        run = self._past.last(self._run)
        near = run[-self._on_frames :]
        reach = self.settings.agree_semitones if self._run < self._scoop_frames else self.settings.settle_semitones
        if _spread(near) > reach or not self._believed(near):
            return []
        if self._has_paused(near):
            self._trust = self._trust_weight = 0.0
        pitch = near[-1].pitch
        begun_s = self._begun(self._doubtful(run, pitch) + run, pitch)
        return self._start(frame, max(begun_s, self._last_sung_s + self.hop_s), run[0].time_s, near, pitch)

    def _doubtful(self, run: list[_Heard], pitch: float) -> list[_Heard]:
        """The frames right before ``run`` that guessed its pitch and were not sure enough that somebody sang: now that
        somebody does, they tell when it began."""
        s, heard = self.settings, self._past.heard
        first = begin = len(heard) - len(run)
        earliest_s = max(run[0].time_s - s.back_ms / 1000, self._last_sung_s + self.hop_s / 2)
        while begin and heard[begin - 1].time_s > earliest_s and _guesses(heard[begin - 1], pitch, s):
            begin -= 1
        return [h._replace(pitch=h.guess) for h in heard[begin:first]]

    def _believed(self, near: list[_Heard]) -> bool:
        """Whether frames are sure enough to start a note: surer, or for longer, for a leap from the note before, and
        where the level does not rise for the first one after a pause and those that follow on doubtful ones."""
        s, needed = self.settings, self.settings.on_confidence
        paused = self._has_paused(near)
        leaps = not paused and abs(near[-1].pitch - self._last_pitch) >= s.leap_semitones
        if (paused or not self._is_trusted()) and self._run < self._first_frames and not self._has_risen():
            needed = max(needed, s.first_confidence if paused else s.untrusted_confidence)
        if leaps and self._run < self._leap_frames:
            needed = max(needed, s.leap_confidence)
        return fmean(h.confidence for h in near) >= needed

    def _has_paused(self, near: list[_Heard]) -> bool:
        return near[0].time_s - self._last_sung_s > self.settings.pause_ms / 1000

    def _hear_trust(self, confidence: float) -> None:
        """A voiced frame of a note was so sure."""
        self._trust += self._trust_step * (confidence - self._trust)
        self._trust_weight += self._trust_step * (1.0 - self._trust_weight)

    def _is_trusted(self) -> bool:
        """Whether what was sung lately was sure: an instrument that is taken for a voice for a while seldom is."""
        return self._trust >= self.settings.trust_confidence * self._trust_weight

    def _has_risen(self) -> bool:
        """Whether the level rose lately, as it does when somebody begins to sing."""
        levels = [h.level_db for h in self._past.last(self._rise_frames + 1)]
        return levels[-1] - levels[0] >= self.settings.rise_db

    def _begun(self, run: list[_Heard], centre: float) -> float:
        """When a note around ``centre`` began: at the first frame of the run near it in pitch and in level."""
        s, from_s = self.settings, -inf
        if self._is_clear(run[0].time_s):
            levels = self._past.levels(run[0].time_s)
            enough_db = max(h.clear_db for h in levels) - s.attack_db if levels else -inf
            loud = next((h for h in levels if h.clear_db >= enough_db), None)
            from_s = -inf if loud is None or loud is levels[0] else loud.level_s - self.hop_s / 2
        near = (h.time_s for h in run if h.time_s >= from_s and abs(h.pitch - centre) <= s.arrive_semitones)
        return next(near, run[-1].time_s)

    def _start(
        self, frame: PitchFrame, on_s: float, since_s: float, heard: list[_Heard], centre: float
    ) -> list[NoteEvent]:
        """A note around ``centre`` that began at ``on_s``; ``heard`` gives its pitch now and velocity."""
        note = round(centre)
        pitch = median(h.pitch for h in heard)
        velocity = VELOCITY.velocity(max(h.level_db for h in heard))
        self._sounding = _Sounding(note, centre, on_s, since_s, frame.time_s, pitch - note, frame.level_db, len(heard))
        self._run = 0
        return [
            NoteOn(on_s, frame.available_s, note, velocity, pitch),
            Loudness(frame.time_s, frame.available_s, note, frame.level_db),
        ]

    # ---- the same pitch again

    def _hear_dip(self) -> None:
        """Note when a dip of the level began to rise, for the frames that will speak of that moment."""
        s, heard = self.settings, self._past.heard
        recent = heard[-self._dip_frames :]
        low = min(recent, key=lambda h: h.clear_db)
        newest = heard[-1]
        if newest.clear_db - low.clear_db < s.dip_db or newest.level_s - self._last_dip_s < s.rest_ms / 1000:
            return
        at = len(heard) - len(recent) + recent.index(low)
        before = heard[max(0, at - self._dip_frames) : at]
        if len(before) * self.hop_s <= _History.SMOOTH_MS / 1000 or max(h.clear_db for h in before) - low.clear_db < s.dip_db:
            return
        if max(h.level_db for h in recent[-3:]) > max(h.level_db for h in before) - s.fade_db:
            self._attack_s = next(h.level_s for h in heard[at:] if h.clear_db - low.clear_db >= s.dip_db / 2)
            self._last_dip_s = newest.level_s

    def _struck_again(self) -> list[_Heard]:
        """The frames since the attack, once they strike the held note again; else none."""
        enough_s = self._past.heard[-1].time_s - (self._on_frames - 1) * self.hop_s
        if self._attack_s is None or self._attack_s > enough_s + 1e-6:
            return []
        attack_s, self._attack_s = self._attack_s, None
        if attack_s - self._sounding.on_s < self.settings.rest_ms / 1000:
            return []
        heard = self._past.sung_since(attack_s)
        steady = len(heard) >= self._on_frames and _spread(heard) < self.settings.reach_semitones
        return heard if steady and self._is_the_voices(attack_s) else []

    def _hear_room(self, pitch: float | None) -> None:
        """Follow the level of what sounds while nobody sings, at the moments of which pitches are known."""
        newest = self._past.heard[-1]
        behind = round((newest.level_s - newest.time_s) / self.hop_s)
        if pitch is None and 0 <= behind < len(self._past.heard):
            self._room_frames += 1
            step = max(1 / self._room_frames, self.hop_s / (self.settings.room_ms / 1000))
            self._room += step * (_power(self._past.heard[-1 - behind].level_db) - self._room)

    def _is_the_voices(self, attack_s: float) -> bool:
        """Whether the dip before ``attack_s`` is the voice's: it is well above the room, or its pitch was in doubt."""
        s = self.settings
        around = [h for h in self._past.heard if h.time_s >= attack_s - s.dip_ms / 1000]
        return self._is_clear(self._sounding.on_s) or min(h.confidence for h in around) < s.doubt_confidence

    def _is_clear(self, from_s: float) -> bool:
        """Whether the level since ``from_s`` is so far above that of the room that it is the voice's."""
        powers = [_power(h.level_db) for h in self._past.levels(from_s)]
        return _db(fmean(powers) if powers else 0.0) - _db(self._room) >= self.settings.clear_of_room_db

    def _restrike(self, frame: PitchFrame, heard: list[_Heard]) -> list[NoteEvent]:
        held, on_s = self._sounding, heard[0].time_s
        off = NoteOff(max(held.on_s, on_s - self.hop_s), frame.available_s, held.note)
        return [off, *self._start(frame, on_s, on_s, heard, heard[-1].pitch)]

    # ---- while it sounds

    def _wait(self, frame: PitchFrame) -> list[NoteEvent]:
        """The voice pauses: bridge the gap or end the note where the voice ended."""
        self._run = 0
        self._sounding.gap_frames += 1
        return self._end(frame.available_s) if self._sounding.gap_frames > self._bridge_frames else []

    def _hold(self, frame: PitchFrame, pitch: float) -> list[NoteEvent]:
        """A voiced frame while a note sounds: stay on it, or leave it for another."""
        held = self._sounding
        held.gap_frames = 0
        held.last_voiced_s = frame.time_s
        if frame.voiced:
            self._hear_trust(frame.confidence)
        self._follow(pitch)
        run = self._past.last(self._run)
        centre = self._new_centre(frame, run)
        if centre is not None and not self._is_scoop(run, centre):
            sure = fmean(h.confidence for h in run[-self._on_frames :]) >= self.settings.change_confidence
            return self._change(frame, run, centre) if sure else self._lose(frame, run)
        if centre is not None:
            self._move(run, centre)
        drifted_to = self._drifted_to(frame, pitch)
        if drifted_to is not None:
            return self._rename(frame, drifted_to)
        return self._express(frame, pitch)

    def _follow(self, pitch: float) -> None:
        """Lengthen or end the run of frames that are away from the note on one side; move its centre."""
        held = self._sounding
        crossed = self._run and (self._past.heard[-2].pitch > held.centre) != (pitch > held.centre)
        away = self._is_away(pitch)
        self._run = 0 if not away else 1 if crossed else min(self._run + 1, self._longest_run)
        if abs(pitch - held.centre) < self.settings.reach_semitones:
            held.frames += 1
            if held.frames <= self._centre_frames:
                held.centre += (pitch - held.centre) / held.frames
            elif not away:
                held.centre += (pitch - held.centre) / self._centre_frames

    def _move(self, run: list[_Heard], centre: float) -> None:
        """The note was on its way and has arrived at ``centre``; what was sung before says nothing of its mean."""
        held = self._sounding
        held.centre, held.frames, held.since_s = centre, self._on_frames, run[-1].time_s
        self._run = 0

    def _is_away(self, pitch: float) -> bool:
        return abs(pitch - self._sounding.centre) > self.settings.away_semitones

    def _new_centre(self, frame: PitchFrame, run: list[_Heard]) -> float | None:
        """The pitch that the voice has left the note for, or None while it has not."""
        s, held = self.settings, self._sounding
        old_enough = frame.time_s + self.hop_s - held.on_s >= s.min_note_ms / 1000
        if not old_enough or not self._has_left(run) or not self._arrived(run):
            return None
        newest = median(h.pitch for h in run[-self._on_frames :])
        if abs(newest - held.note) >= s.leap_semitones:
            return newest if len(run) >= self._leap_frames else None
        mean, frames = self._mean()
        if abs(newest - mean) > s.reach_semitones:
            return newest
        if len(run) < self._flat_frames:
            return None
        if _spread(run[-self._flat_frames :]) <= s.flat_semitones:
            return newest
        drawn = held.centre + (mean - held.centre) * frames / self._window_frames
        return mean if self._is_away(drawn) else None

    def _has_left(self, run: list[_Heard]) -> bool:
        """Whether the voice has been away long enough: less where the newest frames are sure."""
        if len(run) < self._step_frames:
            return False
        sure = min(h.confidence for h in run[-self._on_frames :]) >= self.settings.step_confidence
        return sure or len(run) >= self._change_frames

    def _mean(self) -> tuple[float, int]:
        """Mean pitch of the note over its last `window_ms`, leaps apart, and of how many frames."""
        held, window = self._sounding, self._past.last(self._window_frames)
        sung = (h.pitch for h in window if h.pitch is not None and h.time_s >= held.since_s - 1e-6)
        pitches = [p for p in sung if abs(p - held.note) < self.settings.leap_semitones]
        return (fmean(pitches) if pitches else held.centre), len(pitches)

    def _arrived(self, run: list[_Heard]) -> bool:
        """Whether the run has settled, or has glided for so long that it is followed note by note."""
        return _spread(run[-self._on_frames :]) <= self.settings.settle_semitones or len(run) >= self._glide_frames

    def _is_scoop(self, run: list[_Heard], centre: float) -> bool:
        """Whether the note had only begun and came from nearby: it then was on its way to its pitch."""
        s, held = self.settings, self._sounding
        young = run[0].time_s - held.on_s < s.young_ms / 1000
        return young and not held.slid and abs(centre - held.note) < s.scoop_semitones

    def _change(self, frame: PitchFrame, run: list[_Heard], centre: float) -> list[NoteEvent]:
        """Leave the note for the one around ``centre``: it began where the run first came near that pitch."""
        held, run = self._sounding, self._arriving(run, centre) + run
        off = NoteOff(max(run[0].time_s, held.on_s), frame.available_s, held.note)
        on_s = max(self._begun(run, centre), held.on_s)
        return [off, *self._start(frame, on_s, run[0].time_s, run[-self._on_frames :], centre)]

    def _arriving(self, run: list[_Heard], centre: float) -> list[_Heard]:
        """The frames right before ``run`` that were near its pitch already, and not yet away from the note: after a
        narrow step."""
        heard = self._past.heard
        first = begin = len(heard) - len(run)
        while begin and heard[begin - 1].pitch is not None and abs(heard[begin - 1].pitch - centre) <= self.settings.arrive_semitones:
            begin -= 1
        return heard[begin:first]

    def _lose(self, frame: PitchFrame, run: list[_Heard]) -> list[NoteEvent]:
        """End the note where the voice left it, for a pitch too doubtful to start another: the run may start it yet."""
        return self._close(max(run[0].time_s, self._sounding.on_s) - self.hop_s, frame.available_s)

    def _drifted_to(self, frame: PitchFrame, pitch: float) -> float | None:
        """Where the voice has got without a step, if that is too far from the note's number; else None."""
        s, held = self.settings, self._sounding
        if frame.time_s - held.on_s < s.flat_ms / 1000:
            return None
        if self._is_sliding() and abs(pitch - held.note) < s.leap_semitones:
            here, reach = pitch, s.drift_semitones  # it slides, and the centre lags behind
        elif held.slid and not self._run and self._is_flat():
            here, reach = held.centre, s.away_semitones  # the slide in which the note began has ended
        elif not self._run:
            here, reach = held.centre, s.drift_semitones
        else:
            return None
        return here if abs(here - held.note) > reach else None

    def _is_sliding(self) -> bool:
        """Whether the voice is away and moved one way for `glide_ms`, longer than half a cycle of any vibrato."""
        if self._run < self._glide_frames:
            return False
        run = self._past.last(self._glide_frames)
        spread = _spread(run)
        return spread > self.settings.flat_semitones and abs(run[-1].pitch - run[0].pitch) > SLIDE_PART * spread

    def _is_flat(self) -> bool:
        newest = self._past.last(self._flat_frames)
        return all(h.pitch is not None for h in newest) and _spread(newest) <= self.settings.flat_semitones

    def _rename(self, frame: PitchFrame, centre: float) -> list[NoteEvent]:
        """The same voice, a note whose number is nearer to where it has got."""
        held, slides = self._sounding, self._run > 0  # a note is not renamed away from its centre but in a slide
        off = NoteOff(frame.time_s, frame.available_s, held.note)
        near = [h for h in self._past.last(self._on_frames) if h.pitch is not None]
        events = [off, *self._start(frame, frame.time_s, held.since_s, near, centre)]
        if slides:  # what was sung before says nothing of the new centre's mean
            self._sounding.since_s, self._sounding.slid = frame.time_s, True
        else:
            self._sounding.frames = held.frames
        return events

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
    """The frame's pitch, sung or not, or None where MIDI cannot name it."""
    if not (isfinite(frame.f0_hz) and frame.f0_hz > 0):
        return None
    pitch = hz_to_midi(frame.f0_hz)
    return pitch if -0.5 < pitch < 127.5 else None


def _guesses(heard: _Heard, pitch: float, s: NoteSettings) -> bool:
    near = heard.guess is not None and abs(heard.guess - pitch) <= s.arrive_semitones
    return near and heard.voicing >= s.back_voicing


def _power(level_db: float) -> float:
    return 10 ** (level_db / 10)


def _db(power: float) -> float:
    """At least -120."""
    return 10 * log10(power + 1e-12)


def _spread(heard: Iterable[_Heard]) -> float:
    """Largest minus smallest pitch, in semitones."""
    pitches = [h.pitch for h in heard]
    return max(pitches) - min(pitches)
