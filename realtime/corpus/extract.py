"""A corpus, from its recordings to their results: what is left to do is done, told and noted, until all is or somebody stops it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from rt_melody.realtime.corpus.extraction import PARTIAL, Entry, Extraction, Extractor, not_written, sha256
from rt_melody.realtime.corpus.inputs import Recording
from rt_melody.realtime.corpus.manifest import Manifest
from rt_melody.realtime.corpus.progress import Progress
from rt_melody.realtime.corpus.workers import Outcome, run_tasks
from rt_melody.realtime.errors import OutputError, SettingsError
from rt_melody.realtime.formats.table import FORMATS
from rt_melody.realtime.signals import StopSignals, signal_name

MOST_NAMED = 20  # failures that are listed at the end; the manifest has all
Outcomes = Callable[[Iterable[Recording], Callable[[], bool]], Iterable[Outcome]]


def by_processes(extraction: Extraction, jobs: int) -> Outcomes:
    """By processes of this machine."""
    return lambda todo, stop: run_tasks(Extractor, (extraction,), todo, jobs, stop)


def extract(extraction: Extraction, recordings: list[Recording], outcomes: Outcomes, signals: StopSignals) -> int:
    """Do what is not done yet. 0; 1 where a recording failed; 128 + N where signal N stopped it. Raises RtMelodyError where the
    output folder cannot be written, belongs to another run or is of another kind of run."""
    out = Path(extraction.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {out} cannot be made ({error.strerror}); choose another place") from error
    with Manifest(out, extraction.head()) as manifest:
        partial = out / PARTIAL
        shutil.rmtree(partial, ignore_errors=True)  # of a run that was killed
        try:
            partial.mkdir()
        except OSError as error:
            raise not_written(out, error) from error
        try:
            return _Run(extraction, recordings, manifest).run(outcomes, signals)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


class _Run:
    def __init__(self, extraction: Extraction, recordings: list[Recording], manifest: Manifest) -> None:
        self.out, self.formats, self.manifest = Path(extraction.out), extraction.formats, manifest
        self.recordings = recordings
        for recording in recordings:
            self._check_owner(recording)
        self.todo = [self._known(recording) for recording in recordings if not self._is_done(recording)]
        self.failed: list[str] = []

    def _check_owner(self, recording: Recording) -> None:
        """Raises SettingsError where its results would take the place of another's, which an earlier command heard. A sound that
        has moved, or a copy of it, is the same one."""
        entry = self.manifest.entries.get(recording.name, {})
        other = entry.get("sound", recording.path)
        if other == recording.path or entry["status"] != "done" or not os.path.exists(other) or not os.path.exists(recording.path):
            return
        if entry.get("stamp") != stamp(recording.path) and entry.get("sha256") != sha256(Path(recording.path)):
            raise SettingsError(f"{recording.path} would take the place of the results of {other}; rename one, or give another --out")

    def _is_done(self, recording: Recording) -> bool:
        """By the sound's size and time of change; where those differ, its checksum decides."""
        entry = self.manifest.entries.get(recording.name, {})
        return entry.get("status") == "done" and entry.get("stamp") == stamp(recording.path) and self._is_there(recording)

    def _is_there(self, recording: Recording) -> bool:
        stem = self.out / recording.name
        return all(path.exists() for name in self.formats for path in FORMATS[name].paths(stem))

    def _known(self, recording: Recording) -> Recording:
        entry = self.manifest.entries.get(recording.name, {})
        if entry.get("status") != "done" or not self._is_there(recording):
            return recording
        return replace(recording, known_sha256=entry.get("sha256"))

    def run(self, outcomes: Outcomes, signals: StopSignals) -> int:
        total, before = len(self.recordings), len(self.recordings) - len(self.todo)
        with Progress(len(self.todo)) as progress:
            if before:
                progress.say(f"{before} of {total} recordings are done already")
            signals.run()
            done = 0
            for outcome in outcomes(iter(self.todo), signals.stop):
                done += 1
                self._note(outcome, progress)
            self._tell(before + done, progress)
        if signals.came is not None and done < len(self.todo):
            progress.say(f"stopped by {signal_name(signals.came)}: the same command goes on where this one stopped")
            return 128 + signals.came
        self.manifest.sort()
        self._join_tables()
        return 1 if self.failed else 0

    def _note(self, outcome: Outcome, progress: Progress) -> None:
        recording: Recording = outcome.task
        entry = self._entry(recording, outcome)
        if entry["status"] == "same":
            entry = self.manifest.entries[recording.name]
        if entry["status"] == "failed":
            self.failed.append(recording.path)
            progress.say(_of(recording, entry["error"]))
        for remark in entry.get("remarks", ()):
            progress.say(_of(recording, remark))
        self.manifest.add({**entry, "stamp": stamp(recording.path)})
        progress.step(entry.get("seconds") or 0.0)

    def _entry(self, recording: Recording, outcome: Outcome) -> Entry:
        if isinstance(outcome.error, (OutputError, SettingsError)):  # no other recording would fare better
            raise outcome.error
        lost: Entry = {"path": recording.name, "sound": recording.path, "status": "failed"}
        if outcome.given_up:
            how = f"{len(outcome.died)} workers died on it ({', '.join(dict.fromkeys(outcome.died))})"
            return {**lost, "error": f"{how}; it is left out, and tried again next time"}
        if outcome.error is not None:
            return {**lost, "error": str(outcome.error).strip()}
        return outcome.result

    def _tell(self, done: int, progress: Progress) -> None:
        if self.failed:
            named, others = sorted(self.failed)[:MOST_NAMED], len(self.failed) - MOST_NAMED
            more = f" and {others} more, see {self.manifest.path}" if others > 0 else ""
            progress.say(f"{len(self.failed)} of {len(self.recordings)} recordings failed: {', '.join(named)}{more}")
        progress.say(f"{done - len(self.failed)} of {len(self.recordings)} recordings are in {self.out}; {progress.line()}")

    def _join_tables(self) -> None:
        if "parquet" in self.formats:
            names = sorted(path for path, entry in self.manifest.entries.items() if entry["status"] == "done")
            for table in ("frames", "notes"):
                self._join([self.out / f"{name}.{table}.parquet" for name in names], f"{table}.parquet")

    def _join(self, pieces: list[Path], whole: str) -> None:
        from rt_melody.realtime.formats.parquet import join

        new = self.out / PARTIAL / whole
        try:
            if join([piece for piece in pieces if piece.exists()], new):
                new.replace(self.out / whole)
        except OSError as error:
            raise not_written(self.out, error) from error


def _of(recording: Recording, sentence: str) -> str:
    """The sentence, which names its recording."""
    return sentence if recording.path in sentence else f"{recording.path}: {sentence}"


def stamp(path: str) -> list[int] | None:
    """Size in bytes and time of change in ns, by which a sound is known to be as it was; None where it cannot be seen."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
