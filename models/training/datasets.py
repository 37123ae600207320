"""Published melody datasets, each read from its own layout into one small record.

Conventions
-----------
* Waveforms are mono float32 at 16 kHz; a file at another rate is resampled (soxr, no delay).
* ``times_s[i]`` is the moment in seconds that ``pitch[i]`` speaks of; ``pitch`` is the fractional MIDI note
  number (69 = 440 Hz), 0 where unvoiced, UNKNOWN (-1) where nobody can tell (``.f0`` labels only).
* Labels without times stand on the grid that their dataset defines: MIR-1K's value i (from 0) at
  ``(i + 1) * 20`` ms, iKala's in the middle of its frame, ``(i + 0.5) * 32`` ms. Those of ADC2004, MIREX05 and
  MedleyDB carry their own times. These are the conventions of mirdata (Bittner et al., ISMIR 2019), which
  has no loader for ADC2004, MIREX05 and SSVD and needs an index file for the others; hence our own parsers.
* Readers are generators: one recording is in memory at a time.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr

SAMPLE_RATE = 16000  # Hz
MIR1K_STEP_S = 0.02
IKALA_STEP_S = 0.032
F0_STEP_S = 0.01
UNKNOWN = -1.0  # a label that says nothing: no loss there, no score
LOWEST_F0_HZ = 20.0  # of a voiced label; below it lies a slip of the pen
HIGHEST_MIDI = 128.0
AUDIO_ENDINGS = (".wav", ".flac", ".opus", ".ogg")

# The clips whose melody is sung, as vocal melody extraction counts them: 12 of 20 and 9 of 13.
ADC2004_SUNG = (
    *(f"{kind}{i}" for kind in ("daisy", "pop") for i in (1, 2, 3, 4)),
    "opera_fem2", "opera_fem4", "opera_male3", "opera_male5",
)
MIREX05_SUNG = tuple(f"train{i:02d}" for i in range(1, 10))

RESEARCH = "research, no redistribution"
NOT_STATED = "none stated; published for evaluation"
MEDLEYDB_LICENCE = "CC BY-NC-SA 4.0"


class DataError(ValueError):
    """Data that cannot be used; the message is one sentence that names the file and the rule."""


@dataclass(frozen=True)
class LabelledNote:
    """A note as annotated."""

    onset_s: float
    offset_s: float
    pitch: float  # fractional MIDI note number


@dataclass(frozen=True)
class Recording:
    """One labelled recording. ``singer`` is the singer or artist, empty where the dataset does not say."""

    dataset: str
    name: str
    singer: str
    licence: str
    waveform: np.ndarray  # [shape=(n_samples,)] the voice alone where the accompaniment is apart, else all
    accompaniment: np.ndarray | None  # [shape=(n_samples,)] sample-aligned with ``waveform``
    times_s: np.ndarray  # [shape=(n_labels,)], empty where only notes are labelled
    pitch: np.ndarray  # [shape=(n_labels,)]
    notes: tuple[LabelledNote, ...] = ()
    sample_rate: int = SAMPLE_RATE

    @property
    def voiced(self) -> np.ndarray:
        return self.pitch > 0.0

    @property
    def f0_hz(self) -> np.ndarray:
        """0 where unvoiced."""
        return np.where(self.voiced, 440.0 * 2.0 ** ((self.pitch - 69.0) / 12.0), 0.0)

    @property
    def mixture(self) -> np.ndarray:
        """The recording as it was released: every track summed."""
        return self.waveform if self.accompaniment is None else self.waveform + self.accompaniment

    @property
    def duration_s(self) -> float:
        return len(self.waveform) / self.sample_rate


# ---------------------------------------------------------------------- datasets


def read_mir1k(folder: Path) -> Iterator[Recording]:
    """MIR-1K (Hsu and Jang 2010): stereo, left accompaniment, right voice; one pitch a line every 20 ms.

    As published (``Wavfile/`` and ``PitchLabel/``), or ``NAME.pv`` beside ``NAME.opus`` in one folder.
    """
    sounds, labels = _either(folder, "Wavfile"), _either(folder, "PitchLabel")
    for path in _labels(labels, "*.pv", "MIR-1K"):
        voice, accompaniment = _voice_and_band(_audio(sounds, path.stem))
        times, pitch = read_mir1k_labels(path)
        yield Recording("MIR-1K", path.stem, path.stem.split("_")[0], RESEARCH, voice, accompaniment, times, pitch)


def read_ikala(folder: Path) -> Iterator[Recording]:
    """iKala (Chan et al. 2015): ``Wavfile/``, ``PitchLabel/``; stereo, left accompaniment, right voice.

    Singers come from ``id_mapping.txt`` (singer, tab, song) where it lies in the folder.
    """
    singers = _ikala_singers(folder / "id_mapping.txt")
    for path in _labels(folder / "PitchLabel", "*.pv", "iKala"):
        voice, accompaniment = _voice_and_band(_audio(folder / "Wavfile", path.stem))
        pitch = read_pitch_column(path)
        times = (np.arange(len(pitch)) + 0.5) * IKALA_STEP_S
        singer = singers.get(path.stem.split("_")[0], "")
        yield Recording("iKala", path.stem, singer, RESEARCH, voice, accompaniment, times, pitch)


def read_adc2004(folder: Path, sung_only: bool = True) -> Iterator[Recording]:
    """ADC2004 (Gomez, Ong, Streich): ``NAME.wav`` beside ``NAMEREF.txt``, time and f0 every 256 / 44100 s."""
    return _read_ref(folder, "ADC2004", ADC2004_SUNG if sung_only else None)


def read_mirex05(folder: Path, sung_only: bool = True) -> Iterator[Recording]:
    """MIREX05's public part (Poliner, Ellis): ``NAME.wav`` beside ``NAMEREF.txt``, time and f0 every 10 ms."""
    return _read_ref(folder, "MIREX05", MIREX05_SUNG if sung_only else None)


