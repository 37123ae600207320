"""Pictures of the results: accuracy over latency, by ratio, by pitch; what errors are made of; confidence.

``python -m rt_melody.benchmarks.plots benchmarks/results/accuracy.json --out benchmarks/results`` (extra ``[plot]``)
draws again what ``rt_melody.benchmarks.accuracy --out`` draws.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rt_melody.benchmarks.conditions import CONDITIONS
from rt_melody.benchmarks.melody_scores import ERRORS
from rt_melody.models.training.data import refuse

SIZE_INCHES = (7.2, 3.6)
DPI = 120
FEWEST_FRAMES = 20  # a point made of fewer is not drawn
BESIDE = {"band": "own accompaniment", "gm": "General MIDI", "white": "white noise", "pink": "pink noise"}
BOTH = ("voice", "mixture")


def draw(rows: list[dict], bound_ms: float, folder: Path) -> None:
    """Every picture of the rows of accuracy.json; ``bound_ms`` is that of all but the first."""
    at_bound = [row for row in rows if row["bound_ms"] == bound_ms]
    both = [row for row in at_bound if row["condition"] in BOTH]
    accuracy_over_latency(rows, folder / "accuracy-over-latency.png")
    if any(CONDITIONS[row["condition"]].ratio_db is not None for row in at_bound):
        accuracy_by_ratio(at_bound, bound_ms, folder / "accuracy-by-ratio.png")
    if both:
        accuracy_by_pitch(both, bound_ms, folder / "accuracy-by-pitch.png")
        reliability(both, bound_ms, folder / "reliability.png")
    if at_bound:
        errors(at_bound, bound_ms, folder / "errors.png")


def canvas(size: tuple[float, float] = SIZE_INCHES) -> tuple[Figure, Axes]:
    return plt.subplots(figsize=size, dpi=DPI, layout="constrained")


def finish(figure: Figure, axes: Axes, path: Path, **words: Any) -> None:
    axes.set(**words)
    axes.grid(alpha=0.3)
    figure.legend(fontsize="small", loc="outside right upper")
    figure.savefig(path)
    plt.close(figure)


def accuracy_over_latency(rows: list[dict], path: Path) -> None:
    """One line a condition that was measured at several bounds: pooled OA over the bound in ms."""
    figure, axes = canvas()
    conditions = dict.fromkeys(row["condition"] for row in rows)
    several = [c for c in conditions if len({r["bound_ms"] for r in rows if r["condition"] == c}) > 1]
    for condition in several or conditions:
        points = sorted((r["bound_ms"], r["pooled"]["OA"]) for r in rows if r["condition"] == condition)
        axes.plot(*zip(*points), marker="o", label=condition)
    finish(figure, axes, path, xlabel="latency bound (ms)", ylabel="overall accuracy (%)", title="MIR-1K, singers not heard in training")


def accuracy_by_ratio(rows: list[dict], bound_ms: float, path: Path) -> None:
    """OA over the ratio of the voice to what sounds beside it, a line a kind; the level of the voice alone dotted."""
    figure, axes = canvas()
    for beside, label in BESIDE.items():
        points = sorted(
            (CONDITIONS[r["condition"]].ratio_db, r["pooled"]["OA"]) for r in rows
            if CONDITIONS[r["condition"]].beside == beside and CONDITIONS[r["condition"]].ratio_db is not None
        )
        if points:
            axes.plot(*zip(*points), marker="o", label=label)
    for row in rows:
        if row["condition"] == "voice":
            axes.axhline(row["pooled"]["OA"], color="grey", linestyle=":", label="voice alone")
    finish(
        figure,
        axes,
        path,
        xlabel="voice over the rest (dB, RMS; voice where voiced)",
        ylabel="overall accuracy (%)",
        title=f"bound {bound_ms:g} ms",
    )


def accuracy_by_pitch(rows: list[dict], bound_ms: float, path: Path) -> None:
    """RPA by the range of the true f0, bars side by side a condition; ranges of few frames are left out."""
    figure, axes = canvas()
    names = [n for n in rows[0]["by_range"] if rows[0]["by_range"][n]["frames"] >= FEWEST_FRAMES]
    width = 0.8 / len(rows)
    for i, row in enumerate(rows):
        heights = [row["by_range"].get(n, {"RPA": 0.0})["RPA"] for n in names]
        axes.bar([k + (i - (len(rows) - 1) / 2) * width for k in range(len(names))], heights, width, label=row["condition"])
    labels = [f"{n.removesuffix(' Hz')}\n{rows[0]['by_range'][n]['frames']}" for n in names]
    axes.set_xticks(range(len(names)), labels, fontsize="small")
    finish(
        figure,
        axes,
        path,
        xlabel="true f0 (Hz), and frames",
        ylabel="raw pitch accuracy (%)",
        title=f"bound {bound_ms:g} ms",
        ylim=(0, 100),
    )


def errors(rows: list[dict], bound_ms: float, path: Path) -> None:
    """What the wrong frames are, a stacked bar a condition."""
    figure, axes = canvas((7.2, 1.2 + 0.26 * len(rows)))
    names, left = [row["condition"] for row in rows], [0.0] * len(rows)
    for error in ERRORS:
        lengths = [row["errors"][error] for row in rows]
        axes.barh(names, lengths, left=left, label=error)
        left = [a + b for a, b in zip(left, lengths)]
    axes.invert_yaxis()
    finish(figure, axes, path, xlabel="wrong frames (%)", title=f"what is wrong, bound {bound_ms:g} ms")


def reliability(rows: list[dict], bound_ms: float, path: Path) -> None:
    """One line a condition: of the frames told with a confidence, the share that was right."""
    figure, axes = canvas((5.2, 4.0))
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="calibrated")
    for row in rows:
        points = [(t["told"], t["right"]) for t in row["reliability"] if t["frames"] >= FEWEST_FRAMES]
        axes.plot(*zip(*points), marker="o", label=row["condition"])
    finish(figure, axes, path, xlabel="confidence told", ylabel="share right", title=f"bound {bound_ms:g} ms", xlim=(0, 1), ylim=(0, 1))


def effects(rows: list[dict], figures: Sequence[str], path: Path) -> None:
    """What each level of rt_melody.benchmarks.factorial exceeds its reference by, or, where two models were heard, the other model
    by: a panel a figure, a point with its interval a level."""
    key = "gain" if "gain" in rows[0] else "effect"
    rows = [row for row in rows if row[key]]
    height = 1.2 + 0.28 * len(rows)
    figure, panels = plt.subplots(1, len(figures), sharey=True, squeeze=False, figsize=(9.6, height), dpi=DPI, layout="constrained")
    places = range(len(rows))
    for axes, name in zip(panels[0], figures):
        for place, row in zip(places, rows):
            value, low, high = row[key][name]
            if value is not None:
                axes.plot(value, place, "o", color="C0")
            if low is not None:
                axes.plot([low, high], [place, place], color="C0")
        axes.axvline(0.0, color="grey", linestyle=":")
        axes.set(xlabel=f"{name} (points)", yticks=places, yticklabels=[f"{row['factor']}: {row['level']}" for row in rows])
        axes.grid(alpha=0.3)
    panels[0][0].invert_yaxis()
    what = "gain over the other model" if key == "gain" else "difference from the first level of the factor"
    figure.suptitle(f"{what}, 95 % intervals over clips", fontsize="medium")
    figure.savefig(path)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("results", type=Path, help="JSON of rt_melody.benchmarks.accuracy")
    parser.add_argument("--out", type=Path, required=True, help="folder for the pictures")
    parser.add_argument("--bound-ms", type=float, help="of the pictures of one bound; default: the file's")
    args = parser.parse_args(arguments)
    try:
        stored = json.loads(args.results.read_text(encoding="utf-8"))
        draw(stored["rows"], args.bound_ms or stored["detail_ms"], args.out)
    except (OSError, ValueError, KeyError) as error:
        refuse(
            f"{args.results} cannot be drawn ({type(error).__name__}: {error}); "
            f"give what rt_melody.benchmarks.accuracy wrote, and a folder that exists"
        )


if __name__ == "__main__":
    main()
