"""MIDI into the JACK graph, each message at its frame.

Conventions
-----------
* A message that belongs to a time of the stream is sent one period after it: the period in which it is worked out.
  So the delay is the same for each, and a note lies as evenly as it was sung.
* Whoever sends never waits. While the server is away what is sent is dropped, since a note that comes late is worse
  than none; ``returns`` goes up when it is back, and whoever sends tells the receiver then what it must know.
* A server that is not waited for is ``lost``, which whoever plays looks at.
* At the close everything that still waits is sent, and whatever sounds is ended.
"""

from __future__ import annotations

import time
from typing import Protocol

from rt_melody.realtime.jack.process import CYCLE_FRAME, LATE_EVENTS, MOST_LATE, PERIOD, RATE, Exchange
from rt_melody.realtime.latency import LatencyPart

CLOSE_S = 0.5  # how long the graph may take to send what waits


class Sound(Protocol):
    """What is heard, by whose samples messages are timed."""

    def sample_at(self, stream_s: float) -> int | None: ...


class PortClient(Protocol):
    """What the port asks of its ``JackClient``."""

    name: str
    returns: int
    away: bool
    lost: str

    @property
    def joined(self) -> bool: ...
    @property
    def exchange(self) -> Exchange: ...
    @property
    def sound(self) -> Sound | None: ...
    @property
    def stands_still(self) -> bool: ...
    def release(self, holder: str) -> None: ...


class JackPort:
    """What a ``MidiSink`` plays on. Raises nothing: a port that was lost comes back, or is ``lost``."""

    def __init__(self, client: PortClient) -> None:
        self._client = client
        self._crowded = False  # the last message found no room
        self._crowds = 0  # how often that passed
        self._closed = False

    @property
    def name(self) -> str:
        return f"{self._client.name}:out"

    @property
    def returns(self) -> int:
        """How often the receiver may have missed something."""
        return self._client.returns + self._crowds

    @property
    def lost(self) -> str:
        """Why nothing can be sent any more; empty where it can, or will."""
        return self._client.lost if self._client.away else ""

    def send_message(self, message: bytes) -> None:
        """As soon as possible: at the beginning of the next period."""
        exchange = self._client.exchange
        self._put(exchange[CYCLE_FRAME] + exchange[PERIOD], message)

    def send_at(self, message: bytes, stream_s: float) -> None:
        """One period after the time ``stream_s`` of the stream that the client's source gives; at once without one."""
        sample = self._client.sound.sample_at(stream_s) if self._client.sound is not None else None
        if sample is None:
            self.send_message(message)
        else:
            exchange = self._client.exchange
            self._put(exchange.frame_of(sample) + exchange[PERIOD], message)

    def _put(self, frame: int, message: bytes) -> None:
        if self._closed or self._client.away:
            return
        if not self._client.exchange.put(frame, message):
            self._crowded = True
        elif self._crowded:
            self._crowded = False
            self._crowds += 1

    @property
    def latency(self) -> LatencyPart:
        """What lies between an event and its message, by the period of now."""
        exchange = self._client.exchange
        period_ms = 1000.0 * exchange[PERIOD] / exchange[RATE]
        return LatencyPart("JACK", period_ms, "each message goes out one period later, as evenly as it was sung")

    @property
    def late(self) -> tuple[int, float]:
        """How many messages came too late for their frame, and by how many seconds at most."""
        exchange = self._client.exchange
        return exchange[LATE_EVENTS], exchange[MOST_LATE] / exchange[RATE]

    def close_port(self) -> None:
        """Send what waits and end what sounds, then close; the graph is not waited for where it stands still. Idempotent."""
        if self._closed or not self._client.joined:
            return
        self._closed = True
        exchange = self._client.exchange
        exchange.end_notes()
        deadline_s = time.monotonic() + CLOSE_S
        while not (exchange.notes_ended or self._client.away or self._client.stands_still) and time.monotonic() < deadline_s:
            time.sleep(0.002)
        time.sleep(2 * exchange[PERIOD] / exchange[RATE])  # until those who listen have had that cycle too

    def delete(self) -> None:
        """Leave the graph, unless the source still listens."""
        self._client.release("midi")
