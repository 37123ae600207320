"""A small instrument that plays one note at a time: harmonics of one phase, under an envelope that never jumps.

Conventions
-----------
* What is to sound is a row of ``TARGET`` numbers: strikes so far, whether a note is held (0 or 1), its frequency in Hz, its
  gain (linear), its brightness (0..1). A row says all; those between two blocks need not be seen.
* The phase goes on whatever happens, and every gain approaches its target by one-pole filters, so that nothing clicks.
* ``state`` is all that is kept from block to block; zeros are silence. How the sound is cut into blocks changes no sample as
  long as the targets change at the same ones.
* A strike while a note sounds lets it dip first, so that a repeated note is heard as two.
"""

from __future__ import annotations

import math

import numpy as np

from rt_melody.kernels.compiled import compiled

STRIKES, HELD, HZ, GAIN, BRIGHTNESS = range(5)
TARGET = 5
PHASE, NOW_HZ, NOW_GAIN, NOW_BRIGHTNESS, ENVELOPE, DECAY, DIP_LEFT_S, SEEN = range(8)
STATE = 8

HARMONICS = 16
_LOGS = tuple(math.log(k) for k in range(1, HARMONICS + 1))
GLIDE_S = 0.004  # of the frequency, within a note
FOLLOW_S = 0.015  # of gain and brightness
DIP_S, DIP_FALL_S = 0.012, 0.003
NYQUIST_PART = 0.45  # of the sample rate: no harmonic above

# What tells one timbre from another.
SLOPE_DARK, SLOPE_BRIGHT, EVEN, ATTACK_S, RELEASE_S, DECAY_S, LEVEL = range(7)
TIMBRE = 7
TIMBRES = {
    # harmonics fall by k ** -slope, the even ones by a factor besides; DECAY_S 0 sustains
    "flute": (3.2, 1.9, 0.45, 0.012, 0.06, 0.0, 0.30),
    "strings": (1.6, 0.9, 1.0, 0.025, 0.12, 0.0, 0.16),
    "keys": (2.6, 1.3, 0.8, 0.003, 0.18, 0.9, 0.34),
}


def timbre(name: str) -> np.ndarray:
    """The numbers of a timbre, for ``play`` [shape=(TIMBRE,)]."""
    return np.array(TIMBRES[name], np.float64)


@compiled("void(f8[::1], f8[::1], f8[::1], f8, f4[::1])")
def play(state: np.ndarray, target: np.ndarray, sound: np.ndarray, rate_hz: float, out: np.ndarray) -> None:
    """Write the next samples to ``out [shape=(n,)]``: ``target [shape=(TARGET,)]`` played with ``sound`` (see ``timbre``)
    from ``state [shape=(STATE,)]`` on, which is brought up to date."""
    if target[STRIKES] != state[SEEN]:
        state[SEEN] = target[STRIKES]
        if state[ENVELOPE] > 0.02:
            state[DIP_LEFT_S] = DIP_S
        else:
            state[NOW_HZ], state[NOW_GAIN], state[NOW_BRIGHTNESS], state[DECAY] = target[HZ], target[GAIN], target[BRIGHTNESS], 1.0
    step_s = 1.0 / rate_hz
    glide, follow = 1.0 - math.exp(-step_s / GLIDE_S), 1.0 - math.exp(-step_s / FOLLOW_S)
    rise, fall = 1.0 - math.exp(-step_s / sound[ATTACK_S]), 1.0 - math.exp(-step_s / sound[RELEASE_S])
    dip = 1.0 - math.exp(-step_s / DIP_FALL_S)
    fade = math.exp(-step_s / sound[DECAY_S]) if sound[DECAY_S] > 0.0 else 1.0
    most_hz = NYQUIST_PART * rate_hz
    for i in range(len(out)):
        if state[DIP_LEFT_S] > 0.0:
            state[DIP_LEFT_S] -= step_s
            state[ENVELOPE] -= dip * state[ENVELOPE]
            state[DECAY] += dip * (1.0 - state[DECAY])
            if state[DIP_LEFT_S] <= 0.0:
                state[NOW_HZ] = target[HZ]
        else:
            speed = rise if target[HELD] > 0.0 else fall
            state[ENVELOPE] += speed * (target[HELD] - state[ENVELOPE])
            if state[ENVELOPE] < 1e-6:
                state[ENVELOPE] = 0.0
        if state[ENVELOPE] == 0.0:
            out[i] = 0.0
            continue
        if target[HELD] > 0.0 and state[DIP_LEFT_S] <= 0.0:  # a note that ends keeps what it had
            state[NOW_HZ] += glide * (target[HZ] - state[NOW_HZ])
            state[NOW_GAIN] += follow * (target[GAIN] - state[NOW_GAIN])
        state[NOW_BRIGHTNESS] += follow * (target[BRIGHTNESS] - state[NOW_BRIGHTNESS])
        state[DECAY] *= fade
        state[PHASE] += state[NOW_HZ] * step_s
        state[PHASE] -= math.floor(state[PHASE])
        slope = sound[SLOPE_DARK] + state[NOW_BRIGHTNESS] * (sound[SLOPE_BRIGHT] - sound[SLOPE_DARK])
        slope += (1.0 - state[DECAY]) * (sound[SLOPE_DARK] - slope) if fade < 1.0 else 0.0
        angle = 2.0 * math.pi * state[PHASE]
        twice, now, before, total = 2.0 * math.cos(angle), math.sin(angle), 0.0, 0.0
        for k in range(HARMONICS):
            room = most_hz - (k + 1) * state[NOW_HZ]
            if room <= 0.0:
                break
            weight = math.exp(-slope * _LOGS[k]) * (sound[EVEN] if k % 2 == 1 else 1.0)
            total += weight * min(1.0, room / (0.05 * most_hz)) * now
            now, before = twice * now - before, now
        out[i] = sound[LEVEL] * state[NOW_GAIN] * state[ENVELOPE] * state[DECAY] * total
