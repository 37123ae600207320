"""Pitch frames kept on disk, so that what follows the engine can be measured again without running the network.

Conventions: a file holds the frames of one sound, float64 [shape=(n, 8)], columns in the order of COLUMNS. Its
name is a hash of the samples, its folder's a hash of all else that the frames depend on: the weights' bytes, the
bound, the hop, the decoder's settings, the rate, and FORMAT, to be raised when the engine's reading of them changes.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np

from rt_melody.realtime.engine import Engine
from rt_melody.realtime.errors import OutputError
from rt_melody.realtime.types import PitchFrame

FORMAT = 2
COLUMNS = ("time_s", "available_s", "f0_hz", "voiced", "confidence", "voicing", "level_db", "brightness_hz")

Frames = Callable[[np.ndarray], list[PitchFrame]]  # samples [shape=(n,)] -> frames of a fresh stream


def engine_frames(engine: Engine, cache: Path | None = None) -> Frames:
    """The frames of an engine, from ``cache`` where that folder holds them; what it lacks is added to it.

    Raises OutputError where the folder cannot be made.
    """

    def fresh(samples: np.ndarray) -> list[PitchFrame]:
        return engine.feed(samples) + engine.flush()

    if cache is None:
        return fresh
    folder = cache / engine_key(engine)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the frames cannot be kept in {cache} ({error.strerror}); give a folder that can be written") from error

    def kept(samples: np.ndarray) -> list[PitchFrame]:
        path = folder / f"{sha256(np.ascontiguousarray(samples, np.float32)).hexdigest()[:24]}.npy"
        if path.exists():
            return _frames(np.load(path))
        frames = fresh(samples)
        _write(path, frames)
        return frames

    return kept


def engine_key(engine: Engine) -> str:
    """Names all that the frames of an engine depend on besides the samples."""
    depends = (FORMAT, engine.sample_rate, engine.latency.bound_ms, engine.hop_s, sorted(engine.decoder.settings.model_dump().items()))
    return sha256(engine.model.path.read_bytes() + repr(depends).encode()).hexdigest()[:16]


def _write(path: Path, frames: list[PitchFrame]) -> None:
    """Whole or not at all: a run that is stopped leaves no half file under the name."""
    rows = np.array([[float(getattr(f, name)) for name in COLUMNS] for f in frames]).reshape(-1, len(COLUMNS))
    part = path.with_suffix(".part.npy")
    np.save(part, rows)
    part.replace(path)


def _frames(rows: np.ndarray) -> list[PitchFrame]:
    return [PitchFrame(i, t, a, hz, bool(v), *rest) for i, (t, a, hz, v, *rest) in enumerate(rows.tolist())]
