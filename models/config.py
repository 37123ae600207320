"""The shape of a network and the grids it speaks in, read from a flat YAML file.

Conventions
-----------
* A *position* is one step of the network's log-frequency axis: ``f_min_hz * 2 ** (k / bins_per_octave)``.
* A *pitch bin* is one step of its output, ``bins_per_position`` of them to a position.
* A head with look-ahead d ms, at the hop that ends at time t, speaks of the moment t - d.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

CONFIG_DIR = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class ModelConfig:
    """Every number that fixes a network. Defaults are those of the ``live`` family."""

    name: str = "live"
    family: str = "live"  # or "paper", "stage1", "mcdnn", "hybrid": which class of network this shapes (see models/build.py)
    causal: bool = True  # False centres every kernel on its frame: offline only
    sample_rate: int = 16000
    hop_samples: int = 160

    # Stage 1: two banks of 1-D kernels over the waveform (Chen, Li, Chi 2019: 64 and 960 taps).
    bank_init: str = "sinusoid"  # or "random", ordered afterwards by pre-training
    response: str = "modulus"  # of quadrature pairs; or "rectified", one kernel a filter
    long_taps: int = 960
    long_filters: int = 180
    short_taps: int = 64
    short_filters: int = 48
    short_stride_samples: int = 16
    short_slots: int = 2  # parts a hop into which the short bank's responses are pooled

    # The log-frequency axis.
    f_min_hz: float = 55.0
    bins_per_octave: int = 30
    positions: int = 142
    bins_per_position: int = 2
    harmonics: tuple[float, ...] = (0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)

    # Stage 2: Inception blocks of 2-D kernels over the two graphs.
    stage2: str = "inception"  # or "stacked": plain 2-D convolutions, the paper's ablation
    coarseness: int = 1  # of its positions: it keeps every so many-th of the harmonic stack's, and reads the pitch bins of all from it
    wide_positions: int = 15  # that its widest kernel meets ...
    narrow_positions: int = 5  # ... and the next; the others meet 3 and 1
    channels: int = 40
    branch_channels: int = 16
    dilations: tuple[int, ...] = (1, 2, 4, 8)  # in hops, one block each
    context_size: int = 128  # units of the recurrent context
    look_ahead_ms: tuple[float, ...] = (0, 4, 9, 14, 19, 29, 39, 59, 89)  # so that a bound is 10 of hop, 1 of resampler, and one of these

    @property
    def hop_ms(self) -> float:
        return 1000.0 * self.hop_samples / self.sample_rate

    @property
    def pitch_bins(self) -> int:
        return self.positions * self.bins_per_position

    @property
    def coarse_positions(self) -> int:
        """Of stage 2."""
        return self.positions // self.coarseness

    @property
    def bins_per_semitone(self) -> float:
        return self.bins_per_octave * self.bins_per_position / 12.0

    def position_hz(self, count: int) -> np.ndarray:
        """Centre frequencies in Hz of the first ``count`` positions [shape=(count,)]."""
        return self.f_min_hz * 2.0 ** (np.arange(count) / self.bins_per_octave)

    def pitch_midi(self) -> np.ndarray:
        """Fractional MIDI note number of each pitch bin [shape=(pitch_bins,)]."""
        lowest = 69.0 + 12.0 * np.log2(self.f_min_hz / 440.0)
        return lowest + np.arange(self.pitch_bins) / self.bins_per_semitone

    def to_dict(self) -> dict:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict) -> ModelConfig:
        """Raises ValueError for a key that no field has."""
        known = {f.name: f for f in fields(cls)}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"model configuration has the unknown key {unknown[0]!r}; known are {sorted(known)}")
        taken: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**taken)


def load_config(name_or_path: str) -> ModelConfig:
    """A shipped configuration by name (``live``, ``paper``) or any YAML file by path."""
    path = Path(name_or_path)
    if not path.suffix:
        path = CONFIG_DIR / f"{name_or_path}.yaml"
    if not path.is_file():
        shipped = sorted(p.stem for p in CONFIG_DIR.glob("*.yaml"))
        raise ValueError(f"no model configuration at {path}; shipped are {', '.join(shipped)}")
    return ModelConfig.from_dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
