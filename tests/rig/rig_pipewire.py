"""PipeWire without a sound card, a screen or a session: a private bus, a server, its session manager, and a null sink."""

from __future__ import annotations

import os
import shutil
import subprocess
from glob import glob
from pathlib import Path

from rt_melody.benchmarks.rig.studio import RigMissing, need_jack_client, tied, wait_until

PROGRAMS = {
    "dbus-run-session": "dbus",
    "pipewire": "pipewire",
    "wireplumber": "wireplumber",
    "pw-metadata": "pipewire-bin",
    "pw-link": "pipewire-bin",
}
SERVER = """
pipewire &
until pw-cli info 0 > /dev/null 2>&1; do sleep 0.05; done
wireplumber &
wait
"""
CONFIG = """
context.properties = {
  default.clock.rate = 48000
  default.clock.allowed-rates = [ 44100 48000 ]
  default.clock.quantum = 256
  default.clock.min-quantum = 32
}
context.objects = [
  { factory = adapter
    args = {
      factory.name = support.null-audio-sink  node.name = rig-mic  media.class = Audio/Source/Virtual
      object.linger = true  audio.position = [ MONO ]  priority.session = 2000
    } }
  { factory = adapter
    args = {
      factory.name = support.null-audio-sink  node.name = rig-sink  media.class = Audio/Sink
      object.linger = true  audio.position = [ FL FR ]  priority.session = 1000  priority.driver = 40000
    } }
]
"""


def find_libjack() -> Path:
    """PipeWire's own libjack; RigMissing without it."""
    found = sorted(glob("/usr/lib/*/pipewire-0.3/jack/libjack.so.0") + glob("/usr/lib*/pipewire-0.3/jack/libjack.so.0"))
    if not found:
        raise RigMissing("PipeWire's libjack is not installed (Debian: apt-get install pipewire-jack)")
    return Path(found[0])


class PipeWire:
    """A server of its own for as long as it is open. ``env`` is what its clients need; ``jack_env``, what clients need
    that load a libjack by its name."""

    def __init__(self, folder: Path) -> None:
        for program, package in PROGRAMS.items():
            if shutil.which(program) is None:
                raise RigMissing(f"`{program}` is not installed (Debian: apt-get install {package})")
        need_jack_client()
        library = find_libjack()
        runtime, config = folder / "runtime", folder / "config" / "pipewire" / "pipewire.conf.d"
        runtime.mkdir(mode=0o700)
        config.mkdir(parents=True)
        (config / "rig.conf").write_text(CONFIG)
        self.env = {
            name: value for name, value in os.environ.items() if name not in ("JACK_DEFAULT_SERVER", "LD_PRELOAD", "LD_LIBRARY_PATH")
        }
        self.env |= {
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder),
            "HOME": str(folder),
        }
        self.jack_env = self.env | {"LD_LIBRARY_PATH": str(library.parent)}
        self.log_path = folder / "pipewire.txt"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                tied(["dbus-run-session", "--", "sh", "-c", SERVER]), env=self.env, stdout=log, stderr=log, start_new_session=True
            )
        try:
            wait_until(
                lambda: {"rig-sink:playback_FL", "rig-mic:input_MONO"} <= set(self.ports()),
                30,
                f"PipeWire's null sink, see {self.log_path}",
            )
        except AssertionError:
            self.close()
            raise

    def ports(self) -> list[str]:
        try:
            answer = subprocess.run(["pw-link", "-io"], env=self.env, capture_output=True, text=True, timeout=5)
        except subprocess.TimeoutExpired:
            return []
        return answer.stdout.split() if answer.returncode == 0 else []

    def set(self, name: str, value: int) -> None:
        """A setting of the running graph, such as ``clock.force-quantum``; 0 gives the choice back."""
        subprocess.run(["pw-metadata", "-n", "settings", "0", name, str(value)], env=self.env, capture_output=True, check=True, timeout=10)

    def close(self) -> None:
        for signal in ("-TERM", "-KILL"):
            subprocess.run(["kill", signal, "--", f"-{self.process.pid}"], capture_output=True, timeout=10)
            try:
                self.process.wait(5)
                return
            except subprocess.TimeoutExpired:
                continue
