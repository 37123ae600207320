"""AdamW and Muon side by side: what learns how fast, and that a kernel learns as the matrix that it is."""

from __future__ import annotations

import pytest
import torch

from rt_melody.models.network import TwoStageNet
from rt_melody.models.training import optimizer as made
from rt_melody.models.training import tiny

RATE = 1e-3
needs_muon = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon from 2.9 on")


def net_and_gradients() -> TwoStageNet:
    torch.manual_seed(3)
    net = TwoStageNet(tiny.SMALL).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    for p in net.parameters():
        p.grad = torch.randn_like(p)
    return net


def some_state(net: TwoStageNet) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def moved(muon: bool, decay: float = 0.0) -> dict[str, torch.Tensor]:
    net = net_and_gradients()
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    optimizer = made.Optimizer(net, 0.3, decay, muon)
    optimizer.set_rate(RATE)
    optimizer.step()
    return {name: p.detach() - before[name] for name, p in net.named_parameters()}


@pytest.mark.parametrize("muon", [False, pytest.param(True, marks=needs_muon)])
def test_every_weight_learns_and_stage_1_slower(muon):
    for name, by in moved(muon).items():
        outside = name.split(".")[0] not in made.INNER or by.dim() == 1
        expected = RATE * (0.3 if "bank" in name else 1.0)
        if outside or not muon:  # the first step of AdamW is the rate, up or down
            torch.testing.assert_close(by.abs(), torch.full_like(by, expected), rtol=1e-2, atol=1e-6)
        else:
            assert (by != 0.0).float().mean() > 0.99, name


@pytest.mark.parametrize("muon", [False, pytest.param(True, marks=needs_muon)])
def test_kernels_and_matrices_decay_and_banks_biases_and_norms_do_not(muon):
    by, decayed = moved(muon), moved(muon, decay=1.0)
    torch.manual_seed(3)
    for name, p in TwoStageNet(tiny.SMALL).named_parameters():
        lost = -RATE * p.detach() if p.dim() > 1 and "bank" not in name else torch.zeros_like(p)
        torch.testing.assert_close(decayed[name] - by[name], lost, rtol=0, atol=2e-6)


@needs_muon
def test_muon_steps_alike_in_every_direction():
    by = made.as_matrix(moved(True)["blocks.0.motion.conv.weight"])
    strengths = torch.linalg.svdvals(by) / (RATE * 0.2 * max(by.shape) ** 0.5)
    assert strengths.min() > 0.5 and strengths.max() < 1.4, "of the gradient's they are all different"


@needs_muon
def test_a_kernel_learns_as_its_copy_in_a_matrix():
    net = net_and_gradients()
    kernel = dict(net.named_parameters())["blocks.0.wide.conv.weight"]
    twin = torch.nn.Parameter(kernel.detach().flatten(1).clone())
    plain = torch.optim.Muon([twin], lr=RATE, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    optimizer = made.Optimizer(net, 0.3, 0.01, True)
    optimizer.set_rate(RATE)
    for _ in range(3):
        kernel.grad = torch.randn_like(kernel)
        twin.grad = kernel.grad.flatten(1)
        optimizer.step()
        plain.step()
    torch.testing.assert_close(kernel.detach().flatten(1), twin.detach(), rtol=0, atol=2e-5)  # bfloat16 sums in another order


@needs_muon
def test_nothing_is_left_of_a_step_s_gradients():
    net = net_and_gradients()
    optimizer = made.Optimizer(net, 0.3, 0.0, True)
    optimizer.set_rate(0.0)
    optimizer.step()
    optimizer.zero_grad()
    optimizer.set_rate(RATE)
    assert all(p.grad is None for p in net.parameters())
    before = some_state(net)
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before.values(), net.state_dict().values()))


@needs_muon
def test_its_state_goes_on():
    a, b = net_and_gradients(), net_and_gradients()
    first, second = (made.Optimizer(net, 0.3, 0.01, True) for net in (a, b))
    for optimizer in (first, second):
        optimizer.set_rate(RATE)
    first.step()
    second.step()
    third = made.Optimizer(b, 0.3, 0.01, True)
    third.load_state_dict(second.state_dict())
    third.set_rate(RATE)
    first.step()
    third.step()
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))


@needs_muon
def test_what_it_cannot_learn_is_refused(monkeypatch):
    net = TwoStageNet(tiny.SMALL)  # its kernels lie as they were made
    with pytest.raises(ValueError, match="channels last"):
        made.Optimizer(net, 0.3, 0.0, True)
    plain = made.Optimizer(net, 0.3, 0.0, False)
    with pytest.raises(ValueError, match="by AdamW and Muon, not by AdamW"):
        plain.load_state_dict({"AdamW": {}, "Muon": {}})
    plain.load_state_dict(plain.state_dict()["AdamW"])  # as 0.7 wrote it
    with pytest.raises(ValueError, match="no parts that Muon is for"):
        made.Optimizer(torch.nn.Linear(2, 2), 0.3, 0.0, True)
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(ValueError, match="has no Muon; take 2.9 or newer"):
        made.Optimizer(net, 0.3, 0.0, True)
