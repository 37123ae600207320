"""What note trackers are measured on: takes of SSVD, synthetic singing, exercises, and sounds in which nobody sings.

``PARTS[name]`` holds the clips of a part and says how its notes are scored. Any tracker is measured with
``listen(PARTS[name], tracker, folder)`` and ``PARTS[name].score``; one without pitch frames of its own makes
``Heard(clip, notes, bias)`` with the bias of one that has them.

* SSVD's labels carry a constant bias in each take. It is removed: the median of (estimated f0 - label) over the
  voiced frames in the middle 60 % of each annotated note, frames as given out by the engine under test.
* SSVD's takes fall into two fixed parts by the parity of the first byte of SHA-256 of their name: odd ones may
  be used to tune (``ssvd-tuning``), even ones measure. Nothing else decides, so a new take changes no other's part.
* Synthetic melodies have two parts, too: ``clean-tuning`` and ``band-tuning`` are those on which thresholds were
  chosen (experiments 14 to 31), ``clean`` and ``band`` are others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rt_melody.benchmarks import octaves
from rt_melody.benchmarks.conditions import load_noises, peaked
from rt_melody.benchmarks.note_scores import ONSET_S, PITCH_CENTS, NoteScores, PlayedNote, octave_leaps, played_notes
from rt_melody.benchmarks.signals import DETACHED, SAMPLE_RATE, Sound, TrueNote, held_vibrato, melody, over_band, repeated
from rt_melody.benchmarks.trackers import Tracker
from rt_melody.models.training.data import load_mir1k, load_mono, noise_files
from rt_melody.models.training.instruments import random_band
from rt_melody.realtime.errors import InputError
from rt_melody.realtime.types import PitchFrame, hz_to_midi

MIDDLE = 0.6  # part of an annotated note from which its bias is read
BAND_DB = 5.0
VIBRATO_CENTS = 70.0
REPEAT_GAP_S = 0.1
QUICK_S = 0.125  # from note to note: sixteenths at 120 beats a minute
TUNING_SEEDS, MEASURING_SEEDS = range(20), range(100, 160)  # of melodies; sets of 20 differ by .06 of F over a band
VIBRATOS, REPEATS, BAND_SECONDS = 15, 8, 15.0
BANDS, TUNING_BANDS = range(10), range(10, 30)  # seeds, of bands in which nobody sings
TUNING_EVERY = 4  # of validation singers' clips, heard without the singer


# ---------------------------------------------------------------------- what is listened to


@dataclass(frozen=True)
class Clip:
    """A sound and the notes sung in it; none where nobody sings. ``group`` parts the figures of a part."""

    name: str
    samples: np.ndarray  # [shape=(n,)], 16 kHz
    notes: tuple[TrueNote, ...] = ()
    group: str = ""

    @property
    def duration_s(self) -> float:
        return len(self.samples) / SAMPLE_RATE


Makers = list[Callable[[], Clip]]  # clips that are read or rendered when they are needed


@dataclass(frozen=True)
class Heard:
    """A clip and the notes that a tracker played; ``bias`` is the clip's, in semitones."""

    clip: Clip
    notes: Sequence[PlayedNote]
    bias: float = 0.0


def for_tuning(name: str) -> bool:
    """Whether a take of this name may be used to tune; the others measure."""
    return sha256(name.encode()).digest()[0] % 2 == 1


def read_notes(path: Path) -> tuple[TrueNote, ...]:
    """Notes of a label file: onset s, offset s, fractional MIDI pitch in each line. Raises InputError else."""
    notes = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            on_s, off_s, pitch = (float(word) for word in line.split())
        except ValueError:
            raise InputError(f"{path.name}, line {number} is {line.strip()!r}; it must be onset, offset and pitch") from None
        if not 0.0 <= on_s < off_s:
            raise InputError(f"{path.name}, line {number}: the note runs from {on_s:g} to {off_s:g} s; it must end after it begins")
        notes.append(TrueNote(on_s, off_s, pitch))
    return tuple(notes)


def ssvd(folder: Path | None, tuning: bool) -> Makers:
    """The takes of one part of SSVD. Raises InputError where there are none."""
    where = (folder or Path()) / "ssvd" / "train"
    names = [p.stem for p in sorted(where.glob("*.txt")) if for_tuning(p.stem) == tuning]
    if not names:
        raise InputError(
            f"{folder} holds no ssvd/train/*.txt of this part; give the folder that holds ssvd/, or leave out --parts ssvd-..."
        )
    return [partial(_take, where, name) for name in names]


def _take(where: Path, name: str) -> Clip:
    samples = load_mono([where / f"{name}.opus"])[0]
    return Clip(name, samples, read_notes(where / f"{name}.txt"))


