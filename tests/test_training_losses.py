"""Losses against hand-worked values, the alignment of look-ahead heads, and the figures against mir_eval."""

import math

import mir_eval
import numpy as np
import pytest
import torch

from rt_melody.models.config import ModelConfig
from rt_melody.models.network import Output
from rt_melody.models.training.data import UNKNOWN, Clip
from rt_melody.models.training.losses import (
    FRESH_MS,
    SIGMA_CENTS,
    UNSETTLED_MS,
    beginnings,
    fresh,
    head_targets,
    melody_loss,
    unsettled,
)
from rt_melody.models.training.validate import figures, read_pitch, validate

CONFIG = ModelConfig(look_ahead_ms=(0, 5, 20, 40))
GRID = CONFIG.pitch_midi()
HOPS = 24


def gaussian_logits(midi):
    """Log of the unnormalised Gaussian of the target around each pitch [..., bins]."""
    return -0.5 * ((np.asarray(midi)[..., None] - GRID) * 100 / SIGMA_CENTS) ** 2


def entropy(midi):
    """In nats, of the Gaussian target of one pitch, worked out plainly."""
    weights = [math.exp(-0.5 * ((midi - g) * 100 / SIGMA_CENTS) ** 2) for g in GRID]
    return -sum(w / sum(weights) * math.log(w / sum(weights)) for w in weights if w > 1e-300)


def glide(count=HOPS * 2 + 1):
    """A label that rises 20 cents each 5 ms."""
    return torch.tensor(60.0 + 0.2 * np.arange(count), dtype=torch.float32)[None]


def told_at(label, off_ms=0.0):
    """What each head would say of hop k if it spoke of ``(k + 1) * hop - look-ahead + off_ms``; 0 before time 0."""
    said = np.zeros((len(CONFIG.look_ahead_ms), HOPS))
    for head, delay_ms in enumerate(CONFIG.look_ahead_ms):
        for k in range(HOPS):
            j = round(((k + 1) * CONFIG.hop_ms - delay_ms + off_ms) / 5)
            said[head, k] = label[min(j, len(label) - 1)] if j >= 0 else 0.0
    return said


def output_of(said, strength=1.0, voicing=20.0):
    """Network output that says these pitches [heads, hops] and is sure of the voicing."""
    pitch = torch.tensor(strength * gaussian_logits(said), dtype=torch.float32)[None]
    sure = torch.tensor(np.where(said > 0, voicing, -voicing).T, dtype=torch.float32)[None]
    return Output(pitch, sure)


# --- alignment


def test_each_head_is_compared_with_its_own_moment():
    target, known = head_targets(glide(), CONFIG, HOPS)
    # Hop 0 ends at 10 ms, label 2; look-ahead 5 ms is label 1; 20 and 40 ms lie before time 0.
    np.testing.assert_allclose(target[0, :, 0], [60.4, 60.2, 60.0, 60.0], atol=1e-5)
    assert known[0, :, 0].tolist() == [True, True, False, False]
    # Hop 3 ends at 40 ms, label 8.
    np.testing.assert_allclose(target[0, :, 3], [61.6, 61.4, 60.8, 60.0], atol=1e-5)
    assert known[0, :, 3].tolist() == [True, True, True, True] and known[0, 3, :3].tolist() == [False] * 3


def test_between_two_labels_the_target_lies_between_them():
    config = ModelConfig(look_ahead_ms=(4, 9))
    label = torch.tensor([[60.0, 60.2, 60.4, 0.0, 0.0, 61.0, 61.2]])  # 10 ms is label 2, 20 ms is label 4
    target, _ = head_targets(label, config, 3)
    np.testing.assert_allclose(target[0, :, 0], [60.2 + 0.2 * 0.2, 60.0 + 0.2 * 0.2], atol=1e-5)  # 6 ms, 1 ms
    np.testing.assert_allclose(target[0, :, 1], [0.0, 60.4], atol=1e-5)  # 16 ms; 11 ms is nearer the voiced one
    np.testing.assert_allclose(target[0, :, 2], [61.0 + 0.2 * 0.2, 0.0], atol=1e-5)  # 26 ms; 21 ms


