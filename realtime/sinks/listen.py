"""``--listen``: whether the melody is to be heard aloud, and the sink for it.

The demo sounds without being asked where there is an output; what stands in its way is passed over. Beside a microphone the sink waits for
the stream that may play it: whoever opens that says how it is heard.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.settings import Settings
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.said_aloud import heard_through
from rt_melody.realtime.sinks.table import SinkRequest
from rt_melody.realtime.sources.devices import NoOutputError

if TYPE_CHECKING:
    from rt_melody.realtime.sinks.aloud import ListenSink

DEMO_TIMBRE = "flute"
NO_LOUDSPEAKER = "the demo needs no loudspeaker, and finds none here: it sings to the program, which writes down what it hears"
ANSWER_S = 3.0  # in which an output that nobody asked for must have opened


def from_settings(request: SinkRequest) -> list[EventSink]:
    """The instrument of ``--listen``, and the demo's where nobody said otherwise. Raises DeviceError for one asked for in vain."""
    s = request.settings
    name = s.output.listen
    if name == "off" or (name is None and (s.source.input != ["demo"] or _nobody_listens(s))):
        return []
    from rt_melody.realtime.sinks.aloud import ListenSink  # and with it the kernel and the sound library

    alone = "mic" not in s.source.input
    make = partial(ListenSink, name or DEMO_TIMBRE, s.output.listen_device, s.performance.a4_hz, request.tell, alone=alone)
    sink = make() if name else _if_there(make, request.say)
    if sink is None:
        return []
    if sink.output is not None:
        request.say(_announcement(s, sink.output.full_name))
    return [sink]


def _if_there(make: Callable[[], ListenSink], say: Callable[[str], object]) -> ListenSink | None:
    """What ``make`` gives, if it does so before anybody would wonder; else why nothing will be heard is said."""
    made: list[ListenSink] = []
    why = ["nothing is heard of the demo, which goes on all the same: the audio output does not answer"]

    def attempt() -> None:
        try:
            made.append(make())
        except NoOutputError:
            why[0] = NO_LOUDSPEAKER
        except DeviceError as error:
            why[0] = f"nothing is heard of the demo, which goes on all the same: {error}"

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(ANSWER_S)
    if made:
        return made[0]
    say(why[0])
    return None


def _nobody_listens(settings: Settings) -> bool:
    """A machine that runs by itself, or lines that another program waits for as fast as they come. Tests of ours say it by
    RT_MELODY_SILENT."""
    return bool(os.environ.get("CI") or os.environ.get("RT_MELODY_SILENT")) or settings.output.writes_lines or settings.report.quiet


def _announcement(settings: Settings, output: str) -> str:
    if settings.source.input == ["demo"]:
        return f"you hear it through {output}; --listen off makes it silent"
    return heard_through(output)
