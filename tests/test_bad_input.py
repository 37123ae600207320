"""What a user can get wrong, through the command: status 2 and one clear sentence, or a track; never a traceback.

The command runs in this process; its files are read back as the user would read them. What is asserted of the
pitch is crude on purpose: accuracy is measured elsewhere.
"""

from __future__ import annotations

import csv
import io
import os
import socket
import sys
import zipfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import mido
import numpy as np
import pytest
import soundfile
import torch
from fake_audio import FakeAudio, PortAudioError

from rt_melody.models.shipped import SHIPPED
from rt_melody.realtime import sources
from rt_melody.realtime.cli import main
from rt_melody.realtime.sources.demo import demo_phrase

RATE = 16000
LONG = 300 * "a"  # a name that no system takes
HOP_S = 0.01
pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    """The first notes of the demo song at 16 kHz."""
    return demo_phrase(RATE).samples[: 2 * RATE]


@pytest.fixture
def refused(capsys):
    """``refused(*arguments)``: the sentence with which the command leaves with status 2."""

    def run(*arguments) -> str:
        status = main([str(a) for a in arguments])
        said = capsys.readouterr().err
        assert status == 2, said
        assert "Traceback" not in said
        last = said.rstrip("\n").rpartition("rt-melody: ")[2]
        assert last and said.count(last) == 1
        return last

    return run


@pytest.fixture
def tracked(capsys):
    """``tracked(samples, rate, subtype)``: rows of the CSV of a wav file with these samples."""

    def run(samples, rate: int = RATE, subtype: str = "FLOAT") -> list[dict[str, float]]:
        soundfile.write("in.wav", samples, rate, subtype=subtype)
        assert main(["--input", "in.wav", "--csv", "out.csv", "--midi-file", "out.mid"]) == 0
        assert "Traceback" not in capsys.readouterr().err
        assert_notes_end("out.mid")
        return rows("out.csv")

    return run


def rows(path) -> list[dict[str, float]]:
    with open(path, newline="") as file:
        found = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert all(np.isfinite(list(row.values())).all() and 0 <= row["confidence"] <= 1 for row in found)
    return found


def column(found, name: str) -> np.ndarray:
    return np.array([row[name] for row in found])


def assert_notes_end(path) -> int:
    """Every note of a MIDI file ends; how many there are."""
    kinds = [message.type for message in mido.MidiFile(path).tracks[0] if message.type.startswith("note")]
    assert kinds.count("note_on") == kinds.count("note_off")
    return kinds.count("note_on")


# --- files that are none


def test_a_missing_file(refused):
    assert "gone.wav does not exist" in refused("--input", "gone.wav", "--csv", "out.csv")
    assert not Path("out.csv").exists()


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "is empty (0 bytes)"),
        (b"RIFF", "is not audio"),
        (b"Dear diary, today I sang.\n" * 99, "is not audio"),
        (bytes(range(256)) * 20, "is not audio"),
    ],
    ids=["empty", "four bytes", "text", "bytes"],
)
def test_a_file_that_is_no_audio(content, said, refused):
    Path("song.wav").write_bytes(content)
    told = refused("--input", "song.wav", "--csv", "out.csv")
    assert "song.wav" in told and said in told
    assert not Path("out.csv").exists()


def test_a_folder(refused):
    Path("takes").mkdir()
    assert "takes is a folder" in refused("--input", "takes")


def test_a_recording_without_samples(refused):
    soundfile.write("none.wav", np.zeros(0, np.float32), RATE)
    assert "holds no samples" in refused("--input", "none.wav")


