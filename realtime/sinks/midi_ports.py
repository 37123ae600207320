"""MIDI output ports of this machine, by python-rtmidi, which is imported when one is asked for.

Conventions
-----------
* Systems are tried in the order of ``SYSTEMS``; a virtual port is made on the first that answers, an
  existing port is looked for on each and taken from the first that has it.
* No JACK server is started by asking, and what the systems' libraries print to standard error while
  being asked is kept away: the sentence of the ``InputError`` says it.
* Under JACK, RtMidi's ``send_message`` waits for ever once the server is gone and its buffer of some
  2000 messages is full. ``OpenPort`` therefore looks every ``CHECK_EVERY`` messages whether its port is still
  listed, which takes some 20 microseconds.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from rt_melody.realtime.types import InputError

CLIENT_NAME = "rt-melody"
WATCH_NAME = "rt-melody-watch"
PORT_NAME = "out"
CHECK_EVERY = 256

# (name of the constant in rtmidi, what people call it, whether it has virtual ports)
SYSTEMS = (
    ("API_LINUX_ALSA", "ALSA", True),
    ("API_MACOSX_CORE", "CoreMIDI", True),
    ("API_UNIX_JACK", "JACK", True),
    ("API_WINDOWS_MM", "Windows MIDI", False),
)

NO_SYSTEM = (
    "no MIDI system answers here ({tried}): on Linux load ALSA's sequencer (sudo modprobe snd-seq) or "
    "start a JACK server; or write the notes to a file with --midi-file, or send them by --osc"
)
NO_VIRTUAL = (
    "Windows has no virtual MIDI ports: install loopMIDI, make a port in it and name it, as in "
    '--midi-out "loopMIDI Port"; MIDI outputs now: {ports}'
)


class OpenPort:
    """An open output that notices when it is gone.

    ``lister`` is an rtmidi client whose list of ports holds ``listed`` as long as this port is there;
    None where a port cannot go away. ``send_message`` raises ``OSError`` when the port has gone.
    """

    def __init__(self, out: Any, name: str, lister: Any = None, listed: str = "") -> None:
        self.name = name
        self._out = out
        self._lister = lister
        self._listed = listed
        self._unchecked = 0

    def send_message(self, message: bytes) -> None:
        self._unchecked += 1
        if self._unchecked >= CHECK_EVERY:
            self._unchecked = 0
            self._check()
        self._out.send_message(message)

    def _check(self) -> None:
        if self._lister is not None and self._listed not in self._lister.get_ports():
            raise OSError(f"the port {self.name} is gone")

    def close_port(self) -> None:
        with _quiet():
            self._out.close_port()

    def delete(self) -> None:
        """Free the clients; RtMidi waits here until JACK has taken what was sent."""
        with _quiet():
            self._out.delete()
            if self._lister is not None and self._lister is not self._out:
                self._lister.delete()


def open_midi_out(port: str | None = None) -> OpenPort:
    """Open the virtual port ``rt-melody:out``, or the existing output whose name contains ``port``.

    Case does not matter; a name that is equal beats one that contains. Raises ``InputError`` where no
    MIDI system answers, no name or several names fit, or the port cannot be opened.
    """
    rtmidi = _import_rtmidi()
    with _quiet():
        return _open_virtual(rtmidi) if port is None else _open_existing(rtmidi, port)


def list_midi_outputs() -> list[str]:
    """Names of the existing MIDI outputs, each once; empty where no MIDI system answers."""
    try:
        rtmidi = _import_rtmidi()
    except InputError:
        return []
    names: list[str] = []
    with _quiet():
        for _, _, client in _clients(rtmidi):
            names += [name for name in client.get_ports() if name not in names]
            client.delete()
    return names


def _import_rtmidi() -> ModuleType:
    try:
        import rtmidi
    except ImportError as error:
        raise InputError(
            f"MIDI ports need python-rtmidi, which cannot be loaded ({error}): pip install python-rtmidi"
        ) from error
    return rtmidi


def _clients(rtmidi: ModuleType) -> Iterator[tuple[str, bool, Any]]:
    """(system, whether it has virtual ports, a new output client) of each system that answers."""
    compiled = rtmidi.get_compiled_api()
    for constant, system, has_virtual in SYSTEMS:
        api = getattr(rtmidi, constant, None)
        if api in compiled:
            with suppress(OSError):  # rtmidi.SystemError is one
                yield system, has_virtual, rtmidi.MidiOut(api, name=CLIENT_NAME)


def _no_system(rtmidi: ModuleType) -> InputError:
    compiled = rtmidi.get_compiled_api()
    tried = [system for constant, system, _ in SYSTEMS if getattr(rtmidi, constant, None) in compiled]
    return InputError(NO_SYSTEM.format(tried=", ".join(tried) or "none is built in"))


def _open_virtual(rtmidi: ModuleType) -> OpenPort:
    for system, has_virtual, client in _clients(rtmidi):
        if has_virtual:
            return _make_virtual(rtmidi, system, client)
        ports = client.get_ports()
        client.delete()
        raise InputError(NO_VIRTUAL.format(ports=_listing(ports)))
    raise _no_system(rtmidi)


def _make_virtual(rtmidi: ModuleType, system: str, client: Any) -> OpenPort:
    try:
        watch = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, name=WATCH_NAME) if system == "JACK" else None
        before = watch.get_ports() if watch else []
        client.open_virtual_port(PORT_NAME)
    except OSError as error:
        client.delete()
        raise InputError(
            f"{system} refuses a virtual MIDI port ({error}); name an existing one with --midi-out NAME"
        ) from error
    return _watched(client, watch, before) if watch else OpenPort(client, f"{CLIENT_NAME}:{PORT_NAME}")


def _watched(client: Any, watch: Any, before: list[str]) -> OpenPort:
    """The virtual port with a second client that sees whether it is still there: ours is the new name."""
    new = [name for name in watch.get_ports() if name not in before and name.startswith(CLIENT_NAME)]
    if len(new) == 1:
        return OpenPort(client, new[0], watch, new[0])
    watch.delete()
    return OpenPort(client, f"{CLIENT_NAME}:{PORT_NAME}")


def _open_existing(rtmidi: ModuleType, wanted: str) -> OpenPort:
    seen: list[str] = []
    answered = False
    for _, _, client in _clients(rtmidi):
        answered = True
        ports = client.get_ports()
        fits = _fitting(wanted, ports)
        if len(fits) == 1:
            return _connect(client, fits[0], ports[fits[0]])
        client.delete()
        if fits:
            several = _listing([ports[i] for i in fits])
            raise InputError(f"{wanted!r} fits {len(fits)} MIDI outputs; give more of the name: {several}")
        seen += [name for name in ports if name not in seen]
    if not answered:
        raise _no_system(rtmidi)
    raise InputError(f"no MIDI output's name contains {wanted!r}; the outputs are: {_listing(seen)}")


def _fitting(wanted: str, ports: list[str]) -> list[int]:
    """Indices of the ports that may be meant: those of that very name, else those whose names contain it."""
    equal = [i for i, name in enumerate(ports) if name.lower() == wanted.lower()]
    return equal or [i for i, name in enumerate(ports) if wanted.lower() in name.lower()]


def _connect(client: Any, index: int, name: str) -> OpenPort:
    try:
        client.open_port(index, PORT_NAME)
    except OSError as error:
        client.delete()
        raise InputError(
            f"the MIDI output {name!r} cannot be opened ({error}); close the program that holds it"
        ) from error
    return OpenPort(client, name, client, name)


def _listing(names: list[str]) -> str:
    return "; ".join(names) or "none"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' standard error away, and keep JACK from starting a server."""
    before = os.environ.get("JACK_NO_START_SERVER")
    os.environ["JACK_NO_START_SERVER"] = "1"
    saved = _divert_stderr()
    try:
        yield
    finally:
        if saved is not None:
            os.dup2(saved, 2)
            os.close(saved)
        if before is None:
            del os.environ["JACK_NO_START_SERVER"]
        else:
            os.environ["JACK_NO_START_SERVER"] = before


def _divert_stderr() -> int | None:
    """Point file descriptor 2 at nothing; a copy of what it was, or None where there is none."""
    try:
        saved = os.dup(2)
    except OSError:  # a program without a console
        return None
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)
    return saved
