"""Begin a cheaper network where a trained one stands.

``python -m rt_melody.models.training.coarsen --checkpoint FINE --model light --out START``

The cheaper network's second stage keeps every ``coarseness``-th position. What a kernel met between two of them is taken for the mean
of either side, so that a kernel over fine positions becomes one over coarse ones; what has no positions is taken as it is. The
outcome knows less than the network that it came from, but far more than nothing: train it on with ``train --init-from START
--teacher MODEL``.
"""

from __future__ import annotations

from torch import Tensor

from rt_melody.models.config import ModelConfig
from rt_melody.models.network import TwoStageNet
from rt_melody.models.training.begin import begin
from rt_melody.models.training.data import DataError

FINE = 1  # coarseness of the network that is begun from


def coarse_kernel(weight: Tensor, coarseness: int, width: int) -> Tensor:
    """A kernel ``[out, in, time, positions]`` for every ``coarseness``-th position ``[out, in, time, width]``, both odd.

    What it meets at a fine position between two coarse ones is shared between these, the more the nearer; what lies beyond
    ``width`` is met at its edge. The sum over positions, which is the answer to a constant, stays.
    """
    reach, kept = weight.size(3) // 2, width // 2
    coarse = weight.new_zeros(*weight.shape[:3], width)
    for fine in range(-reach, reach + 1):
        below, part = fine // coarseness, (fine % coarseness) / coarseness
        for at, share in ((below, 1.0 - part), (below + 1, part)):
            coarse[..., max(-kept, min(kept, at)) + kept] += share * weight[..., fine + reach]
    return coarse


def coarsened(stored: dict, shape: ModelConfig) -> dict:
    """The averaged weights of a checkpoint's contents for a network of ``shape``. Raises DataError where that differs in more than
    the positions of its second stage."""
    source = ModelConfig.from_dict(stored["model"])
    alike = {name: getattr(shape, name) for name in ("name", "coarseness", "wide_positions", "narrow_positions")}
    if {**source.to_dict(), **alike} != shape.to_dict() or source.coarseness != FINE:
        raise DataError(f"a network {shape.name} cannot begin from one {source.name}: they differ in more than the positions of stage 2")
    wanted = TwoStageNet(shape).state_dict()
    taken = {}
    for name, tensor in stored["average"].items():
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        if name.startswith("blocks.") and tensor.dim() == 4:
            tensor = coarse_kernel(tensor, shape.coarseness, wanted[name].size(3))
        elif name.startswith("pitch.") and tensor.size(0) != wanted[name].size(0):
            # Every fine position's bins were read alike; now those of several are read from one.
            heads = len(shape.look_ahead_ms)
            tensor = tensor.unflatten(0, (heads, -1)).repeat(1, shape.coarseness, *[1] * (tensor.dim() - 1)).flatten(0, 1)
        taken[name] = tensor
    return taken


if __name__ == "__main__":
    begin("Begin a network of fewer positions from a trained one.", coarsened)
