"""The program as functions: what the command line does, for Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rt_melody.realtime.engine import DecoderSettings, Engine
from rt_melody.realtime.notes import NoteSettings, NoteTracker
from rt_melody.realtime.types import LatencyBudget, NoteEvent


@dataclass(frozen=True)
class Melody:
    """A tracked recording. Arrays have one value a hop."""

    time_s: np.ndarray  # [shape=(n_hops,)]
    f0_hz: np.ndarray  # the best guess, also where unvoiced
    voiced: np.ndarray  # bool
    confidence: np.ndarray  # 0..1
    available_s: np.ndarray
    notes: list[NoteEvent]
    latency: LatencyBudget


def track(
    samples: np.ndarray,
    sample_rate: int,
    latency_ms: float = 50.0,
    model: str | Path | None = None,
    decoder: DecoderSettings | None = None,
    notes: NoteSettings | None = None,
) -> Melody:
    """The melody of a recording, as the live program would have heard it.

    ``samples``: float, full scale 1, ``[shape=(n,)]`` or ``[shape=(n, channels)]`` (mixed down). Raises
    InputError as Engine does, and ValueError for another shape.
    """
    samples = np.asarray(samples, np.float32)
    if samples.ndim == 2:
        samples = samples.mean(axis=1)
    engine = Engine(sample_rate, latency_ms, model, decoder)
    tracker = NoteTracker(notes, engine.hop_s)
    frames = engine.feed(samples) + engine.flush()
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
    )
