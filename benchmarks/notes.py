"""Notes: how many are found, on time, at the right pitch, once each, and how many where nobody sings.

``python -m rt_melody.benchmarks.notes --data FOLDER --latency-ms 20 50 --out FILE``

Another tracker is measured on the same clips with ``listen(PARTS[name], tracker, folder)`` and ``PARTS[name].score``;
a tracker without pitch frames of its own makes ``Heard(clip, notes, bias)`` with the bias of one that has them.

Conventions
-----------
* mir_eval.transcription: onsets within 50 ms, pitches within 50 cents, offsets within 50 ms or 20 % of the true
  note; figures pool the notes of all items of a part.
* A note stands at the ``time_s`` of its note-on and note-off, as in the MIDI file. Its pitch is what a
  synthesiser plays: the median over its time of MIDI note number plus bend. Beside it, each a column: "live",
  as played, from note-on's to note-off's ``available_s``; "at on", with the pitch at the note-on; "number",
  with the MIDI note number, as a synthesiser that ignores bends would play it.
* The delay of a note-on is its ``available_s`` minus the true onset, over notes of the right pitch whose onsets
  are within 150 ms of each other.
* An octave leap is a note whose pitch lies within a semitone of the true note's, moved by one or more octaves.
* SSVD's labels carry a constant bias in each take. It is removed: the median of (estimated f0 - label) over the
  voiced frames in the middle 60 % of each annotated note, frames as given out by the engine under test.
* SSVD's takes fall into two fixed parts by the parity of the first byte of SHA-256 of their name: odd ones may
  be used to tune (``ssvd-tuning``), even ones measure. Nothing else decides, so a new take changes no other's part.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from hashlib import sha256
from itertools import accumulate
from pathlib import Path

import numpy as np
from mir_eval.transcription import match_note_onsets, match_notes
from tqdm import tqdm

from rt_melody.benchmarks.frame_cache import Frames, engine_frames
from rt_melody.benchmarks.onsets import Tracked, Tracker
from rt_melody.benchmarks.report import write_result
from rt_melody.benchmarks.signals import DETACHED, SAMPLE_RATE, Sound, TrueNote, held_vibrato, melody, over_band, repeated
from rt_melody.models.training.data import data_folder, load_mir1k, load_mono, noise_files
from rt_melody.models.training.instruments import random_band
from rt_melody.realtime.engine import Engine
from rt_melody.realtime.notes import NoteSettings, NoteTracker
from rt_melody.realtime.types import InputError, NoteEvent, NoteOff, NoteOn, PitchBend, PitchFrame, hz_to_midi, midi_to_hz

ONSET_S, PITCH_CENTS, OFFSET_RATIO = 0.05, 50.0, 0.2
DELAY_REACH_S = 0.15
NEAR_S = 0.2  # how far a note may be off in time to be called early or late rather than missed
MIDDLE = 0.6  # part of an annotated note from which its bias is read
BAND_DB = 5.0
VIBRATO_CENTS = 70.0
REPEAT_GAP_S = 0.1
PEAK = 0.5  # of noise and music without a voice
NOISES = {  # numbers of G. Hu's 100 nonspeech sounds (n1 to n100) in which there is a voice, or a tone; else there is none
    "voices": ((1, 17), (83, 85), (89, 93)),  # crowds, coughs, laughter, yawns, crying
    "tones": ((30, 43), (47, 55), (79, 82), (99, 100)),  # alarms and sirens, animals, bells, dialling
}
MELODIES, VIBRATOS, REPEATS, BANDS, BAND_SECONDS = 20, 15, 8, 10, 15.0


# ---------------------------------------------------------------------- what was played


@dataclass(frozen=True)
class PlayedNote:
    on_s: float
    off_s: float
    available_s: float  # of the note-on
    off_available_s: float
    number: int  # MIDI note number
    pitch_on: float  # fractional MIDI, at the note-on
    pitch: float  # fractional MIDI, median of what was played


def played_notes(events: Iterable[NoteEvent]) -> list[PlayedNote]:
    """Notes from the events of one voice, a note-off after each note-on."""
    notes, on, bends = [], None, []
    for event in events:
        if isinstance(event, NoteOn):
            on, bends = event, [(event.time_s, event.pitch)]
        elif isinstance(event, PitchBend) and on is not None:
            bends.append((event.time_s, event.note + event.semitones))
        elif isinstance(event, NoteOff) and on is not None:
            pitch = _held_median(bends, event.time_s)
            notes.append(PlayedNote(on.time_s, event.time_s, on.available_s, event.available_s, on.note, on.pitch, pitch))
            on = None
    return notes


def _held_median(steps: Sequence[tuple[float, float]], end_s: float) -> float:
    """Median over time of a value that holds from each (time, value) to the next, the last until ``end_s``."""
    ends = [*(t for t, _ in steps[1:]), end_s]
    held = sorted((value, max(0.0, min(e, end_s) - t)) for (t, value), e in zip(steps, ends))
    total = list(accumulate(length for _, length in held))
    if total[-1] <= 0.0:
        return steps[0][1]
    return next(value for (value, _), so_far in zip(held, total) if so_far >= 0.5 * total[-1])


# ---------------------------------------------------------------------- scores


def _intervals(spans: Sequence[tuple[float, float]]) -> np.ndarray:
    """[shape=(n, 2)], each at least 1 ms long, as mir_eval wants them."""
    return np.array([(on, max(off, on + 1e-3)) for on, off in spans]).reshape(-1, 2)


def _hz(pitches: Sequence[float]) -> np.ndarray:
    return np.array([midi_to_hz(p) for p in pitches])


class NoteScores:
    """Collects items; ``figures`` gives what mir_eval and the conventions above say of all notes together."""

    KINDS = ("onset", "note", "note_offset", "live", "at_on", "number")

    def __init__(self) -> None:
        self._matched: Counter = Counter()
        self._true = self._played = 0
        self._minutes = 0.0
        self._leaps = 0
        self._delays_s: list[float] = []
        self._losses: Counter = Counter()
        self._extras: Counter = Counter()

    def add(self, true: Sequence[TrueNote], played: Sequence[PlayedNote], bias: float = 0.0) -> None:
        """One item. ``bias`` (semitones) is added to the pitches of the true notes."""
        self._true += len(true)
        self._played += len(played)
        self._minutes += sum(n.off_s - n.on_s for n in true) / 60.0
        matches = _matches(true, played, bias)
        for kind in self.KINDS:
            self._matched[kind] += len(matches[kind])
        self._delays_s += [played[j].available_s - true[i].on_s for i, j in matches["delay"]]
        self._leaps += sum(_leaps(note, true, bias) for note in played)
        kept, used = {i for i, _ in matches["note"]}, {j for _, j in matches["note"]}
        self._losses.update(_loss(n, played, bias) for i, n in enumerate(true) if i not in kept)
        self._extras.update(_extra(n, true) for j, n in enumerate(played) if j not in used)

    def figures(self) -> dict:
        """P, R and F in 0..1 by kind, delays in ms, leaps a minute of singing, and where notes were lost."""
        return {
            "true_notes": self._true, "played_notes": self._played,
            **{kind: self._prf(kind) for kind in self.KINDS},
            "delay_ms": quantiles_ms(self._delays_s),
            "octave_leaps_a_minute": round(self._leaps / self._minutes, 2) if self._minutes else None,
            "lost_because": dict(self._losses.most_common()), "extra_because": dict(self._extras.most_common()),
        }

    def _prf(self, kind: str) -> dict[str, float]:
        hits = self._matched[kind]
        precision, recall = hits / max(1, self._played), hits / max(1, self._true)
        return {"P": round(precision, 4), "R": round(recall, 4), "F": round(2 * hits / max(1, self._played + self._true), 4)}


def _matches(true: Sequence[TrueNote], played: Sequence[PlayedNote], bias: float) -> dict[str, list]:
    """Pairs of indices (true, played) for each kind of comparison."""
    if not true or not played:
        return {kind: [] for kind in (*NoteScores.KINDS, "delay")}
    spans, hz = _intervals([(n.on_s, n.off_s) for n in true]), _hz([n.pitch + bias for n in true])
    stood = _intervals([(n.on_s, n.off_s) for n in played])
    sent = _intervals([(n.available_s, n.off_available_s) for n in played])
    pitch = _hz([n.pitch for n in played])

    def match(where, what, reach_s=ONSET_S, offset_ratio=None):
        return match_notes(spans, hz, where, what, reach_s, PITCH_CENTS, offset_ratio)

    return {
        "onset": match_note_onsets(spans, stood, ONSET_S),
        "note": match(stood, pitch),
        "note_offset": match(stood, pitch, offset_ratio=OFFSET_RATIO),
        "live": match(sent, pitch),
        "at_on": match(stood, _hz([n.pitch_on for n in played])),
        "number": match(stood, _hz([n.number for n in played])),
        "delay": match(stood, pitch, reach_s=DELAY_REACH_S),
    }


def quantiles_ms(seconds: Sequence[float]) -> dict:
    """Number, median, p10, p90 and maximum in ms."""
    if not len(seconds):
        return {"notes": 0}
    marks = np.quantile(seconds, (0.1, 0.5, 0.9, 1.0)) * 1000.0
    return {"notes": len(seconds), **{name: round(float(m), 1) for name, m in zip(("p10", "median", "p90", "max"), marks)}}


def _overlap_s(a: PlayedNote, b: TrueNote) -> float:
    return min(a.off_s, b.off_s) - max(a.on_s, b.on_s)


def _leaps(note: PlayedNote, true: Sequence[TrueNote], bias: float) -> bool:
    """Whether a note is an octave or more away from the true note that it covers most."""
    best = max(true, key=lambda t: _overlap_s(note, t), default=None)
    if best is None or _overlap_s(note, best) <= 0:
        return False
    away = note.pitch - best.pitch - bias
    octaves = round(away / 12.0)
    return octaves != 0 and abs(away - 12.0 * octaves) < 1.0


def _loss(true: TrueNote, played: Sequence[PlayedNote], bias: float) -> str:
    """Why no played note matches this true one, in a word."""
    near = [n for n in played if abs(n.on_s - true.on_s) <= NEAR_S and _overlap_s(n, true) > 0]
    right = [n for n in near if abs(n.pitch - true.pitch - bias) <= PITCH_CENTS / 100.0]
    if any(abs(n.on_s - true.on_s) <= ONSET_S for n in right):
        return "taken by another"  # one played note for two true ones
    if right:
        return "late" if min(right, key=lambda n: abs(n.on_s - true.on_s)).on_s > true.on_s else "early"
    if any(abs(n.on_s - true.on_s) <= ONSET_S for n in near):
        return "wrong pitch"
    middle_s = 0.5 * (true.on_s + true.off_s)
    return "merged" if any(n.on_s <= middle_s < n.off_s for n in played) else "silent"


def _extra(played: PlayedNote, true: Sequence[TrueNote]) -> str:
    """Where a note that matches no true one stands."""
    over = max((_overlap_s(played, t) for t in true), default=0.0)
    if over < 0.5 * (played.off_s - played.on_s):
        return "outside the singing"
    best = max(true, key=lambda t: _overlap_s(played, t))
    return "within a note" if played.on_s > best.on_s + ONSET_S else "at a note"


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
    where = folder / "ssvd" / "train"
    names = [p.stem for p in sorted(where.glob("*.txt")) if for_tuning(p.stem) == tuning]
    if not names:
        raise InputError(f"{folder} holds no ssvd/train/*.txt of this part; give the folder that holds ssvd/, or leave out --parts ssvd-...")
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


def clean(folder: Path | None) -> Makers:
    """Synthetic melodies, alone."""
    return [partial(_sung, melody, seed) for seed in range(MELODIES)]


def band(folder: Path | None) -> Makers:
    """Synthetic melodies over a random band."""
    return [partial(_sung, lambda seed: over_band(melody(seed), BAND_DB, seed), seed) for seed in range(MELODIES)]


def vibrato(folder: Path | None) -> Makers:
    """Held notes with vibrato of +-70 cents at 4-8 Hz."""
    return [partial(_sung, held_vibrato, seed, VIBRATO_CENTS) for seed in range(VIBRATOS)]


def repeats(folder: Path | None) -> Makers:
    """Repeated notes, by what parts them: a gap of 100 ms, a voiced consonant, another consonant."""
    kinds = (("gap", ("",), REPEAT_GAP_S), ("voiced consonant", ("m", "n"), 0.0), ("consonant", DETACHED, 0.0))
    return [
        partial(_sung, repeated, seed, onsets[seed % len(onsets)], gap_s, group=group)
        for group, onsets, gap_s in kinds for seed in range(REPEATS)
    ]


def noise(folder: Path | None) -> Makers:
    """White noise, and recorded noises that training leaves out, by what sounds in them (see NOISES)."""
    white = [np.random.default_rng(i).standard_normal(5 * SAMPLE_RATE) for i in range(4)]
    paths = noise_files(folder, "test") if folder else []
    return [partial(_idle, x, "white") for x in white] + [partial(_recorded_noise, p) for p in paths]


def noise_group(name: str) -> str:
    """What sounds in a noise of this name: "noise", unless its number is one of NOISES."""
    number = int(name[1:]) if name[1:].isdigit() else 0
    return next((group for group, spans in NOISES.items() if any(a <= number <= b for a, b in spans)), "noise")


def _recorded_noise(path: Path) -> Clip:
    return _idle(load_mono([path])[0], noise_group(path.stem))


def music(folder: Path | None) -> Makers:
    """Random bands, and karaoke accompaniments of MIR-1K's test singers."""
    seconds = round(BAND_SECONDS * SAMPLE_RATE)
    bands = [partial(_band, seed, seconds) for seed in range(BANDS)]
    karaoke = load_mir1k(folder, "test") if folder else []
    return bands + [partial(_idle, clip.accompaniment, "karaoke") for clip in karaoke]


