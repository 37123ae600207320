"""Curves from levels and brightness to MIDI's bytes, by hand; brightness of sounds whose spectrum is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rt_melody.kernels.brightness import brightness_hz, mobilities
from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.playing.expression import EXPONENTS, brightness_curve, loudness_curve, velocity_curve

RATE = 16_000


def test_a_linear_curve_is_linear_in_db_and_clipped():
    curve = loudness_curve("linear", (-50.0, -6.0))
    assert [curve.byte(db) for db in (-120.0, -50.0, -28.0, -6.0, 0.0)] == [0, 0, 64, 127, 127]


def test_soft_is_above_linear_and_hard_below_and_the_ends_are_the_same():
    soft, linear, hard = (loudness_curve(name, (-50.0, -6.0)) for name in ("soft", "linear", "hard"))
    for db in (-45.0, -30.0, -10.0):
        assert hard.byte(db) < linear.byte(db) < soft.byte(db)
    assert {(curve.byte(-50.0), curve.byte(-6.0)) for curve in (soft, linear, hard)} == {(0, 127)}


def test_velocity_is_never_zero():
    curve = velocity_curve("linear", (-50.0, -6.0))
    assert [curve.velocity(db) for db in (-120.0, -28.0, 0.0, float("nan"))] == [1, 64, 127, 1]
    assert velocity_curve("fixed").velocity(-120.0) == 100 and velocity_curve("fixed 1").velocity(0.0) == 1
    assert velocity_curve("fixed 127").velocity(-120.0) == 127


def test_brightness_is_read_in_octaves():
    curve = brightness_curve("linear", (250.0, 4000.0))
    assert [curve.byte(hz) for hz in (0.0, 100.0, 250.0, 1000.0, 4000.0, 9000.0)] == [0, 0, 0, 64, 127, 127]


@given(st.sampled_from(sorted(EXPONENTS)), st.floats(-200, 100, allow_subnormal=False), st.floats(-200, 100, allow_subnormal=False))
def test_louder_is_never_less(name, one, other):
    curve = velocity_curve(name)
    low, high = sorted((one, other))
    assert 1 <= curve.velocity(low) <= curve.velocity(high) <= 127


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: velocity_curve("loud"), "velocity curve 'loud' is unknown; use soft, linear, hard, or fixed N"),
        (lambda: velocity_curve(""), "velocity curve ''"),
        (lambda: velocity_curve("fixed 0"), "fixed velocity '0' is not a whole number from 1 to 127"),
        (lambda: velocity_curve("fixed 128"), "fixed velocity '128' is not a whole number from 1 to 127"),
        (lambda: velocity_curve("fixed 1 2"), "fixed velocity '1 2'"),
        (lambda: velocity_curve("linear", (-6.0, -50.0)), "velocity range -6 .. -50 dBFS must ascend"),
        (lambda: loudness_curve("linear", (-50.0, -50.0)), "loudness range"),
        (lambda: loudness_curve("log"), "curve 'log' is unknown"),
        (lambda: brightness_curve("linear", (0.0, 2000.0)), "must lie above 0"),
        (lambda: brightness_curve("linear", (float("nan"), 2000.0)), "must ascend"),
    ],
)
def test_what_cannot_be_used_is_named(make, said):
    with pytest.raises(SettingsError, match=said):
        make()


# --- the measure itself


def sine(hz, seconds=0.1, level=0.3):
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def measured_hz(sound, count):
    out = np.zeros(1)
    mobilities(sound[None], count, out)
    return brightness_hz(out[0], RATE)


@pytest.mark.parametrize("hz", [100.0, 440.0, 1000.0, 5000.0])
def test_the_brightness_of_a_sine_is_its_frequency(hz):
    assert measured_hz(sine(hz), 1440) == pytest.approx(hz, rel=0.02)


def test_it_is_the_root_mean_square_frequency_of_the_spectrum():
    """Against the power spectrum, by Parseval: two sines whose periods fit the window."""
    sound = sine(500.0, 0.2) + 0.5 * sine(3000.0, 0.2)
    window = sound[-1600:]
    power = np.abs(np.fft.rfft(window)) ** 2
    omega = np.fft.rfftfreq(1600) * 2 * np.pi
    mean = float(np.sum(power * 4 * np.sin(omega / 2) ** 2) / np.sum(power))
    assert measured_hz(sound, 1600) == pytest.approx(np.arcsin(np.sqrt(mean) / 2) * RATE / np.pi, rel=1e-4)
    assert 500.0 < measured_hz(sound, 1600) < 3000.0


@pytest.mark.parametrize("gain", [1e-4, 0.01, 1.9])
def test_it_does_not_depend_on_the_level(gain):
    sound = sine(300.0) + sine(1700.0)
    assert measured_hz((gain * sound).astype(np.float32), 320) == pytest.approx(measured_hz(sound, 320), rel=1e-3)


def test_silence_has_none_and_only_the_newest_samples_count():
    assert measured_hz(np.zeros(400, np.float32), 320) == 0.0
    old, new = sine(4000.0, 0.1), sine(300.0, 0.05)
    assert measured_hz(np.concatenate([old, new]), 320) == measured_hz(new, 320)


def test_white_noise_is_brighter_than_any_voice():
    noise = np.random.default_rng(1).standard_normal(3200).astype(np.float32)
    assert measured_hz(noise, 3199) == pytest.approx(RATE / 4, rel=0.05)  # mean of 4 sin^2 is 2
