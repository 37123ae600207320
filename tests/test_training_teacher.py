"""A cheaper network that begins from a trained one, and what it learns from a teacher."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from rt_melody.models.config import ModelConfig, load_config
from rt_melody.models.network import Output, TwoStageNet
from rt_melody.models.torchscript import save_model
from rt_melody.models.training import tiny, train
from rt_melody.models.training.begin import begin
from rt_melody.models.training.coarsen import coarse_kernel, coarsened
from rt_melody.models.training.data import DataError
from rt_melody.models.training.grow import grown
from rt_melody.models.training.teacher import Taught, Teacher, later, teacher_loss

CONFIG = ModelConfig(
    name="pupil", long_filters=30, positions=12, bins_per_position=2, short_filters=8, channels=4, branch_channels=2,
    dilations=(1,), context_size=6, look_ahead_ms=(0.0, 4.0, 9.0, 39.0, 89.0),
)


# ---- beginning from a finer network ------------------------------------------------------------


@pytest.mark.parametrize("coarseness, width", [(2, 7), (2, 3), (3, 5), (1, 15)])
def test_a_coarse_kernel_answers_what_rises_evenly_as_the_fine_one_does(coarseness, width):
    """Between two coarse positions the mean is exact for a straight line, and so is the answer at every coarse position where
    the kernel is wide enough."""
    fine = torch.randn(2, 3, 1, min(15, 2 * coarseness * (width // 2) + 1), dtype=torch.float64)
    coarse = coarse_kernel(fine, coarseness, width)
    assert coarse.shape == (2, 3, 1, width)
    line = torch.arange(120, dtype=torch.float64).expand(1, 3, 1, -1) * torch.tensor([1.0, -0.5, 2.0])[:, None, None] + 3.0
    at_fine = F.conv2d(line, fine, padding=(0, fine.size(3) // 2))[..., ::coarseness]
    at_coarse = F.conv2d(line[..., ::coarseness], coarse, padding=(0, width // 2))
    inside = slice(width, -width)
    torch.testing.assert_close(at_coarse[..., inside], at_fine[..., inside], rtol=0, atol=1e-9)


def test_what_a_coarse_kernel_cannot_reach_is_met_at_its_edge():
    fine = torch.zeros(1, 1, 1, 15)
    fine[..., 0], fine[..., 7], fine[..., 8] = 1.0, 10.0, 4.0  # 7 below, in the middle, 1 above
    assert coarse_kernel(fine, 2, 7).flatten().tolist() == [1.0, 0.0, 0.0, 12.0, 2.0, 0.0, 0.0]


def test_coarse_weights_fit_and_what_has_no_positions_is_the_same():
    fine, coarse = load_config("live"), load_config("light")
    source = TwoStageNet(fine).state_dict()
    taken = coarsened({"model": fine.to_dict(), "average": source}, coarse)
    net = TwoStageNet(coarse)
    net.load_state_dict(taken)  # every name, every shape
    for name in ("long_bank.weight", "stem.0.weight", "recurrent.weight_hh_l0", "blocks.2.reduce.0.weight", "refine.0.weight"):
        torch.testing.assert_close(taken[name], source[name], rtol=0, atol=0)
    heads = taken["pitch.weight"].unflatten(0, (len(fine.look_ahead_ms), -1))[..., 0, 0]
    own = source["pitch.weight"].unflatten(0, (len(fine.look_ahead_ms), -1))[..., 0, 0]
    torch.testing.assert_close(heads, torch.cat([own, own], 1))  # a position's bins, and likewise those of the one above it


@pytest.mark.parametrize("other", [{"channels": 6}, {"look_ahead_ms": (0.0,)}, {"positions": 14}])
def test_networks_that_differ_in_more_are_refused(other):
    fine = CONFIG
    stored = {"model": fine.to_dict(), "average": TwoStageNet(fine).state_dict()}
    with pytest.raises(DataError, match="they differ in more than the positions of stage 2"):
        coarsened(stored, ModelConfig(**{**fine.to_dict(), "name": "coarse", "coarseness": 2, **other}))


def test_the_command_leaves_what_a_training_begins_from(tmp_path, capsys):
    trained = tmp_path / "fine.pt"
    fine = load_config("live")
    weights = TwoStageNet(fine).state_dict()
    torch.save({"net": {}, "average": weights, "optimizer": {}, "step": 7, "training": {}, "model": fine.to_dict()}, trained)
    begin("", coarsened, ["--checkpoint", str(trained), "--model", "light", "--out", str(tmp_path / "start.pt")])
    net = TwoStageNet(load_config("light"))
    train.take_weights(tmp_path / "start.pt", net, TwoStageNet(load_config("light")), "cpu")
    torch.testing.assert_close(net.long_bank.weight, weights["long_bank.weight"])
    for options in (["--model", "paper"], ["--model", "nothing"]):
        with pytest.raises(SystemExit) as left:
            begin("", coarsened, ["--checkpoint", str(trained), *options, "--out", str(tmp_path / "other.pt")])
        assert left.value.code == 2 and len(capsys.readouterr().err.strip().splitlines()) == 1
    with pytest.raises(SystemExit):
        begin("", coarsened, ["--checkpoint", str(trained), "--model", "light", "--out", str(tmp_path / "gone" / "x.pt")])
    assert "cannot be written; give the name of a file in a folder that exists" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        begin("", coarsened, ["--checkpoint", str(trained), "--model", "light", "--out", str(tmp_path)])
    assert "cannot be written" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        begin("", grown, ["--checkpoint", str(trained), "--model", "mcdnn", "--out", str(tmp_path / "x.pt")])
    assert "must both be of the family live" in capsys.readouterr().err


# ---- beginning from a smaller network ----------------------------------------------------------


def test_a_grown_network_hears_what_the_smaller_one_heard():
    torch.manual_seed(1)
    small = TwoStageNet(tiny.SMALL)
    for norm in (m for m in small.modules() if isinstance(m, torch.nn.BatchNorm2d)):  # as after a training
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        norm.running_mean = 0.1 * torch.randn_like(norm.weight)
    shape = replace(tiny.SMALL, name="large", dilations=(*tiny.SMALL.dilations, 1, 4), harmonics=(1.0, 0.5, *tiny.SMALL.harmonics[2:], 8.0))
    large = TwoStageNet(shape)
    large.load_state_dict(grown({"model": tiny.SMALL.to_dict(), "average": small.state_dict()}, shape))
    sound = 0.1 * torch.randn(1, 40 * 160)
    for said, before in zip(large.eval().whole(sound), small.eval().whole(sound)):
        torch.testing.assert_close(said, before, rtol=0, atol=1e-5)
    large.train().whole(sound).pitch_logits.square().sum().backward()
    for name, p in large.named_parameters():
        if name in ("stem.0.weight", "blocks.2.project.1.weight", "blocks.3.project.1.weight"):
            assert p.grad is not None and (p.grad != 0.0).any(), f"{name} can learn"


@pytest.mark.parametrize(
    "other", [{"dilations": (2, 1, 4)}, {"dilations": (1,)}, {"harmonics": (1.0, 2.0)}, {"channels": 8}, {"coarseness": 2}]
)
def test_networks_that_are_no_larger_are_refused(other):
    stored = {"model": tiny.SMALL.to_dict(), "average": TwoStageNet(tiny.SMALL).state_dict()}
    with pytest.raises(DataError, match="cannot grow from one tiny: it must have its blocks and its harmonics"):
        grown(stored, replace(tiny.SMALL, name="other", **other))


# ---- a teacher ---------------------------------------------------------------------------------


def test_a_later_moment_between_two_hops_is_the_mean_of_both():
    rows = torch.arange(6.0)[None, :, None]
    assert later(rows, 2.0).flatten().tolist() == [2.0, 3.0, 4.0, 5.0]
    assert later(rows, 1.5).flatten().tolist() == [1.5, 2.5, 3.5, 4.5]
    assert later(rows, 0.0).flatten().tolist() == rows.flatten().tolist()


def moments_ms(delay_ms, hops):
    return [CONFIG.hop_ms * (i + 1) - delay_ms for i in range(hops)]


def test_a_head_is_taught_of_the_moment_that_it_speaks_of():
    """A teacher that says the moment itself, as a pitch bin: every head that says its own moment costs the entropy, which is
    the least there is, and one that is a hop late costs more."""
    hops = 30
    bins = CONFIG.pitch_bins

    def spread(moment_ms):
        """Probabilities of the bins around a moment, 40 ms a bin."""
        at = moment_ms / 40.0 + 4.0
        weights = torch.exp(-0.5 * (torch.arange(bins, dtype=torch.float64) - at) ** 2)
        return weights / weights.sum()

    taught = Taught(torch.stack([spread(m) for m in moments_ms(89.0, hops)])[None], torch.full((1, hops), 0.5), 89.0)
    loss = {}
    for late_ms in (0.0, 10.0, 20.0):
        said = [[spread(m - late_ms) for m in moments_ms(delay, hops)] for delay in CONFIG.look_ahead_ms]
        logits = torch.log(torch.stack([torch.stack(head) for head in said]))[None]
        loss[late_ms], voicing = teacher_loss(Output(logits, torch.zeros(1, hops, len(said))), taught, CONFIG)
    entropy = -sum(float((p * torch.log(p)).sum()) for p in map(spread, moments_ms(0.0, 10))) / 10
    assert float(loss[0.0]) == pytest.approx(entropy, rel=0.02)
    assert loss[0.0] < loss[10.0] < loss[20.0]
    assert float(voicing) == pytest.approx(math.log(2.0))  # both are undecided


def test_the_teacher_loss_by_hand():
    """One head, as late as the teacher: two hops, the second surely sung."""
    config = ModelConfig(**{**CONFIG.to_dict(), "look_ahead_ms": (0.0,)})
    pitch = torch.zeros(1, 2, config.pitch_bins)
    pitch[0, 0, 3], pitch[0, 1, 5] = 1.0, 1.0
    logits = torch.zeros(1, 1, 2, config.pitch_bins)
    logits[0, 0, 1, 5] = 2.0
    taught = Taught(pitch, torch.tensor([[0.25, 1.0]]), 0.0)
    told_pitch, told_voicing = teacher_loss(Output(logits, torch.tensor([[[0.0], [1.0]]])), taught, config)
    bins = config.pitch_bins
    first, second = math.log(bins), math.log(bins - 1 + math.exp(2.0)) - 2.0
    assert float(told_pitch) == pytest.approx((0.25 * first + second) / 1.25, rel=1e-5)
    assert float(told_voicing) == pytest.approx((math.log(2.0) + math.log(1 + math.exp(-1.0))) / 2, rel=1e-5)


def test_what_nobody_can_say_yet_is_left_out():
    """The last hops of early heads, of which the teacher would speak after the end, and the moments before time 0."""
    hops = 20
    taught = Taught(torch.full((1, hops, CONFIG.pitch_bins), 1.0 / CONFIG.pitch_bins), torch.full((1, hops), 0.5), 89.0)
    logits = torch.zeros(1, len(CONFIG.look_ahead_ms), hops, CONFIG.pitch_bins, requires_grad=True)
    voicing = torch.zeros(1, hops, len(CONFIG.look_ahead_ms), requires_grad=True)
    wrong = torch.zeros_like(logits)
    wrong[..., 0] = torch.arange(hops, dtype=torch.float32)  # so that every hop that counts has a gradient
    pitch_loss, voicing_loss = teacher_loss(Output(logits + wrong, voicing + 1.0), taught, CONFIG)
    (pitch_loss + voicing_loss).backward()
    assert logits.grad is not None and voicing.grad is not None
    for head, delay_ms in enumerate(CONFIG.look_ahead_ms):
        counts = [hop for hop in range(hops) if voicing.grad[0, hop, head] != 0]
        last_ms = moments_ms(89.0, hops)[-1]
        expected = [i for i, m in enumerate(moments_ms(delay_ms, hops)) if i >= math.ceil(delay_ms / 10.0) and m <= last_ms]
        assert counts == expected, delay_ms


def saved(path, config):
    torch.manual_seed(3)
    net = TwoStageNet(config).eval()
    save_model(path, net, {})
    return net


@torch.no_grad()
def test_a_teacher_is_heard_through_its_last_head(tmp_path):
    net = saved(tmp_path / "t.pt", CONFIG)
    wave = torch.randn(2, 160 * 25) * 0.1
    taught = Teacher(tmp_path / "t.pt", CONFIG)(wave)
    whole = net.whole(wave)
    torch.testing.assert_close(taught.pitch, torch.softmax(whole.pitch_logits[:, -1], 2), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(taught.voicing, torch.sigmoid(whole.voicing_logits[:, :, -1]), rtol=1e-3, atol=1e-4)
    assert taught.delay_ms == 89.0


def test_a_teacher_of_other_pitches_and_one_that_is_none_are_a_sentence(tmp_path):
    saved(tmp_path / "t.pt", CONFIG)
    with pytest.raises(DataError, match="has other pitch bins or hops"):
        Teacher(tmp_path / "t.pt", ModelConfig(**{**CONFIG.to_dict(), "f_min_hz": 60.0}))
    (tmp_path / "no.pt").write_bytes(b"nothing")
    for name in ("no.pt", "gone.pt"):
        with pytest.raises(DataError, match="model file"):
            Teacher(tmp_path / name, CONFIG)


@pytest.mark.training
def test_a_run_learns_from_its_teacher(tmp_path):
    """With and without one the same examples leave other weights, and a teacher of weight 0 is none."""
    tiny.main(["--out", str(tmp_path / "made")])
    left = []
    for i, options in enumerate(([], ["--teacher", str(tmp_path / "made" / "tiny.pt")])):
        for weight in (1.0, 0.0):
            out = tmp_path / f"{i}{weight}"
            out.mkdir()
            config = tiny.write_configs(out, teacher_weight=weight)
            train.main(["--config", str(config), "--data", str(tmp_path / "made" / "data"), "--out", str(out), *options])
            left.append(train.load_checkpoint(out / "last.pt")["average"]["summary.weight"])
    alone, alone_too, taught, weightless = left
    torch.testing.assert_close(alone, alone_too, rtol=0, atol=0)
    torch.testing.assert_close(weightless, alone, rtol=0, atol=1e-6)
    assert not any(torch.equal(taught, other) for other in (alone, weightless))
    assert all(bool(torch.isfinite(weights).all()) for weights in left)
