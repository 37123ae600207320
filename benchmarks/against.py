"""This build beside an older one, on the same sounds, in turns: what costs how much of what it did cost.

``python -m rt_melody.benchmarks.against --commit 805465d --out against.json --plot against.png``

The commit is installed into a scratch environment that borrows its dependencies from the one that this runs in. In each round
both builds measure each thing, one after the other, and which comes first changes from round to round; a ratio is that of two
neighbours, this build's figure over the other's. Told are the least, the median and the largest of all rounds, since a machine
that others use gives no figure twice; there, seconds of CPU say more than those of the clock. All of it runs with one thread.

What is measured
----------------
hop     a hop's samples from their arrival to the notes, with nothing between the hops
pace    the same at the true pace, asleep between the hops; the share of a core
file    the command on a recording, start included, and its peak memory; on one of a second, which is little more than the
        start to the first pitches; and what is between them, the recording without the start
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from statistics import median

import numpy as np

from rt_melody.benchmarks.report import check_files, markdown, write_result
from rt_melody.realtime.sources.blocks import MAX_RATE_HZ, MIN_RATE_HZ

CHECKOUT = Path(__file__).resolve().parents[1]
CHILD = Path(__file__).with_name("against_child.py")
WHAT = ("hop", "pace", "file")
FIGURES = {
    "hop_ms": "hop in a tight loop, median, ms",
    "hop_p999_ms": "the same, p99.9",
    "paced_hop_ms": "hop at the true pace, median, ms",
    "paced_p999_ms": "the same, p99.9",
    "cpu_share": "share of a core, live",
    "start_s": "start to the pitches of a first second, s",
    "start_cpu_s": "the same, s of CPU",
    "file_s": "file, start included, s",
    "file_cpu_s": "the same, s of CPU",
    "file_without_start_s": "file, without its start, s",
    "file_without_start_cpu_s": "the same, s of CPU",
    "peak_mb": "peak memory of a file run, MB",
}
EXPLAINED = "\N{MULTIPLICATION SIGN} "  # begins what pip explains
SHORT_S = 1.0  # of the recording that costs little more than its start
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


class BuildError(Exception):
    """A build that cannot be had or does not run; the message is one sentence."""


@dataclass(frozen=True)
class Build:
    """A build of rt-melody, by the interpreter that it is installed for. ``model``: what it hears with; empty for what it
    hears with by itself."""

    name: str
    python: str
    model: str = ""


@dataclass(frozen=True)
class Sounds:
    """Where they lie: samples for hops, and a long and a short recording."""

    hops: Path
    long: Path
    short: Path
    rate: int


Figures = dict[str, float]  # by the names of FIGURES
Measure = Callable[[Build, str], Figures]  # what one of WHAT gives of a build


# ---- a commit becomes a build ------------------------------------------------------------------


def install(commit: str, folder: Path) -> Build:
    """That commit in an environment of its own within ``folder``, with this one's dependencies. Raises BuildError."""
    sources, home = folder / "sources", folder / "environment"
    _unpack(_said("git", ["git", "-C", str(CHECKOUT), "archive", "--end-of-options", commit]), sources)
    venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(home)
    python = str(home / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    packages = Path(_said("python", [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).decode().strip())
    borrowed = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages / "borrowed.pth").write_text("\n".join(borrowed), encoding="utf-8")
    options = ["--no-deps", "--no-build-isolation", "--ignore-installed", "--quiet", "--disable-pip-version-check"]
    _said("pip", [sys.executable, "-m", "pip", "--python", python, "install", *options, str(sources)])
    build = Build(commit, python)
    _check_place(build, home)
    return build


def _said(name: str, words: Sequence[str]) -> bytes:
    """What a program gives. Raises BuildError with its own words where it fails."""
    try:
        done = subprocess.run(words, capture_output=True, cwd=tempfile.gettempdir(), env=_environment())
    except OSError as error:
        raise BuildError(f"{name} cannot be run ({error.strerror})") from error
    if done.returncode:
        raise BuildError(f"{name} says: {_reason(done.stderr.decode(errors='replace'))}")
    return done.stdout


def _reason(words: str) -> str:
    """The line that tells most of an error: the last that begins as one and says more than a name, such as pip's
    ``error: metadata-generation-failed``; else pip's first explanation; else the last of all."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    telling = [line for line in lines if line.lower().startswith(("error", "fatal")) and " " in line.partition(": ")[2]]
    explained = [line[2:] for line in lines if line.startswith(EXPLAINED)]
    return (telling[-1:] or explained[:1] or lines[-1:] or ["nothing"])[0]


def _unpack(archive: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(folder, filter="data")


def _check_place(build: Build, home: Path) -> None:
    """What is borrowed holds another rt-melody perhaps, which must not be the one that is measured."""
    where = _said("python", [build.python, "-c", "import rt_melody.realtime.engine as engine; print(engine.__file__)"]).decode().strip()
    if not Path(where).resolve().is_relative_to(home.resolve()):
        raise BuildError(f"{build.name} was installed, and yet another build is found first; run this from a fresh environment")


def _environment() -> dict[str, str]:
    """This process's, with one thread and without what leads to other modules."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}, **ONE_THREAD}


# ---- a build is measured -----------------------------------------------------------------------


class Measurer:
    """Measures a build in processes of its own. ``child``: the text that they run."""

    def __init__(self, sounds: Sounds, child: str) -> None:
        self._sounds, self._child = sounds, child

    def __call__(self, build: Build, what: str) -> Figures:
        """The figures that ``what``, one of WHAT, gives of it. Raises BuildError where it does not run."""
        return getattr(self, f"_{what}")(build)

    def _hop(self, build: Build) -> Figures:
        hops_ms = 1000.0 * np.array(self._run(build, "hop", *self._hops(build))[0]["hops_s"])
        return {"hop_ms": float(np.median(hops_ms)), "hop_p999_ms": float(np.quantile(hops_ms, 0.999))}

    def _pace(self, build: Build) -> Figures:
        told, _ = self._run(build, "pace", *self._hops(build))
        hops_ms = 1000.0 * np.array(told["hops_s"])
        share = told["cpu_share"]
        return {"paced_hop_ms": float(np.median(hops_ms)), "paced_p999_ms": float(np.quantile(hops_ms, 0.999)), "cpu_share": share}

    def _file(self, build: Build) -> Figures:
        (long, long_s), (short, short_s) = (self._command(build, path) for path in (self._sounds.long, self._sounds.short))
        figures = {"file_s": long_s, "file_cpu_s": long["cpu_s"]}
        figures |= {"start_s": short_s, "start_cpu_s": short["cpu_s"]}
        figures |= {"file_without_start_s": long_s - short_s, "file_without_start_cpu_s": long["cpu_s"] - short["cpu_s"]}
        return figures if long["peak_mb"] is None else {**figures, "peak_mb": long["peak_mb"]}

    def _hops(self, build: Build) -> list[str]:
        return [str(self._sounds.hops), str(self._sounds.rate), *([build.model] if build.model else [])]

    def _command(self, build: Build, path: Path) -> tuple[dict, float]:
        model = ["--model", build.model] if build.model else []
        return self._run(build, "file", "--input", str(path), "--csv", str(path.with_suffix(".csv")), "--quiet", *model)

    def _run(self, build: Build, *words: str) -> tuple[dict, float]:
        """What the child tells, and the seconds from its start to its word."""
        began_s = time.perf_counter()
        with subprocess.Popen(
            [build.python, "-c", self._child, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=self._sounds.long.parent, env=_environment(),
        ) as child:
            assert child.stdout is not None and child.stderr is not None
            line = child.stdout.readline()
            seconds = time.perf_counter() - began_s
            errors = child.stderr.read()
        if not line or child.returncode:
            raise BuildError(f"{build.name} does not run: {_reason(errors)}")
        return json.loads(line), seconds


def compare(then: Build, now: Build, what: Sequence[str], rounds: int, measure: Measure) -> dict[str, list[Figures]]:
    """The figures of both builds in each round, by ``then`` and ``now``. Raises what ``measure`` raises."""
    found: dict[str, list[Figures]] = {"then": [{} for _ in range(rounds)], "now": [{} for _ in range(rounds)]}
    for i in range(rounds):
        turns = [("then", then), ("now", now)]
        for one in what:
            for side, build in turns if i % 2 == 0 else reversed(turns):
                found[side][i].update(measure(build, one))
    return found


def ratios(found: dict[str, list[Figures]]) -> dict[str, dict[str, float]]:
    """Of each figure that both builds have: medians then and now, and the least, the median and the largest ratio."""
    rows = {}
    for name in FIGURES:
        pairs = [(a[name], b[name]) for a, b in zip(found["then"], found["now"]) if name in a and name in b]
        if pairs:
            quotients = [now / then for then, now in pairs]
            rows[name] = {
                "then": median(then for then, _ in pairs), "now": median(now for _, now in pairs),
                "min": min(quotients), "median": median(quotients), "max": max(quotients),
            }
    return rows


# ---- the command -------------------------------------------------------------------------------


def make_sounds(folder: Path, rate: int, seconds: float, file_s: float) -> Sounds:
    """A synthetic singer with rests, written into ``folder``."""
    import soundfile

    from rt_melody.benchmarks.compute import singing

    hops, long, short = folder / "hops.npy", folder / "long.wav", folder / "short.wav"
    np.save(hops, singing(rate, seconds).astype(np.float32))
    soundfile.write(long, singing(rate, file_s), rate)
    soundfile.write(short, singing(rate, SHORT_S), rate)
    return Sounds(hops, long, short, rate)


def table(rows: dict[str, dict[str, float]], commit: str) -> str:
    keys = ("then", "now", "median", "min", "max")
    lines = [(FIGURES[name], *(f"{row[key]:.3g}" for key in keys)) for name, row in rows.items()]
    return markdown(("", commit, "now", "ratio", "least", "largest"), lines)


def draw(rows: dict[str, dict[str, float]], commit: str, path: Path) -> None:
    """Each ratio's median between its least and its largest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 0.45 * len(rows) + 1.2), layout="constrained")
    axis = figure.subplots()
    medians = np.array([row["median"] for row in rows.values()])
    reach = np.abs(np.array([[row["min"], row["max"]] for row in rows.values()]).T - medians)
    axis.errorbar(medians, range(len(rows)), xerr=reach, fmt="o", capsize=3)
    axis.axvline(1.0, color="0.5", linewidth=1)
    axis.set(yticks=range(len(rows)), yticklabels=[FIGURES[name] for name in rows], xlabel=f"times what {commit} took", xlim=(0, None))
    axis.invert_yaxis()
    figure.savefig(path, dpi=120)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = _parser()
    args = _arguments(parser, arguments)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            then, now = install(args.commit, Path(scratch)), Build("this build", sys.executable, args.model)
            sounds = make_sounds(Path(scratch), args.rate, args.seconds, 60.0 * args.minutes)
            found = compare(then, now, args.only, args.rounds, Measurer(sounds, CHILD.read_text(encoding="utf-8")))
        except BuildError as error:
            parser.error(str(error))
    rows = ratios(found)
    told = table(rows, args.commit)
    print(told)
    about = f"{args.rounds} rounds, {args.seconds:g} s of hops, a recording of {args.minutes:g} min, input at {args.rate} Hz, one thread"
    about += f", this build with --model {args.model}" * bool(args.model)
    if args.out:
        write_result(args.out, rows, about, against=args.commit, rounds=found)
        args.out.with_suffix(".md").write_text(f"This build over {args.commit}: {about}.\n\n{told}\n", encoding="utf-8")
    if args.plot:
        draw(rows, args.commit, args.plot)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--commit", required=True, help="of this repository: what this build is compared with")
    parser.add_argument("--model", default="", metavar="NAME", help="what this build hears with, such as light")
    parser.add_argument("--only", nargs="+", choices=WHAT, default=WHAT)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of sound for each figure of a hop")
    parser.add_argument("--minutes", type=float, default=2.0, help="of the recording")
    parser.add_argument("--rate", type=int, default=48000, help="of all sounds, Hz")
    parser.add_argument("--out", type=Path, help="write the results as JSON, and beside it the table as Markdown")
    parser.add_argument("--plot", type=Path, help="draw the ratios; needs matplotlib, the extra [plot]")
    return parser


def _arguments(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    args = parser.parse_args(arguments)
    if args.rounds < 1 or not 2 <= args.seconds < inf or not 0 < args.minutes < inf:
        parser.error("give --rounds of 1 or more, --seconds of 2 or more and --minutes above 0, none of them endless")
    if not MIN_RATE_HZ <= args.rate <= MAX_RATE_HZ:
        parser.error(f"--rate is {args.rate}; give {MIN_RATE_HZ} to {MAX_RATE_HZ}")
    check_files(parser, out=args.out, plot=args.plot)
    return args


if __name__ == "__main__":
    main()
