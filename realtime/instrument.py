"""The small instrument of ``--listen`` between two threads: one says what is to sound, the other makes it sound.

Conventions
-----------
* Who says writes into a row of its own and publishes it; who plays takes the newest. Neither waits for the other, and neither makes
  anything new.
* The device's thread is Python's (``fill``), or compiled code that takes ``words``.
* While it rests what sounds rings out, whatever is said; what is held then strikes afterwards.
"""

from __future__ import annotations

import time

import numpy as np

from rt_melody.kernels.compiled import compiled, part
from rt_melody.kernels.instrument import ENVELOPE, HELD, STATE, TARGET, play, timbre
from rt_melody.realtime.atomic import address, load, store

ROWS = 64  # more than are published while a block is computed
SILENT_ENVELOPE = 1e-3
RING_OUT_S = 0.4  # for which the tail of the last note is waited at most
WORDS = (STATE_AT, ROWS_AT, SOUND_AT, NEWEST) = range(4)  # addresses of what is below, and the row that is in force


@part()
def sound(newest: int, rests: bool, rows: np.ndarray, state: np.ndarray, of: np.ndarray, rate_hz: float, out: np.ndarray) -> None:
    """What the row ``newest`` of ``rows`` [shape=(ROWS + 1, TARGET)], the last of which is silence, asks for, into ``out`` [shape=(n,)]."""
    play(state, rows[ROWS if rests else newest % ROWS], of, rate_hz, out)


@compiled("void(int64[::1], boolean, float64[:, ::1], float64[::1], float64[::1], float64, float32[::1])")
def _fill(words: np.ndarray, rests: bool, rows: np.ndarray, state: np.ndarray, of: np.ndarray, rate_hz: float, out: np.ndarray) -> None:
    sound(load(address(words), NEWEST), rests, rows, state, of, rate_hz, out)


@compiled("void(int64[::1], float64[:, ::1], float64[::1])")
def _publish(words: np.ndarray, rows: np.ndarray, row: np.ndarray) -> None:
    after = words[NEWEST] + 1
    rows[after % ROWS] = row
    store(address(words), NEWEST, after)


class Instrument:
    """One that sounds as the timbre ``name`` does. ``now`` [shape=(TARGET,)]: what is to sound, once it is published (see
    ``kernels.instrument``). ``words``: int64, see WORDS."""

    def __init__(self, name: str) -> None:
        self._sound, self._state, self._rows = timbre(name), np.zeros(STATE), np.zeros((ROWS + 1, TARGET))
        self.now = np.zeros(TARGET)
        self.words = np.array([self._state.ctypes.data, self._rows.ctypes.data, self._sound.ctypes.data, 0], np.int64)

    def publish(self) -> None:
        """Let ``now`` sound."""
        _publish(self.words, self._rows, self.now)

    def hush(self) -> None:
        """Let what sounds ring out."""
        self.now[HELD] = 0.0
        self.publish()

    def fill(self, out: np.ndarray, rate_hz: float, rests: bool = False) -> None:
        """The next samples into ``out`` [shape=(n,)], float32; by the device's thread alone."""
        _fill(self.words, rests, self._rows, self._state, self._sound, rate_hz, out)

    @property
    def sounds(self) -> bool:
        """Whether anything is to be heard of it."""
        return bool(self._state[ENVELOPE] > SILENT_ENVELOPE)

    def ring_out(self) -> None:
        """Wait for the tail of the last note, while somebody plays it."""
        until_s = time.monotonic() + RING_OUT_S
        while self.sounds and time.monotonic() < until_s:
            time.sleep(0.01)
