"""A sung phrase from a list of notes: pitch, loudness and vowels over time, then the voice.

Conventions
-----------
* Times in seconds from the first sample; pitch in fractional MIDI note numbers (69 = A4 = 440 Hz), small
  deviations in cents; levels in dB, 0 dBFS being the RMS of a full-scale square wave.
* A note's ``start_s`` is where its vowel begins; the consonant before it takes its time from the gap or
  the note before. ``start_s`` of a note bound to the one before (legato) is the middle of the glide.
* ``f0_hz`` is what the voice was made from, sample by sample, vibrato and drift included; jitter, the
  irregularity from one period to the next, is on top of it and has mean 0. It is 0 where unvoiced: where
  the voice is below ``VOICED_FLOOR`` of the note's amplitude.
* The seed determines everything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rt_melody.kernels.voice import MAX_F0_HZ, MIN_F0_HZ, synthesise_voice

VOICED_FLOOR = 0.05  # -26 dB
CONTROL_S = 0.005  # one row of formants
VOWEL_GLIDE_S = 0.06  # from one vowel to the next
LEVEL_GLIDE_S = 0.03
SCOOP_TIME_S = 0.04  # time constant of a note approached from below
VIBRATO_RISE_S = 0.25
LEGATO_GAP_S = 0.02  # notes closer than this are bound
INHALE_S = 0.25
MAX_PEAK = 0.98  # of full scale

# The first three formants in Hz, means of men: G. Peterson and H. Barney, JASA 24 (1952), table II. "m" and
# "n" stand for the murmur of a closed mouth.
VOWEL_FORMANTS_HZ = {
    "i": (270, 2290, 3010),
    "I": (390, 1990, 2550),
    "e": (530, 1840, 2480),
    "ae": (660, 1720, 2410),
    "a": (730, 1090, 2440),
    "o": (570, 840, 2410),
    "U": (440, 1020, 2240),
    "u": (300, 870, 2240),
    "uh": (640, 1190, 2390),
    "er": (490, 1350, 1690),
    "m": (250, 1100, 2200),
    "n": (250, 1400, 2300),
}
# Above them, up to half the sample rate, the resonances of a uniform tube of 17.5 cm closed at one end: odd
# multiples of this. None may be missing, for each lifts what lies below it.
TUBE_HZ = 500
HIGHEST_FORMANT = 0.48  # of the sample rate
OPEN_GLOTTIS_HZ = 25.0  # what the losses at the glottis add to a bandwidth
MAX_BANDWIDTH_HZ = 500.0
# Where F3 to F5 gather in a trained male voice (J. Sundberg, JASA 55, 1974).
SINGERS_CLUSTER_HZ = (2600, 2900, 3300)
MURMUR_DB = -8.0  # "m" and "n" against a vowel


@dataclass(frozen=True, slots=True)
class Consonant:
    """What comes before a vowel: silence, then noise; or a voiced murmur, which binds the notes."""

    gap_s: float = 0.0
    noise_s: float = 0.0
    hiss_db: float = -math.inf  # noise past the vocal tract, against the voice
    breath_db: float = -math.inf  # noise through it
    murmur_s: float = 0.0

    @property
    def duration_s(self) -> float:
        return self.gap_s + self.noise_s


CONSONANTS = {
    "": Consonant(),  # bound to the note before where there is no gap
    "'": Consonant(gap_s=0.03),  # the glottis closes for a moment
    "t": Consonant(gap_s=0.05, noise_s=0.015, hiss_db=-10.0, breath_db=-20.0),
    "k": Consonant(gap_s=0.05, noise_s=0.025, breath_db=-12.0),
    "s": Consonant(noise_s=0.10, hiss_db=-11.0),
    "f": Consonant(noise_s=0.08, hiss_db=-28.0, breath_db=-24.0),
    "h": Consonant(noise_s=0.06, breath_db=-14.0),
    "m": Consonant(murmur_s=0.07),
    "n": Consonant(murmur_s=0.06),
}


@dataclass(frozen=True, slots=True)
class SungNote:
    """One note as it is to be sung."""

    start_s: float
    duration_s: float
    pitch: float  # fractional MIDI note number
    vowel: str = "a"  # a key of VOWEL_FORMANTS_HZ
    onset: str = ""  # a key of CONSONANTS
    level_db: float = 0.0  # against the other notes

    @property
    def end_s(self) -> float:
        return self.start_s + self.duration_s


@dataclass(frozen=True, slots=True)
class Singer:
    """How a voice sounds and moves. The defaults are a baritone without mannerisms."""

    formant_scale: float = 1.0  # 1.17 about a woman, 1.35 about a child
    singers_formant: float = 0.0  # 0..1, how far F3 to F5 gather near 2.9 kHz
    open_quotient: float = 0.6  # 0.4 pressed .. 0.8 soft
    tilt_db: float = 6.0  # attenuation of the source at 3 kHz: 0 bright .. 25 dull
    breath_db: float = -35.0  # noise of the breath against the voice
    inhale_db: float = -math.inf  # breath taken in rests, against the voice
    jitter: float = 0.004  # relative standard deviation of the period
    shimmer: float = 0.03  # and of the strength of a pulse
    vibrato_hz: float = 5.5
    vibrato_cents: float = 30.0  # amplitude, half of peak to peak
    vibrato_delay_s: float = 0.25  # after the start of a note
    drift_cents: float = 5.0  # standard deviation of the slow wandering of the pitch
    portamento_s: float = 0.08  # the glide between bound notes
    scoop_cents: float = 30.0  # how far below its pitch a free note begins
    attack_s: float = 0.03
    release_s: float = 0.05
    level_db: float = -20.0  # dBFS RMS over the voiced samples


@dataclass(frozen=True, slots=True)
class Phrase:
    """``samples`` float32 and ``f0_hz`` float64 [shape=(n,)] at ``sample_rate``; 0 Hz where unvoiced."""

    samples: np.ndarray
    f0_hz: np.ndarray
    notes: tuple[SungNote, ...]
    sample_rate: int

    @property
    def voiced(self) -> np.ndarray:
        return self.f0_hz > 0.0


@dataclass
class _Score:
    """The notes in samples, and when the voice sounds for each: what all the curves are drawn from."""

    notes: tuple[SungNote, ...]
    rate: int
    n: int
    starts: list[int] = field(default_factory=list[int])  # of the vowel
    voice_starts: list[int] = field(default_factory=list[int])  # of the murmur before it, or the vowel
    voice_ends: list[int] = field(default_factory=list[int])
    bound: list[bool] = field(default_factory=list[bool])  # to the note before

    def __post_init__(self) -> None:
        for i, note in enumerate(self.notes):
            consonant = CONSONANTS[note.onset]
            self.starts.append(self.at(note.start_s))
            gap_s = note.start_s - (self.notes[i - 1].end_s if i else -math.inf)
            self.bound.append(gap_s <= LEGATO_GAP_S and consonant.duration_s == 0.0)
            self.voice_starts.append(self.at(max(0.0, note.start_s - consonant.murmur_s)))
            self.voice_ends.append(self.at(self._voice_end_s(i)))

    def _voice_end_s(self, i: int) -> float:
        """The end of the note, or earlier where the next one's consonant needs the time."""
        note = self.notes[i]
        if i + 1 == len(self.notes):
            return note.end_s
        following = self.notes[i + 1]
        return max(note.start_s, min(note.end_s, following.start_s - CONSONANTS[following.onset].duration_s))

    def at(self, time_s: float) -> int:
        return min(max(round(time_s * self.rate), 0), self.n)

    def runs(self) -> list[tuple[int, int]]:
        """First sample and end of each stretch of unbroken voice."""
        runs: list[tuple[int, int]] = []
        for i in range(len(self.notes)):
            if runs and self.bound[i]:
                runs[-1] = (runs[-1][0], self.voice_ends[i])
            else:
                runs.append((self.voice_starts[i], self.voice_ends[i]))
        return runs


