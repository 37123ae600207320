"""The rig is proven before it judges: readers by hand-worked cases, clients by stand-ins with known content."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import rig_ardour
from rig_fluidsynth import render

from rt_melody.benchmarks.rig.midi_reader import agreement, autocorrelation_pitch, perform, seconds_since
from rt_melody.benchmarks.rig.studio import SAMPLE_RATE, Program, Talker, finished, next_line, tied, wait_until

BEND_RANGE_12 = [bytes([0xB0, 101, 0]), bytes([0xB0, 100, 0]), bytes([0xB0, 6, 12]), bytes([0xB0, 38, 0])]


def bend(value: int) -> bytes:
    return bytes([0xE0, value & 127, value >> 7])


# --- reading MIDI back


def test_pitch_before_any_rpn_reaches_two_semitones():
    played = perform([(0.0, bend(0)), (1.0, bytes([0x90, 60, 100])), (2.0, bend(12288)), (3.0, bytes([0x80, 60, 0]))])
    np.testing.assert_equal(played.pitch_at(np.array([0.5, 1.0, 1.5, 2.5, 3.0, -1.0])), [np.nan, 58.0, 58.0, 61.0, np.nan, np.nan])
    assert (played.note_ons, played.notes_left_on, played.unmatched_offs, played.bend_at_end) == (1, 0, 0, 12288)


def test_rpn_zero_sets_the_reach_of_the_bend_and_other_rpns_do_not():
    tuning = [bytes([0xB0, 101, 0]), bytes([0xB0, 100, 1]), bytes([0xB0, 6, 99])]
    messages = [*BEND_RANGE_12, *tuning, bytes([0x90, 60, 100]), bend(4096)]
    played = perform([(float(i), message) for i, message in enumerate(messages)])
    assert played.bend_range == 12.0 and played.pitches[-1] == 54.0


def test_notes_left_on_and_offs_without_a_note_are_counted():
    played = perform([(0.0, bytes([0x80, 50, 0])), (1.0, bytes([0x90, 60, 1])), (2.0, bytes([0x90, 62, 1])), (3.0, bytes([0x90, 60, 0]))])
    assert (played.notes_left_on, played.unmatched_offs, played.pitches[-1]) == (1, 1, 62.0)


def test_frame_times_survive_the_wrap_of_the_clock():
    assert seconds_since(2**32 - 100, [(2**32 - 200, b"a"), (380, b"b")], 48000) == [(-100 / 48000, b"a"), (480 / 48000, b"b")]


# --- comparing with what was sung


def test_agreement_finds_the_delay_and_is_hard_to_please():
    times = np.arange(1, 400) * 0.02
    sung = np.where(times % 2 < 1.5, 60 + 3 * np.sin(2 * times), np.nan)
    follow = [(t + 0.06, bend(round(8192 + (p - 60) / 12 * 8192))) for t, p in zip(times, sung) if np.isfinite(p)]
    start = [(0.0, message) for message in BEND_RANGE_12] + [(0.0, bytes([0x90, 60, 90]))]
    found = agreement(perform(start + follow), times, sung)
    assert found.share > 0.99 and found.delay_s == pytest.approx(0.06, abs=0.021) and found.false_share == 1.0
    assert agreement(perform(start), times, sung).share < 0.3
    assert agreement(perform([]), times, sung).share == 0.0


@pytest.mark.parametrize("pitch", [36.4, 48.0, 57.7, 69.0, 84.3])
def test_autocorrelation_reads_a_harmonic_tone_within_five_cents(pitch):
    f0_hz, t = 440 * 2 ** ((pitch - 69) / 12), np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = sum(np.sin(2 * np.pi * k * f0_hz * t + k) / k for k in range(1, 8))
    assert autocorrelation_pitch(tone, SAMPLE_RATE, 0.5) == pytest.approx(pitch, abs=0.05)
    assert np.isnan(autocorrelation_pitch(np.zeros(SAMPLE_RATE), SAMPLE_RATE, 0.5))
    assert np.isnan(autocorrelation_pitch(np.random.default_rng(1).normal(size=SAMPLE_RATE), SAMPLE_RATE, 0.5))


# --- the clients


CAPTURE = """
import sys, sounddevice, numpy
taken = sounddevice.rec(int(sys.argv[1]), samplerate=48000, channels=1, dtype='float32', device='singer', blocking=True)
numpy.save(sys.argv[2], taken[:, 0])
sys.exit(3 if sounddevice.get_status().input_overflow else 0)
"""
DROPPED, TRIES = 3, 5  # a program without real-time priority drops samples on a busy machine, and says so


def test_the_microphone_is_an_input_device_and_what_it_plays_is_captured(jack_server, microphone, children, tmp_path):
    """PortAudio finds it by name; the recording arrives whole and unchanged, but for a start of silence."""
    sung = np.random.default_rng(2).uniform(-0.5, 0.5, SAMPLE_RATE).astype(np.float32)
    taken_path = tmp_path / "taken.npy"
    for _ in range(TRIES):
        source = microphone(jack_server, sung, SAMPLE_RATE)
        command = [sys.executable, "-c", CAPTURE, str(3 * SAMPLE_RATE), str(taken_path)]
        program = Program(command, jack_server.env, tmp_path)
        children.append(program)
        source.wait_for_listener(partner=program)
        source.play()
        status = program.wait()
        source.close()
        if status != DROPPED:
            break
    assert status == 0, program.stderr
    taken = np.load(taken_path)
    start = int(np.flatnonzero(taken)[0])
    np.testing.assert_array_equal(taken[start : start + len(sung)], sung)


STAND_IN = """
import time, rtmidi
out = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name="rt-melody")
out.open_virtual_port("out")
input_path = __import__("sys").argv[1]
while not __import__("os").path.exists(input_path):
    time.sleep(0.01)
