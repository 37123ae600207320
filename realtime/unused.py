"""What libraries load for uses that the command has not, which took much of its start, and 30 MB.

Conventions
-----------
* For a process of our own, before it imports any of them. A program that uses this one as a library has them whole.
* Of torch, what traces, compiles, distributes and trains models: a stream runs what was compiled before. By the versions that were
  seen to do without; a test holds their numbers and those of the whole library together.
* In place of what is left out stands a module of which every name is an empty class, for what is imported beside it to derive from,
  to decorate with or to ask: the answer is no. `torch.load` takes that for a yes and gives tensors without data; `torch.jit.load`,
  which the program uses, does not ask.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

OF_TORCH = (
    "torch._export", "torch._functorch", "torch._guards", "torch._higher_order_ops", "torch._meta_registrations", "torch._native",
    "torch._subclasses", "torch.ao", "torch.compiler", "torch.distributed", "torch.distributions", "torch.export", "torch.func",
    "torch.fx", "torch.hub", "torch.masked", "torch.multiprocessing", "torch.nested", "torch.nn.intrinsic", "torch.nn.parallel",
    "torch.nn.qat", "torch.nn.quantizable", "torch.nn.quantized", "torch.optim", "torch.profiler", "torch.quantization",
    "torch.signal", "torch.testing", "torch.utils.data", "torchgen",
)  # fmt: skip
DO_WITHOUT = ("2.13.0",)  # whatever stands behind a plus
OF_NUMBA = ("scipy", "cffi")  # its search for a BLAS, which no kernel calls, and for functions of C, with a parser for their headers
PLUGINS = "numba.core.entrypoints"  # numba, pydantic and torch each look for theirs through all packages that are installed
NO_PLUGINS = {"PYDANTIC_DISABLE_PLUGINS": "__all__", "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"}


class Nothing:
    """Stands for any class or function of a module that is left out. False."""

    def __init__(self, *_given: Any, **_named: Any) -> None: ...

    def __init_subclass__(cls, **_named: Any) -> None: ...

    def __call__(self, *given: Any, **_named: Any) -> Any:
        """As a decorator: what it is given."""
        return given[0] if given else self

    def __bool__(self) -> bool:
        return False


class Unused(ModuleType):
    """A module that was left out."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{self.__name__} is left out by rt-melody and has no {name}")
        made = type(name, (Nothing,), {})
        setattr(self, name, made)
        return made


class LeavesOut:
    """Finds, and loads, an ``Unused`` for each of ``names`` and what lies within."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names, self._within = frozenset(names), tuple(f"{name}." for name in names)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name in self._names or name.startswith(self._within):
            return ModuleSpec(name, self, is_package=True)  # pyright: ignore[reportArgumentType]  # a loader by its methods
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Unused(spec.name)

    def exec_module(self, module: ModuleType) -> None: ...


def leave_out_unused() -> None:
    """See the head of this module."""
    modules: dict[str, Any] = sys.modules
    for name in OF_NUMBA:
        modules.setdefault(name, None)
    for name, value in NO_PLUGINS.items():
        os.environ.setdefault(name, value)
    may = "torch" not in modules and os.environ.get("TORCH_COMPILE_DEBUG", "0") != "1"  # which imports what is left out
    of_torch = OF_TORCH if may and torch_version().partition("+")[0] in DO_WITHOUT else ()
    sys.meta_path.insert(0, LeavesOut((PLUGINS, *of_torch)))


def torch_version() -> str:
    """As its own file states, which is read in a tenth of the time that its metadata take; "" where there is none."""
    spec = find_spec("torch")
    try:
        text = (Path(str(spec and spec.origin)).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return ""
    return next((line.split("'")[1] for line in text.splitlines() if line.startswith("__version__ = '")), "")
