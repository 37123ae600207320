"""The plumbing alone: the product's microphone, session and MIDI port around a detector that costs nothing.

``python -m rt_melody.benchmarks.rig.threshold DEVICE`` listens as ``rt-melody --input mic --midi-out`` does, and
plays a note from the first block that is louder than THRESHOLD. What it takes from there to the MIDI event is the
share of the sound system, the hand-over between threads, and the MIDI driver in every latency measured end to end.
"""

from __future__ import annotations

import signal
import sys
import threading

import numpy as np

from rt_melody.realtime.session import run
from rt_melody.realtime.sinks.midi import MidiSink
from rt_melody.realtime.sinks.midi_ports import open_midi_out
from rt_melody.realtime.sources import MicrophoneSource
from rt_melody.realtime.types import LatencyBudget, NoteEvent, NoteOff, NoteOn, PitchFrame

THRESHOLD = 0.01  # of full scale
QUIET_S = 0.1  # below it for so long, the note has ended
NOTE = 60


class ThresholdEngine:
    """One frame a block: loud or not. Has what a session asks of an engine."""

    hop_s = 0.01
    latency = LatencyBudget(50.0, ())
    replaced_samples = 0

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.reset()

    def warm_up(self) -> None: ...

    def reset(self, start_s: float = 0.0) -> None:
        self._fed, self._quiet, self._start_s = 0, round(QUIET_S * self.sample_rate), start_s

    def feed(self, samples: np.ndarray) -> list[PitchFrame]:
        self._fed += len(samples)
        self._quiet = 0 if np.abs(samples).max() > THRESHOLD else self._quiet + len(samples)
        now_s = self._start_s + self._fed / self.sample_rate
        return [PitchFrame(0, now_s, now_s, 261.6, self._quiet < QUIET_S * self.sample_rate, 1.0, 1.0, -20.0)]

    def flush(self) -> list[PitchFrame]:
        return []


class ThresholdTracker:
    """A note while it is loud. Has what a session asks of a tracker."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._sounds = False

    def feed(self, frame: PitchFrame) -> list[NoteEvent]:
        if frame.voiced == self._sounds:
            return []
        self._sounds = frame.voiced
        now_s = frame.available_s
        return [NoteOn(now_s, now_s, NOTE, 100, float(NOTE)) if frame.voiced else NoteOff(now_s, now_s, NOTE)]

    def finish(self, available_s: float) -> list[NoteEvent]:
        ended, self._sounds = self._sounds, False
        return [NoteOff(available_s, available_s, NOTE)] if ended else []


def main(device: str) -> None:
    leave = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: leave.set())
    source = MicrophoneSource(device)
    run(source, ThresholdEngine, ThresholdTracker(), [MidiSink(open_midi_out(None))], stop=leave.is_set)


if __name__ == "__main__":
    main(*sys.argv[1:])
