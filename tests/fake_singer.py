"""A made singer who does the five things that a setup asks for, and whose room, levels and range are known."""

from __future__ import annotations

import numpy as np

from rt_melody.kernels.phrase import Singer, SungNote, render_phrase
from rt_melody.realtime.calibration import PHASE_S

LOWEST, HIGHEST = 45, 69
ROOM_DB, SOFT_DB, LOUD_DB = -62.0, -38.0, -14.0


def voice(notes: list[float], level_db: float, rate: int) -> np.ndarray:
    """PHASE_S of those notes, of that RMS where they sound."""
    each_s = (PHASE_S - 0.4) / len(notes)
    sung = [SungNote(0.2 + i * each_s, each_s * 0.95, note) for i, note in enumerate(notes)]
    samples = render_phrase(sung, rate, seed=1, singer=Singer(), duration_s=PHASE_S).samples[: round(PHASE_S * rate)]
    loud = np.abs(samples) > 0.05 * np.abs(samples).max()
    return samples * 10 ** (level_db / 20) / np.sqrt(np.mean(samples[loud] ** 2))


def five_things(rate: int) -> np.ndarray:
    """Quiet, soft, loud, lowest, highest, PHASE_S each, in a room that is never silent [shape=(n,)]."""
    parts = [
        np.zeros(round(PHASE_S * rate)), voice([52, 55, 57], SOFT_DB, rate), voice([57, 60, 57], LOUD_DB, rate),
        voice([LOWEST], -25.0, rate), voice([HIGHEST], -25.0, rate),
    ]  # fmt: skip
    room = 10 ** (ROOM_DB / 20) * np.random.default_rng(1).standard_normal(sum(map(len, parts)))
    return (np.concatenate(parts) + room).astype(np.float32)
