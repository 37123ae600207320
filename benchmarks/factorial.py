"""Accuracy in every combination of room, microphone and scene, what each of them costs, and how sure that is.

``python -m rt_melody.benchmarks.factorial --data FOLDER --every 8 --out benchmarks/results`` writes ``factorial.json`` (every cell),
``factorial.md`` (the effects and the worst cells) and, where matplotlib is, ``factorial.png``. With ``--beside MODEL`` the same
sounds are heard by both models, and ``factorial-beside.*`` tells by how much ``--model`` is better, level by level.

Conventions
-----------
* Heard are MIR-1K's test voices and ``voices/valid``, of each every n-th clip: singers that no training hears. (Weights are chosen on
  the latter.) Frames marked unknown are not scored. Figures are pooled over frames.
* A sound is made in this order: the scene, at ratios of RMS (the voice's where it is voiced); the room, through which all of it
  goes; the peak, conditions.PEAK; the microphone and its noise floor. Noises are functions of the clip's name.
* A level's figure is the mean over all combinations of the other two factors; its effect is the difference from the first level of
  its factor on the same clips, with a paired bootstrap interval of 95 % in which clips are drawn (bootstrap.py).
* Labels stay where they are: a room's response begins with its direct sound, and a microphone delays a voice by less than 3 ms.
  What a room keeps sounding after the singer's end counts as unvoiced. Training heard these rooms, around other voices.
* "own band" is the clip's own karaoke accompaniment; for the clips of ``voices/valid``, which have none, that of a MIR-1K test clip.
* Sounds are heard many hops at a time, as files are, which gives the frames of the live stream but for rounding.
"""

from __future__ import annotations

import argparse
import warnings
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy.signal import butter, fftconvolve, iirpeak, sosfilt, sosfreqz
from tqdm import tqdm

from rt_melody.benchmarks.accuracy import general_midi
from rt_melody.benchmarks.bootstrap import RESAMPLES, interval, weighted_mean
from rt_melody.benchmarks.conditions import heard, peaked
from rt_melody.benchmarks.corpora import BACKING_DB, another, backed, scored
from rt_melody.benchmarks.melody_scores import Frames, MelodyScores
from rt_melody.benchmarks.report import can_draw, markdown, measure_into_folder, refuse_counts, write_result
from rt_melody.benchmarks.trackers import Tracker, by_sound, melody_tracker
from rt_melody.models.training.data import DISPUTED, SAMPLE_RATE, audio_files, clip_of, data_folder, load_mono
from rt_melody.models.training.datasets import Recording, read_mir1k, read_voices

FIGURES = ("OA", "RPA", "VFA")
WORST = 10  # cells in the markdown
DIRECT = 0.1  # of a room's largest peak: where its response first reaches it is the direct sound
CURVE_HZ = (62.5, 125, 250, 500, 1000, 2000, 3000, 4000, 6000)  # at which a microphone's response is told


def _peak(hz: float, q: float, gain_db: float) -> np.ndarray:
    """One section that lifts ``hz`` by ``gain_db`` and leaves what is far from it [shape=(1, 6)]."""
    b, a = iirpeak(hz, q, fs=SAMPLE_RATE)
    return np.concatenate([a + (10.0 ** (gain_db / 20.0) - 1.0) * b, a])[None]


def _butter(order: int, hz: float | tuple[float, float], side: str) -> np.ndarray:
    return np.asarray(butter(order, hz, side, fs=SAMPLE_RATE, output="sos"))


@dataclass(frozen=True)
class Microphone:
    """``sections`` as scipy.signal.sosfilt takes them; ``floor_dbfs``: RMS of the white noise that it adds."""

    what: str
    sections: np.ndarray = field(default_factory=lambda: np.array([[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]]))
    floor_dbfs: float | None = None

    def curve_db(self, hz: Sequence[float]) -> np.ndarray:
        """Its response [shape=(len(hz),)]."""
        _, response = sosfreqz(self.sections, hz, fs=SAMPLE_RATE)
        return 20.0 * np.log10(np.abs(response))


