"""Samples in, pitch frames out: no I/O, no threads, no clock. Front end, streaming model and decoder, put together.

Conventions
-----------
* The frame of hop k is made when the hop is complete (see frontend.py); that moment of stream time is
  ``available_s``. It speaks of ``time_s``, earlier by the look-ahead of the model's head (and, where the input has
  another rate, by the resampler's delay).
* Frames that would speak of a time before 0 are not given out.
* ``flush`` feeds silence until the last sample taken in has been spoken of, then resets.
* With ``hops_at_once`` the frames come when so many hops are complete, or at ``flush``: a recording is heard in a fraction
  of the time. They are those of one hop at a time but for rounding.
* Whole or piece by piece, in whichever thread, the frames of one ``hops_at_once`` are the same to the bit. While it is fed, torch computes
  in that thread alone and denormal numbers are zeros; both are as before when ``feed`` returns (see ``hop_computing``).
"""

from __future__ import annotations

from math import inf
from pathlib import Path

import numpy as np

from rt_melody.kernels import framing
from rt_melody.kernels.brightness import brightness_hz, mobilities
from rt_melody.models.streaming import StreamingModel, hop_computing
from rt_melody.models.torchscript import ModelFileError
from rt_melody.realtime.decoder import Estimate, PitchDecoder
from rt_melody.realtime.errors import InputError, SettingsError
from rt_melody.realtime.frontend import FrontEnd
from rt_melody.realtime.latency import choose_hop_ms, plan_latency
from rt_melody.realtime.settings.inputs import DecoderSettings
from rt_melody.realtime.types import PitchFrame

BRIGHTNESS_HOPS = 2  # a period of the lowest voice
RECORDED_HOPS = 64  # at once, where samples are at hand: more gains nothing and takes memory


