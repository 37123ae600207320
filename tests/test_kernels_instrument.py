"""The instrument: a twin in plain NumPy, its pitch as a listener measures it, and that nothing clicks."""

from __future__ import annotations

import numpy as np
import pytest

from rt_melody.kernels import instrument
from rt_melody.kernels.instrument import TIMBRES, play, timbre

RATE = 48000.0
NAMES = sorted(TIMBRES)


def target(strikes: float = 1, held: float = 1, hz: float = 220.0, gain: float = 0.5, brightness: float = 0.5) -> np.ndarray:
    return np.array([strikes, held, hz, gain, brightness], np.float64)


def played(name: str, parts: list[tuple[np.ndarray, int]], rate: float = RATE, block: int = 128) -> np.ndarray:
    """Targets, each for so many samples."""
    state, out = np.zeros(instrument.STATE), []
    for row, samples in parts:
        for start in range(0, samples, block):
            piece = np.empty(min(block, samples - start), np.float32)
            play(state, row, timbre(name), rate, piece)
            out.append(piece)
    return np.concatenate(out)


def twin(name: str, parts: list[tuple[np.ndarray, int]], rate: float = RATE) -> np.ndarray:
    """The same by its description: one pole a quantity, and a sum of sines of the multiples of one phase."""
    dark, bright, even, attack_s, release_s, decay_s, level = TIMBRES[name]
    near = lambda tau_s: 1 - np.exp(-1 / (rate * tau_s))  # noqa: E731
    phase = hz = gain = shine = envelope = decay = dip_s = 0.0
    seen, out, k = 0.0, [], np.arange(1, instrument.HARMONICS + 1)
    for (strikes, held, to_hz, to_gain, to_shine), samples in parts:
        for i in range(samples):
            if i == 0 and strikes != seen:
                seen = strikes
                if envelope > 0.02:
                    dip_s = instrument.DIP_S
                else:
                    hz, gain, shine, decay = to_hz, to_gain, to_shine, 1.0
            if dip_s > 0:
                dip_s -= 1 / rate
                envelope -= near(instrument.DIP_FALL_S) * envelope
                decay += near(instrument.DIP_FALL_S) * (1 - decay)
                hz = to_hz if dip_s <= 0 else hz
            else:
                envelope += near(attack_s if held else release_s) * (held - envelope)
            if held and dip_s <= 0:
                hz += near(instrument.GLIDE_S) * (to_hz - hz)
                gain += near(instrument.FOLLOW_S) * (to_gain - gain)
            shine += near(instrument.FOLLOW_S) * (to_shine - shine)
            decay *= np.exp(-1 / (rate * decay_s)) if decay_s else 1.0
            phase += hz / rate
            slope = dark + shine * (bright - dark)
            slope = slope + (1 - decay) * (dark - slope) if decay_s else slope
            weight = k**-slope * np.where(k % 2, 1.0, even) * np.clip((0.45 * rate - k * hz) / (0.05 * 0.45 * rate), 0, 1)
            out.append(level * gain * envelope * decay * (weight * np.sin(2 * np.pi * k * phase)).sum())
    return np.array(out)


SONG = [(target(), 1500), (target(2, hz=330.0, gain=0.9, brightness=1.0), 1500), (target(2, hz=335.0), 700), (target(2, held=0), 800)]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_its_description_says(name):
    np.testing.assert_allclose(played(name, SONG), twin(name, SONG), atol=2e-6)


@pytest.mark.parametrize("name", NAMES)
def test_blocks_change_nothing(name):
    assert np.array_equal(played(name, SONG, block=37), played(name, SONG, block=100_000))


def f0_of(sound: np.ndarray, rate: float, near_hz: float) -> float:
    """By autocorrelation, its peak found on a parabola, around ten periods off for the sake of accuracy."""
    periods = 10
    spectrum = np.fft.rfft(sound * np.hanning(len(sound)), 4 * len(sound))
    likeness = np.fft.irfft(np.abs(spectrum) ** 2)
    middle = periods * rate / near_hz
    lags = np.arange(int(middle * 0.985), int(middle * 1.015) + 1)
    peak = lags[np.argmax(likeness[lags])]
    a, b, c = likeness[peak - 1 : peak + 2]
    return periods * rate / (peak + 0.5 * (a - c) / (a - 2 * b + c))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hz", [82.4, 220.0, 441.7, 1046.5])
@pytest.mark.parametrize("rate", [44100.0, 48000.0])
def test_its_pitch_is_within_two_cents(name, hz, rate):
    sound = played(name, [(target(hz=hz), int(rate))], rate)[-24000:]
    assert abs(1200 * np.log2(f0_of(sound, rate, hz) / hz)) < 2.0


@pytest.mark.parametrize("name", NAMES)
def test_nothing_clicks(name):
    """Whatever is asked of it, two samples are no further apart than the sines of the loudest note can be."""
    rng, parts, strikes = np.random.default_rng(1), [], 0
    for _ in range(300):
        strikes += int(rng.random() < 0.4)
        held, hz, samples = float(rng.random() < 0.7), 80 * 2 ** (3 * rng.random()), int(rng.integers(1, 900))
        parts.append((target(strikes, held, hz, rng.random(), rng.random()), samples))
    sound = played(name, parts)
    steady = played(name, [(target(hz=640.0, gain=1.0, brightness=1.0), 9600)])
    assert np.abs(np.diff(sound)).max() < 1.15 * np.abs(np.diff(steady)).max()
    assert np.abs(sound).max() < 1.0


@pytest.mark.parametrize("name", NAMES)
def test_a_note_that_ends_falls_silent_and_stays_so(name):
    sound = played(name, [(target(), 9600), (target(held=0), 3 * 48000)])
    assert np.abs(sound[:9600]).max() > 0.02 and not sound[-4800:].any()


@pytest.mark.parametrize("name", NAMES)
def test_a_repeated_note_is_heard_as_two_and_a_slur_as_one(name):
    def softest(strikes: int) -> float:
        sound = played(name, [(target(), 9600), (target(strikes, hz=247.0), 4800)])
        power = np.convolve(sound**2, np.ones(240) / 240, "valid")
        return power[9600 : 9600 + 1200].min() / power[9000:9300].mean()

    assert softest(2) < 0.15 and softest(1) > 0.5


def test_no_harmonic_passes_the_rates_end():
    """At 8 kHz a note of 1 kHz has three that fit; what would be folded back is not there."""
    sound = played("strings", [(target(hz=1000.0, brightness=1.0), 16000)], 8000.0)[-8000:]
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    folded = np.delete(np.arange(len(spectrum)), [b for hz in (1000, 2000, 3000) for b in range(hz - 4, hz + 5)])
    assert spectrum[folded].max() < 1e-3 * spectrum.max()
