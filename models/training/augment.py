"""Training examples made on the fly: remixed, shifted, coloured, in rooms, in noise, at any level.

Deterministic: an example is a function of (seed, step, index). Every change that moves pitch or time moves
the labels with it; what is UNKNOWN stays so. All ratios are of RMS, the voice's taken where it is voiced. A clip
shorter than an example sounds once, somewhere in it, amid silence; another song's accompaniment goes round.

Singers, not clips, are drawn: one who is recorded four times as long is heard twice as often, so that few who sang
for hours do not drown many who sang for a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import soxr
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from rt_melody.models.training.data import LABEL_STEP_MS, SAMPLE_RATE, UNKNOWN, Clip
from rt_melody.models.training.instruments import lead, lone_melody, random_band
from rt_melody.models.training.singing import random_singing

LABEL_RATE = 1000 // LABEL_STEP_MS
DOUBLE_CENTS = 15.0  # a backing voice on the lead's own line is at most so far off ...
DOUBLE_MS = 40.0  # ... and so late
TONAL_LAGS = (SAMPLE_RATE // 1000, SAMPLE_RATE // 60)  # periods of 1 ms to 17 ms
TONAL_CORRELATION = 0.6


@dataclass(frozen=True)
class AugmentConfig:
    """Probabilities (0..1) and ranges. Flat, so that it reads as a list."""

    shift: float = 0.6  # of a pitch shift by resampling ...
    shift_semitones: tuple[float, float] = (-7.0, 5.0)  # ... by so much
    low_shift_semitones: tuple[float, float] = (-9.0, 2.0)  # ... of a low clip, towards the rarest voices
    formants: float = 0.3  # of a shift of the formants alone, and of ...
    formants_scale: tuple[float, float] = (0.8, 1.3)  # ... their factor, after that of the pitch shift is undone
    low: float = 4.0  # how much likelier a low clip is drawn: low voices are rare, and hard under a bass
    own_band: float = 0.45  # of the clip's own accompaniment, in time with it
    no_band: float = 0.26  # of none; else another song's
    band_db: tuple[float, float] = (-5.0, 12.0)  # voice over accompaniment
    no_voice: float = 0.2  # of a band without its singer ...
    noise_alone: float = 0.35  # ... and, of these, of noise without a band
    tonal: float = 4.0  # how much likelier a noise that has a pitch is drawn: alarms, animals, bells
    noise_speed: tuple[float, float] = (0.7, 1.4)  # at which a recorded noise is played
    hum: float = 0.06  # of a noise: that of the mains
    splice: float = 0.25  # of a voice cut into pieces of other pitches, so that f0 steps within splice_ms ...
    splice_semitones: tuple[float, float] = (-5.0, 5.0)  # ... on top of the example's own shift
    splice_ms: float = 3.0
    synthetic_voice: float = 0.2  # of synthetic singing in place of a recorded voice
    lone: float = 0.05  # of a steady instrument alone, as the melody
    synthetic_band: float = 0.12  # of a synthetic band in place of a recorded one ...
    among_synthetic: float = 0.5  # ... where the voice is synthetic, too, or nobody sings
    rendered_band: float = 0.15  # ... and of a rendered one, where there are some
    music_band: float = 0.2  # ... and of recorded instrumental music, where there is some ...
    music_unsung: float = 0.4  # ... where nobody sings
    backing: float = 0.12  # of a second voice ...
    backing_db: tuple[float, float] = (6.0, 15.0)  # ... so far under the first ...
    backing_steps: tuple[float, ...] = (-12, -7, -5, -4, -3, 0, 0, 3, 4, 5, 7)  # ... and so many semitones above it
    lead: float = 0.2  # of an instrument that plays a second melody ...
    lead_db: tuple[float, float] = (-3.0, 15.0)  # ... so far under the voice
    noise: float = 0.35
    noise_db: tuple[float, float] = (0.0, 40.0)  # voice over noise
    room: float = 0.25  # of a room around the voice; else ...
    whole_room: float = 0.2  # ... of one around all that sounds, as from afar
    made_room: float = 0.6  # of rooms that are made, so that those few that were recorded are not learned ...
    made_room_s: tuple[float, float] = (0.12, 1.8)  # ... to fall by 60 dB within such a time ...
    made_direct_db: tuple[float, float] = (-14.0, 12.0)  # ... what comes straight so far over all that comes later
    tilt: float = 0.5  # of a random spectral tilt of the voice, and again of the whole
    narrow: float = 0.06  # of a telephone's or a small microphone's band
    swell: float = 0.2  # of sudden changes of level within the example ...
    swell_db: tuple[float, float] = (-30.0, 0.0)  # ... to levels so far under its loudest
    bump: float = 0.05  # of a knock on the microphone, louder than all else
    level_db: tuple[float, float] = (-50.0, 0.0)  # of the peak
    clip: float = 0.05
    codec: float = 0.08  # of a steep upper limit, with or without 8-bit steps
    codec_hz: tuple[float, float] = (3400.0, 7500.0)
    dropout: float = 0.04  # of one to three gaps ...
    dropout_ms: tuple[float, float] = (2.0, 40.0)  # ... of this length, through which a note is held


@dataclass(frozen=True)
class Example:
    """A waveform of 16 kHz and its labels."""

    waveform: np.ndarray  # [shape=(n_samples,)]
    pitch: np.ndarray  # [shape=(n_labels,)] 5 ms grid, 0 = unvoiced


class ExampleMaker:
    """Draws examples of ``samples`` samples from labelled clips, noises and rooms."""

    def __init__(self, clips: list[Clip], noises: list[np.ndarray], rooms: list[np.ndarray], samples: int,
                 config: AugmentConfig, seed: int, rendered: Sequence[np.ndarray] = (), music: Sequence[np.ndarray] = ()):
        """``music``: int16 or float32, of any length; files mapped into memory do."""
        self.clips, self.noises, self.rooms, self.rendered, self.music = clips, noises, rooms, list(rendered), list(music)
        self.samples, self.config, self.seed = samples, config, seed
        self.odds = clip_odds(clips, config.low)
        self.noise_odds = _shares(np.array([1.0 + (config.tonal - 1.0) * tonality(n) for n in noises]))
        self.music_odds = _shares(np.array([float(len(m)) for m in self.music]))
        self.bands = [c.accompaniment for c in clips if c.accompaniment is not None]

    def make(self, step: int, index: int) -> Example:
        """The example of this place in the training, always the same."""
        rng = np.random.default_rng([self.seed, step, index])
        c = self.config
        if rng.random() < c.lone:
            return self._lone(rng)
        clip = self.clips[rng.choice(len(self.clips), p=self.odds)]
        shifts = c.low_shift_semitones if is_low(clip) else c.shift_semitones
        speed = 2.0 ** (rng.uniform(*shifts) / 12.0) if rng.random() < c.shift else 1.0
        start = self._start(rng, len(clip.voice), speed)
        synthetic = rng.random() < c.synthetic_voice
        if synthetic:
            voice, pitch = random_singing(rng, self.samples)
        else:
            voice, pitch = self._voice(rng, clip, start, speed)
            if rng.random() < c.formants:
                voice = shift_formants(voice, rng.uniform(*c.formants_scale) / speed)
        silent = rng.random() < c.no_voice
        noise_alone = silent and rng.random() < c.noise_alone
        synthetic_band = c.among_synthetic if synthetic or silent else c.synthetic_band
        music = c.music_unsung if silent else c.music_band
        band, share = (None, 1.0) if noise_alone else self._band(rng, clip, start, speed, synthetic_band, music)
        if silent:
            pitch = np.zeros_like(pitch)
        elif not synthetic and rng.random() < c.backing:
            voice, pitch = self._backed(rng, clip, start, speed, voice, pitch)
        if rng.random() < c.tilt:
            voice = tilt(rng, voice)
        loudness = voiced_rms(voice, pitch) if not silent else rms(voice)
        place = rng.random()
        mix = np.zeros_like(voice) if silent else self._in_room(rng, voice) if place < c.room else voice
        if band is not None:
            mix = mix + scaled(band, loudness * np.sqrt(share), rng.uniform(*c.band_db))
        if not noise_alone and rng.random() < c.lead:
            mix = mix + scaled(lead(rng, self.samples), loudness, rng.uniform(*c.lead_db))
        if noise_alone or rng.random() < c.noise:
            mix = mix + scaled(self._noise(rng), loudness, rng.uniform(*c.noise_db))
        if c.room <= place < c.room + c.whole_room:
            mix = self._in_room(rng, mix)
        return Example(self._finish(rng, mix), pitch)

    def _lone(self, rng: np.random.Generator) -> Example:
        melody, pitch = lone_melody(rng, self.samples)
        if rng.random() < self.config.noise:
            melody = melody + scaled(self._noise(rng), voiced_rms(melody, pitch), rng.uniform(*self.config.noise_db))
        return Example(self._finish(rng, melody), pitch)

    def _voice(self, rng: np.random.Generator, clip: Clip, start: int, speed: float) -> tuple[np.ndarray, np.ndarray]:
        """The clip's voice from ``start`` and its labels, some of them spliced from other places and pitches."""
        voice, pitch = self._stretch(clip.voice, start, speed), self._labels(clip.pitch, start, speed)
        if rng.random() >= self.config.splice:
            return voice, pitch
        step = SAMPLE_RATE // LABEL_RATE
        fade_samples = self.config.splice_ms * SAMPLE_RATE / 1000.0
        for at in np.sort(rng.integers(1, len(pitch), rng.integers(1, 7))):
            other_speed = speed * 2.0 ** (rng.uniform(*self.config.splice_semitones) / 12.0)
            other_start = self._start(rng, len(clip.voice), other_speed)
            pitch[at:] = self._labels(clip.pitch, other_start, other_speed)[at:]
            part = np.clip((np.arange(len(voice)) - at * step) / fade_samples + 0.5, 0.0, 1.0).astype(np.float32)
            voice = (1.0 - part) * voice + part * self._stretch(clip.voice, other_start, other_speed)
        return voice, pitch

    def _backed(
        self, rng: np.random.Generator, clip: Clip, start: int, speed: float, voice: np.ndarray, pitch: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The voice with a quieter one of the same singer beside it, an interval away or on the same line. Where only
        that one sings, nobody can say whether it is the melody: UNKNOWN."""
        c = self.config
        steps = c.backing_steps[rng.integers(len(c.backing_steps))]
        away = steps + rng.uniform(-1.0, 1.0) * DOUBLE_CENTS / 100.0
        other_speed = speed * 2.0 ** (away / 12.0)
        other_start = start - int(rng.uniform(0.0, DOUBLE_MS) * SAMPLE_RATE / 1000.0) if steps == 0 and start > 0 else start
        other = self._stretch(clip.voice, other_start, other_speed)
        sung = self._labels(clip.pitch, other_start, other_speed)
        level = voiced_rms(other, sung)
        if level < 1e-5:
            return voice, pitch
        gain = np.float32(voiced_rms(voice, pitch) / level * 10.0 ** (-rng.uniform(*c.backing_db) / 20.0))
        return voice + gain * other, np.where((pitch == 0) & (sung != 0), np.float32(UNKNOWN), pitch)

    def _start(self, rng: np.random.Generator, length: int, speed: float) -> int:
        """Where in a track of ``length`` samples an example begins; negative: how long before a short one."""
        room = length - int(self.samples * speed)
        return int(rng.integers(0, max(1, room))) if room >= 0 else -int(rng.integers(0, 1 - room))

    def _stretch(self, track: np.ndarray, start: int, speed: float) -> np.ndarray:
        """``samples`` samples from ``start``, played ``speed`` times as fast (and as high)."""
        piece = as_float(track[max(0, start) : max(0, start) + int(np.ceil(self.samples * speed)) + 64])
        if speed != 1.0:
            piece = soxr.resample(piece, SAMPLE_RATE * speed, SAMPLE_RATE, quality="MQ")
        return fit(piece, self.samples, round(max(0, -start) / speed))

    def _labels(self, pitch: np.ndarray, start: int, speed: float) -> np.ndarray:
        count = self.samples * LABEL_RATE // SAMPLE_RATE + 1
        at = start * LABEL_RATE / SAMPLE_RATE + np.arange(count) * speed
        low = np.floor(at).astype(int)
        part = (at - low).astype(np.float32)
        a, b = (np.where((i >= 0) & (i < len(pitch)), pitch[i.clip(0, len(pitch) - 1)], 0.0) for i in (low, low + 1))
        nearest = np.where(part < 0.5, a, b)
        values = np.where((a > 0) & (b > 0), (1 - part) * a + part * b, nearest)
        return np.where(values > 0, values + np.float32(12.0 * np.log2(speed)), values).astype(np.float32)

    def _band(
        self, rng: np.random.Generator, clip: Clip, start: int, speed: float, synthetic: float, music: float
    ) -> tuple[np.ndarray | None, float]:
        """An accompaniment, with the probability ``synthetic`` a synthetic one, else with that of ``music`` recorded
        music, and the share of the example in which it sounds."""
        draw = rng.random()
        if draw < self.config.no_band:
            return None, 1.0
        if rng.random() < synthetic:
            return random_band(rng, self.samples), 1.0
        if self.music and rng.random() < music:
            piece = self.music[rng.choice(len(self.music), p=self.music_odds)]
            return self._stretch(piece, self._start(rng, len(piece), speed), speed), 1.0
        if self.rendered and rng.random() < self.config.rendered_band:
            piece = self.rendered[rng.integers(len(self.rendered))]
            return self._stretch(piece, self._start(rng, len(piece), speed), speed), 1.0
        if draw < self.config.no_band + self.config.own_band and clip.accompaniment is not None:
            share = min(1.0, len(clip.accompaniment) / (self.samples * speed))
            return self._stretch(clip.accompaniment, start, speed), share
        if not self.bands:
            return None, 1.0
        other = self.bands[rng.integers(len(self.bands))]
        needed = int(self.samples * speed)
        if len(other) < needed:
            other = np.resize(other, needed + 64)
        return self._stretch(other, self._start(rng, len(other), speed), speed), 1.0

    def _noise(self, rng: np.random.Generator) -> np.ndarray:
        if rng.random() < self.config.hum:
            return mains_hum(rng, self.samples)
        draw = rng.random()
        if draw < 0.35 or not self.noises:
            white = rng.standard_normal(self.samples).astype(np.float32)
            return white if draw < 0.2 else np.asarray(lfilter([0.05], [1, -0.95], white), np.float32)
        noise = self.noises[rng.choice(len(self.noises), p=self.noise_odds)]
        noise = soxr.resample(noise, SAMPLE_RATE * rng.uniform(*self.config.noise_speed), SAMPLE_RATE, quality="MQ")
        return np.roll(np.resize(noise, self.samples), int(rng.integers(self.samples)))

    def _in_room(self, rng: np.random.Generator, sound: np.ndarray) -> np.ndarray:
        c = self.config
        if not self.rooms or rng.random() < c.made_room:
            room = made_room(rng, c.made_room_s, c.made_direct_db)
        else:
            room = self.rooms[rng.integers(len(self.rooms))]
            room = room[int(np.argmax(np.abs(room))) :]
        wet = fftconvolve(sound, room)[: len(sound)].astype(np.float32)
        part = rng.uniform(0.2, 1.0)
        return (1 - part) * sound + part * scaled(wet, rms(sound), 0.0)

    def _finish(self, rng: np.random.Generator, mix: np.ndarray) -> np.ndarray:
        c = self.config
        if rng.random() < c.tilt:
            mix = tilt(rng, mix)
        if rng.random() < c.narrow:
            low, high = rng.uniform(80, 320), rng.uniform(2800, 5000)
            b, a = cast("tuple[np.ndarray, np.ndarray]", butter(2, [low, high], "bandpass", fs=SAMPLE_RATE))
            mix = np.asarray(lfilter(b, a, mix))
        if rng.random() < c.codec:
            mix = codec(rng, mix, c.codec_hz)
        if rng.random() < c.swell:
            mix = mix * swell(rng, len(mix), c.swell_db)
        mix = mix / (np.abs(mix).max() + 1e-9)
        if rng.random() < c.bump:
            mix = mix + bump(rng, len(mix))
            mix = mix / np.abs(mix).max()
        if rng.random() < c.clip:
            mix = np.clip(mix * rng.uniform(1.5, 6.0), -1, 1)
        if rng.random() < c.dropout:
            mix = dropouts(rng, mix, c.dropout_ms)
        mix = mix * 10.0 ** (rng.uniform(*c.level_db) / 20.0)
        return (mix + rng.standard_normal(len(mix)) * 1e-5).astype(np.float32)


def is_low(clip: Clip) -> bool:
    """Whether its median pitch lies below D3 (147 Hz)."""
    sung = clip.pitch[clip.pitch > 0]
    return bool(len(sung)) and float(np.median(sung)) < 50.0


def clip_odds(clips: list[Clip], low: float) -> np.ndarray:
    """How likely each clip is drawn [shape=(n_clips,)], sum 1: a singer by the square root of his recordings' length,
    of these each by its own; a low one ``low`` times as likely."""
    lengths = np.array([float(len(c.voice)) for c in clips])
    recorded: dict[str, float] = {}
    for clip, length in zip(clips, lengths):
        recorded[clip.singer] = recorded.get(clip.singer, 0.0) + length
    return _shares(np.array([
        length / np.sqrt(recorded[clip.singer]) * (low if is_low(clip) else 1.0) for clip, length in zip(clips, lengths)
    ]))


def _shares(odds: np.ndarray) -> np.ndarray:
    return odds / odds.sum() if len(odds) else odds


def tonality(noise: np.ndarray) -> float:
    """The share of a noise's energy in frames of 64 ms that repeat themselves within TONAL_LAGS, 0..1.

    A frame repeats itself where its autocorrelation, over that of its window, exceeds TONAL_CORRELATION.
    """
    size, (low, high) = 1024, TONAL_LAGS
    window = np.hanning(size)
    frames = noise[: len(noise) // size * size].reshape(-1, size) * window
    correlation, own = (np.fft.irfft(np.abs(np.fft.rfft(x, 2 * size)) ** 2) for x in (frames, window))
    energy = correlation[:, 0]
    best = (correlation[:, low:high] / (own[low:high] / own[0])).max(1, initial=-np.inf)
    tonal = best > TONAL_CORRELATION * np.maximum(energy, 1e-12)
    return float(energy[tonal].sum() / max(energy.sum(), 1e-12))


def as_float(samples: np.ndarray) -> np.ndarray:
    """Samples of int16 as float32 of -1..1; others as they are."""
    return samples.astype(np.float32) / np.float32(32768.0) if samples.dtype == np.int16 else samples


def shift_formants(voice: np.ndarray, factor: float) -> np.ndarray:
    """The spectral envelope stretched by ``factor`` along frequency, f0 as it was [shape=(n_samples,)].

    The envelope is the magnitude spectrum's cepstrum below 1.5 ms; its change is bounded to 20 dB either way.
    """
    size, hop = 512, 128
    window = np.hanning(size + 1)[:-1].astype(np.float32)
    padded = np.pad(voice, (size, size + -len(voice) % hop)).astype(np.float32)
    spectra = np.fft.rfft(sliding_window_view(padded, size)[::hop] * window)
    cepstra = np.fft.irfft(np.log(np.abs(spectra) + 1e-6))
    cepstra[:, 24:-23] = 0.0
    envelope = np.fft.rfft(cepstra).real
    source = np.minimum(np.arange(size // 2 + 1) / factor, size // 2)
    low = np.minimum(source.astype(int), size // 2 - 1)
    part = source - low
    moved = (1.0 - part) * envelope[:, low] + part * envelope[:, low + 1]
    frames = np.fft.irfft(spectra * np.exp(np.clip(moved - envelope, -2.3, 2.3))).astype(np.float32) * window
    out = np.zeros(len(padded), np.float32)
    for k in range(0, size, hop):  # frames a window apart do not overlap: added a quarter of them at a time
        part_frames = frames[k // hop :: size // hop]
        out[k : k + part_frames.size] += part_frames.ravel()
    return out[size : size + len(voice)] / 1.5


def codec(rng: np.random.Generator, x: np.ndarray, range_hz: tuple[float, float]) -> np.ndarray:
    """A steep upper band limit, and half of the time the 8 logarithmic bits of G.711 (mu-law)."""
    x = np.asarray(sosfilt(butter(8, rng.uniform(*range_hz), fs=SAMPLE_RATE, output="sos"), x))
    if rng.random() < 0.5:
        peak = np.abs(x).max() + 1e-9
        squeezed = np.sign(x) * np.log1p(255.0 * np.abs(x) / peak) / np.log(256.0)
        squeezed = np.round(squeezed * 127.0) / 127.0
        x = np.sign(squeezed) * np.expm1(np.abs(squeezed) * np.log(256.0)) / 255.0 * peak
    return x


def dropouts(rng: np.random.Generator, x: np.ndarray, range_ms: tuple[float, float]) -> np.ndarray:
    """One to three gaps of silence, as when a buffer is lost."""
    x = x.copy()
    for _ in range(rng.integers(1, 4)):
        length = int(rng.uniform(*range_ms) * SAMPLE_RATE / 1000.0)
        at = int(rng.integers(0, len(x) - length))
        x[at : at + length] = 0.0
    return x


def fit(track: np.ndarray, samples: int, before: int = 0) -> np.ndarray:
    """``before`` samples of silence, then the track, cut or padded with silence to ``samples``."""
    track = track[: max(0, samples - before)]
    return np.pad(track, (before, samples - before - len(track))).astype(np.float32)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)) + 1e-12))


def voiced_rms(voice: np.ndarray, pitch: np.ndarray) -> float:
    """RMS of the voice where it is voiced, of the whole where it never is."""
    step = SAMPLE_RATE // LABEL_RATE
    mask = np.repeat(pitch > 0, step)[: len(voice)]
    return rms(voice[: len(mask)][mask]) if mask.sum() > step * 10 else rms(voice)


def level_db(sound: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """RMS of the 40 ms around each moment, dB [shape=(n_times,)]."""
    half = round(0.02 * SAMPLE_RATE)
    energy = np.concatenate([[0.0], np.cumsum(np.square(sound, dtype=np.float64))])
    centre = np.round(times_s * SAMPLE_RATE).astype(int)
    low, high = (np.clip(centre + side, 0, len(sound)) for side in (-half, half))
    return 10.0 * np.log10((energy[high] - energy[low]) / np.maximum(1, high - low) + 1e-12)


def scaled(track: np.ndarray, reference_rms: float, below_db: float) -> np.ndarray:
    """``track`` at ``below_db`` under the reference; silence stays silence."""
    level = rms(track)
    return track * np.float32(reference_rms / level * 10.0 ** (-below_db / 20.0)) if level > 1e-5 else track


def tilt(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """A first-order shelf either way, at a random corner."""
    a = rng.uniform(-0.6, 0.85)
    b = rng.uniform(-0.6, 0.6)
    return np.asarray(lfilter([1.0, -b], [1.0, -a], x), np.float32)


def swell(rng: np.random.Generator, samples: int, range_db: tuple[float, float]) -> np.ndarray:
    """A gain that steps between two or three levels within 20 ms [shape=(samples,)]."""
    at = np.sort(rng.integers(0, samples, rng.integers(1, 3)))
    levels = np.repeat(rng.uniform(*range_db, len(at) + 1), 2)[1:-1]
    places = np.ravel(np.column_stack([at, at + SAMPLE_RATE // 50]))
    return (10.0 ** (np.interp(np.arange(samples), places, levels) / 20.0)).astype(np.float32)


def made_room(rng: np.random.Generator, fall_s: tuple[float, float], direct_db: tuple[float, float]) -> np.ndarray:
    """The impulse response of a room that is none: what comes straight, some reflections of walls, and noise that falls by 60 dB
    within ``fall_s``, its highs sooner; ``direct_db``: the first over all else, of energy."""
    falls_s = float(np.exp(rng.uniform(*np.log(fall_s))))
    time_s = np.arange(round(min(1.5, falls_s) * SAMPLE_RATE)) / SAMPLE_RATE
    dull = np.asarray(lfilter([1.0], [1.0, -rng.uniform(0.3, 0.85)], rng.standard_normal(len(time_s))))
    bright = rng.standard_normal(len(time_s)) * 10.0 ** (-3.0 * time_s / (rng.uniform(0.3, 0.7) * falls_s))
    late = (dull / dull.std() + bright) * 10.0 ** (-3.0 * time_s / falls_s)
    late[: round(rng.uniform(0.001, 0.02) * SAMPLE_RATE)] = 0.0  # before the first reflections
    for at_s in rng.uniform(0.001, 0.04, rng.integers(2, 10)):
        late[round(at_s * SAMPLE_RATE)] += rng.choice([-1.0, 1.0]) * rng.uniform(1.0, 6.0)
    late[0] = 0.0
    late *= 10.0 ** (-rng.uniform(*direct_db) / 20.0) / np.sqrt(np.square(late).sum() + 1e-12)
    late[0] = 1.0
    return late.astype(np.float32)


def mains_hum(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Hum of a cable or a transformer: 50 or 60 Hz, as near as a grid keeps to it, and what of its harmonics comes through, the even
    ones louder than the odd (a rectifier's) or the other way round [shape=(samples,)]."""
    f0_hz = rng.choice([50.0, 60.0]) * rng.uniform(0.998, 1.002)
    number = np.arange(1, int(rng.integers(4, 40)))
    odd_db, even_db = rng.uniform(-20.0, 0.0, 2)
    level_db = np.where(number % 2, odd_db, even_db) - rng.uniform(3.0, 12.0) * np.log2(number) + rng.normal(0.0, 4.0, len(number))
    phase = rng.uniform(0.0, 2.0 * np.pi, len(number))
    turns = 2.0 * np.pi * f0_hz / SAMPLE_RATE * np.arange(samples)
    hum = np.zeros(samples)
    for n, gain, start in zip(number, 10.0 ** (level_db / 20.0), phase):
        hum += gain * np.sin(n * turns + start)
    return hum.astype(np.float32)


def bump(rng: np.random.Generator, samples: int) -> np.ndarray:
    """A knock: 30 ms of low noise, 1 to 5 times full scale, somewhere [shape=(samples,)]."""
    out, length = np.zeros(samples, np.float32), SAMPLE_RATE * 30 // 1000
    knock = lfilter([0.1], [1, -0.9], rng.standard_normal(length)) * np.hanning(length)
    at = int(rng.integers(0, samples - length))
    out[at : at + length] = knock / np.abs(knock).max() * rng.uniform(1.0, 5.0)
    return out
