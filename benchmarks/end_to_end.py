"""From the first sample of a sung note at a JACK microphone to the JACK frame of its MIDI note-on.

Protocol
--------
* ``song`` is singing of detached notes at random pitches and moments, so that no hop and no period is favoured.
  Microphone and recorder share JACK's clock: delays are exact to the sample.
* "end to end": the installed command on that microphone, playing a MIDI port of its own.
* "algorithmic": the same samples through the same engine and note tracker at once; a note-on counts from its
  ``available_s``. Where in a hop a note begins decides whether a frame agrees or the next one, and live that is
  chance: the samples are heard PHASES times, each a part of a hop later, and all delays count. What the first has
  more than this is plumbing and compute.
* "beyond_latest_phase": each note live against itself by arithmetic, at the phase that was latest for it. The late
  end of the other figures is the few notes that are hard to hear, and which of them one run drew late; this one is not.
* "plumbing": a control run of the same length, in which a threshold takes the engine's place (rig/threshold.py);
  from the first sample beyond the threshold.
* A note-on belongs to the note that began up to FOUND_S before it and whose pitch is within a semitone of its own.

``python -m rt_melody.benchmarks.end_to_end --onsets 200 --out ...`` sets two ways through the studio beside each other, in
one run: one client in the JACK graph, and PortAudio with a MIDI port; each with the threshold and with the engine
(rig/jack_midi_timing.py). "delay": from the first loud sample of a note (threshold) or from its onset (engine) to its
MIDI frame. "off_the_frame": of JACK's client, how far the MIDI frame lies from that of the arithmetic and one period.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from rt_melody.benchmarks.report import write_result
from rt_melody.benchmarks.rig import threshold
from rt_melody.benchmarks.rig.studio import HERE, SAMPLE_RATE
from rt_melody.benchmarks.rig.take import MICROPHONE, listening, model_heard, take
from rt_melody.benchmarks.signals import VOWELS, TrueNote, plain_singer, true_notes
from rt_melody.benchmarks.trackers import by_sound, melody_tracker
from rt_melody.kernels.phrase import SungNote, render_phrase
from rt_melody.realtime.types import NoteOn

PERIOD_SAMPLES = 128
NOTE_S, GAP_S, JITTER_S = 0.3, 0.3, 0.05
LOW, HIGH = 48, 72  # MIDI notes
FOUND_S, EARLY_S = 0.3, 0.01
PHASES = 5
TAIL_S = 1.0
WAYS = ("jack", "portaudio")
QUANTILES = {"p1": 0.01, "median": 0.5, "p99": 0.99, "max": 1.0}


def song(notes: int, seed: int = 0) -> tuple[np.ndarray, tuple[TrueNote, ...]]:
    """Detached sung notes, float32 at SAMPLE_RATE [shape=(n,)], and where they are."""
    rng = np.random.default_rng((4, seed))
    at_s, sung = 0.5, []
    for _ in range(notes):
        at_s += float(rng.uniform(0.0, JITTER_S))
        sung.append(SungNote(at_s, NOTE_S, float(rng.integers(LOW, HIGH + 1)), VOWELS[rng.integers(len(VOWELS))]))
        at_s += NOTE_S + GAP_S
    singer = replace(plain_singer(rng, (LOW + HIGH) / 2), attack_s=0.015, scoop_cents=0.0)
    phrase = render_phrase(sung, SAMPLE_RATE, seed, singer, at_s)
    return phrase.samples, true_notes(phrase)


def delays_ms(
    notes: Sequence[TrueNote], starts_s: Sequence[float], note_ons: Sequence[tuple[float, float]], pitched: bool = True
) -> np.ndarray:
    """From each start to the first note-on ``(seconds, pitch)`` of that note; NaN where there was none [shape=(n_notes,)]."""
    found = []
    for note, start_s in zip(notes, starts_s):
        near = (s for s, p in note_ons if -EARLY_S <= s - start_s < FOUND_S and (not pitched or abs(p - note.pitch) <= 1.0))
        found.append(1000.0 * (next(near, np.nan) - start_s))
    return np.array(found)


def loud_from_s(samples: np.ndarray, notes: Sequence[TrueNote]) -> list[float]:
    """The first moment of each note that lies beyond the threshold of the control."""
    loud = np.flatnonzero(np.abs(samples) > threshold.THRESHOLD) / SAMPLE_RATE
    return [float(loud[np.searchsorted(loud, note.on_s)]) for note in notes]


def played(samples: np.ndarray, command: Sequence[str], period_samples: int) -> tuple[list[tuple[float, int]], str]:
    """The note-ons that a program played, and its last words."""
    with take(samples, command, period_samples) as running:
        running.microphone.wait_for_end()
        return running.note_ons(), running.end()


def algorithmic_ms(samples: np.ndarray, notes: Sequence[TrueNote], latency_ms: float, model: str | None) -> np.ndarray:
    """The delays by the arithmetic of the stream alone, of every note at every phase [shape=(PHASES * n_notes,)]."""
    tracker, delays = melody_tracker(SAMPLE_RATE, model, latency_ms=latency_ms), []
    track = by_sound(tracker)
    for phase in range(PHASES):
        later = round(phase / PHASES * tracker.hop_s * SAMPLE_RATE)
        _, events = track(np.concatenate([np.zeros(later, np.float32), samples]))
        ons = [(e.available_s - later / SAMPLE_RATE, e.pitch) for e in events if isinstance(e, NoteOn)]
        delays.append(delays_ms(notes, [note.on_s for note in notes], ons))
    return np.concatenate(delays)


def measure(latency_ms: float, onsets: int = 220, period_samples: int = PERIOD_SAMPLES, model: str | None = None) -> dict:
    """Delays in ms of each kind, NaN where no note-on was found, and what the program said.

    Shapes are (onsets,), of "algorithmic" (PHASES * onsets,).

    Raises RigMissing where there is no JACK.
    """
    samples, notes = song(onsets)
    samples = np.concatenate([samples, np.zeros(round(TAIL_S * SAMPLE_RATE), np.float32)])
    starts_s = [note.on_s for note in notes]
    live, said = played(samples, listening(latency_ms, *(("--model", model) if model else ())), period_samples)
    control, _ = played(samples, [sys.executable, "-m", threshold.__name__, MICROPHONE], period_samples)
    return {
        "end_to_end": delays_ms(notes, starts_s, live),
        "algorithmic": algorithmic_ms(samples, notes, latency_ms, model),
        "plumbing": delays_ms(notes, loud_from_s(samples, notes), control, pitched=False),
        "said": said,
    }


def figures(measured: dict, quantiles: dict[str, float]) -> dict:
    """Quantiles of each kind, how many notes were found, and what end to end has more than the arithmetic: in the
    median, since tails of two kinds are not each other's, and note by note over its latest phase."""
    rows = {kind: _quantiles(measured[kind], quantiles) for kind in ("end_to_end", "algorithmic", "plumbing")}
    more = {"median": round(rows["end_to_end"]["median"] - rows["algorithmic"]["median"], 2)}
    phases = np.reshape(measured["algorithmic"], (-1, len(measured["end_to_end"])))
    later = _quantiles(measured["end_to_end"] - phases.max(axis=0), quantiles)
    less_control = {"median": round(more["median"] - rows["plumbing"]["median"], 2)}
    return {
        **rows, "beyond_algorithmic": more, "beyond_algorithmic_and_plumbing": less_control, "beyond_latest_phase": later,
        "said": measured["said"],
    }


