"""The plumbing alone: the product's microphone, session and MIDI port around a detector that costs nothing.

``python -m rt_melody.benchmarks.rig.threshold DEVICE`` listens as ``rt-melody --input mic --midi-out`` does, and
plays a note from the first block that is louder than THRESHOLD. What it takes from there to the MIDI event is the
share of the sound system, the hand-over between threads, and the MIDI driver in every latency measured end to end.
"""

from __future__ import annotations

import signal
import sys
import threading
from typing import Any

import numpy as np

from rt_melody.realtime.latency import LatencyBudget
from rt_melody.realtime.melody import Heard
from rt_melody.realtime.session import run
from rt_melody.realtime.sinks.midi import MidiSink
from rt_melody.realtime.sinks.midi_ports import open_midi_out
from rt_melody.realtime.sources import MicrophoneSource
from rt_melody.realtime.types import NoteOff, NoteOn, PitchFrame

THRESHOLD = 0.01  # of full scale
QUIET_S = 0.1  # below it for so long, the note has ended
NOTE = 60


class ThresholdTracker:
    """One frame a block, loud or not, and a note while it is loud, from its first loud sample on. Has what a session asks
    of a ``MelodyTracker``."""

    hop_s = 0.01
    latency = LatencyBudget(50.0, ())
    replaced_samples = 0

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.reset()

    def warm_up(self) -> None: ...

    def reset(self, start_s: float = 0.0) -> None:
        self._fed, self._quiet, self._start_s = 0, round(QUIET_S * self.sample_rate), start_s
        self._now_s, self._sounds = start_s, False

    def feed(self, samples: np.ndarray, reference: np.ndarray | None = None) -> list[Heard]:
        over = np.abs(samples) > THRESHOLD
        first = int(np.argmax(over)) + 1 if over.any() and not self._sounds else len(samples)
        self._now_s = now_s = self._start_s + (self._fed + first) / self.sample_rate
        self._fed += len(samples)
        self._quiet = 0 if over.any() else self._quiet + len(samples)
        loud = self._quiet < QUIET_S * self.sample_rate
        heard: list[Heard] = [PitchFrame(0, now_s, now_s, 261.6, loud, 1.0, 1.0, -20.0)]
        if loud and not self._sounds:
            heard.append(NoteOn(now_s, now_s, NOTE, 100, float(NOTE)))
        elif not loud:
            heard += self.finish()
        self._sounds = loud
        return heard

    def flush(self) -> list[Heard]:
        return self.finish()

    def skip_to(self, start_s: float) -> list[Heard]:
        ended = self.finish()
        self.reset(start_s)
        return ended

    def finish(self) -> list[Heard]:
        ended, self._sounds = self._sounds, False
        return [NoteOff(self._now_s, self._now_s, NOTE)] if ended else []


def main(device: str) -> None:
    leave = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: leave.set())
    source = MicrophoneSource(device)
    make: Any = ThresholdTracker  # no MelodyTracker, see there
    run(source, [MidiSink(open_midi_out(None))], make, stop=leave.is_set)


if __name__ == "__main__":
    main(*sys.argv[1:])
