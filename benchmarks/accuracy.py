"""Accuracy of the streaming engine at its real latency, by mir_eval, on MIR-1K's held-out singers.

``python -m rt_melody.benchmarks.accuracy --data FOLDER --out benchmarks/results`` measures the voice alone and the
mixture as recorded at every bound, all other conditions (accompaniment at set ratios, General MIDI, noises,
levels; see conditions.py) at one, and how much of two minutes without a voice is told to be voiced. It writes
``accuracy.json``, ``accuracy.md`` and, where matplotlib is, the pictures. Without ``--out`` it prints the tables.

Each sound is a stream of its own from the engine's reset to its flush; nothing is read before its latency.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rt_melody.benchmarks.conditions import CONDITIONS, heard, load_noises, over_band_db, voiceless
from rt_melody.benchmarks.melody_scores import ERRORS, NAMES, Frames, MelodyScores, aligned
from rt_melody.benchmarks.report import can_draw, markdown, measure_into_folder, refuse_counts, write_result
from rt_melody.benchmarks.trackers import by_sound, melody_tracker
from rt_melody.models.training import gm
from rt_melody.models.training.data import (
    DISPUTED,
    SAMPLE_RATE,
    Clip,
    DataError,
    data_folder,
    load_mir1k,
    noise_files,
    read_mir1k_labels,
    refuse,
)
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.settings import DecoderSettings

EVERYWHERE = ("voice", "mixture")  # conditions that are measured at every bound
GM_PIECES, GM_SECONDS = 24, 20.0
ESTIMATE = ("time_s", "f0_hz", "voiced", "confidence")
TUNED = ("voicing_threshold", "leap", "begin", "end", "move_cents")  # of the decoder, as options

Plan = list[tuple[float, str]]  # (bound in ms, condition)
Labels = tuple[np.ndarray, np.ndarray]
Decoder = dict[str, float]  # its settings by name


def labels_hz(folder: Path, split: str, clip: Clip) -> Labels:
    """Times in s and f0 in Hz (0 = unvoiced) as published, 20 ms apart."""
    times, midi = read_mir1k_labels(folder / "mir-1k" / split / f"{clip.name}.pv")
    return times, np.where(midi > 0, 440.0 * 2.0 ** ((midi - 69.0) / 12.0), 0.0)


# ---- in each process ---------------------------------------------------------------------------

TRACKERS: dict[float, MelodyTracker] = {}  # by bound in ms: a process makes its trackers once
PIECES: list[np.ndarray] = []


def prepare(bounds_ms: Sequence[float], model: str | None, decoder: Decoder, pieces: list[np.ndarray]) -> None:
    TRACKERS.update({bound: melody_tracker(SAMPLE_RATE, model, latency_ms=bound, decoder=decoder) for bound in bounds_ms})
    PIECES[:] = pieces


def hear_clip(task: tuple[Clip, Labels, Plan]) -> list[Frames]:
    """One clip in every bound and condition of the plan."""
    clip, labels, plan = task
    rows = []
    for bound, condition in plan:
        told, _ = by_sound(TRACKERS[bound])(heard(clip, condition, PIECES))
        estimate = (np.array([getattr(f, name) for f in told]) for name in ESTIMATE)
        frames = aligned(*labels, *estimate)
        recorded = CONDITIONS[condition].beside == "recorded"
        rows.append(replace(frames, over_band_db=over_band_db(clip, frames.time_s)) if recorded else frames)
    return rows


def hear_voiceless(task: tuple[float, np.ndarray]) -> tuple[int, int]:
    """Voiced frames and all frames of one sound."""
    bound, sound = task
    voiced = [f.voiced for f in by_sound(TRACKERS[bound])(sound)[0]]
    return sum(voiced), len(voiced)


# ---- the whole ---------------------------------------------------------------------------------


def plan_of(bounds_ms: Sequence[float], conditions: Sequence[str], detail_ms: float) -> Plan:
    """Every bound for the conditions of EVERYWHERE; the other conditions at ``detail_ms``."""
    both = [(bound, name) for name in conditions for bound in bounds_ms]
    return [(bound, name) for bound, name in both if name in EVERYWHERE or bound == detail_ms]


def row_of(tracker: MelodyTracker, bound_ms: float, condition: str, found: list[tuple[Clip, Frames]]) -> dict:
    """All figures of a condition at a bound."""
    scores = MelodyScores(frames for _, frames in found)
    disputed = [clip.name for clip, _ in found if clip.name.startswith(DISPUTED)]
    undisputed = [frames for clip, frames in found if clip.name not in disputed]
    singers = {s: MelodyScores(f for clip, f in found if clip.singer == s) for s in sorted({c.singer for c, _ in found})}
    return {
        "bound_ms": bound_ms, "latency_ms": tracker.latency.total_ms, "condition": condition, "clips": len(found),
        "pooled": scores.pooled(), "clip_mean": scores.mean(), "errors": scores.errors(), "by_range": scores.by_range(),
        "disputed": disputed, "undisputed": MelodyScores(undisputed).pooled() if undisputed else None,
        "by_singer": {name: {**s.pooled(), **s.errors()} for name, s in singers.items()},
        "by_ratio": scores.by_ratio() if CONDITIONS[condition].beside == "recorded" else None,
        "reliability": scores.reliability(),
    }


def voiceless_rows(bound_ms: float, sounds: dict[str, list[np.ndarray]], run) -> list[dict]:
    rows = []
    for kind, several in sounds.items():
        counts = np.array(list(run(hear_voiceless, [(bound_ms, sound) for sound in several])))
        seconds = sum(map(len, several)) / SAMPLE_RATE
        voiced, frames = counts.sum(0)
        worst = (counts[:, 0] / counts[:, 1]).max()
        rows.append({
            "kind": kind, "bound_ms": bound_ms, "sounds": len(several), "seconds": round(seconds, 1),
            "voiced_percent": 100.0 * float(voiced / frames), "worst_sound_percent": 100.0 * float(worst),
        })
    return rows


def general_midi(folder: Path | None) -> list[np.ndarray]:
    """Pieces that no training hears, from ``folder`` or made now; none, with a word why, where they cannot be."""
    try:
        if folder is None:
            seeds = range(gm.EVALUATION_SEED, gm.EVALUATION_SEED + GM_PIECES)
            return [gm.render(seed, GM_SECONDS) for seed in tqdm(seeds, "General MIDI")]
        gm.write_pieces(folder, GM_PIECES, GM_SECONDS, gm.EVALUATION_SEED)
        return gm.load_gm(folder)
    except DataError as error:
        print(f"General MIDI accompaniment is left out: {error}")
        return []


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--split", default="test", choices=("train", "valid", "test"))
    parser.add_argument("--latency-ms", nargs="+", type=float, default=[20.0, 50.0, 100.0])
    parser.add_argument(
        "--detail-ms", type=float, help="bound at which all conditions are measured; default: 50, else the first of --latency-ms"
    )
    parser.add_argument(
        "--conditions", nargs="+", default=list(CONDITIONS), choices=list(CONDITIONS), metavar="CONDITION", help="; ".join(CONDITIONS)
    )
    parser.add_argument("--no-voiceless", action="store_true", help="leave out the sounds without a voice")
    parser.add_argument("--model", help="model file; default: the shipped one")
    parser.add_argument("--every", type=int, default=1, help="only every n-th clip")
    parser.add_argument("--jobs", type=int, default=1, help="processes that hear clips")
    parser.add_argument("--gm", type=Path, help="folder that keeps the General MIDI pieces; default: made anew each time")
    parser.add_argument("--out", type=Path, help="folder for accuracy.json, accuracy.md and the pictures")
    defaults = {name: field.default for name, field in DecoderSettings.model_fields.items()}
    for name in TUNED:
        parser.add_argument("--" + name.replace("_", "-"), type=float, default=defaults[name])
    args = parser.parse_args(arguments)
    if args.detail_ms is None:
        args.detail_ms = 50.0 if 50.0 in args.latency_ms else args.latency_ms[0]
    if args.detail_ms not in args.latency_ms:
        refuse(f"--detail-ms {args.detail_ms:g} must be one of --latency-ms {' '.join(f'{b:g}' for b in args.latency_ms)}")
    refuse_counts(args)
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    measure_into_folder(parse_arguments(arguments), measure, tables, write)


def measure(args: argparse.Namespace) -> dict:
    """Rows, voiceless rows and what they were made of. Raises DataError, RtMelodyError."""
    decoder = {name: getattr(args, name) for name in TUNED}
    trackers = {
        bound: melody_tracker(SAMPLE_RATE, args.model, latency_ms=bound, decoder=decoder) for bound in args.latency_ms
    }  # refused early
    folder = data_folder(args.data)
    clips = load_mir1k(folder, args.split)[:: args.every]
    pieces = general_midi(args.gm) if any(CONDITIONS[c].beside == "gm" for c in args.conditions) or not args.no_voiceless else []
    conditions = [c for c in args.conditions if pieces or CONDITIONS[c].beside != "gm"]
    plan = plan_of(args.latency_ms, conditions, args.detail_ms)
    tasks = [(clip, labels_hz(folder, args.split, clip), plan) for clip in clips]
    sounds = {} if args.no_voiceless else voiceless(clips, load_noises(noise_files(folder, "test")), pieces)
    start = (args.latency_ms, args.model, decoder, pieces)
    with ProcessPoolExecutor(args.jobs, get_context("spawn"), prepare, start) as pool:
        rows = collect(trackers, plan, clips, tqdm(pool.map(hear_clip, tasks), "clips", len(tasks)))
        quiet = voiceless_rows(args.detail_ms, sounds, pool.map)
    about = f"MIR-1K {args.split}, {len(clips)} clips, every {args.every}" if args.every > 1 else f"MIR-1K {args.split}, {len(clips)} clips"
    return {
        "rows": rows,
        "voiceless": quiet,
        "about": about,
        "model": trackers[args.detail_ms].engine.model.provenance,
        "detail_ms": args.detail_ms,
    }


def collect(trackers: dict[float, MelodyTracker], plan: Plan, clips: list[Clip], found: Iterable[list[Frames]]) -> list[dict]:
    each = [[] for _ in plan]
    for clip, several in zip(clips, found):
        for place, frames in zip(each, several):
            place.append((clip, frames))
    return [row_of(trackers[bound], bound, condition, place) for (bound, condition), place in zip(plan, each)]


def write(folder: Path, result: dict) -> None:
    """accuracy.json, accuracy.md, and the pictures where matplotlib is."""
    write_result(folder / "accuracy.json", result["rows"], result["about"], result["model"],
                 voiceless=result["voiceless"], detail_ms=result["detail_ms"])
    (folder / "accuracy.md").write_text(tables(result) + "\n", encoding="utf-8")
    if can_draw():
        from rt_melody.benchmarks import plots

        plots.draw(result["rows"], result["detail_ms"], folder)


# ---- tables ------------------------------------------------------------------------------------


def tables(result: dict) -> str:
    """Markdown: conditions, singers, ranges, sounds without a voice, confidence."""
    rows, at = result["rows"], result["detail_ms"]
    detailed = [r for r in rows if r["condition"] in EVERYWHERE and r["bound_ms"] == at]
    parts = [f"# Accuracy\n\n{result['about']}; percent of frames, pooled; streaming engine.", table(rows)]
    if any(r["disputed"] and r["undisputed"] for r in rows):
        parts += [undisputed_table([r for r in rows if r["condition"] in EVERYWHERE and r["undisputed"]])]
    if result["voiceless"]:
        parts += [f"## Without a voice, {at:g} ms", voiceless_table(result["voiceless"])]
    for row in detailed:
        parts += [f"## {row['condition'].capitalize()}, {at:g} ms, by singer", parts_table("singer", row["by_singer"], (*NAMES, *ERRORS))]
        parts += [
            f"## {row['condition'].capitalize()}, {at:g} ms, by true f0",
            parts_table("f0", row["by_range"], ("frames", "RPA", "RCA", "VR")),
        ]
        if row["by_ratio"]:
            parts += [
                f"## {row['condition'].capitalize()}, {at:g} ms, by how loud the voice is over the band at the moment",
                "Percent of all frames.",
                parts_table("voice over band", row["by_ratio"], ("frames", "voicing wrong", "pitch wrong")),
            ]
        parts += [f"## {row['condition'].capitalize()}, {at:g} ms, confidence", reliability_table(row["reliability"])]
    return "\n\n".join(parts)


def table(rows: list[dict]) -> str:
    """One row a condition and bound: pooled figures and what the errors are made of."""
    lines = []
    for row in rows:
        both = {**row["pooled"], **row["errors"]}
        lines.append([row["condition"], f"{row['bound_ms']:g}", *(both[name] for name in (*NAMES, *ERRORS))])
    return markdown(["condition", "bound ms", *NAMES, *ERRORS], lines)


def undisputed_table(rows: list[dict]) -> str:
    """The same without the clips whose labels dispute the octave of the sound, which are named."""
    names = ", ".join(dict.fromkeys(name for r in rows for name in r["disputed"]))
    lines = [[r["condition"], f"{r['bound_ms']:g}", *(r["undisputed"][name] for name in NAMES)] for r in rows]
    return f"## Without the clips whose labels dispute the octave\n\n{names}\n\n" + markdown(["condition", "bound ms", *NAMES], lines)


def parts_table(what: str, parts: dict[str, dict], names: Sequence[str]) -> str:
    return markdown([what, *names], [[key, *(part[name] for name in names)] for key, part in parts.items()])


def voiceless_table(rows: list[dict]) -> str:
    lines = [[r["kind"], r["sounds"], r["seconds"], r["voiced_percent"], r["worst_sound_percent"]] for r in rows]
    return markdown(["what sounds", "sounds", "seconds", "voiced %", "voiced % of the worst sound"], lines)


def reliability_table(tenths: list[dict]) -> str:
    lines = [[t["frames"], 100.0 * t["told"], 100.0 * t["right"]] for t in tenths]
    return markdown(["frames", "told %", "right %"], lines)


if __name__ == "__main__":
    main()
