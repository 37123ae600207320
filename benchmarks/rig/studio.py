"""A private JACK server and the clients that stand in for a studio, each in a process of its own.

Conventions
-----------
* Every server has a name of its own, so that servers of the machine and of other test runs stay untouched.
* JACK keeps a register of at most eight servers in shared memory. A server that is killed stays in it until one of
  the same name comes and goes, so ``JackServer.close`` does that.
* Without JACK or its client for Python everything here raises RigMissing, which names the piece.
* Nothing is waited for without a bound, and what did not come is said with the last words of the process that owed it.
* JACK frame times are unsigned 32-bit counts of samples at ``SAMPLE_RATE`` and are the common clock of the
  microphone and the recorder; differences are exact to the sample.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

SAMPLE_RATE = 48_000
PERIOD_SAMPLES = 256
MELODY_PORT = "rt-melody:out"
HERE = Path(__file__).parent

DEBIAN_PACKAGES = {
    "jackd": "jackd2", "jack_lsp": "jackd2", "pd": "puredata-core", "oscdump": "liblo-tools", "fluidsynth": "fluidsynth",
    "sclang": "supercollider-language", "scsynth": "supercollider-server", "jalv": "jalv", "setpriv": "util-linux",
}


class RigMissing(Exception):
    """A piece of the rig is not on this machine. The message names the piece and what installs it."""


def status_of(main: Callable[[], int]) -> int:
    """What ``main`` gives; 2, with the sentence of RigMissing, where a piece of the rig is not there."""
    try:
        return main()
    except RigMissing as error:
        print(f"cannot be tried here: {error}", file=sys.stderr)
        return 2


def need_program(name: str) -> str:
    """The path of a program of the rig; RigMissing where it is not installed."""
    path = shutil.which(name)
    if path is None:
        raise RigMissing(f"`{name}` is not installed (Debian: apt-get install {DEBIAN_PACKAGES[name]})")
    return path


def need_jack_client() -> None:
    """RigMissing unless the JACK-Client package and libjack can be loaded."""
    try:
        import jack  # noqa: F401
    except (ImportError, OSError) as error:
        raise RigMissing(f"JACK-Client cannot be used (pip install 'rt-melody[rig]', apt-get install jackd2): {error}") from error


LAST_WORDS = 1500  # bytes of a file, characters of what was read, that an error repeats of what a program said


def last_words(path: Path) -> str:
    """The last LAST_WORDS bytes of what a program said, of which jackd, where a client has died amid a bounce, says gigabytes."""
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_WORDS))
        return file.read().decode(errors="replace")


def wait_until(condition, timeout_s: float, what: str, words=None):
    """Poll ``condition`` until it is true and give its value; AssertionError with ``what``, and what ``words()`` gives, when it
    never is."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    said = "" if words is None else f"; {words()}"
    raise AssertionError(f"{what} did not happen within {timeout_s:g} s{said}")


def finished(command: Sequence[str | Path], timeout_s: float = 60.0, **options) -> subprocess.CompletedProcess[str]:
    """The command run to its end, what it said taken up; AssertionError with its words when it does not end."""
    try:
        return subprocess.run(command, timeout=timeout_s, capture_output=True, text=True, **options)
    except subprocess.TimeoutExpired as error:
        said = b"".join(part for part in (error.stdout, error.stderr) if part).decode(errors="replace")
        raise AssertionError(f"{command[0]} did not end within {timeout_s:g} s; it said: {said[-LAST_WORDS:]}") from None


def next_line(process: subprocess.Popen, timeout_s: float = 60.0):
    """What a child says next on stdout; AssertionError, the child ended, with its words where it does not come."""
    assert process.stdout is not None, "a pipe was asked for"
    lines: list = []
    reader = threading.Thread(target=lambda stream: lines.append(stream.readline()), args=(process.stdout,), daemon=True)
    reader.start()
    reader.join(timeout_s)
    if lines and lines[0]:
        return lines[0]
    why = "ended" if lines else f"said nothing within {timeout_s:g} s"
    process.kill()
    reader.join(5)
    try:
        errors = process.communicate(timeout=5)[1]
    except subprocess.TimeoutExpired:
        errors = "nothing, and it does not end"
    raise AssertionError(f"a line of {process.args} was waited for, which {why}; to stderr it said: {str(errors)[-LAST_WORDS:]}")