def test_only_an_output_that_speaks_of_the_right_moment_reaches_the_floor():
    label = glide()
    floor = entropy(60.0 + 0.2 * 7)
    right, voicing = melody_loss(output_of(told_at(label[0])), label, CONFIG)
    assert right == pytest.approx(floor, abs=0.02) and voicing < 1e-6
    for off_ms in (-10.0, -5.0, 5.0, 10.0):
        assert melody_loss(output_of(told_at(label[0], off_ms)), label, CONFIG)[0] > floor + 0.3


def test_before_time_zero_nothing_is_compared():
    label = glide()
    output = output_of(told_at(label[0]))
    spoilt = Output(output.pitch_logits.clone(), output.voicing_logits.clone())
    spoilt.pitch_logits[0, 3, :3] = torch.randn(3, len(GRID)) * 50
    spoilt.voicing_logits[0, :3, 3] = 50.0
    assert [float(x) for x in melody_loss(spoilt, label, CONFIG)] == [float(x) for x in melody_loss(output, label, CONFIG)]
    spoilt.voicing_logits[0, 3, 3] = -50.0  # the first moment that counts
    assert melody_loss(spoilt, label, CONFIG)[1] > 0.1


def test_where_the_label_is_unknown_nothing_is_compared():
    """Of two examples alike, what is said of the unknown moments of the second changes no loss, what is said beside
    them does; and the other example's moments count as before."""
    label = glide().repeat(2, 1)
    label[1, 20:30] = UNKNOWN  # 100 to 145 ms: told of by hops 9 to 13 at look-ahead 0
    said = output_of(told_at(glide()[0]))
    output = Output(said.pitch_logits.repeat(2, 1, 1, 1), said.voicing_logits.repeat(2, 1, 1))
    fair = [float(x) for x in melody_loss(output, label, CONFIG)]

    def spoilt(example, hop):
        other = Output(output.pitch_logits.clone(), output.voicing_logits.clone())
        other.pitch_logits[example, 0, hop] = torch.linspace(-50, 50, len(GRID))
        other.voicing_logits[example, hop, 0] = -50.0
        return [float(x) for x in melody_loss(other, label, CONFIG)]

    assert all(spoilt(1, hop) == fair for hop in range(9, 14))
    for example, hop in ((1, 8), (1, 14), (0, 9), (0, 13)):
        assert all(a > b + 0.1 for a, b in zip(spoilt(example, hop), fair))


def test_after_the_unknown_nothing_has_begun():
    """Nobody knows whether singing began there: those 50 ms count no more than others."""
    label = torch.full((1, HOPS * 2 + 1), 60.0)
    label[0, :21] = UNKNOWN
    assert not beginnings(label, CONFIG, HOPS).any()
    label[0, :21] = 0.0
    assert beginnings(label, CONFIG, HOPS).any()


# --- values


@pytest.mark.parametrize("midi", [57.0, 60.05, 71.93])
def test_a_perfect_answer_costs_the_entropy_of_its_target(midi):
    label = torch.full((1, HOPS * 2 + 1), midi)
    loss, _ = melody_loss(output_of(told_at(label[0])), label, CONFIG)
    assert loss == pytest.approx(entropy(midi), abs=1e-3)
    assert entropy(midi) == pytest.approx(0.5 * math.log(2 * math.pi * math.e), abs=0.01)  # sigma is one bin


def test_the_further_off_the_dearer():
    label = torch.full((1, HOPS * 2 + 1), 60.0)
    said = told_at(label[0])
    cents = (0, 20, 50, 100, 1200)
    losses = [float(melody_loss(output_of(np.where(said > 0, said + c / 100, 0), 0.02), label, CONFIG)[0]) for c in cents]
    assert losses == sorted(losses) and losses[-1] > losses[0] + 5


def test_ignorance_costs_the_log_of_the_bins():
    label = torch.full((1, HOPS * 2 + 1), 60.0)
    blank = Output(torch.zeros(1, 4, HOPS, len(GRID)), torch.zeros(1, HOPS, 4))
    pitch, voicing = melody_loss(blank, label, CONFIG)
    assert pitch == pytest.approx(math.log(len(GRID)), abs=1e-4) and voicing == pytest.approx(math.log(2), abs=1e-5)


