"""Synthetic sounds whose f0 and notes are known to the sample, for the benchmarks of onsets and of notes.

Conventions
-----------
* Mono float32 at 16 kHz. Pitch in fractional MIDI note numbers, f0 in Hz, times in s from the first sample.
* A note begins at its first sample that is not silent; a note sung after a rest begins with its murmur (m, n),
  any other at its vowel. A note bound to the one before begins where the pitch changes: in the middle of the
  glide, if there is one. It ends where its voice ends.
* The voice is at VOICE_DB over the samples where it sounds; elsewhere there is digital silence. A ratio to an
  accompaniment in dB compares the voice where it sounds with the whole accompaniment.
* A seed determines everything, whatever else was drawn before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from rt_melody.kernels.phrase import CONSONANTS, LEGATO_GAP_S, Phrase, Singer, SungNote, render_phrase
from rt_melody.models.training.data import SAMPLE_RATE
from rt_melody.models.training.instruments import random_band
from rt_melody.realtime.types import hz_to_midi, midi_to_hz

VOICE_DB = -20.0  # dBFS RMS
MAX_PEAK = 0.98
LOWEST_HZ, HIGHEST_HZ = 80.0, 880.0
STEPS = (2, 5, 7, 12)  # semitones, up and down
LEAD_S, HELD_S, TAIL_S = 0.4, 0.5, 0.2  # before, each of two pitches, after
PHASE_S = 0.01  # onsets and steps fall anywhere within so much: no hop is favoured
TONE_ATTACK_S, TONE_RELEASE_S = 0.005, 0.02
SUNG_ATTACK_S = 0.015
TOP_HZ = 7500.0
VOWELS = ("a", "e", "i", "o", "u", "uh")
DETACHED = ("'", "t", "k", "s", "f", "h")  # onsets that part a note from the one before
MURMUR_TOP = 72.0  # no nasals above this pitch


@dataclass(frozen=True)
class TrueNote:
    on_s: float
    off_s: float
    pitch: float  # fractional MIDI note number
    bound: bool = False  # to the note before, without a pause


@dataclass(frozen=True)
class Sound:
    """``samples`` float32 and ``f0_hz`` [shape=(n,)], 0 where nothing sounds, and the notes in order."""

    name: str
    kind: str  # "tone" or "singing"
    samples: np.ndarray
    f0_hz: np.ndarray
    notes: tuple[TrueNote, ...]

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE


# ---------------------------------------------------------------------- mixtures


def over_band(sound: Sound, ratio_db: float, seed: int) -> Sound:
    """The same over a random band, the voice ``ratio_db`` above it."""
    band = random_band(np.random.default_rng(seed), len(sound.samples))
    voice = _rms(sound.samples[sound.f0_hz > 0])
    mixture = sound.samples + band * np.float32(voice / _rms(band) * 10.0 ** (-ratio_db / 20.0))
    return replace(sound, samples=_below_peak(mixture))


def _rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) + 1e-9


def _below_peak(samples: np.ndarray) -> np.ndarray:
    return (samples * min(1.0, MAX_PEAK / (float(np.abs(samples).max()) + 1e-9))).astype(np.float32)


# ---------------------------------------------------------------------- onsets and steps


def step_sounds(pitches: int, seed: int = 0) -> list[Sound]:
    """Tones and singing that start from silence and step once, by each of STEPS up and down.

    ``pitches`` first pitches for each step, spread evenly (in semitones) so that both lie within 80-880 Hz.
    """
    sounds = []
    for kind in ("tone", "singing"):
        for step in sorted((*STEPS, *(-s for s in STEPS))):
            low, high = hz_to_midi(LOWEST_HZ) + max(0, -step), hz_to_midi(HIGHEST_HZ) - max(0, step)
            for i in range(pitches):
                rng = np.random.default_rng((seed, kind == "singing", step + 12, i))
                pitch = low + (high - low) * (i + rng.random()) / pitches
                make = tone_step if kind == "tone" else sung_step
                sounds.append(make(rng, float(pitch), float(step)))
    return sounds


def _step_notes(rng: np.random.Generator, pitch: float, step: float) -> tuple[TrueNote, TrueNote]:
    """Times on whole samples, anywhere within a hop."""
    on, held = (round((s + PHASE_S * rng.random()) * SAMPLE_RATE) / SAMPLE_RATE for s in (LEAD_S, HELD_S))
    return TrueNote(on, on + held, pitch), TrueNote(on + held, on + held + HELD_S, pitch + step, bound=True)


def tone_step(rng: np.random.Generator, pitch: float, step: float) -> Sound:
    """Harmonics of amplitude 1/k whose f0 steps without a break in phase."""
    notes = _step_notes(rng, pitch, step)
    first, middle, last = (round(t * SAMPLE_RATE) for t in (notes[0].on_s, notes[1].on_s, notes[1].off_s))
    f0_hz = np.zeros(last + round(TAIL_S * SAMPLE_RATE))
    f0_hz[first:middle], f0_hz[middle:last] = midi_to_hz(pitch), midi_to_hz(pitch + step)
    phase = 2 * np.pi * np.cumsum(f0_hz) / SAMPLE_RATE
    highest = int(TOP_HZ / f0_hz.max())
    samples = _flanks(f0_hz > 0) * sum(np.sin(k * phase) / k for k in range(1, highest + 1))
    samples *= 10.0 ** (VOICE_DB / 20.0) / _rms(samples[first:last])
    return Sound(f"tone {pitch:.1f}{step:+g}", "tone", _below_peak(samples), f0_hz, notes)


def _flanks(sounds: np.ndarray) -> np.ndarray:
    """1 where ``sounds``, raised-cosine flanks at its ends, 0 elsewhere."""
    where = np.flatnonzero(sounds)
    ahead = np.arange(len(where)) + 0.5
    part = np.minimum(ahead / (TONE_ATTACK_S * SAMPLE_RATE), ahead[::-1] / (TONE_RELEASE_S * SAMPLE_RATE))
    gate = np.zeros(len(sounds))
    gate[where] = 0.5 - 0.5 * np.cos(np.pi * np.minimum(part, 1.0))
    return gate


def sung_step(rng: np.random.Generator, pitch: float, step: float) -> Sound:
    """One vowel on two pitches, without glide or scoop, so that the truth steps at once."""
    on, then = _step_notes(rng, pitch, step)
    vowel = VOWELS[rng.integers(len(VOWELS))]
    singer = replace(plain_singer(rng, max(pitch, pitch + step)), scoop_cents=0.0, portamento_s=0.0, attack_s=SUNG_ATTACK_S)
    notes = [SungNote(n.on_s, n.off_s - n.on_s, n.pitch, vowel) for n in (on, then)]
    phrase = render_phrase(notes, SAMPLE_RATE, int(rng.integers(2**31)), singer, then.off_s + TAIL_S)
    return _sound(f"singing {pitch:.1f}{step:+g}", phrase)


# ---------------------------------------------------------------------- melodies and exercises


def plain_singer(rng: np.random.Generator, pitch: float) -> Singer:
    """A voice whose size suits ``pitch``, with moderate mannerisms."""
    return Singer(
        formant_scale=float(np.clip(1.0 + 0.012 * (pitch - 50.0), 0.85, 1.45)),
        singers_formant=float(rng.uniform(0.0, 0.7)),
        open_quotient=float(rng.uniform(0.5, 0.7)),
        tilt_db=float(rng.uniform(2.0, 12.0)),
        breath_db=float(rng.uniform(-40.0, -25.0)),
        vibrato_hz=float(rng.uniform(4.5, 7.0)),
        vibrato_cents=float(rng.uniform(10.0, 50.0)),
        portamento_s=float(rng.uniform(0.04, 0.1)),
        scoop_cents=float(rng.uniform(0.0, 80.0)),
        attack_s=float(rng.uniform(0.015, 0.04)),
        level_db=VOICE_DB,
    )


def melody(seed: int, seconds: float = 15.0) -> Sound:
    """A sung melody with rests, consonants and ties; every repeated pitch is parted by a consonant.

    Notes of 0.15-1.2 s, 80-880 Hz, steps of up to an octave, notes up to 15 cents out of tune.
    """
    rng = np.random.default_rng((1, seed))
    low, high = hz_to_midi(LOWEST_HZ), hz_to_midi(HIGHEST_HZ)
    centre = low + 7.0 + (high - low - 14.0) * (seed * 0.618034 % 1.0)
    pace, pitch, at = rng.uniform(0.22, 0.5), round(centre), 0.3
    notes: list[SungNote] = []
    while True:
        duration = float(np.clip(pace * rng.lognormal(0.0, 0.4), 0.15, 1.2))
        if at + duration > seconds - 0.3:
            break
        onset = _onset(rng, pitch, repeats=bool(notes) and abs(notes[-1].pitch - pitch) < 0.5)
        at += CONSONANTS[onset].duration_s + (rng.uniform(0.15, 0.6) if rng.random() < 0.15 else 0.0)
        sung = pitch + float(rng.uniform(-0.15, 0.15))
        notes.append(SungNote(at, duration, sung, VOWELS[rng.integers(len(VOWELS))], onset, float(rng.normal(0.0, 2.0))))
        at += duration
        pitch = _next_pitch(rng, pitch, centre, low, high)
    phrase = render_phrase(notes, SAMPLE_RATE, int(rng.integers(2**31)), plain_singer(rng, centre), seconds)
    return _sound(f"melody {seed}", phrase)


def _onset(rng: np.random.Generator, pitch: float, repeats: bool) -> str:
    if repeats:
        return DETACHED[rng.integers(len(DETACHED))]
    choice = ("", "", *DETACHED, "m", "n")
    onset = choice[rng.integers(len(choice))]
    return "" if onset in ("m", "n") and pitch > MURMUR_TOP else onset


def _next_pitch(rng: np.random.Generator, pitch: int, centre: float, low: float, high: float) -> int:
    """A step of a melody that keeps near its centre."""
    step = int(rng.choice((0, 1, 2, 2, 3, 4, 5, 7, 12), p=(0.15, 0.1, 0.2, 0.2, 0.1, 0.1, 0.07, 0.05, 0.03)))
    up = pitch + rng.normal(0.0, 4.0) < centre
    moved = pitch + (step if up else -step)
    return moved if low + 1.0 <= moved <= high - 1.0 else pitch + (-step if up else step)


def held_vibrato(seed: int, cents: float = 70.0, seconds: float = 4.0) -> Sound:
    """One held note with vibrato of +-``cents`` at 4-8 Hz; its pitch lies anywhere between two semitones."""
    rng = np.random.default_rng((2, seed))
    low, high = hz_to_midi(LOWEST_HZ) + 1.0, hz_to_midi(HIGHEST_HZ) - 1.0
    pitch = low + (high - low) * (seed * 0.618034 % 1.0)
    singer = replace(plain_singer(rng, pitch), vibrato_cents=cents, vibrato_hz=4.0 + 4.0 * (seed * 0.754878 % 1.0))
    note = SungNote(0.3, seconds, pitch, VOWELS[rng.integers(len(VOWELS))])
    return _sound(f"vibrato {seed}", render_phrase([note], SAMPLE_RATE, int(rng.integers(2**31)), singer))


def repeated(seed: int, onset: str, gap_s: float, count: int = 8, step_s: float | None = None) -> Sound:
    """One pitch sung ``count`` times, parted by a gap or by the consonant ``onset``; from note to note ``step_s``, else as
    long as a vowel of 0.2 to 0.4 s takes with what parts it."""
    rng = np.random.default_rng((3, seed))
    pitch = 43.0 + (MURMUR_TOP - 43.0) * (seed * 0.618034 % 1.0)
    vowel, duration = VOWELS[rng.integers(len(VOWELS))], rng.uniform(0.2, 0.4)
    parted_s = gap_s + CONSONANTS[onset].duration_s
    if step_s is not None:
        duration = step_s - parted_s
    notes = [SungNote(0.4 + i * (duration + parted_s), duration, pitch, vowel, onset) for i in range(count)]
    return _sound(
        f"repeated {onset or 'gap'} {seed}", render_phrase(notes, SAMPLE_RATE, int(rng.integers(2**31)), plain_singer(rng, pitch))
    )


# ---------------------------------------------------------------------- truth of a phrase


def true_notes(phrase: Phrase) -> tuple[TrueNote, ...]:
    """Where the notes of a rendered phrase begin and end, by the conventions above."""
    found = []
    for i, note in enumerate(phrase.notes):
        consonant = CONSONANTS[note.onset]
        follower = phrase.notes[i + 1] if i + 1 < len(phrase.notes) else None
        before = phrase.notes[i - 1].end_s if i else -1.0
        bound = consonant.duration_s == 0.0 and note.start_s - before <= LEGATO_GAP_S
        on_s = note.start_s if bound else max(0.0, note.start_s - consonant.murmur_s)
        off_s = min(note.end_s, follower.start_s - CONSONANTS[follower.onset].duration_s) if follower else note.end_s
        found.append(TrueNote(on_s, off_s, note.pitch, bound))
    return tuple(found)


def _sound(name: str, phrase: Phrase) -> Sound:
    """The phrase with its notes; f0 also in the first and last milliseconds of a note, where it is soft."""
    notes = true_notes(phrase)
    voiced = np.flatnonzero(phrase.voiced)
    f0_hz = np.interp(np.arange(len(phrase.f0_hz)), voiced, phrase.f0_hz[voiced])
    sounding = phrase.voiced.copy()
    for note in notes:
        sounding[round(note.on_s * SAMPLE_RATE) : round(note.off_s * SAMPLE_RATE)] = True
    return Sound(name, "singing", phrase.samples, np.where(sounding, f0_hz, 0.0), notes)
