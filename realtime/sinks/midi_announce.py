"""The bend range, and of MPE the zone, said in steps that a recorder keeps.

Conventions
-----------
* A recorder such as Ardour keeps one value per controller and time, and of equal values in a row the first and the last.
  A registered parameter said in one moment is therefore lost to it: both its number and RPN null are values of the same
  two controllers. So each controller of a channel has one value a step, and each step a moment of its own.
* The data entry is preceded by another, smaller by a semitone, so that no two in a row are equal however often all is
  said again. It is said in silence alone, with the bend at its centre, where it cannot be heard. For the same reason
  MPE's manager says its bend range too, which is that of the specification: 2 semitones.
* RPN null comes last, and no data entry after it: TiMidity++ is deaf to the next parameter where one did.
* Channels do not wait for each other. The zone's value comes before those of its members; in one step, ahead of them.
* A note does not wait: what it needs is said before it at once (``hurry``), and the rest later, in steps. A voice that is
  heard is announced on the channel that its note will have and on the manager's, and a step later on the others.
"""

from __future__ import annotations

from collections import deque

from rt_melody.realtime import midi_bytes as midi

Step = list[bytes]

SELECT, TRIAL, VALUE, NULL, ZONE, WAIT = range(6)  # the steps of a parameter; number and value of MPE's zone; nothing


class Announcement:
    """What is still to be said of the registered parameters of some channels. Nothing when made."""

    def __init__(self) -> None:
        self._of: dict[int, deque[tuple[int, Step]]] = {}
        self._open: dict[int, Step] = {}  # RPN null of the channels on which a number has been said

    def __bool__(self) -> bool:
        return bool(self._of)

    def begin(self, ranges: dict[int, float], members: int = 0, first: int | None = None, varied: bool = True) -> None:
        """Say anew the bend range of each channel in semitones, and before it MPE's zone with so many members.

        ``first``: the channel that a note is about to come on. ``varied``: with the other data entry, for what is said
        more than once.
        """
        self._of = {}
        for channel, semitones in ranges.items():
            manages = members and channel == midi.MPE_MANAGER
            before: list[tuple[int, Step]] = _zone(members) if manages else [(WAIT, [])] if first not in (None, channel) else []
            self._of[channel] = deque(before + _bend_range(channel, semitones, varied and not manages))

    def step(self) -> Step:
        """The next step, while no note sounds."""
        return [message for channel in list(self._of) for message in self._next(channel)]

    def hurry(self, channel: int) -> Step:
        """What a note on this channel needs before it, which is all in one moment; nothing where it has been said."""
        for other, steps in self._of.items():
            self._of[other] = deque(step for step in steps if step[0] != TRIAL)
        said: Step = []
        while self._is_next(midi.MPE_MANAGER, ZONE):
            said += self._next(midi.MPE_MANAGER)
        while self._is_next(channel, WAIT, SELECT, VALUE):
            said += self._next(channel)
        return said

    def step_beside(self, sounding: set[int]) -> Step:
        """The next step of one channel, while a note sounds; of its own channel only RPN null."""
        for channel, steps in self._of.items():
            if channel not in sounding or steps[0][0] == NULL:
                return self._next(channel)
        return []

    def leave(self) -> Step:
        """RPN null on each channel that is in the middle of a parameter; nothing more is to be said."""
        null = [message for step in self._open.values() for message in step]
        self._of, self._open = {}, {}
        return null

    def _is_next(self, channel: int, *kinds: int) -> bool:
        return channel in self._of and self._of[channel][0][0] in kinds

    def _next(self, channel: int) -> Step:
        kind, step = self._of[channel].popleft()
        if kind == NULL:
            self._open.pop(channel, None)
        elif kind != WAIT:
            self._open[channel] = next(said for later, said in self._of[channel] if later == NULL)
        if not self._of[channel]:
            del self._of[channel]
        return step


def _zone(members: int) -> list[tuple[int, Step]]:
    return list(zip((ZONE, ZONE, NULL), midi.parameter_steps(midi.MPE_MANAGER, "mpe_zone", members), strict=True))


def _bend_range(channel: int, semitones: float, varied: bool) -> list[tuple[int, Step]]:
    whole, cents = divmod(round(100 * semitones), 100)
    number, value, null = midi.parameter_steps(channel, "bend_range", whole, cents)
    trial = midi.control_change(channel, "data_entry_msb", whole - 1 if whole > 1 else whole + 1)
    return [(SELECT, number), *([(TRIAL, [trial])] if varied else []), (VALUE, value), (NULL, null)]
