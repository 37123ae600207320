"""Endings by the hundred: every signal, at every moment, in every mode, by either way of MIDI; what sounds after each, and what is left.

``python -m rt_melody.benchmarks.endings --count 500 --jobs 2 --seed 1`` starts the program that often on private JACK servers,
``--jobs`` at once, with a voice at its input and a recorder at its port, and ends it by a signal of SIGNALS, KILL among them, a
third of the times in the start, else up to four seconds after a note came. Looked at are: the notes that hang at the recorder, the
status, a traceback, the time to the end, whether the CSV and the MIDI file can be read, and that no note is missing in the latter.
Prints a table; ``--out`` writes each ending as a line of JSON. Status 1 where one failed. Bounds are those of docs/reliability.md,
times ``--patience`` on a busy machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rt_melody.benchmarks.report import median_and_most
from rt_melody.benchmarks.rig.midi_reader import begins_note, hanging
from rt_melody.benchmarks.rig.studio import (
    JackServer,
    MidiRecorder,
    Program,
    VirtualMicrophone,
    melody_command,
    status_of,
    wait_until,
)
from rt_melody.benchmarks.torture import EXIT_S, MODES, SILENT_AFTER_S, START_S
from rt_melody.realtime.sources.demo import demo_phrase

SIGNALS = ("INT", "TERM", "HUP", "QUIT", "USR2", "ALRM", "ABRT", "KILL")
WAYS = {"port": (), "jack": ("--jack",)}  # a port of RtMidi's in a process of its own, or our client in the graph
IN_START = 1 / 3  # of the endings
START_TAKES_S, SINGS_S = 4.0, 4.0  # within these the moment is drawn
START_EXIT_S = 3.0
KEPT_S = 0.5  # what a killed program may owe its files
SINGER = "singer"
FOREVER = 10_000  # times


@dataclass
class Ending:
    """One ending: how, and what came of it. Times in seconds from the signal; None where nothing sounded or it never came."""

    number: int
    signal: str
    mode: str
    way: str
    after_s: float  # of the start, or of the first note
    in_start: bool
    exit_s: float | None = None
    silent_s: float | None = None
    fault: str | None = None


def drawn(number: int, seed: int) -> Ending:
    """The ending of this number: each signal, mode and way as often as every other."""
    rng = random.Random(f"{seed} {number}")
    mode, way = MODES[number // len(SIGNALS) % len(MODES)], list(WAYS)[number % 2 ^ number // len(SIGNALS) % 2]
    in_start = rng.random() < IN_START
    return Ending(number, SIGNALS[number % len(SIGNALS)], mode, way, rng.uniform(0, START_TAKES_S if in_start else SINGS_S), in_start)


class Stage:
    """A server with a singer who never stops, and a recorder; a program at a time."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder, self._ends = folder, ExitStack()
        self.server = self._ends.enter_context(closing(JackServer(folder)))
        self.microphone = self._ends.enter_context(closing(VirtualMicrophone(self.server, demo_phrase().samples, folder, SINGER, FOREVER)))
        self.recorder = self._ends.enter_context(closing(MidiRecorder(self.server, folder)))
        self.microphone.tell("play")

    def close(self) -> None:
        self._ends.close()

    def messages(self, since: int = 0) -> list[bytes]:
        return [message for _, message in self.recorder.messages[since:]]

    @contextmanager
    def program(self, ending: Ending) -> Iterator[tuple[Program, Path]]:
        """It, and the folder in which it writes."""
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            options = ["--input", "mic", "--device", SINGER, "--midi-out", "--mode", ending.mode, "--quiet"]
            options += ["--midi-file", "a.mid", "--csv", "a.csv", *WAYS[ending.way]]
            program = Program([*melody_command(), *options], self.server.env, Path(name))
            try:
                yield program, Path(name)
            finally:
                program.close()


def note_ons(messages: list[bytes]) -> int:
    return sum(map(begins_note, messages))


def carry_out(ending: Ending, stage: Stage, patience: float) -> Ending:
    """End a program that way; ``ending`` with what came of it."""
    since = len(stage.recorder.messages)
    with stage.program(ending) as (program, folder):
        try:
            early = _await_moment(ending, program, stage, since)
            program.signal(getattr(signal, f"SIG{ending.signal}"))
            _look(ending, program, stage, since, patience)
            if not ending.in_start:
                _check_files(ending, folder, early, note_ons(stage.messages(since)))
        except AssertionError as error:
            ending.fault = str(error)[:300]
    if ending.way == "jack":
        time.sleep(0.3)  # the name is free again
    return ending


def _await_moment(ending: Ending, program: Program, stage: Stage, since: int) -> int:
    """Wait until then; how many notes had begun KEPT_S before."""
    if not ending.in_start:
        wait_until(lambda: program.assert_running() or note_ons(stage.messages(since)), START_S, "the first note")
    until_s, known = time.monotonic() + ending.after_s, [(time.monotonic(), 0)]
    while time.monotonic() < until_s:
        count = 0 if ending.in_start else note_ons(stage.messages(since))
        known.append((time.monotonic(), count))  # those had begun before, however long it took to count them
        time.sleep(0.05)
    return max([count for at_s, count in known if at_s < time.monotonic() - KEPT_S], default=0)


