"""MIDI output ports of this machine, by python-rtmidi, which is imported when one is asked for.

Conventions
-----------
* Systems are tried in the order of ``SYSTEMS``; a virtual port is made on the first that answers, an
  existing port is looked for on each and taken from the first that has it.
* Of outputs of one name in a system, such as those of two interfaces of one make, the second is NAME#2, and so on.
* No JACK server is started by asking, and what the systems' libraries print to standard error while
  being asked is kept away: the sentence of the ``DeviceError`` says it.
* Under JACK, RtMidi's ``send_message`` waits for ever once the server is gone and its buffer of some
  2300 messages is full, and lists of ports go on showing what was there. So a second client,
  ``rt-melody-watch``, listens to our own port, and the port is given up when nothing was heard of many messages.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

from rt_melody.realtime.midi_bytes import panic as panic_messages
from rt_melody.realtime.errors import DeviceError

CLIENT_NAME = "rt-melody"
WATCH_NAME = "rt-melody-watch"
PORT_NAME = "out"
CHECK_EVERY = 256  # messages between two looks at whether the JACK server is still there
UNHEARD_MOST = 1024  # messages sent without an echo before one is listened for at each
LISTEN_S = 0.5  # how long; JACK's longest period is under 0.2 s
ECHO_QUEUE = 4096  # messages; RtMidi complains on standard error when it overflows

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


class _Echo:
    """Hears, as a JACK client of its own, what the server passed on of our port."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._unheard = 0
        self._doubted_s: float | None = None  # since when too many are unheard

    @property
    def doubts(self) -> bool:
        """Whether the next message is the time to ask again."""
        return self._doubted_s is not None

    def is_silent(self, sent: int) -> bool:
        """Whether the server is gone, ``sent`` messages after the last call. Never waits: it is asked again."""
        self._unheard += sent
        if self._heard() or self._unheard < UNHEARD_MOST:
            self._doubted_s = None
            return False
        if self._doubted_s is None:
            self._doubted_s = time.monotonic()
        return time.monotonic() - self._doubted_s >= LISTEN_S

    def _heard(self) -> bool:
        if self._client.get_message() is None:
            return False
        while self._client.get_message() is not None:
            pass
        self._unheard = 0
        return True

    def close(self) -> None:
        self._client.close_port()
        self._client.delete()


def _plain(name: str) -> str:
    """A port's name without the number that RtMidi adds on Windows, which changes when another device leaves."""
    return re.sub(r" \d+$", "", name) if sys.platform == "win32" else name


class OpenPort:
    """An open output. ``send_message`` raises ``OSError`` where the system is gone.

    ``existing`` tells that ``name`` is another program's port, which can leave the system's list, as
    ``is_there`` then says: nobody tells who sends. ``echo`` is there under JACK.
    """

    def __init__(self, out: Any, name: str, existing: bool, echo: _Echo | None) -> None:
        self.name = name
        self._out = out
        self._existing = existing
        self._echo = echo
        self._unchecked = 0

    def send_message(self, message: bytes) -> None:
        self._unchecked += 1
        if self._unchecked >= CHECK_EVERY or (self._echo is not None and self._echo.doubts):
            self._check()
        self._out.send_message(message)

    def _check(self) -> None:
        sent, self._unchecked = self._unchecked, 0
        if self._echo is not None and self._echo.is_silent(sent):
            raise OSError("the JACK server is gone")

    def is_there(self) -> bool:
        """Whether the port still stands in the system's list. For another thread than the one that sends, too."""
        return not self._existing or _plain(self.name) in map(_plain, _ports(self._out))

    def close_port(self) -> None:
        with _quiet():
            self._end_echo()
            self._out.close_port()

    def delete(self) -> None:
        """Free the client; RtMidi waits here until JACK has taken what was sent."""
        with _quiet():
            self._end_echo()
            self._out.delete()

    def _end_echo(self) -> None:
        """Before our own port: libjack crashes, once in some 30 times, where the port it listens to goes first."""
        if self._echo is not None:
            self._echo.close()
            self._echo = None


def open_midi_out(port: str | None = None) -> OpenPort:
    """Open the virtual port ``rt-melody:out``, or the existing output whose name contains ``port``.

    Case does not matter; a name that is equal beats one that contains, and of outputs of one name the first is it.
    Raises ``DeviceError`` where no MIDI system answers, no name or several names fit, or the port cannot be opened.
    """
    rtmidi = _import_rtmidi()
    with _quiet():
        return _open_virtual(rtmidi) if port is None else _open_existing(rtmidi, port)


