"""What the music and the panel's process say to each other: JSON, a line each, over the child's standard input and output.

==========  ====================================================================================================
to child    value
==========  ====================================================================================================
origin      when stream time 0 was, by ``time.perf_counter``; again after a skip or a restart
heard       frames and events in the order in which they came: see ``pack`` and ``unpack``
posterior   [time_s, probability of singing, base64 of a float32 a pitch bin, of the machine's own byte order]
sound       base64 of 16-bit samples, little-endian, at the rate that ``state`` tells
orders      {"settings": what was asked for by groups, "paused", "panics", "running", "profiles", "kept"} (see control/desk.py)
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

import base64
import struct
from collections.abc import Iterable, Iterator
from dataclasses import fields
from operator import attrgetter
from typing import Any

from rt_melody.realtime.types import Brightness, KeyHeard, Loudness, NoteEvent, NoteOff, NoteOn, PitchBend, PitchFrame

KINDS = {kind.__name__: kind for kind in (NoteOn, NoteOff, PitchBend, Loudness, Brightness, KeyHeard)}
_GETTERS = {kind: attrgetter(*(field.name for field in fields(kind))) for kind in KINDS.values()}
_FRAME = struct.Struct("<qddd?dddd")  # the fields of a PitchFrame, in their order
_FIELDS = attrgetter(*(field.name for field in fields(PitchFrame)))


def pack(heard: Iterable[PitchFrame | NoteEvent]) -> list[Any]:
    """As JSON has it: of frames that follow each other the base64 of their fields, of an event the name of its kind and its fields."""
    packed: list[Any] = []
    run: list[bytes] = []
    for item in heard:
        if isinstance(item, PitchFrame):
            run.append(_FRAME.pack(*_FIELDS(item)))
            continue
        if run:
            packed.append(_coded(run))
            run = []
        packed.append([type(item).__name__, _GETTERS[type(item)](item)])
    return [*packed, _coded(run)] if run else packed


def _coded(run: list[bytes]) -> str:
    return base64.b64encode(b"".join(run)).decode()


def unpack(packed: list[Any]) -> Iterator[Any]:
    """The frames and events again."""
    for one in packed:
        if isinstance(one, str):
            for values in _FRAME.iter_unpack(base64.b64decode(one)):
                yield PitchFrame(*values)
        else:
            kind, values = one
            yield KINDS[kind](*values)
