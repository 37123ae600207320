"""Where the command begins: before anything slow is imported, a signal must find an ending in good order."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType, ModuleType
from typing import Any

# What libraries load for uses that the command has not, half a second and 40 MB of its start: of torch, what traces and compiles
# models, by the versions that were seen to do without; numba's search for a BLAS, which no kernel of ours calls.
UNUSED_OF_TORCH = ("torch._meta_registrations", "torch.distributed._meta_registrations", "torch.distributions")
DO_WITHOUT = ("2.13.",)
UNUSED_OF_NUMBA = "scipy"


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)  # nothing was opened, nothing was said


def leave_out_unused() -> None:
    """See UNUSED_OF_TORCH. For a process of our own, before it imports either: a program that uses this one as a library may
    have a use for them."""
    from importlib.metadata import PackageNotFoundError, version

    modules: dict[str, Any] = sys.modules
    modules.setdefault(UNUSED_OF_NUMBA, None)
    try:
        if version("torch").startswith(DO_WITHOUT) and "torch" not in modules:
            for name in UNUSED_OF_TORCH:
                modules.setdefault(name, ModuleType(name))
    except PackageNotFoundError:
        pass  # whoever imports it tells


def main() -> int:
    """Run the command and leave with its status; of a thread that still works, the status is returned."""
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), _leave)
    leave_out_unused()
    from rt_melody.realtime.cli import main as run

    return leave(run())


def leave(status: int) -> int:
    """End the process here: to take torch down piece by piece took half a second on a busy machine, and nothing is gained by
    it once all is closed. Whoever asked to be called at the end is, and a thread that must end by itself is waited for."""
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        return status
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]  # the interpreter has no other name for it
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # its reader has gone, or there is none
            stream.flush()
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