# The first level of each factor is its reference.
ROOMS = {"none": "", "small": "small_room", "large": "large_room"}  # recordings in rooms/ of the data folder
MICROPHONES = {
    "flat": Microphone("as recorded"),
    "telephone": Microphone("300 to 3400 Hz, 24 dB an octave less beyond", _butter(4, (300.0, 3400.0), "bandpass")),
    "dull": Microphone("6 dB an octave less from 1 kHz on, as from behind", _butter(1, 1000.0, "lowpass")),
    "cheap": Microphone(
        "nothing below 150 Hz and above 6.5 kHz, 8 dB too much at 3 kHz, white noise at -45 dBFS under a peak of -6",
        np.vstack([_butter(2, 150.0, "highpass"), _butter(4, 6500.0, "lowpass"), _peak(3000.0, 3.0, 8.0)]),
        floor_dbfs=-45.0,
    ),
}
BACKING = "backing voice"
SCENES = {  # conditions of conditions.py, but for the backing voice
    "alone": "voice", "noise": "pink 20 dB", "instrumental": "gm +0 dB", BACKING: "", "own band": "band +0 dB",
}
SCENE_WORDS = {
    "alone": "the voice", "noise": "pink noise 20 dB below", "instrumental": "General MIDI with a lead of its own, as loud",
    BACKING: f"another singer, {BACKING_DB:g} dB below", "own band": "its karaoke accompaniment, as loud",
}

Levels = dict[str, list[str]]  # of each factor, the reference first


# ---- what is heard -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Sung:
    """A clip, and the one whose voice is the backing."""

    recording: Recording
    other: Recording


def in_scene(sung: Sung, scene: str, pieces: Sequence[np.ndarray]) -> np.ndarray:
    """The voice with what sounds beside it [shape=(n_samples,)]; ``pieces`` are the General MIDI ones."""
    if scene == BACKING:
        return backed(sung.recording, sung.other)
    return heard(clip_of(sung.recording), SCENES[scene], pieces)


def without_lead_in(response: np.ndarray) -> np.ndarray:
    """A room's response from its direct sound on, which need not be its largest peak."""
    size = np.abs(response)
    return response[int(np.argmax(size >= DIRECT * size.max())) :]


def in_room(sound: np.ndarray, response: np.ndarray | None) -> np.ndarray:
    """The sound through a room's response without its lead-in [shape=(n_samples,)]; as it is for None."""
    return sound if response is None else fftconvolve(sound, response)[: len(sound)]


def at_microphone(sound: np.ndarray, microphone: Microphone, seed: int) -> np.ndarray:
    """What it makes of a sound, whose peak is set first [shape=(n_samples,)]."""
    out = np.asarray(sosfilt(microphone.sections, peaked(sound)))
    if microphone.floor_dbfs is not None:
        out = out + 10.0 ** (microphone.floor_dbfs / 20.0) * np.random.default_rng(seed).standard_normal(len(out))
    return np.clip(out, -1.0, 1.0).astype(np.float32)


def with_backing(recordings: Sequence[Recording]) -> list[Sung]:
    """Each with one of another singer, where there is one (see corpora.another)."""
    return [Sung(recording, another(recordings, place, "singer")) for place, recording in enumerate(recordings)]


def clips_of(folder: Path, every: int) -> list[Recording]:
    """Every n-th of MIR-1K's test clips and of ``voices/valid``, each with an accompaniment. Raises DataError."""
    mir1k = list(read_mir1k(folder / "mir-1k" / "test"))[::every]
    valid = folder / "voices" / "valid"
    if not valid.is_dir():
        print(f"there are no voices at {valid}; MIR-1K's alone are heard")
        return mir1k
    bands = [r.accompaniment for r in mir1k if r.accompaniment is not None]
    voices = list(read_voices(valid))[::every]
    return mir1k + [replace(r, accompaniment=np.resize(bands[i % len(bands)], len(r.waveform))) for i, r in enumerate(voices)]


def rooms_of(folder: Path) -> dict[str, np.ndarray | None]:
    """The responses of ROOMS that are in ``folder``, without lead-in, None for no room; one that is not there is left out with a word."""
    rooms: dict[str, np.ndarray | None] = {name: None for name, stem in ROOMS.items() if not stem}
    recorded = {path.stem: path for path in audio_files(folder)}
    for name, stem in ROOMS.items():
        if stem in recorded:
            rooms[name] = without_lead_in(load_mono([recorded[stem]])[0])
        elif stem:
            print(f"the {name} room is left out: there is no {stem} in {folder}")
    return rooms


