"""Where the command begins: before anything slow is imported, a signal must find an ending in good order."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def _leave(number: int, _frame: FrameType | None) -> None:
    os._exit(128 + number)  # nothing was opened, nothing was said


def main() -> int:
    """Run the command; the exit status."""
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), _leave)
    from rt_melody.realtime.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
