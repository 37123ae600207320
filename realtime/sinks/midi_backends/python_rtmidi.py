"""python-rtmidi: wheels for Python 3.10 to 3.12."""

from __future__ import annotations

from types import ModuleType

from rt_melody.realtime.sinks.midi_backends.base import NEEDS_BUILDING, SYSTEMS, BackEndMissing, OutputClient, System

PACKAGE = "python-rtmidi"


class PythonRtMidi:
    """Its clients are what we ask for: its ``SystemError`` is an ``OSError``."""

    name = PACKAGE

    def __init__(self, rtmidi: ModuleType) -> None:
        self._rtmidi = rtmidi
        compiled = rtmidi.get_compiled_api()
        self._api = {system: getattr(rtmidi, f"API_{system.constant}", None) for system in SYSTEMS}
        self.systems = tuple(system for system in SYSTEMS if self._api[system] in compiled)
        if not self.systems and getattr(rtmidi, "API_RTMIDI_DUMMY", None) in compiled:
            raise BackEndMissing(NEEDS_BUILDING.format(loaded="is installed with a dummy for its only MIDI system", package=PACKAGE))

    def output(self, system: System, client_name: str) -> OutputClient:
        return self._rtmidi.MidiOut(self._api[system], name=client_name)


def make() -> PythonRtMidi:
    try:
        import rtmidi  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise BackEndMissing(
            f"cannot be loaded ({error}): pip install {PACKAGE}, which needs Python 3.10 to 3.12, or a C++ compiler"
        ) from error
    return PythonRtMidi(rtmidi)
