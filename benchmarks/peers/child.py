"""One tool in a process of its own: it hears sets of sounds, or its cost is measured.

A tool's libraries, threads and crashes then stay with it. The job comes as JSON on standard input, JSON lines go out
on what was standard output, where nothing else is printed: {"heard": seconds} for the progress, {"done": set},
{"cost": figures}, {"unfit": reason}.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from rt_melody.benchmarks.peers.base import SAMPLE_RATE, Heard, Peer, hear
from rt_melody.benchmarks.peers.table import all_peers

FRAME = ("time_s", "available_s", "f0_hz", "voiced")
NOTE_COLUMNS = 7  # of benchmarks.note_scores.PlayedNote


def save_sounds(path: Path, sounds: list[np.ndarray]) -> None:
    np.savez(path, samples=np.concatenate(sounds), counts=[len(s) for s in sounds])


def load_sounds(path: Path) -> list[np.ndarray]:
    with np.load(path) as stored:
        return np.split(stored["samples"], np.cumsum(stored["counts"])[:-1])


def save_heard(path: Path, key: str, heard: list[Heard]) -> None:
    """What a tool said of a set, under a key that tells what it was made from. Whole or not at all."""
    from rt_melody.benchmarks.note_scores import played_notes

    played = [[astuple(n) for n in played_notes(h.events)] for h in heard]
    columns: dict[str, Any] = {name: np.array([getattr(f, name) for h in heard for f in h.frames]) for name in FRAME}
    notes = np.array([n for p in played for n in p]).reshape(-1, NOTE_COLUMNS)
    whole = path.with_suffix(".part.npz")
    np.savez_compressed(
        whole, key=key, counts=[len(h.frames) for h in heard], notes=notes, note_counts=[len(p) for p in played], **columns
    )
    whole.replace(path)


def hear_sets(peer: Peer, job: dict, say) -> None:
    for wanted in job["sets"]:
        heard = []
        for samples in load_sounds(Path(wanted["sounds"])):
            heard.append(hear(peer, samples))
            say({"heard": len(samples) / SAMPLE_RATE})
        save_heard(Path(wanted["out"]), wanted["key"], heard)
        say({"done": wanted["name"]})


def work(job: dict, say) -> None:
    peer = all_peers(job["bounds_ms"], job["model"])[job["peer"]]
    if job["what"] == "cost":
        from rt_melody.benchmarks.peers.cost import measure

        say({"cost": measure(peer, np.load(job["sound"]), job["seconds"])})
    else:
        peer.open()
        hear_sets(peer, job, say)


def main() -> None:
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # what the tool prints is no word of ours

        def say(word: dict) -> None:
            print(json.dumps(word), file=out, flush=True)

        try:
            work(json.load(sys.stdin), say)
        except Exception as error:  # whatever a tool may raise: it is left out, and the reason told
            say({"unfit": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})
            raise SystemExit(3) from error


if __name__ == "__main__":
    main()
