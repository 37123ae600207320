"""A model file in fewer bytes, the program in it the same to the bit.

A TorchScript archive keeps each constant tensor as a member of its own, the bytes of its numbers; ``constants.pkl`` says of what kind
they are. ``packed`` deflates the members, stores large tensors of single precision in half of it where that holds every number, which
``unpacked`` widens again, and leaves out the line numbers that are of use to nobody who did not write the program. The weights of a
network that was exported from a checkpoint fit into halves, as far as nothing is folded into them (``training.export``).
"""

from __future__ import annotations

import io
import pickle
import zipfile
from typing import Any

import numpy as np

LEAST_BYTES = 1024  # of a tensor that is worth it
HALF, LINE_NUMBERS = ".half", ".debug_pkl"  # how a member's name ends


class _Kinds(pickle.Unpickler):
    """Reads of which kind each storage is, and makes nothing of it."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.floats: list[str] = []

    def find_class(self, module: str, name: str) -> Any:
        return name if name.endswith("Storage") else lambda *_: None

    def persistent_load(self, pid: tuple) -> None:
        _, kind, key, *_ = pid
        if kind == "FloatStorage":
            self.floats.append(key)


def packed(archive: bytes) -> bytes:
    """A TorchScript archive of this process as it is stored."""
    contents = _members(archive)
    constants = next(name for name in contents if name.endswith("/constants.pkl"))
    kinds = _Kinds(io.BytesIO(contents[constants]))
    kinds.load()
    floats = {f"{constants.removesuffix('.pkl')}/{key}" for key in kinds.floats}
    stored = {}
    for name, content in contents.items():
        if name.endswith(LINE_NUMBERS):
            continue
        half = _as_half(content) if name in floats else None
        stored[name + HALF if half else name] = half or content
    return _archive(stored, zipfile.ZIP_DEFLATED)


def unpacked(stored: bytes) -> bytes:
    """What was ``packed``, as TorchScript reads it, which does not find the weights of what is still packed. Raises what zipfile and
    numpy raise of an archive that is damaged."""
    contents = {}
    for name, content in _members(stored).items():
        if name.endswith(HALF):
            name, content = name.removesuffix(HALF), np.frombuffer(content, "<f2").astype("<f4").tobytes()
        contents[name] = content
    return _archive(contents, zipfile.ZIP_STORED)


def _members(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as read:
        return {name: read.read(name) for name in read.namelist()}


def _as_half(content: bytes) -> bytes | None:
    """Numbers of single precision in half of it; None where that saves little, or would change one."""
    numbers = np.frombuffer(content, "<f4")
    with np.errstate(over="ignore"):
        half = numbers.astype("<f2")
    return half.tobytes() if len(content) >= LEAST_BYTES and half.astype("<f4").tobytes() == content else None


def _archive(contents: dict[str, bytes], compression: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression, compresslevel=9) as written:
        for name, content in contents.items():
            written.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()