def tied(command: Sequence[str]) -> list[str]:
    """The command, to be reached by SIGTERM when the test run dies, however it dies. RigMissing without setpriv.

    Not by a function that runs in the fork, before the command does: a lock that another thread of ours held at that moment would
    stand for ever there, and we with it.
    """
    return [need_program("setpriv"), "--pdeathsig", "TERM", "--", *command]


def is_running(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Talker:
    """A child process that says JSON lines on stdout and leaves when its stdin ends."""

    def __init__(self, arguments: list[str], env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            arguments, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert self.process.stdin is not None, "a pipe was asked for"
        self._program, self._stdin = arguments[1], self.process.stdin
        self._lines: queue.Queue[str] = queue.Queue()
        self._errors: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self._lines.put), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self._errors.append), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream, take) -> None:
        for line in stream:
            take(line)

    def expect(self, state: str, timeout_s: float, partner: Program | None = None) -> dict:
        """The next message with this state; earlier ones are passed over. Not waited for once ``partner`` has ended."""
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            if partner is not None:
                partner.assert_running()
            ended = self.process.poll() is not None and not self._readers[0].is_alive()
            try:
                message = json.loads(self._lines.get(timeout=0.0 if ended else min(left, 0.2)))
            except queue.Empty:
                if ended:
                    break
                continue
            if message["state"] == state:
                return message
        status = self.process.poll()
        if status is not None:
            self._readers[1].join(5)  # its last words may still be on their way
        why = f"never said '{state}' within {timeout_s:g} s" if status is None else f"ended with status {status} before it said '{state}'"
        raise AssertionError(f"{self._program} {why}; its errors: {''.join(self._errors)[-LAST_WORDS:]}")

    def expect_first(self, state: str, timeout_s: float) -> None:
        """As ``expect``, of one that nobody else closes yet."""
        try:
            self.expect(state, timeout_s)
        except BaseException:
            self.kill()
            raise

    def tell(self, word: str) -> None:
        self._stdin.write(word + "\n")
        self._stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(5)

    def close(self) -> None:
        """End the child in good order, by force if it does not listen."""
        if not self._stdin.closed:
            try:
                self._stdin.close()
            except BrokenPipeError:
                pass
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()
        for reader in self._readers:
            reader.join(2)


ANSWERS_S = 5.0  # a server that does not by then, does not
ENDS_S = 10.0


class JackServer:
    """A dummy JACK server at ``SAMPLE_RATE``: a sound card made of a timer."""

    def __init__(self, folder: Path, period_samples: int = PERIOD_SAMPLES) -> None:
        need_program("jackd")
        need_program("jack_lsp")
        need_jack_client()
        self.period_samples = period_samples
        self.name = f"rig-{uuid.uuid4().hex[:8]}"
        self.env = dict(os.environ, JACK_DEFAULT_SERVER=self.name, JACK_NO_AUDIO_RESERVATION="1", JACK_NO_START_SERVER="1")
        self.log_path = folder / f"{self.name}.txt"
        self.killed = False
        process = self._start()
        if process is None:
            said = " ".join(last_words(self.log_path).split())
            raise RigMissing(f"jackd is installed but does not start here, with or without realtime priority; it says: {said[-300:]}")
        self.process = process

    def _start(self) -> subprocess.Popen[bytes] | None:
        """With realtime priority, else without; None where it does not start either way."""
        return self._start_with(["-R", "-P", "60"]) or self._start_with(["-r"])

    def _start_with(self, priority: list[str]) -> subprocess.Popen[bytes] | None:
        dummy = ["-d", "dummy", "-r", str(SAMPLE_RATE), "-p", str(self.period_samples), "-C", "2", "-P", "2"]
        with open(self.log_path, "wb") as log:
            process = subprocess.Popen(tied(["jackd", "-n", self.name, *priority, *dummy]), env=self.env, stdout=log, stderr=log)
        end_s = time.monotonic() + ENDS_S
        while time.monotonic() < end_s:
            if process.poll() is not None:
                return None
            if "system:capture_1" in self.ports():
                return process
            time.sleep(0.05)
        process.kill()
        process.wait(5)
        return None

    def ports(self) -> list[str]:
        """Names of all ports of the server, empty while it does not answer."""
        asked = ["jack_lsp", "-s", self.name]
        try:
            answer = subprocess.run(asked, env=self.env, capture_output=True, text=True, timeout=ANSWERS_S)
        except subprocess.TimeoutExpired:
            return []
        return answer.stdout.splitlines() if answer.returncode == 0 else []

    def kill(self) -> None:
        """The sound system goes away under its clients, as on a crash."""
        self.killed = True
        self.process.kill()
        self.process.wait(5)

    def start_again(self) -> None:
        """A server of the same name, after ``kill``."""
        self.process = self._start() or self.process
        self.killed = False

    def close(self) -> None:
        """End the server and leave JACK's register without it. AssertionError with its words where that took force."""
        if self.killed:
            self.start_again()
        self.process.terminate()
        try:
            self.process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self.kill()
            said = last_words(self.log_path)
            raise AssertionError(f"jackd did not end within {ENDS_S:g} s and was killed; it said: {said}") from None
        finally:
            for left in Path("/dev/shm").glob(f"jack_*{self.name}_*"):  # semaphores of clients that outlived it
                left.unlink(missing_ok=True)