def _read_ref(folder: Path, dataset: str, wanted: tuple[str, ...] | None) -> Iterator[Recording]:
    for path in _labels(folder, "*REF.txt", dataset):
        name = path.stem.removesuffix("REF")
        if wanted is None or name in wanted:
            sound = _mono(_audio(folder, name, f"{name}MIDI"))  # MIREX05: train13REF.txt goes with train13MIDI.wav
            yield Recording(dataset, name, "", NOT_STATED, sound, None, *read_timed_f0(path))


def read_medleydb(folder: Path, melody: int = 2) -> Iterator[Recording]:
    """MedleyDB (Bittner et al. 2014): ``ARTIST_TITLE_MIX.wav`` and ``ARTIST_TITLE_MELODY2.csv``, 256 / 44100 s.

    They may lie anywhere under ``folder``: the published tree and mirdata's both do. ``melody`` 1 follows one
    source, 2 whichever leads at each moment; either may be an instrument.
    """
    mixes = {path.name: path for path in folder.rglob("*_MIX.wav")}
    ending = f"_MELODY{melody}.csv"
    for path in _labels(folder, f"**/*{ending}", "MedleyDB"):
        name = path.name.removesuffix(ending)
        if f"{name}_MIX.wav" not in mixes:
            raise DataError(f"{path} has no recording: {name}_MIX.wav must lie somewhere under {folder}")
        sound = _mono(mixes[f"{name}_MIX.wav"])
        yield Recording("MedleyDB", name, name.split("_")[0], MEDLEYDB_LICENCE, sound, None, *read_timed_f0(path))


def read_ssvd(folder: Path) -> Iterator[Recording]:
    """SSVD 2.0: solo takes ``NAME.opus`` (or wav) beside ``NAME.txt``; notes as labelled, no f0.

    The labelled pitches carry a bias of their own in each file; see ``note_bias_cents``.
    """
    nothing = np.zeros(0)
    for path in _labels(folder, "*.txt", "SSVD"):
        sound, notes = _mono(_audio(folder, path.stem)), read_notes(path)
        yield Recording("SSVD", path.stem, "", RESEARCH, sound, None, nothing, nothing, notes)


def read_voices(folder: Path) -> Iterator[Recording]:
    """Clean singing of several corpora: ``CORPUS/NAME.opus`` (or wav) beside ``CORPUS/NAME.f0``, value i (from 0) at
    ``i * 10`` ms, 0 = unvoiced, -1 = unknown.

    Singers, or groups of singers where no more is known, come from the third column of ``sources.tsv`` in the folder
    above, whose first is ``SPLIT/CORPUS/NAME``; without it, each corpus is one.
    """
    groups = _voice_groups(folder.parent / "sources.tsv")
    for path in _labels(folder, "*/*.f0", "voices"):
        corpus = path.parent.name
        singer = groups.get(f"{folder.name}/{corpus}/{path.stem}", corpus)
        yield _f0_recording(corpus, path, _audio(path.parent, path.stem), singer, NOT_STATED)


def read_speech(folder: Path) -> Iterator[Recording]:
    """FDA (Bagshaw 1993): sentences ``SPEAKERnnn.opus`` (or wav) beside ``SPEAKERnnn.f0``, as ``read_voices`` has them."""
    for path in _labels(folder, "*.f0", "FDA"):
        yield _f0_recording("FDA", path, _audio(folder, path.stem), path.stem.rstrip("0123456789"), RESEARCH)


