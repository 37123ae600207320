"""A recording, read through libsndfile: wav, flac, ogg, opus, mp3 and what else it knows.

Conventions
-----------
* Samples are mono float32 at the file's own rate: integers scaled to -1..1, floats as they are, also
  where they are no numbers at all. Which channels are heard, and floats of another scale, see ``mixing``: the beginning
  of a file is looked through for that when it is opened, and ``remark`` says what was found.
* What a header says is a claim: a file whose recorder died is read to its end (see ``headers``), and one cut off in the
  middle gives what is there; ``remark`` or ``notice`` says so.
* An MP3 without a Xing or Info header does not say how long it is, and libsndfile stops at its guess. Such a file is
  read through a pipe, which has no length to be guessed, to its very end, and nobody can say whether it was cut. The
  silence that encoder and decoder put before its first sample, which the header would tell, is taken out.
* A named pipe is read once. A wav in it is heard as it comes; another format is first read to its end.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from rt_melody.realtime.errors import InputError
from rt_melody.realtime.sources.blocks import PacedSource, check_sample_rate
from rt_melody.realtime.sources.byte_stream import AT_ONCE, ByteStream
from rt_melody.realtime.sources.conversion import conversion
from rt_melody.realtime.sources.headers import Patched, missing_s, repair
from rt_melody.realtime.sources.mixing import ChannelPowers, chosen, look_through
from rt_melody.realtime.sources.pcm import PcmReader, WavHeader, is_riff, parse_wav

FORMATS = "wav, flac, ogg, opus and mp3"
FLOATS = ("FLOAT", "DOUBLE")  # subtypes whose scale may be another than their own
FIRST_FRAME_BYTES = 2048  # an MP3 frame has at most 1441
LOOK_S = 120.0  # of a file, when it is opened
LAYER_3_DELAY, LAYER_2_DELAY = 1105, 481  # samples: LAME's 576 and the decoder's 529; the decoder's filter bank
MAX_SPOOLED_BYTES = 2**31
UNKNOWN_FRAMES = 2**62  # libsndfile's SF_COUNT_MAX, of a flac that was written to a pipe
SPOOLED = (b"fLaC", b"OggS", b"FORM", b"caff", b".snd", b"riff", b"RIFF", b"RF64", b"RIFX", b"ID3")  # beginnings of formats


class FileSource(PacedSource):
    """The audio file at ``path``; with ``realtime`` in 10 ms blocks at the pace of the clock.

    ``channel``: this one alone, from 1; None: as ``mixing`` has it. ``stop`` is asked while a named pipe is waited for.
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
        channel: int | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(realtime, clock, sleep)
        self.path, self.channel, self._stop = Path(path), channel, stop
        self._file: Any = None
        self._reader: PcmReader | None = None
        self._bytes: ByteStream | None = None
        self._notice: str | None = None
        self._remark: str | None = None

    def open(self) -> None:
        """Open the file and read its header."""
        self._file = self._reader = self._powers = None
        self._notice = self._remark = None
        self._ends_anywhere = False
        if self._is_pipe():
            self._open_pipe()
        else:
            self._open_recording(self.path)
        self._frames = np.zeros((self._block_samples, self.channels), np.float32)
        self._mono = np.zeros(self._block_samples, np.float32)

    # ---- which kind of file it is ------------------------------------------------------------------

    def _is_pipe(self) -> bool:
        if os.path.isdir(self.path):
            raise InputError(f"{self.path} is a folder; give the audio files in it one by one, or as {self.path}/*.wav")
        try:
            mode = os.stat(self.path).st_mode
            if stat.S_ISFIFO(mode) and sys.platform != "win32":
                return True
            if not stat.S_ISREG(mode) and not _is_empty(self.path, mode):
                raise InputError(f"{self.path} is a device, not a recording; give the name of a file")
            empty = _is_empty(self.path, mode)
        except FileNotFoundError as error:
            raise InputError(f"{self.path} does not exist; check the path") from error
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path} cannot be read ({_reason(error)}); check its permissions") from error
        if empty:
            raise InputError(f"{self.path} is empty (0 bytes); give a recording with sound in it")
        return False

    # ---- a named pipe, or what a shell makes of <(...) ---------------------------------------------

    def _open_pipe(self) -> None:
        try:
            self._bytes = stream = ByteStream.of_path(self.path)
        except OSError as error:
            raise InputError(f"{self.path} cannot be read ({_reason(error)}); check its permissions") from error
        try:
            head = stream.await_bytes(4, self._stop)
            if is_riff(head):
                self._open_wav_stream(stream)
            else:
                self._spool(stream, head)
        except BaseException:
            stream.close()
            raise

    def _open_wav_stream(self, stream: ByteStream) -> None:
        header = await_wav_header(stream, self._stop)
        self.sample_rate = check_sample_rate(header.format.sample_rate, f"write {self.path} at another rate")
        self.channels = header.format.channels
        self._mix = chosen(self.channel, self.channels, str(self.path))
        self._powers = ChannelPowers(self.channels) if self.channel is None else None
        self._stated_s = float("inf") if header.data_bytes is None else header.data_bytes / header.format.frame_bytes / self.sample_rate
        self._reader = PcmReader(stream, header.format, header.data_bytes)
        self._begin()

    def _spool(self, stream: ByteStream, head: bytes) -> None:
        """What needs to be seeked in goes to a file of ours, which is gone when it is open."""
        if not head:
            raise InputError(f"{self.path} gave nothing; write a recording to it")
        if not head.startswith(SPOOLED) and not (head[0] == 0xFF and head[1:2] >= b"\xe0"):
            raise InputError(f"{self.path} gives no {FORMATS}; for raw samples pipe them in: --input - --rate HZ")
        number, name = tempfile.mkstemp(prefix="rt-melody-")
        try:
            with open(number, "wb") as file:
                self._copy(stream, file)
            self._open_recording(Path(name))
        except OSError as error:
            raise InputError(f"{self.path} cannot be kept in {name} ({_reason(error)}); write it to a file") from error
        finally:
            os.unlink(name)
        stream.close()

    def _copy(self, stream: ByteStream, file: Any) -> None:
        size = 0
        while (data := stream.read(AT_ONCE, 0.1)) is not None:
            if self._stop():
                raise InputError(f"stopped before {self.path} was read to its end")
            file.write(data)
            size += len(data)
            if size > MAX_SPOOLED_BYTES:
                raise InputError(
                    f"{self.path} gave more than {MAX_SPOOLED_BYTES >> 30} GB; give a wav through it, which is heard as it comes"
                )

    # ---- a file ------------------------------------------------------------------------------------

    def _open_recording(self, path: Path) -> None:
        """``path`` is that of the file, or of what a pipe gave."""
        self._repair = repair(path) if path.is_file() else None
        file = self._open_audio(path)
        try:
            if file.frames == 0:
                raise InputError(f"{self.path} holds no samples; give a recording with sound in it")
            self.sample_rate = check_sample_rate(file.samplerate, f"resample {self.path}")
            self.channels = file.channels
            self._mix = chosen(self.channel, self.channels, str(self.path))
            self._stated_s = file.frames / self.sample_rate if file.frames < UNKNOWN_FRAMES else float("inf")
            if self.channel is None and (self.channels > 1 or file.subtype in FLOATS):  # else there is nothing to decide
                self._look_through(path)
            untagged = _says_no_length(path, file)
        except InputError:
            file.close()
            raise
        if untagged and sys.platform != "win32" and (endless := _through_a_pipe(path)) is not None:
            if (endless.channels, endless.samplerate) == (file.channels, file.samplerate):
                file, endless = endless, file
            endless.close()  # of a damaged file libsndfile may make something else there
        self._ends_anywhere = untagged or file.frames >= UNKNOWN_FRAMES
        # soundfile seeks to where it is after every read, and libsndfile 1.2's mp3 decoder loses its place by
        # that: silence or noise from the second block on. A file that says it cannot seek is only read.
        file.seekable = lambda: False
        self._file = file
        self._remark_on_sizes(path)
        _skip(file, _codec_delay(file, untagged))
        self._begin()

    def _open_audio(self, path: Path) -> Any:
        soundfile = _soundfile()

        try:
            if self._repair is not None:
                return soundfile.SoundFile(Patched(path, self._repair.patches))
            return soundfile.SoundFile(path if sys.platform == "win32" else os.fsencode(path))  # any bytes are a name
        except (soundfile.LibsndfileError, TypeError, ValueError) as error:
            reason = getattr(error, "error_string", str(error)).rstrip(".")
            raise InputError(f"{self.path} is not audio that can be read ({reason}); give {FORMATS}, {self._way_out(path)}") from error

    def _way_out(self, path: Path) -> str:
        if path != self.path:
            return "or decode it before it is piped in: ffmpeg -i FILE -f wav -"
        return f"or convert it: {conversion(self.path)}"

    def _look_through(self, path: Path) -> None:
        """Decide by its beginning how the file is heard."""
        file = self._open_audio(path)
        with file:
            file.seekable = lambda: False
            self._mix = look_through(_beginning(file), self.channels, str(self.path), file.subtype in FLOATS)
        self._remark = self._mix.remark

    def _remark_on_sizes(self, path: Path) -> None:
        said = None
        if self._repair is not None and self._repair.claimed_s >= 0.0:
            said = (
                f"the header of {self.path} states {self._repair.claimed_s:.1f} s of sound, as where a recorder was cut off, "
                f"and {self._repair.true_s:.1f} s are there: all of it is read"
            )
        elif (missing := missing_s(path) if self._repair is None else 0.0) >= 0.01:
            said = f"{self.path} is cut off: its header promises {missing:.2f} s more than are there; what is there is used"
        self._remark = "; ".join(filter(None, (said, self._remark))) or None

    @property
    def duration_s(self) -> float:
        """Length that the file's header states, in seconds; infinite where it states none."""
        return self._stated_s

    @property
    def remark(self) -> str | None:
        return self._remark

    @property
    def notice(self) -> str | None:
        """One sentence on what was missing, once the end has been read; None where all was there."""
        return self._notice

    # ---- reading -----------------------------------------------------------------------------------

    def whole(self) -> np.ndarray:
        """All that is left of it, float32 [shape=(n,)]; it must be open."""
        blocks: list[np.ndarray] = []
        while (block := self.read()) is not None:
            blocks.append(block.copy())
        return np.concatenate([np.zeros(0, np.float32), *blocks])

    def _next_block(self, max_samples: int) -> np.ndarray | None:
        reader = self._reader
        frames = self._read_frames(max_samples) if reader is None else self._stream_frames(reader, max_samples)
        if frames is None:
            return None
        if self.channels == 1 and self._mix.factor == 1.0:
            return frames[:, 0]
        return self._mix.down(frames, self._mono)

    def _stream_frames(self, reader: PcmReader, max_samples: int) -> np.ndarray | None:
        frames = reader.read(max_samples, 0.1)
        if frames is None:
            self._tell_of_stream(reader)
        elif self._powers is not None:
            self._powers.feed(frames)
        return frames

    def _tell_of_stream(self, reader: PcmReader) -> None:
        notices = [self._powers.complaint(str(self.path))] if self._powers is not None else []
        if reader.understated:
            notices.append(f"{self.path} went on after the {self._stated_s:.1f} s that its header states: all of it was read")
        if reader.given == 0:
            notices.append(f"{self.path} holds no samples; give a recording with sound in it")
        self._notice = "; ".join(filter(None, notices)) or None

    def _read_frames(self, max_samples: int) -> np.ndarray | None:
        soundfile = _soundfile()

        if self._notice:
            return None
        try:
            frames = self._file.read(max_samples, dtype="float32", always_2d=True, out=self._frames)
        except soundfile.LibsndfileError as error:
            self._tell_cut(error.error_string)
            return None
        if not self._ends_anywhere and len(frames) < max_samples and self._position_samples + len(frames) < self._file.frames:
            self._tell_cut("the data end early")
        return frames if len(frames) else None

    def _tell_cut(self, reason: str) -> None:
        read_s = self._position_samples / self.sample_rate
        of = "" if self.duration_s == float("inf") else f" of {self.duration_s:.1f}"
        self._notice = f"{self.path} is damaged after {read_s:.1f}{of} s ({reason.rstrip('.')}); what came before was used"

    def close(self) -> None:
        super().close()
        if self._file is not None:
            self._file.close()
        if self._bytes is not None:
            self._bytes.close()


