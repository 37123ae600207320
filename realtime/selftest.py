"""``rt-melody --self-test``: is this machine quick enough, and with which settings?

What a hop costs at the true pace, how late the system wakes the program, whether the microphone gives sound, and,
where an output is looped back to the input, the round trip; then a recommendation. Plain sentences, status 0 or 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rt_melody.realtime.calibration import BOUNDS_MS, tightest_bound_ms
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.timing.pace import true_pace
from rt_melody.realtime.timing.scheduling import SchedulingStatus, live_thread

USUAL_RATE_HZ = 48_000  # where no microphone tells another
LISTEN_S = 2.0
SONG_DB = -18.0  # RMS of a song as they are mastered, or softer
LOUD_LEAK_DB = -30.0  # RMS of a voice at a microphone, or louder
SILENT_DB = -110.0  # quieter than any converter: digital silence
BLOCKS_SAMPLES = (64, 128, 256, 512, 1024, 2048)
QUANTILES = (0.5, 0.99, 0.999, 1.0)

Say = Callable[[str], object]
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Pace:
    """Quantiles QUANTILES of a hop's work and of the late awakenings, in ms."""

    work_ms: tuple[float, ...]
    late_ms: tuple[float, ...]
    hop_ms: float
    cpu_share: float
    scheduling: SchedulingStatus

    @property
    def worst_ms(self) -> float:
        """What a hop takes at p99.9 when the system is at its latest too."""
        return self.work_ms[2] + self.late_ms[2]

    @property
    def fits(self) -> bool:
        return self.work_ms[1] < self.hop_ms and self.cpu_share < 0.9


@dataclass(frozen=True)
class MicrophoneCheck:
    """What the microphone gave."""

    name: str
    rate_hz: int
    block_samples: int
    level_db: float
    overflows: int
    latency_ms: float | None = None  # for which PortAudio says that the device holds a sound, where that makes sense


def recommend_bound_ms(pace: Pace, least_ms: float) -> int | None:
    """The tightest bound under which a stall as at p99.9 skips nothing; None where none is long enough.

    A session skips when more than the bound waits: the stall and the hop that was being filled.
    """
    return tightest_bound_ms(max(least_ms, pace.worst_ms + pace.hop_ms))


def recommend_block(pace: Pace, rate_hz: int) -> int:
    """The shortest block that is still longer than the late awakenings at p99.9."""
    needed = pace.late_ms[2] / 1000.0 * rate_hz
    return next((block for block in BLOCKS_SAMPLES if block >= needed), BLOCKS_SAMPLES[-1])


def measure_pace(settings: Settings, rate_hz: int, seconds: float, stop: Stop) -> tuple[Pace, float] | None:
    """The settings' own tracker over the demo song; with it the least bound that the model can keep. None where it was
    stopped before the first hop."""
    tracker = MelodyTracker.from_settings(settings, rate_hz)
    tracker.warm_up()
    song = _song(rate_hz)
    samples = np.tile(song, int(np.ceil(seconds * rate_hz / len(song))))[: int(seconds * rate_hz)]
    with live_thread(priority=settings.tracking.priority) as scheduling:
        cpu_s, began_s = time.process_time(), time.perf_counter()
        work, late = true_pace(tracker.feed, samples, round(tracker.hop_s * rate_hz), tracker.hop_s, stop)
        share = (time.process_time() - cpu_s) / max(time.perf_counter() - began_s, 1e-9)
    if not len(work):
        return None
    work_ms, late_ms = (tuple(float(1000.0 * q) for q in np.quantile(times, QUANTILES)) for times in (work, late))
    return Pace(work_ms, late_ms, 1000.0 * tracker.hop_s, share, scheduling), tracker.least_bound_ms


