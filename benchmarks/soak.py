"""Minutes or hours of singing and silence through the software microphone, beside programs that never rest.

``python -m rt_melody.benchmarks.soak --minutes 60 --out FILE --plot FILE.png``

What it watches
---------------
* Latency: from each sung note's first sample to the JACK frame of its MIDI note-on, over the whole time.
* Drift between stream and events: the slope of that latency (Theil and Sen's, over the medians of a minute's tenth),
  in parts per million; a stream that counted its samples wrongly would show it.
* Notes lost on the way: the note-ons at the recorder, against those that the program says it played.
* The session's own figures (``--stats-file``), each second: memory, deadlines missed, skips, drift against the clock.
* Memory's growth: the slope of a line through it after the first minute, MB an hour.
* A control process of the same priority that only sleeps and wakes: a skip that its worst awakening explains is the
  machine's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rt_melody.benchmarks.end_to_end import PERIOD_SAMPLES, delays_ms, song
from rt_melody.benchmarks.report import check_files, write_result
from rt_melody.benchmarks.rig.studio import SAMPLE_RATE, RigMissing
from rt_melody.benchmarks.rig.take import Take, listening, model_heard, take
from rt_melody.benchmarks.signals import TrueNote

NOTES, SILENCE_S = 60, 8.0  # of a verse, and after it
SETTLED_S = 60.0  # memory is watched from here on
WINDOW_S = 6.0  # of a point of latency over time
QUANTILES = {"median": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
CONTROL_STEP_S = 0.010
ENOUGH = 3  # points through which a slope is drawn

CONTROL = """
import sys, threading, time
from rt_melody.realtime.timing.pace import wait_until
from rt_melody.realtime.timing.scheduling import live_thread
leave, step_s, worst = threading.Event(), float(sys.argv[1]), []
threading.Thread(target=lambda: (sys.stdin.read(), leave.set()), daemon=True).start()
with live_thread():
    next_s = time.perf_counter()
    while not leave.is_set():
        next_s = max(next_s + step_s, time.perf_counter())
        wait_until(next_s)
        worst.append(time.perf_counter() - next_s)
print(*worst)
"""


class Control:
    """Wakes every CONTROL_STEP_S, at the session's priority, in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", CONTROL, str(CONTROL_STEP_S)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def end(self) -> np.ndarray:
        """How late each awakening was, s [shape=(n,)]."""
        said, _ = self._process.communicate()
        return np.array(said.split(), float)


def verse() -> tuple[np.ndarray, tuple[TrueNote, ...]]:
    """Sung notes, then silence: what is sung over and over."""
    samples, notes = song(NOTES, seed=1)
    return np.concatenate([samples, np.zeros(round(SILENCE_S * SAMPLE_RATE), np.float32)]), notes


def repeated(notes: Sequence[TrueNote], length_s: float, times: int) -> list[TrueNote]:
    """The notes of all verses."""
    return [TrueNote(n.on_s + i * length_s, n.off_s + i * length_s, n.pitch) for i in range(times) for n in notes]


def slope(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray) -> float | None:
    """The median of the slopes between all pairs of points (Theil 1950, Sen 1968); None for fewer than ENOUGH."""
    if len(x) < ENOUGH:
        return None
    first, second = np.triu_indices(len(x), 1)
    across, up = np.asarray(x, float), np.asarray(y, float)
    return float(np.median((up[second] - up[first]) / (across[second] - across[first])))


