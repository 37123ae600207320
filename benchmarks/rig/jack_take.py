"""Plays MIDI into a synthesiser and records what sounds, in one JACK client: both on one clock, exact to the sample.

Run as a process of its own: ``python jack_take.py [MIDI_PORT AUDIO_PORT]``. It connects to both, where they are given (``-``
for no MIDI port), says ``{"state": "ready"}``, and for each line ``SCORE.jsonl SECONDS SOUND.npy`` on stdin plays the score
(one ``[seconds, "903c40"]`` a line), records so long from its beginning, mono float32, and says ``{"state": "taken",
"frame": F}``, F being JACK's time of the first sample. It leaves at the end of stdin.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress

import jack
import numpy as np

from rt_melody.realtime.timing.scheduling import run_first


class Take:
    """One score and the room for its sound; ``done`` once that is full."""

    def __init__(self, score: list[tuple[int, bytes]], samples: int) -> None:
        self.score, self.sound = score, np.zeros(samples, np.float32)
        self.first_frame: int | None = None
        self.said = 0
        self.done = False

    def process(self, frame: int, midi, block: np.ndarray) -> None:
        if self.first_frame is None:
            self.first_frame = frame
        at = (frame - self.first_frame) % 2**32
        while self.said < len(self.score) and self.score[self.said][0] < at + len(block):
            when, message = self.score[self.said]
            midi.write_midi_event(max(0, when - at), message)
            self.said += 1
        room = self.sound[at : at + len(block)]
        room[:] = block[: len(room)]
        self.done = at + len(block) >= len(self.sound)


class Player:
    def __init__(self) -> None:
        self.take: Take | None = None
        self.client = jack.Client("player", no_start_server=True)
        midi, audio = self.client.midi_outports.register("out"), self.client.inports.register("in")
        assert isinstance(midi, jack.OwnMidiPort) and isinstance(audio, jack.OwnPort)
        self.midi, self.audio = midi, audio
        self.client.set_process_callback(self.process)

    def process(self, frames: int) -> None:
        self.midi.clear_buffer()
        take = self.take
        if take is not None and not take.done:
            take.process(self.client.last_frame_time, self.midi, self.audio.get_array())

    def play(self, score_path: str, seconds: str, sound_path: str) -> int | None:
        """JACK's time of the first sample that was taken."""
        rate = self.client.samplerate
        with open(score_path, encoding="utf-8") as file:
            score = [(round(at_s * rate), bytes.fromhex(data)) for at_s, data in map(json.loads, file)]
        self.take = take = Take(score, round(float(seconds) * rate))
        while not take.done:
            time.sleep(0.02)
        np.save(sound_path, take.sound)
        return take.first_frame


def connect(client: jack.Client, source, target) -> None:
    """Ports can be listed before their client is active, and are refused till then."""
    for _ in range(40):
        with suppress(jack.JackError):
            client.connect(source, target)
            return
        time.sleep(0.25)
    client.connect(source, target)


def main(*ports: str) -> None:
    player = Player()
    run_first()
    with player.client as client:
        if ports:
            midi_port, audio_port = ports
            if midi_port != "-":
                connect(client, player.midi, midi_port)
            connect(client, audio_port, player.audio)
        print(json.dumps({"state": "ready"}), flush=True)
        for line in sys.stdin:
            frame = player.play(*line.split())
            print(json.dumps({"state": "taken", "frame": frame}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
