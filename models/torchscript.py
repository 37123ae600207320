"""How a network becomes a file that a stream can run, and back. All of ``torch.jit`` lives here.

TorchScript is deprecated upstream in favour of ``torch.export``; this file is the one to replace. What is
stored: the frozen program of one hop and of many at once (normalisation folded into constants), and inside the same archive a JSON
text with the whole configuration and the provenance, so that a model file cannot disagree with its shape; in as few bytes as packing.py
can do. The archive's comment is the checksum of all before it, so that no flipped bit is taken for weights.

An archive of TorchScript holds code, some of which may run as soon as it is loaded. So what can be read without
running anything is read first; the code is then run only of the file that is shipped (its checksum lies beside it), of
one that this process wrote, or of one that the caller says to trust.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import warnings
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rt_melody.models.config import ModelConfig
from rt_melody.models.packing import packed, unpacked
from rt_melody.models.shipped import SHIPPED_MODELS

if TYPE_CHECKING:
    from rt_melody.models.network import TwoStageNet

META = "rt_melody.json"
FORMAT = 5
READ = (4, FORMAT)  # 4 was not packed
SEAL = b"sha256:"  # begins the archive's comment
SEAL_BYTES = len(SEAL) + 64
MAX_BYTES = 2**28  # of a file; the shipped ones have 2 MB
MAX_META_BYTES = 2**20
MAX_SIZE = 2**20  # of any whole number in a configuration

_written: set[str] = set()  # checksums of the files that this process made


class ModelFileError(ValueError):
    """A file that is not a model of this program; the message is one sentence with the way out."""


exported = torch.jit.export  # marks a method that is compiled beside forward
# Of the calling thread: whether a program is optimised as it is run, and to say so (``torch.jit.optimized_execution`` sets both ways).
optimises, optimise = torch._C._get_graph_executor_optimize, torch._C._set_graph_executor_optimize
METHODS = ("begin", "block_beginning", "block")  # of a program, beside forward
STATED = re.compile(r"^sha256: '?([0-9a-f]{64})'?$", re.MULTILINE)


def quietly(call, *args, **kwargs):
    """``call`` with exactly TorchScript's own deprecation warning filtered."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*deprecated.*")
        return call(*args, **kwargs)


def compile_step(net: TwoStageNet) -> torch.jit.ScriptModule:
    """The scripted and frozen program of a network (put into evaluation mode)."""
    from rt_melody.models.block_step import BlockStep, Program  # which whoever only loads has no use for
    from rt_melody.models.live_step import LiveStep

    exported(LiveStep.beginning)
    exported(BlockStep.beginning)
    for name in METHODS:
        exported(getattr(Program, name))
    scripted = quietly(torch.jit.script, Program(net).eval())
    return quietly(torch.jit.freeze, scripted, preserved_attrs=list(METHODS))


# ---- writing ---------------------------------------------------------------------------------------


def save_model(path: Path, net: TwoStageNet, provenance: dict) -> None:
    """Compile ``net`` and store it with its configuration and where it came from."""
    meta = {"format": FORMAT, "model": net.config.to_dict(), "provenance": provenance}
    store_module(path, compile_step(net), meta)


def store_module(path: Path, module: torch.jit.ScriptModule, meta: dict) -> None:
    """Write a compiled step and what is to be known about it, sealed; this process trusts the file from now on."""
    data = sealed(packed(archive_of(module, meta)))
    _written.add(hashlib.sha256(data).hexdigest())
    Path(path).write_bytes(data)


def archive_of(module: torch.nn.Module, meta: dict) -> bytes:
    """A module, compiled if it is not yet, and what is to be known about it, without a seal."""
    scripted = module if isinstance(module, torch.jit.ScriptModule) else quietly(torch.jit.script, module)
    buffer = io.BytesIO()
    quietly(torch.jit.save, scripted, buffer, _extra_files={META: json.dumps(meta)})
    return buffer.getvalue()


def sealed(archive: bytes) -> bytes:
    """A zip archive without a comment, now with its checksum for one."""
    seal = SEAL + hashlib.sha256(archive).hexdigest().encode()
    return archive[:-2] + len(seal).to_bytes(2, "little") + seal


def _seal_is_broken(data: bytes, comment: bytes) -> bool:
    """Whether the archive's comment is another than the seal of its content. Files of before have none."""
    return bool(comment) and sealed(data[: -SEAL_BYTES - 2] + bytes(2)) != data


# ---- reading ---------------------------------------------------------------------------------------


def load_model(path: Path, trust_model: bool = False) -> tuple[torch.jit.ScriptModule, ModelConfig, dict]:
    """The compiled step, its configuration and its provenance.

    Raises ModelFileError for what is no model, a damaged one, and, unless ``trust_model``, for one of an unknown origin.
    """
    data = _read(path)
    digest = hashlib.sha256(data).hexdigest()
    ours = digest in map(shipped_digest, SHIPPED_MODELS.values())
    if (stated := _shipped_as(path)) and digest != shipped_digest(stated):
        raise ModelFileError(
            f"{path} is damaged: its checksum is not the one that {stated.with_suffix('.yaml').name} beside it states; "
            "install rt-melody again"
        )
    config, provenance = _read_meta(path, data)
    if not ours:
        _check_whole(path, data)
        if not trust_model and digest not in _written:
            raise ModelFileError(
                f"{path} is not the model that is shipped, and a model file can run any program as it is loaded; "
                "if you made it or trust its maker, add --trust-model (in Python trust_model=True)"
            )
    try:
        module = quietly(torch.jit.load, io.BytesIO(unpacked(data)), map_location="cpu")
        if not ours:
            _try_out(module, config)
        return module, config, provenance
    except Exception as error:  # whatever a foreign file makes the loader raise
        raise _no_model(path, type(error).__name__) from error


