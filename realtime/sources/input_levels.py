"""How loud each audio input is just now, by a process of its own: opening devices may hang or end the process that does it.

Run as a program it listens to every input but those whose numbers it is given, and prints a line for each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import Any, cast

import numpy as np

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.sources.devices import AudioInput, list_audio_inputs, load_backend

LISTEN_S = 0.3  # to each
MOST_INPUTS = 8
TIMEOUT_S = 6.0
LEAST_DB = -120.0


def measure_level(one: AudioInput, backend: Any, seconds: float = LISTEN_S) -> float:
    """dBFS RMS of what an input gives for so long, -120 at least. Raises what PortAudio raises where it does not open."""
    power, count = [0.0], [0]

    def take(frames: np.ndarray, n_frames: int, time_info: Any, status: Any) -> None:
        power[0] += float(np.square(frames, dtype=np.float64).mean(axis=1).sum())
        count[0] += n_frames

    stream = backend.InputStream(
        device=one.index, samplerate=one.default_rate_hz, channels=min(2, one.channels), dtype="float32", callback=take
    )
    try:
        stream.start()
        time.sleep(seconds)
    finally:
        stream.close()
    return max(LEAST_DB, 10.0 * np.log10(power[0] / count[0] + 1e-12)) if count[0] else LEAST_DB


def measure_levels(but: int | None, backend: Any = None, seconds: float = LISTEN_S) -> list[tuple[str, float]]:
    """Number and name, and the level in dBFS, of every input but one that opens."""
    backend, levels = backend or load_backend(), list[tuple[str, float]]()
    for one in [other for other in list_audio_inputs(backend) if other.index != but][:MOST_INPUTS]:
        try:
            levels.append((f"{one.index} {one.full_name}", round(measure_level(one, backend, seconds), 1)))
        except (backend.PortAudioError, ValueError):  # another program has it
            continue
    return levels


class OtherLevels:
    """The levels of the other inputs, asked for without waiting: ``ask`` starts, ``sentence`` is there once it is known."""

    def __init__(self, but: int, timeout_s: float = TIMEOUT_S) -> None:
        self._but, self._timeout_s = but, timeout_s
        self._thread: threading.Thread | None = None
        self.sentence: str | None = None

    def ask(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._measure, name="other-inputs", daemon=True)
            self._thread.start()

    def _measure(self) -> None:
        command = [sys.executable, "-m", "rt_melody.realtime.sources.input_levels", str(self._but)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=self._timeout_s, stdin=subprocess.DEVNULL)
            levels = cast("list[tuple[str, float]]", json.loads(done.stdout) if done.returncode == 0 else [])
        except (OSError, ValueError, subprocess.TimeoutExpired):
            levels = []
        self.sentence = levels_sentence(levels)


def levels_sentence(levels: list[tuple[str, float]]) -> str:
    """What the other inputs give, loudest first, and how to choose one."""
    if not levels:
        return "no other input is to be had"
    told = ", ".join(f"{name} ({level:.0f} dBFS)" for name, level in sorted(levels, key=lambda pair: -pair[1]))
    return f"--device NUMBER chooses another, which give now: {told}"


def main() -> int:
    try:
        print(json.dumps(measure_levels(int(sys.argv[1]))))
    except DeviceError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
