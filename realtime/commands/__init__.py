"""What may stand first on the command line in place of options: ``rt-melody NAME ...``.

A command is a module here with ``run(arguments) -> int``, which takes the words after the name and gives the exit status. It
may raise RtMelodyError for input that it cannot use, as everything else does. Modules are imported when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import cast

from rt_melody.realtime.settings.base import nearest

# name -> the module, and what it does in a line of --help.
COMMANDS: dict[str, tuple[str, str]] = {
    "extract": ("rt_melody.realtime.commands.extract", "a corpus: folders of recordings to results, resumed where it stopped"),
    "plugin": ("rt_melody.realtime.commands.plugin", "the plugin for audio workstations: install, uninstall, check"),
    "setup": ("rt_melody.realtime.commands.setup", "20 s of guided singing: a profile that fits your voice, room and machine"),
    "plot": ("rt_melody.realtime.commands.plot", "draw what --csv wrote: f0 over a spectrogram, notes, confidence"),
    "doctor": ("rt_melody.realtime.commands.doctor", "look whether everything works here, and say what cures it"),
}


def find_command(arguments: Sequence[str]) -> Callable[[list[str]], int] | None:
    """What runs the words after the first one; None where the first is no command."""
    if not arguments or arguments[0] not in COMMANDS:
        return None
    return cast("Callable[[list[str]], int]", import_module(COMMANDS[arguments[0]][0]).run)


def nearest_command(word: str) -> str | None:
    """The command that ``word`` was perhaps meant to be."""
    return nearest(word, list(COMMANDS))


def command_lines() -> str:
    """The commands for --help, a line each."""
    return "".join(f"  rt-melody {name:<12} {meaning}\n" for name, (_, meaning) in COMMANDS.items())
