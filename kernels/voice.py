"""The sound of a singing voice from its f0, sample by sample: glottal source, vocal tract, hiss.

Conventions
-----------
* Controls come once a sample of the output rate. The source runs ``oversampling`` times as fast and is
  brought down, so that what its pulses hold above the output's band is not folded into it; between two
  controls the f0 is interpolated on a straight line. The filters run at the output rate.
* Amplitudes are linear. The glottal source is the derivative of the flow, which contains the radiation at
  the lips; its negative peak is 1.
* The controls and the seed alone determine the output: the noise has its own generator, in here.
* Each loop below has its checks in ``synthesise_voice``, the one function to call from outside.

Sources: the pulse is KLGLOTT88, and the resonator the digital one, of D. Klatt (JASA 67, 1980) and D. and
L. Klatt (JASA 87, 1990). Its corners are rounded by the two-point polynomial residuals of a band-limited
step and ramp (Esqueda, Valimaki and Bilbao, IEEE Trans. Signal Processing 64, 2016).
"""

from __future__ import annotations

import math

import numpy as np

from rt_melody.kernels.compiled import compiled

MIN_F0_HZ, MAX_F0_HZ = 20.0, 4000.0
MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 96_000
MIN_INTERNAL_RATE_HZ = 44_100.0  # the source runs at least at this rate
FILTER_UPDATE_SAMPLES = 32  # the resonators are tuned once in so many samples
DECIMATION_ZERO_CROSSINGS = 12  # of the low-pass, on each side
DECIMATION_CUTOFF = 0.46  # of the output rate

_NOISE_SCALE = math.sqrt(12.0) / 4294967296.0  # 32 random bits -> uniform with an RMS of 1

_SOURCE = "void(f8[::1], f4[::1], f4[::1], i8, f8, f8, f8, f8, i8, f4[::1])"
_TRACT = "void(f8[:, ::1], f8[:, ::1], i8, f8, f8, f4[::1])"
_HISS = "void(f4[::1], f8, f8, f8, i8, f4[::1])"
_DECIMATE = "void(f4[::1], f8[::1], i8, f4[::1])"


@compiled("i8(i8)")
def next_random(state: int) -> int:
    """The next of 2**32 states of the linear congruential generator of Numerical Recipes (1664525, 1013904223)."""
    return (1664525 * state + 1013904223) & 0xFFFFFFFF


@compiled("f8(i8)")
def white(state: int) -> float:
    """A state as noise: uniform, mean 0, RMS 1."""
    return (state - 2147483647.5) * _NOISE_SCALE


@compiled("f8(f8, f8)")
def glottal_pulse(phase: float, open_quotient: float) -> float:
    """The derivative of the glottal flow x**2 - x**3 at ``phase`` (0..1) of a cycle; 0 while closed."""
    x = phase / open_quotient
    return 2.0 * x - 3.0 * x * x if x < 1.0 else 0.0


@compiled(_SOURCE)
def glottal_source(
    f0_hz: np.ndarray, voice: np.ndarray, breath: np.ndarray, oversampling: int, rate_hz: float,
    open_quotient: float, jitter: float, shimmer: float, seed: int, out: np.ndarray,
) -> None:
    """out[k] = voice * pulse train of f0 + breath * noise, which the closed glottis halves.

    f0_hz, voice, breath [shape=(n,)]; out [shape=(n * oversampling,)] at ``rate_hz``. ``jitter`` and
    ``shimmer`` are the relative standard deviations of the period and the strength of each pulse. ``out``
    is one internal sample late, since a pulse's corner also rounds the sample before it.
    """
    state = next_random(seed)
    phase, stretch, gain, held = 0.0, 1.0, 1.0, 0.0
    for k in range(len(out)):
        i = k // oversampling
        j = min(i + 1, len(f0_hz) - 1)
        f0 = f0_hz[i] + (f0_hz[j] - f0_hz[i]) * ((k - i * oversampling) / oversampling)
        step = f0 * stretch / rate_hz
        before = phase
        phase += step
        late = 0.0  # what corners since the sample before add to this one
        if before < open_quotient <= phase:  # closure: a jump of +1, and the slope ends
            d = (phase - open_quotient) / step
            slope = 4.0 * step / open_quotient
            held += gain * (0.5 * d * d + slope * d**3 / 6.0)
            late += gain * (-0.5 * (1.0 - d) ** 2 + slope * (1.0 - d) ** 3 / 6.0)
        if phase >= 1.0:  # opening: the slope begins
            phase -= 1.0
            state = next_random(state)
            stretch = 1.0 + jitter * white(state)
            state = next_random(state)
            gain = 1.0 + shimmer * white(state)
            d = phase / step
            slope = 2.0 * step / open_quotient
            held += gain * slope * d**3 / 6.0
            late += gain * slope * (1.0 - d) ** 3 / 6.0
        state = next_random(state)
        turbulence = 1.0 if phase < open_quotient else 0.5
        out[k] = voice[i] * held + breath[i] * turbulence * white(state)
        held = gain * glottal_pulse(phase, open_quotient) + late


