"""``rt-melody plot``: what is drawn is what was read, where it was read."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from rt_melody.realtime.cli import main
from rt_melody.realtime.commands import plot
from rt_melody.realtime.commands.plot import draw, notes_of, read_labels, read_take, span_hz, spectrogram
from rt_melody.realtime.errors import InputError, missing_package
from rt_melody.realtime.sources.demo import TUNE

HEADER = "time_s,f0_hz,voiced,confidence,available_s\n"
pytestmark = pytest.mark.usefixtures("in_folder")


def write_take(name: str = "a.csv", seconds: float = 3.0) -> str:
    """A3 for a second, a rest, E4 to the end, one row each 10 ms."""
    rows = []
    for i in range(round(100 * seconds)):
        t = i / 100
        f0_hz, voiced = (220.0, 1) if t < 1 else (220.0, 0) if t < 1.5 else (329.63, 1)
        rows.append(f"{t:.6f},{f0_hz},{voiced},{0.9 if voiced else 0.6},{t + 0.04:.6f}\n")
    with open(name, "w", encoding="utf-8") as file:
        file.write(HEADER + "".join(rows))
    return name


def test_a_take_is_read_as_it_was_written():
    take = read_take(write_take())
    assert (len(take.time_s), take.hop_s) == (300, pytest.approx(0.01))
    assert take.voiced.sum() == 250 and take.f0_hz[-1] == 329.63 and take.confidence[120] == 0.6


def test_its_notes_are_found():
    (first, second) = notes_of(read_take(write_take()))
    assert (first.note, second.note) == (57, 64)
    assert (first.on_s, first.off_s, second.on_s) == (pytest.approx(0, abs=0.05), pytest.approx(1, abs=0.1), pytest.approx(1.5, abs=0.05))


def test_a_tone_stands_in_the_spectrogram_where_it_sounds():
    t = np.arange(16000) / 16000
    times_s, hz, level_db = spectrogram(np.where(t < 0.5, 0.0, np.sin(2 * np.pi * 500 * t)), 16000)
    late = times_s > 0.6
    assert np.all(np.abs(hz[np.argmax(level_db[:, late], axis=0)] - 500) < 8)
    assert level_db[:, times_s < 0.4].max() == plot.FLOOR_DB and level_db.max() == 0.0


@pytest.mark.parametrize(
    "text, times_s, f0_hz",
    [
        ("0.0,220\n0.5,0\n", [0.0, 0.5], [220.0, np.nan]),
        ("0.1\t220.5\n", [0.1], [220.5]),
        ("0\n69\n", [0.02, 0.04], [np.nan, 440.0]),
    ],
)
def test_labels_are_read_in_three_forms(text, times_s, f0_hz):
    with open("labels", "w", encoding="utf-8") as file:
        file.write(text)
    read = read_labels("labels")
    np.testing.assert_allclose(read[0], times_s)
    np.testing.assert_allclose(read[1], f0_hz)


def test_another_take_serves_as_labels():
    times_s, f0_hz = read_labels(write_take())
    assert np.isnan(f0_hz[120]) and f0_hz[0] == 220.0 and len(times_s) == 300


def test_what_is_shown_spans_what_is_sung():
    lowest, highest = span_hz(np.array([220.0, np.nan, 440.0, 0.0]))
    assert (lowest, highest) == (pytest.approx(220 * 2 ** (-1 / 3)), pytest.approx(440 * 2 ** (1 / 3)))
    assert span_hz(np.array([np.nan])) == (60.0, 1500.0)


def test_the_figure_has_the_voiced_f0_the_labels_and_the_confidence():
    pytest.importorskip("matplotlib")
    take = read_take(write_take())
    labels = np.array([0.0, 1.0]), np.array([220.0, 221.0])
    figure = draw(plot._load_pyplot(), take, notes_of(take), (np.zeros(48000), 16000), labels, "a.csv")
    above, below = figure.axes[:2]
    lines = {line.get_label(): line.get_ydata() for line in above.get_lines()}
    np.testing.assert_array_equal(lines["f0"], np.where(take.voiced, take.f0_hz, np.nan))
    np.testing.assert_array_equal(lines["reference"], labels[1])
    np.testing.assert_array_equal(below.get_lines()[0].get_ydata(), take.confidence)
    assert "C4" in [tick.get_text() for tick in above.get_yticklabels()] and above.get_title() == "a.csv"


@pytest.mark.slow
def test_the_demo_is_drawn_by_the_command(capsys):
    pytest.importorskip("matplotlib")
    assert main(["--input", "demo", "--csv", "demo.csv", "--listen", "off", "--quiet"]) == 0
    assert [note.note for note in notes_of(read_take("demo.csv"))] == [note for _, note, _, _ in TUNE]
    soundfile.write("demo.wav", np.zeros(1600), 16000)
    assert main(["plot", "demo.csv", "--audio", "demo.wav", "--out", "demo.svg"]) == 0
    assert capsys.readouterr().out == "drew demo.svg\n"
    with open("demo.svg", encoding="utf-8") as file:
        assert "<svg" in file.read()


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("a,b\n1,2\n", "is no file of --csv, whose first line is time_s,f0_hz"),
        (HEADER + "1,2,x,4,5\n", "is no file of --csv"),
        ("", "is no file of --csv"),
        (HEADER, "holds no rows, so that there is nothing to draw"),
    ],
)
def test_another_file_is_refused_in_a_sentence(text, sentence):
    with open("x.csv", "w", encoding="utf-8") as file:
        file.write(text)
    with pytest.raises(InputError, match=sentence):
        read_take("x.csv")


def test_a_file_that_is_not_there_labels_that_are_none_and_a_picture_over_a_table(capsys):
    pytest.importorskip("matplotlib")
    take = write_take()
    for words, sentence in (
        (["gone.csv"], "gone.csv cannot be read (No such file or directory)"),
        ([take, "--reference", __file__], "holds no labels"),
        ([take, "--out", "b.csv"], "would overwrite a table"),
        ([take, "--out", "b.xyz"], "b.xyz cannot be written"),
        ([take, "--out", "gone/b.png"], "gone/b.png cannot be written (No such file or directory); choose another place"),
    ):
        assert main(["plot", *words]) == 2
        assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--audio", "--reference"])
def test_no_picture_over_what_is_read(option, capsys):
    take = write_take()
    with open("b.png", "w", encoding="utf-8") as file:
        file.write("0,220\n")
    assert main(["plot", take, option, "b.png", "--out", "b.png"]) == 2
    assert f"the picture b.png is also {option} b.png" in capsys.readouterr().err
    with open("b.png", encoding="utf-8") as file:
        assert file.read() == "0,220\n"


def test_a_picture_without_an_ending_is_named_as_it_is_called(capsys):
    pytest.importorskip("matplotlib")
    os.mkdir("b")
    assert main(["plot", write_take(), "--out", "b"]) == 0
    assert capsys.readouterr().out == "drew b.png\n" and os.path.exists("b.png")


def test_without_matplotlib_the_way_to_it_is_told(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["plot", "a.csv"]) == 2
    assert "-m pip install matplotlib`" in capsys.readouterr().err


def test_the_way_to_a_package_is_for_the_python_that_runs(monkeypatch):
    """Run as a shell reads it, the words name the interpreter, the package, and nothing else."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(sys, "executable", "/home/a singer/.venv/bin/python")
    command = missing_package("--panel", "aiohttp").split("`")[1]
    assert shlex.split(command) == ["/home/a singer/.venv/bin/python", "-m", "pip", "install", "aiohttp"]


@pytest.mark.slow
def test_a_home_that_cannot_be_written_is_no_matter_for_the_reader(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("no folder")
    home = {name: str(tmp_path / "file" / "home") for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR")}
    command = [sys.executable, "-m", "rt_melody", "plot", write_take()]
    done = subprocess.run(command, env={**os.environ, **home}, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("drew ")
