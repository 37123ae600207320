"""The main job on real audio: a voice through a sound device, MIDI out of a port, in real time.

The singer is a JACK client that PortAudio shows as a microphone; the listener is a JACK MIDI client whose
event times are exact to the sample. Both share one clock.
"""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from rig_fluidsynth import messages_of
from rig_recordings import Singing
from rig_voice import held_note, sung_phrase

from rt_melody.benchmarks.rig.midi_reader import BEND_CENTRE, LABEL_STEP_S, agreement, perform, seconds_since
from rt_melody.benchmarks.rig.studio import SAMPLE_RATE, last_words, wait_until
from rt_melody.realtime.session import RETIME_S
from rt_melody.realtime.sources.demo import demo_phrase
from rt_melody.realtime.types import hz_to_midi

LATENCY_MS = 50
MAX_DELAY_S = 0.150  # algorithm 50 ms; the rest is plumbing and what the labels' own window may add
FLOOR = 0.80  # share of voiced frames
TAKES = 3  # of one song at most, while the device loses samples: that is the machine's matter, to tell it ours
HOP_S = 0.010
LOSSES = re.compile(r"(?:fell behind|reported dropped samples) (\d+) time")  # in the sentence at the end
LONG_NOTE = 57
VOICE_RATE = 16_000  # of the synthetic singer; the microphone fixture resamples
NOTE_S = 1.0


class Take:
    """One run of the command between the software microphone and the recorder."""

    def __init__(self, server, microphone, recorder, run_melody, samples, sample_rate, *options: str) -> None:
        self.mic = microphone(server, samples, sample_rate)
        self.recorder = recorder(server)
        live = ("--input", "mic", "--device", "singer", "--midi-out", "--latency-ms", str(LATENCY_MS))
        self.program = run_melody(*live, *options, env=server.env)
        self.mic.wait_for_listener(60, self.program)
        self.recorder.wait_for_source(60, self.program)
        self.wait_until(self._begun, 60, "the announcement of the bend range, with which the stream begins")
        self.first_frame = self.mic.play()

    def wait_until(self, condition, timeout_s: float, what: str) -> None:
        """As ``studio.wait_until``; a failure tells what the program said."""
        wait_until(condition, timeout_s, what, lambda: f"the program said: {last_words(self.program.stderr_path)}")

    def _begun(self) -> bool:
        self.program.assert_running()
        return bool(self.recorder.messages)

    @property
    def messages(self) -> list[tuple[float, bytes]]:
        """``(seconds after the first sample, message)`` recorded so far."""
        return seconds_since(self.first_frame, self.recorder.messages, SAMPLE_RATE)

    def performance(self):
        return perform(self.messages)

    def wait_for_note(self) -> None:
        """Return in the middle of a note: `NOTE_S` after the first one began."""
        self.wait_until(lambda: self.performance().note_ons > 0, 10, "a note-on")
        time.sleep(NOTE_S)

    def wait_for_silence(self, timeout_s: float = 5.0) -> None:
        self.wait_until(lambda: self.performance().notes_left_on == 0, timeout_s, "the last note-off")

    def end(self, number: int = signal.SIGINT) -> int:
        self.program.signal(number)
        return self.program.wait()

    @property
    def losses(self) -> int:
        """How often samples were lost, as the program told at its end."""
        return sum(int(times) for times in LOSSES.findall(self.program.stderr))

    def leave(self) -> None:
        """Singer and listener go, so that others may come."""
        self.mic.close()
        self.recorder.close()


@pytest.fixture
def take(jack_server, microphone, recorder, run_melody):
    """``take(samples, sample_rate, *options)`` on the shared server, begun."""

    def begin(samples, sample_rate, *options: str) -> Take:
        return Take(jack_server, microphone, recorder, run_melody, samples, sample_rate, *options)

    return begin


@pytest.fixture
def long_note(take):
    """A take in the middle of one long note that would go on for half a minute."""
    begun = take(held_note(LONG_NOTE, 30.0, VOICE_RATE), VOICE_RATE, "--midi-file", "taken.mid", "--csv", "taken.csv")
    begun.wait_for_note()
    return begun


def assert_clean(performance) -> None:
    assert performance.note_ons > 0
    assert performance.notes_left_on == 0, "a note was left on"
    assert performance.unmatched_offs == 0, "a note-off came without its note-on"
    assert performance.bend_at_end == BEND_CENTRE, "the pitch bend was not put back to its centre"


def assert_nothing_lost_untold(folder, seconds: float, losses: int) -> None:
    """One CSV row a hop. Where samples were lost there is a hole, and the program told of each."""
    times = np.array([float(row["time_s"]) for row in read_csv(folder / "taken.csv")])
    steps = np.diff(times)
    holes = steps[steps > HOP_S + 1e-5]
    assert steps.min() > HOP_S - 1e-5, f"rows {steps.min() * 1000:.1f} ms apart"
    assert len(holes) <= losses, f"holes of {np.round(holes * 1000, 1)} ms, {losses} losses told"
    assert times[-1] - times[0] >= seconds - 0.2 - RETIME_S * losses


