"""A recording, read through libsndfile: wav, flac, ogg, opus, mp3 and what else it knows.

Conventions
-----------
* Samples are mono float32 at the file's own rate: integers scaled to -1..1, floats as they are, also
  where they are beyond full scale or no numbers at all. Several channels are averaged.
* A file cut off in the middle gives what is there; ``notice`` then says so.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Callable

import numpy as np

from rt_melody.realtime.sources.blocks import PacedSource, check_sample_rate, mix_down
from rt_melody.realtime.types import InputError

FORMATS = "wav, flac, ogg, opus and mp3"


class FileSource(PacedSource):
    """The audio file at ``path``; with ``realtime`` in 10 ms blocks at the pace of the clock.

    ``open`` raises InputError where there is no such file, or it is a folder, empty, unreadable or no
    audio. ``clock`` and ``sleep`` are stand-ins for the time module's.
    """

    name = "file"

    def __init__(
        self,
        path: str | Path,
        realtime: bool = False,
        clock: Callable[[], float] = time.perf_counter,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(realtime, clock, sleep)
        self.path = Path(path)
        self._file: Any = None
        self._notice: str | None = None

    def open(self) -> None:
        """Open the file and read its header."""
        self._check_path()
        file = self._open_audio()
        if file.frames == 0:
            file.close()
            raise InputError(f"{self.path} holds no samples; give a recording with sound in it")
        self.sample_rate = check_sample_rate(file.samplerate, f"resample {self.path}")
        self.channels = file.channels
        # soundfile seeks to where it is after every read, and libsndfile 1.2's mp3 decoder loses its place by
        # that: silence or noise from the second block on. A file that says it cannot seek is only read.
        file.seekable = lambda: False
        self._file = file
        self._notice = None
        self._begin()
        self._frames = np.zeros((self._block_samples, file.channels), np.float32)
        self._mono = np.zeros(self._block_samples, np.float32)

    def _check_path(self) -> None:
        if self.path.is_dir():
            raise InputError(f"{self.path} is a folder; give the audio files in it one by one, or as {self.path}/*.wav")
        try:
            with open(self.path, "rb") as file:
                empty = not file.read(1)
        except FileNotFoundError as error:
            raise InputError(f"{self.path} does not exist; check the path") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{self.path} cannot be read ({reason}); check its permissions") from error
        if empty:
            raise InputError(f"{self.path} is empty (0 bytes); give a recording with sound in it")

    def _open_audio(self) -> Any:
        import soundfile

        try:
            return soundfile.SoundFile(self.path)
        except (soundfile.LibsndfileError, TypeError, ValueError) as error:
            reason = getattr(error, "error_string", str(error)).rstrip(".")
            raise InputError(
                f"{self.path} is not audio that can be read ({reason}); give {FORMATS}, or convert it: "
                f"ffmpeg -i {self.path} {self.path.stem}.wav"
            ) from error

    @property
    def duration_s(self) -> float:
        """Length that the file's header states, in seconds."""
        return self._file.frames / self.sample_rate

    @property
    def notice(self) -> str | None:
        """One sentence on what was missing, once the end has been read; None where all was there."""
        return self._notice

    def _next_block(self, max_samples: int) -> np.ndarray | None:
        frames = self._read_frames(max_samples)
        if len(frames) == 0:
            return None
        if self.channels == 1:
            return frames[:, 0]
        return mix_down(frames, self._mono)

    def _read_frames(self, max_samples: int) -> np.ndarray:
        import soundfile

        if self._notice:
            return self._frames[:0]
        try:
            frames = self._file.read(max_samples, dtype="float32", always_2d=True, out=self._frames)
        except soundfile.LibsndfileError as error:
            self._tell_cut(error.error_string)
            return self._frames[:0]
        if len(frames) < max_samples and self._position_samples + len(frames) < self._file.frames:
            self._tell_cut("the data end early")
        return frames

    def _tell_cut(self, reason: str) -> None:
        read_s = self._position_samples / self.sample_rate
        self._notice = (
            f"{self.path} is damaged after {read_s:.1f} of {self.duration_s:.1f} s ({reason.rstrip('.')}); "
            "what came before was used"
        )

    def close(self) -> None:
        super().close()
        if self._file is not None:
            self._file.close()