def bias_semitones(frames: Sequence[PitchFrame], notes: Sequence[TrueNote]) -> float:
    """Median of (f0 - label) over the voiced frames in the middle of each note; 0 where there are none."""
    times = np.array([f.time_s for f in frames if f.voiced])
    pitches = np.array([hz_to_midi(f.f0_hz) for f in frames if f.voiced])
    away = []
    for note in notes:
        margin_s = 0.5 * (1.0 - MIDDLE) * (note.off_s - note.on_s)
        inside = (times >= note.on_s + margin_s) & (times < note.off_s - margin_s)
        away.append(pitches[inside] - note.pitch)
    away = np.concatenate(away) if away else np.zeros(0)
    return float(np.median(away)) if len(away) else 0.0


def _sung(make: Callable[..., Sound], *args, group: str = "") -> Clip:
    sound = make(*args)
    return Clip(sound.name, sound.samples, sound.notes, group)


def clean(folder: Path | None, seeds: Iterable[int] = MEASURING_SEEDS) -> Makers:
    """Synthetic melodies, alone."""
    return [partial(_sung, melody, seed) for seed in seeds]


def band(folder: Path | None, seeds: Iterable[int] = MEASURING_SEEDS) -> Makers:
    """Synthetic melodies over a random band."""
    return [partial(_sung, lambda seed: over_band(melody(seed), BAND_DB, seed), seed) for seed in seeds]


def vibrato(folder: Path | None) -> Makers:
    """Held notes with vibrato of +-70 cents at 4-8 Hz."""
    return [partial(_sung, held_vibrato, seed, VIBRATO_CENTS) for seed in range(VIBRATOS)]


def repeats(folder: Path | None) -> Makers:
    """Repeated notes, by what parts them: a gap of 100 ms, a voiced consonant, another consonant; a voiced one, quickly."""
    kinds = (
        ("gap", ("",), REPEAT_GAP_S, None), ("voiced consonant", ("m", "n"), 0.0, None), ("consonant", DETACHED, 0.0, None),
        ("quick voiced consonant", ("m", "n"), 0.0, QUICK_S),
    )
    return [
        partial(_sung, repeated, seed, onsets[seed % len(onsets)], gap_s, 8, step_s, group=group)
        for group, onsets, gap_s, step_s in kinds for seed in range(REPEATS)
    ]


def noise(folder: Path | None) -> Makers:
    """White noise, and recorded noises that training leaves out, by what sounds in them (see conditions.NOISES)."""
    white = [np.random.default_rng(i).standard_normal(5 * SAMPLE_RATE) for i in range(4)]
    recorded = load_noises(noise_files(folder, "test")) if folder else {}
    return [partial(_idle, x, group) for group, sounds in {"white": white, **recorded}.items() for x in sounds]


def music(folder: Path | None) -> Makers:
    """Random bands, and karaoke accompaniments of MIR-1K's test singers."""
    return _bands(BANDS) + _karaoke(folder, "test")


def music_for_tuning(folder: Path | None) -> Makers:
    """Other bands, and accompaniments of MIR-1K's validation singers."""
    return _bands(TUNING_BANDS) + _karaoke(folder, "valid")[::TUNING_EVERY]


def _bands(seeds: Iterable[int]) -> Makers:
    seconds = round(BAND_SECONDS * SAMPLE_RATE)
    return [partial(_band, seed, seconds) for seed in seeds]


def _karaoke(folder: Path | None, split: str) -> Makers:
    clips = load_mir1k(folder, split) if folder else []
    return [partial(_idle, clip.accompaniment, "karaoke") for clip in clips if clip.accompaniment is not None]


def _band(seed: int, seconds: int) -> Clip:
    return _idle(random_band(np.random.default_rng((4, seed)), seconds), "band")


def _idle(samples: np.ndarray, group: str) -> Clip:
    """Something in which nobody sings, at the peak of what accuracy is measured on."""
    return Clip("", peaked(samples), group=group)


# ---------------------------------------------------------------------- the parts


def _scored(heard: Sequence[Heard]) -> NoteScores:
    scores = NoteScores()
    for h in heard:
        scores.add(h.clip.notes, h.notes, h.bias)
    return scores


def score_notes(heard: Sequence[Heard]) -> dict:
    """Figures of NoteScores over all clips together."""
    return _scored(heard).figures()


def score_takes(heard: Sequence[Heard]) -> dict:
    """The same, the chief figures of each clip, and who is right about octave leaps (see octaves)."""
    takes, together = {}, NoteScores()
    for h in heard:
        scores = _scored([h])
        together.update(scores)
        own = scores.figures()
        takes[h.clip.name] = {
            "bias_cents": round(100 * h.bias, 1),
            **{kind: own[kind]["F"] for kind in ("onset", "note", "note_offset", "live")},
        }
    return {**together.figures(), **_disputed_octaves(heard), "takes": takes}


