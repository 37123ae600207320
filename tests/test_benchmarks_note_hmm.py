"""The note model that ours is compared with: its decoder against a plain one, its notes against known ones."""

import itertools

import numpy as np
import pytest

pytest.importorskip("mir_eval")
from rt_melody.benchmarks import note_hmm
from rt_melody.benchmarks.note_scores import NoteScores, played_notes
from rt_melody.benchmarks.signals import TrueNote
from rt_melody.realtime.types import PitchFrame, midi_to_hz

HOP_S = 0.01


def frames_of(true, seconds, wobble=0.0):
    rng, frames = np.random.default_rng(0), []
    for i in range(round(seconds / HOP_S)):
        t = i * HOP_S
        pitch = next((n.pitch for n in true if n.on_s <= t < n.off_s), None)
        f0_hz = midi_to_hz((pitch or 60.0) + wobble * np.sin(2 * np.pi * 6.0 * t) + 0.05 * rng.standard_normal())
        frames.append(PitchFrame(i, t, t + 0.05, f0_hz, pitch is not None, 0.9, 0.97 if pitch else 0.02, -20.0))
    return frames


@pytest.mark.parametrize("seed", range(4))
def test_the_path_is_the_likeliest_of_all(seed):
    """Two pitches, five frames, every one of 6**5 paths tried."""
    rng = np.random.default_rng(seed)
    observed = np.log(rng.random((5, 6)))
    stay, jumps = np.log([0.6, 0.7, 0.5]), np.log([0.3, 0.2])

    def step(a, b):
        (p, s), (q, r) = divmod(a, 3), divmod(b, 3)
        if a == b:
            return stay[s]
        if p == q and r == s + 1:
            return np.log(1 - np.exp(stay[s]))
        return jumps[abs(p - q)] if s == 2 and r == 0 else -np.inf

    def score(path):
        if path[0] % 3 != 2:
            return -np.inf
        return sum(observed[t, s] for t, s in enumerate(path)) + sum(step(a, b) for a, b in itertools.pairwise(path))

    found = np.zeros(5, np.int64)
    note_hmm.best_path(observed.copy(), stay, jumps, np.zeros((5, 6), np.int64), found)
    assert tuple(found) == max(itertools.product(range(6), repeat=5), key=score)


def test_probabilities_of_a_frame_and_of_the_ways_out_of_silence_sum_to_one():
    likely = np.exp(note_hmm.log_likelihoods(np.array([60.0, 33.3]), np.array([True, False]))).reshape(2, -1, 3)
    np.testing.assert_allclose(likely[:, :, :2].sum((1, 2)), [0.8, 0.35])
    np.testing.assert_allclose(likely.sum((1, 2)), 1.0)
    ways = np.exp(note_hmm._jumps(np.log(0.99)))
    assert ways[0] + 2 * ways[1:].sum() == pytest.approx(0.01)
    assert ways[1] == 0.0 and ways[2] > ways[6] > 0.0 and ways[39] == 0.0


def test_notes_are_found_through_vibrato_and_a_gap():
    true = [TrueNote(0.3, 0.9, 60.0), TrueNote(0.9, 1.5, 64.2), TrueNote(1.7, 2.3, 64.2)]
    scores = NoteScores()
    scores.add(true, played_notes(note_hmm.notes_of(frames_of(true, 2.6, wobble=0.5), HOP_S)))
    figures = scores.figures()
    assert figures["note"]["F"] == 1.0 and figures["played_notes"] == 3


def test_silence_and_a_blip_are_no_notes():
    assert note_hmm.notes_of(frames_of([], 1.0), HOP_S) == []
    assert note_hmm.notes_of(frames_of([TrueNote(0.5, 0.56, 60.0)], 1.0), HOP_S) == []
    assert note_hmm.hmm_tracker(lambda samples: [], HOP_S)(np.zeros(0)) == ([], [])
