"""Names as a shell takes them, for commands in our sentences that can be pasted."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path


def quoted(path: str | Path, platform: str = sys.platform) -> str:
    """A path as a shell takes it for one word that is no option. What does not print, and bytes that are no UTF-8, are spelled
    out, since they would not get to the terminal as they are; bash and zsh read that."""
    text = os.fspath(path)
    text = f"./{text}" if text.startswith("-") else text
    if platform == "win32":
        return subprocess.list2cmdline([text])
    return shlex.quote(text) if text.isprintable() else f"$'{''.join(map(_spelled, text))}'"


def _spelled(letter: str) -> str:
    """A letter as it stands between $' and ': by its bytes, where it would not stand for itself."""
    if letter.isprintable() and letter not in "\\'":
        return letter
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))
