"""The microphone on a real PortAudio: what the device plays is what is read, and a dead device is told.

PortAudio takes stock of the devices once a process, so each recording is made by a process of its own.
"""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from rig_listener import bit_by_bit, ended, start_listener

from rt_melody.benchmarks.rig.studio import SAMPLE_RATE, VirtualMicrophone

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
def listen(tmp_path):
    """``listen(server, n_samples)``: a process that records so many samples from `singer`, once it is open."""

    def start(server, n_samples: int) -> subprocess.Popen:
        return start_listener(LISTENER, server.env, tmp_path, n_samples)

    return start


def test_the_samples_arrive_bit_by_bit(jack_server, listen, tmp_path, children):
    told = bit_by_bit(jack_server, lambda n_samples: listen(jack_server, n_samples), tmp_path, children)
    assert told["rate"] == SAMPLE_RATE and told["lost_samples"] == 0 and told["position"] == len(np.load(tmp_path / "heard.npy"))
    assert told["latency_ms"] is None or told["latency_ms"] < 5000


def test_a_dead_server_is_a_lost_device_and_the_process_ends_well(mortal_jack_server, listen, tmp_path, children):
    """PortAudio, asked to shut down now, would abort the process: exit status 0 says that it was not."""
    children.append(VirtualMicrophone(mortal_jack_server, np.ones(SAMPLE_RATE, np.float32), tmp_path))
    process = listen(mortal_jack_server, 60 * SAMPLE_RATE)
    children[-1].wait_for_listener()
    mortal_jack_server.kill()
    told = ended(process)
    assert "'singer, JACK" in told["lost"] and "was lost" in told["lost"]
