"""What the plugin costs its host, and what is left when an engine or a host is killed: by a small host in C++.

    python -m rt_melody.benchmarks.plugin run                  nanoseconds of run() at 128 frames, and its allocations
    python -m rt_melody.benchmarks.plugin kills 100 100        engines killed in a live host, then hosts killed
    python -m rt_melody.benchmarks.plugin sanitize [SECONDS]   what sanitizers, valgrind, strace and a malloc hook find
    python -m rt_melody.benchmarks.plugin build HOST FLAGS...  the host alone, for other tools

Needs a C++ compiler and DPF, as the plugin does; kills needs FluidSynth with a sound font, and sanitize valgrind and strace. The
voice is the demo song. Each but run ends with status 1 where something is found.
"""

from __future__ import annotations

import json
import os
import queue
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from rt_melody.benchmarks.rig.studio import is_running
from rt_melody.realtime.plugin import building
from rt_melody.realtime.plugin.lv2_host import FIRST_PARAMETER
from rt_melody.realtime.plugin.memory import LAYOUT
from rt_melody.realtime.sources.demo import demo_phrase

RATE, BLOCK = 48_000, 128
SOUND_FONTS = ("/usr/share/sounds/sf2/FluidR3_GM.sf2", "/usr/share/sounds/sf2/default-GM.sf2", "/usr/share/soundfonts/default.sf2")
OCARINA = 79  # counted from 0
MOST_SILENT_S = 240.0  # until a new engine plays, on a machine that is very busy
TOLD_EVERY = 10  # kills
ANSWERS_S = 30.0  # of FluidSynth, and of processes that were killed
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


def port_of(parameter: str) -> int:
    """The number of its control port, as hosts of the LV2 know it."""
    return FIRST_PARAMETER + LAYOUT[f"PARAMETER_{parameter}"]


BOUNCED, LIVE_S = ("8", "0", f"{port_of('FREEWHEEL')}=1"), 20.0  # seconds; live, the engine loads in some of them
CHECKED_MOST_S = 900.0
SANITIZERS = {"ThreadSanitizer": "-fsanitize=thread", "AddressSanitizer, UndefinedBehaviorSanitizer": "-fsanitize=address,undefined"}
MEMCHECK = ("valgrind", "--leak-check=full", "--errors-for-leak-kinds=definite,indirect,possible", "--error-exitcode=99")
REPORT = re.compile(r"WARNING: ThreadSanitizer|ERROR: AddressSanitizer|ERROR: LeakSanitizer|runtime error:|ERROR SUMMARY: [1-9]")
FATAL = "unexpected memory mapping"  # a sanitizer's, of a kernel that scatters more than it knows
OWN_CALL = re.compile(r'write\(1, "midi|newfstatat\(1, |clock_nanosleep\(')  # the host's, in strace's log, after a call of run()
WAKES = re.compile(r'write\((\d+), "\\0", 1\) += ')


def sanitize(folder: Path, live_s: float) -> Iterator[tuple[str, dict]]:
    """By tool: its reports, and how much was played meanwhile; the panel of the instance is open."""
    sound = str(voice(folder))
    for name, flags in SANITIZERS.items():
        host = build_host(folder / "checked", *flags.split(), "-O1")
        for kind, words in (("bounce", BOUNCED), ("live", (str(live_s), "1"))):
            yield f"{name}, {kind}", checked([str(host), sound, str(RATE), "256", *words])
    host = str(build_host(folder / "plain", "-O1"))
    yield "valgrind, bounce", checked([*MEMCHECK, host, sound, str(RATE), "256", *BOUNCED])
    yield "strace, live", traced(host, sound, folder / "calls.txt", live_s)
    run = measure_run(folder, live_s)
    yield "malloc hook, live", {"reports": run["allocations"], "messages": run["messages"], "calls of run()": run["blocks"]}


def quiet() -> dict[str, str]:
    """An environment in which the panel opens no browser."""
    return {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}


def checked(command: list[str]) -> dict:
    """A host that plays under a tool: reports (what the tool says of itself where it cannot work), and messages."""
    panel = f"{port_of('PANEL')}=1"
    options = {"capture_output": True, "text": True, "timeout": CHECKED_MOST_S, "env": quiet()}
    done = subprocess.run([*command, panel], **options)
    if FATAL in done.stderr:
        done = subprocess.run(["setarch", "-R", *command, panel], **options)
    reports = len(REPORT.findall(done.stderr))
    if reports or done.returncode:
        print(done.stderr[-20_000:], file=sys.stderr)
    messages, panel = sum(line.startswith("midi") for line in done.stdout.splitlines()), "panel of this instance is at" in done.stderr
    return {"reports": max(reports, int(done.returncode != 0)), "messages": messages, "panel": panel}


