"""The microphone on a real PortAudio: what the device plays is what is read, and a dead device is told.

PortAudio takes stock of the devices once a process, so each recording is made by a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from rt_melody.benchmarks.rig.studio import SAMPLE_RATE, VirtualMicrophone

TRIES = 5  # a busy machine's device drops samples, and says so
LISTENER = """
import json, sys
import numpy as np
from rt_melody.realtime.sources.microphone import DeviceLost, MicrophoneSource

source, blocks, lost = MicrophoneSource("SING", channel=1), [], ""
with source:
    print("open", flush=True)
    try:
        while sum(map(len, blocks)) < int(sys.argv[2]):
            blocks.append(source.read(0.1).copy())
    except DeviceLost as error:
        lost = str(error)
    told = dict(rate=source.sample_rate, lost_samples=source.lost_samples, position=source.position_samples,
                latency_ms=source.input_latency_ms, lost=lost, overflows=source.overflows)
np.save(sys.argv[1], np.concatenate(blocks))
print(json.dumps(told), flush=True)
"""


@pytest.fixture
def listen(tmp_path, children):
    """``listen(server, n_samples)``: a process that records so many samples from `singer`, once it is open."""

    def start(server, n_samples: int) -> subprocess.Popen:
        arguments = [sys.executable, "-c", LISTENER, str(tmp_path / "heard.npy"), str(n_samples)]
        process = subprocess.Popen(arguments, env=server.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "open\n", process.communicate(timeout=10)[1]
        return process

    return start


def ended(process: subprocess.Popen) -> dict:
    """What the listener told at its end, which must be in good order."""
    out, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    return json.loads(out)


def test_the_samples_arrive_bit_by_bit(jack_server, listen, tmp_path, children):
    sound = np.random.default_rng(0).uniform(-1, 1, SAMPLE_RATE).astype(np.float32)
    for _ in range(TRIES):
        singer = VirtualMicrophone(jack_server, sound, tmp_path)
        children.append(singer)
        process = listen(jack_server, 3 * SAMPLE_RATE)
        singer.wait_for_listener()
        singer.play()
        told = ended(process)
        singer.close()
        if not told["overflows"]:
            break
    heard = np.load(tmp_path / "heard.npy")
    first = int(np.flatnonzero(heard)[0])
    np.testing.assert_array_equal(heard[first : first + len(sound)], sound)
    assert not heard[first + len(sound) :].any()
    assert told["rate"] == SAMPLE_RATE and told["lost_samples"] == 0 and told["position"] == len(heard)
    assert told["latency_ms"] is None or told["latency_ms"] < 5000


def test_a_dead_server_is_a_lost_device_and_the_process_ends_well(mortal_jack_server, listen, tmp_path, children):
    """PortAudio, asked to shut down now, would abort the process: exit status 0 says that it was not."""
    children.append(VirtualMicrophone(mortal_jack_server, np.ones(SAMPLE_RATE, np.float32), tmp_path))
    process = listen(mortal_jack_server, 60 * SAMPLE_RATE)
    children[-1].wait_for_listener()
    mortal_jack_server.kill()
    told = ended(process)
    assert "'singer, JACK" in told["lost"] and "was lost" in told["lost"]
