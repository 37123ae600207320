"""Hum and tones are told from singing: told within seconds, and of real singers never."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rt_melody.realtime.engine import Engine
from rt_melody.realtime.sources.demo import demo_phrase
from rt_melody.realtime.sterile import SPREAD_CENTS, STEADY_S, SterileWatch
from rt_melody.realtime.types import PitchFrame

RATE, HOP_S = 16_000, 0.01
DATA = Path(os.environ.get("RT_MELODY_DATA", Path(__file__).resolve().parents[2] / "shared/data"))


def frames(cents, level_db=-30.0, voiced=True, n=1000) -> list[PitchFrame]:
    """A line of frames a hop apart; ``cents`` and ``level_db`` are numbers or functions of the time in seconds."""
    made = []
    for i in range(n):
        t = i * HOP_S
        c, db = (value(t) if callable(value) else value for value in (cents, level_db))
        made.append(PitchFrame(i, t, t + 0.05, 100.0 * 2 ** (c / 1200), voiced if not callable(voiced) else voiced(t), 0.9, 0.9, db))
    return made


def told(line) -> list[tuple[float, str]]:
    watch = SterileWatch()
    return [(frame.time_s, said) for frame in line if (said := watch.feed(frame))]


def test_a_steady_sound_is_told_once_when_it_has_been_steady_for_so_long():
    (found,) = told(frames(0.0))
    assert found[0] == pytest.approx(STEADY_S, abs=2 * HOP_S)
    assert "a sound of 100 Hz" in found[1] and "--gate auto" in found[1] and "--gate -20 this one" in found[1]


@pytest.mark.parametrize(
    "line",
    [
        {"cents": lambda t: 10 * np.sin(2 * np.pi * 5 * t)},
        {"cents": lambda t: 3.0 * t},
        {"cents": 0.0, "level_db": lambda t: -30 + 2 * np.sin(2 * np.pi * 2 * t)},
        {"cents": 0.0, "voiced": lambda t: t % 2.5 > 0.05},
        {"cents": 0.0, "voiced": False},
        {"cents": lambda t: 100.0 * (t // 2.0)},
    ],
    ids=["vibrato", "glide", "swell", "pauses", "nobody", "notes"],
)
def test_what_moves_is_a_voice(line):
    assert told(frames(**line)) == []


def test_a_stray_frame_delays_it_and_another_stream_is_told_anew():
    line = frames(lambda t: SPREAD_CENTS + 1.0 if abs(t - 2.0) < 1e-9 else 0.0)
    assert told(line)[0][0] == pytest.approx(2.0 + STEADY_S, abs=3 * HOP_S)
    watch = SterileWatch()
    for _ in range(2):
        assert sum(bool(watch.feed(frame)) for frame in frames(0.0)) == 1
        watch.reset()


@pytest.fixture(scope="module")
def heard():
    """``heard(samples)``: the frames of the shipped model."""

    def run(samples) -> list[PitchFrame]:
        engine = Engine(RATE, 50)
        return engine.feed(np.asarray(samples, np.float32)) + engine.flush()

    return run


@pytest.mark.parametrize(("hz", "level_db"), [(100, -35), (120, -50), (100, -65), (120, -65)])
def test_hum_of_a_rectifier_is_told(hz, level_db, heard):
    """As soon as it has been a note for so long; over noise it may take some seconds to become one."""
    t = np.arange(10 * RATE) / RATE
    hum = sum(a * np.sin(2 * np.pi * hz * k * t + k) for k, a in enumerate((1, 0.7, 0.5, 0.3, 0.2), 1))
    hum *= 10 ** (level_db / 20) / np.sqrt((hum**2).mean())
    hum += 10 ** (min(-70, level_db - 15) / 20) * np.random.default_rng(3).standard_normal(len(t))
    line = heard(hum)
    found = told(line)
    assert all(f"a sound of {hz} Hz" in said and "--gate auto" in said for _, said in found)
    assert found or sum(frame.voiced for frame in line) * HOP_S < STEADY_S


def test_the_demo_song_is_a_voice(heard):
    assert told(heard(demo_phrase(RATE).samples)) == []


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["ssvd/more", "voices/valid", "mir-1k/valid", "speech"])
def test_real_singers_are_never_taken_for_a_tone(folder, heard):
    files = sorted((DATA / folder).rglob("*.opus"))
    if not files:
        pytest.skip(f"no recordings in {DATA / folder}; RT_MELODY_DATA names their folder")
    for path in files[:: max(1, len(files) // 3)]:
        samples, rate = soundfile.read(path, frames=20 * RATE, always_2d=True)
        assert rate == RATE
        assert told(heard(samples[:, -1])) == [], path.name
