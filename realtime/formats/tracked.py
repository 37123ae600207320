"""What was heard of a recording, as arrays, and as the stream that it came as.

Conventions
-----------
* Arrays of frames have one value a hop, [shape=(n_hops,)]. Times are seconds from the beginning of the recording.
* A sound begins where its first note or frame may: what a file format wants to span goes from 0 to ``duration_s``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np

from rt_melody.realtime.latency import LatencyBudget
from rt_melody.realtime.melody import Heard
from rt_melody.realtime.types import NoteEvent, NoteOff, NoteOn, PitchFrame, midi_to_hz

Sound = TypeVar("Sound", bound="TrackedSound")

# onset_s, offset_s: seconds; note: the MIDI note number that is played; pitch: the median of what was sung meanwhile, a
# fractional MIDI note number; velocity: 1..127.
NOTE_DTYPE = np.dtype([("onset_s", "f8"), ("offset_s", "f8"), ("note", "i8"), ("pitch", "f8"), ("velocity", "i8")])
FRAME_DTYPE = np.dtype([("time_s", "f8"), ("f0_hz", "f8"), ("voiced", "?"), ("confidence", "f8"), ("available_s", "f8")])


@dataclass(frozen=True, repr=False, eq=False)
class TrackedSound:
    """Frames and events of one recording. Equal to another one where all that was heard is."""

    time_s: np.ndarray  # the moment of the sound that the values speak of
    f0_hz: np.ndarray  # the best guess, also where unvoiced
    voiced: np.ndarray  # bool
    confidence: np.ndarray  # 0..1
    available_s: np.ndarray  # stream time at which a live listener would have had the values
    events: list[NoteEvent]  # as sent: each NoteOn with its NoteOff, PitchBend, Loudness and Brightness between; KeyHeard
    latency: LatencyBudget
    duration_s: float = 0.0  # of the recording
    replaced_samples: int = 0  # not finite, taken for silence
    name: str = ""  # of the recording, where it has one
    remarks: tuple[str, ...] = ()  # what was odd about it, a sentence each
    frames_before: np.ndarray = field(default_factory=lambda: np.zeros(0, int))  # each event, [shape=(n_events,)]

    @classmethod
    def of(cls: type[Sound], heard: Iterable[Heard], latency: LatencyBudget, duration_s: float, replaced: int = 0, name: str = "") -> Sound:
        """From what a tracker gave, in its order."""
        frames, events, before = list[PitchFrame](), list[NoteEvent](), list[int]()
        for item in heard:
            if isinstance(item, PitchFrame):
                frames.append(item)
            else:
                events.append(item)
                before.append(len(frames))
        table = np.array([(f.time_s, f.f0_hz, f.voiced, f.confidence, f.available_s) for f in frames], FRAME_DTYPE)
        column = {name: np.ascontiguousarray(table[name]) for name in FRAME_DTYPE.names or ()}
        return cls(
            time_s=column["time_s"], f0_hz=column["f0_hz"], voiced=column["voiced"], confidence=column["confidence"],
            available_s=column["available_s"], events=events, latency=latency, duration_s=duration_s, replaced_samples=replaced, name=name,
            frames_before=np.array(before, int),
        )  # fmt: skip

    def heard(self) -> Iterator[Heard]:
        """Frames and events in the order in which they came: what sinks want. Level, voicing and brightness are not kept."""
        due = 0
        for index, (time_s, f0_hz, voiced, confidence, available_s) in enumerate(self.frames.tolist()):
            while due < len(self.events) and self.frames_before[due] <= index:
                yield self.events[due]
                due += 1
            yield PitchFrame(index, time_s, available_s, f0_hz, voiced, confidence, confidence, 0.0)
        yield from self.events[due:]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TrackedSound):
            return NotImplemented
        mine, others = (sound.frames.tobytes() for sound in (self, other))
        return (mine, self.events, self.duration_s) == (others, other.events, other.duration_s)

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def frames(self) -> np.ndarray:
        """The arrays as one table [shape=(n_hops,)] with the columns of FRAME_DTYPE."""
        table = np.zeros(len(self.time_s), FRAME_DTYPE)
        for column in FRAME_DTYPE.names or ():
            table[column] = getattr(self, column)
        return table

    @cached_property
    def notes(self) -> np.ndarray:
        """The notes as a table [shape=(n_notes,)] with the columns of NOTE_DTYPE, by onset."""
        sounding: dict[int, NoteOn] = {}
        rows: list[tuple[float, float, int, float, int]] = []
        for event in self.events:
            if isinstance(event, NoteOn):
                sounding[event.note] = event
            elif isinstance(event, NoteOff) and (on := sounding.pop(event.note, None)) is not None:
                off_s = max(event.time_s, on.time_s)
                rows.append((on.time_s, off_s, on.note, self._sung(on, off_s), on.velocity))
        return np.array(sorted(rows), NOTE_DTYPE)

    def _sung(self, on: NoteOn, off_s: float) -> float:
        first, last = np.searchsorted(self.time_s, (on.time_s, off_s))
        f0_hz = self.f0_hz[first:last][self.voiced[first:last]]
        return float(69.0 + 12.0 * np.log2(np.median(f0_hz) / 440.0)) if len(f0_hz) else on.pitch

    @property
    def signed_f0_hz(self) -> np.ndarray:
        """f0 in Hz, negative where unvoiced, as mir_eval has it."""
        return np.where(self.voiced, self.f0_hz, -self.f0_hz)

    @property
    def note_hz(self) -> np.ndarray:
        """The pitches of ``notes`` in Hz."""
        return np.array([midi_to_hz(pitch) for pitch in self.notes["pitch"].tolist()])

    @property
    def hop_s(self) -> float:
        """Seconds from frame to frame; 10 ms where there are not two."""
        return float(self.time_s[1] - self.time_s[0]) if len(self.time_s) > 1 else 0.01
