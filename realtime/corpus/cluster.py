"""The same extraction by a Dask cluster: one that runs somewhere, or one made on this machine for as long as it takes.

Conventions
-----------
* A task is one recording. At most WAITING of them for each thread are with the scheduler at a time, so that a corpus of any size
  costs it the same. Each thread of a worker loads the model once.
* By default workers read sounds and write results by path, on a disk that all see under the same name. With ``send`` the bytes
  of a sound go with its task, and those of its results come back.
* A worker that dies costs its recording a retry. On a cluster that is made here a recording whose workers die twice is given up;
  on another one after one more than its scheduler allows (``distributed.scheduler.allowed-failures``).
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rt_melody.realtime.console import say
from rt_melody.realtime.corpus.extraction import PARTIAL, Entry, Extraction, Extractor, not_written
from rt_melody.realtime.corpus.inputs import Recording
from rt_melody.realtime.corpus.workers import LIVES, Outcome
from rt_melody.realtime.errors import DeviceError, InputError, RtMelodyError, SettingsError, missing_package
from rt_melody.realtime.version import version

LOCAL = "local"
WAITING = 3  # tasks a thread
CONNECT_S = 10.0
LOOK_S = 0.2  # how soon a signal is noticed
PATIENCE_S = 10.0  # with a cluster without workers, which may be about to begin anew
TRIM = "MALLOC_TRIM_THRESHOLD_"  # mallopt(3): set, it fixes the other one at 128 KiB, which would else grow with what is asked for
MAP = "MALLOC_MMAP_THRESHOLD_"
_thread = threading.local()

Outcomes = Callable[[Iterable[Recording], Callable[[], bool]], Iterable[Outcome]]


@contextmanager
def on_cluster(extraction: Extraction, address: str, jobs: int, send: bool = False) -> Generator[Outcomes]:
    """Meanwhile connected to the scheduler at ``address``, or to one of this machine with so many workers where it is
    ``local``. Raises SettingsError without the library or for workers of another version, DeviceError where no scheduler or no
    worker is there."""
    try:
        import distributed  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as error:
        raise SettingsError(missing_package("--scheduler", "distributed")) from error
    with ExitStack() as stack:
        _silence()
        client: Any = _local(distributed, jobs, stack) if address == LOCAL else _connect(distributed, address, stack)
        _check_versions(client)
        _tell_of_mapping(client)
        yield lambda todo, stop: _outcomes(distributed, client, extraction, todo, stop, send)


def _silence() -> None:
    """Dask's own messages, which tell in tracebacks what this program says in a sentence."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _local(distributed: Any, jobs: int, stack: ExitStack) -> Any:
    import dask  # pyright: ignore[reportMissingTypeStubs]

    config: Any = dask.config  # type: ignore[attr-defined]
    ours: dict[str, object] = {
        "scheduler.allowed-failures": LIVES - 1,
        "scheduler.worker-saturation": 1.0,  # what waits at a worker that dies counts as having killed it
        "worker.daemon": True,
        f"nanny.pre-spawn-environ.{TRIM}": None,
    }
    stack.enter_context(config.set({f"distributed.{key}": value for key, value in ours.items()}))
    quiet = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}  # None alone asks for port 8787, and warns where it is taken
    cluster = stack.enter_context(
        distributed.LocalCluster(
            n_workers=jobs, threads_per_worker=1, dashboard_address=None, silence_logs="CRITICAL", memory_limit=0, scheduler_kwargs=quiet
        )
    )
    return stack.enter_context(distributed.Client(cluster))


def _connect(distributed: Any, address: str, stack: ExitStack) -> Any:
    try:
        client = stack.enter_context(distributed.Client(address, timeout=CONNECT_S))
    except (OSError, ValueError, TimeoutError) as error:
        raise DeviceError(
            f"there is no Dask scheduler at {address} ({error}); start one (dask scheduler), or give --scheduler alone for this machine"
        ) from error
    if not client.nthreads():
        raise DeviceError(f"the scheduler at {address} has no workers; start some: dask worker {address}")
    return client


def _check_versions(client: Any) -> None:
    """That every worker runs this version of the product."""
    try:
        there: dict[str, Any] = client.run(version)
    except ImportError as error:
        raise SettingsError(f"a worker has no rt-melody ({error}); install version {version()} wherever workers run") from error
    for worker, other in there.items():
        if other != version():
            raise SettingsError(f"the worker {worker} runs rt-melody {other}, and here is {version()}; install the same everywhere")


def _tell_of_mapping(client: Any) -> None:
    """Where workers spend half their time on it."""
    mapping = sum(client.run(_maps_anew).values())
    if mapping:
        say(
            f"{mapping} of the workers map memory anew for each block of sound and take about twice as long; start them with "
            f"{TRIM}=268435456 {MAP}=268435456 in their environment"
        )


def _maps_anew() -> bool:
    return TRIM in os.environ and MAP not in os.environ


def _outcomes(
    distributed: Any, client: Any, extraction: Extraction, todo: Iterable[Recording], stop: Callable[[], bool], send: bool
) -> Generator[Outcome]:
    """As ``workers.run_tasks`` gives them. Raises DeviceError where the cluster is gone meanwhile."""
    waiting: dict[Any, Recording] = {}
    try:
        yield from _handed_out(distributed, client, extraction, iter(todo), stop, send, waiting)
    except (CancelledError, OSError) as error:
        raise DeviceError(
            "the cluster is gone, or has dropped what it was to hear; what is done stays done: start it, and give the same command again"
        ) from error
    finally:
        with suppress(CancelledError, OSError):
            client.cancel(list(waiting))


