"""Minutes of real singing through the whole rig: sound device in, MIDI port out, against the labels.

``python tests/rig/measure.py --seconds 300 --out benchmarks/results/rig.json`` plays the test singers, alone and
with their accompaniment, into the software microphone and compares what the MIDI port played with the labels.
The tests beside this file do the same for seconds; this writes down the figures.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from pathlib import Path

import numpy as np
import soxr
from rig_recordings import test_singing

from rt_melody.benchmarks.report import write_result
from rt_melody.benchmarks.rig.midi_reader import agreement, perform
from rt_melody.benchmarks.rig.studio import SAMPLE_RATE
from rt_melody.benchmarks.rig.take import listening, model_heard, take

LATENCY_MS = 50
MAX_DELAY_S = 0.150
AFTER_S = 1.0  # for the last note to end


def measure(channel: str, seconds: float, options: list[str]) -> dict:
    """One run of the command; figures of what its port played."""
    sung = test_singing(seconds, channel)
    samples = soxr.resample(sung.samples, sung.sample_rate, SAMPLE_RATE, quality="VHQ")
    samples *= 0.5 / np.abs(samples).max()
    with take(samples.astype(np.float32), listening(LATENCY_MS, "--csv", "taken.csv", *options)) as running:
        running.microphone.wait_for_end()
        time.sleep(AFTER_S)
        said = running.end()
        played = perform(running.messages)
        rows = list(csv.DictReader(open(running.folder / "taken.csv", encoding="utf-8")))
    found = agreement(played, sung.times_s, sung.sung, MAX_DELAY_S)
    steps = np.diff([float(row["time_s"]) for row in rows])
    return {
        "channel": channel,
        "seconds": round(len(samples) / SAMPLE_RATE, 1),
        "voiced_frames_within_50_cents": round(found.share, 4),
        "delay_ms": round(found.delay_s * 1000, 1),
        "notes_in_unvoiced_frames": round(found.false_share, 4),
        "note_ons": played.note_ons,
        "notes_left_on": played.notes_left_on,
        "longest_step_of_the_csv_ms": round(float(steps.max()) * 1000, 3),
        "said": said,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--channels", nargs="+", choices=("voice", "mixture"), default=["voice", "mixture"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="further options of rt-melody")
    args = parser.parse_args()
    rows = [measure(channel, args.seconds, args.options) for channel in args.channels]
    print(json.dumps(rows, indent=1))
    if args.out:
        command = f"python tests/rig/measure.py --seconds {args.seconds:g}" + (
            " --options " + " ".join(args.options) if args.options else ""
        )
        write_result(args.out, rows, "of the command, from a JACK microphone", model_heard(args.options), command=command)


if __name__ == "__main__":
    main()
