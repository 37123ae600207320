"""What a known band that is taken out leaves of notes and of their delays.

``python -m rt_melody.benchmarks.band_notes --data FOLDER --out FILE`` writes JSON, and the table beside it as ``.md``.

Conventions
-----------
* Notes: the takes of SSVD that measure (note_parts), each over the accompaniment of one of MIR-1K's test songs, over and over,
  through a loudspeaker and a room as in ``band``, the voice RATIO_DB over the leak.
* Onsets and steps: the sounds of ``onsets`` one after the other, as one stream, so that the room is known before most of them.
* "canceller, no leak" is a singer with headphones: the band is known and is not in the microphone.
* The tracker hears RECORDED_HOPS hops at a time, whose frames are those of the live one but for rounding.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rt_melody.benchmarks import onsets
from rt_melody.benchmarks.band import ROOMS, SONGS, Case, Song, join, leak
from rt_melody.benchmarks.note_parts import PARTS, Heard, bias_semitones
from rt_melody.benchmarks.note_scores import played_notes
from rt_melody.benchmarks.report import markdown, measure_and_write
from rt_melody.benchmarks.signals import Sound, TrueNote, step_sounds
from rt_melody.benchmarks.trackers import Tracked, melody_tracker, parted
from rt_melody.models.training.data import SAMPLE_RATE, data_folder, load_mir1k, load_mono
from rt_melody.realtime.melody import MelodyTracker

RATIO_DB, BOUND_MS, PITCHES = -5.0, 50.0, 6
CASES = {"voice alone": (False, False), "canceller, no leak": (False, True), "leak, without": (True, False), "leak, with": (True, True)}
Places = list[tuple[np.ndarray, np.ndarray]]  # accompaniments, each in its room


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--every", type=int, default=1, help="only every n-th take")
    parser.add_argument("--model", help="model file; default: the shipped one")
    parser.add_argument("--out", type=Path, help="write the results as JSON, and the table beside them as .md")
    args = parser.parse_args()
    about = f"voice {RATIO_DB:+g} dB over the leak, bound {BOUND_MS:g} ms, every {args.every}"
    measure_and_write(parser, args, lambda: measure(args, data_folder(args.data)), table, about)


def measure(args: argparse.Namespace, folder: Path) -> tuple[list[dict], dict]:
    """A row for each case, and where the model came from."""
    plain = melody_tracker(SAMPLE_RATE, args.model, recorded=True, latency_ms=BOUND_MS)
    knowing = melody_tracker(SAMPLE_RATE, plain.engine.model, recorded=True, latency_ms=BOUND_MS)
    knowing.expect_reference()
    places = _places(folder)
    takes = [make() for make in PARTS["ssvd-measuring"].clips(folder)][:: args.every]
    steps = one_after_the_other(step_sounds(PITCHES))
    rows = []
    for name, (leaks, knows) in CASES.items():
        tracker = knowing if knows else plain
        heard = []
        for i, take in enumerate(tqdm(takes, name)):
            frames, events = hear(tracker, take.samples, take.notes, places[i % len(places)], leaks, knows)
            heard.append(Heard(take, played_notes(events), bias_semitones(frames, take.notes)))
        tracked = hear(tracker, steps.samples, steps.notes, places[0], leaks, knows)
        rows.append({"case": name, "notes": PARTS["ssvd-measuring"].score(heard), **delays(steps, tracked)})
    return rows, plain.engine.model.provenance


def _places(folder: Path) -> Places:
    clips = load_mir1k(folder, "test")
    bands = [join([c for c in clips if c.name.startswith(f"{name}_")], folder / "mir-1k" / "test", name).band for name in SONGS]
    return list(zip(bands, load_mono([folder / "rooms" / f"{name}.flac" for name in ROOMS])))


def hear(
    tracker: MelodyTracker, voice: np.ndarray, notes: Sequence[TrueNote], place: tuple[np.ndarray, np.ndarray], leaks: bool, knows: bool
) -> Tracked:
    """Frames and events of a voice, over the leak of a band that the tracker may know."""
    band, room = np.resize(place[0], len(voice)), place[1]
    sound = voice + leak(as_song(voice, notes, band), Case(RATIO_DB), room, room) if leaks else voice
    microphone = (sound * (0.5 / np.abs(sound).max())).astype(np.float32)
    reference = (band * (0.5 / np.abs(band).max())).astype(np.float32)
    tracker.reset()
    return parted((tracker.feed(microphone, reference) if knows else tracker.feed(microphone)) + tracker.flush())


def as_song(voice: np.ndarray, notes: Sequence[TrueNote], band: np.ndarray) -> Song:
    """The voice is voiced where its notes are."""
    times_s = np.arange(len(voice) * 100 // SAMPLE_RATE) / 100.0
    sung = np.zeros(len(times_s))
    for note in notes:
        sung[(times_s >= note.on_s) & (times_s < note.off_s)] = 1.0
    return Song("", voice, band, times_s, sung)


def one_after_the_other(sounds: Sequence[Sound]) -> Sound:
    """All in one stream, tones and singing in turn."""
    half = len(sounds) // 2
    ordered = [sound for pair in zip(sounds[:half], sounds[half:]) for sound in pair]
    return Sound(
        "all", "all", np.concatenate([s.samples for s in ordered]), np.concatenate([s.f0_hz for s in ordered]), tuple(_moved(ordered))
    )


def _moved(sounds: Sequence[Sound]) -> Iterator[TrueNote]:
    start_s = 0.0
    for sound in sounds:
        yield from (replace(note, on_s=note.on_s + start_s, off_s=note.off_s + start_s) for note in sound.notes)
        start_s += len(sound.samples) / SAMPLE_RATE


def delays(steps: Sound, tracked: Tracked) -> dict:
    """Summaries of the delays of f0 and note-on, after onsets and after steps."""
    records = onsets.measure(lambda samples: tracked, [steps])
    return {
        f"{event} {output}": onsets.summary([r[output] for r in records if r["event"] == event])
        for event in ("onset", "step") for output in ("f0", "note-on")
    }


def table(rows: Sequence[dict]) -> str:
    """Markdown: F of notes, and medians of delays in ms with the share that never came."""
    events = [f"{event} {output}" for event in ("onset", "step") for output in ("f0", "note-on")]
    head = ["case", "F onset", "F note", "F note_offset", *(f"{event} median ms (never)" for event in events)]
    return markdown(head, [[row["case"], *_f(row["notes"]), *(_delay(row[event]) for event in events)] for row in rows])


def _f(notes: dict) -> list[str]:
    return [f"{notes[kind]['F']:.3f}" for kind in ("onset", "note", "note_offset")]


def _delay(summary: dict) -> str:
    median = "never" if summary["median"] is None else f"{summary['median']:.1f}"
    return f"{median} ({100 * summary['never']:.0f} %)"


if __name__ == "__main__":
    main()
