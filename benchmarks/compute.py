"""What a hop costs: ``Engine.feed`` at the true pace, in a tight loop, and offline, beside a control.

At the true pace the thread sleeps between hops as it does live, so that caches go cold; only these figures
tell what a user's machine will do. The control does the same sleeping and no work: what it overshoots is the
machine's, not ours.
"""

from __future__ import annotations

import time

import numpy as np

from rt_melody.kernels.phrase import Singer, SungNote, render_phrase
from rt_melody.realtime.engine import Engine

PERCENTILES = (50.0, 99.0, 99.9, 100.0)


def singing(sample_rate: int, seconds: float) -> np.ndarray:
    """A synthetic voice with rests, so that both branches of every decision are timed."""
    notes = [SungNote(0.1 + 0.5 * i, 0.35, 50.0 + 3 * (i % 7), "aeiou"[i % 5]) for i in range(int(seconds / 0.5) - 1)]
    return render_phrase(notes, sample_rate, seed=1, singer=Singer(), duration_s=seconds).samples


def summary(times_s: np.ndarray) -> dict[str, float]:
    """Median, p99, p99.9 and maximum in ms."""
    return {name: round(float(v) * 1000, 3) for name, v in zip(("median", "p99", "p99.9", "max"), np.percentile(times_s, PERCENTILES))}


def wait_until(deadline: float) -> None:
    while (left := deadline - time.perf_counter()) > 0:
        time.sleep(left)


def true_pace(engine: Engine, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of each hop's ``feed``, and of the control's overshoot in the same minute, hop and hop about."""
    hop = round(engine.hop_s * engine.sample_rate)
    samples = singing(engine.sample_rate, seconds)
    work, control = [], []
    engine.reset()
    next_s = time.perf_counter()
    for start in range(0, len(samples) - hop, hop):
        next_s = max(next_s + engine.hop_s, time.perf_counter() - 1.0)
        wait_until(next_s)
        control.append(time.perf_counter() - next_s)
        began = time.perf_counter()
        engine.feed(samples[start : start + hop])
        work.append(time.perf_counter() - began)
    return np.array(work), np.array(control)


def tight_loop(engine: Engine, seconds: float) -> np.ndarray:
    """Seconds of each hop's ``feed`` with nothing between."""
    hop = round(engine.hop_s * engine.sample_rate)
    samples = singing(engine.sample_rate, seconds)
    engine.reset()
    times = []
    for start in range(0, len(samples) - hop, hop):
        began = time.perf_counter()
        engine.feed(samples[start : start + hop])
        times.append(time.perf_counter() - began)
    return np.array(times)


def offline_speed(engine: Engine, seconds: float) -> float:
    """How many times faster than real time a whole recording is tracked."""
    samples = singing(engine.sample_rate, seconds)
    engine.reset()
    began = time.perf_counter()
    engine.feed(samples)
    engine.flush()
    return seconds / (time.perf_counter() - began)
