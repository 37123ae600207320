"""What a corpus costs beyond its sound: several processes against one, what a file costs besides being heard, runs that are killed
and begun again, and a Dask cluster of this machine against processes.

    python -m rt_melody.benchmarks.corpus jobs|overhead|kills|dask|workers|simulate [--files N] [--seconds S]

Every figure is of ``rt-melody extract`` as a user starts it, on files that are made of the demo song. ``overhead`` is processor
time, which a busy machine hardly changes: of all that is done for a file, less that of hearing its samples. ``simulate`` reckons
what cannot be measured here, many workers behind one scheduler and one disk, from what a task costs each of them.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

import numpy as np
import soundfile

from rt_melody.realtime.corpus.cluster import LOCAL, on_cluster
from rt_melody.realtime.corpus.extract import extract as extract_here
from rt_melody.realtime.corpus.extraction import Extraction, Extractor
from rt_melody.realtime.corpus.inputs import Recording, find_recordings
from rt_melody.realtime.corpus.workers import Outcome, run_tasks
from rt_melody.realtime.errors import RtMelodyError
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.signals import StopSignals
from rt_melody.realtime.sources.demo import demo_phrase

RATE = 16_000
COMMAND = [sys.executable, "-m", "rt_melody", "extract"]


def make_files(folder: Path, number: int, seconds: float, broken: int = 0) -> None:
    """So many recordings, each another stretch of the song; every ``number // broken``-th is none."""
    song = np.tile(demo_phrase(RATE).samples, 2 + int(seconds * RATE / len(demo_phrase(RATE).samples)))
    draw = random.Random(0)
    for i in range(number):
        path = folder / f"{i % 100:02}" / f"{i:05}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        if broken and i % (number // broken) == 0:
            path.write_text("no audio")
            continue
        begin = draw.randrange(len(song) - int(seconds * RATE))
        soundfile.write(path, song[begin : begin + int(seconds * RATE)], RATE)


def extract(folder: Path, out: Path, *options: str) -> tuple[float, int]:
    """Seconds by the wall, and the exit status."""
    began_s = time.perf_counter()
    done = subprocess.run([*COMMAND, str(folder), "--out", str(out), *options], capture_output=True, check=False)
    if done.returncode not in (0, 1) or not results(out):
        raise RtMelodyError(f"extract ended with {done.returncode} and left nothing: {done.stderr.decode()[-500:]}")
    return time.perf_counter() - began_s, done.returncode


def results(out: Path) -> dict[str, bytes]:
    """Every result by its path."""
    paths = [path for path in sorted(out.rglob("*.*")) if path.suffix in (".csv", ".mid")]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in paths}


def jobs(folder: Path, number: int, seconds: float) -> None:
    make_files(folder / "in", number, seconds)
    for turn in range(2):
        one, two = (extract(folder / "in", folder / f"out{turn}{count}", "--jobs", str(count))[0] for count in (1, 2))
        print(f"{number} files of {seconds:g} s: one job {one:.1f} s, two {two:.1f} s, {one / two:.2f} times as fast")


def overhead(folder: Path, number: int, seconds: float) -> None:
    """Worker and caller in this process, so that their processor time can be told; what passes between processes apart."""
    make_files(folder / "in", number, seconds)
    extraction = Extraction(Settings(), ("csv", "midi"), str(folder / "out"))
    recordings = find_recordings([str(folder / "in")], [], [], folder / "out")
    extractor = Extractor(extraction)
    extractor.hear(recordings[0].path)  # the model is loaded
    memory_mb: list[float] = []

    def outcomes(todo: Iterable[Recording], stop: Callable[[], bool]) -> Generator[Outcome]:
        for recording in todo:
            yield Outcome(recording, extractor(recording))
            memory_mb.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    before = time.process_time()
    extract_here(extraction, recordings, outcomes, StopSignals())
    a_file_ms = 1000.0 * (time.process_time() - before) / number
    heard_ms, passing_ms = _hearing_ms(folder / "in", 100), _passing_ms(recordings)
    again_s = extract(folder / "in", folder / "out")[0]
    print(f"{number} files of {seconds:g} s: {a_file_ms:.1f} ms of processor a file, {heard_ms:.1f} of them for what is heard")
    print(f"overhead {a_file_ms - heard_ms + passing_ms:.1f} ms a file, {passing_ms:.2f} of them between processes")
    print(f"peak memory {memory_mb[number // 10]:.0f} MB after a tenth, {memory_mb[-1]:.0f} at the end; again: {again_s:.1f} s")


def _passing_ms(recordings: list[Recording]) -> float:
    """Processor time of the caller for handing over a task and taking its result."""
    before = time.process_time()
    count = sum(1 for _ in run_tasks(_nothing, (), recordings, 1))
    return 1000.0 * (time.process_time() - before) / count


def _nothing() -> Callable[[Recording], dict[str, str]]:
    return _say_done


def _say_done(recording: Recording) -> dict[str, str]:
    return {"path": recording.name, "status": "done"}


def _hearing_ms(folder: Path, number: int) -> float:
    """Processor time of feeding one file's samples to a warm tracker."""
    from rt_melody.realtime.melody import MelodyTracker

    tracker = MelodyTracker.from_settings(None, RATE, recorded=True)
    tracker.warm_up()
    sounds = [soundfile.read(path, dtype="float32")[0] for path in sorted(folder.rglob("*.wav"))[:number]]
    before = time.process_time()
    for sound in sounds:
        tracker.feed(sound)
        tracker.flush()
        tracker.reset()
    return 1000.0 * (time.process_time() - before) / len(sounds)


