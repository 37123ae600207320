"""The parent of the comparison: which tool hears what, in processes of their own, kept on disk so that a stopped run goes on.

A tool's words on a set are kept under ``tracks/TOOL/SET.npz`` with a key made of its version and settings, of the
sounds and of its adaptor; for rt-melody also of its code and model. Another key: heard again.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from inspect import getsource
from pathlib import Path
from threading import Lock

import numpy as np
from tqdm import tqdm

from rt_melody.benchmarks.note_scores import PlayedNote
from rt_melody.benchmarks.peers import child, cost
from rt_melody.benchmarks.peers.base import Peer
from rt_melody.benchmarks.peers.scores import Track
from rt_melody.benchmarks.peers.sounds import SoundSet

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
HERE = Path(__file__).resolve().parent
COST_SECONDS = 8.0
BAR = "{l_bar}{bar}| {n:.0f}/{total} core-s [{elapsed}<{remaining}]"


@dataclass(frozen=True)
class Told:
    """What a tool said of a set, sound by sound."""

    tracks: list[Track]
    notes: list[list[PlayedNote]]


@dataclass
class Bench:
    """Folder, options, and the reasons why tools were left out."""

    out: Path
    bounds_ms: Sequence[float]
    model: str | None = None
    jobs: int = 2
    unfit: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("sounds", "tracks", "cost"):
            (self.out / name).mkdir(parents=True, exist_ok=True)

    # ---- hearing ---------------------------------------------------------------------------

    def hear(self, wanted: dict[str, tuple[Peer, list[SoundSet]]]) -> None:
        """Make sure that every tool has heard its sets, or that ``unfit`` tells why not. The slowest begin."""
        keys = {s.name: self._store(s) for _, sets in wanted.values() for s in sets}
        todo = {name: (peer, [s for s in sets if not self._known(peer, s, keys)]) for name, (peer, sets) in wanted.items()}
        todo = {name: work for name, work in todo.items() if work[1]}
        ordered = sorted(todo.values(), key=lambda work: -_effort(*work))
        with tqdm(total=round(sum(_effort(*work) for work in ordered)), desc="hearing", bar_format=BAR) as bar:
            lock = Lock()

            def advance(peer: Peer, seconds: float) -> None:
                with lock:
                    bar.update(seconds * peer.core_s_per_s)

            with ThreadPoolExecutor(self.jobs) as pool:
                list(pool.map(lambda work: self._hear_one(work[0], work[1], keys, advance), ordered))

    def _hear_one(self, peer: Peer, sets: list[SoundSet], keys: dict[str, str], advance: Callable[[Peer, float], None]) -> None:
        orders = [
            {"name": s.name, "sounds": str(self._sounds(s)), "out": str(self._made(peer, s)), "key": self._key(peer, s, keys)}
            for s in sets
        ]
        self._made(peer, sets[0]).parent.mkdir(exist_ok=True)
        for word in self._child(peer, {"what": "hear", "sets": orders}):
            if "heard" in word:
                advance(peer, word["heard"])

    def _child(self, peer: Peer, job: dict) -> Iterator[dict]:
        """The words of a process that does ``job``; its reason is noted where it fails."""
        whole = {**job, "peer": peer.name, "bounds_ms": list(self.bounds_ms), "model": self.model}
        log = self.out / "tracks" / f"{slug(peer.name)}.log"
        with log.open("w", encoding="utf-8") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", child.__name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                text=True, env={**os.environ, **ONE_THREAD},
            )
            try:
                assert process.stdin is not None and process.stdout is not None  # as asked for above
                json.dump(whole, process.stdin)
                process.stdin.close()
                for line in process.stdout:
                    word = json.loads(line)
                    if "unfit" in word:
                        self.unfit[peer.name] = word["unfit"]
                    yield word
            finally:
                if process.poll() is None and sys.exc_info()[0] is not None:
                    process.kill()
                code = process.wait()
        if code and peer.name not in self.unfit:
            self.unfit[peer.name] = f"its process ended with status {code}"

    # ---- cost ------------------------------------------------------------------------------

    def costs(self, peers: Sequence[Peer], seconds: float = COST_SECONDS) -> dict[str, dict]:
        """Figures of each tool, one at a time, so that none disturbs another."""
        sound = self.out / "sounds" / "cost.npy"
        np.save(sound, _singing(seconds))
        found = {}
        for peer in tqdm(peers, "cost", unit="tool"):
            path = self.out / "cost" / f"{slug(peer.name)}.json"
            key = digest(self._identity(peer), str(seconds), (HERE / "cost.py").read_bytes())
            kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            if kept.get("key") != key:
                for word in self._child(peer, {"what": "cost", "sound": str(sound), "seconds": seconds}):
                    if "cost" in word:
                        kept = {"key": key, "figures": {**word["cost"], **cost.install_mb(*peer.distributions)}}
                        path.write_text(json.dumps(kept), encoding="utf-8")
            if kept.get("key") == key:
                found[peer.name] = kept["figures"]
        return found

    # ---- what is kept ----------------------------------------------------------------------

    def told(self, peer: Peer, sounds: SoundSet) -> Told:
        with np.load(self._made(peer, sounds)) as kept:
            ends = np.cumsum(kept["counts"])[:-1]
            columns = [np.split(kept[name], ends) for name in child.FRAME]
            notes = np.split(kept["notes"], np.cumsum(kept["note_counts"])[:-1])
        tracks = [Track(t, a, f, v.astype(bool)) for t, a, f, v in zip(*columns)]
        return Told(
            tracks, [[PlayedNote(row[0], row[1], row[2], row[3], int(row[4]), *row[5:]) for row in rows.tolist()] for rows in notes]
        )

    def _store(self, sounds: SoundSet) -> str:
        """Write a set for the children to read; the digest of its samples."""
        child.save_sounds(self._sounds(sounds), sounds.samples)
        return digest(*(s.tobytes() for s in sounds.samples))

    def _known(self, peer: Peer, sounds: SoundSet, keys: dict[str, str]) -> bool:
        try:
            with np.load(self._made(peer, sounds)) as kept:
                return str(kept["key"]) == self._key(peer, sounds, keys)
        except (OSError, ValueError, KeyError):
            return False

    def _key(self, peer: Peer, sounds: SoundSet, keys: dict[str, str]) -> str:
        return digest(self._identity(peer), keys[sounds.name])

    def _identity(self, peer: Peer) -> str:
        code = (HERE / "base.py").read_bytes(), getsource(type(peer))
        own = [_our_code(self.model)] if peer.distribution == "rt-melody" else []
        return digest(peer.name, peer.settings, versions_of(peer), *code, *own)

    def _sounds(self, sounds: SoundSet) -> Path:
        return self.out / "sounds" / f"{slug(sounds.name)}.npz"

    def _made(self, peer: Peer, sounds: SoundSet) -> Path:
        return self.out / "tracks" / slug(peer.name) / f"{slug(sounds.name)}.npz"


def _effort(peer: Peer, sets: Sequence[SoundSet]) -> float:
    """Core-seconds, roughly."""
    return peer.core_s_per_s * sum(s.seconds for s in sets)


def _singing(seconds: float) -> np.ndarray:
    from rt_melody.benchmarks.compute import singing
    from rt_melody.benchmarks.peers.base import SAMPLE_RATE

    return singing(SAMPLE_RATE, max(2.0, seconds))


@lru_cache
def _our_code(model: str | None) -> bytes:
    """The rooms' sources and the model that is loaded."""
    top = HERE.parents[1]
    files = [f for room in cost.OUR_ROOMS for f in sorted((top / room).rglob("*.py")) if "training" not in f.parts]
    files += sorted((top / "models" / "weights").glob("*.pt")) if model is None else [Path(model)]
    return b"".join(f.read_bytes() for f in files)


def version_of(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def versions_of(peer: Peer) -> str | None:
    """Its version, and of a chain the others behind it: "0.1.5, swift-f0 0.3.0"; None where one is not installed."""
    found = [version_of(name) for name in peer.distributions]
    if None in found:
        return None
    return ", ".join([str(found[0]), *(f"{name} {v}" for name, v in zip(peer.also, found[1:], strict=True))])


def digest(*parts: str | bytes | None) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part if isinstance(part, bytes) else str(part).encode())
        whole.update(b"\0")
    return whole.hexdigest()[:20]


def slug(name: str) -> str:
    """A name as a file's: minus signs and plus signs are kept apart."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower().replace("+", "plus ").replace(" -", " minus ")).strip("-")
