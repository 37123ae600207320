"""A recording, read through libsndfile: wav, flac, ogg, opus, mp3 and what else it knows.

Conventions
-----------
* Samples are mono float32 at the file's own rate: integers scaled to -1..1, floats as they are, also
  where they are beyond full scale or no numbers at all. Several channels are averaged.
* A file cut off in the middle gives what is there; ``notice`` then says so.
* An MP3 without a Xing or Info header does not say how long it is, and libsndfile stops at its guess. Such a file is
  read through a pipe, which has no length to be guessed, to its very end, and nobody can say whether it was cut.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable

import numpy as np

from rt_melody.realtime.sources.blocks import PacedSource, check_sample_rate, mix_down
from rt_melody.realtime.errors import InputError

FORMATS = "wav, flac, ogg, opus and mp3"
FIRST_FRAME_BYTES = 2048  # an MP3 frame has at most 1441


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
        try:
            self.sample_rate = check_sample_rate(file.samplerate, f"resample {self.path}")
        except InputError:
            file.close()
            raise
        self.channels = file.channels
        self._notice, self._ends_anywhere = None, False
        self._stated_s = file.frames / self.sample_rate
        if sys.platform != "win32" and _says_no_length(self.path, file):
            if (endless := _through_a_pipe(self.path)) is not None:
                file.close()
                file, self._ends_anywhere = endless, True
        # soundfile seeks to where it is after every read, and libsndfile 1.2's mp3 decoder loses its place by
        # that: silence or noise from the second block on. A file that says it cannot seek is only read.
        file.seekable = lambda: False
        self._file = file
        self._begin()
        self._frames = np.zeros((self._block_samples, file.channels), np.float32)
        self._mono = np.zeros(self._block_samples, np.float32)

    def _check_path(self) -> None:
        if os.path.isdir(self.path):
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
            return soundfile.SoundFile(self.path if sys.platform == "win32" else os.fsencode(self.path))  # any bytes are a name
        except (soundfile.LibsndfileError, TypeError, ValueError) as error:
            reason = getattr(error, "error_string", str(error)).rstrip(".")
            raise InputError(
                f"{self.path} is not audio that can be read ({reason}); give {FORMATS}, or convert it: "
                f"ffmpeg -i {self.path} {self.path.stem}.wav"
            ) from error

    @property
    def duration_s(self) -> float:
        """Length that the file's header states, in seconds."""
        return self._stated_s

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
        if not self._ends_anywhere and len(frames) < max_samples and self._position_samples + len(frames) < self._file.frames:
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


def _says_no_length(path: Path, file: Any) -> bool:
    """Whether a file is an MP3 whose first frame holds no Xing or Info header (LAME's "VBR header", revision 1)."""
    if file.format not in ("MP3", "MPEG") and not str(file.subtype).startswith("MPEG"):
        return False
    with open(path, "rb") as raw:
        head = raw.read(10)
        if head[:3] == b"ID3":  # ID3v2: a tag of so many bytes, seven bits in each, comes first
            raw.seek(10 + sum((byte & 0x7F) << (7 * (3 - i)) for i, byte in enumerate(head[6:10])))
            head = b""
        frame = head + raw.read(FIRST_FRAME_BYTES)
    return b"Xing" not in frame and b"Info" not in frame


def _through_a_pipe(path: Path) -> Any:
    """The recording as libsndfile reads what it cannot seek in; None where it knows the format by seeking alone."""
    import soundfile

    reader, writer = os.pipe()

    def feed() -> None:
        with suppress(OSError), open(path, "rb") as raw, open(writer, "wb") as pipe:  # OSError: the reader was closed
            shutil.copyfileobj(raw, pipe)

    threading.Thread(target=feed, name="mp3 feeder", daemon=True).start()
    try:
        return soundfile.SoundFile(reader, closefd=True)
    except soundfile.LibsndfileError:
        return None
