"""The engine behind one instance of the plugin: what ``rt-melody plugin host`` runs, a process of its own.

Conventions
-----------
* It hears what the plugin writes into their memory (see memory.h), from where a stream began, in pieces that commands divide:
  so a change counts from the sample at which the host made it, and a take that is bounced twice is twice the same.
* What comes in by the side-chain is the band (see reference/fed.py), which is taken out. None comes at no cost.
* It sleeps until a hop is complete, and tells the plugin when that will be (see memory.h).
* Live, no more sound that completes a hop may wait than the latency bound and the plugin's own wait; else it goes on from the newest
  (see session.py). While the host bounces nothing is skipped.
* It ends with the pipe that wakes it, which the host's end closes, however that comes.
* It says why there are no notes on stderr, which is the host's log, and in the memory.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from rt_melody.models.streaming import StreamingModel
from rt_melody.realtime.console import say
from rt_melody.realtime.engine import load_streaming_model
from rt_melody.realtime.errors import RtMelodyError, SettingsError
from rt_melody.realtime.melody import Heard, MelodyTracker
from rt_melody.realtime.plugin.memory import LAYOUT, Command, Shared
from rt_melody.realtime.plugin.parameters import COUNT, is_mute, settings_of, wants_panel
from rt_melody.realtime.plugin.showing import InstancePanel
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.sinks.midi import MidiSink
from rt_melody.realtime.sources.blocks import check_sample_rate
from rt_melody.realtime.timing.scheduling import FIFO_PRIORITY, live_thread, lock_memory
from rt_melody.realtime.types import PitchFrame

PIECE_S = 0.01  # heard at once
LOOK_EVERY_S = 0.02  # how often it shows that it lives while nothing comes
HOST_GONE_S = 30.0  # without a sign of life of the host's, whoever keeps the pipe open
FULL_S, RETRY_S = 0.1, 0.002  # how long an event waits for room
USUAL_RATE = 48_000


class EventPort:
    """A MIDI port (see sinks/midi.py) that is the ring of events. Times are of the stream that begins at ``start``."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.start, self.rate, self.stream = 0, USUAL_RATE, 0
        self.lost_events = 0

    def send_at(self, message: bytes, stream_s: float) -> None:
        """Put it at its sample."""
        position = self.start + round(stream_s * self.rate)
        give_up_s = time.monotonic() + FULL_S
        while not self._shared.put(position, self.stream, message):
            if time.monotonic() > give_up_s:
                self.lost_events += 1
                return
            time.sleep(RETRY_S)

    def send_message(self, message: bytes) -> None:
        self.send_at(message, 0.0)

    def close_port(self) -> None: ...

    def delete(self) -> None: ...


