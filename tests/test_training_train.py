"""The training command on a made data set: it learns, stops, goes on bit for bit, starts from others' weights, exports."""

import os
import signal
import sys

import numpy as np
import pytest
import torch
import yaml

from rt_melody.models.config import ModelConfig
from rt_melody.models.network import TwoStageNet
from rt_melody.models.paper import PaperNet, peak_order
from rt_melody.models.streaming import StreamingModel
from rt_melody.models.training import evaluate, export, tiny, train
from rt_melody.models.training.data import DataError
from rt_melody.models.training.validate import Figures


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the tiny command leaves: data, configurations, a run of three steps, an exported model."""
    folder = tmp_path_factory.mktemp("made")
    tiny.main(["--out", str(folder)])
    return folder


def run(made, out, *options, **changes):
    """Train by the command's own function in ``out``; the checkpoint it leaves."""
    out.mkdir(exist_ok=True)
    config = tiny.write_configs(out, **changes)
    train.main(["--config", str(config), "--data", str(made / "data"), "--out", str(out), *options])
    return train.load_checkpoint(out / "last.pt")


def same(a, b):
    """Whether two trees of tensors and numbers are bit for bit alike."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def signal_in_step(monkeypatch, number, wanted):
    """Send ourselves a signal while the loss of step ``wanted`` (from 1) is worked out."""
    loss, calls = train.melody_loss, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == wanted:
            os.kill(os.getpid(), number)
        return loss(*args)

    monkeypatch.setattr(train, "melody_loss", interrupted)


# --- the loop


def test_the_tiny_run_is_whole(made):
    stored = train.load_checkpoint(made / "run" / "last.pt")
    assert stored["step"] == 3 and stored["model"]["name"] == "tiny" and stored["training"]["seed"] == 7
    lines = (made / "run" / "log.txt").read_text().splitlines()
    assert len(lines) == 3 and lines[1].startswith("step 3 at") and "look-ahead 20 ms: mixture OA" in lines[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_and_resumed_equals_unbroken(made, tmp_path, monkeypatch, capsys, number):
    changes = {"steps": 4, "decay_steps": 2, "save_every": 100, "validate_every": 100}
    whole = run(made, tmp_path / "whole", **changes)
    with monkeypatch.context() as patch:
        signal_in_step(patch, number, 2)
        with pytest.raises(SystemExit) as left:
            run(made, tmp_path / "broken", **changes)
    assert left.value.code == 128 + number
    assert "saved at step 2 of 4" in capsys.readouterr().out
    assert train.load_checkpoint(tmp_path / "broken" / "last.pt")["step"] == 2
    assert not (tmp_path / "broken" / "log.txt").exists()  # whoever stops a run does not wait for a validation
    resumed = run(made, tmp_path / "broken", **changes)
    for part in ("step", "net", "average", "optimizer"):
        assert same(resumed[part], whole[part]), part
    assert not same(whole["net"], train.load_checkpoint(made / "run" / "last.pt")["net"])


def test_the_signals_are_given_back(made, tmp_path):
    before = [signal.getsignal(number) for number in train.StopRequest.SIGNALS]
    run(made, tmp_path, steps=1)
    assert [signal.getsignal(number) for number in train.StopRequest.SIGNALS] == before


def test_denormals_are_given_back(made, tmp_path, monkeypatch):
    meant, seen = train.train, []
    monkeypatch.setattr(train, "train", lambda args: seen.append(sys.float_info.min * 0.5) or meant(args))
    run(made, tmp_path / "run", steps=1)
    assert seen == [0.0] and sys.float_info.min * 0.5 > 0.0


def test_a_signal_in_the_last_step_changes_nothing(made, tmp_path, monkeypatch):
    signal_in_step(monkeypatch, signal.SIGTERM, 1)
    assert run(made, tmp_path, steps=1)["step"] == 1 and (tmp_path / "log.txt").exists()


def test_a_finished_run_stays_as_it_is(made, tmp_path):
    assert same(run(made, tmp_path, steps=1), run(made, tmp_path, steps=1))


def test_a_run_says_what_it_trains_on_and_what_is_not_there(made, tmp_path, capsys):
    run(made, tmp_path / "plain", steps=1)
    told = capsys.readouterr().out.splitlines()[0]
    assert told.startswith("training on 4 clips of 2 singers or groups, 0 minutes, 0 minutes of music")
    assert told.endswith("not there: voices/train, speech, ssvd/more, prepared")
    (tmp_path / "prepared/music").mkdir(parents=True)
    np.save(tmp_path / "prepared/music/a.npy", np.zeros(60 * 16000, np.int16))
    run(made, tmp_path / "with", "--prepared", str(tmp_path / "prepared"), steps=1)
    assert " 1 minutes of music without a voice" in capsys.readouterr().out.splitlines()[0]


def test_training_lowers_the_loss(made, tmp_path, monkeypatch):
    """The same examples at every step: a dozen steps must learn them a little."""
    monkeypatch.setattr(train.Examples, "__getitem__", lambda self, key: example_of(self, key[1]))
    losses, loss = [], train.melody_loss

    def noted(*args):
        found = loss(*args)
        losses.append(sum(part.item() for part in found))
        return found

    monkeypatch.setattr(train, "melody_loss", noted)
    run(made, tmp_path, steps=12, decay_steps=1, validate_every=100, learning_rate=0.01)
    assert len(losses) == 12 and losses[-1] < 0.8 * losses[0]


def example_of(examples, index):
    example = examples.maker.make(0, index)
    return torch.from_numpy(example.waveform), torch.from_numpy(example.pitch)


def test_a_run_can_begin_with_the_weights_of_another(made, tmp_path):
    other = made / "run" / "last.pt"
    stored = run(made, tmp_path, "--init-from", str(other), steps=1, learning_rate=1e-12)
    given = train.load_checkpoint(other)["average"]
    for name, weight in stored["net"].items():
        if "running" not in name and "num_batches" not in name:  # statistics follow the data, not the rate
            torch.testing.assert_close(weight, given[name], rtol=0, atol=1e-9)
    assert stored["step"] == 1 and {float(s["step"]) for s in stored["optimizer"]["AdamW"]["state"].values()} == {1.0}


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon from 2.9 on")
def test_a_run_goes_on_with_its_own_optimisers_alone(made, tmp_path, capsys):
    run(made, tmp_path, steps=1)
    with pytest.raises(SystemExit) as left:
        run(made, tmp_path, steps=2, muon=False)
    assert left.value.code == 2
    assert "cannot be gone on from (it was trained by AdamW and Muon, not by AdamW); set muon as it was" in capsys.readouterr().err


def test_a_run_that_has_begun_keeps_its_own_weights(made, tmp_path):
    going_on = []
    for name, options in (("plain", ()), ("given", ("--init-from", str(made / "run" / "last.pt")))):
        run(made, tmp_path / name, steps=1)
        going_on.append(run(made, tmp_path / name, *options, steps=2))
    assert going_on[0]["step"] == 2
    assert same(going_on[0]["net"], going_on[1]["net"]) and same(going_on[0]["average"], going_on[1]["average"])


def test_the_average_follows_and_keeps_the_rest():
    net, average = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    with torch.no_grad():
        net.weight.fill_(3.0)
        net.num_batches_tracked.fill_(5)
    train.follow(average, net, 0.75)
    assert average.weight.tolist() == [1.5, 1.5] and int(average.num_batches_tracked) == 5


def test_the_rate_warms_up_stays_and_falls_to_zero():
    config = train.TrainConfig(steps=100, warmup_steps=10, decay_steps=20)
    assert [train.schedule(step, config) for step in (0, 4, 9, 50, 80, 90, 99)] == pytest.approx([0.1, 0.5, 1, 1, 1, 0.5, 0.05])


def test_validation_clips_are_spread():
    assert train.spread(list(range(90)), 30) == list(range(0, 90, 3))
    assert train.spread([1, 2], 30) == [1, 2] and train.spread([], 30) == []


def test_the_bar_tells_first_and_last_head():
    scores = [Figures(i / 10, 0, 0, 0) for i in range(8)]
    told = train.summary((0, 5, 10, 20, 30, 40, 60, 90), scores, scores[::-1], 600)
    assert told == "| OA at step 600: 0 ms 0.000/0.700, 10 ms 0.200/0.500, 40 ms 0.500/0.200, 90 ms 0.700/0.000"
    assert train.summary((0,), scores[:1], scores[:1], 5).endswith("0 ms 0.000/0.000")


# --- export


def test_the_exported_model_is_the_average_and_says_where_it_came_from(made):
    stored = train.load_checkpoint(made / "run" / "last.pt")
    model = StreamingModel(made / "tiny.pt")
    assert model.config == ModelConfig.from_dict(stored["model"]) and model.heads_ms == (0, 20, 40)
    beside = yaml.safe_load((made / "tiny.yaml").read_text())
    assert beside["steps"] == model.provenance["steps"] == 3 and beside["training"]["model"] == "tiny"
    wave = np.random.default_rng(0).standard_normal(12 * 160).astype(np.float32) * 0.1
    average, newest = (last_hop_of_whole(model.config, stored[part], wave) for part in ("average", "net"))
    told = last_hop_of_stream(model, wave)
    np.testing.assert_allclose(told, average, atol=1e-3)
    assert np.abs(told - newest).max() > 3 * np.abs(told - average).max(), "the average, not the newest weights"


@torch.no_grad()
def last_hop_of_whole(config, weights, wave):
    """Pitch logits and, behind them, the voicing logit of the last head at the last hop."""
    net = TwoStageNet(config).eval()
    net.load_state_dict(weights)
    output = net.whole(torch.from_numpy(wave)[None])
    return np.append(output.pitch_logits[0, -1, -1], output.voicing_logits[0, -1, -1])


def last_hop_of_stream(model, wave):
    padded = np.pad(wave, (800, 0))
    for end in range(960, len(padded) + 1, 160):
        model.window[:] = padded[end - 960 : end]
        logits, voicing = model.step()
    return np.append(logits, voicing)


def test_of_several_checkpoints_the_mean_is_exported_and_of_different_models_none(made, tmp_path, capsys):
    stored = train.load_checkpoint(made / "run" / "last.pt")
    paths = []
    for i, by in enumerate((1.0, 3.0)):
        paths.append(tmp_path / f"{i}.pt")
        weights = {name: t * by if t.is_floating_point() else t for name, t in stored["average"].items()}
        told = {k: v for k, v in stored["model"].items() if i or k != "coarseness"}  # as one did that was saved before there was any
        torch.save({**stored, "model": told, "average": weights, "step": i}, paths[-1])
    mean = export.mean_checkpoint(paths)
    assert mean["step"] == 1
    for name, value in mean["average"].items():
        torch.testing.assert_close(value, stored["average"][name] * (2.0 if value.is_floating_point() else 1))
    for other, said in (({"channels": 1}, "different models"), ({"tubes": 1}, "0.pt is of another version")):
        torch.save({**stored, "model": {**stored["model"], **other}}, paths[0])
        with pytest.raises(SystemExit):
            export.main(["--checkpoint", *map(str, paths), "--out", str(tmp_path / "a.pt")])
        assert said in capsys.readouterr().err and not (tmp_path / "a.pt").exists()


def test_the_offline_family_is_not_exported(made, tmp_path, capsys):
    stored = train.load_checkpoint(made / "run" / "last.pt")
    torch.save({**stored, "model": {**stored["model"], "family": "paper"}}, tmp_path / "last.pt")
    with pytest.raises(SystemExit) as left:
        export.main(["--checkpoint", str(tmp_path / "last.pt"), "--out", str(tmp_path / "a.pt")])
    assert left.value.code == 2 and "'paper'" in capsys.readouterr().err


# --- configuration


@pytest.mark.parametrize("name", ["live", "live.yaml"])
def test_a_shipped_configuration_is_found_by_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = train.read_config(name)
    assert config.model == "live" and config.learning_rate == 2e-3
    (tmp_path / "live.yaml").write_text("steps: 5\n")  # a file at hand goes before it
    assert train.read_config("live.yaml").steps == 5


def test_lines_can_be_changed():
    config = train.read_config("live", ["steps=7", "learning_rate=1e-3", "bf16=false", "seconds=2"])
    assert (config.steps, config.learning_rate, config.bf16, config.seconds) == (7, 1e-3, False, 2.0)


@pytest.mark.parametrize(
    "text, changes, words",
    [
        ("steps: 5\n", ["stps=7"], ["unknown key 'stps'", "known are"]),
        ("steps: many\n", [], ["steps is 'many'", "int"]),
        ("steps: 2.5\n", [], ["steps is 2.5", "int"]),
        ("bf16: 1\n", [], ["bf16 is 1", "bool"]),
        ("learning_rate: true\n", [], ["learning_rate is True", "float"]),
        ("batch: 0\n", [], ["batch is 0", "above 0"]),
        ("- steps\n", [], ["key: value"]),
        ("a: b: c\n", [], ["as YAML"]),
        ("steps: 5\n", ["steps"], ["--set steps", "KEY=VALUE"]),
    ],
)
def test_bad_configurations(tmp_path, text, changes, words):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(DataError) as told:
        train.read_config(str(tmp_path / "mine.yaml"), changes)
    assert all(word in str(told.value) for word in words), told.value


def bad_option(made, tmp_path, options):
    config = tiny.write_configs(tmp_path)
    arguments = {"--config": str(config), "--data": str(made / "data"), "--out": str(tmp_path / "out")}
    return [x for pair in {**arguments, **options}.items() for x in pair]


@pytest.mark.parametrize(
    "options, word",
    [
        ({"--config": "nowhere.yaml"}, "shipped: live"),
        ({"--set": "model=nothing"}, "no model configuration"),
        ({"--data": "nowhere"}, "mir-1k"),
        ({"--init-from": "nowhere.pt"}, "no checkpoint"),
        ({"--prepared": "nowhere"}, "make it with training.prepare"),
    ],
)
def test_bad_options_leave_with_a_sentence(made, tmp_path, capsys, options, word):
    with pytest.raises(SystemExit) as left:
        train.main(bad_option(made, tmp_path, options))
    told = capsys.readouterr().err
    assert left.value.code == 2 and word in told and len(told.strip().splitlines()) == 1


@pytest.mark.parametrize("content", [b"no checkpoint", b""])
def test_a_foreign_checkpoint_is_refused(made, tmp_path, capsys, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "last.pt").write_bytes(content)
    with pytest.raises(SystemExit):
        train.main(bad_option(made, tmp_path, {}))
    assert "is not a checkpoint" in capsys.readouterr().err
    assert (tmp_path / "out" / "last.pt").read_bytes() == content  # and left as it is


def test_a_checkpoint_of_another_shape_is_refused(made, tmp_path, capsys):
    other = ModelConfig(**{**tiny.SMALL.to_dict(), "channels": 7})
    shape = tmp_path / "other.yaml"
    shape.write_text(yaml.safe_dump(other.to_dict()))
    with pytest.raises(SystemExit):
        train.main(bad_option(made, tmp_path, {"--init-from": str(made / "run" / "last.pt"), "--set": f"model={shape}"}))
    assert "another shape" in capsys.readouterr().err


def test_a_training_can_begin_from_what_is_shipped_beside_a_model(made, tmp_path):
    """Half precision keeps weights to three digits, and a run begins with them."""
    whole, beside = made / "run" / "last.pt", tmp_path / "trainable.pt"
    export.main(["--checkpoint", str(whole), "--out", str(tmp_path / "m.pt"), "--trainable", str(beside)])
    assert beside.stat().st_size < whole.stat().st_size / 4
    wanted, net = train.load_checkpoint(whole)["average"], TwoStageNet(tiny.SMALL)
    train.take_weights(beside, net, TwoStageNet(tiny.SMALL), "cpu")
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-3, atol=1e-6)


# --- the published recipe


def paper_run(made, out, model, *options):
    """Three steps of a small model of the published family."""
    out.mkdir(exist_ok=True)
    shape = ModelConfig.from_dict({
        **train.read_shape(model).to_dict(), "long_filters": 12, "short_filters": 12, "positions": 40, "channels": 4,
        "branch_channels": 2, "dilations": [1],
    })
    (out / "shape.yaml").write_text(yaml.safe_dump(shape.to_dict()), encoding="utf-8")
    return run(made, out, *options, "--set", f"model={out / 'shape.yaml'}", muon=False)


def test_stage_1_is_pretrained_alone_and_then_taken_in_order(made, tmp_path):
    alone = paper_run(made, tmp_path / "stage1", "paper-stage1")
    shape = ModelConfig.from_dict({**alone["model"], "family": "paper"})
    net, average = PaperNet(shape), PaperNet(shape)
    train.take_stage1(tmp_path / "stage1" / "last.pt", net, average)
    for module in (net, average):
        taken = module.stage1.long_bank.weight.detach().numpy()
        source = alone["average"]["stage1.long_bank.weight"].numpy()
        assert peak_order(taken).tolist() == list(range(12))
        assert sorted(map(bytes, taken)) == sorted(map(bytes, source))


@pytest.mark.parametrize("model", ("paper", "paper-multicnn", "mcdnn", "hybrid"))
def test_the_published_models_train_and_are_evaluated(made, tmp_path, model):
    paper_run(made, tmp_path / "run", model)
    text = evaluate.evaluate(tmp_path / "run" / "last.pt", str(made / "data"), "test", 2)
    assert text.splitlines()[0] == f"{model}, step 3, test" and text.count("OA ") == 2


def test_banks_go_from_stage_1_to_the_paper_only(made, tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        paper_run(made, tmp_path / "run", "paper", "--stage1-from", str(made / "run" / "last.pt"))
    assert left.value.code == 2 and "paper-stage1" in capsys.readouterr().err


def test_the_threshold_is_that_of_the_best_accuracy():
    """Sung frames have probability 0.6, the others 0.45: any threshold between is perfect."""
    truth = np.array([60.0, 60.0, 0.0, 0.0])
    logit = np.log(np.array([0.6, 0.6, 0.45, 0.45]) / np.array([0.4, 0.4, 0.55, 0.55]))
    assert 0.45 <= evaluate.best_threshold([(np.full(4, 60.0), logit, truth)]) < 0.6
