"""A known band taken out of the microphone: accuracy with and without, on held-out singers in simulated rooms.

``python -m rt_melody.benchmarks.band --data FOLDER --jobs 2 --out benchmarks/results`` writes ``band.json``, ``band.md`` and,
where matplotlib is, ``band.png``. It takes six minutes of a core; with ``--kept FILE`` a run that was stopped goes on where it was.

Conventions
-----------
* A song is the clips of one of MIR-1K's test songs joined in order, until there are SONG_S. Its voice is dry; its accompaniment
  goes through a loudspeaker and one of ROOMS, each song through another. Ratios are of RMS, the voice's where it is voiced over
  all of the leak. The reference is the accompaniment before the loudspeaker.
* ROOMS took no part in choosing the canceller's settings, which were chosen on MIR-1K's validation singers in other rooms. (The
  network has heard all rooms, but around voices.)
* The loudspeaker is a laptop's: nothing below 180 Hz, less from 6.5 kHz on, a bump and a dip, and tanh on the peaks (DRIVE).
* "cold" is the whole song, "warm" without its first WARM_S. Taken out, in dB: power of the leak over what is left of it, the
  median over seconds.
* The voice alone and what is compared with targets are heard hop by hop, as live; the other cases RECORDED_HOPS hops at a time,
  which gives the same frames but for rounding, in less than half the time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import soxr
from scipy.signal import butter, fftconvolve, iirpeak, lfilter, sosfilt
from tqdm import tqdm

from rt_melody.benchmarks.melody_scores import NAMES, Frames, MelodyScores, aligned
from rt_melody.benchmarks.report import can_draw, markdown, measure_into_folder, refuse_counts, write_result
from rt_melody.benchmarks.trackers import trusted
from rt_melody.kernels.resample import BLOCK, StreamResampler
from rt_melody.models.training.data import SAMPLE_RATE, Clip, DataError, data_folder, load_mir1k, load_mono, read_mir1k_labels
from rt_melody.realtime.engine import RECORDED_HOPS, Engine
from rt_melody.realtime.reference import BandCanceller

BOUND_MS = 50.0
SONG_S, WARM_S = 40.0, 2.0
SONGS = ("Ani_3", "bug_2", "davidson_2", "fdps_3", "Ani_5", "davidson_5")
ROOMS = ("kitchen-true-stereo", "medium_room", "large_room", "omni-35-10", "binaural-s3_r4_bd", "small_room")
RATIOS_DB = (5, 0, -5, -10)
HARD_DB = -5  # at which everything else is heard
BASE_DELAY_S = 0.1  # of songs whose clocks drift, so that there is something to give up
MOVE_S = 0.3  # that a moved microphone takes
JUMP_S = 0.1  # by which a reference jumps ahead
SINCE_S = 8  # for so many seconds it is told how it goes on after half time, where something happens
DRIVE = 0.5  # the loudspeaker's peaks, where tanh bends them: 0.5 comes out as 0.46
TARGETS = {5: (96.0, 95.5), 0: (96.0, 95.0), -5: (95.0, 93.5), -10: (93.0, 90.0)}  # warm, cold
ESTIMATE = ("time_s", "f0_hz", "voiced", "confidence")


@dataclass(frozen=True)
class Case:
    """What is different from a microphone that hears the right band at once."""

    ratio_db: float
    reference: str = "right"  # or "none" (no canceller), "wrong", "silent", "turns wrong", "jumps", "other rates"
    delay_s: float = 0.0
    drift_ppm: float = 0.0  # by how much faster the band's clock runs
    moves: bool = False


def cases(ratios_db: Sequence[float]) -> dict[str, Case]:
    hard = Case(HARD_DB)
    rows = {}
    for db in ratios_db:
        rows[f"{db:+g} dB without"], rows[f"{db:+g} dB with"] = Case(db, "none"), Case(db)
    rows["wrong reference"], rows["silent reference"] = replace(hard, reference="wrong"), replace(hard, reference="silent")
    rows["delay 250 ms"], rows["delay 500 ms"] = replace(hard, delay_s=0.25), replace(hard, delay_s=0.5)
    rows |= {f"drift {ppm} ppm": replace(hard, delay_s=BASE_DELAY_S, drift_ppm=ppm) for ppm in (0, 50, 300)}
    far = replace(hard, delay_s=1.5)
    rows["delay 1500 ms, without"], rows["delay 1500 ms"] = replace(far, reference="none"), far
    rows["microphone moves, without"] = replace(hard, reference="none", moves=True)
    rows["microphone moves"] = replace(hard, moves=True)
    rows["reference turns wrong"], rows["reference jumps"] = replace(hard, reference="turns wrong"), replace(hard, reference="jumps")
    rows["reference 44.1 kHz, microphone 48 kHz"] = replace(hard, reference="other rates")
    return rows


# ---- what is heard -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Song:
    name: str
    voice: np.ndarray  # [shape=(n_samples,)]
    band: np.ndarray
    times_s: np.ndarray  # of the labels [shape=(n_labels,)]
    f0_hz: np.ndarray  # 0 = unvoiced

    @property
    def voiced(self) -> np.ndarray:
        """Whether each sample is."""
        at = np.arange(len(self.voice)) / SAMPLE_RATE
        return np.interp(at, self.times_s, (self.f0_hz > 0).astype(float)) > 0.5


def join(clips: Sequence[Clip], folder: Path, name: str) -> Song:
    """The clips of a song in order. Raises DataError where there are none."""
    voices, bands, times, hz, start = [], [], [], [], 0
    for clip in clips:
        if start >= SONG_S * SAMPLE_RATE:
            break
        at, midi = read_mir1k_labels(folder / f"{clip.name}.pv")
        inside = at < len(clip.voice) / SAMPLE_RATE
        times.append(at[inside] + start / SAMPLE_RATE)
        hz.append(np.where(midi > 0, 440.0 * 2.0 ** ((midi - 69.0) / 12.0), 0.0)[inside])
        voices.append(clip.voice)
        bands.append(clip.accompaniment)
        start += len(clip.voice)
    if not voices:
        raise DataError(f"there are no clips of the song {name} in {folder}")
    return Song(name, np.concatenate(voices), np.concatenate(bands), np.concatenate(times), np.concatenate(hz))


def loudspeaker(band: np.ndarray, drive: float = DRIVE) -> np.ndarray:
    """What a laptop's loudspeaker makes of it [shape=(n_samples,)]."""
    sound = band
    for order, hz, side in ((2, 180, "high"), (1, 6500, "low")):
        sound = np.asarray(sosfilt(butter(order, hz, side, fs=SAMPLE_RATE, output="sos"), sound))
    peak = np.percentile(np.abs(sound), 99.9)
    sound = np.tanh(sound / peak * drive) * peak / drive
    for hz, q, gain in ((900, 3, 0.6), (3200, 4, -0.4)):
        sound = sound + gain * np.asarray(lfilter(*iirpeak(hz, q, fs=SAMPLE_RATE), sound))
    return sound


