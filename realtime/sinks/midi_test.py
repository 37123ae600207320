"""What a synthesiser makes of MIDI, for ears: a scale, full bends, each controller, panic, with a sentence before each."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise

from rt_melody.realtime import midi_bytes as midi
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.settings.midi import MidiSettings
from rt_melody.realtime.sinks.midi_port import MidiPort

SCALE = (60, 62, 64, 65, 67, 69, 71, 72)
HELD = 60
NOTE_S, REST_S = 0.25, 0.4
SWEEP_S, SWEEP_STEPS = 1.5, 60
CONNECT_S = 10.0  # how long a port of our own waits to be connected
STEP_S = 0.025  # between the steps of an announcement, as the live output has it



def _controller(name: str) -> midi.ChannelMessage:
    return lambda channel, value: midi.control_change(channel, name, value)


CONTROLLERS: dict[str, tuple[str, midi.ChannelMessage, int]] = {  # name -> (what is heard, how to send a value, where it is put back)
    "channel pressure": ("vibrato or brightness; some ignore it", midi.channel_pressure, 0),
    "CC 2 (breath)": ("a swell, where the patch listens to it", _controller("breath"), 127),
    "CC 7 (volume)": ("a swell", _controller("volume"), 100),
    "CC 11 (expression)": ("a swell", _controller("expression"), 127),
    "CC 74 (brightness)": ("the sound opens, where the patch has a filter", _controller("brightness"), 64),
}


class MidiTest:
    """One test of one port. ``say`` takes a line before what it speaks of is played; ``wait`` takes seconds."""

    def __init__(
        self, port: MidiPort, say: Callable[[str], object], settings: MidiSettings | None = None,
        wait: Callable[[float], object] = time.sleep, stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._port, self._say, self._wait, self._stop = port, say, wait, stop
        said = settings or MidiSettings()
        self._channel = midi.MPE_MANAGER + 1 if said.mpe else said.channel
        self._range = said.bend_range

    def run(self) -> None:
        """All of it, ended early where ``stop`` says so; no note is left on. Raises ``DeviceError`` where nobody listens
        or the port is lost."""
        try:
            self._await_listener()
            for part in (self._scale, self._bends, self._controllers, self._panic):
                if not self._stop():
                    part()
        except OSError as error:
            raise DeviceError(f"the MIDI output takes no messages ({error}); connect it again") from error
        finally:
            self._silence()

    def _await_listener(self) -> None:
        listeners = getattr(self._port, "listeners", lambda: None)
        if (heard := listeners()) == []:
            self._say(f"connect a synthesiser to {getattr(self._port, 'name', 'the port')} now: {CONNECT_S:g} s")
            for _ in range(round(CONNECT_S / 0.25)):
                self._wait(0.25)
                if self._stop() or (heard := listeners()):
                    break
        if heard == [] and not self._stop():
            raise DeviceError(
                f"nothing is connected to {getattr(self._port, 'name', 'the port')}, so nothing can be heard; connect a synthesiser, "
                "or name its port: --midi-test PORT"
            )

    def _scale(self) -> None:
        self._say("1. a scale of C major: eight notes, the last an octave above the first. Nothing: the synthesiser is "
                  f"silent, on another channel than {self._channel}, or not connected to your speakers")
        for note in SCALE:
            self._send(midi.note_on(self._channel, note, 100))
            self._wait(NOTE_S)
            self._send(midi.note_off(self._channel, note))
        self._wait(REST_S)

    def _bends(self) -> None:
        self._say(f"2. the bend range is announced: {self._range:g} semitones; then one note is bent up, back, down and back")
        for step in midi.parameter_steps(self._channel, "bend_range", *divmod(round(100 * self._range), 100)):
            self._send(*step)
            self._wait(STEP_S)
        self._say(f"   its ends must sound as the two notes after it do, {self._range:g} semitones over and under. Nearer or farther: the "
                  "synthesiser takes no announcement; set its bend range by hand, or give --bend-range what it has")
        self._hold(midi.BEND_CENTRE, midi.BEND_MAX, midi.BEND_CENTRE, 0, midi.BEND_CENTRE)
        for note in (HELD + round(self._range), HELD - round(self._range)):
            self._send(midi.note_on(self._channel, note, 100))
            self._wait(2 * NOTE_S)
            self._send(midi.note_off(self._channel, note))
        self._wait(REST_S)

    def _hold(self, *bends: int) -> None:
        self._send(midi.note_on(self._channel, HELD, 100))
        for start, end in pairwise(bends):
            self._sweep(lambda value: midi.pitch_bend(self._channel, value), start, end)
            self._wait(REST_S)
        self._send(midi.note_off(self._channel, HELD))

    def _sweep(self, message: Callable[[int], bytes], start: int, end: int) -> None:
        for i in range(SWEEP_STEPS + 1):
            self._send(message(start + round((end - start) * i / SWEEP_STEPS)))
            self._wait(SWEEP_S / SWEEP_STEPS)

    def _controllers(self) -> None:
        for number, (name, (heard, message, rest)) in enumerate(CONTROLLERS.items(), 3):
            if self._stop():
                return
            self._say(f"{number}. {name} from 0 to 127 while a note is held: {heard}")
            self._send(message(self._channel, 0), midi.note_on(self._channel, HELD, 100))
            self._sweep(lambda value, message=message: message(self._channel, value), 0, 127)
            self._send(midi.note_off(self._channel, HELD), message(self._channel, rest))
            self._wait(REST_S)

    def _panic(self) -> None:
        self._say(f"{3 + len(CONTROLLERS)}. a chord, and after a second panic: it must end at once")
        self._send(*(midi.note_on(self._channel, note, 100) for note in (60, 64, 67)))
        self._wait(1.0)
        self._silence()
        self._wait(1.0)
        self._say("that was all. What was not as told is for --synth, --bend-range, --loudness and --mode; docs/synths.md tells of "
                  "known ones")

    def _silence(self) -> None:
        with suppress(OSError):
            self._send(*midi.panic())

    def _send(self, *messages: bytes) -> None:
        for message in messages:
            self._port.send_message(message)


def midi_test(
    port: MidiPort, say: Callable[[str], object], settings: MidiSettings | None = None,
    wait: Callable[[float], object] = time.sleep, stop: Callable[[], bool] = lambda: False,
) -> None:
    """Play a synthesiser through all that the product sends, and say what one should hear. The port stays open.

    ``stop``: asked between the parts. Raises ``DeviceError`` where nobody is connected, or the port is lost.
    """
    MidiTest(port, say, settings, wait, stop).run()
