"""A note model to be better than: the hidden Markov model of pYIN's notes, over our own pitch frames.

After Mauch, Cannam et al., "Computer-aided melody note transcription using the Tony software" (TENOR 2015), with the
parameters of their published plug-in: at each third of a semitone a note attacks, is stable and falls silent, and
from silence any pitch within an octave may attack, near ones likelier. Decoded by Viterbi over the whole recording, so
that it knows the future, which ``NoteTracker`` does not. Its frames are 5.8 ms apart; its probabilities of
staying in a state are taken to the power of our hop over that.

The plug-in's split of a note where the level rises is not rebuilt. Notes shorter than PRUNE_S are dropped, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rt_melody.benchmarks.frame_cache import Frames
from rt_melody.benchmarks.peers.base import note_events
from rt_melody.benchmarks.trackers import Tracked, Tracker
from rt_melody.kernels.compiled import compiled
from rt_melody.realtime.types import NoteEvent, PitchFrame, hz_to_midi

LOWEST, SEMITONES, PER_SEMITONE = 31.0, 60, 3
STATES_A_PITCH = 3  # attack, stable, silent
ATTACK, STABLE, SILENT = range(STATES_A_PITCH)
ITS_HOP_S = 256 / 44100
STAY = (0.9, 0.99, 0.9999)  # in attack, stable, silent, of each of its hops
NEAR_SEMITONES, FAR_SEMITONES = 0.5, 13.0  # a new pitch is the same, or between these away ...
JUMP_SEMITONES = 0.7  # ... by a normal distribution of this width
SIGMA_SEMITONES = (5.0, 0.8)  # of the pitch in attack and in stable
PRIOR_PITCHED, PRIOR_WEIGHT = 0.7, 0.5
SURE = 0.9  # probability of a voiced frame's one candidate; an unvoiced frame has none, and all pitches are alike
PRUNE_S = 0.1


@compiled("void(f8[:, ::1], f8[::1], f8[::1], i8[:, ::1], i8[::1])")
def best_path(observed, stay, jumps, came, path):
    """The likeliest states, from silence on, into ``path [frames]``.

    observed [frames, 3 * pitches], stay [3], jumps [pitches] (from silence to an attack, by distance): logs of
    probabilities. came [frames, 3 * pitches]: scratch, the state that each was reached from.
    """
    frames, states = observed.shape
    score, following = np.zeros(states), np.zeros(states)
    leave = np.log(1.0 - np.exp(stay))
    for s in range(states):
        score[s] = observed[0, s] + (0.0 if s % 3 == 2 else -1e9)
    for t in range(1, frames):
        for a in range(0, states, 3):
            best, source = score[a] + stay[0], a
            for silent in range(2, states, 3):
                value = score[silent] + jumps[abs(silent // 3 - a // 3)]
                if value > best:
                    best, source = value, silent
            following[a], came[t, a] = best, source
            for s in (a + 1, a + 2):
                remain, arrive = score[s] + stay[s - a], score[s - 1] + leave[s - a - 1]
                following[s], came[t, s] = max(remain, arrive), (s if remain >= arrive else s - 1)
        for s in range(states):
            score[s] = following[s] + observed[t, s]
    path[frames - 1] = np.argmax(score)
    for t in range(frames - 1, 0, -1):
        path[t - 1] = came[t, path[t]]


def hmm_tracker(frames: Frames, hop_s: float) -> Tracker:
    """The model on frames of whatever engine; its notes exist when the recording is over."""

    def track(samples: np.ndarray) -> Tracked:
        heard = frames(samples)
        return heard, notes_of(heard, hop_s) if heard else []

    return track


def notes_of(heard: Sequence[PitchFrame], hop_s: float) -> list[NoteEvent]:
    """Events of the notes on the likeliest path through ``heard``."""
    pitches = np.array([hz_to_midi(f.f0_hz) if f.f0_hz > 0 else 0.0 for f in heard])
    observed = log_likelihoods(pitches, np.array([f.voiced for f in heard]))
    path = np.zeros(len(heard), np.int64)
    stay = np.log(STAY) * (hop_s / ITS_HOP_S)
    best_path(observed, stay, _jumps(stay[SILENT]), np.zeros(observed.shape, np.int64), path)
    sounding = np.concatenate([[0], path % STATES_A_PITCH != SILENT, [0]])
    begins, ends = np.flatnonzero(np.diff(sounding) > 0).tolist(), np.flatnonzero(np.diff(sounding) < 0).tolist()
    spans = [(heard[b].time_s, heard[e - 1].time_s + hop_s, float(np.median(pitches[b:e]))) for b, e in zip(begins, ends)]
    lasting = [span for span in spans if span[1] - span[0] >= PRUNE_S]
    return [replace(event, available_s=heard[-1].available_s) for event in note_events(lasting)]


def log_likelihoods(pitches: np.ndarray, voiced: np.ndarray) -> np.ndarray:
    """Of every state [frames, 3 * pitches], from fractional MIDI pitches and voicing decisions ``[frames]``."""
    centres = LOWEST + np.arange(SEMITONES * PER_SEMITONE) / PER_SEMITONE
    pitched = np.where(voiced, (1.0 - PRIOR_WEIGHT) * SURE, 0.0) + PRIOR_WEIGHT * PRIOR_PITCHED
    likely = np.ones((len(pitches), len(centres), STATES_A_PITCH))
    away = centres[None, :] - pitches[voiced][:, None]
    for state, sigma in enumerate(SIGMA_SEMITONES):
        likely[voiced, :, state] = np.exp(-0.5 * (away / sigma) ** 2) / sigma
    likely *= (pitched / likely[:, :, :SILENT].sum((1, 2)))[:, None, None]
    likely[:, :, SILENT] = ((1.0 - pitched) / len(centres))[:, None]
    return np.log(likely.reshape(len(pitches), -1) + 1e-300)


def _jumps(stay_silent: float) -> np.ndarray:
    """Log-probability of an attack from silence, by the distance in states' pitches."""
    distance = np.arange(SEMITONES * PER_SEMITONE) / PER_SEMITONE
    weight = np.exp(-0.5 * (distance / JUMP_SEMITONES) ** 2)
    weight[(distance > 0) & ((distance <= NEAR_SEMITONES) | (distance >= FAR_SEMITONES))] = 0.0
    both_ways = weight[0] + 2.0 * weight[1:].sum()
    with np.errstate(divide="ignore"):
        return np.log((1.0 - np.exp(stay_silent)) * weight / both_ways)