def traced(host: str, sound: str, log: Path, live_s: float) -> dict:
    """System calls of the thread that calls run(), between its first call and its last, but for the host's own."""
    command = ["strace", "-o", str(log), host, sound, str(RATE), str(BLOCK), str(live_s), "1", f"{port_of('PANEL')}=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=CHECKED_MOST_S, env=quiet())
    lines = log.read_text(errors="replace").splitlines()
    sleeps = [number for number, line in enumerate(lines) if line.startswith("clock_nanosleep(")]
    within = [line for line in lines[sleeps[0] : sleeps[-1]] if not OWN_CALL.match(line)]
    wakes = [line for line in within if WAKES.match(line)]
    others = Counter(line.partition("(")[0] for line in within if not WAKES.match(line))
    messages = sum(line.startswith("midi") for line in done.stdout.splitlines())
    calls = {"wakes": len(wakes), "calls of run()": len(sleeps)}
    return {"reports": sum(others.values()), "others": dict(others), "messages": messages, **calls}


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
        self._counts: queue.Queue[int | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self._tell(f"prog 0 {OCARINA}")

    def _read(self) -> None:
        assert self._process.stdout is not None, "a pipe was asked for"
        for line in self._process.stdout:
            if "voice_count:" in line:
                self._counts.put(int(line.rsplit(":", 1)[1]))
        self._counts.put(None)

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
        self._tell("voice_count")
        try:
            count = self._counts.get(timeout=ANSWERS_S)
        except queue.Empty:
            count = None
        if count is None:
            sys.exit(f"FluidSynth did not say how many voices sound (its status: {self._process.poll()})")
        return count

    def close(self) -> None:
        self._process.kill()
        self._process.wait(ANSWERS_S)

    def __enter__(self) -> Synth:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class LiveHost:
    """The host at work, the synthesiser behind it, if any, and which notes they were told to sound. With it, its engine ends."""

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
        listed = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, timeout=ANSWERS_S).stdout
        return [int(pid) for pid in listed.split()]

    def kill(self) -> None:
        """Idempotent."""
        self.process.kill()
        self.process.wait(ANSWERS_S)

    def __enter__(self) -> LiveHost:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()


def kill_engines(live: LiveHost, synth: Synth, count: int) -> dict:
    """At random times, three of four amid a note; how long notes went on, in ms by the host's clock, and whether FluidSynth fell
    silent."""
    done, took_ms, left_on, sounded, voices, named, killed = 0, list[float](), 0, 0, list[int](), _named(), list[int]()
    while done < count:
        if live.process.poll() is not None:
            sys.exit(f"after {done} kills of its engine the host has ended, with status {live.process.returncode}")
        time.sleep(random.uniform(0.0, 4.0))
        if done % 4:
            end_s = time.monotonic() + MOST_SILENT_S
            while not live.on and time.monotonic() < end_s:
                time.sleep(0.01)
        if engines := live.engines():
            amid, before, at_ns, done = bool(live.on), synth.voices(), time.monotonic_ns(), done + 1
            with suppress(ProcessLookupError):  # it has ended by itself just now
                os.kill(engines[0], signal.SIGKILL)
            killed.append(engines[0])
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
    last = live.engines()
    live.kill()
    for pid in last:
        _until_gone(pid)
    left = {"still there": sum(is_running(pid) for pid in (*killed, *last)), "named memory left": sorted(_named() - named)}
    return {"kills": done, "amid a note": len(took_ms) + left_on, "left on": left_on, **times, **heard, **left}


def kill_hosts(host: Path, sound: Path, count: int) -> dict:
    """At random times; how long their engines lived on, in seconds."""
    took_s, gone, named = list[float](), list[int](), _named()
    for _ in range(count):
        with LiveHost(host, sound) as live:
            time.sleep(random.uniform(0.05, 5.0))
            engines, at_s = live.engines(), time.monotonic()
        took_s += [_until_gone(pid) - at_s for pid in engines]
        gone += engines
    times = {"median s": round(float(np.median(took_s)), 2), "worst s": round(max(took_s), 2)} if took_s else {}
    left = {"still there": sum(is_running(pid) for pid in gone), "named memory left": sorted(_named() - named)}
    return {"kills": count, "engines": len(took_s), **times, **left}


def _until_gone(pid: int, most_s: float = 120.0) -> float:
    end_s = time.monotonic() + most_s
    while time.monotonic() < end_s and is_running(pid):
        time.sleep(0.02)
    return time.monotonic()


def _named() -> set[str]:
    """Shared memory that has a name which could be ours."""
    return {path.name for path in Path("/dev/shm").iterdir() if path.name.startswith("rt")}


def main(words: list[str]) -> int:
    bad = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if words[:1] == ["run"]:
            print(json.dumps(measure_run(folder)))
        elif words[:1] == ["kills"] and len(words) == 3:
            host, sound = build_host(folder / "host"), voice(folder)
            if engines := int(words[1]):
                with Synth() as synth, LiveHost(host, sound, synth) as live:
                    told = kill_engines(live, synth, engines)
                print(json.dumps({"engines": told}), flush=True)
                bad = bool(told["left on"] or told["voices left on"] or told["still there"] or told["named memory left"])
            if hosts := int(words[2]):
                told = kill_hosts(host, sound, hosts)
                print(json.dumps({"hosts": told}))
                bad |= bool(told["still there"] or told["named memory left"])
        elif words[:1] == ["sanitize"] and len(words) < 3:
            missing = [program for program in ("valgrind", "strace") if shutil.which(program) is None]
            if missing:
                sys.exit(f"sanitize needs {' and '.join(missing)} (Debian: apt-get install {' '.join(missing)})")
            for tool, told in sanitize(folder, float(words[1]) if words[1:] else LIVE_S):
                print(json.dumps({tool: told}), flush=True)
                bad |= told["reports"] > 0 or told["messages"] == 0
        elif words[:1] == ["build"] and len(words) > 1:
            build_host(Path(words[1]), *words[2:])
        else:
            sys.exit(__doc__)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
