"""The two states of the tracker and what leads from one to the other: the package's rules, in code.

``feed`` of a state takes a frame and gives the events that it caused and the state that follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from statistics import fmean, median
from typing import NamedTuple

from rt_melody.realtime.notes.context import Context, PreviousNote
from rt_melody.realtime.notes.history import FrameFeatures, spread
from rt_melody.realtime.types import Loudness, NoteEvent, NoteOff, NoteOn, PitchBend, PitchFrame

VELOCITY = 64  # of a keyboard that senses none; the performance makes one of the level
SLIDE_PART = 0.9  # share of its spread of pitch that a slide, unlike a vibrato, has moved on


class NoteStart(NamedTuple):
    """A note that begins."""

    on_s: float
    since_s: float  # the first frame that belongs to this note alone
    centre: float  # fractional MIDI
    newest: Sequence[FrameFeatures]  # the sung frames that give its pitch now and its level


class Silent:
    """No note sounds. One starts when enough frames agree on a pitch and are sure of it."""

    __slots__ = ("_context", "_run")

    def __init__(self, context: Context, run: int = 0) -> None:
        self._context = context
        self._run = run  # newest frames in a row that are sung

    def feed(self, frame: PitchFrame, pitch: float) -> Step:
        """Start a note if the frame makes one certain."""
        context = self._context
        sung = frame.voiced and not isnan(pitch)
        context.take(frame, pitch, sung)
        context.noise_floor.feed(context.history, sung)
        self._run = self._run + 1 if sung else 0
        start = self._start() if self._run >= context.hops.on else None
        return ([], self) if start is None else Sounding.begin(context, frame, start)

    def finish(self, available_s: float) -> list[NoteEvent]:
        """Nothing sounds that would have to be ended."""
        return []

    def _start(self) -> NoteStart | None:
        """The note that the newest frames make certain, if any."""
        context, s = self._context, self._context.settings
        run = context.history.last(min(self._run, context.hops.longest_wait))
        newest = run[-context.hops.on :]
        reach = s.agree_semitones if self._run < context.hops.scoop else s.settle_semitones
        after_pause = newest[0].time_s - context.previous.end_s > s.pause_ms / 1000
        if spread(newest) > reach or not self._are_sure(newest, after_pause):
            return None
        if after_pause:
            context.confidence.reset()
        pitch = newest[-1].pitch
        began_s = context.began_s(self._leading_to(run, pitch) + run, pitch)
        return NoteStart(max(began_s, context.previous.end_s + context.hop_s), run[0].time_s, pitch, newest)

    def _leading_to(self, run: list[FrameFeatures], pitch: float) -> list[FrameFeatures]:
        """The unvoiced frames right before ``run`` that guessed its pitch: now that it is sung, they tell when it began."""
        context, s = self._context, self._context.settings
        if s.back_ms is None or s.hold_voicing is None:
            return []
        voicing, earliest_s = s.hold_voicing, max(run[0].time_s - s.back_ms / 1000, context.previous.end_s + context.hop_s / 2)

        def belongs(f: FrameFeatures) -> bool:
            return f.time_s > earliest_s and abs(f.pitch - pitch) <= s.arrive_semitones and f.voicing >= voicing

        return context.history.leading_to(run, belongs, context.hops.back)

    def _are_sure(self, newest: Sequence[FrameFeatures], after_pause: bool) -> bool:
        """Whether frames are sure enough to start a note."""
        special = max(self._least_of_first(after_pause), self._least_of_leap(newest[-1].pitch, after_pause))
        return fmean(f.confidence for f in newest) >= max(self._context.settings.on_confidence, special)

    def _least_of_first(self, after_pause: bool) -> float:
        """Confidence required of the first note after a pause, and of one that follows on doubtful ones, unless it has
        lasted or the level has risen; 0 of any other."""
        context, least = self._context, self._context.settings.first_confidence
        if least is None or not (after_pause or context.confidence.is_low()):
            return 0.0
        return 0.0 if self._run >= context.hops.first or self._has_risen() else least

    def _has_risen(self) -> bool:
        """Whether the level rose lately, as it does when somebody begins to sing."""
        rise_db, frames = self._context.settings.rise_db, self._context.history.last(self._context.hops.rise + 1)
        return rise_db is not None and frames[-1].level_db - min(f.level_db for f in frames) >= rise_db

    def _least_of_leap(self, pitch: float, after_pause: bool) -> float:
        """Confidence required of a leap from the note before, unless it has lasted; 0 where there is none."""
        context = self._context
        leaps = not after_pause and abs(pitch - context.previous.pitch) >= context.leap_semitones
        return context.settings.sure_confidence if leaps and self._run < context.hops.change else 0.0


class Sounding:
    """A note sounds, from its note-on to its note-off."""

    __slots__ = (
        "_bend", "_centre", "_context", "_frames", "_gap", "_last_sung_s", "_level_db", "_note", "_on_s", "_run", "_since_s", "_slid",
    )  # fmt: skip

    def __init__(self, context: Context, start: NoteStart, frame: PitchFrame) -> None:
        self._context = context
        self._note = round(start.centre)
        self._centre = start.centre  # of its pitch; follows the voice
        self._frames = len(start.newest)  # that the centre is the mean of, until it follows
        self._on_s, self._since_s = start.on_s, start.since_s
        self._last_sung_s = frame.time_s
        self._bend = median(f.pitch for f in start.newest) - self._note  # as last sent
        self._level_db = frame.level_db  # as last sent
        self._gap = 0  # unvoiced frames since the last voiced one
        self._run = 0  # newest frames in a row that are away from the centre on one side
        self._slid = False  # it began within a slide

    @classmethod
    def begin(cls, context: Context, frame: PitchFrame, start: NoteStart) -> tuple[list[NoteEvent], Sounding]:
        """The events that start a note, and the note."""
        note = round(start.centre)
        level_db = max(f.level_db for f in start.newest)
        on = NoteOn(start.on_s, frame.available_s, note, VELOCITY, median(f.pitch for f in start.newest), level_db)
        return [on, Loudness(frame.time_s, frame.available_s, note, frame.level_db)], cls(context, start, frame)

    def feed(self, frame: PitchFrame, pitch: float) -> Step:
        """Hold the note, end it, strike it again or leave it for another one."""
        context = self._context
        sung = not isnan(pitch) and (frame.voiced or self._is_held_by(frame, pitch))
        context.take(frame, pitch, sung)
        if not sung:
            return self._wait(frame)
        repeated = self._repeated()
        return self._hold(frame, pitch) if repeated is None else self._replace(frame, repeated, repeated.on_s - context.hop_s)

    def finish(self, available_s: float) -> list[NoteEvent]:
        """End the note where the stream ends or breaks off."""
        return self._end(available_s, self._last_sung_s)[0]

    # ---- its end

    def _end(self, available_s: float, sung_until_s: float, run: int = 0) -> Step:
        """End the note; what follows is not a note yet, ``run`` frames of which are sung."""
        self._context.previous = PreviousNote(self._centre, sung_until_s)
        end_s = min(sung_until_s + self._context.hop_s, available_s)
        return [NoteOff(max(end_s, self._on_s), available_s, self._note)], Silent(self._context, run)

    def _replace(self, frame: PitchFrame, start: NoteStart, off_s: float) -> tuple[list[NoteEvent], Sounding]:
        """End the note and start another one at once."""
        off = NoteOff(max(off_s, self._on_s), frame.available_s, self._note)
        begun, sounding = Sounding.begin(self._context, frame, start)
        return [off, *begun], sounding

    # ---- what holds it

    def _is_held_by(self, frame: PitchFrame, pitch: float) -> bool:
        """Whether an unvoiced frame goes on as the note did: near its last pitch, and the level has not fallen."""
        context, s = self._context, self._context.settings
        if s.hold_voicing is None or frame.voicing < s.hold_voicing:
            return False
        before = context.history.last(context.hops.bridge + 1)
        last = next((f.pitch for f in reversed(before) if f.sung), None)
        if last is None or abs(pitch - last) > s.away_semitones:
            return False
        levels = [f.difference_db for f in context.history.levels(frame.time_s - s.rise_ms / 1000, frame.time_s)]
        return not levels or s.fade_db is None or levels[-1] > max(levels) - s.fade_db

    def _wait(self, frame: PitchFrame) -> Step:
        """The voice pauses: end the note where it was last sung, once the gap is too long."""
        self._run = 0
        self._gap += 1
        return ([], self) if self._gap <= self._context.hops.bridge else self._end(frame.available_s, self._last_sung_s)

    # ---- the same pitch again

    def _repeated(self) -> NoteStart | None:
        """The note of the same pitch that a dip has begun anew, as soon as enough frames speak of it."""
        context = self._context
        frames = context.history.frames
        onset_s = context.reonsets.onset_s(frames[-1].time_s - (context.hops.on - 1) * context.hop_s)
        if onset_s is None or onset_s - self._on_s < context.settings.change_ms / 1000:
            return None
        sung = context.history.sung_since(onset_s)
        steady = len(sung) >= context.hops.on and spread(sung) < context.settings.reach_semitones
        if not steady or not self._is_the_voices(onset_s):
            return None
        return NoteStart(sung[0].time_s, sung[0].time_s, sung[-1].pitch, sung)

    def _is_the_voices(self, onset_s: float) -> bool:
        """Whether the dip before ``onset_s`` is the voice's: it is well above the noise, or the pitch was in doubt."""
        context, s = self._context, self._context.settings
        if context.noise_floor.is_exceeded(context.history, self._on_s):
            return True
        return any(f.confidence < s.sure_confidence for f in context.history.frames if f.time_s >= onset_s - s.rise_ms / 1000)

    # ---- another pitch

    def _hold(self, frame: PitchFrame, pitch: float) -> Step:
        """A sung frame: stay on the note, or leave it for another one."""
        self._gap = 0
        self._last_sung_s = frame.time_s
        if frame.voiced:
            self._context.confidence.feed(frame.confidence)
        self._follow(pitch)
        run = self._context.history.last(self._run)
        centre = self._new_centre(run)
        if centre is not None and not self._was_a_scoop(run, centre):
            return self._change(frame, run, centre)
        if centre is not None:
            self._arrive(run, centre)
        drifted_to = self._drifted_to(frame, pitch)
        return (self._express(frame, pitch), self) if drifted_to is None else self._renumber(frame, drifted_to)

    def _follow(self, pitch: float) -> None:
        """Lengthen or end the run of frames that are away from the note on one side, and move its centre."""
        away = self._is_away(pitch)
        crossed = self._run and (self._context.history.frames[-2].pitch > self._centre) != (pitch > self._centre)
        self._run = 0 if not away else 1 if crossed else min(self._run + 1, self._context.hops.longest_run)
        if abs(pitch - self._centre) < self._context.settings.reach_semitones:
            self._frames += 1
            if self._frames <= self._context.hops.centre:
                self._centre += (pitch - self._centre) / self._frames
            elif not away:
                self._centre += (pitch - self._centre) / self._context.hops.centre

    def _arrive(self, run: Sequence[FrameFeatures], centre: float) -> None:
        """The note was on its way and has reached ``centre``; what was sung before does not count for its mean."""
        self._centre, self._frames, self._since_s = centre, self._context.hops.on, run[-1].time_s
        self._run = 0

    def _is_away(self, pitch: float) -> bool:
        return abs(pitch - self._centre) > self._context.settings.away_semitones

    def _new_centre(self, run: Sequence[FrameFeatures]) -> float | None:
        """The pitch that the voice has left the note for, or None while it has not left it."""
        s, hops = self._context.settings, self._context.hops
        if not self._has_left(run) or not self._has_settled(run):
            return None
        lasts = len(run) >= hops.change
        newest = median(f.pitch for f in run[-hops.on :])
        if abs(newest - self._note) >= self._context.leap_semitones:
            return newest if lasts else None
        mean, frames = self._mean()
        if abs(newest - mean) > s.reach_semitones:
            return newest
        if not lasts:
            return None
        if spread(run[-hops.change :]) <= s.settle_semitones:
            return newest
        drawn = self._centre + (mean - self._centre) * frames / hops.window
        return mean if self._is_away(drawn) else None

    def _has_left(self, run: Sequence[FrameFeatures]) -> bool:
        """Whether the voice has been away for long enough: less where the newest frames are sure."""
        s, hops = self._context.settings, self._context.hops
        if len(run) >= hops.change:
            return True
        return len(run) >= hops.step and min(f.confidence for f in run[-hops.on :]) >= s.sure_confidence

    def _mean(self) -> tuple[float, int]:
        """Mean pitch of the note over its last ``window_ms``, without leaps, and of how many frames."""
        window, leap = self._context.history.last(self._context.hops.window), self._context.leap_semitones
        sung = (f.pitch for f in window if f.sung and f.time_s >= self._since_s - 1e-6)
        pitches = [p for p in sung if abs(p - self._note) < leap]
        return (fmean(pitches) if pitches else self._centre), len(pitches)

    def _has_settled(self, run: Sequence[FrameFeatures]) -> bool:
        """Whether the run has settled, or has glided for so long that it is followed note by note."""
        hops = self._context.hops
        return spread(run[-hops.on :]) <= self._context.settings.settle_semitones or len(run) >= hops.glide

    def _was_a_scoop(self, run: Sequence[FrameFeatures], centre: float) -> bool:
        """Whether the note had only begun and came from nearby: it then was on its way to its pitch."""
        s = self._context.settings
        young = s.young_ms is not None and run[0].time_s - self._on_s < s.young_ms / 1000
        return young and not self._slid and abs(centre - self._note) < s.reach_semitones

    def _change(self, frame: PitchFrame, run: list[FrameFeatures], centre: float) -> Step:
        """Leave the note for one around ``centre``, which began where the run first came near that pitch; where its newest
        frames are too doubtful for a note, for none, and the run may start one yet."""
        context, newest = self._context, run[-self._context.hops.on :]
        if fmean(f.confidence for f in newest) < context.settings.on_confidence:
            return self._end(frame.available_s, max(run[0].time_s, self._on_s) - context.hop_s, self._run)
        run = self._nearing(run, centre) + run
        on_s = max(context.began_s(run, centre), self._on_s)
        return self._replace(frame, NoteStart(on_s, run[0].time_s, centre, newest), run[0].time_s)

    def _nearing(self, run: Sequence[FrameFeatures], centre: float) -> list[FrameFeatures]:
        """The frames right before ``run`` that were near its pitch and not yet away from the note: after a narrow step."""
        context, reach = self._context, self._context.settings.arrive_semitones
        return context.history.leading_to(run, lambda f: f.sung and abs(f.pitch - centre) <= reach, context.hops.window)

    # ---- drifting and sliding

    def _drifted_to(self, frame: PitchFrame, pitch: float) -> float | None:
        """Where the voice has got to without a step, if that is too far from the note's number."""
        s = self._context.settings
        if frame.time_s - self._on_s < s.change_ms / 1000:
            return None
        if self._is_sliding() and abs(pitch - self._note) < self._context.leap_semitones:
            here, reach = pitch, s.drift_semitones  # the centre lags behind
        elif self._slid and not self._run and self._is_flat():
            here, reach = self._centre, s.away_semitones  # the slide in which the note began has ended
        elif not self._run:
            here, reach = self._centre, s.drift_semitones
        else:
            return None
        return here if abs(here - self._note) > reach else None

    def _is_sliding(self) -> bool:
        """Whether the voice is away and has moved one way for twice ``change_ms``, longer than half a cycle of any vibrato."""
        if self._run < self._context.hops.glide:
            return False
        run = self._context.history.last(self._context.hops.glide)
        moved = spread(run)
        return moved > self._context.settings.settle_semitones and abs(run[-1].pitch - run[0].pitch) > SLIDE_PART * moved

    def _is_flat(self) -> bool:
        newest = self._context.history.last(self._context.hops.change)
        return all(f.sung for f in newest) and spread(newest) <= self._context.settings.settle_semitones

    def _renumber(self, frame: PitchFrame, centre: float) -> Step:
        """The same voice under the number that is nearest to where it has got to."""
        newest = [f for f in self._context.history.last(self._context.hops.on) if f.sung]
        events, renumbered = self._replace(frame, NoteStart(frame.time_s, self._since_s, centre, newest), frame.time_s)
        if self._run > 0:  # within a slide: what was sung before does not count for the new note's mean
            renumbered._since_s, renumbered._slid = frame.time_s, True
        else:
            renumbered._frames = self._frames
        return events, renumbered

    # ---- expression

    def _express(self, frame: PitchFrame, pitch: float) -> list[NoteEvent]:
        """Bend and loudness, where they have changed enough to be sent."""
        s = self._context.settings
        events: list[NoteEvent] = []
        bend = pitch - self._note
        if abs(bend) < self._context.leap_semitones and abs(bend - self._bend) >= s.bend_step_semitones:
            self._bend = bend
            events.append(PitchBend(frame.time_s, frame.available_s, self._note, bend))
        if abs(frame.level_db - self._level_db) >= s.loudness_step_db:
            self._level_db = frame.level_db
            events.append(Loudness(frame.time_s, frame.available_s, self._note, frame.level_db))
        return events


State = Silent | Sounding
Step = tuple[list[NoteEvent], State]
