"""The JACK client on real servers, jackd and PipeWire: samples whole, notes on their frames, and what happens to a server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import numpy as np
import pytest
from rig_listener import bit_by_bit, ended, start_listener
from rig_pipewire import PipeWire
from rig_voice import held_note

from rt_melody.benchmarks.rig.midi_reader import perform
from rt_melody.benchmarks.rig.studio import (
    HERE,
    SAMPLE_RATE,
    MidiRecorder,
    Program,
    VirtualMicrophone,
    melody_command,
    next_line,
    wait_until,
)

MELODY = str(HERE / "jack_midi_timing.py")
LISTENER = """
import json, sys
import numpy as np
from rt_melody.realtime.jack.client import JackClient
from rt_melody.realtime.sources.base import RateChanged

client = JackClient(midi_out=False, source="singer", tell=lambda text: told.append(text))
source, blocks, told, rates = client.sound, [], [], []
with source:
    source.start_clock(), source.skip_to_newest()
    print("open", flush=True)
    while sum(map(len, blocks)) < int(sys.argv[2]):
        try:
            blocks.append(source.read(0.1).copy())
        except RateChanged as change:
            rates.append(change.rate_hz)
            source.follow_rate()
            print(json.dumps(rates), flush=True)
    said = dict(rate=source.sample_rate, lost=source.lost_samples, overflows=source.overflows, breaks=source.breaks,
                measured=source.measured_rate_hz, told=told, rates=rates, biggest=max(map(len, blocks)))
np.save(sys.argv[1], np.concatenate(blocks))
print(json.dumps(said), flush=True)
"""


class OnPipeWire:
    """What the studio's microphone and recorder ask of a server."""

    def __init__(self, server: PipeWire) -> None:
        self.server, self.env = server, server.jack_env


@pytest.fixture(scope="module")
def pipewire(tmp_path_factory, request):
    from conftest import rig_or_skip

    with rig_or_skip():
        server = PipeWire(tmp_path_factory.mktemp("pipewire"))
    yield server
    server.close()


@pytest.fixture(params=["jackd", "PipeWire"])
def graph(request):
    """A server, and the environment of a program that must find it by itself."""
    if request.param == "jackd":
        server = request.getfixturevalue("jack_server")
        return server, server.env
    server = request.getfixturevalue("pipewire")
    return OnPipeWire(server), server.env


@pytest.fixture
def listen(tmp_path):
    def start(env: dict[str, str], n_samples: int) -> subprocess.Popen:
        return start_listener(LISTENER, env, tmp_path, n_samples)

    return start


def clicks(count: int, every_s: float = 0.5, long_s: float = 0.1) -> np.ndarray:
    """Beeps that a threshold hears, at moments that favour no period."""
    sound = np.zeros(round((count + 1) * every_s * SAMPLE_RATE), np.float32)
    rng = np.random.default_rng(3)
    for i in range(count):
        at = round((0.3 + i * every_s) * SAMPLE_RATE) + int(rng.integers(0, 5000))
        sound[at : at + round(long_s * SAMPLE_RATE)] = 0.3
    return sound


def start_melody(children, folder, env, *arguments: str) -> Program:
    children.append(Program([sys.executable, MELODY, *arguments], dict(env), folder))
    return children[-1]


def test_the_samples_arrive_bit_by_bit(graph, listen, tmp_path, children):
    server, env = graph
    told = bit_by_bit(server, lambda n_samples: listen(env, n_samples), tmp_path, children)
    assert told["rate"] == SAMPLE_RATE and told["breaks"] == 0 and told["rates"] == []


def test_notes_are_played_on_their_frames_and_none_is_left(graph, tmp_path, children):
    """The frame that the arithmetic gives and one period, exactly, unless the machine was late; never earlier."""
    server, env = graph
    singer = VirtualMicrophone(server, clicks(12), tmp_path)
    children.append(singer)
    recorder = MidiRecorder(server, tmp_path)
    children.append(recorder)
    program = start_melody(children, tmp_path, env, "jack", "threshold", "singer", "frames.txt")
    singer.wait_for_listener(60, program)
    recorder.wait_for_source(60, program)
    singer.play()
    singer.wait_for_end()
    program.signal(signal.SIGINT)
    assert program.wait(20) == 0, program.stderr
    due = [int(line) for line in (tmp_path / "frames.txt").read_text().split()]
    came = [frame for frame, m in recorder.messages if m[0] & 0xF0 == 0x90]
    after = np.array([((frame - at + 2**31) % 2**32) - 2**31 for frame, at in zip(came, due, strict=True)])
    assert len(came) == 12
    assert (after >= 256).all() and np.median(after) == 256  # the rig's period
    assert perform([(0.0, m) for _, m in recorder.messages]).notes_left_on == 0


