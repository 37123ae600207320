"""What a MIDI port has to have, whoever opens it: python-rtmidi's are such, and ``midi_ports.open_midi_out`` gives one."""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol


class MidiPort(Protocol):
    def send_message(self, message: bytes) -> None: ...

    def close_port(self) -> None: ...

    def delete(self) -> None: ...


class WatchedPort(MidiPort, Protocol):
    """One that can tell whether it is still there."""

    name: str

    def is_there(self) -> bool: ...


def free(port: MidiPort) -> None:
    """Close and delete, whatever the driver says: one that is gone has nothing left to free."""
    for ending in (port.close_port, port.delete):
        with suppress(Exception):
            ending()
