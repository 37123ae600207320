"""Bends and controllers bounded in rate: each repeated value saved, each last value sent.

Conventions
-----------
* Times are seconds of stream time and never go back between two calls without a ``reset``.
* A key names what one message overwrites, such as the bend of a channel. The bytes of its message are its value.
* A token bucket: bytes accrue at ``bytes_per_s`` up to ``BURST_BYTES``. A message that finds too few waits; a newer
  one of its key takes its place, so that what is sent is the newest, and the key that has waited longest goes first.
* Notes never wait. What is sent with them is taken from the bucket, which it may empty, but not put in debt.

A DIN cable carries 31,250 baud, which is 3125 bytes a second. The usual bound leaves it half of that for notes; a
voice that bends and swells in each hop of 10 ms takes 800 bytes a second, so waiting is the exception.
"""

from __future__ import annotations

from collections.abc import Hashable

from rt_melody.realtime.settings.midi import BYTES_PER_S

BURST_BYTES = 24

Timed = tuple[float, bytes]  # when it may be sent, and the message


class ControlStream:
    """What was sent and what waits, of each key of one port."""

    def __init__(self, bytes_per_s: int = BYTES_PER_S) -> None:
        self.bytes_per_s = bytes_per_s
        self.reset()

    def reset(self) -> None:
        """Nothing waits, nothing is known to have been sent, the bucket is full, time begins anew."""
        self._sent: dict[Hashable, bytes] = {}
        self._waiting: dict[Hashable, Timed] = {}
        self._tokens = float(BURST_BYTES)
        self._now_s = 0.0

    def forget(self) -> None:
        """Nothing waits, nothing is known to have been sent; time goes on."""
        self._sent.clear()
        self._waiting.clear()

    def offer(self, key: Hashable, message: bytes, now_s: float) -> None:
        """Send this as soon as the rate allows, unless it is what was sent last."""
        if self._sent.get(key) == message:
            self._waiting.pop(key, None)
        else:
            asked_s = self._waiting[key][0] if key in self._waiting else now_s
            self._waiting[key] = (asked_s, message)

    def at_once(self, key: Hashable, message: bytes, now_s: float) -> list[bytes]:
        """What to send now, with a note: the message, or nothing where it was sent last."""
        self._waiting.pop(key, None)
        if self._sent.get(key) == message:
            return []
        self._sent[key] = message
        self.spend(len(message), now_s)
        return [message]

    def spend(self, count: int, now_s: float) -> None:
        """So many bytes were sent beside: they too fill the cable."""
        self._accrue(now_s)
        self._tokens = max(0.0, self._tokens - count)

    def due(self, now_s: float) -> list[Timed]:
        """What waited and may be sent by now, each with the time from which on it might."""
        sent: list[Timed] = []
        while self._waiting:
            key, (asked_s, message) = next(iter(self._waiting.items()))
            lacking_s = max(0.0, len(message) - self._tokens) / self.bytes_per_s
            ready_s = max(asked_s, self._now_s + lacking_s)
            if ready_s > now_s + 1e-9:
                break
            del self._waiting[key]
            self._sent[key] = message
            self.spend(len(message), ready_s)
            sent.append((ready_s, message))
        return sent

    def _accrue(self, now_s: float) -> None:
        if now_s > self._now_s:
            self._tokens = min(float(BURST_BYTES), self._tokens + (now_s - self._now_s) * self.bytes_per_s)
            self._now_s = now_s
