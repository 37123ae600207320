"""The command: its options, its words, and how it leaves. What users get wrong has a file of its own."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from rt_melody.realtime import cli, options, program
from rt_melody.realtime.cli import main
from rt_melody.realtime.errors import DeviceError
from rt_melody.realtime.settings import FLAT, files
from rt_melody.realtime.sources.demo import demo_phrase

RATE = 16000
COMMAND = "import sys\nfrom rt_melody.realtime.cli import main\nsys.argv[0] = 'rt-melody'\nstatus = main()\n"
pytestmark = pytest.mark.usefixtures("in_folder")
posix = pytest.mark.skipif(sys.platform == "win32", reason="named pipes, and folders removed under somebody")


@pytest.fixture
def song() -> str:
    """A file with the first notes of the demo song."""
    soundfile.write("song.wav", demo_phrase(RATE).samples[: 2 * RATE], RATE)
    return "song.wav"


def said(capsys, *arguments: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of the command in this process."""
    status = main(list(arguments))
    return (status, *capsys.readouterr())


def shell(line: str, after: str = "") -> subprocess.CompletedProcess:
    """``rt-melody`` in a shell line, in a process of its own; ``after`` is Python run when it has left."""
    python = f"{sys.executable} -c \"$CODE\""
    return subprocess.run(
        ["bash", "-c", line.replace("rt-melody", python) + "; exit ${PIPESTATUS[0]}"],
        env={"CODE": COMMAND + after + "\nsys.exit(status)", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=120,
    )


# --- options and their words


def test_help_names_every_setting_with_its_meaning(capsys):
    status, out, err = said(capsys, "--help")
    told = " ".join(out.split())
    assert (status, err) == (0, "")
    for name, field in ((name, place.field) for name, place in FLAT.items()):
        assert f"--{name.replace('_', '-')}" in told and field.description.replace("see --list-devices", "") in told.replace(
            "see --list-devices", ""
        )


def test_what_is_said_of_some_options_is_said_of_settings_that_exist():
    assert {*options.SEVERAL, *options.WORDS, *options.OTHER_FLAGS, *options.WITHOUT_VALUE} <= FLAT.keys()


def test_version_is_that_of_the_package(capsys):
    from importlib.metadata import version

    assert said(capsys, "--version") == (0, f"rt-melody {version('rt-melody')}\n", "")


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--frobnicate"], "there is no option --frobnicate"),
        (["--latncy-ms", "30"], "there is no option --latncy-ms; did you mean --latency-ms?"),
        (["--no-midi-out"], "there is no option --no-midi-out; did you mean --midi-out?"),
        (["song.wav"], "'song.wav' stands alone; for an input write --input song.wav"),
        (["--csv"], "argument --csv: expected one argument"),
        (["--input"], "argument --input: expected at least one argument"),
        (["--f0", "3"], "ambiguous option: --f0 could match --f0-min-hz, --f0-max-hz"),
    ],
)
def test_a_slip_in_the_options_is_one_sentence_with_the_way_out(arguments, sentence, capsys):
    status, out, err = said(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err == f"rt-melody: {sentence}; rt-melody --help lists the options\n"


def test_inputs_and_thresholds_add_up_over_repeated_options(capsys):
    import yaml

    options = ("--input", "a.wav", "b.wav", "--input", "c.wav", "--notes", "on_ms=20", "--notes", "bridge_ms=30")
    stored = yaml.safe_load(said(capsys, "--print-config", *options)[1])
    assert stored["source"]["input"] == ["a.wav", "b.wav", "c.wav"]
    assert (stored["notes"]["on_ms"], stored["notes"]["bridge_ms"]) == (20.0, 30.0)


def test_options_that_look_like_none(capsys):
    import yaml

    stored = yaml.safe_load(said(capsys, "--print-config", "--input", "-", "--midi-out", "--device", "-1")[1])
    assert (stored["source"]["input"], stored["output"]["midi_out"], stored["source"]["device"]) == (["-"], "virtual", "-1")


@pytest.mark.slow
def test_what_is_cheap_to_check_does_not_wait_for_torch():
    """In processes of their own: none of these refusals has imported torch."""
    Path("text.wav").write_text("no audio")
    after = "assert 'torch' not in sys.modules, 'torch was imported'\nassert status == 2"
    for refused in (
        "--rate 3",
        "--input gone.wav",
        "--input text.wav --csv a.csv",
        "--input demo --csv no/a.csv",
        "--input demo --osc x",
        "--model gone.pt",
    ):
        done = shell(f"rt-melody {refused}", after)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr


# --- listing devices


def test_devices_are_listed_where_there_are_some(capsys, monkeypatch):
    from rt_melody.realtime.sinks import midi_ports
    from rt_melody.realtime.sources import devices

    monkeypatch.setattr(devices, "describe_devices", lambda: "Audio inputs (* is the default):\n*   0  Studio")
    monkeypatch.setattr(devices, "describe_outputs", lambda: "Audio outputs (* is the default):\n*   1  Monitors")
    monkeypatch.setattr(midi_ports, "list_midi_outputs", lambda back_end=None: ["Synth", "Organ"])
    sound = "Audio inputs (* is the default):\n*   0  Studio\nAudio outputs (* is the default):\n*   1  Monitors\n"
    told = f"{sound}MIDI outputs:\n  Synth\n  Organ\n"
    assert said(capsys, "--list-devices") == (0, told, "")
    monkeypatch.setattr(midi_ports, "list_midi_outputs", lambda back_end=None: [])
    assert "MIDI outputs: none found; --midi-out without a name makes one" in said(capsys, "--list-devices")[1]
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "rtmidi", None)
    assert "MIDI outputs: MIDI ports need python-rtmidi" in said(capsys, "--list-devices")[1]


