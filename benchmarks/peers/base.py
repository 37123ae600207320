"""What a tool looks like to the comparison, and how it is made to hear a sound.

Conventions
-----------
* A live tool is fed blocks of its own hop and says what it knows: ``(time_s, f0_hz, voiced)`` for an estimate, or
  a NoteEvent. The comparison, not the tool, stamps ``available_s``: the end of the block that brought the word.
  Neither computing nor plumbing is in that figure.
* An offline tool gets the whole sound; what it says is available at infinity.
* Sounds are mono float32 at SAMPLE_RATE. A tool with another rate gets them resampled beforehand, free of charge.
* Silence of TAIL_S follows each sound, so that a late tool can finish; what speaks of the tail is dropped.
* f0 is in Hz; 0 means that the tool has no guess, which is unvoiced whatever else it says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import gcd, inf
from typing import Union, cast

import numpy as np

from rt_melody.realtime.types import NoteEvent, NoteOff, NoteOn, PitchBend, PitchFrame

SAMPLE_RATE = 16000
TAIL_S = 0.3
F0_MIN_HZ, F0_MAX_HZ = 60.0, 1400.0  # told to every tool that can be told: the range of what is sung
MISSING_SAYS = "not installed: pip install {}"

Said = tuple[float, float, bool]  # time_s, f0_hz, voiced
Word = Union[Said, NoteEvent]


class Peer:
    """One tool with its settings. ``open`` imports and builds; nothing of the tool is touched before."""

    name: str
    distribution: str  # whose version and size are told
    also: tuple[str, ...] = ()  # distributions of the tools that it hands on to, likewise
    modules: tuple[str, ...] = ()  # imported by ``open``; their import is timed
    sample_rate = SAMPLE_RATE
    hop_samples = 160
    live = True
    gives_f0 = True
    gives_notes = False
    settings = ""  # in words, for the table
    core_s_per_s = 0.1  # roughly, for the progress bar and the order of work
    few = False  # too slow for every condition: hears FEW_CONDITIONS alone

    def open(self) -> None: ...

    @property
    def distributions(self) -> tuple[str, ...]:
        return (self.distribution, *self.also)

    @property
    def hop_s(self) -> float:
        return self.hop_samples / self.sample_rate


class LivePeer(Peer):
    def start(self) -> None:
        """A fresh stream."""

    def feed(self, block: np.ndarray) -> Iterable[Word]:
        """What ``hop_samples`` more samples [shape=(hop_samples,)] let the tool say."""
        raise NotImplementedError

    def finish(self, end_s: float) -> Iterable[Word]:
        """What is said at the end of the stream."""
        return ()


class OfflinePeer(Peer):
    live = False

    def track(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``time_s``, ``f0_hz`` and ``voiced`` [shape=(n_frames,)] of a whole sound [shape=(n_samples,)]."""
        raise NotImplementedError

    def notes(self) -> Iterable[NoteEvent]:
        """Notes of the sound that was tracked last."""
        return ()


@dataclass(frozen=True)
class Heard:
    """What a tool said of one sound: frames in order, and note events in order."""

    frames: list[PitchFrame]
    events: list[NoteEvent]


def hear(peer: Peer, samples: np.ndarray) -> Heard:
    """One sound through one opened tool. Raises ValueError where times do not ascend."""
    padded = np.concatenate([samples, np.zeros(round(TAIL_S * SAMPLE_RATE), np.float32)])
    at_rate = resampled(padded, peer.sample_rate)
    words = _whole(peer, at_rate) if isinstance(peer, OfflinePeer) else _streamed(cast(LivePeer, peer), at_rate)
    frames, events = [], []
    end_s = len(samples) / SAMPLE_RATE
    for available_s, word in words:
        if not isinstance(word, tuple):
            events.append(replace(word, available_s=available_s))
        elif -1e-9 <= word[0] < end_s - 1e-9:
            frames.append(_frame(len(frames), available_s, *word))
    _check_order(peer, frames)
    return Heard(frames, events)


def _streamed(peer: LivePeer, samples: np.ndarray) -> Iterable[tuple[float, Word]]:
    peer.start()
    hop = peer.hop_samples
    for end in range(hop, len(samples) + 1, hop):
        for word in peer.feed(samples[end - hop : end]):
            yield end / peer.sample_rate, word
    end_s = len(samples) / peer.sample_rate
    for word in peer.finish(end_s):
        yield end_s, word


def _whole(peer: OfflinePeer, samples: np.ndarray) -> Iterable[tuple[float, Word]]:
    for time_s, f0_hz, voiced in zip(*peer.track(samples)):
        yield inf, (float(time_s), float(f0_hz), bool(voiced))
    for event in peer.notes():
        yield inf, event


def _frame(index: int, available_s: float, time_s: float, f0_hz: float, voiced: bool) -> PitchFrame:
    known = np.isfinite(f0_hz) and f0_hz > 0
    told = bool(voiced and known)
    return PitchFrame(index, time_s, available_s, float(f0_hz) if known else 0.0, told, 1.0, float(told), 0.0)


def _check_order(peer: Peer, frames: list[PitchFrame]) -> None:
    times = np.array([f.time_s for f in frames])
    if (np.diff(times) <= 0).any():
        raise ValueError(f"{peer.name} speaks of {times[1:][np.diff(times) <= 0][0]:g} s after a later moment; its adaptor must not")


def resampled(samples: np.ndarray, rate: int) -> np.ndarray:
    """From SAMPLE_RATE to ``rate`` by a linear-phase polyphase filter without delay [shape=(n,)]."""
    if rate == SAMPLE_RATE:
        return samples
    from scipy.signal import resample_poly

    common = gcd(rate, SAMPLE_RATE)
    return resample_poly(samples, rate // common, SAMPLE_RATE // common).astype(np.float32)


class Window:
    """The newest samples of a stream [shape=(size,)], zeros before its beginning."""

    def __init__(self, size: int):
        self.samples = np.zeros(size, np.float32)
        self.taken = 0

    def push(self, block: np.ndarray) -> np.ndarray:
        self.samples[: -len(block)] = self.samples[len(block) :]
        self.samples[-len(block) :] = block
        self.taken += len(block)
        return self.samples


def note_events(notes: Iterable[tuple[float, float, float]]) -> list[NoteEvent]:
    """Events of ``(on_s, off_s, pitch)`` notes; pitch is a fractional MIDI note number, played with a bend."""
    events: list[NoteEvent] = []
    for on_s, off_s, pitch in sorted(notes):
        number = round(pitch)
        events.append(NoteOn(on_s, inf, number, 64, pitch))
        events.append(PitchBend(on_s, inf, number, pitch - number))
        events.append(NoteOff(off_s, inf, number))
    return events
