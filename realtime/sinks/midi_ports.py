"""MIDI output ports of this machine, by one of ``midi_backends``, which is loaded when a port is asked for.

Conventions
-----------
* Systems are tried in the order of the back end's; a virtual port is made on the first that has them, an
  existing port is looked for on each and taken from the first that has it.
* Of outputs of one name in a system, such as those of two interfaces of one make, the second is NAME#2, and so on.
* No JACK server is started by asking, and what the systems' libraries print to standard error while
  being asked is kept away: the sentence of the ``DeviceError`` says it.
* ``lost`` tells who sends, and who does not, that the port's system is gone; nobody waits to find out.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

from rt_melody.realtime.errors import DeviceError, RtMelodyError
from rt_melody.realtime.jack_watch import JackWatch, watch_jack
from rt_melody.realtime.midi_bytes import panic as panic_messages
from rt_melody.realtime.sinks.midi_backends import load_back_end
from rt_melody.realtime.sinks.midi_backends.base import WINDOWS_MIDI, BackEnd, OutputClient, System

CLIENT_NAME = "rt-melody"
PORT_NAME = "out"
OWN_PORTS = b"^rt-melody.*:out$"  # as JACK names them

NO_SYSTEM = (
    "no MIDI system answers here ({tried}): on Linux load ALSA's sequencer (sudo modprobe snd-seq) or "
    "start a JACK server; or write the notes to a file with --midi-file, or send them by --osc"
)
NO_VIRTUAL = (
    "{systems} by the MIDI back end {back_end} has no virtual ports: name an output, --midi-out NAME, or take another back end, "
    "--midi-back-end NAME; MIDI outputs now: {ports}"
)
NO_VIRTUAL_ON_WINDOWS = (
    "Windows has no virtual MIDI ports: make a loopback in Windows MIDI Services (Windows 11) or a port in loopMIDI, and name it, as in "
    '--midi-out "loopMIDI Port"; MIDI outputs now: {ports}'
)


def _plain(name: str) -> str:
    """A port's name without the number that RtMidi adds on Windows, which changes when another device leaves."""
    return re.sub(r" \d+$", "", name) if sys.platform == "win32" else name


class OpenPort:
    """An open output. ``send_message`` raises ``OSError`` where the system is gone.

    ``existing`` tells that ``name`` is another program's port, which can leave the system's list, as
    ``is_there`` then says: nobody tells who sends. ``watch`` is there under JACK.
    """

    def __init__(self, out: OutputClient, name: str, existing: bool, watch: JackWatch | None) -> None:
        self.name = name
        self._out = out
        self._existing = existing
        self._watch = watch

    @property
    def lost(self) -> str | None:
        """Why nothing more can be sent; None while it can. Never waits."""
        return "the JACK server is gone" if self._watch is not None and self._watch.gone else None

    def send_message(self, message: bytes) -> None:
        if self._watch is not None and self._watch.stands_still():
            raise OSError(self.lost or "the JACK server stands still")
        self._out.send_message(message)

    def is_there(self) -> bool:
        """Whether the port still stands in its system's list. For another thread than the one that sends, too."""
        if self.lost:
            raise OSError(self.lost)
        return not self._existing or _plain(self.name) in map(_plain, _ports(self._out))

    def listeners(self) -> list[str] | None:
        """Who is connected; None where the system does not tell."""
        if self._existing:
            return [self.name] if self.is_there() else []
        return None if self._watch is None else self._watch.listeners(OWN_PORTS)

    def await_taking(self, within_s: float) -> None:
        """Wait while JACK's graph stands still, which has not taken what was sent; RtMidi's close waits a second for that."""
        if self._watch is not None and self.listeners():  # by PipeWire's clock a port that nobody hears stands still for ever
            self._watch.await_cycle(within_s)

    def close_port(self) -> None:
        with _quiet():
            self._end_watch()
            self._out.close_port()

    def delete(self) -> None:
        """Free the client; RtMidi waits here until JACK has taken what was sent."""
        with _quiet():
            self._end_watch()
            self._out.delete()

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None


def open_midi_out(port: str | None = None, back_end: str | None = None) -> OpenPort:
    """Open the virtual port ``rt-melody:out``, or the existing output whose name contains ``port``.

    Case does not matter; a name that is equal beats one that contains, and of outputs of one name the first is it.
    ``back_end``: one of ``midi_backends.BACK_ENDS``; None for the first that can be used.
    Raises ``DeviceError`` where no back end or MIDI system answers, no name or several names fit, or the port cannot
    be opened.
    """
    with _quiet():
        library = load_back_end(back_end)
        return _open_virtual(library) if port is None else _open_existing(library, port)


