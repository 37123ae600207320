"""The process that waits for an audio input that was lost, and hears it from then on: see sources/returning.py.

Conventions
-----------
* Its JACK client has a name of its own. What outlived a server in the program that lost it takes the signals that the new
  server sends to a client of its name, and PortAudio waits ten minutes for those.
* PortAudio that does not open in time, for whatever reason, ends the process.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.signals import heed_no_signal
from rt_melody.realtime.sources.base import AudioSource, RateChanged
from rt_melody.realtime.sources.devices import list_audio_inputs, load_backend
from rt_melody.realtime.sources.microphone import MicrophoneSource
from rt_melody.realtime.sources.returning import HEADER, Wanted
from rt_melody.realtime.timing.scheduling import run_first

LOOK_EVERY_S = 0.5  # for an input that is away
MOST_WAITING_S = 0.5  # of sound, where the program that hears us stands still
CLIENT = ctypes.create_string_buffer(f"rt-melody-{os.getpid()}".encode())  # PortAudio keeps the address
CARD = re.compile(r" \(hw:\d+,\d+\)")  # ALSA's number of a card, which changes when it is plugged in again


class Heard(MicrophoneSource):
    """The input that is back. Whether its client leaves JACK's graph again is asked by the program that hears us."""

    asks_graph = False


def is_it(full_name: str, wanted: str) -> bool:
    """Whether an input of this name is the wanted one, in whatever socket it is now."""
    return CARD.sub("", full_name) == CARD.sub("", wanted)


def opened(wanted: Wanted, backend: Any) -> MicrophoneSource:
    """The input, open; raises DeviceError while it is not there."""
    for one in list_audio_inputs(backend):
        if is_it(one.full_name, wanted.full_name):
            source = Heard(one.index, wanted.rate, wanted.channel, wanted.block_samples, backend)
            source.open()
            return source
    raise DeviceError(f"{wanted.full_name!r} is not there")


def awaited(wanted: Wanted, backend: Any, leaving: threading.Event, patience_s: float) -> MicrophoneSource | None:
    """The input, open as soon as it is there, which may take ``patience_s``; None where we are to leave. Raises what PortAudio
    raises where it does not start."""
    while not leaving.is_set():
        with within(patience_s):
            start_anew(backend)
            with suppress(DeviceError):
                return opened(wanted, backend)
        leaving.wait(LOOK_EVERY_S)
    return None


def start_anew(backend: Any) -> None:
    """As only a process can whose PortAudio never lost a device. Raises what PortAudio raises."""
    backend._terminate()
    with suppress(AttributeError, OSError):  # no JACK in this PortAudio
        ctypes.CDLL(backend._libname).PaJack_SetClientName(CLIENT)
    backend._initialize()


@contextmanager
def within(seconds: float) -> Generator[None]:
    """What takes longer ends the process."""
    timer = threading.Timer(seconds, os._exit, [1])
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()


def pass_on(source: AudioSource, pipe: int, leaving: threading.Event) -> None:
    """What the open input gives, until it is lost, we are to leave, or nobody listens any more."""
    known, skipped = 0, 0
    while not leaving.is_set():
        try:
            block = source.read(0.1)
        except RateChanged:  # which whoever listens measures too
            source.follow_rate()
            continue
        if source.backlog_samples > MOST_WAITING_S * source.sample_rate:
            skipped += source.skip_to_newest()
        if block is not None and len(block):
            lost = source.lost_samples + source.overflows + skipped
            write_all(pipe, HEADER.pack(len(block), lost != known) + block.tobytes())
            known = lost


def write_all(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def main(arguments: list[str]) -> int:
    """Hear the input of the one argument, a JSON list: what ``Wanted`` holds, and how long it may take to open."""
    heed_no_signal()
    leaving = threading.Event()
    threading.Thread(target=lambda: (os.read(0, 1), leaving.set()), daemon=True).start()
    backend = load_backend()
    *wanted, patience_s = json.loads(arguments[0])
    source = awaited(Wanted(*wanted), backend, leaving, patience_s)
    if source is None:
        return 0
    write_all(1, json.dumps({"latency_s": (source.input_latency_ms or 0.0) / 1000.0}).encode() + b"\n")
    run_first()
    with suppress(DeviceError, OSError):
        pass_on(source, 1, leaving)
    source.close()
    return 0


if __name__ == "__main__":
    status = 1
    with suppress(Exception):  # whoever started us sees that nothing comes, and starts another
        status = main(sys.argv[1:])
    os._exit(status)  # PortAudio is not shut down, see above
