"""What a tool costs: time to import and to the first word, CPU a hop at the true pace, speed, memory, disk.

Conventions: MB are 1e6 bytes. CPU is the process's, all its threads. A hop is the tool's own; ``core_share`` is CPU
over real time, which compares tools of different hops. Memory is the process's peak, Python and numpy included.
"""

from __future__ import annotations

import importlib
import re
import sys
import time
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import numpy as np

from rt_melody.benchmarks.peers.base import LivePeer, OfflinePeer, Peer, resampled
from rt_melody.benchmarks.peers.standin import provide_torchaudio

WARM_S = 0.5
OUR_ROOMS = ("realtime", "kernels", "models")


def measure(peer: Peer, samples: np.ndarray, seconds: float) -> dict:
    """Figures of an unopened tool in this fresh process; ``samples`` [shape=(n,)] at SAMPLE_RATE are looped through."""
    bare_mb = memory_mb()
    began = time.perf_counter()
    if "torch" in peer.modules:
        provide_torchaudio()
    for name in peer.modules:
        importlib.import_module(name)
    imported = time.perf_counter()
    peer.open()
    sound = resampled(samples, peer.sample_rate)
    _run(peer, sound[: round(WARM_S * peer.sample_rate)])
    figures = {"import_s": round(imported - began, 2), "start_s": round(time.perf_counter() - began, 2)}
    if isinstance(peer, LivePeer):
        figures |= at_true_pace(peer, sound, seconds)
    return {**figures, **speed(peer, sound), "peak_mb": round(memory_mb()), "bare_mb": round(bare_mb)}


def _run(peer: Peer, sound: np.ndarray) -> None:
    if isinstance(peer, OfflinePeer):
        peer.track(sound)
    if not isinstance(peer, LivePeer):
        return
    peer.start()
    for start in range(0, len(sound) - peer.hop_samples + 1, peer.hop_samples):
        list(peer.feed(sound[start : start + peer.hop_samples]))


def at_true_pace(peer: LivePeer, sound: np.ndarray, seconds: float) -> dict:
    """Each hop's time and CPU, asleep in between as it is live, so that caches go cold."""
    hop, wall, cpu = peer.hop_samples, [], []
    peer.start()
    blocks = len(sound) // hop
    next_s = time.perf_counter()
    for i in range(round(seconds / peer.hop_s)):
        next_s = max(next_s + peer.hop_s, time.perf_counter())
        while (left := next_s - time.perf_counter()) > 0:
            time.sleep(left)
        block = sound[i % blocks * hop : (i % blocks + 1) * hop]
        began, used = time.perf_counter(), time.process_time()
        list(peer.feed(block))
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    median, p99 = np.percentile(wall, (50, 99)) * 1000.0
    return {
        "hop_ms": round(1000.0 * peer.hop_s, 2), "hop_wall_median_ms": round(median, 3), "hop_wall_p99_ms": round(p99, 3),
        "hop_cpu_ms": round(1000.0 * float(np.mean(cpu)), 3), "core_share": round(float(np.mean(cpu)) / peer.hop_s, 4),
    }


def speed(peer: Peer, sound: np.ndarray) -> dict:
    """How many times faster than real time a recording is tracked, and the CPU of a second of sound."""
    began, used = time.perf_counter(), time.process_time()
    _run(peer, sound)
    seconds = len(sound) / peer.sample_rate
    cpu_s = time.process_time() - used
    return {
        "times_real_time": round(seconds / (time.perf_counter() - began), 2), "cpu_s_per_s": round(cpu_s / seconds, 4),
    }


def memory_mb() -> float:
    """Peak resident memory of this process since it began its program."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would tell the parent's peak where that was larger
        (kilobytes,) = re.findall(r"VmHWM:\s+(\d+)", status.read_text())
        return int(kilobytes) * 1024 / 1e6
    import resource  # which Windows has not

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


# ---- on disk -----------------------------------------------------------------------------------


def install_mb(*names: str) -> dict[str, float]:
    """MB on disk of distributions alone, and with all that they require that is installed here."""
    needed = set().union(*map(requirements, names))
    return {"own_mb": round(sum(map(_size, names)) / 1e6, 1), "install_mb": round(sum(map(_size, needed)) / 1e6, 1)}


def requirements(name: str) -> set[str]:
    """Names of a distribution and of what it requires, by and by, without extras, as far as installed."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        key = _normal(waiting.pop())
        known = _distribution(key)
        if known is not None and key not in found:
            found.add(key)
            waiting += [re.split(r"[^A-Za-z0-9._-]", r, maxsplit=1)[0] for r in known.requires or () if "extra ==" not in r]
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _distribution(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _size(name: str) -> int:
    """Bytes of a distribution's files; of the rooms themselves where ours is installed as a link to a checkout."""
    if name == "rt-melody":
        top = Path(__file__).resolve().parents[2]
        files = [f for room in OUR_ROOMS for f in (top / room).rglob("*") if f.suffix not in (".nbi", ".nbc")]
    else:
        known = _distribution(name)
        files = [Path(str(f.locate())) for f in known.files or ()] if known else []
    return sum(f.stat().st_size for f in files if f.is_file())
