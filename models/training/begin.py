"""The command of those tools that begin one network where another, trained one stands (``coarsen``, ``grow``)."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from rt_melody.models.config import ModelConfig
from rt_melody.models.training.data import DataError, refuse
from rt_melody.models.training.train import load_checkpoint, read_shape

Change = Callable[[dict, ModelConfig], dict[str, Tensor]]  # a checkpoint's contents and the wanted shape -> averaged weights of that shape


def begin(description: str, change: Change, arguments: Sequence[str] | None = None) -> None:
    """The command. Leaves with status 2 on bad input."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--checkpoint", required=True, type=Path, help="of the trained network, such as models/weights/live-trainable.pt")
    parser.add_argument("--model", required=True, help="the configuration to begin: a shipped one's name, or a YAML file")
    parser.add_argument("--out", required=True, type=Path, help="the checkpoint to train on from, with --init-from")
    args = parser.parse_args(arguments)
    if args.out.is_dir() or not args.out.parent.is_dir():
        refuse(f"--out {args.out} cannot be written; give the name of a file in a folder that exists")
    try:
        stored, shape = load_checkpoint(args.checkpoint), read_shape(args.model)
        if {shape.family, ModelConfig.from_dict(stored["model"]).family} != {"live"}:
            raise DataError(f"{args.checkpoint} and {args.model} must both be of the family live; the others are trained from nothing")
        average = change(stored, shape)
    except (DataError, ValueError) as error:
        refuse(str(error))
    try:
        torch.save({**stored, "average": average, "net": {}, "optimizer": {}, "step": 0, "model": shape.to_dict()}, args.out)
    except (OSError, RuntimeError) as error:  # torch's own of a file that cannot be written
        refuse(f"--out {args.out} cannot be written ({str(error).splitlines()[0]}); choose another place")
