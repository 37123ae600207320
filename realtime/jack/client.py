"""Our client in the JACK graph: its ports, its connections, and its return after the server was away.

Conventions
-----------
* What is heard and played is named by the whole name of a port or a client, or a part of it, upper or lower case alike;
  what is equal beats what contains. A client of several ports is heard on all of them, averaged.
* The band comes in by one port, ``reference``, in which JACK sums what is connected; or what is played goes out by one: ``backing`` where
  that is a song, which the instrument may join, ``listen`` where it is the instrument alone.
* A thread of its own, ``jack-watch``, connects what appears and makes the client anew when the server has gone: neither
  JACK's thread nor the one that computes ever waits for it.
* The memory shared with the callback outlives the client: what was sung is kept, and times go on.
* Without ``reconnect`` a server or a source that goes is waited for no more than by PortAudio: ``lost`` says what went, and the
  source and the port raise it. A MIDI input that was named is waited for all the same, as any named output is.
* Another process stands by for our death (see guardian.py), one for each time that the graph is joined.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.jack import process
from rt_melody.realtime.jack.guardian import JackGuardian
from rt_melody.realtime.jack.library import Client, Library, OpenError, Port, load
from rt_melody.realtime.jack.process import MOST_PORTS, Exchange
from rt_melody.realtime.sources.wakeup import WakeupPipe

RING_S = 10.0  # how far the reader may fall behind before samples are lost
EVENTS = 4096  # MIDI messages that may wait
WATCH_EVERY_S = 0.25
LOOK_EVERY_S = 0.5  # for a server, while there is none
STILL_S = 2.0  # without a cycle, the server is taken for dead though nobody said so
CLOSE_S = 1.0  # how long the graph may take to let us go ...
STANDING_CLOSE_S = 0.1  # ... and one that stands still,
STANDING_US = 300_000  # which has run no cycle for so long
ACTIVATE_S = 5.0
MOST_SPEAKERS = 2
PLAUSIBLE_S = 1.0  # for sound to go out and come in again
LINK_S = 0.1  # PipeWire says of a connection that it is there, and makes it a little later


class JackClient:
    """One client with audio in and MIDI out. Made and used by one thread.

    ``source``: what to listen to: a part of a port's or a client's name; None for the first capture device, "" for
    nothing yet. ``channel``: one of its ports alone, from 1. ``sinks``: names of MIDI inputs to play on; whoever wants to
    listen besides is connected by hand. ``reference``: a part of a name of what gives the band; ``plays``: the name of the port by which
    something is played, on what is called ``speaker``, None for the first playback devices. ``tell`` takes a sentence when the server
    goes and returns,
    from a thread that must not wait. ``reconnect``: wait for a server, or a source, that went.

    ``sound`` is the ``JackSource``, ``midi`` the ``JackPort``; the client lives from ``open`` until each was closed.
    """

    def __init__(
        self,
        name: str = "rt-melody",
        audio_in: bool = True,
        midi_out: bool = True,
        source: str | None = None,
        channel: int | None = None,
        sinks: Sequence[str] = (),
        reference: str | None = None,
        plays: str | None = None,
        speaker: str | None = None,
        server: str | None = None,
        tell: Callable[[str], object] = lambda text: None,
        library: Library | None = None,
        reconnect: bool = True,
    ) -> None:
        from rt_melody.realtime.jack.port import JackPort
        from rt_melody.realtime.jack.source import JackSource

        self.name, self._server, self._tell = name, server, tell
        self._wanted_source, self._channel, self._wanted_sinks = source, channel, list(sinks)
        self._wanted_reference, self.plays, self._wanted_speaker = reference, plays, speaker
        self._references: list[str] = []  # found in the graph, as the sources are
        self._speakers: list[str] = []
        self._reference: Port | None = None  # our ports for the band: heard, and played
        self._playing: Port | None = None
        self._given_library, self._reconnect = library, reconnect
        self._client: Client | None = None
        self._audio_in, self._midi_out = audio_in, midi_out
        self.joined = False  # once; from then on there are ``exchange`` and ``wakeup``
        self.away = False  # the server is
        self.lost = ""  # what went and is not waited for
        self.returns = 0  # of the server, or of a MIDI input that is played on
        self.break_at: int | None = None  # the sample with which sound began anew
        self.links = 0  # how often what is heard or played on came back to a server that was there
        self._holders: set[str] = set()
        self._guardian: JackGuardian | None = None
        self._played_on: set[str] = set()  # MIDI inputs, as they were found
        self._known: set[str] = set()  # of these and of the sources, those that were there
        self._closing = threading.Event()
        self._look = threading.Event()
        self.sound = JackSource(self) if audio_in else None
        self.midi = JackPort(self) if midi_out else None

    # ---- birth and death -----------------------------------------------------------------------

    def open(self) -> JackClient:
        """Join the graph. Raises DeviceError in one sentence where no server answers, or a name does not fit."""
        self._library = self._given_library or load()
        self._client = client = self._join()
        try:
            self._sources = self._find_sources(client) if self._audio_in else []
            self._references = self._find_reference(client) if self._wanted_reference is not None else []
            self._speakers = self._find_speakers(client) if self.plays is not None else []
            for wanted in self._wanted_sinks:
                self._find_sink(client, wanted)
            self.wakeup = WakeupPipe()
            ring_samples = int(RING_S * client.samplerate)
            self.exchange = Exchange(client.samplerate, ring_samples, EVENTS, self.wakeup.notifier_fd, self.knows_band)
            self.joined = True
            self._register(client)
            client.activate()
            self._connect(client)
            self._have_guarded()
        except self._library.module.JackError as error:
            client.close()
            raise DeviceError(f"the JACK server refused ({error}); start it again") from error
        except BaseException:
            client.close()
            raise
        self._holders = {kind for kind, there in (("sound", self.sound), ("midi", self.midi)) if there}
        self._await_cycle()
        self._watcher = threading.Thread(target=self._watch, name="jack-watch", daemon=True)
        self._watcher.start()
        atexit.register(self.close)  # JACK's thread must not find the interpreter's memory gone
        return self

    def _join(self) -> Client:
        """By a thread of its own: a server may take seconds to answer, for which a signal does not wait, and what the handler of
        a signal raises within a call back of libjack's would be lost."""
        clients: list[Client] = []
        errors: list[Exception] = []
        joiner = threading.Thread(target=self._ask_to_join, args=(clients, errors), daemon=True)
        joiner.start()
        joiner.join()
        try:
            for error in errors:
                raise error
        except self._library.module.JackOpenError as error:
            raise DeviceError(_refused(error, self._server)) from error
        return clients[0]

    def _ask_to_join(self, clients: list[Client], errors: list[Exception]) -> None:
        try:
            clients.append(self._library.module.Client(self.name, no_start_server=True, servername=self._server))
        except Exception as error:  # for whoever waits
            errors.append(error)

    def _await_cycle(self, before: int = 0) -> None:
        deadline_s = time.monotonic() + ACTIVATE_S
        while self.exchange[process.CYCLES] == before and time.monotonic() < deadline_s:
            time.sleep(0.002)

    def _register(self, client: Client) -> None:
        """Our ports, and what JACK calls. The client is not active yet."""
        library = self._library
        number = max(1, len(self._sources))
        names = ["in"] if number == 1 else [f"in_{i + 1}" for i in range(number)]
        self._inputs: list[Port] = [client.inports.register(name) for name in names] if self._audio_in else []
        self._output: Port | None = client.midi_outports.register("out") if self._midi_out else None
        self._reference = client.inports.register("reference") if self._wanted_reference is not None else None
        self._playing = client.outports.register(self.plays) if self.plays is not None else None
        others = (library.pointer(port) if port else 0 for port in (self._output, self._reference, self._playing))
        self.exchange.attach(library.functions, library.pointer(client), [library.pointer(port) for port in self._inputs], *others)
        library.set_process(client, self.exchange)
        client.set_shutdown_callback(self._on_shutdown)
        client.set_port_registration_callback(lambda port, register: self._look.set(), only_available=False)

    def _have_guarded(self) -> None:
        """Somebody stands by to end our notes; where nobody can, that is said by ``_watch``."""
        if self._output is not None and self.exchange.notes_fd is not None:
            with suppress(OSError):
                self._guardian = JackGuardian(self._output.name, self.exchange.notes_fd, self._server)

    def _dismiss_guardian(self) -> None:
        guardian, self._guardian = self._guardian, None
        if guardian is not None:
            guardian.dismiss()

    def _on_shutdown(self, status: object, reason: str) -> None:
        """JACK's thread: the server ends."""
        self.away = True
        self._look.set()

    def hold(self, holder: str) -> None:
        """Stay in the graph until this one, too, releases the client, or ``close``."""
        self._holders.add(holder)

    def release(self, holder: str) -> None:
        """The source or the port is closed; with the last of them the client leaves."""
        self._holders.discard(holder)
        if not self._holders:
            self.close()

    def close(self) -> None:
        """Leave the graph, whoever still holds the client. Idempotent."""
        if self._closing.is_set() or not self.joined:
            return
        atexit.unregister(self.close)
        self._closing.set()
        self._look.set()
        patience_s = STANDING_CLOSE_S if self.stands_still else CLOSE_S
        self._watcher.join(patience_s)
        if self.stands_still or self.exchange.notes_sound:
            self._leave_to_guardian()
        self._leave(patience_s)
        self.wakeup.close()

    @property
    def stands_still(self) -> bool:
        """Whether the graph has run no cycle for longer than a busy machine takes."""
        return self.time_us() - self.exchange[process.CYCLE_US] > STANDING_US

    def _leave_to_guardian(self) -> None:
        """The graph has not sent the ends of all that sounds: whoever stands by does, once it goes on."""
        guardian, self._guardian = self._guardian, None
        if guardian is not None:
            guardian.take_over()

    def _leave(self, patience_s: float = CLOSE_S) -> None:
        """Close the client, by a thread that may wait for ever for a server that has died."""
        self._dismiss_guardian()
        client, self._client = self._client, None
        if client is None:
            return
        closer = threading.Thread(target=client.close, daemon=True)
        closer.start()
        closer.join(patience_s)

    def __enter__(self) -> JackClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ---- names ---------------------------------------------------------------------------------

    def _find_sources(self, client: Client) -> list[str]:
        """The audio outputs to be heard."""
        if self._wanted_source == "":
            return []
        ports = _names(client, is_output=True)
        if self._wanted_source is None:
            return (_names(client, is_output=True, is_physical=True) or _monitors_last(ports))[:1]
        return self._chosen(_of_one_client(self._wanted_source, ports, "gives sound"))

    def _find_reference(self, client: Client) -> list[str]:
        """The audio outputs that give the band, none of which is heard for the voice."""
        wanted = self._wanted_reference or ""
        found = _of_one_client(wanted, _names(client, is_output=True), "gives sound")[:MOST_PORTS]
        if both := [name for name in found if name in self._sources]:
            raise DeviceError(f"--reference {wanted} is {both[0]}, which is heard for the voice; give more of another name, or --device")
        return found

    def _find_speakers(self, client: Client) -> list[str]:
        """The audio inputs that are played on."""
        if self._wanted_speaker is None:
            return _names(client, is_input=True, is_physical=True)[:MOST_SPEAKERS]
        return _of_one_client(self._wanted_speaker, _names(client, is_input=True), "takes sound")[:MOST_SPEAKERS]

    def _chosen(self, found: list[str]) -> list[str]:
        if self._channel is None:
            return found[:MOST_PORTS]
        if not 1 <= self._channel <= len(found):
            raise DeviceError(f"channel {self._channel} does not exist: {_client_of(found[0])!r} has channels 1 to {len(found)}")
        return [found[self._channel - 1]]

    def _find_sink(self, client: Client, wanted: str) -> str:
        ports = self._midi_inputs(client)
        found = fitting(wanted, ports)
        if len(found) == 1:
            return found[0]
        if found:
            raise DeviceError(f"{wanted!r} fits {len(found)} MIDI inputs in the JACK graph; give more of the name: {_listing(found)}")
        raise DeviceError(f"no MIDI input in the JACK graph is called {wanted!r}; there is: {_listing(ports)}")

    def _midi_inputs(self, client: Client) -> list[str]:
        return [port.name for port in client.get_ports(is_midi=True, is_input=True)]

    # ---- the watching thread -------------------------------------------------------------------

    def _watch(self) -> None:
        cycles, moved_s = -1, time.monotonic()
        while not self._closing.is_set():
            self._look.wait(WATCH_EVERY_S)
            self._look.clear()
            if self._closing.is_set():
                return
            now_s = time.monotonic()
            if cycles != (newest := self.exchange[process.CYCLES]) or self.away:
                cycles, moved_s = newest, now_s
            if self.away or now_s - moved_s > STILL_S:
                self.away = True
                if not self._reconnect:
                    self._lose("the JACK server is gone")
                    return
                self._come_back()
                cycles, moved_s = -1, time.monotonic()
            else:
                self._connect_anew()
                self._look_at_guardian()

    def _look_at_guardian(self) -> None:
        if self._guardian is not None and self._guardian.has_failed:
            self._dismiss_guardian()
            self._tell("no second client stands by in the JACK graph; should the program be killed, the note that sounds may hang")

    def _connect_anew(self) -> None:
        if (client := self._client) is not None:
            with suppress(self._library.module.JackError):
                self.links += self._connect(client)

    def _lose(self, what: str) -> None:
        """It is not waited for: who reads is told, and where the server went who sends."""
        self.lost = self.lost or what
        self.wakeup.notify()

    def _come_back(self) -> None:
        """The server is gone: leave what is left of it, and wait for the next one."""
        self.away = True
        self.wakeup.notify()
        self._tell("the JACK server is gone; what was heard so far is kept, and the music goes on once it is back")
        if self.exchange.notes_sound:
            self._leave_to_guardian()  # should it only stand still
        self._leave()
        while not self._closing.is_set():
            if (client := self._join_again()) is not None:
                self.returns += 1  # what was sent before the first cycle is forgotten
                self._tell(f"the JACK server is back, at {client.samplerate} Hz")
                return
            self._closing.wait(LOOK_EVERY_S)

    def _join_again(self) -> Client | None:
        module = self._library.module
        try:
            client = self._join()
        except DeviceError:
            return None
        try:
            self.break_at = self.exchange[process.WRITTEN]
            self._known.clear()  # they went with the server, which was told
            self._register(client)
            self._client, self.away = client, False
            cycles = self.exchange[process.CYCLES]
            client.activate()
            self._await_cycle(cycles)
            self._connect(client)
            self._have_guarded()
        except (module.JackError, DeviceError):  # gone again
            self.away = True
            self._leave()
            return None
        return client

    def _connect(self, client: Client) -> bool:
        """Whatever is wanted, is there, and is not connected yet; whether anything that is heard or played on has come back."""
        incoming = [*zip(self._sources, self._inputs), *((name, self._reference) for name in self._references if self._reference)]
        wanted = [*dict.fromkeys([*self._sources, *self._references]), *self._speakers]
        there = {name for kind in ("is_output", "is_input") for name in _names(client, **{kind: True})} if wanted else set[str]()
        self._tell_gone(self._sources, there, self._reconnect)
        self._tell_gone([name for name in wanted if name not in self._sources], there)
        for source, port in incoming:
            if source in there and not port.is_connected_to(source):
                client.connect(source, port)
        for speaker in self._speakers:
            if self._playing is not None and speaker in there and not self._playing.is_connected_to(speaker):
                client.connect(self._playing, speaker)
        is_back = self._tell_back(wanted, there)
        if self._output is not None and self._wanted_sinks:
            self._connect_sinks(client, self._output)
        return is_back

    def _connect_sinks(self, client: Client, output: Port) -> None:
        ports = self._midi_inputs(client)
        self._tell_gone(list(self._played_on), ports)
        for wanted in self._wanted_sinks:
            found = fitting(wanted, ports)
            if len(found) == 1 and not output.is_connected_to(found[0]):
                client.connect(output, found[0])
                self._newly_played_on(found[0])

    def _newly_played_on(self, name: str) -> None:
        """A synthesiser that was closed and opened again knows nothing."""
        self._played_on.add(name)
        if self._holders:
            self._closing.wait(LINK_S)
            self.returns += 1
        self._tell_back([name], [name])

    def _tell_gone(self, names: Sequence[str], there: Collection[str], awaited: bool = True) -> None:
        if gone := [name for name in names if name in self._known and name not in there]:
            self._known.difference_update(gone)
            what = f"{' and '.join(gone)} left the JACK graph"
            self._tell(f"{what}; the music goes on once it is back") if awaited else self._lose(what)

    def _tell_back(self, names: Sequence[str], there: Collection[str]) -> bool:
        """Whether any of them is back."""
        back = [name for name in names if name not in self._known and name in there]
        self._known.update(back)
        is_back = bool(back and self._holders)  # else it is the first time
        if is_back:
            self._tell(f"{' and '.join(back)} is back in the JACK graph")
        return is_back

    # ---- what the source and the port ask ------------------------------------------------------

    @property
    def rate_hz(self) -> int:
        """Of the samples that are read."""
        return self.exchange[process.RATE]

    @property
    def heard(self) -> str:
        """What is listened to, for people."""
        return _client_of(self._sources[0]) if self._sources else ""

    @property
    def knows_band(self) -> bool:
        """Whether it is known what the band plays: it comes in, or is played."""
        return self._wanted_reference is not None or self.plays is not None

    @property
    def reference(self) -> str:
        """What gives the band, for people."""
        return _client_of(self._references[0]) if self._references else ""

    @property
    def speaker(self) -> str:
        """What is played on, for people."""
        return _client_of(self._speakers[0]) if self._speakers else ""

    def round_trip_samples(self) -> int:
        """How long what is played takes through the graph and in again, by what JACK says of it at its least, where that makes sense."""
        module, port = self._library.module, self._playing
        if port is None or not self._inputs:
            return 0
        with suppress(Exception):
            out, back = port.get_latency_range(module.PLAYBACK)[0], self._inputs[0].get_latency_range(module.CAPTURE)[0]
            return out + back if 0 <= out + back < PLAUSIBLE_S * self.rate_hz else 0
        return 0

    def is_heard(self) -> bool:
        """Whether anything is connected to our audio input, as far as JACK answers."""
        with suppress(Exception):
            return any(port.number_of_connections > 0 for port in self._inputs)
        return False

    def time_us(self) -> int:
        return self._library.time_us()


