"""Latency as arithmetic on named parts: what a bound leaves room for, and what comes on top until a note begins.

The parts are summed here and nowhere else. A new part is one line in ``plan_latency`` or a field of ``LatencyBudget``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil

from rt_melody.realtime.errors import SettingsError

TIGHT_BOUND_MS = 30.0  # bounds up to this are kept with half hops


@dataclass(frozen=True, slots=True)
class LatencyPart:
    """One summand of the latency."""

    name: str
    ms: float
    note: str = ""  # one clause of explanation for the printed budget


@dataclass(frozen=True, slots=True)
class LatencyBudget:
    """How far a pitch lies behind the newest sample taken in, by parts, and a note's own wait on top of it."""

    bound_ms: float  # for the pitch
    parts: tuple[LatencyPart, ...]
    confirmation_ms: float = 0.0  # until a note begins after silence: frames that must agree
    output: LatencyPart | None = None  # what the output adds to everything that goes out

    @property
    def total_ms(self) -> float:
        """The sum of the parts: from a sound to its pitch."""
        return sum(part.ms for part in self.parts)

    @property
    def note_ms(self) -> float:
        """From a sound to the note-on that it causes, after silence, once it is steady and sure."""
        return self.total_ms + self.confirmation_ms + (self.output.ms if self.output else 0.0)

    def with_confirmation(self, ms: float) -> LatencyBudget:
        """The same with a note's own wait."""
        return replace(self, confirmation_ms=ms)

    def with_output(self, part: LatencyPart) -> LatencyBudget:
        """The same with what comes on top in the output."""
        return replace(self, output=part)

    def table(self) -> str:
        """The budget as lines of text, one part a line, then the sum, then that of a note."""
        rows = [_row(part.ms, f"{part.name}{': ' + part.note if part.note else ''}") for part in self.parts]
        rows.append(_row(self.total_ms, f"in all, bound {self.bound_ms:g} ms"))
        if self.confirmation_ms:
            rows.append(_row(self.confirmation_ms, "note confirmation: frames that must agree after silence (--notes on_ms=...)"))
        if self.output:
            rows.append(_row(self.output.ms, f"{self.output.name}: {self.output.note}"))
        if self.confirmation_ms or self.output:
            rows.append(_row(self.note_ms, "until a note begins"))
        return "\n".join(rows)


def _row(ms: float, text: str) -> str:
    return f"  {ms:6.2f} ms  {text}"


def choose_hop_ms(bound_ms: float, model_hop_ms: float) -> float:
    """Half of the model's hop for bounds up to TIGHT_BOUND_MS: what is not waited for can be looked ahead.

    It costs twice the work, which buys nothing where the bound leaves room for all the look-ahead of use.
    """
    return model_hop_ms / 2.0 if bound_ms <= TIGHT_BOUND_MS else model_hop_ms


def plan_latency(
    bound_ms: float, hop_ms: float, heads_ms: tuple[float, ...], resampler_ms: float
) -> tuple[LatencyBudget, float]:
    """The budget for a bound, and the longest look-ahead in ms that fits.

    Raises SettingsError, with the sum, for a bound that the shortest look-ahead does not meet.
    """
    def budget(look_ahead_ms: float) -> LatencyBudget:
        parts = [
            LatencyPart("hop", hop_ms, "a sound waits until its hop is full"),
            LatencyPart("resampler", resampler_ms, "to the model's own rate" if resampler_ms else "the input has the model's own rate"),
            LatencyPart("look-ahead", look_ahead_ms, "of the model"),
        ]
        return LatencyBudget(bound_ms, tuple(parts))

    fitting = [h for h in heads_ms if budget(h).total_ms <= bound_ms + 1e-6]
    if not fitting:
        least = budget(min(heads_ms))
        raise SettingsError(
            f"a latency bound of {bound_ms:g} ms cannot be met: the shortest setting needs {least.total_ms:.2f} ms;"
            f" give --latency-ms {ceil(least.total_ms - 1e-6)} or more. The sum:\n{least.table()}"
        )
    look_ahead = max(fitting)
    return budget(look_ahead), look_ahead
