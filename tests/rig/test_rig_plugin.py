"""The plugin in hosts: a small LV2 host of our own, and minihost (JUCE) with the VST3; engines killed, hosts killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from itertools import dropwhile
from pathlib import Path

import numpy as np
import pytest
from fake_plugin import chord, tracked

from rt_melody.benchmarks.rig.studio import HERE, RigMissing
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.plugin import building
from rt_melody.realtime.plugin.lv2_host import Lv2Host
from rt_melody.realtime.plugin.memory import HEADER, LAYOUT
from rt_melody.realtime.sources.demo import demo_phrase

pytestmark = pytest.mark.rig
RATE = 48_000
BOUND = RATE * 50 // 1000
MOST = 1024
OFF_WITHIN_S = 0.1
CLAP_HOST = HERE / "clap_host.cpp"
START_S = 120.0  # of an engine, on a machine that is busy


@pytest.fixture(scope="session")
def plugin(rig, tmp_path_factory) -> dict[str, Path]:
    """What is built of each format."""
    folder = tmp_path_factory.mktemp("plugin")
    with rig():
        try:
            return {kind: building.build(kind, folder) for kind in building.FORMATS}
        except DeviceError as error:
            raise RigMissing(str(error)) from error


@pytest.fixture(scope="session")
def rig():
    from conftest import rig_or_skip

    return rig_or_skip


@pytest.fixture(scope="session")
def song() -> np.ndarray:
    return demo_phrase(RATE).samples[: 375 * 512].astype(np.float32)  # whole blocks of 512


@pytest.fixture
def host(plugin, children):
    def make(rate: float = RATE, most: int = MOST) -> Lv2Host:
        children.append(Lv2Host(plugin["lv2"] / "rt-melody.so", rate, most))
        return children[-1]

    return make


def engines() -> list[int]:
    """Children of ours that are engines."""
    listed = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "plugin host"], capture_output=True, text=True).stdout
    return [int(pid) for pid in listed.split()]


def bounce(host: Lv2Host, sound: np.ndarray, sizes, band=None) -> tuple[list[tuple[int, bytes]], np.ndarray]:
    """All of it, as fast as may be; the MIDI since the beginning of the stream, and the left output."""
    host.set("FREEWHEEL", 1.0)
    begin, done, got, out, turn = host.position, 0, [], [], 0
    while done < len(sound):
        block = sound[done : done + sizes[turn % len(sizes)]]
        got += host.play(block, band=None if band is None else band[done : done + len(block)])
        out.append(host.out[0, : len(block)].copy())
        done, turn = done + len(block), turn + 1
    return anew((sample - begin, message) for sample, message in got), np.concatenate(out)


def anew(messages) -> list[tuple[int, bytes]]:
    """Without the ends of notes that sounded when the stream before ended."""
    return list(dropwhile(lambda event: event[0] == 0 and event[1][0] & 0xF0 == 0x80, messages))


def expected(sound, wait, rate=RATE, **options):
    """What comes out of the plugin: the messages, late by its wait."""
    return [(sample + wait, message) for sample, message in tracked(sound, rate, **options) if sample + wait < len(sound)]


# ---- both sides of the header


def test_the_compiler_reads_the_header_as_python_does(tmp_path):
    if not any(Path(folder, name).exists() for name in building.COMPILERS for folder in os.environ["PATH"].split(":")):
        pytest.skip("no C++ compiler")
    lines = [f"static_assert((long long){'RTM_' + name} == {value}LL, \"{name}\");" for name, value in LAYOUT.items()]
    source = tmp_path / "layout.cpp"
    source.write_text("\n".join([f'#include "{HEADER}"', *lines]))
    done = subprocess.run([building.find_compiler(), "-fsyntax-only", str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- what it plays


def test_midi_equals_what_track_plays_in_blocks_of_any_size_and_sound_is_in_line_with_it(host, song):
    plugin, wait = host(), MOST
    rng = np.random.default_rng(1)
    for sizes in ([64], [256], [1000], rng.integers(1, MOST + 1, 100).tolist()):
        got, out = bounce(plugin, song, sizes)
        assert plugin.latency_samples == BOUND + wait
        assert got == expected(song, wait)
        assert np.array_equal(out[BOUND + wait :], song[: -BOUND - wait]) and not out[: BOUND + wait].any()
        plugin.restart()


def test_a_band_at_the_side_chain_is_taken_out(plugin, host, song):
    described = (plugin["lv2"] / "rt-melody.ttl").read_text()
    assert described.count("lv2:isSideChain") == 2
    song = song[: 3 * RATE]
    lv2, band = host(), chord(len(song), RATE)
    got, out = bounce(lv2, song + band, [512], band)
    assert got == expected(song + band, MOST, band=band)
    assert np.array_equal(out[BOUND + MOST :], (song + band)[: -BOUND - MOST])


def test_parameters_two_instances_bypass_and_panic(host, song):
    low, high = host(), host()
    high.set("TRANSPOSE", 12.0)
    high.set("MODE", 3.0)
    high.set("DIRECT", 1.0)
    low.set("BOUND", 20.0)
    assert bounce(low, song, [512])[0] == expected(song, MOST, latency_ms=20)
    got, out = bounce(high, song, [512])
    assert got == expected(song, MOST, transpose=12, mode="mpe")
    assert np.array_equal(out, song)
    assert low.latency_samples == RATE * 20 // 1000 + MOST and len(engines()) == 2
    low.restart()
    sounding = until_a_note_sounds(low, song)
    low.set("PANIC", 1.0)
    ended = [message for _, message in low.play(np.zeros(64, np.float32))]
    assert bytes([0x80, sounding, 64]) in ended and bytes([0xB0, 120, 0]) in ended and bytes([0xBF, 123, 0]) in ended
    low.restart()
    sounding = until_a_note_sounds(low, song)
    low.set("BYPASS", 1.0)
    assert [message for _, message in low.play(np.zeros(64, np.float32))] == [bytes([0x80, sounding, 64])]
    assert bounce(low, song, [512])[0] == []
    low.set("BYPASS", 0.0)
    low.restart()
    begin, silence = low.position, np.zeros(512, np.float32)  # on one side, which is no half of a voice
    got = [event for start in range(0, len(song), 512) for event in low.play(song[start : start + 512], silence)]
    assert anew((sample - begin, message) for sample, message in got) == expected(song, MOST, latency_ms=20)


def until_a_note_sounds(plugin: Lv2Host, song) -> int:
    """Play until then; the note."""
    for start in range(0, len(song), 256):
        for _, message in plugin.play(song[start : start + 256]):
            if message[0] == 0x90:
                return message[1]
    raise AssertionError("no note came")


# ---- engines and hosts that end


class Live:
    """A host at the pace of the clock, in a thread of its own."""

    def __init__(self, plugin: Lv2Host, song) -> None:
        self._plugin, self._song, self._stop = plugin, song, threading.Event()
        self.on: dict[int, float] = {}
        self.changed_s = 0.0
        self.note_ons = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        due_s, block = time.monotonic(), 0
        while not self._stop.is_set():
            at = 256 * block % (len(self._song) - 256)
            for _, message in self._plugin.play(self._song[at : at + 256]):
                self._take(message)
            block += 1
            due_s = max(due_s + 256 / RATE, time.monotonic() - 0.05)
            time.sleep(max(0.0, due_s - time.monotonic()))

    def _take(self, message: bytes) -> None:
        if message[0] == 0x90:
            self.note_ons += 1
            self.on[message[1]] = time.monotonic()
        elif message[0] == 0x80:
            self.on.pop(message[1], None)
            self.changed_s = time.monotonic()

    def wait(self, condition, timeout_s: float) -> float:
        """Until ``condition``; seconds."""
        began_s = time.monotonic()
        while not condition():
            assert time.monotonic() - began_s < timeout_s, "it never came to be"
            time.sleep(0.001)
        return time.monotonic() - began_s

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)


def test_an_engine_that_is_killed_leaves_no_note_on_and_is_back(host, song, children):
    live = Live(host(), np.tile(song[: 2 * RATE], 2))
    children.append(live)
    for _ in range(2):
        before = live.note_ons
        live.wait(lambda: live.note_ons > before and live.on, START_S)
        (engine,) = engines()
        os.kill(engine, signal.SIGKILL)
        took_s = live.wait(lambda: not live.on, 2.0)
        assert took_s < OFF_WITHIN_S + 0.1, "the notes went on"  # 0.1: this thread is a test's, not a host's
    before = live.note_ons
    live.wait(lambda: live.note_ons > before, START_S)
    assert engines() != [engine]


HOST = """
import sys, time
from pathlib import Path
import numpy as np
from rt_melody.realtime.plugin.lv2_host import Lv2Host
host = Lv2Host(Path(sys.argv[1]), 48000, 256)
host.play(np.zeros(256, np.float32))
while True:
    host.play(np.zeros(256, np.float32))
    print("played", flush=True)
    time.sleep(0.05)
