"""Which channels are heard, and at which scale: decided before the first sample, of what a recording holds.

Conventions
-----------
* The rule is the mean of all channels, so that the level does not depend on how many carry the same voice.
* Left out of the mean are channels that hold nothing beside the loudest. Where channels cancel each other in the sum, the
  loudest is heard alone. Floats whose scale is that of integers are brought to full scale 1. Each is said in a sentence.
* A stream that nobody can look through beforehand is heard by the rule, and the same sentences come at its end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from rt_melody.realtime.errors import InputError

HOLDS_NOTHING = 1e-4  # of the power of the loudest channel: 40 dB below it
CANCELLED = 0.1  # of the power that the mean of unrelated channels would have
FULL_SCALES = 8.0  # beyond: no recording of floats is so hot, so their scale is another
HOT_BLOCKS = 0.05  # so many blocks must reach it: a click is none
FEW = 1024  # frames, of which nothing is said about the channels
BLOCK = 4096


@dataclass(frozen=True)
class Mix:
    """Weights of the channels [shape=(n_channels,)], a factor, and what was decided, in a sentence."""

    channels: tuple[int, ...]  # from 0; their mean is heard
    factor: float = 1.0
    remark: str | None = None

    @np.errstate(all="ignore")  # infinities in the input are the engine's to replace, not a warning to print
    def down(self, frames: np.ndarray, out: np.ndarray) -> np.ndarray:
        """``frames`` [shape=(n, n_channels)] as one channel, in the first n places of ``out``.

        Each row is summed in the order of its channels, so the result does not depend on the block size.
        """
        mono = out[: len(frames)]
        mono[:] = frames[:, self.channels[0]]
        for channel in self.channels[1:]:
            mono += frames[:, channel]
        scale = self.factor / len(self.channels)
        if scale != 1.0:
            mono *= np.float32(scale)
        return mono


def chosen(channel: int | None, channels: int, name: str) -> Mix:
    """All ``channels``, or one of them, counted from 1. Raises InputError, about ``name``, where there is none such."""
    if channel is None:
        return Mix(tuple(range(channels)))
    if not 1 <= channel <= channels:
        has = "one channel" if channels == 1 else f"{channels} channels"
        raise InputError(
            f"{name} has {has}, and --channel {channel} is none of them; give 1{f' to {channels}' if channels > 1 else ''}, or leave it out"
        )
    return Mix((channel - 1,))


class ChannelPowers:
    """What each channel held so far; feed it all frames, or those of a first look."""

    def __init__(self, channels: int) -> None:
        self._power, self._summed = np.zeros(channels), 0.0
        self._block_peaks: list[float] = []
        self._frames = 0

    def feed(self, frames: np.ndarray) -> None:
        """Take in frames [shape=(n, n_channels)]; what is not finite counts as 0."""
        for start in range(0, len(frames), BLOCK):
            self._feed_block(frames[start : start + BLOCK])

    @np.errstate(all="ignore")  # of floats near their own limit only the scale is of interest
    def _feed_block(self, block: np.ndarray) -> None:
        frames = np.where(np.isfinite(block), block, 0.0).astype(np.float64)
        self._power += (frames**2).sum(0)
        self._summed += float((frames.mean(1) ** 2).sum())
        self._block_peaks.append(float(np.abs(frames).max(initial=0.0)))
        self._frames += len(frames)

    def robust_peak(self) -> float:
        """What is reached in more than a few blocks."""
        sounding = sorted(peak for peak in self._block_peaks if peak > 0.0)
        return sounding[-1 - int(HOT_BLOCKS * len(sounding))] if sounding else 0.0

    def mix(self, name: str, floats: bool = True) -> Mix:
        """How these channels are best heard. ``floats``: whether the file could hold another scale than its own."""
        factor = 1.0
        remarks: list[str] = []
        if floats and (peak := self.robust_peak()) > FULL_SCALES:
            factor = 2.0 ** -math.ceil(math.log2(peak))
            remarks.append(f"holds floats up to {peak:.4g} where full scale is 1, and is heard at 1/{1 / factor:g} of that")
        heard = self._heard()
        if len(heard) < len(self._power):
            which = f"channel {heard[0] + 1} alone" if len(heard) == 1 else "channels " + ", ".join(str(c + 1) for c in heard)
            remarks.append(
                f"has {len(self._power)} channels of which {which} hold{'s' if len(heard) == 1 else ''} sound, and only that is heard"
            )
        if len(heard) > 1 and self._cancel(heard):
            heard = (int(np.argmax(self._power)),)
            remarks.append(
                f"has channels that cancel each other in their mean, so channel {heard[0] + 1} is heard alone; --channel N chooses"
            )
        return Mix(heard, factor, f"{name} {'; it '.join(remarks)}" if remarks else None)

    def _heard(self) -> tuple[int, ...]:
        loudest = self._power.max(initial=0.0)
        if not 0.0 < loudest < math.inf or self._frames < FEW:
            return tuple(range(len(self._power)))
        return tuple(int(c) for c in np.flatnonzero(self._power > HOLDS_NOTHING * loudest))

    def _cancel(self, heard: tuple[int, ...]) -> bool:
        """Whether the mean of the channels is far quieter than that of unrelated ones would be."""
        power = self._power[list(heard)].sum() / len(self._power) ** 2
        return bool(math.isfinite(power) and self._frames >= FEW and self._summed < CANCELLED * power)

    def complaint(self, name: str) -> str | None:
        """The same of a stream that was heard by the rule, with the way out."""
        mix, all_of_them = self.mix(name), len(self._power)
        if mix.factor != 1.0:
            return f"{name} held floats up to {self.robust_peak():.4g} where full scale is 1, and was distorted; scale it by {mix.factor:g}"
        if len(mix.channels) == 1 < all_of_them:
            only = mix.channels[0] + 1
            return f"of {all_of_them} channels of {name} one, {only}, holds the sound, and their mean made it faint; add --channel {only}"
        return None


def look_through(blocks: Iterable[np.ndarray], channels: int, name: str, floats: bool) -> Mix:
    """The mix for a recording of which ``blocks`` of frames are the beginning, or all."""
    powers = ChannelPowers(channels)
    for block in blocks:
        powers.feed(block)
    return powers.mix(name, floats)
