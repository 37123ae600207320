"""Examples: functions of (seed, step, index) whose labels go where the sound goes, at the ratios they state."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from rt_melody.models.training import augment
from rt_melody.models.training.augment import (
    AugmentConfig,
    ExampleMaker,
    bump,
    codec,
    fit,
    scaled,
    shift_formants,
    swell,
    voiced_rms,
)
from rt_melody.models.training.data import SAMPLE_RATE, UNKNOWN, Clip

LEVEL_DB = -6.0
# Nothing but the voice, at one level; each test switches on what it looks at.
PLAIN = AugmentConfig(
    shift=0.0,
    own_band=0.0,
    no_band=1.0,
    no_voice=0.0,
    splice=0.0,
    noise_alone=0.0,
    synthetic_voice=0.0,
    synthetic_band=0.0,
    among_synthetic=0.0,
    lead=0.0,
    noise=0.0,
    room=0.0,
    whole_room=0.0,
    made_room=0.0,
    hum=0.0,
    tilt=0.0,
    narrow=0.0,
    swell=0.0,
    bump=0.0,
    level_db=(LEVEL_DB, LEVEL_DB),
    clip=0.0,
    formants=0.0,
    low=1.0,
    lone=0.0,
    rendered_band=0.0,
    music_band=0.0,
    music_unsung=0.0,
    backing=0.0,
    codec=0.0,
    dropout=0.0,
    tonal=1.0,
    noise_speed=(1.0, 1.0),
)
OWN_BAND = {"no_band": 0.0, "own_band": 1.0}
OTHER_BAND = {"no_band": 0.0, "own_band": 0.0}


def sine(hz, seconds, level=0.3):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(np.float32)


def harmonic(midi, seconds):
    f0 = 440.0 * 2 ** ((midi - 69) / 12)
    return sum(sine(f0 * k, seconds, 0.2 / k) for k in range(1, 7))


def gate_of(spans, seconds):
    """1 inside the spans (in s), else 0, a value a sample."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return sum(((t >= a) & (t < b)).astype(np.float32) for a, b in spans)


def labels_of(gate, midi):
    return (gate[::80] * midi).astype(np.float32)


def clip(voice, pitch=None, band=None, name="a_1"):
    pitch = np.full(len(voice) // 80 + 1, 57.0, np.float32) if pitch is None else pitch
    return Clip(name, "a", voice, band, pitch)


def maker(clips, seconds=1.0, seed=3, noises=(), rooms=(), **changes):
    config = replace(PLAIN, **changes)
    return ExampleMaker(list(clips), list(noises), list(rooms), round(seconds * SAMPLE_RATE), config, seed)


def f0_midi(sound):
    """Of a steady sound whose first harmonic is the strongest: the interpolated peak of its spectrum."""
    magnitude = np.log(np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) + 1e-12)
    k = int(magnitude.argmax())
    a, b, c = magnitude[k - 1 : k + 2]
    hz = (k + 0.5 * (a - c) / (a - 2 * b + c)) * SAMPLE_RATE / len(sound)
    return 69 + 12 * np.log2(hz / 440)


def amplitude(sound, hz):
    """Of the sine of this frequency in a sound that holds whole periods of it."""
    return 2 * abs(np.mean(sound * np.exp(-2j * np.pi * hz * np.arange(len(sound)) / SAMPLE_RATE)))


# --- determinism


def real_enough(seed=3):
    rng = np.random.default_rng(0)
    clips = [
        clip(harmonic(50 + i, 2.5), labels_of(gate_of([(0.2, 1.9)], 2.5), 50.0 + i), sine(300 + 50 * i, 2.5)) for i in range(4)
    ]
    noises, rooms = [rng.standard_normal(9000).astype(np.float32)], [np.exp(-np.arange(900) / 90).astype(np.float32)]
    return ExampleMaker(clips, noises, rooms, SAMPLE_RATE, AugmentConfig(), seed)


