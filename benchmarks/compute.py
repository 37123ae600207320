"""What a hop costs, from the ring to the MIDI bytes: at the true pace, stage by stage, in a tight loop, and offline.

At the true pace the thread sleeps between hops as it does live, so that caches go cold; only these figures tell what
a user's machine will do. The control does the same sleeping and no work: what it overshoots is the machine's, not
ours. All of it runs under the conditions of a live session (priority, no collection), which ``scheduling`` tells.

Stages
------
ring      write to and read from the ring buffer, as the device's thread and the session do
condition what no voice is taken out, and the sample rate converted
network   one step of the compiled model
decode    likelihoods, Viterbi, the estimate read out
framing   the rest of ``MelodyTracker.feed``: windows, levels, book-keeping
notes     the note tracker and the performance
sinks     a MIDI sink whose port takes bytes and does nothing
"""

from __future__ import annotations

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from rt_melody.kernels import framing
from rt_melody.kernels.phrase import Singer, SungNote, render_phrase
from rt_melody.realtime.melody import Heard, MelodyTracker
from rt_melody.realtime.ring import RingBuffer
from rt_melody.realtime.sinks.midi import MidiSink
from rt_melody.realtime.timing.pace import true_pace
from rt_melody.realtime.timing.scheduling import live_thread
from rt_melody.realtime.types import PitchFrame

