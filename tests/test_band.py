"""The song that the program plays: what may be asked for, and the whole command beside a stand-in for the devices."""

from __future__ import annotations

import os
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from fake_audio import FakeAudio

from rt_melody.realtime.band import known_band, read_backing
from rt_melody.realtime.cli import main
from rt_melody.realtime.settings.band import BandSettings
from rt_melody.realtime.settings.inputs import SourceSettings
from rt_melody.realtime.sources import BackedMicrophone, devices
from rt_melody.realtime.sources import microphone as microphone_module

RATE = 16000


@pytest.fixture
def song(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noise = 0.1 * np.random.default_rng(0).standard_normal((3 * RATE, 2))
    soundfile.write("song.wav", noise, RATE, subtype="FLOAT")
    return noise.mean(1).astype(np.float32)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input", "song.wav", "--backing", "song.wav"], "--backing song.wav is played to a singer at the microphone"),
        (["--backing", "gone.wav"], "gone.wav does not exist"),
        (["--backing", "text.wav"], "text.wav is not audio that can be read"),
        (["--backing", "song.wav", "--reference", "song.wav"], "leave --reference song.wav out"),
        (["--backing", "song.wav", "--jack", "--output-device", "2"], "--output-device 2 is a number of PortAudio's"),
        (["--reference-channel", "2", "--channel", "2"], "--reference-channel 2 is the channel of the voice too"),
        (["--reference-channel", "2", "--backing", "song.wav"], "--reference-channel 2 and --backing both say what the band is"),
        (["--reference-channel", "2", "--jack"], "--reference-channel 2 is of a device that PortAudio opens"),
        (["--reference-channel", "2", "--input", "demo"], "is for a microphone or one recording; the input is demo"),
        (["--reference-channel", "2", "--input", "song.wav"], "leaves open which channel the voice is; say so by --channel"),
        (["--reference-channel", "7", "--channel", "1", "--input", "song.wav"], "song.wav has 2 channels, and --reference-channel 7 is"),
        (["--reference-channel", "2", "--channel", "1", "--input", "pipe.wav"], "pipe.wav, which is no file and can be read but once"),
        (["--reference-channel", "5"], "reference channel 5 does not exist: 'mic, ALSA' has channels 1 to 1"),
        (["--reference-channel", "1"], "has one channel, which cannot be voice and reference"),
        (["--reference", "gone"], "the reference cannot be heard: no audio input has 'gone' in its name"),
        (["--reference", "mic"], "--reference mic is the microphone itself"),
        (["--reference", "mic", "--reference-channel", "2"], "--reference-channel 2 and --reference both say what the band is"),
        (["--input", "song.wav", "--reference", "gone"], "--reference gone: there is no such file, and beside song.wav the band is a rec"),
        (["--input", "-", "--reference", "monitor"], "--reference monitor: there is no such file, and beside - the band is a recording"),
        (["--input", "-", "--reference", "text.wav"], "text.wav is not audio that can be read"),
        (["--input", "demo", "--reference", "mic"], "--reference mic: there is no such file"),
        (["--input", "song.wav", "--reference", "./song.wav"], "--reference ./song.wav is the input song.wav itself, of which nothing"),
        (["--input", "song.wav", "--reference", "link.wav"], "--reference link.wav is the input song.wav itself"),
        (["--input", "hard.wav", "--reference", "link.wav"], "--reference link.wav is the input hard.wav itself"),
        (["--input", "-", "--reference", "link.wav"], "--reference link.wav is the input - itself"),
        (["--backing-loop"], "--backing-loop is about a song that is played; name it by --backing FILE"),
        (["--backing-gain-db", "3"], "--backing-gain-db is about a song"),
        (["--backing", "song.wav", "--backing-gain-db", "90"], "it must be at most 40"),
        (["--backing", "song.wav", "--backing-delay", "-1"], "it must be at least 0"),
        (["--backing", "song.wav", "--csv", "song.wav"], "--csv song.wav is also the backing song.wav"),
        (["--backing", "song.wav", "--output-device", "gone"], "no audio output has 'gone' in its name"),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence(song, arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(devices, "load_backend", lambda: FakeAudio([("mic", 0, 1, 16000.0), ("speaker", 0, 0, 16000.0, 2)]))
    monkeypatch.setattr(microphone_module, "load_backend", devices.load_backend)
    with open("text.wav", "w", encoding="utf-8") as file:
        file.write("no sound" * 100)
    os.link("song.wav", "hard.wav")
    if sys.platform != "win32":
        os.mkfifo("pipe.wav")
        os.symlink("song.wav", "link.wav")
    elif {"link.wav", "pipe.wav"} & set(arguments):
        pytest.skip("no pipe with a name there, and links are for administrators")
    read = []
    stdin = open("song.wav", "rb", buffering=0)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=SimpleNamespace(read=read.append, fileno=stdin.fileno), fileno=stdin.fileno))
    assert main([*arguments, "--quiet"]) == 2
    err = capsys.readouterr().err
    assert said in err and "Traceback" not in err and err.count("\n") == 1 + err.count("\n*") + err.count("\n ")
    assert stdin.tell() == 0 and not read, "refused before a sample is read"
    stdin.close()


