"""From settings to a running program: the source, the tracker and the sinks, input after input.

What is cheap to check is checked first: torch is imported when the input is open and the outputs are there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from math import inf
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from rt_melody.models.shipped import find_model
from rt_melody.realtime.band import KnownBand, known_band, read_backing, read_reference, said_of_backing
from rt_melody.realtime.checks import check_all, is_paced, jobs_for, make_folders, meant, name_in_graph
from rt_melody.realtime.console import reader_has_gone, say
from rt_melody.realtime.control.desk import Desk, Orders, needing_restart
from rt_melody.realtime.errors import InputError, RtMelodyError, SettingsError, missing_package
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.notes import NoteTracker
from rt_melody.realtime.session import Session, SessionStats, close_all, closing
from rt_melody.realtime.settings import VIRTUAL, Settings
from rt_melody.realtime.settings.files import Values
from rt_melody.realtime.signals import StopSignals, signal_name
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.said_aloud import BREATH, said_of_own, said_of_shared
from rt_melody.realtime.sinks.table import ALOUD, FILES, LIVE, SinkRequest, make_sinks, output_path
from rt_melody.realtime.sinks.terminal import TerminalSink
from rt_melody.realtime.sources import AudioSource, BackedMicrophone, MicrophoneSource, TwoInputMicrophone
from rt_melody.realtime.sources.player import LEARNT_S
from rt_melody.realtime.sources.sounding import DuplexMicrophone
from rt_melody.realtime.sources.table import NAMED, SourceRequest, make_source
from rt_melody.realtime.timing.background import BackgroundWriter, LineLog
from rt_melody.realtime.timing.figures import Figures, sentence

if TYPE_CHECKING:  # JACK-Client is an extra
    from rt_melody.realtime.jack.client import JackClient
    from rt_melody.realtime.panel.link import Panel
    from rt_melody.realtime.sinks.aloud import ListenSink

LONGEST_HOP_S = 0.01
SPOKEN = {"demo": "the demo, a phrase that the program sings to itself", "-": "standard input"}
STATS_EVERY_S = 1.0  # in --stats-file, where --stats says nothing else, and in the panel
IDLE_S = 0.05  # how soon a press of "start" is noticed


@runtime_checkable
class Panics(Protocol):
    """A sink that can silence what it plays on, whenever it is asked to."""

    def ask_panic(self) -> None: ...


class Program:
    """Settings turned into a source, a tracker and sinks, input after input."""

    def __init__(
        self,
        settings: Settings,
        signals: StopSignals,
        config: str | None = None,
        several: bool | None = None,
        profiles: Sequence[str] = (),
        asked: Values | None = None,
    ) -> None:
        """``several``: whether what goes out is named after its input; None: where there are several. ``profiles`` and ``asked``: see
        ``Desk``."""
        inputs: list[str] = [name for given in settings.source.input for name in meant(given)]
        self.settings: Settings = settings.changed(source=settings.source.changed(input=inputs))
        self.inputs, self.several, self.signals = inputs, len(inputs) > 1 if several is None else several, signals
        self.config, self.failed, self.unusable = config, list[EventSink](), list[str]()
        self.tracker: MelodyTracker | None = None
        self.display: TerminalSink | None = None
        self.aloud = False  # whether an output of this program is heard
        self.background = BackgroundWriter(self._say_over_line)
        self.logs: list[LineLog] = []
        self.jack: JackClient | None = None
        known = None if asked is None else {**asked, "source": {**asked.get("source", {}), "input": inputs}}
        self.desk = Desk(self.settings, profiles=profiles, asked=known)
        self.live: list[EventSink] = []
        self._live_for: object = None  # what they were made from, but for the instrument ...
        self._instrument_for: object = None  # ... and that
        self._tracker_for: object = None  # what the tracker was made from
        self.panel: Panel | None = None
        self._told_compiling = False  # that kernels are compiled for the tracker to come
        self.session: Session | None = None  # the newest
        self.band: KnownBand | None = None  # that is taken out of the input
        self._beside: tuple[bool, float] | None = None  # for ``expect_reference``, where something is given beside the input
        check_all(self.settings, inputs, self.several, config)

    @property
    def jobs(self) -> int:
        """How many inputs may be heard side by side."""
        return jobs_for(self.settings, self.inputs, self.several, self.aloud)

    def run(self) -> int:
        """All inputs, one after the other. 0; 1 when one of several could not be used (it is told, the others are done), or an
        output failed on the way; 128 + N when signal N came before the end of what has one."""
        with self._steered(), self._in_jack(), closing(self.live), closing(self.logs):
            self._make_live()
            make_folders(self.settings, self.several)
            if self.settings.report.stats_file:
                self.logs.append(LineLog(self.settings.report.stats_file))
            with panic_on_signal(self.live):
                done = self._run_hosted(self.panel) if self.panel else self._run_inputs()
        swallowed = [log.failure for log in self.logs if log.failure]
        for failure in swallowed:
            self._tell(failure, always=True)
        if said := unusable_line(self.unusable, len(self.inputs)):
            self._tell(said, always=True)
        return self._stopped(done) or (1 if self.unusable or self.failed or swallowed else 0)

    def _run_inputs(self) -> int:
        """How many inputs are done with."""
        done = 0
        for name in self.inputs:
            try:
                done += self._run_one(name)
            except RtMelodyError as error:
                if not self.several or reader_has_gone(error):
                    raise
                self._tell(f"{name}: {error}", always=True)
                self.unusable.append(name)
                done += self.signals.came is None
            if self.signals.came is not None:
                break
        return done

    def _run_hosted(self, panel: Panel) -> int:
        """As often as the panel asks to begin, until a signal ends the program. What goes wrong is told there."""
        self.signals.run()
        trouble = ""
        while self.signals.came is None:
            if not self.desk.orders.running:
                panel.state(state="stopped", trouble=trouble)
                while not self.desk.orders.running and self.signals.came is None:
                    time.sleep(IDLE_S)
                continue
            try:
                trouble = ""
                self._run_one(self._take_orders(self.inputs[0]))
            except RtMelodyError as error:
                trouble = str(error)
                self._tell(trouble, always=True)
            self.desk.run(False)
        return len(self.inputs)

    def _stopped(self, done: int) -> int:
        """Say what a signal left undone; the status for it, 0 where nothing was."""
        number, left = self.signals.came, self.inputs[done:]
        if number is None or not left or self.inputs in (["mic"], ["-"]):  # which have no end of their own
            return 0
        others = f"; not begun: {', '.join(left[1:])}" if left[1:] else ""
        self._tell(f"stopped by {signal_name(number)} before the end of {left[0]}: what was heard of it is kept{others}", always=True)
        return 128 + number

    def tell_unheard(self, number: int) -> None:
        """Say that signal ``number`` came before anything was heard of inputs that have an end of their own."""
        if self.inputs not in (["mic"], ["-"]):
            self._tell(f"stopped by {signal_name(number)} before anything of {', '.join(self.inputs)} was heard", always=True)

    def _run_one(self, name: str) -> bool:
        """Whether it was heard to its end. Heard anew, to the same files, as often as the desk asks for what a run cannot change."""
        files: list[EventSink] = []
        with closing(files):
            before: Orders | None = None
            while True:
                try:
                    if before is not None:
                        name = self._take_orders(name)
                    session = self._hear(name, files)
                except RtMelodyError as error:
                    if before is None:
                        raise
                    self._tell(f"{error}; all is as it was before", always=True)
                    self.desk.put(before)
                    name, before = self._take_orders(name), None
                    continue
                if not session.restart:
                    return session.ended
                before = session.orders

    def _hear(self, name: str, files: list[EventSink]) -> Session:
        """One run of one input, or several, as long as the input stays. ``files``: its sinks, which are made where there are none."""
        jack = self.jack.sound if self.jack else None
        backing = read_backing(self.settings.band, self._tell, self.signals.stop)
        paced = is_paced(self.settings, self.aloud)
        instrument = self._shared_instrument(name)
        source = make_source(SourceRequest(name, self.settings.source, paced, self.signals.stop, jack, backing, instrument))
        if jack is not None:
            jack.backing, jack.instrument = backing, instrument
        session: Session | None = None
        try:
            if not files:
                make_sinks(FILES, self._sink_request(name, source.paced), files)
            beside = read_reference(source, self.settings.source, self.signals.stop)
            with source:
                self.band = known_band(source, self.settings.source, self.signals.stop, beside)
                self._beside = self._given_beside(source)
                self._have_heard(name, source)
                self._tell_loading([*self.live, *files])
                while session is None or self._goes_on(session):
                    session = self._listen(name, source, files, session)
        finally:
            self.background.close()
            self._tell_unsent([*self.live, *files])
            if session is not None:
                self._tell_end(name, session)
                self._tell_files(name)
        assert session is not None  # else an error is under way
        if source.notice:
            self._tell_notice(name, source.notice, session.stats.frames)
        return session

    @property
    def _instrument(self) -> ListenSink | None:
        return next((cast("ListenSink", sink) for sink in self.live if getattr(sink, "plays_aloud", False)), None)

    def _shared_instrument(self, name: str) -> ListenSink | None:
        """What the microphone's stream is to play, unless what is heard beside the voice is known already."""
        instrument, known = self._instrument, self.settings.source
        if instrument is None or name != "mic" or known.reference is not None or known.reference_channel is not None:
            return None
        instrument.let_go()
        return instrument

    def _given_beside(self, source: AudioSource) -> tuple[bool, float] | None:
        """Whether it counts one clock with the voice, and when what follows the singer is learnt carefully; None where nothing is given."""
        if not source.brings_reference:
            return None
        return not isinstance(source, TwoInputMicrophone), LEARNT_S if self._breathes(source) else inf

    def _have_heard(self, name: str, source: AudioSource) -> None:
        """See to it that the instrument sounds, by the source's stream or by an output of its own. Raises DeviceError."""
        if (instrument := self._instrument) is None:
            return
        if source.sounds:
            output = source.output if isinstance(source, DuplexMicrophone) else None
            said = said_of_shared(output.full_name if output else self.jack.sound.played_on if self.jack and self.jack.sound else "")
        else:
            output = instrument.play_alone()
            said = said_of_own(output.full_name) if name == "mic" else ""
        if said:
            self._tell(said)

    def _breathes(self, source: AudioSource) -> bool:
        """Whether it begins with a breath (see sources/player.py)."""
        return source.sounds and self.settings.band.file is None

    def _listen(self, name: str, source: AudioSource, files: list[EventSink], before: Session | None) -> Session:
        """One run."""
        if before is not None:
            self._tell_end(name, before)
            self._take_orders(name)
        shown = [self.panel.sink] if self.panel else []
        sinks = [sink for sink in (*self.live, *files, *shown) if sink not in self.failed]
        session = Session(
            source, self._prepare_tracker(source.sample_rate, not source.paced), sinks, self.signals.stop, self._tell_loss,
            self._show_skips, self._note_figures, self._figures_every_s(), self.settings.tracking.priority,
            pause=self.signals.take_pause, on_pause=self.signals.pause,
            make_tracker=self._prepare_tracker, desk=self.desk, on_block=self.panel.sound if self.panel else None,
        )
        self.session = session
        if self.panel:
            self.panel.state(**self._shown(name, source, session))
        self.signals.run()
        if before is None:
            self._tell_input(name, source)
        elif self._breathes(source):
            self._tell(BREATH)
        try:
            session.run()
        finally:
            if self.panel:
                self.panel.sink.flush()  # before a take begins that these do not belong to
            self._note_failures(session)
        return session

    # ---- what is changed meanwhile -------------------------------------------------------------

    def _goes_on(self, session: Session) -> bool:
        """Whether another run should hear the source that is open."""
        wanted = self.desk.settings
        return session.restart and wanted.source == self.settings.source and wanted.output == self.settings.output

    def _take_orders(self, name: str) -> str:
        """Go by the orders of the desk, in another run; the input that it should hear."""
        self.desk.take()
        before, self.settings = self.settings, self.desk.taken.settings
        if self.settings.source.input != before.source.input:
            self.inputs = [name for given in self.settings.source.input for name in meant(given)]
            name = self.inputs[0]
        if changed := needing_restart(before, self.settings):
            self._tell(f"{', '.join(f'{name} {_in_words(self.settings.flat(name))}' for name in changed)}: starting again")
        self._make_live()
        return name

    def _make_live(self) -> None:
        """The live sinks that the settings ask for. Those that there are go on where they still serve."""
        wanted = self.settings.output.changed(listen=None, listen_device=None), self.settings.midi.back_end
        before, live = [sink for sink in self.live if sink is not self._instrument], list[EventSink]()
        if self._live_for == wanted:
            for sink in before:
                sink.change(self.settings)
        else:
            try:
                make_sinks(LIVE, self._sink_request(), live)
            except BaseException:
                close_all(live)
                raise
            self.live[:] = [*live, *(sink for sink in self.live if sink is self._instrument)]
            self._live_for = wanted
            close_all(before)
            self.display = next((sink for sink in live if isinstance(sink, TerminalSink)), None)
        self._fit_instrument()

    def _fit_instrument(self) -> None:
        """The instrument that is asked for, or the demo's that nobody asked for; what else goes out stays as it is. Raises DeviceError, and
        the one that there was stays then, for whoever has it play again."""
        output, before, made = self.settings.output, self._instrument, list[EventSink]()
        wanted = output.listen, output.listen_device, output.listen is None and self.settings.source.input == ["demo"]
        if before is not None and self._instrument_for == wanted:
            before.change(self.settings)
            return
        if before is not None:
            before.let_go()  # what may be the output that is wanted
        make_sinks(ALOUD, self._sink_request(), made)
        if before is not None:
            self.live.remove(before)
            before.close()
        self.live.extend(made)
        self._instrument_for, self.aloud = wanted, bool(made)

    def _shown(self, name: str, source: AudioSource, session: Session) -> dict[str, Any]:
        """What the panel tells of a run."""
        latency = session.tracker.latency
        parts = [[part.name, part.ms] for part in latency.parts] + [["note confirmation", latency.confirmation_ms]]
        info = source.info if isinstance(source, MicrophoneSource) else None
        return {
            "state": "listening", "preparing": None,
            "source": info.full_name if info else source.name if name in NAMED else Path(name).name,
            "rate_hz": source.sample_rate, "hop_ms": 1000.0 * session.tracker.hop_s, "latency": parts, "bound_ms": latency.bound_ms,
            "total_ms": latency.total_ms, "least_bound_ms": session.tracker.least_bound_ms,
            "outputs": [said for sink in session.sinks if (said := sink.connected_to)],
        }  # fmt: skip

    @contextmanager
    def _steered(self) -> Generator[None]:
        """Meanwhile settings can be changed from outside, where that is asked for."""
        with ExitStack() as open_ones:
            if (listening := self.settings.control.osc_in) is not None:
                from rt_melody.realtime.control.osc_in import OscControl, parse_listening

                host, port = parse_listening(listening)
                control = open_ones.enter_context(OscControl(self.desk, host, port, self._tell_loss))
                self._tell(f"OSC at {host}, port {control.port} changes settings: /rt-melody/set/NAME VALUE")
            if (where := self.settings.control.panel) is not None:
                self.panel = open_ones.enter_context(_open_panel(self.desk, where, self._tell_loss, self._tell_url))
                self._tell_compiling()
                import_module("rt_melody.realtime.engine")  # and with it torch, while the process gets ready
                _ = self.panel.url  # or why there is none
            yield

    def _sink_request(self, name: str = "", live: bool = True) -> SinkRequest:
        s, port = self.settings, self.jack.midi if self.jack else None
        reach_back_s = NoteTracker(s.notes, LONGEST_HOP_S, s.tracking.latency_ms).reach_back_s
        return SinkRequest(s, self._tell_loss, self._tell, name, self.several, live, reach_back_s, port)

    # ---- JACK ----------------------------------------------------------------------------------

    @contextmanager
    def _in_jack(self) -> Generator[None]:
        """Meanwhile a client in the graph, where it is asked for."""
        if not self.settings.source.jack:
            yield
            return
        from rt_melody.realtime.jack.client import JackClient

        source, out, song, hears = self.settings.source, self.settings.output, self.settings.band, "mic" in self.inputs
        port = out.midi_out
        sinks = [] if port in (None, VIRTUAL) else [port]
        listens = out.listen not in (None, "off") and source.reference is None
        plays, speaker = ("listen", out.listen_device) if listens and hears else (None, None)
        if song.file is not None:
            plays, speaker = "backing", song.device
        self.jack = JackClient(
            "rt-melody", hears, port is not None, name_in_graph(self.settings), source.channel, sinks, source.reference if hears else None,
            plays, None if speaker is None else str(speaker), tell=self._tell_loss, reconnect=source.reconnect,
        )  # fmt: skip
        with self.jack.open():
            self.jack.hold("program")  # a session that ends in the panel is followed by another
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

    def _prepare_tracker(self, sample_rate: int, recorded: bool = False) -> MelodyTracker:
        """The tracker for that rate: the one of the input before where it fits, else another with the same model."""
        before, wanted = self.tracker, (self.settings.tracking, self.settings.decoder, recorded, self._beside)
        if before is not None and before.sample_rate == sample_rate and self._tracker_for == wanted:
            before.change(self.settings)
            self._show_tracker(before)
            return before
        loaded = before.engine.model if before and before.engine.model.path == find_model(self.settings.tracking.chosen_model) else None
        self._tracker_for = wanted
        self._tell_compiling()
        self.tracker = tracker = MelodyTracker.from_settings(self.settings, sample_rate, loaded, recorded)
        if self.band is not None:
            tracker.know_band(*self.band)
        elif self._beside is not None:
            tracker.expect_reference(*self._beside)
        tracker.warm_up()
        from rt_melody.kernels.compiled import before_compiling, cache_notice  # numba, which is loaded by now

        before_compiling(None)
        self._told_compiling = False
        if (said := cache_notice()) and before is None:
            self._tell(said)
        latency = tracker.latency.with_output(self.jack.midi.latency) if self.jack and self.jack.midi else tracker.latency
        self._tell(f"latency from {sample_rate} Hz input to estimate:\n{latency.table()}")
        self._show_tracker(tracker)
        return tracker

    def _show_tracker(self, tracker: MelodyTracker) -> None:
        if self.display:
            self.display.status(tracker.latency.total_ms, 0)
        if self.panel:
            self.panel.watch(tracker)

    # ---- what is said --------------------------------------------------------------------------

    def _tell(self, text: str, always: bool = False) -> None:
        if always or not self.settings.report.quiet:
            if self.display:
                self.display.clear()
            self.say(text)
        if self.panel and (always or "\n" not in text):  # a table is for the terminal alone
            self.panel.send(**{"alert" if always else "said": text})

    def _tell_url(self, url: str) -> None:
        """Called by the panel's thread."""
        self.say(f"the panel is at {url}")

    def say(self, text: str) -> None:
        """A sentence, to whoever is told."""
        say(text)

    def _tell_compiling(self) -> None:
        """Say so, once, if kernels are not compiled yet, as at the first start, or where a band is taken out first: it takes a while."""
        from rt_melody.kernels.compiled import before_compiling

        if not self._told_compiling:
            before_compiling(self._tell_preparing)

    def _tell_preparing(self, kept: bool) -> None:
        self._told_compiling, often = True, "only this once" if kept else "at each start"
        self._tell(f"preparing for this machine, which takes up to a minute, {often}")
        if self.panel:
            self.panel.state(preparing=often)

    def _tell_loading(self, sinks: list[EventSink]) -> None:
        if self.panel:
            self.panel.state(state="loading")
        if self.tracker is None:
            self._tell_compiling()
            if not self.panel and not any(sink.is_output for sink in sinks):
                self._tell("no output was asked for; add --midi-file, --csv, --jsonl, --midi-out or --osc to keep what is heard")
            self._tell("loading, which takes a few seconds")

    def _tell_input(self, name: str, source: AudioSource) -> None:
        """What is heard from now on, where somebody waits for it."""
        first = f"{BREATH}; " if self._breathes(source) else ""
        if isinstance(source, BackedMicrophone):
            on = source.output.full_name if source.output else "nothing"
            self._tell(said_of_backing(source.backing, str(self.settings.band.file), on, source.one_clock))
        if isinstance(source, MicrophoneSource):
            beside = f" and, for the band, to {source.band.full_name}" if isinstance(source, TwoInputMicrophone) and source.band else ""
            self._tell(f"listening to {source.info.full_name if source.info else source.name}{beside}; {first}Ctrl-C ends")
        elif self.jack is not None and (sound := self.jack.sound) is not None and source is sound:
            if sound.backing is not None:
                self._tell(said_of_backing(sound.backing, str(self.settings.band.file), sound.played_on))
            self._tell(f"listening to {sound.heard} in the JACK graph, at {source.sample_rate} Hz; {first}Ctrl-C ends")
        elif source.paced:
            self._tell(f"listening to {SPOKEN.get(name, name)}; Ctrl-C ends")
        if source.remark:
            self._tell((f"{name}: " if self.several else "") + source.remark, always=True)

    def _tell_files(self, name: str) -> None:
        """Every file that was written for an input, now that it is closed."""
        given = self.settings.written_files.values()
        paths = (output_path(folder, name, ending, self.several) for folder, ending in given)
        if written := [str(path) for path in paths if os.path.isfile(path)]:
            self._tell(f"wrote {' and '.join(written)}")

    def _tell_loss(self, text: str) -> None:
        """Called by threads that must not wait, as a terminal may make its writer do: handed over."""
        self.background.take(text)

    def _say_over_line(self, text: str) -> None:
        """Said by the background writer, where the display may just have drawn its line."""
        if self.panel:
            self.panel.send(alert=text)
        say(text, over_line=self.display is not None and sys.stderr.isatty())

    # ---- figures -------------------------------------------------------------------------------

    def _figures_every_s(self) -> float:
        return self.settings.report.stats or (STATS_EVERY_S if self.settings.report.stats_file or self.panel else 0.0)

    def _note_figures(self, figures: Figures) -> None:
        """Called by the thread that computes: what is written is handed over."""
        self._log(figures)
        if self.panel and self.session:
            self.panel.figures(figures, self.session.timing.lateness.bins())
        if self.settings.report.stats:
            self.background.take(sentence(figures))

    def _log(self, figures: Figures) -> None:
        for log in self.logs:
            log.take(json.dumps(figures))

    def _show_skips(self, stats: SessionStats) -> None:
        if self.display and self.tracker:
            self.display.status(self.tracker.latency.total_ms, stats.skips)


