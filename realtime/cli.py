"""The command ``rt-melody``: options, what they build, and every way out.

Exit status: 0 at the end of the input or after Ctrl-C or SIGTERM; 2 for input that cannot be used, told in
one sentence on stderr; 1 for a defect of the program (with its traceback).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

from rt_melody.realtime.config import VIRTUAL, Settings, dump_settings, make_settings
from rt_melody.realtime.types import InputError

GROUPS = {
    "input": "what comes in",
    "latency_ms": "how it is heard",
    "midi_out": "what goes out",
    "notes": "what counts as a note",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    try:
        return _run(_parser().parse_args(arguments))
    except InputError as error:
        print(f"rt-melody: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of stdout has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(args: argparse.Namespace) -> int:
    if args.list_devices:
        return _list_devices()
    options = {k: v for k, v in vars(args).items() if k in Settings.model_fields and v is not None}
    if args.notes is not None:
        options["notes"] = _note_options(args.notes)
    settings = make_settings(options, args.config)
    if args.print_config:
        print(dump_settings(settings), end="")
        return 0
    with _stopping() as stop:
        return Program(settings, stop).run()


class Program:
    """Settings turned into a source, an engine, a tracker and sinks, input after input."""

    def __init__(self, settings: Settings, stop) -> None:
        from rt_melody.realtime.notes import NoteSettings

        self.settings, self.stop = settings, stop
        self.several = len(settings.input) > 1
        if self.several and {"mic", "demo", "-"} & set(settings.input):
            raise InputError(f"--input {' '.join(settings.input)}: several inputs must all be files; give mic, demo or - alone")
        known = set(NoteSettings.__slots__)
        for name in settings.notes:
            if name not in known:
                raise InputError(f"notes.{name} is no threshold; they are {', '.join(NoteSettings.__slots__)}")
        self.note_settings = NoteSettings(**settings.notes)
        self.engine = None
        self.display = None

    def run(self) -> int:
        """All inputs; 0, or 2 when one of several could not be used (it is told, the others are done)."""
        live = self._live_sinks()
        status = 0
        try:
            for name in self.settings.input:
                try:
                    self._run_one(name, live)
                except InputError as error:
                    if not self.several:
                        raise
                    self._tell(f"{name}: {error}", always=True)
                    status = 2
                if self.stop():
                    break
        finally:
            from rt_melody.realtime.session import close_all

            close_all(live)
        return status

    def _run_one(self, name: str, live: list) -> None:
        from rt_melody.realtime.notes import NoteTracker
        from rt_melody.realtime.session import Session, close_all

        source = self._source(name)
        files = self._file_sinks(name)
        tally = None
        try:
            self._check_early(source)
            with source:
                self._prepare_engine(source.sample_rate)
                tracker = NoteTracker(self.note_settings, self.engine.hop_s)
                if source.live:
                    source.skip_to_newest()  # what came while the model was loaded
                session = Session(
                    source, self.engine, tracker, live + files, self.stop, self._tell, self._show_tally
                )
                tally = session.tally
                session.run()
        finally:
            close_all(files)
            if self.display:
                self.display.clear()
            if tally is not None:
                prefix = f"{name}: " if self.several else ""
                self._tell(prefix + tally.line())
        if source.notice:
            self._tell(f"{name}: {source.notice}", always=True)

    def _check_early(self, source) -> None:
        """Open and close a file before the model is loaded, so that a wrong name is told at once."""
        if self.engine is None and not source.live and self.settings.input[0] not in ("-", "demo"):
            source.open()
            source.close()

    def _prepare_engine(self, sample_rate: int) -> None:
        from rt_melody.realtime.engine import DecoderSettings, Engine

        s = self.settings
        if self.engine is not None and self.engine.sample_rate == sample_rate:
            return
        decoder = DecoderSettings(s.voicing_threshold, s.f0_min_hz, s.f0_max_hz)
        model = self.engine.model if self.engine is not None else s.model
        self.engine = Engine(sample_rate, s.latency_ms, model, decoder)
        self.engine.warm_up()
        self._tell(f"latency from {sample_rate} Hz input to estimate:\n{self.engine.latency.table()}")
        if self.display:
            self.display.status(self.engine.latency.total_ms, 0)

    # ---- what comes in -------------------------------------------------------------------------

    def _source(self, name: str):
        from rt_melody.realtime import sources

        s = self.settings
        if name == "mic":
            return sources.MicrophoneSource(s.device, s.rate, s.channel)
        if name == "demo":
            return sources.DemoSource(realtime=bool(s.midi_out or s.osc or s.realtime))
        if name == "-":
            if s.rate is None:
                raise InputError("--input - needs --rate HZ: raw samples do not say their rate")
            return sources.PipeSource(sys.stdin.buffer, s.rate)
        return sources.FileSource(name, realtime=s.realtime)

    # ---- what goes out -------------------------------------------------------------------------

    def _live_sinks(self) -> list:
        s, sinks = self.settings, []
        self._make_folders()
        if s.midi_out is not None:
            from rt_melody.realtime.sinks.midi import MidiSink
            from rt_melody.realtime.sinks.midi_ports import open_midi_out

            port = open_midi_out(None if s.midi_out == VIRTUAL else s.midi_out)
            sinks.append(MidiSink(port, s.channel_out, s.bend_range, s.loudness))
        if s.osc is not None:
            from rt_melody.realtime.sinks.osc import OscSink, parse_osc_address

            sinks.append(OscSink(*parse_osc_address(s.osc)))
        if not s.quiet and not s.jsonl:
            from rt_melody.realtime.sinks.terminal import TerminalSink

            self.display = TerminalSink(sys.stderr)
            sinks.append(self.display)
        return sinks

    def _file_sinks(self, name: str) -> list:
        from rt_melody.realtime.sinks.files import CsvSink, JsonlSink, MidiFileSink

        s, sinks = self.settings, []
        if s.csv:
            sinks.append(CsvSink(self._path(s.csv, name, ".csv")))
        if s.midi_file:
            path = self._path(s.midi_file, name, ".mid")
            sinks.append(MidiFileSink(path, s.channel_out, s.bend_range, s.loudness, s.tempo_bpm))
        if s.jsonl:
            sinks.append(JsonlSink(sys.stdout, label=name if self.several else None))
        return sinks

    def _path(self, given: str, name: str, suffix: str) -> Path:
        return Path(given) / (Path(name).stem + suffix) if self.several else Path(given)

    def _make_folders(self) -> None:
        """With several inputs the output paths are folders; two inputs of one stem would share a file."""
        if not self.several:
            return
        stems = [Path(name).stem for name in self.settings.input]
        for given in filter(None, (self.settings.csv, self.settings.midi_file)):
            twice = next((s for s in stems if stems.count(s) > 1), None)
            if twice:
                raise InputError(f"two inputs are called {twice}; their outputs in {given} would be one file: rename one")
            if not Path(given).is_dir():
                raise InputError(f"{given} is no folder; with several inputs give an existing folder")

    # ---- what is said --------------------------------------------------------------------------

    def _tell(self, text: str, always: bool = False) -> None:
        if always or not self.settings.quiet:
            if self.display:
                self.display.clear()
            print(f"rt-melody: {text}", file=sys.stderr, flush=True)

    def _show_tally(self, tally) -> None:
        if self.display:
            self.display.status(self.engine.latency.total_ms, tally.skips)


@contextmanager
def _stopping() -> Iterator:
    """A function that tells whether Ctrl-C or SIGTERM came; a second Ctrl-C ends the program as usual."""
    came: list[int] = []

    def note(number: int, _frame) -> None:
        came.append(number)
        signal.signal(signal.SIGINT, before[signal.SIGINT])

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _note_options(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"--notes {pair}: give NAME=VALUE, for instance on_ms=30")
    return dict(pair.split("=", 1) for pair in pairs)


def _list_devices() -> int:
    from rt_melody.realtime.sinks.midi_ports import list_midi_outputs
    from rt_melody.realtime.sources import describe_devices

    print("Audio inputs")
    print(describe_devices())
    print("MIDI outputs")
    try:
        ports = list_midi_outputs()
        print("\n".join(f"  {port}" for port in ports) or "  none; --midi-out without a name makes one of our own")
    except InputError as error:
        print(f"  {error}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rt-melody",
        description="Sing into a microphone; the melody comes out while it sounds, as MIDI or OSC.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  rt-melody --input mic --midi-out            a virtual MIDI port 'rt-melody' for your DAW\n"
        "  rt-melody --input mic --osc localhost:9000  for Max, Pd, SuperCollider\n"
        "  rt-melody --input song.wav --csv song.csv --midi-file song.mid\n",
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file of settings; options given here win over it")
    parser.add_argument("--print-config", action="store_true", help="print the settings as such a file, and leave")
    parser.add_argument("--list-devices", action="store_true", help="list audio inputs and MIDI outputs, and leave")
    group = parser
    for name, field in Settings.model_fields.items():
        if name in GROUPS:
            group = parser.add_argument_group(GROUPS[name])
        flag, text = "--" + name.replace("_", "-"), field.description.replace("%", "%%")
        if field.annotation is bool:
            group.add_argument(flag, action="store_const", const=True, help=text)
        elif name in ("input", "notes"):
            group.add_argument(flag, nargs="+", metavar="INPUT" if name == "input" else "NAME=VALUE", help=text)
        elif name == "midi_out":
            group.add_argument(flag, nargs="?", const=VIRTUAL, metavar="PORT", help=text)
        else:
            group.add_argument(flag, metavar=_metavar(name, field.annotation), help=text + _default(field))
    return parser


def _metavar(name: str, annotation) -> str:
    choices = [c for c in get_args(annotation) if isinstance(c, str)]
    return "|".join(choices) if choices else name.rsplit("_", 1)[-1].upper()


def _default(field) -> str:
    return "" if field.default is None else f" (default: {field.default})"


if __name__ == "__main__":
    sys.exit(main())