def _look(ending: Ending, program: Program, stage: Stage, since: int, patience: float) -> None:
    """Wait for its end and for silence, then hold what was promised against it."""
    began_s, number = time.monotonic(), getattr(signal, f"SIG{ending.signal}")
    bound_s = (START_EXIT_S if ending.in_start else EXIT_S) * patience
    while time.monotonic() < began_s + bound_s + 2.0 and (ending.exit_s is None or ending.silent_s is None):
        now_s = time.monotonic() - began_s
        if ending.exit_s is None and program.process.poll() is not None:
            ending.exit_s = now_s
        if hanging(stage.messages(since)):
            ending.silent_s = None
        elif ending.silent_s is None:
            ending.silent_s = now_s
        time.sleep(0.01)
    assert ending.exit_s is not None, "it did not end"
    assert ending.silent_s is not None, "a note hangs"
    status, said = program.process.returncode, program.stderr
    killed = ending.signal == "KILL" or (ending.in_start and status == -number)
    assert status in ((-number,) if killed else (0, 128 + number)), f"status {status}"
    assert "Traceback" not in said, f"a traceback: {said[-200:]}"
    assert ending.exit_s <= bound_s, f"the end took {ending.exit_s:.2f} s"
    assert ending.silent_s <= SILENT_AFTER_S * patience, f"the note ended after {ending.silent_s:.2f} s"


def _check_files(ending: Ending, folder: Path, early: int, played: int) -> None:
    import mido

    text = (folder / "a.csv").read_text(encoding="utf-8")
    rows = list(csv.reader(text.splitlines()))
    assert text.endswith("\n") or not text, "the CSV has a row that is not whole"
    assert len({len(row) for row in rows}) <= 1, "the CSV has a row that is not whole"
    if ending.signal == "KILL" and early == 0:
        return  # before its first half second, whose notes it may owe
    try:
        track = mido.MidiFile(folder / "a.mid").tracks[0]
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise AssertionError(f"the MIDI file cannot be read: {error}") from error
    kept = sum(message.type == "note_on" and message.velocity > 0 for message in track)
    least = early if ending.signal == "KILL" else played
    assert kept >= least, f"the MIDI file keeps {kept} notes of {least}"


def worker(numbers: list[int], seed: int, patience: float, folder: Path, say) -> list[Ending]:
    """One stage's share; a new stage where a server did not survive."""
    done, stage = [], None
    for place, number in enumerate(numbers):
        if stage is None or stage.server.process.poll() is not None:
            stage = Stage(folder / f"{numbers[0]}-{place}")
        done.append(carry_out(drawn(number, seed), stage, patience))
        say(done[-1])
    if stage is not None:
        stage.close()
    return done


def table(endings: list[Ending]) -> str:
    """Tried, failed, and the times, by signal and by way."""
    lines = ["| ended by | tried | failed | exit, median / most, s | silence, median / most, s |", "|---|---|---|---|---|"]
    groups = {f"SIG{name}": [e for e in endings if e.signal == name] for name in SIGNALS}
    groups |= {f"by {way}": [e for e in endings if e.way == way] for way in WAYS}
    groups |= {"in the start": [e for e in endings if e.in_start], "all": endings}
    for name, group in groups.items():
        failed = sum(e.fault is not None for e in group)
        exits, silences = (median_and_most([getattr(e, key) for e in group]) for key in ("exit_s", "silent_s"))
        lines.append(f"| {name} | {len(group)} | {failed} | {exits} | {silences} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Endings by the hundred; a table of tried and failed.")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="number of the first, to go on where another run ended")
    parser.add_argument("--jobs", type=int, default=2, help="programs at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies every bound, for a machine with other work")
    parser.add_argument("--out", type=Path, help="a line of JSON for each ending")
    args = parser.parse_args(arguments)
    for name in ("SIGINT", "SIGHUP"):  # which a shell's background, and nohup, have children ignore
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    numbers = range(args.first, args.first + args.count)
    log = open(args.out, "a", encoding="utf-8") if args.out else sys.stderr  # noqa: SIM115

    def say(ending: Ending) -> None:
        if args.out or ending.fault:
            log.write(json.dumps(asdict(ending)) + "\n")
            log.flush()

    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(args.jobs) as pool:
        shares = [list(numbers[start :: args.jobs]) for start in range(args.jobs)]
        found = pool.map(lambda share: worker(share, args.seed, args.patience, Path(name), say), [share for share in shares if share])
        endings = [ending for share in found for ending in share]
    print(f"seed {args.seed}, {args.jobs} at once, patience {args.patience:g}\n\n{table(endings)}")
    return 1 if any(ending.fault for ending in endings) else 0


if __name__ == "__main__":
    sys.exit(status_of(main))