@compiled("Tuple((f8, f8))(f8, f8, f8)")
def resonator(frequency_hz: float, bandwidth_hz: float, rate_hz: float) -> tuple[float, float]:
    """b and c of y[n] = (1 - b - c) x[n] + b y[n-1] + c y[n-2], which resonates at ``frequency_hz``."""
    radius = math.exp(-math.pi * bandwidth_hz / rate_hz)
    return 2.0 * radius * math.cos(2.0 * math.pi * frequency_hz / rate_hz), -radius * radius


@compiled(_TRACT)
def vocal_tract(
    formants_hz: np.ndarray, bandwidths_hz: np.ndarray, control_samples: int, rate_hz: float, tilt_pole: float, signal: np.ndarray
) -> None:
    """Filter ``signal`` in place: a one-pole low-pass (spectral tilt), then resonators in cascade.

    formants_hz, bandwidths_hz [shape=(n_controls, n_formants)], one row every ``control_samples`` of the
    signal, interpolated between; the coefficients move on straight lines, for steps in them would click.
    Each resonator passes 0 Hz with gain 1.
    """
    n_formants = formants_hz.shape[1]
    b, c = np.zeros(n_formants), np.zeros(n_formants)
    b_step, c_step = np.zeros(n_formants), np.zeros(n_formants)
    y1, y2 = np.zeros(n_formants), np.zeros(n_formants)
    tilted = 0.0
    for m in range(n_formants):
        b[m], c[m] = resonator(formants_hz[0, m], bandwidths_hz[0, m], rate_hz)
    for k in range(len(signal)):
        if k % FILTER_UPDATE_SAMPLES == 0:
            at = (k + FILTER_UPDATE_SAMPLES) / control_samples
            row = min(int(at), len(formants_hz) - 1)
            after = min(row + 1, len(formants_hz) - 1)
            part = min(at - row, 1.0)
            for m in range(n_formants):
                f = formants_hz[row, m] + part * (formants_hz[after, m] - formants_hz[row, m])
                w = bandwidths_hz[row, m] + part * (bandwidths_hz[after, m] - bandwidths_hz[row, m])
                b_next, c_next = resonator(f, w, rate_hz)
                b_step[m] = (b_next - b[m]) / FILTER_UPDATE_SAMPLES
                c_step[m] = (c_next - c[m]) / FILTER_UPDATE_SAMPLES
                if abs(y1[m]) < 1e-30 and abs(y2[m]) < 1e-30:  # denormal numbers are slow
                    y1[m] = y2[m] = 0.0
        for m in range(n_formants):
            b[m] += b_step[m]
            c[m] += c_step[m]
        tilted = (1.0 - tilt_pole) * signal[k] + tilt_pole * tilted
        if abs(tilted) < 1e-30:
            tilted = 0.0
        x = tilted
        for m in range(n_formants):
            x = (1.0 - b[m] - c[m]) * x + b[m] * y1[m] + c[m] * y2[m]
            y2[m] = y1[m]
            y1[m] = x
        signal[k] = x


