"""General MIDI accompaniment: random arrangements of our own, played by FluidSynth where it is installed.

``python -m rt_melody.models.training.gm --out FOLDER --count 150 --seconds 20 --seed 1`` fills a folder with
pieces in FLAC; ``load_gm(FOLDER)`` reads them back. Piece i of a call has the seed ``seed + i``: calls whose
ranges of seeds do not meet share no arrangement, which is how pieces for training and for figures are kept
apart (``EVALUATION_SEED``).

Conventions
-----------
* A *beat* is a quarter note; a bar has four. Pitches are MIDI note numbers, programs are General MIDI's, from 0.
* A piece is a function of (seed, seconds, SoundFont): chords, mostly bass and drums, often an instrument
  that plays a melody in a singer's range. No part is a voice (``VOICES``); a choir may hold chords.
* Renderings are 16 kHz mono float32, made at 48 kHz and brought down, so that no sample's treble folds back.

Needs the command ``fluidsynth``, a SoundFont (``RT_MELODY_SOUNDFONT``, or one of ``SOUNDFONTS``), and mido.
"""

from __future__ import annotations

import argparse
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from rt_melody.models.training.data import SAMPLE_RATE, DataError, audio_files, load_mono, refuse

if TYPE_CHECKING:
    import mido

EVALUATION_SEED = 1_000_000  # figures draw from here on, training from below
SOUNDFONT_VARIABLE = "RT_MELODY_SOUNDFONT"
SOUNDFONTS = ("/usr/share/sounds/sf2/*.sf2", "/usr/share/soundfonts/*.sf2", "/usr/local/share/soundfonts/*.sf2")
RENDER_RATE = 48000
RENDER_LIMIT_S = 120  # of one FluidSynth process
TICKS_PER_BEAT = 480
DRUM_CHANNEL = 9
DRUM_BANK = 128  # of SoundFonts
TEMPO_BPM = (60.0, 180.0)
BEND_RANGE = 2.0  # semitones, General MIDI's own
EMPTY_RMS = 1e-4  # a rendering under it holds no music

# General MIDI 1 sound set, by what we use it for (program numbers from 0).
VOICES = (52, 53, 54, 85, 91)  # choir, oohs, synth voice, voice lead, choir pad: never carry a melody
CHORD_PROGRAMS = (*range(0, 8), *range(16, 32), 46, 48, 49, 50, 51, 52, 61, 62, 63, *range(88, 96), 104, 105)
BASS_PROGRAMS = tuple(range(32, 40))
MELODY_PROGRAMS = tuple(p for p in (*range(0, 32), *range(40, 47), *range(56, 88), *range(104, 112)) if p not in VOICES)

# Scale steps in semitones, and progressions as degrees of the scale, one chord a bar.
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10)}
PROGRESSIONS = (
    (0, 4, 5, 3), (0, 5, 3, 4), (5, 3, 0, 4), (0, 3, 4, 4), (1, 4, 0, 0), (0, 2, 3, 4), (0, 6, 5, 4),
    (0, 0, 3, 3, 4, 3, 0, 4), (0, 4, 5, 2, 3, 0, 3, 4), (3, 4, 2, 5),
)

# Rhythms as (beat, length in beats) within a bar.
CHORD_RHYTHMS = (
    ((0, 4),), ((0, 2), (2, 2)), ((0, 1), (1, 1), (2, 1), (3, 1)), ((0, 1.5), (1.5, 1.5), (3, 1)),
    ((1, 0.5), (3, 0.5)), tuple((b / 2, 0.5) for b in range(8)),
)
BASS_RHYTHMS = (
    ((0, 4),), ((0, 2), (2, 2)), ((0, 1), (1, 1), (2, 1), (3, 1)), ((0, 1.5), (1.5, 0.5), (2, 2)),
    tuple((b / 2, 0.5) for b in range(8)), ((0, 0.75), (0.75, 0.75), (1.5, 0.5), (2, 1), (3.5, 0.5)),
)
# Drum notes of General MIDI and the sixteenths of a bar at which each is struck.
DRUM_PATTERNS = (
    {36: (0, 8), 38: (4, 12), 42: tuple(range(0, 16, 2))},
    {36: (0, 6, 10), 38: (4, 12), 42: tuple(range(16)), 46: (14,)},
    {36: (0, 4, 8, 12), 39: (4, 12), 46: (2, 6, 10, 14)},
    {36: (0, 10), 37: (4, 12), 51: (0, 3, 4, 7, 8, 11, 12, 15)},
    {36: (0,), 54: (0, 4, 8, 12), 70: tuple(range(0, 16, 2))},
    {36: (0, 7, 8), 38: (8,), 45: (13,), 47: (12,), 50: (11,), 42: (0, 4, 8, 12)},
)


