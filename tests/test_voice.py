"""The singing voice: loops against plain twins, f0 against autocorrelation, formants against their table."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from rt_melody.kernels import voice
from rt_melody.kernels.phrase import (
    CONSONANTS,
    VOICED_FLOOR,
    VOWEL_FORMANTS_HZ,
    Singer,
    SungNote,
    bandwidths,
    render_phrase,
    vowel_formants,
)
from rt_melody.kernels.voice import synthesise_voice

RATE = 16_000
# A machine of a singer: nothing wanders, so that what is measured is what was asked for.
STEADY = Singer(vibrato_cents=0, drift_cents=0, jitter=0, shimmer=0, breath_db=-math.inf, scoop_cents=0)


def hz(pitch: float) -> float:
    return 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)


def cents(a, b) -> float:
    return 1200.0 * np.log2(a / b)


def rms_db(samples: np.ndarray) -> float:
    return 20.0 * math.log10(math.sqrt(float(np.mean(np.square(samples, dtype=float)))) + 1e-12)


def measured_f0(samples: np.ndarray, rate: int, near_hz: float) -> float:
    """f0 from the autocorrelation's peak about ten periods away, by a parabola; ``near_hz`` within 4 %."""
    spectrum = np.fft.rfft(samples.astype(float) * np.hanning(len(samples)), 2 * len(samples))
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(len(samples)), 2 * len(samples))) ** 2)
    periods, period = 10, rate / near_hz
    first, last = int((periods - 0.4) * period), int((periods + 0.4) * period) + 2
    c = correlation[: last + 2] / window[: last + 2]
    k = first + int(np.argmax(c[first:last]))
    shift = 0.5 * (c[k - 1] - c[k + 1]) / (c[k - 1] - 2 * c[k] + c[k + 1])
    return rate * periods / (k + shift)


def vowel(pitch: float, singer: Singer = STEADY, name: str = "a", rate: int = RATE, seconds: float = 1.0, seed: int = 0):
    return render_phrase([SungNote(0.1, seconds, pitch, name)], rate, seed, singer)


