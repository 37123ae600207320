"""Hostile and broken input by the thousand: recordings, model files, YAML, command lines, samples. None may end in a
traceback, hang or run.

``python -m rt_melody.benchmarks.hostile --audio 1000 --models 500 --yaml 5000 --commands 5000 --feeds 1000000`` makes them by
mutation of sound ones (bits, fields of numbers, cuts, pieces moved and doubled; words dropped, doubled, replaced), gives each
to a process of its own kind, and prints what came of them: read, refused in a sentence, and what is a fault: a traceback, a
crash, more than 2 s of processor time, an archive that ran. Samples are fed to a tracker, a thousand feeds being one input:
of any length, of noise, tones, zeros, what is no number or beyond any scale, with skips and ends in between; what comes back
must be finite, in the order of time, and each note must end before the next. Seeded; ``--keep DIR`` keeps the inputs at fault.
Status 1 where there is one.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

LIMIT_S = 2.0  # of processor time, on one input
PATIENCE_S = 30.0  # of the clock, on a busy machine
KINDS = ("audio", "models", "yaml", "commands", "feeds")
FEEDS = 1000  # of an input of that kind
FORMATS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("wav", {}), ("wav", {"subtype": "FLOAT"}), ("wav", {"subtype": "IMA_ADPCM"}), ("wav", {"format": "WAVEX", "subtype": "PCM_24"}),
    ("flac", {}), ("ogg", {}), ("opus", {"format": "OGG", "subtype": "OPUS"}), ("mp3", {}), ("aiff", {}), ("caf", {}), ("au", {}),
    ("w64", {}), ("rf64", {"format": "RF64"}), ("avr", {}), ("voc", {}), ("mat", {"format": "MAT5"}),
)  # fmt: skip
NUMBERS = (0, 1, 2, 7, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 48_001, 384_001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)


# ---- making them -----------------------------------------------------------------------------------


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to six changes, most of them near the beginning, where headers are."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        if changed:
            rng.choice((_flip, _number, _number, _cut, _copy, _insert, _blank))(changed, rng)
    return bytes(changed)


def _place(data: bytearray, rng: random.Random) -> int:
    return rng.randrange(min(len(data), rng.choice((64, 512, len(data)))))


def _flip(data: bytearray, rng: random.Random) -> None:
    data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _number(data: bytearray, rng: random.Random) -> None:
    at, width = _place(data, rng), rng.choice((1, 2, 4, 8))
    data[at : at + width] = (rng.choice(NUMBERS) % 2 ** (8 * width)).to_bytes(width, rng.choice(("little", "big")))


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[_place(data, rng) + 1 :]


def _copy(data: bytearray, rng: random.Random) -> None:
    start, length, to = _place(data, rng), rng.randint(1, 400), _place(data, rng)
    data[to:to] = data[start : start + length]


def _insert(data: bytearray, rng: random.Random) -> None:
    at = _place(data, rng)
    data[at:at] = rng.randbytes(rng.randint(1, 60))


def _blank(data: bytearray, rng: random.Random) -> None:
    at, length = _place(data, rng), rng.randint(1, 200)
    data[at : at + length] = bytes([rng.choice((0, 255))]) * min(length, len(data) - at)


def sound_recordings() -> list[bytes]:
    """Half a second of a tone in each format that libsndfile can write here."""
    import soundfile

    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(24_000) / 48_000)
    made = []
    for suffix, kind in FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"x.{suffix}")
            try:
                soundfile.write(path, np.stack([tone, tone], 1) if suffix in ("wav", "aiff") else tone, 48_000, **kind)
            except (soundfile.LibsndfileError, ValueError, TypeError):
                continue
            made.append(path.read_bytes())
    return made


def sound_models() -> list[bytes]:
    """The shipped model, and an archive whose code makes a file as it is loaded."""
    from rt_melody.models.shipped import SHIPPED
    from rt_melody.models.torchscript import sealed

    shipped = SHIPPED.read_bytes()
    return [shipped, shipped if shipped[-71:-64] == b"sha256:" else sealed(shipped), _archive_that_acts()]


def _archive_that_acts() -> bytes:
    """TorchScript whose ``__setstate__`` prints: a real one would do worse."""
    import zipfile

    import torch

    from rt_melody.models.shipped import SHIPPED
    from rt_melody.models.torchscript import META, archive_of, exported

    class Acting(torch.nn.Module):
        @exported
        def __getstate__(self):
            return (0, self.training)

        @exported
        def __setstate__(self, state: tuple[int, bool]):
            print("AN ARCHIVE RAN")
            self.training = state[1]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    with zipfile.ZipFile(SHIPPED) as archive:
        meta = json.loads(archive.read(next(name for name in archive.namelist() if name.endswith(META))))
    return archive_of(Acting(), meta)


def sound_yaml() -> list[bytes]:
    return [
        b"latency_ms: 30\nnotes: {on_ms: 20}\ninput: [a.wav, b.wav]\nscale: D minor\n",
        b"a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: {<<: *b}\n",
        b"? [a, {b: c}]\n: |\n  text\n  more\n- >-\n  x\n--- !!int '3'\n",
        b"%YAML 1.1\n---\n!!python/object/apply:os.system ['touch ran']\n",
        b"x: 1:59:59.5\ny: 2001-12-14t21:59:43.10-05:00\nz: 0b1_0\nw: !!binary aGVsbG8=\n",
    ]


COMMANDS = (
    "--input a.wav --csv a.csv --midi-file a.mid --latency-ms 30 --notes on_ms=20 off_ms=60",
    "--input mic --midi-out --mode mpe --bend-range 48 --scale D minor --snap 30 --octave -1 --gate auto --velocity-curve fixed 90",
    "--input a.wav b.wav --csv out --jobs 2 --quiet --note-range C3 C6 --velocity-range -45 -6 --transpose -12",
    "--input - --rate 48000 --channel 1 --jsonl --osc localhost:9000 127.0.0.1:9001 --osc-timetag now --stats 1",
    "--config my.yaml --jack --device singer --a4 432 --f0-min-hz 60 --f0-max-hz 1500 --synth list --print-config",
)
WORDS = (
    "", "-", "--", "~", "..", "/", "/dev/null", "nan", "inf", "-inf", "1e999", "-1e999", "0", "-0", "-1", "1" * 400, "9" * 30, "0x10",
    "1_000", "1,5", "\u0661\u0662", "\u00b2", "\udcff", "\x1b[2J", "a\nb", "a" * 5000, "on_ms=", "=", "=1", "on_ms=1=2", "C99", "H4",
    "localhost", ":9000", "[::1]:99999", "a:b:c", "*", "[", "@a", "%s", "{}", "${HOME}", "true", "None", "[1, 2]", "{a: 1}",
)  # fmt: skip


def sound_commands() -> list[bytes]:
    """Command lines as JSON lists of words, and one of every option alone."""
    from rt_melody.realtime.options import make_parser

    flags = sorted(flag for action in make_parser()._actions for flag in action.option_strings)
    return [json.dumps(words).encode() for words in (*(line.split() for line in COMMANDS), flags)]


def mutated_words(data: bytes, rng: random.Random) -> bytes:
    """One to four changes of a command line; most of what is left out of all options is left out first."""
    words = json.loads(data)
    if len(words) > 40:
        words = rng.sample(words, rng.randint(1, 5))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(words) + 1)
        words[at : at + rng.choice((0, 1, 1, 2))] = rng.choice(
            ([], [rng.choice(WORDS)], words[at : at + 1] * 2, [word[: rng.randint(0, 9)] for word in words[at : at + 1]], words[:2])
        )
    return json.dumps(words).encode()


def seeds() -> list[bytes]:
    """What random feeds are drawn from: see ``take_feeds``."""
    return [b"a", b"b"]


# ---- giving them to the product --------------------------------------------------------------------


def take_audio(path: str) -> str:
    from rt_melody.kernels.resample import StreamResampler
    from rt_melody.realtime.errors import InputError
    from rt_melody.realtime.sources.file import FileSource

    try:
        with FileSource(path) as source:
            StreamResampler(source.sample_rate, 16_000)
            while source.read() is not None:
                pass
    except InputError as error:
        return f"refused: {error}"
    return "read"


def take_models(path: str) -> str:
    from rt_melody.models.torchscript import ModelFileError, load_model

    try:
        load_model(Path(path))
    except ModelFileError as error:
        return f"refused: {error}"
    return "read"


def take_yaml(path: str) -> str:
    import yaml

    from rt_melody.realtime.settings.yaml_guard import YamlRefused, load_bounded_yaml

    try:
        load_bounded_yaml(Path(path).read_bytes())
    except (YamlRefused, yaml.YAMLError, ValueError, TypeError, OverflowError, AttributeError, KeyError, IndexError) as error:
        return f"refused: {error}"  # what PyYAML raises of malformed values, which the program's reader says as one sentence
    return "read"


def take_commands(path: str) -> str:
    """As far as the program goes before it opens anything."""
    from rt_melody.realtime.errors import RtMelodyError
    from rt_melody.realtime.options import asked_for, make_parser
    from rt_melody.realtime.program import Program
    from rt_melody.realtime.settings import make_settings
    from rt_melody.realtime.settings.profiles import profile_values
    from rt_melody.realtime.signals import stop_signals

    words = [word.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape") for word in json.loads(Path(path).read_text())]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            args = make_parser().parse_args(words)
            settings = make_settings(asked_for(args), args.config, print, profile_values(args.profile or []))
        with stop_signals() as signals:
            Program(settings, signals).background.close()
    except RtMelodyError as error:
        return f"refused: {error}"
    except SystemExit:  # --help
        pass
    return "read"


class Feeder:
    """Trackers of several rates and settings, made once, and what may be fed to them."""

    KINDS = ("noise", "tone", "zeros", "not numbers", "beyond scale", "denormal", "constant", "clicks")

    def __init__(self) -> None:
        from rt_melody.realtime.melody import MelodyTracker
        from rt_melody.realtime.settings import make_settings

        options: tuple[dict[str, Any], ...] = (
            {}, {"mode": "legato", "scale": "auto", "gate": "auto", "latency_ms": 25}, {"mode": "bend", "snap": "30", "transpose": 7},
        )  # fmt: skip
        rates = (16_000, 44_100, 8_000)
        self.trackers = [MelodyTracker.from_settings(make_settings(some), rate) for some, rate in zip(options, rates)]

    def samples(self, rng: np.random.Generator, count: int) -> np.ndarray:
        kind, level = rng.choice(self.KINDS), 10.0 ** rng.uniform(-6, 0.3)
        made = {
            "noise": lambda: level * rng.standard_normal(count),
            "tone": lambda: level * np.sin(rng.uniform(0.001, 3.0) * np.arange(count)),
            "zeros": lambda: np.zeros(count),
            "not numbers": lambda: rng.choice([np.nan, np.inf, -np.inf, 0.1], count),
            "beyond scale": lambda: rng.choice([3e38, -3e38, 1e20, 1.0], count),
            "denormal": lambda: np.full(count, 1e-40),
            "constant": lambda: np.full(count, level),
            "clicks": lambda: level * (rng.random(count) < 0.01),
        }[str(kind)]()
        return made.astype(np.float32)

    def run(self, seed: str) -> None:
        """FEEDS feeds of one tracker. Raises AssertionError where what comes back cannot be."""
        rng = np.random.default_rng(list(seed.encode()))
        tracker, heard, singing = self.trackers[int(rng.integers(len(self.trackers)))], [], 0.2 * np.sin(0.05 * np.arange(400))
        tracker.reset()
        for _ in range(FEEDS):
            count = int(rng.choice([0, 1, int(rng.integers(1, 40)), int(rng.integers(1, 160)), int(rng.integers(1, 400))]))
            fed = singing[:count].astype(np.float32) if rng.random() < 0.4 else self.samples(rng, count)
            heard += tracker.feed(fed)
            if rng.random() < 0.002:
                self.check(heard + tracker.flush())
                heard = []
            elif rng.random() < 0.002:
                last_s = max([0.0, *(item.available_s for item in heard)])
                heard += tracker.skip_to(last_s + float(rng.uniform(0, 5)))
        self.check(heard + tracker.flush())

    @staticmethod
    def check(heard: list[Any]) -> None:
        from rt_melody.realtime.types import NoteOff, NoteOn, PitchFrame

        times_s = [item.time_s for item in heard if isinstance(item, PitchFrame)]
        numbers = [value for item in heard for value in vars_of(item) if isinstance(value, float)]
        assert np.isfinite(numbers).all(), "something is not finite"
        assert (np.diff(times_s) > 0).all(), "frames do not ascend"
        sounding: list[int] = []
        for item in heard:
            if isinstance(item, NoteOn):
                sounding.append(item.note)
            elif isinstance(item, NoteOff):
                assert item.note in sounding, "a note ends that did not sound"
                sounding.remove(item.note)
            assert len(sounding) <= 2, "notes pile up"
        assert not sounding, "a note hangs"


def vars_of(item: Any) -> list[object]:
    """The values of a frame or an event, with or without slots."""
    return [getattr(item, name) for name in item.__dataclass_fields__]


@functools.cache
def feeder() -> Feeder:
    return Feeder()


def take_feeds(path: str) -> str:
    """The bytes are what the feeds are drawn from."""
    feeder().run(Path(path).read_bytes().hex())
    return "read"


TAKERS: dict[str, Callable[[str], str]] = {
    "audio": take_audio, "models": take_models, "yaml": take_yaml, "commands": take_commands, "feeds": take_feeds,
}  # fmt: skip
MAKERS: dict[str, Callable[[], list[bytes]]] = {
    "audio": sound_recordings, "models": sound_models, "yaml": sound_yaml, "commands": sound_commands, "feeds": seeds,
}  # fmt: skip
MUTATORS = {"commands": mutated_words, "feeds": lambda data, rng: rng.randbytes(8)}


def work(kind: str) -> None:
    """Take the paths on standard input, one a line; answer each with a line of JSON."""
    take = TAKERS[kind]
    if kind == "feeds":
        feeder()  # models are loaded and kernels compiled before time counts
    print("ready", flush=True)
    for line in sys.stdin:
        began_s = time.process_time()
        try:
            came = take(line.rstrip("\n"))
        except Exception as error:
            came = f"traceback: {type(error).__name__}: {error}"
        print(json.dumps([came, time.process_time() - began_s]), flush=True)


class Worker:
    """A process that takes inputs, and a new one where it crashed or hung."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._command = [sys.executable, "-m", "rt_melody.benchmarks.hostile", "--worker", kind]
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def take(self, path: Path) -> str:
        """What came of a file: ``read``, ``refused``, ``traceback``, ``slow``, ``hang``, ``crash`` or ``ran``, with a word on it."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(  # libmpg123 talks to stderr by itself
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=self._folder
            )
            assert self._process.stdout is not None, "a pipe was asked for"
            self._process.stdout.readline()  # it is ready, however long that took
        process = self._process
        line = self._answer(process, path)
        if line is None:
            process.kill()
            process.wait()
            return "hang"
        if not line:
            return f"crash: status {process.wait()}"
        if not line.startswith("["):
            process.kill()
            return f"ran: {line}"
        came, took_s = json.loads(line)
        return f"slow: {took_s:.1f} s, {came}" if took_s > LIMIT_S and came.split(":")[0] in ("read", "refused") else came

    @staticmethod
    def _answer(process: subprocess.Popen[str], path: Path) -> str | None:
        """The worker's line on a file; nothing where it died, None where it hung."""
        from threading import Timer

        assert process.stdin is not None and process.stdout is not None, "it was started with pipes"
        process.stdin.write(f"{path}\n")
        process.stdin.flush()
        late = Timer(PATIENCE_S, process.kill)
        late.start()
        line = process.stdout.readline()
        hung = late.finished.is_set()
        late.cancel()
        return None if hung and not line else line

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


