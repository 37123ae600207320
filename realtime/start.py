"""Where the command begins: before anything slow is imported, a signal must find an ending in good order."""

from __future__ import annotations

import os
import signal
import sys
from importlib.metadata import PackageNotFoundError, version
from types import FrameType, ModuleType
from typing import Any

# What libraries load for uses that the command has not, half a second and 40 MB of its start: of torch, what traces and compiles
# models, by the versions that were seen to do without; numba's search for a BLAS, which no kernel of ours calls.
UNUSED_OF_TORCH, DO_WITHOUT = ("torch._meta_registrations", "torch.distributed._meta_registrations"), ("2.13.",)
UNUSED_OF_NUMBA = "scipy"


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)  # nothing was opened, nothing was said


def leave_out_unused() -> None:
    """See UNUSED_OF_TORCH. For a process of our own, before it imports either: a program that uses this one as a library may
    have a use for them."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault(UNUSED_OF_NUMBA, None)
    try:
        if version("torch").startswith(DO_WITHOUT) and "torch" not in modules:
            for name in UNUSED_OF_TORCH:
                modules.setdefault(name, ModuleType(name))
    except PackageNotFoundError:
        pass  # whoever imports it tells


def main() -> int:
    """Run the command; the exit status."""
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), _leave)
    leave_out_unused()
    from rt_melody.realtime.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
