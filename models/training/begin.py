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
    if not args.out.parent.is_dir():
        refuse(f"there is no folder {args.out.parent} to write {args.out.name} into; make it first")
    try:
        stored, shape = load_checkpoint(args.checkpoint), read_shape(args.model)
        average = change(stored, shape)
        torch.save({**stored, "average": average, "net": {}, "optimizer": {}, "step": 0, "model": shape.to_dict()}, args.out)
    except (DataError, ValueError) as error:  # a network that is no TwoStageNet has other fields, or none
        refuse(str(error))
