"""A microphone that was lost and is waited for: what is said meanwhile, where times stand after it, and the process that hears it."""

from __future__ import annotations

import os
import sys
import textwrap
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from fake_audio import FakeAudio, PortAudioError

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.sources import DeviceLost, devices, microphone, returning, returning_child
from rt_melody.realtime.sources.microphone import MicrophoneSource
from rt_melody.realtime.sources.returning import HEADER, ReturningInput, Wanted

RATE = 48_000


def eventually(true, within_s: float = 20.0):
    end_s = time.monotonic() + within_s
    while not (value := true()) and time.monotonic() < end_s:
        time.sleep(0.01)
    return value


class Waiting:
    """In place of a ReturningInput: it returns when the test says so."""

    active, latency, closed = True, 0.003, False

    def __init__(self, wanted, callback, on_return, on_finished):
        self.wanted, self.callback, self.on_return, self.on_finished = wanted, callback, on_return, on_finished

    def close(self):
        self.closed = True


@pytest.fixture
def clock(monkeypatch):
    at = SimpleNamespace(now_s=1000.0)
    monkeypatch.setattr(time, "perf_counter", lambda: at.now_s)
    return at


@pytest.fixture
def lost(monkeypatch, clock):
    """A microphone that gave a second of sound and was unplugged: (source, what waits for it, its audio)."""
    monkeypatch.setattr(microphone, "ReturningInput", Waiting)
    audio = FakeAudio([("mic", 0, 2, float(RATE))])
    source = MicrophoneSource(channel=2, backend=audio, reconnect=True)
    source.open()
    for _ in range(100):
        clock.now_s += 0.01
        audio.stream.play(np.full((480, 2), 0.1))
        assert len(source.read(0.0)) == 480
    audio.stream.unplug()
    assert len(source.read(0.0)) == 0
    yield source, source._stream, audio
    source.close()


def test_a_lost_microphone_is_waited_for_and_said(lost):
    source, waiting, _ = lost
    assert waiting.wanted == ("mic, ALSA", RATE, 2, 0)
    assert source.breaks == 1, "what sounds must end"
    assert "'mic, ALSA' was lost" in source.trouble and "once it is back" in source.trouble


def test_however_long_it_is_away_it_is_lost_once(lost, clock):
    source, waiting, _ = lost
    clock.now_s += 100 * microphone.SILENT_DEVICE_S
    assert len(source.read(0.0)) == 0 and source._stream is waiting and source.breaks == 1


def test_when_it_is_back_times_have_gone_on(lost, clock):
    source, waiting, _ = lost
    origin_s = source.origin_s
    clock.now_s += 7.0
    waiting.on_return()
    clock.now_s += 0.01
    waiting.callback(np.full((480, 1), 0.2), 480, None, None)  # the child has chosen the channel
    block = source.read(0.0)
    assert np.allclose(block, 0.2) and len(block) == 480
    assert source.breaks == 2 and source.trouble is None
    assert source.position_samples == RATE + 7 * RATE + 480, "of what it would have given meanwhile, and of this block"
    assert source.origin_s == origin_s and source.input_latency_ms == pytest.approx(3.0)


def test_one_that_goes_again_is_waited_for_again(lost):
    source, waiting, _ = lost
    waiting.on_return()
    waiting.on_finished()
    source.read(0.0)
    assert source._stream is not waiting and waiting.closed and source.breaks == 3 and "was lost" in source.trouble


def test_a_stream_whose_jack_server_has_died_is_never_closed(monkeypatch, clock):
    """PortAudio aborts the process that closes it."""
    monkeypatch.setattr(microphone, "ReturningInput", Waiting)
    audio = FakeAudio([("singer", 0, 1, float(RATE))], host_apis=("JACK Audio Connection Kit",))
    source = MicrophoneSource(backend=audio, reconnect=True)
    source.open()
    audio.stream.unplug()
    source.read(0.0)
    assert not audio.stream.closed and isinstance(source._stream, Waiting)
    assert devices._abandoned.pop() is audio.stream
    source.close()


def test_a_stream_whose_jack_server_only_stood_still_is_heeded_no_more(monkeypatch, clock):
    """It goes on calling once its server goes on, and another process hears the input by then."""
    monkeypatch.setattr(microphone, "ReturningInput", Waiting)
    monkeypatch.setattr(devices, "_abandoned", [])
    audio = FakeAudio([("singer", 0, 1, float(RATE))], host_apis=("JACK Audio Connection Kit",))
    source = MicrophoneSource(backend=audio, reconnect=True)
    source.open()
    while not isinstance(waiting := source._stream, Waiting):  # nothing comes, however often we look
        clock.now_s += 0.1
        source.read(0.0)
    waiting.on_return()
    waiting.callback(np.full((480, 1), 0.2), 480, None, None)
    audio.stream.play(np.full((480, 1), 0.1))
    audio.stream.unplug()
    block = source.read(0.0)
    assert len(block) == 480 and np.allclose(block, 0.2) and source._stream is waiting
    source.close()


