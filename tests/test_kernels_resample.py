"""The streaming resampler: its delay, its quality against a reference, and that block sizes do not matter."""

import numpy as np
import pytest
import soxr

from rt_melody.kernels.resample import BLOCK, StreamResampler, polyphase_table

RATES = (8000, 11025, 22050, 32000, 44100, 48000, 96000)


def convert(resampler, samples, sizes):
    out, pieces, at, i = np.zeros(resampler.most_outputs(BLOCK), np.float32), [], 0, 0
    while at < len(samples):
        size = min(sizes[i % len(sizes)], BLOCK)
        count = resampler.process(samples[at : at + size], out)
        pieces.append(out[:count].copy())
        at, i = at + size, i + 1
    return np.concatenate(pieces)


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_keeps_its_phase_and_level(rate):
    """Output m stands at input time m / rate_out: nothing is shifted, whatever the delay until it exists."""
    tone = np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate).astype(np.float32)
    got = convert(StreamResampler(rate, 16000), tone, [BLOCK])
    wanted = np.sin(2 * np.pi * 440 * np.arange(len(got)) / 16000)
    assert np.abs(got - wanted)[100:].max() < 3e-4


@pytest.mark.parametrize("rate", RATES)
def test_noise_in_the_pass_band_equals_soxr(rate):
    """Up to 70 % of the lower Nyquist frequency both are flat; soxr is the reference."""
    rng = np.random.default_rng(rate)
    wide = rng.standard_normal(rate)
    spectrum = np.fft.rfft(wide)
    spectrum[np.fft.rfftfreq(rate, 1 / rate) > 0.35 * min(rate, 16000)] = 0
    narrow = np.fft.irfft(spectrum, rate).astype(np.float32)
    got = convert(StreamResampler(rate, 16000), narrow, [BLOCK])
    wanted = soxr.resample(narrow, rate, 16000, quality="VHQ")[: len(got)]
    error = (got - wanted)[500:-500]
    assert np.sqrt(np.mean(error**2) / np.mean(wanted**2)) < 2e-3


@pytest.mark.parametrize("rate", (48000, 96000))
def test_what_would_alias_is_stopped(rate):
    tone = np.sin(2 * np.pi * 12000 * np.arange(rate // 2) / rate).astype(np.float32)
    got = convert(StreamResampler(rate, 16000), tone, [BLOCK])
    assert 20 * np.log10(np.abs(got[200:]).max()) < -70


@pytest.mark.parametrize("rate", RATES)
def test_block_sizes_change_nothing(rate):
    noise = np.random.default_rng(1).standard_normal(5000).astype(np.float32)
    whole = convert(StreamResampler(rate, 16000), noise, [BLOCK])
    for sizes in ([1], [159], [160, 161], [997, 3]):
        np.testing.assert_array_equal(convert(StreamResampler(rate, 16000), noise, sizes), whole)


@pytest.mark.parametrize("rate", (*RATES, 16000))
def test_an_output_exists_as_soon_as_promised_and_not_before(rate):
    resampler = StreamResampler(rate, 16000)
    out, made = np.zeros(8, np.float32), 0
    for fed in range(1, 2000):
        made += resampler.process(np.ones(1, np.float32), out)
        assert resampler.inputs_for(made) <= fed < resampler.inputs_for(made + 1)


def test_the_delay_is_a_millisecond_when_rates_fall():
    assert StreamResampler(48000, 16000).delay_ms == pytest.approx(1.0)
    assert StreamResampler(16000, 16000).delay_ms == 0.0


def test_state_second_run_reset_and_without_reset():
    noise = np.random.default_rng(2).standard_normal(3000).astype(np.float32)
    resampler = StreamResampler(44100, 16000)
    first = convert(resampler, noise, [512])
    without = convert(resampler, noise, [512])
    assert len(without) != len(first) or not np.array_equal(without, first)
    resampler.reset()
    np.testing.assert_array_equal(convert(resampler, noise, [512]), first)
    np.testing.assert_array_equal(convert(StreamResampler(44100, 16000), noise, [512]), first)


@pytest.mark.parametrize("rate", (0, 999, 10**6))
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match=str(rate)):
        StreamResampler(rate, 16000)


@pytest.mark.parametrize("rate", (1001, 8001, 44099, 47951, 384_001, 767_999))
def test_a_rate_that_shares_no_factor_is_as_good_and_its_table_stays_small(rate):
    """These have 16,000 phases, of which 767,999 Hz would fill 98 MB."""
    hz = min(3000.0, 0.2 * rate)
    resampler = StreamResampler(rate, 16000)
    tone = np.sin(2 * np.pi * hz * np.arange(rate // 2) / rate).astype(np.float32)
    got = convert(resampler, tone, [BLOCK])
    error = got - np.sin(2 * np.pi * hz * np.arange(len(got)) / 16000)
    assert 20 * np.log10(np.sqrt(2.0) * error[300:-300].std()) < -74
    assert resampler._table.nbytes < 4_000_000
    for sizes in ([1], [997, 3]):
        in_pieces = convert(StreamResampler(rate, 16000), tone[:5000], sizes)
        np.testing.assert_array_equal(in_pieces, convert(StreamResampler(rate, 16000), tone[:5000], [BLOCK]))


def test_a_table_that_is_not_shared_is_the_plain_windowed_sinc():
    """A twin of all phases at once, as the shared one would be if it were large enough."""
    up, down, half = 160, 441, 44
    offsets = np.arange(-half + 1, half + 1)[None, :] - np.arange(up)[:, None] / up
    taps = np.sinc(0.9 * up / down * offsets) * np.i0(8.0 * np.sqrt(np.clip(1.0 - (offsets / (half + 1)) ** 2, 0.0, None)))
    np.testing.assert_array_equal(polyphase_table(up, down), np.float32(taps / taps.sum(1, keepdims=True)))
