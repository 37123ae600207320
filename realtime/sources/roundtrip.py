"""How long a sound takes from an audio output to an audio input, by a cable, the air, or a loopback device.

Chirps are played and recorded by one full-duplex stream, whose output and input count the same samples, and found
again by correlation: a chirp correlates with nothing but itself, so that a room's noise and its echoes do no harm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rt_melody.realtime.console import visible
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.sources.devices import find_input, find_output, load_backend

CHIRPS = 5
EVERY_S = 0.5  # also the longest round trip that can be found
CHIRP_S = 0.05
FROM_HZ, TO_HZ = 500.0, 6000.0
PEAK = 0.3  # of full scale
ABOVE_NOISE = 8.0  # times the RMS of the correlation, for a peak to count
AGREE_S = 0.001
TAKES = "The round trip from output to input takes"
RING_S = 0.1  # for which a room answers a chirp


@dataclass(frozen=True)
class RoundTrip:
    ms: float  # the median of the chirps that were heard
    spread_ms: float  # between the first and the last of them
    heard: int  # of CHIRPS
    loss_db: float = 0.0  # by which a chirp comes back weaker than it was played, what the room adds to it included


def chirp(sample_rate: int) -> np.ndarray:
    """A rising sine with raised-cosine flanks, float32 [shape=(n,)]."""
    t = np.arange(round(CHIRP_S * sample_rate)) / sample_rate
    phase = 2 * np.pi * (FROM_HZ * t + (TO_HZ - FROM_HZ) * t**2 / (2 * CHIRP_S))
    return (PEAK * np.sin(phase) * np.sin(np.pi * t / CHIRP_S) ** 2).astype(np.float32)


def probe_signal(sample_rate: int) -> np.ndarray:
    """CHIRPS chirps, EVERY_S apart."""
    slot = np.zeros(round(EVERY_S * sample_rate), np.float32)
    sound = chirp(sample_rate)
    slot[: len(sound)] = sound
    return np.tile(slot, CHIRPS)


def told_of(ms: float | None, bound_ms: float) -> str:
    """In a sentence or two what a round trip means to a player; of None that it was not heard."""
    if ms is None:
        return "The microphone did not hear the output, so the round trip is not known; turn it up, or loop a cable back."
    return f"{TAKES} {ms:.1f} ms: at a bound of {bound_ms:g} ms what is sung is heard played within {ms + bound_ms:.0f} ms."


def note_of(ms: float, output: str) -> str:
    """The same as a comment in a profile."""
    return f"# {TAKES} {ms:.1f} ms, by the output {visible(output, kept='')}.\n"


def find_delays(recorded: np.ndarray, sample_rate: int) -> list[int]:
    """Samples from each chirp of ``probe_signal`` to its return in ``recorded [shape=(n,)]``, where it was heard."""
    sound, every = chirp(sample_rate), round(EVERY_S * sample_rate)
    likeness = np.abs(np.correlate(recorded.astype(np.float64), sound.astype(np.float64), "valid"))
    noise = float(np.median(likeness)) / 0.6745 + 1e-12  # the median of |x| of a normal x of RMS 1
    delays: list[int] = []
    for start in range(0, CHIRPS * every, every):
        slot = likeness[start : start + every]
        if len(slot) and slot.max() > ABOVE_NOISE * noise and slot.max() > 1e-6:
            delays.append(int(np.argmax(slot)))
    return delays


def agreed(delays: list[int], sample_rate: int) -> RoundTrip | None:
    """The round trip that most chirps agree on, None where they do not."""
    middle = float(np.median(delays)) if delays else 0.0
    near = [delay for delay in delays if abs(delay - middle) <= AGREE_S * sample_rate]
    if len(near) <= CHIRPS // 2:
        return None
    ms = 1000.0 / sample_rate
    return RoundTrip(float(np.median(near)) * ms, (max(near) - min(near)) * ms, len(near))


def loss_db(recorded: np.ndarray, sample_rate: int, delay: int) -> float:
    """How much weaker the chirps came back in ``recorded [shape=(n,)]``, ``delay`` samples after they were played: energies
    over a chirp and the RING_S after it, less the noise of as long a while before the next."""
    sound, every = chirp(sample_rate), round(EVERY_S * sample_rate)
    lasts = len(sound) + round(RING_S * sample_rate)
    energies: list[float] = []
    for start in range(delay, CHIRPS * every, every):
        came, noise = recorded[start : start + lasts], recorded[start + every - lasts : start + every]
        energies.append(float(np.sum(np.square(came, dtype=float)) - np.sum(np.square(noise, dtype=float))))
    returned = max(float(np.median(energies)), 1e-12)
    return float(10.0 * np.log10(np.sum(np.square(sound, dtype=float)) / returned))


def measure(
    output: str | int, device: str | int | None = None, sample_rate: int | None = None, backend: Any = None
) -> RoundTrip | None:
    """Play and record. None where the input did not hear the output. Raises DeviceError as the devices do."""
    backend = backend or load_backend()
    source, sink = find_input(device, backend), find_output(output, backend)
    rate = sample_rate or source.default_rate_hz
    signal = np.concatenate([probe_signal(rate), np.zeros(round(EVERY_S * rate), np.float32)])
    try:
        taken = backend.playrec(
            signal[:, None], samplerate=rate, channels=1, dtype="float32", device=(source.index, sink.index),
            latency="low", blocking=True,
        )
    except (backend.PortAudioError, ValueError) as error:
        said = " ".join(str(error).split())
        raise DeviceError(
            f"{sink.full_name!r} and {source.full_name!r} do not open together ({said}); give an input and an output "
            "of one sound system"
        ) from error
    recorded = np.ascontiguousarray(taken[:, 0])
    found = agreed(find_delays(recorded, rate), rate)
    if found is None:
        return None
    return replace(found, loss_db=loss_db(recorded, rate, round(found.ms * rate / 1000.0)))
