"""The libraries that reach a machine's MIDI ports, in one table: the first that is installed and works here is used."""

from __future__ import annotations

import sys
from importlib import import_module

from rt_melody.realtime.errors import DeviceError, SettingsError
from rt_melody.realtime.jack_watch import load_libjack
from rt_melody.realtime.sinks.midi_backends.base import BackEnd, BackEndMissing

# What pip calls each -> (the module here that makes it, the first Python that it has wheels for, the last).
BACK_ENDS = {
    "python-rtmidi": ("python_rtmidi", (3, 10), (3, 12)),
    "supriya-midi": ("supriya", (3, 13), (3, 14)),
}


def load_back_end(name: str | None = None) -> BackEnd:
    """The back end called ``name``, or the first of the table that can be used here.

    Raises ``SettingsError`` for a name that is not in the table, and ``DeviceError`` where none can be used.
    """
    if name is not None and name not in BACK_ENDS:
        raise SettingsError(f"MIDI back end {name!r} is unknown; use one of {', '.join(BACK_ENDS)}")
    load_libjack()  # before any library that brings a libjack of its own
    reasons: dict[str, str] = {}
    for each in [name] if name else BACK_ENDS:
        try:
            return import_module(f"{__name__}.{BACK_ENDS[each][0]}").make()
        except BackEndMissing as error:
            reasons[each] = str(error)
    wanted = name or suited()
    others = f"; or leave --midi-back-end out, or give another: {', '.join(each for each in BACK_ENDS if each != name)}" if name else ""
    raise DeviceError(f"MIDI ports need {wanted}, which {reasons[wanted]}{others}")


def suited() -> str:
    """The back end that has wheels for this Python."""
    now = sys.version_info[:2]
    return next((name for name, (_, first, last) in BACK_ENDS.items() if first <= now <= last), list(BACK_ENDS)[-1])