def _song(rate_hz: int) -> np.ndarray:
    """The demo song at any rate, which is more than the voice can be rendered at: good enough to be timed."""
    from rt_melody.kernels.voice import MAX_RATE_HZ, MIN_RATE_HZ
    from rt_melody.realtime.sources.demo import demo_phrase

    rendered_hz = min(max(rate_hz, MIN_RATE_HZ), MAX_RATE_HZ)
    song = demo_phrase(rendered_hz).samples
    at = np.arange(0.0, len(song), rendered_hz / rate_hz)
    return song if rendered_hz == rate_hz else np.interp(at, np.arange(len(song)), song).astype(np.float32)


def listen(settings: Settings, backend: Any = None, seconds: float = LISTEN_S) -> MicrophoneCheck:
    """Open the microphone and take what it gives. Raises DeviceError where it gives none."""
    from rt_melody.realtime.sources import MicrophoneSource

    source = MicrophoneSource(settings.source.device, settings.source.rate, settings.source.channel, backend=backend)
    power, count = 0.0, 0
    with source:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            if (block := source.read(0.1)) is not None:
                power += float(np.dot(block, block.astype(np.float64)))
                count += len(block)
        name = source.info.full_name if source.info else source.name
        if not count:
            raise DeviceError(f"{name!r} opened and gave no sound in {seconds:g} s; choose another --device")
        level_db = 10.0 * np.log10(power / count + 1e-12)
        return MicrophoneCheck(
            name, source.sample_rate, source.device_block_samples, float(level_db), source.overflows,
            source.input_latency_ms,
        )


