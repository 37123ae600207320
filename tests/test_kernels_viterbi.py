"""Fixed-lag Viterbi against a plain twin that keeps every score, and its behaviour as a stream."""

import numpy as np
import pytest

from rt_melody.kernels.viterbi import FixedLagViterbi

SETTINGS = dict(move_bins=1.5, band=4, leap=1e-3, begin=0.05, end=0.02)
BINS = 30


def transition(move_bins, band, leap, begin, end):
    """All log-weights [from, to]; state BINS is unvoiced. A leap starts from the best state alone."""
    table = np.full((BINS + 1, BINS + 1), -np.inf)
    for i in range(BINS):
        for j in range(BINS):
            if abs(i - j) <= band:
                table[i, j] = -0.5 * ((i - j) / move_bins) ** 2
    table[BINS, :BINS], table[:BINS, BINS], table[BINS, BINS] = np.log(begin), np.log(end), 0.0
    return table


def plain(observed, lag):
    """The same decoding with whole matrices, kept from the start of the stream."""
    table = transition(**SETTINGS)
    score = np.full(BINS + 1, -30.0)
    score[BINS] = 0.0
    backs, states = [], []
    for row in observed:
        full = score[:, None] + table
        best = int(np.argmax(score[:BINS]))
        back = full.argmax(0)
        value = full.max(0)
        leap = score[best] + np.log(SETTINGS["leap"])
        back[:BINS] = np.where(leap > value[:BINS], best, back[:BINS])
        value[:BINS] = np.maximum(value[:BINS], leap)
        score = value + row
        backs.append(back)
        if len(backs) > lag:
            state = int(np.argmax(score))
            for i in range(lag):
                state = int(backs[-1 - i][state])
            states.append(state)
    return states


def sequence(seed, frames=200):
    """A pitch that wanders, rests and leaps, seen through noise."""
    rng = np.random.default_rng(seed)
    observed = rng.normal(0, 1.5, (frames, BINS + 1))
    pitch = 10
    for t in range(frames):
        pitch = int(np.clip(pitch + rng.integers(-1, 2), 0, BINS - 1)) if t % 50 else int(rng.integers(BINS))
        observed[t, BINS if (t // 25) % 3 == 2 else pitch] += 4
    return observed.astype(np.float32)


def decode(decoder, observed):
    return [state for row in observed if (state := decoder.feed(row)) is not None]


@pytest.mark.parametrize("lag", (0, 1, 5))
@pytest.mark.parametrize("seed", range(5))
def test_it_equals_the_plain_twin(lag, seed):
    observed = sequence(seed)
    assert decode(FixedLagViterbi(BINS, lag, **SETTINGS), observed) == plain(observed, lag)


@pytest.mark.parametrize("lag", (0, 3))
def test_later_frames_never_change_earlier_decisions(lag):
    observed, other = sequence(1), sequence(2)
    other[:100] = observed[:100]
    given = [decode(FixedLagViterbi(BINS, lag, **SETTINGS), x)[: 100 - lag] for x in (observed, other)]
    assert given[0] == given[1]


def test_a_single_wrong_octave_is_not_believed():
    """Hand-worked: one frame in favour of bin 25 by 3 nats costs two leaps of 6.9 nats."""
    observed = np.zeros((40, BINS + 1), np.float32)
    observed[:, 5] = 5.0
    observed[20, 5], observed[20, 25] = 0.0, 3.0
    states = decode(FixedLagViterbi(BINS, 2, **SETTINGS), observed)
    assert set(states[5:]) == {5}


def test_state_reset_second_run_and_without_reset():
    observed = sequence(7)
    decoder = FixedLagViterbi(BINS, 3, **SETTINGS)
    first = decode(decoder, observed)
    assert decode(decoder, observed) != first
    decoder.reset()
    assert decode(decoder, observed) == first
    assert decode(FixedLagViterbi(BINS, 3, **SETTINGS), observed) == first


def test_scores_stay_finite_over_a_long_stream():
    decoder = FixedLagViterbi(BINS, 0, **SETTINGS)
    row = np.full(BINS + 1, -40.0, np.float32)
    row[3] = 0.0
    states = [decoder.feed(row) for _ in range(20000)]
    assert states[-1] == 3 and np.isfinite(decoder._score).all() and decoder._score.max() == 0.0


@pytest.mark.parametrize("wrong", (dict(lag=-1), dict(leap=0.0), dict(end=1.0), dict(band=-2)))
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError):
        FixedLagViterbi(**{"bins": BINS, "lag": 0, **SETTINGS, **wrong})