def render_phrase(
    notes: Sequence[SungNote],
    sample_rate: int = 48_000,
    seed: int = 0,
    singer: Singer = Singer(),
    duration_s: float | None = None,
) -> Phrase:
    """Sing ``notes``, which follow each other without overlap, into ``duration_s`` (None: 0.3 s past the end).

    Raises ValueError for notes that overlap or start before 0, an unknown vowel or consonant, or a pitch
    whose f0 leaves 20..4000 Hz. The result never clips: where the level would let it, the gain is lowered.
    """
    notes = tuple(notes)
    _check_notes(notes)
    if duration_s is None:
        duration_s = (notes[-1].end_s if notes else 0.0) + 0.3
    n = round(duration_s * sample_rate)
    if not notes:
        return Phrase(np.zeros(n, np.float32), np.zeros(n), notes, sample_rate)
    score = _Score(notes, sample_rate, n)
    rng = np.random.default_rng(seed)
    f0_hz = _f0(score, singer, rng)
    gate = _gate(score, singer)
    voice = gate * _levels(score)
    breath, hiss = _noises(score, singer, voice)
    formants_hz = _formants(score, singer, f0_hz)
    samples = synthesise_voice(
        f0_hz,
        voice,
        breath,
        hiss,
        formants_hz,
        bandwidths(formants_hz),
        _control_samples(sample_rate),
        sample_rate,
        int(rng.integers(2**32)),
        open_quotient=singer.open_quotient,
        tilt_db=singer.tilt_db,
        jitter=singer.jitter,
        shimmer=singer.shimmer,
    )
    voiced = gate > VOICED_FLOOR
    return Phrase(_scaled(samples, voiced, singer.level_db), np.where(voiced, f0_hz, 0.0), notes, sample_rate)


