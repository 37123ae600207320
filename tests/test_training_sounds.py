"""Made singing and made bands: the f0 that is told is the f0 that sounds; instruments keep to their bounds."""

import numpy as np
import pytest

from rt_melody.kernels.phrase import SungNote, render_phrase
from rt_melody.models.training.data import SAMPLE_RATE
from rt_melody.models.training.instruments import TOP_HZ, Timbre, drums, lead, random_band, random_timbre, tone
from rt_melody.models.training.singing import HIGHEST, LOWEST, random_notes, random_singer, random_singing, straight

SINGERS = 6
SECONDS = 3.0


def sung(seed):
    return random_singing(np.random.default_rng(seed), round(SECONDS * SAMPLE_RATE))


def period_near(x, centre, lag):
    """The period in samples, within a semitone of ``lag``, at which ``x`` resembles itself most around ``centre``."""
    lags = np.arange(int(lag * 0.94), int(lag * 1.06) + 2)
    width = max(400, round(2.5 * lag))
    likeness = []
    for candidate in lags:
        first = centre - (width + candidate) // 2
        a, b = x[first : first + width], x[first + candidate : first + candidate + width]
        likeness.append(a @ b / np.sqrt((a @ a) * (b @ b) + 1e-12))
    k = int(np.argmax(likeness[1:-1])) + 1
    a, b, c = likeness[k - 1 : k + 2]
    return lags[k] + 0.5 * (a - c) / (a - 2 * b + c - 1e-12), likeness[k]


def deviations_cents(x, pitch, late=0):
    """Sounding minus told pitch at every 8th label whose surroundings are voiced, read ``late`` labels off."""
    found = []
    for j in range(20, len(pitch) - 20, 8):
        if (pitch[j - 16 : j + 17] > 0).all():
            lag = SAMPLE_RATE / (440 * 2 ** ((pitch[j + late] - 69) / 12))
            period, likeness = period_near(x.astype(np.float64), j * 80, lag)
            if likeness > 0.8:
                found.append(1200 * np.log2(lag / period))
    return np.array(found)


def test_the_told_f0_is_the_sounding_f0():
    now, late = [], []
    for seed in range(SINGERS):
        x, pitch = sung(seed)
        now.append(deviations_cents(x, pitch))
        late.append(deviations_cents(x, pitch, late=6))
    now, late = np.abs(np.concatenate(now)), np.abs(np.concatenate(late))
    assert len(now) > 100
    assert np.median(now) < 8 and np.quantile(now, 0.9) < 35
    assert np.quantile(late, 0.9) > 1.3 * np.quantile(now, 0.9)  # labels 30 ms off would be seen


