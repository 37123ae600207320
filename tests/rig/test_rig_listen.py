"""``--listen`` on real audio: a voice through a microphone, the instrument out of an output, both on JACK's one clock."""

from __future__ import annotations

import os
import sys
import time

import numpy as np
import pytest

from rt_melody.benchmarks.rig.studio import HERE, SAMPLE_RATE, Talker, wait_until
from rt_melody.realtime.sources.demo import demo_phrase

BOUND_MS = 50
RECORDED_S = 9.0
FRAME_S = 0.01


def f0_of(sound: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Times in seconds and f0 in Hz by Praat, 0 where nothing is to be heard."""
    parselmouth = pytest.importorskip("parselmouth")
    pitch = parselmouth.Sound(sound.astype(np.float64), SAMPLE_RATE).to_pitch_ac(FRAME_S / 2, 100.0, pitch_ceiling=500.0)
    return pitch.xs(), pitch.selected_array["frequency"]


def test_what_is_sung_is_heard_from_the_instrument_in_tune_and_in_time(jack_server, microphone, run_melody, children, tmp_path):
    phrase = demo_phrase(SAMPLE_RATE)
    mic = microphone(jack_server, phrase.samples, SAMPLE_RATE)
    options = ("--device", "singer", "--listen", "flute", "--listen-device", "system", "--latency-ms", str(BOUND_MS))
    program = run_melody("--input", "mic", *options, "--csv", "sung.csv", env={**os.environ, **jack_server.env})
    wait_until(lambda: "listening to" in program.stderr, 60, "that it listens")
    output = next(port for port in jack_server.ports() if ":out_" in port)
    ear = Talker([sys.executable, str(HERE / "jack_take.py"), "-", output], jack_server.env)
    children.append(ear)
    ear.expect("ready", 30)
    (tmp_path / "nothing.jsonl").touch()
    ear.tell(f"{tmp_path / 'nothing.jsonl'} {RECORDED_S} {tmp_path / 'sound.npy'}")
    time.sleep(0.5)  # it begins with the next block that it gets
    began = mic.play()
    recorded = ear.expect("taken", 30)["frame"]
    program.signal()
    assert program.wait() == 0 and "wear headphones" in program.stderr
    sound = np.load(tmp_path / "sound.npy")[(began - recorded) % 2**32 :]
    at_s, heard_hz = f0_of(sound)
    heard = heard_hz > 0

    def cents(delay_s: float) -> np.ndarray:
        sample = np.round((at_s[heard] - delay_s) * SAMPLE_RATE).astype(int)
        sung_hz = phrase.f0_hz[np.clip(sample, 0, len(phrase.f0_hz) - 1)]
        return np.abs(1200 * np.log2(heard_hz[heard] / np.maximum(sung_hz, 1.0)))

    delays_s = np.arange(0.0, 0.25, 0.002)
    errors = [np.median(cents(delay_s)) for delay_s in delays_s]
    delay_s = delays_s[int(np.argmin(errors))]
    print(f"heard {1000 * delay_s:.0f} ms after it was sung, {min(errors):.1f} cents off (median), {heard.mean():.2f} of the time")
    assert heard.sum() * FRAME_S / 2 > 4.5, "of 6.6 s of song"
    assert min(errors) < 10.0 and np.mean(cents(delay_s) < 50) > 0.85
    assert BOUND_MS / 1000 - 0.02 < delay_s < 0.15
    assert np.abs(sound).max() < 1.0