def _check_notes(notes: tuple[SungNote, ...]) -> None:
    end_s = 0.0
    for i, note in enumerate(notes):
        if note.vowel not in VOWEL_FORMANTS_HZ or note.onset not in CONSONANTS:
            raise ValueError(
                f"note {i} has the vowel {note.vowel!r} and the onset {note.onset!r}; "
                f"vowels are {', '.join(VOWEL_FORMANTS_HZ)}, onsets {', '.join(map(repr, CONSONANTS))}"
            )
        if note.start_s < end_s - 1e-9 or note.duration_s <= 0.0:
            raise ValueError(
                f"note {i} starts at {note.start_s:g} s and lasts {note.duration_s:g} s; "
                f"it must start at {end_s:g} s at the earliest and last longer than 0"
            )
        end_s = note.end_s


# ---------------------------------------------------------------------- pitch


def _f0(score: _Score, singer: Singer, rng: np.random.Generator) -> np.ndarray:
    """f0 in Hz of every sample, also between the notes."""
    cents = _melody(score, singer)
    cents += singer.drift_cents * _wander(score, rng, points_per_s=6.0)
    cents += singer.vibrato_cents * _vibrato(score, singer, rng)
    f0_hz = 440.0 * np.exp2((cents - 6900.0) / 1200.0)
    if not (f0_hz.min() >= MIN_F0_HZ and f0_hz.max() <= MAX_F0_HZ):
        raise ValueError(
            f"the f0 runs from {f0_hz.min():.0f} to {f0_hz.max():.0f} Hz; it must stay in {MIN_F0_HZ:g}..{MAX_F0_HZ:g}"
        )
    return f0_hz


def _melody(score: _Score, singer: Singer) -> np.ndarray:
    """Cents above MIDI note 0: a step a note, glides where notes are bound, scoops where they are not."""
    cents = np.empty(score.n)
    first = 0
    for i, note in enumerate(score.notes):
        last_of_all = i + 1 == len(score.notes)
        end = score.n if last_of_all else max(first, _pitch_change(score, i + 1))
        cents[first:end] = 100.0 * note.pitch
        if not score.bound[i]:
            _scoop(cents, score.voice_starts[i], end, singer.scoop_cents, score.rate)
        first = end
    for i in range(1, len(score.notes)):
        if score.bound[i]:
            _glide(cents, score, i, singer.portamento_s)
    return cents


def _pitch_change(score: _Score, i: int) -> int:
    """The sample at which the pitch becomes that of note i."""
    if score.bound[i]:
        return score.starts[i]
    return (score.voice_ends[i - 1] + score.voice_starts[i] + 1) // 2


def _scoop(cents: np.ndarray, start: int, end: int, depth_cents: float, rate: int) -> None:
    length = min(end - start, int(6 * SCOOP_TIME_S * rate))
    if length > 0:
        cents[start : start + length] -= depth_cents * np.exp(-np.arange(length) / (SCOOP_TIME_S * rate))


