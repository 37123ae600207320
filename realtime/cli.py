"""The command ``rt-melody``: what it was asked for, and every way out.

Exit status: 0 at the end of the input, after a signal that ended a live input, or when the reader of stdout has gone; 2 for
input that cannot be used, told in one sentence on stderr; 1 where one of several inputs could not be used or an output failed
on the way (told, the others went on) and for a defect of the program (with its traceback); 128 + N where signal N stopped it at
its start or before the end of its recordings, and 130 after a second Ctrl-C.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

from rt_melody.realtime.commands import find_command
from rt_melody.realtime.console import flushed, hold_standard_files, print_text, reader_has_gone, say
from rt_melody.realtime.errors import DeviceError, OutputError, RtMelodyError, SettingsError
from rt_melody.realtime.options import asked_for, make_parser
from rt_melody.realtime.panel.browser import has_window
from rt_melody.realtime.program import Program
from rt_melody.realtime.settings import Settings, dump_settings
from rt_melody.realtime.settings.files import Values, read_settings
from rt_melody.realtime.settings.outputs import VIRTUAL
from rt_melody.realtime.settings.profiles import list_profiles, profile_values
from rt_melody.realtime.settings.synths import list_synths
from rt_melody.realtime.signals import Stopped, stop_signals
from rt_melody.realtime.version import version

INTERRUPTED = 130  # as shells count it: 128 + SIGINT


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    hold_standard_files()
    atexit.register(gc.freeze)  # else the interpreter looks through all of torch before it leaves, for half a second
    try:
        words = sys.argv[1:] if arguments is None else arguments
        words = words or (["--panel"] if arguments is None and has_window() else [])
        command = find_command(words)
        if command:
            _check_folder()
            return flushed(command(words[1:]))
        return flushed(_run(make_parser().parse_args(words)))
    except SystemExit as leave:  # argparse after --help
        return flushed(int(leave.code or 0))
    except RtMelodyError as error:
        if reader_has_gone(error):
            return flushed(0)
        say(str(error))
        return flushed(2)
    except Stopped as stopped:
        return flushed(128 + stopped.number)
    except KeyboardInterrupt:
        return flushed(INTERRUPTED)


def _check_folder() -> None:
    """Raises SettingsError where the current folder was removed: relative paths lead nowhere, and a library ends the process there."""
    try:
        os.getcwd()
    except OSError:
        raise SettingsError("the current folder has been removed; go to one that is there, such as by `cd`") from None


def _run(args: argparse.Namespace) -> int:
    if args.version:
        return print_text(f"rt-melody {version() or '(not installed)'}\n")
    if args.panic is None:  # which is wanted wherever one is
        _check_folder()
    if args.synth == "list":
        return print_text(list_synths())
    if args.examples is not None:
        return _copy_examples(Path(args.examples))
    if args.profile == ["list"]:
        return print_text(list_profiles())
    settings, asked = settings_of(args)
    if args.list_devices:
        return _list_devices(settings.midi.back_end)
    if args.panic is not None:
        return _panic(args.panic or _named_port(settings), settings.midi.back_end)
    if args.print_config:
        return print_text(dump_settings(settings))
    if args.loopback is not None and args.self_test is None:
        raise SettingsError(f"--loopback {args.loopback} is for --self-test alone; add that, or leave it out")
    with stop_signals() as signals:
        if args.midi_test is not None or args.self_test is not None:
            signals.run()
            status = (
                _midi_test(settings, args.midi_test or _named_port(settings) or None, signals.stop)
                if args.midi_test is not None
                else _self_test(settings, args.self_test, args.loopback, signals.stop)
            )
            return status if signals.came is None else 128 + signals.came  # either has an end of its own
        return _run_program(Program(settings, signals, args.config, profiles=args.profile or [], asked=asked))


def _run_program(program: Program) -> int:
    signals = program.signals

    def last_words(number: int) -> None:
        from rt_melody.realtime.sinks.output_file import take_away_untouched

        program.tell_unheard(number)
        take_away_untouched()

    signals.last_words = last_words
    try:
        if program.jobs > 1:
            from rt_melody.realtime.corpus.several import run_side_by_side

            return run_side_by_side(program)
        return program.run()
    except Stopped as stopped:
        program.tell_unheard(stopped.number)
        raise
    except RtMelodyError:
        if signals.came is None or signals.running:
            raise
        program.tell_unheard(signals.came)
        raise Stopped(signals.came) from None  # what was raised at the signal was lost in a library


def settings_of(args: argparse.Namespace) -> tuple[Settings, Values]:
    """What a parsed command line asks for, its ``--config`` and ``--profile`` included; and, by groups, what of it is no profile's."""
    return read_settings(asked_for(args), args.config, say, profile_values(args.profile or []))


# ---- what is done at once -----------------------------------------------------------------------


def _named_port(settings: Settings) -> str:
    """The MIDI output that ``--midi-out`` names; empty where it is a port of our own, or none."""
    named = settings.output.midi_out
    return "" if named in (None, VIRTUAL) else str(named)


def _panic(wanted: str, back_end: str | None) -> int:
    """All sound off on the MIDI output of this name, or on all that there are."""
    from rt_melody.realtime.sinks.midi_ports import list_midi_outputs, silence_outputs

    names = [wanted] if wanted else list_midi_outputs(back_end)
    if not names:
        raise DeviceError("no MIDI output was found to be silenced; start the synthesiser's, or name one: --panic NAME")
    return print_text("".join(f"silenced {name}\n" for name in silence_outputs(names, back_end)))


def _midi_test(settings: Settings, port_name: str | None, stop: Callable[[], bool]) -> int:
    """Play what we send, for ears, on an output of that name or on a port of our own."""
    from rt_melody.realtime.sinks.midi_ports import open_midi_out
    from rt_melody.realtime.sinks.midi_test import midi_test

    port = open_midi_out(port_name, settings.midi.back_end)
    try:
        midi_test(port, lambda line: print_text(line + "\n"), settings.midi, stop=stop)
    finally:
        port.close_port()
        port.delete()
    return 0


def _self_test(settings: Settings, seconds: str, loopback: str | None, stop: Callable[[], bool]) -> int:
    from rt_melody.realtime.selftest import SelfTest

    try:
        duration_s = float(seconds)
    except ValueError:
        duration_s = 0.0
    if not 1.0 <= duration_s <= 3600.0:
        raise SettingsError(f"--self-test {seconds} cannot be used: it must be a number of seconds from 1 to 3600")
    return SelfTest(settings, duration_s, loopback, lambda line: print_text(line + "\n"), stop).run()


def _copy_examples(folder: Path) -> int:
    """The patches that receive our OSC; raises RtMelodyError where one is there already, or cannot be written."""
    sources = sorted((Path(__file__).parent / "examples").iterdir())
    there = next((folder / source.name for source in sources if os.path.exists(folder / source.name)), None)
    if there:
        raise SettingsError(f"{there} is there already and may hold your changes; name another folder: --examples DIR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            (folder / source.name).write_bytes(source.read_bytes())
    except OSError as error:
        raise OutputError(f"the examples cannot be written to {folder} ({error.strerror}); name another folder") from error
    return print_text("".join(f"{folder / source.name}\n" for source in sources))


def _list_devices(back_end: str | None) -> int:
    from rt_melody.realtime.sinks.midi_ports import describe_midi_outputs
    from rt_melody.realtime.sources.devices import describe_devices, describe_outputs

    return print_text(f"{describe_devices()}\n{describe_outputs()}\n{describe_midi_outputs(back_end)}\n")


if __name__ == "__main__":
    sys.exit(main())
