"""What a live stream asks of the system: to run first, to stay in memory, and to meet no pauses of Python's own.

Conventions
-----------
* ``live_thread`` is for the thread that computes, entered after the device was opened, so that the threads of
  the sound library and of other people's code do not inherit its priority.
* Everything is given back at its end. What the system refuses is no error: ``SchedulingStatus`` says in a sentence what
  was refused and what would allow it.
* Linux: SCHED_FIFO, below the priority at which sound servers run (JACK 60, PipeWire 88), reset for whatever
  the thread starts. macOS: the quality of service of interactive work. Windows: MMCSS's "Pro Audio".
* Memory is locked page by page as it is used (MCL_ONFAULT, Linux 4.4), so that nothing grows by being locked;
  what is mapped later is not, since a limit on locked memory would then fail allocations.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

FIFO_PRIORITY = 50
MCL_CURRENT, MCL_ONFAULT = 1, 4  # mlockall(2), Linux on x86 and ARM
QOS_USER_INTERACTIVE, QOS_DEFAULT = 0x21, 0x15  # sys/qos.h, macOS
SWITCH_INTERVAL_S = 0.0005  # how long another Python thread may keep the interpreter when this one wants it

ALLOW_FIFO = (
    "put '@audio - rtprio 95' and '@audio - memlock unlimited' into /etc/security/limits.d/audio.conf, join the "
    "group audio, and log in again"
)


@dataclass(frozen=True)
class SchedulingStatus:
    """What was granted: ``priority`` in a few words, None where refused; ``refusal`` is then one sentence."""

    priority: str | None = None
    refusal: str = ""
    memory_locked: bool = False
    memory_refusal: str = ""

    def line(self) -> str:
        """Both in one line."""
        memory = "memory locked" if self.memory_locked else f"memory not locked ({self.memory_refusal})"
        return f"{self.priority or 'normal priority'}, {memory}"


NOT_LIVE = SchedulingStatus(memory_refusal="not live")

Undo = Callable[[], object]


@contextmanager
def live_thread(live: bool = True, priority: bool = True) -> Generator[SchedulingStatus]:
    """The calling thread computes a live stream: priority and locked memory where the system grants them
    (``priority``), no garbage collection, quick hand-over between Python threads. Nothing where not ``live``."""
    if not live:
        yield NOT_LIVE
        return
    undo: list[Undo] = []
    try:
        undo.append(_stop_collection())
        undo.append(_switch_quickly())
        yield _ask(undo) if priority else SchedulingStatus(memory_refusal="not asked for")
    finally:
        for step in reversed(undo):
            step()


def _ask(undo: list[Undo]) -> SchedulingStatus:
    locked = lock_memory()
    if isinstance(locked, str):
        memory = SchedulingStatus(memory_refusal=locked)
    else:
        undo.append(locked)
        memory = SchedulingStatus(memory_locked=True)
    try:
        granted, back = raise_priority()
    except OSError as error:
        return replace(memory, refusal=_refusal(error))
    undo.append(back)
    return replace(memory, priority=granted)


def run_first() -> bool:
    """Real-time priority for the calling thread, for good; whether it was granted."""
    try:
        raise_priority()
    except OSError:
        return False
    return True


def runs_first() -> bool:
    """Whether the calling thread has a real-time policy already, as far as the system tells (Linux)."""
    if not hasattr(os, "sched_getscheduler"):
        return False
    return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK in (os.SCHED_FIFO, os.SCHED_RR)


def _refusal(error: OSError) -> str:
    way_out = f"; {ALLOW_FIFO}" if sys.platform.startswith("linux") else ""
    return f"the system gave no real-time priority ({error.strerror or error}), so other programs may delay notes{way_out}"


# ---- priority ----------------------------------------------------------------------------------


def raise_priority() -> tuple[str, Undo]:
    """Raise the calling thread; what was granted, and what takes it back. Raises OSError where it is refused."""
    if hasattr(os, "sched_setscheduler"):
        return _fifo()
    if sys.platform == "darwin":
        return _interactive(ctypes.CDLL(None))
    if sys.platform == "win32":
        return _pro_audio(ctypes.WinDLL("avrt", use_last_error=True))
    raise OSError(0, f"{sys.platform} has none that is known here")


def _fifo() -> tuple[str, Undo]:
    """SCHED_FIFO; 0 is the calling thread (sched(7)). Left as it is where somebody has set a real-time policy."""
    before, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    if runs_first():
        return f"real-time priority {parameter.sched_priority} as it was started", lambda: None
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(FIFO_PRIORITY))
    return f"real-time priority {FIFO_PRIORITY} (FIFO)", lambda: _set_back(before, parameter)


def _set_back(policy: int, parameter: os.sched_param) -> None:
    try:
        os.sched_setscheduler(0, policy, parameter)
    except PermissionError:  # without privileges the reset flag stays; the policy matters
        os.sched_setscheduler(0, policy | os.SCHED_RESET_ON_FORK, parameter)


def _interactive(system: ctypes.CDLL) -> tuple[str, Undo]:
    """pthread_set_qos_class_self_np(3), macOS."""
    error = system.pthread_set_qos_class_self_np(QOS_USER_INTERACTIVE, 0)
    if error:
        raise OSError(error, os.strerror(error))
    return "the priority of interactive work", lambda: system.pthread_set_qos_class_self_np(QOS_DEFAULT, 0)


def _pro_audio(avrt: ctypes.CDLL) -> tuple[str, Undo]:
    """AvSetMmThreadCharacteristicsW, Windows' Multimedia Class Scheduler Service."""
    ask, give_back = avrt.AvSetMmThreadCharacteristicsW, avrt.AvRevertMmThreadCharacteristics
    ask.restype, give_back.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
    task = ask("Pro Audio", ctypes.byref(ctypes.c_ulong(0)))
    if not task:
        raise OSError(0, "the Multimedia Class Scheduler Service refused")
    return "the priority of professional audio (MMCSS)", lambda: give_back(task)


# ---- memory ------------------------------------------------------------------------------------


def lock_memory() -> Undo | str:
    """Keep what this process uses in memory; what lets it go again, or why it was refused, in a few words."""
    if not sys.platform.startswith("linux"):
        return f"not possible on {sys.platform}"
    system = ctypes.CDLL(None, use_errno=True)
    if system.mlockall(MCL_CURRENT | MCL_ONFAULT) == 0:
        return lambda: system.munlockall()
    return os.strerror(ctypes.get_errno()).lower()


# ---- Python's own pauses -----------------------------------------------------------------------


def _stop_collection() -> Undo:
    """The garbage collector rests, and never again looks at what is there now; left alone where it rested."""
    if not gc.isenabled():
        return lambda: None
    gc.collect()
    gc.freeze()
    gc.disable()

    def resume() -> None:
        gc.enable()
        gc.unfreeze()

    return resume


def _switch_quickly() -> Undo:
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, SWITCH_INTERVAL_S))
    return lambda: sys.setswitchinterval(before)
