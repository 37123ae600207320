"""Signals: raised while the program starts, noted while it runs, and its handlers given back."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from rt_melody.realtime import signals
from rt_melody.realtime.cli import main
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.program import Program
from rt_melody.realtime.signals import Stopped, stop_signals
from rt_melody.realtime.sources.demo import demo_phrase

NUMBERS = [getattr(signal, name) for name in signals.ENDING if hasattr(signal, name)]
RATE = 16000


@pytest.fixture
def all_by_default():
    """None of them ignored, whatever the tests were started under."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_while_it_runs_a_signal_is_noted(number, all_by_default):
    before = [signal.getsignal(n) for n in NUMBERS]
    with stop_signals() as came:
        came.run()
        assert not came.stop()
        signal.raise_signal(number)
        assert came.stop() and came.came == number
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(n) for n in NUMBERS] == before
    with stop_signals() as came:
        assert not came.stop(), "a new run starts without the signals of the last"


@pytest.mark.parametrize("number", NUMBERS)
def test_while_it_starts_a_signal_ends_it_where_it_is(number, all_by_default):
    with stop_signals() as came, pytest.raises(Stopped) as stopped:
        signal.raise_signal(number)
    assert stopped.value.number == came.came == number


def test_where_python_ignores_what_the_signal_raised_nothing_is_said_and_it_ends_later(all_by_default, capsys):
    class Freed:
        def __init__(self, do):
            self.do = do

        def __del__(self):
            self.do()

    hook = sys.unraisablehook
    sys.unraisablehook = sys.__unraisablehook__  # pytest has its own
    try:
        with stop_signals() as came:
            Freed(lambda: signal.raise_signal(signal.SIGTERM))
            assert capsys.readouterr().err == ""
            Freed(lambda: 1 / 0)
            assert "ZeroDivisionError" in capsys.readouterr().err
            with pytest.raises(Stopped):
                came.run()
        assert sys.unraisablehook is sys.__unraisablehook__
    finally:
        sys.unraisablehook = hook


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP here")
def test_what_nohup_ignores_stays_ignored(all_by_default):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_signals() as came:
        signal.raise_signal(signal.SIGHUP)
        assert not came.stop()


@pytest.mark.skipif(not hasattr(signal, "SIGTSTP"), reason="no SIGTSTP here")
def test_a_pause_is_asked_for_once(all_by_default, monkeypatch):
    stood = []
    monkeypatch.setattr(signals.StopSignals, "pause", lambda self: stood.append(1))
    with stop_signals() as came:
        signal.raise_signal(signal.SIGTSTP)
        assert stood == [1], "while it starts it stands still at once"
        came.run()
        assert came.take_pause()
        signal.raise_signal(signal.SIGTSTP)
        assert stood == [1] and came.take_pause() and not came.take_pause()


# ---- the program


@pytest.fixture
def song(tmp_path) -> Path:
    soundfile.write(tmp_path / "song.wav", demo_phrase(RATE).samples, RATE)
    return tmp_path / "song.wav"


def started(folder: Path, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "rt_melody", *arguments]
    running = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    watchdog = threading.Timer(60.0, running.kill)  # a test that waits for what never comes ends by it
    watchdog.daemon = True
    watchdog.start()
    return running


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGQUIT", "SIGUSR2"])
def test_amid_a_recording_what_was_heard_is_kept_and_the_status_says_so(song, name):
    number = getattr(signal, name)
    samples, rate = soundfile.read(song)
    soundfile.write(song.parent / "long.wav", np.tile(samples, 5), rate)  # a machine that stands still does not reach its end
    running = started(song.parent, "--input", "long.wav", "--csv", "a.csv", "--midi-file", "a.mid", "--realtime", "--quiet")
    csv = song.parent / "a.csv"
    while not (csv.exists() and csv.stat().st_size > 6000):
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.02)
    running.send_signal(number)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 128 + number and f"stopped by {name} before the end of long.wav" in err and "Traceback" not in err
    assert 50 < len(csv.read_text().splitlines()) < 3500 and csv.read_text().endswith("\n")
    import mido

    sounding = [m.type for m in mido.MidiFile(song.parent / "a.mid") if m.type.startswith("note")]
    assert sounding.count("note_on") == sounding.count("note_off") >= 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
