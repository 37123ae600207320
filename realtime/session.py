"""The loop: a source, an engine, a note tracker and sinks. The only loop, and the overload policy.

Two threads at most: PortAudio's, which fills the source's ring, and the caller's, which runs this. When a
live source's backlog passes the latency bound, the session skips to the newest audio, starts the engine
anew, closes the sounding note and counts it: latency never accumulates. Every way out of the loop (end of
input, ``stop``, an exception) closes the sounding note first and then every sink.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rt_melody.realtime.engine import Engine
from rt_melody.realtime.notes import NoteTracker
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sources.base import AudioSource
from rt_melody.realtime.types import NoteEvent, NoteOn, PitchFrame

READ_TIMEOUT_S = 0.1  # how soon ``stop`` is noticed when nothing comes
TELL_EVERY_S = 3.0  # overload is told at most so often


@dataclass
class Tally:
    """What a session did. Times in seconds of stream time unless named otherwise."""

    frames: int = 0
    voiced_frames: int = 0
    notes: int = 0
    skips: int = 0
    skipped_s: float = 0.0
    lost_s: float = 0.0
    replaced_samples: int = 0
    longest_feed_ms: float = 0.0

    def line(self) -> str:
        """The session in one sentence."""
        said = f"{self.frames} frames, {self.voiced_frames} voiced, {self.notes} notes"
        if self.skips:
            said += f"; fell behind {self.skips} times and skipped {self.skipped_s:.2f} s"
        if self.lost_s:
            said += f"; the device lost {self.lost_s:.2f} s"
        if self.replaced_samples:
            said += f"; {self.replaced_samples} samples were not finite and counted as silence"
        return said


class Session:
    """One run of one source. ``tell`` takes sentences for the user; ``stop`` is asked once a block."""

    def __init__(
        self,
        source: AudioSource,
        engine: Engine,
        tracker: NoteTracker,
        sinks: Sequence[EventSink],
        stop: Callable[[], bool] = lambda: False,
        tell: Callable[[str], None] = lambda text: None,
        on_tally: Callable[[Tally], None] = lambda tally: None,
    ):
        self.source, self.engine, self.tracker, self.sinks = source, engine, tracker, list(sinks)
        self.stop, self.tell, self.on_tally = stop, tell, on_tally
        self.tally = Tally()
        self._available_s = 0.0
        self._told_s = float("-inf")

    def run(self) -> Tally:
        """Until the source ends or ``stop`` says so. The source must be open; sinks stay open."""
        self.engine.reset()
        self.tracker.reset()
        started = False
        most = self._most_behind_samples()
        try:
            with no_collection(self.source.live):
                while not self.stop():
                    block = self.source.read(READ_TIMEOUT_S)
                    if block is None:
                        break
                    if not len(block):
                        continue
                    if not started:
                        started = True
                        self._start(self.source.origin_unix_s)
                    if self.source.live and len(block) + self.source.backlog_samples > most:
                        self._skip(len(block))
                        continue
                    self._feed(block)
            self._give(self.engine.flush())
        finally:
            self._close_note()
            self._count_losses()
        return self.tally

    def _most_behind_samples(self) -> int:
        bound_s = self.engine.latency.bound_ms / 1000.0
        return int(bound_s * self.source.sample_rate)

    def _start(self, origin_unix_s: float | None) -> None:
        origin = time.time() if origin_unix_s is None else origin_unix_s
        for sink in self.sinks:
            sink.start(origin)

    def _feed(self, block) -> None:
        began = time.perf_counter()
        self._give(self.engine.feed(block))
        self.tally.longest_feed_ms = max(self.tally.longest_feed_ms, 1000.0 * (time.perf_counter() - began))

    def _give(self, frames: list[PitchFrame]) -> None:
        for frame in frames:
            self.tally.frames += 1
            self.tally.voiced_frames += frame.voiced
            self._available_s = frame.available_s
            for sink in self.sinks:
                sink.frame(frame)
            self._send(self.tracker.feed(frame))

    def _send(self, events: list[NoteEvent]) -> None:
        for event in events:
            self.tally.notes += isinstance(event, NoteOn)
            for sink in self.sinks:
                sink.event(event)

    def _close_note(self) -> None:
        self._send([e for e in self.tracker.finish(self._available_s)])

    def _skip(self, block_samples: int) -> None:
        """Drop the block in hand and the backlog; go on from the newest audio."""
        skipped = block_samples + self.source.skip_to_newest()
        self._close_note()
        self.engine.reset(self.source.position_samples / self.source.sample_rate)
        self.tally.skips += 1
        self.tally.skipped_s += skipped / self.source.sample_rate
        self._count_losses()
        self.on_tally(self.tally)
        now = time.monotonic()
        if now - self._told_s >= TELL_EVERY_S:
            self._told_s = now
            self.tell(
                f"this machine fell behind by more than {self.engine.latency.bound_ms:g} ms and skipped to the newest "
                f"audio ({self.tally.skips} times so far, {self.tally.skipped_s:.2f} s)"
            )

    def _count_losses(self) -> None:
        self.tally.lost_s = self.source.lost_samples / self.source.sample_rate
        self.tally.replaced_samples = self.engine.replaced_samples


def run(source: AudioSource, engine: Engine, tracker: NoteTracker, sinks: Sequence[EventSink], **options) -> Tally:
    """Open ``source``, run it through to ``sinks``, close everything. ``options`` are those of Session."""
    try:
        with source:
            return Session(source, engine, tracker, sinks, **options).run()
    finally:
        close_all(sinks)


def close_all(sinks: Sequence[EventSink]) -> None:
    """Close each sink, whatever the others raise; the first error is raised at the end."""
    first: BaseException | None = None
    for sink in sinks:
        try:
            sink.close()
        except Exception as error:  # the others must still be closed
            first = first or error
    if first and sys.exc_info()[0] is None:
        raise first


@contextmanager
def no_collection(live: bool):
    """While live, the garbage collector rests: its pauses would be late notes."""
    if not live or not gc.isenabled():
        yield
        return
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