@compiled(_HISS)
def add_hiss(level: np.ndarray, rate_hz: float, centre_hz: float, bandwidth_hz: float, seed: int, signal: np.ndarray) -> None:
    """Add noise of RMS about ``level``, in one band, to ``signal`` [both shape=(n,)]."""
    b, c = resonator(centre_hz, bandwidth_hz, rate_hz)
    a = math.sqrt(0.5 * (1.0 + c))  # noise of RMS 1 comes out with RMS near 1
    state = next_random(seed)
    x1, x2, y1, y2 = 0.0, 0.0, 0.0, 0.0
    for k in range(len(signal)):
        state = next_random(state)
        x = white(state)
        y = a * (x - x2) + b * y1 + c * y2
        x2, x1, y2, y1 = x1, x, y1, y
        signal[k] += level[k] * y


@compiled(_DECIMATE)
def decimate(signal: np.ndarray, taps: np.ndarray, factor: int, out: np.ndarray) -> None:
    """out[i] = sum over m of taps[m] * signal[i * factor + m - len(taps) // 2]; 0 beyond the ends."""
    middle = len(taps) // 2
    for i in range(len(out)):
        first = i * factor - middle
        total = 0.0
        for m in range(max(0, -first), min(len(taps), len(signal) - first)):
            total += taps[m] * signal[first + m]
        out[i] = total


def decimation_taps(factor: int) -> np.ndarray:
    """A low-pass for bringing a rate down by ``factor``: a sinc under a Blackman window, of gain 1 at 0 Hz."""
    if factor == 1:
        return np.ones(1)
    middle = DECIMATION_ZERO_CROSSINGS * factor
    steps = np.arange(-middle, middle + 1) / factor
    taps = np.sinc(2.0 * DECIMATION_CUTOFF * steps) * np.blackman(len(steps))
    return taps / taps.sum()


def synthesise_voice(
    f0_hz: np.ndarray,
    voice: np.ndarray,
    breath: np.ndarray,
    hiss: np.ndarray,
    formants_hz: np.ndarray,
    bandwidths_hz: np.ndarray,
    control_samples: int,
    sample_rate: int,
    seed: int,
    *,
    open_quotient: float = 0.6,
    tilt_db: float = 6.0,
    jitter: float = 0.0,
    shimmer: float = 0.0,
    hiss_hz: float = 5500.0,
) -> np.ndarray:
    """A voice as float32 [shape=(n,)] at ``sample_rate`` from its controls.

    Parameters
    ----------
    f0_hz : [shape=(n,)], 20..4000 everywhere, also where ``voice`` is 0.
    voice, breath, hiss : [shape=(n,)], amplitudes >= 0 of the pulses, of the noise that passes the vocal
        tract (breath, "h") and of the noise that does not ("s").
    formants_hz, bandwidths_hz : [shape=(n_controls, n_formants)], one row every ``control_samples`` samples.
    seed : any int; with the controls it determines the result.
    open_quotient : the part of each cycle in which the glottis is open, 0.2..0.9.
    tilt_db : attenuation of the source at 3 kHz, >= 0.
    jitter, shimmer : relative standard deviation of period and strength from pulse to pulse, 0..0.2.
    hiss_hz : centre of the band of the hiss.

    Raises ValueError for a control that breaks its rule. The f0 of the result is ``f0_hz``; with jitter, its
    mean is.
    """
    f0_hz = _control("f0_hz", f0_hz, np.float64, MIN_F0_HZ, MAX_F0_HZ)
    voice, breath, hiss = (
        _control(name, values, np.float32, 0.0, math.inf, len(f0_hz))
        for name, values in (("voice", voice), ("breath", breath), ("hiss", hiss))
    )
    _check_range("open_quotient", open_quotient, 0.2, 0.9)
    _check_range("tilt_db", tilt_db, 0.0, 60.0)
    _check_range("jitter", jitter, 0.0, 0.2)
    _check_range("shimmer", shimmer, 0.0, 0.2)
    _check_range("sample_rate", sample_rate, MIN_RATE_HZ, MAX_RATE_HZ)
    formants_hz = _formants("formants_hz", formants_hz, sample_rate / 2.0)
    bandwidths_hz = _formants("bandwidths_hz", bandwidths_hz, float(sample_rate))
    if formants_hz.shape != bandwidths_hz.shape or control_samples < 1:
        raise ValueError(
            f"formants {formants_hz.shape} and bandwidths {bandwidths_hz.shape} must have one shape, "
            f"and control_samples {control_samples} must be at least 1"
        )
    order = _low_and_high_in_turn(formants_hz.shape[1])
    formants_hz, bandwidths_hz = np.ascontiguousarray(formants_hz[:, order]), np.ascontiguousarray(bandwidths_hz[:, order])
    seed, rate_hz = seed & 0xFFFFFFFF, float(sample_rate)
    signal = _source(f0_hz, voice, breath, sample_rate, open_quotient, jitter, shimmer, seed)
    vocal_tract(formants_hz, bandwidths_hz, control_samples, rate_hz, _tilt_pole(tilt_db, rate_hz), signal)
    centre_hz = min(hiss_hz, 0.4 * sample_rate)
    add_hiss(hiss, rate_hz, centre_hz, 0.5 * centre_hz, seed ^ 0x5DEECE66, signal)
    return signal


