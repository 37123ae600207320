"""Whether a browser can be opened for the player."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec


def has_window() -> bool:
    """Whether somebody sits at a terminal, before a screen on which a browser can open, and what serves the panel is there."""
    return sys.stderr is not None and sys.stderr.isatty() and has_browser() and find_spec("aiohttp") is not None


def has_browser() -> bool:
    """Whether a window can be opened: a browser of text, in the terminal, is none."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