class Graph:
    """In place of a JackWatch: the clients that are there, and how often it was asked."""

    gone = closed = False

    def __init__(self, monkeypatch, *names: str):
        self.names, self.asked, self.opened = set(names), [], 0
        monkeypatch.setattr(microphone, "watch_jack", self.watch)
        monkeypatch.setattr(microphone, "ASK_GRAPH_S", 0.01)

    def watch(self):
        self.opened += 1
        return self

    def has_client(self, name):
        self.asked.append(name)
        return name in self.names

    def close(self):
        self.closed = True


def in_graph(monkeypatch, clock, reconnect: bool):
    """A microphone that hears a client of JACK's, and what gives it so many seconds of one value."""
    monkeypatch.setattr(microphone, "ReturningInput", Waiting)
    audio = FakeAudio([("singer", 0, 1, float(RATE))], host_apis=("JACK Audio Connection Kit",))
    source = MicrophoneSource(backend=audio, reconnect=reconnect)
    source.open()

    def give(seconds, value=0.0):
        for _ in range(round(100 * seconds)):
            clock.now_s += 0.01
            audio.stream.play(np.full((480, 1), value))
            source.read(0.0)
            source.read(0.0)  # finds nothing, and looks why

    return source, audio, give


@pytest.mark.parametrize("reconnect", [True, False])
def test_under_jack_a_client_that_was_silent_for_long_and_leaves_is_lost(monkeypatch, clock, reconnect):
    graph = Graph(monkeypatch, "singer")
    source, audio, give = in_graph(monkeypatch, clock, reconnect)
    give(10.0)
    assert eventually(lambda: len(graph.asked) > 3) and graph.opened == 1, "it is there, and is asked for again"
    assert not source._away and source.breaks == 0
    graph.names.clear()
    assert eventually(lambda: source._graph._silence.has_left)
    if reconnect:
        source.read(0.0)
        assert "it left the JACK graph" in source.trouble and source.breaks == 1
    else:
        with pytest.raises(DeviceLost, match="'singer, .*' was lost: it left the JACK graph; start it again"):
            source.read(0.0)
    source.close()
    assert eventually(lambda: graph.closed) and audio.stream.closed, "PortAudio's client is still in the graph, and can be closed"


@pytest.mark.parametrize("ends", ["sound", "close"])
def test_once_it_is_heard_or_closed_the_graph_is_asked_no_more(monkeypatch, clock, ends):
    graph = Graph(monkeypatch, "singer")
    source, _, give = in_graph(monkeypatch, clock, reconnect=False)
    give(1.0)
    assert eventually(lambda: graph.asked)
    give(0.1, value=0.1) if ends == "sound" else source.close()
    assert eventually(lambda: graph.closed)
    source.close()


def test_a_server_that_dies_is_no_client_that_left(monkeypatch, clock):
    graph = Graph(monkeypatch)
    graph.gone = True
    source, _, give = in_graph(monkeypatch, clock, reconnect=False)
    give(1.0)
    assert eventually(lambda: graph.closed) and graph.asked == []
    give(1.0)
    source.close()


# ---- the process


def told(monkeypatch, tmp_path, script: str):
    """A ReturningInput whose children run ``script``, and what it told."""
    (tmp_path / "child_of_a_test.py").write_text("import json, os, sys, time\nfrom pathlib import Path\n" + textwrap.dedent(script))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(returning, "CHILD", "child_of_a_test")
    events: list = []
    waiting = ReturningInput(
        Wanted("mic, ALSA", RATE, None, 0),
        lambda frames, n, time_info, status: events.append((frames.copy(), bool(status) and status.input_overflow)),
        lambda: events.append("back"),
        lambda: events.append("gone"),
    )
    return waiting, events


def test_what_the_process_hears_is_called_back(monkeypatch, tmp_path):
    block = HEADER.pack(3, 0) + np.array([1, 2, 3], np.float32).tobytes()
    late = HEADER.pack(1, 1) + np.array([4], np.float32).tobytes()
    out = f"os.write(1, b'{{\"latency_s\": 0.25}}\\n' + {block!r} + {late!r} + b'xx')"
    waiting, events = told(monkeypatch, tmp_path, out)
    assert eventually(lambda: "gone" in events)
    assert events[0] == "back" and waiting.latency == 0.25
    assert events[1][0].tolist() == [[1], [2], [3]] and not events[1][1]
    assert events[2][0].tolist() == [[4]] and events[2][1] and events[3] == "gone"
    waiting.close()


