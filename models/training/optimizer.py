"""AdamW for what a network reads and tells by; for the matrices between, if asked for, Muon.

Muon (Jordan et al., 2024; scaled to AdamW's step as in Liu et al., "Muon is Scalable for LLM Training", 2025) steps alike in every
direction of a matrix, where AdamW follows the few that its gradients are strong in. It is torch's own, which takes matrices
alone: a kernel is handed to it as one row of numbers an output channel, in the kernel's own memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

BETAS = (0.9, 0.98)
INNER = ("stem", "blocks", "summary", "recurrent", "condition", "refine")  # parts of a live network between what hears and what tells


def as_matrix(tensor: Tensor) -> Tensor:
    """A kernel ``[out, in, time, positions]`` as ``[out, the rest]``, in whatever order it lies in memory; a matrix as it is."""
    return tensor if tensor.dim() == 2 else tensor.permute(0, 2, 3, 1).reshape(tensor.size(0), -1)


class Optimizer:
    """Of a whole network. Its banks learn at ``bank_rate`` times the rate that is set; they, biases and norms without decay. Raises
    ValueError where Muon is asked for and torch has none, no part of the network is one of INNER, or kernels lie otherwise in memory."""

    def __init__(self, net: nn.Module, bank_rate: float, weight_decay: float, muon: bool):
        banks, matrices, others, self._inner = [], [], [], []
        for name, p in net.named_parameters():
            if muon and p.dim() > 1 and name.split(".")[0] in INNER:
                self._inner.append(p)
            else:
                (banks if "bank" in name else matrices if p.dim() > 1 else others).append(p)
        groups = [
            {"params": banks, "rate": bank_rate, "weight_decay": 0.0},
            {"params": matrices, "rate": 1.0},
            {"params": others, "rate": 1.0, "weight_decay": 0.0},
        ]
        self._several: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, weight_decay=weight_decay, betas=BETAS)]
        self._matrices: list[nn.Parameter] = []
        if muon and not self._inner:
            raise ValueError("this network has no parts that Muon is for; take --set muon=false")
        if self._inner:
            if not hasattr(torch.optim, "Muon"):
                raise ValueError(f"torch {torch.__version__} has no Muon; take 2.9 or newer, or --set muon=false")
            self._matrices = [nn.Parameter(self._shared(p)) for p in self._inner]
            inner = [{"params": self._matrices, "rate": 1.0}]
            self._several.append(torch.optim.Muon(inner, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"))

    @staticmethod
    def _shared(kernel: Tensor) -> Tensor:
        matrix = as_matrix(kernel.detach())
        if matrix.data_ptr() != kernel.data_ptr():
            raise ValueError("the network's kernels must lie channels last, as train makes them")
        return matrix

    def set_rate(self, rate: float) -> None:
        for optimizer in self._several:
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * rate

    def zero_grad(self) -> None:
        for p in self._inner:
            p.grad = None
        for optimizer in self._several:
            optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        for p, matrix in zip(self._inner, self._matrices):
            matrix.grad = None if p.grad is None else as_matrix(p.grad)
        for optimizer in self._several:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        return {type(optimizer).__name__: optimizer.state_dict() for optimizer in self._several}

    def load_state_dict(self, stored: dict[str, Any]) -> None:
        """Raises ValueError for the state of other optimisers. That of AdamW alone may stand by itself, as 0.7 wrote it."""
        stored = {"AdamW": stored} if "param_groups" in stored else stored
        names = [type(optimizer).__name__ for optimizer in self._several]
        if sorted(stored) != sorted(names):
            raise ValueError(f"it was trained by {' and '.join(stored)}, not by {' and '.join(names)}")
        for name, optimizer in zip(names, self._several):
            optimizer.load_state_dict(stored[name])
