"""The canceller against NumPy's transforms, against a plain twin, and against paths that are known."""

import itertools

import numpy as np
import pytest

from rt_melody.kernels import canceller as c

SECOND = c.SAMPLE_RATE


def noise(seed, samples, level=0.1):
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def room(seed, samples, reverberation_s=0.3, gain=1.0):
    """An impulse response that dies away, of the energy ``gain ** 2``."""
    taps = np.random.default_rng(seed).standard_normal(samples) * 10.0 ** (-3.0 * np.arange(samples) / SECOND / reverberation_s)
    return gain * taps / np.sqrt(np.sum(taps**2))


def through(path, sound):
    return np.convolve(sound, path)[: len(sound)].astype(np.float32)


def cancelled(microphone, reference, hop=160, canceller=None):
    canceller = canceller or c.Canceller(hop)
    out = np.zeros(len(microphone) // hop * hop, np.float32)
    for at in range(0, len(out), hop):
        canceller.process(microphone[at : at + hop], reference[at : at + hop], out[at : at + hop])
    return out, canceller


def db(part, whole):
    return 10.0 * np.log10(np.mean(np.square(part, dtype=float)) / np.mean(np.square(whole, dtype=float)))


# ---- transforms --------------------------------------------------------------------------------


@pytest.mark.parametrize("columns, transform", ((1, c.transform), (c.COLUMNS, c.transform_wide)))
def test_the_transforms_are_numpys(columns, transform):
    rng = np.random.default_rng(columns)
    signals = rng.standard_normal((c.FFT, columns)) + 1j * rng.standard_normal((c.FFT, columns))
    roots, twiddle, _ = c.transform_tables()
    to = np.zeros((2, c.FFT * columns), np.float32)
    re, im = (np.ascontiguousarray(part.ravel(), np.float32) for part in (signals.real, signals.imag))
    transform(re, im, *to, roots, twiddle)
    wanted = np.fft.fft(signals, axis=0)[c.order_of_transform()]
    np.testing.assert_allclose((to[0] + 1j * to[1]).reshape(c.FFT, columns), wanted, atol=1e-4)


def test_the_mirrored_transform_takes_the_order_that_the_other_leaves():
    rng = np.random.default_rng(7)
    signals = rng.standard_normal((c.FFT, c.COLUMNS)) + 1j * rng.standard_normal((c.FFT, c.COLUMNS))
    roots, _, twiddle_back = c.transform_tables()
    to = np.zeros((2, c.FFT * c.COLUMNS), np.float32)
    placed = signals[c.order_of_transform()]
    re, im = (np.ascontiguousarray(part.ravel(), np.float32) for part in (placed.real, placed.imag))
    c.transform_wide_ordered(re, im, to[0], to[1], roots, twiddle_back)
    np.testing.assert_allclose((to[0] + 1j * to[1]).reshape(c.FFT, c.COLUMNS), np.fft.fft(signals, axis=0), atol=1e-4)


def test_exchanging_the_parts_gives_the_inverse():
    signal = np.random.default_rng(5).standard_normal((2, c.FFT)).astype(np.float32)
    roots, twiddle, _ = c.transform_tables()
    re, im, to_re, to_im = signal[0].copy(), signal[1].copy(), np.zeros(c.FFT, np.float32), np.zeros(c.FFT, np.float32)
    c.transform(im, re, to_im, to_re, roots, twiddle)
    wanted = np.fft.ifft(signal[0] + 1j * signal[1])[c.order_of_transform()]
    np.testing.assert_allclose((to_re + 1j * to_im) / c.FFT, wanted, atol=1e-6)


# ---- the plain twin ----------------------------------------------------------------------------


def twin(microphone, reference, hop, keep=0.99995, smooth=0.7, reverberation_s=1.5):
    """The same filter in NumPy, float64, whole spectra, partitions and groups by their indices."""
    keep = keep ** (2.0 * hop / 160)
    energy = 10.0 ** (-6.0 * np.arange(c.PARTITIONS) * c.BLOCK / SECOND / reverberation_s)
    prior, hop_s, told = energy / energy.sum(), hop / SECOND, c.LEARNT / c.FFT
    weights, spread = np.zeros((c.PARTITIONS, c.BINS), complex), np.zeros((c.PARTITIONS, c.BINS))
    first = np.arange(c.PARTITIONS)[:, None] < c.GROUP
    near, before = np.zeros(c.BINS), c.FFT + c.PARTITIONS * c.BLOCK
    padded = np.concatenate([np.zeros(before), reference])
    powers, scale, heard_s, shared, echo_power, out = np.zeros(2), 0.0, 0.0, 0.0, 0.0, []
    like, like_hops, middle = 0.0, 0.0, slice(*c.SLIP_BINS)
    limits = np.where(np.arange(c.PARTITIONS) < c.GROUP, c.BINS, c.LATE_BINS)
    learns = np.arange(c.BINS)[None, :] < limits[:, None]
    in_turn = itertools.cycle((2, 3, 1))

    def window(end):
        end += before
        return np.fft.rfft([padded[end - p * c.BLOCK - c.FFT : end - p * c.BLOCK] for p in range(c.PARTITIONS)], axis=1) * learns

    def echo_of(past, length):
        return np.fft.irfft((weights * past).sum(0), c.FFT)[-length:]

    def learn(past, error):
        noise = told * (spread * np.abs(past) ** 2).sum(0) + near + c.SILENT * c.FFT * told
        step = spread / noise * past.conj() * error
        return weights + np.where(first, cut(step), step), spread - told * spread**2 / noise * np.abs(past) ** 2

    for end in range(hop, len(microphone) + 1, hop):
        mic, ref = microphone[end - hop : end].astype(float), reference[end - hop : end].astype(float)
        past, sounds = window(end), ref @ ref > c.QUIET * hop
        if sounds:
            powers = np.exp(-hop_s / c.FORGET_S) * powers + [mic @ mic, ref @ ref]
            heard_s += hop_s
            ratio = powers[0] / powers[1]
            if heard_s <= c.FIRST_S and ratio > scale:
                spread = c.UNCERTAIN * ratio * prior[:, None] * np.ones(c.BINS) if scale == 0.0 else spread * ratio / scale
                scale = ratio
            spread = keep * spread + (1.0 - keep) * np.abs(weights) ** 2
        echo = echo_of(past, hop)
        fade = np.exp(-hop_s / c.TRUST_S)
        shared, echo_power = fade * shared + mic @ echo, fade * echo_power + echo @ echo
        found = np.clip(shared / (echo_power + c.SILENT * hop), 0.0, 1.0)
        part = np.clip((found - c.CHANCE) / (c.SURE - c.CHANCE), 0.0, 1.0)
        part *= np.clip((like / (like_hops + 1e-9) - c.UNLIKE) / (c.ALIKE - c.UNLIKE), 0.0, 1.0)
        out.append(mic - part * echo)
        if end % c.LEARNT:
            continue
        # What was left of the newest LEARNT samples, of which hops before this one had their echo from the same weights.
        newest = microphone[end - c.LEARNT : end].astype(float)
        echoes = [echo_of(window(at), hop) for at in range(end - c.LEARNT + hop, end + 1, hop)]
        heard, error = late_window(newest), late_window(newest - np.concatenate(echoes))
        if sounds:
            here, there = heard[middle], (heard - error)[middle]
            alike = 2.0 * np.mean((here * there.conj()).real / (np.abs(here) ** 2 + np.abs(there) ** 2 + 1e-9))
            like, like_hops = (np.exp(-c.LEARNT_S / c.SLIP_S) * old + new for old, new in ((like, alike), (like_hops, 1.0)))
        near = smooth * near + (1.0 - smooth) * np.abs(error) ** 2
        weights, spread = learn(past, error)
        if end // c.LEARNT % 2 == 0:
            group = slice(c.GROUP * (turn := next(in_turn)), c.GROUP * (turn + 1))
            weights[group] = np.where(learns[group], cut(weights[group]), 0.0)
        if sounds and end > c.BLOCK:
            again, past = end - c.BLOCK, window(end - c.BLOCK)
            weights, spread = learn(past, late_window(microphone[again - c.LEARNT : again] - echo_of(past, c.LEARNT)))
    return np.concatenate(out)


def late_window(newest):
    return np.fft.rfft(np.concatenate([np.zeros(c.FFT - len(newest)), newest]))


def cut(spectra):
    """Those of the responses cut to a block."""
    taps = np.fft.irfft(spectra, c.FFT, axis=1)
    taps[:, c.BLOCK :] = 0.0
    return np.fft.rfft(taps, axis=1)


@pytest.mark.parametrize("hop", (40, 80, 160))
def test_the_filter_equals_its_plain_twin(hop):
    reference, voice = noise(1, SECOND), noise(2, SECOND, 0.03)
    microphone = through(room(3, 2000), reference) + voice
    out, canceller = cancelled(microphone, reference, hop)
    assert canceller.restarts == 0  # which the twin doesn't know
    wanted = twin(microphone, reference, hop)
    assert db(out - microphone[: len(out)], microphone) > -20  # something was done ...
    assert db(out - wanted, wanted) < -60  # ... and by both the same


# ---- what it is for ----------------------------------------------------------------------------


def test_the_learnt_response_is_the_path():
    reference, path = noise(1, 4 * SECOND), room(3, 3000, gain=0.7)
    _, canceller = cancelled(through(path, reference), reference)
    learnt = canceller.response()
    assert db(learnt[:3000] - path, path) < -25
    assert np.abs(learnt[3000:]).max() < 0.02 * np.abs(path).max()


@pytest.mark.parametrize("hop, least_db", ((80, 20), (160, 20)))
def test_within_two_seconds_the_band_is_down_and_the_voice_is_not(hop, least_db):
    reference, t = noise(1, 4 * SECOND), np.arange(4 * SECOND) / SECOND
    band, voice = (
        through(room(3, 3000), reference),
        (0.05 * np.sin(2 * np.pi * 220 * t) * (np.sin(2 * np.pi * 0.7 * t) > 0)).astype(np.float32),
    )
    out, canceller = cancelled(band + voice, reference, hop)
    assert db((out - voice)[2 * SECOND :], band[2 * SECOND :]) < -least_db
    assert canceller.trust > 0.9
    assert canceller.taken_db == pytest.approx(-db(out[3 * SECOND :], (band + voice)[3 * SECOND :]), abs=2)


def test_a_band_that_fades_in_under_a_singer_is_found_all_the_same():
    """At first the microphone stands 40 dB over what the reference can have made of it."""
    faded = noise(1, 8 * SECOND) * np.minimum(1.0, 10 ** (-2.5 + 2.5 * np.arange(8 * SECOND) / (2 * SECOND))).astype(np.float32)
    band, voice = through(room(3, 3000), faded), noise(2, 8 * SECOND, 0.03)
    out, canceller = cancelled(band + voice, faded)
    assert db((out - voice)[5 * SECOND :], band[5 * SECOND :]) < -15
    assert canceller.trust > 0.9


def unheard(seconds: int, silent: tuple[float, float], muted: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A band that plays all the time, not heard between two seconds: the loudspeaker is off, or (``muted``) the microphone is."""
    reference, voice = noise(1, seconds * SECOND), noise(2, seconds * SECOND, 0.03)
    off = slice(*(round(at * SECOND) for at in silent))
    band = through(room(3, 3000), reference)
    band[off] = 0.0
    if muted:
        voice[off] = 0.0
    return band, voice, reference


@pytest.mark.parametrize("muted", (False, True))
@pytest.mark.parametrize("silent", ((0, 6), (4, 7), (4, 12)))
def test_a_band_that_is_not_heard_for_a_while_is_found_again(silent, muted):
    band, voice, reference = unheard(silent[1] + 8, silent, muted)
    out, canceller = cancelled(band + voice, reference)
    late = slice((silent[1] + 6) * SECOND, None)
    assert db((out - voice)[late], band[late]) < -12
    assert canceller.trust > 0.9


@pytest.mark.parametrize("gain", (1.0, 6.0))
def test_what_is_learnt_anew_is_learnt_as_at_first_after_a_time_of_care(gain):
    reference, still = noise(1, SECOND), np.zeros(SECOND, np.float32)
    before, after = room(3, 2000), gain * room(4, 2000)

    def left_db(anew: bool) -> float:
        canceller = c.Canceller(careful_after_s=0.8)
        for path in (before, after):
            out, _ = cancelled(np.concatenate([through(path, reference), still]), np.concatenate([reference, still]), canceller=canceller)
            if anew:
                canceller.learn_anew()
        return db(out[SECOND // 2 : SECOND], through(after, reference)[SECOND // 2 :])

    assert left_db(anew=False) > -3 and left_db(anew=True) < -8


def test_a_path_is_learnt_twice_while_it_is_new_and_not_over_a_gap():
    def learnt(twice: bool, gap: bool, seconds: int = 1, hops: int = 2) -> np.ndarray:
        reference = noise(1, (seconds + 1) * SECOND)
        microphone = through(room(3, 2000), reference)
        _, canceller = cancelled(microphone[: seconds * SECOND], reference[: seconds * SECOND])
        if gap:
            canceller.jump()
        if not twice:
            canceller._levels[c.NEW_FOR] = 0.0
        more = slice(seconds * SECOND, seconds * SECOND + hops * c.LEARNT)
        return cancelled(microphone[more], reference[more], canceller=canceller)[1].response()

    def same(**what) -> bool:
        return bool(np.array_equal(learnt(True, **what), learnt(False, **what)))

    assert not same(gap=False) and same(gap=True) and not same(gap=True, hops=3)
    assert same(gap=False, seconds=round(c.NEW_S) + 1), "it is new no longer"


def test_a_voice_much_louder_than_the_band_is_not_harmed():
    reference = noise(1, 4 * SECOND)
    band, voice = through(room(3, 3000, gain=0.03), reference), noise(4, 4 * SECOND)  # 30 dB under it
    out, _ = cancelled(band + voice, reference)
    assert db(out - voice, voice) < -25


@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_reference_changes_next_to_nothing(seed):
    voice = noise(seed, 4 * SECOND)
    out, canceller = cancelled(voice, noise(100 + seed, 4 * SECOND))
    assert np.sqrt(np.mean((out - voice) ** 2)) < 0.1 * np.sqrt(np.mean(voice**2))
    assert np.sqrt(np.mean((out - voice)[SECOND:] ** 2)) < 0.05 * np.sqrt(np.mean(voice**2))
    assert canceller.trust < 0.3


def test_a_silent_reference_changes_nothing_to_the_bit():
    voice = noise(1, SECOND)
    out, _ = cancelled(voice, np.zeros_like(voice))
    np.testing.assert_array_equal(out, voice)


def test_a_reference_that_stops_leaves_the_voice_alone_and_one_that_returns_is_known_at_once():
    reference, voice = noise(1, 6 * SECOND), noise(2, 6 * SECOND, 0.05)
    reference[2 * SECOND : 4 * SECOND] = 0.0
    band = through(room(3, 3000), reference)
    out, canceller = cancelled(band + voice, reference)
    pause = slice(3 * SECOND + SECOND // 2, 4 * SECOND)  # the filter's 1.28 s are silent
    np.testing.assert_array_equal(out[pause], (band + voice)[pause])
    before, after = slice(SECOND + SECOND // 2, 2 * SECOND), slice(4 * SECOND + SECOND // 10, 4 * SECOND + SECOND // 2)
    assert db((out - voice)[after], band[after]) < db((out - voice)[before], band[before]) < -7.5
    assert canceller.restarts == 0


def test_a_path_that_changes_is_given_up_within_a_second_and_learnt_within_three():
    reference, voice = noise(1, 10 * SECOND), noise(2, 10 * SECOND, 0.05)
    band = through(room(3, 3000), reference)
    band[5 * SECOND :] = through(room(4, 3000), reference)[5 * SECOND :]
    out, canceller = cancelled(band + voice, reference)
    left = out - voice
    assert canceller.restarts == 1
    assert db(left[6 * SECOND :][: SECOND // 2], band[6 * SECOND :][: SECOND // 2]) < 0  # never worse than without
    assert db(left[8 * SECOND :], band[8 * SECOND :]) < -13


def test_a_loud_singer_is_not_taken_for_a_lost_path():
    reference, t = noise(1, 8 * SECOND), np.arange(8 * SECOND) / SECOND
    band = through(room(3, 3000, gain=0.3), reference)
    sung = sum(np.sin(2 * np.pi * 220 * k * t) / k for k in range(1, 15)) * (np.sin(2 * np.pi * 0.7 * t) > 0) * (t > 4)
    voice = (0.3 * sung).astype(np.float32)  # 20 dB over the band
    out, canceller = cancelled(band + voice, reference)
    assert canceller.restarts == 0
    assert db((out - voice)[6 * SECOND :], band[6 * SECOND :]) < -3


def test_a_clock_that_runs_apart_is_not_taken_for_a_lost_path():
    reference = noise(1, 10 * SECOND)
    band = through(room(3, 3000), reference)
    later = np.interp(np.arange(len(band)) * (1.0 + 100e-6), np.arange(len(band)), band).astype(np.float32)
    _, canceller = cancelled(later + noise(2, len(band), 0.02), reference)
    assert canceller.restarts == 0


def test_what_is_found_anew_has_the_colour_of_what_was_lost():
    """A path without treble begins again as one that has little of it."""
    canceller = c.Canceller()
    canceller._weights[0, :64], canceller._levels[c.MICROPHONE], canceller._levels[c.REFERENCE] = 0.1, 1.0, 1.0
    c.begin_again(canceller._levels, canceller._weights, canceller._spread, canceller._prior)
    low, high = canceller._spread[:64], canceller._spread[64:]
    np.testing.assert_allclose(high, c.UNCERTAIN_AGAIN * (1 - c.SAME_LOUDSPEAKER) * np.tile(canceller._prior, (c.BINS - 64, 1)), rtol=1e-4)
    assert (low > 5 * high[:1]).all() and low.sum() + high.sum() == pytest.approx(c.UNCERTAIN_AGAIN * c.BINS, rel=1e-4)
    assert not canceller._weights.any()


def test_it_stays_bounded_whatever_comes():
    reference = np.concatenate(
        [noise(1, SECOND, 1e-4), noise(2, SECOND, 2.0), np.zeros(SECOND, np.float32), np.sign(noise(3, SECOND)) * 2.0]
    )
    microphone = np.concatenate([noise(4, SECOND, 2.0), noise(5, SECOND, 1e-5), noise(6, SECOND, 2.0), np.zeros(SECOND, np.float32)])
    out, canceller = cancelled(microphone.astype(np.float32), reference.astype(np.float32))
    assert np.isfinite(out).all() and np.isfinite(canceller.response()).all()
    assert np.abs(out).max() < 3 * np.abs(microphone).max()


def test_reset_forgets_all():
    reference = noise(1, SECOND)
    microphone = through(room(3, 1000), reference)
    first, canceller = cancelled(microphone, reference)
    canceller.stand_back(3)
    canceller.reset()
    np.testing.assert_array_equal(cancelled(microphone, reference, canceller=canceller)[0], first)


def test_a_filter_that_stands_back_keeps_what_it_knows():
    reference = noise(1, 6 * SECOND)
    delayed = np.concatenate([np.zeros(3200), room(3, 2000)])  # ten partitions late
    band = through(delayed, reference)
    _, canceller = cancelled(band[: 3 * SECOND], reference[: 3 * SECOND])
    before = canceller.response()
    canceller.stand_back(8)
    np.testing.assert_allclose(canceller.response()[8 * c.BLOCK : len(before)], before[8 * c.BLOCK :], atol=1e-6)
    out, _ = cancelled(band[3 * SECOND :], reference[3 * SECOND :], canceller=canceller)
    assert db(out, band[3 * SECOND :]) < -20
    with pytest.raises(ValueError, match="40"):
        canceller.stand_back(40)


@pytest.mark.parametrize("hop", (0, 100, 320))
def test_a_hop_that_is_no_part_of_what_is_learnt_from_is_refused(hop):
    with pytest.raises(ValueError, match=str(hop)):
        c.Canceller(hop)
