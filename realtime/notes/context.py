"""What the tracker knows whether a note sounds or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, nan
from typing import NamedTuple

from rt_melody.realtime.notes.evidence import ConfidenceTracker, NoiseFloor, ReonsetDetector
from rt_melody.realtime.notes.history import FrameFeatures, FrameHistory, whole_hops
from rt_melody.realtime.settings.notes import NoteSettings
from rt_melody.realtime.types import PitchFrame

GLIDE_CHANGES = 2  # times as long as a change must last, a voice that has not settled is gliding
NEVER = 1 << 40  # hops; longer than any stream


class PreviousNote(NamedTuple):
    """The note that sounded last."""

    pitch: float = nan  # fractional MIDI, of its centre
    end_s: float = -inf  # the last frame sung


@dataclass(frozen=True, slots=True)
class Hops:
    """Times of the settings in hops."""

    on: int
    scoop: int
    first: int
    rise: int
    bridge: int
    centre: int
    change: int
    step: int
    glide: int
    window: int
    back: int
    longest_wait: int  # frames of which a note may be started from silence
    longest_run: int  # frames away from a note for which it may be left
    reach: int  # as far back as any event speaks of
    memory: int  # as far back as any rule looks

    @classmethod
    def of(cls, settings: NoteSettings, hop_s: float, look_ahead_ms: float) -> Hops:
        """``look_ahead_ms``: by how much levels may be ahead of pitches."""

        def hops(ms: float | None, off: int = NEVER) -> int:
            return off if ms is None else whole_hops(ms, hop_s)

        s, glide_ms = settings, GLIDE_CHANGES * settings.change_ms
        back, window, bridge = hops(s.back_ms, 0), hops(s.window_ms), int((s.bridge_ms or 0.0) / 1000 / hop_s + 1e-6)
        longest_wait = max(hops(ms, 0) for ms in (s.on_ms, s.scoop_ms, s.first_ms))
        longest_run = max(hops(ms, 0) for ms in (s.on_ms, s.window_ms, s.step_ms, glide_ms))
        reach = max(longest_wait + back, longest_run + window, 2 * hops(s.rise_ms), bridge) + 1
        return cls(
            on=hops(s.on_ms), scoop=hops(s.scoop_ms), first=hops(s.first_ms), rise=hops(s.rise_ms), bridge=bridge,
            centre=hops(s.centre_ms), change=hops(s.change_ms), step=hops(s.step_ms), glide=hops(glide_ms), window=window,
            back=back, longest_wait=longest_wait, longest_run=longest_run, reach=reach, memory=reach + hops(look_ahead_ms),
        )  # fmt: skip


class Context:
    """What both states of the tracker share: settings, the newest frames, and what is known of singer and background."""

    def __init__(self, settings: NoteSettings, hop_s: float, look_ahead_ms: float) -> None:
        self.settings = settings
        self.hop_s = hop_s
        self.hops = Hops.of(settings, hop_s, look_ahead_ms)
        self.leap_semitones = inf if settings.leap_semitones is None else settings.leap_semitones
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.previous = PreviousNote()
        self.noise_floor = NoiseFloor(self.settings, self.hop_s)
        self.confidence = ConfidenceTracker(self.settings, self.hop_s)
        self.forget_frames()

    def forget_frames(self) -> None:
        """Forget the frames, and keep what is known of singer and background."""
        self.history = FrameHistory(self.hop_s, self.hops.memory)
        self.reonsets = ReonsetDetector(self.settings, self.hop_s)

    def take(self, frame: PitchFrame, pitch: float, sung: bool) -> None:
        """Remember the next frame."""
        self.history.add(frame, pitch, sung)
        self.reonsets.feed(self.history)

    def began_s(self, run: Sequence[FrameFeatures], centre: float) -> float:
        """When a note around ``centre`` began: at the first frame of ``run`` that is near it in pitch and at its level."""
        from_s, reach = self._attack_s(run[0].time_s), self.settings.arrive_semitones
        near = (f.time_s for f in run if f.time_s >= from_s and abs(f.pitch - centre) <= reach)
        return next(near, run[-1].time_s)

    def _attack_s(self, since_s: float) -> float:
        """When a voice that is sung since then came near its level; -inf where it was there from the first."""
        attack_db = self.settings.attack_db
        if attack_db is None or not self.noise_floor.is_exceeded(self.history, since_s):
            return -inf
        levels = self.history.levels(since_s)
        enough_db = max(f.difference_db for f in levels) - attack_db if levels else -inf
        loud = next((f for f in levels if f.difference_db >= enough_db), None)
        return -inf if loud is None or loud is levels[0] else loud.level_s - self.hop_s / 2
