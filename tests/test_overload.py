"""The worker stalls, and is on time again: a world of its own with one clock, in which nothing is measured twice.

The device brings HOP samples every 10 ms into a ring of ten seconds; reading waits for them; feeding costs
``WORK_S``; the stall comes in the middle of a note, as a sink that does not come back. Of every frame given out
it is known, by the clock of that world, how old the sound is of which it speaks.
"""

from __future__ import annotations

import numpy as np
import pytest
from fake_session import BOUND_MS, HOP, RATE, FakeEngine, Recorder, assert_no_note_left_on, tracker

from rt_melody.realtime.session import Session, SessionStats
from rt_melody.realtime.sources.base import AudioSource
from rt_melody.realtime.types import NoteOff, NoteOn, PitchFrame

HOP_S = HOP / RATE
WORK_S = 0.002
RING_S = 10.0
STALL_AT_S = 1.0
RECOVERED_S = 0.1  # after the stall, until the bound holds again
READ_MOST = 100  # samples


class World:
    now_s = 0.0


class Device(AudioSource):
    """As the microphone: a thread of its own writes a ring, on time whatever the reader does; what finds no room is lost."""

    sample_rate, live, device_block_samples = RATE, True, HOP

    def __init__(self, world: World, end_s: float) -> None:
        self.world, self.end_s = world, end_s
        self.read_index = self.lost = 0

    def _arrived(self) -> int:
        """Samples that have found room: those of the whole blocks that have come, less those lost."""
        came = int(self.world.now_s / HOP_S + 1e-6) * HOP
        self.lost = max(self.lost, came - self.read_index - int(RING_S * RATE))
        return came - self.lost

    def read(self, timeout_s: float = 0.1):
        if self.world.now_s >= self.end_s:
            return None
        if not self.backlog_samples:
            self.world.now_s = (int(self.world.now_s / HOP_S + 1e-6) + 1) * HOP_S
        given = min(READ_MOST, self.backlog_samples)
        self.read_index += given
        return np.zeros(given, np.float32)

    def skip_to_newest(self) -> int:
        skipped = self.backlog_samples
        self.read_index += skipped
        return skipped

    @property
    def backlog_samples(self) -> int:
        return self._arrived() - self.read_index

    @property
    def position_samples(self) -> int:
        return self.read_index

    @property
    def lost_samples(self) -> int:
        self._arrived()
        return self.lost

    origin_s = property(lambda self: 5000.0 + self.lost / RATE)


class Worker(FakeEngine):
    """An engine whose feeding takes ``WORK_S`` of the world's time."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    def feed(self, samples):
        self.world.now_s += WORK_S
        return super().feed(samples)


class Stalling(Recorder):
    """Notes the age of the sound of each frame as it comes out; stands still once, for ``stall_s``."""

    def __init__(self, world: World, device: Device, stall_s: float) -> None:
        super().__init__()
        self.world, self.device, self.stall_s, self.ages = world, device, stall_s, []

    def _frame(self, frame: PitchFrame) -> None:
        super()._frame(frame)
        self.ages.append((self.world.now_s, self.world.now_s - frame.time_s - self.device.lost / RATE))
        if self.stall_s and self.world.now_s >= STALL_AT_S:
            self.stalled_to_s = self.world.now_s = self.world.now_s + self.stall_s
            self.stall_s = 0.0


def stalled(stall_s: float) -> tuple[Stalling, SessionStats, list[str], Session]:
    """A session of two seconds beside the stall."""
    world = World()
    device = Device(world, 2.0 + stall_s)
    sink, told = Stalling(world, device, stall_s), []
    session = Session(
        device, tracker(Worker(world)), [sink], tell=told.append, priority=False,
        clock=lambda: world.now_s, timer=lambda: world.now_s,
    )
    stats = session.run()
    sink.close()
    return sink, stats, told, session


@pytest.mark.slow
@pytest.mark.parametrize("stall_s", [0.1, 1.0, 5.0, 15.0])
def test_after_a_stall_the_bound_holds_again_within_a_tenth_of_a_second(stall_s):
    """Fifteen seconds are more than the ring holds."""
    sink, _, _, _ = stalled(stall_s)
    bound_s = BOUND_MS / 1000.0 + WORK_S + HOP_S
    before = [age for at, age in sink.ages if at < STALL_AT_S]
    after = [age for at, age in sink.ages if at >= sink.stalled_to_s + RECOVERED_S]
    assert max(before) <= bound_s and len(before) > 90
    assert max(after) <= bound_s and len(after) > 80
    assert max(after) == pytest.approx(max(before)), "nothing of the stall stays"
    resumed_s = next(at for at, _ in sink.ages if at >= sink.stalled_to_s)
    assert resumed_s - sink.stalled_to_s <= RECOVERED_S, "and it is heard again by then"


@pytest.mark.slow
@pytest.mark.parametrize("stall_s", [0.1, 1.0, 5.0, 15.0])
def test_a_stall_is_counted_told_and_ends_the_note(stall_s):
    sink, stats, told, session = stalled(stall_s)
    kept_s = min(stall_s, RING_S)
    assert stats.skips == 1 and stats.skipped_s == pytest.approx(kept_s, abs=2 * HOP_S)
    assert stats.lost_s == pytest.approx(stall_s - kept_s, abs=2 * HOP_S)
    assert len(told) == 1 and "fell behind" in told[0] and "fell behind 1 time" in stats.line()
    assert session.timing.missed == 1 and session.timing.work.max_s == pytest.approx(stall_s + WORK_S)
    (_, second_on), (first_off, second_off) = sink.of(NoteOn), sink.of(NoteOff)
    assert first_off.time_s <= STALL_AT_S + HOP_S < second_on.time_s
    order = [event for kind, event in sink.told if kind == "event"]
    assert order.index(first_off) < order.index(second_on) < order.index(second_off)
    assert_no_note_left_on(sink)


@pytest.mark.parametrize("stall_s", [0.0, 0.02, 0.03])
def test_a_stall_that_the_bound_allows_for_costs_nothing(stall_s):
    sink, stats, told, _ = stalled(stall_s)
    assert (stats.skips, told) == (0, [])
    assert len(sink.of(NoteOn)) == 1 and np.allclose(np.diff([f.time_s for f in sink.of(PitchFrame)]), HOP_S)


def test_the_figures_show_the_stall_as_lateness_never_as_drift():
    """Late by the stall at most, and only then; a turn without it is the measure."""
    _, _, _, session = stalled(0.03)
    late = session.figures()["lateness_ms"]
    assert late["median"] < 1.0 and late["max"] == pytest.approx(30.0, rel=0.01)
    assert session.figures()["drift_ppm"] is None and session.figures()["skips"] == 0
