"""Notes: how many are found, on time, at the right pitch, once each, and how many where nobody sings.

``python -m rt_melody.benchmarks.notes --data FOLDER --latency-ms 20 50 --out FILE``

What is heard stands in note_parts, how it is scored in note_scores.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rt_melody.benchmarks.frame_cache import Frames, engine_frames
from rt_melody.benchmarks.note_hmm import hmm_tracker
from rt_melody.benchmarks.note_parts import PARTS, listen
from rt_melody.benchmarks.note_scores import NoteScores
from rt_melody.benchmarks.report import measure_and_write
from rt_melody.benchmarks.signals import SAMPLE_RATE
from rt_melody.benchmarks.trackers import Tracked, Tracker, trusted
from rt_melody.models.training.data import data_folder
from rt_melody.realtime.engine import Engine
from rt_melody.realtime.errors import SettingsError
from rt_melody.realtime.notes import NoteSettings, NoteTracker
from rt_melody.realtime.playing.performance import Performer


def note_tracker(frames: Frames, hop_s: float, settings: NoteSettings | None = None) -> Tracker:
    """The note tracker on frames of whatever engine, a fresh stream for each sound."""

    def track(samples: np.ndarray) -> Tracked:
        heard = frames(samples)
        notes = Performer(NoteTracker(settings, hop_s))
        events = [event for frame in heard for event in notes.feed(frame)]
        return heard, events + notes.finish(heard[-1].available_s if heard else 0.0)

    return track


def note_settings(words: Sequence[str]) -> NoteSettings:
    """Settings from NAME=VALUE words. Raises SettingsError for a name or value that cannot be used."""
    for word in words:
        if "=" not in word:
            raise SettingsError(f"--set {word} has no value; give NAME=VALUE, for instance on_ms=30")
    try:
        named: dict[str, Any] = dict(word.split("=", 1) for word in words)
        return NoteSettings(**named)
    except SettingsError as error:
        raise SettingsError(f"--set: {error}") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--latency-ms", nargs="+", type=float, default=[50.0])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--every", type=int, default=1, help="only every n-th item")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="thresholds of the note tracker")
    parser.add_argument("--hmm", action="store_true", help="hear with the hidden Markov model of pYIN's notes instead (note_hmm)")
    parser.add_argument("--model", help="model file; default: the shipped one")
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="keep the engine's frames there, and read them from there the next time"
    )
    parser.add_argument("--out", type=Path, help="write the results as JSON, and the table beside them as .md")
    args = parser.parse_args()
    def measured() -> tuple[list[dict], dict]:
        needs_data = any(PARTS[name].needs_data for name in args.parts)
        return measure(args, data_folder(args.data) if needs_data else None)

    measure_and_write(parser, args, measured, table, f"every {args.every}, settings {args.set or 'default'}")


def measure(args: argparse.Namespace, folder: Path | None) -> tuple[list[dict], dict]:
    """A row for each bound and part, and where the model came from."""
    settings, model, rows = note_settings(args.set), args.model, []
    for bound_ms in args.latency_ms:
        engine = Engine(SAMPLE_RATE, bound_ms, trusted(model))
        model = engine.model
        frames = engine_frames(engine, args.cache)
        tracker = hmm_tracker(frames, engine.hop_s) if args.hmm else note_tracker(frames, engine.hop_s, settings)
        for name in args.parts:
            heard = list(listen(PARTS[name], tracker, folder, args.every, f"{name}, {bound_ms:g} ms"))
            rows.append({"bound_ms": bound_ms, "latency_ms": engine.latency.total_ms, "set": name, **PARTS[name].score(heard)})
    return rows, model.provenance


def table(rows: Sequence[dict]) -> str:
    """Markdown: the scores, then one line for each exercise."""
    columns = (
        "notes",
        "bound ms",
        "true",
        "played",
        *(f"F {kind}" for kind in NoteScores.KINDS),
        "delay ms median",
        "p90",
        "octave leaps/min",
        "Praat apart",
    )
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += [_score_line(row) for row in rows if "note" in row]
    lines += ["", "| exercise | bound ms | figures |", "|---|---|---|"]
    for row in rows:
        if "note" not in row:
            lines += _exercise_lines(row)
    return "\n".join(lines)


def _score_line(row: dict) -> str:
    scores = [f"{row[kind]['F']:.3f}" for kind in NoteScores.KINDS]
    delays = [f"{row['delay_ms'][mark]:.0f}" if mark in row["delay_ms"] else "-" for mark in ("median", "p90")]
    cells = [
        row["set"],
        f"{row['bound_ms']:g}",
        row["true_notes"],
        row["played_notes"],
        *scores,
        *delays,
        row["octave_leaps_a_minute"],
        _or_dash(row.get("octave_leaps_alone_a_minute")),
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _or_dash(value: float | None) -> str:
    return "-" if value is None else str(value)


def _exercise_lines(row: dict) -> list[str]:
    """One line, or one for each group inside."""
    own = {k: v for k, v in row.items() if k not in ("bound_ms", "latency_ms", "set")}
    groups = own if all(isinstance(v, dict) or v is None for v in own.values()) else {"": own}
    return [
        f"| {row['set']} {name} | {row['bound_ms']:g} | " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in group.items()) + " |"
        for name, group in groups.items() if group
    ]


if __name__ == "__main__":
    main()
