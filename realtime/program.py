"""From settings to a running program: the source, the engine, the tracker and the sinks, input after input.

What is cheap to check is checked first: torch is imported when the input is open and the outputs are there.
"""

from __future__ import annotations

import glob
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rt_melody.realtime.config import VIRTUAL, Settings
from rt_melody.realtime.console import reader_has_gone, say
from rt_melody.realtime.notes import NoteSettings, NoteTracker
from rt_melody.realtime.playing.performance import Performer
from rt_melody.realtime.playing.setup import Playing
from rt_melody.realtime.session import Session, closing
from rt_melody.realtime.timing.figures import sentence
from rt_melody.realtime.timing.background import LineLog, BackgroundWriter
from rt_melody.realtime.errors import InputError, OutputError, RtMelodyError, SettingsError

STATS_EVERY_S = 1.0  # in --stats-file, where --stats says nothing else
ALONE = ("mic", "demo", "-")  # inputs that are no files


class Program:
    """Settings turned into a source, an engine, a tracker and sinks, input after input."""

    def __init__(self, settings: Settings, thresholds: NoteSettings, playing: Playing, stop: Callable[[], bool]) -> None:
        settings = settings.model_copy(update={"input": [name for given in settings.input for name in _meant(given)]})
        self.settings, self.thresholds, self.playing, self.stop = settings, thresholds, playing, stop
        self.several = len(settings.input) > 1
        self.engine = None
        self.display = None
        self.background = BackgroundWriter(self._say_over_line)
        self.logs: list[LineLog] = []
        self._check_inputs()
        self._check_outputs()

    def run(self) -> int:
        """All inputs; 0, or 2 when one of several could not be used (it is told, the others are done)."""
        live: list = []
        status = 0
        with closing(live), closing(self.logs):
            self._add_live_sinks(live)
            if self.several:
                self._make_folders()
            if self.settings.stats_file:
                self.logs.append(LineLog(self.settings.stats_file))
            with _panic_on_signal([sink for sink in live if hasattr(sink, "ask_panic")]):
                for name in self.settings.input:
                    try:
                        self._run_one(name, live)
                    except RtMelodyError as error:
                        if not self.several or reader_has_gone(error):
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
                self._add_file_sinks(files, name, source.paced)
                with source:
                    self._tell_input(name, source)
                    self._prepare_engine(source.sample_rate)
                    performer = Performer(NoteTracker(self.thresholds, self.engine.hop_s), self.playing.performance)
                    if self.display and self.playing.performance.find_key:
                        self.display.watch_key(lambda: performer.key and performer.key.name)
                    session = Session(
                        source, self.engine, performer, live + files, self.stop, self._tell_loss, self._show_skips,
                        self._note_stats, self._stats_every_s(), self.settings.priority, gate=self.playing.gate,
                    )
                    session.run()
        finally:
            self.background.close()
            self._tell_unsent(live + files)
            if session is not None:
                self._tell_end(name, session)
        if source.notice:
            self._tell_notice(name, source.notice, session.stats.frames)

    def _tell_unsent(self, sinks: list) -> None:
        """What outputs could not get rid of, so far."""
        for what, counted in (("JSON lines were dropped, since their reader did not read", "dropped"), ("OSC messages could not be sent", "send_errors")):
            if number := sum(getattr(sink, counted, 0) for sink in sinks):
                self._tell(f"{number} {what}", always=True)

    def _tell_end(self, name: str, session: Session) -> None:
        """What was heard and lost; with --stats, how the program kept time."""
        performer = session.tracker
        figures, label = session.figures(), f"{name}: " if self.several else ""
        if self.settings.stats is not None:
            self._tell(label + sentence(figures), always=True)
        self._log(figures)
        missed = f"; {session.timing.missed} of {session.timing.turns} deadlines missed" if session.timing.live else ""
        key = f"; in {performer.key.name}" if self.playing.performance.find_key and performer.key else ""
        self._tell(label + session.stats.line() + missed + key)
        if performer.left_out:
            self._tell(f"{label}{performer.left_out} notes lay outside the range of notes that are played and were left out; see --note-range and --transpose")

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
            raise SettingsError(f"--input {' '.join(s.input)}: several inputs must all be files; give mic, demo or - alone")
        if "-" in s.input and s.rate is None:
            raise SettingsError("--input - needs --rate HZ, since raw samples do not say their rate; for instance --rate 48000")
        if "-" in s.input and sys.stdin is None:
            raise SettingsError("--input - needs a standard input, which is closed; pipe samples in")
        if s.model is not None and not os.path.isfile(s.model):
            raise SettingsError(f"there is no model file {s.model}; leave --model out to use the one that is shipped")

    def _source(self, name: str):
        from rt_melody.realtime import sources

        s = self.settings
        if name == "mic":
            return sources.MicrophoneSource(s.device, s.rate, s.channel)
        if name == "demo":
            return sources.DemoSource(realtime=self._is_paced())
        if name == "-":
            return sources.PipeSource(sys.stdin.buffer, s.rate, s.realtime)
        return sources.FileSource(name, realtime=self._is_paced())

    def _is_paced(self) -> bool:
        """Whether a recording is played at the pace of the clock: somebody listens, or it was asked for."""
        return bool(self.settings.midi_out or self.settings.osc or self.settings.realtime)

    # ---- what goes out -------------------------------------------------------------------------

    def _check_outputs(self) -> None:
        s = self.settings
        for option, given in (("--csv", s.csv), ("--midi-file", s.midi_file)):
            if given == "-":
                raise SettingsError(f"{option} - names no file; for lines on standard output give --jsonl, or --jsonl-frames")
        if self._writes_lines() and sys.stdout is None:
            raise SettingsError("--jsonl needs a standard output, which is closed; leave it out or send it to a file")
        if self.several:
            self._check_folders()
        elif s.csv and s.midi_file and (name := _regular_file(s.csv)) and name == _regular_file(s.midi_file):
            raise SettingsError(f"--csv and --midi-file are both {s.csv}; give each a file of its own")
        files = [name for name in s.input if name not in ALONE]
        given = [(folder, suffix) for folder, suffix in ((s.csv, ".csv"), (s.midi_file, ".mid")) if folder]
        written = [self._path(folder, name, suffix) for folder, suffix in given for name in s.input]
        read = set(filter(None, map(_regular_file, files)))
        if s.stats_file and _regular_file(s.stats_file) in read.union(filter(None, map(_regular_file, written))):
            raise SettingsError(f"--stats-file {s.stats_file} is an input or another output; give it a name of its own")
        for path in written:
            if _regular_file(path) in read:
                raise SettingsError(f"{path} is an input and would be written over; give the output another name")

    def _check_folders(self) -> None:
        """With several inputs the output paths are folders; two inputs of one stem would share a file."""
        stems = [Path(name).stem for name in self.settings.input]
        for given in filter(None, (self.settings.csv, self.settings.midi_file)):
            twice = next((stem for stem in stems if stems.count(stem) > 1), None)
            if twice:
                raise SettingsError(f"two inputs are called {twice}; their outputs in {given} would be one file: rename one")
            if os.path.lexists(given) and not os.path.isdir(given):
                raise SettingsError(f"{given} is no folder; with several inputs give the name of one")

    def _path(self, given: str, name: str, suffix: str) -> Path:
        """In a folder each input has a file of its own name; so it does where one file alone matched a pattern."""
        stem = "stdin" if name == "-" else Path(name).stem
        return Path(given) / (stem + suffix) if self.several or os.path.isdir(given) else Path(given)

    def _make_folders(self) -> None:
        for given in filter(None, (self.settings.csv, self.settings.midi_file)):
            try:
                Path(given).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"the folder {given} cannot be made ({error.strerror}); choose another place") from error

    def _add_live_sinks(self, sinks: list) -> None:
        """Outputs that last over all inputs; the quick checks come first."""
        s = self.settings
        if s.osc:
            from rt_melody.realtime.sinks.osc import OscSink, parse_osc_address

            for address in [parse_osc_address(text) for text in s.osc]:
                sinks.append(OscSink(*address, self.playing.offset_s, self._tell_loss))
        if s.midi_out is not None:
            from rt_melody.realtime.sinks.midi import MidiSink
            from rt_melody.realtime.sinks.midi_ports import open_midi_out
            from rt_melody.realtime.sinks.midi_reconnect import ReconnectingPort

            if s.midi_out == VIRTUAL:  # it is ours, and goes with the MIDI system alone
                port = open_midi_out()
            else:
                port = ReconnectingPort(lambda: open_midi_out(s.midi_out), self._tell_loss)
            sinks.append(MidiSink(port, self.playing.midi))
            self._tell(f"playing on the MIDI port {port.name}")
        if not s.quiet and not self._writes_lines() and sys.stderr is not None:
            from rt_melody.realtime.sinks.terminal import TerminalSink

            self.display = TerminalSink(sys.stderr, self.playing.performance.shift_semitones)
            sinks.append(self.display)

    def _add_file_sinks(self, sinks: list, name: str, live: bool) -> None:
        from rt_melody.realtime.sinks.files import CsvSink, JsonlSink
        from rt_melody.realtime.sinks.midi_file import MidiFileSink

        s = self.settings
        if s.csv:
            sinks.append(CsvSink(self._path(s.csv, name, ".csv"), self.playing.offset_s, live))
        if s.midi_file:
            path = self._path(s.midi_file, name, ".mid")
            sinks.append(MidiFileSink(path, self.playing.midi, s.tempo_bpm, self.playing.offset_s, live))
        if self._writes_lines():
            label = name if self.several else None
            sinks.append(JsonlSink(sys.stdout, s.jsonl_frames, label, self.playing.offset_s, live))

    def _writes_lines(self) -> bool:
        return self.settings.jsonl or self.settings.jsonl_frames

    # ---- what is said --------------------------------------------------------------------------

    def _tell(self, text: str, always: bool = False) -> None:
        if always or not self.settings.quiet:
            if self.display:
                self.display.clear()
            say(text)

    def _tell_input(self, name: str, source) -> None:
        s = self.settings
        if name == "mic":
            self._tell(f"listening to {source.info.full_name}; Ctrl-C ends")
        elif self.engine is None and not (s.midi_out or s.osc or s.midi_file or s.csv or self._writes_lines()):
            self._tell("no output was asked for; add --midi-file, --csv, --jsonl, --midi-out or --osc to keep what is heard")

    def _tell_loss(self, text: str) -> None:
        """Called by threads that must not wait, as a terminal may make its writer do: handed over."""
        self.background.take(text)

    def _say_over_line(self, text: str) -> None:
        """Said by the background writer, where the display may just have drawn its line."""
        say(text, over_line=self.display is not None and sys.stderr.isatty())

    # ---- figures -------------------------------------------------------------------------------

    def _stats_every_s(self) -> float:
        return self.settings.stats or (STATS_EVERY_S if self.settings.stats_file else 0.0)

    def _note_stats(self, figures: dict) -> None:
        """Called by the thread that computes: what is written is handed over."""
        self._log(figures)
        if self.settings.stats:
            self.background.take(sentence(figures))

    def _log(self, figures: dict) -> None:
        for log in self.logs:
            log.take(json.dumps(figures))

    def _show_skips(self, stats) -> None:
        if self.display:
            self.display.status(self.engine.latency.total_ms, stats.skips)


def _meant(name: str) -> list[str]:
    """The files that a pattern means, where the shell has left it as it was, as those of Windows do."""
    if name in ALONE or os.path.exists(name) or not glob.has_magic(name):
        return [name]
    return sorted(glob.glob(name)) or [name]


def _regular_file(path: str | Path) -> str | None:
    """What tells a regular file, there already or yet to be made, from all others; None for a device, a pipe, a folder."""
    name = os.path.realpath(path)
    if os.path.isfile(name):
        there = os.stat(name)
        return f"{there.st_dev}:{there.st_ino}"  # one file may have several names
    return None if os.path.exists(name) else name


@contextmanager
def _panic_on_signal(sinks: list) -> Iterator[None]:
    """Meanwhile SIGUSR1 silences what ``sinks`` play on, and never ends the program: where the system has that signal
    and we run in the main thread."""
    if not hasattr(signal, "SIGUSR1") or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGUSR1, lambda *_: [sink.ask_panic() for sink in sinks])
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before or signal.SIG_DFL)
