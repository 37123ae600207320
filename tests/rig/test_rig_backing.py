"""``--backing`` and ``--reference`` on real audio: a song is played into a room, by the program or by another, and a singer heard in it;
through PortAudio, and in the graph."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack

import numpy as np
import pytest
import soundfile

from rt_melody.benchmarks.rig.studio import HERE, SAMPLE_RATE, Talker, VirtualMicrophone, wait_until
from rt_melody.realtime.sources.backed import TAIL_S
from rt_melody.realtime.sources.demo import demo_phrase

BAND_OVER_VOICE_DB = 5.0
ROOM_S = 0.15
TAKES = 3  # of two streams of PortAudio's one slips now and then, or loses samples, and what lay beside what is no longer so
BEFORE_S, REPEATS = 3.0, 2  # the song alone, in which the room is learnt; then the phrase, so often


@pytest.fixture
def studio(tmp_path):
    """A phrase, a band that plays other notes louder, and a room; the singer begins BEFORE_S after the band."""
    rng = np.random.default_rng(3)
    phrase = demo_phrase(SAMPLE_RATE)
    voice = np.concatenate([np.zeros(round(BEFORE_S * SAMPLE_RATE)), np.tile(phrase.samples, REPEATS)])
    other = np.roll(phrase.samples, SAMPLE_RATE)[::-1]  # backwards: the same sound, at other times
    other = np.interp(np.arange(0, len(other), 1.26), np.arange(len(other)), other)  # four semitones higher
    hits = rng.standard_normal(len(voice)) * np.exp(-(np.arange(len(voice)) % (SAMPLE_RATE // 2)) / 4000.0)
    band = np.resize(other, len(voice)) + 0.5 * np.std(other) * hits / np.std(hits)
    room = rng.standard_normal(round(ROOM_S * SAMPLE_RATE)) * 10.0 ** (-3.0 * np.linspace(0, 1, round(ROOM_S * SAMPLE_RATE)))
    room[0] = 3.0 * np.abs(room).max()
    room = np.concatenate([np.zeros(200), room / np.sqrt(np.sum(room**2))])
    heard = np.convolve(band[: 4 * SAMPLE_RATE], room)
    gain = np.std(phrase.samples) / np.std(heard) * 10.0 ** (BAND_OVER_VOICE_DB / 20.0)
    band *= 0.3 / np.abs(band).max()
    room *= gain * np.std(heard) / np.std(np.convolve(band[: 4 * SAMPLE_RATE], room))
    soundfile.write(tmp_path / "song.wav", band, SAMPLE_RATE, subtype="FLOAT")
    np.save(tmp_path / "voice.npy", voice.astype(np.float32))
    np.save(tmp_path / "room.npy", room)
    return phrase


def right_share(rows: np.ndarray, phrase, begins_s: float = BEFORE_S) -> float:
    """Of the frames in which the singer, who begins at ``begins_s``, sings, those that say so at the right pitch."""
    at_s = (rows["time_s"] - begins_s) % phrase_s(phrase)
    sung_hz = phrase.f0_hz[np.minimum((at_s * SAMPLE_RATE).astype(int), len(phrase.f0_hz) - 1)]
    sings = (rows["time_s"] > begins_s) & (rows["time_s"] < begins_s + REPEATS * phrase_s(phrase)) & (sung_hz > 0)
    right = (rows["voiced"] > 0) & (np.abs(1200 * np.log2(np.maximum(rows["f0_hz"], 1.0) / np.maximum(sung_hz, 1.0))) < 50)
    return float(np.mean(right[sings]))


def phrase_s(phrase) -> float:
    return len(phrase.samples) / SAMPLE_RATE


@pytest.mark.parametrize("jack", ([], ["--jack"]), ids=("PortAudio", "--jack"))
def test_the_singer_is_heard_in_the_room_in_which_the_program_plays(jack, jack_server, studio, run_melody, children, tmp_path):
    paths = [str(tmp_path / "voice.npy"), str(tmp_path / "room.npy")]
    room = Talker([sys.executable, str(HERE / "jack_room.py"), "room", *paths], jack_server.env)
    children.append(room)
    room.expect("ready", 20)
    options = ("--device", "room", "--output-device", "room", "--backing", "song.wav", "--csv", "take.csv", "--midi-file", "take.mid")
    program = run_melody("--input", "mic", *jack, *options, env={**os.environ, **jack_server.env})
    room.expect("singing", 60, program)
    assert program.wait(BEFORE_S + REPEATS * phrase_s(studio) + 30) == 0, program.stderr
    assert "playing song.wav" in program.stderr and "a clock of its own" not in program.stderr
    rows = np.genfromtxt(tmp_path / "take.csv", delimiter=",", names=True)
    told = float(re.search(r"(\d+) dB of it were taken out", program.stderr)[1])
    print(f"right {right_share(rows, studio):.3f} of the sung frames; {re.search('the band stood.*', program.stderr)[0]}")
    assert told > 8 and "the band stood" in program.stderr
    assert right_share(rows, studio) > 0.85
    assert rows["time_s"][-1] == pytest.approx(BEFORE_S + REPEATS * phrase_s(studio) + TAIL_S, abs=0.15), "it ends with the song"


@pytest.mark.parametrize("jack", ([], ["--jack"]), ids=("PortAudio", "--jack"))
def test_the_singer_is_heard_while_another_program_plays_what_comes_by_another_input(
    jack, jack_server, studio, run_melody, tmp_path
):
    for _ in range(TAKES):
        with ExitStack() as ends:
            share, told_db, said = take_beside(jack, jack_server, studio, run_melody, tmp_path, ends)
        print(f"right {share:.3f} of the sung frames; {re.search('the band stood.*', said)[0]}")
        if told_db > 8 and share > 0.85:
            break
    assert told_db > 8 and share > 0.85, said


def take_beside(jack, jack_server, studio, run_melody, tmp_path, ends) -> tuple[float, float, str]:
    """The share of sung frames that are right, how much of the band was taken out, and what was said, of one take."""
    paths = [str(tmp_path / "voice.npy"), str(tmp_path / "room.npy")]
    room = Talker([sys.executable, str(HERE / "jack_room.py"), "room", *paths], jack_server.env)
    ends.callback(room.close)
    room.expect("ready", 20)
    player = VirtualMicrophone(jack_server, soundfile.read(tmp_path / "song.wav")[0], tmp_path, "player")
    ends.callback(player.close)
    subprocess.run(["jack_connect", "player:voice", "room:speaker"], env={**os.environ, **jack_server.env}, check=True, timeout=10)
    options = ("--device", "room", "--reference", "player", "--csv", "take.csv")
    program = run_melody("--input", "mic", *jack, *options, env={**os.environ, **jack_server.env})
    wait_until(lambda: "for the band, to player" in program.stderr or program.process.poll() is not None, 60, "the two inputs")
    program.assert_running()
    time.sleep(1.0)  # of silence, in which it is seen what lies beside what
    player.play()
    player.wait_for_end()
    program.signal()
    assert program.wait() == 0, program.stderr
    rows = np.genfromtxt(tmp_path / "take.csv", delimiter=",", names=True)
    share = max(right_share(rows, studio, BEFORE_S + late_s) for late_s in np.arange(0.0, 10.0, 0.01))
    return share, float(re.search(r"(\d+) dB of it were taken out", program.stderr)[1]), program.stderr
