"""Ardour, a real DAW, without a screen: what its Lua session tool does by a script.

Conventions
-----------
* Ardour 7.3 sets a port's pretty name in its thread `autoconnect` while its main thread still asks things of JACK, and
  libjack 1.9.21 writes the requests of all threads into one socket, without a lock. Where two of them mix, the server meets
  `Unknown request`, and throws Ardour out (`JACK HALTED`), or answers nobody. That ends a session that is being made, seldom
  one that stands. So a script says a word once its session stands, and Ardour is started anew where it has not come so far.
"""

from __future__ import annotations

import shutil
import subprocess
import time
import warnings
from pathlib import Path

from rt_melody.benchmarks.rig.studio import JackServer, RigMissing, last_words, tied, wait_until

SCRIPT = Path(__file__).parent / "ardour_take.lua"
TOOLS = ("ardour8-lua", "ardour7-lua", "ardour6-lua")  # by version, the newest first
STARTS = 4
LOST = "JACK HALTED"
HUNG_S = 40.0  # without a word, where a start takes 2 to 7 s, and a bounce as long
FREED_WRONGLY = ("free(): invalid", "munmap_chunk(): invalid", "double free or corruption")  # in glibc's words
COMPLAINTS_BYTES = 10_000_000  # of JACK, which says a tenth of a megabyte else


def find_ardour() -> str:
    """Its Lua session tool; RigMissing without it."""
    for tool in TOOLS:
        if path := shutil.which(tool):
            return path
    raise RigMissing("Ardour is not installed (Debian: apt-get install ardour)")


class Ardour:
    """Runs a script, which finds ``env`` and the folder SESSION in its environment and says its words a line each."""

    def __init__(self, server: JackServer, folder: Path, script: Path, **env: str) -> None:
        self._server, self._folder, self._script, self._env = server, folder, script, env
        self.starts = 0
        self._start()

    def _start(self) -> None:
        self.starts += 1
        home = self._folder / f"ardour-{self.starts}"
        home.mkdir()
        self.session, self._log = home / "session", home / "ardour.txt"
        env = self._server.env | {"HOME": str(home), "SESSION": str(self.session)} | self._env
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                tied([find_ardour(), str(self._script)]), env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )

    def begin(self, word: str) -> None:
        """Until the script says it, its session then standing; from the beginning again, a few times, where JACK was lost."""
        while not self._stands(word):
            why = "lost JACK" if LOST in self._look()[1] else "stands still"
            assert self.starts < STARTS, f"Ardour {why} at each of {STARTS} starts; {self.words()}"
            warnings.warn(f"Ardour {why} before it said '{word}', and is started again; {self.words()}", stacklevel=2)
            self.close()
            self._start()

    def _stands(self, word: str) -> bool:
        end_s = time.monotonic() + HUNG_S
        while time.monotonic() < end_s:
            ended, said = self._look()
            if LOST in said or word in said.split():
                return LOST not in said
            assert not ended, f"Ardour has ended; {self.words()}"
            time.sleep(0.05)
        return False

    def expect(self, word: str, timeout_s: float = 90.0) -> None:
        """Until the script says it."""
        wait_until(lambda: self._says(word), timeout_s, f"Ardour's word '{word}'", self.words)

    def outlives(self, word: str) -> bool:
        """Whether the script says it before Ardour frees what it may not, or has left JACK to complain without end; AssertionError where
        it ends or stands still otherwise."""
        end_s = time.monotonic() + HUNG_S
        while self._server.log_path.stat().st_size < COMPLAINTS_BYTES:
            ended, said = self._look()
            if word in said.split():
                return True
            if ended and any(words in said for words in FREED_WRONGLY):
                return False
            assert not ended and time.monotonic() < end_s, f"Ardour {'ended' if ended else 'stands still'}; {self.words()}"
            time.sleep(0.05)
        return False

    def _says(self, word: str) -> bool:
        ended, said = self._look()
        assert word in said.split() or not ended, f"Ardour has ended; {self.words()}"
        return word in said.split()

    def _look(self) -> tuple[bool, str]:
        """Whether it has ended, and what it said until then or later."""
        ended = self.process.poll() is not None
        return ended, self._log.read_text(errors="replace")

    def words(self) -> str:
        """The last of Ardour, and of JACK."""
        return f"it said: {last_words(self._log)}\nJACK said: {last_words(self._server.log_path)}"

    def close(self) -> None:
        self.process.kill()
        self.process.wait(5)


class ArdourTake(Ardour):
    """Records what a JACK MIDI port plays, from when it is made until ``stop``."""

    def __init__(self, server: JackServer, folder: Path, source: str = "rt-melody:out") -> None:
        self._stop = folder / "stop"
        super().__init__(server, folder, SCRIPT, SOURCE=source, STOP=str(self._stop))

    def wait_for_recording(self) -> None:
        self.begin("recording")

    def stop(self) -> Path:
        """End the take; its MIDI file."""
        self._stop.touch()
        self.expect("saved")
        return max(self.session.glob("interchange/*/midifiles/*.mid"), key=lambda path: path.stat().st_size)  # others are empty
