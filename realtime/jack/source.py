"""Sound from the JACK graph, its samples counted in JACK's frames, and beside it what is known of the band.

An instrument that is played without a song begins with a breath, and rests meanwhile (see sources/sounding.py).

A song that is played begins START_S after it was asked to, or after its delay. What was heard before the first sample that can
hold the song's first, by JACK's account of the latencies, is dropped: the stream's time is the song's.
"""

from __future__ import annotations

import time
from typing import Protocol

import numpy as np

from rt_melody.realtime.jack.process import PERIOD, Exchange
from rt_melody.realtime.sources.backed import TAIL_S, Backing
from rt_melody.realtime.sources.base import AudioSource, DeviceLost, RateChanged
from rt_melody.realtime.sources.player import LEARNT_S, breath
from rt_melody.realtime.sources.rate_meter import RateMeter
from rt_melody.realtime.sources.sounding import Aloud
from rt_melody.realtime.sources.wakeup import WakeupPipe

READ_S = 0.1  # the most that one read gives
ZEROS_S = 3.0  # exact zeros for so long are no room that is quiet
STILL_S = 1.0  # without a cycle
START_S = 0.2  # longer than any period


class SoundClient(Protocol):
    """What the source asks of its ``JackClient``."""

    name: str
    away: bool
    lost: str
    break_at: int | None
    links: int

    @property
    def joined(self) -> bool: ...
    @property
    def exchange(self) -> Exchange: ...
    @property
    def wakeup(self) -> WakeupPipe: ...
    @property
    def rate_hz(self) -> int: ...
    @property
    def heard(self) -> str: ...
    @property
    def knows_band(self) -> bool: ...
    @property
    def reference(self) -> str: ...
    @property
    def speaker(self) -> str: ...
    @property
    def plays(self) -> str | None: ...
    def round_trip_samples(self) -> int: ...
    def open(self) -> object: ...
    def is_heard(self) -> bool: ...
    def time_us(self) -> int: ...
    def release(self, holder: str) -> None: ...