# ---- the table -------------------------------------------------------------------------------------


def inputs(kind: str, count: int, seed: int) -> Iterator[bytes]:
    rng, sound = random.Random(f"{kind} {seed}"), MAKERS[kind]()
    for i in range(count):
        yield MUTATORS.get(kind, mutated)(sound[i % len(sound)], rng) if i >= len(sound) else sound[i]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Mutated input by the thousand; a table of what came of it.")
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the files at fault")
    parser.add_argument("--worker", choices=KINDS, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.worker:
        work(args.worker)
        return 0
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        print(f"{'input':18}{'tried':>7}{'read':>7}{'refused':>9}{'faults':>8}")
        for kind in KINDS:
            if count := getattr(args, kind) // (FEEDS if kind == "feeds" else 1):
                faults += _run(kind, count, args, Path(folder))
    return 1 if faults else 0


def _run(kind: str, count: int, args: argparse.Namespace, folder: Path) -> int:
    worker, came, faults = Worker(kind, folder), Counter(), []
    for i, data in enumerate(inputs(kind, count, args.seed)):
        path = folder / "input"
        path.write_bytes(data)
        result = worker.take(path)
        came[result.split(":")[0]] += 1
        if not result.startswith(("read", "refused")):
            faults.append((i, result))
            if args.keep:
                args.keep.mkdir(parents=True, exist_ok=True)
                (args.keep / f"{kind}-{args.seed}-{i}").write_bytes(data)
        if (folder / "ran").exists():
            faults.append((i, "ran"))
            (folder / "ran").unlink()
    worker.end()
    what = "thousands of feeds" if kind == "feeds" else kind
    print(f"{what:18}{count:7}{came['read']:7}{came['refused']:9}{len(faults):8}", flush=True)
    for i, result in faults[:20]:
        print(f"  {kind} {i}: {result[:160]}")
    return len(faults)


if __name__ == "__main__":
    sys.exit(main())
