"""Samples in, pitch frames out: no I/O, no threads, no clock.

Conventions
-----------
* The frame of hop k is made when the model-rate sample ``(k + 1) * hop - 1`` can be computed; that moment of
  stream time is ``available_s``. It speaks of ``time_s``, earlier by the look-ahead of the model's head
  (and, where the input has another rate, by the resampler's delay).
* Frames that would speak of a time before 0 are not given out.
* ``flush`` feeds silence until the last sample taken in has been spoken of, then resets.
* Whole or piece by piece, in whichever thread, the frames are the same to the bit. Denormal numbers are flushed
  to zero in the thread that feeds, and stay so: a fading sound would make every operation on them a hundred
  times slower, and the processor keeps that setting for each thread apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, floor, log, pi
from pathlib import Path

import numpy as np
import torch

from rt_melody.kernels import framing, posterior
from rt_melody.kernels.brightness import brightness_hz
from rt_melody.kernels.resample import BLOCK, StreamResampler
from rt_melody.kernels.viterbi import OnlineViterbi
from rt_melody.models.streaming import StreamingModel
from rt_melody.models.torchscript import ModelFileError
from rt_melody.realtime.errors import InputError, SettingsError
from rt_melody.realtime.types import LatencyBudget, LatencyPart, PitchFrame, midi_to_hz

RING_SAMPLES = 4096  # model-rate samples kept: more than any window
DC_CORNER_HZ = 15.0  # below it the input is no voice; an offset must not hide one
READ_CENTS = 80.0  # reach of the local mean around the decoded bin
BRIGHTNESS_HOPS = 2  # a period of the lowest voice
TIGHT_BOUND_MS = 30.0  # bounds up to this are kept with half hops
RIGHT_CENTS = 50.0  # confidence is the probability of being nearer than this to the truth


@dataclass(frozen=True)
class DecoderSettings:
    """Probabilities are per hop. Defaults are chosen on validation singers."""

    voicing_threshold: float = 0.7  # of the voicing probability
    f0_min_hz: float = 55.0
    f0_max_hz: float = 1450.0
    move_cents: float = 60.0  # standard deviation of the pitch's movement a hop
    move_limit_cents: float = 240.0
    leap: float = 0.3  # of a new pitch anywhere: less keeps a step of pitch waiting for one more hop
    begin: float = 0.9  # of singing to begin: the network weighs the past itself, a cost here only delays
    end: float = 0.9  # of singing to end


class Engine:
    """The tracker of one stream.

    Parameters
    ----------
    sample_rate : rate of the samples that will be fed, Hz.
    latency_ms : bound on how far an estimate lies behind the newest sample taken in. The largest look-ahead
        that fits is used.
    model : path of a model file, a StreamingModel (its stream is left alone, what is compiled is shared), or None for
        the shipped one.
    decoder : see DecoderSettings.
    hop_ms : how often a frame is given, the model's own hop or a whole part of it; None: see ``choose_hop_ms``.

    Raises SettingsError for a bound, a hop or a range that cannot be had, InputError for a rate or a model file.
    """

    def __init__(
        self,
        sample_rate: int,
        latency_ms: float = 50.0,
        model: StreamingModel | str | Path | None = None,
        decoder: DecoderSettings | None = None,
        hop_ms: float | None = None,
    ):
        self.decoder = decoder or DecoderSettings()
        self.model = model.for_another_stream() if isinstance(model, StreamingModel) else _load(model)
        config = self.model.config
        hop_ms = choose_hop_ms(latency_ms, config.hop_ms) if hop_ms is None else hop_ms
        phases = round(config.hop_ms / hop_ms) if hop_ms > 0 else 0
        if phases < 1 or abs(phases * hop_ms - config.hop_ms) > 1e-9 or config.hop_samples % phases:
            raise SettingsError(f"a hop of {hop_ms:g} ms cannot be had: it must be a whole part of the model's, {config.hop_ms:g} ms")
        self.model.set_phases(phases)
        self.hop_s = hop_ms / 1000.0
        try:
            self._resampler = StreamResampler(sample_rate, config.sample_rate)
        except ValueError as error:
            raise InputError(str(error)) from error
        self.sample_rate = self._resampler.rate_in
        self._hop, self._level_samples = config.hop_samples // phases, config.hop_samples
        self.latency, look_ahead_ms = plan_latency(latency_ms, hop_ms, self.model.heads_ms, self._resampler.delay_ms)
        self.model.choose_head(look_ahead_ms)
        self._behind_s = look_ahead_ms / 1000.0
        self._prepare_decoder()
        self._keep, self._dc = exp(-2.0 * pi * DC_CORNER_HZ / sample_rate), np.zeros(2)
        self._conditioned = np.zeros(BLOCK, np.float32)
        self._resampled = np.zeros(self._resampler.most_outputs(BLOCK), np.float32)
        self._ring = np.zeros(RING_SAMPLES, np.float32)
        self.reset()

    def _prepare_decoder(self) -> None:
        d, config = self.decoder, self.model.config
        if not 0.0 < d.voicing_threshold < 1.0:
            raise SettingsError(f"voicing threshold {d.voicing_threshold:g} must lie between 0 and 1")
        per_cent = config.bins_per_semitone / 100.0
        grid = config.pitch_midi()
        self._lowest, self._per_bin = float(grid[0]), 1.0 / config.bins_per_semitone
        hz = midi_to_hz(self._lowest), midi_to_hz(float(grid[-1]))
        lowest_hz, highest_hz = floor(hz[0]), 10.0 * ceil(0.1 * hz[1])  # round numbers for people to write
        if not lowest_hz <= d.f0_min_hz < d.f0_max_hz <= highest_hz:
            raise SettingsError(
                f"pitch range {d.f0_min_hz:g} .. {d.f0_max_hz:g} Hz must ascend within {lowest_hz:g} .. {highest_hz:g} Hz, "
                "which this model covers; see --f0-min-hz and --f0-max-hz"
            )
        per_octave = config.bins_per_octave * config.bins_per_position
        self._low_bin = max(0, round(per_octave * np.log2(d.f0_min_hz / hz[0])))
        self._high_bin = min(config.pitch_bins, round(per_octave * np.log2(d.f0_max_hz / hz[0])) + 1)
        self._read_bins, self._right_bins = round(READ_CENTS * per_cent), RIGHT_CENTS * per_cent
        self._threshold_logit = log(d.voicing_threshold / (1.0 - d.voicing_threshold))
        bins = config.pitch_bins
        self._viterbi = OnlineViterbi(
            bins, d.move_cents * per_cent, round(d.move_limit_cents * per_cent), d.leap, d.begin, d.end
        )
        self._observed = np.zeros(bins + 1, np.float32)
        self._posterior = np.zeros(bins, np.float32)

    # ---- the stream ----------------------------------------------------------------------------

    def reset(self, start_s: float = 0.0) -> None:
        """Forget what was heard. The next sample fed stands at ``start_s`` of stream time; where that is 0, frames and
        samples that were replaced are counted anew."""
        if start_s == 0.0:
            self.replaced_samples = 0
        self._begin(start_s)

    def _begin(self, start_s: float) -> None:
        self.model.reset()
        self._resampler.reset()
        self._viterbi.reset()
        self._ring[:] = 0.0
        self._dc[:] = np.nan, 0.0
        self._start_s = start_s
        self._written = 0  # model-rate samples since the reset
        self._hops = 0
        self.fed_samples = 0
        if start_s == 0.0:
            self._index = 0

    def warm_up(self) -> None:
        """Run every part once so that nothing compiles while streaming, then reset."""
        self.model.warm_up()
        self.feed(np.zeros(int(self.sample_rate * 0.1), np.float32))
        self.reset()

    def feed(self, samples: np.ndarray) -> list[PitchFrame]:
        """Take in mono samples ``[shape=(n,)]``, full scale 1; the frames that they complete.

        Values that are not finite count as 0 and are counted in ``replaced_samples``. Raises ValueError for
        an array of another shape, or of integers, whose full scale nobody knows.
        """
        samples = np.asarray(samples)
        if samples.dtype.kind != "f":
            raise ValueError(f"samples are {samples.dtype}; feed floats of full scale 1, for instance samples / 32768 of 16-bit ones")
        if samples.ndim != 1:
            raise ValueError(f"samples have shape {samples.shape}; feed one channel, shape (n,)")
        if samples.dtype != np.float32 or not samples.flags.carray:  # in memory as the kernels want it, writeable too
            samples = np.array(samples, np.float32)
        torch.set_flush_denormal(True)  # costs half a microsecond
        frames: list[PitchFrame] = []
        for start in range(0, len(samples), BLOCK):
            self._feed_block(samples[start : start + BLOCK], frames)
        return frames

    def flush(self) -> list[PitchFrame]:
        """The frames that still speak of what was taken in. The next sample fed begins another stream, but for
        ``replaced_samples``, which tells of this one until ``reset``."""
        last_s = self._start_s + self.fed_samples / self.sample_rate
        frames: list[PitchFrame] = []
        hop = np.zeros(max(1, round(self.hop_s * self.sample_rate)), np.float32)
        while self.fed_samples and self._time_of(self._hops) < last_s - 1e-9:
            frames += [f for f in self.feed(hop) if f.time_s < last_s - 1e-9]
        self._begin(0.0)
        return frames

    def _feed_block(self, block: np.ndarray, frames: list[PitchFrame]) -> None:
        self.replaced_samples += framing.condition(block, self._keep, self._dc, self._conditioned)
        self.fed_samples += len(block)
        count = self._resampler.process(self._conditioned[: len(block)], self._resampled)
        done = 0
        while done < count:
            part = min(count - done, self._hop - self._written % self._hop)
            framing.put(self._ring, self._written, self._resampled[done : done + part], part)
            self._written += part
            done += part
            if self._written % self._hop == 0:
                frame = self._hop_frame()
                if frame is not None:
                    frames.append(frame)

    # ---- one hop -------------------------------------------------------------------------------

    def _time_of(self, hop: int) -> float:
        return self._start_s + (hop + 1) * self.hop_s - self._behind_s

    def _hop_frame(self) -> PitchFrame | None:
        window = self.model.window
        framing.frame(self._ring, self._written, window)
        logits, voicing_logit = self.model.step()
        hop, self._hops = self._hops, self._hops + 1
        self._observe(logits, voicing_logit - self._threshold_logit)
        state = self._viterbi.feed(self._observed)
        time_s = self._time_of(hop)
        if time_s < self._start_s - 1e-9:
            return None
        return self._read(state, 1.0 / (1.0 + exp(-max(-40.0, min(40.0, voicing_logit)))), hop, time_s)

    def _observe(self, logits: np.ndarray, voicing_logit: float) -> None:
        """Log-likelihoods for the decoder: pitch bins relative to the best, shifted by the voicing."""
        row = self._posterior
        posterior.softmax(logits, row)
        row[: self._low_bin] = 0.0
        row[self._high_bin :] = 0.0
        odds = max(-20.0, min(20.0, voicing_logit))
        best = posterior.peak(row, self._low_bin, self._high_bin)
        self._observed[:] = -40.0
        inside = slice(self._low_bin, self._high_bin)
        np.subtract(logits[inside], logits[best], out=self._observed[inside])
        self._observed[: self.model.config.pitch_bins] += odds
        np.maximum(self._observed, -40.0, out=self._observed)
        self._observed[-1] = 0.0

    def _read(self, state: int, voicing: float, hop: int, time_s: float) -> PitchFrame:
        row = self._posterior
        voiced = state < len(row)
        centre = state if voiced else posterior.peak(row, self._low_bin, self._high_bin)
        bins = posterior.local_mean(row, centre, self._read_bins)
        sure = voicing * posterior.mass_near(row, bins, self._right_bins) if voiced else 1.0 - voicing
        index, self._index = self._index, self._index + 1
        outputs = (hop + 1) * self._hop
        return PitchFrame(
            index=index,
            time_s=time_s,
            available_s=self._start_s + self._resampler.inputs_for(outputs) / self.sample_rate,
            f0_hz=midi_to_hz(self._lowest + bins * self._per_bin),
            voiced=voiced,
            confidence=min(1.0, max(0.0, float(sure))),
            voicing=voicing,
            level_db=framing.level_db(self.model.window, self._level_samples),
            brightness_hz=brightness_hz(self.model.window, BRIGHTNESS_HOPS * self._level_samples, self.model.config.sample_rate),
        )


def _load(path: str | Path | None) -> StreamingModel:
    try:
        return StreamingModel(path)
    except ModelFileError as error:
        raise InputError(str(error)) from error


def choose_hop_ms(bound_ms: float, model_hop_ms: float) -> float:
    """Half of the model's hop for bounds up to TIGHT_BOUND_MS: what is not waited for can be looked ahead.

    It costs twice the work, which buys nothing where the bound leaves room for all the look-ahead of use.
    """
    return model_hop_ms / 2.0 if bound_ms <= TIGHT_BOUND_MS else model_hop_ms


def plan_latency(
    bound_ms: float, hop_ms: float, heads_ms: tuple[float, ...], resampler_ms: float
) -> tuple[LatencyBudget, float]:
    """The budget for a bound, and the longest look-ahead in ms that fits.

    Raises SettingsError, with the sum, for a bound that the shortest look-ahead does not meet.
    """
    def budget(look_ahead_ms: float) -> LatencyBudget:
        parts = [
            LatencyPart("hop", hop_ms, "a sound waits until its hop is full"),
            LatencyPart("resampler", resampler_ms, "to the model's own rate" if resampler_ms else "the input has the model's own rate"),
            LatencyPart("look-ahead", look_ahead_ms, "of the model"),
        ]
        return LatencyBudget(bound_ms, tuple(parts))

    fitting = [h for h in heads_ms if budget(h).total_ms <= bound_ms + 1e-6]
    if not fitting:
        least = budget(min(heads_ms))
        raise SettingsError(
            f"a latency bound of {bound_ms:g} ms cannot be met: the shortest setting needs {least.total_ms:.2f} ms;"
            f" give --latency-ms {ceil(least.total_ms - 1e-6)} or more. The sum:\n{least.table()}"
        )
    look_ahead = max(fitting)
    return budget(look_ahead), look_ahead