def _band(seed: int, seconds: int) -> Clip:
    return _idle(random_band(np.random.default_rng((4, seed)), seconds), "band")


def _idle(samples: np.ndarray, group: str) -> Clip:
    """Something at a peak of PEAK in which nobody sings."""
    return Clip("", (samples * (PEAK / (np.abs(samples).max() + 1e-9))).astype(np.float32), group=group)


# ---------------------------------------------------------------------- the parts


def score_notes(heard: Sequence[Heard]) -> dict:
    """Figures of NoteScores over all clips together."""
    scores = NoteScores()
    for h in heard:
        scores.add(h.clip.notes, h.notes, h.bias)
    return scores.figures()


def score_takes(heard: Sequence[Heard]) -> dict:
    """The same, and the chief figures of each clip."""
    takes = {}
    for h in heard:
        own = score_notes([h])
        takes[h.clip.name] = {"bias_cents": round(100 * h.bias, 1), **{kind: own[kind]["F"] for kind in ("onset", "note", "note_offset", "live")}}
    return {**score_notes(heard), "takes": takes}


def extra_notes(heard: Sequence[Heard]) -> dict:
    """Notes beyond one for each held note: flips a second and extra notes a minute."""
    seconds = sum(n.off_s - n.on_s for h in heard for n in h.clip.notes)
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
    "band": Part(band, score_notes),
    "vibrato": Part(vibrato, extra_notes),
    "repeats": Part(repeats, by_group(repeat_recall)),
    "noise": Part(noise, by_group(idle_notes), needs_data=True),
    "music": Part(music, by_group(idle_notes), needs_data=True),
}


