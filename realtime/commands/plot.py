"""``rt-melody plot``: a take as a picture, its f0 over the spectrogram of its sound, its notes, and how sure it was.

Matplotlib draws (the extra ``plot``): it is what everybody in the field reads.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rt_melody.realtime.commands.arguments import CommandParser
from rt_melody.realtime.console import print_text
from rt_melody.realtime.errors import InputError, OutputError, SettingsError, missing_package
from rt_melody.realtime.paths import clash
from rt_melody.realtime.settings import make_settings
from rt_melody.realtime.types import NoteOff, NoteOn, PitchFrame, hz_to_midi, note_name

COLUMNS = ("time_s", "f0_hz", "voiced", "confidence", "available_s")
WINDOW_S, STEP_S = 0.064, 0.01  # of the spectrogram
FLOOR_DB = -55.0  # below its loudest part
SPARE_SEMITONES = 4  # above and below what is sung
MOST_HARMONICS = 3  # of the highest note are shown
INCHES_PER_S, WIDTH_INCHES, HEIGHT_INCHES = 0.9, (9.0, 40.0), 6.0
# The colour-blind safe palette of Okabe and Ito (2008), and grey.
SUNG, LABEL, NOTE, SURE = "#E69F00", "#009E73", "#56B4E9", "#0072B2"


@dataclass(frozen=True)
class Take:
    """The rows of a CSV file, an array a column [shape=(n,)]; ``voiced`` is bool."""

    time_s: np.ndarray
    f0_hz: np.ndarray
    voiced: np.ndarray
    confidence: np.ndarray
    available_s: np.ndarray

    @property
    def hop_s(self) -> float:
        return float(np.median(np.diff(self.time_s))) if len(self.time_s) > 1 else STEP_S


@dataclass(frozen=True)
class DrawnNote:
    """A note as it was played."""

    on_s: float
    off_s: float
    note: int


def run(arguments: list[str]) -> int:
    """Draw the picture. Status 0; raises RtMelodyError for what cannot be read or written."""
    asked = _parsed(arguments)
    out = _place(asked)
    pyplot = _load_pyplot()
    take = read_take(asked.take)
    sound = _read_sound(asked.audio) if asked.audio else None
    labels = read_labels(asked.reference) if asked.reference else None
    figure = draw(pyplot, take, notes_of(take), sound, labels, Path(asked.take).name)
    try:
        figure.savefig(out, dpi=110)
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror}); choose another place") from error
    except ValueError as error:
        raise OutputError(f"{out} cannot be written ({error}); give another name, ending in .png, .svg or .pdf") from error
    return print_text(f"drew {out}\n")


def _place(asked: argparse.Namespace) -> Path:
    """Where the picture goes. Raises SettingsError where something else lies there that is read."""
    out = Path(asked.out or Path(asked.take).with_suffix(".png"))
    if out.suffix.lower() == ".csv":
        raise SettingsError(f"--out {out} would overwrite a table; give a picture's name, such as take.png or take.svg")
    if not out.suffix:
        out = out.with_name(f"{out.name}.png")  # as Matplotlib would, so that we know what it is called
    read = {f"--{name} {path}": path for name in ("audio", "reference") if (path := getattr(asked, name))}
    if said := clash({f"the picture {out}": out}, {f"the take {asked.take}": asked.take, **read}):
        raise SettingsError(said)
    return out


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser("plot", "Draws what a --csv file holds: f0 over a spectrogram, notes, confidence.")
    parser.add_argument("take", metavar="TAKE.csv", help="what --csv wrote")
    parser.add_argument("--audio", metavar="FILE", help="the recording that it was made from, for the spectrogram")
    parser.add_argument("--reference", metavar="FILE", help="true f0: lines of time and Hz, 0 where nobody sings, or another --csv file")
    parser.add_argument("--out", metavar="FILE", help="the picture (.png, .svg, .pdf); default: the take's name with .png")
    return parser.parse_args(arguments)


def _load_pyplot() -> Any:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # that it finds no home to keep its list of fonts in is of no use to anybody
    try:
        import matplotlib
    except ImportError as error:
        raise SettingsError(missing_package("rt-melody plot", "matplotlib")) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


# ---- what is read ----------------------------------------------------------------------------------


def read_take(path: str) -> Take:
    """The rows that ``--csv`` wrote. Raises InputError for another file."""
    rows = _rows(path)
    if rows == [",".join(COLUMNS)]:
        raise InputError(f"{path} holds no rows, so that there is nothing to draw; give a take in which something was heard")
    try:
        header, *lines = rows
        at = [header.split(",").index(name) for name in COLUMNS]
        values = np.array([[float(part) for part in line.split(",")] for line in lines if line], float)[:, at]
    except (ValueError, IndexError) as error:
        raise InputError(f"{path} is no file of --csv, whose first line is {','.join(COLUMNS)} and whose rows are numbers") from error
    return Take(values[:, 0], values[:, 1], values[:, 2] > 0.5, values[:, 3], values[:, 4])


def _rows(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({getattr(error, 'strerror', None) or 'it is no text'}); give what --csv wrote") from error


def read_labels(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds and true f0 in Hz, NaN where nobody sings. Two columns by comma, tab or space; one column is f0 each 20 ms, as
    MIR-1K has it (MIDI notes); a file of --csv is taken too. Raises InputError."""
    rows = [row for row in _rows(path) if row.strip()]
    if rows and rows[0].startswith("time_s,"):
        other = read_take(path)
        return other.time_s, np.where(other.voiced, other.f0_hz, np.nan)
    try:
        values = np.array([[float(part) for part in row.replace(",", " ").split()[:2]] for row in rows], float)
    except ValueError as error:
        raise InputError(f"{path} holds no labels: lines of a time in seconds and an f0 in Hz, 0 where nobody sings") from error
    if values.ndim != 2 or not len(values):
        raise InputError(f"{path} holds no labels: lines of a time in seconds and an f0 in Hz, 0 where nobody sings")
    if values.shape[1] == 1:
        notes = values[:, 0]
        f0_hz = np.where(notes > 0, 440.0 * 2.0 ** ((notes - 69.0) / 12.0), np.nan)
        return 0.02 * np.arange(1, len(notes) + 1), f0_hz
    return values[:, 0], np.where(values[:, 1] > 0, values[:, 1], np.nan)