def _handed_out(
    distributed: Any, client: Any, extraction: Extraction, todo: Iterator[Recording], stop: Callable[[], bool], send: bool, waiting: Any
) -> Generator[Outcome]:
    left, checked, hands = True, send, _Hands(client)
    while not stop():
        most = WAITING * hands.threads()
        while left and len(waiting) < most:
            recording = next(todo, None)
            if recording is None:
                left = False
                break
            if not checked:
                _check_paths(client, recording.path, extraction.out)
                checked = True
            task = _sent(extraction, recording) if send else (extraction, _absolute(recording))
            waiting[client.submit(_extract_sent if send else _extract, *task, pure=False)] = recording
        if not waiting:
            return
        yield from _finished(distributed, waiting, extraction)


class _Hands:
    """Those of a cluster, which may come and go."""

    def __init__(self, client: Any) -> None:
        self._client, self._since_s, self._told = client, time.monotonic(), False
        self._asked_s, self._number = -LOOK_S, 0

    def threads(self) -> int:
        """How many there were LOOK_S ago or since, 1 where there are none; which is told when it lasts. A scheduler has better to
        do than to count them after each task."""
        if time.monotonic() < self._asked_s + LOOK_S:
            return self._number or 1
        self._asked_s, self._number = time.monotonic(), sum(self._client.nthreads().values())
        number = self._number
        if number:
            self._since_s, self._told = time.monotonic(), False
        elif not self._told and time.monotonic() - self._since_s > PATIENCE_S:
            say("the cluster has no workers any more; this goes on when it has some (dask worker ADDRESS), and Ctrl-C ends it")
            self._told = True
        return number or 1


def _finished(distributed: Any, waiting: dict[Any, Recording], extraction: Extraction) -> Generator[Outcome]:
    try:
        distributed.wait(list(waiting), timeout=LOOK_S, return_when="FIRST_COMPLETED")
    except TimeoutError:
        return
    for future in [future for future in waiting if future.done()]:
        yield _outcome(waiting.pop(future), future, extraction, distributed)
        future.release()


def _outcome(recording: Recording, future: Any, extraction: Extraction, distributed: Any) -> Outcome:
    error = future.exception()
    if isinstance(error, distributed.KilledWorker):
        return Outcome(recording, died=("killed",) * (error.allowed_failures + 1))
    if error is not None:
        return Outcome(recording, error=error)
    entry, files = future.result()
    try:
        _put(Path(extraction.out) / recording.name, files, Path(extraction.out) / PARTIAL)
    except OSError as failure:
        return Outcome(recording, error=not_written(Path(extraction.out), failure))
    return Outcome(recording, {**entry, "sound": recording.path})


def _put(place: Path, files: dict[str, bytes], partial: Path) -> None:
    for name, data in files.items():
        new = partial / name
        new.write_bytes(data)
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(new, place.with_name(name))


def _absolute(recording: Recording) -> Recording:
    return replace(recording, path=os.path.abspath(recording.path))


def _check_paths(client: Any, sound: str, out: str) -> None:
    """That every worker sees a sound and the output folder."""
    for path in (os.path.abspath(sound), out):
        seen: dict[str, bool] = client.run(os.path.exists, path)
        blind = next((worker for worker, sees in seen.items() if not sees), None)
        if blind is not None and os.path.exists(path):
            raise InputError(f"the worker {blind} does not see {path}; mount it there under the same name, or send the sounds: --send")


def _sent(extraction: Extraction, recording: Recording) -> tuple[Extraction, Recording, bytes | None]:
    try:
        return extraction, recording, Path(recording.path).read_bytes()
    except OSError:
        return extraction, recording, None


# ---- on a worker ----------------------------------------------------------------------------------


def _extractor(extraction: Extraction) -> Extractor:
    """That of this thread, which has loaded the model. Raises SettingsError where it cannot be made, for whatever reason."""
    held: Extractor | None = getattr(_thread, "extractor", None)
    if held is None or held.asked != extraction:
        try:
            held = _thread.extractor = Extractor(extraction)
        except RtMelodyError as error:
            raise SettingsError(str(error)) from error
    return held


def _extract(extraction: Extraction, recording: Recording) -> tuple[Entry, dict[str, bytes]]:
    return _extractor(extraction)(recording), {}


def _extract_sent(extraction: Extraction, recording: Recording, data: bytes | None) -> tuple[Entry, dict[str, bytes]]:
    """A sound that comes as bytes, None where it could not be read; its results as bytes."""
    if data is None:
        raise InputError(f"{recording.path} cannot be read; check that it is there")
    extractor = _extractor(extraction)
    with tempfile.TemporaryDirectory(prefix="rt-melody-") as folder:
        sound, out = Path(folder, Path(recording.path).name), Path(folder, "out")
        Path(out, PARTIAL).mkdir(parents=True)
        sound.write_bytes(data)
        extractor.asked, asked = replace(extraction, out=str(out)), extractor.asked
        try:
            entry = extractor(replace(recording, path=str(sound)))
        finally:
            extractor.asked = asked
        if "error" in entry:
            entry["error"] = entry["error"].replace(str(sound), recording.path)
        if "remarks" in entry:
            entry["remarks"] = [said.replace(str(sound), recording.path) for said in entry["remarks"]]
        place = out / recording.name
        files = {path.name: path.read_bytes() for path in place.parent.iterdir() if path.is_file()} if place.parent.exists() else {}
        return entry, files