"""


def test_a_host_that_is_killed_takes_its_engine_along(plugin):
    child = subprocess.Popen([sys.executable, "-c", HOST, str(plugin["lv2"] / "rt-melody.so")], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline()
    time.sleep(0.1)
    engine = subprocess.run(["pgrep", "-P", str(child.pid)], capture_output=True, text=True).stdout.split()
    child.kill()
    child.wait(5)
    assert len(engine) == 1
    end_s = time.monotonic() + START_S
    while Path(f"/proc/{engine[0]}").exists() and time.monotonic() < end_s:
        if "Z" in Path(f"/proc/{engine[0]}/stat").read_text().split()[2]:
            break  # ended, and its reaper is slow
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{engine[0]}").exists(), "the engine outlived its host"


def test_fifty_opens_and_closes_leave_nothing_behind(host):
    host().close()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        plugin = host(RATE, 256)
        plugin.play(np.zeros(256, np.float32))
        plugin.close()
    assert len(os.listdir("/proc/self/fd")) == before and engines() == []


def test_an_engine_that_is_not_there_or_of_another_kind_is_told_and_sound_passes(host, song, monkeypatch, capfd):
    for engine, said in (("/no/such/engine", "cannot be started"), ("/bin/false", "ends again and again")):
        monkeypatch.setenv("RT_MELODY_PLUGIN_ENGINE", engine)
        plugin = host()
        plugin.set("DIRECT", 1.0)
        plugin.play(song[:512])
        end_s = time.monotonic() + 15
        while said not in capfd.readouterr().err:
            assert time.monotonic() < end_s
            time.sleep(0.1)
        assert plugin.play(song[:512]) == [] and np.array_equal(plugin.out[0, :512], song[:512])
        plugin.close()


NAMED = ("WORDS", "EVENTS_WRITTEN", "EVENTS_READ", "ENGINE_VERSION", "ENGINE_STATE", "ENGINE_BEAT")
HOSTILE = """#!{python}
import mmap, os, random, time
random.seed(1)
memory = mmap.mmap(3, 0)
try:
    os.ftruncate(3, 0)
    os._exit(9)