QUANTILES = {"median": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
STAGES = ("ring", "condition", "network", "decode", "framing", "notes", "sinks")
SETTLE_S = 1.0  # of sound before anything is counted


def singing(sample_rate: int, seconds: float) -> np.ndarray:
    """A synthetic voice with rests, so that both branches of every decision are timed."""
    notes = [SungNote(0.1 + 0.5 * i, 0.35, 50.0 + 3 * (i % 7), "aeiou"[i % 5]) for i in range(int(seconds / 0.5) - 1)]
    return render_phrase(notes, sample_rate, seed=1, singer=Singer(), duration_s=seconds).samples


def summary(times_s: np.ndarray) -> dict[str, float]:
    """Median, p99, p99.9 and maximum in ms."""
    return {name: round(float(np.quantile(times_s, q)) * 1000, 3) for name, q in QUANTILES.items()}


class NullPort:
    """Takes MIDI and does nothing with it."""

    def send_message(self, message: bytes) -> None: ...

    def close_port(self) -> None: ...

    def delete(self) -> None: ...


class Chain:
    """What a session does with a hop, from the ring to the MIDI bytes."""

    def __init__(self, tracker: MelodyTracker) -> None:
        self.tracker, self.sink = tracker, MidiSink(NullPort())
        self.ring = RingBuffer(tracker.sample_rate)
        self._block = np.zeros(tracker.sample_rate // 10, np.float32)
        self.sink.start(0.0)

    def through_ring(self, samples: np.ndarray) -> np.ndarray:
        self.ring.write(samples)
        return self._block[: self.ring.read(self._block)]

    def send(self, heard: list[Heard]) -> None:
        for item in heard:
            self.sink.frame(item) if isinstance(item, PitchFrame) else self.sink.event(item)

    def feed(self, samples: np.ndarray) -> None:
        self.send(self.tracker.feed(self.through_ring(samples)))


class TimedChain(Chain):
    """The same with a clock between the stages; while entered, the tracker's parts are timed too.

    ``stages``: seconds of each hop so far, by stage.
    """

    def __init__(self, tracker: MelodyTracker) -> None:
        super().__init__(tracker)
        engine = tracker.engine
        self.stages: dict[str, list[float]] = {name: [] for name in STAGES}
        self._inside: dict[str, float] = dict.fromkeys(("condition", "network", "decode", "notes"), 0.0)
        self._parts = [
            (framing, "condition", "condition"), (engine.front.resampler, "process", "condition"), (engine.model, "step", "network"),
            (engine.decoder, "feed", "decode"), (tracker.performer, "feed", "notes"),
        ]

    def __enter__(self) -> TimedChain:
        self._before = [getattr(owner, name) for owner, name, _ in self._parts]
        for (owner, name, stage), call in zip(self._parts, self._before):
            setattr(owner, name, self._timed(call, stage))
        return self

    def __exit__(self, *exc: object) -> None:
        for (owner, name, _), call in zip(self._parts, self._before):
            setattr(owner, name, call)

    def _timed(self, call: Callable, stage: str) -> Callable:
        def timed(*arguments):
            began = time.perf_counter()
            result = call(*arguments)
            self._inside[stage] += time.perf_counter() - began
            return result

        return timed

    def feed(self, samples: np.ndarray) -> None:
        clock = time.perf_counter
        self._inside.update(dict.fromkeys(self._inside, 0.0))
        began = clock()
        block = self.through_ring(samples)
        rung = clock()
        heard = self.tracker.feed(block)
        fed = clock()
        self.send(heard)
        self._count(ring=rung - began, feed=fed - rung, sinks=clock() - fed)

    def _count(self, feed: float, **others: float) -> None:
        spent = {**self._inside, "framing": max(0.0, feed - sum(self._inside.values())), **others}
        for name in STAGES:
            self.stages[name].append(spent[name])


def hop_samples(tracker: MelodyTracker) -> int:
    return round(tracker.hop_s * tracker.sample_rate)


def at_true_pace(tracker: MelodyTracker, seconds: float, priority: bool = True) -> dict:
    """``feed`` and the control at the true pace, seconds a hop [shape=(n_hops,)] each; and the conditions."""
    samples = singing(tracker.sample_rate, seconds)
    tracker.reset()
    with live_thread(priority=priority) as scheduling:
        cpu_s, began_s = time.process_time(), time.perf_counter()
        work, control = true_pace(tracker.feed, samples, hop_samples(tracker), tracker.hop_s)
        share = (time.process_time() - cpu_s) / (time.perf_counter() - began_s)
    return {"work": work, "control": control, "cpu_share": share, "scheduling": scheduling}


def by_stage(tracker: MelodyTracker, seconds: float, priority: bool = True) -> dict[str, np.ndarray]:
    """Seconds of each hop in each of STAGES, at the true pace."""
    tracker.reset()
    with live_thread(priority=priority), TimedChain(tracker) as chain:
        true_pace(chain.feed, singing(tracker.sample_rate, seconds), hop_samples(tracker), tracker.hop_s)
    return {name: np.array(times) for name, times in chain.stages.items()}


def tight_loop(tracker: MelodyTracker, seconds: float) -> np.ndarray:
    """Seconds of each hop's ``feed`` with nothing between."""
    hop, samples, times = hop_samples(tracker), singing(tracker.sample_rate, seconds), []
    tracker.reset()
    for start in range(0, len(samples) - hop, hop):
        began = time.perf_counter()
        tracker.feed(samples[start : start + hop])
        times.append(time.perf_counter() - began)
    return np.array(times)


def allocations(tracker: MelodyTracker, seconds: float) -> dict[str, float | None]:
    """What Python allocates in a hop from the ring to the MIDI bytes.

    ``kept_blocks_a_hop``: blocks that stay (a leak where it is not about 0). ``peak_bytes``: the most that a hop
    had in hand at once beyond what it began with, the median. ``page_faults_a_hop``: fresh memory that the system
    had to find, by any library; None where it does not tell.
    """
    hop, samples = hop_samples(tracker), singing(tracker.sample_rate, SETTLE_S + seconds)
    chain = Chain(tracker)
    settle = round(SETTLE_S * tracker.sample_rate) // hop * hop
    tracker.reset()
    for start in range(0, settle, hop):
        chain.feed(samples[start : start + hop])
    starts = range(settle, len(samples) - hop, hop)
    gc.collect()
    gc.disable()
    try:
        blocks, faults = sys.getallocatedblocks(), _page_faults()
        for start in starts:
            chain.feed(samples[start : start + hop])
        kept, met = sys.getallocatedblocks() - blocks, _page_faults()
        peaks = _peaks(chain.feed, samples, starts, hop)
    finally:
        gc.enable()
    return {
        "kept_blocks_a_hop": round(kept / len(starts), 3),
        "peak_bytes": int(np.median(peaks)),
        "page_faults_a_hop": None if faults is None or met is None else round((met - faults) / len(starts), 3),
        "garbage_cycles": gc.collect(),
    }


def _peaks(feed: Callable, samples: np.ndarray, starts: range, hop: int) -> list[int]:
    """Bytes that each hop had in hand at its most, by tracemalloc."""
    peaks = []
    tracemalloc.start()
    for start in starts:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        feed(samples[start : start + hop])
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
    tracemalloc.stop()
    return peaks


def _page_faults() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def offline_speed(tracker: MelodyTracker, seconds: float) -> float:
    """How many times faster than real time a whole recording is tracked."""
    samples = singing(tracker.sample_rate, seconds)
    tracker.reset()
    began = time.perf_counter()
    tracker.feed(samples)
    tracker.flush()
    return seconds / (time.perf_counter() - began)