# ---- in each process ---------------------------------------------------------------------------

TRACKERS: list[Tracker] = []
PIECES: list[np.ndarray] = []
RESPONSES: dict[str, np.ndarray | None] = {}


def prepare(models: Sequence[str | None], latency_ms: float, pieces: list[np.ndarray], rooms: dict[str, np.ndarray | None]) -> None:
    warnings.filterwarnings("ignore", "Estimated melody has no voiced frames", module="mir_eval")  # an answer like others
    TRACKERS[:] = [by_sound(melody_tracker(SAMPLE_RATE, model, recorded=True, latency_ms=latency_ms)) for model in models]
    PIECES[:] = pieces
    RESPONSES.update(rooms)


def hear_clip(task: tuple[Sung, Levels]) -> tuple[np.ndarray, np.ndarray]:
    """One clip in every cell: FIGURES [shape=(n_models, n_rooms, n_microphones, n_scenes, 3)], and of how many frames [shape=(3,)]."""
    sung, levels = task
    seed = zlib.crc32(sung.recording.name.encode())
    values = np.zeros((len(TRACKERS), *map(len, levels.values()), len(FIGURES)))
    weights = np.zeros(len(FIGURES))
    for k, scene in enumerate(levels["scene"]):
        dry = in_scene(sung, scene, PIECES)
        for i, room in enumerate(levels["room"]):
            there = in_room(dry, RESPONSES[room])
            for j, microphone in enumerate(levels["microphone"]):
                sound = at_microphone(there, MICROPHONES[microphone], seed)
                for m, track in enumerate(TRACKERS):
                    values[m, i, j, k], weights = figures(scored(sung.recording, track, sound))
    return values, weights


def figures(frames: Frames) -> tuple[list[float], np.ndarray]:
    """FIGURES of a clip, in percent, and of how many frames each is."""
    pooled, sung = MelodyScores([frames]).pooled(), frames.ref_voicing > 0
    return [pooled[name] for name in FIGURES], np.array([len(sung), sung.sum(), (~sung).sum()], float)


# ---- the effects -------------------------------------------------------------------------------


def by_level(values: np.ndarray, factor: int) -> np.ndarray:
    """Means over the other factors [shape=(n_clips, n_levels, 3)] of ``values`` [shape=(n_clips, n_rooms, n_microphones, n_scenes, 3)]."""
    return values.mean(axis=tuple(axis for axis in (1, 2, 3) if axis != factor + 1))