def _disputed_octaves(heard: Sequence[Heard]) -> dict:
    """Each octave leap with Praat's verdict, and how many a minute of singing are left without those in which it
    hears what the tracker heard; None where there is no Praat."""
    if not octaves.can_judge():
        return {"octave_leaps_alone_a_minute": None, "octave_leaps": None}
    leaps = [
        {"take": h.clip.name, **octaves.judged(h.clip.samples, note, label.pitch + h.bias)}
        for h in heard for note, label in octave_leaps(h.clip.notes, h.notes, h.bias)
    ]
    minutes = _sung_s(heard) / 60.0
    alone = sum(leap["with"] != "tracker" for leap in leaps)
    return {"octave_leaps_alone_a_minute": round(alone / minutes, 2) if minutes else None, "octave_leaps": leaps}


def _sung_s(heard: Sequence[Heard]) -> float:
    return sum(n.off_s - n.on_s for h in heard for n in h.clip.notes)


def extra_notes(heard: Sequence[Heard]) -> dict:
    """Notes beyond one for each held note: flips a second and extra notes a minute."""
    seconds = _sung_s(heard)
    extra = sum(max(0, len(h.notes) - len(h.clip.notes)) for h in heard)
    missed = sum(max(0, len(h.clip.notes) - len(h.notes)) for h in heard)
    return {
        "held_s": round(seconds, 1), "extra_notes": extra, "missed_notes": missed,
        "flips_a_second": round(extra / seconds, 4), "extra_a_minute": round(60.0 * extra / seconds, 2),
    }


def repeat_recall(heard: Sequence[Heard]) -> dict:
    """Share of the notes after the first of each clip that were struck again, and the notes that were too many.

    Struck again: a note-on of the right pitch within 50 ms of the onset, or within the consonant before it.
    """
    again = struck = 0
    for h in heard:
        for before, note in zip(h.clip.notes, h.clip.notes[1:]):
            again += 1
            earliest = (before.off_s if not note.bound else note.on_s - REPEAT_GAP_S) - 1e-9
            struck += any(
                min(earliest, note.on_s - ONSET_S) <= n.on_s <= note.on_s + ONSET_S
                and abs(n.pitch - note.pitch) <= PITCH_CENTS / 100.0
                for n in h.notes
            )
    extra = sum(max(0, len(h.notes) - len(h.clip.notes)) for h in heard)
    return {"repeated": again, "recall": round(struck / max(1, again), 4), "extra_notes": extra}


def idle_notes(heard: Sequence[Heard]) -> dict:
    """Notes a minute where nobody sings."""
    notes, seconds = sum(len(h.notes) for h in heard), sum(h.clip.duration_s for h in heard)
    return {"seconds": round(seconds, 1), "notes": notes, "notes_a_minute": round(60.0 * notes / seconds, 2)}


def by_group(score: Callable[[Sequence[Heard]], dict]) -> Callable[[Sequence[Heard]], dict]:
    """The same figures for each group of clips."""

    def groups(heard: Sequence[Heard]) -> dict:
        names = dict.fromkeys(h.clip.group for h in heard)
        return {name: score([h for h in heard if h.clip.group == name]) for name in names}

    return groups


@dataclass(frozen=True)
class Part:
    """Clips, and what to say of the notes that a tracker played to them."""

    clips: Callable[[Path | None], Makers]
    score: Callable[[Sequence[Heard]], dict]
    needs_data: bool = False
    biased: bool = False  # its labels are, by a constant in each clip


PARTS = {
    "ssvd-measuring": Part(partial(ssvd, tuning=False), score_takes, needs_data=True, biased=True),
    "ssvd-tuning": Part(partial(ssvd, tuning=True), score_takes, needs_data=True, biased=True),
    "clean": Part(clean, score_notes),
    "clean-tuning": Part(partial(clean, seeds=TUNING_SEEDS), score_notes),
    "band": Part(band, score_notes),
    "band-tuning": Part(partial(band, seeds=TUNING_SEEDS), score_notes),
    "vibrato": Part(vibrato, extra_notes),
    "repeats": Part(repeats, by_group(repeat_recall)),
    "noise": Part(noise, by_group(idle_notes), needs_data=True),
    "music": Part(music, by_group(idle_notes), needs_data=True),
    "music-tuning": Part(music_for_tuning, by_group(idle_notes), needs_data=True),
}


def listen(part: Part, tracker: Tracker, folder: Path | None = None, every: int = 1, label: str = "") -> Iterator[Heard]:
    """Every ``every``-th clip of a part with what ``tracker`` made of it, one at a time."""
    for make in tqdm(part.clips(folder)[::every], label, disable=not label):
        clip = make()
        frames, events = tracker(clip.samples)
        yield Heard(clip, played_notes(events), bias_semitones(frames, clip.notes) if part.biased else 0.0)
