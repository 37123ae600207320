"""From settings to a running program: the source, the tracker and the sinks, input after input.

What is cheap to check is checked first: torch is imported when the input is open and the outputs are there.
"""

from __future__ import annotations

import glob
import json
import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rt_melody.realtime.band import KnownBand, check_band, known_band, read_backing, said_of_backing
from rt_melody.realtime.console import reader_has_gone, say
from rt_melody.realtime.errors import InputError, OutputError, RtMelodyError, SettingsError
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.notes import NoteTracker
from rt_melody.realtime.paths import clash
from rt_melody.realtime.session import Session, SessionStats, closing
from rt_melody.realtime.settings import VIRTUAL, Settings
from rt_melody.realtime.signals import StopSignals, signal_name
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.table import FILES, LIVE, SinkRequest, make_sinks, output_path
from rt_melody.realtime.sinks.terminal import TerminalSink
from rt_melody.realtime.sources import AudioSource, BackedMicrophone, MicrophoneSource
from rt_melody.realtime.sources.table import NAMED, SourceRequest, make_source
from rt_melody.realtime.timing.background import BackgroundWriter, LineLog
from rt_melody.realtime.timing.figures import Figures, sentence

if TYPE_CHECKING:  # JACK-Client is an extra
    from rt_melody.realtime.jack.client import JackClient

LONGEST_HOP_S = 0.01
STATS_EVERY_S = 1.0  # in --stats-file, where --stats says nothing else


@runtime_checkable
class Panics(Protocol):
    """A sink that can silence what it plays on, whenever it is asked to."""

    def ask_panic(self) -> None: ...


