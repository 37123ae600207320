"""Which libjack: jackd's or PipeWire's.

Conventions
-----------
* Both answer by one name, libjack.so.0, and each to its own server alone. jackd's is taken where jackd runs, PipeWire's
  where only PipeWire does. A process keeps the first that it loaded.
* Servers are found by their sockets: nothing is started by looking, and nothing is printed.
"""

from __future__ import annotations

import ctypes.util
import os
import re
import socket
import sys
from contextlib import suppress
from glob import glob
from pathlib import Path

PIPEWIRE_LIBRARIES = (
    "/usr/lib/*/pipewire-*/jack/libjack.so.0", "/usr/lib64/pipewire-*/jack/libjack.so.0", "/usr/lib/pipewire-*/jack/libjack.so.0",
)


def library_path() -> str | None:
    """The file to be loaded; None for the one that the system names."""
    if not sys.platform.startswith("linux"):
        return None
    if loaded := _in_memory():
        return loaded
    of_pipewire = sorted(path for pattern in PIPEWIRE_LIBRARIES for path in glob(pattern))
    found = ctypes.util.find_library("jack")
    if of_pipewire and pipewire_runs() and (found is None or not jackd_runs()):
        return of_pipewire[0]
    return None


def _in_memory() -> str | None:
    """A libjack that was loaded before, by LD_PRELOAD or the pw-jack command. What a wheel carries for itself is none."""
    with suppress(OSError):
        paths = re.findall(r"(/\S*/libjack\.so\.0[.0-9]*)$", Path("/proc/self/maps").read_text(), re.MULTILINE)
        return paths[0] if paths else None
    return None


def jackd_runs(name: str | None = None) -> bool:
    """jackd of JACK 2, by the socket on which it takes new clients."""
    name = name or os.environ.get("JACK_DEFAULT_SERVER") or "default"
    return any(_listens(path) for folder in ("/dev/shm", "/tmp") for path in glob(f"{folder}/jack_{name}_*_0"))


def pipewire_runs() -> bool:
    """PipeWire, by the socket of its remote."""
    remote = os.environ.get("PIPEWIRE_REMOTE") or "pipewire-0"
    if remote.startswith("/"):
        return _listens(remote)
    folders = [os.environ.get(name) for name in ("PIPEWIRE_RUNTIME_DIR", "XDG_RUNTIME_DIR", "USERPROFILE")]
    folder = next((folder for folder in folders if folder), None)
    return folder is not None and _listens(os.path.join(folder, remote))


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
