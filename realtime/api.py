"""The program as functions: what the command line does, for Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rt_melody.realtime.engine import DecoderSettings, Engine
from rt_melody.realtime.notes import NoteSettings, NoteTracker
from rt_melody.realtime.playing.performance import PerformanceSettings, Performer
from rt_melody.realtime.sources.blocks import check_sample_rate, mix_down
from rt_melody.realtime.types import LatencyBudget, NoteEvent


@dataclass(frozen=True)
class Melody:
    """A tracked recording. Arrays have one value a hop, [shape=(n_hops,)]."""

    time_s: np.ndarray  # the moment of the sound that the values speak of
    f0_hz: np.ndarray  # the best guess, also where unvoiced
    voiced: np.ndarray  # bool
    confidence: np.ndarray  # 0..1
    available_s: np.ndarray  # stream time at which a live listener would have had the values
    notes: list[NoteEvent]  # as sent: each NoteOn with its NoteOff, PitchBend, Loudness and Brightness between; KeyHeard
    latency: LatencyBudget
    replaced_samples: int = 0  # not finite, taken for silence


def track(
    samples: np.ndarray,
    sample_rate: int,
    latency_ms: float = 50.0,
    model: str | Path | None = None,
    decoder: DecoderSettings | None = None,
    notes: NoteSettings | None = None,
    performance: PerformanceSettings | None = None,
) -> Melody:
    """The melody of a recording, as the live program would have heard it.

    ``samples``: floats of full scale 1, [shape=(n,)] or [shape=(n, n_channels)], which are averaged. Raises
    InputError as Engine does and for a rate that no audio has, ValueError for another shape or type.
    """
    mono = _as_mono(samples)
    engine = Engine(check_sample_rate(sample_rate, "give the rate of the samples"), latency_ms, model, decoder)
    tracker = Performer(NoteTracker(notes, engine.hop_s), performance)
    frames = engine.feed(mono) + engine.flush()
    events = [event for frame in frames for event in tracker.feed(frame)]
    events += tracker.finish(frames[-1].available_s if frames else 0.0)
    return Melody(
        time_s=np.array([f.time_s for f in frames]),
        f0_hz=np.array([f.f0_hz for f in frames]),
        voiced=np.array([f.voiced for f in frames], bool),
        confidence=np.array([f.confidence for f in frames]),
        available_s=np.array([f.available_s for f in frames]),
        notes=events,
        latency=engine.latency,
        replaced_samples=engine.replaced_samples,
    )


def _as_mono(samples: np.ndarray) -> np.ndarray:
    """Float32 [shape=(n,)]. Raises ValueError for what is not float or has another shape."""
    samples = np.asarray(samples)
    if samples.dtype.kind != "f":
        raise ValueError(f"samples are {samples.dtype}; give floats of full scale 1, for instance samples / 32768 of 16-bit ones")
    if samples.ndim == 1:
        return samples.astype(np.float32, copy=False)
    if samples.ndim != 2 or not 1 <= samples.shape[1] <= max(1, len(samples)):
        raise ValueError(f"samples have shape {samples.shape}; give (n,) or (n, n_channels), transposed if need be")
    return mix_down(samples.astype(np.float32, copy=False), np.empty(len(samples), np.float32))
