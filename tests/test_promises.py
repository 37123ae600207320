"""What a user meets who trusts headers, names, other programs and caches: through the command, with the value that is right."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rt_melody.models.shipped import SHIPPED
from rt_melody.realtime.cli import main
from rt_melody.realtime.sources.demo import demo_phrase

RATE = 16_000
SECONDS = 2.0
pytestmark = pytest.mark.usefixtures("in_folder")
posix = pytest.mark.skipif(sys.platform == "win32", reason="named pipes in folders")


@pytest.fixture(scope="module")
def voice() -> np.ndarray:
    return demo_phrase(RATE).samples[RATE : RATE + int(SECONDS * RATE)]


def voiced(path="a.csv") -> np.ndarray:
    """Of each row, whether somebody sings."""
    with open(path, newline="") as file:
        return np.array([int(row["voiced"]) for row in csv.DictReader(file)])


def tracked(*options: str) -> np.ndarray:
    assert main(["--csv", "a.csv", *options]) == 0
    return voiced()


@pytest.fixture
def clean(voice) -> np.ndarray:
    """Voicing of the recording as it should be, which lies in v.wav."""
    soundfile.write("v.wav", voice, RATE, subtype="FLOAT")
    found = tracked("--input", "v.wav", "--quiet")
    assert found.sum() > 30
    return found


def test_a_recorder_that_died(clean, capsys):
    data = bytearray(Path("v.wav").read_bytes())
    at = data.index(b"data")
    data[4:8] = data[at + 4 : at + 8] = bytes(4)
    Path("zero.wav").write_bytes(data)
    np.testing.assert_array_equal(tracked("--input", "zero.wav"), clean)
    assert "the header of zero.wav states 0.0 s of sound" in capsys.readouterr().err


def test_channels_that_cancel_and_channels_that_are_chosen(clean, voice, capsys):
    soundfile.write("inv.wav", np.stack([voice, -voice], 1), RATE, subtype="FLOAT")
    np.testing.assert_array_equal(tracked("--input", "inv.wav"), clean)
    assert "cancel each other" in capsys.readouterr().err
    soundfile.write("two.wav", np.stack([np.zeros_like(voice), voice], 1), RATE, subtype="FLOAT")
    np.testing.assert_array_equal(tracked("--input", "two.wav", "--channel", "2"), clean)
    assert not tracked("--input", "two.wav", "--channel", "1").any()
    assert main(["--input", "v.wav", "--channel", "2"]) == 2
    assert "v.wav has one channel, and --channel 2 is none of them" in capsys.readouterr().err


@pytest.mark.slow
@posix
def test_a_named_pipe_and_a_wav_on_standard_input(clean):
    os.mkfifo("ff")
    threading.Thread(target=lambda: Path("ff").write_bytes(Path("v.wav").read_bytes()), daemon=True).start()
    np.testing.assert_array_equal(tracked("--input", "ff"), clean)
    command = [sys.executable, "-m", "rt_melody.realtime.cli", "--input", "-", "--csv", "piped.csv"]
    with open("v.wav", "rb") as stdin:
        done = subprocess.run(command, stdin=stdin, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(voiced("piped.csv"), clean)


@pytest.mark.slow
@posix
def test_a_named_pipe_that_nobody_writes_to_ends_at_a_signal():
    os.mkfifo("ff")
    command = [sys.executable, "-m", "rt_melody.realtime.cli", "--input", "ff", "--csv", "a.csv"]
    program = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said = []
    reader = threading.Thread(target=lambda: said.append(program.stderr.read()))
    reader.start()
    for _ in range(300):  # until it listens to signals and waits for the pipe
        folder = Path(f"/proc/{program.pid}/fd")
        if folder.exists() and any(os.readlink(link).endswith("/ff") for link in folder.iterdir() if link.is_symlink()):
            break
        threading.Event().wait(0.1)
    program.terminate()
    status = program.wait(30)
    reader.join()
    assert status == 143 and "Traceback" not in said[0]


def test_a_settings_file_that_multiplies_itself(capsys):
    lines = [b"a: &a [x,x,x,x,x,x,x,x,x]"] + [
        f"{new}: &{new} [{','.join(['*' + old] * 9)}]".encode() for old, new in zip("abcdefgh", "bcdefghi")
    ]
    for name, data in (("bomb.yaml", b"\n".join(lines)), ("deep.yaml", b"[" * 3000)):
        Path(name).write_bytes(data)
        assert main(["--config", name]) == 2
        assert re.search(rf"{name} cannot be used: it (holds more than|nests) .* --print-config shows the form", capsys.readouterr().err)


def test_a_model_of_another_origin_needs_trust_and_the_shipped_one_none(clean, capsys):
    Path("copy.pt").write_bytes(SHIPPED.read_bytes())
    np.testing.assert_array_equal(tracked("--input", "v.wav", "--model", "copy.pt"), clean)
    Path("flip.pt").write_bytes(SHIPPED.read_bytes()[:-1] + b"x")
    assert main(["--input", "v.wav", "--model", "flip.pt"]) == 2
    assert "flip.pt is" in capsys.readouterr().err


def test_an_output_that_is_the_model_is_refused(clean, capsys):
    Path("m.pt").write_bytes(SHIPPED.read_bytes())
    assert main(["--input", "v.wav", "--model", "m.pt", "--midi-file", "m.pt"]) == 2
    assert "is also the model m.pt, and would overwrite it" in capsys.readouterr().err
    assert Path("m.pt").read_bytes() == SHIPPED.read_bytes()


@pytest.mark.slow
def test_lines_and_rows_into_one_file_are_refused(clean):
    command = [sys.executable, "-m", "rt_melody.realtime.cli", "--input", "v.wav", "--jsonl", "--csv", "f"]
    with open("f", "w") as stdout:
        done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "is also standard output" in done.stderr and Path("f").read_text() == ""


@pytest.mark.slow
def test_a_recording_that_is_far_too_quiet_names_the_range_that_fits(capsys):
    song = demo_phrase(RATE).samples
    soundfile.write("quiet.wav", song * 0.01, RATE, subtype="PCM_24")
    assert main(["--input", "quiet.wav", "--midi-file", "a.mid"]) == 0
    said = capsys.readouterr().err
    advice = re.search(r"had the least velocity, .*; (--velocity-range -?\d+ -?\d+) fits it", said)
    assert advice, said
    assert main(["--input", "quiet.wav", "--midi-file", "a.mid", *advice[1].split()]) == 0
    assert "the least velocity" not in capsys.readouterr().err


@pytest.mark.slow
def test_hum_is_named_while_it_is_played(capsys):
    t = np.arange(8 * RATE) / RATE
    hum = sum(a * np.sin(2 * np.pi * 100 * k * t + k) for k, a in enumerate((1, 0.7, 0.5, 0.3, 0.2), 1))
    hum *= 10 ** (-50 / 20) / np.sqrt((hum**2).mean())
    soundfile.write("hum.wav", hum + 10 ** (-70 / 20) * np.random.default_rng(3).standard_normal(len(t)), RATE, subtype="PCM_24")
    held = tracked("--input", "hum.wav").mean()
    said = capsys.readouterr().err
    assert held < 0.05 or "--gate auto" in said
    gated = tracked("--input", "hum.wav", "--gate", "auto")
    assert len(gated) == 800 and not gated[300:].any(), "of what stands still for a second and a half it is known that it is the room"
