"""Frames and note events as OSC messages over UDP.

=======================  =====  =============================================================
address                  types  arguments
=======================  =====  =============================================================
/rt-melody/f0            fiff   f0_hz, voiced (0 or 1), confidence (0..1), level_db; every hop
/rt-melody/note/on       iif    MIDI note, velocity (1..127), fractional MIDI pitch at onset
/rt-melody/note/off      i      MIDI note
/rt-melody/bend          f      semitones relative to the sounding note, not clipped
/rt-melody/loudness      f      level_db while a note sounds
/rt-melody/brightness    f      RMS frequency of the voice in Hz, while a note sounds
/rt-melody/key           is     tonic (0 is C, 11 is B), name such as "A minor"; with --scale auto, when it changes
=======================  =====  =============================================================

Conventions
-----------
* Each message is in a bundle of its own, unless plain messages are asked for. Its time tag is, by ``timetag``:
  sound        when the sound had been heard that it speaks of, whatever computing and sending took: the origin of the
               stream plus ``available_s``, by the wall clock as it is now, plus the offset. Messages so tagged keep their
               distances, for receivers that play by tags. Before a start it is "immediately".
  now          when it is sent, plus the offset.
  immediately  the tag that OSC has for it, for receivers whose clock is another.
* The wall clock is looked at every second: a step of it is in the tags within that time, and moves nothing else.
* A slurred note's note/on comes before the note/off of the note before it.
* UDP answers nothing: a receiver may be absent, start later, or lose messages. What the socket itself
  refuses is counted in ``send_errors`` and never raised, and nothing waits for it.
* Where the system hands on that a message was refused (Linux), a receiver that left, and a host that did, are told, and
  that nothing is refused any more; sending goes on meanwhile, so that who comes back misses nothing.
* A broadcast address reaches all receivers of its network.

Source: Open Sound Control 1.0 specification.
"""

from __future__ import annotations

import errno
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, cast

from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from rt_melody.realtime.errors import OutputError, SettingsError
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.note_sink import NoteSink
from rt_melody.realtime.sinks.table import SinkRequest
from rt_melody.realtime.types import Brightness, KeyHeard, Loudness, NoteOff, NoteOn, PitchBend, PitchFrame

LOOK_EVERY_S = 1.0  # at the wall clock
WELL_AFTER_S = 3.0  # without a refusal: a network hands on about one of them a second
IP_RECVERR, IPV6_RECVERR = 11, 25  # ip(7), ipv6(7): errors that come later are handed on by an unconnected socket too
UNHEARD = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EHOSTDOWN)

ADDRESSES = {  # message -> (address, OSC type tags)
    "f0": ("/rt-melody/f0", "fiff"),
    "note_on": ("/rt-melody/note/on", "iif"),
    "note_off": ("/rt-melody/note/off", "i"),
    "bend": ("/rt-melody/bend", "f"),
    "loudness": ("/rt-melody/loudness", "f"),
    "brightness": ("/rt-melody/brightness", "f"),
    "key": ("/rt-melody/key", "is"),
}


def parse_osc_address(text: str) -> tuple[str, int]:
    """(host, port) of ``HOST:PORT``, an IPv6 address standing in brackets; ``SettingsError`` otherwise."""
    name, colon, port = text.rpartition(":")
    bracketed = name.startswith("[") and name.endswith("]")
    host = name[1:-1] if bracketed else name
    if not colon or not host or (":" in host and not bracketed):
        raise SettingsError(
            f"OSC address {text!r} is not HOST:PORT; write for example 127.0.0.1:9000 or [::1]:9000"
        )
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise SettingsError(f"OSC port {port!r} in {text!r} is not a number from 1 to 65535")
    return host, int(port)


def encode(message: str, arguments: tuple[float | str, ...], unix_s: float | None, bundled: bool = True) -> bytes:
    """One message of ``ADDRESSES``: in a bundle with the time tag of ``unix_s`` (None: at once), or plain."""
    address, types = ADDRESSES[message]
    builder = OscMessageBuilder(address)
    for value, tag in zip(arguments, types, strict=True):
        builder.add_arg(value, tag)
    if not bundled:
        return builder.build().dgram
    bundle = OscBundleBuilder(IMMEDIATELY if unix_s is None else cast(int, unix_s))  # it says int, and means seconds since 1970
    bundle.add_content(builder.build())
    return bundle.build().dgram


def from_settings(request: SinkRequest) -> list[EventSink]:
    """A sink for each receiver of ``--osc``; every address is understood before the first is opened."""
    output = request.settings.output
    addresses, clock = [parse_osc_address(text) for text in output.osc], WallClock()
    return [OscSink(*address, output.offset_s, request.tell, output.osc_timetag, output.osc_bundles, clock) for address in addresses]


