"""A microphone and, from another input with a clock of its own, the band as it is played: a monitor, a loopback device.

Conventions
-----------
* The other input is opened at the microphone's rate. Its newest samples are read beside the microphone's, so many for so many:
  as new as they can be had for certain, SPARE_S behind the newest, by what was seen in the first LOOK_S. Until then there is
  silence, as in place of samples that come late for once.
* A sound system that both are streams of, such as JACK, calls them one after the other: what the other input lacks is waited for, for
  WAIT_S at most, lest it be given a block later, or too late.
* Two clocks run apart, which the canceller follows. Where that has used up the samples at hand, so that they came late
  LATE_BLOCKS times within LATE_S, or they pile up, the reading slips by steps of SLIP_S, and the canceller learns the way anew.
* Where it is lost the music goes on, with silence in its place. With ``reconnect`` it is waited for as the microphone is, and what is
  then given beside what is found anew after either was away. Without, or where its rate no longer fits, it is told of once.
"""

from __future__ import annotations

import math
import sys
from typing import Union

import numpy as np

from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.sources.base import RateChanged
from rt_melody.realtime.sources.beside import WithReference
from rt_melody.realtime.sources.microphone import READ_S, STILL_S, MicrophoneSource

LOOK_S = 0.5
SPARE_S = 0.002
WAIT_S = 0.0 if sys.platform == "win32" else 0.001  # there the shortest wait is longer than all that is spared
SLIP_S = 0.02
LATE_BLOCKS, LATE_S = 5, 2.0
PILE_S = 0.06  # beyond what was spared at the beginning
HELD_S = 2.0  # of the other input


class SecondInput(MicrophoneSource):
    """The band's input: a MicrophoneSource whose newest seconds can be read again."""

    name = "reference"

    def _said_of_end(self, lost: str) -> str:
        return f"the reference {lost}"

    def _said_of_absence(self, lost: str) -> str:
        return f"the band is not taken out: the reference {lost}; the music goes on, and the band is taken out once it is back"

    @property
    def absence(self) -> str:
        """What is said while it is waited for; empty where it is there."""
        return self._away

    def open_beside(self, microphone: MicrophoneSource) -> None:
        """Open it at the microphone's rate. Raises DeviceError, also where it is the microphone itself."""
        try:
            self.open()
        except DeviceError as error:
            raise DeviceError(f"the reference cannot be heard: {error}") from error
        if self._opened_input().index == microphone._opened_input().index:
            self.close()
            raise DeviceError(
                f"--reference {self.device} is the microphone itself; choose the input on which the band comes, such as the monitor "
                "of the output, or --reference-channel for another channel of the same device"
            )
        self._held = np.zeros(int(HELD_S * self.sample_rate), np.float32)
        self.taken = 0

    def take_in(self, wanted: float = -math.inf) -> None:
        """All that has come; less than ``wanted`` in all is waited for. Raises DeviceError where it is lost."""
        self._take(0.0)
        if self.taken < wanted and not self.is_still:
            self._take(WAIT_S)

    def _take(self, timeout_s: float) -> None:
        while (block := self.read(timeout_s)) is not None and len(block):
            timeout_s = 0.0
            start, size = self.taken % len(self._held), len(self._held)
            first = min(len(block), size - start)
            self._held[start : start + first] = block[:first]
            self._held[: len(block) - first] = block[first:]
            self.taken += len(block)

    def copy_from(self, index: int, out: np.ndarray) -> None:
        """What came from sample ``index`` on [shape=(n,)]; all of it must be there still."""
        start = index % len(self._held)
        first = min(len(out), len(self._held) - start)
        out[:first] = self._held[start : start + first]
        out[first:] = self._held[: len(out) - first]

    @property
    def held_samples(self) -> int:
        return len(self._held)

    @property
    def is_still(self) -> bool:
        """Whether nothing has come for a while."""
        return self._silent_s() > STILL_S

    @property
    def full_name(self) -> str:
        return self._opened_input().full_name


