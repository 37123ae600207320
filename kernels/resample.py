"""Streaming sample-rate conversion with a delay that is known, short, and the same for every chunking.

A polyphase windowed sinc (Kaiser), linear phase. Output sample m stands at input position
``p = m * rate_in / rate_out`` and reads the inputs ``floor(p) - half + 1 .. floor(p) + half``; it can be
computed as soon as input ``floor(p) + half`` is there, whatever the sizes of the blocks in which it came.
That bound is why this is not a library's resampler: those work in blocks of their own and give no promise
of when a sample appears.
"""

from __future__ import annotations

from math import gcd

import numpy as np

from rt_melody.kernels.compiled import compiled

ZEROS = 16  # zero crossings either side, at most: 1 ms at 16 kHz
ROLLOFF = 0.90  # cut-off as a part of the lower Nyquist frequency
KAISER_BETA = 8.0  # about 80 dB of stop-band
BLOCK = 1024  # input samples worked on at once
MAX_PHASES = 4096  # of a table: rates such as 44,099 Hz have 16,000, which share the rows at an error below -74 dB
MIN_PHASES = 512  # what is sampled far above its own band needs no more
ROWS_AT_ONCE = 256


@compiled("int64(float32[::1], float32[::1], float32[:, ::1], int64[::1], float32[::1], int64)", fastmath=("reassoc", "contract"))
def convert(history: np.ndarray, samples: np.ndarray, table: np.ndarray, state: np.ndarray, out: np.ndarray, up: int) -> int:
    """Take in ``samples``, write the outputs that they allow; how many.

    ``state``: [input index floor(p) of the next output, its phase, input steps and phase steps an output, how many inputs
    ``history`` holds, the index of the first of them]. Phases are of ``up``; a table of fewer rows holds the nearest before each.
    """
    half, rows, held, first = table.shape[1] // 2, table.shape[0], state[4], state[5]
    history[held : held + samples.shape[0]] = samples
    held += samples.shape[0]
    n_out = 0
    while state[0] + half < first + held:
        start = state[0] - half + 1 - first
        phase = state[1] if rows == up else state[1] * rows // up
        met, taps = history[start : start + table.shape[1]], table[phase]
        total = np.float32(0.0)
        for k in range(taps.shape[0]):
            total += met[k] * taps[k]
        out[n_out] = total
        n_out += 1
        state[0] += state[2]
        state[1] += state[3]
        if state[1] >= up:
            state[1] -= up
            state[0] += 1
    drop = min(held, max(0, state[0] - half + 1 - first))
    for i in range(held - drop):
        history[i] = history[drop + i]
    state[4], state[5] = held - drop, first + drop
    return n_out


def polyphase_table(up: int, down: int) -> np.ndarray:
    """Kernel taps for each phase [shape=(up or fewer, 2 * half)]; each row sums to 1, so DC passes unchanged.

    Where there are more phases than rows, a row stands in the middle of those that share it.
    """
    stretch = max(1.0, down / up)
    half = int(ZEROS * stretch)  # rounded down: never later than 1 ms from 16 kHz up
    rows = min(up, MAX_PHASES, max(MIN_PHASES, int(2 * MAX_PHASES / stretch)))
    phases = np.arange(up) / up if rows == up else (np.arange(rows) + 0.5) / rows
    table = np.empty((rows, 2 * half), np.float32)
    for start in range(0, rows, ROWS_AT_ONCE):
        table[start : start + ROWS_AT_ONCE] = _taps(phases[start : start + ROWS_AT_ONCE], half, stretch)
    return table


def _taps(phases: np.ndarray, half: int, stretch: float) -> np.ndarray:
    """The windowed sinc at each of ``phases``, 0 .. 1 of an input sample [shape=(n_phases, 2 * half)]."""
    offsets = np.arange(-half + 1, half + 1)[None, :] - phases[:, None]
    inside = np.maximum(1.0 - (offsets / (half + 1)) ** 2, 0.0)
    taps = np.sinc(ROLLOFF / stretch * offsets) * np.i0(KAISER_BETA * np.sqrt(inside))
    return taps / taps.sum(1, keepdims=True)


class StreamResampler:
    """Converts a stream from ``rate_in`` to ``rate_out`` Hz. One stream, one instance; ``reset`` starts anew.

    Raises ValueError for a rate outside 1 kHz .. 768 kHz, or that is no whole number of Hz.
    """

    def __init__(self, rate_in: int, rate_out: int):
        for rate in (rate_in, rate_out):
            if not 1000 <= rate <= 768000:
                raise ValueError(f"sample rate {rate} Hz is outside 1000 .. 768000 Hz")
            if rate != int(rate):
                raise ValueError(f"sample rate {rate} Hz must be a whole number of Hz")
        rate_in, rate_out = int(rate_in), int(rate_out)
        common = gcd(rate_in, rate_out)
        self.rate_in, self.rate_out = rate_in, rate_out
        self.up, self.down = rate_out // common, rate_in // common
        self.identity = self.up == self.down
        self._table = polyphase_table(self.up, self.down) if not self.identity else np.zeros((1, 2), np.float32)
        self._half = self._table.shape[1] // 2
        self._history = np.zeros(self._table.shape[1] + BLOCK, np.float32)
        self._state = np.zeros(6, np.int64)
        self.reset()

    @property
    def delay_samples(self) -> int:
        """Input samples after its own position that an output waits for; 0 where the rates are equal."""
        return 0 if self.identity else self._half

    @property
    def delay_ms(self) -> float:
        """The most that an output is later than its own position; with rising rates an input brings several."""
        more = 0.0 if self.identity else max(0.0, 1.0 - self.down / self.up)
        return 1000.0 * (self.delay_samples + more) / self.rate_in

    def inputs_for(self, outputs: int) -> int:
        """How many inputs must have come before ``outputs`` outputs are there."""
        if self.identity or outputs <= 0:
            return max(0, outputs)
        return (outputs - 1) * self.down // self.up + self._half + 1

    def most_outputs(self, inputs: int) -> int:
        """No call of ``process`` with so many inputs writes more outputs than this."""
        return inputs * self.up // self.down + 2

    def reset(self) -> None:
        """Begin anew, after silence."""
        self._history[:] = 0.0
        # The zeros before the stream are those in which the first output finds its past.
        self._state[:] = (0, 0, self.down // self.up, self.down % self.up, self._half, -self._half)

    def process(self, samples: np.ndarray, out: np.ndarray) -> int:
        """Take in at most BLOCK ``samples`` (float32), write what they allow to ``out``, give how many."""
        count = len(samples)
        if self.identity:
            out[:count] = samples
            return count
        return convert(self._history, samples, self._table, self._state, out, self.up)


def converted(samples: np.ndarray, rate_in: int, rate_out: int) -> np.ndarray:
    """The whole of a recording [shape=(n,)] at another rate, float32: sample m stands at m / rate_out seconds, the end is there.
    Raises ValueError for a rate that cannot be had."""
    resampler = StreamResampler(rate_in, rate_out)
    out, parts = np.zeros(resampler.most_outputs(BLOCK), np.float32), list[np.ndarray]()
    tail = np.zeros(int(rate_in * resampler.delay_ms / 1000.0) + 1, np.float32)
    whole = np.concatenate([samples.astype(np.float32, copy=False), tail])
    for start in range(0, len(whole), BLOCK):
        count = resampler.process(np.ascontiguousarray(whole[start : start + BLOCK]), out)
        parts.append(out[:count].copy())
    return np.concatenate(parts)