def await_wav_header(stream: ByteStream, stop: Callable[[], bool]) -> WavHeader:
    """The header of a wav that comes through a pipe, after which the next byte is sound. Raises InputError."""
    count = 44
    while (header := parse_wav(stream.await_bytes(count, stop), stream.name)) is None:
        if stream.ended:
            raise InputError(f"{stream.name} ended within the header of a wav; write it again")
        count *= 2
    stream.await_bytes(header.header_bytes, stop)
    stream.read(header.header_bytes, 0.0)
    return header


def _soundfile() -> Any:
    """The module, loaded when the first file is opened."""
    import soundfile  # pyright: ignore[reportMissingTypeStubs]  # it has none

    return soundfile


def _is_empty(path: Path, mode: int) -> bool:
    if stat.S_ISCHR(mode):  # /dev/null is; others may wait for ever
        return os.path.realpath(path) == os.devnull
    if not stat.S_ISREG(mode):
        return False
    with open(path, "rb") as file:
        return not file.read(1)


def _reason(error: Exception) -> Any:
    return getattr(error, "strerror", None) or error


def _beginning(file: Any) -> Iterator[np.ndarray]:
    """Blocks of frames of the first LOOK_S; fewer where the file is damaged."""
    soundfile = _soundfile()

    left = int(LOOK_S * file.samplerate)
    block = np.zeros((4096, file.channels), np.float32)
    with suppress(soundfile.LibsndfileError):
        while left > 0 and len(frames := file.read(len(block), dtype="float32", always_2d=True, out=block)):
            yield frames
            left -= len(frames)


def _codec_delay(file: Any, untagged: bool) -> int:
    """Samples before the first one, which libsndfile takes out itself where a tag tells them."""
    if file.subtype == "MPEG_LAYER_II":
        return LAYER_2_DELAY
    return LAYER_3_DELAY if untagged and file.subtype == "MPEG_LAYER_III" else 0


def _skip(file: Any, samples: int) -> None:
    soundfile = _soundfile()

    with suppress(soundfile.LibsndfileError):
        file.read(samples, dtype="float32")


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
    soundfile = _soundfile()

    reader, writer = os.pipe()
    raw = open(path, "rb")  # noqa: SIM115 (the feeder closes it)

    def feed() -> None:
        with suppress(OSError), raw, open(writer, "wb") as pipe:  # OSError: the reader was closed
            shutil.copyfileobj(raw, pipe)

    threading.Thread(target=feed, name="mp3 feeder", daemon=True).start()
    try:
        return soundfile.SoundFile(reader, closefd=True)
    except soundfile.LibsndfileError:
        return None
