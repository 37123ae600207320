"""The paper's experiment: what is trained in which order, what is read from a checkpoint, what the table says."""

import json
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
import torch

from rt_melody.benchmarks import paper_experiment
from rt_melody.models.config import ModelConfig, load_config
from rt_melody.models.training import evaluate, tiny, train
from rt_melody.models.training.data import Clip, DataError


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paper")
    tiny.make_data(folder / "data", clips=1)
    torch.set_num_threads(1)
    return folder / "data"


def arguments(tmp_path, *more):
    return ["--runs", str(tmp_path / "runs"), "--rows", "hybrid", "--steps", "2", *more]


# ---- reading through an HMM


def test_a_path_is_the_likeliest_of_all():
    """Against every path of four frames over three bins."""
    rng = np.random.default_rng(4)
    for _ in range(5):
        likelihood, moves = np.log(rng.random((4, 3))), np.log(rng.random(5))
        def total(path):
            return sum(likelihood[t, b] for t, b in enumerate(path)) + sum(moves[b - a + 2] for a, b in pairwise(path))
        best = max(np.ndindex(3, 3, 3, 3), key=total)
        assert tuple(evaluate.smooth(likelihood, moves)) == best


def test_a_single_wrong_frame_is_smoothed_away():
    moves = np.log(np.array([1e-6, 1e-6, 1.0, 1e-6, 1e-6]))
    likelihood = np.log(np.array([[0.8, 0.1, 0.1]] * 3 + [[0.2, 0.1, 0.7]] + [[0.8, 0.1, 0.1]] * 3))
    assert likelihood.argmax(1)[3] == 2 and evaluate.smooth(likelihood, moves).tolist() == [0] * 7


def test_moves_are_counted_between_sung_hops():
    """Quarter semitones at 10 ms: two stays, one move of +2 bins; steps over a rest do not count."""
    config = load_config("mcdnn")
    pitch = np.zeros(13, np.float32)
    pitch[::2] = [60.0, 60.0, 60.5, 60.5, 0.0, 70.0, 0.0]
    clip = Clip("a", "a", np.zeros(960, np.float32), None, pitch)
    moves = np.exp(evaluate.count_moves([clip], config))
    middle = config.pitch_bins - 1
    assert moves[middle] == pytest.approx(2 / 3) and moves[middle + 2] == pytest.approx(1 / 3)
    assert moves[middle + 40] == pytest.approx(evaluate.RAREST_MOVE)


