"""The plugin's benchmark leaves no host behind, however it ends; without a plugin."""

from __future__ import annotations

import sys

import pytest

from rt_melody.benchmarks import plugin

HOST = "#!/bin/sh\nexec sleep 1000\n"


class NoSynth(plugin.Synth):
    """No FluidSynth."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.mark.skipif(sys.platform == "win32", reason="the host is a shell's script")
@pytest.mark.parametrize("what", [["1", "0"], ["0", "1"]])
@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt])
def test_a_host_ends_with_the_benchmark_that_fails(monkeypatch, what, end):
    hosts, synths = list[plugin.LiveHost](), list[NoSynth]()

    def synth() -> NoSynth:
        synths.append(NoSynth())
        return synths[-1]

    def fails(live: plugin.LiveHost) -> list[int]:
        hosts.append(live)
        assert live.process.poll() is None
        raise end

    def script(target, *flags):
        target.write_text(HOST)
        target.chmod(0o755)
        return target

    monkeypatch.setattr(plugin, "build_host", script)
    monkeypatch.setattr(plugin, "Synth", synth)
    monkeypatch.setattr(plugin.LiveHost, "engines", fails)
    monkeypatch.setattr(plugin.random, "uniform", lambda least, most: 0.0)
    with pytest.raises(end):
        plugin.main(["kills", *what])
    assert [host.process.poll() for host in hosts] == [-9] and all(synth.closed for synth in synths)