@pytest.mark.parametrize("after_s", [0.05, 0.2, 0.6, 1.0, 1.6])
def test_at_any_moment_of_the_start_it_ends_with_its_status_and_no_traceback(song, after_s):
    running = started(song.parent, "--input", "song.wav", "--csv", "a.csv", "--realtime")
    time.sleep(after_s)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=20)
    assert running.returncode in (128 + signal.SIGTERM, -signal.SIGTERM), err  # the latter before Python itself was up
    assert "Traceback" not in err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
@pytest.mark.parametrize("fails", (False, True))
def test_where_a_kernel_is_compiled_nothing_is_raised_and_it_leaves_with_its_last_words(fails, tmp_path):
    """LLVM would lose the exception, so that the start went on for seconds, or free what it still uses."""
    code = """
import os, signal
from rt_melody.kernels import compiled
from rt_melody.realtime.signals import stop_signals
from rt_melody.realtime.sinks.output_file import OutputFile, take_away_untouched
with stop_signals() as signals:
    kept = OutputFile("kept")
    kept.write(b"1")
    new = OutputFile("new")
    signals.last_words = lambda number: (print("left by", number, flush=True), take_away_untouched(), {0: 1}[FAILS])
    try:
        compiled._kept(lambda cache: os.kill(os.getpid(), signal.SIGTERM))
    except BaseException:
        print("raised", flush=True)
"""
    code = code.replace("FAILS", str(int(fails)))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGTERM, f"left by {signal.SIGTERM}\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
def test_where_the_compiler_is_imported_it_leaves_likewise(tmp_path):
    code = """
import os, signal, sys
from rt_melody.realtime.signals import stop_signals
class Numba:
    def find_spec(self, name, path=None, target=None):
        if name == "numba":
            os.kill(os.getpid(), signal.SIGTERM)
sys.meta_path.insert(0, Numba())
with stop_signals() as signals:
    signals.last_words = lambda number: print("left by", number, flush=True)
    from rt_melody.kernels import compiled
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGTERM, f"left by {signal.SIGTERM}\n", "")


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no SIGUSR1")
def test_a_panic_in_the_start_ends_nothing():
    code = """
import os, signal
from rt_melody.realtime import cli, start
cli.main = lambda: os.kill(os.getpid(), signal.SIGUSR1) or 0
start.main()
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc here, which tells whether a process stands still")
def test_ctrl_z_ends_the_note_and_goes_on_later(song):
    running = started(song.parent, "--input", "song.wav", "--realtime", "--jsonl", "--quiet")
    line = ""
    while "note_on" not in line:
        line = running.stdout.readline()
        assert line, "it ended without a note"
    running.send_signal(signal.SIGTSTP)
    while "note_off" not in line:
        line = running.stdout.readline()
        assert line, "it stood still amid a note"
    while Path(f"/proc/{running.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "T":
        time.sleep(0.01)
    running.send_signal(signal.SIGCONT)
    rest = running.stdout.read()
    assert running.wait(timeout=20) == 0 and rest.count("note_on") == rest.count("note_off") >= 1


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["a.wav", "b.wav", "--jobs", "1"], "rt-melody: stopped by SIGTERM before anything of a.wav, b.wav was heard\n"),
        (["a.wav"], "rt-melody: stopped by SIGTERM before anything of a.wav was heard\n"),
        (["mic"], ""),
    ],
)
@pytest.mark.parametrize("lost", [False, True])
def test_recordings_that_a_signal_stops_in_the_start_are_named_in_quiet_too(all_by_default, monkeypatch, capsys, arguments, said, lost):
    def starts(self):
        try:
            signal.raise_signal(signal.SIGTERM)
        except Stopped:
            if not lost:
                raise
            raise DeviceError("what a library made of it") from None

    monkeypatch.setattr(Program, "_make_live", starts)
    assert main(["--input", *arguments, "--quiet", "--csv", "out"]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == said
