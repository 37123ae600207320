"""Random faults against live sessions, and what must hold after each: no hanging note, whole files, the loss said.

``python -m rt_melody.benchmarks.torture --minutes 3 --seed 1`` lets the program sing to itself over a private JACK server: a
software microphone, a recorder at the MIDI port, a CSV, a MIDI file, JSON lines and figures beside. At a random moment a
fault comes, drawn from FAULTS; then the promises are checked. Prints a table of tried and failed; status 1 where one failed.
Needs jackd2 and JACK-Client; without libfaketime (Debian: faketime) no clock is stepped.

Bounds are those of docs/reliability.md, times ``--patience`` on a busy machine.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rt_melody.benchmarks.rig.midi_reader import begins_note, hanging
from rt_melody.benchmarks.rig.studio import (
    JackServer,
    MidiRecorder,
    Program,
    VirtualMicrophone,
    melody_command,
    status_of,
    tied,
    wait_until,
)
from rt_melody.realtime.sources.demo import demo_phrase

START_S = 120.0
SILENT_AFTER_S, EXIT_S, TELL_S, BACK_S = 0.2, 1.0, 1.0, 2.0  # promised
MODES = ("mono", "legato", "bend", "mpe")
HOG = "while True: pass"


class Broken(AssertionError):
    """A promise that did not hold; the message says which."""


def need(held: object, promise: str) -> None:
    if not held:
        raise Broken(promise)


@dataclass
class Session:
    """The program under test, and what is around it."""

    folder: Path
    server: JackServer
    microphone: VirtualMicrophone
    recorder: MidiRecorder
    program: Program
    rng: random.Random
    patience: float
    clock: Path  # what libfaketime reads the time from

    def hanging(self) -> list[int]:
        """Notes that a synthesiser at the port would be sounding now."""
        return hanging(message for _, message in self.recorder.messages)

    def note_ons(self) -> int:
        return sum(begins_note(message) for _, message in self.recorder.messages)

    def await_note(self, within_s: float, promise: str) -> None:
        """Another note-on."""
        before = self.note_ons()
        self.eventually(lambda: self.note_ons() > before, within_s, promise)

    def await_sounding(self) -> None:
        """Wait until a note sounds, so that there is one to hang."""
        self.eventually(self.hanging, 10.0, "a note sounds within 10 s of singing")

    def eventually(self, condition: Callable[[], object], within_s: float, promise: str) -> None:
        try:
            wait_until(condition, within_s * self.patience, promise)
        except AssertionError:
            raise Broken(f"{promise} (waited {within_s * self.patience:.1f} s)") from None

    def said(self, word: str) -> bool:
        return word in self.program.stderr

    # ---- what must hold at every end -----------------------------------------------------------

    def ended_well(self, *statuses: int, files: bool = True) -> None:
        """``statuses``: those that it may leave with."""
        try:
            got = self.program.wait(EXIT_S * self.patience)
        except AssertionError:
            raise Broken(f"it ends within {EXIT_S:g} s") from None
        need(got in statuses, f"it leaves with status {' or '.join(map(str, statuses))}, not {got}")
        self.silent()
        need("Traceback" not in self.program.stderr, "it says no traceback")
        if files:
            self.whole_files()

    def silent(self) -> None:
        self.eventually(lambda: not self.hanging(), SILENT_AFTER_S, "no note hangs at the recorder")

    def whole_files(self) -> None:
        rows = list(csv.reader((self.folder / "a.csv").read_text().splitlines()))
        need(len(rows) > 50 and all(len(row) == len(rows[0]) for row in rows), "every row of the CSV is whole")
        times_s = np.array([float(row[0]) for row in rows[1:]])
        need((np.diff(times_s) > 0).all(), "times in the CSV ascend")
        need(self._midi_ends(), "every note of the MIDI file ends")

    def _midi_ends(self) -> bool:
        import mido

        held = 0
        for message in mido.MidiFile(self.folder / "a.mid").tracks[0]:
            held += (message.type == "note_on" and message.velocity > 0) - (
                message.type == "note_off" or (message.type == "note_on" and message.velocity == 0)
            )
        return held == 0


# ---- faults ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """What is done to a session, and which promises are checked; ``options`` of the command for it."""

    name: str
    do: Callable[[Session], None]
    options: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    needs: Callable[[], bool] = lambda: True


def _ends_by(number: int) -> Callable[[Session], None]:
    def do(session: Session) -> None:
        session.await_sounding()
        session.program.signal(number)
        session.ended_well(0, 128 + number)  # a microphone has no end of its own, so whoever ends it has had all of it

    return do


def _killed(session: Session) -> None:
    session.await_sounding()
    session.program.signal(signal.SIGKILL)
    session.program.wait(5)
    session.silent()


def _paused(number: int) -> Callable[[Session], None]:
    def do(session: Session) -> None:
        session.await_sounding()
        session.program.signal(number)
        if number == signal.SIGTSTP:
            session.silent()
        time.sleep(session.rng.uniform(0.5, 3.0))
        session.program.signal(signal.SIGCONT)
        session.await_note(BACK_S + 2.0, "music comes again within 2 s of going on")
        _ends_by(signal.SIGTERM)(session)

    return do


def _full_disk(session: Session) -> None:
    session.await_note(10.0, "MIDI plays on beside a full disk")
    session.eventually(lambda: session.said("No space left"), TELL_S + 1.0, "a full disk is said within a second of its first write")
    session.await_note(10.0, "MIDI plays on after a full disk was said")
    session.program.signal(signal.SIGTERM)
    session.ended_well(1, 128 + signal.SIGTERM, files=False)


def _reader_leaves(session: Session) -> None:
    session.await_note(10.0, "MIDI plays on without a reader of its lines")
    session.program.assert_running()
    session.program.signal(signal.SIGTERM)
    session.ended_well(0, 1, 128 + signal.SIGTERM)


def _said_since(session: Session, before: int, within_s: float, what: str) -> None:
    """More is on stderr than the ``before`` characters of then, or the program has ended."""
    session.eventually(lambda: len(session.program.stderr) > before or session.program.process.poll() is not None, within_s, what)


def _receiver_dies(session: Session) -> None:
    session.await_sounding()
    session.recorder.kill()
    time.sleep(session.rng.uniform(0.2, 2.0))
    session.recorder = MidiRecorder(session.server, session.folder)
    session.recorder.wait_for_source(BACK_S * session.patience + 10, session.program)
    session.await_note(BACK_S + 3.0, "music reaches a receiver that came back")
    _ends_by(signal.SIGTERM)(session)


def _microphone_leaves(session: Session) -> None:
    session.await_sounding()
    before = len(session.program.stderr)
    session.microphone.kill()
    _said_since(session, before, TELL_S + 3.0, "a microphone that left is said")
    session.eventually(lambda: not session.hanging(), 2.0, "no note hangs after the microphone left")


def _server_dies(session: Session) -> None:
    session.await_sounding()
    before = len(session.program.stderr)
    session.server.kill()
    _said_since(session, before, TELL_S + 1.0, "a dead server is said within a second")
    session.program.signal(signal.SIGTERM)
    try:
        session.program.wait(EXIT_S * session.patience + 2.0)
    except AssertionError:
        raise Broken("it ends after its server died") from None
    need("Traceback" not in session.program.stderr, "it says no traceback")


def _hogged(session: Session) -> None:
    hogs = [subprocess.Popen(tied([sys.executable, "-c", HOG])) for _ in range(os.cpu_count() or 1)]
    try:
        for _ in range(2):
            session.await_note(10.0, "notes come beside hogs on every core")
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    _ends_by(signal.SIGTERM)(session)


def _clock_steps(session: Session) -> None:
    session.await_sounding()
    session.clock.write_text(session.rng.choice(("+3600s", "-3600s", "+8s", "-8s")))
    time.sleep(1.5)
    session.await_note(10.0, "music goes on when the clock steps")
    _ends_by(signal.SIGTERM)(session)
    rows = list(csv.DictReader((session.folder / "a.csv").read_text().splitlines()))
    steps_s = np.diff([float(row["time_s"]) for row in rows])
    need(steps_s.min() > 0 and steps_s.max() < 1.0, f"times in the CSV follow no clock (largest step {steps_s.max():.1f} s)")


def _fake_time() -> Path | None:
    return next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


FAKE = {"LD_PRELOAD": str(_fake_time()), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_TIMESTAMP_FILE": "clock"}
FAULTS = [
    *(Fault(f"SIG{name}", _ends_by(getattr(signal, f"SIG{name}"))) for name in ("INT", "TERM", "HUP", "QUIT", "USR2", "ALRM", "ABRT")),
    Fault("SIGKILL", _killed),
    Fault("SIGTSTP, SIGCONT", _paused(signal.SIGTSTP)),
    Fault("SIGSTOP, SIGCONT", _paused(signal.SIGSTOP)),
    Fault("full disk under --csv", _full_disk, ("--csv", "/dev/full")),
    Fault("reader of --jsonl leaves", _reader_leaves, ("--jsonl",)),
    Fault("MIDI receiver dies and returns", _receiver_dies),
    Fault("microphone leaves", _microphone_leaves),
    Fault("server dies", _server_dies),
    Fault("hogs on every core", _hogged),
    Fault("wall clock steps", _clock_steps, env=FAKE, needs=lambda: _fake_time() is not None),
]


# ---- one after the other ---------------------------------------------------------------------------


class Piped(Program):
    """The program with a reader of its lines, who leaves as soon as it has read one."""

    def __init__(self, arguments: list[str], env: dict[str, str], folder: Path) -> None:
        self.stdout_path, self.stderr_path = folder / "stdout.txt", folder / "stderr.txt"
        self.stdout_path.touch()
        reader, writer = os.pipe()
        with open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(
                tied(arguments), env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=writer, stderr=err, start_new_session=True
            )
        os.close(writer)
        self.reader = reader

    def leave(self) -> None:
        os.read(self.reader, 10)
        os.close(self.reader)


@contextmanager
def session(fault: Fault, rng: random.Random, patience: float) -> Iterator[Session]:
    """A session in song, with the options that the fault asks for. Raises RigMissing where there is no JACK."""
    things: list = []

    def kept(thing):
        things.append(thing)
        return thing

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "clock").write_text("+0s")
        try:
            server = kept(JackServer(folder))
            microphone = kept(VirtualMicrophone(server, demo_phrase().samples, folder, "singer", times=50))
            recorder = kept(MidiRecorder(server, folder))
            options = [
                "--input",
                "mic",
                "--device",
                "singer",
                "--midi-out",
                "--mode",
                rng.choice(MODES),
                "--midi-file",
                "a.mid",
                "--stats-file",
                "stats",
                "--quiet",
            ]
            options += [] if "--csv" in fault.options else ["--csv", "a.csv"]
            environment = {
                **server.env,
                **{key: str(folder / value) if key == "FAKETIME_TIMESTAMP_FILE" else value for key, value in fault.env.items()},
            }
            make = Piped if "--jsonl" in fault.options else Program
            program = kept(make([*melody_command(), *options, *fault.options], environment, folder))
            microphone.wait_for_listener(START_S, program)
            recorder.wait_for_source(START_S, program)
            microphone.play()
            trial = Session(folder, server, microphone, recorder, program, rng, patience, folder / "clock")
            trial.await_note(START_S, "the first note comes")
            if isinstance(program, Piped):
                program.leave()
            time.sleep(rng.uniform(0.5, 3.0))
            yield trial
        finally:
            for thing in reversed(things):
                thing.close()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Random faults against live sessions; a table of tried and failed.")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies every bound, for a machine with other work")
    parser.add_argument("--only", default="", help="faults whose name holds this")
    args = parser.parse_args(arguments)
    rng = random.Random(args.seed)
    able = [fault for fault in FAULTS if args.only in fault.name and fault.needs()]
    tried: dict[str, int] = defaultdict(int)
    failed: dict[str, list[str]] = defaultdict(list)
    until_s = time.monotonic() + 60.0 * args.minutes
    waiting: list[Fault] = []
    while time.monotonic() < until_s and able:
        waiting = waiting or rng.sample(able, len(able))  # each as often as every other
        fault = waiting.pop()
        tried[fault.name] += 1
        try:
            with session(fault, rng, args.patience) as trial:
                fault.do(trial)
        except AssertionError as error:
            failed[fault.name].append(str(error))
            print(f"  {fault.name}: {str(error)[:200]}", file=sys.stderr, flush=True)
    _print_table(tried, failed, args)
    return 1 if any(failed.values()) else 0


def _print_table(tried: dict[str, int], failed: dict[str, list[str]], args: argparse.Namespace) -> None:
    print(
        f"seed {args.seed}, patience {args.patience:g}\n\n| fault | tried | failed | what did not hold first |\n|---|---|---|---|"
    )
    for name in sorted(tried):
        first = failed[name][0].splitlines()[0][:120] if failed[name] else ""
        print(f"| {name} | {tried[name]} | {len(failed[name])} | {first} |")
    print(f"| all | {sum(tried.values())} | {sum(map(len, failed.values()))} | |")


if __name__ == "__main__":
    sys.exit(status_of(main))
