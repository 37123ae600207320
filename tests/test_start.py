"""What the command leaves out of its start, and that a library never does."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rt_melody.realtime.unused import LeavesOut, torch_version

LEFT_OUT = "print('left out:', *(name for name in ('torch._prims', 'scipy') if sys.modules.get(name) is None))"
COMMAND = f"""
import atexit, sys
from rt_melody.realtime.start import main
atexit.register(lambda: {LEFT_OUT})
sys.exit(main())
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
    assert ("torch._prims" in told) == (torch.__version__.partition("+")[0] == "2.13.0")
    assert len((tmp_path / "a.csv").read_text().splitlines()) > 300


WHOLE = """
import sys
import torch
from rt_melody.realtime.cli import main
assert torch.distributed.__file__  # it is all there
sys.exit(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["--listen", "off"]], ids=["a file", "live"])
def test_what_is_left_out_changes_no_number(tmp_path, how):
    import soundfile

    from rt_melody.benchmarks.compute import singing

    soundfile.write(tmp_path / "sung.wav", singing(16_000, 4.0), 16_000)
    for name, program in (("without", COMMAND), ("whole", WHOLE)):
        files = ["--csv", str(tmp_path / f"{name}.csv"), "--midi-file", str(tmp_path / f"{name}.mid")]
        said(program, "--input", "demo" if how else str(tmp_path / "sung.wav"), *files, "--quiet", *how)
    for kind in ("csv", "mid"):
        assert (tmp_path / f"without.{kind}").read_bytes() == (tmp_path / f"whole.{kind}").read_bytes()


def test_the_version_is_read_of_a_torch_that_is_not_loaded():
    import torch

    assert torch_version() == torch.__version__


def test_a_module_that_is_left_out_answers_no(monkeypatch):
    import importlib

    monkeypatch.setattr(sys, "meta_path", [LeavesOut(["nowhere"]), *sys.meta_path])
    for name in ("nowhere", "nowhere.within"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = importlib.import_module("nowhere.within")
    assert not module.is_available() and sys.modules["nowhere"].within is module
    assert module.decorator("with what")(len) is len

    class Derived(module.One, module.Other):
        pass

    assert isinstance(Derived(), module.One) and module.One is not module.Other
    with pytest.raises(ImportError):
        importlib.import_module("nowhere_else")


@pytest.mark.slow
def test_a_library_leaves_torch_whole():
    assert "torch._prims" not in said(LIBRARY)


ENDING = """
import atexit, sys, threading
from rt_melody.realtime import start
atexit.register(lambda: sys.stdout.write("called at the end"))
sys.stdout.write("said before; ")
worker = threading.Thread(target=lambda: (threading.Event().wait(0.2), sys.stdout.write("worked; ")))
{begin}
status = start.leave(3)
print("not left; ", end="")
sys.exit(status)
"""


@pytest.mark.parametrize(
    "begin, told",
    [("", "said before; called at the end"), ("worker.start()", "said before; not left; worked; called at the end")],
)
def test_it_leaves_at_once_unless_a_thread_still_works(begin, told):
    done = subprocess.run([sys.executable, "-c", ENDING.format(begin=begin)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, told), done.stderr