def test_a_bad_input_leaves_an_older_output_as_it_was(refused):
    Path("out.csv").write_text("from yesterday")
    refused("--input", "gone.wav", "--csv", "out.csv", "--midi-file", "out.mid")
    assert Path("out.csv").read_text() == "from yesterday" and not Path("out.mid").exists()


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_recording_cut_in_the_middle_is_tracked_as_far_as_it_goes(kind, voice, capsys):
    soundfile.write(f"whole.{kind}", voice, RATE)
    content = Path(f"whole.{kind}").read_bytes()
    Path(f"cut.{kind}").write_bytes(content[: len(content) // 2])
    assert main(["--input", f"cut.{kind}", "--csv", "out.csv", "--quiet"]) == 0
    said = capsys.readouterr().err
    last_s = rows("out.csv")[-1]["time_s"]
    if kind == "wav":  # libsndfile believes the size of a cut wav, not its header
        assert last_s == pytest.approx(1.0, abs=0.02)
    else:
        assert "cut.flac is damaged after" in said and 0.1 < last_s < 1.9


# --- sound that is strange


@pytest.mark.slow
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_count_as_silence(value, voice, tracked, capsys):
    bad, silent = voice.copy(), voice.copy()
    bad[4000:12000], silent[4000:12000] = value, 0.0
    assert tracked(bad) == tracked(silent)
    assert main(["--input", "in.wav"]) == 0 and "not finite" not in capsys.readouterr().err
    soundfile.write("in.wav", bad, RATE, subtype="FLOAT")
    assert main(["--input", "in.wav"]) == 0 and "8000 samples not finite" in capsys.readouterr().err


def test_silence_holds_no_voice(tracked):
    found = tracked(np.zeros(RATE, np.float32))
    assert len(found) == pytest.approx(1.0 / HOP_S, abs=2) and not column(found, "voiced").any()
    assert assert_notes_end("out.mid") == 0


def test_direct_current_holds_no_voice(tracked):
    assert not column(tracked(np.full(RATE, 0.8, np.float32)), "voiced")[20:].any()


@pytest.mark.slow
def test_a_burst_at_full_scale_is_forgotten(tracked):
    """Half a second of hard noise before the song: later the pitch is that of the song without it."""
    song = demo_phrase(RATE).samples[: 6 * RATE]
    noise = np.sign(np.random.default_rng(1).standard_normal(RATE // 2)).astype(np.float32)
    clean, after = tracked(song), tracked(np.concatenate([noise, song]))[len(noise) * 100 // RATE :]
    late = slice(400, len(clean))
    sung = column(clean, "voiced")[late] > 0
    apart_cents = 1200 * np.abs(np.log2(column(after, "f0_hz")[late] / column(clean, "f0_hz")[late]))
    assert sung.sum() > 50
    assert (apart_cents[sung] < 50).mean() > 0.8 and column(after, "voiced")[late][sung].mean() > 0.5


@pytest.mark.parametrize("loud", [1e3, 1e10, 1e30, 3e38])
def test_samples_far_beyond_full_scale_give_numbers(loud, tracked):
    noise = np.random.default_rng(2).uniform(-loud, loud, RATE).astype(np.float32)
    assert len(tracked(noise)) == pytest.approx(100, abs=2)


def test_clipping_keeps_the_pitch(voice, tracked):
    clean, clipped = tracked(voice), tracked(np.clip(20 * voice, -1, 1))
    both = (column(clean, "voiced") > 0) & (column(clipped, "voiced") > 0)
    apart_cents = 1200 * np.abs(np.log2(column(clipped, "f0_hz")[both] / column(clean, "f0_hz")[both]))
    assert both.sum() > 30 and np.median(apart_cents) < 50


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "DOUBLE", "ULAW"])
def test_sample_formats(subtype, voice, tracked):
    assert column(tracked(voice, subtype=subtype), "voiced").sum() > 30


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 96000])
def test_sample_rates(rate, tracked):
    found = tracked(demo_phrase(rate).samples[: 2 * rate], rate)
    assert len(found) == pytest.approx(2.0 / HOP_S, abs=2) and column(found, "voiced").sum() > 30
    assert (column(found, "available_s") - column(found, "time_s")).max() <= 0.050 + 1e-6


@pytest.mark.parametrize("channels", [2, 8])
def test_the_same_voice_on_many_channels_is_that_voice(channels, voice, tracked):
    """The mean of equal channels is that channel, but for the last bit of its rounding."""
    alone, together = tracked(voice), tracked(np.stack([voice] * channels, axis=1))
    np.testing.assert_allclose(column(together, "f0_hz"), column(alone, "f0_hz"), rtol=1e-4)
    np.testing.assert_array_equal(column(together, "voiced"), column(alone, "voiced"))


@pytest.mark.parametrize("n_samples", [1, 159, 160, 161])
def test_a_recording_shorter_than_a_hop_or_hardly_longer(n_samples, voice, tracked):
    rows = sum(0.001 + 0.01 * k < n_samples / RATE for k in range(3))  # at 50 ms the rows speak of 1, 11, 21 ... ms
    assert len(tracked(voice[RATE : RATE + n_samples])) == rows


# --- several inputs


@pytest.mark.slow
def test_one_bad_input_among_several_is_told_and_the_others_are_done(voice, capsys):
    for name in ("one.wav", "two.wav"):
        soundfile.write(name, voice, RATE)
    Path("bad.wav").write_text("no audio")
    Path("out").mkdir()
    status = main(["--input", "one.wav", "bad.wav", "gone.wav", "two.wav", "--csv", "out", "--midi-file", "out"])
    said = capsys.readouterr().err
    assert status == 1 and "Traceback" not in said and "2 of 4 inputs could not be used: bad.wav, gone.wav" in said
    assert "bad.wav: bad.wav is not audio" in said and "gone.wav: gone.wav does not exist" in said
    assert sorted(path.name for path in Path("out").iterdir()) == ["one.csv", "one.mid", "two.csv", "two.mid"]
    assert rows("out/one.csv") == rows("out/two.csv")


def test_several_inputs_of_one_stem_would_share_an_output(refused):
    Path("out").mkdir()
    told = refused("--input", "a/song.wav", "b/song.flac", "--csv", "out")
    assert "two inputs are called song" in told and "out" in told


def test_several_inputs_need_a_folder(refused):
    Path("file").write_text("")
    assert "file is no folder" in refused("--input", "a.wav", "b.wav", "--midi-file", "file")
    assert "the folder file/inside cannot be made (Not a directory)" in refused("--input", "a.wav", "b.wav", "--midi-file", "file/inside")


@pytest.mark.parametrize("option", ["--csv", "--midi-file"])
def test_a_dash_is_no_name_of_an_output(option, refused):
    assert "names no file; for lines on standard output give --jsonl" in refused("--input", "demo", option, "-")


@pytest.mark.parametrize(
    "words", [("--csv", "a.csv", "--csv", "b.csv"), ("--midi-out", "a", "--midi-out", "b"), ("--scale", "auto", "--key", "Am")]
)
def test_an_option_that_is_given_twice(words, refused):
    assert f"{words[2]} is given twice; give it once" in refused("--input", "demo", *words)


@pytest.mark.parametrize("words, rule", [(("--gate", "-45dB"), "-45dB"), (("--offset-ms", "-1e9"), "at least -5000")])
def test_values_below_zero_are_judged_by_our_own_rules(words, rule, refused):
    assert rule in refused("--input", "demo", *words)


@pytest.mark.parametrize("special", ["mic", "demo", "-"])
def test_only_files_may_be_several(special, refused):
    assert f"a.wav {special}" in refused("--input", "a.wav", special, "--rate", "8000")


# --- outputs


def test_an_output_in_a_folder_that_is_not_there(refused):
    assert "there is no folder none" in refused("--input", "demo", "--csv", "none/out.csv")


@pytest.mark.parametrize("option", ["--csv", "--midi-file"])
def test_an_output_that_cannot_be_written(option, refused):
    Path("file").write_text("")
    assert "file/out cannot be written (Not a directory)" in refused("--input", "demo", option, "file/out")


@pytest.mark.parametrize("option", ["--csv", "--midi-file"])
def test_an_output_whose_name_the_system_does_not_take(option, refused):
    """Nothing can be asked of such a path, as of one in a folder that is shut: not even whether it is a folder."""
    assert f"{LONG} cannot be written (" in refused("--input", "demo", option, LONG)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_costs_the_other_outputs_nothing(voice, capsys):
    """The others are whole, the loss is told at once and at the end, and the status is that of a loss."""
    soundfile.write("in.wav", np.concatenate([voice, voice]), RATE)
    assert main(["--input", "in.wav", "--midi-file", "whole.mid", "--quiet"]) == 0
    assert main(["--input", "in.wav", "--csv", "/dev/full", "--midi-file", "out.mid", "--quiet"]) == 1
    told = capsys.readouterr().err
    assert told.count("/dev/full cannot be written further (No space left on device)") == 2
    assert assert_notes_end("out.mid") > 0 and Path("out.mid").read_bytes() == Path("whole.mid").read_bytes()


@pytest.mark.skipif(not hasattr(os, "link"), reason="this system has no hard links")
def test_an_output_that_is_the_input_under_another_name(voice, refused):
    soundfile.write("in.wav", voice, RATE)
    os.link("in.wav", "hard.csv")
    assert "--csv hard.csv is also the input in.wav, and would overwrite it" in refused("--input", "in.wav", "--csv", "hard.csv")


def test_an_output_that_is_the_input(voice, refused):
    soundfile.write("in.wav", voice, RATE)
    before = Path("in.wav").read_bytes()
    assert "--csv in.wav is also the input ./in.wav" in refused("--input", "./in.wav", "--csv", "in.wav")
    assert Path("in.wav").read_bytes() == before


def test_two_outputs_in_one_file(refused):
    assert "--csv out is also --midi-file out" in refused("--input", "demo", "--csv", "out", "--midi-file", "./out")


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([""], "'' stands alone"),
        ([" "], "' ' stands alone"),
        (["--config", ""], "cannot be read"),
        (["--note-range", "9" * 5000, "C3"], "is not known"),
        (["--device", "\u00b2", "--input", "mic"], ""),
    ],
)
def test_words_that_a_script_may_give_by_mistake(refused, arguments, said):
    assert said in refused(*arguments)


