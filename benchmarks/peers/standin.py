"""A stand-in for torchaudio, of which torchcrepe, pesto-pitch and torchfcpe import two names that they never call here.

Its wheels are built against one build of torch each and bring CUDA libraries along; where it cannot be imported, these
tools need no more than the two names: reading files and resampling are done before they hear a sound.
"""

# Of the tools, those that are absent are left out.
# pyright: reportMissingImports=false

from __future__ import annotations

import sys
from types import ModuleType


def _absent(*_: object, **__: object) -> None:
    raise RuntimeError("this is a stand-in for torchaudio; give samples at 16 kHz")


def open_crepe() -> tuple[ModuleType, ModuleType]:
    """torch, on one thread, and torchcrepe."""
    provide_torchaudio()
    import torch
    import torchcrepe

    torch.set_num_threads(1)
    return torch, torchcrepe


def provide_torchaudio() -> None:
    """Make ``import torchaudio`` work; the real one is preferred where it loads."""
    try:
        import torchaudio  # noqa: F401
    except Exception:  # absent, or built for another torch: its libraries then fail to load, as OSError
        package, transforms = ModuleType("torchaudio"), ModuleType("torchaudio.transforms")
        vars(package).update(load=_absent, transforms=transforms)
        vars(transforms).update(Resample=_absent)
        sys.modules["torchaudio"], sys.modules["torchaudio.transforms"] = package, transforms
