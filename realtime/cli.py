"""The command ``rt-melody``: options, what they build, and every way out.

Exit status: 0 at the end of the input, after Ctrl-C or SIGTERM, or when the reader of stdout has gone; 2 for
input that cannot be used, told in one sentence on stderr; 130 after a second Ctrl-C; 1 for a defect of the
program (with its traceback).

What is cheap to check is checked first: torch is imported when the input is open and the outputs are there.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import NoReturn, get_args

from rt_melody.realtime.config import VIRTUAL, Settings, did_you_mean, dump_settings, make_settings, nearest
from rt_melody.realtime.notes import NoteSettings, NoteTracker
from rt_melody.realtime.playing.performance import Performer
from rt_melody.realtime.playing.setup import Playing, make_playing
from rt_melody.realtime.session import Session, closing
from rt_melody.realtime.timing.figures import sentence
from rt_melody.realtime.timing.speaker import LineLog, Speaker
from rt_melody.realtime.types import InputError

GROUPS = {
    "input": "what comes in",
    "latency_ms": "how it is heard",
    "midi_out": "what goes out",
    "mode": "how the notes are played",
    "channel_out": "how MIDI says them",
    "notes": "what counts as a note",
}
METAVARS = {
    "input": "INPUT",
    "device": "NAME|INDEX",
    "rate": "HZ",
    "model": "FILE",
    "voicing_threshold": "P",
    "midi_out": "PORT",
    "channel_out": "CHANNEL",
    "bend_range": "SEMITONES",
    "osc": "HOST:PORT",
    "midi_file": "PATH",
    "csv": "PATH",
    "transpose": "SEMITONES",
    "octave": "OCTAVES",
    "scale": "off|auto|SCALE",
    "snap": "hard|off|CENTS",
    "note_range": ("LOW", "HIGH"),
    "gate": "off|auto|DBFS",
    "velocity_curve": "CURVE",
    "velocity_range": ("DBFS", "DBFS"),
    "loudness_range": ("DBFS", "DBFS"),
    "brightness_range": ("HZ", "HZ"),
    "midi_rate": "BYTES",
    "stats": "SECONDS",
    "stats_file": "PATH",
    "notes": "NAME=VALUE",
}
WORDS = ("scale", "velocity_curve")  # text of one word or several
OTHER_FLAGS = {"a4_hz": "--a4", "scale": "--key"}
EXAMPLES = """examples:
  rt-melody --input demo --midi-file demo.mid     no microphone needed: the program sings to itself
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
CLEAR_LINE = "\r\x1b[K"  # ECMA-48: erase to the end of the line
STATS_EVERY_S = 1.0  # in --stats-file, where --stats says nothing else
ALONE = ("mic", "demo", "-")  # inputs that are no files
WITHOUT_VALUE = {"midi_out": VIRTUAL, "stats": 0.0}  # what an option means that is given alone
INTERRUPTED = 130  # as shells count it: 128 + SIGINT


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status."""
    _hold_standard_files()
    atexit.register(gc.freeze)  # else the interpreter looks through all of torch before it leaves, for half a second
    try:
        return _flushed(_run(_parser().parse_args(arguments)))
    except SystemExit as leave:  # argparse after --help
        return _flushed(leave.code or 0)
    except InputError as error:
        if _reader_has_gone(error):
            return _flushed(0)
        _say(str(error))
        return _flushed(2)
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(args: argparse.Namespace) -> int:
    if args.version:
        return _print(f"rt-melody {_version()}\n")
    if args.list_devices:
        return _list_devices()
    if args.panic is not None:
        return _panic(args.panic)
    if args.examples is not None:
        return _copy_examples(Path(args.examples))
    options = {k: v for k, v in vars(args).items() if k in Settings.model_fields and v is not None}
    if args.notes is not None:
        options["notes"] = _note_options(args.notes)
    settings = make_settings(options, args.config)
    thresholds, playing = _note_settings(settings, options, args.config), make_playing(settings)
    if args.print_config:
        return _print(dump_settings(settings.model_copy(update={"notes": asdict(thresholds)})))
    if args.loopback is not None and args.self_test is None:
        raise InputError(f"--loopback {args.loopback} is for --self-test alone; add that, or leave it out")
    with _stopping() as stop:
        if args.self_test is not None:
            return _self_test(settings, args.self_test, args.loopback, stop)
        return Program(settings, thresholds, playing, stop).run()


class Program:
    """Settings turned into a source, an engine, a tracker and sinks, input after input."""

    def __init__(self, settings: Settings, thresholds: NoteSettings, playing: Playing, stop: Callable[[], bool]) -> None:
        self.settings, self.thresholds, self.playing, self.stop = settings, thresholds, playing, stop
        self.several = len(settings.input) > 1
        self.engine = None
        self.display = None
        self.speaker = Speaker(self._say_over_line)
        self.logs: list[LineLog] = []
        self._check_inputs()
        self._check_outputs()

    def run(self) -> int:
        """All inputs; 0, or 2 when one of several could not be used (it is told, the others are done)."""
        live: list = []
        status = 0
        with closing(live), closing(self.logs):
            self._add_live_sinks(live)
            if self.settings.stats_file:
                self.logs.append(LineLog(self.settings.stats_file))
            for name in self.settings.input:
                try:
                    self._run_one(name, live)
                except InputError as error:
                    if not self.several or _reader_has_gone(error):
                        raise
                    self._tell(f"{name}: {error}", always=True)
                    status = 2
                if self.stop():
                    break
        return status

    def _run_one(self, name: str, live: list) -> None:
        source, files = self._source(name), []
        session = None
        try:
            with closing(files):
                self._add_file_sinks(files, name)
                with source:
                    self._tell_input(name, source)
                    self._prepare_engine(source.sample_rate)
                    tracker = Performer(NoteTracker(self.thresholds, self.engine.hop_s), self.playing.performance)
                    session = Session(
                        source, self.engine, tracker, live + files, self.stop, self._tell_loss, self._show_tally,
                        self._note_stats, self._stats_every_s(), self.settings.priority, gate=self.playing.gate,
                    )
                    session.run()
        finally:
            self.speaker.close()
            if session is not None:
                self._tell_end(name, session)
        if source.notice:
            self._tell_notice(name, source.notice, session.tally.frames)

    def _tell_end(self, name: str, session: Session) -> None:
        """What was heard and lost; with --stats, how the program kept time."""
        figures, label = session.stats(), f"{name}: " if self.several else ""
        if self.settings.stats is not None:
            self._tell(label + sentence(figures), always=True)
        self._log(figures)
        missed = f"; {session.timing.missed} of {session.timing.turns} deadlines missed" if session.timing.live else ""
        self._tell(label + session.tally.line() + missed)

    def _tell_notice(self, name: str, notice: str, frames: int) -> None:
        if not frames:
            raise InputError(notice)
        self._tell((f"{name}: " if self.several else "") + notice, always=True)

    def _prepare_engine(self, sample_rate: int) -> None:
        from rt_melody.realtime.engine import DecoderSettings, Engine

        s = self.settings
        if self.engine is not None and self.engine.sample_rate == sample_rate:
            return
        decoder = DecoderSettings(s.voicing_threshold, s.f0_min_hz, s.f0_max_hz)
        model = self.engine.model if self.engine is not None else s.model
        self.engine = Engine(sample_rate, s.latency_ms, model, decoder)
        self.engine.warm_up()
        lag_ms = NoteTracker(self.thresholds, self.engine.hop_s).lag_ms
        self._tell(
            f"latency from {sample_rate} Hz input to estimate:\n{self.engine.latency.table()}\n"
            f"  {lag_ms:6.2f} ms  more until a note begins after silence: frames that must agree (--notes on_ms=...)"
        )
        if self.display:
            self.display.status(self.engine.latency.total_ms, 0)

    # ---- what comes in -------------------------------------------------------------------------

    def _check_inputs(self) -> None:
        s = self.settings
        if self.several and set(ALONE) & set(s.input):
            raise InputError(f"--input {' '.join(s.input)}: several inputs must all be files; give mic, demo or - alone")
        if "-" in s.input and s.rate is None:
            raise InputError("--input - needs --rate HZ, since raw samples do not say their rate; for instance --rate 48000")
        if "-" in s.input and sys.stdin is None:
            raise InputError("--input - needs a standard input, which is closed; pipe samples in")
        if s.model is not None and not Path(s.model).is_file():
            raise InputError(f"there is no model file {s.model}; leave --model out to use the one that is shipped")

    def _source(self, name: str):
        from rt_melody.realtime import sources

        s = self.settings
        if name == "mic":
            return sources.MicrophoneSource(s.device, s.rate, s.channel)
        if name == "demo":
            return sources.DemoSource(realtime=bool(s.midi_out or s.osc or s.realtime))
        if name == "-":
            return sources.PipeSource(sys.stdin.buffer, s.rate)
        return sources.FileSource(name, realtime=s.realtime)

    # ---- what goes out -------------------------------------------------------------------------

    def _check_outputs(self) -> None:
        s = self.settings
        if s.jsonl and sys.stdout is None:
            raise InputError("--jsonl needs a standard output, which is closed; leave it out or send it to a file")
        if self.several:
            self._check_folders()
        elif s.csv and s.midi_file and _same_file(s.csv, s.midi_file):
            raise InputError(f"--csv and --midi-file are both {s.csv}; give each a file of its own")
        files = [name for name in s.input if name not in ALONE]
        if s.stats_file and any(_same_file(s.stats_file, name) for name in (*files, *filter(None, (s.csv, s.midi_file)))):
            raise InputError(f"--stats-file {s.stats_file} is an input or another output; give it a name of its own")
        for given, suffix in ((s.csv, ".csv"), (s.midi_file, ".mid")):
            for path in {self._path(given, name, suffix) for name in s.input} if given else ():
                if any(_same_file(path, name) for name in files):
                    raise InputError(f"{path} is an input and would be written over; give the output another name")

    def _check_folders(self) -> None:
        """With several inputs the output paths are folders; two inputs of one stem would share a file."""
        stems = [Path(name).stem for name in self.settings.input]
        for given in filter(None, (self.settings.csv, self.settings.midi_file)):
            twice = next((stem for stem in stems if stems.count(stem) > 1), None)
            if twice:
                raise InputError(f"two inputs are called {twice}; their outputs in {given} would be one file: rename one")
            if not Path(given).is_dir():
                raise InputError(f"{given} is no folder; with several inputs give an existing folder")

    def _path(self, given: str, name: str, suffix: str) -> Path:
        return Path(given) / (Path(name).stem + suffix) if self.several else Path(given)

    def _add_live_sinks(self, sinks: list) -> None:
        """Outputs that last over all inputs; the quick checks come first."""
        s = self.settings
        if s.osc is not None:
            from rt_melody.realtime.sinks.osc import OscSink, parse_osc_address

            sinks.append(OscSink(*parse_osc_address(s.osc), self.playing.offset_s))
        if s.midi_out is not None:
            from rt_melody.realtime.sinks.midi import MidiSink
            from rt_melody.realtime.sinks.midi_ports import open_midi_out
            from rt_melody.realtime.sinks.midi_reconnect import ReconnectingPort

            if s.midi_out == VIRTUAL:  # it is ours, and goes with the MIDI system alone
                port = open_midi_out()
            else:
                port = ReconnectingPort(lambda: open_midi_out(s.midi_out), self._tell_loss)
            sinks.append(sink := MidiSink(port, self.playing.midi))
            _panic_on_signal(sink)
            self._tell(f"playing on the MIDI port {port.name}")
        if not s.quiet and not s.jsonl and sys.stderr is not None:
            from rt_melody.realtime.sinks.terminal import TerminalSink

            self.display = TerminalSink(sys.stderr)
            sinks.append(self.display)

    def _add_file_sinks(self, sinks: list, name: str) -> None:
        from rt_melody.realtime.sinks.files import CsvSink, JsonlSink, MidiFileSink

        s = self.settings
        if s.csv:
            sinks.append(CsvSink(self._path(s.csv, name, ".csv"), self.playing.offset_s))
        if s.midi_file:
            path = self._path(s.midi_file, name, ".mid")
            sinks.append(MidiFileSink(path, self.playing.midi, s.tempo_bpm, self.playing.offset_s))
        if s.jsonl:
            sinks.append(JsonlSink(sys.stdout, label=name if self.several else None, offset_s=self.playing.offset_s))

    # ---- what is said --------------------------------------------------------------------------

    def _tell(self, text: str, always: bool = False) -> None:
        if always or not self.settings.quiet:
            if self.display:
                self.display.clear()
            _say(text)

    def _tell_input(self, name: str, source) -> None:
        s = self.settings
        if name == "mic":
            self._tell(f"listening to {source.info.full_name}; Ctrl-C ends")
        elif self.engine is None and not (s.midi_out or s.osc or s.midi_file or s.csv or s.jsonl):
            self._tell("no output was asked for; add --midi-file, --csv, --jsonl, --midi-out or --osc to keep what is heard")

    def _tell_loss(self, text: str) -> None:
        """Called by the thread that computes: handed over, since a terminal may make its writer wait."""
        if self.display:
            self.display.clear()
        self.speaker.take(text)

    def _say_over_line(self, text: str) -> None:
        """Said by the speaker's thread, where the display may just have drawn its line."""
        _say(text, over_line=self.display is not None and sys.stderr.isatty())

    # ---- figures -------------------------------------------------------------------------------

    def _stats_every_s(self) -> float:
        return self.settings.stats or (STATS_EVERY_S if self.settings.stats_file else 0.0)

    def _note_stats(self, figures: dict) -> None:
        """Called by the thread that computes: what is written is handed over."""
        self._log(figures)
        if self.settings.stats:
            self.speaker.take(sentence(figures))

    def _log(self, figures: dict) -> None:
        for log in self.logs:
            log.take(json.dumps(figures))

    def _show_tally(self, tally) -> None:
        if self.display:
            self.display.status(self.engine.latency.total_ms, tally.skips)


