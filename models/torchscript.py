"""How a network becomes a file that a stream can run, and back. All of ``torch.jit`` lives here.

TorchScript is deprecated upstream in favour of ``torch.export``; this file is the one to replace. What is
stored: the frozen step of one hop (normalisation folded into constants), and inside the same archive a JSON
text with the whole configuration and the provenance, so that a model file cannot disagree with its shape.
"""

import json
import os
import warnings
from pathlib import Path

import torch

from rt_melody.models.config import ModelConfig
from rt_melody.models.live_step import LiveStep
from rt_melody.models.network import TwoStageNet

META = "rt_melody.json"
FORMAT = 3


class ModelFileError(ValueError):
    """A file that is not a model of this program; the message is one sentence with the way out."""


torch.jit.export(LiveStep.initial_state)  # compiled beside forward


def quietly(call, *args, **kwargs):
    """``call`` with exactly TorchScript's own deprecation warning filtered."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*deprecated.*")
        return call(*args, **kwargs)


def compile_step(net: TwoStageNet) -> torch.jit.ScriptModule:
    """The scripted and frozen step of a network (put into evaluation mode)."""
    scripted = quietly(torch.jit.script, LiveStep(net).eval())
    return quietly(torch.jit.freeze, scripted, preserved_attrs=["initial_state"])


def save_model(path: Path, net: TwoStageNet, provenance: dict) -> None:
    """Compile ``net`` and store it with its configuration and where it came from."""
    meta = {"format": FORMAT, "model": net.config.to_dict(), "provenance": provenance}
    quietly(torch.jit.save, compile_step(net), str(path), _extra_files={META: json.dumps(meta)})


def load_model(path: Path) -> tuple[torch.jit.ScriptModule, ModelConfig, dict]:
    """The compiled step, its configuration and its provenance. Raises ModelFileError."""
    if not os.path.isfile(path):
        raise ModelFileError(f"there is no model file {path}; leave --model out to use the model that is shipped")
    extra = {META: ""}
    try:
        module = quietly(torch.jit.load, str(path), map_location="cpu", _extra_files=extra)
        meta = json.loads(extra[META])
        if meta["format"] != FORMAT:
            raise ModelFileError(f"{path} is of format {meta['format']}, this program reads format {FORMAT}")
        return module, ModelConfig.from_dict(meta["model"]), meta["provenance"]
    except ModelFileError:
        raise
    except Exception as error:  # whatever a foreign or damaged file makes the loader raise
        raise ModelFileError(
            f"{path} is not a model file of rt-melody ({type(error).__name__}); use one that "
            "rt_melody.models.training.export wrote, or leave --model out"
        ) from error
