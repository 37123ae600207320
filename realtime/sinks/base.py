"""What every output has in common."""

from __future__ import annotations

from typing import Protocol

from rt_melody.realtime.settings import Settings
from rt_melody.realtime.types import NoteEvent, PitchFrame


class TellsOfBand(Protocol):
    """How a band that is known is taken out of the microphone, over the last second (``reference.BandCanceller``)."""

    @property
    def over_voice_db(self) -> float: ...
    @property
    def removed_db(self) -> float: ...
    def brief(self) -> str: ...


class EventSink:
    """A place where frames and note events go.

    The public methods keep the promise (nothing after close, close only once); a subclass overrides the
    underscore methods it needs. All calls come from one thread. A live sink must not wait, print or
    compile in ``_frame`` and ``_event``.
    """

    name = "sink"
    is_output = True  # False for what only shows the player how it goes: alone it is no reason to go on
    band: TellsOfBand | None = None  # that is taken out; the session says which

    def __init__(self) -> None:
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def connected_to(self) -> str | None:
        """In a few words where what it sends goes, for the player to see; None where that needs no telling."""
        return None

    def start(self, origin_s: float) -> None:
        """The stream begins: when its sample 0 was, by ``time.perf_counter``, which no step of the wall clock moves. Called
        again after a skip or restart."""
        self._start(origin_s)

    def retime(self, origin_s: float) -> None:
        """The stream goes on, and a loss moved the moment of its sample 0."""
        self._retime(origin_s)

    def frame(self, frame: PitchFrame) -> None:
        """Take a frame. Raises RuntimeError after ``close``."""
        if self._closed:
            raise RuntimeError(f"{self.name} is closed and takes no more frames")
        self._frame(frame)

    def event(self, event: NoteEvent) -> None:
        """Take an event. Raises RuntimeError after ``close``."""
        if self._closed:
            raise RuntimeError(f"{self.name} is closed and takes no more events")
        self._event(event)

    def change(self, settings: Settings) -> None:
        """Other settings are in force while the stream goes on. What cannot be had beside a sounding note waits for its end."""
        if not self._closed:
            self._change(settings)

    def panic(self) -> None:
        """Silence what this plays on, at once, whatever left it sounding."""
        if not self._closed:
            self._panic()

    def close(self) -> None:
        """End the output in good order: no note left on, all that was taken in written. Idempotent."""
        if not self._closed:
            self._closed = True
            self._close()

    def __enter__(self) -> EventSink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _start(self, origin_s: float) -> None: ...

    def _retime(self, origin_s: float) -> None: ...

    def _change(self, settings: Settings) -> None: ...

    def _panic(self) -> None: ...

    def _frame(self, frame: PitchFrame) -> None: ...

    def _event(self, event: NoteEvent) -> None: ...

    def _close(self) -> None: ...
