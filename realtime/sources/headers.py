"""Recordings whose header claims less than the file holds, as where a recorder died before it wrote the sizes.

libsndfile believes the header of wav, RF64, AU and CAF files. ``repaired`` gives such a file with the sizes that it has,
without writing to it. AIFF and W64 files without sizes it reads to their end by itself.
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from rt_melody.realtime.sources.pcm import ENDLESS_BYTES, is_chunk

MAX_CHUNKS = 1000
Order = Literal["little", "big"]
TAIL_BYTES = 4096  # so much after the sound, of whatever kind, is no sound


@dataclass(frozen=True)
class Sizes:
    """Where the sound of a file begins, how long its header says it is, and where another length would stand."""

    data_at: int
    claimed: int  # bytes; below 0 where it says "until the end"
    fields: tuple[tuple[int, int, Order, int], ...]  # offset, width, byte order, what it counts beside the sound's bytes
    bytes_a_second: float


class Patched(io.RawIOBase):
    """A file read as if some of its bytes were others."""

    def __init__(self, path: str | Path, patches: dict[int, bytes]) -> None:
        self._file, self._patches = open(path, "rb"), patches  # noqa: SIM115 (closed by ``close``)

    def readinto(self, buffer: Any) -> int:
        at, view = self._file.tell(), memoryview(buffer).cast("B")
        count = self._file.readinto(view)
        for offset, data in self._patches.items():
            for i in range(max(offset, at), min(offset + len(data), at + count)):
                view[i - at] = data[i - offset]
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass(frozen=True)
class Repair:
    """What to read a file with, and its length as claimed and as it is, in seconds."""

    patches: dict[int, bytes]
    claimed_s: float
    true_s: float


def repair(path: str | Path) -> Repair | None:
    """What is wrong with the sizes in a file's header; None where they are right, or the file is of another kind."""
    with open(path, "rb") as file:
        end = os.fstat(file.fileno()).st_size
        sizes = _sizes(file, end)
        if sizes is None or not _understated(file, sizes, end):
            return None
    true = end - sizes.data_at
    patches = {at: min(true + more, 2 ** (8 * width) - 1).to_bytes(width, order) for at, width, order, more in sizes.fields}
    return Repair(patches, sizes.claimed / sizes.bytes_a_second, true / sizes.bytes_a_second)


def missing_s(path: str | Path) -> float:
    """How much less sound a file holds than its header claims, in seconds; 0 where it claims no length."""
    with open(path, "rb") as file:
        end = os.fstat(file.fileno()).st_size
        sizes = _sizes(file, end)
    if sizes is None or sizes.claimed >= ENDLESS_BYTES:
        return 0.0
    return max(0, sizes.claimed - (end - sizes.data_at)) / sizes.bytes_a_second


def _understated(file: BinaryIO, sizes: Sizes, end: int) -> bool:
    """Whether sound goes on after what the header claims."""
    rest_at = sizes.data_at + max(sizes.claimed, 0)
    if end - rest_at <= (0 if sizes.claimed <= 0 else TAIL_BYTES):
        return False
    file.seek(rest_at)
    head = file.read(9)
    return not (is_chunk(head) or is_chunk(head[1:]))


def _sizes(file: BinaryIO, end: int) -> Sizes | None:
    head = file.read(12)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        return _wav(file, "big" if head[:4] == b"RIFX" else "little", head[:4] == b"RF64", end)
    if head[:4] == b".snd":
        return _au(file, head)
    if head[:4] == b"caff":
        return _caf(file, end)
    return None


def _at(file: BinaryIO, at: int, count: int, end: int) -> bytes | None:
    """Bytes of a file; None where they are not there."""
    if at + count > end:
        return None
    file.seek(at)
    return file.read(count)


def _wav(file: BinaryIO, order: Order, is_64: bool, end: int) -> Sizes | None:
    at, bytes_a_second, sizes_64 = 12, 0, None
    for _ in range(MAX_CHUNKS):
        head = _at(file, at, 8, end)
        if head is None:
            return None
        size = int.from_bytes(head[4:], order)
        if head[:4] == b"fmt ":
            bytes_a_second = int.from_bytes(file.read(12)[8:12], order)
        elif head[:4] == b"ds64":
            sizes_64 = at + 8
        elif head[:4] == b"data":
            if bytes_a_second < 1:
                return None
            fields: tuple[tuple[int, int, Order, int], ...] = ((4, 4, order, at), (at + 4, 4, order, 0))
            if is_64 and sizes_64 is not None:
                file.seek(sizes_64 + 8)
                size = int.from_bytes(file.read(8), "little")
                fields = ((sizes_64, 8, "little", at), (sizes_64 + 8, 8, "little", 0))
            return Sizes(at + 8, size, fields, bytes_a_second)
        at += 8 + size + size % 2
    return None


def _au(file: BinaryIO, head: bytes) -> Sizes | None:
    """Sizes, encoding, rate and channels are numbers of four bytes (Sun's audio(4)); a size of -1 is until the end."""
    data_at, size = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
    encoding, rate, channels = (int.from_bytes(file.read(4), "big") for _ in range(3))
    width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(encoding)
    if width is None or not rate or not channels:
        return None
    return Sizes(data_at, size, ((8, 4, "big", 0),), width * rate * channels)


def _caf(file: BinaryIO, end: int) -> Sizes | None:
    """Apple's Core Audio Format: chunks with sizes of eight bytes; -1 stands for "until the end", which libsndfile refuses."""
    at, bytes_a_second = 8, 0.0
    for _ in range(MAX_CHUNKS):
        head = _at(file, at, 12, end)
        if head is None:
            return None
        size = int.from_bytes(head[4:], "big", signed=True)
        if head[:4] == b"desc":
            rate, _, _, packet_bytes, packet_frames = struct.unpack(">dIIII", file.read(24).ljust(24, b"\0"))
            bytes_a_second = rate * packet_bytes / packet_frames if packet_frames else 0.0
        elif head[:4] == b"data":
            if not bytes_a_second > 0.0:
                return None
            return Sizes(at + 12, size, ((at + 4, 8, "big", 0),), bytes_a_second)
        if size < 0:
            return None
        at += 12 + size
    return None