def leak(song: Song, case: Case, room: np.ndarray, other_room: np.ndarray) -> np.ndarray:
    """The band at the microphone, at the case's ratio."""
    played = np.concatenate([np.zeros(round(case.delay_s * SAMPLE_RATE)), loudspeaker(song.band)])[: len(song.band)]
    heard = _at_ratio(song, fftconvolve(played, room)[: len(played)], case.ratio_db)
    if case.moves:
        there = _at_ratio(song, fftconvolve(played, other_room)[: len(played)], case.ratio_db)
        part = np.clip((np.arange(len(played)) / SAMPLE_RATE - 0.5 * len(played) / SAMPLE_RATE) / MOVE_S, 0.0, 1.0)
        heard = (1.0 - part) * heard + part * there
    return read_faster(heard, case.drift_ppm) if case.drift_ppm else heard


def _at_ratio(song: Song, sound: np.ndarray, ratio_db: float) -> np.ndarray:
    voice = np.sqrt(np.mean(song.voice[song.voiced].astype(float) ** 2))
    return sound * voice / np.sqrt(np.mean(sound**2)) * 10.0 ** (-ratio_db / 20.0)


def read_faster(sound: np.ndarray, ppm: float) -> np.ndarray:
    """The sound of a clock that runs faster, by a windowed sinc of 32 taps."""
    position = np.arange(len(sound)) * (1.0 + ppm * 1e-6)
    whole = np.floor(position).astype(int)
    part, out = position - whole, np.zeros(len(sound))
    for tap in range(-15, 17):
        out += sound[np.clip(whole + tap, 0, len(sound) - 1)] * np.sinc(part - tap) * np.cos(np.pi * (part - tap) / 34.0) ** 2
    return out


