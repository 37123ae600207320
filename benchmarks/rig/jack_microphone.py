"""A microphone made of software: a JACK client whose output port plays a recording, once or over and over.

Run as a process of its own, so that nothing in the tests can make it late:
``python jack_microphone.py CLIENT_NAME RECORDING.npy [TIMES]``. The recording is float32 at the server's rate: mono, at the port
`voice`, or of two channels, the second at the port `band`.

Conversation, one JSON object or word a line: it says ``{"state": "ready"}``, then ``"connected"`` when
somebody listens; told ``play`` on stdin it plays and says ``{"state": "playing", "frame": N}``, N being the
JACK frame time of the first sample, then ``"ended"``. Sample n sounds at frame N + n,
whatever JACK misses. Silence before and after. It leaves at the end of stdin.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import cast

import jack
import numpy as np

from rt_melody.realtime.timing.scheduling import run_first


class Microphone:
    """Plays ``samples``, ``times`` times, from the first process cycle after ``play`` was set; ``leaps`` counts the cycles that
    were not due when the one before had ended."""

    def __init__(self, name: str, samples: np.ndarray, times: int) -> None:
        self.samples, self.length = samples.reshape(len(samples), -1), times * len(samples)
        self.play = False
        self.first_frame: int | None = None
        self.position = self.leaps = 0
        self.client = jack.Client(name, use_exact_name=True, no_start_server=True)
        names = ("voice", "band")[: self.samples.shape[1]]
        self.ports = [cast("jack.OwnPort", self.client.outports.register(name)) for name in names]
        self.client.set_process_callback(self.process)

    def process(self, frames: int) -> None:
        out = [port.get_array() for port in self.ports]
        for channel in out:
            channel[:] = 0.0
        if not self.play or self.ended:
            return
        if self.first_frame is None:
            self.first_frame = self.client.last_frame_time
        due = (self.client.last_frame_time - self.first_frame) % 2**32  # a cycle missed is sound lost, not late
        self.leaps += due != self.position
        self.position = due
        filled = 0
        while filled < frames and not self.ended:
            at = self.position % len(self.samples)
            block = self.samples[at : at + frames - filled]
            for number, channel in enumerate(out):
                channel[filled : filled + len(block)] = block[:, number]
            filled += len(block)
            self.position += len(block)

    @property
    def ended(self) -> bool:
        return self.position >= self.length


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


def wait_for(condition, leave: threading.Event) -> None:
    while not condition() and not leave.is_set():
        time.sleep(0.02)


def obey(microphone: Microphone, leave: threading.Event) -> None:
    for line in sys.stdin:
        if line.strip() == "play":
            microphone.play = True
    leave.set()


def main(name: str, path: str, times: str = "1") -> None:
    microphone = Microphone(name, np.load(path).astype(np.float32), int(times))
    leave = threading.Event()
    run_first()  # or JACK's thread would wait for this one to hand over the interpreter
    threading.Thread(target=obey, args=(microphone, leave), daemon=True).start()
    with microphone.client:
        say(state="ready")
        wait_for(lambda: microphone.ports[0].number_of_connections > 0, leave)
        say(state="connected")
        wait_for(lambda: microphone.first_frame is not None, leave)
        say(state="playing", frame=microphone.first_frame)
        wait_for(lambda: microphone.ended, leave)
        say(state="ended", leaps=microphone.leaps)
        leave.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