@pytest.mark.parametrize("line", ['csv: "a\\0b"', 'input: ["a\\0b"]', 'stats_file: "\\0"'])
def test_a_name_with_a_nul(refused, line):
    Path("my.yaml").write_text(line + "\n", encoding="utf-8")
    assert "must not hold a NUL character" in refused("--config", "my.yaml")



@pytest.mark.slow
def test_a_pattern_that_the_shell_left_alone_means_files(voice, capsys):
    for name in ("b.wav", "a.wav"):
        soundfile.write(name, voice[:4000], RATE)
    Path("out").mkdir()
    assert main(["--input", "*.wav", "--csv", "out"]) == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.csv", "b.csv"]
    assert main(["--input", "no*.wav", "--csv", "no.csv"]) == 2
    assert "no*.wav does not exist" in capsys.readouterr().err


def test_what_an_ascii_shell_saved_of_the_settings_is_read(capsys):
    assert main(["--print-config", "--device", "Mikrofon (Ger\u00e4t)"]) == 0
    printed = capsys.readouterr().out
    Path("my.yaml").write_bytes(printed.encode("ascii"))
    assert main(["--config", "my.yaml", "--print-config"]) == 0
    assert capsys.readouterr().out == printed


def test_a_configuration_as_windows_powershell_saves_it_is_read(capsys):
    Path("my.yaml").write_text("latency_ms: 33.0\n", encoding="utf-16")
    assert main(["--config", "my.yaml", "--print-config"]) == 0
    assert "latency_ms: 33.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    "address", ["nowhere", "localhost", "localhost:", ":9000", "localhost:0", "localhost:65536", "localhost:osc", "localhost:" + "9" * 5000]
)
def test_an_osc_address_that_is_none(address, refused):
    assert repr(address) in refused("--input", "demo", "--osc", address)


