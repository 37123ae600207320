"""A song that the program sings to itself, so that there is something to track without a microphone.

Conventions
-----------
* The tune is the beginning of "Frere Jacques", of which no composer is known and no rights remain. Its
  notes and its f0, sample by sample, are those it was made from: ``DemoSource.phrase``.
* The voice is compiled and the song rendered in ``open``, before the first sample is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from rt_melody.realtime.sources.blocks import PacedSource, check_sample_rate
from rt_melody.realtime.sources.mixing import chosen

if TYPE_CHECKING:
    from rt_melody.kernels.phrase import Phrase

DEMO_RATE_HZ = 48_000
BEAT_S = 0.55
LEAD_IN_S = 0.5
TAIL_S = 0.6

# Beats, MIDI note, onset, vowel: eleven notes in G, for a baritone.
TUNE = (
    (1, 55, "f", "e"),
    (1, 57, "", "uh"),
    (1, 59, "h", "a"),
    (1, 55, "k", "uh"),
    (1, 55, "f", "e"),
    (1, 57, "", "uh"),
    (1, 59, "h", "a"),
    (1, 55, "k", "uh"),
    (1, 59, "t", "o"),
    (1, 60, "m", "e"),
    (2, 62, "", "u"),
)


def demo_phrase(sample_rate: int = DEMO_RATE_HZ) -> Phrase:
    """The demo song: about 7.7 s, 11 notes. The first call of an installation compiles the voice."""
    from rt_melody.kernels.phrase import Singer, SungNote, render_phrase

    notes: list[SungNote] = []
    start_s = LEAD_IN_S
    for beats, pitch, onset, vowel in TUNE:
        notes.append(SungNote(start_s, beats * BEAT_S, pitch, vowel, onset))
        start_s += beats * BEAT_S
    return render_phrase(notes, sample_rate, seed=1, singer=Singer(), duration_s=start_s + TAIL_S)


class DemoSource(PacedSource):
    """The demo song; with ``realtime`` in 10 ms blocks at the pace of the clock, else at once.

    ``clock`` and ``sleep`` are stand-ins for the time module's. Raises InputError for a ``channel`` other than 1.
    """

    name = "demo"

    def __init__(
        self,
        realtime: bool = True,
        sample_rate: int = DEMO_RATE_HZ,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
        channel: int | None = None,
    ) -> None:
        super().__init__(realtime, clock, sleep)
        chosen(channel, 1, "the demo")  # it has one
        self.sample_rate = check_sample_rate(sample_rate, f"{DEMO_RATE_HZ} serves")
        self._phrase: Phrase | None = None

    @property
    def phrase(self) -> Phrase:
        """What is sung: samples, f0 of every sample, notes."""
        if self._phrase is None:
            self._phrase = demo_phrase(self.sample_rate)
        return self._phrase

    def open(self) -> None:
        self._samples = self.phrase.samples.copy()
        self._begin()

    def _next_block(self, max_samples: int) -> np.ndarray | None:
        first = self._position_samples
        block = self._samples[first : first + max_samples]
        return block if len(block) else None
