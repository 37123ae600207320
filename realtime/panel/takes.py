"""Takes: what was heard from one press of a button to the next, as files that can be fetched.

Conventions
-----------
* A take is written while it is recorded, by the same sinks that the command has, into a folder that goes with the process.
* Its times begin with the first frame. A note that sounded before is left out.
* There are ``MOST`` at most, of ``LONGEST_S`` at most: the oldest that was not named by hand makes room.
"""

from __future__ import annotations

import wave
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rt_melody.realtime.settings import Settings
from rt_melody.realtime.sinks.base import EventSink
from rt_melody.realtime.sinks.csv_file import CsvSink
from rt_melody.realtime.sinks.midi_file import MidiFileSink
from rt_melody.realtime.types import NoteOn, PitchFrame, hz_to_midi

MOST = 24
LONGEST_S = 3600.0
NAME_LETTERS = 60
SHAPE_EVERY_S = 0.05  # of the outline that is drawn
REACH_BACK_S = 2.5  # notes may be dated back so far, at any bound


class Take:
    """One take, recorded until ``finish``. ``folder``: where its files are made."""

    def __init__(self, number: int, name: str, folder: Path, settings: Settings, origin_s: float, rate_hz: int | None = None) -> None:
        self.number, self.name, self.kept = number, name, False
        self.seconds, self.notes = 0.0, 0
        self.shape: list[list[float]] = []  # [seconds, pitch] of the outline, pitch 0 where nothing was sung
        self.files: dict[str, Path] = {kind: folder / f"{number}.{kind}" for kind in ("mid", "csv")}
        self._begun_s: float | None = None  # stream time of its beginning
        self._origin_s = self._first_origin_s = origin_s  # of the stream now, and of that in which it began
        self._sinks: list[EventSink] = [
            MidiFileSink(self.files["mid"], settings.midi, settings.output.tempo_bpm, reach_back_s=REACH_BACK_S),
            CsvSink(self.files["csv"]),
        ]
        self._wave = self._open_wave(folder, rate_hz) if rate_hz else None

    def _open_wave(self, folder: Path, rate_hz: int) -> wave.Wave_write:
        self.files["wav"] = folder / f"{self.number}.wav"
        written = wave.open(str(self.files["wav"]), "wb")  # noqa: SIM115 (closed by ``finish``)
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(rate_hz)
        return written

    def begin(self, origin_s: float) -> None:
        """The stream began anew, or lost something: its time 0 was then."""
        self._origin_s = origin_s
        if self._begun_s is not None:
            for sink in self._sinks:
                sink.start(origin_s + self._begun_s)

    def change(self, settings: Settings) -> None:
        """Other settings are in force."""
        for sink in self._sinks:
            sink.change(settings)

    def hear(self, item: Any) -> None:
        """A frame or an event."""
        if self._begun_s is None:
            if not isinstance(item, PitchFrame):
                return
            self._begun_s, self._first_origin_s = max(0.0, item.time_s), self._origin_s
            for sink in self._sinks:
                sink.start(self._origin_s + self._begun_s)
        shifted = self._shifted(item)
        for sink in self._sinks:
            if isinstance(item, PitchFrame):
                sink.frame(shifted)
            else:
                sink.event(shifted)
        self._outline(shifted)

    def _shifted(self, item: Any) -> Any:
        begun_s = self._begun_s or 0.0
        return replace(item, time_s=item.time_s - begun_s, available_s=item.available_s - begun_s)

    def _outline(self, item: Any) -> None:
        if isinstance(item, PitchFrame):
            earlier_s = self._origin_s - self._first_origin_s  # what was heard before the stream began anew
            self.seconds, at_s = max(self.seconds, earlier_s + item.available_s), earlier_s + item.time_s
            if not self.shape or at_s - self.shape[-1][0] >= SHAPE_EVERY_S:
                self.shape.append([round(at_s, 2), round(hz_to_midi(item.f0_hz), 1) if item.voiced else 0])
        elif isinstance(item, NoteOn):
            self.notes += 1

    def sound(self, samples: bytes) -> None:
        """16-bit samples."""
        if self._wave is not None:
            self._wave.writeframesraw(samples)

    @property
    def is_long(self) -> bool:
        """Whether it is to be ended."""
        return self.seconds >= LONGEST_S

    def finish(self) -> None:
        """Write what is left."""
        for sink in self._sinks:
            sink.close()
        if self._wave is not None:
            self._wave.close()

    def remove(self) -> None:
        """Take its files away."""
        for path in self.files.values():
            with suppress(OSError):
                path.unlink()

    def told(self) -> dict[str, Any]:
        """For the page."""
        kinds = [kind for kind, path in self.files.items() if path.exists()]
        return {
            "number": self.number, "name": self.name, "seconds": round(self.seconds, 1), "notes": self.notes, "kinds": kinds,
            "shape": self.shape[:: max(1, len(self.shape) // 300)],
        }  # fmt: skip


class Takes:
    """All takes, and the one that is recorded, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self.all: list[Take] = []
        self.now: Take | None = None

    def record(self, settings: Settings, origin_s: float, rate_hz: int | None) -> None:
        """Begin one, where none is under way."""
        if self.now is None:
            self._count += 1
            self.now = Take(self._count, f"Take {self._count}", self._folder, settings, origin_s, rate_hz)

    def finish(self) -> bool:
        """End the one that is under way. One in which nothing was heard is forgotten; whether this one was."""
        take, self.now = self.now, None
        if take is None:
            return False
        take.finish()
        if take.seconds <= 0:
            take.remove()
            return True
        self.all.append(take)
        if len(self.all) > MOST:
            oldest = next((one for one in self.all if not one.kept), self.all[0])
            self.remove(oldest.number)
        return False

    def of(self, number: int) -> Take | None:
        """The finished one of that number."""
        return next((take for take in self.all if take.number == number), None)

    def rename(self, number: int, name: str) -> None:
        """Give it a name of ``NAME_LETTERS`` at most; an empty one changes nothing."""
        take, name = self.of(number), " ".join(name.split())[:NAME_LETTERS]
        if take is not None and name:
            take.name, take.kept = name, True

    def remove(self, number: int) -> None:
        """Forget it."""
        if (take := self.of(number)) is not None:
            self.all.remove(take)
            take.remove()

    def told(self) -> dict[str, Any]:
        """For the page."""
        now = None if self.now is None else {"name": self.now.name, "seconds": round(self.now.seconds, 1), "notes": self.now.notes}
        return {"all": [take.told() for take in self.all], "now": now}
