"""One recording of a corpus: heard, and its results put into their places whole. The same in a process of this machine and on
a cluster.

Conventions
-----------
* Results come to be in a hidden folder of the output folder and are moved, file by file; what is there is replaced.
* They depend on the sound, the settings, the version and the model alone: a tracker that is used again is reset and warm.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rt_melody.models.shipped import find_model
from rt_melody.realtime.api import Melody, hear_file
from rt_melody.realtime.corpus.inputs import Recording
from rt_melody.realtime.errors import InputError, OutputError, RtMelodyError
from rt_melody.realtime.formats.table import Style, write_formats
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.sources import FileSource
from rt_melody.realtime.version import version

PARTIAL = ".rt-melody-partial"
Entry = dict[str, Any]
HEARD_BY = ("tracking", "decoder", "performance", "midi", "notes")  # groups of settings that results depend on

NOT_HEARD = ("tracking.model", "tracking.light", "tracking.trust_model", "tracking.priority")  # the first has its checksum beside them


@dataclass(frozen=True)
class Extraction:
    """What is asked for of every recording."""

    settings: Settings
    formats: tuple[str, ...]
    out: str

    @property
    def style(self) -> Style:
        output = self.settings.output
        return Style(output.tempo_bpm, output.offset_s, self.settings.midi)

    def head(self) -> Entry:
        """What the manifest says of all: what results depend on."""
        said: Entry = {"manifest": 1, "version": version(), "model_sha256": self.model_sha256(), "formats": list(self.formats)}
        return {**said, "settings": self._settings()}

    def model_sha256(self) -> str:
        return sha256(find_model(self.settings.tracking.chosen_model))

    def _settings(self) -> Entry:
        """By group and name, those that results depend on."""
        s = self.settings
        chosen = {f"{group}.{name}": value for group in HEARD_BY for name, value in getattr(s, group).model_dump().items()}
        chosen |= {"source.channel": s.source.channel, "output.tempo_bpm": s.output.tempo_bpm, "output.offset_ms": s.output.offset_ms}
        return {name: value for name, value in chosen.items() if name not in NOT_HEARD}


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal. Raises InputError for one that cannot be read."""
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):
            raise InputError(f"{path} is a pipe; give a file")  # opened, it would wait for somebody who writes
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _sha256(file)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check that it is there, for every worker") from error


def _sha256(file: Any) -> str:  # Python 3.10
    digest = hashlib.sha256()
    while data := file.read(1 << 20):
        digest.update(data)
    return digest.hexdigest()


class Extractor:
    """Works through recordings one after the other with one model. Raises RtMelodyError for what no recording could be heard by,
    such as a model file that is none."""

    def __init__(self, extraction: Extraction) -> None:
        from rt_melody.realtime.engine import load_streaming_model  # takes a second, which the process that hands out work need not wait

        self.asked = extraction
        self.settings_sha256 = hashlib.sha256(repr(sorted(extraction.head()["settings"].items())).encode()).hexdigest()
        self.model_sha256 = extraction.model_sha256()
        tracking = extraction.settings.tracking
        self.model = load_streaming_model(tracking.chosen_model, tracking.trust_model)
        self.trackers: dict[int, MelodyTracker] = {}
        self._tracker(self.model.config.sample_rate)

    def __call__(self, recording: Recording) -> Entry:
        """Its line of the manifest. Raises OutputError where results cannot be written: the others' could not either."""
        began_s = time.perf_counter()
        entry: Entry = {"path": recording.name, "sound": recording.path, "sha256": None, "seconds": None}
        try:
            entry["sha256"] = digest = sha256(Path(recording.path))
            if recording.known_sha256 == digest:
                return {**entry, "status": "same"}
            melody = self.hear(recording.path)
            entry["seconds"] = round(melody.duration_s, 6)
            self.write(melody, recording)
            entry["status"] = "done"
            if melody.remarks:
                entry["remarks"] = list(melody.remarks)
        except OutputError:
            raise
        except RtMelodyError as error:
            entry |= {"status": "failed", "error": str(error)}
        ms = round(1000.0 * (time.perf_counter() - began_s), 3)
        return {**entry, "settings": self.settings_sha256[:12], "model": self.model_sha256[:12], "version": version(), "ms": ms}

    def hear(self, path: str) -> Melody:
        """Raises InputError for what is no recording."""
        with FileSource(path, channel=self.asked.settings.source.channel) as source:
            melody = hear_file(self._tracker(source.sample_rate), source)
        if not len(melody.time_s) and source.notice:
            raise InputError(source.notice)
        return melody

    def _tracker(self, rate: int) -> MelodyTracker:
        """Warm, and as new."""
        tracker = self.trackers.get(rate)
        if tracker is None:
            tracker = MelodyTracker.from_settings(self.asked.settings, rate, self.model, recorded=True)
            tracker.warm_up()
            self.trackers[rate] = tracker
        tracker.reset()
        return tracker

    def write(self, melody: Melody, recording: Recording) -> None:
        """All its files, and each into its place when all are whole."""
        place = Path(self.asked.out) / recording.name
        object.__setattr__(melody, "name", recording.name)
        try:
            folder = Path(tempfile.mkdtemp(dir=Path(self.asked.out) / PARTIAL))
            try:
                paths = write_formats(melody, folder / place.name, self.asked.formats, self.asked.style)
                place.parent.mkdir(parents=True, exist_ok=True)
                for path in paths:
                    os.replace(path, place.with_name(path.name))
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        except (OSError, OutputError) as error:
            raise not_written(place.parent, error) from error


def not_written(where: Path, error: OSError | OutputError) -> OutputError:
    """What ends an extraction: the disk is full, or nothing can be written there any more."""
    cause = error if isinstance(error, OSError) else error.__cause__
    why = getattr(cause, "strerror", None) or cause or error
    return OutputError(
        f"results cannot be written in {where} ({why}); what is done stays done: free some space, and give the same command again"
    )