def listen(part: Part, tracker: Tracker, folder: Path | None = None, every: int = 1, label: str = "") -> Iterator[Heard]:
    """Every ``every``-th clip of a part with what ``tracker`` made of it, one at a time."""
    for make in tqdm(part.clips(folder)[::every], label, disable=not label):
        clip = make()
        frames, events = tracker(clip.samples)
        yield Heard(clip, played_notes(events), bias_semitones(frames, clip.notes) if part.biased else 0.0)


def note_tracker(frames: Frames, hop_s: float, settings: NoteSettings | None = None) -> Tracker:
    """The note tracker on frames of whatever engine, a fresh stream for each sound."""

    def track(samples: np.ndarray) -> Tracked:
        heard = frames(samples)
        notes = NoteTracker(settings, hop_s)
        events = [event for frame in heard for event in notes.feed(frame)]
        return heard, events + notes.finish(heard[-1].available_s if heard else 0.0)

    return track


# ---------------------------------------------------------------------- the command


def note_settings(words: Sequence[str]) -> NoteSettings:
    """Settings from NAME=VALUE words. Raises InputError for a name or value that cannot be used."""
    names, values = {f.name for f in fields(NoteSettings)}, {}
    for word in words:
        name, _, value = word.partition("=")
        if name not in names:
            raise InputError(f"--set {word}: there is no setting {name!r}; there are {', '.join(sorted(names))}")
        try:
            values[name] = float(value)
        except ValueError:
            raise InputError(f"--set {word}: {value!r} is no number; write {name}=NUMBER") from None
    return NoteSettings(**values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--latency-ms", nargs="+", type=float, default=[50.0])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--every", type=int, default=1, help="only every n-th item")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="thresholds of the note tracker")
    parser.add_argument("--model", help="model file; default: the shipped one")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep the engine's frames there, and read them from there the next time")
    parser.add_argument("--out", type=Path, help="write the results as JSON, and the table beside them as .md")
    args = parser.parse_args()
    if args.every < 1:
        parser.error(f"--every is {args.every}; give 1 or more")
    if args.out and (args.out.is_dir() or not args.out.parent.is_dir()):
        parser.error(f"--out {args.out} cannot be written; give the name of a file in a folder that exists")
    folder = data_folder(args.data) if any(PARTS[name].needs_data for name in args.parts) else None
    try:
        rows, provenance = measure(args, folder)
    except InputError as error:
        parser.error(str(error))
    print(table(rows))
    if args.out:
        write_result(args.out, rows, f"every {args.every}, settings {args.set or 'default'}", provenance)
        args.out.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")


