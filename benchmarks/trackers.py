"""Our own tracker as the benchmarks hold it: made from settings by name, and fed a whole sound at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from rt_melody.models.streaming import StreamingModel
from rt_melody.realtime.engine import load_streaming_model
from rt_melody.realtime.melody import Heard, MelodyTracker
from rt_melody.realtime.settings import make_settings
from rt_melody.realtime.types import NoteEvent, PitchFrame

Tracked = tuple[list[PitchFrame], list[NoteEvent]]
Tracker = Callable[[np.ndarray], Tracked]  # samples [shape=(n,)] of a stream of its own


def melody_tracker(
    sample_rate: int, model: StreamingModel | str | Path | None = None, recorded: bool = False, **settings: Any
) -> MelodyTracker:
    """The tracker of these settings, by their flat names; ``recorded``: with many hops at once, as files are heard. Raises
    RtMelodyError for what cannot be had."""
    return MelodyTracker.from_settings(make_settings(settings), sample_rate, trusted(model), recorded)


def trusted(model: StreamingModel | str | Path | None) -> StreamingModel | None:
    """The model of a file that whoever measures it vouches for; None for the shipped one. Raises InputError."""
    return model if model is None or isinstance(model, StreamingModel) else load_streaming_model(model, trust_model=True)


def parted(heard: Iterable[Heard]) -> Tracked:
    """Frames, and events, each in their order."""
    frames: list[PitchFrame] = []
    events: list[NoteEvent] = []
    for item in heard:
        frames.append(item) if isinstance(item, PitchFrame) else events.append(item)
    return frames, events


def by_sound(tracker: MelodyTracker) -> Tracker:
    """``tracker`` with a fresh stream for each sound."""

    def track(samples: np.ndarray) -> Tracked:
        tracker.reset()
        return parted(tracker.feed(samples) + tracker.flush())

    return track
