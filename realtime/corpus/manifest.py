"""What has been done of a corpus: JSON lines in the output folder, one for what holds for all and one a recording.

Conventions
-----------
* A line is written when the results of its recording stand in their places, at once and whole: a run that is killed and begun
  again does what has no line, or one that says ``failed``, or whose sound has changed. Lines that are damaged count as none.
* One run at a time writes to it: it is locked. A run of another version, model, or other settings is refused, since its results
  would not be comparable; but where none is done yet, the new one begins it anew.
* At the end it is written anew, in order, so that it does not tell how often the work was broken off but by ``ms``.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from rt_melody.realtime.errors import OutputError, SettingsError
from rt_melody.realtime.paths import open_to_write

NAME = "manifest.jsonl"
LOCK = ".rt-melody.lock"
BEGINNING = b'{"manifest": '
SAME = ("version", "model_sha256", "settings", "formats")
Entry = dict[str, Any]


class Manifest:
    """That of the folder ``out``, for a run whose ``head`` is this. Raises OutputError where another run writes to it or it
    cannot be written, SettingsError where it is of another kind of run. Use as a context."""

    def __init__(self, out: Path, head: Entry) -> None:
        self.path, self.head = out / NAME, json.loads(json.dumps(head))
        self.entries: dict[str, Entry] = {}
        self._lock = _lock(out)
        try:
            self._read()
            self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115 (closed by close)
            if not self.path.stat().st_size:
                self._append(self.head)
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, OSError):
                raise OutputError(f"{self.path} cannot be written ({error.strerror}); choose another --out") from error
            raise

    def _read(self) -> None:
        """What is there; a last line that was cut off is taken away."""
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        if not data.startswith(BEGINNING[: len(data)]):
            raise SettingsError(f"{self.path} is no manifest of this program; give another --out")
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            os.truncate(self.path, len(whole))
        if whole:
            head, *lines = [_parsed(line) for line in whole.split(b"\n")[:-1]]
            self._take(head, {entry["path"]: entry for entry in lines if _is_entry(entry)})

    def _take(self, head: Entry, entries: dict[str, Entry]) -> None:
        others = [key for key in SAME if head.get(key) != self.head[key]]
        if others and all(entry["status"] == "failed" for entry in entries.values()):
            os.truncate(self.path, 0)
            return
        for key in others:
            how = _difference(key, head.get(key), self.head[key])
            raise SettingsError(f"{self.path} is of a run with {how}; ask for the same, or give another --out")
        self.entries = entries

    def add(self, entry: Entry) -> None:
        """One recording is done. Raises OutputError where the disk is full."""
        self.entries[entry["path"]] = entry
        self._append(entry)

    def _append(self, entry: Entry) -> None:
        line = _line(entry)
        size = os.fstat(self._file.fileno()).st_size
        try:
            if self._file.write(line) < len(line):
                raise OSError(28, os.strerror(28))
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, size)
            raise OutputError(
                f"{self.path} cannot be written further ({error.strerror}); what is done stays done: free some space, and give the "
                "same command again"
            ) from error

    def sort(self) -> None:
        """Write it anew, by path."""
        new = self.path.with_name(self.path.name + ".new")
        with suppress(OSError):  # a full disk: it is as good unsorted
            new.write_bytes(b"".join(map(_line, [self.head, *(self.entries[path] for path in sorted(self.entries))])))
            new.replace(self.path)

    def close(self) -> None:
        self._file.close()
        os.close(self._lock)

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _lock(out: Path) -> int:
    try:
        return open_to_write(out / LOCK)
    except OutputError as error:
        if "another program" in str(error):
            raise OutputError(f"{out} is being written by another run; wait for its end, or give another --out") from error
        raise


def _line(entry: Entry) -> bytes:
    return (json.dumps(entry) + "\n").encode()


def _parsed(line: bytes) -> Entry:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return cast(Entry, entry) if isinstance(entry, dict) else {}


def _is_entry(line: Entry) -> bool:
    return all(isinstance(line.get(key), str) for key in ("path", "status"))


def _difference(key: str, there: Any, here: Any) -> str:
    if key == "settings" and isinstance(there, dict):
        before, now = cast(Entry, there), cast(Entry, here)
        names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        return ", ".join(f"{name} {before.get(name)} (now {now.get(name)})" for name in names[:3])
    return f"the {key.replace('_', ' ')} {_shown(there)} (now {_shown(here)})"


def _shown(value: Any) -> str:
    return " ".join(map(str, cast("list[object]", value))) if isinstance(value, list) else str(value)[:16]
