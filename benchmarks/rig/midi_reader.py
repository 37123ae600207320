"""What was played, from MIDI; what was sung, from labels and sound; how far apart the two are.

Conventions
-----------
* Pitch is a fractional MIDI note number; NaN where nothing sounds or nobody sings.
* Times are seconds. A label file of MIR-1K holds one value a line; line i (from 0) speaks of (i + 1) * 20 ms.
* A pitch bend of 14 bits has its centre at 8192 and reaches, at either end, the range that RPN 0 set on the
  channel; before any RPN 0 the range is 2 semitones (MIDI 1.0, Detailed Specification).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

LABEL_STEP_S = 0.020
DEFAULT_BEND_RANGE = 2.0
BEND_CENTRE = 8192
CC_DATA_COARSE, CC_DATA_FINE, CC_RPN_FINE, CC_RPN_COARSE = 6, 38, 100, 101
CC_ALL_SOUND_OFF, CC_ALL_NOTES_OFF = 120, 123


@dataclass
class Channel:
    """What a synthesiser knows of one MIDI channel."""

    held: list[int] = field(default_factory=list)  # the newest note last
    bend: int = BEND_CENTRE
    bend_range: float = DEFAULT_BEND_RANGE
    rpn: tuple[int, int] = (127, 127)
    unmatched_offs: int = 0

    def take(self, message: bytes) -> None:
        kind = message[0] & 0xF0
        if begins_note(message):
            self.held.append(message[1])
        elif kind in (0x80, 0x90):
            self._off(message[1])
        elif kind == 0xE0:
            self.bend = message[1] | message[2] << 7
        elif kind == 0xB0:
            self._control(message[1], message[2])

    def _off(self, note: int) -> None:
        if note in self.held:
            self.held.remove(note)
        else:
            self.unmatched_offs += 1

    def _control(self, number: int, value: int) -> None:
        if number in (CC_ALL_SOUND_OFF, CC_ALL_NOTES_OFF):
            self.held.clear()
        elif number == CC_RPN_COARSE:
            self.rpn = (value, self.rpn[1])
        elif number == CC_RPN_FINE:
            self.rpn = (self.rpn[0], value)
        elif self.rpn == (0, 0) and number == CC_DATA_COARSE:
            self.bend_range = value + self.bend_range % 1.0
        elif self.rpn == (0, 0) and number == CC_DATA_FINE:
            self.bend_range = int(self.bend_range) + value / 100.0

    @property
    def pitch(self) -> float:
        if not self.held:
            return np.nan
        return self.held[-1] + (self.bend - BEND_CENTRE) / BEND_CENTRE * self.bend_range


def begins_note(message: bytes) -> bool:
    """Whether it is a note-on; one of velocity 0 ends a note."""
    return message[0] & 0xF0 == 0x90 and message[2] > 0


def hanging(messages: Iterable[bytes]) -> list[int]:
    """Notes that a synthesiser would be sounding after these, on whatever channel."""
    channels: dict[int, Channel] = defaultdict(Channel)
    for message in messages:
        if message and message[0] < 0xF0:
            channels[message[0] & 0x0F].take(message)
    return [note for channel in channels.values() for note in channel.held]


@dataclass
class Performance:
    """A monophonic MIDI stream, read back: steps of pitch and the account of its notes."""

    times_s: np.ndarray  # [shape=(n_steps,)], ascending
    pitches: np.ndarray  # [shape=(n_steps,)], the pitch from that moment on
    note_ons: int
    notes_left_on: int
    unmatched_offs: int
    bend_at_end: int
    bend_range: float

    def pitch_at(self, times_s: np.ndarray) -> np.ndarray:
        """Pitch at any times [shape as given]; NaN where nothing sounds."""
        steps = np.searchsorted(self.times_s, times_s, side="right") - 1
        return np.where(steps < 0, np.nan, np.append(self.pitches, np.nan)[steps])


def perform(messages: list[tuple[float, bytes]]) -> Performance:
    """Play ``(time_s, message)`` of one channel on an imagined synthesiser."""
    channel, times, pitches, note_ons = Channel(), [], [], 0
    for time_s, message in messages:
        channel.take(message)
        note_ons += begins_note(message)
        times.append(time_s)
        pitches.append(channel.pitch)
    return Performance(
        np.asarray(times, dtype=float), np.asarray(pitches, dtype=float), note_ons, len(channel.held),
        channel.unmatched_offs, channel.bend, channel.bend_range,
    )


def seconds_since(first_frame: int, messages: list[tuple[int, bytes]], sample_rate: int) -> list[tuple[float, bytes]]:
    """JACK frames (unsigned 32 bits, they wrap) as seconds after ``first_frame``."""
    wrapped = ((frame - first_frame + 2**31) % 2**32 - 2**31 for frame, _ in messages)
    return [(frames / sample_rate, message) for frames, (_, message) in zip(wrapped, messages)]


@dataclass(frozen=True)
class Agreement:
    """How well a performance follows what was sung, at the constant delay that suits it best."""

    share: float  # of voiced frames, played within 50 cents
    delay_s: float
    false_share: float  # of unvoiced frames, during which a note sounded


def agreement(performance: Performance, times_s: np.ndarray, sung: np.ndarray, max_delay_s: float = 0.150) -> Agreement:
    """Compare with ``sung [shape=(n_frames,)]`` (NaN where unvoiced) at every delay from 0 to ``max_delay_s``."""
    voiced = np.isfinite(sung)

    def at(delay_s: float) -> Agreement:
        played = performance.pitch_at(times_s + delay_s)
        hit = np.abs(played[voiced] - sung[voiced]) <= 0.5  # NaN compares false
        return Agreement(float(np.mean(hit)), delay_s, float(np.mean(np.isfinite(played[~voiced]))) if np.any(~voiced) else 0.0)

    return max((at(delay) for delay in np.arange(0.0, max_delay_s + 1e-9, 0.005)), key=lambda found: found.share)


def autocorrelation_pitch(samples: np.ndarray, sample_rate: int, time_s: float, window_s: float = 0.060) -> float:
    """Pitch of a steady harmonic sound around ``time_s``: the first strong peak of the normalised autocorrelation.

    A tracker for clean synthesised sound of 60 to 1500 Hz only. NaN where the window is silent or aperiodic.
    """
    half = int(window_s * sample_rate / 2)
    centre = int(time_s * sample_rate)
    block = samples[max(0, centre - half) : centre + half].astype(np.float64)
    if len(block) < 2 * half or np.sqrt(np.mean(block**2)) < 1e-4:
        return np.nan
    shortest, longest = int(sample_rate / 1500), int(sample_rate / 60)
    n = len(block) - longest
    reference = block[:n]
    lags = np.arange(shortest - 1, longest + 1)
    shifted = np.lib.stride_tricks.sliding_window_view(block, n)[lags]
    likeness = shifted @ reference / (np.linalg.norm(shifted, axis=1) * np.linalg.norm(reference) + 1e-12)
    inner = likeness[1:-1]
    peaks = np.flatnonzero((inner >= likeness[:-2]) & (inner > likeness[2:])) + 1
    strong = [peak for peak in peaks if likeness[peak] > 0.9 * likeness[peaks].max() and likeness[peak] > 0.7]
    if not strong:
        return np.nan
    left, middle, right = likeness[strong[0] - 1 : strong[0] + 2]
    lag = lags[strong[0]] + 0.5 * (left - right) / (left - 2 * middle + right)
    return 69.0 + 12.0 * np.log2(sample_rate / lag / 440.0)
