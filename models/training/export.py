"""Turn a checkpoint into the files that are shipped.

``python -m rt_melody.models.training.export --checkpoint runs/live/last.pt --out models/weights/live.pt``
writes the compiled model and, beside it, ``live.yaml``: its checksum and where it came from.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from torch import Tensor

from rt_melody.models.config import ModelConfig
from rt_melody.models.network import TwoStageNet
from rt_melody.models.torchscript import save_model
from rt_melody.models.training.data import DataError, refuse
from rt_melody.models.training.train import load_checkpoint

DATA_NOTE = (
    "MIR-1K (Hsu and Jang 2010) training singers; clean singing of fifty more, from demo pages of singing synthesis; "
    "takes of SSVD 2.0; FDA's speech (Bagshaw 1993); remixed and shifted; synthetic singing and bands, music of free "
    "games; G. Hu's noises; room responses. Neither recordings nor labels are part of this file."
)


def mean_checkpoint(paths: Sequence[Path]) -> dict:
    """The last of these checkpoints with the mean of all their averaged weights, statistics of normalisation among
    them. Raises DataError where they are not of one model.

    The mean of weights that one training went on from to the other's often keeps what either is better at, at the cost of
    one network (Wortsman et al., "Model soups", ICML 2022).
    """
    stored = [load_checkpoint(path) for path in paths]
    last = stored[-1]
    for path, other in zip(paths, stored):
        if shape_of(path, other) != shape_of(paths[-1], last):
            raise DataError(f"{path} and {paths[-1]} are of different models; only weights of one model have a mean")
    for name, tensor in last["average"].items():
        if tensor.is_floating_point():
            every = torch.stack([other["average"][name].double() for other in stored])
            last["average"][name] = (every.sum(0) / len(stored)).to(tensor.dtype)
    return last


def shape_of(path: Path, stored: dict) -> ModelConfig:
    """What a checkpoint's contents state, of which an older one states less, as all else is usual. Raises DataError."""
    try:
        return ModelConfig.from_dict(stored["model"])
    except ValueError as error:
        raise DataError(f"{path} is of another version of this program ({error}); export it there") from error


def export(stored: dict, out: Path, note: str, data: str = DATA_NOTE) -> None:
    """Averaged weights of a checkpoint's contents -> ``out`` and its provenance beside it. Raises DataError."""
    config = ModelConfig.from_dict(stored["model"])
    if config.family != "live":
        raise DataError(f"a model of the family {config.family!r} cannot be exported; only 'live' runs as a stream")
    net = TwoStageNet(config)
    net.load_state_dict(halved_weights(stored["average"]))
    provenance = {
        "architecture": "two-stage multi-resolution CNN, reconstructed from Chen, Li, Chi (ICASSP 2019), made causal",
        "data": data,
        "steps": stored["step"],
        "training": {**stored["training"], "model": config.name},
        "note": note,
    }
    save_model(out, net, provenance)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    beside = {"file": out.name, "sha256": digest, **provenance}
    out.with_suffix(".yaml").write_text(yaml.safe_dump(beside, sort_keys=False, width=110), encoding="utf-8")


def slim(stored: dict, out: Path) -> None:
    """The averaged weights in half precision, in a checkpoint's form: enough to begin a training from
    (``--init-from``), to evaluate and to export."""
    torch.save({**stored, "average": halved_weights(stored["average"]), "net": {}, "optimizer": {}}, out)


def halved_weights(average: dict[str, Tensor]) -> dict[str, Tensor]:
    """In half precision, the program's and those to begin from alike: what it rounds off is less than what a step of training moves."""
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in average.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Turn a checkpoint into shipped weights.")
    parser.add_argument("--checkpoint", required=True, type=Path, nargs="+", help="of several, the mean of their averaged weights")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--trainable", type=Path, help="write here, too, what a training can begin from")
    parser.add_argument("--note", default="", help="one sentence for the provenance")
    args = parser.parse_args(arguments)
    for path in filter(None, (args.out, args.trainable)):
        if not path.parent.is_dir():
            refuse(f"there is no folder {path.parent} to write {path.name} into; make it first")
        if path.is_dir():
            refuse(f"{path} is a folder; give the name of a file")
    try:
        stored = mean_checkpoint(args.checkpoint)
        export(stored, args.out, args.note)
        if args.trainable:
            slim(stored, args.trainable)
    except DataError as error:
        refuse(str(error))


if __name__ == "__main__":
    main()
