"""Which recordings a corpus has: folders walked, lists read, patterns; in an order that depends on their names alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePath

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
    """Each once, by name. Raises InputError for a path that is not there, SettingsError where two would share their results or
    the output would be among what is read."""
    found = [recording for path in paths for recording in _of(path, patterns or SOUNDS, out)]
    found += [Recording(_kept(line), line) for path in lists for line in _lines(path)]
    if not found:
        raise InputError(f"there is no recording in {' '.join([*paths, *lists])}; name a folder that holds some, or give --match '*.xyz'")
    recordings = sorted(set(found))
    for one, other in zip(recordings, recordings[1:]):  # noqa: RUF007 (itertools.pairwise reads no better)
        if one.name == other.name:
            raise SettingsError(f"{one.path} and {other.path} would share the results {one.name}; rename one, or extract them apart")
    return recordings


def _of(path: str, patterns: Sequence[str], out: Path) -> Iterable[Recording]:
    root = Path(path)
    if not root.exists():
        raise InputError(f"{path} does not exist; give a folder of recordings, a recording, or a list of them by --list")
    if not root.is_dir():
        return [Recording(_stem(root.name), path)]
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(root)):
        raise SettingsError(f"--out {out} lies in {path}, which is read; give a folder elsewhere")
    return _walked(root, patterns)


def _walked(root: Path, patterns: Sequence[str]) -> Iterable[Recording]:
    for folder, folders, files in os.walk(root):
        folders.sort()
        for file in files:
            if any(fnmatch(file.lower(), pattern.lower()) for pattern in patterns):
                path = Path(folder, file)
                yield Recording(_stem(path.relative_to(root).as_posix()), str(path))


def _lines(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"the list {path} cannot be read ({error.strerror}); give a text file with a path in each line") from error
    if "\0" in text:
        raise InputError(f"the list {path} is no text; give a text file with a path in each line")
    return [line for line in text.splitlines() if line.strip()]


def _kept(path: str) -> str:
    """The structure of a path that stands in a list, without what leads out of the output folder."""
    return _stem("/".join(part for part in PurePath(path).parts if part not in ("/", "..", PurePath(path).anchor)))


def _stem(name: str) -> str:
    return str(PurePath(name).with_suffix("")).replace(os.sep, "/")