def test_voiced_frames_sound_and_the_rest_hardly():
    for seed in range(SINGERS):
        x, pitch = sung(seed)
        frames = x[: len(x) // 80 * 80].reshape(-1, 80)
        loud = np.sqrt(np.mean(frames**2, 1))
        voiced = pitch[: len(loud)] > 0
        assert 0.1 < voiced.mean() < 1.0
        assert np.median(loud[voiced]) > 0.02 > 1e-3 > loud[:10].max()  # the first note begins after 150 ms


def test_singing_has_the_shape_of_an_example_and_follows_its_seed():
    x, pitch = sung(1)
    assert x.shape == (48000,) and pitch.shape == (601,) and x.dtype == pitch.dtype == np.float32
    assert np.isfinite(x).all() and np.abs(x).max() <= 1.0
    again = sung(1)
    np.testing.assert_array_equal(x, again[0])
    np.testing.assert_array_equal(pitch, again[1])
    assert not np.array_equal(x, sung(2)[0])


def test_every_register_is_sung():
    """Bass to whistle: the notes of many singers fill the range and stay in it."""
    pitches = [n.pitch for seed in range(200) for n in random_notes(np.random.default_rng(seed), SECONDS)]
    assert min(pitches) >= LOWEST and max(pitches) <= HIGHEST
    counts, _ = np.histogram(pitches, np.linspace(LOWEST, HIGHEST, 6))
    assert counts.min() > 0.08 * len(pitches)


def test_a_stretch_too_short_for_a_note_is_silence():
    x, pitch = random_singing(np.random.default_rng(0), 1600)
    assert not pitch.any() and not x.any()


def test_a_straight_singer_holds_a_pitch_and_steps_at_once():
    rng = np.random.default_rng(2)
    singer = straight(rng, random_singer(rng, 60.0))
    notes = [SungNote(0.1, 0.5, 60.0, "a", ""), SungNote(0.6, 0.5, 65.0, "a", "")]
    phrase = render_phrase(notes, SAMPLE_RATE, 1, singer, 1.2)
    pitch = 69 + 12 * np.log2(phrase.f0_hz[phrase.voiced] / 440)
    nearest = np.minimum(np.abs(pitch - 60), np.abs(pitch - 65))
    assert np.mean(nearest > 0.2) < 0.06  # 30 ms of glide in a second
    assert singer.vibrato_cents == singer.scoop_cents == 0.0


# --- instruments

STEADY = Timbre(slope=1.0, odd_only=False, stretch=0.0, attack_s=0.01, decay_s=np.inf, vibrato_cents=0.0, colour=np.ones(40))


def lines_of(sound):
    """Frequencies of the spectrum's lines within 40 dB of the strongest."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    peaks = (spectrum[1:-1] > spectrum[:-2]) & (spectrum[1:-1] >= spectrum[2:]) & (spectrum[1:-1] > 0.01 * spectrum.max())
    return (np.flatnonzero(peaks) + 1) * SAMPLE_RATE / len(sound)


@pytest.mark.parametrize("odd_only, parts", [(False, [1, 2, 3, 4, 5]), (True, [1, 3, 5, 7, 9])])
def test_a_tone_has_the_partials_of_its_pitch(odd_only, parts):
    timbre = Timbre(**{**vars(STEADY), "odd_only": odd_only})
    lines = lines_of(tone(np.random.default_rng(0), timbre, 69.0, 1.0))
    np.testing.assert_allclose(lines[:5], 440.0 * np.array(parts), atol=2.0)
    assert lines.max() < TOP_HZ


def test_stretched_partials_are_sharp():
    timbre = Timbre(**{**vars(STEADY), "stretch": 4e-4})
    lines = lines_of(tone(np.random.default_rng(0), timbre, 57.0, 1.0))
    np.testing.assert_allclose(lines[9], 2200 * np.sqrt(1.04), atol=2.0)


def test_a_tone_begins_and_ends_in_silence_and_peaks_at_one():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        note = tone(rng, random_timbre(rng), 60.0, 0.3)
        assert np.abs(note).max() == pytest.approx(1.0, abs=1e-3)
        assert abs(note[0]) == 0.0 and abs(note[-1]) < 0.01


def test_a_plucked_tone_dies_away():
    timbre = Timbre(**{**vars(STEADY), "decay_s": 0.15})
    note = tone(np.random.default_rng(0), timbre, 60.0, 1.0)
    assert np.abs(note[8000:]).max() < 0.1 < 0.5 < np.abs(note[:1600]).max()


def test_above_the_top_there_is_nothing():
    assert not tone(np.random.default_rng(0), STEADY, 120.0, 0.1).any()  # 8.4 kHz


@pytest.mark.parametrize("make", [lead, drums, random_band])
def test_instruments_are_finite_bounded_and_repeatable(make):
    for seed in range(4):
        x = make(np.random.default_rng(seed), 24000)
        assert x.shape == (24000,) and x.dtype == np.float32
        assert np.isfinite(x).all() and 0.0 < np.abs(x).max() < 40.0
        np.testing.assert_array_equal(x, make(np.random.default_rng(seed), 24000))
    assert not np.array_equal(make(np.random.default_rng(0), 24000), make(np.random.default_rng(1), 24000))


@pytest.mark.parametrize("make", [lead, drums, random_band])
def test_too_short_for_a_note_is_silence(make):
    assert not make(np.random.default_rng(0), 700).any()


def test_drums_are_silent_between_hits():
    """Hits of 150 ms on beats of 120 to 300 ms: a slow beat leaves exact silence, before the first hit too."""
    rests = [np.mean(drums(np.random.default_rng(seed), 48000) == 0.0) for seed in range(6)]
    assert max(rests) > 0.2


def test_a_lead_plays_notes_of_its_range():
    """The strongest line of each moment of a lead lies on some note, not on a glide."""
    x = lead(np.random.default_rng(5), 48000)
    frames = [x[i : i + 4000] for i in range(0, 44000, 4000)]
    lows = [lines_of(f).min() for f in frames if np.abs(f).max() > 0.05]
    assert len(lows) > 4 and min(lows) > 100 and max(lows) < 2200
