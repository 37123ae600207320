"""Processes that work through tasks side by side, and survive the death of any of them.

Conventions
-----------
* A worker is made by ``make(*arguments)``, which gives a function from a task to a result, and is kept: what it loads, it
  loads once. All of these, and errors, go from process to process by pickle.
* A worker that dies (killed, out of memory) costs its task a retry by a new one; a task whose workers die twice is given up. One that
  the system ends before it has begun costs its task nothing: from then on there are fewer.
* Workers ignore Ctrl-C, which a terminal sends to all: who started them ends them. They leave at once when that one dies.
* ``concurrent.futures`` will not do: there the death of one worker fails every task, and nobody knows whose fault it was.

Where the system can fork, workers are forked from a small server that has imported torch once and runs no threads; on Windows
each begins anew.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from rt_melody.realtime.errors import RtMelodyError
from rt_melody.realtime.signals import signal_name

LOOK_EVERY_S = 0.1  # whether to stop
LIVES = 2  # workers that a task may cost
BEGAN = "began"  # what a worker says first
PRELOADED = ("rt_melody.realtime.melody", "rt_melody.realtime.engine", "soundfile")

Work = Callable[[Any], Any]
Maker = Callable[..., Work]


@dataclass(frozen=True)
class Outcome:
    """What became of a task: its ``result``, or in ``error`` what ``work`` raised. ``died``: how each worker that it cost
    ended, such as ``SIGKILL``; as many as LIVES where it was given up."""

    task: Any
    result: Any = None
    error: BaseException | None = None
    died: tuple[str, ...] = ()

    @property
    def given_up(self) -> bool:
        return len(self.died) >= LIVES


def no_process(error: BaseException) -> RtMelodyError:
    """The sentence for a system that gives none; ``error`` is an OSError, or an EOFError of the server that forks."""
    why = getattr(error, "strerror", None) or "it ended at once"
    return RtMelodyError(f"no worker process can be started ({why}); end other programs, or raise the limits of processes and open files")


class WorkerDefect(Exception):
    """A worker raised what it should not have: its traceback."""


def run_tasks(
    maker: Maker, arguments: tuple[Any, ...], tasks: Iterable[Any], jobs: int, stop: Callable[[], bool] = lambda: False
) -> Generator[Outcome]:
    """The outcome of each task as it comes, not in order. Ends early where ``stop`` says so; what is being worked on then is
    killed. Where the system gives no more processes, those that there are do all; RtMelodyError where it gives none. Raises what
    ``maker`` raises in a worker."""
    pool = _Pool(maker, arguments, iter(tasks), jobs)
    try:
        while pool.feed() and not stop():
            yield from pool.collect()
    finally:
        pool.close()


class _Worker:
    """One process, and what it works on."""

    def __init__(self, context: Any, maker: Maker, arguments: tuple[Any, ...]) -> None:
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, maker, arguments), daemon=True)
        self.process.start()
        other.close()
        self.job: tuple[Any, tuple[str, ...]] | None = None  # the task, and the deaths that it has cost
        self.began = False  # whether it has said that it runs

    def begin(self, job: tuple[Any, tuple[str, ...]]) -> bool:
        """False where it is dead."""
        try:
            self.pipe.send(job[0])
        except OSError:
            return False
        self.job = job
        return True

    def end(self) -> str:
        """Wait for a dead one; how it died."""
        self.process.join()
        code = self.process.exitcode
        return signal_name(-code) if code is not None and code < 0 else f"status {code}"

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class _Pool:
    def __init__(self, maker: Maker, arguments: tuple[Any, ...], tasks: Any, jobs: int) -> None:
        try:
            self._context = _context()
        except (OSError, EOFError) as error:
            raise no_process(error) from error
        self._made_by = maker, arguments
        self._tasks, self._again = tasks, deque[tuple[Any, tuple[str, ...]]]()
        self._jobs = jobs
        self._workers: list[_Worker] = []

    def feed(self) -> bool:
        """Give everybody something to do; whether anybody has."""
        for worker in [w for w in self._workers if w.job is None]:
            if (job := self._next()) is None:
                break
            self._start(worker, job)
        while len(self._workers) < self._jobs and (job := self._next()) is not None:
            try:
                worker = _Worker(self._context, *self._made_by)
            except (OSError, EOFError) as error:  # EOFError: of the server that forks
                self._do_without(job, error)
                break
            self._workers.append(worker)
            self._start(worker, job)
        return any(worker.job for worker in self._workers)

    def _do_without(self, job: tuple[Any, tuple[str, ...]], why: BaseException) -> None:
        """Leave the job of a worker that could not begin to the others. Raises RtMelodyError where there are none."""
        self._again.appendleft(job)
        if not self._workers:
            raise no_process(why) from why
        self._jobs = len(self._workers)

    def _start(self, worker: _Worker, job: tuple[Any, tuple[str, ...]]) -> None:
        if not worker.begin(job):  # dead while it had nothing to do, which is no fault of the task
            self._workers.remove(worker)
            self._again.append(job)

    def _next(self) -> tuple[Any, tuple[str, ...]] | None:
        if self._again:
            return self._again.popleft()
        for task in self._tasks:
            return task, ()
        return None

    def collect(self) -> Generator[Outcome]:
        pipes = {worker.pipe: worker for worker in self._workers if worker.job}
        for pipe in wait(list(pipes), LOOK_EVERY_S):
            worker = pipes[pipe]  # type: ignore[index]
            outcome = self._receive(worker)
            if outcome is not None:
                yield outcome

    def _receive(self, worker: _Worker) -> Outcome | None:
        assert worker.job is not None
        task, died = worker.job
        try:
            said = worker.pipe.recv()
        except (EOFError, OSError) as error:
            if worker.began:
                return self._bury(worker, task, died)
            worker.kill()
            self._workers.remove(worker)
            self._do_without(worker.job, error)
            return None
        if said == BEGAN:
            worker.began = True
            return None
        ready, result, error = said
        if not ready:
            raise error
        worker.job = None
        return Outcome(task, result, error, died)

    def _bury(self, worker: _Worker, task: Any, died: tuple[str, ...]) -> Outcome | None:
        died = (*died, worker.end())
        worker.pipe.close()
        self._workers.remove(worker)
        if len(died) >= LIVES:
            return Outcome(task, died=died)
        self._again.append((task, died))
        return None

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
        self._workers.clear()


def _context() -> Any:
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(list(PRELOADED))
        _start_server()
    return context


def _start_server() -> None:
    """Start the server deaf to what a terminal sends to all: it ignores Ctrl-C only once it has imported everything."""
    from multiprocessing import forkserver, resource_tracker

    resource_tracker.ensure_running()  # before, since it would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP))
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---- in the worker --------------------------------------------------------------------------------


def _serve(pipe: Connection, maker: Maker, arguments: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        threading.Thread(target=_leave_with_parent, daemon=True).start()
    except RuntimeError:  # the system gives no more threads, as little as processes
        os._exit(1)
    pipe.send(BEGAN)
    try:
        work = maker(*arguments)
    except BaseException as error:
        pipe.recv()
        pipe.send((False, None, _carried(error)))
        return
    with suppress(EOFError, BrokenPipeError):  # the other end has gone
        while True:
            pipe.send(_done(work, pipe.recv()))


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _done(work: Work, task: Any) -> tuple[bool, Any, BaseException | None]:
    try:
        return True, work(task), None
    except Exception as error:
        return True, None, _carried(error)


def _carried(error: BaseException) -> BaseException:
    """The error as it can be sent: one of ours, else its traceback."""
    if isinstance(error, RtMelodyError):
        return type(error)(str(error))
    return WorkerDefect("".join(traceback.format_exception(*sys.exc_info())).rstrip())
