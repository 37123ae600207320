"""The self-test where it can be held to a truth: an output that JACK loops back to an input."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from rt_melody.benchmarks.rig.studio import PERIOD_SAMPLES, SAMPLE_RATE, wait_until

LOOP = """
import sys, jack
client = jack.Client("loop", use_exact_name=True, no_start_server=True)
heard, said = client.inports.register("in"), client.outports.register("out")
client.set_process_callback(lambda frames: said.get_array().__setitem__(slice(None), heard.get_array()))
with client:
    sys.stdin.read()
"""


@pytest.fixture
def loop(jack_server):
    """A JACK client `loop`, both an output and an input device, that gives back what it is given."""
    process = subprocess.Popen([sys.executable, "-c", LOOP], env=jack_server.env, stdin=subprocess.PIPE)
    try:
        wait_until(lambda: "loop:out" in jack_server.ports(), 30, "the loop's ports")
        yield
        process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait(5)


def test_the_round_trip_through_jack_is_found(jack_server, loop, run_melody):
    """Whole periods of JACK, each way one at least; whether the machine is quick enough is not judged here."""
    program = run_melody("--device", "loop", "--loopback", "loop", "--self-test", "2", env=jack_server.env)
    assert program.wait(120) in (0, 1), program.stderr
    took = re.search(r"takes ([\d.]+) ms \((\d) of 5 chirps, ([\d.]+) ms apart\)", program.stdout)
    assert took, program.stdout + program.stderr
    ms, heard = float(took[1]), int(took[2])
    assert heard >= 3 and 990.0 * PERIOD_SAMPLES / SAMPLE_RATE < ms < 200.0
    assert "Result: " in program.stdout and "microphone loop" in program.stdout


def test_an_input_that_does_not_hear_the_output_is_told(jack_server, loop, microphone, run_melody):
    microphone(jack_server, [0.0] * SAMPLE_RATE, SAMPLE_RATE)
    program = run_melody("--device", "singer", "--loopback", "loop", "--self-test", "1", env=jack_server.env)
    assert program.wait(120) == 1, program.stderr
    assert "did not hear the output" in program.stdout and "digital silence" in program.stdout
