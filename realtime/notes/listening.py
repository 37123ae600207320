"""What is heard beside the pitch: the room, how far to trust what was sung, and dips that may strike a note again."""

from __future__ import annotations

from math import exp, inf
from statistics import fmean

from rt_melody.realtime.notes.heard import History, decibels, power, whole_hops
from rt_melody.realtime.settings.notes import NoteSettings


class Room:
    """The level of what sounds while nobody sings."""

    def __init__(self, settings: NoteSettings, hop_s: float) -> None:
        self._clear_db, self._least_step = settings.clear_of_room_db, hop_s / (settings.room_ms / 1000)
        self._power, self._frames = 0.0, 0  # mean, of how many frames

    def hear(self, past: History, pitch: float | None) -> None:
        """Take the level of the newest moment whose pitch is known: nobody sings there if it is None."""
        newest = past.heard[-1]
        behind = round((newest.level_s - newest.time_s) / past.hop_s)
        if pitch is None and 0 <= behind < len(past.heard):
            self._frames += 1
            step = max(1 / self._frames, self._least_step)
            self._power += step * (power(past.heard[-1 - behind].level_db) - self._power)

    def is_exceeded(self, past: History, from_s: float) -> bool:
        """Whether the level since ``from_s`` is so far above that of the room that it is the voice's."""
        powers = [power(h.level_db) for h in past.levels(from_s)]
        return decibels(fmean(powers) if powers else 0.0) - decibels(self._power) >= self._clear_db


class Trust:
    """Mean confidence of what was sung since a pause: an instrument that is taken for a voice for a while seldom is sure."""

    def __init__(self, settings: NoteSettings, hop_s: float) -> None:
        self._least = settings.trust_confidence
        self._step = 1.0 - exp(-1000 * hop_s / settings.trust_ms)
        self.forget()

    def forget(self) -> None:
        """There was a pause."""
        self._mean, self._weight = 0.0, 0.0  # the mean times its weight

    def hear(self, confidence: float) -> None:
        """A voiced frame of a note was so sure."""
        self._mean += self._step * (confidence - self._mean)
        self._weight += self._step * (1.0 - self._weight)

    def is_deserved(self) -> bool:
        """Whether what was sung lately was sure, or nothing was."""
        return self._mean >= self._least * self._weight


class Dips:
    """Dips of level times brightness, which may strike a held note again."""

    def __init__(self, settings: NoteSettings, hop_s: float) -> None:
        self._settings = settings
        self._frames = whole_hops(settings.dip_ms, hop_s)
        self._attack_s: float | None = None  # of a dip's end that pitches have yet to reach
        self._last_s = -inf

    def hear(self, past: History) -> None:
        """Note when a dip of the level began to rise, for the frames that will speak of that moment."""
        s, heard = self._settings, past.heard
        recent = heard[-self._frames :]
        low = min(recent, key=lambda h: h.clear_db)
        newest = heard[-1]
        if newest.clear_db - low.clear_db < s.dip_db or newest.level_s - self._last_s < s.rest_ms / 1000:
            return
        at = len(heard) - len(recent) + recent.index(low)
        before = heard[max(0, at - self._frames) : at]
        if len(before) * past.hop_s <= past.SMOOTH_MS / 1000 or max(h.clear_db for h in before) - low.clear_db < s.dip_db:
            return
        if max(h.level_db for h in recent[-3:]) > max(h.level_db for h in before) - s.fade_db:
            self._attack_s = next(h.level_s for h in heard[at:] if h.clear_db - low.clear_db >= s.dip_db / 2)
            self._last_s = newest.level_s

    def attack_s(self, until_s: float) -> float | None:
        """When the voice rose out of a dip, told once, as soon as that is not later than ``until_s``."""
        if self._attack_s is None or self._attack_s > until_s + 1e-6:
            return None
        attack_s, self._attack_s = self._attack_s, None
        return attack_s
