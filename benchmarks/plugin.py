"""What the plugin costs its host, and what is left when an engine or a host is killed: by a small host in C++.

    python -m rt_melody.benchmarks.plugin run                  nanoseconds of run() at 128 frames, and its allocations
    python -m rt_melody.benchmarks.plugin kills 100 100        engines killed in a live host, then hosts killed
    python -m rt_melody.benchmarks.plugin build HOST FLAGS...  the host alone, for strace, valgrind or -fsanitize=thread

Needs a C++ compiler and DPF, as the plugin does, and for kills FluidSynth with a sound font. The voice is the demo song.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from rt_melody.realtime.plugin import building
from rt_melody.realtime.sources.demo import demo_phrase

RATE, BLOCK = 48_000, 128
SOUND_FONTS = ("/usr/share/sounds/sf2/FluidR3_GM.sf2", "/usr/share/sounds/sf2/default-GM.sf2", "/usr/share/soundfonts/default.sf2")
OCARINA = 79  # counted from 0
MOST_SILENT_S = 240.0  # until a new engine plays, on a machine that is very busy
TOLD_EVERY = 10  # kills
DIES_AWAY_S = 1.0  # its release, and what the shell needs to end it; a new engine takes longer
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


class Synth:
    """FluidSynth on the track behind the plugin: it plays what the host says, and tells how many voices sound."""

    def __init__(self) -> None:
        font = next((path for path in SOUND_FONTS if Path(path).exists()), None)
        if font is None or shutil.which("fluidsynth") is None:
            sys.exit("kills need FluidSynth and a sound font (Debian: apt-get install fluidsynth fluid-soundfont-gm)")
        nowhere = ["-a", "file", "-o", "audio.file.type=raw", "-o", "audio.file.name=/dev/null", "-R", "0", "-C", "0"]
        self._process = subprocess.Popen(
            ["fluidsynth", "-q", *nowhere, font], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._tell(f"prog 0 {OCARINA}")

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None, "a pipe was asked for"
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def play(self, status: int, first: int, second: int) -> None:
        """A channel message."""
        kind, channel = status & 0xF0, status & 0x0F
        lines = {0x80: f"noteoff {channel} {first}", 0x90: f"noteon {channel} {first} {second}", 0xB0: f"cc {channel} {first} {second}"}
        lines[0xE0] = f"pitch_bend {channel} {first | second << 7}"
        if kind in lines:
            self._tell(lines[kind])

    def voices(self) -> int:
        """How many sound; a note that has ended dies away within a moment."""
        assert self._process.stdout is not None, "a pipe was asked for"
        self._tell("voice_count")
        while "voice_count:" not in (line := self._process.stdout.readline()):
            assert line, "FluidSynth has ended"
        return int(line.rsplit(":", 1)[1])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class LiveHost:
    """The host at work, the synthesiser behind it, if any, and which notes they were told to sound."""

    def __init__(self, host: Path, sound: Path, synth: Synth | None = None) -> None:
        self._synth = synth
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
                if self._synth is not None:
                    self._synth.play(status, note, value)
                if status & 0xF0 == 0x90 and value:
                    self.on[status & 15, note] = ns
                elif status & 0xF0 in (0x80, 0x90):
                    self.on.pop((status & 15, note), None)
                    self.off_ns = ns

    def engines(self) -> list[int]:
        listed = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True).stdout
        return [int(pid) for pid in listed.split()]


def kill_engines(live: LiveHost, synth: Synth, count: int) -> dict:
    """At random times, three of four amid a note; how long notes went on, in ms by the host's clock, and whether FluidSynth fell
    silent."""
    done, took_ms, left_on, sounded, voices = 0, list[float](), 0, 0, list[int]()
    while done < count:
        time.sleep(random.uniform(0.0, 4.0))
        if done % 4:
            end_s = time.monotonic() + MOST_SILENT_S
            while not live.on and time.monotonic() < end_s:
                time.sleep(0.01)
        if engines := live.engines():
            amid, before, at_ns, done = bool(live.on), synth.voices(), time.monotonic_ns(), done + 1
            with suppress(ProcessLookupError):  # it has ended by itself just now
                os.kill(engines[0], signal.SIGKILL)
            if amid:
                time.sleep(DIES_AWAY_S)
                stuck = bool(live.on) and min(live.on.values()) < at_ns
                left_on += stuck
                took_ms += [] if stuck else [(live.off_ns - at_ns) / 1e6]
                sounded += before > 0
                voices += [] if live.on else [synth.voices()]  # a new engine may have begun a note already
            if done % TOLD_EVERY == 0:
                print(f"{done} killed, {sounded} while FluidSynth sounded, voices left on: {sum(voices)}", file=sys.stderr, flush=True)
    times = {"median ms": round(float(np.median(took_ms)), 1), "worst ms": round(max(took_ms), 1)} if took_ms else {}
    heard = {"FluidSynth sounded before": sounded, "asked after": len(voices), "voices left on": sum(voices)}
    return {"kills": done, "amid a note": len(took_ms) + left_on, "left on": left_on, **times, **heard}


def kill_hosts(host: Path, sound: Path, count: int) -> dict:
    """At random times; how long their engines lived on, in seconds."""
    took_s, gone, named = list[float](), list[int](), _named()
    for _ in range(count):
        live = LiveHost(host, sound)
        time.sleep(random.uniform(0.05, 5.0))
        engines, at_s = live.engines(), time.monotonic()
        live.process.kill()
        live.process.wait()
        took_s += [_until_gone(pid) - at_s for pid in engines]
        gone += engines
    times = {"median s": round(float(np.median(took_s)), 2), "worst s": round(max(took_s), 2)} if took_s else {}
    left = {"still there": sum(_is_there(pid) for pid in gone), "named memory left": sorted(_named() - named)}
    return {"kills": count, "engines": len(took_s), **times, **left}


def _until_gone(pid: int, most_s: float = 120.0) -> float:
    end_s = time.monotonic() + most_s
    while time.monotonic() < end_s and _is_there(pid):
        time.sleep(0.02)
    return time.monotonic()


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _named() -> set[str]:
    """Shared memory that has a name which could be ours."""
    return {path.name for path in Path("/dev/shm").iterdir() if path.name.startswith("rt")}


def main(words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if words[:1] == ["run"]:
            print(json.dumps(measure_run(folder)))
        elif words[:1] == ["kills"] and len(words) == 3:
            host, sound = build_host(folder / "host"), voice(folder)
            if engines := int(words[1]):
                synth = Synth()
                live = LiveHost(host, sound, synth)
                print(json.dumps({"engines": kill_engines(live, synth, engines)}), flush=True)
                live.process.kill()
                live.process.wait()
                synth.close()
            print(json.dumps({"hosts": kill_hosts(host, sound, int(words[2]))}))
        elif words[:1] == ["build"] and len(words) > 1:
            build_host(Path(words[1]), *words[2:])
        else:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