@dataclass(frozen=True)
class Note:
    beat: float
    beats: float
    pitch: int
    velocity: int
    scoop: float = 0.0  # semitones from which a pitch bend slides into the note


@dataclass(frozen=True)
class Part:
    """What one channel plays."""

    program: int
    notes: list[Note]
    volume: int  # controller 7
    modulation: int = 0  # controller 1: vibrato in most SoundFonts
    pan: int = 64
    drums: bool = False


@dataclass(frozen=True)
class Piece:
    tempo_bpm: float
    parts: list[Part] = field(default_factory=list)


# ---- the arrangement ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Harmony:
    """The key of a piece and the degree on which each bar stands."""

    tonic: int  # 0..11
    scale: tuple[int, ...]
    degrees: tuple[int, ...]

    def pitch(self, step: int, lowest: int) -> int:
        """The scale's ``step``-th note above its first at or above ``lowest``."""
        first = lowest + (self.tonic - lowest) % 12
        return first + 12 * (step // 7) + self.scale[step % 7]

    def degree(self, bar: int) -> int:
        return self.degrees[bar % len(self.degrees)]


def arrange(seed: int, seconds: float) -> Piece:
    """A random piece that lasts at least ``seconds``."""
    rng = np.random.default_rng(seed)
    tempo = float(np.exp(rng.uniform(*np.log(TEMPO_BPM))))
    bars = int(np.ceil(seconds * tempo / 240.0)) + 1
    progression = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
    harmony = Harmony(int(rng.integers(12)), SCALES[str(rng.choice(list(SCALES)))], progression)
    parts = [chords(rng, harmony, bars)]
    if rng.random() < 0.4:
        parts.append(chords(rng, harmony, bars))
    if rng.random() < 0.85:
        parts.append(bass(rng, harmony, bars))
    if rng.random() < 0.75:
        parts.append(drums(rng, bars))
    if rng.random() < 0.65:
        parts.append(melody(rng, harmony, bars))
    return Piece(tempo, parts)


def chords(rng: np.random.Generator, harmony: Harmony, bars: int) -> Part:
    """Triads or sevenths, struck together or broken, inverted at random."""
    rhythm, lowest = CHORD_RHYTHMS[rng.integers(len(CHORD_RHYTHMS))], int(rng.integers(45, 64))
    tones = (0, 2, 4, 6) if rng.random() < 0.3 else (0, 2, 4)
    broken, loud = rng.random() < 0.35, int(rng.integers(55, 100))
    notes = []
    for bar in range(bars):
        steps = [harmony.degree(bar) + t for t in np.roll(tones, rng.integers(len(tones)))]
        pitches = sorted({harmony.pitch(s % 7, lowest) for s in steps})
        if broken:
            hits = [(b / 2, 0.5 * rng.uniform(0.8, 2.0), [pitches[b % len(pitches)]]) for b in range(8)]
        else:
            hits = [(beat, beats * rng.uniform(0.6, 1.0), pitches) for beat, beats in rhythm]
        notes += [Note(4 * bar + beat, beats, p, touch(rng, loud)) for beat, beats, ps in hits for p in ps]
    return Part(pick(rng, CHORD_PROGRAMS), notes, int(rng.integers(60, 105)), pan=int(rng.integers(20, 108)))


def bass(rng: np.random.Generator, harmony: Harmony, bars: int) -> Part:
    """Roots, with fifths and octaves among them."""
    rhythm, loud, notes = BASS_RHYTHMS[rng.integers(len(BASS_RHYTHMS))], int(rng.integers(70, 115)), []
    for bar in range(bars):
        for beat, beats in rhythm:
            step = harmony.degree(bar) + int(rng.choice([0, 0, 0, 0, 4, 7]))
            notes.append(Note(4 * bar + beat, 0.9 * beats, harmony.pitch(step, 28), touch(rng, loud)))
    return Part(pick(rng, BASS_PROGRAMS), notes, int(rng.integers(80, 115)))


def drums(rng: np.random.Generator, bars: int) -> Part:
    """One pattern through the piece, with a fill of toms now and then."""
    pattern, loud, notes = DRUM_PATTERNS[rng.integers(len(DRUM_PATTERNS))], int(rng.integers(60, 115)), []
    for bar in range(bars):
        fill = bar % 4 == 3 and rng.random() < 0.4
        for drum, sixteenths in pattern.items():
            struck = [s for s in sixteenths if rng.random() < 0.95 and not (fill and s >= 12)]
            notes += [Note(4 * bar + s / 4, 0.2, drum, touch(rng, loud)) for s in struck]
        if fill:
            notes += [Note(4 * bar + s / 4, 0.2, drum, touch(rng, loud)) for s, drum in zip(range(12, 16), (50, 47, 45, 41))]
    return Part(0, notes, int(rng.integers(60, 115)), drums=True)


def melody(rng: np.random.Generator, harmony: Harmony, bars: int) -> Part:
    """A line of steps and small leaps in a singer's range, in phrases with rests between them."""
    lowest, loud = int(rng.integers(48, 70)), int(rng.integers(75, 120))
    sliding, lengths = rng.random() < 0.3, rng.choice([0.5, 1.0, 2.0]) * np.array([0.5, 1.0, 1.0, 1.5, 2.0])
    notes, beat, step = [], float(rng.choice([0.0, 0.0, 4.0])), int(rng.integers(0, 9))
    while beat < 4 * bars:
        beats = float(rng.choice(lengths))
        if rng.random() < 0.13:
            beat += beats * rng.integers(1, 4)
            continue
        on_chord = (harmony.degree(int(beat // 4)) + int(rng.choice([0, 2, 4]))) % 7
        step = on_chord if rng.random() < 0.2 else int(np.clip(step + rng.choice([-3, -2, -1, -1, 0, 1, 1, 2, 3]), 0, 10))
        scoop = float(rng.uniform(-2, 1)) if sliding and rng.random() < 0.4 else 0.0
        notes.append(Note(beat, beats * rng.uniform(0.5, 1.05), harmony.pitch(step, lowest), touch(rng, loud), scoop))
        beat += beats
    modulation = int(rng.choice([0, 0, 40, 80]))
    return Part(pick(rng, MELODY_PROGRAMS), notes, int(rng.integers(70, 120)), modulation, int(rng.integers(40, 88)))


def pick(rng: np.random.Generator, programs: Sequence[int]) -> int:
    return int(programs[int(rng.integers(len(programs)))])


def touch(rng: np.random.Generator, loud: int) -> int:
    return int(np.clip(loud + rng.normal(0, 8), 1, 127))


# ---- the MIDI file -----------------------------------------------------------------------------


def midi_file(piece: Piece) -> mido.MidiFile:
    """The piece as a standard MIDI file of type 1. Raises DataError where mido is missing."""
    mido = import_mido()
    score = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT)
    score.add_track().append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(piece.tempo_bpm)))
    channels = iter(c for c in range(16) if c != DRUM_CHANNEL)
    for part in piece.parts:
        channel = DRUM_CHANNEL if part.drums else next(channels)
        track, last = score.add_track(), 0
        for ticks, message in sorted(messages(mido, part, channel), key=lambda pair: pair[0]):
            track.append(message.copy(time=ticks - last))
            last = ticks
    return score


def messages(mido, part: Part, channel: int) -> list[tuple[int, mido.Message]]:
    """What the channel receives, as (ticks, message); at one moment set-up, then ends, then beginnings."""
    settings = {7: part.volume, 1: part.modulation, 10: part.pan}
    head = [mido.Message("program_change", channel=channel, program=part.program)]
    head += [mido.Message("control_change", channel=channel, control=c, value=v) for c, v in settings.items()]
    ends, begins = [], []
    for n in part.notes:
        on, off = ticks(n.beat), max(ticks(n.beat) + 1, ticks(n.beat + n.beats))
        begins += slide(mido, n, channel, on)
        begins.append((on, mido.Message("note_on", channel=channel, note=n.pitch, velocity=n.velocity)))
        ends.append((off, mido.Message("note_off", channel=channel, note=n.pitch)))
    return [(0, message) for message in head] + ends + begins


def slide(mido, note: Note, channel: int, on: int) -> list[tuple[int, mido.Message]]:
    """Pitch bends from ``note.scoop`` to the note over a quarter beat; none for a note without."""
    if not note.scoop:
        return []
    bends = np.linspace(note.scoop, 0.0, 9) / BEND_RANGE * 8191
    return [(on + i * TICKS_PER_BEAT // 32, mido.Message("pitchwheel", channel=channel, pitch=int(b))) for i, b in enumerate(bends)]


def ticks(beat: float) -> int:
    return round(beat * TICKS_PER_BEAT)


def import_mido():
    try:
        import mido
    except ImportError as error:
        raise DataError("General MIDI accompaniment needs mido; pip install mido") from error
    return mido


# ---- the rendering -----------------------------------------------------------------------------


def available() -> bool:
    """Whether pieces can be rendered here."""
    try:
        return bool(find_fluidsynth() and find_soundfont() and import_mido())
    except DataError:
        return False


def find_fluidsynth() -> str:
    found = shutil.which("fluidsynth")
    if not found:
        raise DataError("there is no command fluidsynth; install it (Debian: apt install fluidsynth fluid-soundfont-gm)")
    return found


def find_soundfont() -> Path:
    """$RT_MELODY_SOUNDFONT, else the first of ``SOUNDFONTS`` by name that holds General MIDI. Raises DataError."""
    named = os.environ.get(SOUNDFONT_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise DataError(f"{SOUNDFONT_VARIABLE} is {named}, which is no file; give a SoundFont (.sf2)")
        if lack := lacking(Path(named)):
            raise DataError(f"{SOUNDFONT_VARIABLE} is {named}, {lack}; give one of the whole General MIDI set")
        return Path(named)
    found = [path for pattern in map(Path, SOUNDFONTS) for path in sorted(pattern.parent.glob(pattern.name))]
    lacks = {path: lacking(path) for path in found}
    whole = [path for path, lack in lacks.items() if not lack]
    if whole:
        return whole[0]
    why = "; ".join(f"{path.name} {lack}" for path, lack in lacks.items()) or "it holds none"
    raise DataError(
        f"no SoundFont in {Path(SOUNDFONTS[0]).parent} is of General MIDI ({why}); install fluid-soundfont-gm or set {SOUNDFONT_VARIABLE}"
    )


def lacking(soundfont: Path) -> str:
    """What keeps a SoundFont from playing General MIDI, as the end of a sentence; "" where nothing does."""
    presets = read_presets(soundfont)
    if not presets:
        return "which is no SoundFont 2"
    programs = {program for bank, program in presets if bank == 0}
    missing = sorted(set(range(128)) - programs)
    if missing:
        return f"which lacks {len(missing)} of General MIDI's 128 programs, such as {missing[0]} (from 0)"
    return "" if (DRUM_BANK, 0) in presets else "which has no drums"


def read_presets(soundfont: Path) -> set[tuple[int, int]]:
    """(bank, program) of every preset of a SoundFont 2; empty for a file that is none.

    Source: SoundFont Technical Specification 2.04, sections 5 to 7.2: a RIFF file ``sfbk`` of the lists INFO, sdta (the
    samples, passed over here) and pdta, whose chunk ``phdr`` has 38 bytes a preset, the last being a terminator.
    """
    with soundfont.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"sfbk":
            return set()
        while len(chunk := file.read(8)) == 8:
            name, size = chunk[:4], int.from_bytes(chunk[4:], "little")
            if name == b"LIST":
                file.seek(4, os.SEEK_CUR)  # into the list, past its name
            elif name == b"phdr":
                records = [file.read(38) for _ in range(size // 38)][:-1]
                return {(bank, program) for program, bank in (struct.unpack_from("<HH", r, 20) for r in records if len(r) == 38)}
            else:
                file.seek(size + size % 2, os.SEEK_CUR)
    return set()


def render(seed: int, seconds: float) -> np.ndarray:
    """Piece ``seed`` [shape=(n_samples,)], 16 kHz, peak 0.5. Raises DataError where it cannot be played."""
    program, font = find_fluidsynth(), find_soundfont()
    with tempfile.TemporaryDirectory() as folder:
        score, wave = Path(folder) / "piece.mid", Path(folder) / "piece.wav"
        midi_file(arrange(seed, seconds)).save(score)
        command = [program, "-n", "-i", "-q", "-g", "0.4", "-r", str(RENDER_RATE), "-O", "float", "-T", "wav", "-F", str(wave)]
        try:
            done = subprocess.run([*command, str(font), str(score)], capture_output=True, text=True, timeout=RENDER_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            raise DataError(f"fluidsynth took more than {RENDER_LIMIT_S} s over {seconds:g} s of music; ask for less") from error
        if done.returncode or not wave.exists():
            raise DataError(f"fluidsynth failed with {font}: {done.stderr.strip() or 'it wrote no sound'}")
        stereo, _ = soundfile.read(wave, dtype="float32", always_2d=True)
    return _finished(stereo.mean(1), round(seconds * SAMPLE_RATE), f"{font}, piece {seed}")


def _finished(sound: np.ndarray, samples: int, what: str) -> np.ndarray:
    sound = soxr.resample(sound, RENDER_RATE, SAMPLE_RATE)[:samples].astype(np.float32)
    if np.sqrt(np.mean(np.square(sound))) < EMPTY_RMS:
        raise DataError(f"{what}: fluidsynth played silence; use a SoundFont of the whole General MIDI set")
    return np.pad(sound * np.float32(0.5 / np.abs(sound).max()), (0, samples - len(sound)))


def write_pieces(folder: Path, count: int, seconds: float, seed: int, jobs: int = 1) -> None:
    """``count`` pieces as FLAC into ``folder``; those that are there already are kept. Raises DataError."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {s: folder / f"gm-{s:07d}-{seconds:g}s.flac" for s in range(seed, seed + count)}
    missing = [s for s, path in names.items() if not path.exists()]

    def write(one: int) -> None:
        beside = names[one].with_suffix(".tmp")
        soundfile.write(beside, render(one, seconds), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
        beside.replace(names[one])

    with ThreadPoolExecutor(jobs) as pool:
        for _ in tqdm(pool.map(write, missing), "General MIDI", total=len(missing)):
            pass


def load_gm(folder: Path) -> list[np.ndarray]:
    """Every piece of a folder that ``write_pieces`` filled, in the order of seeds [shape=(n_samples,) each].

    Raises DataError for a folder without one.
    """
    pieces = load_mono(audio_files(folder))
    if not pieces:
        raise DataError(f"{folder} holds no pieces; make some: python -m rt_melody.models.training.gm --out {folder.name}")
    return pieces


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Render random General MIDI accompaniment by FluidSynth.")
    parser.add_argument("--out", required=True, type=Path, help="folder for the pieces; those that are there are kept")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each piece")
    parser.add_argument("--seed", type=int, default=1, help="of the first piece; the others count up")
    parser.add_argument("--jobs", type=int, default=1, help="pieces rendered at once")
    args = parser.parse_args(arguments)
    if args.count < 1 or args.seconds <= 0 or args.seed < 0 or args.jobs < 1:
        refuse(
            f"count {args.count}, seconds {args.seconds:g}, seed {args.seed}, jobs {args.jobs}: the seed is 0 or more, the others above 0"
        )
    try:
        write_pieces(args.out, args.count, args.seconds, args.seed, args.jobs)
    except DataError as error:
        refuse(str(error))


if __name__ == "__main__":
    main()