def read_takes(folder: Path, labels: Path) -> Iterator[Recording]:
    """SSVD's solo takes ``FOLDER/NAME.opus`` (or wav) with f0 in ``LABELS/NAME.f0``, as ``training.prepare`` tells it from
    their notes. Takes of neighbouring numbers may be of one singer: those of one thousand count as one."""
    for path in _labels(labels, "*.f0", "SSVD's takes"):
        number = path.stem.split("_")[0]
        singer = f"ssvd-{int(number) // 1000}" if number.isdigit() else f"ssvd-{number.rstrip('0123456789')}"
        yield _f0_recording("SSVD", path, _audio(folder, path.stem), singer, RESEARCH)


def _f0_recording(dataset: str, labels: Path, sound: Path, singer: str, licence: str) -> Recording:
    times, pitch = read_f0_labels(labels)
    waveform = _mono(sound)
    beyond_s = len(pitch) * F0_STEP_S - len(waveform) / SAMPLE_RATE
    if abs(beyond_s) > 2 * F0_STEP_S:
        raise DataError(
            f"{labels} holds {len(pitch)} labels, one each {F0_STEP_S * 1000:g} ms, {sound.name} lasts "
            f"{len(waveform) / SAMPLE_RATE:.2f} s; give it the labels of this sound, or leave both out"
        )
    return Recording(dataset, labels.stem, singer, licence, waveform, None, times, pitch)


READERS: dict[str, Callable[[Path], Iterator[Recording]]] = {
    "mir-1k": read_mir1k,
    "ikala": read_ikala,
    "adc2004": read_adc2004,
    "mirex05": read_mirex05,
    "medleydb": read_medleydb,
    "ssvd": read_ssvd,
    "voices": read_voices,
    "speech": read_speech,
}


def read_dataset(name: str, folder: Path) -> Iterator[Recording]:
    """Recordings of the dataset called ``name`` (a key of READERS), in the order of their names."""
    if name not in READERS:
        raise DataError(f"there is no dataset {name!r}; known are {', '.join(READERS)}")
    return READERS[name](Path(folder))


# ---------------------------------------------------------------------- labels


def read_mir1k_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times in s and fractional MIDI note numbers (0 = unvoiced) of a ``.pv`` file of MIR-1K."""
    pitch = read_pitch_column(path)
    return (np.arange(len(pitch)) + 1) * MIR1K_STEP_S, pitch


def read_pitch_column(path: Path) -> np.ndarray:
    """One fractional MIDI note number a line, 0 = unvoiced [shape=(n_labels,)]."""
    pitch = _rows(path, 1)[:, 0]
    _refuse_first(path, (pitch < 0) | (pitch >= HIGHEST_MIDI), pitch, f"a MIDI note number from 0 to {HIGHEST_MIDI:g}")
    return pitch


def read_f0_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times in s and fractional MIDI note numbers (0 = unvoiced, -1 = unknown) of an ``.f0`` file."""
    pitch = _rows(path, 1)[:, 0]
    wrong = ((pitch < 0) & (pitch != UNKNOWN)) | (pitch >= HIGHEST_MIDI)
    _refuse_first(path, wrong, pitch, f"a MIDI note number from 0 to {HIGHEST_MIDI:g}, or {UNKNOWN:g} where it is not known")
    return np.arange(len(pitch)) * F0_STEP_S, pitch


