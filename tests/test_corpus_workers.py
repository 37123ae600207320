"""Processes that work side by side: whose death costs one task at most, and which leave when they are told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rt_melody.realtime.corpus import workers
from rt_melody.realtime.corpus.workers import run_tasks
from rt_melody.realtime.errors import InputError, RtMelodyError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills by signal")


class Worker:
    """Squares numbers. ``deaths``: a folder in which a file says that the number has killed a worker already."""

    def __init__(self, deaths: str = "") -> None:
        self.deaths, self.pid = deaths, os.getpid()

    def __call__(self, number: int) -> tuple[int, int]:
        if number < 0:
            raise InputError(f"{number} is below 0")
        if number == 7:
            raise ZeroDivisionError("seven")
        if number in (13, 14):
            mark = Path(self.deaths) / str(number)
            if number == 13 or not mark.exists():
                mark.touch()
                os.kill(self.pid, signal.SIGKILL)
        return number * number, self.pid


def unmakeable(reason: str) -> Worker:
    raise InputError(reason)


def slow(number: int) -> int:
    time.sleep(60)
    return number


def make_slow():
    return slow


def test_each_task_is_done_once_by_as_many_processes():
    outcomes = list(run_tasks(Worker, (), iter(range(6)), 2))
    assert sorted((o.task, o.result[0]) for o in outcomes) == [(n, n * n) for n in range(6)]
    assert len({o.result[1] for o in outcomes}) == 2 and os.getpid() not in {o.result[1] for o in outcomes}


def test_an_error_of_one_task_is_its_outcome():
    outcomes = {o.task: o for o in run_tasks(Worker, (), [1, -2, 7, 3], 2)}
    assert isinstance(outcomes[-2].error, InputError) and str(outcomes[-2].error) == "-2 is below 0"
    assert "ZeroDivisionError: seven" in str(outcomes[7].error)
    assert outcomes[1].result[0] == 1 and outcomes[3].result[0] == 9


def test_a_task_may_cost_one_worker_and_not_two(tmp_path):
    outcomes = {o.task: o for o in run_tasks(Worker, (str(tmp_path),), [1, 13, 2, 14, 3, 4], 2)}
    assert outcomes[13].given_up and outcomes[13].died == ("SIGKILL", "SIGKILL")
    assert outcomes[14].result[0] == 196 and outcomes[14].died == ("SIGKILL",)
    assert [outcomes[n].result[0] for n in (1, 2, 3, 4)] == [1, 4, 9, 16]


def test_what_cannot_begin_is_told():
    with pytest.raises(InputError, match="no model there"):
        list(run_tasks(unmakeable, ("no model there",), [1, 2], 2))


def only(most: int):
    """A class of workers of which the system starts so many."""

    class Few(workers._Worker):
        started = 0

        def __init__(self, *arguments) -> None:
            if Few.started == most:
                raise BlockingIOError(11, "Resource temporarily unavailable")
            Few.started += 1
            super().__init__(*arguments)

    return Few


def test_fewer_processes_than_were_asked_for_do_all(monkeypatch):
    monkeypatch.setattr(workers, "_Worker", only(1))
    outcomes = list(run_tasks(Worker, (), range(5), 3))
    assert sorted(o.result[0] for o in outcomes) == [0, 1, 4, 9, 16] and len({o.result[1] for o in outcomes}) == 1


def leave_at_once(pipe, maker, arguments) -> None:
    """A worker that the system ends before it has begun."""
    os._exit(1)


@pytest.mark.parametrize("others", [1, 0])
def test_a_worker_that_cannot_begin_costs_its_task_nothing(others, monkeypatch):
    class Some(workers._Worker):
        made = 0

        def __init__(self, context, *arguments) -> None:
            Some.made += 1
            with monkeypatch.context() as patch:
                if Some.made > others:
                    patch.setattr(workers, "_serve", leave_at_once)
                super().__init__(context, *arguments)

    monkeypatch.setattr(workers, "_Worker", Some)
    if not others:
        with pytest.raises(RtMelodyError, match="no worker process can be started"):
            list(run_tasks(Worker, (), range(5), 3))
        return
    outcomes = list(run_tasks(Worker, (), range(5), 3))
    assert sorted(o.result[0] for o in outcomes) == [0, 1, 4, 9, 16] and not any(o.died for o in outcomes)
    assert Some.made == 3, "no other is tried"


def test_a_system_that_gives_no_server_is_told(monkeypatch):
    def none():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(workers, "_context", none)
    with pytest.raises(RtMelodyError, match=r"no worker process can be started \(Resource temporarily unavailable\)"):
        list(run_tasks(Worker, (), range(5), 3))


def test_a_system_that_gives_no_process_is_told(monkeypatch):
    monkeypatch.setattr(workers, "_Worker", only(0))
    with pytest.raises(RtMelodyError, match=r"no worker process can be started \(Resource temporarily unavailable\); end other programs"):
        list(run_tasks(Worker, (), range(5), 3))


IMPORTED_FOR_LONG = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
os.kill(os.getpid(), signal.SIGQUIT)
"""
STARTING = """
from functools import partial
from rt_melody.realtime.corpus import workers
workers.PRELOADED = ("imported_for_long",)
print([outcome.result for outcome in workers.run_tasks(partial, (pow, 2), [3, 4], 1)])
"""


def test_ctrl_c_while_the_server_imports_does_not_end_it(tmp_path):
    (tmp_path / "imported_for_long.py").write_text(IMPORTED_FOR_LONG)
    ended = subprocess.run(
        [sys.executable, "-c", STARTING], env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60
    )
    assert (ended.stdout, ended.stderr) == ("[8, 16]\n", "")


def test_stopping_waits_for_nobody():
    began_s = time.monotonic()
    assert list(run_tasks(make_slow, (), [1, 2, 3], 2, stop=lambda: True)) == []
    assert time.monotonic() - began_s < 30
