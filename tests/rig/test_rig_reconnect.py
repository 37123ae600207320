"""A synthesiser that is closed and opened again in the middle of a song, as JACK shows it: a port that leaves and returns."""

from __future__ import annotations

import time

import pytest
from rig_voice import sung_phrase

from rt_melody.benchmarks.rig.midi_reader import perform
from rt_melody.benchmarks.rig.studio import wait_until

NOBODY = "nobody:out"  # the recorder waits to be connected, as a synthesiser does
NOTES = 60 * (57, 60, 64, 60)


@pytest.mark.parametrize("away_s", [0.7, 3.0])
def test_a_synthesiser_that_was_restarted_is_played_on(jack_server, microphone, recorder, run_melody, away_s):
    sung = sung_phrase(notes=NOTES)
    mic, first = microphone(jack_server, sung.samples, sung.sample_rate), recorder(jack_server, NOBODY)
    program = run_melody("--input", "mic", "--device", "singer", "--midi-out", "recorder", env=jack_server.env)
    mic.wait_for_listener(60, program)
    mic.play()
    wait_until(lambda: perform(played(first)).note_ons >= 2, 20, "two notes")
    first.kill()
    first.path.unlink()
    time.sleep(away_s)
    second = recorder(jack_server, NOBODY)
    wait_until(lambda: perform(played(second)).note_ons >= 2, 15, "two notes on the port that is back")
    messages = [message for _, message in played(second)]
    announced = messages.index(bytes([0xB0, 101, 0]))
    assert announced < next(i for i, message in enumerate(messages) if message[0] & 0xF0 == 0x90)
    assert "is lost" in program.stderr and "is back" in program.stderr
    program.signal()
    assert program.wait() == 0, program.stderr
    assert perform(played(second)).notes_left_on == 0


def played(recorder):
    return [(0.0, message) for _, message in recorder.messages]
