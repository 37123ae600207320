"""What every input has in common."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from rt_melody.realtime.errors import DeviceError

Source = TypeVar("Source", bound="AudioSource")


class DeviceLost(DeviceError):
    """A live input went away while it was in use. All that it had captured was read before this."""


class RateChanged(DeviceError):
    """A live input now has another sample rate than it said. All of the old rate was read; ``follow_rate`` goes on."""

    def __init__(self, name: str, before_hz: int, rate_hz: int) -> None:
        self.change = f"{name} now runs at {rate_hz} Hz instead of {before_hz}"
        super().__init__(f"{self.change}; run rt-melody again")
        self.before_hz, self.rate_hz = before_hz, rate_hz


class AudioSource:
    """Mono float32 blocks at ``sample_rate``, from wherever they come.

    ``read`` gives the next block ``[shape=(n_samples,)]``, an empty one when nothing came within
    ``timeout_s``, and None at the end of the stream. The block may be a view that the next ``read``
    overwrites. ``live`` tells whether a clock drives the source, so that falling behind costs latency; ``paced``
    whether somebody may listen along: a live source, or a recording played at the pace of the clock.
    """

    name = "source"
    sample_rate: int
    live = False

    @property
    def paced(self) -> bool:
        return self.live

    def open(self) -> None: ...

    def read(self, timeout_s: float = 0.1) -> np.ndarray | None:
        raise NotImplementedError

    def close(self) -> None: ...

    @property
    def backlog_samples(self) -> int:
        """Samples captured and not yet read; 0 for a source that waits for its reader."""
        return 0

    @property
    def device_block_samples(self) -> int:
        """The most samples that a device has handed over at once since the last skip; 0 where there is no device."""
        return 0

    @property
    def position_samples(self) -> int:
        """Index, from the start of the stream, of the next sample that ``read`` will give."""
        raise NotImplementedError

    @property
    def lost_samples(self) -> int:
        """Samples that a full buffer dropped before they could be read."""
        return 0

    @property
    def overflows(self) -> int:
        """How often a device reported that it had dropped samples itself, an unknown number each time."""
        return 0

    @property
    def remark(self) -> str | None:
        """One sentence, known once it is open, on how the input is heard otherwise than it says of itself; else None."""
        return None

    @property
    def notice(self) -> str | None:
        """One sentence on what the input lacked, known at its end at the latest; None where all was well."""
        return None

    @property
    def breaks(self) -> int:
        """How often sound broke off, or began after a break: what sounds then must end, and nothing carries over."""
        return 0

    @property
    def reference(self) -> np.ndarray | None:
        """What was played or heard of the band beside the block that ``read`` gave last [shape=(n_samples,)], overwritten by
        the next; None where nothing is known of one."""
        return None

    @property
    def brings_reference(self) -> bool:
        """Whether it is this source that tells what is known of the band, block by block."""
        return False

    @property
    def sounds(self) -> bool:
        """Whether it plays the instrument that it was given (see sources/sounding.py)."""
        return False

    @property
    def trouble(self) -> str | None:
        """One sentence on what is wrong with a live input now; None where all is well. It comes and goes."""
        return None

    @property
    def relief(self) -> str:
        """What is said when the newest trouble is over."""
        return f"the {self.name} gives sound again"

    @property
    def measured_rate_hz(self) -> float | None:
        """Samples a second as they truly come, over the last seconds; None where no clock drives, or too little came."""
        return None

    def follow_rate(self) -> None:
        """After ``RateChanged``: go on at the new ``sample_rate``. Positions count in its samples, and seconds go on."""

    def skip_to_newest(self) -> int:
        """Drop the backlog; the number of samples dropped."""
        return 0

    def learn_anew(self) -> bool:
        """The way from what it plays to what it hears may have become another: play what that is learnt by, where that is a breath
        (see sources/player.py). Whether one is played."""
        return False

    def start_clock(self) -> None:
        """Take the next block for the one from which the time of all is reckoned: what was lost before is of no account."""

    @property
    def origin_s(self) -> float | None:
        """When sample 0 was, by ``time.perf_counter``, or None before the first sample. No step of the wall clock moves it."""
        return None

    def __enter__(self: Source) -> Source:
        self.open()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class CountingSource(AudioSource):
    """A source that counts what it has given; a subclass keeps the three attributes below up to date."""

    _open = False
    _position_samples: int = 0
    _origin_s: float | None = None

    def close(self) -> None:
        self._open = False

    @property
    def position_samples(self) -> int:
        return self._position_samples

    @property
    def origin_s(self) -> float | None:
        return self._origin_s