class Engine:
    """The pitch tracker of one stream.

    Parameters
    ----------
    sample_rate : rate of the samples that will be fed, Hz.
    latency_ms : bound on how far an estimate lies behind the newest sample taken in. The largest look-ahead
        that fits is used.
    model : path of a model file, a StreamingModel (its stream is left alone, what is compiled is shared), or None for
        the shipped one.
    decoder : see DecoderSettings.
    hop_ms : how often a frame is given, the model's own hop or a whole part of it; None: see ``choose_hop_ms``.
    hops_at_once : of the model, for recordings (see ``RECORDED_HOPS``); 1 for what is live.

    Raises SettingsError for a bound, a hop or a range that cannot be had, InputError for a rate or a model file.
    """

    def __init__(
        self,
        sample_rate: int,
        latency_ms: float = 50.0,
        model: StreamingModel | str | Path | None = None,
        decoder: DecoderSettings | None = None,
        hop_ms: float | None = None,
        hops_at_once: int = 1,
    ):
        self.model = model.for_another_stream() if isinstance(model, StreamingModel) else load_streaming_model(model)
        config = self.model.config
        if config.long_taps <= BRIGHTNESS_HOPS * config.hop_samples:
            raise InputError(
                f"the model {self.model.path} hears windows of {config.long_taps} samples, which must be longer than {BRIGHTNESS_HOPS} of "
                f"its hops of {config.hop_samples}; give another, or leave it out"
            )
        hop_ms = choose_hop_ms(latency_ms, config.hop_ms) if hop_ms is None else hop_ms
        phases = _phases(hop_ms, config.hop_ms, config.hop_samples)
        self.model.set_phases(phases)
        self.hop_s = hop_ms / 1000.0
        self.front = FrontEnd(sample_rate, config.sample_rate, config.hop_samples // phases, config.long_taps)
        self.sample_rate = self.front.sample_rate
        self.latency, self.look_ahead_ms = plan_latency(latency_ms, hop_ms, self.model.heads_ms, self.front.delay_ms)
        self.model.choose_head(self.look_ahead_ms)
        self.decoder = PitchDecoder(decoder or DecoderSettings(), config)
        self._level_samples = config.hop_samples
        if hops_at_once < 1:
            raise SettingsError(f"hops_at_once {hops_at_once} must be at least 1")
        self._live = hops_at_once == 1
        self._windows = self.model.window[None] if self._live else np.zeros((hops_at_once * phases, config.long_taps), np.float32)
        self._levels, self._mobilities = np.zeros(len(self._windows)), np.zeros(len(self._windows))
        self.reset()

    @property
    def replaced_samples(self) -> int:
        """Samples since the last ``reset`` that were not finite and counted as 0."""
        return self.front.replaced_samples

    # ---- the stream ----------------------------------------------------------------------------

    def reset(self, start_s: float = 0.0) -> None:
        """Forget what was heard. The next sample fed stands at ``start_s`` of stream time; where that is 0, frames and
        samples that were replaced are counted anew."""
        if start_s == 0.0:
            self.front.replaced_samples = 0
        self._begin(start_s)

    def _begin(self, start_s: float) -> None:
        self.model.reset()
        self.front.reset(start_s)
        self.decoder.reset()
        self._start_s = start_s
        self._hops = 0  # of which there is an estimate
        self._waiting = 0  # windows, for the others of their block
        if start_s == 0.0:
            self._index = 0

    def know_band(
        self, samples: np.ndarray, sample_rate: int | None = None, loops: bool = False, lead_s: float = 0.0, one_clock: bool = True
    ) -> None:
        """Take a band that is known out of what will be fed: float samples [shape=(n,)], the first of them at stream time 0,
        at ``sample_rate`` Hz, that of the stream where None is given. ``loops``: it begins again at its end; ``lead_s``: it is
        heard so much earlier than stream time says; ``one_clock``: its clock is that of the stream. Resets. Raises as
        ``feed``, and InputError for a rate."""
        self.front.know(_as_floats(samples), sample_rate or self.sample_rate, loops, lead_s, one_clock)
        self.reset()

    def expect_reference(self, one_clock: bool = True, careful_after_s: float = inf) -> None:
        """Take the band out that will be fed beside the voice, which may be of another clock. ``careful_after_s``: where it follows the
        singer, as an instrument does that plays what is sung, the path is learnt in so long from its first sound on, in which it
        plays something else. Resets."""
        self.front.expect_reference(one_clock, careful_after_s)
        self.reset()

    def learn_reference_anew(self) -> None:
        """What the way of the reference is learnt by is played again: all of it is learnt, as at first."""
        if self.front.band is not None:
            self.front.band.canceller.learn_anew()

    def warm_up(self) -> None:
        """Run every part once so that nothing compiles while streaming, then reset. Nothing is gained by it in a recording."""
        if not self._live:
            return
        self.model.warm_up()
        self.feed(np.zeros(int(self.sample_rate * 0.1), np.float32))
        self.reset()

    def feed(self, samples: np.ndarray, reference: np.ndarray | None = None) -> list[PitchFrame]:
        """Take in mono samples ``[shape=(n,)]``, full scale 1; the frames that they complete.

        ``reference``: the band that is heard beside the voice, at the same rate ``[shape=(n,)]``; it is taken out. A stream
        whose first samples come without one must be told by ``expect_reference``; what then comes without one is silence.
        Values that are not finite count as 0 and are counted in ``replaced_samples``. Raises ValueError for
        an array of another shape, or of integers, whose full scale nobody knows, and for a reference that nobody expects.
        """
        samples = _as_floats(samples)
        if reference is not None:
            reference = self._as_reference(reference, len(samples))
        frames: list[PitchFrame] = []
        with hop_computing():
            for ready in self.front.feed(samples, reference):
                self._take(ready, frames)
        return frames

    def _as_reference(self, reference: np.ndarray, count: int) -> np.ndarray:
        reference = _as_floats(reference)
        if len(reference) != count:
            raise ValueError(f"{len(reference)} samples of the reference beside {count} of the voice; feed as many of both")
        if self.front.band is None and not self.front.fed_samples:
            self.front.expect_reference()
        if self.front.fed is None:
            raise ValueError("a reference comes that was not expected; call expect_reference first")
        return reference

    def flush(self) -> list[PitchFrame]:
        """The frames that still speak of what was taken in. The next sample fed begins another stream, but for
        ``replaced_samples``, which tells of this one until ``reset``."""
        last_s = self._start_s + self.front.fed_samples / self.sample_rate
        frames: list[PitchFrame] = []
        hop = np.zeros(max(1, round(self.hop_s * self.sample_rate)), np.float32)
        while self.front.fed_samples and self._time_of(self._hops) < last_s - 1e-9:
            frames += [f for f in self.feed(hop) if f.time_s < last_s - 1e-9]
        self._begin(0.0)
        return frames

    # ---- hops ----------------------------------------------------------------------------------

    def _time_of(self, hop: int) -> float:
        return self._start_s + (hop + 1) * self.hop_s - self.look_ahead_ms / 1000.0

    def _take(self, ready: int, frames: list[PitchFrame]) -> None:
        """Hops are complete, so many: the frames of each block of which all hops are there."""
        while ready:
            taken = min(ready, len(self._windows) - self._waiting)
            self.front.cut(self._windows[self._waiting : self._waiting + taken])
            self._waiting += taken
            ready -= taken
            if self._waiting == len(self._windows):
                self._waiting = 0
                self._hear(frames)

    def _hear(self, frames: list[PitchFrame]) -> None:
        """The frames of the windows."""
        logits, voicing_logits = self._logits()
        estimates = self.decoder.feed(logits, voicing_logits)
        framing.levels_db(self._windows, self._level_samples, self._levels)
        mobilities(self._windows, BRIGHTNESS_HOPS * self._level_samples, self._mobilities)
        for estimate, level_db, mobility in zip(estimates, self._levels.tolist(), self._mobilities.tolist()):
            self._give(frames, estimate, level_db, brightness_hz(mobility, self.model.config.sample_rate))

    def _logits(self) -> tuple[np.ndarray, list[float]]:
        """What the model makes of the windows: of pitch [shape=(n_hops, pitch_bins)], of singing [n_hops]."""
        if self._live:
            pitch, voicing = self.model.step()
            return pitch[None], [voicing]
        pitches, voicings = self.model.block(self._windows)
        return pitches, voicings.tolist()

    def _give(self, frames: list[PitchFrame], estimate: Estimate, level_db: float, brightness_hz: float) -> None:
        hop, self._hops = self._hops, self._hops + 1
        time_s = self._time_of(hop)
        if time_s < self._start_s - 1e-9:
            return
        index, self._index = self._index, self._index + 1
        available_s = self._start_s + self.front.complete_s(hop)
        f0_hz, voiced, confidence, voicing = estimate
        frames.append(PitchFrame(index, time_s, available_s, f0_hz, voiced, confidence, voicing, level_db, brightness_hz))


def load_streaming_model(path: str | Path | None, trust_model: bool = False) -> StreamingModel:
    """The model of a file, or the shipped one. Raises InputError for one that cannot be used or is not trusted."""
    try:
        return StreamingModel(path, trust_model)
    except ModelFileError as error:
        raise InputError(str(error)) from error


def _phases(hop_ms: float, model_hop_ms: float, model_hop_samples: int) -> int:
    """How many interleaved streams of the model give a frame every ``hop_ms``."""
    phases = round(model_hop_ms / hop_ms) if hop_ms > 0 else 0
    if phases < 1 or abs(phases * hop_ms - model_hop_ms) > 1e-9 or model_hop_samples % phases:
        raise SettingsError(f"a hop of {hop_ms:g} ms cannot be had: it must be a whole part of the model's, {model_hop_ms:g} ms")
    return phases


def _as_floats(samples: np.ndarray) -> np.ndarray:
    """Float32 [shape=(n,)], in memory as the kernels want it."""
    samples = np.asarray(samples)
    if samples.dtype.kind != "f":
        raise ValueError(f"samples are {samples.dtype}; feed floats of full scale 1, for instance samples / 32768 of 16-bit ones")
    if samples.ndim != 1:
        raise ValueError(f"samples have shape {samples.shape}; feed one channel, shape (n,)")
    if samples.dtype != np.float32 or not samples.flags.carray:  # writeable too
        samples = np.array(samples, np.float32)
    return samples
