"""Samples from another program, through a pipe: raw, or as a wav file that it writes as it goes.

Conventions
-----------
* Raw samples are float32, little-endian, without a header, full scale 1.0, the channels side by side; their rate must be
  told. A wav says its rate, its channels and its sample format by itself.
* The writer sets the pace and waits for us when it is ahead, so nothing is ever lost. What has come is
  given at once: no block has to fill. Asked for, the clock sets the pace.
* Bytes that cannot be float32 sound are refused rather than heard as noise or silence.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import BinaryIO

import numpy as np

from rt_melody.realtime.errors import InputError
from rt_melody.realtime.sources.base import CountingSource
from rt_melody.realtime.sources.blocks import PACED_BLOCK_S, check_sample_rate
from rt_melody.realtime.sources.byte_stream import ByteStream
from rt_melody.realtime.sources.file import await_wav_header
from rt_melody.realtime.sources.mixing import ChannelPowers, chosen
from rt_melody.realtime.sources.pcm import PcmFormat, PcmReader, WavHeader, is_riff, looks_like_floats, parse_wav

READ_SAMPLES = 16_384  # as much as a Linux pipe holds
JUDGED_SAMPLES = 4_096  # after so many that are not 0 they are taken for what they are

EXAMPLE = "ffmpeg -i song.wav -f f32le -ac 1 -ar 48000 - | rt-melody --input - --rate 48000"
NAME = "standard input"


class PipeSource(CountingSource):
    """Samples from ``stream``, a binary stream such as ``sys.stdin.buffer``.

    ``rate``: of raw samples, Hz; None: a wav's header must say it, which ``open`` waits for, asking ``stop`` meanwhile.
    ``channels``: of raw samples; ``channel``: one of them alone, from 1, else their mean is heard. With ``realtime`` they
    are read no faster than at their rate from the first one on, whoever writes faster.

    ``open`` raises InputError for a terminal and for a rate that no audio has; ``read``, for a header that contradicts
    ``rate`` and for bytes that are no float32 sound. The stream is the caller's: ``close`` stops reading and leaves it open.
    """

    name = "pipe"

    def __init__(
        self,
        stream: BinaryIO,
        rate: int | None,
        realtime: bool = False,
        channels: int = 1,
        channel: int | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._stream, self._realtime, self._stop = stream, realtime, stop
        self._rate, self._raw_channels, self.channel = rate, channels, channel
        self._notice: str | None = None

    def open(self) -> None:
        if self._rate is not None:
            self.sample_rate = check_sample_rate(self._rate, "give the rate of the stream with --rate")
        if self._stream.isatty():
            raise InputError(f"standard input is a terminal, not a stream of samples; pipe one in: {EXAMPLE}")
        self._bytes = ByteStream(self._stream, NAME)
        self._reader: PcmReader | None = None
        self._told = np.zeros(0, np.float32)
        self._is_raw = False
        if self._rate is None:
            self._await_header()
        self._start_s: float | None = None
        self._open = True

    # ---- what it is --------------------------------------------------------------------------------

    def _await_header(self) -> None:
        head = self._bytes.await_bytes(4, self._stop)
        if not is_riff(head):
            if len(head) < 4:
                raise InputError(f"standard input ended before its first sample; pipe samples in: {EXAMPLE}")
            raise InputError(f"--input - needs --rate HZ for raw samples, which do not say their rate as a wav does: {EXAMPLE}")
        self._take_header(await_wav_header(self._bytes, self._stop))

    def _take_header(self, header: WavHeader) -> None:
        stated = check_sample_rate(header.format.sample_rate, "write the wav at another rate")
        if self._rate is not None and stated != self.sample_rate:
            raise InputError(f"standard input is a wav of {stated} Hz, and --rate says {self.sample_rate}; leave --rate out")
        self.sample_rate = stated
        self._begin(header.format, header.data_bytes)

    def _begin(self, kind: PcmFormat, data_bytes: int | None) -> None:
        self.channels = kind.channels
        self._reader = PcmReader(self._bytes, kind, data_bytes)
        self._mix = chosen(self.channel, kind.channels, NAME)
        self._powers = ChannelPowers(kind.channels) if self.channel is None else None
        self._block = np.zeros(READ_SAMPLES, np.float32)

    def _settle(self, timeout_s: float) -> bool:
        """Find out by the first bytes what it is; whether that is known."""
        head = self._bytes.peek(4, timeout_s)
        if len(head) < 4 and not self._bytes.ended:
            return False
        if is_riff(head):
            return self._settle_header()
        self._is_raw = True
        self._begin(PcmFormat(self.sample_rate, self._raw_channels), None)
        return True

    def _settle_header(self) -> bool:
        """Take the header of a wav if all of it has come; whether it has."""
        count = 44
        while (header := parse_wav(head := self._bytes.peek(count), NAME)) is None:
            if len(head) < count:
                if self._bytes.ended:
                    raise InputError(f"{NAME} ended within the header of a wav; write it again")
                return False
            count *= 2
        if len(self._bytes.peek(header.header_bytes)) < header.header_bytes:
            return False
        self._bytes.read(header.header_bytes, 0.0)
        self._take_header(header)
        return True

    # ---- reading -----------------------------------------------------------------------------------

    def read(self, timeout_s: float = 0.1) -> np.ndarray | None:
        """What has come; an empty block where nothing came within ``timeout_s``; None at the end."""
        if not self._open:
            return None
        if self._reader is None and not self._settle(timeout_s):
            return np.zeros(0, np.float32)
        due = self._due_samples(timeout_s) if self._realtime else READ_SAMPLES
        if not due:
            return self._block[:0]
        frames = self._begun_reader().read(due, timeout_s)
        if frames is None:
            return self._end()
        return self._given(frames)

    @property
    def paced(self) -> bool:
        return self._realtime

    def _due_samples(self, timeout_s: float) -> int:
        """How many samples may be read by now, 10 ms of them at least, which are waited for."""
        if self._start_s is None:
            self._start_s = time.perf_counter()
        least = max(1, round(PACED_BLOCK_S * self.sample_rate))
        wait_s = self._start_s + (self._position_samples + least) / self.sample_rate - time.perf_counter()
        if wait_s > 0.0:
            time.sleep(min(wait_s, timeout_s))
        return min(READ_SAMPLES, max(least, round(least - wait_s * self.sample_rate))) if wait_s <= timeout_s else 0

    def _given(self, frames: np.ndarray) -> np.ndarray:
        if self._is_raw and len(self._told) < JUDGED_SAMPLES:
            self._judge(frames.ravel())
        if self._powers is not None:
            self._powers.feed(frames)
        if self._origin_s is None and len(frames):
            self._origin_s = time.perf_counter() - len(frames) / self.sample_rate
        self._position_samples += len(frames)
        return self._mix.down(frames, self._block)

    def _judge(self, samples: np.ndarray) -> None:
        """Raises InputError where the first samples that are not 0 cannot be float32 sound."""
        self._told = np.concatenate([self._told, samples[samples != 0]])
        if looks_like_floats(self._told) is False:
            raise InputError(
                "standard input holds no float32 sound (16-bit integers look like this), and raw samples must be little-endian "
                "float32; have them written so (ffmpeg: -f f32le, sox: -t f32), or pipe in a wav, which says by itself what it is"
            )

    def _begun_reader(self) -> PcmReader:
        assert self._reader is not None, "what it is has been settled"
        return self._reader

    # ---- the end -----------------------------------------------------------------------------------

    def _end(self) -> None:
        self._open = False
        reader = self._begun_reader()
        notices: list[str | None] = []
        if torn := reader.torn_bytes:
            size = reader.format.frame_bytes
            notices.append(
                f"the stream ended {torn} bytes into a sample, which were left out; raw input must be "
                f"{'mono ' if size == 4 else ''}little-endian float32, {size} bytes a sample"
            )
        elif self._position_samples == 0:
            notices.append(f"the stream ended before its first sample; pipe samples in: {EXAMPLE}")
        if reader.understated:
            notices.append("the wav on standard input went on after the size that its header states: all of it was read")
        if self._powers is not None:
            notices.append(self._powers.complaint(NAME))
        self._notice = "; ".join(filter(None, notices)) or None

    @property
    def notice(self) -> str | None:
        """One sentence on an empty stream or an incomplete last sample, once the end has been read; else None."""
        return self._notice
