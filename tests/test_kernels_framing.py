"""Framing against plain NumPy, at every place where a circular buffer can wrap."""

import numpy as np
import pytest

from rt_melody.kernels import framing


def test_windows_are_the_newest_samples_of_the_stream():
    ring, stream = np.zeros(64, np.float32), np.arange(1, 500, dtype=np.float32)
    written = 0
    for size in (1, 7, 63, 64, 5, 40, 17, 64, 3):
        framing.put(ring, written, stream[written : written + size], size)
        written += size
        windows = np.zeros((3, 23), np.float32)
        framing.cut(ring, written - 2 * 9, 9, windows)
        padded = np.concatenate([np.zeros(50, np.float32), stream[:written]])
        for window, age in zip(windows, (18, 9, 0)):
            end = len(padded) - age
            np.testing.assert_array_equal(window, padded[end - 23 : end])


def test_a_window_before_the_start_of_the_stream_holds_zeros():
    ring, windows = np.zeros(16, np.float32), np.ones((1, 8), np.float32)
    framing.put(ring, 0, np.array([5, 6, 7], np.float32), 3)
    framing.cut(ring, 3, 1, windows)
    np.testing.assert_array_equal(windows, [[0, 0, 0, 0, 0, 5, 6, 7]])


def conditioned(block, keep=0.99, state=None, sizes=(10**6,)):
    state, out, bad, at = np.zeros(2) if state is None else state, np.empty(len(block), np.float32), 0, 0
    for size in np.resize(sizes, len(block)):
        part = block[at : at + size]
        bad += framing.condition(part, keep, state, out[at : at + len(part)])
        at += len(part)
    return out, bad


def test_values_that_are_not_finite_become_silence_and_are_counted():
    """With no memory (keep = 0) the block is its own difference: 0.5, -0.5, 0, 0, -0.25, 2 - -0.25."""
    block = np.array([0.5, np.nan, np.inf, -np.inf, -0.25, 100.0], np.float32)
    out, bad = conditioned(block, keep=0.0)
    assert bad == 3
    np.testing.assert_allclose(out, [0.5, -0.5, 0, 0, -0.25, 2.25])


def test_dc_is_blocked_and_a_voice_is_not():
    keep, t = np.exp(-2 * np.pi * 15 / 16000), np.arange(16000) / 16000
    out, _ = conditioned((0.5 + 0.1 * np.sin(2 * np.pi * 60 * t)).astype(np.float32), keep)
    rest = out[8000:]
    assert abs(rest.mean()) < 1e-3
    assert rest.std() * np.sqrt(2) == pytest.approx(0.1 * 60 / np.hypot(60, 15), rel=0.01)


def test_an_offset_from_the_first_sample_on_makes_no_step():
    out, _ = conditioned(np.full(100, 0.7, np.float32), state=np.array([np.nan, 0.0]))
    np.testing.assert_array_equal(out, np.zeros(100))


def test_conditioning_in_pieces_equals_the_whole():
    block = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    whole, _ = conditioned(block)
    for sizes in ([1], [7, 160], [999]):
        np.testing.assert_array_equal(conditioned(block, sizes=sizes)[0], whole)
    assert not np.array_equal(conditioned(block, state=np.ones(2))[0], whole)


@pytest.mark.parametrize("signal, db", [(np.ones(100), 0.0), (np.full(100, 0.1), -20.0), (np.zeros(100), -120.0)])
def test_levels_are_those_of_the_definition(signal, db):
    assert levels([signal]) == pytest.approx([db], abs=1e-4)


def test_a_level_reads_the_newest_samples_only():
    window = np.concatenate([np.ones(50), np.full(50, 0.1)])
    assert levels([window, window[::-1]]) == pytest.approx([-20.0, 0.0], abs=1e-4)


def levels(windows):
    out = np.zeros(len(windows))
    framing.levels_db(np.array(windows, np.float32), 50, out)
    return out
