"""What microphones beside which something is known of the band have in common: how they are made, and how they tell of it.

A song that is played, and a channel of the same input, are not waited for where the device goes: what is played and what is heard go by
one time, which a device that comes back would not keep. Two inputs find each other anew (see ``two_inputs``).
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np

from rt_melody.realtime.sources.microphone import MicrophoneSource

Known = TypeVar("Known")


class BesideBand(MicrophoneSource, Generic[Known]):
    """An audio input of this machine, live, beside a band that is known by ``known_by``: a song that is played, a channel, another
    device. The rest as MicrophoneSource."""

    def __init__(
        self,
        known_by: Known,
        device: str | int | None = None,
        sample_rate: int | None = None,
        channel: int | None = None,
        block_samples: int = 0,
        backend: Any = None,
        reconnect: bool = False,
        ask_others: bool = False,
    ) -> None:
        super().__init__(device, sample_rate, channel, block_samples, backend, ask_others, reconnect)
        self.known_by = known_by


class WithReference(BesideBand[Known]):
    """One that gives the band itself, block by block: a subclass puts it at the front of what ``_heard_beside`` gives."""

    _given = 0  # samples of the newest block

    def _heard_beside(self) -> np.ndarray | None:
        """At least as long as a block; None where it is no longer heard."""
        raise NotImplementedError

    def read(self, timeout_s: float = 0.1) -> np.ndarray | None:
        block = super().read(timeout_s)
        self._given = 0 if block is None else len(block)
        return block

    @property
    def brings_reference(self) -> bool:
        return True

    @property
    def reference(self) -> np.ndarray | None:
        beside = self._heard_beside() if self._ring else None
        return None if beside is None else beside[: self._given]
