"""The plugin in hosts: a small LV2 host of our own, and minihost (JUCE) with the VST3; engines killed, hosts killed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from itertools import dropwhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_plugin import chord, tracked
from rig_ardour import STARTS, Ardour, find_ardour
from rig_fluidsynth import messages_of

from rt_melody import kernels, models, realtime
from rt_melody.benchmarks.plugin import build_host
from rt_melody.benchmarks.rig.studio import (
    HERE,
    LAST_WORDS,
    JackServer,
    MidiRecorder,
    RigMissing,
    finished,
    is_running,
    last_words,
    need_program,
    next_line,
    tied,
    wait_until,
)
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.plugin import building
from rt_melody.realtime.plugin.lv2_host import FIRST_PARAMETER, Lv2Host
from rt_melody.realtime.plugin.memory import HEADER, LAYOUT
from rt_melody.realtime.sources.demo import demo_phrase

pytestmark = pytest.mark.rig
RATE = 48_000
BOUND = RATE * 50 // 1000
MOST = 1024
OFF_WITHIN_S = 0.1
CLAP_HOST, ARDOUR_SCRIPT = HERE / "clap_host.cpp", Path(__file__).parent / "ardour_plugin.lua"
START_S = 300.0  # of an engine, on a machine that is busy
SOON_S = 60.0  # what needs no engine to load
HELD = 64  # a note that the demo song does not begin with
COUNT = LAYOUT["PARAMETER_COUNT"]
NEWEST = next(name.removeprefix("PARAMETER_") for name, number in LAYOUT.items() if name.startswith("PARAMETER_") and number == COUNT - 1)


@pytest.fixture
def jack_server(mortal_jack_server):
    """A server for each test: one whose Ardour ends amid an export stays in JACK's freewheel mode, and lets nobody else in."""
    return mortal_jack_server


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
def older(plugin, tmp_path_factory) -> dict[str, Path]:
    """The same of the plugin as it was before its newest parameter."""
    folder = tmp_path_factory.mktemp("older")
    for path in building.SOURCE.glob("*.[hc]*"):
        shutil.copy(path, folder)
    header, source = folder / HEADER.name, folder / "plugin.cpp"
    header.write_text(
        re.sub(rf" *RTM_PARAMETER_{NEWEST} = .*\n", "", header.read_text()).replace(f"_COUNT = {COUNT},", f"_COUNT = {COUNT - 1},")
    )
    before, table = source.read_text().split("const Told PARAMETERS", 1)
    source.write_text("const Told PARAMETERS".join([before, re.sub(r"\n.*\n};", "\n};", table, count=1)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "SOURCE", folder)
        return {kind: building.build(kind, folder) for kind in ("vst3", "clap")}


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
    return [int(pid) for pid in finished(["pgrep", "-P", str(os.getpid()), "-f", "plugin host"]).stdout.split()]


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


def same(got, want) -> bool:
    """As ``==``; AssertionError with where they part. Of two long lists pytest would say more, and take hours for it."""
    here = next((i for i, (one, other) in enumerate(zip(got, want)) if one != other), min(len(got), len(want)))
    there = f"of {len(got)} messages, {len(want)} expected, from number {here} on: {got[here : here + 5]}, not {want[here : here + 5]}"
    assert here == len(got) == len(want), there
    return True


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
    done = finished([building.find_compiler(), "-fsyntax-only", str(source)])
    assert done.returncode == 0, done.stderr


# ---- what it plays


def test_midi_equals_what_track_plays_in_blocks_of_any_size_and_sound_is_in_line_with_it(host, song):
    plugin, wait = host(), MOST
    rng = np.random.default_rng(1)
    for sizes in ([64], [256], [1000], rng.integers(1, MOST + 1, 100).tolist()):
        got, out = bounce(plugin, song, sizes)
        assert plugin.latency_samples == BOUND + wait
        assert same(got, expected(song, wait))
        assert np.array_equal(out[BOUND + wait :], song[: -BOUND - wait]) and not out[: BOUND + wait].any()
        plugin.restart()


def test_a_band_at_the_side_chain_is_taken_out(plugin, host, song):
    described = (plugin["lv2"] / "rt-melody.ttl").read_text()
    assert described.count("lv2:isSideChain") == 2
    song = song[: 3 * RATE]
    lv2, band = host(), chord(len(song), RATE)
    got, out = bounce(lv2, song + band, [512], band)
    assert same(got, expected(song + band, MOST, band=band))
    assert np.array_equal(out[BOUND + MOST :], (song + band)[: -BOUND - MOST])


def test_parameters_two_instances_bypass_and_panic(host, song):
    low, high = host(), host()
    high.set("TRANSPOSE", 12.0)
    high.set("MODE", 3.0)
    high.set("DIRECT", 1.0)
    low.set("BOUND", 20.0)
    assert same(bounce(low, song, [512])[0], expected(song, MOST, latency_ms=20))
    got, out = bounce(high, song, [512])
    assert same(got, expected(song, MOST, transpose=12, mode="mpe"))
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
    assert same(anew((sample - begin, message) for sample, message in got), expected(song, MOST, latency_ms=20))


def until_a_note_sounds(plugin: Lv2Host, song) -> int:
    """Play until then; the note."""
    for start in range(0, len(song), 256):
        for _, message in plugin.play(song[start : start + 256]):
            if message[0] == 0x90:
                return message[1]
    raise AssertionError("no note came")


def test_a_transport_that_stops_ends_the_note_and_one_that_starts_or_stands_ends_none(host, song):
    plugin = host()
    ends = []
    for rolled, rolls in ((True, False), (False, True), (True, True), (False, False)):
        plugin.set("FREEWHEEL", 1.0)
        plugin.restart()
        plugin.rolls = rolled
        sounding = until_a_note_sounds(plugin, song)
        plugin.set("FREEWHEEL", 0.0)
        plugin.rolls = rolls
        at = plugin.position
        ends.append((at, bytes([0x80, sounding, 64])) in plugin.play(np.zeros(64, np.float32)))
    assert ends == [True, False, False, False]


def test_a_transport_that_starts_amid_a_bounce_ends_the_note_of_the_stream_before(host, song):
    plugin = host()
    plugin.set("FREEWHEEL", 1.0)
    plugin.rolls = False
    sounding, plugin.rolls = until_a_note_sounds(plugin, song), True
    at = plugin.position
    assert (at, bytes([0x80, sounding, 64])) in plugin.play(np.zeros(64, np.float32))


@pytest.mark.parametrize("before", (128, 1024, 3 * 128))
def test_a_bounce_begins_with_the_transport_however_much_silence_a_host_gives_before(host, song, before):
    plugin = host(RATE, 128)
    plugin.set("FREEWHEEL", 1.0)
    plugin.rolls = False
    for _ in range(before // 128):
        plugin.play(np.zeros(128, np.float32))
    plugin.rolls = True
    got, _ = bounce(plugin, song, [128])
    assert same(got, expected(song, 256))


# ---- hosts that are unlike others


@pytest.mark.parametrize("rate, size", [(8_000, 1), (8_000, 8192), (384_000, 1), (384_000, 8192)])
def test_at_the_lowest_and_the_highest_rate_blocks_of_one_and_of_thousands_play_the_same(plugin, clap_host, rate, size, tmp_path):
    sung = min(rate, RATE)  # the demo is not sung at higher rates
    sound = np.repeat(demo_phrase(sung).samples[sung : 5 * sung // 2].astype(np.float32), rate // sung)
    told = clap_take(clap_host, plugin["clap"], sound, None, rate, size, tmp_path, FREEWHEEL=1)
    wait = max(size, rate * 5 // 1000)
    got, want = midi_of(told), expected(sound, wait, rate)
    assert same(got, want) and struck(want)
    assert [words[1:] for words in told if words[0] != "midi"] == [["2", "2"], [str(rate * 50 // 1000 + wait)], ["0"]]


def test_a_rate_at_which_nothing_can_be_heard_is_told_and_sound_passes(host, song, capfd):
    plugin, said = host(999, 512), ""
    plugin.set("DIRECT", 1.0)
    end_s = time.monotonic() + START_S
    while "must be a whole number from 1000 to 768000" not in said:
        assert plugin.play(song[:512]) == [] and np.array_equal(plugin.out[0, :512], song[:512])
        assert time.monotonic() < end_s, f"nothing was told but {said!r}"
        time.sleep(0.05)
        said += capfd.readouterr().err
    assert "choose another sample rate in the host" in said


def test_the_memory_has_no_name_and_no_other_user_can_open_it(host, song):
    before = named_memory()
    plugin = host()
    until_a_note_sounds_in_a_bounce(plugin, song)
    (engine,) = engines()
    place = f"/proc/{engine}/fd/3"
    assert os.readlink(place) == "/memfd:rt-melody (deleted)"
    assert named_memory() == before and not shared_maps(engine) - {"/memfd:rt-melody (deleted)"}
    look = [sys.executable, "-c", f"import os; os.open({place!r}, os.O_RDWR)"]
    assert finished(look).returncode == 0, "its own user can, or the next line shows nothing"
    if os.geteuid() == 0:
        refused = finished(["cat", place], user=65534, group=65534, extra_groups=[])
        assert refused.returncode and "Permission denied" in refused.stderr
    plugin.close()
    assert named_memory() == before and engines() == []


USERS = (65534, 65533)  # nobody, and nobody else
USERS_ENGINE = """#!{python} -S
import site, sys
site.addsitedir({packages!r})
sys.path.insert(0, {code!r})
sys.argv[0] = "rt-melody"
from rt_melody.realtime.start import main
sys.exit(main())
"""


class User:
    """A user of the machine with a home, a host and an engine of his own; the host bounces the song again and again."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number, self.home = number, folder / str(number)
        self.home.mkdir()
        for room in (realtime, kernels, models):  # with what was compiled, as if he had played before
            shutil.copytree(Path(room.__path__[0]), self.home / "rt_melody" / Path(room.__path__[0]).name, symlinks=True)
        for path in (self.home, *self.home.rglob("*")):
            os.chown(path, number, number, follow_symlinks=False)
        self._env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "TMPDIR": str(self.home)}
        self._told, self._said = self.home / "told.txt", self.home / "said.txt"
        engine, packages = self.home / "engine", sysconfig.get_paths()["purelib"]
        engine.write_text(USERS_ENGINE.format(python=self._interpreter(packages), packages=packages, code=str(self.home)))
        engine.chmod(0o755)

    def _as(self) -> dict[str, Any]:
        return {"user": self.number, "group": self.number, "extra_groups": [], "cwd": "/"}

    def _interpreter(self, packages: str) -> str:
        """One that he may run and that finds what rt-melody needs; a skip where there is none."""
        code = f"import site, sys; site.addsitedir({packages!r}); sys.path.insert(0, {str(self.home)!r})"
        look = ["-S", "-c", f"{code}; import rt_melody.realtime.plugin.host"]  # the packages of that Python, if it has any, are others
        for path in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
            with suppress(OSError):  # it is closed to others, or not there
                if finished([path, *look], START_S, env=self._env, **self._as()).returncode == 0:
                    return path
        pytest.skip("another user can run no Python here that finds what rt-melody needs")

    def start(self, host: Path, sound: Path) -> None:
        command = [str(host), str(sound), str(RATE), "512", "600", "0", f"{FIRST_PARAMETER + LAYOUT['PARAMETER_FREEWHEEL']}=1"]
        env = self._env | {"RT_MELODY_PLUGIN_ENGINE": str(self.home / "engine")}
        with open(self._told, "wb") as told, open(self._said, "wb") as said:
            self.host = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=told, stderr=said, **self._as())

    @property
    def told(self) -> list[tuple[int, bytes]]:
        """The MIDI of complete lines so far."""
        text = self._told.read_text()
        rows = [line.split() for line in text[: text.rfind("\n") + 1].splitlines() if line.startswith("midi")]
        return anew((int(row[1]), cut(bytes(map(int, row[3:])))) for row in rows)

    def words(self) -> str:
        return f"{self.number}'s host (its status: {self.host.poll()}) said: {last_words(self._said)}"

    def has_failed(self) -> bool:
        return self.host.poll() is not None or "again and again" in self._said.read_text()

    def engine(self) -> int:
        (pid,) = finished(["pgrep", "-P", str(self.host.pid)]).stdout.split()
        return int(pid)

    def may(self, *command: str) -> bool:
        done = finished(command, env=self._env, **self._as())
        assert done.returncode == 0 or "ermi" in done.stderr, f"not even refused: {done.stderr}"
        return done.returncode == 0

    def close(self) -> None:
        self.host.kill()
        self.host.wait(5)


def test_two_users_at_once_play_each_by_himself_and_neither_reaches_the_memory_of_the_other(plugin, song):
    if os.geteuid() != 0:
        pytest.skip("root alone can start the programs of other users")
    before = named_memory()
    with tempfile.TemporaryDirectory(prefix="rtm-") as name:  # tmp_path is closed to others
        folder = Path(name)
        folder.chmod(0o755)
        users = [User(number, folder) for number in USERS]
        sound, host = folder / "song.f32", build_host(folder / "host")
        song.tofile(sound)
        want = expected(song, 512)
        try:
            for user in users:
                user.start(host, sound)
            for user in users:
                wait_until(lambda: len(user.told) >= len(want) or user.has_failed(), START_S, "his song", user.words)
                assert not user.has_failed(), user.words()
                assert same(user.told[: len(want)], want)
            engines = [user.engine() for user in users]
            for user, engine in zip(users, engines):
                assert os.stat(f"/proc/{engine}").st_uid == user.number
                assert os.readlink(f"/proc/{engine}/fd/3") == "/memfd:rt-melody (deleted)"
                for whose in engines:
                    reach = [("head", "-c1", f"/proc/{whose}/{what}") for what in ("fd/3", "maps")]
                    reach += [("dd", "if=/dev/null", "conv=notrunc", f"of=/proc/{whose}/fd/3"), ("kill", "-0", str(whose))]
                    assert {user.may(*command) for command in reach} == {whose == engine}
            assert len({os.stat(f"/proc/{engine}/fd/3").st_ino for engine in engines}) == 2
            users[0].close()
            wait_until(lambda: not is_running(engines[0]), SOON_S, "the end of the engine whose host was killed")
            played = len(users[1].told)
            wait_until(lambda: len(users[1].told) > played, SOON_S, "more of the other's song", users[1].words)
        finally:
            for user in users:
                if hasattr(user, "host"):
                    user.close()
        wait_until(lambda: not any(map(is_running, engines)), SOON_S, "the end of both engines")
        assert named_memory() == before


def named_memory() -> set[str]:
    """What of shared memory could be ours by its name; a JACK client's semaphore has the client's name, and is JACK's."""
    names = {path.name for path in Path("/dev/shm").iterdir() if not path.name.startswith("jack_")}
    return {name for name in names if "rt-m" in name or name.startswith("rtm")}


def shared_maps(pid: int) -> set[str]:
    """The names of what a process shares by writing to it, be they of files that are no more."""
    lines = [line.split(maxsplit=5) for line in Path(f"/proc/{pid}/maps").read_text().splitlines()]
    return {words[5] for words in lines if words[1].startswith("rw-s") and len(words) == 6}


def until_a_note_sounds_in_a_bounce(plugin: Lv2Host, song) -> int:
    plugin.set("FREEWHEEL", 1.0)
    return until_a_note_sounds(plugin, song)


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
from rt_melody.realtime.plugin.lv2_host import FIRST_PARAMETER, Lv2Host
host = Lv2Host(Path(sys.argv[1]), 48000, 256)
host.play(np.zeros(256, np.float32))
while True:
    host.play(np.zeros(256, np.float32))
    print("played", flush=True)
    time.sleep(0.05)
"""


def test_a_host_that_is_killed_takes_its_engine_along(plugin):
    child = subprocess.Popen([sys.executable, "-c", HOST, str(plugin["lv2"] / "rt-melody.so")], stdout=subprocess.PIPE)
    try:
        next_line(child, START_S)
        time.sleep(0.1)
        engine = finished(["pgrep", "-P", str(child.pid)]).stdout.split()
    finally:
        child.kill()
        child.wait(5)
    assert len(engine) == 1
    wait_until(lambda: not is_running(int(engine[0])), START_S, "the end of the engine, which outlived its host")


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
SLEEPING = ("ENGINE_VERSION", "VERSION_VALUE", "PROCESSED", "DUE", "ENGINE_STATE", "ENGINE_BEAT")
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


SLEEPER = """#!{python}
import mmap, os, threading, time
memory, calls = mmap.mmap(3, 0), 0
def put(word, value):
    memory[8 * word : 8 * word + 8] = value.to_bytes(8, "little")
put({engine_version}, {version_value})
put({processed}, 1 << 60)
put({due}, 20000)
put({engine_state}, 1)
def live():
    while True:
        put({engine_beat}, time.monotonic_ns())
        time.sleep(0.005)
threading.Thread(target=live, daemon=True).start()
while True:
    calls += len(os.read(4, 65536))
    with open("{told}.new", "w") as file:
        file.write(str(calls))
    os.rename("{told}.new", "{told}")
"""


def test_an_engine_is_woken_by_the_block_that_completes_what_it_waits_for_by_a_change_and_in_a_bounce(host, song, tmp_path, monkeypatch):
    script, told = tmp_path / "engine", tmp_path / "calls"
    script.write_text(SLEEPER.format(python=sys.executable, told=told, **{name.lower(): LAYOUT[name] for name in SLEEPING}))
    script.chmod(0o755)
    monkeypatch.setenv("RT_MELODY_PLUGIN_ENGINE", str(script))
    plugin = host()

    def woken(blocks: int, times: int) -> None:
        for start in range(0, 64 * blocks, 64):
            plugin.play(song[start : start + 64])
            time.sleep(64 / RATE)  # no host that runs ahead of the clock
        wait_until(lambda: told.exists() and int(told.read_text()) == times, START_S, f"the engine, woken {times} times")

    woken(1, 2)  # by the stream that begins, and its first block
    woken(311, 2)
    woken(1, 3)  # 20032 samples
    woken(100, 3)
    plugin.set("TRANSPOSE", 12.0)
    woken(1, 4)
    woken(100, 4)
    plugin.set("FREEWHEEL", 1.0)
    woken(5, 4 + 1 + 5)  # another stream begins
    time.sleep(0.2)
    assert told.read_text() == "10", "it was woken more often"


# ---- VST3


def test_the_vst3_plays_the_same_at_another_rate_too_and_its_state_is_kept(plugin, song):
    minihost = pytest.importorskip("minihost")
    with minihost.Plugin(str(plugin["vst3"]), RATE, 512) as vst:
        number = {vst.get_param_info(i)["name"]: i for i in range(vst.num_params)}
        vst.set_param(number["Bounce: wait for the engine"], 1.0)
        vst.set_param(number["Transpose"], (12 + 36) / 72)
        assert same(vst_take(vst, song, 500), expected(song, 512, transpose=12))
        state = vst.get_state()
        half = np.ascontiguousarray(song[::2])
        vst.sample_rate = RATE / 2
        assert same(vst_take(vst, half, 512), expected(half, 512, RATE // 2, transpose=12))
    with minihost.Plugin(str(plugin["vst3"]), RATE, 512) as vst:
        vst.set_state(state)
        assert vst.get_param(number["Transpose"]) == pytest.approx((12 + 36) / 72)
        assert same(vst_take(vst, song[:RATE], 512), expected(song[:RATE], 512, transpose=12))


def test_a_vst3_project_of_before_the_newest_parameter_keeps_what_it_holds_and_that_one_is_as_in_a_new_one(older, plugin, monkeypatch):
    minihost = pytest.importorskip("minihost")
    monkeypatch.setenv("RT_MELODY_PLUGIN_ENGINE", "/bin/false")

    def values(vst) -> dict[str, float]:
        return {vst.get_param_info(i)["name"]: vst.get_param(i) for i in range(vst.num_params)}

    with minihost.Plugin(str(older["vst3"]), RATE, 512) as vst:
        for i in range(vst.num_params):
            if vst.get_param_info(i)["name"] in ("Mode", "Transpose", "Panel in the browser", "Sound"):
                vst.set_param(i, 1.0)
        vst_take(vst, np.zeros(512, np.float32), 512)
        held, state = values(vst), vst.get_state()
    with minihost.Plugin(str(plugin["vst3"]), RATE, 512) as vst:
        fresh = values(vst)
        vst.set_state(state)
        assert list(fresh)[-1] not in held and len(fresh) == len(held) + 1
        assert values(vst) == {**fresh, **held} != fresh


def vst_take(vst, sound, size):
    got = []
    for start in range(0, len(sound), size):
        block = np.ascontiguousarray(np.stack([sound[start : start + size]] * 2))
        got += [(start + event[0], bytes(event[1:])) for event in vst.process_midi(block, np.empty_like(block), [], 1024)]
    return anew(got)


# ---- Ardour


def test_in_ardour_a_take_is_played_bounces_are_complete_and_the_same_and_a_project_keeps_its_settings(
    plugin, jack_server, microphone, recorder, children, rig, song, tmp_path
):
    with rig():
        find_ardour()
    sung = song[: 5 * RATE // 2]
    mic = microphone(jack_server, sung, RATE)
    told = {"STEPS": str(tmp_path), "LV2_PATH": str(plugin["lv2"].parent), "SECONDS": "4"}
    daw = Ardour(jack_server, tmp_path, ARDOUR_SCRIPT, SOURCE="singer:voice", **told)
    children.append(daw)
    daw.begin("standing")
    heard = recorder(jack_server, "ardour:voice/midi_out 1")
    take(heard, daw, mic, tmp_path)
    notes = [message[1] for _, message in tracked(sung, RATE) if message[0] == 0x90]
    assert struck(heard.messages) == notes
    assert [message[1] for message in mido_notes(daw.session)] == notes
    daw.close()
    bounced = Bounces(jack_server, children, tmp_path, daw.session, told)
    first, second, third = bounced("first"), bounced("second", TRANSPOSE="12"), bounced("third")
    assert struck(first) == notes and first == second
    assert struck(third) == [note + 12 for note in notes]
    assert [frame for frame, message in third if message[0] == 0x90] == [frame for frame, message in first if message[0] == 0x90]


def test_in_ardour_a_band_on_a_track_of_its_own_is_taken_out_of_the_voice_in_a_take_and_in_a_bounce(
    plugin, jack_server, microphone, recorder, children, rig, song, tmp_path
):
    with rig():
        find_ardour()
    sung = song[: 5 * RATE // 2]
    band = chord(len(sung), RATE)
    mic = microphone(jack_server, np.stack([sung + band, band], axis=1), RATE)
    told = {"STEPS": str(tmp_path), "LV2_PATH": str(plugin["lv2"].parent), "SECONDS": "4", "BAND": "singer:band"}
    daw = Ardour(jack_server, tmp_path, ARDOUR_SCRIPT, SOURCE="singer:voice", **told)
    children.append(daw)
    daw.begin("standing")
    heard = recorder(jack_server, "ardour:voice/midi_out 1")
    take(heard, daw, mic, tmp_path)
    notes, deaf = struck(tracked(sung, RATE)), struck(tracked(sung + band, RATE))
    assert struck(heard.messages) == [message[1] for message in mido_notes(daw.session)]
    daw.close()
    again = struck(Bounces(jack_server, children, tmp_path, daw.session, told)("first"))
    assert not deaf and set(struck(heard.messages)) & set(notes)
    assert set(again) & set(notes)  # which of them, and which of two neighbours, hangs on where hops begin
    assert all(min(abs(note - sung) for sung in notes) <= 1 for note in again)


def take(heard, daw: Ardour, mic, steps: Path) -> None:
    """Record what the microphone plays, with the plugin's engine at work, until the last note has ended."""
    heard.wait_for_source(60)
    wait_until(lambda: heard.messages, START_S, "a word of the engine's", daw.words)
    (steps / "take").touch()
    daw.expect("recording")
    mic.play()
    mic.wait_for_end()
    time.sleep(0.5)  # what was sung last is on its way
    wait_until(lambda: sounding(heard.messages) == set(), 20, "the end of the last note", daw.words)
    (steps / "stop").touch()
    daw.expect("taken")


# ---- jalv


class Jalv:
    """jalv's console program with the plugin, as the JACK client `voice`; its words go to a file."""

    def __init__(self, server, lv2: Path, folder: Path, *options: str) -> None:
        self._server, self._log = server, folder / "jalv.txt"
        env = server.env | {"LV2_PATH": str(lv2.parent), "HOME": str(folder)}
        command = [need_program("jalv"), "-x", "-n", "voice", *options, "urn:rt-melody:voice-to-midi"]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(tied(command), env=env, cwd=folder, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def wait_until(self, condition, what: str, timeout_s: float = SOON_S) -> None:
        """AssertionError with jalv's and JACK's words where jalv has ended or it never comes to be."""
        wait_until(lambda: condition() or self._process.poll() is not None, timeout_s, what, self._words)
        assert condition(), f"{what} did not happen; {self._words()}"

    def _words(self) -> str:
        said = [last_words(path) for path in (self._log, self._server.log_path)]
        return f"jalv's status: {self._process.poll()}; it said: {said[0]}\nJACK said: {said[1]}"

    def last_controls(self) -> dict[str, float]:
        """By their symbols, as jalv tells them; it ends with its input."""
        self._process.communicate(b"controls\n", SOON_S)
        return {name: float(value) for name, value in re.findall(r"(\w+) = ([-\d.]+)\n", self._log.read_text(errors="replace"))}

    def listen_to(self, source: str) -> None:
        self.wait_until(lambda: "voice:lv2_audio_in_1" in self._server.ports(), "jalv's ports")
        command = ["jack_connect", "-s", self._server.name, source, "voice:lv2_audio_in_1"]
        done = finished(command, env=self._server.env)
        assert done.returncode == 0, f"{done.stderr}; {self._words()}"

    def close(self) -> None:
        self._process.kill()
        self._process.wait(5)


def transport(server, what: str) -> None:
    """The transport of JACK: ``start`` or ``stop``."""
    code = f"import jack; jack.Client('transport', no_start_server=True).transport_{what}()"
    done = finished([sys.executable, "-c", code], env=server.env)
    assert done.returncode == 0, f"JACK's transport did not {what}: {done.stderr[-LAST_WORDS:]}"


def test_in_jalv_a_voice_becomes_notes_and_a_transport_that_stops_ends_the_one_that_is_held(
    plugin, jack_server, microphone, recorder, children, rig, song, tmp_path
):
    with rig():
        jalv = Jalv(jack_server, plugin["lv2"], tmp_path)
    children.append(jalv)
    held = (0.1 * np.sign(np.sin(2 * np.pi * 329.63 * np.arange(90 * RATE) / RATE))).astype(np.float32)
    sung = np.concatenate([song[: 2 * RATE], np.zeros(RATE // 4, np.float32), held])
    mic = microphone(jack_server, sung, RATE)
    heard = recorder(jack_server, "voice:lv2_events_out")
    jalv.listen_to("singer:voice")
    heard.wait_for_source(60)
    jalv.wait_until(lambda: heard.messages, "a word of the engine's", START_S)
    transport(jack_server, "start")
    began = mic.play()
    jalv.wait_until(lambda: sounding(heard.messages) == {HELD}, "the note that is held")
    notes = [message[1] for _, message in tracked(sung[: 3 * RATE], RATE) if message[0] == 0x90]
    assert set(struck(heard.messages)) == {*notes, HELD}
    before = len(heard.messages)
    transport(jack_server, "stop")
    jalv.wait_until(lambda: any(message[:2] == bytes([0x80, HELD]) for _, message in heard.messages[before:]), "its end")
    ended = next(frame for frame, message in heard.messages[before:] if message[:2] == bytes([0x80, HELD]))
    assert (ended - began) % 2**32 < len(sung), "it ended with the voice"
    jalv.wait_until(lambda: sounding(heard.messages) == {HELD}, "another note of the voice that sounds on")


STATE = """@prefix lv2: <http://lv2plug.in/ns/lv2core#> .
@prefix pset: <http://lv2plug.in/ns/ext/presets#> .
<> a pset:Preset ; lv2:appliesTo <urn:rt-melody:voice-to-midi> ;
   lv2:port [ lv2:symbol "mode" ; pset:value 3.0 ] , [ lv2:symbol "transpose" ; pset:value 12.0 ] .
"""


def test_in_jalv_a_state_that_lacks_parameters_keeps_what_it_holds_and_they_are_as_in_a_new_one(
    plugin, jack_server, children, rig, monkeypatch, tmp_path
):
    monkeypatch.setitem(jack_server.env, "RT_MELODY_PLUGIN_ENGINE", "/bin/false")
    (tmp_path / "state.ttl").write_text(STATE)
    told = []
    for options in ([], ["-l", str(tmp_path)]):
        with rig():
            jalv = Jalv(jack_server, plugin["lv2"], tmp_path, *options)
        children.append(jalv)
        told.append(jalv.last_controls())
    fresh, now = told
    assert now == {**fresh, "mode": 3.0, "transpose": 12.0} and len(fresh) == COUNT and now[NEWEST.lower()] == 0.0


class Bounces:
    """Bounces of a session that stands on disk, each by an Ardour of its own. Where one ends of itself meanwhile, it
    leaves JACK in freewheel mode, to which nobody can come any more, and the next is by another server."""

    def __init__(self, server, children, folder: Path, session: Path, told: dict[str, str]) -> None:
        self._server, self._children, self._folder, self._told = server, children, folder, told | {"SESSION": str(session)}

    def __call__(self, name: str, **told: str) -> list[tuple[int, bytes]]:
        """What the plugin plays in one, in samples, from its first note to the end of its last; ``told`` is the script's."""
        for start in range(STARTS):
            folder = self._folder / f"{name}-{start}"
            folder.mkdir()
            daw = Ardour(self._server, folder, ARDOUR_SCRIPT, **self._told | told | {"BOUNCE": name, "STEPS": str(folder)})
            heard = MidiRecorder(self._server, folder, "ardour:voice/midi_out 1")
            self._children += [daw, heard]
            daw.begin("loaded")
            heard.wait_for_source(60)
            (folder / name).touch()
            if daw.outlives("saved"):
                wait_until(lambda: any(m[0] == 0x80 for _, m in heard.messages), SOON_S, "a note of the bounce", daw.words)
                time.sleep(0.5)  # the recorder writes down what came
                daw.close()
                # Ardour writes each message twice to JACK meanwhile, and at the end messages of its own.
                messages = list(dict.fromkeys(heard.messages))
                frames = [frame for frame, message in messages if message[0] in (0x80, 0x90)]
                return [(frame - frames[0], message) for frame, message in messages if frames[0] <= frame <= frames[-1]]
            daw.close()
            self._server.kill()
            warnings.warn(f"Ardour ended in a bounce, which is taken again; {daw.words()}", stacklevel=2)
            self._server = JackServer(folder)
            self._children.append(self._server)
        raise AssertionError(f"Ardour ended in each of {STARTS} bounces")


def struck(messages) -> list[int]:
    return [message[1] for _, message in messages if message[0] & 0xF0 == 0x90]


def sounding(messages) -> set[int]:
    on: set[int] = set()
    for _, message in messages:
        if message[0] & 0xF0 in (0x80, 0x90):
            (on.add if message[0] & 0xF0 == 0x90 else on.discard)(message[1])
    return on


def mido_notes(session: Path) -> list[bytes]:
    """The notes of the take that a session holds."""
    files = max(session.glob("interchange/*/midifiles/*.mid"), key=lambda path: path.stat().st_size)
    return [message for _, message in messages_of(files) if message[0] & 0xF0 == 0x90]


# ---- CLAP


@pytest.fixture(scope="session")
def clap_host(plugin, tmp_path_factory) -> Path:
    """A small CLAP host, compiled (see benchmarks/rig/clap_host.cpp)."""
    target = tmp_path_factory.mktemp("clap") / "clap_host"
    command = [building.find_compiler(), "-std=c++17", "-isystem", str(building.find_dpf() / "distrho"), str(CLAP_HOST), "-ldl"]
    done = finished([*command, "-o", str(target)], START_S)
    assert done.returncode == 0, done.stderr
    return target


def test_the_clap_keeps_its_state_and_takes_the_band_at_its_side_chain_out(plugin, clap_host, song, tmp_path):
    song = song[: 3 * RATE]
    band = chord(len(song), RATE)
    told = clap_take(clap_host, plugin["clap"], song + band, band, RATE, 512, tmp_path, FREEWHEEL=1, TRANSPOSE=-5)
    got = midi_of(told)
    assert same(got, expected(song + band, 512, band=band, transpose=-5))
    assert [words[1:] for words in told if words[0] != "midi"] == [["2", "2"], [str(BOUND + 512)], ["0"]]


def test_a_clap_project_of_before_the_newest_parameter_keeps_what_it_holds_and_that_one_is_as_in_a_new_one(older, plugin, clap_host):
    held = {LAYOUT["PARAMETER_MODE"]: 3, LAYOUT["PARAMETER_TRANSPOSE"]: -5, LAYOUT["PARAMETER_PANEL"]: 1}

    def told(*words: object) -> dict[int, float]:
        done = finished([str(word) for word in (clap_host, plugin["clap"], *words)], SOON_S)
        assert done.returncode == 0, done.stderr
        return {int(number): float(value) for _, number, value in map(str.split, done.stdout.splitlines())}

    fresh, now = (told(older["clap"], *changed) for changed in ([], [f"{number}={value}" for number, value in held.items()]))
    assert list(fresh) == list(range(COUNT))
    assert now == {**fresh, **held} and now[COUNT - 1] == 0.0
    newest = {COUNT - 1: 1}
    assert told(plugin["clap"], f"{COUNT - 1}=1") == {**fresh, **newest}, "else the newest is never kept"


def clap_take(program: Path, plugin: Path, voice, band, rate: int, size: int, folder: Path, **parameters) -> list[list[str]]:
    """What the small CLAP host tells, in words."""
    for name, sound in (("voice", voice), ("band", np.zeros(1, np.float32) if band is None else band)):
        sound.tofile(folder / f"{name}.f32")
    changed = [f"{LAYOUT[f'PARAMETER_{name}']}={value}" for name, value in parameters.items()]
    command = [program, plugin, folder / "voice.f32", folder / "band.f32", str(rate), str(size), *changed]
    done = finished(command, START_S)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


def midi_of(told: list[list[str]]) -> list[tuple[int, bytes]]:
    return [(int(words[1]), cut(bytes(map(int, words[2:])))) for words in told if words[0] == "midi"]


def cut(message: bytes) -> bytes:
    """A channel message without what is not of it."""
    return message[: 2 if message[0] & 0xE0 == 0xC0 else 3]