class SelfTest:
    """One run. ``say`` takes a line; ``stop`` ends the measuring early. ``backend``: see sources/devices.py."""

    def __init__(self, settings: Settings, seconds: float, loopback: str | None, say: Say, stop: Stop, backend: Any = None) -> None:
        self.settings, self.seconds, self.loopback = settings, seconds, loopback
        self.say, self.stop, self.backend = say, stop, backend
        self.faults: list[str] = []
        self.rate_hz = settings.source.rate or USUAL_RATE_HZ
        self.heard: MicrophoneCheck | None = None

    def run(self) -> int:
        """All of it; 0 where everything asked for works here, else 1. Raises DeviceError for settings that are wrong."""
        if "mic" in self.settings.source.input or self.loopback:
            self._microphone()
        measured = self._pace()
        if measured is None:
            self.say("Stopped before anything was measured.")
            return 1
        self._devices()
        if self.loopback and not self.stop():
            self._round_trip(self.loopback)
        self._recommend(*measured)
        return self._verdict()

    def _microphone(self) -> None:
        try:
            self.heard = heard = listen(self.settings, self.backend)
        except DeviceError as error:
            self._fault(f"The microphone cannot be used: {error}")
            return
        self.rate_hz, ms = heard.rate_hz, 1000.0 * heard.block_samples / heard.rate_hz
        self.say(
            f"The microphone {heard.name} gives {heard.rate_hz} Hz in blocks of {heard.block_samples} samples "
            f"({ms:.1f} ms) at {heard.level_db:.0f} dBFS."
        )
        if heard.latency_ms is not None:
            self.say(f"By PortAudio's account it holds a sound for {heard.latency_ms:.1f} ms.")
        if heard.level_db < SILENT_DB:
            self._fault("It gives digital silence; unmute it, and allow this program to use it in the system's privacy settings.")
        if heard.overflows:
            self.say(f"It dropped samples {heard.overflows} times in {LISTEN_S:g} s; end other programs.")

    def _pace(self) -> tuple[Pace, float] | None:
        self.say(f"Measuring for {self.seconds:g} s what a hop costs at the true pace.")
        measured = measure_pace(self.settings, self.rate_hz, self.seconds, self.stop)
        if measured is None:
            return None
        pace = measured[0]
        self.say(f"A hop of {pace.hop_ms:g} ms takes {_spread(pace.work_ms)}, {100 * pace.cpu_share:.0f} % of one core.")
        self.say(f"The system wakes the program late by {_spread(pace.late_ms)}, with nothing to do.")
        self.say(f"Granted: {pace.scheduling.line()}.")
        if pace.scheduling.refusal:
            self.say(_sentence(pace.scheduling.refusal))
        if not pace.fits:
            self._fault(
                f"This machine is too slow now: a hop of {pace.hop_ms:g} ms takes {pace.work_ms[1]:.1f} ms at p99; "
                "end other programs, give it mains power, or hear with the light model, --light"
            )
        return measured

    def _devices(self) -> None:
        from rt_melody.realtime.sinks.midi_ports import describe_midi_outputs
        from rt_melody.realtime.sources.devices import describe_devices, describe_outputs

        self.say(describe_devices(self.backend))
        self.say(describe_outputs(self.backend))
        self.say(describe_midi_outputs())

    def _round_trip(self, loopback: str) -> None:
        from rt_melody.realtime.sources.roundtrip import CHIRPS, measure

        try:
            found = measure(loopback, self.settings.source.device, self.settings.source.rate, self.backend)
        except DeviceError as error:
            self._fault(f"The round trip cannot be measured: {error}")
            return
        if found is None:
            self._fault("The input did not hear the output; loop a cable back, or turn the speaker up, and try again")
            return
        self.say(
            f"The round trip from output to input takes {found.ms:.2f} ms ({found.heard} of {CHIRPS} chirps, "
            f"{found.spread_ms:.2f} ms apart): what is sung is heard played within {found.ms + self.settings.tracking.latency_ms:.0f} ms."
        )

        self._say_of_backing(found.loss_db)

    def _say_of_backing(self, loss_db: float) -> None:
        """Whether a song may be played by that output while somebody sings into the input."""
        level_db = SONG_DB - loss_db
        self.say(
            f"What is played comes back {abs(loss_db):.0f} dB {'weaker' if loss_db >= 0 else 'stronger'}: a song of {SONG_DB:g} dBFS is "
            f"heard at {level_db:.0f} dBFS."
        )
        if level_db > LOUD_LEAK_DB:
            self.say("For --backing headphones are the better answer, or turn the loudspeaker down: few sing louder into a microphone.")
        else:
            self.say("--backing by that output will do, where you sing louder than that into the microphone.")

    def _recommend(self, pace: Pace, least_ms: float) -> None:
        bound_ms = recommend_bound_ms(pace, least_ms)
        if bound_ms is None:
            self._fault(f"No bound up to {BOUNDS_MS[-1]} ms would hold: a hop may come {pace.worst_ms:.0f} ms late")
            return
        self.say(
            f"Recommended: --latency-ms {bound_ms} or more, which rides out {pace.worst_ms:.1f} ms as at p99.9; less look-ahead "
            "is quicker, more is surer."
        )
        if bound_ms > self.settings.tracking.latency_ms:
            self.say(f"With --latency-ms {self.settings.tracking.latency_ms:g} some sound will be skipped now and then.")
        block = recommend_block(pace, self.rate_hz)
        self.say(f"Recommended: a device block (period) of {block} samples at {self.rate_hz} Hz, set in the sound system.")
        if self.heard and self.heard.block_samples > block:
            late_ms = 1000.0 * (self.heard.block_samples - block) / self.rate_hz
            self.say(f"Its present {self.heard.block_samples} samples cost up to {late_ms:.1f} ms more.")

    def _fault(self, sentence: str) -> None:
        self.faults.append(sentence)
        self.say(_sentence(sentence))

    def _verdict(self) -> int:
        if self.faults:
            self.say(f"Result: not ready; {len(self.faults)} of the above must be mended.")
            return 1
        self.say("Result: ready.")
        return 0


def _spread(ms: tuple[float, ...]) -> str:
    return "{:.2f} ms (p99 {:.2f}, p99.9 {:.2f}, max {:.2f})".format(*ms)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:].rstrip(".") + "."
