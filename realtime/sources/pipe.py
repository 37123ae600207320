"""Raw samples from another program, through a pipe.

Conventions
-----------
* The stream is mono float32, little-endian, without a header, full scale 1.0; its rate must be told.
* The writer sets the pace and waits for us when it is ahead, so nothing is ever lost. What has come is
  given at once: no block has to fill. Asked for, the clock sets the pace.
"""

from __future__ import annotations

import io
import os
import select
import sys
import time
from typing import BinaryIO

import numpy as np

from rt_melody.realtime.sources.base import CountingSource
from rt_melody.realtime.sources.blocks import PACED_BLOCK_S, check_sample_rate
from rt_melody.realtime.errors import InputError

SAMPLE = np.dtype("<f4")
READ_SAMPLES = 16_384  # as much as a Linux pipe holds

EXAMPLE = "ffmpeg -i song.wav -f f32le -ac 1 -ar 48000 - | rt-melody --input - --rate 48000"


class PipeSource(CountingSource):
    """Samples at ``rate`` Hz from ``stream``, a binary stream such as ``sys.stdin.buffer``.

    With ``realtime`` they are read no faster than ``rate`` from the first one on, whoever writes faster.

    ``open`` raises InputError for a terminal and for a rate that no audio has. The stream is the caller's:
    ``close`` stops reading and leaves it open.
    """

    name = "pipe"

    def __init__(self, stream: BinaryIO, rate: int, realtime: bool = False) -> None:
        self._stream, self._realtime = stream, realtime
        self.sample_rate = rate
        self._carry = b""
        self._notice: str | None = None

    def open(self) -> None:
        self.sample_rate = check_sample_rate(self.sample_rate, "give the rate of the stream with --rate")
        if self._stream.isatty():
            raise InputError(f"standard input is a terminal, not a stream of samples; pipe one in: {EXAMPLE}")
        self._file_number = self._find_file_number()
        self._block = np.zeros(READ_SAMPLES, np.float32)
        self._start_s: float | None = None
        self._open = True

    def _find_file_number(self) -> int | None:
        try:
            return self._stream.fileno()
        except (io.UnsupportedOperation, AttributeError):
            return None  # a stream in memory: always ready

    def read(self, timeout_s: float = 0.1) -> np.ndarray | None:
        """What has come; an empty block where nothing came within ``timeout_s``; None at the end."""
        if not self._open:
            return None
        if not self._ready(timeout_s):
            return self._block[:0]
        due_samples = self._due_samples(timeout_s) if self._realtime else READ_SAMPLES
        if not due_samples:
            return self._block[:0]
        data = self._read_bytes(due_samples)
        if not data:
            return self._end()
        return self._samples(self._carry + data)

    def _ready(self, timeout_s: float) -> bool:
        if self._file_number is None or sys.platform == "win32":
            return True  # Windows cannot wait for a pipe with a limit; the read itself waits
        return bool(select.select([self._file_number], [], [], timeout_s)[0])

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

    def _read_bytes(self, samples: int) -> bytes:
        wanted = samples * SAMPLE.itemsize - len(self._carry)
        if self._file_number is None:
            return self._stream.read(wanted)
        return os.read(self._file_number, wanted)

    def _samples(self, data: bytes) -> np.ndarray:
        n_samples = len(data) // SAMPLE.itemsize
        self._carry = data[n_samples * SAMPLE.itemsize :]
        self._block[:n_samples] = np.frombuffer(data, SAMPLE, n_samples)
        if self._origin_unix_s is None:
            self._origin_unix_s = time.time() - n_samples / self.sample_rate
        self._position_samples += n_samples
        return self._block[:n_samples]

    def _end(self) -> None:
        self._open = False
        if self._carry:
            self._notice = (
                f"the stream ended {len(self._carry)} bytes into a sample, which were left out; "
                f"raw input must be mono little-endian float32, {SAMPLE.itemsize} bytes a sample"
            )
            self._carry = b""
        elif self._position_samples == 0:
            self._notice = f"the stream ended before its first sample; pipe samples in: {EXAMPLE}"

    @property
    def notice(self) -> str | None:
        """One sentence on an empty stream or an incomplete last sample, once the end has been read; else None."""
        return self._notice