def kills(folder: Path, number: int, seconds: float) -> None:
    make_files(folder / "in", number, seconds, broken=max(1, number // 10))
    status = extract(folder / "in", folder / "whole")[1]
    whole = results(folder / "whole")
    draw, killed = random.Random(1), 0
    while killed < 20:
        process = subprocess.Popen([*COMMAND, str(folder / "in"), "--out", str(folder / "out")], stderr=subprocess.DEVNULL)
        try:
            process.wait(draw.uniform(0.5, 6.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    last = extract(folder / "in", folder / "out")[1]
    same = results(folder / "out") == whole
    print(f"{number} files, {len(whole) // 2} with results, status {status}; killed {killed} times, then status {last}, same bytes: {same}")


def dask(folder: Path, number: int, seconds: float) -> None:
    make_files(folder / "in", number, seconds)
    for turn in range(2):
        by_jobs = extract(folder / "in", folder / f"jobs{turn}", "--jobs", "2")
        by_dask = extract(folder / "in", folder / f"dask{turn}", "--jobs", "2", "--scheduler")
        same = results(folder / f"jobs{turn}") == results(folder / f"dask{turn}")
        print(
            f"{number} files of {seconds:g} s: --jobs 2 {by_jobs[0]:.1f} s, Dask with two workers {by_dask[0]:.1f} s "
            f"({by_dask[0] / by_jobs[0]:.2f} of it), same bytes: {same}"
        )


def workers(folder: Path, number: int, seconds: float) -> None:
    """A Dask worker is killed a dozen times while a corpus is heard."""
    make_files(folder / "in", number, seconds, broken=max(1, number // 10))
    extract(folder / "in", folder / "whole")
    extraction = Extraction(Settings(), ("csv", "midi"), str(folder / "out"))
    recordings, killed = find_recordings([str(folder / "in")], [], [], folder / "out"), 0
    with on_cluster(extraction, LOCAL, 2) as outcomes:

        def disturbed(todo: Iterable[Recording], stop: Callable[[], bool]) -> Generator[Outcome]:
            nonlocal killed
            for done, outcome in enumerate(outcomes(todo, stop)):
                yield outcome
                if done % (number // 12) == 0:
                    killed += kill_a_worker()

        extract_here(extraction, recordings, disturbed, StopSignals())
    left = len(results(folder / "whole")) - len(results(folder / "out"))
    status = extract(folder / "in", folder / "out")[1]
    same = results(folder / "out") == results(folder / "whole")
    print(
        f"{number} files on two Dask workers, of which one was killed {killed} times: {left // 2} left out, "
        f"begun again: status {status}, same bytes: {same}"
    )


def kill_a_worker() -> int:
    """One of this process's Dask workers, by SIGKILL; how many, since there may be none for a moment."""
    children = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "spawn_main"], capture_output=True, text=True, check=False)
    for pid in children.stdout.split()[-1:]:
        os.kill(int(pid), signal.SIGKILL)
        return 1
    return 0


# What a task costs, for the simulation: measured by the parts above, or as its documentation says.
SPEED = 20.0  # x real time, of one worker
OVERHEAD_S = 0.015  # a file, beside the hearing
SCHEDULER_S = 0.001  # a task, of Dask's one thread (its documentation: 200 us to 1 ms)
DISK_BYTES_S = 1.1e9  # a shared disk behind 10 Gbit/s
LINK_BYTES_S = 1.1e8  # the client's own link, 1 Gbit/s, through which --send goes
SOUND_BYTES_S = 96_000.0  # 48 kHz, 16 bits, mono


def simulate(folder: Path, number: int, seconds: float) -> None:
    print(f"{number} recordings of {seconds:g} s in the mean, {SPEED:g} x real time a worker")
    for workers in (1, 10, 100, 1000):
        by_path, by_bytes = (simulated_s(workers, number, seconds, bytes_s) for bytes_s in (DISK_BYTES_S, LINK_BYTES_S))
        alone_s = number * (seconds / SPEED + OVERHEAD_S)
        shares = [100.0 * alone_s / workers / total_s for total_s in (by_path, by_bytes)]
        path, sent = (f"{total_s / 3600:8.2f} h ({share:3.0f} % busy)" for total_s, share in zip((by_path, by_bytes), shares))
        print(f"{workers:5} workers: by path {path}, sent {sent}")


def simulated_s(workers: int, number: int, seconds: float, bytes_s: float) -> float:
    """Until all are done: each task waits for the scheduler, which does one thing at a time, then for its bytes, which come one
    after the other, then is heard. Lengths are exponential."""
    draw = random.Random(0)
    free = [0.0] * workers
    scheduler_s = link_s = 0.0
    for _ in range(number):
        length_s = draw.expovariate(1.0 / seconds)
        scheduler_s = max(scheduler_s, free[0]) + SCHEDULER_S
        link_s = max(link_s, scheduler_s) + length_s * SOUND_BYTES_S / bytes_s
        heapq.heapreplace(free, link_s + length_s / SPEED + OVERHEAD_S)
    return max(free)


PARTS: dict[str, tuple[Callable[[Path, int, float], None], int, float]] = {
    "jobs": (jobs, 40, 30.0),
    "overhead": (overhead, 10_000, 3.0),
    "kills": (kills, 200, 3.0),
    "dask": (dask, 500, 10.0),
    "workers": (workers, 120, 10.0),
    "simulate": (simulate, 100_000, 180.0),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--files", type=int)
    parser.add_argument("--seconds", type=float)
    args = parser.parse_args(arguments)
    measure, number, seconds = PARTS[args.part]
    with tempfile.TemporaryDirectory(prefix="rt-melody-corpus-") as folder:
        measure(Path(folder), args.files or number, args.seconds or seconds)


if __name__ == "__main__":
    main()
