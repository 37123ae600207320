"""Algorithmic latency: from the onset of a tone, or a step of its pitch, until the output is right and stays so.

``python -m rt_melody.benchmarks.onsets --latency-ms 20 50 --out FILE --plot FILE.png``

Protocol
--------
* Harmonic tones and synthetic singing start from silence and step by 2, 5, 7 or 12 semitones up or down,
  80-880 Hz, alone and over a random band (see signals.py); starts and steps fall anywhere within a hop.
* An estimate counts from its ``available_s``, the moment at which a player could have it: neither the plumbing
  nor the time to compute is in these figures. It is right when it is voiced and within RIGHT_CENTS of the true
  f0 at its ``time_s``, or, where it speaks of a moment before the event, of the f0 at the event.
* Beside "f0" stands "guess", the same whether the estimate is voiced or not: it tells what the decision that
  somebody sings costs.
* The delay is that of the first estimate from which on all are right for STAYS_S, within the note. Where there
  is none the event is "never": it stands in every quantile as later than all others.
* A note-on is right when its pitch is, and when its note sounds for STAYS_S or to the end of the true note.
* Where the output already said the new pitch before the event (the band plays it, say), there is nothing to
  measure: such events are counted as "early" and stand in no quantile.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from math import comb, inf, isnan, log2, nan
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rt_melody.benchmarks.report import check_files, write_result
from rt_melody.benchmarks.signals import SAMPLE_RATE, STEPS, Sound, TrueNote, over_band, step_sounds
from rt_melody.benchmarks.trackers import Tracker, by_sound, melody_tracker
from rt_melody.models.streaming import StreamingModel
from rt_melody.realtime.errors import RtMelodyError
from rt_melody.realtime.types import NoteEvent, NoteOff, NoteOn, PitchFrame, hz_to_midi

STAYS_S = 0.1  # how long an output must stay right to count as arrived
RIGHT_CENTS = 50.0
BAND_DB = 5.0  # of the voice over the band
OCTAVES_HZ = (80, 160, 320, 640, 880)
QUANTILES = {"median": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
SHOWN = ("median", "p90", "p99", "max")  # in the table
INTERVAL_BELOW = 100  # events; a median of fewer is told with its interval
CONDITIONS = ("clean", "band")
KINDS = ("tone", "singing")
OUTPUTS = ("f0", "guess", "note-on")
EARLY = nan  # the output said so before it happened
NEVER = inf


# ---------------------------------------------------------------------- one event


def frame_delay_ms(frames: Sequence[PitchFrame], sound: Sound, note: TrueNote, guess: bool = False) -> float:
    """From the beginning of ``note`` until the f0 given out is right and stays so; EARLY or NEVER else.

    ``guess``: an f0 counts also where it is called unvoiced.
    """
    near = [f for f in frames if f.available_s >= note.on_s - STAYS_S and f.time_s < note.off_s - 1e-9]
    right = [(f.voiced or guess) and _f0_right(f, sound, note) for f in near]
    for first, end in _runs(right):
        until_s = near[end].available_s if end < len(near) else near[-1].available_s + _hop_s(near)
        if until_s - max(near[first].available_s, note.on_s) >= STAYS_S - 1e-9:
            return _delay_ms(near[first].available_s, note)
    return NEVER


def note_delay_ms(events: Sequence[NoteEvent], sound: Sound, note: TrueNote) -> float:
    """From the beginning of ``note`` until the note-on that plays it; EARLY or NEVER else."""
    for on, off_s in _sounding(events):
        stays = off_s - max(on.available_s, note.on_s) >= STAYS_S - 1e-9 or off_s >= note.off_s
        meets = on.available_s < note.off_s and off_s > note.on_s and stays
        if meets and _close(on.pitch, _true_pitch(sound, note, on.time_s)):
            return _delay_ms(on.available_s, note)
    return NEVER


def _delay_ms(available_s: float, note: TrueNote) -> float:
    delay_s = available_s - note.on_s
    return EARLY if delay_s < -1e-9 else 1000.0 * max(0.0, delay_s)


def _f0_right(frame: PitchFrame, sound: Sound, note: TrueNote) -> bool:
    return frame.f0_hz > 0 and _close(hz_to_midi(frame.f0_hz), _true_pitch(sound, note, frame.time_s))


def _true_pitch(sound: Sound, note: TrueNote, time_s: float) -> float:
    """The true pitch at ``time_s``, or at the nearest moment within ``note``."""
    within_s = min(max(time_s, note.on_s), note.off_s - 1.0 / SAMPLE_RATE)
    return hz_to_midi(sound.f0_hz[round(within_s * SAMPLE_RATE)])


def _close(pitch: float, truth: float) -> bool:
    return abs(pitch - truth) <= RIGHT_CENTS / 100.0


def _runs(right: Sequence[bool]) -> Iterable[tuple[int, int]]:
    """First index and end of each unbroken run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], right, [False]]).astype(int)))
    return zip(edges[::2].tolist(), edges[1::2].tolist())