def read_timed_f0(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times in s and fractional MIDI note numbers of lines ``time_s f0_hz`` (blanks, tabs or a comma between)."""
    times, f0_hz = _rows(path, 2).T
    _refuse_first(path, np.diff(times, prepend=-math.inf) <= 0, times, "a time later than the line before")
    wrong = (f0_hz != 0) & (f0_hz < LOWEST_F0_HZ)
    _refuse_first(path, wrong, f0_hz, f"an f0 of 0 (unvoiced) or of {LOWEST_F0_HZ:g} Hz and more")
    return times, np.where(f0_hz > 0, 69.0 + 12.0 * np.log2(np.maximum(f0_hz, LOWEST_F0_HZ) / 440.0), 0.0)


def read_notes(path: Path) -> tuple[LabelledNote, ...]:
    """Lines ``onset_s offset_s pitch``, pitch in fractional MIDI note numbers."""
    onset, offset, pitch = rows = _rows(path, 3).T
    _refuse_first(path, np.diff(onset, prepend=-math.inf) < 0, onset, "an onset no earlier than the line before")
    _refuse_first(path, offset <= onset, offset, "an offset after its onset")
    _refuse_first(path, (pitch <= 0) | (pitch >= HIGHEST_MIDI), pitch, f"a MIDI note number from 0 to {HIGHEST_MIDI:g}")
    return tuple(LabelledNote(*map(float, row)) for row in rows.T)


def note_bias_cents(notes: Sequence[LabelledNote], times_s: np.ndarray, pitch: np.ndarray) -> float:
    """How far the labels lie above the sound: the median over notes of label minus sung pitch, in cents.

    ``times_s`` and ``pitch`` (0 = unvoiced) are a measurement of the sound; of each note the middle half
    counts. 0 where no note has a voiced measurement.
    """
    differences = []
    for note in notes:
        quarter = (note.offset_s - note.onset_s) / 4.0
        inside = (times_s >= note.onset_s + quarter) & (times_s <= note.offset_s - quarter) & (pitch > 0)
        if inside.any():
            differences.append(note.pitch - float(np.median(pitch[inside])))
    return 100.0 * float(np.median(differences)) if differences else 0.0


def without_bias(notes: Sequence[LabelledNote], bias_cents: float) -> tuple[LabelledNote, ...]:
    """``notes`` lowered by ``bias_cents``."""
    return tuple(replace(note, pitch=note.pitch - bias_cents / 100.0) for note in notes)


# ---------------------------------------------------------------------- files


def read_audio(path: Path) -> np.ndarray:
    """Samples at 16 kHz [shape=(n_samples, n_channels)], float32. Raises DataError."""
    if not Path(path).is_file():
        raise DataError(f"there is no recording {path}")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise DataError(f"{path} cannot be read as audio ({error}); use wav, flac, ogg or opus") from error
    if not len(samples):
        raise DataError(f"{path} holds no samples; leave it and its labels out")
    if not np.isfinite(samples).all():
        raise DataError(f"{path} holds samples that are NaN or infinite; leave it and its labels out")
    return samples if rate == SAMPLE_RATE else soxr.resample(samples, rate, SAMPLE_RATE)


def _mono(path: Path) -> np.ndarray:
    """All channels averaged [shape=(n_samples,)]."""
    return np.ascontiguousarray(read_audio(path).mean(1))


def _voice_and_band(path: Path) -> tuple[np.ndarray, np.ndarray]:
    samples = read_audio(path)
    if samples.shape[1] != 2:
        raise DataError(f"{path} has {samples.shape[1]} channel(s); it must have 2, left accompaniment and right voice")
    return np.ascontiguousarray(samples[:, 1]), np.ascontiguousarray(samples[:, 0])


def _either(folder: Path, inner: str) -> Path:
    return folder / inner if (folder / inner).is_dir() else folder


def _labels(folder: Path, pattern: str, dataset: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise DataError(f"{folder} holds no {pattern}, the labels of {dataset}; give the dataset's own folder")
    return found


def _audio(folder: Path, *names: str) -> Path:
    for name in names:
        for ending in AUDIO_ENDINGS:
            if (folder / f"{name}{ending}").is_file():
                return folder / f"{name}{ending}"
    endings = ", ".join(AUDIO_ENDINGS)
    raise DataError(f"the labels of {names[0]} have no recording: put {folder / names[0]} there, with one of {endings}")


def _rows(path: Path, columns: int) -> np.ndarray:
    """Numbers of a text file [shape=(n_lines, columns)]. An empty line is no row, so it may only end the file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    except OSError as error:
        raise DataError(f"the labels {path} cannot be read ({error.strerror})") from error
    if not lines:
        raise DataError(f"{path} holds no labels; leave it and its recording out")
    rows = [_numbers(line) for line in lines]
    for i, row in enumerate(rows):
        if len(row) != columns:
            raise DataError(f"{path}, line {i + 1}: {lines[i].strip()!r} must be {columns} number(s)")
    return np.array(rows, dtype=np.float64)


def _numbers(line: str) -> list[float]:
    """The finite numbers of a line, none where anything else stands in it."""
    try:
        numbers = [float(field) for field in line.replace(",", " ").split()]
    except ValueError:
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _refuse_first(path: Path, wrong: np.ndarray, values: np.ndarray, rule: str) -> None:
    if wrong.any():
        i = int(np.argmax(wrong))
        raise DataError(f"{path}, line {i + 1}: {values[i]:g} must be {rule}")


def _ikala_singers(path: Path) -> dict[str, str]:
    """Song number -> singer; empty without the file."""
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.reader(lines, delimiter="\t") if len(row) == 2]
    return {song: singer for singer, song in rows if singer != "singer"}


def _voice_groups(path: Path) -> dict[str, str]:
    """``SPLIT/CORPUS/NAME`` -> singer or group; empty without the file."""
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.reader(lines, delimiter="\t") if len(row) >= 3]
    return {row[0]: row[2] for row in rows}
