"""A loudspeaker, a room and a singer made of software: a JACK client that is an output device and an input device.

Run as a process of its own: ``python jack_room.py CLIENT_NAME VOICE.npy RESPONSE.npy``. What is played on its port
``speaker`` comes out of its port ``mic`` through the response, with the voice added from the first sample played that is not
silence on: a singer who begins with the song. Both recordings are mono float32 at the server's rate.

It says ``{"state": "ready"}``, then ``{"state": "singing", "frame": N}``, N being the JACK frame time of the voice's first
sample. It leaves at the end of stdin.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import cast

import jack
import numpy as np

from rt_melody.realtime.timing.scheduling import run_first


class Room:
    """Overlap-add by the period, with a spectrum of the response for each period that it lasts."""

    def __init__(self, name: str, voice: np.ndarray, response: np.ndarray) -> None:
        self.voice, self.response = voice, response
        self.position: int | None = None
        self.first_frame: int | None = None
        self.client = jack.Client(name, use_exact_name=True, no_start_server=True)
        self.speaker = cast("jack.OwnPort", self.client.inports.register("speaker"))
        self.mic = cast("jack.OwnPort", self.client.outports.register("mic"))
        size = self.client.blocksize
        parts = [response[at : at + size] for at in range(0, len(response), size)]
        self.spectra = np.array([np.fft.rfft(part, 2 * size) for part in parts])
        self.past = np.zeros_like(self.spectra)
        self.tail = np.zeros(size)
        self.client.set_process_callback(self.process)

    def process(self, frames: int) -> None:
        played = self.speaker.get_array()
        if self.position is None and played.any():
            self.position = -int(np.flatnonzero(played)[0])
            self.first_frame = (self.client.last_frame_time - self.position) % 2**32
        self.mic.get_array()[:] = self.echo(played) + self.sung(frames)

    def echo(self, played: np.ndarray) -> np.ndarray:
        self.past = np.roll(self.past, 1, axis=0)
        self.past[0] = np.fft.rfft(played, 2 * len(played))
        both = np.fft.irfft((self.past * self.spectra).sum(0))
        out, self.tail = both[: len(played)] + self.tail, both[len(played) :]
        return out

    def sung(self, frames: int) -> np.ndarray:
        out = np.zeros(frames)
        if self.position is not None:
            at = np.arange(self.position, self.position + frames)
            there = (at >= 0) & (at < len(self.voice))
            out[there] = self.voice[at[there]]
            self.position += frames
        return out


def main(name: str, voice: str, response: str) -> None:
    room = Room(name, np.load(voice).astype(np.float32), np.load(response))
    leave = threading.Event()
    run_first()
    threading.Thread(target=lambda: (sys.stdin.read(), leave.set()), daemon=True).start()
    with room.client:
        print(json.dumps({"state": "ready"}), flush=True)
        while room.first_frame is None and not leave.wait(0.02):
            pass
        print(json.dumps({"state": "singing", "frame": room.first_frame}), flush=True)
        leave.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
