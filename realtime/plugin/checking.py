"""Whether the installed plugin plays: hosted here, with the demo song at its input, at the pace of the clock."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.plugin.building import NAME
from rt_melody.realtime.plugin.installing import installed
from rt_melody.realtime.plugin.lv2_host import Lv2Host
from rt_melody.realtime.sources.demo import DEMO_RATE_HZ, demo_phrase

FRAMES = 256
START_S = 60.0  # the first start of all compiles
PLAY_S = 5.0


def check(tell: Callable[[str], object], seconds: float = PLAY_S) -> None:
    """Host the LV2 for so many seconds once its engine answers. Raises DeviceError where no note comes, or one stays on."""
    bundle = installed("lv2")
    if bundle is None:
        raise DeviceError("no LV2 plugin of ours is installed, which is the one that is checked; run rt-melody plugin install")
    binary = bundle / (f"{NAME}.dylib" if sys.platform == "darwin" else f"{NAME}.so")
    tell(f"hosting {bundle} at {DEMO_RATE_HZ} Hz in blocks of {FRAMES}")
    with Lv2Host(binary, DEMO_RATE_HZ, FRAMES) as host:
        heard = _Heard(host)
        waited_s = heard.play(START_S, until_answer=True)
        if not heard.messages:
            raise DeviceError(f"the engine did not answer within {START_S:g} s; what it said stands above")
        tell(f"the engine answered after {waited_s:.1f} s; latency {1000.0 * host.latency_samples / DEMO_RATE_HZ:.1f} ms")
        heard.play(seconds)
        host.set("PANIC", 1.0)
        heard.play(0.1)
        _judge(heard, tell)


def _judge(heard: _Heard, tell: Callable[[str], object]) -> None:
    if not heard.notes:
        raise DeviceError(f"no note came of the demo song within {PLAY_S:g} s; end other programs, and look at what the engine said")
    if heard.sounding:
        raise DeviceError(f"notes stayed on after a panic: {sorted(heard.sounding)}; report this as a defect")
    tell(f"{heard.notes} notes, {len(heard.messages)} MIDI messages, none left on; the plugin plays")


class _Heard:
    """The demo song, over and over, and what comes out."""

    def __init__(self, host: Lv2Host) -> None:
        self._host, self._song, self._at = host, demo_phrase().samples, 0
        self.messages: list[tuple[int, bytes]] = []
        self.sounding: set[tuple[int, int]] = set()
        self.notes = 0

    def play(self, seconds: float, until_answer: bool = False) -> float:
        """So long at the clock's pace, or until the first message; how long that was."""
        began_s = time.monotonic()
        for block in range(1, int(seconds * DEMO_RATE_HZ / FRAMES) + 1):
            self._take(self._host.play(self._next()))
            if until_answer and self.messages:
                break
            time.sleep(max(0.0, began_s + block * FRAMES / DEMO_RATE_HZ - time.monotonic()))
        return time.monotonic() - began_s

    def _next(self) -> np.ndarray:
        where = (self._at + np.arange(FRAMES)) % len(self._song)
        self._at += FRAMES
        return self._song[where]

    def _take(self, messages: list[tuple[int, bytes]]) -> None:
        self.messages += messages
        for _, message in messages:
            kind, channel, note = message[0] & 0xF0, message[0] & 0x0F, message[1]
            if kind == 0x90 and message[2]:
                self.notes += 1
                self.sounding.add((channel, note))
            elif kind in (0x80, 0x90):
                self.sounding.discard((channel, note))