@pytest.mark.parametrize("how", ["interrupted", "input that fails"])
def test_a_note_that_sounds_ends_with_the_program(graph, tmp_path, children, how):
    server, env = graph
    singer = VirtualMicrophone(server, np.full(60 * SAMPLE_RATE, 0.3, np.float32), tmp_path)
    children.append(singer)
    recorder = MidiRecorder(server, tmp_path)
    children.append(recorder)
    detector = "threshold" if how == "interrupted" else "broken"
    program = start_melody(children, tmp_path, env, "jack", detector, "singer")
    singer.wait_for_listener(60, program)
    recorder.wait_for_source(60, program)
    singer.play()
    if how == "interrupted":
        wait_until(lambda: any(m[0] == 0x90 for _, m in recorder.messages), 20, "a note")
        program.signal(signal.SIGINT)
    status = program.wait(20)
    assert (status == 0) == (how == "interrupted"), program.stderr
    time.sleep(0.2)
    played = perform([(0.0, m) for _, m in recorder.messages])
    assert played.note_ons == 1 and played.notes_left_on == 0


def test_a_note_that_sounds_ends_though_the_program_is_killed(graph, tmp_path, children):
    """By the client that stands by, which is seen by nobody before."""
    server, env = graph
    singer = VirtualMicrophone(server, np.full(60 * SAMPLE_RATE, 0.3, np.float32), tmp_path)
    children.append(singer)
    recorder = MidiRecorder(server, tmp_path)
    children.append(recorder)
    program = start_melody(children, tmp_path, env, "jack", "threshold", "singer")
    singer.wait_for_listener(60, program)
    recorder.wait_for_source(60, program)
    time.sleep(1.0)  # it looks at the connections ten times a second
    singer.play()
    wait_until(lambda: any(m[0] == 0x90 for _, m in recorder.messages), 20, "a note")
    program.signal(signal.SIGKILL)
    program.wait(20)
    wait_until(lambda: perform([(0.0, m) for _, m in recorder.messages]).notes_left_on == 0, 10, "the end of the note")
    ended = [m for _, m in recorder.messages if m[0] & 0xF0 == 0x80]
    assert ended and {m[1] for m in ended} == {m[1] for _, m in recorder.messages if m[0] == 0x90}


@pytest.mark.parametrize("still_s", (0.0, 4.0))
def test_a_note_left_in_a_graph_that_stands_still_ends_once_that_goes_on(still_s, mortal_jack_server, tmp_path, children):
    """Also after so long that the server was taken for dead."""
    server = mortal_jack_server
    singer = VirtualMicrophone(server, np.full(60 * SAMPLE_RATE, 0.3, np.float32), tmp_path)
    children.append(singer)
    recorder = MidiRecorder(server, tmp_path)
    children.append(recorder)
    program = start_melody(children, tmp_path, server.env, "jack", "threshold", "singer")
    singer.wait_for_listener(60, program)
    recorder.wait_for_source(60, program)
    time.sleep(1.0)  # whoever stands by looks at the connections ten times a second
    singer.play()
    wait_until(lambda: any(m[0] == 0x90 for _, m in recorder.messages), 20, "a note")
    server.process.send_signal(signal.SIGSTOP)
    try:
        time.sleep(still_s)
        program.signal(signal.SIGINT)
        assert program.wait(20) == 0, program.stderr
    finally:
        server.process.send_signal(signal.SIGCONT)
    wait_until(lambda: perform([(0.0, m) for _, m in recorder.messages]).notes_left_on == 0, 10, "the end of the note")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_is_restarted_is_joined_again_and_played_on(mortal_jack_server, tmp_path, children, how):
    """The same process goes on: notes before, a sentence, notes after, each where it belongs."""
    server = mortal_jack_server
    program, singer, first = begin(server, tmp_path / "one", tmp_path, children)
    wait_until(lambda: perform([(0.0, m) for _, m in first.messages]).note_ons >= 2, 20, "two notes")
    server.process.send_signal(how)
    server.process.wait(5)
    singer.kill()  # what outlives a server takes the signals that are meant for a client of its name
    first.kill()
    wait_until(lambda: "the JACK server is gone" in program.stderr, 3, "the loss to be told")
    server.start_again()
    wait_until(lambda: "the JACK server is back, at 48000 Hz" in program.stderr, 10, "the return to be told")
    second = sing(server, tmp_path / "two", children)
    wait_until(lambda: perform([(0.0, m) for _, m in second.messages]).note_ons >= 2, 20, "two more notes")
    program.signal(signal.SIGINT)
    assert program.wait(20) == 0, program.stderr
    played = perform([(0.0, m) for _, m in second.messages])
    assert played.notes_left_on == 0
    due = [int(line) for line in (tmp_path / "frames.txt").read_text().split()]
    came = [frame for frame, m in second.messages if m[0] & 0xF0 == 0x90]
    assert (np.array(came) - np.array(due[-len(came) :])).min() == 256  # a busy machine makes some late


