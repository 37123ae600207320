"""The plugin where hosts look for it, and away again."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from rt_melody.realtime.errors import DeviceError, OutputError
from rt_melody.realtime.plugin.building import FORMATS, build, bundle_name, find_engine

# What hosts search by their formats' own definitions: (for a user, for all users).
LINUX = {"lv2": ("~/.lv2", "/usr/local/lib/lv2"), "vst3": ("~/.vst3", "/usr/local/lib/vst3"), "clap": ("~/.clap", "/usr/lib/clap")}
MACOS = {kind: (f"~/Library/Audio/Plug-Ins/{kind.upper()}", f"/Library/Audio/Plug-Ins/{kind.upper()}") for kind in FORMATS}
NEXT = """
In the workstation: scan for plugins, put rt-melody on the track of the voice, and give a synthesiser's track its MIDI output.
How each does that: docs/plugin.md. rt-melody plugin check plays it here for some seconds.
"""


def place(kind: str, system: bool = False) -> Path:
    """Where a format is installed. Raises DeviceError on a system that has none."""
    if sys.platform == "win32":
        raise DeviceError("the plugin is for Linux and macOS; on Windows play through a virtual MIDI port, see docs/plugin.md")
    places = MACOS if sys.platform == "darwin" else LINUX
    return Path(os.path.expanduser(places[kind][system])) / bundle_name(kind)


def install(kinds: Sequence[str], system: bool, tell: Callable[[str], object]) -> None:
    """Build each format and put it in its place, over an older one. Raises DeviceError or OutputError, in a sentence."""
    for kind in kinds:
        target = place(kind, system)
        with tempfile.TemporaryDirectory() as folder:
            built = build(kind, Path(folder))
            _put(built, target, system)
        tell(f"{kind:<5} {target}")
    if system and (closed := closed_to_others(Path(find_engine()), Path(sys.executable))):
        tell(f"other users will hear no notes: they may not enter or run {closed}; install rt-melody where they may, and this again")
    tell(NEXT.strip("\n"))


def closed_to_others(*programs: Path) -> Path | None:
    """What keeps other users from running one of these, a folder or the program itself; None where nothing does."""
    for program in programs:
        real = program.resolve()
        for each in (*reversed(program.absolute().parents), *reversed(real.parents), real):
            if not each.stat().st_mode & stat.S_IXOTH:
                return each
    return None


def _put(built: Path, target: Path, system: bool) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}.new")
        _remove(fresh)
        shutil.move(str(built), fresh)
        _remove(target)  # a host that has it loaded keeps what it has
        fresh.rename(target)
    except OSError as error:
        way_out = "run this as root" if system else "make that folder writable, or install for all users with --system"
        raise OutputError(f"{target} cannot be written ({error.strerror or error}); {way_out}") from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def uninstall(kinds: Sequence[str], system: bool, tell: Callable[[str], object]) -> None:
    """Remove each format that is there. Raises OutputError where that is refused."""
    there = [path for path in (place(kind, system) for kind in kinds) if path.exists()]
    for path in there:
        try:
            _remove(path)
        except OSError as error:
            raise OutputError(f"{path} cannot be removed ({error.strerror or error}); run this as its owner") from error
        tell(f"removed {path}")
    if not there:
        tell(f"no plugin of ours is installed for {'all users' if system else 'you'}")


def installed(kind: str) -> Path | None:
    """The bundle that hosts find; a user's own goes first."""
    return next((path for system in (False, True) if (path := place(kind, system)).exists()), None)