def _names(client: Client, **kind: bool) -> list[str]:
    """Audio ports of a kind."""
    return [port.name for port in client.get_ports(is_audio=True, **kind)]


def _of_one_client(wanted: str, ports: list[str], does: str) -> list[str]:
    """Those that fit, all of one client. Raises DeviceError."""
    found = fitting(wanted, ports)
    if not found:
        raise DeviceError(f"nothing in the JACK graph that {does} is called {wanted!r}; there is: {_listing(ports)}")
    if len({_client_of(name) for name in found}) > 1:
        raise DeviceError(f"{wanted!r} fits several in the JACK graph; give more of the name: {_listing(found)}")
    return found


def fitting(wanted: str, ports: list[str]) -> list[str]:
    """The ports of that very name, else those of a client of that name, else those whose names contain it."""
    low = wanted.lower()
    kinds: list[Callable[[str], bool]] = [
        lambda name: name.lower() == low,
        lambda name: _client_of(name).lower() == low,
        lambda name: low in name.lower(),
    ]
    for fits in kinds:
        if found := [name for name in ports if fits(name)]:
            return found
    return []


def _client_of(port: str) -> str:
    return port.rpartition(":")[0]


def _monitors_last(ports: list[str]) -> list[str]:
    """Without a capture device, what plays: PipeWire shows what its outputs play as sources of their own."""
    return sorted(ports, key=lambda name: "monitor" in name)


def _listing(names: list[str]) -> str:
    return "; ".join(names) or "nothing"


def _refused(error: OpenError, server: str | None) -> str:
    status = error.status
    if status.version_error:
        return "the JACK server is of another version than the library that was loaded; start the one that belongs to it, or PipeWire"
    if status.server_failed or status.server_error:
        named = f" of the name {server!r}" if server else ""
        return f"no JACK server{named} answers; start one (`jackd -d alsa`, QjackCtl) or PipeWire, or leave --jack out"
    return f"the JACK server refused ({error}); start it again, or leave --jack out"