# --- what a run says and writes


def test_a_run_tells_its_latency_part_by_part_and_sums_up(song, capsys):
    status, out, err = said(capsys, "--input", song, "--csv", "a.csv")
    lines = err.splitlines()
    *parts, total, confirmation, until_a_note = (float(line.split()[0]) for line in lines if " ms  " in line)
    assert (status, out) == (0, "") and confirmation == 10 and until_a_note == pytest.approx(total + 10)
    assert "in all, bound 50 ms" in err and sum(parts) == pytest.approx(total, abs=0.01) and total <= 50
    assert lines[-2].startswith("rt-melody: 200 frames, ") and lines[-1] == "rt-melody: wrote a.csv"


def test_quiet_says_nothing(song, capsys):
    assert said(capsys, "--input", song, "--csv", "a.csv", "--quiet") == (0, "", "")


def test_a_run_without_outputs_names_them(song, capsys):
    assert "no output was asked for" in said(capsys, "--input", song)[2]
    assert "no output was asked for" not in said(capsys, "--input", song, "--jsonl")[2]


@pytest.mark.slow
def test_what_is_said_comes_when_it_is_so_and_names_each_file(song, capsys):
    said_so = said(capsys, "--input", song, "--realtime", "--csv", "a.csv", "--midi-file", "my take.mid")[2]
    lines = [line for line in said_so.splitlines() if line.startswith("rt-melody: ")]
    beginnings = ("loading", "latency from", f"listening to {song}", "200 frames", "wrote ")
    assert all(line.removeprefix("rt-melody: ").startswith(start) for line, start in zip(lines, beginnings, strict=True)), said_so
    assert lines[-1] == "rt-melody: wrote my take.mid and a.csv"
    assert "wrote" not in said(capsys, "--input", song, "--csv", "b.csv", "--quiet")[2]


@pytest.mark.slow
def test_all_outputs_at_once_tell_one_story(song, capsys):
    import mido

    status, out, _ = said(capsys, "--input", song, "--csv", "a.csv", "--midi-file", "a.mid", "--jsonl", "--osc", "127.0.0.1:9")
    events = [json.loads(line) for line in out.splitlines()]
    played = [m.note for m in mido.MidiFile("a.mid").tracks[0] if m.type == "note_on"]
    assert status == 0 and len(played) >= 1
    assert [e["note"] for e in events if e["type"] == "note_on"] == played
    assert [e["note"] for e in events if e["type"] == "note_off"] == played
    header, *found = Path("a.csv").read_text().splitlines()
    assert header == "time_s,f0_hz,voiced,confidence,available_s" and len(found) == 200


@pytest.mark.slow
def test_the_bound_holds_for_every_row(song, capsys):
    for bound_ms in ("15", "30", "80"):
        assert said(capsys, "--input", song, "--csv", "a.csv", "--latency-ms", bound_ms)[0] == 0
        with open("a.csv", newline="") as file:
            late_s = [float(r["available_s"]) - float(r["time_s"]) for r in csv.DictReader(file)]
        assert 0 < max(late_s) <= float(bound_ms) / 1000 + 1e-6