def silence_outputs(names: list[str], back_end: str | None = None) -> list[str]:
    """End all sound on every channel of each of these outputs; the full names. One that cannot be opened keeps no
    other from being silenced; then DeviceError, as ``open_midi_out`` raises it, with what was silenced."""
    silenced: list[str] = []
    failed: list[str] = []
    for name in names:
        try:
            silenced.append(_silence(open_midi_out(name, back_end)))
        except DeviceError as error:
            failed.append(str(error))
    if failed:
        raise DeviceError("; ".join(failed) + (f" (silenced: {', '.join(silenced)})" if silenced else ""))
    return silenced


def _silence(port: OpenPort) -> str:
    try:
        for message in panic_messages():
            port.send_message(message)
    except OSError as error:
        raise DeviceError(f"the MIDI output {port.name} takes no messages ({error}); connect it again") from error
    finally:
        port.close_port()
        port.delete()
    return port.name


def list_midi_outputs(back_end: str | None = None) -> list[str]:
    """Names of the existing MIDI outputs, each once. Raises DeviceError where no back end or MIDI system answers."""
    names: list[str] = []
    answered = False
    with _quiet():
        library = load_back_end(back_end)
        for _, client in _clients(library):
            answered = True
            names += [name for name in _ports(client) if name not in names]
            client.delete()
    if not answered:
        raise _no_system(library)
    return names


def describe_midi_outputs(back_end: str | None = None) -> str:
    """The MIDI outputs as text, or the reason why there are none to show; raises nothing."""
    try:
        names = list_midi_outputs(back_end)
    except RtMelodyError as error:
        return f"MIDI outputs: {error}"
    return "\n  ".join(["MIDI outputs:", *names]) if names else "MIDI outputs: none found; --midi-out without a name makes one"


def _clients(library: BackEnd) -> Iterator[tuple[System, OutputClient]]:
    """A new client of each system that answers."""
    for system in library.systems:
        with suppress(OSError):
            yield system, library.output(system, CLIENT_NAME)


def _no_system(library: BackEnd) -> DeviceError:
    tried = ", ".join(system.name for system in library.systems)
    return DeviceError(NO_SYSTEM.format(tried=tried or "none is built in"))


def _open_virtual(library: BackEnd) -> OpenPort:
    without: dict[str, list[str]] = {}  # by the system's name, its ports
    for system, client in _clients(library):
        if system.has_virtual:
            return _open(system, client, None)
        without[system.name] = _ports(client)
        client.delete()
    if not without:
        raise _no_system(library)
    way_out = NO_VIRTUAL_ON_WINDOWS if WINDOWS_MIDI in without else NO_VIRTUAL
    ports = _listing([name for names in without.values() for name in names])
    raise DeviceError(way_out.format(systems=" and ".join(without), back_end=library.name, ports=ports))


def _open_existing(library: BackEnd, wanted: str) -> OpenPort:
    seen: list[str] = []
    answered = False
    for system, client in _clients(library):
        answered = True
        ports = _ports(client)
        fits = _fitting(wanted, ports)
        if len(fits) == 1:
            return _open(system, client, fits[0])
        client.delete()
        if fits:
            raise DeviceError(
                f"{wanted!r} fits {len(fits)} MIDI outputs; give more of the name: {_listing(fits)}"
            )
        seen += [name for name in ports if name not in seen]
    if not answered:
        raise _no_system(library)
    way_out = f"choose one of: {_listing(seen)}" if seen else "there is none now; start what is to play, or connect it"
    raise DeviceError(f"no MIDI output's name contains {wanted!r}; {way_out}")


def _open(system: System, client: OutputClient, existing: str | None) -> OpenPort:
    """Open the client's one port: virtual, or connected to the ``existing`` one."""
    try:
        if existing is None:
            client.open_virtual_port(PORT_NAME)
        else:
            client.open_port(_ports(client).index(existing), PORT_NAME)
    except (OSError, ValueError) as error:  # ValueError: the existing port has just gone
        client.delete()
        what = "a virtual MIDI port" if existing is None else f"the MIDI output {existing!r}"
        raise DeviceError(
            f"{system.name} cannot open {what} ({error}); close what holds it or name another by --midi-out NAME"
        ) from error
    name = existing or f"{CLIENT_NAME}:{PORT_NAME}"
    return OpenPort(client, name, existing is not None, watch_jack(tries=3) if system.name == "JACK" else None)


def _ports(client: OutputClient) -> list[str]:
    return _told_apart(client.get_ports())


def _told_apart(names: list[str]) -> list[str]:
    """The same names, the second of one name with #2 behind it, and so on."""
    counts = [names[:i].count(name) + 1 for i, name in enumerate(names)]
    return [name if count == 1 else f"{name}#{count}" for name, count in zip(names, counts, strict=True)]


def _fitting(wanted: str, ports: list[str]) -> list[str]:
    """The ports that may be meant: those of that very name, else those whose names contain it."""
    equal = [name for name in ports if name.lower() == wanted.lower()]
    return equal or [name for name in ports if wanted.lower() in name.lower()]


def _listing(names: list[str]) -> str:
    return "; ".join(names) or "none"


@contextmanager
def _quiet() -> Generator[None]:
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
