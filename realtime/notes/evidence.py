"""Evidence beside the pitch: the noise floor, how sure the singing has been, and dips that part repeated notes."""

from __future__ import annotations

from math import exp, inf
from statistics import fmean

from rt_melody.realtime.notes.history import FrameHistory, decibels, power_of, whole_hops
from rt_melody.realtime.settings.notes import NoteSettings


class NoiseFloor:
    """The level of whatever sounds while nobody sings: silence, a hum, a band."""

    def __init__(self, settings: NoteSettings, hop_s: float) -> None:
        self._margin_db = -inf if settings.above_noise_db is None else settings.above_noise_db
        self._least_step = hop_s / (settings.pause_ms / 1000)
        self._power = 0.0  # running mean
        self._frames = 0  # it is the mean of

    def feed(self, history: FrameHistory, sung: bool) -> None:
        """Take the level at the newest moment whose pitch is known, unless somebody sings there."""
        newest = history.frames[-1]
        behind = round((newest.level_s - newest.time_s) / history.hop_s)
        if not sung and 0 <= behind < len(history.frames):
            self._frames += 1
            step = max(1 / self._frames, self._least_step)
            self._power += step * (power_of(history.frames[-1 - behind].level_db) - self._power)

    def is_exceeded(self, history: FrameHistory, from_s: float) -> bool:
        """Whether the mean level since ``from_s`` is so far above the floor that it must be the voice's."""
        powers = [power_of(f.level_db) for f in history.levels(from_s)]
        return decibels(fmean(powers) if powers else 0.0) - decibels(self._power) >= self._margin_db


class ConfidenceTracker:
    """Mean confidence of what has been sung since a pause.

    A network that takes an instrument for a voice goes on doing so for a while, but is seldom sure for long.
    """

    def __init__(self, settings: NoteSettings, hop_s: float) -> None:
        self._enough = settings.sure_confidence
        self._step = 1.0 - exp(-1000 * hop_s / settings.pause_ms)
        self.reset()

    def reset(self) -> None:
        """Forget what was sung, after a pause."""
        self._weighted_mean = 0.0  # the mean times its weight
        self._weight = 0.0

    def feed(self, confidence: float) -> None:
        """Take the confidence of a voiced frame of a note."""
        self._weighted_mean += self._step * (confidence - self._weighted_mean)
        self._weight += self._step * (1.0 - self._weight)

    def is_low(self) -> bool:
        """Whether the mean is less than sure; not so while nothing has been sung."""
        return self._weighted_mean < self._enough * self._weight


class ReonsetDetector:
    """Finds dips in the level of the first difference, between which a note of the same pitch begins anew."""

    LOUD_FRAMES = 3  # newest frames, the loudest of which tells whether the voice is back

    def __init__(self, settings: NoteSettings, hop_s: float) -> None:
        self._depth_db = inf if settings.dip_db is None else settings.dip_db
        self._fade_db = inf if settings.fade_db is None else settings.fade_db
        self._rest_s = settings.change_ms / 1000
        self._frames = whole_hops(settings.rise_ms, hop_s)
        self._onset_s = inf  # of the last dip's end, while it has not been told
        self._found_s = -inf  # when that was found

    def feed(self, history: FrameHistory) -> None:
        """Look for a dip that the newest level ends."""
        differences_db = history.differences_db[-self._frames :]
        low_db = min(differences_db)
        if differences_db[-1] - low_db < self._depth_db:  # as it is in nearly every frame
            return
        frames = history.frames
        newest, recent = frames[-1], frames[-self._frames :]
        if newest.level_s - self._found_s < self._rest_s:
            return
        at = len(frames) - len(recent) + differences_db.index(low_db)
        before = frames[max(0, at - self._frames) : at]
        if len(before) * history.hop_s <= history.SMOOTHING_MS / 1000:
            return
        if max(f.difference_db for f in before) - low_db < self._depth_db:
            return
        if max(f.level_db for f in recent[-self.LOUD_FRAMES :]) > max(f.level_db for f in before) - self._fade_db:
            self._onset_s = next(f.level_s for f in frames[at:] if f.difference_db - low_db >= self._depth_db / 2)
            self._found_s = newest.level_s

    def onset_s(self, until_s: float) -> float | None:
        """When the voice rose out of the last dip; told once, as soon as pitches up to ``until_s`` reach it."""
        if self._onset_s > until_s + 1e-6:
            return None
        onset_s, self._onset_s = self._onset_s, inf
        return onset_s
