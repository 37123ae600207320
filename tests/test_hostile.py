"""Mutated input: each is read or refused in a sentence. A sample of what ``benchmarks.hostile`` gives by the thousand."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from rt_melody.benchmarks import hostile
from rt_melody.benchmarks.fuzz import targets
from rt_melody.realtime.types import NoteOff, NoteOn


@pytest.mark.parametrize("kind, count", [("audio", 60), ("yaml", 300), ("models", 12), ("commands", 150)])
@pytest.mark.filterwarnings("ignore")  # NumPy's about floats that mutation made
def test_whatever_is_given_is_read_or_refused(kind, count, tmp_path, capfd):
    came = set()
    for data in hostile.inputs(kind, count, seed=7):
        path = tmp_path / "input"
        path.write_bytes(data)
        came.add(hostile.TAKERS[kind](str(path)).partition(":")[0])
    assert came == {"read", "refused"}
    assert "AN ARCHIVE RAN" not in capfd.readouterr().out


def test_random_feeds_come_back_finite_in_order_and_with_an_end_for_each_note():
    for data in hostile.inputs("feeds", 2, seed=7):
        hostile.feeder().run(data.hex())


def test_what_cannot_be_is_noticed():
    on, off = NoteOn(0.0, 0.1, 60, 64, 60.0), NoteOff(0.2, 0.3, 60)
    hostile.Feeder.check([on, off])
    for heard in ([on], [off], [on, off, off], [on, off, replace(on, pitch=float("nan")), off]):
        with pytest.raises(AssertionError):
            hostile.Feeder.check(heard)


def test_mutations_are_of_their_seed_and_change_something():
    data = bytes(range(256)) * 4
    made = [hostile.mutated(data, random.Random(seed)) for seed in range(50)]
    assert made == [hostile.mutated(data, random.Random(seed)) for seed in range(50)]
    assert len(set(made)) > 45 and sum(one == data for one in made) < 3


def test_a_worker_tells_a_crash_a_hang_and_an_archive_that_ran_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(hostile, "PATIENCE_S", 1.0)
    (tmp_path / "input").write_bytes(b"")
    for code, came in {
        "import os; input(); os.abort()": "crash",
        "import time; input(); time.sleep(60)": "hang",
        "input(); print('AN ARCHIVE RAN', flush=True)": "ran",
        "input(); print('[\"traceback: X\", 0]', flush=True)": "traceback",
        "input(); print('[\"read\", 9]', flush=True)": "slow",
        "input(); print('[\"read\", 0]', flush=True)": "read",
    }.items():
        worker = hostile.Worker("audio", tmp_path)
        worker._command = [hostile.sys.executable, "-c", "print('ready', flush=True); " + code]
        assert worker.take(tmp_path / "input").startswith(came), came
        worker.end()


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "finds").iterdir()), ids=lambda path: path.name)
@pytest.mark.parametrize("target", ["stream", "headers", "recording", "settings", "model"])
def test_what_fuzzing_found_stays_found(path, target):
    """Each of these once ended in a traceback or without an end."""
    targets()[target](path.read_bytes())