class VirtualMicrophone(Talker):
    """An input device called ``name`` that plays ``samples``, float32 at ``SAMPLE_RATE``, ``times`` times [shape=(n,), or (n, 2) with a
    band at another port]."""

    def __init__(self, server: JackServer, samples: np.ndarray, folder: Path, name: str = "singer", times: int = 1) -> None:
        path = folder / f"{name}.npy"
        np.save(path, samples.astype(np.float32))
        super().__init__([sys.executable, str(HERE / "jack_microphone.py"), name, str(path), str(times)], server.env)
        self.duration_s = times * len(samples) / SAMPLE_RATE
        self.expect_first("ready", 20)

    def wait_for_listener(self, timeout_s: float = 30.0, partner: Program | None = None) -> None:
        self.expect("connected", timeout_s, partner)

    def play(self) -> int:
        """Start the recording; the JACK frame of its first sample."""
        self.tell("play")
        return self.expect("playing", 5)["frame"]

    def wait_for_end(self) -> dict:
        """What the microphone told then: ``leaps``, how often the clock of the graph left out some of what it plays."""
        return self.expect("ended", self.duration_s + 20)


class MidiRecorder(Talker):
    """Records what ``source`` sends, as ``(frame, bytes)`` in the order of arrival."""

    def __init__(self, server: JackServer, folder: Path, source: str = MELODY_PORT) -> None:
        self.path = folder / "recorded-midi.jsonl"
        super().__init__([sys.executable, str(HERE / "jack_midi_recorder.py"), source, str(self.path)], server.env)
        self.expect_first("ready", 20)

    def wait_for_source(self, timeout_s: float = 30.0, partner: Program | None = None) -> None:
        self.expect("connected", timeout_s, partner)

    @property
    def messages(self) -> list[tuple[int, bytes]]:
        """All complete lines so far; can be read while the recorder runs."""
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        rows = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [(row["frame"], bytes.fromhex(row["data"])) for row in rows]


class Program:
    """A running ``rt-melody`` (or a stand-in) whose output goes to files that survive it."""

    def __init__(self, arguments: list[str], env: dict[str, str], folder: Path) -> None:
        self.stdout_path, self.stderr_path = folder / "stdout.txt", folder / "stderr.txt"
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(
                tied(arguments), env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )

    @property
    def stdout(self) -> str:
        return self.stdout_path.read_text(encoding="utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text(encoding="utf-8", errors="replace")

    def assert_running(self) -> None:
        status = self.process.poll()
        assert status is None, f"the program has ended with status {status}; it said: {last_words(self.stderr_path)}"

    def signal(self, number: int = signal.SIGINT) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 20.0) -> int:
        """The exit status; AssertionError with its last words when the program does not end."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout_s:g} s; it said: {last_words(self.stderr_path)}") from None

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)


def melody_command() -> list[str]:
    """The installed console command of the environment that runs the tests."""
    command = Path(sys.executable).parent / "rt-melody"
    return [str(command)] if command.exists() else [sys.executable, "-m", "rt_melody.realtime.cli"]
