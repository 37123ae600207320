"""Melody figures by mir_eval, pooled over the frames of a set and as means over clips.

Conventions of mir_eval.melody: VR voicing recall, VFA voicing false alarm, RPA raw pitch accuracy, RCA raw
chroma accuracy, OA overall accuracy, within 50 cents. Estimates are read at the reference's times.
"""

from __future__ import annotations

import numpy as np
from mir_eval import melody

NAMES = ("OA", "RPA", "RCA", "VR", "VFA")


class MelodyScores:
    """Collects clips; ``pooled`` and ``mean`` give percentages by name."""

    def __init__(self) -> None:
        self._frames: list[tuple[np.ndarray, ...]] = []

    def add(self, ref_time_s, ref_hz, est_time_s, est_hz, est_voiced) -> None:
        """``ref_hz`` 0 where unvoiced; ``est_hz`` the guess everywhere. All ``[shape=(n,)]``."""
        signed = np.where(est_voiced, est_hz, -np.asarray(est_hz))
        self._frames.append(melody.to_cent_voicing(ref_time_s, ref_hz, est_time_s, signed))

    def pooled(self) -> dict[str, float]:
        return _figures(*(np.concatenate(part) for part in zip(*self._frames)))

    def mean(self) -> dict[str, float]:
        each = [_figures(*frames) for frames in self._frames]
        return {name: float(np.mean([e[name] for e in each])) for name in NAMES}


def _figures(ref_voicing, ref_cent, est_voicing, est_cent) -> dict[str, float]:
    recall, false_alarm = melody.voicing_measures(ref_voicing, est_voicing)
    both = (ref_voicing, ref_cent, est_voicing, est_cent)
    values = {
        "OA": melody.overall_accuracy(*both),
        "RPA": melody.raw_pitch_accuracy(*both),
        "RCA": melody.raw_chroma_accuracy(*both),
        "VR": recall,
        "VFA": false_alarm,
    }
    return {name: 100.0 * float(values[name]) for name in NAMES}
