"""The line to type for a recording that cannot be read, which works when it is pasted."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rt_melody.realtime.shell import quoted


def conversion(path: str | Path, platform: str = sys.platform) -> str:
    """A command that makes a wav file of a recording, under a name that nothing has yet, in the current folder."""
    source, made = quoted(path, platform), quoted(free_name(Path(path).stem), platform)
    if platform == "darwin":  # which every Mac has
        return f"afconvert -f WAVE -d LEI16 {source} {made}"
    return f"ffmpeg -i {source} {made}"


def free_name(stem: str) -> str:
    """``stem.wav``, or with a number where that is there."""
    name, number = f"{stem}.wav", 2
    while os.path.lexists(name):
        name, number = f"{stem}-{number}.wav", number + 1
    return name
