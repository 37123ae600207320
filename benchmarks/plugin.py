"""What the plugin costs its host, and what is left when an engine or a host is killed: by a small host in C++.

    python -m rt_melody.benchmarks.plugin run                  nanoseconds of run() at 128 frames, and its allocations
    python -m rt_melody.benchmarks.plugin kills 100 100        engines killed in a live host, then hosts killed
    python -m rt_melody.benchmarks.plugin build HOST FLAGS...  the host alone, for strace, valgrind or -fsanitize=thread

Needs a C++ compiler and DPF, as the plugin does. The voice is the demo song.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from rt_melody.realtime.plugin import building
from rt_melody.realtime.sources.demo import demo_phrase

RATE, BLOCK = 48_000, 128
HOST = Path(__file__).parent / "rig" / "plugin_host.cpp"


def build_host(target: Path, *flags: str) -> Path:
    """The host with the plugin in it."""
    dpf = building.find_dpf() / "distrho"
    command = [
        building.find_compiler(), "-std=c++17", "-O2", "-g", *flags, "-DDISTRHO_PLUGIN_TARGET_LV2",
        f'-DRT_MELODY_ENGINE="{building.find_engine()}"', f"-I{building.SOURCE}", "-isystem", str(dpf), str(HOST),
        str(building.SOURCE / "plugin.cpp"), str(dpf / "DistrhoPluginMain.cpp"), "-pthread", *building.LINKED, "-o", str(target),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return target


def voice(folder: Path) -> Path:
    """The demo song as the host reads it."""
    path = folder / "voice.f32"
    demo_phrase(RATE).samples.astype(np.float32).tofile(path)
    return path


def measure_run(folder: Path, seconds: float = 20.0) -> dict:
    """Percentiles of run() at the pace of the clock, in microseconds."""
    host = build_host(folder / "host", "-DCOUNT_ALLOCATIONS")
    command = [str(host), str(voice(folder)), str(RATE), str(BLOCK), str(seconds), "1"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    took_us = np.array(lines[-1].split()[1:], float) / 1000.0
    at = {f"p{q:g}": round(float(np.percentile(took_us, q)), 1) for q in (50, 99, 99.9, 100)}
    allocations = int(next(line for line in lines if line.startswith("allocations")).split()[1])
    return {"blocks": len(took_us), "us": at, "allocations": allocations, "messages": sum(line.startswith("midi") for line in lines)}


class LiveHost:
    """The host at work, and which notes it was told to sound."""

    def __init__(self, host: Path, sound: Path) -> None:
        command = [str(host), str(sound), str(RATE), str(BLOCK), "36000", "1"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.on: dict[tuple[int, int], int] = {}
        self.off_ns = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None, "a pipe was asked for"
        for line in self.process.stdout:
            if line.startswith("midi"):
                ns, status, note, value = (int(word) for word in line.split()[2:6])
                if status & 0xF0 == 0x90 and value:
                    self.on[status & 15, note] = ns
                elif status & 0xF0 in (0x80, 0x90):
                    self.on.pop((status & 15, note), None)
                    self.off_ns = ns

    def engines(self) -> list[int]:
        listed = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout
        return [int(pid) for pid in listed.split()]


def kill_engines(live: LiveHost, count: int) -> dict:
    """At random times; how long notes went on, in ms, by the host's clock."""
    done, took_ms, left_on = 0, list[float](), 0
    while done < count:
        time.sleep(random.uniform(0.3, 16.0))
        if engines := live.engines():
            amid, at_ns, done = bool(live.on), time.monotonic_ns(), done + 1
            os.kill(engines[0], signal.SIGKILL)
            if amid:
                time.sleep(0.4)
                stuck = bool(live.on) and min(live.on.values()) < at_ns
                left_on += stuck
                took_ms += [] if stuck else [(live.off_ns - at_ns) / 1e6]
    return {"kills": done, "amid a note": len(took_ms) + left_on, "left on": left_on, "worst ms": round(max(took_ms, default=0.0), 1)}


def kill_hosts(host: Path, sound: Path, count: int) -> dict:
    """At random times; how long their engines lived on, in seconds."""
    took_s = list[float]()
    for _ in range(count):
        live = LiveHost(host, sound)
        time.sleep(random.uniform(0.05, 5.0))
        engines, at_s = live.engines(), time.monotonic()
        live.process.kill()
        live.process.wait()
        took_s += [_until_gone(pid) - at_s for pid in engines]
    left = subprocess.run(["pgrep", "-fc", "plugin host 3 4"], capture_output=True, text=True).stdout.strip()
    return {"kills": count, "engines": len(took_s), "worst s": round(max(took_s, default=0.0), 2), "processes left": int(left)}


def _until_gone(pid: int, most_s: float = 120.0) -> float:
    end_s = time.monotonic() + most_s
    try:
        while time.monotonic() < end_s and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
            time.sleep(0.02)
    except OSError:  # gone between two looks
        pass
    return time.monotonic()


def main(words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if words[:1] == ["run"]:
            print(json.dumps(measure_run(folder)))
        elif words[:1] == ["kills"] and len(words) == 3:
            host, sound = build_host(folder / "host"), voice(folder)
            if engines := int(words[1]):
                live = LiveHost(host, sound)
                print(json.dumps({"engines": kill_engines(live, engines)}), flush=True)
                live.process.kill()
                live.process.wait()
            print(json.dumps({"hosts": kill_hosts(host, sound, int(words[2]))}))
        elif words[:1] == ["build"] and len(words) > 1:
            build_host(Path(words[1]), *words[2:])
        else:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