def over_time(starts_s: np.ndarray, delays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle in s and median in ms of each WINDOW_S in which a note was found."""
    there = np.isfinite(delays)
    window = (starts_s[there] // WINDOW_S).astype(int)
    numbers = np.unique(window)
    return (numbers + 0.5) * WINDOW_S, np.array([np.median(delays[there][window == n]) for n in numbers])


def memory_growth(rows: Sequence[dict]) -> dict:
    """MB after the first minute and at the end, and MB an hour between; None where there is too little."""
    settled = [(r["elapsed_s"], r["memory_mb"]) for r in rows if r["elapsed_s"] >= SETTLED_S and r["memory_mb"] is not None]
    if len(settled) < ENOUGH:
        return {"settled_mb": None, "end_mb": None, "mb_an_hour": None}
    x, y = np.array(settled).T
    per_s = float(np.polyfit(x, y, 1)[0])
    return {"settled_mb": float(y[0]), "end_mb": float(y[-1]), "mb_an_hour": round(3600.0 * per_s, 3)}


def figures(notes: Sequence[TrueNote], delays: np.ndarray, rows: Sequence[dict], late_s: np.ndarray, bound_ms: float) -> dict:
    """Everything in a few numbers."""
    starts_s = np.array([note.on_s for note in notes])
    found, last = delays[np.isfinite(delays)], rows[-1]
    drift = slope(*over_time(starts_s, delays))
    late_ms = 1000.0 * late_s
    return {
        "minutes": round(last["elapsed_s"] / 60.0, 2),
        "onset_to_midi_ms": {name: round(float(np.quantile(found, q)), 2) for name, q in QUANTILES.items()} if len(found) else None,
        "notes_found": len(found), "notes_sung": len(delays),
        "drift_stream_to_events_ppm": None if drift is None else round(1000.0 * drift, 2),
        "drift_stream_to_clock_ppm": last["drift_ppm"],
        **{name: last[name] for name in ("work_ms", "lateness_ms", "turns", "deadlines_missed", "cpu_share", "scheduling")},
        **{name: last[name] for name in ("skips", "skipped_s", "lost_s", "overflows")},
        "control_late_ms": {name: round(float(np.quantile(late_ms, q)), 3) for name, q in QUANTILES.items()},
        "control_stalls_beyond_the_bound": int((late_ms > bound_ms).sum()),
        "memory": memory_growth(rows),
    }


def run(minutes: float, latency_ms: float, hogs: int, options: Sequence[str] = ()) -> tuple[dict, dict]:
    """The figures, and the points of the picture. Raises RigMissing where there is no JACK."""
    samples, notes = verse()
    length_s = len(samples) / SAMPLE_RATE
    times = max(1, round(60.0 * minutes / length_s))
    command = listening(latency_ms, "--stats-file", "stats.jsonl", *options)
    with take(samples, command, PERIOD_SAMPLES, times, hogs) as running:
        control = Control()
        wait(running, times * length_s)
        late_s = control.end()
        note_ons, said = running.note_ons(), running.end()
        rows = [json.loads(line) for line in (running.folder / "stats.jsonl").read_text().splitlines()]
    sung = repeated(notes, length_s, times)
    starts_s = np.array([note.on_s for note in sung])
    delays = found_delays(sung, note_ons)
    points = {"starts_s": starts_s, "delays_ms": delays, "rows": rows}
    return {**figures(sung, delays, rows, late_s, latency_ms), "note_ons_recorded": len(note_ons), "hogs": hogs, "said": said}, points


def found_delays(sung: Sequence[TrueNote], note_ons: Sequence[tuple[float, int]]) -> np.ndarray:
    """``delays_ms`` of many notes, a verse's worth at a time."""
    times = np.array([s for s, _ in note_ons])
    parts = []
    for i in range(0, len(sung), NOTES):
        some = sung[i : i + NOTES]
        first, end = np.searchsorted(times, (some[0].on_s - 1.0, some[-1].off_s + 1.0))
        parts.append(delays_ms(some, [note.on_s for note in some], note_ons[first:end]))
    return np.concatenate(parts)


def wait(running: Take, seconds: float) -> None:
    """Until the song is over; AssertionError when the program ends before."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        running.program.assert_running()
        time.sleep(min(1.0, left_s))
    running.microphone.wait_for_end()


def plot(points: dict, path: Path) -> None:
    """Latency of each note, memory, and deadlines missed and skips, over time in minutes."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SystemExit("--plot needs matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(9, 7), layout="constrained")
    latency, memory, lost = figure.subplots(3, 1, sharex=True)
    minutes = [row["elapsed_s"] / 60.0 for row in points["rows"]]
    latency.plot(points["starts_s"] / 60.0, points["delays_ms"], ".", markersize=2)
    latency.set(ylabel="onset to MIDI (ms)", ylim=(0, None))
    memory.plot(minutes, [row["memory_mb"] for row in points["rows"]])
    memory.set(ylabel="memory (MB)")
    for name in ("deadlines_missed", "skips", "overflows"):
        lost.step(minutes, [row[name] for row in points["rows"]], where="post", label=name.replace("_", " "))
    lost.set(ylabel="so far", xlabel="minutes")
    lost.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--hogs", type=int, default=1, help="processes beside it that never rest")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--plot", type=Path, help="draw them over time; needs matplotlib, the extra [plot]")
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="further options of rt-melody")
    args = parser.parse_args()
    if args.minutes <= 0 or args.hogs < 0:
        parser.error(f"--minutes {args.minutes:g} --hogs {args.hogs}: give minutes above 0, and no fewer hogs than 0")
    check_files(parser, out=args.out, plot=args.plot)
    try:
        rows, points = run(args.minutes, args.latency_ms, args.hogs, args.options)
    except RigMissing as error:
        parser.exit(1, f"the soak needs the software studio: {error}\n")
    print(json.dumps(rows, indent=1))
    if args.out:
        about = f"bound {args.latency_ms:g} ms, period {PERIOD_SAMPLES} at {SAMPLE_RATE} Hz, beside {args.hogs} busy processes"
        write_result(args.out, rows, about, model_heard(args.options))
    if args.plot:
        plot(points, args.plot)


if __name__ == "__main__":
    main()