# --- the stated f0 is the sung f0


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("pitch", [35.0, 45.3, 57.0, 69.4, 81.0, 88.9])
def test_a_steady_vowel_has_the_f0_that_was_asked_for(rate, pitch):
    phrase = vowel(pitch, name="aeiou"[int(pitch) % 5] if int(pitch) % 5 else "a", rate=rate)
    middle = slice(int(0.4 * rate), int(0.9 * rate))
    assert measured_f0(phrase.samples[middle], rate, hz(pitch)) == pytest.approx(hz(pitch), rel=2 ** (1 / 1200) - 1)
    np.testing.assert_allclose(phrase.f0_hz[middle], hz(pitch), rtol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_human_vowel_is_within_ten_cents_of_its_stated_f0(seed):
    singer = Singer(vibrato_cents=0, drift_cents=0, jitter=0.004)
    phrase = vowel(57.0, singer, seed=seed)
    middle = slice(int(0.4 * RATE), int(0.9 * RATE))
    assert abs(cents(measured_f0(phrase.samples[middle], RATE, 220.0), phrase.f0_hz[middle].mean())) < 10.0


def test_in_a_glide_and_a_vibrato_the_phase_advances_as_stated():
    """Where the pulses close, the integral of the stated f0 has passed one more whole number."""
    n = RATE
    f0_hz = 150.0 + 60.0 * np.sin(2 * np.pi * 3.0 * np.arange(n) / n)
    source = np.zeros(3 * n, np.float32)
    voice.glottal_source(f0_hz, np.ones(n, np.float32), np.zeros(n, np.float32), 3, 3.0 * RATE, 0.6, 0.0, 0.0, 1, source)
    closures = np.flatnonzero((source[:-1] < -0.5) & (source[1:] > -0.5))
    cycles = np.cumsum(np.interp(np.arange(3 * n) / 3.0, np.arange(n), f0_hz)) / (3.0 * RATE)
    np.testing.assert_allclose(cycles[closures], np.arange(len(closures)) + 0.6, atol=0.02)
    assert len(closures) == 150


def test_vibrato_and_portamento_stay_in_their_bounds():
    notes = [SungNote(0.0, 1.0, 57), SungNote(1.0, 1.0, 61)]
    phrase = render_phrase(notes, RATE, 3, replace(STEADY, vibrato_cents=50, vibrato_hz=6.0))
    late = phrase.f0_hz[int(1.5 * RATE) : int(1.9 * RATE)]
    assert 45 < cents(late.max(), hz(61)) <= 50 and -50 <= cents(late.min(), hz(61)) < -45
    glide = phrase.f0_hz[int(0.95 * RATE) : int(1.05 * RATE)]
    assert cents(phrase.f0_hz[RATE], hz(59)) == pytest.approx(0.0, abs=10.0)
    assert np.all(np.diff(glide) > -1e-3) and np.all(phrase.voiced[int(0.05 * RATE) : int(1.9 * RATE)])


# --- the sound


@pytest.mark.parametrize("name", ["a", "i", "u", "e"])
@pytest.mark.parametrize("scale", [1.0, 1.17])
def test_the_spectrum_peaks_at_the_formants(name, scale):
    """Noise through the vocal tract, so that no harmonics hide the envelope; peaks against the table."""
    singer = replace(STEADY, formant_scale=scale)
    formants = np.tile(vowel_formants(name, singer, RATE), (2, 1))
    n, silent = 8 * RATE, np.zeros(8 * RATE, np.float32)
    sound = synthesise_voice(
        np.full(n, 100.0), silent, silent + 1, silent, formants, bandwidths(formants), n, RATE, 1, tilt_db=0.0
    )
    frames = sound[: n // 2048 * 2048].reshape(-1, 2048) * np.hanning(2048)
    envelope = 10 * np.log10(np.mean(np.abs(np.fft.rfft(frames)) ** 2, axis=0))
    for formant_hz in formants[0, :3]:
        at = round(formant_hz * 2048 / RATE)
        peak = envelope[max(at - 4, 0) : at + 5].max()
        below, above = envelope[max(at - 40, 0) : at - 3], envelope[at + 4 : at + 41]
        assert peak > min(below.min(initial=np.inf), above.min()) + 3.0
        assert peak >= envelope[max(at - 8, 0) : at + 9].max() - 1.0


def test_the_loop_of_resonators_equals_its_plain_twin():
    rng = np.random.default_rng(0)
    signal = rng.normal(size=500).astype(np.float32)
    formants, widths = np.array([[500.0, 1500.0]] * 2), np.array([[60.0, 90.0]] * 2)
    expected = signal.astype(float)
    for f, w in ((500.0, 60.0), (1500.0, 90.0)):
        r = math.exp(-math.pi * w / RATE)
        b, c = 2 * r * math.cos(2 * math.pi * f / RATE), -r * r
        y = np.zeros(502)
        for k, x in enumerate(expected):
            y[k + 2] = (1 - b - c) * x + b * y[k + 1] + c * y[k]
        expected = y[2:]
    voice.vocal_tract(formants, widths, 250, float(RATE), 0.0, signal)
    np.testing.assert_allclose(signal, expected, rtol=1e-5, atol=1e-6)


def test_the_pulse_by_hand():
    """Flow x**2 - x**3 over an open phase of half a cycle: its slope at 1/3, 2/3 and the end; 0 when closed."""
    pulse = [voice.glottal_pulse(phase, 0.5) for phase in (0.0, 1 / 6, 1 / 3, 0.4999999, 0.5, 0.9)]
    np.testing.assert_allclose(pulse, [0.0, 1 / 3, 0.0, -1.0, 0.0, 0.0], atol=1e-5)


def aliasing_db(source: np.ndarray, f0: int) -> float:
    """The strongest line below 10 kHz that is no harmonic, against the fundamental; one second at 48 kHz."""
    power = 20 * np.log10(np.abs(np.fft.rfft(source * np.blackman(len(source)))) + 1e-9)  # bins of 1 Hz
    between = np.ones(10_000, bool)
    for k in range(0, 10_000, f0):
        between[max(0, k - 5) : k + 6] = False
    return power[:10_000][between].max() - power[f0]


def test_the_source_hardly_aliases_even_on_the_highest_note():
    rate, f0 = 48_000, 1370
    source, ones = np.zeros(rate, np.float32), np.ones(rate, np.float32)
    voice.glottal_source(np.full(rate, float(f0)), ones, 0 * ones, 1, float(rate), 0.6, 0.0, 0.0, 1, source)
    naive = np.array([voice.glottal_pulse(phase, 0.6) for phase in np.arange(rate) * f0 / rate % 1.0])
    assert aliasing_db(source, f0) < -50.0
    assert aliasing_db(source, f0) < aliasing_db(naive, f0) - 10.0


def test_decimation_equals_its_plain_twin_and_keeps_a_tone():
    taps = voice.decimation_taps(3)
    tone = np.sin(2 * np.pi * 1000 * np.arange(4800) / 48_000).astype(np.float32)
    out = np.zeros(1600, np.float32)
    voice.decimate(tone, taps, 3, out)
    twin = np.convolve(tone.astype(float), taps, "same")[::3]
    np.testing.assert_allclose(out, twin, atol=1e-6)
    np.testing.assert_allclose(out[50:-50], tone[::3][50:-50], atol=1e-3)


def test_noise_has_mean_0_and_an_rms_of_1():
    state, values = 7, []
    for _ in range(20_000):
        state = voice.next_random(state)
        values.append(voice.white(state))
    assert abs(np.mean(values)) < 0.03 and np.std(values) == pytest.approx(1.0, abs=0.02)
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.03


# --- level, silence, voicing

SONG = [
    SungNote(0.3, 0.4, 57, "a", "t"),
    SungNote(0.7, 0.4, 59, "i", "s"),
    SungNote(1.1, 0.4, 60, "o", "m", level_db=-6.0),
    SungNote(2.0, 0.4, 64, "u", "h"),
    SungNote(2.4, 0.3, 62, "e", "k"),
    SungNote(2.7, 0.3, 62, "e", "'"),
]


def test_where_nobody_sings_there_is_silence():
    notes = [SungNote(0.3, 0.4, 57), SungNote(1.0, 0.4, 60)]
    phrase = render_phrase(notes, RATE, 1, STEADY)
    assert rms_db(phrase.samples[: int(0.29 * RATE)]) < -200
    assert rms_db(phrase.samples[int(0.8 * RATE) : int(0.99 * RATE)]) < -80
    assert not phrase.voiced[int(0.75 * RATE) : int(0.99 * RATE)].any()
    assert phrase.voiced[int(0.35 * RATE) : int(0.65 * RATE)].all()


def test_voiced_is_where_the_voice_is_above_the_floor():
    phrase = render_phrase(SONG, RATE, 1, STEADY)
    attack = np.flatnonzero(phrase.voiced)[0] / RATE - SONG[0].start_s
    expected = STEADY.attack_s * math.acos(1 - 2 * VOICED_FLOOR) / math.pi
    assert attack == pytest.approx(expected, abs=2.0 / RATE)
    for note in SONG:
        assert phrase.voiced[round((note.start_s + 0.1) * RATE)]
    for silent_s in (0.1, 0.69, 1.9, 2.39, 2.69, 3.1):  # before, in "s", a rest, before "k" and the closed glottis, after
        assert not phrase.voiced[round(silent_s * RATE)]
    assert phrase.voiced[round(1.0 * RATE) : round(1.45 * RATE)].all()  # through "m"


@pytest.mark.parametrize("onset", [name for name, one in CONSONANTS.items() if one.noise_s])
def test_consonants_are_heard_and_quieter_than_the_vowel(onset):
    phrase = render_phrase([SungNote(0.5, 0.5, 57, "a", onset)], RATE, 1, STEADY)
    noise = phrase.samples[round((0.5 - CONSONANTS[onset].noise_s) * RATE) : round(0.5 * RATE)]
    below = rms_db(phrase.samples[round(0.6 * RATE) : round(0.9 * RATE)]) - rms_db(noise)
    assert 6.0 < below < 30.0


@pytest.mark.parametrize("level_db", [-60.0, -20.0, -12.0])
def test_the_level_is_that_of_the_voiced_part(level_db):
    phrase = render_phrase(SONG, RATE, 1, Singer(level_db=level_db))
    assert rms_db(phrase.samples[phrase.voiced]) == pytest.approx(level_db, abs=0.01)


@pytest.mark.parametrize("singer", [Singer(level_db=20.0), Singer(level_db=0.0, breath_db=0.0, jitter=0.1, shimmer=0.2)])
def test_nothing_clips(singer):
    assert 0.5 < np.abs(render_phrase(SONG, RATE, 2, singer).samples).max() < 0.99


def test_breath_is_heard_as_noise_between_the_harmonics():
    floor = []
    for breath_db in (-60.0, -20.0):
        sound = vowel(57.0, replace(STEADY, breath_db=breath_db)).samples[int(0.3 * RATE) : int(0.9 * RATE)]
        power = np.abs(np.fft.rfft(sound * np.blackman(len(sound)))) ** 2
        freq = np.fft.rfftfreq(len(sound), 1 / RATE)
        between = (np.abs(freq % 220.0 - 110.0) < 30.0) & (freq < 4000.0)
        floor.append(10 * np.log10(power[between].mean()))
    assert floor[1] - floor[0] == pytest.approx(40.0, abs=3.0)


# --- one seed, one result


def test_the_seed_determines_everything():
    one, two, other = (render_phrase(SONG, RATE, seed, Singer()) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.samples, two.samples)
    np.testing.assert_array_equal(one.f0_hz, two.f0_hz)
    assert np.abs(one.samples - other.samples).max() > 0.01
    assert len(one.samples) == len(one.f0_hz) == round((3.0 + 0.3) * RATE)


def test_no_notes_are_silence_of_the_length_asked_for():
    phrase = render_phrase([], RATE, duration_s=0.5)
    assert len(phrase.samples) == 8000 and not phrase.samples.any() and not phrase.voiced.any()
    assert len(render_phrase([SungNote(0.0, 2.0, 57)], RATE, duration_s=1.0).samples) == RATE


@pytest.mark.parametrize(
    "notes, sentence",
    [
        ([SungNote(0.0, 1.0, 57, "x")], "note 0 has the vowel 'x'"),
        ([SungNote(0.0, 1.0, 57, "a", "zh")], "the onset 'zh'"),
        ([SungNote(0.0, 1.0, 57), SungNote(0.9, 1.0, 57)], "note 1 starts at 0.9 s .* it must start at 1 s"),
        ([SungNote(-0.1, 1.0, 57)], "note 0 starts at -0.1 s"),
        ([SungNote(0.0, 0.0, 57)], "last longer than 0"),
        ([SungNote(0.0, 1.0, 120)], r"it must stay in 20\.\.4000"),
    ],
)
def test_notes_that_cannot_be_sung_are_refused(notes, sentence):
    with pytest.raises(ValueError, match=sentence):
        render_phrase(notes, RATE)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (dict(f0_hz=np.zeros(100)), "f0_hz runs from 0 to 0"),
        (dict(f0_hz=np.full(100, np.nan)), "f0_hz runs from nan"),
        (dict(voice=np.ones(99)), r"voice has the shape \(99,\)"),
        (dict(hiss=-np.ones(100)), "hiss runs from -1"),
        (dict(formants_hz=np.full((2, 3), 9000.0)), "formants_hz runs from 9000"),
        (dict(bandwidths_hz=np.ones((3, 3))), "must have one shape"),
        (dict(sample_rate=192_000), r"sample_rate 192000 must lie in 8000\.\.96000"),
        (dict(open_quotient=1.0), r"open_quotient 1 must lie in 0\.2\.\.0\.9"),
    ],
)
def test_controls_that_break_their_rule_are_refused(change, sentence):
    ones = np.ones(100)
    controls = dict(
        f0_hz=ones * 220, voice=ones, breath=ones, hiss=ones, formants_hz=np.full((2, 3), 500.0), bandwidths_hz=np.full((2, 3), 50.0)
    )
    with pytest.raises(ValueError, match=sentence):
        synthesise_voice(**{**controls, "control_samples": 50, "sample_rate": RATE, "seed": 0, **change})


def test_every_vowel_and_extreme_singer_gives_a_finite_voice():
    notes = [SungNote(0.3 * k, 0.3, 40 + 4 * k, name) for k, name in enumerate(VOWEL_FORMANTS_HZ)]
    for singer in (Singer(formant_scale=0.8), Singer(formant_scale=1.5, singers_formant=1.0, tilt_db=25, open_quotient=0.9)):
        for rate in (8000, 96_000):
            samples = render_phrase(notes, rate, 1, singer).samples
            assert np.isfinite(samples).all() and rms_db(samples) > -30.0


def test_singing_adds_no_compiled_signature():
    loops = (voice.glottal_source, voice.vocal_tract, voice.add_hiss, voice.decimate)
    before = [len(loop.signatures) for loop in loops]
    render_phrase(SONG, RATE, 1)
    assert before == [len(loop.signatures) for loop in loops] == [1, 1, 1, 1]
