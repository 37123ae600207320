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
        window = np.zeros(23, np.float32)
        framing.frame(ring, written, window)
        padded = np.concatenate([np.zeros(23, np.float32), stream[:written]])
        np.testing.assert_array_equal(window, padded[-23:])


def test_a_window_before_the_start_of_the_stream_holds_zeros():
    ring, window = np.zeros(16, np.float32), np.ones(8, np.float32)
    framing.put(ring, 0, np.array([5, 6, 7], np.float32), 3)
    framing.frame(ring, 3, window)
    np.testing.assert_array_equal(window, [0, 0, 0, 0, 0, 5, 6, 7])


def test_values_that_are_not_finite_become_silence_and_are_counted():
    block = np.array([0.5, np.nan, np.inf, -np.inf, -0.25, 100.0], np.float32)
    out = np.empty(6, np.float32)
    assert framing.copy_finite(block, 6, out) == 3
    np.testing.assert_array_equal(out, [0.5, 0, 0, 0, -0.25, 8.0])


@pytest.mark.parametrize("signal, db", [(np.ones(100), 0.0), (np.full(100, 0.1), -20.0), (np.zeros(100), -120.0)])
def test_levels_are_those_of_the_definition(signal, db):
    assert framing.level_db(signal.astype(np.float32), 50) == pytest.approx(db, abs=1e-4)


def test_a_level_reads_the_newest_samples_only():
    window = np.concatenate([np.ones(50), np.full(50, 0.1)]).astype(np.float32)
    assert framing.level_db(window, 50) == pytest.approx(-20.0, abs=1e-4)
