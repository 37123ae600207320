"""What the command leaves out of its start, and that a library never does."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEFT_OUT = "print('left out:', *(name for name in ('torch._prims', 'scipy') if sys.modules.get(name) is None))"
COMMAND = f"""
import sys
from rt_melody.realtime.start import main
status = main()
{LEFT_OUT}
sys.exit(status)
"""
LIBRARY = f"""
import sys
import rt_melody.realtime.start
import rt_melody.realtime.melody
import torch
{LEFT_OUT.replace("'torch._prims', 'scipy'", "'torch._prims',")}
"""


def said(program: str, *words: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_command_hears_without_what_it_leaves_out(tmp_path):
    import torch

    told = said(COMMAND, "--input", "demo", "--csv", str(tmp_path / "a.csv"), "--quiet", "--listen", "off")
    assert "scipy" in told
    assert ("torch._prims" in told) == torch.__version__.startswith("2.13.")
    assert len((tmp_path / "a.csv").read_text().splitlines()) > 300


@pytest.mark.slow
def test_a_library_leaves_torch_whole():
    assert "torch._prims" not in said(LIBRARY)