def _read_sound(path: str) -> tuple[np.ndarray, int]:
    from rt_melody.realtime.sources import FileSource

    with FileSource(path) as source:
        return source.whole(), source.sample_rate


def notes_of(take: Take) -> list[DrawnNote]:
    """The notes that the usual settings make of the rows; levels, which a CSV does not hold, count as even."""
    from rt_melody.realtime.notes import NoteTracker
    from rt_melody.realtime.playing.performance import Performer

    settings = make_settings()
    behind_s = float(np.max(take.available_s - take.time_s, initial=take.hop_s))
    performer = Performer(NoteTracker(settings.notes, take.hop_s, 1000.0 * (behind_s - take.hop_s)), settings.performance)
    drawn: list[DrawnNote] = []
    on: NoteOn | None = None
    frames = [
        PitchFrame(i, float(t), float(a), float(f), bool(v), float(c), float(v), -20.0)
        for i, (t, a, f, v, c) in enumerate(zip(take.time_s, take.available_s, take.f0_hz, take.voiced, take.confidence, strict=True))
    ]
    events = [event for frame in frames for event in performer.feed(frame)]
    events += performer.finish(frames[-1].available_s) if frames else []
    for event in events:
        if isinstance(event, NoteOn):
            on = event
        elif isinstance(event, NoteOff) and on is not None:
            drawn.append(DrawnNote(on.time_s, event.time_s, event.note))
            on = None
    return drawn


# ---- what is drawn ---------------------------------------------------------------------------------


