"""Scores of notes: played ones against true ones, pooled over all items of a part.

Conventions
-----------
* mir_eval.transcription: onsets within 50 ms, pitches within 50 cents, offsets within 50 ms or 20 % of the true
  note; figures pool the notes of all items.
* A note stands at the ``time_s`` of its note-on and note-off, as in the MIDI file. Its pitch is what a
  synthesiser plays: the median over its time of MIDI note number plus bend. Beside it, each a column: "live",
  as played, from note-on's to note-off's ``available_s``; "at on", with the pitch at the note-on; "number",
  with the MIDI note number, as a synthesiser that ignores bends would play it.
* The delay of a note-on is its ``available_s`` minus the true onset, over notes of the right pitch whose onsets
  are within 150 ms of each other.
* An octave leap is a note whose pitch lies within a semitone of the true note's, moved by one or more octaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import cast

import numpy as np
from mir_eval.transcription import match_note_onsets, match_notes

from rt_melody.benchmarks.signals import TrueNote
from rt_melody.realtime.types import NoteEvent, NoteOff, NoteOn, PitchBend, midi_to_hz

ONSET_S, PITCH_CENTS, OFFSET_RATIO = 0.05, 50.0, 0.2
DELAY_REACH_S = 0.15
NEAR_S = 0.2  # how far a note may be off in time to be called early or late rather than missed


# ---------------------------------------------------------------------- what was played


@dataclass(frozen=True)
class PlayedNote:
    on_s: float
    off_s: float
    available_s: float  # of the note-on
    off_available_s: float
    number: int  # MIDI note number
    pitch_on: float  # fractional MIDI, at the note-on
    pitch: float  # fractional MIDI, median of what was played


def played_notes(events: Iterable[NoteEvent]) -> list[PlayedNote]:
    """Notes from the events of one voice, a note-off after each note-on."""
    notes, on, bends = [], None, []
    for event in events:
        if isinstance(event, NoteOn):
            on, bends = event, [(event.time_s, event.pitch)]
        elif isinstance(event, PitchBend) and on is not None:
            bends.append((event.time_s, event.note + event.semitones))
        elif isinstance(event, NoteOff) and on is not None:
            pitch = _held_median(bends, event.time_s)
            notes.append(PlayedNote(on.time_s, event.time_s, on.available_s, event.available_s, on.note, on.pitch, pitch))
            on = None
    return notes


def _held_median(steps: Sequence[tuple[float, float]], end_s: float) -> float:
    """Median over time of a value that holds from each (time, value) to the next, the last until ``end_s``."""
    ends = [*(t for t, _ in steps[1:]), end_s]
    held = sorted((value, max(0.0, min(e, end_s) - t)) for (t, value), e in zip(steps, ends))
    total = list(accumulate(length for _, length in held))
    if total[-1] <= 0.0:
        return steps[0][1]
    return next(value for (value, _), so_far in zip(held, total) if so_far >= 0.5 * total[-1])


# ---------------------------------------------------------------------- scores


def _intervals(spans: Sequence[tuple[float, float]]) -> np.ndarray:
    """[shape=(n, 2)], each at least 1 ms long, as mir_eval wants them."""
    return np.array([(on, max(off, on + 1e-3)) for on, off in spans]).reshape(-1, 2)


def _hz(pitches: Sequence[float]) -> np.ndarray:
    return np.array([midi_to_hz(p) for p in pitches])


class NoteScores:
    """Collects items; ``figures`` gives what mir_eval and the conventions above say of all notes together."""

    KINDS = ("onset", "note", "note_offset", "live", "at_on", "number")

    def __init__(self) -> None:
        self._matched: Counter = Counter()
        self._true = self._played = 0
        self._minutes = 0.0
        self._leaps = 0
        self._delays_s: list[float] = []
        self._losses: Counter = Counter()
        self._extras: Counter = Counter()

    def add(self, true: Sequence[TrueNote], played: Sequence[PlayedNote], bias: float = 0.0) -> None:
        """One item. ``bias`` (semitones) is added to the pitches of the true notes."""
        self._true += len(true)
        self._played += len(played)
        self._minutes += sum(n.off_s - n.on_s for n in true) / 60.0
        matches = _matches(true, played, bias)
        for kind in self.KINDS:
            self._matched[kind] += len(matches[kind])
        self._delays_s += [played[j].available_s - true[i].on_s for i, j in matches["delay"]]
        self._leaps += len(octave_leaps(true, played, bias))
        kept, used = {i for i, _ in matches["note"]}, {j for _, j in matches["note"]}
        self._losses.update(_loss(n, played, bias) for i, n in enumerate(true) if i not in kept)
        self._extras.update(_extra(n, true) for j, n in enumerate(played) if j not in used)

    def update(self, other: NoteScores) -> None:
        """Add the items of another collection."""
        self._true += other._true
        self._played += other._played
        self._minutes += other._minutes
        self._leaps += other._leaps
        self._delays_s += other._delays_s
        for own, more in ((self._matched, other._matched), (self._losses, other._losses), (self._extras, other._extras)):
            own.update(more)

    def figures(self) -> dict:
        """P, R and F in 0..1 by kind, delays in ms, leaps a minute of singing, and where notes were lost."""
        return {
            "true_notes": self._true, "played_notes": self._played,
            **{kind: self._prf(kind) for kind in self.KINDS},
            "delay_ms": quantiles_ms(self._delays_s),
            "octave_leaps_a_minute": round(self._leaps / self._minutes, 2) if self._minutes else None,
            "lost_because": dict(self._losses.most_common()), "extra_because": dict(self._extras.most_common()),
        }

    def _prf(self, kind: str) -> dict[str, float]:
        hits = self._matched[kind]
        precision, recall = hits / max(1, self._played), hits / max(1, self._true)
        return {"P": round(precision, 4), "R": round(recall, 4), "F": round(2 * hits / max(1, self._played + self._true), 4)}


def _matches(true: Sequence[TrueNote], played: Sequence[PlayedNote], bias: float) -> dict[str, list]:
    """Pairs of indices (true, played) for each kind of comparison."""
    if not true or not played:
        return {kind: [] for kind in (*NoteScores.KINDS, "delay")}
    spans, hz = _intervals([(n.on_s, n.off_s) for n in true]), _hz([n.pitch + bias for n in true])
    stood = _intervals([(n.on_s, n.off_s) for n in played])
    sent = _intervals([(n.available_s, n.off_available_s) for n in played])
    pitch = _hz([n.pitch for n in played])

    def match(where: np.ndarray, what: np.ndarray, reach_s: float = ONSET_S, offset_ratio: float | None = None) -> list:
        return match_notes(spans, hz, where, what, reach_s, PITCH_CENTS, cast(float, offset_ratio))  # None: ends do not matter

    return {
        "onset": match_note_onsets(spans, stood, ONSET_S),
        "note": match(stood, pitch),
        "note_offset": match(stood, pitch, offset_ratio=OFFSET_RATIO),
        "live": match(sent, pitch),
        "at_on": match(stood, _hz([n.pitch_on for n in played])),
        "number": match(stood, _hz([n.number for n in played])),
        "delay": match(stood, pitch, reach_s=DELAY_REACH_S),
    }


def quantiles_ms(seconds: Sequence[float]) -> dict:
    """Number, median, p10, p90 and maximum in ms."""
    if not len(seconds):
        return {"notes": 0}
    marks = np.quantile(seconds, (0.1, 0.5, 0.9, 1.0)) * 1000.0
    return {"notes": len(seconds), **{name: round(float(m), 1) for name, m in zip(("p10", "median", "p90", "max"), marks)}}


def _overlap_s(a: PlayedNote, b: TrueNote) -> float:
    return min(a.off_s, b.off_s) - max(a.on_s, b.on_s)


def octave_leaps(true: Sequence[TrueNote], played: Sequence[PlayedNote], bias: float) -> list[tuple[PlayedNote, TrueNote]]:
    """The played notes that are an octave or more away from the true note that they cover most, with that note."""
    leaps = []
    for note in played:
        best = max(true, key=lambda t: _overlap_s(note, t), default=None)
        if best is None or _overlap_s(note, best) <= 0:
            continue
        away = note.pitch - best.pitch - bias
        octaves = round(away / 12.0)
        if octaves != 0 and abs(away - 12.0 * octaves) < 1.0:
            leaps.append((note, best))
    return leaps


def _loss(true: TrueNote, played: Sequence[PlayedNote], bias: float) -> str:
    """Why no played note matches this true one, in a word."""
    near = [n for n in played if abs(n.on_s - true.on_s) <= NEAR_S and _overlap_s(n, true) > 0]
    right = [n for n in near if abs(n.pitch - true.pitch - bias) <= PITCH_CENTS / 100.0]
    if any(abs(n.on_s - true.on_s) <= ONSET_S for n in right):
        return "taken by another"  # one played note for two true ones
    if right:
        return "late" if min(right, key=lambda n: abs(n.on_s - true.on_s)).on_s > true.on_s else "early"
    if any(abs(n.on_s - true.on_s) <= ONSET_S for n in near):
        return "wrong pitch"
    middle_s = 0.5 * (true.on_s + true.off_s)
    return "merged" if any(n.on_s <= middle_s < n.off_s for n in played) else "silent"


def _extra(played: PlayedNote, true: Sequence[TrueNote]) -> str:
    """Where a note that matches no true one stands."""
    over = max((_overlap_s(played, t) for t in true), default=0.0)
    if over < 0.5 * (played.off_s - played.on_s):
        return "outside the singing"
    best = max(true, key=lambda t: _overlap_s(played, t))
    return "within a note" if played.on_s > best.on_s + ONSET_S else "at a note"