@pytest.mark.slow
def test_several_inputs_are_named_in_the_events(song, capsys):
    Path("two.wav").write_bytes(Path(song).read_bytes())
    status, out, err = said(capsys, "--input", song, "two.wav", "--jsonl")
    events = [json.loads(line) for line in out.splitlines()]
    one, two = ([{**e, "input": ""} for e in events if e["input"] == name] for name in (song, "two.wav"))
    assert status == 0 and one == two and one
    assert f"{song}: 200 frames" in err and "two.wav: 200 frames" in err and err.count("in all, bound") == 1


@pytest.mark.slow
def test_inputs_of_other_rates_in_one_run_are_as_in_runs_of_their_own(song, capsys):
    soundfile.write("high.wav", demo_phrase(22050).samples[:44100], 22050)
    Path("out").mkdir()
    assert said(capsys, "--input", song, "high.wav", "./song.wav/../song.wav", "--csv", "out")[0] == 2, "one name twice"
    assert said(capsys, "--input", "high.wav", song, "--csv", "out")[0] == 0
    for name in (song, "high.wav"):
        assert said(capsys, "--input", name, "--csv", "alone.csv")[0] == 0
        assert Path("alone.csv").read_text() == (Path("out") / Path(name).with_suffix(".csv")).read_text()


@pytest.mark.slow
def test_a_run_by_a_printed_configuration_is_the_run_it_was_printed_from(song, capsys):
    options = ("--input", song, "--latency-ms", "25", "--notes", "on_ms=20", "--csv", "a.csv", "--midi-file", "a.mid")
    Path("my.yaml").write_text(said(capsys, *options, "--print-config")[1])
    assert said(capsys, *options)[0] == 0
    first = Path("a.csv").read_bytes(), Path("a.mid").read_bytes()
    for path in ("a.csv", "a.mid"):
        Path(path).unlink()
    assert said(capsys, "--config", "my.yaml")[0] == 0
    assert (Path("a.csv").read_bytes(), Path("a.mid").read_bytes()) == first


@pytest.mark.slow
def test_a_pipe_is_tracked_as_the_file_is(song, capsys, monkeypatch):
    samples, _ = soundfile.read(song, dtype="float32")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(samples.astype("<f4").tobytes())))
    assert said(capsys, "--input", "-", "--rate", str(RATE), "--csv", "pipe.csv")[0] == 0
    assert said(capsys, "--input", song, "--csv", "file.csv")[0] == 0
    assert Path("pipe.csv").read_text() == Path("file.csv").read_text()


# --- ways out


@pytest.mark.slow
def test_a_reader_that_leaves_ends_the_run_quietly_where_nothing_else_goes_out(song):
    done = shell("rt-melody --input song.wav --jsonl --quiet | head -1")
    assert done.returncode == 0 and done.stderr == "" and json.loads(done.stdout)["type"] == "note_on"


@posix
@pytest.mark.slow
def test_a_reader_that_leaves_a_named_pipe_is_told_where_nothing_else_goes_out_too(song):
    os.mkfifo("ff")
    done = shell(f"(head -1 ff &); rt-melody --input {song} --csv ff --quiet")
    assert done.returncode == 2
    assert done.stderr == "rt-melody: ff cannot be written further (Broken pipe); keep its reader open\n"
    done = shell(f"rt-melody --input {song} --csv /dev/stdout --quiet | head -1")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options, paths", [("--input song.wav --csv a.csv", ["a.csv"]), ("--jobs 1 --input song.wav two.wav --csv .", ["song.csv", "two.csv"])]
)
def test_a_reader_that_leaves_stops_no_other_output(song, options, paths):
    Path("two.wav").write_bytes(Path(song).read_bytes())
    done = shell(f"rt-melody {options} --jsonl --quiet | head -1")
    assert done.returncode == 1 and "not all went out: JSON lines" in done.stderr and "Traceback" not in done.stderr
    assert json.loads(done.stdout)["type"] == "note_on"
    assert [len(Path(path).read_text().splitlines()) for path in paths] == [201] * len(paths)


@pytest.mark.parametrize("option", ["--help", "--print-config", "--version", "--list-devices"])
def test_a_reader_that_never_reads_is_no_error(option):
    done = shell(f"rt-melody {option} | true")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_behind_stdout_is_told():
    done = shell("rt-melody --print-config > /dev/full")
    assert done.returncode == 2
    assert done.stderr == "rt-melody: standard output cannot be written (No space left on device); send it elsewhere\n"


@posix
def test_panic_is_sent_from_a_removed_folder_too():
    done = shell("mkdir gone; cd gone; rmdir ../gone; rt-melody --panic 'no such port'")
    assert done.returncode == 2 and done.stderr and "removed" not in done.stderr


