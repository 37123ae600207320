"""The options of the command: one for each setting of ``settings.root.FLAT``, and those that do one thing and leave."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any, cast, get_args

from pydantic.fields import FieldInfo

from rt_melody.realtime.commands import COMMANDS, command_lines, nearest_command
from rt_melody.realtime.commands.arguments import SentenceParser
from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.settings import FLAT, VIRTUAL, Settings
from rt_melody.realtime.settings.root import Place
from rt_melody.realtime.shell import quoted

SEVERAL = ("input", "osc")  # each time one value or several
WORDS = ("scale", "velocity_curve", "velocity_range")  # one word or several
OTHER_FLAGS = {"a4_hz": "--a4", "scale": "--key"}
EXAMPLES = """examples:
  rt-melody --input demo --midi-file demo.mid     no microphone needed: the program sings to itself
  rt-melody --input mic --listen                  sing, and hear a flute sing along
  rt-melody --input mic --midi-out                a virtual MIDI port 'rt-melody' for your DAW
  rt-melody --input mic --osc localhost:9000      for Max, Pd, SuperCollider
  rt-melody --input mic --midi-out --mode mpe     each note bends, swells and brightens by itself
  rt-melody --input mic --midi-out --scale D minor --snap 30 --octave -1
  rt-melody --input song.wav --csv song.csv --midi-file song.mid
  rt-melody --panic                               silence every MIDI output
  rt-melody --input takes/*.wav --csv folder      one file an input, named after it
  ffmpeg -i song.mp3 -f f32le -ac 1 -ar 48000 - | rt-melody --input - --rate 48000 --jsonl
  rt-melody --print-config > my.yaml              then edit it, and rt-melody --config my.yaml
"""
WITHOUT_VALUE = {"midi_out": VIRTUAL, "listen": "flute", "panel": "auto", "stats": 0.0}  # what an option means that is given alone


class Once(argparse.Action):
    """Stores a value, and refuses a second one, which would silently win over the first."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option_string: str | None = None
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice; give it once")
        setattr(namespace, self.dest, values)


class Parser(SentenceParser):
    """Of the command itself."""

    def stray(self, word: str) -> str:
        near = nearest_command(word)
        guess = f"; did you mean the command {near}?" if near else ""
        return f"{word!r} stands alone; for an input write --input {quoted(word)}{guess}"


def make_parser() -> argparse.ArgumentParser:
    """The parser, an option for each flat name of a setting; what was not given is None."""
    parser = Parser(
        prog="rt-melody",
        usage="rt-melody [--input mic|demo|-|FILE...] [--midi-out [PORT]] [--osc HOST:PORT] [--csv PATH] [options]",
        description="Sing into a microphone; the melody comes out while it sounds, as MIDI or OSC.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES + (f"\ncommands:\n{command_lines()}" if COMMANDS else ""),
    )
    parser.add_argument("--version", action="store_true", help="print the version, and leave")
    parser.add_argument("--list-devices", action="store_true", help="list audio inputs and outputs and MIDI outputs, and leave")
    parser.add_argument(
        "--panic", metavar="PORT", nargs="?", const="",
        help="silence every channel of a MIDI output, or of all of them, and leave; a program that plays does so at SIGUSR1",
    )
    parser.add_argument(
        "--midi-test", metavar="PORT", nargs="?", const="",
        help="play a scale, full bends, each controller and panic on a MIDI output, or on a port of our own, say what one should "
        "hear, and leave",
    )
    parser.add_argument(
        "--self-test",
        nargs="?",
        const="10",
        metavar="SECONDS",
        help="measure whether this machine is quick enough, recommend settings, and leave (status 0: ready, 1: not)",
    )
    parser.add_argument(
        "--loopback",
        metavar="OUTPUT",
        help="with --self-test, measure the round trip from this audio output (number or part of its name) to the input",
    )
    parser.add_argument(
        "--examples", metavar="DIR", nargs="?", const=".", help="copy patches for Pure Data, SuperCollider and Max there, and leave"
    )
    parser.add_argument(
        "--profile", metavar="NAME", nargs="+", action="extend",
        help="settings under a name: a preset, or what rt-melody setup found out of your voice; of several the later wins; "
        "--profile list shows them",
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file of settings; options given here win over it")
    parser.add_argument("--print-config", action="store_true", help="print the settings as such a file, and leave")
    add_settings(parser, FLAT)
    return parser


def add_settings(parser: argparse.ArgumentParser, names: Iterable[str]) -> None:
    """An option for each of these flat names, by groups, and ``--notes``."""
    groups = {name: parser.add_argument_group(field.description) for name, field in Settings.model_fields.items()}
    for name in names:
        _add_option(groups[FLAT[name].group], name, FLAT[name])
    groups["notes"].add_argument(
        "--notes", nargs="+", action="extend", metavar="NAME=VALUE", help="thresholds of the note tracker; --print-config lists them"
    )


def asked_for(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that the options of a parsed command line ask for, by flat names. Raises SettingsError for --notes without a
    value."""
    options = {name: value for name, value in vars(args).items() if name in FLAT and value is not None}
    if args.notes is not None:
        options["notes"] = _note_options(args.notes)
    return options


def _note_options(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise SettingsError(f"--notes {pair} has no value; give NAME=VALUE, for instance on_ms=30")
    return dict(pair.split("=", 1) for pair in pairs)


def _add_option(group: argparse._ActionsContainer, name: str, place: Place) -> None:  # pyright: ignore[reportPrivateUsage]  # argparse names its groups no other way
    field, text = place.field, (place.field.description or "").replace("%", "%%")
    flags = ["--" + name.replace("_", "-"), *([OTHER_FLAGS[name]] if name in OTHER_FLAGS else [])]
    metavar = _metavar(name, place)
    if field.annotation is bool:
        group.add_argument(*flags, action=argparse.BooleanOptionalAction, help=text)
    elif name in SEVERAL:
        group.add_argument(*flags, nargs="+", action="extend", metavar=metavar, help=text + _default(field))
    elif name in WORDS:
        group.add_argument(*flags, nargs="+", action=Once, metavar=metavar, help=text + _default(field))
    elif isinstance(metavar, tuple):
        group.add_argument(*flags, nargs=len(metavar), action=Once, metavar=metavar, help=text + _default(field))
    elif name in WITHOUT_VALUE:
        group.add_argument(*flags, nargs="?", action=Once, const=WITHOUT_VALUE[name], metavar=metavar, help=text)
    else:
        group.add_argument(*flags, action=Once, metavar=metavar, help=text + _default(field))


def _metavar(name: str, place: Place) -> str | tuple[str, ...]:
    if place.metavar is not None:
        return place.metavar
    annotation = place.field.annotation
    kinds = [annotation, *get_args(annotation)]  # of Optional[Literal[...]] the inner one
    choices = [choice for kind in kinds for choice in get_args(kind) if isinstance(choice, str)]
    return "|".join(choices) or name.rsplit("_", 1)[-1].upper()


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    if not default:
        return ""
    parts = cast("list[object]", default) if isinstance(default, list) else [default]
    shown = " ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in parts)
    return f" (default: {shown})"