def measure(args: argparse.Namespace, folder: Path | None) -> tuple[list[dict], dict]:
    """A row for each bound and part, and where the model came from."""
    settings, model, rows = note_settings(args.set), args.model, []
    for bound_ms in args.latency_ms:
        engine = Engine(SAMPLE_RATE, bound_ms, model)
        model = engine.model
        tracker = note_tracker(engine_frames(engine, args.cache), engine.hop_s, settings)
        for name in args.parts:
            heard = list(listen(PARTS[name], tracker, folder, args.every, f"{name}, {bound_ms:g} ms"))
            rows.append({"bound_ms": bound_ms, "latency_ms": engine.latency.total_ms, "set": name, **PARTS[name].score(heard)})
    return rows, model.provenance


def table(rows: Sequence[dict]) -> str:
    """Markdown: the scores, then one line for each exercise."""
    columns = ("notes", "bound ms", "true", "played", *(f"F {kind}" for kind in NoteScores.KINDS), "delay ms median", "p90", "octave leaps/min")
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += [_score_line(row) for row in rows if "note" in row]
    lines += ["", "| exercise | bound ms | figures |", "|---|---|---|"]
    for row in rows:
        if "note" not in row:
            lines += _exercise_lines(row)
    return "\n".join(lines)


def _score_line(row: dict) -> str:
    scores = [f"{row[kind]['F']:.3f}" for kind in NoteScores.KINDS]
    delays = [f"{row['delay_ms'][mark]:.0f}" if mark in row["delay_ms"] else "-" for mark in ("median", "p90")]
    cells = [row["set"], f"{row['bound_ms']:g}", row["true_notes"], row["played_notes"], *scores, *delays, row["octave_leaps_a_minute"]]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _exercise_lines(row: dict) -> list[str]:
    """One line, or one for each group inside."""
    own = {k: v for k, v in row.items() if k not in ("bound_ms", "latency_ms", "set")}
    groups = own if all(isinstance(v, dict) or v is None for v in own.values()) else {"": own}
    return [
        f"| {row['set']} {name} | {row['bound_ms']:g} | " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in group.items()) + " |"
        for name, group in groups.items() if group
    ]


if __name__ == "__main__":
    main()
