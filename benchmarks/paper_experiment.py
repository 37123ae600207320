"""The paper's experiment on MIR-1K's split by singer: every network trained alike, all heard on the same clips.

``python -m rt_melody.benchmarks.paper_experiment --data FOLDER --steps 600 --jobs 2 --out benchmarks/results`` trains
what is not trained yet, in ``--runs``, and writes ``paper.json`` and ``paper.md``. It may be stopped at any moment
(Ctrl-C, SIGTERM, or ``--minutes``); the same command goes on from there, and rows say how many steps they had.

Rows: the reconstructed two-stage model with and without pre-training of its first stage, Multi-CNN (its ablation),
the rebuilt MCDNN and Hybrid (see their modules for what is known of each and what was inferred), and, where their
files lie in the folder of the results, Melodia (``melodia.json``, made by rt_melody.benchmarks.peers) and the live
engine (``accuracy.json``). Voicing thresholds are chosen on validation singers; Melodia's is its own default. Beside
them the figures that were reported on the authors' own split (Chen, Li, Chi 2019), which are not on these clips.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import numpy as np
import torch
from tqdm import tqdm

from rt_melody.benchmarks.accuracy import labels_hz
from rt_melody.benchmarks.melody_scores import ERRORS, MelodyScores
from rt_melody.benchmarks.report import markdown, write_result
from rt_melody.models.training.data import Clip, DataError, data_folder, load_mir1k, refuse
from rt_melody.models.training.evaluate import KINDS, load_tracker
from rt_melody.models.training.train import load_checkpoint, spread

STAGE1 = "paper-stage1"


@dataclass(frozen=True)
class Row:
    """A network of the table: its configuration, and whether its first stage is pre-trained."""

    title: str
    model: str
    pretrained: bool = False


ROWS = {
    "two-stage": Row("Two-stage, pre-trained", "paper", True),
    "no-pretraining": Row("Two-stage, no pre-training", "paper"),
    "multi-cnn": Row("Multi-CNN", "paper-multicnn", True),
    "mcdnn": Row("MCDNN, rebuilt", "mcdnn"),
    "hybrid": Row("Hybrid, rebuilt", "hybrid"),
}
# Reported on MIR-1K, percent: VR, VFA, RPA, RCA, OA (Chen, Li, Chi 2019, tables).
REPORTED = {
    "Two-stage": (88.25, 17.20, 79.32, 81.58, 80.33),
    "Two-stage, no pre-training (ablation)": (88.55, 18.05, 78.95, 81.59, 79.83),
    "Multi-CNN (ablation)": (88.89, 20.33, 77.79, 81.05, 78.34),
    "Hybrid": (80.97, 14.74, 70.30, 73.88, 74.67),
    "MCDNN": (77.49, 11.29, 69.74, 72.46, 75.28),
    "Melodia": (84.78, 30.04, 69.87, 72.37, 69.89),
}
ORDER = ("VR", "VFA", "RPA", "RCA", "OA")

Track = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]  # samples -> time_s, f0_hz, voiced


# ---- training ----------------------------------------------------------------------------------


class Trainings:
    """Training processes side by side, one thread each; all asked to save and leave when time is up."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.pool = ThreadPoolExecutor(args.jobs)
        self.running: set[subprocess.Popen] = set()
        self.lock, self.stopping = threading.Lock(), False

    def run(self) -> None:
        """Everything that is missing. Raises DataError where a training fails."""
        clock = threading.Timer(60.0 * self.args.minutes, self.stop) if self.args.minutes else None
        if clock:
            clock.start()
        try:
            for done in self._submit():
                done.result()
        except KeyboardInterrupt:
            self.stop()
            raise
        finally:
            self.pool.shutdown(cancel_futures=self.stopping)
            if clock:
                clock.cancel()

    def stop(self) -> None:
        with self.lock:
            self.stopping = True
            for process in self.running:
                process.send_signal(signal.SIGTERM)

    def _submit(self) -> list[Future]:
        """First stages first, then what needs none, then what does: nothing waits for a later one."""
        chosen = [ROWS[name] for name in self.args.rows]
        first = {
            s: self.pool.submit(self._train, self._folder(s, STAGE1), STAGE1, s)
            for s in self.args.seeds
            if any(r.pretrained for r in chosen)
        }
        rows = sorted(((row, seed) for row in chosen for seed in self.args.seeds), key=lambda pair: pair[0].pretrained)
        later = [
            self.pool.submit(
                self._train, row_folder(self.args.runs, seed, row), row.model, seed, first.get(seed) if row.pretrained else None
            )
            for row, seed in rows
        ]
        return [*first.values(), *later]

    def _folder(self, seed: int, name: str) -> Path:
        return self.args.runs / f"seed{seed}" / name

    def _train(self, out: Path, model: str, seed: int, after: Future | None = None) -> None:
        steps = self.args.stage1_steps if model == STAGE1 else self.args.steps
        if after:
            after.result()
        if self.stopping or steps_done(out) >= steps:
            return
        command = train_command(out, model, seed, steps, self.args.data)
        if after:
            command += ["--stage1-from", str(self._folder(seed, STAGE1) / "last.pt")]
        out.mkdir(parents=True, exist_ok=True)
        with open(out / "printed.txt", "a", encoding="utf-8") as printed:
            process = subprocess.Popen(command, stdout=printed, stderr=printed, env={**os.environ, "OMP_NUM_THREADS": "1"})
        with self.lock:
            self.running.add(process)
            if self.stopping:
                process.send_signal(signal.SIGTERM)
        print(f"training {out} to step {steps}", flush=True)
        status = process.wait()
        with self.lock:
            self.running.discard(process)
        if status and not self.stopping:
            raise DataError(f"the training of {out} ended with status {status}; see {out / 'printed.txt'}")


