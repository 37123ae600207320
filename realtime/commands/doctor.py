"""``rt-melody doctor``: does everything work here, and if not, what cures it?

Conventions
-----------
* A check is one line: ``ok``, ``hint`` (it works, and could work better) or ``fault`` (something that one would miss), each of
  the latter two with a sentence that says what to do on this platform.
* No check needs another to have passed, and none raises: what it meets is what it tells.
* Status 0 without a fault, 1 with one; ``--json`` has the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Any

import numpy as np

from rt_melody.realtime.commands.arguments import CommandParser
from rt_melody.realtime.console import print_text
from rt_melody.realtime.errors import DeviceError, RtMelodyError, SettingsError
from rt_melody.realtime.settings import make_settings

OK, HINT, FAULT = "ok", "hint", "fault"
BOUNDS_MS = (10, 20, 50, 100)
USUAL_BOUND_MS = 50
PACE_S = 1.5  # of measuring, for each bound
LISTEN_S = 3.0  # to the microphone: its clock is measured too
SILENT_DB, FAINT_DB = -110.0, -80.0
ENOUGH_HZ = 32_000  # of a microphone: a headset by Bluetooth has 8 or 16 kHz while its microphone is on
DRIFT_PPM = 1000.0  # of a sound card's clock: more is another rate
LEAST_PYTHON = (3, 10)

PERMISSION = {
    "darwin": "allow the terminal under System Settings, Privacy & Security, Microphone, and start the terminal anew",
    "win32": "allow it under Settings, Privacy & security, Microphone: 'Let desktop apps access your microphone'",
    "linux": "see the mute button, and alsamixer or pavucontrol, whether its capture is switched off",
}
VIRTUAL_PORT = {
    "darwin": "CoreMIDI makes the port 'rt-melody' by itself",
    "win32": "Windows makes no ports for programs: name a loopback, --midi-out NAME",
    "linux": "ALSA's sequencer, or JACK or PipeWire, makes the port 'rt-melody' by itself",
}
NO_MIDI = {
    "darwin": "install it anew: pip install --force-reinstall python-rtmidi",
    "win32": "install loopMIDI, or on Windows 11 Windows MIDI Services, and make a port in it",
    "linux": "load ALSA's sequencer with 'sudo modprobe snd-seq', or start JACK or PipeWire; files and OSC work without",
}


@dataclass(frozen=True)
class Check:
    """What was looked at, how it stands, what was seen, and what to do."""

    name: str
    state: str
    seen: str
    cure: str = ""

    def line(self) -> str:
        """One line for a terminal."""
        return f"{self.state:<5}  {self.name:<13} {self.seen}" + (f": {self.cure}" if self.cure else "")


def run(arguments: list[str]) -> int:
    """All checks, each told when it is done. Status 1 where one of them found a fault."""
    asked = _parsed(arguments)
    checks: list[Check] = []
    for check in all_checks(asked.device, asked.quick):
        checks.append(check)
        if not asked.json:
            print_text(check.line() + "\n")
    sound = all(check.state != FAULT for check in checks)
    if asked.json:
        print_text(json.dumps({"ok": sound, "checks": [asdict(check) for check in checks]}, indent=1) + "\n")
    else:
        print_text("All is well.\n" if sound else "What is marked 'fault' should be mended first.\n")
    return 0 if sound else 1


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser("doctor", "Looks whether everything works here, and says what to do where it does not.")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    parser.add_argument("--device", metavar="NAME|INDEX", help="the microphone: its number or part of its name")
    parser.add_argument("--quick", action="store_true", help="leave out what takes seconds: microphone, load and clock")
    return parser.parse_args(arguments)


def all_checks(device: str | int | None = None, quick: bool = False, backend: Any = None) -> Iterator[Check]:
    """Every check, in order. ``backend``: a stand-in for the ``sounddevice`` module."""
    yield check_python()
    yield check_torch()
    yield check_audio(backend)
    yield (inputs := check_inputs(device, backend))
    yield check_outputs(backend)
    yield check_midi()
    if not quick:
        if inputs.state != FAULT:
            yield from check_microphone(device, backend)
        yield from check_load()
    yield check_rights()


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    """``look()``, or the fault that an error tells."""
    try:
        return look()
    except RtMelodyError as error:
        said, _, cure = str(error).partition("; ")
        return Check(name, FAULT, said, cure)


# ---- what is installed ---------------------------------------------------------------------------


def check_python() -> Check:
    """The interpreter, and ours."""
    ours = _version("rt-melody") or "not installed"
    seen = f"{platform.python_version()}, {platform.machine()}, rt-melody {ours}"
    if sys.version_info[:2] < LEAST_PYTHON:
        return Check("Python", FAULT, seen, f"rt-melody needs {'.'.join(map(str, LEAST_PYTHON))} or later")
    return Check("Python", OK, seen)


def _version(package: str) -> str | None:
    try:
        return version_of(package)
    except PackageNotFoundError:
        return None


def check_torch() -> Check:
    """PyTorch, and the model in it."""
    try:
        import torch

        from rt_melody.kernels.compiled import cache_notice
        from rt_melody.realtime.melody import MelodyTracker

        began_s = time.perf_counter()
        MelodyTracker.from_settings(sample_rate=48_000).warm_up()
        ready_s = time.perf_counter() - began_s
    except ImportError as error:
        return Check("PyTorch", FAULT, f"it cannot be loaded ({error})", "install it anew: pip install --force-reinstall torch")
    except RtMelodyError as error:
        return Check("PyTorch", FAULT, str(error))
    seen = f"{torch.__version__}, the model is ready in {ready_s:.1f} s"
    return Check("PyTorch", HINT, seen, said) if (said := cache_notice()) else Check("PyTorch", OK, seen)


# ---- sound -----------------------------------------------------------------------------------------


def check_audio(backend: Any = None) -> Check:
    """PortAudio."""

    def look() -> Check:
        from rt_melody.realtime.sources.devices import load_backend

        library = backend or load_backend()
        systems = ", ".join(api["name"] for api in library.query_hostapis())
        return Check("PortAudio", OK, f"sound by {systems or 'no system'}")

    return _guarded("PortAudio", look)


def check_inputs(device: str | int | None = None, backend: Any = None) -> Check:
    """The microphones that there are, and the one that would be heard."""

    def look() -> Check:
        from rt_melody.realtime.sources.devices import find_input, list_audio_inputs

        there, chosen = list_audio_inputs(backend), find_input(device, backend)
        seen = f"{len(there)} audio input{'s' if len(there) != 1 else ''}, heard is {chosen.full_name!r} at {chosen.default_rate_hz} Hz"
        if chosen.default_rate_hz < ENOUGH_HZ:
            return Check("inputs", HINT, seen, "a headset by Bluetooth is slow and dull; take a microphone with a cable: --device")
        return Check("inputs", OK, seen)

    return _guarded("inputs", look)


def check_outputs(backend: Any = None) -> Check:
    """What --listen would be heard through."""

    def look() -> Check:
        from rt_melody.realtime.sources.devices import find_output

        return Check("outputs", OK, f"--listen plays through {find_output(None, backend).full_name!r}")

    found = _guarded("outputs", look)
    return found if found.state == OK else Check("outputs", HINT, found.seen, "only --listen, --backing and the demo want one")


def check_microphone(device: str | int | None = None, backend: Any = None, seconds: float = LISTEN_S) -> Iterator[Check]:
    """What the microphone gives, and how its clock goes."""
    from rt_melody.realtime.sources import MicrophoneSource

    source, powers = MicrophoneSource(device, backend=backend), list[float]()
    try:
        with source:
            end_s = time.perf_counter() + seconds
            while time.perf_counter() < end_s:
                if (block := source.read(0.1)) is not None and len(block):
                    powers.append(float(np.dot(block, block)) / len(block))
            measured_hz, stated_hz = source.measured_rate_hz, source.sample_rate
            overflows, block_ms = source.overflows, 1000.0 * source.device_block_samples / source.sample_rate
    except DeviceError as error:
        yield Check("microphone", FAULT, str(error).split("\n")[0])
        return
    yield level_check(10.0 * float(np.log10(np.mean(powers) + 1e-12)) if powers else None, block_ms, overflows)
    yield clock_check(measured_hz, stated_hz)


def level_check(level_db: float | None, block_ms: float, overflows: int) -> Check:
    """Whether there is sound, by its level in dBFS; None where nothing came at all."""
    allow = PERMISSION.get(sys.platform, PERMISSION["linux"])
    if level_db is None:
        return Check("microphone", FAULT, "it opened and gave nothing", "choose another --device, or start the sound service again")
    if level_db < SILENT_DB:
        return Check("microphone", FAULT, "it gives digital silence", allow)
    seen = f"{level_db:.0f} dBFS in blocks of {block_ms:.1f} ms"
    if overflows:
        return Check("microphone", HINT, f"{seen}, sound was dropped {overflows} times", "end other programs, or take a larger block")
    if level_db < FAINT_DB:
        return Check("microphone", HINT, seen, "hardly anything: see the cable, the gain, and whether it needs phantom power")
    return Check("microphone", OK, seen)


def clock_check(measured_hz: float | None, stated_hz: int) -> Check:
    """How the sound card's clock goes by the computer's."""
    if measured_hz is None:
        return Check("clock", HINT, "the sound card's was not measured", "try again without other programs")
    drift_ppm = 1e6 * (measured_hz / stated_hz - 1.0)
    seen = f"the sound card's and the computer's differ by {drift_ppm:+.0f} parts in a million"
    if abs(drift_ppm) > DRIFT_PPM:
        return Check("clock", FAULT, seen, f"it says {stated_hz} Hz and gives {measured_hz:.0f}: set one rate in the sound system")
    return Check("clock", OK, seen)


# ---- MIDI ------------------------------------------------------------------------------------------


def check_midi() -> Check:
    """Which MIDI there is, and what makes a port of our own."""

    def look() -> Check:
        from rt_melody.realtime.sinks.midi_ports import list_midi_outputs

        ports = list_midi_outputs()
        seen = f"{len(ports)} outputs ({', '.join(ports)})" if ports else "no outputs of others"
        if sys.platform == "win32" and not ports:
            return Check("MIDI", FAULT, seen)
        return Check("MIDI", OK, f"{seen}; {VIRTUAL_PORT.get(sys.platform, VIRTUAL_PORT['linux'])}")

    found = _guarded("MIDI", look)
    if found.state != FAULT:
        return found
    return replace(found, seen=found.seen.split(": on Linux")[0], cure=NO_MIDI.get(sys.platform, found.cure))


# ---- time ------------------------------------------------------------------------------------------


def check_rights() -> Check:
    """Whether the system lets us run first."""
    from rt_melody.realtime.timing.scheduling import live_thread

    with live_thread() as granted:
        pass
    if granted.refusal:
        said, _, cure = granted.refusal.partition("; ")
        return Check("priority", HINT, said, cure)
    return Check("priority", OK, granted.line())


def check_load(seconds: float = PACE_S) -> Iterator[Check]:
    """What a hop costs under each bound, beside what it may."""
    from rt_melody.realtime.selftest import measure_pace

    for bound_ms in BOUNDS_MS:
        try:
            measured = measure_pace(make_settings({"latency_ms": bound_ms}), 48_000, seconds, lambda: False)
        except SettingsError:  # a model that cannot keep it
            continue
        if measured is not None:
            pace = measured[0]
            yield load_check(bound_ms, pace.work_ms[0], pace.worst_ms, pace.hop_ms, pace.cpu_share)


def load_check(bound_ms: int, work_ms: float, worst_ms: float, hop_ms: float, share: float) -> Check:
    """Whether a bound would hold: a stall as at p99.9 and the hop that was being filled must fit into it."""
    seen = f"a hop of {hop_ms:g} ms takes {work_ms:.1f} ms, at worst {worst_ms:.1f}; {100 * share:.0f} % of one of {os.cpu_count()} cores"
    if worst_ms + hop_ms <= bound_ms and share < 0.9:
        return Check(f"{bound_ms} ms bound", OK, seen)
    cure = "end other programs, use mains power, hear with the light model, --light, or sing with a larger --latency-ms"
    return Check(f"{bound_ms} ms bound", FAULT if bound_ms >= USUAL_BOUND_MS else HINT, seen, cure)