def _glide(cents: np.ndarray, score: _Score, i: int, portamento_s: float) -> None:
    """A half cosine from note i-1 to note i, its middle at the start of note i."""
    half_s = 0.5 * min(portamento_s, score.notes[i - 1].duration_s, score.notes[i].duration_s)
    middle, half = score.starts[i], int(half_s * score.rate)
    if half < 1 or middle - half < 0:
        return
    part = (np.arange(min(2 * half, score.n - middle + half)) + 0.5) / (2 * half)
    low, high = 100.0 * score.notes[i - 1].pitch, 100.0 * score.notes[i].pitch
    glide = low + (high - low) * (0.5 - 0.5 * np.cos(np.pi * part))
    before = min(half, len(glide))
    cents[middle - half : middle] += glide[:before] - low  # on top of what is left of a scoop
    cents[middle : middle - half + len(glide)] += glide[before:] - high


def _vibrato(score: _Score, singer: Singer, rng: np.random.Generator) -> np.ndarray:
    """A sine of amplitude 1 whose rate wanders by a few percent; it grows in each note after its delay."""
    rate_hz = singer.vibrato_hz * (1.0 + 0.04 * _wander(score, rng, points_per_s=2.0))
    phase = np.cumsum(rate_hz) * (2.0 * np.pi / score.rate) + rng.uniform(0.0, 2.0 * np.pi)
    depth = np.zeros(score.n)
    for i, note in enumerate(score.notes):
        first, end = score.starts[i], score.at(note.end_s)
        seconds = np.arange(end - first) / score.rate
        rise = ((seconds - singer.vibrato_delay_s) / VIBRATO_RISE_S).clip(0.0, 1.0)
        fall = ((note.duration_s - seconds) / 0.08).clip(0.0, 1.0)
        depth[first:end] = rise * fall
    return depth * np.sin(phase)


def _wander(score: _Score, rng: np.random.Generator, points_per_s: float) -> np.ndarray:
    """Slow noise of standard deviation about 1: random points, straight lines between."""
    n_points = int(score.n / score.rate * points_per_s) + 2
    where = np.arange(score.n) * (points_per_s / score.rate)
    return np.interp(where, np.arange(n_points), 1.2 * rng.standard_normal(n_points))


# ---------------------------------------------------------------------- loudness and noise


def _gate(score: _Score, singer: Singer) -> np.ndarray:
    """0 outside the voice, 1 inside, with raised-cosine flanks within each unbroken stretch."""
    gate = np.zeros(score.n)
    for first, end in score.runs():
        ahead = np.arange(end - first) + 0.5
        flank = np.minimum(ahead / (singer.attack_s * score.rate + 1.0), ahead[::-1] / (singer.release_s * score.rate + 1.0))
        gate[first:end] = 0.5 - 0.5 * np.cos(np.pi * np.minimum(flank, 1.0))
    return gate


def _levels(score: _Score) -> np.ndarray:
    """Linear gain of each note and murmur, smoothed over the steps."""
    gain = np.empty(score.n)
    first = 0
    for i, note in enumerate(score.notes):
        end = score.n if i + 1 == len(score.notes) else max(first, score.voice_starts[i + 1])
        gain[first:end] = _linear(note.level_db)
        if CONSONANTS[note.onset].murmur_s:
            gain[score.voice_starts[i] : score.starts[i]] *= _linear(MURMUR_DB)
        first = end
    return _smoothed(gain, int(LEVEL_GLIDE_S * score.rate))


