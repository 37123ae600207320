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

from rt_melody.models.config import ModelConfig
from rt_melody.models.network import TwoStageNet
from rt_melody.models.torchscript import save_model
from rt_melody.models.training.data import DataError, refuse
from rt_melody.models.training.train import load_checkpoint

DATA_NOTE = (
    "MIR-1K (Hsu and Jang 2010) training singers, remixed and shifted; synthetic singing and bands; G. Hu's "
    "noises; room responses. Neither recordings nor labels are part of this file."
)


def export(checkpoint: Path, out: Path, note: str, data: str = DATA_NOTE) -> None:
    """Average weights of ``checkpoint`` -> ``out`` and its provenance beside it. Raises DataError."""
    stored = load_checkpoint(checkpoint)
    config = ModelConfig.from_dict(stored["model"])
    if config.family != "live":
        raise DataError(f"{checkpoint} is of the family {config.family!r}; only 'live' runs as a stream and can be exported")
    net = TwoStageNet(config)
    net.load_state_dict(stored["average"])
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


def slim(checkpoint: Path, out: Path) -> None:
    """The averaged weights in half precision, in a checkpoint's form: enough to begin a training from
    (``--init-from``), to evaluate and to export. Raises DataError."""
    stored = load_checkpoint(checkpoint)
    halves = {name: t.half() if t.is_floating_point() else t for name, t in stored["average"].items()}
    torch.save({**stored, "average": halves, "net": {}, "optimizer": {}}, out)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Turn a checkpoint into shipped weights.")
    parser.add_argument("--checkpoint", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--trainable", type=Path, help="write here, too, what a training can begin from")
    parser.add_argument("--note", default="", help="one sentence for the provenance")
    args = parser.parse_args(arguments)
    for path in filter(None, (args.out, args.trainable)):
        if not path.parent.is_dir():
            refuse(f"there is no folder {path.parent} to write {path.name} into; make it first")
    try:
        export(args.checkpoint, args.out, args.note)
        if args.trainable:
            slim(args.checkpoint, args.trainable)
    except DataError as error:
        refuse(str(error))


if __name__ == "__main__":
    main()
