"""Online Viterbi against a plain twin that keeps every score, and its behaviour as a stream."""

import numpy as np
import pytest

from rt_melody.kernels.viterbi import OnlineViterbi

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


def plain(observed, **changes):
    """The same decoding with whole matrices, scores kept from the start of the stream."""
    table = transition(**{**SETTINGS, **changes})
    score = np.full(BINS + 1, -30.0)
    score[BINS] = 0.0
    states = []
    for row in observed:
        full = score[:, None] + table
        best = int(np.argmax(score[:BINS]))
        value = full.max(0)
        leap = score[best] + np.log(SETTINGS["leap"])
        value[:BINS] = np.maximum(value[:BINS], leap)
        score = value + row
        states.append(int(np.argmax(score)))
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
    return [decoder.feed(row) for row in observed]


@pytest.mark.parametrize("seed", range(15))
def test_it_equals_the_plain_twin(seed):
    observed = sequence(seed)
    assert decode(OnlineViterbi(BINS, **SETTINGS), observed) == plain(observed)


@pytest.mark.parametrize("band", [0, 1, 2, 3, 5, 9])
def test_each_reach_of_a_movement_equals_the_plain_twin(band):
    """Steps are compared some at a time, and what is left of them one at a time."""
    observed = sequence(3)
    assert decode(OnlineViterbi(BINS, **{**SETTINGS, "band": band}), observed) == plain(observed, band=band)


def test_frames_at_once_are_those_one_by_one():
    observed, states = sequence(4), np.zeros(70, np.int64)
    decoder = OnlineViterbi(BINS, **SETTINGS)
    decoder.feed_all(observed[:70], states)
    assert [*states, *decode(decoder, observed[70:])] == decode(OnlineViterbi(BINS, **SETTINGS), observed)


def test_later_frames_never_change_earlier_decisions():
    observed, other = sequence(1), sequence(2)
    other[:100] = observed[:100]
    given = [decode(OnlineViterbi(BINS, **SETTINGS), x)[:100] for x in (observed, other)]
    assert given[0] == given[1]


def test_a_single_wrong_octave_is_not_believed():
    """Hand-worked: one frame in favour of bin 25 by 3 nats costs two leaps of 6.9 nats."""
    observed = np.zeros((40, BINS + 1), np.float32)
    observed[:, 5] = 5.0
    observed[20, 5], observed[20, 25] = 0.0, 3.0
    states = decode(OnlineViterbi(BINS, **SETTINGS), observed)
    assert set(states[5:]) == {5}


def test_state_reset_second_run_and_without_reset():
    observed = sequence(7)
    decoder = OnlineViterbi(BINS, **SETTINGS)
    first = decode(decoder, observed)
    nothing, sung = np.zeros(BINS + 1, np.float32), np.eye(BINS + 1, dtype=np.float32)[25] * 20
    decoder.feed(sung)
    assert decoder.feed(nothing) == 25, "it goes on from where it was"
    decoder.reset()
    assert decoder.feed(nothing) == BINS
    decoder.reset()
    assert decode(decoder, observed) == first
    assert decode(OnlineViterbi(BINS, **SETTINGS), observed) == first


def test_scores_stay_finite_over_a_long_stream():
    decoder = OnlineViterbi(BINS, **SETTINGS)
    row = np.full(BINS + 1, -40.0, np.float32)
    row[3] = 0.0
    states = [decoder.feed(row) for _ in range(20000)]
    assert states[-1] == 3 and np.isfinite(decoder._score).all() and decoder._score.max() == 0.0


@pytest.mark.parametrize("wrong", (dict(leap=0.0), dict(end=1.0), dict(band=-2)))
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError):
        OnlineViterbi(**{"bins": BINS, **SETTINGS, **wrong})
