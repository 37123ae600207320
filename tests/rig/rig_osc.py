"""OSC receivers by other hands: Pure Data and liblo's oscdump."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from pathlib import Path

from rt_melody.benchmarks.rig.studio import need_program, wait_until

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


class Receiver:
    """A program that prints each OSC message it gets; ``lines`` are what it printed so far."""

    def __init__(self, arguments: list[str], log: Path) -> None:
        self.log = log
        with open(log, "wb") as file:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)

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
