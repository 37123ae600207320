"""Latency in three layers, each as median, p99, p99.9 and maximum, and as a picture.

``python -m rt_melody.benchmarks.latency --out benchmarks/results/latency.json --plot benchmarks/results/latency.png``

algorithmic   from the onset of a tone or a step of its pitch until the output is right and stays so, in stream time
              alone (onsets.py)
compute       what a hop costs at the true pace, whole and by stage, beside a control that only wakes (compute.py);
              a tight loop, offline speed, allocations, and the start of the process
end-to-end    from a sung note at a JACK microphone to its MIDI note-on, exact to the sample, beside the same without
              a model (end_to_end.py); left out, with the reason, where there is no JACK
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from rt_melody.benchmarks import compute, onsets
from rt_melody.benchmarks.report import check_files, write_result
from rt_melody.benchmarks.trackers import melody_tracker
from rt_melody.realtime.errors import RtMelodyError
from rt_melody.realtime.melody import MelodyTracker

LAYERS = ("algorithmic", "compute", "end-to-end")
STARTS = 5
START = """
import time
began = time.perf_counter()
import torch
torch_s = time.perf_counter() - began
began = time.perf_counter()
import numba
import rt_melody.kernels.framing
numba_s = time.perf_counter() - began
import numpy
from rt_melody.realtime.melody import MelodyTracker
tracker = MelodyTracker.from_settings(sample_rate=16000)
tracker.warm_up()
assert tracker.feed(numpy.zeros(16000, numpy.float32))
print(torch_s, numba_s, flush=True)
"""


def start_to_pitch_s() -> dict[str, float]:
    """Seconds from the start of a process to its first frame, and in it of importing torch, and numba with its first kernel; medians."""
    wholes, imports = [], []
    for _ in range(STARTS):
        began = time.perf_counter()
        with subprocess.Popen([sys.executable, "-c", START], stdout=subprocess.PIPE, text=True) as started:
            said = started.stdout.readline() if started.stdout else ""  # the end of the process is not in it
            wholes.append(time.perf_counter() - began)
        imports.append([float(word) for word in said.split()])
    torch_s, numba_s = np.median(imports, axis=0)
    return {
        "start_to_pitch_s": round(float(np.median(wholes)), 2),
        "torch_import_s": round(float(torch_s), 2), "numba_import_s": round(float(numba_s), 2),
    }


def compute_rows(tracker: MelodyTracker, recorded: MelodyTracker, seconds: float, priority: bool) -> tuple[dict, dict]:
    """The figures of the compute layer, and the seconds behind them. ``recorded``: the same tracker as files are heard."""
    paced = compute.at_true_pace(tracker, seconds, priority)
    work, control, hop_s = paced["work"], paced["control"], tracker.hop_s
    stages = compute.by_stage(tracker, seconds, priority)
    rows = {
        "budget_ms": {part.name: part.ms for part in tracker.latency.parts},
        "hop_ms": 1000.0 * hop_s,
        "scheduling": paced["scheduling"].line(),
        "feed_at_true_pace_ms": compute.summary(work),
        "control_overshoot_ms": compute.summary(control),
        "longer_than_a_hop": {"feed": int((work > hop_s).sum()), "control": int((control > hop_s).sum()), "of": len(work)},
        "stages_ms": {name: compute.summary(times) for name, times in stages.items()},
        "feed_in_tight_loop_ms": compute.summary(compute.tight_loop(tracker, seconds)),
        "cpu_share_of_one_core": round(paced["cpu_share"], 4),
        "allocations": compute.allocations(tracker, min(seconds, 5.0)),
        "offline_times_real_time": round(compute.offline_speed(recorded, seconds), 1),
        **start_to_pitch_s(),
    }
    return rows, {"feed": work, "control": control, **stages}


def end_to_end_rows(latency_ms: float, count: int, model: str | None) -> tuple[dict, dict | None]:
    """The figures of the last layer and the delays behind them, or why it was left out."""
    from rt_melody.benchmarks import end_to_end
    from rt_melody.benchmarks.rig.studio import RigMissing

    try:
        measured = end_to_end.measure(latency_ms, count, model=model)
    except RigMissing as error:
        return {"left_out": str(error)}, None
    figures = end_to_end.figures(measured, compute.QUANTILES)
    return {"bound_ms": latency_ms, "period_samples": end_to_end.PERIOD_SAMPLES, **figures}, measured


def show(name: str, value: object, depth: int = 0) -> None:
    """A figure, or figures within figures, a line each."""
    if isinstance(value, dict) and any(isinstance(inner, dict) for inner in value.values()):
        print(f"{'  ' * depth}{name}")
        for key, inner in value.items():
            show(key, inner, depth + 1)
    else:
        told = "  ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{'  ' * depth}{name:{32 - 2 * depth}} {told}")


def main() -> None:
    parser = _parser()
    args = _arguments(parser)
    rows: dict = {}
    seen: dict = {}
    try:
        tracker = melody_tracker(args.rate, args.model, latency_ms=args.latency_ms)
        for bound_ms in args.bounds_ms if "algorithmic" in args.layers else ():
            melody_tracker(onsets.SAMPLE_RATE, args.model, latency_ms=bound_ms)  # refused now, not when the other layers are done
    except RtMelodyError as error:
        parser.error(str(error))
    tracker.warm_up()
    print(tracker.latency.table())
    if "compute" in args.layers:
        recorded = melody_tracker(args.rate, args.model, recorded=True, latency_ms=args.latency_ms)
        figures, seen["compute"] = compute_rows(tracker, recorded, args.seconds, args.priority)
        rows.update(figures)
    if "end-to-end" in args.layers:
        rows["end_to_end"], seen["end_to_end"] = end_to_end_rows(args.latency_ms, args.onsets, args.model)
    show("", rows) if rows else None
    if "algorithmic" in args.layers:
        rows["algorithmic"], seen["algorithmic"], _ = onsets.run(args.bounds_ms, onsets.CONDITIONS, args.pitches, args.model)
        print(onsets.table(rows["algorithmic"]))
    if args.out:
        about = f"input at {args.rate} Hz, bound {args.latency_ms:g} ms; algorithmic: {onsets.about(args.pitches)}"
        write_result(args.out, rows, about, tracker.engine.model.provenance)
    if args.plot:
        plot(seen, args.plot)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=LAYERS)
    parser.add_argument("--latency-ms", type=float, default=50.0, help="bound of the last two layers")
    parser.add_argument("--bounds-ms", nargs="+", type=float, default=[20.0, 50.0, 100.0], help="bounds of the algorithmic layer")
    parser.add_argument("--rate", type=int, default=48000, help="of the input to compute, Hz")
    parser.add_argument("--seconds", type=float, default=30.0, help="of sound for each figure of compute")
    parser.add_argument("--pitches", type=int, default=6, help="of the algorithmic layer: first pitches for each step; 16 sounds each")
    parser.add_argument("--onsets", type=int, default=220, help="notes sung end to end, and as many in its control")
    parser.add_argument("--priority", action=argparse.BooleanOptionalAction, default=True, help="compute with real-time priority, as live")
    parser.add_argument("--model")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    parser.add_argument("--plot", type=Path, help="draw histograms of all layers; needs matplotlib, the extra [plot]")
    return parser


def _arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    args = parser.parse_args()
    if args.seconds < 2 or args.pitches < 1 or args.onsets < 1:
        parser.error("give --seconds of 2 or more, and --pitches and --onsets of 1 or more")
    check_files(parser, out=args.out, plot=args.plot)
    return args


def plot(seen: dict, path: Path) -> None:
    """Histograms: the algorithmic layer's panels above, compute and end to end below."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SystemExit("--plot needs matplotlib: pip install matplotlib") from None
    delays = seen.get("algorithmic") or {}
    below = [name for name in ("compute", "end_to_end") if seen.get(name)]
    figure = Figure(figsize=(9, 2.6 * max(1, len(delays) + bool(below))), layout="constrained")
    above, beneath = figure.subfigures(2, 1, height_ratios=(max(len(delays), 0.01), 1 if below else 0.01), squeeze=False).flat
    if delays:
        onsets.draw(above, delays)
    axes = beneath.subplots(1, len(below), squeeze=False)[0] if below else ()
    for axis, name in zip(axes, below):
        {"compute": _draw_compute, "end_to_end": _draw_end_to_end}[name](axis, seen[name])
    figure.savefig(path, dpi=120)


def _draw_compute(axis, times: dict[str, np.ndarray]) -> None:
    bins = np.geomspace(0.01, 100.0, 80)
    for name in ("feed", "control", "network"):
        axis.hist(1000.0 * times[name], bins=bins, alpha=0.6, label=name)
    axis.set(xscale="log", yscale="log", xlabel="ms a hop, at the true pace", ylabel="hops", title="compute")
    axis.legend()


def _draw_end_to_end(axis, measured: dict) -> None:
    for name in ("plumbing", "algorithmic", "end_to_end"):
        axis.hist(measured[name][np.isfinite(measured[name])], bins=np.arange(0, 151, 2.5), alpha=0.6, label=name.replace("_", " "))
    axis.set(xlabel="ms from the sung note to its MIDI note-on", ylabel="notes", title="end to end")
    axis.legend()


if __name__ == "__main__":
    main()
