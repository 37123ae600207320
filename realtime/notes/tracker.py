"""Who starts, who is held, who ends: the rules in the package's words, in code."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from statistics import fmean, median

from rt_melody.realtime.notes.heard import Heard, History, pitch_of, spread, whole_hops
from rt_melody.realtime.notes.listening import Dips, Room, Trust
from rt_melody.realtime.settings.notes import NoteSettings
from rt_melody.realtime.playing.expression import velocity_curve
from rt_melody.realtime.types import Loudness, NoteEvent, NoteOff, NoteOn, PitchBend, PitchFrame

VELOCITY = velocity_curve()  # of a tracker alone; a Performer has the player's own
LEVEL_REACH_DB = 200.0  # levels beyond it are taken for it
SLIDE_PART = 0.9  # of its spread, at least, is what a slide moved on
LEVEL_LEAD_MS = 100.0  # by which levels may be ahead of pitches: the longest look-ahead


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


class NoteTracker:
    """Makes notes of pitch frames that come every ``hop_s`` seconds.

    ``feed`` gives the events that a frame caused, each note-on with exactly one note-off; ``finish``
    closes what sounds where the stream breaks off; ``reset`` forgets all without a word (call ``finish`` first).
    """

    def __init__(self, settings: NoteSettings | None = None, hop_s: float = 0.01) -> None:
        self.settings = s = settings or NoteSettings()
        self.hop_s = hop_s
        self._on_frames = whole_hops(s.on_ms, hop_s)
        self._change_frames = whole_hops(s.change_ms, hop_s)
        self._step_frames = whole_hops(s.step_ms, hop_s)
        self._flat_frames = whole_hops(s.flat_ms, hop_s)
        self._leap_frames = whole_hops(s.leap_ms, hop_s)
        self._glide_frames = whole_hops(s.glide_ms, hop_s)
        self._rise_frames = whole_hops(s.rise_ms, hop_s)
        self._first_frames = whole_hops(s.first_ms, hop_s)
        self._scoop_frames = whole_hops(s.scoop_ms, hop_s)
        self._window_frames = whole_hops(s.window_ms, hop_s)
        self._centre_frames = whole_hops(s.centre_ms, hop_s)
        self._bridge_frames = int(s.bridge_ms / 1000 / hop_s + 1e-6)
        self._longest_run = max(
            self._on_frames, self._window_frames, self._flat_frames, self._change_frames, self._step_frames,
            self._leap_frames, self._glide_frames,
        )
        reach_ms = max(s.first_ms + s.back_ms, s.rise_ms, 2 * s.dip_ms, 1000 * self._longest_run * hop_s)
        self._memory = whole_hops(reach_ms + LEVEL_LEAD_MS, hop_s)  # frames, as far back as any rule looks
        self.reset()

    @property
    def lag_ms(self) -> float:
        """What the tracker adds to the latency of a note-on after silence: frames waited for."""
        return (self._on_frames - 1) * self.hop_s * 1000

    def reset(self) -> None:
        """Forget everything, as at the beginning of a stream."""
        self._last_pitch: float | None = None  # of the note before
        self._last_sung_s = -inf  # when it ended
        self._room = Room(self.settings, self.hop_s)
        self._trust = Trust(self.settings, self.hop_s)
        self._forget_frames()

    def _forget_frames(self) -> None:
        self._past = History(self.hop_s, self._memory)
        self._sounding: _Sounding | None = None
        self._run = 0  # newest frames in a row: voiced while no note sounds, else away from the note on one side
        self._dips = Dips(self.settings, self.hop_s)

    def feed(self, frame: PitchFrame) -> list[NoteEvent]:
        """Take the next frame; the events it caused, in the order to be sent."""
        if not self._past.heard and frame.time_s < self._last_sung_s:  # another stream
            self.reset()
        if not -LEVEL_REACH_DB <= frame.level_db <= LEVEL_REACH_DB:  # of no sound; NaN among them
            frame = replace(frame, level_db=LEVEL_REACH_DB if frame.level_db > 0 else -LEVEL_REACH_DB)
        pitch = self._sung_pitch(frame)
        self._past.add(frame, pitch)
        self._dips.hear(self._past)
        if self._sounding is None:
            self._room.hear(self._past, pitch)
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
        pitch = pitch_of(frame)
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
        paused = near[0].time_s - self._last_sung_s > self.settings.pause_ms / 1000
        if spread(near) > reach or not self._believed(near, paused):
            return []
        if paused:
            self._trust.forget()
        pitch = near[-1].pitch
        begun_s = self._begun(self._doubtful(run, pitch) + run, pitch)
        return self._start(frame, max(begun_s, self._last_sung_s + self.hop_s), run[0].time_s, near, pitch)

    def _doubtful(self, run: list[Heard], pitch: float) -> list[Heard]:
        """The frames right before ``run`` that guessed its pitch and were not sure enough that somebody sang: now that
        somebody does, they tell when it began."""
        s = self.settings
        earliest_s = max(run[0].time_s - s.back_ms / 1000, self._last_sung_s + self.hop_s / 2)
        before = self._past.leading_to(run, lambda h: h.time_s > earliest_s and _guesses(h, pitch, s))
        return [h._replace(pitch=h.guess) for h in before]

    def _believed(self, near: list[Heard], paused: bool) -> bool:
        """Whether frames are sure enough to start a note: surer, or for longer, for a leap from the note before, and
        where the level does not rise for the first one after a pause and those that follow on doubtful ones."""
        s, needed = self.settings, self.settings.on_confidence
        leaps = not paused and abs(near[-1].pitch - self._last_pitch) >= s.leap_semitones
        if (paused or not self._trust.is_deserved()) and self._run < self._first_frames and not self._has_risen():
            needed = max(needed, s.first_confidence if paused else s.untrusted_confidence)
        if leaps and self._run < self._leap_frames:
            needed = max(needed, s.leap_confidence)
        return fmean(h.confidence for h in near) >= needed

    def _has_risen(self) -> bool:
        """Whether the level rose lately, as it does when somebody begins to sing."""
        levels = [h.level_db for h in self._past.last(self._rise_frames + 1)]
        return levels[-1] - levels[0] >= self.settings.rise_db

    def _begun(self, run: list[Heard], centre: float) -> float:
        """When a note around ``centre`` began: at the first frame of the run near it in pitch and in level."""
        s, from_s = self.settings, -inf
        if self._room.is_exceeded(self._past, run[0].time_s):
            levels = self._past.levels(run[0].time_s)
            enough_db = max(h.clear_db for h in levels) - s.attack_db if levels else -inf
            loud = next((h for h in levels if h.clear_db >= enough_db), None)
            from_s = -inf if loud is None or loud is levels[0] else loud.level_s - self.hop_s / 2
        near = (h.time_s for h in run if h.time_s >= from_s and abs(h.pitch - centre) <= s.arrive_semitones)
        return next(near, run[-1].time_s)

    def _start(
        self, frame: PitchFrame, on_s: float, since_s: float, heard: list[Heard], centre: float
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

    def _struck_again(self) -> list[Heard]:
        """The frames since the attack, once they strike the held note again; else none."""
        attack_s = self._dips.attack_s(self._past.heard[-1].time_s - (self._on_frames - 1) * self.hop_s)
        if attack_s is None or attack_s - self._sounding.on_s < self.settings.rest_ms / 1000:
            return []
        heard = self._past.sung_since(attack_s)
        steady = len(heard) >= self._on_frames and spread(heard) < self.settings.reach_semitones
        return heard if steady and self._is_the_voices(attack_s) else []

    def _is_the_voices(self, attack_s: float) -> bool:
        """Whether the dip before ``attack_s`` is the voice's: it is well above the room, or its pitch was in doubt."""
        s = self.settings
        around = [h for h in self._past.heard if h.time_s >= attack_s - s.dip_ms / 1000]
        return self._room.is_exceeded(self._past, self._sounding.on_s) or min(h.confidence for h in around) < s.doubt_confidence

    def _restrike(self, frame: PitchFrame, heard: list[Heard]) -> list[NoteEvent]:
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
            self._trust.hear(frame.confidence)
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

    def _move(self, run: list[Heard], centre: float) -> None:
        """The note was on its way and has arrived at ``centre``; what was sung before says nothing of its mean."""
        held = self._sounding
        held.centre, held.frames, held.since_s = centre, self._on_frames, run[-1].time_s
        self._run = 0

    def _is_away(self, pitch: float) -> bool:
        return abs(pitch - self._sounding.centre) > self.settings.away_semitones

    def _new_centre(self, frame: PitchFrame, run: list[Heard]) -> float | None:
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
        if spread(run[-self._flat_frames :]) <= s.flat_semitones:
            return newest
        drawn = held.centre + (mean - held.centre) * frames / self._window_frames
        return mean if self._is_away(drawn) else None

    def _has_left(self, run: list[Heard]) -> bool:
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

    def _arrived(self, run: list[Heard]) -> bool:
        """Whether the run has settled, or has glided for so long that it is followed note by note."""
        return spread(run[-self._on_frames :]) <= self.settings.settle_semitones or len(run) >= self._glide_frames

    def _is_scoop(self, run: list[Heard], centre: float) -> bool:
        """Whether the note had only begun and came from nearby: it then was on its way to its pitch."""
        s, held = self.settings, self._sounding
        young = run[0].time_s - held.on_s < s.young_ms / 1000
        return young and not held.slid and abs(centre - held.note) < s.scoop_semitones

    def _change(self, frame: PitchFrame, run: list[Heard], centre: float) -> list[NoteEvent]:
        """Leave the note for the one around ``centre``: it began where the run first came near that pitch."""
        held, run = self._sounding, self._arriving(run, centre) + run
        off = NoteOff(max(run[0].time_s, held.on_s), frame.available_s, held.note)
        on_s = max(self._begun(run, centre), held.on_s)
        return [off, *self._start(frame, on_s, run[0].time_s, run[-self._on_frames :], centre)]

    def _arriving(self, run: list[Heard], centre: float) -> list[Heard]:
        """The frames right before ``run`` that were near its pitch already, and not yet away from the note: after a
        narrow step."""
        reach = self.settings.arrive_semitones
        return self._past.leading_to(run, lambda h: h.pitch is not None and abs(h.pitch - centre) <= reach)

    def _lose(self, frame: PitchFrame, run: list[Heard]) -> list[NoteEvent]:
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
        moved = spread(run)
        return moved > self.settings.flat_semitones and abs(run[-1].pitch - run[0].pitch) > SLIDE_PART * moved

    def _is_flat(self) -> bool:
        newest = self._past.last(self._flat_frames)
        return all(h.pitch is not None for h in newest) and spread(newest) <= self.settings.flat_semitones

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


def _guesses(heard: Heard, pitch: float, s: NoteSettings) -> bool:
    near = heard.guess is not None and abs(heard.guess - pitch) <= s.arrive_semitones
    return near and heard.voicing >= s.back_voicing