def test_a_song_is_read_as_it_will_be_played(song):
    backing = read_backing(BandSettings(file="song.wav", gain_db=-20.0, loop=True, delay_s=1.5), pytest.fail, lambda: False)
    assert backing.samples == pytest.approx(0.1 * song, abs=1e-6)
    assert (backing.sample_rate, backing.loops, backing.delay_s, backing.seconds) == (RATE, True, 1.5, 3.0)


def test_what_is_played_is_what_is_known(song):
    backing = read_backing(BandSettings(file="song.wav"), pytest.fail, lambda: False)
    source = BackedMicrophone(backing, backend=FakeAudio([("mic", 0, 1, 16000.0), ("speaker", 0, 0, 16000.0, 2)]))
    source.open()
    band = known_band(source, SourceSettings(), lambda: False)
    assert band.samples is backing.samples and band.lead_s == source.lead_s > 0.0 and band.one_clock and not band.loops
    source.close()


def test_the_band_may_be_the_other_channel_of_a_recording(song, capsys):
    heard = np.stack([0.5 * np.convolve(song, np.r_[np.zeros(100), 1.0])[: len(song)], song], 1)
    soundfile.write("take.wav", heard, RATE, subtype="FLOAT")
    assert main(["--input", "take.wav", "--channel", "1", "--reference-channel", "2"]) == 0
    assert "dB of it were taken out" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("together", [True, False])
def test_the_command_plays_it_takes_it_out_and_ends_with_it(song, together, monkeypatch, capsys):
    """The room is 10 ms of air: the microphone hears the song and nothing else."""
    audio = FakeAudio([("mic", 0, 1, 16000.0), ("speaker", 0, 0, 16000.0, 2)], together=together)
    monkeypatch.setattr(devices, "load_backend", lambda: audio)
    monkeypatch.setattr(microphone_module, "load_backend", lambda: audio)
    ended = threading.Event()

    def turn(frames: np.ndarray) -> np.ndarray:
        if together:
            return audio.stream.turn(frames)
        out = audio.speaker.ask(len(frames))
        audio.stream.play(frames)
        return out

    def air() -> None:
        while not (audio.stream and audio.stream.active and (together or audio.speaker)):
            time.sleep(0.005)
        out = np.zeros((160, 2), np.float32)
        due_s = time.monotonic()
        while not ended.is_set():
            out = turn(0.5 * out[:, :1])
            due_s += 0.01  # of a clock: one that is late each time would be taken for an input that loses sound
            time.sleep(max(0.0, due_s - time.monotonic()))

    thread = threading.Thread(target=air)
    thread.start()
    try:
        status = main(["--backing", "song.wav", "--csv", "take.csv", "--no-priority", "--latency-ms", "2000", "--stats"])
    finally:
        ended.set()
        thread.join()
    said = capsys.readouterr().err
    assert status == 0 and "playing song.wav (3 s) on speaker, ALSA" in said
    assert ("a clock of its own" in said) != together
    assert "dB of it were taken out" in said, said
    removed_db = float(said.split(" dB of it were taken out")[0].split()[-1])
    rows = np.genfromtxt("take.csv", delimiter=",", names=True)
    assert 3.1 < rows["time_s"][-1] < 3.6
    assert removed_db >= 1 and "over the voice, " in said.split("deadlines missed")[1]
