"""Begin a larger network where a trained one stands.

``python -m rt_melody.models.training.grow --checkpoint SMALL --model LARGE.yaml --out START``

The larger network has further blocks after those of the smaller one, further harmonics in its stack, or both. What it adds weighs
nothing at first: a new block passes on what it was given, a new harmonic is not listened to. So the outcome hears exactly what the
smaller one heard, and a training goes on from there: ``train --init-from START``. A new block's last scale begins at zero (Goyal et
al., "Accurate, Large Minibatch SGD", 2017), which the first step moves.
"""

from __future__ import annotations

from torch import Tensor

from rt_melody.models.config import ModelConfig
from rt_melody.models.network import TwoStageNet
from rt_melody.models.training.begin import begin
from rt_melody.models.training.data import DataError

STEM = "stem.0.weight"


def grown(stored: dict, shape: ModelConfig) -> dict[str, Tensor]:
    """The averaged weights of a checkpoint's contents for a network of ``shape``. Raises DataError where that is no larger one."""
    source = ModelConfig.from_dict(stored["model"])
    blocks, more = len(source.dilations), shape.dilations[len(source.dilations) :]
    alike = {name: getattr(shape, name) for name in ("name", "harmonics", "dilations")}
    if (
        {**source.to_dict(), **alike} != {**shape.to_dict(), **alike}
        or shape.dilations[:blocks] != source.dilations
        or not set(source.harmonics) <= set(shape.harmonics)
        or (more and shape.stage2 != "inception")
    ):
        raise DataError(
            f"a network {shape.name} cannot grow from one {source.name}: it must have its blocks and its harmonics, and may have"
            " more of either; all else must be alike"
        )
    taken = TwoStageNet(shape).state_dict()
    for block in range(blocks, len(shape.dilations)):
        taken[f"blocks.{block}.project.1.weight"].zero_()
    for name, tensor in stored["average"].items():
        if name == STEM:
            taken[name].zero_()
            taken[name][:, [shape.harmonics.index(h) for h in source.harmonics]] = tensor.float()
        else:
            taken[name] = tensor.float() if tensor.is_floating_point() else tensor
    return taken


if __name__ == "__main__":
    begin("Begin a network of more blocks or harmonics from a trained one.", grown)