def compared(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> dict:
    """By how much ``one`` exceeds ``other`` on the same clips: [difference, low, high] of each of FIGURES, all [shape=(n_clips, 3)]."""
    rows: dict[str, list[float | None]] = {}
    for f, name in enumerate(FIGURES):
        difference = one[:, f] - other[:, f]
        rows[name] = [weighted_mean(difference, weights[:, f]), *(interval(difference, weights[:, f]) or (None, None))]
    return rows


def pooled_figures(values: np.ndarray, weights: np.ndarray) -> dict[str, float | None]:
    """FIGURES over all clips of ``values`` and ``weights`` [shape=(n_clips, 3)]."""
    return {name: weighted_mean(values[:, f], weights[:, f]) for f, name in enumerate(FIGURES)}


def effects_of(values: np.ndarray, weights: np.ndarray, levels: Levels, beside: np.ndarray | None = None) -> list[dict]:
    """A row of all cells and one a level: its figures, ``effect`` (what it exceeds its factor's reference by), and, where there is
    another model's, ``gain`` (what the first exceeds it by). Values as ``by_level`` takes them, weights [shape=(n_clips, 3)]."""
    everywhere = values.mean(axis=(1, 2, 3))
    rows: list[dict] = [{"factor": "all", "level": "all", **pooled_figures(everywhere, weights), "effect": None}]
    if beside is not None:
        rows[0]["gain"] = compared(everywhere, beside.mean(axis=(1, 2, 3)), weights)
    for factor, (name, several) in enumerate(levels.items()):
        each = by_level(values, factor)
        for k, level in enumerate(several):
            effect = compared(each[:, k], each[:, 0], weights) if k else None
            rows.append({"factor": name, "level": level, **pooled_figures(each[:, k], weights), "effect": effect})
            if beside is not None:
                rows[-1]["gain"] = compared(each[:, k], by_level(beside, factor)[:, k], weights)
    return rows


def cells_of(values: np.ndarray, weights: np.ndarray, levels: Levels, beside: np.ndarray | None = None) -> list[dict]:
    """A row a combination: its figures and, where there is another model's, ``gain``."""
    rows = []
    for place in np.ndindex(*values.shape[1:4]):
        which = {factor: several[at] for (factor, several), at in zip(levels.items(), place)}
        here = values[(slice(None), *place)]
        rows.append({**which, **pooled_figures(here, weights)})
        if beside is not None:
            rows[-1]["gain"] = compared(here, beside[(slice(None), *place)], weights)
    return rows


# ---- the whole ---------------------------------------------------------------------------------


def measure(args: argparse.Namespace) -> dict:
    """Effects, cells and what they were made of. Raises DataError, RtMelodyError."""
    models = [args.model] if args.beside is None else [args.model, args.beside]
    trackers = [melody_tracker(SAMPLE_RATE, model, recorded=True, latency_ms=args.latency_ms) for model in models]  # refused early
    folder = data_folder(args.data)
    recordings = clips_of(folder, args.every)
    rooms, pieces = rooms_of(folder / "rooms"), general_midi(args.gm)
    scenes = [name for name in SCENES if pieces or name != "instrumental"]
    levels: Levels = {"room": list(rooms), "microphone": list(MICROPHONES), "scene": scenes}
    tasks = [(sung, levels) for sung in with_backing(recordings)]
    with ProcessPoolExecutor(args.jobs, get_context("spawn"), prepare, (models, args.latency_ms, pieces, rooms)) as pool:
        values, weights = map(np.array, zip(*tqdm(pool.map(hear_clip, tasks), "clips", len(tasks))))
    beside = values[:, 1] if len(models) > 1 else None
    provenance = [tracker.engine.model.provenance for tracker in trackers]
    return {
        "cells": cells_of(values[:, 0], weights, levels, beside),
        "effects": effects_of(values[:, 0], weights, levels, beside),
        "about": about(recordings, args),
        "model": provenance[0],
        **({"beside": provenance[1]} if len(models) > 1 else {}),
        "levels": {
            "room": {name: room_described(ROOMS[name], response) for name, response in rooms.items()},
            "microphone": {name: described(MICROPHONES[name]) for name in MICROPHONES},
            "scene": {name: SCENE_WORDS[name] for name in scenes},
        },
    }


def room_described(name: str, response: np.ndarray | None) -> dict:
    """Its reverberation time in s, as its decay from -5 to -25 dB goes on, and its first 5 ms over the rest, in dB."""
    if response is None:
        return {"what": "no room", "t60_s": None, "direct_db": None}
    energy = np.cumsum(np.square(response[::-1], dtype=float))[::-1]
    decay_db = 10.0 * np.log10(energy / energy[0] + 1e-12)
    begin, end = (int(np.argmax(decay_db < db)) for db in (-5.0, -25.0))
    late = float(energy[SAMPLE_RATE // 200 :][:1].sum()) + 1e-12  # nothing, where the response is shorter
    direct_db = 10.0 * np.log10((energy[0] - late) / late)
    return {"what": name, "t60_s": round(3.0 * (end - begin) / SAMPLE_RATE, 2), "direct_db": round(float(direct_db), 1)}


def described(microphone: Microphone) -> dict:
    """In words, and its curve in dB by frequency."""
    curve = {f"{hz:g} Hz": round(float(db), 1) for hz, db in zip(CURVE_HZ, microphone.curve_db(CURVE_HZ))}
    return {"what": microphone.what, "curve_db": curve}


def about(recordings: Sequence[Recording], args: argparse.Namespace) -> str:
    """Which clips, at which bound, by which intervals."""
    mir1k = sum(r.dataset == "MIR-1K" for r in recordings)
    disputed = [r.name for r in recordings if r.name.startswith(DISPUTED)]
    octave = f" (of which {', '.join(disputed)} dispute the octave)" if disputed else ""
    seconds = sum(r.duration_s for r in recordings)
    return (
        f"MIR-1K test, {mir1k} clips{octave}, and voices/valid, {len(recordings) - mir1k}, every {args.every}, {seconds:.0f} s; "
        f"bound {args.latency_ms:g} ms; 95 % paired bootstrap over clips, {RESAMPLES} times"
    )


def write(folder: Path, result: dict) -> None:
    """factorial.json, factorial.md and, where matplotlib is, the picture; "factorial-beside" where two models were heard."""
    path = folder / ("factorial-beside" if "beside" in result else "factorial")
    more = {key: result[key] for key in ("effects", "levels", "beside") if key in result}
    write_result(path.with_suffix(".json"), result["cells"], result["about"], result["model"], **more)
    path.with_suffix(".md").write_text(tables(result) + "\n", encoding="utf-8")
    if can_draw():
        from rt_melody.benchmarks import plots

        plots.effects(result["effects"], FIGURES, path.with_suffix(".png"))


# ---- tables ------------------------------------------------------------------------------------


def tables(result: dict) -> str:
    """Markdown: what the levels are, their effects, the gain over another model, the worst cells."""
    rows, levels = result["effects"], result["levels"]
    parts = [
        f"# Accuracy by room, microphone and scene\n\n{result['about']}; percent of frames, pooled; streaming engine.",
        "## Effects\n\nA level's figures are means over all combinations of the other factors; in brackets the interval of its "
        "difference from the first level of its factor.",
        effects_table(rows),
    ]
    if "beside" in result:
        parts += ["## Gain over the other model, level by level", gain_table(rows)]
    worst = sorted(result["cells"], key=lambda row: row["OA"])[:WORST]
    lines = [[*(row[factor] for factor in levels), *(row[name] for name in FIGURES)] for row in worst]
    parts += [f"## The worst {len(worst)} of {len(result['cells'])} cells", markdown([*levels, *FIGURES], lines)]
    words = [[name, *what.values()] for name, what in levels["room"].items()]
    parts += ["## Rooms", markdown(["room", "recording", "T60 s", "first 5 ms over the rest, dB"], words)]
    words = [[name, what["what"], *what["curve_db"].values()] for name, what in levels["microphone"].items()]
    parts += ["## Microphones, dB", markdown(["microphone", "what", *(f"{hz:g} Hz" for hz in CURVE_HZ)], words)]
    parts += ["## Scenes", markdown(["scene", "what"], [[name, what] for name, what in levels["scene"].items()])]
    return "\n\n".join(parts)


def effects_table(rows: list[dict]) -> str:
    head = [cell for name in FIGURES for cell in (name, f"{name}, difference")]
    lines = []
    for row in rows:
        cells = [cell for name in FIGURES for cell in (row[name], told(row["effect"][name]) if row["effect"] else "")]
        lines.append([row["factor"], row["level"], *cells])
    return markdown(["factor", "level", *head], lines)


def gain_table(rows: list[dict]) -> str:
    return markdown(["factor", "level", *FIGURES], [[r["factor"], r["level"], *(told(r["gain"][name]) for name in FIGURES)] for r in rows])


def told(difference: Sequence[float | None]) -> str:
    """``-1.2 (-2.0 to -0.4)`` of [difference, low, high]; without its interval where there is none, empty where nothing is known."""
    value, low, high = difference
    if value is None:
        return ""
    return f"{value:+.1f}" if low is None or high is None else f"{value:+.1f} ({low:+.1f} to {high:+.1f})"


# ---- the command -------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--model", help="model file; default: the shipped one")
    parser.add_argument("--beside", metavar="MODEL", help="another model file, which --model is compared with on the same sounds")
    parser.add_argument("--every", type=int, default=1, help="only every n-th clip of each corpus")
    parser.add_argument("--jobs", type=int, default=1, help="processes that hear clips")
    parser.add_argument("--gm", type=Path, help="folder that keeps the General MIDI pieces; default: made anew each time")
    parser.add_argument("--out", type=Path, help="folder for factorial.json, factorial.md and the picture")
    args = parser.parse_args(arguments)
    refuse_counts(args)
    measure_into_folder(args, measure, tables, write)


if __name__ == "__main__":
    main()
