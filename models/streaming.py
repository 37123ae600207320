"""A compiled model and the state of one stream."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import numpy as np
import torch

from rt_melody.models.shipped import find_model
from rt_melody.models.torchscript import load_model, optimise, optimises

WARM_UP_HOPS = 5  # at the first of which what it needs is loaded


class hop_computing:
    """Meanwhile torch computes in the calling thread alone, denormal numbers are zeros, and programs run as they are; then as before.

    A hop is too little work to share, and threads that wait for each other stall on a busy machine; a fading sound would
    make every operation on denormal numbers a hundred times slower. To look for what could be optimised in a program that is frozen
    already makes its first two runs cost what a hundred hops do, and no other run less. These are settings of the thread and the
    process, which belong to whoever calls. May be nested, a loop within it saves it the change at every hop; costs a microsecond or two.
    """

    __slots__ = ("_flushed", "_optimised", "_threads")

    def __enter__(self) -> None:
        self._threads, self._flushed, self._optimised = torch.get_num_threads(), denormals_are_flushed(), optimises()
        if self._optimised:
            optimise(False)
        if self._threads != 1:
            torch.set_num_threads(1)
        if not self._flushed:
            torch.set_flush_denormal(True)

    def __exit__(self, *exc: object) -> None:
        if self._optimised:
            optimise(True)
        if self._threads != 1:
            torch.set_num_threads(self._threads)
        if not self._flushed:
            torch.set_flush_denormal(False)


def denormals_are_flushed() -> bool:
    """Whether this thread takes them for zero: tried, since torch does not tell."""
    return sys.float_info.min * 0.5 == 0.0


class StreamingModel:
    """Owns one stream's state. ``step`` a hop at a time; ``reset`` forgets what was heard.

    A stream may be heard in several interleaved *phases*: each ``step`` is the next phase's turn, whose own state
    saw every ``phases``-th window. So a network made for hops of 10 ms answers every 5 ms, at twice the work.

    Torch's threads and denormals are left as they were found (see ``hop_computing``).

    ``path``: of a model file, or the name of a shipped one (see ``models.shipped``). ``trust_model``: run the code of a file of
    another origin. Raises rt_melody.models.torchscript.ModelFileError for a file that is no model, or of another origin and
    not trusted.
    """

    def __init__(self, path: str | Path | None = None, trust_model: bool = False):
        self.path = find_model(path)
        with hop_computing():
            self._step, self.config, self.provenance = load_model(self.path, trust_model)
        self._begin()

    def _begin(self) -> None:
        self.window = np.zeros(self.config.long_taps, np.float32)
        self._input = torch.from_numpy(self.window)  # shares memory with ``window``
        self._head = len(self.config.look_ahead_ms) - 1
        self.set_phases(1)

    def for_another_stream(self) -> StreamingModel:
        """One that shares what is loaded and compiled, and nothing of this one's stream."""
        other = copy.copy(self)
        other._begin()
        return other

    @property
    def look_ahead_ms(self) -> float:
        """Of the head that is read."""
        return self.config.look_ahead_ms[self._head]

    @property
    def heads_ms(self) -> tuple[float, ...]:
        """Every look-ahead that this model offers, ascending."""
        return tuple(self.config.look_ahead_ms)

    def choose_head(self, look_ahead_ms: float) -> None:
        """Read out the head with this look-ahead from now on. Raises ValueError for one it has not."""
        self._head = self.heads_ms.index(look_ahead_ms)

    def set_phases(self, phases: int) -> None:
        """Hear the stream in so many interleaved phases from now on, and reset."""
        self._phases = phases
        self._streams = []  # until the first step: what goes by blocks needs none
        self.reset()

    def reset(self) -> None:
        """Forget what was heard: each phase begins in silence."""
        if self._streams:  # at once, since the next hop may be live
            self._streams = self._begun()
        self._left = None
        self._turn = 0

    def _begun(self) -> list:
        """A copy of the program for each phase, which remembers its own; the weights are shared."""
        streams = [copy.copy(self._step) for _ in range(self._phases)]
        with hop_computing(), torch.inference_mode():
            for stream in streams:
                stream.begin(torch.zeros(1))
        return streams

    def step(self) -> tuple[np.ndarray, float]:
        """Take in ``self.window``; pitch logits [shape=(pitch_bins,)] and the voicing logit."""
        turn = self._turn
        self._turn = (turn + 1) % self._phases
        if not self._streams:
            self._streams = self._begun()
        with hop_computing(), torch.inference_mode():
            pitch, voicing = self._streams[turn](self._input, self._head)
            return pitch.numpy(), float(voicing)

    def block(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take in many windows at once [shape=(n_hops, long_taps), float32]; pitch logits [shape=(n_hops, pitch_bins)] and
        voicing logits [shape=(n_hops,)], those of ``step`` but for rounding.

        ``n_hops``: a multiple of the phases. A stream goes all by ``step`` or all by ``block``, between ``reset`` and ``reset``.
        """
        taken, phases = torch.from_numpy(windows), self._phases
        with hop_computing(), torch.inference_mode():
            if self._left is None:
                self._left = [self._step.block_beginning(torch.zeros(1)) for _ in range(phases)]
            pitch, voicing = torch.empty(len(windows), self.config.pitch_bins), torch.empty(len(windows))
            for turn in range(phases):
                own = slice(turn, None, phases)
                pitch[own], voicing[own], self._left[turn] = self._step.block(taken[own], self._left[turn], self._head)
        return pitch.numpy(), voicing.numpy()

    def warm_up(self) -> None:
        """Run a few hops of silence so that nothing compiles later, then reset."""
        self.window[:] = 0.0
        for _ in range(WARM_UP_HOPS):
            self.step()
        self.reset()