def converted(sound: np.ndarray, rate: int) -> np.ndarray:
    """Through another rate and back, as an input of that rate comes."""
    there = soxr.resample(sound.astype(np.float32), SAMPLE_RATE, rate)
    resampler = StreamResampler(rate, SAMPLE_RATE)
    out, pieces = np.zeros(resampler.most_outputs(BLOCK), np.float32), []
    for start in range(0, len(there), BLOCK):
        pieces.append(out[: resampler.process(there[start : start + BLOCK], out)].copy())
    return np.concatenate(pieces)


def cancelled(microphone: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, BandCanceller]:
    """The microphone without the band, whole hops of it, and the canceller as it was at the end."""
    canceller = BandCanceller()
    hop = canceller.hop_samples
    out = np.zeros(min(len(microphone), len(reference)) // hop * hop, np.float32)
    for at in range(0, len(out), hop):
        canceller.process(microphone[at : at + hop], reference[at : at + hop], out[at : at + hop])
    return out, canceller


# ---- in each process ---------------------------------------------------------------------------

ENGINES: list[Engine] = []  # hop by hop, and many hops at a time


def prepare(model: str | None) -> None:
    ENGINES.extend(Engine(SAMPLE_RATE, BOUND_MS, trusted(model), hops_at_once=hops) for hops in (1, RECORDED_HOPS))


def is_plain(case: Case | None) -> bool:
    """Whether nothing but the ratio is special."""
    return case is None or replace(case, ratio_db=HARD_DB) in (Case(HARD_DB), Case(HARD_DB, "none"))


def frames_of(song: Song, sound: np.ndarray, case: Case | None) -> Frames:
    engine = ENGINES[0 if is_plain(case) else 1]
    frames = engine.feed(sound) + engine.flush()
    return aligned(song.times_s, song.f0_hz, *(np.array([getattr(f, name) for f in frames]) for name in ESTIMATE))


@dataclass(frozen=True)
class Heard:
    frames: Frames
    taken_db: np.ndarray  # of each second
    since_half_db: np.ndarray  # of each second since half time
    delay_ms: float | None = None
    drift_ppm: float = 0.0


def hear(task: tuple[Song, Song, Case | None, np.ndarray, np.ndarray]) -> Heard:
    """One song in one case; None is the voice alone."""
    song, other, case, room, other_room = task
    if case is None:
        return Heard(frames_of(song, _peaked(song.voice), case), np.zeros(0), np.zeros(0))
    band = leak(song, case, room, other_room)
    level = 0.5 / np.abs(song.voice + band).max()
    microphone, voice = ((song.voice + band) * level).astype(np.float32), song.voice * level
    if case.reference == "none":
        return Heard(frames_of(song, microphone, case), np.zeros(0), np.zeros(0))
    reference = _peaked(reference_of(song, other, case.reference))
    if case.reference == "other rates":
        microphone, reference = converted(microphone, 48000), converted(reference, 44100)
    out, canceller = cancelled(microphone, reference)
    heard, left, half = band * level, out - voice[: len(out)], len(band) // 2
    taken = taken_db(heard, left), taken_db(heard[half : len(left)], left[half:])
    return Heard(frames_of(song, out, case), *taken, canceller.delay_ms, canceller.drift_ppm)


def reference_of(song: Song, other: Song, kind: str) -> np.ndarray:
    """What the canceller is told that is played [shape=(n_samples,)]."""
    right, wrong = song.band, np.resize(other.band, len(song.band))
    half = len(right) // 2
    if kind == "turns wrong":
        return np.concatenate([right[:half], wrong[half:]])
    if kind == "jumps":
        return np.concatenate([right[:half], np.resize(right[half + round(JUMP_S * SAMPLE_RATE) :], len(right) - half)])
    return {"wrong": wrong, "silent": np.zeros(len(right))}.get(kind, right)


def _peaked(sound: np.ndarray) -> np.ndarray:
    return (sound * (0.5 / (np.abs(sound).max() + 1e-9))).astype(np.float32)


def taken_db(band: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Power of the leak over what is left of it, each second."""
    seconds = min(len(band), len(left)) // SAMPLE_RATE
    powers = [np.mean(x[: seconds * SAMPLE_RATE].reshape(seconds, -1).astype(float) ** 2, axis=1) + 1e-12 for x in (band, left)]
    return 10.0 * np.log10(powers[0] / powers[1])


# ---- the whole ---------------------------------------------------------------------------------


def row_of(name: str, case: Case | None, songs: Sequence[Song], heard: Sequence[Heard]) -> dict:
    """All figures of a case."""
    cold = [h.frames for h in heard]
    warm = [h.frames.only(_times(song, h.frames) >= WARM_S) for song, h in zip(songs, heard)]
    told = [h for h in heard if len(h.taken_db)]
    seconds = min((len(h.taken_db) for h in told), default=0)
    return {
        "case": name,
        "ratio_db": case.ratio_db if case else None,
        "cancels": bool(told),
        "cold": MelodyScores(cold).pooled(),
        "warm": MelodyScores(warm).pooled(),
        "errors": MelodyScores(warm).errors(),
        "warm_by_song": {song.name: MelodyScores([frames]).pooled() for song, frames in zip(songs, warm)},
        "taken_db": float(np.median(np.concatenate([h.taken_db[2:] for h in told]))) if told else None,
        "taken_db_by_song": {song.name: float(np.median(h.taken_db[2:])) for song, h in zip(songs, heard) if len(h.taken_db)},
        "taken_db_over_time": [float(np.median([h.taken_db[i] for h in told])) for i in range(seconds)],
        "since_half_db": [float(np.median([h.since_half_db[i] for h in told])) for i in range(SINCE_S)] if told else [],
        "delay_ms": [h.delay_ms for h in told],
        "drift_ppm": [h.drift_ppm for h in told],
    }


def _times(song: Song, frames: Frames) -> np.ndarray:
    return np.concatenate([np.zeros(len(frames.ref_cent) - len(song.times_s)), song.times_s])


class Kept:
    """Rows in a file as they are measured, for a run that is stopped. Raises DataError for those of other circumstances."""

    def __init__(self, path: Path | None, about: dict) -> None:
        self._path, self._rows = path, {}
        if path is None:
            return
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
        if lines and lines[0] != json.loads(json.dumps(about)):
            raise DataError(f"{path} holds rows of another model or of other songs; leave --kept {path} out, or delete the file")
        self._rows = {row["case"]: row for row in lines[1:]}
        if not lines:
            self._add(about)

    def row(self, name: str) -> dict | None:
        return self._rows.get(name)

    def keep(self, row: dict) -> dict:
        if self._path is not None:
            self._add(row)
        return row

    def _add(self, line: dict) -> None:
        assert self._path is not None, "rows are kept in a file"
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def measure(args: argparse.Namespace) -> dict:
    """Rows and what they were made of. Raises DataError, RtMelodyError."""
    engine, folder = Engine(SAMPLE_RATE, BOUND_MS, trusted(args.model)), data_folder(args.data)
    clips = load_mir1k(folder, "test")
    songs = [join([c for c in clips if c.name.startswith(f"{name}_")], folder / "mir-1k" / "test", name) for name in SONGS[:: args.every]]
    rooms = load_mono([folder / "rooms" / f"{name}.flac" for name in ROOMS[:: args.every]])
    plan: dict[str, Case | None] = {"voice alone": None, **cases(args.ratios_db)}
    if args.cases:
        plan = {name: case for name, case in plan.items() if any(word in name for word in args.cases)}
    scenes = [(song, songs[(i + 1) % len(songs)], rooms[i], rooms[(i + 1) % len(rooms)]) for i, song in enumerate(songs)]
    kept = Kept(args.kept, {"model": engine.model.provenance, "songs": [song.name for song in songs]})
    rows = []
    with ProcessPoolExecutor(args.jobs, get_context("spawn"), prepare, (args.model,)) as pool:
        for name, case in tqdm(plan.items(), "cases"):
            row = kept.row(name)
            if row is None:
                tasks = [(song, other, case, room, other_room) for song, other, room, other_room in scenes]
                row = kept.keep(row_of(name, case, songs, list(pool.map(hear, tasks))))
            rows.append(row)
    minutes = sum(len(s.voice) for s in songs) / SAMPLE_RATE / 60.0
    where = ", ".join(f"{song} in {room}" for song, room in zip(SONGS[:: args.every], ROOMS[:: args.every]))
    return {"rows": rows, "model": engine.model.provenance, "about": f"{minutes:.1f} minutes: {where}; bound {BOUND_MS:g} ms"}


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", help="data folder; default: $RT_MELODY_DATA")
    parser.add_argument("--ratios-db", nargs="+", type=float, default=list(RATIOS_DB), help="of the voice over the leak")
    parser.add_argument("--cases", nargs="+", metavar="WORD", help="only cases in whose names one of these words stands")
    parser.add_argument("--every", type=int, default=1, help="only every n-th song")
    parser.add_argument("--model", help="model file; default: the shipped one")
    parser.add_argument("--jobs", type=int, default=1, help="processes that hear songs")
    parser.add_argument("--kept", type=Path, metavar="FILE", help="keep rows there as they are measured, and take those that it holds")
    parser.add_argument("--out", type=Path, help="folder for band.json, band.md and the picture")
    args = parser.parse_args(arguments)
    refuse_counts(args)
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    measure_into_folder(parse_arguments(arguments), measure, tables, write)


def write(folder: Path, result: dict) -> None:
    """band.json, band.md, and the picture where matplotlib is."""
    write_result(folder / "band.json", result["rows"], result["about"], result["model"])
    (folder / "band.md").write_text(tables(result) + "\n", encoding="utf-8")
    if can_draw():
        draw(result["rows"], folder / "band.png")


def tables(result: dict) -> str:
    """Markdown: every case; songs by themselves; delays and drifts that were told."""
    rows = result["rows"]
    head = ["case", *(f"{name} warm" for name in NAMES if name != "RCA"), "OA cold", "target warm", "cold", "taken out dB"]
    return "\n\n".join(
        [
            "# A known band taken out",
            f"{result['about']}. Percent of frames, pooled; streaming engine; warm: without the first {WARM_S:g} s.",
            markdown(head, [_line(row) for row in rows]),
            "## OA warm (dB taken out), by song",
            markdown(["case", *rows[0]["warm_by_song"]], [_song_line(row, rows[0]["warm_by_song"]) for row in rows]),
            "## dB taken out, by second after half time, when something happens",
            markdown(["case", *map(str, range(1, SINCE_S + 1))], [_since_line(row) for row in rows if _happens(row["case"])]),
            "## Told at the end of each song",
            markdown(["case", "delay ms", "drift ppm"], [_told_line(row) for row in rows if row["cancels"]]),
        ]
    )


def _line(row: dict) -> list:
    warm, cold = TARGETS.get(row["ratio_db"], (None, None)) if row["case"].endswith(" with") else (None, None)
    return [row["case"], *(row["warm"][n] for n in NAMES if n != "RCA"), row["cold"]["OA"], warm, cold, row["taken_db"]]


def _song_line(row: dict, names: Iterable[str]) -> list:
    taken = row["taken_db_by_song"]
    cells = {n: f"{p['OA']:.1f}" + (f" ({taken[n]:.0f})" if n in taken else "") for n, p in row["warm_by_song"].items()}
    return [row["case"], *(cells.get(name, "") for name in names)]


def _happens(case: str) -> bool:
    return case in ("microphone moves", "reference turns wrong", "reference jumps")


def _since_line(row: dict) -> list:
    return [row["case"], *(f"{db:.1f}" for db in row["since_half_db"])]


def _told_line(row: dict) -> list:
    delays = ", ".join("-" if d is None else f"{d:.0f}" for d in row["delay_ms"])
    return [row["case"], delays, ", ".join(f"{d:.0f}" for d in row["drift_ppm"])]


def draw(rows: Iterable[dict], path: Path) -> None:
    """OA over the ratio, with and without; what is taken out over time."""
    from matplotlib import pyplot as plt

    rows = list(rows)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 3.6), dpi=120, layout="constrained")
    for ending, label, when in (
        ("without", "without", "warm"),
        (" with", "with, after 2 s", "warm"),
        (" with", "with, whole song", "cold"),
    ):
        points = sorted((r["ratio_db"], r[when]["OA"]) for r in rows if r["case"].endswith(f"dB {ending.strip()}"))
        if points:
            left.plot(*zip(*points), marker="o", label=label)
    for row in rows:
        if row["ratio_db"] is None:
            left.axhline(row["warm"]["OA"], color="grey", linestyle=":", label="voice alone")
        elif row["cancels"] and (row["case"].endswith(" with") or row["case"] == "microphone moves"):
            right.plot(row["taken_db_over_time"], label=row["case"])
    left.set(xlabel="voice over leaking band (dB)", ylabel="overall accuracy (%)")
    right.set(xlabel="time (s)", ylabel="band taken out (dB, median)")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    main()
