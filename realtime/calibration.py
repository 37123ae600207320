"""What a few seconds of a voice say about the settings that suit it: quiet, soft, loud, lowest, highest.

Conventions
-----------
* Levels are dBFS RMS of 10 ms, pitches fractional MIDI note numbers. The first moments of each phase, in which one takes breath, do not
  count.
* Nothing here does I/O: ``Guide`` says what is to be sung and takes what was heard, ``Calibration.lines`` are the words, ``profile``
  is the file. ``rt-melody setup`` and the panel are two ways to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rt_melody.realtime.levels import range_around
from rt_melody.realtime.types import PitchFrame, hz_to_midi, note_name

PHASE_S = 4.0
SETTLE_S = 0.7
LEAST_VOICED_S = 0.4  # of a phase, to say anything
LEAST_CONFIDENCE = 0.6
GATE_ABOVE_DB = 3.0  # the room, at least
GATE_BELOW_DB = 6.0  # the soft voice, at least
MARGIN_SEMITONES = 2  # beyond the lowest and the highest note that were sung
TRIES = 3  # of each phase, with a microphone
BOUNDS_MS = (10, 15, 20, 30, 50, 75, 100, 150, 200)  # that may be recommended


@dataclass(frozen=True)
class Phase:
    """One of the things that a singer is asked to do."""

    name: str
    ask: str
    sung: bool = True


PHASES = (
    Phase("quiet", "Be quiet, as the room is when you do not sing.", sung=False),
    Phase("soft", "Sing or hum softly, any notes."),
    Phase("loud", "Sing as loud as you ever will, any notes."),
    Phase("lowest", "Hold your lowest note."),
    Phase("highest", "Hold your highest note."),
)


@dataclass
class Taken:
    """What was heard in one phase."""

    levels_db: list[float] = field(default_factory=list[float])  # of all frames
    voiced_db: list[float] = field(default_factory=list[float])  # of those with a voice
    pitches: list[float] = field(default_factory=list[float])
    hop_s: float = 0.01

    def take(self, frame: PitchFrame) -> None:
        """Whether a gate or a pause has made it unvoiced since does not matter: only of a voice that was surely heard are both high."""
        self.levels_db.append(frame.level_db)
        if min(frame.voicing, frame.confidence) >= LEAST_CONFIDENCE:
            self.voiced_db.append(frame.level_db)
            self.pitches.append(hz_to_midi(frame.f0_hz))

    @property
    def is_sung(self) -> bool:
        """Whether there is voice enough to say something."""
        return len(self.pitches) * self.hop_s >= LEAST_VOICED_S


class Guide:
    """The phases one after another, by the stream time of the frames that it is fed. ``tries``: how often each is asked for."""

    def __init__(self, tries: int = TRIES, hop_s: float = 0.01) -> None:
        self.taken: dict[str, Taken] = {}
        self.again = self.failed = False  # whether the phase is asked for once more; whether it was so once too often
        self._tries, self._left, self._hop_s = tries, tries, hop_s
        self._begin()

    def _begin(self) -> None:
        self._now, self._began_s, self.elapsed_s = Taken(hop_s=self._hop_s), None, 0.0

    @property
    def phase(self) -> Phase | None:
        """What is to be sung now; None where all has been."""
        return PHASES[len(self.taken)] if len(self.taken) < len(PHASES) else None

    @property
    def is_over(self) -> bool:
        """Whether nothing is asked for any more: all was heard, or one ``failed``."""
        return self.failed or self.phase is None

    def feed(self, frame: PitchFrame) -> bool:
        """The next frame. Whether something else is asked for from it on: the next phase, the same once more, or nothing more."""
        if self.is_over:
            return False
        if self._began_s is None or frame.time_s < self._began_s:  # the stream began anew
            self._begin()
            self._began_s = frame.time_s
        self.elapsed_s = frame.time_s - self._began_s
        if self.elapsed_s < PHASE_S - 1e-9:
            self._take(frame)
            return False
        self.end_phase()
        self.feed(frame)  # the first of what comes next
        return True

    def _take(self, frame: PitchFrame) -> None:
        if self.elapsed_s >= SETTLE_S - 1e-9:
            self._now.take(frame)

    def end_phase(self) -> None:
        """The time of the phase is over, or there is no more sound."""
        phase, now = self.phase, self._now
        if phase is None:
            return
        self._begin()
        if now.is_sung or (not phase.sung and now.levels_db):
            self.taken[phase.name], self._left, self.again = now, self._tries, False
        else:
            self._left -= 1
            self.again, self.failed = self._left > 0, self._left <= 0


@dataclass(frozen=True)
class Calibration:
    """What suits the voice, the room and the machine."""

    room_db: float
    soft_db: float
    loud_db: float
    gate_db: int | None  # None: the room is as loud as the soft voice
    range_db: tuple[int, int]  # of velocity and loudness
    lowest: int  # MIDI notes that are played
    highest: int
    bound_ms: int | None = None  # that this machine keeps

    def lines(self) -> list[str]:
        """What was found, a sentence each."""
        gate = (
            f"The gate opens at {self.gate_db} dBFS."
            if self.gate_db is not None
            else "No gate: the room is nearly as loud as your soft voice. Come closer to the microphone, or find a quieter room."
        )
        said = [
            f"The room is at {self.room_db:.0f} dBFS, your soft voice at {self.soft_db:.0f}, your loud one at {self.loud_db:.0f}.",
            gate,
            f"Velocity and loudness span {self.range_db[0]} to {self.range_db[1]} dBFS.",
            f"Notes from {note_name(self.lowest)} to {note_name(self.highest)} are played.",
        ]
        if self.bound_ms is not None:
            said.append(f"This machine keeps a bound of {self.bound_ms} ms (--latency-ms); 50 is surer where there is time.")
        return said

    def profile(self, heading: str) -> str:
        """The settings as a file for ``--profile``. ``heading``: its first line."""
        low, high = self.range_db
        gate = "off" if self.gate_db is None else str(self.gate_db)
        lines = [
            f"# {heading}",
            "performance:",
            f'  gate: "{gate}"  # the room is at {self.room_db:.0f} dBFS, the soft voice at {self.soft_db:.0f}',
            f"  velocity_range: [{low}, {high}]  # dBFS that give velocity 1 and 127",
            f'  note_range: ["{note_name(self.lowest)}", "{note_name(self.highest)}"]  # as played: move it with octave and transpose',
            "midi:",
            f"  loudness_range: [{low}, {high}]",
        ]
        if self.bound_ms is not None:
            lines += ["tracking:", f"  latency_ms: {max(self.bound_ms, 50)}  # this machine keeps {self.bound_ms}"]
        return "\n".join(lines) + "\n"


def tightest_bound_ms(needed_ms: float) -> int | None:
    """The least bound of those that are recommended that is no less than this; None where none is long enough."""
    return next((bound for bound in BOUNDS_MS if bound >= needed_ms), None)


def calibrate(taken: dict[str, Taken], bound_ms: int | None = None) -> Calibration:
    """What follows from the phases, by their names, each of which that is sung must be so (see ``Taken.is_sung``)."""
    room_db = _percentile(taken["quiet"].levels_db, 95)
    soft_db, loud_db = _percentile(taken["soft"].voiced_db, 25), _percentile(taken["loud"].voiced_db, 90)
    pitches = sorted((_percentile(taken["lowest"].pitches, 50), _percentile(taken["highest"].pitches, 50)))
    low, high = round(pitches[0]) - MARGIN_SEMITONES, round(pitches[1]) + MARGIN_SEMITONES
    quietest_db, loudest_db = range_around(soft_db, max(soft_db, loud_db))
    range_db = round(quietest_db), round(loudest_db)
    return Calibration(room_db, soft_db, loud_db, _gate_db(room_db, soft_db), range_db, max(0, low), min(127, high), bound_ms)


def _gate_db(room_db: float, soft_db: float) -> int | None:
    """In the middle of the gap between the two, where that is wide enough."""
    if soft_db - room_db < GATE_ABOVE_DB + GATE_BELOW_DB:
        return None
    middle = (room_db + soft_db) / 2
    return round(max(-100.0, min(middle, room_db + 12.0, soft_db - GATE_BELOW_DB)))


def _percentile(values: Sequence[float], part: float) -> float:
    return float(np.percentile(np.asarray(values), part))
