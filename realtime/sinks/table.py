"""Every output that the command knows, by the module that makes it: a new one is a module and a line here.

Conventions
-----------
* A module has ``from_settings(request)``, which gives the sinks that the settings ask for, often none. It is imported when
  the command runs, so that asking for help needs no libraries.
* Live outputs last over all inputs; file outputs are made anew for each. The instrument of ``--listen`` is a live one that is exchanged by
  itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from rt_melody.realtime.settings import Settings
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.midi_port import MidiPort

LIVE = (
    "rt_melody.realtime.sinks.osc",
    "rt_melody.realtime.sinks.midi",
    "rt_melody.realtime.sinks.terminal",
)
ALOUD = ("rt_melody.realtime.sinks.listen",)
FILES = (
    "rt_melody.realtime.sinks.csv_file",
    "rt_melody.realtime.sinks.midi_file",
    "rt_melody.realtime.sinks.json_lines",
    "rt_melody.realtime.sinks.advice",
)


REACH_BACK_S = 1.0  # of the note tracker by its usual settings, at a latency of 50 ms


@dataclass(frozen=True)
class SinkRequest:
    """What a sink is made from. ``tell`` takes a sentence from any thread and never waits; ``say`` one that is for the
    start. Of files: ``input_name`` as it was given, ``several`` whether there are more inputs, ``live`` whether a clock
    drives the input, so that nothing may wait for a disk, ``reach_back_s`` the farthest that an event's time may lie before
    the moment at which it exists, which is the note tracker's. ``jack``: the MIDI port is this, of a JACK client."""

    settings: Settings
    tell: Callable[[str], object] = lambda text: None
    say: Callable[[str], object] = lambda text: None
    input_name: str = ""
    several: bool = False
    live: bool = False
    reach_back_s: float = REACH_BACK_S
    jack: MidiPort | None = None

    def path(self, given: str, suffix: str) -> Path:
        """Where an output of this input goes: ``given``, or in a folder a file of the input's name."""
        return output_path(given, self.input_name, suffix, self.several)


def output_path(given: str, input_name: str, suffix: str, several: bool) -> Path:
    """In a folder each input has a file of its own name; so it does where one file alone matched a pattern, and where
    ``given`` is the name of a folder: one that is there, or that ends as such names do."""
    stem = "stdin" if input_name == "-" else Path(input_name).stem
    return Path(given) / (stem + suffix) if several or names_folder(given) or os.path.isdir(given) else Path(given)


def names_folder(given: str) -> bool:
    """Whether a path is that of a folder by its look, whatever is there."""
    return given.endswith(("/", os.sep))


def make_sinks(modules: tuple[str, ...], request: SinkRequest, sinks: list[EventSink]) -> None:
    """Append what the settings ask for, one by one, so that those made before a failure can be closed."""
    for module in modules:
        sinks.extend(import_module(module).from_settings(request))
