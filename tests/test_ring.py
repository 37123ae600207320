"""The ring against a plain list, its four rules of state, and two threads that never meet."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rt_melody.realtime.ring import RingBuffer

CAPACITY = 97
SAMPLES = np.arange(1, 1001, dtype=np.float32)


def pass_through(ring: RingBuffer, samples: np.ndarray, chunk: int) -> np.ndarray:
    """Write and read in turn, ``chunk`` samples at a time; what came out."""
    out, block = [], np.zeros(CAPACITY, np.float32)
    for start in range(0, len(samples), chunk):
        ring.write(samples[start : start + chunk])
        out.append(block[: ring.read(block)].copy())
    return np.concatenate(out)


@pytest.mark.parametrize("chunk", [1, 2, 13, CAPACITY - 1, CAPACITY])
def test_what_goes_in_comes_out_whatever_the_chunk(chunk):
    ring = RingBuffer(CAPACITY)
    np.testing.assert_array_equal(pass_through(ring, SAMPLES, chunk), SAMPLES)
    assert ring.write_index == ring.read_index == len(SAMPLES)


def test_a_second_run_and_a_run_after_reset_equal_the_first():
    ring = RingBuffer(CAPACITY)
    first = pass_through(ring, SAMPLES, 31)
    np.testing.assert_array_equal(pass_through(RingBuffer(CAPACITY), SAMPLES, 31), first)
    ring.write(SAMPLES)  # more than it holds
    ring.reset()
    assert (ring.write_index, ring.read_index, ring.available, ring.lost_samples) == (0, 0, 0, 0)
    np.testing.assert_array_equal(pass_through(ring, SAMPLES, 31), first)


def test_without_reset_what_was_left_comes_first():
    ring = RingBuffer(CAPACITY)
    ring.write(SAMPLES[:5] * -1)
    np.testing.assert_array_equal(pass_through(ring, SAMPLES[:50], 10)[:6], [-1, -2, -3, -4, -5, 1])


def test_a_full_ring_drops_the_new_samples_and_counts_them():
    ring = RingBuffer(4)
    assert ring.write(SAMPLES[:3]) == 3
    assert ring.write(SAMPLES[3:8]) == 1
    assert ring.write(SAMPLES[8:9]) == 0
    assert (ring.lost_samples, ring.available, ring.write_index) == (5, 4, 4)
    block = np.zeros(9, np.float32)
    assert ring.read(block) == 4
    np.testing.assert_array_equal(block[:5], [1, 2, 3, 4, 0])


def test_read_obeys_its_limit_and_the_room_it_is_given():
    ring, block = RingBuffer(8), np.zeros(3, np.float32)
    ring.write(SAMPLES[:8])
    assert ring.read(block, 2) == 2
    assert ring.read(block, 99) == 3
    assert ring.read(block, 0) == 0
    np.testing.assert_array_equal(block, [3, 4, 5])


def test_skipping_stays_within_what_is_held():
    ring, block = RingBuffer(8), np.zeros(8, np.float32)
    ring.write(SAMPLES[:6])
    assert ring.skip_to(2) == 2
    assert ring.skip_to(1) == 0
    assert (ring.read(block, 1), block[0]) == (1, 3)
    assert ring.skip_to(100) == 3
    assert (ring.read_index, ring.available) == (6, 0)
    assert ring.write(SAMPLES[:8]) == 8


def test_a_capacity_without_room_is_refused():
    with pytest.raises(ValueError, match="capacity 0 samples must be at least 1"):
        RingBuffer(0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["write", "read", "skip"]), st.integers(0, 12)), max_size=60))
def test_it_behaves_as_a_bounded_list_with_a_counter(moves):
    ring, twin, written, read, lost = RingBuffer(10), [], 0, 0, 0
    block = np.zeros(12, np.float32)
    for move, n in moves:
        if move == "write":
            new = np.arange(written + 1, written + n + 1, dtype=np.float32)
            taken = min(n, 10 - len(twin))
            assert ring.write(new) == taken
            twin += list(new[:taken])
            written, lost = written + taken, lost + n - taken
        elif move == "read":
            given_out = min(n, len(twin))
            assert ring.read(block, n) == given_out
            np.testing.assert_array_equal(block[:given_out], twin[:given_out])
            twin, read = twin[given_out:], read + given_out
        else:
            skipped = min(n, len(twin))
            assert ring.skip_to(read + n) == skipped
            twin, read = twin[skipped:], read + skipped
        assert (ring.write_index, ring.read_index, ring.available, ring.lost_samples) == (written, read, len(twin), lost)


class Interrupted(RingBuffer):
    """The other thread gets its turn right before and right after every copy."""

    meanwhile = staticmethod(lambda: None)

    def _copy_in(self, place, samples):
        self.meanwhile()
        super()._copy_in(place, samples)
        self.meanwhile()

    def _copy_out(self, place, out):
        self.meanwhile()
        super()._copy_out(place, out)
        self.meanwhile()


def test_a_reader_in_the_middle_of_a_write_sees_nothing_of_it():
    ring, seen = Interrupted(8), []
    ring.meanwhile = lambda: seen.append(ring.available)
    ring.write(SAMPLES[:5])
    assert seen == [0, 0] and ring.available == 5


def test_a_writer_in_the_middle_of_a_read_overwrites_nothing():
    ring, taken = Interrupted(8), []
    RingBuffer.write(ring, SAMPLES[:8])
    ring.meanwhile = lambda: taken.append(RingBuffer.write(ring, -SAMPLES[:1]))
    block = np.zeros(8, np.float32)
    ring.read(block)
    assert taken == [0, 0]
    np.testing.assert_array_equal(block, SAMPLES[:8])


@pytest.fixture
def restless_threads():
    """Threads change places so often that every gap between two statements is met."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual_s)


def test_two_threads_hand_over_every_sample_in_order(restless_threads):
    ring, total = RingBuffer(61), 4_000
    numbers = np.arange(total, dtype=np.float32)

    def write():
        position, step = 0, 1
        while position < total:
            room = ring.capacity_samples - ring.available
            position += ring.write(numbers[position : position + min(step, room)])
            step = step % 53 + 1

    writer = threading.Thread(target=write)
    writer.start()
    received, block, step = [], np.zeros(61, np.float32), 1
    while sum(map(len, received[-1:])) or ring.read_index < total:
        n = ring.read(block, step)
        received.append(block[:n].copy())
        step = step % 47 + 1
    writer.join()
    np.testing.assert_array_equal(np.concatenate(received), numbers)
    assert ring.lost_samples == 0