def test_voicing_is_a_mean_over_frames_by_hand():
    """Unvoiced throughout, logit 2 at head 0 and -2 elsewhere: log(1 + e^2) and log(1 + e^-2), by share."""
    label = torch.zeros(1, HOPS * 2 + 1)
    logits = torch.full((1, HOPS, 4), -2.0)
    logits[:, :, 0] = 2.0
    _, known = head_targets(label, CONFIG, HOPS)
    share = float(known[0, 0].sum() / known.sum())
    _, voicing = melody_loss(Output(torch.zeros(1, 4, HOPS, len(GRID)), logits), label, CONFIG)
    assert voicing == pytest.approx(share * math.log(1 + math.e**2) + (1 - share) * math.log(1 + math.e**-2), abs=1e-5)


def test_a_silent_batch_and_one_out_of_range_cost_no_pitch():
    blank = Output(torch.zeros(1, 4, HOPS, len(GRID), requires_grad=True), torch.zeros(1, HOPS, 4))
    for midi in (0.0, float(GRID[0]) - 2, float(GRID[-1]) + 2):
        pitch, voicing = melody_loss(blank, torch.full((1, HOPS * 2 + 1), midi), CONFIG)
        assert pitch == 0.0 and torch.isfinite(voicing)
        pitch.backward()  # a batch like this must not break a step
    assert not blank.pitch_logits.grad.any()


# --- reading and figures


@pytest.mark.parametrize("midi", [48.0, 57.03, 60.1, 69.17, 75.999])
def test_reading_a_gaussian_gives_its_centre(midi):
    read = read_pitch(torch.tensor(gaussian_logits(midi), dtype=torch.float32), torch.tensor(GRID, dtype=torch.float32))
    assert float(read) == pytest.approx(midi, abs=0.005)