class JackSource(AudioSource):
    """The audio input of a ``JackClient``, live.

    A server that goes is no end: ``read`` gives nothing until it is back, ``breaks`` counts where sound broke off and
    began, and the time in between is counted in ``lost_samples``. Where the client waits for nobody, ``read`` raises DeviceLost
    once all was read, as it does then for a source that left the graph. A graph that changes its rate raises ``RateChanged``
    once all that came before was read; ``follow_rate`` goes on.

    ``backing``: the song that is played, and ``instrument`` that is played besides, for a client that has a port for it; to be set before
    ``open``. The source ends TAIL_S after the song.
    """

    name = "JACK input"
    live = True

    def __init__(self, client: SoundClient) -> None:
        self._client = client
        self._open = False
        self.backing: Backing | None = None
        self.instrument: Aloud | None = None

    # ---- birth and death -----------------------------------------------------------------------

    def open(self) -> None:
        """Join the graph, unless the client is there. Raises DeviceError as it does."""
        if self._open:
            raise RuntimeError("the JACK input is open already")
        if not self._client.joined:
            self._client.open()
        self._exchange = self._client.exchange
        self.sample_rate = rate = int(self._client.rate_hz)
        self._make_blocks(rate)
        self._gate, self._ends = 0, None  # the sample with which the stream begins, and that with which it ends
        self._have_song()
        self._exchange.have_instrument(self.instrument.instrument if self.instrument is not None and self.sounds else None)
        self._meter = RateMeter(rate)
        self._origin_s: float | None = None
        self._clock_starts = self._stream_starts = True
        self._first_sample: int | None = None
        self._lost_at_origin = self._breaks = self._restarts = 0
        self._heard_from = 0  # the sample from which silence counts
        self._was_away = False
        self._still_s, self._cycle_us = time.monotonic(), -1
        self._open = True

    def _make_blocks(self, rate: int) -> None:
        self._block = np.zeros(int(READ_S * rate), np.float32)
        self._beside = np.zeros_like(self._block) if self._client.knows_band else None
        self._given = 0

    def _have_song(self) -> None:
        """The song, or the breath, at the graph's rate."""
        self._song_samples = 0
        if (song := self.backing) is not None:
            from rt_melody.kernels.resample import converted

            samples = song.samples if song.sample_rate == self.sample_rate else converted(song.samples, song.sample_rate, self.sample_rate)
            self._song_samples = len(samples)
            self._exchange.have_song(samples, song.loops)
        elif self.sounds:
            self._exchange.have_song(breath(self.sample_rate), False)

    def close(self) -> None:
        """Leave the graph, unless the MIDI port still plays. Idempotent."""
        if self._open:
            self._open = False
            if self.instrument is not None and self.sounds and not self._client.away:
                self.instrument.ring_out()
            self._exchange.have_instrument(None)
            self._exchange.play_song(None)
            self._client.release("sound")

    # ---- reading -------------------------------------------------------------------------------

    def read(self, timeout_s: float = 0.1) -> np.ndarray | None:
        """What has come since the last read, at most 0.1 s of it, as a view; None after ``close``."""
        if not self._open:
            return None
        deadline_s = time.monotonic() + timeout_s
        self._given = 0
        while True:
            if self._ends is not None and self.position_samples >= self._ends:
                return None
            self._note_breaks()
            given = self._given = self._read_from_gate()
            if given:
                self._start_clock_if_asked(given)
                return self._block[:given]
            self._raise_if_lost()
            self._raise_if_rate_changed()
            left_s = deadline_s - time.monotonic()
            if left_s <= 0.0:
                return self._block[:0]
            self._client.wakeup.wait(left_s)

    def _read_from_gate(self) -> int:
        if self._exchange.position < self._gate:
            self._exchange.skip(self._gate - self._exchange.position)
            if self._exchange.position < self._gate:  # what comes meanwhile is before it too
                return 0
        return self._exchange.read(self._block[: self._until_break()], self._beside)

    def _until_break(self) -> int:
        """How many samples one read may give: what came before the server went, and after, are two blocks."""
        at = self._client.break_at
        if at is None or at <= self.position_samples:
            return len(self._block)
        return min(len(self._block), at - self.position_samples)

    def _note_breaks(self) -> None:
        away = self._client.away
        if away and not self._was_away and not self._exchange.available:
            self._was_away = True
            self._breaks += 1
        at = self._client.break_at
        if at is not None and self.position_samples >= at and self._exchange.available:
            self._client.break_at = None
            self._was_away = False
            self._breaks += 1
            self._restarts += 1
            self._heard_from = self.position_samples
            self._meter.reset()

    def _start_clock_if_asked(self, given: int) -> None:
        if self._stream_starts:
            self._stream_starts = False
            self._first_sample = self._heard_from = self.position_samples - given
        arrived = self._exchange.arrived()
        self._meter.add(arrived.written + arrived.lost, 1e-6 * arrived.at_us)
        if self._clock_starts:
            self._clock_starts = False
            ago_s = 1e-6 * (self._client.time_us() - arrived.at_us)
            self._origin_s = time.perf_counter() - ago_s - arrived.written / self.sample_rate
            self._lost_at_origin = arrived.lost

    def _raise_if_lost(self) -> None:
        if lost := self._client.lost:
            raise DeviceLost(f"the {self.name} was lost: {lost}; start it again, then run rt-melody again")

    def _raise_if_rate_changed(self) -> None:
        rate_hz = self._exchange.changed_rate
        if rate_hz not in (0, self.sample_rate) and not self._exchange.available:
            raise RateChanged(f"the {self.name} {self._client.heard}".strip(), self.sample_rate, rate_hz)

    def follow_rate(self) -> None:
        """Go on at the rate that the graph has now: ``sample_rate`` is it, and positions count in its samples."""
        rate_hz = self._exchange.changed_rate
        if rate_hz in (0, self.sample_rate):  # the callback has yet to see that it was followed
            return
        ratio = rate_hz / self.sample_rate
        if self._origin_s is not None:
            self._origin_s += (self._exchange.arrived().lost - self._lost_at_origin) / self.sample_rate
        self.sample_rate = rate_hz
        self._gate, self._ends = round(self._gate * ratio), None if self._ends is None else round(self._ends * ratio)
        self._have_song()  # while the callback keeps away
        self._exchange.follow_rate(rate_hz)
        self._lost_at_origin = self._exchange.arrived().lost
        if self._first_sample is not None:
            self._first_sample = round(self._first_sample * ratio)
        self._heard_from = self.position_samples
        self._client.break_at = None
        self._make_blocks(rate_hz)
        self._meter.reset(rate_hz)

    def skip_to_newest(self) -> int:
        return self._exchange.skip() if self._open else 0

    def start_clock(self) -> None:
        """As AudioSource; the song begins, or its count-in, from the beginning where it was begun before."""
        self._clock_starts = self._stream_starts = True
        if (song := self.backing) is None:
            self._exchange.play_song(None)
            self.learn_anew()
            return
        at = self._soon + round(song.delay_s * self.sample_rate)
        self._gate = at + self._client.round_trip_samples()
        self._ends = None if song.loops else self._gate + self._song_samples + round(TAIL_S * self.sample_rate)
        self._exchange.play_song(at)

    def learn_anew(self) -> bool:
        """As AudioSource, for a server that is there."""
        if not self._open or self._client.away or self.backing is not None or not self.sounds:
            return False
        self._exchange.play_song(self._soon, round(LEARNT_S * self.sample_rate))
        return True

    @property
    def _soon(self) -> int:
        """The sample that will come START_S after what has come."""
        return self._exchange.arrived().written + round(START_S * self.sample_rate)

    # ---- what is known -------------------------------------------------------------------------

    @property
    def backlog_samples(self) -> int:
        return self._exchange.available if self._open else 0

    @property
    def device_block_samples(self) -> int:
        return self._exchange[PERIOD] if self._open else 0

    @property
    def position_samples(self) -> int:
        return max(self._exchange.position, self._gate) if self._open else 0

    @property
    def reference(self) -> np.ndarray | None:
        return self._beside[: self._given] if self._open and self._beside is not None and self.brings_reference else None

    @property
    def brings_reference(self) -> bool:
        """Whether the band comes in, or anything is played: a port by which nothing is tells of none."""
        return self._client.knows_band and (self._client.plays is None or self.backing is not None or self.sounds)

    @property
    def sounds(self) -> bool:
        return self.instrument is not None and self._client.plays is not None

    @property
    def heard(self) -> str:
        """What is heard, for the voice and for the band, and what plays, for people."""
        of_band = f" and, for the band, to {self._client.reference}" if self._client.reference else ""
        return (self._client.heard or "nothing yet") + of_band

    @property
    def played_on(self) -> str:
        """What is played on, for people."""
        return self._client.speaker or f"nothing yet (connect {self._client.name}:{self._client.plays})"

    @property
    def lost_samples(self) -> int:
        return self._exchange.arrived().lost if self._open else 0

    @property
    def overflows(self) -> int:
        """How often the graph ran without us; how many samples that were is in ``lost_samples``."""
        return max(0, self._exchange.arrived().gaps - self._restarts) if self._open else 0

    @property
    def breaks(self) -> int:
        """As AudioSource; what leads from what is played to what is heard may have become another where one of them came back."""
        return self._breaks + self._client.links * (self.sounds and self.backing is None) if self._open else 0

    @property
    def origin_s(self) -> float | None:
        """Wall-clock time of sample 0; later by what was lost since, to the sample."""
        if not self._open or self._origin_s is None:
            return None
        return self._origin_s + (self._exchange.arrived().lost - self._lost_at_origin) / self.sample_rate

    def sample_at(self, stream_s: float) -> int | None:
        """Which sample lies at a time of the stream, whose second 0 is the first that was read since ``start_clock``."""
        if not self._open or self._first_sample is None:
            return None
        return self._first_sample + round(stream_s * self.sample_rate)

    @property
    def measured_rate_hz(self) -> float | None:
        return self._meter.measured_hz if self._open else None

    @property
    def trouble(self) -> str | None:
        """What is wrong with the input now, in one sentence; None where all is well, or the client has told it."""
        if not self._open or self._client.away:
            return None
        return self._standing_still() or self._silent() or self._other_rate()

    def _standing_still(self) -> str | None:
        now_s, at_us = time.monotonic(), self._exchange.arrived().at_us
        if at_us != self._cycle_us:
            self._cycle_us, self._still_s = at_us, now_s
        return "the JACK server stands still: no sound comes from it" if now_s - self._still_s > STILL_S else None

    def _silent(self) -> str | None:
        written = self._exchange.arrived().written
        if written - max(self._exchange.last_sound, self._heard_from) < ZEROS_S * self.sample_rate:
            return None
        if not self._client.is_heard():
            return f"nothing is connected to {self._client.name}:in, so nothing can be heard; connect a microphone to it"
        return f"nothing but digital silence comes from {self._client.heard or 'the JACK graph'}; is it muted, or its cable out?"

    def _other_rate(self) -> str | None:
        fault = self._meter.fault()
        if fault is None:
            return None
        return (
            f"the JACK graph gives {fault.measured_hz:.0f} samples a second where it says {self.sample_rate}: what is heard "
            "has another pitch; set its rate anew"
        )