def row_folder(runs: Path, seed: int, row: Row) -> Path:
    name = next(key for key, value in ROWS.items() if value is row)
    return runs / f"seed{seed}" / name


def train_command(out: Path, model: str, seed: int, steps: int, data: str | None) -> list[str]:
    """What anybody would type. One seed for data and weights; the learning rate falls over the last third."""
    command = [sys.executable, "-m", "rt_melody.models.training.train", "--config", "paper", "--out", str(out)]
    changes = {
        "model": model,
        "seed": seed,
        "steps": steps,
        "decay_steps": max(1, steps // 3),
        "validate_every": steps,
        "warmup_steps": min(100, max(1, steps // 6)),
    }
    command += ["--set", *(f"{key}={value}" for key, value in changes.items())]
    return command + (["--data", data] if data else [])


def steps_done(out: Path) -> int:
    """The step of a run's checkpoint, 0 where there is none."""
    path = out / "last.pt"
    return load_checkpoint(path)["step"] if path.exists() else 0


# ---- hearing -----------------------------------------------------------------------------------


def score(title: str, track: Track, clips: Sequence[Clip], folder: Path, **facts: object) -> list[dict]:
    """A row for each kind of sound, over all frames of the clips at the published labels' times."""
    rows = []
    for kind in KINDS:
        scores = MelodyScores()
        for clip in tqdm(clips, f"{title}, {kind}", mininterval=10):
            scores.add(*labels_hz(folder, "test", clip), *track(clip.voice if kind == "voice" else clip.mixture))
        rows.append(
            {
                "system": title,
                "kind": kind,
                "clips": len(clips),
                "pooled": scores.pooled(),
                "clip_mean": scores.mean(),
                "errors": scores.errors(),
                **facts,
            }
        )
    return rows


def networks(args: argparse.Namespace, folder: Path, clips: list[Clip]) -> list[dict]:
    """Rows of every checkpoint that is there; thresholds for the mixture's OA on validation singers."""
    labelled = load_mir1k(folder, "train", keep_disputed=False)
    checked = spread(load_mir1k(folder, "valid"), args.valid_clips)
    rows = []
    for name in args.rows:
        for seed in args.seeds:
            path = row_folder(args.runs, seed, ROWS[name]) / "last.pt"
            if not path.exists():
                print(f"{ROWS[name].title}, seed {seed}: not trained yet, left out")
                continue
            tracker = load_tracker(path, labelled)
            (threshold,) = tracker.thresholds(checked, ["mixture"])
            facts = {
                "seed": seed,
                "steps": tracker.step,
                "threshold": round(threshold, 2),
                "parameters": sum(p.numel() for p in tracker.net.parameters()),
            }
            rows += score(ROWS[name].title, partial(tracker.track, threshold=threshold), clips, folder, **facts)
    return rows


def others(results: Path | None) -> list[dict]:
    """Rows of systems that were measured by other commands on all of the same clips: the live engine
    (``accuracy.json``) and Melodia (``melodia.json``), where these files lie in the folder of the results."""
    keep = ("pooled", "clip_mean", "errors", "clips")
    rows = [(f"live, {r['bound_ms']:g} ms", r) for r in stored_rows(results, "accuracy.json")]
    rows += [(r["peer"], r) for r in stored_rows(results, "melodia.json") if r.get("latency_ms") is None]
    return [{"system": name, "kind": r["condition"], **{k: r[k] for k in keep if k in r}} for name, r in rows if r["condition"] in KINDS]


def stored_rows(folder: Path | None, name: str) -> list[dict]:
    """Accuracy rows of a result file; none, and a word, where it is not there or was made of fewer clips."""
    path = folder / name if folder else None
    if not path or not path.exists():
        print(f"{name} is not among the results: its rows are left out (see {'the README there' if folder else '--out'})")
        return []
    stored = json.loads(path.read_text(encoding="utf-8"))
    if "every 1." not in stored["about"] and "every" in stored["about"]:
        print(f"{name} was made of fewer clips ({stored['about']}): its rows are left out")
        return []
    return stored["rows"] if isinstance(stored["rows"], list) else stored["rows"]["accuracy"]


# ---- the table ---------------------------------------------------------------------------------


def tables(rows: list[dict], about: str) -> str:
    parts = ["# The paper's experiment", about]
    for kind in KINDS:
        parts += [f"## {kind.capitalize()}", table([r for r in rows if r["kind"] == kind])]
    reported = markdown(["system", *ORDER], [[name, *(f"{x:.2f}" for x in values)] for name, values in REPORTED.items()])
    parts += ["## Reported on the authors' own split of MIR-1K, other clips", reported]
    return "\n\n".join(parts)


def table(rows: list[dict]) -> str:
    """One line a system, its seeds averaged; pooled figures, the mean of clips' OA, and the errors."""
    lines = []
    for system in dict.fromkeys(r["system"] for r in rows):
        same = [r for r in rows if r["system"] == system]
        facts = [system, len(same), same[0].get("steps", ""), same[0].get("parameters", "")]
        figures = [*(("pooled", n) for n in ORDER), ("clip_mean", "OA"), *(("errors", n) for n in ERRORS)]
        lines.append([*facts, *(mean_of(same, part, name) for part, name in figures)])
    return markdown(["system", "runs", "steps", "parameters", *ORDER, "OA, mean of clips", *ERRORS], lines)


def mean_of(rows: list[dict], part: str, name: str) -> float | None:
    """Over rows; None where they do not tell it."""
    values = [row[part][name] for row in rows if name in row.get(part, {})]
    return float(np.mean(values)) if values else None


# ---- the command -------------------------------------------------------------------------------


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train and compare the paper's systems; goes on where it was stopped.")
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--runs", type=Path, default=Path("runs/paper"), help="folder of the trainings")
    parser.add_argument("--out", type=Path, help="folder for paper.json and paper.md")
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS), metavar="ROW", help="; ".join(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--steps", type=int, default=600, help="of each network")
    parser.add_argument("--stage1-steps", type=int, help="of the pre-training; default: as many")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side, one thread each")
    parser.add_argument("--minutes", type=float, help="stop training after so long, save, and compare what there is")
    parser.add_argument("--every", type=int, default=1, help="only every n-th test clip")
    parser.add_argument("--valid-clips", type=int, default=60, help="about so many, for the voicing thresholds")
    parser.add_argument("--no-training", action="store_true", help="compare what is trained")
    args = parser.parse_args(arguments)
    args.stage1_steps = args.stage1_steps or args.steps
    least = min(args.steps, args.stage1_steps, args.jobs, args.every, args.valid_clips)
    if least < 1 or (args.minutes is not None and args.minutes <= 0):
        refuse(
            f"steps {args.steps}, jobs {args.jobs}, every {args.every}, "
            f"valid clips {args.valid_clips}, minutes {args.minutes}: all are above 0"
        )
    if args.out and not args.out.is_dir():
        refuse(f"there is no folder {args.out}; make it first")
    return args


def _interrupt(number: int, frame: FrameType | None) -> None:
    """As Ctrl-C, and says which signal it was."""
    raise KeyboardInterrupt(number)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_arguments(arguments)
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, _interrupt)  # what was started must not outlive it
    began = time.monotonic()
    try:
        folder = data_folder(args.data)
        if not args.no_training:
            Trainings(args).run()
            print(f"trained for {(time.monotonic() - began) / 60:.1f} minutes")
        clips = load_mir1k(folder, "test")[:: args.every]
        rows = networks(args, folder, clips)
    except DataError as error:
        refuse(str(error))
    except KeyboardInterrupt as stop:
        print("stopped; what was trained is saved, and the same command goes on from there")
        number = stop.args[0] if stop.args else signal.SIGINT
        raise SystemExit(128 + number) from None
    rows += others(args.out) if args.every == 1 else []
    about = f"MIR-1K test singers, {len(clips)} clips, percent, pooled over all frames; thresholds from validation singers."
    print(tables(rows, about))
    if args.out:
        write_result(args.out / "paper.json", rows, about, reported={n: dict(zip(ORDER, v)) for n, v in REPORTED.items()})
        (args.out / "paper.md").write_text(tables(rows, about) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