def test_reading_keeps_to_the_highest_peak():
    logits = np.logaddexp(gaussian_logits(60.0), gaussian_logits(72.0) - 0.5)
    read = read_pitch(torch.tensor(logits, dtype=torch.float32), torch.tensor(GRID, dtype=torch.float32))
    assert float(read) == pytest.approx(60.0, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_mir_eval(seed):
    rng = np.random.default_rng(seed)
    truth = np.where(rng.random(400) < 0.6, rng.uniform(40, 80, 400), 0.0)
    estimate = np.where(truth > 0, truth, 60.0) + rng.normal(0, 0.5, 400) + rng.choice([0, 12], 400, p=[0.9, 0.1])
    voiced = rng.random(400) < 0.7
    ours = figures(estimate, voiced, truth)
    reference = (truth > 0, truth * 100, voiced, estimate * 100)
    recall, false_alarm = mir_eval.melody.voicing_measures(reference[0], reference[2])
    theirs = [
        mir_eval.melody.overall_accuracy(*(np.asarray(x, float) for x in reference)),
        mir_eval.melody.raw_pitch_accuracy(*(np.asarray(x, float) for x in reference)), recall, false_alarm,
    ]
    np.testing.assert_allclose([ours.overall, ours.pitch, ours.recall, ours.false_alarm], theirs, atol=1e-12)


def test_figures_by_hand():
    """Six frames: right; right but told unvoiced; an octave off; unvoiced told so; two false alarms."""
    truth = np.array([60.0, 60.0, 60.0, 0.0, 0.0, 0.0])
    estimate = np.array([60.4, 60.0, 72.0, 60.0, 60.0, 60.0])
    found = figures(estimate, np.array([1, 0, 1, 0, 1, 1], bool), truth)
    assert (found.overall, found.pitch, found.recall, found.false_alarm) == pytest.approx((2 / 6, 2 / 3, 2 / 3, 2 / 3))


class Oracle(torch.nn.Module):
    """Says of each clip in turn what each head should say of it, ``off_ms`` early or late."""

    def __init__(self, clips, off_ms):
        super().__init__()
        self.anything = torch.nn.Parameter(torch.zeros(1))
        self.clips, self.off_ms, self.heard = iter(clips), off_ms, []

    def whole(self, waveform):
        self.heard.append(waveform)
        return output_of(told_at(torch.tensor(next(self.clips).pitch), self.off_ms))


def clips_to_check():
    """Voices that rise a semitone every 50 ms and rest at the end."""
    rng = np.random.default_rng(0)
    pitch = np.where(np.arange(HOPS * 2 + 1) < 36, 50 + 0.1 * np.arange(HOPS * 2 + 1), 0).astype(np.float32)
    sounds = [rng.standard_normal((2, HOPS * 160)).astype(np.float32) for _ in range(2)]
    return [Clip(f"c{i}", "c", v, a, pitch + np.float32(i) * (pitch > 0)) for i, (v, a) in enumerate(sounds)]


@pytest.mark.parametrize("kind", ["voice", "mixture"])
def test_validation_credits_every_head_at_its_own_moment(kind):
    clips = clips_to_check()
    net = Oracle(clips, 0.0)
    for head in validate(net, clips, CONFIG, kind):
        assert (head.overall, head.pitch, head.recall, head.false_alarm) == pytest.approx((1.0, 1.0, 1.0, 0.0))
    heard = clips[0].voice if kind == "voice" else clips[0].voice + clips[0].accompaniment
    np.testing.assert_array_equal(net.heard[0][0].numpy(), heard)


def test_validation_sees_an_answer_that_comes_late():
    clips = clips_to_check()
    for head in validate(Oracle(clips, -30.0), clips, CONFIG, "voice"):
        assert head.pitch < 0.1 and head.overall < 0.5


# --- sudden steps


def stepped(at, low=60.0, high=64.0, count=HOPS * 2 + 1):
    """A label that steps at its index ``at``."""
    return torch.tensor(np.where(np.arange(count) < at, low, high), dtype=torch.float32)[None]


def test_moments_up_to_50_ms_after_a_jump_are_fresh_for_each_head_in_its_turn():
    at = 20  # 100 ms
    marked = fresh(stepped(at), CONFIG, HOPS)[0]
    for head, delay_ms in enumerate(CONFIG.look_ahead_ms):
        times_ms = CONFIG.hop_ms * (1 + np.arange(HOPS)) - delay_ms
        assert marked[head].tolist() == [at * 5 <= t <= at * 5 + FRESH_MS for t in times_ms]


@pytest.mark.parametrize("low, high", [(60.0, 60.5), (0.0, 64.0), (60.0, 0.0)])
def test_small_steps_onsets_and_ends_are_not_fresh(low, high):
    assert not fresh(stepped(20, low, high), CONFIG, HOPS).any()


def test_a_glide_is_not_fresh():
    assert not fresh(glide(), CONFIG, HOPS).any()


def test_a_late_answer_costs_as_much_more_as_its_weight_says():
    """Frames that still say the old pitch for 50 ms after the step: worked out from the losses of right and wrong frames."""
    label = stepped(20)
    right = told_at(label[0].numpy())
    marked = fresh(label, CONFIG, HOPS)[0].numpy()
    late = np.where(marked, 60.0, right)
    share = marked[right > 0].mean()
    good, _ = melody_loss(output_of(right), label, CONFIG)
    wrong, _ = melody_loss(output_of(np.where(right > 0, 60.0, 0.0)), stepped(-1), CONFIG)
    loss, _ = melody_loss(output_of(late), label, CONFIG, fresh_weight=5.0)
    expected = ((1 - share) * good.item() + 5 * share * wrong.item()) / (1 - share + 5 * share)
    assert loss.item() == pytest.approx(expected, rel=1e-3)
    assert loss > melody_loss(output_of(late), label, CONFIG)[0]


def test_voicing_lost_at_a_step_weighs_as_much_more():
    label = stepped(20)
    right = told_at(label[0].numpy())
    marked = fresh(label, CONFIG, HOPS)[0].numpy()
    known = right > 0
    lost = output_of(np.where(marked, 0.0, right), voicing=10.0)
    _, voicing_loss = melody_loss(lost, label, CONFIG, fresh_weight=5.0)
    expected = 5 * marked.sum() * 10.0 / (5 * marked.sum() + (known & ~marked).sum())
    assert voicing_loss.item() == pytest.approx(expected, rel=1e-3)


# --- where a note has just begun, and where f0 moves


def test_the_first_moments_of_singing_are_unsettled_for_each_head_in_its_turn():
    at = 16  # 80 ms
    marked = unsettled(stepped(at, low=0.0), CONFIG, HOPS)[0]
    for head, delay_ms in enumerate(CONFIG.look_ahead_ms):
        times_ms = CONFIG.hop_ms * (1 + np.arange(HOPS)) - delay_ms
        assert marked[head].tolist() == [at * 5 <= t <= at * 5 + UNSETTLED_MS for t in times_ms]


def test_a_recording_that_starts_amid_a_note_and_the_end_of_one_are_settled():
    assert not unsettled(stepped(20, 60.0, 0.0), CONFIG, HOPS).any()


@pytest.mark.parametrize("cents, expected", [(14.0, False), (16.0, True), (-16.0, True)])
def test_f0_that_moves_is_unsettled(cents, expected):
    """At so many cents in each 5 ms."""
    label = torch.tensor(60.0 + cents / 100 * np.arange(HOPS * 2 + 1), dtype=torch.float32)[None]
    assert unsettled(label, CONFIG, HOPS).unique().tolist() == [expected]


def test_vibrato_of_a_singer_is_settled_and_a_slide_between_two_notes_is_not():
    times = np.arange(HOPS * 2 + 1) * 0.005
    label = torch.tensor(60.0 + 0.7 * np.sin(2 * np.pi * 6.0 * times), dtype=torch.float32)[None]
    assert not unsettled(label, CONFIG, HOPS).any()
    slide = torch.tensor(np.interp(times, [0.1, 0.15], [60.0, 63.0]), dtype=torch.float32)[None]
    marked = unsettled(slide, CONFIG, HOPS)[0, 0]  # of the head without look-ahead, hop k speaks of 10 (k + 1) ms
    assert marked.nonzero().flatten().tolist() == [9, 10, 11, 12, 13, 14]  # 100 .. 150 ms


def test_a_wrong_pitch_there_costs_as_much_more_as_its_weight_says_and_voicing_no_more():
    label = stepped(20, low=0.0)
    right = told_at(label[0].numpy())
    marked = unsettled(label, CONFIG, HOPS)[0].numpy() & (right > 0)
    spoilt = np.where(marked, 60.0, right)
    share = marked[right > 0].mean()
    good, _ = melody_loss(output_of(right), label, CONFIG)
    wrong, _ = melody_loss(output_of(np.where(right > 0, 60.0, 0.0)), label, CONFIG)
    loss, voicing = melody_loss(output_of(spoilt, voicing=1.0), label, CONFIG, unsettled_weight=3.0)
    expected = ((1 - share) * good.item() + 3 * share * wrong.item()) / (1 - share + 3 * share)
    assert loss.item() == pytest.approx(expected, rel=1e-3)
    assert voicing == melody_loss(output_of(spoilt, voicing=1.0), label, CONFIG)[1]


def test_a_frame_that_is_fresh_and_unsettled_has_the_larger_weight_not_the_product():
    label = stepped(20)
    late = output_of(np.where(fresh(label, CONFIG, HOPS)[0].numpy(), 60.0, told_at(label[0].numpy())))
    alone = melody_loss(late, label, CONFIG, fresh_weight=5.0)[0]
    assert melody_loss(late, label, CONFIG, fresh_weight=5.0, unsettled_weight=4.0)[0] == pytest.approx(alone.item(), rel=0.03)


def test_a_beginning_that_is_not_heard_costs_as_much_more_as_its_weight_says():
    """Frames of the first 50 ms that are told unvoiced; the silence before them weighs as ever."""
    label = stepped(20, low=0.0)
    right = told_at(label[0].numpy())
    known = (CONFIG.hop_ms * (1 + np.arange(HOPS)) - np.array(CONFIG.look_ahead_ms)[:, None]) >= 0
    marked = beginnings(label, CONFIG, HOPS)[0].numpy() & (right > 0)
    assert 0 < marked.sum() < (right > 0).sum()
    silent = output_of(np.where(marked, 0.0, right), voicing=10.0)
    _, voicing_loss = melody_loss(silent, label, CONFIG, beginning_weight=3.0)
    expected = 3 * marked.sum() * 10.0 / (known.sum() + 2 * marked.sum())
    assert voicing_loss.item() == pytest.approx(expected, rel=1e-3)
    early = output_of(np.where(known & (right == 0), 60.0, right), voicing=10.0)  # sings before the singer does
    weighed, plain = (melody_loss(early, label, CONFIG, beginning_weight=w)[1].item() for w in (3.0, 1.0))
    assert weighed == pytest.approx(plain * known.sum() / (known.sum() + 2 * marked.sum()), rel=1e-3)
