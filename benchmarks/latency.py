"""Latency: the budget, what a hop costs at the true pace, and how fast a file is tracked.

``python -m rt_melody.benchmarks.latency --out benchmarks/results/latency.json``
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from rt_melody.benchmarks import compute
from rt_melody.benchmarks.report import write_result
from rt_melody.realtime.engine import Engine

STARTS = 5


def start_to_pitch_s() -> dict[str, float]:
    """Seconds from the start of a process to its first frame, and of torch's import in it; medians."""
    program = (
        "import time; a = time.perf_counter(); import torch; b = time.perf_counter(); import numpy as np;"
        "from rt_melody.realtime.engine import Engine; e = Engine(16000); e.warm_up();"
        "assert e.feed(np.zeros(16000, np.float32)); print(b - a)"
    )
    wholes, imports = [], []
    for _ in range(STARTS):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        wholes.append(time.perf_counter() - began)
        imports.append(float(done.stdout))
    return {"start_to_pitch_s": sorted(wholes)[STARTS // 2], "torch_import_s": sorted(imports)[STARTS // 2]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--rate", type=int, default=48000, help="of the input, Hz")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--model")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    engine = Engine(args.rate, args.latency_ms, args.model)
    engine.warm_up()
    print(engine.latency.table())
    work, control = compute.true_pace(engine, args.seconds)
    rows = {
        "budget_ms": {part.name: part.ms for part in engine.latency.parts},
        "feed_at_true_pace_ms": compute.summary(work),
        "control_overshoot_ms": compute.summary(control),
        "feed_in_tight_loop_ms": compute.summary(compute.tight_loop(engine, args.seconds)),
        "cpu_share_of_one_core": round(float(work.mean() / engine.hop_s), 4),
        "offline_times_real_time": round(compute.offline_speed(engine, args.seconds), 1),
        **{k: round(v, 2) for k, v in start_to_pitch_s().items()},
    }
    for name, value in rows.items():
        print(f"{name:28} {value}")
    if args.out:
        write_result(args.out, rows, f"input at {args.rate} Hz, bound {args.latency_ms:g} ms", engine.model.provenance)


if __name__ == "__main__":
    main()
