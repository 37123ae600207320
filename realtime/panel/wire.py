"""What the music and the panel's process say to each other: JSON, a line each, over the child's standard input and output.

==========  ====================================================================================================
to child    value
==========  ====================================================================================================
origin      when stream time 0 was, by ``time.perf_counter``; again after a skip or a restart
heard       frames and events in the order in which they came, each a list: see ``pack`` and ``unpack``
posterior   [time_s, base64 of a byte a pitch bin: the probability, weighed by that of singing]
sound       base64 of 16-bit samples, little-endian, at the rate that ``state`` tells
orders      {"settings": what was asked for by groups, "paused", "panics", "running", "profiles"}
state       what there is to show, by name, in place of what was told before
figures     how the session keeps time (see timing/figures.py), and the spread of its lateness
said        a sentence for the player; ``alert``: one that must not be missed
==========  ====================================================================================================

==========  ====================================================================================================
from child  value
==========  ====================================================================================================
url         where the page is; or ``error``: why there is none
send        [name, value] for the desk
run         whether to listen
sound       whether samples are wanted
==========  ====================================================================================================
"""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import Any

from rt_melody.realtime.types import Brightness, KeyHeard, Loudness, NoteEvent, NoteOff, NoteOn, PitchBend, PitchFrame

KINDS = {kind.__name__: kind for kind in (PitchFrame, NoteOn, NoteOff, PitchBend, Loudness, Brightness, KeyHeard)}
_GETTERS = {kind: attrgetter(*(field.name for field in fields(kind))) for kind in KINDS.values()}


def pack(item: PitchFrame | NoteEvent) -> tuple[str, Any]:
    """The name of its kind and its fields, in their order."""
    return type(item).__name__, _GETTERS[type(item)](item)


def unpack(packed: list[Any]) -> Any:
    """The frame or event again."""
    kind, values = packed
    return KINDS[kind](*values)