def spectrogram(samples: np.ndarray, rate_hz: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times in seconds, frequencies in Hz and dB below the loudest [shape=(n_frequencies, n_times)] of mono samples."""
    window, step = round(WINDOW_S * rate_hz), round(STEP_S * rate_hz)
    padded = np.pad(np.asarray(samples, np.float64), (window // 2, window))
    starts = np.arange(0, max(1, len(samples)), step)
    power = np.abs(np.fft.rfft(np.stack([padded[s : s + window] for s in starts]) * np.hanning(window), 2 * window, axis=1)) ** 2
    level_db = 10.0 * np.log10(power.T + 1e-20)
    return starts / rate_hz, np.fft.rfftfreq(2 * window, 1.0 / rate_hz), np.maximum(level_db - level_db.max(), FLOOR_DB)


def span_hz(*f0_hz: np.ndarray) -> tuple[float, float]:
    """The lowest and the highest frequency to be shown, for what is sung."""
    sung = np.concatenate([f0[np.isfinite(f0) & (f0 > 0)] for f0 in f0_hz]) if f0_hz else np.zeros(0)
    if not len(sung):
        return 60.0, 1500.0
    spare = 2.0 ** (SPARE_SEMITONES / 12.0)
    return float(sung.min() / spare), float(sung.max() * spare)


def draw(
    pyplot: Any,
    take: Take,
    notes: list[DrawnNote],
    sound: tuple[np.ndarray, int] | None,
    labels: tuple[np.ndarray, np.ndarray] | None,
    title: str,
) -> Any:
    """The figure: pitch above, on a logarithmic scale with note names, confidence below."""
    voiced_hz = np.where(take.voiced, take.f0_hz, np.nan)
    lowest, highest = span_hz(voiced_hz, *([labels[1]] if labels else []))
    highest *= MOST_HARMONICS if sound else 1
    length_s = float(take.time_s[-1] - take.time_s[0])
    width = min(WIDTH_INCHES[1], max(WIDTH_INCHES[0], INCHES_PER_S * length_s))
    figure, (above, below) = pyplot.subplots(
        2, 1, sharex=True, figsize=(width, HEIGHT_INCHES), height_ratios=(5, 1), layout="constrained"
    )
    if sound:
        times_s, hz, level_db = spectrogram(*sound)
        shown = (hz >= lowest) & (hz <= highest)
        above.pcolormesh(times_s, hz[shown], level_db[shown], cmap="gray_r", shading="nearest", rasterized=True)
    for number, note in enumerate(notes):
        label = "note" if number == 0 else None
        edges = [440.0 * 2.0 ** ((note.note + side - 69.0) / 12.0) for side in (-0.5, 0.5)]
        above.fill_between([note.on_s, note.off_s], *edges, color=NOTE, alpha=0.45, linewidth=0, label=label)
    if labels:
        above.plot(*labels, color=LABEL, linewidth=3.5, alpha=0.8, label="reference")
    above.plot(take.time_s, voiced_hz, color=SUNG, linewidth=1.6, label="f0")
    _name_notes(above, lowest, highest)
    above.set(ylabel="note", title=title)
    above.legend(loc="upper right", fontsize="small")
    below.fill_between(take.time_s, take.confidence, color=SURE, alpha=0.3, linewidth=0)
    below.plot(take.time_s, take.confidence, color=SURE, linewidth=0.8)
    below.set(ylim=(0, 1), ylabel="confidence", xlabel="seconds", xlim=(take.time_s[0], take.time_s[-1]))
    return figure


def _name_notes(axes: Any, lowest_hz: float, highest_hz: float) -> None:
    """A logarithmic axis with the names of notes: C, E and G where there is room, else C alone."""
    axes.set_yscale("log", base=2)
    axes.set_ylim(lowest_hz, highest_hz)
    first, last = round(hz_to_midi(lowest_hz)), round(hz_to_midi(highest_hz))
    classes = (0, 2, 4, 5, 7, 9, 11) if last - first <= 26 else (0, 4, 7) if last - first <= 45 else (0,)
    named = [note for note in range(first, last + 1) if note % 12 in classes]
    axes.set_yticks([440.0 * 2.0 ** ((note - 69) / 12) for note in named], [note_name(note) for note in named])
    axes.minorticks_off()
    axes.grid(axis="y", alpha=0.25, linewidth=0.6)
