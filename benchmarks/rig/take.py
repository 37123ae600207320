"""One take in the software studio: a microphone that sings, a program that listens, a recorder of what it plays."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rt_melody.benchmarks.rig.midi_reader import begins_note, seconds_since
from rt_melody.benchmarks.rig.studio import (
    PERIOD_SAMPLES,
    SAMPLE_RATE,
    JackServer,
    MidiRecorder,
    Program,
    VirtualMicrophone,
    melody_command,
    tied,
    wait_until,
)
from rt_melody.models.streaming import StreamingModel

MICROPHONE = "singer"
START_S, END_S = 120.0, 60.0  # the longest that a program may take to listen, and to end
HOG = "while True: pass"


def model_heard(options: Sequence[str]) -> dict:
    """Where the model came from that a program with these options listens with."""
    given = argparse.ArgumentParser(add_help=False)
    given.add_argument("--model")
    return StreamingModel(given.parse_known_args(list(options))[0].model, trust_model=True).provenance


@dataclass
class Take:
    """A take under way. Seconds count from the first sample that the microphone played."""

    microphone: VirtualMicrophone
    recorder: MidiRecorder
    program: Program
    first_frame: int
    folder: Path

    @property
    def messages(self) -> list[tuple[float, bytes]]:
        return seconds_since(self.first_frame, self.recorder.messages, SAMPLE_RATE)

    def note_ons(self) -> list[tuple[float, int]]:
        """(seconds, MIDI note), in order."""
        return [(s, m[1]) for s, m in self.messages if begins_note(m)]

    def note_on_frames(self) -> list[int]:
        """JACK's frame of each, in order."""
        return [frame for frame, m in self.recorder.messages if begins_note(m)]

    def end(self) -> str:
        """Ctrl-C; the last line that the program said. AssertionError where it did not leave in good order."""
        self.program.signal(signal.SIGINT)
        status = self.program.wait(END_S)
        said = self.program.stderr.strip().splitlines()
        assert status == 0, f"the program left with status {status}; it said: {said[-5:]}"
        return said[-1] if said else ""


def listening(latency_ms: float, *options: str) -> list[str]:
    """The command of the product, on the software microphone, playing a MIDI port of its own."""
    live = ("--input", "mic", "--device", MICROPHONE, "--midi-out", "--latency-ms", f"{latency_ms:g}")
    return [*melody_command(), *live, *options]


@contextmanager
def take(
    samples: np.ndarray, command: Sequence[str], period_samples: int = PERIOD_SAMPLES, times: int = 1, hogs: int = 0
) -> Iterator[Take]:
    """``samples [shape=(n,)]`` sung ``times`` times to ``command``, beside ``hogs`` processes that never rest.

    Raises RigMissing where there is no JACK.
    """
    with ExitStack() as ends:
        folder = Path(ends.enter_context(tempfile.TemporaryDirectory()))
        server = _kept(ends, JackServer(folder, period_samples))
        microphone = _kept(ends, VirtualMicrophone(server, samples, folder, MICROPHONE, times))
        recorder = _kept(ends, MidiRecorder(server, folder))
        program = _kept(ends, Program(list(command), server.env, folder))
        microphone.wait_for_listener(START_S, program)
        recorder.wait_for_source(START_S, program)
        wait_until(lambda: program.assert_running() or bool(recorder.messages), START_S, "the stream to begin")
        for _ in range(hogs):
            hog = subprocess.Popen(tied([sys.executable, "-c", HOG]))
            ends.callback(hog.wait)
            ends.callback(hog.kill)
        yield Take(microphone, recorder, program, microphone.play(), folder)


def _kept(ends: ExitStack, thing):
    ends.callback(thing.close)
    return thing
