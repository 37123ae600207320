"""From the network's posteriors to one pitch and one decision on voicing a hop. The last third of the engine.

Conventions
-----------
* Pitch bins are those of the model's configuration, ascending; one more state stands for silence.
* Causal: a hop's estimate is final, whatever comes after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, floor, log
from typing import NamedTuple

import numpy as np

from rt_melody.kernels import posterior
from rt_melody.kernels.viterbi import OnlineViterbi
from rt_melody.models.config import ModelConfig
from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.settings.inputs import DecoderSettings
from rt_melody.realtime.types import midi_to_hz

READ_CENTS = 80.0  # reach of the local mean around the decoded bin
RIGHT_CENTS = 50.0  # confidence is the probability of being nearer than this to the truth
FLOOR = -40.0  # least log-likelihood, relative to the best


class Estimate(NamedTuple):
    """What a hop was decided to be."""

    f0_hz: float  # the best guess, also where unvoiced
    voiced: bool
    confidence: float  # 0..1, the probability that f0 and voicing are right
    voicing: float  # 0..1, the probability that somebody sings


class PitchDecoder:
    """Reads the posteriors of one stream. Raises SettingsError for a pitch range that the model does not cover."""

    def __init__(self, settings: DecoderSettings, config: ModelConfig) -> None:
        self.settings = d = settings
        per_cent = config.bins_per_semitone / 100.0
        grid = config.pitch_midi()
        self._lowest, self._per_bin = float(grid[0]), 1.0 / config.bins_per_semitone
        self._choose_bins(midi_to_hz(self._lowest), midi_to_hz(float(grid[-1])), config)
        self._read_bins, self._right_bins = round(READ_CENTS * per_cent), RIGHT_CENTS * per_cent
        self._threshold_logit = log(d.voicing_threshold / (1.0 - d.voicing_threshold))
        self._bins = config.pitch_bins
        self._viterbi = OnlineViterbi(
            self._bins, d.move_cents * per_cent, round(d.move_limit_cents * per_cent), d.leap, d.begin, d.end
        )
        self._make_room(1)

    def _make_room(self, hops: int) -> None:
        """For what is worked on, a row a hop."""
        self._odds, self._near, self._at = np.zeros(hops), np.zeros(hops), np.zeros(hops)
        self._observed = np.zeros((hops, self._bins + 1), np.float32)
        self._posterior = np.zeros((hops, self._bins), np.float32)
        self._states = np.zeros(hops, np.int64)

    def _choose_bins(self, grid_low_hz: float, grid_high_hz: float, config: ModelConfig) -> None:
        d = self.settings
        lowest_hz, highest_hz = floor(grid_low_hz), 10.0 * ceil(0.1 * grid_high_hz)  # round numbers for people to write
        if not lowest_hz <= d.f0_min_hz < d.f0_max_hz <= highest_hz:
            raise SettingsError(
                f"pitch range {d.f0_min_hz:g} .. {d.f0_max_hz:g} Hz must ascend within {lowest_hz:g} .. {highest_hz:g} Hz, "
                "which this model covers; see --f0-min-hz and --f0-max-hz"
            )
        per_octave = config.bins_per_octave * config.bins_per_position
        self._low_bin = max(0, round(per_octave * np.log2(d.f0_min_hz / grid_low_hz)))
        self._high_bin = min(config.pitch_bins, round(per_octave * np.log2(d.f0_max_hz / grid_low_hz)) + 1)

    @property
    def posterior(self) -> np.ndarray:
        """Of the newest hop, the probability of each pitch bin where somebody sings [shape=(pitch_bins,)]; overwritten by the next."""
        return self._posterior[-1]

    def reset(self) -> None:
        """Forget what was heard."""
        self._viterbi.reset()

    def feed(self, logits: np.ndarray, voicing_logits: Sequence[float]) -> list[Estimate]:
        """The estimates of the next hops, of their pitch logits [shape=(n_hops, pitch_bins)] and their logits of singing."""
        if len(voicing_logits) != len(self._states):
            self._make_room(len(voicing_logits))
        self._odds[:] = [max(-20.0, min(20.0, logit - self._threshold_logit)) for logit in voicing_logits]
        posterior.observe(logits, self._odds, FLOOR, self._low_bin, self._high_bin, self._posterior, self._observed)
        self._viterbi.feed_all(self._observed, self._states)
        posterior.read(
            self._posterior, self._states, self._low_bin, self._high_bin, self._read_bins, self._right_bins, self._at, self._near
        )
        read = zip(self._states.tolist(), self._at.tolist(), self._near.tolist(), voicing_logits)
        return [self._estimate(state < self._bins, at, near, logit) for state, at, near, logit in read]

    def _estimate(self, voiced: bool, at_bin: float, near: float, voicing_logit: float) -> Estimate:
        voicing = 1.0 / (1.0 + exp(-max(-40.0, min(40.0, voicing_logit))))
        sure = voicing * near if voiced else 1.0 - voicing
        return Estimate(midi_to_hz(self._lowest + at_bin * self._per_bin), voiced, min(1.0, max(0.0, sure)), voicing)