@posix
@pytest.mark.parametrize("line", ["--input song.wav --csv a.csv", "--list-devices", "doctor", "plugin check", "extract . --out out"])
def test_a_current_folder_that_was_removed_is_told(line):
    done = shell(f"mkdir gone; cd gone; rmdir ../gone; rt-melody {line}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "rt-melody: the current folder has been removed; go to one that is there, such as by `cd`\n"


@pytest.mark.slow
def test_a_closed_stderr_hinders_nothing_and_stays_out_of_the_files(song):
    done = shell(f"rt-melody --input {song} --csv a.csv --jsonl 2>&-")
    assert done.returncode == 0 and all(json.loads(line) for line in done.stdout.splitlines())
    assert len(Path("a.csv").read_text().splitlines()) == 201


@pytest.mark.slow
def test_a_closed_stdout_is_told_where_it_is_needed(song):
    assert shell(f"rt-melody --input {song} --quiet --csv a.csv >&-").returncode == 0
    done = shell(f"rt-melody --input {song} --jsonl >&-")
    assert done.returncode == 2 and "--jsonl needs a standard output" in done.stderr


def test_a_defect_shows_itself(song, monkeypatch):
    """Only what the user can mend is told in a sentence."""
    monkeypatch.setattr(program.Program, "_prepare_tracker", lambda self, *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["--input", song, "--csv", "a.csv"])
    assert not Path("a.csv").exists()


def test_an_interrupt_before_the_loop_is_no_traceback(monkeypatch, capsys):
    def interrupt(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "read_settings", interrupt)
    assert said(capsys) == (130, "", "")


@pytest.mark.parametrize("arguments", ["--self-test 2", "--midi-test"])
def test_a_test_that_is_stopped_says_so_in_its_status(monkeypatch, capsys, arguments):
    """Whatever it makes of what it had measured."""

    def stopped(*_: object, **__: object) -> int:
        signal.raise_signal(signal.SIGTERM)
        return 1

    monkeypatch.setattr("rt_melody.realtime.selftest.SelfTest.run", stopped)
    monkeypatch.setattr("rt_melody.realtime.sinks.midi_test.midi_test", stopped)
    port = SimpleNamespace(close_port=lambda: None, delete=lambda: None)
    monkeypatch.setattr("rt_melody.realtime.sinks.midi_ports.open_midi_out", lambda *_: port)
    assert said(capsys, *arguments.split())[0] == 128 + signal.SIGTERM


def test_a_signal_whose_exception_a_library_swallowed_is_still_what_ended_the_start(monkeypatch, capsys):
    def opening(self):
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)
        raise DeviceError("the server took long, and refused")

    monkeypatch.setattr(program.Program, "run", opening)
    told = "rt-melody: stopped by SIGTERM before anything of demo was heard\n"
    assert said(capsys, "--input", "demo", "--quiet") == (128 + signal.SIGTERM, "", told)


@pytest.mark.slow
def test_stop_between_two_inputs_leaves_the_second_alone(song, capsys, monkeypatch):
    Path("two.wav").write_bytes(Path(song).read_bytes())
    Path("out").mkdir()

    class Stopped(program.Session):
        def run(self):
            stats = super().run()
            signal.raise_signal(signal.SIGTERM)
            return stats

    monkeypatch.setattr(program, "Session", Stopped)
    status, _, err = said(capsys, "--input", song, "two.wav", "--csv", "out", "--quiet", "--jobs", "1")
    assert status == 128 + signal.SIGTERM and "stopped by SIGTERM before the end of two.wav" in err
    assert [path.name for path in Path("out").iterdir()] == ["song.csv"]


# --- figures


def test_stats_are_told_at_the_end_and_logged(song, capsys):
    status, out, err = said(capsys, "--input", song, "--stats", "--stats-file", "kept.jsonl")
    assert (status, out) == (0, "")
    assert "deadlines missed" in err and "work a block" in err and "% of a core" in err
    rows = [json.loads(line) for line in Path("kept.jsonl").read_text().splitlines()]
    assert rows and rows[-1]["turns"] >= 8 and rows[-1]["skips"] == 0
    assert rows[-1]["scheduling"].startswith("normal priority"), "a file is not live"


def test_stats_come_at_the_interval_asked_for(song, capsys):
    """A millisecond: while it is heard, time and again, and at the end."""
    status, _, err = said(capsys, "--input", song, "--stats", "0.001", "--quiet")
    assert status == 0 and err.count("work a block") >= 3 and "frames" not in err


