"""Signals that end or pause the program, so that no note hangs and no file is left half done, whenever they come.

Conventions
-----------
* While the program starts, a signal that ends it raises ``Stopped`` where it is: nothing sounds yet, and what was opened is
  closed on the way out. Where Python was just freeing something it says that it ignored that, which is kept quiet: the program
  ends when it has started. Where kernels are compiled nothing can be raised (see kernels/compiled.py): it leaves from there, with its
  ``last_words``. Once it runs, the signal is noted, and whoever works asks ``came`` between two blocks.
* A second Ctrl-C interrupts at once.
* What ``nohup`` and the like made the program ignore stays ignored.
* SIGKILL cannot be caught: see sinks/midi_guardian.py.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

# Those that end a program by default and can be caught; where the system has them. SIGINT and SIGTERM always.
ENDING = (
    "SIGINT",
    "SIGTERM",
    "SIGHUP",
    "SIGQUIT",
    "SIGABRT",
    "SIGALRM",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGPROF",
    "SIGXCPU",
    "SIGIO",
    "SIGPWR",
    "SIGBREAK",
)

Handler = Callable[[int, object], None]
SETTLE_S = 0.05


class Stopped(BaseException):
    """A signal ended the program while it started."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal_name(number)}")
        self.number = number


def signal_name(number: int) -> str:
    """Such as SIGTERM."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class StopSignals:
    """What came since it was entered."""

    def __init__(self) -> None:
        self.came: int | None = None  # the signal that asks to end
        self.running = False  # signals are noted, no longer raised
        self.last_words: Callable[[int], object] = lambda number: None  # where nobody can be told on the way out
        self._pause_asked = False

    def run(self) -> None:
        """From now on signals are noted, not raised. Raises Stopped for one that came before."""
        self.running = True
        if self.came is not None:
            raise Stopped(self.came)

    def stop(self) -> bool:
        """Whether to end."""
        return self.came is not None

    def take_pause(self) -> bool:
        """Whether Ctrl-Z came since the last call: the caller ends what sounds, then calls ``pause``."""
        asked, self._pause_asked = self._pause_asked, False
        return asked

    def pause(self) -> None:
        """Stand still until SIGCONT, once threads that write have had time to write that the note ended."""
        time.sleep(SETTLE_S)
        os.kill(os.getpid(), signal.SIGSTOP)

    def note(self, number: int, _frame: object) -> None:
        """The handler of a signal that ends the program."""
        first, self.came = self.came is None, number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if first and not self.running:
            if _compiles():
                try:
                    self.last_words(number)
                finally:
                    os._exit(128 + number)
            raise Stopped(number)

    def note_pause(self, _number: int, _frame: object) -> None:
        """The handler of Ctrl-Z."""
        self._pause_asked = True
        if not self.running:
            self.pause()


def _compiles() -> bool:
    compiled = sys.modules.get("rt_melody.kernels.compiled")
    if compiled is None:
        return False
    at_it = getattr(compiled, "is_compiling", None)
    return at_it is None or at_it()  # None: it is being imported, and numba with it, of which the same holds


@contextmanager
def stop_signals() -> Generator[StopSignals]:
    """Meanwhile signals end or pause the program in good order. In another thread than the main one nothing is caught."""
    signals = StopSignals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    handlers: dict[int, Handler] = {getattr(signal, name): signals.note for name in ENDING if hasattr(signal, name)}
    if hasattr(signal, "SIGTSTP"):
        handlers[signal.SIGTSTP] = signals.note_pause
    before = {number: signal.getsignal(number) for number in handlers}
    told_of_others = sys.unraisablehook
    try:
        sys.unraisablehook = lambda told: None if isinstance(told.exc_value, Stopped) else told_of_others(told)
        for number, handler in handlers.items():
            if number in (signal.SIGINT, signal.SIGTERM) or before[number] != signal.SIG_IGN:
                signal.signal(number, handler)
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        sys.unraisablehook = told_of_others


def heed_no_signal() -> None:
    """Of those that can be ignored: for a process that must outlive what ends the program."""
    for number in signal.valid_signals() - {signal.SIGCHLD}:
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
