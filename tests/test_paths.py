"""Files told apart by what they are; nobody's file is overwritten, and nothing waits for a reader that is not there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest

from rt_melody.realtime.errors import OutputError
from rt_melody.realtime.paths import clash, identity, open_to_write, stream_identity
from rt_melody.realtime.sinks.csv_file import CsvSink
from rt_melody.realtime.sinks.output_file import OutputFile
from rt_melody.realtime.timing.background import LineLog
from rt_melody.realtime.types import PitchFrame

pytestmark = pytest.mark.usefixtures("in_folder")
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders, and other locks")
FRAME = PitchFrame(0, 0.0, 0.05, 220.0, True, 0.9, 0.9, -20.0, 500.0)


def test_one_file_under_several_names_is_one():
    open("a", "w").close()
    os.symlink("a", "soft")
    os.link("a", "hard")
    os.mkdir("folder")
    for name in ("./a", "folder/../a", "soft", "hard"):
        assert identity(name) == identity("a")
    assert identity("a") != identity("b") and identity("new") == identity("folder/../new")
    assert identity("folder") is None and identity(os.devnull) is None


def test_a_clash_is_named_as_the_user_named_both():
    for name in ("my.yaml", "m.pt"):
        open(name, "w").close()
    read = {"the settings file my.yaml": "my.yaml", "the model m.pt": "m.pt"}
    assert clash({"--csv my.yaml": "my.yaml"}, read).startswith("--csv my.yaml is also the settings file my.yaml, and would overwrite it")
    assert "--midi-file ./m.pt is also the model m.pt" in clash({"--midi-file ./m.pt": "./m.pt"}, read)
    assert "--midi-file ./o is also --csv o" in clash({"--csv o": "o", "--midi-file ./o": "./o"}, read)
    assert clash({"--csv a": "a", "--midi-file b": "b", "--stats-file /dev/null": "/dev/null"}, read) is None


def test_standard_output_in_a_file_is_that_file():
    with open("lines", "w") as stdout:
        assert stream_identity(stdout) == identity("lines")
        assert clash({"--csv lines": "lines"}, {}, stdout).startswith("--csv lines is also standard output")
        assert clash({"--csv other": "other"}, {}, stdout) is None
    assert stream_identity(stdout) is None and stream_identity(None) is None
    read, write = os.pipe()
    with os.fdopen(read), os.fdopen(write, "w") as pipe:
        assert stream_identity(pipe) is None


@posix
def test_two_programs_on_one_file_the_second_is_refused_and_nothing_is_harmed():
    """The other program is a real one; a second opening in this process is refused alike."""
    open("a.csv", "w").write("from yesterday")
    code = "import sys; from rt_melody.realtime.paths import open_to_write as f; f('a.csv'); print('open', flush=True); sys.stdin.read()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "open\n"
    for make in (CsvSink, LineLog):
        with pytest.raises(OutputError, match="a.csv is being written by another program; end that one, or give another name"):
            make("a.csv")
    other.communicate("")
    assert open("a.csv").read() == "from yesterday"
    OutputFile("a.csv").close()
    OutputFile("a.csv")  # and dropped
    first = OutputFile("a.csv")
    with pytest.raises(OutputError, match="another program"):
        OutputFile("a.csv")
    first.close()
    OutputFile("a.csv").close()


@posix
def test_a_named_pipe_without_a_reader_is_refused_and_with_one_written_to(monkeypatch):
    os.mkfifo("ff")
    monkeypatch.setattr("rt_melody.realtime.paths.FIFO_WAIT_S", 0.05)
    for make in (OutputFile, LineLog):
        with pytest.raises(OutputError, match="ff is a named pipe that nobody reads; start its reader first"):
            make("ff")
    monkeypatch.setattr("rt_melody.realtime.paths.FIFO_WAIT_S", 10.0)
    received = []
    reader = threading.Thread(target=lambda: received.append(open("ff").read()))
    reader.start()
    with CsvSink("ff") as sink:  # opened as soon as the reader is there
        sink.start(0.0)
        sink.frame(FRAME)
    reader.join()
    assert received == ["time_s,f0_hz,voiced,confidence,available_s\n0.000000,220.000,1,0.9000,0.050000\n"]


@posix
def test_a_file_that_is_opened_keeps_its_content_and_permissions():
    open("a", "w").write("old")
    os.chmod("a", 0o640)
    os.close(open_to_write("a"))
    assert open("a").read() == "old" and os.stat("a").st_mode & 0o777 == 0o640
    os.close(open_to_write("a", empty=True))
    assert open("a").read() == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device that is always full")
def test_figures_that_a_full_disk_swallowed_are_said_and_end_nothing():
    log = LineLog("/dev/full")
    for i in range(3):
        log.take(json.dumps({"i": i}))
    log.close()
    assert log.failure == "/dev/full cannot be written further (No space left on device); free some space or choose another place"
    good = LineLog("good")
    good.take("1")
    good.close()
    assert good.failure is None and open("good").read() == "1\n"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no /proc there")
def test_a_folder_that_takes_no_files_is_not_said_to_be_missing():
    with pytest.raises(OutputError, match=r"/proc/x\.csv cannot be written \(No such file or directory\); choose another place"):
        open_to_write("/proc/x.csv")
