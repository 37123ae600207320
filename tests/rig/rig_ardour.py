"""Ardour, a real DAW, as the one that records us: without a screen, by its Lua session tool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from rt_melody.benchmarks.rig.studio import JackServer, RigMissing, end_with_parent, wait_until

SCRIPT = Path(__file__).parent / "ardour_take.lua"
TOOLS = ("ardour8-lua", "ardour7-lua", "ardour6-lua")  # by version, the newest first


def find_ardour() -> str:
    """Its Lua session tool; RigMissing without it."""
    for tool in TOOLS:
        if path := shutil.which(tool):
            return path
    raise RigMissing("Ardour is not installed (Debian: apt-get install ardour)")


class ArdourTake:
    """Records what a JACK MIDI port plays, from when it is made until ``stop``."""

    def __init__(self, server: JackServer, folder: Path, source: str = "rt-melody:out") -> None:
        home = folder / "home"
        home.mkdir()
        self.session, self._stop, self._log = folder / "session", folder / "stop", folder / "ardour.txt"
        env = server.env | {"HOME": str(home), "SOURCE": source, "STOP": str(self._stop), "SESSION": str(self.session)}
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                [find_ardour(), str(SCRIPT)], env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=end_with_parent,
            )

    def wait_for_recording(self, timeout_s: float = 90.0) -> None:
        wait_until(lambda: self._says("recording"), timeout_s, "Ardour to record")

    def stop(self, timeout_s: float = 90.0) -> Path:
        """End the take; its MIDI file."""
        self._stop.touch()
        wait_until(lambda: self._says("saved"), timeout_s, "Ardour to save its take")
        return max(self.session.glob("interchange/*/midifiles/*.mid"), key=lambda path: path.stat().st_size)  # others are empty

    def _says(self, word: str) -> bool:
        said = self._log.read_text(errors="replace")
        assert self.process.poll() is None or word in said.split(), f"Ardour has ended; it said: {said[-1500:]}"
        return word in said.split()

    def close(self) -> None:
        self.process.kill()
        self.process.wait(5)
