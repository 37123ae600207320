"""The ordinary command on several files, side by side: each is heard by a worker as the command alone would hear it.

Conventions
-----------
* What a worker would have said and printed is said and printed here, in the order in which the inputs were asked for; what
  several workers say alike, such as the latency budget, is said once.
* Output files come to be in a hidden folder beside their place and are moved there whole, by the process that counts them, so that
  what ends the program leaves whole files only, and as many as it says.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rt_melody.realtime.checks import make_folders
from rt_melody.realtime.corpus.progress import Progress
from rt_melody.realtime.corpus.workers import Outcome, run_tasks
from rt_melody.realtime.errors import OutputError
from rt_melody.realtime.melody import MelodyTracker
from rt_melody.realtime.program import Program, panic_on_signal, unusable_line
from rt_melody.realtime.session import Session
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.signals import StopSignals, signal_name

PARTIAL = ".rt-melody-"  # begins the name of a folder of files that are being written


@dataclass
class Told:
    """What came of one input."""

    sentences: list[str] = field(default_factory=list[str])
    lines: str = ""  # for standard output
    status: int = 0
    unusable: bool = False
    heard_s: float = 0.0


def run_side_by_side(program: Program) -> int:
    """All inputs of a program; its exit status, as ``Program.run`` gives it."""
    return _Several(program).run()


class _Several:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.inputs: list[str] = program.inputs
        self.said: set[str] = set()
        self.unusable: list[str] = []
        self.status = 0
        self.reader: OutputError | None = None  # of standard output, once it has gone

    def run(self) -> int:
        make_folders(self.program.settings)
        done: set[int] = set()
        with _partial_folders(self.program.settings) as folders, Progress(len(self.inputs)) as self.progress, panic_on_signal([]):
            self.program.signals.run()
            outcomes = run_tasks(_Hearing, (self.program.settings, folders), enumerate(self.inputs), self.program.jobs, self._ends)
            for outcome in _in_order(self._moved(outcome, folders) for outcome in outcomes):
                self._take(outcome)
                done.add(outcome.task[0])
        if said := unusable_line(self.unusable, len(self.inputs)):
            self.progress.say(said)
        return self._stopped(done) or self.status

    def _ends(self) -> bool:
        signals = self.program.signals
        if signals.take_pause():
            signals.pause()
        return signals.stop()

    def _moved(self, outcome: Outcome, folders: dict[str, str]) -> Outcome:
        """The outcome of an input, and its files in their places."""
        if outcome.given_up or outcome.error is not None:
            return outcome
        number: int = outcome.task[0]
        stem = Path(self.inputs[number]).stem
        try:
            for folder, partial in folders.items():
                for path in Path(partial).iterdir():
                    if path.stem == stem:
                        path.replace(Path(folder) / path.name)
        except OSError as error:
            place = Path(error.filename2 or error.filename).parent
            said = f"its results cannot be put into {place} ({error.strerror}); make room for them there, and give the same command again"
            return replace(outcome, error=OutputError(said))
        return outcome

    def _take(self, outcome: Outcome) -> None:
        """Say and print what came of one input."""
        number: int = outcome.task[0]
        name = self.inputs[number]
        told = self._judged(name, outcome)
        for sentence in told.sentences:
            if sentence not in self.said:
                self.said.add(sentence)
                self.progress.say(sentence)
        self.status = max(self.status, told.status)
        if told.unusable:
            self.unusable.append(name)
        self._print(told.lines)
        self.progress.step(told.heard_s)

    def _judged(self, name: str, outcome: Outcome) -> Told:
        if outcome.given_up:
            how = " and ".join(outcome.died)
            return Told([f"{name}: two workers died on it ({how}); it is left out, give it more memory or listen to it alone"], "", 1, True)
        if outcome.error is not None:
            return Told([f"{name}: {outcome.error}"], "", 1, True)
        told: Told = outcome.result
        if outcome.died:
            told.sentences.insert(0, f"{name}: the worker that heard it died ({outcome.died[0]}); it was heard again")
        return told

    def _print(self, lines: str) -> None:
        if not lines or self.reader is not None or sys.stdout is None:
            return
        try:
            sys.stdout.write(lines)
            sys.stdout.flush()
        except OSError as error:
            self.reader = OutputError(f"JSON lines cannot be written further ({error.strerror}); keep their reader open")
            self.reader.__cause__ = error
            self._without_reader(self.reader)

    def _without_reader(self, failure: OutputError) -> None:
        """Go on where something else goes out; else this is the end."""
        if not self.program.settings.written_files:
            raise failure
        self.progress.say(f"not all went out: JSON lines: {failure}")
        self.status = 1

    def _stopped(self, done: set[int]) -> int:
        number, left = self.program.signals.came, [name for i, name in enumerate(self.inputs) if i not in done]
        if number is None or not left:
            return 0
        said = f"stopped by {signal_name(number)}: {len(done)} of {len(self.inputs)} inputs are done; not done: {', '.join(left)}"
        self.progress.say(said)
        return 128 + number


def _in_order(outcomes: Iterable[Outcome]) -> Generator[Outcome]:
    """By the number that begins each task; what comes early waits, at most until all that will come has come."""
    waiting: dict[int, Outcome] = {}
    turn = 0
    for outcome in outcomes:
        waiting[outcome.task[0]] = outcome
        while turn in waiting:
            yield waiting.pop(turn)
            turn += 1
    yield from (waiting[number] for number in sorted(waiting))


@contextmanager
def _partial_folders(settings: Settings) -> Generator[dict[str, str]]:
    """Meanwhile a hidden folder in each folder that is written to; by the latter."""
    made: dict[str, str] = {}
    try:
        for folder in {path for path, _ in settings.written_files.values()}:
            try:
                made[folder] = tempfile.mkdtemp(prefix=PARTIAL, dir=folder)
            except OSError as error:
                raise OutputError(f"nothing can be written in the folder {folder} ({error.strerror}); choose another place") from error
        yield made
    finally:
        for partial in made.values():
            shutil.rmtree(partial, ignore_errors=True)


# ---- in the worker --------------------------------------------------------------------------------


class _Hearing:
    """Hears inputs one after the other with one model. ``folders``: where files are written, by where they belong."""

    def __init__(self, settings: Settings, folders: dict[str, str]) -> None:
        self.folders, self.output = folders, settings.output
        moved = {name: folders[path] for name in ("csv", "midi_file") if (path := getattr(settings.output, name)) is not None}
        self.settings = settings.changed(output=settings.output.changed(**moved))
        self.tracker: MelodyTracker | None = None

    def __call__(self, task: tuple[int, str]) -> Told:
        name = task[1]
        own = self.settings.changed(source=self.settings.source.changed(input=[name]))
        sys.stdout = lines = io.StringIO()
        part = _Part(own, StopSignals(), several=True)
        part.tracker = self.tracker
        status = part.run()
        self.tracker = part.tracker
        sentences = [self._as_seen(text) for text in part.sentences]
        return Told(sentences, lines.getvalue(), status, bool(part.unusable), part.heard_s)

    def _as_seen(self, text: str) -> str:
        for folder, partial in self.folders.items():
            text = text.replace(partial, folder)
        return text


class _Part(Program):
    """A program of one input, which keeps what it would say."""

    heard_s = 0.0

    def __init__(self, settings: Settings, signals: StopSignals, several: bool) -> None:
        self.sentences: list[str] = []
        super().__init__(settings, signals, several=several)

    def say(self, text: str) -> None:
        self.sentences.append(text)

    _say_over_line = say

    def _tell_end(self, name: str, session: Session) -> None:
        super()._tell_end(name, session)
        self.heard_s = session.source.position_samples / session.source.sample_rate
