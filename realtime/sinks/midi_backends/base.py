"""What a MIDI back end is: a library that lists the outputs of a machine's MIDI systems, opens one, and sends.

Conventions
-----------
* A back end module has ``make()``, which imports its library and gives a ``BackEnd``, or raises ``BackEndMissing`` with
  the rest of a sentence that begins "MIDI ports need NAME, which ...".
* Whatever a library raises, a client raises ``OSError``.
* A port can leave its system's list without a word to who sends: ``get_ports`` is how it is watched, from another
  thread than the one that sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class BackEndMissing(Exception):
    """A back end cannot be used here; the message says why and what to install."""


@dataclass(frozen=True, slots=True)
class System:
    """A MIDI system: what RtMidi's libraries call it, what people do, and whether it has virtual ports."""

    constant: str
    name: str
    has_virtual: bool = True


WINDOWS_MIDI = "Windows MIDI"

# In the order in which they are tried.
SYSTEMS = (
    System("LINUX_ALSA", "ALSA"),
    System("MACOSX_CORE", "CoreMIDI"),
    System("UNIX_JACK", "JACK"),
    System("WINDOWS_MM", WINDOWS_MIDI, has_virtual=False),
)
NEEDS_BUILDING = (
    "{loaded}: its build found neither ALSA nor JACK; install their headers (Debian: libasound2-dev libjack-jackd2-dev; "
    "Fedora: alsa-lib-devel pipewire-jack-audio-connection-kit-devel; Arch: alsa-lib jack2) and build it again: "
    "pip install --force-reinstall --no-cache-dir --no-binary {package} {package}"
)


class OutputClient(Protocol):
    """A client of one system that sends. Not every library frees its virtual port before ``delete``."""

    def get_ports(self) -> list[str]: ...

    def open_port(self, index: int, name: str) -> None: ...

    def open_virtual_port(self, name: str) -> None: ...

    def send_message(self, message: bytes) -> None: ...

    def close_port(self) -> None: ...

    def delete(self) -> None: ...


class BackEnd(Protocol):
    name: str
    systems: tuple[System, ...]  # that the library was built for

    def output(self, system: System, client_name: str) -> OutputClient:
        """A new client. Raises ``OSError`` where the system does not answer."""
        ...
