"""What several rooms' tests use, and the rule that the tests are of this checkout."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
ROOMS = ("realtime", "kernels", "models", "benchmarks")


if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is loaded: of tests side by side each computes on one core
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RT_MELODY_SILENT", "1")  # on a machine with a loudspeaker: demos take their time there


with suppress(ModuleNotFoundError):  # how long a case takes is the machine's matter
    from hypothesis import HealthCheck, settings

    settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("untimed")


def pytest_configure():
    """Leave with a sentence where the tests would run against something else than the source beside them.

    CI's real-audio rig does so on purpose, against the wheel, and says ``RT_MELODY_TEST_INSTALLED=1``.
    """
    where = {room: imported_from(room) for room in ROOMS}
    strange = {room: folder for room, folder in where.items() if folder != CHECKOUT / room}
    if strange and os.environ.get("RT_MELODY_TEST_INSTALLED") != "1":
        room, folder = next(iter(strange.items()))
        raise pytest.UsageError(
            f"rt_melody.{room} is {f'imported from {folder}' if folder else 'not installed'}, so that these tests would say nothing about "
            f"{CHECKOUT / room}; run pip install -e '.[dev]' in {CHECKOUT}"
        )


def imported_from(room: str) -> Path | None:
    """The folder that ``rt_melody.ROOM`` would be imported from."""
    try:
        spec = find_spec(f"rt_melody.{room}")
    except ModuleNotFoundError:
        return None
    return Path(spec.origin).resolve().parent if spec and spec.origin else None


def pytest_collection_modifyitems(items):
    """The rig and training are marked by their files; what is neither of them nor ``slow`` is ``quick``."""
    for item in items:
        if item.path.parent.name == "rig":
            item.add_marker("rig")
        elif item.path.name.startswith("test_training"):
            item.add_marker("training")
        if not any(item.get_closest_marker(name) for name in ("slow", "rig", "training")):
            item.add_marker("quick")


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """The test runs in an empty folder of its own: paths can be relative, as a user types them."""
    monkeypatch.chdir(tmp_path)
