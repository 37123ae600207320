"""The rig: a private JACK server with a software microphone and a MIDI recorder, FluidSynth, Pure Data.

Where a piece is missing the tests that need it are skipped and say which. ``RT_MELODY_REQUIRE_RIG=1`` turns
such a skip into a failure, and ``RT_MELODY_REQUIRE_DATA=1`` does so for the recordings.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from rig_fluidsynth import find_sound_font
from rig_osc import OscDump, PureData
from rig_recordings import DataMissing, Singing, test_singing

from rt_melody.benchmarks.rig.studio import SAMPLE_RATE, JackServer, MidiRecorder, Program, RigMissing, VirtualMicrophone, melody_command

HERE = Path(__file__).parent


@contextmanager
def rig_or_skip():
    """A missing piece becomes a skip that names it, or a failure where the environment forbids skipping."""
    try:
        yield
    except RigMissing as error:
        skip_or_fail(error, "RT_MELODY_REQUIRE_RIG")
    except DataMissing as error:
        skip_or_fail(error, "RT_MELODY_REQUIRE_DATA")


def skip_or_fail(error: Exception, variable: str) -> None:
    if os.environ.get(variable) == "1":
        pytest.fail(f"{variable}=1, but {error}", pytrace=False)
    pytest.skip(str(error))


TEST_S = 240.0


def pytest_collection_modifyitems(config, items):
    """What no wait of ours bounds, such as a call into a host in this process, ends with the words where it stood."""
    if config.pluginmanager.hasplugin("timeout") and config.getvalue("timeout") is None:
        for item in items:
            if item.path.parent == HERE:
                item.add_marker(pytest.mark.timeout(TEST_S))


@pytest.fixture
def rig():
    """``with rig():`` around what may miss a piece of the rig."""
    return rig_or_skip


def serve(tmp_path_factory):
    """A JACK server for as long as the fixture lives."""
    with rig_or_skip():
        server = JackServer(tmp_path_factory.mktemp("jack"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def jack_server(tmp_path_factory):
    """A JACK server for all tests that leave it as they found it."""
    yield from serve(tmp_path_factory)


@pytest.fixture
def mortal_jack_server(tmp_path_factory):
    """A JACK server of the test's own, to be killed."""
    yield from serve(tmp_path_factory)


@pytest.fixture
def children():
    """A list of things with ``close``; whatever a test puts there is closed after it, the newest first."""
    things: list = []
    yield things
    with ExitStack() as ends:  # which closes the others though one fails to
        for thing in things:
            ends.callback(thing.close)


@pytest.fixture
def microphone(tmp_path, children):
    """``microphone(server, samples, sample_rate)``: an input device `singer` that will play the samples."""

    def make(server: JackServer, samples: np.ndarray, sample_rate: int) -> VirtualMicrophone:
        soxr = pytest.importorskip("soxr")
        resampled = soxr.resample(samples, sample_rate, SAMPLE_RATE, quality="VHQ")
        children.append(VirtualMicrophone(server, resampled, tmp_path))
        return children[-1]

    return make


@pytest.fixture
def recorder(tmp_path, children):
    """``recorder(server, source)``: records what the MIDI port ``source`` sends."""

    def make(server: JackServer, *source: str) -> MidiRecorder:
        children.append(MidiRecorder(server, tmp_path, *source))
        return children[-1]

    return make


@pytest.fixture
def run_melody(tmp_path, children):
    """``run_melody(*arguments, env=...)``: the installed command, started."""

    def start(*arguments: str, env: dict[str, str] | None = None) -> Program:
        children.append(Program([*melody_command(), *arguments], dict(env or os.environ), tmp_path))
        return children[-1]

    return start


@pytest.fixture
def pure_data(tmp_path, children):
    with rig_or_skip():
        children.append(PureData(tmp_path))
    return children[-1]


@pytest.fixture
def oscdump(tmp_path, children):
    with rig_or_skip():
        children.append(OscDump(tmp_path))
    return children[-1]


@pytest.fixture(scope="session")
def sound_font():
    """A General MIDI sound font, with FluidSynth there to play it."""
    with rig_or_skip():
        return find_sound_font()


@pytest.fixture(scope="session")
def singing() -> Singing:
    """About 25 s of real voices alone, the test singers in turn."""
    with rig_or_skip():
        return test_singing(at_least_s=20.0)
