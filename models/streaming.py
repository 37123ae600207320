"""A compiled model and the state of one stream."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch

from rt_melody.models.torchscript import load_model

SHIPPED = Path(__file__).parent / "weights" / "live.pt"
WARM_UP_HOPS = 5  # TorchScript settles after its third call


class StreamingModel:
    """Owns one stream's state. ``step`` a hop at a time; ``reset`` forgets what was heard.

    A stream may be heard in several interleaved *phases*: each ``step`` is the next phase's turn, whose own state
    saw every ``phases``-th window. So a network made for hops of 10 ms answers every 5 ms, at twice the work.

    Sets torch to one intra-op thread for the process: a hop is too little work to share, and threads that
    wait for each other stall on a busy machine.

    Raises rt_melody.models.torchscript.ModelFileError for a file that is no model.
    """

    def __init__(self, path: str | Path | None = None):
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        self.path = Path(path) if path else SHIPPED
        self._step, self.config, self.provenance = load_model(self.path)
        self._begin()

    def _begin(self) -> None:
        self.window = np.zeros(self.config.long_taps, np.float32)
        self._input = torch.from_numpy(self.window)  # shares memory with ``window``
        self._head = len(self.config.look_ahead_ms) - 1
        self.set_phases(1)

    def for_another_stream(self) -> "StreamingModel":
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
        self.reset()

    def reset(self) -> None:
        """Forget what was heard: each phase begins in silence."""
        with torch.inference_mode():
            states = [self._step.initial_state(torch.zeros(1)) for _ in range(self._phases)]
        self._carried, self._memory = [carried for carried, _ in states], [memory for _, memory in states]
        self._turn = 0

    def step(self) -> tuple[np.ndarray, float]:
        """Take in ``self.window``; pitch logits [shape=(pitch_bins,)] and the voicing logit."""
        turn = self._turn
        self._turn = (turn + 1) % self._phases
        with torch.inference_mode():
            pitch, voicing, self._carried[turn] = self._step(self._input, self._carried[turn], self._memory[turn], self._head)
            return pitch.numpy(), float(voicing)

    def warm_up(self) -> None:
        """Run a few hops of silence so that nothing compiles later, then reset."""
        self.window[:] = 0.0
        for _ in range(WARM_UP_HOPS):
            self.step()
        self.reset()
