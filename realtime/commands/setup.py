"""``rt-melody setup``: twenty seconds of guided singing, and a profile that fits the voice, the room and the machine."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable
from typing import Any

import numpy as np

from rt_melody.realtime.calibration import PHASE_S, TRIES, Calibration, Guide, Taken, calibrate
from rt_melody.realtime.commands.arguments import CommandParser
from rt_melody.realtime.console import print_text
from rt_melody.realtime.errors import DeviceError, InputError, SettingsError
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.settings import make_settings
from rt_melody.realtime.settings.profiles import checked_name, make_profile_folder, write_profile
from rt_melody.realtime.sources import AudioSource, FileSource, MicrophoneSource
from rt_melody.realtime.sources.devices import NO_INPUT, NoInputError, find_input
from rt_melody.realtime.types import PitchFrame

NAME = "mine"
PACE_S = 3.0  # of measuring the machine
READ_S = 0.1

Say = Callable[[str], object]


def run(arguments: list[str]) -> int:
    """Guide, measure, write. Status 0; raises RtMelodyError where there is nothing to hear or nowhere to write."""
    asked = _parsed(arguments)
    name = checked_name(asked.name)
    make_profile_folder()
    source = _source(asked)
    trip = round_trip(asked.loopback, asked.device, say) if asked.loopback is not None else ""
    found = listen_through(source, say, TRIES if asked.input is None else 1, None if asked.no_load else recommended_bound_ms)
    for line in found.lines():
        say(line)
    path = write_profile(name, found.profile(f"rt-melody profile {name}: made by rt-melody setup on {datetime.date.today()}") + trip)
    say(f"Kept in {path}.")
    say(f"From now on: rt-melody --input mic --profile {name} --midi-out; with a preset too: --profile {name} strings")
    return 0


def _source(asked: argparse.Namespace) -> AudioSource:
    make_settings({} if asked.channel is None else {"channel": asked.channel})  # what it may be
    if asked.input is None:
        try:
            find_input(asked.device)
        except NoInputError as error:
            raise DeviceError(f"{NO_INPUT}, or give a recording of the five things: --input FILE") from error
        return MicrophoneSource(asked.device, channel=asked.channel, ask_others=True)
    if asked.loopback is not None:
        raise SettingsError("--loopback measures devices, and --input is a recording; leave one of them out")
    if asked.device is not None:
        raise SettingsError("--device chooses a microphone, and --input is a recording; leave one of them out")
    return FileSource(asked.input, channel=asked.channel)


def say(line: str) -> None:
    """A line on standard output."""
    print_text(line + "\n")


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser("setup", "Listens to your voice for twenty seconds, and keeps the settings that fit it as a profile.")
    parser.add_argument("name", nargs="?", default=NAME, help=f"the profile's name (default: {NAME})")
    parser.add_argument("--device", metavar="NAME|INDEX", help="the microphone: its number or part of its name")
    parser.add_argument("--channel", type=int, metavar="CHANNEL", help="use this channel of it alone, from 1")
    parser.add_argument("--input", metavar="FILE", help="a recording of the five things in place of the microphone, four seconds each")
    parser.add_argument("--loopback", metavar="OUTPUT", help="measure too how long sound takes from this output to the microphone")
    parser.add_argument("--no-load", action="store_true", help="do not measure what bound this machine keeps")
    return parser.parse_args(arguments)


def listen_through(source: AudioSource, say: Say, tries: int, bound_ms: Callable[[int], int | None] | None) -> Calibration:
    """All phases from one source, opened and closed here. ``tries``: how often each is asked for; ``bound_ms``: measures the machine
    for a sample rate in Hz, None: not measured. Raises InputError where nobody sings."""
    with source:
        say("Loading, which takes a few seconds.")
        taken, rate = _Ear(source, say, tries).hear(), source.sample_rate
    say("Thank you.")
    return calibrate(taken, bound_ms(rate) if bound_ms else None)


class _Ear:
    """Hears the phases one after another."""

    def __init__(self, source: AudioSource, say: Say, tries: int) -> None:
        self._source, self._say = source, say
        self._tracker = MelodyTracker.from_settings(make_settings(), source.sample_rate)
        self._tracker.warm_up()
        self._guide = Guide(tries, self._tracker.hop_s)

    def hear(self) -> dict[str, Taken]:
        """What was heard of each. Raises InputError where one is not sung however often it is asked for."""
        self._ask()
        while not self._guide.is_over:
            block = self._source.read(READ_S)
            if block is None:
                self._guide.end_phase()
                break
            changes = [self._guide.feed(frame) for frame in self._frames(block)]
            if any(changes) and not self._guide.is_over:
                self._ask()
        if phase := self._guide.phase:
            raise InputError(
                f"no voice was heard where it should be {phase.name}; see rt-melody doctor, choose a microphone with --device, "
                "and try again"
            )
        return self._guide.taken

    def _frames(self, block: np.ndarray) -> list[PitchFrame]:
        return [item for item in self._tracker.feed(block) if isinstance(item, PitchFrame)] if len(block) else []

    def _ask(self) -> None:
        phase = self._guide.phase
        assert phase is not None  # it is not over
        if self._guide.again:
            self._say(f"Nothing was heard of that. {self._source.trouble or 'Come closer, or sing up'}; once more:")
        self._say(f"{phase.ask} ({PHASE_S:g} s)")
        if self._source.live:  # what was said meanwhile is no answer
            self._source.skip_to_newest()


def round_trip(output: str, device: str | None, say: Say, backend: Any = None) -> str:
    """Measure it, by a cable or through the air, and say it; what stands of it in the profile. Raises DeviceError as the devices do."""
    from rt_melody.realtime.sources.roundtrip import measure, note_of, told_of

    say("Chirps are played: leave the loudspeaker and the microphone where they are.")
    found = measure(output, device, backend=backend)
    say(told_of(found.ms if found else None, make_settings().tracking.latency_ms))
    return note_of(found.ms, output) if found else ""


def recommended_bound_ms(rate_hz: int) -> int | None:
    """The tightest bound that this machine keeps, by a few seconds of the true pace."""
    from rt_melody.realtime.selftest import measure_pace, recommend_bound_ms

    measured = measure_pace(make_settings({"latency_ms": 20}), rate_hz, PACE_S, lambda: False)
    return recommend_bound_ms(*measured) if measured else None
