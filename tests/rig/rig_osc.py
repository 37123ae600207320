"""OSC receivers by other hands: Pure Data and liblo's oscdump."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path

import rt_melody.realtime
from rt_melody.benchmarks.rig.studio import need_program, tied, wait_until

PURE_DATA_PATCH = """\
#N canvas 0 0 450 300 12;
#X obj 10 10 loadbang;
#X msg 10 40 ready;
#X obj 10 70 print STATE;
#X obj 200 10 netreceive -u -b {port};
#X obj 200 40 oscparse;
#X obj 200 70 list trim;
#X obj 200 100 print OSC;
#X connect 0 0 1 0;
#X connect 1 0 2 0;
#X connect 3 0 4 0;
#X connect 4 0 5 0;
#X connect 5 0 6 0;
"""


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


EXAMPLES = Path(rt_melody.realtime.__file__).parent / "examples"

# Ends the recording and leaves when the file STOP is there.
SUPERCOLLIDER_TAKE = """\
(
"{example}".load;
Server.default.doWhenBooted {{
	s.recHeaderFormat = "wav"; s.recSampleFormat = "int16";
	s.prepareForRecord("{sound}"); s.sync; s.record; s.sync;
	"take begun".postln;
	{{ File.exists("{sound}.stop").not }}.while {{ 0.1.wait }};
	s.stopRecording; 0.5.wait; s.quit; 0.5.wait;
	"take ended".postln;
	0.exit;
}};
)
"""


class Receiver:
    """A program that prints each OSC message it gets; ``lines`` are what it printed so far."""

    def __init__(self, arguments: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self.log = log
        with open(log, "wb") as file:
            self.process = subprocess.Popen(
                tied(arguments), stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=env
            )

    @property
    def lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()

    def wait_for_quiet(self, quiet_s: float = 1.0, timeout_s: float = 20.0) -> None:
        """Return once nothing new was printed for ``quiet_s``."""
        end, size, since = time.monotonic() + timeout_s, -1, time.monotonic()
        while time.monotonic() < end and time.monotonic() - since < quiet_s:
            if (now := self.log.stat().st_size) != size:
                size, since = now, time.monotonic()
            time.sleep(0.05)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(5)


class PureData(Receiver):
    """Pure Data with netreceive and oscparse; ``messages`` are ``[address part, ..., argument, ...]``."""

    def __init__(self, folder: Path) -> None:
        self.port = free_udp_port()
        patch = folder / "receiver.pd"
        patch.write_text(PURE_DATA_PATCH.format(port=self.port))
        super().__init__(
            [need_program("pd"), "-nogui", "-noaudio", "-nomidi", "-stderr", "-open", str(patch)], folder / "pure-data.txt"
        )
        wait_until(lambda: any(line.startswith("STATE") for line in self.lines), 15, "Pure Data's patch being loaded")

    @property
    def messages(self) -> list[list[str]]:
        return [line.split()[1:] for line in self.lines if line.startswith("OSC:")]


class PureDataExample(Receiver):
    """The example patch that users get, and beside it one that prints what it makes; ``values`` by sender's name."""

    def __init__(self, folder: Path, names: tuple[str, ...]) -> None:
        spy = folder / "spy.pd"
        spy.write_text(_spying(names))
        command = [need_program("pd"), "-nogui", "-noaudio", "-nomidi", "-stderr"]
        super().__init__([*command, "-open", str(EXAMPLES / "rt-melody.pd"), "-open", str(spy)], folder / "pure-data.txt")
        wait_until(lambda: any(line.startswith("STATE") for line in self.lines), 15, "Pure Data's patches being loaded")

    def values(self, name: str) -> list[float]:
        return [float(line.split()[-1]) for line in self.lines if line.startswith(f"{name}:")]


def _spying(names: tuple[str, ...]) -> str:
    """A patch that prints what is sent to each name, and says when it is loaded."""
    lines = ["#N canvas 0 0 450 300 12;", "#X obj 0 0 loadbang;", "#X msg 0 30 ready;", "#X obj 0 60 print STATE;"]
    for i, name in enumerate(names):
        lines += [f"#X obj {90 * i} 100 r {name};", f"#X obj {90 * i} 130 print {name};"]
    wires = [(0, 1), (1, 2), *((3 + 2 * i, 4 + 2 * i) for i in range(len(names)))]
    return "\n".join([*lines, *(f"#X connect {a} 0 {b} 0;" for a, b in wires)]) + "\n"


class SuperColliderExample(Receiver):
    """The example that users get, its sound recorded to ``sound``; needs a JACK server for the synthesiser."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.sound = folder / "sung.wav"
        script = folder / "take.scd"
        script.write_text(SUPERCOLLIDER_TAKE.format(example=EXAMPLES / "rt-melody.scd", sound=self.sound))
        quiet = {"QTWEBENGINE_DISABLE_SANDBOX": "1", "QT_QPA_PLATFORM": "offscreen", "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        need_program("scsynth")
        super().__init__([need_program("sclang"), "-D", str(script)], folder / "supercollider.txt", env | quiet)

    def wait_for(self, words: str, timeout_s: float = 90.0) -> None:
        wait_until(lambda: any(words in line for line in self.lines), timeout_s, f"SuperCollider to say: {words}")

    @property
    def notes(self) -> list[tuple[int, int]]:
        """(note, velocity) of each note-on that it told."""
        found = (re.match(r"note on (\d+) velocity (\d+)", line) for line in self.lines)
        return [(int(match[1]), int(match[2])) for match in found if match]


class OscDump(Receiver):
    """liblo's oscdump; ``messages`` are ``(address, type tags)``."""

    def __init__(self, folder: Path) -> None:
        self.port = free_udp_port()
        super().__init__([need_program("oscdump"), "-L", str(self.port)], folder / "oscdump.txt")
        time.sleep(0.5)  # oscdump says nothing when it is ready

    @property
    def messages(self) -> list[tuple[str, str]]:
        found = (re.search(r"(/\S+) (\S*)", line) for line in self.lines)
        return [(match[1], match[2]) for match in found if match]