def test_an_osc_host_that_cannot_be_resolved(refused, monkeypatch):
    def unknown(*_args, **_kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "'studio.invalid' cannot be resolved" in refused("--input", "demo", "--osc", "studio.invalid:9000")


def test_no_midi_system(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "rtmidi", SimpleNamespace(get_compiled_api=list))
    told = refused("--input", "demo", "--midi-out")
    assert "no MIDI system" in told and "--midi-file" in told


def test_no_midi_package(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "rtmidi", None)
    assert "MIDI ports need" in refused("--input", "demo", "--midi-out", "synth", "--no-midi-guardian")


# --- audio devices


class NoPortAudio:
    """An importer under which ``import sounddevice`` fails as it does where the library is missing."""

    @staticmethod
    def find_spec(name, *_):
        if name == "sounddevice":
            raise OSError("PortAudio library not found")


def test_no_portaudio_library(refused, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoPortAudio, *sys.meta_path])
    monkeypatch.setattr(sys, "platform", "linux")
    assert "apt-get install libportaudio2" in refused("--input", "mic", "--csv", "out.csv")
    assert not Path("out.csv").exists()
    assert main(["--list-devices"]) == 0
    assert "libportaudio2" in capsys.readouterr().out


@pytest.fixture
def microphone(monkeypatch):
    """``microphone(blocks)``: a device that plays a block whenever the last one has been read, and is then unplugged."""

    def plug_in(blocks=(), **settings) -> FakeAudio:
        audio, left = FakeAudio([("Studio", 0, 1, RATE), ("Webcam", 0, 2, RATE)], **settings), list(blocks)

        class Played(sources.MicrophoneSource):
            def read(self, timeout_s: float = 0.1):
                if not self.backlog_samples:
                    audio.stream.play(left.pop(0).reshape(-1, 1)) if left else audio.stream.unplug()
                return super().read(timeout_s)

        monkeypatch.setattr(sources, "MicrophoneSource", partial(Played, backend=audio))
        return audio

    return plug_in


def test_no_audio_input_at_all(refused, monkeypatch):
    monkeypatch.setattr(sources, "MicrophoneSource", partial(sources.MicrophoneSource, backend=FakeAudio([])))
    told = refused("--input", "mic")
    assert "no audio input was found" in told and "--input demo" in told


@pytest.mark.parametrize("device, said", [("Tuba", "'Tuba' in its name"), ("9", "device 9"), ("-1", "device -1")])
def test_an_unknown_device_is_told_with_those_there_are(device, said, refused, microphone):
    microphone()
    told = refused("--device", device)
    assert said in told and "Studio" in told and "Webcam" in told


