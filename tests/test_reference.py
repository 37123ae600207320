"""The stage that takes a known band out: delays and drifts that are known, and references that are none."""

import numpy as np
import pytest
from scipy.signal import lfilter

from rt_melody.kernels.varispeed import HALF, fraction_table, read_behind
from rt_melody.realtime.reference import BandCanceller

RATE = 16000


def noise(seed, seconds, level=0.1):
    return (level * np.random.default_rng(seed).standard_normal(round(seconds * RATE))).astype(np.float32)


def room(seed, samples=2000):
    taps = np.random.default_rng(seed).standard_normal(samples) * 10.0 ** (-3.0 * np.arange(samples) / RATE / 0.2)
    taps[0] = 3.0 * np.abs(taps).max()  # the way straight there
    return taps / np.sqrt(np.sum(taps**2))


def through(path, sound, delay=0):
    return np.concatenate([np.zeros(delay), np.convolve(sound, path)])[: len(sound)].astype(np.float32)


def faster(sound, ppm):
    """A band-limited sound as a clock plays it that runs ``ppm`` faster: its spectrum taken at other times."""
    position = np.arange(len(sound)) * (1.0 + ppm * 1e-6)
    whole = np.floor(position).astype(int)
    out = np.zeros(len(sound))
    for tap in range(-31, 33):
        out += (
            sound[np.clip(whole + tap, 0, len(sound) - 1)]
            * np.sinc(position - whole - tap)
            * np.cos(np.pi * (position - whole - tap) / 66) ** 2
        )
    return out.astype(np.float32)


def coloured(sound):
    """Falling by 6 dB an octave from 270 Hz on, about as music does."""
    return lfilter([0.3], [1.0, -0.9], sound).astype(np.float32)


