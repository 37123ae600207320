"""supriya-midi: the same RtMidi, with wheels for Python 3.13 and later.

Chosen among what has wheels there (November 2026): rtmidi2 ends the process where it cannot reach a system, and
pylibremidi cannot be imported. Tried with version 26.10b4.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from rt_melody.realtime.sinks.midi_backends.base import NEEDS_BUILDING, SYSTEMS, BackEndMissing, System

PACKAGE = "supriya-midi"


class Client:
    """One output client. Its library raises ``RtMidiError``, which is no ``OSError``."""

    def __init__(self, library: ModuleType, api: Any, client_name: str) -> None:
        self._error = library.RtMidiError
        with self._telling():
            self._out = library.MidiOut(api, client_name)

    @contextmanager
    def _telling(self) -> Generator[None]:
        try:
            yield
        except (self._error, RuntimeError) as error:
            raise OSError(str(error)) from error

    def get_ports(self) -> list[str]:
        with self._telling():
            return self._out.get_ports()

    def open_port(self, index: int, name: str) -> None:
        with self._telling():
            self._out.open_port(index, name)

    def open_virtual_port(self, name: str) -> None:
        with self._telling():
            self._out.open_virtual_port(name)

    def send_message(self, message: bytes) -> None:
        try:
            self._out.send_message(message)
        except self._error as error:
            raise OSError(str(error)) from error

    def close_port(self) -> None:
        with self._telling():
            self._out.close_port()

    def delete(self) -> None:
        self._out.delete()


class Supriya:
    name = PACKAGE

    def __init__(self, library: ModuleType) -> None:
        self._library = library
        compiled = library.get_compiled_apis()
        self._api = {system: getattr(library.RtMidiAPI, system.constant, None) for system in SYSTEMS}
        self.systems = tuple(system for system in SYSTEMS if self._api[system] in compiled)
        if not self.systems and compiled:
            raise BackEndMissing(NEEDS_BUILDING.format(loaded="is installed with a dummy for its only MIDI system", package=PACKAGE))

    def output(self, system: System, client_name: str) -> Client:
        return Client(self._library, self._api[system], client_name)


def make() -> Supriya:
    try:
        import supriya_midi  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BackEndMissing(f"cannot be loaded ({error}): pip install --pre {PACKAGE}, which needs Python 3.13 or later") from error
    return Supriya(supriya_midi)
