"""Samples as bytes: raw, or behind the header of a wav file that comes through a pipe.

Conventions
-----------
* Frames are float32 [shape=(n, n_channels)], integers scaled to -1..1.
* Sizes in a header are claims: one of a stream is 0 or far too large, where its writer did not know it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from rt_melody.realtime.errors import InputError
from rt_melody.realtime.sources.byte_stream import ByteStream

ENDLESS_BYTES = 0x7FFF0000  # sizes from here on stand for "until it ends"
MAX_HEADER_BYTES = 2**20
INTEGER, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE  # the wav format's tags
KINDS = {  # tag and bits -> numpy's type, offset and factor to full scale 1
    (INTEGER, 8): ("u1", -128.0, 2.0**-7),
    (INTEGER, 16): ("<i2", 0.0, 2.0**-15),
    (INTEGER, 24): ("<i4", 0.0, 2.0**-31),
    (INTEGER, 32): ("<i4", 0.0, 2.0**-31),
    (FLOAT, 32): ("<f4", 0.0, 1.0),
    (FLOAT, 64): ("<f8", 0.0, 1.0),
}


@dataclass(frozen=True)
class PcmFormat:
    """How frames lie in bytes."""

    sample_rate: int
    channels: int = 1
    tag: int = FLOAT
    bits: int = 32

    @property
    def frame_bytes(self) -> int:
        return self.channels * self.bits // 8

    def frames(self, data: bytes) -> np.ndarray:
        """The frames [shape=(n, channels)] of whole ones in bytes."""
        kind, offset, factor = KINDS[self.tag, self.bits]
        if self.bits == 24:  # into the upper three bytes of four
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            data = wide.tobytes()
        samples = np.frombuffer(data, kind)
        if factor != 1.0:
            samples = (samples.astype(np.float64) + offset) * factor
        with np.errstate(all="ignore"):
            return samples.astype(np.float32).reshape(-1, self.channels)


@dataclass(frozen=True)
class WavHeader:
    """What the header of a wav stream says, and how long it is."""

    format: PcmFormat
    header_bytes: int
    data_bytes: int | None  # None: until it ends


def is_riff(head: bytes) -> bool:
    return head[:4] in (b"RIFF", b"RF64")


def parse_wav(head: bytes, name: str) -> WavHeader | None:
    """The header in the first bytes of a wav stream; None where more of it is needed.

    Raises InputError, about ``name``, for a header that is none or announces what cannot be read as it comes.
    """
    if len(head) >= 12 and head[8:12] != b"WAVE":
        raise InputError(f"{name} begins as a RIFF file and is no wav; pipe in wav, or raw float32 samples with --rate")
    kind, at = None, 12
    while len(head) >= at + 8:
        chunk, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        if chunk == b"data":
            if kind is None:
                raise InputError(f"{name} is a wav that does not say how its samples are stored; write it again")
            return WavHeader(kind, at + 8, size if 0 < size < ENDLESS_BYTES else None)
        if chunk == b"fmt " and len(head) >= at + 8 + min(size, 40):
            kind = _parse_format(head[at + 8 : at + 8 + size], name)
        at += 8 + size + size % 2
        if at > MAX_HEADER_BYTES:
            raise InputError(f"{name} is a wav without sound in its first MB; write it again")
    return None


def _parse_format(body: bytes, name: str) -> PcmFormat:
    if len(body) < 16:
        raise InputError(f"{name} is a wav whose format is cut off; write it again")
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
    if tag == EXTENSIBLE and len(body) >= 26:
        tag = int.from_bytes(body[24:26], "little")
    if (tag, bits) not in KINDS or not 1 <= channels <= 1024:
        raise InputError(
            f"{name} is a wav of a kind that cannot be read as it comes (format {tag}, {bits} bits, {channels} channels); "
            "pipe in 16, 24 or 32 bits or floats, or give the file by its name"
        )
    return PcmFormat(rate, channels, tag, bits)


def is_chunk(head: bytes) -> bool:
    """Whether bytes after the sound begin another part of a file: a chunk's name of four letters, or a tag."""
    name = head[:4]
    return (len(name) == 4 and name.isascii() and name.decode("latin-1").isprintable() and name[:1].isalpha()) or name[:3] in (
        b"ID3",
        b"TAG",
    )


class PcmReader:
    """Frames out of a byte stream, as they come. ``data_bytes``: how many a header promises; None: until it ends."""

    def __init__(self, stream: ByteStream, kind: PcmFormat, data_bytes: int | None = None) -> None:
        self.format = kind
        self._stream, self._left = stream, data_bytes
        self._carry = b""
        self.given = 0  # frames
        self.understated = False  # whether there was more than the header promises

    def read(self, most_frames: int, timeout_s: float) -> np.ndarray | None:
        """What has come, ``most_frames`` at most; no frame where nothing came in time; None at the end."""
        if self._left == 0:
            over = self._is_over(timeout_s)
            if over or over is None:
                return None if over else np.zeros((0, self.format.channels), np.float32)
            self._left, self.understated = None, True
        wanted = most_frames * self.format.frame_bytes - len(self._carry)
        if self._left is not None:
            wanted = min(wanted, self._left)
        data = self._stream.read(wanted, timeout_s)
        if data is None:
            return None
        if self._left is not None:
            self._left -= len(data)
        data = self._carry + data
        whole = len(data) - len(data) % self.format.frame_bytes
        self._carry = data[whole:]
        frames = self.format.frames(data[:whole])
        self.given += len(frames)
        return frames

    def _is_over(self, timeout_s: float) -> bool | None:
        """Whether nothing or another chunk follows the promised part, rather than more sound; None: not known yet."""
        head = self._stream.peek(9, timeout_s)
        if len(head) < 9 and not self._stream.ended:
            return None
        return len(head) < 9 or is_chunk(head) or is_chunk(head[1:])

    @property
    def torn_bytes(self) -> int:
        """Bytes of a last frame that is not whole."""
        return len(self._carry)


def looks_like_floats(samples: np.ndarray) -> bool | None:
    """Whether little-endian float32 are what these bytes were; None where too few are not 0 to tell.

    Of 16-bit integers read as floats nearly all are beyond any sound, or next to nothing: their exponent is the upper half
    of the louder bits of a sample.
    """
    told = np.abs(samples[(samples != 0) & np.isfinite(samples)])
    if len(told) < 256:
        return None
    return bool(np.count_nonzero((told > 1e9) | (told < 1e-20)) < 0.1 * len(told))
