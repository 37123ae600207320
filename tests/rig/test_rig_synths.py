"""Four synthesisers of the table sound what was sung, in each mode that they can do; benchmarks/synths.py measures all."""

from __future__ import annotations

import pytest

from rt_melody.benchmarks.rig.studio import JackServer
from rt_melody.benchmarks.synths import MEDIAN_CENTS, P90_CENTS, PERIOD_SAMPLES, make_melody, measure, short_melody, verdict
from rt_melody.realtime.settings.synths import find_synth


@pytest.fixture(scope="module")
def melody():
    return make_melody(short_melody())


@pytest.fixture(scope="module")
def quiet_server(tmp_path_factory):
    """Of a long period, which a synthesiser on a busy machine keeps."""
    server = JackServer(tmp_path_factory.mktemp("jack"), PERIOD_SAMPLES)
    yield server
    server.close()


@pytest.mark.parametrize("name", ["zynaddsubfx", "fluidsynth", "synthv1", "calf"])
def test_what_was_sung_is_what_the_synthesiser_sounds(name, melody, rig, request):
    with rig():
        server = request.getfixturevalue("quiet_server")
        rows = list(measure(name, server, melody, find_synth(name).modes, facts=False))
    for row in rows:
        assert verdict(row) == "in tune", row
        assert row["median_cents"] <= MEDIAN_CENTS and row["p90_cents"] <= P90_CENTS and row["moments"] > 100
