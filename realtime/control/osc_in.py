"""Settings changed by OSC while a session runs: see docs/control.md.

======================  ========================================================================
address                 arguments
======================  ========================================================================
/rt-melody/set/NAME     the value of the setting of that flat name, in one argument or several
/rt-melody/panic        none
/rt-melody/pause        1, or none: play nothing; 0: play on
/rt-melody/profile      names of profiles, the later over the earlier; none: by none
/rt-melody/follow       none: let them set what was asked for otherwise; or names: those alone
======================  ========================================================================

Conventions
-----------
* A thread of its own listens. It wakes ``TICKS_A_SECOND`` times at most, and of what came meanwhile reads ``DATAGRAMS`` and
  obeys the newest of each address: a flood costs the interpreter, which the music needs too, no more than that. What is more
  than the system keeps for it is lost, as UDP has it.
* What cannot be obeyed is told, at most once in ``TELL_EVERY_S``.
"""

from __future__ import annotations

import errno
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pythonosc.osc_packet import OscPacket, ParseError

from rt_melody.realtime.console import visible
from rt_melody.realtime.control.desk import ACTIONS, PANIC, PAUSE, Desk
from rt_melody.realtime.errors import DeviceError, SettingsError

TICKS_A_SECOND = 50.0
DATAGRAMS = 64  # read in one tick
LARGEST_BYTES = 1024
TELL_EVERY_S = 3.0
LOOPBACK = "127.0.0.1"
ROOT = "/rt-melody/"
SET = "set/"


def parse_listening(text: str) -> tuple[str, int]:
    """(host, port) of ``PORT`` or ``HOST:PORT``; SettingsError otherwise."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or LOOPBACK
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise SettingsError(f"--osc-in {text} cannot be used: it must be a UDP port from 1 to 65535, or HOST:PORT; for instance 9001")
    return host, int(port)


class OscControl:
    """Listens at ``host``, and ``port``, until closed. Raises DeviceError where it cannot. ``tell`` takes a sentence."""

    def __init__(self, desk: Desk, host: str, port: int, tell: Callable[[str], object] = lambda text: None) -> None:
        self._desk, self._tell, self._told_s = desk, tell, float("-inf")
        self._socket = _listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._bell, self._ring = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="osc-in", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._socket, self._bell], [], [])
            if self._bell in ready:
                return
            self._obey(self._newest())
            time.sleep(1.0 / TICKS_A_SECOND)

    def _newest(self) -> list[bytes]:
        """Of what has come, the newest datagram of each address."""
        newest: dict[bytes, bytes] = {}
        with suppress(OSError):  # nothing more, for now
            for _ in range(DATAGRAMS):
                data = self._socket.recv(LARGEST_BYTES)
                address = data.partition(b"\0")[0]
                newest[data if address == b"#bundle" else address] = data
        return list(newest.values())

    def _obey(self, datagrams: list[bytes]) -> None:
        for data in datagrams:
            try:
                for timed in OscPacket(data).messages:
                    obey_osc(self._desk, timed.message.address, timed.message.params)
            except (ParseError, ValueError, IndexError) as error:  # SettingsError is a ValueError
                self._complain(str(error) if isinstance(error, SettingsError) else "what came at --osc-in is no OSC, and was passed over")

    def _complain(self, text: str) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            self._tell(f"OSC: {visible(text, kept='')}")

    def close(self) -> None:
        """Listen no more."""
        self._ring.send(b"x")
        self._thread.join(1.0)
        for end in (self._socket, self._bell, self._ring):
            end.close()

    def __enter__(self) -> OscControl:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def obey_osc(desk: Desk, address: str, arguments: list[Any]) -> None:
    """One message. Raises SettingsError for one that cannot be obeyed."""
    name = address.removeprefix(ROOT)
    value = None if not arguments else arguments[0] if len(arguments) == 1 else list(arguments)
    if name in ACTIONS:
        desk.send(name, value)
    elif name.startswith(SET):
        desk.set(name.removeprefix(SET), value)
    else:
        raise SettingsError(f"{address} is no address of ours; send {ROOT}{SET}NAME with a value, {ROOT}{PANIC} or {ROOT}{PAUSE}")


def _way_out(error: OSError) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return "give an address of this machine, or a port alone"
    return "choose another port"


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        listening = socket.socket(family, kind)
    except (OSError, UnicodeError) as error:
        raise DeviceError(f"--osc-in cannot listen at {host} ({error}); give a port alone, for this machine") from error
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise DeviceError(f"--osc-in cannot listen at {host}, port {port} ({error.strerror}); {_way_out(error)}") from error
    listening.setblocking(False)
    return listening
