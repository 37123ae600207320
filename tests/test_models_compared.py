"""The compared systems: their transforms on sounds worked by hand, their networks' shapes and ways of error."""

import dataclasses

import numpy as np
import pytest
import torch

from rt_melody.models import mcdnn, spectrum
from rt_melody.models.build import build_network
from rt_melody.models.config import load_config
from rt_melody.models.hybrid import HybridNet, autocorrelation, band_passed

RATE = 16000


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def tone(hz, seconds=0.4, amplitude=0.3):
    t = torch.arange(round(seconds * RATE)) / RATE
    return amplitude * torch.sin(2 * torch.pi * hz * t)[None]


# ---- transforms


@pytest.mark.parametrize("size", (8, 320, 1024))
def test_a_frame_is_centred_on_the_end_of_its_hop(size):
    wave = torch.zeros(1, 160 * 12)
    wave[0, 3 * 160] = 1.0
    frames = spectrum.centred_frames(wave, size, 160)
    assert frames.shape == (1, 12, size)
    assert frames[0, 2].argmax() == size // 2 and frames[0, 2].max() == 1.0


def test_levels_are_relative_to_each_recordings_loudest():
    magnitude = torch.tensor([[[1.0, 0.1], [1e-9, 0.5]], [[200.0, 20.0], [0.0, 100.0]]])
    level = spectrum.relative_level(magnitude)
    torch.testing.assert_close(level[0], level[1])
    torch.testing.assert_close(level[0, 0], torch.tensor([0.0, -np.log(10.0)]).float())
    assert level.min() == pytest.approx(-4 * np.log(10.0), rel=1e-5)


def test_a_tone_falls_into_the_band_of_its_frequency():
    centres = 65.0 * 2.0 ** (np.arange(312) / 48)
    bands = spectrum.log_frequency_bands(2048, RATE, centres)
    np.testing.assert_allclose(bands.sum(1), 1.0, rtol=1e-5)
    magnitude = spectrum.magnitudes(tone(centres[200]), 2048, 160, 1025)[0, 20].numpy()
    assert abs(int((bands @ magnitude).argmax()) - 200) <= 1


def test_a_band_passes_what_is_inside_and_stops_the_rest():
    both = tone(500.0) + tone(3000.0)
    torch.testing.assert_close(band_passed(both, 60.0, 1000.0, RATE)[:, 800:-800], tone(500.0)[:, 800:-800], atol=3e-3, rtol=0)
    assert band_passed(tone(3000.0), 0.0, 1000.0, RATE)[:, 800:-800].abs().max() < 3e-3


def test_the_autocorrelation_of_a_sine_is_a_cosine_of_the_lag():
    lags = torch.tensor([0.0, 20.0, 40.0, 80.0, 50.5])
    told = autocorrelation(tone(200.0, 1024 / RATE), lags)[0]
    torch.testing.assert_close(told, torch.cos(2 * torch.pi * lags / 80.0), atol=0.02, rtol=0)
    assert autocorrelation(torch.zeros(1, 1024), lags).abs().max() == 0


def test_the_temporal_model_hears_the_pitch_of_unresolved_harmonics():
    """Harmonics 14 to 19 of 200 Hz alone: the band that holds them peaks at 200 Hz within its octave."""
    net = HybridNet(load_config("hybrid"))
    wave = sum(tone(200.0 * k) for k in range(14, 20))
    told = net.periodicity(wave)[0, 20].view(5, -1)[3].numpy()
    midi = load_config("hybrid").pitch_midi()
    octave = (midi > 50) & (midi < 60)
    assert midi[octave][told[octave].argmax()] == pytest.approx(69 + 12 * np.log2(200 / 440), abs=0.25)


def test_neighbours_lie_beside_each_frame_oldest_bin_first():
    x = torch.tensor([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]])
    told = mcdnn.with_neighbours(x, 3)
    assert told[0, 0].tolist() == [1, 1, 2, 10, 10, 20] and told[0, 2].tolist() == [2, 3, 3, 20, 30, 30]


# ---- networks


@pytest.mark.parametrize("name", ("mcdnn", "hybrid"))
def test_a_row_a_hop_whatever_the_level(name):
    torch.manual_seed(0)
    config = load_config(name)
    net = build_network(config).eval()
    wave = tone(220.0) + 0.05 * torch.randn(1, 6400)
    loud, soft = net.whole(wave), net.whole(0.02 * wave)
    assert loud.pitch_logits.shape == (1, 1, 40, config.pitch_bins) and loud.voicing_logits.shape == (1, 40, 1)
    torch.testing.assert_close(loud.pitch_logits, soft.pitch_logits, atol=2e-3, rtol=1e-3)


def test_columns_are_multiplied_on_the_finest_grid():
    """Two semitones; the columns' likelihoods are worked by hand."""
    config = dataclasses.replace(load_config("mcdnn"), positions=8)
    net = mcdnn.MultiColumnNet(config).eval()
    shares = [[0.25, 0.75], [0.1, 0.2, 0.3, 0.4], [0.05, 0.05, 0.1, 0.1, 0.2, 0.2, 0.15, 0.15]]
    for column, share in zip(net.columns, shares):
        torch.nn.init.zeros_(column[-1].weight)
        column[-1].bias.data = torch.log(torch.tensor(share))
    told = net.whole(tone(220.0)).pitch_logits[0, 0, 3].exp()
    wanted = np.repeat(shares[0], 4) * np.repeat(shares[1], 2) * shares[2]
    np.testing.assert_allclose(told.detach(), wanted, rtol=1e-4)


def test_the_voicing_does_not_train_the_columns():
    net = build_network(load_config("mcdnn"))
    net.whole(tone(220.0)).voicing_logits.sum().backward()
    assert all(p.grad is None for p in net.columns.parameters()) and net.voice[0].weight.grad.abs().max() > 0


def test_a_grid_that_is_not_theirs_is_refused():
    with pytest.raises(ValueError, match="needs 4 a semitone"):
        mcdnn.MultiColumnNet(load_config("paper"))
