"""Accuracy of the streaming engine at its real latency, by mir_eval, on MIR-1K's held-out singers.

``python -m rt_melody.benchmarks.accuracy --data FOLDER --latency-ms 20 50 100 --conditions voice mixture``
prints a table and, with ``--out FILE``, writes JSON with the command, the model and the machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rt_melody.benchmarks.conditions import CONDITIONS, heard
from rt_melody.benchmarks.melody_scores import ERRORS, NAMES, MelodyScores
from rt_melody.benchmarks.report import write_result
from rt_melody.models.training.data import SAMPLE_RATE, Clip, data_folder, load_mir1k, read_mir1k_labels
from rt_melody.realtime.engine import DecoderSettings, Engine

ESTIMATE = ("time_s", "f0_hz", "voiced", "confidence")


def labels_hz(folder: Path, split: str, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    """Times in s and f0 in Hz (0 = unvoiced) as published, 20 ms apart."""
    times, midi = read_mir1k_labels(folder / "mir-1k" / split / f"{clip.name}.pv")
    return times, np.where(midi > 0, 440.0 * 2.0 ** ((midi - 69.0) / 12.0), 0.0)


def measure(engine: Engine, clips: list[Clip], labels: list, condition: str, progress: str) -> dict[str, MelodyScores]:
    """Scores of all clips under "all" and of each singer under the singer's name."""
    scores = {"all": MelodyScores()}
    for clip, (times, hz) in zip(tqdm(clips, progress), labels):
        frames = engine.feed(heard(clip, condition)) + engine.flush()
        estimate = tuple(np.array([getattr(f, name) for f in frames]) for name in ESTIMATE)
        for key in ("all", clip.singer):
            scores.setdefault(key, MelodyScores()).add(times, hz, *estimate)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--split", default="test", choices=("train", "valid", "test"))
    parser.add_argument("--latency-ms", nargs="+", type=float, default=[50.0])
    parser.add_argument("--conditions", nargs="+", default=["voice", "mixture"], choices=sorted(CONDITIONS))
    parser.add_argument("--model", help="model file; default: the shipped one")
    parser.add_argument("--every", type=int, default=1, help="only every n-th clip")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    for name in ("voicing_threshold", "leap", "begin", "end", "move_cents"):
        parser.add_argument("--" + name.replace("_", "-"), type=float, default=getattr(DecoderSettings, name))
    args = parser.parse_args()
    folder = data_folder(args.data)
    clips = load_mir1k(folder, args.split)[:: args.every]
    labels = [labels_hz(folder, args.split, clip) for clip in clips]
    decoder = DecoderSettings(
        voicing_threshold=args.voicing_threshold, leap=args.leap, begin=args.begin, end=args.end,
        move_cents=args.move_cents,
    )
    rows = []
    for bound_ms in args.latency_ms:
        engine = Engine(SAMPLE_RATE, bound_ms, args.model, decoder)
        for condition in args.conditions:
            scores = measure(engine, clips, labels, condition, f"{condition}, {bound_ms:g} ms")
            rows.append({
                "bound_ms": bound_ms, "latency_ms": engine.latency.total_ms, "condition": condition,
                "pooled": scores["all"].pooled(), "clip_mean": scores["all"].mean(),
                "errors": scores["all"].errors(), "by_octave": scores["all"].by_octave(),
                "by_singer": {k: v.pooled() for k, v in scores.items() if k != "all"},
                "reliability": scores["all"].reliability(),
            })
    print(table(rows))
    if args.out:
        write_result(args.out, rows, f"{args.split}, {len(clips)} clips", engine.model.provenance)


def table(rows: list[dict]) -> str:
    """Markdown, one row a condition and bound: pooled figures and what the errors are made of, in percent."""
    names = (*NAMES, *ERRORS)
    lines = ["| condition | bound ms | " + " | ".join(names) + " |", "|---" * (2 + len(names)) + "|"]
    for row in rows:
        both = {**row["pooled"], **row["errors"]}
        figures = " | ".join(f"{both[name]:.1f}" for name in names)
        lines.append(f"| {row['condition']} | {row['bound_ms']:g} | {figures} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
