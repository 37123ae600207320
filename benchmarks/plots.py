"""Pictures of the results: accuracy over latency, and confidence against what was right.

``python -m rt_melody.benchmarks.plots benchmarks/results/accuracy.json --out benchmarks/results`` (extra ``[plot]``).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

SIZE_INCHES = (6.0, 3.6)
DPI = 120


def conditions(rows: list[dict]) -> list[str]:
    return list(dict.fromkeys(row["condition"] for row in rows))


def accuracy_over_latency(rows: list[dict], path: Path) -> None:
    """One line a condition: pooled OA over the bound in ms."""
    figure, axes = plt.subplots(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    for condition in conditions(rows):
        points = sorted((r["bound_ms"], r["pooled"]["OA"]) for r in rows if r["condition"] == condition)
        axes.plot(*zip(*points), marker="o", label=condition)
    axes.set(xlabel="latency bound (ms)", ylabel="overall accuracy (%)", title="MIR-1K, singers not heard in training")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


def reliability(rows: list[dict], bound_ms: float, path: Path) -> None:
    """One line a condition: of the frames told with a confidence, the share that was right."""
    figure, axes = plt.subplots(figsize=(4.2, 4.0), dpi=DPI, layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
    for row in rows:
        if row["bound_ms"] == bound_ms:
            points = [(x["told"], x["right"]) for x in row["reliability"] if x["frames"] >= 20]
            axes.plot(*zip(*points), marker="o", label=row["condition"])
    axes.set(xlabel="confidence told", ylabel="share right", title=f"bound {bound_ms:g} ms", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", type=Path, help="JSON of rt_melody.benchmarks.accuracy")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--bound-ms", type=float, default=50.0, help="of the reliability picture")
    args = parser.parse_args()
    rows = json.loads(args.results.read_text(encoding="utf-8"))["rows"]
    accuracy_over_latency(rows, args.out / "accuracy-over-latency.png")
    reliability(rows, args.bound_ms, args.out / "reliability.png")


if __name__ == "__main__":
    main()
