"""What the sources share: mixing down, the check of a sample rate, the pace of the clock.

Conventions
-----------
* A block is mono float32 [shape=(n_samples,)].
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from rt_melody.realtime.errors import InputError
from rt_melody.realtime.sources.base import CountingSource
from rt_melody.realtime.sources.mixing import Mix

MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
PACED_BLOCK_S = 0.010  # a block of a source that plays at the pace of the clock
FAST_BLOCK_SAMPLES = 4_096  # a block of one that runs as fast as it is read; damage costs at most one


def check_sample_rate(rate_hz: float, way_out: str) -> int:
    """``rate_hz`` as an int. Raises InputError, ending in ``way_out``, where no audio has such a rate."""
    text = isinstance(rate_hz, str)  # pyright: ignore[reportUnnecessaryIsInstance]  # whoever checks no types
    if text or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ or rate_hz != int(rate_hz):
        shown = repr(rate_hz) if text else f"{rate_hz:g}"
        raise InputError(f"sample rate {shown} Hz must be a whole number from {MIN_RATE_HZ} to {MAX_RATE_HZ}; {way_out}")
    return int(rate_hz)


def mix_down(frames: np.ndarray, out: np.ndarray) -> np.ndarray:
    """The mean over the channels of ``frames`` [shape=(n, n_channels)], in the first n places of ``out``."""
    return Mix(tuple(range(frames.shape[1]))).down(frames, out)


class PacedSource(CountingSource):
    """A source whose samples are all there, given at once or, ``realtime``, as a microphone would give them.

    A subclass sets ``sample_rate`` in ``open``, then calls ``_begin``, and overrides ``_next_block``. The
    n-th sample is given no earlier than n / sample_rate after the first read; each block is timed from
    that moment, so the pace does not drift. A reader that falls behind loses nothing.
    """

    def __init__(
        self,
        realtime: bool,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._realtime = realtime
        self._clock = clock
        self._sleep = sleep

    @property
    def paced(self) -> bool:
        return self._realtime

    def _begin(self) -> None:
        """Back to sample 0, ready to be read."""
        self._open = True
        self._position_samples = 0
        self._origin_s = None
        self._start_s: float | None = None
        self._block_samples = max(1, round(self.sample_rate * PACED_BLOCK_S)) if self._realtime else FAST_BLOCK_SAMPLES

    def _next_block(self, max_samples: int) -> np.ndarray | None:
        raise NotImplementedError

    def read(self, timeout_s: float = 0.1) -> np.ndarray | None:
        """The next block; an empty one where its time has not come within ``timeout_s``; None at the end."""
        if not self._open:
            return None
        if self._start_s is None:
            self._start_s = self._clock()
            self._origin_s = time.perf_counter()
        if self._realtime and not self._wait_until_due(self._start_s, timeout_s):
            return np.zeros(0, np.float32)
        block = self._next_block(self._block_samples)
        if block is not None:
            self._position_samples += len(block)
        return block

    def _wait_until_due(self, start_s: float, timeout_s: float) -> bool:
        due_s = start_s + (self._position_samples + self._block_samples) / self.sample_rate
        wait_s = due_s - self._clock()
        if wait_s > 0.0:
            self._sleep(min(wait_s, timeout_s))
        return wait_s <= timeout_s
