"""A session's neighbours, ten lines each: an engine, sources, a sink; a sample is a millisecond."""

from __future__ import annotations

import numpy as np

from rt_melody.realtime.errors import OutputError
from rt_melody.realtime.latency import LatencyBudget, LatencyPart
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.notes import NoteTracker
from rt_melody.realtime.playing.performance import Performer
from rt_melody.realtime.session import SessionStats, run
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sources.base import AudioSource
from rt_melody.realtime.types import NoteOff, NoteOn, PitchFrame

RATE = 1000  # Hz, so that a sample is a millisecond
HOP = 10  # samples
BOUND_MS = 50.0
A4 = 440.0
ORIGIN_S = 5000.0


class FakeEngine:
    """One voiced frame of A4 a hop; keeps one hop back, as an engine with look-ahead does."""

    hop_s = HOP / RATE
    sample_rate = RATE
    latency = LatencyBudget(BOUND_MS, (LatencyPart("all", 20.0),))

    def __init__(self, fail_at_s: float = float("inf")) -> None:
        self.fail_at_s, self.resets, self.warmed, self.replaced_samples, self.learnt_anew = fail_at_s, [], False, 0, 0

    def warm_up(self) -> None:
        self.warmed = True

    def reset(self, start_s: float = 0.0) -> None:
        self.resets.append(start_s)
        self.start_s, self.fed, self.given = start_s, 0, 0
        self.replaced_samples *= start_s > 0

    def learn_reference_anew(self) -> None:
        self.learnt_anew += 1

    def frame(self) -> PitchFrame:
        end_s = self.start_s + (self.given + 1) * self.hop_s
        self.given += 1
        return PitchFrame(0, end_s - self.hop_s, end_s + self.hop_s, A4, True, 1.0, 1.0, -20.0)

    def feed(self, samples) -> list[PitchFrame]:
        self.fed += len(samples)
        self.replaced_samples += int(np.isnan(samples).sum())
        if self.start_s + self.fed / RATE > self.fail_at_s:
            raise RuntimeError("the engine broke")
        return [self.frame() for _ in range(self.fed // HOP - 1 - self.given)]

    def flush(self) -> list[PitchFrame]:
        frames = [self.frame() for _ in range(self.fed // HOP - self.given)]
        self.reset()
        return frames


class FakeSource(AudioSource):
    """``blocks`` one after another; an exception among them is raised."""

    sample_rate = RATE
    origin_s = ORIGIN_S

    def __init__(self, blocks) -> None:
        self.blocks, self.closed = blocks, False

    position_samples = 0

    def open(self) -> None:
        self.left, self.position_samples = list(self.blocks), 0

    def read(self, timeout_s: float = 0.1):
        block = self.left.pop(0) if self.left else None
        if isinstance(block, Exception):
            raise block
        self.position_samples += 0 if block is None else len(block)
        return block

    def close(self) -> None:
        self.closed = True


class LiveSource(FakeSource):
    """A device of ``block`` samples a time; before read n, ``arrivals[n]`` samples come in. Ends with them."""

    live = True

    def __init__(self, arrivals, block: int = HOP, most: int = 100, ready_samples: int = 0) -> None:
        super().__init__(arrivals)
        self.device_block_samples, self.most, self.ready_samples = block, most, ready_samples
        self.backlogs, self.lost_samples = [], 0

    device_block_samples = lost_samples = overflows = 0

    def open(self) -> None:
        super().open()
        self.written = self.ready_samples

    @property
    def backlog_samples(self) -> int:
        return self.written - self.position_samples

    def read(self, timeout_s: float = 0.1):
        if not self.left and not self.backlog_samples:
            return None
        self.written += self.left.pop(0) if self.left else 0
        given = min(self.most, self.backlog_samples)
        self.position_samples += given
        self.backlogs.append(self.backlog_samples)
        return np.zeros(given, np.float32)

    def skip_to_newest(self) -> int:
        skipped, self.position_samples = self.backlog_samples, self.written
        return skipped


class Recorder(EventSink):
    """Keeps all that it is told; ``fail_on`` is the method that raises."""

    def __init__(self, name: str = "recorder", fail_on: str = "") -> None:
        super().__init__()
        self.name, self.fail_on, self.told = name, fail_on, []

    def _tell(self, kind: str, what) -> None:
        self.told.append((kind, what))
        if kind == self.fail_on:
            raise OutputError(f"{self.name} cannot {kind}")

    def _start(self, origin_s) -> None:
        self._tell("start", origin_s)

    def _retime(self, origin_s) -> None:
        self._tell("retime", origin_s)

    def _frame(self, frame) -> None:
        self._tell("frame", frame)

    def _event(self, event) -> None:
        self._tell("event", event)

    def _close(self) -> None:
        self._tell("close", None)

    def of(self, kind) -> list:
        return [what for _, what in self.told if isinstance(what, kind)]


def blocks(n: int, samples: int = HOP) -> list:
    return [np.zeros(samples, np.float32)] * n


def tracker(engine=None) -> MelodyTracker:
    return MelodyTracker(engine or FakeEngine(), Performer(NoteTracker(hop_s=FakeEngine.hop_s)))


def played(source, *sinks, engine=None, **options) -> SessionStats:
    return run(source, sinks, lambda rate: tracker(engine), **options)


def assert_no_note_left_on(sink: Recorder) -> None:
    assert len(sink.of(NoteOn)) == len(sink.of(NoteOff)) > 0
    assert sink.told[-1] == ("close", None)
