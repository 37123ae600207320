"""After `pip install -e '.[dev]'` everything that looks at the source looks at this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
ROOMS = ("realtime", "kernels", "models", "benchmarks")
LINKS = CHECKOUT / "typings" / "rt_melody"
links_are_links = pytest.mark.skipif(
    not (LINKS / "kernels").is_symlink(), reason="this checkout has no symbolic links (git's core.symlinks)"
)


def run_pytest(python_path: Path | str, **environment: str) -> subprocess.CompletedProcess:
    """One quick test of this suite in a process of its own."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/test_layout.py", "-k", "types_need_python_alone"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "RT_MELODY_TEST"))}
    environment = {**clean, "PYTHONPATH": str(python_path), **environment}
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def stale_copy(tmp_path) -> Path:
    """A folder with an old rt_melody in it, as an install of before leaves in site-packages."""
    for room in ROOMS:
        (tmp_path / "rt_melody" / room).mkdir(parents=True)
        (tmp_path / "rt_melody" / room / "__init__.py").touch()
    return tmp_path


@pytest.mark.slow
def test_the_tests_refuse_to_speak_of_a_stale_copy(stale_copy):
    done = run_pytest(stale_copy)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR and "Traceback" not in done.stderr
    assert f"rt_melody.realtime is imported from {stale_copy.resolve() / 'rt_melody' / 'realtime'}" in done.stderr
    assert "run pip install -e '.[dev]'" in done.stderr


@pytest.mark.slow
def test_one_room_of_another_place_is_enough(stale_copy):
    for room in ROOMS[:-1]:
        (stale_copy / "rt_melody" / room / "__init__.py").unlink()
        (stale_copy / "rt_melody" / room).rmdir()
    done = run_pytest(stale_copy)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "rt_melody.benchmarks is imported from" in done.stderr


@pytest.mark.slow
def test_the_tests_run_where_the_source_is_this_checkout(stale_copy):
    assert run_pytest("").returncode == pytest.ExitCode.OK
    assert run_pytest(stale_copy, RT_MELODY_TEST_INSTALLED="1").returncode == pytest.ExitCode.OK, "what CI says for the wheel"


def test_python_sees_the_checkout_from_anywhere(tmp_path):
    code = "import rt_melody.realtime.errors as e, rt_melody.models.training as t; print(e.__file__, t.__file__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == [str(CHECKOUT / "realtime" / "errors.py"), str(CHECKOUT / "models" / "training" / "__init__.py")]


@links_are_links
def test_type_checkers_find_every_room_by_a_link():
    assert {link.name: os.readlink(link) for link in LINKS.iterdir()} == {room: f"../../{room}" for room in ROOMS}
