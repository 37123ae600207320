"""The loop: a source, a melody tracker and sinks. The only loop, and the overload policy.

Conventions
-----------
* Two threads carry sound: the device's (PortAudio's or JACK's), which fills the source's ring, and the caller's, which
  runs this. Whatever may wait (disks, terminals) is handed to threads that carry none.
* Stream time 0 is the first sample that the session read; a live stream begins with its newest audio.
* Overload: of a live source, no more may wait than the latency bound and one block of the device. When more
  waits, the session skips to the newest audio, ends the sounding note, has the tracker go on at that stream time
  and counts it: latency never accumulates, and stream time goes on.
* A live source that breaks off and comes back ends the note and has the tracker go on at the time that it is then. One
  that changes its sample rate gets a tracker for the new one. Either is told, and what was heard is kept. So is what is wrong
  with it, once, and again where it turns into something else. What was learnt of the sound that the source plays itself is doubted
  then, and learnt anew.
* Every way out of the loop (end of input, ``stop``, an exception) closes the sounding note, then the sinks.
  Where the input ended, even badly, or a sink failed, the frames that the tracker still holds come first.
* Between two blocks the session looks whether ``desk`` has other orders (see control/desk.py), and never waits for them. What
  needs another engine, device or port ends the run, as the end of the input does, and ``restart`` says so.
* A side output never stops the music: a sink that raises is told of at once, gets nothing more but ``close``, and stands
  in ``failures``; the others play on. The run ends, and the first error is raised, where no output is left.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rt_melody.realtime.control.desk import Desk, Orders, needing_restart
from rt_melody.realtime.errors import RtMelodyError
from rt_melody.realtime.melody import Heard, MelodyTracker
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.said_aloud import BREATH
from rt_melody.realtime.sources.base import RateChanged
from rt_melody.realtime.timing.figures import Figures, Timing
from rt_melody.realtime.timing.scheduling import NOT_LIVE, live_thread
from rt_melody.realtime.types import NoteEvent, NoteOn, PitchFrame

if TYPE_CHECKING:  # importing them takes a second, which a wrong file name need not wait for
    import numpy as np

    from rt_melody.realtime.reference import BandCanceller
    from rt_melody.realtime.sources.base import AudioSource

READ_TIMEOUT_S = 0.1  # how soon ``stop`` is noticed when nothing comes
TELL_EVERY_S = 3.0  # a loss is told at most so often
LOOK_EVERY_S = 0.25  # whether the source is in trouble
RESTART_AFTER_S = 0.5  # a run lasts so long at least, however often its desk is asked for another
NUMBERS = re.compile(r"\d+(\.\d+)?")
RETIME_S = 0.02  # samples lost unheard move the times of outputs once they come to so much: less is the clock's jitter


@dataclass
class SessionStats:
    """What a session did. Times are in seconds of stream time."""

    frames: int = 0
    voiced_frames: int = 0
    notes: int = 0
    skips: int = 0
    skipped_s: float = 0.0
    lost_s: float = 0.0  # dropped before the session could read it
    overflows: int = 0  # reports of the device that it dropped samples, an unknown number each time
    replaced_samples: int = 0  # not finite, counted as silence

    def line(self) -> str:
        """The session in one sentence."""
        said = f"{_count(self.frames, 'frame')}, {self.voiced_frames} voiced, {_count(self.notes, 'note')}"
        if self.skips:
            said += f"; fell behind {_count(self.skips, 'time')} and skipped {self.skipped_s:.2f} s"
        if self.lost_s:
            said += f"; {self.lost_s:.2f} s were lost before they could be read"
        if self.overflows:
            said += f"; the device reported dropped samples {_count(self.overflows, 'time')}"
        if self.replaced_samples:
            said += f"; {_count(self.replaced_samples, 'sample')} not finite, taken for silence"
        return said


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


class Failure(NamedTuple):
    """An output that failed."""

    sink: EventSink
    error: Exception

    def line(self) -> str:
        """Which and why, in one clause."""
        return f"{self.sink.name}: {self.error}"


class Session:
    """One run of one source, which must be open; the sinks stay open.

    ``tell`` takes a sentence when the session loses audio; ``stop`` is asked once a block; ``on_skip`` hears
    of each skip; ``on_figures`` gets ``figures()`` every ``stats_every_s`` seconds (0: never); ``priority``: ask the
    system for real-time priority and locked memory while a source plays at the pace of a clock. ``clock`` is a
    stand-in for ``time.monotonic``, ``timer`` for ``time.perf_counter``. What is called must not wait. ``pause`` is asked once
    a block too: where it says so, the note is ended, and ``on_pause`` is called, which may wait for as long as it likes.
    ``make_tracker``: what makes a tracker for a sample rate in Hz, should the source's change; without it the run ends then.
    ``desk``: where settings are changed meanwhile; ``tracker`` and ``sinks`` are those that the orders asked for that were
    taken from it last.

    ``on_block`` hears each block that was read, before anything is made of it, and must copy what it keeps.

    ``restart`` tells whether the run ended since its desk asks for what another one must bring.
    ``ended`` tells whether the source was heard to its end; ``stats``, ``timing`` and ``scheduling`` tell of the newest run,
    also while it lasts and after it failed.
    """

    def __init__(
        self,
        source: AudioSource,
        tracker: MelodyTracker,
        sinks: Sequence[EventSink],
        stop: Callable[[], bool] = lambda: False,
        tell: Callable[[str], None] = lambda text: None,
        on_skip: Callable[[SessionStats], None] = lambda stats: None,
        on_figures: Callable[[Figures], None] = lambda figures: None,
        stats_every_s: float = 0.0,
        priority: bool = True,
        clock: Callable[[], float] = time.monotonic,
        timer: Callable[[], float] = time.perf_counter,
        pause: Callable[[], bool] = lambda: False,
        on_pause: Callable[[], object] = lambda: None,
        make_tracker: Callable[[int], MelodyTracker] | None = None,
        desk: Desk | None = None,
        on_block: Callable[[np.ndarray], object] | None = None,
    ):
        self.source, self.tracker, self.sinks = source, tracker, list(sinks)
        self._pause, self._on_pause = pause, on_pause
        self.stop, self.tell, self.on_skip, self.on_figures = stop, tell, on_skip, on_figures
        self._stats_every_s, self._priority, self._clock, self._timer = stats_every_s, priority, clock, timer
        self._make_tracker, self._desk = make_tracker, desk
        self._orders = None if desk is None else desk.taken
        self._postponed: Orders | None = None
        self._on_block = on_block
        self.restart = False
        self.stats, self.scheduling = SessionStats(), NOT_LIVE
        self.failures: list[Failure] = []
        self.ended = False
        self.timing = Timing(tracker.hop_s, source.paced, timer)

    @property
    def orders(self) -> Orders | None:
        """Those of its desk by which it plays; None without a desk."""
        return self._orders

    def run(self) -> SessionStats:
        """Until the source ends or ``stop`` says so.

        Raises what the source, the tracker or the last sink raised, after the sounding note was ended, and
        ValueError where the tracker was made for another sample rate than the source has.
        """
        self._reset()
        try:
            with live_thread(self.source.paced, self._priority) as self.scheduling:
                self._begin()
                self._loop()
            self._give(self.tracker.flush())
        finally:
            self._give(self.tracker.finish())
        if self._error:
            raise self._error
        return self.stats

    # ---- birth ---------------------------------------------------------------------------------

    def _reset(self) -> None:
        if self.tracker.sample_rate != self.source.sample_rate:
            raise ValueError(
                f"the tracker was made for {self.tracker.sample_rate} Hz and the {self.source.name} has "
                f"{self.source.sample_rate} Hz; make one for that rate"
            )
        self.tracker.reset()
        self._tell_of_band()
        self.stats, self.scheduling = SessionStats(), NOT_LIVE
        self._hearing = list(self.sinks)  # those that have not failed
        self.failures = []  # of those that have
        self.ended = self.restart = False
        self._error: Exception | None = None  # that ends the run, raised when all is closed
        self._origin_s: float | None = None
        self._told_s = self._looked_s = float("-inf")
        self._trouble = ""  # the one that was told last, without its numbers, which change while it lasts
        self._bound_samples = int(self.tracker.latency.bound_ms / 1000.0 * self.source.sample_rate)

    def _tell_of_band(self) -> None:
        """Whom the sinks may ask how the band is taken out."""
        self._told_band = self._band
        for sink in self.sinks:
            sink.band = self._told_band

    @property
    def _band(self) -> BandCanceller | None:
        return getattr(self.tracker, "band", None)  # which a stand-in for a tracker need not have

    def _begin(self) -> None:
        """Of a live source, forget what came while the program was getting ready."""
        if self.scheduling.refusal:
            self.tell(self.scheduling.refusal)
        if self._orders is not None:
            self.tracker.mute(self._orders.paused)
        if self.source.live:
            self.source.start_clock()
            self.source.skip_to_newest()
        self.timing = Timing(self.tracker.hop_s, self.source.paced, self._timer)
        self._stats_due_s = self._stats_every_s or float("inf")
        self._first_sample = self.source.position_samples
        self._lost_before = self.source.lost_samples
        self._overflows_before = self.source.overflows
        self._breaks_seen = self.source.breaks

    def _start_sinks(self) -> None:
        """Tell the sinks when stream time 0 was: at the first block, and when a skip moved it."""
        if (origin_s := self._moved_origin()) is not None:
            self._tell_sinks(lambda sink: sink.start(origin_s))

    def _retime_sinks(self) -> None:
        """The same after samples were lost unheard, where it matters; what sounds goes on."""
        if (origin_s := self._moved_origin(RETIME_S)) is not None:
            self._tell_sinks(lambda sink: sink.retime(origin_s))

    def _moved_origin(self, at_least_s: float = 0.0) -> float | None:
        """The moment of stream time 0, where it is another one by now; it is noted. It never moves back, so
        that times shifted by it never do."""
        origin_s = self.source.origin_s
        if origin_s is None:
            origin_s = time.perf_counter()
        origin_s += self._first_sample / self.source.sample_rate
        if self._origin_s is not None and origin_s <= self._origin_s + at_least_s:
            return None
        self._origin_s = origin_s
        return origin_s

    def _tell_sinks(self, tell: Callable[[EventSink], None]) -> None:
        for sink in self._hearing:
            try:
                tell(sink)
            except Exception as error:
                self._drop(sink, error)

    # ---- the loop ------------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            while not self._error and not self.stop():
                if self._pause():
                    self._stand_still()
                if self._desk is not None and (orders := self._desk.take() or self._postponed) and not self._obey(orders):
                    break
                block = self._read()
                if block is None:
                    self.ended = True
                    break
                self._look_at_source(len(block))
                if len(block) > 0:
                    self.timing.read()
                    self._take(block)
        except RtMelodyError as error:  # the device is lost: what was captured is still given out
            self._error = self._error or error
        finally:
            self._count_losses()

    def _obey(self, orders: Orders) -> bool:
        """Do as the desk says; whether the run goes on."""
        before = self._orders
        assert before is not None  # there is a desk
        if not orders.running:
            return False
        if needing_restart(before.settings, orders.settings):
            self.restart = self.timing.elapsed_s >= RESTART_AFTER_S
            self._postponed = orders
            return not self.restart
        self._orders, self._postponed = orders, None
        if orders.panics != before.panics:
            self._tell_sinks(lambda sink: sink.panic())
        self._give(self.tracker.mute(orders.paused))
        if orders.settings is not before.settings:
            self.tracker.change(orders.settings)
            self._tell_sinks(lambda sink: sink.change(orders.settings))
        return True

    def _stand_still(self) -> None:
        """The note ends; what came meanwhile is skipped as after any stall."""
        self._give(self.tracker.finish())
        self._on_pause()

    def _read(self) -> np.ndarray | tuple[()] | None:
        try:
            return self.source.read(READ_TIMEOUT_S)
        except RateChanged as changed:
            if self._make_tracker is None:
                raise
            self._follow_rate(changed, self._make_tracker)
            return ()

    def _follow_rate(self, changed: RateChanged, make_tracker: Callable[[int], MelodyTracker]) -> None:
        """Go on with a tracker for the new rate, at the time that it is when it is ready."""
        self._give(self.tracker.flush())
        self.source.follow_rate()
        ratio = self.source.sample_rate / changed.before_hz
        self._first_sample, self._lost_before = round(self._first_sample * ratio), round(self._lost_before * ratio)
        self.tracker = make_tracker(self.source.sample_rate)
        self._bound_samples = int(self.tracker.latency.bound_ms / 1000.0 * self.source.sample_rate)
        self.source.skip_to_newest()
        self._go_on(0)
        self.tell(f"{changed.change}; it is heard at that rate from now on")
        self._learn_anew()

    def _look_at_source(self, block_samples: int) -> None:
        """Whether sound broke off before the block in hand, and whether the source says that something is wrong."""
        if self._breaks_seen != (breaks := self.source.breaks):
            self._breaks_seen = breaks
            self._give(self.tracker.flush())
            self._go_on(block_samples)
            self._learn_anew()
        if self.source.live and (now_s := self._timer()) - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = now_s
            trouble = self.source.trouble
            if (kind := NUMBERS.sub("", trouble or "")) != self._trouble:
                self._trouble = kind
                self.tell(trouble or self.source.relief)

    def _go_on(self, block_samples: int) -> None:
        """The next sample that the tracker gets, the first of the block in hand, stands where time has come to."""
        self._give(self.tracker.skip_to((self.source.position_samples - block_samples - self._first_sample) / self.source.sample_rate))
        if self._origin_s is not None:
            self._start_sinks()
        self.timing.begin_anew()

    def _learn_anew(self) -> None:
        if self.source.learn_anew():
            self.tracker.learn_reference_anew()
            self.tell(BREATH)

    def _take(self, block: np.ndarray) -> None:
        if self._origin_s is None:
            self._start_sinks()
        if self.source.overflows - self._overflows_before != self.stats.overflows:
            self._count_losses()
            self.timing.begin_anew()
            self._tell_seldom(f"the device reported dropped samples ({_count(self.stats.overflows, 'time')} so far); end other programs")
        if self.stats.overflows:
            self._retime_sinks()  # how much was lost is known a while later
        if self._on_block is not None:
            self._on_block(block)
        waiting = len(block) + self.source.backlog_samples
        if self.source.live and waiting > self._bound_samples + self.source.device_block_samples:
            self._skip(len(block))
        else:
            self._give(self.tracker.feed(block, self.source.reference))
            if self._told_band is not self._band:  # it came with the first block, or with another tracker
                self._tell_of_band()
            self._account(len(block))

    def _account(self, block_samples: int) -> None:
        """The block is through: how long that took, and the figures when they are due."""
        taken = self.source.position_samples - self._first_sample + self.source.lost_samples - self._lost_before
        self.timing.worked(block_samples / self.source.sample_rate, taken / self.source.sample_rate)
        if self.timing.elapsed_s >= self._stats_due_s:
            self._stats_due_s += self._stats_every_s
            self.on_figures(self.figures())

    def _skip(self, block_samples: int) -> None:
        """Drop the block in hand and the backlog; go on from the newest audio."""
        rate = self.source.sample_rate
        skipped = block_samples + self.source.skip_to_newest()
        self._give(self.tracker.skip_to((self.source.position_samples - self._first_sample) / rate))
        self._start_sinks()
        self.stats.skips += 1
        self.stats.skipped_s += skipped / rate
        self._count_losses()
        self.on_skip(self.stats)
        self._tell_seldom(
            f"fell behind: {1000.0 * skipped / rate:.0f} ms of sound waited where {self.tracker.latency.bound_ms:g} ms may, "
            f"and were skipped ({_count(self.stats.skips, 'skip')} so far, {self.stats.skipped_s:.2f} s in all); "
            "end other programs, hear with the light model, --light, or allow more with --latency-ms"
        )

    def _tell_seldom(self, text: str) -> None:
        now_s = self._clock()
        if now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            self.tell(text)

    def _count_losses(self) -> None:
        self.stats.lost_s = (self.source.lost_samples - self._lost_before) / self.source.sample_rate
        self.stats.overflows = self.source.overflows - self._overflows_before
        self.stats.replaced_samples = self.tracker.replaced_samples

    def figures(self) -> Figures:
        """How the newest run keeps time (see timing/figures.py), what it lost, and what the system granted it."""
        lost = {name: getattr(self.stats, name) for name in ("skips", "skipped_s", "lost_s", "overflows")}
        known = {} if self._band is None else {"band": self._band.figures()}
        return {**self.timing.figures(), **lost, "scheduling": self.scheduling.line(), **known}

    # ---- what goes out -------------------------------------------------------------------------

    def _give(self, heard: list[Heard]) -> None:
        stats = self.stats
        for item in heard:
            if isinstance(item, PitchFrame):
                stats.frames += 1
                stats.voiced_frames += item.voiced
                for sink in self._hearing:
                    try:
                        sink.frame(item)
                    except Exception as error:
                        self._drop(sink, error)
            else:
                stats.notes += isinstance(item, NoteOn)
                self._send(item)

    def _send(self, event: NoteEvent) -> None:
        for sink in self._hearing:
            try:
                sink.event(event)
            except Exception as error:
                self._drop(sink, error)

    def _drop(self, sink: EventSink, error: Exception) -> None:
        """``sink`` failed: it hears no more. Where it was the last output, the run ends with the first such error."""
        self._hearing = [other for other in self._hearing if other is not sink]
        self.failures.append(Failure(sink, error))
        if any(other.is_output for other in self._hearing):
            self.tell(f"{self.failures[-1].line()}; what else goes out goes on")
        elif sink.is_output:
            self._error = self._error or self.failures[0].error


def run(
    source: AudioSource,
    sinks: Sequence[EventSink] = (),
    make_tracker: Callable[[int], MelodyTracker] | None = None,
    **options: Any,
) -> SessionStats:
    """Open ``source``, run it through to ``sinks``, close everything.

    ``make_tracker``: what makes the tracker for a sample rate in Hz, since many a source knows its rate only when it is
    open; None for the usual settings, or those of ``desk``. ``options`` are those of Session. With a ``desk`` another latency
    bound makes another tracker; the source and the sinks stay those that were given. Raises as Session.run and the source's ``open`` do,
    and at the end what a sink raised on the way.
    """
    with closing(sinks), source:
        desk: Desk | None = options.get("desk")

        def usual(rate: int) -> MelodyTracker:
            return MelodyTracker.from_settings(desk.taken.settings if desk else None, rate)

        make = make_tracker or usual
        while True:
            if desk is not None:
                desk.take()
            tracker = make(source.sample_rate)
            if source.live:
                tracker.warm_up()
            session = Session(source, tracker, sinks, make_tracker=make, **options)
            stats = session.run()
            if session.failures:
                raise session.failures[0].error
            if not session.restart:
                return stats


class Closes(Protocol):
    """What can be closed: a sink, a log."""

    def close(self) -> None: ...


def close_all(sinks: Sequence[Closes]) -> Exception | None:
    """Close each sink, whatever the others raise; the first error."""
    first: Exception | None = None
    for sink in sinks:
        try:
            sink.close()
        except Exception as error:  # the others must still be closed
            first = first or error
    return first


@contextmanager
def closing(sinks: Sequence[Closes]) -> Generator[None]:
    """Close all ``sinks`` at the end; their first error is raised unless one is under way already."""
    try:
        yield
    except BaseException:
        close_all(sinks)
        raise
    if error := close_all(sinks):
        raise error
