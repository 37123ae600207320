"""A bar on a terminal that shows how far many recordings have got; nothing on a pipe."""

from __future__ import annotations

import sys
import time
from typing import Any

from rt_melody.realtime.console import say

FORM = "{desc}{percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt} files{postfix}, {remaining} left"


class Progress:
    """``shown``: None where standard error is a terminal. ``total``: files; None where nobody knows yet."""

    def __init__(self, total: int | None, shown: bool | None = None) -> None:
        self.heard_s = 0.0  # seconds of sound
        self._began_s = time.monotonic()
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bar: Any = _bar(total) if (terminal if shown is None else shown) else None

    def step(self, heard_s: float) -> None:
        """One more file is done, which held so much sound."""
        self.heard_s += heard_s
        if self._bar is not None:
            self._bar.set_postfix_str(self.line(), refresh=False)
            self._bar.update()

    def line(self) -> str:
        """Sound and speed so far."""
        return f"{self.heard_s / 60:.1f} min of sound, {self.speed:.0f} x real time"

    @property
    def speed(self) -> float:
        """Seconds of sound a second."""
        return self.heard_s / max(time.monotonic() - self._began_s, 1e-9)

    def say(self, text: str) -> None:
        """A sentence on standard error, above the bar."""
        if self._bar is None:
            say(text)
            return
        self._bar.clear()
        say(text)
        self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _bar(total: int | None) -> Any:
    from tqdm import tqdm  # pyright: ignore[reportMissingModuleSource]  # its stubs are apart

    return tqdm(total=total, file=sys.stderr, bar_format=FORM, dynamic_ncols=True, mininterval=0.2)