def _quantiles(delays: np.ndarray, quantiles: dict[str, float]) -> dict:
    there = delays[np.isfinite(delays)]
    marks = {name: round(float(np.quantile(there, q)), 2) if len(there) else np.nan for name, q in quantiles.items()}
    return {**marks, "found": len(there), "of": len(delays)}


# ---- two ways through the studio ---------------------------------------------------------------


def compare_ways(latency_ms: float, onsets: int, period_samples: int = PERIOD_SAMPLES, hogs: int = 0, engine: bool = True) -> list[dict]:
    """A row for each way and detector, beside ``hogs`` processes that never rest. Raises RigMissing where there is no JACK."""
    samples, notes = song(onsets)
    samples = np.concatenate([samples, np.zeros(round(TAIL_S * SAMPLE_RATE), np.float32)])
    rows = []
    for detector in ("threshold", f"{latency_ms:g}")[: 1 + engine]:
        plain = detector == "threshold"
        starts_s = loud_from_s(samples, notes) if plain else [note.on_s for note in notes]
        for way in WAYS:
            ons, off_ms, said = one_way(samples, way, detector, period_samples, hogs)
            delays = delays_ms(notes, starts_s, ons, pitched=not plain)
            row = {
                "way": way,
                "hogs": hogs,
                "detector": "threshold" if plain else f"engine, {latency_ms:g} ms",
                "delay": _quantiles(delays, QUANTILES),
            }
            rows.append({**row, "off_the_frame": _quantiles(off_ms, QUANTILES) if len(off_ms) else None, "said": said})
    return rows


def one_way(
    samples: np.ndarray, way: str, detector: str, period_samples: int, hogs: int
) -> tuple[list[tuple[float, int]], np.ndarray, str]:
    """The note-ons that were played, how far each lies off its frame in ms (by JACK), and the program's last words."""
    command = [sys.executable, str(HERE / "jack_midi_timing.py"), way, detector, MICROPHONE, "frames.txt"]
    with take(samples, command, period_samples, hogs=hogs) as running:
        running.microphone.wait_for_end()
        ons, frames, said = running.note_ons(), running.note_on_frames(), running.end()
        log = running.folder / "frames.txt"
        expected = [int(line) + period_samples for line in log.read_text().split()] if log.exists() else []
    frames = frames[: len(expected)] if expected else []
    off = [((frame - due + 2**31) % 2**32) - 2**31 for frame, due in zip(frames, expected, strict=True)]
    return ons, 1000.0 * np.array(off, float) / SAMPLE_RATE, said


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--onsets", type=int, default=200)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--period", type=int, default=PERIOD_SAMPLES)
    parser.add_argument("--hogs", type=int, default=0, help="processes beside it that never rest")
    parser.add_argument("--no-engine", action="store_true", help="the threshold alone")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = compare_ways(args.latency_ms, args.onsets, args.period, args.hogs, not args.no_engine)
    print(json.dumps(rows, indent=1))
    if args.out:
        write_result(args.out, rows, f"sung notes at a JACK microphone, period {args.period}", model_heard([]))


if __name__ == "__main__":
    main()
