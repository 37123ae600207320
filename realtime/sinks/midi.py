"""Notes to a MIDI port, live.

Conventions
-----------
* A port is anything with ``send_message(bytes)``, ``close_port()`` and ``delete()``; python-rtmidi's
  are, and ``midi_ports.open_midi_out`` gives one.
* The bend range is announced at the start, and again from time to time while nothing sounds, since a
  synthesiser may be connected later.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

from rt_melody.realtime.sinks.midi_voice import MidiVoice
from rt_melody.realtime.sinks.mono import NoteSink
from rt_melody.realtime.types import InputError, Loudness, NoteOff, NoteOn, PitchBend, PitchFrame

ANNOUNCE_EVERY_S = 10.0  # stream time between two announcements of the bend range, while silent


class MidiPort(Protocol):
    def send_message(self, message: bytes) -> None: ...

    def close_port(self) -> None: ...

    def delete(self) -> None: ...


class MidiSink(NoteSink):
    """Note on and off, pitch bend, and the level if asked for, on one channel of a port.

    Settings and their errors are those of ``MidiVoice``. A port that fails raises ``InputError``, and is
    not tried again; ``close`` then still closes it. ``close`` never raises.
    """

    name = "MIDI output"

    def __init__(
        self,
        port: MidiPort,
        channel: int = 1,
        bend_range_semitones: int = 2,
        loudness: str = "off",
    ) -> None:
        super().__init__()
        self._voice = MidiVoice(channel, bend_range_semitones, loudness)
        self._port = port
        self._lost = False
        self._announced_s = 0.0

    def panic(self) -> None:
        """Silence the channel at once, whatever left it sounding: ours or another's."""
        self._silence()
        self._send(self._voice.silence())

    def _begin(self, origin_unix_s: float) -> None:
        self._announced_s = 0.0
        self._send(self._voice.announce())

    def _frame(self, frame: PitchFrame) -> None:
        super()._frame(frame)
        if self._sounding is None and frame.available_s - self._announced_s >= ANNOUNCE_EVERY_S:
            self._announced_s = frame.available_s
            self._send(self._voice.announce())

    def _note_on(self, event: NoteOn) -> None:
        self._send(self._voice.note_on(event))

    def _note_off(self, event: NoteOff) -> None:
        self._send(self._voice.note_off(event))

    def _bend(self, event: PitchBend) -> None:
        self._send(self._voice.bend(event))

    def _loudness(self, event: Loudness) -> None:
        self._send(self._voice.loudness(event))

    def _send(self, messages: Iterable[bytes]) -> None:
        if self._lost:
            raise InputError("the MIDI output is gone; connect it again and restart")
        try:
            for message in messages:
                self._port.send_message(message)
        except Exception as error:  # whatever the driver raises, the port is gone
            self._lost = True
            raise InputError(
                f"the MIDI output stopped taking messages ({error}); connect it again and restart"
            ) from error

    def _close(self) -> None:
        with suppress(InputError):
            self._silence()
            self._send(self._voice.silence())
        for ending in (self._port.close_port, self._port.delete):
            with suppress(Exception):  # a driver that is gone has nothing left to close
                ending()