class Program:
    """Settings turned into a source, a tracker and sinks, input after input."""

    def __init__(self, settings: Settings, signals: StopSignals, config: str | None = None) -> None:
        inputs = [name for given in settings.source.input for name in _meant(given)]
        self.settings = settings.changed(source=settings.source.changed(input=inputs))
        self.inputs, self.several, self.signals = inputs, len(inputs) > 1, signals
        self.config, self.failed = config, list[EventSink]()
        self.tracker: MelodyTracker | None = None
        self.display: TerminalSink | None = None
        self.background = BackgroundWriter(self._say_over_line)
        self.logs: list[LineLog] = []
        self.jack: JackClient | None = None
        self.band: KnownBand | None = None  # that is taken out of the input
        self._check_inputs()
        self._check_jack()
        self._check_outputs()

    def run(self) -> int:
        """All inputs. 0; 2 when one of several could not be used (it is told, the others are done); 1 when an output failed
        on the way; 128 + N when signal N came before the end of what has one."""
        live: list[EventSink] = []
        status, done = 0, 0
        with self._in_jack(), closing(live), closing(self.logs):
            make_sinks(LIVE, self._sink_request(), live)
            self.display = next((sink for sink in live if isinstance(sink, TerminalSink)), None)
            if self.several:
                self._make_folders()
            if self.settings.report.stats_file:
                self.logs.append(LineLog(self.settings.report.stats_file))
            with _panic_on_signal([sink for sink in live if isinstance(sink, Panics)]):
                for name in self.inputs:
                    try:
                        done += self._run_one(name, [sink for sink in live if sink not in self.failed])
                    except RtMelodyError as error:
                        if not self.several or reader_has_gone(error):
                            raise
                        self._tell(f"{name}: {error}", always=True)
                        status = 2
                        done += self.signals.came is None
                    if self.signals.came is not None:
                        break
        swallowed = [log.failure for log in self.logs if log.failure]
        for failure in swallowed:
            self._tell(failure, always=True)
        return self._stopped(done) or status or (1 if self.failed or swallowed else 0)

    def _stopped(self, done: int) -> int:
        """Say what a signal left undone; the status for it, 0 where nothing was."""
        number, left = self.signals.came, self.inputs[done:]
        if number is None or not left or self.inputs in (["mic"], ["-"]):  # which have no end of their own
            return 0
        others = f"; not begun: {', '.join(left[1:])}" if left[1:] else ""
        self._tell(f"stopped by {signal_name(number)} before the end of {left[0]}: what was heard of it is kept{others}", always=True)
        return 128 + number

    def _run_one(self, name: str, live: list[EventSink]) -> bool:
        """Whether it was heard to its end."""
        jack = self.jack.sound if self.jack else None
        backing = read_backing(self.settings.band, self._tell, self.signals.stop)
        source = make_source(SourceRequest(name, self.settings.source, self._is_paced(), self.signals.stop, jack, backing))
        files: list[EventSink] = []
        session = None
        try:
            with closing(files):
                make_sinks(FILES, self._sink_request(name, source.paced), files)
                with source:
                    self.band = known_band(source, self.settings.source.reference, self.signals.stop)
                    self._tell_input(name, source, live + files)
                    session = Session(
                        source, self._prepare_tracker(source.sample_rate), live + files, self.signals.stop, self._tell_loss,
                        self._show_skips, self._note_figures, self._figures_every_s(), self.settings.tracking.priority,
                        pause=self.signals.take_pause, on_pause=self.signals.pause,
                        make_tracker=self._prepare_tracker,
                    )
                    self.signals.run()
                    session.run()
        finally:
            self.background.close()
            self._tell_unsent(live + files)
            if session is not None:
                self._tell_end(name, session)
                self._note_failures(session)
        if source.notice and session is not None:
            self._tell_notice(name, source.notice, session.stats.frames)
        return session is not None and session.ended

    def _sink_request(self, name: str = "", live: bool = True) -> SinkRequest:
        s, port = self.settings, self.jack.midi if self.jack else None
        reach_back_s = NoteTracker(s.notes, LONGEST_HOP_S, s.tracking.latency_ms).reach_back_s
        return SinkRequest(s, self._tell_loss, self._tell, name, self.several, live, reach_back_s, port)

    # ---- JACK ----------------------------------------------------------------------------------

    def _check_jack(self) -> None:
        source = self.settings.source
        if not source.jack:
            return
        if "mic" not in self.inputs and self.settings.output.midi_out is None:
            raise SettingsError("--jack has nothing to do; listen with --input mic, or play with --midi-out")
        self._name_in_graph()
        if "mic" in self.inputs and source.rate is not None:
            raise SettingsError("--rate is not asked of JACK, whose graph has a rate of its own; leave it out, or --jack")

    def _name_in_graph(self) -> str | None:
        """What to listen to in the graph. Raises SettingsError for a number."""
        device = self.settings.source.device
        if isinstance(device, int):
            raise SettingsError(f"--device {device} is a number of PortAudio's; with --jack give a part of a name in the graph")
        return device

    @contextmanager
    def _in_jack(self) -> Generator[None]:
        """Meanwhile a client in the graph, where it is asked for."""
        if not self.settings.source.jack:
            yield
            return
        from rt_melody.realtime.jack.client import JackClient

        source, port = self.settings.source, self.settings.output.midi_out
        sinks = [] if port in (None, VIRTUAL) else [port]
        self.jack = JackClient(
            "rt-melody", "mic" in self.inputs, port is not None, self._name_in_graph(), source.channel, sinks, tell=self._tell_loss
        )
        with self.jack.open():
            yield

    # ---- what is said at the end ---------------------------------------------------------------

    def _tell_unsent(self, sinks: list[EventSink]) -> None:
        """What outputs could not get rid of, so far."""
        for what, counted in (
            ("JSON lines were dropped, since their reader did not read", "dropped"),
            ("OSC messages could not be sent", "send_errors"),
        ):
            if number := sum(getattr(sink, counted, 0) for sink in sinks):
                self._tell(f"{number} {what}", always=True)

    def _tell_end(self, name: str, session: Session) -> None:
        """What was heard and lost; with --stats, how the program kept time."""
        tracker, figures, label = session.tracker, session.figures(), f"{name}: " if self.several else ""
        if self.settings.report.stats is not None:
            self._tell(label + sentence(figures), always=True)
        self._log(figures)
        missed = f"; {session.timing.missed} of {session.timing.turns} deadlines missed" if session.timing.live else ""
        key = f"; in {tracker.key.name}" if self.settings.performance.finds_key and tracker.key else ""
        band = f"; {tracker.band.line()}" if tracker.band else ""
        self._tell(label + session.stats.line() + missed + key + band)
        if tracker.notes_left_out:
            self._tell(
                f"{label}{tracker.notes_left_out} notes lay outside the range of notes that are played "
                f"and were left out; see --note-range and --transpose"
            )

    def _note_failures(self, session: Session) -> None:
        """Say once more, at the end, which outputs are not whole."""
        for failure in session.failures:
            self.failed.append(failure.sink)
            if any(sink.is_output and sink not in self.failed for sink in session.sinks):
                self._tell(f"not all went out: {failure.line()}", always=True)

    def _tell_notice(self, name: str, notice: str, frames: int) -> None:
        if not frames:
            raise InputError(notice)
        self._tell((f"{name}: " if self.several else "") + notice, always=True)

    def _prepare_tracker(self, sample_rate: int) -> MelodyTracker:
        """The tracker for that rate: the one of the input before where it fits, else another with the same model."""
        before = self.tracker
        if before is not None and before.sample_rate == sample_rate:
            return before
        self.tracker = tracker = MelodyTracker.from_settings(self.settings, sample_rate, before.engine.model if before else None)
        if self.band is not None:
            tracker.know_band(*self.band)
        tracker.warm_up()
        from rt_melody.kernels.compiled import cache_notice  # numba, which is loaded by now

        if (said := cache_notice()) and before is None:
            self._tell(said)
        latency = tracker.latency.with_output(self.jack.midi.latency) if self.jack and self.jack.midi else tracker.latency
        self._tell(f"latency from {sample_rate} Hz input to estimate:\n{latency.table()}")
        if self.display:
            self.display.status(tracker.latency.total_ms, 0)
        return tracker

    # ---- what comes in -------------------------------------------------------------------------

    def _check_inputs(self) -> None:
        model = self.settings.tracking.model
        check_band(self.settings, self.inputs)
        if self.several and set(NAMED) & set(self.inputs):
            raise SettingsError(f"--input {' '.join(self.inputs)}: several inputs must all be files; give mic, demo or - alone")
        if "-" in self.inputs and sys.stdin is None:
            raise SettingsError("--input - needs a standard input, which is closed; pipe samples in")
        if model is not None and not os.path.isfile(model):
            raise SettingsError(f"there is no model file {model}; leave --model out to use the one that is shipped")

    def _is_paced(self) -> bool:
        """Whether a recording is played at the pace of the clock: somebody listens, or it was asked for."""
        return bool(self.settings.output.midi_out or self.settings.output.osc or self.settings.source.realtime)

    # ---- what goes out -------------------------------------------------------------------------

    def _check_outputs(self) -> None:
        output = self.settings.output
        for option, (given, _) in self.settings.written_files.items():
            if given == "-":
                raise SettingsError(f"{option} - names no file; for lines on standard output give --jsonl, or --jsonl-frames")
        if output.writes_lines and sys.stdout is None:
            raise SettingsError("--jsonl needs a standard output, which is closed; leave it out or send it to a file")
        if self.several:
            self._check_folders()
        if sentence := clash(self._written(), self._read_from(), sys.stdout if output.writes_lines else None):
            raise SettingsError(sentence)

    def _written(self) -> dict[str, str | Path]:
        """Every file that will be written, by what the user calls it."""
        stats_file = self.settings.report.stats_file
        paths = {
            (option, path): path
            for option, (folder, ending) in self.settings.written_files.items()
            for name in self.inputs
            for path in (output_path(folder, name, ending, self.several),)
        }
        written: dict[str, str | Path] = {f"{option} {path}": path for option, path in paths}
        return {**written, **({f"--stats-file {stats_file}": stats_file} if stats_file else {})}

    def _read_from(self) -> dict[str, str | Path]:
        """Every file that is read, likewise."""
        read: dict[str, str | Path] = {f"the input {name}": name for name in self.inputs if name not in NAMED}
        if (model := self.settings.tracking.model) is not None:
            read[f"the model {model}"] = model
        if (reference := self.settings.source.reference) is not None:
            read[f"the reference {reference}"] = reference
        if (backing := self.settings.band.file) is not None:
            read[f"the backing {backing}"] = backing
        return {**read, **({f"the settings {self.config}": self.config} if self.config else {})}

    def _folders(self) -> list[str]:
        return [folder for folder, _ in self.settings.written_files.values()]

    def _check_folders(self) -> None:
        """With several inputs the output paths are folders; two inputs of one stem would share a file."""
        stems = [Path(name).stem for name in self.inputs]
        for given in self._folders():
            twice = next((stem for stem in stems if stems.count(stem) > 1), None)
            if twice:
                raise SettingsError(f"two inputs are called {twice}; their outputs in {given} would be one file: rename one")
            if os.path.lexists(given) and not os.path.isdir(given):
                raise SettingsError(f"{given} is no folder; with several inputs give the name of one")

    def _make_folders(self) -> None:
        for given in self._folders():
            try:
                Path(given).mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"the folder {given} cannot be made ({error.strerror}); choose another place") from error

    # ---- what is said --------------------------------------------------------------------------

    def _tell(self, text: str, always: bool = False) -> None:
        if always or not self.settings.report.quiet:
            if self.display:
                self.display.clear()
            say(text)

    def _tell_input(self, name: str, source: AudioSource, sinks: list[EventSink]) -> None:
        if isinstance(source, BackedMicrophone):
            self._tell(said_of_backing(source, str(self.settings.band.file)))
        if isinstance(source, MicrophoneSource):
            self._tell(f"listening to {source.info.full_name if source.info else source.name}; Ctrl-C ends")
        elif self.jack is not None and source is self.jack.sound:
            heard = self.jack.heard or "nothing yet"
            self._tell(f"listening to {heard} in the JACK graph, at {source.sample_rate} Hz; Ctrl-C ends")
        elif self.tracker is None and not any(sink.is_output for sink in sinks):
            self._tell("no output was asked for; add --midi-file, --csv, --jsonl, --midi-out or --osc to keep what is heard")
        if source.remark:
            self._tell((f"{name}: " if self.several else "") + source.remark, always=True)

    def _tell_loss(self, text: str) -> None:
        """Called by threads that must not wait, as a terminal may make its writer do: handed over."""
        self.background.take(text)

    def _say_over_line(self, text: str) -> None:
        """Said by the background writer, where the display may just have drawn its line."""
        say(text, over_line=self.display is not None and sys.stderr.isatty())

    # ---- figures -------------------------------------------------------------------------------

    def _figures_every_s(self) -> float:
        return self.settings.report.stats or (STATS_EVERY_S if self.settings.report.stats_file else 0.0)

    def _note_figures(self, figures: Figures) -> None:
        """Called by the thread that computes: what is written is handed over."""
        self._log(figures)
        if self.settings.report.stats:
            self.background.take(sentence(figures))

    def _log(self, figures: Figures) -> None:
        for log in self.logs:
            log.take(json.dumps(figures))

    def _show_skips(self, stats: SessionStats) -> None:
        if self.display and self.tracker:
            self.display.status(self.tracker.latency.total_ms, stats.skips)


def _meant(name: str) -> list[str]:
    """The files that a pattern means, where the shell has left it as it was, as those of Windows do."""
    if name in NAMED or os.path.exists(name) or not glob.has_magic(name):
        return [name]
    return sorted(glob.glob(name)) or [name]


@contextmanager
def _panic_on_signal(sinks: list[Panics]) -> Generator[None]:
    """Meanwhile SIGUSR1 silences what ``sinks`` play on, and never ends the program: where the system has that signal
    and we run in the main thread."""
    if not hasattr(signal, "SIGUSR1") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        for sink in sinks:
            sink.ask_panic()

    before = signal.signal(signal.SIGUSR1, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before or signal.SIG_DFL)
