"""Which recordings a corpus has: folders walked, lists read, patterns; in an order that depends on their names alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePath
from stat import S_ISDIR

from rt_melody.realtime.errors import InputError, SettingsError

SOUNDS = ("*.wav", "*.flac", "*.ogg", "*.opus", "*.mp3", "*.aif", "*.aiff", "*.aifc", "*.w64", "*.caf", "*.au")


@dataclass(frozen=True, order=True)
class Recording:
    """``name``: where its results go in the output folder, without their endings; ``path``: of the sound. ``known_sha256``: that
    of the sound whose results are there already."""

    name: str
    path: str
    known_sha256: str | None = field(default=None, compare=False)


def find_recordings(paths: Sequence[str], lists: Sequence[str], patterns: Sequence[str], out: Path) -> list[Recording]:
    """Each once, by name; a folder that cannot be looked into counts as one, to be told as such. Raises InputError for a path that
    is not there, SettingsError where two would share their results or the output would be among what is read."""
    if not (paths or lists):
        raise InputError("no recordings are named; give folders of them, recordings, or lists by --list")
    found = [recording for path in paths for recording in _of(path, patterns or SOUNDS, out)]
    found += [_listed(line, path) for path in lists for line in _lines(path)]
    if not found:
        raise InputError(f"there is no recording in {' '.join([*paths, *lists])}; name a folder that holds some, or give --match '*.xyz'")
    recordings = sorted(set(found))
    for one, other in zip(recordings, recordings[1:]):  # noqa: RUF007 (itertools.pairwise reads no better)
        if one.name == other.name:
            raise SettingsError(f"{one.path} and {other.path} would share the results {one.name}; rename one, or extract them apart")
    return recordings


def check_apart(recordings: Iterable[Recording], endings: Sequence[str]) -> None:
    """Raises SettingsError where files with these endings would be results of two: such as ``a.sv.csv``, of ``a`` in one format
    and of ``a.sv`` in another."""
    owner: dict[str, Recording] = {}
    for recording in recordings:
        for ending in endings:
            other = owner.setdefault(recording.name + ending, recording)
            if other is not recording:
                file = recording.name + ending
                raise SettingsError(f"{other.path} and {recording.path} would share the result {file}; rename one, or extract them apart")


def _of(path: str, patterns: Sequence[str], out: Path) -> Iterable[Recording]:
    root = Path(path)
    try:
        is_folder = S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError) as error:
        told = f"{path or repr(path)} does not exist; give a folder of recordings, a recording, or a list of them by --list"
        raise InputError(told) from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check its name and permissions") from error
    if not is_folder:
        return [Recording(_stem(root.name), path)]
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(root)):
        raise SettingsError(f"--out {out} lies in {path}, which is read; give a folder elsewhere")
    return _walked(root, patterns)


def _walked(root: Path, patterns: Sequence[str]) -> Iterable[Recording]:
    closed = list[str]()
    for folder, folders, files in os.walk(root, onerror=lambda error: closed.append(error.filename)):
        folders.sort()
        for file in files:
            if any(fnmatch(file.lower(), pattern.lower()) for pattern in patterns):
                path = Path(folder, file)
                yield Recording(_stem(path.relative_to(root).as_posix()), str(path))
    yield from (Recording(os.path.relpath(folder, root), folder) for folder in closed)


def _lines(path: str) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"the list {path} cannot be read ({error.strerror}); give a text file with a path in each line") from error
    text = data.decode("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise InputError(f"the list {path} is no text; give a text file with a path in each line")
    return [line for line in text.splitlines() if line.strip()]


def _listed(path: str, where: str) -> Recording:
    """The structure of a path that stands in a list is kept, without what leads out of the output folder."""
    parts = [part for part in PurePath(path).parts if part not in ("/", "..", PurePath(path).anchor)]
    if not parts:
        raise InputError(f"the list {where} has {path}, which is no recording; folders are given without --list")
    return Recording(_stem("/".join(parts)), path)


def _stem(name: str) -> str:
    return str(PurePath(name).with_suffix("")).replace(os.sep, "/")