def begin(server, folder, where, children) -> tuple[Program, VirtualMicrophone, MidiRecorder]:
    folder.mkdir()
    singer = VirtualMicrophone(server, clicks(6), folder, times=20)
    children.append(singer)
    recorder = MidiRecorder(server, folder)
    children.append(recorder)
    program = start_melody(children, where, server.env, "jack", "threshold", "singer", "frames.txt")
    singer.wait_for_listener(60, program)
    recorder.wait_for_source(60, program)
    singer.play()
    return program, singer, recorder


def sing(server, folder, children) -> MidiRecorder:
    """A microphone and a recorder of the same names as before."""
    folder.mkdir()
    singer = VirtualMicrophone(server, clicks(6), folder, times=20)
    recorder = MidiRecorder(server, folder)
    children.extend([singer, recorder])
    singer.wait_for_listener(30)
    recorder.wait_for_source(30)
    singer.play()
    return recorder


def test_a_server_that_returns_with_another_rate_is_followed(mortal_jack_server, listen, tmp_path, children):
    server = mortal_jack_server
    children.append(VirtualMicrophone(server, np.ones(SAMPLE_RATE, np.float32), tmp_path))
    process = listen(server.env, 6 * SAMPLE_RATE)
    server.kill()
    time.sleep(0.5)
    dummy = ["jackd", "-n", server.name, "-r", "-d", "dummy", "-r", "44100", "-p", "512"]
    server.process = subprocess.Popen(dummy, env=server.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server.killed = False
    told = ended(process)
    assert told["rates"] == [44100] and told["rate"] == 44100
    assert told["measured"] == pytest.approx(44100, rel=0.01)
    assert told["lost"] > 0.3 * 44100 and told["breaks"] >= 1
    assert [text.split(",")[0] for text in told["told"]] == [
        "the JACK server is gone; what was heard so far is kept",
        "the JACK server is back",
    ]


def test_periods_of_any_length_are_followed(graph, listen, tmp_path, children):
    """The sound goes on; a change itself may cost the graph a period, which is counted."""
    server, env = graph
    children.append(VirtualMicrophone(server, np.arange(1, SAMPLE_RATE * 6, dtype=np.float32), tmp_path))
    process = listen(env, 5 * SAMPLE_RATE)
    children[-1].wait_for_listener()
    children[-1].play()
    for period in (1024, 64, 512, 256):
        time.sleep(0.7)
        set_period(server, period)
    told = ended(process)
    heard = np.load(tmp_path / "heard.npy")
    sung = heard[heard > 0]
    steps = np.diff(sung)
    assert told["rates"] == [] and told["breaks"] == 0 and told["biggest"] >= 512
    leaps = children[-1].wait_for_end()["leaps"]  # jackd's clock itself leaps by a period, and the singer follows it
    assert (steps != 1).sum() <= leaps + told["overflows"]
    if isinstance(server, OnPipeWire):
        server.server.set("clock.force-quantum", 0)


def set_period(server, period: int) -> None:
    if isinstance(server, OnPipeWire):
        server.server.set("clock.force-quantum", period)
    else:
        subprocess.run(["jack_bufsize", str(period)], env=server.env, capture_output=True, check=True, timeout=10)


def test_pipewires_graph_that_changes_its_rate_is_noticed_and_followed(pipewire, listen, tmp_path, children):
    """And back: a melody would else be 1.47 semitones sharp, without a word."""
    server = OnPipeWire(pipewire)
    children.append(VirtualMicrophone(server, np.full(30 * SAMPLE_RATE, 0.5, np.float32), tmp_path))
    process = listen(pipewire.env, 12 * SAMPLE_RATE)
    try:
        time.sleep(1)
        pipewire.set("clock.force-rate", 44100)
        changed_s = time.monotonic()
        assert json.loads(next_line(process)) == [44100]
        assert time.monotonic() - changed_s < 2.0
        time.sleep(3)
        pipewire.set("clock.force-rate", 48000)
        told = ended(process)
    finally:
        pipewire.set("clock.force-rate", 0)
    assert told["rates"] == [44100, 48000] and told["measured"] == pytest.approx(48000, rel=0.01)


PITCHES = """
import sys
import rt_melody.realtime.session as session
from rt_melody.realtime.jack.client import JackClient
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sources.microphone import MicrophoneSource

class Pitches(EventSink):
    def _frame(self, frame):
        if frame.voiced:
            print(f"{frame.f0_hz:.2f}", flush=True)

source = JackClient(midi_out=False, source="singer").sound if sys.argv[1] == "jack" else MicrophoneSource("singer")
session.run(source, [Pitches()], tell=lambda text: print(text, file=sys.stderr, flush=True))
"""


TAKES = 3  # a change of rate that also loses sound has PortAudio's stream opened anew, which it refuses until it is read anew


@pytest.mark.parametrize("way", ["jack", "portaudio"])
def test_the_melody_keeps_its_pitch_through_a_change_of_pipewires_rate(pipewire, tmp_path, way):
    """The tone falls with the graph by 1.47 semitones, and so must what is heard; by PortAudio nobody reports the change."""
    for take in range(TAKES):
        with ExitStack() as ends:
            singer = VirtualMicrophone(OnPipeWire(pipewire), held_note(57, 5.0, SAMPLE_RATE), tmp_path, times=12)
            ends.callback(singer.close)
            program = Program([sys.executable, "-c", PITCHES, way], dict(pipewire.jack_env), tmp_path)
            ends.callback(program.close)
            ends.callback(pipewire.set, "clock.force-rate", 0)
            try:
                keep_their_pitch(pipewire, singer, program)
                return
            except AssertionError:
                if "could not be opened anew" not in program.stderr or take == TAKES - 1:
                    raise


def keep_their_pitch(pipewire, singer, program) -> None:
    def heard() -> list[float]:
        program.assert_running()
        return [float(line) for line in program.stdout.split()]

    singer.wait_for_listener(60, program)
    singer.play()
    wait_for_pitch(heard, 220.0)
    pipewire.set("clock.force-rate", 44100)
    told = "now runs at 44100 Hz instead of 48000; it is heard at that rate from now on"
    wait_until(lambda: heard() and told in program.stderr, 60, "the change to be told")
    wait_for_pitch(heard, 220.0 * 44100 / 48000)


def wait_for_pitch(heard, f0_hz: float) -> None:
    """Half a second of it: a graph that loses periods while it starts sounds as another pitch for that long."""

    def stands() -> bool:
        last = heard()[-50:]
        return len(last) == 50 and bool(np.median(last) == pytest.approx(f0_hz, rel=0.01))

    wait_until(stands, 60, f"half a second at {f0_hz:.1f} Hz")


def test_a_synthesiser_that_was_restarted_is_connected_and_told_all_again(graph, tmp_path, children):
    server, env = graph
    singer = VirtualMicrophone(server, clicks(6), tmp_path, times=20)
    children.append(singer)
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = MidiRecorder(server, tmp_path / "one", "nobody:out")  # waits to be connected
    children.append(first)
    program = start_melody(children, tmp_path, env, "jack", "threshold", "singer", "frames.txt", "recorder")
    singer.wait_for_listener(60, program)
    singer.play()
    wait_until(lambda: perform([(0.0, m) for _, m in first.messages]).note_ons >= 2, 20, "two notes")
    first.kill()
    wait_until(lambda: "recorder:in left the JACK graph" in program.stderr, 5, "the loss to be told")
    second = MidiRecorder(server, tmp_path / "two", "nobody:out")
    children.append(second)
    wait_until(lambda: perform([(0.0, m) for _, m in second.messages]).note_ons >= 2, 20, "two notes after the return")
    assert program.stderr.count("recorder:in is back in the JACK graph") == 1
    kinds = [m[:2] for _, m in second.messages]
    silenced = kinds.index(bytes([0xB0, 120]))  # what came while the link was made
    assert kinds.index(bytes([0xB0, 101])) < next(i for i, m in enumerate(kinds) if i > silenced and m[0] == 0x90)
    program.signal(signal.SIGINT)
    assert program.wait(20) == 0, program.stderr


def test_a_microphone_that_leaves_the_graph_and_returns_is_told_and_heard_again(graph, tmp_path, children):
    server, env = graph
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    recorder = MidiRecorder(server, tmp_path)
    children.append(recorder)
    children.append(VirtualMicrophone(server, clicks(6), tmp_path / "one", times=20))
    program = start_melody(children, tmp_path, env, "jack", "threshold", "singer", "frames.txt")
    children[-2].wait_for_listener(60, program)
    recorder.wait_for_source(60, program)
    children[-2].kill()
    wait_until(lambda: "left the JACK graph" in program.stderr, 5, "the loss to be told")
    again = VirtualMicrophone(server, clicks(6), tmp_path / "two", times=20)
    children.append(again)
    again.wait_for_listener(10, program)
    again.play()
    wait_until(lambda: perform([(0.0, m) for _, m in recorder.messages]).note_ons >= 2, 20, "two notes after the return")
    assert program.stderr.count("is back in the JACK graph") == 1
    program.signal(signal.SIGINT)
    assert program.wait(20) == 0, program.stderr


def test_the_command_sings_through_the_graph(graph, tmp_path, children):
    server, env = graph
    singer = VirtualMicrophone(server, held_note(57, 5.0, SAMPLE_RATE), tmp_path, times=12)
    children.append(singer)
    recorder = MidiRecorder(server, tmp_path)
    children.append(recorder)
    program = Program([*melody_command(), "--jack", "--input", "mic", "--device", "singer", "--midi-out"], dict(env), tmp_path)
    children.append(program)
    singer.wait_for_listener(60, program)
    recorder.wait_for_source(60, program)
    singer.play()
    wait_until(lambda: any(m[0] == 0x90 for _, m in recorder.messages), 60, "a note")
    program.signal(signal.SIGINT)
    assert program.wait(20) == 0, program.stderr
    assert "listening to singer in the JACK graph, at 48000 Hz" in program.stderr
    played = perform([(0.0, m) for _, m in recorder.messages])
    assert played.note_ons >= 1 and played.notes_left_on == 0


# --- PortAudio over PipeWire's plug-in for ALSA

DEFAULT_INPUT = """
import json, time
from rt_melody.realtime.sources.microphone import MicrophoneSource

with MicrophoneSource("default", channel=1) as source:
    told, counts = [], []
    end_s = time.monotonic() + 11
    while time.monotonic() < end_s:
        source.read(0.1)
        counts.append((time.monotonic(), source.position_samples))
        if source.trouble and source.trouble not in told:
            told.append(source.trouble)
    late = [c for c in counts if c[0] > end_s - 4]
    share = (late[-1][1] - late[0][1]) / (late[-1][0] - late[0][0]) / source.sample_rate
    print(json.dumps({"told": told, "share": share, "breaks": source.breaks}))
"""


def test_a_period_longer_than_portaudios_buffer_loses_no_sound_for_long(pipewire):
    """At PipeWire's usual period the plug-in lost half of all sound with low latency asked for, and reported nothing."""
    pipewire.set("clock.force-quantum", 1024)
    try:
        done = subprocess.run([sys.executable, "-c", DEFAULT_INPUT], env=pipewire.env, capture_output=True, text=True, timeout=60)
    finally:
        pipewire.set("clock.force-quantum", 0)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["share"] == pytest.approx(1.0, abs=0.03)
    if said["breaks"]:  # a plug-in that needs it
        assert any("opened anew with larger buffers" in text for text in said["told"])


# --- bad input


@pytest.mark.parametrize(
    "options, sentence",
    [
        ("source='nobody'", "nothing in the JACK graph that gives sound is called 'nobody'; there is: "),
        ("sinks=['nobody']", "no MIDI input in the JACK graph is called 'nobody'; there is: "),
        ("source='system', channel=3", "channel 3 does not exist: 'system' has channels 1 to 2"),
        ("server='rig-that-is-not'", "no JACK server of the name 'rig-that-is-not' answers; start one"),
    ],
)
def test_what_cannot_be_joined_is_told_in_one_sentence(jack_server, options, sentence):
    code = f"""
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.jack.client import JackClient
try:
    JackClient({options}).open()
except DeviceError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], env=jack_server.env, capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith(sentence) and done.stdout.count("\n") == 1 and done.stderr == "", done
