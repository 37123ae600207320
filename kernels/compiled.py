"""How a kernel is compiled: on import, for one signature, and kept for the next start where a folder can be had.

Compiling takes seconds, loading what was kept takes milliseconds. Numba keeps it beside the source or in the user's home,
and refuses to import where it can do neither; here it is a temporary folder of the user's own then, or nothing is kept.
"""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any, TypeVar

import numba
from numba import cfunc, njit
from numba.core import event

events: Any = event
config: Any = numba.config  # pyright: ignore[reportPrivateImportUsage]  # numba's documented name for it
Kernel = TypeVar("Kernel", bound=Callable[..., Any])
_FOLDER = "rt-melody-kernels-{user}"
_told: list[Callable[[bool], object]] = []  # who is told, and has not been yet
_at_it: list[int] = []  # threads that compile or load a kernel
_fallen_back: set[str] = set()  # where what was compiled is kept instead; "" for nowhere


def compiled(signature: str, fastmath: Iterable[str] = ()) -> Callable[[Kernel], Kernel]:
    """Numba's ``njit`` for one ``signature``, without the interpreter lock, cached where that can be.

    ``fastmath``: LLVM's flags for what may be done with floating-point numbers, for instance sums in another order.
    """
    loose = set(fastmath) or False
    return lambda function: _kept(lambda cache: njit(signature, cache=cache, nogil=True, fastmath=loose)(function))


def part(fastmath: Iterable[str] = ()) -> Callable[[Callable[..., Any]], Any]:
    """What kernels are made of: compiled into each that calls it, for the kinds that it calls with, and kept with it."""
    return njit(fastmath=set(fastmath) or False)


def callback(signature: str) -> Callable[[Callable[..., Any]], Any]:
    """Numba's ``cfunc``, what C calls at its ``address``, cached likewise with the code of all that it calls."""
    return lambda function: _kept(lambda cache: cfunc(signature, cache=cache)(function))


def _kept(compile_it: Callable[[bool], Any]) -> Any:
    """What ``compile_it(cache)`` gives, from the first place where it can be kept."""
    _at_it.append(threading.get_ident())
    try:
        return _kept_somewhere(compile_it)
    finally:
        _at_it.remove(threading.get_ident())


def is_compiling() -> bool:
    """Whether this thread is within numba and LLVM, who lose an exception that the handler of a signal raises in their callbacks, or
    free what they still use."""
    return threading.get_ident() in _at_it


def _kept_somewhere(compile_it: Callable[[bool], Any]) -> Any:
    for keep in (_as_numba_does, _in_a_temporary_folder):
        try:
            with keep():
                return compile_it(True)
        except Exception:  # no folder, a full disk, a cache that is damaged: without a cache it is shown what is at fault
            continue
    _fallen_back.add("")
    return compile_it(False)


@contextmanager
def _as_numba_does() -> Generator[None]:
    yield


@contextmanager
def _in_a_temporary_folder() -> Generator[None]:
    """What numba loads from there is code, so the folder must be nobody else's."""
    folder = own_folder(os.path.join(tempfile.gettempdir(), _FOLDER.format(user=getattr(os, "getuid", lambda: "user")())))
    before, config.CACHE_DIR = config.CACHE_DIR, folder
    try:
        yield
        _fallen_back.add(folder)
    finally:
        config.CACHE_DIR = before


def own_folder(path: str) -> str:
    """``path`` as a folder that this user alone can write to. Raises PermissionError where it is somebody else's."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode) or (hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022)):
        raise PermissionError(f"{path} is not this user's alone")
    return path


class _Announcer(event.Listener):
    """Hears of each function that is compiled, not of one that is loaded from where it was kept."""

    def on_start(self, event: Any) -> None:
        while _told:
            _told.pop()("" not in _fallen_back)

    def on_end(self, event: Any) -> None: ...


events.register("numba:compile", _Announcer())


def before_compiling(tell: Callable[[bool], object] | None) -> None:
    """Have ``tell`` called, once, before the next kernel is compiled, which takes a while; never, where all are kept already. It is
    told whether what is compiled can be kept for the next start. None: nobody any more."""
    _told[:] = [] if tell is None else [tell]


def cache_notice() -> str | None:
    """One sentence on what would make the next start quicker; None where all is kept as it should be."""
    if not _fallen_back:
        return None
    kept = "is compiled anew at each start, which takes some seconds" if "" in _fallen_back else f"is kept in {min(_fallen_back)} only"
    return (
        f"neither the program's own folder nor a home can be written to, so what it compiles {kept}; "
        "NUMBA_CACHE_DIR=FOLDER in the environment names a better place"
    )