def test_the_log_of_figures_writes_over_no_input_or_output(song, capsys):
    for other in (["--stats-file", song], ["--csv", "a.csv", "--stats-file", "a.csv"]):
        status, _, err = said(capsys, "--input", song, *other)
        assert status == 2 and "would overwrite it; give the output another name" in err
    assert soundfile.info(song).frames == 2 * RATE


@pytest.mark.parametrize("value, sentence", [("-1", "--stats -1 cannot be used"), ("often", "it must be a number")])
def test_an_interval_that_is_none_is_refused(capsys, value, sentence):
    status, _, err = said(capsys, "--input", "demo", f"--stats={value}")
    assert status == 2 and sentence in err


# --- several of one kind


def test_one_file_that_matched_a_pattern_goes_into_the_folder_like_several(song, capsys):
    os.mkdir("out")
    assert said(capsys, "--input", song, "--csv", "out", "--midi-file", "out", "--quiet")[0] == 0
    stem = os.path.splitext(os.path.basename(song))[0]
    assert sorted(os.listdir("out")) == [f"{stem}.csv", f"{stem}.mid"]


def test_a_name_that_ends_as_a_folder_s_is_one_for_one_input_too(song, capsys):
    status, _, err = said(capsys, "--input", song, "--csv", "new/out/", "--quiet")
    assert (status, err) == (0, "") and os.listdir("new/out") == ["song.csv"]
    Path("taken").write_text("mine")
    status, _, err = said(capsys, "--input", song, "--csv", "taken/", "--quiet")
    assert status == 2 and "the folder taken/ cannot be made" in err and Path("taken").read_text() == "mine"


@pytest.mark.slow
def test_a_folder_for_several_inputs_is_made(song, capsys):
    shutil.copy(song, "other.wav")
    assert said(capsys, "--input", song, "other.wav", "--csv", "new/out", "--quiet")[0] == 0
    assert len(os.listdir("new/out")) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' names are valid Unicode")
def test_a_name_that_is_no_utf_8_is_a_name(song, capsys):
    name = os.fsdecode(b"a\xff\xfe.wav")
    shutil.copy(song, name)
    assert said(capsys, "--input", name, "--csv", "out.csv", "--quiet")[0] == 0
    assert os.path.getsize("out.csv") > 1000


def test_frames_come_as_json_lines_where_they_are_asked_for(song, capsys):
    status, out, _ = said(capsys, "--input", song, "--jsonl-frames")
    kinds = [json.loads(line)["type"] for line in out.splitlines()]
    assert status == 0 and kinds.count("frame") > 10 * kinds.count("note_on") > 0


@pytest.mark.slow
def test_several_osc_receivers_get_the_same(song, capsys):
    receivers = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    try:
        for receiver in receivers:
            receiver.bind(("127.0.0.1", 0))
            receiver.settimeout(10.0)
        addresses = [f"127.0.0.1:{receiver.getsockname()[1]}" for receiver in receivers]
        assert said(capsys, "--input", song, "--osc", addresses[0], "--osc", addresses[1], "--quiet")[0] == 0
        first, second = ([receiver.recv(1000) for _ in range(20)] for receiver in receivers)
        assert first == second
    finally:
        for receiver in receivers:
            receiver.close()


@pytest.mark.slow
def test_what_is_left_out_of_the_range_and_the_key_are_told(song, capsys):
    assert (
        "notes lay outside the range of notes that are played and were left out"
        in said(capsys, "--input", song, "--csv", "a.csv", "--note-range", "C8", "G9")[2]
    )
    assert "; in G major" in said(capsys, "--input", "demo", "--csv", "a.csv", "--scale", "auto")[2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of Unix")
def test_settings_that_come_through_a_pipe_are_read_once(tmp_path, monkeypatch, capsys):
    """Opened again it would be waited for in vain."""
    read, opened = files.read_yaml, []
    monkeypatch.setattr(files, "read_yaml", lambda path: opened.append(path) or (read(path) if len(opened) == 1 else {}))
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=lambda: (tmp_path / "pipe").write_text("source:\n  channel: 7\n"), daemon=True).start()
    status, _, told = said(capsys, "--config", str(tmp_path / "pipe"), "--input", "gone.wav", "--reference-channel", "7", "--csv", "x.csv")
    assert status == 2 and "--reference-channel 7 is the channel of the voice too" in told
    assert opened == [str(tmp_path / "pipe")]