class PluginEngine:
    """Serves the plugin behind ``shared``; ``pipe`` wakes it. ``run`` until the host has gone."""

    def __init__(self, shared: Shared, pipe: int) -> None:
        self._shared, self._pipe = shared, pipe
        self._port = EventPort(shared)
        self._models: dict[str | None, StreamingModel] = {}
        self._values: list[float] = []
        self._settings = self._heard_by = Settings()
        self._tracker: MelodyTracker | None = None
        self._sink = MidiSink(self._port)
        self._panel = InstancePanel(say)
        self._silent = True  # nothing was heard yet of this stream, and nothing said
        self._position = self._due = shared["READ"]
        self._lost_seen = self._host_priority = -1
        self._piece, self._band = np.zeros(1, np.float32), np.zeros(1, np.float32)
        shared["ENGINE_VERSION"] = LAYOUT["VERSION_VALUE"]
        shared["ENGINE_PID"] = os.getpid()

    def run(self) -> None:
        """Hear and play."""
        self._begin()
        with live_thread(priority=False):
            lock_memory()
            while self._is_woken():
                self._catch_up()

    # ---- birth and death -----------------------------------------------------------------------

    def _begin(self) -> None:
        """Ready for the stream that the host plays, or is about to."""
        self._show_life()
        if not self._shared["STREAM"]:
            self._read_parameters()
            usual = Settings().changed(tracking=Settings().tracking.changed(light=self._settings.tracking.light))
            MelodyTracker.from_settings(usual, USUAL_RATE, self._model_for(usual)).warm_up()
        self._read_all_anew()
        self._show_life()  # before it counts: loading may have taken longer than an engine may hang
        if self._shared["ENGINE_STATE"] == LAYOUT["STARTING"]:
            self._shared["ENGINE_STATE"] = LAYOUT["READY"]

    def _is_woken(self) -> bool:
        """Wait for sound that is of use or commands, a little; False where the host has gone."""
        self._show_life()
        self._follow_priority()
        wait_s = LOOK_EVERY_S if self._is_idle() else 0.0
        if select.select([self._pipe], [], [], wait_s)[0] and not os.read(self._pipe, 65536):
            return False
        return time.monotonic_ns() - self._shared["HOST_BEAT"] < 1e9 * HOST_GONE_S

    def _is_idle(self) -> bool:
        """Whether there is nothing to do before more sound is there, or a command; the plugin is told how much."""
        self._due = self._position + (1 if self._tracker is None else self._tracker.wanted_samples)
        return self._shared.is_idle_until(self._due)

    def _follow_priority(self) -> None:
        """Before other programs, where the host's own thread is, and never before that: it must not wait for us."""
        host = self._shared["HOST_PRIORITY"]
        if host == self._host_priority or not hasattr(os, "sched_setscheduler"):
            return
        self._host_priority, ours = host, min(FIFO_PRIORITY, host - 1)
        with suppress(OSError):  # refused: the system grants none
            if ours > 0:
                os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(ours))
            else:
                os.sched_setscheduler(0, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))

    def _show_life(self) -> None:
        self._shared["ENGINE_BEAT"] = time.monotonic_ns()

    # ---- the stream ----------------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Hear all that was written so far."""
        while True:
            self._show_life()
            written, command = self._shared["WRITTEN"], self._shared.next_command()
            if self._shared["COMMANDS_LOST"] != self._lost_seen:
                self._read_all_anew()
            elif command is not None and command.position <= self._position:
                self._obey(command)
                self._shared.take_command()
            elif self._tracker is None or self._position >= written:
                self._reach(max(self._position, written) if self._tracker is None else self._position)
                if command is None or command.position > self._position:
                    return
            elif not self._shared["OFFLINE"] and written - max(self._position, self._due) > self._most_waiting(self._tracker):
                self._skip(self._tracker, written)
            else:
                self._hear(self._tracker, written if command is None else min(written, command.position))

    def _most_waiting(self, tracker: MelodyTracker) -> int:
        return int(tracker.latency.bound_ms / 1000.0 * tracker.sample_rate) + self._shared["WAIT"]

    def _hear(self, tracker: MelodyTracker, until: int) -> None:
        if self._silent:
            self._speak()
        piece, band = self._piece[: until - self._position], self._band[: until - self._position]
        if self._shared.read(self._position, piece, band):
            self._give(tracker.feed(piece, band))
            self._reach(self._position + len(piece))
        else:
            self._skip(tracker, self._shared["WRITTEN"])

    def _skip(self, tracker: MelodyTracker, to: int) -> None:
        self._give(tracker.skip_to((to - self._port.start) / tracker.sample_rate))
        self._shared["SKIPS"] += 1
        self._reach(to)

    def _reach(self, position: int) -> None:
        self._position = position
        self._shared["READ"] = self._shared["PROCESSED"] = position

    def _speak(self) -> None:
        """Announce what a synthesiser must know, by the settings that hold where the stream's first sample is heard."""
        self._silent = False
        self._sink = MidiSink(self._port, self._settings.midi)
        self._sink.start(0.0)

    def _give(self, heard: Sequence[Heard]) -> None:
        for item in heard:
            if self._tracker is not None:
                self._panel.take(self._tracker, item)
            if isinstance(item, PitchFrame):
                self._sink.frame(item)
            else:
                self._sink.event(item)

    # ---- commands ------------------------------------------------------------------------------

    def _obey(self, command: Command) -> None:
        if command.code == LAYOUT["COMMAND_STREAM"]:
            self._begin_stream(command.number, command.position, round(command.value))
        elif command.code == LAYOUT["COMMAND_END"]:
            if self._tracker is not None:
                self._give(self._tracker.finish())
        elif command.code < COUNT:
            self._values[command.code] = command.value
            self._change()

    def _read_all_anew(self) -> None:
        """The parameters and the stream as they are now, in place of the commands that led to it."""
        self._lost_seen = self._shared["COMMANDS_LOST"]
        self._shared.skip_commands()
        self._read_parameters()
        self._show()
        if stream := self._shared["STREAM"]:
            start = self._shared["START"]
            self._begin_stream(stream, start, self._shared["RATE"])
            if self._tracker is not None and self._position > start:
                self._tracker.skip_to((self._position - start) / self._tracker.sample_rate)

    def _read_parameters(self) -> None:
        self._values = [self._shared.parameter(number) for number in range(COUNT)]
        with suppress(SettingsError):  # told by _change
            self._settings = settings_of(self._values)

    def _begin_stream(self, number: int, start: int, rate: int) -> None:
        """What the one before has not played yet, the plugin leaves out."""
        if number == self._port.stream and start == self._port.start and rate == self._port.rate:
            return  # known since all was read anew
        self._port.stream, self._port.start, self._port.rate = number, start, rate
        self._position = max(self._position, start)
        self._tracker = self._made(rate)
        self._silent = True
        self._shared["ENGINE_STREAM"] = number

    def _made(self, rate: int) -> MelodyTracker | None:
        """A tracker for the rate; None, and told, where there can be none."""
        before = self._tracker
        try:
            if before is not None and before.sample_rate == rate and self._heard_by.tracking == self._settings.tracking:
                before.reset()
                before.change(self._settings)
                tracker = before
            else:
                tracker = self._nearest(check_sample_rate(rate, "choose another sample rate in the host"))
                tracker.expect_reference()
                tracker.warm_up()
                self._heard_by = self._settings
        except RtMelodyError as error:
            say(str(error))
            self._shared.fail(str(error))
            return None
        tracker.mute(is_mute(self._values))
        self._panel.begin()
        self._piece, self._band = (np.zeros(round(PIECE_S * rate), np.float32) for _ in range(2))
        self._shared["LATENCY"] = _samples(tracker)
        if self._shared["ENGINE_STATE"] == LAYOUT["FAILED"]:
            self._shared["ENGINE_STATE"] = LAYOUT["READY"]
        return tracker

    def _nearest(self, rate: int) -> MelodyTracker:
        """With the bound that was asked for, or the usual one where that cannot be met; then it is told."""
        model = self._model_for(self._settings)
        try:
            return MelodyTracker.from_settings(self._settings, rate, model)
        except SettingsError as error:
            say(f"{str(error).partition('. ')[0]}; until then it is {Settings().tracking.latency_ms:g} ms")
            group = self._settings.tracking.changed(latency_ms=Settings().tracking.latency_ms)
            return MelodyTracker.from_settings(self._settings.changed(tracking=group), rate, model)

    def _model_for(self, settings: Settings) -> StreamingModel:
        """Loaded when it is first asked for; the notes have ended by then. Where it cannot be used, that is told and another hears."""
        name = settings.tracking.chosen_model
        try:
            return self._loaded(name)
        except RtMelodyError as error:
            others = list(self._models.values())
            if name is None and not others:
                raise
            say(f"{error}; until then the voice is heard with the {'model of before' if others else 'usual model'}")
            return others[0] if others else self._loaded(None)

    def _loaded(self, name: str | None) -> StreamingModel:
        if name not in self._models:
            self._models[name] = load_streaming_model(name)
            self._show_life()
        return self._models[name]

    def _change(self) -> None:
        """Other parameters: played on by them where that can be, else with another tracker from here on."""
        before, tracker = self._settings, self._tracker
        try:
            self._settings = settings_of(self._values)
        except SettingsError as error:
            say(f"{error}; what was set before is kept")
            return
        self._show()
        if tracker is None:
            return
        if before.tracking != self._settings.tracking:
            self._give(tracker.finish())
            self._tracker = tracker = self._made(tracker.sample_rate)
            if tracker is not None:
                tracker.skip_to((self._position - self._port.start) / tracker.sample_rate)
        else:
            tracker.change(self._settings)
        if not self._silent:
            self._sink.change(self._settings)
        if tracker is not None:
            self._give(tracker.mute(is_mute(self._values)))

    def _show(self) -> None:
        self._panel.change(self._settings)
        self._panel.want(wants_panel(self._values))


def _samples(tracker: MelodyTracker) -> int:
    """From a sound to its pitch."""
    return int(np.ceil(tracker.latency.total_ms / 1000.0 * tracker.sample_rate - 1e-6))


def serve(memory: int, pipe: int) -> int:
    """Be the engine of the plugin that left these two descriptors; the exit status. Raises RtMelodyError."""
    keep = max(memory, pipe, 2) + 1
    os.closerange(keep, keep + 4096)  # what the host left open is none of ours
    PluginEngine(Shared(memory), pipe).run()
    return 0
