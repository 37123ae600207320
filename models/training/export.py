"""Turn a checkpoint into the files that are shipped.

``python -m rt_melody.models.training.export --checkpoint runs/live/last.pt --out models/weights/live.pt``
writes the compiled model and, beside it, ``live.yaml``: its checksum and where it came from.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import torch
import yaml

from rt_melody.models.config import ModelConfig
from rt_melody.models.network import TwoStageNet
from rt_melody.models.torchscript import save_model

DATA_NOTE = (
    "MIR-1K (Hsu and Jang 2010) training singers, remixed and shifted; G. Hu's noises; room responses. "
    "Neither recordings nor labels are part of this file."
)


def export(checkpoint: Path, out: Path, note: str) -> None:
    """Average weights of ``checkpoint`` -> ``out`` and its provenance beside it."""
    stored = torch.load(checkpoint, map_location="cpu", weights_only=True)
    net = TwoStageNet(ModelConfig.from_dict(stored["model"]))
    net.load_state_dict(stored["average"])
    provenance = {
        "architecture": "two-stage multi-resolution CNN, reconstructed from Chen, Li, Chi (ICASSP 2019), made causal",
        "data": DATA_NOTE,
        "steps": stored["step"],
        "training": stored["training"],
        "note": note,
    }
    save_model(out, net, provenance)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    beside = {"file": out.name, "sha256": digest, **provenance}
    out.with_suffix(".yaml").write_text(yaml.safe_dump(beside, sort_keys=False, width=110), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Turn a checkpoint into shipped weights.")
    parser.add_argument("--checkpoint", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--note", default="", help="one sentence for the provenance")
    args = parser.parse_args()
    export(args.checkpoint, args.out, args.note)


if __name__ == "__main__":
    main()