def test_an_example_is_a_function_of_seed_step_and_index():
    first, second = real_enough(), real_enough()
    wanted = [first.make(step, index) for step, index in ((0, 0), (5, 1), (9, 3))]
    for (step, index), example in zip(((9, 3), (5, 1), (0, 0)), wanted[::-1]):  # in another order, by another maker
        again = second.make(step, index)
        np.testing.assert_array_equal(again.waveform, example.waveform)
        np.testing.assert_array_equal(again.pitch, example.pitch)


def test_seed_step_and_index_each_change_it():
    example = real_enough().make(5, 1)
    for other in (real_enough(seed=4).make(5, 1), real_enough().make(6, 1), real_enough().make(5, 2)):
        assert not np.array_equal(other.waveform, example.waveform)


def test_everything_switched_on_stays_finite_and_of_one_shape():
    makes = real_enough()
    for step in range(40):
        example = makes.make(step, 0)
        assert example.waveform.shape == (SAMPLE_RATE,) and example.pitch.shape == (201,)
        assert example.waveform.dtype == example.pitch.dtype == np.float32
        assert np.isfinite(example.waveform).all() and np.abs(example.waveform).max() < 1.001
        assert ((example.pitch == UNKNOWN) | (example.pitch == 0) | ((example.pitch > 30) & (example.pitch < 100))).all()


# --- pitch and time of the labels


def test_shifted_sound_and_shifted_label_agree():
    makes = maker([clip(harmonic(57.3, 4.0), np.full(801, 57.3, np.float32))], seconds=2.0, shift=1.0)
    told = []
    for step in range(8):
        example = makes.make(step, 0)
        assert np.ptp(example.pitch) < 1e-4
        assert 100 * abs(f0_midi(example.waveform) - example.pitch[0]) < 10
        told.append(example.pitch[0])
    low, high = PLAIN.shift_semitones
    assert np.ptp(told) > 3.0 and low <= min(told) - 57.3 and max(told) - 57.3 <= high


def test_without_a_shift_the_label_is_the_clips():
    example = maker([clip(harmonic(57.3, 3.0), np.full(601, 57.3, np.float32))]).make(0, 0)
    np.testing.assert_array_equal(example.pitch, np.float32(57.3))


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_label_begins_and_ends_with_the_sound(shift):
    """A tone that comes and goes: the sound is above half its amplitude exactly where the label is voiced."""
    gate = gate_of([(0.31, 0.76), (1.2, 1.48), (1.9, 2.85)], 3.5)
    makes = maker([clip(harmonic(57, 3.5) * gate, labels_of(gate, 57.0))], shift=shift, seconds=1.5)
    edges = 0
    for step in range(8):
        example = makes.make(step, 0)
        peak = np.array([np.abs(example.waveform[i : i + 80]).max() for i in range(0, len(example.waveform), 80)])
        heard, told = peak > 0.35 * peak.max(), example.pitch[:-1] > 0
        disagree = np.flatnonzero(heard != told)
        changes = np.flatnonzero(np.diff(told.astype(int)))
        edges += len(changes)
        assert all(np.abs(changes - i).min() <= 1 for i in disagree), (step, disagree, changes)  # within a label
    assert edges > 12


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_a_glide_is_where_it_sounds(shift):
    """A label that rises 12 semitones a second: read 10 ms off, it would miss by 12 cents."""
    t = np.arange(round(3 * SAMPLE_RATE)) / SAMPLE_RATE
    midi = 50 + 12 * t
    voice = (0.3 * np.sin(2 * np.pi * np.cumsum(440 * 2 ** ((midi - 69) / 12)) / SAMPLE_RATE)).astype(np.float32)
    makes = maker([clip(voice, (50 + 12 * np.arange(601) * 0.005).astype(np.float32))], shift=shift)
    for step in range(4):
        example = makes.make(step, 0)
        phase = np.unwrap(np.angle(analytic(example.waveform)))
        sounding_hz = np.gradient(phase)[:SAMPLE_RATE:80] * SAMPLE_RATE / (2 * np.pi)
        error = 100 * (69 + 12 * np.log2(sounding_hz[20:180] / 440) - example.pitch[20:180])
        assert abs(np.median(error)) < 2


