"""The hand-over of samples from the device's thread to ours.

Conventions
-----------
* One thread writes, one other thread reads; nobody waits for anybody.
* Indices are absolute: they count samples from 0 since the buffer was made (or reset) and never wrap;
  only the position in the memory does, ``index % capacity_samples``.
* Samples are mono float32. A sample that finds no room is dropped, counted, and takes no index.

Why no lock is needed
---------------------
``write_index`` is stored by the writer alone and ``read_index`` by the reader alone, each as one
assignment of an int, which Python makes visible whole. The writer copies the samples first and stores
``write_index`` last, so whatever the reader finds below that index is complete. The reader copies out
first and stores ``read_index`` last, so the writer never overwrites a place that is still being read.
Each side may see an old value of the other's index; an old ``write_index`` only shows fewer samples, an
old ``read_index`` only less room: both err on the safe side.
"""

from __future__ import annotations

import numpy as np


class RingBuffer:
    """A first-in, first-out buffer of ``capacity_samples`` mono float32 samples, preallocated."""

    def __init__(self, capacity_samples: int) -> None:
        """Raises ValueError for a capacity below one sample."""
        if capacity_samples < 1:
            raise ValueError(f"capacity {capacity_samples} samples must be at least 1")
        self.capacity_samples = int(capacity_samples)
        self._data = np.empty(self.capacity_samples, np.float32)
        self._data.fill(0.0)  # touches every page now, so that no write meets a page fault
        self.reset()

    def reset(self) -> None:
        """Empty, and the indices at 0 again. Only while neither thread is at work."""
        self._write_index = 0
        self._read_index = 0
        self._lost_samples = 0

    @property
    def write_index(self) -> int:
        """Index of the next sample to be written."""
        return self._write_index

    @property
    def read_index(self) -> int:
        """Index of the next sample to be read."""
        return self._read_index

    @property
    def available(self) -> int:
        """Samples written and not yet read."""
        return self._write_index - self._read_index

    @property
    def lost_samples(self) -> int:
        """Samples dropped because the buffer was full."""
        return self._lost_samples

    def write(self, samples: np.ndarray) -> int:
        """Append ``samples`` [shape=(n,)] as far as there is room; how many were taken. Never waits.

        For the writing thread only.
        """
        write_index = self._write_index
        room = self.capacity_samples - (write_index - self._read_index)
        taken = min(len(samples), room)
        if taken < len(samples):
            self._lost_samples += len(samples) - taken
        if taken:
            self._copy_in(write_index % self.capacity_samples, samples[:taken])
            self._write_index = write_index + taken  # last: it publishes the samples
        return taken

    def read(self, out: np.ndarray, max_samples: int | None = None) -> int:
        """Move the oldest samples to the front of ``out``; how many: at most ``max_samples``. Never waits.

        For the reading thread only.
        """
        read_index = self._read_index
        wanted = len(out) if max_samples is None else min(max_samples, len(out))
        given = min(wanted, self._write_index - read_index)
        if given > 0:
            self._copy_out(read_index % self.capacity_samples, out[:given])
            self._read_index = read_index + given  # last: it gives the room back
        return max(given, 0)

    def skip_to(self, index: int) -> int:
        """Drop the samples before ``index``; how many. An index outside what is held is moved to its edge.

        For the reading thread only.
        """
        read_index = self._read_index
        target = max(read_index, min(index, self._write_index))
        self._read_index = target
        return target - read_index

    def _copy_in(self, place: int, samples: np.ndarray) -> None:
        first = min(len(samples), self.capacity_samples - place)
        self._data[place : place + first] = samples[:first]
        if first < len(samples):
            self._data[: len(samples) - first] = samples[first:]

    def _copy_out(self, place: int, out: np.ndarray) -> None:
        first = min(len(out), self.capacity_samples - place)
        out[:first] = self._data[place : place + first]
        if first < len(out):
            out[first:] = self._data[: len(out) - first]
