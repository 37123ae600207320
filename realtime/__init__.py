"""Singing in, melody out, while it sounds. The Python API; see README.md for the command line.

Names are loaded when they are first used, so that importing this package needs neither torch nor a device.
"""

from importlib import import_module

_HOMES = {
    "track": "api",
    "Melody": "api",
    "Engine": "engine",
    "DecoderSettings": "engine",
    "NoteTracker": "notes",
    "NoteSettings": "notes",
    "Session": "session",
    "Tally": "session",
    "run": "session",
    "InputError": "types",
    "PitchFrame": "types",
    "NoteOn": "types",
    "NoteOff": "types",
    "PitchBend": "types",
    "Loudness": "types",
    "LatencyBudget": "types",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