class Told(torch.nn.Module):
    """A network that tells bin 10 of every hop, and voicing logit 1 in the first half of them."""

    def __init__(self, config):
        super().__init__()
        self.config = config

    def whole(self, waveform):
        hops, heads = waveform.size(1) // self.config.hop_samples, len(self.config.look_ahead_ms)
        pitch = torch.zeros(1, heads, hops, self.config.pitch_bins)
        pitch[..., 10] = 30.0
        voicing = torch.where(torch.arange(hops) < hops // 2, 1.0, -1.0)
        return type("Out", (), {"pitch_logits": pitch, "voicing_logits": voicing[None, :, None].expand(1, hops, heads)})


def test_a_track_tells_each_hops_end_less_the_look_ahead():
    config = ModelConfig(look_ahead_ms=(0, 40))
    tracker = evaluate.Tracker(Told(config), config, 1)
    times, hz, voiced = tracker.track(np.zeros(1600, np.float32), 0.5)
    assert times[0] == pytest.approx(0.01) and len(times) == 10 and voiced.tolist() == [True] * 5 + [False] * 5
    assert hz[0] == pytest.approx(55.0 * 2 ** (10 / 60), rel=1e-4)
    assert tracker.track(np.zeros(1600, np.float32), 0.5, head=1)[0].tolist() == pytest.approx([0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06])
    assert not tracker.track(np.zeros(1600, np.float32), 0.8)[2].any()


# ---- training in turn


class Recorder:
    """In place of a training process: writes down its command, and leaves a checkpoint's step."""

    calls: ClassVar[list] = []

    def __init__(self, command, **_):
        self.command = command
        with threading.Lock():
            self.calls.append(command)

    def wait(self):
        return 0


@pytest.fixture
def recorded(monkeypatch):
    monkeypatch.setattr(Recorder, "calls", [])
    monkeypatch.setattr(paper_experiment.subprocess, "Popen", Recorder)
    return Recorder.calls


@pytest.mark.parametrize("jobs", ("1", "3"))
def test_first_stages_are_trained_before_what_begins_with_them(tmp_path, recorded, jobs):
    args = paper_experiment.parse_arguments(["--runs", str(tmp_path), "--seeds", "1", "2", "--jobs", jobs])
    paper_experiment.Trainings(args).run()
    assert len(recorded) == 2 * (1 + len(paper_experiment.ROWS))
    for seed in (1, 2):
        mine = [c for c in recorded if f"seed={seed}" in c]
        models = [next(w for w in c if w.startswith("model=")) for c in mine]
        begun = [c[c.index("--stage1-from") + 1] for c in mine if "--stage1-from" in c]
        assert begun == [str(tmp_path / f"seed{seed}" / "paper-stage1" / "last.pt")] * 2
        assert models.index("model=paper-stage1") < min(i for i, c in enumerate(mine) if "--stage1-from" in c)


def test_what_is_trained_is_not_trained_again(tmp_path, recorded, monkeypatch):
    monkeypatch.setattr(paper_experiment, "steps_done", lambda out: 600 if out.name in ("mcdnn", "paper-stage1") else 300)
    paper_experiment.Trainings(paper_experiment.parse_arguments(["--runs", str(tmp_path)])).run()
    assert {c[c.index("--out") + 1].rsplit("/", 1)[1] for c in recorded} == set(paper_experiment.ROWS) - {"mcdnn"}


def test_a_training_that_fails_is_told(tmp_path, recorded, monkeypatch):
    monkeypatch.setattr(Recorder, "wait", lambda self: 2)
    with pytest.raises(DataError, match="ended with status 2"):
        paper_experiment.Trainings(paper_experiment.parse_arguments(["--runs", str(tmp_path), "--rows", "mcdnn"])).run()


# ---- the whole


@pytest.mark.slow
def test_trained_heard_and_written_down(data, tmp_path):
    """Training itself is the training command's test; here a small run of it stands where the experiment looks."""
    small = tiny.write_configs(tmp_path, model="hybrid", muon=False)
    out = tmp_path / "runs" / "seed1" / "hybrid"
    train.main(["--config", str(small), "--data", str(data), "--out", str(out)])
    (tmp_path / "out").mkdir()
    paper_experiment.main(arguments(tmp_path, "--no-training", "--data", str(data), "--out", str(tmp_path / "out")))
    stored = json.loads((tmp_path / "out" / "paper.json").read_text())
    assert [(r["system"], r["kind"], r["steps"]) for r in stored["rows"]] == [("Hybrid, rebuilt", k, 3) for k in ("mixture", "voice")]
    row = stored["rows"][0]
    assert row["pooled"]["OA"] + sum(row["errors"].values()) == pytest.approx(100.0)
    assert stored["reported"]["Two-stage"]["OA"] == 80.33
    assert "| Hybrid, rebuilt | 1 | 3 |" in (tmp_path / "out" / "paper.md").read_text()


def test_rows_of_other_commands_are_taken_when_made_of_all_clips(tmp_path, capsys):
    row = {"condition": "mixture", "pooled": {"OA": 70.0}, "errors": {}, "reliability": []}
    (tmp_path / "accuracy.json").write_text(
        json.dumps(
            {"about": "MIR-1K test, 176 clips", "rows": [{**row, "bound_ms": 50.0}, {**row, "bound_ms": 50.0, "condition": "white 10 dB"}]}
        )
    )
    (tmp_path / "melodia.json").write_text(
        json.dumps({"about": "every 1. clip of all", "rows": {"accuracy": [{**row, "peer": "Melodia"}]}})
    )
    told = paper_experiment.others(tmp_path)
    assert [(r["system"], r["kind"], "reliability" in r) for r in told] == [
        ("live, 50 ms", "mixture", False),
        ("Melodia", "mixture", False),
    ]
    (tmp_path / "melodia.json").write_text(
        json.dumps({"about": "every 8. clip of all", "rows": {"accuracy": [{**row, "peer": "Melodia"}]}})
    )
    assert len(paper_experiment.others(tmp_path)) == 1 and "fewer clips" in capsys.readouterr().out
    assert paper_experiment.others(None) == []


def test_the_table_averages_seeds():
    figures = dict.fromkeys(("VR", "VFA", "RPA", "RCA", "OA"), 50.0)
    errors = dict.fromkeys(paper_experiment.ERRORS, 5.0)
    rows = [
        {"system": "A", "kind": "voice", "steps": 7, "pooled": {**figures, "OA": oa}, "clip_mean": figures, "errors": errors}
        for oa in (60.0, 70.0)
    ]
    assert "| A | 2 | 7 |  | 50.0 | 50.0 | 50.0 | 50.0 | 65.0 |" in paper_experiment.table(rows)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_no_training_behind_and_saves_it(data, tmp_path, number):
    command = [sys.executable, "-c", f"import signal; signal.signal({signal.SIGINT:d}, signal.default_int_handler); "
               "from rt_melody.benchmarks.paper_experiment import main; main()"]
    options = ["--runs", str(tmp_path), "--rows", "hybrid", "--steps", "100000", "--data", str(data)]
    running = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    assert running.stdout.readline().startswith("training ")
    printed = tmp_path / "seed1" / "hybrid" / "printed.txt"
    wait_for(lambda: "/100000" in printed.read_text(encoding="utf-8"))  # it answers signals from its first step on
    running.send_signal(number)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 128 + number and "goes on from there" in said
    assert "stopped and saved at step" in printed.read_text(encoding="utf-8")
    assert paper_experiment.steps_done(printed.parent) > 0


def wait_for(is_so, seconds=60.0):
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)


@pytest.mark.parametrize(
    "options, says", [(["--steps", "0"], "above 0"), (["--minutes", "-1"], "above 0"), (["--out", "/no/such"], "no folder")]
)
def test_options_that_cannot_be_are_refused(options, says, capsys):
    with pytest.raises(SystemExit) as left:
        paper_experiment.parse_arguments(options)
    assert left.value.code == 2 and says in capsys.readouterr().err
