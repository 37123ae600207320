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
BEGINS_S, AFTER_S = 1.5, 2.0  # the singer, after the breath; and how long it is listened on


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
    assert program.wait() == 0 and "what the microphone hears of it is taken out" in program.stderr
    assert "nothing of the instrument was found in the microphone" in program.stderr, "which nothing plays into"
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


def room(env, children, tmp_path, voice: np.ndarray, seed: int = 3, late_samples: int = 200) -> Talker:
    """A loudspeaker, walls and a singer, who begins BEGINS_S after the first sound that is played."""
    rng, count = np.random.default_rng(seed), round(0.2 * SAMPLE_RATE)
    walls = rng.standard_normal(count) * 10.0 ** (-3.0 * np.linspace(0, 1, count))
    walls[0] = 3.0 * np.abs(walls).max()
    np.save(tmp_path / "room.npy", np.concatenate([np.zeros(late_samples), walls / np.sqrt(np.sum(walls**2))]))
    begins, after = np.zeros(round(BEGINS_S * SAMPLE_RATE)), np.zeros(round(AFTER_S * SAMPLE_RATE))
    np.save(tmp_path / "voice.npy", np.concatenate([begins, voice, after]).astype(np.float32))
    made = Talker([sys.executable, str(HERE / "jack_room.py"), "room", str(tmp_path / "voice.npy"), str(tmp_path / "room.npy")], env)
    children.append(made)
    made.expect("ready", 20)
    return made


def right_and_false(path, phrase, latest_s: float) -> tuple[float, float]:
    """(of the sung frames those at the right pitch, of those after the song the share that is voiced), where it began at ``latest_s``."""
    rows = np.genfromtxt(path, delimiter=",", names=True)
    voiced, hz = rows["voiced"] > 0, np.maximum(rows["f0_hz"], 1.0)

    def right(late_s: float) -> tuple[float, float]:
        at = np.round((rows["time_s"] - late_s - BEGINS_S) * SAMPLE_RATE).astype(int)
        sung_hz = np.where((at >= 0) & (at < len(phrase.f0_hz)), phrase.f0_hz[np.clip(at, 0, len(phrase.f0_hz) - 1)], 0.0)
        good = voiced & (np.abs(1200 * np.log2(hz / np.maximum(sung_hz, 1.0))) < 50)
        return float(good[sung_hz > 0].mean()), float(voiced[at > len(phrase.f0_hz) + 0.2 * SAMPLE_RATE].mean())

    # it is heard to its end, and a second longer
    return max(right(late_s) for late_s in np.arange(0.0, min(latest_s, rows["time_s"][-1] - BEGINS_S - phrase_s(phrase) - 1.0), 0.01))


def phrase_s(phrase) -> float:
    return len(phrase.samples) / SAMPLE_RATE


@pytest.mark.parametrize("jack", ([], ["--jack"]), ids=("PortAudio", "--jack"))
def test_without_headphones_the_singer_is_heard_and_not_the_instrument(jack, jack_server, run_melody, children, tmp_path):
    """The instrument comes back as loud as its loudspeaker plays it, and would sustain its own last note for ever."""
    phrase = demo_phrase(SAMPLE_RATE)
    here = room(jack_server.env, children, tmp_path, phrase.samples)
    options = ("--device", "room", "--listen", "strings", "--listen-device", "room", "--csv", "sung.csv")
    program = run_melody("--input", "mic", *jack, *options, env={**os.environ, **jack_server.env})
    here.expect("singing", 120, program)  # with the breath
    time.sleep(BEGINS_S + phrase_s(phrase) + AFTER_S)
    program.signal()
    assert program.wait() == 0 and "what the microphone hears of it is taken out" in program.stderr, program.stderr
    share, false_share = right_and_false(tmp_path / "sung.csv", phrase, 1.0)
    print(f"right {share:.3f} of the sung frames, {false_share:.3f} of those after the song voiced; {program.stderr[-200:]}")
    assert share > 0.85 and false_share < 0.1


def test_in_another_room_the_way_is_learnt_anew(jack_server, run_melody, children, tmp_path):
    """Microphone and loudspeaker leave the graph and come back elsewhere."""
    phrase = demo_phrase(SAMPLE_RATE)
    here = room(jack_server.env, children, tmp_path, np.zeros(1))
    options = ("--device", "room", "--listen", "strings", "--listen-device", "room", "--csv", "sung.csv")
    program = run_melody("--input", "mic", "--jack", *options, env={**os.environ, **jack_server.env})
    here.expect("singing", 120, program)
    time.sleep(BEGINS_S)
    here.close()
    wait_until(lambda: "left the JACK graph" in program.stderr, 30, "that it misses the room")
    there = room(jack_server.env, children, tmp_path, phrase.samples, seed=5, late_samples=1000)
    there.expect("singing", 60, program)  # with another breath
    time.sleep(BEGINS_S + phrase_s(phrase) + AFTER_S)
    program.signal()
    assert program.wait() == 0 and "is back in the JACK graph" in program.stderr, program.stderr
    share, false_share = right_and_false(tmp_path / "sung.csv", phrase, np.inf)
    print(f"right {share:.3f} of the sung frames, {false_share:.3f} of those after the song voiced; {program.stderr[-400:]}")
    assert share > 0.85 and false_share < 0.1