def test_a_process_that_fails_is_followed_by_one_that_has_more_time(monkeypatch, tmp_path):
    script = """
        seen = Path(__file__).with_name("seen")
        with open(seen, "a") as file:
            file.write(sys.argv[1] + "\\n")
        if len(seen.read_text().splitlines()) < 3:
            os.abort()
        os.write(1, b'{"latency_s": 0.0}\\n')
        sys.stdin.read()
    """
    waiting, events = told(monkeypatch, tmp_path, script)
    assert eventually(lambda: events == ["back"])
    waiting.close()
    seen = [line.rstrip("]").split(", ")[-1] for line in (tmp_path / "seen").read_text().splitlines()]
    assert [float(value) for value in seen] == [2.0, 4.0, 8.0]
    assert waiting._child.poll() is not None and events == ["back"], "closed, it tells no end"


def test_closed_while_it_waits_the_process_leaves(monkeypatch, tmp_path):
    waiting, events = told(monkeypatch, tmp_path, "sys.stdin.read()")
    waiting.close()
    assert waiting._child.returncode is not None and events == []


class Restarting(FakeAudio):
    """PortAudio that sees what there is only when it starts anew; the first ``missing`` times the microphone is away."""

    _libname = "no such library"

    def __init__(self, missing: int):
        super().__init__([("mic: USB (hw:1,0)", 0, 1, float(RATE))])
        self.missing, self.starts, self.all = missing, 0, self.devices
        self.devices = []

    def _terminate(self):
        self.devices = None

    def _initialize(self):
        self.starts += 1
        self.devices = self.all if self.starts > self.missing else []


def test_the_process_starts_portaudio_anew_until_the_input_is_there(monkeypatch):
    monkeypatch.setattr(returning_child, "LOOK_EVERY_S", 0.0)
    audio = Restarting(missing=3)
    source = returning_child.awaited(Wanted("mic: USB (hw:2,0), ALSA", RATE, None, 0), audio, threading.Event(), 60.0)
    assert audio.starts == 4 and source.info.full_name == "mic: USB (hw:1,0), ALSA"
    source.close()


def test_another_input_is_not_taken_for_it():
    with pytest.raises(DeviceError, match="not there"):
        returning_child.opened(Wanted("mic, ALSA", RATE, None, 0), FakeAudio([("mic 2", 0, 1, float(RATE))]))


def test_one_that_is_there_and_does_not_open_is_waited_for(monkeypatch):
    leaving = threading.Event()
    monkeypatch.setattr(returning_child, "LOOK_EVERY_S", 0.0)
    audio = Restarting(missing=0)
    audio.failure = PortAudioError("busy", -9985)

    def start():
        Restarting._initialize(audio)
        if audio.starts == 3:
            audio.failure = None

    audio._initialize = start
    source = returning_child.awaited(Wanted("mic: USB (hw:1,0), ALSA", RATE, None, 0), audio, leaving, 60.0)
    assert audio.starts == 3
    source.close()


def test_the_process_passes_on_what_it_hears_and_says_what_was_lost():
    audio, leaving, (reader, writer) = FakeAudio([("mic", 0, 1, float(RATE))]), threading.Event(), os.pipe()
    source = MicrophoneSource(backend=audio)
    source.open()
    sent = np.linspace(-1, 1, 300, dtype=np.float32)
    audio.stream.play(sent[:100, None])
    thread = threading.Thread(target=returning_child.pass_on, args=(source, writer, leaving))
    thread.start()
    with os.fdopen(reader, "rb") as pipe:
        first = returning._read_block(pipe)
        audio.stream.play(sent[100:, None], overflow=True)
        second = returning._read_block(pipe)
        leaving.set()
        thread.join()
        os.close(writer)
        assert returning._read_block(pipe) is None
    assert np.array_equal(np.concatenate([first[0], second[0]]), sent) and (first[1], second[1]) == (False, True)
    source.close()


def test_portaudio_that_hangs_ends_the_process():
    import subprocess

    hanging = "import time; from rt_melody.realtime.sources.returning_child import within\nwith within(0.1): time.sleep(60)"
    assert subprocess.run([sys.executable, "-c", hanging], timeout=50).returncode == 1
