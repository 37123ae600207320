"""Writes down every MIDI message that a JACK port sends, with the JACK frame at which it came.

Run as a process of its own: ``python jack_midi_recorder.py SOURCE_PORT RECORDING.jsonl``. It waits for the
port (say ``rt-melody:out``), connects, says ``{"state": "connected"}`` on stdout, and appends one line a
message: ``{"frame": N, "data": "903c40"}``, N being the time of the cycle plus the offset within it, exact
to the sample. Further lines of stdout: ``gone`` when the port went away. It leaves at the end of stdin.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from contextlib import suppress

import jack

from rt_melody.realtime.timing.scheduling import run_first


class Recorder:
    """Collects ``(frame, bytes)`` in the process callback; ``drain`` writes them to a file."""

    def __init__(self) -> None:
        self.messages: deque[tuple[int, bytes]] = deque()
        self.client = jack.Client("recorder", no_start_server=True)
        port = self.client.midi_inports.register("in")
        assert isinstance(port, jack.OwnMidiPort)
        self.port = port
        self.client.set_process_callback(self.process)

    def process(self, frames: int) -> None:
        for offset, data in self.port.incoming_midi_events():
            self.messages.append((self.client.last_frame_time + offset, bytes(data)))

    def drain(self, file) -> None:
        while self.messages:
            frame, data = self.messages.popleft()
            file.write(json.dumps({"frame": frame, "data": data.hex()}) + "\n")
        file.flush()

    def follow(self, source: str) -> str | None:
        """Connect to ``source`` when it is there; the change of state, or None."""
        connected = self.port.number_of_connections > 0
        there = any(port.name == source for port in self.client.get_ports(is_midi=True, is_output=True))
        if there and not connected:
            with suppress(jack.JackError):  # its client is not active yet
                self.client.connect(source, self.port)
                return "connected"
        return None

    @property
    def listens(self) -> bool:
        return self.port.number_of_connections > 0


def say(state: str) -> None:
    print(json.dumps({"state": state}), flush=True)


def record(recorder: Recorder, source: str, path: str, leave: threading.Event) -> None:
    listened = False
    with open(path, "w", encoding="utf-8") as file, recorder.client:
        say("ready")
        while not leave.is_set():
            if state := recorder.follow(source):
                say(state)
            if listened and not recorder.listens:
                say("gone")
            listened = recorder.listens
            recorder.drain(file)
            time.sleep(0.02)
        recorder.drain(file)


def main(source: str, path: str) -> None:
    leave = threading.Event()
    run_first()  # or JACK's thread would wait for this one to hand over the interpreter
    threading.Thread(target=lambda: (sys.stdin.read(), leave.set()), daemon=True).start()
    record(Recorder(), source, path, leave)


if __name__ == "__main__":
    main(*sys.argv[1:])
