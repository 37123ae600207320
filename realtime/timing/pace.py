"""What a hop costs at the pace of the clock, beside a control.

The thread sleeps between hops as it does live, so that caches go cold: a tight loop shows less than half of what a
user's machine will take. The control is the same sleep with no work after it: what it overshoots is the machine's.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

Feed = Callable[[np.ndarray], object]


def wait_until(deadline_s: float) -> None:
    """Sleep until ``time.perf_counter()`` shows ``deadline_s``."""
    while (left_s := deadline_s - time.perf_counter()) > 0:
        time.sleep(left_s)


def true_pace(
    feed: Feed, samples: np.ndarray, hop_samples: int, hop_s: float, stop: Callable[[], bool] = lambda: False
) -> tuple[np.ndarray, np.ndarray]:
    """Feed ``samples`` hop by hop, each when its time has come: seconds of each call, and of each late awakening.

    A thread that fell behind by more than a second drops what it missed, as a session does.
    """
    work: list[float] = []
    control: list[float] = []
    next_s = time.perf_counter()
    for start in range(0, len(samples) - hop_samples + 1, hop_samples):
        if stop():
            break
        next_s = max(next_s + hop_s, time.perf_counter() - 1.0)
        wait_until(next_s)
        woke_s = time.perf_counter()
        feed(samples[start : start + hop_samples])
        work.append(time.perf_counter() - woke_s)
        control.append(woke_s - next_s)
    return np.array(work), np.array(control)
