"""What the program says on its standard files, whoever has closed or left them, and while libraries are kept from it."""

from __future__ import annotations

import io
import os
import sys
import threading
import unicodedata
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TextIO

from rt_melody.realtime.errors import OutputError, RtMelodyError

CLEAR_LINE = "\r\x1b[K"  # ECMA-48: erase to the end of the line
STDERR = 2

_saying = threading.RLock()  # a handler of signals may say something in between
_kept: list[int] = []  # where the standard error leads, for each ``without_stderr`` under way: to the same place


def visible(text: str, kept: str = "\n\t") -> str:
    """``text`` with what would move the cursor, change colours or turn the reading direction written out, as ``\\x1b``.

    Names of files, devices and ports are other people's. ``kept``: what may stay as it is; nothing within a name.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(letter if letter in kept or not _acts(letter) else letter.encode("unicode_escape").decode() for letter in text)


def _acts(letter: str) -> bool:
    """Whether a letter is a control (Cc), a direction or another invisible format (Cf), or ends a line (Zl, Zp)."""
    return unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp")


def say(text: str, over_line: bool = False) -> None:
    """One sentence on stderr, if anybody still listens there; ``over_line``: a display may stand in its place. Of another
    program's names only what is visible gets there."""
    if sys.stderr is not None:
        line = f"{CLEAR_LINE if over_line else ''}rt-melody: {visible(text)}\n"
        with suppress(OSError, ValueError), _saying:
            if _kept and _goes_by_number(sys.stderr):
                os.write(_kept[-1], line.encode(sys.stderr.encoding, "backslashreplace"))
            else:
                print(line, end="", file=sys.stderr, flush=True)


def _goes_by_number(stream: TextIO) -> bool:
    """Whether it is the standard error that libraries know by its number."""
    try:
        return stream.fileno() == STDERR
    except (OSError, ValueError):
        return False


def reader_has_gone(error: RtMelodyError) -> bool:
    """Whether the error is only that of ``rt-melody ... | head -1``."""
    return isinstance(error.__cause__, BrokenPipeError)


def print_text(text: str) -> int:
    """``text`` on stdout; status 0. Raises OutputError where stdout does not take it."""
    try:
        stdout = sys.stdout
        if isinstance(stdout, io.TextIOWrapper):
            stdout.reconfigure(errors="backslashreplace")  # a device may have letters that its encoding has not
        print(visible(text), end="", flush=True)
    except OSError as error:
        raise OutputError(f"standard output cannot be written ({error.strerror}); send it elsewhere") from error
    return 0


def flushed(status: int) -> int:
    """``status``, with nothing left in the buffer of stdout that the interpreter would stumble over at its end."""
    stdout = sys.stdout
    if stdout is None:
        return status
    try:
        stdout.flush()
    except OSError:  # told already, or its reader has gone
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
    return status


def hold_standard_files() -> None:
    """Where the shell closed one of the three, keep its number from an output file: libraries write to it blindly."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


@contextmanager
def without_stderr() -> Generator[None]:
    """Meanwhile what libraries write to the standard error by its number goes nowhere; what other threads ``say`` is said. Threads may be
    in it side by side."""
    try:
        with _saying:
            kept = os.dup(_kept[-1] if _kept else STDERR)
            if not _kept:
                _send_nowhere()
            _kept.append(kept)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        with _saying:
            _kept.remove(kept)
            if not _kept:
                os.dup2(kept, STDERR)
            os.close(kept)


def _send_nowhere() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STDERR)
    os.close(nowhere)
