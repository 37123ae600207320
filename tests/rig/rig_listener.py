"""A process that records from an input, which is compared with what the software microphone played."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rt_melody.benchmarks.rig.studio import SAMPLE_RATE, VirtualMicrophone, next_line

TRIES = 5  # a busy machine's device drops samples, and says so


def start_listener(script: str, env: dict[str, str], folder: Path, n_samples: int) -> subprocess.Popen[str]:
    """The process that runs ``script``, which says that its input is open and writes so many samples to heard.npy."""
    arguments = [sys.executable, "-c", script, str(folder / "heard.npy"), str(n_samples)]
    process = subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said = next_line(process)
    assert said == "open\n", said
    return process


def ended(process: subprocess.Popen[str], timeout_s: float = 60) -> dict:
    """What the listener told at its end, which must be in good order."""
    try:
        out, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"the listener did not end within {timeout_s:g} s; it said: {process.communicate(timeout=5)}") from None
    assert process.returncode == 0, errors
    return json.loads(out.splitlines()[-1])


def bit_by_bit(server, listen: Callable[[int], subprocess.Popen[str]], folder: Path, children: list) -> dict:
    """What was played is what was heard, and nothing else; gives what the listener told."""
    sound, told = np.random.default_rng(0).uniform(-1, 1, SAMPLE_RATE).astype(np.float32), {}
    for _ in range(TRIES):
        singer = VirtualMicrophone(server, sound, folder)
        children.append(singer)
        process = listen(3 * SAMPLE_RATE)
        singer.wait_for_listener()
        singer.play()
        told = ended(process)
        singer.close()
        if not told["overflows"]:
            break
    heard = np.load(folder / "heard.npy")
    first = int(np.flatnonzero(heard)[0])
    np.testing.assert_array_equal(heard[first : first + len(sound)], sound)
    assert not heard[first + len(sound) :].any()
    return told
