"""Losses and returns by the fifty: what is around a live session goes and comes back, and how soon that is said and music goes on.

``python -m rt_melody.benchmarks.losses --count 50 --seed 1`` has the program sing over a private JACK server and takes from
it, again and again while it runs, one of: the JACK server, the MIDI receiver, the microphone (each by ``--jack``, and by PortAudio and
a port of RtMidi's), the OSC receiver. Each comes back after 0.2 to 2 s. Prints a table: tried, failed, and the times until the loss was
said and until music came after the return, from the moment when all that it needs was there. ``--out`` writes a line of JSON for
each. Status 1 where one failed; bounds are TELL_S and BACK_S, times ``--patience`` on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rt_melody.benchmarks.report import median_and_most
from rt_melody.benchmarks.rig.midi_reader import begins_note
from rt_melody.benchmarks.rig.studio import (
    JackServer,
    MidiRecorder,
    Program,
    VirtualMicrophone,
    melody_command,
    status_of,
    wait_until,
)
from rt_melody.benchmarks.torture import BACK_S, START_S, TELL_S
from rt_melody.realtime.sources.demo import demo_phrase

NEVER_S = 15.0  # a wait ends then, and the trial has failed
NOBODY = "nobody:out"  # the recorder waits to be connected, as a synthesiser does
SINGER = "singer"
FOREVER = 10_000  # times


@dataclass
class Trial:
    """One loss and return. Times in seconds; None where it did not come about."""

    kind: str
    number: int
    away_s: float
    said_s: float | None = None
    back_s: float | None = None
    fault: str | None = None


class Studio:
    """The program in the JACK graph, with all that it can lose."""

    options = ("--jack", "--midi-out", "recorder")

    def __init__(self, folder: Path) -> None:
        self.folder, self._number = folder, 0
        self.osc = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.osc.bind(("127.0.0.1", 0))
        self.osc_address = self.osc.getsockname()
        self.server = JackServer(folder)
        self.microphone, self.recorder = self.new_microphone(), self.new_recorder()
        options = ["--input", "mic", "--device", SINGER, *self.options, "--osc", f"127.0.0.1:{self.osc_address[1]}"]
        self.program = Program([*melody_command(), *options], self.server.env, folder)
        try:
            self.await_note(2 * START_S)
        except BaseException:
            self.close()
            raise

    def _new_folder(self) -> Path:
        self._number += 1
        folder = self.folder / str(self._number)
        folder.mkdir()
        return folder

    def new_microphone(self) -> VirtualMicrophone:
        microphone = VirtualMicrophone(self.server, demo_phrase().samples, self._new_folder(), SINGER, FOREVER)
        microphone.tell("play")
        return microphone

    def new_recorder(self) -> MidiRecorder:
        return MidiRecorder(self.server, self._new_folder(), NOBODY)

    def note_ons(self) -> int:
        return sum(begins_note(message) for _, message in self.recorder.messages)

    def await_note(self, within_s: float = NEVER_S) -> None:
        before = self.note_ons()
        wait_until(lambda: self.program.assert_running() or self.note_ons() > before, within_s, "a note")

    def await_word(self, word: str, before: str) -> None:
        """Until it was said more often than in what was said ``before``."""
        wait_until(lambda: self.program.stderr.count(word) > before.count(word), NEVER_S, f"the words {word!r}")

    def close(self) -> None:
        for thing in (self.program, self.recorder, self.microphone, self.server):
            if thing is not None:
                thing.close()
        self.osc.close()

    # ---- what goes, and comes back -------------------------------------------------------------

    def lose_receiver(self) -> None:
        self.recorder.kill()

    def bring_receiver(self) -> None:
        self.recorder.close()
        self.recorder = self.new_recorder()

    def lose_microphone(self) -> None:
        self.microphone.kill()

    def bring_microphone(self) -> None:
        self.microphone.close()
        self.microphone = self.new_microphone()

    def lose_server(self) -> None:
        self.server.kill()
        self.microphone.kill()  # what outlives a server takes the signals that are meant for a client of its name
        self.recorder.kill()

    def bring_server(self) -> None:
        self.server.start_again()
        self.bring_microphone()
        self.bring_receiver()

    def lose_osc(self) -> None:
        self.osc.close()

    def bring_osc(self) -> None:
        self.osc = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.osc.settimeout(NEVER_S)
        self.osc.bind(self.osc_address)

    def await_osc(self) -> None:
        assert self.osc.recv(2048), "a message"


class OnRtMidi(Studio):
    """The same by PortAudio and a MIDI port in a process of its own."""

    options = ("--midi-out", "recorder")


@dataclass(frozen=True)
class Kind:
    """What is lost: in which studio, how it goes and comes back, what is said of both, what shows that it is back."""

    studio: type[Studio]
    lose: Callable[[Studio], None]
    bring: Callable[[Studio], None]
    loss: str
    back: str = "is back"
    wait: Callable[[Studio], None] = Studio.await_note


KINDS = {
    "JACK server": Kind(Studio, Studio.lose_server, Studio.bring_server, "the JACK server is gone"),
    "MIDI receiver, --jack": Kind(Studio, Studio.lose_receiver, Studio.bring_receiver, "left the JACK graph"),
    "MIDI receiver": Kind(OnRtMidi, Studio.lose_receiver, Studio.bring_receiver, "the MIDI output is lost"),
    "microphone, --jack": Kind(Studio, Studio.lose_microphone, Studio.bring_microphone, "left the JACK graph"),
    "microphone": Kind(OnRtMidi, Studio.lose_microphone, Studio.bring_microphone, "was lost", "gives sound again"),
    "JACK server, PortAudio": Kind(OnRtMidi, Studio.lose_server, Studio.bring_server, "was lost", "gives sound again"),
    "OSC receiver": Kind(Studio, Studio.lose_osc, Studio.bring_osc, "nobody takes OSC", "is refused no longer", Studio.await_osc),
}


def attempt(trial: Trial, kind: Kind, studio: Studio, patience: float) -> None:
    """Take it away and bring it back; what came of it goes into ``trial``."""
    before = studio.program.stderr
    trial.said_s = _seconds(lambda: (kind.lose(studio), studio.await_word(kind.loss, before)))
    time.sleep(trial.away_s)
    kind.bring(studio)
    trial.back_s = _seconds(lambda: kind.wait(studio))
    studio.await_word(kind.back, before)
    studio.program.assert_running()
    assert trial.said_s <= TELL_S * patience, f"the loss was said after {trial.said_s:.2f} s"
    assert trial.back_s <= BACK_S * patience, f"music came {trial.back_s:.2f} s after the return"


def _seconds(wait: Callable[[], object]) -> float:
    began_s = time.monotonic()
    wait()
    return time.monotonic() - began_s


def trials(name: str, count: int, seed: int, patience: float) -> Iterator[Trial]:
    """One after the other, in a session that goes on; in a new one where that came to grief."""
    kind, rng = KINDS[name], random.Random(f"{seed} {name}")
    studio: Studio | None = None
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number in range(count):
                if studio is None:
                    (home := Path(folder, str(number))).mkdir()
                    studio = kind.studio(home)
                trial = Trial(name, number, rng.uniform(0.2, 2.0))
                time.sleep(rng.uniform(0.0, 1.0))
                try:
                    attempt(trial, kind, studio, patience)
                except (AssertionError, OSError) as error:
                    trial.fault = (str(error) or type(error).__name__)[:300]
                    print(f"  {name}: {trial.fault}", file=sys.stderr, flush=True)
                    studio.close()
                    studio = None
                yield trial
        finally:
            if studio is not None:
                studio.close()


def table(done: list[Trial]) -> str:
    """Tried, failed, times."""
    lines = ["| lost and back | tried | failed | said, median / most, s | music, median / most, s |", "|---|---|---|---|---|"]
    for name in dict.fromkeys(trial.kind for trial in done):
        group = [trial for trial in done if trial.kind == name]
        failed = sum(trial.fault is not None for trial in group)
        said, back = (median_and_most(getattr(trial, key) for trial in group) for key in ("said_s", "back_s"))
        lines.append(f"| {name} | {len(group)} | {failed} | {said} | {back} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Losses and returns by the fifty; a table of tried and failed.")
    parser.add_argument("--count", type=int, default=50, help="of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=1.0, help="multiplies every bound, for a machine with other work")
    parser.add_argument("--only", nargs="+", choices=list(KINDS), default=list(KINDS), help="what is lost; default: all")
    parser.add_argument("--out", type=Path, help="a line of JSON for each")
    args = parser.parse_args(arguments)
    done: list[Trial] = []
    for name in args.only:
        for trial in trials(name, args.count, args.seed, args.patience):
            done.append(trial)
            if args.out:
                with open(args.out, "a", encoding="utf-8") as log:
                    log.write(json.dumps(asdict(trial)) + "\n")
    print(f"seed {args.seed}, patience {args.patience:g}\n\n{table(done)}")
    return 1 if any(trial.fault for trial in done) else 0


if __name__ == "__main__":
    sys.exit(status_of(main))
