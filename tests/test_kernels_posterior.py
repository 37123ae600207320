"""Reading a posterior: hand-worked cases and a plain twin."""

import numpy as np
import pytest

from rt_melody.kernels import posterior


def gaussian(centre, bins=284, width=1.0):
    row = np.exp(-0.5 * ((np.arange(bins) - centre) / width) ** 2)
    return (row / row.sum()).astype(np.float32)


def test_softmax_equals_its_definition_even_for_large_logits():
    logits = np.array([1000.0, 999.0, -1000.0, 1001.5], np.float32)
    out = np.empty(4, np.float32)
    posterior.softmax(logits, out)
    wanted = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(out, wanted, rtol=1e-5)


@pytest.mark.parametrize("centre", (20.0, 20.3, 100.5, 250.77))
def test_the_local_mean_finds_a_pitch_between_bins(centre):
    row = gaussian(centre)
    assert posterior.local_mean(row, posterior.peak(row, 0, 284), 4) == pytest.approx(centre, abs=0.02)


def test_the_local_mean_does_not_see_a_second_peak():
    row = (0.6 * gaussian(100.0) + 0.4 * gaussian(160.0)).astype(np.float32)
    assert posterior.local_mean(row, 100, 4) == pytest.approx(100.0, abs=1e-3)
    assert posterior.local_mean(row, 160, 4) == pytest.approx(160.0, abs=1e-3)


def test_the_peak_is_sought_within_the_range():
    row = (0.6 * gaussian(100.0) + 0.4 * gaussian(160.0)).astype(np.float32)
    assert posterior.peak(row, 0, 284) == 100
    assert posterior.peak(row, 130, 284) == 160


def test_mass_near_counts_end_bins_in_part():
    row = np.zeros(10, np.float32)
    row[3:8] = (0.1, 0.2, 0.4, 0.2, 0.1)
    assert posterior.mass_near(row, 5.0, 1.0) == pytest.approx(0.4 + 0.5 * (0.2 + 0.2), abs=1e-6)
    assert posterior.mass_near(row, 5.0, 1.5) == pytest.approx(0.8, abs=1e-6)
    assert posterior.mass_near(row, 5.0, 2.0) == pytest.approx(0.8 + 0.5 * 0.2, abs=1e-6)
    assert posterior.mass_near(row, 5.0, 9.0) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("odds, low, high", ((0.7, 0, 12), (-3.0, 2, 9), (20.0, 5, 6)))
def test_what_the_decoder_sees_equals_its_definition(odds, low, high):
    logits = np.random.default_rng(0).normal(0, 12, 12).astype(np.float32)
    probabilities, observed = np.full((2, 12), np.nan, np.float32), np.full((2, 13), np.nan, np.float32)
    posterior.observe(np.array([logits[::-1], logits]), np.array([0.0, odds]), -40.0, low, high, probabilities, observed)
    possible = (np.arange(12) >= low) & (np.arange(12) < high)
    soft = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    np.testing.assert_allclose(probabilities[1], np.where(possible, soft, 0.0), rtol=1e-5)
    relative = np.where(possible, logits - logits[low:high].max(), -40.0)
    np.testing.assert_allclose(observed[1], [*np.maximum(relative + odds, -40.0), 0.0], rtol=1e-6)


def test_a_row_is_read_at_its_state_and_at_its_peak_where_there_is_none():
    row = (0.6 * gaussian(100.0) + 0.4 * gaussian(160.2)).astype(np.float32)
    bins, near = read([row, row], [160, 284], 0)
    assert bins == pytest.approx([160.2, 100.0], abs=0.02) and near == pytest.approx([0.4, 0.6], abs=0.01)
    assert read([row], [284], 150)[0] == pytest.approx([160.2], abs=0.02)


def read(rows, states, low):
    bins, near = np.zeros(len(rows)), np.zeros(len(rows))
    posterior.read(np.array(rows), np.array(states), low, 284, 4, 4.0, bins, near)
    return bins, near


@pytest.mark.parametrize("centre", (0.0, 0.7, 141.3, 283.0))
def test_mass_near_an_edge_is_what_lies_within(centre):
    row = gaussian(centre)
    wanted = sum(min(1.0, max(0.0, 3.0 - abs(i - centre))) * float(p) for i, p in enumerate(row))
    assert posterior.mass_near(row, centre, 2.5) == pytest.approx(wanted, abs=1e-12)