def _source(
    f0_hz: np.ndarray,
    voice: np.ndarray,
    breath: np.ndarray,
    sample_rate: int,
    open_quotient: float,
    jitter: float,
    shimmer: float,
    seed: int,
) -> np.ndarray:
    """The glottal source at ``sample_rate``, made at a rate of at least ``MIN_INTERNAL_RATE_HZ``."""
    oversampling = max(1, math.ceil(MIN_INTERNAL_RATE_HZ / sample_rate))
    fast = np.zeros(len(f0_hz) * oversampling, np.float32)
    rate_hz = float(sample_rate * oversampling)
    glottal_source(f0_hz, voice, breath, oversampling, rate_hz, open_quotient, jitter, shimmer, seed, fast)
    if oversampling == 1:
        return fast
    out = np.zeros(len(f0_hz), np.float32)
    decimate(fast, decimation_taps(oversampling), oversampling, out)
    return out


def _low_and_high_in_turn(n_formants: int) -> list[int]:
    """An order of resonators in which no stretch of the cascade attenuates a band beyond what can be recovered."""
    return [k // 2 if k % 2 == 0 else n_formants - 1 - k // 2 for k in range(n_formants)]


def _tilt_pole(tilt_db: float, rate_hz: float) -> float:
    """Pole of the one-pole low-pass that attenuates 3 kHz by ``tilt_db``."""
    if tilt_db <= 0.0:
        return 0.0
    cutoff_hz = 3000.0 / math.sqrt(10.0 ** (tilt_db / 10.0) - 1.0)
    return math.exp(-2.0 * math.pi * cutoff_hz / rate_hz)


def _control(name: str, values: np.ndarray, dtype: type[np.floating], low: float, high: float, length: int | None = None) -> np.ndarray:
    values = np.array(values, np.dtype(dtype))  # a copy: contiguous and writeable, as the compiled loops want it
    if values.ndim != 1 or (length is not None and len(values) != length):
        raise ValueError(f"{name} has the shape {values.shape}; it must have one value a sample, as f0_hz has")
    if len(values) and not (values.min() >= low and values.max() <= high):
        raise ValueError(f"{name} runs from {values.min():g} to {values.max():g}; it must stay in {low:g}..{high:g}")
    return values


def _formants(name: str, values: np.ndarray, limit_hz: float) -> np.ndarray:
    values = np.array(values, np.float64, order="C")
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"{name} has the shape {values.shape}; it must be (n_controls, n_formants), none of them 0")
    if not (values.min() > 0.0 and values.max() < limit_hz):
        raise ValueError(f"{name} runs from {values.min():g} to {values.max():g} Hz; it must stay between 0 and {limit_hz:g}")
    return values


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} {value:g} must lie in {low:g}..{high:g}")
