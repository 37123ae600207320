"""Notes to a MIDI port, live.

Conventions
-----------
* A port is anything with ``send_message(bytes)``, ``close_port()`` and ``delete()``; python-rtmidi's
  are, and ``midi_ports.open_midi_out`` gives one. One that has ``send_at(bytes, stream_s)`` is told the stream time too.
* A synthesiser may be connected at any moment. So the bend range is announced at the start, from time to time
  while nothing sounds, and after a pause as soon as a voice is heard again: a hop or more before its note-on. It is said
  in steps (see midi_announce), and no note waits for them. Where the port itself was away and is back (its
  ``returns`` went up), all is announced, and the note that sounds is struck.
* A port whose system is gone says so by ``lost``, which is looked at in each hop, in silence too.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from rt_melody.realtime import midi_bytes
from rt_melody.realtime.errors import OutputError
from rt_melody.realtime.settings import VIRTUAL, MidiSettings, Settings
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.controls import Timed
from rt_melody.realtime.sinks.midi_guardian import Guarded
from rt_melody.realtime.sinks.midi_port import MidiPort, free
from rt_melody.realtime.sinks.midi_voice import ChangingVoice
from rt_melody.realtime.sinks.note_sink import NoteSink
from rt_melody.realtime.sinks.table import SinkRequest
from rt_melody.realtime.types import Brightness, Loudness, NoteOff, NoteOn, PitchBend, PitchFrame

ANNOUNCE_EVERY_S = 10.0  # stream time between two announcements of the bend range, while silent
PAUSE_S = 2.0  # after so much silence, the next voice is announced


def from_settings(request: SinkRequest) -> list[EventSink]:
    """The port of ``--midi-out``. Of an existing one, what another program left sounding on our channels ends first."""
    from rt_melody.realtime.sinks.midi_ports import open_midi_out
    from rt_melody.realtime.sinks.midi_reconnect import ReconnectingPort

    s = request.settings
    wanted = s.output.midi_out
    if wanted is None:
        return []
    if request.jack is not None:
        request.say("playing in the JACK graph")
        return [MidiSink(request.jack, s.midi)]
    open_port = partial(Guarded if s.output.midi_guardian else open_midi_out, back_end=s.midi.back_end)
    name = None if wanted == VIRTUAL else wanted  # a virtual port is ours, and goes with the MIDI system alone
    lasting = name is not None or s.source.reconnect
    port = ReconnectingPort(lambda: open_port(name), request.tell) if lasting else open_port(name)
    request.say(f"playing on the MIDI port {port.name}")
    sink = MidiSink(port, s.midi)
    if wanted != VIRTUAL:
        sink.silence()
    return [sink]


class MidiSink(NoteSink):
    """Notes, bends, level and brightness as ``MidiSettings`` say, on a port.

    A port that fails raises ``OutputError``, and is not tried again; ``close`` then still closes it. ``close``
    never raises.
    """

    name = "MIDI output"

    def __init__(self, port: MidiPort, settings: MidiSettings | None = None) -> None:
        super().__init__()
        self._settings = settings or MidiSettings()
        self._voice = ChangingVoice(settings)
        self._port = port
        self._send_at = getattr(port, "send_at", None)
        self._lost = False
        self._panic_asked = False
        self._told_s = 0.0  # when last something was announced or sounded
        self._heard_s = 0.0  # when last a voice was announced or sounded
        self._returns = 0  # of the port, as last seen
        self._newest: dict[type, PitchBend | Loudness | Brightness] = {}  # of the sounding note

    def _panic(self) -> None:
        """Every channel of the port, ours or another's."""
        self._panic_asked = False
        self._silence()
        self._put(midi_bytes.panic())
        self._send(self._voice.now.silence(self._now_s))  # what else we may have moved
        self._send(self._voice.now.announce(self._now_s))

    @property
    def connected_to(self) -> str:
        return f"MIDI {getattr(self._port, 'name', 'port')}"

    def silence(self) -> None:
        """End whatever sounds on our channels, whoever left it so."""
        self._send(self._voice.now.silence(self._now_s))

    def ask_panic(self) -> None:
        """``panic`` at the next frame. May be called from a signal handler or another thread."""
        self._panic_asked = True

    def _change(self, settings: Settings) -> None:
        """Level and brightness of the sounding note are said anew, by what carries them now."""
        if settings.midi == self._settings:
            return
        self._settings = settings.midi
        self._send(self._voice.change(settings.midi, self._now_s))
        for newest in list(self._newest.values()) if self._sounding is not None else []:
            self._handlers[type(newest)](newest)

    def _begin(self, origin_s: float) -> None:
        self._voice.now.reset()
        self._told_s = self._heard_s = 0.0  # a new stream's times may begin anew
        self._send(self._voice.now.announce(0.0))

    def _resume(self) -> None:
        """The port is back, perhaps another synthesiser on it, which knows nothing."""
        self._send(self._voice.now.silence(self._now_s))
        self._voice.now.reset()
        self._send(self._voice.now.announce(self._now_s))
        if self._sounding is not None:
            self._send(self._voice.note_on(self._as_it_is_now(self._sounding), self._now_s))

    def _as_it_is_now(self, note: NoteOn) -> NoteOn:
        """The note as if it began with what was said of it last."""
        for newest in self._newest.values():
            if isinstance(newest, PitchBend):
                note = replace(note, pitch=note.note + newest.semitones)
            elif isinstance(newest, Loudness):
                note = replace(note, level_db=newest.level_db)
            else:
                note = replace(note, brightness_hz=newest.brightness_hz)
        return note

    def _announce_voice(self) -> None:
        """A voice is heard: announce it after a pause, once."""
        if self._now_s - self._heard_s >= PAUSE_S:
            self._told_s = self._heard_s = self._now_s
            self._send(self._voice.now.announce(self._now_s, voice_heard=True))

    def _announce_in_silence(self) -> None:
        if self._now_s - self._told_s >= ANNOUNCE_EVERY_S:
            self._told_s = self._now_s
            self._send(self._voice.now.announce(self._now_s))

    def _frame(self, frame: PitchFrame) -> None:
        super()._frame(frame)
        if why := getattr(self._port, "lost", None):
            raise self._failed(why)
        if self._panic_asked:
            self.panic()
        if self._returns != (returns := getattr(self._port, "returns", 0)):
            self._returns = returns
            self._resume()
        if self._sounding is not None:
            self._told_s = self._heard_s = self._now_s
        elif frame.voiced:
            self._announce_voice()
        else:
            self._announce_in_silence()
        self._send(self._voice.now.due(self._now_s))

    def _note_on(self, event: NoteOn) -> None:
        self._newest.clear()
        if self._leaving is None:
            self._announce_voice()
        self._send(self._voice.note_on(event, self._now_s))

    def _note_off(self, event: NoteOff) -> None:
        self._told_s = self._heard_s = self._now_s
        self._send(self._voice.note_off(event, self._now_s))

    def _bend(self, event: PitchBend) -> None:
        self._newest[PitchBend] = event
        self._send(self._voice.bend(event, self._now_s))

    def _loudness(self, event: Loudness) -> None:
        self._newest[Loudness] = event
        self._send(self._voice.loudness(event, self._now_s))

    def _brightness(self, event: Brightness) -> None:
        self._newest[Brightness] = event
        self._send(self._voice.brightness(event, self._now_s))

    def _send(self, messages: Iterable[Timed]) -> None:
        self._put(message for _, message in messages)

    def _put(self, messages: Iterable[bytes]) -> None:
        if self._lost:
            raise OutputError("the MIDI output is gone; connect it again and restart")
        try:
            for message in messages:
                if self._send_at is None:
                    self._port.send_message(message)
                else:
                    self._send_at(message, self._now_s)
        except Exception as error:  # whatever the driver raises, the port is gone
            raise self._failed(error) from error

    def _failed(self, why: object) -> OutputError:
        self._lost = True
        return OutputError(f"the MIDI output stopped taking messages ({why}); connect it again and restart")

    def _close(self) -> None:
        with suppress(OutputError):
            self._silence()
            self._send(self._voice.now.rest())
            self._send(self._voice.now.silence(self._now_s))
        free(self._port)
