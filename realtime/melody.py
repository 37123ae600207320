"""One voice, from samples to what is played: pitch frames and note events, in the order in which they came to be.

The whole of the product but for where sound comes from and where notes go. No I/O, no clock, no threads: the command,
``track``, the self-test and every benchmark use it, so that all of them hear the same.

Conventions
-----------
* ``feed`` and ``flush`` give a flat list: each ``PitchFrame`` as the gate lets it pass, then the events that it caused.
* Whole or piece by piece, frames and events are the same to the bit; what comes later never changes what was given.
* A note that sounds is ended by ``flush``, ``skip_to`` and ``finish``; ``reset`` forgets it without a word.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Union

from rt_melody.realtime.notes import NoteTracker
from rt_melody.realtime.playing.gate import Gate, make_gate
from rt_melody.realtime.playing.performance import Performer
from rt_melody.realtime.playing.scale import Scale
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.types import NoteEvent, PitchFrame

if TYPE_CHECKING:  # importing them takes a second, which a wrong file name need not wait for
    import numpy as np

    from rt_melody.models.streaming import StreamingModel
    from rt_melody.realtime.engine import Engine
    from rt_melody.realtime.latency import LatencyBudget
    from rt_melody.realtime.reference import BandCanceller

Heard = Union[PitchFrame, NoteEvent]


class MelodyTracker:
    """The engine, the gate, the notes and the performance of one voice. ``from_settings`` makes one.

    ``sample_rate``: of the samples that are fed, Hz. ``hop_s``: seconds from frame to frame. ``latency``: the budget, a
    note's own wait included.
    """

    def __init__(self, engine: Engine, performer: Performer, gate: Gate | None = None) -> None:
        self.engine, self.performer, self.gate = engine, performer, gate
        self.sample_rate, self.hop_s = engine.sample_rate, engine.hop_s
        self.latency: LatencyBudget = engine.latency.with_confirmation(performer.lag_ms)
        self._available_s = 0.0
        self._muted = False

    @classmethod
    def from_settings(
        cls,
        settings: Settings | None = None,
        sample_rate: int = 48_000,
        model: StreamingModel | str | Path | None = None,
        recorded: bool = False,
    ) -> MelodyTracker:
        """What the settings ask for, for samples at ``sample_rate`` Hz. ``model``: in place of the settings' own, such as
        one that is loaded already; a file of another origin needs ``trust_model`` among the settings. ``recorded``: nobody waits
        for a frame, so that many hops are heard at once, in a fraction of the time; what is heard is the same. Raises
        RtMelodyError for what cannot be had."""
        from rt_melody.realtime.engine import RECORDED_HOPS, Engine, load_streaming_model

        s = settings or Settings()
        if model is None or isinstance(model, (str, Path)):
            model = load_streaming_model(s.tracking.chosen_model if model is None else model, s.tracking.trust_model)
        engine = Engine(sample_rate, s.tracking.latency_ms, model, s.decoder, hops_at_once=RECORDED_HOPS if recorded else 1)
        ahead_ms = engine.latency.total_ms - 1000.0 * engine.hop_s  # by which levels are known before pitches
        performer = Performer(NoteTracker(s.notes, engine.hop_s, ahead_ms), s.performance)
        return cls(engine, performer, make_gate(s.performance))

    def change(self, settings: Settings) -> None:
        """Play on by other settings of performance and gate (see ``playing.performance``); no note is left hanging."""
        self.gate = make_gate(settings.performance, self.gate)
        self.performer.change(settings.performance, settings.notes)

    def mute(self, muted: bool) -> list[Heard]:
        """Whether nothing is played, though frames go on to come, all of them unvoiced. The end of the note that sounds."""
        if muted == self._muted:
            return []
        self._muted = muted
        return self.finish()

    @property
    def least_bound_ms(self) -> float:
        """The tightest latency bound in ms that the model could keep, by its own account."""
        return self.latency.total_ms - self.engine.look_ahead_ms + min(self.engine.model.heads_ms)

    @property
    def wanted_samples(self) -> int:
        """How many more complete the next hop: at least 1."""
        return self.engine.front.wanted_samples

    @property
    def key(self) -> Scale | None:
        """The key that is heard, where it is looked for; else the scale that was given."""
        return self.performer.key

    @property
    def notes_left_out(self) -> int:
        """Notes so far that lay outside of the range that is played."""
        return self.performer.left_out

    @property
    def replaced_samples(self) -> int:
        """Samples so far that were not finite and counted as silence."""
        return self.engine.replaced_samples

    def warm_up(self) -> None:
        """Run every part once so that nothing compiles while streaming, then reset."""
        self.engine.warm_up()
        self.reset()

    def reset(self) -> None:
        """Forget everything, as at the beginning of a stream."""
        self.engine.reset()
        self.performer.reset()
        if self.gate is not None:
            self.gate.reset()
        self._available_s = 0.0

    def know_band(
        self, samples: np.ndarray, sample_rate: int | None = None, loops: bool = False, lead_s: float = 0.0, one_clock: bool = True
    ) -> None:
        """Take a band that is known, such as a karaoke track, out of what will be fed: see ``Engine.know_band``. Resets."""
        self.engine.know_band(samples, sample_rate, loops, lead_s, one_clock)
        self.reset()

    def expect_reference(self, one_clock: bool = True, careful_after_s: float = inf) -> None:
        """Take the band out that will be fed beside the voice: see ``Engine.expect_reference``. Resets."""
        self.engine.expect_reference(one_clock, careful_after_s)
        self.reset()

    def learn_reference_anew(self) -> None:
        """See ``Engine.learn_reference_anew``."""
        self.engine.learn_reference_anew()

    @property
    def band(self) -> BandCanceller | None:
        """How the known band is taken out, so far; None where none is known."""
        band = self.engine.front.band
        return None if band is None else band.canceller

    def feed(self, samples: np.ndarray, reference: np.ndarray | None = None) -> list[Heard]:
        """Take in mono samples [shape=(n,)] of full scale 1, and as many of the band that is heard beside the voice. Raises
        ValueError as ``Engine.feed`` does."""
        return self._play(self.engine.feed(samples) if reference is None else self.engine.feed(samples, reference))

    def flush(self) -> list[Heard]:
        """The input has ended: what was still held back, and the end of the note that sounds."""
        return [*self._play(self.engine.flush()), *self.finish()]

    def skip_to(self, start_s: float) -> list[Heard]:
        """Sound was left out: the end of the note that sounds. The next sample fed stands at ``start_s`` of stream time."""
        ended = self.finish()
        self.engine.reset(start_s)
        return ended

    def finish(self) -> list[Heard]:
        """End the note that sounds, here and now."""
        return list(self.performer.finish(self._available_s))

    def take(self, frame: PitchFrame) -> list[Heard]:
        """The frame as the gate lets it pass, and the events that it causes: for frames that were made before, such as
        those of a cache. ``feed`` does this for each of its own."""
        if self.gate is not None:
            frame = self.gate.feed(frame)
        if self._muted:
            frame = replace(frame, voiced=False)
        self._available_s = frame.available_s
        return [frame, *self.performer.feed(frame)]

    def _play(self, frames: list[PitchFrame]) -> list[Heard]:
        return [heard for frame in frames for heard in self.take(frame)]
