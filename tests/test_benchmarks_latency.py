"""The latency benchmarks' arithmetic: delays of known note-ons, slopes, growth, and a chain whose stages add up."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rt_melody.benchmarks import compute, end_to_end, latency, soak
from rt_melody.benchmarks.rig.studio import SAMPLE_RATE, RigMissing
from rt_melody.benchmarks.rig.threshold import QUIET_S, ThresholdTracker
from rt_melody.benchmarks.signals import TrueNote
from rt_melody.benchmarks.trackers import melody_tracker, parted
from rt_melody.realtime.types import NoteOff, NoteOn

NOTES = (TrueNote(1.0, 1.3, 60.0), TrueNote(2.0, 2.3, 64.2), TrueNote(3.0, 3.3, 67.0))


# --- end to end


def test_a_delay_is_that_of_the_first_note_on_of_the_right_pitch():
    ons = [(0.5, 60), (1.04, 72), (1.05, 60), (1.2, 61), (2.03, 64), (3.31, 67)]
    found = end_to_end.delays_ms(NOTES, [1.0, 2.0, 3.0], ons)
    np.testing.assert_allclose(found, [50.0, 30.0, np.nan], atol=1e-9)
    unpitched = end_to_end.delays_ms(NOTES, [1.0, 2.0, 3.0], ons, pitched=False)
    np.testing.assert_allclose(unpitched, [40.0, 30.0, np.nan], atol=1e-9)


def test_the_song_has_its_notes_where_it_says():
    samples, notes = end_to_end.song(5)
    assert len(notes) == 5 and samples.dtype == np.float32
    for note, loud_s in zip(notes, end_to_end.loud_from_s(samples, notes)):
        on, off = round(note.on_s * SAMPLE_RATE), round(note.off_s * SAMPLE_RATE)
        assert not np.abs(samples[on - 4800 : on]).max() > 1e-6 < np.abs(samples[on:off]).max()
        assert note.on_s <= loud_s < note.on_s + 0.02
    again, _ = end_to_end.song(5)
    np.testing.assert_array_equal(samples, again)


@pytest.mark.slow
def test_the_arithmetic_is_told_at_every_phase_of_the_hop():
    samples, notes = end_to_end.song(3)
    told = end_to_end.algorithmic_ms(samples, notes, 50.0, None).reshape(end_to_end.PHASES, len(notes))
    assert np.isfinite(told).all()
    assert (np.ptp(told, axis=0) > 1.0).all()  # a hop's beginning matters
    assert (told >= 39.0).all()  # no event before its look-ahead


def test_what_end_to_end_has_more_than_the_arithmetic():
    measured = {
        "end_to_end": np.array([50.0, 52.0, np.nan]),
        "algorithmic": np.array([45.0, 47.0, 46.0]),
        "plumbing": np.array([2.0, 2.0, 2.0]),
        "said": "x",
    }
    told = end_to_end.figures(measured, {"median": 0.5, "max": 1.0})
    assert told["end_to_end"] == {"median": 51.0, "max": 52.0, "found": 2, "of": 3}
    assert told["beyond_algorithmic"] == {"median": 5.0}
    assert told["beyond_algorithmic_and_plumbing"] == {"median": 3.0}
    assert told["beyond_latest_phase"] == {"median": 5.0, "max": 5.0, "found": 2, "of": 3}


def test_a_note_that_is_always_late_is_not_late_because_it_is_played():
    phases = np.array([[45.0, 140.0], [49.0, 120.0]])
    measured = {"end_to_end": np.array([51.0, 141.0]), "algorithmic": phases.ravel(), "plumbing": np.zeros(2), "said": ""}
    assert end_to_end.figures(measured, {"median": 0.5, "max": 1.0})["beyond_latest_phase"]["max"] == 2.0


def test_without_jack_the_layer_is_left_out_with_its_reason(monkeypatch):
    def missing(*arguments, **options):
        raise RigMissing("`jackd` is not installed")

    monkeypatch.setattr(end_to_end, "measure", missing)
    assert latency.end_to_end_rows(50.0, 10, None) == ({"left_out": "`jackd` is not installed"}, None)


def test_the_control_plays_a_note_from_the_first_loud_block_until_it_has_been_quiet():
    tracker, heard = ThresholdTracker(1000), []
    for level in [0.0] * 5 + [0.5, 0.0, 0.0, 0.5] + [0.0] * 30:
        heard += tracker.feed(np.full(10, level, np.float32))
    on, off = parted(heard)[1]
    assert isinstance(on, NoteOn) and on.available_s == pytest.approx(0.051)  # the first loud sample
    assert isinstance(off, NoteOff) and off.available_s == pytest.approx(0.09 + QUIET_S)
    assert tracker.finish() == []


# --- soak


def test_a_slope_is_that_of_the_line_whatever_one_point_says():
    x = np.arange(20.0)
    y = 3.0 + 0.25 * x
    y[7] = 1000.0
    assert soak.slope(x, y) == pytest.approx(0.25)
    assert soak.slope([1.0, 2.0], [1.0, 2.0]) is None


def test_growth_is_told_after_the_first_minute_alone():
    rows = [{"elapsed_s": float(s), "memory_mb": 100.0 + (50.0 if s < 60 else 0.002 * (s - 60))} for s in range(0, 600, 10)]
    told = soak.memory_growth(rows)
    assert told["settled_mb"] == 100.0 and told["mb_an_hour"] == pytest.approx(7.2, rel=1e-3)
    assert soak.memory_growth(rows[:6])["mb_an_hour"] is None


def test_verses_are_measured_each_in_its_place():
    sung = soak.repeated(NOTES * 20, 5.0, 3)
    assert len(sung) == 180 and sung[60].on_s == 6.0 and sung[-1].on_s == 13.0
    ordered = soak.repeated([TrueNote(1.0 + i, 1.3 + i, 60.0) for i in range(60)], 70.0, 4)
    ons = [(note.on_s + 0.040 + 1e-6 * note.on_s, 60) for note in ordered]
    delays = soak.found_delays(ordered, ons)
    np.testing.assert_allclose(delays, [40.0 + 1e-3 * note.on_s for note in ordered], atol=1e-6)
    drift = soak.slope(*soak.over_time(np.array([n.on_s for n in ordered]), delays))
    assert 1000.0 * drift == pytest.approx(1.0, abs=0.2), "a part in a million"


def test_the_figures_of_a_soak_are_json():
    rows = [{
        "elapsed_s": 70.0 + i, "memory_mb": 100.0, "drift_ppm": None, "work_ms": {}, "lateness_ms": {}, "turns": 1, "deadlines_missed": 0,
        "cpu_share": 0.1, "scheduling": "", "skips": 0, "skipped_s": 0.0, "lost_s": 0.0, "overflows": 0,
    } for i in range(5)]
    told = soak.figures(NOTES, np.array([40.0, np.nan, 42.0]), rows, np.array([0.001, 0.09]), 50.0)
    json.dumps(told, allow_nan=False)
    assert (told["notes_found"], told["notes_sung"], told["control_stalls_beyond_the_bound"]) == (2, 3, 1)


# --- compute


def test_stages_add_up_to_the_hop_and_the_engine_is_left_as_it_was():
    tracker = melody_tracker(16_000)
    tracker.warm_up()
    samples = compute.singing(16_000, 2.0)
    expected = tracker.feed(samples)
    tracker.reset()
    engine = tracker.engine
    parts = ((engine.decoder, "feed"), (tracker.performer, "feed"), (engine.front.resampler, "process"), (engine.model, "step"))
    before = [getattr(owner, name) for owner, name in parts]
    heard = []
    with compute.TimedChain(tracker) as chain:
        feed = tracker.feed
        tracker.feed = lambda block: heard.extend(frames := feed(block)) or frames
        for start in range(0, len(samples) - 160, 160):
            chain.feed(samples[start : start + 160])
    assert heard == expected[: len(heard)] and len(heard) > 150, "the clocks change nothing"
    assert set(chain.stages) == set(compute.STAGES) and {len(times) for times in chain.stages.values()} == {
        len(range(0, len(samples) - 160, 160))
    }
    assert all(min(times) > 0 for stage, times in chain.stages.items() if stage != "notes")
    assert [seconds > 0 for seconds in chain.stages["notes"]] == [False] * 3 + [True] * (len(chain.stages["notes"]) - 3), (
        "a look-ahead of 39 ms: the first frame comes with the fourth hop"
    )
    assert [getattr(owner, name) for owner, name in parts] == before
    from rt_melody.kernels import framing

    assert type(framing.condition).__name__ != "function"


@pytest.mark.slow
def test_a_hop_keeps_nothing():
    told = compute.allocations(melody_tracker(16_000), 2.0)
    assert abs(told["kept_blocks_a_hop"]) < 5.0 and told["garbage_cycles"] == 0
    assert told["peak_bytes"] > 0


def test_summary_is_in_milliseconds():
    assert compute.summary(np.array([0.001, 0.002, 0.003])) == {"median": 2.0, "p99": 2.98, "p99.9": 2.998, "max": 3.0}
