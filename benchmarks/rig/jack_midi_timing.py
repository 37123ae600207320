"""A program of the studio that listens and plays as ``rt-melody`` does, by JACK's client or by PortAudio and a MIDI port.

``python jack_midi_timing.py jack|portaudio threshold|broken|LATENCY_MS DEVICE [LOG] [MIDI INPUT...]``: what detects is
the threshold, which costs nothing (threshold.py), one that fails amid a note, or the engine with that latency. By JACK it
knows on which frame the arithmetic of the stream puts each note-on, and writes them to LOG, a line each; at its end it
says on stderr what the graph cost.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path

from rt_melody.benchmarks.rig.threshold import ThresholdTracker
from rt_melody.realtime.jack.client import JackClient
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.session import run
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.midi import MidiSink
from rt_melody.realtime.sinks.midi_ports import open_midi_out
from rt_melody.realtime.sources.microphone import MicrophoneSource
from rt_melody.realtime.types import NoteOn


class FrameLog(EventSink):
    """Keeps JACK's frame of each note-on by the arithmetic: that of the last sample which was needed for it."""

    name = "frame log"

    def __init__(self, client: JackClient, path: str) -> None:
        super().__init__()
        self._client, self._path, self._frames = client, path, list[int]()

    def _event(self, event) -> None:
        if isinstance(event, NoteOn):
            sound = self._client.sound
            sample = sound.sample_at(event.available_s) if sound is not None else None
            assert sample is not None, "the source is being listened to"
            self._frames.append(self._client.exchange.frame_of(sample))

    def _close(self) -> None:
        Path(self._path).write_text("".join(f"{frame}\n" for frame in self._frames))


class BrokenTracker(ThresholdTracker):
    """Fails a while after it heard something."""

    def feed(self, samples, reference=None):
        heard = super().feed(samples, reference)
        self.loud = getattr(self, "loud", 0) + len(samples) * self._sounds
        if self.loud > self.sample_rate // 2:
            raise RuntimeError("as it was asked to")
        return heard


def listen(source, detector: str, sinks: list, stop) -> None:
    make = {"threshold": ThresholdTracker, "broken": BrokenTracker}.get(detector)
    if make is None:
        settings = Settings()
        settings = settings.changed(tracking=settings.tracking.changed(latency_ms=float(detector)))
        make = lambda rate: MelodyTracker.from_settings(settings, rate)  # noqa: E731
    run(source, sinks, make, stop=stop)


def main(way: str, detector: str, device: str, log: str | None = None, *midi_inputs: str) -> None:
    leave = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: leave.set())
    if way == "portaudio":
        microphone = MicrophoneSource(device)
        listen(microphone, detector, [MidiSink(open_midi_out(None))], leave.is_set)
        print(json.dumps({"overflows": microphone.overflows}), file=sys.stderr)
        return
    client = JackClient(source=device, sinks=midi_inputs, tell=lambda text: print(text, file=sys.stderr, flush=True)).open()
    assert client.sound is not None and client.midi is not None, "both were asked for"
    listen(client.sound, detector, [MidiSink(client.midi), *([FrameLog(client, log)] if log else [])], leave.is_set)
    late, most_s = client.midi.late
    arrived = client.exchange.arrived()
    print(json.dumps({"late_messages": late, "most_late_ms": round(1000 * most_s, 2), "periods_missed": arrived.gaps}), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