class WallClock:
    """The wall clock beside our own, looked at every LOOK_EVERY_S; one for all receivers, so that they get the same tags."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter, wall_clock: Callable[[], float] = time.time) -> None:
        self.now_s, self._wall_clock = clock, wall_clock  # seconds by our own clock
        self._looked_s, self._ahead_s = float("-inf"), 0.0

    def ahead_s(self) -> float:
        """By how much it is ahead of ours."""
        now_s = self.now_s()
        if now_s - self._looked_s >= LOOK_EVERY_S:
            self._looked_s, self._ahead_s = now_s, self._wall_clock() - now_s
        return self._ahead_s


class OscSink(NoteSink):
    """Sends to one receiver. A host that cannot be resolved is an ``OutputError`` when it is made."""

    name = "OSC output"

    def __init__(
        self,
        host: str,
        port: int,
        offset_s: float = 0.0,
        tell: Callable[[str], object] = lambda text: None,
        timetag: str = "sound",
        bundles: bool = True,
        clock: WallClock | None = None,
    ) -> None:
        """``offset_s`` is added to the time tags, for receivers that play by them. ``tell`` takes a sentence when messages begin
        to be refused, and when they no longer are; it must not wait. ``timetag`` and ``bundles``: see above."""
        super().__init__()
        self._offset_s, self._timetag, self._bundles = offset_s, timetag, bundles
        self._clock = clock or WallClock()
        family, self._address = _resolve(host, port)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        if family == socket.AF_INET:  # IPv6 has no broadcast
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        if sys.platform == "linux":
            level, name = (socket.IPPROTO_IP, IP_RECVERR) if family == socket.AF_INET else (socket.IPPROTO_IPV6, IPV6_RECVERR)
            self._socket.setsockopt(level, name, 1)
        self._tell = tell
        self._origin_s: float | None = None
        self._refused_s: float | None = None  # when a message was, last; None where all is well
        self.send_errors = 0

    @property
    def connected_to(self) -> str:
        return f"OSC {self._address[0]}:{self._address[1]}"

    def _begin(self, origin_s: float) -> None:
        self._origin_s = origin_s

    _retime = _begin

    def _frame(self, frame: PitchFrame) -> None:
        super()._frame(frame)
        self._send("f0", frame.f0_hz, int(frame.voiced), frame.confidence, frame.level_db)

    def _note_on(self, event: NoteOn) -> None:
        self._send("note_on", event.note, event.velocity, event.pitch)

    def _note_off(self, event: NoteOff) -> None:
        self._send("note_off", event.note)

    def _bend(self, event: PitchBend) -> None:
        self._send("bend", event.semitones)

    def _loudness(self, event: Loudness) -> None:
        self._send("loudness", event.level_db)

    def _brightness(self, event: Brightness) -> None:
        self._send("brightness", event.brightness_hz)

    def _key(self, event: KeyHeard) -> None:
        self._send("key", event.tonic, event.name)

    def _send(self, message: str, *arguments: float | str) -> None:
        data = encode(message, arguments, self._tag_s(), self._bundles)
        try:
            self._send_on(data)
        except OSError as error:
            self.send_errors += 1
            self._refuse(f"OSC cannot be sent to {self._at} ({error.strerror or error}); check the address and the network")
        else:
            self._find_well()

    def _send_on(self, data: bytes) -> None:
        """Send. What is raised first may be of a message before: this one was not sent then, and is sent again."""
        try:
            # sendto, not connect: the socket goes on when our own address changes
            self._socket.sendto(data, self._address)
        except OSError as error:
            if sys.platform != "linux" or error.errno not in UNHEARD:
                raise
            self._refuse(f"nobody takes OSC at {self._at} ({error.strerror or error}); sending goes on")
            self._forget_errors()
            self._socket.sendto(data, self._address)

    def _forget_errors(self) -> None:
        """What the system keeps for those who ask which message was refused."""
        try:
            while True:
                self._socket.recvmsg(0, 256, socket.MSG_ERRQUEUE)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  # Linux
        except OSError:  # no more
            pass

    def _refuse(self, sentence: str) -> None:
        """Told once, until all is well again."""
        if self._refused_s is None:
            self._tell(sentence)
        self._refused_s = self._clock.now_s()

    def _find_well(self) -> None:
        if self._refused_s is not None and self._clock.now_s() - self._refused_s > WELL_AFTER_S:
            self._refused_s = None
            self._tell(f"OSC at {self._at} is refused no longer")

    @property
    def _at(self) -> str:
        return f"{self._address[0]}, port {self._address[1]}"

    def _tag_s(self) -> float | None:
        """The time tag in seconds since 1970; None for "immediately"."""
        if self._timetag == "immediately" or (self._origin_s is None and self._timetag == "sound"):
            return None
        sounded_s = None if self._timetag == "now" or self._origin_s is None else self._origin_s + self._now_s
        at_s = self._clock.now_s() if sounded_s is None else sounded_s
        return self._clock.ahead_s() + at_s + self._offset_s

    def _end(self) -> None:
        self._socket.close()


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Family and address, resolved once, so that no name is looked up while sending.

    Of a name that has both kinds of address, as ``localhost`` has, the IPv4 one: SuperCollider, Pure Data and Max
    listen there, and systems tend to name the other first.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise OutputError(
            f"OSC host {host!r} cannot be resolved ({error}); check the name or give an address"
        ) from error
    family, _, _, _, address = next((one for one in found if one[0] == socket.AF_INET), found[0])
    return family, address
