"""Every file format that a tracked recording can be written in: a new one is a module and a line here.

Conventions
-----------
* A module has ``write(sound, paths, style)``, which writes one file for each ending. It is imported when it is used: some
  need a library of the extra ``formats``, which ``check_formats`` asks for before any work is done.
* What is written depends on nothing but the sound and the style: no date, no chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from rt_melody.realtime.errors import OutputError, SettingsError, missing_package
from rt_melody.realtime.formats.tracked import TrackedSound
from rt_melody.realtime.settings import MidiSettings
from rt_melody.realtime.settings.base import did_you_mean


@dataclass(frozen=True)
class Style:
    """What a format may want to know besides the sound. ``offset_s`` is added to times in CSV and MIDI files."""

    tempo_bpm: float = 120.0
    offset_s: float = 0.0
    midi: MidiSettings = field(default_factory=MidiSettings)


@dataclass(frozen=True)
class Format:
    """``module``: in this package; ``endings``: of its files; ``library``: that must be there, by the name that is imported."""

    module: str
    endings: tuple[str, ...]
    meaning: str
    library: str | None = None

    def paths(self, stem: Path) -> list[Path]:
        """Its files for a recording whose results are called ``stem``."""
        return [stem.with_name(stem.name + ending) for ending in self.endings]

    def write(self, sound: TrackedSound, stem: Path, style: Style | None = None) -> list[Path]:
        """Write them, and say which. Raises OutputError for a file that cannot be written."""
        paths = self.paths(stem)
        try:
            import_module(f"rt_melody.realtime.formats.{self.module}").write(sound, paths, style or Style())
        except OSError as error:
            where = error.filename or stem
            raise OutputError(f"{where} cannot be written ({error.strerror}); free some space or choose another place") from error
        return paths


FORMATS = {
    "csv": Format("csv_rows", (".csv",), "one row a hop, as --csv writes it"),
    "midi": Format("midi", (".mid",), "a standard MIDI file, as --midi-file writes it"),
    "mir_eval": Format("mir_eval_text", (".f0.txt", ".notes.txt"), "time and f0, negative where unvoiced; intervals and pitch of notes"),
    "jams": Format("jams_file", (".jams",), "JAMS: pitch_contour and note_hz", "jams"),
    "svl": Format("sonic_visualiser", (".svl", ".notes.svl"), "Sonic Visualiser layers of pitch and notes"),
    "sv_csv": Format("sonic_visualiser_csv", (".sv.csv",), "what Sonic Visualiser imports as time values"),
    "tony": Format("tony", (".pitch.tony.csv", ".notes.tony.csv"), "CSV of pitch and notes, as Tony exports them"),
    "praat_pitch": Format("praat_pitch", (".Pitch",), "a Praat Pitch object"),
    "praat_pitch_tier": Format("praat_pitch_tier", (".PitchTier",), "a Praat PitchTier object"),
    "audacity": Format("audacity", (".labels.txt",), "an Audacity label track of the notes"),
    "musicxml": Format("musicxml", (".musicxml",), "a score in sixteenths at --tempo-bpm", "music21"),
    "ustx": Format("ustx", (".ustx",), "an OpenUtau project: notes with their pitch curve"),
    "parquet": Format("parquet", (".frames.parquet", ".notes.parquet"), "tables of frames and notes", "pyarrow"),
}


def check_formats(names: Iterable[str]) -> None:
    """Raises SettingsError for a name that is no format, or one whose library is not installed."""
    for name in names:
        if name not in FORMATS:
            raise SettingsError(f"--format {name} is no format; {did_you_mean(name, FORMATS)}")
        library = FORMATS[name].library
        if library is not None and find_spec(library) is None:
            raise SettingsError(missing_package(f"--format {name}", library))


def write_formats(sound: TrackedSound, stem: Path, names: Sequence[str], style: Style | None = None) -> list[Path]:
    """Every file of these formats, called ``stem`` and the endings."""
    return [path for name in names for path in FORMATS[name].write(sound, stem, style)]
