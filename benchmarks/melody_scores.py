"""Melody figures by mir_eval, pooled over the frames of a set and as means over clips.

Conventions of mir_eval.melody: VR voicing recall, VFA voicing false alarm, RPA raw pitch accuracy, RCA raw
chroma accuracy, OA overall accuracy, within 50 cents. Estimates are read at the reference's times by ``read_at``, and
mir_eval is given what was read: its own alignment holds the voicing of the estimate before, which makes that of a
tracker whose estimates come just after the reference's times a whole hop old.

What the errors are made of, in percent of all frames: missed (sung, told unvoiced), false alarm (the reverse),
octave (voiced in both, right but for octaves), other (voiced in both, wrong otherwise). With OA they sum to 100.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from mir_eval import melody

NAMES = ("OA", "RPA", "RCA", "VR", "VFA")
ERRORS = ("missed", "false alarm", "octave", "other")
RIGHT_CENTS = 50.0
RATIOS_DB = (-10, -5, 0, 5, 10)  # of the voice to the band at a moment
RANGES_HZ = (0, 82, 110, 156, 220, 311, 440, 622, 880, 20000)  # half octaves about the notes E2 to A5


@dataclass(frozen=True)
class Frames:
    """A clip at the reference's times; cents re 10 Hz, confidence of the nearest row; by how many dB the voice is louder just then
    than what sounds beside it, infinite where that is not known or nothing does."""

    ref_voicing: np.ndarray
    ref_cent: np.ndarray
    est_voicing: np.ndarray
    est_cent: np.ndarray
    confidence: np.ndarray
    time_s: np.ndarray
    over_band_db: np.ndarray

    def only(self, which: np.ndarray) -> Frames:
        """The frames that ``which`` (bool) chooses."""
        return Frames(*(getattr(self, name)[which] for name in Frames.__annotations__))

    def right(self) -> np.ndarray:
        """Whether what was told of each frame, voicing and pitch, is so (bool)."""
        sung, told = self.ref_voicing > 0, self.est_voicing > 0
        near = np.abs(self.ref_cent - self.est_cent) <= RIGHT_CENTS
        return np.where(sung, told & near, ~told)


def read_at(
    times_s: np.ndarray, est_time_s: np.ndarray, est_hz: np.ndarray, est_voiced: np.ndarray, existing: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """f0 in Hz and voicing at ``times_s`` [shape=(n,)] of estimates [shape=(m,)] in order of time.

    Between two estimates f0 is interpolated in cents, after the newest it is held; voicing is the nearest estimate's.
    ``existing`` [shape=(n,)]: how many of the estimates may be known at each time, all if None; where there is none,
    0 Hz and unvoiced.
    """
    if not len(est_time_s):
        return np.zeros(len(times_s)), np.zeros(len(times_s), bool)
    if existing is None:
        existing = np.full(len(times_s), len(est_time_s))
    after = np.searchsorted(est_time_s, times_s - 1e-9)
    left = np.clip(np.minimum(after, existing) - 1, 0, None)
    right = np.where(after < existing, after, left)
    left = np.where((after == 0) & (existing > 0), right, left)
    span = est_time_s[right] - est_time_s[left]
    part = np.clip((times_s - est_time_s[left]) / np.where(span > 0, span, 1.0), 0.0, 1.0) * (span > 0)
    nearest = np.where(part < 0.5, left, right)
    log_hz = np.log2(np.maximum(est_hz, 1e-6))
    both = (est_hz[left] > 0) & (est_hz[right] > 0)
    f0_hz = np.where(both, 2.0 ** (log_hz[left] + part * (log_hz[right] - log_hz[left])), est_hz[nearest])
    nothing = existing == 0
    return np.where(nothing, 0.0, f0_hz), est_voiced[nearest].astype(bool) & ~nothing


def aligned(ref_time_s, ref_hz, est_time_s, est_hz, est_voiced, est_confidence=None) -> Frames:
    """One clip at the reference's times. ``ref_hz`` 0 where unvoiced; ``est_hz`` the guess everywhere. All
    ``[shape=(n,)]``."""
    read_hz, read_voiced = read_at(ref_time_s, np.asarray(est_time_s), np.asarray(est_hz), np.asarray(est_voiced))
    cents = melody.to_cent_voicing(ref_time_s, ref_hz, ref_time_s, np.where(read_voiced, read_hz, -read_hz))
    confidence = np.ones_like(est_hz) if est_confidence is None else est_confidence
    times = np.concatenate([[0.0], ref_time_s])[-len(cents[0]) :]
    nearest = np.clip(np.round(np.interp(times, est_time_s, np.arange(len(est_time_s)))).astype(int), 0, None)
    return Frames(*cents, confidence[nearest], times, np.full(len(times), np.inf))


class MelodyScores:
    """Collects clips; ``pooled``, ``mean``, ``errors`` and ``by_range`` give percentages by name."""

    def __init__(self, clips: Iterable[Frames] = ()) -> None:
        self._clips: list[Frames] = list(clips)

    def add(self, *clip) -> None:
        """A clip as ``aligned`` takes it."""
        self._clips.append(aligned(*clip))

    def frames(self) -> Frames:
        """All clips as one."""
        return Frames(*(np.concatenate([getattr(c, name) for c in self._clips]) for name in Frames.__annotations__))

    def pooled(self) -> dict[str, float]:
        return _figures(self.frames())

    def mean(self) -> dict[str, float]:
        each = [_figures(clip) for clip in self._clips]
        return {name: float(np.mean([e[name] for e in each])) for name in NAMES}

    def errors(self) -> dict[str, float]:
        f = self.frames()
        sung, told, away = f.ref_voicing > 0, f.est_voicing > 0, np.abs(f.ref_cent - f.est_cent)
        chroma = np.abs(away - 1200 * np.floor(away / 1200 + 0.5)) <= RIGHT_CENTS
        both = sung & told & (away > RIGHT_CENTS)
        parts = (sung & ~told, ~sung & told, both & chroma, both & ~chroma)
        return {name: 100.0 * float(part.mean()) for name, part in zip(ERRORS, parts)}

    def by_range(self) -> dict[str, dict[str, float]]:
        """RPA, RCA, VR of the frames whose true f0 lies in each range, and their number."""
        f, rows = self.frames(), {}
        hz = 10.0 * 2.0 ** (f.ref_cent / 1200.0)
        for low, high in pairwise(RANGES_HZ):
            inside = (f.ref_voicing > 0) & (hz >= low) & (hz < high)
            if inside.any():
                figures = _figures(f.only(inside))
                rows[f"{low}-{high} Hz"] = {"frames": int(inside.sum()), **{k: figures[k] for k in ("RPA", "RCA", "VR")}}
        return rows

    def by_ratio(self) -> dict[str, dict[str, float]]:
        """In percent of all frames, those whose voice is so much louder than the band, or those without one, and of these what was
        told wrong: missed or taken for sung, and of another pitch."""
        f = self.frames()
        sung, told, right = f.ref_voicing > 0, f.est_voicing > 0, f.right()
        at, rows = np.digitize(f.over_band_db, RATIOS_DB), {}
        between = [f"{low} to {high} dB" for low, high in pairwise(RATIOS_DB)]
        names = (f"below {RATIOS_DB[0]} dB", *between, f"{RATIOS_DB[-1]} dB and more")
        for name, frames in {**{name: sung & (at == i) for i, name in enumerate(names)}, "nobody sings": ~sung}.items():
            parts = (frames, frames & (sung != told), frames & sung & told & ~right)
            rows[name] = dict(zip(("frames", "voicing wrong", "pitch wrong"), (100.0 * float(part.mean()) for part in parts)))
        return rows

    def reliability(self, steps: int = 10) -> list[dict[str, float]]:
        """For each tenth of confidence: how many frames, the mean told, the share that was right."""
        f, rows = self.frames(), []
        right, tenth = f.right(), np.minimum((f.confidence * steps).astype(int), steps - 1)
        for i in range(steps):
            inside = tenth == i
            if inside.any():
                rows.append({"frames": int(inside.sum()), "told": float(f.confidence[inside].mean()), "right": float(right[inside].mean())})
        return rows


def _figures(f: Frames) -> dict[str, float]:
    recall, false_alarm = melody.voicing_measures(f.ref_voicing, f.est_voicing)
    both = (f.ref_voicing, f.ref_cent, f.est_voicing, f.est_cent)
    values = {
        "OA": melody.overall_accuracy(*both),
        "RPA": melody.raw_pitch_accuracy(*both),
        "RCA": melody.raw_chroma_accuracy(*both),
        "VR": recall,
        "VFA": false_alarm,
    }
    return {name: 100.0 * float(values[name]) for name in NAMES}
