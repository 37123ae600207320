"""The program as functions: what the command line does, for Python."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rt_melody.realtime.latency import LatencyBudget
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.settings import Settings, make_settings
from rt_melody.realtime.sources.blocks import check_sample_rate, mix_down
from rt_melody.realtime.types import NoteEvent, PitchFrame


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
    *,
    settings: Settings | None = None,
    model: str | Path | None = None,
    reference: np.ndarray | None = None,
    reference_rate: int | None = None,
    **changes: Any,
) -> Melody:
    """The melody of a recording, as the command would have heard and played it.

    ``samples``: floats of full scale 1, [shape=(n,)] or [shape=(n, n_channels)], which are averaged. ``settings``: all of
    them, or by name in ``changes``, as the command line has them: ``latency_ms=20, mode="bend", notes={"on_ms": 30}``.
    ``reference``: the band that is heard beside the voice, such as a karaoke track, as ``samples`` are and from the same
    moment on, at ``reference_rate`` Hz or at ``sample_rate``: it is taken out.
    Raises SettingsError for settings that cannot be used, InputError for a rate that no audio has or a file that is no
    model, ValueError for samples of another shape or type, TypeError for both ``settings`` and ``changes``.
    """
    if settings is not None and changes:
        raise TypeError(f"give settings or {', '.join(changes)}, not both; settings.changed(...) gives others")
    mono = _as_mono(samples)
    rate = check_sample_rate(sample_rate, "give the rate of the samples")
    tracker = MelodyTracker.from_settings(settings or make_settings(changes), rate, model, recorded=True)
    if reference is not None:
        tracker.know_band(_as_mono(reference), check_sample_rate(reference_rate or sample_rate, "give the rate of the reference"))
    heard = tracker.feed(mono) + tracker.flush()
    frames = [item for item in heard if isinstance(item, PitchFrame)]
    return Melody(
        time_s=np.array([f.time_s for f in frames]),
        f0_hz=np.array([f.f0_hz for f in frames]),
        voiced=np.array([f.voiced for f in frames], bool),
        confidence=np.array([f.confidence for f in frames]),
        available_s=np.array([f.available_s for f in frames]),
        notes=[item for item in heard if not isinstance(item, PitchFrame)],
        latency=tracker.latency,
        replaced_samples=tracker.replaced_samples,
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