def _same_file(one: str | Path, other: str | Path) -> bool:
    """Whether both name one regular file, there already or yet to be made."""
    one, other = Path(one).resolve(), Path(other).resolve()
    return one == other and (one.is_file() or not one.exists())


# ---- ways out ----------------------------------------------------------------------------------


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """A function that tells whether Ctrl-C, SIGTERM or the end of the terminal came; a second Ctrl-C interrupts.

    What ``nohup`` made the program ignore stays ignored.
    """
    came: list[int] = []

    def note(number: int, _frame) -> None:
        came.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    numbers = [signal.SIGINT, signal.SIGTERM]
    numbers += [getattr(signal, name) for name in ("SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        if number in (signal.SIGINT, signal.SIGTERM) or before[number] != signal.SIG_IGN:
            signal.signal(number, note)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _say(text: str, over_line: bool = False) -> None:
    """One sentence on stderr, if anybody still listens there; ``over_line``: a display may stand in its place."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(f"{CLEAR_LINE if over_line else ''}rt-melody: {text}", file=sys.stderr, flush=True)


def _reader_has_gone(error: InputError) -> bool:
    """Whether the error is only that of ``rt-melody ... | head -1``."""
    return isinstance(error.__cause__, BrokenPipeError)


def _print(text: str) -> int:
    """``text`` on stdout; status 0. Raises InputError where stdout does not take it."""
    try:
        print(text, end="", flush=True)
    except OSError as error:
        raise InputError(f"standard output cannot be written ({error.strerror}); send it elsewhere") from error
    return 0


def _flushed(status: int) -> int:
    """``status``, with nothing left in the buffer of stdout that the interpreter would stumble over at its end."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:  # told already, or its reader has gone
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


def _hold_standard_files() -> None:
    """Where the shell closed one of the three, keep its number from an output file: libraries write to it blindly."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


# ---- options -----------------------------------------------------------------------------------


def _note_options(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"--notes {pair} has no value; give NAME=VALUE, for instance on_ms=30")
    return dict(pair.split("=", 1) for pair in pairs)


def _note_settings(settings: Settings, options: dict, path: str | None) -> NoteSettings:
    """The thresholds with the changes asked for. Raises InputError for one that is unknown or out of range."""
    known = NoteSettings.__slots__
    where = f" in {path}" if path and not options.get("notes") else ""
    for name in settings.notes:
        if name not in known:
            raise InputError(f"notes.{name}{where} is no threshold; {did_you_mean(name, known)}")
    return NoteSettings(**settings.notes)


def _version() -> str:
    try:
        return metadata.version("rt-melody")
    except metadata.PackageNotFoundError:  # run from a folder, not installed
        return "(not installed)"


def _panic(wanted: str) -> int:
    """All sound off on the MIDI output of this name, or on all that there are."""
    from rt_melody.realtime.sinks.midi_ports import list_midi_outputs, silence_outputs

    names = [wanted] if wanted else list_midi_outputs()
    if not names:
        raise InputError("no MIDI output was found to be silenced; start the synthesiser's, or name one: --panic NAME")
    return _print("".join(f"silenced {name}\n" for name in silence_outputs(names)))


def _panic_on_signal(sink) -> None:
    """SIGUSR1 silences what ``sink`` plays on, where the system has that signal and we run in the main thread."""
    if hasattr(signal, "SIGUSR1"):
        with suppress(ValueError):
            signal.signal(signal.SIGUSR1, lambda *_: sink.ask_panic())


def _self_test(settings: Settings, seconds: str, loopback: str | None, stop: Callable[[], bool]) -> int:
    from rt_melody.realtime.selftest import SelfTest

    try:
        duration_s = float(seconds)
    except ValueError:
        duration_s = 0.0
    if not 1.0 <= duration_s <= 3600.0:
        raise InputError(f"--self-test {seconds} cannot be used: it must be a number of seconds from 1 to 3600")
    return SelfTest(settings, duration_s, loopback, lambda line: _print(line + "\n"), stop).run()


def _copy_examples(folder: Path) -> int:
    """The patches that receive our OSC; raises InputError where one is there already, or cannot be written."""
    sources = sorted((Path(__file__).parent / "examples").iterdir())
    there = next((folder / source.name for source in sources if (folder / source.name).exists()), None)
    if there:
        raise InputError(f"{there} is there already and may hold your changes; name another folder: --examples DIR")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sources:
            (folder / source.name).write_bytes(source.read_bytes())
    except OSError as error:
        raise InputError(f"the examples cannot be written to {folder} ({error.strerror}); name another folder") from error
    return _print("".join(f"{folder / source.name}\n" for source in sources))


def _list_devices() -> int:
    from rt_melody.realtime.sinks.midi_ports import list_midi_outputs
    from rt_melody.realtime.sources import describe_devices

    ports = list_midi_outputs()
    if ports:
        midi = "\n  ".join(["MIDI outputs:", *ports])
    else:
        midi = "MIDI outputs: none found; where ALSA, CoreMIDI or JACK runs, --midi-out without a name makes one"
    return _print(f"{describe_devices()}\n{midi}\n")


class _Parser(argparse.ArgumentParser):
    """Errors are InputErrors: one sentence, without the usage."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: "):
            message = self._unrecognized(message.split(": ", 1)[1].split()[0])
        raise InputError(f"{message}; rt-melody --help lists the options")

    def _unrecognized(self, word: str) -> str:
        if not word.startswith("-"):
            return f"{word!r} stands alone; for an input write --input {word}"
        flag = word.partition("=")[0]
        names = [option[2:].replace("-", "_") for option in self._option_string_actions if option.startswith("--")]
        near = nearest(flag.lstrip("-"), names)
        guess = f"; did you mean --{near.replace('_', '-')}?" if near else ""
        return f"there is no option {flag}{guess}"


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="rt-melody",
        usage="rt-melody [--input mic|demo|-|FILE...] [--midi-out [PORT]] [--osc HOST:PORT] [--csv PATH] [options]",
        description="Sing into a microphone; the melody comes out while it sounds, as MIDI or OSC.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action="store_true", help="print the version, and leave")
    parser.add_argument("--list-devices", action="store_true", help="list audio inputs and MIDI outputs, and leave")
    parser.add_argument(
        "--panic", metavar="PORT", nargs="?", const="",
        help="silence every channel of a MIDI output, or of all of them, and leave; a program that plays does so at SIGUSR1",
    )
    parser.add_argument("--self-test", nargs="?", const="10", metavar="SECONDS", help="measure whether this machine is quick enough, recommend settings, and leave (status 0: ready, 1: not)")
    parser.add_argument("--loopback", metavar="OUTPUT", help="with --self-test, measure the round trip from this audio output (number or part of its name) to the input")
    parser.add_argument(
        "--examples", metavar="DIR", nargs="?", const=".", help="copy patches for Pure Data, SuperCollider and Max there, and leave"
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file of settings; options given here win over it")
    parser.add_argument("--print-config", action="store_true", help="print the settings as such a file, and leave")
    group = parser
    for name, field in Settings.model_fields.items():
        if name in GROUPS:
            group = parser.add_argument_group(GROUPS[name])
        _add_option(group, name, field)
    return parser


def _add_option(group, name: str, field) -> None:
    flag, text = "--" + name.replace("_", "-"), field.description.replace("%", "%%")
    flags = [flag, *([OTHER_FLAGS[name]] if name in OTHER_FLAGS else [])]
    if field.annotation is bool:
        group.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
    elif name in ("input", "notes"):
        group.add_argument(flag, nargs="+", action="extend", metavar=_metavar(name, field), help=text + _default(field))
    elif name in WORDS:
        group.add_argument(*flags, nargs="+", metavar=_metavar(name, field), help=text + _default(field))
    elif isinstance(_metavar(name, field), tuple):
        group.add_argument(*flags, nargs=2, metavar=_metavar(name, field), help=text + _default(field))
    elif name in WITHOUT_VALUE:
        group.add_argument(flag, nargs="?", const=WITHOUT_VALUE[name], metavar=_metavar(name, field), help=text)
    else:
        group.add_argument(*flags, metavar=_metavar(name, field), help=text + _default(field))


def _metavar(name: str, field) -> str:
    kinds = [field.annotation, *get_args(field.annotation)]  # of Optional[Literal[...]] the inner one
    choices = [choice for kind in kinds for choice in get_args(kind) if isinstance(choice, str)]
    return "|".join(choices) or METAVARS.get(name) or name.rsplit("_", 1)[-1].upper()


def _default(field) -> str:
    default = field.get_default(call_default_factory=True)
    if not default:
        return ""
    parts = default if isinstance(default, list) else [default]
    shown = " ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in parts)
    return f" (default: {shown})"


if __name__ == "__main__":
    sys.exit(main())