def _open_panel(desk: Desk, where: str, tell: Callable[[str], object], on_url: Callable[[str], object]) -> Panel:
    """Raises SettingsError where what serves it is not installed."""
    if find_spec("aiohttp") is None:
        raise SettingsError(missing_package("--panel", "aiohttp"))
    from rt_melody.realtime.panel.link import Panel

    browse = sys.stderr is not None and sys.stderr.isatty()
    return Panel(desk, where, tell, browse, on_url)


def unusable_line(names: Sequence[str], number: int) -> str | None:
    """Which of several inputs could not be used, once more, at the end; None where all could."""
    if not names or number < 2:
        return None
    return f"{len(names)} of {number} inputs could not be used: {', '.join(names)}"


def _in_words(value: Any) -> str:
    """A setting's value as one would say it."""
    if value is None:
        return "as usual"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return " ".join(map(_in_words, cast("list[object]", value)))
    return f"{value:g}" if isinstance(value, float) else str(value)


@contextmanager
def panic_on_signal(sinks: list[EventSink]) -> Generator[None]:
    """Meanwhile SIGUSR1 silences what ``sinks`` play on, and never ends the program: where the system has that signal
    and we run in the main thread."""
    if not hasattr(signal, "SIGUSR1") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        for sink in sinks:
            if isinstance(sink, Panics):
                sink.ask_panic()

    before = signal.signal(signal.SIGUSR1, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before or signal.SIG_DFL)