except OSError:  # sealed: no host dies of memory that was cut off
    pass
words, events = {words}, len(memory) - {events}
def put(word, value):
    memory[8 * word : 8 * word + 8] = (value & (1 << 64) - 1).to_bytes(8, "little")
while True:
    for word in range({engine_beat} + 1, words):
        put(word, random.choice([-1, 0, random.getrandbits(64), random.getrandbits(20)]))
    memory[events:] = random.randbytes({events})
    for entry in range(events, len(memory), 32):  # every second one nearly right
        memory[entry : entry + 8] = random.getrandbits(13).to_bytes(8, "little")
        status = random.choice([0x80, 0x90, 0xFF, 0x40])
        memory[entry + 8 : entry + 13] = bytes([3, 1, status, random.getrandbits(8), random.getrandbits(8)])
    if random.random() < 0.5:  # a count that can be
        put({events_written}, int.from_bytes(memory[8 * {events_read} : 8 * {events_read} + 8], "little") + 100)
    put({engine_version}, {other_version})
    put({engine_state}, 1)
    put({engine_beat}, time.monotonic_ns())
    time.sleep(0.001)
"""


@pytest.mark.parametrize("other_version", [LAYOUT["VERSION_VALUE"], LAYOUT["VERSION_VALUE"] + 1])
def test_an_engine_that_writes_what_it_likes_harms_no_host(host, song, tmp_path, monkeypatch, capfd, other_version):
    script = tmp_path / "engine"
    places = {name.lower(): LAYOUT[name] for name in NAMED}
    script.write_text(HOSTILE.format(python=sys.executable, events=16 * LAYOUT["EVENTS_SIZE"], other_version=other_version, **places))
    script.chmod(0o755)
    monkeypatch.setenv("RT_MELODY_PLUGIN_ENGINE", str(script))
    plugin = host()
    plugin.set("DIRECT", 1.0)
    got, end_s = [], time.monotonic() + 3.0
    while time.monotonic() < end_s:
        got += plugin.play(song[:256])
        assert np.array_equal(plugin.out[0, :256], song[:256])
        assert plugin.latency_samples <= RATE // 2 + MOST
        time.sleep(0.002)
    assert all(0x80 <= m[0] < 0xF0 and max(m[1:]) < 0x80 and len(m) in (2, 3) for _, m in got)
    if other_version != LAYOUT["VERSION_VALUE"]:
        assert "is of another version" in capfd.readouterr().err and engines() == []


# ---- VST3


def test_the_vst3_plays_the_same_at_another_rate_too_and_its_state_is_kept(plugin, song):
    minihost = pytest.importorskip("minihost")
    with minihost.Plugin(str(plugin["vst3"]), RATE, 512) as vst:
        number = {vst.get_param_info(i)["name"]: i for i in range(vst.num_params)}
        vst.set_param(number["Bounce: wait for the engine"], 1.0)
        vst.set_param(number["Transpose"], (12 + 36) / 72)
        assert vst_take(vst, song, 500) == expected(song, 512, transpose=12)
        state = vst.get_state()
        half = np.ascontiguousarray(song[::2])
        vst.sample_rate = RATE / 2
        assert vst_take(vst, half, 512) == expected(half, 512, RATE // 2, transpose=12)
    with minihost.Plugin(str(plugin["vst3"]), RATE, 512) as vst:
        vst.set_state(state)
        assert vst.get_param(number["Transpose"]) == pytest.approx((12 + 36) / 72)
        assert vst_take(vst, song[:RATE], 512) == expected(song[:RATE], 512, transpose=12)


def vst_take(vst, sound, size):
    got = []
    for start in range(0, len(sound), size):
        block = np.ascontiguousarray(np.stack([sound[start : start + size]] * 2))
        got += [(start + event[0], bytes(event[1:])) for event in vst.process_midi(block, np.empty_like(block), [], 1024)]
    return anew(got)


# ---- CLAP


@pytest.fixture(scope="session")
def clap_host(plugin, tmp_path_factory) -> Path:
    """A small CLAP host, compiled (see benchmarks/rig/clap_host.cpp)."""
    target = tmp_path_factory.mktemp("clap") / "clap_host"
    command = [building.find_compiler(), "-std=c++17", "-isystem", str(building.find_dpf() / "distrho"), str(CLAP_HOST), "-ldl"]
    subprocess.run([*command, "-o", str(target)], check=True)
    return target


def test_the_clap_keeps_its_state_and_takes_the_band_at_its_side_chain_out(plugin, clap_host, song, tmp_path):
    song = song[: 3 * RATE]
    band = chord(len(song), RATE)
    (song + band).tofile(tmp_path / "voice.f32")
    band.tofile(tmp_path / "band.f32")
    parameters = [f"{LAYOUT[f'PARAMETER_{name}']}={value}" for name, value in (("FREEWHEEL", 1), ("TRANSPOSE", -5))]
    sounds = [str(tmp_path / name) for name in ("voice.f32", "band.f32")]
    done = subprocess.run([str(clap_host), str(plugin["clap"]), *sounds, str(RATE), "512", *parameters], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = [line.split() for line in done.stdout.splitlines()]
    got = [(int(words[1]), cut(bytes(map(int, words[2:])))) for words in told if words[0] == "midi"]
    assert got == expected(song + band, 512, band=band, transpose=-5)
    assert [words[1:] for words in told if words[0] != "midi"] == [["2", "2"], [str(BOUND + 512)], ["0"]]


def cut(message: bytes) -> bytes:
    """A channel message without what is not of it."""
    return message[: 2 if message[0] & 0xE0 == 0xC0 else 3]