def _noises(score: _Score, singer: Singer, voice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude of the noise through the vocal tract and of that past it."""
    breath = _linear(singer.breath_db) * voice
    hiss = np.zeros(score.n)
    for i, note in enumerate(score.notes):
        consonant = CONSONANTS[note.onset]
        first = max(score.at(note.start_s - consonant.noise_s), score.voice_ends[i - 1] if i else 0)
        _add_burst(breath, first, score.starts[i], _linear(consonant.breath_db))
        _add_burst(hiss, first, score.starts[i], _linear(consonant.hiss_db))
        rest_s = note.start_s - consonant.duration_s - (score.notes[i - 1].end_s if i else 0.0)
        if rest_s > INHALE_S + 0.1:
            end_s = note.start_s - consonant.duration_s - 0.05
            _add_burst(breath, score.at(end_s - INHALE_S), score.at(end_s), _linear(singer.inhale_db))
    return breath, hiss


def _add_burst(amplitude: np.ndarray, first: int, end: int, height: float) -> None:
    if height > 0.0 and end > first:
        amplitude[first:end] += height * np.sqrt(np.hanning(end - first + 2)[1:-1])


# ---------------------------------------------------------------------- vowels


def _control_samples(rate: int) -> int:
    return max(1, round(CONTROL_S * rate))


def vowel_formants(vowel: str, singer: Singer, sample_rate: int) -> np.ndarray:
    """The resonances in Hz of ``vowel`` in the singer's throat, as many as ``sample_rate`` has room for."""
    n_formants = max(3, int(0.5 * sample_rate / (2 * TUBE_HZ * singer.formant_scale) + 0.5))
    tube = [TUBE_HZ * (2 * k - 1) for k in range(4, n_formants + 1)]
    formants = np.array([*VOWEL_FORMANTS_HZ[vowel], *tube], float)
    cluster = np.array(SINGERS_CLUSTER_HZ[: n_formants - 2])
    formants[2:5] += singer.singers_formant * (cluster - formants[2:5])
    return np.minimum(formants * singer.formant_scale, HIGHEST_FORMANT * sample_rate)


def bandwidths(formants_hz: np.ndarray) -> np.ndarray:
    """Bandwidths in Hz by G. Fant's formula, widened by the open glottis and limited at high frequencies.

    The formula is from "The vocal tract in your pocket calculator", STL-QPSR, 1985.
    """
    relative = formants_hz / 500.0
    closed = 15.0 / relative**2 + 20.0 * np.sqrt(relative) + 5.0 * relative**2
    return np.minimum(closed + OPEN_GLOTTIS_HZ, MAX_BANDWIDTH_HZ)


def _formants(score: _Score, singer: Singer, f0_hz: np.ndarray) -> np.ndarray:
    """Formants in Hz over time [shape=(n_controls, n_formants)], the vowels softly joined.

    F1 is raised to f0 where it lies below, as singers do on high notes (J. Sundberg, "Formant technique in a
    professional female singer", Acustica 32, 1975), and F2 is kept above it.
    """
    hop = _control_samples(score.rate)
    vowels = [vowel_formants(note.vowel, singer, score.rate) for note in score.notes]
    rows = np.empty((score.n // hop + 2, len(vowels[0])))
    first = 0
    for i, note in enumerate(score.notes):
        end = len(rows) if i + 1 == len(score.notes) else max(first, _pitch_change(score, i + 1) // hop)
        rows[first:end] = vowels[i]
        if CONSONANTS[note.onset].murmur_s:
            rows[score.voice_starts[i] // hop : score.starts[i] // hop] = vowel_formants(note.onset, singer, score.rate)
        first = end
    for column in range(rows.shape[1]):
        rows[:, column] = _smoothed(rows[:, column], round(VOWEL_GLIDE_S / CONTROL_S))
    f0_rows = f0_hz[np.minimum(np.arange(len(rows)) * hop, score.n - 1)]
    rows[:, 0] = np.maximum(rows[:, 0], f0_rows)
    rows[:, 1] = np.maximum(rows[:, 1], rows[:, 0] + 200.0)
    return np.minimum(rows, HIGHEST_FORMANT * score.rate)


# ---------------------------------------------------------------------- small tools


def _linear(db: float) -> float:
    return 10.0 ** (db / 20.0)


def _smoothed(values: np.ndarray, width: int) -> np.ndarray:
    """A running mean over ``width`` values, centred; the ends held."""
    if width < 2:
        return values
    before = width // 2
    padded = np.concatenate([np.full(before + 1, values[0]), values, np.full(width - before - 1, values[-1])])
    sums = np.cumsum(padded)
    return (sums[width:] - sums[:-width]) / width


def _scaled(samples: np.ndarray, voiced: np.ndarray, level_db: float) -> np.ndarray:
    """``samples`` with an RMS of ``level_db`` over the voiced ones, or less where that would clip."""
    if not voiced.any():
        return samples
    rms = math.sqrt(float(np.mean(np.square(samples[voiced], dtype=np.float64))))
    peak = float(np.abs(samples).max())
    if peak == 0.0:
        return samples
    return samples * np.float32(min(_linear(level_db) / max(rms, 1e-12), MAX_PEAK / peak))
