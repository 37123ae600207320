"""Where the command begins: before anything slow is imported, a signal must find an ending in good order."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

COLLECT_AFTER = 100_000, 20, 100  # objects and rounds: what is imported is no garbage, and need not be looked through again and again


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)  # nothing was opened, nothing was said


def main() -> int:
    """Run the command and leave with its status; of a thread that still works, the status is returned."""
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), _leave)
    if hasattr(signal, "SIGUSR1"):  # panic, which a program that plays heeds: before and after that nothing sounds
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    gc.set_threshold(*COLLECT_AFTER)
    from rt_melody.realtime.unused import leave_out_unused

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