def run(microphone, reference, canceller=None, hop=160):
    canceller = canceller or BandCanceller(RATE, hop)
    out = np.zeros(len(microphone) // hop * hop, np.float32)
    for at in range(0, len(out), hop):
        canceller.process(microphone[at : at + hop], reference[at : at + hop], out[at : at + hop])
    return out, canceller


def db(part, whole):
    return 10.0 * np.log10(np.mean(np.square(part, dtype=float)) / np.mean(np.square(whole, dtype=float)))


# ---- reading at any delay ----------------------------------------------------------------------


def test_a_whole_delay_is_read_to_the_bit_and_across_the_end_of_the_ring():
    ring, stream, out = np.zeros(64, np.float32), noise(1, 0.01), np.zeros(16, np.float32)
    for written in range(16, len(stream) + 1, 16):
        ring[np.arange(written - 16, written) % 64] = stream[written - 16 : written]
        for delay in (0, 1, 9, 40):
            read_behind(ring, written, float(delay), float(delay), fraction_table(), out)
            padded = np.concatenate([np.zeros(64, np.float32), stream[:written]])
            np.testing.assert_array_equal(out, padded[len(padded) - 16 - delay : len(padded) - delay])


@pytest.mark.parametrize("hz", (100, 1000, 4000))
def test_a_delay_of_a_fraction_is_that_of_a_tone(hz):
    ring, out = np.sin(2 * np.pi * hz * np.arange(1024) / RATE).astype(np.float32), np.zeros(160, np.float32)
    for delay in (HALF + 0.25, 100.3, 200.77):
        read_behind(ring, 1000, delay, delay, fraction_table(), out)
        wanted = np.sin(2 * np.pi * hz * (np.arange(840, 1000) - delay) / RATE)
        assert np.abs(out - wanted).max() < 3e-3  # a 1024th of a sample, and the window


def test_a_delay_that_grows_is_a_lower_pitch():
    ring, out = np.sin(2 * np.pi * 1000 * np.arange(1024) / RATE).astype(np.float32), np.zeros(160, np.float32)
    read_behind(ring, 1000, 20.0, 21.6, fraction_table(), out)
    at = np.arange(840, 1000) - 20.0 - 1.6 * np.arange(1, 161) / 160
    assert np.abs(out - np.sin(2 * np.pi * 1000 * at / RATE)).max() < 3e-3


# ---- the stage ---------------------------------------------------------------------------------


@pytest.mark.parametrize("delay_ms", (10, 100, 250, 500))
def test_a_late_band_is_found_told_and_taken_out(delay_ms):
    reference, voice = noise(1, 8), noise(2, 8, 0.03)
    band = through(room(3), reference, delay_ms * RATE // 1000)
    out, canceller = run(band + voice, reference)
    assert canceller.delay_ms == pytest.approx(delay_ms, abs=0.5)
    assert db((out - voice)[4 * RATE :], band[4 * RATE :]) < -12
    assert canceller.drift_ppm == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("ppm", (-300, -60, 100, 300))
def test_a_clock_that_drifts_is_followed(ppm):
    reference, voice = coloured(noise(1, 16)), noise(2, 16, 0.03)
    band = faster(through(room(3), reference, 1600), ppm)
    out, canceller = run(band + voice, reference)
    assert canceller.drift_ppm == pytest.approx(-ppm, abs=15)
    assert db((out - voice)[12 * RATE :], band[12 * RATE :]) < -12


def test_a_path_that_is_known_before_its_reference_cannot_be_followed_but_does_no_harm():
    """A band that is heard at once, of a clock that runs fast: soon it is heard before the reference comes."""
    reference, voice = noise(1, 10), noise(2, 10, 0.05)
    band = faster(through(room(3), reference), 300)
    out, _ = run(band + voice, reference)
    assert np.isfinite(out).all()
    assert db((out - voice)[RATE:], band[RATE:]) < 0.5


def test_a_silent_reference_changes_nothing_to_the_bit():
    voice = noise(1, 1)
    np.testing.assert_array_equal(run(voice, np.zeros_like(voice))[0], voice)


def test_a_wrong_reference_is_neither_located_nor_taken_out():
    voice = noise(1, 5)
    out, canceller = run(voice, noise(2, 5))
    assert canceller.delay_ms is None and canceller.drift_ppm == 0.0
    assert np.sqrt(np.mean((out - voice) ** 2)) < 0.1 * np.sqrt(np.mean(voice**2))


def test_what_comes_later_changes_nothing_before_it():
    reference, microphone = noise(1, 2), noise(2, 2)
    whole, _ = run(microphone, reference)
    np.testing.assert_array_equal(run(microphone[:RATE], reference[:RATE])[0], whole[:RATE])


def test_reset_forgets_all():
    reference = noise(1, 4)
    band = through(room(3), reference, 1600)
    first, canceller = run(band, reference)
    assert canceller.delay_ms is not None
    canceller.reset()
    assert canceller.delay_ms is None
    np.testing.assert_array_equal(run(band, reference, canceller)[0], first)


def test_what_is_learnt_anew_may_come_sooner_and_louder():
    reference = noise(1, 6)
    _, canceller = run(through(room(3), reference, 3200), reference)
    assert canceller.delay_ms == pytest.approx(200, abs=1)
    canceller.learn_anew()
    assert canceller.delay_ms is None
    band = through(room(4), reference, 400) * 4.0
    out, _ = run(band, reference, canceller)
    assert db(out[4 * RATE :], band[4 * RATE :]) < -12
    assert canceller.delay_ms == pytest.approx(25, abs=1)


@pytest.mark.parametrize("over_db", (-2, 6))
def test_what_is_told_is_how_it_is(over_db):
    reference = coloured(noise(1, 8))
    band = through(room(3), reference, 800)
    voice = coloured(noise(2, 8))
    voice *= 10 ** ((db(band, voice) - over_db) / 20)
    out, canceller = run(band + voice, reference)
    late = slice(7 * RATE, 8 * RATE)
    assert canceller.over_voice_db == pytest.approx(over_db, abs=2.5)
    assert canceller.removed_db == pytest.approx(db(band[late], (out - voice)[late]), abs=4)
    assert canceller.brief() == f"band {canceller.over_voice_db:+.0f} dB, {canceller.removed_db:.0f} dB out"
    assert canceller.figures()["delay_ms"] == pytest.approx(50, abs=1) and canceller.figures()["drift_ppm"] == 0.0
    said = canceller.line()
    assert ("over the voice, 50 ms late" if over_db > 0 else "below the voice, 50 ms late") in said and "dB of it were taken out" in said
    canceller.reset()
    assert canceller.line() == said  # until another begins
    run(voice, np.zeros_like(voice), canceller)
    assert canceller.line() == "nothing of the band was found in the microphone"


def test_of_a_wrong_reference_nothing_is_told():
    _, canceller = run(noise(1, 5), noise(2, 5))
    assert canceller.brief() == "band not found"
    assert canceller.line() == "nothing of the band was found in the microphone"


def test_another_rate_is_refused():
    with pytest.raises(ValueError, match="44100"):
        BandCanceller(44100)