def _hop_s(frames: Sequence[PitchFrame]) -> float:
    return frames[-1].available_s - frames[-2].available_s if len(frames) > 1 else 0.0


def _sounding(events: Sequence[NoteEvent]) -> Iterable[tuple[NoteOn, float]]:
    """Each note-on with the moment at which its note-off was sent (inf where none was)."""
    on = None
    for event in events:
        if isinstance(event, NoteOn):
            on = event
        elif isinstance(event, NoteOff) and on is not None:
            yield on, event.available_s
            on = None
    if on is not None:
        yield on, inf


# ---------------------------------------------------------------------- all events


def measure(tracker: Tracker, sounds: Sequence[Sound], progress: str | None = None) -> list[dict]:
    """One record for each note of each sound: what it is, and the delay of each of OUTPUTS."""
    records = []
    for sound in tqdm(sounds, progress, disable=progress is None):
        frames, events = tracker(sound.samples)
        for note in sound.notes:
            records.append({
                "kind": sound.kind, "event": "step" if note.bound else "onset", "pitch": note.pitch,
                "f0": frame_delay_ms(frames, sound, note), "guess": frame_delay_ms(frames, sound, note, guess=True),
                "note-on": note_delay_ms(events, sound, note),
            })
    return records


def median_ranks(n: int) -> tuple[int, int] | None:
    """Which two of ``n`` sorted values (from 0) hold the median between them with a probability of at least 95 %.

    By the binomial distribution alone, whatever the values' own is; None below six, which cannot.
    """
    below = 0.0  # P(fewer than k + 1 of n values lie under the median)
    for k in range(n // 2):
        below += comb(n, k) / 2.0**n
        if below > 0.025:
            return (k - 1, n - k) if k else None
    return None


def median_interval(delays_ms: Sequence[float]) -> list[float | None] | None:
    """The 95 % interval of the median, None in it for "never"; None of fewer than six delays."""
    ranks = median_ranks(len(delays_ms))
    ends = np.sort(np.asarray(delays_ms, float))[list(ranks)] if ranks else None
    return None if ends is None else [round(float(end), 2) if np.isfinite(end) else None for end in ends]


def summary(delays_ms: Sequence[float]) -> dict:
    """Quantiles over all events that were not early, None where "never" reaches them; max of those that arrived.

    ``median_95`` is the 95 % interval of the median, of fewer than INTERVAL_BELOW events.
    """
    delays = np.array([d for d in delays_ms if not isnan(d)])
    arrived = delays[np.isfinite(delays)]
    if not len(delays):
        return {**dict.fromkeys((*QUANTILES, "max", "never")), "events": len(delays_ms), "early": len(delays_ms)}
    marks = {name: float(np.quantile(delays, q, method="inverted_cdf")) for name, q in QUANTILES.items()}
    return {
        **{name: round(mark, 2) if np.isfinite(mark) else None for name, mark in marks.items()},
        **({"median_95": median_interval(delays.tolist())} if len(delays) < INTERVAL_BELOW else {}),
        "max": round(float(arrived.max()), 2) if len(arrived) else None,
        "never": round(1.0 - len(arrived) / len(delays), 4),
        "events": len(delays_ms),
        "early": len(delays_ms) - len(delays),
    }


def octave(pitch: float) -> str:
    """The octave of OCTAVES_HZ that a fractional MIDI note number lies in."""
    hz = 440.0 * 2.0 ** ((pitch - 69.0) / 12.0)
    last = len(OCTAVES_HZ) - 2
    i = min(last, max(0, int(log2(hz / OCTAVES_HZ[0]) + 1e-9)))
    return f"{OCTAVES_HZ[i]}-{OCTAVES_HZ[i + 1]} Hz"


def figures(records: Sequence[dict], output: str) -> dict:
    """Summary of one of OUTPUTS over all records, and by octave."""
    names = sorted({octave(r["pitch"]) for r in records}, key=lambda name: int(name.split("-")[0]))
    by_octave = {n: summary([r[output] for r in records if octave(r["pitch"]) == n]) for n in names}
    return {**summary([r[output] for r in records]), "by_octave": by_octave}


def rows_of(records: Sequence[dict], bound_ms: float, latency_ms: float, condition: str) -> list[dict]:
    """A row for each event, kind of sound (and both together) and output."""
    rows = []
    for event in ("onset", "step"):
        for kind in ("all", *KINDS):
            chosen = [r for r in records if r["event"] == event and kind in ("all", r["kind"])]
            for output in OUTPUTS:
                rows.append({
                    "bound_ms": bound_ms, "latency_ms": latency_ms, "condition": condition, "event": event,
                    "kind": kind, "output": output, **figures(chosen, output),
                })
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--latency-ms", nargs="+", type=float, default=[20.0, 50.0])
    parser.add_argument("--conditions", nargs="+", default=list(CONDITIONS), choices=CONDITIONS)
    parser.add_argument("--pitches", type=int, default=6, help="first pitches for each step; 16 sounds each")
    parser.add_argument("--model", help="model file; default: the shipped one")
    parser.add_argument("--out", type=Path, help="write the results as JSON")
    parser.add_argument("--plot", type=Path, help="draw histograms; needs matplotlib, the extra [plot]")
    args = parser.parse_args()
    if args.pitches < 1:
        parser.error(f"--pitches is {args.pitches}; give 1 or more")
    check_files(parser, out=args.out, plot=args.plot)
    try:
        rows, delays, provenance = run(args.latency_ms, args.conditions, args.pitches, args.model)
    except RtMelodyError as error:
        parser.error(str(error))
    print(table(rows))
    if args.out:
        write_result(args.out, rows, about(args.pitches), provenance)
    if args.plot:
        plot(delays, args.plot)


def run(
    bounds_ms: Sequence[float], conditions: Sequence[str], pitches: int, model: str | None = None
) -> tuple[list[dict], dict[str, list[dict]], dict]:
    """Rows of all bounds and conditions; the records behind them; the provenance of the model.

    Raises RtMelodyError for a bound that cannot be kept or a file that is no model.
    """
    sounds, rows, delays = step_sounds(pitches), [], {}
    loaded: StreamingModel | None = None
    for bound_ms in bounds_ms:
        tracker = melody_tracker(SAMPLE_RATE, loaded or model, latency_ms=bound_ms)
        loaded = tracker.engine.model
        for condition in conditions:
            heard = sounds if condition == "clean" else [over_band(s, BAND_DB, i) for i, s in enumerate(sounds)]
            records = measure(by_sound(tracker), heard, f"{condition}, {bound_ms:g} ms")
            rows += rows_of(records, bound_ms, tracker.latency.total_ms, condition)
            delays[f"{condition}, {bound_ms:g} ms"] = records
    return rows, delays, loaded.provenance if loaded else {}


def about(pitches: int) -> str:
    """The protocol's numbers in one line."""
    return f"{len(KINDS) * 2 * len(STEPS) * pitches} sounds, right for {1000 * STAYS_S:g} ms, band at {BAND_DB:+g} dB"


def table(rows: Sequence[dict]) -> str:
    """Markdown: one line a bound, condition, event and kind; the outputs side by side, in ms."""
    columns = ("bound ms", "condition", "event", "sound", "events", *(f"{o} {c}" for o in OUTPUTS for c in (*SHOWN, "never %")))
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for i in range(0, len(rows), len(OUTPUTS)):
        first = rows[i]
        head = f"| {first['bound_ms']:g} | {first['condition']} | {first['event']} | {first['kind']} | {first['events']} "
        lines.append(head + "".join(_cells(row) for row in rows[i : i + len(OUTPUTS)]) + "|")
    return "\n".join(lines)


def delay_marks(row: dict, names: Sequence[str]) -> list[str]:
    """Some of a summary's quantiles for a table, the median with its interval where it has one: ``19 (17-23)``."""
    marks = [_ms(row[name]) for name in names]
    if "median" in names and row.get("median_95"):
        marks[names.index("median")] += f" ({'-'.join(map(_ms, row['median_95']))})"
    return marks


def _ms(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f}"


def _cells(row: dict) -> str:
    marks = delay_marks(row, SHOWN)
    share = "-" if row["never"] is None else f"{100 * row['never']:.1f}"
    return "".join(f"| {cell} " for cell in (*marks, share))


def plot(delays: dict[str, list[dict]], path: Path) -> None:
    """Histograms of the delays that arrived within 300 ms, a panel for each condition and bound."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SystemExit("--plot needs matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=(9, 2.6 * len(delays)), layout="constrained")
    draw(figure, delays)
    figure.savefig(path, dpi=120)


def draw(figure, delays: dict[str, list[dict]]) -> None:
    """The panels, on a matplotlib figure."""
    axes = figure.subplots(len(delays), 2, squeeze=False, sharex=True)
    for row, (name, records) in zip(axes, delays.items()):
        for axis, event in zip(row, ("onset", "step")):
            for output in ("f0", "note-on"):
                values = [r[output] for r in records if r["event"] == event]
                axis.hist(values, bins=np.arange(0, 301, 5), alpha=0.6, label=output)
            axis.set(title=f"{event}: {name}", xlabel="ms from the sound to the right output", ylabel="events")
            axis.legend()


if __name__ == "__main__":
    main()
