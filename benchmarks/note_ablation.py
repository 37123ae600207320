"""What each rule of the note tracker is worth: the figures with all rules, and how they change with one switched off.

``python -m rt_melody.benchmarks.note_ablation --data FOLDER --latency-ms 50 --cache FOLDER --out FILE``

Only on parts that thresholds may be chosen on (see note_parts). The engine runs once over each sound; what follows is
the tracker alone, on the same frames.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from tqdm import tqdm

from rt_melody.benchmarks.frame_cache import Frames, engine_frames
from rt_melody.benchmarks.note_parts import PARTS, Clip, Heard, bias_semitones, score_notes
from rt_melody.benchmarks.note_scores import played_notes
from rt_melody.benchmarks.report import measure_and_write
from rt_melody.benchmarks.signals import SAMPLE_RATE
from rt_melody.benchmarks.trackers import trusted
from rt_melody.models.training.data import data_folder
from rt_melody.realtime.engine import Engine
from rt_melody.realtime.notes import NoteSettings, NoteTracker
from rt_melody.realtime.playing.performance import Performer
from rt_melody.realtime.types import PitchFrame

SUNG = {"takes": "ssvd-tuning", "clean": "clean-tuning", "band": "band-tuning"}
KINDS = ("note", "note_offset", "live")
NOBODY = "music-tuning"
EXERCISES = ("repeats", "vibrato")
ALL_RULES = "all rules"


def rules() -> list[str]:
    """The thresholds that None switches off."""
    return [name for name, field in NoteSettings.model_fields.items() if type(None) in get_args(field.annotation)]


@dataclass(frozen=True)
class Recorded:
    """A clip, the frames that the engine made of it, and its bias in semitones."""

    clip: Clip
    frames: Sequence[PitchFrame]
    bias: float


def recorded(name: str, frames: Frames, folder: Path | None, every: int = 1) -> list[Recorded]:
    """Every ``every``-th clip of a part with its frames."""
    part, clips = PARTS[name], []
    for make in tqdm(part.clips(folder)[::every], name):
        clip = make()
        heard = frames(clip.samples)
        clips.append(Recorded(clip, heard, bias_semitones(heard, clip.notes) if part.biased else 0.0))
    return clips


def notes_with(settings: NoteSettings, clips: Iterable[Recorded], hop_s: float) -> list[Heard]:
    """What is played to the clips with these settings."""
    heard = []
    for r in clips:
        tracker = Performer(NoteTracker(settings, hop_s))
        events = [event for frame in r.frames for event in tracker.feed(frame)]
        events += tracker.finish(r.frames[-1].available_s if r.frames else 0.0)
        heard.append(Heard(r.clip, played_notes(events), r.bias))
    return heard


def figures(settings: NoteSettings, parts: Mapping[str, Sequence[Recorded]], hop_s: float) -> dict[str, float]:
    """F of each kind over each part that is sung; the exercises; notes a minute where nobody sings."""
    row: dict[str, float] = {}
    for label, name in SUNG.items():
        scores = score_notes(notes_with(settings, parts[name], hop_s))
        row |= {f"{label} {kind}": scores[kind]["F"] for kind in KINDS}
        row[f"{label} delay ms"] = scores["delay_ms"].get("median", float("nan"))
        row[f"{label} octave leaps/min"] = scores["octave_leaps_a_minute"] or 0.0
    struck = PARTS["repeats"].score(notes_with(settings, parts["repeats"], hop_s))
    row["repeats recall"] = float(np.mean([group["recall"] for group in struck.values()]))
    row["vibrato extra"] = PARTS["vibrato"].score(notes_with(settings, parts["vibrato"], hop_s))["extra_notes"]
    idle = PARTS[NOBODY].score(notes_with(settings, parts[NOBODY], hop_s))
    return row | {f"{group} alone/min": scores["notes_a_minute"] for group, scores in idle.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--latency-ms", nargs="+", type=float, default=[50.0])
    parser.add_argument("--every", type=int, default=1, help="only every n-th clip")
    parser.add_argument("--model", help="model file; default: the shipped one")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep the engine's frames there, for the next time")
    parser.add_argument("--out", type=Path, help="write the results as JSON, and the table beside them as .md")
    args = parser.parse_args()
    about = f"every {args.every} of the tuning parts; one rule switched off at a time"
    measure_and_write(parser, args, lambda: measure(args, data_folder(args.data)), table, about)


def measure(args: argparse.Namespace, folder: Path) -> tuple[list[dict], dict]:
    """A row for each bound with all rules and with each one off, and where the model came from."""
    model, rows = args.model, []
    for bound_ms in args.latency_ms:
        engine = Engine(SAMPLE_RATE, bound_ms, trusted(model))
        model = engine.model
        frames = engine_frames(engine, args.cache)
        parts = {name: recorded(name, frames, folder, args.every) for name in (*SUNG.values(), *EXERCISES, NOBODY)}
        for rule in tqdm([ALL_RULES, *rules()], f"{bound_ms:g} ms"):
            off: dict[str, Any] = {} if rule == ALL_RULES else {rule: None}
            rows.append({"bound_ms": bound_ms, "off": rule, **figures(NoteSettings(**off), parts, engine.hop_s)})
    return rows, model.provenance


def table(rows: Sequence[dict]) -> str:
    """Markdown: the figures with all rules, then the change of each with one rule off."""
    names = [name for name in rows[0] if name not in ("bound_ms", "off")]
    lines = ["| " + " | ".join(("bound ms", "off", *names)) + " |", "|---" * (len(names) + 2) + "|"]
    for row in rows:
        whole = row if row["off"] == ALL_RULES else next(r for r in rows if r["off"] == ALL_RULES and r["bound_ms"] == row["bound_ms"])
        cells = [f"{row[n]:.3f}" if row is whole else _change(row[n] - whole[n]) for n in names]
        lines.append("| " + " | ".join((f"{row['bound_ms']:g}", row["off"], *cells)) + " |")
    return "\n".join(lines)


def _change(by: float) -> str:
    return "" if abs(by) < 0.0005 else f"{by:+.3f}"


if __name__ == "__main__":
    main()
