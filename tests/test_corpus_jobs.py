"""``--jobs``: several files side by side are what they are one after the other."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile

from rt_melody.realtime.cli import main
from rt_melody.realtime.corpus import several
from rt_melody.realtime.corpus.progress import Progress
from rt_melody.realtime.corpus.workers import Outcome
from rt_melody.realtime.program import Program
from rt_melody.realtime.settings import make_settings
from rt_melody.realtime.signals import StopSignals
from rt_melody.realtime.sources.demo import demo_phrase

RATE = 16000
pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.fixture
def songs(in_folder) -> list[str]:
    """Three songs, the first the longest, with one that is none among them."""
    song = demo_phrase(RATE).samples
    for name, seconds in (("long", 4), ("b", 1), ("c", 2)):
        soundfile.write(f"{name}.wav", song[: seconds * RATE], RATE)
    Path("bad.wav").write_text("no audio")
    return ["long.wav", "bad.wav", "b.wav", "c.wav"]


def files(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.mark.slow
def test_side_by_side_is_as_one_by_one(songs, capsys):
    told = []
    for jobs in ("1", "2"):
        status = main(["--jobs", jobs, "--input", *songs, "--csv", f"csv{jobs}", "--midi-file", f"mid{jobs}", "--jsonl"])
        out, err = capsys.readouterr()
        told.append((status, out, err.replace(f"csv{jobs}", "csv").replace(f"mid{jobs}", "mid")))
    assert told[0] == told[1], "status, JSON lines and sentences alike, in the order asked for"
    assert files("csv1") == files("csv2") and files("mid1") == files("mid2") and len(files("csv1")) == 3
    status, out, err = told[1]
    assert status == 1 and "1 of 4 inputs could not be used: bad.wav" in err and err.count("in all, bound") == 1
    assert "\r" not in err, "no bar on a pipe"
    names = [json.loads(line)["input"] for line in out.splitlines()]
    assert names == sorted(names, key=songs.index) and set(names) == set(songs) - {"bad.wav"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals to a process group")
def test_ctrl_c_leaves_whole_files_only(songs):
    song = demo_phrase(RATE).samples
    names = [f"{i:02}.wav" for i in range(40)]
    for name in names:
        soundfile.write(name, song, RATE)
    assert main(["--input", names[0], "--csv", "whole.csv", "--quiet"]) == 0
    command = [sys.executable, "-m", "rt_melody", "--jobs", "2", "--input", *names, "--csv", "out"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list(Path().glob("out/*.csv")) and process.poll() is None:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in err
    done = files("out")
    assert 0 < len(done) < 40 and set(done.values()) == {Path("whole.csv").read_bytes()}
    assert f"stopped by SIGINT: {len(done)} of 40 inputs are done; not done: " in err


@pytest.mark.slow
def test_results_that_cannot_take_their_place_are_named_and_the_others_do(songs, capsys):
    Path("out/b.csv").mkdir(parents=True)
    assert main(["--jobs", "2", "--input", "b.wav", "c.wav", "--csv", "out"]) == 1
    err = capsys.readouterr().err
    assert "b.wav: " in err and "Is a directory" in err and "Traceback" not in err
    assert Path("out/c.csv").read_text().count("\n") > 100 and sorted(p.name for p in Path("out").iterdir()) == ["b.csv", "c.csv"]


@pytest.mark.parametrize(
    "words, said",
    [
        (["--jobs", "0", "--input", "a.wav", "b.wav"], "--jobs 0 cannot be used: it must be at least 1"),
        (["--jobs", "-1", "--input", "a.wav", "b.wav"], "--jobs -1 cannot be used: it must be at least 1"),
        (["--jobs", "1000", "--input", "a.wav", "b.wav"], "--jobs 1000 cannot be used: it must be at most 256"),
        (["--jobs", "two", "--input", "a.wav", "b.wav"], "--jobs two cannot be used: it must be a whole number"),
        (["--jobs", "2", "--input", "mic"], "--jobs 2 is for several files, and the input is mic"),
        (["--jobs", "2", "--input", "-"], "--jobs 2 is for several files, and the input is -"),
        (["--jobs", "2", "--input", "a.wav", "b.wav", "--realtime"], "at the pace of the clock is played one by one"),
        (["--jobs", "2", "--input", "a.wav", "b.wav", "--stats-file", "s.jsonl"], "--stats-file tells of one process"),
    ],
)
def test_numbers_of_jobs_that_cannot_be(words, said, capsys):
    assert main(words) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, jobs",
    [({}, 2), ({"jobs": 5}, 3), ({"jobs": 1}, 1), ({"osc": "localhost:9"}, 1), ({"stats_file": "s"}, 1), ({"input": "long.wav"}, 1)],
)
def test_how_many_there_are(options, jobs, songs, monkeypatch):
    monkeypatch.setattr("rt_melody.realtime.checks.default_jobs", lambda: 2)
    settings = make_settings({"input": ["long.wav", "b.wav", "c.wav"], **options})
    assert Program(settings, StopSignals()).jobs == jobs


def test_a_file_whose_workers_die_is_named_and_the_others_go_on(songs, monkeypatch, capsys):
    outcomes = [
        Outcome((1, "b.wav"), several.Told(["b.wav: heard"])),
        Outcome((0, "long.wav"), died=("SIGKILL", "SIGKILL")),
        Outcome((2, "c.wav"), several.Told(["c.wav: heard"]), died=("SIGSEGV",)),
    ]
    monkeypatch.setattr(several, "run_tasks", lambda *_: iter(outcomes))
    assert main(["--jobs", "2", "--input", "long.wav", "b.wav", "c.wav", "--csv", "out"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("rt-melody: long.wav: two workers died on it (SIGKILL and SIGKILL)")
    assert said[1:] == [
        "rt-melody: b.wav: heard",
        "rt-melody: c.wav: the worker that heard it died (SIGSEGV); it was heard again",
        "rt-melody: c.wav: heard",
        "rt-melody: 1 of 3 inputs could not be used: long.wav",
    ]
    assert files("out") == {}


class Left:
    """Standard output whose reader has gone."""

    def write(self, text: str) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self) -> None: ...

    def fileno(self) -> int:
        raise OSError


@pytest.mark.parametrize("options, status, said", [(["--csv", "out"], 1, "not all went out: JSON lines: "), ([], 0, "")])
def test_a_reader_that_leaves_stops_no_other_output(options, status, said, songs, monkeypatch, capsys):
    outcomes = [Outcome((i, name), several.Told([f"{name}: heard"], "{}\n")) for i, name in enumerate(("b.wav", "c.wav"))]
    monkeypatch.setattr(several, "run_tasks", lambda *_: iter(outcomes))
    monkeypatch.setattr(sys, "stdout", Left())
    assert main(["--jobs", "2", "--input", "b.wav", "c.wav", "--jsonl", *options]) == status
    err = capsys.readouterr().err
    assert said in err and ("c.wav: heard" in err) == bool(options)


def test_a_bar_tells_files_sound_speed_and_time_left(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with Progress(4, shown=True) as progress:
        for _ in range(2):
            progress.step(90.0)
        progress.say("a sentence")
    drawn = sys.stderr.getvalue()
    assert "rt-melody: a sentence\n" in drawn
    assert "50%" in drawn and "2 of 4 files, 3.0 min of sound" in drawn and "x real time" in drawn and "left" in drawn
