"""A kernel works wherever its compiled form can be kept, or cannot."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from numba import config

from rt_melody.kernels import compiled as room

KERNEL_DIR = Path(room.__file__).parent
COMPILERS = ("njit", "jit", "cfunc", "vectorize", "guvectorize")
posix = pytest.mark.skipif(not hasattr(os, "getuid"), reason="POSIX permissions")


@pytest.fixture(autouse=True)
def nothing_fell_back(monkeypatch):
    monkeypatch.setattr(room, "_fallen_back", set())


def doubled():
    """A kernel, compiled now."""

    @room.compiled("float64(float64)")
    def double(x):
        return 2.0 * x

    return double


def test_a_kernel_is_kept_as_numba_does_and_nothing_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    assert doubled()(21.0) == 42.0 and room.cache_notice() is None
    assert list(tmp_path.rglob("*.nbi"))


@pytest.fixture
def homeless(monkeypatch, tmp_path):
    """Numba finds no folder but one that is named to it."""
    from numba.core import caching

    named = [caching.UserProvidedCacheLocator] if hasattr(caching, "UserProvidedCacheLocator") else [caching._UserProvidedCacheLocator]
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", named)
    monkeypatch.setattr(room.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path


def test_without_a_home_a_temporary_folder_serves_and_numba_is_left_as_it_was(homeless):
    before = config.CACHE_DIR
    assert doubled()(21.0) == 42.0 and before == config.CACHE_DIR
    assert list(homeless.rglob("rt-melody-kernels-*/*/*.nbi"))
    assert f"is kept in {homeless}" in room.cache_notice() and "NUMBA_CACHE_DIR=FOLDER" in room.cache_notice()


@posix
def test_a_folder_that_others_can_write_to_is_never_loaded_from(homeless):
    """What is in it is code: a stranger could have put it there."""
    folder = homeless / f"rt-melody-kernels-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    assert doubled()(21.0) == 42.0 and not list(homeless.rglob("*.nbi"))
    assert "compiled anew at each start" in room.cache_notice()
    folder.rmdir()
    (homeless / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(homeless / "elsewhere")
    assert doubled()(21.0) == 42.0 and not list(homeless.rglob("*.nbi"))


def test_with_no_folder_at_all_it_is_compiled_and_said(homeless, monkeypatch):
    monkeypatch.setattr(room.os, "makedirs", lambda *_, **__: (_ for _ in ()).throw(OSError("read-only")))
    assert doubled()(21.0) == 42.0
    assert "compiled anew at each start" in room.cache_notice()


def test_a_cache_that_is_damaged_is_a_cache_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    doubled()
    for name in tmp_path.rglob("*.nb?"):
        name.write_bytes(b"\x80\x05garbage")
    assert doubled()(21.0) == 42.0


def test_a_fault_in_a_kernel_is_still_shown():
    with pytest.raises(Exception, match="nowhere"):

        @room.compiled("float64(float64)")
        def wrong(x):
            return nowhere(x)  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


def test_a_callback_that_cannot_be_kept_is_compiled_and_called_too(homeless, monkeypatch):
    def make():
        @room.callback("int32(int32)")
        def double(x):
            return 2 * x

        return double

    assert make().ctypes(21) == 42 and list(homeless.rglob("*.nbi"))
    monkeypatch.setattr(room.os, "makedirs", lambda *_, **__: (_ for _ in ()).throw(OSError("read-only")))
    assert make().ctypes(21) == 42 and "compiled anew at each start" in room.cache_notice()


def test_every_kernel_is_compiled_through_here():
    for path in KERNEL_DIR.glob("*.py"):
        assert path.name == "compiled.py" or "njit" not in path.read_text(), path


def asks_for_a_cache(source: str) -> bool:
    """Whether it has numba keep something by itself, which raises where no folder can be written to."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    numbas = [call for call in calls if ast.unparse(call.func).split(".")[-1] in COMPILERS]
    return any(keyword.arg in ("cache", None) for call in numbas for keyword in call.keywords)


def test_nothing_is_kept_but_through_here():
    assert asks_for_a_cache("@nb.njit(cache=True)\ndef f(): ...") and not asks_for_a_cache("@njit(nogil=True)\ndef f(): ...")
    for folder in ("kernels", "models", "realtime", "benchmarks"):
        for path in (KERNEL_DIR.parent / folder).rglob("*.py"):
            assert path.samefile(room.__file__) or not asks_for_a_cache(path.read_text(encoding="utf-8")), path


def test_what_is_kept_is_found_again():
    """Numba looks for a function by what it closes over, too, which for other compiled functions is never the same again: such a one is
    compiled at each start, and kept once more."""
    import importlib

    for path in KERNEL_DIR.glob("*.py"):
        module = importlib.import_module(f"rt_melody.kernels.{path.stem}")
        for name, kept in vars(module).items():
            if getattr(getattr(kept, "_cache", None), "cache_path", None):
                assert kept.py_func.__closure__ is None, f"{path.stem}.{name}"


@pytest.fixture
def open_folder():
    """One that others may enter; pytest keeps its own to the user, however deep they lie."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="needs root, to become somebody without a home")
def test_nobody_without_a_home_can_import_it(open_folder):
    """As the program meets it: another user, no home, a source folder that is root's. Python itself may be in root's home,
    so what is needed of it is loaded before."""
    temporary = open_folder / "t"
    temporary.mkdir()
    code = (
        "import mmap, os, zipfile, importlib.resources, numpy as np, numba; numba.njit('f8(f8)')(lambda x: x)\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "from rt_melody.kernels import compiled, resample\nfrom rt_melody.realtime.jack import process\n"
        "out = np.zeros(9, np.float32)\n"
        "print(resample.StreamResampler(48000, 16000).process(np.ones(9, np.float32), out), compiled.cache_notice())"
    )
    for mode, said in ((0o777, f"is kept in {temporary}"), (0o500, "")):
        temporary.chmod(mode)
        environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout and "NUMBA_CACHE_DIR" in done.stdout


def test_who_waits_is_told_once_before_a_kernel_is_compiled_and_not_of_one_that_was_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))
    told = []
    room.before_compiling(told.append)
    doubled()
    assert told == [True]
    room.before_compiling(told.append)
    doubled()
    assert told == [True]


def test_who_waits_is_told_that_nothing_can_be_kept(homeless, monkeypatch):
    monkeypatch.setattr(room.tempfile, "gettempdir", lambda: "/dev/null")
    told = []
    room.before_compiling(told.append)
    doubled()
    assert told == [False]