def analytic(x):
    spectrum = np.fft.fft(x)
    spectrum[len(x) // 2 :] = 0
    return np.fft.ifft(2 * spectrum)


def test_the_clips_own_band_stays_in_time():
    """A band that plays only where nobody sings is silent wherever the label is voiced."""
    gate = gate_of([(0.3, 1.1), (1.7, 2.6)], 3.5)
    voice, band = sine(440, 3.5) * gate, sine(3000, 3.5) * (1 - gate)
    makes = maker([clip(voice, labels_of(gate, 69.0), band)], seconds=1.5, shift=1.0, **OWN_BAND, band_db=(0.0, 0.0))
    for step in range(4):
        example = makes.make(step, 0)
        voiced = np.repeat(example.pitch[:-1] > 0, 80)
        inner = np.convolve(voiced, np.ones(641), "same") > 640.5  # 20 ms from any edge
        spectrum = np.abs(np.fft.rfft(example.waveform * inner)) ** 2
        high = np.fft.rfftfreq(len(inner), 1 / SAMPLE_RATE) > 1800
        assert spectrum[high].sum() < 1e-3 * spectrum.sum()  # 30 ms off, it would be over 1e-2


def test_a_room_delays_nothing():
    gate = gate_of([(0.5, 1.0)], 1.5)
    room = np.zeros(900, np.float32)
    room[400] = 1.0  # a response whose direct sound comes late
    example = maker([clip(sine(440, 1.5) * gate, labels_of(gate, 69.0))], seconds=1.5, rooms=[room], room=1.0).make(0, 0)
    dry = maker([clip(sine(440, 1.5) * gate, labels_of(gate, 69.0))], seconds=1.5).make(0, 0)
    np.testing.assert_allclose(example.waveform, dry.waveform, atol=1e-4)


@pytest.mark.parametrize("where, echoed", [({"room": 1.0}, [True, False]), ({"whole_room": 1.0}, [True, True]), ({}, [False, False])])
def test_a_room_is_around_the_voice_or_around_all(where, echoed):
    """The voice sounds for the first third, the band for the second; an echo comes 600 ms later."""
    voice, band = sine(440, 1.5) * gate_of([(0.0, 0.5)], 1.5), sine(3000, 1.5) * gate_of([(0.5, 0.85)], 1.5)
    room = np.zeros(9601, np.float32)
    room[0], room[9600] = 1.0, 0.5
    pitch = labels_of(gate_of([(0.0, 0.5)], 1.5), 69.0)
    example = maker([clip(voice, pitch, band)], seconds=1.5, rooms=[room], **OWN_BAND, band_db=(0.0, 0.0), **where).make(0, 0)
    of_voice, of_band = (example.waveform[round(a * SAMPLE_RATE) : round(b * SAMPLE_RATE)] for a, b in ((0.6, 1.1), (1.1, 1.4)))
    assert [bool(amplitude(of_voice, 440) > 0.01), bool(amplitude(of_band, 3000) > 0.01)] == echoed
    assert (example.pitch > 0).sum() == 100, "the label ends with the voice"


@pytest.mark.parametrize("seed", range(5))
def test_a_made_room_falls_and_lets_through_as_it_says(seed):
    rng = np.random.default_rng(seed)
    room = augment.made_room(rng, (0.5, 0.5), (-6.0, -6.0))
    assert room[0] == 1.0 and 10 * np.log10(1.0 / np.square(room[1:]).sum()) == pytest.approx(-6.0, abs=0.01)
    left_db = 10 * np.log10(np.cumsum(np.square(room[::-1]))[::-1])[[2000, 6000]]  # from after the walls' reflections on
    assert left_db[0] - left_db[1] == pytest.approx(60.0 * 0.25 / 0.5, rel=0.15)


def test_rooms_are_made_and_recorded_by_their_odds(monkeypatch):
    made = []
    monkeypatch.setattr(augment, "made_room", lambda *_: made.append(1) or np.float32([1.0]))
    makes = maker([clip(sine(440, 1.5))], rooms=[np.float32([1.0])], room=1.0, made_room=0.6)
    for step in range(200):
        makes.make(step, 0)
    assert 100 < len(made) < 140


def test_hum_is_drawn_by_its_odds(monkeypatch):
    drawn = []
    monkeypatch.setattr(augment, "mains_hum", lambda rng, samples: drawn.append(1) or sine(50, samples / SAMPLE_RATE))
    makes = maker([clip(sine(440, 1.5))], noise=1.0, hum=0.25)
    for step in range(200):
        makes.make(step, 0)
    assert 35 < len(drawn) < 65


@pytest.mark.parametrize("seed", range(5))
def test_hum_is_of_the_mains(seed):
    hum = augment.mains_hum(np.random.default_rng(seed), 10 * SAMPLE_RATE)
    spectrum = np.abs(np.fft.rfft(hum * np.hanning(len(hum)))) ** 2
    hz = np.fft.rfftfreq(len(hum), 1 / SAMPLE_RATE)
    own = min((50.0, 60.0), key=lambda f0: -spectrum[np.abs(hz - f0) < 0.5].sum())
    number = np.maximum(1, np.round(hz / own))
    assert spectrum[np.abs(hz - number * own) < 0.002 * number * own + 0.3].sum() > 0.999 * spectrum.sum()


# --- ratios and levels


def ratio_db(example, voice_hz, other_hz):
    return 20 * np.log10(amplitude(example.waveform, voice_hz) / amplitude(example.waveform, other_hz))


@pytest.mark.parametrize("wanted_db", [-5.0, 0.0, 12.0])
@pytest.mark.parametrize("band", [OWN_BAND, OTHER_BAND])
def test_voice_over_band(wanted_db, band):
    makes = maker([clip(sine(400, 3.0, 0.02), band=sine(3000, 3.0, 0.5))], **band, band_db=(wanted_db, wanted_db))
    assert ratio_db(makes.make(0, 0), 400, 3000) == pytest.approx(wanted_db, abs=0.05)


def test_the_voice_is_measured_where_it_sounds():
    """A voice that rests half of the time is not made twice as strong for it."""
    gate = gate_of([(0.0, 0.25), (0.5, 0.75)], 1.0)
    voice = sine(400, 1.0) * gate
    assert voiced_rms(voice, labels_of(gate, 67.0)) == pytest.approx(0.3 / np.sqrt(2), rel=1e-3)
    assert voiced_rms(voice, np.zeros(201)) == pytest.approx(0.3 / 2, rel=1e-3)


def test_voice_over_noise():
    makes = maker([clip(sine(400, 3.0))], noise=1.0, noise_db=(20.0, 20.0))
    for step in range(3):
        heard = makes.make(step, 0).waveform
        tone = amplitude(heard, 400)
        assert 10 * np.log10((tone**2 / 2) / (np.mean(heard**2) - tone**2 / 2)) == pytest.approx(20.0, abs=0.2)


def test_voice_over_a_second_melody():
    makes = maker([clip(sine(400, 3.0))], lead=1.0, lead_db=(15.0, 15.0))
    heard = makes.make(0, 0).waveform
    tone = amplitude(heard, 400)
    assert 10 * np.log10((tone**2 / 2) / (np.mean(heard**2) - tone**2 / 2)) == pytest.approx(15.0, abs=1.0)


def test_the_level_is_that_of_the_peak():
    heard = maker([clip(sine(400, 3.0, 0.9))], level_db=(-40.0, -40.0)).make(0, 0).waveform
    assert 20 * np.log10(np.abs(heard).max()) == pytest.approx(-40.0, abs=0.1)


def test_clipping_flattens_and_keeps_the_peak():
    flat, round_ = (maker([clip(sine(400, 3.0))], clip=share, level_db=(-1.0, -1.0)).make(0, 0).waveform for share in (1.0, 0.0))
    assert np.abs(flat).max() == pytest.approx(np.abs(round_).max(), rel=1e-3)
    assert np.mean(np.abs(flat) > 0.85) > 0.4 > np.mean(np.abs(round_) > 0.85)


def test_no_voice_is_the_band_alone_with_empty_labels():
    example = maker([clip(sine(400, 3.0), band=sine(3000, 3.0))], no_voice=1.0, **OWN_BAND).make(0, 0)
    assert not example.pitch.any()
    assert amplitude(example.waveform, 400) < 1e-4 < 0.4 < amplitude(example.waveform, 3000)


def test_noise_alone_is_neither_voice_nor_band():
    example = maker(
        [clip(sine(400, 3.0), band=sine(3000, 3.0))], noises=[sine(1000, 1.0)], no_voice=1.0, noise_alone=1.0, seed=5, **OWN_BAND
    ).make(0, 0)
    assert not example.pitch.any() and np.abs(example.waveform).max() > 0.1
    assert amplitude(example.waveform, 400) < 1e-2 and amplitude(example.waveform, 3000) < 1e-2


def test_spliced_pieces_carry_their_own_labels_and_step_within_milliseconds():
    makes = maker([clip(harmonic(57.3, 4.0), np.full(801, 57.3, np.float32))], seconds=3.0, splice=1.0)
    steps = 0
    for index in range(6):
        example = makes.make(0, index)
        places = np.flatnonzero(np.diff(example.pitch)) + 1  # the first label of each later piece
        steps += len(places)
        for a, b in zip([0, *places], [*places, len(example.pitch)]):
            if b - a >= 60:  # long enough to hear its pitch, all but the few ms of the step itself
                piece = example.waveform[a * 80 + 40 : b * 80 - 120]
                assert abs(f0_midi(piece[: len(piece) // 2]) - example.pitch[a]) < 0.1
                assert abs(f0_midi(piece[len(piece) // 2 :]) - example.pitch[a]) < 0.1
    assert steps >= 6


def test_silence_stays_silence_when_scaled():
    np.testing.assert_array_equal(scaled(np.zeros(100, np.float32), 1.0, -20.0), 0.0)


# --- clips shorter than an example, clips alone


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_a_short_clip_sounds_whole_wherever_it_lies(shift):
    gate = gate_of([(0.0, 0.4)], 0.4)
    makes = maker([clip(harmonic(57, 0.4), labels_of(gate, 57.0))], shift=shift)
    begins = []
    for step in range(8):
        example = makes.make(step, 0)
        told = np.flatnonzero(example.pitch)
        speed = 2 ** ((example.pitch[told[0]] - 57) / 12)
        assert len(told) * 0.005 == pytest.approx(0.4 / speed, abs=0.011)
        peak = np.array([np.abs(example.waveform[i : i + 80]).max() for i in range(0, SAMPLE_RATE, 80)])
        heard = np.flatnonzero(peak > 0.35 * peak.max())
        assert abs(heard[0] - told[0]) <= 1 and abs(heard[-1] - told[-1]) <= 2
        begins.append(told[0])
    assert np.ptp(begins) > 20


def test_a_short_clips_band_keeps_its_ratio():
    makes = maker([clip(sine(400, 0.25), band=sine(3000, 0.25, 0.02))], **OWN_BAND, band_db=(6.0, 6.0))
    assert ratio_db(makes.make(0, 0), 400, 3000) == pytest.approx(6.0, abs=0.2)


def test_a_short_song_goes_round():
    makes = maker([clip(sine(400, 3.0)), clip(sine(400, 0.25), band=sine(3000, 0.25), name="b_1")], **OTHER_BAND)
    for step in range(6):
        heard = makes.make(step, 0).waveform
        if amplitude(heard[:4000], 400) > 0.05 and amplitude(heard[-4000:], 400) > 0.05:  # the long clip was drawn
            assert amplitude(heard[:4000], 3000) == pytest.approx(amplitude(heard[-4000:], 3000), rel=0.1)
            break
    else:
        pytest.fail("the long clip was never drawn")


def test_clips_without_accompaniment_can_train():
    makes = maker([clip(harmonic(57, 0.02))], **OWN_BAND)  # the shortest: 20 ms
    assert np.isfinite(makes.make(0, 0).waveform).all() and makes.make(0, 0).pitch.any()


def test_one_with_accompaniment_serves_one_without():
    makes = maker([clip(sine(400, 2.0)), clip(sine(400, 2.0), band=sine(3000, 2.0), name="b_1")], **OWN_BAND, band_db=(0.0, 0.0))
    assert all(amplitude(makes.make(step, 0).waveform, 3000) > 0.1 for step in range(6))


def test_fit_cuts_and_pads():
    track = np.arange(1, 5, dtype=np.float32)
    assert fit(track, 3).tolist() == [1, 2, 3]
    assert fit(track, 6).tolist() == [1, 2, 3, 4, 0, 0]
    assert fit(track, 6, 1).tolist() == [0, 1, 2, 3, 4, 0]
    assert fit(track, 3, 2).tolist() == [0, 0, 1]


# --- level changes within an example


@pytest.mark.parametrize("seed", range(20))
def test_a_swell_steps_between_levels_of_its_range(seed):
    gain = swell(np.random.default_rng(seed), 48000, (-30.0, -10.0))
    db = 20 * np.log10(gain)
    assert gain.shape == (48000,) and db.min() >= -30.01 and db.max() <= -9.99
    moving = np.abs(np.diff(db)) > 1e-5
    assert moving.any() and moving.sum() <= 3 * SAMPLE_RATE // 50


def test_a_bump_is_short_and_louder_than_full_scale():
    knocks = [bump(np.random.default_rng(seed), 48000) for seed in range(20)]
    assert all(1.0 <= np.abs(k).max() <= 5.001 for k in knocks)
    assert all(np.ptp(np.flatnonzero(k)) < 0.030 * SAMPLE_RATE for k in knocks)
    assert len({int(np.argmax(np.abs(k))) for k in knocks}) > 15


# --- formants, codecs, drop-outs, lone instruments, rendered bands


def resonance(hz, seconds=1.0):
    """Pulses at 100 Hz through one resonance."""
    pulses = np.zeros(round(seconds * SAMPLE_RATE))
    pulses[::160] = 1.0
    radius, angle = 0.9, 2 * np.pi * hz / SAMPLE_RATE
    return (0.1 * lfilter([1.0], [1.0, -2 * radius * np.cos(angle), radius**2], pulses)).astype(np.float32)


def strongest_hz(sound):
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(spectrum.argmax() * SAMPLE_RATE / len(sound))


def test_formants_unmoved_change_nothing():
    voice = resonance(1000.0)
    np.testing.assert_allclose(shift_formants(voice, 1.0), voice, atol=1e-6)


@pytest.mark.parametrize("factor", [0.8, 1.3])
def test_formants_move_and_the_pitch_stays(factor):
    moved = shift_formants(resonance(1000.0), factor)
    assert strongest_hz(moved) == pytest.approx(1000.0 * factor, abs=110.0)
    lag = np.correlate(moved[4000:8000], moved[4000:8000], "full")[3999 + 80 : 3999 + 320].argmax() + 80
    assert lag == 160


@pytest.mark.parametrize("seed", range(6))
def test_a_codec_leaves_nothing_far_above_its_limit(seed):
    heard = codec(np.random.default_rng(seed), np.random.default_rng(9).standard_normal(16000), (3400.0, 3400.0))
    power = np.abs(np.fft.rfft(heard)) ** 2
    assert power[6000:].mean() < 1e-3 * power[100:3000].mean()


def test_a_dropout_is_silence_of_its_length_and_the_note_is_held():
    makes = maker([clip(sine(400, 3.0))], dropout=1.0, dropout_ms=(40.0, 40.0))
    example = makes.make(0, 0)
    silent = np.abs(example.waveform) < 1e-3
    longest = max(len(run) for run in "".join("x" if s else " " for s in silent).split())
    assert longest >= 640 - 8 and silent.sum() < 3 * 700 + 400
    assert (example.pitch > 0).all()


def test_a_lone_instrument_is_labelled_as_it_sounds():
    makes, checked = maker([clip(sine(400, 3.0))], lone=1.0), 0
    for step in range(12):
        example = makes.make(step, 0)
        told = np.repeat(example.pitch[:-1], 80)
        for pitch in np.unique(told[told > 0]):
            where = np.flatnonzero(told == pitch)
            if np.ptp(where) == len(where) - 1 and len(where) > 3200:  # one stretch
                piece = example.waveform[where[400] : where[-400]]
                lag = SAMPLE_RATE / (440 * 2 ** ((pitch - 69) / 12))
                similar = [np.dot(piece[: -round(k * lag)], piece[round(k * lag) :]) / np.dot(piece, piece) for k in (1, 2)]
                assert max(similar) > 0.6
                checked += 1
        if (told == 0).any() and (told > 0).any():
            assert np.std(example.waveform[told == 0]) < 0.3 * np.std(example.waveform[told > 0])
    assert checked > 10


def test_low_clips_are_drawn_more_often():
    low, high = clip(harmonic(45, 2.0), np.full(401, 45.0, np.float32)), clip(harmonic(60, 2.0), np.full(401, 60.0, np.float32))
    makes = maker([low, high], low=3.0)
    drawn = [makes.make(step, 0).pitch[0] < 50 for step in range(200)]
    assert 0.65 < np.mean(drawn) < 0.85  # three to one; three standard deviations


def test_rendered_accompaniments_are_used_where_there_are_some():
    rendered = [sine(3000, 3.0)]
    config = replace(PLAIN, no_band=0.0, own_band=0.0, rendered_band=1.0, band_db=(0.0, 0.0))
    with_them = ExampleMaker([clip(sine(400, 3.0))], [], [], SAMPLE_RATE, config, 3, rendered).make(0, 0)
    without = ExampleMaker([clip(sine(400, 3.0))], [], [], SAMPLE_RATE, config, 3).make(0, 0)
    assert amplitude(with_them.waveform, 3000) == pytest.approx(amplitude(with_them.waveform, 400), rel=0.02)
    assert amplitude(without.waveform, 3000) < 1e-3


def test_what_is_synthetic_or_unsung_hears_synthetic_bands_of_its_own_odds(monkeypatch):
    """A band of ones in place of the synthetic one: where a real voice sings it is never drawn, else always."""
    monkeypatch.setattr(augment, "random_band", lambda rng, samples: np.ones(samples, np.float32))
    drawn = {}
    for kind, changes in {"voice": {}, "synthetic": {"synthetic_voice": 1.0}, "unsung": {"no_voice": 1.0}}.items():
        bands = []
        monkeypatch.setattr(augment, "scaled", lambda track, reference_rms, below_db: (bands.append(bool((track == 1).all())), track)[1])
        maker([clip(sine(400, 3.0), band=sine(100, 3.0))], **OWN_BAND, among_synthetic=1.0, **changes).make(0, 0)
        drawn[kind] = bands[0]
    assert drawn == {"voice": False, "synthetic": True, "unsung": True}


# --- singers, backing voices, music, noises with a pitch


def test_singers_are_drawn_by_the_root_of_what_they_sang():
    """Ann sang 16 clips of a second, Ben one: she is drawn four times as often, not sixteen; a low clip counts double."""
    clips = [Clip(f"{i}", "ann", np.zeros(16000, np.float32), None, np.full(201, 60.0)) for i in range(16)]
    clips.append(Clip("b", "ben", np.zeros(16000, np.float32), None, np.full(201, 60.0)))
    odds = augment.clip_odds(clips, 2.0)
    assert odds.sum() == pytest.approx(1.0) and np.ptp(odds[:16]) < 1e-12
    assert odds[:16].sum() / odds[16] == pytest.approx(4.0)
    low = [*clips[:16], replace(clips[16], pitch=np.full(201, 45.0))]
    assert augment.clip_odds(low, 2.0)[16] / augment.clip_odds(low, 2.0)[:16].sum() == pytest.approx(2.0 / 4.0)


def test_the_unknown_is_not_shifted():
    pitch = np.full(601, 57.3, np.float32)
    pitch[::7] = UNKNOWN
    example = maker([clip(harmonic(57.3, 3.0), pitch)], shift=1.0).make(1, 0)
    assert (example.pitch == UNKNOWN).any() and set(np.unique(example.pitch < 0)) == {False, True}
    assert np.ptp(example.pitch[example.pitch > 0]) < 1e-4 and example.pitch.min() == UNKNOWN


@pytest.mark.parametrize("steps, hz", [(4, 400 * 2 ** (4 / 12)), (-5, 400 * 2 ** (-5 / 12))])
def test_a_backing_voice_is_quieter_by_what_is_said_and_no_label_follows_it(steps, hz, monkeypatch):
    monkeypatch.setattr(augment, "DOUBLE_CENTS", 0.0)
    lead = np.float32(69 + 12 * np.log2(400 / 440))
    one = clip(sine(400, 4.0), np.full(801, lead, np.float32))
    example = maker([one], backing=1.0, backing_db=(9.0, 9.0), backing_steps=(steps,), seconds=2.0).make(0, 0)
    np.testing.assert_array_equal(example.pitch, lead)
    window = np.hanning(len(example.waveform))
    levels = [amplitude(example.waveform * window, f) for f in (400, hz)]
    assert 20 * np.log10(levels[0] / levels[1]) == pytest.approx(9.0, abs=0.2)


def test_where_the_backing_voice_is_alone_nobody_knows():
    """Its clip runs faster, so the tone after the rest comes earlier in it than in the lead."""
    gate = gate_of([(0.0, 0.5), (1.5, 4.0)], 4.0)
    one = clip(harmonic(57, 4.0) * gate, labels_of(gate, 57.0))
    example = maker([one], backing=1.0, backing_steps=(7,), seconds=4.0).make(0, 0)
    told = example.pitch
    alone = np.arange(len(told)) * 0.005
    assert (told[(alone > 1.05) & (alone < 1.45)] == UNKNOWN).all()  # 1.5 s at a fifth above: 1.0 s
    assert (told[(alone > 0.52) & (alone < 0.95)] == 0.0).all()  # both rest
    assert (told[(alone > 0.02) & (alone < 0.45)] == 57.0).all() and (told[(alone > 1.55) & (alone < 3.9)] == 57.0).all()


def test_recorded_music_is_a_band_at_its_ratio_and_alone_without_a_voice():
    music = [np.round(32767 * sine(3000, 20.0)).astype(np.int16)]
    config = replace(PLAIN, **OTHER_BAND, music_band=1.0, music_unsung=1.0, band_db=(6.0, 6.0))
    sung = ExampleMaker([clip(sine(400, 3.0))], [], [], SAMPLE_RATE, config, 3, music=music).make(0, 0)
    assert ratio_db(sung, 400, 3000) == pytest.approx(6.0, abs=0.2) and (sung.pitch > 0).all()
    unsung = ExampleMaker([clip(sine(400, 3.0))], [], [], SAMPLE_RATE, replace(config, no_voice=1.0), 3, music=music).make(0, 0)
    assert not unsung.pitch.any() and amplitude(unsung.waveform, 400) < 1e-4 < 0.4 < amplitude(unsung.waveform, 3000)


def test_what_repeats_itself_is_tonal_and_is_drawn_more_often():
    rng = np.random.default_rng(4)
    hiss = rng.standard_normal(32000).astype(np.float32)
    alarm = sine(900, 2.0) * gate_of([(0.2, 0.9), (1.1, 1.8)], 2.0)
    assert augment.tonality(hiss) < 0.05 and augment.tonality(alarm) > 0.9 and augment.tonality(np.zeros(5000)) == 0.0
    assert 0.3 < augment.tonality(np.concatenate([0.3 * hiss[:16000] / hiss.std() * 0.7, sine(900, 1.0)])) < 0.7
    odds = maker([clip(sine(400, 3.0))], noises=[hiss, alarm], tonal=4.0).noise_odds
    assert odds[1] / odds[0] == pytest.approx(4.0, rel=0.1)


def test_low_clips_are_shifted_by_their_own_range():
    low, high = (clip(harmonic(m, 3.0), np.full(601, m, np.float32)) for m in (45.0, 60.0))
    for one, midi, (least, most) in ((low, 45.0, (-9.0, -8.0)), (high, 60.0, (4.0, 5.0))):
        makes = maker([one], shift=1.0, shift_semitones=(4.0, 5.0), low_shift_semitones=(-9.0, -8.0))
        assert all(least <= makes.make(s, 0).pitch[50] - midi <= most for s in range(5))