def read_csv(path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- the melody


@pytest.fixture
def phrase() -> Singing:
    """Eight sung notes of a synthetic tenor, with scoops and vibrato, f0 exactly known."""
    return sung_phrase()


@pytest.fixture
def demo() -> Singing:
    """The song of `--input demo`, read by the sample from what it was made of."""
    made = demo_phrase()
    times_s = np.arange(1, int(len(made.samples) / made.sample_rate / LABEL_STEP_S)) * LABEL_STEP_S
    f0_hz = made.f0_hz[(times_s * made.sample_rate).astype(int)]
    pitch = np.array([hz_to_midi(f) if f > 0 else np.nan for f in f0_hz])
    return Singing(made.samples, made.sample_rate, times_s, pitch)


@pytest.mark.parametrize("source", ["singing", "phrase", "demo"])
def test_what_was_sung_is_what_the_midi_port_played(take, request, tmp_path, source):
    """Notes and bends agree with the labels within 50 cents on most voiced frames, at one delay."""
    sung = request.getfixturevalue(source)
    for _ in range(TAKES):
        running = take(sung.samples, sung.sample_rate, "--csv", "taken.csv")
        running.mic.wait_for_end()
        running.wait_for_silence()
        assert running.end() == 0, running.program.stderr
        assert_clean(running.performance())
        assert_nothing_lost_untold(tmp_path, len(sung.samples) / sung.sample_rate, running.losses)
        found = agreement(running.performance(), sung.times_s, sung.sung, MAX_DELAY_S)
        print(
            f"{source}: {found.share:.1%} of voiced frames within 50 cents at {found.delay_s * 1000:.0f} ms, "
            f"notes in {found.false_share:.1%} of unvoiced ones, {running.losses} losses told"
        )
        if found.share >= FLOOR or not running.losses:
            break
        running.leave()
    assert found.share >= FLOOR


def test_the_reach_of_the_bend_is_announced_before_the_first_note(long_note):
    messages = [message for _, message in long_note.recorder.messages]
    first_note = next(i for i, message in enumerate(messages) if message[0] & 0xF0 == 0x90)
    announced = [message[1:] for message in messages[:first_note] if message[0] & 0xF0 == 0xB0]
    assert announced[:2] == [bytes([101, 0]), bytes([100, 0])] and announced[2][0] == 6
    assert long_note.performance().bend_range == [value for number, value in announced if number == 6][-1]


def test_the_port_sounds_the_note_within_a_quarter_tone(long_note):
    wait_until(lambda: long_note.messages[-1][0] > 2.0, 10, "two seconds of the note")
    assert long_note.performance().pitch_at(np.array([1.5]))[0] == pytest.approx(LONG_NOTE, abs=0.5)


# --- every way out ends in note-off


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_a_note_ends_it(long_note, tmp_path, number):
    assert long_note.performance().notes_left_on == 1
    status = long_note.end(number)
    assert status == 0, long_note.program.stderr
    assert "Traceback" not in long_note.program.stderr
    wait_until(lambda: long_note.performance().notes_left_on == 0, 2, "the note-off after the signal")
    assert_clean(long_note.performance())
    assert_files_are_whole(tmp_path)


def assert_files_are_whole(folder) -> None:
    """What was captured before the end is on disk: a MIDI file without hanging notes, a CSV of whole rows."""
    assert_clean(perform(messages_of(folder / "taken.mid")))
    rows = read_csv(folder / "taken.csv")
    assert len(rows) > 0.8 * NOTE_S / 0.010 and all(
        None not in row.values() and float(row["available_s"]) >= float(row["time_s"]) for row in rows
    )


def test_a_microphone_that_goes_away_leaves_no_note_behind(long_note):
    """Under JACK the input stays open and silent: the note ends, and the program waits for the next singer."""
    long_note.mic.kill()
    long_note.wait_for_silence()
    assert long_note.program.process.poll() is None
    assert long_note.end() == 0
    assert_clean(long_note.performance())


def test_a_dead_sound_server_is_told_in_a_sentence(mortal_jack_server, microphone, recorder, run_melody, tmp_path):
    """The device is lost and not waited for: status 2, one sentence, and everything captured before it is on disk."""
    samples = held_note(LONG_NOTE, 30.0, VOICE_RATE)
    options = ("--midi-file", "taken.mid", "--csv", "taken.csv", "--no-reconnect")
    running = Take(mortal_jack_server, microphone, recorder, run_melody, samples, VOICE_RATE, *options)
    running.wait_for_note()
    mortal_jack_server.kill()
    assert running.program.wait(20) == 2, running.program.stderr
    assert "Traceback" not in running.program.stderr
    assert "lost" in running.program.stderr and "singer" in running.program.stderr
    assert_files_are_whole(tmp_path)


@pytest.mark.parametrize("sings", [True, False], ids=["singing", "silent"])
@pytest.mark.parametrize("way", [(), ("--jack",)], ids=["PortAudio", "JACK"])
def test_a_microphone_that_leaves_the_graph_and_is_not_waited_for_ends_the_program(
    jack_server, microphone, recorder, run_melody, tmp_path, way, sings
):
    """Though the input stays open and gives zeros, as a silent one does: status 2, one sentence, the note ended, files whole."""
    samples = held_note(LONG_NOTE, 30.0, VOICE_RATE)
    options = ("--midi-file", "taken.mid", "--csv", "taken.csv", "--no-reconnect", *way)
    running = Take(jack_server, microphone, recorder, run_melody, samples if sings else np.zeros_like(samples), VOICE_RATE, *options)
    if sings:
        running.wait_for_note()
    else:
        time.sleep(4.0)  # long after the graph was asked for the first time
    killed_s = time.monotonic()
    running.mic.kill()
    wait_until(lambda: "left the JACK graph; start it again" in running.program.stderr, 10, "the loss to be said")
    print(f"said after {time.monotonic() - killed_s:.2f} s")
    assert running.program.wait(20) == 2, running.program.stderr
    assert "Traceback" not in running.program.stderr and "singer" in running.program.stderr
    wait_until(lambda: running.performance().notes_left_on == 0, 2, "the note-off")
    written = perform(messages_of(tmp_path / "taken.mid"))
    assert (written.note_ons, written.notes_left_on) == (int(sings), 0) and len(read_csv(tmp_path / "taken.csv")) > 20


@pytest.mark.parametrize("reconnect", [True, False])
def test_a_server_that_dies_in_silence_is_said(mortal_jack_server, microphone, recorder, run_melody, reconnect):
    """By a client of the graph, with and without waiting for it."""
    options = ("--jack",) if reconnect else ("--jack", "--no-reconnect")
    running = Take(mortal_jack_server, microphone, recorder, run_melody, np.zeros(30 * VOICE_RATE, np.float32), VOICE_RATE, *options)
    time.sleep(3.0)
    mortal_jack_server.kill()
    wait_until(lambda: "the JACK server is gone; " in running.program.stderr, 10, "the loss to be said")
    if reconnect:
        running.program.assert_running()
    else:
        assert running.program.wait(20) == 2 and "Traceback" not in running.program.stderr, running.program.stderr


def test_a_sound_server_that_comes_back_is_played_on(mortal_jack_server, microphone, recorder, run_melody, tmp_path):
    """Sound through PortAudio and a MIDI port of our own; what was heard before is kept, and times go on."""
    server = mortal_jack_server
    samples = held_note(LONG_NOTE, 30.0, VOICE_RATE)
    running = Take(server, microphone, recorder, run_melody, samples, VOICE_RATE, "--csv", "taken.csv")
    running.wait_for_note()
    killed_s = time.monotonic()
    server.kill()
    wait_until(lambda: "'singer, JACK Audio Connection Kit' was lost" in running.program.stderr, 10, "the loss to be said")
    for child in (running.mic, running.recorder):
        child.kill()
    running.recorder.path.unlink()
    server.start_again()
    singer, again = microphone(server, samples, VOICE_RATE), recorder(server)
    singer.wait_for_listener(20, running.program)
    again.wait_for_source(20, running.program)
    singer.play()
    wait_until(lambda: any(message[0] & 0xF0 == 0x90 for _, message in again.messages), 10, "a note after the return")
    away_s = time.monotonic() - killed_s
    assert "gives sound again" in running.program.stderr and "rt-melody:out is back" in running.program.stderr
    running.program.signal()
    assert running.program.wait() == 0, running.program.stderr
    times_s = np.array([float(row["time_s"]) for row in read_csv(tmp_path / "taken.csv")])
    gap_s = np.diff(times_s).max()
    assert 0.3 < gap_s < away_s, "no time is lost, and none is made up"


# --- several outputs tell one story


def test_json_lines_and_port_tell_the_same_notes(take):
    sung = sung_phrase(notes=(57, 64, 60))
    running = take(sung.samples, sung.sample_rate, "--jsonl")
    running.mic.wait_for_end()
    running.wait_for_silence()
    assert running.end() == 0, running.program.stderr
    written = [json.loads(line) for line in running.program.stdout.splitlines()]
    played = [m[1] for _, m in running.messages if m[0] & 0xF0 == 0x90 and m[2] > 0]
    assert len(played) >= 3
    assert [event["note"] for event in written if event["type"] == "note_on"] == played


OPEN_AND_CLOSE = """
from rt_melody.realtime.sinks.midi_ports import open_midi_out
for _ in range(100):
    port = open_midi_out()
    port.close_port()
    port.delete()
"""


def test_a_port_opened_and_closed_a_hundred_times_does_not_crash(jack_server):
    """libjack did, after some 30, while the client that listens to the port was deleted after it."""
    ended = subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE], env={**os.environ, **jack_server.env}, timeout=120)
    assert ended.returncode == 0


def test_a_device_that_does_not_exist_is_refused_with_the_list(jack_server, run_melody):
    program = run_melody("--input", "mic", "--device", "no such microphone", "--midi-out", env=jack_server.env)
    assert program.wait(60) == 2
    assert "no such microphone" in program.stderr and "system" in program.stderr
    assert "Traceback" not in program.stderr