for note in range(30, 90):
    out.send_message([0x90, note, 100])
    out.send_message([0xE0, note, 64])
    time.sleep(0.01)
    out.send_message([0x80, note, 0])
time.sleep(0.3)
"""


def test_the_recorder_writes_down_every_message_in_order(jack_server, recorder, children, tmp_path):
    listener, go = recorder(jack_server), tmp_path / "go"
    program = Program([sys.executable, "-c", STAND_IN, str(go)], jack_server.env, tmp_path)
    children.append(program)
    listener.wait_for_source()
    go.touch()
    assert program.wait() == 0, program.stderr
    wait_until(lambda: len(listener.messages) >= 180, 5, "the last message")
    expected = [m for note in range(30, 90) for m in (bytes([0x90, note, 100]), bytes([0xE0, note, 64]), bytes([0x80, note, 0]))]
    assert [message for _, message in listener.messages] == expected
    frames = [frame for frame, _ in listener.messages]
    assert frames == sorted(frames) and frames[-1] - frames[0] >= 59 * 0.01 * SAMPLE_RATE


def test_a_dead_server_or_port_is_noticed_rather_than_waited_for(mortal_jack_server, recorder):
    listener = recorder(mortal_jack_server)
    mortal_jack_server.kill()
    assert mortal_jack_server.ports() == []
    with pytest.raises(AssertionError, match="said 'connected'"):
        listener.wait_for_source(timeout_s=0.5)


MUTE, ENDS = ["sh", "-c", "echo half >&2; exec sleep 60"], ["sh", "-c", "echo no room >&2; exit 1"]


@pytest.mark.parametrize("command, most_s, why", [(MUTE, 3.0, "nothing within 3 s(?s:.)*half"), (ENDS, 60.0, "ended(?s:.)*no room")])
def test_a_child_that_does_not_say_what_is_waited_for_is_told_with_its_last_words(command, most_s, why):
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with pytest.raises(AssertionError, match=why):
        next_line(child, most_s)
    talker = Talker(command, dict(os.environ))
    with pytest.raises(AssertionError, match=why.replace("nothing", "'ready'")):
        talker.expect_first("ready", most_s)
    assert child.poll() is not None and talker.process.poll() is not None


def test_a_program_that_does_not_end_is_ended_and_told_with_its_last_words():
    with pytest.raises(AssertionError, match="within 3 s(?s:.)*half"):
        finished(MUTE, 3.0)


PARENT = "import subprocess, sys; print(subprocess.Popen(sys.argv[1:]).pid, flush=True); sys.stdin.read()"


def test_a_tied_program_ends_with_who_started_it():
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *tied(["sleep", "60"])], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    child = int(next_line(parent))
    wait_until(lambda: finished(["ps", "-o", "comm=", "-p", str(child)]).stdout == "sleep\n", 10, "setpriv turning into it")
    parent.send_signal(signal.SIGKILL)
    parent.wait(5)
    wait_until(lambda: finished(["ps", "-o", "stat=", "-p", str(child)]).stdout[:1] in ("", "Z"), 10, "the end of what was started")


ARDOUR = """#!/bin/sh
echo start >> ../starts
if [ $(wc -l < ../starts) -lt "$GOOD" ]; then echo "JACK HALTED: JACK server has been closed"; exit 1; fi
echo recording; sleep 9
"""


@pytest.mark.parametrize("good", [1, 3, 9])
def test_an_ardour_that_jack_threw_out_is_started_again_a_few_times_and_told(jack_server, children, tmp_path, monkeypatch, good):
    stand_in = tmp_path / "ardour"
    stand_in.write_text(ARDOUR)
    stand_in.chmod(0o755)
    monkeypatch.setattr(rig_ardour, "find_ardour", lambda: str(stand_in))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        daw = rig_ardour.Ardour(jack_server, tmp_path, tmp_path / "script.lua", GOOD=str(good))
        children.append(daw)
        if good > rig_ardour.STARTS:
            with pytest.raises(AssertionError, match="lost JACK at each of 4 starts(?s:.)*HALTED(?s:.)*JACK said: (?s:.)+"):
                daw.begin("recording")
        else:
            daw.begin("recording")
    assert daw.starts == min(good, rig_ardour.STARTS) and len(told) == daw.starts - 1


def test_fluidsynth_sounds_what_the_messages_say(sound_font, tmp_path):
    """A4, then A4 bent by -3.5 semitones of an announced 12: heard at 69 and 65.5."""
    down = bend(8192 - round(3.5 / 12 * 8192))
    score = [(0.0, message) for message in BEND_RANGE_12]
    score += [(0.1, bytes([0x90, 69, 100])), (1.0, down), (2.0, bytes([0x80, 69, 0]))]
    sound, rate = render(score, sound_font, tmp_path)
    heard = [autocorrelation_pitch(sound, rate, t) for t in (0.6, 1.6)]
    assert heard == pytest.approx([69.0, 65.5], abs=0.15)


def test_pure_data_prints_bundled_and_plain_messages(pure_data):
    from pythonosc import osc_bundle_builder, osc_message_builder, udp_client

    def message(address: str, *values):
        builder = osc_message_builder.OscMessageBuilder(address)
        for value in values:
            builder.add_arg(value)
        return builder.build()

    bundle = osc_bundle_builder.OscBundleBuilder(osc_bundle_builder.IMMEDIATELY)
    bundle.add_content(message("/a/on", 60, 100))
    bundle.add_content(message("/a/off", 61))
    client = udp_client.UDPClient("127.0.0.1", pure_data.port)
    client.send(bundle.build())
    client.send(message("/b", 1.5))
    wait_until(lambda: len(pure_data.messages) >= 3, 5, "Pure Data's third line")
    assert pure_data.messages == [["a", "on", "60", "100"], ["a", "off", "61"], ["b", "1.5"]]


def test_oscdump_prints_addresses_and_types(oscdump):
    from pythonosc import udp_client

    udp_client.SimpleUDPClient("127.0.0.1", oscdump.port).send_message("/a/on", [60, 0.5])
    wait_until(lambda: oscdump.messages, 5, "oscdump's line")
    assert oscdump.messages == [("/a/on", "if")]