def test_a_busy_device(refused, microphone):
    microphone(failure=PortAudioError("Device unavailable", -9985))
    assert "'Studio, ALSA' is busy" in refused("--device", "Studio")


def test_a_device_that_vanishes_leaves_what_it_heard(voice, refused, microphone):
    """In the middle of a note: the rows of all that was captured are there, and the note ends."""
    audio = microphone(np.split(voice[: RATE * 3 // 2], 150))
    told = refused("--input", "mic", "--no-reconnect", "--csv", "out.csv", "--midi-file", "out.mid")
    assert "'Studio, ALSA' was lost" in told
    assert len(rows("out.csv")) == 150 and assert_notes_end("out.mid") > 0
    assert audio.stream.closed


def test_what_the_microphone_heard_is_what_a_file_would_have_given(voice, refused, microphone, tracked):
    microphone(np.split(voice, 200))
    refused("--input", "mic", "--no-reconnect", "--csv", "live.csv")
    assert rows("live.csv") == tracked(voice)


def test_large_blocks_of_a_slow_device_are_heard_whole(voice, refused, microphone):
    """A quarter of a second at a time, against a bound of 50 ms."""
    microphone(np.split(voice, 8))
    refused("--input", "mic", "--no-reconnect", "--csv", "live.csv", "--latency-ms", "50")
    assert len(rows("live.csv")) == 200


# --- standard input


@pytest.fixture
def stdin(monkeypatch):
    """``stdin(data)``: what the command finds on its standard input."""
    return lambda data: monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_raw_samples_need_their_rate(refused, stdin):
    stdin(bytes(64000))
    assert "--input - needs --rate HZ" in refused("--input", "-")


def test_a_stream_without_a_sample_is_refused(refused, stdin):
    stdin(b"")
    assert "ended before its first sample" in refused("--input", "-", "--rate", RATE, "--csv", "out.csv")


def test_an_odd_number_of_bytes_is_told_and_the_rest_is_tracked(voice, stdin, tracked, capsys):
    stdin(voice.astype("<f4").tobytes() + b"abc")
    assert main(["--input", "-", "--rate", str(RATE), "--csv", "pipe.csv", "--quiet"]) == 0
    assert "3 bytes into a sample" in capsys.readouterr().err
    assert rows("pipe.csv") == tracked(voice)


def test_a_closed_standard_input(refused, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert "standard input, which is closed" in refused("--input", "-", "--rate", "8000")


# --- model files


def zip_of_text() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("live/version", "3")
    return buffer.getvalue()


def saved_dict() -> bytes:
    torch.save({"weights": torch.zeros(3)}, buffer := io.BytesIO())
    return buffer.getvalue()


MODEL_FILES = {
    "empty": lambda: b"",
    "text": lambda: b"these are the weights\n",
    "random": lambda: np.random.default_rng(3).bytes(10_000),
    "zip": zip_of_text,
    "dict": saved_dict,
    "half": lambda: SHIPPED.read_bytes()[: SHIPPED.stat().st_size // 2],
}


@pytest.mark.parametrize("kind", MODEL_FILES)
def test_a_model_file_that_is_none(kind, voice, refused):
    Path("my.pt").write_bytes(MODEL_FILES[kind]())
    soundfile.write("in.wav", voice, RATE)
    told = refused("--input", "in.wav", "--model", "my.pt", "--csv", "out.csv")
    assert "my.pt is not a model file of rt-melody" in told and "or leave it out" in told
    assert not Path("out.csv").exists()


@pytest.mark.parametrize("path", ["gone.pt", "."])
def test_a_model_file_that_is_not_there(path, refused):
    assert f"there is no model file {path}" in refused("--input", "demo", "--model", path)


# --- bounds that the model sets


def test_a_latency_bound_that_cannot_be_met_is_refused_with_the_sum(refused, voice):
    soundfile.write("in.wav", voice, RATE)
    told = refused("--input", "in.wav", "--latency-ms", "4", "--csv", "out.csv")
    assert "4 ms cannot be met" in told and "hop" in told and "in all" in told
    least_ms = told.split("give --latency-ms ")[1].split()[0]
    assert main(["--input", "in.wav", "--latency-ms", least_ms]) == 0, "the way out must be one"


def test_a_pitch_range_beyond_the_model_is_refused(refused, voice):
    soundfile.write("in.wav", voice, RATE)
    assert "55 .. 9000 Hz" in refused("--input", "in.wav", "--f0-max-hz", "9000")