def _no_model(path: Path, reason: str) -> ModelFileError:
    return ModelFileError(
        f"{path} is not a model file of rt-melody ({reason}); use one that rt_melody.models.training.export wrote, or leave it out"
    )


def _read(path: Path) -> bytes:
    """The whole file: what is checked is what is loaded, whoever changes the file meanwhile."""
    if not os.path.isfile(path):
        raise ModelFileError(f"there is no model file {path}; give one that is there, or leave it out")
    try:
        if os.path.getsize(path) > MAX_BYTES:
            raise _no_model(path, f"more than {MAX_BYTES >> 20} MB")
        return Path(path).read_bytes()
    except OSError as error:
        raise ModelFileError(f"the model file {path} cannot be read ({error.strerror}); check its permissions") from error


def shipped_digest(path: Path) -> str | None:
    """The checksum that a shipped model's file must have; None where it is not stated."""
    try:
        stated = STATED.search(path.with_suffix(".yaml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return stated and stated[1]


def _shipped_as(path: Path) -> Path | None:
    """Which of the shipped models' files this one is."""
    for shipped in SHIPPED_MODELS.values():
        try:
            if os.path.samefile(path, shipped):
                return shipped
        except OSError:
            pass  # one of the two is not there
    return None


def _read_meta(path: Path, data: bytes) -> tuple[ModelConfig, dict]:
    """Configuration and provenance, of which nothing runs."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (entry,) = [info for info in archive.infolist() if info.filename.endswith(f"/extra/{META}")]
            if entry.file_size > MAX_META_BYTES:
                raise ValueError("its configuration is too long")
            meta = json.loads(archive.read(entry))
        stated = meta["format"]
        if stated in READ:
            config, provenance = ModelConfig.from_dict(meta["model"]), dict(meta["provenance"])
            _check_config(config)
            return config, provenance
    except Exception as error:  # zipfile and json raise more than they document
        raise _no_model(path, type(error).__name__) from error
    raise ModelFileError(f"{path} is of format {str(stated)[:40]}, this program reads formats {READ[0]} to {READ[-1]}")


def _check_config(config: ModelConfig) -> None:
    """Raises ValueError for a value of another kind than the field has, or that no network has."""
    for field in fields(config):
        value = getattr(config, field.name)
        parts = value if isinstance(field.default, tuple) else (value,)
        kind = type(field.default[0] if isinstance(field.default, tuple) else field.default)
        if not isinstance(parts, tuple) or not 0 < len(parts) <= 64:
            raise ValueError(f"{field.name} must be a list")
        for part in parts:
            if not (isinstance(part, kind) or (kind is float and isinstance(part, int)) or (kind is int and part == int(part))):
                raise ValueError(f"{field.name} must be {kind.__name__}")
            if kind in (int, float) and not (math.isfinite(part) and 0 <= part <= MAX_SIZE):
                raise ValueError(f"{field.name} is out of range")
    if (
        min(
            config.hop_samples,
            config.sample_rate,
            config.positions,
            config.bins_per_position,
            config.bins_per_octave,
            config.f_min_hz,
            config.long_taps,
        )
        <= 0
    ):
        raise ValueError("a size is 0")
    if config.pitch_bins > MAX_SIZE or list(config.look_ahead_ms) != sorted(set(config.look_ahead_ms)):
        raise ValueError("the heads are not in order, or the bins too many")


def _check_whole(path: Path, data: bytes) -> None:
    """Raises ModelFileError where a bit is not as it was written."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if _seal_is_broken(data, archive.comment):
            raise ModelFileError(f"{path} is damaged (its checksum is another); copy or export it again")
        if sum(info.file_size for info in archive.infolist()) > 2 * MAX_BYTES:
            raise _no_model(path, "it unpacks to too much")
        try:
            broken = archive.testzip()
        except Exception as error:  # a header within that contradicts the directory
            raise _no_model(path, type(error).__name__) from error
    if broken is not None:
        raise ModelFileError(f"{path} is damaged (at {broken}); copy or export it again")


@torch.inference_mode()
def _try_out(module: torch.jit.ScriptModule, config: ModelConfig) -> None:
    """Silence at each end of the heads, a hop and a block: shapes and kinds are those of the configuration."""
    for head in (0, len(config.look_ahead_ms) - 1):
        module.begin(torch.zeros(1))
        pitch, voicing = module(torch.zeros(config.long_taps), head)
        if pitch.shape != (config.pitch_bins,) or pitch.dtype != torch.float32 or not math.isfinite(float(voicing)):
            raise ValueError("its step gives something else than its configuration says")
        pitches, voicings, _ = module.block(torch.zeros(2, config.long_taps), module.block_beginning(torch.zeros(1)), head)
        if pitches.shape != (2, config.pitch_bins) or pitches.dtype != torch.float32 or voicings.shape != (2,):
            raise ValueError("its block gives something else than its configuration says")