class TwoInputMicrophone(WithReference[Union[str, int]]):
    """An audio input of this machine, live, beside another, the device ``known_by``, on which the band comes; see BesideBand.
    ``open`` raises DeviceError for either."""

    band: SecondInput | None = None
    slips, _lost = 0, ""
    _of_band = False  # whether the newest trouble was the band's

    def open(self) -> None:
        """As MicrophoneSource, and the other input. Raises DeviceError."""
        super().open()
        band = SecondInput(
            self.known_by, self.sample_rate, block_samples=self._block_samples, backend=self._backend, reconnect=self._reconnect
        )
        try:
            band.open_beside(self)
        except DeviceError:
            self.close()
            raise
        self.band, self._lost = band, ""
        self._begin_pairing()

    def _begin_pairing(self) -> None:
        self._beside = np.zeros(int(READ_S * self.sample_rate), np.float32)
        self._given, self._ahead, self._least = 0, None, math.inf
        self._looked_samples = 0
        self._late_at: list[int] = []  # positions at which samples of the band had not come yet
        self._breaks_seen = self._breaks_of_both()

    def _breaks_of_both(self) -> int:
        return self.breaks + (self.band.breaks if self.band is not None else 0)

    def close(self) -> None:
        if self.band is not None:
            self.band.close()
        super().close()

    # ------------------------------------------------------------------ reading

    def read(self, timeout_s: float = 0.1) -> np.ndarray | None:
        block = super().read(timeout_s)
        if self._given and not self._lost:
            self._pair(self._given)
        return block

    def _pair(self, count: int) -> None:
        """Put what is heard of the band beside a block that ends where the microphone has been read to."""
        band = self.band
        assert band is not None, "open has made it"
        at = self.position_samples
        try:
            band.take_in(at + (math.inf if self._ahead is None else self._ahead))
        except RateChanged as error:
            self._lost = error.change
            return
        except DeviceError as error:
            self._lost = str(error)
            return
        if self._breaks_seen != self._breaks_of_both():
            self._begin_pairing()
            self._given = count
        out = self._beside[:count]
        ahead = None if band.absence else self._find_place(band.taken - at, count)
        if ahead is None or band.taken - at - ahead + count > band.held_samples:
            out[:] = 0.0
            return
        there = max(0, min(count, count + band.taken - at - ahead))
        band.copy_from(at + ahead - count, out[:there])
        out[there:] = 0.0

    def _find_place(self, newest: int, count: int) -> int | None:
        """How many more samples of the band have been read than of the microphone, where the blocks of both end; None before
        that is decided. ``newest``: how many more have come."""
        self._least, self._looked_samples = min(self._least, newest), self._looked_samples + count
        looked = self._looked_samples >= LOOK_S * self.sample_rate
        if self._ahead is not None:
            self._slip_if_needed(newest, self._least if looked else -math.inf)
        elif looked:
            self._ahead = int(self._least) - round(SPARE_S * self.sample_rate)
        if looked:
            self._least, self._looked_samples = math.inf, 0
        return self._ahead

    def _slip_if_needed(self, newest: int, least: float) -> None:
        """Back where the samples come late again and again; on where even the fewest of late, ``least``, were too many."""
        assert self._ahead is not None, "its place was found"
        slip = round(SLIP_S * self.sample_rate)
        by, now = 0, self.position_samples
        if newest < self._ahead:
            self._late_at = [at for at in self._late_at if now - at < LATE_S * self.sample_rate] + [now]
        if len(self._late_at) >= LATE_BLOCKS and newest < self._ahead:
            self._late_at = []
            by = -math.ceil((self._ahead - newest) / slip) * slip
        elif least - self._ahead > PILE_S * self.sample_rate:
            by = int(least - self._ahead) // slip * slip
        self._ahead += by
        self.slips += by != 0

    def follow_rate(self) -> None:
        """As MicrophoneSource; the other input, of which nobody knows its new rate, is let go."""
        super().follow_rate()
        self._lost = self._lost or f"the microphone has changed its rate to {self.sample_rate} Hz, which its input does not have"
        self._begin_pairing()

    # ------------------------------------------------------------------ what is known

    def _heard_beside(self) -> np.ndarray | None:
        return None if self._lost else self._beside

    @property
    def trouble(self) -> str | None:
        """As MicrophoneSource; else what is wrong with the other input."""
        if trouble := super().trouble:
            self._of_band = False
        elif trouble := self._trouble_of_band():
            self._of_band = True
        return trouble

    def _trouble_of_band(self) -> str | None:
        if self._stream is None or self.band is None:
            return None
        if self._lost:
            return f"the band is not taken out any more: {self._lost}; the music goes on, and rt-melody started anew takes it out again"
        if self.band.absence:
            return self.band.absence
        return f"nothing comes from the reference {self.band.full_name!r} any more" if self.band.is_still else None

    @property
    def relief(self) -> str:
        return "the reference gives sound again" if self._of_band else super().relief

    @property
    def notice(self) -> str | None:
        """That the band was not taken out to the end."""
        if self._lost:
            return f"the band was not taken out to the end: {self._lost}"
        return self.band.absence if self.band is not None and self.band.absence else None