def silence_outputs(names: list[str]) -> list[str]:
    """End all sound on every channel of each of these outputs; the full names. One that cannot be opened keeps no
    other from being silenced; then DeviceError, as ``open_midi_out`` raises it, with what was silenced."""
    silenced, failed = [], []
    for name in names:
        try:
            silenced.append(_silence(open_midi_out(name)))
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


def list_midi_outputs() -> list[str]:
    """Names of the existing MIDI outputs, each once. Raises DeviceError where no MIDI system answers."""
    rtmidi = _import_rtmidi()
    names: list[str] = []
    answered = False
    with _quiet():
        for _, _, client in _clients(rtmidi):
            answered = True
            names += [name for name in _ports(client) if name not in names]
            client.delete()
    if not answered:
        raise _no_system(rtmidi)
    return names


def describe_midi_outputs() -> str:
    """The MIDI outputs as text, or the reason why there are none to show; raises nothing."""
    try:
        names = list_midi_outputs()
    except DeviceError as error:
        return f"MIDI outputs: {error}"
    return "\n  ".join(["MIDI outputs:", *names]) if names else "MIDI outputs: none found; --midi-out without a name makes one"


def _import_rtmidi() -> ModuleType:
    try:
        import rtmidi
    except ImportError as error:
        raise DeviceError(
            f"MIDI ports need python-rtmidi, which cannot be loaded ({error}): pip install python-rtmidi, "
            "which needs Python 3.10 to 3.12, or a C++ compiler"
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


def _no_system(rtmidi: ModuleType) -> DeviceError:
    compiled = rtmidi.get_compiled_api()
    tried = [system for constant, system, _ in SYSTEMS if getattr(rtmidi, constant, None) in compiled]
    return DeviceError(NO_SYSTEM.format(tried=", ".join(tried) or "none is built in"))


def _open_virtual(rtmidi: ModuleType) -> OpenPort:
    for system, has_virtual, client in _clients(rtmidi):
        if has_virtual:
            return _open(rtmidi, system, client, None)
        ports = _ports(client)
        client.delete()
        raise DeviceError(NO_VIRTUAL.format(ports=_listing(ports)))
    raise _no_system(rtmidi)


def _open_existing(rtmidi: ModuleType, wanted: str) -> OpenPort:
    seen: list[str] = []
    answered = False
    for system, _, client in _clients(rtmidi):
        answered = True
        ports = _ports(client)
        fits = _fitting(wanted, ports)
        if len(fits) == 1:
            return _open(rtmidi, system, client, fits[0])
        client.delete()
        if fits:
            raise DeviceError(
                f"{wanted!r} fits {len(fits)} MIDI outputs; give more of the name: {_listing(fits)}"
            )
        seen += [name for name in ports if name not in seen]
    if not answered:
        raise _no_system(rtmidi)
    raise DeviceError(f"no MIDI output's name contains {wanted!r}; the outputs are: {_listing(seen)}")


def _open(rtmidi: ModuleType, system: str, client: Any, existing: str | None) -> OpenPort:
    """Open the client's one port: virtual, or connected to the ``existing`` one."""
    try:
        watch = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, WATCH_NAME, ECHO_QUEUE) if system == "JACK" else None
        before = watch.get_ports() if watch else []
        if existing is None:
            client.open_virtual_port(PORT_NAME)
        else:
            client.open_port(_told_apart(client.get_ports()).index(existing), PORT_NAME)
    except (OSError, ValueError) as error:  # ValueError: the existing port has just gone
        client.delete()
        what = "a virtual MIDI port" if existing is None else f"the MIDI output {existing!r}"
        raise DeviceError(
            f"{system} cannot open {what} ({error}); close what holds it or name another by --midi-out NAME"
        ) from error
    name = existing or f"{CLIENT_NAME}:{PORT_NAME}"
    return OpenPort(client, name, existing is not None, _listen(watch, before) if watch else None)


def _listen(watch: Any, before: list[str]) -> _Echo | None:
    """Connect the watching client to our own port, which is the one that was not there before."""
    ports = watch.get_ports()
    ours = [i for i, name in enumerate(ports) if name not in before and name.startswith(CLIENT_NAME)]
    if len(ours) != 1:  # another rt-melody started at the very same moment: do without
        watch.delete()
        return None
    watch.open_port(ours[0], "in")
    return _Echo(watch)


def _ports(client: Any) -> list[str]:
    return [name for name in _told_apart(client.get_ports()) if not name.startswith(WATCH_NAME)]


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
